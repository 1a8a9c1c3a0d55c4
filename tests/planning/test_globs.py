"""Globs mean what people type them for, and one that matches nothing says what would."""

from __future__ import annotations

import fnmatch
import glob
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurofetch.errors import NothingMatchedError, UsageError
from neurofetch.model import RemoteFile
from neurofetch.planning.globs import glob_note, glob_test, meant_glob
from neurofetch.planning.query import query
from neurofetch.planning.select import Rules, select

README, TABLE, SIDECAR = "README", "participants.tsv", "task-rest_bold.json"
T1W = "sub-01/anat/sub-01_T1w.nii.gz"
T1W_JSON = "sub-01/anat/sub-01_T1w.json"
BOLD = "sub-01/func/sub-01_task-rest_bold.nii.gz"
LONG = "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"
LONG_BOLD = "sub-02/ses-1/func/sub-02_ses-1_task-rest_bold.nii.gz"
CTF = "sub-10/meg/sub-10_task-rest_meg.ds/sub-10_task-rest_meg.meg4"
FIGURE = "derivatives/fmriprep/sub-01/figures/sub-01_T1w.svg"
PREPPED = "derivatives/fmriprep/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
ODD = "code/{a,b}[1]*.sh"
PATHS = [README, TABLE, SIDECAR, T1W, T1W_JSON, BOLD, LONG, LONG_BOLD, CTF, FIGURE, PREPPED, ODD]

ANAT = {T1W, T1W_JSON, LONG, PREPPED}
FIRST = {T1W, T1W_JSON, BOLD}
SECOND = {LONG, LONG_BOLD}
DERIVED = {FIGURE, PREPPED}


@pytest.mark.parametrize(
    ("pattern", "hits"),
    [
        # a name, of a file or of a folder, anywhere
        ("README", {README}),
        ("participants.tsv", {TABLE}),
        ("anat", ANAT),
        ("sub-01", FIRST | DERIVED),
        ("sub-1", set()),
        ("sub", set()),
        ("Anat", set()),
        ("sub-01_T1w", set()),
        ("*.json", {SIDECAR, T1W_JSON}),
        ("*.nii", set()),
        ("*_T1w.*", {T1W, T1W_JSON, LONG, FIGURE, PREPPED}),
        ("*_bold.nii.gz", {BOLD, LONG_BOLD}),
        ("*bold*", {SIDECAR, BOLD, LONG_BOLD}),
        ("sub-0[1-3]", FIRST | SECOND | DERIVED),
        ("sub-0[!1]", SECOND),
        ("sub-0[^1]", SECOND),
        ("sub-0?", FIRST | SECOND | DERIVED),
        ("sub-*", set(PATHS) - {README, TABLE, SIDECAR, ODD}),
        ("*.ds", {CTF}),
        ("*_meg.ds", {CTF}),
        ("ses-1", SECOND),
        ("*", set(PATHS)),
        ("**", set(PATHS)),
        # a folder
        ("sub-01/", FIRST | DERIVED),
        ("anat/", ANAT),
        ("participants.tsv/", set()),
        ("sub-02/ses-1/", SECOND),
        # a path from the root on, where * passes over folders
        ("*/anat/*", ANAT),
        ("*/anat", ANAT),
        ("sub-*/anat/*", ANAT - {PREPPED}),
        ("sub-01/*", FIRST),
        ("sub-01/**", FIRST),
        ("sub-01/anat", {T1W, T1W_JSON}),
        (T1W, {T1W}),
        ("sub-01/**/*.json", {T1W_JSON}),
        ("sub-01/*.json", {T1W_JSON}),
        ("**/*.json", {SIDECAR, T1W_JSON}),
        ("**/anat/**", ANAT),
        ("**/sub-01/**", FIRST | DERIVED),
        ("*/sub-01/*", DERIVED),
        ("derivatives/*", DERIVED),
        ("derivatives/**/anat/*", {PREPPED}),
        ("*/*_bold.nii.gz", {BOLD, LONG_BOLD}),
        ("func/*.nii.gz", set()),
        ("sub-0?/func/*", {BOLD}),  # ? is one letter and no slash, * is any text
        ("sub-10/meg/*.ds", {CTF}),
        # a path as a shell reads it
        ("/participants.tsv", {TABLE}),
        ("./participants.tsv", {TABLE}),
        ("/*.json", {SIDECAR}),
        ("/*.tsv", {TABLE}),
        ("./*_bold.json", {SIDECAR}),
        ("/sub-01", FIRST),
        ("/sub-01/", FIRST),
        ("/anat", set()),
        ("/sub-*/anat/*", {T1W, T1W_JSON}),
        ("/sub-*/*/anat/*", {LONG}),
        ("/**/anat/*", ANAT),
        ("/derivatives/*", DERIVED),
        ("/", set(PATHS)),
        (".", set(PATHS)),
        ("./", set(PATHS)),
        # braces
        ("{anat,figures}", {*ANAT, FIGURE}),
        ("*.{tsv,json}", {TABLE, SIDECAR, T1W_JSON}),
        ("sub-{01,02}/{anat,func}/*", {T1W, T1W_JSON, BOLD}),
        ("{README,sub-01/anat/*}", {README, T1W, T1W_JSON}),
        ("sub-0{1,{2,3}}", FIRST | SECOND | DERIVED),
        ("code/{a,b}[[]1[]][*].sh", {ODD}),
    ],
)
def test_the_table_of_what_people_type(pattern: str, hits: set[str]) -> None:
    test = glob_test([pattern])
    assert {path for path in PATHS if test(path)} == hits
    assert bool(glob_note("include", pattern, PATHS)) == (not hits)


