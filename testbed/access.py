"""The access service that hands out the gated stimulus images, on loopback.

The protocol is that of https://laion-fmri.hebartlab.com, as its public client speaks it. All bodies
are JSON but the files themselves.

``GET /api/v1/manifest`` → 200::

    {"current_terms_version": "1.0", "dataset_version": "v1",
     "files": [{"name": "task-images_stimuli.h5", "size": 123, "sha256": "<64 hex digits>"}, …]}

``POST /api/v1/access/request`` with the form ::

    {"name": "…", "email": "…", "institution": "…", "pi_or_supervisor": "…" or null,
     "research_purpose": "<20 characters or more>", "accepted_terms": true,
     "terms_version": "1.0", "source": "cli"}

→ 200 ``{"request_id": "…", "expires_at": "2026-…Z", "files": […]}``, each file now with ``"url"``,
a presigned URL; → 422 ``{"detail": "<what is wrong with which field>"}``; → 403 terms_outdated.

``POST /api/v1/refresh`` with ``{"request_id": "…", "dataset_version": "v1"}``
→ 200 ``{"expires_at": "…", "files": […]}``;
→ 403 ``{"detail": {"error": "terms_outdated", "accept_url": "…", "current_terms_version": "2.0"}}``
where the terms that were accepted are no longer the current ones;
→ 403 ``{"detail": "This request_id has been revoked."}``;
→ 404 ``{"detail": "Unknown request_id."}``.

Any call may meet 429 with Retry-After and ``{"detail": "Too Many Requests"}``: script it with
``fault(key="api/v1/*", times=1, status=429, headers={"Retry-After": "1"})``.

A presigned URL answers GET as S3 does, with ranges, ETag and If-Match; HEAD is refused, since the
signature is for GET; after ``expires_at`` it answers 403 with S3's XML, ``Request has expired``.
In the log, an API call's key is its path without the first slash, and a file's key is
``stimuli/<name>``.
"""

import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from testbed._blobs import Bytes
from testbed._faults import Reply, Request, phrase
from testbed._objects import Content, S3Object, serve_object, xml_error
from testbed._wire import WireServer

__all__ = ["AccessServer"]

FOLDER = "stimuli/"
SIGNED = ("Credential", "Date", "Expires")
REQUIRED = ("name", "email", "institution", "research_purpose")


