"""What one call has found and done so far: which images are here, what moved, what failed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch.errors import VerificationError
from neurofetch.model import Action, Outcome, Plan, Report, Status, Step, VerificationLevel
from neurofetch.neurovault.cache.check import CacheCheck, LocalImage
from neurofetch.neurovault.cache.collection_lists import CollectionLists
from neurofetch.neurovault.cache.layout import write_atomically
from neurofetch.neurovault.fetch.resample import ResamplingError, resampled_bytes
from neurofetch.neurovault.fetch.volumes import WantedImage, fetch_volumes, plan_images
from neurofetch.neurovault.problems import Problem, plain
from neurofetch.neurovault.server.finder import Finder
from neurofetch.neurovault.settings import api_url
from neurofetch.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from neurofetch.errors import UnreachableError
    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import (
        ImageRecord,
        LocalCollectionRecord,
        LocalImageRecord,
    )
    from neurofetch.neurovault.server.api import Connections
    from neurofetch.neurovault.settings import Settings

__all__ = ["Call"]


@dataclass
class Call:
    """One call of a fetch function.

    Parameters
    ----------
    cache : Cache
    settings : Settings
    connections : Connections or None
        None: the server is not asked.

    Attributes
    ----------
    here : dict of int to LocalImage
        The images that are in the cache and complete, by id.
    damaged : dict of int to str
        The images that are in the cache and not complete: what is wrong, by id.
    problems : list of Problem
        What could not be fetched.
    outcomes : dict of int to Outcome
        What the engine did, by image id.
    notes : tuple of str
        What else the user must know.
    words_problem : str
        Why some words of Neurosynth are missing; "" when none are.
    was_away : UnreachableError or None
        Why NeuroVault could not be reached when it was asked for the ids of private collections.
    lists : CollectionLists
    check : CacheCheck
    """

    cache: Cache
    settings: Settings
    connections: Connections | None = None
    here: dict[int, LocalImage] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    words_problem: str = ""
    was_away: UnreachableError | None = None
    _began: float = field(default_factory=time.monotonic)
    _records: dict[int, LocalCollectionRecord | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lists = CollectionLists(self.cache.root)
        self.check = CacheCheck(
            self.cache, write=not self.settings.offline, resampled=self.settings.resample
        )
        self._finder: Finder | None = None

    @property
    def finder(self) -> Finder:
        """The finder that asks NeuroVault; only while there are connections."""
        if self._finder is None:
            if self.connections is None:
                msg = "this call has no connections"
                raise RuntimeError(msg)
            self._finder = Finder(self.connections.neurovault)
        return self._finder

    @property
    def away(self) -> UnreachableError | None:
        """Why NeuroVault cannot be reached, if it answered no request of this call; else None."""
        if self.connections is None:
            return self.was_away
        return self.connections.neurovault.away

    # -- what is here ------------------------------------------------------------------------

    def check_images(
        self,
        collection_of: Mapping[int, int],
        records: Mapping[int, LocalImageRecord] | None = None,
    ) -> None:
        """Check which of these images are in the cache and complete; see `CacheCheck.images`.

        With ``resample=True``, those that are here are resampled first.
        """
        new = {n: c for n, c in collection_of.items() if n not in self.here}
        unable: dict[int, str] = {}
        if self.settings.resample and not self.settings.offline:
            unable = self._resample_what_is_here(new)
        checked = self.check.images(new, records)
        self.here |= checked.complete
        self.damaged |= checked.damaged | unable

    def _resample_what_is_here(self, collection_of: Mapping[int, int]) -> dict[int, str]:
        """Make the resampled volumes of those images whose own volume is here.

        Returns
        -------
        dict of int to str
            Why some cannot be resampled, by image id.
        """
        unable: dict[int, str] = {}
        todo = {
            number: collection_id
            for number, collection_id in collection_of.items()
            if not self.cache.resampled(collection_id, number).is_file()
            and self.cache.image(collection_id, number).is_file()
        }
        problems = CacheCheck(self.cache, write=True).volumes(todo)
        for number, collection_id in todo.items():
            if number not in problems:
                source = self.cache.image(collection_id, number)
                try:
                    content = resampled_bytes(source, self.settings.interpolation)
                except ResamplingError as error:
                    unable[number] = str(error)
                else:
                    write_atomically(self.cache.resampled(collection_id, number), content)
        return unable

    def collection(self, number: int) -> LocalCollectionRecord | None:
        """Return a collection's record from the cache; None when there is none that is whole."""
        if number not in self._records:
            try:
                self._records[number] = self.cache.read_collection(number)
            except VerificationError:
                self._records[number] = None
        return self._records[number]

    # -- what is fetched ---------------------------------------------------------------------

    def wanted_images(self, records: Iterable[ImageRecord]) -> list[WantedImage]:
        """Return those of these images that are not here, each with what is to be done.

        Parameters
        ----------
        records : iterable of ImageRecord
            The server's, cleaned.
        """
        new = [record for record in records if record["id"] not in self.here]
        collection_of = {record["id"]: record["collection_id"] for record in new}
        files = {n: c for n, c in collection_of.items() if self.check.path(c, n).is_file()}
        if self.settings.overwrite:
            problems = dict.fromkeys(files, "here, to be fetched anew")
        else:
            problems = self.check.volumes(files)
        return [
            WantedImage(
                record["collection_id"],
                record,
                here=record["id"] in files and record["id"] not in problems,
                replaces=problems.get(record["id"], ""),
            )
            for record in new
        ]

    def write_collections(self, numbers: Iterable[int]) -> None:
        """Write the records of collections that came from the server."""
        for number in dict.fromkeys(numbers):
            record = self.finder.collections.get(number)
            if record is not None and (self.settings.overwrite or self.collection(number) is None):
                self.cache.write_collection(record)
                self._records.pop(number, None)

    def fetch_images(self, images: Sequence[WantedImage], first: Callable[[], None]) -> None:
        """Fetch the volumes of these images; those that came are here from now on.

        Parameters
        ----------
        images : sequence of WantedImage
        first : callable
            Writes what must be there before an image's record is. It is called while the first
            volumes are on their way, or alone where there are none.
        """
        Folder.made(self.cache.root).close()
        if self.connections is None or not images:
            first()
            return
        report = fetch_volumes(images, self.cache, self.connections, self.settings, first)
        for image, outcome in zip(images, report.outcomes, strict=True):
            number = image.image_id
            if outcome.ok:
                self.outcomes[number] = outcome
                record = self.cache.with_paths(image.record, image.collection_id)
                self.here[number] = LocalImage(image.collection_id, record)
                self.damaged.pop(number, None)
            else:
                failed = _failed(outcome, image.record)
                self.outcomes[number] = failed
                self.problems.append(Problem("image", number, failed.reason))

    # -- what comes out ----------------------------------------------------------------------

    def report(self, order: Iterable[int]) -> Report:
        """Return one outcome for each image in this order, then one for each problem."""
        self.check.write_receipts()
        rows = [self.outcomes.get(n) or self._kept(n) for n in order if n in self.here]
        for problem in self.problems:
            tried = self.outcomes.get(problem.number) if problem.kind == "image" else None
            rows.append(problem.outcome if tried is None else tried)
        seconds = time.monotonic() - self._began
        return Report(Path(os.path.abspath(self.cache.root)), tuple(rows), self.notes, seconds)

    def plan(self, images: Sequence[WantedImage], order: Iterable[int]) -> Plan:
        """Return what would be done; nothing is fetched."""
        base, resampled = api_url("NEUROVAULT_API_URL"), self.settings.resample
        plan = plan_images(images, self.cache, base, resampled=resampled)
        steps = {image.image_id: step for image, step in zip(images, plan.steps, strict=True)}
        for number, local in self.here.items():
            image = WantedImage(local.collection_id, local.record)
            want = image.want(self.cache, base, resampled=resampled)
            steps[number] = Step(
                want, Action.KEEP, "here, whole", verification=VerificationLevel.CONTENT
            )
        rows = tuple(steps[number] for number in order if number in steps)
        notes = tuple(f"{p.outcome.path}: {plain(p.cause)}" for p in self.problems)
        return Plan(plan.root, rows, self.notes + notes, plan.free)

    def _kept(self, number: int) -> Outcome:
        local = self.here[number]
        path = self.check.path(local.collection_id, number)
        size = local.record.get("file_size")
        return Outcome(
            f"{path.parent.name}/{path.name}",
            f"images/{number}/",
            Status.KEPT,
            "here, whole",
            size if isinstance(size, int) else 0,
            verification=VerificationLevel.CONTENT,
        )


def _failed(outcome: Outcome, record: ImageRecord) -> Outcome:
    """Return the outcome of an image that did not come, with what its record says about it."""
    reason = plain(outcome.reason)
    if record.get("file_size") == 0:
        reason += " (by its record, file_size 0, the server has no file)"
    return replace(outcome, status=Status.FAILED, reason=reason)
