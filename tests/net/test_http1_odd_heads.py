"""Heads that are odd, from servers that are sloppy or mean: read in one way only, or refused.

Two readers written by others are asked as well: h11, and the `http.client` of Python. Where ours
takes a head, none of them may see another body in it.
"""

import http.client
import io

import h11
import pytest

from neurofetch.engine import Network
from neurofetch.errors import ProtocolError
from neurofetch.net.client import Client
from neurofetch.net.http1 import CHUNKED, UNTIL_CLOSE, Chunks, body_length, parse_head
from tests.engine_raw import RawServer, ask

FIVE = b"Content-Length: 5\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

TAKEN = {
    "no reason": (b"HTTP/1.1 200 \r\n" + FIVE, 5, True),
    "no reason, and no space before it": (b"HTTP/1.1 200\r\n" + FIVE, 5, True),
    "a reason in Latin-1": (b"HTTP/1.1 200 Gut gem\xe4cht\r\n" + FIVE, 5, True),
    "no space after the colon": (OK + b"Content-Length:5\r\n", 5, True),
    "tabs around a value": (OK + b"Content-Length:\t5\t\r\n", 5, True),
    "capitals": (OK + b"CONTENT-LENGTH: 5\r\nCONNECTION: Close\r\n", 5, False),
    "an empty value": (OK + b"X-Empty:\r\n" + FIVE, 5, True),
    "a value in Latin-1": (OK + b"X-Name: caf\xe9\r\n" + FIVE, 5, True),
    "the same header twice": (OK + b"X-A: b\r\nX-A: c\r\n" + FIVE, 5, True),
    "close among others": (OK + b"Connection: keep-alive, close\r\n" + FIVE, 5, False),
    "close in a second header": (
        OK + b"Connection: keep-alive\r\nConnection: close\r\n" + FIVE,
        5,
        False,
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n" + FIVE, 5, False),
    "HTTP/1.0, kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + FIVE, 5, True),
    "chunked": (OK + b"Transfer-Encoding: chunked\r\n", CHUNKED, True),
    "Chunked": (OK + b"Transfer-Encoding: Chunked\r\n", CHUNKED, True),
    "no length": (OK, UNTIL_CLOSE, True),
    "no length, and HTTP/1.0": (b"HTTP/1.0 200 OK\r\n", UNTIL_CLOSE, False),
    "nothing": (OK + b"Content-Length: 0\r\n", 0, True),
    "nothing, and close": (OK + b"Content-Length: 0\r\nConnection: close\r\n", 0, False),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\n" + FIVE, 0, True),
    "204 and close": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n", 0, False),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\n" + FIVE, 0, True),
}

REFUSED = {
    # two lengths, or one that is no number
    "two lengths": OK + FIVE + b"Content-Length: 6\r\n",
    "a length twice": OK + FIVE + FIVE,  # may be taken (RFC 9110, 8.6), and need not
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n",
    "a length with a sign": OK + b"Content-Length: +5\r\n",
    "a length below nothing": OK + b"Content-Length: -5\r\n",
    "a length in hexadecimal": OK + b"Content-Length: 0x5\r\n",
    "a length with a gap": OK + b"Content-Length: 5 0\r\n",
    "an empty length": OK + b"Content-Length:\r\n",
    "a length beyond 64 bits": OK + b"Content-Length: 99999999999999999999999\r\n",
    "a length of 5,000 digits": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n",
    "a length after a no-break space": OK + b"Content-Length: \xa05\r\n",
    # a length and chunks, or other codings
    "a length and chunks": OK + FIVE + b"Transfer-Encoding: chunked\r\n",
    "a coding before chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: xchunked\r\n",
    "chunks after a vertical tab": OK + b"Transfer-Encoding: \x0bchunked\r\n",
    # lines that end, or go on, as others may not see it
    "a folded line": OK + b"X-A: one\r\n two\r\n" + FIVE,
    "a folded length": OK + b"Content-Length:\r\n 5\r\n",
    "a line feed alone in the head": OK + b"X-A: b\nContent-Length: 6\r\n",
    "a carriage return alone": OK + b"X-A: b\rContent-Length: 6\r\n" + FIVE,
    "a line feed in the reason": b"HTTP/1.1 200 O\nK\r\n" + FIVE,
    "line feeds only": OK.replace(b"\r", b"") + b"Content-Length: 5\n\n",
    # names and values
    "a space before the colon": OK + b"Content-Length : 5\r\n",
    "a tab before the colon": OK + b"Content-Length\t: 5\r\n",
    "a space in a name": OK + b"Content Length: 5\r\n",
    "a name in Latin-1": OK + b"caf\xe9: x\r\n" + FIVE,
    "no name": OK + b": x\r\n" + FIVE,
    "no colon": OK + b"garbage\r\n" + FIVE,
    "NUL in a name": OK + b"X\0Y: z\r\n" + FIVE,
    "NUL in a value": OK + b"X: y\0z\r\n" + FIVE,
    # status lines
    "another version": b"HTTP/2.0 200 OK\r\n" + FIVE,
    "a version with more behind it": b"HTTP/1.1x 200 OK\r\n" + FIVE,
    "two spaces": b"HTTP/1.1  200 OK\r\n" + FIVE,
    "a status of superscripts": b"HTTP/1.1 2\xb2\xb2 OK\r\n" + FIVE,
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n" + FIVE,
    "a radio": b"ICY 200 OK\r\n" + FIVE,
    "a camera": b"RTSP/1.0 200 OK\r\n" + FIVE,
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n",
}

