"""Is this file a whole NIfTI volume? Streaming checks, in bounded memory.

An Analyze 7.5 header, or the header half of a ``.hdr``/``.img`` pair, is refused: no reader opens
it under the name ``.nii.gz`` that the cache gives to every volume.
"""

from __future__ import annotations

import math
import os
import re
import struct
import threading
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from neurofetch.errors import VerificationError
from neurofetch.extras import is_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

__all__ = [
    "DamagedVolumeError",
    "Volume",
    "check_volume",
    "gzip_volume",
    "load_readers",
    "read_volume",
]

_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"
_HEADER = 540  # bytes of the longer of the two headers
_GZIP_LEVEL = 2  # of isal's 0 to 3; on maps, 3 takes seven times as long and is no smaller
_ZLIB_LEVEL = 1  # of zlib's 0 to 9: about as small as isal's 2, and the quickest
# Bits per voxel of the data types of NIfTI-1.1 and NIfTI-2 (nifti1.h, NIFTI_TYPE_*): a bit; whole
# numbers, signed and not; floats; complex numbers; colours. 0 (unknown) and 255 (all) are none.
_BITS = {
    1: 1, 2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32,
    1024: 64, 1280: 64, 1536: 128, 1792: 128, 2048: 256, 2304: 32,
}  # fmt: skip
_loading = threading.Lock()


class _Kind(NamedTuple):
    """Where a header has what is needed here: offset and `struct` format of each."""

    version: int
    magic: tuple[int, str]
    dims: tuple[int, str]
    datatype: tuple[int, str]
    vox_offset: tuple[int, str]
    data_start: int  # where the data of a single file begin, if the header does not say


_KINDS = {
    348: _Kind(1, (344, "4s"), (40, "8h"), (70, "h"), (108, "f"), 352),
    540: _Kind(2, (4, "4s"), (16, "8q"), (12, "h"), (168, "q"), 544),
}
"""By the length that the first four bytes of a header give: NIfTI-1 and NIfTI-2."""


class DamagedVolumeError(VerificationError):
    """A file that is not a whole NIfTI volume.

    Parameters
    ----------
    cause : str
        What it is instead, or what is wrong with it.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class Volume:
    """What a whole volume is like.

    Attributes
    ----------
    gzipped : bool
        Whether the file is gzipped.
    shape : tuple of int
        Its dimensions.
    datatype : int
        NIfTI data type code.
    little_endian : bool
        Byte order of header and data.
    version : int
        1 or 2.
    size : int
        Bytes on disk.
    unpacked : int
        Bytes once gunzipped.
    """

    gzipped: bool
    shape: tuple[int, ...]
    datatype: int
    little_endian: bool
    version: int
    size: int
    unpacked: int


class _Decompressor(Protocol):
    """The methods that the objects of isal and zlib share."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Gzip(NamedTuple):
    """A library that packs and unpacks gzip streams."""

    decompressor: Callable[[], _Decompressor]
    compressor: Callable[[], _Compressor]
    error: type[Exception]


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    datatype: int
    little_endian: bool
    version: int
    whole: int  # bytes of header and data together


def check_volume(path: str | os.PathLike[str], expected_size: int | None = None) -> Volume:
    """Read a file to its end and say what volume it is.

    Parameters
    ----------
    path : path-like
        A NIfTI-1 or NIfTI-2 file in either byte order, gzipped or not, whatever its name.
    expected_size : int, optional
        Bytes on disk that the server announced; None or 0: unknown.

    Returns
    -------
    Volume
        What was found.

    Raises
    ------
    DamagedVolumeError
        Empty, too short or too long, an HTML or JSON response, a gzip stream that is cut or
        corrupt, no NIfTI header, less data than the header announces. Its `cause` says which.
    OSError
        When the file cannot be read.

    Notes
    -----
    Memory is bounded, whatever the file's size or the ratio of its compression.
    """
    with open(path, "rb") as file:
        start = file.read(_HEADER)
        _refuse_other_things(start)
        size = os.fstat(file.fileno()).st_size
        if expected_size and size != expected_size:
            raise DamagedVolumeError(f"{size} bytes, where the server announced {expected_size}")
        file.seek(0)
        gzipped = start.startswith(_GZIP)
        chunks = _gunzip(file) if gzipped else iter(lambda: file.read(_CHUNK), b"")
        header, unpacked = _measure(chunks)
    return Volume(
        gzipped=gzipped,
        shape=header.shape,
        datatype=header.datatype,
        little_endian=header.little_endian,
        version=header.version,
        size=size,
        unpacked=unpacked,
    )


