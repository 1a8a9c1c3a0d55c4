"""Fetch by filters: first what is here, then collection after collection from the server."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, SupportsInt, TypeGuard

from neurofetch.errors import NeurofetchError, UsageError
from neurofetch.neurovault.fetch.seen import Seen
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

    from neurofetch.neurovault.fetch.call import Call
    from neurofetch.neurovault.fetch.volumes import WantedImage
    from neurofetch.neurovault.records import CollectionRecord, ImageRecord, LocalImageRecord

__all__ = ["ByFilter", "Filters"]

_FIRST_PAGE = 100
"""Collections to ask for at once when only some images are wanted."""
_SENT_ALONG = ("DOI", "name", "owner")
"""Terms that the server documents. Today's server ignores them; they are checked here too."""
_BATCH = 2000
"""Images whose volumes are fetched together."""


@dataclass(frozen=True)
class Filters:
    """What collections and images must be.

    Parameters
    ----------
    collection_terms, image_terms : mapping
    collection_filter, image_filter : callable
    max_images : int or None
        None: all that pass.
    """

    collection_terms: Mapping[str, object]
    image_terms: Mapping[str, object]
    collection_filter: Filter = empty_filter
    image_filter: Filter = empty_filter
    max_images: int | None = None
    _images: Seen = field(default_factory=lambda: Seen("image"), compare=False)
    _collections: Seen = field(default_factory=lambda: Seen("collection"), compare=False)

    @classmethod
    def of(
        cls,
        max_images: int | None,
        collection_terms: Mapping[str, object],
        collection_filter: Filter,
        image_terms: Mapping[str, object],
        image_filter: Filter,
    ) -> Filters:
        """Return filters in which an image term ``collection_id`` is a collection term ``id``.

        Raises
        ------
        UsageError
            If `max_images` is no number of images.

        Warns
        -----
        UserWarning
            When the two name different collections.
        """
        limit = _limit(max_images)
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
        return cls(collections, images, collection_filter, image_filter, limit)

    def collection(self, record: CollectionRecord) -> bool:
        """Say whether a collection passes."""
        with _naming("collection", record):
            self._collections.note(record, self.collection_terms)
            return ResultFilter(self.collection_terms, self.collection_filter)(record)

    def image(self, record: ImageRecord) -> bool:
        """Say whether an image passes."""
        with _naming("image", record):
            self._images.note(record, self.image_terms)
            return ResultFilter(self.image_terms, self.image_filter)(record)

    def why_nothing(self) -> str:
        """Return why nothing passed, as far as that is known from what was looked at."""
        images, collections = self._images, self._collections
        lines = [
            f"No image passes the filters. {collections.number:,} collections and "
            f"{images.number:,} images were looked at, and nothing was fetched.",
            *collections.problems(self.collection_terms),
            *images.problems(self.image_terms),
        ]
        return "\n".join(lines)

    @property
    def collection_ids(self) -> list[int] | None:
        """The only collections that can pass; None when any may."""
        return _ids(self.collection_terms.get("id"))

    @property
    def image_ids(self) -> list[int] | None:
        """The only images that can pass; None when any may."""
        return _ids(self.image_terms.get("id"))

    @property
    def sent_along(self) -> dict[str, str]:
        """The terms that are sent to the server."""
        terms = {key: self.collection_terms.get(key) for key in _SENT_ALONG}
        return {k: str(v) for k, v in terms.items() if isinstance(v, str | int)}


def _ids(wanted: object) -> list[int] | None:
    """Return the ids that a term names; None when it is no such term."""
    values = wanted.accepted_ if isinstance(wanted, IsIn) else (wanted,)
    numbers = [int(v) for v in values if _is_whole(v)]
    return list(dict.fromkeys(numbers)) if len(numbers) == len(values) and numbers else None


