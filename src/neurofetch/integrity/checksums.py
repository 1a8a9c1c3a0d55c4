"""Checksums: of bytes as they pass, of parts put together, and as servers announce them.

CRCs are what S3 keeps of whole objects, and they combine: the CRCs of parts that arrived in any
order give the CRC of the file without reading it again. MD5 and SHA-256 must see the bytes in
order.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from binascii import Error as Base64Error
from binascii import a2b_base64
from functools import cache
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from neurofetch.model import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "CRC_BYTES",
    "Crc",
    "Hasher",
    "Layout",
    "MultipartHasher",
    "claimed",
    "combine_parts",
    "crc",
    "etag_identity",
    "etag_kind",
    "from_headers",
    "hasher",
    "layouts",
    "layouts_of_first",
    "multipart_etag",
    "part_count",
    "part_sizes",
    "warm_up",
]

Buffer = bytes | bytearray | memoryview

CRC_BYTES = {"crc64nvme": 8, "crc32c": 4, "crc32": 4}
"""The CRCs that S3 keeps, with their lengths in bytes."""

# Best first. All four find what a network or a disk breaks. The CRCs come first because they
# combine: a file that came in parts is checked without being read again (and they run at the
# speed of memory: 20 GB/s against some 1 GB/s). Among them the longer one misses less.
_PREFERENCE = {**CRC_BYTES, "sha256": 32}

_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_MULTIPART = re.compile(r"[0-9a-fA-F]{32}-([1-9][0-9]{0,4})")

MIB = 1 << 20
MB = 1_000_000
_DOUBLINGS = [(8 << power) * MIB for power in range(10)]
_CONSOLE = 17_179_870
"""Bytes of a part where the AWS web console uploaded it."""
_USUAL = [5 * MIB, 10 * MIB, _CONSOLE] + [
    number * MIB for number in (15, 25, 50, 100, 6, 7, 12, 20, 40, 200, 250, 500, 1000)
]
_DECIMAL = [
    number * MB for number in (8, 5, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 250, 500, 1000)
]


class Crc(NamedTuple):
    """One CRC.

    Parameters
    ----------
    name : {"crc64nvme", "crc32c", "crc32"}
    update : callable
        ``update(data, value) -> value``: the CRC after `data`, where `value` is the one before it
        (0 at the start). Any number of threads may call it.
    combine : callable
        ``combine(a, b, length) -> value``: of two stretches, the second `length` bytes long.
    """

    name: str
    update: Callable[[Buffer, int], int]
    combine: Callable[[int, int, int], int]

    def hexdigest(self, value: int) -> str:
        """Return a value as text of the full width, as `Digest` holds it."""
        return f"{value:0{2 * CRC_BYTES[self.name]}x}"


@cache
def crc(name: str) -> Crc:
    """Return one of the CRCs.

    Parameters
    ----------
    name : {"crc64nvme", "crc32c", "crc32"}

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> nvme = crc("crc64nvme")
    >>> nvme.hexdigest(nvme.update(b"6789", nvme.update(b"12345", 0)))
    'ae8b14860a799888'
    """
    from awscrt import checksums  # noqa: PLC0415 - 45 ms

    if name == "crc64nvme":
        return Crc(name, checksums.crc64nvme, checksums.combine_crc64nvme)
    if name == "crc32c":
        return Crc(name, checksums.crc32c, checksums.combine_crc32c)
    if name == "crc32":
        return Crc(name, zlib.crc32, checksums.combine_crc32)
    msg = f"no CRC is called {name!r}; known are {', '.join(CRC_BYTES)}"
    raise ValueError(msg)


def warm_up() -> None:
    """Load the library of checksums, so that it is there when the first bytes come."""
    crc("crc64nvme")


def combine_parts(name: str, parts: Iterable[tuple[int, int]]) -> int:
    """Return the CRC of a file from those of its parts.

    Parameters
    ----------
    name : {"crc64nvme", "crc32c", "crc32"}
    parts : iterable of (value, length)
        In the order of the file; lengths in bytes.

    Examples
    --------
    >>> parts = [(zlib.crc32(b"12345"), 5), (zlib.crc32(b"6789"), 4)]
    >>> combine_parts("crc32", parts) == zlib.crc32(b"123456789")
    True
    """
    combine = crc(name).combine
    total = 0
    for value, length in parts:
        total = combine(total, value, length)
    return total


class Hasher(Protocol):
    """Takes the bytes of a file in order, and names their digest."""

    def update(self, data: Buffer, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, as lower-case hexadecimal text."""


class _CrcHasher:
    """A CRC with the interface of `hashlib`."""

    def __init__(self, algorithm: Crc) -> None:
        self._crc = algorithm
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._crc.update(data, self._value)

    def hexdigest(self) -> str:
        return self._crc.hexdigest(self._value)


