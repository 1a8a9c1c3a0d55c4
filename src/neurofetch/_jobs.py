"""How many files at a time: what a user asked for, made to work."""

from __future__ import annotations

import os
import warnings

__all__ = ["checked_jobs"]


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
