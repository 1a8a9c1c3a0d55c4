"""The data directory on a disk of a file server: what it cannot do, and what it says wrongly."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import neurofetch
from laion_fmri._license import _write_down, is_accepted
from neurofetch.events import Waiting
from neurofetch.lockfile.remembered import Fact, read_facts, write_facts
from neurofetch.model import Receipt, Status, VerificationLevel, same_time
from neurofetch.neurovault.cache.layout import read_json, write_json
from neurofetch.opening import cached_path
from neurofetch.store import owner as owner_module
from neurofetch.store import partials as partials_module
from neurofetch.store.atomic import replacing
from neurofetch.store.data_source import DataSource, read_sources, remember
from neurofetch.store.directory import DataDirectory
from neurofetch.store.folder import Folder
from neurofetch.store.kinds import is_late
from neurofetch.store.known import Receipts
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal, read_receipts
from neurofetch.store.runs import (
    ask_to_stop,
    begin_run,
    is_to_stop,
    keep_version,
    kept_version,
    new_run_id,
    read_runs,
)
from tests.engine_world import World, noise, until
from tests.mounts import tmpfs
from tests.shared_disk import shared_disk

TREE = Path(__file__).parents[2]
FILES = {f"d{n % 3}/f{n:02}": noise(4000 + n, n) for n in range(24)} | {"large": noise(900_000, 99)}
LINKS = {
    "both": [],
    "no hard links": ["link"],
    "no symbolic links": ["symlink"],
    "neither": ["symlink", "link"],
}


@pytest.fixture
def mount(tmp_path):
    """Return a function that mounts a disk as some hosts see it; skip where that cannot be."""
    with contextlib.ExitStack() as stack:

        def mounted(*names, **how):
            (tmp_path / "server").mkdir(exist_ok=True)
            found = []
            for name in names:
                (tmp_path / name).mkdir()
                disk = shared_disk(tmp_path / name, tmp_path / "server", **how)
                found.append(stack.enter_context(disk))
            if None in found:
                pytest.skip("a file system cannot be mounted here")
            return found

        yield mounted


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        for key, body in FILES.items():
            world.put(key, body)
        yield world


def get(root, **how):
    return neurofetch.get("s3://b", root, progress="none", **how)


def content(root):
    return {path: (root / path).read_bytes() for path in FILES}


# -- what runs write of themselves ----------------------------------------------------------------


def test_what_a_run_has_is_told_though_all_answers_are_lost(mount):
    (where,) = mount("a", lost=1.0)
    state, run = where / ".neurofetch", new_run_id()
    for expected in (3, 4):
        begin_run(state, run, expected=expected, files=9)
    (told,) = read_runs(state)
    assert (told.expected, told.files) == (4, 9)
    keep_version(state, run, "1.0.1")
    keep_version(state, run, "1.0.2")
    assert kept_version(state, run) == "1.0.2"
    assert not [name for name in os.listdir(state / "runs" / run) if name.endswith(".tmp")]


def test_a_host_that_has_looked_before_hears_at_once_that_a_run_is_to_stop(mount):
    one, two = mount("a", "b", late=30.0)
    run = new_run_id()
    begin_run(one / ".neurofetch", run)
    state = two / ".neurofetch"
    assert not is_to_stop(state, run)
    ask_to_stop(one / ".neurofetch", run)
    assert is_to_stop(state, run)


def a_data_set(root):
    source = DataSource("bids", "s3://b")
    later = datetime(2030, 1, 1, tzinfo=UTC)
    for when in (None, later):
        remember(root / ".neurofetch", source, mix=False, now=when)
    return [one.last[:4] for one in read_sources(root / ".neurofetch")] == ["2030"]


def hashes(root):
    (root / ".neurofetch").mkdir(exist_ok=True)
    facts = {"f": Fact(1, 2, ("sha256:" + "a" * 64,), 0, "", "")}
    write_facts(root / ".neurofetch", facts)
    return read_facts(root / ".neurofetch") == facts


def a_record_of_neurovault(root):
    path = root / "neurovault" / "collection_7" / "collection_metadata.json"
    return all(write_json(path, {"id": 7, "n": n}) for n in range(2)) and read_json(path)["n"] == 1


def an_agreement(root):
    _write_down(root, "a test")
    return is_accepted(root)


@pytest.mark.parametrize("write", [a_data_set, hashes, a_record_of_neurovault, an_agreement])
def test_what_is_kept_beside_files_is_kept_though_all_answers_are_lost(mount, tmp_path, write):
    (where,) = mount("a", lost=1.0)
    (where / "data").mkdir(exist_ok=True)
    assert write(where / "data")
    found = [p.name for p in (tmp_path / "server").rglob("*") if p.name.endswith(".tmp")]
    assert found == []


@pytest.mark.parametrize("without", LINKS)
def test_a_cache_where_all_answers_are_lost_gives_paths(mount, world, without):
    (where,) = mount("a", lost=1.0, without=LINKS[without])
    for body in (FILES["large"], FILES["large"][::-1]):
        world.put("large", body)
        path = cached_path("s3://b/large", cache_dir=where / "cache")
        assert path.read_bytes() == body


PATH = """
import sys
from neurofetch.opening import cached_path
print(cached_path("s3://b/large", cache_dir=sys.argv[1]), flush=True)
sys.stdin.readline()
"""


def test_a_cache_whose_disk_has_gone_lets_a_process_end_in_silence(world, tmp_path):
    where, server = tmp_path / "a", tmp_path / "server"
    where.mkdir()
    server.mkdir()
    with shared_disk(where, server) as mounted:
        if mounted is None:
            pytest.skip("a file system cannot be mounted here")
        process = subprocess.Popen(
            [sys.executable, "-c", PATH, str(where / "cache")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TREE / "src")},
        )
        assert process.stdout.readline().startswith(str(where))
    _, said = process.communicate("\n", timeout=20)
    assert (process.returncode, said) == (0, "")


# -- what it is on -------------------------------------------------------------------------------


def test_only_where_hosts_may_be_told_old_things_is_the_server_asked_again(mount, tmp_path):
    (where,) = mount("a")
    with Folder.root(where) as there:
        assert is_late(there.fd)
    with tmpfs(tmp_path / "here", "1M") as memory, Folder.root(memory) as there:
        assert not is_late(there.fd)


# -- claims --------------------------------------------------------------------------------------

CLAIM = """
import json, sys, time
from pathlib import Path
from neurofetch.store.partials import Partials
from neurofetch.store.receipts import Journal

