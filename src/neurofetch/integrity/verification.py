"""Verification: the bytes of a file, compared with what the server says of it.

Strongest first: a checksum of the whole object; an ETag that is an MD5; a multipart ETag, computed
again from its parts; the size. The report names the verification level that was reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import VerificationError
from neurofetch.integrity.checksums import (
    CRC_BYTES,
    Hasher,
    MultipartHasher,
    combine_parts,
    crc,
    etag_kind,
    from_headers,
    hasher,
    multipart_etag,
    part_count,
    part_sizes,
)
from neurofetch.model import Digest, VerificationLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from neurofetch.model import RemoteFile

    Reader = Callable[[], Iterable[bytes | memoryview]]

__all__ = ["OnePiece", "ServerChecksum", "Verified", "check_parts", "read_blocks"]

_BLOCK = 1 << 20
_GUESSES = 6
"""Part sizes that are tried side by side: each costs an MD5 of the file."""


class Verified(NamedTuple):
    """How the bytes were verified, and a digest to check them by later."""

    verification: VerificationLevel
    digest: str


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
    kind : {"md5", "multipart", "opaque"}
        What the ETag tells of the content.
    listed : Digest or None
        The checksum that stood in the listing, so that it tells one version from another.
    """

    name: str
    size: int | None
    etag: str | None
    digest: Digest | None
    kind: str
    listed: Digest | None = None

    @classmethod
    def of(cls, remote: RemoteFile, headers: Mapping[str, str] | None = None) -> ServerChecksum:
        """Join what the listing and the headers of a response say."""
        digest = remote.digest or (from_headers(headers) if headers else None)
        kind = etag_kind(remote.etag, headers)
        return cls(remote.key, remote.size, remote.etag, digest, kind, remote.digest)

    @property
    def crc(self) -> str:
        """The CRC to compute of each part as it arrives: the server's own, or the fastest."""
        name = self.digest.algorithm if self.digest else ""
        return name if name in CRC_BYTES else "crc64nvme"

    @property
    def likely_part_sizes(self) -> tuple[int, ...]:
        """Sizes that the parts of the upload may have had; empty without a multipart ETag."""
        if self.kind != "multipart" or self.etag is None or self.size is None:
            return ()
        return part_sizes(self.size, part_count(self.etag))


