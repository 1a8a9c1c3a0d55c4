"""Verification: the bytes of a file, compared with what the server says of it.

Strongest first: a checksum of the whole object; an ETag that is an MD5; a multipart ETag, computed
again from its parts; the size. The report names the verification level that was reached.

A checksum that the server states decides. An ETag is a claim: where it matches it proves the bytes,
and where it does not, they are damaged, or the ETag is no checksum (see ADR 12). Then `EtagError`
carries what the bytes are, so that a second download can settle it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from neurofetch.errors import VerificationError
from neurofetch.integrity.checksums import (
    CRC_BYTES,
    Hasher,
    Layout,
    MultipartHasher,
    claimed,
    combine_parts,
    crc,
    etag_kind,
    from_headers,
    hasher,
    layouts,
    layouts_of_first,
    multipart_etag,
    part_count,
    part_sizes,
)
from neurofetch.model import Digest, VerificationLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from neurofetch.model import RemoteFile

    Reader = Callable[[], Iterable[bytes | memoryview]]
    PartLength = Callable[[int], int | None]
    """Asks the server for the bytes of a part of the upload, numbered from 1; None: unknown."""

__all__ = ["EtagError", "OnePiece", "ServerChecksum", "Verified", "check_parts", "read_blocks"]

_BLOCK = 1 << 20
_GUESSES = 6
"""Part sizes that are tried side by side: each costs an MD5 of the file."""
_HASHED = 32 << 30
"""Bytes that are hashed, at most, to find the parts of one upload; but see `_FEWEST`."""
_FEWEST, _MOST = 8, 64
"""Ways to cut an upload that are tried side by side, at least and at most."""
_ASKED = 32
"""Parts of an upload, at most, for each of which the server is asked how large it is."""
_AWS = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".csp.hci.ic.gov",
    ".cloud.adc-e.uk",
)
"""How the hosts of AWS end, in all its partitions."""


class Verified(NamedTuple):
    """How the bytes were verified, a digest to check them by later, and a word on how it came.

    `version` is that of the object, as S3 counts them, where the server told it.
    """

    verification: VerificationLevel
    digest: str
    note: str = ""
    version: str = ""

    @property
    def beyond_etag(self) -> str:
        """The digest, where the ETag does not say the same: a report has one for every file."""
        return "" if self.verification is VerificationLevel.MD5 else self.digest


class EtagError(VerificationError):
    """The ETag does not match, and no checksum of the whole is stated.

    The bytes are damaged, or the ETag is no checksum: by itself this tells neither.

    Parameters
    ----------
    message : str
    kind : str
        What the ETag looks like; see `ServerChecksum`.
    verified : Verified
        What is known of the bytes all the same: their size, and a digest to compare them by.
    """

    def __init__(self, message: str, kind: str = "", verified: Verified | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.verified = verified or Verified(VerificationLevel.NONE, "")


@dataclass(frozen=True, slots=True)
class ServerChecksum:
    """What the server says of an object.

    Parameters
    ----------
    name : str
        For messages.
    size : int or None
    etag : str or None
    digest : Digest or None
        The checksum of the whole that is stated.
    kind : {"md5", "multipart", "opaque"}
        What the ETag looks like.
    listed : Digest or None
        The checksum that stood in the listing, so that it tells one version from another.
    claim : Digest or None
        A CRC that may be one of the whole, or one of the CRCs of the parts.
    url : str
        Where it is.
    listed_etag : str
        The ETag in the listing, where the object itself has another; else "".
    """

    name: str
    size: int | None
    etag: str | None
    digest: Digest | None
    kind: str
    listed: Digest | None = None
    claim: Digest | None = None
    url: str = ""
    listed_etag: str = ""

    @classmethod
    def of(cls, remote: RemoteFile, headers: Mapping[str, str] | None = None) -> ServerChecksum:
        """Join what the listing and the headers of a response say."""
        etag, listed, told = remote.etag, remote.digest, headers or {}
        shown = etag or told.get("etag")
        digest = listed or (from_headers(told, shown) if told else None)
        claim = claimed(told, shown) if told and digest is None else None
        kind = etag_kind(etag, told)
        return cls(
            remote.key, remote.size, etag, digest, kind, listed, claim, remote.url, remote.listed
        )

    @property
    def sure(self) -> bool:
        """Whether the ETag is an MD5, and does not only look like one.

        At AWS it is, where the object is not encrypted by a key of its own:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html.
        """
        return self.kind == "md5" and (urlsplit(self.url).hostname or "").endswith(_AWS)

    @property
    def crc(self) -> str:
        """The CRC to compute of each part as it arrives: the server's own, or the fastest."""
        known = self.digest or self.claim
        name = known.algorithm if known else ""
        return name if name in CRC_BYTES else "crc64nvme"

    @property
    def likely_part_sizes(self) -> tuple[int, ...]:
        """Sizes that the parts of the upload may have had; empty without a multipart ETag."""
        if self.kind != "multipart" or self.etag is None or self.size is None:
            return ()
        return part_sizes(self.size, part_count(self.etag))

    def mismatch(self, level: VerificationLevel, found: str, content: str) -> VerificationError:
        """Return the error for bytes that are not those that the checksum, or the ETag, names.

        Parameters
        ----------
        level : VerificationLevel
            What was compared.
        found : str
            What came of it.
        content : str
            ``algorithm:hex`` of the bytes that came.
        """
        stated = level is VerificationLevel.CHECKSUM and self.digest is not None
        expected = self.digest.value if stated and self.digest is not None else self.etag
        msg = (
            f"{self.name}: the bytes that came differ from those of the server "
            f"({level.value}: expected {expected}, got {found})"
        )
        if stated or self.sure:
            return VerificationError(msg)
        size = VerificationLevel.NONE if self.size is None else VerificationLevel.SIZE
        return EtagError(msg, self.kind, Verified(size, content))


