"""Records of runs: written beside the data, and read while anything may have happened to them."""

import json
import os
import random
import signal
import string
import subprocess
import sys
import time

import pytest

from neurofetch.engine import Listing, RunSettings, query
from neurofetch.errors import (
    ConfigError,
    InterruptedTransferError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from neurofetch.events import FileDone, Planned, Progress
from neurofetch.events import Listing as ListingEvent
from neurofetch.model import IncompleteError, Outcome, Report, Status
from neurofetch.store import run_record, runs
from neurofetch.store.owner import Life
from neurofetch.store.run_record import RunRecord
from neurofetch.store.runs import (
    RunName,
    TaskState,
    ask_to_stop,
    begin_run,
    is_to_stop,
    new_run_id,
    read_runs,
    runs_in,
)
from tests.engine_world import OPTIONS, World, planned, until

NAME = RunName("run", "0")


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.delenv("NEUROFETCH_RUN", raising=False)
    with World(tmp_path, monkeypatch) as world:
        yield world


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "data" / ".neurofetch"
    folder.mkdir(parents=True)
    return folder


def fetched(world, run, *, strict=False, **how):
    """Fetch everything as a task; return the report."""
    with world.fetcher() as fetcher:
        settings = RunSettings(options=OPTIONS, run=run, **how)
        plan = planned(fetcher)
        return fetcher.run(plan, settings, strict=strict)


def record_of(state, name="0~1.jsonl", run="run"):
    return state / "runs" / run / name


def the_task(state):
    (run,) = read_runs(state)
    (task,) = run.tasks
    return task


def written(state, *values, name="0~1.jsonl", end="\n"):
    """Write a record as a process would, or would not; return its path."""
    path = record_of(state, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(value) for value in values) + end)
    return path


BEGIN = {"event": "begin", "record": 1, "task": "0", "host": "far", "pid": 3, "token": "far-3-4-ab"}
PLANNED = {"event": "planned", "key": "k", "files": 9, "done": 1, "bytes": 900, "bytes_done": 100}
HALF = {"event": "progress", "done": 4, "failed": 0, "bytes_done": 500, "rate": 50.0, "seconds": 8}


# -- what is written -------------------------------------------------------------------------


def test_a_task_tells_what_it_had_and_what_came(world):
    for number in range(5):
        world.put(f"a{number}", b"x" * 100)
    assert fetched(world, NAME).ok
    (run,) = read_runs(world.state)
    assert (run.id, run.files_done, run.files_total, run.bytes_done) == ("run", 5, 5, 500)
    assert run.over
    (task,) = run.tasks
    assert (task.state, task.exit, task.pid, task.failed) == (TaskState.DONE, 0, os.getpid(), ())
    assert task.bytes_moved == 500


def test_files_that_were_here_are_done_and_did_not_move(world):
    for number in range(5):
        world.put(f"a{number}", b"x" * 100)
    fetched(world, None)
    fetched(world, NAME)
    task = the_task(world.state)
    assert (task.files, task.files_done, task.bytes_done, task.bytes_moved) == (5, 5, 500, 0)


def test_a_run_of_its_own_leaves_a_record_only_where_it_lasts(world, monkeypatch):
    world.put("a", b"x")
    fetched(world, None)
    assert not (world.state / "runs").exists()
    monkeypatch.setattr(run_record, "BRIEF", 0.01)
    record = RunRecord.begin(world.state, None)
    until(lambda: read_runs(world.state))
    record.end(None)
    (run,) = read_runs(world.state)
    assert run.expected == 1
    assert run.over


