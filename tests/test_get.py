"""``neurofetch get`` and its Python twin, on a bucket of which nothing is known beforehand."""

import json
import os
import pickle
import re
import time

import pytest

import neurofetch
from neurofetch.console import ExitCode
from neurofetch.errors import NothingMatchedError, UnknownValueError, UsageError
from neurofetch.model import Action, IncompleteError, Status, VerificationLevel
from neurofetch.planning.entities import ENTITY_NAMES
from testbed.s3 import Generated, S3Object, S3Server
from tests.faces import Shell, on_disk

BASE = "public/ds000777/"
URL = "s3://openneuro.org/public/ds000777"
LARGE = "sub-02/ses-b/func/sub-02_ses-b_task-rest_run-02_bold.nii.gz"


def dataset():
    """A BIDS dataset in a folder of a bucket, with another dataset beside it."""
    files = {
        "dataset_description.json": b"{}",
        "participants.tsv": b"participant_id\nsub-01\nsub-02\n",
        "README.md": b"words",
        "CHANGES": b"1.0",
        "code/run.sh": b"#!/bin/sh\n",
        "task-rest_bold.json": b'{"TaskName": "rest"}',
    }
    for sub in ("01", "02"):
        files[f"sub-{sub}/anat/sub-{sub}_T1w.nii.gz"] = b"anatomy" * int(sub)
        files[f"sub-{sub}/anat/sub-{sub}_T1w.json"] = b'{"a": 1}'
        for ses in "ab":
            for run in ("01", "02"):
                stem = f"sub-{sub}/ses-{ses}/func/sub-{sub}_ses-{ses}_task-rest_run-{run}_"
                files[stem + "bold.nii.gz"] = stem.encode() * 3
                files[stem + "bold.json"] = b"{}"
                files[stem + "events.tsv"] = b"onset\n"
    return files


FILES = dataset()
OBJECTS = {
    **{BASE + path: content for path, content in FILES.items()},
    BASE + LARGE: S3Object(Generated(20 << 20, seed=3), part_size=8 << 20, checksum=None),
    "public/ds000777-derivatives/README": b"another dataset",
    "public/ds0007/README": b"a third one",
}


@pytest.fixture(scope="module")
def s3():
    with S3Server({"openneuro.org": OBJECTS}) as server:
        yield server


@pytest.fixture
def shell(tmp_path, s3):
    return Shell(tmp_path, s3.url)


@pytest.fixture
def dest(shell, monkeypatch):
    for name, text in shell.env.items():
        monkeypatch.setenv(name, text)
    return shell.data


def paths(plan):
    return {step.want.path for step in plan.steps}


INHERITED = {"task-rest_bold.json"}
ROOT = {"dataset_description.json", "participants.tsv", "README.md", "CHANGES"}


# -- everything, and how it is verified ------------------------------------------------------------


def test_a_prefix_is_a_dataset_and_no_other_prefix_that_begins_alike(s3, dest):
    report = neurofetch.get(URL, dest)
    assert on_disk(dest) == set(FILES)
    assert set(report.paths) == {dest / path for path in FILES}
    for path, content in FILES.items():
        if path != LARGE:
            assert (dest / path).read_bytes() == content
    assert (dest / LARGE).read_bytes() == Generated(20 << 20, seed=3).read(0, 20 << 20)
    verifications = {outcome.path: outcome.verification for outcome in report}
    assert verifications.pop(LARGE) is VerificationLevel.MULTIPART
    assert set(verifications.values()) == {VerificationLevel.CHECKSUM}
    assert pickle.loads(pickle.dumps(report)) == report

    s3.clear_log()
    again = neurofetch.get(URL + "/", dest)
    assert {outcome.status for outcome in again} == {Status.KEPT}
    assert [request.method for request in s3.requests()] == ["LIST"]


