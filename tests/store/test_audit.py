"""What `verify` finds: against the receipts, byte by byte, against the server."""

import builtins
import errno
import json
import os

import pytest

from neurofetch.display.text import audit_text
from neurofetch.engine import Listing, State, query
from neurofetch.errors import DestinationError
from neurofetch.events import Checking
from neurofetch.model import Action, VerificationLevel, Want
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
        listing = Listing(walks=("",)) if remote else None
        found = fetcher.audit(wants, read_all=read_all, listing=listing)
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
def test_only_what_was_read_is_called_good(world, read_all, remote):
    world.fetch()
    world.s3.clear_log()
    found = look(world, read_all=read_all, remote=remote)
    words = "unchanged by size and time since it was fetched (checksum); contents not read"
    expected = (State.UNCHANGED, words)
    if read_all:
        expected = (State.GOOD, "every byte as fetched (crc64nvme)")
    assert set(found.values()) == {expected}
    assert [r.method for r in world.s3.log] == (["LIST"] if remote else [])


@pytest.mark.parametrize("how", [{}, {"read_all": True}, {"remote": True}])
def test_a_file_that_is_gone_is_missing(world, how):
    world.fetch()
    (world.root / "small.txt").unlink()
    other = State.GOOD if "read_all" in how else State.UNCHANGED
    assert states(world, **how) == {"large.bin": other, "small.txt": State.MISSING}


def test_what_a_link_leads_out_is_named_and_all_the_rest_is_checked(world, tmp_path):
    world.put("sub-01/a.txt", SMALL)
    world.fetch()
    (world.root / "sub-01").rename(tmp_path / "elsewhere")
    (world.root / "sub-01").symlink_to(tmp_path / "elsewhere")
    for how in ({}, {"read_all": True}, {"remote": True}):
        found = look(world, **how)
        state, detail = found["sub-01/a.txt"]
        assert state is State.DIFFERS
        assert "a link leads its folder out of the data directory" in detail
        assert found["small.txt"][0] in (State.GOOD, State.UNCHANGED)
        assert found["large.bin"][0] in (State.GOOD, State.UNCHANGED)


def test_what_the_system_does_not_show_is_not_called_missing(world):
    world.put("sub-01/a.txt", SMALL)
    world.fetch()
    (world.root / "sub-01" / "a.txt").unlink()
    (world.root / "sub-01").rmdir()
    (world.root / "sub-01").symlink_to("sub-01")
    state, detail = look(world)["sub-01/a.txt"]
    assert state is State.DIFFERS
    assert detail.startswith("cannot be looked at: ")


def test_a_folder_in_the_place_of_a_file_is_not_called_missing(world):
    world.fetch()
    (world.root / "small.txt").unlink()
    (world.root / "small.txt").mkdir()
    assert look(world)["small.txt"] == (State.DIFFERS, "in its place is something that is no file")


def test_receipts_that_the_disk_has_lost_are_told_of_and_found_again(world):
    world.fetch()
    (journal,) = (world.state / "receipts").iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], bytes(50) + b"\n", b'{"path": "small.txt"}\n']))
    with pytest.warns(UserWarning, match=r"2 lines of the receipts in .* are damaged"):
        assert len(look(world)) == 1
    assert any("2 of their lines are damaged" in note for note in world.plan().notes)
    with pytest.warns(UserWarning, match="damaged"):
        found = states(world, read_all=True, remote=True)
    assert set(found.values()) == {State.GOOD, State.ADOPTED}


def test_a_line_that_is_just_being_written_is_no_damage(world, recwarn):
    world.fetch()
    (journal,) = (world.state / "receipts").iterdir()
    journal.write_bytes(journal.read_bytes()[:-20])
    assert len(look(world)) == 1
    assert not recwarn.list


def test_a_byte_changed_without_a_trace_is_found_by_reading_all(world):
    world.fetch()
    spoil(world.root / "large.bin", keep_time=True)
    assert states(world)["large.bin"] is State.UNCHANGED
    state, detail = look(world, read_all=True)["large.bin"]
    assert state is State.DIFFERS
    assert "its bytes changed since it was fetched (crc64nvme" in detail


DAMAGED = "an earlier verify found other bytes in it than were fetched"
COPIED = "times changed (copied?); contents not read: use --hash"


def test_a_changed_time_is_no_damage_and_changed_bytes_are(world):
    world.fetch()
    spoil(world.root / "small.txt", keep_time=False)
    assert look(world)["small.txt"] == (State.TIMES_CHANGED, COPIED)
    assert look(world, remote=True)["small.txt"] == (State.TIMES_CHANGED, COPIED)
    assert states(world, read_all=True)["small.txt"] is State.DIFFERS


