"""Files that are not here, or whose content is not: what to say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laion_fmri.errors import DataNotDownloadedError
from neurofetch.engine import content_missing, pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["content_missing", "not_here", "pointer_to", "what_is_absent"]


def not_here(root: Path, what: str, call: str, why: str = "") -> DataNotDownloadedError:
    """Return the error for public files that are not on disk, with the call that brings them.

    Parameters
    ----------
    root : pathlib.Path
    what : str
    call : str
        Without its last parenthesis: the data directory is added.
    why : str
        What `what_is_absent` says.
    """
    comma = "" if call.endswith("(") else ", "
    return DataNotDownloadedError(
        f"{what} are not in {root / 'stimuli'}{why}. They are public; this brings them:\n"
        f"    from laion_fmri.download import {call.partition('(')[0]}\n"
        f"    {call}{comma}data_dir={str(root)!r})"
    )


def what_is_absent(paths: Iterable[Path]) -> str | None:
    """Return which of some files are not here, in brackets after a space; None if all are here.

    Where a file is simply not there, there is no more to say: "".
    """
    absent = False
    for path in paths:
        if stands_for := content_missing(path):
            return f" ({path.name} is {stands_for})"
        absent = absent or not path.is_file()
    return "" if absent else None
