"""A dataset and a data directory: list, plan, fetch, check.

This is the main path of the package; read it from top to bottom. `Fetcher.prepare` makes a plan and
`Fetcher.run` carries it out. All entry points (`neurofetch.get`, `laion_fmri.download.download`,
the commands, NeuroVault's functions) make these two calls. They pass in what differs: which files
to choose, from which source.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from neurofetch._shown import shown
from neurofetch._threads import few_collections, start, together
from neurofetch._version import __version__
from neurofetch.credentials.access import Access
from neurofetch.display.log import logged
from neurofetch.display.progress import listener
from neurofetch.errors import (
    DestinationError,
    NeurofetchError,
    OfflineError,
    UnreachableError,
    UnsafeNameError,
    UsageError,
)
from neurofetch.events import Event, Listener, Planned, Retrying, quiet
from neurofetch.events import Listing as ListingEvent
from neurofetch.model import Action, IncompleteError, Status, calm_when_stopped
from neurofetch.net.client import Client
from neurofetch.net.retry import Attempts
from neurofetch.net.settings import Network
from neurofetch.planning.dataset import Dataset, Selection, make_selection
from neurofetch.planning.listing import Narrowing
from neurofetch.recall import Recall, pinned_lists
from neurofetch.sources.remembered import Recording, Remembered
from neurofetch.sources.s3 import Bucket, S3Source
from neurofetch.sources.source import ListedSource, Mirrors, at_once
from neurofetch.store.directory import DataDirectory
from neurofetch.store.runs import LISTING_TASK, RunName, keep_version, kept_version
from neurofetch.transfer.news import telling
from neurofetch.transfer.options import Options, check_switches, checked_jobs, checked_shard

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from neurofetch.credentials.access import Location
    from neurofetch.errors import TransientError
    from neurofetch.integrity.verification import ServerChecksum
    from neurofetch.lister import Ask, Found
    from neurofetch.model import Plan, Receipt, RemoteFile, Report, Want
    from neurofetch.net.retry import RetryRules
    from neurofetch.planning.query import Query
    from neurofetch.sources.source import Level, PagedSource, Source
    from neurofetch.store.audit import Audit
    from neurofetch.store.data_source import DataSource
    from neurofetch.store.run_record import RunRecord
    from neurofetch.transfer.options import Inspect

    MakeSource = Callable[[Client, Attempts, DataDirectory], Source]

__all__ = ["Crew", "Fetcher", "Known", "Listing", "RunSettings", "bucket_of"]

_log = logging.getLogger("neurofetch")
T = TypeVar("T")

_LISTERS = 8
_ASKED_SECONDS, _ASKED_BEAT = 1.0, 0.02
"""Seconds. Until then the first request has gone out, or something is in its way."""
_QUICK = 1.0
"""Seconds: nothing is said of a listing that takes less."""
_BRIEF = 3.0
"""Seconds to wait for a network that is away, where what is here may be all that is needed."""


class Listing(NamedTuple):
    """Which parts of a source to look at.

    Parameters
    ----------
    walks : tuple of str
        Prefixes whose every file is listed.
    levels : tuple of str
        Prefixes of which only the files directly below are listed.
    """

    walks: tuple[str, ...]
    levels: tuple[str, ...] = ()

    def covers(self, key: str) -> bool:
        """Whether it tells of a key: what is not listed then is not there.

        Parameters
        ----------
        key : str
        """
        folder = key[: key.rfind("/") + 1]
        return folder in self.levels or key.startswith(self.walks)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run is made, but not of what. Made by `checked` from what a user gave.

    Parameters
    ----------
    options : Options
        Of the transfer.
    network : Network
    listen : callable
        Gets every event, in the thread that runs.
    shard : tuple of (int, int) or None
        Index and count: only this part of the plan.
    overwrite : bool
        Fetch also what is here.
    verify : bool
        Read every byte of what is here, and fetch again what is damaged.
    dry_run : bool
        Only the plan is wanted: nothing is written, not even a receipt.
    mix : bool
        The data directory may be of another data set.
    update : bool
        The data directory may hold another version of this data set.
    mirrors : Mirrors
        Other places that have the same bytes.
    crew : Crew or None
        Who carries out the plan in many tasks; None for this process alone.
    run : RunName or None
        Which run this is a task of, and which of its tasks; None for a run of its own.
    """

    options: Options = field(default_factory=Options)
    network: Network = field(default_factory=Network.from_environment)
    listen: Callable[[Event], None] = quiet
    shard: tuple[int, int] | None = None
    overwrite: bool = False
    verify: bool = False
    dry_run: bool = False
    mix: bool = False
    update: bool = False
    mirrors: Mirrors = field(default_factory=Mirrors)
    crew: Crew | None = None
    run: RunName | None = None

    @property
    def is_listing(self) -> bool:
        """Whether what is listed is kept for the tasks of a run: this is the one that plans."""
        return self.run is not None and self.run.task == LISTING_TASK

    @property
    def own_options(self) -> Options:
        """What this process may have: of one of several jobs, its share of the connections."""
        if self.shard is None:
            return self.options
        return replace(self.options.share(1 / self.shard[1]), n_jobs=self.options.n_jobs)

    @classmethod
    def checked(
        cls,
        *,
        n_jobs: object = 1,
        shard: object = None,
        limit_rate: float | None = None,
        patience: float | None = None,
        progress: str | bool | Callable[[Event], None] | None = None,
        overwrite: bool = False,
        verify: bool = False,
        dry_run: bool = False,
        mix: bool = False,
        offline: bool | None = None,
        update: bool = False,
        mirrors: object = None,
        crew: Crew | None = None,
        stacklevel: int = 3,
    ) -> RunSettings:
        """Check what a user gave, before any server is asked.

        Parameters
        ----------
        n_jobs, shard
            See `checked_jobs` and `checked_shard`.
        limit_rate : float, optional
            Bytes a second over all connections.
        patience : float, optional
            Seconds to wait for a network that is away; by default what the environment says, or
            15 minutes.
        progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
            See `listener`.
        overwrite, verify, dry_run, mix, update : bool
        offline : bool, optional
            Whether the network is not to be used; by default what the environment says.
        mirrors : str, path, or iterable of them, optional
            See `checked_mirrors`.
        crew : Crew, optional
            See `neurofetch.cluster.crew_of`. With one, `shard` makes no sense.
        stacklevel : int
            For warnings: 3 is the line that called the caller of this.

        Raises
        ------
        UsageError
            If one of them cannot be used.
        ConfigError
            If an environment variable is wrong.
        """
        check_switches(overwrite=overwrite, verify=verify, dry_run=dry_run, mix=mix, update=update)
        network = Network.from_environment()
        patience = network.patience if patience is None else patience
        offline = network.offline if offline is None else offline
        check_switches(offline=offline)
        if crew is not None and shard is not None:
            msg = "shard= is for jobs that are started one by one; executor= and client= split the"
            raise UsageError(f"{msg} plan themselves. Nothing was done. Leave one out.")
        return cls(
            options=Options(n_jobs=checked_jobs(n_jobs, stacklevel + 1)),
            network=replace(network, limit_rate=limit_rate, patience=patience, offline=offline),
            listen=listener(progress),
            shard=checked_shard(shard),
            overwrite=overwrite,
            verify=verify,
            dry_run=dry_run,
            mix=mix,
            update=update,
            mirrors=_mirrors(mirrors),
            crew=crew,
            run=RunName.from_environment(),
        )


