"""The cache on disk: found, read, written and searched, beside nilearn."""

import errno
import json
import os
import threading
from pathlib import Path

import nibabel as nib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.datasets import neurovault as nilearn_neurovault
from nilearn.datasets._utils import get_dataset_dir

from neurofetch import errors as _errors
from neurofetch.neurovault.cache.index import INDEX_NAME, Index, locate, read_index, refreshed
from neurofetch.neurovault.cache.layout import (
    Cache,
    TornRecordError,
    candidate_dirs,
    find_root,
    read_json,
    write_atomically,
    write_json,
)
from testbed.neurovault_data import Vault, recorded
from testbed.neurovault_maps import brain_map_gz


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "neurovault")


def fill(cache, collection_id, image_ids, volumes=True):
    vault = Vault()
    vault.add_collection(collection_id, images=image_ids)
    cache.write_collection(vault.collections[collection_id])
    for number, record in vault.images.items():
        if volumes:
            cache.image(collection_id, number).write_bytes(brain_map_gz(number % 3))
        cache.write_image(record, collection_id)


def offline(data_dir, **kwargs):
    return nilearn_neurovault.fetch_neurovault_ids(
        mode="offline", data_dir=data_dir, verbose=0, **kwargs
    )


def test_nilearn_reads_what_we_write(cache):
    fill(cache, 1952, range(11, 14))
    for number in (11, 12, 13):  # all of them: for others nilearn asks the server, offline or not
        words = '{"data": {"values": {"motor": %.1f}}}' % (number / 10)
        cache.words(1952, number).write_text(words)
        cache.write_image(cache.read_image(1952, number), 1952)
    bunch = offline(cache.root.parent, collection_ids=[1952], fetch_neurosynth_words=True)
    assert sorted(meta["id"] for meta in bunch.images_meta) == [11, 12, 13]
    assert {Path(path) for path in bunch.images} == {cache.image(1952, n) for n in (11, 12, 13)}
    assert bunch.collections_meta[0]["name"] == "Collection 1952"
    assert bunch.vocabulary.tolist() == ["motor"]


def test_nilearn_resamples_what_we_write(cache):
    fill(cache, 1952, [11])
    bunch = offline(cache.root.parent, image_ids=[11], resample=True)
    assert Path(bunch.images[0]) == cache.resampled(1952, 11)
    assert nib.load(bunch.images[0]).header.get_zooms() == (3.0, 3.0, 3.0)


def test_nilearn_is_not_confused_by_our_index_and_partials(cache):
    fill(cache, 1952, [11])
    locate(cache, [11, 12])
    names = (".1-ab.image_99_metadata.json", ".1-ab.collection_metadata.json")
    for name in (
        *names,
        ".image_98_metadata.json.1-ab.part",
        ".collection_metadata.json.1-ab.part",
    ):
        (cache.collection_dir(1952) / name).write_text('{"id": 9')
    assert (cache.root / INDEX_NAME).is_file()
    assert [m["id"] for m in offline(cache.root.parent, collection_ids=[1952]).images_meta] == [11]
    assert cache.image_ids(1952) == [11]
    assert cache.collection_ids() == [1952]


def test_we_read_what_nilearn_writes_and_moves(cache, tmp_path):
    fill(cache, 1952, [11])
    offline(cache.root.parent, image_ids=[11])  # nilearn writes absolute paths into the JSON
    assert json.loads(cache.image_json(1952, 11).read_text())["relative_path"].startswith("/")
    moved = Cache(tmp_path / "elsewhere")
    cache.root.rename(moved.root)
    record = moved.read_image(1952, 11)
    assert record["relative_path"] == "collection_1952/image_11.nii.gz"
    assert record["absolute_path"] == str(moved.image(1952, 11))
    assert record["resampled_absolute_path"] == str(moved.resampled(1952, 11))
    collection = moved.read_collection(1952)
    assert collection["absolute_path"] == str(moved.root / "collection_1952")
    assert collection["relative_path"] == "collection_1952"


