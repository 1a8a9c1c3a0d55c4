"""NeuroVault's volumes by an executor: the same bunch and cache, and no more requests at once."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from neurofetch.model import IncompleteError
from neurofetch.neurovault import fetch_neurovault
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and path.suffix in (".gz", ".json") and ".neurofetch" not in path.parts
    }


def executor_of(kind):
    if kind == "threads":
        return ThreadPoolExecutor(8)
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_collection_by_an_executor_is_the_collection(kind, world, tmp_path):
    alone = world.ids([1952, 7], data_dir=str(tmp_path / "alone"))
    world.server.clear_log()
    with executor_of(kind) as executor:
        many = world.ids([1952, 7], executor=executor)
    assert ids_of(many) == ids_of(alone)
    assert [meta["name"] for meta in many.images_meta] == [
        meta["name"] for meta in alone.images_meta
    ]
    theirs, ours = files(tmp_path / "alone"), files(world.data_dir)
    volumes = {name for name in theirs if name.endswith(".gz")}
    assert {name: ours[name] for name in volumes} == {name: theirs[name] for name in volumes}
    assert ours.keys() == theirs.keys()
    assert len(world.media()) == 8


@pytest.mark.parametrize("connections", [1, 3, None])
def test_no_more_requests_are_under_way_than_in_one_process(connections, world):
    world.server.vault.add_collection(9, images=range(200, 260))
    world.server.latency = 0.01
    with ThreadPoolExecutor(12) as executor:
        bunch = world.ids(9, executor=executor, connections=connections)
    assert len(bunch.images) == 60
    assert world.server.peak() <= (connections or 4)


def test_the_filters_of_the_other_function_take_an_executor_too(world):
    with ThreadPoolExecutor(4) as executor:
        bunch = world.filtered(max_images=3, executor=executor)
    assert len(bunch.images) == 3
    assert callable(fetch_neurovault)


def test_a_damaged_volume_is_replaced_and_nothing_else(world):
    world.ids(1952)
    path = world.file(1952, 103)
    before = path.read_bytes()
    path.write_bytes(before[:-20])
    world.server.clear_log()
    with executor_of("processes") as executor:
        world.ids(1952, executor=executor)
    assert path.read_bytes() == before
    assert len(world.media()) == 1


def test_overwrite_fetches_each_volume_once(world):
    world.ids(1952)
    world.server.clear_log()
    with ThreadPoolExecutor(4) as executor:
        world.ids(1952, mode="overwrite", executor=executor)
    assert sorted(one.key for one in world.media()) == sorted({one.key for one in world.media()})
    assert len(world.media()) == 5


def test_resampled_volumes_come_by_processes(world):
    with executor_of("processes") as executor:
        bunch = world.ids(7, resample=True, executor=executor)
    alone = world.ids(7, resample=True, data_dir=world.data_dir + "2")
    for ours, theirs in zip(bunch.images, alone.images, strict=True):
        assert Path(ours).name == Path(theirs).name
        assert np.array_equal(_data(ours), _data(theirs))


def _data(path):
    import nibabel  # noqa: PLC0415 - slow to load

    return np.asarray(nibabel.load(path).dataobj)


def test_what_the_server_has_not_is_named_as_without_an_executor(world):
    world.server.fault(status=404, key="/media/*102*", times=None)
    with ThreadPoolExecutor(4) as executor:
        bunch, text = world.warned(1952, executor=executor)
    assert "102" in text
    assert len(bunch.images) == 4
    with (
        ThreadPoolExecutor(4) as executor,
        pytest.raises(IncompleteError, match="102"),
    ):
        world.ids(1952, executor=executor, on_error="raise")


def test_a_server_that_fails_for_each_volume_is_left_alone_after_some(world):
    world.server.vault.add_collection(9, images=range(200, 300))
    world.server.fault(status=404, key="/media/*", times=None)
    with ThreadPoolExecutor(4) as executor:
        _, text = world.warned(9, executor=executor, max_failures=10)
    assert len(world.media()) < 100
    assert "200" in text
