"""Who runs the tasks of a call, by what it was given."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown
from neurofetch.cluster.crew import checked_crew, checked_workers
from neurofetch.errors import UsageError, WrongTypeError
from neurofetch.extras import need

if TYPE_CHECKING:
    from neurofetch.cluster.crew import ExecutorCrew

__all__ = ["chosen_crew"]


def chosen_crew(
    executor: object = None, workers: object = None, client: object = None
) -> ExecutorCrew | None:
    """Return who runs the tasks of a call; None where this process does it alone.

    Parameters
    ----------
    executor, workers, client
        As for `neurofetch.cluster.crew_of`. A client of Dask, or the executor that it gives, is
        known as such also where it stands as `executor`.

    Raises
    ------
    MissingExtraError
        If a client is given, and Dask is not installed.
    WrongTypeError, UsageError
        If one of them cannot be used.
    """
    if client is None:
        given, how = _of_dask(executor)
        if given is None:
            return checked_crew(executor, workers)
    elif executor is not None:
        msg = "client= and executor= both say who fetches. Nothing was done. Leave one out."
        raise UsageError(msg)
    else:
        given, how = client, {}
    return _dask_crew(given, checked_workers(workers), how)


def _of_dask(executor: object) -> tuple[Any, dict[str, Any]]:
    """Return the client behind an executor, and what it hands on; None where it is not Dask's.

    Raises
    ------
    UsageError
        If it was shut down.
    """
    library = sys.modules.get("distributed")  # what was not imported made no executor
    if library is None or executor is None:
        return None, {}
    if isinstance(executor, library.Client):
        return executor, {}
    made: Any = executor
    if type(executor).__module__ != "distributed.cfexecutor":
        return None, {}
    if made._shutdown:
        msg = "the executor takes no tasks: it was shut down. Nothing was done. Give one that is"
        raise UsageError(f"{msg} open.")
    return made._client, dict(made._kwargs)


def _dask_crew(client: Any, workers: int | None, how: dict[str, Any]) -> ExecutorCrew:
    """Return who runs the tasks on a cluster of Dask.

    Raises
    ------
    MissingExtraError, WrongTypeError, UsageError
    """
    need("client=", "dask")
    library = sys.modules.get("distributed")
    if library is None or not isinstance(client, library.Client):
        msg = f"client={shown(repr(client))[:80]} is no client of a Dask cluster. Nothing was done."
        raise WrongTypeError(f"{msg} Give dask.distributed.Client(...) of the cluster or address.")
    if client.asynchronous:
        msg = "client= is an asynchronous client. Nothing was done. Give one that is not, and call"
        raise UsageError(f"{msg} from a thread: await asyncio.to_thread(...).")
    if client.status not in ("running", "connecting"):
        msg = f"client= is {client.status}. Nothing was done. Give a client that is connected."
        raise UsageError(msg)
    from neurofetch.cluster.dask import DaskCrew  # noqa: PLC0415 - few calls need it

    return DaskCrew(client, workers, how)