class AccessServer(WireServer):
    """The access service, with its files.

    Parameters
    ----------
    files
        The gated files by name (``task-images_stimuli.h5``, without a folder).
    terms_version
        Of the terms that a form has to accept.
    lifetime
        Seconds for which a presigned URL is good.
    clock
        Seconds since 1970: what the server takes for the time.
    latency, tls
        As for every server here.

    Attributes
    ----------
    forms
        The accepted forms, as they came.
    """

    def __init__(
        self,
        files: Mapping[str, Content | S3Object],
        *,
        terms_version: str = "1.0",
        lifetime: float = 3600,
        clock: Callable[[], float] = time.time,
        latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(latency=latency, tls=tls)
        self.terms_version = terms_version
        self.lifetime = lifetime
        self.clock = clock
        self.forms: list[dict[str, object]] = []
        self._files = {
            name: content if isinstance(content, S3Object) else S3Object(content)
            for name, content in files.items()
        }
        self._accepted: dict[str, str] = {}
        self._revoked: set[str] = set()
        self._generation = 0

    def grant(self) -> str:
        """Return a fresh request id, as if a form had been sent in a browser."""
        request_id = hashlib.sha256(f"request {len(self._accepted)}".encode()).hexdigest()[:32]
        self._accepted[request_id] = self.terms_version
        return request_id

    def revoke(self, request_id: str) -> None:
        """Refuse this id from now on; URLs that are out stay good until they expire."""
        self._revoked.add(request_id)

    def update_terms(self, version: str) -> None:
        """Publish new terms: ids that accepted other ones are refused."""
        self.terms_version = version

    def expire_urls(self) -> None:
        """Let every URL that is out expire now."""
        self._generation += 1

    def sha256(self, name: str) -> str:
        """Return a file's digest as the manifest has it."""
        return self._files[name].digest("sha256").hex()

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        del query
        return method, "", path.removeprefix("/")

    def failure(self, status: int) -> Reply:
        return _json(status, {"detail": phrase(status)})

    def answer(self, request: Request) -> Reply:
        routes = {
            ("GET", "api/v1/manifest"): self._manifest,
            ("POST", "api/v1/access/request"): self._request_access,
            ("POST", "api/v1/refresh"): self._refresh,
        }
        route = routes.get((request.method, request.key))
        if route is not None:
            return route(request)
        if request.key.startswith(FOLDER):
            return self._file(request)
        return _json(404, {"detail": "Not Found"})

    def _manifest(self, request: Request) -> Reply:
        del request
        body = {
            "current_terms_version": self.terms_version,
            "dataset_version": "v1",
            "files": [self._entry(name) for name in self._files],
        }
        return _json(200, body)

    def _request_access(self, request: Request) -> Reply:
        form = _parsed(request.body)
        problem = _problem_with(form)
        if problem:
            return _json(422, {"detail": problem})
        if form["terms_version"] != self.terms_version:
            return self._terms_outdated()
        self.forms.append(form)
        return _json(200, {"request_id": self.grant(), **self._links()})

    def _refresh(self, request: Request) -> Reply:
        request_id = str(_parsed(request.body).get("request_id", ""))
        if request_id not in self._accepted:
            return _json(404, {"detail": "Unknown request_id."})
        if request_id in self._revoked:
            return _json(403, {"detail": "This request_id has been revoked."})
        if self._accepted[request_id] != self.terms_version:
            return self._terms_outdated()
        return _json(200, self._links())

    def _terms_outdated(self) -> Reply:
        detail = {
            "error": "terms_outdated",
            "accept_url": f"{self.url}/terms/accept",
            "current_terms_version": self.terms_version,
        }
        return _json(403, {"detail": detail})

    def _links(self) -> dict[str, object]:
        now = self.clock()
        ends = datetime.fromtimestamp(now + self.lifetime, UTC)
        files = [{**self._entry(name), "url": self._presigned(name, now)} for name in self._files]
        return {"expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "files": files}

    def _entry(self, name: str) -> dict[str, object]:
        return {"name": name, "size": self._files[name].size, "sha256": self.sha256(name)}

    def _presigned(self, name: str, now: float) -> str:
        query = {
            "X-Amz-Credential": f"testbed/{self._generation}",
            "X-Amz-Date": f"{now!r}",
            "X-Amz-Expires": f"{self.lifetime!r}",
        }
        query["X-Amz-Signature"] = _signature(name, query)
        return f"{self.url}/{FOLDER}{quote(name)}?{urlencode(query)}"

    def _file(self, request: Request) -> Reply:
        name = request.key.removeprefix(FOLDER)
        told = request.query.get("X-Amz-Signature", "")
        good = hmac.compare_digest(_signature(name, request.query), told)
        if request.method != "GET" or not good:
            return xml_error(403, "SignatureDoesNotMatch")
        began = float(request.query["X-Amz-Date"])
        ends = began + float(request.query["X-Amz-Expires"])
        current = request.query["X-Amz-Credential"] == f"testbed/{self._generation}"
        if self.clock() >= ends or not current:
            return xml_error(403, "AccessDenied", "Request has expired")
        return serve_object(self._files[name], request.headers)


def _signature(name: str, query: Mapping[str, str]) -> str:
    signed = "\n".join([name, *(query.get(f"X-Amz-{field}", "") for field in SIGNED)])
    return hmac.new(b"testbed", signed.encode(), "sha256").hexdigest()


def _parsed(body: bytes) -> dict[str, object]:
    try:
        values = json.loads(body)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _problem_with(form: Mapping[str, object]) -> str:
    missing = [name for name in REQUIRED if not str(form.get(name) or "").strip()]
    if missing:
        return f"missing: {', '.join(missing)}"
    if len(str(form["research_purpose"])) < 20:
        return "research_purpose: at least 20 characters"
    if form.get("accepted_terms") is not True:
        return "accepted_terms: must be true"
    return "" if "terms_version" in form else "missing: terms_version"


def _json(status: int, values: Mapping[str, object]) -> Reply:
    content = json.dumps(values).encode()
    return Reply(status, {"Content-Type": "application/json"}, Bytes(content))
