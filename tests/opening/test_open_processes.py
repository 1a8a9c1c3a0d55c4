"""Threads, processes, forks and copies of open files."""

import hashlib
import multiprocessing
import os
import pickle
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import neurofetch
import neurofetch.opening.filesystem as filesystem
from neurofetch.errors import RemoteChangedError
from neurofetch.opening.cache import Cache
from tests.opening_world import BLOCK


def test_many_threads_read_one_file_object(world):
    data = world.put_noise("a", blocks=30)
    with world.open() as file:

        def look(seed):
            draw = random.Random(seed)
            for _ in range(30):
                start, size = draw.randrange(len(data)), draw.randrange(3 * BLOCK)
                assert file.pread(size, start) == data[start : start + size]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(look, range(8)))
    assert sorted(world.blocks_asked()) == sorted(set(world.blocks_asked()))


def test_a_position_is_moved_by_one_thread_at_a_time(world):
    data = world.put_noise("a", blocks=8)
    with world.open() as file, ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda _: file.read(1000), range(len(data) // 1000 + 1)))
    assert sum(map(len, pieces)) == len(data)
    assert set(pieces) == {data[at : at + 1000] for at in range(0, len(data), 1000)}


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
def test_many_threads_open_one_file_each_for_itself(world, cache_dir):
    data = world.put_noise("a", blocks=10)
    opener = world.opener(cache_dir=cache_dir)

    def look(_):
        with opener.open("s3://b/a") as file:
            return file.read() == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(16)))
    if cache_dir is None:
        assert sorted(world.blocks_asked()) == list(range(10))


def test_a_file_that_fails_for_one_thread_does_not_hold_up_another(world):
    data = world.put_noise("a", blocks=4)
    world.s3.fault(key="a", method="GET", times=4, status=503, delay=0.1)
    with world.open() as file:
        results = []

        def look():
            try:
                results.append(file.pread(100, 0) == data[:100])
            except OSError as error:
                results.append(type(error).__name__)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(results) == 3
        assert True in results


READ = """
import hashlib, sys, neurofetch
with neurofetch.open("s3://b/a", block_size=65536) as file:
    print(hashlib.sha256(file.read()).hexdigest())
"""


@pytest.mark.slow
def test_eight_processes_share_a_cache_and_each_gets_the_right_bytes(world):
    data = world.put_noise("a", blocks=60)
    world.s3.fault(key="a", method="GET", skip=10, times=5, cut_after=9000)
    processes = [world.process(READ) for _ in range(8)]
    for process in processes:
        out, error = process.communicate(timeout=120)
        assert out.strip() == hashlib.sha256(data).hexdigest(), error
    (entry,) = world.entries()
    assert (entry / "data").read_bytes() == data
    before = world.served()
    assert before < 2 * len(data)  # not eight times: who fetches a block is waited for
    with world.open() as file:
        assert file.read() == data
    assert world.served() == before


def test_a_process_that_stands_still_while_it_fetches_is_not_waited_for_long(world, monkeypatch):
    data = world.put_noise("a", blocks=3)
    world.s3.fault(key="a", method="GET", times=1, delay=60)
    process = world.process(READ)
    try:
        while not world.gets():
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr("neurofetch.opening.reader._OTHERS", 0.3)
        with world.open() as file:
            assert file.read() == data
        process.kill()
        process.communicate()
        with world.open() as file:
            assert file.read() == data
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_processes_that_are_killed_leave_a_cache_that_is_right(world):
    data = world.put_noise("a", blocks=60)
    world.s3.fault(key="a", method="GET", rate=4e6)
    for wait in (0.5, 0.7, 0.9):
        process = world.process(READ)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    world.s3.clear_faults()
    with world.open() as file:
        assert file.read() == data


@pytest.mark.slow
def test_processes_that_sweep_and_read_at_once_read_the_right_bytes(world):
    for number in range(4):
        world.put_noise(f"k{number}", blocks=10, seed=number)
    script = """
import random, sys, hashlib, neurofetch, warnings
from neurofetch.errors import CacheWarning
warnings.simplefilter("ignore", CacheWarning)  # at times, all is in use
draw = random.Random(int(sys.argv[1]))
for _ in range(30):
    key = f"k{draw.randrange(4)}"
    with neurofetch.open(f"s3://b/{key}", block_size=65536, cache_limit=20 * 65536) as file:
        print(key, hashlib.sha256(file.read()).hexdigest())
"""
    true = {
        f"k{n}": hashlib.sha256(world.s3.stored(f"k{n}").blob.read(0, 10 * BLOCK)).hexdigest()
        for n in range(4)
    }
    processes = [world.process(script, number) for number in range(4)]
    for process in processes:
        out, error = process.communicate(timeout=120)
        lines = [line.split() for line in out.splitlines()]
        assert len(lines) == 30, error
        assert all(true[key] == digest for key, digest in lines)
    cache = Cache(world.cache, 20 * BLOCK)
    cache.sweep()
    assert cache.used() <= 20 * BLOCK


