"""Metadata without volumes: tables from the server, and search in the local catalogue."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from neurofetch.errors import (
    MissingRemoteError,
    NothingMatchedError,
    ProtocolError,
    RefusedError,
    SelectionWarning,
)
from neurofetch.extras import need
from neurofetch.model import IncompleteError, Report
from neurofetch.neurovault.catalogues.catalogue import Catalogue, Update, need_catalogue
from neurofetch.neurovault.problems import cause_of, message
from neurofetch.neurovault.records import CollectionRecord, Record, as_time, clean, normal_ids
from neurofetch.neurovault.server.api import Connections
from neurofetch.neurovault.server.finder import Finder
from neurofetch.neurovault.settings import TIMEOUT, Settings, api_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from neurofetch.net.retry import RetryRules
    from neurofetch.neurovault.catalogues.search import Kind
    from neurofetch.neurovault.server.pages import PagedList

__all__ = [
    "catalogue",
    "collections",
    "filled_catalogue",
    "images",
    "one_record",
    "search",
    "update_catalogue",
]

_Row = TypeVar("_Row", bound=Record)
_CATALOGUE = "NEUROFETCH_CATALOGUE"
_PUBLIC = "https://neurovault.org/api/"


def images(
    collection_ids: object = (),
    image_ids: object = (),
    *,
    timeout: float = TIMEOUT,
    connections: int | None = None,
    rules: RetryRules | None = None,
    patience: float | None = None,
) -> pd.DataFrame:
    """Return the metadata of images as a table, without fetching any volume.

    Parameters
    ----------
    collection_ids, image_ids, timeout, connections, rules, patience
        As for `fetch_neurovault_ids`.

    Returns
    -------
    pandas.DataFrame
        One row for each image, in the order asked, with ``id`` as the index; one column for each
        field that any of the records has.

    Raises
    ------
    IncompleteError
        When some records could not be fetched; it names them by id and cause.
    """
    settings = Settings.of(locals())
    need("neurovault.images()", "neurovault", "pandas")
    wanted = normal_ids(collection_ids, "collection_ids")
    numbers = normal_ids(image_ids, "image_ids")
    with Connections(settings) as connected:
        finder = Finder(connected.neurovault)
        lists = finder.collection_images(wanted, wanted).values()
        found = {n: record for listed in lists for n, record in listed.records.items()}
        finder.problems += [problem for listed in lists for problem in listed.problems]
        numbers = tuple(number for number in numbers if number not in found)
        singles = finder.images(numbers)
        found |= {number: singles[number] for number in numbers if number in singles}
    _check(finder)
    return _table(found.values())


def collections(
    collection_ids: object = None,
    *,
    timeout: float = TIMEOUT,
    connections: int | None = None,
    rules: RetryRules | None = None,
    patience: float | None = None,
) -> pd.DataFrame:
    """Return the metadata of collections as a table.

    Parameters
    ----------
    collection_ids : ids, optional
        By default all collections of the server: about one request for each 1,000.
    timeout, connections, rules, patience
        As for `fetch_neurovault_ids`.

    Returns
    -------
    pandas.DataFrame
        One row for each collection, with ``id`` as the index.

    Raises
    ------
    IncompleteError
        When some records could not be fetched.
    """
    settings = Settings.of(locals())
    need("neurovault.collections()", "neurovault", "pandas")
    with Connections(settings) as connected:
        if collection_ids is None:
            rows = _rows(connected.neurovault.collections(), "collections")
            return _table(clean(row) for row in rows)
        wanted = normal_ids(collection_ids, "collection_ids")
        finder = Finder(connected.neurovault)
        failed = finder.collection_records(wanted)
    if failed:
        finder.note_failed_collections(wanted)
        _check(finder)
    return _table(finder.collections[number] for number in wanted)


def catalogue(path: str | os.PathLike[str] | None = None) -> Catalogue:
    """Return the local catalogue; it need not exist yet.

    Parameters
    ----------
    path : path-like, optional
        Its file. By default what ``NEUROFETCH_CATALOGUE`` says, else
        ``neurofetch/neurovault.duckdb`` in your cache folder (``XDG_CACHE_HOME`` or ``~/.cache``).
        Each mirror of the server has a file of its own.

    Returns
    -------
    Catalogue
        The catalogue at its usual place, or at that of ``NEUROFETCH_CATALOGUE``.
    """
    given = path or os.environ.get(_CATALOGUE)
    if given:
        return Catalogue(Path(given).expanduser())
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    server = api_url("NEUROVAULT_API_URL")
    mirror = "" if server == _PUBLIC else "-" + hashlib.sha256(server.encode()).hexdigest()[:8]
    return Catalogue(Path(base).expanduser() / "neurofetch" / f"neurovault{mirror}.duckdb")


def search(
    text: str | None = None,
    *,
    kind: Kind = "images",
    collection_text: str | None = None,
    limit: int | None = None,
    path: str | os.PathLike[str] | None = None,
    **fields: object,
) -> list[int]:
    """Search the local catalogue; no request is made.

    Parameters
    ----------
    text, kind, collection_text, limit, **fields
        As for `Catalogue.ids`.
    path : path-like, optional
        The file of another catalogue than the usual one.

    Returns
    -------
    list of int
        As `fetch_neurovault_ids` takes them.

    Raises
    ------
    NothingMatchedError
        When there is no catalogue yet: `update_catalogue` makes it.
    UsageError, UnknownValueError
        As `Catalogue.ids`.

    Warns
    -----
    SelectionWarning
        When nothing is found: which word or field alone finds nothing, and what is near it.
    """
    known = filled_catalogue(path)
    asked = {"kind": kind, "collection_text": collection_text, **fields}
    found = known.ids(text, limit=limit, **asked)  # type: ignore[arg-type]
    if not found:
        warnings.warn(known.why_nothing(text, **asked), SelectionWarning, stacklevel=2)  # type: ignore[arg-type]
    return found


def filled_catalogue(path: str | os.PathLike[str] | None = None) -> Catalogue:
    """Return the local catalogue.

    Raises
    ------
    NothingMatchedError
        When there is none yet.
    """
    need_catalogue()
    known = catalogue(path)
    if not known.exists():
        raise NothingMatchedError(
            f"There is no catalogue at {known.path} yet. Fill it once with "
            "neurofetch.neurovault.update_catalogue() or: neurofetch neurovault search --update"
        )
    return known


def update_catalogue(
    path: str | os.PathLike[str] | None = None,
    *,
    full: bool = False,
    timeout: float = 60.0,
    connections: int | None = None,
    rules: RetryRules | None = None,
    patience: float | None = None,
) -> Update:
    """Fill the local catalogue, or bring it up to date.

    Parameters
    ----------
    path : path-like, optional
        The file of another catalogue than the usual one.
    full : bool
        Read the records of all images again, also where nothing seems to have changed.
    timeout, connections, rules, patience
        As for `fetch_neurovault_ids`; the server is slow to make pages of 1,000 rows.

    Returns
    -------
    Update
        How many records were added, changed, left and removed.

    Raises
    ------
    ServerError
        When a list cannot be read to its end; the catalogue stays as it was.

    Notes
    -----
    The first time, all images are listed: about one request for each 1,000. Later, all collections
    are listed, since the server can neither sort nor filter by date. Then only the images of those
    collections are asked for that are new, or whose ``modify_date`` or ``number_of_images``
    differs. Images that were edited without a trace in their collection are found with `full`.
    """
    settings, known = Settings.of(locals()), catalogue(path)
    need_catalogue()
    with Connections(settings) as connected:
        server = connected.neurovault
        records = list(_rows(server.collections(), "collections"))
        if full or not known.exists():
            images = _rows(server.images(), "images")
            return known.update(collections=records, images=images, complete=True)
        changed = _changed(known, records)
        finder = Finder(server)
        lists = finder.collection_images(changed, changed)
        _check(finder)
    done = known.update(collections=records, complete=True)
    modified = (record for listed in lists.values() for record in listed.records.values())
    return done + known.update(images=modified)


def _changed(known: Catalogue, records: Iterable[CollectionRecord]) -> list[int]:
    """Return the collections that are new, or were modified since the catalogue saw them."""
    table = known.table(kind="collections")
    rows = zip(table["id"], table["modify_date"], table["number_of_images"], strict=True)
    old = {int(n): (_stamp(date), count) for n, date, count in rows}
    return [
        record["id"]
        for record in records
        if old.get(record["id"])
        != (_stamp(record.get("modify_date")), record.get("number_of_images"))
    ]


def _stamp(value: object) -> float | None:
    time = as_time(value.to_pydatetime() if hasattr(value, "to_pydatetime") else value)
    return None if time is None else round(time.timestamp(), 3)


def one_record(kind: Literal["image", "collection"], number: int) -> Record:
    """Return the server's record of one image or collection, cleaned.

    Raises
    ------
    NothingMatchedError
        When the server does not know it, or does not show it.
    ServerError
        When the server cannot be reached.
    """
    with Connections(Settings.of({})) as connected:
        ask = connected.neurovault.image if kind == "image" else connected.neurovault.collection
        try:
            return clean(ask(number))
        except (MissingRemoteError, RefusedError) as error:
            raise NothingMatchedError(f"{kind} {number}: {cause_of(error)}.") from error


def _rows(listed: PagedList[_Row], name: str) -> Iterator[_Row]:
    """Yield the rows of a list; a list that does not come to its end is an error."""
    for page in listed:
        yield from page
    if not listed.complete:
        raise ProtocolError(f"The server's list of {name} goes round and does not end.")
    if listed.broken:
        places = ", ".join(str(broken.offset + 1) for broken in listed.broken)
        text = f"The server cannot show the records at these places of its list of {name}: {places}"
        warnings.warn(text, UserWarning, stacklevel=2)


def _check(finder: Finder) -> None:
    if finder.problems and finder.server.away is not None:
        raise finder.server.away
    if finder.problems:
        rows = tuple(problem.outcome for problem in finder.problems)
        raise IncompleteError(message(finder.problems, offline=False), Report(Path(), rows))


def _table(records: Iterable[Record]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - heavy

    rows = list(records)
    table = pd.DataFrame(rows)
    return table.set_index("id") if rows else table
