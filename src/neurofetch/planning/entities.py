"""BIDS names: what a path says of itself, and back.

A BIDS file name is a chain of ``entity-value`` pairs, then a suffix, then an extension:
``sub-01_ses-02_task-images_desc-R2_statmap.nii.gz``. The subject and the session are also read from
the folders, because many files beside the data (figures, logs) carry them only there, and so is all
that a folder named by several entities says (``sub-01_task-rest.feat/``). What lies in a recording
that is a folder says what the name of that folder says.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from neurofetch.planning.bids_schema import DATATYPES, ENTITIES, INDEX_ENTITIES
from neurofetch.planning.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ENTITY_NAMES",
    "EXTRA_ENTITIES",
    "INDEX_ENTITIES",
    "Entities",
    "Name",
    "NameReader",
    "Pairs",
    "Reader",
    "bare",
    "datatype_of",
    "format",
    "full",
    "parse",
]

EXTRA_ENTITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # BIDS has no rules yet for results of a statistical model. Those who write them agree on
        # two entities: nilearn (`nilearn.glm.save_glm_to_bids` documents the names
        # ``contrast-[name]_stat-effect_statmap``), FitLins, and LAION-fMRI's localizers and betas.
        "contrast": "contrast",
        "statistic": "stat",
    }
)
"""Long and short names of entities that files carry and the BIDS schema does not have."""

*_FIRST, _DESCRIPTION = ENTITIES.items()
ENTITY_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    dict([*_FIRST, *EXTRA_ENTITIES.items(), _DESCRIPTION])
)
"""The long names of all known entities with their short ones, in the order of a file name: those
of the schema (see `neurofetch.planning.bids_schema`), and `EXTRA_ENTITIES` before ``desc``."""

_INHERITED = ("sub", "ses")

Pairs = tuple[tuple[str, str], ...]
"""Entities and their values."""
K = TypeVar("K")
T = TypeVar("T")


class Entities(NamedTuple):
    """What a name says.

    Parameters
    ----------
    values : tuple of (entity, value)
        Short names with bare values, in the order of the name; those that only the folders name
        come first.
    suffix : str
        The last chunk that is no entity: ``statmap``, ``bold``; empty where there is none.
    extension : str
        From the first dot of the last chunk on, dot included: ``.nii.gz``; empty where there is
        none.
    """

    values: tuple[tuple[str, str], ...] = ()
    suffix: str = ""
    extension: str = ""

    def get(self, entity: str) -> str | None:
        """Return the value of an entity, the first where it is repeated; None without it.

        Parameters
        ----------
        entity : str
            Its short name.
        """
        for name, value in self.values:
            if name == entity:
                return value
        return None


def parse(path: str) -> Entities:
    """Read a file name, and what the folders say of subject and session.

    The name wins over the folders. A value may hold hyphens and dots, as it does in the wild: the
    first hyphen ends the entity's name. A file in a recording that is a folder says what that
    says (see `neurofetch.planning.units`).

    Parameters
    ----------
    path : str
        A key or a relative path, with forward slashes.

    Examples
    --------
    >>> parse("sub-01/ses-02/func/figures/R2.png")
    Entities(values=(('sub', '01'), ('ses', '02')), suffix='R2', extension='.png')
    >>> parse("rois/sub-01_label-pSTS-faces_mask.nii.gz").get("label")
    'pSTS-faces'
    >>> parse("sub-01/anat/sub-01_acq-0.7mm_T1w.nii.gz").get("acq")
    '0.7mm'
    >>> parse("sub-01/meg/sub-01_task-rest_meg.ds/hz.ds/hz.acq")
    Entities(values=(('sub', '01'), ('task', 'rest')), suffix='meg', extension='.ds')
    """
    folder, _, name = (unit_of(path) or path).rpartition("/")
    inherited = _head_of(folder).pairs
    said = _read(name)
    if inherited and said.values[: len(inherited)] != inherited:
        own = {pair[0] for pair in said.values}
        values = (*(pair for pair in inherited if pair[0] not in own), *said.values)
        return said._replace(values=values)
    return said


def _read(name: str) -> Entities:
    """Return what a file name says by itself."""
    chunks = name.split("_")
    last, dot, extension = chunks[-1].partition(".")
    if dot and extension[:1].isdigit():
        last, dot, extension = _cut(chunks[-1])
    chunks[-1] = last
    pairs = list(map(_pairs.__getitem__, chunks))
    suffix = ""
    if pairs[-1] is None:
        suffix = last
        del pairs[-1]
    known = tuple(pairs) if all(pairs) else tuple(filter(None, pairs))
    return Entities(known, suffix, dot + extension)  # type: ignore[arg-type]


_DECIMAL = re.compile(r"[A-Za-z]+-\d+\.\d+[a-z]*(?=\.|$)")
"""A value with a decimal fraction, and a unit perhaps: ``res-0.7mm``."""


def _cut(chunk: str) -> tuple[str, str, str]:
    """Return a last chunk and its extension where the first dot may be that of a number."""
    value = _DECIMAL.match(chunk)
    if value is None:
        return chunk.partition(".")
    return value[0], chunk[value.end() : value.end() + 1], chunk[value.end() + 1 :]


class Reader(Generic[K, T]):
    """What names come to, worked out once for all that differ only in subject and session.

    A dataset has the same names over and over: for each subject and session those of one. So a name
    is taken as what its folders say too, and the rest; and each rest is read once.

    Parameters
    ----------
    of_head : callable
        Takes the pairs that the folders of a file and its name begin with (none is ``()``), and
        returns what counts of them.
    of_rest : callable
        Takes that and the rest of the name, or a path that does not begin so as a whole. `parse`
        reads both. Returns what the name comes to.
    """

    def __init__(self, of_head: Callable[[Pairs], K], of_rest: Callable[[K, str], T]) -> None:
        self._of_head = of_head
        self._of_rest = of_rest
        self._folders: dict[str, tuple[str, K, dict[str, T]]] = {}
        self._units: dict[str, T] = {}
        self._rests: dict[K, dict[str, T]] = {}

    def __call__(self, path: str) -> T:
        """Return what the name of a file comes to."""
        folder, _, name = path.rpartition("/")
        known = self._folders.get(folder)
        head = _head_of(folder).text if known is None else known[0]
        if not name.startswith(head):
            unit = unit_of(path) if head == _ODD else ""
            return self._of_unit(unit) if unit else self._of_rest(self._of_head(()), path)
        _, kind, rests = known or self._folder(folder)
        rest = name[len(head) :]
        if rest in rests:
            return rests[rest]
        if len(rests) >= _MANY_CHUNKS:
            rests.clear()
        found = rests[rest] = self._of_rest(kind, rest)
        return found

    def _of_unit(self, unit: str) -> T:
        """Return what the name of a recording that is a folder comes to."""
        if unit not in self._units:
            if len(self._units) >= _MANY_CHUNKS:
                self._units.clear()
            self._units[unit] = self._of_rest(self._of_head(()), unit)
        return self._units[unit]

    def _folder(self, folder: str) -> tuple[str, K, dict[str, T]]:
        if len(self._folders) >= _MANY_CHUNKS:
            self._folders.clear()
        head = _head_of(folder)
        kind = self._of_head(head.pairs)
        known = head.text, kind, self._rests.setdefault(kind, {})
        self._folders[folder] = known
        return known


class Name(NamedTuple):
    """What a path says, in a form that is quick to compare.

    Parameters
    ----------
    pairs : frozenset of (entity, value)
    suffix, extension : str
    unit : str
        The recording that the file is a piece of, where that is a folder; else empty.
    """

    pairs: frozenset[tuple[str, str]]
    suffix: str
    extension: str
    unit: str = ""


class NameReader:
    """Reads what `parse` reads, of a million paths: what a folder says is worked out once."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._unit = ""
        self._head = ""
        self._pairs = frozenset[tuple[str, str]]()

    def __call__(self, path: str) -> Name:
        """Return what a path says.

        Parameters
        ----------
        path : str
            A key or a relative path, with forward slashes.
        """
        folder, _, name = path.rpartition("/")
        if folder != self._folder:
            head = _head_of(folder)
            self._folder, self._unit = folder, unit_of(path)
            self._head, self._pairs = head.text, frozenset(head.pairs)
        if self._unit or not name.startswith(self._head):
            says = parse(path)
            return Name(frozenset(says.values), says.suffix, says.extension, self._unit)
        pairs, suffix, extension = _rest(name[len(self._head) :])
        return Name(self._pairs | pairs, suffix, extension)


