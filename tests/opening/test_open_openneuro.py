"""Files of data sets at OpenNeuro, opened by accession: every byte is held against the listing."""

import pickle
import time

import pandas as pd
import pytest

import neurofetch
import neurofetch.opening.filesystem as filesystem
from neurofetch.errors import (
    FolderGivenError,
    MissingRemoteError,
    RefusedError,
    SelectionWarning,
    UsageError,
    VerificationError,
)
from neurofetch.opening import cached_path
from testbed.openneuro import OpenNeuro, odd_tree, small_tree, token_of
from tests.engine_world import noise
from tests.opening_world import BLOCK

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
DATASET = "openneuro:ds000001@1.0.0"


@pytest.fixture
def site(world, monkeypatch):
    with OpenNeuro() as server:
        monkeypatch.delenv("OPENNEURO_API_KEY", raising=False)
        monkeypatch.setenv("HOME", str(world.tmp))
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        yield server


def make(site, **how):
    made = odd_tree() | {"sub-01/meg/large.fif": noise(int(9.5 * BLOCK))}
    site.add("ds000001", {"1.0.0": made, "1.1.0": small_tree(subjects=3)}, **how)
    return made


@pytest.fixture
def tree(site):
    return make(site)


@pytest.mark.parametrize("cache_dir", [None, False], ids=["cache", "no cache"])
@pytest.mark.parametrize(
    "how",
    [{}, {"export_git": False}, {"backend": "SHA256E"}],
    ids=["exported", "streamed", "sha256"],
)
def test_every_file_of_a_data_set_opens_whoever_hands_it_out(world, site, how, cache_dir):
    tree = make(site, **how)
    opener = world.opener(cache_dir=cache_dir)
    for path, data in tree.items():
        with opener.open(f"{DATASET}/{path}") as file:
            assert file.read() == data, path
    assert len(site.requests("POST")) == 1
    assert site.heads() == 0


def test_only_what_is_read_comes(world, site, tree):
    with world.opener().open(f"{DATASET}/sub-01/meg/large.fif") as file:
        file.seek(5 * BLOCK)
        assert file.read(10) == tree["sub-01/meg/large.fif"][5 * BLOCK :][:10]
    assert [one.sent for one in site.bucket.requests("GET")] == [BLOCK]


def test_a_flipped_byte_is_caught_by_the_hash_of_the_listing(world, site, tree):
    site.bucket.fault(key="*large.fif", method="GET", times=1, flip=100)
    file = world.opener().open(f"{DATASET}/sub-01/meg/large.fif")
    with file, pytest.raises(VerificationError, match="differ"):
        file.read()
    path = world.opener().cached_path(f"{DATASET}/sub-01/meg/large.fif")
    assert path.read_bytes() == tree["sub-01/meg/large.fif"]


def test_a_small_file_that_the_site_streams_wrong_is_caught(world, site):
    tree = make(site, export_git=False)
    site.fault(key="*/objects/*", method="GET", times=1, flip=3)
    file = world.opener().open(f"{DATASET}/participants.tsv")
    with file, pytest.raises(VerificationError, match="differ"):
        file.read()
    with world.opener().open(f"{DATASET}/participants.tsv") as file:
        assert file.read() == tree["participants.tsv"]


def test_versions_are_told_apart_and_the_newest_is_the_default(world, site, tree):
    newest = small_tree(subjects=3)["participants.tsv"]
    with neurofetch.open("openneuro:ds000001/participants.tsv") as file:
        assert file.read() == newest
    with neurofetch.open(f"{DATASET}/participants.tsv") as file:
        assert file.read() == tree["participants.tsv"] != newest
    with neurofetch.open(
        f"{site.url}/datasets/ds000001/versions/1.0.0/file-display/README"
    ) as file:
        assert file.read() == tree["README"]


def test_equal_content_is_fetched_once_for_two_names_of_one_version(world, site, tree):
    fs = filesystem.NeurofetchFileSystem(skip_instance_cache=True)
    assert fs.cat_file(f"{DATASET}/{T1W}") == tree[T1W]
    before = len(site.bucket.requests("GET"))
    assert fs.cat_file(f"{DATASET}/{T1W}", 5, 9) == tree[T1W][5:9]
    assert len(site.bucket.requests("GET")) == before