@pytest.mark.parametrize(
    ("place", "resampled"),
    [
        ("collection_658\\image_10426.nii.gz", "collection_658\\image_10426_resampled.nii.gz"),
        ("collection_658/image_10426.nii.gz", "collection_658/image_10426_resampled.nii.gz"),
        ("C:\\data\\neurovault\\collection_658\\image_10426.nii.gz", "/gone/image.nii.gz"),
    ],
    ids=["windows", "0.10", "absolute"],
)
def test_we_read_old_caches(cache, place, resampled):
    old = recorded("windows_cache_image_10426")
    old |= {"relative_path": place, "resampled_relative_path": resampled}
    old |= {"ns_words_relative_path": "gone.json", "absolute_path": "/gone"}
    write_atomically(cache.image_json(658, 10426), json.dumps(old).encode())
    record = cache.read_image(658, 10426)
    assert record["absolute_path"] == str(cache.image(658, 10426))
    assert record["resampled_relative_path"] == "collection_658/image_10426_resampled.nii.gz"
    assert "ns_words_relative_path" not in record
    assert record["name"] == "task001 left vs right motor"
    assert record["collection_id"] == 658


def test_written_json_has_what_nilearn_needs(cache):
    record = recorded("image_396069")
    del record["collection_id"]
    assert cache.write_image(record | {"absolute_path": "/x"}, 8477)
    written = json.loads(cache.image_json(8477, 396069).read_text())
    assert written["collection_id"] == 8477
    assert written["relative_path"] == "collection_8477/image_396069.nii.gz"
    assert written["resampled_relative_path"] == "collection_8477/image_396069_resampled.nii.gz"
    assert not [key for key in written if "absolute" in key]


def test_json_is_only_written_when_it_changes(cache):
    fill(cache, 1952, [11])
    path = cache.image_json(1952, 11)
    before = path.stat()
    record = read_json(path)
    assert not cache.write_image(record, 1952)
    assert not cache.write_image(cache.read_image(1952, 11), 1952)
    assert not cache.write_collection(cache.read_collection(1952))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert cache.write_image(record | {"name": "new"}, 1952)
    assert cache.read_image(1952, 11)["name"] == "new"
    assert [p.name for p in cache.root.rglob(".*")] == [".neurofetch"]
    assert list((cache.root / ".neurofetch" / "partial").iterdir()) == []


def test_torn_records_are_told_from_missing_ones_and_replaced(cache):
    assert cache.read_image(1952, 11) is None
    assert cache.read_collection(1952) is None
    fill(cache, 1952, [11])
    path = cache.image_json(1952, 11)
    whole = path.read_bytes()
    for torn in (b"", whole[:50], b"[1]", b"\xff\xfe", b'{"id": 12}'):
        path.write_bytes(torn)
        with pytest.raises(TornRecordError, match=r"image_11_metadata\.json"):
            cache.read_image(1952, 11)
    assert write_json(path, json.loads(whole))
    assert path.read_bytes() == whole


def test_a_reader_never_sees_half_a_record(cache):
    path = cache.collection_json(7)
    versions = [{"id": 7, "text": letter * 50_000} for letter in "ab"]
    write_json(path, versions[0])
    done = threading.Event()

    def rewrite():
        for turn in range(60):
            write_json(path, versions[turn % 2])
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    read = 0
    while not done.is_set():
        assert read_json(path) in versions
        read += 1
    writer.join()
    assert read > 10


def test_a_failed_write_leaves_the_old_record(cache):
    path = cache.collection_json(7)
    write_json(path, {"id": 7})
    with pytest.raises(TypeError):
        write_json(path, {"id": 7, "wrong": object()})
    assert read_json(path) == {"id": 7}
    (path.parent / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(path.parent / "folder", b"x")
    assert sorted(p.name for p in path.parent.iterdir()) == ["collection_metadata.json", "folder"]


# ---- where the cache is


@pytest.fixture
def clean_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NILEARN_SHARED_DATA", raising=False)
    monkeypatch.delenv("NILEARN_DATA", raising=False)
    (tmp_path / "file").write_text("")
    (tmp_path / "real" / "neurovault").mkdir(parents=True)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "neurovault").symlink_to(tmp_path / "real" / "neurovault")
    return tmp_path


