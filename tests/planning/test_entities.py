"""BIDS names are read as they are met in the wild, and written back unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.planning.entities import (
    ENTITY_NAMES,
    Entities,
    NameReader,
    Reader,
    bare,
    full,
    parse,
)
from neurofetch.planning.entities import format as write
from neurofetch.planning.units import unit_of

BETAS = (
    "derivatives/glmsingle-tedana/sub-01/ses-02/func/"
    "sub-01_ses-02_task-images_space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
)
FOLDERS = ("sub-01", "sub-02", "ses-1", "sub-0.1", "sub-01_x", "ses-1-2", "func", "", "sub-")
CHUNKS = ("sub-01", "sub-02", "sub-0.1", "sub-01_x", "ses-1", "ses-1-2", "task-a", "bold", "", "x-")


def test_a_full_name() -> None:
    entities = parse(BETAS)
    assert entities.values == (
        ("sub", "01"),
        ("ses", "02"),
        ("task", "images"),
        ("space", "T1w"),
        ("stat", "effect"),
        ("desc", "SingletrialBetas"),
    )
    assert (entities.suffix, entities.extension) == ("statmap", ".nii.gz")
    assert entities.get("desc") == "SingletrialBetas"
    assert entities.get("run") is None


@pytest.mark.parametrize(
    ("path", "values", "suffix", "extension"),
    [
        ("sub-01/ses-02/func/figures/R2.png", {"sub": "01", "ses": "02"}, "R2", ".png"),
        ("sub-01/ses-02/sub-03_ses-04_bold.nii", {"sub": "03", "ses": "04"}, "bold", ".nii"),
        ("sub-01/ses-02/sub-03_bold.nii", {"ses": "02", "sub": "03"}, "bold", ".nii"),
        ("sub-01/ses-02/ses-04_x.nii", {"sub": "01", "ses": "04"}, "x", ".nii"),
        ("sub-01/sub-02/x", {"sub": "02"}, "x", ""),
        ("task-rest/run-01/sub-01_x.tsv", {"sub": "01"}, "x", ".tsv"),
        ("sub-01_label-FFA-1_mask.func.gii", {"sub": "01", "label": "FFA-1"}, "mask", ".func.gii"),
        (
            "stimuli/task-images_desc-captions.csv",
            {"task": "images", "desc": "captions"},
            "",
            ".csv",
        ),
        ("task-a_desc-b_metadata.csv", {"task": "a", "desc": "b"}, "metadata", ".csv"),
        ("dataset_description.json", {}, "description", ".json"),
        ("README", {}, "README", ""),
        (".bidsignore", {}, "", ".bidsignore"),
        ("sub-_x.nii", {}, "x", ".nii"),
        ("-01_x.nii", {}, "x", ".nii"),
        ("sub-01_mid_run-1", {"sub": "01", "run": "1"}, "", ""),
        ("sub-/ses/sub01/x.nii", {}, "x", ".nii"),
        ("", {}, "", ""),
        ("a/", {}, "", ""),
    ],
)
def test_names_of_the_wild(path: str, values: dict[str, str], suffix: str, extension: str) -> None:
    entities = parse(path)
    assert dict(entities.values) == values
    assert (entities.suffix, entities.extension) == (suffix, extension)


def test_an_inherited_subject_comes_first() -> None:
    assert parse("sub-01/ses-02/task-a_x.nii").values == (
        ("sub", "01"),
        ("ses", "02"),
        ("task", "a"),
    )
    assert parse("a/ses-02/sub-01_task-a_x.nii").values[0] == ("ses", "02")


def test_the_first_of_a_repeated_entity_counts() -> None:
    assert parse("desc-a_desc-b_x.nii").get("desc") == "a"


@given(st.text())
def test_any_text_parses(path: str) -> None:
    entities = parse(path)
    assert path.endswith(entities.extension)
    assert all(entity and value for entity, value in entities.values)


words = st.text(st.sampled_from("abcXYZ019"), min_size=1, max_size=6)
values = st.lists(words, min_size=1, max_size=3).map("-".join) | st.sampled_from(["0.7mm", "1.25"])
valid = st.builds(
    Entities,
    values=st.lists(
        st.tuples(st.sampled_from(list(ENTITY_NAMES.values())), values),
        max_size=6,
        unique_by=lambda pair: pair[0],
    ).map(tuple),
    suffix=st.just("") | words,
    extension=st.lists(words, max_size=3).map(lambda parts: "".join(f".{part}" for part in parts)),
).filter(lambda says: says.suffix or not says.extension[1:2].isdigit())  # else part of a number


@pytest.mark.parametrize(
    ("path", "values", "suffix", "extension"),
    [
        ("sub-01/anat/sub-01_acq-0.7mm_T1w.nii.gz", "sub-01 acq-0.7mm", "T1w", ".nii.gz"),
        ("sub-01_res-0.7mm.nii.gz", "sub-01 res-0.7mm", "", ".nii.gz"),
        ("sub-1.5/func/sub-1.5_bold.json", "sub-1.5", "bold", ".json"),
        ("sub-01_run-1.1D", "sub-01 run-1", "", ".1D"),
        ("x_1.5.txt", "", "1", ".5.txt"),
    ],
)
def test_values_with_dots(path: str, values: str, suffix: str, extension: str) -> None:
    says = parse(path)
    assert [f"{entity}-{value}" for entity, value in says.values] == values.split()
    assert (says.suffix, says.extension) == (suffix, extension)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("sub-01_ses-2011/anat/x.nii", "sub-01 ses-2011"),
        ("sub-01_task-rest.feat/stats/zstat1.nii.gz", "sub-01 task-rest"),
        ("derivatives/fsl/sub-02_ses-1_run-3.feat/design.fsf", "sub-02 ses-1 run-3"),
        ("sub-01/sub-01_task-x.ica/melodic.nii", "sub-01 task-x"),
        ("sub-01/meg/sub-01_task-AEF_meg.ds/hz.ds/sub-99_x.txt", "sub-01 task-AEF"),
        ("sub-01/meg/sub-01_task-bti_meg/c,rfDC", "sub-01 task-bti"),
        ("not_sub-01_x/y.nii", ""),
    ],
)
def test_folders_named_by_several_entities(path: str, values: str) -> None:
    assert [f"{entity}-{value}" for entity, value in parse(path).values] == values.split()


@given(valid)
def test_reading_back_what_was_written(entities: Entities) -> None:
    assert parse(write(entities)) == entities


@given(valid, st.sampled_from(["", "derivatives/x/", "sub-01/", "sub-01/ses-02/func/"]))
def test_folders_only_add_what_the_name_lacks(entities: Entities, folder: str) -> None:
    read = parse(folder + write(entities))
    inherited = parse(folder)
    assert read.values[-len(entities.values) :] == entities.values or not entities.values
    for entity in ("sub", "ses"):
        assert read.get(entity) == (entities.get(entity) or inherited.get(entity))


def test_a_name_is_written_back_from_disk_names() -> None:
    name = BETAS.rpartition("/")[2]
    assert write(parse(BETAS)) == name


@pytest.mark.parametrize("token", ["04", "ses-04"])
def test_bare_and_full_tokens_are_one(token: str) -> None:
    assert bare("ses", token) == "04"
    assert full("ses", token) == "ses-04"


def test_a_token_of_another_entity_is_not_stripped() -> None:
    assert bare("ses", "sub-04") == "sub-04"


def test_long_names_lead_to_short_ones() -> None:
    assert ENTITY_NAMES["subject"] == "sub"
    assert ENTITY_NAMES["description"] == "desc"
    assert len(set(ENTITY_NAMES.values())) == len(ENTITY_NAMES)


@given(
    st.lists(st.sampled_from(FOLDERS), max_size=4),
    st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=5),
    st.sampled_from(["", ".json", ".nii.gz", "."]),
)
def test_a_name_that_is_read_in_two_parts_says_the_same(
    folders: list[str], chunks: list[str], extension: str
) -> None:
    path = "/".join([*folders, "_".join(chunks) + extension])
    says = parse(path)

    def of_rest(head: dict[str, str], rest: str) -> tuple[list[str | None], str, str]:
        found = parse(rest)
        values = [head.get(name, found.get(name)) for name in ("sub", "ses", "task")]
        return values, found.suffix, found.extension

    class Head(dict[str, str]):
        __hash__ = object.__hash__

    read = Reader(Head, of_rest)
    expected = [says.get(name) for name in ("sub", "ses", "task")], says.suffix, says.extension
    assert read(path) == read(path) == expected


def test_each_rest_of_a_name_is_read_once() -> None:
    seen: list[str] = []
    read = Reader(lambda pairs: tuple(name for name, _ in pairs), lambda _, rest: seen.append(rest))
    for sub in ("01", "02", "03"):
        read(f"sub-{sub}/ses-1/func/sub-{sub}_ses-1_task-a_bold.nii.gz")
        read(f"sub-{sub}/ses-1/func/sub-{sub}_task-a_bold.nii.gz")
    own = [f"sub-{sub}/ses-1/func/sub-{sub}_task-a_bold.nii.gz" for sub in ("01", "02", "03")]
    assert sorted(seen) == sorted(["task-a_bold.nii.gz", *own])


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from((*FOLDERS, "sub-01_meg.ds", "sub-01_meg")), max_size=4),
            st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=4),
            st.sampled_from((".nii.gz", "", ".5mm.json", ".ds")),
        ),
        max_size=5,
    )
)
def test_many_names_are_read_as_each_is_read_alone(
    files: list[tuple[list[str], list[str], str]],
) -> None:
    read = NameReader()
    for folders, chunks, extension in files:
        path = "/".join([*folders, "_".join(chunks) + extension])
        says, name = parse(path), read(path)
        assert name.pairs == frozenset(says.values), path
        assert (name.suffix, name.extension) == (says.suffix, says.extension), path
        assert name.unit == unit_of(path)