journal = Journal(Path(sys.argv[1]))
journal.open()
partials = Partials(Path(sys.argv[1]), journal.owner)
partials.make_folders()
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([n for n in range(40) if not partials.claim(f"{n:024x}")]), flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.parametrize("without", LINKS)
@pytest.mark.parametrize("late", [0.0, 5.0], ids=["prompt", "late"])
def test_each_file_is_claimed_by_one_process_whatever_links_there_are(mount, without, late):
    hosts = mount("a", "b", late=late, without=LINKS[without])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(host / "data" / ".neurofetch")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TREE / "src")},
        )
        for host in hosts * 2
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    claimed = [json.loads(process.stdout.readline()) for process in processes]
    for process in processes:
        process.communicate("\n", timeout=20)
    assert sorted(n for mine in claimed for n in mine) == list(range(40))


@pytest.fixture(params=LINKS)
def two_runs(mount, request, monkeypatch):
    """Give the claims of two runs; the second holds the first for another host's."""
    (where,) = mount("a", without=LINKS[request.param])
    state = where / ".neurofetch"
    journals = [Journal(state), Journal(state)]
    runs = []
    for journal in journals:
        journal.open()
        runs.append(Partials(state, journal.owner))
        runs[-1].make_folders()
    monkeypatch.setattr(owner_module, "_seen", lambda *_: None)
    yield runs
    for run, journal in zip(runs, journals, strict=True):
        run.close()
        journal.close()


def test_a_claim_is_kept_from_others_until_it_is_given_back(two_runs):
    one, two = two_runs
    short = name_of("f")
    assert one.claim(short) == ""
    assert one.claim(short) == ""
    assert two.claim(short) == one.owner.token
    assert one.is_mine(short)
    assert not two.is_mine(short)
    two.release(short)
    assert two.claim(short) == one.owner.token
    one.release(short)
    assert not one.is_mine(short)
    assert two.claim(short) == ""
    assert [left.token for left in one.leftovers() if not left.is_seal] == [two.owner.token]


def test_the_claim_of_a_silent_run_is_taken_over(two_runs):
    one, two = two_runs
    short = name_of("f")
    assert one.claim(short) == ""
    one.owner.end()
    os.utime(one.owner.journal, (1, 1))
    assert two.claim(short) == ""
    assert not one.is_mine(short)
    assert two.is_mine(short)


