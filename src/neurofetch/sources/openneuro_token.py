"""The token that OpenNeuro asks for where a data set is not public: where it is found, what it is.

It is made at https://openneuro.org/keygen, or is the last part of a reviewer link. It goes to the
OpenNeuro server alone: whoever shows a `Token` gets to know where it is from, and nothing else.
Files of other programs are read, and never written.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from neurofetch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["VARIABLE", "Token", "is_reviewer_link", "token_advice", "token_for"]

VARIABLE = "OPENNEURO_API_KEY"
_PUBLIC = "https://openneuro.org"
_LARGEST = 1 << 20
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,16384}")
"""What a header can carry as it is; a JSON Web Token is of these letters."""
_LINK = re.compile(r"(?:https?://)?[^/\s]+/crn/reviewer/([^/?#\s]+)/?", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Token:
    """An API key, or what a reviewer link has in its place.

    Parameters
    ----------
    value : str
    origin : str
        Where it is from: the name of a variable, or the path of a file.

    Attributes
    ----------
    origin : str
    ends : datetime or None
        When it stops being good, as it says itself; None where it does not say.
    dataset : str
        The one data set that it is for, as those of reviewers are; "" for no such bound.

    Examples
    --------
    >>> Token("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", "OPENNEURO_API_KEY")
    <Token of OPENNEURO_API_KEY, not shown>
    """

    __slots__ = ("_value", "dataset", "ends", "origin")

    def __init__(self, value: str, origin: str) -> None:
        self._value = value
        self.origin = origin
        claims = _claims(value)
        self.ends = _moment(claims.get("exp"))
        named = claims.get("dataset")
        self.dataset = named if isinstance(named, str) and named.isalnum() else ""

    @property
    def authorization(self) -> str:
        """The ``Authorization`` header that carries it: for `Client.authorize` alone."""
        return f"Bearer {self._value}"

    def has_ended(self, now: float | None = None) -> bool:
        """Tell whether it is good no more, as far as it says itself.

        Parameters
        ----------
        now : float, optional
            Seconds since 1970.
        """
        at = time.time() if now is None else now
        return self.ends is not None and self.ends.timestamp() <= at

    def __repr__(self) -> str:
        return f"<Token of {self.origin}, not shown>"

    def __reduce__(self) -> NoReturn:
        msg = f"{self!r} is not given to other processes: they find it as this one did."
        raise TypeError(msg)


def token_for(server: str, environ: Mapping[str, str] | None = None) -> Token | None:
    """Return the token for a server of OpenNeuro; None where there is none.

    The first that is there counts: the variable ``OPENNEURO_API_KEY`` (an API key, or a whole
    reviewer link), the official client's file, openneuro-py's file. A file is heeded where it is
    about this server. No token is given out for an ``http://`` server of another machine.

    Parameters
    ----------
    server : str
        Its URL.
    environ : mapping, optional
        By default that of the process.

    Raises
    ------
    ConfigError
        If the variable holds something that is no token; it is not shown.
    """
    environ = os.environ if environ is None else environ
    if not _may_go_to(server):
        return None
    given = environ.get(VARIABLE, "").strip()
    if given:
        return Token(_checked(given), VARIABLE)
    for found in _in_files(server, environ):
        if isinstance(found, Token):
            return found
    return None


def is_reviewer_link(text: str) -> bool:
    """Tell whether a text is a reviewer link: its last part is a token, and must not be shown.

    Examples
    --------
    >>> is_reviewer_link("https://openneuro.org/crn/reviewer/eyJhbGciOi.eyJzdWIiOi.c2ln")
    True
    >>> is_reviewer_link("https://openneuro.org/datasets/ds000001")
    False
    """
    return _LINK.fullmatch(text.strip()) is not None


def token_advice(
    server: str,
    token: Token | None,
    accession: str = "",
    environ: Mapping[str, str] | None = None,
) -> str:
    """Return what to do where a data set may not be read, or 502 is all that comes.

    Parameters
    ----------
    server : str
    token : Token or None
        That was sent; None where none was.
    accession : str
        The data set that was asked for.
    environ : mapping, optional
    """
    make = f"make an API key at {server}/keygen and put it into {VARIABLE}"
    if token is None:
        return _without(server, make, os.environ if environ is None else environ)
    if token.has_ended():
        day = f" on {token.ends:%Y-%m-%d}" if token.ends else ""
        return f"The token of {token.origin} ended{day}: {make}."
    if token.dataset and accession and token.dataset != accession:
        return (
            f"The token of {token.origin} is a reviewer's, for {token.dataset} alone: {make}, or "
            f"ask the owners of {accession} for a reviewer link and put that there."
        )
    return (
        f"It was asked for with the token of {token.origin}, which may be wrong or withdrawn (to "
        "such tokens the server says 502 as well), or its account may not read this data set. For "
        f"public data, take it away; else {make}."
    )


def _without(server: str, make: str, environ: Mapping[str, str]) -> str:
    if not _may_go_to(server):
        return f"No token is sent to {server}, since everybody on the way could read it: use https."
    problems = [found for found in _in_files(server, environ) if isinstance(found, str)]
    hint = f" ({'; '.join(problems)})" if problems else ""
    link = "A reviewer link can be put there too."
    return f"If it is yours or was shared with you, {make}{hint}. {link}"


# -- where it may be -------------------------------------------------------------------------------


class _File(NamedTuple):
    """A file of another program."""

    path: Path
    by_server: bool
    """Whether it has the token under the server's URL, or one token beside its endpoint."""


