"""Fetch by ids: whole collections, then single images, in the order asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch.neurovault.cache.index import locate
from neurofetch.neurovault.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neurofetch.neurovault.fetch.call import Errand
    from neurofetch.neurovault.fetch.volumes import Item
    from neurofetch.neurovault.records import ImageRecord
    from neurofetch.neurovault.server.finder import Members

__all__ = ["ByIds"]

_NOT_HERE = "not in the cache"


@dataclass
class ByIds:
    """What is asked for by ids.

    Parameters
    ----------
    errand : Errand
    collection_ids, image_ids : tuple of int
        Unique, in the caller's order.
    """

    errand: Errand
    collection_ids: tuple[int, ...]
    image_ids: tuple[int, ...]
    _known: dict[int, list[int]] = field(default_factory=dict)
    _marked: set[int] = field(default_factory=set)
    _lists: dict[int, Members] = field(default_factory=dict)
    _bare: list[int] = field(default_factory=list)

    # -- what is here ------------------------------------------------------------------------

    def look(self) -> None:
        """Look at what of it is here."""
        errand = self.errand
        places: dict[int, int] = {}
        for number in self.collection_ids:
            here, mark = errand.cache.image_ids(number), errand.marks.read(number)
            if mark is not None:  # read once: another process may write it while we look
                self._marked.add(number)
            self._known[number] = sorted({*here, *(mark or ())})
            places |= dict.fromkeys(self._known[number], number)
        others = [number for number in self.image_ids if number not in places]
        places |= locate(errand.cache, others, write=not errand.settings.offline)
        errand.look(places)

    @property
    def open_collections(self) -> list[int]:
        """The collections of which something is missing, or may be."""
        return [number for number in self.collection_ids if not self._complete(number)]

    @property
    def open_images(self) -> list[int]:
        """The images that are not here."""
        return [number for number in self.image_ids if number not in self.errand.held]

    @property
    def bare_collections(self) -> list[int]:
        """The collections of images that are here whose own record is not, or is torn."""
        errand = self.errand
        numbers = dict.fromkeys(held.collection_id for held in errand.held.values())
        return [number for number in numbers if errand.collection(number) is None]

    @property
    def anything_open(self) -> bool:
        """Whether the server must be asked for records or volumes."""
        return bool(self.open_collections or self.open_images or self.bare_collections)

    def _complete(self, number: int) -> bool:
        errand = self.errand
        if number not in self._marked or errand.collection(number) is None:
            return False
        return all(image in errand.held for image in self._known[number])

    def name_missing(self) -> None:
        """Name what is not here, for a call that asks nobody."""
        errand, problems = self.errand, self.errand.problems
        for number in self.collection_ids:
            known = self._known.get(number, [])
            if not known and errand.collection(number) is None:
                problems.append(Problem("collection", number, _NOT_HERE))
            self._name(image for image in known if image not in errand.held)
        self._name(self.open_images)

    def _name(self, numbers: Iterable[int]) -> None:
        named = {p.number for p in self.errand.problems if p.kind == "image"}
        for number in dict.fromkeys(numbers):
            if number not in named:
                cause = self.errand.bad.get(number, _NOT_HERE)
                self.errand.problems.append(Problem("image", number, cause))

    # -- what the server is asked ------------------------------------------------------------

    def ask(self) -> list[Item]:
        """Ask the server for all records that are missing; return the images to fetch."""
        errand, finder = self.errand, self.errand.finder
        todo = self.open_collections
        keep = [] if errand.settings.overwrite else [n for n in todo if errand.collection(n)]
        self._lists = finder.whole(todo, keep)
        records: dict[int, ImageRecord] = {}
        for number, members in self._lists.items():
            records |= members.records
            errand.problems += [p for p in members.problems if p.number not in errand.held]
            self._name(n for n in self._known.get(number, ()) if self._lost(n, members))
        broken = {p.number for p in errand.problems if p.kind == "image"}
        singles = [n for n in self.open_images if n not in records and n not in broken]
        single = finder.images(singles) if singles else {}
        self._ask_for_collections(single)
        self._bare = [n for n in self.bare_collections if n not in self._lists]
        failed = finder.records(self._bare)
        errand.problems += [Problem("collection", n, failed[n]) for n in self._bare if n in failed]
        errand.problems += finder.problems
        finder.problems = []
        return errand.items([*records.values(), *(single[n] for n in singles if n in single)])

    def _lost(self, number: int, members: Members) -> bool:
        """Whether an image is damaged here and not on the server any more."""
        return members.clean and number in self.errand.bad and number not in members.records

    def _ask_for_collections(self, images: dict[int, ImageRecord]) -> None:
        """See that each image's collection has a record; an image without is a problem."""
        errand = self.errand
        needed = dict.fromkeys(record["collection_id"] for record in images.values())
        fresh = errand.settings.overwrite
        unknown = [n for n in needed if fresh or errand.collection(n) is None]
        failed = errand.finder.records(unknown) if unknown else {}
        for number, record in list(images.items()):
            cause = failed.get(record["collection_id"])
            if cause is not None and record["collection_id"] in unknown:
                del images[number]
                text = f"its collection {record['collection_id']}: {cause}"
                errand.problems.append(Problem("image", number, text))

    def fetch(self, items: list[Item]) -> None:
        """Write the collections' records and lists, then move the volumes."""
        errand = self.errand
        numbers = (item.collection_id for item in items)
        errand.write_collections([*self._lists, *self._bare, *numbers])
        for number, members in self._lists.items():
            if members.clean:
                errand.marks.write(number, members.records)
        errand.move(items)

    # -- what comes out ----------------------------------------------------------------------

    def order(self, *, every: bool = False) -> list[int]:
        """Return the ids of the images in the caller's order, each once.

        Parameters
        ----------
        every : bool
            Also those that are not here.
        """
        wanted: dict[int, None] = {}
        for number in self.collection_ids:
            listed = self._lists[number].records if number in self._lists else ()
            wanted |= dict.fromkeys(sorted({*self._known.get(number, ()), *listed}))
        wanted |= dict.fromkeys(self.image_ids)
        return [number for number in wanted if every or number in self.errand.held]
