"""Where files come from. A source lists; the engine fetches what it listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from neurofetch.model import RemoteFile

__all__ = ["Level", "Source"]


class Level(NamedTuple):
    """One level of a tree: its files, and the prefixes of its folders (each ends in "/")."""

    files: list[RemoteFile]
    folders: list[str]


class Source(Protocol):
    """What every source offers."""

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file below `prefix`, sorted by key."""
        ...

    def level(self, prefix: str) -> Level:
        """Return the files and folders directly below `prefix`."""
        ...
