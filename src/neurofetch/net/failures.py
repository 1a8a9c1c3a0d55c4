"""Which error an unsuccessful response becomes, and who said it."""

from __future__ import annotations

import html
import re
import time
from typing import TYPE_CHECKING

from neurofetch.errors import (
    MissingRemoteError,
    NeurofetchError,
    ProtocolError,
    RefusedError,
    RemoteChangedError,
    TransientError,
)
from neurofetch.net.refusals import KEY_CODES, REFUSALS, advice_for, says_page
from neurofetch.net.retry import classify, parse_retry_after

if TYPE_CHECKING:
    from neurofetch.net.response import Response

__all__ = [
    "PORTAL_HINT",
    "failure",
    "failure_of",
    "is_page",
    "passes",
    "s3_code",
    "s3_word",
    "told",
    "who_answered",
]

PORTAL_HINT = (
    "Nothing was fetched. Open a page in a browser on this computer to log in to the network, or "
    "check the proxy variables; then try again."
)
_LIMIT = 64 * 1024
_SHOWN = 120
_TITLE = re.compile(rb"<title[^>]{0,80}>([^<]{1,400})", re.IGNORECASE)
_PAGE = re.compile(
    rb"\s*(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_ERROR = re.compile(rb"<(Code|Message|Region|Endpoint)>\s*([^<]{1,300}?)\s*</\1>")

_PASSING = frozenset(
    {
        "bandwidthlimitexceeded",
        "busy",
        "internalerror",
        "internalfailure",
        "internalservererror",
        "limitexceededexception",
        "operationaborted",
        "priorrequestnotcomplete",
        "requestlimitexceeded",
        "requestthrottled",
        "requestthrottledexception",
        "requesttimeout",
        "requesttimeoutexception",
        "serverbusy",
        "serviceunavailable",
        "slowdown",
        "slowdownread",
        "slowdownwrite",
        "throttledexception",
        "throttling",
        "throttlingexception",
        "toomanyrequests",
        "toomanyrequestsexception",
        "transactioninprogressexception",
    }
)
"""Codes of S3, and of what speaks like it, that say: later. As the SDKs of AWS have them, and those
of MinIO, Google and Azure; in lower case."""
_THROTTLED = frozenset(
    code
    for code in _PASSING
    if any(word in code for word in ("busy", "exceeded", "slowdown", "throttl", "toomany"))
)
"""Those of them that say: you ask too much."""
_TOO_MUCH = (429, 503, 509)
"""Statuses that say so."""


def failure(response: Response) -> NeurofetchError:
    """Return the error for an unsuccessful response; its body is read.

    S3 says in an XML body what is the matter (``<Code>``, ``<Message>``); others say it in JSON or
    HTML, of which the title is told.
    """
    return failure_of(response, told(response))


def told(response: Response) -> bytes:
    """Return the first 64 kB of the body of an unsuccessful response; b"" where it breaks off.

    The status says enough: the body of an error is only its comment.
    """
    start = memoryview(bytearray(_LIMIT))
    try:
        return bytes(start[: response.fill(start)])
    except (TransientError, ProtocolError):
        return b""


def failure_of(response: Response, body: bytes) -> NeurofetchError:
    """Return the error for an unsuccessful response whose body was read."""
    code, words = s3_code(body), s3_word(body, "Message")
    signature = response.signature
    what = f"{response.shown_url}: {response.status} {code or _line(response.reason)[:_SHOWN]}"
    what = what.rstrip()
    if words:
        what += f" ({words})"
    kind = classify(response.status)
    if not words and is_page(body) and kind != "missing":  # servers say 404 with a page of theirs
        what += f". {who_answered(response, body)}"
    if signature is not None:
        what = signature.scrubbed(what)
    passing = _passing(response, body, what)
    if passing is not None:
        return passing
    if response.status == 412:
        return RemoteChangedError(f"{response.shown_url}: the object changed on the server (412)")
    if kind == "refused" or response.status in REFUSALS or (signature and code in KEY_CODES):
        return _refused(response, body, what)
    if kind == "missing":
        return MissingRemoteError(what)
    if kind == "ok":
        return TransientError(f"{what}: this is no answer to what was asked")
    return ProtocolError(f"{what}: this response cannot be used")


def _passing(response: Response, body: bytes, what: str) -> TransientError | None:
    """Return the error for what another attempt may cure; None where none does."""
    code, signature = s3_code(body), response.signature
    if signature is not None:
        region = s3_word(body, "Region") or response.headers.get("x-amz-bucket-region", "")
        learned = signature.learns(code, region)
        if learned:
            return TransientError(f"{response.shown_url}: {response.status} {code}: {learned}")
    if classify(response.status) != "transient" and not passes(code):
        return None
    wait = parse_retry_after(response.headers.get("retry-after", ""), time.time())
    error = TransientError(what, wait)
    error.throttled = response.status in _TOO_MUCH or _says(code, _THROTTLED)
    return error


def _refused(response: Response, body: bytes, what: str) -> RefusedError:
    signature = response.signature
    advice = advice_for(
        response.status,
        s3_code(body),
        page=is_page(body) or says_page(response),
        signed_with=signature.signer.shown if signature is not None else "",
        may_sign=response.may_sign,
    )
    return RefusedError(what, advice)


def s3_code(body: bytes) -> str:
    """Return the ``<Code>`` of an S3 error body, or ""."""
    return s3_word(body, "Code")


def s3_word(body: bytes, tag: str) -> str:
    """Return what an S3 error body says under a tag, or "".

    Parameters
    ----------
    body : bytes
    tag : {"Code", "Message", "Region", "Endpoint"}
    """
    for name, text in _ERROR.findall(body[:_LIMIT]):
        if name.decode("ascii") == tag:
            return _plain(text)
    return ""


def passes(code: str) -> bool:
    """Whether an error code of S3 says that another attempt may succeed.

    Examples
    --------
    >>> [passes(code) for code in ("SlowDown", "503 Slow Down", "RequestTimeTooSkewed")]
    [True, True, False]
    """
    return _says(code, _PASSING)


def _says(code: str, known: frozenset[str]) -> bool:
    """Whether an error code is one of those that are known."""
    return re.sub(r"[^a-z]", "", code.lower()) in known


def is_page(body: bytes) -> bool:
    """Whether a body is an HTML page: of a portal, a firewall, a proxy, a maintenance notice."""
    return _PAGE.match(body[:_LIMIT]) is not None


def who_answered(response: Response, body: bytes) -> str:
    """Return a sentence that says who gave a page for an answer."""
    title = _TITLE.search(body[:_LIMIT])
    name = f" titled {_plain(title[1])!r}" if title else ""
    server = _line(response.headers.get("server", ""))[:_SHOWN]
    by = f" (its server calls itself {server!r})" if server else ""
    return f"What came is an HTML page{name}{by}, from {response.shown_url}"


def _plain(text: bytes) -> str:
    """Return a text of a page or of XML in one line, as a reader sees it."""
    return _line(html.unescape(text.decode("utf-8", "replace")))[: 2 * _SHOWN]


def _line(text: str) -> str:
    """Return a text in one line, without what a terminal would act on."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
