"""The life of a file: one table of steps, and whatever happens in whatever order, every run ends.

The state machine of Hypothesis drives the real queue and the real lives of model files, one step
at a time, and holds them against a ledger of its own. That it would see a fault is shown with
faults that are put in on purpose.
"""

import inspect
import itertools
import random
import threading
import time
import types
from collections import Counter

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from neurofetch.errors import FaultError
from neurofetch.model import Action, Outcome, RemoteFile, Status, Step, Want
from neurofetch.transfer import schedule, states
from neurofetch.transfer.pipeline import flow
from neurofetch.transfer.states import CLAIMED, ENDED, STEPS, FileLife, FileState
from neurofetch.transfer.whole_file import another_look
from tests.transfer_model import OTHER, Book, Claims, Handle, World

# -- the table -------------------------------------------------------------------------------


def reachable(start):
    """Return the states to which some steps lead."""
    found, new = set(), {start}
    while new:
        found |= new
        new = {to for state in new for to in STEPS[state]} - found
    return found


def test_the_table_is_closed():
    assert set(STEPS) == set(FileState)
    assert reachable(FileState.PLANNED) == set(FileState)
    for state in FileState:
        assert (not STEPS[state]) == (state in ENDED)
        assert reachable(state) & ENDED
    assert not CLAIMED & ENDED
    assert FileState.PLANNED not in {to for steps in STEPS.values() for to in steps}


def test_a_file_that_is_not_claimed_is_not_verified_and_not_settled():
    for state in set(FileState) - CLAIMED:
        assert not STEPS[state] & {FileState.VERIFYING, FileState.SETTLED}


class Queue:
    """What a life needs of the schedule, and nothing else."""

    def __init__(self):
        self.later = []
        self.closes = []

    def again(self, task, seconds):
        self.later.append((task, seconds))

    def closed(self, file):
        self.closes.append(file)


def a_life(state):
    """Return a life in a state, with what it holds and tells; PLANNED to STOPPED."""
    claims, book, queue, handles = Claims(), Book(), Queue(), set()
    step = Step(Want(RemoteFile("k", "", 1), "f"), Action.FETCH, "")
    life = FileLife(0, step, "short", claims=claims, book=book, later=queue)
    life.state = state
    if state in CLAIMED:
        claims.mine.add("short")
        life.held = Handle(handles)
    return life, claims, book, queue, handles


def done(status):
    return Outcome("f", "k", status)


STEPPING = {
    FileState.WAITING: lambda life: life.wait("task", 1.0),
    FileState.FETCHING: lambda life: life.begin(lambda: "task", float),
    FileState.VERIFYING: lambda life: life.verify(),
    FileState.SETTLED: lambda life: life.end(done(Status.FETCHED)),
    FileState.FAILED: lambda life: life.end(done(Status.FAILED)),
    FileState.STOPPED: lambda life: life.stop(),
}


@pytest.mark.parametrize("state", FileState)
@pytest.mark.parametrize("to", STEPPING)
def test_steps_of_the_table_are_taken_and_all_others_are_faults(state, to):
    life, claims, book, queue, handles = a_life(state)
    act = STEPPING[to]
    if state in CLAIMED and to is FileState.FETCHING:
        act = FileLife.fetch_anew  # it is claimed already
    if state in ENDED and to is FileState.STOPPED:
        life.stop()
        assert life.state is state
        return
    if to not in STEPS[state] and (state, to) != (FileState.FETCHING, FileState.FETCHING):
        claims_before = set(claims.mine)
        with pytest.raises(FaultError, match=r"a fault of this program: f cannot go from"):
            act(life)
        assert (life.state, claims.mine - {"short"}) == (state, set())
        assert claims_before <= claims.mine
        assert (book.records, queue.later, queue.closes) == ({}, [], [])
        assert len(handles) == (state in CLAIMED)
        return
    act(life)
    assert life.state is to
    assert (claims.mine == {"short"}) == (to in CLAIMED)
    assert bool(handles) == (to in CLAIMED and state in CLAIMED)
    assert queue.closes == ([] if to in CLAIMED else [life])
    assert bool(queue.later) == (to is FileState.WAITING)
    assert bool(book.records) == (to in (FileState.SETTLED, FileState.FAILED))


