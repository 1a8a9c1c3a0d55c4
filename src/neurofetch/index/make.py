"""Make an index: rows as they come, some of them in memory at a time."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch._shown import shown
from neurofetch._threads import few_collections, together
from neurofetch.display.progress import listener
from neurofetch.display.text import count
from neurofetch.errors import DestinationError, UnsafeNameError, UsageError
from neurofetch.events import Checking
from neurofetch.extras import need
from neurofetch.index.columns import MARK, arrow_schema
from neurofetch.index.entities import said
from neurofetch.index.walk import Walk, as_text
from neurofetch.integrity.checksums import hasher
from neurofetch.integrity.verification import read_blocks
from neurofetch.model import VerificationLevel
from neurofetch.store.atomic import replacing
from neurofetch.store.data_source import state_folders
from neurofetch.store.directory import DataDirectory
from neurofetch.store.folder import given_path
from neurofetch.store.origins import origin_of
from neurofetch.store.owner import process_token
from neurofetch.store.partials import name_of
from neurofetch.transfer.options import check_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from neurofetch.events import Event
    from neurofetch.index.walk import Found

__all__ = ["Index", "index"]

_AT_ONCE = 1 << 12
"""Files that are looked at together."""
_GROUP = 1 << 16
"""Rows of a row group: they are in memory together, as columns."""
_NAME = "index.parquet"
_STRONG = "sha256"
"""What a file is hashed with of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index that was made.

    Parameters
    ----------
    path : Path
        The Parquet file.
    root : Path
        The directory that it is of.
    counts : dict of str to int
        Files by their status: ``here``, ``missing``, ``changed``.
    bytes : int
        Of the files that are here.
    verified : int
        Files whose content is known to be what was fetched, as far as size and time tell.
    complete : bool
        Whether everything in the directory could be read.
    notes : tuple of str
        What could not, and what else you should know.
    """

    path: Path
    root: Path
    counts: Mapping[str, int]
    bytes: int
    verified: int
    complete: bool = True
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """How many rows it has."""
        return sum(self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the same values, in the words of ``--json``.

        Returns
        -------
        dict
            Values that JSON can hold.
        """
        return {
            "index": os.fspath(self.path),
            "root": os.fspath(self.root),
            "ok": self.complete,
            "counts": dict(self.counts),
            "files_total": self.files,
            "files_verified": self.verified,
            "bytes_total": self.bytes,
            "notes": list(map(shown, self.notes)),
        }

    def __str__(self) -> str:
        """Return what the command prints."""
        parts = [f"{number:,} {status}" for status, number in self.counts.items() if number]
        return f"{shown(str(self.path))}: {count(self.files)} ({', '.join(parts) or 'none'})"


def index(
    dest: str | os.PathLike[str] = ".",
    out: str | os.PathLike[str] | None = None,
    *,
    read_all: bool = False,
    overwrite: bool = False,
    progress: str | bool | Callable[[Event], None] | None = None,
) -> Index:
    """Write a Parquet index of a directory: one row for each file, sorted by path.

    The columns are those of bids2table, and what is known of each file from its receipt. No
    content is read unless you ask for it. Files of any tool are in it.

    Parameters
    ----------
    dest : path
        A data directory, a folder in one, or one with several data sets in it.
    out : path, optional
        Where to write it; by default ``.neurofetch/index.parquet`` in `dest`, where it is no file
        of the data set. An index that is there is replaced.
    read_all : bool
        Read every byte: of all files that are here the hash is known then, and whether it is that
        of what was fetched.
    overwrite : bool
        Replace a file that is no index, too.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress of reading every byte; a callable gets every event.

    Returns
    -------
    Index

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    DestinationError
        If there is no such directory, or the index cannot be written.
    UsageError
        If something stands at `out` that is no index.
    """
    need("An index", "index", "pyarrow")
    check_switches(read_all=read_all, overwrite=overwrite)
    root = Path(os.path.abspath(DataDirectory(dest).root))
    target = _target(root, out, overwrite=overwrite)
    listen = listener(progress)
    with few_collections(), _writing(target, out is None) as draft:
        walk = Walk(str(root), str(target))
        reading = _Reading.of(Walk(str(root), str(target)), listen) if read_all else None
        table = _Table()
        _write(draft, table.batches(walk, reading))
        notes = (*walk.notes, *(reading.notes if reading else ()))
        complete = walk.complete and not (reading and reading.notes)
    return Index(target, root, table.counts, table.bytes, table.verified, complete, notes)


