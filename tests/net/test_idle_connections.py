"""What comes on an idle connection is the answer to nothing: the next request goes elsewhere."""

import socket
import threading
import time

import pytest

from neurofetch.engine import Network
from neurofetch.errors import ProtocolError, TransientError
from neurofetch.net import response as module
from neurofetch.net.client import Client
from neurofetch.net.http1 import Request
from tests.engine_raw import RawServer, ask
from tests.engine_world import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
GOODBYE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
SOON = Network(read_timeout=2.0)

UNASKED = {
    "408": GOODBYE,
    "408, with a page": GOODBYE.replace(b"0\r\n\r\n", b"9\r\n\r\n<p>Bye</p>"),
    "503": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "a response": EVIL,
    "the head of a response": EVIL[:20],
    "one byte": b"H",
    "an empty line": b"\r\n",
    "no HTTP": b"\0\xff\0",
    "the end": b"",
}


class Later:
    """Answers, and sends more when the test says so; b"" closes the connection."""

    def __init__(self, first, more):
        self._first, self._more = first, more
        self._said, self._may = threading.Semaphore(0), threading.Event()

    def __call__(self, connection, _):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(self._first)
        self._may.wait(5)
        if self._more:
            connection.sendall(self._more)
        else:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._said.release()

    def say(self, times=1):
        self._may.set()
        for _ in range(times):
            self._said.acquire(timeout=5)
        time.sleep(0.02)  # until it has come


@pytest.fixture(params=["http", "https"])
def secured(request):
    return request.getfixturevalue("tls") if request.param == "https" else None


@pytest.fixture
def network(secured, request):
    if secured is None:
        return SOON
    return Network(read_timeout=2.0, ca_bundle=str(request.getfixturevalue("certificate")[0]))


@pytest.mark.parametrize("name", UNASKED)
def test_what_came_while_the_connection_was_idle_answers_no_request(name, secured, network):
    later = Later(OK, UNASKED[name])
    with RawServer(later, OK, tls=secured) as server, Client(network) as client:
        assert ask(client, server) == (200, b"hello")
        later.say()
        assert ask(client, server) == (200, b"hello")
        assert (server.connections, len(server.heads)) == (2, 2)


def test_a_quiet_connection_is_kept(secured, network):
    """With TLS, the tickets for the next session are no answer, and no reason to drop it."""
    with RawServer(OK, tls=secured) as server, Client(network) as client:
        for _ in range(3):
            assert ask(client, server) == (200, b"hello")
            time.sleep(0.02)
        assert server.connections == 1


def test_a_connection_that_was_made_ahead_and_not_used_is_kept(secured, network):
    with RawServer(OK, tls=secured) as server, Client(network) as client:
        route, _ = client._target(server.url + "/f")
        connection = client._dial(route)
        client.release(connection, keep=True)
        time.sleep(0.05)  # until the tickets have come
        assert ask(client, server) == (200, b"hello")
        assert server.connections == 1


def idle_connections(client, server, count):
    """Make so many connections idle."""
    answers = [client.send(Request(server.url + "/f")) for _ in range(count)]
    for response in answers:
        response.read(10)
        response.close()


def test_many_goodbyes_cost_no_attempt():
    later = Later(OK, GOODBYE)
    with RawServer(*[later] * 6, OK) as server, Client(SOON) as client:
        idle_connections(client, server, 6)
        later.say(6)
        assert ask(client, server) == (200, b"hello")
        assert (server.connections, len(server.heads)) == (7, 7)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_goodbye_that_crosses_the_request_costs_no_attempt(method):
    """It comes after the look at the connection: the request is sent again, on a new one."""
    last = OK if method == "GET" else OK.removesuffix(b"hello")
    with RawServer(OK, OK, GOODBYE, last) as server, Client(SOON) as client:
        idle_connections(client, server, 2)
        with client.send(Request(server.url + "/f", method=method)) as response:
            assert response.status == 200
            response.read(10)
        assert server.connections == 3
        idle = [row for rows in client._idle.values() for row in rows]
        assert len(idle) == 1  # the others, which may hold one too, are gone


def test_a_408_on_a_new_connection_is_the_answer():
    with RawServer(GOODBYE) as server, Client(SOON) as client:
        assert ask(client, server) == (408, b"")
        assert server.connections == 1


def test_a_408_to_a_post_is_the_answer():
    with RawServer(OK, GOODBYE) as server, Client(SOON) as client:
        ask(client, server)
        assert ask(client, server, method="POST", body=b"x")[0] == 408
        assert len(server.heads) == 2