def hasher(algorithm: str, size: int | None = None) -> Hasher:
    """Return a new streaming hasher.

    Parameters
    ----------
    algorithm : {"crc64nvme", "crc32c", "crc32", "sha256", "md5", "gitblob"}
    size : int, optional
        Bytes that will come: for ``gitblob``, which begins with their number.

    Raises
    ------
    ValueError
        If it is none of these, or the size is missing.

    Examples
    --------
    >>> digest = hasher("crc32c")
    >>> digest.update(b"123456789")
    >>> digest.hexdigest()
    'e3069283'
    >>> digest = hasher("gitblob", 5)  # as `printf hello | git hash-object --stdin` says
    >>> digest.update(b"hello")
    >>> digest.hexdigest()
    'b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0'
    """
    if algorithm == "gitblob":
        return _git_blob(size)
    if algorithm == "md5":
        return hashlib.md5(usedforsecurity=False)
    if algorithm == "sha256":
        return hashlib.sha256(usedforsecurity=False)
    return _CrcHasher(crc(algorithm))


def _git_blob(size: int | None) -> Hasher:
    """Return what computes the name that git gives to a file of so many bytes.

    https://git-scm.com/book/en/v2/Git-Internals-Git-Objects: the SHA-1 of a head and the content.
    """
    if size is None:
        msg = "the hash of a git blob begins with its size, which is not known"
        raise ValueError(msg)
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


class Layout(NamedTuple):
    """How an upload was cut into parts.

    Parameters
    ----------
    part_size : int
        Bytes of every part but the leading ones and the last.
    leading : tuple of (int, int)
        The first parts, where these have other sizes: how many, and the bytes of each.
    """

    part_size: int
    leading: tuple[tuple[int, int], ...] = ()

    def parts(self, size: int) -> int:
        """Return how many parts an upload of `size` bytes has; 0 where it does not fill them."""
        rest = size - sum(number * part for number, part in self.leading)
        before = sum(number for number, _ in self.leading)
        return before - (-rest // self.part_size) if rest > 0 else 0


class MultipartHasher:
    """Computes the ETag that an upload in parts would have been given.

    Parameters
    ----------
    part_size : int
        Bytes of every part but the leading ones and the last; see `part_sizes`.
    leading : iterable of (int, int)
        The first parts, where these have other sizes: how many, and the bytes of each.

    Examples
    --------
    >>> etag = MultipartHasher(part_size=5)
    >>> etag.update(b"123456789")
    >>> etag.hexdigest()
    '324730582f20c3f18cbb66d63a6137d2-2'
    >>> etag = MultipartHasher(4, leading=[(1, 5)])
    >>> etag.update(b"123456789")
    >>> etag.hexdigest()
    '324730582f20c3f18cbb66d63a6137d2-2'
    """

    def __init__(self, part_size: int, leading: Iterable[tuple[int, int]] = ()) -> None:
        runs = list(leading)
        for size in (part_size, *(size for _, size in runs)):
            if size < 1:
                msg = f"a part has at least one byte, not {size}"
                raise ValueError(msg)
        first = chain.from_iterable(repeat(size, number) for number, size in runs)
        self._sizes = chain(first, repeat(part_size))
        self._done: list[bytes] = []
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = next(self._sizes)

    def update(self, data: Buffer, /) -> None:
        """Take the next bytes of the file."""
        rest = memoryview(data).cast("B")
        while rest:
            if not self._room:
                self._close_part()
            piece, rest = rest[: self._room], rest[self._room :]
            self._part.update(piece)
            self._room -= len(piece)

    def _close_part(self) -> None:
        self._done.append(self._part.digest())
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = next(self._sizes)

    def hexdigest(self) -> str:
        """Return the ETag of all bytes so far."""
        return multipart_etag([*self._done, self._part.digest()])


def multipart_etag(part_md5s: Iterable[bytes]) -> str:
    """Return the ETag that S3 gives an upload in parts: the MD5 of their MD5s, and their number.

    Parameters
    ----------
    part_md5s : iterable of bytes
        The 16-byte MD5 of each part, in order.

    Examples
    --------
    >>> multipart_etag(hashlib.md5(part).digest() for part in (b"12345", b"6789"))
    '324730582f20c3f18cbb66d63a6137d2-2'
    """
    digests = list(part_md5s)
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(digests)}"


