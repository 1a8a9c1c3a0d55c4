"""The command `status`: what is shown of runs, what is waited for, and how it exits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from neurofetch.display.status import exit_of_run, runs_json, runs_text, status_line
from neurofetch.jobs._cli import status
from neurofetch.jobs.following import DOUBT, GIVEN_UP, RESTART, Following
from neurofetch.store.runs import begin_run, read_runs, runs_in
from tests.display.schema import validate
from tests.faces import Shell
from tests.store.test_runs import BEGIN, HALF, PLANNED, written

DONE = {"event": "end", "exit": 0, "done": 9, "failed": 0, "bytes_done": 900, "seconds": 4}
FAILED = {
    "event": "failed",
    "path": "sub-01/a.nii.gz",
    "reason": "403 Forbidden",
    "advice": "Ask the owners.",
}
ENDED = {
    "event": "end",
    "exit": 4,
    "done": 8,
    "failed": 1,
    "error": "IncompleteError",
    "message": "1 of 9 files failed.",
}


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "data" / ".neurofetch"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def shell(tmp_path, state):
    return Shell(tmp_path, "http://127.0.0.1:9")


def many(state, count, **states):
    """Write records of so many tasks: some done, some under way."""
    for number in range(count):
        last = DONE if number % 2 else HALF
        written(state, BEGIN | {"task": str(number)}, PLANNED, last, name=f"{number}~1.jsonl")


def test_a_reader_sees_how_far_all_jobs_are_and_how_long_it_takes(state, shell):
    begin_run(state, "run", expected=4, size=3600, command=["get", "x"], scheduler="slurm", job="7")
    many(state, 3)
    done = shell("neurofetch status data")
    assert done.code == 0
    assert "slurm job 7" in done.out
    assert "4 jobs: 1 done, 2 running, 1 not begun" in done.out
    assert "17 of 27 files, 1.90 kB of 3.60 kB (53 %), 100 bytes/s" in " ".join(done.out.split())
    assert "17 s left" in " ".join(done.out.split())


def test_a_table_of_many_jobs_fits_a_screen_and_shows_what_is_unusual(state):
    begin_run(state, "run", expected=1000)
    many(state, 1000)
    host = "a-node-with-a-name-that-is-rather-long.cluster.example.edu"
    path = written(state, BEGIN | {"host": host}, PLANNED, HALF, name="777~1.jsonl")
    old = time.time() - 700
    os.utime(path, (old, old))
    (run,) = read_runs(state)
    text = runs_text([run])
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 40
    assert "1,000 jobs: 499 done, 500 running, 1 silent" in text
    assert "… and 980 more" in text
    assert "nothing was heard of it for 11 min" in text


@pytest.mark.parametrize("width", [50, 60, 72, 80, 132])
def test_no_line_is_wider_than_the_screen(state, width):
    begin_run(state, "run", expected=30, command=["get", "s3://b/ds", "--include", "x" * 30])
    many(state, 20)
    long = FAILED | {"reason": "a reason that is quite long " * 5, "path": "sub-01/a"}
    written(state, BEGIN, PLANNED, long, ENDED, name="21~1.jsonl")
    (run,) = read_runs(state)
    for line in runs_text([run], width).splitlines():
        assert len(line) <= width, line


def test_failures_are_told_by_reason_with_what_one_can_do(state, shell):
    begin_run(state, "run", expected=1)
    some = [FAILED | {"path": f"sub-01/{n}"} for n in range(6)]
    other = FAILED | {"path": "sub-02/x", "reason": "404 Not Found", "advice": ""}
    written(state, BEGIN, PLANNED, *some, other, ENDED | {"failed": 7, "done": 2})
    done = shell("neurofetch status data")
    assert done.code == 4
    assert "403 Forbidden: sub-01/0, sub-01/1, sub-01/2 and 3 more" in done.out
    assert "404 Not Found: sub-02/x" in done.out
    assert done.out.count("Ask the owners.") == 1
    assert "Run it again: it fetches only what is missing." in done.out
    assert "exit code 4: 1 of 9 files failed." in done.out


def test_what_failed_and_came_later_counts_as_here(state, shell):
    begin_run(state, "run", expected=1)
    written(state, BEGIN, PLANNED, FAILED, ENDED)
    assert shell("neurofetch status data").code == 4
    (state.parent / "sub-01").mkdir()
    (state.parent / "sub-01/a.nii.gz").write_bytes(b"came")
    done = shell("neurofetch status data")
    assert done.code == 0
    assert "All is here." in done.out


@pytest.mark.parametrize(
    ("exits", "code"),
    [
        ([0, 0], 0),
        ([0, 6], 6),
        ([143, 0], 4),
        ([130, 0], 4),
        ([6, 2], 2),
        ([6, 7], 7),
        ([1, 7], 1),
        ([0, 5], 5),
        ([3, 0], 3),
        ([None, 0], 4),
    ],
    ids=str,
)
def test_the_exit_codes_of_jobs_come_to_one(state, exits, code):
    begin_run(state, "run", expected=2)
    dead = f"{_own_host()}-1999999-77-abcdef01"
    for number, one in enumerate(exits):
        end = [] if one is None else [DONE | {"exit": one}]
        written(state, BEGIN | {"token": dead}, PLANNED, *end, name=f"{number}~1.jsonl")
    (run,) = read_runs(state)
    assert run.over
    assert exit_of_run(run) == code


def _own_host():
    from neurofetch.store.owner import process_token  # noqa: PLC0415

    return process_token().partition("-")[0]


def test_json_is_the_same_and_has_a_schema(state, shell):
    begin_run(state, "run", expected=3, command=["get", "x"], scheduler="slurm", job="7")
    written(state, BEGIN | {"job": "7_0"}, PLANNED, FAILED, ENDED)
    written(state, BEGIN, PLANNED, HALF, name="1~1.jsonl")
    told = json.loads(shell("neurofetch status data --json").out)
    validate(told)
    (run,) = told["runs"]
    assert (run["tasks_expected"], run["tasks_begun"], run["over"]) == (3, 2, False)
    assert run["failures"][0]["paths"] == ["sub-01/a.nii.gz"]
    assert [task["state"] for task in run["tasks"]] == ["failed", "running"]
    assert run["tasks"][0]["job"] == "7_0"
    validate({"schema": "neurofetch/1", "document": "status", **runs_json(state, [])})


def test_a_directory_without_runs_says_so(shell):
    done = shell("neurofetch status data")
    assert done.code == 3
    assert "tells of no run" in done.err
    assert shell("neurofetch status nowhere").code == 7
    assert shell("neurofetch status").code == 2


def test_one_run_is_asked_for_by_its_name(state, shell):
    for name in ("a", "b"):
        begin_run(state, name, expected=2)
        time.sleep(0.01)
    done = shell("neurofetch status data --run a")
    assert "run a" in done.out
    assert "run b" not in done.out
    done = shell("neurofetch status data --run c")
    assert done.code == 2
    assert "Its last runs: a, b." in done.err


def test_old_runs_that_are_over_have_a_line(state):
    begin_run(state, "old", expected=1)
    written(state, BEGIN, PLANNED, DONE).rename(state / "runs/old/0~1.jsonl")
    (state / "runs/run").rmdir()
    begin_run(state, "new", expected=2)
    lines = runs_text(runs_in(state.parent)).splitlines()
    assert lines[0].startswith("run old")
    assert "all is here" in " ".join(" ".join(lines[:3]).split())


def test_nothing_in_a_record_moves_a_cursor(state, shell):
    begin_run(state, "run", expected=1, command=["get", "\033[2J"], scheduler="\033[1m", job="\r7")
    odd = FAILED | {"path": "\033[31mred", "reason": "\x07 bell", "advice": "\u202eback"}
    begin = BEGIN | {"host": "h\033[0m", "job": "\033]0;title\x07"}
    written(state, begin, PLANNED, odd, ENDED | {"message": "a\rb\033[K"})
    out = shell("neurofetch status data").out
    assert "\033" not in out
    assert "\r" not in out
    assert "\x07" not in out
    assert "\u202e" not in out


def test_who_is_silent_is_told_with_where_and_since_when(state, shell):
    begin_run(state, "run", expected=1)
    path = written(state, BEGIN | {"host": "node07", "job": "12_3"}, PLANNED, HALF)
    old = time.time() - 400
    os.utime(path, (old, old))
    done = shell("neurofetch status data")
    assert "job 0 on node07 (12_3): nothing was heard of it for 6 min" in done.out


@pytest.mark.parametrize("flag", ["--wait", "--watch"])
def test_to_wait_ends_when_all_jobs_have(state, shell, flag):
    begin_run(state, "run", expected=1)
    written(state, BEGIN, PLANNED, HALF)
    process = shell.start(f"neurofetch status data {flag}")
    time.sleep(1.0)
    assert process.poll() is None
    written(state, BEGIN, PLANNED, DONE)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "All is here." in out
    assert "1 job: 1 running" in err


def test_to_watch_draws_anew_in_a_terminal(state, shell):
    begin_run(state, "run", expected=1)
    written(state, BEGIN, PLANNED, HALF)
    code = (
        "import os, pty, sys\n"
        "pid, fd = pty.fork()\n"
        "if not pid:\n"
        "    os.execvp(sys.argv[1], sys.argv[1:])\n"
        "text = b''\n"
        "while True:\n"
        "    try: piece = os.read(fd, 4096)\n"
        "    except OSError: break\n"
        "    if not piece: break\n"
        "    text += piece\n"
        "    print('drawn', flush=True) if text.count(b'\\033[H') == 1 else None\n"
        "print(text.count(b'\\033[H'), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    command = [sys.executable, "-c", code, "neurofetch", "status", "data", "--watch"]
    process = subprocess.Popen(
        command, cwd=shell.home, env=shell.env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "drawn\n"
    written(state, BEGIN, PLANNED, DONE)
    drawn, ended = process.communicate(timeout=20)[0].splitlines()[-1].split()
    assert int(drawn) >= 1
    assert ended == "0"


def test_a_job_that_was_lost_may_begin_again_for_a_while(state):
    begin_run(state, "run", expected=1)
    dead = f"{_own_host()}-1999999-77-abcdef01"
    written(state, BEGIN | {"token": dead}, PLANNED, HALF)
    now = [100.0]
    following = Following(state.parent, clock=lambda: now[0])
    (run,) = following.runs()
    assert run.over
    assert not following.is_over(run)
    now[0] += RESTART + 1
    assert following.is_over(run)


def test_a_job_that_is_silent_for_very_long_is_not_waited_for(state):
    begin_run(state, "run", expected=1)
    path = written(state, BEGIN, PLANNED, HALF)
    old = time.time() - GIVEN_UP - 100
    os.utime(path, (old, old))
    following = Following(state.parent)
    (run,) = following.runs()
    assert not run.over
    assert following.is_over(run)


def test_an_old_run_whose_jobs_never_began_is_not_waited_for(state, shell):
    begin_run(state, "old", expected=8, scheduler="slurm", job="7")
    time.sleep(0.01)
    begin_run(state, "run", expected=1)
    written(state, BEGIN, PLANNED, DONE)
    for flag in ("", "--wait", "--watch"):
        done = shell(f"neurofetch status data {flag}")
        assert done.code == 0, flag
        assert "run old" in done.out


def test_an_older_run_that_is_queued_yet_is_waited_for(state, shell, tmp_path):
    begin_run(state, "old", expected=1, scheduler="slurm", job="7")
    time.sleep(0.01)
    begin_run(state, "run", expected=1)
    written(state, BEGIN, PLANNED, DONE)
    squeue, queue = tmp_path / "squeue", tmp_path / "queue"
    squeue.write_text(f"#!/bin/sh\ncat {queue}\n")
    squeue.chmod(0o755)
    queue.write_text("7_0 PENDING\n")
    path = f"{tmp_path}{os.pathsep}{shell.env['PATH']}"
    process = shell.start("neurofetch status data --wait", PATH=path)
    time.sleep(1.5)
    assert process.poll() is None
    written(state, BEGIN, PLANNED, DONE).rename(state / "runs/old/0~1.jsonl")
    written(state, BEGIN, PLANNED, DONE)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("flags", ["--wait", "--watch", "--wait --json"])
def test_jobs_that_end_while_slurm_is_asked_count_as_ended(state, shell, tmp_path, flags):
    """The records were read before: what they told is old by the time of Slurm's answer."""
    begin_run(state, "run", expected=2, files=18, scheduler="slurm", job="7")
    for number in range(2):
        written(state, BEGIN, PLANNED, HALF, name=f"{number}~1.jsonl")
    ends = tmp_path / "ends" / "runs"
    for number in range(2):
        written(ends.parent, BEGIN, PLANNED, DONE, name=f"{number}~1.jsonl")
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\ncp {ends}/run/*.jsonl {state}/runs/run/\n")
    squeue.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{shell.env['PATH']}"
    process = shell.start(f"neurofetch status data {flags}", PATH=path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told = json.loads(shell("neurofetch status data --json").out)
    assert [task["state"] for task in told["runs"][0]["tasks"]] == ["done"] * 2
    assert "running" not in out


def test_a_run_of_a_newer_version_that_is_over_is_not_waited_for(state):
    begin_run(state, "run", expected=1)
    path = written(state, BEGIN | {"record": 99}, PLANNED, DONE)
    old = time.time() - GIVEN_UP - 100
    os.utime(path, (old, old))
    following = Following(state.parent)
    (run,) = following.runs()
    assert run.tasks[0].state == "unknown"
    assert following.is_over(run)


WITHOUT = "-dac_override,-dac_read_search"
LESS = f"setpriv --bounding-set {WITHOUT} --inh-caps {WITHOUT} " if os.geteuid() == 0 else ""
"""What takes the rights away from root by which it reads and writes whatever it likes."""
needs_rights = pytest.mark.skipif(LESS != "" and shutil.which("setpriv") is None, reason="is root")


@needs_rights
@pytest.mark.parametrize("late", [0, 600, 7200, 3 * 86400])
def test_where_nothing_may_be_written_the_newest_record_tells_the_time(state, shell, late):
    """The clock of the file server is ahead of this host, and one of two jobs is silent."""
    begin_run(state, "run", expected=2)
    for number, ago in enumerate((0, 400)):
        path = written(state, BEGIN, PLANNED, HALF, name=f"{number}~1.jsonl")
        when = time.time() + late - ago
        os.utime(path, (when, when))
    (state / "runs").chmod(0o555)
    told = json.loads(shell(f"{LESS}neurofetch status data --json").out)
    (state / "runs").chmod(0o755)
    assert [task["state"] for task in told["runs"][0]["tasks"]] == ["running", "silent"]


@needs_rights
@pytest.mark.parametrize("folder", ["data", "data/.neurofetch", "data/.neurofetch/runs"])
def test_what_may_not_be_read_is_told_and_is_not_no_run(folder, state, shell, tmp_path):
    begin_run(state, "run", expected=1)
    (tmp_path / folder).chmod(0)
    done = shell(f"{LESS}neurofetch status data")
    (tmp_path / folder).chmod(0o755)
    assert done.code == 7
    assert "cannot be read: Permission denied" in done.err


def test_a_file_is_no_data_directory(shell, tmp_path):
    (tmp_path / "file").write_text("x")
    done = shell("neurofetch status file")
    assert done.code == 7
    assert "is no directory" in done.err


def test_a_silent_task_of_which_nobody_hears_any_more_is_not_waited_for(state):
    begin_run(state, "run", expected=3, owner="otherhost-12-345-0123abcd")
    path = written(state, BEGIN, PLANNED, HALF)
    for old in (path, state / "runs" / "run" / "run.json"):
        os.utime(old, (time.time() - 120, time.time() - 120))
    following = Following(state.parent)
    (run,) = following.runs()
    assert run.closed
    assert following.is_over(run)


@pytest.mark.parametrize("reason", ["the disk is full.", "403 Forbidden", "it ended..."])
def test_a_reason_is_followed_by_one_mark(state, reason):
    begin_run(state, "run", expected=1)
    written(state, BEGIN, PLANNED, FAILED | {"reason": reason}, ENDED)
    (run,) = read_runs(state)
    assert f"{reason.rstrip('.')}: sub-01/a.nii.gz" in runs_text([run])


def test_jobs_that_never_begin_are_told_with_what_one_can_do(state):
    begin_run(state, "run", expected=8, scheduler="slurm", job="812")
    now = [100.0]
    following = Following(state.parent, clock=lambda: now[0])
    (run,) = following.runs()
    assert following.doubt(run) == ""
    now[0] += DOUBT + 1
    told = following.doubt(run)
    assert "8 of its jobs have not begun" in told
    assert "squeue --jobs 812" in told
    assert "run the first command again" in told
    written(state, BEGIN, PLANNED, HALF)  # one begins
    (run,) = following.runs()
    assert following.doubt(run) == ""
    now[0] += DOUBT + 1
    assert following.doubt(run) == ""  # it works
    written(state, BEGIN, PLANNED, DONE)
    (run,) = following.runs()
    assert following.doubt(run) == ""
    now[0] += DOUBT + 1
    assert "7 of its jobs" in following.doubt(run)


@pytest.mark.parametrize("flag", ["--wait", "--watch", "--wait --json"])
def test_to_wait_for_jobs_that_nobody_submitted_says_so(state, shell, flag):
    begin_run(state, "run", expected=8, scheduler="slurm")
    process = shell.start(f"neurofetch status data {flag}")
    until = time.monotonic() + 20
    said = ""
    while "first command again" not in said and time.monotonic() < until:
        said += process.stderr.readline()
    assert "not submitted" in said
    assert "/runs/run/jobs.sh" in said
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "The jobs go on as they are." in err
    assert "Finished files" not in err


def test_what_stays_the_same_is_said_now_and_then(state, monkeypatch, capsys):
    begin_run(state, "run", expected=8, scheduler="slurm", job="812")
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds
        if now[0] > 3700:
            raise KeyboardInterrupt

    class Hour(Following):
        def __init__(self, root, name):
            super().__init__(root, name, sleep, lambda: now[0])

    monkeypatch.setattr("neurofetch.jobs.following.Following", Hour)
    given = {"run": None, "wait": True, "watch": False, "json": False, "quiet": False}
    with pytest.raises(KeyboardInterrupt):
        status(SimpleNamespace(**given), state.parent)
    lines = capsys.readouterr().err.splitlines()
    assert 6 <= sum("8 not begun" in line for line in lines) <= 8
    assert 5 <= sum("squeue --jobs 812" in line for line in lines) <= 7


def test_where_nothing_had_to_be_fetched_all_is_here(state, shell):
    begin_run(state, "run", expected=0, files=5, size=500)
    done = shell("neurofetch status data --wait")
    assert done.code == 0
    assert "no job was needed; 5 of 5 files" in done.out
    assert "All is here." in done.out


def test_a_run_of_which_only_the_listing_is_kept_is_none(state):
    (state / "runs" / "r" / "listings").mkdir(parents=True)
    assert read_runs(state) == []


def test_what_is_the_same_of_many_jobs_is_told_once(state):
    begin_run(state, "run", expected=300)
    for number in range(300):
        end = ENDED | {"exit": 2, "error": "UsageError", "message": "no such subject", "failed": 0}
        written(state, BEGIN, PLANNED, end, name=f"{number}~1.jsonl")
    (run,) = read_runs(state)
    text = " ".join(runs_text([run]).split())
    assert text.count("no such subject") == 1
    assert "and 297 more: exit code 2: no such subject" in text
    assert "will end in the same way" in text


def test_a_line_tells_all_of_a_run(state):
    begin_run(state, "run", expected=1)
    written(state, BEGIN, PLANNED, FAILED, ENDED)
    (run,) = read_runs(state)
    assert status_line(run).endswith("; 1 file missing")
