"""Plans and runs of the page: each is a command in a process of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from neurofetch._shown import shown
from neurofetch.display.text import duration, size
from neurofetch.errors import NeurofetchError, UsageError
from neurofetch.ui.children import Child, Ended
from neurofetch.ui.web import NotThereError

if TYPE_CHECKING:
    from neurofetch.ui.commands import Call
    from neurofetch.ui.documents import Document
    from neurofetch.ui.streams import Broadcast

__all__ = ["Job", "Jobs"]

JSON: Final = ("--json", "--progress", "json")
DRY: Final = ("--dry-run",)
_OVER: Final = frozenset({"done", "failed", "stopped", "paused"})
_FAILURES: Final = 50
_GROUPS: Final = 200
LICENCE: Final = "license_not_accepted"
_NO_TERMINAL: Final = ", and there is no terminal"
_MOST: Final = 8
"""Commands at once."""
_KEPT: Final = 100
"""Plans and runs that are over, and still shown."""


@dataclass(slots=True, eq=False)
class Job:
    """A plan or a run.

    Parameters
    ----------
    name : str
        "j1".
    kind : {"list", "plan", "run"}
    call : Call
        What is shown.
    title : str
    flags : tuple of str
        Further words of the command that runs.
    to : mapping
        Where to, as the page said it.
    catalogue : str
        The name of the catalogue from which was chosen.
    of : str or None
        Of a run, its plan.
    """

    name: str
    kind: str
    call: Call
    title: str
    flags: tuple[str, ...]
    to: Mapping[str, object]
    catalogue: str = ""
    of: str | None = None
    place: str = ""
    state: str = "running"
    began: float = field(default_factory=time.time)
    ended: float | None = None
    progress: dict[str, Any] | None = None
    whole: dict[str, int] = field(default_factory=dict)
    last: str | None = None
    listed: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    document: Document | None = None
    planned: dict[str, Any] | None = None
    free: int | None = None
    wish: str = ""
    child: Child | None = None
    when_over: Callable[[Job], None] | None = None
    attempts: int = 0

    @property
    def is_over(self) -> bool:
        """Whether no process works on it."""
        return self.state in _OVER

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        head = self.document.head if self.document is not None else {}
        kind = head.get("document")
        plan = _without(head) if kind == "plan" else self.planned
        return {
            "job": self.name,
            "kind": self.kind,
            "of": self.of,
            "state": self.state,
            "title": self.title,
            "catalogue": self.catalogue,
            "to": dict(self.to),
            "place": self.place,
            "say": self.call.as_json(),
            "began": _time(self.began),
            "begun": _time(self.began),
            "ended": None if self.ended is None else _time(self.ended),
            "attempts": self.attempts,
            "progress": self.progress,
            "last": self.last,
            "plan": plan,
            "groups": (plan or {}).get("groups", [])[:_GROUPS],
            "free": self.free,
            "report": _without(head) if kind == "report" else None,
            "failures": self.failures[:_FAILURES],
            "error": self.error,
            "notes": self.notes[:_FAILURES],
        }


def _without(head: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in head.items() if name != "error"}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Jobs:
    """All plans and runs of a page.

    Parameters
    ----------
    broadcast : Broadcast
        Hears of each change.
    """

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self._lock = threading.RLock()
        self._numbers = count(1)
        self._all: dict[str, Job] = {}
        self._closed = False

    def all(self) -> list[Job]:
        """Return all plans and runs, the oldest first."""
        with self._lock:
            return [job for job in self._all.values() if job.kind != "list"]

    def find(self, name: str) -> Job:
        """Return the job of this name.

        Raises
        ------
        NotThereError
        """
        with self._lock:
            job = self._all.get(name)
        if job is None:
            msg = f"there is no plan or run {name[:40]!r} any more. Make a new plan."
            raise NotThereError(msg)
        return job

    def state(self, job: Job) -> dict[str, Any]:
        """Return what the page shows of a job, all of one moment."""
        with self._lock:
            return job.as_json()

    def files(self, job: Job, begin: int, number: int) -> dict[str, Any]:
        """Return files of a plan or a report.

        Parameters
        ----------
        job : Job
        begin, number : int
            Of the first, and how many.
        """
        with self._lock:  # else a new attempt could close the document meanwhile
            document = job.document
            rows = [] if document is None else list(map(_plain, document.rows(begin, number)))
            return {"from": begin, "total": len(document or ()), "files": rows}

    def begin(self, job: Job) -> Job:
        """Start the command of a job.

        Raises
        ------
        UsageError
            If too many work already.
        """
        with self._lock:
            if self._closed:
                raise UsageError("the page is being closed. Nothing was begun.")
            if sum(not other.is_over for other in self._all.values()) >= _MOST:
                msg = (
                    f"{_MOST} commands work already. Nothing was begun. Wait for one, or stop one."
                )
                raise UsageError(msg)
            self._all[job.name] = job
            try:
                self._start(job)
            except (OSError, NeurofetchError) as error:
                job.state, job.ended = "failed", time.time()
                self._all.pop(job.name)
                msg = f"the command could not be started: {error}. Nothing was begun. Try again."
                raise NeurofetchError(msg) from error
            self._forget_old()
        self._tell(job)
        return job

    def new_name(self) -> str:
        """Return a name that no job had before."""
        return f"j{next(self._numbers)}"

    def _start(self, job: Job) -> None:
        job.state, job.ended, job.error, job.wish = "running", None, None, ""
        job.failures.clear()
        job.attempts += 1
        if job.document is not None:
            job.document.close()
            job.document = None

        def listen(event: dict[str, Any]) -> None:
            self._heard(job, event)

        def over(ended: Ended) -> None:
            self._over(job, ended)

        searches = job.call.argv[1:3] == ("neurovault", "search")  # which shows no progress
        flags = JSON[:1] if searches else (*job.flags, *JSON)
        argv = job.call.with_flags(*flags).argv
        # A directory that the user named may be a link; a folder in it was looked at, and is none.
        into = _data_dir(argv) if job.to.get("folder") else ""
        job.child = Child(argv, listen, over, no_link_at=into)

    def _forget_old(self) -> None:
        over = [job for job in self._all.values() if job.is_over and job.kind != "list"]
        for job in over[:-_KEPT]:
            del self._all[job.name]
            self._broadcast.forget("job", job.name)
            if job.document is not None:
                job.document.close()

    # -- what the user wants ------------------------------------------------------------------

    def pause(self, job: Job) -> None:
        """End a run so that it can go on: what came is kept."""
        with self._lock:
            if job.kind != "run" or job.is_over:
                raise UsageError(f"{job.title} does not run. Nothing was paused.")
            self._wish(job, "paused", "pausing")

    def stop(self, job: Job) -> None:
        """End a plan or a run; one that was paused is over then."""
        with self._lock:
            if job.state == "paused":
                job.state = "stopped"
            elif not job.is_over:
                self._wish(job, "stopped", job.state)
        self._tell(job)

    def resume(self, job: Job) -> None:
        """Run the same command again: what is here is not fetched again."""
        with self._lock:
            if job.kind == "run" and job.state in ("paused", "failed", "stopped"):
                self.begin(job)
            else:
                raise UsageError(f"{job.title} is {job.state}. Nothing was begun.")

    def again(self, job: Job, flags: tuple[str, ...]) -> None:
        """Run a job once more, with further words."""
        with self._lock:
            if not job.is_over:
                raise UsageError(f"{job.title} works already. Nothing was begun.")
            job.flags = (*job.flags, *(flag for flag in flags if flag not in job.flags))
            self.begin(job)

    def _wish(self, job: Job, wish: str, state: str) -> None:
        job.wish, job.state = wish, state
        if job.child is not None:
            job.child.interrupt()
        self._tell(job)

    def close(self) -> None:
        """End all commands, and wait for them."""
        with self._lock:
            self._closed = True
            working = [job for job in self._all.values() if not job.is_over]
            children = [job.child for job in working if job.child is not None]
            for job in working:
                job.wish = job.wish or "stopped"
        for child in children:
            child.interrupt()
        for child in children:
            child.end()

    # -- what the command says ----------------------------------------------------------------

    def _heard(self, job: Job, event: dict[str, Any]) -> None:
        with self._lock:
            hear = _HEARD.get(event.get("event", ""))
            if hear is not None:
                hear(job, event)
        self._tell(job)

    def _over(self, job: Job, ended: Ended) -> None:
        with self._lock:
            job.child = None
            job.ended = time.time()
            job.document = ended.document
            head = ended.document.head if ended.document is not None else {}
            error = head.get("error")
            if head.get("document") == "report":
                job.failures = _failures(ended.document)
            if head.get("document") in ("plan", "report"):
                job.notes += [one for one in head.get("notes", ()) if one not in job.notes]
            if job.wish and ended.code != 0:
                job.state, job.error = job.wish, None
            elif ended.code == 0 or (head.get("document") == "plan" and not error):
                job.state = "done"
            else:
                job.state = "failed"
                job.error = _error(error, ended)
        if job.kind == "list":
            with self._lock:
                self._all.pop(job.name, None)
        if job.when_over is not None:
            job.when_over(job)
        self._tell(job)

    def _tell(self, job: Job) -> None:
        if job.kind == "list":
            return
        self._broadcast.tell("job", job.name, lambda: self.state(job))


def _error(said: object, ended: Ended) -> dict[str, Any]:
    """Return why a command failed, as the page shows it."""
    if isinstance(said, Mapping):
        found = {
            "code": said.get("code"),
            "message": said.get("message"),
            "advice": said.get("advice") or None,
            "exit_code": said.get("exit"),
        }
        if found["code"] == LICENCE:  # the page asks by itself: what a terminal needs is left out
            text = str(found["message"]).partition(_NO_TERMINAL)[0].rstrip(".,; ")
            found["text"] = f"{text[:1].upper()}{text[1:]}."
        return found
    message = ended.words or f"The command ended with exit code {ended.code} and said nothing."
    if ended.code < 0:
        message = f"The command was ended by signal {-ended.code}. What came is kept: go on."
    return {"code": "failed", "message": message, "advice": None, "exit_code": ended.code}


def _data_dir(argv: Sequence[str]) -> str:
    return argv[argv.index("--data-dir") + 1] if "--data-dir" in argv else ""


def _path(said: Mapping[str, Any]) -> str:
    return shown(str(said.get("path")))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose path has nothing that a page would not show as it is."""
    return {**row, "path": _path(row)}


