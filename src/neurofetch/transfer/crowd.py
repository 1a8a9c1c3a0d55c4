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
_PLACES_PER_FLOW = 8
"""Places for each of those threads, at least, where descriptors are few."""
_RESERVE = 12
"""Descriptors for what is open for a moment: the journal, a folder that is flushed, a name that is
looked up, certificates; and for the rest of the process."""
_PER_LARGE = 3
"""An open large file: its bytes, its log, and reading it once more."""
_PER_THREAD = 3
"""A thread may fetch a file in one request, whatever else it does at other times: the connection,
the temporary file, and its log, or reading the file once more."""


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
        Requests that the flows have under way together, beside one for each flow.
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

    @property
    def descriptors(self) -> int:
        """How many descriptors they have open at once, at most."""
        return self.jobs * _PER_LARGE + self.threads * _PER_THREAD + self.places


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
        There are never more connections than ``options.connections``, and never more descriptors
        than are free (where at least 28 are; with fewer, one of each).

    Examples
    --------
    >>> from neurofetch.transfer.options import Options
    >>> crowd_for(Options(connections=192), tiny=2000, whole=0, large=0)
    Crowd(threads=32, flows=32, places=192, jobs=0, bulk=0)
    >>> crowd_for(Options(), tiny=2000, whole=0, large=1, descriptors=58)
    Crowd(threads=8, flows=2, places=19, jobs=1, bulk=6)
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
    flows = min(_FLOWS, places)
    if descriptors is not None:
        free = descriptors - _RESERVE
        jobs = min(jobs, max(1, free // 4 // _PER_LARGE))
        free -= jobs * _PER_LARGE
        alone, bulk, flows, places = _within(free, alone, bulk, flows, places)
    return Crowd(min(most, alone + bulk + flows), flows, places, jobs, bulk)


def _within(free: int, alone: int, bulk: int, flows: int, places: int) -> tuple[int, int, int, int]:
    """Make threads and places fewer until they fit; what is needed stays at least one.

    The places get half of what is to spare, or all but what the threads for tiny files need.
    """
    others = alone + bulk
    if (others + flows) * _PER_THREAD + places <= free:
        return alone, bulk, flows, places
    least = sum(min(1, threads) for threads in (alone, bulk, flows)) * _PER_THREAD + min(1, places)
    spare = max(0, free - least)
    if places:
        share = 1 / 2 if others else _PLACES_PER_FLOW / (_PLACES_PER_FLOW + _PER_THREAD)
        places = min(places, 1 + int(spare * share))
        flows = min(flows, max(1, places // _PLACES_PER_FLOW))
    left = (free - places) // _PER_THREAD - flows
    if others > max(0, left):
        bulk = min(bulk, max(1, left * bulk // others))
        alone = min(alone, max(1, left - bulk))
    return alone, bulk, flows, places