def test_a_claim_that_was_never_signed_does_not_last(two_runs, monkeypatch):
    """Its process was killed between making the file, and writing in it."""
    one, two = two_runs
    short = name_of("f")
    place = one._state / "claims" / short
    place.touch()
    unsigned = not two._links_work
    assert bool(two.claim(short)) == unsigned
    if unsigned:
        monkeypatch.setattr(partials_module, "SILENT_SECONDS", -1.0)
        assert two.claim(short)  # it is found to have been so for long, and removed
        assert two.claim(short) == ""
        place.unlink()
        place.touch()
        os.utime(place, (1, 1))
        two.sweep(set())
        assert not place.exists()


@pytest.mark.parametrize("kinds", ["a link, then a file", "a file, then a link"])
def test_claims_of_two_kinds_keep_the_same_file_from_others(mount, kinds):
    """As where one host has the directory by NFS, and another by SMB."""
    (links,) = mount("links")
    (files,) = mount("files", without=["symlink", "link"])
    order = [links, files] if kinds.startswith("a link") else [files, links]
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(claims_of(host / ".neurofetch")) for host in order)
        assert one.claim(name_of("f")) == ""
        assert two.claim(name_of("f")) == one.owner.token
        assert {left.token for left in two.leftovers()} >= {one.owner.token}
        one.release(name_of("f"))
        assert two.claim(name_of("f")) == ""
        assert not one.is_mine(name_of("f"))


def test_a_claim_that_a_host_can_neither_see_nor_make_is_not_waited_for_for_ever(
    mount, monkeypatch
):
    (links,) = mount("links")
    (files,) = mount("files", without=["symlink", "link"], hides=True)
    with (
        claims_of(links / ".neurofetch") as one,
        claims_of(files / ".neurofetch") as two,
    ):
        assert one.claim(name_of("f")) == ""
        assert two.claim(name_of("f"))
        monkeypatch.setattr(partials_module, "SILENT_SECONDS", -1.0)
        looks = [two.claim(name_of("f")) for _ in range(6)]
        assert "" in looks
        assert two.is_mine(name_of("f"))


@pytest.mark.parametrize("ends", ["signed", "given back"])
def test_a_claim_that_changes_while_another_looks_at_it_is_not_ignored(two_runs, monkeypatch, ends):
    one, two = two_runs
    place = one._state / "claims" / name_of("f")
    place.touch()
    look = Folder.look

    def late(folder, name):
        found = look(folder, name)
        place.unlink() if ends == "given back" else place.write_text(one.owner.token)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "look", late)
        assert two.claim(name_of("f"))
    assert bool(two.claim(name_of("f"))) == (ends == "signed")
    assert two.is_mine(name_of("f")) == (ends == "given back")


def test_moments_in_which_a_claim_cannot_be_read_do_not_add_up(two_runs, monkeypatch):
    one, two = two_runs
    short = name_of("f")
    place = one._state / "claims" / short
    place.touch()
    if not two.claim(short):
        return  # where there are links, that is none
    place.write_text(one.owner.token)
    assert two.claim(short) == one.owner.token
    place.write_bytes(b"")
    two._unread.update((name, since - 1e6) for name, since in two._unread.items())
    assert two.claim(short)
    assert place.exists()


@contextlib.contextmanager
def claims_of(state):
    """Give the claims of a run."""
    journal = Journal(state)
    journal.open()
    run = Partials(state, journal.owner)
    run.make_folders()
    yield run
    run.close()
    journal.close()


def test_a_claim_that_could_not_be_given_back_is_given_back_later(two_runs, monkeypatch):
    """Its disk does not answer for a moment; others wait for as long as this run lives."""
    one, two = two_runs
    assert one.claim(name_of("f")) == ""

    def away(*_, **__):
        raise OSError(errno.EIO, "")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", away)
        one.release(name_of("f"))
    assert two.claim(name_of("f")) == one.owner.token
    assert one.claim(name_of("g")) == ""
    assert two.claim(name_of("f")) == ""


def test_a_claim_that_was_made_anew_while_remains_are_swept_stays(two_runs, monkeypatch):
    one, two = two_runs
    dead = "elsewhere_1_1-7-7-abcdef01"
    short = name_of("f")
    two._sign(two._claims(), short, dead)
    (remains,) = [left for left in one.leftovers() if left.token == dead]
    assert two.claim(short) == ""
    monkeypatch.setattr(one, "leftovers", lambda: [remains])
    one.sweep(set())
    assert two.is_mine(short)
    assert one.claim(short) == two.owner.token


