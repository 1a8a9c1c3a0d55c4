"""Jobs of one run read one listing: what it is worth where it is damaged, old, or behind a link."""

import pytest

import neurofetch
from neurofetch.store.runs import read_runs
from testbed.s3 import S3Object, S3Server
from tests.faces import on_disk

URL = "s3://openneuro.org/ds000777"
FILES = {f"ds000777/sub-{n:02}/anat/sub-{n:02}_T1w.nii.gz": b"x" * 50 * n for n in range(1, 21)}
ALL = {key.removeprefix("ds000777/") for key in FILES}


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"openneuro.org": FILES}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def as_task(monkeypatch, task):
    monkeypatch.setenv("NEUROFETCH_RUN", f"r/{task}")


@pytest.fixture
def listed(s3, tmp_path, monkeypatch):
    """A data directory in which a run has been planned."""
    as_task(monkeypatch, "plan")
    neurofetch.plan(URL, tmp_path / "data")
    return tmp_path / "data"


def lists(s3):
    return len(s3.requests("LIST"))


def fetched(root, monkeypatch, count=3, **how):
    for number in range(count):
        as_task(monkeypatch, number)
        neurofetch.get(URL, root, shard=(number, count), progress="none", **how)


def test_tasks_of_a_run_do_not_list_again(s3, listed, monkeypatch):
    before = lists(s3)
    assert before > 0
    assert read_runs(listed / ".neurofetch") == []  # a plan is no task
    fetched(listed, monkeypatch)
    assert lists(s3) == before
    assert on_disk(listed) == ALL
    (run,) = read_runs(listed / ".neurofetch")
    assert (len(run.tasks), run.files_done) == (3, 20)


def test_what_came_there_since_is_in_no_part_and_what_went_fails(s3, listed, monkeypatch):
    gone = "ds000777/sub-01/anat/sub-01_T1w.nii.gz"
    s3.put("ds000777/sub-21/anat/sub-21_T1w.nii.gz", S3Object(b"new"))
    s3.delete(gone)
    failed = []
    for number in range(3):
        as_task(monkeypatch, number)
        try:
            neurofetch.get(URL, listed, shard=(number, 3), progress="none")
        except neurofetch.IncompleteError as error:
            failed += [outcome.key for outcome in error.report.failures]
    assert failed == [gone]
    assert on_disk(listed) == ALL - {gone.removeprefix("ds000777/")}


def test_an_object_that_changed_since_comes_as_it_is_now(s3, listed, monkeypatch):
    key = "ds000777/sub-01/anat/sub-01_T1w.nii.gz"
    s3.put(key, S3Object(b"another content"))
    fetched(listed, monkeypatch)
    assert (listed / key.removeprefix("ds000777/")).read_bytes() == b"another content"


@pytest.mark.parametrize("damage", ["cut", "other", "empty", "gone"])
def test_a_damaged_listing_is_made_again(s3, listed, monkeypatch, damage):
    before = lists(s3)
    (kept,) = (listed / ".neurofetch/runs/r/listings").iterdir()
    content = kept.read_bytes()
    bad = {"cut": content[:-9], "other": b"no gzip at all", "empty": b""}
    if damage == "gone":
        kept.unlink()
    else:
        kept.write_bytes(bad[damage])
    fetched(listed, monkeypatch)
    assert lists(s3) > before
    assert on_disk(listed) == ALL


@pytest.mark.parametrize("where", ["runs", "runs/r", "runs/r/listings"])
def test_a_link_in_its_place_is_not_followed(s3, listed, monkeypatch, tmp_path, where):
    place = listed / ".neurofetch" / where
    outside = tmp_path / "outside"
    place.rename(outside)
    place.symlink_to(outside)
    names = sorted(path.name for path in outside.rglob("*"))
    before = lists(s3)
    fetched(listed, monkeypatch)
    assert on_disk(listed) == ALL
    assert lists(s3) > before
    assert sorted(path.name for path in outside.rglob("*")) == names


def test_another_request_of_the_run_asks_what_it_needs(s3, listed, monkeypatch):
    """As a script whose tasks do not ask for the same: nothing is missed."""
    s3.put("other/sub-01/anat/sub-01_T1w.nii.gz", S3Object(b"o"))
    as_task(monkeypatch, 0)
    report = neurofetch.get("s3://openneuro.org/other", listed.parent / "b", progress="none")
    assert [outcome.path for outcome in report] == ["sub-01/anat/sub-01_T1w.nii.gz"]


def test_a_disk_that_takes_no_listing_costs_a_listing(s3, tmp_path, monkeypatch):
    root = tmp_path / "data"
    (root / ".neurofetch" / "runs").mkdir(parents=True)
    (root / ".neurofetch" / "runs" / "r").write_text("a file in the place of a folder")
    as_task(monkeypatch, "plan")
    assert len(neurofetch.plan(URL, root)) == 20
    fetched(root, monkeypatch)
    assert on_disk(root) == ALL


def test_a_dry_run_of_no_run_writes_nothing(s3, tmp_path, monkeypatch):
    monkeypatch.delenv("NEUROFETCH_RUN", raising=False)
    neurofetch.plan(URL, tmp_path / "data")
    assert not (tmp_path / "data").exists()
