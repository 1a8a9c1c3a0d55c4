"""Private collections and images: asked for by the letters in their address, kept under their ids.

A private collection has no address by its id: ``https://neurovault.org/collections/GFKZKPAQ/`` is
its own, and ``…/images/GFKZKPAQ-123/`` that of its image 123. The API takes the same names.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from neurofetch.errors import NeurofetchError
from neurofetch.neurovault.problems import Problem, cause_of
from neurofetch.neurovault.records import COLLECTION_TOKEN, IMAGE_TOKEN, ids_and_tokens
from neurofetch.neurovault.server.finder import result_or_error

if TYPE_CHECKING:
    from neurofetch.neurovault.fetch.call import Call
    from neurofetch.neurovault.server.api import Server

__all__ = ["Private"]


class Private:
    """What of the ids in a call are letters, and the numbers that they stand for.

    Parameters
    ----------
    collection_ids, image_ids : ids
        As the user gives them.

    Raises
    ------
    UsageError
        When something is neither an id nor the name of something private.
    """

    def __init__(self, collection_ids: object, image_ids: object) -> None:
        self._collections = ids_and_tokens(collection_ids, "collection_ids", COLLECTION_TOKEN)
        self._images = ids_and_tokens(image_ids, "image_ids", IMAGE_TOKEN)
        self._tokens = {name for name in self._collections if isinstance(name, str)}
        self._number_of: dict[str, int] = {}

    @property
    def tokens(self) -> set[str]:
        """The letters of collections whose numbers are not known yet."""
        return self._tokens - set(self._number_of)

    @property
    def image_ids(self) -> tuple[int, ...]:
        """The numbers of the images, in the caller's order."""
        numbers = (n if isinstance(n, int) else int(n.partition("-")[2]) for n in self._images)
        return tuple(dict.fromkeys(numbers))

    @property
    def collection_ids(self) -> tuple[int, ...]:
        """The numbers of the collections, as far as they are known, in the caller's order."""
        numbers = (n if isinstance(n, int) else self._number_of.get(n) for n in self._collections)
        return tuple(dict.fromkeys(n for n in numbers if n is not None))

    def look_in_cache(self, call: Call) -> None:
        """Find the numbers of collections that are in the cache: their record has their address."""
        for number in call.cache.collection_ids() if self.tokens else ():
            record = call.collection(number)
            url = None if record is None else record.get("url")
            address = str(url).rstrip("/").rpartition("/")[2]
            if address in self.tokens:
                self._number_of[address] = number

    def ask(self, server: Server) -> list[Problem]:
        """Ask the server for the other numbers; return what it does not tell."""
        problems = []
        for token in sorted(self.tokens):
            record = result_or_error(partial(server.private_collection, token))
            if isinstance(record, NeurofetchError):
                problems.append(Problem("collection", 0, cause_of(record), f"collection {token}"))
            else:
                self._number_of[token] = record["id"]
        return problems

    def not_here(self) -> list[Problem]:
        """Return problems for the collections of which nothing is in the cache."""
        cause = "not in the cache"
        return [Problem("collection", 0, cause, f"collection {t}") for t in sorted(self.tokens)]

    def tell(self, server: Server) -> None:
        """Tell the server's client by which letters to ask for a number."""
        server.private |= {number: token for token, number in self._number_of.items()}
        for name in self._images:
            if isinstance(name, str):
                token, _, number = name.partition("-")
                server.private_images[int(number)] = token
