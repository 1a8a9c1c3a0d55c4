"""Several processes with one wish and one data directory, and what they write down."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from neurofetch.events import Waiting
from neurofetch.model import Receipt, Status, VerificationLevel
from neurofetch.store.folder import Folder
from neurofetch.store.owner import SILENT_SECONDS, Owner
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal, read_receipts
from tests.engine_world import OPTIONS, PART, World, noise, until

LARGE = noise(6 * PART + 5, 2)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


@pytest.mark.slow
def test_eight_processes_with_one_wish_fetch_each_file_about_once(world):
    small = {f"d{n % 5}/s{n:03}": noise(3_000, n) for n in range(120)}
    large = {f"l{n}": noise(8 * PART + n, n) for n in range(3)}
    for key, body in (small | large).items():
        world.put(key, body)
    world.s3.latency = 0.004
    processes = [world.start() for _ in range(8)]
    reports = [world.finish(process, 60) for process in processes]
    assert [code for _, code, _ in reports] == [0] * 8, [err for _, _, err in reports]
    assert world.files() == small | large
    for report, _, _ in reports:
        assert {line["status"] for line in report.values()} <= {"fetched", "kept"}
    fetched = Counter(p for r, _, _ in reports for p, o in r.items() if o["status"] == "fetched")
    assert set(fetched) == set(small | large)
    gets = Counter(request.key for request in world.gets("*s*"))
    assert sum(gets.values()) <= len(small) + 2  # a claim may be lost to a race, not by habit
    parts = sum(-(-len(body) // PART) for body in large.values())
    assert len(world.gets("l*")) <= parts + 9
    world.assert_clean()
    receipts = world.receipts()
    assert set(receipts) == set(small | large)
    assert {receipt.verification for receipt in receipts.values()} == {VerificationLevel.CHECKSUM}
    world.s3.clear_log()
    assert {outcome.status for outcome in world.fetch()} == {Status.KEPT}
    assert world.gets() == []


@pytest.mark.slow
def test_journals_of_ended_runs_are_merged(world):
    for n in range(20):
        world.put(f"f{n:02}", noise(500, n))
        world.fetch()
    assert set(world.receipts()) == {f"f{n:02}" for n in range(20)}
    names = world.left("receipts")
    assert len(names) < 9
    assert all(name.endswith(".jsonl") for name in names)


WRITER = """
import sys
from pathlib import Path
from neurofetch.model import Receipt, VerificationLevel
from neurofetch.store.receipts import Journal

journal = Journal(Path(sys.argv[1]))
for n in range(300):
    journal.append(Receipt(f"{sys.argv[2]}-{n}", "k", "", 1, 1, VerificationLevel.SIZE, "", n))
