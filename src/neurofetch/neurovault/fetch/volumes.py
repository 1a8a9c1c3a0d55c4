"""Move volumes through the engine; commit each image's record as soon as its volume is there."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from neurofetch.display.progress import listener
from neurofetch.events import FileDone, Planned
from neurofetch.model import Action, Plan, RemoteFile, Report, Step, VerificationLevel, Want
from neurofetch.net.retry import RetryRules
from neurofetch.neurovault.cache.collection_lists import STATE
from neurofetch.neurovault.cache.volume_check import check_volume, gzip_volume
from neurofetch.neurovault.fetch.resample import resampled_bytes
from neurofetch.neurovault.records import server_url
from neurofetch.store.atomic import replacing, write_atomically
from neurofetch.store.directory import DataDirectory
from neurofetch.transfer.options import Options
from neurofetch.transfer.run import transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from neurofetch.events import Event
    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import ImageRecord
    from neurofetch.neurovault.server.api import Session
    from neurofetch.neurovault.settings import Settings

__all__ = ["Item", "Volumes", "make_root", "plan_of"]

_IN_URLS = "%/:=&?~#+!$,;'@()*[]"


@dataclass(frozen=True)
class Item:
    """An image to be had.

    Parameters
    ----------
    collection_id : int
    record : ImageRecord
        The server's, cleaned.
    here : bool
        Whether its volume is here already, whole, and only its record is missing.
    replaces : str
        Why what is here is replaced; "" when nothing is here.
    """

    collection_id: int
    record: ImageRecord
    here: bool = False
    replaces: str = ""

    @property
    def image_id(self) -> int:
        """The image's id."""
        return self.record["id"]

    def want(self, cache: Cache, api_url: str, *, resampled: bool) -> Want:
        """Return what the engine is to fetch, and to where."""
        place = cache.resampled if resampled else cache.image
        path = place(self.collection_id, self.image_id)
        size = self.record.get("file_size")
        known = size if isinstance(size, int) and size > 0 else None
        address = self.record.get("file")
        refused, url = "its record names no file", ""
        if isinstance(address, str):
            refused, url = "", quote(server_url(address, api_url), safe=_IN_URLS)
        remote = RemoteFile(unquote(urlsplit(url).path), url, known, ranges=False)
        return Want(remote, f"{path.parent.name}/{path.name}", refused=refused)

    def step(self, cache: Cache, api_url: str, *, resampled: bool) -> Step:
        """Return the step of the plan."""
        want = self.want(cache, api_url, resampled=resampled)
        if want.refused:
            return Step(want, Action.REFUSE, want.refused)
        if self.here:
            return Step(want, Action.KEEP, "here, whole", verification=VerificationLevel.CONTENT)
        if self.replaces:
            return Step(want, Action.REPLACE, self.replaces)
        return Step(want, Action.FETCH, "not here")


def plan_of(items: Sequence[Item], cache: Cache, api_url: str, *, resampled: bool) -> Plan:
    """Return the plan for these images, in their order; `cache` need not exist yet."""
    steps = tuple(item.step(cache, api_url, resampled=resampled) for item in items)
    free = DataDirectory(cache.root).free() if cache.root.is_dir() else None
    return Plan(Path(os.path.abspath(cache.root)), steps, free=free)


def make_root(cache: Cache) -> None:
    """Make the cache's folder.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    cache.root.mkdir(parents=True, exist_ok=True)


class Volumes:
    """Moves volumes for one call.

    Parameters
    ----------
    cache : Cache
    session : Session
    settings : Settings
    """

    def __init__(self, cache: Cache, session: Session, settings: Settings) -> None:
        self._cache = cache
        self._session = session
        self._settings = settings
        self._show = listener(settings.shown)

    def move(self, items: Sequence[Item]) -> Report:
        """Fetch the volumes of these images; the record of each is written right after it.

        Raises
        ------
        DestinationError
            When the cache cannot take them.
        """
        made = plan_of(
            items,
            self._cache,
            self._session.neurovault.base,
            resampled=self._settings.resample,
        )
        if not made.steps:
            return Report(made.root, ())
        waiting = {step.want.path: item for step, item in zip(made.steps, items, strict=True)}
        for step in made.of(Action.KEEP):
            self._commit(waiting[step.want.path])
        self._show(Planned(made))
        with ThreadPoolExecutor(self._settings.connections) as clerks:
            commits: list[Future[None]] = []
            report = transfer(
                made,
                DataDirectory(self._cache.root, STATE),
                self._session.client,
                self._options(),
                listen=self._listening(waiting, clerks, commits),
                inspect=self._inspect,
            )
        for commit in commits:
            commit.result()  # a full disk is raised here
        return report

    def _options(self) -> Options:
        """Return the engine's options: half of the threads look after the disk.

        The client bounds the requests; while one file is checked and flushed, the next one comes.
        """
        settings = self._settings
        return Options(
            connections=2 * settings.connections,
            bulk_connections=1,
            rules=settings.rules or RetryRules(),
            failures_in_a_row=settings.max_failures,
        )

    def _listening(
        self, waiting: Mapping[str, Item], clerks: Executor, commits: list[Future[None]]
    ) -> Callable[[Event], None]:
        """Return a listener that has each record written as soon as its volume is in place."""

        def hear(event: Event) -> None:
            if isinstance(event, FileDone) and event.outcome.ok:
                commits.append(clerks.submit(self._commit, waiting[event.outcome.path]))
            self._show(event)

        return hear

    def _commit(self, item: Item) -> None:
        """Write an image's record, the mark that it is complete."""
        self._cache.write_image(item.record, item.collection_id)

    def _inspect(self, temporary: str, want: Want) -> VerificationLevel:
        """Look at a volume before it takes its name; resample it or gzip it, as need be."""
        del want
        volume = check_volume(temporary)
        # The engine sweeps away files of this name, should this process be killed here.
        draft = os.path.basename(temporary).removesuffix(".tmp") + ".part"
        if self._settings.resample:
            content = resampled_bytes(temporary, self._settings.interpolation)
            write_atomically(temporary, content, draft=draft)
        elif not volume.gzipped:
            with replacing(temporary, draft=draft) as packed:
                gzip_volume(temporary, packed)
        return VerificationLevel.CONTENT
