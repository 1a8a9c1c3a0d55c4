"""A process may outlive its run: what the run left is not waited for until the process ends.

The worker of a pool and the kernel of a notebook live on. If the disk was away when a run ended,
its claims and its journal are there when the disk is back, with the token of a process that lives.
"""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from neurofetch.events import Waiting
from neurofetch.model import Receipt, VerificationLevel
from neurofetch.store import owner as owners
from neurofetch.store.owner import ENDED_PREFIX, Life, Owner, process_token
from neurofetch.store.partials import Partials
from neurofetch.store.receipts import Journal
from tests.engine_world import PART, World, noise, until

PROCESS = Path(__file__).parent.parent / "outliving_process.py"
BODY = noise(12 * PART + 5, 3)


@pytest.fixture
def looks_always(monkeypatch):
    monkeypatch.setattr(owners, "_LOOK_SECONDS", 0.0)


def grow_old(journal, seconds=owners.SILENT_SECONDS + 5):
    then = time.time() - seconds
    os.utime(journal, (then, then))


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        world.put("f.bin", BODY)
        yield world


@contextmanager
def outliving(world, *flags):
    """Let a process fetch and fail, and live on."""
    world.s3.fault(method="GET", skip=6, times=99, stall=20.0, stall_after=10_000)
    with subprocess.Popen(
        [sys.executable, str(PROCESS), str(world.root), *flags],
        cwd=PROCESS.parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "over\n"
            world.s3.clear_faults()
            world.s3.clear_log()
            yield process
            assert process.poll() is None
        finally:
            process.stdin.close()
            process.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--away",), ("--away", "--pool")], ids=["kernel", "worker"])
def test_what_a_run_left_while_its_disk_was_away_is_taken_up_while_its_process_lives(world, flags):
    with outliving(world, *flags):
        assert world.claims()
        (journal,) = world.left("receipts")
        grow_old(world.state / "receipts" / journal)
        told = []
        (outcome,) = world.fetch(listen=told.append)
        assert outcome.ok
        assert outcome.moved < len(BODY)  # parts that it left were copied
        assert not any(isinstance(event, Waiting) for event in told)
        assert world.files() == {"f.bin": BODY}
        assert world.claims() == []
        assert journal in world.left("receipts")  # its process could yet write to it


@pytest.mark.slow
def test_others_begin_to_wait_and_go_on_when_it_was_silent_for_long(world):
    with outliving(world, "--away"):
        (journal,) = world.left("receipts")
        told = []

        def listen(event):
            told.append(event)
            if isinstance(event, Waiting):
                grow_old(world.state / "receipts" / journal)

        (outcome,) = world.fetch(listen=listen)
        assert any(isinstance(event, Waiting) for event in told)
        assert outcome.ok
        assert outcome.moved < len(BODY)
        assert world.files() == {"f.bin": BODY}


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--pool",)], ids=["kernel", "worker"])
def test_a_run_that_fails_in_a_process_that_lives_on_holds_nobody_up_and_loses_nothing(
    world, flags
):
    with outliving(world, *flags):
        assert world.claims() == []
        told = []
        (outcome,) = world.fetch(listen=told.append)
        assert outcome.reason == "resumed"
        assert outcome.moved < len(BODY)
        assert not any(isinstance(event, Waiting) for event in told)
        assert world.files() == {"f.bin": BODY}
        world.assert_clean()


# -- what is known of a run whose process is seen ---------------------------------------------


def of_process(pid, start):
    return f"{owners._host()}-{pid}-{start}-abcdef01"


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def seen(tmp_path, sleeper, looks_always):
    """Return who looks, and the token and the journal of a run of a process that lives."""
    one = Owner(tmp_path)
    one.journal.touch()
    token = of_process(sleeper.pid, owners._started(sleeper.pid))
    return one, token, tmp_path / f"{token}.jsonl"


def test_a_run_that_beats_lives(seen):
    one, token, journal = seen
    journal.touch()
    assert one.life(token) is Life.LIVES


def test_a_run_that_beats_no_more_is_silent_and_none_that_ended(seen):
    """It may yet go on, as after a lock of Python was held for long: it is copied, not taken."""
    one, token, journal = seen
    journal.touch()
    grow_old(journal)
    assert one.life(token) is Life.SILENT
    journal.touch()
    assert one.life(token) is Life.LIVES


def test_the_disk_is_not_asked_again_for_each_file_of_a_run_that_lives(seen, monkeypatch):
    one, token, journal = seen
    monkeypatch.setattr(owners, "_LOOK_SECONDS", 60.0)
    journal.touch()
    touched, utime = [], os.utime
    monkeypatch.setattr(os, "utime", lambda *a, **k: (touched.append(a), utime(*a, **k)))
    assert [one.life(token) for _ in range(100)] == [Life.LIVES] * 100
    assert len(touched) < 4


def test_a_token_without_a_journal_lives_as_long_as_its_process(seen):
    one, token, _ = seen
    assert one.life(token) is Life.LIVES


def test_a_run_that_closed_its_journal_is_over_while_its_process_lives(seen):
    one, token, journal = seen
    journal.with_name(f"{ENDED_PREFIX}{journal.name}").touch()
    assert one.life(token) is Life.SILENT


def test_the_number_of_a_process_that_was_given_again_is_an_end(seen, sleeper):
    one, token, journal = seen
    token = of_process(sleeper.pid, int(owners._started(sleeper.pid)) - 1)
    journal.with_name(f"{token}.jsonl").touch()  # as if it had beaten a moment ago
    assert one.life(token) is Life.ENDED


def test_who_was_not_asked_yet_says_nothing_by_its_silence(seen, tmp_path):
    """Who only looks has no journal, and no time of the file server to compare with."""
    _, token, journal = seen
    journal.touch()
    grow_old(journal)
    assert Owner(tmp_path).life(token) is Life.LIVES


@pytest.mark.parametrize("number", [errno.EPERM, errno.EROFS, errno.EIO])
def test_where_nobody_can_touch_a_file_its_time_says_nothing(seen, monkeypatch, number):
    one, token, journal = seen
    journal.touch()
    grow_old(journal)

    def utime(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "utime", utime)
    assert one.life(token) is Life.LIVES


def test_a_time_of_tomorrow_is_believed_until_it_stays_as_it_is(seen, monkeypatch):
    monkeypatch.setattr(owners, "SILENT_SECONDS", 0.2)
    one, token, journal = seen
    journal.touch()
    grow_old(journal, -86_400)
    assert one.life(token) is Life.LIVES
    time.sleep(0.3)
    assert one.life(token) is Life.SILENT


def test_a_process_that_is_suspended_is_only_silent(seen, sleeper):
    one, token, journal = seen
    journal.touch()
    os.kill(sleeper.pid, signal.SIGSTOP)
    until(lambda: owners._started(sleeper.pid) is None)
    assert one.life(token) is Life.LIVES
    grow_old(journal)
    assert one.life(token) is Life.SILENT
    os.kill(sleeper.pid, signal.SIGCONT)
    until(lambda: owners._started(sleeper.pid) is not None)
    assert one.life(token) is Life.SILENT  # until it beats
    journal.touch()
    assert one.life(token) is Life.LIVES


def test_a_process_that_ends_after_it_was_silent_has_ended(seen, sleeper):
    one, token, journal = seen
    journal.touch()
    grow_old(journal)
    assert one.life(token) is Life.SILENT
    sleeper.kill()
    sleeper.wait()
    assert one.life(token) is Life.ENDED


def test_a_thread_that_ended_without_a_word_leaves_a_run_that_others_find_silent(
    tmp_path, looks_always
):
    """The object of the run is gone, and its heart with it; the process lives."""
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from neurofetch.store.receipts import Journal\n"
        "def work():\n"
        "    journal = Journal(Path(sys.argv[1])); journal.open(); print(journal.owner.token)\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "print('over', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        token = process.stdout.readline().strip()
        assert process.stdout.readline() == "over\n"
        one = Owner(tmp_path / "state" / "receipts")
        one.journal.touch()
        assert one.life(token) is Life.LIVES
        grow_old(tmp_path / "state" / "receipts" / f"{token}.jsonl")
        assert one.life(token) is Life.SILENT
        process.stdin.close()


def in_a_fork(look):
    """Return what a function says in a fork of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, look().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_knows_the_run_of_its_parent_by_its_heart_and_not_from_memory(tmp_path):
    parent = Owner(tmp_path)
    parent.journal.touch()
    parent.begin()

    def look():
        mine = Owner(tmp_path)
        mine.journal.touch()
        return mine.life(parent.token).name

    try:
        assert in_a_fork(look) == "LIVES"
        grow_old(parent.journal)
        assert in_a_fork(look) == "SILENT"
        assert Owner(tmp_path).life(parent.token) is Life.LIVES  # the process itself knows it
    finally:
        parent.end()


def test_the_token_of_a_process_lives_while_it_does(tmp_path, sleeper):
    """What is written for a whole process has no journal, and no run that could end."""
    one = Owner(tmp_path)
    one.journal.touch()
    assert one.life(process_token()) is Life.LIVES


def test_claims_that_could_not_be_given_back_are_given_back_at_the_end(tmp_path, monkeypatch):
    """The disk was away when the file ended, and is back when the run ends."""
    one = Partials(tmp_path, Owner(tmp_path))
    one.make_folders()
    assert one.claim("x" * 24) == ""

    def away(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "readlink", away)
        one.release("x" * 24)
    assert os.path.lexists(tmp_path / "claims" / ("x" * 24))
    one.close()
    assert os.listdir(tmp_path / "claims") == []


def test_a_draft_that_a_silent_run_may_be_writing_stays_until_it_is_old(tmp_path):
    token = "elsewhere-1-1-abcdef01"
    receipts = tmp_path / "state" / "receipts"
    receipts.mkdir(parents=True)
    journal = receipts / f"{token}.jsonl"
    journal.touch()
    for number in range(9):
        (receipts / f"{ENDED_PREFIX}elsewhere-{number}-1-abcdef0{number}.jsonl").touch()
    fresh, old = (receipts / f"merging-{token}.0000000{number}" for number in range(2))
    fresh.touch()
    old.touch()
    grow_old(old)
    grow_old(journal)
    run = Journal(tmp_path / "state")
    run.append(Receipt("f", "k", "e", 1, 1, VerificationLevel.SIZE, "", 1.0))
    run.close()
    assert fresh.exists()
    assert not old.exists()
    assert journal.exists()
