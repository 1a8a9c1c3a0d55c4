"""How a connection waits for bytes: for a full buffer, in slices of time, never for ever."""

import socket
import ssl
import sys
import threading
import time

import pytest

from neurofetch.errors import InterruptedTransferError, TransientError
from neurofetch.net import response as module
from neurofetch.net.client import Client
from neurofetch.net.connect import Route, shut
from neurofetch.net.http1 import Request
from neurofetch.net.outage import Line
from neurofetch.net.response import Connection
from neurofetch.net.settings import Network
from testbed._tls import certify
from tests.engine_raw import RawServer, silence

SIZE = 1 << 20
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system is told on Linux alone")


def pair(patience: float) -> tuple[Connection, socket.socket]:
    """Return a connection that is silent for at most `patience` seconds, and its other end."""
    gate = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(gate.getsockname())
    theirs, _ = gate.accept()
    gate.close()
    ours.settimeout(patience)
    return Connection(ours, Line(Route("http", "127.0.0.1", 80))), theirs


def sent(theirs: socket.socket, *pieces: bytes, pause: float = 0.0, end: bool = False) -> None:
    """Send pieces from a thread of its own."""

    def send() -> None:
        for piece in pieces:
            theirs.sendall(piece)
            time.sleep(pause)
        if end:
            theirs.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()


