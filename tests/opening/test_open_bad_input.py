"""What cannot be meant: each is told in plain words, as the error that Python users expect."""

import io
import os
from pathlib import Path

import pytest

import neurofetch
import neurofetch.opening.filesystem as filesystem
from neurofetch.errors import (
    ConfigError,
    FolderGivenError,
    MissingBucketError,
    MissingRemoteError,
    NeurofetchError,
    ReadOnlyError,
    UnsafeNameError,
    UsageError,
    WrongTypeError,
)
from neurofetch.opening import cached_path
from tests.opening_world import OpenWorld

BAD_URLS = {
    "": (UsageError, "is no URL"),
    " ": (UsageError, "is no URL"),
    "a": (UsageError, "'a' is no URL"),
    "b/a": (UsageError, "Did you mean s3://b/a"),
    "/tmp/a": (UsageError, "a path of this machine.*Python's own open"),
    "./a": (UsageError, "a path of this machine"),
    "~/a": (UsageError, "a path of this machine"),
    "file:///tmp/a": (UsageError, "a path of this machine"),
    "ftp://host/a": (UsageError, "ftp: is no kind of URL"),
    "gs://b/a": (UsageError, "gs: is no kind of URL"),
    "s3:/b/a": (UsageError, "names no bucket|expected a URL"),
    "s3://": (UsageError, "names no bucket"),
    "s3:///a": (UsageError, "names no bucket"),
    "s3://b!/a": (UsageError, "cannot be the name of a bucket"),
    "https://": (UsageError, "is no URL of a server"),
    "https:///a": (UsageError, "is no URL of a server"),
    "https://host:99999999/a": (UsageError, "is no URL of a server"),
    "http://[::1/a": (UsageError, "is no URL of a server"),
    "https://user:secret@host/a": (UsageError, "holds a user or a password"),
    "openneuro:": (UsageError, "names no data set"),
    "neurofetch://": (UsageError, "names no bucket"),
}


@pytest.mark.parametrize("url", BAD_URLS, ids=[repr(url) for url in BAD_URLS])
@pytest.mark.parametrize("call", [neurofetch.open, cached_path], ids=["open", "cached_path"])
def test_a_url_that_is_none_is_told_before_any_server_is_asked(world, call, url):
    kind, words = BAD_URLS[url]
    with pytest.raises(kind, match=words) as raised:
        call(url)
    assert isinstance(raised.value, ValueError)
    assert "Nothing was opened" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert world.s3.requests() == []


@pytest.mark.parametrize("url", [None, 5, b"s3://b/a", ["s3://b/a"], Path("/x")], ids=repr)
def test_what_is_no_text_is_no_url(world, url):
    for call in (neurofetch.open, cached_path):
        with pytest.raises(WrongTypeError) as raised:
            call(url)
        assert isinstance(raised.value, TypeError)


@pytest.mark.parametrize("url", ["s3://b", "s3://b/", "s3://b/ds", "s3://b/ds/", "s3://b/ds/sub-1"])
def test_a_folder_is_no_file(world, url):
    world.put("ds/sub-1/a", b"1")
    for call in (neurofetch.open, cached_path):
        with pytest.raises(FolderGivenError, match=r"not a file\. Nothing was opened") as raised:
            call(url)
        assert isinstance(raised.value, IsADirectoryError)
        assert isinstance(raised.value, NeurofetchError)


@pytest.mark.parametrize("key", ["nothing", "ds/nothing", "ds/sub", "DS/a"])
def test_a_key_that_is_not_there(world, key):
    world.put("ds/sub-1/a", b"1")
    for call in (neurofetch.open, cached_path):
        with pytest.raises(MissingRemoteError, match=f"there is no s3://b/{key}") as raised:
            call(f"s3://b/{key}")
        assert isinstance(raised.value, FileNotFoundError)


def test_a_bucket_that_is_not_there(world):
    with pytest.raises(MissingBucketError, match="no bucket 'nowhere'") as raised:
        neurofetch.open("s3://nowhere/a")
    assert isinstance(raised.value, FileNotFoundError)


@pytest.mark.parametrize("mode", ["w", "wb", "a", "ab", "x", "xb", "r+", "r+b", "w+", "rb+", "wt"])
def test_a_mode_that_writes(world, mode):
    with pytest.raises(ReadOnlyError, match="cannot write to s3://b/a") as raised:
        neurofetch.open("s3://b/a", mode)
    assert isinstance(raised.value, PermissionError)
    assert world.s3.requests() == []


@pytest.mark.parametrize("mode", ["", "b", "t", "q", "rbt", "rr", "rU", "read", "R"])
def test_a_mode_that_is_none(world, mode):
    with pytest.raises(UsageError, match="mode is 'rb'"):
        neurofetch.open("s3://b/a", mode)
    assert world.s3.requests() == []


