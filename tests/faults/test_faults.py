"""Each fault of the table, at each place, in each source: outcome, disk, requests, message.

`table.py` says what can go wrong and what must come of it, `worlds.py` has the servers. What must
hold in every cell is here.
"""

import re
import subprocess
import sys
import threading
import time

import pytest

from neurofetch.console import ExitCode
from tests.engine_world import noise
from tests.faults import wire
from tests.faults.table import EITHER, FAILS, HERE, ROWS, Row, cells
from tests.faults.worlds import RULES, WORLDS

WHAT_TO_DO = re.compile(
    r"(?i)\b(same call|run|check|ask|set|unset|try|correct|remove|free|log in|sign in|wait"
    r"|choose|make|report|put|open)\b"
)
NEVER = re.compile(r"Traceback|X-Amz-|Signature=|0x[0-9a-f]{8}|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LONGEST = 9.0
"""Seconds for a run, at most: a hang is a failure."""
MOST = {
    "s3": 12 * RULES.attempts,
    "neurovault": 20 * RULES.attempts,
    "stimuli": 12 * RULES.attempts,
}
"""Requests of a run beyond those of one where nothing goes wrong, at most."""


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Return how many requests a run takes where nothing goes wrong, by source."""
    counts = {}
    for source, make in WORLDS.items():
        folder = tmp_path_factory.mktemp(source)
        with pytest.MonkeyPatch.context() as patch, make(folder, patch) as world:
            assert world.run().ok
            counts[source] = world.asked()
    return counts


def told(cell):
    row, source, place, often = cell
    return f"{source}-{place}-{row.name}-{often}".replace(" ", "_")


@pytest.mark.parametrize("cell", cells(), ids=told)
def test_a_fault(cell, usual, tmp_path, monkeypatch):
    row, source, place, often = cell
    with WORLDS[source](tmp_path, monkeypatch) as world:
        world.strike(place, row.how, often)
        result = look(world, row, place, often)
        assert world.asked() <= usual[source] + (6 if often == "once" else MOST[source])
        assert_outcome(result, row, place, often)
        assert_healed(world)


def look(world, row, place, often):
    """Run; assert what holds whatever the outcome is."""
    began = time.monotonic()
    result = world.run()
    assert time.monotonic() - began < LONGEST
    files, struck = world.files(), world.struck[place]
    wrong = {path for path, data in files.items() if data != world.contents.get(path)}
    assert wrong == set(), "wrong bytes under a final name"
    missing = set(world.contents) - set(files)
    assert result.ok == (not missing), f"said ok={result.ok}, missing: {missing}\n{result.message}"
    assert missing <= set(struck), f"files beside the one at fault are missing\n{result.message}"
    assert world.rest() == [], "temporary files or claims are left"
    assert not NEVER.search(result.message), result.message
    assert len(result.message) < 3_000
    until_no_thread_is_left()
    return result


def assert_outcome(result, row, place, often):
    expected = row.outcome(place, often)
    assert expected in (EITHER, HERE if result.ok else FAILS), result.message
    if not result.ok:
        assert re.search(row.says, result.message), result.message
        assert WHAT_TO_DO.search(result.message), result.message


def assert_healed(world):
    """Assert that one more run without faults brings everything, and leaves nothing over."""
    world.heal()
    result = world.run()
    assert result.ok, result.message
    assert world.files() == world.contents
    assert world.rest() == []
    assert world.partials() == []


def until_no_thread_is_left():
    end = time.monotonic() + 3.0
    while any(t.name.startswith("neurofetch") for t in threading.enumerate()):
        assert time.monotonic() < end, "threads of the run live on"
        time.sleep(0.005)


# -- the way to the server -------------------------------------------------------------------


@pytest.mark.parametrize("source", WORLDS)
def test_a_server_that_refuses_connections_is_named_and_nothing_is_left(
    source, tmp_path, monkeypatch
):
    with WORLDS[source](tmp_path, monkeypatch) as world:
        for name in ("AWS_ENDPOINT_URL_S3", "NEUROVAULT_API_URL"):
            monkeypatch.setenv(name, world.nowhere)
        result = world.run()
        assert not result.ok
        assert re.search("refused", result.message), result.message
        assert WHAT_TO_DO.search(result.message), result.message
        assert world.files() == {}
        assert world.rest() == []


# -- over TLS --------------------------------------------------------------------------------

OVER_TLS = {
    "no length, and cut, without a close_notify": (wire.to_the_close_cut, HERE, FAILS),
    "no length, and no close_notify": (wire.to_the_close, HERE, EITHER),
    "no length, and a close_notify": (wire.to_the_close_notified, HERE, HERE),
    "closed inside the body": (wire.broken("body", wire.CUT), HERE, FAILS),
    "closed before the last byte": (wire.broken("last", wire.CUT), HERE, FAILS),
    "reset inside the body": (wire.broken("body", wire.RESET), HERE, FAILS),
    "silent inside the body": (wire.broken("body", wire.STALL), HERE, FAILS),
    "plain text in the place of TLS": (wire.plain_text, HERE, FAILS),
}


@pytest.mark.parametrize("often", ["once", "always"])
@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("s3", "list"),
        ("s3", "small"),
        ("s3", "part"),
        ("neurovault", "page"),
        ("neurovault", "image"),
    ],
)
@pytest.mark.parametrize("name", OVER_TLS)
def test_a_fault_over_tls(name, source, place, often, tls, certificate, tmp_path, monkeypatch):
    act, *outcomes = OVER_TLS[name]
    with WORLDS[source](tmp_path, monkeypatch, tls=tls) as world:
        world.trust(certificate[0])
        world.strike(place, {"act": act}, often)
        row = Row(name, {}, once=outcomes[0], always=outcomes[1])
        result = look(world, row, place, often)
        assert_outcome(result, row, place, often)
        assert_healed(world)


# -- objects that change ---------------------------------------------------------------------


@pytest.mark.parametrize("size", ["the same", "another"])
@pytest.mark.parametrize("skip", [0, 1, 2])
@pytest.mark.parametrize("key", ["a/small.bin", "b/large.bin", "c/moved.bin"])
def test_an_object_that_changes_is_one_version_or_the_other(key, skip, size, tmp_path, monkeypatch):
    with WORLDS["s3"](tmp_path, monkeypatch) as world:
        old = world.contents[key]
        new = noise(len(old) + (100 if size == "another" else 0), 99)
        world.change(key, new, skip)
        result = world.run()
        now = world.files()
        assert now.get(key) in (old, new, None)
        assert result.ok == (key in now), result.message
        assert {k: v for k, v in now.items() if k != key} == {
            k: v for k, v in world.contents.items() if k != key
        }
        assert world.rest() == []
        assert_healed(world)


# -- the commands ----------------------------------------------------------------------------

COMMANDS = {
    "s3": ["get", "s3://b", "--dest"],
    "neurovault": ["neurovault", "fetch", "--collection", "1952", "7", "--data-dir"],
}


@pytest.mark.parametrize("name", ["status 403", "status 404", "a flipped byte", "a portal's page"])
@pytest.mark.parametrize(("source", "place"), [("s3", "small"), ("neurovault", "image")])
def test_a_command_says_by_its_exit_code_whether_all_is_here(
    source, place, name, tmp_path, monkeypatch
):
    row = next(row for row in ROWS if row.name == name)
    with WORLDS[source](tmp_path, monkeypatch) as world:
        command = [sys.executable, "-m", "neurofetch", *COMMANDS[source], str(world.root)]
        world.strike(place, row.how, "always")
        first = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert first.returncode == ExitCode.INCOMPLETE, first.stderr
        assert re.search(row.says, first.stderr), first.stderr
        assert WHAT_TO_DO.search(first.stderr), first.stderr
        assert not NEVER.search(first.stderr), first.stderr
        assert set(world.contents) - set(world.files()) == set(world.struck[place])
        world.heal()
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == ExitCode.OK, second.stderr
        assert world.files() == world.contents
        assert world.rest() == world.partials() == []
