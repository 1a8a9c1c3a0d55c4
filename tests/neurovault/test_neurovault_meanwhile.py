"""What is done while volumes are on their way: nothing that a volume would have to wait for."""

import subprocess
import sys
import textwrap
import time

import pytest

from neurofetch.neurovault.cache.layout import Cache
from neurofetch.neurovault.fetch import run
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]

PATIENCE = 10


def fetched(world, how):
    """Fetch the three images of collection 7, in one of the ways."""
    if how == "collection":
        return world.ids([7])
    if how == "image ids":
        return world.ids([], [5, 6, 7])
    return world.filtered(None, {"id": 7}, image_terms={})


@pytest.mark.parametrize("how", ["collection", "image ids", "filters"])
def test_volumes_do_not_wait_for_the_collection_s_record_but_their_records_do(
    world, monkeypatch, how
):
    """The class: a flush that stands between the list and the first volume."""
    before, write = [], Cache.write_collection

    def slow(cache, record):
        until = time.monotonic() + PATIENCE
        while not world.media() and time.monotonic() < until:
            time.sleep(0.01)
        before.append(bool(world.media()))
        before.append(sorted(world.root.glob("collection_7/image_*_metadata.json")))
        return write(cache, record)

    monkeypatch.setattr(Cache, "write_collection", slow)
    assert ids_of(fetched(world, how)) == [5, 6, 7]
    assert before == [True, []]
    assert world.json(7, 5)["collection_id"] == 7
    assert (world.root / "collection_7" / "collection_metadata.json").is_file()


def test_a_collection_s_record_that_cannot_be_written_is_an_error(world, monkeypatch):
    def refused(cache, record):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Cache, "write_collection", refused)
    with pytest.raises(PermissionError):
        world.ids([7])
    assert not list(world.root.glob("collection_7/image_*_metadata.json"))


def test_what_reads_volumes_is_loaded_before_the_first_one_is_asked_for(world, monkeypatch):
    asked = []
    monkeypatch.setattr(run, "load_readers", lambda: asked.append(len(world.media())))
    monkeypatch.setattr(world.server, "latency", 0.2)
    world.ids([7])
    assert asked == [0]


def test_many_threads_load_what_reads_volumes_at_once(world):
    """The class: a library of which one thread sees half, while another one loads it."""
    world.ids([7])
    code = """
        import sys, threading
        from neurofetch.neurovault.cache.volume_check import check_volume, load_readers
        begin, found = threading.Barrier(16), []
        def read(number):
            begin.wait()
            load_readers() if number % 2 else check_volume(sys.argv[1])
            found.append(number)
        threads = [threading.Thread(target=read, args=(n,)) for n in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(found))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(world.file(7, 5))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "16\n"
