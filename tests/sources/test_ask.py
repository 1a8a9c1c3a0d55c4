"""What a file is like now, as responses tell it; the rest of `ask` is in the contract."""

import pytest

from neurofetch.engine import Client, ListedSource
from neurofetch.errors import RefusedError
from neurofetch.model import Digest, RemoteFile
from neurofetch.sources.ask import ask, ask_head, renewed
from testbed.s3 import S3Server
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
