"""S3 buckets as a source: on our own server, and on moto."""

from __future__ import annotations

import contextlib
import itertools
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest

from neurofetch.engine import Attempts, Bucket, Client, S3Source
from neurofetch.errors import (
    MissingBucketError,
    MissingRemoteError,
    ProtocolError,
    RefusedError,
    UsageError,
)
from neurofetch.sources.ask import ask
from neurofetch.sources.s3 import parse_s3_url
from testbed.moto_s3 import MotoS3
from testbed.s3 import S3Object, S3Server
from tests.sources.contract import NETWORK, QUICK, ListingContract, Served, SourceContract, keys
from tests.sources.relay import Relay

LISTING = {"method": "LIST"}


def listing(*entries: str, goes_on: str = "false", token: str = "", prefixes=()) -> bytes:
    """A page as S3 writes it, of keys or of whole ``<Contents>``."""
    rows = [e if e.startswith("<") else contents(e) for e in entries]
    rows += [f"<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>" for p in prefixes]
    more = f"<IsTruncated>{goes_on}</IsTruncated>" if goes_on else ""
    more += f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    head = "<Name>b</Name><EncodingType>url</EncodingType>"
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return (
        f'<ListBucketResult xmlns="{space}">{head}{more}{"".join(rows)}</ListBucketResult>'.encode()
    )


def contents(key: str, size: object = 1, etag: str = "0" * 32) -> str:
    return (
        f"<Contents><Key>{escape(quote_plus(key, safe='/'))}</Key>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>"
    )


def source_of(url: str, network, rules, stack: contextlib.ExitStack, bucket: str = "b"):
    client = stack.enter_context(Client(network))
    attempts = Attempts(rules)
    return S3Source(client, Bucket(bucket, "us-west-2", url), attempts), client, attempts


class S3Contract(ListingContract):
    """What is the same for both servers."""

    base = "ds1/"

    def nonsense(self):
        a = self.base + "a"
        return [
            b"<ListBucketResult>",
            b"<NotAListBucketResult><IsTruncated>false</IsTruncated></NotAListBucketResult>",
            listing(a, goes_on="perhaps"),
            listing(a, goes_on="", token="more"),
            listing("<Contents><Size>1</Size></Contents>"),
            listing("<Contents><Key/><Size>1</Size></Contents>"),
            listing(a, "elsewhere/b"),
            listing(self.base[:-2]),
            listing(prefixes=("",)),
            listing(prefixes=(f"{self.base}no-slash",)),
            listing(prefixes=(self.base,)),
            listing(prefixes=(f"{self.base}two/levels/",)),
            listing(prefixes=("elsewhere/",)),
        ]

    def endless(self):
        a, b = self.base + "a", self.base + "b"
        return [
            [listing(a, goes_on="true")],
            [listing(a, goes_on="true", token="again")],
            [
                listing(a, goes_on="true", token="to"),
                listing(b, goes_on="true", token="fro"),
            ],
        ]

    def overlapping(self, files):
        names = sorted(files, reverse=True)
        rows = [contents(key, len(files[key])) for key in names]
        half = len(rows) // 2
        return [
            listing(*rows[: half + 1], goes_on="true", token="2"),
            listing(*rows[half - 1 :], goes_on="true", token="3"),
            listing(*rows[:1], rows[0], rows[-1]),
        ]


class TestS3Server(S3Contract):
    @pytest.fixture
    def serve(self):
        with contextlib.ExitStack() as stack:

            def serve(files, *, page_size=1000, network=NETWORK, rules=QUICK):
                s3 = stack.enter_context(S3Server({"b": files}, page_size=page_size))
                source, client, attempts = source_of(s3.url, network, rules, stack)
                return Served(source, client, attempts, {"*": s3}, s3, LISTING)

            yield serve


class TestTheRootOfABucket(SourceContract):
    """Keys with nothing before them."""

    serve = TestS3Server.serve


@pytest.mark.slow
class TestMoto(S3Contract):
    """moto closes every connection, and numbers, sorts and encodes in its own way."""

    unserved = frozenset({"newline"})  # its routes take a key to be one line

    @pytest.fixture
    def serve(self):
        with contextlib.ExitStack() as stack:
            names = (f"bucket-{number}" for number in itertools.count())

            def serve(files, *, page_size=1000, network=NETWORK, rules=QUICK):
                name = next(names)  # one process of moto has each name once
                moto = stack.enter_context(MotoS3(files, name))
                relay = stack.enter_context(Relay(moto.url, page_size))
                source, client, attempts = source_of(relay.url, network, rules, stack, name)
                return Served(source, client, attempts, {"*": relay}, relay, LISTING)

            yield serve


# -- what only buckets have ------------------------------------------------------------------------


@pytest.fixture
def bucket():
    """A bucket with a few files, and a source over it."""
    with contextlib.ExitStack() as stack:
        files = {"a.txt": b"a", "folder/b.txt": b"b"}
        s3 = stack.enter_context(S3Server({"b": files}))
        source, client, attempts = source_of(s3.url, NETWORK, QUICK, stack)
        yield Served(source, client, attempts, {"*": s3}, s3, LISTING)


