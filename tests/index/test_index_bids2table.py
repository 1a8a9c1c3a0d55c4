"""The judge of an index is bids2table: the same columns, and the same row for what it lists."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import bids2table
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bids.layout import parse_file_entities
from hypothesis import assume, given
from hypothesis import strategies as st

from neurofetch.index import index
from neurofetch.index.columns import arrow_schema
from neurofetch.index.entities import COLUMNS, said
from neurofetch.planning.units import unit_of
from tests.oracles.trees import TREES, needs_trees, unpack, write

THEIRS = bids2table.get_arrow_schema()


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("trees"))


@pytest.fixture(autouse=True)
def quiet():
    """It warns of each value that no entity can have."""
    logging.getLogger("bids2table").setLevel(logging.ERROR)


def rows_of(folder, out):
    made = index(folder, out)
    return made, pq.read_table(made.path)


def key(row):
    return os.path.join(row["root"], row["path"])


def differences(folder, out, *roots):
    """What differs between the index of a folder and bids2table's of the data sets in it."""
    _, ours = rows_of(folder, out)
    known = {key(row): row for row in ours.to_pylist()}
    units = {os.path.join(row["root"], row["unit"]): row for row in known.values() if row["unit"]}
    found, compared = [], 0
    for root in roots or (folder,):
        for row in bids2table.index_dataset(root).to_pylist():
            compared += 1
            whole = key(row)
            mine = known.get(whole) or units.get(whole)
            if mine is None:
                found.append(f"{whole} has no row")
                continue
            names = [n for n in row if n != "path" or whole in known]
            found += [
                f"{whole}: {name} is {mine[name]!r}, not {row[name]!r}"
                for name in names
                if mine[name] != row[name]
            ]
    return found, compared


def test_the_columns_of_bids2table_are_there_with_its_names_types_and_order():
    ours = arrow_schema()
    assert ours.names[: len(THEIRS)] == THEIRS.names
    for mine, its in zip(ours, THEIRS, strict=False):
        assert mine.type == its.type, mine.name
    assert tuple(THEIRS.names[1 : 1 + len(COLUMNS)]) == COLUMNS
    for name in COLUMNS:
        assert ours.field(name).metadata[b"entity"] == THEIRS.field(name).metadata[b"entity"]
    for word in (b"bids_version", b"schema_version"):
        assert ours.metadata[word] == THEIRS.metadata[word]


@needs_trees
@pytest.mark.slow
@pytest.mark.parametrize("name", TREES)
def test_a_real_tree_has_the_rows_of_bids2table_column_by_column(trees, tmp_path, name):
    folder = trees / name
    roots = [str(root) for root in bids2table.find_bids_datasets(folder)]
    found, compared = differences(folder, tmp_path / "x.parquet", *roots)
    assert found == []
    assert compared or not list(folder.glob("sub-*")), name
    made, table = rows_of(folder, tmp_path / "x.parquet")
    assert made.files == sum(len(names) for _, _, names in os.walk(folder)) == len(table)


@needs_trees
@pytest.mark.slow
def test_all_trees_together_have_a_row_for_each_file_sorted(trees, tmp_path):
    made, table = rows_of(trees, tmp_path / "x.parquet")
    whole = [f"{row['root']}/{row['path']}" for row in table.select(["root", "path"]).to_pylist()]
    assert whole == sorted(whole)
    assert len(set(whole)) == made.files == sum(len(names) for _, _, names in os.walk(trees))


