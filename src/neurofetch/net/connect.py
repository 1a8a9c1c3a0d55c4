"""Open sockets: addresses, TLS, proxies. Everything that happens before the first request."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import (
    ConfigError,
    NeurofetchError,
    ProtocolError,
    TransientError,
    UnreachableError,
)
from neurofetch.net.proxies import PROXY_HINT, bypassed, parsed_proxy

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from neurofetch.net.settings import Network

__all__ = [
    "Dialer",
    "Route",
    "UntrustedError",
    "is_offline",
    "lacks_descriptors",
    "no_descriptor_left",
    "shut",
]

_ADDRESS_SECONDS = 60.0
_HINT = "Check the network, the endpoint and the proxy variables, then run the same call again."


_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_OFFLINE = frozenset({errno.ENETUNREACH, errno.ENETDOWN})
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Turn "too many open files" into what is worth another attempt: others will close theirs.

    Raises
    ------
    TransientError
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_DESCRIPTOR or isinstance(error, NeurofetchError):
            raise
        msg = f"no descriptor is left in this process: {error.strerror}"
        raise TransientError(msg) from error


def lacks_descriptors(error: BaseException) -> bool:
    """Whether an error says that this process, or the system, has no descriptor left."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _NO_DESCRIPTOR


def is_offline(error: BaseException | None) -> bool:
    """Whether an error says that this machine has no network, whoever was asked.

    Examples
    --------
    >>> is_offline(OSError(errno.ENETUNREACH, "")), is_offline(OSError(errno.ECONNREFUSED, ""))
    (True, False)
    """
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN  # nobody answers for names: it may well exist
    return isinstance(error, OSError) and error.errno in _OFFLINE


class UntrustedError(UnreachableError):
    """The certificate of a server is not trusted."""


class Route(NamedTuple):
    """Where a connection goes: the server, and the proxy on the way if there is one."""

    scheme: str
    host: str
    port: int
    proxy: str | None = None

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


