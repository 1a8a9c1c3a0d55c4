"""Model files: what the threads of a transfer do with files, without network, disk and clock.

A model file takes the steps of a real one through the real `FileLife` and the real queue; what
comes of each step is not left to a server but decided by whoever drives it: a state machine of
Hypothesis, one step at a time, or many threads at random.
"""

import contextlib
import os
import threading

from neurofetch.model import Action, Outcome, RemoteFile, Status, Step, Want
from neurofetch.transfer import schedule, states

OTHER = "another process"
MOST_CHANGES = 2
MOST_FAILURES = 3


def open_below(root):
    """Return the paths below a folder that this process has open."""
    paths = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed by another thread since it was listed
            paths.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [path for path in paths if path.startswith(str(root))]


class Claims:
    """Claims that remember who has what, and see when one is taken or given back twice."""

    def __init__(self):
        self.mine = set()
        self.theirs = set()
        self._lock = threading.Lock()

    def claim(self, short):
        with self._lock:
            assert short not in self.mine, f"{short} was claimed twice"
            if short in self.theirs:
                return OTHER
            self.mine.add(short)
            return ""

    def release(self, short):
        with self._lock:
            assert short in self.mine, f"{short} was given back, but is not claimed"
            self.mine.remove(short)


class Book:
    """What became of each file, written down once."""

    def __init__(self):
        self.records = {}
        self.waits = []

    def record(self, number, outcome):
        assert number not in self.records, f"file {number} was written down twice"
        self.records[number] = outcome

    def waits_for(self, step, owner):
        self.waits.append((step.want.path, owner))


class Handle:
    """Something that is open until it is closed, once."""

    def __init__(self, handles):
        self._handles = handles
        handles.add(self)

    def close(self):
        assert self in self._handles, "closed twice"
        self._handles.remove(self)


class ModelTask:
    """A task; it counts how often it ended."""

    def __init__(self, kind, model, number=0):
        self.kind = kind
        self.model = model
        self.file = model.life
        self.number = number
        self.ended = 0
        self.dropped = False

    def __repr__(self):
        return f"<{self.kind.value} {self.number} of {self.model.name}>"

    # what a thread that works on a flow needs of a tiny file

    def begin(self, **_):
        return self.model.begin(self)

    def ready(self):
        return True

    def finish(self, **_):
        self.model.run(self)

    def run(self):
        if self.model.begin(self):
            self.model.run(self)


class World:
    """What all model files of one run share.

    Parameters
    ----------
    queue
        Gets `add`, `again`, `drop_parts` and `closed`: a `Schedule`, or what stands for one.
    decide
        Called with a task and what may come of it; returns one of these.
    life
        The class of the files' lives; another one where a fault is put in on purpose.
    kinds
        The task kinds, likewise.

    Attributes
    ----------
    patience : float
        Seconds until a file that failed, or that another process has, is taken up again.
    """

    def __init__(self, queue, decide, life=states.FileLife, kinds=schedule.TaskKind):
        self.queue = queue
        self.decide = decide
        self.life = life
        self.kinds = kinds
        self.patience = 0.1
        self.claims = Claims()
        self.book = Book()
        self.handles = set()
        self.files = []
        self.tasks = []

    def new_file(self, kind, parts=0):
        """Add a file, and return its first task."""
        model = ModelFile(self, len(self.files), kind, parts)
        self.files.append(model)
        return model.task(kind)

    def assert_over(self, *, stopped=False):
        """Assert that every task and every file came to one end, and that nothing is left."""
        assert not self.claims.mine
        assert not self.handles
        for task in self.tasks:
            ends = task.ended + task.dropped
            assert ends == 1 or (stopped and ends == 0), f"{task!r} ended {ends} times"
        for file in self.files:
            ended = file.life.state.name
            assert ended in ("SETTLED", "FAILED") or (stopped and ended == "STOPPED"), file.life
            assert (file.number in self.book.records) == (ended != "STOPPED")


