"""Hours of work on shared machines: full quotas, caches that vanish, odd contents, closed files."""

import errno
import fcntl
import io
import json
import os
import pickle
import resource
import shutil
import signal
import stat
import tarfile
import threading
import time
import warnings
import zipfile
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neurofetch
from neurofetch.errors import (
    CacheWarning,
    DestinationError,
    DiskFullError,
    OfflineError,
    RemoteChangedError,
    UnreachableError,
    UsageError,
    VerificationError,
    WrongTypeError,
)
from neurofetch.opening import cached_path
from neurofetch.opening.cache import Cache, cache_at
from neurofetch.opening.entry import Entry, Version
from neurofetch.opening.filesystem import NeurofetchFileSystem
from neurofetch.opening.uses import Uses
from testbed._blobs import Generated
from testbed._faults import Reply
from testbed._objects import MODIFIED, serve_object
from testbed.s3 import S3Object
from tests.engine_world import noise
from tests.opening.test_open_web import Web
from tests.opening_world import BLOCK

# -- paths ---------------------------------------------------------------------------------------


class Downloads(Web):
    """A server on which only the query says which file is meant."""

    def locate(self, method, path, query):
        return method, "", f"{path.removeprefix('/')}?{query.get('file', '')}"


@pytest.mark.parametrize("name", ["download", "d/image.nii.gz", "api/access/:persistentId"])
def test_paths_of_files_that_differ_in_the_query_alone_are_two(world, name):
    with Downloads() as server:
        one, two = server.put(f"{name}?1", b"one" * 9), server.put(f"{name}?2", b"two" * 9)
        paths = [cached_path(f"{server.url}/{name}?file={number}") for number in (1, 2)]
        assert [path.read_bytes() for path in paths] == [one, two]
        assert {path.name for path in paths} == {name.rpartition("/")[2]}


def test_files_of_one_folder_and_one_query_lie_beside_each_other(world):
    with Downloads() as server:
        for ending in ("vhdr", "eeg"):
            server.put(f"d/a.{ending}?x", ending.encode())
        paths = [cached_path(f"{server.url}/d/a.{ending}?file=x") for ending in ("vhdr", "eeg")]
        assert paths[0].parent == paths[1].parent


def test_a_path_that_is_asked_for_again_is_not_read_again(world, monkeypatch):
    world.put_noise("a", blocks=40)
    first = world.opener().cached_path("s3://b/a")
    before = world.served()
    read = []
    monkeypatch.setattr(Entry, "read", lambda _, number: read.append(number))
    assert world.opener().cached_path("s3://b/a") == first
    assert (read, world.served()) == ([], before)


# -- the limit -----------------------------------------------------------------------------------


def kept_bytes(world):
    return sum(one.lstat().st_blocks * 512 for one in world.cache.rglob("data"))


def test_a_file_larger_than_the_limit_is_read_and_the_cache_keeps_its_limit(world):
    data = world.put_noise("a", blocks=60)
    with world.open(cache_limit=10 * BLOCK) as file:
        with pytest.warns(CacheWarning, match=r"reached its limit of 655,360 bytes.*cache_limit="):
            assert file.read() == data
        assert 5 * BLOCK <= kept_bytes(world) <= 10 * BLOCK
        file.seek(0)
        assert file.read() == data
        assert kept_bytes(world) <= 10 * BLOCK


def test_files_that_stay_open_do_not_lead_beyond_the_limit(world):
    contents = {key: world.put_noise(key, blocks=6, seed=ord(key)) for key in "abcdef"}
    opener = world.opener(cache_limit=20 * BLOCK)
    files = {key: opener.open(f"s3://b/{key}") for key in contents}
    with pytest.warns(CacheWarning, match="all that is in it is in use"):
        assert {key: file.read() for key, file in files.items()} == contents
    assert kept_bytes(world) <= 20 * BLOCK
    for file in files.values():
        file.close()
    world.put_noise("g", blocks=6)
    with opener.open("s3://b/g") as file:  # those that were closed make room
        file.read()
        before = world.served("g")
        file.seek(0)
        file.read()
    assert world.served("g") == before
    assert kept_bytes(world) <= 20 * BLOCK


@pytest.mark.filterwarnings("ignore::neurofetch.errors.CacheWarning")
def test_a_file_larger_than_the_limit_is_verified_when_it_is_read_from_front_to_back(world):
    world.put_noise("a", blocks=40)
    world.s3.fault(key="a", method="GET", flip=20 * BLOCK + 5)
    with world.open(cache_limit=10 * BLOCK) as file, pytest.raises(VerificationError):
        list(iter(lambda: file.read(BLOCK), b""))


