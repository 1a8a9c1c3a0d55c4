"""The tables of BIDS are what the standard's own packages say, and hold for datasets that exist."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import tarfile
from collections import Counter
from functools import cache
from pathlib import Path

import bids
import bidsschematools
import pytest
from bids.layout import parse_file_entities
from bidsschematools.rules import regexify_filename_rules
from bidsschematools.schema import load_schema
from hypothesis import given
from hypothesis import strategies as st

import neurofetch
from neurofetch.planning import bids_schema
from neurofetch.planning.companions import describes_dataset
from neurofetch.planning.entities import (
    ENTITY_NAMES,
    EXTRA_ENTITIES,
    INDEX_ENTITIES,
    datatype_of,
    parse,
)
from neurofetch.planning.entities import format as write
from neurofetch.planning.query import query

ROOT = Path(__file__).parents[2]
TREES = ROOT.parent / "shared" / "data" / "bids-trees.tar.xz"  # listings of bids-examples
SCHEMA = load_schema()

# From bids-examples (https://github.com/bids-standard/bids-examples): a few of each datatype.
SAMPLES = [
    "ds004332/sub-01/anat/sub-01_task-still_acq-mpragePMCon_rec-wore_T1w.json",
    "ds000117/sub-06/ses-mri/anat/sub-06_ses-mri_run-1_echo-6_FLASH.nii.gz",
    "qmri_mpm/sub-01/anat/sub-01_acq-head_echo-1_flip-6_mt-on_part-mag_MPM.nii",
    "ds000117/sub-01/ses-meg/beh/sub-01_ses-meg_task-facerecognition_events.tsv",
    "synthetic/sub-01/ses-01/beh/sub-01_ses-01_task-stroop+whitebg_beh.tsv",
    "ds000117/sub-03/ses-mri/dwi/sub-03_ses-mri_dwi.bvec",
    "ds114/sub-09/ses-retest/dwi/sub-09_ses-retest_dwi.nii.gz",
    "eeg_cbm/sub-cbm017/eeg/sub-cbm017_task-protmap_eeg.edf",
    "motion_spotrotation/sub-02/ses-joy/eeg/sub-02_ses-joy_task-Rotation_eeg.vhdr",
    "emg_ConcurrentIndependentUnits/sub-01/emg/sub-01_task-jumping_recording-bipolar_channels.tsv",
    "emg_MultiBodyParts/sub-01/emg/sub-01_space-lowerLeg_coordsystem.json",
    "7t_trt/sub-15/ses-1/fmap/sub-15_ses-1_run-1_magnitude1.nii.gz",
    "qmri_mpm/sub-01/fmap/sub-01_phasediff.nii",
    "7t_trt/sub-01/ses-1/func/sub-01_ses-1_task-rest_acq-fullbrain_run-2_physio.tsv.gz",
    "ds009/sub-13/func/sub-13_task-stopsignal_run-02_bold.nii.gz",
    "ieeg_epilepsy/sub-01/ses-postimp/ieeg/sub-01_ses-postimp_space-ScanRAS_electrodes.tsv",
    "ieeg_filtered_speech/sub-jh17/ieeg/sub-jh17_photo.jpg",
    "ds000117/sub-emptyroom/ses-20090518/meg/sub-emptyroom_ses-20090518_task-noise_meg.fif",
    "ds000117/sub-14/ses-meg/meg/sub-14_ses-meg_headshape.pos",
    "micr_SPIM/sub-01/micr/sub-01_sample-B_stain-LFB_chunk-04_SPIM.ome.tif",
    "motion_systemvalidation/sub-pp002/motion/sub-pp002_task-obstacleHigh_tracksys-imu_channels.tsv",
    "mrs_biggaba/sub-10/mrs/sub-10_acq-megapress68_mrsref.nii.gz",
    "mrs_2dmrsi/sub-06/mrs/sub-06_run-1_mrsi.json",
    "fnirs_automaticity/sub-38/nirs/sub-38_task-fingernonauto_nirs.snirf",
    "asl003/sub-Sub1/perf/sub-Sub1_asllabeling.jpg",
    "asl003/sub-Sub1/perf/sub-Sub1_m0scan.nii.gz",
    "pet002/sub-01/ses-baseline/pet/sub-01_ses-baseline_pet.nii.gz",
    "pet004/sub-01/pet/sub-01_recording-autosampler_blood.json",
]


# -- generated -----------------------------------------------------------------------------------


def test_the_module_is_what_its_generator_writes():
    tool = importlib.import_module("tools.bids_schema")
    installed, written = str(bidsschematools.__version__), bids_schema.SCHEMA_VERSION
    if installed != written:
        pytest.skip(f"bidsschematools {installed} is here; the module is made from {written}")
    assert tool.MODULE.read_text(encoding="utf-8") == tool.text(), "run `make schema`"


def test_the_module_says_of_which_bids_it_is():
    assert bids_schema.__doc__ is not None
    assert f"BIDS {bids_schema.BIDS_VERSION}" in bids_schema.__doc__
    assert f"schema {bids_schema.SCHEMA_VERSION}" in bids_schema.__doc__
    for page in ("get.md", "adr/0008-bids-schema.md"):
        assert bids_schema.BIDS_VERSION in (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_it_can_be_loaded_without_bidsschematools():
    """What is generated is what the package ships: it must not need its source."""
    source = Path(bids_schema.__file__).read_text(encoding="utf-8")
    imports = re.findall(r"^\s*(?:from|import) (\S+)", source, re.MULTILINE)
    assert set(imports) == {"__future__", "types", "typing", "collections.abc"}


# -- what the standard says ----------------------------------------------------------------------


def test_entities_have_the_names_and_the_order_of_the_schema():
    objects = SCHEMA.objects.entities
    named = [(name, objects[name].name) for name in SCHEMA.rules.entities]
    assert list(bids_schema.ENTITIES.items()) == named
    assert [one for one in ENTITY_NAMES.items() if one[0] not in EXTRA_ENTITIES] == named
    formats = {entity.name: entity.format for entity in objects.values()}
    assert {name for name in formats if formats[name] == "index"} == INDEX_ENTITIES
    assert set(formats) == bids_schema.LABEL_ENTITIES | INDEX_ENTITIES
    assert not bids_schema.LABEL_ENTITIES & INDEX_ENTITIES


def test_what_the_schema_has_is_no_longer_an_extra():
    """An entity that BIDS takes up leaves the table of extras."""
    assert not set(EXTRA_ENTITIES) & set(bids_schema.ENTITIES)
    assert not set(EXTRA_ENTITIES.values()) & set(bids_schema.ENTITIES.values())
    assert list(ENTITY_NAMES)[-3:] == ["contrast", "statistic", "description"]


def test_datatypes_suffixes_and_extensions_are_those_of_the_schema():
    objects = SCHEMA.objects
    assert {one.value for one in objects.datatypes.values()} == bids_schema.DATATYPES
    assert {one.value for one in objects.suffixes.values()} == bids_schema.SUFFIXES
    extensions = {one.value for one in objects.extensions.values()} - {"", "/", ".*"}
    assert extensions == bids_schema.EXTENSIONS
    assert set(bids_schema.SUFFIXES_OF) == bids_schema.DATATYPES - {"phenotype"}
    assert frozenset().union(*bids_schema.SUFFIXES_OF.values()) < bids_schema.SUFFIXES


def test_raw_data_and_derivatives_have_entities_of_their_own():
    raw, derived = bids_schema.RAW_ENTITIES, bids_schema.DERIVATIVE_ENTITIES
    assert raw | derived == set(bids_schema.ENTITIES.values())
    assert {"desc", "label", "res", "tpl", "cohort"} <= derived - raw
    assert {"nuc", "voi"} <= raw - derived


def test_the_files_at_the_root_are_those_that_come_along_and_more():
    files = bids_schema.ROOT_FILES
    assert files >= {"dataset_description.json", "samples.tsv", "CITATION.cff", "README.rst"}
    assert all(map(describes_dataset, files))
    rules = regexify_filename_rules(SCHEMA.rules.files.common, SCHEMA, level=2)
    assert all(any(re.match(rule["regex"], name) for rule in rules) for name in files)


# -- pybids --------------------------------------------------------------------------------------

CONFIGS = [
    json.loads((Path(bids.__file__).parent / "layout" / "config" / name).read_text("utf-8"))
    for name in ("bids.json", "derivatives.json")
]
PYBIDS = {
    found[1]: entity["name"]
    for config in CONFIGS
    for entity in config["entities"]
    if (found := re.search(r"([a-z]+)-\(", entity["pattern"]))
}
"""Short names with pybids' own, which are the short names themselves for some."""


