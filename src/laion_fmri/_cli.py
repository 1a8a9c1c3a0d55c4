"""The command by the name that scripts for the public package import: ``_cli.main([...])``.

It ends as `argparse` does where there is nothing to run: by ``SystemExit``. See
`laion_fmri.cli.main`, which returns the code of every ending.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from laion_fmri.cli.main import build_parser
from laion_fmri.cli.main import main as _run
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build_parser", "main"]

_SHOWN = frozenset({"-h", "--help", "--version"})
"""Flags that show something instead of running a command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        By default the arguments of the process.

    Returns
    -------
    int
        The exit code of the command that ran.

    Raises
    ------
    SystemExit
        After ``--help`` with 0, and with 2 where the arguments cannot be used.
    """
    code = _run(argv)
    given = sys.argv[1:] if argv is None else argv
    if code == ExitCode.USAGE or (code == ExitCode.OK and _SHOWN.intersection(given)):
        raise SystemExit(int(code))
    return code
