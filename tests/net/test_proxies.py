"""Proxies and certificates, as the environment names them: as requests and curl read it."""

import itertools
import os
import subprocess
from base64 import b64decode
from shutil import which
from urllib import request as urllib_request

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurofetch.engine import Network
from neurofetch.errors import (
    ConfigError,
    NeurofetchError,
    ServerError,
    TransientError,
    UnreachableError,
)
from neurofetch.net.client import Client
from neurofetch.net.http1 import Request
from neurofetch.net.proxies import bypassed, parsed_proxy, proxies_of
from neurofetch.net.settings import aws_domain, checked_endpoint, s3_endpoint, s3_region
from neurofetch.sources.s3 import Bucket
from tests.engine_raw import RawServer, ask

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

# -- which proxy -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://proxy.example.edu", "proxy.example.edu", 80),
        ("http://proxy.example.edu/", "proxy.example.edu", 80),
        ("http://proxy:3128", "proxy", 3128),
        ("HTTP://Proxy:3128/path?x#y", "proxy", 3128),
        ("http://[::1]", "::1", 80),
        ("http://[::1]:8080", "::1", 8080),
        ("http://user:pass@10.0.0.1", "10.0.0.1", 80),
        ("http://user:pass@[fe80::1]:99", "fe80::1", 99),
    ],
)
def test_a_proxy_without_a_port_is_at_port_80(url, host, port):
    proxy = parsed_proxy(url)
    assert (proxy.host, proxy.port) == (host, port)


@pytest.mark.parametrize(
    ("user", "pair"),
    [
        ("user:p%40ss%3Aword", "user:p@ss:word"),
        ("user:p@ss/w#o?r:d", "user:p@ss/w#o?r:d"),
        ("user", "user:"),
        ("user:", "user:"),
        (":p", ":p"),
        ("ü:ß", "ü:ß"),
    ],
)
def test_name_and_password_may_be_quoted_and_need_not(user, pair):
    proxy = parsed_proxy(f"http://{user}@host:3128")
    assert (proxy.host, proxy.port) == ("host", 3128)
    assert b64decode(proxy.credentials.removeprefix("Basic ")).decode() == pair


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, {}),
        ({"http_proxy": "a:1"}, {"http": "http://a:1"}),
        ({"HTTP_PROXY": "http://a"}, {"http": "http://a"}),
        ({"http_proxy": "http://a", "HTTP_PROXY": "http://b"}, {"http": "http://a"}),
        ({"http_proxy": "", "HTTP_PROXY": "http://b"}, {}),
        ({"HTTPS_PROXY": " http://b "}, {"https": "http://b"}),
        ({"ALL_PROXY": "b"}, {"all": "http://b"}),
        ({"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}, {}),
        ({"http_proxy": "http://a", "REQUEST_METHOD": "GET"}, {"http": "http://a"}),
        ({"HTTPS_PROXY": "http://a", "REQUEST_METHOD": "GET"}, {"https": "http://a"}),
    ],
)
def test_which_variables_count(env, expected, monkeypatch):
    assert proxies_of(env) == expected
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    theirs = urllib_request.getproxies_environment()
    assert set(theirs) == set(expected)  # the same as urllib, which requests asks


@pytest.mark.parametrize(
    ("proxies", "kind"),
    [
        ({"all": "socks5://user:pass-word@host:1080"}, "socks5:// proxies are not supported"),
        ({"http": "socks5h://host"}, "socks5h:// proxies are not supported"),
        ({"http": "https://user:pass-word@host"}, "https:// proxies are not supported"),
        ({"http": "ftp://pass-word@host"}, "ftp:// proxies are not supported"),
        ({"http": "http://user:pass-word@"}, "no URL such as http://host:3128"),
        ({"http": "http://user:pass-word@host:x"}, "no URL such as http://host:3128"),
        ({"http": "http://user:pass-word@host:99999"}, "no URL such as http://host:3128"),
        ({"http": "http://user:pass-word@[host"}, "no URL such as http://host:3128"),
        ({"http": "http://:pass-word@host:" + "9" * 5000}, "no URL such as http://host:3128"),
        ({"http": "pass word://x"}, "such are not supported"),
    ],
)
def test_a_proxy_that_cannot_be_used_says_so_and_no_password(proxies, kind):
    with Client(Network(proxies=proxies)) as client, pytest.raises(ConfigError) as caught:
        client.send(Request("http://bucket.example/k"))
    assert kind in str(caught.value)
    assert "pass" not in str(caught.value)
    assert "_proxy" in str(caught.value)


