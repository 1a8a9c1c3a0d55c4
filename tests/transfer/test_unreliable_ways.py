"""A server whose HEADs or ranges cannot be used has the file all the same: it comes, once."""

import hashlib

import pytest

from neurofetch.engine import Dataset, Fetcher
from tests.engine_raw import RawServer
from tests.engine_world import NETWORK, OPTIONS, PART, QUICK, noise, planned, ran, until

LARGE = noise(3 * PART + 7, 5)
OTHER = noise(3 * PART + 7, 6)


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def response(status, headers="", body=b"", length=None):
    length = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n".encode() + body


class Bucket(RawServer):
    """One large object; `how` says what differs: it gets method, range or None, and may answer."""

    def __init__(self, how, etag=None):
        self.how, self.etag = how, etag or md5(LARGE)
        self.asked = []
        super().__init__(self._respond)

    def _respond(self, connection, head):
        method, target = head.decode("latin-1").split(" ")[:2]
        if "list-type" in target:
            page = (
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a.bin</Key>"
                f'<ETag>"{self.etag}"</ETag><Size>{len(LARGE)}</Size></Contents></ListBucketResult>'
            )
            connection.sendall(response(200, body=page.encode()))
            return
        lines = dict(
            line.lower().split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:-2]
        )
        span = None
        if "range" in lines:
            first, last = map(int, lines["range"].removeprefix("bytes=").split("-"))
            span = (first, min(last, len(LARGE) - 1))
        self.asked.append((method, span, lines))
        answer = self.how(method, span) or self.right(method, span)
        if answer is CLOSE:
            raise OSError
        connection.sendall(answer)

    def right(self, method, span, body=LARGE, etag=True):
        headers = f'ETag: "{self.etag}"\r\n' if etag else ""
        if method == "HEAD":
            return response(200, headers, length=len(LARGE))
        if span is None:
            return response(200, headers, body)
        headers += f"Content-Range: bytes {span[0]}-{span[1]}/{len(LARGE)}\r\n"
        return response(206, headers, body[span[0] : span[1] + 1])


CLOSE = object()


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    root = tmp_path / "data"
    root.mkdir()

    def fetched(server):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        with Fetcher(Dataset("test", "b"), root, network=NETWORK, rules=QUICK) as fetcher:
            report = ran(fetcher, planned(fetcher), OPTIONS)
        path = root / "a.bin"
        return report, path.read_bytes() if path.exists() else None

    return fetched


@pytest.mark.parametrize("answer", [404, 410, 403, 405, 501, 400, 500, 503, 520, "closes"])
def test_a_file_comes_in_parts_whatever_its_head_ends_with(fetch, answer):
    def how(method, _):
        if method == "HEAD":
            return CLOSE if answer == "closes" else response(answer)
        return None

    with Bucket(how) as server:
        report, data = fetch(server)
    assert report.ok, report.outcomes
    assert data == LARGE
    assert [span for _, span, _ in server.asked if span and span != (0, 0)]  # in parts
    assert sum(method == "HEAD" for method, _, _ in server.asked) <= 3


def test_a_header_that_is_said_twice_is_said(fetch):
    """Two ETags that are one are no other ETag, and no sign of a change."""

    def how(method, span):
        told = f'ETag: "{md5(LARGE)}"\r\n'.encode()
        return server.right(method, span).replace(told, told * 2)

    server = Bucket(how)
    with server:
        report, data = fetch(server)
    assert report.ok, report.outcomes
    assert data == LARGE


def spans(text):
    """Return an answer to each range, with some other Content-Range."""

    def how(_, span):
        if span is None:
            return None
        told = text.format(span[0], span[1], len(LARGE), span[0] + 1, span[1] + 1, len(LARGE) + 1)
        headers = f'ETag: "{md5(LARGE)}"\r\n' + (f"Content-Range: {told}\r\n" if told else "")
        return response(206, headers, LARGE[span[0] : span[1] + 1])

    return how


NO_PARTS = {
    "416": lambda _, span: span and response(416),
    "400": lambda _, span: span and response(400),
    "another total": spans("bytes {0}-{1}/{5}"),
    "another range": spans("bytes {3}-{4}/{2}"),
    "no range": spans(""),
    "always the first": spans("bytes 0-9/{2}"),
}


@pytest.mark.parametrize("name", NO_PARTS)
def test_where_no_part_ever_comes_the_whole_is_asked_for(fetch, name):
    with Bucket(NO_PARTS[name]) as server:
        report, data = fetch(server)
    assert report.ok, report.outcomes
    assert data == LARGE
    assert sum(method == "GET" and span is None for method, span, _ in server.asked) == 1


def test_parts_that_came_are_kept_when_another_is_refused_for_good(fetch, tmp_path):
    partial = tmp_path / "data/.neurofetch/partial"

    def noted():
        return any(len(log.read_bytes().splitlines()) > 1 for log in partial.glob("*.log"))

    def how(_, span):
        if not span or span[0] < 3 * PART:
            return None
        until(noted, 5)
        return response(416)

    with Bucket(how) as server:
        report, data = fetch(server)
    assert not report.ok
    assert data is None
    assert noted()
    assert all(span or method == "HEAD" for method, span, _ in server.asked)


@pytest.mark.parametrize("etag", ["an-opaque-tag", "0" * 32, f"{'0' * 32}-4"])
def test_parts_that_do_not_tell_the_etag_are_not_taken_where_the_server_tells_it(fetch, etag):
    """They may have been the answers to something else, and nothing else proves the bytes."""

    def how(_, span):
        return server.right("GET", span, OTHER, etag=False) if span else None

    server = Bucket(how, etag)
    with server:
        report, data = fetch(server)
    assert report.ok, report.outcomes
    assert data == LARGE
    parts = [span for _, span, _ in server.asked if span]
    assert len(parts) <= 4  # it is the habit of this server: none is asked for again
    assert sum(span is None and method == "GET" for method, span, _ in server.asked) <= 2


@pytest.mark.parametrize("body", [LARGE[:PART], LARGE], ids=["whole", "in parts"])
def test_the_second_download_goes_past_the_caches(tmp_path, monkeypatch, body):
    """A cache that is damaged, and does as it is told, is found out."""
    damaged = bytes([body[0] ^ 1]) + body[1:]

    class Cached(Bucket):
        def right(self, method, span, etag=True, **_):  # noqa: ARG002
            past = self.asked[-1][2].get("cache-control") == "no-cache"
            data, headers = body if past else damaged, f'ETag: "{md5(body)}"\r\n'
            if method == "HEAD":
                return response(200, headers, length=len(body))
            if span is None:
                return response(200, headers, data)
            headers += f"Content-Range: bytes {span[0]}-{span[1]}/{len(body)}\r\n"
            return response(206, headers, data[span[0] : span[1] + 1])

    monkeypatch.setitem(globals(), "LARGE", body)
    with Cached(lambda *_: None) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        with Fetcher(Dataset("test", "b"), tmp_path, network=NETWORK, rules=QUICK) as fetcher:
            report = ran(fetcher, planned(fetcher), OPTIONS)
    assert report.ok, report.outcomes
    assert (tmp_path / "a.bin").read_bytes() == body
    assert {one.verification.value for one in report} == {"md5-etag"}
    firsts = [lines for method, span, lines in server.asked if method == "GET"]
    assert "cache-control" not in firsts[0]
