"""A system that gives few threads, or little address space: fewer threads, and all files."""

import ctypes
import os
import signal
import sys
import threading
import time

import pytest

from laion_fmri.volumes.byte_stream import ahead
from neurofetch._pool import Pool
from neurofetch._threads import room_for_threads, small_stacks, start, started, together
from neurofetch.transfer.stream import stream
from tests.engine_world import OPTIONS, PART, World, noise, planned, ran

LARGE = noise(7 * PART + 5, 3)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def put_all(world):
    for n in range(60):
        world.put(f"t{n:02}", noise(500 + n, n))
    for n in range(3):
        world.put(f"w{n}", noise(PART - 1, 100 + n))
    world.put("large", LARGE)


def here(world):
    return {key: world.s3.stored(key).blob for key in world.s3._buckets["b"]}


def assert_all_here(world):
    expected = {key: blob.read(0, blob.size) for key, blob in here(world).items()}
    assert world.files() == expected
    world.assert_clean()


@pytest.fixture(params=[0, 1, 3])
def few(request, monkeypatch):
    """The system gives so many threads with our names at once, and no more."""
    real, living = threading.Thread.start, []

    def start_one(thread):
        if thread.name.startswith("neurofetch"):
            living[:] = [one for one in living if one.is_alive()]
            if len(living) >= request.param:
                raise RuntimeError("can't start new thread")
            living.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    return request.param


def test_all_files_come_with_few_threads_or_none(world, few):
    put_all(world)
    report = world.fetch()
    assert [outcome for outcome in report if not outcome.ok] == []
    assert_all_here(world)


def test_all_files_come_from_far_away_with_few_threads_or_none(world, few, monkeypatch):
    """Connections are made ahead there, in threads of their own."""
    monkeypatch.setattr("neurofetch.net.client._QUICK_DIAL", 0.0)
    put_all(world)
    with world.fetcher() as fetcher:
        report = ran(fetcher, planned(fetcher), OPTIONS)
    assert report.ok
    assert_all_here(world)


def test_calls_are_made_with_few_threads_or_none(few):
    assert together([lambda n=n: n * n for n in range(20)], threads=8) == [n * n for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        together([lambda: 1 // 0], threads=8)


def test_a_pool_works_with_few_threads_or_none(few):
    with Pool(8, "neurofetch-test") as pool:
        futures = [pool.submit(lambda n: 60 // n, n) for n in range(6)]
        with pytest.raises(ZeroDivisionError):
            futures[0].result()
        assert [one.result() for one in futures[1:]] == [60, 30, 20, 15, 12]


def test_a_stream_comes_with_few_threads_or_none(world, few):
    content = noise(5 << 20, 4)
    world.put("one", content)
    with world.fetcher() as fetcher:
        (remote,) = fetcher.source.walk("one")
        assert b"".join(bytes(part) for part in stream(fetcher.client, remote)) == content


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [1500, 600, 350])
def test_all_files_come_with_little_address_space(
    tmp_path, monkeypatch, certificate, tls, megabytes
):
    with World(tmp_path, monkeypatch, tls=tls) as world:
        world.s3.latency = 0.02
        put_all(world)
        process = world.start(
            "--usual", "--address-space", str(megabytes), AWS_CA_BUNDLE=str(certificate[0])
        )
        report, code, err = world.finish(process)
        assert code == 0, err
        assert len(report) == 64
        assert_all_here(world)


# -- what it rests on ------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc or musl")
def test_threads_have_small_stacks_and_those_of_others_keep_theirs():
    before = threading.stack_size()
    over, sizes = threading.Event(), []
    ours = start(lambda: sizes.append(_stack()) or over.wait(5), 1, "neurofetch-test")
    assert threading.stack_size() == before
    other = threading.Thread(target=lambda: sizes.append(_stack()) or over.wait(5))
    while not sizes:
        time.sleep(0.001)
    other.start()
    while len(sizes) < 2:
        time.sleep(0.001)
    over.set()
    for thread in [*ours, other]:
        thread.join()
    small, usual = sizes
    assert small <= 2 << 20
    assert usual == before or usual > small


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_process_that_is_forked_while_a_thread_starts_can_start_threads():
    """A loader forks its workers, say, while another thread fetches."""
    begun = threading.Event()

    def slowly():
        with small_stacks():
            begun.set()
            time.sleep(0.3)

    thread = threading.Thread(target=slowly)
    thread.start()
    begun.wait()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)
        os._exit(started(lambda: None, "forked") is None)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()


def _stack():
    """Return the size of this thread's stack, as the system tells it."""

    class Attributes(ctypes.Structure):
        _fields_ = [("opaque", ctypes.c_char * 64)]

    libc = ctypes.CDLL(None)
    attributes, size = Attributes(), ctypes.c_size_t()
    libc.pthread_self.restype = ctypes.c_ulong
    libc.pthread_getattr_np(ctypes.c_ulong(libc.pthread_self()), ctypes.byref(attributes))
    libc.pthread_attr_getstacksize(ctypes.byref(attributes), ctypes.byref(size))
    return size.value


@pytest.mark.parametrize(
    ("free", "expected"), [(-(5 << 20), 0), (100 << 20, 0), (400 << 20, 2), (1 << 40, 15_000)]
)
def test_threads_leave_room_for_the_rest(free, expected, monkeypatch):
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * 4096
    monkeypatch.setattr("neurofetch._threads._address_space", lambda: used + free)
    room = room_for_threads()
    assert expected - 2 <= room
    assert room <= expected * 1.1 + 2


def test_without_a_limit_there_is_room(monkeypatch):
    monkeypatch.setattr("neurofetch._threads._address_space", lambda: None)
    assert room_for_threads() > 10_000


def test_a_loader_reads_without_a_thread_of_its_own(monkeypatch):
    def refused(_):
        raise RuntimeError("can't start new thread")

    class Reader:
        def fill(self, buffer, position):
            buffer[:] = bytes(range(position, position + len(buffer)))

    jobs = [(0, 5), (7, 2), (3, 0)]
    usual = [bytes(one) for one in ahead(Reader(), jobs)]
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert [bytes(one) for one in ahead(Reader(), jobs)] == usual == [b"\0\1\2\3\4", b"\7\10", b""]
