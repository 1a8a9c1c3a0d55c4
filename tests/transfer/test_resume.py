"""Killed, interrupted, out of disk, and then run again: the same tree, and nothing twice."""

import os
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from neurofetch.engine import Fetcher
from neurofetch.errors import DestinationError, DiskFullError
from neurofetch.model import Action, Status, VerificationLevel
from neurofetch.store.partials import name_of
from tests.engine_world import KIB, MIB, OPTIONS, PART, World, noise, ran, until
from tests.mounts import tmpfs

LARGE = noise(12 * PART + 777, 2)
PARTS = 13


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def only(report):
    (outcome,) = report
    return outcome


def interrupted(world, parts, how=signal.SIGKILL):
    """Let a process fetch some parts of what is in the bucket, and end it in the middle."""
    world.s3.fault(method="GET", skip=parts, times=PARTS, stall=20.0, stall_after=10_000)
    before = world.log_lines()
    process = world.start()
    until(lambda: world.log_lines() >= before + parts)
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    world.s3.clear_faults()
    return process.returncode, out, err


def parts_noted(world):
    """Return the numbers of the whole parts that the logs name."""
    return sorted(note[0] for note in world.notes(3))


# -- kill -9 ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 5, 9])
def test_after_kill_the_parts_that_came_are_not_fetched_again(world, parts):
    world.put("f.bin", LARGE)
    interrupted(world, parts)
    assert world.files() == {}
    noted = parts_noted(world)
    assert len(noted) >= parts
    plan = world.plan()
    assert [step.action for step in plan.steps] == [Action.RESUME]
    assert plan.bytes_to_fetch == len(LARGE) - len(noted) * PART + (12 in noted) * (PART - 777)
    world.s3.clear_log()
    outcome = only(world.fetch())
    assert world.ranges("f.bin") == sorted(set(range(PARTS)) - set(noted))
    assert (outcome.status, outcome.reason) == (Status.FETCHED, "resumed")
    assert outcome.moved == plan.bytes_to_fetch
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


@pytest.mark.slow
def test_killed_again_and_again_it_still_gets_there(world):
    world.put("f.bin", LARGE)
    for parts in (2, 3, 3):
        interrupted(world, parts)
    world.fetch()
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()
    whole = [r.range for r in world.gets("f.bin") if r.sent in (PART, 777)]
    assert sorted(set(whole)) == sorted({r.range for r in world.gets("f.bin")})
    assert len(set(whole)) == PARTS
    assert len(whole) <= PARTS + 3 * 4  # at each kill, those under way may have come unnoted


DEATHS = {
    "before the log is in place": "replace:before:.log",
    "after the log is in place": "replace:after:.log",
    "before a part is written": "pwrite:before::4",
    "after a part is written": "pwrite:after::4",
    "before the size is set": "ftruncate:before:",
    "before the flush": "fsync:before:",
    "before the final name": "replace:before:data/f.bin",
    "after the final name, before the receipt": "replace:after:data/f.bin",
    "after the receipt, before the log goes": "unlink:before:.log",
    "before the claim goes": "unlink:before:claims",
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", DEATHS)
def test_killed_at_any_step_the_next_run_ends_with_the_same_tree(world, moment):
    world.put("f.bin", LARGE)
    process = world.start("--die", DEATHS[moment])
    _, code, err = world.finish(process)
    assert code == -signal.SIGKILL, err
    assert set(world.files().values()) <= {LARGE}  # a final name holds the whole file or nothing
    done = parts_noted(world) if any(name.endswith(".log") for name in world.left()) else []
    there = bool(world.files())
    world.hang_up()
    world.s3.clear_log()
    outcome = only(world.fetch())
    assert outcome.ok
    assert world.files() == {"f.bin": LARGE}
    missing = [] if there else sorted(set(range(PARTS)) - set(done))
    assert world.ranges("f.bin") == missing
    world.put("other.bin", b"x")
    world.fetch()  # a run that has something to do sweeps what is left
    world.assert_clean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["replace:before:.part", "replace:after:.part", "replace:before:.log"]
)
def test_killed_while_it_takes_over_a_partial(world, moment):
    world.put("f.bin", LARGE)
    interrupted(world, 4)
    _, code, err = world.finish(world.start("--die", moment))
    assert code == -signal.SIGKILL, err
    assert only(world.fetch()).status is Status.FETCHED
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "symlink:after:claims",
        "write:before::2",
        "fsync:before:",
        "replace:before:",
        "replace:after:",
    ],
)
def test_killed_among_small_files(world, moment):
    content = {f"d/f{n}": world.put(f"d/f{n}", noise(5_000, n)) for n in range(12)}
    _, code, err = world.finish(world.start("--die", moment))
    assert code == -signal.SIGKILL, err
    assert world.files().items() <= content.items()
    here = set(world.files())
    world.hang_up()
    world.s3.clear_log()
    assert world.fetch().ok
    assert world.files() == content
    assert {request.key for request in world.gets()} == set(content) - here
    world.assert_clean()


