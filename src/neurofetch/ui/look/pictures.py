"""Pictures and texts, as they are: bounded, and never as a page of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from neurofetch._shown import shown_lines
from neurofetch.ui.look.places import opened
from neurofetch.ui.look.problems import UnreadableFileError

if TYPE_CHECKING:
    from neurofetch.ui.look.places import Place

__all__ = ["POLICY", "picture", "text"]

_LARGEST_PICTURE = 32 << 20
_LONGEST_TEXT = 1 << 20
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""What a picture may do that is opened by itself: nothing. An SVG may hold scripts."""
_BEGINS: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


def picture(place: Place) -> tuple[str, bytes]:
    """Return what a picture is, by its first bytes, and all of them.

    Parameters
    ----------
    place : Place

    Raises
    ------
    NotThereError
    UnreadableFileError
        If it is none, or of more than 32 MB.
    """
    with opened(place) as file:
        if file.size > _LARGEST_PICTURE:
            problem = f"is a picture of {file.size >> 20:,} MB, and 32 MB is the most that is shown"
            raise UnreadableFileError(file.name, problem, "Open it with another program.")
        block = _read(file.fd, _LARGEST_PICTURE)
        file.check_same()
    kind = _kind(block, place.parts[-1])
    if not kind:
        problem = f"is no picture: it begins with {block[:8]!r}"
        raise UnreadableFileError(file.name, problem, "Look at it with another program.")
    return kind, block


def text(place: Place) -> dict[str, Any]:
    """Return a text, or the first megabyte of one.

    Parameters
    ----------
    place : Place
    """
    with opened(place) as file:
        block = _read(file.fd, _LONGEST_TEXT + 1)
    cut = len(block) > _LONGEST_TEXT
    words = _decoded(block[:_LONGEST_TEXT], cut=cut).split("\t")
    return {"text": "\t".join(map(shown_lines, words)), "cut": cut}


def _decoded(block: bytes, *, cut: bool) -> str:
    if block[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return block.decode("utf-16", "replace").replace("\r\n", "\n")
    try:
        # A letter of several bytes may be cut through at the end.
        found = block.decode("utf-8-sig", "ignore" if cut and _is_utf8(block) else "strict")
    except UnicodeDecodeError:
        found = block.decode("cp1252", "replace")
    return found.replace("\r\n", "\n").replace("\r", "\n")


def _is_utf8(block: bytes) -> bool:
    try:
        block[:-4].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(block) - 12
    return True


def _kind(block: bytes, name: str) -> str:
    for begin, kind in _BEGINS.items():
        if block.startswith(begin):
            return kind
    if block[:4] == b"RIFF" and block[8:12] == b"WEBP":
        return "image/webp"
    if name.lower().endswith(".svg") and b"<svg" in block[:65536]:
        return "image/svg+xml"
    return ""


def _read(fd: int, limit: int) -> bytes:
    parts = []
    position = 0
    while position < limit and (part := os.pread(fd, min(limit - position, 1 << 22), position)):
        parts.append(part)
        position += len(part)
    return b"".join(parts)