def etag_identity(etag: str | None) -> str:
    """Return what an ETag tells of the content, as text; "" where it tells nothing.

    Parameters
    ----------
    etag : str or None
        With or without quotation marks.

    Examples
    --------
    >>> etag_identity('"D41D8CD98F00B204E9800998ECF8427E"')
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    >>> etag_identity("d41d8cd98f00b204e9800998ecf8427e-12")
    'etag:d41d8cd98f00b204e9800998ecf8427e-12'
    """
    kind, text = etag_kind(etag), (etag or "").strip('"')
    if kind == "md5":
        return f"md5:{text.lower()}"
    return f"etag:{text}" if kind == "multipart" else ""


def etag_kind(
    etag: str | None, headers: Mapping[str, str] | None = None
) -> Literal["md5", "multipart", "opaque"]:
    """Say what an ETag tells about the content.

    Parameters
    ----------
    etag : str or None
        With or without quotation marks. A weak one (``W/``) is opaque.
    headers : mapping, optional
        The headers of the response in lower case, where they are known: an object that is
        encrypted with KMS or with a customer's key has an ETag that looks like an MD5 and is none.

    Examples
    --------
    >>> etag_kind('"d41d8cd98f00b204e9800998ecf8427e"')
    'md5'
    >>> etag_kind("d41d8cd98f00b204e9800998ecf8427e-12")
    'multipart'
    """
    if etag is None or _keyed(headers or {}):
        return "opaque"
    text = etag.strip('"')
    if _MD5.fullmatch(text):
        return "md5"
    return "multipart" if part_count(text) else "opaque"


def _keyed(headers: Mapping[str, str]) -> bool:
    encryption = headers.get("x-amz-server-side-encryption", "").lower()
    customer = "x-amz-server-side-encryption-customer-algorithm" in headers
    return customer or encryption.startswith("aws:kms")


def part_count(etag: str) -> int:
    """Return the number of parts that a multipart ETag names; 0 for any other ETag.

    Examples
    --------
    >>> part_count("d41d8cd98f00b204e9800998ecf8427e-12")
    12
    """
    match = _MULTIPART.fullmatch(etag.strip('"'))
    return int(match[1]) if match else 0


