"""Buckets of AWS that live in another region than was thought: neurofetch goes there, or says so.

AWS is played by a proxy: it takes the connection to any host, and answers in its name.
"""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from shutil import which

import pytest

from neurofetch.engine import Attempts, Bucket, Client, Network, S3Source
from neurofetch.errors import ProtocolError
from neurofetch.sources.mirrors import base_of
from tests.engine_raw import RawServer
from tests.sources.contract import keys
from tests.sources.test_s3 import listing
from tests.sources.test_s3_listings import QUICK, error, response


@pytest.fixture(scope="module")
def aws_certificate(tmp_path_factory):
    """Return the files of a certificate for the hosts of AWS, and of its key."""
    openssl = which("openssl")
    if openssl is None:
        pytest.skip("no openssl binary to make a certificate with")
    folder = tmp_path_factory.mktemp("aws")
    cert, key = folder / "cert.pem", folder / "key.pem"
    hosts = [
        "b.s3.amazonaws.com",
        *(f"b.s3.{one}.amazonaws.com" for one in ("aa-here-1", "bb-there-2")),
    ]
    names = ",".join(f"DNS:{host}" for host in [*hosts, "b.s3.cn-north-1.amazonaws.com.cn"])
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=aws", "-addext", f"subjectAltName={names}"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, "req", "-x509", *ec, *names, *files], check=True, capture_output=True)
    return cert, key


class Aws:
    """Answers for each host as it is told; remembers which hosts were asked."""

    def __init__(self, certificate, answers):
        self.asked = []
        self._answers = answers
        self._certificate = certificate
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self.proxy = RawServer(self._connect)

    def _connect(self, connection, head):
        host = head.split(b" ")[1].decode().partition(":")[0]
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with self._context.wrap_socket(connection, server_side=True) as secured:
            while b"\r\n\r\n" not in (head := secured.recv(65536)):
                if not head:
                    break
            self.asked.append(host)
            secured.sendall(self._answers[host])
        raise OSError

    def walked(self, region):
        with self.source(region) as source:
            return keys(source.walk("")), source

    @contextlib.contextmanager
    def source(self, region):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.proxy)
            network = Network(
                ca_bundle=str(self._certificate[0]),
                proxies={"https": self.proxy.url},
                read_timeout=2.0,
            )
            client = stack.enter_context(Client(network))
            yield S3Source(client, Bucket("b", region), Attempts(QUICK))


def moved(status="301 Moved Permanently", headers="", code="PermanentRedirect", **more):
    return response(error(code, **more), status, f"{headers}Connection: close\r\n")


HERE = response(listing("a"), headers="Connection: close\r\n")
ELSEWHERE = {
    "a header": moved(headers="x-amz-bucket-region: bb-there-2\r\n"),
    "a region in the body": moved(
        "400 X", code="AuthorizationHeaderMalformed", Region="bb-there-2"
    ),
    "an endpoint in the body": moved(Endpoint="b.s3.bb-there-2.amazonaws.com"),
    "an endpoint in the old way": moved(Endpoint="b.s3-bb-there-2.amazonaws.com"),
    "a redirect for a while": moved(
        "307 Temporary Redirect", Endpoint="b.s3.bb-there-2.amazonaws.com"
    ),
    "the wrong place": moved(
        "400 X", "x-amz-bucket-region: bb-there-2\r\n", "IllegalLocationConstraintException"
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("region", ["aa-here-1", None])
def test_a_bucket_is_found_in_its_region(name, region, aws_certificate):
    first = f"b.s3.{region}.amazonaws.com" if region else "b.s3.amazonaws.com"
    aws = Aws(aws_certificate, {first: ELSEWHERE[name], "b.s3.bb-there-2.amazonaws.com": HERE})
    found, source = aws.walked(region)
    assert found == ["a"]
    assert aws.asked == [first, "b.s3.bb-there-2.amazonaws.com"]
    assert source.bucket.region == "bb-there-2"


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("prefix", ["", "copy", "copy/of it/"])
def test_files_of_a_mirror_are_asked_for_in_its_region(name, prefix, aws_certificate):
    there = "b.s3.bb-there-2.amazonaws.com"
    aws = Aws(aws_certificate, {"b.s3.aa-here-1.amazonaws.com": ELSEWHERE[name], there: HERE})
    with aws.source("aa-here-1") as source:
        found = base_of(source, prefix)
    assert found == f"https://{there}/" + {"": "", "copy": "copy/"}.get(prefix, "copy/of%20it/")


def test_files_of_a_mirror_that_may_not_be_listed_are_asked_for_nevertheless(aws_certificate):
    host = "b.s3.aa-here-1.amazonaws.com"
    refused = response(error("AccessDenied"), "403 Forbidden", "Connection: close\r\n")
    aws = Aws(aws_certificate, {host: refused})
    with aws.source("aa-here-1") as source:
        assert base_of(source, "copy") == f"https://{host}/copy/"


def test_a_bucket_in_china_is_found(aws_certificate):
    host = "b.s3.cn-north-1.amazonaws.com.cn"
    aws = Aws(aws_certificate, {host: HERE})
    assert aws.walked("cn-north-1")[0] == ["a"]
    assert aws.asked == [host]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (moved(), "at another place"),
        (moved(Endpoint="b.s3.example.edu"), "at b.s3.example.edu"),
        (moved(headers="x-amz-bucket-region: evil.org/\r\n"), "at another place"),
        (moved("400 X", code="IllegalLocationConstraintException"), "at another place"),
        (moved(headers="x-amz-bucket-region: aa-here-1\r\n"), "in the region aa-here-1"),
    ],
)
def test_a_bucket_that_is_nobody_knows_where_says_what_to_do(answer, words, aws_certificate):
    host = "b.s3.aa-here-1.amazonaws.com"
    aws = Aws(aws_certificate, {host: answer})
    with pytest.raises(ProtocolError) as caught:
        aws.walked("aa-here-1")
    assert f"says that the bucket 'b' is {words}" in str(caught.value)
    assert "Set AWS_REGION to the region of the bucket" in str(caught.value)
    assert aws.asked == [host]


def test_regions_that_send_to_each_other_end(aws_certificate):
    here, there = (
        moved(headers=f"x-amz-bucket-region: {region}\r\n")
        for region in ("bb-there-2", "aa-here-1")
    )
    aws = Aws(
        aws_certificate,
        {"b.s3.aa-here-1.amazonaws.com": here, "b.s3.bb-there-2.amazonaws.com": there},
    )
    with pytest.raises(ProtocolError, match="Set AWS_REGION"):
        aws.walked("aa-here-1")
    assert len(aws.asked) == 2