ODD = (
    "dataset_description.json",
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_T1w.nii.gz",  # the session is in the folder alone
    "sub-01/func/sub-01_task-rest_run-01_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_run-001_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_run-1a_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_run--2_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_run-٣_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_run-_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_hemi-LR_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_part-mag_mt-on_hemi-L_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_colour-red_x-1_bold.nii.gz",
    "sub-01/func/sub-01_task-a_task-b_bold.nii.gz",
    "sub-01/func/sub-01_task-a-b-c_bold.nii.gz",
    "sub-01/func/sub-01_stuff_bold.nii.gz",
    "sub-01/func/sub-01_-x_y-_bold.nii.gz",
    "sub-01/func/sub-01_acq-0.7mm_bold.nii.gz",
    "sub-01/func/sub-01_task-größe_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_bold.tar.gz.part.1",
    "sub-01/func/sub-01_suffix-T1w_ext-.nii_datatype-anat_bold.nii.gz",
    'sub-01/func/sub-01_task-it\'s "q".nii.gz',
    "sub-01/FUNC/sub-01_task-rest_bold.nii.gz",
    "sub-01/figures/sub-01_desc-x_T1w.svg",
    "sub-01/sub-01_scans.tsv",
    "sub-01/a/b/c/sub-01_T1w.nii.gz",
    "sub-02/ses-1/meg/sub-02_ses-1_task-x_meg.ds/hz.ds/hz.acq",
    "sub-02/ses-1/meg/sub-02_ses-1_task-x_meg.ds/sub-02_x.meg4",
    "sub-02/ses-1/micr/sub-02_ses-1_SPIM.ome.zarr/0/0",
    "derivatives/a/sub-01/anat/sub-01_T1w.nii.gz",
    "derivatives/b/dataset_description.json",
    "derivatives/b/sub-01/anat/sub-01_desc-x_T1w.nii.gz",
    "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
)


def test_odd_names_have_the_values_that_bids2table_gives_them(tmp_path):
    folder = write(dict.fromkeys(ODD, b"x"), tmp_path / "ds")
    roots = [str(root) for root in bids2table.find_bids_datasets(folder)]
    assert len(roots) == 4
    found, compared = differences(folder, tmp_path / "x.parquet", *roots)
    assert found == []
    assert compared > 20


ENTITY = st.sampled_from([*COLUMNS, "contrast", "stat", "x", "Run", "", "1"])
VALUE = st.text("aL1.-+ ü", max_size=4) | st.sampled_from(["on", "mag", "R", "01", "1.5mm", "-1"])
CHUNK = st.builds("{}-{}".format, ENTITY, VALUE) | st.text("ab1.-", max_size=4)
FOLDER = st.sampled_from(
    ["sub-01/anat", "sub-01/ses-1/func", "sub-01", "sub-01/ses-1", "sub-a+b/meg", "sub-01/Func/x/y"]
)


@given(
    FOLDER,
    st.lists(CHUNK, max_size=5),
    st.text("aBw1", min_size=1, max_size=4),
    st.sampled_from([".nii.gz", ".tsv", ".ome.tif", ".a.b.c", ".1", ".json"]),
)
def test_any_name_that_bids2table_lists_says_the_same(folder, chunks, suffix, extension):
    name = "_".join(["sub-01", *chunks, suffix]) + extension
    path = f"{folder}/{name}"
    assume("/" not in name and not unit_of(path))
    told, extra = bids2table.validate_bids_entities(bids2table.parse_bids_entities(path))
    found = said(path)
    values = dict(zip(COLUMNS, found.values, strict=True))
    assert {name: value for name, value in values.items() if value is not None} == told
    assert dict(found.extra) == extra


@pytest.mark.parametrize("value", ["2147483647", "2147483648", "20260101120000", "9" * 5000])
def test_an_index_too_large_for_its_column_is_an_extra_entity(tmp_path, value):
    """The class: what makes bids2table fail as a whole is a row like others here."""
    found = said(f"sub-01/func/sub-01_run-{value}_bold.nii.gz")
    fits = value == "2147483647"
    assert dict(zip(COLUMNS, found.values, strict=True))["run"] == (int(value) if fits else None)
    assert found.extra == ([] if fits else [("run", value)])
    pa.array([found.extra], type=pa.map_(pa.string(), pa.string()))


@needs_trees
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ds000117", "7t_trt", "synthetic", "qmri_mpm"])
def test_entities_are_those_that_pybids_reads(trees, tmp_path, name):
    _, table = rows_of(trees / name, tmp_path / "x.parquet")
    shorts = {"subject": "sub", "session": "ses", "acquisition": "acq", "task": "task",
              "run": "run", "suffix": "suffix", "extension": "ext", "echo": "echo"}  # fmt: skip
    compared = 0
    for row in table.to_pylist():
        if row["unit"] or not Path(row["path"]).name.startswith("sub-"):
            continue
        told = parse_file_entities(f"/{row['path']}")
        for long, short in shorts.items():
            if long in told:
                compared += 1
                number = short in ("run", "echo")
                assert row[short] == (int(told[long]) if number else told[long]), row
    assert compared > 100
