"""Files of plain web servers: with or without parts, ETags, times, lengths; signed addresses."""

import pickle
from datetime import UTC, datetime, timedelta

import pytest

import neurofetch
import neurofetch.opening.filesystem as filesystem
from neurofetch.errors import (
    MissingRemoteError,
    NetworkAwayError,
    ProtocolError,
    RefusedError,
    RemoteChangedError,
    ServerError,
    VerificationError,
)
from neurofetch.opening import cached_path
from testbed._blobs import Bytes
from testbed._faults import Reply
from testbed._objects import MODIFIED, S3Object, serve_object
from testbed._wire import WireServer
from testbed.s3 import HTML_PAGE
from tests.engine_world import noise
from tests.opening_world import BLOCK

SECRET = "0123SECRET"


class Web(WireServer):
    """A web server of a few files; what it tells of them can be taken away.

    Parameters
    ----------
    lacks
        Names of headers that it does not send.
    ranges
        Whether it sends parts.
    """

    def __init__(self, *, lacks=(), ranges=True):
        super().__init__()
        self.files = {}
        self.lacks = {name.lower() for name in lacks}
        self.ranges = ranges
        self.more = {}

    def locate(self, method, path, _):
        return method, "", path.removeprefix("/")

    def answer(self, request):
        item = self.files.get(request.key)
        if item is None:
            return Reply(404, {"Content-Type": "text/html"}, Bytes(HTML_PAGE))
        if isinstance(item, str):
            return Reply(302, {"Location": item})
        asked = dict(request.headers)
        if not self.ranges:
            asked.pop("range", None)
        reply = serve_object(item, asked)
        kept = {k: v for k, v in reply.headers.items() if k.lower() not in self.lacks}
        return Reply(reply.status, {**kept, **self.more}, reply.blob, reply.start, reply.stop)

    def put(self, path, content, **how):
        self.files[path] = S3Object(content, checksum=None, **how)
        return content

    def served(self):
        return sum(request.sent for request in self.requests("GET"))


@pytest.fixture
def web(world):
    """Return a function that starts a web server."""
    started = []

    def start(**how):
        server = Web(**how)
        server.__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__(None, None, None)


WAYS = {
    "all": {},
    "no etag": {"lacks": ["ETag"]},
    "no time": {"lacks": ["Last-Modified"]},
    "neither": {"lacks": ["ETag", "Last-Modified"]},
    "no parts": {"ranges": False},
    "no parts, nothing told": {"ranges": False, "lacks": ["ETag", "Last-Modified"]},
    "no parts, and it says so": {"ranges": False, "lacks": ["Accept-Ranges"]},
}


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_file_of_any_web_server_is_read_right(world, web, way, cache_dir):
    server = web(**way)
    if way.get("ranges") is False and "Accept-Ranges" in way.get("lacks", ()):
        server.more["Accept-Ranges"] = "none"
    data = server.put("d/sub-1 T1w.nii", noise(int(5.5 * BLOCK)))
    opener = world.opener(cache_dir=cache_dir)
    url = f"{server.url}/d/sub-1%20T1w.nii"
    for _ in range(2):
        with opener.open(url) as file:
            file.seek(2 * BLOCK)
            assert file.read(50) == data[2 * BLOCK :][:50]
            file.seek(0)
            assert file.read() == data
    told = {"ETag", "Last-Modified"} - set(way.get("lacks", ()))
    if told and cache_dir is None:
        # The first part that is asked for tells whether there are parts: that answer is dropped.
        assert server.served() <= len(data) * (1 if way.get("ranges", True) else 2)
        assert opener.cached_path(url).name == "sub-1 T1w.nii"


def test_a_look_into_a_server_that_sends_parts_does_not_bring_the_whole(world, web):
    server = web()
    server.put("a.nii", noise(30 * BLOCK))
    with world.opener().open(f"{server.url}/a.nii") as file:
        file.read(10)
    assert server.served() == BLOCK


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
def test_a_whole_that_comes_in_one_answer_survives_cut_lines(world, web, cache_dir):
    server = web(ranges=False)
    data = server.put("a.nii", noise(int(5.5 * BLOCK)))
    server.fault(method="GET", skip=1, times=2, cut_after=100_000)
    with world.opener(cache_dir=cache_dir).open(f"{server.url}/a.nii") as file:
        assert file.read() == data


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
def test_a_whole_that_comes_in_one_answer_is_verified(world, web, cache_dir):
    server = web(ranges=False)
    server.put("a.nii", noise(int(5.5 * BLOCK)))
    server.fault(method="GET", times=1, flip=100)
    with (
        world.opener(cache_dir=cache_dir).open(f"{server.url}/a.nii") as file,
        pytest.raises(VerificationError, match="differ"),
    ):
        file.read()


