"""The one network client: a pool of kept-alive HTTP/1.1 connections behind one method, `send`.

Blocking sockets, to be used from many threads. Nothing is decoded on the way: the bytes of a
``.nii.gz`` are the bytes that the server has (a stray ``Content-Encoding`` changes nothing). Why
not an HTTP library: docs/adr/0003-own-http-client.md, with measurements.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from neurofetch.errors import (
    InterruptedTransferError,
    NeurofetchError,
    OfflineError,
    ProtocolError,
    ServerError,
    TransientError,
    UnreachableError,
    UsageError,
)
from neurofetch.net.ahead import Ahead
from neurofetch.net.connect import (
    Dialer,
    Route,
    UntrustedError,
    is_offline,
    lacks_descriptors,
    shut,
)
from neurofetch.net.http1 import Request, redirected, request_bytes, shown
from neurofetch.net.outage import Line, LineError, Outages, SleepWatch
from neurofetch.net.proxies import parsed_proxy
from neurofetch.net.rate_limit import RateLimit
from neurofetch.net.refusals import PORTAL, says_page
from neurofetch.net.response import Connection, Response
from neurofetch.net.signing import HiddenBytes, HiddenText, RequestSigner, Signature

if TYPE_CHECKING:
    import socket

    from neurofetch.net.settings import Network

__all__ = ["Client", "Pending"]

_log = logging.getLogger("neurofetch")

REDIRECTS = (301, 302, 303, 307, 308)
_IDLE_SECONDS = 15.0
"""An idle connection older than this is not used again: S3 closes them at about 20 s."""
_AWAKE = 3.0
"""Seconds after waking up in which a connection has to bring something."""
_QUESTION_SECONDS = 10.0
"""A server that does not answer a small question for so long is away."""
_GATEWAY = (502, 503, 504)
"""What a proxy says when it cannot reach the server."""
_GOODBYE = b" 408 "
"""The status with which servers end a connection that was idle for long: nothing to distrust."""
_QUICK_DIAL = 0.002
"""Seconds; a connection that is made so quickly is made when it is needed."""
_CRAWL = 16 * 1024
"""Bytes a second; a connection that is faster is left alone."""
_FAR = 100
"""A connection crawls when others are so many times as fast."""
_SIGNED = "X-Amz-Signature="
_DRAIN = 64 * 1024
"""Bytes; a redirect's body up to this size is read, so that its connection can be kept."""


_OFFLINE = (
    "the network is not to be used (--offline, offline=True or NEUROFETCH_OFFLINE), and it would "
    "be needed here"
)


class Pending(NamedTuple):
    """A request whose response has not come yet; see `Client.begin`."""

    request: Request
    connection: Connection
    data: bytes
    error: OSError | None
    signature: Signature | None = None

    def __repr__(self) -> str:  # its bytes hold what signs it
        return f"Pending({self.request.method} {self.request.shown_url})"


