"""A small file that is read into memory is verified as one that goes to the disk."""

import pytest

from neurofetch.engine import Attempts, Client, Dataset, Network, RetryRules, S3Source, bucket_of
from neurofetch.errors import (
    MissingRemoteError,
    ProtocolError,
    RefusedError,
    ServerError,
    UnreachableError,
    VerificationError,
)
from neurofetch.transfer.body import body
from testbed.s3 import S3Object, S3Server

CONTENT = b"onset\tstim_file\n1\tcat.jpg\n" * 20
KEY = "ds/sub-01_events.tsv"
RULES = RetryRules(attempts=3, base=0.005, cap=0.02, max_wait=0.3)


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"b": {KEY: S3Object(CONTENT)}}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def read(limit=10_000, patience=0.0):
    network = Network(connect_timeout=3.0, read_timeout=0.4, patience=patience)
    client = Client(network)
    try:
        attempts = Attempts(RULES, outages=client.outages)
        source = S3Source(client, bucket_of(Dataset("t", "b")), attempts)
        (remote,) = source.walk(KEY)
        return body(client, source, remote, attempts, limit=limit)
    finally:
        client.close()


def gets(s3):
    return len(s3.requests("GET", KEY))


def test_it_takes_one_request(s3):
    assert read() == CONTENT
    assert gets(s3) == 1
    assert not s3.requests("HEAD")


@pytest.mark.parametrize("fault", [{"status": 503}, {"cut_after": 30}, {"reset": True}])
def test_what_passes_is_asked_for_again(s3, fault):
    s3.fault(KEY, method="GET", times=1, **fault)
    assert read() == CONTENT


def test_bytes_that_are_damaged_on_the_way_are_never_returned(s3):
    s3.fault(KEY, method="GET", times=1, flip=7)
    assert read() == CONTENT
    s3.fault(KEY, method="GET", flip=7)
    with pytest.raises(VerificationError):
        read()


@pytest.mark.parametrize("same", [True, False])
def test_an_etag_that_is_no_checksum_is_settled_by_a_second_answer(s3, same):
    s3.put(KEY, S3Object(CONTENT, forced_etag="0" * 32, checksum=None))
    if not same:
        s3.fault(KEY, method="GET", times=1, flip=7)
        with pytest.raises(VerificationError):
            read()
    else:
        assert read() == CONTENT
    assert gets(s3) == 2


def test_a_listing_that_tells_another_etag_than_the_object_is_no_change(s3):
    s3.lie(KEY, etag="1" * 32)
    assert read() == CONTENT


def test_more_than_the_limit_is_not_read(s3):
    with pytest.raises(ProtocolError, match="more than 99 bytes"):
        read(limit=99)


@pytest.mark.parametrize(("status", "error"), [(403, RefusedError), (404, MissingRemoteError)])
def test_what_the_server_does_not_give_is_an_error_of_its_own(s3, status, error):
    s3.fault(KEY, method="GET", status=status)
    with pytest.raises(error):
        read()


def test_a_web_page_in_its_place_is_not_taken_for_it(s3):
    page = {"body": b"<!doctype html><html></html>", "headers": {"Content-Type": "text/html"}}
    s3.fault(KEY, method="GET", status=200, **page)
    with pytest.raises(ServerError):
        read()


def test_a_network_that_is_away_is_waited_for_no_longer_than_the_patience(s3):
    s3.fault(KEY, method="GET", reset=True)
    with pytest.raises(UnreachableError):
        read()