RUBBISH = {
    "zeros": bytes(60),
    "text": b"hello\n",
    "lines": b"a\nb\n",
    "a way out": b"../../../x",
    "no text": b"\xff\xfe\0",
    "much": b"x" * 5000,
    "nothing": b"",
}


@pytest.mark.parametrize("raw", RUBBISH.values(), ids=RUBBISH)
def test_a_file_in_the_place_of_a_claim_that_is_none_stays_and_ends_no_run(world, raw):
    place = world.root / ".neurofetch" / "claims" / name_of("large")
    place.parent.mkdir(parents=True)
    place.write_bytes(raw)
    assert get(world.root).ok
    assert content(world.root) == FILES
    assert place.read_bytes() == raw


@pytest.mark.parametrize("raw", RUBBISH.values(), ids=RUBBISH)
def test_where_claims_are_files_rubbish_in_their_place_ends_no_run(mount, world, monkeypatch, raw):
    """Zeros are what a power cut leaves of one; it is waited for as one that is not signed."""
    monkeypatch.setattr(partials_module, "SILENT_SECONDS", 0.2)
    (where,) = mount("a", without=["symlink", "link"])
    place = where / "data" / ".neurofetch" / "claims" / name_of("large")
    place.parent.mkdir(parents=True)
    place.write_bytes(raw)
    assert get(where / "data").ok
    assert content(where / "data") == FILES
    assert place.exists() == bool(raw.strip(b"\0"))


# -- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["all", "some"])
def test_a_server_whose_answers_are_lost_costs_no_file(mount, world, lost):
    """It is asked again, and says that what it has done cannot be done."""
    (where,) = mount("a", lost=1.0 if lost == "all" else 0.3, seed=3)
    report = get(where / "data")
    assert {outcome.status for outcome in report} == {Status.FETCHED}
    assert {outcome.verification for outcome in report} == {VerificationLevel.CHECKSUM}
    assert content(where / "data") == FILES
    assert len(read_receipts(where / "data" / ".neurofetch")) == len(FILES)
    assert world.served() <= sum(map(len, FILES.values())) + 10_000
    assert neurofetch.verify(where / "data", read_all=True).ok


@pytest.mark.slow
@pytest.mark.parametrize("grain", [1, 2])
def test_a_disk_that_rounds_times_later_leaves_files_known(mount, world, grain):
    (where,) = mount("a", grain=grain, forgets=True)
    get(where / "data")
    time.sleep(grain + 2)
    assert (where / "data" / "large").stat().st_mtime_ns % 10**9 == 0
    world.s3.clear_log()
    report = get(where / "data")
    assert {outcome.verification for outcome in report} == {VerificationLevel.CHECKSUM}
    assert world.gets("*[0-9e]") == []


@pytest.mark.parametrize("step", [100, 10**6, 10**9, 2 * 10**9])
def test_a_time_that_is_rounded_during_a_run_is_not_taken_for_another_ones_file(world, step):
    """What is here is old: it is replaced, and not told as what another process fetched."""
    for key, body in FILES.items():
        world.put(key, body)
    get(world.root)
    new = world.put("large", FILES["large"][::-1])
    kept = (world.root / "large").stat().st_mtime_ns // step * step
    waits = threading.Event()
    with claims_of(world.root / ".neurofetch") as other:
        assert other.claim(name_of("large")) == ""
        thread = threading.Thread(
            target=lambda: world.fetch(listen=lambda e: isinstance(e, Waiting) and waits.set())
        )
        thread.start()
        assert waits.wait(20)
        os.utime(world.root / "large", ns=(kept, kept))
        other.release(name_of("large"))
        thread.join()
    assert (world.root / "large").read_bytes() == new


@pytest.mark.parametrize("step", [100, 10**3, 10**6, 10**7, 10**9, 2 * 10**9])
def test_times_that_are_rounded_down_are_the_same_and_no_others(step):
    was = 1_700_000_001_987_654_321
    kept = was // step * step
    assert same_time(was, kept)
    assert same_time(kept, kept)
    assert not same_time(was, kept + step)
    assert not same_time(was, kept - 4 * 10**9)
    assert not same_time(was, was + 1)
    assert not same_time(kept, was)


