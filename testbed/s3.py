"""A real HTTP server on loopback that answers as S3 does, and can be told to misbehave.

Anonymous, path-style (``/bucket/key``), read-only over the wire: ListObjectsV2, GET and HEAD with
ranges, conditions, ETags and checksums, and S3's errors. Objects are changed through the methods.
What moto also does is held equal to moto by one suite of tests; what it does not do (faults, the
request log, refused keys, large objects out of thin air) is why this server is here. It takes
requests meant for a proxy too, and answers them itself whatever host they name.

    with S3Server({"laion-fmri": objects}, forbidden=HELD_OUT) as s3:
        s3.fault(key="*betas*", method="GET", times=1, status=503, headers={"Retry-After": "1"})
        ...  # a client at s3.url
        assert len(s3.requests(method="GET", key="*betas*")) == 2
"""

import itertools
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from testbed._blobs import Blob, Bytes, File, Generated
from testbed._faults import Fault, Reply, Request, phrase
from testbed._guard import Guard
from testbed._listing import list_page
from testbed._objects import Content, S3Object, serve_object, xml_error
from testbed._wire import WireServer

__all__ = [
    "HELD_OUT",
    "HTML_PAGE",
    "Blob",
    "Bytes",
    "Fault",
    "File",
    "Generated",
    "Guard",
    "Reply",
    "Request",
    "S3Object",
    "S3Server",
]

#: Keys that LAION-fMRI lists and refuses.
HELD_OUT = ("*ses-31*", "*ses-32*", "*ses-33*", "*ses-34*")

#: What a proxy or a portal sends with status 200: ``fault(status=200, body=HTML_PAGE)``.
HTML_PAGE = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"

