"""A bucket of AWS in another region than was thought: asked there, and signed for there.

The names of AWS lead to this machine here; certificates, ports and answers are as AWS has them.
"""

from __future__ import annotations

import socket
import ssl

import pytest

import neurofetch
from neurofetch.credentials.access import Access
from neurofetch.engine import Network
from neurofetch.errors import NeurofetchError, TransientError
from neurofetch.model import IncompleteError
from neurofetch.net.client import Client
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from testbed._guard import Guard
from testbed._objects import xml_error
from testbed._tls import certify
from testbed.s3 import S3Server
from tests.credential_world import DATASET, SECRETS, forget_aws, keys_of, lock_of, static

BUCKET = "my.data"  # with a dot, the bucket's name is in the path
GLOBAL, THERE = "s3.amazonaws.com", "s3.eu-west-1.amazonaws.com"


class Regional(Guard):
    """AWS as it answers at the name without a region, and at another region's."""

    said = None

    def refusal(self, request):
        host = request.headers["host"]
        if host == THERE:
            return super().refusal(request)
        assert "authorization" in request.headers
        return self.said


MOVED = {
    "301 with a header": (301, "PermanentRedirect", {}, {"x-amz-bucket-region": "eu-west-1"}),
    "301 with an endpoint": (301, "PermanentRedirect", {"Endpoint": THERE}, {}),
    "307 with a location": (
        307,
        "TemporaryRedirect",
        {"Endpoint": THERE},
        {"Location": f"https://{THERE}/{BUCKET}/"},
    ),
    "400 with the region": (400, "AuthorizationHeaderMalformed", {"Region": "eu-west-1"}, {}),
}


@pytest.fixture
def aws(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    forget_aws(monkeypatch, home)
    (home / "credentials").write_text(f"[lab]\n{static()}")
    made = certify(home, GLOBAL, THERE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(made.authority))
    guard = Regional(keys_of(), region="eu-west-1")
    with S3Server({BUCKET: DATASET}, guard=guard, tls=context) as server:
        real = socket.getaddrinfo

        def here(host, port, *args, **how):
            if str(host).endswith(".amazonaws.com"):
                assert port == 443
                host, port = "127.0.0.1", server.port
            return real(host, port, *args, **how)

        monkeypatch.setattr(socket, "getaddrinfo", here)
        yield server


@pytest.mark.parametrize("case", MOVED)
def test_the_region_that_aws_names_is_asked_and_signed_for(case, aws, tmp_path):
    status, code, details, headers = MOVED[case]
    told = xml_error(status, code, "elsewhere", **details)
    aws.guard.said = told.__class__(status, {**told.headers, **headers}, told.blob)
    neurofetch.get(f"s3://{BUCKET}", tmp_path / "data", profile="lab", progress="none")
    data = tmp_path / "data"
    assert {key: (data / key).read_bytes() for key in DATASET} == DATASET
    asked = [(request.headers["host"], request.status) for request in aws.log]
    wrong = [host for host, status in asked if host == GLOBAL]
    assert len(wrong) == 1
    assert {status for host, status in asked if host == THERE} == {200}


def test_a_redirect_that_leads_out_of_aws_is_not_followed_with_a_signature(aws, tmp_path):
    with S3Server({BUCKET: DATASET}) as other:
        told = xml_error(307, "TemporaryRedirect", "elsewhere")
        headers = {**told.headers, "Location": f"{other.url}/{BUCKET}/"}
        aws.guard.said = told.__class__(307, headers, told.blob)
        with pytest.raises(NeurofetchError) as caught:
            neurofetch.get(f"s3://{BUCKET}", tmp_path / "data", profile="lab", progress="none")
        assert other.log == []
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("status", [301, 400, 403])
def test_a_region_is_learnt_from_an_answer_without_a_body(status, aws, monkeypatch):
    monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
    told = xml_error(status, "", "")
    headers = {**told.headers, "x-amz-bucket-region": "eu-west-1"}
    aws.guard.said = told.__class__(status, headers, told.blob)
    signer = Access.checked(profile="lab").signer(Network.from_environment(), None)
    with Client(Network.from_environment()) as client:
        client.sign_for(f"https://{GLOBAL}/{BUCKET}/", signer)
        with client.send(Request(f"https://{GLOBAL}/{BUCKET}/x", method="HEAD")) as response:
            assert isinstance(failure(response), TransientError)
    assert signer.region == "eu-west-1"


@pytest.mark.parametrize("way", ["the lock's own source", "a place"])
def test_other_buckets_at_the_same_server_get_no_signature_from_a_lock(
    way, aws, tmp_path, monkeypatch
):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
    others = {key for key in DATASET if "sub-01" in key}
    source, places = (f"s3://{BUCKET}", ()) if way != "a place" else ("", f"s3://{BUCKET}/mirror")
    locked = lock_of(
        DATASET,
        source,
        lambda key: f"https://{THERE}/{'others' if key in others else BUCKET}/{key}",
    )
    with pytest.raises(IncompleteError):
        locked.get(
            tmp_path / "data", places=places, profile="lab", requester_pays=True, progress="none"
        )
    secret = ("authorization", "x-amz-request-payer")
    asked = [
        (request.target.split("/")[1], any(name in request.headers for name in secret))
        for request in aws.log
    ]
    assert {*asked} == {(BUCKET, True), ("others", False)}
    assert all((tmp_path / "data" / key).exists() for key in {*DATASET} - others)
