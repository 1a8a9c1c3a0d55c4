"""Files that are not here, or whose content is not: what to say of them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from laion_fmri.errors import DataNotDownloadedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["content_missing", "not_here", "pointer_to", "what_is_absent"]

_POINTER_BYTES = 1024


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


def content_missing(path: Path) -> str:
    """Return what stands in place of a file whose content is not here; "" if it is, or no file is.

    DataLad and git-annex leave links to nothing, or small text files, for content that was not
    fetched; a scratch disk that was purged leaves links to nothing too.
    """
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        return f"a link to {os.readlink(path)}, which is not here" if path.is_symlink() else ""
    except NotADirectoryError:
        return ""
    if size > _POINTER_BYTES or path.is_dir():
        return ""
    with open(path, "rb") as file:
        return pointer_to(file.read(_POINTER_BYTES))


def pointer_to(begin: bytes) -> str:
    """Return what kind of pointer a file is that stands for another, by its first bytes; or "".

    Tools for large files in Git keep such a file in place of content that was not fetched.
    """
    if begin.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if re.match(rb"(/annex/objects/|(\.\./)*\.git/annex/objects/)", begin):
        return "a git-annex pointer"
    return ""