class Dialer:
    """Makes connections. Names are looked up once a minute, not once a connection.

    A name of S3 has several addresses; connections are spread over them, and one that
    failed goes to the end of the row.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._addresses: dict[tuple[str, int], tuple[float, list[_Address]]] = {}
        self._turn = 0
        self._context: ssl.SSLContext | None = None

    def route(self, scheme: str, host: str, port: int) -> Route:
        """Return the route to a server, through the proxy that the environment asks for."""
        proxies = self._network.proxies
        proxy = (proxies.get(scheme) or proxies.get("all")) if proxies else None
        if proxy and bypassed(self._network.no_proxy, host, port):
            proxy = None
        return Route(scheme, host, port, proxy)

    def open(self, route: Route) -> socket.socket:
        """Return a connected socket, with TLS where the route asks for it.

        Raises
        ------
        TransientError
            If there was no response; worth another attempt.
        UnreachableError
            If the server's certificate is not trusted.
        """
        with no_descriptor_left():
            context = self._tls_context() if route.scheme == "https" else None
            if route.proxy is None:
                sock = self._tcp(route.host, route.port, "")
            else:
                sock = self._through(route, route.proxy)
        if context is not None:
            sock = _tls(context, sock, route.host)
        sock.settimeout(self._network.read_timeout)
        return sock

    def forget(self, route: Route) -> None:
        """Look the name of a server (or of the proxy to it) up anew, when it is needed next."""
        host, port = route.host, route.port
        if route.proxy is not None:
            host, port, _ = parsed_proxy(route.proxy)
        with self._lock:
            self._addresses.pop((host, port), None)

    # -- addresses ---------------------------------------------------------------------------

    def _tcp(self, host: str, port: int, what: str) -> socket.socket:
        problem: OSError | None = None
        for address in self._ordered(host, port, what):
            sock = socket.socket(address.family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self._network.connect_timeout)
                sock.connect(address.place)
            except OSError as error:
                sock.close()
                if problem is None or is_offline(problem):  # that there is no IPv6 says nothing
                    problem = error
                self._demote(host, port, address)
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        msg = f"cannot connect to {what}{host}:{port}: {_why(problem)}"
        raise TransientError(msg) from problem

    def _ordered(self, host: str, port: int, what: str) -> list[_Address]:
        with self._lock:
            until, known = self._addresses.get((host, port), (0.0, []))
            if time.monotonic() > until:
                known = _look_up(host, port, what)
                until = time.monotonic() + _ADDRESS_SECONDS
                self._addresses[host, port] = (until, known)
            self._turn += 1
            same = [a for a in known if a.family == known[0].family]
            start = self._turn % len(same)
            return same[start:] + same[:start] + [a for a in known if a.family != known[0].family]

    def _demote(self, host: str, port: int, address: _Address) -> None:
        with self._lock:
            known = self._addresses.get((host, port), (0.0, []))[1]
            if address in known:
                known.remove(address)
                known.append(address)

    # -- proxies and TLS ---------------------------------------------------------------------

    def _through(self, route: Route, proxy: str) -> socket.socket:
        host, port, credentials = parsed_proxy(proxy)
        sock = self._tcp(host, port, "the proxy ")
        if route.scheme != "https":
            return sock  # plain HTTP: the request line carries the whole URL
        name = f"[{route.host}]" if ":" in route.host else route.host
        lines = [f"CONNECT {name}:{route.port} HTTP/1.1", f"Host: {name}:{route.port}"]
        if credentials:
            lines.append(f"Proxy-Authorization: {credentials}")
        try:
            sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            head = _read_head(sock, time.monotonic() + self._network.read_timeout)
        except OSError as error:
            sock.close()
            msg = f"the proxy {host}:{port} closed the connection, or said nothing: {_why(error)}"
            raise TransientError(msg) from error
        line = head.split(b"\r\n", 1)[0].decode("latin-1")[:80]
        status = line.partition(" ")[2].partition(" ")[0]
        if status == "200":
            return sock
        sock.close()
        msg = f"the proxy {host}:{port} could not connect to {route.host}: {line!r}"
        if status in ("401", "407"):
            msg = f"{msg}: it does not take your name and password, or asks for them. {PROXY_HINT}"
            raise UnreachableError(msg)
        if status.startswith("5") or status in ("", "408", "429"):
            raise TransientError(msg)
        msg = f"{msg}. {_HINT}"
        raise UnreachableError(msg)

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = _context(self._network)
            return self._context


def _tls(context: ssl.SSLContext, sock: socket.socket, host: str) -> socket.socket:
    import ssl  # noqa: PLC0415 - 15 ms that plain HTTP does not need

    if not _is_name(host):  # `ssl` would raise, and leave the socket open
        sock.close()
        raise ProtocolError(f"no TLS connection to {host[:80]!r}: this is no name of a server")
    try:
        # An end without the closing message of TLS may be a truncation, so it is an error.
        return context.wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        msg = (
            f"the certificate of {host} is not trusted: {error.verify_message}. "
            "Nothing was fetched. Behind an intercepting proxy, set SSL_CERT_FILE (or "
            "AWS_CA_BUNDLE) to the file with the certificates of your institution."
        )
        raise UntrustedError(msg) from error
    except OSError as error:
        sock.close()
        msg = f"no TLS connection to {host}: {error}"
        raise TransientError(msg) from error


def _is_name(host: str) -> bool:
    try:
        return bool(host.encode("idna")) and not host.startswith(".") and "\0" not in host
    except UnicodeError:
        return False


class _Address(NamedTuple):
    family: socket.AddressFamily
    place: tuple[str, int]


def _why(error: BaseException | None) -> str:
    """Return what the system said, without its number."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _look_up(host: str, port: int, what: str) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        msg = f"cannot find {what or 'the host '}{host!r}: {_why(error)}"
        raise TransientError(msg) from error
    unique = dict.fromkeys(_Address(entry[0], entry[4]) for entry in found)  # type: ignore[arg-type]
    return list(unique)


def _context(network: Network) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - 15 ms that plain HTTP does not need

    if network.ca_bundle is None:
        import truststore  # noqa: PLC0415 - only for https

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    name = network.ca_named_by
    where = f" Correct the path, or unset {name}." if name else ""
    places = network.ca_bundle.split(os.pathsep)
    for path in places:
        shown = f"{name}={path}" if name else path
        try:
            if os.path.isdir(path):
                if all(map(_is_bare, places)):
                    raise _bare_folder(path, shown, where)
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except ssl.SSLError as error:
            msg = f"{shown} contains no certificates that can be read: {error}.{where}"
            raise ConfigError(msg) from error
        except OSError as error:
            msg = f"{shown} cannot be read: {error.strerror}.{where}"
            raise ConfigError(msg) from error
    return context


def _is_bare(path: str) -> bool:
    """Whether it is a folder without certificates under the names that OpenSSL makes of them."""
    return os.path.isdir(path) and not any(map(_HASHED.fullmatch, os.listdir(path)))


def _bare_folder(path: str, shown: str, where: str) -> ConfigError:
    return ConfigError(
        f"{shown}: this folder has no certificates under the names that OpenSSL looks for, "
        f"such as 4a6481c9.0. Run: openssl rehash {path}.{where}"
    )


def _read_head(sock: socket.socket, until: float) -> bytes:
    """Return what a proxy says, up to an empty line; it may not drip for longer than `until`."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < 65536:
        if time.monotonic() > until:
            raise TimeoutError(errno.ETIMEDOUT, "no whole answer in time")
        more = sock.recv(4096)
        if not more:
            break
        head += more
    return head


def shut(sock: socket.socket) -> None:
    """Wake a thread that waits on this socket, and make it fail.

    The method of the plain socket: that of a TLS socket also drops the TLS layer, and a thread
    that reads on would take what is still encrypted for the body.
    """
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
