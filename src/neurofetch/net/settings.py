"""Settings: what the environment says, read once, checked, and passed on as a value."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Network", "checked_endpoint", "number", "s3_endpoint", "s3_region"]

_CA_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach servers.

    Parameters
    ----------
    connect_timeout : float
        Seconds for a connection to be made.
    read_timeout : float
        Seconds without a byte before a connection counts as stalled.
    slow_bytes, slow_window : float
        A body that brings fewer than `slow_bytes` in `slow_window` seconds counts as stalled.
    ca_bundle : str or None
        A file of certificates; None for those of the operating system.
    proxies : mapping of str to str
        Scheme to proxy URL, as the usual variables say (``http_proxy``, ``https_proxy``,
        ``all_proxy``); ``no_proxy`` is asked for each host.
    limit_rate : float or None
        Bytes a second over all connections together; None for no limit.

    Raises
    ------
    UsageError
        If `limit_rate` is not a positive number.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    slow_bytes: float = 1024.0
    slow_window: float = 30.0
    ca_bundle: str | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    limit_rate: float | None = None

    def __post_init__(self) -> None:
        rate: object = self.limit_rate
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate < float("inf")):
            msg = f"limit_rate must be a number of bytes a second above 0, not {rate!r}"
            raise UsageError(msg)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Network:
        """Return the settings that the environment asks for.

        Raises
        ------
        ConfigError
            If a variable names a certificate file that does not exist, or is no number.
        """
        env = os.environ if environ is None else environ
        defaults = cls()
        return cls(
            connect_timeout=number(env, "NEUROFETCH_CONNECT_TIMEOUT", defaults.connect_timeout),
            read_timeout=number(env, "NEUROFETCH_READ_TIMEOUT", defaults.read_timeout),
            ca_bundle=_ca_bundle(env),
            proxies=_proxies(env),
        )


def number(env: Mapping[str, str], name: str, default: float) -> float:
    """Return the positive number that a variable holds, or `default`.

    Raises
    ------
    ConfigError
        If it holds anything else.
    """
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        msg = f"{name}={text!r} is not a positive number. Set it to one, or unset it."
        raise ConfigError(msg)
    return value


def _ca_bundle(env: Mapping[str, str]) -> str | None:
    for name in _CA_VARIABLES:
        path = env.get(name)
        if path:
            if not os.path.isfile(path):
                msg = f"{name}={path}: there is no such file. Correct the path, or unset {name}."
                raise ConfigError(msg)
            return path
    return None


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for scheme in ("http", "https", "all"):
        # Lower case wins, as in curl.
        value = env.get(f"{scheme}_proxy") or env.get(f"{scheme.upper()}_PROXY")
        if value:
            found[scheme] = value if "://" in value else f"http://{value}"
    return found


def s3_endpoint(env: Mapping[str, str] | None = None) -> str | None:
    """Return the S3 endpoint that the usual variables name, without a trailing slash.

    ``AWS_ENDPOINT_URL_S3`` wins over ``AWS_ENDPOINT_URL``; None stands for AWS itself.

    Raises
    ------
    ConfigError
        If it is not an ``http://`` or ``https://`` URL with a host.
    """
    environ = os.environ if env is None else env
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        text = environ.get(name, "").strip()
        if text:
            return checked_endpoint(text, name)
    return None


def checked_endpoint(text: str, name: str) -> str:
    """Return the URL of a server, without a trailing slash.

    Parameters
    ----------
    text : str
    name : str
        Where the text is from, such as an environment variable; for the message.

    Raises
    ------
    ConfigError
        If it is not an ``http://`` or ``https://`` URL with a host.
    """
    from urllib.parse import urlsplit  # noqa: PLC0415 - not needed for --help

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        msg = f"{name}={text!r} is not a URL such as https://host:9000. Correct it, or unset it."
        raise ConfigError(msg)
    return text.rstrip("/")


def s3_region(env: Mapping[str, str] | None = None) -> str | None:
    """Return the region that ``AWS_REGION`` or ``AWS_DEFAULT_REGION`` names, if any."""
    environ = os.environ if env is None else env
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
