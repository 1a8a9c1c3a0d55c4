"""How many files at a time, and which share of them: what a user asked for, checked."""

from __future__ import annotations

import contextlib
import operator
import os
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from neurofetch.errors import UsageError
from neurofetch.net.retry import RetryRules

if TYPE_CHECKING:
    from neurofetch.model import VerificationLevel, Want

__all__ = [
    "Inspect",
    "Options",
    "check_switches",
    "checked_jobs",
    "checked_shard",
    "part_of",
]


def check_switches(**switches: object) -> None:
    """See that no text stands for yes or no: ``follow="no"`` would be a yes.

    Parameters
    ----------
    **switches : object
        What the user gave, by the names of the arguments.

    Raises
    ------
    UsageError
    """
    wrong = [f"{name}={value!r}" for name, value in switches.items() if isinstance(value, str)]
    if wrong:
        msg = f"{', '.join(wrong)} is neither True nor False. Nothing was done. Write one of them."
        raise UsageError(msg)


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
    if not isinstance(n_jobs, bool):
        with contextlib.suppress(TypeError):
            n_jobs = operator.index(n_jobs)  # type: ignore[arg-type]  # also one of NumPy
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
        with contextlib.suppress(TypeError):
            index, count = map(operator.index, shard)
            if not any(isinstance(one, bool) for one in shard) and 0 <= index < count:
                return index, count
    msg = f"shard is (index, count), and the index runs from 0 to count - 1; got {shard!r}"
    raise UsageError(msg)


class Inspect(Protocol):
    """A deeper look at a file before it takes its final name."""

    def __call__(self, temporary: str, want: Want) -> VerificationLevel | None:
        """Look at the file `temporary`, or rewrite it in place.

        Returns
        -------
        VerificationLevel or None
            The level that the look adds, where it is stronger than what was reached before.

        Raises
        ------
        VerificationError
            If the content is not what it should be.
        """


@dataclass(frozen=True, slots=True)
class Options:
    """How to transfer.

    Parameters
    ----------
    n_jobs : int
        Large files in flight.
    connections : int
        At most, for tiny files, which cost a round trip and little else.
    whole_connections : int
        At most, for files that come in one request and are not tiny.
    bulk_connections : int
        At most, for the parts of large files.
    single_limit : int
        Bytes; a file up to this size comes in one request.
    few : int
        Files in flight at once, at most, of a server that is asked for few at a time.
    part_size : int
        Bytes; parts are about as large.
    rules : RetryRules
    failures_in_a_row : int or None
        Stop early when so many files fail one after another; None for never.
    beat : float
        Seconds between progress events.
    width : int or None
        Requests under way at once, where that is not to be found but given: for measurements.
    """

    n_jobs: int = 1
    connections: int = 384
    whole_connections: int = 64
    bulk_connections: int = 64
    few: int = 4
    single_limit: int = 16 << 20
    part_size: int = 8 << 20
    rules: RetryRules = field(default_factory=RetryRules)
    failures_in_a_row: int | None = None
    beat: float = 0.1
    width: int | None = None

    @property
    def least_connections(self) -> int:
        """The number of tasks that can have a connection each, whatever files they have."""
        return min(self.connections, self.whole_connections, self.bulk_connections)

    def share(self, part: float) -> Options:
        """Return what one of several tasks may have, so that all together have no more than this.

        Parameters
        ----------
        part : float
            Of the whole, above 0 and up to 1. Each task has one of everything at least.

        Examples
        --------
        >>> share = Options(n_jobs=4).share(1 / 8)
        >>> share.n_jobs, share.connections, share.bulk_connections, share.few
        (1, 48, 8, 1)
        """
        return replace(
            self,
            n_jobs=part_of(self.n_jobs, part),
            connections=part_of(self.connections, part),
            whole_connections=part_of(self.whole_connections, part),
            bulk_connections=part_of(self.bulk_connections, part),
            few=part_of(self.few, part),
        )


def part_of(number: int, part: float) -> int:
    """Return a part of a number, rounded down, and 1 at least.

    Examples
    --------
    >>> part_of(4, 1 / 2), part_of(3, 1 / 3), part_of(4, 1 / 9)
    (2, 1, 1)
    """
    return max(1, int(number * part + 1e-9))
