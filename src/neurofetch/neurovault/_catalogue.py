"""A local catalogue of all collections and images: one DuckDB file.

An update works on a copy and puts it in place by one rename. So readers, however many, always see a
whole catalogue and never wait; two updates at once both leave a whole one, and what the earlier
of them brought is brought again by the next update, which asks from the newest date in the file.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neurofetch._errors import UsageError
from neurofetch.neurovault._query import COLUMNS, TEXTS, Kind, Query, columns_sql, fresh_sql
from neurofetch.neurovault._records import as_time, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import duckdb
    import pandas as pd

__all__ = ["Catalogue", "Update"]

FORMAT = 1  # raised when the tables change: an older file is then filled anew
# Compression by zstd needs the newer file format.
_WRITING: dict[str, str | bool | int | float | list[str]] = {
    "storage_compatibility_version": "v1.2.0",
}
_LARGEST = 2**63  # what a BIGINT cannot hold
CATALOGUE_NAME = "neurofetch-catalogue.duckdb"


@dataclass(frozen=True)
class Update:
    """What an update changed, in rows of both kinds together.

    Attributes
    ----------
    added, changed, unchanged, removed : int
        Numbers of records.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0

    def __add__(self, other: Update) -> Update:
        return Update(
            self.added + other.added,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
        )


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
        """Say whether there is a catalogue that this release can read."""
        with self._reading() as connection:
            return connection is not None

    def update(
        self,
        *,
        collections: Iterable[Mapping[str, Any]] = (),
        images: Iterable[Mapping[str, Any]] = (),
        complete: bool = False,
    ) -> Update:
        """Bring records in; a record replaces an older one of the same id.

        Parameters
        ----------
        collections, images : iterable of mapping
            The server's records, in any order; they are read once and not kept in memory. The
            last of several with the newest ``modify_date`` wins.
        complete : bool, default=False
            Whether these are all that exist: others are then removed.

        Returns
        -------
        Update
            What changed.

        Raises
        ------
        UsageError
            When a record has no id.

        Notes
        -----
        Nothing is visible to readers before all is in. When an iterable raises, the catalogue
        stays as it was.
        """
        import duckdb  # noqa: PLC0415 - heavy

        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            if self.exists():
                shutil.copyfile(self.path, draft)
            with duckdb.connect(str(draft), config=_WRITING) as connection:
                done = _merge(connection, "collections", collections, complete)
                done += _merge(connection, "images", images, complete)
                connection.execute("CHECKPOINT")
            _sync(draft)
            os.replace(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)
            Path(f"{draft}.wal").unlink(missing_ok=True)
        return done

    def ids(
        self,
        text: str | None = None,
        *,
        kind: Kind = "images",
        collection_text: str | None = None,
        limit: int | None = None,
        **fields: Any,
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
        """
        query = Query(kind, text, collection_text, fields, limit)
        with self._reading() as connection:
            return [] if connection is None else query.ids(connection)

    def table(
        self,
        text: str | None = None,
        *,
        kind: Kind = "images",
        collection_text: str | None = None,
        limit: int | None = None,
        **fields: Any,
    ) -> pd.DataFrame:
        """Search as :meth:`ids` does, and return the main fields as a table, one row a record."""
        import pandas as pd  # noqa: PLC0415 - heavy

        names = list(COLUMNS[kind])
        query = Query(kind, text, collection_text, fields, limit)
        with self._reading() as connection:
            rows = [] if connection is None else query.rows(connection, names)
        return pd.DataFrame(rows, columns=names)

    def records(self, ids: Iterable[int], *, kind: Kind = "images") -> list[dict[str, Any]]:
        """Return the whole records of these ids, in their order; unknown ids are left out."""
        wanted = list(ids)
        with self._reading() as connection:
            if connection is None:
                return []
            sql = f"SELECT id, record FROM {kind} WHERE id IN (SELECT unnest(?::BIGINT[]))"
            found = dict(connection.execute(sql, [wanted]).fetchall())
        return [json.loads(found[number]) for number in wanted if number in found]

    def count(self, kind: Kind = "images") -> int:
        """Return how many records there are."""
        value = self._one(f"SELECT count(*) FROM {kind}")
        return value if isinstance(value, int) else 0

    def newest(self, kind: Kind = "images") -> datetime | None:
        """Return the newest ``modify_date``, None when there is none: where an update begins."""
        value = self._one(f"SELECT max(modify_date) FROM {kind}")
        return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None

    def _one(self, sql: str) -> object:
        with self._reading() as connection:
            row = None if connection is None else connection.execute(sql).fetchone()
        return None if row is None else row[0]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """Open the file for reading; None when there is none, or one of another format."""
        import duckdb  # noqa: PLC0415 - heavy

        if not self.path.is_file():
            yield None
            return
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("SET enable_progress_bar = false")
            yield connection if _format(connection) == FORMAT else None


def _format(connection: duckdb.DuckDBPyConnection) -> int | None:
    known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'format'")
    if known.fetchone() is None:
        return None
    row = connection.execute("SELECT version FROM format").fetchone()
    return None if row is None else int(row[0])


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    for kind in COLUMNS:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {kind} ({columns_sql(kind)})")
    if _format(connection) is None:
        connection.execute(f"CREATE TABLE format AS SELECT {FORMAT} AS version")


def _merge(
    connection: duckdb.DuckDBPyConnection,
    kind: Literal["collections", "images"],
    records: Iterable[Mapping[str, Any]],
    complete: bool,
) -> Update:
    """Bring the records of one kind in, all or nothing."""
    connection.execute("SET enable_progress_bar = false")  # it would go to the standard output
    _create(connection)
    with tempfile.TemporaryDirectory(prefix="neurofetch-") as folder:
        lines = Path(folder) / f"{kind}.ndjson"
        with open(lines, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in _rows(kind, records))
        connection.execute("BEGIN")
        connection.execute(fresh_sql(kind), [str(lines)])
        connection.execute("CREATE TEMP TABLE given AS SELECT id FROM fresh")
    given, shared = (
        _number(connection, "fresh"),
        _number(connection, f"fresh JOIN {kind} USING (id)"),
    )
    total = _number(connection, kind)
    connection.execute(
        f"DELETE FROM fresh USING {kind} AS old WHERE fresh.id = old.id "
        "AND (fresh.record = old.record OR fresh.modify_date < old.modify_date)"
    )
    if complete:
        connection.execute(f"DELETE FROM {kind} WHERE id NOT IN (SELECT id FROM given)")
    changed = _number(connection, f"fresh JOIN {kind} USING (id)")
    connection.execute(f"DELETE FROM {kind} WHERE id IN (SELECT id FROM fresh)")
    connection.execute(f"INSERT INTO {kind} SELECT * FROM fresh")
    connection.execute("DROP TABLE fresh; DROP TABLE given; COMMIT")
    gone = total - shared if complete else 0
    return Update(given - shared, changed, shared - changed, gone)


def _rows(
    kind: Literal["collections", "images"], records: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the columns of each record, as JSON can hold them."""
    for line, raw in enumerate(records):
        record = clean(raw)
        number = record.get("id")
        if not isinstance(number, int) or not 0 < number < _LARGEST:
            raise UsageError(
                f"Record {line + 1} of the {kind} has no id, but {number!r}; "
                "the catalogue was left as it was."
            )
        row = {name: _cell(record.get(name), sort) for name, sort in COLUMNS[kind].items()}
        words = (record.get(name) for name in TEXTS[kind])
        text = _plain("\n".join(str(word) for word in words if word).lower())
        yield {**row, "text": text, "record": json.dumps(record), "line": line}


def _cell(value: object, sort: str) -> object:
    """Return a value as its column takes it; None for what does not fit."""
    if value is None:
        return None
    if sort == "VARCHAR":
        return _plain(value if isinstance(value, str) else json.dumps(value))
    if sort == "TIMESTAMP":
        time = as_time(value)
        return None if time is None else time.replace(tzinfo=None).isoformat()
    if sort == "BOOLEAN":
        return value if isinstance(value, bool) else None
    return _quantity(value, whole=sort == "BIGINT")


def _quantity(value: object, *, whole: bool) -> float | int | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and abs(number) >= _LARGEST):
        return None
    return int(number) if whole else number


def _plain(text: str) -> str:
    """Return text that a database takes: JSON may carry halves of characters."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _number(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
    return 0 if row is None else int(row[0])


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
