"""The ways to a server and away from it: redirects, TLS, proxies, and closing on request."""

import contextlib
import errno
import select
import socket
import threading
import time
from base64 import b64encode

import pytest

import neurofetch
from neurofetch.engine import Network
from neurofetch.errors import (
    ConfigError,
    InterruptedTransferError,
    ProtocolError,
    TransientError,
    UnreachableError,
)
from neurofetch.net.client import Client
from neurofetch.net.http1 import Request
from testbed.s3 import S3Server
from tests.engine_raw import RawServer, ask, silence
from tests.engine_world import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def client():
    with Client(Network(connect_timeout=3.0, read_timeout=2.0)) as client:
        yield client


# -- redirects -------------------------------------------------------------------------------


def moved(to, status=b"302 Found", body=b"moved"):
    length = b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\nLocation: " + to + length + body


@pytest.mark.parametrize(
    ("to", "asked"),
    [
        (b"/other", "/other"),
        (b"other?x=1", "/d/other?x=1"),
        (b"../up", "/up"),
        (b"/with space/\xc3\xa9", "/with%20space/%C3%A9"),
        (b"/a%2Fb", "/a%2Fb"),
    ],
)
def test_relative_redirects_are_followed_on_the_same_connection(client, to, asked):
    with RawServer(moved(to), OK) as server:
        assert ask(client, server, "/d/f", headers={"If-Match": '"e"'}) == (200, b"hello")
        assert server.heads[1].startswith(f"GET {asked} HTTP/1.1\r\n")
        assert 'If-Match: "e"' in server.heads[1]
        assert server.connections == 1


def test_a_redirect_to_another_host_takes_no_secrets_along(client):
    with RawServer(OK) as other, RawServer(moved(other.url.encode() + b"/g")) as server:
        secret = {"Authorization": "Bearer 12", "Range": "bytes=0-1"}
        assert ask(client, server, headers=secret) == (200, b"hello")
        assert "Authorization" in server.heads[0]
        assert "Authorization" not in other.heads[0]
        assert "Range: bytes=0-1" in other.heads[0]


def test_a_post_that_is_sent_elsewhere_by_303_becomes_a_get(client):
    with RawServer(moved(b"/see", b"303 See Other"), OK) as server:
        ask(client, server, method="POST", body=b"x")
        assert server.heads[1].startswith("GET /see ")
        assert "Content-Length" not in server.heads[1]


def test_redirects_end(client):
    with (
        RawServer(moved(b"/again")) as server,
        pytest.raises(ProtocolError, match="more than 5 redirects"),
    ):
        ask(client, server)
    assert len(server.heads) == 6


@pytest.mark.parametrize("to", [b"ftp://elsewhere/f", b"file:///etc/passwd"])
def test_a_redirect_out_of_http_is_not_followed(client, to):
    with RawServer(moved(to)) as server, pytest.raises(ProtocolError, match="is not followed"):
        ask(client, server)


def test_a_response_with_a_redirect_status_and_no_location_is_returned(client):
    with RawServer(b"HTTP/1.1 301 Moved\r\nContent-Length: 2\r\n\r\nhm") as server:
        assert ask(client, server) == (301, b"hm")


# -- few descriptors -------------------------------------------------------------------------


def running_out(monkeypatch, times):
    """Let the system give no socket, so many times."""
    real, left = socket.socket, [times]

    def limited(*arguments, **keywords):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*arguments, **keywords)

    monkeypatch.setattr(socket, "socket", limited)


def test_idle_connections_make_room_where_there_are_no_descriptors_left(client, monkeypatch):
    with RawServer(OK) as one, RawServer(OK) as other:
        assert ask(client, one) == (200, b"hello")
        running_out(monkeypatch, 1)
        assert ask(client, other) == (200, b"hello")
        monkeypatch.undo()
        assert ask(client, one) == (200, b"hello")
        assert one.connections == 2


