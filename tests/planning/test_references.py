"""What metadata files name, read from their content."""

import json

import pytest
from bidsschematools import schema
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.planning.references import (
    FIELDS,
    STIM_FILE,
    Home,
    atlas_of,
    can_name,
    home_of,
    links,
    references,
)

FMAP = "sub-01/ses-a/fmap/sub-01_ses-a_phasediff.json"
EVENTS = "sub-01/func/sub-01_task-x_events.tsv"
NAMING = {"bids_uri", "dataset_relative", "participant_relative", "file_relative"}
WAY = {"dataset_relative": "dataset", "participant_relative": "subject", "file_relative": "file"}


def formats(value):
    """All formats in a part of the schema."""
    if hasattr(value, "items"):
        here = {value["format"]} if isinstance(value.get("format"), str) else set()
        return here.union(*(formats(one) for one in value.values()))
    return set().union(*map(formats, value)) if isinstance(value, list) else set()


def fields_of_schema():
    """Each field that may name files: its name, and what a plain path is relative to."""
    found = {}
    for term, field in schema.load_schema().objects.metadata.items():
        # The values of the field `Format` are names of formats.
        if field.name != "Format" and (said := formats(field.to_dict()) & NAMING):
            ways = {WAY[one] for one in said - {"bids_uri"}}
            found.setdefault(field.name, {})[term] = ways
    return found


def paths(path, content, home=None):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return [one.paths for one in references(path, content, home)]


def first(path, content, home=None):
    return [found[0] if found else None for found in paths(path, content, home)]


# -- the table, held against the schema ------------------------------------------------------------


def test_the_fields_are_those_of_the_schema_that_name_files():
    assert set(FIELDS) == set(fields_of_schema())


def test_a_plain_path_is_relative_to_what_the_schema_says():
    for name, terms in fields_of_schema().items():
        for term, ways in terms.items():
            if term.endswith("__ds_relative"):  # IntendedFor in iEEG
                path = "sub-01/ieeg/sub-01_coordsystem.json"
                assert first(path, {name: "a.nii"}) == ["a.nii"]
            elif ways:
                assert FIELDS[name][0] in ways, name


def test_every_file_for_which_the_schema_has_such_a_field_is_read():
    """Of raw data by suffix; the fields of derivatives hold for all that is derived."""
    rules, wanted = schema.load_schema().rules, set()
    for group in ("json", "sidecars"):
        for sort, parts in rules[group].items():
            for rule in [] if sort == "derivatives" else parts.values():
                if any(field.partition("__")[0] in FIELDS for field in rule.get("fields", {})):
                    wanted.add(tuple(rule.selectors))
    text = " ".join(" ".join(one) for one in wanted)
    for suffix in ("coordsystem", "m0scan", "meg", "photo"):
        assert f'suffix == "{suffix}"' in text
        assert can_name(f"sub-01/x/sub-01_{suffix}.json")
        assert can_name(f"task-x_{suffix}.json")
    assert 'datatype == "fmap"' in text
    assert 'modality == "mrs"' in text
    for sort, datatype in (("fmap", "fmap"), ("mrs", "mrs")):
        for rule in rules.files.raw[sort].values():
            for suffix in rule.suffixes:
                assert can_name(f"sub-01/{datatype}/sub-01_{suffix}.json"), suffix
                assert can_name(f"acq-x_{suffix}.json"), suffix
    for suffix in rules.files.raw.anat.parametric.suffixes:
        assert can_name(f"sub-01/anat/sub-01_{suffix}.json"), suffix


def test_the_columns_are_those_of_the_schema_but_the_one_that_lists_a_session():
    columns = schema.load_schema().objects.columns
    naming = {one.name for one in columns.values() if formats(one.to_dict()) & {*NAMING, *STIMULI}}
    assert naming == {STIM_FILE, "filename"}


STIMULI = {"stimuli_relative"}


@pytest.mark.parametrize(
    "path",
    [
        EVENTS,
        "task-x_events.tsv",
        "sub-01/beh/sub-01_task-x_beh.tsv",
        FMAP,
        "derivatives/p/sub-01/func/sub-01_task-x_bold.json",
        "sub-01/func/sub-01_task-x_desc-preproc_bold.json",
        "sub-01/anat/sub-01_atlas-A_dseg.json",
    ],
)
def test_names_that_may_name_others(path):
    assert can_name(path)


@pytest.mark.parametrize(
    "path",
    [
        "dataset_description.json",
        "derivatives/p/dataset_description.json",
        "participants.json",
        "participants.tsv",
        "sub-01/sub-01_scans.tsv",
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/func/sub-01_task-x_bold.json",
        "sub-01/func/sub-01_task-x_events.json",
        "sub-01/func/sub-01_task-x_bold.nii.gz",
        "sub-01/micr/sub-01_sample-A_SPIM.ome.zarr/zarr.json",
        "derivatives/p/sub-01/x.ome.zarr/0/zarr.json",
        "README",
        "",
    ],
)
def test_names_that_never_do_cost_nothing(path):
    assert not can_name(path)


