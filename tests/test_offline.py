"""Without the network: what is here and complete is found so, and nothing goes on the wire."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

import neurofetch
from neurofetch.errors import ConfigError, OfflineError, RefusedError, UnreachableError
from neurofetch.model import Action, IncompleteError, Status
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import S3Server
from tests.faces import Shell, make_s3, on_disk
from tests.test_get import BASE, FILES, URL

OBJECTS = {BASE + path: content for path, content in FILES.items()}

_WATCHED = """
import sys
seen = []
def watch(event, arguments):
    if event.startswith("socket.") and event not in ("socket.gethostname",):
        seen.append((event, repr(arguments)))
sys.addaudithook(watch)
from {package}._cli import main
code = main(sys.argv[1:])
print("SOCKETS", seen, file=sys.stderr)
sys.exit(code)
"""
"""Runs a command, and tells what it does with sockets: the interpreter itself says it."""


@pytest.fixture
def s3():
    with S3Server({"openneuro.org": OBJECTS}) as server:
        yield server


AWAY = {
    "nobody listens": "http://127.0.0.1:9",
    "no such host": "http://no-such-host.invalid",
    "connections are reset": "",
}


def take_away(monkeypatch, s3, how="nobody listens"):
    """Let nothing answer any more where the server was."""
    if AWAY[how]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", AWAY[how])
    else:
        s3.fault(reset=True, times=None)


@pytest.fixture
def shell(tmp_path, s3):
    return Shell(tmp_path, s3.url)


@pytest.fixture
def dest(shell, monkeypatch):
    for name, text in shell.env.items():
        monkeypatch.setenv(name, text)
    return shell.data


def watched(shell, *arguments, package="neurofetch", **env):
    """Run a command in a process of its own, and return it with what it did with sockets."""
    code = _WATCHED.format(package=package)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **shell.env, **env},
        cwd=shell.data.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said, _, sockets = done.stderr.rpartition("SOCKETS ")
    assert sockets, done.stderr
    return done.returncode, done.stdout, said, sockets.strip()


def test_what_was_fetched_is_found_complete_and_the_wire_is_silent(shell, s3):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    asked = len(s3.log)
    code, out, said, sockets = watched(
        shell, "get", URL, "--data-dir", "data", "--subject", "01", "--offline", "--json"
    )
    assert code == 0, said
    assert sockets == "[]"
    assert len(s3.log) == asked
    files = json.loads(out)["files"]
    assert {file["status"] for file in files} == {"kept"}
    assert len(files) == len(on_disk(shell.data))


def test_the_plan_says_where_it_is_from(dest):
    neurofetch.get(URL, dest, subject="01", progress=False)
    with pytest.warns(match="was not asked: this is from what it listed before"):
        plan = neurofetch.plan(URL, dest, subject="01", offline=True)
    assert {step.action for step in plan.steps} == {Action.KEEP}


NARROWER = {
    "the same": {"subject": "01"},
    "one suffix": {"subject": "01", "suffix": "bold"},
    "one session": {"subject": "01", "ses": "a"},
    "one task, no companions": {"subject": "01", "task": "rest", "bare": True},
    "a glob": {"subject": "01", "include": "*T1w*"},
    "what files name": {"subject": "01", "follow": True},
}


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
@pytest.mark.parametrize("filters", NARROWER.values(), ids=NARROWER)
@pytest.mark.parametrize("before", [{"subject": "01"}, {}], ids=["a subject before", "all before"])
def test_a_narrower_request_is_answered_as_the_server_would(dest, s3, filters, before):
    neurofetch.get(URL, dest, **before, progress=False)
    expected = neurofetch.plan(URL, dest, **filters)
    asked = len(s3.log)
    found = neurofetch.plan(URL, dest, **filters, offline=True)
    assert len(s3.log) == asked
    assert [step.want.path for step in found.steps] == [step.want.path for step in expected.steps]
    assert [step.action for step in found.steps] == [step.action for step in expected.steps]


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
def test_several_requests_add_up(dest, s3, monkeypatch):
    neurofetch.get(URL, dest, subject="01", progress=False)
    neurofetch.get(URL, dest, subject="02", progress=False)
    take_away(monkeypatch, s3)
    report = neurofetch.get(URL, dest, offline=True, suffix="bold", progress=False)
    assert {one.status for one in report.outcomes} == {Status.KEPT}
    assert sum(path.name.endswith("bold.nii.gz") for path in report.paths) == 8


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
def test_what_is_not_here_is_named_and_the_code_says_so(shell, s3):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    gone = shell.data / "sub-01/anat/sub-01_T1w.nii.gz"
    gone.unlink()
    done = shell(f"neurofetch get {URL} --data-dir data --subject 01 --offline")
    assert done.code == 4
    assert "sub-01/anat/sub-01_T1w.nii.gz" in done.err
    assert "the network is not to be used" in done.err
    assert "without --offline" in done.err
    assert not gone.exists()
    done = shell(f"neurofetch get {URL} --data-dir data --subject 01")
    assert done.code == 0
    assert gone.read_bytes() == FILES["sub-01/anat/sub-01_T1w.nii.gz"]


def test_a_damaged_file_is_named_with_verify(shell):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    bad = shell.data / "sub-01/anat/sub-01_T1w.nii.gz"
    stamp = bad.stat()
    bad.write_bytes(b"ANATOMY")
    os.utime(bad, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    code, _, said, sockets = watched(
        shell, "get", URL, "--data-dir", "data", "--subject", "01", "--offline", "--verify"
    )
    assert code == 4
    assert sockets == "[]"
    assert "sub-01_T1w.nii.gz" in said
    assert bad.read_bytes() == b"ANATOMY"


def test_a_place_that_remembers_nothing_is_told_so_and_is_not_made(shell):
    done = shell(f"neurofetch get {URL} --data-dir data --offline")
    assert done.code == 6
    assert "does not remember" in done.err
    assert "Run the same call once with the network" in done.err
    assert not list(shell.data.iterdir())


NEVER = {
    "another subject": f"{URL} --subject 02",
    "all subjects": f"{URL} --suffix bold",
    "another data set": "s3://openneuro.org/other",
    "the bucket": "s3://openneuro.org",
}


@pytest.mark.parametrize("call", NEVER.values(), ids=NEVER)
def test_what_was_never_listed_is_not_guessed(tmp_path, call):
    with S3Server({"openneuro.org": OBJECTS}, page_size=4) as s3:
        _never_listed(Shell(tmp_path, s3.url), call)


def _never_listed(shell, call):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    code, _, said, sockets = watched(shell, "get", *call.split(), "--data-dir", "data", "--offline")
    assert (code, sockets) == (6, "[]"), said
    assert "was not listed when it was last asked" in said


def test_a_subject_that_was_listed_and_not_fetched_is_missing(shell):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    done = shell(f"neurofetch get {URL} --data-dir data --subject 02 --offline --json")
    assert done.code == 4
    status = {file["path"]: file["status"] for file in json.loads(done.out)["files"]}
    assert {path for path, one in status.items() if one == "kept"} >= {"README.md"}
    failed = {path for path, one in status.items() if one == "failed"}
    assert failed == {path for path in FILES if path.startswith("sub-02/")}


def test_a_dry_run_writes_nothing_to_remember(dest):
    neurofetch.plan(URL, dest, subject="01")
    assert not list(dest.iterdir())
    with pytest.raises(OfflineError):
        neurofetch.plan(URL, dest, subject="01", offline=True)


def test_the_environment_can_say_it(shell, s3):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    asked = len(s3.log)
    done = shell(f"neurofetch get {URL} --data-dir data --subject 01", NEUROFETCH_OFFLINE="1")
    assert done.code == 0
    assert len(s3.log) == asked


def test_a_word_that_is_no_switch_is_told(dest, monkeypatch):
    monkeypatch.setenv("NEUROFETCH_OFFLINE", "maybe")
    with pytest.raises(ConfigError, match="neither 1 nor 0"):
        neurofetch.get(URL, dest)


# -- the server is away, and nobody said so ------------------------------------------------------


@pytest.mark.parametrize("how", AWAY)
def test_where_all_is_here_a_server_that_is_away_is_no_failure(dest, s3, monkeypatch, how):
    neurofetch.get(URL, dest, subject="01", progress=False)
    take_away(monkeypatch, s3, how)
    began = time.monotonic()
    with pytest.warns(match="was not asked"):
        report = neurofetch.get(URL, dest, subject="01", progress=False)
    assert how == "no such host" or time.monotonic() - began < 4.9  # names take as long as they do
    assert {one.status for one in report.outcomes} == {Status.KEPT}


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
@pytest.mark.parametrize("how", AWAY)
def test_where_something_is_missing_it_is_waited_for(dest, s3, monkeypatch, how):
    neurofetch.get(URL, dest, subject="01", progress=False)
    (dest / "README.md").unlink()
    take_away(monkeypatch, s3, how)
    with pytest.raises(UnreachableError):
        neurofetch.get(URL, dest, subject="01", progress=False, patience=0)


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
@pytest.mark.parametrize("scope", ["sub-01", "sub-01/ses-a", "sub-02/ses-b/func"])
def test_waiting_for_the_network_asks_for_no_more_than_was_asked_for(dest, s3, scope):
    url = f"{URL}/{scope}"
    first = neurofetch.get(url, dest, progress=False)
    next(path for path in first.paths if path.name.endswith("bold.nii.gz")).unlink()
    s3.fault(reset=True, times=None)
    timer = threading.Timer(4.5, s3.clear_faults)
    timer.start()
    again = neurofetch.get(url, dest, progress=False, patience=60)
    timer.join()
    assert [one.path for one in again.outcomes] == [one.path for one in first.outcomes]
    assert any("lies in the data set" in note for note in again.notes)


# -- copies need no network ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
def test_what_a_colleague_has_is_copied_without_the_network(shell, dest, s3, tmp_path):
    neurofetch.get(URL, dest, subject="01", progress=False)
    neurofetch.get(URL, tmp_path / "colleague", subject="01", progress=False)
    wanted = sorted(path for path in FILES if path.startswith("sub-01/"))
    for path in wanted:
        (dest / path).unlink()
    (tmp_path / "colleague" / wanted[0]).unlink()
    (tmp_path / "colleague" / wanted[1]).write_bytes(b"?" * len(FILES[wanted[1]]))
    words = ["get", URL, "--data-dir", "data", "--subject", "01", "--mirror", "colleague"]
    code, out, said, sockets = watched(shell, *words, "--offline", "--json")
    assert (code, sockets) == (4, "[]"), said
    failed = {file["path"] for file in json.loads(out)["files"] if file["status"] == "failed"}
    assert failed == {wanted[0], wanted[1]}
    assert "without --offline" in said
    assert {path for path in wanted if (dest / path).exists()} == {*wanted[2:]}
    for path in wanted[2:]:
        assert (dest / path).read_bytes() == FILES[path]


WHY = {
    "other bytes": ({}, {"verify": True}, "here, but damaged"),
    "too short": ({"size": 3}, {}, "here with 3 bytes, on the server 7"),
    "asked for again": ({"size": 7}, {"overwrite": True}, "here, to be fetched again"),
}


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
@pytest.mark.parametrize(("change", "how", "said"), WHY.values(), ids=WHY)
def test_why_a_file_that_is_here_is_not_as_it_should_be_is_told(dest, change, how, said):
    neurofetch.get(URL, dest, subject="01", progress=False)
    path = "sub-01/anat/sub-01_T1w.nii.gz"
    stamp = (dest / path).stat()
    (dest / path).write_bytes(b"ANATOMY"[: change.get("size", 7)])
    os.utime(dest / path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get(URL, dest, subject="01", suffix="T1w", offline=True, progress=False, **how)
    failed = caught.value.report.of(Status.FAILED)
    reason = next(one.reason for one in failed if one.path == path)
    assert said in reason
    assert "the network is not to be used" in reason


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
def test_what_is_here_under_another_name_is_copied_without_the_network(site, tmp_path):
    twins = [f"sub-01/anat/sub-01_run-{number}_T1w.nii.gz" for number in (1, 2, 3)]
    tree = {**small_tree(), **dict.fromkeys(twins, b"the same content" * 99)}
    site.add("ds000002", {"1.0.0": tree})
    neurofetch.get("ds000002", progress=False)
    here = tmp_path / "ds000002"
    (here / twins[1]).unlink()
    neurofetch.get("ds000002", progress=False, offline=True)
    assert (here / twins[1]).read_bytes() == tree[twins[1]]
    for path in twins:
        (here / path).unlink()
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get("ds000002", progress=False, offline=True)
    assert {one.path for one in caught.value.report.of(Status.FAILED)} == {*twins}
    assert not any((here / path).exists() for path in twins)


def test_a_server_that_refuses_is_no_network_that_is_away(dest, s3):
    neurofetch.get(URL, dest, subject="01", progress=False)
    s3.fault(method="LIST", status=403, times=None)
    with pytest.raises(RefusedError):
        neurofetch.get(URL, dest, subject="01", progress=False)


# -- what is written down ------------------------------------------------------------------------


def listings(dest):
    return sorted((dest / ".neurofetch" / "listings").iterdir())


def test_the_same_request_is_written_once(dest):
    neurofetch.get(URL, dest, subject="01", progress=False)
    first = [(path, path.read_bytes()) for path in listings(dest)]
    neurofetch.get(URL, dest, subject="01", progress=False)
    assert [(path, path.read_bytes()) for path in listings(dest)] == first


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
def test_many_requests_are_put_together(dest, monkeypatch, s3):
    monkeypatch.setattr("neurofetch.store.listings.MANY", 3)
    for subject in ("01", "02"):
        for session in ("a", "b"):
            neurofetch.get(URL, dest, subject=subject, ses=session, progress=False)
    neurofetch.get(URL, dest, subject="01", datatype="anat", progress=False)
    assert len(listings(dest)) <= 3
    take_away(monkeypatch, s3)
    for session in ("a", "b"):
        for subject in ("01", "02"):
            report = neurofetch.get(
                URL, dest, subject=subject, ses=session, offline=True, progress=False
            )
            assert {one.status for one in report.outcomes} == {Status.KEPT}


def damage(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "other bytes":
        path.write_bytes(bytes(content[:-6]) + b"\0\0\0\0\0\0")
    else:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["cut", "empty", "other bytes", "a folder"])
def test_a_damaged_memory_is_as_none_and_the_next_run_mends_it(shell, dest, how):
    neurofetch.get(URL, dest, subject="01", progress=False)
    for path in listings(dest):
        damage(path, how)
    with pytest.raises(OfflineError, match="does not remember"):
        neurofetch.get(URL, dest, subject="01", offline=True, progress=False)
    neurofetch.get(URL, dest, subject="01", progress=False)
    if how != "a folder":
        with pytest.warns(match="was not asked"):
            neurofetch.get(URL, dest, subject="01", offline=True, progress=False)


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
def test_the_newer_listing_counts_where_the_server_changed(dest, s3):
    neurofetch.get(URL, dest, progress=False)
    changed = BASE + "sub-01/anat/sub-01_T1w.nii.gz"
    s3.put(changed, b"another anatomy")
    neurofetch.get(URL, dest, subject="01", progress=False)
    report = neurofetch.get(URL, dest, offline=True, progress=False)
    assert {one.status for one in report.outcomes} == {Status.KEPT}
    assert (dest / "sub-01/anat/sub-01_T1w.nii.gz").read_bytes() == b"another anatomy"


# -- LAION-fMRI ----------------------------------------------------------------------------------


def test_laion_fmri_without_the_network(tmp_path):
    with make_s3() as s3:
        shell = Shell(tmp_path, s3.url)
        words = ["download", "--subject", "sub-03", "--data-dir", "data"]
        words += ["--accept-license", "CC0-1.0"]
        assert shell(f"laion-fmri {' '.join(words)}").code == 0
        here, asked = on_disk(shell.data), len(s3.log)
        code, _, said, sockets = watched(shell, *words, "--offline", package="laion_fmri")
        assert (code, sockets) == (0, "[]"), said
        assert len(s3.log) == asked
        assert on_disk(shell.data) == here
        code, _, said, sockets = watched(
            shell, *words, "--ses", "ses-01", "--offline", package="laion_fmri"
        )
        assert (code, sockets) == (0, "[]"), said


# -- OpenNeuro -----------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, monkeypatch):
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": small_tree(), "1.1.0": small_tree(subjects=3)})
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        monkeypatch.chdir(tmp_path)
        yield server


NAMES = ["ds000001", "openneuro:ds000001@1.0.0", "doi:10.18112/openneuro.ds000001.v1.0.0"]


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
@pytest.mark.parametrize("url", NAMES)
def test_a_version_of_openneuro_without_the_network(site, tmp_path, url):
    neurofetch.get("openneuro:ds000001@1.0.0", progress=False)
    written = (tmp_path / "ds000001/.neurofetch/source.json").read_bytes()
    asked = len(site.log) + len(site.bucket.log)
    report = neurofetch.get(url, subject="01", offline=True, progress=False)
    assert {one.status for one in report.outcomes} == {Status.KEPT}
    assert len(site.log) + len(site.bucket.log) == asked
    assert (tmp_path / "ds000001/.neurofetch/source.json").read_bytes() == written
    assert json.loads(written)["version"] == "1.0.0"


@pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")
def test_another_version_than_the_one_that_is_here_is_not_known_offline(site):
    neurofetch.get("openneuro:ds000001@1.0.0", progress=False)
    with pytest.raises(OfflineError, match=r"ds000001@1\.1\.0"):
        neurofetch.get("openneuro:ds000001@1.1.0", offline=True, progress=False)


# -- a lock --------------------------------------------------------------------------------------


ASKS_NOBODY = {
    "the flag": ("--offline", {}),
    "the environment": ("", {"NEUROFETCH_OFFLINE": "1"}),
    "a dry run": ("--offline --dry-run", {}),
    "a place on a server": ("--offline --from http://127.0.0.1:9/copy", {}),
    "a place in a bucket": ("--offline --from s3://openneuro.org/copy", {}),
}


@pytest.mark.parametrize(("words", "env"), ASKS_NOBODY.values(), ids=ASKS_NOBODY)
def test_what_a_lock_names_is_asked_of_nobody(shell, s3, words, env):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    shell("neurofetch lock data --out a.lock")
    asked = len(s3.log)
    call = ["get", "--locked", "a.lock", "new", *words.split()]
    code, _, said, sockets = watched(shell, *call, **env)
    assert sockets == "[]", said
    assert len(s3.log) == asked
    assert code == (0 if "--dry-run" in words else 4)
    assert not on_disk(shell.home / "new")


def test_what_a_lock_names_is_copied_from_a_folder_without_the_network(shell, s3):
    shell(f"neurofetch get {URL} --data-dir data --subject 01")
    shell("neurofetch lock data --out a.lock")
    gone = shell.data / "sub-01/anat/sub-01_T1w.nii.gz"
    gone.unlink()
    call = ["get", "--locked", "a.lock", "new", "--from", "data", "--offline"]
    code, _, said, sockets = watched(shell, *call)
    assert (code, sockets) == (4, "[]"), said
    assert "sub-01_T1w.nii.gz" in said
    assert on_disk(shell.home / "new") == on_disk(shell.data)


# -- what is said --------------------------------------------------------------------------------


SAID = {
    "another data set": "neurofetch get openneuro:ds000001",
    "a version": "neurofetch get openneuro:ds000001@1.0.0",
    "a bucket": f"neurofetch get {URL} --data-dir data",
    "laion-fmri": "laion-fmri download --subject sub-03",
    "stimuli": "laion-fmri download-stimuli",
    "what there is": "laion-fmri info",
    "the catalogue": "neurofetch openneuro list",
    "a search": "neurofetch openneuro search music",
    "maps": "neurofetch neurovault fetch --collection 1",
    "all maps": "neurofetch neurovault search words --update",
}


@pytest.mark.parametrize("call", SAID.values(), ids=SAID)
def test_who_needs_the_network_is_told_what_to_do(shell, call):
    code = shell(call, NEUROFETCH_OFFLINE="1")
    assert code.code == 6
    assert "Run the same call" in code.err
    assert "with the network" in code.err or "where there is a network" in code.err
    assert not any(odd in code.err for odd in ("opens in a browser", "@ ", "Source"))
