"""What comes along with the files that were asked for, so that what is here can be used.

By the BIDS specification ("The Inheritance Principle", "Common file level metadata fields"), and by
the associations of its schema:

- a metadata file applies to the data of its suffix whose name has all its entities, in its own
  folder and below;
- some files belong to data of another suffix: the events of a recording, its channels;
- each data set that a chosen file lies in is described by files at its root.

What comes along has companions of its own: the electrodes of a recording have coordinates, and
each of these a sidecar. Pure: names alone decide.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from neurofetch.planning.bids_schema import ASSOCIATIONS, ROOT_FILES
from neurofetch.planning.entities import NameReader, datatype_of
from neurofetch.planning.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from neurofetch.planning.entities import Name

__all__ = ["companions", "describes_dataset", "with_all_above"]

_DESCRIPTION = "dataset_description.json"
_IMAGES = frozenset({".nii", ".nii.gz"})
_METADATA = frozenset({".json", ".tsv", ".bval", ".bvec"})
"""Extensions of files that apply to other files of their suffix, also in folders below."""
_PIECES: Final = (
    frozenset({".vhdr", ".vmrk", ".eeg"}),
    frozenset({".set", ".fdt"}),
    frozenset({".mhd", ".raw"}),
    frozenset({".kdf", ".chn", ".trg"}),
    frozenset({".hdr", ".img"}),
)
"""Extensions that make one recording together: BrainVision, EEGLAB, ITAB, KRISS, ANALYZE."""


class _Tie(NamedTuple):
    """Which files belong to data of another suffix."""

    what: str
    of: frozenset[str]
    suffix: str
    extensions: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()
    inherit: bool = False
    image: bool = False
    datatype: str = ""
    entity: str = ""

    def ties(self, suffix: str, extension: str, datatype: str) -> bool:
        """Whether data of this suffix, extension and datatype may have such files."""
        if extension not in _IMAGES if self.image else extension == ".json":
            return False
        if self.of and suffix not in self.of:
            return False
        return not self.datatype or datatype == self.datatype


_RECORDING = frozenset({"recording"})
_OWN_TIES: Final = (
    # Beside those of the schema, from the text of the specification. A reference image ("MRI,
    # Single-band reference image") has the entities of its image. What was recorded beside data
    # ("Physiological recordings", "Stimulation recordings", PET's "Blood recording data") tells
    # recordings apart by an entity that the data lacks.
    _Tie("reference image", frozenset({"bold", "cbv", "dwi"}), "sbref"),
    _Tie("physio", frozenset(), "physio", frozenset({".tsv.gz"}), _RECORDING),
    _Tie("physio", frozenset(), "physioevents", frozenset({".tsv.gz"}), _RECORDING),
    _Tie("stimulation", frozenset(), "stim", frozenset({".tsv.gz"}), _RECORDING),
    _Tie("blood", frozenset({"pet"}), "blood", frozenset({".tsv"}), _RECORDING, inherit=True),
    # "MEG, Landmark photos and head shape": without markers and head shape KIT data cannot be read.
    _Tie("headshape", frozenset({"meg"}), "headshape", frozenset(), frozenset({"acq", "space"})),
    _Tie("markers", frozenset({"meg"}), "markers", frozenset(), frozenset({"acq"})),
    _Tie("optodes", frozenset({"nirs"}), "optodes", frozenset({".tsv"}), inherit=True),
    # A recording in several coordinate systems ("iEEG, Coordinate System JSON") has a file of each.
    _Tie(
        "coordsystem",
        frozenset({"ieeg", "eeg", "electrodes", "optodes"}),
        "coordsystem",
        frozenset({".json"}),
        frozenset({"space"}),
        inherit=True,
    ),
    # "Fieldmap data, Case 1 and 2": a phase is of no use without its magnitude, nor one of two
    # phases without the other. The schema names the first magnitude alone.
    _Tie("magnitude", frozenset({"phasediff", "phase2"}), "magnitude2", _IMAGES),
    _Tie("magnitude", frozenset({"phase2"}), "magnitude1", _IMAGES),
    _Tie("phase", frozenset({"phase1"}), "phase2", _IMAGES),
    _Tie("phase", frozenset({"phase2"}), "phase1", _IMAGES),
)
_TIES: Final = (
    *(
        _Tie(
            one.name.replace("_", " "),
            one.of,
            one.suffix,
            one.extensions,
            one.extra,
            inherit=one.inherit,
            image=one.image,
            datatype=one.datatype,
            entity=one.entity,
        )
        for one in ASSOCIATIONS
    ),
    *_OWN_TIES,
)


@lru_cache(maxsize=1024)
def _ties_of(suffix: str, extension: str, datatype: str) -> tuple[tuple[_Tie, str], ...]:
    """Return the ties of such data, each with what the plan says of it."""
    return tuple(
        (tie, f"{tie.what} of chosen {suffix} files")
        for tie in _TIES
        if tie.ties(suffix, extension, datatype)
    )


_STEMS = frozenset(name.partition(".")[0] for name in ROOT_FILES) | {""}


def describes_dataset(name: str) -> bool:
    """Whether a file of this name describes the data set at whose root it lies.

    Parameters
    ----------
    name : str
        Without folders.

    Examples
    --------
    >>> describes_dataset("participants.tsv"), describes_dataset("LICENSE.md")
    (True, True)
    >>> describes_dataset("sub-01_T1w.json"), describes_dataset("task-rest_bold.json")
    (False, False)
    """
    stem, _, extension = name.partition(".")
    return stem in _STEMS and (bool(stem) or extension == "bidsignore")


def companions(
    paths: Sequence[str], chosen: Sequence[bool], allowed: Callable[[int], bool]
) -> dict[int, str]:
    """Return what comes along with chosen files, by number, and why.

    Parameters
    ----------
    paths : sequence of str
        Of all listed files, in their order, below the root of the data set.
    chosen : sequence of bool
        Whether each was asked for.
    allowed : callable
        Whether the file of a number may come along.

    Examples
    --------
    >>> paths = ["dwi.bval", "dwi.json", "README", "sub-01/dwi/sub-01_dwi.nii.gz"]
    >>> companions(paths, [False, False, False, True], lambda number: True)[0]
    'inherited by chosen dwi files'
    """
    first = [number for number, asked in enumerate(chosen) if asked]
    if not any("/" in paths[n] or not describes_dataset(paths[n]) for n in first):
        return {}  # descriptions alone: there is nothing that they describe
    return _Search(paths, chosen, allowed).found(first)


class _Candidate(NamedTuple):
    """A file that may come along."""

    number: int
    pairs: frozenset[tuple[str, str]]
    extension: str


class _Drawer:
    """The candidates of one suffix in one folder.

    A folder may have thousands, so each is filed under its rarest pair of entity and value: data
    that it belongs to has that pair too.
    """

    __slots__ = ("_few", "_filed", "_unfiled")

    def __init__(self) -> None:
        self._few: list[_Candidate] = []
        self._filed: dict[tuple[str, str], list[_Candidate]] | None = None
        self._unfiled: list[_Candidate] = []

    def put(self, candidate: _Candidate) -> None:
        self._few.append(candidate)

    def near(
        self, pairs: frozenset[tuple[str, str]], extra: frozenset[str]
    ) -> Iterable[_Candidate]:
        """Return those that may belong to data with these pairs."""
        if extra or len(self._few) < _HANDFUL:
            return self._few
        if self._filed is None:
            self._filed = self._by_rarest_pair()
        found = self._unfiled
        for some in filter(None, map(self._filed.get, pairs)):
            found = found + some
        return found

    def _by_rarest_pair(self) -> dict[tuple[str, str], list[_Candidate]]:
        often = Counter(pair for one in self._few for pair in one.pairs)
        filed: dict[tuple[str, str], list[_Candidate]] = {}
        for one in self._few:
            if one.pairs:
                rarest = min(one.pairs, key=often.__getitem__)
                filed.setdefault(rarest, []).append(one)
            else:
                self._unfiled.append(one)
        return filed


class _Folder:
    """A folder in which data lies: what may belong to it, and what lies above."""

    __slots__ = ("above", "drawers", "path")

    def __init__(self, path: str, above: tuple[_Folder, ...]) -> None:
        self.path = path
        self.above = above
        """The folders above it, up to the root of the data set it lies in, the nearest first."""
        self.drawers: dict[str, _Drawer] = {}
        """Those that may come along, by suffix."""

    def put(self, suffix: str, candidate: _Candidate) -> None:
        if suffix not in self.drawers:
            self.drawers[suffix] = _Drawer()
        self.drawers[suffix].put(candidate)

    def drawers_of(self, suffix: str, *, inherit: bool) -> Iterator[_Drawer]:
        """Give the candidates of a suffix, of this folder and perhaps of those above."""
        if suffix in self.drawers:
            yield self.drawers[suffix]
        if inherit:
            for folder in self.above:
                if suffix in folder.drawers:
                    yield folder.drawers[suffix]


class _Search:
    """What comes along with what was chosen, until nothing new does."""

    def __init__(
        self, paths: Sequence[str], chosen: Sequence[bool], allowed: Callable[[int], bool]
    ) -> None:
        self._paths = paths
        self._chosen = chosen
        self._allowed = allowed
        self._found: dict[int, str] = {}
        self._read = NameReader()
        self._units: set[str] = set()
        """Recordings that are folders of which one piece was looked at."""
        self._roots = {
            path.removesuffix(_DESCRIPTION).rstrip("/")
            for path in paths
            if path.endswith(_DESCRIPTION)
            and path[-len(_DESCRIPTION) - 1 : -len(_DESCRIPTION)] in ("", "/")
        } | {""}
        self._folders: dict[str, _Folder] = {}

    def found(self, first: Sequence[int]) -> dict[int, str]:
        """Return all that comes along."""
        for number in first:
            self._folder(self._home(number))
        self._fill_drawers()
        todo = list(first)
        while todo:
            todo = [new for number in todo for new in self._along(number)]
        self._add_scans()
        self._describe(first)
        return self._found

    def _home(self, number: int) -> str:
        """Return the folder that a file lies in; of a piece of a recording, the recording's."""
        return _home_of_files_in(self._paths[number].rpartition("/")[0])

    def _folder(self, path: str) -> _Folder:
        """Return a folder, which is made with those above it."""
        known = self._folders.get(path)
        if known is None:
            above: tuple[_Folder, ...] = ()
            if path not in self._roots:
                parent = self._folder(path.rpartition("/")[0])
                above = (parent, *parent.above)
            known = self._folders[path] = _Folder(path, above)
        return known

    def _fill_drawers(self) -> None:
        """Sort the files that were not asked for by folder and suffix."""
        for number, (path, asked) in enumerate(zip(self._paths, self._chosen, strict=True)):
            if asked:
                continue
            folder = self._folders.get(self._home(number))
            if folder is not None:
                name = self._read(path)
                if name.suffix:
                    candidate = _Candidate(number, name.pairs, name.extension)
                    folder.put(name.suffix, candidate)

    def _along(self, number: int) -> list[int]:
        """Choose what belongs to one file; return what is new."""
        path = self._paths[number]
        name = self._read(path)
        if not name.suffix or name.extension == ".json" or not self._is_new(name):
            return []
        new: list[int] = []
        inner = path.rpartition("/")[0]
        folder = self._folder(_home_of_files_in(inner))
        self._add_applying(name, folder, new)
        for tie, why in _ties_of(name.suffix, name.extension, datatype_of(path)):
            if tie.entity and all(entity != tie.entity for entity, _ in name.pairs):
                continue
            for drawer in folder.drawers_of(tie.suffix, inherit=tie.inherit):
                for one in drawer.near(name.pairs, tie.extra):
                    if tie.extensions and one.extension not in tie.extensions:
                        continue
                    if _belongs(one.pairs, name.pairs, tie.extra):
                        self._take(one.number, why, new)
        return new

    def _is_new(self, name: Name) -> bool:
        """Whether it is no piece of a recording of which another was looked at."""
        if not name.unit:
            return True
        if name.unit in self._units:
            return False
        self._units.add(name.unit)
        return True

    def _add_applying(self, name: Name, folder: _Folder, new: list[int]) -> None:
        """Choose the metadata of a file, and the other pieces of its recording."""
        pairs, suffix = name.pairs, name.suffix
        pieces = _pieces_with(name.extension)
        where = "sidecar of"
        for level in (folder, *folder.above):
            drawer = level.drawers.get(suffix)
            for one in drawer.near(pairs, _NONE) if drawer else ():
                if one.extension in _METADATA:
                    if one.pairs <= pairs:
                        self._take(one.number, f"{where} chosen {suffix} files", new)
                elif level is folder and one.extension in pieces and one.pairs == pairs:
                    self._take(one.number, f"piece of chosen {suffix} files", new)
            where = "inherited by"

    def _take(self, number: int, why: str, new: list[int]) -> None:
        if number not in self._found and self._allowed(number):
            self._found[number] = why
            new.append(number)

    def _add_scans(self) -> None:
        """Choose lists of scans where all that they can list is chosen, as the validator asks."""
        lists = [
            number
            for number, path in enumerate(self._paths)
            if path.endswith("_scans.tsv") and not self._chosen[number] and self._allowed(number)
        ]
        if not lists:
            return
        missing = self._and_above(
            self._home(number)
            for number, path in enumerate(self._paths)
            if not self._chosen[number]
            and number not in self._found
            and not path.endswith(_NO_SCANS)
        )
        chosen = self._and_above(map(self._home, self._all()))
        for number in lists:
            folder = self._home(number)
            if folder in chosen and folder not in missing:
                self._found[number] = "lists the chosen scans"
                self._along(number)  # its sidecar has none of its own

    def _and_above(self, folders: Iterable[str]) -> set[str]:
        """Return folders, and those above each, up to the root of the data set it lies in."""
        return {
            above
            for folder in {self._folder(path) for path in set(folders)}
            for above in (folder.path, *(one.path for one in folder.above))
        }

    def _all(self) -> Iterator[int]:
        yield from (number for number, asked in enumerate(self._chosen) if asked)
        yield from tuple(self._found)

    def _describe(self, first: Sequence[int]) -> None:
        """Choose what describes the data sets, and the sessions of the subjects."""
        within = {self._home(number) for number in (*first, *self._found)}
        above = {folder for home in within for folder in with_all_above(home)}
        roots = above & self._roots
        for number, path in enumerate(self._paths):
            if self._chosen[number] or number in self._found:
                continue
            folder, _, name = path.rpartition("/")
            if folder in roots and describes_dataset(name):
                where = folder or "the data set"
                why = f"describes {where}"
            elif folder in above and _lists_sessions(name):
                why = "lists the sessions of chosen subjects"
            else:
                continue
            if self._allowed(number):
                self._found[number] = why


