"""Between the line and the queue: counts what comes, and says how much may be under way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from neurofetch.transfer.width import Bounds, Sample, Width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurofetch.model import Step
    from neurofetch.net.client import Client
    from neurofetch.transfer.crowd import Crowd
    from neurofetch.transfer.options import Options
    from neurofetch.transfer.schedule import Schedule
    from neurofetch.transfer.tally import Tally

__all__ = ["Files", "Steering", "bounds_of"]

_log = logging.getLogger("neurofetch")

_UNPROVEN = 32
"""Parts that may be under way together without having shown that so many help: with more threads, a
quick line is not quicker."""
_UNKNOWN_SIZE = 1 << 20
"""Bytes that a file is taken to have when nobody told."""


class Files(Protocol):
    """The files of a transfer, by how they are fetched, each with its number in the plan."""

    @property
    def tiny(self) -> Sequence[tuple[int, Step]]:
        """Those asked for many at a time."""

    @property
    def whole(self) -> Sequence[tuple[int, Step]]:
        """Those in one request."""

    @property
    def large(self) -> Sequence[tuple[int, Step]]:
        """Those in parts."""


def bounds_of(crowd: Crowd, options: Options, files: Files, rate: float | None) -> Bounds:
    """Return what a transfer may have at most, and how large what it asks for is.

    Parameters
    ----------
    crowd : Crowd
    options : Options
    files : Files
    rate : float or None
        Bytes a second that the user allows.
    """
    size = _mean_size(files.whole) if files.whole else 0.0
    size = max(size, float(options.part_size) if files.large or not files.whole else 0.0)
    unproven = options.bulk_connections if files.large else options.whole_connections
    return Bounds(
        crowd.threads,
        max(1, crowd.places),
        size,
        _mean_size(files.tiny),
        rate,
        min(unproven, _UNPROVEN) if files.large else unproven,
    )


def _mean_size(steps: Sequence[tuple[int, Step]]) -> float:
    sizes = [step.want.remote.size for _, step in steps]
    return sum(_UNKNOWN_SIZE if size is None else size for size in sizes) / max(1, len(sizes))


class Steering:
    """Sets the numbers of a schedule, as its `Width` finds them.

    Only the thread that started the transfer calls it.

    Parameters
    ----------
    schedule : Schedule
    client : Client
        Its `pace` counts what comes over all connections, and lets some of them hold on.
    tally : Tally
    crowd : Crowd
    width : Width
    has_bulk : bool
        Whether there are files in one request, or in parts.
    """

    def __init__(
        self,
        schedule: Schedule,
        client: Client,
        tally: Tally,
        *,
        crowd: Crowd,
        width: Width,
        has_bulk: bool,
    ) -> None:
        self._schedule = schedule
        self._client = client
        self._tally = tally
        self._crowd = crowd
        self._width = width
        self._has_bulk = has_bulk
        self._said = (0, 0)
        self._set()

    def _set(self) -> None:
        width = self._width
        client = self._client
        beyond = self._schedule.widen(width.bulk, min(width.tiny, self._crowd.places))
        # While a server is away, nobody holds on: who does may have the only connection that the
        # server allows, and those whose turn it is wait for it.
        client.pace.hold(frozenset() if client.outages.quiet_lines else beyond)
        if (width.bulk, width.tiny) != self._said:
            self._said = (width.bulk, width.tiny)
            _log.debug(
                "connections: %d, for tiny files %d (the line brings %.2f MB/s)",
                width.bulk,
                width.tiny,
                width.rate / 1e6,
            )

    def look(self, now: float) -> int:
        """See how the transfer stands, and set how many may be under way.

        Parameters
        ----------
        now : float
            Seconds.

        Returns
        -------
        int
            How many threads have something to do.
        """
        stands, tally = self._schedule.stands(), self._tally
        self._has_bulk |= stands.bulk_waits or stands.later
        self._width.feed(
            Sample(
                now,
                self._client.pace.came,
                stands.bulk,
                stands.tiny,
                bulk_waits=stands.bulk_waits,
                tiny_waits=stands.tiny_waits,
                throttled=tally.throttled,
                fruitless=tally.fruitless,
                round_trip=self._client.outages.round_trip,
            )
        )
        self._set()
        return self._threads(stands.flows)

    def threads_at_first(self) -> int:
        """Return how many threads to begin with."""
        return self._threads(1)

    def _threads(self, flows: int) -> int:
        """Return how many threads have something to do, one for opening large files included."""
        crowd = self._crowd
        bulk = self._width.bulk + (crowd.jobs > 0) if self._has_bulk else 0
        return max(1, min(crowd.threads, bulk + min(flows, crowd.flows)))

    def end(self) -> None:
        """Let all go on that hold on."""
        self._client.pace.hold(frozenset())
