"""An array of jobs, on a stand-in for Slurm that starts real processes, against a real local S3."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from neurofetch.engine import runs_in
from neurofetch.errors import UsageError
from neurofetch.jobs import following as following_module
from neurofetch.jobs import slurm as slurm_module
from neurofetch.jobs.following import Following
from neurofetch.jobs.slurm import Submission, _for_sbatch, _without_own
from neurofetch.model import Plan
from neurofetch.store.runs import Run
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Generated, S3Object, S3Server
from testbed.slurm import Slurm, _indices, _parsed, _seconds
from tests.engine_world import until
from tests.faces import Shell, on_disk

URL = "s3://openneuro.org/ds000777"
FILES = {
    "dataset_description.json": b"{}",
    "participants.tsv": b"participant_id\n",
    **{f"sub-{n:02}/anat/sub-{n:02}_T1w.nii.gz": os.urandom(4000) for n in range(1, 41)},
    **{f"sub-{n:02}/func/sub-{n:02}_task-rest_bold.json": b'{"a": 1}' for n in range(1, 41)},
}
LARGE = {f"sub-{n:02}/func/sub-{n:02}_task-rest_bold.nii.gz": (3 << 20) + n for n in range(1, 9)}
OBJECTS = {f"ds000777/{path}": content for path, content in FILES.items()} | {
    f"ds000777/{path}": S3Object(Generated(size, seed=size)) for path, size in LARGE.items()
}
TOTAL = sum(map(len, FILES.values())) + sum(LARGE.values())
ALL = {*FILES, *LARGE}
GET = f"neurofetch get {URL} --data-dir data"


@pytest.fixture
def s3():
    """A server that hands no more to the network than is read: what it sent, came."""
    with S3Server({"openneuro.org": OBJECTS}) as server:
        server._tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
        yield server


@pytest.fixture
def cluster(tmp_path, s3):
    """A login node: a shell that has sbatch, and the queue behind it."""
    with Slurm(tmp_path, at_once=4) as slurm:
        shell = Shell(tmp_path, s3.url)
        shell.env["PATH"] = f"{slurm.bin}{os.pathsep}{shell.env['PATH']}"
        shell.data.rmdir()
        yield SimpleNamespace(shell=shell, slurm=slurm, s3=s3, data=tmp_path / "data")


def submitted(cluster, more="--slurm '-p short' --jobs 8", command=GET):
    done = cluster.shell(f"{command} {more} --json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def the_run(data):
    (run,) = [run for run in runs_in(data) if run.expected != 1]
    return run


# -- the whole way ---------------------------------------------------------------------------


@pytest.mark.slow
def test_eight_jobs_bring_all_though_one_is_killed_and_one_node_is_slow(cluster):
    told = submitted(cluster, "--slurm '-p short' --jobs 8 --limit-rate 6M")
    job = told["job"]
    slurm, data = cluster.slurm, cluster.data
    until(lambda: slurm.state(job, 1) == "RUNNING" and slurm.state(job, 2) == "RUNNING")
    until(lambda: {"1", "2"} <= {task.name for task in the_run(data).tasks if task.files}, 30)
    slurm.fail_node(job, 1)  # SIGKILL to all its processes, and queued again
    slow = slurm.tasks(job)[2]["pid"]
    os.killpg(slow, signal.SIGSTOP)
    told = json.loads(cluster.shell("neurofetch status data --json").out)
    assert told["runs"][0]["over"] is False
    time.sleep(1.5)
    os.killpg(slow, signal.SIGCONT)
    assert set(slurm.wait(job).values()) == {("COMPLETED", 0)}
    assert on_disk(data) == ALL
    for path, content in FILES.items():
        assert (data / path).read_bytes() == content
    assert {path: (data / path).stat().st_size for path in LARGE} == LARGE
    sent = sum(request.sent for request in cluster.s3.requests("GET", "*ds000777/*"))
    assert sent <= 1.1 * TOTAL
    run = the_run(data)
    assert run.over
    assert (run.files_done, run.files_total, run.files_missing) == (len(ALL), len(ALL), 0)
    assert run.bytes_done == TOTAL
    assert next(task.began for task in run.tasks if task.name == "1") == 2
    done = cluster.shell("neurofetch status data --wait")
    assert done.code == 0
    assert "All is here." in done.out
    assert "it was started 2 times" in done.out
    assert max(map(len, done.out.splitlines())) <= 80 + len(str(data))
    assert cluster.shell("neurofetch verify data --hash").code == 0


@pytest.mark.slow
def test_all_jobs_read_what_the_submission_listed(cluster):
    told = submitted(cluster)
    listed = len(listings(cluster.s3))
    assert listed
    cluster.s3.put("ds000777/sub-01/anat/sub-01_T2w.nii.gz", S3Object(b"new"))
    cluster.slurm.wait(told["job"])
    assert len(listings(cluster.s3)) == listed
    assert on_disk(cluster.data) == ALL  # what was planned, and nothing that came since


def listings(s3):
    return s3.requests("LIST")


@pytest.mark.slow
@pytest.mark.parametrize("array", ["0-3", "1-4", "8-11%2", "0,1,6,7"])
def test_arrays_that_begin_anywhere_bring_all(cluster, array):
    told = submitted(cluster, "--slurm '' --jobs 4")
    cluster.slurm.wait(told["job"])
    for path in ALL:
        (cluster.data / path).unlink()
    done = cluster.shell(f"sbatch --parsable --array={array} {told['script']}")
    cluster.slurm.wait(done.out.strip())
    assert on_disk(cluster.data) == ALL


@pytest.mark.slow
def test_one_job_is_run_again_by_its_number_or_by_hand(cluster):
    told = submitted(cluster, "--slurm '' --jobs 4")
    cluster.slurm.wait(told["job"])
    for path in ALL:
        (cluster.data / path).unlink()
    for number in range(3):
        again = cluster.shell(f"sbatch --parsable --array={number} {told['script']}").out.strip()
        assert set(cluster.slurm.wait(again).values()) == {("COMPLETED", 0)}
    assert on_disk(cluster.data) != ALL
    done = cluster.shell(f"bash {told['script']} 3")
    assert done.code == 0
    assert on_disk(cluster.data) == ALL
    assert cluster.shell(f"bash {told['script']}").code == 2
    assert cluster.shell(f"bash {told['script']} -1").code == 2
    assert cluster.shell(f"bash {told['script']} 08").code == 0  # no octal number
    assert cluster.shell(f"bash {told['script']} 3", SGE_TASK_ID="undefined").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "numbers"),
    [("PBS_ARRAY_INDEX", range(2)), ("SGE_TASK_ID", (1, 2)), ("LSB_JOBINDEX", (1, 2))],
)
def test_other_batch_systems_run_the_same_script(cluster, variable, numbers):
    told = submitted(cluster, "--slurm '' --jobs 2")
    cluster.slurm.wait(told["job"])
    for path in ALL:
        (cluster.data / path).unlink()
    for number in numbers:
        assert cluster.shell(f"bash {told['script']}", **{variable: str(number)}).code == 0
    assert on_disk(cluster.data) == ALL


@pytest.mark.slow
def test_a_job_whose_time_is_over_ends_cleanly_and_is_resumed(cluster):
    told = submitted(cluster, "--slurm '-t 0:03' --jobs 1 --limit-rate 2M")
    assert cluster.slurm.wait(told["job"]) == {0: ("TIMEOUT", 143)}
    done = cluster.shell("neurofetch status data")
    assert done.code == 4
    assert "exit code 143" in done.out
    before = sum(request.sent for request in cluster.s3.requests("GET", "*ds000777/*"))
    assert 0 < before < TOTAL
    again = cluster.shell(f"sbatch --parsable -t 1:00:00 {told['script']}", NEUROFETCH_X="1")
    script = cluster.data / ".neurofetch/runs" / told["run"] / "jobs.sh"
    assert "--limit-rate=2000000" in script.read_text()
    cluster.slurm.wait(again.out.strip())
    assert on_disk(cluster.data) == ALL
    assert cluster.shell("neurofetch status data --wait").code == 0
    sent = sum(request.sent for request in cluster.s3.requests("GET", "*ds000777/*"))
    assert sent <= 1.1 * TOTAL


@pytest.mark.slow
def test_all_jobs_take_the_version_that_was_the_newest_at_the_submission(tmp_path):
    with OpenNeuro() as site, Slurm(tmp_path, at_once=1) as slurm:
        site.add("ds000246", {"1.0.0": small_tree()})
        shell = Shell(tmp_path, site.url)
        shell.env |= {"OPENNEURO_URL": site.url, "AWS_ENDPOINT_URL": site.url}
        shell.env["PATH"] = f"{slurm.bin}{os.pathsep}{shell.env['PATH']}"
        call = "neurofetch get ds000246 --slurm '' --jobs 2 --json"
        done = shell(f"NEUROFETCH_PATIENCE=0 {call}")
        assert done.code == 0, done.err
        told = json.loads(done.out)
        site.add("ds000246", {"1.0.0": small_tree(), "1.1.0": small_tree(seed=1)})
        for number in range(2):  # long after
            assert shell(f"bash {told['script']} {number}").code == 0
        source = json.loads(shell("cat ds000246/.neurofetch/source.json").out)
        assert "1.1.0" not in json.dumps(source)
        assert shell("neurofetch status ds000246").code in (0, 4)


@pytest.mark.slow
def test_jobs_that_were_cancelled_are_not_waited_for(cluster):
    told = submitted(cluster, "--slurm '' --jobs 8 --limit-rate 1M")
    until(lambda: cluster.slurm.state(told["job"], 0) == "RUNNING", 10)
    assert cluster.shell(f"scancel {told['job']}").code == 0
    done = cluster.shell("neurofetch status data --wait")
    assert done.code == 4
    assert "not begun" in done.out


# -- odd names -------------------------------------------------------------------------------

ODD = "sub dir/a 'b' \"c\" $(touch stolen) `id` *?[x] \\ é;&|<>#!\t~"


@pytest.mark.slow
def test_no_name_is_read_by_the_shell(cluster):
    """Folders, globs and labels with all that a shell or sbatch reads: passed on as they are."""
    home = cluster.shell.home / ODD
    home.mkdir(parents=True)
    cluster.shell.home = home
    globs = shlex.join(["*T1w.nii.gz", "$(touch stolen)", "a b", "'", "x\ny"])
    command = f"neurofetch get {URL} --include {globs} --data-dir {shlex.quote('da ta;%A')}"
    told = submitted(cluster, "--slurm='--comment=\"a b\"' --jobs 2", command)
    ends = cluster.slurm.wait(told["job"])
    assert set(ends.values()) == {("COMPLETED", 0)}
    data = home / "da ta;%A"
    assert len([path for path in on_disk(data) if path.endswith("T1w.nii.gz")]) == 40
    assert not list(cluster.shell.home.rglob("stolen"))
    logs = list((data / ".neurofetch/runs" / told["run"]).glob("slurm-*_*.out"))
    assert len(logs) == 2


@pytest.mark.parametrize(
    "text",
    ["plain", "a b", "'", '"', "$(x)", "`x`", "\\", "a\nb", "-x", "*", "é", "\t", "!", "#", "~"],
)
def test_the_shell_reads_back_what_was_quoted(text):
    line = f"printf '%s\\0' {slurm_module._quoted(text)}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode() == f"{text}\0"


@pytest.mark.parametrize("text", ["a b", "'", '"', "\\", "#x", "é", "a'b\"c\\d", "-p", "%A"])
def test_sbatch_reads_back_what_was_quoted(text):
    assert shlex.split(_for_sbatch([text]), comments=True) == [text]


def test_a_line_break_in_the_name_of_a_folder_is_refused_before_anything_is_submitted(cluster):
    folder = shlex.quote("a\nb")
    done = cluster.shell(f"neurofetch get {URL} --data-dir {folder} --slurm ''")
    assert done.code == 2
    assert "line break" in done.err
    assert not cluster.slurm.tasks(100)


# -- what is shown, and what is not done -----------------------------------------------------


def test_a_dry_run_shows_plan_and_script_and_writes_nothing(cluster):
    done = cluster.shell(f"{GET} --slurm '-p short -t 2:00:00' --jobs 6%2 --dry-run")
    assert done.code == 0, done.err
    assert "#SBATCH --array=0-5%2" in done.out
    assert "#SBATCH -p short -t 2:00:00" in done.out
    assert '--shard="$part/6"' in done.out
    assert "anat/T1w.nii.gz" in done.out
    assert not cluster.data.exists()
    assert not (cluster.slurm.home / "jobs").exists()
    script = done.out[done.out.index("#!/bin/bash") :]
    checked = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0


def test_what_is_said_at_a_submission_is_what_one_does_next(cluster):
    done = cluster.shell(f"{GET} --slurm '-p long' --jobs 3")
    assert done.out.strip() == "100"
    assert "neurofetch status --data-dir" in done.err
    assert "scancel 100" in done.err
    assert "anat/T1w.nii.gz" in done.err


def test_where_all_is_here_no_job_is_submitted(cluster):
    assert cluster.shell(GET).code == 0
    done = cluster.shell(f"{GET} --slurm '' --json")
    assert done.code == 0
    assert json.loads(done.out)["job"] is None
    assert not (cluster.slurm.home / "jobs").exists()


def test_what_sbatch_refuses_is_told_in_its_words(cluster):
    done = cluster.shell(f"{GET} --slurm '-p nowhere'")
    assert done.code == 2
    assert "invalid partition specified: nowhere" in done.err
    assert "jobs.sh" in done.err
    told = json.loads(cluster.shell(f"{GET} --slurm=--nonsense --json").out)
    assert told["error"]["code"] == "scheduler"
    assert "unrecognized option" in told["error"]["message"]


def test_what_was_refused_is_not_waited_for(cluster):
    assert cluster.shell(f"{GET} --slurm '-p nowhere'").code == 2
    done = cluster.shell("neurofetch status data --wait")
    assert done.code == 3  # nothing is known of a run
    told = submitted(cluster, "--slurm '' --jobs 2")
    cluster.slurm.wait(told["job"])
    assert cluster.shell("neurofetch status data --wait").code == 0


@pytest.mark.parametrize(
    "said",
    [
        "{}",
        "Submitted batch job {}",
        "welcome\n--> checks: OK\n{}",
        "{}\nbye 7 times",
    ],
)
def test_the_number_of_the_job_is_found_in_what_a_site_prints(cluster, said):
    script = cluster.slurm.bin / "sbatch"
    script.write_text(f"#!/bin/sh\nprintf '{said.format(4711)}\n'\n")
    assert submitted(cluster, "--slurm '' --jobs 2")["job"] == "4711"


@pytest.mark.parametrize("said", ["4711;alpha", "hello\n4711;a-1.b_2", "4711;alpha\nbye"])
@pytest.mark.parametrize("queue", ["CLUSTER: x\n4711_1 short\n", "CLUSTER: x\n", ""])
def test_another_cluster_is_asked_for_the_jobs_that_it_has(cluster, said, queue):
    """Here nobody knows them: to ask without its name ends the waiting at once."""
    name = re.search(";(.*)", said)[1]
    script = cluster.slurm.bin / "sbatch"
    script.write_text(f"#!/bin/sh\nprintf '{said}\n'\n")
    squeue = cluster.slurm.bin / "squeue"
    squeue.write_text(
        f"#!/bin/sh\ncase \"$*\" in *--clusters={name}*' --jobs 4711') printf '{queue}'; exit 0;;"
        "esac\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n"
    )
    done = cluster.shell(f"{GET} --slurm '-M {name}' --jobs 2")
    assert done.out.strip() == f"4711;{name}"
    assert f"scancel --clusters={name} 4711\n" in done.err
    following = Following(cluster.data)
    (run,) = following.runs()
    here = os.environ["PATH"]
    try:
        os.environ["PATH"] = cluster.shell.env["PATH"]
        assert following.is_queued(run) is ("4711_1" in queue)
    finally:
        os.environ["PATH"] = here


def test_a_squeue_that_hangs_is_not_waited_for_at_each_run(tmp_path, monkeypatch):
    log, squeue = tmp_path / "log", tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\necho asked >> {log}\nexec sleep 60\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(following_module, "_PATIENCE", 0.3)
    following = Following(tmp_path)
    runs = [Run(f"r{n}", tmp_path, ".n", scheduler="slurm", job=f"{n}") for n in range(1, 9)]
    assert {following.is_queued(run) for run in runs} == {None}
    assert log.read_text().count("asked") == 1


def test_without_sbatch_the_script_is_there_to_be_taken_elsewhere(cluster):
    bare = ":".join(p for p in cluster.shell.env["PATH"].split(":") if "slurm" not in p)
    done = cluster.shell(f"{GET} --slurm ''", PATH=bare)
    assert done.code == 2
    assert "there is no sbatch here" in done.err
    (script,) = cluster.data.glob(".neurofetch/runs/*/jobs.sh")
    assert str(script) in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--jobs 4", "argument --jobs: it says into how many"),
        ("--slurm '' --jobs 0", "no number of jobs"),
        ("--slurm '' --jobs -3", "no number of jobs|expected one argument"),
        ("--slurm '' --jobs many", "no number of jobs"),
        ("--slurm '' --jobs 4%0", "no number of jobs"),
        ("--slurm '' --jobs 1.5", "no number of jobs"),
        ("--slurm '' --shard 0/2", "gives each job its part"),
        ("--slurm '' --offline", "not with --offline"),
        ("--slurm '' --workers 2", "not with --workers"),
        ("--slurm '' --locked x.lock", "not with --locked"),
        ("--slurm --requeue", "a value that begins with a dash is written with =: --slurm=--req"),
        ("--slurm='-W'", "-W is set by the script"),
        ("--slurm '-a 0-3'", "-a is set by the script"),
        ("--slurm='--array=0-3'", "--array is set by the script"),
        ("--slurm='--arr=0-3 -p x'", "--arr is set by the script"),
        ("--slurm='-p short --outp x'", "--outp is set by the script"),
        ("--slurm='-p short --wra x'", "--wra is set by the script"),
        ("--slurm '-o x'", "-o is set by the script"),
        ("--slurm '-n 4'", "-n is set by the script"),
        ("--slurm='--wrap=ls'", "--wrap is set by the script"),
        ("--slurm 'short'", "is no option of sbatch"),
        ('--slurm "-p \'a"', "cannot be read"),
        ("--slurm \"$(printf 'a\\nb')\"", "one line"),
        ("--slurm '' --endpoint https://me:word@s3.example.org", "password|user"),
        ("--slurm '' --mirror 'https://h/x?X-Amz-Signature=ab'", "signature|query"),
    ],
    ids=range(25),
)
def test_what_cannot_be_is_told_before_any_server_is_asked(cluster, flags, told):
    done = cluster.shell(f"{GET} {flags}")
    assert done.code == 2
    assert re.search(told, " ".join(done.err.split())), done.err
    assert not cluster.s3.requests()
    assert not cluster.data.exists()


def test_no_secret_is_in_the_script(cluster):
    told = submitted(cluster, "--slurm '' --jobs 1")
    text = (cluster.data / ".neurofetch/runs" / told["run"] / "jobs.sh").read_text()
    assert "AWS" not in text
    assert cluster.s3.url not in text


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["get", "x", "--slurm", "-p a", "--jobs=3"], ["get", "x"]),
        (["get", "x", "--dry-run", "-q", "--sub", "1"], ["get", "x", "--sub", "1"]),
        (["get", "--progress", "bar", "--data-dir", "d", "x"], ["get", "x"]),
        (["get", "--dest=d", "--limit-rate=3M", "x"], ["get", "x"]),
        (["get", "x", "--", "--jobs"], ["get", "x", "--", "--jobs"]),
    ],
    ids=range(5),
)
def test_a_job_has_all_words_of_the_call_but_those_about_the_submission(words, kept):
    assert _without_own(words) == kept


def test_the_rate_is_divided_among_the_jobs_that_run_at_once(tmp_path):
    arguments = SimpleNamespace(words=("get", "x"), jobs="8%2", slurm="", limit_rate=10e6)
    submission = Submission.asked_for(arguments, "neurofetch")
    assert "--limit-rate=5000000" in submission.script(Plan(tmp_path, ()), ".neurofetch")


@pytest.mark.parametrize(
    ("jobs", "array"), [("64", "0-63"), ("65", "0-64%64"), ("1000%200", "0-999%64"), ("99%9", "%9")]
)
def test_no_more_jobs_run_at_once_than_have_a_connection_each(jobs, array, tmp_path):
    arguments = SimpleNamespace(words=("get", "x"), jobs=jobs, slurm="", limit_rate=64e6)
    script = Submission.asked_for(arguments, "neurofetch").script(Plan(tmp_path, ()), ".n")
    (line,) = [one for one in script.splitlines() if one.startswith("#SBATCH --array=")]
    assert line.endswith(array)
    assert f"--limit-rate={64_000_000 // min(64, int(jobs.split('%')[-1]))} " in script


def test_what_a_job_has_of_its_own_comes_before_words_that_end_the_flags(tmp_path):
    words = ("get", "--include", "a", "--", "s3://b/x")
    arguments = SimpleNamespace(words=words, jobs="2", slurm="", limit_rate=None)
    script = Submission.asked_for(arguments, "neurofetch").script(Plan(tmp_path, ()), ".n")
    call = shlex.split(script.replace("\\\n", "").splitlines()[-1])
    assert call[5] == "get"
    assert call.index("--shard=$part/2") < call.index("--")
    assert call[-4:] == ["--include", "a", "--", "s3://b/x"]


def test_a_secret_in_the_call_is_refused():
    for word in ("https://u:p@h/x", "--endpoint=https://u@h", "https://h/x?sig=1"):
        arguments = SimpleNamespace(words=("get", word), jobs="8", slurm="", limit_rate=None)
        with pytest.raises(UsageError, match="password or a signature"):
            Submission.asked_for(arguments, "neurofetch")


def test_laion_fmri_submits_jobs_too(tmp_path):
    from tests.faces import make_s3  # noqa: PLC0415 - it makes a bucket of its own

    with make_s3() as s3, Slurm(tmp_path, at_once=2) as slurm:
        shell = Shell(tmp_path, s3.url)
        shell.env["PATH"] = f"{slurm.bin}{os.pathsep}{shell.env['PATH']}"
        call = "laion-fmri download --subject sub-03 --suffix statmap"
        refused = shell(f"{call} --slurm ''", LAION_FMRI_ACCEPT_LICENSE=None)
        assert refused.code == 5
        done = shell(f"{call} --slurm '-p short' --jobs 2 --json")
        assert done.code == 0, done.err
        ends = slurm.wait(json.loads(done.out)["job"])
        assert set(ends.values()) == {("COMPLETED", 0)}
        shown = shell("laion-fmri status --wait")
        assert shown.code == 0
        assert "2 jobs: 2 done" in shown.out
        assert shell(f"{call} --dry-run --json").out.count('"fetch"') <= 1


# -- the stand-in itself ---------------------------------------------------------------------


def test_the_stand_in_reads_arrays_and_times_as_slurm_does():
    assert _indices("0-3") == ([0, 1, 2, 3], 0)
    assert _indices("1-7:3,9%2") == ([1, 4, 7, 9], 2)
    assert [_seconds(one) for one in ("2", "1:30", "2:00:00", "1-2", "1-2:3:4")] == [
        120,
        90,
        7200,
        93600,
        93784,
    ]
    assert _parsed(["-p", "short", "--time=2", "x", "-y"]) == (
        {"--partition": "short", "--time": "2"},
        ["x", "-y"],
    )
    assert sys.executable
