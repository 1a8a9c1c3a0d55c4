"""A run that is taken for dead and is not: nothing that it still does reaches a verified file.

"Silent" is made here by a journal whose time is long ago, or by less patience; the real 90 seconds,
two hosts and a hidden `/proc` are in `tests/soak`.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from neurofetch.events import Waiting
from neurofetch.model import Receipt, Status, VerificationLevel
from neurofetch.store import owner as owners
from neurofetch.store.owner import Life, Owner, is_token
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal, read_receipts
from neurofetch.transfer import part_file
from tests.engine_world import PART, World, noise, until

PARTS = 9
LARGE = noise(PARTS * PART + 5, 2)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def grow_old(journal, seconds=owners.SILENT_SECONDS + 5):
    then = time.time() - seconds
    os.utime(journal, (then, then))


def rename_host(world, host):
    """Let what a run of this host left look as if it came from another host; return its token."""
    (journal,) = [name for name in world.left("receipts") if not name.startswith("ended-")]
    old = journal.removesuffix(".jsonl")
    new = f"{host}-" + old.partition("-")[2]
    for folder in ("receipts", "partial"):
        for name in world.left(folder):
            if old in name:
                where = world.state / folder
                (where / name).rename(where / name.replace(old, new))
    for name in world.left("claims"):
        (world.state / "claims" / name).unlink()
        (world.state / "claims" / name).symlink_to(new)
    return new


def killed_with_parts(world, parts):
    """Kill a run after it noted some parts of `f.bin`."""
    world.s3.fault(method="GET", skip=parts, times=PARTS, stall=6.0, stall_after=10_000)
    process = world.start()
    until(lambda: world.log_lines() >= parts)
    process.kill()
    process.communicate()
    world.s3.clear_faults()
    seen = -1
    while seen != len(world.ranges("f.bin")):  # what it had asked for may still be written down
        seen = len(world.ranges("f.bin"))
        time.sleep(0.3)
    world.s3.clear_log()


# -- partials --------------------------------------------------------------------------------------


def inodes(world):
    folder = world.state / "partial"
    return {path.stat().st_ino for path in folder.glob("*.part")}


def test_what_a_run_that_ended_left_is_taken_over_in_place(world):
    world.put("f.bin", LARGE)
    killed_with_parts(world, 4)
    (before,) = inodes(world)
    (outcome,) = world.fetch()
    assert outcome.reason == "resumed"
    assert (world.root / "f.bin").stat().st_ino == before
    assert len(world.ranges("f.bin")) <= PARTS + 1 - 4
    world.assert_clean()


@pytest.mark.parametrize("why", ["another host", "two links", "somebody else's"])
def test_parts_of_a_file_that_another_process_may_write_to_are_copied(world, why, tmp_path):
    world.put("f.bin", LARGE)
    killed_with_parts(world, 4)
    (path,) = (world.state / "partial").glob("*.part")
    if why == "another host":
        token = rename_host(world, "elsewhere")
        grow_old(world.state / "receipts" / f"{token}.jsonl")
        (path,) = (world.state / "partial").glob("*.part")
    elif why == "two links":
        os.link(path, tmp_path / "kept")
    elif os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        pytest.skip("only root can give files away")
    late = os.open(path, os.O_RDWR)  # what the run that is taken for dead still has open
    try:
        before = os.fstat(late).st_ino
        (outcome,) = world.fetch()
        assert outcome.reason == "resumed"
        assert len(world.ranges("f.bin")) <= PARTS + 1 - 4
        os.pwrite(late, b"\0" * len(LARGE), 0)  # it wakes up, and goes on writing
    finally:
        os.close(late)
    assert (world.root / "f.bin").stat().st_ino != before
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


def test_a_part_that_changes_while_it_is_copied_does_not_count(world, monkeypatch):
    world.put("f.bin", LARGE)
    killed_with_parts(world, 4)
    token = rename_host(world, "elsewhere")
    grow_old(world.state / "receipts" / f"{token}.jsonl")
    (path,) = (world.state / "partial").glob("*.part")
    with path.open("r+b") as file:
        file.write(b"\0" * PART)
    (outcome,) = world.fetch()
    assert 0 in world.ranges("f.bin")
    assert outcome.ok
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


def test_a_file_system_that_shares_blocks_between_files_saves_the_copy(world, monkeypatch):
    world.put("f.bin", LARGE)
    killed_with_parts(world, 4)
    token = rename_host(world, "elsewhere")
    grow_old(world.state / "receipts" / f"{token}.jsonl")
    shared = []

    def share(source, target):
        """As FICLONE does, which needs XFS or btrfs."""
        shared.append(os.pwrite(target, os.pread(source, len(LARGE), 0), 0))
        return True

    monkeypatch.setattr(part_file, "_shared", share)
    monkeypatch.setattr(part_file.PartFile, "_copy", lambda *_: pytest.fail("copied all the same"))
    (outcome,) = world.fetch()
    assert shared
    assert outcome.reason == "resumed"
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


@pytest.mark.slow
def test_who_is_robbed_while_it_is_suspended_leaves_the_file_to_the_other(world):
    """The whole story: A is suspended, B takes over and ends; A wakes up and ends well, too."""
    world.put("f.bin", LARGE)
    world.s3.fault(method="GET", skip=4, times=PARTS, stall=3, stall_after=10_000)
    first = world.start()
    until(lambda: world.log_lines() >= 4)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        token = rename_host(world, "elsewhere")  # as B on another host would see it
        grow_old(world.state / "receipts" / f"{token}.jsonl")
        world.s3.clear_faults()
        (outcome,) = world.fetch()
        assert outcome.reason == "resumed"
        inode = (world.root / "f.bin").stat().st_ino
    finally:
        os.kill(first.pid, signal.SIGCONT)
    report, code, err = world.finish(first)
    assert code == 0, err
    assert report["f.bin"]["status"] in ("kept", "fetched")
    assert world.files() == {"f.bin": LARGE}
    assert (world.root / "f.bin").stat().st_ino == inode or report["f.bin"]["status"] == "fetched"
    world.fetch()
    world.assert_clean()


def test_who_lost_its_claim_notes_nothing_more_and_waits(world, monkeypatch):
    """Between two parts the claim is another's: the run leaves its partial, and looks again."""
    world.put("f.bin", LARGE)
    other = Owner(world.state / "receipts")
    claim = world.state / "claims" / name_of("f.bin")
    told, real, robbed = [], Partials.is_mine, threading.Event()
    turn = threading.Lock()

    def is_mine(partials, short):
        with turn:
            first = not robbed.is_set() and world.log_lines() >= 3
            if first:
                robbed.set()
        if first:
            other.journal.touch()
            other.begin()
            claim.unlink()
            claim.symlink_to(other.token)
            threading.Timer(0.3, finish).start()
        return real(partials, short)

    def finish():
        (world.root / "f.bin").write_bytes(LARGE)
        claim.unlink()
        other.end()
        other.journal.unlink()

    monkeypatch.setattr(Partials, "is_mine", is_mine)
    (outcome,) = world.fetch(listen=told.append)
    assert robbed.is_set()
    assert outcome.status is Status.KEPT
    assert Waiting("f.bin", other.token) in told
    assert len(world.ranges("f.bin")) < 2 * PARTS
    world.assert_clean()


