"""Files whose content is not here: what stands in their place, and what brings it."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["content_missing", "pointer_to", "what_brings"]

_POINTER_BYTES = 1024
_ANNEXED = re.compile(r"(^|/)annex/objects/")


def content_missing(path: Path) -> str:
    """Return what stands in place of a file whose content is not here; "" if it is, or no file is.

    DataLad and git-annex leave links to nothing, or small text files, for content that was not
    fetched; a scratch disk that was purged leaves links to nothing too.

    Parameters
    ----------
    path : Path
    """
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        return f"a link to {os.readlink(path)}, which is not here" if path.is_symlink() else ""
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads back to itself"
        if error.errno == errno.ENOTDIR:
            return ""
        raise
    if size > _POINTER_BYTES or not path.is_file():
        return ""
    with open(path, "rb") as file:
        return pointer_to(file.read(_POINTER_BYTES))


def pointer_to(begin: bytes) -> str:
    """Return what kind of pointer a file is that stands for another, by its first bytes; or "".

    Tools for large files in Git keep such a file in place of content that was not fetched.

    Parameters
    ----------
    begin : bytes

    Examples
    --------
    >>> pointer_to(b"/annex/objects/MD5E-s5--0.nii.gz"), pointer_to(b"RIFF")
    ('a git-annex pointer', '')
    """
    if begin.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if re.match(rb"(/annex/objects/|(\.\./)*\.git/annex/objects/)", begin):
        return "a git-annex pointer"
    return ""


def what_brings(missing: str) -> str:
    """Return which program brings a content, by what stands in its place.

    Parameters
    ----------
    missing : str
        As `content_missing` says it.

    Examples
    --------
    >>> what_brings("a Git LFS pointer"), what_brings("a link to /scratch/x, which is not here")
    ('git lfs pull', '')
    >>> what_brings("a link to ../.git/annex/objects/a/b/K/K, which is not here")
    'datalad get'
    """
    if "Git LFS" in missing:
        return "git lfs pull"
    return "datalad get" if "git-annex" in missing or _ANNEXED.search(missing) else ""
