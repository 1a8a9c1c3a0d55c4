"""A loopback HTTP/1.1 server of threads with a request log and scripted faults.

`S3Server` and `AccessServer` say what is answered; how it goes over the wire, and what goes wrong
on the way, is here. Requests are parsed by hand: several thousand small ones a second on one core.
"""

import itertools
import socket
import socketserver
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from testbed._blobs import Bytes
from testbed._faults import Fault, Reply, Request, Script, phrase

STEP = 1 << 20
ONE_WRITE = 1 << 16
TICK_SECONDS = 0.02


class WireServer:
    """A server on a free loopback port; subclasses answer.

    Parameters
    ----------
    latency
        Seconds before each answer.
    tls
        A server-side context: speak HTTPS.

    Attributes
    ----------
    log
        Every request since the start or the last `clear_log`, in order of arrival.
    fault
        Takes the arguments of `Fault`, and adds it.
    connections
        How many were accepted.
    failures
        Tracebacks of the server's own errors; leaving the context raises when there are any.
    """

    listens = "127.0.0.1"
    """The address; another one for clients in network namespaces of their own."""

    def __init__(self, *, latency: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        self.latency = latency
        self.log: list[Request] = []
        self.connections = 0
        self.failures: list[str] = []
        self._script = Script()
        self.fault = self._script.recorder(Fault)
        self.clear_faults = self._script.clear
        self._ending = threading.Event()
        self._tcp = _Tcp(self, tls)
        self._thread = threading.Thread(target=self._tcp.serve_forever, args=(TICK_SECONDS,))
        self._scheme = "http" if tls is None else "https"

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        raise NotImplementedError

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        """Return method, bucket and key as the log shows them."""
        raise NotImplementedError

    def decode(self, path: str) -> str:
        """Return the path of a request as it is meant."""
        return unquote(path)

    def failure(self, status: int) -> Reply:
        """Return what the service says with this status."""
        return Reply(status, {"Content-Type": "text/plain"}, Bytes(phrase(status).encode()))

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._tcp.server_address[1])

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def requests(self, method: str = "*", key: str = "*") -> list[Request]:
        """Return the logged requests whose method and key match these globs."""
        logged = list(self.log)
        return [r for r in logged if fnmatchcase(r.method, method) and fnmatchcase(r.key, key)]

    def clear_log(self) -> None:
        """Forget the requests logged so far."""
        self.log = []

    def peak(self, method: str = "*", key: str = "*") -> int:
        """Return how many of the matching requests were under way at once, at most."""
        moments: list[tuple[float, int]] = []
        for request in self.requests(method, key):
            moments += [(request.began, 1), (request.ended or float("inf"), -1)]
        return max(itertools.accumulate(step for _, step in sorted(moments)), default=0)

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the server's end."""
        if seconds > 0:
            self._ending.wait(seconds)

    def strike(self, request: Request) -> tuple[Fault, Reply | None]:
        """Log and answer a request, as its fault has it; None: no answer at all."""
        self.log.append(request)
        fault = self._script.due(request)
        self.pause(self.latency + fault.delay)
        if fault.before is not None:
            fault.before()
        if fault.reset and fault.cut_after is None:
            return fault, None
        return fault, self._amended(request, fault)

    def _amended(self, request: Request, fault: Fault) -> Reply:
        headers = dict(request.headers)
        if fault.ignore_range:
            headers.pop("range", None)
        if fault.status is None:
            reply = self.answer(replace(request, headers=headers))
        else:
            reply = self.failure(fault.status)
        if fault.body is not None:
            reply = replace(reply, blob=Bytes(fault.body), start=0, stop=None)
        lies = dict(fault.headers)
        if fault.content_range is not None:
            lies["Content-Range"] = fault.content_range
        return replace(reply, headers={**reply.headers, **lies})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ending.set()
        self._tcp.shutdown()
        self._tcp.hang_up()
        self._tcp.server_close()
        self._thread.join()
        if self.failures and kind is None:
            raise RuntimeError("The server itself failed:\n" + "\n".join(self.failures))


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 512

    def __init__(self, owner: WireServer, tls: ssl.SSLContext | None) -> None:
        self.owner = owner
        self.to_reset: set[socket.socket] = set()
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((owner.listens, 0), _Connection)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self._tls is not None:  # the handshake waits for the connection's own thread
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        with self._lock:
            self._open.add(connection)
        self.owner.connections += 1
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        connection = request if isinstance(request, socket.socket) else request[1]
        with self._lock:
            self._open.discard(connection)
        if connection in self.to_reset:  # no orderly end: linger 0 makes the close a reset
            self.to_reset.discard(connection)
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        else:
            super().shutdown_request(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        del request, client_address
        self.owner.failures.append(traceback.format_exc())

    def hang_up(self) -> None:
        """Wake the threads that wait for a client's next request, or to send to it."""
        with self._lock:
            waiting = list(self._open)
        for connection in waiting:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client closed it first


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: _Tcp

    def handle(self) -> None:
        self.owner = self.server.owner
        self.number = self.owner.connections
        try:
            while self._exchange():
                pass
        except (ConnectionError, TimeoutError, ssl.SSLError):
            return  # the client left

    def _exchange(self) -> bool:
        words = self.rfile.readline(1 << 16).decode("latin-1").split()
        if len(words) != 3:
            return False  # the end, or a client that does not speak HTTP
        request = self._request(words[0], words[1])
        fault, reply = self.owner.strike(request)
        if reply is None:
            self._reset()
            return False
        request.status = reply.status
        if fault.act is not None:
            fault.act(self.connection, request, reply)
            return False
        whole = self._send(request, reply, fault)
        return whole and request.headers.get("connection", "").lower() != "close"

    def _request(self, verb: str, target: str) -> Request:
        headers = self._headers()
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        method, bucket, key = self.owner.locate(verb, self.owner.decode(parts.path), query)
        body = self.rfile.read(int(headers.get("content-length", 0)))
        now = time.monotonic()
        at = (self.number, now)
        return Request(method, bucket, key, query, headers, body, *at, target=target, verb=verb)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(1 << 16)).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _send(self, request: Request, reply: Reply, fault: Fault) -> bool:
        length = reply.length if fault.content_length is None else fault.content_length
        head = _chunked_head(reply) if reply.chunked else _head(reply, length)
        if request.method == "HEAD" or reply.status == HTTPStatus.NOT_MODIFIED:
            request.ended = time.monotonic()
            self.connection.sendall(head)
            return True
        self._body(head, request, reply, fault)
        if fault.reset:
            self._reset()
        return request.sent == reply.length == length

    def _body(self, head: bytes, request: Request, reply: Reply, fault: Fault) -> None:
        total = reply.length if fault.cut_after is None else min(reply.length, fault.cut_after)
        began, stalled = time.monotonic(), not fault.stall
        unsent = head
        while request.sent < total or unsent:
            if not stalled and request.sent >= fault.stall_after:
                self.connection.sendall(unsent)
                unsent, stalled = b"", True
                self.owner.pause(fault.stall)
            ahead = total if stalled else min(total, fault.stall_after)
            piece = self._piece(reply, fault, request.sent, ahead)
            end = request.sent + len(piece)
            framed = _chunk(piece, whole=end == reply.length) if reply.chunked else piece
            self._hand_over(request, unsent + framed, len(piece), last=end == total)
            unsent = b""
            if fault.rate:
                self.owner.pause(request.sent / fault.rate - (time.monotonic() - began))
        if not stalled:
            self.owner.pause(fault.stall)

    def _hand_over(self, request: Request, data: bytes, count: int, *, last: bool) -> None:
        """Send, and have it in the log before the client can have it."""
        request.sent += count
        if last:
            request.ended = time.monotonic()
        try:
            self.connection.sendall(data)
        except OSError:
            request.sent -= count
            raise

    def _piece(self, reply: Reply, fault: Fault, sent: int, ahead: int) -> bytes:
        step = max(1, int(fault.rate * TICK_SECONDS)) if fault.rate else STEP
        start = reply.start + sent
        stop = reply.start + min(ahead, sent + step)
        return fault.corrupt(reply.blob.read(start, stop), start)

    def _reset(self) -> None:
        self.owner.pause(TICK_SECONDS)  # what was sent arrives before the reset wipes it out
        self.server.to_reset.add(self.connection)


def _chunk(piece: bytes, *, whole: bool) -> bytes:
    """Return a piece as a chunk, and after the last one what ends the body."""
    framed = f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if piece else b""
    return framed + b"0\r\n\r\n" if whole else framed


def _chunked_head(reply: Reply) -> bytes:
    return _lines(reply, {"Transfer-Encoding": "chunked", **reply.headers})


def _head(reply: Reply, length: int) -> bytes:
    fields = {"Server": "AmazonS3", "Content-Length": str(length), **reply.headers}
    return _lines(reply, fields)


def _lines(reply: Reply, fields: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {reply.status} {phrase(reply.status)}\r\n{lines}\r\n".encode("latin-1")
