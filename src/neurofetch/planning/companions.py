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
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

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
_JSON = frozenset({".json"})
_OF_OTHERS = _METADATA - {".tsv"}
"""Extensions of files that are nothing but metadata, and have none of their own."""
_TABLES = frozenset({".tsv", ".tsv.gz"})
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
    only: frozenset[tuple[str, str]] = frozenset()
    """What tells the file from the data, where both have the same suffix."""
    same: bool = False
    """Whether the file has the entities of the data and no other; only extra ones may differ."""

    def ties(self, suffix: str, extension: str, datatype: str) -> bool:
        """Whether data of this suffix, extension and datatype may have such files."""
        if extension not in _IMAGES if self.image else extension == ".json":
            return False
        if self.of and suffix not in self.of:
            return False
        if not self.of and (
            suffix in _NO_RECORDINGS or (suffix in _BESIDE and self.suffix in _BESIDE)
        ):
            return False
        return not self.datatype or datatype == self.datatype

    def holds(self, one: _Candidate, data: frozenset[tuple[str, str]]) -> bool:
        """Whether a file of its suffix belongs to data with these entities.

        An extra entity may only be one that the data does not have.
        """
        if (self.extensions and one.extension not in self.extensions) or not self.only <= one.pairs:
            return False
        if self.same:
            differing = {name for name, _ in one.pairs ^ data}
            return len(one.pairs) == len(data) and differing <= self.extra
        more = one.pairs - data - self.only
        return not more or {name for name, _ in more} <= self.extra - {name for name, _ in data}


_NO_RECORDINGS = frozenset(
    {
        "aslcontext",
        "channels",
        "coordsystem",
        "electrodes",
        "events",
        "optodes",
        "scans",
        "sessions",
    }
)
"""Suffixes of metadata. What is tied to any recording (its events, its physiology) is not tied to
these: who asks for the events alone has no use for the recordings beside the data."""

_BESIDE = frozenset({"physio", "physioevents", "stim"})
"""Suffixes of what was recorded beside data. One of these is not tied to the others."""
_RECORDING = frozenset({"recording"})
_ACQ = frozenset({"acq"})


def _acquired(what: str) -> frozenset[tuple[str, str]]:
    return frozenset({("acq", what)})


