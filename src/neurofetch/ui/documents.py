"""What a command printed, read row by row: a plan may have a million files.

`neurofetch.console` writes each file of a document on a line of its own. So the lines with files
stay on the disk, and are read when somebody wants to see them.
"""

from __future__ import annotations

import json
import threading
from array import array
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Document"]

_OPENING: Final = b'  "files": ['
_LONGEST: Final = 1 << 26
"""Bytes of a document without a list of files: more is not ours."""


class Document:
    """A document of a command.

    Parameters
    ----------
    file : binary file
        What was printed. It is this object's from now on.

    Raises
    ------
    ValueError
        If it is no JSON object.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._reading = threading.Lock()
        self._begins = array("q")
        self.head = self._read_head()

    def __len__(self) -> int:
        """Return how many files it lists."""
        return len(self._begins)

    def close(self) -> None:
        """Forget it."""
        self._file.close()

    def _read_head(self) -> dict[str, Any]:
        """Return all but the list of files, and note where each file of that begins."""
        rest: list[bytes] = []
        listing = False
        position, length = 0, 0
        self._file.seek(0)
        for line in self._file:
            if listing and line.startswith(b"    {"):
                self._begins.append(position)
            else:
                listing = line.startswith(_OPENING) or (listing and not line.startswith(b"  ]"))
                rest.append(line)
                length += len(line)
            position += len(line)
            if length > _LONGEST:
                raise ValueError("the document is too long")
        head = json.loads(b"".join(rest) or b"null")
        if not isinstance(head, dict):
            raise ValueError("it is no document")  # noqa: TRY004 - what was printed is wrong
        head.pop("files", None)
        return head

    def rows(self, begin: int = 0, count: int | None = None) -> Iterator[dict[str, Any]]:
        """Give files of the document, in its order.

        Parameters
        ----------
        begin : int
            The number of the first.
        count : int, optional
            At most so many.
        """
        end = len(self) if count is None else min(len(self), begin + count)
        for number in range(begin, end, 1000):
            with self._reading:
                lines = self._lines(number, min(number + 1000, end))
            yield from map(json.loads, lines)

    def _lines(self, begin: int, end: int) -> list[bytes]:
        self._file.seek(self._begins[begin])
        return [self._file.readline().rstrip(b",\n") for _ in range(begin, end)]