BODIES = {5: b"hello", 0: b"", CHUNKED: CHUNKS, UNTIL_CLOSE: b"hello"}


def by_h11(raw):
    """Return length and whether the connection is kept; None where it refuses."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    try:
        client.receive_data(raw)
        head = client.next_event()
        headers = dict(head.headers)
        length = headers.get(b"content-length")
        if head.status_code in (204, 304):
            length = b"0"
        kind = int(length) if length is not None else UNTIL_CLOSE
        if b"transfer-encoding" in headers:
            kind = CHUNKED
        client.receive_data(BODIES[kind])
        if kind == UNTIL_CLOSE:
            client.receive_data(b"")
        while not isinstance(client.next_event(), h11.EndOfMessage):
            continue
    except h11.RemoteProtocolError:
        return None
    return kind, kind != UNTIL_CLOSE and client.their_state is h11.DONE


class Sock:
    """What `http.client` needs of a socket."""

    def __init__(self, raw):
        self.raw = raw

    def makefile(self, _):
        return io.BytesIO(self.raw)


def by_http_client(raw):
    """Return length and whether the connection is kept."""
    response = http.client.HTTPResponse(Sock(raw))
    response.begin()
    kind = UNTIL_CLOSE if response.length is None else response.length
    return CHUNKED if response.chunked else kind, not response.will_close


@pytest.mark.parametrize("name", TAKEN)
def test_all_readers_see_the_same_body(name):
    raw, kind, kept = TAKEN[name]
    head = parse_head(raw + b"\r\n")
    assert (body_length("GET", head), head.keep_alive) == (kind, kept)
    ours = (kind, kept and kind != UNTIL_CLOSE)  # its end is that of the connection
    alone = (kind, not ours[1])
    # http.client looks at the first header only; h11 keeps no connection of HTTP/1.0.
    expected = alone if name == "close in a second header" else ours
    assert by_http_client(raw + b"\r\n") == expected
    expected = alone if name == "HTTP/1.0, kept" else ours
    assert by_h11(raw + b"\r\n") == expected


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_read_to_its_end(name):
    raw, kind, kept = TAKEN[name]
    ends = kind == UNTIL_CLOSE
    body = b"" if raw.split()[1] in (b"204", b"304") else BODIES[kind]
    with (
        Client(Network(read_timeout=2.0)) as client,
        RawServer(raw + b"\r\n" + body, close=ends) as server,
    ):
        for _ in range(2):
            assert ask(client, server)[1] == (b"hello" if body else b"")
        assert server.connections == (1 if kept and not ends else 2)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused_at_once(name):
    with (
        Client(Network(read_timeout=2.0)) as client,
        RawServer(REFUSED[name] + b"\r\nhello") as server,
    ):
        with pytest.raises(ProtocolError):
            ask(client, server)
        assert len(server.heads) == 1  # it is no lost connection, to be tried again


def test_values_come_without_the_space_around_them():
    head = parse_head(OK + b'ETag: \t "x" \t \r\nX-A: b\r\nX-a:\r\nx-A: c\r\n\r\n')
    assert head.headers == {"etag": '"x"', "x-a": "b, , c"}
    assert (head.status, head.reason) == (200, "OK")


# -- chunks ----------------------------------------------------------------------------------


def unpacked(*pieces):
    chunks, body, view = Chunks(), b"", memoryview(bytearray(3))
    for piece in pieces:
        chunks.feed(piece)
        while count := chunks.take(view):
            body += bytes(view[:count])
    return body, chunks.ended, chunks.extra


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKS,
        b"5;name=value\r\nhello\r\n0\r\n\r\n",
        b'5;name="a b"\r\nhello\r\n0;last\r\n\r\n',
        b"5  \r\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n000\r\nX-Trailer: yes\r\nX-More: no\r\n\r\n",
    ],
)
def test_chunks_are_the_same_however_they_are_cut(raw):
    assert unpacked(raw) == (b"hello", True, False)
    for at in range(1, len(raw)):
        assert unpacked(raw[:at], raw[at:]) == (b"hello", True, False)
    assert unpacked(*[raw[at : at + 1] for at in range(len(raw))]) == (b"hello", True, False)


@pytest.mark.parametrize("more", [b"H", b"HTTP/1.1 200 OK\r\n", b"\0", b"5\r\n"])
def test_what_follows_the_last_chunk_is_noticed(more):
    assert unpacked(CHUNKS + more) == (b"hello", True, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"5\nhello\n0\n\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5;\nxx\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"fffffffffffffffff\r\nhello",
        b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        b"5\r\nhello\r\n0\r\n folded\r\n\r\n",
        b"0\r\nX: " + b"y" * 100_000,
        b"5;" + b"x" * 100_000,
    ],
)
def test_chunks_that_make_no_sense_are_refused(raw):
    with pytest.raises(ProtocolError):
        unpacked(raw)
