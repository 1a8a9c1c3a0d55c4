"""The queue of a transfer: everything is done once, nobody waits for ever, nobody spins."""

import functools
import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch._threads import together
from neurofetch.transfer.crowd import crowd_for
from neurofetch.transfer.options import Options
from neurofetch.transfer.pipeline import flow
from neurofetch.transfer.schedule import Schedule, TaskKind


class Job:
    """A task that calls something, and counts how often it ran."""

    def __init__(self, action=lambda: None, kind=TaskKind.WHOLE, file=None):
        self.kind = kind
        self.file = file or self
        self._action = action
        self.runs = 0

    def run(self):
        self.runs += 1
        self._action()


def scheduled(tasks=(), jobs=1, bulk=1, flows=8, workers=None, places=8):
    """Return a schedule with these tasks."""
    schedule = Schedule(jobs, bulk, flows, workers)
    schedule.places = places
    schedule.add(tasks)
    return schedule


def work(schedule, threads=6, seconds=5.0):
    """Let some threads do all there is."""

    def loop():
        while (task := schedule.take()) is not None:
            task.run()
            schedule.done(task)

    workers = [threading.Thread(target=loop, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    end = time.monotonic() + seconds
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
    assert not any(worker.is_alive() for worker in workers), "somebody waits for ever"


def test_every_small_task_is_done_once():
    jobs = [Job() for _ in range(500)]
    work(scheduled(jobs))
    assert [job.runs for job in jobs] == [1] * 500


def test_nothing_to_do_ends_at_once():
    work(scheduled(), seconds=1.0)


@pytest.mark.parametrize("threads", [1, 6, 40])
def test_files_with_parts_keep_within_their_bounds(threads):
    lock, now, most = threading.Lock(), {"open": 0, "bulk": 0}, {"open": 0, "bulk": 0}

    def count(what, step):
        with lock:
            now[what] += step
            most[what] = max(most[what], now[what])

    files = []

    def opening(opener, parts):
        left = [parts]
        count("open", 1)

        def part():
            count("bulk", 1)
            time.sleep(0.001)
            count("bulk", -1)
            with lock:
                left[0] -= 1
                last = not left[0]
            if last:
                count("open", -1)
                schedule.closed(opener)

        jobs = [Job(part, kind=TaskKind.PART) for _ in range(parts)]
        files.append(jobs)
        schedule.add(jobs)

    large = [Job(kind=TaskKind.OPEN) for _ in range(5)]
    for job, parts in zip(large, (1, 7, 3, 12, 5), strict=True):
        job._action = functools.partial(opening, job, parts)
    small = [Job(lambda: time.sleep(0.0005)) for _ in range(50)]
    schedule = scheduled([*small, *large], 2, 3)
    work(schedule, threads)
    assert [job.runs for job in small + large] == [1] * 55
    assert [job.runs for jobs in files for job in jobs] == [1] * 28
    assert most["open"] <= 2
    assert most["bulk"] <= 3


def test_a_task_that_comes_again_later_is_waited_for():
    times = []

    def act():
        times.append(time.monotonic())
        if len(times) < 4:
            schedule.again(job, 0.05)

    job = Job(act)
    schedule = scheduled([job])
    work(schedule)
    assert job.runs == 4
    assert all(b - a >= 0.05 for a, b in itertools.pairwise(times))


def test_a_large_file_that_comes_again_counts_as_closed_meanwhile():
    order = []

    def busy():
        order.append("busy")
        schedule.closed(first)
        if order.count("busy") < 3:
            schedule.again(first, 0.03)

    def free():
        order.append("free")
        schedule.closed(second)

    first, second = Job(busy, kind=TaskKind.OPEN), Job(free, kind=TaskKind.OPEN)
    schedule = scheduled([first, second])
    work(schedule)
    assert order == ["busy", "free", "busy", "busy"]


def test_many_tasks_that_wait_cost_next_to_nothing():
    jobs = []

    def act(number):
        if jobs[number].runs < 3:
            schedule.again(jobs[number], 0.02 + number % 7 / 100)

    jobs += [Job(lambda n=n: act(n)) for n in range(1_000)]
    schedule = scheduled(jobs)
    before = time.process_time()
    work(schedule, threads=32, seconds=20.0)
    assert [job.runs for job in jobs] == [3] * 1_000
    assert time.process_time() - before < 2.0


def test_waiting_threads_do_not_spin():
    done = threading.Event()
    schedule = scheduled([Job(lambda: done.wait(0.5))])
    schedule.again(Job(), 0.4)
    before = time.process_time()
    work(schedule, threads=32)
    assert time.process_time() - before < 0.2


def test_tasks_that_are_due_together_are_done_side_by_side():
    """Whoever watches the clock takes one of them, and sees that the others are taken, too."""
    together = threading.Barrier(5, timeout=3.0)
    jobs = [Job(together.wait) for _ in range(5)]
    schedule = scheduled()
    for job in jobs:
        schedule._board.again(job, time.monotonic() + 0.1)
    work(schedule, threads=5)
    assert [job.runs for job in jobs] == [1] * 5


def test_tiny_files_do_not_wait_for_a_thread_that_went_over_to_a_part():
    """A thread that leaves its flow for a part lets another go on with the tiny files."""
    part_began, tiny_came = threading.Event(), threading.Event()

    class Last(Small):
        def finish(self, **_):
            time.sleep(0.1)
            schedule._board.add([Job(part, kind=TaskKind.PART)])  # nobody is woken for it

    def part():
        part_began.set()
        assert tiny_came.wait(3.0)

    last = Small("later", [])
    last._action = tiny_came.set
    schedule = scheduled([Last("first", [])])
    first = schedule.take()
    flower = threading.Thread(target=lambda: (flow(first, schedule), work(schedule, 1)))
    idler = threading.Thread(target=work, args=(schedule, 1))
    flower.start()
    idler.start()
    time.sleep(0.05)
    schedule._board.add([last])
    flower.join()
    idler.join()
    assert part_began.is_set()


def test_an_earlier_task_is_not_kept_waiting_by_a_later_one():
    began, at = time.monotonic(), []

    def run_early():
        at.append(time.monotonic() - began)
        schedule.stop()

    early, late = Job(run_early), Job()
    schedule = scheduled([Job(lambda: (time.sleep(0.1), schedule.again(early, 0.05)))])
    schedule.again(late, 3.0)
    work(schedule, threads=3)
    assert at[0] < 2.0
    assert late.runs == 0


@pytest.mark.slow
def test_when_the_one_that_watches_the_clock_is_busy_another_watches():
    quick = Job()
    schedule = scheduled()
    began, at = time.monotonic(), []
    schedule.again(Job(lambda: time.sleep(2.0)), 0.05)
    schedule.again(Job(lambda: at.append(time.monotonic() - began)), 0.15)
    schedule.again(quick, 0.2)
    work(schedule, threads=3)
    assert quick.runs == 1
    assert at[0] < 1.5


def test_stopping_wakes_everyone_and_hands_out_nothing_more():
    jobs = [Job() for _ in range(10)]
    schedule = scheduled([Job(lambda: schedule.stop()), *jobs])  # noqa: PLW0108
    schedule.again(Job(), 60.0)
    work(schedule, threads=4, seconds=1.0)
    assert sum(job.runs for job in jobs) <= 3
    assert schedule.take() is None


def test_dropped_parts_are_returned_and_never_run():
    parts = [Job(kind=TaskKind.PART) for _ in range(6)]
    schedule = scheduled(bulk=2)
    schedule.add(parts)
    taken = schedule.take()
    gone = schedule.drop_parts(parts[:4])
    assert taken is parts[0]
    assert gone == parts[1:4]
    schedule.done(taken)
    work(schedule)
    assert [part.runs for part in parts] == [0, 0, 0, 0, 1, 1]


# -- together --------------------------------------------------------------------------------


def test_together_keeps_the_order_and_the_bound():
    lock, now, most = threading.Lock(), [0], [0]

    def call(number):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1
        return number

    assert together([lambda n=n: call(n) for n in range(40)], 4) == list(range(40))
    assert 1 < most[0] <= 4
    assert together([], 4) == []


def test_together_raises_the_first_error_at_once_and_forgets_the_rest():
    ran = []
    release = threading.Event()

    def fail():
        raise LookupError("gone")

    calls = [lambda: release.wait(10), fail, *[lambda n=n: ran.append(n) for n in range(50)]]
    began = time.monotonic()
    with pytest.raises(LookupError, match="gone"):
        together(calls, 2)
    assert time.monotonic() - began < 2
    release.set()
    assert len(ran) < 50


class Small(Job):
    """A tiny file that notes when it was asked for and when it was dealt with."""

    def __init__(self, name, diary, *, waits=True, quick=True):
        super().__init__(kind=TaskKind.TINY)
        self.name, self.diary, self.waits, self.quick = name, diary, waits, quick

    def ready(self):
        return self.quick

    def begin(self, **_):
        self.diary.append(f"ask {self.name}")
        return self.waits

    def finish(self, **_):
        self.diary.append(f"got {self.name}")


def test_a_flow_asks_for_several_before_the_first_has_come_and_never_for_more():
    diary = []
    schedule = scheduled([Small(n, diary) for n in range(4)])
    schedule.places = 2
    flow(schedule.take(), schedule)
    words = "ask 0, ask 1, got 0, ask 2, got 1, ask 3, got 2, got 3"
    assert ", ".join(diary) == words


def test_a_flow_does_not_wait_for_what_needs_no_response():
    diary = []
    schedule = scheduled([Small(n, diary, waits=n != 1) for n in range(3)])
    flow(schedule.take(), schedule)
    assert diary == ["ask 0", "ask 1", "ask 2", "got 0", "got 2"]


def test_a_flow_gives_way_to_the_parts_of_a_large_file():
    diary = []
    schedule = scheduled([Small(n, diary) for n in range(3)])
    first = schedule.take()
    schedule.add([Job(kind=TaskKind.PART)])
    flow(first, schedule)
    assert diary == ["ask 0", "got 0"]
    assert schedule.take().kind is TaskKind.PART


def test_a_stopped_schedule_has_no_more_for_a_flow():
    diary = []
    schedule = scheduled([Small(n, diary) for n in range(3)])
    first = schedule.take()
    schedule.stop()
    flow(first, schedule)
    assert diary == ["ask 0", "got 0"]


def test_a_flow_makes_no_connection_while_others_wait():
    diary = []
    schedule = scheduled([Small(n, diary, quick=False) for n in range(3)])
    flow(schedule.take(), schedule)
    assert ", ".join(diary) == "ask 0, got 0, ask 1, got 1, ask 2, got 2"


@pytest.mark.parametrize("flows", [2, 5])
def test_flows_together_never_have_more_requests_under_way_than_places(flows):
    """But for one each: a thread that begins a flow asks for its first file at once."""
    lock, now, most = threading.Lock(), [0], [0]

    class Counted(Small):
        def begin(self, **_):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.0005)
            return True

        def finish(self, **_):
            time.sleep(0.002)
            with lock:
                now[0] -= 1

    places = 8
    files = [Counted(n, []) for n in range(150)]
    schedule = scheduled(files, flows=flows)

    def loop():
        while (task := schedule.take()) is not None:
            flow(task, schedule)

    threads = [threading.Thread(target=loop) for _ in range(flows)]
    for thread in threads:
        thread.start()
    while most[0] < places:
        time.sleep(0.0002)
    for _ in range(64):
        schedule.disk_took(1.0)
    for thread in threads:
        thread.join()
    assert now == [0]
    assert places < most[0] <= places + flows


def taken_at_once(schedule):
    """Take what threads would be given, one after the other, until only other work is left."""
    schedule.again(Job(), 0.0)
    found = []
    while (task := schedule.take()).kind is TaskKind.TINY:
        found.append(task)
    return found


def test_one_thread_works_on_tiny_files_while_the_disk_keeps_up():
    schedule = scheduled([Small(n, []) for n in range(9)], flows=4)
    for _ in range(200):
        schedule.disk_took(0.00005)
    assert len(taken_at_once(schedule)) == 1


@pytest.mark.parametrize(("seconds", "threads"), [(0.00045, 2), (0.01, 4)])
def test_a_slow_disk_brings_more_threads_within_the_bound(seconds, threads):
    schedule = scheduled([Small(n, []) for n in range(9)], flows=4)
    for _ in range(64):
        schedule.disk_took(seconds)
    assert len(taken_at_once(schedule)) == threads


def test_threads_that_wait_for_each_other_bring_no_more_threads():
    schedule = scheduled([Small(n, []) for n in range(9)], flows=4)
    for seconds in [0.0005] * 64 + [0.001] * 640:
        schedule.disk_took(seconds)
    assert len(taken_at_once(schedule)) == 2


@given(
    connections=st.integers(1, 300),
    tiny=st.integers(0, 5000),
    whole=st.integers(0, 500),
    large=st.integers(0, 3),
)
def test_a_crowd_never_has_more_connections_than_allowed(connections, tiny, whole, large):
    options = Options(connections=connections)
    crowd = crowd_for(options, tiny, whole, large)
    assert (crowd.flows > 0) == (tiny > 0)
    assert 0 <= crowd.flows <= crowd.threads <= connections
    assert (crowd.threads > 0) == (tiny + whole + large > 0)
    rest = crowd.threads - crowd.flows
    assert connections == 1 or rest + crowd.places <= connections
    assert crowd.flows <= crowd.places
    assert not (whole or large) or crowd.threads > crowd.flows or connections == 1