def test_a_file_that_another_process_has_is_looked_at_later_and_told():
    life, claims, book, queue, _ = a_life(FileState.PLANNED)
    claims.theirs.add("short")
    assert not life.begin(lambda: "look again", lambda looks: 10.0 * looks)
    assert not life.begin(lambda: "look again", lambda looks: 10.0 * looks)
    assert (life.state, life.looks) == (FileState.WAITING, 2)
    assert queue.later == [("look again", 10.0), ("look again", 20.0)]
    assert book.waits == [("f", OTHER)] * 2
    claims.theirs.clear()
    assert life.begin(lambda: "look again", float)
    assert claims.mine == {"short"}


def test_the_looks_at_a_file_that_another_process_has_go_on_for_hours():
    """After 1,024 looks, half an hour, the doubled wait was more than a float can hold."""
    waits = [another_look(looks) for looks in range(1, 5_000)]
    assert waits[:5] == [0.25, 0.5, 1.0, 2.0, 2.0]
    assert set(waits[5:]) == {2.0}


@pytest.mark.parametrize("act", [FileLife.stop, lambda life: life.end(done(Status.FETCHED))])
@pytest.mark.parametrize("broken", ["close", "release"])
def test_a_file_is_left_whole_though_a_part_of_leaving_it_fails(act, broken):
    life, claims, book, queue, handles = a_life(FileState.FETCHING)

    def fail(*_):
        raise OSError(5, "Input/output error")

    if broken == "close":
        life.held = types.SimpleNamespace(close=fail)
    else:
        claims.release = fail
    with pytest.raises(OSError, match="Input/output"):
        act(life)
    assert life.state in ENDED
    assert queue.closes == [life]
    assert len(book.records) == (life.state is FileState.SETTLED)
    assert broken == "release" or not claims.mine
    assert broken == "close" or not handles


@pytest.mark.parametrize(("status", "state"), [("refused", "failed"), ("kept", "settled")])
def test_a_file_that_is_withheld_is_not_here_and_one_that_was_kept_is(status, state):
    life, *_ = a_life(FileState.FETCHING)
    life.end(done(Status(status)))
    assert life.state is FileState(state)


# -- all orders of things --------------------------------------------------------------------

THREADS = 4


class Ledger:
    """The queue of one run, and what should be in it; where both differ, something is wrong.

    It stands for the `Schedule` of the model files: a `Board`, and a clock that is set by hand.
    """

    def __init__(self, board, kinds, bulk):
        self.board = board
        self.kinds = kinds
        self.bulk = bulk
        self.now = 0.0
        self.rows = {kind: [] for kind in kinds}
        self.waiting = []
        self.flying = []
        self.open = set()
        self._serial = itertools.count()

    # what the files call

    def add(self, tasks):
        tasks = list(tasks)
        self.board.add(tasks)
        for task in tasks:
            self.rows[task.kind].append(task)

    def again(self, task, seconds):
        moment = self.now + seconds
        self.board.again(task, moment)
        self.waiting.append((moment, next(self._serial), task))

    def drop_parts(self, unwanted):
        row = self.rows[self.kinds.PART]
        expected = [task for task in row if task in unwanted]
        gone = self.board.drop(unwanted)
        assert gone == expected
        self.rows[self.kinds.PART] = [task for task in row if task not in unwanted]
        return gone

    def closed(self, life):
        self.board.closed(life)
        self.open.discard(life)

    # what the threads call

    def take(self, jobs, *, tiny):
        """Take a task; assert that it is the one that the rules say."""
        due = sorted(entry for entry in self.waiting if entry[0] <= self.now)
        self.waiting = [entry for entry in self.waiting if entry[0] > self.now]
        for _, _, task in due:
            self.rows[task.kind].append(task)
        kinds, flying = self.kinds, Counter(task.kind for task in self.flying)
        order = [kinds.PART] * (flying[kinds.PART] < self.bulk)
        order += [kinds.OPEN] * (len(self.open) < jobs)
        order += [kinds.TINY] * tiny + [kinds.WHOLE]
        expected = next((self.rows[kind][0] for kind in order if self.rows[kind]), None)
        task = self.board.pick(self.now, tiny=tiny)
        assert task is expected
        return self._taken(task)

    def take_tiny(self):
        parts_wait = self.rows[self.kinds.PART]
        flying = Counter(task.kind for task in self.flying)
        urgent = parts_wait and flying[self.kinds.PART] < self.bulk
        row = self.rows[self.kinds.TINY]
        task = self.board.pick_tiny()
        assert task is (row[0] if row and not urgent else None)
        return self._taken(task)

    def _taken(self, task):
        if task is not None:
            self.rows[task.kind].remove(task)
            self.flying.append(task)
            if task.kind is self.kinds.OPEN:
                self.open.add(task.file)
        return task

    def done(self, task):
        self.board.done(task)
        self.flying.remove(task)
        task.ended += 1

    @property
    def over(self):
        return not (self.flying or self.waiting or self.open or any(self.rows.values()))


