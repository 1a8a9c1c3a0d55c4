"""Settings: what the environment says, read once, checked, and passed on as a value."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import ConfigError, UsageError
from neurofetch.net.proxies import proxies_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "REGION",
    "Network",
    "aws_domain",
    "checked_endpoint",
    "ignores_endpoints",
    "number",
    "parse_patience",
    "s3_endpoint",
    "s3_region",
]

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
        A file of certificates, or a folder of them as OpenSSL has it; several with the separator
        of search paths (":") between them. None for those of the operating system.
    ca_named_by : str
        The variable that named `ca_bundle`, for messages.
    proxies : mapping of str to str
        Scheme to proxy URL, as the usual variables say (``http_proxy``, ``https_proxy``,
        ``all_proxy``).
    no_proxy : str
        The servers that need no proxy, as in the variable of this name.
    limit_rate : float or None
        Bytes a second over all connections together; None for no limit.
    patience : float
        Seconds to wait for a network that is away, before a run ends; 0 for no wait, ``inf`` for
        ever.
    offline : bool
        Ask no server: what would need one fails.

    Raises
    ------
    UsageError
        If `limit_rate` is not a positive number, or `patience` is below 0 or no number.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    slow_bytes: float = 1024.0
    slow_window: float = 30.0
    ca_bundle: str | None = None
    ca_named_by: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # they hold passwords
    no_proxy: str = ""
    limit_rate: float | None = None
    patience: float = 900.0
    offline: bool = False

    def __post_init__(self) -> None:
        rate: object = self.limit_rate
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate < float("inf")):
            msg = f"limit_rate must be a number of bytes a second above 0, not {rate!r}"
            raise UsageError(msg)
        patience: object = self.patience
        if isinstance(patience, bool) or not (isinstance(patience, int | float) and patience >= 0):
            msg = f"patience must be a number of seconds, 0 or above, not {patience!r}"
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
        certificates = _certificates(env)
        return cls(
            connect_timeout=number(env, "NEUROFETCH_CONNECT_TIMEOUT", defaults.connect_timeout),
            read_timeout=number(env, "NEUROFETCH_READ_TIMEOUT", defaults.read_timeout),
            ca_bundle=os.pathsep.join(certificates.places) or None,
            ca_named_by=certificates.named_by,
            proxies=proxies_of(env),
            no_proxy=env.get("no_proxy") or env.get("NO_PROXY", ""),
            patience=_patience(env, defaults.patience),
            offline=_switch(env, "NEUROFETCH_OFFLINE"),
        )


_ON, _OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def _switch(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").strip().lower()
    if text not in (*_ON, *_OFF):
        msg = f"{name}={text[:80]!r} is neither 1 nor 0. Set it to one of them, or unset it."
        raise ConfigError(msg)
    return text in _ON


_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PATIENCE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(s|m|min|h)?", re.IGNORECASE | re.ASCII)


def parse_patience(text: str) -> float:
    """Return the seconds that a text means: ``90``, ``90s``, ``15m``, ``2h``, ``0`` or ``inf``.

    Raises
    ------
    UsageError
        If it means none.

    Examples
    --------
    >>> [parse_patience(text) for text in ("90", "15m", "2h", "0", "inf")]
    [90.0, 900.0, 7200.0, 0.0, inf]
    """
    if text.strip().lower() == "inf":
        return float("inf")
    found = _PATIENCE.fullmatch(text.strip())
    if not found:
        msg = f"{text[:80]!r} is not a time such as 90, 15m, 2h, 0 or inf"
        raise UsageError(msg)
    return float(found[1]) * _UNITS[(found[2] or "s").lower()]


def _patience(env: Mapping[str, str], default: float) -> float:
    text = env.get("NEUROFETCH_PATIENCE", "")
    try:
        return parse_patience(text) if text else default
    except UsageError as error:
        msg = f"NEUROFETCH_PATIENCE={error}. Set it to one, or unset it."
        raise ConfigError(msg) from error


_MOST_SECONDS = 1e8
"""Three years: a socket cannot wait for much longer."""


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
    if not 0 < value < _MOST_SECONDS:
        msg = f"{name}={text[:80]!r} is not a positive number. Set it to one, or unset it."
        raise ConfigError(msg)
    return value


class _Certificates(NamedTuple):
    """Where certificates are: files and folders, and the variables that name them."""

    places: tuple[str, ...]
    named_by: str


def _certificates(env: Mapping[str, str]) -> _Certificates:
    """Return what the first of the variables names that is set.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` count together, as OpenSSL takes them.

    Raises
    ------
    ConfigError
        If there is no such file or folder, or it cannot be read.
    """
    for name in _CA_VARIABLES:
        path = env.get(name)
        if not path:
            continue
        folders = env.get("SSL_CERT_DIR", "") if name == "SSL_CERT_FILE" else ""
        more = filter(_is_readable, filter(None, folders.split(os.pathsep)))
        return _Certificates((*_existing((path,), name), *more), name)
    places = tuple(filter(None, env.get("SSL_CERT_DIR", "").split(os.pathsep)))
    # It is a search path: as with OpenSSL, folders that are not there are passed over.
    found = tuple(filter(_is_readable, places)) or _existing(places, "SSL_CERT_DIR")
    return _Certificates(found, "SSL_CERT_DIR" if places else "")


def _is_readable(path: str) -> bool:
    return os.path.exists(path) and os.access(path, os.R_OK)


def _existing(places: tuple[str, ...], name: str) -> tuple[str, ...]:
    for path in places:
        if not os.path.isfile(path) and not os.path.isdir(path):
            msg = f"{name}={path}: there is no such file. Correct the path, or unset {name}."
            raise ConfigError(msg)
        if not os.access(path, os.R_OK):
            msg = f"{name}={path}: you may not read it. Correct the path, or unset {name}."
            raise ConfigError(msg)
    return places


def s3_endpoint(env: Mapping[str, str] | None = None) -> str | None:
    """Return the S3 endpoint that the usual variables name, without a trailing slash.

    ``AWS_ENDPOINT_URL_S3`` wins over ``AWS_ENDPOINT_URL``; None stands for AWS itself. With
    ``AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`` neither counts.

    Raises
    ------
    ConfigError
        If it is not an ``http://`` or ``https://`` URL with a host.
    """
    environ = os.environ if env is None else env
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        text = environ.get(name, "").strip()
        if text and not ignores_endpoints(environ):
            return checked_endpoint(text, name)
    return None


def ignores_endpoints(env: Mapping[str, str] | None = None) -> bool:
    """Whether no endpoint of the environment or of a profile counts, as AWS's tools have it."""
    environ = os.environ if env is None else env
    text = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")
    return text.strip().lower() == "true"


def checked_endpoint(text: str, name: str) -> str:
    """Return the URL of a server, without a trailing slash, a name and a password.

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
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # A password with a slash in it would end the host too early, and be sent as a path.
        good = good and not {"?", "#"} & set(text) and "@" not in parts.path
        good = good and text.isprintable() and " " not in text
    except ValueError:
        good = False
    if not good:
        what = f"{name}={text!r}" if _HARMLESS.fullmatch(text) else f"{name} (not shown here)"
        msg = f"{what} is not a URL such as https://host:9000. Correct it, or unset it."
        raise ConfigError(msg)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


_HARMLESS = re.compile(
    r"(?:https?:|[a-zA-Z]{1,10}:/{1,2})?/{0,2}[\w.-]*(?::\d{0,5}|:port)?(?:/[\w./-]*)?"
)
"""What surely holds no password: it has no "@", and nothing but a port after a colon."""

REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
"""What can be the name of a region: it becomes part of a host's name."""
_DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}
"""The domains of those parts of AWS that are apart from the rest, by how their regions begin."""


def aws_domain(region: str) -> str:
    """Return the domain of the servers of a region of AWS.

    Examples
    --------
    >>> [aws_domain(region) for region in ("eu-west-1", "cn-north-1", "us-gov-west-1")]
    ['amazonaws.com', 'amazonaws.com.cn', 'amazonaws.com']
    """
    found = (domain for start, domain in _DOMAINS.items() if region.startswith(start))
    return next(found, "amazonaws.com")


def s3_region(env: Mapping[str, str] | None = None) -> str | None:
    """Return the region that ``AWS_REGION`` or ``AWS_DEFAULT_REGION`` names, if any.

    Raises
    ------
    ConfigError
        If it cannot be the name of a region.
    """
    environ = os.environ if env is None else env
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        text = environ.get(name, "").strip()
        if not text:
            continue
        if REGION.fullmatch(text) is None:
            msg = (
                f"{name}={text[:80]!r} is not a region such as us-west-2. Correct it, or unset it."
            )
            raise ConfigError(msg)
        return None if text == "aws-global" else text
    return None
