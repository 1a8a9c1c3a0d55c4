"""BIDS 1.11.2: its entities, datatypes, suffixes, extensions, and files at a dataset's root.

Generated from schema 2.0.1 of bidsschematools by `make schema`; do not edit.
Entities are named by their short names where nothing else is said.
"""
# fmt: off

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ASSOCIATIONS",
    "BIDS_VERSION",
    "DATATYPES",
    "DERIVATIVE_ENTITIES",
    "ENTITIES",
    "EXTENSIONS",
    "FOLDER_SUFFIXES",
    "INDEX_ENTITIES",
    "LABEL_ENTITIES",
    "RAW_ENTITIES",
    "ROOT_FILES",
    "SCHEMA_VERSION",
    "SUFFIXES",
    "SUFFIXES_OF",
    "VALUES_OF",
    "Association",
]

BIDS_VERSION: Final = "1.11.2"
SCHEMA_VERSION: Final = "2.0.1"


class Association(NamedTuple):
    """Which file belongs to which data, as the schema's `meta.associations` says."""

    name: str
    """Of the association."""
    of: frozenset[str]
    """Suffixes of the data; none for any."""
    image: bool
    """Whether the data must be a NIfTI image; else it may be all but JSON."""
    datatype: str
    """Of the data; empty for any."""
    entity: str
    """Which the data must carry; empty for none."""
    suffix: str
    """Of the file that belongs to it."""
    extensions: frozenset[str]
    """Its extensions."""
    extra: frozenset[str]
    """Entities that it may carry though the data does not."""
    inherit: bool
    """Whether it may lie in a folder above that of the data."""

ENTITIES: Final[Mapping[str, str]] = MappingProxyType({
    "subject": "sub",
    "template": "tpl",
    "session": "ses",
    "cohort": "cohort",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acquisition": "acq",
    "nucleus": "nuc",
    "volume": "voi",
    "ceagent": "ce",
    "tracer": "trc",
    "stain": "stain",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "modality": "mod",
    "echo": "echo",
    "flip": "flip",
    "inversion": "inv",
    "mtransfer": "mt",
    "part": "part",
    "processing": "proc",
    "hemisphere": "hemi",
    "space": "space",
    "split": "split",
    "recording": "recording",
    "chunk": "chunk",
    "atlas": "atlas",
    "segmentation": "seg",
    "scale": "scale",
    "resolution": "res",
    "density": "den",
    "label": "label",
    "description": "desc",
})
"""Long names with their short ones, in the order of a file name."""

INDEX_ENTITIES: Final = frozenset({
    "chunk", "echo", "flip", "inv", "run", "split",
})
"""Their values are whole numbers, perhaps padded with zeros."""

LABEL_ENTITIES: Final = frozenset({
    "acq", "atlas", "ce", "cohort", "den", "desc", "dir", "hemi", "label", "mod", "mt", "nuc",
    "part", "proc", "rec", "recording", "res", "sample", "scale", "seg", "ses", "space", "stain",
    "sub", "task", "tpl", "tracksys", "trc", "voi",
})
"""Their values are letters and digits."""

VALUES_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType({
    "mt": frozenset({"off", "on"}),
    "part": frozenset({"imag", "mag", "phase", "real"}),
    "hemi": frozenset({"L", "R"}),
})
"""Per entity that has but a few values, these."""

RAW_ENTITIES: Final = frozenset({
    "acq", "ce", "chunk", "dir", "echo", "flip", "inv", "mod", "mt", "nuc", "part", "proc", "rec",
    "recording", "run", "sample", "ses", "space", "split", "stain", "sub", "task", "tracksys",
    "trc", "voi",
})
"""Those in names of raw data."""

DERIVATIVE_ENTITIES: Final = frozenset({
    "acq", "atlas", "ce", "chunk", "cohort", "den", "desc", "dir", "echo", "flip", "hemi", "inv",
    "label", "mod", "mt", "part", "proc", "rec", "recording", "res", "run", "sample", "scale",
    "seg", "ses", "space", "split", "stain", "sub", "task", "tpl", "tracksys", "trc",
})
"""Those in names of derivatives."""