def test_every_file_that_failed_is_told_with_why_and_what_to_do(world):
    world.put("good", b"x")
    world.put("bad", b"y")
    plan = world.plan()
    bad = next(step.want for step in plan.steps if step.want.path == "bad")
    good = next(step.want for step in plan.steps if step.want.path == "good")
    record = RunRecord.begin(world.state, plan, NAME)
    record(FileDone(Outcome("good", good.remote.key, Status.FETCHED, size=1)))
    refused = Outcome("bad", bad.remote.key, Status.FAILED, "the server refuses", advice="ask them")
    record(FileDone(refused))
    report = Report(plan.root, (Outcome("good", "good", Status.FETCHED, size=1), refused))
    record.end(report, IncompleteError("1 of 2 files failed.\n  bad: the server refuses", report))
    (run,) = read_runs(world.state)
    (task,) = run.tasks
    assert (task.state, task.exit, task.error) == (TaskState.FAILED, 4, "IncompleteError")
    assert task.message == "1 of 2 files failed."
    assert [(f.path, f.reason, f.advice) for f in task.failed] == [
        ("bad", "the server refuses", "ask them")
    ]
    assert (task.files, task.files_done, task.files_failed) == (2, 1, 1)
    assert run.files_missing == 1


def test_what_failed_in_one_task_and_came_in_another_is_here(world):
    state = world.state
    state.mkdir()
    failed = {"event": "failed", "path": "sub/a", "reason": "gone", "stood": ""}
    end = {"event": "end", "exit": 4, "done": 8, "failed": 1}
    written(state, BEGIN, PLANNED, failed, end)
    (run,) = read_runs(state)
    assert [one.path for one in run.missing()] == ["sub/a"]
    (world.root / "sub").mkdir()
    (world.root / "sub" / "a").write_bytes(b"came")
    assert run.missing() == ()
    assert run.files_missing == 0


def test_a_damaged_file_that_could_not_be_replaced_is_not_here(world):
    state = world.state
    state.mkdir()
    (world.root / "a").write_bytes(b"damaged")
    stood = runs.stands_at(world.root, "a")
    failed = {"event": "failed", "path": "a", "reason": "refused", "stood": stood}
    written(state, BEGIN, PLANNED, failed, {"event": "end", "exit": 4, "done": 8, "failed": 1})
    (run,) = read_runs(state)
    assert run.files_missing == 1
    (world.root / "new").write_bytes(b"right")
    (world.root / "new").replace(world.root / "a")
    assert run.files_missing == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnreachableError("no way"), 6),
        (UsageError("no such subject"), 2),
        (RefusedError("403"), 6),
        (InterruptedTransferError("stopped"), 2),
        (KeyboardInterrupt(), 130),
        (SystemExit(), 143),
        (ZeroDivisionError(), 1),
        (OSError("disk"), 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_each_end_has_the_exit_code_of_the_command(state, error, code):
    RunRecord.begin(state, None, NAME).end(None, error)
    task = the_task(state)
    assert (task.exit, task.state, task.error) == (code, TaskState.FAILED, type(error).__name__)


def test_what_goes_wrong_before_there_is_a_plan_is_told(world):
    """As a bucket that is not there: the task has ended, and its record says with what."""
    with pytest.raises(ZeroDivisionError), world.fetcher() as fetcher:
        fetcher.prepare(lambda: 1 / 0, RunSettings(run=NAME))
    task = the_task(world.state)
    assert (task.state, task.exit) == (TaskState.FAILED, 1)


def test_a_dry_run_leaves_nothing(world):
    world.put("a", b"x")
    with world.fetcher() as fetcher:
        settings = RunSettings(run=NAME, dry_run=True)
        fetcher.prepare(lambda: fetcher.choose(query(), Listing(("",))), settings)
    assert not world.state.exists()


def test_a_process_that_carries_out_two_plans_for_a_task_is_one_attempt(world):
    """As a data set and its stimuli, which come from two places."""
    world.put("a", b"x" * 100)
    fetched(world, NAME)
    world.put("b", b"y" * 50)
    fetched(world, NAME)  # another plan: 1 here, 1 to come
    task = the_task(world.state)
    assert (task.began, task.files, task.state) == (1, 3, TaskState.DONE)


def test_the_same_plan_once_more_is_another_attempt(world):
    world.put("a", b"x" * 100)
    fetched(world, NAME)
    fetched(world, NAME)
    task = the_task(world.state)
    assert (task.began, task.files, task.bytes_moved) == (2, 1, 100)


def test_the_environment_names_the_task(world, monkeypatch):
    monkeypatch.setenv("NEUROFETCH_RUN", "r1/7")
    assert RunSettings.checked().run == RunName("r1", "7")
    monkeypatch.setenv("NEUROFETCH_RUN", "")
    assert RunSettings.checked().run is None


@pytest.mark.parametrize(
    "text",
    ["r1", "r1/", "/7", "../../x/1", "a b/1", "r/1/2", "-r/1", "r/" + "1" * 41, "r" * 65 + "/1"],
    ids=range(9),
)
def test_a_name_that_is_none_fails_before_anything_is_asked(text, monkeypatch):
    monkeypatch.setenv("NEUROFETCH_RUN", text)
    with pytest.raises(ConfigError, match="Unset NEUROFETCH_RUN"):
        RunSettings.checked()


# -- disks -----------------------------------------------------------------------------------


def test_a_disk_that_takes_no_record_costs_the_record_alone(world, monkeypatch):
    world.put("a", b"x")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_record, "write_all", full)
    assert fetched(world, NAME).ok
    assert the_task(world.state).exit is None


