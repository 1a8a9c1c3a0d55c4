"""Progress in a notebook: one output below the cell, which is written anew a few times a second.

It needs no widgets and no script, and a notebook that is saved holds the last state alone. Jupyter,
VS Code and Colab change an output by its number (``update_display_data``); marimo puts a new one in
its place. See docs/adr/0038-progress-in-notebooks.md.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from neurofetch._shown import shown
from neurofetch.display.page import Bar, Chip, Page, Part, Words, rendered
from neurofetch.display.text import count, duration, network_text, size, workers_text
from neurofetch.events import (
    Checking,
    FileDone,
    Finished,
    Listing,
    NetworkAway,
    NetworkBack,
    NoWorkers,
    Planned,
    Progress,
    Waiting,
)
from neurofetch.model import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.events import Event

__all__ = ["Live", "Place", "notebook"]

_log = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds between two states, at least."""
_FAILURES = 5


class Place(Protocol):
    """Where a notebook shows something that changes."""

    def show(self, html: str, text: str) -> None:
        """Show it, in the place of what was shown before."""

    def at_end(self, tell: Callable[[str], None]) -> None:
        """Have it told when the cell ends: with the name of the error that ended it, or ""."""

    def close(self, *, free: bool) -> None:
        """Tell nothing at the end of the cell any more.

        Parameters
        ----------
        free : bool
            Whether another run in the same cell may show itself in the same place.
        """


def notebook() -> Place | None:
    """Return the place below the cell that runs; None where this is no notebook.

    Nothing is imported to find out.
    """
    shell = _shell()
    if shell is not None:
        return _Jupyter(shell)
    marimo: Any = sys.modules.get("marimo")
    if marimo is not None and getattr(marimo, "running_in_notebook", lambda: False)():
        return _Marimo(marimo)
    return None


def _shell() -> Any:
    """Return the shell of a kernel: Jupyter's, Colab's, or another one's that has its messages."""
    ipython: Any = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    session = getattr(shell.kernel, "session", None)
    # A process that was forked from a kernel has its shell, and nobody hears what it shows.
    return shell if getattr(session, "pid", os.getpid()) == os.getpid() else None


_free: dict[tuple[int, int], Any] = {}
"""The output of the last run that went well, by cell and thread: so a loop has one output."""


class _Jupyter:
    """An output with a number, by which it is changed."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cell = (shell.execution_count, threading.get_ident())
        self._handle: Any = None
        self._tell: Callable[[str], None] | None = None

    def show(self, html: str, text: str) -> None:
        bundle = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = _free.pop(self._cell, None)
        if self._handle is None:
            from IPython.display import DisplayHandle  # noqa: PLC0415 - a kernel has it

            handle: Any = DisplayHandle()  # type: ignore[no-untyped-call,unused-ignore]
            handle.display(bundle, raw=True)
            self._handle = handle
        else:
            self._handle.update(bundle, raw=True)

    def at_end(self, tell: Callable[[str], None]) -> None:
        if (
            threading.current_thread() is threading.main_thread()
        ):  # another one may outlive the cell
            self._tell = tell
            self._shell.events.register("post_run_cell", self._ended)

    def close(self, *, free: bool) -> None:
        if free and self._handle is not None:
            _free.clear()
            _free[self._cell] = self._handle
        if self._tell is not None:
            self._tell = None
            self._shell.events.unregister("post_run_cell", self._ended)

    def _ended(self, result: Any = None) -> None:
        tell = self._tell
        self.close(free=False)
        if tell is not None:
            error = getattr(result, "error_in_exec", None)
            tell("" if error is None else type(error).__name__)


class _Marimo:
    """The output of a cell, in the place of which another is put."""

    def __init__(self, marimo: Any) -> None:
        self._marimo = marimo

    def show(self, html: str, text: str) -> None:  # noqa: ARG002
        self._marimo.output.replace(self._marimo.Html(html))

    def at_end(self, tell: Callable[[str], None]) -> None:
        """Do nothing: marimo says nothing of its cells' ends."""

    def close(self, *, free: bool) -> None:
        """Do nothing: see `at_end`."""