def test_settings_show_no_password():
    network = Network.from_environment({"https_proxy": "http://me:pass-word@host"})
    assert network.proxies["https"] == "http://me:pass-word@host"
    assert "pass-word" not in repr(network)


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"401 Unauthorized"])
def test_a_proxy_that_wants_a_password_is_named_with_what_to_do(status):
    with RawServer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as proxy:
        network = Network(proxies={"https": f"http://me:pass-word@127.0.0.1:{proxy.port}"})
        with Client(network) as client, pytest.raises(UnreachableError) as caught:
            client.send(Request("https://bucket.example/k"))
        assert len(proxy.heads) == 1
    message = str(caught.value)
    assert f"the proxy 127.0.0.1:{proxy.port} could not connect to bucket.example" in message
    assert "https_proxy=http://NAME:PASSWORD@HOST:PORT" in message
    assert "pass-word" not in message


def test_a_proxy_that_only_drips_is_given_up():
    def drip(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(300):
            connection.sendall(b"x")
            connection.settimeout(0.01)
            try:
                connection.recv(1)
            except TimeoutError:
                continue
            break

    with RawServer(drip) as proxy:
        network = Network(proxies={"https": proxy.url}, read_timeout=0.2)
        with Client(network) as client, pytest.raises(TransientError, match="the proxy"):
            client.send(Request("https://bucket.example/k"))


# -- and which servers need none -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "expected"),
    [
        ("", "host", 80, False),
        ("*", "host", 80, True),
        ("a, *", "host", 80, True),
        ("example.edu", "example.edu", 80, True),
        ("example.edu", "s3.example.edu", 80, True),
        (".example.edu", "s3.example.edu", 80, True),
        (".example.edu", "example.edu", 80, True),
        ("*.example.edu", "s3.example.edu", 80, True),
        ("example.edu", "badexample.edu", 80, False),
        ("example.edu", "example.edu.evil.org", 80, False),
        ("EXAMPLE.edu.", "s3.Example.EDU", 80, True),
        ("example.edu", "example.edu.", 80, True),
        ("a,example.edu,b", "example.edu", 80, True),
        (" a , example.edu\tb", "example.edu", 80, True),
        ("a example.edu b", "example.edu", 80, True),
        ("example.edu:8080", "example.edu", 8080, True),
        ("example.edu:8080", "example.edu", 80, False),
        ("127.0.0.1", "127.0.0.1", 9000, True),
        ("127.0.0.1:9000", "127.0.0.1", 9000, True),
        ("127.0.0.1:9000", "127.0.0.1", 9001, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.0.0.1/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "ten.example.edu", 80, False),
        ("10.0.0.0/99", "10.1.2.3", 80, False),
        ("192.168.1.0/255.255.255.0", "192.168.1.77", 80, True),
        ("0.0.0.0/0", "8.8.8.8", 80, True),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 80, False),
        ("::1", "0:0:0:0:0:0:0:1", 80, True),
        ("fe80::/10", "fe80::7", 80, True),
        ("[fe80::]/10", "fe80::7", 80, True),
        ("fe80::/10", "10.0.0.1", 80, False),
        ("0.0.1", "127.0.0.1", 80, True),  # the ends of names count, also of these: as in urllib
        (",,. ,", "host", 80, False),
    ],
)
def test_which_servers_need_no_proxy(no_proxy, host, port, expected):
    assert bypassed(no_proxy, host, port) is expected


@given(st.text(max_size=60), st.text(max_size=40), st.integers(1, 65535))
def test_any_list_is_read(no_proxy, host, port):
    assert bypassed(no_proxy, host, port) in (True, False)


