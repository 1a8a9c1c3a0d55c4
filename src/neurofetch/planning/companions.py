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

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from neurofetch.planning.bids_schema import ASSOCIATIONS, ROOT_FILES
from neurofetch.planning.entities import datatype_of, parse
from neurofetch.planning.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from neurofetch.planning.entities import Entities

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

    def ties(self, says: Entities, datatype: str) -> bool:
        """Whether data of this name and datatype has such files."""
        if says.extension not in _IMAGES if self.image else says.extension == ".json":
            return False
        if self.of and says.suffix not in self.of:
            return False
        if self.datatype and datatype != self.datatype:
            return False
        return not self.entity or says.get(self.entity) is not None


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
        if extra or len(self._few) < 16:
            return self._few
        if self._filed is None:
            self._file()
        filed = self._filed or {}
        return [*self._unfiled, *(one for pair in pairs for one in filed.get(pair, ()))]

    def _file(self) -> None:
        often = Counter(pair for one in self._few for pair in one.pairs)
        filed: dict[tuple[str, str], list[_Candidate]] = {}
        for one in self._few:
            if one.pairs:
                filed.setdefault(min(one.pairs, key=lambda pair: (often[pair], pair)), []).append(
                    one
                )
            else:
                self._unfiled.append(one)
        self._filed = filed


class _Search:
    """What comes along with what was chosen, until nothing new does."""

    def __init__(
        self, paths: Sequence[str], chosen: Sequence[bool], allowed: Callable[[int], bool]
    ) -> None:
        self._paths = paths
        self._chosen = chosen
        self._allowed = allowed
        self._found: dict[int, str] = {}
        self._done: set[tuple[str, Entities]] = set()
        self._roots = {
            path.removesuffix(_DESCRIPTION).rstrip("/")
            for path in paths
            if path.endswith(_DESCRIPTION)
            and path[-len(_DESCRIPTION) - 1 : -len(_DESCRIPTION)] in ("", "/")
        } | {""}
        self._above: dict[str, tuple[str, ...]] = {}

    def found(self, first: Sequence[int]) -> dict[int, str]:
        """Return all that comes along."""
        folders = {
            folder for number in first for folder in self._folders(_home(self._paths[number]))
        }
        self._drawers = self._candidates(folders)
        todo = list(first)
        while todo:
            todo = [new for number in todo for new in self._along(number)]
        self._add_scans()
        self._describe(first)
        return self._found

    def _folders(self, folder: str) -> tuple[str, ...]:
        """Return a folder and those above it, up to the root of the data set it lies in."""
        known = self._above.get(folder)
        if known is None:
            below = () if folder in self._roots else self._folders(folder.rpartition("/")[0])
            known = self._above[folder] = (folder, *below)
        return known

    def _candidates(self, folders: set[str]) -> dict[tuple[str, str], _Drawer]:
        """Sort the files that were not asked for by folder and suffix."""
        drawers: dict[tuple[str, str], _Drawer] = defaultdict(_Drawer)
        for number, (path, asked) in enumerate(zip(self._paths, self._chosen, strict=True)):
            if asked or _home(path) not in folders:
                continue
            says = parse(path)
            if says.suffix:
                candidate = _Candidate(number, frozenset(says.values), says.extension)
                drawers[_home(path), says.suffix].put(candidate)
        return drawers

    def _along(self, number: int) -> Iterator[int]:
        """Choose what belongs to one file; yield what is new."""
        path = self._paths[number]
        says, home = parse(path), _home(path)
        if not says.suffix or (home, says) in self._done:
            return
        self._done.add((home, says))
        pairs = frozenset(says.values)
        yield from self._applying(says, pairs, home)
        datatype = datatype_of(path)
        for tie in _TIES:
            if not tie.ties(says, datatype):
                continue
            why = f"{tie.what} of chosen {says.suffix} files"
            for folder in self._folders(home) if tie.inherit else (home,):
                drawer = self._drawers.get((folder, tie.suffix))
                if drawer is None:
                    continue
                for one in drawer.near(pairs, tie.extra):
                    if tie.extensions and one.extension not in tie.extensions:
                        continue
                    if _belongs(one.pairs, pairs, tie.extra):
                        yield from self._take(one.number, why)

    def _applying(
        self, says: Entities, pairs: frozenset[tuple[str, str]], home: str
    ) -> Iterator[int]:
        """Choose the metadata of a file, and the other pieces of its recording."""
        pieces = next((some for some in _PIECES if says.extension in some), frozenset[str]())
        for folder in self._folders(home):
            drawer = self._drawers.get((folder, says.suffix))
            if drawer is None:
                continue
            where = "sidecar of" if folder == home else "inherited by"
            for one in drawer.near(pairs, frozenset()):
                if one.extension in _METADATA and says.extension != ".json":
                    if one.pairs <= pairs:
                        yield from self._take(one.number, f"{where} chosen {says.suffix} files")
                elif folder == home and one.extension in pieces and one.pairs == pairs:
                    yield from self._take(one.number, f"piece of chosen {says.suffix} files")

    def _take(self, number: int, why: str) -> Iterator[int]:
        if number not in self._found and self._allowed(number):
            self._found[number] = why
            yield number

    def _add_scans(self) -> None:
        """Choose lists of scans where all that they can list is chosen, as the validator asks."""
        lists = [
            number
            for number, path in enumerate(self._paths)
            if path.endswith("_scans.tsv") and not self._chosen[number] and self._allowed(number)
        ]
        if not lists:
            return
        folders = {_home(self._paths[number]): True for number in lists}
        for number, path in enumerate(self._paths):
            if self._chosen[number] or number in self._found or path.endswith(_NO_SCANS):
                continue
            for folder in self._folders(_home(path)):
                if folder in folders:
                    folders[folder] = False
        chosen = {folder for n in self._all() for folder in self._folders(_home(self._paths[n]))}
        for number in lists:
            folder = _home(self._paths[number])
            if folders[folder] and folder in chosen:
                self._found[number] = "lists the chosen scans"
                for _ in self._along(number):
                    pass  # its sidecar has none of its own

    def _all(self) -> Iterator[int]:
        yield from (number for number, asked in enumerate(self._chosen) if asked)
        yield from tuple(self._found)

    def _describe(self, first: Sequence[int]) -> None:
        """Choose what describes the data sets, and the sessions of the subjects."""
        within: set[str] = set()
        for number in (*first, *self._found):
            within.add(_home(self._paths[number]))
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


_NO_SCANS = (".json", "_scans.tsv", "_sessions.tsv", "_events.tsv", "_channels.tsv")


def _lists_sessions(name: str) -> bool:
    return name.endswith(("_sessions.tsv", "_sessions.json")) or name in ("sessions.json",)


def _home(path: str) -> str:
    """Return the folder that a file lies in; of a piece of a recording, that of the recording."""
    return (unit_of(path) or path).rpartition("/")[0]


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