def test_no_descriptor_left_is_worth_another_attempt(client, monkeypatch):
    with RawServer(OK) as server:
        running_out(monkeypatch, 9)
        with pytest.raises(TransientError, match="Too many open files"):
            ask(client, server)
        monkeypatch.undo()
        assert ask(client, server) == (200, b"hello")


# -- TLS -------------------------------------------------------------------------------------


def trusting(certificate):
    return Network.from_environment(
        {"SSL_CERT_FILE": str(certificate[0]), "NEUROFETCH_READ_TIMEOUT": "2"}
    )


def test_tls_with_the_institutes_own_certificate(certificate, tls):
    objects = {"b": {"f": b"x" * 3_000_000}}
    with S3Server(objects, tls=tls) as server, Client(trusting(certificate)) as client:
        with client.send(Request(server.url + "/b/f")) as response:
            assert response.read(1 << 22) == objects["b"]["f"]
        with client.send(Request(server.url + "/b/f", {"Range": "bytes=5-9"})) as response:
            assert response.read(10) == b"xxxxx"
        assert server.connections == 1


def test_an_untrusted_certificate_says_what_to_do(tls):
    with (
        S3Server({"b": {}}, tls=tls) as server,
        Client(Network()) as client,
        pytest.raises(UnreachableError, match=r"not trusted.*SSL_CERT_FILE"),
    ):
        client.send(Request(server.url + "/b/f"))


def test_a_certificate_of_another_host_is_not_trusted(certificate, tls):
    with (
        S3Server({"b": {}}, tls=tls) as server,
        Client(trusting(certificate)) as client,
        pytest.raises(UnreachableError, match=r"127\.0\.0\.2 is not trusted"),
    ):
        _relay_and_ask(client, server.port)


def _relay_and_ask(client, port):
    """Ask 127.0.0.2, whose name is not in the certificate."""
    with Tunnel("127.0.0.2", port) as tunnel:
        client.send(Request(f"https://127.0.0.2:{tunnel.port}/b/f"))


def test_plain_http_on_a_tls_port_is_transient():
    with (
        RawServer(OK) as server,
        Client(Network(connect_timeout=0.2)) as client,
        pytest.raises(TransientError, match="no TLS connection"),
    ):
        client.send(Request(server.url.replace("http", "https") + "/f"))


