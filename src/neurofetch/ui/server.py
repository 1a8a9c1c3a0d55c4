"""The local page's server: sockets, the guard, files of the page, and streams of events.

Python's own ``http.server`` with a pool of threads: the page needs no more, and nothing has to be
installed for it. See ``docs/adr/0035-page-is-a-face.md``.
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import json
import logging
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from neurofetch._version import __version__
from neurofetch.ui.guard import SECURITY_HEADERS, Guard, Refusal
from neurofetch.ui.streams import ALL_IS_WELL, BEAT
from neurofetch.ui.waiting import WaitingRoom
from neurofetch.ui.web import Request, Response, Router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from neurofetch.ui.streams import Broadcast
    from neurofetch.ui.web import Route

__all__ = ["PageServer"]

_log = logging.getLogger("neurofetch.ui")
_THREADS: Final = 48
_CONNECTIONS: Final = 256
"""That have not asked yet, at once; of more, the first to come is let go. As many may have asked,
and be served or wait for a thread; of more, the last to come is let go."""
_PIECE: Final = 1 << 18
"""Bytes that are sent within `_SECONDS`, or the reader is gone: also over a slow tunnel."""
_LOOK: Final = 1.0
"""Seconds after which is looked whether a page that listens is still there."""
_STREAMS: Final = 16
"""Pages that listen to events at once: each has a thread."""
_STRANGERS: Final = 8
"""Who has no cookie, and may be slow to read a file of the page: at once."""
_LARGEST_BODY: Final = 1 << 20
_PASSING: Final = 1.0
"""Seconds for which a body that is refused is read."""
_PASSED_OVER: Final = 1 << 22
"""Bytes of a body that is refused which are still read."""
_SECONDS: Final = 20.0
"""So long a connection may be silent."""
_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_GZIPPED: Final = 1_400
"""Bytes: shorter bodies fit into a packet as they are."""
_NO_KEY: Final = b'<meta name="neurofetch-key" content="">'
"""Where the page's scripts find the key."""
_TICKETS: Final = ("token", "ticket")
"""What a token is called in an address: Jupyter, where it stands before, takes the first."""
_LOCKED: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>neurofetch: locked</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body><main><h1>This page is locked</h1>
<p>It belongs to whoever started <code>neurofetch ui</code>. Open the whole address that the command
printed, with all that stands after its question mark.</p>
<p>If you do not have it any more, start the command again.</p></main></body></html>
"""


class PageServer(http.server.HTTPServer):
    """Serves the page on loopback.

    Parameters
    ----------
    address : (str, int)
        Host and port; port 0 for any that is free.
    routes : iterable of Route
        What the page can ask for.
    broadcast : Broadcast
        What happens.
    guard : callable
        Returns the guard for the port that was found.

    Raises
    ------
    OSError
        If the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        routes: Iterable[Route],
        broadcast: Broadcast,
        guard: Callable[[int], Guard],
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self.guard = guard(self.server_address[1])
        self.router = Router(routes)
        self.broadcast = broadcast
        self.streams = threading.BoundedSemaphore(_STREAMS)
        self.strangers = threading.BoundedSemaphore(_STRANGERS)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="neurofetch-ui")
        most = _most_connections()
        self._places = threading.BoundedSemaphore(most)
        self._waiting = WaitingRoom(self._asked, self.shutdown_request, most=most, seconds=_SECONDS)

    def server_bind(self) -> None:
        """Bind, and ask no name server for the name of this machine."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Let a connection wait until it asks for something; then a thread serves it."""
        if self.heads_are_whole:
            self._waiting.add(request, client_address)
        else:
            self._asked(request, client_address)

    @property
    def heads_are_whole(self) -> bool:
        """Whether a thread serves a connection only when the head of a request is there."""
        return self._waiting.works  # else the system gives no more threads

    def _asked(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            served = self._pool.submit(self._serve, request, client_address)
        except RuntimeError:  # the server is being closed
            self._places.release()
            self.shutdown_request(request)
        else:
            served.add_done_callback(partial(self._over, request))

    def _over(self, request: Any, served: Future[None]) -> None:
        self._places.release()
        if served.cancelled():  # no thread has come to it
            self.shutdown_request(request)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except (ConnectionError, TimeoutError):
            _log.debug("a connection ended early")
        except Exception:  # noqa: BLE001 - a thread of a pool tells nobody else
            _log.exception("a request failed")
        finally:
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log what failed outside of a request."""
        _log.exception("a connection failed")

    def server_close(self) -> None:
        """Let all go."""
        super().server_close()
        self._waiting.close()
        self.broadcast.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Incoming(io.RawIOBase):
    """What comes on a connection, a whole request within some seconds, however slowly it drips.

    Parameters
    ----------
    connection : socket
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self.until = 0.0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there; when the time is over, nothing more is waited for."""
        left = self.until - time.monotonic()
        self._connection.settimeout(max(left, 0.0))
        try:
            return self._connection.recv_into(buffer)
        except BlockingIOError:
            raise TimeoutError from None


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server_version = f"neurofetch/{__version__}"
    sys_version = ""

    def setup(self) -> None:
        """Read through what counts the seconds."""
        super().setup()
        self.rfile.close()
        self._incoming = _Incoming(self.connection)
        self.rfile = io.BufferedReader(self._incoming)
        self._head_is_whole = self.server.heads_are_whole

    def handle_one_request(self) -> None:
        """Serve a request, or let a connection go on which none comes."""
        # The first head is there; or it is too long, and who sends it keeps no thread by that.
        self._incoming.until = time.monotonic() + (0 if self._head_is_whole else _SECONDS)
        self._head_is_whole = False
        super().handle_one_request()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in Python
        """Log nothing by itself: an address could have the token in it."""

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer()

    do_HEAD = do_POST = do_GET  # noqa: N815 - likewise

    # -- requests -----------------------------------------------------------------------------

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._body_was_read = False
        self._incoming.until = time.monotonic() + _SECONDS
        guard = self.server.guard
        refusal = guard.refusal_of_host(headers) or self._twice()
        path, query = self._address()
        self._is_stranger = not (guard.has_cookie(headers) or guard.is_trusted(headers))
        if self._is_stranger:
            self.close_connection = True  # nobody else keeps a thread for a next request
        if refusal is None and path is None:
            refusal = Refusal(400, "address", "This is no address of the page.")
        if refusal is not None or path is None or query is None:
            assert refusal is not None  # an address that is none has one
            self._refuse(refusal)
        elif path == "":
            self._page(headers, query)
        elif path.startswith("static/") and self.command != "POST":
            self._file(path.removeprefix("static/"), headers)
        else:
            self._ask(path, query, headers)

    def _twice(self) -> Refusal | None:
        """Return why headers that come twice, or a body of another kind, are refused."""
        for name in ("host", "origin", "content-length", "content-type"):
            if len(self.headers.get_all(name, [])) > 1:
                return Refusal(400, "headers", f"The header {name} comes twice.")
        length = self.headers.get("content-length", "0")
        if self.command != "POST" and length != "0":
            return Refusal(400, "length", f"A {self.command} has no body.")
        if "transfer-encoding" in self.headers:
            return Refusal(411, "length", "The length of the body must be said before it.")
        return None

    def _address(self) -> tuple[str | None, dict[str, str] | None]:
        """Return the path below the page, and the query."""
        try:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=50))
        except ValueError:
            return None, None
        path = unquote(parts.path)
        base = self.server.guard.base_path
        if parts.scheme or parts.netloc or not path.startswith("/"):
            return None, None
        # A proxy may take the base path away, and may leave it.
        path = path.removeprefix(base) if path.startswith(base) else path.removeprefix("/")
        if "\0" in path or ".." in path.split("/"):
            return None, None
        return path, query

    def _page(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        guard = self.server.guard
        if self.command == "POST":
            self._refuse(Refusal(405, "method", "This address takes GET only."))
        elif any(map(guard.is_token, map(query.get, _TICKETS))) or guard.is_trusted(headers):
            self._index({"Set-Cookie": guard.cookie}, guard.key)
        elif guard.has_cookie(headers):
            self._index({}, "")  # its scripts have the key from before, or none
        else:
            body = _LOCKED.encode()
            self._send(Response(403, _KINDS["html"], body), headers)

    def _index(self, further: Mapping[str, str], key: str) -> None:
        body = _static("index.html")
        if body is None:
            body = b"<!doctype html><title>neurofetch</title><p>The files of the page are missing."
        body = body.replace(_NO_KEY, _NO_KEY.replace(b'""', f'"{key}"'.encode()))
        self._send(Response(200, _KINDS["html"], body, further), {})

    def _file(self, name: str, headers: Mapping[str, str]) -> None:
        if not self._is_stranger:
            self._send_file(name, headers)
        elif self.server.strangers.acquire(blocking=False):
            try:
                self._send_file(name, headers)
            finally:
                self.server.strangers.release()
        else:
            self._refuse(Refusal(503, "busy", "Too many ask for files of the page. Ask again."))

    def _send_file(self, name: str, headers: Mapping[str, str]) -> None:
        kind = _KINDS.get(name.rpartition(".")[2])
        body = _static(name) if kind is not None else None
        if body is None or kind is None:
            self._refuse(Refusal(404, "not_there", "The page has no such file."))
            return
        tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        caching = {"Cache-Control": "no-cache", "ETag": tag}
        if headers.get("if-none-match") == tag:
            self._send(Response(304, kind, b"", caching), headers)
        else:
            self._send(Response(200, kind, body, caching), headers)

    def _ask(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        guard = self.server.guard
        refusal = None
        if not guard.knows(headers, query):
            msg = "This page is locked. Open the whole address that `neurofetch ui` printed."
            refusal = Refusal(401, "locked", msg)
        elif guard.is_site_of_others(headers):
            refusal = Refusal(403, "origin", "Only the page itself may ask for this.")
        elif self.command == "POST":
            refusal = guard.refusal_of_origin(headers)
        if refusal is not None:
            self._refuse(refusal)
            return
        if path == "api/events" and self.command == "GET":
            self._stream(query, headers)
            return
        body = self._body(headers) if self.command == "POST" else {}
        if isinstance(body, Refusal):
            self._refuse(body)
            return
        request = Request(self.command, path, query, headers, body)
        self._send(self.server.router.respond(request), headers)

    def _body(self, headers: Mapping[str, str]) -> dict[str, Any] | Refusal:
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdigit():
            return Refusal(411, "length", "The length of the body must be said before it.")
        if int(length) > _LARGEST_BODY:
            return Refusal(413, "length", "The body is too long. Nothing was done.")
        self._body_was_read = True
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return Refusal(400, "body", "The body is no JSON. Nothing was done.")
        if not isinstance(body, dict):
            return Refusal(400, "body", "The body is no JSON object. Nothing was done.")
        return body

    # -- responses ----------------------------------------------------------------------------

    def _refuse(self, refusal: Refusal) -> None:
        said = {"code": refusal.code, "message": refusal.message, "advice": None, "exit_code": None}
        self.close_connection = True
        self._pass_over_body()
        self._send(Response.json({"error": said}, refusal.status), {})

    def _pass_over_body(self) -> None:
        """Read what is still to come: who still sends would never see why it is refused."""
        length = self.headers.get("content-length", "")
        self._incoming.until = min(self._incoming.until, time.monotonic() + _PASSING)
        if length.isascii() and length.isdigit() and not self._body_was_read:
            left = min(int(length), _PASSED_OVER)
            with contextlib.suppress(TimeoutError):  # who sends nothing is told all the same
                while left > 0 and (some := self.rfile.read1(min(left, 1 << 16))):
                    left -= len(some)

    def _send(self, response: Response, headers: Mapping[str, str]) -> None:
        body, further = response.body, dict(response.headers)
        if self._may_gzip(response, headers):
            body = gzip.compress(body, 1, mtime=0)
            further |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        self.connection.settimeout(_SECONDS)
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        if response.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self._send_common(further)
        for name, value in further.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            for begin in range(0, len(body), _PIECE):
                self.connection.settimeout(_SECONDS)
                self.wfile.write(body[begin : begin + _PIECE])

    def _send_common(self, further: Mapping[str, str]) -> None:
        for name, value in SECURITY_HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", self.server.guard.policy)
        if not self.server.guard.framed:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("X-Frame-Options", "DENY")
        if "Cache-Control" not in further:
            self.send_header("Cache-Control", "no-store")

    @staticmethod
    def _may_gzip(response: Response, headers: Mapping[str, str]) -> bool:
        kind = response.content_type.partition(";")[0]
        return (
            response.status == HTTPStatus.OK
            and len(response.body) > _GZIPPED
            and kind in ("application/json", "text/javascript", "text/css", "text/html")
            and "gzip" in headers.get("accept-encoding", "")
            and "Content-Encoding" not in response.headers
        )

    def _stream(self, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        # Those of pages that were closed or loaded again are given back within `_LOOK`.
        if not self.server.streams.acquire(timeout=3 * _LOOK):
            msg = f"{_STREAMS} pages listen already. Close one of them."
            self._refuse(Refusal(503, "streams", msg))
            return
        try:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.send_header("X-Accel-Buffering", "no")  # a proxy would hold it back
            self._send_common({})
            self.end_headers()
            since = headers.get("last-event-id") or query.get("from", "")
            number = int(since) if re.fullmatch(r"[0-9]{1,18}", since) else 0
            told = time.monotonic()
            for some in self.server.broadcast.listen(number, beat=_LOOK):
                if self._is_left():
                    return
                if some is ALL_IS_WELL and time.monotonic() - told < BEAT:
                    continue
                told = time.monotonic()
                self.connection.settimeout(_SECONDS)
                self.wfile.write(some)
                self.wfile.flush()
        finally:
            self.server.streams.release()

    def _is_left(self) -> bool:
        """Whether the other side has closed the connection; it has nothing more to say."""
        self.connection.settimeout(0)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


def _most_connections() -> int:
    """Return how many connections may wait: macOS allows a process 256 open files in all."""
    try:
        import resource  # noqa: PLC0415 - not on every system

        files_at_once = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except (ImportError, OSError):
        return _CONNECTIONS
    return _CONNECTIONS if files_at_once < 0 else min(_CONNECTIONS, max(16, files_at_once // 4))


def _static(name: str) -> bytes | None:
    """Return a file of the page, by a name that cannot lead elsewhere."""
    if not re.fullmatch(r"(?:[a-z0-9][a-z0-9_-]*/)*[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9]+)+", name):
        return None
    found = files("neurofetch.ui") / "static" / name
    try:
        return found.read_bytes()
    except OSError:
        return None