@pytest.mark.parametrize("size", [3_000, len(LARGE)])
def test_a_temporary_file_that_somebody_removes_costs_one_more_download(world, size):
    body = world.put("f.bin", LARGE[:size])
    real, hits = os.fsync, []

    def fsync(fd):
        name = os.readlink(f"/proc/self/fd/{fd}")
        if not hits and name.endswith((".tmp", ".part")):
            hits.append(name)
            os.unlink(name)
        real(fd)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        (outcome,) = world.fetch()
    assert hits
    assert outcome.ok, outcome.reason
    assert world.files() == {"f.bin": body}
    world.assert_clean()


# -- liveness --------------------------------------------------------------------------------------


def of_process(pid, start, host=None):
    return f"{host or owners._host()}-{pid}-{start}-abcdef01"


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_process_that_is_seen_lives_and_one_that_is_gone_has_ended(tmp_path, sleeper):
    start = owners._started(sleeper.pid)
    look = Owner(tmp_path).life
    assert look(of_process(sleeper.pid, start)) is Life.LIVES
    assert look(of_process(sleeper.pid, int(start) - 1)) is Life.ENDED  # its number, given again
    sleeper.kill()
    sleeper.wait()
    assert look(of_process(sleeper.pid, start)) is Life.ENDED


def test_a_process_that_is_suspended_is_waited_for_for_a_while(tmp_path, sleeper):
    """It may be for ever: somebody pressed Ctrl-Z and went home."""
    token = of_process(sleeper.pid, owners._started(sleeper.pid))
    one = Owner(tmp_path)
    one.journal.touch()
    theirs = tmp_path / f"{token}.jsonl"
    theirs.touch()
    os.kill(sleeper.pid, signal.SIGSTOP)
    until(lambda: owners._started(sleeper.pid) is None)
    assert one.life(token) is Life.LIVES
    grow_old(theirs)
    assert one.life(token) is Life.SILENT
    os.kill(sleeper.pid, signal.SIGCONT)
    until(lambda: owners._started(sleeper.pid) is not None)
    theirs.touch()  # as its thread does then
    assert one.life(token) is Life.LIVES


