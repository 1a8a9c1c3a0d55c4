"""Read a large JSON document as it comes: the rows of one list one by one, all else as a whole.

A listing of OpenNeuro is one document of 42 MB for 117,523 files. Read at once it would take ten
times that in memory. Here only one row of it is held at a time, beside what is made of the rows.
"""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

__all__ = ["BrokenJsonError", "read_json"]

_SPACE = " \t\n\r"
_NUMBERS = "-0123456789"
_TAIL = 4
"""Characters that tell whether a number goes on: "1" may be the beginning of "1e+5"."""
_MOST = 4 << 20
"""Characters of one value that is read as a whole, at most: rows, and what stands beside them."""

_Path = tuple[str, ...]


class BrokenJsonError(ValueError):
    """What came is no JSON.

    Parameters
    ----------
    message : str
    cut : bool
        Whether it may have been, had more of it come.
    """

    def __init__(self, message: str, *, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


def read_json(
    chunks: Iterable[bytes | memoryview], lists: Collection[_Path], take: Callable[[Any], None]
) -> Any:
    """Read one document; the elements of some of its lists are handed over as they come.

    Parameters
    ----------
    chunks : iterable of bytes
        The document in UTF-8, cut anywhere. What one was is not looked at after the next.
    lists : collection of tuple of str
        The keys that lead to each of the lists, from the root on, through objects alone.
    take : callable
        Gets each element of them.

    Returns
    -------
    object
        The document, in which these lists are empty.

    Raises
    ------
    BrokenJsonError
        If it is none, or a value beside the rows is larger than 4 MB.

    Examples
    --------
    >>> rows = []
    >>> read_json([b'{"data": {"rows": [1, ', b'[2]], "n": 2}}'], {("data", "rows")}, rows.append)
    {'data': {'rows': [], 'n': 2}}
    >>> rows
    [1, [2]]
    """
    reader = _Reader(chunks, lists, take)
    try:
        return reader.document()
    except UnicodeDecodeError as error:
        raise BrokenJsonError(f"no UTF-8: {error.reason}", cut=reader.ended) from error
    except RecursionError as error:
        raise BrokenJsonError("a value that is nested too deep") from error


class _Reader:
    def __init__(
        self,
        chunks: Iterable[bytes | memoryview],
        lists: Collection[_Path],
        take: Callable[[Any], None],
    ) -> None:
        self._chunks: Iterator[bytes | memoryview] = iter(chunks)
        self._lists = frozenset(lists)
        self._ways = {path[:length] for path in lists for length in range(len(path))}
        """What leads to the lists."""
        self._take = take
        self._scan = json.JSONDecoder().raw_decode
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self.ended = False

    def document(self) -> Any:
        """Read all of it."""
        value = self._value(())
        if self._peek():
            raise BrokenJsonError("something follows the end of the JSON")
        return value

    # -- text ----------------------------------------------------------------------------------

    def _more(self, least: int = 1) -> bool:
        """Read on by at least so many characters; whether any came."""
        pieces, came = [self._text[self._at :]], 0
        while came < least and not self.ended:
            chunk = next(self._chunks, None)
            self.ended = chunk is None
            piece = self._decoder.decode(chunk or b"", final=self.ended)
            pieces.append(piece)
            came += len(piece)
        self._text, self._at = "".join(pieces), 0
        return came > 0

    def _peek(self) -> str:
        """Return the next character that is no space, and stay in front of it; "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def _next(self, allowed: str) -> str:
        """Return the next character that is no space, which is one of these."""
        found = self._peek()
        if not found:
            raise BrokenJsonError("the JSON breaks off", cut=True)
        if found not in allowed:
            cut = self.ended and len(self._text) - self._at < _TAIL  # such as of "1."
            raise BrokenJsonError(f"{found!r} in the place of one of {allowed!r}", cut=cut)
        self._at += 1
        return found

    # -- values --------------------------------------------------------------------------------

    def _value(self, path: _Path) -> Any:
        first = self._peek()
        if first == "{" and path in self._ways:
            return self._object(path)
        if first == "[" and path in self._lists:
            return self._list()
        return self._whole()

    def _object(self, path: _Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._next("{")
        if self._peek() == "}":
            self._next("}")
            return found
        while True:
            if self._peek() not in ('"', ""):
                raise BrokenJsonError("an object with a key that is no text")
            key = self._whole()
            self._next(":")
            found[key] = self._value((*path, key))
            if self._next(",}") == "}":
                return found

    def _list(self) -> list[Any]:
        self._next("[")
        if self._peek() == "]":
            self._next("]")
            return []
        while True:
            self._take(self._whole())
            if self._next(",]") == "]":
                return []

    def _whole(self) -> Any:
        """Return a value, read as a whole: it may take further chunks until it is here."""
        if not self._peek():
            raise BrokenJsonError("the JSON breaks off", cut=True)
        while True:
            text, at = self._text, self._at
            try:
                value, end = self._scan(text, at)
            except json.JSONDecodeError as error:
                held = len(text) - at
                if held > _MOST:
                    raise BrokenJsonError(
                        f"no JSON, or a value of more than {_MOST:,} characters"
                    ) from error
                if not self._more(held):
                    cut = self._breaks_off(text, at)
                    raise BrokenJsonError("no JSON, or it breaks off", cut=cut) from error
                continue
            except ValueError as error:  # a number of thousands of digits
                raise BrokenJsonError(f"a value that cannot be read: {error}") from error
            if text[at] in _NUMBERS and len(text) - end < _TAIL and self._more(_TAIL):
                continue  # it may go on: a number has no end of its own
            self._at = end if self._text is text else end - at
            return value

    @staticmethod
    def _breaks_off(text: str, at: int) -> bool:
        """Whether what cannot be read began as JSON does."""
        return text[at] in '{["-0123456789tfn'