def _is_whole(value: object) -> TypeGuard[SupportsInt]:
    """Say whether a value is a whole number, NumPy's included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(value) and float(value).is_integer()


def _limit(max_images: object) -> int | None:
    """Return the most images that are wanted; None for all that pass."""
    if max_images is None:
        return None
    if not _is_whole(max_images):
        raise UsageError(
            f"max_images must be a whole number such as 100, or None for all, not {max_images!r}. "
            "Nothing was fetched."
        )
    return None if (number := int(max_images)) < 0 else number


@contextmanager
def _naming(kind: str, record: Mapping[str, object]) -> Iterator[None]:
    """Name the record at which a filter of the user's raised an error.

    Raises
    ------
    UsageError
    """
    try:
        yield
    except NeurofetchError:
        raise
    except Exception as exc:  # whatever a function of the user's raises
        said = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        raise UsageError(
            f"A filter failed at {kind} {record.get('id')} ({record.get('name')!r}): {said}. "
            "Fields of a record may be None or missing: record.get('name') gives None for both."
        ) from exc


@dataclass
class ByFilter:
    """What is asked for by filters.

    Parameters
    ----------
    call : Call
    filters : Filters
    found : dict of int to None
        The ids of the images that pass and are here, in order.
    """

    call: Call
    filters: Filters
    found: dict[int, None] = field(default_factory=dict)

    @property
    def lacking(self) -> int | None:
        """How many images are still wanted; None for all that pass."""
        limit = self.filters.max_images
        return None if limit is None else max(0, limit - len(self.found))

    # -- what is here ------------------------------------------------------------------------

    def check_cache(self) -> None:
        """Find the images in the cache that pass, by collection and id."""
        call, only = self.call, self.filters.collection_ids
        for number in call.cache.collection_ids() if only is None else only:
            if self.lacking == 0:
                return
            record = call.collection(number)
            if record is not None and self.filters.collection(record):
                self._check_collection(number)

    def _check_collection(self, number: int) -> None:
        call = self.call
        records: dict[int, LocalImageRecord] = {}
        for image_id in call.cache.image_ids(number):
            try:
                record = call.cache.read_image(number, image_id)
            except NeurofetchError as error:
                call.damaged[image_id] = str(error)
                continue
            if record is not None and self.filters.image(record):
                records[image_id] = record
        call.check_images(dict.fromkeys(records, number), records)
        complete = [image_id for image_id in records if image_id in call.here]
        self.found |= dict.fromkeys(complete[: self.lacking])

    def note_missing(self) -> None:
        """Make problems of the images that are damaged here and were not fetched again."""
        noted = {problem.number for problem in self.call.problems}
        for number, cause in self.call.damaged.items():
            if number not in noted:
                self.call.problems.append(Problem("image", number, cause))

    # -- the server --------------------------------------------------------------------------

    def fetch(self) -> None:
        """Go through the server's collections until there are enough images."""
        call = self.call
        failures = 0
        for images in self._batches():
            failures = self._fetch_batch(images, failures)
            if self.lacking == 0 or self._too_many(failures):
                break
        if self._too_many(failures):
            call.notes += (f"Stopped early: {failures} images in a row could not be fetched.",)
        call.problems += call.finder.problems
        call.finder.problems = []
        if self.lacking != 0:
            self.note_missing()

    def _batches(self) -> Iterator[list[WantedImage]]:
        """Yield images that pass: as many as are wanted, or a batch, at a time."""
        if self.filters.image_ids is not None:
            yield self._images_by_id(self.filters.image_ids)
            return
        collections = self._collections()
        images: list[WantedImage] = []
        while some := list(islice(collections, self.call.settings.connections)):
            images += self._images_of(some)
            if len(images) >= min(_BATCH, _BATCH if self.lacking is None else self.lacking):
                yield images
                images = []
        yield images

    def _images_by_id(self, numbers: list[int]) -> list[WantedImage]:
        """Return those of these images that pass and are not found yet."""
        finder, filters = self.call.finder, self.filters
        records = finder.images([number for number in numbers if number not in self.found])
        finder.collection_records(record["collection_id"] for record in records.values())
        passing = []
        for record in records.values():
            collection = finder.collections.get(record["collection_id"])
            if collection is not None and filters.image(record) and filters.collection(collection):
                passing.append(record)
        return self.call.wanted_images(passing)

    def _images_of(self, collections: list[int]) -> list[WantedImage]:
        """Return the images of these collections that pass and are not found yet."""
        call = self.call
        records: list[ImageRecord] = []
        for number, images in call.finder.collection_images(collections, collections).items():
            call.problems += [p for p in images.problems if p.number not in call.here]
            if images.complete and call.cache.root.is_dir():
                call.lists.write(number, images.records)
            records += [r for r in images.records.values() if self.filters.image(r)]
        return call.wanted_images(r for r in records if r["id"] not in self.found)

    def _fetch_batch(self, images: list[WantedImage], failures: int) -> int:
        """Fetch images until there are enough; return how many failed in a row at the end."""
        call = self.call
        while images and self.lacking != 0 and not self._too_many(failures):
            size = _BATCH if self.lacking is None else min(_BATCH, self.lacking)
            batch, images = images[:size], images[size:]
            collections = [image.collection_id for image in batch]
            call.fetch_images(batch, partial(call.write_collections, collections))
            for image in batch:
                if image.image_id in call.here:
                    self.found[image.image_id] = None
                    failures = 0
                else:
                    failures += 1
        return failures

    def _too_many(self, failures: int) -> bool:
        limit = self.call.settings.max_failures
        return limit is not None and failures >= limit

    def _collections(self) -> Iterator[int]:
        """Yield the collections that pass and may hold what is not here."""
        for record in self._collection_records():
            number = record["id"]
            self.call.finder.collections[number] = record
            if self.filters.collection(record) and not self._all_found(number):
                yield number

    def _all_found(self, number: int) -> bool:
        """Whether all images of a collection are found already."""
        if self.call.settings.overwrite:
            return False
        listed = self.call.lists.read(number)
        return listed is not None and all(image_id in self.found for image_id in listed)

    def _collection_records(self) -> Iterator[CollectionRecord]:
        call, only = self.call, self.filters.collection_ids
        if only is not None:
            failed = call.finder.collection_records(only)
            call.problems += [Problem("collection", n, failed[n]) for n in only if n in failed]
            yield from [call.finder.collections[n] for n in only if n not in failed]
            return
        limit = PAGE if self.filters.max_images is None else _FIRST_PAGE
        listed = call.finder.server.collections(limit, **self.filters.sent_along)
        try:
            for page in listed:
                yield from map(clean, page)
        except NeurofetchError as error:
            call.problems.append(Problem("collection", 0, cause_of(error), "the collections"))
        for broken in listed.broken:
            name = f"the collection at place {broken.offset + 1} of the list"
            cause = "the server cannot show its record (500)"
            call.problems.append(Problem("collection", 0, cause, name))
