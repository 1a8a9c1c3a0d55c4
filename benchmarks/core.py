"""What one core can do: receive, compute a checksum, write; and how near the engine comes to it.

The bytes come over loopback from a process of their own. The figures are GB for each second of
processor time of the receiver alone, so another load on the machine changes them little; beside
them, how many bytes one receive brought. On loopback the kernel does a part of the receiver's work
in the sender, so a real network costs somewhat more.

It runs on a free-threaded interpreter too, where eight threads may be faster on the wall than one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._data import BUCKET, CASES, Case, Group, make, scratch
from benchmarks._docs import put
from benchmarks._server import NEAR, WORK, Server
from benchmarks._tools import TOOLS, environment, run
from neurofetch.integrity.checksums import hasher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from neurofetch.integrity.checksums import Hasher

__all__ = ["main"]

SIZES = (64 << 10, 256 << 10, 1 << 20, 4 << 20)
ALGORITHMS = ("crc64nvme", "crc32c", "crc32", "md5", "sha256")
THREADS = (1, 8)
SECONDS = float(os.environ.get("NEUROFETCH_BENCH_SECONDS", "0.4"))
_ROOM = 64 << 20
"""Bytes of the file that is written, over and over: it stays in the page cache."""
_BLOCK = 1 << 20
_USED = 256 << 10
"""The engine's buffer."""


@dataclass(frozen=True)
class Way:
    """How bytes are received, and what is done with them.

    Parameters
    ----------
    size : int
        Bytes of the buffer.
    threads : int
        Each with a connection of its own.
    algorithm : str
        Of the checksum; "" for none.
    writes, lowat, tls : bool
        Whether the bytes are written to a file; whether a receive waits until half the buffer is
        there (``SO_RCVLOWAT``); whether they are encrypted on the way.
    """

    size: int
    threads: int = 1
    algorithm: str = ""
    writes: bool = False
    lowat: bool = False
    tls: bool = False


class Found(NamedTuple):
    """GB a second of processor time, GB a second on the wall, and bytes that a receive brought."""

    core: float
    wall: float
    bytes: float


# -- the sender: a process of its own ----------------------------------------------------------


def _serve(certificate: str, key: str) -> None:
    """Send zeros to whoever connects, without an end; end with the standard input."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
    sys.stdin.read()


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        threading.Thread(target=_send, args=(listener.accept()[0], context), daemon=True).start()


def _send(sock: socket.socket, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):
        if context is not None:
            secured, block = context.wrap_socket(sock, server_side=True), bytes(_BLOCK)
            while True:
                secured.sendall(block)
        with tempfile.TemporaryFile() as file:
            file.truncate(_ROOM)
            while True:  # the bytes never pass through this process
                os.sendfile(sock.fileno(), file.fileno(), 0, _ROOM)


@contextlib.contextmanager
def _sender(certificate: str = "", key: str = "") -> Iterator[int]:
    """Start it; give its port."""
    command = [sys.executable, "-m", "benchmarks.core", "serve", certificate, key]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


# -- the receiver ------------------------------------------------------------------------------


class _Receiver:
    """Receives in one way, for a while.

    Parameters
    ----------
    connect : callable
        Returns a new connection to the sender.
    way : Way
    folder : Path
        Where it writes.
    """

    def __init__(self, connect: Callable[[], socket.socket], way: Way, folder: Path) -> None:
        self._connect = connect
        self._way = way
        self._folder = folder
        self._over = False
        self._bytes = [0] * way.threads
        self._receives = [0] * way.threads

    def measure(self) -> Found:
        """Do it, and return the figures."""
        begin = threading.Barrier(self._way.threads + 1)
        numbers = range(self._way.threads)
        threads = [threading.Thread(target=self._work, args=(begin, n)) for n in numbers]
        for thread in threads:
            thread.start()
        begin.wait()
        wall, cpu = time.perf_counter(), time.process_time()
        time.sleep(SECONDS)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        total, receives = sum(self._bytes), sum(self._receives)
        self._over = True
        for thread in threads:
            thread.join()
        return Found(total / cpu / 1e9, total / wall / 1e9, total / max(1, receives))

    def _work(self, begin: threading.Barrier, number: int) -> None:
        way = self._way
        view = memoryview(bytearray(way.size))
        digest = hasher(way.algorithm) if way.algorithm else None
        file = os.open(self._folder / str(number), os.O_RDWR | os.O_CREAT)
        with self._connect() as sock:
            if way.lowat:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, way.size // 2)
            sock.recv_into(view)
            begin.wait()
            self._receive(sock, view, digest, file, number)
        os.close(file)

    def _receive(
        self,
        sock: socket.socket,
        view: memoryview,
        digest: Hasher | None,
        file: int,
        number: int,
    ) -> None:
        at, writes = 0, self._way.writes
        while not self._over:
            count = sock.recv_into(view)
            piece = view[:count]
            if digest is not None:
                digest.update(piece)
            if writes:
                os.pwrite(file, piece, at)
                at = (at + count) % _ROOM
            self._bytes[number] += count
            self._receives[number] += 1


def _plain(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def _secured(port: int, context: ssl.SSLContext) -> socket.socket:
    return context.wrap_socket(_plain(port), server_hostname="127.0.0.1")


# -- the tables --------------------------------------------------------------------------------

_STEPS = {
    "receive": {},
    "receive + crc64nvme": {"algorithm": "crc64nvme"},
    "receive + crc64nvme + write": {"algorithm": "crc64nvme", "writes": True},
    "receive + md5 + write": {"algorithm": "md5", "writes": True},
}


def main(*, docs: bool = False) -> None:
    """Measure everything; print it, and with `docs` put it on the page."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    kind = "" if gil else ", free-threaded"
    about = f"Python {sys.version.split()[0]}{kind}, {os.cpu_count()} processors"
    lines = [f"GB for each second of processor time ({about}):", "", *_hashes(), ""]
    with tempfile.TemporaryDirectory(dir=scratch(10 * _ROOM, WORK)) as folder:
        place = Path(folder)
        lines += [*_receiving(place), "", *_engine(place)]
    text = "\n".join(lines)
    print(text)
    if docs:
        put("core", text)


