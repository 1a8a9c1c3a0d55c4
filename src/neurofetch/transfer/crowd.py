"""How many threads, connections and open files a transfer may have at once.

Each thread, request and open large file needs descriptors, and a process has only so many: on many
login nodes 1,024, in some containers 64. So they are counted together, before the first is opened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurofetch.transfer.options import Options


__all__ = ["Crowd", "crowd_for", "free_descriptors"]

_FLOWS = 32
"""Threads for tiny files, at most. One keeps many connections busy: with a thread for each, handing
the interpreter from thread to thread costs more than the files (measured: ADR 7)."""
_RESERVE = 12
"""Descriptors for what is open for a moment: the journal, a folder that is flushed, a name that is
looked up, certificates; and for the rest of the process."""
_PER_LARGE = 3
"""An open large file: its bytes, its log, and reading it once more."""
_PER_WHOLE = 3
"""A file in one request: the connection, the temporary file, and reading it once more."""
_PER_FLOW = 2
"""A thread for tiny files, beside its connections: the temporary file, and a deeper look at it."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many of each a transfer has.

    Parameters
    ----------
    threads : int
        All of them.
    flows : int
        Those of them that may work on tiny files.
    places : int
        Requests that the flows have under way together.
    jobs : int
        Large files open at once.
    bulk : int
        Connections that work on their parts.
    """

    threads: int
    flows: int
    places: int
    jobs: int
    bulk: int


def free_descriptors() -> int | None:
    """Return how many more descriptors this process may open; None where that is not known."""
    try:
        import resource  # noqa: PLC0415 - not on every system

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except (ImportError, OSError):
        return None
    if most < 0:
        return None
    try:
        used = len(os.listdir("/dev/fd"))
    except OSError:
        used = most // 2  # not told: half of them are left to others
    return max(0, most - used)


def crowd_for(
    options: Options, tiny: int, whole: int, large: int, descriptors: int | None = None
) -> Crowd:
    """Return how many threads to start, and what they may have open.

    Parameters
    ----------
    options : Options
    tiny, whole, large : int
        Files that are asked for many at a time, in one request, and in parts.
    descriptors : int or None
        How many are free; None for no bound.

    Returns
    -------
    Crowd
        There are never more connections than ``options.connections``, and never more open files
        than there are descriptors (where at least some twenty are free; with fewer, one of each).

    Examples
    --------
    >>> from neurofetch.transfer.options import Options
    >>> crowd_for(Options(connections=192), tiny=2000, whole=0, large=0)
    Crowd(threads=32, flows=32, places=192, jobs=0, bulk=0)
    """
    most = options.connections
    jobs = min(options.n_jobs, large)
    bulk = min(options.bulk_connections, most) if large else 0
    alone = min(whole, options.whole_connections, most)
    room = max(1, most // 2) if tiny else most
    if alone + bulk > room:
        alone = min(alone, max(room - bulk, min(1, alone)))
        bulk = min(bulk, max(room - alone, min(1, bulk)))
    places = max(1, min(tiny, most - alone - bulk)) if tiny else 0
    if descriptors is not None:
        jobs, bulk, alone, places = _within(descriptors, jobs, bulk, alone, places)
    flows = min(_FLOWS, places)
    return Crowd(min(most, alone + bulk + flows), flows, places, jobs, bulk)


def _within(
    descriptors: int, jobs: int, bulk: int, alone: int, places: int
) -> tuple[int, int, int, int]:
    """Make all of them smaller alike until they fit; what is needed stays at least one."""
    free = descriptors - _RESERVE
    jobs = min(jobs, max(1, free // 3 // _PER_LARGE))
    free -= jobs * _PER_LARGE
    cost = bulk + alone * _PER_WHOLE + places + min(_FLOWS, places) * _PER_FLOW
    if cost <= free:
        return jobs, bulk, alone, places
    share = max(0.0, free / cost)
    fitted = [max(min(1, number), int(number * share)) for number in (bulk, alone)]
    left = free - fitted[0] - fitted[1] * _PER_WHOLE
    places = min(places, max(1, left // (1 + _PER_FLOW), left - _FLOWS * _PER_FLOW))
    return jobs, fitted[0], fitted[1], places
