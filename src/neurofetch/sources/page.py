"""One page of the listing of a bucket, read from its XML: quickly where it is as S3 writes it.

Facts: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. A page of 1,000 keys
takes an XML parser some 10 ms. Nearly all pages are written in one and the same way, to the letter;
rows of that kind are read by one regular expression, and all the rest by the parser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from neurofetch.errors import ProtocolError, TransientError
from neurofetch.model import Listed
from neurofetch.sources.etag import read_etag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

__all__ = ["ADVICE", "Page"]

_Row = tuple[str, int | None, str | None, str | None, str]

_SIZE = re.compile(r"[0-9]{1,18}")
_TAG_LIMIT = 1_200_000
"""Tags and attributes in a page: a thousand keys have 15,000. Each takes 100 bytes of memory."""
_MARKS = (b"<", b'="', b"='")
"""What each of them has, at least where it is written as usual."""
_PROLOG = 4096
ADVICE = (
    "Nothing was fetched. Check the name of the bucket, and AWS_ENDPOINT_URL_S3 and "
    "AWS_ENDPOINT_URL if you set them."
)
_BOM = re.compile(rb"\A\xef\xbb\xbf")
_LISTING = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}(?:>\s*(?:<(?:\w+:)?ListBucketResult|\Z)|\Z)"
    rb"|<(?:\w+:)?ListBucketResult)"
)
_STARTS = (b"<?xml", b"<ListBucketResult")
_CUT = frozenset({3, 5, 6, 20})
"""What expat calls XML that ends too early: no element, or an open token, character or section."""
_ODD = frozenset({4, 14})
"""What it calls a character, or a reference to one, that XML cannot hold."""
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&#(x[0-9a-fA-F]{1,8}|[0-9]{1,8});")
_QUOTES = ("&quot;", '"')
_ROWS = [
    re.compile(
        "<Contents><Key>([^<]+)</Key><LastModified>([^<]{1,40})</LastModified>"
        f"<ETag>{quote}([0-9a-f]{{32}}(?:-[0-9]{{1,5}})?){quote}</ETag>"
        "((?:<Checksum(?:Algorithm|Type)>[A-Z0-9_]{1,20}</Checksum(?:Algorithm|Type)>){0,4})"
        "<Size>([0-9]{1,18})</Size>(?:<StorageClass>([A-Z_]{1,30})</StorageClass>)?</Contents>"
    )
    for quote in _QUOTES
]
"""A row as S3 writes it, for both ways to write a quotation mark. What is no group has a fixed
length, so the lengths of the groups tell that of the row."""
_CLASS = len("<StorageClass></StorageClass>")
_FIXED = [
    len("<Contents><Key></Key><LastModified></LastModified><ETag></ETag><Size></Size></Contents>")
    + 2 * len(quote)
    for quote in _QUOTES
]
_LETTERS = bytes(range(0x20, 0x7F))
"""What stands for itself alone in a row, but for the beginning of a reference."""
_FIRST, _LAST = "<Contents>", "</Contents>"
_DECLARED = re.compile(r"""\A<\?xml version=["']1\.0["'](?: encoding=["'](?i:utf-8)["'])?\s?\?>""")


class Page(NamedTuple):
    """One page of a listing.

    Parameters
    ----------
    files : Listed
    folders : list of str
        Common prefixes.
    goes_on : str
        What the server says of whether there is more.
    token, marker : str
        How to ask for the next page; "" where that is not said.
    """

    files: Listed
    folders: list[str]
    goes_on: str
    token: str
    marker: str

    @classmethod
    def parse(cls, body: bytes, shown_url: str) -> Page:
        """Read a page.

        Parameters
        ----------
        body : bytes
        shown_url : str
            For messages.

        Raises
        ------
        TransientError
            If it is cut.
        ProtocolError
            If it is something else.
        """
        quick = _quick_files(body)
        if quick is not None:
            files, rest = quick
            document = _Document.parse(rest, shown_url)
            if len(document.root.findall(f"{document.ns}Contents")) == 1:  # where the rows were
                if document.encoded and (b"%" in body or b"+" in body):
                    files = files._replace(keys=tuple(map(_unquoted, files.keys)))
                return document.page(files)
        document = _Document.parse(body, shown_url)
        return document.page(document.files())

    def last_name(self) -> str:
        """Return the last key or folder of the page; "" where it names none."""
        last = self.files.keys[-1] if self.files.keys else ""
        return max(last, self.folders[-1]) if self.folders else last

    def names(self) -> Iterator[str]:
        """Yield the keys and folders of the page."""
        yield from self.files.keys
        yield from self.folders


