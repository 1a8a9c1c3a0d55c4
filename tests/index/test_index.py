"""An index tells what is known of each file, reads none, and takes nobody's place."""

import json
import os
import shutil
import signal
import subprocess
import sys

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

import neurofetch
from laion_fmri.download import download
from neurofetch.errors import DestinationError, UnsafeNameError, UsageError, WrongTypeError
from neurofetch.events import Checking
from neurofetch.index import Index, index
from neurofetch.neurovault import fetch_neurovault_ids
from neurofetch.neurovault import verify as verify_neurovault
from testbed.neurovault import NeuroVault
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import S3Server
from tests.display.schema import validate
from tests.faces import REFUSED, SMALL, Shell, bucket, on_disk
from tests.lockfile_world import FILES, URL, sha256
from tests.mounts import tmpfs
from tests.store.test_atomic import placed

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
BOLD = "sub-01/func/sub-01_task-rest_bold.nii.gz"
EVENTS = "sub-01/func/sub-01_task-rest_events.tsv"
STATE = ".neurofetch/index.parquet"
OTHER_TIME = 1_500_000_000


@pytest.fixture(scope="module")
def s3():
    with S3Server({"b": {f"ds/{path}": content for path, content in FILES.items()}}) as server:
        yield server


@pytest.fixture(autouse=True)
def endpoint(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)


@pytest.fixture(scope="module")
def filled(s3, tmp_path_factory):
    root = tmp_path_factory.mktemp("filled") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", s3.url)
        neurofetch.get(URL, root, progress="none")
    return root


@pytest.fixture
def data(filled, tmp_path):
    """A copy, times and all."""
    return shutil.copytree(filled, tmp_path / "data")


def rows(made):
    return {row["path"]: row for row in pq.read_table(made.path).to_pylist()}


# -- what is known ---------------------------------------------------------------------------------


def test_each_file_has_its_size_hash_source_and_how_it_was_verified(s3, data):
    made = index(data)
    found = rows(made)
    assert made == Index(
        data / STATE,
        data,
        {"here": len(FILES), "missing": 0, "changed": 0},
        sum(map(len, FILES.values())),
        len(FILES),
        True,
        (),
    )
    assert list(found) == sorted(FILES)
    audit = neurofetch.verify(data)
    for path, content in FILES.items():
        row, receipt = found[path], audit.known[path]
        info = (data / path).stat()
        assert row["size"] == info.st_size == len(content)
        assert row["mtime"].timestamp() == pytest.approx(info.st_mtime, abs=1e-5)
        assert (row["status"], row["verified"]) == ("here", receipt.verification.value)
        assert row["hash"] == receipt.digest
        assert row["hash_from"] == "receipt"
        assert row["source"] == URL
        assert row["key"] == f"ds/{path}"
        assert row["url"] == audit.url(receipt)
        assert row["etag"] == receipt.etag
        assert row["dataset"] == "data"
        assert row["root"] == str(data)
    assert (found[T1W]["sub"], found[T1W]["datatype"], found[T1W]["suffix"]) == (
        "01",
        "anat",
        "T1w",
    )


def test_what_is_missing_changed_copied_and_of_another_tool_is_told_apart(data):
    (data / T1W).unlink()
    (data / "README").write_bytes(b"other words")
    os.utime(data / EVENTS, (OTHER_TIME, OTHER_TIME))
    (data / "sub-03").mkdir()
    (data / "sub-03/sub-03_scans.tsv").write_bytes(b"mine")
    shutil.rmtree(data / "sub-02")
    made = index(data)
    found = rows(made)
    gone = {T1W} | {path for path in FILES if path.startswith("sub-02")}
    assert {path for path, row in found.items() if row["status"] == "missing"} == gone
    assert {path for path, row in found.items() if row["status"] == "changed"} == {"README"}
    assert made.counts == {"here": 6, "missing": len(gone), "changed": 1}
    assert list(found) == sorted(found)
    assert (found[T1W]["size"], found[T1W]["mtime"], found[T1W]["verified"]) == (None, None, None)
    assert found[T1W]["hash"].endswith(neurofetch.verify(data).known[T1W].digest.partition(":")[2])
    assert (found[T1W]["sub"], found[T1W]["suffix"]) == ("01", "T1w")
    assert (found["README"]["hash"], found["README"]["verified"]) == (None, None)
    assert (found[EVENTS]["hash"], found[EVENTS]["verified"]) == (None, None)
    mine = found["sub-03/sub-03_scans.tsv"]
    assert [mine[name] for name in ("hash", "source", "key", "url", "etag")] == [None] * 5
    assert (mine["size"], mine["status"], mine["sub"]) == (4, "here", "03")


