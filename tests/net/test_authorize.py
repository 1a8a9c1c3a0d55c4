"""A token is for one server, and for no other; and some answers are waited for longer."""

import logging
import time

import pytest

from neurofetch.engine import Network
from neurofetch.errors import TransientError, UsageError
from neurofetch.net.client import Client
from neurofetch.net.http1 import Request
from testbed.s3 import S3Server
from tests.engine_raw import RawServer, silence

TOKEN = "Bearer a-secret-token"
NETWORK = Network(connect_timeout=3.0, read_timeout=0.3, slow_window=5.0, patience=0)


@pytest.fixture
def servers():
    with S3Server({"b": {"f": b"x"}}) as one, S3Server({"b": {"f": b"y"}}) as other:
        yield one, other


@pytest.fixture
def client():
    with Client(NETWORK) as client:
        yield client


def got(client, url, **more):
    with client.send(Request(url, **more)) as response:
        return response.read(10)


def seen(server):
    return [request.headers.get("authorization") for request in server.requests()]


def test_it_goes_to_its_server_and_to_no_other(client, servers, caplog):
    one, other = servers
    caplog.set_level(logging.DEBUG)
    client.authorize(f"{one.url}/crn/graphql", TOKEN)
    for server in servers:
        got(client, f"{server.url}/b/f")
    assert (seen(one), seen(other)) == ([TOKEN], [None])
    client.authorize(one.url, "")
    got(client, f"{one.url}/b/f")
    assert seen(one)[-1] is None
    assert "secret" not in caplog.text
    assert "secret" not in repr(client)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_elsewhere_does_not_take_it_along(client, servers, status):
    one, other = servers
    client.authorize(one.url, TOKEN)
    one.fault(key="old", status=status, headers={"Location": f"{other.url}/b/f"})
    assert got(client, f"{one.url}/b/old") == b"y"
    assert (seen(one), seen(other)) == ([TOKEN], [None])


def test_a_redirect_back_takes_it_along_again(client, servers):
    one, other = servers
    client.authorize(other.url, TOKEN)
    one.fault(key="old", status=302, headers={"Location": f"{other.url}/b/f"})
    assert got(client, f"{one.url}/b/old") == b"y"
    assert (seen(one), seen(other)) == ([None], [TOKEN])


def test_what_a_request_says_itself_counts(client, servers):
    one, _ = servers
    client.authorize(one.url, TOKEN)
    got(client, f"{one.url}/b/f", headers={"Authorization": "Basic x"})
    assert seen(one) == ["Basic x"]


@pytest.mark.parametrize("token", ["Bearer a\r\nX: y", "Bearer é", "a\0b", "a\nb"])
def test_a_token_that_cannot_be_sent_is_not_repeated(client, servers, token):
    with pytest.raises(UsageError) as caught:
        client.authorize(servers[0].url, token)
    assert token not in str(caught.value)
    assert "Bearer" not in str(caught.value)


@pytest.mark.parametrize("server", ["", "host", "ftp://host", "http://"])
def test_a_server_that_is_none_is_refused(client, server):
    with pytest.raises(UsageError, match="is not an http"):
        client.authorize(server, TOKEN)


# -- patience ----------------------------------------------------------------------------------


def test_an_answer_that_takes_long_to_work_out_is_waited_for(client):
    with S3Server({"b": {"f": b"hello"}}) as server:
        server.fault(key="f", times=None, delay=0.8)
        with pytest.raises(TransientError, match="stalled"):
            got(client, f"{server.url}/b/f")
        assert got(client, f"{server.url}/b/f", patience=5.0) == b"hello"


def test_the_patience_of_one_request_is_not_that_of_the_next(client):
    with S3Server({"b": {"f": b"hello"}}) as server:
        assert got(client, f"{server.url}/b/f", patience=5.0) == b"hello"
        server.fault(key="f", times=None, delay=3)
        began = time.monotonic()
        with pytest.raises(TransientError):
            got(client, f"{server.url}/b/f")
        assert time.monotonic() - began < 2


def test_no_patience_is_endless(client):
    with RawServer(silence) as server, pytest.raises(TransientError):
        got(client, server.url, patience=0.5)
