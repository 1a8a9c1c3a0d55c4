"""The network client against servers that say byte for byte what they are told to say."""

import gzip
import socket
import threading
import time

import pytest

from neurofetch.engine import Network
from neurofetch.errors import ProtocolError, TransientError, UsageError
from neurofetch.net.client import Client
from neurofetch.net.http1 import Request
from testbed.s3 import S3Server
from tests.engine_raw import RawServer, ask, silence

NETWORK = Network(connect_timeout=3.0, read_timeout=0.3, slow_bytes=1024, slow_window=0.3)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def client():
    with Client(NETWORK) as client:
        yield client


# -- connections -----------------------------------------------------------------------------


def test_one_connection_serves_many_requests(client):
    with RawServer(OK) as server:
        assert [ask(client, server) for _ in range(20)] == [(200, b"hello")] * 20
        assert server.connections == 1


def test_the_round_trip_is_that_of_successes_to_the_farthest_server(client):
    """What a proxy, a redirect or a refusal takes tells nothing of the way to the data."""
    assert client.outages.round_trip == 0.0
    for status in (b"302 Found", b"404 Not Found", b"408 Request Timeout", b"503 Slow Down"):
        with RawServer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nhello") as server:
            assert ask(client, server)[0] == int(status[:3])
    assert client.outages.round_trip == 0.0
    with S3Server({"b": {"f": b"x"}}, latency=0.08) as far, RawServer(OK) as near:
        for _ in range(3):
            with client.send(Request(f"{far.url}/b/f")) as response:
                assert response.read(10) == b"x"
        slow = client.outages.round_trip
        assert slow >= 0.08
        assert ask(client, near) == (200, b"hello")
        assert client.outages.round_trip == slow


def test_it_says_when_the_first_request_is_on_its_way(client):
    assert not client.asked.is_set()
    with RawServer(OK) as server:
        assert ask(client, server) == (200, b"hello")
    assert client.asked.is_set()


def test_threads_share_connections(client):
    with RawServer(OK) as server:
        for _ in range(3):
            threads = [threading.Thread(target=ask, args=(client, server)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(server.heads) == 18
        assert server.connections <= 6


def test_a_kept_connection_that_the_server_closed_is_replaced_without_a_word(client):
    with RawServer(OK, close=True) as server:
        assert [ask(client, server) for _ in range(5)] == [(200, b"hello")] * 5
        assert server.connections == 5
        assert len(server.heads) == 5


def test_a_request_that_breaks_kept_connections_does_not_use_them_all_up(client):
    with RawServer(OK, OK, OK, b"") as server:
        answers = [client.send(Request(server.url + "/f")) for _ in range(3)]
        for response in answers:
            response.read(10)
            response.close()
        with pytest.raises(TransientError, match="connection lost"):
            ask(client, server)
        assert len(server.heads) == 5  # one kept connection, one fresh one, no more
        assert server.connections == 4


def test_a_post_is_not_repeated_on_its_own(client):
    with RawServer(OK, b"") as server:
        ask(client, server)
        with pytest.raises(TransientError):
            ask(client, server, method="POST", body=b"x=1")
        assert len(server.heads) == 2
        assert "Content-Length: 3" in server.heads[1]


def test_a_connection_with_something_unread_is_not_kept(client):
    with RawServer(OK) as server:
        for _ in range(2):
            with client.send(Request(server.url + "/f")) as response:
                assert response.status == 200
        assert server.connections == 2


def test_a_connection_with_more_than_was_announced_is_not_kept(client):
    with RawServer(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", OK) as server:
        assert ask(client, server) == (200, b"hello")
        assert ask(client, server) == (200, b"hello")
        assert server.connections == 2


def test_connection_close_is_heeded(client):
    said = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    with RawServer(said) as server:
        assert [ask(client, server) for _ in range(2)] == [(200, b"hello")] * 2
        assert server.connections == 2


def test_an_idle_connection_grows_old(client, monkeypatch):
    monkeypatch.setattr("neurofetch.net.client._IDLE_SECONDS", 0.05)
    with RawServer(OK) as server:
        ask(client, server)
        time.sleep(0.1)
        ask(client, server)
        assert server.connections == 2


# -- bodies ----------------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3;name=value\r\nllo\r\n0\r\n\r\n",
        b"0005\r\nhello\r\n000\r\nX-Trailer: yes\r\n\r\n",
        b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n",
    ],
)
def test_a_chunked_body_is_put_together_and_its_connection_kept(client, chunks):
    with RawServer(CHUNKED + chunks) as server:
        assert [ask(client, server) for _ in range(3)] == [(200, b"hello")] * 3
        assert server.connections == 1


def test_a_large_chunked_body_byte_by_byte(client):
    body = bytes(range(256)) * 300

    def drip(connection, _):
        connection.sendall(CHUNKED)
        for at in range(0, len(body), 999):
            piece = body[at : at + 999]
            connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")

    with RawServer(drip) as server:
        assert ask(client, server) == (200, body)


@pytest.mark.parametrize(
    "chunks",
    [b"x\r\nhello\r\n", b"-5\r\nhello\r\n", b"\r\n", b"5\r\nhello!!\r\n0\r\n\r\n", b"f" * 99],
)
def test_chunks_that_make_no_sense_are_no_body(client, chunks):
    with (
        RawServer(CHUNKED + chunks, close=True) as server,
        pytest.raises((ProtocolError, TransientError)),
    ):
        ask(client, server)


def test_endless_trailers_end(client):
    with (
        RawServer(CHUNKED + b"0\r\n" + b"X: y\r\n" * 1000) as server,
        pytest.raises(ProtocolError, match="trailers"),
    ):
        ask(client, server)


def test_a_chunked_body_that_is_cut_is_not_taken_for_whole(client):
    with (
        RawServer(CHUNKED + b"5\r\nhello\r\n", close=True) as server,
        pytest.raises(TransientError),
    ):
        ask(client, server)


def test_a_body_without_length_goes_to_the_end_of_the_connection(client):
    with RawServer(b"HTTP/1.1 200 OK\r\n\r\nhello", close=True) as server:
        assert [ask(client, server) for _ in range(2)] == [(200, b"hello")] * 2
        assert server.connections == 2


def test_a_body_shorter_than_announced_is_told(client):
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"
    with (
        RawServer(said, close=True) as server,
        pytest.raises(TransientError, match="4 bytes early"),
    ):
        ask(client, server)


def test_a_body_longer_than_the_limit_is_not_read(client):
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    with RawServer(said) as server, pytest.raises(ProtocolError, match="more than 1048576 bytes"):
        ask(client, server)
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 << 20)
    with RawServer(endless, close=True) as server, pytest.raises(ProtocolError, match="more than"):
        ask(client, server)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_without_a_body_have_none(client, status):
    with RawServer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 7\r\n\r\n", OK) as server:
        assert ask(client, server)[1] == b""
        assert ask(client, server) == (200, b"hello")
        assert server.connections == 1