def test_pybids_calls_entities_the_same():
    known = {short: name for short, name in PYBIDS.items() if short in ENTITY_NAMES.values()}
    assert len(known) > 25
    long_names = {short: long for long, short in ENTITY_NAMES.items()}
    differing = {s: n for s, n in known.items() if n not in (s, long_names[s])}
    assert differing.items() <= {"stain": "staining"}.items()


def test_pybids_writes_them_in_the_same_order():
    order = list(ENTITY_NAMES.values())
    patterns = [pattern for config in CONFIGS for pattern in config["default_path_patterns"]]
    differing = []
    for pattern in patterns:
        name = pattern.partition("{extension")[0].rpartition("/")[2]
        said = [short for short in re.findall(r"([a-z]+)-[{<]", name) if short in order]
        if said != sorted(said, key=order.index):
            differing.append(said)
    assert len(patterns) > 50
    # in one of its patterns, pybids 0.22 has rec after dir; in all others before it, as BIDS does
    assert len(differing) <= 1
    assert all(said == ["task", "acq", "ce", "dir", "rec", "run", "echo"] for said in differing)


@pytest.mark.parametrize("path", SAMPLES)
def test_pybids_reads_the_same_from_a_name(path):
    theirs = parse_file_entities(f"/{path}")
    ours = parse(path)
    assert (ours.suffix, ours.extension) == (theirs["suffix"], theirs["extension"])
    if datatype_of(path) != "emg":  # pybids does not know it
        assert datatype_of(path) == theirs["datatype"]
    for short, value in ours.values:
        assert str(theirs[PYBIDS[short]]) in (value, value.lstrip("0"))
    assert {PYBIDS[short] for short, _ in ours.values} == {
        name for name in theirs if name in PYBIDS.values()
    }


