"""Where a picture goes: checked before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurofetch._shown import shown
from neurofetch.errors import DestinationError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FORMATS", "checked_target", "free_name"]

FORMATS: Final = (".html", ".pdf", ".png", ".svg")
"""What the name of a picture may end in."""


def checked_target(path: Path) -> Path:
    """Return where a picture goes, or say now, before anything is read, that it cannot go there."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"{shown(str(path))}: the name of a picture ends in one of {', '.join(FORMATS)}. "
            f"Nothing was drawn."
        )
    if not path.parent.is_dir():
        raise DestinationError(
            f"{shown(str(path.parent))} is no folder. Nothing was drawn: make it first, or name "
            f"another place with --out."
        )
    return path


def free_name(stem: str, folder: Path) -> Path:
    """Return the name of a PNG that is not there yet."""
    clean = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in stem)
    clean = clean.strip("-.")[:120] or "picture"
    path, number = folder / f"{clean}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{clean}-{number}.png"
    return path