# -- partials --------------------------------------------------------------------------------


def partial_of(world):
    (name,) = (name for name in world.left() if name.endswith(".part"))
    return world.state / "partial" / name


@pytest.fixture
def halfway(world):
    """Leave a partial of some parts behind, by a run of this very process that failed."""
    world.put("f.bin", LARGE)
    for part in (3, 7, 8):
        world.s3.fault(key="f.bin", byte_range=f"bytes={part * PART}-*", status=404)
    assert only(world.fetch(replace(OPTIONS, bulk_connections=1))).status is Status.FAILED
    world.s3.clear_faults()
    world.s3.clear_log()
    assert parts_noted(world) == [0, 1, 2]
    return world


def test_a_run_of_the_same_process_resumes_what_an_earlier_one_left(halfway):
    assert halfway.plan().steps[0].action is Action.RESUME
    assert halfway.plan().bytes_here == 3 * PART
    assert halfway.fetch().ok
    assert halfway.ranges("f.bin") == list(range(3, PARTS))
    assert halfway.files() == {"f.bin": LARGE}
    halfway.assert_clean()


def test_a_part_whose_bytes_changed_on_the_disk_is_fetched_again(halfway):
    with partial_of(halfway).open("r+b") as file:
        file.seek(PART + 17)
        file.write(b"rust")
    outcome = only(halfway.fetch())
    assert outcome.status is Status.FETCHED
    assert halfway.ranges("f.bin") == [1, *range(3, PARTS)]
    assert halfway.files() == {"f.bin": LARGE}


def test_a_partial_that_is_shorter_than_its_log_says(halfway):
    os.truncate(partial_of(halfway), PART + 5)
    assert halfway.fetch().ok
    assert halfway.ranges("f.bin") == list(range(1, PARTS))
    assert halfway.files() == {"f.bin": LARGE}


@pytest.mark.parametrize(
    "log",
    [
        b"",
        b"rubbish\n",
        b"{}\n",
        b'{"etag": "x", "size": 1, "part_size": 0, "algorithm": "crc32"}\n[0, 1, ""]\n',
        b'{"etag": "x", "size": "1", "part_size": 5, "algorithm": "crc32"}\n',
        b'[1]\n[0, 1, ""]\n',
        b"\xff\xfe\n",
        "no size of parts",
    ],
)
def test_a_log_that_is_rubbish_costs_the_parts_and_nothing_else(halfway, log):
    where = partial_of(halfway).with_suffix(".log")
    if isinstance(log, str):
        log = where.read_bytes().replace(b'"part_size": %d' % PART, b'"part_size": 0')
    where.write_bytes(log)
    assert halfway.fetch().ok
    assert halfway.files() == {"f.bin": LARGE}
    assert halfway.ranges("f.bin") == list(range(PARTS))
    halfway.assert_clean()


@pytest.mark.parametrize("line", [b"[3, 1", b'["3", 1, ""]\n', b'[-1, 1, ""]\n', b'[99, 1, ""]\n'])
def test_a_line_that_is_rubbish_costs_its_part(halfway, line):
    log = partial_of(halfway).with_suffix(".log")
    log.write_bytes(log.read_bytes() + line)
    assert halfway.fetch().ok
    assert halfway.ranges("f.bin") == list(range(3, PARTS))


def test_a_partial_of_an_older_version_is_thrown_away(halfway):
    new = halfway.put("f.bin", noise(len(LARGE), 9))
    assert halfway.plan().steps[0].action is Action.FETCH
    assert halfway.fetch().ok
    assert halfway.ranges("f.bin") == list(range(PARTS))
    assert halfway.files() == {"f.bin": new}
    halfway.assert_clean()


def test_other_parts_than_the_options_ask_for_are_resumed_as_they_are(halfway):
    report = halfway.fetch(replace(OPTIONS, part_size=3 * PART))
    assert report.ok
    assert halfway.ranges("f.bin") == list(range(3, PARTS))
    assert halfway.files() == {"f.bin": LARGE}


def test_a_partial_is_checked_by_what_the_server_now_offers(halfway):
    halfway.put("f.bin", LARGE, checksum="crc32")
    outcome = only(halfway.fetch())
    assert outcome.verification is VerificationLevel.CHECKSUM
    assert halfway.ranges("f.bin") == list(range(3, PARTS))
    assert halfway.receipts()["f.bin"].digest.startswith("crc32:")