_NONE: Final = frozenset[str]()
_HANDFUL = 4
"""Fewer candidates than this are looked at one by one."""
_NO_SCANS = (".json", "_scans.tsv", "_sessions.tsv", "_events.tsv", "_channels.tsv")


def _lists_sessions(name: str) -> bool:
    return name.endswith(("_sessions.tsv", "_sessions.json")) or name in ("sessions.json",)


@lru_cache(maxsize=4096)
def _home_of_files_in(folder: str) -> str:
    """Return the folder itself, or that of the recording that it is, or that it lies in."""
    unit = unit_of(f"{folder}/")
    return unit.rpartition("/")[0] if unit else folder


@lru_cache(maxsize=256)
def _pieces_with(extension: str) -> frozenset[str]:
    """Return the extensions that make one recording with this one."""
    return next((some for some in _PIECES if extension in some), _NONE)


def with_all_above(folder: str) -> Iterator[str]:
    """Give a folder and those above it, the deepest first; the root is "".

    Examples
    --------
    >>> list(with_all_above("sub-01/anat"))
    ['sub-01/anat', 'sub-01', '']
    """
    yield folder
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _belongs(
    pairs: frozenset[tuple[str, str]], data: frozenset[tuple[str, str]], extra: frozenset[str]
) -> bool:
    """Whether a file with these entities belongs to data with those.

    An extra entity may only be one that the data does not have.
    """
    more = pairs - data
    if not more:
        return True
    return {name for name, _ in more} <= extra - {name for name, _ in data}
