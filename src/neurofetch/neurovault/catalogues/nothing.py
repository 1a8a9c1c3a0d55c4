"""Say why a search found nothing: which condition alone finds nothing, and what is near it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.neurovault.catalogues.search import COLUMNS, Kind, Query, words_of
from neurofetch.planning.suggest import nearest, or_list

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

__all__ = ["unknown_fields", "why_nothing"]

_FEW = 12
"""So many values of a field are all listed."""
_ARGUMENTS = ("text", "kind", "collection_text", "limit", "path")
"""What a search takes beside fields."""
_LIKE = 0.82
"""How alike two words must be (Jaro and Winkler's measure, from 0 to 1)."""


def unknown_fields(connection: duckdb.DuckDBPyConnection, query: Query) -> list[str]:
    """Return what is wrong with those fields of a query that no record has.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    query : Query
        One that finds nothing: all records are read for this.
    """
    own = [name for name in query.fields if name not in COLUMNS[query.kind]]
    if not own or not _count(connection, _everything(query)):
        return []
    sql = f"SELECT DISTINCT unnest(json_keys(record)) FROM {query.kind}"
    there = {str(row[0]) for row in connection.execute(sql).fetchall()}
    lines = []
    for name in own:
        if name not in there:
            if near := nearest(name, _ARGUMENTS, 1, cutoff=0.8):
                near = [f"{near[0]}= (an argument of the search)"]
            else:
                near = nearest(name, there)
            meant = f" Did you mean {or_list(near)}?" if near else ""
            lines.append(f"No record of the {query.kind} has a field {name!r}.{meant}")
    return lines


def why_nothing(connection: duckdb.DuckDBPyConnection, query: Query) -> str:
    """Return why a query finds nothing, in words for a user.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    query : Query
        One that finds nothing, all of whose fields exist.
    """
    total = _count(connection, _everything(query))
    if not total:
        return f"The catalogue holds no {query.kind}. Fill it with: neurofetch neurovault search \
--update"
    lines = [f"None of the {total:,} {query.kind} in the catalogue matches."]
    found: list[tuple[str, int]] = []
    for title, alone, hint in _conditions(connection, query):
        number = _count(connection, alone)
        found.append((title, number))
        if not number:
            lines.append(f"  {title} alone finds nothing.{hint}")
    if len(lines) == 1 and len(found) > 1:
        lines += [f"  {title} alone finds {number:,}" for title, number in found]
        lines.append("Leave one of these conditions out, or change it.")
    return "\n".join(lines)


def _everything(query: Query) -> Query:
    return Query(query.kind, None, None, {}, None)


def _conditions(
    connection: duckdb.DuckDBPyConnection, query: Query
) -> Iterator[tuple[str, Query, str]]:
    """Yield each condition of a query: its name, a query of it alone, and what is near."""
    nothing = _everything(query)
    for word in words_of(query.text):
        alone = replace(nothing, text=f'"{word}"')
        yield f"the word {word!r}", alone, _near_words(connection, query.kind, word)
    for word in words_of(query.collection_text):
        alone = replace(nothing, collection_text=f'"{word}"')
        hint = _near_words(connection, "collections", word)
        yield f"the word {word!r} of collections", alone, hint
    for name, value in query.fields.items():
        alone = replace(nothing, fields={name: value})
        yield f"{name}={value!r}", alone, _near_values(connection, query, name, value)


def _count(connection: duckdb.DuckDBPyConnection, query: Query) -> int:
    return len(query.rows(connection, ["id"]))


def _near_words(connection: duckdb.DuckDBPyConnection, kind: Kind, word: str) -> str:
    if re.search(r"\W", word):
        return ""
    rows = connection.execute(
        f"SELECT word FROM (SELECT unnest(regexp_split_to_array(text, '\\W+')) AS word FROM {kind})"
        " WHERE jaro_winkler_similarity(word, $1) >= $2 GROUP BY word"
        " ORDER BY jaro_winkler_similarity(word, $1) DESC, count(*) DESC, word LIMIT 3",
        [word.lower(), _LIKE],
    ).fetchall()
    return f" Did you mean {or_list([row[0] for row in rows])}?" if rows else ""


def _near_values(
    connection: duckdb.DuckDBPyConnection, query: Query, name: str, value: object
) -> str:
    kind, sql_type = query.kind, COLUMNS[query.kind].get(name, "")
    if sql_type in ("BIGINT", "DOUBLE", "TIMESTAMP"):
        sql = f'SELECT min("{name}"), max("{name}") FROM {kind}'
        low, high = connection.execute(sql).fetchone() or (None, None)
        return f" The values go from {low} to {high}." if low is not None else ""
    there = _values(connection, query, name)
    if sql_type == "BOOLEAN":
        return f" The values are {or_list(there)}." if there else ""
    near = nearest(value, there) if isinstance(value, str) else []
    if near:
        return f" Did you mean {or_list([repr(one) for one in near])}?"
    if 0 < len(there) <= _FEW:
        return f" The values are {or_list([repr(one) for one in there])}."
    return ""


def _values(connection: duckdb.DuckDBPyConnection, query: Query, name: str) -> list[str]:
    """Return the values of a field, the most frequent first."""
    if name in COLUMNS[query.kind]:
        source, values = f'"{name}"', list[str]()
    else:
        source, values = "json_extract_string(record, $1)", [f'$."{name}"']
    sql = (
        f"SELECT value FROM (SELECT {source} AS value FROM {query.kind}) WHERE value IS NOT NULL "
        "GROUP BY value ORDER BY count(*) DESC, value"
    )
    rows = connection.execute(sql, values).fetchall()
    return [str(row[0]).lower() if isinstance(row[0], bool) else str(row[0]) for row in rows]