@ON_LINUX
@pytest.mark.parametrize("pieces", [1, 3, 64])
def test_one_call_fills_a_buffer_however_many_packets_it_takes(pieces, monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 5.0)
    monkeypatch.setattr(module, "_NEW", 0)
    connection, theirs = pair(10.0)
    with connection.sock, theirs:
        sent(theirs, *[b"x" * (SIZE // 64)] * pieces, pause=0.002)
        view = memoryview(bytearray(SIZE // 64 * pieces))
        assert connection.into(view) == len(view)
        assert bytes(view) == b"x" * len(view)


def test_a_new_connection_tells_soon_how_much_it_brings():
    """As TCP brings it: some packets, and a round trip later twice as many."""
    flights = [14_600 << number for number in range(4)]
    connection, theirs = pair(10.0)
    with connection.sock, theirs:
        view = memoryview(bytearray(SIZE))
        for flight in flights:
            theirs.sendall(b"x" * flight)
            came = 0
            while came < flight:
                came += connection.into(view)
            assert came == flight  # and did not wait for a buffer that is full


@ON_LINUX
def test_a_connection_that_is_new_no_more_is_read_by_the_buffer(monkeypatch):
    monkeypatch.setattr(module, "_NEW", 10)
    connection, theirs = pair(10.0)
    with connection.sock, theirs:
        view = memoryview(bytearray(100))
        theirs.sendall(b"x" * 10)
        assert connection.into(view) == 10
        sent(theirs, b"y" * 50, b"y" * 50, pause=0.05)
        assert connection.into(view) == 100


@pytest.mark.parametrize("pieces", [(b"abc",), (b"a", b"b", b"c")])
def test_what_came_is_given_after_a_slice_of_time_though_more_was_asked_for(pieces, monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 0.05)
    connection, theirs = pair(10.0)
    with connection.sock, theirs:
        sent(theirs, *pieces)
        view, count = memoryview(bytearray(100)), 0
        while count < 3:
            count += connection.into(view[count:])
        assert bytes(view[:3]) == b"abc"


@pytest.mark.parametrize("slice_", [0.02, 0.25])
@pytest.mark.parametrize("patience", [0.1, 0.3])
def test_silence_is_borne_for_as_long_as_was_said(slice_, patience, monkeypatch):
    monkeypatch.setattr(module, "_SLICE", slice_)
    connection, theirs = pair(patience)
    with connection.sock, theirs:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.into(memoryview(bytearray(100)))
        assert time.monotonic() - began >= patience * 0.9


def test_a_byte_in_each_slice_is_no_silence(monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 0.02)
    connection, theirs = pair(0.2)
    with connection.sock, theirs:
        sent(theirs, *[b"."] * 8, pause=0.1)  # four times the patience in all
        view, count = memoryview(bytearray(8)), 0
        while count < 8:
            count += connection.into(view[count:])


def test_an_end_in_the_middle_gives_what_came_and_then_nothing():
    connection, theirs = pair(5.0)
    with connection.sock, theirs:
        sent(theirs, b"abc", end=True)
        view = memoryview(bytearray(100))
        assert connection.into(view) == 3
        assert connection.into(view) == 0


@pytest.mark.parametrize("asked", [b"", b"half"])
def test_a_thread_that_waits_is_woken_when_the_socket_is_shut(asked):
    connection, theirs = pair(30.0)
    with connection.sock, theirs:
        if asked:
            theirs.sendall(asked)
        threading.Timer(0.1, shut, [connection.sock]).start()
        began, view = time.monotonic(), memoryview(bytearray(100))
        count = connection.into(view)
        assert bytes(view[:count]) == asked[:count]
        while count:
            count = connection.into(view)
        assert time.monotonic() - began < 5.0


def test_what_nobody_asked_for_is_seen_without_waiting():
    connection, theirs = pair(30.0)
    with connection.sock, theirs:
        assert connection.unasked() is None
        theirs.sendall(b"HTTP/1.1 408 Goodbye\r\n\r\n")
        until = time.monotonic() + 5
        while (found := connection.unasked()) is None and time.monotonic() < until:
            time.sleep(0.01)
        assert (found or b"").startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("where", ["before the head", "in the head", "in the body"])
def test_a_server_that_falls_silent_is_told_as_such(where, monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 0.05)
    said = {"before the head": b"", "in the head": HEAD[:20], "in the body": HEAD + b"x" * 1000}

    def stall(sock: socket.socket, head: bytes) -> None:
        sock.sendall(said[where])
        silence(sock, head)

    network = Network(connect_timeout=3.0, read_timeout=0.3, slow_window=60.0)
    with (
        RawServer(stall) as server,
        Client(network) as client,
        pytest.raises(TransientError, match=r"stalled, no byte for 0\.3 s"),
        client.send(Request(server.url + "/f")) as response,
    ):
        response.fill(memoryview(bytearray(SIZE)))


def test_closing_the_client_ends_a_wait_for_the_body_at_once():
    def stall(sock: socket.socket, head: bytes) -> None:
        sock.sendall(HEAD + b"x" * 1000)
        silence(sock, head)

    with (
        RawServer(stall) as server,
        Client(Network(read_timeout=60.0)) as client,
        client.send(Request(server.url + "/f")) as response,
    ):
        threading.Timer(0.1, client.close).start()
        began = time.monotonic()
        with pytest.raises(InterruptedTransferError):
            response.fill(memoryview(bytearray(SIZE)))
        assert time.monotonic() - began < 5.0


# -- TLS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("tls"))


def server_side(certified):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified.certificate, certified.key)
    return context


def trusting(certified, **settings):
    return Network(ca_bundle=str(certified.authority), **settings)


@pytest.mark.parametrize("size", [0, 1, 1000, 16384, 16385, 100_000, 262_144, SIZE, SIZE + 12345])
@pytest.mark.parametrize("buffer", [1000, 65536, SIZE])
def test_a_body_over_tls_comes_whole_and_is_not_waited_for_beyond_its_end(
    size, buffer, certified, monkeypatch
):
    monkeypatch.setattr(module, "_SLICE", 30.0)  # who waits for one does not come back in time
    body = bytes(range(256)) * (size // 256 + 1)
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body[:size]
    network = trusting(certified, read_timeout=60.0)
    began = time.monotonic()
    with RawServer(said, tls=server_side(certified)) as server, Client(network) as client:
        for _ in range(2):  # the second on the kept connection
            got, view = bytearray(), memoryview(bytearray(buffer))
            with client.send(Request(server.url + "/f")) as response:
                while count := response.fill(view):
                    got += view[:count]
            assert bytes(got) == body[:size]
        assert server.connections == 1
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("where", ["before the head", "in the head", "in the body"])
def test_a_server_that_falls_silent_behind_tls_is_told_as_such(where, certified, monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 0.05)
    said = {"before the head": b"", "in the head": HEAD[:20], "in the body": HEAD + b"x" * 50_000}

    def stall(sock: socket.socket, head: bytes) -> None:
        sock.sendall(said[where])
        silence(sock, head)

    network = trusting(certified, connect_timeout=3.0, read_timeout=0.3, slow_window=60.0)
    with (
        RawServer(stall, tls=server_side(certified)) as server,
        Client(network) as client,
        pytest.raises(TransientError, match=r"stalled, no byte for 0\.3 s"),
        client.send(Request(server.url + "/f")) as response,
    ):
        response.fill(memoryview(bytearray(SIZE)))


def test_what_came_over_tls_is_given_after_a_slice_of_time(certified, monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 0.05)

    def some(sock: socket.socket, head: bytes) -> None:
        sock.sendall(HEAD + b"x" * 50_000)
        silence(sock, head)

    network = trusting(certified, read_timeout=30.0)
    with RawServer(some, tls=server_side(certified)) as server, Client(network) as client:
        view, came = memoryview(bytearray(SIZE)), 0
        with client.send(Request(server.url + "/f")) as response:
            while came < 50_000:
                came += response.readinto(view[came:])
        assert bytes(view[:came]) == b"x" * 50_000
