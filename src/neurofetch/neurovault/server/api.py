"""Ask the server's API for records and lists, through the engine's network client."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from neurofetch.display.progress import listener
from neurofetch.errors import (
    InterruptedTransferError,
    NeurofetchError,
    ProtocolError,
    ServerError,
    TransientError,
    UnreachableError,
)
from neurofetch.net.client import Client
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.net.retry import Attempts
from neurofetch.net.settings import Network
from neurofetch.neurovault.server.pages import BrokenPageError, BrokenRecord, Page, PagedList
from neurofetch.neurovault.settings import api_url
from neurofetch.transfer.news import telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.net.response import Response
    from neurofetch.neurovault.records import CollectionRecord, ImageRecord, ListPage
    from neurofetch.neurovault.settings import Settings

__all__ = ["ADVICE", "PAGE", "Connections", "Listing", "Server"]

PAGE = 1000
"""Rows to ask for at once; the server may give fewer."""
_LARGEST = 256 << 20
"""Bytes of one response, at most."""
ADVICE = (
    "See whether https://neurovault.org opens in a browser, and try again later: what came is "
    "kept. To wait longer for the network, raise patience (--patience); to use what is here "
    'already, take mode="offline" (--mode offline); NEUROVAULT_API_URL names a mirror.'
)
_GAP = 8
"""Between two records with ids so close, the id of a broken record is looked for."""


class Connections:
    """The connections of one call to both servers. Use it in a ``with`` statement.

    Parameters
    ----------
    settings : Settings

    Attributes
    ----------
    client : Client
    neurovault, neurosynth : Server
    """

    def __init__(self, settings: Settings) -> None:
        network = Network.from_environment()
        network = replace(
            network, connect_timeout=settings.timeout, read_timeout=float(settings.timeout)
        )
        if settings.patience is not None:
            network = replace(network, patience=settings.patience)
        self.client = Client(network, at_once=settings.connections)
        self.attempts = Attempts(settings.rules, outages=self.client.outages)
        self._telling = self.client.outages.told_to(telling(listener(settings.shown)))
        width = settings.connections
        self.neurovault = Server(self.client, api_url("NEUROVAULT_API_URL"), self.attempts, width)
        # Neurosynth may be down for weeks, and a call works without its words: half the attempts,
        # and no patience.
        rules = replace(self.attempts.rules, attempts=max(1, self.attempts.rules.attempts // 2))
        attempts = Attempts(rules, self.attempts.stop)
        self.neurosynth = Server(self.client, api_url("NEUROSYNTH_API_URL"), attempts, width)

    def __enter__(self) -> Connections:
        self._telling.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._telling.__exit__(None, None, None)
        self.attempts.stop.set()
        self.client.close()


@dataclass(frozen=True)
class Listing:
    """The images of one collection, as the server lists them.

    Parameters
    ----------
    rows : list of ImageRecord
    broken : list of str
        Records that the server cannot show and whose ids are not known, named by their place.
    broken_ids : list of int
        The ids of the other records that it cannot show.
    complete : bool
        Whether the list was read to its end and holds all of its records.
    """

    rows: list[ImageRecord]
    broken: list[str]
    broken_ids: list[int]
    complete: bool


class Server:
    """One API. Several threads may ask it at once.

    Parameters
    ----------
    client : Client
        It bounds how many requests are open at once.
    base : str
        With a slash at its end.
    attempts : Attempts
    width : int
        How many threads ask at once where there are several things to ask.
    """

    def __init__(self, client: Client, base: str, attempts: Attempts, width: int) -> None:
        self.base = base
        self.width = width
        self.poll: Callable[[], None] = client.outages.poll
        """Called now and then by a thread that waits for others: it tells what is new."""
        self.private: dict[int, str] = {}
        """Private collections by id, with the token by which they are asked for."""
        self.private_images: dict[int, str] = {}
        """Private images by id, with the token of their collection."""
        self._client = client
        self._attempts = attempts
        self._unanswered = 0  # requests in a row
        self._answered = False
        self._unreached: UnreachableError | None = None

    @property
    def away(self) -> UnreachableError | None:
        """Why the server cannot be reached, if no request of this call was answered; else None."""
        return None if self._answered else self._unreached

    # -- records -----------------------------------------------------------------------------

    def collection(self, number: int) -> CollectionRecord:
        """Return a collection's record.

        Raises
        ------
        ServerError
        """
        name = self.private.get(number, number)
        return cast("CollectionRecord", self._record(f"collections/{name}/", number))

    def private_collection(self, token: str) -> CollectionRecord:
        """Return the record of a private collection; from now on its id is asked for by the token.

        Raises
        ------
        ServerError
        """
        record = self.json(f"collections/{token}/")
        if not isinstance(number := record.get("id"), int):
            raise ProtocolError(f"collections/{token}/: a record without an id came")
        self.private[number] = token
        return cast("CollectionRecord", record)

    def image(self, number: int) -> ImageRecord:
        """Return an image's record.

        Raises
        ------
        ServerError
        """
        token = self.private_images.get(number)
        name = f"{token}-{number}" if token else str(number)
        record = cast("ImageRecord", self._record(f"images/{name}/", number))
        if token and isinstance(record.get("collection_id"), int):
            self.private[record["collection_id"]] = token
        return record

    def _record(self, path: str, number: int) -> dict[str, object]:
        record = self.json(path)
        if record.get("id") != number:
            raise ProtocolError(f"{path}: the record of {record.get('id')!r} came instead")
        return record

    # -- lists -------------------------------------------------------------------------------

    def images_of(self, collection_id: int) -> Listing:
        """Return the images of a collection.

        Raises
        ------
        ServerError
        """
        name = self.private.get(collection_id, collection_id)
        listed: PagedList[ImageRecord] = self._list(f"collections/{name}/images/")
        rows = [row for page in listed for row in page]
        named = [self._name(broken) for broken in listed.broken]
        ids = [name for name in named if isinstance(name, int)]
        places = [name for name in named if isinstance(name, str)]
        return Listing(rows, places, ids, listed.complete and not named)

    def collections(self, limit: int = PAGE, **query: str) -> PagedList[CollectionRecord]:
        """Return the list of all collections, to iterate over its pages as they come."""
        return self._list("collections/", limit, **query)

    def images(self, limit: int = PAGE) -> PagedList[ImageRecord]:
        """Return the list of all images, to iterate over its pages as they come."""
        return self._list("images/", limit)

    def _list(self, path: str, limit: int = PAGE, **query: str) -> PagedList[Any]:
        return PagedList(partial(self._page, path, query), limit, self.width, self.poll)

    def _page(self, path: str, query: dict[str, str], offset: int, limit: int) -> Page[Any]:
        """Ask for a page, and again where it is an empty beginning of a list that has rows."""
        try:
            return self._attempts.run(lambda: self._one_page(path, query, offset, limit))
        except UnreachableError as error:
            if isinstance(error.__cause__, _EmptyListError):
                raise ProtocolError(str(error)) from error
            raise

    def _one_page(self, path: str, query: dict[str, str], offset: int, limit: int) -> Page[Any]:
        query = {**query, "limit": str(limit)} | ({"offset": str(offset)} if offset else {})
        page = cast("ListPage[Any]", self.json(path, query, halve=limit > 1))
        rows, count = page.get("results"), page.get("count")
        if not isinstance(rows, list):
            raise ProtocolError(f"{self.base}{path}: a page without results")
        if not rows and not isinstance(count, int):
            raise ProtocolError(f"{self.base}{path}: a page without rows, and without their number")
        if not all(isinstance(row, dict) and isinstance(row.get("id"), int) for row in rows):
            raise BrokenPageError(f"{self.base}{path}: a row that is no record")
        known = count if isinstance(count, int) else 0
        if known > 0 and not rows and not offset:
            raise _EmptyListError(
                f"{self.base}{path}: the list came empty, and the server says that it has {known}"
            )
        return Page(rows, known, bool(page.get("next")))

    def _name(self, broken: BrokenRecord) -> int | str:
        """Return the id of a broken record if it can be found out, else its place in words."""
        before, after = broken.before, broken.after
        if before is not None and after is not None and 1 < after - before <= _GAP:
            for number in range(before + 1, after):
                if self._is_broken(number):
                    return number
        sides = [f"after image {before}"] if before is not None else []
        sides += [f"before image {after}"] if after is not None else []
        return f"the record at place {broken.offset + 1} ({', '.join(sides) or 'alone'})"

    def _is_broken(self, number: int) -> bool:
        try:
            self.json(f"images/{number}/", halve=True)
        except BrokenPageError:
            return True
        except ServerError:
            return False
        return False

    # -- one request -------------------------------------------------------------------------

    def json(
        self, path: str, query: dict[str, str] | None = None, *, halve: bool = False
    ) -> dict[str, object]:
        """Return one response, a JSON object.

        Parameters
        ----------
        path : str
            Below the base.
        query : dict of str to str, optional
        halve : bool
            Raise `BrokenPageError` for a status of 500 at once, instead of asking again.

        Raises
        ------
        ServerError
        """
        return self.response(path, query, halve=halve)[1]

    def response(
        self, path: str, query: dict[str, str] | None = None, *, halve: bool = False
    ) -> tuple[bytes, dict[str, object]]:
        """Return one response as bytes, and as the JSON object that they are.

        Raises
        ------
        ServerError
        """
        url = self.base + path + (f"?{urlencode(query)}" if query else "")
        if self._unanswered >= 2 * self.width + 4:
            raise UnreachableError(f"{self.base}: not asked any more, since it does not respond")
        try:
            response = self._attempts.run(lambda: self._send(url, halve=halve))
        except UnreachableError as error:
            if isinstance(error.__cause__, _OneRecordError):
                raise BrokenPageError(str(error.__cause__)) from error
            self._unanswered += 1
            raise self._not_answered(url, error) from error
        except InterruptedTransferError:
            raise
        except NeurofetchError:
            self._answered = True  # it has an answer, if no good one
            raise
        self._unanswered, self._answered = 0, True
        return response

    def _not_answered(self, url: str, error: UnreachableError) -> UnreachableError:
        """Return the error that says what was asked, too; the first is remembered."""
        where = Request(url).shown_url
        said = UnreachableError(str(error) if where in str(error) else f"{where}: {error}")
        said.advice = error.advice or ADVICE
        self._unreached = self._unreached or said
        return said

    def _send(self, url: str, *, halve: bool) -> tuple[bytes, dict[str, object]]:
        request = Request(url, {"Accept": "application/json"})
        with self._client.send(request) as response:
            if response.status == 500:
                raise self._status_500(response, url, halve=halve)
            if response.status != 200:
                raise failure(response)
            body = response.read(_LARGEST)
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            kind = "an HTML page" if body.lstrip()[:1] == b"<" else "something else"
            raise TransientError(f"{request.shown_url}: {kind} instead of JSON") from error
        if not isinstance(value, dict):
            raise ProtocolError(f"{request.shown_url}: not a JSON object")
        return body, value

    @staticmethod
    def _status_500(response: Response, url: str, *, halve: bool) -> NeurofetchError:
        words = f"{response.shown_url}: 500 {response.reason}".rstrip()
        if halve:
            return BrokenPageError(words)
        one = dict(parse_qsl(urlsplit(url).query)).get("limit") == "1"
        return _OneRecordError(words) if one else TransientError(words)


class _OneRecordError(TransientError):
    """Status 500 for a page of one record."""


class _EmptyListError(TransientError):
    """The first page of a list has no rows, though the server counts some."""