# -- names that the schema allows ----------------------------------------------------------------


@cache
def rules() -> list[re.Pattern[str]]:
    files = SCHEMA.rules.files
    groups = (files.raw, files.deriv, files.common)
    made = [rule for group in groups for rule in regexify_filename_rules(group, SCHEMA, level=2)]
    return [re.compile(rule["regex"]) for rule in made]


def said_by_the_schema(path: str) -> dict[str, str] | None:
    """What the official rules read from a path; None where no rule allows it."""
    found = next((match for rule in rules() if (match := rule.match(path))), None)
    return {name: v for name, v in found.groupdict().items() if v} if found else None


def said_by_us(path: str) -> dict[str, str]:
    said = parse(path)
    long_names = {short: long for long, short in ENTITY_NAMES.items()}
    found = {long_names[short]: value for short, value in said.values}
    found |= {"suffix": said.suffix, "extension": said.extension, "datatype": datatype_of(path)}
    return {name: value for name, value in found.items() if value}


def check(path: str) -> None:
    """Hold one path of a dataset against the tables and the official rules."""
    said = parse(path)
    name = path.rpartition("/")[2]
    assert write(said) == name
    order = list(bids_schema.ENTITIES.values())
    assert [short for short, _ in said.values] == sorted(
        (short for short, _ in said.values), key=order.index
    )
    assert said.suffix in bids_schema.SUFFIXES_OF[datatype_of(path)]
    assert said.extension in bids_schema.EXTENSIONS
    assert said_by_us(path) == said_by_the_schema(path)


def inside(sample: str) -> str:
    return sample.partition("/")[2]


@pytest.mark.parametrize("path", [inside(sample) for sample in SAMPLES])
def test_names_of_real_datasets(path):
    check(path)


