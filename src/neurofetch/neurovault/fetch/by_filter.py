"""Fetch by filters: what is here first, then collection after collection from the server."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from neurofetch.errors import NeurofetchError
from neurofetch.neurovault.filters import (
    Filter,
    IsIn,
    ResultFilter,
    empty_filter,
)
from neurofetch.neurovault.problems import Problem, cause_of
from neurofetch.neurovault.records import clean
from neurofetch.neurovault.server.api import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from neurofetch.neurovault.fetch.call import Errand
    from neurofetch.neurovault.fetch.volumes import Item
    from neurofetch.neurovault.records import CollectionRecord, ImageRecord, LocalImageRecord

__all__ = ["ByFilter", "Filters"]

_FIRST_PAGE = 100
"""Collections asked for at once when only some images are wanted."""
_ON_SERVER = ("DOI", "name", "owner")
"""Terms that the server once understood: sent along, and checked here all the same."""
_WAVE = 2000
"""Images whose volumes are moved in one go."""


@dataclass(frozen=True)
class Filters:
    """What collections and images must be.

    Parameters
    ----------
    collection_terms, image_terms : mapping
    collection_filter, image_filter : callable
    max_images : int or None
    """

    collection_terms: Mapping[str, object]
    image_terms: Mapping[str, object]
    collection_filter: Filter = empty_filter
    image_filter: Filter = empty_filter
    max_images: int | None = None

    @classmethod
    def of(
        cls,
        max_images: int | None,
        collection_terms: Mapping[str, object],
        collection_filter: Filter,
        image_terms: Mapping[str, object],
        image_filter: Filter,
    ) -> Filters:
        """Return filters in which the collection's id is asked of the collection."""
        images, collections = dict(image_terms), dict(collection_terms)
        if "collection_id" in images:
            wanted = images["collection_id"]
            if "id" not in collections or collections["id"] == wanted:
                collections["id"] = images.pop("collection_id")
            else:
                warnings.warn(
                    f"collection_id={wanted!r} and the collection term id={collections['id']!r} "
                    "contradict each other: an image must fulfil both.",
                    UserWarning,
                    stacklevel=3,
                )
        limit = None if max_images is None or max_images < 0 else int(max_images)
        return cls(collections, images, collection_filter, image_filter, limit)

    def collection(self, record: CollectionRecord) -> bool:
        """Say whether a collection passes."""
        return ResultFilter(self.collection_terms, self.collection_filter)(record)

    def image(self, record: ImageRecord) -> bool:
        """Say whether an image passes."""
        return ResultFilter(self.image_terms, self.image_filter)(record)

    @property
    def collection_ids(self) -> list[int] | None:
        """The collections that alone can pass; None when it may be any."""
        return _ids(self.collection_terms.get("id"))

    @property
    def image_ids(self) -> list[int] | None:
        """The images that alone can pass; None when it may be any."""
        return _ids(self.image_terms.get("id"))

    @property
    def on_server(self) -> dict[str, str]:
        """The terms that are sent along."""
        terms = {key: self.collection_terms.get(key) for key in _ON_SERVER}
        return {k: str(v) for k, v in terms.items() if isinstance(v, str | int)}


