"""Progress for people and for programs: a bar, a line now and then, or NDJSON.

Each is a listener of events, called in the thread that started the transfer.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from neurofetch._shown import shown
from neurofetch.display.outlet import Outlet, outlet
from neurofetch.display.text import count, duration, network_text, size, workers_text
from neurofetch.display.words import event_json
from neurofetch.errors import UsageError
from neurofetch.events import (
    Checking,
    Event,
    FileDone,
    Finished,
    Listing,
    NetworkAway,
    NetworkBack,
    NoWorkers,
    Progress,
    Waiting,
    quiet,
)
from neurofetch.model import Status
from neurofetch.net.settings import number

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PROGRESS", "Heartbeat", "listener"]

PROGRESS = ("auto", "bar", "lines", "json", "none")
"""The ways to show progress; "auto" is a bar in a terminal, an output that changes in a
notebook, else lines."""

FIRST_LINE = 5.0
LINE_SECONDS = 30.0
_SECOND_TIME = 15.0
"""Seconds after which it is told once more that the network is away; later at twice the time."""
VARIABLE = "NEUROFETCH_LINE_SECONDS"
"""Sets another time between two lines."""


def listener(
    progress: str | bool | Callable[[Event], None] | None = None, stream: TextIO | None = None
) -> Callable[[Event], None]:
    """Return the listener that shows progress as asked.

    Parameters
    ----------
    progress : {"auto", "bar", "lines", "json", "none"}, bool, callable or None
        None stands for "auto", True for "bar", False for "none". A callable is taken as it is.
    stream : text stream, optional
        Where to write; by default ``sys.stderr``.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if callable(progress):
        return progress
    out = outlet(stream)
    kind: object = progress
    if progress is None or isinstance(progress, bool):
        kind = {None: "auto", True: "bar", False: "none"}[progress]
    if kind in ("auto", "bar") and (live := _in_notebook(out, stream)):
        return live
    if kind == "auto":
        kind = "bar" if out.isatty() else "lines"
    if kind == "bar":
        return _Bar(out)
    if kind == "lines":
        return Heartbeat(out)
    if kind == "json":
        return _Ndjson(out)
    if kind == "none":
        return quiet
    msg = f"progress is one of {', '.join(PROGRESS)}, True, False or a callable, not {progress!r}"
    raise UsageError(msg)


def _in_notebook(out: Outlet, stream: TextIO | None) -> Callable[[Event], None] | None:
    """Return what shows progress below a cell; None where this is no notebook."""
    if stream is not None or not {"IPython", "marimo"} & sys.modules.keys():
        return None
    from neurofetch.display.live import Live, notebook  # noqa: PLC0415 - not for commands

    place = notebook()
    return None if place is None else Live(place, Heartbeat(out))


class _Bar:
    """A bar with bytes, rate and time left."""

    def __init__(self, out: Outlet) -> None:
        self._out = out
        self._bar: Any = None
        self._away: dict[str, NetworkAway] = {}
        self._rarely = _Rarely()

    def __call__(self, event: Event) -> None:
        if isinstance(event, NetworkAway | NetworkBack):
            self._network(event)
        elif isinstance(event, Listing):
            self._list(event)
        elif isinstance(event, Progress):
            if self._bar is None:
                self._bar = self._new(event)
            bar = self._bar
            bar.n = min(max(event.bytes_done, 0), max(event.bytes_total, 0))
            bar.total = event.bytes_total
            retries = f", {event.retries:,} retried" if event.retries else ""
            files = f"{event.files_done}/{event.files} files{retries}"
            away = "".join(f", {network_text(one, short=True)}" for one in self._away.values())
            bar.set_postfix_str(files + away, refresh=False)
            bar.refresh()
            if isinstance(event, Checking) and event.over:
                self._close()
        elif isinstance(event, FileDone) and event.outcome.status is Status.FAILED:
            self._say(_failed(event))
        elif isinstance(event, Waiting | NoWorkers):
            self._say(_waiting(event))
        elif isinstance(event, Finished):
            self._close()
            self._out.drain()

    def _network(self, event: NetworkAway | NetworkBack) -> None:
        """Keep what is away, to be shown in the bar; say when it goes and comes."""
        due = self._rarely.due(event)
        if isinstance(event, NetworkBack):
            self._away.pop(event.server, None)
        elif event.patience:
            self._away[event.server] = event
            due = event.first or (due and self._bar is None)
        if due:
            self._say(network_text(event))

    def _list(self, event: Listing) -> None:
        """Count what is listed; how much there will be, nobody knows."""
        if self._bar is None:
            self._bar = _tqdm()(
                desc="listing", unit=" files", file=self._out, dynamic_ncols=True, leave=False
            )
        self._bar.n = event.files
        self._bar.refresh()
        if event.over:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _new(self, event: Progress) -> Any:
        bar = _tqdm()
        return bar(
            total=event.bytes_total,
            unit="B",
            unit_scale=True,
            file=self._out,
            dynamic_ncols=True,
            smoothing=0.1,
            leave=True,
        )

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        self._out.pass_on(text)