NAMES = st.text("ab1-_.*?[]{},!^\\ é", min_size=1, max_size=6).filter(lambda n: n.strip("."))
TREE = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
GLOBS = st.text("ab*?[]{},/!.", min_size=1, max_size=8)


@given(TREE)
@example("code/{a,b}[1]*.sh")
def test_an_escaped_path_matches_itself(path: str) -> None:
    assert glob_test([glob.escape(path)])(path)
    assert glob_test(["/" + glob.escape(path)])(path)


@given(TREE, TREE)
def test_a_path_without_wildcards_matches_itself_and_what_lies_in_it(one: str, two: str) -> None:
    test = glob_test(["/" + glob.escape(one)])
    expected = two == one or two.startswith(one + "/")
    if "{" not in one:
        assert bool(test(two)) == expected
    assert test(f"{one}/{two}")


@given(NAMES, TREE)
def test_a_name_is_that_of_any_part_of_the_path(name: str, path: str) -> None:
    if "{" not in name:
        assert bool(glob_test([glob.escape(name)])(path)) == (name in path.split("/"))


def usable(pattern: str) -> bool:
    try:
        query(include=pattern)
    except UsageError:
        return False
    return bool(pattern.strip())


@given(GLOBS.filter(usable), TREE)
def test_what_fnmatch_matches_is_matched(pattern: str, path: str) -> None:
    """But where a ? or a class would stand for a slash, or a slash in front means the root."""
    plain = pattern[:1] not in "/." and not set("?[{") & set(pattern)
    if plain and "**" not in pattern and fnmatch.fnmatchcase(path, pattern):
        assert glob_test([pattern])(path)


@given(st.lists(GLOBS.filter(usable), min_size=1, max_size=3), TREE)
def test_several_are_any_of_them(patterns: list[str], path: str) -> None:
    assert bool(glob_test(patterns)(path)) == any(glob_test([one])(path) for one in patterns)


@given(GLOBS.filter(usable), TREE, NAMES)
def test_a_folder_stands_for_all_that_is_in_it(pattern: str, path: str, name: str) -> None:
    test = glob_test([pattern])
    if test(path):
        assert test(f"{path}/{name}")


@given(GLOBS.filter(usable))
@example(".[!]*")
@example("[!]")
@example("[^]")
@example("[]")
def test_include_and_exclude_are_complementary(pattern: str) -> None:
    files = [RemoteFile(path, f"http://x/{path}", 1) for path in PATHS]

    def chosen(**globs: str) -> set[str]:
        try:
            return {one.remote.key for one in select(files, query(**globs), Rules()).files}
        except NothingMatchedError:
            return set()

    kept, dropped = chosen(include=pattern), chosen(exclude=pattern)
    assert not kept & dropped
    assert kept | dropped == set(PATHS)


