"""What the server does badly: each thing is mended, or what is lost is named."""

import errno
import gzip
import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurofetch.engine import read_receipts
from neurofetch.errors import DestinationError, DiskFullError
from neurofetch.model import IncompleteError
from neurofetch.store.partials import name_of
from testbed.neurovault import NeuroVault, html_page
from testbed.neurovault_maps import brain_map, brain_map_gz
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]


@pytest.fixture
def tls(certificate, tls, monkeypatch):
    """Give a server's context whose certificate this process trusts."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))  # the first that is looked at
    return tls


# -- lists -----------------------------------------------------------------------------------------


def test_lists_are_asked_for_with_the_slash_and_large_pages(world):
    world.ids([7], [101])
    for request in world.server.requests(key="/api/*"):
        assert request.status == 200
        assert request.key.partition("?")[0].endswith("/")
    assert world.server.requests(key="/api/collections/7/images/?limit=1000")


@pytest.mark.parametrize("cap", [1, 2, 3, 5, 1000])
def test_pages_of_any_length(world, cap):
    world.habits.page_cap = cap
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]


def test_rows_that_repeat_or_are_missing_are_found(world):
    world.vault.add_collection(50, images=range(1000, 1040))
    world.habits.page_cap = 10
    world.habits.unordered_collections = True
    world.habits.repeat_rows = 3
    assert ids_of(world.ids([50])) == list(range(1000, 1040))
    world.habits.repeat_rows, world.habits.skip_rows = 0, 1
    assert ids_of(world.ids([50], mode="overwrite")) == list(range(1000, 1040))


def test_a_next_that_loops_is_noticed(world):
    rows = world.vault.images_of(7)
    page = {"count": 9, "next": world.server.api_url, "previous": None, "results": rows}
    body = json.dumps(page).replace("https://neurovault.org", world.server.url).encode()
    world.server.fault(key="/api/collections/7/images/*", body=body)
    assert ids_of(world.ids([7])) == [5, 6, 7]
    assert len(world.server.requests(key="/api/collections/7/images/*")) < 12
    assert not (world.root / ".neurofetch/collections/7.json").exists()  # not known to be whole


@pytest.mark.parametrize("broken", [1000, 1017, 1039])
def test_a_500_page_is_halved_until_the_broken_record_is_isolated(world, broken):
    world.vault.add_collection(50, images=range(1000, 1040))
    world.habits.broken = [broken]
    bunch, text = world.warned([50])
    assert ids_of(bunch) == [n for n in range(1000, 1040) if n != broken]
    assert "500" in text
    if broken == 1017:
        assert "image 1017: the server cannot show its record" in text
    else:
        side = "before image 1001" if broken == 1000 else "after image 1038"
        assert side in text
    assert len(world.server.requests(key="/api/collections/50/images/*")) < 25
    world.habits.broken = []
    world.server.clear_log()
    assert ids_of(world.ids([50])) == list(range(1000, 1040))
    assert len(world.media()) == 1


def test_a_record_that_broke_later_is_no_loss_when_the_image_is_here(world):
    world.ids(image_ids=[102])
    world.habits.broken = [102]
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]


def test_a_collection_and_an_image_of_one_number_are_two_things(world):
    world.vault.add_image(404, 7)
    world.server.fault(key="/media/*map_404*", status=404)
    bunch, _ = world.warned([404, 7])
    assert [o.path for o in bunch.report.failures] == [
        "collection 404",
        "collection_7/image_404.nii.gz",
    ]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_full_disk_is_named(world, monkeypatch):
    real = os.fsync

    drafts = [name_of(f"image_{number}_metadata.json") for number in (5, 6, 7)]

    def full(descriptor):
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.startswith(tuple(drafts)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="disk is full"):
        world.ids([7])
    monkeypatch.undo()
    monkeypatch.setenv("NEUROVAULT_API_URL", world.server.api_url)
    assert ids_of(world.ids([7])) == [5, 6, 7]


def test_a_transient_500_of_a_page_loses_nothing(world):
    world.server.fault(key="/api/collections/1952/images/*", times=1, status=500)
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]


def test_a_server_that_fails_all_pages_is_named_soon(world):
    world.server.fault(key="/api/collections/1952/images/*", status=500)
    bunch, text = world.warned([1952, 7])
    assert ids_of(bunch) == [5, 6, 7]
    assert "collection 1952: 500" in text
    assert len(world.server.requests(key="/api/collections/1952/images/*")) < 80


@pytest.mark.parametrize("status", [502, 503, 504, 429])
def test_front_end_errors_pass(world, status):
    world.server.fault(key="/api/*", times=2, status=status, headers={"Retry-After": "0"})
    world.server.fault(key="/media/*", times=1, status=status)
    assert ids_of(world.ids([7], [101])) == [5, 6, 7, 101]


@pytest.mark.parametrize(
    "body",
    [html_page(200, "Busy"), b'{"count": 3, "res', b""],
    ids=["html", "torn", "empty"],
)
def test_a_200_that_is_no_json_is_asked_for_again_then_named(world, body):
    world.server.fault(key="/api/collections/7/images/*", times=1, body=body)
    assert ids_of(world.ids([7])) == [5, 6, 7]
    world.server.fault(key="/api/collections/1952/images/*", body=body)
    _, text = world.warned([1952])
    kind = "an HTML page" if body[:1] == b"<" else "something else"
    assert f"collection 1952: {kind} instead of JSON" in text


def test_unknown_and_private_ids_are_named(world):
    world.vault.add_collection(9, images=[90], private=True)
    bunch, text = world.warned([9, 404, 7], [90, 998])
    assert ids_of(bunch) == [5, 6, 7]
    assert "collection 9: it is private (403)" in text
    assert "collection 404: the server knows none of this id" in text
    assert "images 90, 998: the server knows none of this id, or it is private (404)" in text


def test_html_403_and_404_are_as_good_as_json(world):
    world.server.fault(key="/api/images/5/", status=404)
    world.server.fault(key="/api/collections/1952/*", status=403)
    _, text = world.warned([1952], [5])
    assert "collection 1952: it is private (403)" in text
    assert "image 5: the server knows none" in text


def test_a_server_that_is_gone_is_not_asked_for_ever(world):
    world.ids([7])
    world.server.fault(reset=True)
    bunch, text = world.warned([7], range(2000, 2100))
    assert ids_of(bunch) == [5, 6, 7]
    assert "not asked any more" in text
    assert all(str(number) in text for number in range(2000, 2100))
    assert len(world.server.log) < 200


# -- image ids in bulk -----------------------------------------------------------------------------


def test_many_ids_of_few_collections_come_by_page(world):
    world.vault.add_collection(50, images=range(1000, 1200))
    world.vault.add_collection(51, images=range(3000, 3100))
    wanted = [*range(1100, 1200), *range(3000, 3050)]
    assert ids_of(world.ids(image_ids=wanted)) == wanted
    assert len(world.server.requests(key="/api/*")) < 25


def test_ids_of_many_collections_are_asked_for_one_by_one(world):
    for number in range(30):
        world.vault.add_collection(100 + number, images=[5000 + number])
    wanted = range(5000, 5030)
    assert ids_of(world.ids(image_ids=wanted)) == list(wanted)
    assert len(world.server.requests(key="/api/*/images/*")) == 0
    assert len(world.server.requests(key="/api/*")) == 60


# -- volumes ---------------------------------------------------------------------------------------


def test_a_plain_volume_is_stored_gzipped_under_the_expected_name(world):
    world.vault.add_image(8, 7, filename="plain.nii")
    world.vault.add_image(9, 7, filename="twice.nii.nii.gz")
    assert ids_of(world.ids([7])) == [5, 6, 7, 8, 9]
    assert gzip.decompress(world.file(7, 8).read_bytes()) == brain_map(8 % 6)
    assert world.file(7, 9).read_bytes() == brain_map_gz(9 % 6)
    world.server.clear_log()
    world.ids([7])
    assert world.server.log == []


def test_odd_names_nidm_folders_and_stray_encodings(world):
    world.vault.add_image(8, 7, filename="sub dir/zstat 1+é%.nii.gz")
    assert world.habits.stray_encoding
    assert ids_of(world.ids(image_ids=[8])) == [8]
    world.server.fault(key="/media/*map_5*", headers={"Content-Encoding": "gzip"})
    assert ids_of(world.ids(image_ids=[5])) == [5]
    assert nib.load(world.file(7, 5)).get_fdata().any()
    for request in world.media():
        assert request.headers["accept-encoding"] == "identity"
        assert "range" not in request.headers


def test_a_large_volume_that_is_cut_once_comes_whole(world):
    values = np.random.default_rng(0).random((70, 80, 60), dtype=np.float32)
    content = gzip.compress(nib.Nifti1Image(values, np.eye(4)).to_bytes(), 1)
    assert len(content) > 1 << 20
    world.vault.add_image(8, 7, volume=content)
    world.server.fault(key="/media/*map_8*", times=1, cut_after=700_000)
    assert ids_of(world.ids(image_ids=[8])) == [8]
    assert world.file(7, 8).read_bytes() == content


def test_a_file_that_is_missing_on_the_server_is_named(world):
    world.vault.add_image(8, 7, missing=True)
    bunch, text = world.warned([7])
    assert ids_of(bunch) == [5, 6, 7]
    assert "image 8: 404 Not Found (by its record, file_size 0, the server has no file)" in text
    assert bunch.report.failures[0].path == "collection_7/image_8.nii.gz"


def test_a_file_size_of_zero_is_no_reason_not_to_try(world):
    world.vault.images[6]["file_size"] = 0
    assert ids_of(world.ids([7])) == [5, 6, 7]


def test_a_record_without_a_file_is_named(world):
    world.vault.images[6]["file"] = None
    bunch, text = world.warned([7])
    assert ids_of(bunch) == [5, 7]
    assert "image 6: its record names no file" in text


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (brain_map_gz(1)[:-20], "cut before its end"),
        (b"\x1f\x8b" + b"\0" * 300, "gzip"),
        (gzip.compress(b"plain text" * 100, mtime=0), "no NIfTI header"),
    ],
    ids=["cut", "corrupt", "text"],
)
def test_a_bad_file_on_the_server_never_takes_the_name(world, content, cause):
    world.vault.add_image(8, 7, volume=content)
    bunch, text = world.warned([7])
    assert ids_of(bunch) == [5, 6, 7]
    assert f"image 8: {cause}" in text or cause in text
    assert not world.file(7, 8).exists()
    assert not (world.root / "collection_7/image_8_metadata.json").exists()


def test_a_size_other_than_announced_is_named(world):
    world.vault.images[6]["file_size"] += 1
    _, text = world.warned([7])
    assert "image 6: /" in text or "announced" in text


def test_http_addresses_of_the_servers_own_host_are_asked_for_by_https(world, tls, monkeypatch):
    # as the real one: the records say http, on whose port there is a redirect, or here nobody
    with NeuroVault(tls=tls, public_url="http://127.0.0.1") as secure:
        secure.vault.add_collection(3, images=[31, 32])
        monkeypatch.setenv("NEUROVAULT_API_URL", secure.api_url)
        assert ids_of(world.ids([3])) == [31, 32]
        assert [r.status for r in secure.log] == [200] * 4
        assert secure.connections <= 4
    assert world.server.log == []


# -- a bad file in the cache -----------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["empty", "cut", "html", "flipped", "gone"])
@pytest.mark.parametrize("with_receipts", [True, False])
def test_a_bad_file_in_the_cache_is_fetched_again_or_named_offline(world, damage, with_receipts):
    world.ids([7])
    path = world.file(7, 6)
    good = path.read_bytes()
    if not with_receipts:
        for receipts in (world.root / ".neurofetch/receipts").iterdir():
            receipts.unlink()
    spoil(path, good, damage)
    bunch, text = world.warned([7], mode="offline")
    assert ids_of(bunch) == [5, 7]
    assert "image 6: " in text
    world.server.clear_log()
    assert ids_of(world.ids([7])) == [5, 6, 7]
    assert [r.key for r in world.media()] == ["/media/images/7/map_6.nii.gz"]
    assert path.read_bytes() == good


def test_filters_fetch_a_bad_file_again_too(world):
    world.ids([7])
    world.file(7, 6).write_bytes(b"")
    with pytest.warns(UserWarning, match="image 6: damaged: an empty file"):
        bunch = world.filtered(None, {"id": 7}, mode="offline")
    assert ids_of(bunch) == [5, 7]
    assert sorted(ids_of(world.filtered(None, {"id": 7}))) == [5, 6, 7]


def test_what_another_program_put_there_is_read_to_its_end_once(world):
    world.ids([7])
    shutil.rmtree(world.root / ".neurofetch/receipts")
    world.ids([7])
    receipts = read_receipts(world.root / ".neurofetch")
    assert set(receipts) == {f"collection_7/image_{n}.nii.gz" for n in (5, 6, 7)}


def spoil(path, good, damage):
    if damage == "gone":
        path.unlink()
        return
    middle = len(good) // 2
    flipped = (
        good[:middle] + bytes(255 - b for b in good[middle : middle + 40]) + good[middle + 40 :]
    )
    spoilt = {"empty": b"", "cut": good[:-999], "html": b"<html></html>", "flipped": flipped}
    path.write_bytes(spoilt[damage])


@pytest.mark.parametrize(
    "content",
    ['{"id": 6, "na', "", "[]", '{"id": 7}'],
    ids=["torn", "empty", "list", "other"],
)
def test_a_torn_record_is_asked_for_again_or_named_offline(world, content):
    world.ids([7])
    record = world.root / "collection_7/image_6_metadata.json"
    record.write_text(content)
    bunch, text = world.warned([7], mode="offline")
    assert ids_of(bunch) == [5, 7]
    assert "image 6: its record cannot be used" in text
    world.server.clear_log()
    assert ids_of(world.ids([7])) == [5, 6, 7]
    assert world.media() == []
    assert world.json(7, 6)["name"] == "map 6"


def test_a_torn_collection_record_is_asked_for_again(world):
    world.ids([7])
    record = world.root / "collection_7/collection_metadata.json"
    record.write_text('{"id": 7, "na')
    assert world.ids([7]).collections_meta[0]["name"] == "Collection 7"
    assert json.loads(record.read_text())["name"] == "Collection 7"


@pytest.mark.parametrize("content", ['{"id": 7, "na', None], ids=["torn", "gone"])
def test_a_collections_record_is_mended_also_for_single_images(world, content):
    world.ids(image_ids=[6])
    record = world.root / "collection_7/collection_metadata.json"
    record.unlink()
    if content is not None:
        record.write_text(content)
    bunch = world.ids(image_ids=[6], mode="offline")
    assert bunch.collections_meta == [{"id": 7}]
    world.server.clear_log()
    assert world.ids(image_ids=[6]).collections_meta[0]["name"] == "Collection 7"
    assert [r.key for r in world.server.log] == ["/api/collections/7/"]
    assert json.loads(record.read_text())["name"] == "Collection 7"


# -- stopping --------------------------------------------------------------------------------------


def test_it_stops_early_when_too_many_fail_in_a_row(world):
    world.vault.add_collection(50, images=range(1000, 1040))
    world.server.fault(key="/media/*", status=404)
    _, text = world.warned([50], max_failures=3)
    assert len(world.media()) < 20
    assert "not begun" in text
    assert all(str(number) in text for number in range(1000, 1040))


def test_on_error_raise_comes_after_the_rest(world):
    world.server.fault(key="/media/*map_101*", status=404)
    with pytest.raises(IncompleteError, match="image 101: 404") as caught:
        world.ids([1952], on_error="raise", connections=1)
    assert len(caught.value.report.paths) == 4
    assert ids_of(world.ids(image_ids=range(102, 106), mode="offline")) == [102, 103, 104, 105]


def test_a_file_in_the_way_is_a_clear_error(world, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/neurovault").write_text("in the way")
    with pytest.raises(DestinationError, match="is a file"):
        world.ids([7])


def test_the_usual_patience_is_the_engines(world):
    world.server.fault(key="/media/*map_6*", times=2, status=503)
    assert ids_of(world.ids([7], rules=None)) == [5, 6, 7]
    assert len(world.media("*map_6*")) == 3