def test_a_network_without_a_proxy_is_asked_directly():
    with RawServer(OK) as server, RawServer(OK) as proxy:
        env = {"http_proxy": proxy.url, "no_proxy": "10.0.0.0/8,127.0.0.0/8"}
        with Client(Network.from_environment(env)) as client:
            assert ask(client, server) == (200, b"hello")
        assert (len(server.heads), len(proxy.heads)) == (1, 0)


# -- certificates ----------------------------------------------------------------------------------

CA = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(scope="module")
def folder(certificate, tmp_path_factory):
    """Return a folder of certificates, as OpenSSL wants it."""
    where = tmp_path_factory.mktemp("ca")
    (where / "ours.pem").write_bytes(certificate[0].read_bytes())
    subprocess.run([which("openssl"), "rehash", str(where)], check=True, capture_output=True)
    return where


@pytest.mark.parametrize("variable", CA)
def test_certificates_may_be_a_folder(variable, folder, tls):
    with (
        RawServer(OK, tls=tls) as server,
        Client(Network.from_environment({variable: str(folder)})) as client,
    ):
        assert ask(client, server) == (200, b"hello")


@pytest.mark.parametrize("variable", CA[:4])
def test_certificates_may_be_a_file(variable, certificate, tls):
    with (
        RawServer(OK, tls=tls) as server,
        Client(Network.from_environment({variable: str(certificate[0])})) as client,
    ):
        assert ask(client, server) == (200, b"hello")


