"""What comes in the place of a small file, and is not it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from neurofetch._shown import shown

if TYPE_CHECKING:
    from neurofetch.model import Digest

__all__ = ["LENGTH_ADVICE", "pointed_to", "told_instead"]

LENGTH_ADVICE = (
    "the listing may tell of the pointer that git has under this name, where git-annex has the "
    "content (an unlocked file): tell the owners of the data set, or leave it out with --exclude "
    "(or exclude=)"
)
_POINTER = b"/annex/objects/"
_LARGEST_POINTER = 32 * 1024
"""Bytes; git-annex takes nothing larger for a pointer."""
_LARGEST_ERROR = 1000
_SHOWN = 200


def told_instead(content: bytes) -> str:
    """Return the error that a service told in the place of a file, with a good status; or "".

    Parameters
    ----------
    content : bytes

    Examples
    --------
    >>> told_instead(b'{"error": "file not found"}'), told_instead(b'{"TaskName": "rest"}')
    ('file not found', '')
    """
    if len(content) > _LARGEST_ERROR or not content.lstrip().startswith(b"{"):
        return ""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict) or set(said) != {"error"}:
        return ""
    return shown(str(said["error"]))[:_SHOWN]


def pointed_to(content: bytes, digest: Digest | None) -> str:
    """Return the key of git-annex whose content should be here, where only a pointer came; or "".

    Parameters
    ----------
    content : bytes
    digest : Digest or None
        Of git: only what git has can be a pointer.

    Examples
    --------
    >>> from neurofetch.model import Digest
    >>> pointed_to(b"/annex/objects/MD5E-s3--9.nii", Digest("gitblob", ""))
    'MD5E-s3--9.nii'
    """
    if digest is None or digest.algorithm != "gitblob" or len(content) > _LARGEST_POINTER:
        return ""
    if not content.startswith(_POINTER):
        return ""
    first = content[len(_POINTER) :].partition(b"\n")[0]
    return shown(first.decode("utf-8", "replace"))[:_SHOWN]
