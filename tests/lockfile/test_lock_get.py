"""``get --locked``: exactly what a lock names, from any place that has it, or what is gone."""

import json
import os
import shutil
import time

import pytest

import neurofetch
from neurofetch.errors import (
    NothingMatchedError,
    OtherDatasetError,
    UnknownValueError,
    UsageError,
)
from neurofetch.events import Planned
from neurofetch.lockfile import copying
from neurofetch.lockfile.copying import _Copier
from neurofetch.lockfile.lock import Lock
from neurofetch.lockfile.values import Head, LockedFile
from neurofetch.model import Action, IncompleteError, Status
from testbed.openneuro import BUCKET, VersionedBucket
from testbed.s3 import Bytes, S3Server
from tests.credential_world import static
from tests.faces import on_disk
from tests.lockfile_world import FILES, URL, sha256

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
BOLD = "sub-01/func/sub-01_task-rest_bold.nii.gz"
SMALL = {path: content for path, content in FILES.items() if content}


def made(files=SMALL, url="", **head):
    """A lock of these files; `url` is what their names are appended to."""
    rows = tuple(
        LockedFile(path, len(content), (f"sha256:{sha256(content)}",), url and f"{url}{path}")
        for path, content in sorted(files.items())
    )
    source = head.pop("source", "s3://b/ds")
    size = sum(one.size for one in rows)
    return Lock(Head(source, "bids", **head, files=len(rows), bytes=size), rows)


def tree(root, files=SMALL):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


