"""Who may ask the local page: a loopback port is open to every user and every web page. Pure.

On the login node of a cluster the token is the only protection from other users, and in a browser
the checks of host and origin are what keeps other pages out.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from neurofetch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "KEY_HEADER",
    "MARK",
    "POLICY",
    "SECURITY_HEADERS",
    "TOKEN_VARIABLE",
    "Guard",
    "Refusal",
    "new_token",
]

TOKEN_VARIABLE: Final = "NEUROFETCH_UI_TOKEN"
"""Where a program that starts the page for somebody, as Jupyter does, says which token it has."""
_SHORTEST: Final = 32
"""Letters of a token that is given."""

MARK: Final = "x-neurofetch"
"""A header that a page of another origin cannot send without being asked for permission first."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
SECURITY_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
)
KEY_HEADER: Final = "x-neurofetch-key"
_SAME: Final = frozenset({"same-origin", "none"})
"""What ``Sec-Fetch-Site`` says of a request by the page itself, or by the user's own hand."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused.

    Parameters
    ----------
    status : int
    code : str
    message : str
    """

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides who may ask.

    Parameters
    ----------
    port : int
        On which the page listens.
    hosts : tuple of str
        Names beside those of loopback by which it may be called; ``*`` for any, behind a proxy that
        checks who asks.
    base_path : str
        Below which a proxy shows it: begins and ends with a slash.
    framed : bool
        Whether a page of the same origin may show it in a frame, as a notebook does.
    token, session, key : str
        What the address has, what the cookie has, and what the page's own scripts say with each
        request. A browser gives a cookie to every port of a host, so to the servers of other users
        of this machine, too: by itself it opens nothing but an empty page. The key stays with the
        page, since what scripts keep is kept for each port.
    """

    port: int
    hosts: tuple[str, ...] = ()
    base_path: str = "/"
    framed: bool = False
    token: str = field(default_factory=lambda: new_token(""), repr=False)
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def cookie_name(self) -> str:
        """With the port, since browsers keep cookies for a host and not for a port."""
        return f"neurofetch-{self.port}"

    @property
    def cookie(self) -> str:
        """What the browser is given for the token."""
        attributes = f"HttpOnly; SameSite=Strict; Path={self.base_path}"
        return f"{self.cookie_name}={self.session}; {attributes}"

    @property
    def policy(self) -> str:
        """The Content-Security-Policy of all that is served."""
        return POLICY + ("'self'" if self.framed else "'none'")

    def refusal_of_host(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is refused for the name by which it calls this server, or None.

        A page elsewhere can let its own name lead to 127.0.0.1 (DNS rebinding). Its requests come
        here then, with its name.

        Parameters
        ----------
        headers : mapping of str to str
            By lower-case names.
        """
        if "*" in self.hosts:
            return None
        name = _host_of(headers.get("host", ""))
        known = {"127.0.0.1", "localhost", "::1", *self.hosts}
        if name in known:  # with any port: a tunnel may begin at another one
            return None
        msg = "This page answers at its own address only. Open the one that `neurofetch ui` printed"
        return Refusal(403, "host", f"{msg}; behind a proxy, start it with --allow-host NAME.")

    def refusal_of_origin(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request that changes something is refused, or None.

        Parameters
        ----------
        headers : mapping of str to str
            By lower-case names.
        """
        msg = "Only the page itself may ask for this. Nothing was done. Open the page, and use it."
        refusal = Refusal(403, "origin", msg)
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return refusal
        origin = headers.get("origin")
        if origin is not None:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc != headers.get("host"):
                forwarded = headers.get("x-forwarded-host") if "*" in self.hosts else None
                if forwarded is None or parts.netloc != forwarded:
                    return refusal
        if headers.get(MARK) != "1":
            return refusal
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return Refusal(415, "content_type", "A request has JSON as its body. Nothing was done.")
        return None

    def is_site_of_others(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of another site asks, and no user's hand: a picture or script in it."""
        return headers.get("sec-fetch-site", "none") not in _SAME

    def knows(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Whether a request has cookie and key, or the token in a header, as programs send it.

        Parameters
        ----------
        headers : mapping of str to str
            By lower-case names.
        query : mapping of str to str
            Pictures and streams of events have the key here, since they send no headers of ours.
        """
        if self.is_trusted(headers):
            return True
        key = headers.get(KEY_HEADER) or query.get("key", "")
        return self.has_cookie(headers) and _same(key, self.key)

    def is_trusted(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the token in a header."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() in ("token", "bearer") and self.is_token(given.strip())

    def has_cookie(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the cookie, which opens the empty page."""
        return any(_same(value, self.session) for value in self._cookies(headers))

    def is_token(self, given: str | None) -> bool:
        """Whether this is the token of the address; takes as long for any other."""
        return given is not None and _same(given, self.token)

    def _cookies(self, headers: Mapping[str, str]) -> list[str]:
        """Return the values of this cookie; another of that name may come with it."""
        found = []
        for pair in headers.get("cookie", "").split(";"):
            try:
                jar = SimpleCookie(pair.strip())
            except CookieError:
                continue  # of another program at this host
            if self.cookie_name in jar:
                found.append(jar[self.cookie_name].value)
        return found


def new_token(given: str) -> str:
    """Return the token that is given, or one that nobody can guess.

    Parameters
    ----------
    given : str
        Of `TOKEN_VARIABLE`; empty for none.

    Raises
    ------
    ConfigError
        If it is short, or no word of letters and digits.
    """
    if not given:
        return secrets.token_urlsafe(32)
    if len(given) < _SHORTEST or not re.fullmatch(r"[A-Za-z0-9_-]+", given):
        msg = f"{TOKEN_VARIABLE} is no token: {_SHORTEST} or more letters, digits, _ and -. "
        raise ConfigError(f"{msg}Nothing was started. Unset it, and one is made.")
    return given


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())


def _host_of(text: str) -> str | None:
    """Return the name in a Host header; None if it is none."""
    found = re.fullmatch(r"(?:\[([0-9a-f:]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?", text.lower())
    if found is None:
        return None
    return (found[1] or found[2]).rstrip(".")