def _quick_files(body: bytes) -> tuple[Listed, bytes] | None:
    """Return the files of a page and the page with one empty row in their place.

    None where the page is not, to the letter, what S3 writes: one row after another, each as
    `_ROWS` says, nothing in between, and nothing elsewhere that could be one or hide one.
    """
    first, last = _FIRST.encode(), _LAST.encode()
    start, end = body.find(first), body.rfind(last) + len(last)
    if start < 0 or body[start:end].translate(None, _LETTERS):
        return None
    try:
        around = f"{body[:start].decode('ascii')}<Contents/>{body[end:].decode('ascii')}"
    except UnicodeDecodeError:
        return None
    declared = _DECLARED.match(around)
    if "<!" in around or "]]>" in around or around.count("<?") != (declared is not None):
        return None
    text = body[start:end].decode("ascii")
    plain = _QUOTES[0] not in text
    found = _ROWS[plain].findall(text)
    if not found:
        return None
    columns = list(zip(*found, strict=True))
    keys, modified, etags, _, sizes, classes = columns
    together = list(map("".join, columns))
    length = sum(map(len, together)) + len(found) * _FIXED[plain]
    length += (len(found) - classes.count("")) * _CLASS
    if length != len(text) or any(mark in one for mark in ("&", "]]") for one in together[:2]):
        return None
    kept = tuple("" if one == "STANDARD" else one for one in classes)
    files = Listed(keys, tuple(map(int, sizes)), etags, modified, kept)
    return files, around.encode("ascii")


def _unquoted(text: str) -> str:
    return unquote_plus(text, errors="surrogateescape")


def _tree(body: bytes) -> Element:
    """Return the root of a page.

    A server that ignores ``encoding-type`` may write a key with characters that XML cannot hold.
    Such a key is read with other characters in their place, so that the rest of the listing can be
    read; there is nothing under that name, and this is told when it is fetched.
    """
    from xml.etree import ElementTree  # noqa: PLC0415 - not needed for --help

    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        if error.code not in _ODD or not _LISTING.match(body):
            raise
    text = _NOT_IN_XML.sub("\ufffd", body.decode("utf-8", "replace"))
    return ElementTree.fromstring(_REFERENCE.sub(_readable, text).encode())


def _readable(found: re.Match[str]) -> str:
    """Return a reference to a character; one to what XML cannot hold becomes another."""
    digits = found[1].lower()
    number = int(digits[1:], 16) if digits.startswith("x") else int(digits)
    good = number in (9, 10, 13) or 32 <= number < 0xD800 or 0xE000 <= number < 0xFFFE
    return found[0] if good or 0x10000 <= number < 0x110000 else "\ufffd"


def _is_begun(body: bytes) -> bool:
    """Whether a body begins as a listing does, or is so short that it may have been one."""
    start = body.strip()
    return bool(_LISTING.match(body)) or any(one.startswith(start) for one in _STARTS)