@pytest.mark.parametrize("lacks", [(), ("ETag",)], ids=["etag", "time alone"])
@pytest.mark.parametrize("ranges", [True, False], ids=["parts", "no parts"])
def test_a_file_that_changes_under_the_reader_is_an_error(world, web, lacks, ranges):
    server = web(lacks=lacks, ranges=ranges)
    server.put("a.nii", noise(20 * BLOCK, 1))
    with world.opener().open(f"{server.url}/a.nii") as file:
        if ranges:
            file.read(10)
        later = MODIFIED + timedelta(days=1)
        server.put("a.nii", noise(20 * BLOCK, 2), modified=later)
        with pytest.raises(RemoteChangedError, match="changed on the server"):
            file.read()
    with world.opener().open(f"{server.url}/a.nii") as file:
        assert file.read() == noise(20 * BLOCK, 2)


def test_a_weak_etag_tells_versions_apart(world, web):
    server = web(lacks=["Last-Modified"])
    server.more["ETag"] = 'W/"one"'
    data = server.put("a.nii", noise(5 * BLOCK, 1))
    url = f"{server.url}/a.nii"
    with world.opener().open(url) as file:
        assert file.read(10) == data[:10]
        server.more["ETag"] = 'W/"two"'
        server.put("a.nii", noise(5 * BLOCK, 2))
        with pytest.raises(RemoteChangedError):
            file.read()


def chunked(body, *, etag='"v"'):
    def send(sock, request, reply):
        head = f"HTTP/1.1 200 OK\r\nETag: {etag}\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(head.encode())
        if request.method == "GET":
            for at in range(0, len(body), 50_000):
                piece = body[at : at + 50_000]
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")

    return send


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
def test_a_file_of_no_stated_length_comes_as_a_whole(world, web, cache_dir):
    server = web()
    data = server.put("a.nii", noise(int(3.3 * BLOCK)))
    server.fault(key="a.nii", act=chunked(data))
    opener = world.opener(cache_dir=cache_dir)
    for _ in range(2):
        with opener.open(f"{server.url}/a.nii") as file:
            file.seek(-5, 2)
            assert file.read() == data[-5:]
            file.seek(0)
            assert file.read() == data
    if cache_dir is None:
        assert opener.cached_path(f"{server.url}/a.nii").read_bytes() == data
        before = len(server.requests("GET"))
        offline = world.opener(offline=True)
        with offline.open(f"{server.url}/a.nii") as file:
            assert file.read() == data
        assert len(server.requests("GET")) == before


def test_redirects_are_followed(world, web):
    server = web()
    data = server.put("real/a.nii", noise(3 * BLOCK))
    server.files["a.nii"] = f"{server.url}/real/a.nii"
    with world.opener().open(f"{server.url}/a.nii") as file:
        assert file.read() == data


# -- pages, refusals -----------------------------------------------------------------------------


def test_a_login_page_in_the_place_of_a_file_is_told_as_such(world, web):
    server = web()
    server.put("a.nii", noise(BLOCK))
    server.fault(status=200, body=HTML_PAGE, headers={"Content-Type": "text/html"})
    with pytest.raises(ProtocolError, match=r"a web page came in place of the file.*login portal"):
        world.opener().open(f"{server.url}/a.nii")


def test_a_portal_that_shuts_while_a_file_is_read_is_told_as_such(world, web):
    server = web()
    server.put("a.nii", noise(20 * BLOCK))
    with world.opener().open(f"{server.url}/a.nii") as file:
        file.read(10)
        server.fault(status=200, body=HTML_PAGE, headers={"Content-Type": "text/html", "ETag": ""})
        with pytest.raises(NetworkAwayError, match="only web pages of others came"):
            file.read()


@pytest.mark.parametrize("key", ["a", "ds/a.nii"])
def test_a_portal_before_a_bucket_is_told_as_such(world, web, monkeypatch, key):
    server = web()
    server.fault(status=200, body=HTML_PAGE, headers={"Content-Type": "text/html"})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    with pytest.raises(ProtocolError, match="a web page came in place of the file"):
        world.open(key)


