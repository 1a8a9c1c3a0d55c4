"""Fetch by ids: whole collections, then single images, in the order asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch.neurovault.cache.index import locate
from neurofetch.neurovault.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neurofetch.neurovault.fetch.call import Call
    from neurofetch.neurovault.fetch.volumes import WantedImage
    from neurofetch.neurovault.records import ImageRecord
    from neurofetch.neurovault.server.finder import CollectionImages

__all__ = ["ByIds"]

_NOT_HERE = "not in the cache"
_EMPTY = "there is no image in it on the server: it was emptied, or is not filled yet"


@dataclass
class ByIds:
    """What is asked for by ids.

    Parameters
    ----------
    call : Call
    collection_ids, image_ids : tuple of int
        Unique, in the caller's order.
    """

    call: Call
    collection_ids: tuple[int, ...]
    image_ids: tuple[int, ...]
    _known: dict[int, list[int]] = field(default_factory=dict)
    _listed: set[int] = field(default_factory=set)
    _from_server: dict[int, CollectionImages] = field(default_factory=dict)
    _without_record: list[int] = field(default_factory=list)

    # -- what is here ------------------------------------------------------------------------

    def check_cache(self) -> None:
        """Check which of the images are in the cache and complete."""
        call = self.call
        collection_of: dict[int, int] = {}
        for number in self.collection_ids:
            here, listed = call.cache.image_ids(number), call.lists.read(number)
            if listed is not None:  # read once: another process may write it meanwhile
                self._listed.add(number)
            self._known[number] = sorted({*here, *(listed or ())})
            collection_of |= dict.fromkeys(self._known[number], number)
        others = [number for number in self.image_ids if number not in collection_of]
        collection_of |= locate(call.cache, others, write=not call.settings.offline)
        call.check_images(collection_of)

    @property
    def incomplete_collections(self) -> list[int]:
        """The collections of which something is missing, or may be missing."""
        return [number for number in self.collection_ids if not self._complete(number)]

    @property
    def missing_images(self) -> list[int]:
        """The single images that are not here."""
        return [number for number in self.image_ids if number not in self.call.here]

    @property
    def collections_without_record(self) -> list[int]:
        """The collections of images that are here whose own record is missing or torn."""
        call = self.call
        numbers = dict.fromkeys(image.collection_id for image in call.here.values())
        return [number for number in numbers if call.collection(number) is None]

    @property
    def incomplete(self) -> bool:
        """Whether the server must be asked for records or volumes."""
        return bool(
            self.incomplete_collections or self.missing_images or self.collections_without_record
        )

    def _complete(self, number: int) -> bool:
        if number not in self._listed or self.call.collection(number) is None:
            return False
        if not self._known[number]:  # it may have been filled since
            return False
        return all(image in self.call.here for image in self._known[number])

    def note_missing(self) -> None:
        """Make problems of what is not here, for a call that asks no server."""
        call = self.call
        for number in self.collection_ids:
            known = self._known.get(number, [])
            if not known:
                here = call.collection(number) is not None
                cause = "no image of it is in the cache" if here else _NOT_HERE
                call.problems.append(Problem("collection", number, cause))
            self._note_images(image for image in known if image not in call.here)
        self._note_images(self.missing_images)

    def _note_images(self, numbers: Iterable[int]) -> None:
        noted = {p.number for p in self.call.problems if p.kind == "image"}
        for number in dict.fromkeys(numbers):
            if number not in noted:
                cause = self.call.damaged.get(number, _NOT_HERE)
                self.call.problems.append(Problem("image", number, cause))

    # -- what the server is asked ------------------------------------------------------------

    def ask_server(self) -> list[WantedImage]:
        """Ask the server for all records that are missing; return the images to fetch."""
        call, finder = self.call, self.call.finder
        todo = self.incomplete_collections
        known = [] if call.settings.overwrite else [n for n in todo if call.collection(n)]
        self._from_server = finder.collection_images(todo, known)
        records: dict[int, ImageRecord] = {}
        for number, images in self._from_server.items():
            records |= images.records
            call.problems += [p for p in images.problems if p.number not in call.here]
            self._note_images(n for n in self._known.get(number, ()) if self._lost(n, images))
            if images.complete:
                self._note_gone(number, images)
        noted = {p.number for p in call.problems if p.kind == "image"}
        numbers = [n for n in self.missing_images if n not in records and n not in noted]
        singles = finder.images(numbers) if numbers else {}
        self._ask_for_collections(singles)
        without = [n for n in self.collections_without_record if n not in self._from_server]
        failed = finder.collection_records(without)
        call.problems += [Problem("collection", n, failed[n]) for n in without if n in failed]
        self._without_record = without
        call.problems += finder.problems
        finder.problems = []
        in_order = [singles[n] for n in numbers if n in singles]
        return call.wanted_images([*records.values(), *in_order])

    def _lost(self, number: int, images: CollectionImages) -> bool:
        """Whether an image is damaged here, and the server does not have it any more."""
        return images.complete and number in self.call.damaged and number not in images.records

    def _note_gone(self, number: int, images: CollectionImages) -> None:
        """Make a problem of an emptied collection; with "overwrite", tell what is only here now."""
        call = self.call
        here = [n for n in call.cache.image_ids(number) if n not in images.records]
        some = "1 image that it had is" if len(here) == 1 else f"{len(here)} images that it had are"
        kept = f"{some} in the cache: see mode='offline'"
        if not images.records:
            cause = f"{_EMPTY}. {kept}" if here else _EMPTY
            call.problems.append(Problem("collection", number, cause))
        elif here and call.settings.overwrite:
            call.notes += (f"Collection {number} has fewer images on the server now. {kept}.",)

    def _ask_for_collections(self, images: dict[int, ImageRecord]) -> None:
        """Ask for the records of these images' collections; drop the images that have none."""
        call = self.call
        needed = dict.fromkeys(record["collection_id"] for record in images.values())
        again = call.settings.overwrite
        unknown = [n for n in needed if again or call.collection(n) is None]
        failed = call.finder.collection_records(unknown) if unknown else {}
        for number, record in list(images.items()):
            cause = failed.get(record["collection_id"])
            if cause is not None and record["collection_id"] in unknown:
                del images[number]
                text = f"its collection {record['collection_id']}: {cause}"
                call.problems.append(Problem("image", number, text))

    def fetch(self, images: list[WantedImage]) -> None:
        """Fetch the volumes, and write the collections' records and lists meanwhile."""
        self.call.fetch_images(images, lambda: self._write_collections(images))

    def _write_collections(self, images: list[WantedImage]) -> None:
        call = self.call
        numbers = (image.collection_id for image in images)
        call.write_collections([*self._from_server, *self._without_record, *numbers])
        for number, found in self._from_server.items():
            if found.complete:
                call.lists.write(number, found.records)

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
            listed = self._from_server[number].records if number in self._from_server else ()
            wanted |= dict.fromkeys(sorted({*self._known.get(number, ()), *listed}))
        wanted |= dict.fromkeys(self.image_ids)
        return [number for number in wanted if every or number in self.call.here]