class Runs(RuleBasedStateMachine):
    """A run of a few threads over a few files; what comes of each step is Hypothesis' choice."""

    states, schedule = states, schedule
    """The modules under test; others where a fault is put in on purpose."""

    # -- the run -----------------------------------------------------------------------------

    @initialize(
        jobs=st.integers(1, 2),
        bulk=st.integers(1, 2),
        flows=st.integers(1, 2),
        sizes=st.lists(st.sampled_from(["tiny", "whole", 1, 2, 4]), min_size=1, max_size=5),
        steps=st.one_of(st.none(), st.integers(0, 30)),
    )
    def begin(self, jobs, bulk, flows, sizes, steps):
        """Add some files; after so many steps the run is stopped (None: never)."""
        kinds = self.schedule.TaskKind
        self.jobs, self.flows, self.steps = jobs, flows, steps
        self.ledger = Ledger(self.schedule.Board(jobs, bulk), kinds, bulk)
        self.world = World(self.ledger, None, self.states.FileLife, kinds)
        self.threads = [[] for _ in range(THREADS)]
        for size in sizes:
            kind = kinds(size) if isinstance(size, str) else kinds.OPEN
            self.ledger.add([self.world.new_file(kind, size if kind is kinds.OPEN else 0)])

    @property
    def stopped(self):
        return self.steps is not None and self.steps <= 0

    @property
    def flowing(self):
        return sum(bool(held) and held[0].kind.value == "tiny" for held in self.threads)

    def done(self, thread, task):
        self.threads[thread].remove(task)
        self.ledger.done(task)

    # -- what threads do ---------------------------------------------------------------------

    def free(self):
        """Return the threads that may take a task: those that work on tiny files take more."""
        return [
            n for n, held in enumerate(self.threads) if not held or held[0].kind.value == "tiny"
        ]

    def busy(self):
        return [number for number, held in enumerate(self.threads) if held]

    @precondition(lambda self: self.free() and not self.stopped)
    @rule(choice=st.integers(0, THREADS - 1))
    def take(self, choice):
        """A thread that is free takes a task."""
        thread = self.free()[choice % len(self.free())]
        held = self.threads[thread]
        task = (
            self.ledger.take_tiny()
            if held
            else self.ledger.take(self.jobs, tiny=self.flowing < self.flows)
        )
        self.count_step()
        if task is None:
            return
        held.append(task)
        if not task.model.begin(task):
            self.done(thread, task)

    @precondition(lambda self: self.busy())
    @rule(choice=st.integers(0, THREADS - 1), way=st.integers(0, 4))
    def go_on(self, choice, way):
        """Something comes of what a thread does."""
        thread = self.busy()[choice % len(self.busy())]
        task = self.threads[thread][0]
        ways = [w for w in task.model.ways(task) if self.stopped or w != "interrupted"]
        self.step(thread, ways[way % len(ways)])
        self.count_step()

    def step(self, thread, way):
        task = self.threads[thread][0]
        if task.model.step(task, way):
            self.done(thread, task)

    def count_step(self):
        if self.steps is not None:
            self.steps -= 1

    # -- what others do ----------------------------------------------------------------------

    @rule(number=st.integers(0, 4), what=st.sampled_from(["claims", "gives up", "fetches"]))
    def another_process(self, number, what):
        model = self.world.files[number % len(self.world.files)]
        theirs, short = self.world.claims.theirs, model.life.short
        if what == "claims" and short not in self.world.claims.mine:
            theirs.add(short)
        elif what != "claims" and short in theirs:
            theirs.remove(short)
            model.here |= what == "fetches"

    @precondition(lambda self: self.ledger.waiting)
    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0]))
    def time_passes(self, seconds):
        self.ledger.now += seconds

    # -- what always holds -------------------------------------------------------------------

    @invariant()
    def all_is_well(self):
        self.every_task_is_in_one_place()
        self.what_is_open_or_claimed_belongs_to_a_file_at_work()
        self.no_bound_is_passed()

    def every_task_is_in_one_place(self):
        ledger, board = self.ledger, self.ledger.board
        names = {"whole": "files in one request", "open": "large files", "part": "parts"}
        names["few"] = "files that are asked for few at a time"
        expected = {
            names.get(kind.value, "tiny files"): len(row) for kind, row in ledger.rows.items()
        }
        expected |= {"in flight": len(ledger.flying), "waiting": len(ledger.waiting)}
        expected["open files"] = len(ledger.open)
        assert board.left == {name: number for name, number in expected.items() if number}
        assert board.in_flight == len(ledger.flying)
        flying = Counter(task.kind for task in ledger.flying)
        assert board._flying == {kind: flying[kind] for kind in ledger.kinds}
        assert board.over == ledger.over
        moments = [moment for moment, _, _ in ledger.waiting]
        assert board.next_moment == min(moments, default=None)
        places = [*itertools.chain(*ledger.rows.values()), *ledger.flying]
        places += [task for _, _, task in ledger.waiting]
        assert len(set(places)) == len(places)
        assert {t for t in self.world.tasks if not t.ended and not t.dropped} == set(places)

    def what_is_open_or_claimed_belongs_to_a_file_at_work(self):
        at_work = {m for m in self.world.files if m.life.state.name in ("FETCHING", "VERIFYING")}
        assert self.world.claims.mine == {model.life.short for model in at_work}
        assert self.world.handles == {model.life.held for model in at_work} - {None}
        working = {task.model for task in self.ledger.flying}
        with_parts = {task.model for task in self.ledger.rows[self.ledger.kinds.PART]}
        assert at_work == working | with_parts
        for model in self.world.files:
            assert self.ledger.board.is_open(model.life) == (model.life in self.ledger.open)
            assert model.life not in self.ledger.open or model in at_work

    def no_bound_is_passed(self):
        flying = Counter(task.kind.value for task in self.ledger.flying)
        assert flying["part"] <= self.ledger.bulk
        assert len(self.ledger.open) <= self.jobs

    # -- the end -----------------------------------------------------------------------------

    def teardown(self):
        if not hasattr(self, "world"):
            return
        self.world.claims.theirs.clear()
        bound = 20 + 20 * sum(2 + model.parts for model in self.world.files)
        for _ in range(bound):
            if not self._driven():
                break
            self.all_is_well()
        else:
            pytest.fail("the run does not end")
        if self.stopped:
            for model in self.world.files:
                model.life.stop()
        else:
            assert self.ledger.board.over
        self.world.assert_over(stopped=self.stopped)

    def _driven(self):
        """Let every thread do something that goes well; whether any of them did."""
        before = self.world.tasks.copy(), len(self.ledger.flying), len(self.world.book.records)
        moved = False
        for thread in range(THREADS):
            if self.threads[thread]:
                self.step(thread, "well")
                moved = True
            elif not self.stopped:
                self.take(self.free().index(thread))
                moved |= bool(self.threads[thread])
        moved |= before != (
            self.world.tasks,
            len(self.ledger.flying),
            len(self.world.book.records),
        )
        if not moved and not self.stopped and self.ledger.waiting:
            self.ledger.now = min(self.ledger.waiting)[0]
            return True
        return moved


