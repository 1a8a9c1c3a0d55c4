"""The cache of opened files: damage is noticed, room is kept, and trouble costs no reading."""

import errno
import json
import os
import shutil
import warnings

import pytest

import neurofetch
from neurofetch.errors import (
    CacheWarning,
    DestinationError,
    DiskFullError,
    FolderGivenError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from neurofetch.opening import cached_path
from neurofetch.opening.cache import Cache
from neurofetch.opening.entry import Entry
from tests.opening_world import BLOCK


def read(world, key="a", **settings):
    with world.open(key, **settings) as file:
        return file.read()


# -- damage ------------------------------------------------------------------------------------


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))


@pytest.mark.parametrize("name", ["data", "index"])
@pytest.mark.parametrize("at", [0, 7, 12, 15, 40])
def test_a_flipped_byte_in_the_cache_costs_a_block_and_gives_no_wrong_bytes(world, name, at):
    data = world.put_noise("a")
    assert read(world) == data
    (entry,) = world.entries()
    flip(entry / name, at)
    before = world.served()
    assert read(world) == data
    assert 0 < world.served() - before <= BLOCK
    assert read(world) == data
    assert world.served() - before <= BLOCK


def _cut(path):
    os.truncate(path, path.stat().st_size // 2)


def _garbage(path):
    path.write_bytes(os.urandom(300))


def _folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def _link(path):
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def _pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _gone(path):
    path.unlink()


@pytest.mark.parametrize("name", ["data", "index", "about.json", "whole.json"])
@pytest.mark.parametrize("ruin", [_cut, _garbage, _folder, _link, _pipe, _gone])
def test_whatever_stands_in_the_place_of_a_file_of_the_cache_the_bytes_are_right(world, name, ruin):
    data = world.put_noise("a")
    assert read(world) == data
    (entry,) = world.entries()
    ruin(entry / name)
    assert read(world) == data
    assert read(world) == data


def test_an_entry_that_tells_of_another_file_is_not_believed(world):
    one, other = world.put_noise("a", seed=1), world.put_noise("b", seed=2)
    assert (read(world, "a"), read(world, "b")) == (one, other)
    first, second = world.entries()
    for name in ("about.json", "data", "index", "whole.json"):
        shutil.copy(first / name, second / name)
    assert (read(world, "a"), read(world, "b")) == (one, other)


def test_a_hole_of_zeros_is_no_block(world):
    world.put_noise("a")
    with world.open() as file:
        file.read(10)
    (folder,) = world.entries()
    entry = Entry(folder, int(5.5 * BLOCK), BLOCK, "crc64nvme")
    assert [entry.read(number) is None for number in range(6)] == [False, *[True] * 5]
    entry.close()


# -- trouble with the disk ---------------------------------------------------------------------


def full_disk(monkeypatch, *, after=0, number=errno.ENOSPC):
    """Let the disk take so many blocks, and no more."""
    written = []
    write = Entry.write

    def refuse(self, block, data):
        if len(written) >= after:
            raise OSError(number, os.strerror(number))
        written.append(block)
        write(self, block, data)

    monkeypatch.setattr(Entry, "write", refuse)


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_disk_that_takes_no_more_is_told_once_and_reading_goes_on(
    world, monkeypatch, after, number
):
    data = world.put_noise("a", blocks=12)
    full_disk(monkeypatch, after=after, number=number)
    with pytest.warns(CacheWarning, match="takes no more.*read without it") as told:
        came = [read(world), read(world)]
    assert came == [data, data]
    assert len(told) == 1


def test_on_a_full_disk_what_is_old_makes_room_first(world, monkeypatch):
    old, new = world.put_noise("old", seed=1), world.put_noise("new", seed=2)
    assert read(world, "old") == old
    (gone,) = world.entries()
    write = Entry.write

    def refuse(self, block, data):
        if gone.exists():
            raise OSError(errno.ENOSPC, "full")
        write(self, block, data)

    monkeypatch.setattr(Entry, "write", refuse)
    assert read(world, "new") == new
    assert not gone.exists()
    assert len(world.entries()) == 1


def unusable(tmp_path, kind):
    place = tmp_path / "place"
    if kind == "a file":
        place.write_text("x")
    elif kind == "below a file":
        place.write_text("x")
        place = place / "cache"
    elif kind == "a dead link":
        place.symlink_to(tmp_path / "nowhere" / "else")
    else:
        place.mkdir()
        place.chmod(0o500)
    return place


KINDS = ["a file", "below a file", "a dead link"] + ["read-only"] * (os.geteuid() != 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_that_cannot_be_written_is_told_once_and_reading_goes_on(world, tmp_path, kind):
    data = world.put_noise("a")
    place = unusable(tmp_path, kind)
    with pytest.warns(CacheWarning, match=r"Check who may write there") as told:
        came = [read(world, cache_dir=place), read(world, cache_dir=place)]
    assert came == [data, data]
    assert len(told) == 1
    with pytest.raises(DestinationError, match="could not be kept in the cache"):
        world.opener(cache_dir=place).cached_path("s3://b/a")


def test_a_path_on_a_full_disk_is_an_error_of_its_own(world, monkeypatch):
    world.put_noise("a")
    full_disk(monkeypatch)
    with (
        pytest.warns(CacheWarning),
        pytest.raises(DiskFullError, match="Make room or check") as raised,
    ):
        world.opener(cache_dir=world.tmp / "other").cached_path("s3://b/a")
    assert raised.value.errno == errno.ENOSPC


def test_a_cache_of_another_user_is_read_without_being_written(world):
    data = world.put_noise("a")
    read(world)
    before = world.served()
    entry_open = os.open

    def refuse(path, flags, *rest, **more):
        if flags & (os.O_RDWR | os.O_WRONLY) and str(path).startswith(str(world.cache)):
            raise PermissionError(errno.EACCES, "not yours")
        return entry_open(path, flags, *rest, **more)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(os, "open", refuse)
        with world.open(cache_dir=world.cache, cache_limit="3 GB") as file:
            assert file.read() == data
    assert world.served() == before


# -- room --------------------------------------------------------------------------------------


def test_the_oldest_make_room_and_what_is_in_use_never(world):
    limit = 20 * BLOCK
    opener = world.opener(cache_limit=limit)
    for key in "abc":
        world.put_noise(key, blocks=5, seed=ord(key))
    held = opener.open("s3://b/a")
    held.read()
    for key in "bc":
        with opener.open(f"s3://b/{key}") as file:
            file.read()
    assert len(world.entries()) == 3
    world.put_noise("d", blocks=8)
    with opener.open("s3://b/d") as file:
        file.read()
    cache = Cache(world.cache, limit)
    cache.sweep()
    assert cache.used() <= limit
    places = {json.loads((one / "about.json").read_text())["place"][-1] for one in world.entries()}
    assert {"a", "d"} <= places
    assert "b" not in places
    before = world.served()
    held.seek(0)
    assert len(held.read()) == 5 * BLOCK
    assert world.served() == before
    held.close()


def test_what_was_used_last_stays(world):
    for number, key in enumerate("abcd"):
        world.put_noise(key, blocks=4, seed=number)
        read(world, key)
    for age, entry in enumerate(world.entries()):
        os.utime(entry / "about.json", (1000 + age, 1000 + age))
    stays = world.entries()[-1]
    read(world, json.loads((world.entries()[0] / "about.json").read_text())["place"][-1])
    Cache(world.cache).sweep(10 * BLOCK)
    left = world.entries()
    assert len(left) == 2
    assert stays in left


def test_a_path_that_was_given_out_stays_as_long_as_the_process(world):
    data = world.put_noise("a")
    path = world.opener().cached_path("s3://b/a")
    Cache(world.cache).sweep(0)
    assert path.read_bytes() == data


def test_an_entry_that_somebody_begins_to_use_while_room_is_made_is_put_back(world):
    data = world.put_noise("a")
    read(world)
    (entry,) = world.entries()
    cache = Cache(world.cache)
    asked = []

    def begun_meanwhile():
        asked.append(len(world.entries()))
        return set() if len(asked) == 1 else {entry.name}

    cache.uses.all = begun_meanwhile
    assert cache.sweep(0) == 0
    assert asked == [1, 0]
    before = world.served()
    assert read(world) == data
    assert world.served() == before


def test_sweeping_takes_all_that_belongs_to_a_file(world):
    world.put_noise("a")
    done = world.process(
        "from neurofetch.opening import cached_path; print(cached_path('s3://b/a'))"
    )
    path, error = done.communicate(timeout=60)
    assert done.returncode == 0, error
    assert os.path.exists(path.strip())
    Cache(world.cache).sweep(0)
    left = {str(one.relative_to(world.cache)) for one in world.cache.rglob("*") if one.is_file()}
    assert left == {"CACHEDIR.TAG"}


def test_what_a_killed_process_used_is_swept(world):
    world.put_noise("a")
    process = world.process(
        "import time\n"
        "from neurofetch.opening import cached_path\n"
        "print(cached_path('s3://b/a'), flush=True); time.sleep(60)"
    )
    path = process.stdout.readline().strip()
    cache = Cache(world.cache)
    assert cache.sweep(0) == 0
    assert os.path.exists(path)
    process.kill()
    process.communicate()
    assert cache.sweep(0) == 1
    assert not os.path.exists(path)


def test_backup_programs_are_told_that_it_is_a_cache(world):
    world.put("a", b"1")
    read(world)
    tag = (world.cache / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert world.cache.stat().st_mode & 0o077 == 0


# -- whole files -------------------------------------------------------------------------------


def test_a_path_has_the_files_own_name_beside_the_others_of_its_folder(world):
    header = world.put("ds/eeg/sub-1_eeg.vhdr", b"header")
    world.put("ds/eeg/sub-1_eeg.eeg", b"data")
    world.put("ds/other/sub-1_eeg.vhdr", b"another")
    opener = world.opener()
    one = opener.cached_path("s3://b/ds/eeg/sub-1_eeg.vhdr")
    two = opener.cached_path("s3://b/ds/eeg/sub-1_eeg.eeg")
    three = opener.cached_path("s3://b/ds/other/sub-1_eeg.vhdr")
    assert (one.name, two.name) == ("sub-1_eeg.vhdr", "sub-1_eeg.eeg")
    assert one.parent == two.parent != three.parent
    assert (one.read_bytes(), three.read_bytes()) == (header, b"another")


def test_what_was_read_before_is_not_fetched_again_for_a_path(world):
    data = world.put_noise("a", blocks=10)
    with world.open() as file:
        file.read(4 * BLOCK)
    assert world.opener().cached_path("s3://b/a").read_bytes() == data
    assert sorted(world.blocks_asked()) == list(range(10))
    assert world.opener().cached_path("s3://b/a").read_bytes() == data
    assert world.served() == len(data)


def test_a_path_leads_to_the_new_version_and_who_has_the_old_one_open_keeps_it(world):
    old, new = world.put_noise("a", seed=1), None
    path = world.opener().cached_path("s3://b/a")
    with path.open("rb") as file:
        new = world.put_noise("a", seed=2)
        assert world.opener().cached_path("s3://b/a") == path
        assert path.read_bytes() == new
        assert file.read() == old


def test_a_path_whose_file_was_changed_by_somebody_is_mended(world):
    data = world.put_noise("a")
    path = world.opener().cached_path("s3://b/a")
    flip(path, 100)
    assert world.opener().cached_path("s3://b/a").read_bytes() == data
    path.unlink()
    assert world.opener().cached_path("s3://b/a").read_bytes() == data


def test_wrong_bytes_get_no_path(world):
    world.put_noise("a")
    world.s3.fault(key="a", method="GET", flip=10)
    with pytest.raises(VerificationError):
        world.opener().cached_path("s3://b/a")
    assert not list(world.cache.glob("files/*/*"))


def test_a_path_needs_a_cache_and_a_file(world):
    world.put("ds/a", b"1")
    with pytest.raises(UsageError, match="a path needs a cache"):
        world.opener(cache_dir=False).cached_path("s3://b/ds/a")
    with pytest.raises(FolderGivenError):
        world.opener().cached_path("s3://b/ds")


def test_an_object_that_changes_while_it_is_brought_is_brought_anew(world):
    world.put_noise("a", seed=1, blocks=40)
    new = world.put_noise("new", seed=2, blocks=40)
    world.s3.change("a", new, skip=2)
    assert world.opener().cached_path("s3://b/a").read_bytes() == new


# -- without a network ---------------------------------------------------------------------------


def test_what_is_in_the_cache_is_read_offline_and_nobody_is_asked(world):
    data = world.put_noise("a", blocks=4)
    read(world)
    world.s3.clear_log()
    assert read(world, offline=True) == data
    assert world.opener(offline=True).cached_path("s3://b/a").read_bytes() == data
    assert world.s3.requests() == []


def test_offline_what_is_not_here_says_so(world):
    world.put_noise("a", blocks=4)
    with pytest.raises(UnreachableError, match=r"is not here, and no server is asked \(offline\)"):
        world.open(offline=True)
    with world.open() as file:
        file.read(10)
    world.s3.clear_log()
    with world.open(offline=True) as file:
        assert len(file.read(BLOCK)) == BLOCK
        with pytest.raises(UnreachableError, match="this part of it is not in the cache"):
            file.read()
    assert world.s3.requests() == []


def test_without_a_network_the_copy_is_read_and_a_warning_says_so(world):
    data = world.put_noise("a", blocks=4)
    read(world)
    world.s3.fault(status=503)
    with pytest.warns(CacheWarning, match="its server cannot be reached. What is read is the copy"):
        assert read(world) == data
    with pytest.raises(UnreachableError, match="503"):
        read(world, "b")


# -- a data directory ------------------------------------------------------------------------------


@pytest.fixture
def fetched(world):
    """A data directory with a file of the bucket."""
    world.put("ds/dataset_description.json", b'{"Name": "x", "BIDSVersion": "1.9.0"}')
    data = world.put_noise("ds/sub-1/anat/sub-1_T1w.nii.gz")
    root = world.tmp / "data"
    neurofetch.get("s3://b/ds", root, progress="none")
    world.s3.clear_log()
    return root, data


KEY = "ds/sub-1/anat/sub-1_T1w.nii.gz"


def test_what_is_in_a_data_directory_is_read_there(world, fetched):
    root, data = fetched
    assert read(world, KEY, data_dir=root) == data
    path = world.opener(data_dir=root, cache_dir=False).cached_path(f"s3://b/{KEY}")
    assert path == root / "sub-1/anat/sub-1_T1w.nii.gz"
    assert world.gets() == []
    assert not world.entries()
    world.s3.clear_log()
    assert read(world, KEY, data_dir=root, offline=True) == data
    assert world.s3.requests() == []


def test_what_changed_here_or_there_is_not_taken_from_a_data_directory(world, fetched):
    root, _ = fetched
    local = root / "sub-1/anat/sub-1_T1w.nii.gz"
    new = world.put_noise(KEY, seed=3)
    assert read(world, KEY, data_dir=root) == new
    neurofetch.get("s3://b/ds", root, progress="none")
    assert world.opener(data_dir=root).cached_path(f"s3://b/{KEY}") == local
    flip(local, 3)
    assert read(world, KEY, data_dir=root) == new


def test_a_data_directory_of_another_bucket_is_no_source(world, fetched):
    root, _ = fetched
    world.s3._buckets["c"] = {}
    world.s3.put(KEY, b"another", bucket="c")
    with world.opener(data_dir=root).open(f"s3://c/{KEY}") as file:
        assert file.read() == b"another"


def test_a_data_directory_that_is_not_there_is_an_error_before_anything_is_asked(world):
    world.put("a", b"1")
    with pytest.raises(DestinationError, match="does not exist"):
        neurofetch.open("s3://b/a", data_dir=world.tmp / "nowhere")
    assert world.s3.requests() == []


def test_the_public_names_do_the_same(world):
    data = world.put_noise("a")
    assert cached_path("s3://b/a").read_bytes() == data
    with neurofetch.open("s3://b/a", cache_limit="1 GB", block_size="64 KiB", patience=1) as file:
        assert file.read() == data
    assert world.served() == len(data)
