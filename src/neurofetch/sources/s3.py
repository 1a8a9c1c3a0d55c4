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
    TransientError,
    UnreachableError,
    UsageError,
)
from neurofetch.model import RemoteFile
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.net.refusals import NOT_LISTED, NOT_PUBLIC
from neurofetch.sources.source import Level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from neurofetch.net.client import Client
    from neurofetch.net.retry import Attempts

__all__ = ["Bucket", "S3Source", "parse_s3_url"]

_PAGE_LIMIT = 16 * 1024 * 1024
_REGION_HEADER = "x-amz-bucket-region"
_SIZE = re.compile(r"[0-9]{1,18}")


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
        shown_url = f"s3.{self.region}.amazonaws.com" if self.region else "s3.amazonaws.com"
        if "." in self.name:  # the certificate covers one level of names only
            return f"https://{shown_url}/{self.name}/"
        return f"https://{self.name}.{shown_url}/"

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
        token = ""
        seen = {token}
        while True:
            page = self._patiently(prefix, delimiter, token)
            yield page
            goes_on = page.plain(page.root, "IsTruncated")
            token = page.plain(page.root, "NextContinuationToken")
            if goes_on == "false" or not (goes_on or token):
                return
            if goes_on != "true":
                raise self._senseless("does not say whether it goes on")
            if token in seen:
                raise self._senseless("says that it goes on, but not how")
            seen.add(token)

    def _patiently(self, prefix: str, delimiter: str, token: str) -> _Page:
        try:
            return self._attempts.run(lambda: self._page(prefix, delimiter, token))
        except UnreachableError as error:
            if not isinstance(error.__cause__, TransientError):
                raise  # no attempt could help, and it says already what to do
            msg = (
                f"{error}. Nothing was fetched. Check the network, the proxy variables, and "
                "AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL if you set them; then try again."
            )
            raise UnreachableError(msg) from error

    def _page(self, prefix: str, delimiter: str, token: str) -> _Page:
        query = f"?list-type=2&encoding-type=url&prefix={quote(prefix, safe='')}"
        if delimiter:
            query += f"&delimiter={quote(delimiter, safe='')}"
        if token:
            query += f"&continuation-token={quote(token, safe='')}"
        for _ in range(2):
            bucket = self._bucket
            with self._client.send(Request(bucket.base + query)) as response:
                if response.status == 200:
                    return _Page.parse(response.read(_PAGE_LIMIT), response.shown_url)
                region = response.headers.get(_REGION_HEADER)
                error = failure(response)
            if region is None or region == bucket.region or self._bucket.endpoint is not None:
                break
            with self._lock:  # AWS names the region where the bucket lives: go there
                self._bucket = replace(bucket, region=region)
        raise self._explained(error, region)

    def _explained(self, error: Exception, region: str | None) -> Exception:
        name, base = self._bucket.name, self._bucket.base
        if region is not None and isinstance(error, ProtocolError):
            msg = (
                f"{error}. The bucket {name!r} is in the region {region}, and the endpoint "
                f"{self._bucket.endpoint} is not. Nothing was fetched. Unset AWS_ENDPOINT_URL_S3 "
                "and AWS_ENDPOINT_URL, or name the endpoint of that region."
            )
            return ProtocolError(msg)
        if isinstance(error, MissingRemoteError):
            msg = (
                f"there is no bucket {name!r} at {base}. Nothing was fetched. "
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
            size = page.plain(entry, "Size")
            if not key or _SIZE.fullmatch(size) is None:
                raise self._senseless(f"has an entry without a key or size: {key!r}, {size[:40]!r}")
            if not key.startswith(prefix):
                raise self._senseless(f"has {key!r}, which does not begin with {prefix!r}")
            etag = page.plain(entry, "ETag").strip('"') or None
            modified = page.plain(entry, "LastModified") or None
            yield RemoteFile(
                key,
                base + _quoted(key),
                int(size),
                etag,
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

        try:
            root = ElementTree.fromstring(body)
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            # the last two: it names an encoding that does not exist, or that expat cannot read
            start = body[:60].decode("utf-8", "replace")
            msg = f"{shown_url}: expected the listing of a bucket, got something else: {start!r}"
            raise ProtocolError(msg) from error
        ns, brace, name = root.tag.rpartition("}")
        if name != "ListBucketResult":
            msg = f"{shown_url}: expected the listing of a bucket, got a <{name}>"
            raise ProtocolError(msg)
        page = cls(root, ns + brace, encoded=False)
        return replace(page, encoded=page.plain(root, "EncodingType") == "url")

    def plain(self, element: Element, tag: str) -> str:
        return element.findtext(self.ns + tag) or ""

    def text(self, element: Element, tag: str) -> str:
        """Return a text that S3 percent-encodes when asked to."""
        text = self.plain(element, tag)
        return unquote_plus(text, errors="surrogateescape") if self.encoded else text
