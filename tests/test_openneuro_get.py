"""``neurofetch get ds000246``: what a user of OpenNeuro gets, on good days and on bad ones."""

import json
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

import neurofetch
from neurofetch.console import ExitCode
from neurofetch.engine import plan_text
from neurofetch.errors import (
    DestinationError,
    NothingMatchedError,
    OtherDatasetError,
    RefusedError,
    SelectionWarning,
    UnknownValueError,
    UsageError,
)
from neurofetch.model import Action, IncompleteError, Status, VerificationLevel
from neurofetch.store import versions
from testbed.openneuro import OpenNeuro, odd_tree, small_tree
from testbed.s3 import Generated
from tests.faces import Shell, on_disk

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
LARGE = "sub-01/meg/sub-01_task-rest_meg.fif"

pytestmark = pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")


@pytest.fixture
def site(monkeypatch):
    with OpenNeuro() as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "OPENNEURO_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        yield server


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current directory, and empty."""
    where = tmp_path / "here"
    where.mkdir()
    monkeypatch.chdir(where)
    return where


def add(site, tree=None, accession="ds000001", tag="1.0.0", **how):
    tree = small_tree() if tree is None else tree
    site.add(accession, {tag: tree}, **how)
    return tree


def content(root):
    return {path: (root / path).read_bytes() for path in on_disk(root)}


def asked(site):
    """Return how many requests there were, and forget them: queries, streamed files, objects."""
    numbers = (
        len(site.requests("POST")),
        len(site.requests("GET")),
        len(site.bucket.requests("GET")),
    )
    assert site.heads() == 0
    site.clear_log()
    site.bucket.clear_log()
    return numbers


# -- what works --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        "ds000001",
        "DS000001",
        "ds000001@1.0.0",
        "openneuro:ds000001",
        "openneuro:ds000001@1.0.0",
        "https://openneuro.org/datasets/ds000001/versions/1.0.0",
        "https://openneuro.org/datasets/ds000001",
        "doi:10.18112/openneuro.ds000001.v1.0.0",
        "10.18112/openneuro.ds000001.v1.0.0",
        "https://doi.org/10.18112/openneuro.ds000001.v1.0.0",
        "https://github.com/OpenNeuroDatasets/ds000001",
        "{site}/datasets/ds000001/versions/1.0.0",
    ],
)
def test_whatever_names_a_data_set_brings_it_into_a_folder_of_its_name(site, here, what):
    tree = add(site)
    report = neurofetch.get(what.format(site=site.url))
    assert content(here / "ds000001") == tree
    assert {outcome.verification for outcome in report} == {VerificationLevel.CHECKSUM}
    assert report.root == here / "ds000001"


@pytest.mark.parametrize(
    "what",
    [
        "openneuro:ds000001@1.0.0/sub-01/anat",
        "ds000001/sub-01/anat/",
        "https://openneuro.org/datasets/ds000001/versions/1.0.0/file-display/sub-01:anat",
    ],
)
def test_a_part_of_it_comes_with_what_describes_it(site, here, what):
    add(site)
    neurofetch.get(what)
    paths = on_disk(here / "ds000001")
    assert T1W in paths
    assert "dataset_description.json" in paths
    assert not any("sub-02" in path or "func" in path for path in paths)


def test_filters_work_as_for_any_data_set(site, here):
    add(site)
    plan = neurofetch.plan("ds000001", subject="02", suffix="bold")
    chosen = {step.want.path for step in plan.steps}
    assert "sub-02/func/sub-02_task-rest_bold.nii.gz" in chosen
    assert "task-rest_bold.json" in chosen
    assert not any("sub-01" in path or "T1w" in path for path in chosen)
    assert not (here / "ds000001").exists()


def test_a_derivative_among_the_files_stays_below_the_root_of_the_data_set(site, here):
    add(site, odd_tree())
    neurofetch.get("ds000001/derivatives/fmriprep")
    assert "derivatives/fmriprep/dataset_description.json" in on_disk(here / "ds000001")


def test_a_second_run_is_one_request(site, here):
    add(site)
    neurofetch.get("ds000001")
    asked(site)
    for how in ({}, {"subject": "01"}, {"suffix": "events"}):
        report = neurofetch.get("ds000001", **how)
        assert not report.of(Status.FETCHED)
        assert asked(site) == (1, 0, 0), how


def test_names_of_every_kind_come_to_the_byte(site, here):
    tree = add(site, odd_tree())
    neurofetch.get("ds000001")
    assert content(here / "ds000001") == tree


@pytest.mark.parametrize("backend", ["MD5E", "SHA256E"])
@pytest.mark.parametrize("exported", [True, False], ids=["exported", "streamed"])
def test_every_byte_is_checked_by_the_listings_hash(site, here, backend, exported):
    tree = add(site, odd_tree(), backend=backend, export_git=exported)
    report = neurofetch.get("ds000001")
    assert content(here / "ds000001") == tree
    annexed = backend.removesuffix("E").lower()
    kinds = {outcome.digest.partition(":")[0] for outcome in report}
    assert kinds == {annexed, "gitblob"}
    audit = neurofetch.verify("ds000001", read_all=True, remote=True)
    assert audit.ok
    assert audit.verified
    assert site.heads() == 0


@pytest.mark.parametrize("accession", ["ds000001", "ds000246", "ds004840"])
def test_recorded_snapshots_come_whole(site, here, accession):
    tag = {"ds000001": "1.0.0"}.get(accession, "1.0.1")
    dataset = site.add_recorded(accession, tag)
    neurofetch.get(f"openneuro:{accession}@{tag}")
    files = dataset.snapshots[tag].files
    assert content(here / accession) == {
        name: file.blob.read(0, file.blob.size) for name, file in files.items()
    }


def test_git_says_the_same_of_what_came(site, here):
    add(site, odd_tree())
    report = neurofetch.get("ds000001")
    told = {o.path: o.digest for o in report if o.digest.startswith("gitblob:")}
    assert len(told) > 5
    for path, digest in told.items():
        said = subprocess.run(
            ["git", "hash-object", "--no-filters", f"ds000001/{path}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == digest.removeprefix("gitblob:"), path


# -- the command -------------------------------------------------------------------------------


@pytest.fixture
def shell(site, tmp_path):
    made = Shell(tmp_path, "")
    made.data.rmdir()
    made.env = {**made.env, "OPENNEURO_URL": site.url}
    return made


def test_the_command_names_the_folder_and_the_version(site, shell, tmp_path):
    add(site)
    done = shell("neurofetch get openneuro:ds000001@1.0.0 --subject 01 --dry-run --json")
    assert done.code == ExitCode.OK, done.err
    plan = json.loads(done.out)
    assert plan["root"].endswith("ds000001")
    assert {file["checksum"]["algorithm"] for file in plan["files"]} == {"md5", "gitblob"}
    done = shell("neurofetch get ds000001 --subject 01")
    assert done.code == ExitCode.OK, done.err
    assert "version 1.0.0, the newest" in done.out + done.err
    done = shell("neurofetch verify ds000001 --hash --remote")
    assert done.code == ExitCode.OK, done.err + done.out


def test_a_bucket_needs_a_data_directory(shell):
    done = shell("neurofetch get s3://openneuro.org/ds000001")
    assert done.code == ExitCode.USAGE
    assert "--data-dir" in done.err


@pytest.mark.parametrize(
    "what",
    ["ds999999", "ds000001@9.9.9", "openneuro:x", "doi:10.5281/zenodo.5", "ds000001/nothing"],
)
def test_what_does_not_exist_fails_before_any_byte_moves(site, shell, tmp_path, what):
    add(site)
    done = shell(f"neurofetch get {what}")
    assert done.code not in (0, 1, 70)
    assert "Traceback" not in done.err
    assert not (tmp_path / "ds000001").exists()
    assert not site.bucket.requests()


def test_an_unknown_part_of_a_data_set_names_what_there_is(site, here):
    add(site)
    with pytest.raises(NothingMatchedError, match=r"openneuro:ds000001/sub-1.*sub-01"):
        neurofetch.get("ds000001/sub-1")


def test_notes_are_warned_of_in_python(site, here):
    add(site)
    site.deprecate("ds000001", "1.0.0", "Wrong events.")
    with pytest.warns(SelectionWarning, match=r"deprecated .*Wrong events"):
        neurofetch.plan("ds000001")


# -- equal content -----------------------------------------------------------------------------


def twins(count=6, size=5000):
    same = b"s" * size
    return {**small_tree(), **{f"sub-{n:02}/eeg/sub-{n:02}_eeg.edf": same for n in range(1, count)}}


def test_files_of_equal_content_come_once(site, here):
    tree = add(site, twins())
    plan = neurofetch.plan("ds000001")
    asked(site)
    report = neurofetch.get("ds000001")
    assert content(here / "ds000001") == tree
    assert asked(site)[2] == len({*tree.values()})
    assert report.bytes_moved == plan.bytes_to_fetch == sum(map(len, {*tree.values()}))
    copies = [outcome for outcome in report if "same content" in outcome.reason]
    assert len(copies) == len(tree) - len({*tree.values()})
    assert all(outcome.verification is VerificationLevel.CHECKSUM for outcome in copies)


def test_content_that_is_here_already_does_not_come_again(site, here):
    tree = add(site, twins())
    neurofetch.get("ds000001", subject="01")
    asked(site)
    plan = neurofetch.plan("ds000001", subject="04", suffix="eeg")
    steps = {step.want.path: step for step in plan.steps}
    assert steps["sub-04/eeg/sub-04_eeg.edf"].copy_of == "sub-01/eeg/sub-01_eeg.edf"
    assert plan.bytes_to_fetch == 0
    asked(site)
    neurofetch.get("ds000001", subject="04", suffix="eeg")
    assert asked(site) == (1, 0, 0)
    assert (here / "ds000001/sub-04/eeg/sub-04_eeg.edf").read_bytes() == tree[
        "sub-01/eeg/sub-01_eeg.edf"
    ]


def test_a_copy_is_no_link_to_the_other(site, here):
    add(site, twins())
    neurofetch.get("ds000001")
    one, other = (here / f"ds000001/sub-0{n}/eeg/sub-0{n}_eeg.edf" for n in (1, 2))
    assert not other.is_symlink()
    assert one.stat().st_ino != other.stat().st_ino


def test_what_was_damaged_here_is_not_copied(site, here):
    tree = add(site, twins())
    neurofetch.get("ds000001", subject="01")
    one = here / "ds000001/sub-01/eeg/sub-01_eeg.edf"
    info = one.stat()
    one.write_bytes(b"x" * info.st_size)
    os.utime(one, ns=(info.st_atime_ns, info.st_mtime_ns))  # nothing tells of it but its bytes
    asked(site)
    neurofetch.get("ds000001", subject="02", suffix="eeg")
    assert (here / "ds000001/sub-02/eeg/sub-02_eeg.edf").read_bytes() == tree[
        "sub-02/eeg/sub-02_eeg.edf"
    ]
    assert asked(site)[2] == 1


def test_where_the_first_of_them_cannot_be_had_the_others_are_tried(site, here):
    tree = add(site, twins())
    site.bucket.fault(key="*_eeg.edf", method="GET", times=1, status=403)
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get("ds000001")
    assert len(caught.value.report.failures) == 1
    here_now = content(here / "ds000001")
    assert len(here_now) == len(tree) - 1
    assert all(tree[path] == found for path, found in here_now.items())


def test_equal_content_that_nobody_has_fails_each_of_its_files_and_ends(site, here):
    tree = add(site, twins())
    site.bucket.fault(key="*_eeg.edf", method="GET", times=None, status=404)
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get("ds000001")
    assert len(caught.value.report.failures) == 5
    assert len(content(here / "ds000001")) == len(tree) - 5


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_shards_of_a_plan_fetch_equal_content_once(site, here, count):
    tree = add(site, twins(9))
    asked(site)
    for index in range(count):
        neurofetch.get("ds000001", shard=(index, count))
    assert content(here / "ds000001") == tree
    assert asked(site)[2] == len({*tree.values()})


def test_large_files_of_equal_content_come_once(site, here):
    blob = Generated(20 << 20, seed=5)
    names = [LARGE, LARGE.replace("sub-01", "sub-02")]
    add(site, {**small_tree(), names[0]: blob, names[1]: blob})
    report = neurofetch.get("ds000001", include="*.fif", bare=True)
    assert report.bytes_moved == blob.size
    one, other = (here / "ds000001" / name for name in names)
    assert one.read_bytes() == other.read_bytes()


def test_what_came_of_a_file_that_becomes_a_copy_is_swept_away(site, here):
    blob = Generated(20 << 20, seed=5)
    other = LARGE.replace("sub-01", "sub-02")
    add(site, {**small_tree(), LARGE: blob, other: blob})
    site.bucket.fault(key="*.fif", method="GET", times=1, status=403)  # a part of the first one
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get("ds000001", include="*.fif", bare=True)
    assert [outcome.path for outcome in caught.value.report.failures] == [LARGE]
    partial = here / "ds000001/.neurofetch/partial"
    assert os.listdir(partial)
    report = neurofetch.get("ds000001", include="*.fif", bare=True)
    assert report.bytes_moved == 0
    assert (here / "ds000001" / LARGE).read_bytes() == blob.read(0, blob.size)
    assert os.listdir(partial) == []


# -- the two servers ---------------------------------------------------------------------------


def test_the_site_streams_four_files_at_a_time(site, here):
    many = {f"sub-{n:03}/beh/sub-{n:03}_beh.tsv": f"onset\n{n}\n".encode() for n in range(40)}
    tree = add(site, {**small_tree(), **many}, export_git=False)
    site.fault(key="crn/datasets/*", times=None, delay=0.01)
    neurofetch.get("ds000001")
    assert content(here / "ds000001") == tree
    assert 2 <= site.peak("GET") <= 4


def test_large_files_come_in_parts_without_a_head(site, here):
    blob = Generated(30 << 20, seed=4)
    add(site, {**small_tree(), LARGE: blob})
    report = neurofetch.get("ds000001", include=LARGE, bare=True)
    assert (here / "ds000001" / LARGE).read_bytes() == blob.read(0, blob.size)
    assert len(site.bucket.requests("GET")) == 4
    assert report.outcomes[0].verification is VerificationLevel.CHECKSUM
    assert site.heads() == 0


def test_a_flipped_byte_is_found_whatever_the_etag_says(site, here):
    add(site, {**small_tree(), LARGE: Generated(20 << 20, seed=4)})
    site.bucket.fault(key=f"*{LARGE}", method="GET", times=None, flip=100)
    site.bucket.fault(key=f"*{T1W}", method="GET", times=None, flip=100)
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get("ds000001")
    assert {outcome.path for outcome in caught.value.report.failures} == {T1W, LARGE}
    assert not (here / "ds000001" / T1W).exists()
    assert site.heads() == 0


def test_a_byte_that_was_flipped_once_is_cured(site, here):
    tree = add(site)
    site.bucket.fault(key=f"*{T1W}", method="GET", times=1, flip=100)
    neurofetch.get("ds000001")
    assert content(here / "ds000001") == tree


def test_an_error_with_a_good_status_is_no_file(site, here):
    tree = add(site, export_git=False)
    said = b'{"error": "an unknown error occurred accessing this file"}'
    kind = {"Content-Type": "application/json"}
    site.fault(key="crn/datasets/*", times=2, status=200, body=said, headers=kind)
    neurofetch.get("ds000001")
    assert content(here / "ds000001") == tree


def test_what_is_not_public_says_how_to_get_in(site, here):
    add(site, public=False)
    with pytest.raises(RefusedError, match="keygen"):
        neurofetch.get("ds000001")
    assert not (here / "ds000001").exists()


def test_what_came_of_a_large_file_is_kept_for_the_next_run(site, here):
    blob = Generated(40 << 20, seed=4)
    add(site, {**small_tree(), LARGE: blob})
    site.bucket.fault(key=f"*{LARGE}", method="GET", skip=2, times=None, status=403)
    with pytest.raises(IncompleteError):
        neurofetch.get("ds000001", include=LARGE, bare=True)
    site.bucket.clear_faults()
    plan = neurofetch.plan("ds000001", include=LARGE, bare=True)
    assert plan.steps[0].action is Action.RESUME
    assert plan.steps[0].have >= 8 << 20
    report = neurofetch.get("ds000001", include=LARGE, bare=True)
    assert report.bytes_moved == blob.size - plan.steps[0].have
    assert (here / "ds000001" / LARGE).read_bytes() == blob.read(0, blob.size)
    assert site.heads() == 0


# -- what is here already ----------------------------------------------------------------------


def test_a_folder_that_another_tool_left_is_adopted_after_hashing(site, here):
    """As openneuro-py, aws or a browser leave it: the files, and nothing beside them."""
    tree = add(site, small_tree(doi="doi:10.18112/openneuro.ds000001.v1.0.0"))
    for path, bytes_ in tree.items():
        place = here / "ds000001" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bytes_)
    (here / "ds000001" / T1W).write_bytes(b"x" * 3000)  # of the right size
    plan = neurofetch.plan("ds000001")
    assert [step.want.path for step in plan.moving] == [T1W]
    report = neurofetch.get("ds000001")
    assert len(report.of(Status.FETCHED)) == 1
    assert content(here / "ds000001") == tree
    asked(site)
    began = time.process_time()
    assert not neurofetch.get("ds000001").of(Status.FETCHED)
    assert time.process_time() - began < 5
    assert asked(site) == (1, 0, 0)


def test_a_folder_that_datalad_left_is_adopted_through_its_links(site, here):
    tree = add(site)
    root = here / "ds000001"
    for number, (path, bytes_) in enumerate(tree.items()):
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not path.endswith(".gz"):
            place.write_bytes(bytes_)
            continue
        held = root / ".git/annex/objects" / f"{number}" / "key"
        held.parent.mkdir(parents=True)
        if number % 2:
            held.write_bytes(bytes_)
            held.chmod(0o444)
        place.symlink_to(os.path.relpath(held, place.parent))
    linked = {path for path in tree if (root / path).is_symlink() and (root / path).exists()}
    assert linked
    report = neurofetch.get("ds000001")
    fetched = {outcome.path for outcome in report.of(Status.FETCHED)}
    assert fetched.isdisjoint(linked)
    assert {path: (root / path).read_bytes() for path in tree} == tree
    assert all((root / path).is_symlink() for path in linked)


def test_another_data_set_is_told_before_any_server_is_asked(site, here):
    add(site)
    add(site, small_tree(seed=1), "ds000002")
    neurofetch.get("ds000001", "data")
    asked(site)
    with pytest.raises(OtherDatasetError, match="--mix"):
        neurofetch.get("ds000002", "data")
    assert asked(site) == (0, 0, 0)


def test_another_data_set_of_another_tool_is_told_by_its_doi(site, here):
    add(site)
    (here / "ds000001").mkdir()
    said = {"Name": "x", "DatasetDOI": "doi:10.18112/openneuro.ds000009.v1.0.0"}
    (here / "ds000001/dataset_description.json").write_text(json.dumps(said))
    with pytest.raises(OtherDatasetError, match="ds000009 of OpenNeuro"):
        neurofetch.get("ds000001")
    assert asked(site)[2] == 0
    assert on_disk(here / "ds000001") == {"dataset_description.json"}


def _link_to_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


@pytest.mark.parametrize(
    "made",
    [
        os.mkfifo,
        _link_to_pipe,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/dev"),
        lambda path: path.mkdir(),
    ],
    ids=["pipe", "link to pipe", "endless", "link to folder", "folder"],
)
def test_what_is_no_description_is_not_read_but_named(site, here, made):
    add(site)
    (here / "ds000001").mkdir()
    made(here / "ds000001/dataset_description.json")
    with pytest.raises(DestinationError, match=r"description\.json is not a file.*Nothing was"):
        neurofetch.get("ds000001")


@pytest.mark.parametrize("end", [".", "", "\n", "/", " (version 1.0.0)."])
def test_the_doi_of_a_description_may_end_as_a_sentence_does(site, here, end):
    add(site)
    (here / "ds000001").mkdir()
    said = {"DatasetDOI": f"https://doi.org/10.18112/openneuro.ds000001.v1.0.0{end}"}
    (here / "ds000001/dataset_description.json").write_text(json.dumps(said))
    assert neurofetch.get("ds000001@1.0.0").ok


@pytest.mark.parametrize("tool", ["ours", "another"])
def test_another_version_is_told_and_brought_by_update(site, here, tool):
    def version(tag, seed, subjects):
        doi = f"doi:10.18112/openneuro.ds000001.v{tag}"
        return small_tree(doi=doi, seed=seed, subjects=subjects)

    old, new = version("1.0.0", 0, 3), version("1.1.0", 1, 2)
    site.add("ds000001", {"1.0.0": old, "1.1.0": new})
    neurofetch.get("ds000001@1.0.0")
    root = here / "ds000001"
    if tool == "another":
        shutil.rmtree(root / ".neurofetch")
    asked(site)
    for what in ("ds000001", "ds000001@1.1.0"):
        with pytest.raises(OtherDatasetError) as caught:
            neurofetch.get(what)
        for word in ("1.0.0", "1.1.0", "--update", "openneuro:ds000001@1.0.0", "Nothing was"):
            assert word in str(caught.value)
        assert asked(site)[1:] == (0, 0)
    assert content(root) == old
    assert not neurofetch.get("ds000001@1.0.0").of(Status.FETCHED)  # to go on is no question
    report = neurofetch.get("ds000001", update=True)
    assert any("update of ds000001 from version 1.0.0 to 1.1.0" in note for note in report.notes)
    now = content(root)
    assert {path: now[path] for path in new} == new
    gone = sorted(set(old) - set(new))
    assert gone
    assert {path: now[path] for path in gone} == {path: old[path] for path in gone}
    assert any(f"{len(gone)} files of earlier runs" in note for note in report.notes)
    assert not neurofetch.get("ds000001").of(Status.FETCHED)


def test_two_runs_at_once_do_not_make_one_folder_of_two_versions(site, here, monkeypatch):
    site.add("ds000001", {"1.0.0": small_tree(), "1.1.0": small_tree(seed=1)})
    both, look, refused = threading.Barrier(2, timeout=30), versions.check_version, []

    def look_at_once(*given, **how):
        notes = look(*given, **how)
        both.wait()  # so both have seen an empty folder
        return notes

    monkeypatch.setattr(versions, "check_version", look_at_once)

    def get(tag):
        try:
            neurofetch.get(f"ds000001@{tag}", "data", progress="none")
        except OtherDatasetError as error:
            refused.append((tag, str(error)))

    threads = [threading.Thread(target=get, args=(tag,)) for tag in ("1.0.0", "1.1.0")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((tag, said),) = refused
    assert "Nothing was fetched" in said
    assert "--update" in said
    assert content(here / "data") == small_tree(seed=1 if tag == "1.0.0" else 0)


def test_a_description_with_a_stale_doi_is_no_other_version(site, here):
    tree = add(site, small_tree(doi="doi:10.18112/openneuro.ds000001.v0.9.9"))
    (here / "ds000001").mkdir()
    name = "dataset_description.json"
    (here / "ds000001" / name).write_bytes(tree[name])
    neurofetch.get("ds000001")
    assert content(here / "ds000001") == tree


def test_what_came_from_the_bucket_is_the_same_data_set(site, here, monkeypatch):
    tree = add(site)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", site.bucket.url)
    neurofetch.get("s3://openneuro.org/ds000001", "ds000001")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    asked(site)
    report = neurofetch.get("ds000001")
    assert not report.of(Status.FETCHED)
    assert content(here / "ds000001") == tree
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", site.bucket.url)
    with pytest.raises(OtherDatasetError, match="openneuro:ds000001"):  # which is no version
        neurofetch.get("s3://openneuro.org/ds000001", "ds000001")


# -- a listing that lies -----------------------------------------------------------------------


def failing(site, **how):
    """Fetch, and return what failed, by path, and the report."""
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get("ds000001", **how)
    return {o.path: o.reason for o in caught.value.report.failures}


def test_a_path_out_of_the_root_is_left_out_and_named(site, here, tmp_path):
    tree = add(site)
    names = ["../../evil", "/etc/evil", "a/../../evil", "a//b", ".neurofetch/receipts/x", "a/./b"]
    for name in names:
        site.list_also("ds000001", "1.0.0", name)
    before = {path for path in tmp_path.rglob("*") if here not in path.parents}
    assert set(failing(site)) == set(names)
    assert content(here / "ds000001") == tree
    assert {path for path in tmp_path.rglob("*") if here not in path.parents} == before


def test_a_wrong_size_of_a_small_file_is_told_and_not_asked_for_ever(site, here):
    tree = add(site)
    site.lie("ds000001", "1.0.0", "README", size=5)
    reason = failing(site)["README"]
    assert "5 listed" in reason
    assert len(site.bucket.requests("GET", "*README")) == 2
    assert len(on_disk(here / "ds000001")) == len(tree) - 1


def test_the_pointer_of_an_unlocked_file_is_named_as_the_cause(site, here):
    add(site)
    site.unlock("ds000001", "1.0.0", T1W)
    reason = failing(site)[T1W]
    assert "git-annex" in reason
    assert "unlocked" in reason
    assert len(site.bucket.requests("GET", f"*{T1W}")) == 2


def test_a_pointer_that_comes_in_place_of_the_content_is_not_taken_for_it(site, here):
    pointer = b"/annex/objects/MD5E-s3000--00000000000000000000000000000000.nii.gz\n"
    add(site, {**small_tree(), "sub-01/anat/sub-01_T2w.json": pointer})
    (reason,) = failing(site).values()
    assert "a pointer of git-annex came, and not the content, MD5E-s3000--" in reason
    assert not (here / "ds000001/sub-01/anat/sub-01_T2w.json").exists()


def test_a_link_is_withheld_and_no_failure(site, here):
    tree = add(site)
    site.list_link("ds000001", "1.0.0", "sub-03", "sub-01")
    report = neurofetch.get("ds000001")
    assert [outcome.path for outcome in report.withheld] == ["sub-03"]
    assert "symbolic link" in report.withheld[0].reason
    assert content(here / "ds000001") == tree


def test_two_contents_of_one_name_are_not_guessed(site, here):
    tree = add(site)
    site.list_also("ds000001", "1.0.0", "README")
    assert "two contents" in failing(site)["README"]
    assert len(on_disk(here / "ds000001")) == len(tree) - 1


def test_a_version_of_an_object_that_is_gone_fails_its_file_alone(site, here):
    tree = add(site)
    file = site.datasets["ds000001"].snapshots["1.0.0"].files[T1W]
    site.bucket.forget(file.key, file.version)
    assert set(failing(site)) == {T1W}
    assert len(on_disk(here / "ds000001")) == len(tree) - 1


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "how", "error"),
    [
        ("ds000001@1.9", {}, UnknownValueError),
        ("ds000002", {}, NothingMatchedError),
        ("openneuro:", {}, UsageError),
        ("ds000001@", {}, UsageError),
        ("https://openneuro.org/search", {}, UsageError),
        ("ds000001", {"subject": "77"}, UnknownValueError),
        ("ds000001", {"update": "yes"}, UsageError),
        ("ds000001/../x", {}, UsageError),
        (7, {}, UsageError),
        (None, {}, UsageError),
        ("", {}, UsageError),
    ],
)
def test_bad_input_moves_no_byte(site, here, what, how, error):
    add(site)
    with pytest.raises(error, match=r"Nothing was|no data set|expected"):
        neurofetch.get(what, **how)
    assert asked(site)[1:] == (0, 0)
    assert os.listdir(here) == []


def test_a_plan_says_what_it_would_do(site, here):
    add(site, twins())
    plan = neurofetch.plan("ds000001")
    assert {step.action for step in plan.steps} == {Action.FETCH}
    assert re.search(r"version 1\.0\.0, the newest", " ".join(plan.notes))
    copies = sum(bool(step.copy_of) for step in plan.steps)
    assert re.search(rf"of these made of others +{copies} +-", plan_text(plan))


def test_a_single_file_comes_with_what_describes_it(site, here):
    add(site)
    neurofetch.get(f"openneuro:ds000001@1.0.0/{T1W}")
    paths = on_disk(here / "ds000001")
    assert T1W in paths
    assert "dataset_description.json" in paths
    assert not any("func" in path or "sub-02" in path for path in paths)


def test_a_piece_of_a_recording_that_is_a_folder_brings_all_of_it(site, here):
    folder = "sub-01/meg/sub-01_task-rest_meg.ds"
    pieces = {f"{folder}/a.meg4": b"a", f"{folder}/a.res4": b"b", f"{folder}/hz.ds/x": b"c"}
    add(site, {**small_tree(), **pieces})
    report = neurofetch.get(f"ds000001/{folder}/a.meg4")
    assert set(pieces) <= on_disk(here / "ds000001")
    assert any("comes whole" in note for note in report.notes)


def test_events_that_name_stimuli_are_followed(site, here):
    more = {
        "sub-01/func/sub-01_task-rest_events.tsv": b"onset\tduration\tstim_file\n1\t1\ta.png\n",
        "stimuli/a.png": b"picture",
        "stimuli/b.png": b"another",
    }
    add(site, {**small_tree(), **more})
    neurofetch.get("ds000001", subject="01", follow=True)
    paths = on_disk(here / "ds000001")
    assert "stimuli/a.png" in paths
    assert "stimuli/b.png" not in paths