def test_a_link_in_the_place_of_the_folder_is_not_followed(world, tmp_path):
    world.put("a", b"x")
    outside = tmp_path / "elsewhere"
    (outside / "run").mkdir(parents=True)
    world.state.mkdir()
    (world.state / "runs").symlink_to(outside)
    assert fetched(world, NAME).ok
    assert list((outside / "run").iterdir()) == []
    assert read_runs(world.state) == []
    assert not is_to_stop(world.state, "run")


def test_a_record_that_is_a_link_is_not_read(state, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text(json.dumps(BEGIN) + "\n")
    record_of(state).parent.mkdir(parents=True)
    record_of(state).symlink_to(theirs)
    (run,) = read_runs(state)
    assert run.tasks == ()


def test_what_could_not_be_written_is_written_later(state, monkeypatch):
    real = run_record.write_all
    record = RunRecord.begin(state, None, NAME)

    def short(fd, data):
        os.write(fd, data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_record, "write_all", short)
    record(Progress(1, 2, 3, 4, 5.0, 6.0, 7))
    record._flush()
    monkeypatch.setattr(run_record, "write_all", real)
    record.end(None)
    assert the_task(state).retries == 7
    assert the_task(state).state is TaskState.DONE


# -- readers ---------------------------------------------------------------------------------


def test_half_a_last_line_is_not_read(state):
    path = written(state, BEGIN, PLANNED, HALF)
    with path.open("a") as file:
        file.write('{"event": "end", "exit": 4, "done"')
    task = the_task(state)
    assert (task.state, task.files_done, task.bytes_done) == (TaskState.RUNNING, 4, 500)


@pytest.mark.parametrize("cut", range(0, 260, 13))
def test_a_record_may_end_anywhere(state, cut):
    path = written(state, BEGIN, PLANNED, HALF)
    path.write_bytes(path.read_bytes()[:cut])
    assert the_task(state).files_done in (0, 1, 4)


def test_a_task_that_is_silent_is_told_by_the_time_of_the_file_system(state, monkeypatch):
    path = written(state, BEGIN, PLANNED, HALF)
    assert the_task(state).state is TaskState.RUNNING
    long_ago = path.stat().st_mtime - 1000
    os.utime(path, (long_ago, long_ago))
    monkeypatch.setattr(time, "time", lambda: long_ago)  # our clock is wrong, and does not count
    task = the_task(state)
    assert task.state is TaskState.SILENT
    assert 990 < task.heard < 1100
    assert os.listdir(state / "runs") == ["run"]  # the probe is gone


def test_a_task_whose_process_was_killed_is_told_at_once_on_its_host(world):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from neurofetch.store.run_record import RunRecord\n"
        "from neurofetch.store.runs import RunName\n"
        "RunRecord.begin(Path(sys.argv[1]), None, RunName('run', '0'))\n"
        "print('begun', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(world.state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        assert the_task(world.state).state is TaskState.LISTING
        assert not read_runs(world.state)[0].over
        process.send_signal(signal.SIGKILL)
    assert the_task(world.state).state is TaskState.LOST
    assert read_runs(world.state)[0].over


@pytest.mark.parametrize(
    "last", [(), (PLANNED,), (PLANNED, HALF)], ids=["begun", "planned", "half"]
)
def test_a_process_that_ends_well_while_its_record_is_read_is_not_lost(state, monkeypatch, last):
    """It writes its end and goes after its record was read, before the system is asked of it."""
    end = {"event": "end", "exit": 0, "done": 9, "failed": 0}
    written(state, BEGIN, *last)

    def life(token):
        written(state, BEGIN, *last, end)
        return Life.ENDED if token else None

    monkeypatch.setattr(runs, "life_here", life)
    task = the_task(state)
    assert (task.state, task.exit) == (TaskState.DONE, 0)


def test_tasks_that_begin_while_their_owner_ends_belong_to_the_run(state, monkeypatch):
    """Whoever hands them out is gone when it is looked for; what it left is read after that."""
    end = {"event": "end", "exit": 0, "done": 9, "failed": 0}
    begin_run(state, "run", expected=None, owner="far-1-2-ab")
    written(state, BEGIN, PLANNED, end)

    def life(token):
        if token == "far-1-2-ab":
            written(state, BEGIN | {"task": "1"}, PLANNED, HALF, name="1~1.jsonl")
            return Life.ENDED
        return None

    monkeypatch.setattr(runs, "life_here", life)
    (run,) = read_runs(state)
    assert [task.state for task in run.tasks] == [TaskState.DONE, TaskState.RUNNING]
    assert run.closed
    assert not run.over


def test_the_newest_attempt_counts(state):
    written(state, BEGIN, PLANNED, HALF | {"moved": 400})
    other = BEGIN | {"token": "far-9-9-cd", "pid": 9}
    end = {"event": "end", "exit": 0, "done": 9, "failed": 0, "bytes_done": 900, "moved": 450}
    written(state, other, PLANNED, end, name="0~2.jsonl")
    task = the_task(state)
    assert (task.began, task.pid, task.state) == (2, 9, TaskState.DONE)
    assert (task.files_done, task.bytes_moved) == (9, 850)


def test_a_record_of_a_newer_version_is_told_as_such(state):
    written(state, BEGIN | {"record": 2}, {"event": "odyssey"})
    assert the_task(state).state is TaskState.UNKNOWN


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n",
        b"\0" * 5000,
        b"[" * 15000,
        b'{"event": "begin", "pid": ' + b"9" * 6000 + b"}\n",
        b'{"event": "planned", "files": 1e999, "bytes": NaN, "done": -4}\n',
        b'{"event": "planned", "files": "many", "bytes": {}, "done": true}\n',
        b'{"event": "end", "exit": [], "failed": {"a": 1}}\n',
        b'{"event": "failed", "path": "../../../etc/passwd", "reason": 7}\n',
        b'{"event": "failed", "path": "/etc/passwd"}\n',
        b'[1, 2]\n"text"\nnull\n',
        b"\xff\xfe\x00 no text\n",
        b'{"event": "begin", "token": "' + b"x" * 3000 + b'"}\n',
        b'{"event": "begin", "token": "a-99999999999999-1-b", "host": ["h"]}\n',
    ],
    ids=range(14),
)
def test_a_record_that_was_tampered_with_stops_no_reader(state, content):
    path = written(state)
    path.write_bytes(content)
    (run,) = read_runs(state)
    (task,) = run.tasks
    assert 0 <= task.files_done <= task.files or task.files == 0
    assert repr(run)
    assert run.files_missing >= 0
    assert run.rate >= 0


