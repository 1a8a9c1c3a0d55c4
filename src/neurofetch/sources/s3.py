"""Public S3 buckets, or what speaks like one: ListObjectsV2, unsigned.

Facts: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. Keys come
percent-encoded (``encoding-type=url``), since XML cannot carry every key.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus

from neurofetch.errors import (
    MissingBucketError,
    MissingRemoteError,
    ProtocolError,
    RefusedError,
    RemoteChangedError,
    TransientError,
    UnreachableError,
    UsageError,
)
from neurofetch.model import RemoteFile
from neurofetch.net.failures import (
    PORTAL_HINT,
    failure_of,
    is_page,
    s3_code,
    s3_word,
    told,
    who_answered,
)
from neurofetch.net.http1 import Request
from neurofetch.net.refusals import NOT_LISTED, NOT_PUBLIC
from neurofetch.net.settings import REGION, aws_domain
from neurofetch.sources.etag import read_etag
from neurofetch.sources.source import Level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import Attempts

__all__ = ["Bucket", "S3Source", "parse_s3_url"]

_NOTHING = (
    "Nothing was fetched. Check the network, the proxy variables, and AWS_ENDPOINT_URL_S3 and "
    "AWS_ENDPOINT_URL if you set them; then try again."
)
_PAGE_LIMIT = 16 * 1024 * 1024
_REGION_HEADER = "x-amz-bucket-region"
_SIZE = re.compile(r"[0-9]{1,18}")
_TAG_LIMIT = 1_200_000
"""Tags and attributes in a page: a thousand keys have 15,000. Each takes 100 bytes of memory."""
_MARKS = (b"<", b'="', b"='")
"""What each of them has, at least where it is written as usual."""
_PROLOG = 4096
_ADVICE = (
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
_YES, _NO = frozenset({"true", "1", "yes", "t"}), frozenset({"false", "0", "no", "f"})
_IDLE_PAGES = 250
"""Pages, one after another, that bring nothing new. A bucket where much was deleted has some."""
_REFUSALS = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "SignatureDoesNotMatch",
    }
)
_WRONG_PLACES = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "IllegalLocationConstraint",
        "PermanentRedirect",
        "Redirect",
        "TemporaryRedirect",
    }
)
_ENDPOINT_REGION = re.compile(
    r"(?:\A|\.)s3[.-](?:dualstack\.)?([a-z]{2,}-[a-z0-9-]+-\d+)\.amazonaws\."
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket is.

    Parameters
    ----------
    name : str
    region : str or None
        None where it is not known; AWS tells it, and we follow.
    endpoint : str or None
        An S3 server other than AWS, as ``https://host:port``; keys then follow the bucket's name
        in the path. A user and password in it are dropped: requests are not signed.
    """

    name: str
    region: str | None = None
    endpoint: str | None = None

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            scheme, separator, rest = self.endpoint.rstrip("/").partition("://")
            authority, slash, path = rest.partition("/")
            plain = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
            object.__setattr__(self, "endpoint", plain)

    @property
    def base(self) -> str:
        """The URL that keys are appended to."""
        if self.endpoint is not None:
            return f"{self.endpoint}/{self.name}/"
        host = f"s3.{self.region}.{aws_domain(self.region)}" if self.region else "s3.amazonaws.com"
        if "." in self.name:  # the certificate covers one level of names only
            return f"https://{host}/{self.name}/"
        return f"https://{self.name}.{host}/"

    def url(self, key: str) -> str:
        """Return the URL of a key."""
        return self.base + _quoted(key)


def _quoted(key: str) -> str:
    return quote(key, safe="/-_.~", errors="surrogateescape")


