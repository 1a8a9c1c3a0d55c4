"""Fetch volumes through the engine; write each image's record as soon as its volume is there.

This is the one place where NeuroVault hands work to the engine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from neurofetch._pool import Pool
from neurofetch.display.progress import listener
from neurofetch.events import FileDone
from neurofetch.fetcher import Fetcher, RunSettings
from neurofetch.model import Action, Plan, RemoteFile, Report, Step, VerificationLevel, Want
from neurofetch.net.http1 import quoted_url
from neurofetch.net.retry import RetryRules
from neurofetch.neurovault.cache.layout import STATE
from neurofetch.neurovault.cache.volume_check import check_volume, gzip_volume
from neurofetch.neurovault.fetch.resample import resampled_bytes
from neurofetch.neurovault.records import server_url
from neurofetch.planning.dataset import Dataset
from neurofetch.sources.source import ListedSource
from neurofetch.store.atomic import replacing, write_atomically
from neurofetch.store.directory import DataDirectory
from neurofetch.transfer.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from neurofetch.events import Event
    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import ImageRecord
    from neurofetch.neurovault.server.api import Connections
    from neurofetch.neurovault.settings import Settings

__all__ = ["WantedImage", "fetch_volumes", "plan_images"]

_DATASET = Dataset("NeuroVault", state=STATE, kind="neurovault")


@dataclass(frozen=True)
class WantedImage:
    """An image that was asked for and is not complete in the cache.

    Parameters
    ----------
    collection_id : int
    record : ImageRecord
        The server's, cleaned.
    here : bool
        Whether its volume is in the cache, whole, and only its record is missing.
    replaces : str
        Why the volume in the cache is replaced; "" when there is none.
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
        path_of = cache.resampled if resampled else cache.image
        path = path_of(self.collection_id, self.image_id)
        size = self.record.get("file_size")
        known = size if isinstance(size, int) and size > 0 else None
        address = self.record.get("file")
        refused, url = "its record names no file", ""
        if isinstance(address, str):
            refused, url = "", quoted_url(server_url(address, api_url))
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


def plan_images(
    images: Sequence[WantedImage], cache: Cache, api_url: str, *, resampled: bool
) -> Plan:
    """Return the plan for these images, in their order; `cache` need not exist yet."""
    steps = tuple(image.step(cache, api_url, resampled=resampled) for image in images)
    free = DataDirectory(cache.root).free() if cache.root.is_dir() else None
    return Plan(Path(os.path.abspath(cache.root)), steps, free=free)


def fetch_volumes(
    images: Sequence[WantedImage],
    cache: Cache,
    connections: Connections,
    settings: Settings,
    first: Callable[[], None],
) -> Report:
    """Fetch the volumes of these images; write each image's record right after its volume.

    Parameters
    ----------
    images : sequence of WantedImage
    cache : Cache
        Its root exists.
    connections : Connections
    settings : Settings
    first : callable
        Writes what must be there before an image's record is; no volume waits for it.

    Raises
    ------
    DestinationError
        When the cache cannot take them.
    """
    resampled = settings.resample
    plan = plan_images(images, cache, connections.neurovault.base, resampled=resampled)
    by_path = {step.want.path: image for step, image in zip(plan.steps, images, strict=True)}
    show = listener(settings.shown)
    source = ListedSource((step.want.remote for step in plan.steps), connections.neurovault.base)
    with (
        Pool(settings.connections) as writers,
        Fetcher(
            _DATASET,
            cache.root,
            client=connections.client,
            make_source=lambda *_: source,
        ) as fetcher,
    ):
        before = writers.submit(first)

        def write_record(path: str) -> None:
            before.result()
            cache.write_image(by_path[path].record, by_path[path].collection_id)

        written = [before]
        written += [writers.submit(write_record, step.want.path) for step in plan.of(Action.KEEP)]

        def listen(event: Event) -> None:
            if isinstance(event, FileDone) and event.outcome.ok:
                written.append(writers.submit(write_record, event.outcome.path))
            show(event)

        report = fetcher.run(
            plan,
            RunSettings(
                options=_options(settings),
                network=connections.client.network,
                listen=listen,
                overwrite=settings.overwrite,
                crew=settings.crew,
            ),
            inspect=partial(_inspect, _Look(settings.resample, settings.interpolation)),
            strict=False,
        )
    for record in written:
        record.result()  # raises what writing raised, such as a full disk
    return report


def _options(settings: Settings) -> Options:
    """Return the engine's options: twice as many threads as connections.

    The client bounds the requests. While one thread verifies and flushes a file, another fetches.
    """
    return Options(
        connections=2 * settings.connections,
        bulk_connections=1,
        rules=settings.rules or RetryRules(),
        failures_in_a_row=settings.max_failures,
    )


class _Look(NamedTuple):
    """What becomes of a volume before it takes its name; it travels to other processes."""

    resample: bool
    interpolation: str


def _inspect(look: _Look, temporary: str, want: Want) -> VerificationLevel:  # noqa: ARG001
    """Check a volume before it takes its final name; resample it or gzip it, as need be."""
    volume = check_volume(temporary)
    # When this process is killed here, the engine's next run removes a file of this name.
    draft = os.path.basename(temporary).removesuffix(".tmp") + ".part"
    if look.resample:
        content = resampled_bytes(temporary, look.interpolation)
        write_atomically(temporary, content, draft=draft, flush=False)  # the engine flushes it
    elif not volume.gzipped:
        with replacing(temporary, draft=draft, flush=False) as packed:
            gzip_volume(temporary, packed)
    return VerificationLevel.CONTENT
