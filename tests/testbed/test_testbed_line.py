"""The bad line does what it says, whatever is behind it."""

import socket
import time

import pytest
import urllib3

from testbed._line import Line
from testbed.s3 import S3Server
from tests.engine_world import until

BODY = bytes(range(256)) * 4096
PATH = "/lines/body"
DROPPED = (urllib3.exceptions.HTTPError, OSError)


@pytest.fixture(scope="module")
def server():
    with S3Server({"lines": {"body": BODY}}) as s3:
        yield s3


def got(line, seconds=10.0):
    """The bytes that came before the line dropped the connection, or all."""
    came = bytearray()
    with urllib3.PoolManager(retries=False, timeout=seconds) as pool:
        try:
            response = pool.request("GET", line.url + PATH, preload_content=False)
            came += b"".join(response.stream(1 << 14))
        except DROPPED:
            return None
    return bytes(came)


def raw(line):
    """All that comes down the line for one request, heads included."""
    came = b""
    with socket.create_connection(("127.0.0.1", line.port), 10) as sock:
        sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: line\r\n\r\n".encode())
        try:
            while len(came) < len(BODY) and (data := sock.recv(1 << 16)):
                came += data
        except ConnectionResetError:
            pass
    return came


def test_a_good_line_passes_everything_on(server):
    with Line(server.port) as line:
        assert got(line) == BODY
        assert got(line) == BODY
    assert line.served > 2 * len(BODY)
    assert (line.connections, line.cuts) == (2, 0)


@pytest.mark.parametrize("count", [1, 100_000, 1 << 19])
def test_a_connection_is_cut_after_so_many_bytes(server, count):
    with Line(server.port, cut_bytes=count) as line:
        assert len(raw(line)) == count
        until(lambda: line.cuts == 1)
    assert line.served == count


@pytest.mark.parametrize("rate", [None, 200_000])
def test_a_connection_is_cut_after_so_many_seconds(server, rate):
    with Line(server.port, cut_seconds=0.2, rate=rate) as line:
        with socket.create_connection(("127.0.0.1", line.port), 10) as idle:
            assert _reset(idle)
        came = raw(line)
        assert len(came) < len(BODY) if rate else came
    assert line.cuts >= 1


def _reset(sock):
    try:
        return not sock.recv(1)
    except ConnectionResetError:
        return True


def test_a_rate_is_that_of_all_connections_together(server):
    began = time.monotonic()
    with Line(server.port, rate=8e6) as line:
        assert got(line) == got(line) == BODY
    assert time.monotonic() - began > 1.5 * len(BODY) / 8e6


def test_what_is_dark_resets_what_is_there_and_what_comes(server):
    with Line(server.port) as line:
        with socket.create_connection(("127.0.0.1", line.port), 10) as there:
            until(lambda: line.connections == 1)
            line.darken()
            assert _reset(there)
            assert got(line) is None
        assert line.is_dark
        line.lighten()
        until(lambda: not line.is_dark)  # the line has a thread of its own
        assert got(line) == BODY
    assert line.cuts == 0


def test_it_is_dark_from_a_moment_on_for_so_long(server):
    with Line(server.port, dark=(0.0, 0.3)) as line:
        until(lambda: line.is_dark)
        assert got(line) is None
        until(lambda: not line.is_dark)
        assert got(line) == BODY


def test_a_silent_dark_closes_nothing_and_goes_on_in_the_light(server):
    with (
        Line(server.port, silent=True) as line,
        socket.create_connection(("127.0.0.1", line.port), 10) as there,
    ):
        line.darken()
        until(lambda: line.is_dark)
        there.sendall(f"GET {PATH} HTTP/1.1\r\nHost: line\r\n\r\n".encode())
        there.settimeout(0.2)
        with pytest.raises(TimeoutError):
            there.recv(1)
        line.lighten()
        there.settimeout(10)
        assert there.recv(5) == b"HTTP/"


def test_a_request_takes_as_much_longer_as_the_line_is_far(server):
    with Line(server.port, rtt=0.1) as line:
        began = time.monotonic()
        assert got(line) == BODY
        assert time.monotonic() - began >= 0.1


def test_a_server_that_is_not_there_is_one_more_cut():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Line(port) as line:
        assert got(line) is None
