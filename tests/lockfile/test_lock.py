"""What a lock says of a data directory, and what of it never changes."""

import json
import os
import random
import shutil
import subprocess

import pytest

import neurofetch
from neurofetch.errors import (
    DestinationError,
    NothingMatchedError,
    SelectionWarning,
    UnknownValueError,
    UsageError,
)
from neurofetch.lockfile.compare import State
from neurofetch.lockfile.lock import Lock
from neurofetch.lockfile.values import Head, LockedFile
from neurofetch.store.meter import ReadingMeter
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Generated, S3Object, S3Server
from tests.lockfile_world import FILES, LARGE, URL, sha256

OTHER_TIME = 1_500_000_000


@pytest.fixture(scope="module")
def s3():
    objects = {f"ds/{path}": content for path, content in FILES.items()}
    objects[f"ds/{LARGE}"] = S3Object(Generated(9 << 20, seed=3), part_size=5 << 20, checksum=None)
    with S3Server({"b": objects}) as server:
        yield server


@pytest.fixture(autouse=True)
def endpoint(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)


def fetched(root, **filters):
    neurofetch.get(URL, root, progress="none", **filters)
    return root


@pytest.fixture(scope="module")
def filled(s3, tmp_path_factory):
    root = tmp_path_factory.mktemp("filled") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", s3.url)
        return fetched(root)


@pytest.fixture
def data(filled, tmp_path):
    """A copy, times and all."""
    return shutil.copytree(filled, tmp_path / "data")


def content_of(lock):
    return b"".join(lock.lines())


# -- what it says ----------------------------------------------------------------------------------


def test_a_lock_has_path_size_hash_and_address_of_each_file_and_its_data_set(s3, data):
    lock = neurofetch.lock(data)
    assert lock.notes == ()
    assert [one.path for one in lock] == sorted(FILES)
    for path, size, hashes, url, key in lock:
        content = (data / path).read_bytes()
        assert (size, hashes, key) == (len(content), (f"sha256:{sha256(content)}",), "")
        assert url.startswith(f"{s3.url}/b/ds/")
    head = lock.head
    assert (head.source, head.kind, head.name) == ("s3://b/ds", "bids", "Two subjects")
    assert (head.version, head.doi, head.license) == ("1.0.2", "doi:10.1/x.v1.0.2", "CC0")
    assert (head.files, head.bytes) == (len(FILES), sum(one.size for one in lock))
    text = content_of(lock).decode()
    for word in (str(data), "20", os.uname().nodename, "neurofetch 0"):
        assert word not in text.splitlines()[0].replace("1.0.2", "") or word == "20"


def test_the_same_data_are_the_same_bytes_whatever_happened(s3, data, tmp_path, monkeypatch):
    """Another machine: another order, another time, another history of tools."""
    first = content_of(neurofetch.lock(data))

    other = tmp_path / "other"
    for path in random.Random(3).sample(sorted(FILES), len(FILES)):
        fetched(other, include=f"/{path}", bare=True, n_jobs=2)
    fetched(other, overwrite=True)
    (other / "README").write_bytes(b"other")
    fetched(other, verify=True)
    neurofetch.verify(other, read_all=True)
    assert content_of(neurofetch.lock(other)) == first

    aged = tmp_path / "aged"  # copied without its times, and moved
    shutil.copytree(data, aged, copy_function=shutil.copyfile)
    for path in sorted(FILES):
        os.utime(aged / path, (OTHER_TIME, OTHER_TIME))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.chdir(aged)
    assert content_of(neurofetch.lock()) == first

    adopted = tmp_path / "adopted"  # filled by another program
    shutil.copytree(data, adopted, ignore=shutil.ignore_patterns(".neurofetch"))
    assert neurofetch.verify(adopted, read_all=True, url=URL).ok
    fetched(adopted)
    assert content_of(neurofetch.lock(adopted)) == first


def test_a_file_is_read_once(data, monkeypatch):
    events = []
    neurofetch.lock(data, progress=events.append)
    assert events[-1].over
    assert events[-1].files_done == len(FILES)
    before = content_of(neurofetch.lock(data))
    events.clear()
    assert content_of(neurofetch.lock(data, progress=events.append)) == before
    assert neurofetch.lock(data).check(data, progress=events.append).ok
    assert events == []
    (data / "README").write_bytes(b"changed")  # it is another file now
    with pytest.warns(SelectionWarning, match="other bytes than were fetched"):
        neurofetch.lock(data, progress=events.append)
    assert events[-1].files_done == 1