# -- forks -------------------------------------------------------------------------------------


def in_child(act):
    """Run something in a forked process; return whether it came to its end."""
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if act() else 1)
        except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
            os._exit(2)
    for _ in range(300):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_reads_on_and_so_does_its_parent(world):
    data = world.put_noise("a", blocks=20)
    with world.open() as file:
        assert file.read(10) == data[:10]
        assert in_child(lambda: file.read() == data[10:])
        assert file.read() == data[10:]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_other_threads_read_leaves_no_lock_behind(world):
    data = world.put_noise("a", blocks=40)
    world.s3.fault(key="a", method="GET", delay=0.02)
    stop = threading.Event()
    with world.open(cache_dir=False) as file:

        def look():
            draw = random.Random(1)
            while not stop.is_set():
                file.pread(10, draw.randrange(len(data) - 10))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                assert in_child(lambda: file.pread(100, 5 * BLOCK) == data[5 * BLOCK :][:100])
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_a_thread_holds_when_a_process_is_forked_holds_up_no_child(world):
    data = world.put_noise("a", blocks=4)
    held, over = threading.Event(), threading.Event()
    with world.open() as file:

        def hold():
            with file._lock, file._reader._lock, file._reader.entry.lock:
                held.set()
                over.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert held.wait(10)
            assert in_child(lambda: file.read(100) == data[:100])
        finally:
            over.set()
            thread.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_block_that_a_thread_fetches_when_a_process_is_forked_is_fetched_by_the_child(world):
    data = world.put_noise("a", blocks=4)
    world.s3.fault(key="a", method="GET", times=1, delay=1.0)
    with world.open() as file:
        thread = threading.Thread(target=lambda: file.pread(10, 0))
        thread.start()
        while not world.gets():
            time.sleep(0.01)
        began = time.monotonic()
        assert in_child(lambda: file.pread(10, 0) == data[:10])
        assert time.monotonic() - began < 10
        thread.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_asks_on_connections_of_its_own(world):
    data = world.put_noise("a", blocks=8)
    with world.open() as file:
        file.read(10)
        before = world.s3.connections
        assert in_child(lambda: file.pread(10, 5 * BLOCK) == data[5 * BLOCK :][:10])
        assert world.s3.connections == before + 1
        file.pread(10, 3 * BLOCK)
        assert world.s3.connections == before + 1


def _digest(file):
    return hashlib.sha256(file.read()).hexdigest()


def _digest_of(fs, path):
    return hashlib.sha256(fs.cat_file(path)).hexdigest()


# -- copies ------------------------------------------------------------------------------------


def test_a_copy_in_another_process_reads_the_same_version_on_from_there(world):
    data = world.put_noise("a", blocks=8)
    with neurofetch.open("s3://b/a") as file:
        file.seek(100)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_digest, (file,)) == hashlib.sha256(data[100:]).hexdigest()
        with pickle.loads(pickle.dumps(file)) as copy:
            assert (copy.tell(), copy.read(), copy.name) == (100, data[100:], file.name)
        whole = pickle.dumps(file)
    world.put_noise("a", blocks=8, seed=1)
    world.cache.rename(world.tmp / "elsewhere")
    with pickle.loads(whole) as copy, pytest.raises(RemoteChangedError):
        copy.read()


def test_a_file_system_is_the_same_in_another_process(world):
    data = world.put_noise("a", blocks=8)
    fs = filesystem.NeurofetchFileSystem(cache_dir=False, block_size=BLOCK)
    copy = pickle.loads(pickle.dumps(fs))
    assert copy == fs
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        digest = pool.apply(_digest_of, (fs, "b/a"))
    assert digest == hashlib.sha256(data).hexdigest()


def test_a_read_can_be_interrupted(world):
    world.put_noise("a", blocks=8)
    world.s3.fault(key="a", method="GET", stall=30, stall_after=100)
    process = world.process(
        "import neurofetch\n"
        "file = neurofetch.open('s3://b/a')\n"
        "print('open', flush=True); file.read()",
        NEUROFETCH_READ_TIMEOUT="60",
    )
    assert process.stdout.readline() == "open\n"
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in error
    assert time.monotonic() - began < 5
