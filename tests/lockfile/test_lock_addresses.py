"""The addresses in a lock of a version at OpenNeuro: each answers with the bytes of its file."""

import hashlib
import shutil
import urllib.request

import pytest

import neurofetch
from neurofetch.errors import SelectionWarning
from testbed.openneuro import RECORDED, OpenNeuro, odd_tree, small_tree, token_of

WHAT = "openneuro:ds000700@1.0.0"


@pytest.fixture
def site(monkeypatch):
    with OpenNeuro() as site:
        monkeypatch.setenv("OPENNEURO_URL", site.url)
        yield site


def get(what, root, **more):
    neurofetch.get(what, root, progress="none", **more)
    return root


def locked(root):
    """Return the lock of a directory, whose addresses were all asked."""
    lock = neurofetch.lock(root)
    assert len({one.url for one in lock}) > 1
    for one in lock:
        with urllib.request.urlopen(one.url) as answer:
            found = hashlib.sha256(answer.read()).hexdigest()
        assert f"sha256:{found}" in one.hashes, one.path
    return lock


@pytest.mark.parametrize(("accession", "tag"), RECORDED)
def test_every_address_in_the_lock_of_a_recorded_snapshot_answers(site, tmp_path, accession, tag):
    site.add_recorded(accession, tag)
    lock = locked(get(f"openneuro:{accession}@{tag}", tmp_path / "data"))
    assert len(lock) == len(site.datasets[accession].snapshots[tag].files)


@pytest.mark.parametrize("tree", [small_tree(subjects=4), odd_tree()], ids=["equal", "odd"])
@pytest.mark.parametrize("exported", [True, False], ids=["bucket", "streamed"])
def test_files_of_equal_content_are_locked_at_the_address_that_has_them(
    site, tmp_path, tree, exported
):
    site.add("ds000700", {"1.0.0": tree}, export_git=exported)
    locked(get(WHAT, tmp_path / "data"))


def in_two_runs(root):
    get(f"{WHAT}/sub-03", root)
    return get(WHAT, root)


def left_by_another_tool(root):
    for path, content in small_tree(subjects=4).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return get(WHAT, root)


def verified_without_receipts(root):
    get(WHAT, root)
    shutil.rmtree(root / ".neurofetch/receipts")
    assert neurofetch.verify(root, read_all=True, remote=True).ok
    return root


def of_a_colleague(root):
    other = get(WHAT, root.with_name("colleague"))
    return get(WHAT, root, mirrors=[other])


def from_the_bucket_before(root):
    get("s3://openneuro.org/ds000700", root)
    assert not neurofetch.get(WHAT, root, progress="none").bytes_moved
    return root


def brought_by_a_lock(root):
    lock = neurofetch.lock(get(WHAT, root.with_name("first")))
    assert lock.get(root, progress="none").ok
    (root / ".neurofetch/hashes.jsonl").unlink()
    return root


@pytest.mark.parametrize(
    "made",
    [
        in_two_runs,
        left_by_another_tool,
        verified_without_receipts,
        of_a_colleague,
        from_the_bucket_before,
        brought_by_a_lock,
    ],
)
@pytest.mark.parametrize("exported", [True, False], ids=["bucket", "streamed"])
def test_however_a_file_came_its_address_is_locked(site, tmp_path, monkeypatch, made, exported):
    if made is from_the_bucket_before:
        monkeypatch.setenv("AWS_ENDPOINT_URL", site.bucket.url)
        exported = True  # what is not in the bucket does not come from there
    site.add("ds000700", {"1.0.0": small_tree(subjects=4)}, export_git=exported)
    locked(made(tmp_path / "data"))


def test_the_first_file_of_a_listing_may_lie_at_the_address_of_another_of_its_name(site, tmp_path):
    tree = small_tree(subjects=2) | {".bidsignore": b"same", "sub-02/.bidsignore": b"same"}
    site.add("ds000700", {"1.0.0": tree})
    lock = locked(get(WHAT, tmp_path / "data"))
    assert "/sub-02/.bidsignore?" in next(one.url for one in lock if one.path == ".bidsignore")


def test_a_receipt_has_an_address_only_where_its_key_does_not_tell_it(site, tmp_path):
    site.add("ds000700", {"1.0.0": small_tree(subjects=4)})
    root = get(WHAT, tmp_path / "data")
    (journal,) = (root / ".neurofetch/receipts").glob("*.jsonl")
    lines = journal.read_text().splitlines()
    assert (len(lines), sum('"url"' in line for line in lines)) == (22, 6)


def test_what_the_site_streams_is_brought_by_a_lock_few_at_a_time_and_whole(site, tmp_path):
    site.add("ds000700", {"1.0.0": small_tree(subjects=12)}, export_git=False)
    lock = neurofetch.lock(get(WHAT, tmp_path / "data"))
    site.clear_log()
    site.latency = 0.05
    assert lock.get(tmp_path / "again", progress="none").ok
    asked = site.requests()
    assert {(one.method, one.headers.get("range")) for one in asked} == {("GET", None)}
    assert site.peak() <= 4


def test_no_address_of_data_that_are_not_public_is_locked_with_its_signature(
    site, tmp_path, monkeypatch
):
    token = token_of()
    site.add("ds000700", {"1.0.0": small_tree(subjects=3)}, public=False)
    site.tokens[token] = None
    monkeypatch.setenv("OPENNEURO_API_KEY", token)
    root = get(WHAT, tmp_path / "data")
    lock = neurofetch.lock(root)
    assert all("versionId=" in one.url and "Signature" not in one.url for one in lock)
    state = b"".join(one.read_bytes() for one in (root / ".neurofetch").rglob("*.jsonl"))
    assert b"Signature" not in state
    assert token.encode() not in state


def test_files_of_another_version_are_told_where_an_update_left_them(site, tmp_path):
    old, new = small_tree(subjects=3), small_tree(subjects=2, seed=1)
    site.add("ds000700", {"1.0.0": old, "1.1.0": new})
    root = get(WHAT, tmp_path / "data")
    assert not neurofetch.lock(root).notes
    get("openneuro:ds000700@1.1.0/sub-01", root, update=True)
    with pytest.warns(
        SelectionWarning, match=r"known to be of version 1\.1\.0.*@1\.1\.0"
    ) as caught:
        lock = neurofetch.lock(root)
    said = [str(one.message) for one in caught if "known to be of" in str(one.message)]
    assert "8 files" in said[0]  # all of sub-02, and what only the old version has
    assert lock.head.version == "1.1.0"
    get("openneuro:ds000700@1.1.0", root)
    with pytest.warns(SelectionWarning, match=r"of version 1\.1\.0.*: 4 files \(sub-03/"):
        neurofetch.lock(root)
    shutil.rmtree(root / "sub-03")
    with pytest.warns(SelectionWarning, match="not here any more"):
        assert len(neurofetch.lock(root).notes) == 1
