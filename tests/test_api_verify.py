"""``verify`` on any directory of ours, from any folder in it, with and without a bucket."""

import json
import os
import shutil

import pytest

import neurofetch
from neurofetch._cli import main
from neurofetch.console import ExitCode
from neurofetch.engine import State
from neurofetch.errors import DestinationError, NothingMatchedError, UsageError
from neurofetch.store.data_source import DataSource, remember
from neurofetch.store.places import Place, find_places
from neurofetch.store.receipts import read_receipts
from testbed.s3 import S3Server

pytest_plugins = ["tests.neurovault_fixtures"]
FILES = {
    "ds1/dataset_description.json": b'{"Name": "One"}',
    "ds1/sub-01/anat/sub-01_T1w.nii.gz": b"1",
    "ds2/dataset_description.json": b'{"Name": "Two"}',
    "ds2/sub-02/anat/sub-02_T1w.nii.gz": b"2",
}
T1W = "sub-01/anat/sub-01_T1w.nii.gz"


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"b": dict(FILES)}) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


@pytest.fixture
def data(s3, tmp_path):
    """A data directory with a data set."""
    neurofetch.get("s3://b/ds1", tmp_path / "all" / "data", progress="none")
    return tmp_path / "all" / "data"


def states(audit):
    return {finding.path: finding.state for finding in audit.findings}


UNCHANGED = {"dataset_description.json": State.UNCHANGED, T1W: State.UNCHANGED}

# -- where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [".", "sub-01", "sub-01/anat", "sub-01/..", ".neurofetch"])
def test_a_data_directory_is_found_from_every_folder_in_it(data, monkeypatch, where):
    found = neurofetch.verify(data / where)
    assert (found.root, states(found)) == (data, UNCHANGED)
    monkeypatch.chdir(data / where)
    assert states(neurofetch.verify()) == UNCHANGED
    assert states(neurofetch.verify(data_dir=".")) == UNCHANGED


def test_a_data_directory_is_found_from_the_folders_above(data, tmp_path):
    for above in (data.parent, tmp_path):
        found = neurofetch.verify(above)
        assert (found.root, states(found)) == (data, UNCHANGED)


def test_several_data_directories_are_checked_together(data, tmp_path):
    neurofetch.get("s3://b/ds2", data.parent / "other", progress="none")
    (data / T1W).unlink()
    found = neurofetch.verify(tmp_path)
    assert found.root == data.parent
    assert states(found)[f"data/{T1W}"] is State.MISSING
    assert states(found)["other/sub-02/anat/sub-02_T1w.nii.gz"] is State.UNCHANGED
    assert [f.path for f in found.findings] == sorted(f.path for f in found.findings)
    with pytest.raises(UsageError, match="several data directories"):
        neurofetch.verify(tmp_path, url="s3://b/ds1")


def test_what_is_written_down_of_a_file_is_in_its_row(data, s3, tmp_path):
    rows = {row["path"]: row for row in neurofetch.verify(data).to_dict()["files"]}
    planned = neurofetch.plan("s3://b/ds1", tmp_path / "new").to_dict()["files"]
    for row in planned:
        words = ("key", "url", "etag", "size")
        assert [rows[row["path"]][word] for word in words] == [row[word] for word in words]
        assert rows[row["path"]]["checksum"]["algorithm"] == "crc64nvme"


def test_rows_of_several_directories_each_have_their_own(data, s3, tmp_path):
    neurofetch.get("s3://b/ds2", data.parent / "other", progress="none")
    neurofetch.get("s3://b/ds1", data.parent / "other", mix=True, exclude="*.json", progress="none")
    rows = {row["path"]: row for row in neurofetch.verify(tmp_path).to_dict()["files"]}
    keys = {path: row["key"] for path, row in rows.items()}
    assert keys[f"data/{T1W}"] == keys[f"other/{T1W}"] == f"ds1/{T1W}"
    assert rows[f"other/{T1W}"]["url"] == f"{s3.url}/b/ds1/{T1W}"
    assert keys["other/sub-02/anat/sub-02_T1w.nii.gz"].startswith("ds2/")


def test_a_row_of_a_file_of_another_tool_has_them_once_it_was_adopted(data, s3):
    (data / ".neurofetch").rename(data.parent / "gone")
    url = "s3://b/ds1"
    rows = neurofetch.verify(data, url=url).to_dict()["files"]
    assert {(row["state"], row["key"], row["url"]) for row in rows} == {("unknown", None, None)}
    rows = neurofetch.verify(data, url=url, read_all=True).to_dict()["files"]
    assert {row["state"] for row in rows} == {"adopted"}
    assert all(row["key"].startswith("ds1/") and row["etag"] and row["checksum"] for row in rows)