@pytest.mark.parametrize("name", ["page.html", "page.htm", "page"])
def test_a_file_that_is_a_page_opens(world, web, name):
    server = web()
    server.put(name, HTML_PAGE)
    server.more["Content-Type"] = "text/html; charset=utf-8"
    with world.opener().open(f"{server.url}/{name}") as file:
        assert file.read() == HTML_PAGE


def test_no_such_file_and_a_refused_one(world, web):
    server = web()
    with pytest.raises(MissingRemoteError, match=r"there is no http.*/missing\.nii") as raised:
        world.opener().open(f"{server.url}/missing.nii")
    assert isinstance(raised.value, FileNotFoundError)
    server.put("a.nii", b"1")
    for status in (401, 403, 451):
        server.fault(key="a.nii", status=status, times=2)
        with pytest.raises(RefusedError, match=f"{status}.*Nothing was opened") as refused:
            world.opener().open(f"{server.url}/a.nii")
        assert isinstance(refused.value, PermissionError)


def test_a_web_server_is_not_listed_but_tells_of_one_file(world, web):
    server = web()
    server.put("d/a.nii", b"123")
    fs = filesystem.NeurofetchFileSystem(skip_instance_cache=True)
    url = f"{server.url}/d/a.nii"
    assert fs.info(url)["size"] == 3
    assert (fs.isfile(url), fs.exists(f"{server.url}/d/b.nii")) == (True, False)
    assert fs.ls(url, detail=False) == [url]
    assert fs.cat_file(url) == b"123"
    assert fs.modified(url) == datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
    assert fs.find(url) == [url]
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{server.url}/d/")
    assert fs.find(f"{server.url}/d/") == []


# -- signed addresses ----------------------------------------------------------------------------


def test_a_signed_address_is_asked_by_get_and_its_signature_is_kept_nowhere(
    world, web, caplog, recwarn
):
    server = web()
    data = server.put("a.nii", noise(5 * BLOCK))
    server.fault(method="HEAD", status=403)
    url = f"{server.url}/a.nii?X-Amz-Signature={SECRET}&X-Amz-Expires=5"
    opener = world.opener()
    caplog.set_level(0)
    with opener.open(url) as file:
        assert file.read() == data
        shown = repr(file) + str(file.name)
        file.seek(0)
        with pickle.loads(pickle.dumps(file)) as copy:
            assert copy.read() == data
    assert server.requests("HEAD") == []
    path = opener.cached_path(f"{server.url}/a.nii?X-Amz-Signature=another")
    assert path.name == "a.nii"
    assert server.served() < 2 * len(data)
    kept = "".join(
        f"{one}{one.read_bytes() if one.is_file() else b''!r}" for one in world.cache.rglob("*")
    )
    assert SECRET not in shown + kept + caplog.text + "".join(str(one) for one in recwarn)
    server.fault(method="GET", status=403)
    with pytest.raises(RefusedError) as raised:
        opener.open(url)
    assert SECRET not in str(raised.value)


def test_a_query_that_names_the_file_is_part_of_its_name(world, web):
    server = web(lacks=["ETag"])
    server.put("download", b"one")
    with neurofetch.open(f"{server.url}/download?file=1") as file:
        assert file.read() == b"one"
    server.put("download", b"two")
    with neurofetch.open(f"{server.url}/download?file=2") as file:
        assert file.read() == b"two"
    assert cached_path(f"{server.url}/download?file=2").read_bytes() == b"two"


def test_a_server_that_says_of_every_file_that_it_is_empty_is_asked_again(world, web):
    server = web()
    data = server.put("a.nii", noise(3 * BLOCK))
    server.put("empty.txt", b"")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    server.fault(method="HEAD", act=lambda sock, *_: sock.sendall(head))
    for name, content in (("a.nii", data), ("empty.txt", b"")):
        with world.opener().open(f"{server.url}/{name}") as file:
            assert file.read() == content


LIES = {
    "another range": {"content_range": "bytes 5-9/40"},
    "another total": {"content_range": "bytes 0-65535/99"},
    "no range": {"status": 206, "body": b"x"},
    "too short": {"content_length": 10},
    "an error page": {"status": 500, "body": HTML_PAGE},
    "a teapot": {"status": 418},
    "not modified": {"status": 304},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_an_answer_that_is_none_is_an_error_and_never_bytes(world, web, lie):
    server = web()
    data = server.put("a.nii", noise(5 * BLOCK))
    with world.opener().open(f"{server.url}/a.nii") as file:
        server.fault(method="GET", **lie)
        with pytest.raises(ServerError):
            file.read(100)
        server.clear_faults()
        assert file.read() == data
