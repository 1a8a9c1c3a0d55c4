"""Tasks on the workers of a Dask cluster: their news while they run, and the way to end them.

The client submits a task under a key of its own and hears of it by events (`Worker.log_event`). A
worker looks whether its task is still wanted: one that was cancelled, or whose client has gone,
ends by itself. Dask runs a task again whose worker was lost; the task subtracts what was done.
Nothing of Dask is imported until somebody asks for it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import pickle
import socket
import threading
import time
import warnings
import zlib
from concurrent.futures import CancelledError, Future
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown
from neurofetch._version import __version__
from neurofetch.cluster.crew import ExecutorCrew, Loss
from neurofetch.cluster.desk import desk_of
from neurofetch.cluster.tasks import News, TaskDone, run_task
from neurofetch.errors import NeurofetchError, UnreachableError, UsageError
from neurofetch.events import NetworkAway, NetworkBack, NoWorkers, Progress, Waiting
from neurofetch.extras import need
from neurofetch.net.scheduler import checked_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from neurofetch.cluster.desk import Desk
    from neurofetch.cluster.tasks import Task
    from neurofetch.events import Event

__all__ = ["DaskCrew", "TaskLine", "carry_out", "connected"]

_TOPIC = "neurofetch"
"""One topic for all runs: a scheduler keeps the latest events of each topic that ever was."""
_KINDS: dict[str, Callable[..., Event]] = {
    kind.__name__: kind for kind in (Progress, Waiting, NetworkAway, NetworkBack)
}
_BEAT, _ALL_TOLD = 0.3, 40
"""Seconds between two words of a task on how far it is; so many a second of all tasks, at most."""
_LOOK = 1.0
"""Seconds between two looks at which workers there are."""
_PATIENT = 1.0
"""Seconds without workers, before that is told; then after twice as many."""
_UNTOLD = 8
"""Tasks that are submitted where no worker is there yet."""
_CONNECT_SECONDS = 5.0
_HEAVY = 1 << 30
"""Bytes from which on a task goes before all others."""
_AGAIN = "Run the same call again: what came is kept."


# -- in a worker -----------------------------------------------------------------------------------


def carry_out(version: str, beat: float, packed: bytes) -> TaskDone:
    """Carry out a task in a worker of Dask.

    Parameters
    ----------
    version : str
        Of this program, where the call was made. It is looked at before anything is unpacked.
    beat : float
        Seconds between two words on how far it is.
    packed : bytes
        The task.

    Returns
    -------
    TaskDone
        Also where it failed.

    Raises
    ------
    UsageError
        If the worker has another version.
    """
    from distributed import Reschedule, get_worker  # noqa: PLC0415 - only workers need it

    if version != __version__:
        msg = (
            f"neurofetch {__version__} runs on {socket.gethostname()}, and the call was made by "
            f"neurofetch {version}. Nothing was fetched there. Install the same version on both, "
            "or start the workers from the same environment."
        )
        raise UsageError(msg)
    task: Task = pickle.loads(zlib.decompress(packed))
    line = TaskLine(get_worker(), beat)
    done = run_task(task, line.tell, line.is_over)
    if done.stopped and line.leaves:
        raise Reschedule
    return done


def _begin(version: str, beat: float, packed: bytes) -> TaskDone:
    """Carry out a task; this function is sent itself, and not only named."""
    from neurofetch.cluster.dask import carry_out as carried_out  # noqa: PLC0415 - see below

    return carried_out(version, beat, packed)


_begin.__module__ = "__main__"
# A worker of Dask that cannot find what a function is in ends without a word, and with it all that
# it does for others. What is of `__main__` travels by its value; then the task alone fails.


class TaskLine:
    """The line between a task and its client, at the task's end.

    Parameters
    ----------
    worker : distributed.Worker
    beat : float
        Seconds between two words on how far it is.
    """

    def __init__(self, worker: Any, beat: float) -> None:
        self._worker = worker
        self._key = worker.get_current_task()
        self._beat = beat
        self._next = 0.0

    def tell(self, news: News) -> None:
        """Send what is new; how far the task is, only now and then."""
        if isinstance(news.event, Progress):
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + self._beat
        self._worker.log_event(_TOPIC, _packed_news(news))

    def is_over(self) -> bool:
        """Whether nobody waits for the task any more, or its worker is to end."""
        state = self._worker.state.tasks.get(self._key)
        return state is None or state.state == "cancelled" or self.leaves

    @property
    def leaves(self) -> bool:
        """Whether the worker is about to end; another one takes its task."""
        return self._worker.status.name not in ("running", "paused")


def _packed_news(news: News) -> dict[str, Any]:
    """Return news as values that any scheduler passes on."""
    fields = {
        name: None if isinstance(value, float) and math.isinf(value) else value
        for name, value in asdict(news.event).items()
    }
    return {
        "run": news.run,
        "task": news.number,
        "event": type(news.event).__name__,
        "fields": fields,
    }


def _unpacked_news(message: Mapping[str, Any]) -> News:
    """Return what was packed.

    Raises
    ------
    KeyError, TypeError, AttributeError
        If something else was.
    """
    fields = {
        name: math.inf if value is None else value for name, value in message["fields"].items()
    }
    event = _KINDS[message["event"]](**fields)
    return News(message["run"], message["task"], event)


def _arrived(event: tuple[float, Any]) -> None:
    """Put news on the desk of the run that they are of, if that is in this process."""
    _, message = event
    with contextlib.suppress(
        KeyError, TypeError, AttributeError
    ):  # of another program, or another version
        desk = desk_of(message["run"])
        if desk is not None:
            desk.take(_unpacked_news(message))


# -- in the client ---------------------------------------------------------------------------------


class _Pending(Future[TaskDone]):
    """A task that was submitted; it is done also where its client was closed."""

    def __init__(self, client: Any, sent: Any) -> None:
        super().__init__()
        self.client = client
        self.sent = sent

    def done(self) -> bool:
        """Whether it has ended, or nothing more can be heard of it."""
        return super().done() or self.client.status == "closed"


class _SchedulerAwayError(ConnectionError):
    """The connection to the scheduler is no more."""


class DaskCrew(ExecutorCrew):
    """Runs tasks on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    workers : int or None
        Tasks at once, at most; None for as many as the workers have threads.
    how : mapping, optional
        What `Client.submit` takes beside: which workers, resources, retries.
    """

    def __init__(
        self, client: Any, workers: int | None = None, how: Mapping[str, Any] | None = None
    ) -> None:
        self._client = client
        self._name = str(client.scheduler.address)
        self._workers = workers
        self.grows = workers is None
        self._how = {**(how or {}), "pure": False}
        self._desk: Desk | None = None
        self._threads: int | None = None
        self._looked, self._looking = -math.inf, False
        self._alone_since: float | None = None
        self._told = 0.0
        """After how many seconds it was told that there are no workers."""
        self._tries: dict[str, int] = {}

    # -- how many at once ----------------------------------------------------------------------

    @property
    def at_once(self) -> int:  # type: ignore[override]
        """Tasks that run at once, at most; it grows with the cluster."""
        if self._threads is None:
            self._look_first()
        elif not self._looking and time.monotonic() - self._looked > _LOOK:
            self._looking = True
            self._client.loop.add_callback(self._look)
        self._tell_of_workers()
        threads = self._threads or 0
        return self._workers or max(threads, self._could_be(threads))

    def _look_first(self) -> None:
        """Count the threads of all workers, before anything is handed out.

        Raises
        ------
        UnreachableError
            If the scheduler does not answer.
        """
        try:
            self._client.sync(self._look, callback_timeout=2 * _CONNECT_SECONDS)
        except TimeoutError as error:
            msg = (
                f"the Dask scheduler {self._name} does not answer. Nothing was fetched. See that "
                "it runs, and that nothing keeps it busy; then run the same call again."
            )
            raise UnreachableError(msg) from error

    async def _look(self) -> None:
        """Count the threads of all workers."""
        try:
            found = await self._client.scheduler.ncores()
            self._threads = sum(found.values())
        except (OSError, ValueError):  # the connection is away: `submit` tells of that
            self._threads = self._threads or 0
        finally:
            self._looked, self._looking = time.monotonic(), False

    def _could_be(self, threads: int) -> int:
        """Return how many tasks an adaptive cluster, or one without workers, is to be given."""
        adaptive = getattr(self._client.cluster, "_adaptive", None)
        if adaptive is None:
            return 0 if threads else _UNTOLD
        most = getattr(adaptive, "maximum", math.inf)
        each = max(1, threads // max(1, len(getattr(self._client.cluster, "workers", ()))))
        return max(2 * threads, _UNTOLD) if math.isinf(most) else max(1, int(most) * each)

    def _tell_of_workers(self) -> None:
        """Say that no worker is there, as long as that is so."""
        if self._desk is None or (self._threads and self._alone_since is None):
            return
        now = time.monotonic()
        since = self._alone_since = self._alone_since or now
        seconds = now - since
        if self._threads:
            self._alone_since = None
            if self._told:
                self._desk.take(News("", -1, NoWorkers(self._name, seconds, over=True)))
            self._told = 0.0
        elif seconds >= max(_PATIENT, 2 * self._told):
            self._told = seconds
            self._desk.take(News("", -1, NoWorkers(self._name, seconds)))

    # -- what the loop calls -------------------------------------------------------------------

    @contextlib.contextmanager
    def opened(self, desk: Desk) -> Iterator[object]:
        """Have the news of a run come to its desk."""
        self._desk = desk
        self._client.subscribe_topic(_TOPIC, _arrived)
        try:
            with _given_way():
                yield self
        finally:
            self._desk = None

    def submit(self, task: Task) -> _Pending:
        """Have a task run.

        Raises
        ------
        UsageError
            If it cannot be sent.
        ConnectionError
            If the client was closed, as it is when it cannot find its scheduler again.
        """
        client = self._client
        if client.status == "closed":
            raise _SchedulerAwayError
        packed = _packed(task)
        name = f"neurofetch-{task.job.run}-{task.name}"
        tries = self._tries[name] = self._tries.get(name, 0) + 1
        beat = max(_BEAT, self.at_once / _ALL_TOLD)
        sent = client.submit(
            _begin,
            __version__,
            beat,
            packed,
            key=name if tries == 1 else f"{name}-{tries}",
            priority=min(1.0, task.plan.bytes_to_write / _HEAVY),
            **self._how,
        )
        pending = _Pending(client, sent)
        client.loop.add_callback(_passed_on, sent, pending)
        return pending

    def result(self, pending: Any) -> Any:
        """Return what came of a task; raise what `lost` explains."""
        if not Future.done(pending):
            raise _SchedulerAwayError
        done = pending.result()
        if self._alone_since is not None:  # there are workers: this came from one
            self._threads = self._threads or 1
            self._tell_of_workers()
        return done

    def lost(self, error: BaseException) -> Loss:
        """Return why a task did not return."""
        if isinstance(error, NeurofetchError):
            return Loss(str(error), again=False)
        if isinstance(error, _SchedulerAwayError):
            return Loss(_scheduler_lost(self._name), again=False, astray=True)
        if type(error).__name__ == "KilledWorker":
            return Loss(_killed(error), again=False)
        if isinstance(error, CancelledError):
            return self._cancelled(error)
        missing = _missing_module(error)
        if missing:
            return Loss(_not_installed(missing), again=False)
        said = shown(str(error)) or type(error).__name__
        return Loss(f"its task was lost: {type(error).__name__}: {said}. {_AGAIN}", again=True)

    def _cancelled(self, error: BaseException) -> Loss:
        reason = getattr(error, "reason", "")
        if reason == "scheduler-connection-lost" or self._client.status != "running":
            with contextlib.suppress(Exception):  # it may be closed by now
                self._client.subscribe_topic(_TOPIC, _arrived)
            return Loss(_scheduler_lost(self._name), again=True, astray=True)
        if reason in ("scheduler-restart", "lost-dependencies"):
            return Loss(f"its task was lost: the cluster was restarted. {_AGAIN}", again=True)
        return Loss(f"its task was cancelled at the cluster. {_AGAIN}", again=False, astray=True)

    def cancel(self, pending: Any) -> None:
        """Have a task end: its worker sees that nobody waits for it any more."""
        if self._client.status == "running":
            with contextlib.suppress(Exception):  # whatever it is, the run ends
                pending.sent.cancel(reason="user", msg="the run was interrupted")


def _given_way() -> contextlib.AbstractContextManager[object]:
    """Where this is called in a task of a cluster, leave its thread to other tasks meanwhile.

    Else those that are waited for would wait for the thread that waits for them.
    """
    import distributed  # noqa: PLC0415 - see the module

    try:
        distributed.get_worker()
    except ValueError:  # it is not
        return contextlib.nullcontext()
    away: contextlib.AbstractContextManager[object] = distributed.worker_client()
    return away


async def _passed_on(sent: Any, pending: _Pending) -> None:
    """Hand over what came of a task, in the loop of the client."""
    try:
        done = await sent
    except BaseException as error:  # noqa: BLE001 - it is raised where it is asked for
        pending.set_exception(error)
    else:
        pending.set_result(done)


def _packed(task: Task) -> bytes:
    """Return a task as bytes: small ones, since a scheduler holds them until they are carried out.

    Raises
    ------
    UsageError
        If it cannot be sent.
    """
    from distributed.protocol import pickle as theirs  # noqa: PLC0415 - functions of scripts, too

    dumps: Callable[[object], bytes] = theirs.dumps
    try:
        return zlib.compress(dumps(task), 1)
    except Exception as error:
        msg = (
            f"the tasks cannot be sent to workers: {shown(str(error))[:300]}. Nothing was fetched. "
            "What was handed in (a source, a look into each file) has to be picklable: a function "
            "of a module, without locks, open files or connections."
        )
        raise UsageError(msg) from error


# -- what went wrong, in words ---------------------------------------------------------------------


def _scheduler_lost(name: str) -> str:
    return (
        f"the connection to the Dask scheduler {name} was lost: it ended, or the network is away. "
        f"{_AGAIN}"
    )


def _killed(error: BaseException) -> str:
    last = getattr(getattr(error, "last_worker", None), "address", "")
    times = getattr(error, "allowed_failures", 3) + 1
    often = "once" if times == 1 else f"{times} times"
    return (
        f"the worker that it ran on was lost {often} (the last was {shown(str(last))}): it "
        "ran out of memory (Dask ends a worker at 95 % of its limit), its job's time was over, or "
        f"its machine is gone; its log says which. Give workers more memory or time. {_AGAIN}"
    )


def _missing_module(error: BaseException | None) -> str:
    """Return the module that a worker or the scheduler does not have; "" where that is not it."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            return error.name or str(error)
        error = error.__cause__
    return ""


