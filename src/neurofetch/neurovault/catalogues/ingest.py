"""Write the server's records into the catalogue's tables, a batch at a time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from neurofetch.errors import UsageError
from neurofetch.neurovault.catalogues.search import COLUMNS, TEXTS, Kind, columns_sql, fresh_sql
from neurofetch.neurovault.records import as_time, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import duckdb

__all__ = [
    "FORMAT",
    "Update",
    "create_tables",
    "merge",
    "table_format",
]

FORMAT = 1  # raised when the tables change: an older file is then filled anew
_BATCH = 20_000  # records: some 60 MB on the disk while they are read
_LARGEST = 2**63  # what a BIGINT cannot hold


@dataclass(frozen=True)
class Update:
    """What an update changed, in records of both kinds together.

    A record that was given twice, as pages of the server may do, may be counted twice.

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


def table_format(connection: duckdb.DuckDBPyConnection) -> int | None:
    """Return the format of the tables, None when there are none."""
    known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'format'")
    if known.fetchone() is None:
        return None
    row = connection.execute("SELECT version FROM format").fetchone()
    return None if row is None else int(row[0])


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables that are not there."""
    for kind in COLUMNS:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {kind} ({columns_sql(kind)})")
    if table_format(connection) is None:
        connection.execute(f"CREATE TABLE format AS SELECT {FORMAT} AS version")


def merge(
    connection: duckdb.DuckDBPyConnection,
    kind: Kind,
    records: Iterable[Mapping[str, object]],
    scratch: Path,
    *,
    complete: bool,
) -> Update:
    """Write the records of one kind.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A draft that no other process reads.
    kind : {"images", "collections"}
        Their table.
    records : iterable of mapping
        The server's records.
    scratch : Path
        File through which the batches go; it is removed.
    complete : bool
        Whether to remove what was not given.
    """
    connection.execute("CREATE TEMP TABLE given (id BIGINT)")
    done, rows = Update(), _rows(kind, records)
    try:
        while batch := [json.dumps(row) + "\n" for row in islice(rows, _BATCH)]:
            with open(scratch, "w", encoding="utf-8") as file:
                file.writelines(batch)
            done += _merge_batch(connection, kind, scratch)
    finally:
        scratch.unlink(missing_ok=True)
    if complete:
        gone = f"{kind} WHERE id NOT IN (SELECT id FROM given)"
        done += Update(removed=_number(connection, gone))
        connection.execute(f"DELETE FROM {gone}")
    connection.execute("DROP TABLE given")
    return done


def _merge_batch(connection: duckdb.DuckDBPyConnection, kind: Kind, lines: Path) -> Update:
    connection.execute(fresh_sql(kind), [str(lines)])
    connection.execute("INSERT INTO given SELECT id FROM fresh")
    given = _number(connection, "fresh")
    known = _number(connection, f"fresh JOIN {kind} USING (id)")
    connection.execute(
        f"DELETE FROM fresh USING {kind} AS old WHERE fresh.id = old.id "
        "AND (fresh.record = old.record OR fresh.modify_date < old.modify_date)"
    )
    changed = _number(connection, f"fresh JOIN {kind} USING (id)")
    connection.execute(f"DELETE FROM {kind} WHERE id IN (SELECT id FROM fresh)")
    connection.execute(f"INSERT INTO {kind} SELECT * FROM fresh")
    connection.execute("DROP TABLE fresh")
    return Update(added=given - known, changed=changed, unchanged=known - changed)


def _rows(kind: Kind, records: Iterable[Mapping[str, object]]) -> Iterator[dict[str, object]]:
    """Yield the columns of each record, as JSON can hold them."""
    for line, raw in enumerate(records):
        record = clean(raw)
        number = record.get("id")
        if not isinstance(number, int) or not 0 < number < _LARGEST:
            raise UsageError(
                f"Record {line + 1} of the {kind} has no id, but {number!r}; "
                "the catalogue was left as it was."
            )
        row = {name: _cell(record.get(name), sql_type) for name, sql_type in COLUMNS[kind].items()}
        words = (record.get(name) for name in TEXTS[kind])
        text = _plain("\n".join(str(word) for word in words if word).lower())
        yield {**row, "text": text, "record": json.dumps(record), "line": line}


def _cell(value: object, sql_type: str) -> object:
    """Return a value as its column takes it; None for what does not fit."""
    if value is None:
        return None
    if sql_type == "VARCHAR":
        return _plain(value if isinstance(value, str) else json.dumps(value))
    if sql_type == "TIMESTAMP":
        time = as_time(value)
        return None if time is None else time.replace(tzinfo=None).isoformat()
    if sql_type == "BOOLEAN":
        return value if isinstance(value, bool) else None
    return _quantity(value, whole=sql_type == "BIGINT")


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