@pytest.mark.parametrize(
    ("data_dir", "shared", "own"),
    [
        (None, None, None),
        ("{0}/new", None, None),
        ("{0}/new:{0}/real", None, None),
        ("{0}/file/new:{0}/new:{0}/newer", None, None),
        ("{0}/linked", None, None),
        (None, "{0}/shared", "{0}/own"),
        (None, "{0}/shared", "{0}/real"),
        (None, "{0}/file/none:{0}/shared", None),
        ("{0}/explicit", "{0}/real", None),
    ],
)
def test_the_folder_is_nilearns_and_looking_creates_nothing(
    clean_home, monkeypatch, data_dir, shared, own
):
    def put(text):
        return None if text is None else text.format(clean_home)

    for name, value in (("NILEARN_SHARED_DATA", shared), ("NILEARN_DATA", own)):
        if value is not None:
            monkeypatch.setenv(name, put(value))
    before = sorted(clean_home.rglob("*"))
    ours = find_root(put(data_dir))
    assert sorted(clean_home.rglob("*")) == before
    assert ours == get_dataset_dir("neurovault", put(data_dir), verbose=0)


def test_a_folder_that_cannot_be_is_an_error_that_says_where(clean_home):
    with pytest.raises(_errors.DestinationError, match="file/neurovault") as caught:
        find_root(clean_home / "file")
    assert isinstance(caught.value, OSError)
    assert find_root(clean_home / "real") == clean_home / "real" / "neurovault"


def test_candidates_without_names_are_skipped():
    found = candidate_dirs(environ={"NILEARN_SHARED_DATA": "", "NILEARN_DATA": "/a::/b"})
    assert found == [Path("/a"), Path("/b"), Path("~/nilearn_data").expanduser()]
    assert candidate_dirs("~/x", {"NILEARN_DATA": "/a"}) == [Path("~/x").expanduser()]


# ---- which collection an image is in


def commit(cache, collection_id, image_id, volume=True):
    write_json(cache.image_json(collection_id, image_id), {"id": image_id})
    if volume:
        cache.image(collection_id, image_id).write_bytes(b"")


def age(cache, seconds=100):
    for folder in cache.root.glob("collection_*"):
        stamp = folder.stat().st_mtime - seconds
        os.utime(folder, (stamp, stamp))


def test_images_are_found_in_the_order_asked(cache):
    for collection, image in ((2, 20), (1, 10), (1, 11)):
        commit(cache, collection, image)
    assert list(locate(cache, [11, 99, 20, 10, 20]).items()) == [(11, 1), (20, 2), (10, 1)]
    assert locate(Cache(cache.root / "none"), [1]) == {}


def test_known_images_need_no_listing_and_new_ones_only_that_of_changed_folders(cache):
    commit(cache, 1, 10)
    commit(cache, 2, 20)
    age(cache)
    assert locate(cache, [10]) == {10: 1}
    assert read_index(cache.root).folders.keys() == {1, 2}
    hidden = cache.collection_dir(1).stat().st_mtime
    commit(cache, 1, 11)
    os.utime(cache.collection_dir(1), (hidden, hidden))  # as if nothing had happened
    assert locate(cache, [11]) == {}
    commit(cache, 2, 21)
    assert locate(cache, [10, 20, 21]) == {10: 1, 20: 2, 21: 2}
    os.utime(cache.collection_dir(1))
    assert locate(cache, [11]) == {11: 1}


def test_a_folder_that_has_just_changed_is_not_trusted(cache):
    commit(cache, 1, 10)
    changed = cache.collection_dir(1).stat().st_mtime_ns
    assert refreshed(cache.root, Index(), now_ns=changed + 10**9).folders == {1: 0}
    assert refreshed(cache.root, Index(), now_ns=changed + 10**10).folders == {1: changed}