@pytest.fixture
def s3(monkeypatch):
    objects = {f"ds/{path}": content for path, content in SMALL.items()}
    mirror = {f"copies/{path}": content for path, content in SMALL.items()}
    with S3Server({"b": objects, "mirror": mirror}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
        yield server


@pytest.fixture
def lock(s3):
    return made(url=f"{s3.url}/b/ds/")


def brought(lock, dest, **how):
    return lock.get(dest, progress="none", **how)


def is_all(dest, files=SMALL):
    assert on_disk(dest) == set(files)
    for path, content in files.items():
        assert (dest / path).read_bytes() == content
    return True


# -- the places ------------------------------------------------------------------------------------


def test_the_addresses_in_the_lock_are_asked_and_nothing_else(s3, lock, tmp_path):
    report = brought(lock, tmp_path / "data")
    assert is_all(tmp_path / "data")
    assert [one.path for one in report] == sorted(SMALL)
    assert {one.verification.value for one in report} == {"checksum"}
    asked = s3.requests()
    assert {request.method for request in asked} == {"GET"}
    assert len(asked) == len(SMALL)
    s3.clear_log()
    again = brought(lock, tmp_path / "data")
    assert {one.status for one in again} == {Status.KEPT}
    assert s3.requests() == []


def place_of(kind, s3, tmp_path):
    if kind == "directory":
        return tree(tmp_path / "colleague")
    return {"bucket": "s3://mirror/copies", "web": f"{s3.url}/mirror/copies/"}[kind]


@pytest.mark.parametrize("kind", ["bucket", "web", "directory"])
def test_any_place_with_these_bytes_will_do(s3, tmp_path, kind):
    lock = made()  # without any address
    report = brought(lock, tmp_path / "data", places=place_of(kind, s3, tmp_path))
    assert report.ok
    assert is_all(tmp_path / "data")
    again = neurofetch.lock(tmp_path / "data")
    assert list(again.lines()) == list(
        made(name="Two subjects", version="1.0.2", doi="doi:10.1/x.v1.0.2", license="CC0").lines()
    )
    assert brought(lock, tmp_path / "data", places=()).of(Status.KEPT)


def test_a_place_is_asked_for_what_those_before_it_lack(s3, lock, tmp_path):
    first = tree(tmp_path / "first", {T1W: SMALL[T1W], "README": b"wrong"})
    second = tree(tmp_path / "second", {BOLD: SMALL[BOLD]})
    report = brought(lock, tmp_path / "data", places=[first, str(second)])
    assert report.ok
    assert is_all(tmp_path / "data")
    got = {request.key for request in s3.requests("GET")}
    assert got == {f"ds/{path}" for path in SMALL} - {f"ds/{T1W}", f"ds/{BOLD}"}


def test_the_version_in_an_address_may_be_gone_and_the_bytes_not(tmp_path, monkeypatch):
    with VersionedBucket() as bucket:
        for path, content in SMALL.items():
            bucket.export(f"ds/{path}", Bytes(content))
        lock = made(url=f"{bucket.url}/{BUCKET}/ds/")
        dead = tuple(one._replace(url=f"{one.url}?versionId=dead") for one in lock.files)
        report = brought(Lock(lock.head, dead), tmp_path / "data")
        assert report.ok
        assert is_all(tmp_path / "data")


# -- what is gone ----------------------------------------------------------------------------------


def test_what_no_place_has_is_told_file_by_file(s3, lock, tmp_path):
    s3.delete(f"ds/{T1W}")
    s3.put("ds/README", b"other")  # as long as before
    s3.put("ds/CHANGES", b"longer than before, by far")
    colleague = tree(tmp_path / "colleague", {"README": b"short", BOLD: SMALL[BOLD]})
    with pytest.raises(IncompleteError) as caught:
        brought(lock, tmp_path / "data", places=colleague)
    report = caught.value.report
    assert {one.path for one in report.failures} == {T1W, "README", "CHANGES"}
    assert on_disk(tmp_path / "data") == set(SMALL) - {T1W, "README", "CHANGES"}
    reasons = {one.path: one.reason for one in report.failures}
    assert f"{colleague}: it is not there; the address in the lock: " in reasons[T1W]
    assert "404" in reasons[T1W]
    assert "other bytes are there" in reasons["README"]
    assert sha256(b"words") in reasons["README"]
    assert "--from" in str(caught.value)
    s3.put(f"ds/{T1W}", SMALL[T1W])
    for path in ("README", "CHANGES"):
        s3.put(f"ds/{path}", SMALL[path])
    assert brought(lock, tmp_path / "data").ok
    assert is_all(tmp_path / "data")


@pytest.mark.slow
def test_a_place_that_is_away_keeps_nobody_from_the_next(s3, lock, tmp_path, brief_waits):
    report = brought(lock, tmp_path / "data", places=["http://127.0.0.1:9/x"])
    assert report.ok
    assert is_all(tmp_path / "data")


@pytest.mark.slow
def test_a_server_that_is_away_is_not_asked_for_each_of_many_files(s3, tmp_path, brief_waits):
    files = {f"{number:03}": b"%d" % number for number in range(300)}
    for path, content in files.items():
        s3.put(f"many/{path}", content)
    lock = made(files, url="http://127.0.0.1:9/x/")
    began = time.monotonic()
    report = brought(lock, tmp_path / "data", places=[f"{s3.url}/b/many"])
    assert report.ok
    with pytest.raises(IncompleteError) as caught:
        brought(lock, tmp_path / "none")
    reasons = {one.reason for one in caught.value.report}
    assert len(reasons) == 1
    assert "127.0.0.1:9" in reasons.pop()
    assert time.monotonic() - began < 60


def test_an_address_that_leads_nowhere_and_no_address_at_all_are_told(tmp_path, s3):
    lock = made({"a": b"1", "b": b"2"})
    files = (lock.files[0], lock.files[1]._replace(url=f"{s3.url}/b/none"))
    with pytest.raises(IncompleteError) as caught:
        brought(Lock(lock.head, files), tmp_path / "data")
    reasons = {one.path: one.reason for one in caught.value.report}
    assert reasons["a"] == "the lock has no address of it"
    assert "404" in reasons["b"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_size_that_lies_is_told_and_nothing_is_kept(s3, lock, tmp_path, size):
    with pytest.raises(IncompleteError, match=f"{size} listed"):
        brought(sized(lock, size), tmp_path / "data")
    assert on_disk(tmp_path / "data") == set()


@pytest.mark.parametrize("size", [0, 1, 4, 6, 1 << 20])
def test_a_size_that_lies_is_told_of_a_directory_too(lock, tmp_path, size):
    bare = sized(lock, size)
    bare = Lock(bare.head, (bare.files[0]._replace(url=""),))
    with pytest.raises(IncompleteError, match=f"5 bytes are there, and not {size:,}"):
        brought(bare, tmp_path / "data", places=tree(tmp_path / "colleague"))
    assert on_disk(tmp_path / "data") == set()


def sized(lock, size):
    """The lock of one file, whose size is another than it says."""
    file = next(one for one in lock if one.path == "README")._replace(size=size)
    return Lock(Head("s3://b/ds", "bids", files=1, bytes=size), (file,))


@pytest.mark.parametrize("wrong", ["git:" + "0" * 40, "md5:" + "0" * 32])
def test_hashes_that_contradict_one_another_are_told(s3, lock, tmp_path, wrong):
    file = next(one for one in lock if one.path == "README")
    file = file._replace(hashes=(wrong, *file.hashes))
    liar = Lock(Head("s3://b/ds", "bids", files=1, bytes=file.size), (file,))
    for _ in range(2):
        with pytest.raises(IncompleteError, match=f"contradict one another: it has no {wrong}"):
            brought(liar, tmp_path / "data")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [{"flip": 2}, {"status": 200, "body": b"<html>log in</html>"}])
def test_other_bytes_of_a_server_are_never_kept(s3, lock, tmp_path, damage):
    s3.fault(key="ds/README", method="GET", **damage)
    with pytest.raises(IncompleteError):
        brought(lock, tmp_path / "data")
    assert "README" not in on_disk(tmp_path / "data")


# -- what is here ----------------------------------------------------------------------------------


def test_what_is_here_is_adopted_by_its_content(s3, lock, tmp_path):
    dest = tree(tmp_path / "data", {T1W: SMALL[T1W], "README": b"other", "mine.txt": b"mine"})
    plan = lock.plan(dest)
    actions = {step.want.path: step.action for step in plan.steps}
    assert actions.pop(T1W) is Action.KEEP
    assert actions.pop("README") is Action.REPLACE
    assert set(actions.values()) == {Action.FETCH}
    assert brought(lock, dest).ok
    assert is_all(dest, SMALL | {"mine.txt": b"mine"})
    assert f"ds/{T1W}" not in {request.key for request in s3.requests("GET")}
    assert neurofetch.verify(dest, read_all=True).verified
    assert lock.check(dest).ok


def test_a_directory_that_was_fetched_from_the_source_is_as_good(s3, lock, tmp_path):
    neurofetch.get(URL, tmp_path / "data", progress="none")
    s3.clear_log()
    assert {one.status for one in brought(lock, tmp_path / "data")} == {Status.KEPT}
    assert s3.requests() == []
    neurofetch.get(URL, tmp_path / "data", progress="none")
    assert {request.method for request in s3.requests()} == {"LIST"}


@pytest.mark.parametrize("how", ["variable", "endpoint", "profile"])
def test_how_a_directory_was_asked_stays_when_a_lock_is_brought_into_it(
    s3, tmp_path, monkeypatch, how
):
    (tmp_path / "credentials").write_text(f"[lab]\n{static()}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    if how == "variable":
        asked = {}
    else:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        asked = {"endpoint": s3.url} | ({"profile": "lab"} if how == "profile" else {})
    neurofetch.get(URL, tmp_path / "data", progress="none", **asked)
    told = tmp_path / "data" / ".neurofetch" / "source.json"
    before = json.loads(told.read_text())
    all_of_it = neurofetch.lock(tmp_path / "data")
    part = {path: SMALL[path] for path in ("README", "participants.tsv")}
    made(part, url=f"{s3.url}/b/ds/").get(tmp_path / "data", progress="none")
    assert json.loads(told.read_text()) | {"last": ""} == before | {"last": ""}
    assert neurofetch.lock(tmp_path / "data") == all_of_it
    assert neurofetch.verify(tmp_path / "data", remote=True, progress="none").ok


def test_a_directory_of_another_data_set_is_left_alone(s3, lock, tmp_path):
    neurofetch.get("s3://mirror/copies", tmp_path / "data", progress="none")
    with pytest.raises(OtherDatasetError):
        brought(lock, tmp_path / "data")
    with pytest.raises(OtherDatasetError):
        brought(made(source="openneuro:ds000001"), tmp_path / "data")


def test_a_directory_of_another_version_is_left_alone_unless_it_is_to_be_updated(s3, tmp_path):
    colleague = tree(tmp_path / "colleague")
    newer = tree(tmp_path / "newer", SMALL | {"README": b"newer words"})
    old = made(source="openneuro:ds000001", version="1.0.0", commit="a" * 40)
    new = made(SMALL | {"README": b"newer words"}, source="openneuro:ds000001", version="1.1.0")
    brought(old, tmp_path / "data", places=colleague)
    lock = neurofetch.lock(tmp_path / "data")
    assert (lock.head.version, lock.head.commit) == ("1.0.0", "a" * 40)
    with pytest.raises(OtherDatasetError, match=r"holds version 1\.0\.0"):
        brought(new, tmp_path / "data", places=newer)
    assert old.check(tmp_path / "data").ok
    brought(new, tmp_path / "data", places=newer, update=True)
    assert new.check(tmp_path / "data", read_all=True).ok
    assert neurofetch.lock(tmp_path / "data").head.version == "1.1.0"


def test_files_of_equal_content_are_brought_to_each_name(s3, tmp_path):
    same = b"onset\tduration\n" * 9
    files = {f"sub-0{n}/func/events.tsv": same for n in range(1, 5)} | {"other": b"other"}
    for path, content in list(files.items())[1:]:  # the first is not at its own address
        s3.put(f"same/{path}", content)
    lock = made(files, url=f"{s3.url}/b/same/")
    colleague = tree(tmp_path / "colleague", {"sub-01/func/events.tsv": same})
    assert brought(lock, tmp_path / "data", places=colleague).ok
    assert is_all(tmp_path / "data", files)
    assert brought(lock, tmp_path / "more", places=["s3://b/none", colleague]).ok
    assert is_all(tmp_path / "more", files)
    assert brought(lock, tmp_path / "alone").ok  # of one that is here under another name
    assert is_all(tmp_path / "alone", files)
    s3.put("same/sub-01/func/events.tsv", same)
    s3.clear_log()
    assert brought(lock, tmp_path / "once").ok
    assert is_all(tmp_path / "once", files)
    assert len(s3.requests("GET")) == 2


def test_what_was_damaged_here_comes_anew_with_verify(s3, lock, tmp_path):
    brought(lock, tmp_path / "data")
    path = tmp_path / "data/README"
    info = path.stat()
    path.write_bytes(b"wordz")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert brought(lock, tmp_path / "data").ok
    assert path.read_bytes() == b"wordz"  # size and time hide it
    assert brought(lock, tmp_path / "data", verify=True).ok
    assert is_all(tmp_path / "data")


@pytest.mark.parametrize("kind", ["server", "directory"])
def test_nothing_is_written_through_a_link_out_of_the_directory(s3, lock, tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sub-01").symlink_to(outside)
    places = () if kind == "server" else tree(tmp_path / "colleague")
    with pytest.raises(neurofetch.NeurofetchError, match="outside of the data directory"):
        brought(lock, tmp_path / "data", places=places)
    assert list(outside.iterdir()) == []


def test_names_that_only_some_disks_can_tell_apart(s3, tmp_path):
    files = {
        "sub-01/a.txt": b"1",
        "sub-01/A.txt": b"2",
        "sub-01/\u00e9": b"3",
        "sub-01/e\u0301": b"4",
    }
    colleague = tree(tmp_path / "colleague", files)
    report = brought(made(files), tmp_path / "data", places=colleague)
    assert report.ok
    assert is_all(tmp_path / "data", files)


def test_odd_names_come_as_they_are(s3, tmp_path):
    names = ["a b", "back\\slash", "new\nline", "q?x#y%41", "ünïcode/日本", "Icon\r", "-rf", "~"]
    files = {name: name.encode() for name in names}
    for name, content in files.items():
        s3.put(f"odd/{name}", content)
    report = brought(made(files), tmp_path / "data", places="s3://b/odd")
    assert report.ok
    assert is_all(tmp_path / "data", files)
    lock = neurofetch.lock(tmp_path / "data")
    lock.write(tmp_path / "a.lock")
    assert neurofetch.lock(tmp_path / "a.lock") == lock
    assert brought(lock, tmp_path / "copy", places=tmp_path / "data").ok
    assert is_all(tmp_path / "copy", files)


# -- a directory as a place ------------------------------------------------------------------------


def test_links_of_git_annex_are_followed_and_what_is_no_file_is_not_opened(lock, tmp_path):
    colleague = tree(tmp_path / "colleague")
    objects = tmp_path / "objects"
    objects.mkdir()
    shutil.move(colleague / T1W, objects / "key")
    (colleague / T1W).symlink_to(objects / "key")
    for path, make in ((BOLD, os.mkfifo), ("README", os.mkdir)):
        (colleague / path).unlink()
        make(colleague / path)
    (colleague / "CHANGES").unlink()
    (colleague / "CHANGES").symlink_to(objects / "nowhere")
    bare = Lock(lock.head, tuple(one._replace(url="") for one in lock))
    with pytest.raises(IncompleteError) as caught:
        brought(bare, tmp_path / "data", places=colleague)
    reasons = {one.path: one.reason for one in caught.value.report.failures}
    assert set(reasons) == {BOLD, "README", "CHANGES"}
    assert "no file" in reasons[BOLD]
    assert "not there" in reasons["CHANGES"]
    assert not (tmp_path / "data" / T1W).is_symlink()
    assert not any(p.suffix == ".tmp" for p in (tmp_path / "data/.neurofetch/partial").iterdir())


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ("gone", "there is no directory"),
        ("data", "the data directory itself"),
        ("ftp://h/x", "'ftp://h/x' cannot be a place"),
        ("https://me:pw@h/x", "without a password"),
        ("https://me:a/pw@h/x", "without a password"),
        ("https:/me:pw@h/x", "without a password"),
        ("https://h/x?X-Amz-Signature=pw", "question mark"),
        ("https://h/a\r\nX: y", "plain address"),
        ("http:///x", "'http:///x' cannot be a place"),
        ("s3://", "s3://"),
        (3, "not 3"),
        ([None], "not None"),
        ("", "empty"),
    ],
)
def test_what_is_no_place_is_told_before_any_request(s3, lock, tmp_path, monkeypatch, places, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError) as caught:
        brought(lock, tmp_path / "data", places=places)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)
    assert s3.requests() == []