@pytest.mark.parametrize("content", [b"", b"\0\xff", b'{"neurofetch-hashes": 1}\n[1]\n{}\nx\n'])
def test_what_is_remembered_may_be_damaged_or_gone(data, content):
    before = content_of(neurofetch.lock(data))
    known = data / ".neurofetch/hashes.jsonl"
    known.write_bytes(content)
    assert content_of(neurofetch.lock(data)) == before
    known.unlink()
    known.symlink_to(data.parent / "outside")
    assert content_of(neurofetch.lock(data)) == before
    assert not (data.parent / "outside").exists()


@pytest.mark.parametrize(
    "origin",
    [
        ("ftp://host/README", ""),
        ("https://me:secret@host/README", ""),
        ("https://host/README?X-Amz-Signature=1", ""),
        ("https://host/a b\n", ""),
        ("javascript:alert(1)", ""),
        ("", "a\0b"),
        ("", "\ud800"),
    ],
)
def test_what_others_wrote_among_what_is_remembered_goes_into_no_lock(data, tmp_path, origin):
    neurofetch.lock(data).write(tmp_path / "a.lock")
    neurofetch.lock(tmp_path / "a.lock").get(data, progress="none")
    before = content_of(neurofetch.lock(data))
    known = data / ".neurofetch/hashes.jsonl"
    first, *rows = known.read_text().splitlines()
    rows = [[*json.loads(row)[:5], *origin] for row in rows]
    assert {row[4] for row in rows} == {1}
    known.write_text("\n".join([first, *map(json.dumps, rows), ""]))
    assert content_of(neurofetch.lock(data)) == before


def test_quick_takes_the_hashes_that_are_known_and_reads_the_rest(data):
    events = []
    lock = neurofetch.lock(data, quick=True, progress=events.append)
    kinds = {one.path: one.hashes[0].partition(":")[0] for one in lock}
    assert kinds[LARGE] == "sha256"  # only its parts have an ETag
    assert lock.check(data, read_all=True).ok
    assert all(len(one.hashes) == 1 for one in lock)


def test_filters_lock_a_part_and_the_lock_tells_which(data):
    lock = neurofetch.lock(data, subject="02", suffix="T1w")
    assert [one.path for one in lock if one.path.startswith("sub-")] == [
        "sub-02/anat/sub-02_T1w.nii.gz"
    ]
    assert lock.head.query == {"subject": ["02"], "suffix": ["T1w"]}
    assert lock.check(data).ok  # what else is here was not asked for
    with pytest.raises(UnknownValueError, match="sub-77"):
        neurofetch.lock(data, subject="77")


# -- what is not as it was fetched -----------------------------------------------------------------


def test_what_is_gone_changed_or_of_others_is_told_and_the_lock_is_of_what_is_here(data):
    (data / "README").unlink()
    (data / "CHANGES").write_bytes(b"mine")
    same = data / "sub-01/anat/sub-01_T1w.nii.gz"
    same.write_bytes(bytes(len(same.read_bytes())))
    (data / "results").mkdir()
    (data / "results/mine.csv").write_bytes(b"1")
    with pytest.warns(SelectionWarning) as caught:
        lock = neurofetch.lock(data)
    said = "\n".join(str(one.message) for one in caught)
    assert "not here any more, and so not in the lock: 1 file (README)" in said
    assert "other bytes than were fetched: 2 files (CHANGES, sub-01/anat/sub-01_T1w.nii.gz)" in said
    assert "here, but not fetched" in said
    assert "results/mine.csv" in said
    found = {one.path: one for one in lock}
    assert "README" not in found
    assert "results/mine.csv" not in found
    assert found["CHANGES"] == LockedFile("CHANGES", 4, (f"sha256:{sha256(b'mine')}",))
    assert found["sub-01/anat/sub-01_T1w.nii.gz"].url == ""
    assert found["dataset_description.json"].url


