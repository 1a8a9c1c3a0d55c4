"""A real cluster of Dask on this machine, whose workers can be killed, frozen and added.

`LocalCluster` starts processes, each with a nanny that lives here. What is to have its own
environment, or a nanny that dies too, is started as on other machines, by `dask worker`:

    with DaskCluster(4) as cluster:
        cluster.kill(cluster.workers()[0])
        with worker_process(cluster.address, env={"HOME": "/nonexistent"}):
            ...  # a client: cluster.client
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import dask
from distributed import Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "DaskCluster",
    "children_of",
    "scheduler_process",
    "wait_until",
    "worker_process",
]

_QUIET = {"logging.distributed": "critical", "distributed.admin.tick.limit": "1h"}


def wait_until(true: Any, seconds: float = 60.0, beat: float = 0.02) -> None:
    """Wait until something holds.

    Raises
    ------
    TimeoutError
        If it does not for so long.
    """
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            msg = f"not within {seconds} s: {true}"
            raise TimeoutError(msg)
        time.sleep(beat)


class DaskCluster:
    """A cluster of some processes, and a client of it.

    Parameters
    ----------
    workers
        Processes.
    threads
        Of each: so many tasks it runs at once.
    memory
        That each may use, as Dask writes it; "0" for no limit.
    settings
        Of Dask, such as ``{"distributed.scheduler.worker-ttl": "3s"}``.
    """

    def __init__(
        self,
        workers: int = 4,
        *,
        threads: int = 1,
        memory: str = "0",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._exits = contextlib.ExitStack()
        self._made = (workers, threads, memory, {**_QUIET, **(settings or {})})

    def __enter__(self) -> Self:
        workers, threads, memory, settings = self._made
        self._exits.enter_context(dask.config.set(settings))
        start: Any = LocalCluster
        self.cluster: Any = self._exits.enter_context(
            start(
                n_workers=workers,
                threads_per_worker=threads,
                processes=True,
                memory_limit=memory,
                dashboard_address=":0",  # with None, it is a port that another one may have
                silence_logs=50,
            )
        )
        connect: Any = Client
        self.client: Any = self._exits.enter_context(connect(self.cluster, set_as_default=False))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self.cluster.scheduler_address)

    def pids(self) -> dict[str, int]:
        """Return the process of each worker, by its address."""
        return dict(self.client.run(os.getpid))

    def workers(self) -> list[str]:
        """Return the addresses of the workers."""
        return sorted(self.client.nthreads())

    def send(self, worker: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the process of a worker, and return its id."""
        pid = self.pids()[worker]
        os.kill(pid, number)
        return pid

    def busy(self) -> dict[str, list[str]]:
        """Return the tasks that each worker runs."""
        found = self.client.processing()
        return {worker: [str(key) for key in keys] for worker, keys in found.items() if keys}


def children_of(pid: int) -> list[int]:
    """Return the processes that one has started."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(text) for text in file.read().split()]
    return []


@contextlib.contextmanager
def scheduler_process(port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a scheduler as `dask scheduler` does, and wait until it listens."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"]
    with _started("scheduler", [*where, *more], {}) as process:
        wait_until(lambda: _listens(port))
        yield process


@contextlib.contextmanager
def worker_process(
    address: str,
    *more: str,
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker as `dask worker` does; its process is the nanny, whose child is the worker.

    Parameters
    ----------
    address
        Of the scheduler.
    *more
        Further options.
    env
        Changes of the environment.
    before
        What starts it, such as `unshare`.
    """
    how = ["--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "60"]
    with _started("worker", [address, *how, *more], env or {}, before) as process:
        yield process


@contextlib.contextmanager
def _started(
    what: str, options: Sequence[str], env: Mapping[str, str], before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    command = [*before, sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
    where = os.pathsep.join(path for path in sys.path if path)
    usual = {"DASK_LOGGING__DISTRIBUTED": "critical", "PYTHONPATH": where}
    full = {**os.environ, **usual, **env}
    process = subprocess.Popen(
        command,
        env=full,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False