def test_a_path_that_was_asked_for_is_kept_whatever_the_limit(world):
    data = world.put_noise("a", blocks=40)
    path = world.opener(cache_limit=10 * BLOCK).cached_path("s3://b/a")
    assert path.read_bytes() == data


@pytest.mark.filterwarnings("ignore::neurofetch.errors.CacheWarning")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_who_makes_room_gets_a_path_in_the_same_session(world, monkeypatch, number):
    data = world.put_noise("a", blocks=5)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as full:
        full.setattr(Entry, "write", refuse)
        for _ in range(2):
            with pytest.raises(DestinationError, match=r"[Mm]ake room"):
                world.opener().cached_path("s3://b/a")
    assert world.opener().cached_path("s3://b/a").read_bytes() == data


@pytest.mark.filterwarnings("ignore::neurofetch.errors.CacheWarning")
def test_a_disk_that_was_full_is_tried_again_after_a_while(world, monkeypatch):
    data = world.put_noise("a", blocks=5)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as full:
        full.setattr(Entry, "write", refuse)
        with world.open() as file:
            assert file.read() == data
    for pause, kept in ((60.0, False), (0.0, True)):
        monkeypatch.setattr("neurofetch.opening.cache._PAUSE", pause)
        with world.open() as file:
            assert file.read() == data
        assert (kept_bytes(world) >= len(data)) == kept