def test_md5s_that_the_log_lacks_are_computed_when_resuming(world):
    body = world.put("f.bin", noise(5 * MIB + 3))
    options = replace(OPTIONS, part_size=MIB, single_limit=MIB, bulk_connections=1)
    world.s3.fault(key="f.bin", byte_range=f"bytes={3 * MIB}-*", status=404)
    world.fetch(options)
    world.s3.clear_faults()
    world.put("f.bin", body, checksum=None, part_size=MIB)
    etag = world.s3.stored("f.bin").etag.strip('"')
    log = partial_of(world).with_suffix(".log")
    head, _, rest = log.read_text().partition("\n")
    start = head.index('"', head.index(":")) + 1
    log.write_text(head[:start] + etag + head[head.index('"', start) :] + "\n" + rest)
    world.s3.clear_log()
    outcome = only(world.fetch(options))
    assert outcome.verification is VerificationLevel.MULTIPART
    assert len(world.gets("f.bin")) == 3
    assert world.files() == {"f.bin": body}


def test_a_kept_partial_of_a_file_that_nobody_asked_for_now_stays(halfway):
    halfway.put("g.bin", b"g")
    plan = halfway.plan()
    steps = tuple(step for step in plan.steps if step.want.path == "g.bin")
    with halfway.fetcher() as fetcher:
        assert ran(fetcher, replace(plan, steps=steps), OPTIONS).ok
    assert parts_noted(halfway) == [0, 1, 2]


# -- several processes -----------------------------------------------------------------------


@pytest.mark.slow
def test_two_live_processes_do_not_share_a_partial_and_fetch_once(world):
    world.put("f.bin", LARGE)
    world.s3.fault(method="GET", skip=4, times=1, stall=0.8, stall_after=10_000)
    first = world.start()
    until(lambda: world.log_lines() >= 3)
    second = world.start()
    reports = [world.finish(process) for process in (first, second)]
    assert [code for _, code, _ in reports] == [0, 0], reports
    assert sorted(r["f.bin"]["status"] for r, _, _ in reports) == ["fetched", "kept"]
    assert len(world.gets("f.bin")) == PARTS
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before there is a partial", "when there is one"])
def test_a_process_that_waits_goes_on_where_a_killed_one_stopped(world, when):
    world.put("f.bin", LARGE)
    early = when == "before there is a partial"
    world.s3.fault(method="HEAD", times=1, delay=2.5 if early else 0.0)
    world.s3.fault(method="GET", skip=5, times=4, stall=30.0, stall_after=10_000)
    first = world.start()
    until(lambda: world.claims() if early else world.log_lines() >= 5)
    second = world.start()
    until(lambda: len(world.s3.requests("LIST")) == 2)
    until(lambda: world.log_lines() >= 5)
    time.sleep(0.4)  # it waits for the first one's claim
    noted = parts_noted(world)
    first.kill()
    first.communicate(timeout=5)
    world.s3.clear_log()
    began = time.monotonic()
    report, code, err = world.finish(second)
    assert code == 0, err
    assert time.monotonic() - began < 5
    assert report["f.bin"]["status"] == "fetched"
    assert world.ranges("f.bin") == sorted(set(range(PARTS)) - set(noted))
    assert world.files() == {"f.bin": LARGE}
    world.assert_clean()


@pytest.mark.slow
def test_the_claim_of_a_killed_process_is_broken_at_once(world):
    world.put("f.bin", LARGE)
    interrupted(world, 2)
    assert world.claims() == [name_of("f.bin")]
    began = time.monotonic()
    assert world.fetch().ok
    assert time.monotonic() - began < 5
    world.assert_clean()


# -- Ctrl-C ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", ["within the parts", "before the answers", "between attempts"])
def test_ctrl_c_ends_within_a_second_and_leaves_only_what_can_be_resumed(world, where):
    world.put("f.bin", LARGE)
    small = {f"s{n}": world.put(f"s{n}", noise(2_000, n)) for n in range(4)}
    trouble = {
        "within the parts": {"stall": 20.0, "stall_after": 10_000},
        "before the answers": {"delay": 20.0},
        "between attempts": {"status": 503, "headers": {"Retry-After": "20"}},
    }[where]
    world.s3.fault(key="f.bin", method="GET", skip=3, **trouble)
    process = world.start()
    until(
        lambda: world.log_lines() >= 3 and len(world.gets("f.bin")) >= 6 and len(world.files()) == 4
    )
    time.sleep(0.1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 3
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert world.files() == small
    assert {name.rpartition(".")[2] for name in world.left()} == {"log", "part"}
    assert world.left("claims") == []
    noted, fronts = parts_noted(world), world.fronts()
    assert set(fronts.values()) == ({10_000} if where == "within the parts" else set())
    world.s3.clear_faults()
    world.s3.clear_log()
    assert world.fetch().ok
    assert world.ranges("f.bin") == sorted(set(range(PARTS)) - set(noted))
    left = len(LARGE) - sum(min(PART, len(LARGE) - n * PART) for n in noted)
    assert world.served("f.bin") == left - sum(fronts.values())
    assert world.files() == {"f.bin": LARGE, **small}


@pytest.mark.slow
def test_ctrl_c_while_listing_ends_within_a_second(world):
    world.put("f.bin", LARGE)
    world.s3.fault(method="LIST", delay=20.0)
    process = world.start()
    until(lambda: world.s3.log)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)
    assert time.monotonic() - began < 3
    assert process.returncode == -signal.SIGINT, said


