"""One client fetching from one server, in a process of its own: started by `http_clients`.

Each thread has what it needs to fetch; what it does with the bytes is the same for all clients.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib
import io
import json
import os
import resource
import socket
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from neurofetch.net.client import Client
from neurofetch.net.http1 import Request
from neurofetch.net.settings import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Small = Callable[[str], bytes]
    Ranged = Callable[[str, str, memoryview], Iterator[memoryview | bytes]]

__all__ = ["RANGED", "SMALL"]

_BLOCK = 1 << 20
_PART = 8 << 20
_LIMIT = 1 << 20


# -- small objects: a URL's path to its bytes, one function a thread ------------------------------


def _ours(base: str, threads: int) -> Callable[[], Small]:
    del threads  # its pool has no size: a thread takes the connection used last
    client = Client(Network())

    def fetch(path: str) -> bytes:
        with client.send(Request(base + path)) as response:
            return response.read(_LIMIT)

    return lambda: fetch


def _urllib3(base: str, threads: int) -> Callable[[], Small]:
    pool = _pool(base, threads)

    def fetch(path: str) -> bytes:
        response = pool.request("GET", path, decode_content=False, retries=False, redirect=False)
        data: bytes = response.data
        return data

    return lambda: fetch


def _pool(base: str, threads: int) -> Any:
    urllib3: Any = importlib.import_module("urllib3")  # only the measured client is loaded
    parts = urlsplit(base)
    return urllib3.HTTPConnectionPool(
        parts.hostname or "", parts.port, maxsize=threads, block=True, headers={}
    )


def _http_client(base: str, threads: int) -> Callable[[], Small]:
    del threads
    parts = urlsplit(base)

    def for_thread() -> Small:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

        def fetch(path: str) -> bytes:
            connection.request("GET", path)
            return connection.getresponse().read()

        return fetch

    return for_thread


def _pycurl(base: str, threads: int) -> Callable[[], Small]:
    del threads
    pycurl: Any = importlib.import_module("pycurl")

    def for_thread() -> Small:
        curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROXY, "")

        def fetch(path: str) -> bytes:
            body = io.BytesIO()
            headers: list[bytes] = []  # we need the ETag and the checksums of each response
            curl.setopt(pycurl.URL, base + path)
            curl.setopt(pycurl.WRITEDATA, body)
            curl.setopt(pycurl.HEADERFUNCTION, headers.append)
            curl.perform()
            return body.getvalue()

        return fetch

    return for_thread


class _Body:
    """What the parser of httptools calls back."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.headers: dict[bytes, bytes] = {}
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.done = True


def _httptools(base: str, threads: int) -> Callable[[], Small]:
    del threads
    httptools: Any = importlib.import_module("httptools")

    parts = urlsplit(base)

    def for_thread() -> Small:
        sock = socket.create_connection((parts.hostname or "", parts.port or 80))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def fetch(path: str) -> bytes:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode("ascii"))
            body = _Body()
            parser = httptools.HttpResponseParser(body)
            while not body.done:
                parser.feed_data(sock.recv(1 << 16))
            return b"".join(body.pieces)

        return fetch

    return for_thread


SMALL = {
    "neurofetch.net.client": _ours,
    "urllib3": _urllib3,
    "http.client": _http_client,
    "pycurl": _pycurl,
    "httptools": _httptools,
}


# -- ranges of a large object: blocks as they arrive -----------------------------------------------


def _ours_ranged(base: str, threads: int) -> Ranged:
    del threads
    client = Client(Network())

    def blocks(path: str, span: str, buffer: memoryview) -> Iterator[memoryview]:
        with client.send(Request(base + path, {"Range": span})) as response:
            while count := response.readinto(buffer):
                yield buffer[:count]

    return blocks


def _urllib3_ranged(base: str, threads: int) -> Ranged:
    pool = _pool(base, threads)

    def blocks(path: str, span: str, buffer: memoryview) -> Iterator[bytes]:
        response = pool.request(
            "GET", path, headers={"Range": span}, preload_content=False, retries=False
        )
        while data := response.read(len(buffer), decode_content=False):
            yield data
        response.release_conn()

    return blocks


RANGED = {"neurofetch.net.client": _ours_ranged, "urllib3": _urllib3_ranged}


# -- the work --------------------------------------------------------------------------------------


def _fetch_small(job: dict[str, Any], dest: str) -> list[Callable[[], None]]:
    """Return the work of each thread: fetch, check the MD5, write a file."""
    queue = deque(job["objects"])
    make = SMALL[job["client"]](job["url"], job["threads"])

    def work() -> None:
        fetch = make()
        while queue:
            try:
                entry = queue.popleft()
            except IndexError:
                return
            data = fetch(f"/{job['bucket']}/{entry['key']}")
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != entry["etag"].strip('"'):
                os._exit(3)
            with open(os.path.join(dest, entry["key"].rpartition("/")[2]), "wb") as file:
                file.write(data)

    return [work] * job["threads"]


def _fetch_ranges(job: dict[str, Any], dest: str) -> list[Callable[[], None]]:
    """Return the work of each thread: fetch ranges, write each block in its place."""
    entry = job["objects"][0]
    queue = deque(range(0, entry["size"], _PART))
    blocks = RANGED[job["client"]](job["url"], job["threads"])
    fd = os.open(os.path.join(dest, "object"), os.O_RDWR | os.O_CREAT)

    def work() -> None:
        buffer = memoryview(bytearray(_BLOCK))
        while queue:
            try:
                first = queue.popleft()
            except IndexError:
                return
            last = min(first + _PART, entry["size"]) - 1
            for block in blocks(
                f"/{job['bucket']}/{entry['key']}", f"bytes={first}-{last}", buffer
            ):
                first += os.pwrite(fd, block, first)
            if first != last + 1:
                os._exit(3)

    return [work] * job["threads"]


def main() -> None:
    """Read a job from standard input, do it, print what it took."""
    job = json.load(sys.stdin)
    prepare = _fetch_ranges if job["ranged"] else _fetch_small
    works = prepare(job, job["dest"])
    used = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    json.dump({"wall": wall, "cpu": cpu}, sys.stdout)


if __name__ == "__main__":
    main()
