"""Keys become safe local names, and clashes are found before anything is written."""

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurofetch.errors import UnsafeNameError
from neurofetch.planning import local_path as _names
from neurofetch.planning.local_path import (
    all_plain,
    left_out,
    local_name,
    meet,
    placed,
    tidy_label,
    twins,
)

OWN = frozenset({".neurofetch", ".laion_fmri"})

ORDINARY = [
    "README",
    "participants.tsv",
    ".bidsignore",
    "sub-01/ses-01/func/figures/R2.png",
    "derivatives/rois/sub-01/face/sub-01_space-T1w_label-FFA-1_mask.nii.gz",
    "sourcedata/..hidden/a..b",
    "logs/12:30:01 run.txt",
    "aux/con.txt",
    "sub-01/über_größe_日本.nii.gz",
    "a" * 255,
    "é" * 127,
    "Icon\r",
    "sub-01/\x03",
    "a\nb",
    "a\x1b[2Jb",
    "a\x7f",
    "a\x9b2J",
    "a\u2028b",
    "gz.\u202einii",
    "code\\run.sh",
    "\\\\server\\share",
    "sub-01\\..\\evil",
    "C:",
    "C:/x",
    "c:x",
    "sub-01/D:evil",
    "x. ",
    " ",
    "...",
]

HOSTILE = {
    "": "empty",
    "..": "points elsewhere",
    ".": "points elsewhere",
    "../evil": "points elsewhere",
    "sub-01/../../evil": "points elsewhere",
    "sub-01/./x": "points elsewhere",
    "sub-01/..": "points elsewhere",
    "a//b": "empty folder name",
    "/etc/passwd": "absolute",
    "//server/share": "absolute",
    "a\0b": "U+0000",
    "a\ud800": "not valid UTF-8",
    "b\udcff": "not valid UTF-8",
    "sub-01/": "folder",
    "/": "absolute",
    "a" * 256: "256 bytes",
    "x/" + "é" * 128: "256 bytes",
}


@pytest.mark.parametrize("key", ORDINARY)
def test_an_ordinary_key_is_its_own_name(key: str) -> None:
    assert local_name(key, reserved=OWN) == key


@pytest.mark.parametrize("key", HOSTILE, ids=repr)
def test_a_hostile_key_is_refused_and_named(key: str) -> None:
    with pytest.raises(UnsafeNameError) as caught:
        local_name(key)
    text = str(caught.value)
    assert repr(key) in text
    assert HOSTILE[key] in text
    assert "--exclude" in text


@pytest.mark.parametrize("key", HOSTILE, ids=repr)
def test_a_hostile_key_has_a_problem_and_goes_by_its_own_name(key: str) -> None:
    path, problem = placed("data/" + key, strip="data")
    assert path == (key or "data/")
    assert HOSTILE[key] in problem


@pytest.mark.parametrize("key", HOSTILE, ids=repr)
def test_a_hostile_key_is_refused_below_the_stripped_folder_too(key: str) -> None:
    with pytest.raises(UnsafeNameError):
        local_name("data/set/" + key, strip="data/set/")


@pytest.mark.parametrize("strip", ["data/set", "data/set/"])
def test_strip_is_a_folder_not_a_run_of_letters(strip: str) -> None:
    assert local_name("data/set/sub-01/x", strip=strip) == "sub-01/x"
    for elsewhere in ("data/settle/x", "other/x", "data/set"):
        with pytest.raises(UnsafeNameError, match="not below 'data/set/'"):
            local_name(elsewhere, strip=strip)


@pytest.mark.parametrize(
    "key",
    [
        ".neurofetch/journal",
        ".NeuroFetch/x",
        ".laion_fmri",
        ".neuro\u200bfetch/x",
        "\ufeff.laion_fmri/x",
    ],
)
def test_no_key_lands_in_the_packages_own_folders(key: str) -> None:
    with pytest.raises(UnsafeNameError, match="this package's own"):
        local_name(key, reserved=OWN)


def test_reserved_names_are_free_below_the_root() -> None:
    assert local_name("sub-01/.neurofetch/x", reserved=OWN) == "sub-01/.neurofetch/x"
    assert local_name(".neurofetch/x") == ".neurofetch/x"


nasty = st.text(st.sampled_from("/\\.:C a\0\n~é"), max_size=12) | st.text(max_size=40)


@given(nasty)
@example("a:b")
def test_what_passes_stays_below_the_root(key: str) -> None:
    try:
        path = local_name(key, reserved=OWN)
    except UnsafeNameError:
        return
    assert path == key
    assert not PurePosixPath(path).is_absolute()
    assert str(PurePosixPath(path)) == path
    assert ".." not in PurePosixPath(path).parts
    assert all(0 < len(part.encode()) <= 255 for part in path.split("/"))


@given(st.lists(nasty | st.sampled_from(["a/b", ".x", "..", "a/.", ".neurofetch"]), max_size=4))
@example(["x" * 255])
@example(["x" * 256])
def test_what_is_plain_all_at_once_is_plain_one_by_one(keys: list[str]) -> None:
    if all_plain(keys, reserved=OWN):
        assert [placed(key, reserved=OWN) for key in keys] == [(key, "") for key in keys]
    elif all(key.isascii() and "\n" not in key and len(key) < 256 for key in keys):
        problems = [placed(key, reserved=OWN)[1] for key in keys]
        assert any(problems) or any(key.startswith(tuple(OWN)) for key in keys)