def _hashes() -> list[str]:
    """Return what each checksum costs, of bytes that are in memory."""
    block, rows = bytes(_BLOCK), ["| checksum alone | GB/s |", "| --- | --- |"]
    for name in ALGORITHMS:
        digest, count = hasher(name), 0
        began = time.thread_time()
        while time.thread_time() - began < SECONDS:
            digest.update(block)
            count += 1
        rows.append(f"| {name} | {count * _BLOCK / (time.thread_time() - began) / 1e9:.1f} |")
    return rows


def _receiving(place: Path) -> list[str]:
    """Return a row for each way, a column for each size of the buffer."""
    heads = [f"{size >> 10:,} kB" for size in SIZES]
    rows = [
        f"| work, buffer | threads | socket option | {' | '.join(heads)} |",
        "| --- " * (3 + len(SIZES)) + "|",
    ]
    with _sender() as port:
        for threads in THREADS:
            for lowat in (False, True):
                for name, step in _STEPS.items():
                    ways = [Way(size, threads, lowat=lowat, **step) for size in SIZES]  # type: ignore[arg-type]
                    rows.append(_row(name, ways, partial(_plain, port), place))
    try:
        from testbed._tls import certify  # noqa: PLC0415 - needs `cryptography`
    except ImportError:
        return rows
    certified = certify(place)
    context = ssl.create_default_context(cafile=certified.authority)
    with _sender(str(certified.certificate), str(certified.key)) as port:
        for threads in THREADS:
            ways = [Way(size, threads, "crc64nvme", writes=True, tls=True) for size in SIZES]
            connect = partial(_secured, port, context)
            rows.append(_row("TLS: receive + crc64nvme + write", ways, connect, place))
    return rows


def _row(name: str, ways: list[Way], connect: Callable[[], socket.socket], place: Path) -> str:
    cells = []
    for way in ways:
        found = _Receiver(connect, way, place).measure()
        cells.append(f"{found.core:.2f} ({found.bytes / 1e3:,.0f} kB)")
    threads = f"{ways[0].threads} thread{'s' if ways[0].threads > 1 else ''}"
    lowat = "`SO_RCVLOWAT`" if ways[0].lowat else ""
    return f"| {name} | {threads} | {lowat} | {' | '.join(cells)} |"


# -- the engine --------------------------------------------------------------------------------


def _engine(place: Path) -> list[str]:
    """Say what the engine uses for a file of 1 GB over loopback, beside what it must use."""
    big = next(case for case in CASES if case.name == "big")
    start = Case("start", (Group(1, 1, 1),))
    root, dest = place / "bucket", place / "fetched"
    root.mkdir()
    make(root, (big, start))
    spent = {}
    with Server(root, NEAR) as server:
        for case in (start, big):
            runs = []
            for _ in range(3):
                [command] = TOOLS[0].commands(server.url, case, dest)
                runs.append(run(command, environment(server.url, place), place / "log"))
                shutil.rmtree(dest)
            spent[case.name] = min(runs, key=lambda one: one.cpu)
    shutil.rmtree(root / BUCKET)
    used = spent["big"].cpu - spent["start"].cpu
    with _sender() as port:
        way = Way(_USED, THREADS[-1], "crc64nvme", writes=True)
        least = 1 / _Receiver(partial(_plain, port), way, place).measure().core
    return [
        f"The engine uses {used:.2f} s of processor time for a GB, with CRC, verified, "
        f"beside {spent['start'].cpu:.2f} s to start. Receiving, CRC and writing alone take "
        f"{least:.2f} s in {THREADS[-1]} threads with buffers of {_USED >> 10} kB: the engine is "
        f"at {least / used:.0%} of what can be had so."
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _serve(*sys.argv[2:4])
    else:
        main(docs="--docs" in sys.argv)