def part_sizes(size: int, count: int, limit: int = 64) -> tuple[int, ...]:
    """Return the sizes of part with which an upload of `size` bytes has `count` parts.

    A multipart ETag does not say how large the parts were. The upload tools use round numbers, so
    few sizes come into question. First come the doublings of 8 MiB (aws, boto3), then the
    defaults of other tools, then round decimal sizes, then every whole MiB that fits; the last
    one is the exact `count`-th part of the file, rounded up.

    Parameters
    ----------
    size : int
        Bytes of the object.
    count : int
        Parts of the upload; see `part_count`.
    limit : int
        At most so many are returned: each costs one MD5 of the file.

    Returns
    -------
    tuple of int
        Most likely first; empty where no size fits (more parts than bytes).

    Examples
    --------
    >>> part_sizes(100 * MIB, 13) == (8 * MIB, 8065970)
    True
    >>> part_sizes(100 * MIB, 1) == (100 * MIB,)
    True
    """
    if count == 1 and size >= 0:
        return (max(size, 1),)  # one part: its size does not change the ETag
    if count < 1 or size < count:
        return ()
    low, high = -(-size // count), (size - 1) // (count - 1)
    usual = (part for part in chain(_DOUBLINGS, _USUAL, _DECIMAL) if low <= part <= high)
    every = range(-(-low // MIB) * MIB, high + 1, MIB)
    round_ones = islice(_unique(chain(usual, every)), max(limit - 1, 0))
    return tuple(dict.fromkeys([*round_ones, low])) if low <= high else ()


_GROWING = (
    Layout(125 * MIB, ((1000, 5 * MIB), (1000, 25 * MIB))),
    Layout(125 * MIB, ((500, 5 * MIB), (500, 25 * MIB))),
    Layout(25 * MIB, ((1000, 5 * MIB),)),
    Layout(25 * MIB, ((500, 5 * MIB),)),
)
"""goofys lets its parts grow: after 1,000 and 2,000 of them, in older versions half as many."""


def layouts(size: int, count: int, limit: int = 64) -> tuple[Layout, ...]:
    """Return the ways in which an upload of `size` bytes may have been cut into `count` parts.

    Beside parts of one size (see `part_sizes`) these are a short last part that was joined to its
    neighbour (s3fs and fsspec do so), and parts that grow (goofys).

    Parameters
    ----------
    size : int
        Bytes of the object.
    count : int
        Parts of the upload; see `part_count`.
    limit : int
        At most so many are returned: each costs one MD5 of the file.

    Returns
    -------
    tuple of Layout
        Most likely first.

    Examples
    --------
    >>> layouts(33 * MIB + 7, 6)[0] == Layout(6 * MIB)
    True
    >>> Layout(10 * MIB, ((5, 5 * MIB),)) in layouts(33 * MIB + 7, 6)
    True
    """
    even = part_sizes(size, count)
    if count < 2:
        return tuple(map(Layout, even))
    known = (*_DOUBLINGS, *_USUAL, *_DECIMAL)
    usual = [Layout(part) for part in even if part in known]
    joined = _joined(size, count, known)
    every = range(-(-size // (count + 1) // MIB) * MIB, size // count + 1, MIB)
    rare = _joined(size, count, islice(every, limit))
    exact = [Layout(part) for part in even[-1:]]
    likely = [*usual, *joined, *_GROWING, *exact, *map(Layout, even), *rare]
    fitting = (one for one in dict.fromkeys(likely) if _fits(one, size, count))
    return tuple(islice(fitting, max(limit, 0)))


def layouts_of_first(size: int, count: int, first: int) -> tuple[Layout, ...]:
    """Return the ways to cut an upload of which the first part's size is known.

    Parameters
    ----------
    size : int
        Bytes of the object.
    count : int
        Parts of the upload.
    first : int
        Bytes of its first part.

    Examples
    --------
    >>> layouts_of_first(20, 3, 7), layouts_of_first(25, 3, 7)
    ((Layout(part_size=7, leading=()),), (Layout(part_size=14, leading=((2, 7),)),))
    """
    growing = (one for one in _GROWING if first == 5 * MIB)
    likely = (Layout(first), *_joined(size, count, [first]), *growing)
    return tuple(one for one in likely if _fits(one, size, count))


def _joined(size: int, count: int, parts: Iterable[int]) -> Iterator[Layout]:
    """Give the layouts in which the last part is larger than the others, up to twice as large."""
    for part in parts:
        if part < size - (count - 1) * part < 2 * part:
            yield Layout(2 * part, ((count - 1, part),))


def _fits(layout: Layout, size: int, count: int) -> bool:
    return layout.parts(size) == count


def _unique(sizes: Iterable[int]) -> Iterator[int]:
    seen: set[int] = set()
    for size in sizes:
        if size not in seen:
            seen.add(size)
            yield size


def from_headers(headers: Mapping[str, str], etag: str | None = None) -> Digest | None:
    """Return the checksum of the whole object that a server announces.

    Where there are several, the one that costs least to check is taken: crc64nvme, crc32c, crc32
    (they combine from parts), then sha256. A checksum of checksums (``COMPOSITE``, or a value
    that ends in ``-12``) says nothing about the whole and is passed over, as is one that is no
    base64 of the right length, and one of an upload in parts that does not say what it covers
    (see `claimed`).

    Parameters
    ----------
    headers : mapping
        Names in lower case; of a HEAD, or of a GET of the whole object.
    etag : str, optional
        Of the object: it tells whether the object was uploaded in parts.

    Examples
    --------
    >>> str(from_headers({"x-amz-checksum-crc32": "y/Q5Jg=="}))
    'crc32:cbf43926'
    >>> from_headers({"x-amz-checksum-crc32": "y/Q5Jg==-2"}) is None
    True
    """
    kind = headers.get("x-amz-checksum-type", "").strip().upper()
    if kind not in ("", "FULL_OBJECT"):
        return None
    sure = bool(kind) or not _in_parts(etag)
    return _announced(headers, _PREFERENCE if sure else {"crc64nvme": 8})


def _in_parts(etag: str | None) -> bool:
    """Whether an ETag ends as those of uploads in parts do, at servers of any kind."""
    return etag is not None and etag.strip('"').rpartition("-")[2].isdecimal() and "-" in etag


def claimed(headers: Mapping[str, str], etag: str | None) -> Digest | None:
    """Return a CRC that may be one of the whole object, or only one of the CRCs of its parts.

    So it is where an object was uploaded in parts and the server does not say what its checksum
    covers. It proves the bytes where it matches them, and nothing where it does not. (crc64nvme is
    always of the whole, SHA-256 never:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html.)

    Parameters
    ----------
    headers : mapping
        Names in lower case.
    etag : str or None
    """
    if not _in_parts(etag):
        return None
    if headers.get("x-amz-checksum-type") or from_headers(headers, etag) is not None:
        return None
    return _announced(headers, CRC_BYTES)


def _announced(headers: Mapping[str, str], lengths: Mapping[str, int]) -> Digest | None:
    for algorithm, length in lengths.items():
        raw = _decode(headers.get(f"x-amz-checksum-{algorithm}", ""))
        if raw is not None and len(raw) == length:
            return Digest(algorithm, raw.hex())
    return None


def _decode(text: str) -> bytes | None:
    """Return base64 as bytes; None where it is none: a weaker verification level is used then."""
    try:
        return a2b_base64(text.strip().encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        return None