@pytest.mark.parametrize("when", ["before it is removed", "half removed"])
def test_what_a_process_that_was_killed_had_put_away_is_removed(world, monkeypatch, when):
    world.put_noise("a", blocks=5)
    path = world.opener().cached_path("s3://b/a")
    cache = Cache(world.cache)
    cache.uses.all = set

    def killed(folder):
        if when == "half removed":
            (folder / "about.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("neurofetch.opening.cache.removed", killed)
        with pytest.raises(KeyboardInterrupt):
            cache.sweep(0)
    assert kept_bytes(world) > 0
    cache.sweep()
    assert kept_bytes(world) > 0  # perhaps somebody is at it
    monkeypatch.setattr("neurofetch.opening.cache._ABANDONED", -1.0)
    cache.sweep()
    assert kept_bytes(world) == 0
    assert not path.exists()


# -- huge files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [4 << 10, 64 << 10, 1 << 20, 64 << 20])
def test_a_file_of_a_terabyte_costs_only_the_blocks_that_are_read(tmp_path, block):
    size = 1 << 40
    Entry.describe(tmp_path / "e", Version("p", "t", size), size, block, "crc64nvme")
    numbers = [0, 5, size // block // 2, size // block - 1]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for _ in range(2):
        entry = Entry(tmp_path / "e", size, block, "crc64nvme")
        for number in numbers:
            if not entry.has(number):
                entry.write(number, bytes([number % 251]) * entry.length(number))
        assert not entry.complete
        assert not entry.has(numbers[2] + 1)
        assert entry.read(numbers[2])[:1] == bytes([numbers[2] % 251])
        entry.close()
    assert time.process_time() - began < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * block // 1024 + 50_000


def test_a_look_into_a_terabyte_brings_one_block_and_large_blocks_come_one_by_one(world):
    world.s3.put("t", S3Object(Generated(1 << 40), checksum=None, forced_etag="0" * 32 + "-9"))
    with world.open("t", block_size="1 MiB") as file:
        file.seek(-5, 2)
        assert len(file.read(10)) == 5
        file.seek(1 << 50)
        assert file.read(10) == b""
    assert world.served("t") == 1 << 20
    with world.open("t", block_size="32 MiB", cache_dir=False) as file:
        for number in range(3):
            file.pread(10, number * (32 << 20))
    assert world.served("t") == (1 << 20) + 3 * (32 << 20)


# -- a cache that vanishes, or is shared ---------------------------------------------------------


@pytest.mark.parametrize("what", ["", "entries", "uses", "files"])
def test_a_cache_may_be_removed_while_its_files_are_open(world, what):
    data = world.put_noise("a", blocks=20)
    file = world.open()
    file.read(10)
    cached_path("s3://b/a", block_size=BLOCK)
    shutil.rmtree(world.cache / what)
    assert cached_path("s3://b/a", block_size=BLOCK).read_bytes() == data
    assert file.read() == data[10:]
    file.close()
    before = world.served()
    with world.open() as again:
        assert again.read() == data
        Cache(world.cache).sweep(0)
        assert len(world.entries()) == 1  # it is known to be in use
    assert world.served() == before


def test_too_many_open_files_cost_no_entry_of_the_cache(world):
    data = world.put_noise("a", blocks=3)
    with world.open() as file:
        file.read()
    (entry,) = world.entries()
    told = json.loads((entry / "about.json").read_text())
    version = Version(told["place"], told["tag"], told["size"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        for spare in range(5):
            cache, held = Cache(world.cache), []
            with pytest.raises(OSError, match="Too many"):
                held.extend(iter(lambda: os.open("/dev/null", os.O_RDONLY), None))
            for fd in held[:spare]:
                os.close(fd)
            try:
                with warnings.catch_warnings(record=True) as told_of:
                    warnings.simplefilter("always")
                    got = cache.entry(version, "crc64nvme")
            finally:
                for fd in held[spare:]:
                    os.close(fd)
            assert got is not None or "ulimit -n" in str(told_of[0].message)
            if got is not None:
                cache.leave(got)
            cache.close()
            assert not cache.stopped
            assert (entry / "data").stat().st_size == len(data)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def as_on_nfs(monkeypatch):
    """Let `flock` behave as on NFS (see flock(2)): an exclusive lock needs a writable file."""
    flock = fcntl.flock

    def refuse(fd, how):
        writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        if how & fcntl.LOCK_EX and not writable:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(fd, how)

    monkeypatch.setattr("fcntl.flock", refuse)


def test_on_nfs_who_lives_is_known_by_its_lock(tmp_path, monkeypatch):
    as_on_nfs(monkeypatch)
    mine, others = Uses(tmp_path / "uses"), Uses(tmp_path / "uses")
    mine.begin("old")
    (path,) = (tmp_path / "uses").iterdir()
    os.utime(path, (1000, 1000))  # a notebook that is open for days
    assert others.all() == {"old"}
    (tmp_path / "uses" / "dead").write_text("+gone\n")
    assert others.all() == {"old"}
    assert not (tmp_path / "uses" / "dead").exists()
    mine.close()


def test_who_is_looked_at_while_it_begins_holds_its_lock_all_the_same(tmp_path, monkeypatch):
    flock, looked = fcntl.flock, []

    def one_looks(fd, how):
        if how & fcntl.LOCK_EX and not looked:  # another process looks at the file just now
            looked.append(os.open(next((tmp_path / "uses").iterdir()), os.O_RDONLY))
            flock(looked[0], fcntl.LOCK_SH)
            threading.Timer(0.1, os.close, looked).start()
        flock(fd, how)

    monkeypatch.setattr("fcntl.flock", one_looks)
    mine = Uses(tmp_path / "uses")
    mine.begin("a")
    assert looked
    assert Uses(tmp_path / "uses").all() == {"a"}
    mine.close()


@pytest.mark.parametrize("which", ["_data", "_index"])
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_an_entry_that_another_machine_removed_is_read_from_the_server(
    world, monkeypatch, which, number
):
    data = world.put_noise("a", blocks=20)
    with world.open() as file:
        file.read()
        entry = file._reader.entry
        stale = getattr(entry, which)

        def refuse(call):
            def called(fd, *arguments):
                if fd == stale:
                    raise OSError(number, os.strerror(number))
                return call(fd, *arguments)

            return called

        if number == errno.ESTALE:
            monkeypatch.setattr("os.pwrite", refuse(os.pwrite))
        monkeypatch.setattr("os.preadv", refuse(os.preadv))
        file.seek(0)
        assert file.read() == data
        monkeypatch.undo()
    assert not cache_at(world.cache, block=BLOCK).stopped


DEEP = [b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000, b"\xff\xfe", b"null", b'{"size": 1e400}']


@pytest.mark.parametrize("name", ["about.json", "whole.json", "latest"])
@pytest.mark.parametrize("content", DEEP, ids=["list", "object", "number", "bytes", "null", "inf"])
def test_what_stands_in_the_documents_of_a_cache_leads_to_no_error(world, name, content):
    data = world.put_noise("a", blocks=3)
    with world.open() as file:
        file.read()
    where = world.entries()[0] / name if name != "latest" else next(world.cache.glob("latest/*"))
    where.write_bytes(content)
    with world.open() as file:
        assert file.read() == data


@pytest.mark.parametrize(
    "change",
    [
        {"block": 1},
        {"block": 10**13},
        {"block": 10**400},
        {"block": True},
        {"block": -1},
        {"crc": {}},
        {"crc": ["crc32"]},
        {"size": 10**30},
        {"size": True},
    ],
    ids=str,
)
def test_what_an_entry_says_of_itself_is_within_bounds(world, change):
    data = world.put_noise("a", blocks=3)
    with world.open() as file:
        file.read()
    about = world.entries()[0] / "about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), **change}))
    with world.open() as file:
        assert file.read() == data
    assert 0 < json.loads(about.read_text())["block"] <= 64 << 20


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o002])
@pytest.mark.parametrize("there", [True, False], ids=["a folder that is there", "a new one"])
def test_no_other_user_can_look_into_a_cache_or_change_it(world, umask, there):
    world.put_noise("a", blocks=3)
    if there:
        world.cache.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        cached_path("s3://b/a", block_size=BLOCK)
    finally:
        os.umask(before)
    for one in world.cache.iterdir():
        mode = stat.S_IMODE(one.lstat().st_mode)
        assert not mode & (0o077 if one.is_dir() else 0o022), one


# -- closing -------------------------------------------------------------------------------------


def test_a_file_that_is_closed_while_another_thread_reads_it_ends_that_read_well(world):
    data = world.put_noise("a", blocks=40)
    world.s3.fault(key="a", method="GET", delay=0.3)
    file, got = world.open(), []
    reading = threading.Thread(target=lambda: got.append(file.pread(40 * BLOCK, 0)))
    reading.start()
    time.sleep(0.1)
    file.close()
    for act in (lambda: file.pread(1, 0), file.read):
        with pytest.raises(UsageError, match="is closed"):
            act()
    reading.join()
    assert got == [data]
    cache = cache_at(world.cache, block=BLOCK)
    assert not cache.stopped
    assert not cache._open


def test_what_a_failed_read_left_under_way_is_written_to_no_other_file(world, tmp_path):
    data = world.put_noise("a", blocks=40)
    world.s3.fault(key="a", method="GET", skip=1, times=1, status=403)
    world.s3.fault(key="a", method="GET", delay=0.4)
    file = world.open()
    file.read(1)
    with pytest.raises(neurofetch.errors.RefusedError):
        file.read()
    file.close()
    others = [(tmp_path / f"mine-{number}").open("w+b") for number in range(8)]
    time.sleep(1)
    assert [os.fstat(one.fileno()).st_size for one in others] == [0] * 8
    for one in others:
        one.close()
    world.s3.clear_faults()
    assert not cache_at(world.cache, block=BLOCK).stopped
    with world.open() as again:
        assert again.read() == data


# -- as Python's own files -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "buffer",
    [bytearray(), bytearray(5), np.empty(0), np.empty((0, 3)), np.empty((3, 4)), np.empty(7, bool)],
    ids=["empty", "bytes", "no numbers", "no rows", "rows", "truth"],
)
def test_buffers_of_all_shapes_are_filled_as_python_fills_them(world, buffer):
    data = world.put_noise("a", blocks=1)
    own = io.BytesIO(data)
    with world.open() as file:
        assert file.readinto(buffer) == (
            count := own.readinto(bytearray(memoryview(buffer).nbytes))
        )
        assert memoryview(buffer).tobytes() == data[:count]
        assert file.tell() == own.tell()


@pytest.mark.parametrize("errors", ["bogus", "", "STRICT", "a\0b", 5, b"strict"])
def test_a_wrong_way_with_errors_of_text_is_told_before_any_server_is_asked(world, errors):
    with pytest.raises(UsageError, match=r"errors=.*Nothing was opened.*'replace'"):
        neurofetch.open("s3://b/a", "r", errors=errors)
    assert world.s3.requests() == []


STEPS = st.one_of(
    st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.integers(-1, 20_000)),
    st.tuples(st.just("readinto"), st.integers(0, 20_000).map(bytearray)),
    st.tuples(st.just("seek"), st.integers(0, 60_000)),
    st.tuples(st.just("seek"), st.integers(-20_000, 20_000), st.just(os.SEEK_END)),
    st.tuples(st.just("seek"), st.integers(0, 9_000), st.just(os.SEEK_CUR)),
    st.tuples(st.sampled_from(["tell", "readlines", "read", "__next__", "readable"])),
)


