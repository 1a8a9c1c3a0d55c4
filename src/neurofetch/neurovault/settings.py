"""How to fetch: the arguments beside the ids and filters, checked once and passed on as a value."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from neurofetch.cluster import crew_of
from neurofetch.errors import ConfigError, UsageError
from neurofetch.net.settings import Network, checked_endpoint

if TYPE_CHECKING:
    from neurofetch.events import Event
    from neurofetch.fetcher import Crew
    from neurofetch.net.retry import RetryRules

__all__ = [
    "CONNECTIONS",
    "MAX_FAILURES",
    "TIMEOUT",
    "Mode",
    "OnError",
    "Progress",
    "Settings",
    "api_url",
    "connections",
]

Mode = Literal["download_new", "overwrite", "offline"]
OnError = Literal["warn", "raise"]
Progress = str | bool | Callable[["Event"], None] | None

CONNECTIONS = 4
"""Requests at once by default: the real server has four workers for everything."""
_MAX_CONNECTIONS = 64
MAX_FAILURES = 100
"""After so many failures in a row a call stops early; the number is nilearn's."""
TIMEOUT = 10.0
_VARIABLE = "NEUROFETCH_NEUROVAULT_CONNECTIONS"
_APIS = {
    "NEUROVAULT_API_URL": "https://neurovault.org/api/",
    "NEUROSYNTH_API_URL": "https://neurosynth.org/api/",
}
_MODES = ("download_new", "overwrite", "offline")
_INTERPOLATIONS = ("continuous", "linear", "nearest")


@dataclass(frozen=True)
class Settings:
    """How to fetch: the arguments that all fetch functions have in common, under their names.

    Parameters
    ----------
    mode : {"download_new", "overwrite", "offline"}
    connections : int
        Requests at once, at most.
    timeout : float
        Seconds without a response, or without a byte of it.
    max_failures : int or None
        Stop early after so many failures in a row; None: never.
    on_error : {"warn", "raise"}
    fetch_neurosynth_words, vectorize_words : bool
        Whether to fetch Neurosynth's words, and to make a matrix of them.
    resample : bool
    interpolation : {"continuous", "linear", "nearest"}
    verbose : int
    progress : str, bool, callable or None
        None: as `verbose` says.
    rules : RetryRules or None
    patience : float or None
        Seconds; None: as the environment says.
    crew : Crew or None
        Who fetches the volumes in many tasks; None for this process alone.
    """

    mode: Mode = "download_new"
    connections: int = CONNECTIONS
    timeout: float = TIMEOUT
    max_failures: int | None = MAX_FAILURES
    on_error: OnError = "warn"
    fetch_neurosynth_words: bool = False
    vectorize_words: bool = True
    resample: bool = False
    interpolation: str = "continuous"
    verbose: int = 3
    progress: Progress = None
    rules: RetryRules | None = None
    patience: float | None = None
    crew: Crew | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Settings:
        """Return the settings among the arguments of a function, checked.

        Parameters
        ----------
        arguments : mapping of str to object
            As ``locals()`` gives them in the first line of a function. What is no setting is left
            out; a setting that is not there has its default.

        Raises
        ------
        UsageError
            It says which argument makes no sense.
        """
        given = {field.name: arguments.get(field.name, field.default) for field in fields(cls)}
        if isinstance(given["mode"], str):
            given["mode"] = given["mode"].lower()
        _among("mode", given["mode"], _MODES)
        _among("on_error", given["on_error"], ("warn", "raise"))
        _among("interpolation", given["interpolation"], _INTERPOLATIONS)
        for name in ("fetch_neurosynth_words", "vectorize_words", "resample"):
            given[name] = bool(given[name])
        given["connections"] = connections(arguments.get("connections"))
        _positive("timeout", given["timeout"])
        if given["max_failures"] is not None:
            _positive("max_failures", given["max_failures"])
        if given["patience"] is not None:
            given["patience"] = Network(patience=given["patience"]).patience
        given["crew"] = crew_of(
            arguments.get("executor"), arguments.get("workers"), arguments.get("client")
        )
        return cls(**given)

    @property
    def overwrite(self) -> bool:
        """Whether to fetch again what is here."""
        return self.mode == "overwrite"

    @property
    def offline(self) -> bool:
        """Whether to make no request and write nothing."""
        return self.mode == "offline"

    @property
    def shown(self) -> Progress:
        """How to show progress: as asked, or else as `verbose` says."""
        if self.progress is None and not self.verbose:
            return "none"
        return self.progress


def connections(given: int | None, environ: Mapping[str, str] | None = None) -> int:
    """Return the number of connections: as given, else from the environment, else 4.

    Raises
    ------
    UsageError, ConfigError
        If it is no whole number from 1 to 64.
    """
    environ = os.environ if environ is None else environ
    text = environ.get(_VARIABLE, "").strip()
    if given is None and text:
        if not text.isdecimal() or not 1 <= int(text) <= _MAX_CONNECTIONS:
            raise ConfigError(
                f"{_VARIABLE} must be a number from 1 to {_MAX_CONNECTIONS}: {text!r}."
            )
        return int(text)
    if given is None:
        return CONNECTIONS
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _MAX_CONNECTIONS:
        raise UsageError(f"connections must be from 1 to {_MAX_CONNECTIONS}, not {given!r}.")
    return given


def api_url(name: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the base of an API, with the slash at its end.

    Parameters
    ----------
    name : {"NEUROVAULT_API_URL", "NEUROSYNTH_API_URL"}
        The variable that may name another server.
    environ : mapping, optional

    Raises
    ------
    ConfigError
        If it is no http or https URL.

    Examples
    --------
    >>> api_url("NEUROVAULT_API_URL", {"NEUROVAULT_API_URL": "http://localhost:8000/api"})
    'http://localhost:8000/api/'
    """
    environ = os.environ if environ is None else environ
    text = environ.get(name, "").strip() or _APIS[name]
    return checked_endpoint(text, name).rstrip("/") + "/"


def _among(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(map(repr, allowed))
        raise UsageError(f"{name} must be one of {listed}, not {value!r}. Nothing was fetched.")


def _positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UsageError(f"{name} must be a number above zero, not {value!r}. Nothing was fetched.")