# -- where to --------------------------------------------------------------------------------


def _target(root: Path, out: str | os.PathLike[str] | None, *, overwrite: bool) -> Path:
    """Return where to write, by its real folder; what stands there is an index, or is named.

    Raises
    ------
    UsageError
        If it is a folder, a device or a pipe, or a file of somebody else.
    """
    if out is None:
        states = state_folders(root)
        folder = states[0] if states else root / ".neurofetch"
        if folder.is_symlink():
            msg = f"{shown(str(folder))} is a link: an index would be written elsewhere. No index"
            raise UnsafeNameError(
                f"{msg} was made. Remove it, or name a file with --out (out=...)."
            )
        path = folder / _NAME
    elif isinstance(out, str) and not out.strip():
        msg = "the name of the index is an empty string. No index was made. Name a file."
        raise UsageError(msg)
    else:
        path = given_path(out, "the name of the index")
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "folder" if os.path.isdir(path) else "device or pipe"
        msg = f"{shown(str(path))} is a {kind}. No index was made. Name a file."
        raise UsageError(msg)
    # What a link leads to that was named; none leads away from the state folder.
    path = Path(os.path.realpath(path.parent), path.name)
    path = path if out is None else Path(os.path.realpath(path))
    if not overwrite and os.path.lexists(path) and not _is_index(path):
        msg = (
            f"{shown(str(path))} is there, and is no index. No index was made. Choose another "
            "name, or replace that file with --overwrite (overwrite=True)."
        )
        raise UsageError(msg)
    return path


def _is_index(path: Path) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - of an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with open(path, "rb") as file:  # pyarrow takes no name that is no UTF-8
            metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return MARK in metadata


@contextmanager
def _writing(target: Path, in_state: bool) -> Iterator[str]:
    """Give a temporary name for the index, which takes its own when all is well."""
    name = None
    try:
        if target.parent.name == ".neurofetch":
            target.parent.mkdir(exist_ok=True)
        partial = target.parent / "partial"
        if in_state and not partial.is_symlink():  # the next run and `clean` sweep there
            partial.mkdir(exist_ok=True)
            mark = f"{process_token()}.{secrets.token_hex(8)}"
            name = f"{partial.name}/{name_of(_NAME)}.{mark}.tmp"
        with replacing(target, draft=name) as draft:
            yield draft
    except DestinationError:
        raise
    except OSError as error:
        msg = (
            f"the index {shown(str(target))} cannot be written: {error.strerror or error}. No "
            "index was made. Name another place with --out FILE (out=...)."
        )
        raise DestinationError(msg) from error