@pytest.mark.parametrize("keep_time", [True, False])
def test_damage_that_was_found_is_remembered_and_the_next_run_repairs_it(world, keep_time):
    world.fetch()
    spoil(world.root / "small.txt", keep_time=keep_time)
    assert world.plan().moving == (), "nobody has read it"
    assert states(world, read_all=True)["small.txt"] is State.DIFFERS
    state, detail = look(world)["small.txt"]
    assert (state, detail) == (State.DIFFERS, DAMAGED)
    (step,) = world.plan().moving
    assert (step.want.path, step.action) == ("small.txt", Action.REPLACE)
    assert "damaged" in step.reason
    world.fetch()
    assert (world.root / "small.txt").read_bytes() == SMALL
    assert states(world)["small.txt"] is State.UNCHANGED
    assert states(world, read_all=True)["small.txt"] is State.GOOD


@pytest.mark.parametrize("keep_time", [True, False])
def test_damage_that_was_mended_by_hand_is_forgotten(world, keep_time):
    world.fetch()
    before = (world.root / "small.txt").stat()
    spoil(world.root / "small.txt", keep_time=keep_time)
    states(world, read_all=True)
    (world.root / "small.txt").write_bytes(SMALL)
    os.utime(world.root / "small.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states(world, read_all=True)["small.txt"] is State.GOOD
    assert states(world)["small.txt"] is State.UNCHANGED
    assert world.plan().moving == ()


def test_damage_is_remembered_when_receipts_are_merged(world):
    world.fetch()
    spoil(world.root / "small.txt", keep_time=True)
    states(world, read_all=True)
    for number in range(10):
        os.utime(world.root / "large.bin", (number, number))
        states(world, read_all=True)
    assert states(world)["small.txt"] is State.DIFFERS


def test_an_etag_that_changed_and_no_byte_is_no_damage_for_who_reads(world):
    world.fetch()
    world.put("small.txt", SMALL, part_size=5)
    assert states(world, remote=True)["small.txt"] is State.DIFFERS
    assert states(world, read_all=True, remote=True)["small.txt"] is State.GOOD
    assert states(world, remote=True)["small.txt"] is State.UNCHANGED, "that is written down"
    assert world.plan().moving == ()


def test_another_version_on_the_server_is_not_called_damage_of_the_file(world):
    world.fetch()
    world.put("small.txt", bytes(len(SMALL)))
    state, detail = look(world, read_all=True, remote=True)["small.txt"]
    assert (state, detail) == (State.DIFFERS, "changed on the server since it was fetched")
    assert states(world, read_all=True)["small.txt"] is State.GOOD


def test_a_copy_of_a_data_directory_is_read_once_and_then_known(world, tmp_path):
    world.fetch()
    for path in world.files():
        os.utime(world.root / path, (1, 1))
    assert set(states(world).values()) == {State.TIMES_CHANGED}
    assert set(states(world, read_all=True).values()) == {State.GOOD}
    assert set(states(world).values()) == {State.UNCHANGED}
    receipt = world.receipts()["small.txt"]
    assert (receipt.verification, receipt.digest[:9]) == (VerificationLevel.CHECKSUM, "crc64nvme")
    plan = world.plan()
    assert {step.reason for step in plan.steps} == {"here, verified (checksum)"}
    assert plan.moving == ()


@pytest.mark.parametrize("when", [0, 1, 10**9, 4 * 10**9])
def test_any_other_time_is_forgiven_and_written_down(world, when):
    world.fetch()
    os.utime(world.root / "small.txt", (when, when))
    assert states(world)["small.txt"] is State.TIMES_CHANGED
    assert states(world, read_all=True)["small.txt"] is State.GOOD
    assert states(world)["small.txt"] is State.UNCHANGED


def test_a_hash_that_cannot_be_remembered_is_good_all_the_same(world, monkeypatch):
    world.fetch()
    os.utime(world.root / "small.txt", (1, 1))

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("neurofetch.store.receipts.Journal.append", refuse)
    state, detail = look(world, read_all=True)["small.txt"]
    assert (state, detail.partition("; ")[2]) == (
        State.GOOD,
        "that cannot be written down: Read-only file system",
    )


def test_reading_says_where_a_receipt_has_no_checksum_and_the_server_helps(world):
    world.fetch()
    (journal,) = (world.state / "receipts").iterdir()
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({**row, "digest": ""}) + "\n" for row in rows))
    state, detail = look(world, read_all=True)["small.txt"]
    assert state is State.UNCHANGED
    assert detail.endswith("has no checksum of the content: use --hash --remote")
    os.utime(world.root / "small.txt", (1, 1))
    state, detail = look(world, read_all=True)["small.txt"]
    assert (state, "use --hash --remote" in detail) == (State.TIMES_CHANGED, True)
    assert states(world, read_all=True, remote=True)["small.txt"] is State.GOOD
    assert states(world, read_all=True)["small.txt"] is State.GOOD


