"""What a data directory takes, keeps and refuses; hostile buckets; memory; idempotency."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import neurofetch
from neurofetch._shown import shown, shown_lines
from neurofetch.display.text import plan_text
from neurofetch.engine import Listing, RunSettings, query
from neurofetch.errors import DestinationError, UnsafeNameError
from neurofetch.model import Action, IncompleteError, Outcome, Status, VerificationLevel
from neurofetch.store.directory import DataDirectory
from testbed.s3 import Generated, S3Object
from tests.engine_world import MIB, OPTIONS, PART, World, noise, planned, ran

SMALL = noise(3_000, 1)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


# -- hostile keys ----------------------------------------------------------------------------

HOSTILE = {
    "parent": ["../evil"],
    "parent within": ["sub-01/../../evil"],
    "parent at the end": ["sub-01/.."],
    "dot": ["sub-01/./evil"],
    "absolute": ["/etc/evil"],
    "double slash": ["sub-01//evil"],
    "NUL": ["ev\0il"],
    "too long": ["x" * 300],
    "too long in bytes, not in letters": ["\u00e9" * 128],
    "our own folder": [".neurofetch/receipts/evil.jsonl"],
    "our own folder in capitals": [".NeuroFetch/claims/evil"],
    "a folder of another package of ours": [".LAION_fmri/receipts/x", ".laion_fmri/source.json"],
    "a folder with content": ["sub-01/evil/"],
}
ODD = {
    "case": ["sub-01/A.txt", "sub-01/a.txt"],
    "case of a folder": ["sub-01/x", "SUB-01/X/y"],
    "accents": ["caf\u00e9", "cafe\u0301"],
    "carriage return": ["Icon\r"],
    "line break": ["ev\nil"],
    "escape": ["\x1b[2J\x1b]0;title\x07"],
    "U+0003": ["sub-01/\x03.txt"],
    "turned writing": ["ev\u202eil"],
    "backslash": ["..\\evil", "code\\run.sh"],
    "drive": ["C:/evil", "a:b.txt"],
    "spaces and dots": [" a ", "b. ", "c...", "..d", " "],
    "as long as may be": ["x" * 255, "\u00e9" * 127],
    "of a shell": ["$(touch x)", "-rf", "~", "*", "a'b\"c"],
    "of a URL": ["a%2Fb", "a?b#c", "a+b", "a&b=c", "%"],
    "emoji": ["\U0001f468\u200d\U0001f469.txt"],
}
"""What is only odd: Linux can hold it, so it comes."""


def everything_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_key_is_named_and_left_out_and_all_the_rest_comes(world, tmp_path, case):
    keys = HOSTILE[case]
    world.put("good.txt", SMALL)
    for key in keys:
        world.put(key, b"evil")
    plan = world.plan()
    left = plan.of(Action.LEAVE)
    assert [step.want.remote.key for step in left] == keys
    assert plan.bytes_to_fetch == len(SMALL)
    assert all(f"cannot be kept: {shown(step.want.path)}:" in plan_text(plan) for step in left)
    report = world.fetch()
    assert [outcome.key for outcome in report.failures] == keys
    with pytest.raises(IncompleteError, match=r"--exclude") as caught:
        report.raise_for_failures()
    assert all(shown(key) in str(caught.value) for key in keys)
    assert [request.key for request in world.gets()] == ["good.txt"]
    assert world.files() == {"good.txt": SMALL}
    assert "evil" not in " ".join(everything_below(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert neurofetch.verify(world.root, read_all=True, url="s3://b").ok


@pytest.mark.parametrize("case", ODD)
def test_a_key_that_is_only_odd_comes_under_its_own_name(world, case):
    objects = {key: key.encode() for key in ODD[case]} | {"good.txt": SMALL}
    for key, content in objects.items():
        world.put(key, content)
    assert world.fetch().ok
    assert world.files() == objects
    world.s3.clear_log()
    assert all(o.status is Status.KEPT for o in world.fetch())  # its receipt is found again
    assert world.gets() == []
    assert neurofetch.verify(world.root, read_all=True, url="s3://b").ok
    world.assert_clean()


def test_a_large_file_with_an_odd_name_comes_in_parts(world):
    body = world.put("sub-01/Icon\r\n\u202e\\big", noise(3 * PART + 5))
    assert world.fetch().ok
    assert world.files() == {"sub-01/Icon\r\n\u202e\\big": body}


def test_a_name_that_is_a_file_and_a_folder_leaves_the_folder(world):
    world.put("sub-01/x", b"file")
    world.put("sub-01/x/y", SMALL)
    world.put("sub-01/x/y/z", SMALL)
    report = world.fetch()
    assert [outcome.key for outcome in report.failures] == ["sub-01/x", "sub-01/x/y"]
    assert "it is also a folder: 'sub-01/x/y' lies in it" in report.failures[0].reason
    assert world.files() == {"sub-01/x/y/z": SMALL}


def test_hyphens_in_labels_that_would_put_two_keys_on_one_file(world):
    keys = ["sub-01_label-FFA-1_mask.nii", "sub-01_label-FFA1_mask.nii"]
    for key in keys:
        world.put(key, key.encode())
    with world.fetcher() as fetcher:
        fetcher.dataset = replace(fetcher.dataset, tidy_labels=True)
        report = ran(fetcher, planned(fetcher))
        assert [(o.path, o.status) for o in report] == [
            (keys[0], Status.FAILED),
            (keys[1], Status.FETCHED),
        ]
        assert f"the key {keys[1]!r} has the same local name" in report.failures[0].reason
        fetcher.dataset = replace(fetcher.dataset, tidy_labels=False)
        assert len(planned(fetcher).moving) == 1
    assert world.files() == {keys[1]: keys[1].encode()}


def test_a_dry_run_that_looks_for_twins_writes_nothing(world, tmp_path):
    world.put("A.txt", SMALL)
    world.put("a.txt", SMALL)
    with world.fetcher() as fetcher:
        choose = lambda: fetcher.choose(query(), Listing(("",)))  # noqa: E731
        assert len(fetcher.prepare(choose, RunSettings(dry_run=True)).moving) == 2
    assert everything_below(tmp_path) == ["data"]


def test_an_excluded_hostile_key_is_no_obstacle(world):
    world.put("good.txt", SMALL)
    world.put("bad/../evil", b"evil")
    with world.fetcher() as fetcher:
        listing = Listing(walks=("",))
        plan = fetcher.prepare(lambda: fetcher.choose(query(exclude="bad/**"), listing))
        assert ran(fetcher, plan, OPTIONS).ok
    assert world.files() == {"good.txt": SMALL}


@pytest.mark.parametrize("odd", ["bad/../evil", "x" * 300, "bad//y"])
def test_a_selection_that_leaves_a_hostile_key_out_is_whole(world, odd):
    world.put("good.txt", SMALL)
    world.put(odd, b"evil")
    assert neurofetch.get("s3://b", world.root, exclude=["bad/**", "x*"], progress="none").ok


def test_the_mark_of_an_empty_folder_is_passed_over(world):
    world.put("sub-01/", b"")
    world.put("sub-01/a", SMALL)
    assert world.fetch().ok
    assert world.files() == {"sub-01/a": SMALL}


# -- links and things in the way -------------------------------------------------------------


def test_nothing_is_written_through_a_link_out_of_the_root(world):
    world.outside.mkdir()
    (world.root / "sub-01").symlink_to(world.outside)
    world.put("sub-01/a.txt", SMALL)
    with pytest.raises(UnsafeNameError, match=r"outside of the data directory.*symbolic link"):
        world.fetch()
    assert list(world.outside.iterdir()) == []
    assert world.gets() == []


def test_a_link_to_nothing_out_of_the_root_is_seen_when_the_plan_is_made(world):
    world.put("sub-01/anat/a.nii", b"a")
    (world.root / "sub-01").symlink_to(world.outside / "not there")
    with pytest.raises(UnsafeNameError, match="outside of the data directory"):
        world.plan()


def test_a_state_folder_that_is_a_link_out_of_the_root_is_refused(world):
    world.outside.mkdir()
    world.state.symlink_to(world.outside)
    world.put("a.txt", SMALL)
    with pytest.raises(UnsafeNameError, match="outside of the data directory"):
        world.fetch()
    assert list(world.outside.iterdir()) == []


def test_a_link_within_the_root_and_a_root_that_is_a_link_are_fine(world, tmp_path):
    (world.root / "real").mkdir()
    (world.root / "sub-01").symlink_to("real")
    (tmp_path / "link").symlink_to(world.root)
    world.root = tmp_path / "link"
    world.put("sub-01/a.txt", SMALL)
    assert world.fetch().ok
    assert (world.root / "real" / "a.txt").read_bytes() == SMALL


def test_a_file_that_is_a_link_is_replaced_and_not_written_through(world):
    world.outside.mkdir()
    precious = world.outside / "precious"
    precious.write_bytes(b"precious")
    (world.root / "a.txt").symlink_to(precious)
    (world.root / "b.txt").symlink_to(world.outside / "not there")
    world.put("a.txt", SMALL)
    world.put("b.txt", SMALL)
    assert world.fetch().ok
    assert world.files() == {"a.txt": SMALL, "b.txt": SMALL}
    assert precious.read_bytes() == b"precious"
    assert everything_below(world.outside) == ["precious"]


def test_a_folder_where_a_file_belongs_is_told_before_any_byte_moves(world):
    (world.root / "a.txt").mkdir()
    world.put("a.txt", SMALL)
    with pytest.raises(DestinationError, match=r"a\.txt is not a file.*Move it away"):
        world.fetch()
    assert world.gets() == []


def test_a_file_where_a_folder_belongs_is_told_before_any_byte_moves(world):
    (world.root / "sub-01").write_bytes(b"")
    world.put("sub-01/func/a.txt", SMALL)
    with pytest.raises(DestinationError, match=r"sub-01 is a file.*needs a folder"):
        world.fetch()
    assert world.gets() == []


# -- what is here already --------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_run_of_many_files_lists_once_and_does_nothing_else(world):
    for n in range(2_500):
        world.put(f"sub-{n % 7}/f{n:04}", b"%d" % n)
    world.fetch(replace(OPTIONS, connections=32))
    before = {path: path.stat().st_mtime_ns for path in world.root.rglob("f*")}
    assert len(before) == 2_500
    world.s3.clear_log()
    report = world.fetch()
    assert [request.method for request in world.s3.log] == ["LIST"] * 3
    assert {outcome.status for outcome in report} == {Status.KEPT}
    assert {outcome.verification for outcome in report} == {VerificationLevel.CHECKSUM}
    assert {path: path.stat().st_mtime_ns for path in world.root.rglob("f*")} == before


def test_nobody_looks_for_a_file_whose_folder_is_missing(world, monkeypatch):
    """On a network disk each look is a journey to the server."""
    for n in range(40):
        world.put(f"sub-{n % 2}/f{n:02}", b"x" * 100)
    (world.root / "sub-1").mkdir()
    (world.root / "sub-1" / "f01").write_bytes(b"x" * 100)
    asked, ask = [], os.stat

    def noted(path, **how):
        if isinstance(path, str) and "/sub-" in path:
            asked.append(path)
        return ask(path, **how)

    monkeypatch.setattr(os, "stat", noted)
    plan = world.plan()
    assert sum("/sub-0/f" in path for path in asked) == 0
    assert sum("/sub-1/f" in path for path in asked) >= 20
    monkeypatch.undo()
    assert len(plan.moving) == 39


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_folder_that_is_a_link_is_where_it_leads(world, target):
    world.put("sub-1/f", b"x" * 100)
    (world.root / "elsewhere").mkdir()
    (world.root / "elsewhere" / "f").write_bytes(b"x" * 100)
    (world.root / "sub-1").symlink_to(target)
    assert len(world.plan().moving) == (0 if target == "elsewhere" else 1)


def test_a_file_of_another_tool_at_the_right_size_is_kept(world):
    (world.root / "a.txt").write_bytes(b"x" * len(SMALL))
    world.put("a.txt", SMALL)
    (outcome,) = world.fetch()
    assert outcome == Outcome(
        "a.txt",
        "a.txt",
        Status.KEPT,
        "here with the server's size, put there by another tool",
        len(SMALL),
        verification=VerificationLevel.SIZE,
    )
    assert world.files() == {"a.txt": b"x" * len(SMALL)}
    assert world.gets() == []


@pytest.mark.parametrize("size", [0, len(SMALL) - 1, len(SMALL) + 1])
def test_a_file_of_the_wrong_size_is_replaced(world, size):
    (world.root / "a.txt").write_bytes(b"x" * size)
    world.put("a.txt", SMALL)
    (outcome,) = world.fetch()
    assert (outcome.status, outcome.reason) == (Status.FETCHED, "replaced")
    assert world.files() == {"a.txt": SMALL}


@pytest.mark.parametrize("size", [3_000, 3 * PART])
def test_a_file_that_changed_on_the_server_is_replaced(world, size):
    world.put("a.txt", noise(size, 1))
    world.fetch()
    new = world.put("a.txt", noise(size, 2))
    assert [step.action for step in world.plan().steps] == [Action.REPLACE]
    assert world.fetch().ok
    assert world.files() == {"a.txt": new}
    assert world.receipts()["a.txt"].etag == world.s3.stored("a.txt").etag.strip('"')


def test_a_file_that_was_cut_after_it_was_fetched_is_replaced(world):
    world.put("a.txt", SMALL)
    world.fetch()
    os.truncate(world.root / "a.txt", 100)
    assert world.fetch().ok
    assert world.files() == {"a.txt": SMALL}


def test_overwriting_fetches_what_is_here_too(world):
    world.put("a.txt", SMALL)
    world.fetch()
    world.s3.clear_log()
    (outcome,) = world.fetch(overwrite=True)
    assert outcome.reason == "replaced"
    assert len(world.gets()) == 1


def test_a_file_removed_by_hand_is_fetched_again(world):
    world.put("a.txt", SMALL)
    world.fetch()
    (world.root / "a.txt").unlink()
    (outcome,) = world.fetch()
    assert outcome.status is Status.FETCHED


def test_the_final_file_has_the_usual_permissions(world):
    world.put("a.txt", SMALL)
    world.put("large", noise(2 * PART))
    previous = os.umask(0o027)
    try:
        world.fetch()
    finally:
        os.umask(previous)
    assert {p.stat().st_mode & 0o777 for p in world.root.iterdir() if p.is_file()} == {0o640}


def test_a_plan_says_how_much_is_free(world):
    world.put("a.txt", SMALL)
    disk = os.statvfs(world.root)
    free = world.plan().free
    assert (
        free == DataDirectory(world.root).free()
        or abs(free - disk.f_bavail * disk.f_frsize) < 1 << 30
    )


# -- memory ----------------------------------------------------------------------------------

MEASURE = """
import sys
sys.argv = ["engine_process.py", sys.argv[1], "--usual"]
sys.path.insert(0, "tests")
import engine_process
code = engine_process.main()
status = open("/proc/self/status").read()
print("PEAK", next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
sys.exit(code)
"""


def roomy(tmp_path, needed):
    """Return a folder with room, in memory where there is some."""
    for folder in (Path("/dev/shm"), tmp_path):
        if folder.is_dir() and os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize > needed:
            return folder
    return None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_file(world, tmp_path):
    size = 2100 * MIB
    folder = roomy(tmp_path, 4 * size)
    if folder is None:
        size, folder = 600 * MIB, tmp_path
    root = folder / f"neurofetch-{os.getpid()}"
    root.mkdir()
    large = S3Object(Generated(size), checksum=None, forced_etag="of a large file")
    world.s3.put("large.bin", large)
    for n in range(300):
        world.put(f"s{n:03}", noise(300_000, n % 3))  # enough for every thread to come and go
    try:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(root)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert (root / "large.bin").stat().st_size == size
        peak = int(done.stdout.rpartition("PEAK")[2]) / 1024
        assert peak < 150, f"{peak:.0f} MiB"
    finally:
        subprocess.run(["rm", "-rf", str(root)], check=True)


PIECES = [
    "a", "A", "b", "sub-01", ".", "..", "", "...", " ", "\x00", "\x03", "\r", "\n", "\t", "\x1b[2J",
    "\\", "C:", "a:b", "é", "e\u0301", "\u202e", "\u2028", "\ufeff", "x" * 255, "x" * 256,
    "é" * 128, ".neurofetch", ".NEUROFETCH", "~", "*", "%2F", "+", "&amp;", "<", "'", '"',
    "\U0001f468", "receipts",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_of_any_mixture_of_keys_each_comes_or_is_named(world, tmp_path, seed):
    draw = random.Random(seed)
    keys = {"/".join(draw.choices(PIECES, k=draw.randint(1, 4))) for _ in range(120)} - {""}
    contents = {key: f"{number} {key}".encode() for number, key in enumerate(sorted(keys))}
    for key, content in contents.items():
        world.put(key, content)
    report = world.fetch()
    assert sorted(outcome.key for outcome in report) == sorted(contents)
    came = {o.path: contents[o.key] for o in report if o.ok}
    assert world.files() == came
    assert all(o.path == o.key for o in report if o.ok)
    assert len(came) > 20
    assert len(report.failures) > 20
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert shown_lines(str(report)) == str(report)
    with pytest.raises(IncompleteError) as caught:
        report.raise_for_failures()
    assert shown_lines(str(caught.value)) == str(caught.value), "nothing that a terminal obeys"
    assert len(str(caught.value).splitlines()) == 2 + len(report.failures)
    world.s3.clear_log()
    again = world.fetch()
    assert [(o.key, o.ok) for o in again] == [(o.key, o.ok) for o in report]
    assert world.gets() == []