def test_a_tls_body_that_is_cut_without_a_word_is_not_taken_for_whole(certificate, tls):
    def cut(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nhel")
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # no goodbye of TLS

    with (
        RawServer(cut, tls=tls, close=True) as server,
        Client(trusting(certificate)) as client,
        pytest.raises(TransientError),
    ):
        ask(client, server)


def test_https_does_not_lead_to_http(certificate, tls):
    with (
        RawServer(OK) as plain,
        RawServer(moved(plain.url.encode() + b"/f?secret=1"), tls=tls) as s,
    ):
        with (
            Client(trusting(certificate)) as client,
            pytest.raises(ProtocolError, match="from https to http") as caught,
        ):
            ask(client, s)
        assert plain.heads == []
        assert "secret" not in str(caught.value)


def test_a_bundle_without_certificates_is_a_wrong_setting(tmp_path, tls):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("nothing of the kind")
    network = Network.from_environment({"AWS_CA_BUNDLE": str(bundle)})
    with (
        S3Server({"b": {}}, tls=tls) as server,
        Client(network) as client,
        pytest.raises(ConfigError, match="no certificates"),
    ):
        client.send(Request(server.url + "/b/f"))


def test_closing_wakes_a_tls_reader_and_gives_it_no_ciphertext(certificate, tls):
    body = b"m" * 8_000_000
    outcome = []
    with S3Server({"b": {"f": body}}, tls=tls) as server:
        server.fault(key="f", stall=5.0, stall_after=2_000_000)
        client = Client(trusting(certificate))

        def read():
            seen = b""
            try:
                with client.send(Request(server.url + "/b/f")) as response:
                    buffer = memoryview(bytearray(65536))
                    while count := response.readinto(buffer):
                        seen += bytes(buffer[:count])
                        time.sleep(0.001)
            except InterruptedTransferError as error:
                outcome.append((set(seen), error))

        thread = threading.Thread(target=read)
        thread.start()
        until(lambda: server.log and server.log[0].sent > 1_000_000)
        client.close()
        thread.join(2)
    assert outcome
    assert outcome[0][0] <= {ord("m")}


# -- proxies ---------------------------------------------------------------------------------


class Tunnel:
    """A loopback relay to a port of 127.0.0.1; with `proxy`, it expects CONNECT first."""

    def __init__(self, host, port=None, *, proxy=False, refuse=b"", far_away=0.0):
        self._socket = socket.create_server((host, 0))
        self.port = self._socket.getsockname()[1]
        self._to, self._proxy, self._refuse = port, proxy, refuse
        self._far_away = far_away
        self.heads = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._relay, args=(near,)))
            self._threads[-1].start()

    def _relay(self, near):
        with near, contextlib.suppress(OSError):
            port = self._to
            if self._proxy:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += near.recv(4096)
                self.heads.append(head.decode())
                time.sleep(self._far_away)
                near.sendall(self._refuse or b"HTTP/1.1 200 Connection established\r\n\r\n")
                if self._refuse:
                    return
                port = int(head.split(b" ")[1].rpartition(b":")[2])
            with socket.create_connection(("127.0.0.1", port)) as far:
                self._pump(near, far)

    @staticmethod
    def _pump(near, far):
        while True:
            ready, _, _ = select.select([near, far], [], [], 5)
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                (far if source is near else near).sendall(data)
            if not ready:
                return


SECRET = "user%40lab:p%3Aword"
BASIC = "Basic " + b64encode(b"user@lab:p:word").decode()


def test_https_goes_through_a_tunnel(certificate, tls):
    with (
        S3Server({"b": {"f": b"hello"}}, tls=tls) as server,
        Tunnel("127.0.0.1", proxy=True) as proxy,
    ):
        env = {
            "https_proxy": f"http://{SECRET}@127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(certificate[0]),
        }
        with Client(Network.from_environment(env)) as client:
            assert ask(client, server, "/b/f") == (200, b"hello")
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
        assert f"Proxy-Authorization: {BASIC}\r\n" in proxy.heads[0]
        assert "proxy-authorization" not in server.log[0].headers


def test_where_making_connections_takes_long_they_are_made_ahead_all_at_once(certificate, tls):
    with (
        S3Server({"b": {"f": b"hello"}}, tls=tls) as server,
        Tunnel("127.0.0.1", proxy=True, far_away=0.2) as proxy,
    ):
        url = server.url + "/b/f"
        env = {
            "https_proxy": f"http://127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(certificate[0]),
        }
        with Client(Network.from_environment(env)) as client:
            first = client.begin(Request(url))
            began = time.monotonic()
            assert not client.ready(url, 6)
            while len(proxy.heads) < 6 and time.monotonic() < began + 5:
                assert not client.ready(url, 6) or time.monotonic() > began + 0.2
                time.sleep(0.005)
            assert len(proxy.heads) == 6
            while not client.ready(url, 6):
                assert time.monotonic() < began + 5
                time.sleep(0.005)
            pending = [first, *(client.begin(Request(url)) for _ in range(3))]
            for one in pending:
                with client.finish(one) as response:
                    assert response.read(10) == b"hello"
            assert len(proxy.heads) <= 9