def outcome(file, name, *arguments):
    try:
        got = getattr(file, name)(*arguments)
    except StopIteration:
        got = "no more"
    except OSError as error:
        got = error.errno
    return got, [bytes(one) for one in arguments if isinstance(one, bytearray)], file.tell()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, max_size=25), size=st.sampled_from([0, 1, 4096, 4097, 40_000]))
def test_whatever_is_done_to_a_file_does_what_it_does_to_one_of_this_machine(world, steps, size):
    data = noise(size, 3).replace(b"a", b"\n").replace(b"b", b"\r\n")[:size]
    world.put(f"size-{size}", data)
    (world.tmp / "own").write_bytes(data)
    with world.open(f"size-{size}", block_size=4096) as file, (world.tmp / "own").open("rb") as own:
        for name, *arguments in steps:
            assert outcome(file, name, *arguments) == outcome(own, name, *arguments)


def test_an_open_text_has_the_marks_of_pythons_own(world):
    data = world.put("t", "héllo\nwörld\r\nx\n".encode() * 50)
    own = io.TextIOWrapper(io.BytesIO(data), "utf-8")
    with neurofetch.open("s3://b/t", "r") as file:
        assert (file.mode, file.encoding, file.name) == ("r", "utf-8", "s3://b/t")
        for _ in range(20):
            assert (file.readline(), file.tell()) == (own.readline(), own.tell())