def test_where_the_server_is_not_known_no_address_is_made_up(data):
    file = data / ".neurofetch" / "source.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({word: text for word, text in said.items() if word != "server"}))
    assert {row["url"] for row in neurofetch.verify(data).to_dict()["files"]} == {None}


@pytest.mark.parametrize("first", ["ds1", "ds2"])
def test_in_a_mixed_directory_each_file_is_adopted_for_its_own_data_set(data, s3, first):
    second = {"ds1": "ds2", "ds2": "ds1"}[first]
    shutil.rmtree(data)
    neurofetch.get(f"s3://b/{first}", data, exclude="*.json", progress="none")
    neurofetch.get(f"s3://b/{second}", data, mix=True, progress="none")
    receipts = data / ".neurofetch" / "receipts"
    sources = {path: one.source for path, one in read_receipts(receipts.parent).items()}
    shutil.rmtree(receipts)
    found = neurofetch.verify(data, remote=True, read_all=True)
    assert set(states(found).values()) == {State.ADOPTED}
    assert {p: one.source for p, one in read_receipts(receipts.parent).items()} == sources
    for ds in (first, second):
        assert not neurofetch.plan(f"s3://b/{ds}", data, mix=True, exclude="*.json").moving
    assert neurofetch.get(f"s3://b/{second}", data, mix=True, progress="none").ok


def test_data_directories_at_two_depths_are_all_checked(data, tmp_path, capsys):
    neurofetch.get("s3://b/ds2", tmp_path / "ds2", progress="none")
    (data / T1W).unlink()
    assert f"all/data/{T1W}" in states(neurofetch.verify(tmp_path))
    assert main(["verify", str(tmp_path)]) == ExitCode.INCOMPLETE
    assert f"checked: {tmp_path / 'ds2'}, {data}" in capsys.readouterr().err


def test_the_nearest_is_taken(data):
    inner = data / "derivatives" / "mine"
    neurofetch.get("s3://b/ds2", inner, progress="none")
    assert neurofetch.verify(inner / "sub-02").root == inner
    assert neurofetch.verify(data / "derivatives").root == data


@pytest.mark.parametrize(
    "there",
    [
        "",
        "mine.txt",
        ".config/x",
        ".neurofetch",
        ".other/receipts/x.txt",
        "collection_x/a",
        "collection_1/a",
        "a/b/c",
    ],
)
def test_where_nothing_is_that_is_said_and_nothing_is_written(tmp_path, there, capsys):
    root = tmp_path / "empty"
    root.mkdir()
    if there:
        (root / there).parent.mkdir(parents=True, exist_ok=True)
        (root / there).write_bytes(b"x")
    before = sorted(root.rglob("*"))
    assert find_places(root) == []
    with pytest.raises(NothingMatchedError, match="Nothing was checked"):
        neurofetch.verify(root)
    assert main(["verify", str(root)]) == ExitCode.NOTHING_MATCHED
    assert "nothing that neurofetch fetched is in" in capsys.readouterr().err
    assert sorted(root.rglob("*")) == before


def test_a_directory_of_ours_without_a_file_is_no_success(tmp_path, capsys):
    remember(tmp_path / ".neurofetch", DataSource("bids", "s3://b"), mix=False)
    assert main(["verify", str(tmp_path)]) == ExitCode.NOTHING_MATCHED
    assert "no files: " in capsys.readouterr().out


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(DestinationError, match="does not exist"):
        neurofetch.verify(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DestinationError, match="is a file"):
        neurofetch.verify(tmp_path / "file")


def test_a_state_folder_of_another_package_is_found_and_one_of_another_program_is_not(data):
    shutil.move(data / ".neurofetch", data / ".my_dataset")
    assert find_places(data) == [Place(data, ".my_dataset")]
    assert states(neurofetch.verify(data)) == UNCHANGED
    shutil.move(data / ".my_dataset", data / ".laion_fmri")
    assert states(neurofetch.verify(data / "sub-01")) == UNCHANGED


@pytest.fixture
def vault(world):
    """A cache of NeuroVault with a collection."""
    world.ids([7])
    return world


@pytest.mark.parametrize("where", [".", "..", "collection_7", "../.."])
def test_a_cache_of_neurovault_is_found_too(vault, where):
    found = neurofetch.verify(vault.root / where)
    assert found.root == vault.root
    assert set(states(found).values()) == {State.GOOD}
    assert len(found) == 4
    vault.file(7, 5).unlink()
    assert not neurofetch.verify(vault.root / where).ok


