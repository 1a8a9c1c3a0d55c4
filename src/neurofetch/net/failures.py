"""Which error an unsuccessful response becomes."""

from __future__ import annotations

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
from neurofetch.net.refusals import REFUSALS, advice_for, is_page
from neurofetch.net.retry import classify, parse_retry_after

if TYPE_CHECKING:
    from neurofetch.net.response import Response

__all__ = ["failure", "s3_code"]

_LIMIT = 64 * 1024
_CODE = re.compile(rb"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")


def failure(response: Response) -> NeurofetchError:
    """Return the error for an unsuccessful response; its body is read.

    S3 says in an XML body what is the matter (``<Code>``, ``<Message>``); others say it in JSON or
    HTML, of which only the status is told.
    """
    code, words = _explanation(response)
    what = f"{response.shown_url}: {response.status} {code or response.reason}".rstrip()
    if words:
        what += f" ({words})"
    kind = classify(response.status)
    if kind == "transient" or code in ("SlowDown", "RequestTimeout", "InternalError"):
        wait = parse_retry_after(response.headers.get("retry-after", ""), time.time())
        return TransientError(what, wait)
    if response.status in REFUSALS:
        return RefusedError(what, advice_for(response.status, code, page=is_page(response)))
    if kind == "missing":
        return MissingRemoteError(what)
    if response.status == 412:
        return RemoteChangedError(f"{response.shown_url}: the object changed on the server (412)")
    return ProtocolError(f"{what}: this response cannot be used")


def s3_code(body: bytes) -> str:
    """Return the ``<Code>`` of an S3 error body, or ""."""
    found = _CODE.search(body)
    return found[1].decode("utf-8", "replace") if found else ""


def _explanation(response: Response) -> tuple[str, str]:
    try:
        body = response.read(_LIMIT)
    except (TransientError, ProtocolError):
        return "", ""  # the status says enough: the body of an error is only its comment
    words = _MESSAGE.search(body)
    return s3_code(body), words[1].decode("utf-8", "replace") if words else ""
