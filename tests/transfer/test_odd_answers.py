"""One object about which a server says odd things fails by name; the others come."""

import hashlib

import pytest

from neurofetch.engine import Dataset, Fetcher
from neurofetch.model import Status
from tests.engine_raw import RawServer
from tests.engine_world import NETWORK, PART, QUICK, World, noise, planned, ran

SMALL, LARGE = b"hello", noise(3 * PART + 7, 5)


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def raw(status="200 OK", headers="", body=b"", length=None):
    count = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {count}\r\n\r\n"
    return head.encode("utf-8") + body


ANSWERS = {
    "a redirect to http://[bad/": raw("307 X", "Location: http://[bad/\r\n"),
    "a redirect to port 99999": raw("302 X", "Location: http://host:99999/\r\n"),
    "a redirect to a port of 5,000 digits": raw("302 X", f"Location: http://h:{'9' * 5000}/\r\n"),
    "a redirect to a file": raw("301 X", "Location: file:///etc/passwd\r\n"),
    "a redirect to itself": raw("301 X", "Location: /b/a.txt\r\n"),
    "a status of superscripts": b"HTTP/1.1 2\xb20 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a length of 5,000 digits": raw(length="1" * 5000, body=SMALL),
    "a length beyond reason": raw(length=2**63, body=SMALL),
    "a length of superscripts": raw(length="²", body=SMALL),
    "a range of 5,000 digits": raw(
        "206 X", f"Content-Range: bytes 0-4/{'9' * 5000}\r\n", body=SMALL
    ),
    "a range of superscripts": raw("206 X", "Content-Range: bytes 0-²/⁵\r\n", body=SMALL),
    "an ETag beyond ASCII": raw(headers='ETag: "→"\r\n', body=SMALL),
    "an ETag of 9 kB": raw(headers=f'ETag: "{"x" * 9000}"\r\n', body=SMALL),
    "a Retry-After of 5,000 digits": raw("429 X", f"Retry-After: {'0' * 5000}\r\n"),
    "a Retry-After that is no date": raw("503 X", "Retry-After: 0, 99 Foo 99999\r\n"),
    "an unknown encoding": raw(
        "400 X",
        "Content-Type: text/html; charset=klingon\r\nContent-Encoding: x\r\n",
        body=b"<?xml version='1.0' encoding='klingon'?><Error><Code>\xff</Code></Error>",
    ),
    "a checksum that is none": raw(
        headers="x-amz-checksum-crc32: ²²\r\nx-amz-checksum-type: →\r\n", body=SMALL
    ),
    "dates that are none": raw(headers="Last-Modified: →\r\nDate: 99\r\n", body=SMALL),
    "nothing but a line": b"\r\n\r\n",
    "not HTTP": b"\0\xff" * 99 + b"\r\n\r\n",
}


class Odd:
    """A bucket with an odd object among others."""

    def __init__(self, objects, answer):
        self.objects, self.answer = objects, answer
        self.server = RawServer(self._respond)

    def _respond(self, connection, head):
        method, target = head.decode("latin-1").split(" ")[:2]
        if "list-type" in target:
            connection.sendall(raw(body=self._page()))
            return
        key = target.rpartition("/")[2]
        if key.startswith("a."):
            said = self.answer
            connection.sendall(
                said.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else said
            )
            connection.close()
            raise OSError
        body = self.objects[key]
        etag = f'ETag: "{md5(body)}"\r\n'
        connection.sendall(raw(headers=etag, body=b"" if method == "HEAD" else body))

    def _page(self):
        rows = "".join(
            f'<Contents><Key>{key}</Key><ETag>"{md5(body)}"</ETag><Size>{len(body)}</Size></Contents>'
            for key, body in self.objects.items()
        )
        return f"<ListBucketResult>{rows}</ListBucketResult>".encode()


@pytest.mark.parametrize("key", ["a.txt", "a.bin"])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_fails_its_object_and_no_other(name, key, tmp_path, monkeypatch):
    body = SMALL if key == "a.txt" else LARGE
    odd = Odd({key: body, "y.txt": b"y", "z.txt": b"world"}, ANSWERS[name])
    with odd.server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", odd.server.url)
        monkeypatch.setenv("no_proxy", "*")
        dataset = Dataset("test", "b")
        with Fetcher(dataset, tmp_path, network=NETWORK, rules=QUICK) as fetcher:
            report = ran(fetcher, planned(fetcher))
    outcomes = {outcome.path: outcome for outcome in report.outcomes}
    assert (tmp_path / "y.txt").read_bytes() == b"y"
    assert (tmp_path / "z.txt").read_bytes() == b"world"
    if outcomes[key].status is Status.FETCHED:
        # with another ETag, of HEAD and GET alike, it is another object now
        assert (tmp_path / key).read_bytes() in (body, SMALL)
    else:
        assert not (tmp_path / key).exists()
        assert outcomes[key].reason.isprintable()


def test_a_part_on_a_connection_that_drips_is_asked_for_again_elsewhere(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        content = world.put("large", noise(4 * PART, 6))
        world.put("small", b"s")
        span = f"bytes={PART}-{2 * PART - 1}"
        world.s3.fault(key="large", method="GET", byte_range=span, times=1, rate=500)
        report = world.fetch()
        assert report.ok
        assert world.files() == {"large": content, "small": b"s"}
        end = f"-{2 * PART - 1}"
        dripped, again = [one for one in world.gets("large") if one.range.endswith(end)]
        assert dripped.connection != again.connection
        assert dripped.range == span
        first = int(again.range.removeprefix("bytes=").partition("-")[0])
        assert PART < first < 2 * PART, "what dripped in is not asked for again"
