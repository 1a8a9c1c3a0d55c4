"""Gzipped files from front to back: several members, padding, and foreign bytes at the end.

Both who looks at volumes and who loads them read so; with igzip where it is installed.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from neurofetch.extras import is_installed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GZIP", "Inflated"]

GZIP: Final = b"\x1f\x8b"
"""What a gzipped file begins with."""
_COMPRESSED = 1 << 17
_BLOCK = 1 << 19


class Inflated:
    """The bytes of a gzip file, of one member or several; what follows the last is left out.

    Some files have foreign bytes at their end, such as the rest of an older, longer file that was
    written over. Other readers of NIfTI do not look at them either.

    Parameters
    ----------
    read : callable
        Gives the next compressed bytes, at most so many; none at the end.

    Attributes
    ----------
    damage : type
        What is raised where the stream is damaged; where it ends too early, that is `EOFError`.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._source = read
        self._new, self.damage = _decompressor()
        self._member = self._new()

    def readinto(self, buffer: memoryview) -> int:
        """Fill a part of a buffer; return how many bytes came, 0 at the end."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end.

        Raises
        ------
        EOFError
            If the file ends before its stream does.
        """
        while size:
            while self._member.eof:  # a member may be empty: bgzip ends each file with such a one
                if not self._next_member():
                    return b""
            compressed = self._source(_COMPRESSED) if self._member.needs_input else b""
            ended = self._member.needs_input and not compressed
            block: bytes = self._member.decompress(compressed, size)
            if block:
                return block
            if ended and not self._member.eof:
                raise EOFError
        return b""

    def finish(self) -> None:
        """Read to the end of the member, where its checksum is."""
        while not self._member.eof:
            self.read(_BLOCK)

    def _next_member(self) -> bool:
        rest: bytes = self._member.unused_data.lstrip(b"\0")  # zeros may pad a member
        while len(rest) < len(GZIP) and (more := self._source(_COMPRESSED)):
            rest = (rest + more).lstrip(b"\0")
        if not rest.startswith(GZIP):
            return False
        self._member = self._new()
        self._member.decompress(rest, 0)  # it keeps what it was given
        return True


def _decompressor() -> tuple[Callable[[], Any], Any]:
    """Return what makes a decompressor, and its errors."""
    if is_installed("isal"):
        from isal import igzip_lib  # noqa: PLC0415 - quicker, and not everywhere

        flag = igzip_lib.DECOMP_GZIP
        return lambda: igzip_lib.IgzipDecompressor(flag=flag), igzip_lib.IsalError
    return _Inflate, zlib.error


class _Inflate:
    """zlib with the methods of igzip's decompressor."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self._tail = b""

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, block: bytes, size: int) -> bytes:
        self._tail += block
        if not size:  # zlib takes 0 for "all of it"
            return b""
        found = self._zlib.decompress(self._tail, size)
        self._tail = self._zlib.unconsumed_tail
        return found
