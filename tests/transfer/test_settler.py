"""Files are flushed in batches: few flushes, nobody who fetches waits, and each error has its file.

The kind of fault that is looked for: what one file of a batch suffers becomes that of the others,
or of none.
"""

import errno
import os
import re
import threading
import time

import pytest

from neurofetch.events import Progress
from neurofetch.model import Status
from neurofetch.store import flush, partials
from neurofetch.store.folder import Folder
from neurofetch.transfer import settler
from neurofetch.transfer.schedule import Schedule
from tests.engine_world import PART, World, noise, until
from tests.mounts import tmpfs

SIZES = (1, 900, 5_000, PART, 3 * PART + 7, 2 * PART)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


class Flushes:
    """Counts the flushes of this process; some of them fail."""

    def __init__(self, monkeypatch, *, whole):
        self.files, self.whole = [], 0
        self.fails = {}
        """Error number by how the file begins."""
        self._fsync, self._syncfs = os.fsync, flush._syncfs
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(flush, "_syncfs", self.syncfs)
        monkeypatch.setattr(flush, "_flushes_all", lambda _: whole)
        monkeypatch.setattr(flush, "_MOST_DIRTY", 1 << 62)

    def fsync(self, fd):
        name = os.readlink(f"/proc/self/fd/{fd}")
        of_ours = re.match(
            rb'{\s*"', os.pread(fd, 8, 0)
        )  # what the data directory remembers of its source
        if name.endswith((".tmp", ".part")) and not of_ours:
            self.files.append(name)
            number = self.fails.get(os.pread(fd, 8, 0))
            if number:
                raise OSError(number, os.strerror(number))
        self._fsync(fd)

    def syncfs(self, folder):
        self.whole += 1
        return not self.fails and self._syncfs(folder)


def put_many(world, count, size=700):
    return {f"d{n % 3}/f{n}": world.put(f"d{n % 3}/f{n}", noise(size, n)) for n in range(count)}


# -- how many --------------------------------------------------------------------------------