def test_reading_every_byte_tells_what_size_and_time_hide(data):
    info = (data / T1W).stat()
    other = FILES[T1W][:-1] + b"X"
    (data / T1W).write_bytes(other)
    os.utime(data / T1W, ns=(info.st_atime_ns, info.st_mtime_ns))
    os.utime(data / EVENTS, (OTHER_TIME, OTHER_TIME))
    (data / "mine.txt").write_bytes(b"mine")
    assert rows(index(data))[T1W]["status"] == "here"
    told = []
    made = index(data, read_all=True, progress=told.append)
    found = rows(made)
    assert (found[T1W]["status"], found[T1W]["verified"]) == ("changed", None)
    assert found[EVENTS]["verified"] == neurofetch.verify(data).known[EVENTS].verification.value
    assert found["mine.txt"]["hash"] == f"sha256:{sha256(b'mine')}"
    assert {row["hash_from"] for row in found.values()} == {"read"}
    assert {row["status"] for path, row in found.items() if path != T1W} == {"here"}
    assert all(isinstance(event, Checking) for event in told)
    assert (told[-1].files_done, told[-1].bytes_done) == (len(FILES) + 1, told[-1].bytes_total)
    assert neurofetch.verify(data).ok  # an index writes down nothing else


WATCHED = """
import os, sys
opened = set()
def watch(event, given):
    if event == "open" and isinstance(given[0], str):
        opened.add(os.path.basename(given[0]))
sys.addaudithook(watch)
from neurofetch.index import index
index(sys.argv[1], read_all=len(sys.argv) > 2)
print("\\n".join(opened))
"""


