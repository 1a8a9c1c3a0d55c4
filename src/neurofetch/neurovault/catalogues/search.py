"""The catalogue's tables and the search in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from neurofetch.errors import UsageError
from neurofetch.neurovault.catalogues.values import (
    bound,
    checked_limit,
    checked_text,
    comparable,
)
from neurofetch.neurovault.filters import (
    GreaterOrEqual,
    GreaterThan,
    IsIn,
    LessOrEqual,
    LessThan,
    ResultFilter,
    SpecialValue,
)

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "COLUMNS",
    "TEXTS",
    "Kind",
    "Query",
    "columns_sql",
    "fresh_sql",
    "words_of",
]

Kind = Literal["images", "collections"]
_Clause = tuple[str, list[object]]
"""A condition in SQL, and the values for its question marks."""

# The fields that have a column of their own; every other is found in the record's JSON.
COLUMNS: dict[Kind, dict[str, str]] = {
    "images": {
        "id": "BIGINT",
        "collection_id": "BIGINT",
        "name": "VARCHAR",
        "map_type": "VARCHAR",
        "image_type": "VARCHAR",
        "modality": "VARCHAR",
        "analysis_level": "VARCHAR",
        "cognitive_paradigm_cogatlas": "VARCHAR",
        "cognitive_contrast_cogatlas": "VARCHAR",
        "contrast_definition": "VARCHAR",
        "target_template_image": "VARCHAR",
        "subject_species": "VARCHAR",
        "data_origin": "VARCHAR",
        "number_of_subjects": "DOUBLE",
        "not_mni": "BOOLEAN",
        "is_thresholded": "BOOLEAN",
        "is_valid": "BOOLEAN",
        "brain_coverage": "DOUBLE",
        "file_size": "BIGINT",
        "file": "VARCHAR",
        "add_date": "TIMESTAMP",
        "modify_date": "TIMESTAMP",
    },
    "collections": {
        "id": "BIGINT",
        "name": "VARCHAR",
        "DOI": "VARCHAR",
        "authors": "VARCHAR",
        "journal_name": "VARCHAR",
        "owner": "BIGINT",
        "owner_name": "VARCHAR",
        "number_of_images": "BIGINT",
        "private": "BOOLEAN",
        "url": "VARCHAR",
        "add_date": "TIMESTAMP",
        "modify_date": "TIMESTAMP",
    },
}
# The fields in which words are looked for.
TEXTS: dict[Kind, tuple[str, ...]] = {
    "images": (
        "name",
        "description",
        "cognitive_paradigm_cogatlas",
        "cognitive_contrast_cogatlas",
        "contrast_definition",
        "contrast_definition_cogatlas",
        "task_paradigm",
        "modality",
        "map_type",
    ),
    "collections": ("name", "description", "authors", "journal_name", "DOI", "owner_name"),
}
_ORDERS = (GreaterOrEqual, GreaterThan, LessOrEqual, LessThan)
_OPERATORS: dict[type, str] = {
    GreaterOrEqual: ">=",
    GreaterThan: ">",
    LessOrEqual: "<=",
    LessThan: "<",
}
_WORD = re.compile(r'"([^"]+)"|([^\s"]+)')


def columns_sql(kind: Kind) -> str:
    """Return the columns of a table, as CREATE TABLE takes them."""
    typed = ", ".join(f'"{name}" {sql_type}' for name, sql_type in COLUMNS[kind].items())
    # Measured with 700,000 images: zstd makes the records seven times smaller; the text, which
    # every search reads through, is scanned twice as fast as fsst.
    packed = "text VARCHAR USING COMPRESSION fsst, record VARCHAR USING COMPRESSION zstd"
    return f"{typed}, {packed}"


def fresh_sql(kind: Kind) -> str:
    """Return the statements that read the rows of a file, the newest of each id, as `fresh`."""
    types = {**COLUMNS[kind], "text": "VARCHAR", "record": "VARCHAR", "line": "BIGINT"}
    shape = ", ".join(f"'{name}': '{sql_type}'" for name, sql_type in types.items())
    names = ", ".join(f'"{name}"' for name in types if name != "line")
    return (
        f"CREATE TEMP TABLE fresh AS SELECT {names} FROM read_json(?, columns={{{shape}}}, "
        "format='newline_delimited', maximum_object_size=67108864) QUALIFY row_number() OVER "
        "(PARTITION BY id ORDER BY modify_date DESC NULLS LAST, line DESC) = 1"
    )


@dataclass(frozen=True)
class Query:
    """One search.

    Parameters
    ----------
    kind : {"images", "collections"}
        Table to search.
    text, collection_text : str or None
        Words to find.
    fields : mapping
        Fields and what they must be.
    limit : int or None
        Most rows.
    """

    kind: Kind
    text: str | None
    collection_text: str | None
    fields: Mapping[str, object]
    limit: int | None

    def __post_init__(self) -> None:
        if self.kind not in COLUMNS:
            raise UsageError(f"kind must be 'images' or 'collections', not {self.kind!r}.")
        if self.collection_text is not None and self.kind != "images":
            raise UsageError("collection_text searches images; for collections, use text.")
        checked_text("text", self.text)
        checked_text("collection_text", self.collection_text)
        object.__setattr__(self, "limit", checked_limit(self.limit))

    def ids(self, connection: duckdb.DuckDBPyConnection) -> list[int]:
        """Return the ids of the rows that match, sorted."""
        if self._other_fields:
            return [row[0] for row in self.rows(connection, ["id"])]
        found: Any = self._select(connection, ["id"]).fetchnumpy()["id"]  # faster than fetchall
        return list(found.tolist())

    def rows(
        self, connection: duckdb.DuckDBPyConnection, names: list[str]
    ) -> list[tuple[Any, ...]]:
        """Return the columns `names` of the rows that match, by id."""
        found = self._select(connection, names).fetchall()
        return self._with_other_fields(found) if self._other_fields else found

    @property
    def _other_fields(self) -> dict[str, object]:
        """The fields that have no column."""
        return {k: v for k, v in self.fields.items() if k not in COLUMNS[self.kind]}

    def _select(
        self, connection: duckdb.DuckDBPyConnection, names: list[str]
    ) -> duckdb.DuckDBPyConnection:
        clauses = _words("text", self.text)
        if self.collection_text is not None:
            inner = _words("text", self.collection_text) or [("TRUE", [])]
            sql = f"collection_id IN (SELECT id FROM collections WHERE {_and(inner)})"
            clauses.append((sql, _values(inner)))
        typed = {k: v for k, v in self.fields.items() if k in COLUMNS[self.kind]}
        clauses += [self._clause(connection, name, value) for name, value in typed.items()]
        chosen = ", ".join(f'"{name}"' for name in names) + (
            ", record" if self._other_fields else ""
        )
        where = f" WHERE {_and(clauses)}" if clauses else ""
        limit = "" if self._other_fields or self.limit is None else f" LIMIT {int(self.limit)}"
        sql = f"SELECT {chosen} FROM {self.kind}{where} ORDER BY id{limit}"
        return connection.execute(sql, _values(clauses))

    def _with_other_fields(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return the rows whose record fits the fields that have no column, without the record."""
        terms = {k: IsIn(*v) if _is_many(v) else v for k, v in self._other_fields.items()}
        accepts = ResultFilter(terms)
        with _judging(self._other_fields):
            return [row[:-1] for row in rows if accepts(json.loads(row[-1]))][: self.limit]

    def _clause(self, connection: duckdb.DuckDBPyConnection, name: str, wanted: object) -> _Clause:
        sql_type = COLUMNS[self.kind][name]
        if isinstance(wanted, IsIn):
            wanted = list(wanted.accepted_)
        operator = _OPERATORS.get(type(wanted))
        if operator and isinstance(wanted, _ORDERS) and sql_type in ("TIMESTAMP", "BIGINT"):
            return f'"{name}" {operator} ?', [bound(wanted.bound_, sql_type, name)]
        if isinstance(wanted, SpecialValue):
            return self._special(connection, name, wanted)
        values = list(wanted) if _is_many(wanted) else [wanted]
        given = [value for value in values if value is not None]
        good = comparable(given, sql_type, name)
        return _among(name, sql_type, good, null=len(given) < len(values))

    def _special(
        self, connection: duckdb.DuckDBPyConnection, name: str, wanted: SpecialValue
    ) -> _Clause:
        """Search for those values of the column that the special value is equal to."""
        rows = connection.execute(f'SELECT DISTINCT "{name}" FROM {self.kind}').fetchall()
        with _judging({name: wanted}):
            good = [value for (value,) in rows if value is not None and wanted == value]
            null = wanted == None  # noqa: E711 - it is the special value that decides
        return _among(name, COLUMNS[self.kind][name], good, null=null)


