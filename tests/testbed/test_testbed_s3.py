"""One suite of S3's behaviour on both servers, so that the stand-in agrees with moto."""

import base64
import hashlib
import xml.etree.ElementTree as ET
import zlib
from urllib.parse import quote, unquote_plus

import pytest
import urllib3

from testbed.moto_s3 import MotoS3
from testbed.s3 import Generated, S3Object, S3Server

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
BUCKET = "contract"
MIB = 1 << 20
WHOLE = bytes(range(256)) * 10
PARTED = Generated(12 * MIB + 345, seed=4)
MANY = {f"many/{number:04d}.txt": str(number).encode() for number in range(1203)}
OBJECTS = {
    "whole.bin": WHOLE,
    "empty": b"",
    "sub-01/ses-01/a file+é&<.txt": b"odd",
    "sub-01/ses-01/b.txt": b"b",
    "sub-01/ses-02/b.txt": b"bb",
    "sub-01.json": b"{}",
    "secret/ses-31/x": b"held out",
    "parted64": S3Object(PARTED, part_size=5 * MIB),
    "parted32": S3Object(PARTED, part_size=5 * MIB, checksum="crc32"),
    "parted256": S3Object(PARTED, part_size=6 * MIB, checksum="sha256"),
    "whole32": S3Object(WHOLE, checksum="crc32"),
    "whole256": S3Object(WHOLE, checksum="sha256"),
    "unchecked": S3Object(WHOLE, checksum=None),
    **MANY,
}


@pytest.fixture(scope="module", params=["stand-in", "moto"])
def server(request):
    if request.param == "moto":
        with MotoS3(OBJECTS, BUCKET, forbidden=("secret/*",)) as moto:
            yield moto
    else:
        with S3Server({BUCKET: OBJECTS}, forbidden=("secret/*",)) as s3:
            yield s3


@pytest.fixture(scope="module")
def pool():
    with urllib3.PoolManager(retries=False) as manager:
        yield manager


@pytest.fixture
def get(server, pool):
    def ask(key, *, method="GET", **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{server.url}/{BUCKET}/{quote(key)}"
        return pool.request(method, url, headers=names)

    return ask


@pytest.fixture
def page(server, pool):
    def ask(**query):
        fields = {"list-type": "2", **{k.replace("_", "-"): str(v) for k, v in query.items()}}
        response = pool.request("GET", f"{server.url}/{BUCKET}", fields=fields)
        assert response.status == 200, response.data
        return ET.fromstring(response.data)

    return ask


def texts(root, path):
    return [node.text for node in root.findall("/".join(NS + part for part in path.split("/")))]


def only(root, name):
    (value,) = texts(root, name)
    return value


def error_code(response):
    return ET.fromstring(response.data).findtext("Code")


def test_listing_pages_at_a_thousand_keys_and_covers_all_once(page):
    first = page()
    second = page(continuation_token=only(first, "NextContinuationToken"))
    assert only(first, "IsTruncated") == "true"
    assert only(first, "KeyCount") == only(first, "MaxKeys") == "1000"
    assert only(second, "IsTruncated") == "false"
    keys = texts(first, "Contents/Key") + texts(second, "Contents/Key")
    assert keys == sorted(OBJECTS)


def test_listing_tells_size_and_etag(page, get):
    root = page(prefix="sub-01.json")
    assert texts(root, "Contents/Key") == ["sub-01.json"]
    assert texts(root, "Contents/Size") == ["2"]
    assert texts(root, "Contents/ETag") == [get("sub-01.json").headers["ETag"]]
    assert len(texts(root, "Contents/LastModified")) == 1


def test_small_pages_walk_keys_and_common_prefixes_in_order(page):
    seen, token = [], {}
    while token is not None:
        root = page(prefix="sub-01", delimiter="/", max_keys=1, **token)
        seen += texts(root, "Contents/Key") + texts(root, "CommonPrefixes/Prefix")
        following = texts(root, "NextContinuationToken")
        token = {"continuation_token": following[0]} if following else None
    assert seen == ["sub-01.json", "sub-01/"]


def test_delimiter_rolls_folders_up(page):
    root = page(prefix="sub-01/", delimiter="/")
    assert texts(root, "CommonPrefixes/Prefix") == ["sub-01/ses-01/", "sub-01/ses-02/"]
    assert texts(root, "Contents/Key") == []
    assert only(root, "KeyCount") == "2"


def test_start_after_leaves_out_what_comes_before(page):
    root = page(prefix="many/", start_after="many/1200.txt")
    assert texts(root, "Contents/Key") == ["many/1201.txt", "many/1202.txt"]


def test_url_encoding_brings_odd_keys_through(page):
    plain = texts(page(prefix="sub-01/ses-01/a"), "Contents/Key")
    coded = texts(page(prefix="sub-01/ses-01/a", encoding_type="url"), "Contents/Key")
    assert plain == [unquote_plus(key) for key in coded] == ["sub-01/ses-01/a file+é&<.txt"]
    assert " " not in coded[0]
    assert "%2B" in coded[0]


def test_an_empty_prefix_lists_nothing(page):
    root = page(prefix="nothing/")
    assert only(root, "KeyCount") == "0"
    assert only(root, "IsTruncated") == "false"


def test_listing_shows_what_it_refuses(page, get):
    assert texts(page(prefix="secret/"), "Contents/Key") == ["secret/ses-31/x"]
    assert get("secret/ses-31/x").status == 403
    assert get("secret/ses-31/x", method="HEAD").status == 403


def test_get_and_head_tell_the_same(get):
    whole, head = get("whole.bin"), get("whole.bin", method="HEAD")
    assert whole.status == head.status == 200
    assert whole.data == WHOLE
    assert head.data == b""
    for name in ("ETag", "Content-Length", "Last-Modified", "Accept-Ranges"):
        assert whole.headers[name] == head.headers[name], name
    assert whole.headers["ETag"] == f'"{hashlib.md5(WHOLE).hexdigest()}"'


def test_an_empty_object_is_served(get):
    response = get("empty")
    assert (response.status, response.data, response.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=2500-", 2500, 2560),
        ("bytes=-10", 2550, 2560),
        ("bytes=2550-99999", 2550, 2560),
    ],
)
def test_ranges(get, asked, start, stop):
    response = get("whole.bin", Range=asked)
    assert response.status == 206
    assert response.data == WHOLE[start:stop]
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/2560"
    assert response.headers["Content-Length"] == str(stop - start)