@pytest.mark.parametrize("hidden", ["no entry", "no permission", "another namespace"])
def test_a_process_that_proc_hides_is_not_dead(tmp_path, sleeper, monkeypatch, hidden):
    """As `hidepid` hides it, for other users: what counts then is when it was last heard of."""
    start = owners._started(sleeper.pid)
    token = of_process(sleeper.pid, start)
    real = Path.read_text

    def read_text(path, *args, **keywords):
        if str(path) == f"/proc/{sleeper.pid}/stat":
            raise PermissionError if hidden == "no permission" else FileNotFoundError
        return real(path, *args, **keywords)

    if hidden == "another namespace":
        monkeypatch.setattr(owners, "_proc_is_ours", lambda: False)
    else:
        monkeypatch.setattr(Path, "read_text", read_text)
    one = Owner(tmp_path)
    one.journal.touch()
    theirs = tmp_path / f"{token}.jsonl"
    theirs.touch()
    assert one.life(token) is Life.LIVES
    grow_old(theirs)
    assert one.life(token) is Life.SILENT
    theirs.unlink()
    assert one.life(token) is Life.SILENT


def test_the_silence_of_a_clock_that_is_ahead_ends_too(tmp_path, monkeypatch):
    """Their file server wrote a time of tomorrow; ours never gets there."""
    monkeypatch.setattr(owners, "SILENT_SECONDS", 0.2)
    one, token = Owner(tmp_path), of_process(1, 2, "elsewhere")
    one.journal.touch()
    journal = tmp_path / f"{token}.jsonl"
    journal.touch()
    grow_old(journal, -86_400)
    assert one.life(token) is Life.LIVES
    time.sleep(0.3)
    assert one.life(token) is Life.SILENT
    grow_old(journal, -86_500)  # it beats: it lives
    assert one.life(token) is Life.LIVES


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EPERM, errno.EROFS])
def test_a_heartbeat_that_fails_does_not_end_the_run(world, monkeypatch, number):
    monkeypatch.setattr(owners, "BEAT_SECONDS", 0.01)
    real, failed = os.utime, []

    def utime(path, *args, **keywords):
        if str(path).endswith(".jsonl"):
            failed.append(path)
            raise OSError(number, os.strerror(number))
        real(path, *args, **keywords)

    monkeypatch.setattr(os, "utime", utime)
    world.put("f.bin", LARGE)
    world.s3.latency = 0.03
    assert world.fetch().ok
    assert failed
    world.assert_clean()


@pytest.mark.slow
def test_the_heart_beats_while_the_listener_hangs(world, monkeypatch):
    """A terminal that takes no more lines (Ctrl-S), a log that nobody reads."""
    monkeypatch.setattr(owners, "BEAT_SECONDS", 0.05)
    world.put("f.bin", LARGE)
    gate, seen = threading.Event(), []

    def listen(_):
        journals = [p for p in (world.state / "receipts").iterdir() if "ended" not in p.name]
        if journals and not gate.is_set():
            (journal,) = journals
            grow_old(journal)
            before = journal.stat().st_mtime
            until(lambda: journal.stat().st_mtime > before + 1, 5)
            seen.append(True)
            gate.set()

    assert world.fetch(listen=lambda event: listen(event) if world.left("receipts") else None).ok
    assert seen


