"""How many files at a time, and which share of them: what a user asked for, checked."""

from __future__ import annotations

import os
import warnings

from neurofetch._errors import UsageError

__all__ = ["checked_jobs", "checked_shard"]


def checked_jobs(n_jobs: object, stacklevel: int = 3) -> int:
    """Return a number of jobs that works; warn where another was asked for.

    Parameters
    ----------
    n_jobs : object
        What the user gave. Not an int, a bool, or below 1 becomes 1; above ``max(32, 2 * CPUs)``
        becomes that bound.
    stacklevel : int
        For the warning, so that it points at the user's line.

    Warns
    -----
    UserWarning
        When the number is another than what was asked for.

    Examples
    --------
    >>> checked_jobs(4)
    4
    """
    most = max(32, 2 * (os.cpu_count() or 1))
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int):
        problem, jobs = f"n_jobs={n_jobs!r} is no whole number", 1
    elif n_jobs < 1:
        problem, jobs = f"n_jobs={n_jobs} is below 1", 1
    elif n_jobs > most:
        problem, jobs = f"n_jobs={n_jobs} is more than this machine can use", most
    else:
        return n_jobs
    warnings.warn(f"{problem}; going on with n_jobs={jobs}", UserWarning, stacklevel=stacklevel)
    return jobs


def checked_shard(shard: object) -> tuple[int, int] | None:
    """Return the index and count of a shard; None for the whole.

    Parameters
    ----------
    shard : object
        What the user gave: None, or two whole numbers.

    Raises
    ------
    UsageError
        If it is anything else, or the index is not one of the count.

    Examples
    --------
    >>> checked_shard((0, 8))
    (0, 8)
    """
    if shard is None:
        return None
    if isinstance(shard, tuple | list) and len(shard) == 2:
        index, count = shard
        whole = all(type(number) is int for number in (index, count))
        if whole and 0 <= index < count:
            return index, count
    msg = f"shard is (index, count), and the index runs from 0 to count - 1; got {shard!r}"
    raise UsageError(msg)