# -- disks -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 2 MiB; only root may."""
    with tmpfs(tmp_path / "disk", "2m") as where:
        yield where


@pytest.mark.parametrize("size", [600 * KIB, 40 * KIB])
def test_a_disk_that_fills_up_is_named_and_holds_nothing_half_written(world, small_disk, size):
    (small_disk / "data").mkdir()
    world.root = small_disk / "data"
    content = {
        f"f{n:03}": world.put(f"f{n:03}", noise(size, n)) for n in range(3_000 * KIB // size)
    }
    plan = replace(world.plan(), free=None)  # the disk fills up after the plan was made
    with world.fetcher() as fetcher:
        report = ran(fetcher, plan, replace(OPTIONS, single_limit=64 * KIB))
    assert not report.ok
    reasons = {outcome.reason for outcome in report.failures}
    assert any("full" in reason and str(world.root) in reason for reason in reasons)
    assert world.files().items() <= content.items()
    assert [name for name in world.left() if name.endswith(".tmp")] == []
    assert world.left("claims") == []


def test_a_log_that_finds_no_room_leaves_nothing_behind(world, monkeypatch):
    world.put("f.bin", LARGE)
    real = os.replace

    def full(source, target, **folders):
        if str(target).endswith(".log"):
            raise OSError(28, "No space left on device")
        real(source, target, **folders)

    monkeypatch.setattr(os, "replace", full)
    assert "is full" in only(world.fetch()).reason
    assert [name for name in world.left() if not name.endswith(".part")] == []
    assert world.left("claims") == []


def test_a_disk_that_is_too_small_is_told_before_any_byte_moves(world, small_disk):
    (small_disk / "data").mkdir()
    world.root = small_disk / "data"
    world.put("f.bin", noise(3 * MIB))
    with pytest.raises(
        DiskFullError, match=r"3,145,728 bytes are still to come.*Nothing was fetched"
    ):
        world.fetch()
    assert world.gets() == []
    assert world.files() == {}


def test_a_plan_that_fits_exactly_is_carried_out(world):
    world.put("f.bin", LARGE)
    plan = world.plan()
    with world.fetcher() as fetcher:
        with pytest.raises(DiskFullError, match="1 too few"):
            ran(fetcher, replace(plan, free=len(LARGE) - 1), OPTIONS)
        assert world.gets() == []
        assert ran(fetcher, replace(plan, free=len(LARGE)), OPTIONS).ok


@pytest.fixture
def frozen_disk(tmp_path, small_disk):
    (small_disk / "data").mkdir()
    if subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=False).returncode:
        pytest.skip("the file system cannot be made read-only")
    return small_disk / "data"


def test_a_data_directory_that_cannot_be_written_is_told_before_any_byte_moves(world, frozen_disk):
    world.root = frozen_disk
    world.put("f.bin", LARGE)
    with pytest.raises(DestinationError, match=f"cannot write to.*{frozen_disk}"):
        world.fetch()
    assert world.gets() == []


def test_a_data_directory_that_is_missing_or_a_file(world, tmp_path):
    for root, word in ((tmp_path / "nowhere", "does not exist"), (tmp_path / "file", "is a file")):
        (tmp_path / "file").touch()
        world.root = root
        with pytest.raises(DestinationError, match=word):
            world.fetcher()
    assert world.s3.log == []
    assert not (tmp_path / "nowhere").exists()


def test_a_fetcher_asks_and_writes_nothing_before_it_is_used(world):
    with world.fetcher() as fetcher:
        assert isinstance(fetcher, Fetcher)
    assert world.s3.log == []
    assert list(world.root.iterdir()) == []


def test_a_plan_writes_nothing(world):
    world.put("f.bin", LARGE)
    world.plan()
    assert list(world.root.iterdir()) == []
