"""A local catalogue of all collections and images: one DuckDB file.

An update works on a copy, which replaces the file in one step. So all readers always see a whole
catalogue and never wait. When two updates run at once, the file of the later one stays; what only
the earlier one brought comes again with the next update.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from neurofetch.errors import UnknownValueError, UsageError, VerificationError
from neurofetch.extras import need
from neurofetch.neurovault.catalogues.ingest import (
    FORMAT,
    Update,
    create_tables,
    merge,
    table_format,
)
from neurofetch.neurovault.catalogues.nothing import unknown_fields, why_nothing
from neurofetch.neurovault.catalogues.search import COLUMNS, Kind, Query
from neurofetch.store.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import duckdb
    import pandas as pd

    from neurofetch.neurovault.records import CollectionRecord, ImageRecord, Record

__all__ = ["Catalogue", "Update", "need_catalogue"]

# Compression by zstd needs the newer file format.
_WRITING: dict[str, str | bool | int | float | list[str]] = {
    "storage_compatibility_version": "v1.2.0",
}
_MOST_OPENINGS = 100
_STALE = 86_400.0  # seconds after which the draft of another process counts as abandoned


def need_catalogue() -> None:
    """See that what the catalogue needs is installed.

    Raises
    ------
    MissingExtraError
        If it is not; it names the extra.
    """
    need("the catalogue of NeuroVault", "neurovault")


@dataclass(frozen=True)
class Catalogue:
    """The catalogue in one file, which need not exist yet.

    Parameters
    ----------
    path : path-like
        The file; :meth:`update` makes it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "catalogue.duckdb"
    >>> catalogue = Catalogue(path)
    >>> catalogue.update(images=[
    ...     {"id": 7, "collection_id": 2, "name": "Left hand", "map_type": "Z map"},
    ...     {"id": 8, "collection_id": 2, "name": "Right hand", "map_type": "T map"},
    ... ])
    Update(added=2, changed=0, unchanged=0, removed=0)
    >>> catalogue.ids("hand", map_type="Z map")
    [7]
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def exists(self) -> bool:
        """Say whether there is a catalogue that this release can read.

        Returns
        -------
        bool
            False if there is none, or if it is of another release's format.
        """
        with self._reading() as connection:
            return connection is not None

    def update(
        self,
        *,
        collections: Iterable[Mapping[str, object]] | None = None,
        images: Iterable[Mapping[str, object]] | None = None,
        complete: bool = False,
    ) -> Update:
        """Add records; a record replaces an older one of the same id.

        Parameters
        ----------
        collections, images : iterable of mapping
            The server's records, in any order; they are read once and not kept in memory. The
            last of several with the newest ``modify_date`` wins. A kind that is not given stays
            as it is.
        complete : bool, default=False
            Whether these are all that exist of their kind: others are then removed.

        Returns
        -------
        Update
            What changed.

        Raises
        ------
        UsageError
            When a record has no id.
        VerificationError
            When the present file is damaged.

        Notes
        -----
        Readers see nothing of an update before it is done. When an iterable raises, the catalogue
        stays as it was.
        """
        need_catalogue()
        import duckdb  # noqa: PLC0415 - heavy

        self.path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(self.path, time.time())
        name = f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
        both: dict[Kind, Iterable[Mapping[str, object]] | None]
        both = {"collections": collections, "images": images}
        given = {kind: records for kind, records in both.items() if records is not None}
        done = Update()
        with replacing(self.path, draft=name) as draft:
            if self.exists():
                shutil.copyfile(self.path, draft)
            else:
                os.unlink(draft)  # DuckDB makes a new file, and refuses an empty one
            try:
                with duckdb.connect(draft, config=_WRITING) as connection:
                    connection.execute("SET enable_progress_bar = false")  # it goes to stdout
                    create_tables(connection)
                    for kind, records in given.items():
                        scratch = Path(f"{draft}.ndjson")
                        done += merge(connection, kind, records, scratch, complete=complete)
                    connection.execute("CHECKPOINT")
            finally:
                Path(f"{draft}.wal").unlink(missing_ok=True)
        return done

    def ids(
        self,
        text: str | None = None,
        *,
        kind: Kind = "images",
        collection_text: str | None = None,
        limit: int | None = None,
        **fields: object,
    ) -> list[int]:
        """Search, and return ids, sorted.

        Parameters
        ----------
        text : str, optional
            Words that must all occur in the record's texts (name, description, paradigm, contrast,
            task, modality, …; authors and journal of a collection), in any case; words in double
            quotes must occur together.
        kind : {"images", "collections"}
            What to search.
        collection_text : str, optional
            Words that must all occur in the texts of the image's collection.
        limit : int, optional
            At most so many.
        **fields : object
            Fields and what they must be: a value, a list of values, None for "unknown", or a
            special value such as ``Contains("face")`` or ``GreaterThan("2020-01-01T00:00:00Z")``.
            A field that has no column (one that an uploader made up) is looked up in the records,
            which is slower.

        Returns
        -------
        list of int
            As :func:`fetch_neurovault_ids` takes them.

        Raises
        ------
        UsageError
            If a value cannot be one of its field, or `limit` is no number from 1.
        UnknownValueError
            If no record has a field of this name; the message has the nearest names.
        """
        query = Query(kind, text, collection_text, fields, limit)
        with self._reading() as connection:
            found = [] if connection is None else query.ids(connection)
            if connection is not None and not found:
                _check_fields(connection, query)
            return found

    def why_nothing(
        self,
        text: str | None = None,
        *,
        kind: Kind = "images",
        collection_text: str | None = None,
        **fields: object,
    ) -> str:
        """Return why a search finds nothing: which condition, and what is near it.

        Parameters
        ----------
        text, kind, collection_text, **fields
            As for :meth:`ids`.

        Returns
        -------
        str
            A sentence for the reader.
        """
        query = Query(kind, text, collection_text, fields, None)
        with self._reading() as connection:
            return "" if connection is None else why_nothing(connection, query)

    def table(
        self,
        text: str | None = None,
        *,
        kind: Kind = "images",
        collection_text: str | None = None,
        limit: int | None = None,
        **fields: object,
    ) -> pd.DataFrame:
        """Search as :meth:`ids` does, and return the main fields as a table, one row a record.

        Returns
        -------
        pandas.DataFrame
            One row per record.
        """
        need_catalogue()
        import pandas as pd  # noqa: PLC0415 - heavy

        names = list(COLUMNS[kind])
        query = Query(kind, text, collection_text, fields, limit)
        with self._reading() as connection:
            rows = [] if connection is None else query.rows(connection, names)
            if connection is not None and not rows:
                _check_fields(connection, query)
        return pd.DataFrame(rows, columns=names)

    @overload
    def records(
        self, ids: Iterable[int], *, kind: Literal["images"] = ...
    ) -> list[ImageRecord]: ...
    @overload
    def records(
        self, ids: Iterable[int], *, kind: Literal["collections"]
    ) -> list[CollectionRecord]: ...
    @overload
    def records(self, ids: Iterable[int], *, kind: Kind) -> Sequence[Record]: ...

    def records(self, ids: Iterable[int], *, kind: Kind = "images") -> Sequence[Record]:
        """Return the whole records of these ids, in their order; unknown ids are left out.

        Returns
        -------
        sequence of dict
            The records, as NeuroVault has them.
        """
        wanted = list(ids)
        with self._reading() as connection:
            if connection is None:
                return []
            sql = f"SELECT id, record FROM {kind} WHERE id IN (SELECT unnest(?::BIGINT[]))"
            found = dict(connection.execute(sql, [wanted]).fetchall())
        return [json.loads(found[number]) for number in wanted if number in found]

    def count(self, kind: Kind = "images") -> int:
        """Return how many records there are.

        Returns
        -------
        int
            The number of records of this kind.
        """
        value = self._one(f"SELECT count(*) FROM {kind}")
        return value if isinstance(value, int) else 0

    def newest(self, kind: Kind = "images") -> datetime | None:
        """Return the newest ``modify_date``; None when there is none.

        Returns
        -------
        datetime.datetime or None
            The date of the record that was changed last.
        """
        value = self._one(f"SELECT max(modify_date) FROM {kind}")
        return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None

    def _one(self, sql: str) -> object:
        with self._reading() as connection:
            row = None if connection is None else connection.execute(sql).fetchone()
        return None if row is None else row[0]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """Open the file for reading; None when there is none, or one of another format."""
        need_catalogue()
        import duckdb  # noqa: PLC0415 - heavy

        if not _is_database(self.path):
            yield None
            return
        try:
            with _opened(self.path) as connection:
                connection.execute("SET enable_progress_bar = false")
                yield connection if table_format(connection) == FORMAT else None
        except (duckdb.IOException, duckdb.SerializationException, duckdb.FatalException) as exc:
            raise _translated(self.path, exc) from exc
        except duckdb.Error as exc:  # its text has the statement, which says nothing to a user
            what = type(exc).__name__
            raise UsageError(
                f"This search cannot be made: the database refuses it ({what})."
            ) from exc