class OnePiece:
    """Hash a file whose bytes pass in order, and compare it with the server checksum.

    Parameters
    ----------
    checksum : ServerChecksum
    once : bool
        The bytes cannot be read again. Then, where only a multipart ETag tells of the content,
        several likely part sizes are tried side by side.

    Attributes
    ----------
    length : int
        Bytes that came so far.
    """

    def __init__(self, checksum: ServerChecksum, *, once: bool = False) -> None:
        self._checksum = checksum
        self._once = once
        self._hashers, self._expected, self._verification = self._choose()
        self.length = 0

    def _choose(self) -> tuple[list[Hasher], str | None, VerificationLevel]:
        checksum = self._checksum
        digest = checksum.digest
        if digest is not None:
            return [hasher(digest.algorithm)], digest.value, VerificationLevel.CHECKSUM
        if checksum.kind == "md5" and checksum.etag is not None:
            return [hasher("md5")], checksum.etag.lower(), VerificationLevel.MD5
        sizes = checksum.likely_part_sizes[: _GUESSES if self._once else 1]
        if sizes and checksum.etag is not None:
            guesses: list[Hasher] = [MultipartHasher(size) for size in sizes]
            return guesses, checksum.etag.lower(), VerificationLevel.MULTIPART
        return [hasher("crc64nvme")], None, VerificationLevel.SIZE

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
            upload was guessed wrong, and for the digest that the receipt keeps of such a file.

        Raises
        ------
        VerificationError
            If the bytes do not match the server checksum.
        """
        checksum, level = self._checksum, self._verification
        if checksum.size is not None and self.length != checksum.size:
            msg = f"{checksum.name}: {self.length} bytes came, but the server says {checksum.size}"
            raise VerificationError(msg)
        found = [one.hexdigest() for one in self._hashers]
        if level is VerificationLevel.MULTIPART:
            return self._multipart(found, again)
        if self._expected is not None and self._expected not in found:
            problem = _mismatch(checksum, level, self._expected, found[0])
            raise VerificationError(f"{problem}; nothing was kept") if self._once else problem
        if level is VerificationLevel.CHECKSUM and checksum.digest is not None:
            return Verified(level, str(checksum.digest))
        if level is VerificationLevel.MD5:
            return Verified(level, f"md5:{found[0]}")
        level = level if checksum.size is not None else VerificationLevel.NONE
        return Verified(level, f"crc64nvme:{found[0]}")

    def _multipart(self, found: list[str], again: Reader | None) -> Verified:
        checksum = self._checksum
        if again is not None:
            if self._expected not in found:
                _try_part_sizes(checksum, again, checksum.likely_part_sizes[1:])
            return Verified(VerificationLevel.MULTIPART, f"crc64nvme:{_hash('crc64nvme', again)}")
        if self._expected not in found:
            msg = (
                f"{checksum.name}: none of {len(found)} usual part sizes gives its ETag "
                f"{self._expected}: it is damaged, or was uploaded in unusual parts; only a "
                "new download can tell; nothing was kept"
            )
            raise VerificationError(msg)
        return Verified(VerificationLevel.MULTIPART, "")


def check_parts(
    checksum: ServerChecksum,
    parts: Sequence[tuple[int, int, str]],
    part_size: int,
    again: Reader,
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

    Raises
    ------
    VerificationError
        If the bytes do not match the server checksum.
    """
    name = checksum.crc
    total = crc(name).hexdigest(combine_parts(name, ((c, length) for c, length, _ in parts)))
    digest = f"{name}:{total}"
    if checksum.digest is not None:
        found = (
            total if checksum.digest.algorithm == name else _hash(checksum.digest.algorithm, again)
        )
        if found != checksum.digest.value:
            raise _mismatch(checksum, VerificationLevel.CHECKSUM, checksum.digest.value, found)
        return Verified(VerificationLevel.CHECKSUM, str(checksum.digest))
    if checksum.kind == "md5" and checksum.etag is not None:
        found = _hash("md5", again)
        if found != checksum.etag.lower():
            raise _mismatch(checksum, VerificationLevel.MD5, checksum.etag, found)
        return Verified(VerificationLevel.MD5, digest)
    if checksum.kind == "multipart" and checksum.etag is not None:
        _check_multipart(checksum, checksum.etag, parts, part_size, again)
        return Verified(VerificationLevel.MULTIPART, digest)
    return Verified(VerificationLevel.SIZE, digest)


def _check_multipart(
    checksum: ServerChecksum,
    etag: str,
    parts: Sequence[tuple[int, int, str]],
    part_size: int,
    again: Reader,
) -> None:
    sizes = checksum.likely_part_sizes
    if part_size in sizes and all(md5 for _, _, md5 in parts):
        if multipart_etag(bytes.fromhex(md5) for _, _, md5 in parts) == etag.lower():
            return
        sizes = tuple(size for size in sizes if size != part_size)
    _try_part_sizes(checksum, again, sizes)


def _try_part_sizes(checksum: ServerChecksum, again: Reader, sizes: Iterable[int]) -> None:
    for size in sizes:
        attempt = MultipartHasher(size)
        for block in again():
            attempt.update(block)
        if checksum.etag is not None and attempt.hexdigest() == checksum.etag.lower():
            return
    raise _mismatch(
        checksum, VerificationLevel.MULTIPART, checksum.etag or "", "none of the likely part sizes"
    )


def _hash(algorithm: str, again: Reader) -> str:
    digest = hasher(algorithm)
    for block in again():
        digest.update(block)
    return digest.hexdigest()


def _mismatch(
    checksum: ServerChecksum, verification: VerificationLevel, expected: str, found: str
) -> VerificationError:
    return VerificationError(
        f"{checksum.name}: the bytes that came differ from those of the server "
        f"({verification.value}: expected {expected}, got {found})"
    )


def read_blocks(path: str) -> Iterable[memoryview]:
    """Give the bytes of a file, block by block; a block is valid until the next is asked for."""
    buffer = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]