def _ids(wanted: object) -> list[int] | None:
    """Return the ids that a term names; None when it is no such term."""
    values = wanted.accepted_ if isinstance(wanted, IsIn) else (wanted,)
    numbers = [int(v) for v in values if isinstance(v, int) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(values) and numbers else None


@dataclass
class ByFilter:
    """What is asked for by filters.

    Parameters
    ----------
    errand : Errand
    filters : Filters
    """

    errand: Errand
    filters: Filters
    found: dict[int, None] = field(default_factory=dict)

    @property
    def lacking(self) -> int | None:
        """How many images are still wanted; None for all."""
        limit = self.filters.max_images
        return None if limit is None else max(0, limit - len(self.found))

    def look(self) -> None:
        """Find the images that are here and pass, by collection and id."""
        errand, only = self.errand, self.filters.collection_ids
        for number in errand.cache.collection_ids() if only is None else only:
            if self.lacking == 0:
                return
            record = errand.collection(number)
            if record is not None and self.filters.collection(record):
                self._look_into(number)

    def _look_into(self, number: int) -> None:
        errand = self.errand
        records: dict[int, LocalImageRecord] = {}
        for image in errand.cache.image_ids(number):
            record = self._readable(number, image)
            if record is not None and self.filters.image(record):
                records[image] = record
        errand.look(dict.fromkeys(records, number), records)
        good = [image for image in records if image in errand.held]
        self.found |= dict.fromkeys(good[: self.lacking])

    def _readable(self, collection_id: int, image_id: int) -> LocalImageRecord | None:
        try:
            return self.errand.cache.read_image(collection_id, image_id)
        except NeurofetchError as error:
            self.errand.bad[image_id] = str(error)
            return None

    def name_missing(self) -> None:
        """Name what passes the filters and is damaged here, and did not come anew."""
        named = {problem.number for problem in self.errand.problems}
        for number, cause in self.errand.bad.items():
            if number not in named:
                self.errand.problems.append(Problem("image", number, cause))

    # -- the server --------------------------------------------------------------------------

    def fetch(self) -> None:
        """Go through the server's collections until there are enough images."""
        errand = self.errand
        failures = 0
        for items in self._batches():
            failures = self._move(items, failures)
            if self.lacking == 0 or self._too_many(failures):
                break
        if self._too_many(failures):
            errand.notes += (f"Stopped early: {failures} images in a row could not be fetched.",)
        errand.problems += errand.finder.problems
        errand.finder.problems = []
        if self.lacking != 0:
            self.name_missing()

    def _batches(self) -> Iterator[list[Item]]:
        """Yield images that pass, as many at a time as are wanted, or as are moved in one go."""
        if self.filters.image_ids is not None:
            yield self._by_id(self.filters.image_ids)
            return
        collections = self._collections()
        items: list[Item] = []
        while wave := list(islice(collections, self.errand.settings.connections)):
            items += self._items(wave)
            if len(items) >= min(_WAVE, _WAVE if self.lacking is None else self.lacking):
                yield items
                items = []
        yield items

    def _by_id(self, numbers: list[int]) -> list[Item]:
        """Return those of these images that pass and are not found yet."""
        finder, filters = self.errand.finder, self.filters
        found = finder.images([number for number in numbers if number not in self.found])
        finder.records(record["collection_id"] for record in found.values())
        good = []
        for record in found.values():
            collection = finder.collections.get(record["collection_id"])
            if collection is not None and filters.image(record) and filters.collection(collection):
                good.append(record)
        return self.errand.items(good)

    def _move(self, items: list[Item], failures: int) -> int:
        """Fetch images until there are enough; return the failures in a row at the end."""
        errand = self.errand
        while items and self.lacking != 0 and not self._too_many(failures):
            size = _WAVE if self.lacking is None else min(_WAVE, self.lacking)
            batch, items = items[:size], items[size:]
            errand.write_collections(item.collection_id for item in batch)
            errand.move(batch)
            for item in batch:
                if item.image_id in errand.held:
                    self.found[item.image_id] = None
                    failures = 0
                else:
                    failures += 1
        return failures

    def _too_many(self, failures: int) -> bool:
        limit = self.errand.settings.max_failures
        return limit is not None and failures >= limit

    def _items(self, collections: list[int]) -> list[Item]:
        """Return the images of these collections that pass and are not found yet."""
        errand = self.errand
        lists = errand.finder.whole(collections, collections)
        records: list[ImageRecord] = []
        for number, members in lists.items():
            errand.problems += [p for p in members.problems if p.number not in errand.held]
            if members.clean and errand.cache.root.is_dir():
                errand.marks.write(number, members.records)
            records += [r for r in members.records.values() if self.filters.image(r)]
        return errand.items(record for record in records if record["id"] not in self.found)

    def _collections(self) -> Iterator[int]:
        """Yield the collections that pass and may hold what is not here."""
        for record in self._records():
            number = record["id"]
            self.errand.finder.collections[number] = record
            if self.filters.collection(record) and not self._complete(number):
                yield number

    def _complete(self, number: int) -> bool:
        """Whether all that a collection has is here, and was looked at."""
        if self.errand.settings.overwrite:
            return False
        mark = self.errand.marks.read(number)
        return mark is not None and all(image in self.found for image in mark)

    def _records(self) -> Iterator[CollectionRecord]:
        errand, only = self.errand, self.filters.collection_ids
        if only is not None:
            failed = errand.finder.records(only)
            problems = [Problem("collection", n, failed[n]) for n in only if n in failed]
            errand.problems += problems
            yield from [errand.finder.collections[n] for n in only if n not in failed]
            return
        limit = PAGE if self.filters.max_images is None else _FIRST_PAGE
        scroll = errand.finder.server.collections(limit, **self.filters.on_server)
        try:
            for page in scroll:
                yield from map(clean, page)
        except NeurofetchError as error:
            errand.problems.append(Problem("collection", 0, cause_of(error), "the collections"))
        for broken in scroll.broken:
            name = f"the collection at place {broken.offset + 1} of the list"
            cause = "the server cannot show its record (500)"
            errand.problems.append(Problem("collection", 0, cause, name))
