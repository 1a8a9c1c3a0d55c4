"""What a workflow is told of files on servers, and how they come."""

import hashlib

import pytest

from neurofetch.errors import (
    MissingBucketError,
    NeurofetchError,
    UnreachableError,
    UnsafeNameError,
    UsageError,
)
from neurofetch.model import IncompleteError
from neurofetch.workflow.files import RemoteFiles
from neurofetch.workflow.query import parsed, spelled, suffix_of
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Guard, S3Server
from tests.credential_world import static
from tests.lockfile_world import FILES

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
CTF = {f"sub-03/meg/sub-03_task-x_meg.ds/{name}": name.encode() * 9 for name in ("a.meg4", "b/c")}
OBJECTS = {f"ds/{path}": content for path, content in (FILES | CTF).items()} | {"top.txt": b"top"}


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"b-1": OBJECTS}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def site(monkeypatch):
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": small_tree(), "1.1.0": small_tree(seed=1)})
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        yield server


def at(key):
    return parsed(f"neurofetch://s3/b-1/{key}")


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "one_way"),
    [
        ("neurofetch://openneuro/ds000001@1.0.0/a/b", "neurofetch://openneuro/ds000001@1.0.0/a/b"),
        ("openneuro:ds000001@1.0.0/a/b", "neurofetch://openneuro/ds000001@1.0.0/a/b"),
        ("neurofetch://openneuro:ds000001@1.0.0/a", "neurofetch://openneuro/ds000001@1.0.0/a"),
        ("neurofetch://openneuro/ds000001/a/", "neurofetch://openneuro/ds000001/a"),
        ("neurofetch://s3/b-1/ds/a", "neurofetch://s3/b-1/ds/a"),
        ("neurofetch://s3://b-1/ds/a", "neurofetch://s3/b-1/ds/a"),
        ("neurofetch://s3/b-1/{sub}/x y%20#?ü", "neurofetch://s3/b-1/{sub}/x y%20#?ü"),
        ("openneuro:ds000001@1.0.0/{a,[^/]+}", "neurofetch://openneuro/ds000001@1.0.0/{a,[^/]+}"),
    ],
)
def test_each_way_to_write_a_query_comes_to_one(query, one_way):
    assert spelled(parsed(query)) == one_way
    assert spelled(parsed(one_way)) == one_way
    assert suffix_of(parsed(query)) == one_way.removeprefix("neurofetch://")


@pytest.mark.parametrize(
    "query",
    [
        "", "a", "/data/a", "s3://b-1/a", "https://h/a", "neurofetch://", "neurofetch://a/b",
        "neurofetch://s3", "neurofetch://s3/", "neurofetch://s3/b-1", "neurofetch://s3/b-1/",
        "neurofetch://s3/B!/x", "neurofetch://s3/{bucket}/x", "neurofetch://openneuro/{ds}/x",
        "neurofetch://openneuro/ds000001@1.0.0", "openneuro:", "openneuro:what/x",
        "neurofetch://s3/b-1/a/../b", "neurofetch://s3/b-1/../../etc/passwd",
        "neurofetch://s3/b-1/a//b", "neurofetch://s3/b-1/./a", "neurofetch://https://h/a",
    ],
)  # fmt: skip
def test_what_names_no_file_is_refused_with_what_to_write(query):
    with pytest.raises(UsageError) as caught:
        parsed(query)
    assert "." in str(caught.value)


# -- what is told ----------------------------------------------------------------------------------


def test_one_listing_tells_of_all_files_in_a_folder(s3):
    files = RemoteFiles()
    for name in ("sub-01_task-rest_bold.nii.gz", "sub-01_task-rest_events.tsv"):
        path = f"sub-01/func/{name}"
        known = files.look(at(f"ds/{path}"))
        assert (known.size, known.folder) == (len(FILES[path]), False)
        assert known.mtime > 1e9
        assert known.checksum is None  # an ETag is a claim
    assert [one.method for one in s3.requests()] == ["LIST"]
    assert files.look(at("ds/sub-01/func/other")) is None
    assert files.look(at("ds/sub-01/fun")) is None
    assert files.look(at("none/at/all")) is None


def test_a_folder_is_told_with_all_that_is_in_it(s3):
    known = RemoteFiles().look(at("ds/sub-03/meg/sub-03_task-x_meg.ds"))
    assert known.folder
    assert known.size == sum(map(len, CTF.values()))
    assert known.checksum is None


def test_what_stands_for_a_folder_in_a_bucket_is_no_file_and_tells_nothing_of_it(s3):
    """The class: consoles of S3 make them, and a workflow would take them for inputs."""
    for key in ("ds/", "ds/sub-01/", "ds/sub-01/anat/", "ds/empty/"):
        s3.put(key, b"")
    files = RemoteFiles()
    assert set(files.beside(at("ds/README"))) == {key for key in OBJECTS if key.count("/") == 1}
    assert {one.key for one in files.below(at("ds/"))} == {key for key in OBJECTS if "/" in key}
    subject = {key for key in OBJECTS if key.startswith("ds/sub-01/")}
    assert {one.key for one in files.below(at("ds/sub-01"))} == subject
    assert files.look(at("ds/empty")) is None
    assert files.look(at("ds")).folder