def test_options_of_text_for_bytes_and_wrong_ones_for_text(world):
    for more in ({"encoding": "utf-8"}, {"newline": ""}, {"errors": "strict"}):
        with pytest.raises(UsageError, match="is for text, and mode 'rb' is of bytes"):
            neurofetch.open("s3://b/a", "rb", **more)
    for more in ({"encoding": "no-such"}, {"newline": "x"}, {"encoding": 5}, {"newline": 5}):
        with pytest.raises(UsageError, match="Nothing was opened"):
            neurofetch.open("s3://b/a", "r", **more)
    with pytest.raises(WrongTypeError, match="mode is text"):
        neurofetch.open("s3://b/a", 5)
    assert world.s3.requests() == []


SETTINGS = [
    ({"cache_limit": 0}, UsageError),
    ({"cache_limit": -1}, UsageError),
    ({"cache_limit": "many"}, UsageError),
    ({"cache_limit": "0 GB"}, UsageError),
    ({"cache_limit": True}, UsageError),
    ({"cache_limit": 1.5}, WrongTypeError),
    ({"block_size": 1}, UsageError),
    ({"block_size": "1 GB"}, UsageError),
    ({"cache_dir": ""}, UsageError),
    ({"cache_dir": 5}, WrongTypeError),
    ({"data_dir": ""}, UsageError),
    ({"offline": "no"}, UsageError),
    ({"patience": -1}, UsageError),
    ({"patience": "long"}, UsageError),
    ({"region": "not a region"}, UsageError),
    ({"region": 5}, UsageError),
]


@pytest.mark.parametrize(("settings", "kind"), SETTINGS, ids=[str(one[0]) for one in SETTINGS])
def test_a_setting_that_cannot_be_used_is_told_before_any_server_is_asked(world, settings, kind):
    world.put("a", b"1")
    with pytest.raises(kind) as raised:
        neurofetch.open("s3://b/a", **settings)
    assert isinstance(raised.value, ValueError)
    with pytest.raises(kind):
        filesystem.NeurofetchFileSystem(skip_instance_cache=True, **settings)
    assert world.s3.requests() == []


@pytest.mark.parametrize("text", ["10 GB", "10GiB", "5e", "1000000", "0.5 MB", "300 kb"])
def test_sizes_as_people_write_them(world, text):
    world.put("a", b"1")
    if text == "5e":
        with pytest.raises(UsageError, match="such as '10 GB'"):
            neurofetch.open("s3://b/a", cache_limit=text)
        return
    with neurofetch.open("s3://b/a", cache_limit=text) as file:
        assert file.read() == b"1"


def test_seeks_that_lead_nowhere_and_numbers_that_are_none(world):
    world.put("a", b"123")
    with neurofetch.open("s3://b/a") as file:
        for offset, whence in ((-1, 0), (-4, 2), (-1, 1)):
            with pytest.raises(ValueError, match="before the beginning"):
                file.seek(offset, whence)
        with pytest.raises(ValueError, match="whence is 0"):
            file.seek(0, 9)
        with pytest.raises(TypeError):
            file.seek(1.5)
        with pytest.raises(ValueError, match="0 or more"):
            file.pread(-1, 0)
        assert (file.tell(), file.seek(99), file.read(), file.seek(1)) == (0, 99, b"", 1)
        assert file.read() == b"23"


def test_an_open_file_is_not_written(world):
    world.put("a", b"123")
    with neurofetch.open("s3://b/a") as file:
        for act in (lambda: file.write(b"x"), lambda: file.writelines([b"x"]), file.truncate):
            with pytest.raises(ReadOnlyError) as raised:
                act()
            assert isinstance(raised.value, OSError)
        with pytest.raises(io.UnsupportedOperation):
            file.fileno()
    with neurofetch.open("s3://b/a", "r") as file, pytest.raises(ReadOnlyError):
        file.write("x")


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", ".."])
def test_a_name_that_no_disk_takes_has_no_path_but_opens(world, name):
    if name != "..":
        world.put(f"ds/{name}", b"1")
        with world.opener().open(f"s3://b/ds/{name}") as file:
            assert file.read() == b"1"
    with pytest.raises(UnsafeNameError, match="cannot have its own name"):
        cached_path(f"s3://b/ds/{name}")


def test_an_endpoint_that_is_none_is_a_matter_of_the_environment(world, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL_S3"):
        neurofetch.open("s3://b/a")


def test_no_home_and_no_cache_named_is_no_cache(tmp_path, monkeypatch):
    with OpenWorld(tmp_path, monkeypatch) as world:
        for name in ("NEUROFETCH_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        world.put("a", b"1")
        with neurofetch.open("s3://b/a") as file:
            assert file.read() == b"1"
        with pytest.raises(UsageError, match="a path needs a cache"):
            cached_path("s3://b/a")