def test_a_range_beyond_the_end_is_416(get):
    response = get("whole.bin", Range="bytes=2560-")
    assert response.status == 416
    assert error_code(response) == "InvalidRange"


def test_if_match_guards_a_range(get):
    etag = get("whole.bin", method="HEAD").headers["ETag"]
    assert get("whole.bin", Range="bytes=1-2", If_Match=etag).status == 206
    stale = get("whole.bin", Range="bytes=1-2", If_Match='"0123"')
    assert stale.status == 412
    assert error_code(stale) == "PreconditionFailed"


def test_if_none_match_saves_the_body(get):
    etag = get("whole.bin", method="HEAD").headers["ETag"]
    response = get("whole.bin", If_None_Match=etag)
    assert (response.status, response.data) == (304, b"")


@pytest.mark.parametrize(("key", "part"), [("parted64", 5), ("parted32", 5), ("parted256", 6)])
def test_a_multipart_etag_is_the_md5_of_md5s(get, key, part):
    content = PARTED.read(0, PARTED.size)
    digests = [
        hashlib.md5(content[at : at + part * MIB]).digest()
        for at in range(0, len(content), part * MIB)
    ]
    response = get(key, method="HEAD")
    assert response.headers["ETag"] == f'"{hashlib.md5(b"".join(digests)).hexdigest()}-3"'
    assert response.headers["Content-Length"] == str(len(content))


def test_a_part_of_a_large_object_is_that_part(get):
    response = get("parted64", Range=f"bytes={5 * MIB - 3}-{5 * MIB + 2}")
    assert response.data == PARTED.read(5 * MIB - 3, 5 * MIB + 3)


def test_checksums_come_only_when_asked_and_never_with_a_range(get):
    def named(response):
        return {name for name in response.headers if name.startswith("x-amz-checksum-crc")}

    asked = {"x_amz_checksum_mode": "ENABLED"}
    assert named(get("parted64", **asked)) == {"x-amz-checksum-crc64nvme"}
    assert named(get("parted64", method="HEAD", **asked)) == {"x-amz-checksum-crc64nvme"}
    assert named(get("parted64")) == set()
    assert named(get("parted64", method="HEAD")) == set()
    assert named(get("parted64", Range="bytes=0-9", **asked)) == set()
    assert named(get("unchecked", **asked)) == set()


@pytest.mark.parametrize("key", ["parted32", "whole32"])
def test_a_crc_covers_the_full_object(get, key):
    item = OBJECTS[key]
    response = get(key, x_amz_checksum_mode="ENABLED")
    crc = zlib.crc32(response.data).to_bytes(4, "big")
    assert response.headers["x-amz-checksum-crc32"] == base64.b64encode(crc).decode()
    assert response.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert len(response.data) == item.size


def test_a_sha256_covers_the_full_object_only_without_parts(get):
    whole = get("whole256", x_amz_checksum_mode="ENABLED")
    digest = base64.b64encode(hashlib.sha256(WHOLE).digest()).decode()
    assert whole.headers["x-amz-checksum-sha256"] == digest
    parted = get("parted256", x_amz_checksum_mode="ENABLED")
    assert parted.headers["x-amz-checksum-type"] == "COMPOSITE"
    assert parted.headers["x-amz-checksum-sha256"].endswith("-3")


def test_what_is_missing_is_named(server, pool, get):
    response = get("no/such/key")
    assert (response.status, error_code(response)) == (404, "NoSuchKey")
    for path in ("/nobucket/x", "/nobucket?list-type=2"):
        response = pool.request("GET", server.url + path)
        assert (response.status, error_code(response)) == (404, "NoSuchBucket")


def test_objects_come_and_go(server, get, page):
    server.put("late/one", b"1")
    server.put("late/one", b"first")
    server.put("late/two", S3Object(b"second", part_size=5 * MIB))
    assert texts(page(prefix="late/"), "Contents/Size") == ["5", "6"]
    assert get("late/one").data == b"first"
    assert get("late/two", method="HEAD").headers["ETag"].endswith('-1"')
    server.delete("late/one")
    server.delete("late/two")
    assert get("late/one").status == 404
    assert texts(page(prefix="late/"), "Contents/Key") == []
