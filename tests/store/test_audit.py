"""What `verify` finds: against the receipts, byte by byte, against the server."""

import builtins
import errno
import json
import os

import pytest

from neurofetch.engine import Listing, State, query
from neurofetch.errors import DestinationError
from neurofetch.events import Checking
from neurofetch.model import VerificationLevel, Want
from neurofetch.store.audit import audit
from tests.engine_world import PART, World, noise

SMALL = noise(3_000, 1)
LARGE = noise(3 * PART + 5, 2)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        world.put("large.bin", LARGE)
        world.put("small.txt", SMALL)
        yield world


def look(world, *, read_all=False, remote=False):
    """Audit; return state and detail by path."""
    with world.fetcher() as fetcher:
        wants = None
        if remote:
            files = fetcher.files(Listing(walks=("",)))
            wants = [Want(file, fetcher.dataset.path(file.key)) for file in files]
        found = fetcher.audit(wants, read_all=read_all)
    assert [f.path for f in found.findings] == sorted(f.path for f in found.findings)
    assert found.ok == (not found.problems)
    return {finding.path: (finding.state, finding.detail) for finding in found.findings}


def states(world, **how):
    return {path: state for path, (state, _) in look(world, **how).items()}


def spoil(path, *, keep_time):
    """Change one byte of a file, and its time or not."""
    info = path.stat()
    with path.open("r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))
    stamp = info.st_mtime_ns if keep_time else info.st_mtime_ns + 10**9
    os.utime(path, ns=(stamp, stamp))


def test_an_empty_directory_has_nothing_to_tell(world):
    assert look(world) == {}
    assert list(world.root.iterdir()) == []


@pytest.mark.parametrize("read_all", [False, True])
@pytest.mark.parametrize("remote", [False, True])
def test_what_is_as_it_was_fetched_is_good(world, read_all, remote):
    world.fetch()
    world.s3.clear_log()
    found = look(world, read_all=read_all, remote=remote)
    assert {state for state, _ in found.values()} == {State.GOOD}
    words = "every byte as fetched (crc64nvme)" if read_all else "as fetched (checksum)"
    assert {detail for _, detail in found.values()} == {words}
    assert [r.method for r in world.s3.log] == (["LIST"] if remote else [])


@pytest.mark.parametrize("how", [{}, {"read_all": True}, {"remote": True}])
def test_a_file_that_is_gone_is_missing(world, how):
    world.fetch()
    (world.root / "small.txt").unlink()
    assert states(world, **how) == {"large.bin": State.GOOD, "small.txt": State.MISSING}


def test_a_byte_changed_without_a_trace_is_found_by_reading_all(world):
    world.fetch()
    spoil(world.root / "large.bin", keep_time=True)
    assert states(world)["large.bin"] is State.GOOD
    state, detail = look(world, read_all=True)["large.bin"]
    assert state is State.DIFFERS
    assert "its bytes changed since it was fetched (crc64nvme" in detail


def test_a_modified_file_is_told_by_its_time_and_by_its_bytes(world):
    world.fetch()
    spoil(world.root / "small.txt", keep_time=False)
    assert look(world)["small.txt"] == (State.DIFFERS, "modified since it was fetched")
    assert states(world, read_all=True)["small.txt"] is State.DIFFERS


def test_a_file_that_was_only_touched_is_good_when_it_is_read(world):
    world.fetch()
    os.utime(world.root / "small.txt", (1, 1))
    assert states(world)["small.txt"] is State.DIFFERS
    assert states(world, read_all=True)["small.txt"] is State.GOOD


@pytest.mark.parametrize("read_all", [False, True])
def test_a_file_of_another_size_differs(world, read_all):
    world.fetch()
    os.truncate(world.root / "small.txt", 10)
    state, detail = look(world, read_all=read_all)["small.txt"]
    assert state is State.DIFFERS
    assert detail == "10 bytes, 3000 when it was fetched"


def test_a_file_that_changed_on_the_server_differs_from_it(world):
    world.fetch()
    world.put("small.txt", noise(3_000, 9))
    assert states(world)["small.txt"] is State.GOOD
    assert look(world, remote=True)["small.txt"] == (
        State.DIFFERS,
        "changed on the server since it was fetched",
    )
    world.put("small.txt", noise(2_000, 9))
    assert look(world, remote=True)["small.txt"] == (
        State.DIFFERS,
        "3000 bytes here, 2000 on the server",
    )


def test_files_of_the_server_that_nobody_fetched_are_no_matter(world):
    world.fetch()
    world.put("new.bin", b"new")
    assert set(look(world, remote=True)) == {"large.bin", "small.txt"}


HOW = [
    pytest.param({}, VerificationLevel.MD5, id="md5"),
    pytest.param({"part_size": 100_000}, VerificationLevel.MULTIPART, id="multipart"),
    pytest.param(
        {"forced_etag": "opaque", "checksum": "crc32c"}, VerificationLevel.CHECKSUM, id="checksum"
    ),
]


@pytest.mark.parametrize(("how", "verification"), HOW)
def test_a_file_of_another_tool_is_hashed_and_adopted(world, how, verification):
    body = noise(200_000, 3)
    world.put("other.bin", body, **{"checksum": None, **how})
    (world.root / "other.bin").write_bytes(body)
    assert "other.bin" not in look(world)
    assert states(world, remote=True)["other.bin"] is State.UNKNOWN
    state, detail = look(world, read_all=True, remote=True)["other.bin"]
    assert (state, detail) == (
        State.ADOPTED,
        f"the same bytes as on the server ({verification.value})",
    )
    receipt = world.receipts()["other.bin"]
    assert (receipt.verification, receipt.key) == (verification, "other.bin")
    assert receipt.etag == world.s3.stored("other.bin").etag.strip('"')
    assert states(world, read_all=True)["other.bin"] is State.GOOD
    assert world.left("receipts") != []


@pytest.mark.parametrize(("how", "verification"), HOW)
def test_a_file_of_another_tool_with_other_bytes_is_not_adopted(world, how, verification):
    body = noise(200_000, 3)
    world.put("other.bin", body, **{"checksum": None, **how})
    (world.root / "other.bin").write_bytes(body)
    spoil(world.root / "other.bin", keep_time=False)
    state, detail = look(world, read_all=True, remote=True)["other.bin"]
    assert state is State.DIFFERS
    assert detail.startswith("not the server's file: ")
    assert verification.value in detail
    assert world.receipts() == {}


def test_what_the_server_cannot_vouch_for_is_not_called_its_bytes(world):
    world.put("other.bin", SMALL, checksum=None, forced_etag="opaque")
    (world.root / "other.bin").write_bytes(SMALL)
    state, detail = look(world, read_all=True, remote=True)["other.bin"]
    assert state is State.ADOPTED
    assert "nothing else to check it by" in detail
    assert world.receipts()["other.bin"].verification is VerificationLevel.SIZE


def test_a_file_that_cannot_be_read_is_told_and_the_rest_is_looked_at(world, monkeypatch):
    world.fetch()
    real = os.open

    def broken(path, *arguments, **keywords):
        if str(path).endswith("small.txt"):
            raise OSError(5, "Input/output error")
        return real(path, *arguments, **keywords)

    usual = builtins.open
    monkeypatch.setattr(builtins, "open", lambda path, *a, **k: usual(path, *a, opener=broken, **k))
    found = look(world, read_all=True)
    monkeypatch.undo()
    assert found["small.txt"] == (State.DIFFERS, "cannot be read: Input/output error")
    assert found["large.bin"][0] is State.GOOD


def test_after_an_adoption_the_plan_trusts_the_file(world):
    (world.root / "small.txt").write_bytes(SMALL)
    look(world, read_all=True, remote=True)
    with world.fetcher() as fetcher:
        listing = Listing(walks=("",))
        plan = fetcher.prepare(lambda: fetcher.choose(query(include="small.txt"), listing))
    (step,) = plan.steps
    assert step.reason == "here, verified (md5-etag)"


# -- progress ------------------------------------------------------------------------------------


def heard(world, **how):
    events = []
    with world.fetcher() as fetcher:
        audit(fetcher.directory, listen=events.append, **how)
    return events


def test_reading_every_byte_tells_how_far_it_is(world, monkeypatch):
    world.fetch()
    monkeypatch.setattr("neurofetch._threads._BEAT", 1e-4)
    events = heard(world, read_all=True)
    total = len(LARGE) + len(SMALL)
    assert {type(event) for event in events} == {Checking}
    assert [e.bytes_done for e in events] == sorted(e.bytes_done for e in events)
    last = events[-1]
    assert (last.bytes_done, last.bytes_total) == (total, total)
    assert (last.files_done, last.files, last.over) == (2, 2, True)


def test_files_that_need_no_reading_count_as_done(world):
    world.fetch()
    (world.root / "small.txt").unlink()
    (world.root / "large.bin").write_bytes(b"short")
    last = heard(world, read_all=True)[-1]
    assert (last.bytes_done, last.bytes_total, last.over) == (5, 5, True)


def test_a_look_at_sizes_and_times_is_too_short_for_progress(world):
    world.fetch()
    assert heard(world) == []


def test_what_a_listener_raises_ends_the_reading(world):
    world.fetch()

    def listen(event):
        raise ZeroDivisionError("mine")

    with world.fetcher() as fetcher, pytest.raises(ZeroDivisionError, match="mine"):
        audit(fetcher.directory, read_all=True, listen=listen)


BEYOND = [
    "",
    "/etc/passwd",
    "../outside/x",
    "a/../../outside/x",
    ".",
    "..",
    "a\0b",
    "a//b",
    "x" * 5000,
]


def test_a_receipt_for_what_cannot_be_a_file_here_costs_itself_only(world):
    assert world.fetch().ok
    (journal,) = (world.state / "receipts").iterdir()
    row = json.loads(journal.read_text().splitlines()[0])
    with journal.open("a") as file:
        file.writelines(json.dumps({**row, "path": path}) + "\n" for path in BEYOND)
    found = states(world, read_all=True)
    assert {path: state for path, state in found.items() if len(path) < 5000} == {
        "large.bin": State.GOOD,
        "small.txt": State.GOOD,
    }


@pytest.mark.parametrize("thing", ["folder", "link to itself", "file in the place of its folder"])
def test_what_stands_in_the_place_of_a_file_makes_it_missing_and_ends_nothing(world, thing):
    world.put("d/f.bin", SMALL)
    assert world.fetch().ok
    path = world.root / "d" / "f.bin"
    path.unlink()
    if thing == "folder":
        path.mkdir()
    elif thing == "link to itself":
        path.symlink_to(path)
    else:
        path.parent.rmdir()
        path.parent.write_text("x")
    assert states(world) == {
        "d/f.bin": State.MISSING,
        "large.bin": State.GOOD,
        "small.txt": State.GOOD,
    }


def test_where_a_journal_cannot_be_read_nothing_is_called_good(world, monkeypatch):
    assert world.fetch().ok
    (journal,) = (world.state / "receipts").iterdir()
    real = os.open

    def refuse(name, *arguments, **keywords):
        if name == journal.name:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DestinationError, match=journal.name):
        look(world)
    report = world.fetch()  # it is told, and nothing is fetched for it
    assert report.ok
    assert any(journal.name in note for note in report.notes)
