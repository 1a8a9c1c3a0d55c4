"""What a file is like now, as responses tell it; the rest of `ask` is in the contract."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.engine import Client, ListedSource
from neurofetch.errors import RefusedError, RemoteChangedError, TransientError
from neurofetch.model import Digest, RemoteFile
from neurofetch.sources.ask import (
    NoRangesError,
    ask,
    ask_first,
    ask_head,
    ask_part_length,
    check_answer,
    renewed,
    version_told,
)
from testbed.s3 import S3Object, S3Server
from tests.engine_raw import RawServer
from tests.sources.contract import NETWORK

CONTENT = b"0123456789"


class Signed(ListedSource):
    """A list of files whose addresses are said to be signed."""

    def __init__(self, files):
        super().__init__(files)
        self.asked = []

    def address(self, remote, *, fresh=False):
        self.asked.append(fresh)
        return super().address(remote)

    def signed(self, remote):  # noqa: ARG002
        return True


@pytest.fixture
def s3():
    with S3Server({"b": {"f": CONTENT, "empty": b""}}) as s3:
        yield s3


@pytest.fixture
def client():
    with Client(NETWORK) as client:
        yield client


def remote(s3, key="f", size=10):
    return RemoteFile(key, f"{s3.url}/b/{key}", size)


@pytest.mark.parametrize(("key", "size"), [("f", 10), ("f", None), ("f", 3), ("empty", 0)])
@pytest.mark.parametrize("kind", [ListedSource, Signed])
def test_the_size_is_that_of_now(s3, client, kind, key, size):
    headers = ask_head(client, kind([]), remote(s3, key, size))
    assert headers["content-length"] == str(len(s3.stored(key).blob.read(0, 99)))
    assert headers["etag"] == s3.stored(key).etag


def test_a_server_that_gives_the_whole_for_its_first_byte_tells_the_size_too(s3, client):
    s3.fault(key="f", ignore_range=True)
    assert ask_head(client, Signed([]), remote(s3))["content-length"] == "10"


@pytest.mark.parametrize("told", ["bytes 0-0/*", "bytes 0-0", "", "bytes 0-0/ten"])
def test_a_size_that_the_server_does_not_tell_is_absent(s3, client, told):
    s3.fault(key="f", content_range=told)
    headers = ask_head(client, Signed([]), remote(s3))
    assert "content-length" not in headers
    assert renewed(remote(s3), headers).size is None


def test_a_refusal_is_answered_with_a_fresh_address_where_addresses_are_signed_alone(s3, client):
    s3.fault(key="f", status=403)
    for source, requests in ((ListedSource([]), 1), (Signed([]), 2)):
        s3.clear_log()
        with pytest.raises(RefusedError):
            ask(client, source, remote(s3), {})
        assert len(s3.requests()) == requests
    assert source.asked == [False, True]


@pytest.mark.parametrize(
    ("known", "told", "etag"),
    [
        ("a", '"b"', "b"),
        (None, '"b"', "b"),
        (None, 'W/"b"', None),
        ("a", "", None),
    ],
)
def test_what_an_object_has_become_is_what_the_headers_say(known, told, etag):
    old = RemoteFile("k", "http://h/k", 1, known, "then", Digest("md5", "0"))
    new = renewed(old, {"etag": told, "content-length": "7", "last-modified": "now"})
    assert new == RemoteFile("k", "http://h/k", 7, etag, "now")


@pytest.mark.parametrize("told", ["", "-1", "7.0", "²", "seven"])
def test_a_length_that_is_no_number_is_unknown(told):
    assert renewed(RemoteFile("k", "http://h/k", 1), {"content-length": told}).size is None


# -- an answer belongs to a request by proof -------------------------------------------------


def answer(status, length, **headers):
    """Return what `check_answer` looks at: a response's head."""
    return SimpleNamespace(
        status=status,
        length=length,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


FILE = RemoteFile("k", "http://h/k", 10, "abc")


@pytest.mark.parametrize(
    ("said", "span"),
    [
        (answer(200, 10, etag='"abc"'), None),
        (answer(200, None, etag='W/"abc-gzip"'), None),
        (answer(203, 10), None),
        (answer(206, 10, etag='"abc"', content_range="bytes 0-9/10"), None),
        (answer(206, 4, etag='"abc"', content_range="bytes 2-5/10"), (2, 5)),
        (answer(206, None, content_range="bytes 2-5/10"), (2, 5)),
        (answer(206, 4, etag='"abc"', content_range="bytes 2-5/*"), (2, 5)),
        (answer(206, 4, etag='"abc"', content_range="2-5/*"), (2, 5)),
        (answer(206, 4, etag='"abc"', content_range="Bytes=2-5/10"), (2, 5)),
        (answer(200, 10, etag='"abc"'), (0, 9)),
    ],
)
def test_an_answer_that_its_head_proves_is_taken(said, span):
    check_answer(said, FILE, span)


@pytest.mark.parametrize(
    ("said", "span", "error"),
    [
        (answer(200, 10, etag='"abd"'), None, RemoteChangedError),
        (answer(200, 10, etag='W/"abd"'), None, RemoteChangedError),
        (answer(200, 10, etag='"abd"'), (0, 9), RemoteChangedError),
        (answer(206, 4, etag='"abd"', content_range="bytes 2-5/10"), (2, 5), RemoteChangedError),
        (answer(200, 9, etag='"abc"'), None, TransientError),
        (answer(200, 0, etag='"abc"'), None, TransientError),
        (answer(204, None, etag='"abc"'), None, TransientError),
        (answer(206, 10, etag='"abc"'), None, TransientError),
        (answer(206, 4, etag='"abc"', content_range="bytes 2-5/11"), (2, 5), TransientError),
        (answer(206, 4, etag='"abc"', content_range="bytes 1-4/10"), (2, 5), TransientError),
        (answer(206, 4, etag='"abc"', content_range="bytes */10"), (2, 5), TransientError),
        (answer(206, 3, etag='"abc"', content_range="bytes 2-5/10"), (2, 5), TransientError),
        (answer(206, 4, content_range="bytes 2-5/*"), (2, 5), TransientError),
        (answer(206, 3, etag='"abc"', content_range="bytes 2-5/*"), (2, 5), TransientError),
        (answer(206, None, etag='"abc"', content_range="bytes 2-5/*"), (2, 5), TransientError),
        (answer(206, 4, etag='"abc"', content_range="9" * 5_000), (2, 5), TransientError),
        (answer(206, 4, etag='"abc"'), (2, 5), TransientError),
        (answer(200, 77), (2, 5), TransientError),
        (answer(200, 10, etag='"abc"'), (2, 5), NoRangesError),
    ],
)
def test_an_answer_to_something_else_is_never_taken(said, span, error):
    with pytest.raises(error):
        check_answer(said, FILE, span)


def test_without_a_condition_each_part_must_tell_its_etag():
    part = answer(206, 4, content_range="bytes 2-5/10")
    check_answer(part, FILE, (2, 5))
    with pytest.raises(NoRangesError):
        check_answer(part, FILE, (2, 5), told=True)


@given(
    status=st.sampled_from([200, 203, 204, 206, 226]),
    length=st.none() | st.integers(0, 20),
    etag=st.sampled_from(["", '"abc"', 'W/"abc"', '"other"', '"', "W/"]),
    ranged=st.text(max_size=30) | st.sampled_from(["bytes 2-5/10", "bytes 2-5/*", "bytes 0-9/10"]),
    span=st.none() | st.just((2, 5)),
)
def test_whatever_a_head_says_it_is_taken_or_an_error_of_ours(status, length, etag, ranged, span):
    said = answer(status, length, etag=etag, content_range=ranged)
    try:
        check_answer(said, FILE, span)
    except (NoRangesError, RemoteChangedError, TransientError):
        return
    assert etag != '"other"'
    assert length in (None, 10 if span is None else 4)


def test_the_first_byte_tells_of_the_whole_also_where_there_is_none(s3, client):
    headers = ask_first(client, ListedSource([]), remote(s3))
    assert headers["content-length"] == "10"
    headers = ask_first(client, ListedSource([]), remote(s3, "empty", 10))  # it was longer once
    assert headers["content-length"] == "0"
    assert [request.range for request in s3.requests("GET", "empty")] == ["bytes=0-0", ""]


@pytest.mark.parametrize("tells", [True, False])
def test_the_parts_of_an_upload_are_told_where_the_server_tells_them(s3, client, tells):
    s3.put("up", S3Object(CONTENT, cuts=(5, 2, 3)))
    s3.tells_parts = tells
    etag = s3.stored("up").etag.strip('"')
    up = replace(remote(s3, "up"), etag=etag)
    source = ListedSource([])
    found = [ask_part_length(client, source, up, number, 3) for number in (1, 2, 3, 4)]
    assert found == ([5, 2, 3, None] if tells else [None] * 4)
    assert ask_part_length(client, source, replace(up, etag="other"), 1, 3) is None
    assert ask_part_length(client, source, up, 1, 4) is None  # it is another upload
    assert ask_part_length(client, Signed([]), up, 1, 3) is None


@pytest.mark.parametrize("length", ["5" * 5_000, "-1", "x", "\u00b2"])
def test_a_length_of_a_part_that_is_no_number_is_unknown(s3, client, length):
    s3.put("up", S3Object(CONTENT, cuts=(5, 2, 3)))
    script = f'HTTP/1.1 200 OK\r\nETag: "abc"\r\nContent-Length: {length}\r\n\r\n'
    with RawServer(script.encode("utf-8")) as server:
        up = RemoteFile("up", f"{server.url}/up", 10, "abc")
        assert ask_part_length(client, ListedSource([]), up, 1, 3) is None


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("4BG3vx4rL4e8MRBSPNxdKu3hTyttqbq5", "4BG3vx4rL4e8MRBSPNxdKu3hTyttqbq5"),
        (" a.b_c-d ", "a.b_c-d"),
        ("null", ""),
        ("", ""),
        ("a b", ""),
        ("a&b=c", ""),
        ("x" * 129, ""),
    ],
)
def test_a_version_is_what_s3_counts_and_nothing_else(told, version):
    assert version_told({"x-amz-version-id": told}) == version
    assert version_told({}) == ""