def parse_s3_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of an ``s3://BUCKET/PREFIX`` URL.

    Raises
    ------
    UsageError
        If it is anything else.

    Examples
    --------
    >>> parse_s3_url("s3://openneuro.org/ds000001/")
    ('openneuro.org', 'ds000001/')
    """
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket or set(bucket) - _BUCKET_CHARACTERS:
        msg = f"expected a URL such as s3://openneuro.org/ds000001, got {url!r}"
        raise UsageError(msg)
    return bucket, prefix


_BUCKET_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


class S3Source:
    """List a bucket.

    Parameters
    ----------
    client : Client
    bucket : Bucket
    attempts : Attempts
    """

    def __init__(self, client: Client, bucket: Bucket, attempts: Attempts) -> None:
        self._client = client
        self._bucket = bucket
        self._attempts = attempts
        self._lock = threading.Lock()

    notes: tuple[str, ...] = ()

    @property
    def bucket(self) -> Bucket:
        """The bucket, with its region once that is known."""
        return self._bucket

    @property
    def name(self) -> str:
        """The URL of the bucket."""
        return self._bucket.base

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:  # noqa: ARG002
        """Return the URL of an object of a public bucket, which always holds."""
        return remote.url

    def signed(self, remote: RemoteFile) -> bool:  # noqa: ARG002
        """Return False: public objects need no signature."""
        return False

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file below `prefix`, sorted by key: one request per 1,000 keys.

        Raises
        ------
        MissingBucketError, RefusedError, UnreachableError, ProtocolError
        """
        files: dict[str, RemoteFile] = {}
        for page in self._pages(prefix, ""):
            files.update((file.key, file) for file in self._files(page, prefix))
            if self._folders(page, prefix):
                raise self._senseless(f"has folders in the place of files below {prefix!r}")
        return [files[key] for key in sorted(files)]

    def level(self, prefix: str) -> Level:
        """Return the files and folders directly below `prefix`.

        Raises
        ------
        MissingBucketError, RefusedError, UnreachableError, ProtocolError
        """
        files: dict[str, RemoteFile] = {}
        folders: set[str] = set()
        for page in self._pages(prefix, "/"):
            files.update((file.key, file) for file in self._files(page, prefix))
            folders.update(self._folders(page, prefix))
        for key in files:
            if "/" in key[len(prefix) :]:
                raise self._senseless(f"has {key!r} directly below {prefix!r}")
        return Level([files[key] for key in sorted(files)], sorted(folders))

    def _pages(self, prefix: str, delimiter: str) -> Iterator[_Page]:
        """Yield the pages of a listing, each once and to the last; never a part of them.

        The end is where the server says so. A server that says that it goes on has to get on: a
        place in the listing that comes twice, or pages without end that bring nothing new, are
        errors, and not the end.
        """
        place, seen, known = "", {""}, _Seen()
        while True:
            page = self._patiently(prefix, delimiter, place)
            yield page
            place = self._next_place(page)
            if not place:
                return
            if place in seen:
                raise self._senseless("says that it goes on, and leads back to where it was")
            seen.add(place)
            if known.idle_after(page) > _IDLE_PAGES:
                raise self._senseless(f"goes on for {_IDLE_PAGES} pages without anything new")

    def _next_place(self, page: _Page) -> str:
        """Return the part of the query that asks for the next page; "" where this is the last."""
        goes_on = page.plain(page.root, "IsTruncated").strip().lower()
        token = page.plain(page.root, "NextContinuationToken")
        marker = page.text(page.root, "NextMarker")
        if goes_on in _NO:
            return ""
        if goes_on not in _YES and (goes_on or not (token or marker)):
            if not goes_on:
                return ""  # one page, of a server that does not say so
            raise self._senseless(f"does not say whether it goes on: {goes_on[:40]!r}")
        if token:
            return f"&continuation-token={quote(token, safe='')}"
        # The first version of this request, which some servers speak whatever is asked: it goes
        # on after a key. `start-after` says the same to those that forgot only the token.
        after = marker or max(page.names(), default="")
        if not after:
            raise self._senseless("says that it goes on, but not how")
        quoted = quote(after, safe="", errors="surrogateescape")
        return f"&start-after={quoted}&marker={quoted}"

    def _patiently(self, prefix: str, delimiter: str, place: str) -> _Page:
        try:
            return self._attempts.run(lambda: self._page(prefix, delimiter, place))
        except UnreachableError as error:
            if not isinstance(error.__cause__, TransientError):
                raise  # no attempt could help, and it says already what to do
            msg = f"{error}. {_NOTHING}"
            raise UnreachableError(msg) from error
        except (ProtocolError, RemoteChangedError) as error:
            if "Nothing was fetched" in str(error):
                raise
            msg = f"{error}. {_NOTHING}"  # what breaks the rules of HTTP knows not what is asked
            raise ProtocolError(msg) from error

    def _page(self, prefix: str, delimiter: str, place: str) -> _Page:
        query = f"?list-type=2&encoding-type=url&prefix={_in_query(prefix)}"
        if delimiter:
            query += f"&delimiter={_in_query(delimiter)}"
        query += place
        for _ in range(2):
            bucket = self._bucket
            with self._client.send(Request(bucket.base + query)) as response:
                if response.status == 200:
                    return self._parsed(response)
                body = told(response)
                error = failure_of(response, body)
            region = response.headers.get(_REGION_HEADER) or s3_word(body, "Region")
            region = region or _region_in(s3_word(body, "Endpoint"))
            known = REGION.fullmatch(region) is not None
            if not known or region == bucket.region or bucket.endpoint is not None:
                break
            with self._lock:  # AWS names the region where the bucket lives: go there
                self._bucket = replace(bucket, region=region)
        raise self._explained(error, response, body, region if known else "")

    def _parsed(self, response: Response) -> _Page:
        """Return the page that a response brings.

        Raises
        ------
        TransientError
            If it is cut, empty, or an error that passes: a server under load says 200 before it
            knows how a listing ends.
        ServerError
            If it is something else.
        """
        body = response.read(_PAGE_LIMIT)
        try:
            return _Page.parse(body, response.shown_url)
        except ProtocolError as error:
            code = s3_code(body)
            if code and b"<Error" in body[:1024]:
                what = f"{response.shown_url}: {code} instead of a listing"
                words = s3_word(body, "Message")
                what += f" ({words})" if words else ""
                if code in _REFUSALS:
                    refused = RefusedError(what, NOT_PUBLIC)
                    raise self._explained(refused, response, body, "") from error
                if code == "NoSuchBucket":
                    raise self._explained(MissingRemoteError(what), response, body, "") from error
                raise TransientError(what) from error
            if is_page(body):
                msg = (
                    f"expected the listing of the bucket {self._bucket.name!r}. "
                    f"{who_answered(response, body)}. {PORTAL_HINT}"
                )
                raise ProtocolError(msg) from error
            # What to do is said when all attempts are over.
            raise TransientError(str(error).removesuffix(f". {_ADVICE}")) from error

    def _explained(
        self, error: Exception, response: Response, body: bytes, region: str
    ) -> Exception:
        name, base = self._bucket.name, self._bucket.base
        elsewhere = s3_word(body, "Endpoint")
        if isinstance(error, ProtocolError) and self._bucket.endpoint is None:
            if elsewhere or s3_code(body) in _WRONG_PLACES:
                place = (
                    f"in the region {region}" if region else f"at {elsewhere or 'another place'}"
                )
                msg = (
                    f"{error}. The server at {base} says that the bucket {name!r} is {place}. "
                    "Nothing was fetched. Set AWS_REGION to the region of the bucket."
                )
                return ProtocolError(msg)
        elif isinstance(error, ProtocolError) and (region or elsewhere):
            where = f"in the region {region}" if region else f"at {elsewhere}"
            msg = (
                f"{error}. The bucket {name!r} is {where}, and the endpoint "
                f"{self._bucket.endpoint} is not. Nothing was fetched. Unset AWS_ENDPOINT_URL_S3 "
                "and AWS_ENDPOINT_URL, or name the endpoint of that region."
            )
            return ProtocolError(msg)
        if isinstance(error, MissingRemoteError):
            page = f" {who_answered(response, body)}." if is_page(body) else ""
            msg = (
                f"there is no bucket {name!r} at {base}.{page} Nothing was fetched. "
                "Check its name, and AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL if you set them."
            )
            return MissingBucketError(msg)
        if isinstance(error, RefusedError):
            advice = NOT_LISTED if error.advice == NOT_PUBLIC else error.advice
            return RefusedError(f"{error}. Nothing was fetched. {advice}")
        return error

    def _files(self, page: _Page, prefix: str) -> Iterator[RemoteFile]:
        base = self._bucket.base
        for entry in page.root.iterfind(f"{page.ns}Contents"):
            key = page.text(entry, "Key")
            if not key:
                raise self._senseless("has an entry without a key")
            if not key.startswith(prefix):
                raise self._senseless(f"has {key!r}, which does not begin with {prefix!r}")
            modified = page.plain(entry, "LastModified") or None
            # A size that is none says nothing of the other files, nor that this one is not there:
            # its response says how long it is.
            text = page.plain(entry, "Size").strip()
            size = int(text) if _SIZE.fullmatch(text) else None
            yield RemoteFile(
                key,
                base + _quoted(key),
                size,
                _etag(page, entry),
                modified,
                storage_class=_class(page, entry),
            )

    def _folders(self, page: _Page, prefix: str) -> list[str]:
        entries = page.root.iterfind(f"{page.ns}CommonPrefixes")
        folders = [page.text(entry, "Prefix") for entry in entries]
        for folder in folders:
            _, slash, rest = folder[len(prefix) :].partition("/")
            if not folder.startswith(prefix) or not slash or rest:
                raise self._senseless(f"has {folder!r}, which is no folder below {prefix!r}")
        return folders

    def _senseless(self, what: str) -> ProtocolError:
        """Return the error for a page that cannot be a part of the listing of a bucket."""
        return ProtocolError(
            f"{self._bucket.base}: the listing {what}. Nothing was fetched, since files could be "
            "missing. Check AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL if you set them."
        )