@pytest.mark.slow
def test_the_command_does_what_its_twin_does(shell):
    done = shell(f"neurofetch get {URL} --dest new/folder --json")
    assert done.code == 0
    report = json.loads(done.out)
    assert {f["path"] for f in report["files"]} == set(FILES) == on_disk(shell.home / "new/folder")
    assert shell("neurofetch verify new/folder --hash").out.startswith(f"{len(FILES)} good")
    done = shell(f"neurofetch verify new/folder --remote {URL} --json")
    assert {f["state"] for f in json.loads(done.out)["files"]} == {"unchanged"}


# -- filters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "filters"),
    [
        ("--subject 01", {"subject": "01"}),
        ("--subject sub-01 --session a", {"subject": "sub-01", "ses": "a"}),
        ("--ses a b --suffix bold", {"ses": ["a", "b"], "suffix": "bold"}),
        (
            "--subject 02 --run 2 --extension nii.gz",
            {"subject": 2, "run": 2, "extension": "nii.gz"},
        ),
        ("--datatype anat", {"datatype": "anat"}),
        ("--include '*_T1w.*'", {"include": "*_T1w.*"}),
        ("--include sub-01/ --exclude '*.json'", {"include": "sub-01/", "exclude": "*.json"}),
    ],
)
def test_flags_and_keywords_choose_alike(shell, dest, flags, filters):
    done = shell(f"neurofetch get {URL} --dest {dest} {flags} --dry-run --json")
    plan = neurofetch.plan(URL, dest, **filters)
    assert {step["path"] for step in json.loads(done.out)["files"]} == paths(plan)
    assert ROOT - {"dataset_description.json"} <= paths(plan) != set(FILES)
    assert not on_disk(dest)


def halves():
    """All entities by short and long names, in two parts: no file name can hold all of them."""
    known = list(ENTITY_NAMES.items())
    return [dict(known[::2]), dict(known[1::2])]


@pytest.mark.parametrize("entities", halves(), ids=["half", "other half"])
def test_every_entity_is_a_flag_by_its_short_and_its_long_name(tmp_path, entities):
    """For each entity there is a file that has another value: were a flag idle, it would come."""
    shorts = list(entities.values())
    names = {
        other: "_".join(f"{short}-{2 if short == other else 1}" for short in shorts) + "_x.nii"
        for other in ("", *shorts)
    }
    with S3Server({"entities": dict.fromkeys(names.values(), b"x")}) as server:
        shell = Shell(tmp_path, server.url)
        for flags in (shorts, list(entities)):
            chosen = " ".join(f"--{flag} 1" for flag in flags)
            done = shell(f"neurofetch get s3://entities --dest data {chosen} --dry-run --json")
            assert done.code == 0, done.err
            assert [step["path"] for step in json.loads(done.out)["files"]] == [names[""]]
            with_name = " ".join(f"--{f} {s}-1" for f, s in zip(flags, shorts, strict=True))
            done = shell(f"neurofetch get s3://entities --dest data {with_name} --dry-run --json")
            assert [step["path"] for step in json.loads(done.out)["files"]] == [names[""]]


def test_the_help_names_every_entity(shell):
    text = shell("neurofetch get --help").out
    for flag in [*ENTITY_NAMES, *ENTITY_NAMES.values()]:
        assert re.search(rf"--{flag}\b", text), flag


def test_a_subject_leaves_out_the_others_and_brings_the_root_files(dest):
    chosen = paths(neurofetch.plan(URL, dest, subject="01"))
    assert chosen == ROOT | INHERITED | {path for path in FILES if path.startswith("sub-01/")}


def test_a_session_is_strict(dest):
    chosen = paths(neurofetch.plan(URL, dest, ses="b"))
    assert chosen == ROOT | INHERITED | {path for path in FILES if "/ses-b/" in path}


def test_a_suffix_brings_its_sidecars(dest):
    chosen = paths(neurofetch.plan(URL, dest, suffix="T1w", extension="nii.gz"))
    assert chosen == ROOT | {path for path in FILES if "_T1w." in path}


