"""Bring what a lock names: from any place that has bytes with these hashes, and nothing else.

The places are asked one after the other, each for what is still missing. What a place gives counts
only if it has the hash that the lock says, so a place need not be trusted.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from neurofetch._threads import few_collections
from neurofetch.credentials.access import Access
from neurofetch.display.log import logged
from neurofetch.errors import ServerError, UnreachableError
from neurofetch.events import Event, FileDone, Finished, Planned
from neurofetch.fetcher import Fetcher
from neurofetch.lockfile.copying import copy_in
from neurofetch.lockfile.here import Here
from neurofetch.lockfile.places import AsLocked, Directory, opened, sign_addresses
from neurofetch.lockfile.remembered import Fact
from neurofetch.lockfile.values import digest_of
from neurofetch.model import STATE_FOLDERS, Outcome, Plan, RemoteFile, Report, Status, Want
from neurofetch.planning.dataset import Dataset, Selection
from neurofetch.planning.match import Rules
from neurofetch.sources.ask import ask_first
from neurofetch.sources.openneuro_rows import STREAMS, is_streamed, shared_base
from neurofetch.sources.source import ListedSource
from neurofetch.store.data_source import read_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from neurofetch.fetcher import RunSettings
    from neurofetch.lockfile.places import Place
    from neurofetch.lockfile.values import Head, LockedFile
    from neurofetch.model import LocalFile, Step
    from neurofetch.net.client import Client
    from neurofetch.net.retry import Attempts
    from neurofetch.store.data_source import DataSource
    from neurofetch.store.directory import DataDirectory

__all__ = ["ANY", "Wish", "get_locked", "plan_locked"]

_log = logging.getLogger("neurofetch")

ANY = "lock"
"""What a data directory is of where its lock tells of no data set."""
_ADVICE = (
    "What no place has may be had elsewhere: name further places with --from (places=), such as a "
    "mirror or the directory of a colleague."
)
_HOW_ASKED = ("server", "endpoint", "named", "profile", "signed", "requester_pays")
"""What a data directory remembers of how its data set is asked."""
_NOWHERE = "the lock has no address of it"
_FEW = 16
"""Files; of more, a server is asked first whether it is there."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be brought, and from where.

    Parameters
    ----------
    head : Head
    files : sequence of LockedFile
        Of the lock, all or some.
    root : Path
        The data directory.
    places : sequence of str or Path
        What `checked_places` returned.
    access : Access
        How buckets are asked.
    """

    head: Head
    files: Sequence[LockedFile]
    root: Path
    places: Sequence[str | Path] = ()
    access: Access = field(default_factory=Access)

    @property
    def dataset(self) -> Dataset:
        """The data set that the files are of."""
        name, kind = self.head.source or ANY, self.head.kind or ANY
        own = f".{kind.replace('-', '_')}"
        state = own if own in STATE_FOLDERS else ".neurofetch"
        home = self.head.source if self.head.is_versioned else ""
        return Dataset(name, rules=Rules(), state=state, kind=kind, home=home)

    def source(self, files: Iterable[RemoteFile] = ()) -> ListedSource:
        """Return a source of some of the files.

        Parameters
        ----------
        files : iterable of RemoteFile
        """
        return _Version(files, self.dataset.name, self.head, self.objects)

    @property
    def objects(self) -> str:
        """What keys of a version are appended to, for most addresses in the lock; "" for nothing.

        So receipts need not keep each.
        """
        if not self.head.is_versioned:
            return ""
        found = {shared_base(file.url, file.key or file.path) for file in self.files} - {""}
        return min(found, key=len, default="")

    def asked(self) -> dict[str, Any]:
        """Return how the data set is asked, as far as that is not told by `access` alone.

        A lock tells of no server but by the addresses in it. An endpoint may be that of a place,
        and then says nothing of the data set: the credentials were not for it.
        """
        nobody = {"profile": "", "signed": False, "requester_pays": False}
        scheme, _, place = self.head.source.partition("://")
        if scheme != "s3":
            return nobody
        endpoint, _, named = self.access.location()
        if endpoint is None:
            return {}
        base = f"{endpoint}/{place.partition('/')[0]}/"
        if not any(file.url.startswith(base) for file in self.files):
            return nobody
        return {"server": endpoint, "endpoint": endpoint.partition("://")[2], "named": named}


class _Version(ListedSource):
    """Files of one version of a data set, as a lock names it."""

    def __init__(self, files: Iterable[RemoteFile], name: str, head: Head, objects: str) -> None:
        super().__init__(files, name)
        self.version: str = head.version if head.is_versioned else ""
        self.commit: str = head.commit
        self.objects: str = objects

    def at_once(self, remote: RemoteFile) -> int | None:
        """Return how many files of its kind may be asked for at once; None for no bound."""
        return None if remote.ranges else STREAMS


class _Fetcher(Fetcher):
    """Brings what a lock names."""

    asked: Mapping[str, Any] = MappingProxyType({})

    @property
    def data_source(self) -> DataSource:
        """The data set; how it was asked before, for what is here already, stays."""
        source = replace(super().data_source, **self.asked)
        for known in read_sources(self.directory.state):
            if known.takes(source):
                return replace(source, **{name: getattr(known, name) for name in _HOW_ASKED})
        return source


def plan_locked(wish: Wish, settings: RunSettings) -> Plan:
    """Say what `get_locked` would do.

    Parameters
    ----------
    wish : Wish
    settings : RunSettings

    Raises
    ------
    OtherDatasetError, UnsafeNameError, DestinationError
        As `Fetcher.prepare` does.
    """
    with _Run(wish, settings) as run:
        return run.plan()


def get_locked(wish: Wish, settings: RunSettings) -> Report:
    """Bring what a lock names.

    Parameters
    ----------
    wish : Wish
    settings : RunSettings

    Raises
    ------
    DiskFullError, DestinationError, OtherDatasetError
        Before any byte moves.
    IncompleteError
        At the end, when no place has some of the files; it names each, and what the places said.
    """
    with _Run(wish, settings) as run:
        report = run.report(run.plan())
    report.raise_for_failures()
    return report


class _Run:
    """One run. A context manager; it holds the network connections."""

    def __init__(self, wish: Wish, settings: RunSettings) -> None:
        self._wish = wish
        self._settings = settings
        self._files = {file.path: file for file in wish.files}
        self._fetcher = _Fetcher(
            wish.dataset,
            wish.root,
            network=settings.network,
            new=True,
            make_source=self._no_files_yet,
            access=wish.access,
        )
        self._fetcher.asked = wish.asked()
        network, region = self._fetcher.client.network, wish.access.location().region
        self._signer = wish.access.signer(network, region)
        self._places: list[Place] = []
        self._reasons: dict[str, list[str]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._began = time.monotonic()

    def _no_files_yet(self, _: Client, attempts: Attempts, __: DataDirectory) -> ListedSource:
        """Return the source of which each round gets one of its own."""
        self._attempts = attempts
        return self._wish.source()

    def __enter__(self) -> _Run:
        self._fetcher.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        self._fetcher.__exit__(*what)

    # -- the plan ----------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Return what is to be done; a file's address is at the first place that may have it."""
        fetcher = self._fetcher
        wish, client = self._wish, fetcher.client
        self._places = opened(
            wish.places,
            wish.head,
            client,
            self._attempts,
            access=wish.access,
            signer=self._signer,
        )
        if self._signer is not None:
            urls = (file.url for file in wish.files)
            sign_addresses(urls, wish.head, client, wish.access, self._signer)
        with few_collections():
            wants = tuple(self._want(file) for file in self._wish.files)
        return fetcher.prepare(lambda: Selection(wants, ()), self._settings)

    def _want(self, file: LockedFile) -> Want:
        urls = (place.url(file) for place in self._places)
        return Want(self._remote(file, next(filter(None, urls), "")), file.path, "in the lock")

    def _remote(self, file: LockedFile, url: str) -> RemoteFile:
        key = file.key or f"{self._wish.head.base}{file.path}"
        digest, ranges = digest_of(file.strongest), not is_streamed(url)
        return RemoteFile(key, url, file.size, digest=digest, ranges=ranges)

    # -- place after place -------------------------------------------------------------------

    def report(self, plan: Plan) -> Report:
        """Carry the plan out."""
        logged(Planned(plan))
        self._settings.listen(Planned(plan))
        still = tuple(step for step in plan.steps if not step.moves)
        self._take(self._ran(replace(plan, steps=still)))
        missing = list(plan.moving)
        for number, place in enumerate(self._places):
            last = not any(map(bool, self._left_for(missing, number + 1)))
            missing = self._asked(place, missing, plan, last=last)
        missing = self._copied(missing)
        for step in missing:
            if step.want.path not in self._outcomes:
                self._outcomes[step.want.path] = self._failed(step.want, _NOWHERE)
        self._check_rest(plan)
        outcomes = tuple(map(self._outcomes.__getitem__, (step.want.path for step in plan.steps)))
        seconds = time.monotonic() - self._began
        report = Report(plan.root, outcomes, plan.notes, seconds)
        logged(Finished(report))
        self._settings.listen(Finished(report))
        return report

    def _copied(self, missing: list[Step]) -> list[Step]:
        """Make files of others of the same content that are here by now; return what is missing."""
        if not missing:
            return missing
        self._fetcher.directory.objects = None  # these are made of what came from elsewhere
        wants = tuple(step.want for step in missing)
        found = self._fetcher.plan_for(Selection(wants, ()))
        copies = tuple(step for step in found.steps if step.copy_of)
        if copies:
            self._take(one for one in self._ran(replace(found, steps=copies)) if one.ok)
        return [step for step in missing if not self._is_here(step.want.path)]

    def _left_for(self, missing: Iterable[Step], number: int) -> Iterable[str]:
        """Give the addresses at which files may be that are asked for later."""
        rest = self._places[number:]
        return (place.url(self._files[step.want.path]) for step in missing for place in rest)

    def _asked(self, place: Place, missing: list[Step], plan: Plan, *, last: bool) -> list[Step]:
        """Ask one place for what is missing; return what is missing still."""
        steps = [
            replace(step, want=replace(step.want, remote=self._remote(file, url)))
            for step in missing
            if (file := self._files[step.want.path]) and (url := place.url(file))
        ]
        if not steps:
            return missing
        where = self._fetcher.directory
        part = replace(plan, steps=tuple(steps), notes=(), free=where.free())
        as_locked = isinstance(place, AsLocked) and not place.latest
        where.objects = self._wish.objects if as_locked and self._wish.head.is_versioned else None
        if isinstance(place, Directory):
            self._fetcher.write_source(mix=self._settings.mix)
            found = copy_in(part, where, place.path, self._listen(last=last))
        else:
            away = self._away(steps)
            if away:
                rest = tuple(step for step in steps if _server(step) not in away)
                part = replace(part, steps=rest)
            found = [self._failed(s.want, away[_server(s)]) for s in steps if _server(s) in away]
            found += self._ran(part, last=last)
        for outcome in found:
            if not outcome.ok:
                self._reasons.setdefault(outcome.path, []).append(f"{place.name}: {outcome.reason}")
        self._take(found)
        return [step for step in missing if not self._is_here(step.want.path)]

    def _away(self, steps: Sequence[Step]) -> dict[str, str]:
        """Return the servers that cannot be reached, and why: nobody asks them for each file.

        Where there are only a few files, they themselves find out.
        """
        by_server: dict[str, list[Step]] = {}
        for step in steps:
            by_server.setdefault(_server(step), []).append(step)
        fetcher, away = self._fetcher, {}
        for server, some in by_server.items():
            if len(some) <= _FEW:
                continue
            remote = some[0].want.remote
            source = self._wish.source([remote])
            try:
                self._attempts.run(partial(ask_first, fetcher.client, source, remote))
            except UnreachableError as error:
                away[server] = some[0].want.said(error)
            except ServerError:
                continue  # it answers; what it has of the files, it is asked for each
        return away

    def _ran(self, plan: Plan, *, last: bool = True) -> Iterable[Outcome]:
        if not plan.steps:
            return ()
        remotes = (step.want.remote for step in plan.steps)
        self._fetcher.source = self._wish.source(remotes)
        settings = replace(self._settings, listen=self._listen(last=last))
        return self._fetcher.run(plan, settings, strict=False)

    def _listen(self, *, last: bool) -> _Listener:
        return _Listener(self._settings.listen, last=last)

    def _is_here(self, path: str) -> bool:
        outcome = self._outcomes.get(path)
        return outcome is not None and outcome.ok

    def _take(self, outcomes: Iterable[Outcome]) -> None:
        """Take note of what became of files; of one that no place has, all that was said."""
        for outcome in outcomes:
            reasons = self._reasons.get(outcome.path)
            if not outcome.ok and reasons:
                outcome = self._said(outcome, "; ".join(dict.fromkeys(reasons)))  # noqa: PLW2901
            self._outcomes[outcome.path] = outcome

    @staticmethod
    def _said(outcome: Outcome, reason: str) -> Outcome:
        return replace(outcome, reason=reason, advice=_ADVICE)

    @staticmethod
    def _failed(want: Want, reason: str) -> Outcome:
        return Outcome.unmoved(want, Status.FAILED, reason, advice=_ADVICE)

    # -- what the lock says besides ----------------------------------------------------------

    def _check_rest(self, plan: Plan) -> None:
        """Hold the files against all hashes of the lock, and remember what it says of them."""
        done = [step.want.path for step in plan.steps if self._is_here(step.want.path)]
        if not done:
            return
        here = Here(self._wish.root, self._wish.dataset.state)
        for one in here.seen(done, self._names, self._settings.listen):
            file = self._files[one.path]
            if one.hashes == file.hashes:
                stamp, listed = (one.size, one.mtime_ns, file.hashes), len(file.hashes)
                here.learn(one.path, Fact(*stamp, listed, file.url, file.key))
                continue
            said = zip(one.hashes, file.hashes, strict=True)
            wrong = next(other for mine, other in said if mine != other)
            reason = f"the hashes in the lock contradict one another: it has no {wrong}"
            if file.strongest not in one.hashes:  # by which it was verified
                reason = f"another program wrote other bytes meanwhile: it has no {file.strongest}"
            failed = replace(self._outcomes[one.path], status=Status.FAILED)
            self._outcomes[one.path] = self._said(failed, reason)
        here.write()
        if self._fetcher.directory.state.is_dir():
            self._fetcher.write_source(mix=True)

    def _names(self, one: LocalFile) -> list[str]:
        """Return the names of the hashes that the lock has of a file."""
        return [digest.partition(":")[0] for digest in self._files[one.path].hashes]


def _server(step: Step) -> str:
    return step.want.remote.url.partition("://")[2].partition("/")[0]


class _Listener:
    """Hands events on, as if there were one run: files that failed may come from the next place.

    Parameters
    ----------
    listen : callable
    last : bool
        Whether there is no further place.
    """

    def __init__(self, listen: Callable[[Event], None], *, last: bool) -> None:
        self._listen = listen
        self._last = last

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, Planned | Finished):
            return
        if isinstance(event, FileDone) and not event.outcome.ok and not self._last:
            return
        self._listen(event)