def test_where_no_thread_is_left_the_watching_one_beats(world, monkeypatch):
    real = threading.Thread.start

    def start(thread):
        if thread.name == "neurofetch-alive":
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr("neurofetch.transfer.run.BEAT_SECONDS", 0.01)
    beats, beat = [], Owner.beat
    monkeypatch.setattr(Owner, "beat", lambda owner: (beats.append(1), beat(owner))[1])
    world.put("f.bin", LARGE)
    world.s3.latency = 0.03
    assert world.fetch().ok
    assert beats


def test_a_thread_that_could_not_be_stopped_keeps_what_it_writes_to_from_the_next_run(tmp_path):
    one, two = Owner(tmp_path), Owner(tmp_path)
    one.begin()
    one.end(lingers=True)
    assert two.life(one.token) is Life.SILENT
    one.gone()
    assert two.life(one.token) is Life.ENDED


# -- claims ----------------------------------------------------------------------------------------


def test_a_claim_that_is_another_runs_by_now_is_not_given_back(tmp_path):
    one, two = Owner(tmp_path), Owner(tmp_path)
    mine = Partials(tmp_path, one)
    mine.make_folders()
    assert mine.claim("x" * 24) == ""
    link = tmp_path / "claims" / ("x" * 24)
    link.unlink()
    link.symlink_to(two.token)
    assert not mine.is_mine("x" * 24)
    mine.release("x" * 24)
    assert os.readlink(link) == two.token


@pytest.mark.parametrize("thing", ["file", "folder", "fifo"])
def test_something_that_stands_in_the_place_of_a_claim_stops_nothing(world, thing):
    world.put("f.bin", LARGE)
    place = world.state / "claims" / name_of("f.bin")
    place.parent.mkdir(parents=True)
    {"file": place.touch, "folder": place.mkdir, "fifo": lambda: os.mkfifo(place)}[thing]()
    assert world.fetch().ok
    assert world.files() == {"f.bin": LARGE}
    assert os.path.lexists(place)  # it is not ours


# -- receipts and clocks ----------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [3_600, -3_600, 10 * 365 * 86_400])
@pytest.mark.parametrize("rounds", [1, 3])
def test_a_clock_that_is_ahead_or_behind_costs_nothing(world, monkeypatch, ahead, rounds):
    """One computer's clock is wrong; the object changes at the server, now here, now there."""
    real = time.time
    for number in range(rounds):
        for shift in (ahead, 0):
            monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
            body = world.put("f.bin", b"%d %d" % (number, shift))
            assert world.fetch().ok
            assert world.files() == {"f.bin": body}
            world.s3.clear_log()
            assert [outcome.status for outcome in world.fetch()] == [Status.KEPT]
            assert world.gets() == []
    with world.fetcher() as fetcher:
        assert fetcher.audit(read_all=True).ok


def test_two_runs_at_once_and_what_lies_there_tells_whose_receipt_holds(world):
    """Both saw the same receipts, and count the same; the disk has one file."""
    for first, second in ((5, 9), (9, 5)):
        state = world.root / f"state{first}"
        one, two = Journal(state), Journal(state)
        one.open()
        two.open()
        one.append(receipt("f", size=first, mtime_ns=first))
        two.append(receipt("f", size=second, mtime_ns=second))
        one.close()
        two.close()
        receipts = read_receipts(state)
        for size in (5, 9):
            assert receipts.of("f", size, size).size == size


# -- journals --------------------------------------------------------------------------------------


def receipt(path, size=1, mtime_ns=1):
    return Receipt(path, "k", "e", size, mtime_ns, VerificationLevel.SIZE, "", 1.0)


def test_the_journal_of_a_silent_run_is_neither_merged_nor_removed(world):
    """What it appends when it wakes up is not lost."""
    sleeping = Journal(world.state)
    sleeping.append(receipt("before"))
    token = f"elsewhere-{sleeping.owner.token.partition('-')[2]}"
    journal = sleeping.owner.journal.rename(sleeping.owner.journal.with_name(f"{token}.jsonl"))
    grow_old(journal, 10_000)
    for n in range(20):
        one = Journal(world.state)
        one.append(receipt(f"f{n}"))
        one.close()
    sleeping.append(receipt("after"))
    assert {"before", "after"} | {f"f{n}" for n in range(20)} == set(read_receipts(world.state))
    assert len(world.left("receipts")) < 12
    sleeping.owner.end()
    os.close(sleeping._fd)


