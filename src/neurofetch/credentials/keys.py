"""Keys, and how long they hold: looked up once, renewed before they end, never shown nor sent."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from neurofetch.errors import (
    CredentialsError,
    NeurofetchError,
    ServerError,
    TransientError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Credentials", "Keys", "checked_keys", "moment", "scrubbed"]

_log = logging.getLogger("neurofetch")

_EARLY = 300.0
"""Seconds before their end from which on keys are renewed."""
_AGAIN = 30.0
"""Seconds between two attempts to renew keys that still hold."""
_FAILED = 5.0
"""Seconds for which a failure to get keys is told without another attempt: many threads ask."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs requests. It has no way out of this process: neither shown nor pickled.

    Parameters
    ----------
    key_id, secret : str
    token : str
        Of a session; "" for none.
    expires : float
        Seconds since the epoch; infinite where they do not end.
    """

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires: float = field(default=float("inf"), repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that must not be shown, the longest first."""
        return tuple(sorted(filter(None, (self.key_id, self.secret, self.token)), key=len)[::-1])

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys stay in the process that looked them up: pickle the Access instead")

    def __str__(self) -> str:
        return "keys (not shown)"


def moment(text: str) -> float:
    """Return the seconds since the epoch of a time in ISO 8601; without a zone it is UTC.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> moment("1970-01-01T00:01:00Z")
    60.0
    """
    found = datetime.fromisoformat(text.strip())
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Credentials:
    """Keys of one name, for all threads of a run.

    Parameters
    ----------
    shown : str
        What they are called in messages: a profile's name, never a key.
    fetch : callable
        Looks keys up anew; it may ask servers and run programs.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self, shown: str, fetch: Callable[[], Keys], clock: Callable[[], float] = time.time
    ) -> None:
        self.shown: str = shown
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Keys | None = None
        self._not_before = 0.0
        self._problem: tuple[float, NeurofetchError] | None = None
        self._fruitless = (0.0, "")

    def __repr__(self) -> str:
        return f"Credentials(of {self.shown})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials stay in their process: pickle the Access instead")

    def keys(self) -> Keys:
        """Return keys that hold, renewed by one thread where they soon end.

        Raises
        ------
        CredentialsError
            If there are none.
        ServerError
            If a server that gives them out fails.
        """
        held, now = self._held, self._clock()
        if held is not None and now < held.expires - _EARLY:
            return held
        if held is None or now >= held.expires:
            return self._waited_for(now)
        if now >= self._not_before and self._lock.acquire(blocking=False):
            try:
                self._renew(held, now)
            finally:
                self._lock.release()
        return self._held or held

    def _waited_for(self, now: float) -> Keys:
        """Look keys up; of many threads that need some, one does, and the others wait."""
        with self._lock:
            held = self._held
            if held is not None and self._clock() < held.expires:
                return held
            if self._problem is not None and now < self._problem[0]:
                raise type(self._problem[1])(str(self._problem[1]))
            try:
                found = self._looked_up()
            except (CredentialsError, UnreachableError) as error:
                if held is None or not isinstance(error, UnreachableError):
                    self._problem = (self._clock() + _FAILED, error)
                    raise
                raise TransientError(str(error)) from error  # it was there before: it may come back
            if self._clock() >= found.expires:
                msg = (
                    f"the keys of {self.shown} have expired. Nothing more can be fetched with "
                    "them. Get new ones, then run the same call again."
                )
                self._problem = (self._clock() + _FAILED, CredentialsError(msg))
                raise CredentialsError(msg)
            self._take(found)
            return found

    def _renew(self, held: Keys, now: float) -> None:
        """Look keys up while others still hold: then a failure can wait."""
        if self._held is not held:
            return
        self._not_before = now + _AGAIN
        try:
            found = self._looked_up()
        except NeurofetchError as error:
            left = max(0.0, held.expires - self._clock())
            _log.debug("%s: not renewed, %.0f s are left: %s", self.shown, left, error)
            return
        if found.expires > held.expires or found.key_id != held.key_id:
            self._take(found)

    def _looked_up(self) -> Keys:
        """Look keys up; what goes wrong is raised anew, since the frames below hold secrets."""
        try:
            return self._fetch()
        except NeurofetchError as error:
            problem = type(error)(str(error))
        raise problem

    def _take(self, found: Keys) -> None:
        self._held, self._problem = found, None
        _log.debug("credentials of %s are at hand", self.shown)

    def renewed(self, used: Keys) -> str:
        """Look keys up anew, since a server says that these have expired.

        Returns
        -------
        str
            What makes another attempt worth while; "" where there are no others.
        """
        new = f"the keys of {self.shown} had expired, and were renewed"
        with self._lock:
            if self._held is not used:
                return new if self._held is not None else ""
            if self._clock() < self._fruitless[0]:
                return self._fruitless[1]
            said = ""
            try:
                found = self._looked_up()
            except (UnreachableError, TransientError) as error:
                said = f"the keys of {self.shown} have expired, and not been renewed: {error}"
            except (CredentialsError, ServerError) as error:
                _log.debug("%s: not renewed: %s", self.shown, error)
            else:
                if (found.key_id, found.token) != (used.key_id, used.token):
                    self._take(found)
                    return new
            self._fruitless = (self._clock() + (_FAILED if said else _AGAIN), said)
            return said


def scrubbed(text: str, keys: Keys) -> str:
    """Return a text of others without the keys, should they be in it."""
    for secret in keys.secrets:
        text = text.replace(secret, "…")
    return text


def checked_keys(
    shown: str, key_id: Any, secret: Any, token: Any = "", *, expires: float = float("inf")
) -> Keys:
    """Return keys, if these can be some.

    Raises
    ------
    CredentialsError
        It says what is wrong, and nothing of what was given.
    """
    texts = (key_id, secret, token or "")
    names = ("access key id", "secret access key", "session token")
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, str) or not (text.isascii() and text.isprintable()) or " " in text:
            msg = (
                f"{shown}: the {name} has characters that no key has (a space, a line break, or "
                "the like). Nothing was fetched. Correct it."
            )
            raise CredentialsError(msg)
    return Keys(*texts, expires)
