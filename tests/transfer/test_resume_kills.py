"""Killed, interrupted or out of disk within a part, or within a file in one piece: what came stays.

Everything here happens in the middle of what is one request: `test_resume` has whole parts.
"""

import json
import os
import signal
from dataclasses import replace

import pytest

from neurofetch.model import Action, Status, VerificationLevel
from neurofetch.store.owner import Life, Owner
from neurofetch.store.partials import PartLog
from neurofetch.transfer import receive, whole_file
from neurofetch.transfer.part_file import PartFile
from tests.engine_world import KIB, MIB, NETWORK, OPTIONS, PART, World, noise, ran, until

SIZE = 24 * PART
BIG = 8 * PART
IN_PARTS = replace(OPTIONS, part_size=BIG, single_limit=BIG, bulk_connections=3)
WHOLE = replace(OPTIONS, single_limit=64 * MIB)
WAYS = {"in parts": IN_PARTS, "in one piece": WHOLE}
SHELL = {
    "in parts": ("--part", str(BIG // KIB), "--single", str(BIG // KIB)),
    "in one piece": ("--single", str(64 * KIB)),
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def only(report):
    (outcome,) = report
    return outcome


def slowly(monkeypatch):
    """Let every receive be a gulp, and every file a slow one, so that no test need wait."""
    monkeypatch.setattr(receive, "_SOON", 0.0)
    monkeypatch.setattr(receive, "_ENOUGH", 1)
    monkeypatch.setattr(whole_file, "_SLOW", 0.0)


def noted(world):
    """Return how many bytes the logs of all partials name."""
    logs = [world.state / "partial" / name for name in world.left() if name.endswith(".log")]
    found = [PartLog.parse(log.read_bytes()) for log in logs]
    return sum(log.bytes_held() for log in found if log is not None)


def killed(world, way, at, how=signal.SIGKILL):
    """Let a process fetch at 1 MB/s, and end it when so many bytes are noted."""
    world.s3.fault(method="GET", rate=1_000_000)
    process = world.start(*SHELL[way])
    until(lambda: noted(world) >= at)
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    world.s3.clear_faults()
    world.hang_up()
    world.s3.clear_log()
    return process.returncode, err


# -- killed ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_within_a_request_what_was_noted_is_not_fetched_again(world, way):
    body = world.put("f.bin", noise(SIZE))
    killed(world, way, 900_000)
    assert world.files() == {}
    held = noted(world)
    plan = world.plan()
    assert [(step.action, step.have) for step in plan.steps] == [(Action.RESUME, held)]
    outcome = only(world.fetch(WAYS[way]))
    assert (outcome.status, outcome.reason) == (Status.FETCHED, "resumed")
    assert outcome.verification is VerificationLevel.CHECKSUM
    assert outcome.moved == world.served("f.bin") == SIZE - held
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_again_and_again_every_kill_costs_little(world, way):
    body = world.put("f.bin", noise(2 * SIZE))
    held = 0
    for _ in range(3):
        killed(world, way, held + 200_000)
        assert noted(world) >= held + 200_000
        held = noted(world)
    assert only(world.fetch(WAYS[way])).ok
    assert world.served("f.bin") == len(body) - held
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_stopped_within_a_request_what_came_stays(world, way, how):
    body = world.put("f.bin", noise(SIZE))
    code, err = killed(world, way, 400_000, how)
    assert code == -how, err
    assert world.files() == {}
    assert {name.rpartition(".")[2] for name in world.left()} == {"log", "part"}
    held = noted(world)
    assert only(world.fetch(WAYS[way])).reason == "resumed"
    assert world.served("f.bin") == SIZE - held
    assert world.files() == {"f.bin": body}


@pytest.mark.slow
def test_a_fast_file_that_is_stopped_before_it_has_a_log_stays_as_well(world):
    body = world.put("f.bin", noise(SIZE))
    world.s3.fault(method="GET", times=1, stall=20.0, stall_after=700_000)
    process = world.start(*SHELL["in one piece"])
    until(lambda: world.gets("f.bin") and world.left())
    until(lambda: sum((world.state / "partial" / n).stat().st_size for n in world.left()) >= 2**19)
    assert [name.rpartition(".")[2] for name in world.left()] == ["tmp"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    world.s3.clear_log()
    assert only(world.fetch(WHOLE)).reason == "resumed"
    assert world.served("f.bin") == SIZE - 700_000
    assert world.files() == {"f.bin": body}
    world.assert_clean()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_process_that_waits_for_a_killed_one_ends_with_the_right_file(world, way):
    body = world.put("f.bin", noise(SIZE))
    world.s3.fault(method="GET", times=3, rate=150_000)
    first = world.start(*SHELL[way])
    until(lambda: noted(world) >= 200_000)
    second = world.start(*SHELL[way])
    until(lambda: len(world.s3.requests("LIST")) == 2)
    first.kill()
    first.communicate(timeout=5)
    report, code, err = world.finish(second)
    assert code == 0, err
    assert report["f.bin"]["status"] == "fetched"
    assert world.files() == {"f.bin": body}
    world.put("g.bin", b"g")
    assert world.fetch().ok
    world.assert_clean()


# -- what lies on the disk -------------------------------------------------------------------


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def halfway(world, way, monkeypatch):
    """Leave the fronts of all parts behind, by a run of this very process that failed."""
    slowly(monkeypatch)
    world.body = world.put("f.bin", noise(SIZE))
    parts = 3 if way == "in parts" else 1
    for number in range(parts):
        first = f"bytes={number * BIG}-*" if way == "in parts" else ""
        world.s3.fault(method="GET", byte_range=first, times=1, cut_after=300_000)
    all_cut = lambda: until(lambda: len(world.fronts()) == parts)  # noqa: E731
    world.s3.fault(method="GET", status=403, before=all_cut)
    assert only(world.fetch(WAYS[way])).status is Status.FAILED
    world.s3.clear_faults()
    world.s3.clear_log()
    assert world.fronts() == dict.fromkeys(range(parts), 300_000)
    return world


def the_log(world):
    (name,) = (name for name in world.left() if name.endswith(".log"))
    return world.state / "partial" / name


def the_part(world):
    return the_log(world).with_suffix(".part")


def test_the_next_run_plans_for_the_rest_and_fetches_the_rest(halfway, way):
    held = sum(halfway.fronts().values())
    (step,) = halfway.plan().steps
    assert (step.action, step.have) == (Action.RESUME, held)
    assert only(halfway.fetch(WAYS[way])).reason == "resumed"
    assert halfway.served("f.bin") == SIZE - held
    assert halfway.files() == {"f.bin": halfway.body}
    halfway.assert_clean()


def test_a_log_in_which_a_note_is_cut_short_loses_that_note(halfway, way):
    log = the_log(halfway)
    log.write_bytes(log.read_bytes()[:-4])
    held = noted(halfway)
    if way == "in parts":
        assert 0 < held < 900_000
    else:
        assert held < 300_000  # it may have been the only one
    assert halfway.fetch(WAYS[way]).ok
    assert halfway.served("f.bin") == SIZE - held
    assert halfway.files() == {"f.bin": halfway.body}


@pytest.mark.parametrize("place", [0, 150_000, 299_999])
def test_damage_within_a_front_costs_what_was_noted_behind_it(halfway, way, place):
    notes = [note[3] for note in halfway.notes(4) if note[0] == 0]
    good = max((count for count in notes if count <= place), default=0)
    with the_part(halfway).open("r+b") as file:
        file.seek(place)
        before = file.read(1)
        file.seek(place)
        file.write(bytes([before[0] ^ 0x10]))
    assert halfway.fetch(WAYS[way]).ok
    others = 600_000 if way == "in parts" else 0
    assert halfway.served("f.bin") == SIZE - others - good
    assert halfway.files() == {"f.bin": halfway.body}
    halfway.assert_clean()


def test_a_partial_that_is_shorter_than_its_notes_say(halfway, way):
    os.truncate(the_part(halfway), 100_000)
    assert halfway.fetch(WAYS[way]).ok
    assert SIZE - 100_000 <= halfway.served("f.bin") <= SIZE
    assert halfway.files() == {"f.bin": halfway.body}


ODD_NOTES = [
    b'[0, 1, "", 400000]\n',  # more than came: the checksum says so
    b'[0, 1, "", 99999999999]\n',  # more than a part has
    b'[0, 1, "", -5]\n',
    b'[99, 1, "", 5]\n',  # no such part
    b'[0, 1, "", "5"]\n',
    b'[0, 1, "", true]\n',
    b'[0, 1, "", 1.5]\n',
    b'[0, 1, "", 5, 5]\n',
    b'[0, -1, "", 300001]\n',
    b"[0, 1, 5, 300001]\n",
    b"\x00" * 100 + b"\n",
]


@pytest.mark.parametrize("line", ODD_NOTES, ids=repr)
def test_a_note_that_makes_no_sense_costs_at_most_its_front(halfway, way, line):
    log = the_log(halfway)
    log.write_bytes(log.read_bytes() + line)
    assert halfway.fetch(WAYS[way]).ok
    assert halfway.files() == {"f.bin": halfway.body}
    halfway.assert_clean()


def test_a_note_of_nothing_takes_back_what_was_noted(halfway, way):
    log = the_log(halfway)
    log.write_bytes(log.read_bytes() + PartLog.front(0, 0, 0))
    others = 600_000 if way == "in parts" else 0
    assert noted(halfway) == others
    assert halfway.fetch(WAYS[way]).ok
    assert halfway.served("f.bin") == SIZE - others
    assert halfway.files() == {"f.bin": halfway.body}


def test_notes_of_an_older_version_are_read_and_a_front_is_none_to_it(halfway, way):
    """An older version unpacks three values: a line of four makes no sense to it."""
    for line in the_log(halfway).read_bytes().splitlines()[1:]:
        assert len(json.loads(line)) == 4
    log = the_log(halfway)
    head, _, _ = log.read_bytes().partition(b"\n")
    log.write_bytes(head + b"\n")
    assert halfway.fetch(WAYS[way]).ok
    assert halfway.files() == {"f.bin": halfway.body}


def test_fronts_of_another_version_are_thrown_away(halfway, way):
    new = halfway.put("f.bin", noise(SIZE, 9))
    assert halfway.plan().steps[0].action is Action.FETCH
    assert halfway.fetch(WAYS[way]).ok
    assert halfway.served("f.bin") == SIZE
    assert halfway.files() == {"f.bin": new}
    halfway.assert_clean()


def test_an_object_that_changes_between_plan_and_run_is_not_mixed_with_a_front(halfway, way):
    plan = halfway.plan()
    new = halfway.put("f.bin", noise(SIZE, 9))
    with halfway.fetcher() as fetcher:
        outcome = only(ran(fetcher, plan, WAYS[way]))
    assert outcome.ok, outcome
    assert halfway.files() == {"f.bin": new}


def test_fronts_are_checked_by_what_the_server_now_offers(halfway, way):
    halfway.put("f.bin", halfway.body, checksum="crc32")
    held = noted(halfway)
    outcome = only(halfway.fetch(WAYS[way]))
    assert outcome.verification is VerificationLevel.CHECKSUM
    assert halfway.receipts()["f.bin"].digest.startswith("crc32:")
    assert halfway.served("f.bin") == SIZE - held


@pytest.mark.parametrize("other", WAYS)
def test_the_way_of_the_next_run_may_be_another(halfway, other):
    held = noted(halfway)
    assert halfway.fetch(WAYS[other]).ok
    assert halfway.served("f.bin") == SIZE - held
    assert halfway.files() == {"f.bin": halfway.body}
    halfway.assert_clean()


def test_interrupted_while_it_reads_back_nothing_is_lost(halfway, way, monkeypatch):
    held = noted(halfway)
    real = PartFile._read_on

    def stopped(partial, front, *what):
        partial._context.attempts.stop.set()
        return real(partial, front, *what)

    monkeypatch.setattr(PartFile, "_read_on", stopped)
    assert not only(halfway.fetch(WAYS[way])).ok
    monkeypatch.setattr(PartFile, "_read_on", real)
    if way == "in one piece":  # its only front was read back before it was looked
        assert noted(halfway) in (0, held)
    else:
        assert noted(halfway) == held


def test_of_a_silent_run_the_fronts_are_copied(halfway, way, monkeypatch):
    monkeypatch.setattr(Owner, "life", lambda *_: Life.SILENT)
    monkeypatch.setattr(Owner, "is_dead", lambda self, token: token != self.token)
    held = noted(halfway)
    assert halfway.fetch(WAYS[way]).ok
    assert halfway.served("f.bin") == SIZE - held
    assert halfway.files() == {"f.bin": halfway.body}


def test_a_file_that_comes_at_once_has_no_log(world, monkeypatch):
    monkeypatch.setattr(whole_file, "_SLOW", 30.0)
    made = []
    rename = whole_file.PartFile._begin_log
    monkeypatch.setattr(
        whole_file.PartFile, "_begin_log", lambda one: (made.append(one), rename(one))
    )
    world.put("f.bin", noise(SIZE))
    assert world.fetch(WHOLE, network=NETWORK).ok
    assert made == []