@pytest.mark.parametrize("how", ["at once", "later"])
def test_no_connection_is_kept_to_a_server_that_answered_what_was_not_asked(how):
    """A second answer that comes later still would be taken for that of the next request."""
    first = OK + EVIL if how == "at once" else Later(OK, EVIL)
    with RawServer(OK, first, OK) as server, Client(SOON) as client:
        idle_connections(client, server, 1)
        ask(client, server)
        if how == "later":
            first.say()
        for _ in range(3):
            assert ask(client, server) == (200, b"hello")
        assert server.connections == 4


@pytest.mark.parametrize("how", ["at once", "later"])
def test_a_body_after_head_is_no_reason_to_distrust_the_server(how):
    """It is wrong, but some send it: that connection is dropped, and others are kept."""
    first = OK if how == "at once" else Later(OK.removesuffix(b"hello"), b"hello")
    with RawServer(first, OK) as server, Client(SOON) as client:
        assert ask(client, server, method="HEAD") == (200, b"")
        if how == "later":
            first.say()
        for _ in range(3):
            assert ask(client, server) == (200, b"hello")
        assert server.connections == 2


def test_after_goodbyes_connections_are_kept_as_before():
    later = Later(OK, GOODBYE)
    with RawServer(later, OK) as server, Client(SOON) as client:
        ask(client, server)
        later.say()
        for _ in range(4):
            ask(client, server)
        assert server.connections == 2


# -- drips, where no body is yet, or no more -------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "the size of a chunk": (CHUNKED, b"0" * 600),
    "an extension of a chunk": (CHUNKED + b"5;", b"x" * 600),
    "a trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nX: ", b"y" * 600),
    "a chunk": (CHUNKED + b"fff\r\n", b"z" * 600),
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"z" * 600),
    "a status line": (b"HTTP/1.1 200 ", b"O" * 600),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 24),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_server_that_only_drips_is_given_up(name):
    first, slow = DRIPS[name]

    def drip(connection, _):
        connection.sendall(first)
        for at in range(len(slow)):
            connection.sendall(slow[at : at + 1])
            time.sleep(0.01)

    network = Network(read_timeout=0.3, slow_bytes=1024, slow_window=0.3)
    began = time.monotonic()
    with (
        RawServer(drip) as server,
        Client(network) as client,
        pytest.raises((TransientError, ProtocolError)),
    ):
        ask(client, server)
    assert time.monotonic() - began < 4


def test_a_request_after_a_drip_goes_to_another_connection():
    def drip(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.01)

    network = Network(read_timeout=0.3, slow_bytes=1024, slow_window=0.2)
    with RawServer(drip, OK) as server, Client(network) as client:
        with pytest.raises(TransientError, match="stalled"):
            ask(client, server)
        assert ask(client, server) == (200, b"hello")
        until(lambda: server.connections == 2)


def crawl(connection, _):
    """As slow as it may be without a stall: 100 bytes every 10 ms, where others bring all."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(10_000):
        connection.sendall(b"x" * 100)
        time.sleep(0.01)


FAST = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000


def test_a_connection_that_is_far_slower_than_others_is_given_up():
    network = Network(read_timeout=2.0, slow_bytes=10, slow_window=0.1)
    with RawServer(FAST, crawl, FAST) as server, Client(network) as client:
        ask(client, server)
        began = time.monotonic()
        with pytest.raises(TransientError, match="stalled"):
            ask(client, server)
        assert time.monotonic() - began < 2
        assert ask(client, server)[0] == 200
        assert server.connections == 2


def test_a_network_that_is_slow_for_all_is_waited_for():
    network = Network(read_timeout=2.0, slow_bytes=10, slow_window=0.05)
    slow = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"

    def trickle(connection, _):
        connection.sendall(slow)
        for _ in range(30):
            connection.sendall(b"x" * 100)
            time.sleep(0.01)

    with RawServer(trickle) as server, Client(network) as client:
        for _ in range(2):
            assert ask(client, server) == (200, b"x" * 3000)


def test_the_time_for_which_nobody_reads_is_none_of_the_servers(monkeypatch):
    monkeypatch.setattr(module, "_NEW", 0)  # a new connection is read as any other
    network = Network(limit_rate=100_000, read_timeout=2.0, slow_bytes=60_000, slow_window=0.4)
    with RawServer(FAST) as server, Client(network) as client:
        view, began = memoryview(bytearray(50_000)), time.monotonic()
        with client.send(Request(server.url + "/f")) as body:
            assert body.fill(view) == 50_000  # and then half a second passes
            assert body.fill(view) == 50_000  # which had gathered meanwhile
        (line,) = client.outages._lines.values()
        assert time.monotonic() - began > 0.9
        assert line.heard - began < 0.4  # later, it may have been away
