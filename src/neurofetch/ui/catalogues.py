"""What a source has, in columns: the page counts in them, and asks nobody while one clicks."""

from __future__ import annotations

import os
import re
import threading
from array import array
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from neurofetch._shown import shown
from neurofetch.errors import NeurofetchError, UsageError
from neurofetch.planning.entities import datatype_of, derivative_of, parse
from neurofetch.ui.commands import FACETS, Call, Choice, Source, call_for, everything, search_argv
from neurofetch.ui.jobs import DRY, Job, Jobs
from neurofetch.ui.web import NotThereError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from neurofetch.ui.directories import Directories
    from neurofetch.ui.streams import Broadcast

__all__ = ["Catalogue", "Catalogues", "Columns", "said_of"]

_TO_FETCH, _HERE, _WITHHELD = range(3)
_STATES: Final = {"keep": _HERE, "refuse": _WITHHELD, "leave": _WITHHELD}
_NAMES: Final = {
    **{name: title for name, (title, _) in FACETS.items()},
    "collection": "Collections",
    "map_type": "Kinds of map",
    "modality": "Modalities",
}
_KEPT: Final = 8
"""Catalogues that are kept; the oldest goes when there is one more."""
_MOST_HERE: Final = 2_000_000
"""Files of a directory that are looked at."""
_MOST_IMAGES: Final = 2_000
"""Images of NeuroVault that fit on a command line."""


class Columns:
    """Files, in columns.

    Parameters
    ----------
    facets : sequence of str
        What they can be chosen by.
    """

    def __init__(self, facets: Sequence[str]) -> None:
        self.paths: list[str] = []
        self.sizes = array("q")  # -1: not known
        self.states = array("b")
        self.ids = array("q")  # of images of NeuroVault
        self.codes: dict[str, array[int]] = {name: array("l") for name in facets}
        self._numbers: dict[str, dict[str, int]] = {name: {} for name in facets}

    def add(
        self, path: str, size: int | None, state: int, said: Mapping[str, str], number: int = 0
    ) -> None:
        """Add a file.

        Parameters
        ----------
        path : str
        size : int or None
            Bytes.
        state : int
            0 to fetch, 1 here, 2 withheld.
        said : mapping of str to str
            Its value of each facet that it has.
        number : int
            Of an image of NeuroVault.
        """
        self.paths.append(path)
        self.sizes.append(-1 if size is None else size)
        self.states.append(state)
        self.ids.append(number)
        for name, codes in self.codes.items():
            value = said.get(name)
            if value is None:
                codes.append(-1)
            else:
                numbers = self._numbers[name]
                codes.append(numbers.setdefault(value, len(numbers)))

    def finish(self) -> None:
        """Put the values of each facet in natural order, and drop facets without values."""
        for name in [name for name, numbers in self._numbers.items() if not numbers]:
            del self._numbers[name], self.codes[name]
        for name, numbers in self._numbers.items():
            ordered = sorted(numbers, key=_natural)
            place = {numbers[value]: n for n, value in enumerate(ordered)} | {-1: -1}
            self.codes[name] = array("l", map(place.__getitem__, self.codes[name]))
            self._numbers[name] = {value: n for n, value in enumerate(ordered)}

    @property
    def facets(self) -> list[dict[str, Any]]:
        """The facets with their values, as the page gets them."""
        return [
            {"name": name, "title": _NAMES[name], "values": list(numbers)}
            for name, numbers in self._numbers.items()
        ]

    def sums(self) -> dict[str, int]:
        """Return how many files and bytes there are, and how many of them here."""
        known = [max(size, 0) for size in self.sizes]
        here = [n for n, state in enumerate(self.states) if state == _HERE]
        return {
            "files": len(self.paths),
            "bytes": sum(known),
            "files_here": len(here),
            "bytes_here": sum(known[n] for n in here),
            "files_withheld": sum(state == _WITHHELD for state in self.states),
        }

    def rows(self, begin: int, number: int) -> dict[str, Any]:
        """Return rows of all columns, as the page gets them."""
        part = slice(begin, begin + number)
        return {
            "from": begin,
            "total": len(self.paths),
            "paths": self.paths[part],
            "bytes": [None if size < 0 else size for size in self.sizes[part]],
            "state": self.states[part].tolist(),
            "codes": {name: codes[part].tolist() for name, codes in self.codes.items()},
        }

    def chosen(self, choice: Choice) -> Iterator[int]:
        """Give the numbers of the rows that a choice leaves."""
        tests = []
        for name, values in choice.values:
            numbers = self._numbers.get(name, {})
            wanted = {numbers[value] for value in values if value in numbers}
            tests.append((self.codes.get(name), wanted))
        for row in range(len(self.paths)):
            if all(codes is not None and codes[row] in wanted for codes, wanted in tests):
                yield row


