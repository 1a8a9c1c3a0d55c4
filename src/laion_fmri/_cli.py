"""The command by the name that scripts for the public package import: ``_cli.main([...])``.

Nothing is defined here: see `laion_fmri.cli.main`.
"""

from __future__ import annotations

from laion_fmri.cli.main import build_parser, main

__all__ = ["build_parser", "main"]