@pytest.mark.parametrize("size", [0, 1, 3, 18, 19, 21, 22, 100, 70_000])
@pytest.mark.parametrize("is_one", [zipfile.is_zipfile, tarfile.is_tarfile])
def test_libraries_find_out_that_a_file_is_none_of_theirs(world, size, is_one):
    world.put("a", noise(size))
    with world.open() as file:
        assert not is_one(file)
        with pytest.raises((zipfile.BadZipFile, tarfile.ReadError)):
            (zipfile.ZipFile if is_one is zipfile.is_zipfile else fileobj)(file)


def fileobj(file):
    return tarfile.open(fileobj=file)


@pytest.mark.parametrize(
    "act",
    [
        lambda fs: fs.glob("b/*/*.tsv"),
        lambda fs: list(fs.walk("b")),
        lambda fs: fs.find("b", maxdepth=2),
        lambda fs: fs.expand_path("b/*/*"),
        lambda fs: fs.cat("b/*/*.tsv"),
    ],
    ids=["glob", "walk", "find", "expand_path", "cat"],
)
def test_files_are_not_left_out_because_a_server_fails_on_the_way(world, monkeypatch, act):
    for name in "ab":
        world.put(f"{name}/x.tsv", b"1")
    fs = NeurofetchFileSystem(skip_instance_cache=True)
    monkeypatch.setattr(type(fs), "_opener", world.opener(cache_dir=False))
    assert act(fs)
    fs.invalidate_cache()
    world.s3.fault(skip=len(world.s3.requests()) // 2, status=500)
    with pytest.raises(UnreachableError):
        act(fs)


@pytest.mark.parametrize("path", [None, 5, b"b/a", {}, os], ids=["None", "5", "b", "dict", "os"])
def test_what_is_no_text_is_no_name_of_a_file_system(world, path):
    fs = NeurofetchFileSystem(skip_instance_cache=True)
    for act in (fs.open, fs.info, fs.ls, fs.cat_file):
        with pytest.raises(WrongTypeError, match="expected a URL, as text"):
            act(path)
    assert world.s3.requests() == []


# -- verifying -----------------------------------------------------------------------------------


def test_a_whole_that_could_not_be_verified_for_want_of_a_network_is_verified_later(world):
    world.put_noise("a", blocks=6)
    with world.open() as file:
        copy = pickle.loads(pickle.dumps(file))
    copy._reader._reach = world.opener().reach
    world.s3.fault(key="a", method="GET", times=1, flip=10)
    world.s3.fault(key="a", skip=1, status=503)
    with pytest.raises(UnreachableError):
        copy.read()
    world.s3.clear_faults()
    with copy, pytest.raises(VerificationError):
        copy.read()


# -- servers that send all or nothing ------------------------------------------------------------


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
@pytest.mark.parametrize("lacks", [(), ("Content-Length",)], ids=["length", "no length"])
@pytest.mark.filterwarnings("ignore::neurofetch.errors.CacheWarning")
def test_a_full_disk_for_what_has_to_come_as_a_whole_says_what_can_be_done(world, lacks, cache_dir):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Web(ranges=False, lacks=lacks) as server:
        server.put("a.nii", noise(20 * BLOCK))
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * BLOCK, before[1]))
        try:
            with pytest.raises(DiskFullError, match="TMPDIR"):
                world.opener(cache_dir=cache_dir).open(f"{server.url}/a.nii").read(10)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("content", [b"", b"123"])