class Crew(Protocol):
    """Who carries out a plan in many tasks: see `neurofetch.cluster`."""

    def carry_out(
        self,
        fetcher: Fetcher,
        plan: Plan,
        settings: RunSettings,
        *,
        listen: Callable[[Event], None],
        inspect: Inspect | None = None,
    ) -> Report:
        """Carry out a plan, and report the result for each file, as `transfer` does."""
        ...


class Known(NamedTuple):
    """What one process knows of a data set, for another one that fetches a part of it.

    Parameters
    ----------
    source : DataSource
    location : Location
        Where buckets are: the environment of the other process may say something else.
    """

    source: DataSource
    location: Location


def _mirrors(given: object) -> Mirrors:
    if given is None:
        return Mirrors()
    from neurofetch.sources.mirrors import checked_mirrors  # noqa: PLC0415 - few runs have any

    return checked_mirrors(given)


class Fetcher:
    """A dataset and a data directory. A context manager; it holds the network connections.

    Parameters
    ----------
    dataset : Dataset
    root : path
        The data directory; it must exist.
    network : Network, optional
        By default what the environment says.
    rules : RetryRules, optional
        How often, and with which waits, to try the listing again.
    new : bool
        The data directory may be missing; it is made when the first file is about to come.
    make_source : callable, optional
        Returns the source, given the client, the attempts and the data directory; by default the
        dataset's bucket.
    client : Client, optional
        By default a new one; a client that is given is left open at the end.
    access : Access, optional
        Whose credentials the dataset's bucket is asked with, and at which server; by default
        nobody's.
    known : Known, optional
        What another process found out, for which this one fetches a part.

    Raises
    ------
    DestinationError
        If `root` is no directory.
    ConfigError
        If an environment variable is wrong.
    CredentialsError
        If the credentials that `access` names cannot be had.

    Examples
    --------
    A dry run, and then the run itself::

        settings = RunSettings.checked(progress="none")
        with Fetcher(dataset, "data") as fetcher:
            plan = fetcher.prepare(lambda: fetcher.choose(query(subject="03"), listing), settings)
            report = fetcher.run(plan, settings)
    """

    def __init__(
        self,
        dataset: Dataset,
        root: str | os.PathLike[str],
        *,
        network: Network | None = None,
        rules: RetryRules | None = None,
        new: bool = False,
        make_source: MakeSource | None = None,
        client: Client | None = None,
        access: Access | None = None,
        known: Known | None = None,
    ) -> None:
        self.dataset: Dataset = dataset
        self.access: Access = access or Access()
        self._known = known
        self.directory: DataDirectory = DataDirectory(root, dataset.state, new=new)
        self._own_client = client is None
        self.client: Client = client or Client(network or Network.from_environment())
        self.listen: Callable[[Event], None] = quiet
        """Gets a `Listing` event now and then while files are listed; `prepare` sets it."""
        self.client.may_sign = access is not None
        self._to_move = False
        self._turns: dict[int, threading.BoundedSemaphore] = {}
        self._attempts = Attempts(rules, tell=self._retrying, outages=self.client.outages)
        self._make = make_source or self._bucket()
        self.source: Source = self._make(self.client, self._attempts, self.directory)
        self._lists: PagedSource = cast("PagedSource", self.source)
        """Who lists: the source, or what is remembered of it."""
        self._recall = Recall(self.directory, lambda: self._lists_of)
        self._record: RunRecord | None = None
        """Of the run that is under way; that of a task begins before it lists."""

    def _bucket(self) -> MakeSource:
        """Return what makes the source of a dataset that lies in a bucket."""
        place = self._location()
        bucket = Bucket(self.dataset.bucket, place.region, place.endpoint)
        return partial(_source_in, bucket, self.dataset.base, self.access)

    def remake(self) -> MakeSource:
        """Return what makes this source again in another process: it can be pickled.

        It holds no credentials: who asks with any finds them by the same name there. What was
        listed is not in it, but for a source that is a list of files.
        """
        again: Callable[[MakeSource], MakeSource] | None = getattr(self.source, "remake", None)
        return self._make if again is None else again(self._make)

    def known(self) -> Known:
        """Return what is known of the data set, for another process that fetches a part of it."""
        return Known(self.data_source, self._location())

    def _location(self) -> Location:
        if self._known is not None:
            return self._known.location
        return self.access.location(self.dataset.region)

    def _retrying(self, error: TransientError, wait: float) -> None:
        """Log that the listing is asked for again."""
        logged(Retrying(self.dataset.name, str(error), wait))

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._record is not None:
            self._record.end(None, next((e for e in raised if isinstance(e, BaseException)), None))
        self._attempts.stop.set()
        if self._own_client:
            self.client.close()

    # -- list and select ---------------------------------------------------------------------

    def files(self, listing: Listing) -> list[RemoteFile]:
        """Return what the source has in these places.

        Raises
        ------
        ServerError
        """
        levels = [partial(self._files_of_level, prefix) for prefix in listing.levels]
        walks = [partial(self._lists.walk, prefix) for prefix in listing.walks]
        with self._listing() as ask:
            found = ask([*levels, *walks])
        if len(found) == 1:
            return found[0]
        return [file for files in found for file in files]

    def find(self, query: Query, derivatives: tuple[str, ...] | None = None) -> Found:
        """List what can be wanted of what lies at the dataset's base, which may be no root.

        The base becomes the root of the data set that this lies in, and names are relative to it.

        Parameters
        ----------
        query : Query
            Folders whose names rule out that a wanted file lies in them are passed over.
        derivatives : tuple of str, optional
            Names of the folders in ``derivatives/`` that are wanted; by default all.

        Raises
        ------
        NothingMatchedError
            If there is nothing. It says what there is instead.
        ServerError
        """
        from neurofetch.lister import Lister  # noqa: PLC0415 - not every dataset is looked for

        with self._listing() as ask:
            root = "" if self.dataset.home else None
            place = f"{self.source.name}/" if self.dataset.home else self.dataset.origin
            lister = Lister(self._lists, ask, place, root)
            found = lister.find(self.dataset.base, Narrowing(query, derivatives))
        self.dataset = replace(self.dataset, base=found.base)
        return found

    @contextlib.contextmanager
    def _listing(self) -> Iterator[Ask]:
        """Give what makes calls that list, many at once, and tells how far they are."""
        loading = _Loading(self.client.asked, all_of_it=self._to_move)
        meter = _ListingMeter(self.source, self.listen)

        def meanwhile() -> None:
            meter.tell()
            self.client.outages.poll()

        def ask(calls: Iterable[Callable[[], T]]) -> list[T]:
            return together([meter.counted(call) for call in calls], _LISTERS, meanwhile)

        with few_collections():
            try:
                yield ask
            except BaseException:
                loading.end()
                raise
            finally:
                meter.over()

    def _files_of_level(self, prefix: str) -> list[RemoteFile]:
        return self._lists.level(prefix).files

    def levels(self, prefixes: Sequence[str]) -> list[Level]:
        """Return the files and folders directly below some prefixes.

        Raises
        ------
        ServerError
        """
        calls = [partial(self._lists.level, prefix) for prefix in prefixes]
        return together(calls, _LISTERS, self.client.outages.poll)

    def read(self, remote: RemoteFile, *, limit: int) -> bytes:
        """Return the bytes of a small file, such as metadata; verified, and kept nowhere.

        Parameters
        ----------
        remote : RemoteFile
        limit : int
            Bytes; a longer one is an error.

        Raises
        ------
        ServerError, VerificationError
            If it cannot be read, or other bytes came than the server tells of.
        """
        from neurofetch.transfer.body import body  # noqa: PLC0415 - see `_Loading`

        with self._turn(remote):
            return body(self.client, self.source, remote, self._attempts, limit=limit)

    def _turn(self, remote: RemoteFile) -> contextlib.AbstractContextManager[object]:
        """Wait until a file may be asked for, where its server is asked for few at a time."""
        bound = at_once(self.source, remote)
        if bound is None:
            return contextlib.nullcontext()
        return self._turns.setdefault(bound, threading.BoundedSemaphore(bound))

    def choose(self, query: Query, listing: Listing) -> Selection:
        """List, and select what a query wants.

        Raises
        ------
        UsageError
            If the query names what does not exist, or nothing is left.
        ServerError
            If the source cannot be listed.
        """
        return make_selection(self.files(listing), query, self.dataset)

    # -- survey and plan ---------------------------------------------------------------------

    def prepare(self, choose: Callable[[], Selection], settings: RunSettings | None = None) -> Plan:
        """Choose, survey and plan; no file of the dataset is written.

        Parameters
        ----------
        choose : callable
            Lists and selects.
        settings : RunSettings, optional

        Raises
        ------
        UsageError, ServerError
            As `choose` does.
        OtherDatasetError
            If the data directory is of another data set.
        UnsafeNameError, DestinationError
            If a path leaves the data directory, or something else stands at it.
        OfflineError
            If the network is not to be used, and what the source has is not remembered.
        """
        settings = self._recorded(settings or RunSettings(), None)
        self._check_bucket(mix=settings.mix)
        self._places(settings.mirrors)  # raises where one cannot be used here
        if settings.mirrors.folders:
            from neurofetch.store.neighbours import check_folders  # noqa: PLC0415 - see above

            check_folders(self.directory.root, settings.mirrors.folders)
        self.listen = settings.listen
        self._to_move = not settings.dry_run and not self.client.network.offline
        with calm_when_stopped("the plan was made; nothing was fetched"):
            plan = self._further(self._planned(choose, settings), settings)
        if settings.shard is None:
            return plan
        return plan.shard(*settings.shard, few=partial(at_once, self.source))

    def prepare_again(
        self, wants: tuple[Want, ...], settings: RunSettings, *, new: bool = False
    ) -> Plan:
        """Survey and plan for files that another process chose; the source is not asked.

        Parameters
        ----------
        wants : tuple of Want
            Some of those of its plan.
        settings : RunSettings
        new : bool
            As of `plan_wants`.

        Raises
        ------
        OtherDatasetError, UnsafeNameError, DestinationError
            As `prepare` does.
        """
        self._to_move = not settings.dry_run
        self._check_source(mix=settings.mix)
        plan = self.plan_for(
            Selection(wants, ()), overwrite=settings.overwrite, adopt=True, new=new
        )
        return self._further(plan, settings)

    def _further(self, plan: Plan, settings: RunSettings) -> Plan:
        """Look at the content of what is here, and at the folders that may have the rest."""
        if settings.verify and settings.crew is None:  # else each task does it for its part
            plan = self._repaired(plan, settings)
        if settings.mirrors.folders:
            from neurofetch.sources.mirrors import identity_of  # noqa: PLC0415 - few runs have any
            from neurofetch.store.neighbours import from_neighbours  # noqa: PLC0415

            name_of = partial(self._name_of, self.dataset.base)
            plan = from_neighbours(plan, settings.mirrors.folders, identity_of, name_of)
        return plan

    def _planned(self, choose: Callable[[], Selection], settings: RunSettings) -> Plan:
        """Choose and plan: from what the source lists, or from what it listed before.

        The latter counts where the network is not to be used. It also does where the source cannot
        be reached, and all that is asked for is here; if not, the source is waited for.
        """
        told = isinstance(self.source, ListedSource)
        if not told and self.client.network.offline:
            self._lists, told = self._recall.lists(), True
        if told:
            return self._plan_from(choose, settings)
        if (plan := self._plan_of_run(choose, settings)) is not None:
            return plan
        self._lists = listing = Recording(cast("PagedSource", self.source))
        if not self._recall:
            return self._plan_from(choose, settings, listing)
        asked = self.dataset  # what is found at its base becomes part of it
        try:
            with self.client.outages.brief(_BRIEF):
                return self._plan_from(choose, settings, listing)
        except UnreachableError as error:
            _log.debug("what was listed before is looked at: %s", error)
        with contextlib.suppress(NeurofetchError):
            self.dataset = asked
            self._lists = self._recall.lists()
            plan = self._plan_from(choose, settings)
            if not plan.moving:
                return plan
        self.dataset, self._lists = asked, listing
        self.client.outages.begin_anew()
        return self._plan_from(choose, settings, listing)

    def _plan_of_run(self, choose: Callable[[], Selection], settings: RunSettings) -> Plan | None:
        """Plan from what was listed for all tasks of the run: they have the same plan then.

        Returns
        -------
        Plan or None
            None where nothing was listed for them.
        """
        asked, run = self.dataset, settings.run
        pin: Callable[[str], None] | None = getattr(self.source, "pin", None)
        if run is not None and pin is not None:
            pin(kept_version(self.directory.state, run.run))
        if run is None or not isinstance(self.source, S3Source) or not self._is_plain:
            return None
        pinned = pinned_lists(self.directory, run.run, lambda: self._lists_of)
        if not pinned:
            return None
        try:
            if self.source.bucket.is_unplaced:
                self.source.first_page(asked.base)  # one request tells the region
            self._lists = pinned.lists(self.source.bucket.base)
            return self._plan_from(choose, settings)
        except OfflineError as error:
            _log.debug("the bucket is listed again: %s", error)
            self.dataset = asked
            return None
        finally:
            self._lists = cast("PagedSource", self.source)

    @property
    def _is_plain(self) -> bool:
        """Whether the source is a bucket and no more, so that a list of keys says all of it."""
        return type(self.source) is S3Source

    def _pin(self, settings: RunSettings) -> None:
        """Keep what was listed for all tasks of the run, where this is the one that only plans."""
        run = settings.run
        if run is None or not settings.is_listing:
            return
        if hasattr(self.source, "pin"):
            self.directory.root.mkdir(parents=True, exist_ok=True)
            keep_version(self.directory.state, run.run, self._version_at_hand())
        if not self._is_plain:
            return
        pinned = pinned_lists(self.directory, run.run, lambda: self._lists_of, make=True)
        pinned.take(self._recall)

    def _plan_from(
        self,
        choose: Callable[[], Selection],
        settings: RunSettings,
        listing: Recording | None = None,
    ) -> Plan:
        with few_collections():
            with self.client.outages.told_to(telling(_logging(settings.listen))):
                chosen = choose()
            if listing is not None:
                self._recall.keep_in_mind(listing, write=self._to_move or settings.is_listing)
                self._pin(settings)
            self._check_source(mix=settings.mix)
            chosen = self._of_one_version(chosen, settings)
            return self.plan_for(chosen, overwrite=settings.overwrite, adopt=not settings.dry_run)

    def plan_for(
        self,
        selection: Selection,
        *,
        overwrite: bool = False,
        adopt: bool = False,
        new: bool = False,
    ) -> Plan:
        """Survey and plan for files that were chosen.

        Parameters
        ----------
        selection : Selection
        overwrite : bool
            Fetch also what is here.
        adopt : bool
            Whether a file of another tool that turns out to be the source's gets a receipt, so
            that it is not read again.
        new : bool
            As of `plan_wants`.
        """
        from neurofetch.survey import plan_wants  # noqa: PLC0415 - see `_Loading`

        lists = self._lists if isinstance(self._lists, Remembered) else self.source
        notes = (*selection.notes, *lists.notes)
        with few_collections():
            return plan_wants(
                self.directory, selection.wants, notes, overwrite=overwrite, adopt=adopt, new=new
            )

    def _repaired(self, plan: Plan, settings: RunSettings) -> Plan:
        """Read every byte of the files that a plan keeps; return a plan that replaces bad ones."""
        kept = {step.want.path: step.want for step in plan.of(Action.KEEP)}
        found = self.audit(
            kept.values(),
            read_all=True,
            only=kept.keys(),
            listen=settings.listen,
            write=not settings.dry_run,
        )
        bad = {finding.path: finding.detail for finding in found.problems}
        steps = tuple(
            replace(
                step,
                action=Action.REPLACE,
                reason=f"here, but damaged: {bad[step.want.path]}",
            )
            if step.want.path in bad
            else step
            for step in plan.steps
        )
        return replace(plan, steps=steps)

    # -- transfer and report -----------------------------------------------------------------

    def run(
        self,
        plan: Plan,
        settings: RunSettings | None = None,
        *,
        inspect: Inspect | None = None,
        permit: Callable[[], None] | None = None,
        strict: bool = True,
        stacklevel: int = 3,
    ) -> Report:
        """Carry out a plan, and report the result for each file.

        Parameters
        ----------
        plan : Plan
        settings : RunSettings, optional
        inspect : callable, optional
            A deeper look at a file before it takes its name.
        permit : callable, optional
            Called once the plan is told, and before anything moves: it raises where that must not
            be.
        strict : bool
            Whether a file that is missing at the end is an error; if not, only the report says it.
        stacklevel : int
            For the warning about missing files: 3 is the line that called the caller of this.

        Returns
        -------
        Report

        Raises
        ------
        DiskFullError, DestinationError, OtherDatasetError
            Before any byte moves.
        IncompleteError
            At the end, when something is missing; it names every file and cause.

        Warns
        -----
        UserWarning
            Of optional files that the server does not have.
        """
        settings = self._recorded(settings or RunSettings(), plan)
        try:
            report = self._carried_out(plan, settings, inspect, permit)
            if strict:
                _warn_of_missing(plan, report, stacklevel + 1)
                report.raise_for_failures()
        except IncompleteError as error:
            self._end_record(error.report, error)
            raise
        except BaseException as error:
            self._end_record(None, error)
            raise
        self._end_record(report)
        return report

    def _end_record(self, report: Report | None, error: BaseException | None = None) -> None:
        record, self._record = self._record, None
        if record is not None:
            record.end(report, error)

    def _recorded(self, settings: RunSettings, plan: Plan | None) -> RunSettings:
        """Return settings with which all that is heard is written down, too.

        A run of its own begins with its plan, and a task before it lists. Where there are many
        tasks, each of them has its record.
        """
        if settings.crew is not None or settings.dry_run:
            return settings
        if plan is None and settings.run is None:
            return settings
        if self._record is None:
            from neurofetch.store.run_record import RunRecord  # noqa: PLC0415 - see `_Loading`

            self._record = RunRecord.begin(self.directory.state, None, settings.run)
        return replace(settings, listen=_both(self._record, settings.listen))

    def _carried_out(
        self,
        plan: Plan,
        settings: RunSettings,
        inspect: Inspect | None,
        permit: Callable[[], None] | None,
    ) -> Report:
        from neurofetch.transfer.run import copy_only, transfer  # noqa: PLC0415 - see `_Loading`

        listen = _logging(settings.listen)
        listen(Planned(plan))
        if permit is not None:
            permit()
        self._remember(plan, mix=settings.mix, update=settings.update)
        offline = self.client.network.offline
        if settings.crew is not None and not offline:
            report = settings.crew.carry_out(self, plan, settings, listen=listen, inspect=inspect)
        else:
            carry_out = copy_only if offline else transfer
            report = carry_out(
                plan,
                self.directory,
                self.client,
                self.source if offline else self._places(settings.mirrors),
                settings.own_options,
                listen=listen,
                inspect=inspect,
            )
        if report.of(Status.FETCHED):
            self._remember(plan, mix=True)  # the data set's own description may be here now
        return report

    def _own_mirrors(self) -> tuple[str, ...]:
        """Return the places that all such data sets have: for OpenNeuro, its bucket by key."""
        home, server = self.dataset.home, getattr(self.source, "server", None)
        endpoint = self._location().endpoint
        if not home.startswith("openneuro:") or server is None or (server and not endpoint):
            return ()
        return (f"s3://openneuro.org/{home.partition(':')[2]}",)

    def _places(self, mirrors: Mirrors) -> Source:
        """Return the source; where there are others that have the same bytes, with these."""
        servers = (*self._own_mirrors(), *mirrors.servers)
        if not servers:
            return self.source
        from neurofetch.sources.mirrors import ManyPlaces, mirrors_at  # noqa: PLC0415 - see above

        location = self._location()

        def in_bucket(name: str) -> Bucket:
            return Bucket(name, location.region, location.endpoint)

        home = self.dataset.home
        found = mirrors_at(servers, self.client, self._attempts, home, in_bucket)
        return ManyPlaces(self.source, found, partial(self._name_of, self.dataset.base))

    @staticmethod
    def _name_of(base: str, key: str) -> str:
        """Return the name of a key below the root of the data set."""
        return key.removeprefix(base)

    # -- which data set it is ----------------------------------------------------------------

    @property
    def data_source(self) -> DataSource:
        """The data set, as a data directory remembers it."""
        if self._known is not None:
            return self._known.source
        from neurofetch.store.data_source import DataSource, plain_url  # noqa: PLC0415

        dataset, server, named = self.dataset, None, False
        if dataset.home:
            url, server = dataset.home, getattr(self.source, "server", None)
        elif dataset.bucket:
            url = f"s3://{dataset.bucket}/{dataset.base}".rstrip("/")
            server, _, named = self.access.location(dataset.region)
        else:
            name = str(getattr(self.source, "name", ""))
            url = plain_url(name) if "://" in name else dataset.name
        address = plain_url(server) if server else ""
        tool = f"neurofetch {__version__}"
        tidy = dataset.tidy_labels
        return DataSource(
            dataset.kind,
            url,
            address.rpartition("://")[2],
            tool=tool,
            tidy_labels=tidy,
            server=address,
            version=str(getattr(self.source, "version", "")),
            named=named,
            profile=self.access.profile,
            signed=self.access.signed,
            requester_pays=self.access.requester_pays,
            commit=str(getattr(self.source, "commit", "")),
            objects=str(getattr(self.source, "objects", "")),
        )

    def _check_bucket(self, *, mix: bool) -> None:
        """See, before anything is listed, that it is not another bucket's directory."""
        bucket, home = self.dataset.bucket, self.dataset.home
        if mix or not (bucket or home):
            return
        if next(self.directory.root.glob(".*/source.json"), None) is None:
            return  # as of most: so nothing more is loaded before the first request
        if home:
            self._check_source(mix=mix)  # which it is, is known before any server is asked
            return
        from neurofetch.store.data_source import read_sources, state_folders  # noqa: PLC0415

        folders = state_folders(self.directory.root)
        known = [one.url.rstrip("/") for folder in folders for one in read_sources(folder)]
        place = f"s3://{bucket}"
        if known and not any(one == place or one.startswith(f"{place}/") for one in known):
            self._check_source(mix=mix)

    def _check_source(self, *, mix: bool) -> None:
        """See that the data directory is not of another data set."""
        from neurofetch.store.data_source import check_source  # noqa: PLC0415
        from neurofetch.store.others import Others  # noqa: PLC0415

        where = self.directory
        source = self.data_source
        where.source = check_source(where.root, where.state, source, self.dataset.base, mix=mix)
        where.objects = getattr(self.source, "objects", None)
        where.others = Others(where.root, where.state, source)

    def _of_one_version(self, chosen: Selection, settings: RunSettings) -> Selection:
        """See that the data directory is of this version, or is to become one of it.

        Returns
        -------
        Selection
            The same files, and what there is to say of the versions.
        """
        version = self.data_source.version
        if not self.dataset.home or not version:
            return chosen
        from neurofetch.store.versions import check_version  # noqa: PLC0415 - see `_Loading`

        notes = check_version(
            self.directory, self.data_source, chosen.wants, update=settings.update, mix=settings.mix
        )
        return chosen._replace(notes=(*notes, *chosen.notes))

    def _remember(self, plan: Plan, *, mix: bool, update: bool = True) -> None:
        """Write down which data set is fetched, unless nothing is to be written at all."""
        quiet = not plan.moving and not self.directory.state.is_dir()
        if not quiet and not isinstance(self._lists, Remembered):
            self.write_source(mix=mix, update=update)

    def write_source(self, *, mix: bool, update: bool = True) -> None:
        """Write down which data set is fetched, and what was listed of it.

        A disk that takes nothing is no error here: all may be here, and nothing to write.

        Parameters
        ----------
        mix, update : bool
            As in `RunSettings`.

        Raises
        ------
        DestinationError, OtherDatasetError
            If the data directory is of another data set, or cannot be used.
        """
        from neurofetch.store.data_source import remember  # noqa: PLC0415 - see `_Loading`

        where = self.directory
        try:
            where.source = remember(where.state, self.data_source, mix=mix, update=update)
            self._recall.write()
        except (OSError, UnsafeNameError) as error:
            if isinstance(error, DestinationError):
                raise
            _log.debug("the source cannot be written down: %s", error)

    # -- what it listed ----------------------------------------------------------------------

    @property
    def _lists_of(self) -> str:
        """What the remembered lists are of: keys of a bucket, as this kind of source tells them."""
        bucket, kind = self.dataset.bucket, type(self.source)
        place = f"s3://{bucket}" if bucket else self.data_source.identity
        if self.dataset.home:
            return f"{self.dataset.home}@{self._version_at_hand()}"
        return place if kind is S3Source else f"{place} {kind.__name__}"

    def _version_at_hand(self) -> str:
        """Return the version that is listed, or asked for; else that which is here."""
        for name in ("version", "wanted"):
            if version := str(getattr(self.source, name, "")):
                return version
        from neurofetch.store.data_source import read_sources  # noqa: PLC0415 - few runs need it

        known = (one for one in read_sources(self.directory.state) if one.takes(self.data_source))
        return next((one.version for one in known), "")

    # -- look again --------------------------------------------------------------------------

    def audit(
        self,
        wants: Iterable[Want] | None = None,
        *,
        read_all: bool = False,
        listing: Listing | None = None,
        only: Iterable[str] | None = None,
        listen: Callable[[Event], None] | None = None,
        write: bool = True,
    ) -> Audit:
        """Compare the data directory with its receipts, and with what the source has.

        Parameters
        ----------
        wants : iterable of Want, optional
            What the source has.
        read_all : bool
            Read every byte. A file of another tool that is the source's is adopted.
        listing : Listing, optional
            Where `wants` were looked for: a file that was fetched from there, and is not among
            them, counts as one that the source does not have.
        only : iterable of str, optional
            Look at these paths and no others.
        listen : callable, optional
            With `read_all`, gets a `Checking` event now and then, and one at the end.
        write : bool
            Whether what `read_all` finds is written down, as receipts.
        """
        from neurofetch.store.audit import audit  # noqa: PLC0415 - few runs need it
        from neurofetch.survey import for_this_disk  # noqa: PLC0415

        known = None if wants is None else for_this_disk(self.directory, [*wants], write=False)
        listed = None if listing is None else partial(self._absent, listing)
        self.directory.objects = getattr(self.source, "objects", None)
        with calm_when_stopped("files were looked at"):
            return audit(
                self.directory,
                read_all=read_all,
                remote=None if known is None else [want for want in known if not want.problem],
                checksum=self.server_checksum,
                listed=listed,
                only=None if only is None else frozenset(only),
                listen=listen,
                write=write,
            )

    def _absent(self, listing: Listing, receipt: Receipt) -> str:
        """Say what it means that a file with this receipt was not listed; "" if nothing."""
        place, problem = self.dataset.place(receipt.key)
        if problem or place != receipt.path:
            return "it was never in this bucket"
        return "not in the bucket any more" if listing.covers(receipt.key) else ""

    def server_checksum(self, remote: RemoteFile) -> ServerChecksum:
        """Ask the source for its checksum of an object: one request.

        Raises
        ------
        ServerError
        """
        from neurofetch.integrity.verification import ServerChecksum  # noqa: PLC0415
        from neurofetch.sources.ask import look  # noqa: PLC0415 - few runs need it

        now, headers = look(self.client, self.source, remote, self._attempts)
        if now.etag == remote.etag or not remote.etag:
            return ServerChecksum.of(remote, headers)
        # Either it changed since it was listed, or the listing always tells another ETag.
        return ServerChecksum.of(now, headers) if now.listed else ServerChecksum.of(remote)