sys.stdin.read()
journal.close()
"""


@pytest.mark.slow
def test_processes_that_end_together_merge_their_journals_in_peace(world):
    state = world.state
    owners = []
    for n in range(12):
        journal = Journal(state)
        journal.append(receipt(f"old{n}"))
        owners.append(journal)
    for journal in owners[:6]:
        journal.close()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(state), str(n)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for n in range(4)
    ]
    until(lambda: len(read_receipts(state)) == 12 + 4 * 300)
    for process in processes:
        process.stdin.close()
    for journal in owners[6:]:
        journal.close()
    errors = [process.stderr.read() for process in processes]
    assert [process.wait(10) for process in processes] == [0] * 4, errors
    for process in processes:
        process.stderr.close()
    assert len(read_receipts(state)) == 12 + 4 * 300


def test_a_journal_that_vanishes_while_it_is_merged_is_left_to_the_other_run(world, monkeypatch):
    for n in range(9):
        journal = Journal(world.state)
        journal.append(receipt(f"f{n}"))
        if n < 8:
            journal._ended = True  # as a killed run leaves it
            os.close(journal._fd)
            journal.owner.end()
    vanished = world.state / "receipts" / f"{Owner(world.state).token}.jsonl"
    vanished.touch()
    real = Folder.open

    def merged_by_another_run(folder, name, *flags):
        if name == vanished.name:
            vanished.unlink()
        return real(folder, name, *flags)

    monkeypatch.setattr(Folder, "open", merged_by_another_run)
    journal.close()
    assert not vanished.exists()
    assert set(read_receipts(world.state)) == {f"f{n}" for n in range(9)}
    last = Journal(world.state)
    last.append(receipt("last"))
    last.close()
    assert len(world.left("receipts")) == 1
    assert len(read_receipts(world.state)) == 10


def receipt(path, when=1.0, size=1):
    return Receipt(path, "k", "e", size, 1, VerificationLevel.SIZE, "", when)


def test_the_latest_receipt_of_a_path_wins_whatever_the_journal(world):
    first, second = Journal(world.state), Journal(world.state)
    first.append(receipt("a", when=5.0, size=5))
    second.append(receipt("a", when=9.0, size=9))
    first.append(receipt("a", when=7.0, size=7))
    first.close()
    second.close()
    assert read_receipts(world.state)["a"].size == 9


@pytest.mark.parametrize("tail", [b'{"path": "b", "ke', b"\xff\xfe\n", b"[]\n", b'{"path": 3}\n\n'])
def test_a_line_that_a_crash_cut_short_costs_itself_only(world, tail):
    journal = Journal(world.state)
    journal.append(receipt("a"))
    journal.close()
    with journal.owner.journal.open("ab") as file:
        file.write(tail)
    again = Journal(world.state)
    again.append(receipt("c"))
    again.close()
    assert set(read_receipts(world.state)) == {"a", "c"}


def test_a_journal_without_receipts_leaves_no_file(world):
    journal = Journal(world.state)
    journal.open()
    assert len(world.left("receipts")) == 1
    journal.close()
    assert world.left("receipts") == []


def test_threads_append_whole_lines(world):
    journal = Journal(world.state)

    def write(number):
        for n in range(100):
            journal.append(receipt(f"{number}/{n}"))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert len(read_receipts(world.state)) == 800
    assert len(world.left("receipts")) == 1


def test_a_receipt_that_comes_after_the_end_is_not_lost(world):
    journal = Journal(world.state)
    journal.append(receipt("a"))
    journal.close()
    journal.append(receipt("late"))
    assert set(read_receipts(world.state)) == {"a", "late"}


# -- owners ----------------------------------------------------------------------------------

ELSEWHERE = "otherhost_12345678_4026531836-4242-99999-abcdef01"


def elsewhere(world, silent):
    """Let a process of another host claim a file; `silent` seconds ago it was last heard of."""
    (world.state / "receipts").mkdir(parents=True)
    (world.state / "claims").mkdir()
    os.symlink(ELSEWHERE, world.state / "claims" / name_of("f.bin"))
    journal = world.state / "receipts" / f"{ELSEWHERE}.jsonl"
    journal.touch()
    then = time.time() - silent
    os.utime(journal, (then, then))
    return journal


def test_a_silent_process_of_another_host_counts_as_dead(world):
    elsewhere(world, SILENT_SECONDS + 5)
    world.put("f.bin", LARGE)
    assert world.fetch().ok
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


def test_a_process_of_another_host_without_a_journal_counts_as_dead(world):
    elsewhere(world, 0).unlink()
    world.put("f.bin", LARGE)
    assert world.fetch().ok


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, len(LARGE)])
def test_a_live_process_of_another_host_is_waited_for_and_told_once(world, size):
    elsewhere(world, SILENT_SECONDS - 60)
    body = world.put("f.bin", LARGE[:size])
    told = []

    def finish_there():
        time.sleep(0.9)
        (world.root / "f.bin").write_bytes(body)
        (world.state / "claims" / name_of("f.bin")).unlink()

    other = threading.Thread(target=finish_there)
    other.start()
    (outcome,) = world.fetch(listen=told.append)
    other.join()
    assert (outcome.status, outcome.reason) == (
        Status.KEPT,
        "another process fetched it meanwhile",
    )
    assert world.gets() == []
    assert [event for event in told if isinstance(event, Waiting)] == [Waiting("f.bin", ELSEWHERE)]


def test_a_plan_does_not_take_the_partial_of_a_live_process_elsewhere(world):
    elsewhere(world, 5)
    world.put("f.bin", LARGE)
    folder = world.state / "partial"
    folder.mkdir()
    base = folder / f"{name_of('f.bin')}.{ELSEWHERE}"
    etag = world.s3.stored("f.bin").etag.strip('"')
    head = f'{{"etag": "{etag}", "size": {len(LARGE)}, "part_size": {PART}, "algorithm": "crc32"}}'
    base.with_name(base.name + ".log").write_text(head + '\n[0, 1, ""]\n')
    base.with_name(base.name + ".part").write_bytes(LARGE[:PART])
    assert world.plan().bytes_here == 0
    journal = world.state / "receipts" / f"{ELSEWHERE}.jsonl"
    os.utime(journal, (1, 1))
    assert world.plan().bytes_here == PART


def test_a_run_that_ended_is_dead_and_one_under_way_is_not(tmp_path):
    one, two = Owner(tmp_path), Owner(tmp_path)
    assert not one.is_dead(one.token)
    assert two.is_dead(one.token)
    one.begin()
    assert not two.is_dead(one.token)
    one.end()
    assert two.is_dead(one.token)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3_000, 3 * PART, len(LARGE)])
def test_a_killed_process_that_nobody_asks_how_it_ended_is_dead(world, size):
    body = world.put("f.bin", LARGE[:size])
    first = size > 2 * PART
    world.s3.fault(key="f.bin", method="GET", times=1, skip=first, stall=60)
    killed = world.start()
    until(lambda: len(world.gets("f.bin")) > first and world.claims())
    killed.kill()  # and not waited for: a zombie, until this process ends or asks
    try:
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays one
        began = time.monotonic()
        report, code, err = world.finish(world.start(), 60)
        assert time.monotonic() - began < 30, "it waited for a dead process"
        assert (code, err) == (0, "")
        assert [line["status"] for line in report.values()] == ["fetched"]
    finally:
        killed.communicate()
    assert world.files() == {"f.bin": body}
    assert world.left("claims") == world.left() == []


@pytest.mark.parametrize("token", ["", "nonsense", "a-b-c-d", "host-1", "host--1-2-3"])
def test_tokens_that_make_no_sense_belong_to_nobody(tmp_path, token):
    assert Owner(tmp_path).is_dead(token)


def test_claims_are_given_and_taken_back(tmp_path):
    one, two = Owner(tmp_path), Owner(tmp_path)
    one.begin()
    mine, theirs = Partials(tmp_path, one), Partials(tmp_path, two)
    mine.make_folders()
    assert (mine.claim("x"), mine.claim("x")) == ("", "")
    assert theirs.claim("x") == one.token
    mine.release("x")
    assert theirs.claim("x") == ""
    mine.release("x")
    mine.release("x")  # once more is no error
    one.end()


def test_only_one_of_many_wins_the_claim_of_a_dead_run(tmp_path):
    dead = Partials(tmp_path, Owner(tmp_path))
    dead.make_folders()
    assert dead.claim("x") == ""
    owners = [Owner(tmp_path) for _ in range(8)]
    for owner in owners:
        owner.begin()
    answers, barrier = [], threading.Barrier(8)

    def race(owner):
        barrier.wait()
        answers.append(Partials(tmp_path, owner).claim("x"))

    threads = [threading.Thread(target=race, args=(owner,)) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for owner in owners:
        owner.end()
    assert answers.count("") >= 1
    assert set(answers) - {""} <= {owner.token for owner in owners}
    dead.close()
    assert os.listdir(tmp_path / "claims") == ["x"]


LINK = os.link


def refused(*_, **__):
    raise PermissionError(errno.EPERM, "Operation not permitted")


def unknown(*_, **__):
    raise NotImplementedError("link: follow_symlinks unavailable on this platform")


def too_many(name, *others, **how):
    raise OSError(errno.EMLINK, "Too many links")


def swept(name, *others, **how):
    """Another run took this one for dead, and removed what it left."""
    os.unlink(name, dir_fd=how["src_dir_fd"])
    LINK(name, *others, **how)


@pytest.mark.parametrize("link", [LINK, refused, unknown, too_many, swept])
def test_claims_are_names_of_one_link_where_that_goes_and_else_links(tmp_path, monkeypatch, link):
    """Making an inode for each is slow where many were freed just now."""
    one, two = Owner(tmp_path), Owner(tmp_path)
    one.begin()
    mine, theirs = Partials(tmp_path, one), Partials(tmp_path, two)
    mine.make_folders()
    monkeypatch.setattr(os, "link", link)
    assert [mine.claim(name) for name in "xyz"] == ["", "", ""]
    inodes = {os.lstat(tmp_path / "claims" / name).st_ino for name in "xyz"}
    assert len(inodes) == (1 if link is LINK else 3)
    assert [theirs.claim(name) for name in "xyz"] == [one.token] * 3
    assert mine.is_mine("x")
    for name in "xyz":
        mine.release(name)
    assert [theirs.claim(name) for name in "xyz"] == [""] * 3
    for name in "xyz":
        theirs.release(name)
    mine.close()
    theirs.close()
    assert os.listdir(tmp_path / "claims") == []
    one.end()


def test_the_link_of_a_run_that_was_killed_is_swept_with_its_claims(tmp_path):
    dead = Partials(tmp_path, Owner(tmp_path))
    dead.make_folders()
    dead.claim("0" * 23 + "1")
    assert len(os.listdir(tmp_path / "claims")) == 2
    Partials(tmp_path, Owner(tmp_path)).sweep(set())
    assert os.listdir(tmp_path / "claims") == []


def test_where_no_symbolic_links_can_be_made_everyone_works_alone(world, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    world.put("f.bin", LARGE)
    world.put("g.bin", b"g")
    assert world.fetch().ok
    world.assert_clean()


def test_two_transfers_in_one_process_fetch_once(world):
    for n in range(20):
        world.put(f"f{n:02}", noise(2_000, n))
    world.put("large", LARGE)
    world.s3.latency = 0.01
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(world.fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.ok for report in reports] == [True, True]
    assert len(world.gets()) == 20 + 7
    world.assert_clean()


def test_a_later_run_does_not_wait_for_one_that_was_broken_off(world):
    world.put("f.bin", LARGE)
    world.put("g.bin", b"g")

    def listen(event):
        raise OverflowError("enough")

    with pytest.raises(OverflowError):
        world.fetch(listen=listen)
    began = time.monotonic()
    assert world.fetch(replace(OPTIONS, beat=0.01)).ok
    assert time.monotonic() - began < 5
    world.assert_clean()