def test_a_copy_in_another_process_knows_the_hash_of_the_listing(world, site, tree):
    url = f"{DATASET}/sub-01/meg/large.fif"
    with world.opener().open(url) as file:
        file.read(10)
        copy = pickle.loads(pickle.dumps(file))
    asked = len(site.bucket.requests())
    copy._reader._reach = world.opener().reach
    assert copy.read(10) == tree["sub-01/meg/large.fif"][10:20]
    assert len(site.bucket.requests()) == asked  # what is in the cache serves the copy too
    site.bucket.fault(key="*large.fif", method="GET", flip=3 * BLOCK)
    with copy, pytest.raises(VerificationError, match="differ"):
        copy.read()


def test_the_file_system_lists_and_globs(world, site, tree):
    fs = filesystem.NeurofetchFileSystem(skip_instance_cache=True)
    assert f"{DATASET}/sub-01" in fs.ls(DATASET, detail=False)
    assert sorted(fs.find(DATASET)) == sorted(f"{DATASET}/{path}" for path in tree)
    assert fs.glob(f"neurofetch://{DATASET}/sub-*/anat/*.nii.gz") == [f"{DATASET}/{T1W}"]
    assert fs.info(f"{DATASET}/{T1W}")["size"] == len(tree[T1W])
    assert (fs.isdir(f"{DATASET}/sub-01"), fs.exists(f"{DATASET}/none")) == (True, False)
    table = pd.read_csv(f"neurofetch://{DATASET}/participants.tsv", sep="\t")
    assert list(table["participant_id"]) == ["sub-01"]


def test_what_is_in_a_data_directory_is_read_there(world, site, tree):
    with pytest.warns(SelectionWarning):
        neurofetch.get(DATASET, world.tmp / "data", progress="none")
    site.bucket.clear_log()
    opener = world.opener(data_dir=world.tmp / "data")
    with opener.open(f"{DATASET}/{T1W}") as file:
        assert file.read() == tree[T1W]
    assert opener.cached_path(f"{DATASET}/{T1W}") == world.tmp / "data" / T1W
    assert site.bucket.requests("GET") == []


def test_offline_what_was_opened_once_is_read(world, site, tree):
    path = cached_path(f"{DATASET}/{T1W}")
    site.clear_log()
    assert world.opener(offline=True).cached_path(f"{DATASET}/{T1W}") == path
    assert site.requests() == []


BAD = {
    "openneuro:ds999999/README": (MissingRemoteError, "no data set ds999999"),
    "openneuro:ds000001@9.9.9/README": (MissingRemoteError, "no version '9.9.9'"),
    f"{DATASET}/none.txt": (MissingRemoteError, "there is no openneuro:ds000001@1.0.0/none.txt"),
    f"{DATASET}/sub-01": (FolderGivenError, "is a folder"),
    DATASET: (FolderGivenError, "not a file"),
    "openneuro:nothing/README": (UsageError, "names no data set"),
    "openneuro:ds000001@/README": (UsageError, "names no data set|no version"),
}


@pytest.mark.parametrize("url", BAD)
def test_what_is_not_there_is_told_as_python_users_expect(world, site, tree, url):
    kind, words = BAD[url]
    with pytest.raises(kind, match=words):
        neurofetch.open(url)


@pytest.mark.parametrize("expired", [False, True], ids=["in time", "expired"])
def test_a_data_set_that_is_not_public_opens_with_a_token_and_the_token_stays_at_the_site(
    world, site, monkeypatch, expired
):
    pytest.importorskip("neurofetch.sources.openneuro_token")
    now = [time.time()]
    site.bucket.clock = lambda: now[0]
    tree = make(site, public=False)
    with pytest.raises((RefusedError, MissingRemoteError)):
        world.opener().open(f"{DATASET}/{T1W}")
    token = token_of()
    site.tokens[token] = None
    monkeypatch.setenv("OPENNEURO_API_KEY", token)
    with world.opener().open(f"{DATASET}/sub-01/meg/large.fif") as file:
        assert file.read(10) == tree["sub-01/meg/large.fif"][:10]
        now[0] += 7 * 86400 * expired
        file.seek(5 * BLOCK)
        assert file.read(10) == tree["sub-01/meg/large.fif"][5 * BLOCK :][:10]
        assert token not in repr(pickle.dumps(file))
    assert all("authorization" not in one.headers for one in site.bucket.requests())
    kept = "".join(f"{one}{one.read_bytes()!r}" for one in world.cache.rglob("*") if one.is_file())
    assert token not in kept
    assert "Signature=" not in kept
