"""What is left over is swept up by every run, and shown and removed by `neurofetch clean`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurofetch.errors import DestinationError, UnsafeNameError
from neurofetch.model import Status
from neurofetch.store.clean import clean
from neurofetch.store.owner import Life, Owner
from neurofetch.store.partials import Partials, name_of
from tests.engine_world import PART, World, noise

LARGE = noise(6 * PART + 5, 2)
ENDED = "0-0-abcdef01"


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def leave(state, token, *paths, age=None):
    """Leave what a run with this token leaves behind for some files, when it is killed."""
    for folder in ("partial", "claims", "receipts"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    for path in paths:
        base = state / "partial" / f"{name_of(path)}.{token}.{'0' * 16}"
        base.with_name(base.name + ".part").write_bytes(b"p" * 1000)
        base.with_name(base.name + ".log").write_bytes(b'{"size": 1}\n')
        base.with_name(base.name + ".tmp").write_bytes(b"t" * 10)
        (state / "claims" / name_of(path)).symlink_to(token)
    if age is not None:
        journal = state / "receipts" / f"{token}.jsonl"
        journal.touch()
        then = time.time() - age
        os.utime(journal, (then, then))


def ended(world):
    host = Owner(world.state / "receipts").token.partition("-")[0]
    return f"{host}-{ENDED}"


def test_a_run_that_fetches_nothing_sweeps_what_nobody_can_use(world):
    world.put("f.bin", LARGE)
    assert world.fetch().ok
    leave(world.state, ended(world), "f.bin")
    assert {outcome.status for outcome in world.fetch()} == {Status.KEPT}
    world.assert_clean()


def test_a_run_that_fetches_nothing_sweeps_also_where_its_clock_is_behind(world, monkeypatch):
    world.put("f.bin", LARGE)
    assert world.fetch().ok
    leave(world.state, "elsewhere-7-7-abcdef02", "f.bin", age=200)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 7200)
    assert {outcome.status for outcome in world.fetch()} == {Status.KEPT}
    world.assert_clean()


def test_a_run_that_fetches_nothing_writes_nothing_where_nothing_is_left(world):
    world.put("f.bin", LARGE)
    assert world.fetch().ok
    before = sorted((p, p.stat().st_mtime_ns) for p in world.root.rglob("*"))
    assert world.fetch().ok
    assert sorted((p, p.stat().st_mtime_ns) for p in world.root.rglob("*")) == before


def test_the_partial_of_a_file_that_this_run_does_not_name_is_kept_for_another(world):
    world.put("f.bin", LARGE)
    world.put("g.bin", LARGE)
    world.s3.fault(key="g.bin", method="GET", skip=2, times=99, status=500)
    assert not world.fetch().ok
    assert any(name.endswith(".part") for name in world.left())
    world.s3.clear_faults()
    world.s3.delete("g.bin")
    assert world.fetch().ok
    assert any(name.endswith(".part") for name in world.left())


def test_clean_removes_what_ended_and_silent_runs_left_and_nothing_else(world):
    world.put("f.bin", LARGE)
    assert world.fetch().ok
    living = Owner(world.state / "receipts")
    living.journal.touch()
    living.begin()
    leave(world.state, ended(world), "a", "b")
    leave(world.state, "elsewhere-7-7-abcdef02", "c", age=10_000)
    leave(world.state, "elsewhere-8-8-abcdef03", "d", age=1)
    leave(world.state, living.token, "e")
    mine = world.state / "partial" / "thesis.v2.part"
    mine.write_text("mine")
    shown = clean(world.root, dry_run=True)
    rows = {one.process: (one.life, one.files, one.claims, one.removed) for one in shown}
    assert rows == {
        0: (Life.ENDED, 4, 2, False),
        7: (Life.SILENT, 2, 1, False),
        8: (Life.LIVES, 2, 1, False),
        os.getpid(): (Life.LIVES, 2, 1, False),
    }
    assert len(world.left("claims")) == 5
    done = {one.process: one.removed for one in clean(world.root)}
    assert done == {0: True, 7: True, 8: False, os.getpid(): False}
    living.end()
    names = [name.split(".")[0] for name in world.left()]
    assert sorted(set(names)) == sorted({name_of("d"), name_of("e"), "thesis"})
    assert sorted(world.left("claims")) == sorted([name_of("d"), name_of("e")])
    assert world.files()["f.bin"] == LARGE
    assert set(world.receipts()) == {"f.bin"}


def test_the_link_of_a_run_is_no_claim(world):
    """It is swept with the rest, and is nothing to tell of."""
    dead, living = ended(world), Owner(world.state / "receipts")
    leave(world.state, dead, "a")
    living.journal.touch()
    living.begin()
    for token in (dead, living.token, "elsewhere-7-7-abcdef02"):
        (world.state / "claims" / f"{'0' * 24}.{token}").symlink_to(token)
    then = time.time() - 10_000
    journal = world.state / "receipts" / "elsewhere-7-7-abcdef02.jsonl"
    journal.touch()
    os.utime(journal, (then, then))
    assert [one.claims for one in clean(world.root, dry_run=True)] == [1]
    assert [one.claims for one in clean(world.root)] == [1]
    assert world.left("claims") == [f"{'0' * 24}.{living.token}"]
    living.end()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "neurofetch", "clean", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_shows_and_removes(world, tmp_path):
    leave(world.state, ended(world), "a")
    leave(world.root / ".other_dataset", ended(world), "b")  # a dataset names its own folder
    (world.root / ".git" / "receipts").mkdir(parents=True)
    ran = command(world.root, "--dry-run")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("would be removed: 2 partial files, 1.02 kB, 1 claim") == 2
    assert len(world.left()) == 3
    ran = command(world.root, "--json")
    assert (ran.returncode, [row["removed"] for row in json.loads(ran.stdout)["runs"]]) == (
        0,
        [True] * 2,
    )
    world.assert_clean()
    assert command(world.root).stdout == "nothing is left over\n"
    ran = command(tmp_path / "nowhere")
    assert ran.returncode != 0
    assert "does not exist. Nothing was removed." in ran.stderr
    assert "Traceback" not in ran.stderr


def test_clean_does_not_go_through_links(world):
    world.outside.mkdir()
    leave(world.outside / ".neurofetch", ended(world), "a")
    world.state.symlink_to(world.outside / ".neurofetch")
    with pytest.raises(UnsafeNameError, match="symbolic link"):
        clean(world.root)
    assert len(list((world.outside / ".neurofetch" / "partial").iterdir())) == 3
    with pytest.raises(DestinationError):
        clean(world.outside / "nothing")


def test_what_a_kill_leaves_of_a_metadata_file_of_neurovault_is_swept(tmp_path):
    from neurofetch.neurovault.cache.layout import Cache, write_json  # noqa: PLC0415
    from neurofetch.transfer.tidy import tidy  # noqa: PLC0415

    cache = Cache(tmp_path / "neurovault")
    code = (
        "import os, sys, pathlib\n"
        "from neurofetch.neurovault.cache.layout import write_json\n"
        "os.fsync = lambda fd: os.kill(os.getpid(), 9)\n"
        "write_json(pathlib.Path(sys.argv[1]), {'id': 1})\n"
    )
    path = cache.image_json(7, 1)
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    partial = cache.root / ".neurofetch" / "partial"
    assert len(list(partial.iterdir())) == 1
    assert list(path.parent.iterdir()) == []
    tidy(cache.root / ".neurofetch")
    assert list(partial.iterdir()) == []
    assert write_json(path, {"id": 1})
    assert json.loads(path.read_text()) == {"id": 1}
    assert list(partial.iterdir()) == []


def test_a_draft_of_this_very_process_is_no_left_over(tmp_path):
    from neurofetch.store.owner import process_token  # noqa: PLC0415

    assert Owner(Path(tmp_path)).life(process_token()) is Life.LIVES
    assert Partials(tmp_path, Owner(tmp_path)).leftovers() == []