def _write(draft: str, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - of an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    with (
        open(draft, "wb") as file,
        pq.ParquetWriter(file, arrow_schema(), compression="zstd") as writer,
    ):
        while some := list(islice(batches, _GROUP // _AT_ONCE)):
            writer.write_table(pa.Table.from_batches(some), row_group_size=_GROUP)


# -- rows ------------------------------------------------------------------------------------


class _Content(NamedTuple):
    """What is known of the content of a file."""

    status: str
    hash: str | None = None
    hash_from: str | None = None
    verified: str | None = None


@dataclass(slots=True)
class _Table:
    """The rows, and what they come to."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("here", "missing", "changed"), 0)
    )
    bytes: int = 0
    verified: int = 0

    def batches(self, walk: Iterable[Found], reading: _Reading | None) -> Iterator[pa.RecordBatch]:
        """Give the rows of an index, some thousands at a time."""
        import pyarrow as pa  # noqa: PLC0415 - of an extra

        schema = arrow_schema()
        files = iter(walk)
        while some := list(islice(files, _AT_ONCE)):
            read = reading.hashes(some) if reading else [None] * len(some)
            rows = map(self._row, some, read)
            columns = [
                pa.array(list(column), type=one.type)
                for column, one in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            yield pa.record_batch(columns, schema=schema)

    def _row(self, found: Found, read: str | None) -> tuple[Any, ...]:
        place, local = found.place, found.local
        root = as_text(place.root)
        path = found.path[len(root.rstrip("/")) + 1 :]
        name = said(path)
        content = _content(found, read)
        self.counts[content.status] += 1
        self.verified += content.verified is not None
        self.bytes += 0 if local is None else local.size
        return (
            place.name,
            *name.values,
            name.extra,
            root,
            path,
            name.unit or None,
            None if local is None else local.size,
            None if local is None else local.mtime_ns // 1000,
            *content,
            *_origin(found),
        )


def _content(found: Found, read: str | None) -> _Content:
    """Return what is known of the content of a file.

    Parameters
    ----------
    found : Found
    read : str or None
        The hash of what is here, where it was read: of the kind that the receipt has.
    """
    local, receipt = found.local, found.receipt
    if receipt is None:
        return _unfetched(found, read)
    told = as_text(receipt.digest) or None
    if local is None:
        return _Content("missing", _spelled(told), "receipt" if told else None)
    level = None if receipt.verification is VerificationLevel.NONE else receipt.verification.value
    if read is not None and told is not None and _kind(read) == _kind(told):
        same = read == told
        how = ("here", level) if same else ("changed", None)
        return _Content(how[0], _spelled(read), "read", how[1])
    changed = local.size != receipt.size or local.damaged
    known = local.content or None  # none where its time is another, as of a copy
    status = "changed" if changed else "here"
    if read is not None:
        return _Content(status, _spelled(read), "read", None if local.touched else level)
    sound = not changed and not local.touched
    return _Content(status, _spelled(known), "receipt" if known else None, level if sound else None)


def _unfetched(found: Found, read: str | None) -> _Content:
    """Return what is known of the content of a file that has no receipt."""
    annex = found.annex or None
    if read is None or found.local is None:
        return _Content("missing" if found.local is None else "here", annex, annex and "annex")
    differs = annex is not None and _kind(read) == _kind(annex) and read != annex
    return _Content("changed" if differs else "here", _spelled(read), "read")


def _kind(digest: str) -> str:
    return digest.partition(":")[0]


def _spelled(digest: str | None) -> str | None:
    """Return a digest as lock files spell it."""
    return f"git{digest[7:]}" if digest and digest.startswith("gitblob:") else digest


def _origin(found: Found) -> tuple[str | None, ...]:
    """Return source, key, address, version and ETag of what a receipt tells of."""
    receipt, source = found.receipt, found.source
    if receipt is None:
        return (None,) * 5
    url, key = ("", receipt.key) if source is None else origin_of(receipt, source)
    known = ("" if source is None else source.url), key, url, receipt.version, receipt.etag
    return tuple(as_text(one) or None for one in known)


# -- reading every byte ----------------------------------------------------------------------


@dataclass(slots=True)
class _Reading:
    """Files are read; how far it is, is told."""

    files: int
    bytes: int
    listen: Callable[[Event], None]
    done: dict[str, int] = field(default_factory=dict)
    over: list[int] = field(default_factory=lambda: [0, 0])
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, walk: Iterable[Found], listen: Callable[[Event], None]) -> _Reading:
        """Count what there is to be read."""
        files = total = 0
        for found in walk:
            if found.local is not None:
                files, total = files + 1, total + found.local.size
        return cls(files, total, listen)

    def hashes(self, some: Sequence[Found]) -> list[str | None]:
        """Return the hashes of some files, None for one that is missing or cannot be read."""
        looks = [partial(self._hash, found) for found in some]
        found = together(looks, max(2, os.cpu_count() or 2), self._tell)
        self.over = [self.over[0] + len(self.done), self.over[1] + sum(self.done.values())]
        self.done = {}
        self._tell()
        return found

    def _hash(self, found: Found) -> str | None:
        if found.local is None:
            return None
        told = found.receipt.digest if found.receipt is not None else found.annex
        algorithm = told.partition(":")[0]
        try:
            digest = hasher(algorithm, found.local.size)
        except ValueError:  # none is told, or one of a newer version
            algorithm = _STRONG
            digest = hasher(algorithm)
        read = self.done[found.name] = 0
        try:
            for block in read_blocks(found.name):
                digest.update(block)
                read += len(block)
                self.done[found.name] = read
        except OSError as error:
            self.notes.append(
                f"{found.path} cannot be read: {error.strerror or error}. Its hash is not known."
            )
            return None
        return f"{algorithm}:{digest.hexdigest()}"

    def _tell(self) -> None:
        files, read = self.over[0] + len(self.done), self.over[1] + sum(self.done.copy().values())
        seconds = time.monotonic() - self.began
        rate = read / seconds if seconds > 0 else 0.0
        total = max(self.bytes, read)
        self.listen(Checking(min(files, self.files), self.files, read, total, seconds, rate, 0))