def _both(first: Callable[[Event], None], second: Callable[[Event], None]) -> Listener:
    """Return a listener that hands each event to two others."""

    def both(event: Event) -> None:
        first(event)
        second(event)

    return both


def _logging(listen: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a listener that logs each event, too."""

    def both(event: Event) -> None:
        logged(event)
        listen(event)

    return both


class _Loading:
    """Loads what plans and moves files, while the first page of a listing is on its way.

    That takes about as long as a round trip, and the interpreter does little else meanwhile: so the
    request comes first. Who needs one of the modules sooner imports it, and is told what is wrong.

    Parameters
    ----------
    asked : threading.Event
        Set when the request has gone out.
    all_of_it : bool
        Whether files are to be moved, too.
    """

    def __init__(self, asked: threading.Event, *, all_of_it: bool) -> None:
        self._asked = asked
        self._all_of_it = all_of_it
        self._ended = threading.Event()
        self._threads = start(self._load, 1, "neurofetch-loading")

    def _load(self) -> None:
        until = time.monotonic() + _ASKED_SECONDS
        while not self._asked.wait(_ASKED_BEAT) and time.monotonic() < until:
            if self._ended.is_set():
                return
        moving = [_load_transfer, _load_checksums] if self._all_of_it else []
        for load in [_load_survey, *moving]:
            if self._ended.is_set():
                return
            with contextlib.suppress(ImportError):
                load()

    def end(self) -> None:
        """Load no more: the interpreter may end now, and nothing is to be loaded meanwhile."""
        self._ended.set()
        for thread in self._threads:
            thread.join(_ASKED_SECONDS)


def _load_survey() -> None:
    from neurofetch import survey  # noqa: F401, PLC0415


def _load_transfer() -> None:
    from neurofetch.transfer import run  # noqa: F401, PLC0415


def _load_checksums() -> None:
    from neurofetch.integrity.checksums import warm_up  # noqa: PLC0415

    warm_up()


class _ListingMeter:
    """How far a listing is.

    Parameters
    ----------
    source : Source
        One that counts what it lists has `files_listed`.
    listen : callable
        Gets the events, in the thread that waits; none before a second is over.
    """

    def __init__(self, source: Source, listen: Callable[[Event], None]) -> None:
        self._source = source
        self._listen = listen
        self._began = time.monotonic()
        self._before = self._now()
        self._calls = 0
        self._done: list[int] = []
        self._told = False

    def _now(self) -> int:
        return int(getattr(self._source, "files_listed", 0))

    def counted(self, call: Callable[[], T]) -> Callable[[], T]:
        """Return a call that counts when it is made; it lists a prefix."""
        self._calls += 1

        def made() -> T:
            found = call()
            self._done.append(len(found) if isinstance(found, list) else 0)
            return found

        return made

    def tell(self) -> None:
        """Say how far it is, unless it has only begun."""
        seconds = time.monotonic() - self._began
        if self._told or seconds >= _QUICK:
            self._told = True
            self._say(over=False)

    def over(self) -> None:
        """Say that it is over, if anything was said before."""
        if self._told:
            self._say(over=True)

    def _say(self, *, over: bool) -> None:
        files = max(self._now() - self._before, sum(self._done))
        seconds = time.monotonic() - self._began
        event = ListingEvent(files, len(self._done), self._calls, seconds, over)
        logged(event)
        self._listen(event)


def _source_in(
    bucket: Bucket, base: str, access: Access, client: Client, attempts: Attempts, _: DataDirectory
) -> S3Source:
    """Return the source of a dataset that lies in a bucket."""
    signer = access.signer(client.network, bucket.region)
    return S3Source(client, bucket, attempts, base=base, signer=signer)


def bucket_of(dataset: Dataset, access: Access | None = None) -> Bucket:
    """Return the bucket of a dataset, at the endpoint and in the region of the environment.

    Parameters
    ----------
    dataset : Dataset
    access : Access, optional
        May name another endpoint, and a profile that has a region and an endpoint.

    Raises
    ------
    ConfigError
        If an environment variable is wrong.
    """
    place = (access or Access()).location(dataset.region)
    return Bucket(dataset.bucket, place.region, place.endpoint)


def _warn_of_missing(plan: Plan, report: Report, stacklevel: int) -> None:
    """Warn once of optional files that the server does not have."""
    told = {step.want.path for step in plan.of(Action.REFUSE)}
    missing = [shown(outcome.path) for outcome in report.withheld if outcome.path not in told]
    if missing:
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        msg = f"the server has not {len(missing):,} of the files: {', '.join(missing[:5])}{more}"
        warnings.warn(msg, UserWarning, stacklevel=stacklevel)