class OnePiece:
    """Hash a file whose bytes pass in order, and compare it with the server checksum.

    Parameters
    ----------
    checksum : ServerChecksum
    once : bool
        The bytes cannot be read again. Then, where only a multipart ETag tells of the content,
        several likely part sizes are tried side by side.
    part_length : callable, optional
        Asks how large a part of the upload is. With `once` it is asked before the bytes come.

    Attributes
    ----------
    length : int
        Bytes that came so far.
    """

    def __init__(
        self,
        checksum: ServerChecksum,
        *,
        once: bool = False,
        part_length: PartLength | None = None,
    ) -> None:
        self._checksum = checksum
        self._once = once
        self._part_length = part_length
        self._checks, self._content = self._choose()
        self._hashers = [one for one, _, _ in self._checks]
        if self._content not in self._hashers:
            self._hashers.append(self._content)
        self.length = 0

    def _choose(self) -> tuple[list[tuple[Hasher, str, VerificationLevel]], Hasher]:
        """Return what is computed, what it should be, and what tells one content from another."""
        checksum, level = self._checksum, VerificationLevel
        digest, claim, etag = checksum.digest, checksum.claim, (checksum.etag or "").lower()
        if digest is not None:
            whole = hasher(digest.algorithm, checksum.size)
            return [(whole, digest.value, level.CHECKSUM)], whole
        if checksum.kind == "md5":
            whole = hasher("md5")
            return [(whole, etag, level.MD5)], whole
        checks: list[tuple[Hasher, str, VerificationLevel]] = []
        if claim is not None:
            checks.append((hasher(claim.algorithm), claim.value, level.CHECKSUM))
        if checksum.kind == "multipart":
            guesses = (MultipartHasher(*layout) for layout in self._first_guesses())
            checks += [(guess, etag, level.MULTIPART) for guess in guesses]
        return checks, hasher("crc64nvme")

    def _first_guesses(self) -> list[Layout]:
        checksum = self._checksum
        if self._once and self._part_length is not None:
            told = list(next(_rounds(checksum, self._part_length), ()))
            if told:
                return told[:_GUESSES]
        sizes = checksum.likely_part_sizes[: _GUESSES if self._once else 1]
        return [Layout(size) for size in sizes]

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        for one in self._hashers:
            one.update(data)
        self.length += len(data)

    def settle(self, again: Reader | None = None) -> Verified:
        """Say how the file was verified.

        Parameters
        ----------
        again : callable, optional
            Gives the bytes once more, block by block: needed when the part size of a multipart
            upload was guessed wrong.

        Raises
        ------
        EtagError
            If only the ETag tells of the content, and does not match.
        VerificationError
            If the bytes do not match the server checksum.
        """
        checksum = self._checksum
        if checksum.size is not None and self.length != checksum.size:
            msg = f"{checksum.name}: {self.length} bytes came, but the server says {checksum.size}"
            raise VerificationError(msg)
        content = f"{self._content_name}:{self._content.hexdigest()}"
        for one, expected, level in self._checks:
            if one.hexdigest() == expected:
                return Verified(level, content)
        if checksum.kind == "multipart" and checksum.digest is None:
            return self._multipart(content, again)
        if self._checks:
            one, _, level = self._checks[-1]
            problem = checksum.mismatch(level, one.hexdigest(), content)
            if self._once and not isinstance(problem, EtagError):
                raise VerificationError(f"{problem}; nothing was kept")
            raise problem
        known = VerificationLevel.NONE if checksum.size is None else VerificationLevel.SIZE
        return Verified(known, content)

    @property
    def _content_name(self) -> str:
        checksum = self._checksum
        if checksum.digest is not None:
            return checksum.digest.algorithm
        return "md5" if checksum.kind == "md5" else "crc64nvme"

    def _multipart(self, content: str, again: Reader | None) -> Verified:
        checksum, tried = self._checksum, self._first_guesses() if again else []
        if again is not None and _found_parts(checksum, again, self._part_length, tried):
            return Verified(VerificationLevel.MULTIPART, content)
        found = "none of the likely part sizes"
        raise checksum.mismatch(VerificationLevel.MULTIPART, found, content)