class _Rarely:
    """Says when it is time to tell once more that a server is away: at growing intervals."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def due(self, event: NetworkAway | NetworkBack) -> bool:
        """Whether this event is to be told."""
        if isinstance(event, NetworkBack):
            self._next.pop(event.server, None)
            return True
        if not event.first and event.seconds < self._next.get(event.server, 0.0):
            return False
        self._next[event.server] = max(_SECOND_TIME, 2 * event.seconds)
        return True


def _failed(event: FileDone) -> str:
    return f"failed: {shown(event.outcome.path)}: {shown(event.outcome.reason)}"


def _listing(event: Listing) -> str:
    line = f"listing for {duration(event.seconds)}: {count(event.files)} so far"
    if event.prefixes > 1:
        line += f", {event.prefixes_done:,} of {event.prefixes:,} prefixes done"
    return line


def _waiting(event: Waiting | NoWorkers) -> str:
    if isinstance(event, NoWorkers):
        return workers_text(event)
    return f"waiting: {shown(event.path)} is being fetched by {shown(event.owner)}"


def _tqdm() -> Any:
    from tqdm.std import tqdm  # noqa: PLC0415 - slow to import, and not always needed

    return tqdm


class Heartbeat:
    """A line now and then, for logs: the first after some seconds, then every half minute.

    Parameters
    ----------
    stream : text stream
    every : float, optional
        Seconds between two lines; by default what ``NEUROFETCH_LINE_SECONDS`` says, or 30.

    Raises
    ------
    ConfigError
        If the variable is no positive number.
    """

    def __init__(self, stream: TextIO | Outlet, every: float | None = None) -> None:
        self._out = stream if isinstance(stream, Outlet) else outlet(stream)
        self._every = every or number(os.environ, VARIABLE, LINE_SECONDS)
        self._first = self._next = min(FIRST_LINE, self._every)
        self._rarely = _Rarely()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Checking | Listing) and event.over:
            self._next = self._first  # another clock begins
        elif isinstance(event, Listing):
            if event.seconds >= self._next:
                self._next = 2 * event.seconds
                self._out.pass_on(_listing(event), passing=True)
        elif isinstance(event, Progress) and event.seconds >= self._next:
            self._next = event.seconds + self._every
            self._out.pass_on(self._line(event), passing=True)
        elif isinstance(event, FileDone) and event.outcome.status is Status.FAILED:
            self._out.pass_on(_failed(event))
        elif isinstance(event, Waiting | NoWorkers):
            self._out.pass_on(_waiting(event))
        elif isinstance(event, NetworkAway | NetworkBack):
            if self._rarely.due(event):
                self._out.pass_on(network_text(event))
        elif isinstance(event, Finished):
            self._out.drain()

    @staticmethod
    def _line(event: Progress) -> str:
        left = event.remaining
        read = "read " if isinstance(event, Checking) else ""
        line = (
            f"{duration(event.seconds)}: {read}{size(event.bytes_done)} of "
            f"{size(event.bytes_total)}, {event.files_done:,} of {count(event.files)}, "
            f"{size(event.rate)}/s"
        )
        if left is not None and event.files_done < event.files:
            line += f", {duration(left)} left"
        if event.retries:
            line += f", {event.retries:,} retried"
        return line


class _Ndjson:
    """Every event as one line of JSON."""

    def __init__(self, out: Outlet) -> None:
        self._out = out

    def __call__(self, event: Event) -> None:
        passing = isinstance(event, Progress | Listing) or (
            isinstance(event, NetworkAway) and not event.first
        )
        self._out.pass_on(json.dumps(event_json(event)), passing=passing)
        if isinstance(event, Finished):
            self._out.drain()