@pytest.mark.parametrize("place", ["{}/my folder", " {}/my%20folder/", "HTTP{}/my folder"])
def test_an_address_of_a_place_is_asked_as_it_is_meant(s3, tmp_path, place):
    for path, content in FILES.items():
        s3.put(f"my folder/{path}", content)
    url = f"{s3.url}/b".removeprefix("http" if place.startswith("HTTP") else "")
    assert brought(made(), tmp_path / "data", places=place.format(url)).ok
    assert is_all(tmp_path / "data")


# -- which files, and where ------------------------------------------------------------------------


def test_filters_choose_among_what_the_lock_has_and_nothing_else(lock, tmp_path):
    brought(lock, tmp_path / "data", subject="02", suffix="T1w")
    assert on_disk(tmp_path / "data") == {
        "sub-02/anat/sub-02_T1w.nii.gz",
        "CHANGES",
        "README",
        "dataset_description.json",
        "participants.tsv",
    }
    with pytest.raises(UnknownValueError, match="sub-77"):
        brought(lock, tmp_path / "data", subject="77")
    with pytest.raises(NothingMatchedError):
        brought(lock, tmp_path / "data", suffix="events", datatype="anat")


def test_shards_bring_all_of_it_together(lock, tmp_path):
    for number in range(3):
        brought(lock, tmp_path / "data", shard=(number, 3))
    assert is_all(tmp_path / "data")