def test_any_bytes_stop_no_reader(state):
    chance = random.Random(7)
    good = written(state, BEGIN, PLANNED, HALF, {"event": "end", "exit": 0}).read_bytes()
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(chance.randrange(1, 9)):
            bad[chance.randrange(len(bad))] = ord(chance.choice(string.printable))
        record_of(state).write_bytes(bad)
        (run,) = read_runs(state)
        assert len(run.tasks) == 1


def test_a_giant_record_is_read_at_its_ends(state):
    path = written(state, BEGIN, PLANNED, end="\n")
    with path.open("ab") as file:
        file.truncate(3 << 30)  # a hole of 3 GB
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + json.dumps(HALF).encode() + b"\n")
    task = the_task(state)
    assert (task.files, task.files_done) == (9, 4)


def test_failures_in_the_middle_of_a_long_record_are_found(state):
    failed = {"event": "failed", "path": "a", "reason": "gone"}
    some = [HALF | {"done": 1 + n % 5} for n in range(3000)]
    written(state, BEGIN, PLANNED, *some, failed, *some, HALF | {"failed": 1})
    assert [one.path for one in the_task(state).failed] == ["a"]


def test_a_thousand_tasks_are_read_and_told(state):
    begin_run(state, "run", expected=1500, files=10_000, size=1 << 40)
    for number in range(1000):
        written(state, BEGIN, PLANNED, HALF, name=f"{number}~1.jsonl")
    (run,) = read_runs(state)
    assert (len(run.tasks), run.to_begin, run.files_total) == (1000, 500, 10_000)
    assert [task.name for task in run.tasks[:12]] == [str(n) for n in range(12)]
    assert run.rate == 50_000
    assert not run.over