def gzip_volume(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Gzip a plain ``.nii`` file; the same bytes give the same result, without name or time.

    Parameters
    ----------
    source, target : path-like
        Where from, where to; `target` is overwritten.

    Returns
    -------
    int
        Bytes written.
    """
    packer = load_readers().compressor()
    with open(source, "rb") as plain, open(target, "wb") as packed:
        while chunk := plain.read(_CHUNK):
            packed.write(packer.compress(chunk))
        packed.write(packer.flush())
        return packed.tell()


def read_volume(path: str | os.PathLike[str]) -> bytes:
    """Return a whole volume, unpacked.

    Raises
    ------
    DamagedVolumeError
        When its gzip stream is cut or corrupt.
    """
    with open(path, "rb") as file:
        gzipped = file.read(2) == _GZIP
        file.seek(0)
        return b"".join(_gunzip(file)) if gzipped else file.read()


def load_readers() -> _Gzip:
    """Load the library that reads gzip streams, so that it is there when the first volume comes.

    isal is several times as fast as zlib; where it is not installed, zlib finds the same faults.
    Threads that load a library at the same time may find parts of it half loaded: one of them loads
    it, and the others wait.
    """
    with _loading:
        return _fastest_gzip()


@cache
def _fastest_gzip() -> _Gzip:
    return _isal() if is_installed("isal") else _zlib()


def _isal() -> _Gzip:
    from isal import isal_zlib  # noqa: PLC0415 - an extra

    return _Gzip(
        lambda: isal_zlib.decompressobj(wbits=31),
        lambda: isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, 31),
        isal_zlib.IsalError,  # type: ignore[arg-type]  # its stub forgot type[]
    )


def _zlib() -> _Gzip:
    return _Gzip(
        lambda: zlib.decompressobj(wbits=31),
        lambda: zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, 31),
        zlib.error,
    )


def _refuse_other_things(start: bytes) -> None:
    """Name the other things that servers send with status 200."""
    if not start:
        raise DamagedVolumeError("an empty file")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        title = re.search(rb"<title>\s*(.*?)\s*</title>", text, re.DOTALL | re.IGNORECASE)
        quoted = f" ({title[1].decode('utf-8', 'replace')})" if title else ""
        raise DamagedVolumeError(f"an HTML page{quoted} instead of a volume")
    if text.startswith((b"{", b"[")):
        quoted = text[:80].decode("utf-8", "replace")
        raise DamagedVolumeError(f"a JSON response instead of a volume: {quoted}")


def _measure(chunks: Iterator[bytes]) -> tuple[_Header, int]:
    """Read the header from the first bytes, then count to the end."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= _HEADER:
            break
    header = _read_header(start)
    total = len(start) + sum(map(len, chunks))
    if total < header.whole:
        raise DamagedVolumeError(
            f"{total} bytes of volume, where its header announces {header.whole}"
        )
    return header, total


def _gunzip(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of every gzip member, at most one chunk at a time."""
    gzip, rest = load_readers(), file.read(_CHUNK)
    while rest:
        if not rest.startswith(_GZIP[: len(rest)]):
            return  # what an older, longer file left: no reader of gzip looks at it
        rest = yield from _member(gzip, rest, file)


def _member(gzip: _Gzip, rest: bytes, file: BinaryIO) -> Generator[bytes, None, bytes]:
    member = gzip.decompressor()
    while not member.eof:
        try:
            chunk = member.decompress(rest, _CHUNK)
        except gzip.error as exc:
            raise DamagedVolumeError(f"a corrupt gzip stream ({exc})") from exc
        yield chunk
        rest = member.unconsumed_tail
        if not rest and not member.eof and not chunk:
            rest = file.read(_CHUNK)
            if not rest:
                raise DamagedVolumeError("a gzip stream that is cut before its end")
    return member.unused_data or file.read(_CHUNK)


def _read_header(start: bytes) -> _Header:
    """Read a NIfTI-1 or NIfTI-2 header in either byte order."""
    if start.startswith(_GZIP):
        raise DamagedVolumeError("a volume that was gzipped twice")
    for sign in "<>":
        (length,) = struct.unpack(f"{sign}i", start[:4].ljust(4, b"\0"))
        if length in _KINDS:
            break
    else:
        raise DamagedVolumeError("no NIfTI header at its beginning")
    if len(start) < length:
        raise DamagedVolumeError(f"{len(start)} bytes, less than a NIfTI header")
    kind = _KINDS[length]

    def field(place: tuple[int, str]) -> tuple[Any, ...]:
        return struct.unpack_from(sign + place[1], start, place[0])

    (magic,) = field(kind.magic)
    if magic.rstrip(b"\0") not in (b"n+1", b"n+2"):
        what = "half of an .hdr/.img pair" if magic[:2] == b"ni" else "an Analyze 7.5 header"
        raise DamagedVolumeError(f"{what}, not a NIfTI volume in one file")
    dims = field(kind.dims)
    shape = dims[1 : 1 + dims[0]] if 1 <= dims[0] <= 7 else ()
    if not shape or min(shape) < 1:
        raise DamagedVolumeError(f"a NIfTI header with impossible dimensions {dims}")
    (datatype,) = field(kind.datatype)
    bits = _BITS.get(datatype, 0)
    if not bits:
        raise DamagedVolumeError(f"a NIfTI header with an unknown data type ({datatype})")
    (offset,) = field(kind.vox_offset)
    if not 0 <= offset < 2**40:  # not a number is refused too
        raise DamagedVolumeError(f"a NIfTI header whose data begin at byte {offset}")
    whole = (int(offset) or kind.data_start) + -(-math.prod(shape) * bits // 8)
    return _Header(shape, datatype, sign == "<", kind.version, whole)
