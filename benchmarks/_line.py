"""A process of its own: a server far away, behind a line that is slow, far, lossy and cut.

`python -m benchmarks._line '{"rate": 4e6, "rtt": 0.1, "loss": 0.01, "cut": null}'` says its URL,
and ends when its standard input does. The bucket `bench` has large objects of which every byte is
computed.

The line is a proxy of TCP. All connections share its rate. Each request takes a round trip longer,
a new connection one more. Loss is what it does to the rate of a connection, after Mathis et al.
(1997): MSS / RTT * 1.22 / sqrt(loss). No packet is lost, and there is no slow start: a connection
has its rate at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import socket
import struct
import sys
import threading
from typing import NamedTuple

from testbed.s3 import Generated, S3Object, S3Server

__all__ = ["FILES", "FILE_SIZE", "Line", "main"]

FILES, FILE_SIZE = 4, 1 << 30
_SEGMENT = 1460
_WINDOW = 4 << 20
"""Bytes under way on a connection, at most: what servers and systems usually allow."""
_BLOCK = 1 << 14
_BURST = 0.02
_BUFFER = 1 << 14
_RESET = struct.pack("ii", 1, 0)


class Line(NamedTuple):
    """What a line is like.

    Parameters
    ----------
    rate : float
        Bytes a second, of all connections together.
    rtt : float
        Seconds.
    loss : float
        The share of segments that is lost.
    cut : int or None
        Each connection is reset after so many bytes.
    """

    rate: float
    rtt: float
    loss: float
    cut: int | None

    @property
    def each(self) -> float:
        """Bytes a second of one connection, at most."""
        window = _WINDOW / self.rtt
        if not self.loss:
            return window
        return min(window, _SEGMENT / self.rtt * 1.22 / math.sqrt(self.loss))


class _Proxy:
    def __init__(self, line: Line, behind: int) -> None:
        self._line = line
        self._behind = behind
        self._free_at = 0.0

    async def serve(self, ready: threading.Event, where: list[int]) -> None:
        gate = await asyncio.start_server(self._connect, "127.0.0.1", 0, backlog=512)
        where.append(gate.sockets[0].getsockname()[1])
        ready.set()
        await gate.serve_forever()

    async def _connect(self, up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        sock = down.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        down.transport.set_write_buffer_limits(high=_BLOCK)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._behind, limit=_BLOCK)
        asking = asyncio.create_task(self._ask(up, writer))
        try:
            await self._pour(reader, down)
        except OSError:
            pass  # the client went: this connection is over
        finally:
            asking.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            down.transport.abort()

    async def _ask(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._line.rtt)  # the handshake
        while data := await up.read(1 << 16):
            await asyncio.sleep(self._line.rtt)
            writer.write(data)

    async def _pour(self, reader: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        left = self._line.cut or sys.maxsize
        own = 0.0
        while left and (data := await reader.read(min(_BLOCK, left))):
            now = asyncio.get_running_loop().time()
            own = max(own, now - _BURST) + len(data) / self._line.each
            self._free_at = max(self._free_at, now - _BURST) + len(data) / self._line.rate
            wait = max(own, self._free_at) - now
            if wait > 0:
                await asyncio.sleep(wait)
            down.write(data)
            await down.drain()
            left -= len(data)


def main(line: Line) -> None:
    """Serve until the standard input ends."""
    objects = {
        f"file{n}": S3Object(
            Generated(FILE_SIZE, n), checksum=None, forced_etag=f"{n:032x}-{FILE_SIZE >> 23}"
        )
        for n in range(FILES)
    }
    with S3Server({"bench": objects}) as s3:
        ready, where = threading.Event(), list[int]()
        proxy = _Proxy(line, int(s3.url.rpartition(":")[2]))
        threading.Thread(target=lambda: asyncio.run(proxy.serve(ready, where)), daemon=True).start()
        ready.wait()
        print(f"http://127.0.0.1:{where[0]}", flush=True)
        sys.stdin.read()
        os._exit(0)  # connections are left as they are


if __name__ == "__main__":
    main(Line(**json.loads(sys.argv[1])))
