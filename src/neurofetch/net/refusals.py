"""What a reader can do when a file is refused, and how a web page in its place is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofetch.errors import TransientError

if TYPE_CHECKING:
    from neurofetch.net.response import Response

__all__ = [
    "ARCHIVED",
    "KEY_CODES",
    "NAME_KEYS",
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


NAME_KEYS = (
    "If you have access of your own, name it: --profile NAME, or --signed for the keys in the "
    "environment (profile=, signed=True)."
)
KEY_CODES = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""Codes of S3 that find fault with the keys, or with what was signed with them."""
_PAGES = (".html", ".htm", ".xhtml")


def advice_for(
    status: int, code: str, *, page: bool, signed_with: str = "", may_sign: bool = False
) -> str:
    """Say what a reader can do about a refusal.

    Parameters
    ----------
    status : int
    code : str
        The ``<Code>`` of S3; "" where it says none.
    page : bool
        Whether a web page came with it.
    signed_with : str
        What signed the request: the name of a profile, say; "" for nothing.
    may_sign : bool
        Whether the reader can name credentials.

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
    if status == 511 or (page and not code):
        return PORTAL
    if signed_with:
        return _advice_on_keys(code, signed_with)
    return f"{NOT_PUBLIC} {NAME_KEYS}" if may_sign else NOT_PUBLIC


def _advice_on_keys(code: str, signed_with: str) -> str:
    """Say what a reader can do where keys were used, without a word of the keys."""
    used = f"The requests were signed with {signed_with}."
    if code == "RequestTimeTooSkewed":
        return f"{used} Set the clock of this computer, which is wrong: signatures tell the time."
    if code in ("ExpiredToken", "InvalidToken"):
        return f"{used} Their session is over, or is none: get new keys, then run this again."
    if code == "SignatureDoesNotMatch":
        return f"{used} The server knows the access key id and not this secret: check the secret."
    if code in KEY_CODES:
        return f"{used} This server does not know them: check that they are keys for this server."
    return (
        f"{used} Either they are not let in, or they must say that they pay: ask the "
        "owners to let you in, add --requester-pays (requester_pays=True) if the bucket is one of "
        "requester pays, or leave the files out with --exclude (or exclude=)."
    )


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
