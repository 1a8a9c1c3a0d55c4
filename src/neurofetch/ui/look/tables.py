"""Pages of tables, TSV and CSV, also gzipped: a million rows are never in memory at once.

The first page of a table takes one pass over the file, which counts the rows and remembers where
each 256th begins. After that a page is a seek and a few lines. What has to be translated first
(gzip, UTF-16) goes into a temporary file without a name, bounded in bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import threading
import zlib
from array import array
from collections import OrderedDict
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from neurofetch._shown import shown
from neurofetch.planning.entities import parse
from neurofetch.store.atomic import write_all
from neurofetch.ui.look.places import opened
from neurofetch.ui.look.problems import UnreadableFileError, damaged
from neurofetch.ui.look.sidecars import about_column, metadata
from neurofetch.ui.look.spools import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from neurofetch.ui.look.places import Opened, Place

__all__ = ["Tables"]

_EACH = 256
"""Of so many rows the place of one is remembered."""
_SAMPLE = 1_000
"""Rows that say whether a column is of numbers."""
_LONGEST = 16 << 20
"""Bytes of a row."""
_SPOOL = 512 << 20
"""Bytes that a translated table takes in the temporary folder."""
_COLUMNS = 2_000
_CELLS = 200_000
"""In one page."""
_LETTERS = 2_000
"""Of a cell; the rest is cut, and an ellipsis says so."""
_KNOWN = 6
"""Tables whose rows are known."""
_NO_HEADER = frozenset({"physio", "stim", "physioevents", "motion"})
"""Suffixes of tables whose first line is data: BIDS names their columns in the sidecar."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf|nan)", re.I)
_MISSING = frozenset({"n/a", "", "na", "nan", "null", "none"})


class _Known(NamedTuple):
    """What is known of a table."""

    starts: array[int]
    total: int
    columns: list[str]
    numbers: list[bool]
    delimiter: str
    quoted: bool
    spool: Spool | None
    cut: bool