def test_the_file_and_the_folder_of_openssl_count_together(folder, certificate, tls, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(_another(tmp_path))
    env = {"SSL_CERT_FILE": str(other), "SSL_CERT_DIR": os.pathsep.join(["", str(folder)])}
    with RawServer(OK, tls=tls) as server, Client(Network.from_environment(env)) as client:
        assert ask(client, server) == (200, b"hello")
    env["CURL_CA_BUNDLE"] = str(other)  # wins, and is alone then
    with (
        RawServer(OK, tls=tls) as server,
        Client(Network.from_environment(env)) as client,
        pytest.raises(UnreachableError, match="is not trusted"),
    ):
        ask(client, server)


def _another(tmp_path):
    """Return a certificate that signs nothing here."""
    key, cert = tmp_path / "k", tmp_path / "c"
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    where = ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=other", "-days", "2"]
    done = [which("openssl"), "req", "-x509", *ec, *where]
    subprocess.run(done, check=True, capture_output=True)
    return cert.read_bytes()


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(CA[:4])))
def test_the_first_variable_wins(first, second, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    two.touch()
    network = Network.from_environment({second: str(two), first: str(one)})
    assert (network.ca_bundle, network.ca_named_by) == (str(one), first)


def fetched_with(env, server):
    with Client(Network.from_environment(env)) as client:
        return ask(client, server)


@pytest.mark.parametrize("variable", CA)
@pytest.mark.parametrize("kind", ["missing", "empty", "no certificate", "empty folder"])
def test_certificates_that_are_none_name_the_variable(variable, kind, tmp_path, tls):
    where = tmp_path / "ca"
    if kind == "empty folder":
        where.mkdir()
        (where / "ours.pem").write_text("not under a name of OpenSSL")
    elif kind != "missing":
        where.write_text("" if kind == "empty" else "no certificate")
    with RawServer(OK, tls=tls) as server:
        with pytest.raises(ConfigError) as caught:
            fetched_with({variable: str(where)}, server)
        assert f"{variable}={where}" in str(caught.value)
        assert f"unset {variable}" in str(caught.value)
        assert server.heads == []


# -- regions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "b.s3.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "b.s3.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "b.s3.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", "b.s3.cn-northwest-1.amazonaws.com.cn"),
        ("us-iso-east-1", "b.s3.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "b.s3.us-isob-east-1.sc2s.sgov.gov"),
        ("us-isof-south-1", "b.s3.us-isof-south-1.csp.hci.ic.gov"),
        ("eu-isoe-west-1", "b.s3.eu-isoe-west-1.cloud.adc-e.uk"),
        ("eusc-de-east-1", "b.s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_regions_of_all_parts_of_aws(region, host):
    assert s3_region({"AWS_REGION": f" {region}\n"}) == region
    assert Bucket("b", region).base == f"https://{host}/"
    assert Bucket("a.b", region).base == f"https://{host[2:]}/a.b/"
    assert host.endswith(aws_domain(region))


@pytest.mark.parametrize(
    "text", ["us west 2", "us/west", "evil.org/", "us-west-2.evil.org", "a@b", "é", "-x", "x" * 99]
)
@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_what_is_no_region_is_a_wrong_setting(variable, text):
    with pytest.raises(ConfigError, match=f"{variable}=.*is not a region such as us-west-2"):
        s3_region({variable: text})


def test_no_region_is_no_region():
    assert s3_region({}) is None
    assert s3_region({"AWS_REGION": " "}) is None
    assert s3_region({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}) == "eu-west-1"
    assert s3_region({"AWS_REGION": "aws-global"}) is None


# -- passwords in the URL of a server --------------------------------------------------------------

PASSWORD = "Tr0ub4dor"
BROKEN = [
    "http://user:{}@",
    "user:{}@host",
    "http://user:{}@host:port",
    "http://user:{}@host:99999",
    "http://user:{}@[host",
    "http://user:{}/x@host",
    "http://user:1/{}@host",
    "http://user:#{}@host",
    "http://user:?{}@host",
    "http://user:{}",
    "ftp://user:{}@host",
    "s3://user:{}@host/bucket",
    "http//user:{}@host",
    "http://user:{}@ho st",
    "http://user:{}@host?x={}",
    "//user:{}@host",
    "http://host:{}",
    "{}@host",
]


@pytest.mark.parametrize("shape", BROKEN)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_a_broken_endpoint_shows_no_password(variable, shape):
    with pytest.raises(ConfigError) as caught:
        s3_endpoint({variable: shape.replace("{}", PASSWORD)})
    assert PASSWORD not in str(caught.value)
    assert variable in str(caught.value)
    assert "https://host:9000" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["host:9000", "ftp://host/x", "nonsense", "http://", "https:/host"]
)
def test_a_broken_endpoint_without_a_password_is_shown(text):
    with pytest.raises(ConfigError, match=f"X='{text}' is not a URL"):
        checked_endpoint(text, "X")


noise = st.text(st.sampled_from("hHtps:/@#?[]. %\\\t12é"), max_size=12)


@given(noise, noise, noise)
@example("http://user:", "@", "host")
@example("https://", "@", "host:9000/")
def test_no_endpoint_ever_shows_its_password(before, between, after):
    """Where the text is taken, the password is not in what is shown of the server."""
    text = f"{before}{PASSWORD}{between}{after}"
    if "@" not in between + after:
        return  # it holds no password, but a name
    try:
        endpoint = checked_endpoint(text, "AWS_ENDPOINT_URL")
    except NeurofetchError as error:
        assert PASSWORD not in str(error)  # noqa: PT017
    else:
        assert PASSWORD not in Bucket("b", None, endpoint).base


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "LAION_FMRI_ACCESS_URL"])
def test_a_name_and_a_password_are_dropped_where_the_url_is_read(variable):
    text = f"https://user:{PASSWORD}@host:9000/base/"
    assert checked_endpoint(text, variable) == "https://host:9000/base"


@pytest.mark.parametrize("url", ["http://me:{}@127.0.0.1:1/f?x", "https://me:{}@no.invalid/a@b"])
def test_no_message_of_a_request_shows_a_password(url):
    with Client(Network(connect_timeout=1.0)) as client, pytest.raises(TransientError) as caught:
        client.send(Request(url.replace("{}", PASSWORD)))
    assert PASSWORD not in str(caught.value)


def test_no_message_shows_the_password_of_a_redirect():
    moved = f"HTTP/1.1 302 X\r\nLocation: http://me:{PASSWORD}@127.0.0.1:1/\r\n\r\n".encode()
    with (
        RawServer(moved, close=True) as server,
        Client(Network()) as client,
        pytest.raises(TransientError) as caught,
    ):
        ask(client, server)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e300", "1e9", "9" * 5000, "²", "x"])