class Client:
    """A pool of connections, shared by all threads of a run.

    Parameters
    ----------
    network : Network
    agent : str
        The ``User-Agent``.
    at_once : int or None
        Requests under way at once, at most, whatever the number of threads; None for no bound.

    Attributes
    ----------
    pace : RateLimit
    asked : threading.Event
        Set as soon as a request has gone out.
    may_sign : bool
        Whether its user can name credentials: then a refusal says how.
    """

    def __init__(
        self, network: Network, agent: str = "neurofetch", at_once: int | None = None
    ) -> None:
        self.network = network
        self.at_once = at_once
        self._turns = threading.BoundedSemaphore(at_once) if at_once is not None else None
        self.pace = RateLimit(network.limit_rate)
        self.asked = threading.Event()
        self._dialer = Dialer(network)
        self._agent = agent
        self._idle: dict[Route, deque[Connection]] = {}
        self._distrusted: set[Route] = set()
        self._usual = 0.0
        self._live: dict[socket.socket, Connection] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._dial_seconds = 0.0
        self._dialing = 0
        self._ahead = Ahead(
            self._dial,
            lambda connection: self.release(connection, keep=True),
            lambda: len(self._live) + self._dialing,
        )
        self._routes: dict[tuple[str, str], Route] = {}
        self._granted: dict[tuple[str, str, int], str] = {}
        self._signers: dict[tuple[str, str, int], dict[str, RequestSigner]] = {}
        self.may_sign: bool = False
        self.outages = Outages(network.patience, self._answers)
        self._sleep = SleepWatch()
        self._woke = 0.0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def authorize(self, server: str, value: str) -> None:
        """Send an ``Authorization`` header with every request to one server, and to no other.

        Where a redirect leads to another server, or another port, it is not sent along. It is shown
        nowhere.

        Parameters
        ----------
        server : str
            An ``http://`` or ``https://`` URL: what is behind the host and its port does not count.
        value : str
            The header, such as ``Bearer …``; "" to send none any more.

        Raises
        ------
        UsageError
            If it is no such URL, or the value cannot be sent: neither is in the message.
        """
        scheme, _, rest = server.partition("://")
        route = self._target(f"{scheme}://{rest.partition('/')[0]}/")[0]
        if not value.isascii() or not value.isprintable():
            msg = "a token holds a character that cannot be sent. Nothing was asked. Correct it."
            raise UsageError(msg)
        self._granted[route.scheme, route.host, route.port] = value

    def sign_for(self, server: str, signer: RequestSigner) -> None:
        """Sign all requests to a server from now on, each attempt anew; those to others never.

        Parameters
        ----------
        server : str
            Scheme, host and port, as ``https://host:9000``. A redirect to another one is followed
            without a signature. With a path that ends in a slash, as ``https://host/bucket/``, only
            what is below it is signed.
        signer : RequestSigner
        """
        url = server if server.endswith("/") else f"{server}/"
        route = self._target(url)[0]
        signers = self._signers.setdefault((route.scheme, route.host, route.port), {})
        signers[_path_of(url)] = signer

    def send(self, request: Request) -> Response:
        """Send a request and return the response, whatever its status; redirects are followed.

        Raises
        ------
        TransientError
            If the connection could not be made, broke or stalled: worth another attempt.
        UnreachableError
            If another attempt cannot help (an untrusted certificate).
        ProtocolError
            If the response is not HTTP.
        InterruptedTransferError
            If the client was closed meanwhile.
        """
        signed = False
        for _ in range(request.redirects + 1):
            response = self._send_once(request)
            signed = signed or response.signature is not None
            response.may_sign = self.may_sign and not signed
            location = response.headers.get("location")
            if response.status not in REDIRECTS or not location or not request.redirects:
                return response
            with response:
                if response.length is not None and response.length <= _DRAIN:
                    response.read(_DRAIN)
            request = redirected(request, response.status, location)
        msg = f"{request.shown_url}: more than {request.redirects} redirects"
        raise ProtocolError(msg)

    def _send_once(self, request: Request) -> Response:
        return self.finish(self.begin(request))

    @property
    def bounded(self) -> bool:
        """Whether there is a bound to the requests under way at once."""
        return self._turns is not None

    def begin(self, request: Request) -> Pending:
        """Send a request and do not wait for its response; each must be given to `finish`.

        A thread may begin several before it finishes the first, unless the client is `bounded`.

        Raises
        ------
        TransientError, UnreachableError, ProtocolError, InterruptedTransferError
            As `send`.
        """
        self._check_allowed()
        if self._turns is not None:
            self._turns.acquire()
        try:
            route, target = self._target(request.url)
            headers = self._headers(request, route)
            signature = self._signed(request, route, headers) if self._signers else None
            data = request_bytes(request.method, target, route.authority, headers, request.body)
            data = data if signature is None else HiddenBytes(data)
            return self._said(request, self._take(route), data, signature)
        except MemoryError as error:
            self.over()
            raise _no_memory(request) from error
        except BaseException:
            self.over()
            raise

    def _signed(self, request: Request, route: Route, headers: dict[str, str]) -> Signature | None:
        """Add to the headers of a request what signs it, where it goes to a server that was named.

        An address that carries a signature has been signed already.
        """
        signers = self._signers.get((route.scheme, route.host, route.port))
        if signers is None or _SIGNED in request.url:
            return None
        path = _path_of(request.url)
        signer = next((one for below, one in signers.items() if path.startswith(below)), None)
        if signer is None:
            return None
        more, used = signer.sign(request.method, route.authority, path, headers, request.body)
        headers.update({name: HiddenText(text) for name, text in more.items()})
        return Signature(signer, used)

    def _said(
        self,
        request: Request,
        connection: Connection,
        data: bytes,
        signature: Signature | None,
    ) -> Pending:
        connection.asked = time.monotonic()
        connection.bear_with(request.patience)
        try:
            connection.sock.sendall(data)
        except OSError as error:
            return Pending(request, connection, data, error, signature)
        finally:
            if not self.asked.is_set():
                self.asked.set()
        return Pending(request, connection, data, None, signature)

    def finish(self, pending: Pending) -> Response:
        """Wait for the response to a request that was begun; redirects are not followed.

        Raises
        ------
        TransientError, ProtocolError, InterruptedTransferError
            As `send`.
        """
        try:
            return self._answered(pending)
        except BaseException:
            self.over()
            raise

    def drop(self, pending: Pending) -> None:
        """Close the connection of a request that was begun: nobody waits for its response."""
        self.release(pending.connection, keep=False)
        self.over()

    def over(self) -> None:
        """Let the next request begin: the response of one has come to its end, or it has failed."""
        if self._turns is not None:
            self._turns.release()

    def _answered(self, pending: Pending) -> Response:
        request, connection = pending.request, pending.connection
        doubtful = connection.used and request.method in ("GET", "HEAD")
        try:
            response = self._hear(pending)
        except TransientError as error:
            # A kept connection may have been closed by the server while it was idle. Only a new
            # one tells; the others that were kept may be as dead.
            silent = isinstance(error.__cause__, TimeoutError)
            if silent or not doubtful:
                raise
            if connection.ahead:
                self._ahead.enough(connection.route)
        else:
            if response.status != 408 or not doubtful:
                return response
            # It was said to the idle connection, before the request came; to the others as well.
            self.release(connection, keep=False)
            self._close_idle(connection.route)
        try:
            fresh = self._dial(connection.route)
            return self._hear(self._said(request, fresh, pending.data, pending.signature))
        except LineError as error:
            error.sure = True  # the second in a row
            raise

    def _hear(self, pending: Pending) -> Response:
        request, connection, _, failed, signature = pending
        try:
            response = Response(self, connection, request, connection.hear(failed))
        except ServerError:
            self.release(connection, keep=False)
            raise
        except OSError as error:
            self.release(connection, keep=False)
            raise self._unanswered(request, connection, error) from error
        except MemoryError as error:
            self.release(connection, keep=False)
            raise _no_memory(request) from error
        except BaseException:
            self.release(connection, keep=False)
            raise
        connection.used, connection.ahead = True, False
        response.signature = signature
        response.may_sign = self.may_sign and signature is None
        return response

    def _unanswered(self, request: Request, connection: Connection, error: OSError) -> Exception:
        found = self.broken(request.shown_url, error)
        if not isinstance(found, TransientError):
            return found
        reason = str(found).removeprefix(f"{request.shown_url}: ")
        silent = isinstance(error, TimeoutError)
        deaf = request.method == "HEAD"
        return LineError(
            str(found), connection.line, connection.asked, sure=silent, deaf=deaf, reason=reason
        )

    def _headers(self, request: Request, route: Route) -> dict[str, str]:
        headers = {"User-Agent": self._agent, "Accept-Encoding": "identity"}
        granted = self._granted.get((route.scheme, route.host, route.port))
        if granted:
            headers["Authorization"] = granted
        headers.update(request.headers)
        if route.proxy is not None and route.scheme == "http":
            credentials = parsed_proxy(route.proxy).credentials
            if credentials:
                headers["Proxy-Authorization"] = credentials
        return headers

    def _target(self, url: str) -> tuple[Route, str]:
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        route = self._routes.get((scheme, authority))
        if route is None:
            route = self._new_route(url, scheme, authority)
        target = (slash + path).partition("#")[0] or "/"
        if route.proxy is not None and route.scheme == "http":
            target = f"http://{route.authority}{target}"
        return route, target

    def _new_route(self, url: str, scheme: str, authority: str) -> Route:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            if host is not None and not host.isascii():
                host = host.encode("idna").decode("ascii")
        except ValueError:  # a UnicodeError is one
            host, port = None, None
        if scheme not in ("http", "https") or not host:
            msg = f"{shown(url)!r} is not an http:// or https:// URL"
            raise UsageError(msg)
        route = self._dialer.route(scheme, host, port or (443 if scheme == "https" else 80))
        self._routes[scheme, authority] = route
        return route

    # -- the pool ----------------------------------------------------------------------------

    def ready(self, url: str, wanted: int) -> bool:
        """Whether a request to this server could be sent at once.

        Making a connection takes two or three round trips: where that is long, none is made in
        between, but they are made ahead, many at a time, until there are `wanted` in all.
        What goes wrong there is told to whoever needs a connection.
        """
        route = self._target(url)[0]
        if self._idle.get(route) or self._dial_seconds < _QUICK_DIAL:
            return True
        self._ahead.begin(route, wanted)
        return False

    def _take(self, route: Route) -> Connection:
        return (
            self._take_idle(route)
            or self._ahead.take(route)
            or self._take_idle(route)  # the one on its way may have come since we looked
            or self._dial_counted(route)
        )

    def _take_idle(self, route: Route) -> Connection | None:
        row = self._idle.get(route)
        while row:
            try:
                connection = row.pop()  # the last one used: the rest may grow old and go
            except IndexError:
                break
            if time.monotonic() - connection.idle_since < _IDLE_SECONDS:
                unasked = connection.unasked()
                if unasked is None:
                    return connection
                if unasked and _GOODBYE not in unasked[:16] and not connection.may_talk:
                    self.distrust(connection)
                if connection.ahead:
                    self._ahead.enough(route)
            self.release(connection, keep=False)
        return None

    def _dial_counted(self, route: Route) -> Connection:
        with self._lock:
            self._dialing += 1
        try:
            return self._dial(route)
        finally:
            with self._lock:
                self._dialing -= 1

    def _dial(self, route: Route, *, asking: bool = False) -> Connection:
        self._check_open()
        line = self.outages.line(route)
        if not asking:
            line.check()
        began = time.monotonic()
        try:
            sock = self._opened(route)
        except TransientError as error:
            if lacks_descriptors(error):
                raise
            cause = error.__cause__
            offline = is_offline(cause)
            raise LineError(str(error), line, began, sure=True, offline=offline) from cause
        except UntrustedError as error:
            if not line.heard:
                raise
            # It was trusted before: somebody else answers, as a login portal does.
            raise LineError(str(error), line, began, sure=True, advice=PORTAL) from error
        self._dial_seconds = time.monotonic() - began
        _log.debug("connected to %s:%d in %.3f s", route.host, route.port, self._dial_seconds)
        connection = Connection(sock, line)
        with self._lock:
            self._live[sock] = connection
        if self._closed:
            shut(sock)
        return connection

    def _opened(self, route: Route) -> socket.socket:
        try:
            return self._dialer.open(route)
        except TransientError as error:
            if not lacks_descriptors(error):
                raise
        self._close_idle()  # those to other servers, which nobody may need again, make room
        return self._dialer.open(route)

    def _check_open(self) -> None:
        if self._closed:
            msg = "stopped on request"
            raise InterruptedTransferError(msg)
        self._check_allowed()

    def _check_allowed(self) -> None:
        if self.network.offline:
            error = OfflineError(_OFFLINE)
            error.advice = (
                "Nothing was asked. Run the same call without that, where there is a network."
            )
            raise error

    def release(self, connection: Connection, *, keep: bool) -> None:
        """Take a connection back; close it unless it is to be kept."""
        if keep and not self._closed and connection.route not in self._distrusted:
            connection.idle_since = time.monotonic()
            self._idle.setdefault(connection.route, deque()).append(connection)
            if self.closed:  # since we looked: nobody else will close it
                self._close_idle()
            return
        with self._lock:
            self._live.pop(connection.sock, None)
        connection.sock.close()

    def brought(self, rate: float) -> None:
        """Note how many bytes a second a connection brought: what is usual moves towards it."""
        self._usual += (rate - self._usual) / 4 if self._usual else rate  # a lost one does no harm

    def crawls(self, rate: float) -> bool:
        """Whether a connection is far slower than others were."""
        return rate < _CRAWL and rate * _FAR < self._usual

    def distrust(self, connection: Connection) -> None:
        """Keep no connection to this server any more: it said what nobody had asked for.

        Whatever comes next on a kept connection could again be the answer to something else.
        """
        route = connection.route
        if route not in self._distrusted:
            _log.debug("%s:%d sent what was not asked for", route.host, route.port)
            self._distrusted.add(route)
        self._close_idle(route)

    @property
    def closed(self) -> bool:
        """Whether the client was closed: what a connection says from then on means nothing."""
        return self._closed

    def broken(self, shown_url: str, error: OSError) -> Exception:
        """Translate what a socket raised into an error of this package."""
        if self._closed:
            return InterruptedTransferError("stopped on request")
        if isinstance(error, TransientError | UnreachableError):
            return error
        if isinstance(error, TimeoutError | BlockingIOError):
            seconds = self.network.read_timeout
            return TransientError(f"{shown_url}: stalled, no byte for {seconds:g} s")
        return TransientError(f"{shown_url}: connection lost: {error or type(error).__name__}")

    def close(self) -> None:
        """Close all connections; threads that wait on one fail at once."""
        self._closed = True
        self.pace.end()
        with self._lock:
            live, self._live = [*self._live], {}
        self.outages.close()
        for sock in live:
            shut(sock)
        self._close_idle()

    # -- when the network is away --------------------------------------------------------------

    def page_came(self, request: Request, began: float, error: NeurofetchError) -> LineError:
        """Return the error for a web page of somebody else that came for a file.

        Parameters
        ----------
        request : Request
            What was asked.
        began : float
            When it was (``time.monotonic()``).
        error : NeurofetchError
            What it is where it turns out to be the file's own: a `TransientError` is retried.
        """
        line = self.outages.line(self._target(request.url)[0])
        final = None if isinstance(error, TransientError) else error
        return LineError(str(error), line, began, sure=True, pages=True, final=final, advice=PORTAL)

    def _answers(self, line: Line, asked: int, *, pages: bool) -> bool:
        """Whether a server answers a cheap request; where pages came for files, with none."""
        self._close_idle(line.route)
        self._dialer.forget(line.route)
        try:
            return self._shows_no_page(line) if pages else self._says_anything(line, asked)
        except (NeurofetchError, OSError, MemoryError) as error:
            _log.debug("%s:%d does not answer: %s", line.route.host, line.route.port, error)
        return False

    def _shows_no_page(self, line: Line) -> bool:
        """Ask for the first byte of what came well before."""
        if line.good is None:
            return True
        good = line.good[1]
        with self.send(Request(good.url, {**good.headers, "Range": "bytes=0-0"})) as response:
            return response.status != 511 and not says_page(response)

    def _says_anything(self, line: Line, asked: int) -> bool:
        """Ask for the head of the root, or for the root: some servers are deaf to HEAD."""
        route, method = line.route, "GET" if asked % 2 else "HEAD"
        connection = self._dial(route, asking=True)
        try:
            seconds = min(self.network.read_timeout, _QUESTION_SECONDS)
            connection.sock.settimeout(seconds)
            proxied = route.proxy is not None and route.scheme == "http"
            target = f"http://{route.authority}/" if proxied else "/"
            headers = self._headers(Request(target), route)
            connection.sock.sendall(request_bytes(method, target, route.authority, headers, None))
            status = connection.hear(None).status
        finally:
            self.release(connection, keep=False)
        if proxied and status in _GATEWAY:
            return False
        line.heard = time.monotonic()
        return True

    def parts_away(self, url: str) -> bool:
        """Whether this server is away while others are not."""
        return self.outages.quiet_lines and self.outages.parts_away(self._target(url)[0])

    def look_around(self, seconds: float) -> None:
        """Tell what is new of the lines, and see whether this machine slept.

        Parameters
        ----------
        seconds : float
            So long ago was the last look, unless it slept.
        """
        self.outages.poll()
        now = time.monotonic()
        if any(self._sleep.slept(seconds)):
            _log.debug("this machine slept, or this process was stopped")
            self._close_idle()
            self._woke = now
        elif self._woke and now - self._woke > _AWAKE:
            woke, self._woke = self._woke, 0.0
            with self._lock:
                live = [*self._live.items()]
            for sock, connection in live:
                if max(connection.asked, connection.idle_since) < woke:
                    shut(sock)  # whoever waits for it asks on another

    def _close_idle(self, route: Route | None = None) -> None:
        """Close the idle connections to one server, or to all of them."""
        rows = list(self._idle.values()) if route is None else [self._idle.get(route, deque())]
        for row in rows:
            with contextlib.suppress(IndexError):  # another thread took the last one
                while True:
                    self.release(row.pop(), keep=False)


def _no_memory(request: Request) -> TransientError:
    """Return the error for a request that ran out of memory: others give theirs back."""
    return TransientError(f"{request.shown_url}: no memory is left in this process")


def _path_of(url: str) -> str:
    """Return path and query of a URL, as they stand in it."""
    return "/" + url.partition("://")[2].partition("#")[0].partition("/")[2]