DATATYPES: Final = frozenset({
    "anat", "beh", "dwi", "eeg", "emg", "fmap", "func", "ieeg", "meg", "micr", "motion", "mrs",
    "nirs", "perf", "pet", "phenotype",
})
"""The folders that hold data, named after what was measured."""

SUFFIXES: Final = frozenset({
    "2PE", "ADC", "BF", "CARS", "CONF", "Chimap", "DF", "DIC", "FA", "FLAIR", "FLASH", "FLUO",
    "IRT1", "M0map", "MEGRE", "MESE", "MP2RAGE", "MPE", "MPM", "MTR", "MTRmap", "MTS", "MTVmap",
    "MTsat", "MWFmap", "NLO", "OCT", "PC", "PD", "PDT2", "PDmap", "PDw", "PLI", "R1map", "R2map",
    "R2starmap", "RB1COR", "RB1map", "S0map", "SEM", "SPIM", "SR", "T1map", "T1rho", "T1w",
    "T2map", "T2star", "T2starmap", "T2starw", "T2w", "TB1AFI", "TB1DAM", "TB1EPI", "TB1RFM",
    "TB1SRGE", "TB1TFL", "TB1map", "TEM", "UNIT1", "VFA", "XPCT", "angio", "asl", "aslcontext",
    "asllabeling", "beh", "blood", "bold", "cbv", "channels", "colFA", "coordsystem", "defacemask",
    "description", "descriptions", "dseg", "dwi", "eeg", "electrodes", "emg", "epi", "events",
    "expADC", "fieldmap", "headshape", "ieeg", "inplaneT1", "inplaneT2", "m0scan", "magnitude",
    "magnitude1", "magnitude2", "markers", "mask", "meg", "motion", "mrsi", "mrsref", "nirs",
    "noRF", "optodes", "pet", "phase", "phase1", "phase2", "phasediff", "photo", "physio",
    "physioevents", "probseg", "sbref", "scans", "sessions", "stim", "svs", "trace", "uCT", "unloc",
})
"""The last parts of file names before the extension."""

SUFFIXES_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType({
    "anat": frozenset({"Chimap", "FLAIR", "FLASH", "IRT1", "M0map", "MEGRE", "MESE", "MP2RAGE",
        "MPM", "MTR", "MTRmap", "MTS", "MTVmap", "MTsat", "MWFmap", "PD", "PDT2", "PDmap", "PDw",
        "R1map", "R2map", "R2starmap", "S0map", "T1map", "T1rho", "T1w", "T2map", "T2star",
        "T2starmap", "T2starw", "T2w", "UNIT1", "VFA", "angio", "defacemask", "dseg", "inplaneT1",
        "inplaneT2", "mask", "physio", "physioevents", "probseg", "stim"}),
    "beh": frozenset({"beh", "events", "physio", "physioevents", "stim"}),
    "dwi": frozenset({"ADC", "FA", "S0map", "colFA", "dseg", "dwi", "expADC", "mask", "physio",
        "physioevents", "probseg", "sbref", "stim", "trace"}),
    "eeg": frozenset({"channels", "coordsystem", "eeg", "electrodes", "events", "photo", "physio",
        "physioevents", "stim"}),
    "emg": frozenset({"channels", "coordsystem", "electrodes", "emg", "events", "photo", "physio",
        "physioevents", "stim"}),
    "fmap": frozenset({"RB1COR", "RB1map", "TB1AFI", "TB1DAM", "TB1EPI", "TB1RFM", "TB1SRGE",
        "TB1TFL", "TB1map", "epi", "fieldmap", "m0scan", "magnitude", "magnitude1", "magnitude2",
        "phase1", "phase2", "phasediff"}),
    "func": frozenset({"bold", "cbv", "dseg", "events", "mask", "noRF", "phase", "physio",
        "physioevents", "probseg", "sbref", "stim"}),
    "ieeg": frozenset({"channels", "coordsystem", "electrodes", "events", "ieeg", "photo",
        "physio", "physioevents", "stim"}),
    "meg": frozenset({"channels", "coordsystem", "electrodes", "events", "headshape", "markers",
        "meg", "photo", "physio", "physioevents", "stim"}),
    "micr": frozenset({"2PE", "BF", "CARS", "CONF", "DF", "DIC", "FLUO", "MPE", "NLO", "OCT", "PC",
        "PLI", "SEM", "SPIM", "SR", "TEM", "XPCT", "photo", "uCT"}),
    "motion": frozenset({"channels", "events", "motion", "physio", "physioevents", "stim"}),
    "mrs": frozenset({"events", "mrsi", "mrsref", "svs", "unloc"}),
    "nirs": frozenset({"channels", "coordsystem", "events", "nirs", "optodes", "photo", "physio",
        "physioevents", "stim"}),
    "perf": frozenset({"asl", "aslcontext", "asllabeling", "m0scan", "noRF", "physio",
        "physioevents", "stim"}),
    "pet": frozenset({"blood", "events", "pet", "physio", "physioevents", "stim"}),
})
"""Per datatype, the suffixes of its files, raw or derived."""