def test_the_data_directory_is_named_by_the_data_set_or_by_you(s3, lock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert brought(lock, None).root == tmp_path / "ds"
    assert Head("openneuro:ds000246").folder == "ds000246"
    for source in ("", "s3://b/..", "s3://b/.x", "s3://b/a b"):
        with pytest.raises(UsageError, match="data_dir"):
            brought(made(source=source), None)
    with pytest.raises(UsageError, match="both were given"):
        brought(lock, "a", data_dir="b")


def test_events_tell_of_one_run(s3, lock, tmp_path):
    events = []
    colleague = tree(tmp_path / "colleague", {T1W: SMALL[T1W], "README": b"wrong"})
    lock.get(tmp_path / "data", places=["s3://b/none", colleague], progress=events.append)
    names = [type(event).__name__ for event in events]
    assert names.count("Planned") == names.count("Finished") == 1
    done = [event.outcome for event in events if type(event).__name__ == "FileDone"]
    assert sorted(one.path for one in done) == sorted(SMALL)
    assert all(one.ok for one in done)


@pytest.mark.parametrize("when", ["before it is copied", "while it is copied"])
@pytest.mark.parametrize("wrong", [b"", b"other"])
def test_what_another_run_brings_meanwhile_stays_where_it_is(
    lock, tmp_path, monkeypatch, when, wrong
):
    place, dest = tree(tmp_path / "place"), tmp_path / "data"
    seen = {}
    copy = _Copier._copy

    def other_run():
        if not seen:
            seen[""] = 0
            brought(lock, dest, places=place)
            for path in SMALL:
                if wrong and path == BOLD:
                    (dest / path).write_bytes(wrong * 7000)
                seen[path] = os.stat(dest / path).st_ino

    def copied(copier, source, fd, step):
        problem = copy(copier, source, fd, step)
        other_run()
        return problem

    def listen(event):
        if when.startswith("before") and isinstance(event, Planned):
            other_run()

    if when.startswith("while"):
        monkeypatch.setattr(_Copier, "_copy", copied)
    if wrong:
        with pytest.raises(IncompleteError, match="another program wrote other bytes"):
            lock.get(dest, places=place, progress=listen)
        return
    report = lock.get(dest, places=place, progress=listen)
    assert is_all(dest)
    assert {path: os.stat(dest / path).st_ino for path in SMALL} == {
        path: number for path, number in seen.items() if path
    }
    assert Status.KEPT in {one.status for one in report}


def test_what_is_all_here_needs_nothing_written(s3, lock, tmp_path):
    dest = tmp_path / "data"
    brought(lock, dest)
    state = dest / ".neurofetch"
    shutil.rmtree(state / "partial", ignore_errors=True)
    (state / "partial").write_bytes(b"")  # where drafts are to be
    told = (state / "source.json").read_bytes()
    (state / "source.json").write_bytes(told.replace(b'"last": "2', b'"last": "1'))
    (state / "hashes.jsonl").unlink()
    s3.clear_log()
    report = brought(lock, dest)
    assert report.ok
    assert not report.of(Status.FETCHED)
    assert s3.log == []


def test_a_file_that_grows_while_it_is_copied_is_not_copied_to_its_end(lock, tmp_path, monkeypatch):
    place = tree(tmp_path / "place")
    read, blocks = copying.read_blocks, []

    def growing(path):
        for block in read(path):
            blocks.append(len(block))
            yield block
            while True:  # as a log does
                blocks.append(len(block))
                yield block

    monkeypatch.setattr(copying, "read_blocks", growing)
    lock = made({BOLD: SMALL[BOLD]})
    with pytest.raises(IncompleteError, match=r"more than 35,000 bytes are there by now"):
        brought(lock, tmp_path / "data", places=place)
    assert sum(blocks) < 4 * len(SMALL[BOLD])
    assert on_disk(tmp_path / "data") == set()