def check_parts(
    checksum: ServerChecksum,
    parts: Sequence[tuple[int, int, str]],
    part_size: int,
    again: Reader,
    part_length: PartLength | None = None,
) -> Verified:
    """Compare a file that arrived in parts with the server checksum.

    Parameters
    ----------
    checksum : ServerChecksum
    parts : sequence of (crc, length, md5)
        In the order of the file; the MD5 in hexadecimal, "" where it was not computed.
    part_size : int
        Bytes of every part but the last.
    again : callable
        Gives the bytes of the file once more, block by block.
    part_length : callable, optional
        Asks how large a part of the upload is.

    Raises
    ------
    EtagError
        If only the ETag tells of the content, and does not match.
    VerificationError
        If the bytes do not match the server checksum.
    """
    name, level = checksum.crc, VerificationLevel
    total = crc(name).hexdigest(combine_parts(name, ((c, length) for c, length, _ in parts)))
    content = f"{name}:{total}"
    if checksum.digest is not None:
        found = (
            total
            if checksum.digest.algorithm == name
            else _hash(checksum.digest.algorithm, again, checksum.size)
        )
        if found != checksum.digest.value:
            raise checksum.mismatch(level.CHECKSUM, found, content)
        return Verified(level.CHECKSUM, str(checksum.digest))
    if checksum.claim is not None and content == str(checksum.claim):
        return Verified(level.CHECKSUM, content)
    if checksum.kind == "md5" and checksum.etag is not None:
        found = _hash("md5", again)
        if found != checksum.etag.lower():
            raise checksum.mismatch(level.MD5, found, content)
        return Verified(level.MD5, content)
    if checksum.kind == "multipart":
        if not _same_multipart(checksum, parts, part_size, again, part_length):
            raise checksum.mismatch(level.MULTIPART, "none of the likely part sizes", content)
        return Verified(level.MULTIPART, content)
    return Verified(level.SIZE, content)


def _same_multipart(
    checksum: ServerChecksum,
    parts: Sequence[tuple[int, int, str]],
    part_size: int,
    again: Reader,
    part_length: PartLength | None,
) -> bool:
    tried: list[Layout] = []
    if part_size in checksum.likely_part_sizes and all(md5 for _, _, md5 in parts):
        found = multipart_etag(bytes.fromhex(md5) for _, _, md5 in parts)
        if found == (checksum.etag or "").lower():
            return True
        tried = [Layout(part_size)]
    return _found_parts(checksum, again, part_length, tried)


def _found_parts(
    checksum: ServerChecksum, again: Reader, part_length: PartLength | None, tried: list[Layout]
) -> bool:
    """Look for the parts whose MD5s give the ETag: two passes over the file at most."""
    etag = (checksum.etag or "").lower()
    for guesses in _rounds(checksum, part_length):
        hashers = [MultipartHasher(*layout) for layout in guesses if layout not in tried]
        if not hashers:
            continue
        for block in again():
            for one in hashers:
                one.update(block)
        if any(one.hexdigest() == etag for one in hashers):
            return True
    return False


def _rounds(checksum: ServerChecksum, part_length: PartLength | None) -> Iterator[Iterable[Layout]]:
    """Give the ways in which the upload may have been cut, for one pass after the other."""
    size, count = checksum.size, part_count(checksum.etag or "")
    if size is None or not count:
        return
    first = part_length(1) if part_length is not None and count > 1 else None
    if part_length is None or first is None:
        yield layouts(size, count, max(_FEWEST, min(_MOST, _HASHED // max(size, 1))))
        return
    yield layouts_of_first(size, count, first)
    exact = _as_told(size, count, first, part_length)
    if exact is not None:
        yield [exact]


def _as_told(size: int, count: int, first: int, part_length: PartLength) -> Layout | None:
    """Ask for the size of every part; None where they are many, or are not all told."""
    if count > _ASKED:
        return None
    sizes = [first]
    for number in range(2, count):
        told = part_length(number)
        if told is None:
            return None
        sizes.append(told)
    last = size - sum(sizes)
    if last < 1:
        return None
    runs = ((len(list(same)), part) for part, same in groupby(sizes))
    return Layout(last, tuple(runs))


def _hash(algorithm: str, again: Reader, size: int | None = None) -> str:
    digest = hasher(algorithm, size)
    for block in again():
        digest.update(block)
    return digest.hexdigest()


def read_blocks(path: str) -> Iterable[memoryview]:
    """Give the bytes of a file, block by block; a block is valid until the next is asked for."""
    buffer = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]