def test_journals_of_other_hosts_that_ended_well_are_merged(world):
    for n in range(20):
        one = Journal(world.state)
        one.append(receipt(f"f{n}"))
        one.close()
        (name,) = [name for name in world.left("receipts") if one.owner.token in name] or [""]
        if name:
            folder = world.state / "receipts"
            other = name.replace(owners._host(), f"elsewhere{n}")
            (folder / name).rename(folder / other)
    assert len(world.left("receipts")) < 9
    assert len(read_receipts(world.state)) == 20


def test_a_last_flush_that_fails_is_a_warning_and_the_report_comes(world, monkeypatch):
    world.put("f.bin", LARGE)
    real = os.fsync

    def fsync(fd):
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl"):
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.warns(UserWarning, match=r"receipts.*could not be finished.*complete"):
        report = world.fetch()
    assert report.ok
    assert world.files() == {"f.bin": LARGE}


def test_a_token_is_told_from_other_names():
    assert is_token(Owner(Path()).token)
    for other in ("2024-03", "v2", "python3", "a-b-c-d", "host-1-2-xyz", "../x-1-2-abcdef01", ""):
        assert not is_token(other)


# -- what cannot be seen ---------------------------------------------------------------------------


def test_a_run_that_could_not_see_when_it_started_is_not_dead(tmp_path, sleeper):
    """It had no `/proc` of its own; we have one."""
    one = Owner(tmp_path)
    one.journal.touch()
    token = of_process(sleeper.pid, 0)
    (tmp_path / f"{token}.jsonl").touch()
    assert one.life(token) is Life.LIVES
    grow_old(tmp_path / f"{token}.jsonl")
    assert one.life(token) is Life.SILENT
    sleeper.kill()
    sleeper.wait()
    assert one.life(token) is Life.ENDED


EXIT = {"x86_64": 60, "aarch64": 93}
"""The number of the system call that ends one thread."""