@lru_cache(maxsize=16_384)
def _rest(name: str) -> tuple[frozenset[tuple[str, str]], str, str]:
    says = _read(name)
    return frozenset(says.values), says.suffix, says.extension


class _Pairs(dict[str, tuple[str, str] | None]):
    """The entity and the value that a chunk of a name holds; None for one that holds none."""

    def __missing__(self, chunk: str) -> tuple[str, str] | None:
        entity, _, value = chunk.partition("-")
        pair = (entity, value) if value and entity.isalnum() else None
        if len(self) >= _MANY_CHUNKS:
            self.clear()
        self[chunk] = pair
        return pair


_MANY_CHUNKS = 16_384
_pairs = _Pairs()


class _Head(NamedTuple):
    """What a folder says of the files in it, and as names of files in it begin."""

    pairs: Pairs
    text: str


_ODD = "/"
"""Where names begin in no such way; none begins with this."""


@lru_cache(maxsize=4096)
def _head_of(folder: str) -> _Head:
    """Return what a folder and those above it say; the deepest folder counts.

    A name of several entities says all of them of the files below, where a subject leads it.
    """
    if unit_of(f"{folder}/"):
        return _Head((), _ODD)  # the name of the recording says it all
    found: dict[str, str] = {}
    for component in folder.split("/"):
        if component.startswith("sub-") and "_" in component:
            found.update(_read(component).values)
            continue
        entity, _, value = component.partition("-")
        if value and entity in _INHERITED:
            found[entity] = value
    first = tuple((entity, found.pop(entity)) for entity in _INHERITED if entity in found)
    pairs = (*first, *found.items())
    text = "".join(f"{entity}-{value}_" for entity, value in pairs)
    if text.count("_") > len(pairs):
        text = _ODD  # in a name this would mean something else
    return _Head(pairs, text)


