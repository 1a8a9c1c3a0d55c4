"""S3 buckets, or what speaks like one: ListObjectsV2, unsigned unless credentials were named.

Facts: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. Keys come
percent-encoded (``encoding-type=url``), since XML cannot carry every key.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from neurofetch._compact import Shared, quoted
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
from neurofetch.model import Folder, RemoteFile
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
from neurofetch.net.settings import REGION, aws_domain, s3_endpoint
from neurofetch.sources.chain import Chain, StalePlaceError, in_query, start_after
from neurofetch.sources.page import ADVICE, Page
from neurofetch.sources.source import Level
from neurofetch.sources.spread import DisorderError, Spread, Stride

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import Attempts
    from neurofetch.net.signing import RegionalSigner

__all__ = ["Bucket", "S3Source", "parse_s3_url"]

_NOTHING = (
    "Nothing was fetched. Check the network, the proxy variables, and AWS_ENDPOINT_URL_S3 and "
    "AWS_ENDPOINT_URL if you set them; then try again."
)
_AT_ONCE = 8
"""Requests for parts of listings that are under way at once, beyond one for each prefix."""
_PAGE_LIMIT = 16 * 1024 * 1024
_STALE = frozenset({400, 404, 410})
"""What servers answer to a token that has expired, or that they never gave."""
_REGION_HEADER = "x-amz-bucket-region"
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
    def is_unplaced(self) -> bool:
        """Whether it is still to be found out in which region it is."""
        return self.endpoint is None and self.region is None

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
        return self.base + quoted(key)


def parse_s3_url(url: object) -> tuple[str, str]:
    """Return bucket and prefix of an ``s3://BUCKET/PREFIX`` URL, or of an object's web address.

    A web address is one of AWS, in any of its spellings, or of the endpoint of the environment; it
    may be percent-encoded, as browsers and `RemoteFile.url` have it.

    Raises
    ------
    UsageError
        If it is anything else.
    ConfigError
        If the endpoint in the environment is wrong.

    Examples
    --------
    >>> parse_s3_url("s3://openneuro.org/ds000001/")
    ('openneuro.org', 'ds000001/')
    """
    if not isinstance(url, str):
        kind = type(url).__name__
        msg = f"expected a URL, as text, such as s3://openneuro.org/ds000001, got {url!r} ({kind})"
        raise UsageError(f"{msg}. Nothing was done.")
    url = url.strip()
    scheme, _, rest = url.partition("://")
    web = scheme.lower() in ("http", "https")
    bucket, _, prefix = (_in_web_address(url) if web else rest).partition("/")
    if not (web or scheme.lower() == "s3") or not bucket or set(bucket) - _BUCKET_CHARACTERS:
        # A password or a signature is for nobody's log.
        shown = re.sub(r"(?<=://)[^/@]*:[^/@]*@", "…@", url.partition("?")[0])
        hint = " Leave out what stands behind the question mark." if "?" in url and web else ""
        meant = _meant(url)
        hint = f" Did you mean {meant}?" if meant else hint
        msg = f"expected a URL such as s3://openneuro.org/ds000001, got {shown!r}."
        raise UsageError(f"{msg}{hint} Nothing was done.")
    return bucket, prefix


def _in_web_address(url: str) -> str:
    """Return what follows ``s3://`` in the other spelling of a web address; "" if there is none.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    if "?" in url or "#" in url:
        return ""
    endpoint = s3_endpoint()
    if endpoint is not None and url.startswith(f"{endpoint}/"):
        return unquote(url[len(endpoint) + 1 :], errors="surrogateescape")
    host, _, path = url.partition("://")[2].partition("/")
    found = _AWS_HOST.fullmatch(host.lower())
    if found is None:
        return ""
    rest = unquote(path, errors="surrogateescape")
    return f"{found[1]}/{rest}" if found[1] else rest


_AWS_HOST = re.compile(
    r"(?:(.+)\.)?s3(?:[.-](?:dualstack\.)?[a-z]{2,}-[a-z0-9-]+-\d+)?\.amazonaws\.com(?:\.cn)?"
)
"""Hosts of AWS, with the bucket in front or not."""