ERROR_CODES = {
    400: "BadRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}


class S3Server(WireServer):
    """An S3 of some buckets.

    Parameters
    ----------
    buckets
        For each bucket its objects by key.
    region
        Where these buckets are.
    forbidden
        Globs of keys that are listed and answered with 403.
    elsewhere
        Buckets of other regions, with the region: any request for them is redirected (301).
    page_size
        Keys on a page of a listing, at most 1000.
    latency
        Seconds before each answer.
    tls
        A server-side context: speak HTTPS.
    guard
        Who may come in; by default everybody.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> with S3Server({"b": {"a.txt": b"hello"}}) as s3, urlopen(f"{s3.url}/b/a.txt") as answer:
    ...     answer.read()
    b'hello'
    """

    def __init__(
        self,
        buckets: Mapping[str, Mapping[str, Content | S3Object]],
        *,
        region: str = "us-west-2",
        forbidden: Sequence[str] = (),
        elsewhere: Mapping[str, str] | None = None,
        page_size: int = 1000,
        latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(latency=latency, tls=tls)
        self.guard = guard
        self.region = region
        self.forbidden = tuple(forbidden)
        self.elsewhere = dict(elsewhere or {})
        self.page_size = page_size
        self.tells_parts = True
        """Whether ``?partNumber=`` is answered; where it is not, the whole object comes."""
        self._buckets = {name: _objects(content) for name, content in buckets.items()}
        self._sorted: dict[str, list[str]] = {}
        self._lies: dict[tuple[str, str], S3Object] = {}
        self._numbers = itertools.count(1)

    def put(self, key: str, content: Content | S3Object, bucket: str | None = None) -> S3Object:
        """Add or replace an object (of the first bucket where none is named)."""
        name = self._name(bucket)
        item = content if isinstance(content, S3Object) else S3Object(content)
        self._buckets[name] = {**self._buckets[name], key: item}
        self._sorted.pop(name, None)
        return item

    def delete(self, key: str, bucket: str | None = None) -> None:
        """Take an object away."""
        name = self._name(bucket)
        self._buckets[name] = {k: v for k, v in self._buckets[name].items() if k != key}
        self._sorted.pop(name, None)

    def stored(self, key: str, bucket: str | None = None) -> S3Object:
        """Return an object, for its size, ETag and checksums."""
        return self._buckets[self._name(bucket)][key]

    def change(self, key: str, content: Content | S3Object, *, skip: int) -> Fault:
        """Replace an object of the first bucket right before its request number ``skip + 1``."""

        def swap() -> None:
            self.put(key, content)

        return self.fault(key=key, method="GET", skip=skip, times=1, before=swap)

    def lie(self, key: str, *, size: int | None = None, etag: str | None = None) -> None:
        """Let the listing of the first bucket tell another size or ETag (without quotes)."""
        true = self.stored(key)
        told: Blob = true.blob if size is None else Generated(size)
        name = etag if etag is not None else true.etag.strip('"')
        self._lies[self._name(None), key] = replace(true, content=told, forced_etag=name)

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        bucket, _, key = path.removeprefix("/").partition("/")
        listing = method == "GET" and not key and ("list-type" in query or bool(bucket))
        return ("LIST" if listing else method), bucket, key

    def failure(self, status: int) -> Reply:
        if status < 400:
            return Reply(status)
        code = ERROR_CODES.get(status, phrase(status).replace(" ", ""))
        return self._signed(xml_error(status, code, phrase(status)))

    def answer(self, request: Request) -> Reply:
        refusal = self.guard.refusal(request) if self.guard is not None else None
        return self._signed(refusal or self._respond(request))

    def _respond(self, request: Request) -> Reply:
        name = request.bucket
        if name in self.elsewhere:
            return self._redirect(name)
        if name not in self._buckets:
            return xml_error(404, "NoSuchBucket", BucketName=name)
        if request.method == "LIST":
            return self._list(request)
        if request.method not in ("GET", "HEAD"):
            return xml_error(405, "MethodNotAllowed", Method=request.method)
        if not request.key:
            return Reply(200, {"x-amz-bucket-region": self.region})
        return self._get(request)

    def _get(self, request: Request) -> Reply:
        if any(fnmatchcase(request.key, pattern) for pattern in self.forbidden):
            return xml_error(403, "AccessDenied", "Access Denied")
        item = self._buckets[request.bucket].get(request.key)
        if item is None:
            message = "The specified key does not exist."
            return xml_error(404, "NoSuchKey", message, Key=request.key)
        if item.archived and request.method == "GET":
            message = "The operation is not valid for the object's storage class"
            return xml_error(403, "InvalidObjectState", message, StorageClass=item.storage_class)
        part = request.query.get("partNumber", "") if self.tells_parts else ""
        return serve_object(item, request.headers, int(part) if part.isdecimal() else None)

    def _list(self, request: Request) -> Reply:
        if request.query.get("list-type") != "2":
            return xml_error(501, "NotImplemented", "Only ListObjectsV2 is served")
        name = request.bucket
        objects = self._buckets[name]
        if name not in self._sorted:
            self._sorted[name] = sorted(objects)
        lies = {key: item for (bucket, key), item in self._lies.items() if bucket == name}
        told = {**objects, **lies} if lies else objects
        return list_page(name, self._sorted[name], told, request.query, self.page_size)

    def _redirect(self, bucket: str) -> Reply:
        region = self.elsewhere[bucket]
        endpoint = f"{bucket}.s3.{region}.amazonaws.com"
        message = "The bucket you are attempting to access must be addressed elsewhere."
        error = xml_error(301, "PermanentRedirect", message, Endpoint=endpoint, Bucket=bucket)
        return replace(error, headers={**error.headers, "x-amz-bucket-region": region})

    def _signed(self, reply: Reply) -> Reply:
        number = next(self._numbers)
        ids = {"x-amz-request-id": f"{number:016X}", "x-amz-id-2": f"testbed/{number}"}
        return replace(reply, headers={**ids, **reply.headers})

    def _name(self, bucket: str | None) -> str:
        return next(iter(self._buckets)) if bucket is None else bucket


def _objects(contents: Mapping[str, Content | S3Object]) -> dict[str, S3Object]:
    return {
        key: content if isinstance(content, S3Object) else S3Object(content)
        for key, content in contents.items()
    }