def test_odd_things_among_the_records_are_passed_over(state):
    written(state, BEGIN)
    folder = record_of(state).parent
    (folder / "1~1.jsonl").mkdir()
    os.mkfifo(folder / "2~1.jsonl")  # to open it would wait for ever
    (folder / "x y~1.jsonl").write_text("{}")
    (state / "runs" / "notes.txt").write_text("a file")
    (run,) = read_runs(state)
    assert [task.name for task in run.tasks] == ["0"]


def test_runs_of_all_state_folders_are_told_the_oldest_first(tmp_path):
    for name, run in ((".neurofetch", "b"), (".laion_fmri", "a")):
        (tmp_path / name).mkdir()
        begin_run(tmp_path / name, run, expected=2)
        time.sleep(0.01)
    (tmp_path / ".other").mkdir()
    begin_run(tmp_path / ".other", "c", expected=2)  # of another program, for all we know
    assert [run.id for run in runs_in(tmp_path)] == ["b", "a"]
    assert runs_in(tmp_path / "nothing") == []


def test_what_is_expected_is_told_before_anything_begins(state):
    begin_run(state, "r", expected=8, command=["get", "ds1"], scheduler="slurm", job="7", size=4)
    (run,) = read_runs(state)
    assert (run.expected, run.command, run.job, run.bytes_total) == (8, ("get", "ds1"), "7", 4)
    assert (run.to_begin, run.over, run.tasks) == (8, False, ())
    begin_run(state, "r", expected=9)
    assert read_runs(state)[0].expected == 9
    assert os.listdir(state / "runs" / "r") == ["run.json"]


def test_tasks_are_asked_to_stop_by_a_file(state):
    begin_run(state, "r", expected=1)
    assert not is_to_stop(state, "r")
    ask_to_stop(state, "r")
    ask_to_stop(state, "r")
    assert is_to_stop(state, "r")
    assert read_runs(state)[0].stopped


