"""The twelve failures of nilearn that were measured: none of them here."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import pytest

from neurofetch import datasets
from neurofetch.model import IncompleteError
from neurofetch.neurovault import fetch_neurovault_ids
from neurofetch.neurovault.cache.layout import Cache
from neurofetch.neurovault.fetch.by_ids import ByIds
from neurofetch.neurovault.fetch.call import Call
from neurofetch.neurovault.settings import Settings
from testbed.neurovault import html_page
from tests.neurovault_world import QUICK, ids_of

pytest_plugins = ["tests.neurovault_fixtures"]

PROCESS = Path(__file__).parents[1] / "neurovault_process.py"


def test_1_a_transient_503_heals_and_a_partial_collection_is_completed(world):
    world.server.fault(key="/media/*map_103*", times=1, status=503)
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]
    world.file(1952, 104).unlink()
    (world.root / "collection_1952/image_102_metadata.json").unlink()
    world.server.clear_log()
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]
    assert [r.key for r in world.media()] == ["/media/images/1952/map_104.nii.gz"]


def test_1_what_failed_for_long_comes_with_the_next_call(world):
    world.server.fault(key="/media/*map_103*", status=503)
    bunch, text = world.warned([1952])
    assert ids_of(bunch) == [101, 102, 104, 105]
    assert "image 103: 503" in text
    world.server.clear_faults()
    world.server.clear_log()
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]
    assert len(world.media()) == 1


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"cut_after": 900}, "connection lost|ended|cut|bytes"),
        ({"body": html_page(200, "Sorry")}, "announced|HTML"),
        ({"body": b""}, "announced|empty"),
        ({"body": b'{"detail": "no"}'}, "announced|JSON"),
    ],
    ids=["cut", "html", "empty", "json"],
)
def test_2_cut_bodies_html_and_empty_files_are_never_images(world, fault, cause):
    world.server.fault(key="/media/*map_103*", times=1, **fault)
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]
    world.server.fault(key="/media/*map_6*", **fault)
    bunch, text = world.warned([7])
    assert ids_of(bunch) == [5, 7]
    assert re.search(f"image 6: .*({cause})", text)
    assert not world.file(7, 6).exists()
    assert [o.path for o in bunch.report.failures] == ["collection_7/image_6.nii.gz"]


def test_2_the_cause_is_told_where_no_size_was_announced(world):
    world.vault.images[6]["file_size"] = None
    world.server.fault(key="/media/*map_6*", body=html_page(200, "Sorry"))
    _, text = world.warned(image_ids=[6])
    assert "an HTML page (Sorry) instead of a volume" in text


def test_3_a_filter_that_the_server_ignores_is_checked_here(world):
    world.vault.collections[7]["DOI"] = "10.1/mine"
    terms = {"DOI": "10.1/mine"}
    bunch = world.filtered(None, terms, image_terms={})
    assert ids_of(bunch) == [5, 6, 7]
    assert world.server.requests(key="/api/collections/1952/*") == []
    world.habits.honour_filters = True
    bunch = world.filtered(None, terms, image_terms={}, mode="overwrite")
    assert ids_of(bunch) == [5, 6, 7]


def test_4_a_count_that_lies_ends(world):
    world.habits.count_surplus = 50
    world.habits.page_cap = 2
    assert ids_of(world.ids([1952])) == [101, 102, 103, 104, 105]
    assert len(world.server.requests(key="/api/collections/1952/images/*")) < 20


def test_5_no_record_is_rewritten_and_no_reader_meets_a_torn_one(world):
    world.ids([1952, 7])
    files = sorted(world.root.rglob("*.json"))
    before = [(f.stat().st_mtime_ns, f.stat().st_ino) for f in files]
    world.ids([1952, 7])
    world.ids([1952, 7], mode="offline")
    assert [(f.stat().st_mtime_ns, f.stat().st_ino) for f in files] == before


@pytest.mark.slow
def test_5_a_thousand_readings_while_everything_is_overwritten(world):
    world.ids([1952, 7])
    done = threading.Event()

    def rewrite():
        number = 0
        while not done.is_set():
            number += 1
            for record in world.vault.images.values():
                record["description"] = f"version {number}"
            world.ids([1952, 7], mode="overwrite")
        return number

    def read(_):
        bunch = world.ids([1952, 7], mode="offline")
        return len(bunch.images) == 8 and all("description" in m for m in bunch.images_meta)

    with ThreadPoolExecutor(5) as pool:
        writer = pool.submit(rewrite)
        try:
            good = list(pool.map(read, range(1000)))
        finally:
            done.set()
        assert writer.result() > 1
    assert all(good)


@pytest.mark.slow
def test_6_eight_processes_on_a_fresh_cache_each_get_everything(world):
    world.vault.add_collection(50, images=range(1000, 1060))
    world.server.latency = 0.02
    runs = [start(world, "--collection", "50") for _ in range(8)]
    answers = [json.loads(run.communicate(timeout=60)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0] * 8
    assert answers == [list(range(1000, 1060))] * 8
    assert 60 <= len(world.media()) <= 66
    for path in world.root.rglob("*.nii.gz"):
        assert nib.load(path).get_fdata().any()


def test_6_a_list_that_another_process_writes_meanwhile_does_not_make_us_whole(world):
    call = Call(Cache(world.root), Settings())
    wanted = ByIds(call, (7,), ())
    wanted.check_cache()
    world.ids([7])
    assert wanted.incomplete_collections == [7]


def test_7_killed_during_overwrite_the_old_file_stays_whole(world):
    world.ids([7])
    before = world.file(7, 6).read_bytes()
    world.server.fault(key="/media/*map_6*", stall=30, stall_after=2000)
    run = start(world, "--collection", "7", "--mode", "overwrite")
    wait_for(lambda: any(r.sent for r in world.media("*map_6*")[1:]))
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=10)
    assert world.file(7, 6).read_bytes() == before
    world.server.clear_faults()
    world.server.clear_log()
    assert ids_of(world.ids([7])) == [5, 6, 7]
    assert world.media() == []


def test_8_the_callers_order_is_kept_and_failures_are_named_or_raised(world):
    bunch = world.ids([1952, 7], [7, 104])
    assert ids_of(bunch) == [101, 102, 103, 104, 105, 5, 6, 7]
    assert ids_of(world.ids(image_ids=[7, 104, "5", 104])) == [7, 104, 5]
    assert ids_of(world.ids(image_ids=[7, 104, 5], mode="offline")) == [7, 104, 5]
    with pytest.raises(IncompleteError, match=r"images 999, 998: the server knows none") as caught:
        world.ids([7], [999, 101, 998], mode="overwrite", on_error="raise")
    assert [o.path for o in caught.value.report.failures] == ["image 999", "image 998"]
    assert len(caught.value.report.paths) == 4


def test_9_four_connections_are_kept_alive_and_more_may_be_asked_for(world, monkeypatch):
    world.vault.add_collection(50, images=range(1000, 1040))
    world.server.latency = 0.02
    world.ids([50])
    assert world.server.connections <= 4
    assert 3 <= world.server.peak() <= 4
    world.server.connections = 0
    world.server.clear_log()
    monkeypatch.setenv("NEUROFETCH_NEUROVAULT_CONNECTIONS", "9")
    world.ids([50], mode="overwrite")
    assert 5 <= world.server.peak() <= 9
    world.server.clear_log()
    world.ids([50], mode="overwrite", connections=2)
    assert world.server.peak() == 2


def test_10_one_image_offline_does_not_read_every_collection(world, monkeypatch):
    world.ids([1952, 7])
    opened = []
    real = open

    def spy(path, *rest, **keywords):
        opened.append(os.fspath(path) if not isinstance(path, int) else "")
        return real(path, *rest, **keywords)

    monkeypatch.setattr("builtins.open", spy)
    assert ids_of(world.ids(image_ids=[6], mode="offline")) == [6]
    read = {Path(name).name for name in opened if "neurovault/collection_" in name}
    assert "collection_1952" not in "".join(opened)
    assert read <= {"image_6_metadata.json", "collection_metadata.json", "image_6.nii.gz"}


def test_11_the_timeout_counts_for_image_ids(world):
    world.server.fault(key="/api/images/6/*", delay=5)
    began = time.monotonic()
    bunch, text = world.warned(image_ids=[6, 7], timeout=0.15)
    assert time.monotonic() - began < 3
    assert ids_of(bunch) == [7]
    assert "no byte for 0.15 s" in text


def test_12_text_that_begins_with_none_is_kept(world):
    world.vault.images[5] |= {"name": "None of the voxels", "description": "nullified by sham"}
    world.vault.images[5] |= {"modality": "None / Other", "figure": "null", "contrast": "N/A"}
    world.ids([7])
    bunch = world.ids([7], mode="offline")
    meta = bunch.images_meta[0]
    assert meta["name"] == "None of the voxels"
    assert meta["description"] == "nullified by sham"
    assert [meta[key] for key in ("modality", "figure", "contrast")] == [None] * 3


def start(world, *arguments):
    """Start a process that fetches, and prints the ids that it got."""
    command = [sys.executable, str(PROCESS), world.data_dir, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def test_the_same_call_through_the_alias(world):
    assert datasets.fetch_neurovault_ids is fetch_neurovault_ids
    assert ids_of(
        datasets.fetch_neurovault_ids(
            image_ids=[6], data_dir=world.data_dir, rules=QUICK, verbose=0
        )
    ) == [6]