def test_neurovault_remembers_itself_and_has_no_bucket(vault):
    said = json.loads((vault.root / ".neurofetch" / "source.json").read_text())
    assert (said["kind"], said["url"].startswith("http://127.0.0.1")) == ("neurovault", True)
    with pytest.raises(UsageError, match="no bucket to compare"):
        neurofetch.verify(vault.root, remote=True)


def test_two_kinds_in_one_folder_are_both_checked(data, vault):
    shutil.move(vault.root, data / "neurovault")
    found = neurofetch.verify(data)
    assert states(found)[T1W] is State.UNCHANGED
    assert states(found)["neurovault/collection_7/image_5.nii.gz"] is State.GOOD
    (data / T1W).unlink()
    assert [f.path for f in neurofetch.verify(data).problems] == [T1W]


# -- with the bucket -------------------------------------------------------------------------------


def test_the_bucket_that_is_remembered_is_asked(s3, data):
    s3.put("ds1/dataset_description.json", b'{"Name": "1wo"}', bucket="b")
    s3.delete("ds1/" + T1W, bucket="b")
    found = neurofetch.verify(data / "sub-01", remote=True)
    assert states(found) == {
        "dataset_description.json": State.DIFFERS,
        T1W: State.NOT_IN_BUCKET,
    }
    assert "1 not in the bucket" in found.summary


def test_a_directory_that_does_not_remember_is_told(data):
    (data / ".neurofetch" / "source.json").unlink()
    with pytest.raises(UsageError, match=r"--remote s3://BUCKET/PREFIX \(url=\.\.\.\)"):
        neurofetch.verify(data, remote=True)
    assert neurofetch.verify(data, url="s3://b/ds1").ok


def test_the_wrong_bucket_has_none_of_the_files(s3, data):
    found = neurofetch.verify(data, url="s3://b/ds2")
    assert states(found)[T1W] is State.NOT_IN_BUCKET
    (detail,) = {f.detail.partition(";")[0] for f in found.findings if f.path == T1W}
    assert detail == "it was never in this bucket"


def test_a_data_set_with_rules_of_its_own_names_its_command(data):
    path = data / ".neurofetch" / "source.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "laion-fmri"}))
    with pytest.raises(UsageError, match="laion-fmri verify --remote --data-dir"):
        neurofetch.verify(data, remote=True)


def test_each_of_two_data_sets_is_held_against_its_own_bucket(s3, data):
    neurofetch.get(
        "s3://b/ds2", data, mix=True, exclude="dataset_description.json", progress="none"
    )
    assert set(states(neurofetch.verify(data, remote=True)).values()) == {State.UNCHANGED}
    s3.delete("ds2/sub-02/anat/sub-02_T1w.nii.gz", bucket="b")
    s3.put("ds1/" + T1W, b"new", bucket="b")
    s3.put("ds2/other.txt", b"x", bucket="b")
    found = neurofetch.verify(data, remote=True)
    assert states(found) == {
        "dataset_description.json": State.UNCHANGED,
        T1W: State.DIFFERS,
        "sub-02/anat/sub-02_T1w.nii.gz": State.NOT_IN_BUCKET,
    }


@pytest.mark.parametrize("url", ["s3://b/ds1", "s3://b/ds1/"])
def test_files_of_another_tool_need_no_directory_of_ours(s3, tmp_path, url):
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / T1W).write_bytes(b"1")
    assert states(neurofetch.verify(tmp_path, url=url)) == {T1W: State.UNKNOWN}
    assert states(neurofetch.verify(tmp_path, url=url, read_all=True)) == {T1W: State.ADOPTED}


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "verify",
        "verify --hash",
        "verify --remote",
        "verify --hash --remote",
        "verify --remote s3://b/ds1",
        "verify . --remote",
        "verify --remote .",
        "verify --data-dir . --remote",
        "verify sub-01",
        "verify ..",
    ],
)
def test_the_command_needs_no_argument(data, monkeypatch, capsys, line):
    monkeypatch.chdir(data)
    assert main(line.split()) == 0
    word = "good" if "--hash" in line else "unchanged by size and time (contents not read)"
    assert capsys.readouterr().out.startswith(f"2 {word} (")


def test_the_command_mixes_only_when_told(data, capsys, s3):
    line = f"get s3://b/ds2 --data-dir {data} --suffix T1w --exclude dataset*"
    assert main(line.split()) == ExitCode.USAGE
    assert "holds another data set: One (s3://b/ds1" in capsys.readouterr().err
    assert main([*line.split(), "--dry-run"]) == ExitCode.USAGE
    assert main([*line.split(), "--mix"]) == 0
    assert os.path.exists(data / "sub-02" / "anat" / "sub-02_T1w.nii.gz")
