"""Ask the server for the records of collections, of their images, and of images by id."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from neurofetch._threads import together
from neurofetch.errors import InterruptedTransferError, NeurofetchError
from neurofetch.neurovault.problems import Problem, cause_of
from neurofetch.neurovault.records import clean
from neurofetch.neurovault.server.api import PAGE, Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from neurofetch.neurovault.records import CollectionRecord, ImageRecord
    from neurofetch.neurovault.server.api import Server

__all__ = ["CollectionImages", "Finder", "result_or_error"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class CollectionImages:
    """The images of one collection.

    Parameters
    ----------
    records : dict of int to ImageRecord
        By id, cleaned, in the order of the server's list.
    problems : list of Problem
        Records in the list that cannot be read.
    complete : bool
        Whether the list was read to its end, with no record missing.
    """

    records: dict[int, ImageRecord]
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True


def result_or_error(call: Callable[[], _T]) -> _T | NeurofetchError:
    """Return what a call returns, or the error that it raises; an interrupt is raised."""
    try:
        return call()
    except InterruptedTransferError:
        raise
    except NeurofetchError as error:
        return error


class Finder:
    """Asks one server for records; each one that cannot be fetched becomes a `Problem`.

    Parameters
    ----------
    server : Server

    Attributes
    ----------
    collections : dict of int to CollectionRecord
        The records of collections that came, cleaned.
    problems : list of Problem
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.collections: dict[int, CollectionRecord] = {}
        self.problems: list[Problem] = []
        self._failed: dict[int, str] = {}

    # -- collections -------------------------------------------------------------------------

    def collection_images(
        self, numbers: Sequence[int], known: Iterable[int], *, note: bool = True
    ) -> dict[int, CollectionImages]:
        """Return the images of collections; their own records are asked for at the same time.

        Parameters
        ----------
        numbers : sequence of int
        known : iterable of int
            Collections whose own record is not needed.
        note : bool
            Whether a collection whose images cannot be fetched becomes a problem.
        """
        server, known = self.server, {*known, *self.collections, *self._failed}
        records: dict[int, CollectionRecord | NeurofetchError] = {}
        lists: dict[int, Listing | NeurofetchError] = {}

        def ask_for_record(number: int) -> None:
            records[number] = result_or_error(partial(server.collection, number))

        def ask_for_list(number: int) -> None:
            lists[number] = result_or_error(partial(server.images_of, number))

        calls = []
        for number in numbers:
            if number not in known:
                calls.append(partial(ask_for_record, number))
            calls.append(partial(ask_for_list, number))
        together(calls, server.width, server.poll)
        found = {n: self._images_in(n, records.get(n), lists[n], note=note) for n in numbers}
        return {number: images for number, images in found.items() if images is not None}

    def _images_in(
        self,
        number: int,
        record: CollectionRecord | NeurofetchError | None,
        listing: Listing | NeurofetchError,
        *,
        note: bool,
    ) -> CollectionImages | None:
        if isinstance(record, NeurofetchError):
            self._failed[number] = cause_of(record)
            listing = record
        elif record is not None:
            self.collections[number] = clean(record)
        if isinstance(listing, NeurofetchError):
            if note:
                self.problems.append(Problem("collection", number, cause_of(listing)))
            return None
        rows = {row["id"]: clean(row) for row in listing.rows}
        for row in rows.values():
            row["collection_id"] = number
        return CollectionImages(rows, _broken(number, listing), listing.complete)

    def collection_records(self, numbers: Iterable[int]) -> dict[int, str]:
        """Ask for the records of collections; return why some could not be fetched."""
        asked = {*self.collections, *self._failed}
        todo = [number for number in dict.fromkeys(numbers) if number not in asked]
        calls = [partial(result_or_error, partial(self.server.collection, n)) for n in todo]
        for number, response in zip(
            todo, together(calls, self.server.width, self.server.poll), strict=True
        ):
            if isinstance(response, NeurofetchError):
                self._failed[number] = cause_of(response)
            else:
                self.collections[number] = clean(response)
        return self._failed

    def note_failed_collections(self, numbers: Iterable[int]) -> None:
        """Make a problem of each of these collections whose record could not be fetched."""
        failed = ((number, self._failed.get(number)) for number in numbers)
        self.problems += [Problem("collection", n, cause) for n, cause in failed if cause]

    # -- images ------------------------------------------------------------------------------

    def images(self, numbers: Sequence[int]) -> dict[int, ImageRecord]:
        """Return the records of images, by page where that takes fewer requests.

        A few images are asked for one by one. Where those suggest that a collection holds many
        of the others, its list is read: one request then brings up to 1,000 records.
        """
        found: dict[int, ImageRecord] = {}
        todo, width = list(numbers), self.server.width
        while len(todo) > 2 * width:
            sample = todo[:: -(-len(todo) // width)]
            singles = self._one_by_one(sample)
            found |= singles
            todo = [number for number in todo if number not in set(sample)]
            listed, lists = self._promising_lists(singles, len(sample), len(todo))
            gained = {number: listed[number] for number in todo if number in listed}
            found |= gained
            todo = [number for number in todo if number not in gained]
            if len(gained) <= lists:
                break
        return found | self._one_by_one(todo)

    def _one_by_one(self, numbers: Sequence[int]) -> dict[int, ImageRecord]:
        calls = [partial(result_or_error, partial(self.server.image, n)) for n in numbers]
        found: dict[int, ImageRecord] = {}
        for number, response in zip(
            numbers, together(calls, self.server.width, self.server.poll), strict=True
        ):
            if isinstance(response, NeurofetchError):
                self.problems.append(Problem("image", number, cause_of(response)))
            elif not isinstance(response.get("collection_id"), int):
                cause = "its record does not say which collection it belongs to"
                self.problems.append(Problem("image", number, cause))
            else:
                found[number] = clean(response)
        return found

    def _promising_lists(
        self, sample: dict[int, ImageRecord], asked: int, left: int
    ) -> tuple[dict[int, ImageRecord], int]:
        """Read the lists of those collections that probably hold many of the other images.

        Parameters
        ----------
        sample : dict of int to ImageRecord
            The records that came when `asked` images were asked for.
        asked, left : int
            How many images were asked for, and how many are still to be found.

        Returns
        -------
        tuple of (dict of int to ImageRecord, int)
            The records, and how many lists were read.
        """
        seen = Counter(record["collection_id"] for record in sample.values())
        self.collection_records(seen)
        promising = []
        for number, times in seen.items():
            if number not in self.collections:
                continue
            size = self.collections[number].get("number_of_images")
            size = size if isinstance(size, int) else PAGE
            expected = min(left * times / asked, size - times)
            if expected >= 2 * (1 + size // PAGE):
                promising.append(number)
        found = self.collection_images(promising, promising, note=False)
        rows = {n: row for images in found.values() for n, row in images.records.items()}
        return rows, len(promising)


def _broken(collection_id: int, listing: Listing) -> list[Problem]:
    """Return the records of a list that the server cannot show, by id where it is known."""
    cause = "the server cannot show its record (500)"
    found = [Problem("image", number, cause) for number in listing.broken_ids]
    place = f"in collection {collection_id}"
    return found + [Problem("image", 0, cause, f"{place}, {name}") for name in listing.broken]