def test_hundreds_of_files_cost_a_handful_of_flushes(world, monkeypatch):
    content = put_many(world, 300)
    seen = Flushes(monkeypatch, whole=True)
    report = world.fetch()
    assert report.ok
    assert world.files() == content
    assert len(world.receipts()) == 300
    batches = -(-300 // (settler.MOST_WAITING // 2))
    assert seen.files == [] or len(seen.files) < flush._FEW * 2  # the rest of a slow server's
    assert 1 <= seen.whole <= batches + 10  # and one for each 0.2 s, on a machine that is busy
    world.assert_clean()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_every_file_is_flushed_before_it_has_its_name(world, monkeypatch, whole, count):
    content = put_many(world, count)
    seen = Flushes(monkeypatch, whole=whole)
    assert world.fetch().ok
    assert world.files() == content
    assert len(set(seen.files)) == count or seen.whole


@pytest.mark.parametrize("memory", [True, False])
def test_in_memory_who_brings_files_settles_them_and_nothing_is_flushed(world, monkeypatch, memory):
    monkeypatch.setattr(flush, "_kind", lambda _: 0x01021994 if memory else None)
    settle, rows = settler.Settler._settle, []

    def noted(self, batch):
        rows.append((threading.current_thread().name, len(batch)))
        settle(self, batch)

    monkeypatch.setattr(settler.Settler, "_settle", noted)
    seen = Flushes(monkeypatch, whole=False)
    content = put_many(world, 1000)
    assert world.fetch().ok
    assert world.files() == content
    assert len(world.receipts()) == sum(count for _, count in rows) == 1000
    others = [count for name, count in rows if name != "neurofetch-settler"]
    assert bool(others) == memory
    assert all(count >= settler._ROW for count in others)
    assert len(set(seen.files)) == (0 if memory else 1000)
    world.assert_clean()


def test_a_folder_is_asked_once_whether_it_is_in_memory(world, monkeypatch):
    """On a network disk that is a question to the server."""
    asked, kind = [], flush._kind
    monkeypatch.setattr(settler, "is_in_memory", lambda fd: asked.append(fd) or kind(fd) is None)
    put_many(world, 300)
    assert world.fetch().ok
    assert len(asked) <= 2


@pytest.mark.parametrize(("kind", "elsewhere"), [("9p", True), ("ext4", False), ("btrfs", False)])
def test_a_file_system_that_only_shows_the_number_of_another_is_not_taken_for_it(
    tmp_path, monkeypatch, kind, elsewhere
):
    device = os.stat(tmp_path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:21 / /proc rw shared:5 - proc proc rw\n"
        f"36 35 {number} / /mnt rw,noatime master:1 optional:2 - {kind} /dev/root rw\n"
    )
    monkeypatch.setattr(flush, "_MOUNTS", str(mounts))
    monkeypatch.setattr(flush, "_kind", lambda _: 0xEF53)
    monkeypatch.setattr(flush, "_tells", lambda: True)
    flush._is_elsewhere.cache_clear()
    with Folder.root(tmp_path) as folder:
        assert flush._flushes_all(folder.fd) != elsewhere
    flush._is_elsewhere.cache_clear()


def test_a_file_system_in_memory_is_known(tmp_path):
    with tmpfs(tmp_path / "memory", "1m") as where, Folder.root(where) as folder:
        assert flush.is_in_memory(folder.fd)
    with Folder.root("/proc") as folder:
        assert not flush.is_in_memory(folder.fd)


def test_a_file_system_whose_flush_took_long_is_not_flushed_again(tmp_path, monkeypatch):
    seen = Flushes(monkeypatch, whole=True)
    monkeypatch.setattr(flush, "_LONG", -1.0)
    flusher, folder = flush.Flusher(), os.open(tmp_path, os.O_RDONLY)
    files = [os.open(tmp_path / f"{n}.tmp", os.O_RDWR | os.O_CREAT) for n in range(20)]
    assert flusher.flush(files, folder) == {}
    assert (seen.whole, len(seen.files)) == (1, 0)
    assert flusher.flush(files, folder) == {}
    assert (seen.whole, len(seen.files)) == (1, 20)
    for fd in (*files, folder):
        os.close(fd)


@pytest.mark.parametrize(
    ("release", "tells"),
    [
        ("6.18.44", True),
        ("5.17.0-rc1", True),
        ("5.14.0-427.el9", False),
        ("4.4.0", False),
        ("x", False),
    ],
)
def test_old_systems_flush_file_by_file(monkeypatch, release, tells):
    flush._tells.cache_clear()
    info = os.uname_result(("Linux", "host", release, "", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: info)
    assert flush._tells() is tells
    flush._tells.cache_clear()


def test_what_takes_long_is_done_side_by_side_and_keeps_its_order():
    begun, all_begun = [], threading.Barrier(8, timeout=10)

    def call(number):
        begun.append(number)
        if number:
            all_begun.wait()  # none of them ends before all eight are under way
        else:
            time.sleep(0.02)
        return number

    assert flush.side_by_side([lambda n=n: call(n) for n in range(9)]) == list(range(9))


def test_bytes_are_sent_to_the_disk_while_they_come(world, monkeypatch):
    monkeypatch.setattr(partials, "_WINDOW", PART)
    sent = []
    monkeypatch.setattr(partials, "begin_write_out", sent.append)
    body = world.put("f.bin", noise(8 * PART + 5))
    assert world.fetch().ok
    assert world.files() == {"f.bin": body}
    assert 4 <= len(sent) <= 9


def test_an_error_of_bytes_on_their_way_to_the_disk_is_that_of_the_file(world, monkeypatch):
    monkeypatch.setattr(partials, "_WINDOW", PART)
    content = put_many(world, 5)
    world.put("f.bin", noise(8 * PART + 5))

    def wait(fd, end):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(partials, "wait_for_write_out", wait)
    report = world.fetch()
    assert {o.path for o in report if not o.ok} == {"f.bin"}
    assert world.files() == content


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_flush_that_fails_is_the_failure_of_its_file_alone(world, monkeypatch, whole, size):
    content = put_many(world, 20)
    bad = world.put("bad.bin", noise(size, 99))
    seen = Flushes(monkeypatch, whole=whole)
    seen.fails[bad[:8]] = errno.EIO
    report = world.fetch()
    failed = {outcome.path: outcome for outcome in report if not outcome.ok}
    assert failed.keys() == {"bad.bin"}
    assert os.strerror(errno.EIO) in failed["bad.bin"].reason
    assert world.files() == content
    assert world.receipts().keys() == content.keys()
    assert world.left("claims") == []
    seen.fails.clear()
    assert world.fetch().ok
    assert world.files() == content | {"bad.bin": bad}
    world.assert_clean()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_when_it_is_flushed_is_named(world, monkeypatch, number):
    content = put_many(world, 20)
    bad = world.put("bad.bin", noise(900, 99))
    seen = Flushes(monkeypatch, whole=True)
    seen.fails[bad[:8]] = number
    report = world.fetch()
    (failed,) = [outcome for outcome in report if outcome.path == "bad.bin"]
    assert "is full" in failed.reason
    assert "bad.bin" not in world.files()
    assert world.files().items() <= content.items()
    seen.fails.clear()
    assert world.fetch().ok


def test_receipts_that_have_no_room_are_missed_by_their_files_alone(world, monkeypatch):
    content = put_many(world, 12)
    real, room = os.write, [1_000]

    def write(fd, data):
        if not os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl"):
            return real(fd, data)
        count = min(len(data), max(0, room[0]))
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= count
        return real(fd, data[:count])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        report = world.fetch()
    told = {outcome.path for outcome in report if outcome.status is Status.FETCHED}
    assert told <= world.receipts().keys()
    assert not report.ok
    assert world.fetch().ok
    assert world.files() == content
    world.assert_clean()


# -- the end of a run ------------------------------------------------------------------------


def test_who_presses_ctrl_c_keeps_what_waited_for_its_name(world, monkeypatch):
    monkeypatch.setattr(settler, "_GATHER", 60.0)
    content = put_many(world, 30)
    world.put("slow", b"x" * 900)
    world.s3.fault(key="slow", delay=0.35)

    def listen(event):
        if isinstance(event, Progress) and event.bytes_done >= 30 * 700:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        world.fetch(listen=listen)
    assert time.monotonic() - began < 30
    assert world.files() == content
    assert world.receipts().keys() == content.keys()
    assert world.left("claims") == []


def test_a_flush_that_does_not_end_holds_nobody_who_presses_ctrl_c(world, monkeypatch):
    put_many(world, 9)
    begun, may_end = threading.Event(), threading.Event()
    real = flush.Flusher.flush

    def never(self, files, folder):
        begun.set()
        may_end.wait(30)
        return real(self, files, folder)

    monkeypatch.setattr(flush.Flusher, "flush", never)

    def listen(event):
        if begun.is_set():
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            world.fetch(listen=listen)
        assert not may_end.is_set()
        assert world.files() == {}
    finally:
        may_end.set()
    until(lambda: not [t for t in threading.enumerate() if t.name == "neurofetch-settler"])
    assert world.left("claims") == []
    assert world.fetch().ok
    world.assert_clean()


@pytest.mark.parametrize("nth", [1, 2, 9, 20])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_amid_a_batch_each_name_holds_the_whole_file(world, when, nth):
    content = put_many(world, 20)
    process = world.start("--die", f"replace:{when}:.tmp:{nth}")
    _, code, _ = world.finish(process)
    assert code == -9
    assert world.files().items() <= content.items()
    world.hang_up()
    assert world.fetch().ok
    assert world.files() == content
    world.assert_clean()


def test_with_few_descriptors_fewer_files_wait(world):
    content = put_many(world, 60)
    _, code, err = world.finish(world.start("--usual", "--descriptors", "64"))
    assert code == 0, err
    assert world.files() == content
    world.assert_clean()


# -- the schedule ----------------------------------------------------------------------------


def test_who_finds_nothing_to_do_asks_the_settler_to_hurry_and_waits_for_it():
    schedule, hurried, taken = Schedule(1, 1, workers=2), threading.Event(), []
    schedule.hold(hurried.set)
    threads = [threading.Thread(target=lambda: taken.append(schedule.take())) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert hurried.wait(10)
    assert taken == []
    assert schedule.fault is None
    schedule.let_go()
    for thread in threads:
        thread.join(10)
    assert taken == [None, None]


def test_a_task_that_comes_of_a_file_that_waited_is_taken_when_it_is_due():
    schedule, hurried, taken = Schedule(1, 1, workers=1), threading.Event(), []
    schedule.hold(hurried.set)
    thread = threading.Thread(target=lambda: taken.append(schedule.take()))
    thread.start()
    assert hurried.wait(10)

    class Again:
        kind = next(iter(type(schedule._board)(1, 1)._rows))
        file = None

    task = Again()
    schedule.again(task, 0.01)
    thread.join(10)
    assert taken == [task]