def test_globs_are_relative_to_the_prefix(dest):
    chosen = paths(neurofetch.plan(URL, dest, include="code/*"))
    assert chosen == ROOT | {"code/run.sh"}
    dropped = paths(neurofetch.plan(URL, dest, exclude=["*.nii.gz", "README.md"]))
    assert dropped == {p for p in FILES if not p.endswith((".nii.gz", "README.md"))}


def test_what_does_not_exist_is_an_error_with_what_does(shell, dest):
    with pytest.raises(UnknownValueError, match=r"sub-3.*01, 02"):
        neurofetch.plan(URL, dest, subject="3")
    with pytest.raises(NothingMatchedError):
        neurofetch.plan(URL, dest, suffix="events", extension="nii.gz")
    done = shell(f"neurofetch get {URL} --dest {dest} --task nback")
    assert (done.code, done.out) == (ExitCode.NOTHING_MATCHED, "")
    assert "task-nback does not exist" in done.err


# -- URLs ------------------------------------------------------------------------------------------


def test_one_key(dest):
    report = neurofetch.get(f"{URL}/{LARGE}", dest)
    beside = {LARGE.replace("bold.nii.gz", name) for name in ("bold.json", "events.tsv")}
    assert on_disk(dest) == {LARGE, *beside, *INHERITED, *ROOT}
    assert (dest / LARGE).stat().st_size == 20 << 20
    assert any("paths are relative" in note for note in report.notes)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("below", "chosen"),
    [
        ("sub-01/anat", {p for p in FILES if p.startswith("sub-01/anat/")}),
        ("sub-01/ses-a", {p for p in FILES if p.startswith("sub-01/ses-a/")} | INHERITED),
        ("code", {"code/run.sh"}),
        ("participants.tsv", {"participants.tsv"}),
        ("task-rest_bold.json", {"task-rest_bold.json"}),
    ],
)
def test_a_url_below_the_root_gives_paths_below_the_root(dest, below, chosen, slash):
    plan = neurofetch.plan(f"{URL}/{below}{slash}", dest)
    assert paths(plan) == (chosen if below == "participants.tsv" else chosen | ROOT)
    assert any("lies in the data set s3://openneuro.org/public/ds000777" in n for n in plan.notes)


def test_a_whole_bucket(dest):
    assert paths(neurofetch.plan("s3://openneuro.org", dest)) == set(OBJECTS)


@pytest.mark.parametrize(
    "url", ["openneuro.org/x", "http://host/x", "s3://", "s3:///x", "s3://b ad/x"]
)
def test_what_is_no_url_of_a_bucket(s3, dest, url):
    seen = len(s3.requests())
    with pytest.raises(UsageError, match="expected a URL such as s3://"):
        neurofetch.plan(url, dest)
    assert len(s3.requests()) == seen


def test_a_prefix_without_anything(dest):
    with pytest.raises(NothingMatchedError, match=r"nothing at s3://openneuro.org/publ\.") as half:
        neurofetch.plan("s3://openneuro.org/publ", dest)
    assert "What begins so: s3://openneuro.org/public/." in str(half.value)
    with pytest.raises(NothingMatchedError, match="there is nothing at s3") as wrong:
        neurofetch.plan(f"{URL}/sub-03/anat", dest)
    exists = "s3://openneuro.org/public/ds000777/ exists and holds:"
    assert exists in str(wrong.value)
    assert "sub-01/, sub-02/" in str(wrong.value)
    with pytest.raises(NothingMatchedError, match=r"s3://openneuro.org/ exists and holds: public/"):
        neurofetch.plan("s3://openneuro.org/nowhere", dest)


# -- parts of a plan, rates, failures --------------------------------------------------------------