def test_the_index_is_checked_against_the_disk(cache):
    commit(cache, 1, 10)
    commit(cache, 2, 10, volume=False)
    age(cache)
    assert locate(cache, [10]) == {10: 1}  # the one with a volume
    cache.image_json(1, 10).unlink()
    assert locate(cache, [10]) == {10: 2}
    cache.image_json(2, 10).unlink()
    assert locate(cache, [10]) == {}


@pytest.mark.parametrize("spoil", [b"", b"NVINDEX1", b"x" * 64, b"NVINDEX1" + b"\x07" * 64])
def test_a_spoilt_index_is_made_anew(cache, spoil):
    commit(cache, 1, 10)
    (cache.root / INDEX_NAME).write_bytes(spoil)
    assert locate(cache, [10]) == {10: 1}
    assert read_index(cache.root).image_ids.tolist() == [10]


def test_the_index_is_never_required(cache):
    commit(cache, 1, 10)
    commit(cache, 2, 10, volume=False)
    commit(cache, 2, 20)
    for wanted in ([20, 10], [10, 30, 20, 40, 50, 60]):
        expected = {number: {10: 1, 20: 2}[number] for number in wanted if number in (10, 20)}
        assert locate(cache, wanted, write=False) == expected
        assert locate(Cache(cache.root / "none"), wanted, write=False) == {}
    assert not (cache.root / INDEX_NAME).exists()
    (cache.root / INDEX_NAME).mkdir()  # cannot be read, cannot be replaced
    assert locate(cache, [10]) == {10: 1}
    assert [p.name for p in cache.root.iterdir() if p.suffix == ".part"] == []


places = st.tuples(st.integers(1, 4), st.integers(1, 6))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.booleans(), places, st.booleans()), max_size=12))
def test_the_index_agrees_with_the_disk_after_any_history(tmp_path_factory, history):
    cache = Cache(tmp_path_factory.mktemp("history"))
    held = set()
    for add, (collection, image), look in history:
        if add:
            commit(cache, collection, image)
            held.add((collection, image))
        else:
            cache.image_json(collection, image).unlink(missing_ok=True)
            held.discard((collection, image))
        if look:
            age(cache)
            assert locate(cache, [3], write=False).keys() == {3} & {number for _, number in held}
            found = locate(cache, range(1, 7))
            assert found.keys() == {number for _, number in held}
            assert all((place, number) in held for number, place in found.items())


# ---- links out of the cache


def test_a_record_is_not_written_through_a_link_out_of_the_cache(cache, tmp_path):
    """Also where the folder became one a moment ago, in a directory that others may write to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    cache.root.mkdir()
    (cache.root / "collection_7").symlink_to(outside)
    with pytest.raises(_errors.UnsafeNameError, match="symbolic link"):
        write_json(cache.image_json(7, 1), {"id": 1})
    assert list(outside.iterdir()) == []
    assert list((cache.root / ".neurofetch" / "partial").glob("*")) == []
    inside = cache.root / "collection_8"
    inside.mkdir()
    (cache.root / "collection_9").symlink_to(inside)
    assert write_json(cache.image_json(9, 1), {"id": 1})
    assert read_json(inside / "image_1_metadata.json") == {"id": 1}


def test_a_record_whose_folder_is_on_another_file_system_is_written_there(cache, monkeypatch):
    cache.collection_dir(7).mkdir(parents=True)
    real = os.replace

    def replace(source, target, *, src_dir_fd, dst_dir_fd):
        if ".neurofetch" in os.readlink(f"/proc/self/fd/{src_dir_fd}"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "replace", replace)
    assert write_json(cache.image_json(7, 1), {"id": 1})
    assert os.listdir(cache.collection_dir(7)) == ["image_1_metadata.json"]
    assert os.listdir(cache.root / ".neurofetch" / "partial") == []