@pytest.mark.skipif(os.uname().machine not in EXIT, reason="the system call has another number")
def test_a_process_whose_first_thread_has_ended_lives_while_another_does(tmp_path):
    """As one that was killed while a thread of it hangs in a write to a file server."""
    code = (
        "import ctypes, os, threading\n"
        "threading.Thread(target=os.read, args=(0, 1)).start()\n"
        f"ctypes.CDLL(None).syscall({EXIT[os.uname().machine]}, 0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        start = owners._started(process.pid)
        stat = Path(f"/proc/{process.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        assert Owner(tmp_path).life(of_process(process.pid, start)) is Life.LIVES
        process.kill()
        process.wait()
        assert Owner(tmp_path).life(of_process(process.pid, start)) is Life.ENDED


def test_where_the_time_since_the_boot_is_another_a_process_is_of_another_host(tmp_path):
    """Else each would see that the other started at another time, and so has ended."""
    there = ["unshare", "--time", "--boottime", "1000", "--fork"]
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    code = (
        "from neurofetch.store.owner import Owner\n"
        "from pathlib import Path\n"
        "print(Owner(Path()).token)\n"
    )
    command = [*there, *root, sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode:
        pytest.skip("namespaces of time cannot be made here")
    assert done.stdout.partition("-")[0] != owners._host()


# -- what cannot be read or made -------------------------------------------------------------------


def test_a_partial_whose_log_cannot_be_read_is_kept_for_its_owner(world, monkeypatch):
    """That of another user, with an umask of 077: it is of no use here, and is nobody's rubbish."""
    world.put("f.bin", LARGE)
    killed_with_parts(world, 4)
    world.put("g.bin", LARGE[:100])
    world.s3.delete("f.bin")
    real = os.open

    def refuse(name, *arguments, **keywords):
        if str(name).endswith(".log"):
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(name, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert world.fetch().ok
    assert len(world.left()) == 2
    world.put("f.bin", LARGE)
    assert {outcome.reason for outcome in world.fetch()} >= {"resumed"}
    world.assert_clean()


def test_a_log_that_vanishes_while_its_partial_is_taken_over_leaves_nothing_behind(
    world, monkeypatch
):
    world.put("f.bin", LARGE)
    killed_with_parts(world, 4)
    real = os.replace

    def replace(source, target, **keywords):
        if source.endswith(".log"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        real(source, target, **keywords)

    monkeypatch.setattr(os, "replace", replace)
    (outcome,) = world.fetch()
    assert outcome.reason == "resumed"
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


def test_where_one_claim_cannot_be_made_those_that_were_are_given_back(world, monkeypatch):
    for n in range(20):
        world.put(f"f{n}", b"x%d" % n)
    real, made = os.symlink, []

    def symlink(*arguments, **keywords):
        made.append(1)
        if len(made) == 5:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(*arguments, **keywords)

    monkeypatch.setattr(os, "symlink", symlink)
    assert world.fetch().ok
    world.assert_clean()


@pytest.mark.parametrize("size", [3_000, len(LARGE)])
def test_a_folder_of_temporary_files_that_vanishes_costs_one_more_attempt(world, size, monkeypatch):
    """As another run removes it on another file system, when it is empty."""
    body = world.put("f.bin", LARGE[:size])
    real, removed = Partials.part if size > PART else Partials.temporary, []

    def vanishing(partials, *arguments):
        found = real(partials, *arguments)
        if not removed:
            shutil.rmtree(world.state / "partial")
            removed.append(1)
        return found

    monkeypatch.setattr(Partials, real.__name__, vanishing)
    (outcome,) = world.fetch()
    assert outcome.ok, outcome.reason
    assert removed
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.parametrize("number", [errno.EIO, errno.ETIMEDOUT])
def test_a_claim_that_cannot_be_read_for_a_moment_is_not_lost(world, monkeypatch, number):
    body, real, failed = world.put("f.bin", LARGE), os.readlink, []

    def readlink(name, *, dir_fd=None):
        if name == name_of("f.bin") and len(failed) < 3:
            failed.append(1)
            raise OSError(number, os.strerror(number))
        return real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "readlink", readlink)
    (outcome,) = world.fetch()
    assert failed
    assert outcome.ok, outcome.reason
    assert len(world.ranges("f.bin")) == PARTS + 1  # nothing came twice
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_robbed_during_the_deeper_look_fetches_again(world, when):
    body, robbed = world.put("f.bin", LARGE[:3_000]), []

    def inspect(temporary, _):
        gone = not robbed
        robbed.append(1)
        if gone:
            os.unlink(temporary)
        if not gone or when == "before":
            Path(temporary).read_bytes()

    (outcome,) = world.fetch(inspect=inspect)
    assert outcome.ok, outcome.reason
    assert len(robbed) == 2
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a path through a descriptor")
def test_a_deeper_look_is_at_the_file_whatever_stands_in_the_place_of_its_folder(world):
    """What the look writes must not come to lie elsewhere."""
    body = world.put("f.bin", LARGE[:3_000])
    other = world.outside
    other.mkdir()

    def inspect(temporary, _):
        (world.state / "partial").rename(world.state / "real")
        (world.state / "partial").symlink_to(other)
        Path(temporary + ".new").write_bytes(body)
        os.replace(temporary + ".new", temporary)
        (world.state / "partial").unlink()
        (world.state / "real").rename(world.state / "partial")

    (outcome,) = world.fetch(inspect=inspect)
    assert outcome.ok, outcome.reason
    assert list(other.iterdir()) == []
    assert world.files() == {"f.bin": body}


@pytest.mark.parametrize("size", [3_000, len(LARGE)])
def test_what_the_system_refuses_is_told_with_the_place_and_what_to_do(world, monkeypatch, size):
    """And not with the name of a temporary file, which tells nobody anything."""
    world.put("f.bin", LARGE[:size])
    real = os.replace

    def replace(source, target, **keywords):
        if target == "f.bin":
            raise PermissionError(errno.EPERM, "Operation not permitted", source, None, target)
        real(source, target, **keywords)

    monkeypatch.setattr(os, "replace", replace)
    (outcome,) = world.fetch()
    assert not outcome.ok
    assert f"below {world.root}: Operation not permitted. See" in outcome.reason
    assert ".tmp" not in outcome.reason