def test_a_file_of_no_known_version_has_no_path_and_it_says_why(world, content):
    with Web(lacks=["ETag", "Last-Modified"]) as server:
        server.put("a.nii", content)
        with neurofetch.open(f"{server.url}/a.nii") as file:
            assert file.read() == content
        with pytest.raises(DestinationError, match=r"no ETag, no Last-Modified.*neurofetch\.open"):
            cached_path(f"{server.url}/a.nii")


class Deaf(Web):
    """A server that knows no conditions, and leaves headers out of its answers to GET."""

    def __init__(self, left_out):
        super().__init__()
        self.left_out = left_out

    def answer(self, request):
        asked = {k: v for k, v in request.headers.items() if not k.startswith("if-")}
        reply = serve_object(self.files[request.key], asked)
        if request.method == "GET":
            kept = {k: v for k, v in reply.headers.items() if k.lower() not in self.left_out}
            return Reply(reply.status, kept, reply.blob, reply.start, reply.stop)
        return reply


@pytest.mark.parametrize(
    "left_out", [(), ("etag",), ("last-modified",), ("etag", "last-modified")], ids=" ".join
)
@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
def test_bytes_of_two_versions_do_not_meet_whatever_a_server_leaves_out(world, left_out, cache_dir):
    with Deaf(left_out) as server:
        data = server.put("a.nii", noise(20 * BLOCK, 1))
        with world.opener(cache_dir=cache_dir).open(f"{server.url}/a.nii") as file:
            assert file.pread(10, 3 * BLOCK) == data[3 * BLOCK :][:10]
            server.put("a.nii", noise(20 * BLOCK, 2), modified=MODIFIED + timedelta(days=1))
            with pytest.raises(RemoteChangedError):
                file.pread(10, 9 * BLOCK)
            with pytest.raises(RemoteChangedError):
                file.read()


# -- a data directory ----------------------------------------------------------------------------


@pytest.fixture
def fetched(world):
    data = world.put_noise("d/a.tsv", blocks=3)
    neurofetch.get("s3://b/d", world.tmp / "data", progress="none")
    return data


@pytest.mark.parametrize("path", ["../secret", "x/../../secret", "{tmp}/secret", "./../secret"])
@pytest.mark.parametrize("offline", [False, True])
def test_receipts_that_were_tampered_with_lead_to_no_file_outside(world, fetched, path, offline):
    data = world.tmp / "data"
    (data / "x").mkdir()
    secret = world.tmp / "secret"
    secret.write_bytes(fetched[::-1])
    here = (data / "a.tsv").stat()
    os.utime(secret, ns=(here.st_atime_ns, here.st_mtime_ns))
    (journal,) = data.glob(".neurofetch/receipts/*")
    told = path.format(tmp=world.tmp)
    journal.write_bytes(
        journal.read_bytes().replace(b'"path":"a.tsv"', f'"path":"{told}"'.encode())
    )
    if offline:
        with pytest.raises(OfflineError):
            world.open("d/a.tsv", data_dir=data, offline=True)
        return
    with world.open("d/a.tsv", data_dir=data) as file:
        assert file.read() == fetched


@pytest.mark.parametrize("change", ["shorter", "longer", "other bytes"])
def test_a_file_of_a_data_directory_that_changes_while_it_is_open_is_an_error(
    world, fetched, change
):
    path = world.tmp / "data" / "a.tsv"
    with world.open("d/a.tsv", data_dir=world.tmp / "data") as file:
        assert file.read(10) == fetched[:10]
        if change == "other bytes":
            path.write_bytes(fetched[::-1])
        else:
            os.truncate(path, 20 if change == "shorter" else 10 * BLOCK)
        with pytest.raises(DestinationError, match="changed while it was open"):
            file.read()
    with world.open("d/a.tsv", data_dir=world.tmp / "data") as file:
        assert file.read() == fetched


def test_sizes_beyond_all_measure_are_numbers_and_a_wrong_cache_is_named_as_such(world):
    world.put("a", b"123")
    for limit in ("9" * 400, 10**400, "9" * 30 + " TB"):
        with neurofetch.open("s3://b/a", cache_limit=limit) as file:
            assert file.read() == b"123"
    for wrong in ("", "\0", 1.5):
        with pytest.raises(UsageError, match=r"^cache_dir is "):
            neurofetch.open("s3://b/a", cache_dir=wrong)