def test_no_file_of_the_data_is_opened(data):
    """The system's own word on what a process opened."""

    def opened(*more):
        command = [sys.executable, "-c", WATCHED, str(data), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return set(done.stdout.split("\n"))

    names = {os.path.basename(path) for path in FILES}
    assert not opened() & names
    assert opened("read all") >= names


def test_openneuro_tells_the_version_of_each_object_and_git_hashes_are_spelled_as_git_does(
    tmp_path, monkeypatch
):
    with OpenNeuro() as site:
        site.add("ds000001", {"1.0.0": small_tree()})
        monkeypatch.setenv("OPENNEURO_URL", site.url)
        neurofetch.get("openneuro:ds000001@1.0.0", tmp_path / "ds", progress="none")
    found = rows(index(tmp_path / "ds"))
    assert {row["source"] for row in found.values()} == {"openneuro:ds000001"}
    assert {row["hash"].partition(":")[0] for row in found.values()} <= {"git", "md5", "sha256"}
    assert all(row["version_id"] in row["url"] for row in found.values() if row["version_id"])
    assert any(row["version_id"] for row in found.values())


# -- where it goes, and what it may replace --------------------------------------------------------


def test_the_same_directory_gives_the_same_bytes_and_an_index_is_none_of_its_files(data):
    first = index(data).path.read_bytes()
    assert index(data).path.read_bytes() == first
    inside = index(data, data / "table.parquet")
    assert "table.parquet" not in rows(inside)
    before = inside.path.read_bytes()
    assert index(data, data / "table.parquet").path.read_bytes() == before == first
    assert [path.name for path in data.iterdir() if path.name.endswith("parquet")] == [
        "table.parquet"
    ]
    assert neurofetch.verify(data).ok


DIES = """
import os, signal, sys
from neurofetch.index import index, make
make._write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
index(*sys.argv[1:])
"""


@pytest.mark.parametrize("out", [STATE, "table.parquet", "sub-01/a b.parquet"])
def test_what_a_killed_run_left_of_its_index_is_no_row_and_can_be_swept_up(data, out):
    given = [] if out == STATE else [data / out]
    before = index(data, *given).path.read_bytes()
    for _ in range(2):
        command = [sys.executable, "-c", DIES, data, *given]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (data / out).read_bytes() == before
    assert index(data, *given).path.read_bytes() == before
    if not given:
        assert len(list((data / ".neurofetch/partial").glob("*.tmp"))) == 2
        assert Shell(data.parent, "")("neurofetch clean data").code == 0
        assert not list((data / ".neurofetch/partial").glob("*"))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"words", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_file_that_is_no_index_is_replaced_only_when_that_is_said(data, tmp_path, content):
    out = tmp_path / "notes.parquet"
    out.write_bytes(content)
    with pytest.raises(UsageError, match=r"is no index. No index was made.*--overwrite"):
        index(data, out)
    assert out.read_bytes() == content
    assert index(data, out, overwrite=True).files == len(FILES)
    assert index(data, out).files == len(FILES)


def test_a_table_of_somebody_else_is_no_index(data, tmp_path):
    out = tmp_path / "theirs.parquet"
    pd.DataFrame({"path": ["a"]}).to_parquet(out)
    with pytest.raises(UsageError, match="is no index"):
        index(data, out)
    assert list(pd.read_parquet(out)["path"]) == ["a"]


def test_a_place_where_nothing_can_be_written_is_told(data, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for out, said in (
        (tmp_path / "gone" / "x.parquet", "cannot be written"),
        (tmp_path / "file" / "x.parquet", "cannot be written"),
        (tmp_path / ("x" * 300), "cannot be written"),
    ):
        with pytest.raises(DestinationError, match=said):
            index(data, out)
    with pytest.raises(UsageError, match="is a folder"):
        index(data, tmp_path)
    with pytest.raises(DestinationError, match="does not exist"):
        index(tmp_path / "gone")
    with pytest.raises(UsageError, match="neither True nor False"):
        index(data, read_all="no")
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "socket", "link to a pipe", "link to a device"])
def test_a_device_pipe_or_socket_is_neither_read_nor_replaced(data, tmp_path, kind, overwrite):
    """To look whether a pipe is an index would wait for ever."""
    path = placed(kind, tmp_path)
    before = path.lstat()
    with pytest.raises(UsageError, match=r"is a device or pipe\. No index was made"):
        index(data, path, overwrite=overwrite)
    assert os.path.samestat(path.lstat(), before)


def test_a_link_to_an_index_stays_a_link_and_one_in_the_state_folder_leads_nowhere(data, tmp_path):
    (tmp_path / "link").symlink_to("real.parquet")
    for _ in range(2):
        assert index(data, tmp_path / "link").path == tmp_path / "real.parquet"
        assert (tmp_path / "link").is_symlink()
    before = (tmp_path / "real.parquet").read_bytes()
    (data / STATE).symlink_to(tmp_path / "real.parquet")
    (data / "README").unlink()
    assert index(data).path == data / STATE
    assert not (data / STATE).is_symlink()
    assert (tmp_path / "real.parquet").read_bytes() == before
    (tmp_path / "theirs").write_bytes(b"mine")
    (tmp_path / "other").symlink_to("theirs")
    with pytest.raises(UsageError, match="is no index"):
        index(data, tmp_path / "other")
    assert (tmp_path / "theirs").read_bytes() == b"mine"


