"""Is this file a whole NIfTI volume? Streaming checks, in bounded memory.

An Analyze 7.5 header, or the header half of a ``.hdr``/``.img`` pair, is refused: no reader opens
it under the name ``.nii.gz`` that the cache gives to every volume.
"""

from __future__ import annotations

import math
import os
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from neurofetch.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = [
    "DamagedVolumeError",
    "Volume",
    "check_volume",
    "gzip_volume",
    "load_readers",
]

_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"
_HEADER = 540  # bytes of the longer of the two headers
_GZIP_LEVEL = 2  # of isal's 0 to 3; on maps, 3 takes seven times as long and is no smaller
# Bits per voxel of the NIfTI data types for which NumPy has no type on every machine: single bits,
# floats of 128 bits, and complex numbers of two such floats.
_BITS_WITHOUT_DTYPE = {1: 1, 1536: 128, 2048: 256}
_loading = threading.Lock()


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
    """The methods of isal's object, which has no public type."""

    eof: bool
    unused_data: bytes
    unconsumed_tail: bytes

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


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
        load_readers()
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
    from isal import isal_zlib  # noqa: PLC0415 - an extra

    packer = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, 31)
    with open(source, "rb") as plain, open(target, "wb") as packed:
        while chunk := plain.read(_CHUNK):
            packed.write(packer.compress(chunk))
        packed.write(packer.flush())
        return packed.tell()


def load_readers() -> None:
    """Load the libraries that read volumes, so that they are there when the first one comes.

    Threads that load nibabel at the same time find parts of it half loaded: one of them loads it,
    and the others wait.

    Raises
    ------
    ImportError
        Where one is not installed.
    """
    with _loading:
        from isal import isal_zlib  # noqa: F401, PLC0415 - an extra
        from nibabel import nifti1, nifti2  # noqa: F401, PLC0415 - an extra, and heavy


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
    from isal import isal_zlib  # noqa: PLC0415 - an extra

    rest = file.read(_CHUNK)
    while rest:
        if not rest.startswith(_GZIP[: len(rest)]):
            _only_padding(rest, file)
            return
        member = isal_zlib.decompressobj(wbits=31)
        rest = yield from _member(member, rest, file)


def _member(member: _Decompressor, rest: bytes, file: BinaryIO) -> Generator[bytes, None, bytes]:
    from isal import isal_zlib  # noqa: PLC0415 - an extra

    while not member.eof:
        try:
            chunk = member.decompress(rest, _CHUNK)
        except isal_zlib.IsalError as exc:  # type: ignore[misc]  # its stub forgot type[]
            raise DamagedVolumeError(f"a corrupt gzip stream ({exc})") from exc
        yield chunk
        rest = member.unconsumed_tail
        if not rest and not member.eof and not chunk:
            rest = file.read(_CHUNK)
            if not rest:
                raise DamagedVolumeError("a gzip stream that is cut before its end")
    return member.unused_data or file.read(_CHUNK)


def _only_padding(rest: bytes, file: BinaryIO) -> None:
    """Gzip allows zeros after its last member, nothing else."""
    while rest:
        if rest.strip(b"\0"):
            raise DamagedVolumeError("foreign bytes after the end of the gzip stream")
        rest = file.read(_CHUNK)


def _read_header(start: bytes) -> _Header:
    """Read a NIfTI-1 or NIfTI-2 header in either byte order."""
    from nibabel.nifti1 import Nifti1Header  # noqa: PLC0415 - an extra, and heavy
    from nibabel.nifti2 import Nifti2Header  # noqa: PLC0415

    if start.startswith(_GZIP):
        raise DamagedVolumeError("a volume that was gzipped twice")
    kinds: dict[int, Any] = {kind.sizeof_hdr: kind for kind in (Nifti1Header, Nifti2Header)}
    for order in ("little", "big"):
        length = int.from_bytes(start[:4].ljust(4, b"\0"), order)
        if length in kinds:
            break
    else:
        raise DamagedVolumeError("no NIfTI header at its beginning")
    if len(start) < length:
        raise DamagedVolumeError(f"{len(start)} bytes, less than a NIfTI header")
    # check=False: nibabel's checks mend or warn of what the checks here refuse.
    header = kinds[length](start[:length], endianness=order, check=False)
    magic = header["magic"].item()
    if magic not in (b"n+1", b"n+2"):
        kind = "half of an .hdr/.img pair" if magic[:2] == b"ni" else "an Analyze 7.5 header"
        raise DamagedVolumeError(f"{kind}, not a NIfTI volume in one file")
    dims: list[int] = header["dim"].tolist()
    shape = tuple(dims[1 : 1 + dims[0]]) if 1 <= dims[0] <= 7 else ()
    if not shape or min(shape) < 1:
        raise DamagedVolumeError(f"a NIfTI header with impossible dimensions {tuple(dims)}")
    datatype = int(header["datatype"])
    bits = _bits(datatype)
    if not bits:
        raise DamagedVolumeError(f"a NIfTI header with an unknown data type ({datatype})")
    offset = header["vox_offset"].item()
    if not 0 <= offset < 2**40:  # not a number is refused too
        raise DamagedVolumeError(f"a NIfTI header whose data begin at byte {offset}")
    data_start = int(offset) or header.single_vox_offset
    whole = data_start + math.ceil(math.prod(shape) * bits / 8)
    version = 1 if length == Nifti1Header.sizeof_hdr else 2
    return _Header(shape, datatype, order == "little", version, whole)


def _bits(datatype: int) -> int:
    """Return the bits of one voxel; 0 for a data type that NIfTI does not have."""
    from nibabel.nifti1 import data_type_codes  # noqa: PLC0415

    dtypes: Any = data_type_codes.dtype
    if datatype not in dtypes:
        return 0
    return int(8 * dtypes[datatype].itemsize) or _BITS_WITHOUT_DTYPE.get(datatype, 0)
