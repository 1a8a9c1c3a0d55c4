"""Proxies, as the environment names them: for which server which one, and for which none.

The variables are read as ``requests`` and ``curl`` read them; where they differ, as ``requests``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROXY_HINT", "Proxy", "bypassed", "parsed_proxy", "proxies_of"]

PROXY_HINT = (
    "Nothing was fetched. Give the proxy your name and password "
    "(https_proxy=http://NAME:PASSWORD@HOST:PORT, and http_proxy), or name the servers that need "
    "no proxy in no_proxy."
)
_SCHEMES = ("http", "https", "all")


class Proxy(NamedTuple):
    """A proxy.

    Parameters
    ----------
    host : str
    port : int
    credentials : str
        The value of ``Proxy-Authorization``; "" for none.
    """

    host: str
    port: int
    credentials: str


def proxies_of(env: Mapping[str, str]) -> dict[str, str]:
    """Return the proxies that an environment names, by the scheme of the server.

    ``http_proxy`` wins over ``HTTP_PROXY``, also where it is empty: then there is none. In a
    program that a web server runs (``REQUEST_METHOD`` is set), ``HTTP_PROXY`` is what a stranger
    sent in a header ``Proxy``, and is not read.

    Examples
    --------
    >>> proxies_of({"HTTPS_PROXY": "proxy.example.edu:3128", "HTTP_PROXY": "a", "http_proxy": ""})
    {'https': 'http://proxy.example.edu:3128'}
    """
    found: dict[str, str] = {}
    for scheme in _SCHEMES:
        upper = f"{scheme}_proxy".upper()
        strange = scheme == "http" and "REQUEST_METHOD" in env
        value = env.get(f"{scheme}_proxy", "" if strange else env.get(upper, "")).strip()
        if value:
            found[scheme] = value if "://" in value else f"http://{value}"
    return found


def parsed_proxy(url: str) -> Proxy:
    """Return host, port and credentials of a proxy's URL.

    Without a port it is 80, as for every ``http://`` URL. Name and password may be percent-quoted,
    and need not be.

    Raises
    ------
    ConfigError
        If it is not an ``http://`` proxy. The message never shows what the URL holds, since that
        may be a password.

    Examples
    --------
    >>> parsed_proxy("http://proxy.example.edu")
    Proxy(host='proxy.example.edu', port=80, credentials='')
    """
    from base64 import b64encode  # noqa: PLC0415 - only with a proxy
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415

    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    if scheme.lower() != "http":
        kind = f"{scheme.lower()}:// proxies" if scheme.isalnum() and scheme.isascii() else "such"
        msg = (
            f"the proxy variables name a proxy that cannot be used: {kind} are not supported, only "
            "http:// proxies are. Nothing was fetched. Correct http_proxy, https_proxy or "
            "all_proxy, or name the servers that need no proxy in no_proxy."
        )
        raise ConfigError(msg)
    try:
        parts = urlsplit(f"http://{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or not host.isprintable() or " " in host:
        msg = (
            "the proxy variables name a proxy that is no URL such as http://host:3128. "
            "Nothing was fetched. Correct http_proxy, https_proxy or all_proxy."
        )
        raise ConfigError(msg)
    credentials = ""
    if at:
        name, _, password = user.partition(":")
        pair = f"{unquote(name)}:{unquote(password)}".encode("utf-8", "surrogateescape")
        credentials = "Basic " + b64encode(pair).decode()
    return Proxy(host, port or 80, credentials)


def bypassed(no_proxy: str, host: str, port: int) -> bool:
    """Whether ``no_proxy`` says that a server is asked without a proxy.

    It is a list with commas or spaces: names, each with all names below it, whether or not it
    begins with a dot or ``*.``; addresses, in brackets or not; networks such as ``10.0.0.0/8``, for
    servers that are named by address; each with a port or without; ``*`` for all.

    Examples
    --------
    >>> bypassed("localhost, .example.edu", "s3.example.edu", 443)
    True
    >>> bypassed("10.0.0.0/8", "10.1.2.3", 9000), bypassed("10.0.0.0/8", "11.1.2.3", 9000)
    (True, False)
    """
    host = host.lower().strip("[]").rstrip(".")
    return any(_covers(entry, host, port) for entry in no_proxy.lower().replace(",", " ").split())


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return _in_network(entry, host)
    name, wanted = _with_port(entry)
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*").strip("[].")
    if not name:
        return False
    return host == name or host.endswith(f".{name}") or _same_address(name, host)


def _with_port(entry: str) -> tuple[str, str]:
    """Return name and port ("" for none) of an entry; an address of IPv6 has colons of its own."""
    if entry.startswith("["):
        name, _, rest = entry.partition("]")
        return name, rest.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _in_network(entry: str, host: str) -> bool:
    from ipaddress import ip_address, ip_network  # noqa: PLC0415 - only with a proxy

    try:
        return ip_address(host) in ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:  # a name, or what is no network
        return False


def _same_address(name: str, host: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415 - only with a proxy

    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        return False