EXTENSIONS: Final = frozenset({
    ".ave", ".bdf", ".bval", ".bvec", ".chn", ".con", ".dat", ".dlabel.nii", ".ds/", ".edf",
    ".eeg", ".fdt", ".fif", ".func.gii", ".jpg", ".json", ".kdf", ".label.gii", ".md", ".mefd/",
    ".mhd", ".mrk", ".nii", ".nii.gz", ".nwb", ".ome.btf", ".ome.tif", ".ome.zarr/", ".png",
    ".pos", ".raw", ".rst", ".set", ".snirf", ".sqd", ".tif", ".trg", ".tsv", ".tsv.gz", ".txt",
    ".vhdr", ".vmrk",
})
"""Those that end in a slash are folders."""

FOLDER_SUFFIXES: Final = frozenset({
    "meg",
})
"""Those of recordings that are folders without an extension."""

ASSOCIATIONS: Final = (
    Association("aslcontext", frozenset({"asl"}), True, "", "", "aslcontext", frozenset({".tsv"}),
        frozenset(), True),
    Association("atlas_description", frozenset(), False, "", "atlas", "description",
        frozenset({".json"}), frozenset(), True),
    Association("channels", frozenset({"eeg", "emg", "ieeg", "meg", "motion", "nirs", "optodes"}),
        False, "", "", "channels", frozenset({".tsv"}), frozenset(), True),
    Association("coordsystem", frozenset({"eeg", "electrodes", "ieeg", "meg", "motion", "nirs",
        "optodes"}), False, "", "", "coordsystem", frozenset({".json"}), frozenset(), True),
    Association("coordsystems", frozenset({"electrodes", "emg"}), False, "emg", "", "coordsystem",
        frozenset({".json"}), frozenset({"space"}), True),
    Association("electrodes", frozenset({"eeg", "emg", "ieeg", "meg"}), False, "", "",
        "electrodes", frozenset({".tsv"}), frozenset({"space"}), True),
    Association("events", frozenset(), False, "", "", "events", frozenset({".tsv"}), frozenset(),
        True),
    Association("m0scan", frozenset({"asl"}), True, "", "", "m0scan", frozenset({".nii",
        ".nii.gz"}), frozenset(), False),
    Association("magnitude", frozenset({"fieldmap"}), True, "", "", "magnitude", frozenset({".nii",
        ".nii.gz"}), frozenset(), False),
    Association("magnitude1", frozenset({"phase1", "phasediff"}), True, "", "", "magnitude1",
        frozenset({".nii", ".nii.gz"}), frozenset(), False),
    Association("physio", frozenset(), False, "", "", "physio", frozenset({".tsv.gz"}),
        frozenset(), False),
)
"""Files that belong to data, by suffix."""

ROOT_FILES: Final = frozenset({
    "CHANGES", "CITATION.cff", "LICENSE", "LICENSE.md", "LICENSE.rst", "LICENSE.txt", "README",
    "README.md", "README.rst", "README.txt", "dataset_description.json", "genetic_info.json",
    "participants.json", "participants.tsv", "samples.json", "samples.tsv",
})
"""What describes a whole dataset, at its root."""