def test_many_tiny_files_from_far_away(certificate, tls, tmp_path, monkeypatch):
    objects = {f"f{n:02}": bytes([n]) * 50 for n in range(60)}
    with (
        S3Server({"bucket": objects}, tls=tls) as server,
        Tunnel("127.0.0.1", proxy=True, far_away=0.1) as proxy,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
        monkeypatch.delenv("no_proxy", raising=False)
        report = neurofetch.get("s3://bucket", tmp_path / "d", progress=False)
        assert len(report.paths) == 60
        assert {path.name: path.read_bytes() for path in report.paths} == objects
        assert len(server.requests(method="GET")) == 60


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_http_is_asked_of_a_proxy(variable):
    with RawServer(OK) as proxy:
        env = {variable: f"{SECRET}@127.0.0.1:{proxy.port}"}
        with Client(Network.from_environment(env)) as client:
            for _ in range(3):
                with client.send(Request("http://bucket.example:8080/k?x=1")) as response:
                    assert response.read(10) == b"hello"
        assert proxy.connections == 1
        assert proxy.heads[0].startswith("GET http://bucket.example:8080/k?x=1 HTTP/1.1\r\n")
        assert "Host: bucket.example:8080\r\n" in proxy.heads[0]
        assert f"Proxy-Authorization: {BASIC}\r\n" in proxy.heads[0]


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy_goes_around(variable):
    with RawServer(OK) as server, RawServer(OK) as proxy:
        network = Network.from_environment({"http_proxy": proxy.url, variable: "127.0.0.1"})
        with Client(network) as client:
            assert ask(client, server) == (200, b"hello")
        assert proxy.heads == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", UnreachableError),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", UnreachableError),
        (b"HTTP/1.1 503 Busy\r\n\r\n", TransientError),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(said, kind):
    with Tunnel("127.0.0.1", proxy=True, refuse=said) as proxy:
        network = Network(proxies={"https": f"http://{SECRET}@127.0.0.1:{proxy.port}"})
        with Client(network) as client, pytest.raises(kind) as caught:
            client.send(Request("https://bucket.example/k"))
    assert f"the proxy 127.0.0.1:{proxy.port}" in str(caught.value)
    for secret in (SECRET, "user%40", "user@", "%3Aword", ":word", BASIC, BASIC[6:]):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://user:pass-word@host:1080",
        "https://user:pass-word@host",
        "http://user:pass-word@h:x",
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_wrong_setting(proxy):
    with Client(Network(proxies={"http": proxy})) as client, pytest.raises(ConfigError) as caught:
        client.send(Request("http://bucket.example/k"))
    assert "pass-word" not in str(caught.value)


def test_messages_show_no_query(client):
    with RawServer(b"") as server, pytest.raises(TransientError) as caught:
        ask(client, server, "/f?X-Amz-Signature=secret")
    assert server.url + "/f" in str(caught.value)
    assert "secret" not in str(caught.value)


# -- closing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_closing_wakes_the_threads_that_wait(known):
    def stall(connection, head):
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"Content-Length: 99\r\n" * known + b"\r\nxx")
        silence(connection, head)

    outcome = []

    def read(server):
        try:
            outcome.append(ask(client, server))
        except InterruptedTransferError as error:
            outcome.append(error)

    client = Client(Network())
    with RawServer(silence, silence, stall, stall) as server:
        threads = [threading.Thread(target=read, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(server.heads) == 4)
        time.sleep(0.05)
        began = time.monotonic()
        client.close()
        for thread in threads:
            thread.join(2)
        assert time.monotonic() - began < 1
    assert [type(one) for one in outcome] == [InterruptedTransferError] * 4


def test_a_closed_client_makes_no_connection():
    client = Client(Network())
    with RawServer(OK) as server:
        ask(client, server)
        client.close()
        with pytest.raises(InterruptedTransferError):
            ask(client, server)
        assert server.connections == 1


def test_closing_ends_the_wait_for_the_rate():
    client = Client(Network(limit_rate=10.0))
    with RawServer(OK) as server:
        thread = threading.Thread(target=ask, args=(client, server))
        thread.start()
        until(lambda: server.heads)
        time.sleep(0.05)
        client.close()
        thread.join(0.4)
        assert not thread.is_alive()