EXAMPLES = settings(max_examples=400, stateful_step_count=40)


@pytest.mark.slow
def test_whatever_the_order_of_things_every_run_ends_and_nothing_is_left():
    run_state_machine_as_test(Runs, settings=EXAMPLES)


# -- the same with threads -------------------------------------------------------------------


class Counted(schedule.Schedule):
    """A schedule that counts how often each task ended."""

    def done(self, task):
        super().done(task)
        task.ended += 1


def let_work(world, queue, threads, seconds=10.0):
    """Let threads do all there is, as those of a transfer do; return what they raised."""
    raised = []
    queue.places = 3

    def work():
        try:
            while (task := queue.take()) is not None:
                if task.kind is schedule.TaskKind.TINY:
                    flow(task, queue)
                    continue
                try:
                    task.run()
                finally:
                    queue.done(task)
        except BaseException as error:  # noqa: BLE001 - asserted on by the test
            raised.append(error)
            queue.stop()
        finally:
            queue.leave()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    end = time.monotonic() + seconds
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
    hanging = sum(worker.is_alive() for worker in workers)
    assert not hanging, f"{hanging} of {threads} threads wait for ever: {queue._board.left}"
    return raised


@pytest.mark.slow
@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.sampled_from(["tiny", "tiny", "whole", 1, 3, 7]), max_size=14),
    jobs=st.integers(1, 3),
    bulk=st.integers(1, 4),
    flows=st.integers(1, 4),
    threads=st.integers(1, 9),
)
def test_whatever_threads_do_at_once_every_run_ends_and_is_never_called_a_fault(
    seed, sizes, jobs, bulk, flows, threads
):
    rng = random.Random(seed)
    kinds = schedule.TaskKind
    queue = Counted(jobs, bulk, flows, threads)

    def decide(task, ways):
        time.sleep(rng.choice([0, 0, 0.0002, 0.002]))
        queue.disk_took(rng.choice([0.0, 0.01]))
        if rng.random() < 0.02:
            world.claims.theirs.clear()
        going_on = [way for way in ways if way != "interrupted"]
        return "well" if rng.random() < 0.5 else rng.choice(going_on)

    world = World(queue, decide)
    world.patience = 0.001
    for size in sizes:
        kind = kinds(size) if isinstance(size, str) else kinds.OPEN
        queue.add([world.new_file(kind, size if kind is kinds.OPEN else 0)])
    for file in world.files:
        if rng.random() < 0.1:
            world.claims.theirs.add(file.life.short)
    neighbour = threading.Timer(0.02, world.claims.theirs.clear)
    neighbour.start()
    stops = rng.random() < 0.2
    if stops:
        threading.Timer(rng.uniform(0, 0.02), queue.stop).start()
    raised = let_work(world, queue, threads)
    neighbour.join()
    assert (raised, queue.fault) == ([], None)
    if stops:
        for file in world.files:
            file.life.stop()
    else:
        assert queue._board.over
    world.assert_over(stopped=stops)