def test_a_listing_takes_a_request_for_each_page_and_none_for_each_file(bucket):
    bucket.source.walk("")
    assert [one.method for one in bucket.lister.log] == ["LIST"]


def test_etags_are_told_without_quotes_and_with_the_number_of_parts(bucket):
    whole = bucket.lister.put("whole", S3Object(b"x" * 100))
    parts = bucket.lister.put("parts", S3Object(b"x" * 100, part_size=30))
    told = {file.key: file.etag for file in bucket.source.walk("")}
    assert told["whole"] == whole.etag.strip('"')
    assert told["parts"] == parts.etag.strip('"')
    assert told["parts"].endswith("-4")


def test_a_bucket_that_does_not_exist_is_named(bucket):
    source = S3Source(bucket.client, Bucket("nothing", None, bucket.lister.url), bucket.attempts)
    with pytest.raises(MissingBucketError, match="there is no bucket 'nothing'"):
        source.walk("")


def test_a_listing_that_is_refused_is_told_as_refused(bucket):
    bucket.fault(status=403)
    with pytest.raises(RefusedError, match="AccessDenied"):
        bucket.source.walk("")


def test_a_file_that_is_gone_since_it_was_listed_is_missing(bucket):
    (file,) = bucket.source.walk("a")
    bucket.lister.delete("a.txt")
    with pytest.raises(MissingRemoteError):
        ask(bucket.client, bucket.source, file, {})


def test_a_server_that_does_not_group_by_folder_gives_no_level(bucket):
    bucket.fault(status=200, body=listing("a.txt", "folder/b.txt"))
    with pytest.raises(ProtocolError, match=r"folder/b\.txt"):
        bucket.source.level("")
    assert keys(bucket.source.walk("")) == ["a.txt", "folder/b.txt"]


def test_keys_that_come_plain_are_taken_plain(bucket):
    page = listing("<Contents><Key>50%25+1.txt</Key><Size>3</Size></Contents>")
    bucket.fault(status=200, body=page.replace(b"<EncodingType>url</EncodingType>", b""))
    (file,) = bucket.source.walk("")
    assert file.key == "50%25+1.txt"
    assert file.url.endswith("/b/50%2525%2B1.txt")
    assert file.etag is None


@pytest.mark.parametrize(
    ("bucket_", "base"),
    [
        (Bucket("b"), "https://b.s3.amazonaws.com/"),
        (Bucket("b", "eu-central-1"), "https://b.s3.eu-central-1.amazonaws.com/"),
        (Bucket("a.b", "us-west-2"), "https://s3.us-west-2.amazonaws.com/a.b/"),
        (Bucket("b", "us-west-2", "http://127.0.0.1:9"), "http://127.0.0.1:9/b/"),
    ],
)
def test_where_a_bucket_is(bucket_, base):
    assert bucket_.base == base
    assert bucket_.url("a b/c+%?#é") == base + "a%20b/c%2B%25%3F%23%C3%A9"


@pytest.mark.parametrize("key", ["ds/sub-01/a b+c%2Bé?#.nii.gz", "ds", ""])
@pytest.mark.parametrize("name", ["b", "a.b"])
@pytest.mark.parametrize("region", [None, "us-west-2", "cn-north-1"])
@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9"])
def test_the_web_address_of_an_object_names_the_object(name, region, endpoint, key, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    assert parse_s3_url(Bucket(name, region, endpoint).url(key)) == (name, key)


@pytest.mark.parametrize(
    "url",
    [
        "S3://b/ds/x",
        "https://b.s3-us-west-2.amazonaws.com/ds/x",
        "https://b.s3.dualstack.us-west-2.amazonaws.com/ds/x",
        "HTTPS://B.S3.amazonaws.com/ds/x".replace("B.", "b."),
        "http://s3.amazonaws.com/b/ds/x",
    ],
)
def test_other_spellings_of_an_address_will_do(url):
    assert parse_s3_url(url) == ("b", "ds/x")


@pytest.mark.parametrize(
    "url",
    [
        "https://b.s3.amazonaws.com/ds/x?versionId=3",
        "https://b.s3.amazonaws.com.evil.org/ds/x",
        "https://evil.org/b.s3.amazonaws.com/ds/x",
        "https://s3.amazonaws.com/",
        "https://s3.amazonaws.com",
        "ftp://s3.amazonaws.com/b/ds",
    ],
)
def test_what_is_no_address_of_an_object_is_none(url):
    with pytest.raises(UsageError, match=r"s3://openneuro\.org/ds000001"):
        parse_s3_url(url)


@pytest.mark.parametrize(
    "url", ["", "b", "http://b/p", "s3://", "s3:///p", "s3://b?x/p", "s3://b c/"]
)
def test_what_is_no_s3_url_says_what_one_looks_like(url):
    with pytest.raises(UsageError, match=r"s3://openneuro\.org/ds000001"):
        parse_s3_url(url)