def _natural(text: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"([0-9]+)", text)
    return [(n % 2 == 0, 0 if n % 2 == 0 else int(one), one) for n, one in enumerate(parts)]


def said_of(path: str) -> dict[str, str]:
    """Return what a path says of its file, by the names of the facets.

    Parameters
    ----------
    path : str
        Relative to the root of the data set.

    Examples
    --------
    >>> said_of("sub-01/anat/sub-01_T1w.nii.gz")
    {'subject': '01', 'suffix': 'T1w', 'extension': '.nii.gz', 'datatype': 'anat'}
    """
    entities = parse(path)
    values = dict(reversed(entities.values))
    said = {name: values[short] for name, (_, short) in FACETS.items() if short and short in values}
    found = {
        "suffix": entities.suffix if said or "/" in path else "",
        "extension": entities.extension,
        "datatype": datatype_of(path) or "",
        "derivative": derivative_of(path),
    }
    said.update((name, value) for name, value in found.items() if value)
    return said


@dataclass(slots=True, eq=False)
class Catalogue:
    """What a source has.

    Parameters
    ----------
    name : str
        "c1".
    source : Source
    to : mapping
        Where to, as the page said it.
    place : str
        The data directory of that.
    call : Call
        That of everything.
    """

    name: str
    source: Source
    to: Mapping[str, object]
    place: str
    call: Call
    state: str = "listing"
    columns: Columns | None = None
    job: Job | None = None
    error: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    sums: dict[str, int] = field(default_factory=dict)
    listed: int = 0

    def as_json(self, *, facets: bool = False) -> dict[str, Any]:
        """Return what the page shows of it.

        Parameters
        ----------
        facets : bool
            Also the values of all facets, once it is ready.
        """
        said: dict[str, Any] = {
            "catalogue": self.name,
            "state": self.state,
            "title": self.source.title,
            "source": self.source.as_json(),
            "to": dict(self.to),
            "place": shown(self.place),
            "listed": self.job.listed if self.job is not None else self.listed,
            "say": self.call.as_json(),
            "error": self.error,
            "notes": self.notes,
            "files": 0,
            "bytes": 0,
            "files_here": 0,
            "bytes_here": 0,
            "files_withheld": 0,
            **self.sums,
        }
        if facets and self.columns is not None:
            said["facets"] = self.columns.facets
        return said