def test_the_description_of_an_atlas_is_named_as_the_schema_has_it():
    (rule,) = schema.load_schema().rules.files.deriv.atlas.values()
    assert (list(rule.suffixes), list(rule.extensions)) == (["description"], [".json"])
    assert dict(rule.entities) == {"atlas": "required"}
    home = Home("derivatives/p/", ("",))
    found = atlas_of("derivatives/p/tpl-X/anat/tpl-X_atlas-AAL_dseg.nii", home)
    assert found.paths == ("derivatives/p/atlas-AAL_description.json", "atlas-AAL_description.json")
    for path in ("sub-01/atlas-AAL/x.nii", "sub-01_T1w.nii", "atlas-AAL", "sub-01_myatlas-A_x.nii"):
        assert atlas_of(path) is None


# -- stimuli ---------------------------------------------------------------------------------------


def test_stimuli_lie_in_the_folder_of_stimuli():
    content = b"onset\tstim_file\ttrial\n1\ta/cat.jpg\tx\n2\tn/a\ty\n3\ta/cat.jpg\tz\n4\tdog.wav\tz"
    assert paths(EVENTS, content) == [("stimuli/a/cat.jpg",), ("stimuli/dog.wav",)]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfstim_file\na.jpg\nb.jpg\n",
        b"stim_file\r\na.jpg\r\nb.jpg",
        b"stim_file\ra.jpg\rb.jpg\r",
        b'"onset"\t"stim_file"\n1\t"a.jpg"\n2\t"b.jpg"\n',
        b" stim_file \n a.jpg \n\nb.jpg\n\n",
        b"stim_file\tx\na.jpg\nb.jpg\t1\t2\t3\n",
        "stim_file\na.jpg\nb.jpg\n".encode("utf-16"),
        b"x\tstim_file\n\xff\ta.jpg\n\xe4\tb.jpg\n",
        b"x\tstim_file\n1\n1\ta.jpg\n\tb.jpg\n1\tN/A\n1\t\n",
    ],
)
def test_odd_tables_are_read(content):
    assert first(EVENTS, content) == ["stimuli/a.jpg", "stimuli/b.jpg"]


@pytest.mark.parametrize("content", [b"", b"\n", b"onset\n1\n", b"stim_files\na\n", b"\x00\xff"])
def test_a_table_without_the_column_names_nothing(content):
    assert references(EVENTS, content) == ()


def test_a_value_that_has_the_folder_in_it_means_that_file_too():
    assert paths(EVENTS, b"stim_file\nstimuli/a.jpg\n") == [
        ("stimuli/a.jpg", "stimuli/stimuli/a.jpg")
    ]


def test_stimuli_of_a_derivative_may_be_those_of_the_data_set_around_it():
    home = home_of("derivatives/p/sub-01/func/sub-01_task-x_events.tsv", ["", "derivatives/p/"])
    assert home == Home("derivatives/p/", ("",))
    found = paths("derivatives/p/" + EVENTS, b"stim_file\na.jpg\n", home)
    assert found == [("derivatives/p/stimuli/a.jpg", "stimuli/a.jpg")]


# -- fields ----------------------------------------------------------------------------------------


def test_intended_for_is_relative_to_the_subject():
    found = first(FMAP, {"IntendedFor": ["ses-a/func/a.nii", "bids::sub-01/ses-a/func/b.nii"]})
    assert found == ["sub-01/ses-a/func/a.nii", "sub-01/ses-a/func/b.nii"]


def test_intended_for_is_relative_to_the_data_set_in_ieeg():
    path = "sub-01/ses-a/ieeg/sub-01_ses-a_coordsystem.json"
    assert first(path, {"IntendedFor": "sub-01/anat/a.nii"}) == ["sub-01/anat/a.nii"]


def test_the_folder_of_a_subject_in_a_nested_data_set_lies_in_that_data_set():
    home = Home("derivatives/p/", ("",))
    path = "derivatives/p/sub-01/fmap/sub-01_epi.json"
    found = paths(path, {"IntendedFor": "func/a.nii"}, home)
    assert found == [("derivatives/p/sub-01/func/a.nii", "derivatives/p/func/a.nii")]


def test_sources_of_a_derivative_may_lie_in_the_data_set_around_it():
    home = Home("derivatives/p/", ("",))
    path = "derivatives/p/sub-01/anat/sub-01_desc-x_T1w.json"
    (found,) = paths(path, {"RawSources": ["sub-01/anat/a.nii"]}, home)
    assert found[0] == "derivatives/p/sub-01/anat/a.nii"
    assert "sub-01/anat/a.nii" in found


