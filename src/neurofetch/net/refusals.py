"""What a reader can do when a file is refused, and how a web page in its place is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofetch.errors import TransientError

if TYPE_CHECKING:
    from neurofetch.net.response import Response

__all__ = [
    "ARCHIVED",
    "NOT_LISTED",
    "NOT_PUBLIC",
    "PORTAL",
    "REFUSALS",
    "advice_for",
    "check_no_page",
    "says_page",
]

REFUSALS = frozenset({401, 403, 407, 451, 511})
"""Statuses that say: not for you (RFC 9110; 451: RFC 7725; 511: RFC 6585)."""

ARCHIVED = (
    "Archived files cannot be fetched until the owners of the bucket restore them: ask them, or "
    "leave the files out with --exclude (or exclude=)."
)
PORTAL = (
    "A web page came from a login portal, a proxy or a firewall on the way, not from the bucket: "
    "log in to the network, use another one, or ask those who run it to let the bucket through."
)
_PROXY = (
    "The proxy wants a user and a password: put them into the proxy variable, as in "
    "https_proxy=http://USER:PASSWORD@HOST:PORT."
)
_LEGAL = (
    "The server keeps these files back for legal reasons (451), perhaps only where you are: ask "
    "their owners, or leave them out with --exclude (or exclude=)."
)
NOT_LISTED = (
    "The bucket does not let everybody list it, or a proxy or firewall on the way blocks it: check "
    "its name, ask its owners, or try another network."
)
NOT_PUBLIC = (
    "Files that are refused (401, 403) are not public, or a proxy or firewall on the way blocks "
    "them: ask their owners, try another network, or leave them out with --exclude (or exclude=)."
)


_PAGES = (".html", ".htm", ".xhtml")


def advice_for(status: int, code: str, *, page: bool) -> str:
    """Say what a reader can do about a refusal.

    Parameters
    ----------
    status : int
    code : str
        The ``<Code>`` of S3; "" where it says none.
    page : bool
        Whether a web page came with it.

    Examples
    --------
    >>> advice_for(403, "InvalidObjectState", page=False) == ARCHIVED
    True
    """
    if code == "InvalidObjectState":  # it is in GLACIER or DEEP_ARCHIVE
        return ARCHIVED
    if status == 407:
        return _PROXY
    if status == 451:
        return _LEGAL
    return PORTAL if status == 511 or (page and not code) else NOT_PUBLIC


def says_page(response: Response) -> bool:
    """Whether a response says that it is a web page."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


def check_no_page(response: Response, key: str, size: int | None, etag: str | None) -> None:
    """See that no web page came in the place of a file.

    A file may well be a web page itself: then its ETag is the listed one, or where the response
    has none, its length. What S3 answered has a request id; what was changed on the server since
    it was listed has an ETag, and a name that says that it is a page.

    Parameters
    ----------
    response : Response
    key : str
    size : int or None
    etag : str or None
        As they were listed.

    Raises
    ------
    TransientError
        If one did: the next answer may come from the server.
    """
    if not says_page(response) or (etag is None and size is None):
        return
    said = response.headers.get("etag", "").removeprefix("W/").strip('"')
    same_etag = bool(said) and said == (etag or "").removeprefix("W/").strip('"')
    same_size = size is not None and response.length == size
    if same_etag or (same_size and not said) or "x-amz-request-id" in response.headers:
        return
    if response.status == 206 and "content-range" in response.headers:
        return  # a portal sends no parts
    if said and key.lower().endswith(_PAGES):
        return
    msg = (
        f"{response.shown_url}: a web page came in place of the file ({response.status} "
        f"{response.headers['content-type'][:40]}): a login portal or a firewall answered"
    )
    raise TransientError(msg, advice=PORTAL)