def test_the_shards_of_a_plan_are_fetched_by_several_jobs(dest):
    done = [neurofetch.get(URL, dest, shard=(index, 3)) for index in range(3)]
    assert sum(len(report.of(Status.FETCHED)) for report in done) == len(FILES)
    assert on_disk(dest) == set(FILES)
    merged = done[0].merge(done[1]).merge(done[2])
    assert len(merged) == len(FILES)
    assert merged.ok


def test_overwrite_fetches_also_what_is_here(dest):
    filters = {"subject": "01", "suffix": "T1w"}
    neurofetch.get(URL, dest, **filters)
    plan = neurofetch.plan(URL, dest, overwrite=True, **filters)
    assert {step.action for step in plan.steps} == {Action.REPLACE}
    report = neurofetch.get(URL, dest, overwrite=True, **filters)
    assert {outcome.status for outcome in report} == {Status.FETCHED}


@pytest.mark.slow
def test_a_rate_is_kept(shell):
    began = time.monotonic()
    done = shell(f"neurofetch get {URL}/{LARGE} --dest data --limit-rate 10M --quiet")
    assert done.code == 0
    assert time.monotonic() - began > 1.5  # 20 MiB at 10 MB/s; a burst at the start is free


def test_a_file_that_fails_is_named_after_the_rest_was_fetched(s3, dest):
    s3.fault(key="*CHANGES", method="GET", status=404)
    try:
        with pytest.raises(IncompleteError, match=r"CHANGES: .*404") as caught:
            neurofetch.get(URL, dest, subject="01", suffix="T1w")
    finally:
        s3.clear_faults()
    assert [o.path for o in caught.value.report.failures] == ["CHANGES"]
    assert "the server lists and does not have (404)" in str(caught.value)
    assert "fetches only the missing files" not in str(caught.value), "it would not"
    assert on_disk(dest) == (ROOT - {"CHANGES"}) | {p for p in FILES if "sub-01_T1w" in p}


def test_files_that_the_server_refuses_have_failed_and_the_others_come(s3, dest, monkeypatch):
    monkeypatch.setattr(s3, "forbidden", ("*/CHANGES", "*_T1w.json"))
    with pytest.raises(IncompleteError, match=r"(?s)2 of .*CHANGES: .*403.*sub-01.*403") as caught:
        neurofetch.get(URL, dest, subject="01", suffix="T1w")
    report = caught.value.report
    assert str(caught.value).count("not public") == 1, "the advice is given once"
    assert len(report.failures) == 2
    assert not report.withheld
    assert len(report.paths) == len(on_disk(dest)) == len(report) - 2


def test_verify_finds_and_adopts(dest):
    (dest / "README.md").write_bytes(FILES["README.md"])
    (dest / "CHANGES").write_bytes(b"2.0")
    found = {f.path: f.state for f in neurofetch.verify(dest, read_all=True, url=URL).findings}
    assert found == {"README.md": "adopted", "CHANGES": "differs"}
    assert {f.path: f.state for f in neurofetch.verify(dest).findings} == {
        "README.md": "unchanged",
        "CHANGES": "differs",
    }


def damaged(dest):
    """Fetch a file, and change it behind the back of the program; return what it held."""
    neurofetch.get(URL, dest, include="README.md", progress="none")
    file = dest / "README.md"
    before, info = file.read_bytes(), file.stat()
    file.write_bytes(b"x" * len(before))
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    return before


def test_get_replaces_damaged_files_when_it_is_told_to_read_them(dest):
    before = damaged(dest)
    assert not neurofetch.plan(URL, dest, include="README.md").moving
    planned = neurofetch.plan(URL, dest, include="README.md", verify=True)
    assert [step.want.path for step in planned.moving] == ["README.md"]
    assert neurofetch.verify(dest).ok, "a plan writes nothing down"
    neurofetch.get(URL, dest, include="README.md", verify=True, progress="none")
    assert (dest / "README.md").read_bytes() == before