def _failed(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"path": _path(said), "reason": said.get("reason"), "advice": said.get("advice")}


def _failures(document: Document | None) -> list[dict[str, Any]]:
    if document is None or not document.head.get("counts", {}).get("failed"):
        return []
    found = []
    for row in document.rows():
        if row.get("status") == "failed":
            found.append(_failed(row))
            if len(found) >= _FAILURES:
                break
    return found


# -- events ----------------------------------------------------------------------------------


def _listing(job: Job, event: dict[str, Any]) -> None:
    job.listed = event.get("files_listed") or job.listed
    job.last = f"{job.listed:,} files listed"


def _checking(job: Job, event: dict[str, Any]) -> None:
    job.progress = event
    job.last = None


def _progress(job: Job, event: dict[str, Any]) -> None:
    """Keep how far a run is in all its attempts: a later one has only what is left to fetch."""
    job.progress = dict(event)
    job.last = None
    for what in ("files", "bytes"):
        total, done = (int(event.get(f"{what}_{word}") or 0) for word in ("total", "done"))
        whole = job.whole[what] = max(job.whole.get(what, 0), total)
        job.progress |= {f"{what}_total": whole, f"{what}_done": whole - total + done}


def _file(job: Job, event: dict[str, Any]) -> None:
    if event.get("status") == "failed" and len(job.failures) < _FAILURES:
        job.failures.append(_failed(event))