def test_the_samples_have_each_datatype():
    counts = Counter(datatype_of(path) for path in SAMPLES)
    assert set(counts) == bids_schema.DATATYPES - {"phenotype"}  # whose names have no entities
    assert datatype_of("phenotype/KSSSleep.tsv") == "phenotype"


@pytest.mark.skipif(not TREES.exists(), reason="the listings of bids-examples are not here")
def test_ten_names_of_each_datatype_in_the_example_datasets():
    listed: dict[str, set[str]] = {}
    with tarfile.open(TREES) as trees:
        for path in (inside(member.name) for member in trees if member.isfile()):
            of, folder = datatype_of(path), path.rpartition("/")[0].rpartition("/")[2]
            if of and folder == of and path.startswith("sub-"):
                listed.setdefault(of, set()).add(path)
    assert set(listed) == bids_schema.DATATYPES - {"phenotype"}
    few = {of for of, paths in listed.items() if len(paths) < 10}
    assert few == {"perf"}  # the examples have six of them
    for paths in listed.values():
        for path in sorted(paths)[:: max(1, len(paths) // 10)]:
            check(path)
        allowed = {path: said for path in paths if (said := said_by_the_schema(path))}
        assert {path: said_by_us(path) for path in allowed} == allowed
        assert len(allowed) > 0.9 * len(paths)  # the rest is of older BIDS, or .bidsignored


FORMATS = {
    kind: st.from_regex(SCHEMA.objects.formats[kind].pattern, fullmatch=True)
    for kind in ("index", "label")
}


@st.composite
def names(draw: st.DrawFn) -> tuple[list[tuple[str, str]], str, str, str]:
    """Entities in the schema's order, a suffix, an extension, and the name of all that."""
    objects = SCHEMA.objects.entities
    chosen = draw(st.sets(st.sampled_from(SCHEMA.rules.entities), max_size=8))
    pairs = [
        (objects[name].name, draw(FORMATS[objects[name].format]))
        for name in SCHEMA.rules.entities
        if name in chosen
    ]
    suffix = draw(st.sampled_from([one.value for one in SCHEMA.objects.suffixes.values()]))
    extensions = [one.value.rstrip("/") for one in SCHEMA.objects.extensions.values()]
    extension = draw(st.sampled_from([one for one in extensions if one != ".*"]))
    chunks = [f"{short}-{value}" for short, value in pairs] + [suffix]
    return pairs, suffix, extension, "_".join(chunks) + extension


@given(names())
def test_names_of_schema_entities_are_read_and_written_back(made):
    pairs, suffix, extension, name = made
    said = parse(name)
    assert list(said.values) == pairs
    assert (said.suffix, said.extension) == (suffix, extension)
    assert write(said) == name


# -- as filters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("long", "short"), ENTITY_NAMES.items())
def test_an_entity_is_a_filter_by_either_name(long, short):
    assert query(**{long: "1"}) == query(**{short: "1"}) == query(**{short: f"{short}-1"})
    assert query(**{long: "1"}).entities == ((short, ("1",)),)


@pytest.mark.parametrize("function", [query, neurofetch.get, neurofetch.plan])
def test_no_entity_has_the_name_of_another_argument(function):
    names = {*ENTITY_NAMES, *ENTITY_NAMES.values()}
    assert not names & set(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("path", "datatype"),
    [
        ("sub-01/func/sub-01_bold.nii.gz", "func"),
        ("sub-01/ses-02/func/figures/R2.png", "func"),
        ("sub-01/meg/sub-01_meg.ds/sub-01_meg.meg4", "meg"),
        ("derivatives/pet/sub-01/anat/sub-01_T1w.nii.gz", "anat"),
        ("tpl-MNI152Lin/anat/tpl-MNI152Lin_T1w.nii.gz", "anat"),
        ("phenotype/scores.tsv", "phenotype"),
        ("func", ""),
        ("sub-01/funct/x.nii", ""),
        ("task-rest_bold.json", ""),
        ("", ""),
    ],
)
def test_the_datatype_is_the_folder(path, datatype):
    assert datatype_of(path) == datatype
