"""An S3 object: content with the digests that S3 keeps of it, and conditional, ranged reads."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from xml.sax.saxutils import escape

from awscrt import checksums

from testbed._blobs import Blob, Bytes, File, pieces
from testbed._faults import Reply

Content = bytes | Path | Blob
MODIFIED = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
CRCS: Mapping[str, tuple[Callable[[bytes, int], int], int]] = {
    "crc32": (checksums.crc32, 4),
    "crc32c": (checksums.crc32c, 4),
    "crc64nvme": (checksums.crc64nvme, 8),
}


@dataclass(frozen=True)
class S3Object:
    """An object of a bucket.

    Parameters
    ----------
    content
        Bytes, the path of a file, or a blob such as `Generated`.
    part_size
        Uploaded in parts of this many bytes: the ETag is then the MD5 of the parts' MD5s and
        their number. None: uploaded whole, and the ETag is its MD5.
    checksum
        What S3 keeps beside the ETag: ``crc64nvme``, ``crc32``, ``crc32c``, ``sha256`` or None.
        All cover the full object, but for a SHA-256 of parts, which is a digest of digests.
    forced_etag
        Say this instead of the true ETag (without quotes): for large objects, or to lie.
    cuts
        Uploaded in parts of these many bytes, in this order, instead of `part_size`.
    storage_class
        Where S3 keeps it; from an archive it is only given out where it is `restored`.
    restored
        Until when a copy of an archived object is there, as S3 says it; "" for none.
    """

    content: Content
    part_size: int | None = None
    checksum: str | None = "crc64nvme"
    forced_etag: str | None = None
    modified: datetime = MODIFIED
    cuts: tuple[int, ...] = ()
    storage_class: str = "STANDARD"
    restored: str = ""

    @property
    def archived(self) -> bool:
        """Whether it cannot be had now."""
        return self.storage_class in ("GLACIER", "DEEP_ARCHIVE") and not self.restored

    @cached_property
    def blob(self) -> Blob:
        """The content, readable from any place."""
        if isinstance(self.content, bytes):
            return Bytes(self.content)
        return File(self.content) if isinstance(self.content, Path) else self.content

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.blob.size

    @cached_property
    def etag(self) -> str:
        """The ETag, in its quotes."""
        if self.forced_etag is not None:
            return f'"{self.forced_etag}"'
        if not self.in_parts:
            return f'"{self.digest("md5").hex()}"'
        parts = self._part_digests("md5")
        joined = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        return f'"{joined}-{len(parts)}"'

    @cached_property
    def checksum_headers(self) -> dict[str, str]:
        """What S3 adds where the client asked for ``x-amz-checksum-mode: ENABLED``."""
        if self.checksum is None:
            return {}
        if self.checksum in CRCS:
            value = base64.b64encode(self._crc(*CRCS[self.checksum])).decode()
        elif not self.in_parts:
            value = base64.b64encode(self.digest(self.checksum)).decode()
        else:
            parts = self._part_digests(self.checksum)
            joined = hashlib.new(self.checksum, b"".join(parts)).digest()
            value = f"{base64.b64encode(joined).decode()}-{len(parts)}"
        return {f"x-amz-checksum-{self.checksum}": value, "x-amz-checksum-type": self.checksum_type}

    @property
    def checksum_type(self) -> str:
        """What the checksum covers: CRCs of parts can be joined, SHA-256s cannot."""
        whole = self.checksum in CRCS or not self.in_parts
        return "FULL_OBJECT" if whole else "COMPOSITE"

    def _crc(self, function: Callable[[bytes, int], int], width: int) -> bytes:
        value = 0
        for piece in pieces(self.blob):
            value = function(piece, value)
        return value.to_bytes(width, "big")

    def digest(self, algorithm: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return the digest of the content, or of a stretch of it."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for piece in pieces(self.blob, start, stop):
            digest.update(piece)
        return digest.digest()

    @property
    def in_parts(self) -> bool:
        """Whether it was uploaded in parts."""
        return bool(self.cuts) or self.part_size is not None

    def parts(self) -> list[tuple[int, int]]:
        """Return where each part begins and where it stops."""
        if self.cuts:
            stops = list(accumulate(self.cuts))
            return list(zip([0, *stops[:-1]], stops, strict=True))
        step = self.part_size or max(1, self.size)
        starts = range(0, max(1, self.size), step)
        return [(at, min(at + step, self.size)) for at in starts]

    def _part_digests(self, algorithm: str) -> list[bytes]:
        return [self.digest(algorithm, *span) for span in self.parts()]


def serve_object(item: S3Object, headers: Mapping[str, str], part: int | None = None) -> Reply:
    """Answer a GET or HEAD of an object: conditions first, then the range, then the rest.

    Parameters
    ----------
    item
        The object.
    headers
        Of the request, names in lower case.
    part
        The number of the part of the upload that is asked for, from 1; None for all of it.
    """
    base = {
        "ETag": item.etag,
        "Last-Modified": format_datetime(item.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
    }
    if not _matches(headers.get("if-match", "*"), item.etag):
        return xml_error(412, "PreconditionFailed", Condition="If-Match")
    if _matches(headers.get("if-none-match", ""), item.etag):
        return Reply(304, {"ETag": item.etag})
    asked = parse_range(headers.get("range", ""), item.size)
    if part is not None:
        spans = item.parts()
        if not 1 <= part <= len(spans):
            return xml_error(416, "InvalidPartNumber", PartNumberRequested=part)
        asked = spans[part - 1]
        if item.in_parts:
            base["x-amz-mp-parts-count"] = str(len(spans))
    if asked is None:
        if headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            base |= item.checksum_headers
        return Reply(200, base, item.blob)
    start, stop = asked
    if start >= stop:
        asked_for = headers["range"]
        return xml_error(416, "InvalidRange", RangeRequested=asked_for, ActualObjectSize=item.size)
    base["Content-Range"] = f"bytes {start}-{stop - 1}/{item.size}"
    return Reply(206, base, item.blob, start, stop)


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """Return start and stop of a Range header; None where it asks for nothing that S3 heeds.

    Start is not below stop where the range cannot be satisfied.

    Examples
    --------
    >>> parse_range("bytes=2-", 10), parse_range("bytes=-3", 10), parse_range("bytes=0-99", 10)
    ((2, 10), (7, 10), (0, 10))
    >>> parse_range("bytes=10-", 10), parse_range("lines=1-2", 10)
    ((10, 10), None)
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", value.replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        last = int(match[2])
        return (max(0, size - last), size) if last else (size, size)
    start = int(match[1])
    stop = int(match[2]) + 1 if match[2] else size
    if match[2] and stop <= start:
        return None
    return start, min(stop, size)


def _matches(condition: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in condition.split(",")]
    return "*" in tags or etag.strip('"') in tags


def xml_error(status: int, code: str, message: str = "", **details: object) -> Reply:
    """Return an error as S3 writes them."""
    fields = {"Code": code, "Message": message or code, **details}
    inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return Reply(status, {"Content-Type": "application/xml"}, Bytes(body.encode()))
