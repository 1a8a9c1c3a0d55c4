"""Metadata without volumes: tables from the server, and the catalogue that is searched locally."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from neurofetch.errors import MissingRemoteError, NothingMatchedError, ProtocolError, RefusedError
from neurofetch.model import IncompleteError, Report
from neurofetch.neurovault.catalogues.catalogue import Catalogue, Update
from neurofetch.neurovault.problems import cause_of, message
from neurofetch.neurovault.records import CollectionRecord, Record, as_time, clean, normal_ids
from neurofetch.neurovault.server.api import Session
from neurofetch.neurovault.server.finder import Finder
from neurofetch.neurovault.settings import TIMEOUT, Settings, api_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from neurofetch.net.retry import RetryRules
    from neurofetch.neurovault.catalogues.search import Kind
    from neurofetch.neurovault.server.pages import Scroll

__all__ = ["catalogue", "collections", "images", "one_record", "search", "update_catalogue"]

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
) -> pd.DataFrame:
    """Return the metadata of images as a table, without fetching any volume.

    Parameters
    ----------
    collection_ids, image_ids, timeout, connections, rules
        As for `fetch_neurovault_ids`.

    Returns
    -------
    pandas.DataFrame
        One row an image, ``id`` as the index, in the order asked; one column for each field that
        any of the records has.

    Raises
    ------
    IncompleteError
        When the server does not have all of it; it names by id and cause what is missing.
    """
    groups = normal_ids(collection_ids, "collection_ids")
    singles = normal_ids(image_ids, "image_ids")
    with Session(Settings.of(locals())) as session:
        finder = Finder(session.neurovault)
        lists = finder.whole(groups, groups)
        found = {n: row for members in lists.values() for n, row in members.records.items()}
        finder.problems += [p for members in lists.values() for p in members.problems]
        rest = [number for number in singles if number not in found]
        single = finder.images(rest)
        found |= {number: single[number] for number in rest if number in single}
    _check(finder)
    return _table(found.values())


def collections(
    collection_ids: object = None,
    *,
    timeout: float = TIMEOUT,
    connections: int | None = None,
    rules: RetryRules | None = None,
) -> pd.DataFrame:
    """Return the metadata of collections as a table.

    Parameters
    ----------
    collection_ids : ids, optional
        By default all collections of the server, about a request for each 1,000.
    timeout, connections, rules
        As for `fetch_neurovault_ids`.

    Returns
    -------
    pandas.DataFrame
        One row a collection, ``id`` as the index.

    Raises
    ------
    IncompleteError
        When the server does not have all of it.
    """
    with Session(Settings.of(locals())) as session:
        if collection_ids is None:
            return _table(
                clean(row) for row in _rows(session.neurovault.collections(), "collections")
            )
        wanted = normal_ids(collection_ids, "collection_ids")
        finder = Finder(session.neurovault)
        failed = finder.records(wanted)
    if failed:
        finder.name_collections(wanted)
        _check(finder)
    return _table(finder.collections[number] for number in wanted)


def catalogue(path: str | os.PathLike[str] | None = None) -> Catalogue:
    """Return the local catalogue; it need not exist yet.

    Parameters
    ----------
    path : path-like, optional
        Its file: by default what ``NEUROFETCH_CATALOGUE`` says, else ``neurovault.duckdb`` in
        the user's cache folder (``XDG_CACHE_HOME`` or ``~/.cache``), below ``neurofetch``. Each
        mirror has one of its own.
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
        Of another catalogue than the usual one.

    Returns
    -------
    list of int
        As `fetch_neurovault_ids` takes them.

    Raises
    ------
    NothingMatchedError
        When there is no catalogue yet: `update_catalogue` makes it.
    """
    known = catalogue(path)
    if not known.exists():
        raise NothingMatchedError(
            f"There is no catalogue at {known.path} yet. Fill it once with "
            "neurofetch.neurovault.update_catalogue() or: neurofetch neurovault search --update"
        )
    return known.ids(text, kind=kind, collection_text=collection_text, limit=limit, **fields)


def update_catalogue(
    path: str | os.PathLike[str] | None = None,
    *,
    full: bool = False,
    timeout: float = 60.0,
    connections: int | None = None,
    rules: RetryRules | None = None,
) -> Update:
    """Fill the local catalogue, or bring it up to date.

    Parameters
    ----------
    path : path-like, optional
        Of another catalogue than the usual one.
    full : bool
        Read all images anew, also where nothing seems to have changed.
    timeout, connections, rules
        As for `fetch_neurovault_ids`; the server takes its time for pages of 1,000 rows.

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
    are listed (the server can sort or filter neither by date), and only the images of those are
    asked for that are new, or whose ``modify_date`` or ``number_of_images`` differs. Images that
    were edited without a trace in their collection are found by `full`.
    """
    known = catalogue(path)
    with Session(Settings.of(locals())) as session:
        server = session.neurovault
        groups = list(_rows(server.collections(), "collections"))
        if full or not known.exists():
            records = _rows(server.images(), "images")
            return known.update(collections=groups, images=records, complete=True)
        changed = _changed(known, groups)
        finder = Finder(server)
        lists = finder.whole(changed, changed)
        _check(finder)
    done = known.update(collections=groups, complete=True)
    rows = (row for members in lists.values() for row in members.records.values())
    return done + known.update(images=rows)


def _changed(known: Catalogue, groups: Iterable[CollectionRecord]) -> list[int]:
    """Return the collections that are new, or were modified since the catalogue saw them."""
    table = known.table(kind="collections")
    rows = zip(table["id"], table["modify_date"], table["number_of_images"], strict=True)
    old = {int(n): (_stamp(date), count) for n, date, count in rows}
    return [
        group["id"]
        for group in groups
        if old.get(group["id"]) != (_stamp(group.get("modify_date")), group.get("number_of_images"))
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
        When the server does not answer.
    """
    with Session(Settings.of({})) as session:
        ask = session.neurovault.image if kind == "image" else session.neurovault.collection
        try:
            return clean(ask(number))
        except (MissingRemoteError, RefusedError) as error:
            raise NothingMatchedError(f"{kind} {number}: {cause_of(error)}.") from error


def _rows(scroll: Scroll[_Row], name: str) -> Iterator[_Row]:
    """Yield the rows of a whole list; one that does not come to its end is an error."""
    for page in scroll:
        yield from page
    if not scroll.clean:
        raise ProtocolError(f"The server's list of {name} goes round and does not end.")
    if scroll.broken:
        places = ", ".join(str(broken.offset + 1) for broken in scroll.broken)
        text = f"The server cannot show the records at these places of its list of {name}: {places}"
        warnings.warn(text, UserWarning, stacklevel=2)


def _check(finder: Finder) -> None:
    if finder.problems:
        rows = tuple(problem.outcome for problem in finder.problems)
        raise IncompleteError(message(finder.problems, offline=False), Report(Path(), rows))


def _table(records: Iterable[Record]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - heavy

    rows = list(records)
    table = pd.DataFrame(rows)
    return table.set_index("id") if rows else table
