"""Keys become safe local names, and clashes are found before anything is written."""

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurofetch.errors import NameClashError, UnsafeNameError
from neurofetch.planning import local_path as _names
from neurofetch.planning.local_path import check_clashes, clashes, local_name, tidy_label

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
    "\\\\server\\share": "backslash",
    "sub-01\\..\\evil": "backslash",
    "C:": "drive",
    "C:/x": "drive",
    "c:x": "drive",
    "sub-01/D:evil": "drive",
    "a\0b": "U+0000",
    "a\nb": "U+000A",
    "a\x1b[2Jb": "U+001B",
    "a\x7f": "U+007F",
    "a\x9b2J": "U+009B",
    "a\u2028b": "U+2028",
    "gz.\u202einii": "U+202E",
    "a\ud800": "U+D800",
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
def test_what_passes_stays_below_the_root_on_every_platform(key: str) -> None:
    try:
        path = local_name(key, reserved=OWN)
    except UnsafeNameError:
        return
    assert path == key
    assert not PurePosixPath(path).is_absolute()
    assert str(PurePosixPath(path)) == path
    windows = PureWindowsPath(path)
    assert not windows.drive
    assert not windows.root
    assert ".." not in windows.parts
    assert all(0 < len(part.encode()) <= 255 for part in path.split("/"))


def test_what_passes_can_be_written(tmp_path: Path) -> None:
    for key in ORDINARY:
        target = tmp_path / local_name(key)
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
    assert clashes(pairs) == []
    check_clashes(pairs)


def test_the_same_key_twice_is_one_key() -> None:
    assert clashes([("k", "a"), ("k", "a")]) == []


def test_two_keys_on_one_path() -> None:
    keys = ["rois/sub-01_label-FFA-1_mask.nii", "rois/sub-01_label-FFA1_mask.nii"]
    (clash,) = clashes((key, tidy_label(key)) for key in keys)
    assert clash.keys == tuple(keys)
    assert "one local name" in clash.problem


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
    (clash,) = clashes([("1", one), ("2", two)])
    assert clash.keys == ("1", "2")
    assert "differ only in case" in clash.problem


@pytest.mark.parametrize("below", ["a/b/c", "A/B/c", "a/b/c/d/e"])
def test_a_file_that_is_also_a_folder(below: str) -> None:
    for pairs in ([("file", "a/b"), ("below", below)], [("below", below), ("file", "a/b")]):
        (clash,) = clashes(pairs)
        assert clash.keys == ("file", "below")
        assert "'a/b' is a file and a folder" in clash.problem


def test_all_clashes_are_raised_at_once() -> None:
    pairs = [
        ("k1", "a"),
        ("k2", "A"),
        ("k3", "b"),
        ("k4", "b/c"),
        ("k5", "d"),
        ("k6", "d"),
        ("k7", "e"),
    ]
    with pytest.raises(NameClashError) as caught:
        check_clashes(pairs)
    text = str(caught.value)
    assert all(f"'k{number}'" in text for number in range(1, 7))
    assert "'k7'" not in text
    assert "3 group(s)" in text


names = st.text(st.sampled_from("aAbé/"), min_size=1, max_size=5)


@given(st.dictionaries(st.integers().map(str), names, max_size=6))
def test_clashes_agree_with_the_slow_definition(files: dict[str, str]) -> None:
    fold = _names._fold
    slow = set()
    for one, path in files.items():
        for two, other in files.items():
            if one < two and fold(path) == fold(other):
                slow |= {one, two}
            if fold(other).startswith(fold(path) + "/"):
                slow.add(one)
    found = {key for clash in clashes(files.items()) for key in clash.keys}
    assert slow <= found
    assert bool(found) == bool(slow)