def test_what_the_bucket_lost_is_not_called_good(world):
    world.fetch()
    world.s3.delete("small.txt")
    for read_all in (False, True):
        state, detail = look(world, read_all=read_all, remote=True)["small.txt"]
        assert state is State.NOT_IN_BUCKET
        assert detail.startswith("not in the bucket any more; here it is ")
    assert states(world)["small.txt"] is State.UNCHANGED
    (world.root / "small.txt").unlink()
    assert states(world, remote=True)["small.txt"] is State.MISSING


def test_what_never_was_in_the_bucket_is_told_from_what_it_lost(world):
    world.fetch()
    (journal,) = (world.state / "receipts").iterdir()
    row = json.loads(journal.read_text().splitlines()[0])
    (world.root / "mine").write_bytes(b"mine")
    with journal.open("a") as file:
        file.write(json.dumps({**row, "path": "mine", "key": "other/mine", "size": 4}) + "\n")
    state, detail = look(world, remote=True)["mine"]
    assert (state, detail.partition(";")[0]) == (
        State.NOT_IN_BUCKET,
        "it was never in this bucket",
    )


def test_a_file_that_was_not_asked_for_is_not_said_to_be_gone(world):
    world.put("sub-01/a.txt", SMALL)
    world.put("sub-02/a.txt", SMALL)
    world.fetch()
    world.s3.delete("sub-01/a.txt")
    world.s3.delete("sub-02/a.txt")
    with world.fetcher() as fetcher:
        listing = Listing(("sub-01/",), ("",))
        files = fetcher.files(listing)
        wants = [Want(file, fetcher.dataset.path(file.key)) for file in files]
        found = fetcher.audit(wants, listing=listing)
    assert {f.path: f.state for f in found.findings} == {
        "large.bin": State.UNCHANGED,
        "small.txt": State.UNCHANGED,
        "sub-01/a.txt": State.NOT_IN_BUCKET,
        "sub-02/a.txt": State.UNCHANGED,
    }


def test_an_audit_counts_each_state_and_says_it_in_a_line(world):
    world.put("gone.txt", SMALL)
    world.put("lost.txt", SMALL)
    world.fetch()
    (world.root / "gone.txt").unlink()
    world.s3.delete("lost.txt")
    os.utime(world.root / "small.txt", (1, 1))
    with world.fetcher() as fetcher:
        listing = Listing(walks=("",))
        wants = [Want(f, fetcher.dataset.path(f.key)) for f in fetcher.files(listing)]
        found = fetcher.audit(wants, listing=listing)
    assert found.counts == {
        State.GOOD: 0,
        State.ADOPTED: 0,
        State.UNCHANGED: 1,
        State.TIMES_CHANGED: 1,
        State.NOT_IN_BUCKET: 1,
        State.UNKNOWN: 0,
        State.MISSING: 1,
        State.DIFFERS: 0,
    }
    assert found.summary == (
        "1 unchanged by size and time (contents not read), "
        "1 with times changed (copied?; contents not read: use --hash), "
        "1 not in the bucket, 1 missing"
    )
    assert (found.ok, found.verified, len(found)) == (False, False, 4)
    assert found.summary in audit_text(found)
    said = found.to_dict()
    assert (said["counts"]["times_changed"], said["summary"]) == (1, found.summary)


def test_only_an_audit_that_read_everything_is_verified(world):
    with world.fetcher() as fetcher:
        assert (fetcher.audit().ok, fetcher.audit().verified) == (True, False)
    world.fetch()
    with world.fetcher() as fetcher:
        assert (fetcher.audit().ok, fetcher.audit().verified) == (True, False)
        assert fetcher.audit(read_all=True).verified


def test_files_of_a_recording_that_is_a_folder_are_one_row(world):
    unit = "sub-01/meg/sub-01_task-x_meg.ds"
    for number in range(12):
        world.put(f"{unit}/{number}.dat", SMALL)
    world.fetch()
    for number in (2, 3, 5):
        (world.root / unit / f"{number}.dat").unlink()
    os.truncate(world.root / unit / "7.dat", 1)
    (world.root / "small.txt").unlink()
    with world.fetcher() as fetcher:
        rows = audit_text(fetcher.audit()).splitlines()[:-1]
    assert rows == [
        "missing: small.txt: fetched before, now missing",
        f"missing: {unit}: 3 of 12 files missing (2.dat, 3.dat, 5.dat)",
        f"differs: {unit}: 1 of 12 files differ (7.dat)",
    ]


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
    assert states(world)["small.txt"] is State.UNCHANGED
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
    assert world.receipts()["other.bin"].damaged, "so the next run replaces it"
    steps = {step.want.path: step.action for step in world.plan().moving}
    assert steps["other.bin"] is Action.REPLACE


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
def test_what_stands_in_the_place_of_a_file_is_damage_and_ends_nothing(world, thing):
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
        "d/f.bin": State.MISSING if thing.startswith("file") else State.DIFFERS,
        "large.bin": State.UNCHANGED,
        "small.txt": State.UNCHANGED,
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