def test_two_receipts_of_one_moment_are_told_by_the_exact_time(tmp_path):
    second = 1_700_000_001 * 10**9
    for offset in (5, 7):
        journal = Journal(tmp_path / ".neurofetch")
        journal._seen = Receipts()
        journal.append(Receipt("f", "k", "e", 1, second + offset, VerificationLevel.SIZE, "", 1.0))
        journal.close()
    receipts = read_receipts(tmp_path / ".neurofetch")
    for offset in (5, 7):
        assert receipts.of("f", 1, second + offset).mtime_ns == second + offset
    assert receipts.of("f", 1, second).mtime_ns in (second + 5, second + 7)


@pytest.mark.parametrize("says", ["none", "unknown"])
def test_a_server_that_says_that_nothing_is_free_is_tried(mount, world, says):
    (where,) = mount("a", full=says)
    assert DataDirectory(where).free() is None
    assert get(where / "data").ok
    assert content(where / "data") == FILES
    assert [name for name in os.listdir(where) if name != "data"] == []


def test_who_is_killed_while_it_tries_whether_anything_is_free_leaves_nothing(mount, monkeypatch):
    (where,) = mount("a", full="none")
    there, flush = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (there.append(os.listdir(where)), flush(fd)))
    assert DataDirectory(where / "data", new=True).free() is None
    assert there
    assert [name for names in there for name in names if not name.startswith(".nfs")] == []


@pytest.mark.parametrize("other", [b"mine", b"not!", b"", b"mine, and more", None])
def test_another_hosts_file_of_the_same_second_is_not_taken_for_ones_own(mount, other):
    """This run's own was removed: a receipt of it would tell of bytes that are not here."""
    (where,) = mount("a", grain=2, numbers=True)
    with Folder.root(where) as folder:
        mine = folder.create("draft")
        os.write(mine, b"mine")
        if other is not None:
            (where / "f").write_bytes(other)
            os.utime(where / "f", ns=(os.fstat(mine).st_mtime_ns,) * 2)
        (where / "draft").unlink()
        told = contextlib.nullcontext() if other == b"mine" else pytest.raises(FileNotFoundError)
        with told:
            folder.rename("draft", folder, "f", file=mine)
        os.close(mine)


@pytest.mark.parametrize("there", [True, False], ids=["replaced", "removed"])
def test_a_file_that_another_host_removed_before_it_had_its_name_is_told(mount, tmp_path, there):
    (where,) = mount("a")
    server = tmp_path / "server"
    with contextlib.ExitStack() as stack:
        if not there:
            stack.enter_context(pytest.raises(FileNotFoundError))
        with replacing(where / "f", flush=False) as draft:
            Path(draft).write_bytes(b"mine")
            (server / Path(draft).name).unlink()
            if there:
                (server / "f").write_bytes(b"another host's")
    assert (server / "f").exists() == there


def test_a_quota_that_is_used_up_is_told(mount, world):
    (where,) = mount("a", quota=500_000)
    with pytest.raises(neurofetch.IncompleteError, match=r"a quota .* is used up"):
        get(where / "data")
    assert not (where / "data" / "large").exists()


@pytest.mark.parametrize("locks", ["lie", "ENOLCK", "ENOSYS"])
def test_locks_that_lie_or_fail_change_nothing(mount, world, locks):
    (where,) = mount("a", locks=locks)
    assert get(where / "data").ok
    assert neurofetch.verify(where / "data", read_all=True).ok


@pytest.mark.parametrize("late", [0.0, 3.0], ids=["prompt", "late"])
def test_what_another_host_removed_while_it_was_open_is_fetched_again(mount, world, tmp_path, late):
    """It took this run for silent; to NFS the file is gone (ESTALE), open or not."""
    (where,) = mount("a", late=late)
    world.s3.fault(key="large", method="GET", times=1, rate=600_000.0)
    place, gone = tmp_path / "server" / "data" / ".neurofetch" / "partial", []

    def remove():
        until(lambda: any(path.stat().st_size > 1000 for path in place.glob(f"{short}*")))
        for path in place.glob(f"{short}*"):
            path.unlink()
            gone.append(path.name)

    short = name_of("large")
    thread = threading.Thread(target=remove)
    thread.start()
    report = get(where / "data")
    thread.join()
    assert gone
    assert report.ok
    assert content(where / "data") == FILES
    assert len(world.gets("large")) == 2