@pytest.mark.parametrize(
    "pattern", ["*a" * 12 + "b", "/" + "*a" * 12 + "b", "*/" + "*a" * 12 + "b/*", "/**/" + "*a" * 9]
)
def test_many_stars_take_no_time(pattern: str) -> None:
    began = time.process_time()
    assert not glob_test([pattern])("x/" + "a" * 200 + "c")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("pattern", ["[+--b]", "[a&&b]", "[a||b]", "[a~~b]", "[[a]", "[!]]", "[]]"])
def test_no_class_of_letters_means_something_to_python_alone(pattern: str) -> None:
    glob_test([pattern])  # a warning would be an error here


def test_braces_that_explode_are_refused() -> None:
    with pytest.raises(UsageError, match="braces"):
        query(include="{a,b}" * 30)


@pytest.mark.parametrize(
    ("pattern", "meant", "count"),
    [
        ("Anat", "anat", 4),
        ("sub-1", "sub-01", 5),
        ("sub-010", "sub-10", 1),
        ("*_t1w.nii.gz", "*_T1w.nii.gz", 3),
        ("SUB-1/ANAT/*_t1w.json", "sub-01/anat/*_T1w.json", 1),
        ("func/*.nii.gz", "**/func/*.nii.gz", 2),
        ("/anat/*", "**/anat/*", 4),
        ("s3://bucket/ds/sub-01/*", "sub-01/*", 3),
        ("https://host/bucket/ds/sub-02/ses-1", "sub-02/ses-1", 2),
        ("ds000001/sub-01/anat/*", "sub-01/anat/*", 2),
        ("/home/me/ds000001/participants.tsv", "participants.tsv", 1),
        ("sub-01\\anat\\*", "sub-01/anat/*", 2),
        ("anatt", "anat", 4),
        ("participant.tsv", "participants.tsv", 1),
        ("*.jsno", "*.json", 2),
        ("*_bold.nii", "*_bold.nii.gz", 2),
        ("sub-01/anat/sub-01_T1w", "sub-01/anat/sub-01_T1w*", 2),
        (r".*_bold\.nii\.gz$", "*_bold.nii.gz", 2),
        ("*.json, *.tsv", "{*.json,*.tsv}", 3),
        ("{Func,Anat}", "func", 2),
    ],
)
def test_one_that_matches_nothing_says_which_spelling_would(
    pattern: str, meant: str, count: int
) -> None:
    assert meant_glob(pattern, PATHS) == (meant, count)
    note = glob_note("include", pattern, PATHS)
    assert f"include {pattern} matches no file" in note
    files = f"{count} file" + ("s" if count > 1 else "")
    assert note.endswith(f"Did you mean {meant}? It matches {files}")


@pytest.mark.parametrize("pattern", ["nothing/like/it", "*.xyz", "sub-77", "[", "foo/*.json"])
def test_where_nothing_comes_near_nothing_is_proposed(pattern: str) -> None:
    assert meant_glob(pattern, PATHS) == ("", 0)


@given(GLOBS.filter(usable), st.lists(TREE, max_size=5))
def test_what_is_proposed_matches_as_many_as_is_said(pattern: str, paths: list[str]) -> None:
    meant, count = meant_glob(pattern, paths)
    assert bool(meant) == bool(count)
    if meant:
        assert sum(map(bool, map(glob_test([meant]), paths))) == count


def test_the_error_and_the_note_name_the_spelling() -> None:
    files = [RemoteFile(path, f"http://x/{path}", 1) for path in PATHS]
    with pytest.raises(NothingMatchedError, match=re.escape("Did you mean anat? It matches 4")):
        select(files, query(include="Anat"))
    notes = select(files, query(exclude="func/*")).notes
    assert notes == ("exclude func/* matches no file. Did you mean **/func/*? It matches 2 files",)