class Tables:
    """Tables, and where their rows begin.

    Parameters
    ----------
    spool : int
        Bytes that a translated table may take.
    """

    def __init__(self, *, spool: int = _SPOOL) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, ...], _Known] = OrderedDict()

    def page(self, place: Place, first: int, count: int) -> dict[str, Any]:
        """Return some rows of a table, and what its columns are.

        Parameters
        ----------
        place : Place
        first : int
            Number of the first row; the header is none.
        count : int
            At most so many rows. Of wide tables come fewer.

        Raises
        ------
        NotThereError
        UnreadableFileError
        """
        says = metadata(place)
        with opened(place) as file, self._lock:
            known = self._known_of(file, place, says)
            fitting = max(1, _CELLS // max(1, len(known.columns)))
            rows = list(islice(_rows(file, known, first), min(count, fitting)))
            file.check_same()
        columns = [
            {
                "name": shown(name),
                "kind": "number" if number else "text",
                "about": about_column(says, name),
            }
            for name, number in zip(known.columns, known.numbers, strict=True)
        ]
        return {"columns": columns, "rows": rows, "total": known.total, "cut": known.cut}

    def _known_of(self, file: Opened, place: Place, says: Mapping[str, Any]) -> _Known:
        if file.identity in self._known:
            self._known.move_to_end(file.identity)
            return self._known[file.identity]
        known = self._looked_through(file, place, says)
        self._known[file.identity] = known
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return known

    def _looked_through(self, file: Opened, place: Place, says: Mapping[str, Any]) -> _Known:
        spool, cut = _translated(file, self._spool)
        source = _from(file.fd if spool is None else spool.fd, 0)
        first = _first_line(source)
        delimiter = _delimiter(place.parts[-1], first)
        quoted = delimiter != "\t"
        records = _records(source, quoted, file.name)
        names, start = _header(place, says, first, delimiter)
        if start:
            start = next(records)[0]
        starts, total, sample = _counted(records, start, delimiter)
        columns = [*names, *(f"column {n + 1}" for n in range(len(names), _width(sample)))]
        numbers = [
            _is_number([row[n] for row in sample if n < len(row)]) for n in range(len(columns))
        ]
        return _Known(starts, total, columns, numbers, delimiter, quoted, spool, cut)


def _from(fd: int, position: int) -> IO[bytes]:
    stream = open(fd, "rb", buffering=1 << 18, closefd=False)  # noqa: SIM115 - it owns nothing
    stream.seek(position)
    return stream


def _rows(file: Opened, known: _Known, first: int) -> Iterator[list[str]]:
    if first >= known.total:
        return
    source = _from(file.fd if known.spool is None else known.spool.fd, known.starts[first // _EACH])
    records = _records(source, known.quoted, file.name)
    for _, record in islice(records, first % _EACH, None):
        yield _fitted(_cells(record, known.delimiter), len(known.columns))


def _fitted(cells: list[str], width: int) -> list[str]:
    if len(cells) > width:
        cells = [*cells[: width - 1], " ".join(cells[width - 1 :])]
    cells = [one if len(one) <= _LETTERS else f"{one[:_LETTERS]}…" for one in cells]
    return cells + [""] * (width - len(cells))


# -- one pass ----------------------------------------------------------------------------------


def _counted(
    records: Iterator[tuple[int, bytes]], start: int, delimiter: str
) -> tuple[array[int], int, list[list[str]]]:
    """Return where each 256th row begins, how many rows there are, and the first of them."""
    starts = array("q", [start])
    sample: list[list[str]] = []
    total = 0
    for end, record in records:
        total += 1
        if len(sample) < _SAMPLE:
            sample.append(_cells(record, delimiter))
        if total % _EACH == 0:
            starts.append(end)
    return starts, total, sample


def _records(source: IO[bytes], quoted: bool, name: str) -> Iterator[tuple[int, bytes]]:
    """Give each row, and where it ends; lines in quotation marks belong together in CSV."""
    at = source.tell()
    while line := source.readline(_LONGEST + 1):
        parts, size = [line], len(line)
        is_open = quoted and line.count(b'"') % 2 == 1
        while is_open and size <= _LONGEST and (line := source.readline(_LONGEST + 1)):
            parts.append(line)
            size += len(line)
            is_open = line.count(b'"') % 2 == 0
        if size > _LONGEST:
            advice = "It seems to be no table: look at it with another program."
            raise UnreadableFileError(name, "has a row of more than 16 MB", advice)
        at += size
        record = b"".join(parts)
        if record.strip(b"\r\n"):
            yield at, record


def _cells(record: bytes, delimiter: str) -> list[str]:
    text = _decoded(record).rstrip("\r\n")
    if '"' not in text:
        return text.split(delimiter)
    try:
        read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return list(next(read, [""])) or [""]
    except csv.Error:
        return text.split(delimiter)


def _decoded(block: bytes) -> str:
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError:
        return block.decode("cp1252", "replace")


def _first_line(source: IO[bytes]) -> bytes:
    line = source.readline(_LONGEST)
    source.seek(0)
    return line


def _delimiter(name: str, first: bytes) -> str:
    if ".tsv" in name.lower():
        return "\t"
    counts = {one: first.count(one.encode()) for one in (",", ";", "\t")}
    best = max(counts, key=lambda one: counts[one])
    return best if counts[best] else ","


def _header(
    place: Place, says: Mapping[str, Any], first: bytes, delimiter: str
) -> tuple[list[str], int]:
    """Return the names of the columns, and whether the first line holds them."""
    if parse(place.path).suffix in _NO_HEADER:
        told = says.get("Columns")
        return ([str(one) for one in told[:_COLUMNS]] if isinstance(told, list) else []), 0
    if not first.strip():
        return [], 0
    names = _cells(first.removeprefix(b"\xef\xbb\xbf"), delimiter)
    return [name.strip() for name in names[:_COLUMNS]], 1


def _width(sample: Sequence[Sequence[str]]) -> int:
    return min(_COLUMNS, max(map(len, sample), default=0))


def _is_number(cells: Sequence[str]) -> bool:
    told = [one.strip() for one in cells if one.strip().lower() not in _MISSING]
    return bool(told) and all(map(_NUMBER.fullmatch, told))


# -- what has to be translated first -------------------------------------------------------------


def _translated(file: Opened, limit: int) -> tuple[Spool | None, bool]:
    """Return a table as plain lines in a temporary file, and whether that was cut; else None."""
    begin = _from(file.fd, 0).read(1 << 16)
    if begin[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=_from(file.fd, 0)) as unpacked:
            return _spooled(cast("IO[bytes]", unpacked), file.name, limit)
    if begin[:2] in (b"\xff\xfe", b"\xfe\xff"):
        wide = io.TextIOWrapper(_from(file.fd, 0), "utf-16", "replace")
        return _spooled(cast("IO[bytes]", _Encoded(wide)), file.name, limit)
    if b"\r" in begin and b"\n" not in begin:  # as Excel for Macintosh writes
        lines = io.TextIOWrapper(_from(file.fd, 0), "latin-1")
        return _spooled(cast("IO[bytes]", _Encoded(lines, "latin-1")), file.name, limit)
    return None, False


class _Encoded:
    """A text as bytes; its lines end in one way."""

    def __init__(self, text: io.TextIOWrapper, encoding: str = "utf-8") -> None:
        self._text = text
        self._encoding = encoding

    def read(self, count: int) -> bytes:
        return self._text.read(count).encode(self._encoding)


def _spooled(source: IO[bytes], name: str, limit: int) -> tuple[Spool, bool]:
    spool = Spool()
    left = limit
    try:
        while left > 0 and (block := source.read(min(left, 1 << 18))):
            write_all(spool.fd, block)
            left -= len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        spool.close()
        raise damaged(name, f"is damaged within its gzip stream ({error})") from error
    except BaseException:
        spool.close()
        raise
    return spool, left <= 0