def _check_fields(connection: duckdb.DuckDBPyConnection, query: Query) -> None:
    """See that the fields of a query that found nothing are fields of any record.

    Raises
    ------
    UnknownValueError
        If one is not.
    """
    if problems := unknown_fields(connection, query):
        raise UnknownValueError("\n".join(problems))


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    """Open one file for reading, whole, though another process may replace it at any moment.

    DuckDB reads the head of a file, closes it, and opens the name again for the blocks. An update
    between the two would pair the head of the old file with the blocks of the new one.
    """
    import duckdb  # noqa: PLC0415 - heavy

    for _ in range(_MOST_OPENINGS):
        before = _identity(path)
        try:
            connection = duckdb.connect(str(path), read_only=True)
        except duckdb.Error:
            if _identity(path) == before:
                raise
            continue
        if _identity(path) == before:
            return connection
        connection.close()
    raise VerificationError(
        f"{path} cannot be read as a catalogue: it was replaced each of the {_MOST_OPENINGS} times "
        "that it was opened. Nothing was changed; wait for the updates to end, and search again."
    )


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file from the one that replaces it under the same name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _translated(path: Path, cause: BaseException) -> VerificationError:
    return VerificationError(
        f"{path} cannot be read as a catalogue: {cause}. Nothing was changed; remove the file, and "
        "the next update fills a new one."
    )


def _is_database(path: Path) -> bool:
    """Say whether a file begins as DuckDB's do (eight bytes of checksum, then a word)."""
    try:
        with open(path, "rb") as file:
            return file.read(12)[8:] == b"DUCK"
    except FileNotFoundError:
        return False


def _sweep(path: Path, now: float) -> None:
    """Remove the drafts of updates that were killed long ago."""
    for draft in path.parent.glob(f".{path.name}.*.part*"):
        with contextlib.suppress(FileNotFoundError):
            if draft.is_file() and draft.stat().st_mtime < now - _STALE:
                draft.unlink()