def test_a_full_disk_leaves_the_old_index(data, tmp_path):
    with tmpfs(tmp_path / "small", "16k") as small:
        with pytest.raises(DestinationError, match="No space left on device"):
            index(data, small / "x.parquet")
        assert list(small.iterdir()) == []


# -- any directory ---------------------------------------------------------------------------------


def test_a_directory_of_another_tool_gets_an_index_and_becomes_no_data_directory(tmp_path):
    root = tmp_path / "any"
    for path in ("a", "b/c", ".git/config", "b/.git/x", ".hidden", "b.txt", "b/d/e", "b-"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    (root / "linked").symlink_to(root / "a")
    (root / "content").symlink_to(".git/annex/objects/x")
    (root / "circle").symlink_to(root / "circle")
    (root / "b" / "up").symlink_to("..")
    (root / "b" / "here").symlink_to(".")
    (root / "folder").symlink_to("b/d")
    os.mkfifo(root / "pipe")
    made = index(root)
    found = rows(made)
    assert list(found) == sorted(found)
    assert set(found) == {
        ".hidden", "a", "b-", "b.txt", "b/c", "b/d/e", "linked", "content", "circle", "folder/e",
    }  # fmt: skip
    missing = {path for path, row in found.items() if row["status"] == "missing"}
    assert missing == {"content", "circle"}
    assert {row["dataset"] for row in found.values()} == {None}
    assert {row["root"] for row in found.values()} == {str(root)}
    with pytest.raises(neurofetch.NeurofetchError):
        neurofetch.verify(root)
    assert index(root / "b" / "d", tmp_path / "x").files == 1
    assert index(tmp_path / "any" / "b" / ".git", tmp_path / "x").files == 1


ANNEX = "../.git/annex/objects/Xx/Yy/"


@pytest.mark.parametrize(
    ("target", "hashed"),
    [
        (f"{ANNEX}K/MD5E-s4--{'ab' * 16}.nii.gz", f"md5:{'ab' * 16}"),
        (f"{ANNEX}K/MD5-s4--{'ab' * 16}", f"md5:{'ab' * 16}"),
        (f"{ANNEX}K/SHA256E-s4-m1700000000--{'cd' * 32}.tar.gz", f"sha256:{'cd' * 32}"),
        (f"{ANNEX}K/URL--http&c%%x", None),
        (f"{ANNEX}K/WORM-s4-m170--x.nii", None),
        (f"elsewhere/MD5E-s4--{'ab' * 16}.nii.gz", None),
    ],
)
def test_a_link_of_git_annex_tells_the_hash_of_what_is_not_here(tmp_path, target, hashed):
    root = tmp_path / "ds"
    (root / "sub-01").mkdir(parents=True)
    (root / "sub-01/sub-01_T1w.nii.gz").symlink_to(target)
    (row,) = rows(index(root)).values()
    assert (row["status"], row["size"], row["verified"]) == ("missing", None, None)
    assert (row["hash"], row["hash_from"]) == (hashed, "annex" if hashed else None)


def test_content_in_an_annex_is_held_against_its_name_when_it_is_read(tmp_path):
    root = tmp_path / "ds"
    objects = root / ".git/annex/objects"
    objects.mkdir(parents=True)
    for name, content in (("good", b"mine"), ("bad", b"other")):
        key = f"SHA256E-s4--{sha256(b'mine')}.{name}"
        (objects / key).write_bytes(content)
        (root / name).symlink_to(f".git/annex/objects/{key}")
    found = rows(index(root))
    assert {row["status"] for row in found.values()} == {"here"}
    assert {row["hash_from"] for row in found.values()} == {"annex"}
    found = rows(index(root, read_all=True))
    assert (found["good"]["status"], found["bad"]["status"]) == ("here", "changed")
    assert found["bad"]["hash"] == f"sha256:{sha256(b'other')}"


def test_a_link_in_the_place_of_the_state_folder_leads_no_index_away(tmp_path):
    (tmp_path / "ds").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ds/.neurofetch").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeNameError, match="is a link"):
        index(tmp_path / "ds")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_laion_fmri_and_neurovault_have_an_index(tmp_path, monkeypatch):
    with S3Server({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("LAION_FMRI_ACCEPT_LICENSE", "CC0-1.0")
        download("03", ses="01", suffix="statmap", data_dir=tmp_path, progress="none")
    made = index(tmp_path)
    assert made.path == tmp_path / ".laion_fmri/index.parquet"
    found = rows(made)
    assert made.verified == made.files == len(on_disk(tmp_path))
    assert all(row["source"] == "s3://laion-fmri" and row["url"] for row in found.values())
    maps = [row for row in found.values() if row["suffix"] == "statmap" and row["ext"] != ".json"]
    assert {row["sub"] for row in maps} == {"03"}
    assert "01" in {row["ses"] for row in maps}
    with NeuroVault() as server:
        server.vault.add_collection(1952, images=range(101, 104))
        monkeypatch.setenv("NEUROVAULT_API_URL", server.api_url)
        fetch_neurovault_ids([1952], data_dir=tmp_path / "nilearn", progress="none")
    made = index(tmp_path / "nilearn")
    images = [path for path in rows(made) if path.endswith(".nii.gz")]
    assert len(images) == 3
    assert verify_neurovault(tmp_path / "nilearn").ok


def test_an_empty_directory_has_an_index_without_rows(tmp_path):
    (tmp_path / "empty").mkdir()
    made = index(tmp_path / "empty", tmp_path / "x.parquet")
    assert made.files == 0
    assert pq.read_table(made.path).num_rows == 0


ODD = [
    "a\nb", "größe", "日本", "\u202eabc", "it's \"q\"", "%s{x}*?[1]", "a\\b", " ", "sub-", "sub-_",
    "_", "-", "a-b_c-d", "x" * 255, ".nii.gz", "sub-01_T1w.", "sub-01_.nii", "\x7f\x01",
    os.fsdecode(b"caf\xe9.nii.gz"), os.fsdecode(b"sub-\xff_T1w.nii.gz"),
]  # fmt: skip


def test_every_name_that_a_file_can_have_is_a_row(tmp_path):
    """The class: a name that a column of text cannot hold, or that sorts otherwise as bytes."""
    root = tmp_path / "ds"
    (root / "sub-01").mkdir(parents=True)
    for name in ODD:
        (root / name).write_bytes(b"x")
        (root / "sub-01" / name).write_bytes(b"y")
    made = index(root, tmp_path / "x.parquet")
    found = rows(made)
    assert made.files == len(found) == 2 * len(ODD)
    assert list(found) == sorted(found)
    shown = {os.fsencode(name).decode("utf-8", "backslashreplace") for name in ODD}
    assert set(found) == shown | {f"sub-01/{name}" for name in shown}
    order = duckdb.sql(f"select path from '{made.path}' order by path").fetchall()
    assert [row[0] for row in order] == list(found)


@pytest.mark.parametrize(
    "name", [b"caf\xe9", b"\xff", b"a\nb", b" ", b"-x", "größe".encode(), b"%s"]
)
def test_a_directory_and_an_index_of_any_name(filled, tmp_path, name):
    root = shutil.copytree(filled, tmp_path / os.fsdecode(name))
    for out in (None, tmp_path / os.fsdecode(name + b".parquet")):
        for _ in range(2):
            made = index(root, out)
        with open(made.path, "rb") as file:
            found = pq.read_table(file).to_pylist()
        assert [row["path"] for row in found] == sorted(FILES)
        shown = os.fsencode(root).decode("utf-8", "backslashreplace")
        assert {row["root"] for row in found} == {shown}
        command = [sys.executable, "-m", "neurofetch", "index", root, "--json"]
        done = subprocess.run(command, capture_output=True, check=True)
        assert json.loads(done.stdout)["files_total"] == len(FILES)


@pytest.mark.parametrize("wrong", [3, True, 1.5, [], "a\0b"])
def test_what_is_no_name_of_an_index_is_told_as_that(data, wrong):
    with pytest.raises((UsageError, WrongTypeError), match="the name of the index is"):
        index(data, wrong)


def test_data_directories_in_one_another_keep_their_own_receipts(s3, tmp_path):
    top = tmp_path / "study"
    neurofetch.get(URL, top, progress="none", subject="01")
    neurofetch.get(URL, top / "derivatives" / "copy-1.0", progress="none", subject="02")
    (top / "derivatives/copy-1.0/sub-02/anat/sub-02_T1w.nii.gz").unlink()
    found = pq.read_table(index(top, tmp_path / "x.parquet").path).to_pylist()
    assert {row["dataset"] for row in found} == {"study", "study/derivatives/copy-1.0"}
    assert all(row["source"] == URL for row in found)
    (gone,) = [row for row in found if row["status"] == "missing"]
    assert gone["dataset"] == "study/derivatives/copy-1.0"
    assert gone["path"] == "sub-02/anat/sub-02_T1w.nii.gz"
    shutil.rmtree(top / "derivatives/copy-1.0/sub-02")
    part = rows(index(top / "sub-01" / "func", tmp_path / "y.parquet"))
    assert set(part) == {BOLD, EVENTS}
    assert {row["status"] for row in part.values()} == {"here"}
    assert {row["root"] for row in part.values()} == {str(top)}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_makes_an_index_that_says_so(data):
    (data / "sub-02").chmod(0)
    try:
        made = index(data)
    finally:
        (data / "sub-02").chmod(0o755)
    assert not made.complete
    assert "cannot be read" in made.notes[0]
    assert not [path for path in rows(made) if path.startswith("sub-02")]


@pytest.mark.parametrize("kind", ["folder", "folder with files", "pipe", "link to a folder"])
def test_what_is_no_file_in_the_place_of_one_that_was_fetched_makes_it_missing(data, kind):
    """As for `verify`, which tells of it; nothing that was fetched is passed over."""
    for path in ("README", EVENTS):
        (data / path).unlink()
        if kind == "pipe":
            os.mkfifo(data / path)
        elif kind.startswith("link"):
            (data / path).symlink_to(data / "sub-02")
        else:
            (data / path).mkdir()
    if kind.endswith("files"):
        (data / "README/x").write_bytes(b"x")
    for read_all in (False, True):
        made = index(data, read_all=read_all)
        found = rows(made)
        assert list(found) == sorted(found)
        assert {found[path]["status"] for path in ("README", EVENTS)} == {"missing"}
        assert found["README"]["size"] is None
        assert made.counts["missing"] == 2


@pytest.mark.parametrize("depth", [102, 200, 400])
def test_a_tree_that_is_deeper_than_any_data_set_is_indexed_to_a_depth_and_that_is_said(
    tmp_path, depth
):
    root = tmp_path / "ds"
    (root / "z").mkdir(parents=True)
    (root / "z" / "last").write_bytes(b"x")
    os.makedirs(os.path.join(root, *["a"] * depth))
    with open(os.path.join(root, *["a"] * depth, "deep"), "wb"), open(root / "a/b", "wb"):
        pass
    done = Shell(tmp_path, "")("neurofetch index ds -o x.parquet")
    assert done.code == 4
    assert "lies in more than 100 folders. What is in it is not in the index" in done.err
    assert "Traceback" not in done.err
    found = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [row["path"] for row in found] == ["a/b", "z/last"]


def test_receipts_that_lead_elsewhere_or_are_damaged_are_no_rows(data):
    (journal,) = (data / ".neurofetch/receipts").glob("*.jsonl")
    line = journal.read_text().split("\n")[0]
    told = json.loads(line)
    bad = ["../out", "/etc/passwd", "a/../../b", "", "."]
    with journal.open("a") as file:
        file.writelines(json.dumps({**told, "path": path}) + "\n" for path in bad)
        odd = {
            **told,
            "path": "sub-01/a\ud800b",
            "digest": "\ud800",
            "etag": "\udcff",
            "key": "\ud800",
        }
        file.write(json.dumps(odd) + "\n")
        file.write('{"path":"half\n')
    made = index(data, read_all=True, overwrite=True)
    assert rows(made)["sub-01/a\\ud800b"]["status"] == "missing"
    assert set(rows(made)) == {*FILES, "sub-01/a\\ud800b"}
    assert "lines of the receipts" in made.notes[0]


# -- who reads it ----------------------------------------------------------------------------------


def test_duckdb_and_pandas_read_the_same(data):
    made = index(data)
    duck = duckdb.sql(f"select path, size, run, verified from '{made.path}'").df()
    panda = pd.read_parquet(made.path)
    assert list(duck["path"]) == list(panda["path"]) == sorted(FILES)
    assert list(duck["size"]) == list(panda["size"])
    ((total,),) = duckdb.sql(
        f"select sum(size) from '{made.path}' where datatype = 'func' and sub = '01'"
    ).fetchall()
    assert total == len(FILES[BOLD]) + len(FILES[EVENTS])
    assert str(panda["mtime"].dt.tz) == "UTC"


def test_the_command_says_what_it_made(s3, data, tmp_path):
    shell = Shell(tmp_path, s3.url)
    done = shell("neurofetch index data")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{data / STATE}: {len(FILES)} files ({len(FILES)} here)\n"
    done = shell("neurofetch index data -o x.parquet --hash --json --progress none")
    told = json.loads(done.out)
    validate(told)
    assert told["index"] == str(tmp_path / "x.parquet")
    assert told["counts"] == {"here": len(FILES), "missing": 0, "changed": 0}
    assert shell("neurofetch index data --quiet").out == ""
    (tmp_path / "notes").write_bytes(b"mine")
    for line, code in (
        ("neurofetch index data -o notes", 2),
        ("neurofetch index gone", 7),
        ("neurofetch index data --out gone/x", 7),
        ("neurofetch index ''", 2),
        ("neurofetch index data --out ''", 2),
    ):
        done = shell(f"{line} --json")
        assert done.code == code, done.err
        validate(json.loads(done.out))
        assert "Traceback" not in done.err


MANY = """
import sys
from neurofetch.index import index
from testbed.peak import peak_megabytes
made = index(sys.argv[1], sys.argv[2])
print(made.counts["missing"], int(peak_megabytes()))
"""


@pytest.mark.slow
def test_200000_receipts_are_rows_in_400_mb(tmp_path):
    """A million took 584 MB: 230 MB for what is at work, and the receipts."""
    root = tmp_path / "ds"
    (root / ".neurofetch/receipts").mkdir(parents=True)
    with (root / ".neurofetch/receipts/merged-00.jsonl").open("w") as file:
        for number in range(200_000):
            sub, run = f"sub-{number // 500:04d}", number % 500
            path = f"{sub}/func/{sub}_task-rest_run-{run:03d}_space-MNI152_desc-preproc_bold.json"
            file.write(
                f'{{"path":"{path}","key":"ds/{path}","etag":"{number:032x}","size":7,'
                f'"mtime_ns":1700000000000000000,"rung":"checksum","digest":"md5:{number:032x}",'
                f'"when":1700000000.5,"seq":1}}\n'
            )
    done = subprocess.run(
        [sys.executable, "-c", MANY, root, tmp_path / "x.parquet"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    missing, used = map(int, done.stdout.split())
    assert missing == 200_000
    assert used < 400
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert file.num_row_groups == 4
    assert file.metadata.num_rows == 200_000