def test_what_is_known_by_its_size_alone_is_not_called_verified(shell, dest):
    get = f"neurofetch get {URL} --data-dir {dest} --include README.md CHANGES --bare"
    assert shell(get).code == 0
    os.utime(dest / "CHANGES", (1, 1))
    (dest / "README.md").unlink()
    (dest / ".neurofetch" / "receipts").rename(dest / ".neurofetch" / "gone")
    (dest / "README.md").write_bytes(b"x" * len(FILES["README.md"]))
    done = shell(get)
    assert done.code == 0
    assert "verified when they came" not in done.err
    assert "of the right size, and not read: 2 of another tool" in done.err
    done = shell(f"{get} --verify")
    assert (dest / "README.md").read_bytes() == FILES["README.md"]
    assert "not read" not in shell(get).err, "and now it is known"
    os.utime(dest / "CHANGES", (2, 2))
    assert "not read: 1 modified since they came" in shell(get).err


def test_damage_that_verify_names_is_repaired_by_the_same_get_again(shell, dest):
    before = damaged(dest)
    assert shell(f"neurofetch verify {dest} --hash").code == ExitCode.INCOMPLETE
    assert shell(f"neurofetch get {URL} --data-dir {dest} --include README.md").code == 0
    assert (dest / "README.md").read_bytes() == before
    assert shell(f"neurofetch verify {dest} --hash").code == 0
    assert shell(f"neurofetch get {URL} --data-dir {dest} --include README.md --verify").code == 0


def test_an_empty_name_is_not_the_current_directory(shell):
    for line in (f"get {URL} --data-dir ''", "verify ''", f"get {URL} --data-dir '' --dry-run"):
        done = shell(f"neurofetch {line}")
        assert done.code == ExitCode.USAGE
        assert "data directory" in done.err
    assert on_disk(shell.home) == set()


def test_a_destination_of_an_impossible_name(shell):
    done = shell(f"neurofetch get {URL} --data-dir {'n' * 300}")
    assert done.code == ExitCode.DISK
    assert "cannot be looked at: File name too long. Nothing was done. Check the path" in done.err


def test_a_destination_that_is_a_file(shell):
    (shell.home / "file").touch()
    done = shell(f"neurofetch get {URL} --dest file")
    assert done.code == ExitCode.DISK
    assert "file" in done.err


def test_a_plan_makes_no_folder_and_the_errand_makes_all_of_them(dest):
    far = dest / "not" / "yet" / "there"
    plan = neurofetch.plan(URL, far, subject="01")
    assert plan.bytes_to_fetch
    assert plan.free
    assert not (dest / "not").exists()
    with pytest.raises(UnknownValueError):
        neurofetch.get(URL, far, subject="99")
    assert not (dest / "not").exists()
    assert neurofetch.get(URL, far, subject="01").ok
    assert on_disk(far) == paths(plan)


# -- jobs that share what one job would have -------------------------------------------------


def test_a_job_of_many_has_its_share_of_the_connections():
    from neurofetch.engine import RunSettings  # noqa: PLC0415

    whole = RunSettings.checked(n_jobs=2)
    part = RunSettings.checked(n_jobs=2, shard=(3, 8))
    assert whole.own_options is whole.options
    mine, all_of_it = part.own_options, part.options
    assert mine.connections * 8 <= all_of_it.connections
    assert mine.bulk_connections * 8 <= all_of_it.bulk_connections
    assert mine.whole_connections * 8 <= all_of_it.whole_connections
    assert (mine.n_jobs, mine.few) == (2, 1)
    assert RunSettings.checked(shard=(0, 1000)).own_options.connections == 1


def test_a_job_of_very_many_opens_few_connections(tmp_path, monkeypatch):
    files = {f"ds/sub-01/f{number:04}.tsv": b"x" * 50 for number in range(640)}
    with S3Server({"b": files}, latency=0.02) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        report = neurofetch.get("s3://b/ds", tmp_path, shard=(0, 64), progress="none")
        assert len(report) == 10
        used = {request.connection for request in s3.requests("GET")}
        assert len(used) <= 384 // 64
