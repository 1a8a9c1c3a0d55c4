"""A run that can neither go on nor end is a fault of ours: it says so, and is never silent."""

import threading
import time
from dataclasses import replace

import pytest

from neurofetch._cli import main
from neurofetch.console import ExitCode
from neurofetch.errors import FaultError
from neurofetch.model import Status
from neurofetch.transfer.context import TransferContext
from neurofetch.transfer.multipart import LargeFile
from neurofetch.transfer.schedule import Board, Schedule, TaskKind
from neurofetch.transfer.settler import Settler
from neurofetch.transfer.states import FileLife
from tests.engine_world import OPTIONS, PART, World, noise, until
from tests.transfer_model import open_below

LARGE = noise(6 * PART + 5, 2)


class Job:
    """A task that calls something."""

    def __init__(self, kind=TaskKind.WHOLE, action=lambda: None):
        self.kind = kind
        self.file = self
        self.run = action


def let_work(schedule, threads, *, forget=()):
    """Let some threads do all there is; those tasks that are forgotten are never over."""

    def loop():
        while (task := schedule.take()) is not None:
            task.run()
            if task not in forget:
                schedule.done(task)
        schedule.leave()

    workers = [threading.Thread(target=loop, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10.0)
    assert not any(worker.is_alive() for worker in workers), "the watchdog sleeps"


# -- the schedule ----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
def test_a_large_file_that_is_never_closed_is_a_fault(threads):
    schedule = Schedule(1, 1, workers=threads)
    schedule.add([Job(TaskKind.OPEN), Job(TaskKind.OPEN), Job()])
    let_work(schedule, threads)
    assert str(schedule.fault).startswith("a fault of this program: no thread has anything to do")
    assert "(large files: 1, open files: 1)" in str(schedule.fault)
    assert "please report" in str(schedule.fault)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_part_that_is_never_over_and_keeps_the_others_from_their_turn_is_a_fault(threads):
    schedule = Schedule(1, 1, workers=threads)
    parts = [Job(TaskKind.PART) for _ in range(3)]
    schedule.add(parts)
    let_work(schedule, threads, forget=parts)
    assert "(parts: 2, in flight: 1)" in str(schedule.fault)


def test_a_task_that_waits_for_its_moment_is_waited_for_before_the_fault_is_told():
    schedule = Schedule(1, 1, workers=3)
    late = []
    schedule.add([Job(TaskKind.OPEN)])
    schedule.again(Job(action=lambda: late.append(time.monotonic())), 0.2)
    began = time.monotonic()
    let_work(schedule, 3)
    assert late[0] - began >= 0.2
    assert "(open files: 1)" in str(schedule.fault)


def test_a_fault_is_found_when_the_last_thread_that_had_work_leaves():
    schedule = Schedule(1, 1, workers=2)
    schedule.add([Job(TaskKind.OPEN)])
    schedule.take()  # in a thread that will never come back
    waiter = threading.Thread(target=schedule.take)
    waiter.start()
    until(lambda: schedule._waiting)
    assert schedule.fault is None
    schedule.leave()
    waiter.join(5)
    assert isinstance(schedule.fault, FaultError)


def test_a_task_that_ends_twice_or_was_never_begun_is_a_fault():
    board, job = Board(1, 1), Job()
    board.add([job])
    with pytest.raises(FaultError, match=r"a task \(whole\) ended that was not begun"):
        board.done(job)
    assert board.pick(0.0, tiny=True) is job
    board.done(job)
    with pytest.raises(FaultError, match="not begun"):
        board.done(job)


@pytest.mark.parametrize("kind", [TaskKind.WHOLE, TaskKind.PART, TaskKind.OPEN])
def test_a_thread_that_takes_long_while_all_others_wait_is_no_fault(kind):
    schedule = Schedule(1, 1, workers=5)

    def slow():
        time.sleep(0.4)
        schedule.closed(job)

    job = Job(kind, slow)
    schedule.add([job])
    let_work(schedule, 5)
    assert schedule.fault is None


def test_threads_that_could_not_be_started_are_not_waited_for():
    schedule = Schedule(1, 1, workers=5)
    schedule.add([Job(), Job(TaskKind.OPEN)])
    for _ in range(3):
        schedule.leave()
    let_work(schedule, 2)
    assert isinstance(schedule.fault, FaultError)


# -- a whole transfer ------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        for n in range(9):
            world.put(f"f{n}", noise(900 + n, n))
        world.put("l0", LARGE)
        world.put("l1", LARGE)
        yield world


def last_part_is_lost(monkeypatch):
    """Let no file hear of the end of its last part: it stays open for ever."""
    whole = LargeFile.part_over

    def deaf(self, part, error):
        if len(self._pending) > 1:
            whole(self, part, error)

    monkeypatch.setattr(LargeFile, "part_over", deaf)


def parts_are_never_over(monkeypatch):
    """Let the queue count each part that was handed out as one in flight."""
    right = Board.done

    def forgetful(self, task):
        if task.kind is not TaskKind.PART:
            right(self, task)

    monkeypatch.setattr(Board, "done", forgetful)


def files_stay_open(monkeypatch):
    """Let the queue never hear that a large file is not open any more."""
    monkeypatch.setattr(Board, "closed", lambda *_: None)


FAULTS = {
    last_part_is_lost: "large files: 1, open files: 1",
    parts_are_never_over: r"large files: 1, parts: 3, in flight: 4, open files: 1",
    files_stay_open: "large files: 1, open files: 1",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_transfer_that_can_neither_go_on_nor_end_says_so(world, fault, monkeypatch):
    began = time.monotonic()
    with monkeypatch.context() as patch:
        fault(patch)
        with pytest.raises(FaultError, match=rf"no thread has anything to do.*\({FAULTS[fault]}\)"):
            world.fetch(replace(OPTIONS, n_jobs=1))
    assert time.monotonic() - began < 10
    assert world.left("claims") == []
    assert open_below(world.root) == []
    assert len([path for path in world.files() if path.startswith("f")]) == 9
    served = world.served("l*")
    report = world.fetch()
    assert report.ok
    assert set(world.files()) == {"l0", "l1", *(f"f{n}" for n in range(9))}
    assert world.served("l*") <= max(served, 2 * len(LARGE))  # what came is not fetched again
    world.assert_clean()


def test_a_step_that_is_not_in_the_table_ends_the_transfer(world, monkeypatch):
    right = FileLife.verify

    def twice(self):
        right(self)
        if self.step.want.path == "f3":
            right(self)

    with monkeypatch.context() as patch:
        patch.setattr(FileLife, "verify", twice)
        with pytest.raises(FaultError, match="f3 cannot go from verifying to verifying"):
            world.fetch()
    assert world.left("claims") == []
    assert world.fetch().ok
    world.assert_clean()


@pytest.mark.parametrize("where", ["give", "_put"])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyError("odd")])
def test_an_error_that_no_file_answers_for_is_raised(world, monkeypatch, error, where):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Settler, where, fail)
        patch.setattr(TransferContext, "failure", fail)
        with pytest.raises(type(error)) as caught:
            world.fetch()
    assert caught.value is error
    assert world.left("claims") == []
    assert open_below(world.root) == []
    assert world.fetch().ok


def test_a_healthy_run_that_is_slow_is_no_fault(world):
    world.s3.fault(key="l0", method="GET", skip=2, times=1, delay=0.3)
    world.s3.fault(key="f5", times=1, status=503, headers={"Retry-After": "0.3"})
    report = world.fetch()
    assert {outcome.status for outcome in report} == {Status.FETCHED}


# -- the command -----------------------------------------------------------------------------


def test_the_command_ends_with_a_message_and_the_code_of_a_fault(world, monkeypatch, capsys):
    files_stay_open(monkeypatch)
    world.put("l2", b"x" * (20 << 20))
    world.put("l3", b"x" * (20 << 20))
    code = main(["get", "s3://b", "--dest", str(world.root), "--quiet"])
    said = capsys.readouterr()
    assert code == ExitCode.FAULT == 1
    assert said.err.startswith("neurofetch: a fault of this program: no thread has")
    assert "Traceback" not in said.err
    assert said.out == ""