def test_every_file_of_any_directory_can_be_locked(tmp_path):
    root = tmp_path / "any"
    for path in ("a", "b/c", ".git/config", "b/.git/x", ".neurofetch/x", ".hidden"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    (root / "linked").symlink_to(root / "a")
    (root / "broken").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe")
    lock = neurofetch.lock(root, every=True)
    assert [one.path for one in lock] == [".hidden", "a", "b/c", "linked"]
    assert lock.head == Head(every=True, files=4, bytes=sum(one.size for one in lock))
    assert lock.check(root).ok
    (root / "new").write_bytes(b"")
    assert [(one.path, one.state) for one in lock.check(root)] == [("new", State.ADDED)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_told(data):
    (data / "README").chmod(0)
    with pytest.raises(DestinationError, match="README cannot be read"):
        neurofetch.lock(data)


NO_FILES = {
    "broken": (lambda path: path.symlink_to("nowhere"), "a link that leads to no file"),
    "circle": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "pair": (lambda path: path.symlink_to(path.name + "/x"), "cannot be followed"),
    "long": (lambda path: path.symlink_to("x" * 300), "File name too long"),
    "up": (lambda path: path.symlink_to(".."), "a link to a folder"),
    "away": (lambda path: path.symlink_to("/"), "a link to a folder"),
    "pipe": (os.mkfifo, "it is no file"),
    "linked pipe": (lambda path: (os.mkfifo(f"{path}1"), path.symlink_to(f"{path}1")), "no file"),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_keeps_no_lock_from_being_made_and_is_told(case, tmp_path):
    make, said = NO_FILES[case]
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").mkdir()
    make(tmp_path / "b" / "odd")
    with pytest.warns(SelectionWarning, match=f"b/odd.*{said}"):
        lock = neurofetch.lock(tmp_path, every=True)
    assert [one.path for one in lock] == ["a"]
    assert lock.check(tmp_path).ok


def test_a_directory_without_any_file_is_told(tmp_path):
    with pytest.raises(NothingMatchedError, match=r"there is no file in .* Check the path"):
        neurofetch.lock(tmp_path, every=True)


def test_a_lock_in_the_directory_is_none_of_its_files(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    neurofetch.lock(tmp_path, every=True).write(tmp_path / "paper.lock")
    assert neurofetch.lock(tmp_path / "paper.lock").check(tmp_path).ok
    (tmp_path / "other.lock").write_bytes(b"")
    found = neurofetch.lock(tmp_path / "paper.lock").check(tmp_path)
    assert [change.path for change in found] == ["other.lock"]


def test_a_directory_without_receipts_is_told_what_helps(tmp_path):
    with pytest.raises(NothingMatchedError, match=r"--all \(every=True\)"):
        neurofetch.lock(tmp_path)
    with pytest.raises(DestinationError, match="does not exist"):
        neurofetch.lock(tmp_path / "gone")
    for name in (".neurofetch", ".laion_fmri"):
        (tmp_path / name / "receipts").mkdir(parents=True)
    with pytest.raises(UsageError, match="several programs"):
        neurofetch.lock(tmp_path)


def test_nothing_left_is_told(data):
    for path in FILES:
        (data / path).unlink()
    with pytest.raises(NothingMatchedError, match="no file that was fetched is left"):
        neurofetch.lock(data)


def test_a_lock_is_written_whole_or_not_at_all(data, tmp_path):
    lock, path = neurofetch.lock(data), tmp_path / "deep/er/a.lock"
    assert lock.write(path) == path
    assert neurofetch.lock(path) == lock
    with pytest.raises(DestinationError, match="folder"):
        lock.write(tmp_path)
    assert [p.name for p in path.parent.iterdir()] == ["a.lock"]


# -- hold against it -------------------------------------------------------------------------------


def damaged(path):
    """Change a byte of a file; its size and its time stay."""
    info, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_a_check_names_what_was_added_changed_or_is_gone(data):
    lock = neurofetch.lock(data, subject="01")
    lock = type(lock)(Head(files=lock.head.files, bytes=lock.head.bytes), lock.files)
    (data / "README").unlink()
    (data / "README").mkdir()
    (data / "CHANGES").write_bytes(b"x" * len(FILES["CHANGES"]))
    found = lock.check(data)
    assert not found.ok
    states = {one.path: one.state for one in found}
    assert states.pop("README") is State.GONE
    assert states.pop("CHANGES") is State.CHANGED
    assert states
    assert set(states.values()) == {State.ADDED}
    assert all("sub-02" in path for path in states)
    assert found.counts == {"same": len(lock) - 2, "added": len(states), "changed": 1, "gone": 1}
    assert "gone    README" in str(found)


def test_a_check_that_reads_all_finds_what_size_and_time_hide(data):
    lock = neurofetch.lock(data)
    damaged(data / "README")
    assert lock.check(data).ok
    found = lock.check(data, read_all=True)
    assert [(one.path, one.state) for one in found] == [("README", State.CHANGED)]
    assert not lock.check(data).ok  # and what was found out is remembered


def test_a_check_follows_no_link_out_of_the_directory(data, tmp_path):
    lock = neurofetch.lock(data)
    shutil.move(data / "sub-01", tmp_path / "elsewhere")
    (data / "sub-01").symlink_to(tmp_path / "elsewhere")
    gone = lock.check(data).of(State.GONE)
    assert {one.path for one in gone} == {path for path in FILES if path.startswith("sub-01/")}
    assert "out of the data directory" in gone[0].reason


def test_a_directory_that_neurofetch_never_saw_can_be_checked(data, tmp_path):
    lock = neurofetch.lock(data)
    plain = tmp_path / "plain"
    shutil.copytree(data, plain, ignore=shutil.ignore_patterns(".neurofetch"))
    assert lock.check(plain).ok
    assert not (plain / ".neurofetch").exists()
    (plain / "README").write_bytes(b"")
    assert lock.check(plain).counts["changed"] == 1


def test_locks_are_held_against_one_another_by_content_alone(data):
    lock = neurofetch.lock(data)
    assert lock.diff(lock).ok
    moved = tuple(one._replace(url="https://elsewhere/x") for one in lock.files)
    assert lock.diff(type(lock)(lock.head, moved)).ok
    quick = tuple(one._replace(hashes=("md5:" + "0" * 32,)) for one in lock.files)
    assert "different kinds" in lock.diff(type(lock)(lock.head, quick)).changes[0].reason
    files = [one for one in lock.files if one.path != "README"]
    files[0] = files[0]._replace(hashes=("sha256:" + "0" * 64,))
    files.append(LockedFile("z", 1, ("sha256:" + "0" * 64,)))
    newer = type(lock)(Head("s3://b/ds", version="2.0"), tuple(files))
    found = lock.diff(newer)
    assert {(one.path, one.state.value) for one in found} == {
        ("README", "gone"),
        ("z", "added"),
        (files[0].path, "changed"),
    }
    assert any("version: 1.0.2, in the other lock 2.0" in text for text in found.head)
    assert not found.ok


# -- OpenNeuro -------------------------------------------------------------------------------------


def test_a_version_of_openneuro_is_locked_by_the_keys_of_its_listing(tmp_path, monkeypatch):
    with OpenNeuro() as site:
        site.add("ds000001", {"1.0.0": small_tree()})
        monkeypatch.setenv("OPENNEURO_URL", site.url)
        neurofetch.get("openneuro:ds000001@1.0.0", tmp_path / "data", progress="none")
        lock = neurofetch.lock(tmp_path / "data")
        snapshot = site.datasets["ds000001"].snapshots["1.0.0"]
        head = lock.head
        assert (head.source, head.version) == ("openneuro:ds000001", "1.0.0")
        assert head.commit == snapshot.hexsha
        assert head.license == "CC0"
        kinds = {one.path: [h.partition(":")[0] for h in one.hashes] for one in lock}
        assert kinds["CHANGES"] == ["git", "sha256"]
        assert kinds["sub-01/anat/sub-01_T1w.nii.gz"] == ["md5", "sha256"]
        for one in lock:
            if one.hash("git"):
                command = ["git", "hash-object", "--no-filters", tmp_path / "data" / one.path]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                assert one.hash("git") == done.stdout.strip()
        own = f"{site.bucket.url}/openneuro.org/ds000001/"
        elsewhere = {one.path for one in lock if not one.url.startswith(f"{own}{one.path}?")}
        assert all(one.url.startswith(own) and "?versionId=" in one.url for one in lock)
        assert len(elsewhere) == 2  # which have the content of files of another subject
        again = lock.get(tmp_path / "again", progress="none")
        assert again.ok
        assert content_of(neurofetch.lock(tmp_path / "again")) == content_of(lock)
        plan = neurofetch.plan("openneuro:ds000001@1.0.0", tmp_path / "again")
        assert plan.moving == ()
    size = len(content_of(lock)) / len(lock)
    assert size < 400


def test_a_version_that_a_bucket_tells_is_kept_and_locked(tmp_path, monkeypatch):
    with OpenNeuro() as site:
        site.add("ds000001", {"1.0.0": small_tree()})
        monkeypatch.setenv("AWS_ENDPOINT_URL", site.bucket.url)
        neurofetch.get("s3://openneuro.org/ds000001", tmp_path / "data", progress="none")
        lock = neurofetch.lock(tmp_path / "data")
        assert all("?versionId=" in one.url for one in lock)
        assert all(len(one.hashes) == 1 for one in lock)
        assert lock.get(tmp_path / "again", progress="none").ok
    receipts = sorted((tmp_path / "data/.neurofetch/receipts").glob("*.jsonl"))
    assert all(json.loads(line)["version"] for line in receipts[0].read_text().splitlines())


ODD_WORDS = {
    "half a letter": ('"\\ud800x"', "?x"),
    "line and direction": ('"a\\nb\\u202e"', "a\nb\u202e"),
    "zero": ('"a\\u0000b"', "a\0b"),
    "long": (f'"{"x" * 900_000}"', "x" * 10_000),
    "long and escaped": ('"' + r"\u202e" * 150_000 + '"', "\u202e" * 10_000),
    "list": ('["a"]', ""),
    "number": ("5", ""),
    "no JSON": ("NaN, x", ""),
    "nested": ("[" * 90_000, ""),
}


@pytest.mark.parametrize("case", ODD_WORDS)
@pytest.mark.parametrize("word", ["Name", "License", "DatasetDOI"])
def test_whatever_a_data_set_says_of_itself_its_lock_is_written_and_read(case, word, tmp_path):
    said, kept = ODD_WORDS[case]
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "dataset_description.json"
    path.write_text(f'{{"{word}": {said}}}', encoding="utf-8")
    lock = neurofetch.lock(tmp_path / "data", every=True)
    found = {"Name": lock.head.name, "License": lock.head.license, "DatasetDOI": lock.head.doi}
    assert found[word] == kept
    again = neurofetch.lock(lock.write(tmp_path / "a.lock"))
    assert again == lock
    for form in ("croissant", "datapackage"):
        json.loads(lock.export(form))


WRONG = {
    "other": lambda lock, _: lock.diff("paper.lock"),
    "no other": lambda lock, _: lock.diff(None),
    "form": lambda lock, _: lock.export(["pooch"]),
    "form to write": lambda lock, root: lock.write(root / "x", None),
    "file": lambda lock, _: lock.write(5),
    "empty file": lambda lock, _: lock.write(""),
    "file with a zero byte": lambda lock, root: lock.write(f"{root}/a\0b"),
    "state": lambda _, root: neurofetch.lock(root, state=5),
    "state elsewhere": lambda _, root: neurofetch.lock(root, state="../other"),
    "state above": lambda lock, root: lock.check(root, state=".."),
    "state below": lambda lock, root: lock.check(root, state="a/b"),
    "every": lambda _, root: neurofetch.lock(root, every="yes"),
    "places": lambda lock, root: lock.get(root / "new", places=None),
    "URL as a directory": lambda lock, _: lock.get("s3://b/ds"),
    "web as a directory": lambda lock, _: lock.plan(data_dir="https://host/ds"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_argument_of_a_wrong_kind_is_told_and_nothing_is_written(
    case, data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(neurofetch.NeurofetchError, match=r"Nothing was (done|written)|as it was"):
        WRONG[case](Lock.read(_small(tmp_path)), data)
    (tmp_path / "small.lock").unlink()
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def _small(folder):
    file = LockedFile("a", 0, (f"sha256:{sha256(b'')}",))
    return Lock(Head("s3://b/ds", files=1), (file,)).write(folder / "small.lock")


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_file_that_is_replaced_by_its_like_while_it_is_read_is_read_once_more(
    tmp_path, monkeypatch, times
):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "a"
    file.write_bytes(b"the same")
    blocks, left = ReadingMeter.blocks, [times]

    def replaced(self, *arguments):
        yield from blocks(self, *arguments)
        if left[0]:
            left[0] -= 1
            (tmp_path / "new").write_bytes(b"the same")
            (tmp_path / "new").replace(file)
            os.utime(file, ns=(left[0], left[0]))

    monkeypatch.setattr(ReadingMeter, "blocks", replaced)
    if times > 2:
        with pytest.raises(DestinationError, match="changed while it was read"):
            neurofetch.lock(tmp_path / "data", every=True)
        return
    assert len(neurofetch.lock(tmp_path / "data", every=True)) == 1