class Live:
    """A listener that shows how far a run is, below the cell.

    Parameters
    ----------
    place : Place
    instead : callable
        Listens instead, from when the place cannot show anything.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        place: Place,
        instead: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._instead = instead
        self._clock = clock
        self._broken = False
        self._began = False
        self._next = 0.0
        self._where = ""
        self._now: Listing | Progress | None = None
        self._over: str = ""
        self._tone = "new"
        self._waits = ""
        self._away: dict[str, NetworkAway] = {}
        self._failed: list[str] = []
        self._failures = 0

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if self._broken:
            self._instead(event)
            return
        due = self._heard(event)
        if due or (self._now is event and self._clock() >= self._next):
            self._show()
        if isinstance(event, Finished):
            self._place.close(free=event.report.ok)

    def _heard(self, event: Event) -> bool:
        """Take what an event says; return whether it is to be shown at once."""
        if isinstance(event, Planned):
            self._where = str(event.plan.root)
        elif isinstance(event, Listing | Progress):
            self._now, self._over, self._tone, self._waits = event, "", "new", ""
            if isinstance(event, Listing | Checking) and event.over and not _is_cut(event):
                self._end(event)
                return self._began
        elif isinstance(event, FileDone):
            return self._file(event)
        elif isinstance(event, Waiting):
            self._waits = f"waiting: {shown(event.path)} is being fetched by {shown(event.owner)}"
        elif isinstance(event, NoWorkers):
            self._waits = "" if event.over else workers_text(event)
        elif isinstance(event, NetworkBack):
            self._away.pop(event.server, None)
        elif isinstance(event, NetworkAway):
            self._away[event.server] = event
            return event.first
        elif isinstance(event, Finished):
            return self._finished(event)
        return False

    def _file(self, event: FileDone) -> bool:
        if event.outcome.status is not Status.FAILED:
            return False
        self._failures += 1
        if len(self._failed) < _FAILURES:
            self._failed.append(f"{event.outcome.path}: {event.outcome.reason}")
        return self._failures == 1

    def _end(self, event: Listing | Checking) -> None:
        if isinstance(event, Listing):
            self._over = f"listed {count(event.files)} in {duration(event.seconds)}"
        else:
            self._over = f"read {size(event.bytes_done)} in {duration(event.seconds)}"
        self._tone = "good"

    def _finished(self, event: Finished) -> bool:
        report = event.report
        counts = ((len(report.of(status)), status.word) for status in Status)
        words = ", ".join(f"{number:,} {word}" for number, word in counts if number)
        self._over = (
            f"{words or 'no files'}; {size(report.bytes_moved)} moved in {duration(report.seconds)}"
        )
        self._tone, self._waits = ("good" if report.ok else "bad"), ""
        self._away.clear()
        return self._began

    def _cell_ended(self, error: str) -> None:
        """Say that the run ended before its time: there is no event for it."""
        if self._over or self._broken:
            return
        now = self._now
        self._tone, self._waits = "part", ""
        self._away.clear()
        stopped = error in ("KeyboardInterrupt", "StoppedError")
        how = "stopped" if stopped else f"ended by {error}" if error else "ended"
        if isinstance(now, Listing) and not error:  # what it listed before was enough
            self._end(now)
        elif isinstance(now, Listing | Checking):
            self._over = f"{how} while files were {_DONE_TO[type(now)]}"
        else:
            self._over = f"{how}. What came is kept: run the cell again to go on"
        self._show()

    # -- what is shown -----------------------------------------------------------------------

    def _show(self) -> None:
        self._next = self._clock() + EVERY
        page = self._page()
        try:
            self._place.show(rendered(page), _text(page))
            if not self._began:
                self._began = True
                self._place.at_end(self._cell_ended)
        except Exception as error:  # noqa: BLE001 - a run does not fail since it cannot be shown
            _log.debug("this notebook shows no progress: %r", error)
            self._broken = True
            if self._now is not None and not self._over:
                self._instead(self._now)

    def _page(self) -> Page:
        now = self._now
        where = f"to {self._where}" if self._where else ""
        parts: list[Part] = []
        if isinstance(now, Progress):
            share = (min(now.bytes_done, now.bytes_total), self._tone)
            said = f"{size(now.bytes_done)} of {size(now.bytes_total)}"
            parts.append(Bar(said, [share], now.bytes_total))
        lines = [network_text(one) for one in self._away.values()]
        parts.append(Words([*lines, *([self._waits] if self._waits else [])], "part"))
        more = self._failures - len(self._failed)
        failed = [*self._failed, *([f"… and {more:,} more"] if more else [])]
        parts.append(Words([f"failed: {one}" for one in failed], "bad"))
        if self._over:
            return Page(self._over, where, (), parts)
        title, facts = _said(now)
        return Page(title, where, [Chip(fact) for fact in facts], parts)


_DONE_TO = {Listing: "listed", Checking: "read"}


def _is_cut(event: Listing | Checking) -> bool:
    """Whether a listing is over before its end: for an error, or an interrupt."""
    return isinstance(event, Listing) and event.prefixes_done < event.prefixes


def _said(now: Listing | Progress | None) -> tuple[str, list[str]]:
    """Return what is done now, and how far it is."""
    if isinstance(now, Listing):
        facts = [f"{count(now.files)} so far", duration(now.seconds)]
        if now.prefixes > 1:
            facts.insert(1, f"{now.prefixes_done:,} of {now.prefixes:,} prefixes done")
        return "Listing", facts
    if now is None:
        return "Fetching", []
    title = "Reading" if isinstance(now, Checking) else "Fetching"
    facts = [
        f"{size(now.bytes_done)} of {size(now.bytes_total)}",
        f"{now.files_done:,} of {count(now.files)}",
        f"{size(now.rate)}/s",
    ]
    if now.remaining is not None and now.files_done < now.files:
        facts.append(f"{duration(now.remaining)} left")
    if now.retries:
        facts.append(f"{now.retries:,} retried")
    return title, facts


def _text(page: Page) -> str:
    """Return the same as text, for what shows no HTML."""
    facts = ", ".join(chip.text for chip in page.chips)
    lines = [line for part in page.parts if isinstance(part, Words) for line in part.lines]
    return "\n".join([f"{page.title}: {facts}" if facts else page.title, *map(shown, lines)])