def test_head_has_a_length_and_no_body(client):
    with RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: x\r\n\r\n") as server:
        for _ in range(2):
            with client.send(Request(server.url + "/f", method="HEAD")) as response:
                assert (response.read(10), response.headers["content-length"]) == (b"", "12345")
        assert server.connections == 1
        assert server.heads[0].startswith("HEAD /f HTTP/1.1\r\n")


def test_interim_answers_are_passed_over(client):
    with RawServer(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + OK
    ) as s:
        assert ask(client, s) == (200, b"hello")
    with RawServer(b"HTTP/1.1 100 Continue\r\n\r\n" * 50) as s, pytest.raises(ProtocolError):
        ask(client, s)


@pytest.mark.parametrize("coding", [b"utf-8", b"gzip", b"aws-chunked"])
def test_a_content_encoding_changes_no_byte(client, coding):
    body = gzip.compress(b"a map", mtime=0)
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    with RawServer(said % (coding, len(body)) + body) as server:
        assert ask(client, server) == (200, body)
        assert "Accept-Encoding: identity" in server.heads[0]


# -- heads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 status line, got 'SSH-2.0"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "[Ss]tatus"),
        (b"HTTP/2 200\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "[Hh]eader"),
        (b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n", "[Hh]eader"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", "character in Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "character in Content-Length"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "Duplicate Content-Length",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", "head of more than 65536"),
        (b"\0" * 100_000, "head of more than"),
    ],
)
def test_what_is_not_http_is_said_to_be_so(client, said, words):
    with RawServer(said) as server:
        with pytest.raises(ProtocolError, match=words):
            ask(client, server)
        assert len(server.heads) == 1  # and never taken for a lost connection, to be tried again


def test_a_line_break_in_a_request_is_not_sent(client):
    with RawServer(OK) as server:
        with pytest.raises(ProtocolError, match="line break"):
            ask(client, server, headers={"X": "a\r\nEvil: yes"})
        assert server.heads == []


@pytest.mark.parametrize(
    "url", ["ftp://host/f", "nonsense", "http://", "http://[::1/f", "http://h:x/"]
)
def test_what_is_no_url_is_refused(client, url):
    with pytest.raises(UsageError, match="is not an http"):
        client.send(Request(url))


# -- patience --------------------------------------------------------------------------------


def test_a_stall_before_the_response_is_transient_and_asked_once(client):
    with RawServer(OK, silence) as server:
        ask(client, server)
        began = time.monotonic()
        with pytest.raises(TransientError, match=r"stalled, no byte for 0\.3 s"):
            ask(client, server)
        assert time.monotonic() - began < 2
        assert len(server.heads) == 2


def dripping(first, pause, count):
    def drip(connection, _):
        connection.sendall(first)
        for _ in range(count):
            connection.sendall(b"x")
            time.sleep(pause)

    return drip


def test_a_stall_within_a_body_is_transient(client):
    def stall(connection, head):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell")
        silence(connection, head)

    with RawServer(stall) as server, pytest.raises(TransientError, match="stalled"):
        ask(client, server)


def test_a_body_that_only_drips_is_given_up(client):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"
    began = time.monotonic()
    with (
        RawServer(dripping(head, 0.02, 500)) as server,
        pytest.raises(TransientError, match="bytes in"),
    ):
        ask(client, server)
    assert time.monotonic() - began < 5


def test_a_head_that_only_drips_is_given_up(client):
    began = time.monotonic()
    with (
        RawServer(dripping(b"HTTP/1.1 200 OK\r\nX: ", 0.02, 500)) as server,
        pytest.raises(TransientError, match="stalled"),
    ):
        ask(client, server)
    assert time.monotonic() - began < 5


def test_nobody_listens(client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/f"
        with pytest.raises(TransientError, match="cannot connect to 127"):
            client.send(Request(url))


def test_an_unknown_host_is_named(client):
    with pytest.raises(TransientError, match=r"cannot find the host 'no-such-host\.invalid'"):
        client.send(Request("http://no-such-host.invalid/f"))


def test_a_rate_limit_holds_over_all_connections():
    network = Network(limit_rate=400_000)
    with S3Server({"b": {"f": b"x" * 50_000}}) as server, Client(network) as client:
        began = time.monotonic()
        threads = [threading.Thread(target=ask, args=(client, server, "/b/f")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began >= 0.4
