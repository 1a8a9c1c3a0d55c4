"""Nothing outside of the data directory: links in every place, at every moment, and names."""

import contextlib
import errno
import hashlib
import os
import shutil
import threading

import pytest

from neurofetch.errors import UnsafeNameError
from neurofetch.model import Status
from neurofetch.store.directory import DataDirectory
from neurofetch.store.folder import Folder
from neurofetch.store.homes import Homes
from neurofetch.store.partials import name_of
from neurofetch.store.receipts import read_receipts
from tests.engine_world import PART, World, noise
from tests.mounts import tmpfs

LARGE = noise(6 * PART + 5, 2)
SMALL = noise(3_000, 1)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        world.outside.mkdir()
        yield world


def content(folder):
    return {
        path.relative_to(folder).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.is_file() and path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


# -- links at or below the state folder ------------------------------------------------------------

OLD = 1_000_000_000
NAMES = {
    "partial": ["run.2024-03.log", "thesis.v2.part", "x.y.tmp"],
    "claims": ["python3", "current"],
    "receipts": [f"train{n}.jsonl" for n in range(8)],
    "homes": ["0" * 24],
    "": ["notes.txt"],
}


@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("folder", NAMES)
def test_a_link_in_the_state_folder_is_told_and_nothing_behind_it_changes(world, folder, moves):
    world.put("d/f.bin", SMALL)
    if not moves:
        assert world.fetch().ok
    link = world.state / folder if folder else world.state
    if link.is_dir():
        shutil.rmtree(link)
    link.parent.mkdir(exist_ok=True)
    for name in NAMES[folder]:
        file = world.outside / name
        if folder == "claims":
            file.symlink_to("/usr/bin/env")
        else:
            file.write_text("mine\n")
            os.utime(file, (OLD, OLD))
    before = content(world.outside)
    link.symlink_to(world.outside)
    try:
        report = world.fetch()
    except UnsafeNameError as error:
        assert str(link) in str(error)  # noqa: PT017
        assert "link" in str(error)  # noqa: PT017
    else:
        assert report.ok  # it was not needed
    assert content(world.outside) == before


def test_names_that_are_not_ours_stay_where_they_are(world):
    """Also in a real state folder: only what bears the name of a run's file is a run's file."""
    world.put("f.bin", SMALL)
    for folder in ("partial", "claims", "receipts"):
        (world.state / folder).mkdir(parents=True)
    for name in (*NAMES["partial"], "0" * 24 + ".v2.tmp", "0" * 24 + ".a-1-1-abcdef01.bak"):
        (world.state / "partial" / name).write_text("mine")
    for name in NAMES["claims"]:
        (world.state / "claims" / name).symlink_to("/usr/bin/env")
    (world.state / "claims" / ("0" * 24)).symlink_to("/usr/bin/env")
    before = content(world.state)
    assert world.fetch().ok
    assert before.items() <= content(world.state).items()


THINGS = {
    "link": lambda path, other: path.symlink_to(other),
    "link to nothing": lambda path, _: path.symlink_to("nowhere"),
    "pipe": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
}


@pytest.mark.parametrize("thing", THINGS)
def test_what_is_no_file_in_the_state_folder_hangs_and_ends_nothing(world, thing):
    """A pipe that is opened for reading waits for ever; a folder cannot be read."""
    world.put("f.bin", LARGE)
    other = world.outside / "other.jsonl"
    other.write_text("x")
    token = "elsewhere-1-1-abcdef01"
    short = name_of("f.bin")
    for folder, names in {
        "receipts": [f"{token}.jsonl", "merged-1.jsonl", "ended-x.jsonl"],
        "partial": [f"{short}.{token}.log", f"{short}.{token}.part", f"{short}.{token}.tmp"],
    }.items():
        (world.state / folder).mkdir(parents=True)
        for name in names:
            THINGS[thing](world.state / folder / name, other)
    for n in range(10):
        world.put(f"g{n}", b"x%d" % n)
        assert world.fetch().ok
    assert world.files()["f.bin"] == LARGE
    assert set(world.receipts()) == {"f.bin", *(f"g{n}" for n in range(10))}
    assert content(world.outside) == {"other.jsonl": b"x"}


# -- a folder that is swapped after it was looked at -----------------------------------------------


@pytest.mark.parametrize("size", [3_000, len(LARGE)])
@pytest.mark.parametrize("depth", ["d", "d/e"])
def test_a_folder_that_becomes_a_link_after_the_survey_is_not_written_through(world, size, depth):
    world.put("d/e/f.bin", LARGE[:size])
    world.put("good.bin", SMALL)
    with world.fetcher() as fetcher:
        from tests.engine_world import planned, ran  # noqa: PLC0415

        plan = planned(fetcher)
        place = world.root / depth
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(world.outside)
        report = ran(fetcher, plan)
    assert [outcome.status for outcome in report] == [Status.FAILED, Status.FETCHED]
    assert "symbolic link" in report.failures[0].reason
    assert list(world.outside.iterdir()) == []
    assert world.files()["good.bin"] == SMALL


def test_a_link_to_another_place_in_the_data_directory_is_followed(world):
    (world.root / "real" / "deep").mkdir(parents=True)
    (world.root / "d").symlink_to(world.root / "real" / "deep")
    (world.root / "e").symlink_to("real")
    world.put("d/f.bin", SMALL)
    world.put("e/g/h.bin", LARGE)
    assert world.fetch().ok
    assert (world.root / "real/deep/f.bin").read_bytes() == SMALL
    assert (world.root / "real/g/h.bin").read_bytes() == LARGE


def test_a_final_name_that_is_a_link_is_replaced_and_not_followed(world):
    mine = world.outside / "mine"
    mine.write_bytes(b"mine")
    (world.root / "f.bin").symlink_to(mine)
    world.put("f.bin", SMALL)
    assert world.fetch(overwrite=True).ok
    assert mine.read_bytes() == b"mine"
    assert not (world.root / "f.bin").is_symlink()
    assert world.files() == {"f.bin": SMALL}


def test_temporary_names_cannot_be_foretold(world):
    """Somebody of the group plants a link under each name that could come next: none fits."""
    world.put("f.bin", SMALL)
    secret = world.outside / "secret"
    secret.write_bytes(b"precious")
    real, planted = os.open, []

    def attack(path, flags, *args, **keywords):
        name = os.fspath(path)
        journals = world.left("receipts")
        if journals and name.endswith((".tmp", ".part")) and flags & os.O_CREAT and not planted:
            short, token = name_of("f.bin"), journals[0].removesuffix(".jsonl")
            for guess in (f"{short}.{token}.tmp", f"{short}.{token}.part"):
                (world.state / "partial" / guess).symlink_to(secret)
                planted.append(guess)
            assert name not in planted
        return real(path, flags, *args, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", attack)
        assert world.fetch().ok
    assert planted
    assert secret.read_bytes() == b"precious"
    assert not (world.root / "f.bin").is_symlink()


def test_a_file_is_made_or_not_but_never_found(tmp_path):
    with Folder.root(tmp_path) as folder:
        (tmp_path / "link").symlink_to("elsewhere")
        (tmp_path / "file").touch()
        for name in ("link", "file"):
            with pytest.raises(FileExistsError):
                folder.create(name)
        assert not (tmp_path / "elsewhere").exists()
        for name in ("link", "nothing"):
            with pytest.raises(FileNotFoundError):
                folder.open(name)


def test_threads_that_list_one_folder_see_all_of_it(tmp_path):
    names = {f"f{n}" for n in range(2_000)}
    for name in names:
        (tmp_path / name).touch()
    folder, wrong = Folder.root(tmp_path), []

    def look():
        wrong.extend(1 for _ in range(20) if set(folder.names()) != names)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder.close()
    assert not wrong


# -- a folder on another file system ---------------------------------------------------------------


@pytest.fixture
def mounted(world):
    """Mount another file system at `sub-03` of the data directory; only root may."""
    with tmpfs(world.root / "sub-03", "64m") as where:
        yield where


def test_files_for_a_folder_on_another_file_system_come_at_once_and_leave_nothing(world, mounted):
    body = {"sub-03/a.json": SMALL, "sub-03/anat/b.bin": LARGE, "README": b"r"}
    for key, one in body.items():
        world.put(key, one)
    assert world.fetch().ok
    assert world.files() == body
    assert sorted(os.listdir(mounted)) == ["a.json", "anat"]
    world.s3.clear_log()
    assert {outcome.status for outcome in world.fetch()} == {Status.KEPT}
    assert world.gets() == []


@pytest.mark.slow
def test_what_was_left_on_another_file_system_is_resumed_there(world, mounted):
    world.put("sub-03/anat/b.bin", LARGE)
    world.s3.fault(method="GET", skip=3, times=9, stall=20.0, stall_after=10_000)
    process = world.start()
    partial = mounted / ".neurofetch" / "partial"
    from tests.engine_world import until  # noqa: PLC0415

    def noted():
        logs = partial.glob("*.log") if partial.exists() else ()
        return sum(len(log.read_bytes().splitlines()) - 1 for log in logs)

    until(lambda: noted() >= 3)
    process.kill()
    process.communicate()
    world.s3.clear_faults()
    assert world.plan().bytes_here >= 3 * PART
    (outcome,) = world.fetch()
    assert outcome.reason == "resumed"
    assert not (mounted / ".neurofetch").exists()


def across(world, folder, monkeypatch):
    """Let renames from outside to below a folder fail, as between the filesets of a cluster."""
    real, inside = os.replace, f"{world.root / folder}/"

    def replace(source, target, *, src_dir_fd=None, dst_dir_fd=None):
        ends = [
            f"{os.readlink(f'/proc/self/fd/{fd}')}/{name}"
            for fd, name in ((src_dir_fd, source), (dst_dir_fd, target))
        ]
        if ends[0].startswith(inside) != ends[1].startswith(inside):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("folder", ["sub-03", "sub-03/anat", "sub-03/anat/deep"])
def test_a_rename_that_fails_shows_that_a_folder_is_elsewhere(world, folder, monkeypatch):
    """Where the number of the device does not tell."""
    across(world, folder, monkeypatch)
    body = {f"sub-03/anat/deep/f{n}": noise(3_000, n) for n in range(5)}
    body |= {"sub-03/anat/deep/large": LARGE, "sub-03/x": b"x", "y": b"y"}
    for key, one in body.items():
        world.put(key, one)
    report = world.fetch()
    assert report.ok, [outcome.reason for outcome in report.failures]
    assert world.files() == body
    assert not (world.root / folder / ".neurofetch").exists()
    receipts = read_receipts(world.state)
    for path in body:
        assert receipts[path].mtime_ns == (world.root / path).stat().st_mtime_ns
    world.s3.clear_log()
    assert {outcome.status for outcome in world.fetch()} == {Status.KEPT}


@pytest.mark.parametrize(
    "note", [b"../outside", b"/etc", b"", b"a//b", b"\xff\xfe", b"x" * 9000, b"a\0b", b".."]
)
def test_a_note_of_a_home_that_is_no_folder_below_the_root_is_passed_over(world, note):
    notes = world.state / "homes"
    notes.mkdir(parents=True)
    (notes / hashlib.sha256(note).hexdigest()[:24]).write_bytes(note)
    homes = Homes(world.state)
    homes.make()
    assert all(str(one.path).startswith(str(world.state)) for one in homes.existing())
    homes.close()
    world.put("f.bin", SMALL)
    assert world.fetch().ok


def test_a_directory_that_is_made_anew_between_two_runs_is_used_as_it_is(world):
    world.put("f.bin", SMALL)
    with world.fetcher() as fetcher:
        from tests.engine_world import planned, ran  # noqa: PLC0415

        plan = planned(fetcher)
        assert ran(fetcher, plan).ok
        shutil.rmtree(world.root)
        assert ran(fetcher, plan).ok
    assert world.files() == {"f.bin": SMALL}
    assert DataDirectory(world.root).look("f.bin") is not None


@pytest.mark.parametrize("thing", THINGS)
def test_a_note_that_cannot_be_read_hides_no_other(world, thing, tmp_path):
    notes = world.state / "homes"
    notes.mkdir(parents=True)
    (tmp_path / "other").write_text("sub-09")
    THINGS[thing](notes / "0", tmp_path / "other")
    home = world.root / "sub-03" / ".neurofetch" / "partial"
    home.mkdir(parents=True)
    (notes / "1").write_text("sub-03")
    homes = Homes(world.state)
    assert str(home) in {one.path for one in homes.existing()}
    homes.close()


def test_a_note_that_a_crash_cut_short_is_written_anew(world, monkeypatch):
    across(world, "sub-03", monkeypatch)
    name = hashlib.sha256(b"sub-03").hexdigest()[:24]
    (world.state / "homes").mkdir(parents=True)
    (world.state / "homes" / name).touch()
    world.put("sub-03/f", SMALL)
    assert world.fetch().ok
    assert (world.state / "homes" / name).read_bytes() == b"sub-03"
    assert os.listdir(world.state / "homes") == [name]


def test_the_empty_folder_of_a_killed_run_on_another_file_system_is_removed(world, monkeypatch):
    across(world, "sub-03", monkeypatch)
    world.put("sub-03/f", SMALL)
    assert world.fetch().ok
    (world.root / "sub-03" / ".neurofetch" / "partial").mkdir(parents=True)
    world.put("g", SMALL)
    assert world.fetch().ok
    assert not (world.root / "sub-03" / ".neurofetch").exists()


def test_a_folder_that_others_remove_is_made_again(tmp_path):
    """Several runs use one folder on another file system, and each removes it when it is empty."""
    stop = threading.Event()

    def remove():
        while not stop.is_set():
            for path in (tmp_path / "a" / "b", tmp_path / "a"):
                with contextlib.suppress(OSError):
                    path.rmdir()

    thread = threading.Thread(target=remove)
    thread.start()
    failed = 0
    try:
        with Folder.root(tmp_path) as root:
            for _ in range(2_000):
                try:
                    root.below(["a"], make=True).close()
                except FileNotFoundError:
                    failed += 1
    finally:
        stop.set()
        thread.join()
    assert failed == 0