def test_what_passes_can_be_written(tmp_path: Path) -> None:
    for number, key in enumerate(ORDINARY):  # each in a folder: some are a file and a folder
        target = tmp_path / str(number) / local_name(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x")
        assert target.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    ("name", "tidy"),
    [
        ("sub-01_label-FFA-1_mask.nii.gz", "sub-01_label-FFA1_mask.nii.gz"),
        ("sub-01_label-pSTS-faces_mask.nii.gz", "sub-01_label-pSTSfaces_mask.nii.gz"),
        ("label-A-B-C.label", "label-ABC.label"),
        ("sub-01_label-FFA1_mask.nii.gz", "sub-01_label-FFA1_mask.nii.gz"),
        (
            "label-A-1/sub-01_desc-a-b_label-B-2_x-y.nii",
            "label-A-1/sub-01_desc-a-b_label-B2_x-y.nii",
        ),
        ("sub-01_xlabel-A-1_mask.nii", "sub-01_xlabel-A-1_mask.nii"),
        ("sub-01_label-A-1.v-2_b-c.nii", "sub-01_label-A1.v-2_b-c.nii"),
        ("README", "README"),
    ],
)
def test_only_the_hyphens_of_a_label_go(name: str, tidy: str) -> None:
    assert tidy_label(name) == tidy
    assert tidy_label(tidy) == tidy


def test_distinct_names_do_not_clash() -> None:
    pairs = [("k1", "a/b"), ("k2", "a/c"), ("k3", "a.b"), ("k4", "ab/a"), ("k5", "A/d")]
    assert left_out(pairs) == left_out(pairs, case=True, accents=True) == {}
    assert not twins(path for _, path in pairs)


def test_the_same_key_twice_is_one_key() -> None:
    assert left_out([("k", "a"), ("k", "a")]) == {}


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_keys_on_one_path_the_one_that_is_called_so_is_kept(turned: bool) -> None:
    keys = ["rois/sub-01_label-FFA-1_mask.nii", "rois/sub-01_label-FFA1_mask.nii"]
    pairs = [(key, tidy_label(key)) for key in keys]
    found = left_out(reversed(pairs) if turned else pairs)
    assert found == {keys[0]: f"the key {keys[1]!r} has the same local name, {keys[1]!r}"}


def test_of_two_keys_on_a_path_that_neither_is_called_the_first_is_kept() -> None:
    keys = ["label-F-FA1", "label-FFA-1"]
    assert list(left_out((key, tidy_label(key)) for key in keys)) == keys[1:]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("a/README", "a/readme"),
        ("a/b/c", "A/b/C"),
        ("Stra\u00dfe", "STRASSE"),
        (unicodedata.normalize("NFC", "é/x"), unicodedata.normalize("NFD", "é/x")),
        (unicodedata.normalize("NFC", "É/x"), unicodedata.normalize("NFD", "é/X")),
    ],
)
def test_names_that_some_disks_cannot_tell_apart(one: str, two: str) -> None:
    pairs = [("1", one), ("2", two)]
    assert twins([one, two])
    assert left_out(pairs) == {}
    found = left_out(pairs, case=True, accents=True)
    assert list(found) == ["2"]
    assert "differs from" in found["2"]
    assert "only in case" in found["2"]


def test_a_disk_may_take_only_one_of_both_for_nothing() -> None:
    case = [("1", "caf\u00e9"), ("2", "CAF\u00c9")]
    accents = [("1", "caf\u00e9"), ("2", "cafe\u0301")]
    assert list(left_out(case, case=True)) == ["2"]
    assert left_out(case, accents=True) == {}
    assert list(left_out(accents, accents=True)) == ["2"]
    assert left_out(accents, case=True) == {}


@pytest.mark.parametrize("below", ["a/b/c", "a/b/c/d/e"])
def test_a_file_that_is_also_a_folder(below: str) -> None:
    for pairs in ([("file", "a/b"), ("below", below)], [("below", below), ("file", "a/b")]):
        assert left_out(pairs) == {"file": f"it is also a folder: {below!r} lies in it"}


def test_a_file_that_is_a_folder_in_another_case() -> None:
    pairs = [("file", "a/b"), ("below", "A/B/c")]
    assert twins(path for _, path in pairs)
    assert left_out(pairs) == {}
    assert left_out(pairs, case=True, accents=True) == {
        "file": "it is also a folder: 'A/B/c' lies in it"
    }


names = st.text(st.sampled_from("aAbé/"), min_size=1, max_size=5)


@given(st.dictionaries(st.integers().map(str), names, max_size=6), st.booleans())
def test_what_is_left_can_be_kept_side_by_side_and_no_more_is_left_out(
    files: dict[str, str], folds: bool
) -> None:
    fold = _names._fold if folds else str
    found = left_out(files.items(), case=folds, accents=folds)
    kept = {key: fold(path) for key, path in files.items() if key not in found}
    assert len(set(kept.values())) == len(kept)
    for one in kept.values():
        assert not any(other.startswith(one + "/") for other in kept.values())
    for key in found:
        mine = fold(files[key])
        others = [fold(path) for other, path in files.items() if other != key]
        assert any(other == mine or other.startswith(mine + "/") for other in others)
    if not folds and left_out(files.items(), case=True, accents=True) != found:
        assert twins(files.values())


@given(st.lists(st.text(st.sampled_from("aA-/0"), min_size=1, max_size=4)), st.booleans())
def test_whether_paths_meet_is_the_same_in_any_order(paths: list[str], case: bool) -> None:
    paths = [path.strip("/") for path in paths]
    folded = [path.lower() if case else path for path in paths]
    folders = {path[:at] for path in folded for at, one in enumerate(path) if one == "/" and at}
    expected = len(set(folded)) < len(folded) or not folders.isdisjoint(folded)
    assert meet(paths, case=case) == expected
    assert meet(sorted(paths), case=case) == expected
