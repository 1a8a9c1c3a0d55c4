"""Whatever a server says ends in a response, or in an error of ours: never in another one."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from neurofetch.engine import Network
from neurofetch.errors import ProtocolError, ServerError, TransientError
from neurofetch.net.client import REDIRECTS, Client
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Chunks, Request, body_length, parse_head, redirected
from neurofetch.net.http1 import request_bytes as as_bytes
from neurofetch.net.retry import parse_retry_after
from tests.engine_raw import RawServer, ask

NETWORK = Network(connect_timeout=2.0, read_timeout=0.5, slow_window=0.5)
MANY = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])

HEADS = [
    b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "abc"\r\n\r\nhello',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 503 Slow Down\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 403 X\r\nServer: x\r\nContent-Length: 34\r\n\r\n<Error><Code>AccessDenied</Code></E",
]
ODD = [
    b"\xb2",
    b"\xff",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b";",
    b"-1",
    b"+",
    b"0x",
    b"9" * 5000,
    b"18446744073709551615",
    b"9223372036854775808",
    b"fffffffffffffffff",
    b"HTTP/1.1",
    b"Location: http://[bad/\r\n",
    b"Retry-After: Thu, 99 Foo 99999 99:99:99 GMT\r\n",
    b"Content-Encoding: x-klingon\r\n",
    b"Upgrade: h2c\r\nConnection: upgrade\r\n",
]
PIECES = re.compile(rb"\r\n|[A-Za-z-]+|[0-9]+|[^A-Za-z0-9]")


@st.composite
def said(draw):
    """What a server may say: nearly HTTP, or nothing of the kind."""
    pieces = PIECES.findall(draw(st.sampled_from(HEADS)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(pieces) - 1))
        new = draw(st.lists(st.sampled_from(ODD) | st.binary(max_size=5), max_size=2))
        pieces[at : at + draw(st.integers(0, 2))] = new or [b""]
    return b"".join(pieces)


@MANY
@given(said() | st.binary(max_size=300))
@example(b"HTTP/1.1 2\xb20 OK\r\nContent-Length: 5\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n")
def test_any_head(raw):
    try:
        head = parse_head(raw)
        length = body_length("GET", head)
    except ProtocolError:
        return
    assert 0 <= head.status < 1000
    assert length >= -2


@MANY
@given(said().map(lambda raw: raw.partition(b"\r\n\r\n")[2]) | st.binary(max_size=300))
def test_any_chunks(raw):
    chunks, view = Chunks(), memoryview(bytearray(7))
    with contextlib.suppress(ProtocolError):
        for at in range(0, len(raw), 3):
            chunks.feed(raw[at : at + 3])
            while chunks.take(view):
                pass
            if chunks.ended:
                break


def outcome(client, server):
    """Return what a request brings: the bytes, or the error."""
    try:
        with client.send(Request(server.url + "/f?secret=1")) as response:
            if response.status < 300:
                return response.read(1 << 16)
            return failure(response)
    except ServerError as error:
        return error


@FEW
@given(st.lists(said(), min_size=1, max_size=3))
def test_any_server(scripts):
    """Two requests on one client, read to their ends, the failures looked into."""
    with RawServer(*scripts, close=True) as server, Client(NETWORK) as client:
        for _ in range(2):
            told = outcome(client, server)
            assert "secret" not in str(told)


LOCATIONS = [
    "http://[bad/",
    "http://[::1",
    "http://host:99999/",
    "http://host:-1/",
    "http://host:" + "9" * 5000 + "/",
    "http://host:0/",
    "http://:80/",
    "ftp://host/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:,x",
    "http://a]b/",
    "//[x",
    "http://[::g]/",
    "http://\xb2:80\xb2/",
]


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_to_nowhere_is_an_error_of_ours(location, status):
    with pytest.raises(ProtocolError, match=r"http://host/f: a redirect") as caught:
        redirected(Request("http://host/f?secret=1"), status, location)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("location", ["http://[bad/", "http://h:99999/", "http://h:" + "9" * 5000])
def test_a_redirect_to_nowhere_is_told_at_once(location):
    raw = f"HTTP/1.1 307 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with RawServer(raw) as server, Client(NETWORK) as client:
        with pytest.raises(ProtocolError, match="a redirect"):
            ask(client, server)
        assert len(server.heads) == 1


HOSTS = ["a..b", "a" * 300, "x" * 64 + ".org", "xn--\x80", "%00", "-", ".", "1.2.3.4.5", "\xb2.org"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_redirect_to_a_host_that_is_none_is_a_host_that_is_not_found(host):
    raw = f"HTTP/1.1 302 X\r\nLocation: http://{host}/\r\nContent-Length: 0\r\n\r\n"
    with (
        RawServer(raw.encode("latin-1")) as server,
        Client(NETWORK) as client,
        pytest.raises((TransientError, ProtocolError)),
    ):
        ask(client, server)


latin1 = st.text(st.characters(max_codepoint=255), max_size=60)


@MANY
@given(
    st.sampled_from(["http://host/a/b?c", "https://host:8/"]),
    st.sampled_from(REDIRECTS),
    latin1
    | st.builds(
        "".join, st.lists(st.sampled_from(list("htps:/@[]?#.%5C\\8")) | latin1, max_size=9)
    ),
)
@example("http://host/", 301, "http://user:pass-word@other/x")
def test_any_redirect(url, status, location):
    try:
        new = redirected(Request(url, {"Authorization": "x", "A": "b"}), status, location)
    except ProtocolError:
        return
    parts = urlsplit(new.url)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert "@" not in parts.netloc
    same = parts.netloc == urlsplit(url).netloc
    assert ("Authorization" in new.headers) == same
    as_bytes("GET", parts.path or "/", parts.netloc, new.headers, None)


@MANY
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_request_is_sent_or_an_error(target, value):
    with contextlib.suppress(ProtocolError):
        raw = as_bytes("GET", target, "host", {"If-Match": value}, None)
        assert raw.count(b"\r\n") == 4


def test_a_header_that_http_cannot_carry_is_not_sent():
    with RawServer(HEADS[0]) as server, Client(NETWORK) as client:
        with pytest.raises(ProtocolError, match="'→', which HTTP cannot carry: not sent"):
            ask(client, server, headers={"If-Match": '"→"'})
        assert server.heads == []
        assert ask(client, server)[0] == 200


dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "", "x"]),
    st.integers(-9, 10**30),
    st.sampled_from(["Jan", "Foo", "²"]),
    st.integers(-9, 10**30),
    *[st.integers(-99, 10**10)] * 3,
    st.sampled_from(["GMT", "+9999", "-99999999999999999999", "é"]),
)


@MANY
@given(dates | st.text(st.sampled_from("0123456789.eE+-٣² "), max_size=12))
@example("9" * 5000)
@example("1." + "9" * 5000)
@example("Sun, 01 Jan " + "9" * 5000 + " 00:00:00 GMT")
@example("Sun, 01 Jan 2026 00:00:00 " + "9" * 5000)
def test_any_retry_after(text):
    seconds = parse_retry_after(text, 0.0)
    assert seconds is None or 0 <= seconds < float("inf")


@FEW
@given(said().map(lambda raw: raw.partition(b"\r\n\r\n")[2]) | st.binary(max_size=400))
@example(b"<html><title>" + b"x" * 70_000)
@example(b"<!--" * 20_000)
@example(
    b"<Error><Code>" + b"\xff" * 50 + b"</Code><Message>&#99999999999;\x1b[2J</Message></Error>"
)
def test_any_body_of_an_error(body):
    raw = b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with (
        RawServer(raw) as server,
        Client(NETWORK) as client,
        client.send(Request(server.url)) as response,
    ):
        error = failure(response)
    assert isinstance(error, ServerError)
    assert str(error).isprintable()
    assert len(str(error)) < 1000
