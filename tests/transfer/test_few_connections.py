"""A server that admits few connections, and closes all others: every file comes.

The kind of fault that is looked for: threads wait for a connection while one of their own run has
it, and waits as well. So all wait for a network that is not away at all.
"""

import contextlib
import socket
import struct
import threading
from select import select

import pytest

from neurofetch.engine import Network, Options
from tests.engine_world import PART, World, noise

LINGER = struct.pack("ii", 1, 0)


class Door:
    """In front of a server: it lets `most` connections in, and closes others at once."""

    def __init__(self, port, most, *, rude):
        self.turned_away = 0
        self._port, self._most, self._rude = port, most, rude
        self._inside, self._lock = 0, threading.Lock()
        self._gate = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._gate.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._stand)]
        self._threads[0].start()

    def close(self):
        self._gate.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:  # the first one adds no more once it has ended
            thread.join()

    def _stand(self):
        with self._gate, contextlib.suppress(OSError):
            while True:
                self._meet(self._gate.accept()[0])

    def _meet(self, client):
        with self._lock:
            welcome = self._inside < self._most
            self._inside += welcome
            self.turned_away += not welcome
        if welcome:
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()
            return
        if self._rude:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        client.close()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            others = {client: server, server: client}
            with contextlib.suppress(OSError):
                while all(self._carried(end, others[end]) for end in select(others, [], [])[0]):
                    pass
        with self._lock:
            self._inside -= 1

    @staticmethod
    def _carried(source, target):
        data = source.recv(1 << 16)
        target.sendall(data)
        return bool(data)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        world.s3.latency = 0.01
        yield world


@pytest.mark.parametrize("rude", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize(("most", "count", "size"), [(1, 60, 900), (3, 200, 900), (1, 12, 400_000)])
def test_all_files_come_over_few_connections(world, monkeypatch, rude, most, count, size):
    content = {f"f{n}": world.put(f"f{n}", noise(size, n)) for n in range(count)}
    door = Door(world.s3.port, most, rude=rude)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", door.url)
    options = Options(beat=0.02, single_limit=1 << 20, part_size=PART)
    try:
        report = world.fetch(options, network=Network(patience=20.0))
    finally:
        door.close()
    assert not [outcome.reason for outcome in report.outcomes if not outcome.ok]
    assert world.files() == content
    assert door.turned_away < 4 * count + 384  # a connection ahead for each request, at most