def test_uris_are_read_by_the_links_of_the_data_set():
    given_links = {
        "raw": "../..",
        "deriv1": "sourcedata/d",
        "far": "https://x.org/y",
        "up": "../..",
    }
    inner = Home("derivatives/p/", ("",), given_links)
    path = "derivatives/p/sub-01/anat/sub-01_desc-x_T1w.json"
    content = {"Sources": ["bids:raw:sub-01/a.nii", "bids:deriv1:b.nii", "bids::c.nii"]}
    assert first(path, content, inner) == [
        "sub-01/a.nii",
        "derivatives/p/sourcedata/d/b.nii",
        "derivatives/p/c.nii",
    ]
    outside = {"Sources": ["bids:far:a.nii", "bids:unknown:b.nii", "https://x.org/c.nii"]}
    assert all(one.elsewhere and not one.paths for one in _named(path, outside, inner))
    beside = Home("", (), given_links)
    assert [one.elsewhere for one in _named(FMAP, {"Sources": ["bids:up:a.nii"]}, beside)] == [True]


def _named(path, content, home=None):
    return references(path, json.dumps(content).encode(), home)


def test_a_uri_is_read_with_its_escapes_and_without_its_fragment():
    (found,) = paths(FMAP, {"Sources": ["bids::a%20b%c3%a4.nii#t=1"]})
    assert "a bä.nii" in found


def test_names_with_accents_are_sought_in_both_spellings():
    (found,) = paths(FMAP, {"Sources": ["f\u00e4.nii"]})
    assert {"f\u00e4.nii", "fa\u0308.nii"} <= set(found)


def test_windows_backslashes_are_slashes():
    assert first(EVENTS, b"stim_file\nimages\\cat.jpg\n") == ["stimuli/images/cat.jpg"]


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "C:\\x\\y.jpg",
        "\\\\host\\x.jpg",
        "a\x00b.jpg",
        "..",
        "bids::../a.nii",
        "bids::sub-01/../../a.nii",
        "x" * 5000,
    ],
)
def test_what_leads_out_of_the_root_leads_nowhere(text):
    deep = Home("", ())
    for path in (FMAP, EVENTS):
        content = (
            json.dumps({"Sources": [text]}).encode()
            if path == FMAP
            else f"stim_file\n{text}\n".encode()
        )
        for one in references(path, content, deep):
            assert not one.elsewhere
            assert not any(found.startswith(("/", "..")) or ".." in found for found in one.paths)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"[" * 100_000,
        b'{"Sources": ' + b"[" * 100_000,
        b"\xff\xfe\x00",
        b"<html>",
    ],
)
def test_what_is_no_json_object_is_told_from_one_that_names_nothing(content):
    assert references(FMAP, content) is None
    assert references(FMAP, b"{}") == ()


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"Sources": ["a.nii"]}',
        b'{"x": NaN, "y": -Infinity, "Sources": ["a.nii"]}',
        b'{"x": ' + b"9" * 9000 + b', "Sources": ["a.nii"]}',
        b'{"Sources": [["a.nii"], [[]], 3, null, true, "n/a", "", "a.nii"]}',
        b'{"Name": "caf\xe9", "Sources": "a.nii"}',
        json.dumps({"Sources": "a.nii"}).encode("utf-16"),
        b'{"Sources": {"x": "a.nii"}}',
    ],
)
def test_odd_json_is_read(content):
    assert first(FMAP, content) == ["a.nii"]


@pytest.mark.parametrize("text", ["orig", "", "n/a", "Polhemus, with a stylus.", "fsaverage"])
def test_words_in_the_place_of_a_path_are_no_path(text):
    assert _named(FMAP, {"SpatialReference": text, "DigitizedHeadPoints": text}) == ()
    assert _named(FMAP, {"DigitizedHeadPoints": True, "B0FieldSource": "pepolar.0"}) == ()


def test_a_reference_image_for_each_space_is_named():
    content = {
        "SpatialReference": {"VolumeReference": "bids::a.nii", "Surface": "b.gii", "x": "orig"}
    }
    assert first(FMAP, content) == ["a.nii", "b.gii"]


def test_the_links_of_a_description_are_texts():
    assert links(b'{"DatasetLinks": {"a": "../x", "b": 3}}') == {"a": "../x"}
    assert [links(one) for one in (b"", b"[]", b'{"DatasetLinks": []}', b"{}")] == [{}] * 4


TEXTS = st.text(max_size=20) | st.sampled_from(["..", "bids::..", "bids:a:b", "/", "\\", "%2e%2e"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
PLACES = st.lists(st.sampled_from(["..", ".", "a", "", "%2e%2e", "b.nii"])).map("/".join)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES), PLACES, PLACES)
def test_nothing_that_is_written_leads_out_of_the_root(content, place, link):
    content.setdefault("Sources", [place, f"bids::{place}", f"bids:l:{place}"])
    home = Home("derivatives/p/", ("",), {"l": link})
    for path in ("derivatives/p/sub-01/fmap/sub-01_epi.json", FMAP):
        for one in _named(path, content, home):
            for found in one.paths:
                assert not found.startswith("/")
                assert not {"", ".", ".."} & set(found.split("/"))


@given(st.binary(max_size=200))
def test_no_content_is_an_error(content):
    for path in (FMAP, EVENTS):
        for body in (content, b"stim_file\n" + content, b'{"Sources": "' + content + b'"}'):
            references(path, body)
    links(content)