_OWN_TIES: Final = (
    # Beside those of the schema, from the text of the specification. A reference image ("MRI,
    # Single-band reference image") has the entities of its image. What was recorded beside data
    # ("Physiological recordings", "Stimulation recordings", PET's "Blood recording data") tells
    # recordings apart by an entity that the data lacks.
    _Tie("reference image", frozenset({"bold", "cbv", "dwi"}), "sbref"),
    _Tie("physio", frozenset(), "physio", frozenset({".tsv.gz"}), _RECORDING),
    _Tie("physio", frozenset(), "physioevents", frozenset({".tsv.gz"}), _RECORDING),
    _Tie("stimulation", frozenset(), "stim", frozenset({".tsv.gz"}), _RECORDING),
    # "Physiological recordings, Eye tracking": what a tracker found in its own recording.
    *(
        _Tie(what, frozenset({of}), what, frozenset({".tsv.gz"}), same=True)
        for of, what in (("physio", "physioevents"), ("physioevents", "physio"))
    ),
    _Tie("blood", frozenset({"pet"}), "blood", frozenset({".tsv"}), _RECORDING, inherit=True),
    # "MEG, Landmark photos and head shape": without markers and head shape KIT data cannot be read.
    _Tie("headshape", frozenset({"meg"}), "headshape", frozenset(), frozenset({"acq", "space"})),
    _Tie("markers", frozenset({"meg"}), "markers", frozenset(), frozenset({"acq", "space"})),
    # "MEG, Neuromag/Elekta/MEGIN": a file of more than 2 GB is split, and each part names the next.
    _Tie(
        "piece",
        frozenset({"meg"}),
        "meg",
        frozenset({".fif"}),
        frozenset({"split"}),
        entity="split",
        same=True,
    ),
    # "MEG, Cross-talk and fine-calibration files": of the machine, in no task; without them a
    # recording of Elekta/MEGIN cannot be filtered as its maker means it to be.
    *(
        _Tie(what, frozenset({"meg"}), "meg", frozenset({extension}), _ACQ, only=_acquired(what))
        for what, extension in (("calibration", ".dat"), ("crosstalk", ".fif"))
    ),
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
    paths: Sequence[str],
    chosen: Sequence[bool],
    allowed: Callable[[int], bool],
    *,
    listed: Callable[[str], bool] | None = None,
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
    listed : callable, optional
        Whether all that lies in a folder ("" or ending in "/") is among the paths; by default all
        is. A list of the scans in a folder that was only looked at may name files that nobody saw.

    Examples
    --------
    >>> paths = ["dwi.bval", "dwi.json", "README", "sub-01/dwi/sub-01_dwi.nii.gz"]
    >>> companions(paths, [False, False, False, True], lambda number: True)[0]
    'inherited by chosen dwi files'
    """
    first = [number for number, asked in enumerate(chosen) if asked]
    if not any("/" in paths[n] or not describes_dataset(paths[n]) for n in first):
        return {}  # descriptions alone: there is nothing that they describe
    return _Search(paths, chosen, allowed, listed).found(first)


class _Candidate(NamedTuple):
    """A file that may come along."""

    number: int
    pairs: frozenset[tuple[str, str]]
    extension: str


class _Drawer:
    """The candidates of one suffix in one folder.

    A folder may have thousands, so each is filed under its rarest pair of entity and value: data
    that it belongs to has that pair too. Entities that the data may lack do not count there.
    """

    __slots__ = ("_few", "_filed")

    def __init__(self) -> None:
        self._few: list[_Candidate] = []
        self._filed: dict[frozenset[str], _Filed] = {}

    def put(self, candidate: _Candidate) -> None:
        self._few.append(candidate)

    def near(
        self, pairs: frozenset[tuple[str, str]], extra: frozenset[str]
    ) -> Iterable[_Candidate]:
        """Return those that may belong to data with these pairs, but for some extra entities."""
        if len(self._few) < _HANDFUL:
            return self._few
        filed = self._filed.get(extra)
        if filed is None:
            filed = self._filed[extra] = _filed(self._few, extra)
        found = filed.get(None, [])
        for some in filter(None, map(filed.get, pairs)):
            found = found + some
        return found


_Filed: TypeAlias = "dict[tuple[str, str] | None, list[_Candidate]]"
"""Candidates by their rarest pair; under None those that have none that counts."""


def _filed(candidates: Sequence[_Candidate], extra: frozenset[str]) -> _Filed:
    often = Counter(pair for one in candidates for pair in one.pairs)
    filed: _Filed = {}
    for one in candidates:
        counting = (pair for pair in one.pairs if pair[0] not in extra) if extra else one.pairs
        filed.setdefault(min(counting, key=often.__getitem__, default=None), []).append(one)
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
        self,
        paths: Sequence[str],
        chosen: Sequence[bool],
        allowed: Callable[[int], bool],
        listed: Callable[[str], bool] | None,
    ) -> None:
        self._paths = paths
        self._chosen = chosen
        self._allowed = allowed
        self._listed = listed
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
        above = self._above()
        self._add_sessions(above)
        self._describe(above & self._roots)
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
        if not name.suffix or name.extension in _OF_OTHERS or not self._is_new(name):
            return []
        new: list[int] = []
        folder = self._folder(self._home(number))
        self._add_applying(name, folder, new)
        for tie, why in _ties_of(name.suffix, name.extension, datatype_of(path)):
            if tie.entity and all(entity != tie.entity for entity, _ in name.pairs):
                continue
            for drawer in folder.drawers_of(tie.suffix, inherit=tie.inherit):
                for one in drawer.near(name.pairs, tie.extra):
                    if tie.holds(one, name.pairs):
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
        # A table has no table for metadata: another one of its suffix is another recording.
        metadata = _JSON if name.extension in _TABLES else _METADATA
        where = "sidecar of"
        for level in (folder, *folder.above):
            drawer = level.drawers.get(suffix)
            for one in drawer.near(pairs, _NONE) if drawer else ():
                if one.extension in metadata:
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
            if folder in chosen and folder not in missing and self._is_listed(folder):
                self._found[number] = "lists the chosen scans"
                self._along(number)  # its sidecar has none of its own

    def _is_listed(self, folder: str) -> bool:
        return self._listed is None or self._listed(f"{folder}/" if folder else "")

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

    def _above(self) -> set[str]:
        """Return the folders of all that is chosen, and those above them up to the very root."""
        within = set(map(self._home, self._all()))
        return {folder for home in within for folder in with_all_above(home)}

    def _add_sessions(self, above: set[str]) -> None:
        """Choose the lists of the sessions of the subjects, with their sidecars."""
        for number, path in enumerate(self._paths):
            if not path.endswith("_sessions.tsv") or self._chosen[number]:
                continue
            if path.rpartition("/")[0] in above and self._allowed(number):
                self._found[number] = "lists the sessions of chosen subjects"
                self._along(number)

    def _describe(self, roots: set[str]) -> None:
        """Choose what describes the data sets."""
        for number, path in enumerate(self._paths):
            if self._chosen[number] or number in self._found:
                continue
            folder, _, name = path.rpartition("/")
            if folder in roots and describes_dataset(name) and self._allowed(number):
                self._found[number] = f"describes {folder or 'the data set'}"


_NONE: Final = frozenset[str]()
_HANDFUL = 4
"""Fewer candidates than this are looked at one by one."""
_NO_SCANS = (".json", "_scans.tsv", "_sessions.tsv", "_events.tsv", "_channels.tsv")


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
