"""ETags as text: read from a header or a listing, compared, and sent back. Pure.

RFC 9110, 8.8.3. An ETag is strong (``"abc"``) or weak (``W/"abc"``). Proxies weaken it, or add to
it, when they compress: ``"abc-gzip"`` (Apache), ``"abc--gzip"`` (Jetty). All of these name one
object.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurofetch.model import RemoteFile

__all__ = ["if_match", "is_weak", "read_etag", "same_etag"]

_WEAK = "W/"
_COMPRESSED = re.compile(r"[-;]{1,2}(gzip|br|deflate|zstd|df)$")
_DIGEST = re.compile(r"[0-9a-fA-F]{32}(-[0-9]+)?")
_SENDABLE = re.compile(r"[\x21\x23-\x7e\x80-\xff]+")
"""What may stand between the quotation marks."""


def read_etag(text: str) -> str | None:
    """Return an ETag without quotation marks; a weak one begins with ``W/``.

    Parameters
    ----------
    text : str
        As it stands in a header or a listing. Quotation marks may be missing.

    Examples
    --------
    >>> read_etag('"abc"'), read_etag('W/"abc"'), read_etag("")
    ('abc', 'W/abc', None)
    """
    if (
        len(text) > 2
        and text[0] == text[-1] == '"'
        and text[1] not in ' "'
        and text[-2] not in ' "'
    ):
        return text[1:-1]  # as it nearly always is
    text = text.strip()
    weak = text[:2] in ("W/", "w/")
    tag = (text[2:] if weak else text).strip().strip('"')
    if not tag:
        return None
    return _WEAK + tag if weak else tag


def is_weak(etag: str | None) -> bool:
    """Whether an ETag, as `read_etag` returns it, is weak: it guards no ranges."""
    return etag is not None and etag.startswith(_WEAK)


def same_etag(one: str | None, other: str | None) -> bool:
    """Whether two ETags, as `read_etag` returns them, name one object.

    What proxies do to an ETag is looked through: that the bytes are the same, it does not say.

    Examples
    --------
    >>> same_etag("abc", "W/abc-gzip"), same_etag("abc", "abd"), same_etag(None, None)
    (True, False, False)
    """
    if one is None or other is None:
        return False
    return one == other or _core(one) == _core(other)


def _core(etag: str) -> str:
    core = _COMPRESSED.sub("", etag.removeprefix(_WEAK))
    return core.lower() if _DIGEST.fullmatch(core) else core


def if_match(remote: RemoteFile) -> dict[str, str]:
    """Return the header that guards against another version of a file; none for a weak ETag."""
    etag = remote.etag
    if not etag or is_weak(etag) or _SENDABLE.fullmatch(etag) is None:
        return {}
    return {"If-Match": f'"{etag}"'}