def _in_files(server: str, environ: Mapping[str, str]) -> Iterator[Token | str]:
    """Return tokens in files of other programs, and what is wrong with a file."""
    for file in _files(environ):
        try:
            content = _content(file.path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield f"{file.path} was passed over: {_reason(error)}"
            continue
        text = _named(content, file, server)
        if text is None:
            continue
        try:
            yield Token(_checked(text), str(file.path))
        except ConfigError:
            yield f"{file.path} was passed over: what it has is no token"


def _files(environ: Mapping[str, str]) -> Iterator[_File]:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    given = environ.get("XDG_CONFIG_HOME", "").strip()
    config = Path(given) if os.path.isabs(given) else home / ".config"
    mac = sys.platform == "darwin"
    official = [config, home / "Library/Preferences"] if mac and not given else [config]
    for folder in official:
        yield _File(folder / "openneuro/config.json", by_server=True)
    # As platformdirs has it, for its author's program.
    support = home / "Library/Application Support"
    folder = support if mac and not given else config
    yield _File(folder / "openneuro-py/config.json", by_server=False)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        if path.exists():
            msg = "it is no file"
            raise ValueError(msg)
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        msg = "it is too long"
        raise ValueError(msg)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = "it is no JSON"
        raise ValueError(msg) from error
    if not isinstance(content, dict):
        msg = "it has no names and values"
        raise ValueError(msg)  # noqa: TRY004 - of the file, not of an argument
    return content


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or "it cannot be read") if isinstance(error, OSError) else str(error)


def _named(content: Mapping[str, Any], file: _File, server: str) -> str | None:
    if file.by_server:
        for name, value in content.items():
            if _same(name, server) and isinstance(value, str) and value:
                return value
        return None
    endpoint, value = content.get("endpoint", _PUBLIC), content.get("apikey")
    fits = isinstance(endpoint, str) and _same(endpoint, server)
    return value if fits and isinstance(value, str) and value else None


def _same(one: str, other: str) -> bool:
    """Tell whether two addresses are of one server."""
    first, second = _origin(one), _origin(other)
    return first is not None and first == second


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname.lower(), port


def _may_go_to(server: str) -> bool:
    """Tell whether what is sent there can be read by nobody on the way."""
    origin = _origin(server)
    return origin is not None and (origin[0] == "https" or origin[1] in _LOCAL)


# -- what it is ------------------------------------------------------------------------------------


def _checked(text: str) -> str:
    """Return a token, also that of a reviewer link; it is not in the message where it is none."""
    text = text.strip()
    link = _LINK.fullmatch(text)
    token = link[1] if link else text.removeprefix("Bearer ").strip()
    if _TOKEN.fullmatch(token) is None or "://" in token:
        msg = (
            f"{VARIABLE} (not shown here) is no token of OpenNeuro: those are one word, such as "
            "eyJ0eX…, or a reviewer link. Nothing was asked. Correct it, or unset it."
        )
        raise ConfigError(msg)
    return token


def _claims(token: str) -> dict[str, Any]:
    """Return what a JSON Web Token says of itself; nothing of a token that is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        claims = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):  # nobody promised that it is one
        return {}
    return claims if isinstance(claims, dict) else {}


def _moment(seconds: object) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