class ModelFile:
    """One file: what `WholeFile` and `LargeFile` do with theirs."""

    def __init__(self, world, number, kind, parts):
        step = Step(Want(RemoteFile(f"k{number}", "", 1), f"f{number}"), Action.FETCH, "")
        self.world = world
        self.number = number
        self.name = f"{kind.value} file {number}"
        self.first = kind
        self.parts = parts
        self.here = False
        self.life = world.life(
            number, step, f"f{number}", claims=world.claims, book=world.book, later=world.queue
        )
        self._changes = self._failures = 0
        self._wrong = False
        self._error = ""
        self._pending = set()
        self._lock = threading.Lock()

    def task(self, kind, number=0):
        task = ModelTask(kind, self, number)
        self.world.tasks.append(task)
        return task

    # -- a task, from its beginning to its end -----------------------------------------------

    def begin(self, task):
        """Claim the file where the task needs that; whether there is more to do."""
        kinds = self.world.kinds
        if task.kind is kinds.PART:
            return True
        again = kinds.OPEN if task.kind is kinds.OPEN else kinds.WHOLE
        if not self.life.begin(lambda: self.task(again), lambda looks: self.world.patience * looks):
            return False
        if self.here:
            self.life.end(self._outcome(Status.KEPT))
            return False
        if task.kind is kinds.TINY:
            self.life.held = Handle(self.world.handles)
        return True

    def run(self, task):
        """Do all of it at once."""
        while not self.step(task, self.world.decide(task, self.ways(task))):
            continue

    def ways(self, task):
        """What may come of the next step of a task that was begun."""
        if self.life.state.name == "VERIFYING":
            return ("well", "wrong", "badly", "interrupted")
        return {
            "tiny": ("well", "later", "badly", "interrupted"),
            "whole": ("well", "later", "badly", "interrupted"),
            "open": ("well", "complete", "no ranges", "badly", "interrupted"),
            "part": ("well", "changed", "no ranges", "badly", "interrupted"),
        }[task.kind.value]

    def step(self, task, way):
        """Take one step of a task that was begun; whether that was the last."""
        if self.life.state.name == "VERIFYING":
            return self._verified(task, way)
        return getattr(self, f"_{task.kind.value}")(task, way)

    def _tiny(self, task, way):
        if way != "interrupted":
            self._throw_away()  # the response is here, or will not come
        return self._whole(task, way)

    def _whole(self, _, way):
        if way == "well":
            self.life.verify()
            return False
        if way == "later" and self._failures < MOST_FAILURES:
            self._failures += 1
            self.life.wait(self.task(self.world.kinds.WHOLE), self.world.patience)
        else:
            self._leave(way)
        return True

    def _open(self, _, way):
        if way == "well":
            self._hand_out()
        elif way == "complete":
            self.life.held = Handle(self.world.handles)
            self.life.verify()
            return False
        else:
            self._deal_with(way)
        return True

    def _hand_out(self):
        self.life.held = Handle(self.world.handles)
        parts = [self.task(self.world.kinds.PART, number) for number in range(self.parts)]
        self._pending = set(parts)
        self.world.queue.add(parts)

    def _part(self, part, way):
        with self._lock:
            self._pending.discard(part)
            if way != "well" and not self._error:
                self._error = way
                gone = self.world.queue.drop_parts(self._pending)
                for task in gone:
                    assert not task.dropped
                    task.dropped = True
                self._pending.difference_update(gone)
            if self._pending:
                return True
        error, self._error = self._error, ""
        if error:
            self._deal_with(error)
            return True
        self.life.verify()
        return False

    def _verified(self, task, way):
        if way == "well":
            self.life.end(self._outcome(Status.FETCHED))
        elif way == "wrong" and not self._wrong:
            self._wrong = True
            self.life.fetch_anew()
            if self.first is not self.world.kinds.OPEN or task.kind is self.world.kinds.WHOLE:
                return False
            self._throw_away()
            self._hand_out()
        else:
            self._leave(way)
        return True

    def _deal_with(self, error):
        if error == "no ranges":
            self._throw_away()
            self.life.wait(self.task(self.world.kinds.WHOLE), 0.0)
        elif error == "changed" and self._changes < MOST_CHANGES:
            self._changes += 1
            self._throw_away()
            self.life.fetch_anew()
            self._hand_out()
        else:
            self._leave(error)

    def _throw_away(self):
        handle, self.life.held = self.life.held, None
        if handle is not None:
            handle.close()

    def _leave(self, error):
        if error == "interrupted":
            self.life.stop()
        else:
            self.life.end(self._outcome(Status.FAILED))

    def _outcome(self, status):
        return Outcome(self.life.step.want.path, "", status)