def _retrying(job: Job, event: dict[str, Any]) -> None:
    job.last = f"{_path(event)}: {event.get('reason')}; again in {event.get('wait', 0):.0f} s"


def _waiting(job: Job, event: dict[str, Any]) -> None:
    job.last = f"another process fetches {_path(event)}: waiting for it"


def _network_away(job: Job, event: dict[str, Any]) -> None:
    patience = event.get("patience")
    left = "" if patience is None else f" It is waited for {duration(patience)} in all."
    job.last = f"Nothing comes from {event.get('server')}: {event.get('reason')}.{left}"


def _network_back(job: Job, event: dict[str, Any]) -> None:
    job.last = f"{event.get('server')} answers again"


def _planned(job: Job, event: dict[str, Any]) -> None:
    job.planned = {name: value for name, value in event.items() if name != "event"}
    job.last = f"{size(event.get('bytes_to_fetch') or 0)} to fetch"


def _warning(job: Job, event: dict[str, Any]) -> None:
    text = event.get("message")
    if isinstance(text, str) and text not in job.notes and len(job.notes) < _FAILURES:
        job.notes.append(text)


_HEARD: Final[Mapping[str, Callable[[Job, dict[str, Any]], None]]] = {
    "listing": _listing,
    "progress": _progress,
    "checking": _checking,
    "file": _file,
    "retrying": _retrying,
    "waiting": _waiting,
    "network_away": _network_away,
    "network_back": _network_back,
    "planned": _planned,
    "warning": _warning,
}