def test_a_number_of_seconds_that_no_socket_can_wait_is_a_wrong_setting(value):
    with pytest.raises(ConfigError, match=r"NEUROFETCH_READ_TIMEOUT=.* is not a positive number"):
        Network.from_environment({"NEUROFETCH_READ_TIMEOUT": value})


def test_a_host_that_is_not_ascii_is_asked_for_by_its_other_name():
    with RawServer(OK) as proxy:
        with Client(Network(proxies={"http": proxy.url})) as client:
            client.send(Request("http://bücher.example/f")).close()
        assert "Host: xn--bcher-kva.example\r\n" in proxy.heads[0]


@pytest.mark.parametrize("host", [".example.org", "a..b", "x" * 300])
def test_a_name_that_no_certificate_can_hold_is_an_error_of_ours(host):
    with RawServer(b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
        network = Network(proxies={"https": proxy.url}, read_timeout=1.0)
        with Client(network) as client, pytest.raises(ServerError):
            client.send(Request(f"https://{host}/f"))


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"NO_PROXY": "a"}, "a"),
        ({"no_proxy": "", "NO_PROXY": "a"}, "a"),
        ({"no_proxy": "b", "NO_PROXY": "a"}, "b"),
    ],
)
def test_an_empty_list_in_small_letters_leaves_it_to_the_one_in_capitals(env, expected):
    """So do curl and requests."""
    assert Network.from_environment(env).no_proxy == expected


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy"])
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("127.0.0.1:1", "cannot connect to the proxy 127.0.0.1:1: "),
        ("proxy.invalid", "cannot find the proxy 'proxy.invalid': "),
    ],
)
def test_a_proxy_that_is_not_there_is_called_a_proxy(variable, place, expected):
    network = Network.from_environment({variable: f"http://u:secret@{place}"})
    url = f"{variable.partition('_')[0]}://s3.example.edu/b"
    with Client(network) as client, pytest.raises(TransientError) as caught:
        client.send(Request(url))
    assert str(caught.value).startswith(expected)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["minio:secret", "a:secret", "key:secret/x", "//u:secret"])
def test_a_user_and_password_without_a_server_are_not_shown(text):
    with pytest.raises(ConfigError) as caught:
        checked_endpoint(text, "AWS_ENDPOINT_URL_S3")
    assert "secret" not in str(caught.value)


PATHS = ("{bare}:{folder}", "/nowhere:{folder}", "{folder}:/nowhere", "{folder}::{bare}")


@pytest.mark.parametrize("text", PATHS)
def test_folders_of_a_search_path_that_hold_nothing_are_passed_over(text, folder, tls, tmp_path):
    """So OpenSSL does, and curl."""
    env = {"SSL_CERT_DIR": text.format(folder=folder, bare=tmp_path)}
    with RawServer(OK, tls=tls) as server, Client(Network.from_environment(env)) as client:
        assert ask(client, server) == (200, b"hello")


@pytest.mark.parametrize("more", ["/nowhere", "{bare}", "{bare}:/nowhere"])
def test_a_file_of_certificates_needs_no_folder_beside_it(more, certificate, tls, tmp_path):
    folders = more.format(bare=tmp_path)
    env = {"SSL_CERT_FILE": str(certificate[0]), "SSL_CERT_DIR": folders}
    with RawServer(OK, tls=tls) as server, Client(Network.from_environment(env)) as client:
        assert ask(client, server) == (200, b"hello")


@pytest.mark.parametrize("text", ["/nowhere", "/nowhere:/nor/here", "{bare}", "/nowhere:{bare}"])
def test_a_search_path_without_any_certificate_is_an_error_that_names_it(text, tls, tmp_path):
    env = {"SSL_CERT_DIR": text.format(bare=tmp_path)}
    with RawServer(OK, tls=tls) as server, pytest.raises(ConfigError, match=r"^SSL_CERT_DIR="):
        ask(Client(Network.from_environment(env)), server)