@contextmanager
def _judging(fields: Mapping[str, object]) -> Iterator[None]:
    """Translate what a special value raises that cannot judge a value.

    Raises
    ------
    UsageError
    """
    try:
        yield
    except Exception as exc:  # such as of a pattern that is none, or of a user's own class
        shown = ", ".join(f"{name}={wanted!r}" for name, wanted in fields.items())
        raise UsageError(f"{shown} cannot be compared with what is there: {exc}.") from exc


def _among(name: str, sql_type: str, values: list[object], *, null: bool) -> _Clause:
    unknown = f' OR "{name}" IS NULL' if null else ""
    return f'("{name}" IN (SELECT unnest(?::{sql_type}[])){unknown})', [values]


def words_of(text: str | None) -> list[str]:
    """Return the words of a search; what stands in double quotes is one."""
    return [quoted or bare for quoted, bare in _WORD.findall(text or "")]


def _words(column: str, text: str | None) -> list[_Clause]:
    words = (word.lower().encode("utf-8", "replace").decode() for word in words_of(text))
    return [(f"contains({column}, ?)", [word]) for word in words]


def _and(clauses: list[_Clause]) -> str:
    return " AND ".join(sql for sql, _ in clauses)


def _values(clauses: list[_Clause]) -> list[object]:
    return [value for _, values in clauses for value in values]


def _is_many(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable) and not isinstance(value, str | SpecialValue)
