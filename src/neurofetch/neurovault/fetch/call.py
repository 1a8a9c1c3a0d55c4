"""One call: what is here, what the server must be asked, what moves, what comes out of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch.errors import VerificationError
from neurofetch.model import Action, Outcome, Plan, Report, Status, Step, VerificationLevel
from neurofetch.neurovault.cache.check import Held, Shelf
from neurofetch.neurovault.cache.collection_lists import Marks
from neurofetch.neurovault.cache.layout import write_atomically
from neurofetch.neurovault.fetch.resample import resampled_bytes
from neurofetch.neurovault.fetch.volumes import Item, Volumes, make_root, plan_of
from neurofetch.neurovault.problems import Problem, plain
from neurofetch.neurovault.server.finder import Finder
from neurofetch.neurovault.settings import api_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import ImageRecord, LocalCollectionRecord, LocalImageRecord
    from neurofetch.neurovault.server.api import Session
    from neurofetch.neurovault.settings import Settings

__all__ = ["Errand"]


@dataclass
class Errand:
    """What one call has found and done so far.

    Parameters
    ----------
    cache : Cache
    settings : Settings
    session : Session or None
        None: nobody is asked and nothing is written.

    Attributes
    ----------
    held : dict of int to Held
        The images that are there, whole, by id.
    problems : list of Problem
    outcomes : dict of int to Outcome
        What the engine did, by image id.
    notes : tuple of str
    words_lost : str
        What Neurosynth did not give, in words; "" when there is nothing to say.
    """

    cache: Cache
    settings: Settings
    session: Session | None = None
    held: dict[int, Held] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    words_lost: str = ""
    began: float = field(default_factory=time.monotonic)
    _records: dict[int, LocalCollectionRecord | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.marks = Marks(self.cache.root)
        self.shelf = Shelf(
            self.cache, write=not self.settings.offline, resampled=self.settings.resample
        )
        self._finder: Finder | None = None

    @property
    def finder(self) -> Finder:
        """The one who asks the server."""
        if self._finder is None:
            if self.session is None:
                msg = "nobody is to be asked"
                raise RuntimeError(msg)
            self._finder = Finder(self.session.neurovault)
        return self._finder

    # -- what is here ------------------------------------------------------------------------

    def look(
        self, places: Mapping[int, int], records: Mapping[int, LocalImageRecord] | None = None
    ) -> None:
        """Look at images that may be here.

        Parameters
        ----------
        places : mapping of int to int
            Image id to collection id.
        records : mapping of int to LocalImageRecord, optional
            Records that were read already.
        """
        new = {n: c for n, c in places.items() if n not in self.held}
        if self.settings.resample and not self.settings.offline:
            self._resample_what_is_here(new)
        looked = self.shelf.look(new, records)
        self.held |= looked.good
        self.bad |= looked.bad

    def _resample_what_is_here(self, places: Mapping[int, int]) -> None:
        """Make the resampled volumes of those images whose own volume is here."""
        lacking = {
            number: collection_id
            for number, collection_id in places.items()
            if not self.cache.resampled(collection_id, number).is_file()
            and self.cache.image(collection_id, number).is_file()
        }
        problems = Shelf(self.cache, write=True).problems(lacking)
        for number, collection_id in lacking.items():
            if number not in problems:
                source = self.cache.image(collection_id, number)
                content = resampled_bytes(source, self.settings.interpolation)
                write_atomically(self.cache.resampled(collection_id, number), content)

    def collection(self, number: int) -> LocalCollectionRecord | None:
        """Return a collection's record from the disk; None when there is no whole one."""
        if number not in self._records:
            try:
                self._records[number] = self.cache.read_collection(number)
            except VerificationError:
                self._records[number] = None
        return self._records[number]

    # -- what moves --------------------------------------------------------------------------

    def items(self, records: Iterable[ImageRecord]) -> list[Item]:
        """Return the images among these that are not held, each with what is to be done.

        Parameters
        ----------
        records : iterable of ImageRecord
            The server's, cleaned, with their ``collection_id``.
        """
        new = [record for record in records if record["id"] not in self.held]
        places = {record["id"]: record["collection_id"] for record in new}
        there = {n: c for n, c in places.items() if self.shelf.path(c, n).is_file()}
        if self.settings.overwrite:
            problems = dict.fromkeys(there, "here, to be fetched anew")
        else:
            problems = self.shelf.problems(there)
        return [
            Item(
                record["collection_id"],
                record,
                here=record["id"] in there and record["id"] not in problems,
                replaces=problems.get(record["id"], ""),
            )
            for record in new
        ]

    def write_collections(self, numbers: Iterable[int]) -> None:
        """Write the records of collections that the server gave."""
        make_root(self.cache)
        for number in dict.fromkeys(numbers):
            record = self.finder.collections.get(number)
            if record is not None and (self.settings.overwrite or self.collection(number) is None):
                self.cache.write_collection(record)
                self._records.pop(number, None)

    def move(self, items: Sequence[Item]) -> None:
        """Fetch the volumes of these images, and hold them."""
        if self.session is None or not items:
            return
        report = Volumes(self.cache, self.session, self.settings).move(items)
        for item, outcome in zip(items, report.outcomes, strict=True):
            number = item.image_id
            self.outcomes[number] = self._explained(outcome, item.record)
            if outcome.ok:
                record = self.cache.with_paths(item.record, item.collection_id)
                self.held[number] = Held(item.collection_id, record)
                self.bad.pop(number, None)
            else:
                cause = self.outcomes[number].reason
                self.problems.append(Problem("image", number, cause))

    @staticmethod
    def _explained(outcome: Outcome, record: ImageRecord) -> Outcome:
        """Say more of a failure where the record tells it; what is not there has failed."""
        if outcome.ok:
            return outcome
        reason = plain(outcome.reason)
        if record.get("file_size") == 0:
            reason += " (by its record, file_size 0, the server has no file)"
        return replace(outcome, status=Status.FAILED, reason=reason)

    # -- what comes out ----------------------------------------------------------------------

    def report(self, order: Iterable[int]) -> Report:
        """Return one outcome an image, in this order, and those of what could not be had."""
        self.shelf.adopt()
        wanted = list(order)
        rows = [self.outcomes.get(n) or self._kept(n) for n in wanted if n in self.held]
        rows += [self._failed(problem) for problem in self.problems]
        seconds = time.monotonic() - self.began
        return Report(Path(os.path.abspath(self.cache.root)), tuple(rows), self.notes, seconds)

    def plan(self, items: Sequence[Item], order: Iterable[int]) -> Plan:
        """Return what would be done, nothing being fetched."""
        base, resampled = api_url("NEUROVAULT_API_URL"), self.settings.resample
        made = plan_of(items, self.cache, base, resampled=resampled)
        steps = {item.image_id: step for item, step in zip(items, made.steps, strict=True)}
        for number, held in self.held.items():
            item = Item(held.collection_id, held.record)
            want = item.want(self.cache, base, resampled=resampled)
            steps[number] = Step(
                want, Action.KEEP, "here, whole", verification=VerificationLevel.CONTENT
            )
        rows = tuple(steps[number] for number in order if number in steps)
        notes = tuple(f"{p.outcome.path}: {plain(p.cause)}" for p in self.problems)
        return Plan(made.root, rows, self.notes + notes, made.free)

    def _failed(self, problem: Problem) -> Outcome:
        tried = self.outcomes.get(problem.number) if problem.kind == "image" else None
        return problem.outcome if tried is None else tried

    def _kept(self, number: int) -> Outcome:
        held = self.held[number]
        path = self.shelf.path(held.collection_id, number)
        size = held.record.get("file_size")
        return Outcome(
            f"{path.parent.name}/{path.name}",
            f"images/{number}/",
            Status.KEPT,
            "here, whole",
            size if isinstance(size, int) else 0,
            verification=VerificationLevel.CONTENT,
        )
