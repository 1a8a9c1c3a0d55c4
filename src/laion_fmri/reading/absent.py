"""What to say of public files that are not on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laion_fmri.errors import DataNotDownloadedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["not_here"]


def not_here(root: Path, what: str, call: str) -> DataNotDownloadedError:
    """Return the error for public files that are not on disk, with the call that brings them.

    Parameters
    ----------
    root : pathlib.Path
    what : str
    call : str
        Without its last parenthesis: the data directory is added.
    """
    comma = "" if call.endswith("(") else ", "
    return DataNotDownloadedError(
        f"{what} are not in {root / 'stimuli'}. They are public; this brings them:\n"
        f"    from laion_fmri.download import {call.partition('(')[0]}\n"
        f"    {call}{comma}data_dir={str(root)!r})"
    )
