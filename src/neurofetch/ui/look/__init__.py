"""The server's part of looking at files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurofetch.ui.directories import Directories
    from neurofetch.ui.web import Route

__all__ = ["routes"]


def routes(directories: Directories) -> list[Route]:  # noqa: ARG001
    """Return what can be asked for."""
    return []