def test_a_version_at_openneuro_never_changes_and_its_hashes_are_told_where_others_know_them(site):
    files = RemoteFiles()
    told = [files.look(parsed(f"openneuro:ds000001@1.0.0/{path}")) for path in sorted(small_tree())]
    assert {known.mtime for known in told} == {0.0}
    for known, content in zip(
        told, [small_tree()[path] for path in sorted(small_tree())], strict=True
    ):
        assert known.size == len(content)
        if known.checksum is not None:
            algorithm, _, value = known.checksum.partition(":")
            assert hashlib.new(algorithm, content).hexdigest() == value
    assert any(known.checksum for known in told)


def test_a_bucket_that_is_not_to_be_listed_still_gives_out_its_files(s3, tmp_path):
    s3.fault(method="LIST", status=403, times=None)
    files = RemoteFiles()
    assert files.look(at("top.txt")).size == 3
    assert files.look(at("none.txt")) is None
    assert "LIST" in {one.method for one in s3.requests()}
    files.bring(at("top.txt"), tmp_path)
    assert (tmp_path / "top.txt").read_bytes() == b"top"


# -- what comes ------------------------------------------------------------------------------------


def test_files_and_folders_come_under_their_own_names_verified(s3, tmp_path):
    files = RemoteFiles()
    for key in (f"ds/{T1W}", "ds/README", "top.txt", "ds/sub-03/meg/sub-03_task-x_meg.ds"):
        files.bring(at(key), tmp_path)
    for key in (f"ds/{T1W}", "ds/README", "top.txt", *(f"ds/{path}" for path in CTF)):
        assert (tmp_path / key).read_bytes() == OBJECTS[key]
    before = len(s3.requests())
    files.bring(at(f"ds/{T1W}"), tmp_path)
    assert not [one for one in s3.requests()[before:] if "T1w" in str(one)]


@pytest.mark.parametrize(
    "key",
    [".neurofetch/source.json", ".laion_fmri/receipts/a.jsonl", ".neurofetch/receipts/m.jsonl",
     ".Neurofetch/source.json", "ds/.neurofetch/source.json"],
)  # fmt: skip
def test_no_object_takes_the_place_of_what_is_written_down(s3, tmp_path, key):
    """The class: at the top of a bucket, too."""
    s3.put(key, b"{}")
    files = RemoteFiles()
    with pytest.raises(UnsafeNameError, match="cannot be kept under its name"):
        files.bring(at(key), tmp_path)
    files.bring(at("top.txt"), tmp_path)
    assert (tmp_path / "top.txt").read_bytes() == b"top"


def test_two_versions_lie_side_by_side(site, tmp_path):
    files = RemoteFiles()
    for tag, seed in (("1.0.0", 0), ("1.1.0", 1)):
        address = parsed(f"openneuro:ds000001@{tag}/{T1W}")
        files.bring(address, tmp_path / tag)
        tree = small_tree(seed=seed) if seed else small_tree()
        assert (tmp_path / tag / T1W).read_bytes() == tree[T1W]


def test_what_cannot_be_had_is_told_in_plain_words(s3, site, tmp_path, monkeypatch):
    files = RemoteFiles(patience=0)
    with pytest.raises(NeurofetchError, match="there is no s3://b-1/ds/none"):
        files.bring(at("ds/none"), tmp_path)
    with pytest.raises(MissingBucketError):
        files.look(parsed("neurofetch://s3/no-such-bucket/x"))
    with pytest.raises(NeurofetchError, match="ds999999"):
        files.look(parsed("openneuro:ds999999@1.0.0/README"))
    s3.fault(key=f"ds/{T1W}", method="GET", status=404)
    with pytest.raises(IncompleteError, match="T1w"):
        files.bring(at(f"ds/{T1W}"), tmp_path)
    assert not (tmp_path / "ds" / T1W).exists()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        RemoteFiles(patience=0).look(at("ds/README"))


@pytest.mark.parametrize(
    "given",
    [
        {"limit_rate": 0}, {"patience": -1}, {"region": "a b"}, {"endpoint": "ftp://x"},
        {"profile": ""}, {"signed": "yes"}, {"requester_pays": True},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_before_any_request(s3, given):
    with pytest.raises(UsageError):
        RemoteFiles(**given)
    assert s3.requests() == []


def test_a_profile_signs_and_its_keys_are_shown_nowhere(tmp_path, monkeypatch):
    key, secret = "AKIAEXAMPLEEXAMPLE13", "another/secret+of+these+tests"
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "credentials").write_text(f"[lab]\n{static(key, secret)}")
    monkeypatch.setenv("HOME", str(home))
    with S3Server({"b-1": OBJECTS}, guard=Guard({key: secret})) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(NeurofetchError):
            RemoteFiles(patience=0).look(at(f"ds/{T1W}"))
        files = RemoteFiles(profile="lab")
        files.bring(at(f"ds/{T1W}"), tmp_path / "place")
        assert (tmp_path / "place/ds" / T1W).read_bytes() == FILES[T1W]
        with pytest.raises(UsageError, match="is for buckets"):
            files.look(parsed("openneuro:ds000001@1.0.0/README"))
    kept = b"".join(path.read_bytes() for path in (tmp_path / "place").rglob("*") if path.is_file())
    assert secret.encode() not in kept
    assert key.encode() not in kept
    assert secret not in repr(files.__dict__)