# -- faults that are put in on purpose -------------------------------------------------------

MUTANTS = {
    "a large file is never closed": ("states", "self._later.closed(self)", "pass"),
    "a claim is given back twice": (
        "states",
        "self._claims.release(self.short)",
        "self._claims.release(self.short), self._claims.release(self.short)",
    ),
    "a claim is never given back": ("states", "self._claims.release(self.short)", "pass"),
    "what is open is never closed": ("states", "held.close()", "pass"),
    "the end is written down twice": (
        "states",
        "self._book.record(self.number, outcome)",
        "self._book.record(self.number, outcome), self._book.record(self.number, outcome)",
    ),
    "a file is written down and not left": ("states", "self._move(to)", "pass"),
    "a task that is over stays in flight": ("schedule", "self._in_flight.remove(task)", "pass"),
    "a slot of the parts is not given back": ("schedule", "self._flying[task.kind] -= 1", "pass"),
    "a dropped part stays in its row": (
        "schedule",
        "deque(task for task in row if task not in ids)",
        "row",
    ),
    "a task comes before its moment": (
        "schedule",
        "self._later[0][0] <= now",
        "self._later[0][0] <= now + 0.05",
    ),
    "more large files are open than may be": (
        "schedule",
        "if len(self._open) < self._jobs",
        "if len(self._open) <= self._jobs",
    ),
    "more parts are in flight than may be": (
        "schedule",
        "if parts >= self._limits[TaskKind.PART]:",
        "if parts > self._limits[TaskKind.PART]:",
    ),
}


def mutant(name):
    """Return the two modules, one of them with a line that is wrong."""
    where, right, wrong = MUTANTS[name]
    modules = {"states": states, "schedule": schedule}
    source = inspect.getsource(modules[where])
    assert source.count(right) == 1, f"the line of {name!r} is not in {where}.py any more"
    module = types.ModuleType(modules[where].__name__)
    exec(compile(source.replace(right, wrong), f"<{name}>", "exec"), module.__dict__)
    return {**modules, where: module}


def found(machine):
    """Run a machine that should fail, in an order that is the same each time."""
    how = settings(
        EXAMPLES, derandomize=True, database=None, phases=[Phase.generate], print_blob=False
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011 - an assertion, or an error of ours
        run_state_machine_as_test(machine, settings=how)
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_finds_a_fault_that_is_put_in_on_purpose(name):
    modules = mutant(name)
    machine = type("Mutant", (Runs,), modules)
    assert isinstance(found(machine), AssertionError | FaultError)


@pytest.mark.slow
def test_the_machine_finds_a_task_that_changes_its_kind():
    """The fault of old: a file that failed once was no tiny file any more, in mid-flight."""

    class Changing(Runs):
        def step(self, thread, way):
            task = self.threads[thread][0]
            if task.kind.value == "tiny" and way == "later":
                task.kind = self.schedule.TaskKind.WHOLE
            super().step(thread, way)

    assert isinstance(found(Changing), AssertionError | FaultError)
