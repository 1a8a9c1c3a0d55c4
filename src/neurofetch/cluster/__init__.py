"""Many tasks for one plan: in threads, in processes, on the machines of a cluster; one report.

`crew_of` says who runs them; `RunSettings.crew` takes it. The client makes the plan, splits it
(`planning/parts.py`), hands out the parts (`spread.py`) and merges what comes back. A task
(`tasks.py`) looks at its part again, fetches what is missing and returns the outcomes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurofetch.fetcher import Crew

__all__ = ["crew_of"]


def crew_of(executor: object = None, workers: object = None, client: object = None) -> Crew | None:
    """Return who runs the tasks of a call; None where this process does it alone.

    Parameters
    ----------
    executor : object with ``submit``, optional
        One of `concurrent.futures`, or what is like one: of Dask, submitit, Parsl, executorlib.
        Its workers see the data directory under the same path.
    workers : int, optional
        Tasks at once, at most; by default as many as the executor says that it runs, else 8. Each
        gets that share of the connections, the rate, and what a source allows at once.
    client : distributed.Client, optional
        Of a Dask cluster, in place of an executor.

    Raises
    ------
    MissingExtraError, WrongTypeError, UsageError
        If one of them cannot be used.
    """
    if executor is None and workers is None and client is None:
        return None
    from neurofetch.cluster.choice import chosen_crew  # noqa: PLC0415 - few calls need it

    return chosen_crew(executor, workers, client)