def _not_installed(name: str) -> str:
    return (
        f"a worker, or the scheduler, has no module {shown(name)}. Nothing was fetched there. "
        "Install neurofetch there in the same version, or start the cluster from the same "
        "environment."
    )


# -- a client of one's own -------------------------------------------------------------------------


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give a client of a scheduler, for a command.

    Parameters
    ----------
    address : str
        As `checked_address` takes it.

    Raises
    ------
    UsageError
        If it is no address.
    MissingExtraError
        If Dask is not installed.
    UnreachableError
        If no scheduler answers there.
    """
    address = checked_address(address)
    need("A Dask cluster", "dask")
    import distributed  # noqa: PLC0415 - only where it is asked for

    make: Callable[..., Any] = distributed.Client
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is in the report
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small differences between the versions of libraries
        client = _within_seconds(
            lambda: make(address, timeout=_CONNECT_SECONDS, set_as_default=False, name=_TOPIC),
            address,
        )
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.close(timeout=2)


def _within_seconds(connect: Callable[[], Any], address: str) -> Any:
    """Return a client, or tell that there is none: what listens and is silent holds up Dask's own.

    Raises
    ------
    UnreachableError
    """
    found: Future[Any] = Future()

    def run() -> None:
        try:
            found.set_result(connect())
        except BaseException as error:  # noqa: BLE001 - it is raised below
            found.set_exception(error)

    threading.Thread(target=run, name="neurofetch-dask", daemon=True).start()
    try:
        return found.result(2 * _CONNECT_SECONDS)
    except (OSError, ValueError, RuntimeError, ImportError, TypeError) as error:  # TypeError: TLS
        why = shown(str(error))[:200] or "what listens there says nothing"
        msg = (
            f"no Dask scheduler answers at {address}: {why}. Nothing was fetched. See that it "
            "runs and that this machine may connect to it; it prints its address when it starts "
            "('Scheduler at: tcp://...'). For tls://, the certificates are those of Dask's own "
            "settings (distributed.comm.tls)."
        )
        raise UnreachableError(msg) from error
