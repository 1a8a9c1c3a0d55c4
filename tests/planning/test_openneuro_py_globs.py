"""What users of openneuro-py write as `include` and `exclude`: it matches here too, and how else.

The table is what openneuro-py 2026.9.1 says; where ``NEUROFETCH_OPENNEURO_PY`` names a Python that
has it, it is asked again.
"""

import json
import os
import subprocess

import pytest

from neurofetch.planning.globs import glob_test

PATHS = (
    "README",
    "participants.tsv",
    "task-rest_bold.json",
    ".bidsignore",
    ".datalad/config",
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_T1w.json",
    "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz",
    "sub-01/sub-01_scans.tsv",
    "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz",
    "sub-02/ses-1/func/sub-02_ses-1_task-rest_bold.nii.gz",
    "sub-10/meg/sub-10_task-rest_meg.ds/sub-10_task-rest_meg.meg4",
    "derivatives/fmriprep/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    "stimuli/face[1].png",
    "sourcedata/a name.txt",
)
THEIRS = {
    "README": [0],
    "participants.tsv": [1],
    "*.json": [2, 6],
    "*.tsv": [1, 8],
    "sub-01": [5, 6, 7, 8],
    "sub-0*": [5, 6, 7, 8, 9, 10, 12],
    "sub-*": [5, 6, 7, 8, 9, 10, 11, 12],
    "sub-0[12]": [5, 6, 7, 8, 9, 10],
    "sub-0[!1]": [9, 10],
    "sub-??": [5, 6, 7, 8, 9, 10, 11],
    "sub-01/": [5, 6, 7, 8],
    "anat": [],
    "*_bold.nii.gz": [7, 10],
    "*T1w*": [5, 6, 9, 12],
    "*.ds": [],
    "derivatives": [12],
    "derivatives/": [12],
    "*": [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    "**": [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    "?": [],
    "*1*": [5, 6, 7, 8, 9, 10, 11, 12, 13],
    "[!s]*": [0, 1, 2, 12, 13, 14],
    ".bidsignore": [3],
    ".*": [3, 4],
    "*.fif": [],
    "a name.txt": [14],
    "sub-01/anat": [5, 6],
    "sub-01/anat/": [5, 6],
    "sub-01/*": [5, 6, 7, 8],
    "sub-01/**": [5, 6, 7, 8],
    "sub-01/**/": [5, 6, 7, 8],
    "sub-01/*.tsv": [8],
    "sub-01/*/*.nii.gz": [5, 7],
    "sub-01/**/*.nii.gz": [5, 7],
    "sub-01/**/*run-1*": [7],
    "*/anat": [5, 6],
    "*/anat/*": [5, 6],
    "**/anat/*": [5, 6, 9, 12],
    "**/anat": [5, 6, 9, 12],
    "**/anat/**": [5, 6, 9, 12],
    "**/*.json": [2, 6],
    "**/*_T1w.nii.gz": [5, 9, 12],
    "*/*": [5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    "*/*/*": [5, 6, 7, 9, 10, 11, 12],
    "**/*": [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    "sub-*/ses-*/func/*": [10],
    "**/sub-01/**": [5, 6, 7, 8, 12],
    "derivatives/*": [12],
    "derivatives/**": [12],
    "derivatives/**/anat/*": [12],
    "**/*.ds": [11],
    "**/*.ds/**": [11],
    "sub-01/anat/sub-01_T1w.json": [6],
    "stimuli/face[[]1].png": [13],
    "stimuli/face\\[1\\].png": [13],
    "sourcedata/a*": [14],
    "**/": [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    "**/.*": [3, 4],
    "/README": [0],
    "/*.json": [2],
    "/*.tsv": [1],
    "/sub-01": [5, 6, 7, 8],
    "/sub-01/": [5, 6, 7, 8],
    "/sub-*/anat": [5, 6],
    "/**/*.json": [2, 6],
    "/anat": [],
    "/*": [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    "/derivatives/*": [12],
    "/**": [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
}
PLAIN = [path for path in PATHS if not path.startswith(".")]
ASK = """import json, sys
from openneuro._glob import glob_filter
paths, patterns = json.load(sys.stdin)
found = glob_filter(paths, patterns)
print(json.dumps({name: sorted(map(paths.index, hits)) for name, hits in found.items()}))"""


def ours(pattern, paths=PATHS):
    test = glob_test([pattern])
    return {path for path in paths if test(path)}


def theirs(pattern):
    return {PATHS[number] for number in THEIRS[pattern]}


@pytest.mark.parametrize("pattern", THEIRS)
def test_what_it_matches_there_it_matches_here(pattern):
    assert theirs(pattern) <= ours(pattern)


@pytest.mark.parametrize("pattern", [p for p in THEIRS if "/" in p.strip("/")])
def test_with_a_slash_in_front_it_is_the_same(pattern):
    hidden = {path for path in PATHS if path.startswith(".")}
    anchored = "/" + pattern.removeprefix("/")
    assert ours(anchored, PLAIN) == theirs(pattern) - hidden


@pytest.mark.parametrize(
    ("pattern", "more"),
    [
        # a folder of that name anywhere, not only at the root
        ("sub-01", {12}),
        ("anat", {5, 6, 9, 12}),
        ("*.ds", {11}),
        # * passes over folders
        ("*/anat/*", {9, 12}),
        ("sub-01/*.tsv", set()),
        ("*/*/*", set()),
        # names that begin with a dot are names
        ("*", {3, 4}),
        ("**/*", {3, 4}),
        # anchored: nothing more
        ("/sub-01", set()),
        ("/*.json", set()),
        ("/sub-*/anat", set()),
    ],
)
def test_what_it_matches_here_and_not_there(pattern, more):
    assert ours(pattern) - theirs(pattern) == {PATHS[number] for number in more}


@pytest.mark.parametrize(
    ("pattern", "hits"),
    [
        (r"stimuli/face\[1\].png", {13}),
        (r"stimuli/face\[*", {13}),
        (r"face\[1\]*", {13}),
        (r"stimuli/\*", set()),
        (r"**/\?", set()),
        (r"\*", set()),
    ],
)
def test_a_backslash_makes_a_wildcard_stand_for_itself(pattern, hits):
    assert ours(pattern) == {PATHS[number] for number in hits}


@pytest.mark.parametrize("path", ["a*b", "a?b", "a[b", "x/a*b", "a[1]b"])
def test_a_wildcard_in_a_name_is_found_by_its_escape_alone(path):
    escaped = "".join(f"\\{letter}" if letter in "*?[]" else letter for letter in path)
    assert glob_test([escaped])(path)
    assert not glob_test([escaped])(path.translate(str.maketrans("*?[", "xyz")))


@pytest.mark.parametrize("lead", ["", "/", "./", "**/"])
@pytest.mark.parametrize("folder", ["sub-01", "sub-02/ses-1"])
def test_two_stars_and_a_slash_at_the_end_are_the_folder(lead, folder):
    assert ours(f"{lead}{folder}/**/") == ours(f"{lead}{folder}/**")


PYTHON = os.environ.get("NEUROFETCH_OPENNEURO_PY", "")


@pytest.mark.skipif(not PYTHON, reason="NEUROFETCH_OPENNEURO_PY names no Python that has it")
def test_the_table_is_what_openneuro_py_says(tmp_path):
    # It makes a folder for its configuration as soon as it is imported.
    told = subprocess.run(
        [PYTHON, "-c", ASK],
        env={"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        input=json.dumps([PATHS, list(THEIRS)]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == THEIRS