class Catalogues:
    """All catalogues of a page.

    Parameters
    ----------
    directories : Directories
    jobs : Jobs
    broadcast : Broadcast
    """

    def __init__(self, directories: Directories, jobs: Jobs, broadcast: Broadcast) -> None:
        self._directories, self._jobs, self._broadcast = directories, jobs, broadcast
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._all: dict[str, Catalogue] = {}

    def all(self) -> list[Catalogue]:
        """Return them, the oldest first."""
        with self._lock:
            return list(self._all.values())

    def find(self, name: object) -> Catalogue:
        """Return the catalogue of this name.

        Raises
        ------
        NotThereError
        """
        with self._lock:
            found = self._all.get(name) if isinstance(name, str) else None
        if found is None:
            raise NotThereError("this list of files is not kept any more. Choose the source again.")
        return found

    def open(self, given_source: object, to: Mapping[str, object]) -> Catalogue:
        """Begin to list what a source has.

        Parameters
        ----------
        given_source : object
            As the page gives it: see `Source.checked`.
        to : mapping
            ``directory`` and ``folder``.

        Raises
        ------
        UsageError, NotThereError
        """
        source = Source.checked(given_source)
        place = self._directories.place(to.get("directory"), to.get("folder"))
        if source.kind == "laion":
            _make(place)
        call = everything(source, str(place))
        made = Catalogue(f"c{next(self._numbers)}", source, dict(to), str(place), call)
        if source.kind == "directory":
            self._look(made, place)
        else:
            self._ask(made)
        with self._lock:
            self._all[made.name] = made
            gone = [self._all.pop(name) for name in list(self._all)[:-_KEPT]]
        for one in gone:
            self.stop(one)
            self._broadcast.forget("catalogue", one.name)
        self._tell(made)
        return made

    def stop(self, catalogue: Catalogue) -> None:
        """Stop listing."""
        if catalogue.job is not None and catalogue.state == "listing":
            self._jobs.stop(catalogue.job)

    def call(self, catalogue: Catalogue, given: object, place: str) -> Call:
        """Return the call that brings what was chosen.

        Parameters
        ----------
        catalogue : Catalogue
        given : object
            As the page gives it: see `Choice.checked`.
        place : str
            The data directory.
        """
        source = catalogue.source
        choice = Choice.checked(given, source)
        images: list[int] = []
        if source.kind == "neurovault" and (choice.values or source.search):
            columns = catalogue.columns or Columns(())
            images = [columns.ids[row] for row in columns.chosen(choice)]
            if len(images) > _MOST_IMAGES:
                msg = f"{len(images):,} images were chosen, and one command names at most"
                raise UsageError(f"{msg} {_MOST_IMAGES:,}. Nothing was done. Choose fewer.")
            if not images:
                raise UsageError("No image is like that. Nothing was done. Choose fewer values.")
        return call_for(source, choice, place, images)

    def _ask(self, made: Catalogue) -> None:
        searching = bool(made.source.search)
        call = Call(search_argv(made.source), made.call.python) if searching else made.call
        job = Job(
            self._jobs.new_name(),
            "list",
            call,
            made.source.title,
            () if searching else DRY,
            made.to,
            place=made.place,
            when_over=lambda done: self._listed(made, done),
        )
        made.job = job
        self._jobs.begin(job)

    def _listed(self, made: Catalogue, job: Job) -> None:
        made.listed, made.notes = job.listed, list(job.notes)
        if job.state != "done" or job.document is None:
            made.error = job.error
            made.state = "stopped" if job.state in ("stopped", "paused") else "failed"
        else:
            self._fill(made, job)
        if job.document is not None:
            job.document.close()
        made.job = None
        self._tell(made)

    @staticmethod
    def _fill(made: Catalogue, job: Job) -> None:
        try:
            made.columns = _columns(made.source, job)
            made.sums = made.columns.sums()
            made.state = "ready"
        except (ValueError, KeyError, TypeError, OverflowError, OSError) as error:
            said = f"the list of files cannot be read: {error!r}. Nothing was done."
            made.error = {"code": "fault", "message": said, "advice": None, "exit_code": None}
            made.state = "failed"

    def _look(self, made: Catalogue, place: Path) -> None:
        columns = Columns(made.source.facets)
        for path, size in _files_in(place):
            columns.add(path, size, _HERE, said_of(path))
        columns.finish()
        made.columns, made.sums, made.state = columns, columns.sums(), "ready"

    def _tell(self, made: Catalogue) -> None:
        self._broadcast.tell("catalogue", made.name, made.as_json)


def _make(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{shown(str(place))} cannot be made: {error.strerror}. Nothing was done."
        raise NeurofetchError(msg) from error


def _columns(source: Source, job: Job) -> Columns:
    columns = Columns(source.facets)
    assert job.document is not None  # seen by the caller
    if source.search:
        _add_records(columns, job.document.head.get("records", ()))
    elif source.kind == "neurovault":
        for row in job.document.rows():
            said, number = _of_image(row["path"])
            columns.add(
                shown(row["path"]), row["size"], _STATES.get(row["action"], _TO_FETCH), said, number
            )
    else:
        for row in job.document.rows():
            path = row["path"]
            state = _STATES.get(row["action"], _TO_FETCH)
            columns.add(shown(path), row["size"], state, said_of(path))
    columns.finish()
    return columns


def _of_image(path: str) -> tuple[dict[str, str], int]:
    found = re.search(r"collection_([0-9]+)/image_([0-9]+)", path)
    return ({"collection": found[1]}, int(found[2])) if found else ({}, 0)


def _add_records(columns: Columns, records: Iterable[Mapping[str, Any]]) -> None:
    for record in records:
        said = {
            name: shown(str(value))
            for name in ("map_type", "modality")
            if (value := record.get(name)) not in (None, "")
        }
        said["collection"] = str(record.get("collection_id"))
        name = shown(str(record.get("name") or record.get("id")))
        size = record.get("file_size")
        columns.add(
            f"{name} ({record.get('id')})",
            size if isinstance(size, int) else None,
            _TO_FETCH,
            said,
            int(record["id"]),
        )


def _files_in(root: Path) -> Iterator[tuple[str, int]]:
    """Give the files of a directory; hidden ones and what links lead to are left out."""
    left = _MOST_HERE
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        below = []
        for entry in found:
            if entry.name.startswith("."):
                continue
            path = f"{folder}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    below.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False):
                    yield shown(path), entry.stat(follow_symlinks=False).st_size
                    left -= 1
            except OSError:
                continue  # gone meanwhile
            if left <= 0:
                return
        folders += reversed(below)