def _meant(url: str) -> str:
    """Return the address of what an address of a browser, or a bare name, leads to; or nothing.

    Examples
    --------
    >>> _meant("openneuro.org/ds000117")
    's3://openneuro.org/ds000117'
    """
    patterns = (
        (r"s3[.\w-]*\.amazonaws\.com/([\w.-]+)(/.*)?", r"s3://\1\2"),
        (r"([\w.-]+)\.s3[.\w-]*\.amazonaws\.com(/.*)?", r"s3://\1\2"),
        (r"s3:/?([\w-][\w.-]*)(/.*)?", r"s3://\1\2"),
        (r"([\w-]+(?:\.[\w-]+)+)(/.+)", r"s3://\1\2"),
    )
    for pattern, address in patterns:
        found = re.fullmatch(pattern, url, re.IGNORECASE)
        if found:
            return found.expand(address)
    return ""


_BUCKET_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


class S3Source:
    """List a bucket.

    Parameters
    ----------
    client : Client
    bucket : Bucket
    attempts : Attempts
    base : str
        The prefix at which the dataset begins: names are kept relative to it, which saves memory.
    signer : RegionalSigner, optional
        Signs all requests to the bucket, and none to where it leads to; by default nobody does.
    """

    def __init__(
        self,
        client: Client,
        bucket: Bucket,
        attempts: Attempts,
        *,
        base: str = "",
        signer: RegionalSigner | None = None,
    ) -> None:
        self._client = client
        self._signer = signer
        if signer is not None:
            client.sign_for(_signed_below(bucket), signer)
        self._bucket = bucket
        self._attempts = attempts
        self.base: str = base
        self._shared = Shared[Folder]()
        self._files_listed = 0
        self._room = threading.Semaphore(_AT_ONCE)
        self._lock = threading.Lock()

    notes: tuple[str, ...] = ()

    @property
    def bucket(self) -> Bucket:
        """The bucket, with its region once that is known."""
        return self._bucket

    @property
    def files_listed(self) -> int:
        """How many files the listings brought so far; some count twice. To be shown."""
        return self._files_listed

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

        Where there are many, several requests are under way at once: see `spread`.

        Raises
        ------
        MissingBucketError, RefusedError, UnreachableError, ProtocolError
        """
        walk, ahead = partial(self._walked, prefix), self._folders_ahead
        try:
            return Spread(walk, ahead, prefix, self._room).files()
        except DisorderError:
            return Spread(walk, ahead, prefix, threading.Semaphore(0)).files()

    def _walked(self, prefix: str, after: str) -> Iterator[Stride]:
        """Give the files of one page after another, and whether more follow."""
        chain = self._chain(prefix, "", after)
        for page in chain:
            files = self._files(page, prefix)
            if self._folders(page, prefix):
                raise self._senseless(f"has folders in the place of files below {prefix!r}")
            with self._lock:
                self._files_listed += len(files)
            yield Stride(page.files.keys, files, chain.goes_on)

    def _folders_ahead(self, folder: str, after: str) -> list[str]:
        place = start_after(after) if after.startswith(folder) and after != folder else ""
        page = self._page(folder, "/", place)
        return sorted(name for name in self._folders(page, folder) if name > after)

    def first_page(self, prefix: str) -> tuple[list[RemoteFile], bool]:
        """Return the first files below `prefix`, as `walk` does, and whether they are all.

        It is one request; of a listing that begins with an empty page, nothing is told.

        Raises
        ------
        MissingBucketError, RefusedError, UnreachableError, ProtocolError
        """
        keys, files, more = next(self._walked(prefix, ""))
        if any(map(str.__ge__, keys, keys[1:])):
            unique = dict(zip(keys, files, strict=True))
            files = [unique[key] for key in sorted(unique)]
        return files, not more

    def level(self, prefix: str) -> Level:
        """Return the files and folders directly below `prefix`.

        A prefix that ends in no slash stands for all files and folders whose names begin so.

        Raises
        ------
        MissingBucketError, RefusedError, UnreachableError, ProtocolError
        """
        files: dict[str, RemoteFile] = {}
        folders: set[str] = set()
        for page in self._chain(prefix, "/"):
            for file in self._files(page, prefix):
                if "/" in file.key[len(prefix) :]:
                    raise self._senseless(f"has {file.key!r} directly below {prefix!r}")
                files[file.key] = file
            folders.update(self._folders(page, prefix))
        return Level([files[key] for key in sorted(files)], sorted(folders))

    def _chain(self, prefix: str, delimiter: str, after: str = "") -> Chain:
        ask = partial(self._patiently, prefix, delimiter)
        return Chain(ask, self._senseless, after)

    def _patiently(self, prefix: str, delimiter: str, place: str) -> Page:
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
            stale = isinstance(error, StalePlaceError)
            raise (StalePlaceError(msg) if stale else ProtocolError(msg)) from error

    def _page(self, prefix: str, delimiter: str, place: str) -> Page:
        query = f"?list-type=2&encoding-type=url&prefix={in_query(prefix)}"
        if delimiter:
            query += f"&delimiter={in_query(delimiter)}"
        query += place
        for _ in range(2):
            bucket = self._bucket
            with self._client.send(self._request(bucket, query)) as response:
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
            if self._signer is not None:
                signer = self._signer.in_region(region)
                self._client.sign_for(_signed_below(self._bucket), signer)
        if response.status in _STALE and place.startswith("&continuation-token="):
            raise StalePlaceError(str(self._explained(error, response, body, "")))
        raise self._explained(error, response, body, region if known else "")

    def _request(self, bucket: Bucket, query: str) -> Request:
        """Return the request for a page.

        A redirect of AWS leads to the region of the bucket, and would be followed without a
        signature: it is told instead, and the bucket is asked there.
        """
        if self._signer is None or bucket.endpoint is not None:
            return Request(bucket.base + query)
        return Request(bucket.base + query, redirects=0)

    def _parsed(self, response: Response) -> Page:
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
            return Page.parse(body, response.shown_url)
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
            raise TransientError(str(error).removesuffix(f". {ADVICE}")) from error

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
            advice = error.advice.replace(NOT_PUBLIC, NOT_LISTED)
            return RefusedError(f"{error}. Nothing was fetched. {advice}")
        return error

    def _files(self, page: Page, prefix: str) -> list[RemoteFile]:
        start = self.base if prefix.startswith(self.base) else ""
        keys = page.files.keys
        ends = (min(keys), max(keys)) if keys else ()  # what is between these begins as they do
        for key in keys if not all(end and end.startswith(prefix) for end in ends) else ():
            if not key.startswith(prefix) or not key:
                what = f"has {key!r}, which does not begin with {prefix!r}"
                raise self._senseless(what if key else "has an entry without a key")
        return RemoteFile.page_of(page.files, len(start), partial(self._folder, start))

    def _folder(self, start: str, storage_class: str) -> Folder:
        """Return what files have in common that begin so and are kept so."""
        return self._shared(Folder(start, self._bucket.base, storage_class=storage_class))

    def _folders(self, page: Page, prefix: str) -> list[str]:
        for folder in page.folders:
            _, slash, rest = folder[len(prefix) :].partition("/")
            if not folder.startswith(prefix) or not slash or rest:
                raise self._senseless(f"has {folder!r}, which is no folder below {prefix!r}")
        return page.folders

    def _senseless(self, what: str) -> ProtocolError:
        """Return the error for a page that cannot be a part of the listing of a bucket."""
        return ProtocolError(
            f"{self._bucket.base}: the listing {what}. Nothing was fetched, since files could be "
            "missing. Check AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL if you set them."
        )


def _signed_below(bucket: Bucket) -> str:
    """Return below which address requests are signed: a server that was named, or one bucket."""
    if bucket.endpoint is None:
        return bucket.base
    scheme, _, rest = bucket.base.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _region_in(endpoint: str) -> str:
    """Return the region that the name of an endpoint of AWS holds, or ""."""
    found = _ENDPOINT_REGION.search(endpoint)
    return found[1] if found else ""
