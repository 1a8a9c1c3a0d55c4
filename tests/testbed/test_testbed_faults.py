"""What the stand-in does beyond S3: faults, the request log, lies and changes."""

import base64
import ipaddress
import socket
import ssl
import threading
import time
import urllib.request
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from testbed.laion import GATED, Recipe, make_bucket
from testbed.s3 import HELD_OUT, HTML_PAGE, Fault, Generated, S3Object, S3Server

MIB = 1 << 20
BODY = bytes(range(256)) * 40
NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture
def s3():
    with S3Server({"b": {"a": BODY, "other": b"other"}}) as server:
        yield server


@pytest.fixture
def pool():
    with urllib3.PoolManager(retries=False, timeout=5) as manager:
        yield manager


@pytest.fixture
def get(s3, pool):
    def ask(key="a", method="GET", **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return pool.request(method, f"{s3.url}/b/{key}", headers=names)

    return ask


def listed(response, name):
    return [node.text for node in ET.fromstring(response.data).iter(NS + name)]


def test_a_status_strikes_as_often_as_told_and_where_told(s3, get):
    s3.fault(key="a", method="GET", times=2, status=503, headers={"Retry-After": "7"})
    first, head, other = get(), get(method="HEAD"), get("other")
    assert (first.status, first.headers["Retry-After"]) == (503, "7")
    assert ET.fromstring(first.data).findtext("Code") == "SlowDown"
    assert (head.status, other.status) == (200, 200)
    assert [get().status, get().status] == [503, 200]
    assert [r.status for r in s3.requests(method="GET", key="a")] == [503, 503, 200]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_every_retryable_status_is_an_xml_error(s3, get, status):
    s3.fault(status=status)
    response = get()
    assert response.status == status
    assert ET.fromstring(response.data).findtext("Code")


def test_skip_lets_the_first_ones_pass(s3, get):
    s3.fault(skip=1, times=1, status=500)
    assert [get().status for _ in range(3)] == [200, 500, 200]


def test_a_fault_can_be_for_one_range(s3, get):
    s3.fault(byte_range="bytes=10-*", status=500)
    assert get(Range="bytes=0-9").status == 206
    assert get(Range="bytes=10-19").status == 500
    s3.clear_faults()
    assert get(Range="bytes=10-19").status == 206


def raw(s3, key="a"):
    connection = socket.create_connection(("127.0.0.1", s3.port), timeout=5)
    connection.sendall(f"GET /b/{key} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def drain(connection):
    received = b""
    while piece := connection.recv(1 << 16):
        received += piece
    return received


def test_a_reset_before_the_response_is_a_reset(s3):
    s3.fault(reset=True)
    with raw(s3) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert s3.log[0].status == 0


def test_a_reset_in_the_middle_comes_after_some_bytes(s3):
    s3.fault(reset=True, cut_after=1000)
    with raw(s3) as connection:
        assert connection.recv(1 << 16).endswith(BODY[:1000])
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_cut_body_ends_in_order_but_short(s3):
    s3.fault(cut_after=1000)
    with raw(s3) as connection:
        head, _, body = drain(connection).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(BODY)}".encode() in head
    assert body == BODY[:1000]
    assert s3.log[0].sent == 1000


def test_a_stall_is_silence_and_then_the_rest(s3):
    s3.fault(stall=0.3, stall_after=100)
    with raw(s3) as connection:
        first = connection.recv(1 << 16)
        if first.endswith(b"\r\n\r\n"):
            first += connection.recv(1 << 16)
        assert first.partition(b"\r\n\r\n")[2] == BODY[:100]
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(5)
        rest = b""
        while len(rest) < len(BODY) - 100:
            rest += connection.recv(1 << 16)
    assert rest == BODY[100:]


def test_a_long_stall_does_not_hold_up_the_end():
    began = time.monotonic()
    with S3Server({"b": {"a": BODY}}) as s3:
        s3.fault(stall=60, stall_after=len(BODY))
        s3.fault(key="never", delay=60)
        with raw(s3) as connection:
            assert connection.recv(1 << 16)
    assert time.monotonic() - began < 5


def test_a_delay_comes_before_the_response(s3, get):
    s3.fault(delay=0.2, times=1)
    began = time.monotonic()
    assert get().data == BODY
    assert time.monotonic() - began >= 0.2
    assert s3.log[0].ended - s3.log[0].began >= 0.2


def test_a_rate_is_kept(s3, get):
    s3.fault(rate=len(BODY) / 0.3)
    began = time.monotonic()
    assert get().data == BODY
    assert 0.2 < time.monotonic() - began < 3


def test_a_flipped_byte_is_at_its_place_in_the_object_whatever_the_range(s3, get):
    s3.fault(key="a", flip=300)
    wrong = BODY[:300] + bytes([BODY[300] ^ 0xFF]) + BODY[301:]
    assert get().data == wrong
    assert get(Range="bytes=290-310").data == wrong[290:311]
    assert get(Range="bytes=301-310").data == BODY[301:311]


def test_a_range_can_be_ignored_or_lied_about(s3, get):
    s3.fault(times=1, ignore_range=True)
    s3.fault(times=2, content_range="bytes 0-9/99")
    whole, lied = get(Range="bytes=5-9"), get(Range="bytes=5-9")
    assert (whole.status, whole.data) == (200, BODY)
    assert (lied.status, lied.headers["Content-Range"]) == (206, "bytes 0-9/99")


def test_a_length_can_be_lied_about(s3, get):
    s3.fault(times=1, content_length=len(BODY) + 10)
    with pytest.raises((urllib3.exceptions.IncompleteRead, urllib3.exceptions.ProtocolError)):
        get()
    s3.fault(times=1, content_length=10)
    with raw(s3) as connection:
        assert b"Content-Length: 10\r\n" in connection.recv(1 << 16)


def test_a_login_page_can_take_the_place_of_a_file_or_a_listing(s3, get, pool):
    s3.fault(status=200, body=HTML_PAGE, headers={"Content-Type": "text/html"})
    response = get()
    assert (response.status, response.data, response.headers["Content-Type"]) == (
        200,
        HTML_PAGE,
        "text/html",
    )
    assert pool.request("GET", f"{s3.url}/b?list-type=2").data == HTML_PAGE


def test_an_object_can_change_between_two_parts(s3, get):
    etag = s3.stored("a").etag
    s3.change("a", BODY[::-1], skip=1)
    assert get(Range="bytes=0-9", If_Match=etag).data == BODY[:10]
    assert get(Range="bytes=10-19", If_Match=etag).status == 412
    assert get().data == BODY[::-1]
    assert get().headers["ETag"] == s3.stored("a").etag != etag


def test_a_listing_can_lie(s3, pool, get):
    s3.lie("a", size=7)
    s3.lie("other", etag="0" * 32)
    response = pool.request("GET", f"{s3.url}/b?list-type=2")
    assert listed(response, "Size") == ["7", "5"]
    assert listed(response, "ETag") == [s3.stored("a").etag, f'"{"0" * 32}"']
    assert get().data == BODY


def test_a_listing_never_holds_more_than_a_thousand_keys_or_the_page_size(pool):
    objects = {f"{number:05d}": b"" for number in range(1100)}
    with S3Server({"b": objects}) as s3:
        response = pool.request("GET", f"{s3.url}/b?list-type=2&max-keys=5000")
        assert len(listed(response, "Key")) == 1000
    with S3Server({"b": objects}, page_size=10) as s3:
        response = pool.request("GET", f"{s3.url}/b?list-type=2")
        assert len(listed(response, "Key")) == 10
        assert listed(response, "IsTruncated") == ["true"]


@pytest.mark.parametrize("query", ["max-keys=x", "continuation-token=%21%21"])
def test_a_bad_listing_request_is_refused(s3, pool, query):
    response = pool.request("GET", f"{s3.url}/b?list-type=2&{query}")
    assert response.status == 400
    assert ET.fromstring(response.data).findtext("Code") == "InvalidArgument"


def test_a_bucket_of_another_region_is_redirected(pool):
    with S3Server({"b": {}}, elsewhere={"far": "eu-central-1"}) as s3:
        for path in ("/far?list-type=2", "/far/key"):
            response = pool.request("GET", s3.url + path, redirect=False)
            assert response.status == 301
            assert response.headers["x-amz-bucket-region"] == "eu-central-1"
            assert ET.fromstring(response.data).findtext("Code") == "PermanentRedirect"


def test_the_log_tells_what_was_asked_on_which_connection(s3, get, pool):
    get(Range="bytes=1-3")
    get("missing/k%C3%A9y")
    pool.request("GET", f"{s3.url}/b?list-type=2&prefix=o")
    first, second, third = s3.log
    assert (first.method, first.bucket, first.key, first.range) == ("GET", "b", "a", "bytes=1-3")
    assert (first.status, first.sent, second.status, second.key) == (206, 3, 404, "missing/kéy")
    assert (third.method, third.key, third.query["prefix"]) == ("LIST", "", "o")
    assert {request.connection for request in s3.log} == {1}
    assert s3.connections == 1
    assert s3.requests(method="LIST") == [third]
    s3.clear_log()
    assert s3.requests() == []


def test_the_log_counts_what_is_under_way_at_once(s3):
    s3.fault(delay=0.3)
    threads = [
        threading.Thread(target=lambda: urllib.request.urlopen(f"{s3.url}/b/a").close())
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert s3.peak() == 3
    assert s3.peak(key="nothing") == 0


def test_a_file_and_a_large_object_out_of_thin_air(tmp_path, pool):
    path = tmp_path / "on-disk"
    path.write_bytes(BODY)
    huge = S3Object(Generated(10 << 30), forced_etag="deadbeef-1280")
    with S3Server({"b": {"disk": path, "huge": huge}}) as s3:
        assert pool.request("GET", f"{s3.url}/b/disk").data == BODY
        head = pool.request("HEAD", f"{s3.url}/b/huge")
        assert head.headers["Content-Length"] == str(10 << 30)
        assert head.headers["ETag"] == '"deadbeef-1280"'
        start = (7 << 30) + 123
        part = pool.request(
            "GET", f"{s3.url}/b/huge", headers={"Range": f"bytes={start}-{start + 3 * MIB - 1}"}
        )
        assert part.data == huge.blob.read(start, start + 3 * MIB)
        assert part.headers["Content-Range"].endswith(f"/{10 << 30}")


def test_generated_content_is_a_function_of_seed_and_place():
    blob, other = Generated(5 * MIB, seed=1), Generated(5 * MIB, seed=2)
    whole = blob.read(0, blob.size)
    assert len(whole) == blob.size
    assert whole[MIB - 5 : 3 * MIB + 7] == blob.read(MIB - 5, 3 * MIB + 7)
    assert whole[:MIB] != whole[MIB : 2 * MIB]
    assert whole != other.read(0, other.size)


def test_the_crc64_is_the_one_s3_means():
    value = base64.b64decode(S3Object(b"123456789").checksum_headers["x-amz-checksum-crc64nvme"])
    assert value.hex() == "ae8b14860a799888"  # the check value in the catalogues of CRCs
    assert S3Object(b"123456789", checksum="crc32c").checksum_headers == {
        "x-amz-checksum-crc32c": "4waSgw==",
        "x-amz-checksum-type": "FULL_OBJECT",
    }


def test_the_made_up_bucket_is_refused_where_the_real_one_is(pool):
    recipe = Recipe(subjects=("sub-01",), sessions=("ses-01",), figures_per_session=0)
    objects = make_bucket(recipe)
    with S3Server({"laion-fmri": objects}, forbidden=(*HELD_OUT, *GATED)) as s3:
        statuses = {
            key: pool.request("HEAD", f"{s3.url}/laion-fmri/{key}").status for key in objects
        }
    refused = {key for key, status in statuses.items() if status == 403}
    assert set(statuses.values()) == {200, 403}
    assert refused == {key for key in objects if "ses-31" in key or key in GATED}


def test_a_fault_of_the_servers_own_is_not_swallowed(pool):
    def break_it():
        raise ValueError("a bug in the testbed")

    s3 = S3Server({"b": {"a": BODY}})
    s3.fault(before=break_it)
    s3.__enter__()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        pool.request("GET", f"{s3.url}/b/a")
    with pytest.raises(RuntimeError, match="a bug in the testbed"):
        s3.__exit__(None)


def test_what_is_not_http_is_hung_up_on(s3, get):
    with socket.create_connection(("127.0.0.1", s3.port), timeout=5) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert drain(connection) == b""
    assert get().status == 200


def test_it_stands_in_for_a_proxy(s3):
    with urllib3.ProxyManager(s3.url, retries=False) as proxy:
        assert proxy.request("GET", "http://bucket.invalid/b/a").data == BODY
    assert s3.log[0].headers["host"] == "bucket.invalid"


def test_https(tmp_path):
    certificate, context = own_certificate(tmp_path)
    with (
        S3Server({"b": {"a": BODY}}, tls=context) as s3,
        urllib3.PoolManager(ca_certs=str(certificate), retries=False) as pool,
    ):
        assert s3.url.startswith("https://")
        assert pool.request("GET", f"{s3.url}/b/a").data == BODY


def own_certificate(folder):
    """Return a file with a fresh certificate for 127.0.0.1, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "testbed")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "testbed.pem"
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def test_a_fault_says_what_it_does():
    fault = Fault(flip=3)
    assert fault.corrupt(b"abcdef", 0) == b"abc\x9bef"
    assert fault.corrupt(b"abcdef", 4) == b"abcdef"