def datatype_of(path: str) -> str:
    """Return the datatype of a file, which only its folders name; empty for a file of none.

    The deepest folder of such a name counts: what lies in a folder below it (figures, recordings
    that are folders) belongs to it too, and a pipeline may be called ``pet``.

    Parameters
    ----------
    path : str
        A key or a relative path, with forward slashes.

    Examples
    --------
    >>> datatype_of("derivatives/pet/sub-01/func/figures/R2.png"), datatype_of("participants.tsv")
    ('func', '')
    """
    return _datatype_of_folder(path.rpartition("/")[0])


@lru_cache(maxsize=4096)
def _datatype_of_folder(folder: str) -> str:
    return next((name for name in reversed(folder.split("/")) if name in DATATYPES), "")


def format(entities: Entities) -> str:  # noqa: A001 - the counterpart of parse
    """Return the file name that says this.

    Examples
    --------
    >>> format(Entities((("sub", "01"), ("desc", "R2")), "statmap", ".nii.gz"))
    'sub-01_desc-R2_statmap.nii.gz'
    """
    chunks = [f"{entity}-{value}" for entity, value in entities.values]
    if entities.suffix:
        chunks.append(entities.suffix)
    return "_".join(chunks) + entities.extension


def full(entity: str, value: str) -> str:
    """Return a value with its entity, whether it had it or not.

    Examples
    --------
    >>> full("ses", "04"), full("ses", "ses-04")
    ('ses-04', 'ses-04')
    """
    return f"{entity}-{bare(entity, value)}"


def bare(entity: str, token: str) -> str:
    """Return a value without its entity, whether it had it or not.

    Examples
    --------
    >>> bare("ses", "04"), bare("ses", "ses-04")
    ('04', '04')
    """
    return token.removeprefix(f"{entity}-")
