"""Real BIDS trees, the parts of them that people ask for, and our own selection of a part.

The trees are examples of the BIDS community: names real, large files emptied. They lie in an
archive beside the project; where it is not, the tests that need it are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bidsschematools.schema import load_schema

from neurofetch.model import RemoteFile
from neurofetch.planning.dataset import Dataset, make_selection
from neurofetch.planning.query import query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from neurofetch.model import Want

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "bids-trees.tar.xz"

needs_trees = pytest.mark.skipif(not ARCHIVE.exists(), reason=f"{ARCHIVE.name} is not here")

NAMED = re.compile(
    r"(?P<entities>(?:[a-zA-Z]+-[^_/]+_)+)(?P<suffix>[A-Za-z0-9]+)(?P<extension>\.[^/]*)?"
)
"""The name of a BIDS file, or of a folder that is one, read without the project's own parser."""

TREES = (
    "7t_trt",
    "asl003",
    "ds000001-fmriprep",
    "ds000117",
    "ds000246",
    "ds000247",
    "ds001",
    "ds004332",
    "ds006",
    "ds009",
    "ds102",
    "ds107",
    "ds108",
    "ds109",
    "ds110",
    "ds113b",
    "ds114",
    "eeg_cbm",
    "eeg_ds003645s_hed_demo",
    "eeg_face13",
    "eeg_rishikesh",
    "emg_ConcurrentIndependentUnits",
    "emg_CustomBipolar",
    "emg_CustomBipolarFace",
    "emg_MultiBodyParts",
    "emg_Multimodal",
    "emg_TwoHDsEMG",
    "emg_TwoWristbands",
    "eyetracking_fmri",
    "fnirs_automaticity",
    "fnirs_tapping",
    "hcp_example_bids",
    "ieeg_epilepsy",
    "ieeg_filtered_speech",
    "micr_SEM",
    "micr_SEMzarr",
    "micr_SPIM",
    "motion_spotrotation",
    "motion_systemvalidation",
    "mrs_2dmrsi",
    "mrs_biggaba",
    "pet002",
    "pet003",
    "pet004",
    "qmri_irt1",
    "qmri_mp2rage",
    "qmri_mpm",
    "qmri_qsm",
    "qmri_tb1tfl",
    "synthetic",
)
"""The trees of the archive."""

DATATYPES = tuple(load_schema().objects.datatypes)
"""Those of the BIDS schema: other folders below a subject hold no data of BIDS."""

SUFFIXES = ("bold", "T1w", "events", "meg", "eeg", "ieeg", "dwi", "pet", "asl", "nirs", "emg")
"""What people ask for most; each of them that a tree has is a part of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A request for a part of a tree, as a user types it."""

    filters: tuple[tuple[str, str], ...]

    @property
    def keywords(self) -> dict[str, str]:
        return dict(self.filters)

    def __str__(self) -> str:
        return " ".join(f"--{name} {value}" for name, value in self.filters)


@dataclass(frozen=True)
class Named:
    """One recording: a file with a BIDS name, or a folder with one."""

    path: str
    entities: dict[str, str]
    suffix: str
    extension: str
    datatype: str


@dataclass(frozen=True)
class Tree:
    """A BIDS data set on the disk."""

    root: Path
    files: tuple[RemoteFile, ...] = field(repr=False)

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(file.key for file in self.files)


def unpack(folder: Path) -> Path:
    """Unpack the archive into a folder; return it."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def write(files: Mapping[str, bytes], root: Path) -> Path:
    """Write a data set into a folder; return the folder."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def read_tree(root: Path) -> Tree:
    """List a tree as a bucket would be listed: every file, its name and its size."""
    found = []
    for place, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            key = path.relative_to(root).as_posix()
            found.append(RemoteFile(key, f"http://127.0.0.1/{key}", path.stat().st_size))
    return Tree(root, tuple(found))


def choose(tree: Tree, **filters: object) -> tuple[Want, ...]:
    """Choose files of a tree as ``get`` does."""
    return make_selection(tree.files, query(**filters), Dataset(tree.name)).wants


def lay(tree: Tree, wants: tuple[Want, ...], folder: Path) -> Path:
    """Put the chosen files into a folder under their local names; return it."""
    for want in wants:
        if want.problem or want.refused:
            continue
        target = folder / want.path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = tree.root / want.remote.key
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copy2(source, target)
    return folder


def is_recording(folder: str) -> bool:
    """Whether a folder of this name is itself a recording: it has an extension, or it is a run.

    Runs of BTi/4D and KIT machines have none: their suffix says what they are.
    """
    told = NAMED.fullmatch(folder)
    return told is not None and bool(told["extension"] or told["suffix"] == "meg")


def recordings(paths: frozenset[str]) -> Iterator[Named]:
    """Return every file with a BIDS name, and every folder that is one, once.

    Derivatives, source data and the like are data sets of their own.
    """
    seen = set()
    for path in sorted(paths):
        parts = path.split("/")
        if parts[0] in {"derivatives", "sourcedata", "code", "stimuli", "phenotype"}:
            continue
        for depth, name in enumerate(parts):
            told = NAMED.fullmatch(name)
            if told is None or (depth < len(parts) - 1 and not is_recording(name)):
                continue
            whole = "/".join(parts[: depth + 1])
            if whole not in seen:
                seen.add(whole)
                pairs = (text.split("-", 1) for text in told["entities"].rstrip("_").split("_"))
                entities = dict(pairs)
                datatype = parts[depth - 1] if depth and parts[0].startswith("sub-") else ""
                datatype = "" if datatype.startswith(("sub-", "ses-")) else datatype
                extension = told["extension"] or ""
                yield Named(whole, entities, told["suffix"], extension, datatype)
            break


def parts_of(tree: Tree) -> list[Part]:
    """Return the first subject, the first session, every datatype, and the suffixes people want."""
    found = [name for name in recordings(tree.paths) if name.path.startswith("sub-")]
    subjects = sorted({name.entities.get("sub", "") for name in found} - {""})
    sessions = sorted({name.entities.get("ses", "") for name in found} - {""})
    datatypes = sorted({name.datatype for name in found} & set(DATATYPES))
    suffixes = sorted({name.suffix for name in found})
    wanted = dict.fromkeys([*suffixes[:3], *(suffix for suffix in SUFFIXES if suffix in suffixes)])
    return [
        *(Part((("subject", value),)) for value in subjects[:1]),
        *(Part((("session", value),)) for value in sessions[:1]),
        *(Part((("datatype", value),)) for value in datatypes),
        *(Part((("suffix", value),)) for value in wanted),
    ]


def sample_of(tree: Tree) -> list[Part]:
    """Return a subject, a session, a datatype and a suffix: which of them differs by tree."""
    turn, parts = TREES.index(tree.name), parts_of(tree)
    sample = []
    for kind in ("subject", "session", "datatype", "suffix"):
        alike = [part for part in parts if kind in part.keywords]
        sample += [alike[turn % len(alike)]] if alike else []
    return sample