def test_old_runs_that_are_over_are_forgotten_and_others_stay(state, monkeypatch):
    monkeypatch.setattr(run_record, "BRIEF", 0.0)
    begin_run(state, "waiting", expected=3)  # its jobs are in a queue
    for _ in range(runs.KEPT + 4):
        record = RunRecord.begin(state, None)
        record._flush()
        record.end(None)
    names = os.listdir(state / "runs")
    assert "waiting" in names
    assert len(names) <= runs.KEPT + 2


def test_names_of_runs_are_all_different():
    assert len({new_run_id() for _ in range(100)}) == 100


def test_the_rate_and_the_time_left_are_those_of_all_that_run(state):
    begin_run(state, "run", expected=3, size=3000)
    for number in range(2):
        written(state, BEGIN, PLANNED, HALF, name=f"{number}~1.jsonl")
    done = {"event": "end", "exit": 0, "done": 9, "bytes_done": 900, "rate": 0}
    written(state, BEGIN, PLANNED, done, name="2~1.jsonl")
    (run,) = read_runs(state)
    assert run.rate == 100.0
    assert run.remaining == (3000 - 500 - 500 - 900) / 100


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("", "")),
        ({"SLURM_JOB_ID": "5"}, ("slurm", "5")),
        (
            {"SLURM_JOB_ID": "6", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "0"},
            ("slurm", "5_0"),
        ),
        ({"PBS_JOBID": "12[3].host"}, ("pbs", "12[3].host")),
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "0"}, ("lsf", "12")),
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "4"}, ("lsf", "12_4")),
        ({"JOB_ID": "12", "SGE_TASK_ID": "undefined"}, ("sge", "12")),
        ({"JOB_ID": "12", "SGE_TASK_ID": "3"}, ("sge", "12_3")),
    ],
    ids=range(8),
)
def test_the_job_is_named_as_its_scheduler_names_it(environ, expected):
    assert run_record.job_of(environ) == expected


def test_without_a_thread_the_events_are_written_as_they_come(state, monkeypatch):
    monkeypatch.setattr(run_record, "started", lambda *_: None)
    monkeypatch.setattr(run_record, "BRIEF", -1.0)
    record = RunRecord.begin(state, None, NAME)
    record(Progress(1, 2, 3, 4, 5.0, 6.0, 7))
    assert the_task(state).retries == 7
    record.end(None)


def test_what_was_planned_is_told_by_the_last_line_too(world):
    """A listing of hours comes between the beginning of a record and its plan."""
    for number in range(3):
        world.put(f"a{number}", b"x" * 100)
    record = RunRecord.begin(world.state, None, NAME)
    for number in range(400):
        record(ListingEvent(number, 1, 2, 3.0))
        record._flush()
    record(Planned(world.plan()))
    record._flush()
    for number in range(400):
        record(Progress(1, 3, 100, 300, float(number), 6.0, 7))
        record._flush()
    (run,) = read_runs(world.state)
    assert (run.files_total, run.bytes_total, run.bytes_done) == (3, 300, 100)
    record.end(None, KeyboardInterrupt())
    (run,) = read_runs(world.state)
    assert (run.files_total, run.bytes_total, run.bytes_done, run.bytes_moved) == (3, 300, 100, 100)
    assert run.tasks[0].exit == 130


def test_many_failures_are_told_by_their_number_and_the_first_by_name(world):
    world.put("a", b"x")
    plan = world.plan()
    record = RunRecord.begin(world.state, plan, NAME)
    for number in range(2500):
        record(FileDone(Outcome(f"f{number}", f"f{number}", Status.FAILED, "gone")))
    record.end(None, UnreachableError("no way"))
    task = the_task(world.state)
    assert (task.files_failed, len(task.failed), task.exit) == (2500, 1000, 6)
    (run,) = read_runs(world.state)
    assert run.files_missing == 2500
