"""Client of the access service, which hands out the stimuli that are not CC0.

Source of the protocol: https://laion-fmri.hebartlab.com and its public client. You accept the terms
and get a request id. The service exchanges the id for presigned URLs, which expire. Neither the id
nor such a URL is ever shown: no error of this module contains one.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from laion_fmri.errors import (
    AccessError,
    AccessRevokedError,
    TermsOutdatedError,
    UnknownRequestError,
)
from neurofetch.engine import Attempts, Request, RetryRules, checked_endpoint, failure
from neurofetch.errors import ServerError, TransientError, UsageError, WrongTypeError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from neurofetch.engine import Client, Response

__all__ = ["ASK", "Entry", "Manifest", "Service", "service_url"]

URL = "https://laion-fmri.hebartlab.com"
VARIABLE = "LAION_FMRI_ACCESS_URL"
ASK = "laion-fmri stimuli request"
"""The command that asks for access; errors name it."""

_RULES = RetryRules(attempts=3, base=0.5)
_PATIENCE = 120.0
"""Seconds; if the service asks for a longer wait, the call ends with an error that says so."""
_BODY_LIMIT = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AGAIN = "Run the same call again later: what is here is kept."


class Entry(NamedTuple):
    """A file of the manifest."""

    name: str
    size: int
    sha256: str


class Manifest(NamedTuple):
    """What the service has, and the version of the terms in force."""

    terms_version: str
    dataset_version: str
    files: tuple[Entry, ...]


def service_url() -> str:
    """Return the address of the service, without a trailing slash.

    Raises
    ------
    ConfigError
        If ``LAION_FMRI_ACCESS_URL`` is no such address.
    """
    text = os.environ.get(VARIABLE, "").strip()
    return checked_endpoint(text, VARIABLE) if text else URL


class Service:
    """The access service, called over one HTTP client.

    Parameters
    ----------
    client : Client
    rules : RetryRules, optional
        How often, and how long, one call is tried again.
    stop : threading.Event, optional
        Set from outside to end a wait between two attempts.
    url : str, optional
        By default that of `service_url`.
    """

    def __init__(
        self,
        client: Client,
        rules: RetryRules | None = None,
        stop: threading.Event | None = None,
        url: str | None = None,
    ) -> None:
        given: object = url
        if given is not None and not isinstance(given, str):
            msg = f"server_url={given!r}: expected the address of the service as text."
            raise WrongTypeError(msg)
        self.url: str = checked_endpoint(given, "server_url") if given else service_url()
        self._client = client
        self._attempts = Attempts(rules or _RULES, stop, outages=client.outages)

    @property
    def terms_url(self) -> str:
        """Where you can read the terms."""
        return f"{self.url}/terms"

    @property
    def privacy_url(self) -> str:
        """Where you can read what happens to the data of a form."""
        return f"{self.url}/privacy"

    def manifest(self) -> Manifest:
        """Return what the service has. Nothing about the caller is sent.

        Raises
        ------
        AccessError
        """
        reply = self._call("GET", "/api/v1/manifest")
        terms, dataset = reply.get("current_terms_version"), reply.get("dataset_version")
        if not isinstance(terms, str) or not isinstance(dataset, str):
            raise self._bad_reply("a manifest without versions")
        return Manifest(terms, dataset, tuple(self._entry(item) for item in self._files(reply)))

    def request(self, form: Mapping[str, object]) -> str:
        """Send a form; return the request id.

        Raises
        ------
        UsageError
            If the service does not accept the form.
        AccessError
        """
        return str(self.apply(form)["request_id"])

    def apply(self, form: Mapping[str, object]) -> dict[str, Any]:
        """Send a form; return all that the service answers, which has a ``request_id``.

        Raises
        ------
        UsageError
            If the service does not accept the form.
        AccessError
        """
        reply = self._call("POST", "/api/v1/access/request", form)
        request_id = reply.get("request_id")
        if not isinstance(request_id, str) or not request_id:
            raise self._bad_reply("a request without an id")
        return reply

    def refresh(self, request_id: str, dataset_version: str) -> dict[str, str]:
        """Exchange a request id for presigned URLs, by file name; they expire after a while.

        Raises
        ------
        TermsOutdatedError, AccessRevokedError, UnknownRequestError, AccessError
        """
        form = {"request_id": request_id, "dataset_version": dataset_version}
        reply = self._call("POST", "/api/v1/refresh", form, secret=request_id)
        found = {}
        for item in self._files(reply):
            name, url = item.get("name"), item.get("url")
            if not isinstance(name, str) or not isinstance(url, str) or not self._usable(url):
                raise self._bad_reply("a URL that cannot be used")
            found[name] = url
        return found

    # -- one call ----------------------------------------------------------------------------

    def _call(
        self, method: str, path: str, form: Mapping[str, object] | None = None, secret: str = ""
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(form).encode()
        # A form or an id goes to the configured service only: no redirect takes it elsewhere.
        redirects = 0 if form is not None else 3
        request = Request(self.url + path, headers, method, body, redirects)
        try:
            return self._attempts.run(lambda: self._once(request, secret))
        except (AccessError, UsageError):
            raise
        except ServerError as error:
            if isinstance(error.__cause__, _NoReplyError):
                raise AccessError(str(error.__cause__)) from error
            msg = f"the access service of the stimuli does not respond ({error}). {_AGAIN}"
            raise AccessError(msg) from error

    def _once(self, request: Request, secret: str) -> dict[str, Any]:
        with self._client.send(request) as response:
            if response.status == 200 and request.method == "GET":
                return self._manifest(response)
            if response.status == 200:
                return self._json(response)
            if response.status in (403, 404, 422):
                raise self._refusal(response, secret)
            error = failure(response)
        wait = error.retry_after if isinstance(error, TransientError) else None
        if wait is not None and wait > _PATIENCE:
            msg = f"the access service asks to wait {wait:.0f} s ({error}). {_AGAIN}"
            raise AccessError(msg)
        raise error

    def _manifest(self, response: Response) -> dict[str, Any]:
        """Return the reply to what may be asked again: a cut one, or a page of another's, is."""
        try:
            return self._json(response)
        except AccessError as error:
            raise _NoReplyError(str(error)) from error

    def _refusal(self, response: Response, secret: str) -> Exception:
        try:
            detail = self._json(response).get("detail", "")
        except AccessError:
            detail = ""
        words = _plain(_words(detail), secret)
        if response.status == 422:
            return UsageError(f"the access service does not accept the form: {words}")
        if isinstance(detail, dict) and detail.get("error") == "terms_outdated":
            return self._outdated(detail, secret)
        if response.status == 403 and "revoked" in words.lower():
            return AccessRevokedError(
                f"access to the stimuli was revoked: {words} Write to the owners of the dataset "
                f"if you think this is a mistake; {ASK} sends a new request."
            )
        if response.status == 404 and "request_id" in words:
            return UnknownRequestError(
                f"the access service at {self.url} does not know your request id. Correct "
                f"LAION_FMRI_REQUEST_ID if you set it, or ask for a new one: {ASK}"
            )
        return AccessError(
            f"{response.shown_url}: {response.status} {words or response.reason}. If you set "
            f"{VARIABLE}, check it. Otherwise the service has changed: please report it."
        )

    def _outdated(self, detail: dict[str, Any], secret: str) -> TermsOutdatedError:
        version = _plain(str(detail.get("current_terms_version", "")), secret)
        where = _plain(str(detail.get("accept_url") or self.terms_url), secret)
        return TermsOutdatedError(
            f"the terms of the stimuli have changed: version {version} is in force, and you "
            f"accepted another one. Read and accept them at {where}, or send a new request: {ASK}",
            where,
            version,
        )

    def _json(self, response: Response) -> dict[str, Any]:
        try:
            reply = json.loads(response.read(_BODY_LIMIT))
        except (ValueError, RecursionError) as error:
            raise self._bad_reply("a response that is not JSON") from error
        if not isinstance(reply, dict):
            raise self._bad_reply("a response that is not a JSON object")
        return reply

    # -- checks of the response --------------------------------------------------------------------

    def _bad_reply(self, what: str) -> AccessError:
        return AccessError(
            f"the access service at {self.url} gave {what}. If you set {VARIABLE}, check it. A "
            "login page of your network, or a proxy, may also have answered instead."
        )

    def _files(self, reply: dict[str, Any]) -> list[dict[str, Any]]:
        files = reply.get("files")
        if not isinstance(files, list) or not all(isinstance(item, dict) for item in files):
            raise self._bad_reply("no list of files")
        return files

    def _entry(self, item: dict[str, Any]) -> Entry:
        name, size, sha256 = item.get("name"), item.get("size"), item.get("sha256")
        good = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        if not (isinstance(name, str) and name and good and isinstance(sha256, str)):
            raise self._bad_reply("a file without a name, size or sha256")
        if not _SHA256.fullmatch(sha256.lower()):
            raise self._bad_reply(f"an invalid sha256 of {_plain(name)}")
        return Entry(name, size, sha256.lower())  # type: ignore[arg-type]

    def _usable(self, url: str) -> bool:
        """Whether a URL is of the web, and encrypted if the service's own is."""
        schemes = ("https",) if self.url.startswith("https://") else ("http", "https")
        plain = url.isascii() and url.isprintable() and " " not in url
        try:
            parts = urlsplit(url)
            return plain and parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            return False


class _NoReplyError(TransientError):
    """A response that is none of the service's."""


def _words(detail: object) -> str:
    """Return the explanation of the service: a text, or a list of problems with a form."""
    if isinstance(detail, list):
        return "; ".join(_words(item) for item in detail)
    if isinstance(detail, dict):
        location = detail.get("loc")
        field = f"{location[-1]}: " if isinstance(location, list) and location else ""
        return f"{field}{detail.get('msg') or detail.get('message') or detail.get('error') or ''}"
    return str(detail)


def _plain(text: str, secret: str = "") -> str:
    """Return a text of the service so that it can be shown: one short line, without the id."""
    if secret:
        text = text.replace(secret, "<request id>")
    return "".join(c if c.isprintable() else " " for c in text)[:300]