class _Document(NamedTuple):
    """A page as a tree."""

    root: Element
    ns: str
    encoded: bool

    @classmethod
    def parse(cls, body: bytes, shown_url: str) -> _Document:
        from xml.etree import ElementTree  # noqa: PLC0415 - not needed for --help

        if not body.strip():
            raise TransientError(f"{shown_url}: an empty listing")
        start = repr(_BOM.sub(b"", body)[:60].decode("utf-8", "replace"))
        msg = (
            f"{shown_url}: expected the listing of a bucket, got something else: {start}. {ADVICE}"
        )
        # A listing declares no entities: with them, a few bytes become gigabytes.
        if b"<!DOCTYPE" in body[:_PROLOG] or b"\0" in body[:4]:
            raise ProtocolError(msg)
        if sum(map(body.count, _MARKS)) > _TAG_LIMIT:
            raise ProtocolError(
                f"{shown_url}: a page of a listing with more than {_TAG_LIMIT:,} tags. {ADVICE}"
            )
        try:
            root = _tree(body)
        except ElementTree.ParseError as error:
            if error.code in _CUT and _is_begun(body):
                msg = f"{shown_url}: a listing that is cut: {error}"
                raise TransientError(msg) from error
            raise ProtocolError(msg) from error
        except (LookupError, ValueError) as error:
            # it names an encoding that does not exist, or that expat cannot read
            raise ProtocolError(msg) from error
        if body.count(b"xmlns") > ("}" in root.tag) or b"xmlns:" in body:
            # Nothing in a page has a name that stands for two things. What is in a namespace of
            # its own would be passed over, as if it were not there.
            for one in root.iter():
                one.tag = one.tag.rpartition("}")[2]
        ns, brace, name = root.tag.rpartition("}")
        if name != "ListBucketResult":
            msg = f"{shown_url}: expected the listing of a bucket, got a <{name[:40]}>. {ADVICE}"
            raise ProtocolError(msg)
        document = cls(root, ns + brace, encoded=False)
        return document._replace(encoded=document.plain(root, "EncodingType") == "url")

    def page(self, files: Listed) -> Page:
        """Return the page with these files."""
        entries = self.root.iterfind(f"{self.ns}CommonPrefixes")
        return Page(
            files,
            [self.text(entry, "Prefix") for entry in entries],
            self.plain(self.root, "IsTruncated").strip().lower(),
            self.plain(self.root, "NextContinuationToken"),
            self.text(self.root, "NextMarker"),
        )

    def files(self) -> Listed:
        """Return the files."""
        rows = list(map(self._row, self.root.iterfind(f"{self.ns}Contents")))
        return Listed(*zip(*rows, strict=True)) if rows else Listed()

    def _row(self, entry: Element) -> _Row:
        # A size that is none says nothing of the other files, nor that this one is not there:
        # its response says how long it is.
        size = self.plain(entry, "Size").strip()
        return (
            self.text(entry, "Key"),
            int(size) if _SIZE.fullmatch(size) else None,
            self._etag(entry),
            self.plain(entry, "LastModified") or None,
            self._class(entry),
        )

    def _etag(self, entry: Element) -> str | None:
        """Return the ETag of an entry as the header of a response would hold it."""
        text = read_etag(self.plain(entry, "ETag")) or ""
        if not text.isascii():  # a header carries bytes, and is read byte by byte
            text = text.encode("utf-8", "replace").decode("latin-1")
        return text if text and text.isprintable() else None

    def _class(self, entry: Element) -> str:
        """Return where an object is kept; "" where that is nothing special, or it was restored.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreStatus.html: a copy that is there
        has an expiry date.
        """
        kept = self.plain(entry, "StorageClass")
        restored = entry.findtext(f"{self.ns}RestoreStatus/{self.ns}RestoreExpiryDate")
        return "" if restored or kept == "STANDARD" else kept

    def plain(self, element: Element, tag: str) -> str:
        return element.findtext(self.ns + tag) or ""

    def text(self, element: Element, tag: str) -> str:
        """Return a text that S3 percent-encodes when asked to."""
        text = self.plain(element, tag)
        return _unquoted(text) if self.encoded else text
