"""A bad line in front of a local server: slow, far, cut, and dark for a while.

A proxy of TCP in one thread. It knows nothing of HTTP: what it counts are bytes on the line, heads
included.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Self

_FLOW = 1 << 14
"""Bytes that pass at once where the rate is limited."""
_FREE = 1 << 18
_BURST = 0.05
"""Seconds of the rate that a line which was idle lets through at once."""
_BUFFER = 1 << 16
"""Bytes that the system may keep on each side: what lies there when a connection is cut is lost."""
_RESET = struct.pack("ii", 1, 0)


class Line:
    """A bad line to a port of this machine; a context manager.

    Parameters
    ----------
    port
        Of the server behind it, on 127.0.0.1.
    rate
        Bytes a second to the client, of all connections together.
    cut_bytes, cut_seconds
        Each connection is reset after so many bytes to the client, or so many seconds.
    dark
        ``(start, seconds)``: so long it is dark, from `start` seconds after it was opened.
    silent
        What is dark says nothing: nothing passes, nothing is closed, and a new connection is
        accepted and hangs. By default all connections are reset, and so is each new one.
    rtt
        Seconds that each request takes longer.

    Attributes
    ----------
    served
        Bytes that went to clients.
    connections
        How many were accepted, those that the dark reset included.
    cuts
        Connections that were reset by `cut_bytes` and `cut_seconds`.
    """

    def __init__(
        self,
        port: int,
        *,
        rate: float | None = None,
        cut_bytes: int | None = None,
        cut_seconds: float | None = None,
        dark: tuple[float, float] | None = None,
        silent: bool = False,
        rtt: float = 0.0,
    ) -> None:
        self.rate = rate
        self.cut_bytes = cut_bytes
        self.cut_seconds = cut_seconds
        self.silent = silent
        self.rtt = rtt
        self.served = 0
        self.connections = 0
        self.cuts = 0
        self._behind = port
        self._dark = dark
        self._free_at = 0.0
        self._gate = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._gate.setblocking(False)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    @property
    def port(self) -> int:
        """The port of the line on 127.0.0.1."""
        return int(self._gate.getsockname()[1])

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_dark(self) -> bool:
        """Whether the line is dark now."""
        return not self._light.is_set()

    def darken(self) -> None:
        """Make the line dark until `lighten`."""
        self._loop.call_soon_threadsafe(self._fall)

    def lighten(self) -> None:
        """Let bytes through again."""
        self._loop.call_soon_threadsafe(self._light.set)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._gate.close()

    # -- in the thread of the line -----------------------------------------------------------

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over, self._light = asyncio.Event(), asyncio.Event()
        self._light.set()
        self._live: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready.set()
        self._begin(self._accept())
        if self._dark is not None:
            self._begin(self._night(*self._dark))
        await self._over.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _night(self, start: float, seconds: float) -> None:
        await asyncio.sleep(start)
        self._fall()
        await asyncio.sleep(seconds)
        self._light.set()

    def _fall(self) -> None:
        self._light.clear()
        if not self.silent:
            for task in self._live:
                task.cancel()

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._gate)
            self.connections += 1
            if self.is_dark and not self.silent:
                _reset(client)
                continue
            task = self._begin(self._connect(client))
            self._live.add(task)
            task.add_done_callback(self._live.discard)
            # One that is cancelled before it begins closes nothing.
            task.add_done_callback(lambda _, client=client: _reset(client))  # type: ignore[misc]

    async def _connect(self, client: socket.socket) -> None:
        server = socket.socket()
        ways: list[asyncio.Task[None]] = []
        try:
            for sock in (client, server):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            await self._light.wait()
            await self._loop.sock_connect(server, ("127.0.0.1", self._behind))
            ways += [
                asyncio.create_task(self._up(client, server)),
                asyncio.create_task(self._down(server, client)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            return  # the server is not there: for the client that is one more connection cut
        finally:
            for way in ways:
                way.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*ways, return_exceptions=True)
            _reset(client)
            _reset(server)

    async def _up(self, client: socket.socket, server: socket.socket) -> None:
        while data := await self._loop.sock_recv(client, _FREE):
            if self.rtt:
                await asyncio.sleep(self.rtt)
            await self._light.wait()
            await self._loop.sock_sendall(server, data)

    async def _down(self, server: socket.socket, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(self.cut_seconds):
                whole = await self._pour(server, client)
        except TimeoutError:
            whole = False
        if whole:
            client.shutdown(socket.SHUT_WR)
            await asyncio.sleep(_BURST)  # what was sent arrives before the reset
        else:
            self.cuts += 1

    async def _pour(self, server: socket.socket, client: socket.socket) -> bool:
        """Pass on what the server says; whether it came to its end."""
        left = self.cut_bytes
        block = _FLOW if self.rate or left else _FREE
        while data := await self._loop.sock_recv(server, block):
            await self._pace(len(data))
            await self._light.wait()
            data = data[:left]
            await self._loop.sock_sendall(client, data)
            self.served += len(data)
            if left is not None:
                left -= len(data)
                if not left:
                    return False
        return True

    async def _pace(self, count: int) -> None:
        if not self.rate:
            return
        now = self._loop.time()
        self._free_at = max(self._free_at, now - _BURST) + count / self.rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


def _reset(sock: socket.socket) -> None:
    """Close a socket so that the other side sees a reset, whatever is under way."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