def _in_query(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _etag(page: _Page, entry: Element) -> str | None:
    """Return the ETag of an entry as the header of a response would hold it."""
    text = read_etag(page.plain(entry, "ETag")) or ""
    if not text.isascii():  # a header carries bytes, and is read byte by byte
        text = text.encode("utf-8", "replace").decode("latin-1")
    return text if text and text.isprintable() else None


def _region_in(endpoint: str) -> str:
    """Return the region that the name of an endpoint of AWS holds, or ""."""
    found = _ENDPOINT_REGION.search(endpoint)
    return found[1] if found else ""


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


class _Seen:
    """What a listing brought so far: whether a page brings anything new."""

    def __init__(self) -> None:
        self._last = ""
        self._names: set[str] = set()
        self._idle = 0

    def idle_after(self, page: _Page) -> int:
        """Return how many pages up to this one, one after another, brought nothing new.

        Names come in order, so the last one tells. Where they do not, all have to be remembered.
        """
        last = page.last_name()
        if last > self._last:
            self._last, self._idle = last, 0
            return 0
        news = set(page.names()) - self._names
        self._names |= news
        self._idle = 0 if news else self._idle + 1
        return self._idle


def _class(page: _Page, entry: Element) -> str:
    """Return where an object is kept; "" where that is nothing special, or a copy was restored.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreStatus.html: a copy that is there has
    an expiry date.
    """
    kept = page.plain(entry, "StorageClass")
    restored = entry.findtext(f"{page.ns}RestoreStatus/{page.ns}RestoreExpiryDate")
    return "" if restored or kept == "STANDARD" else kept


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a listing."""

    root: Element
    ns: str
    encoded: bool

    @classmethod
    def parse(cls, body: bytes, shown_url: str) -> _Page:
        from xml.etree import ElementTree  # noqa: PLC0415 - not needed for --help

        if not body.strip():
            raise TransientError(f"{shown_url}: an empty listing")
        start = repr(_BOM.sub(b"", body)[:60].decode("utf-8", "replace"))
        msg = (
            f"{shown_url}: expected the listing of a bucket, got something else: {start}. {_ADVICE}"
        )
        # A listing declares no entities: with them, a few bytes become gigabytes.
        if b"<!DOCTYPE" in body[:_PROLOG] or b"\0" in body[:4]:
            raise ProtocolError(msg)
        if sum(map(body.count, _MARKS)) > _TAG_LIMIT:
            raise ProtocolError(
                f"{shown_url}: a page of a listing with more than {_TAG_LIMIT:,} tags. {_ADVICE}"
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
        if body.count(b"xmlns") > ("}" in root.tag):
            # Nothing in a page has a name that stands for two things. What is in a namespace of
            # its own would be passed over, as if it were not there.
            for one in root.iter():
                one.tag = one.tag.rpartition("}")[2]
        ns, brace, name = root.tag.rpartition("}")
        if name != "ListBucketResult":
            msg = f"{shown_url}: expected the listing of a bucket, got a <{name[:40]}>. {_ADVICE}"
            raise ProtocolError(msg)
        page = cls(root, ns + brace, encoded=False)
        return replace(page, encoded=page.plain(root, "EncodingType") == "url")

    def last_name(self) -> str:
        """Return the key or folder that the page names last; "" where it names none."""
        rows = {f"{self.ns}Contents": "Key", f"{self.ns}CommonPrefixes": "Prefix"}
        for entry in reversed(self.root):
            if entry.tag in rows:
                return self.text(entry, rows[entry.tag])
        return ""

    def names(self) -> Iterator[str]:
        """Yield the keys and folders of the page."""
        for kind, tag in (("Contents", "Key"), ("CommonPrefixes", "Prefix")):
            for entry in self.root.iterfind(f"{self.ns}{kind}"):
                yield self.text(entry, tag)

    def plain(self, element: Element, tag: str) -> str:
        return element.findtext(self.ns + tag) or ""

    def text(self, element: Element, tag: str) -> str:
        """Return a text that S3 percent-encodes when asked to."""
        text = self.plain(element, tag)
        return unquote_plus(text, errors="surrogateescape") if self.encoded else text
