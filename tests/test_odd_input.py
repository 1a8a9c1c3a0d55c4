"""Input that a tired user gives: it is taken as meant, or refused with what would be right."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neurofetch
from laion_fmri.config import dataset_initialize
from laion_fmri.download import download
from laion_fmri.info import info
from laion_fmri.subject import load_subject
from laion_fmri.verify import verify as verify_laion
from neurofetch.errors import NeurofetchError, UnknownValueError, UsageError
from neurofetch.index import index
from neurofetch.neurovault import fetch_neurovault, fetch_neurovault_ids
from neurofetch.neurovault import verify as verify_neurovault
from neurofetch.planning.globs import meant_glob
from neurofetch.store.clean import clean
from testbed.s3 import S3Server
from tests.faces import SMALL as LAION
from tests.faces import Shell, bucket, on_disk

URL = "s3://b/ds"
FILES = {
    "dataset_description.json": b"{}",
    **{
        f"sub-{sub}/anat/sub-{sub}_run-{run}_{suffix}.nii.gz": b"x"
        for sub in ("01", "02", "03")
        for run in ("1", "2")
        for suffix in ("T1w", "T2w")
    },
}


@pytest.fixture(scope="module")
def server():
    objects = {f"ds/{path}": body for path, body in FILES.items()}
    with S3Server({"b": objects, "laion-fmri": bucket(LAION)}) as made:
        yield made


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    server.clear_log()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("LAION_FMRI_ACCEPT_LICENSE", "CC0-1.0")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return server


@pytest.fixture
def shell(tmp_path, s3):
    return Shell(tmp_path, s3.url)


# -- the data directory ----------------------------------------------------------------------------

CALLS = {
    "get": lambda where: neurofetch.get(URL, where, progress="none"),
    "plan": lambda where: neurofetch.plan(URL, where),
    "verify": neurofetch.verify,
    "clean": clean,
    "index": index,
    "download": lambda where: download("03", data_dir=where, progress="none"),
    "dry run": lambda where: download("03", data_dir=where, dry_run=True),
    "info": lambda where: info("03", data_dir=where),
    "laion verify": verify_laion,
    "config": dataset_initialize,
    "load": lambda where: load_subject("03", data_dir=where),
    "ids": lambda where: fetch_neurovault_ids([7], data_dir=where, progress="none"),
    "filters": lambda where: fetch_neurovault(1, data_dir=where, progress="none"),
    "neurovault verify": verify_neurovault,
}


@pytest.mark.parametrize("where", ["", " ", 3, ["data"], "a\0b", {"a": 1}], ids=repr)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_path_is_no_data_directory(s3, name, where):
    """The class: a variable that was never set, and files all over the current directory."""
    with pytest.raises(UsageError, match="the data directory is"):
        CALLS[name](where)
    assert s3.requests() == []
    assert list(Path.cwd().iterdir()) == []


COMMANDS = (
    f"neurofetch get {URL} --dest",
    "neurofetch verify",
    "neurofetch verify --data-dir",
    "neurofetch clean",
    "neurofetch index",
    "neurofetch index --data-dir",
    "neurofetch neurovault fetch --collection 7 --data-dir",
    "neurofetch neurovault verify --data-dir",
    "laion-fmri download --sub 03 --data-dir",
    "laion-fmri info --data-dir",
    "laion-fmri verify --data-dir",
    "laion-fmri config --data-dir",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_variable_of_a_shell_that_was_never_set_is_no_data_directory(shell, command):
    done = shell(f'{command} "$NEVER_SET"')
    assert done.code == 2, done
    assert "the data directory is an empty string" in done.err


def test_the_home_folder_has_its_short_name_in_every_call(s3, tmp_path):
    neurofetch.get(URL, "~/data", suffix="T1w", progress="none")
    data = tmp_path / "home/data"
    assert len(on_disk(data)) == 7
    assert neurofetch.verify("~/data").ok
    assert clean("~/data") == []
    (tmp_path / "home/laion").mkdir()
    report = download("03", ses="01", suffix="statmap", data_dir="~/laion", progress="none")
    assert report.root == tmp_path / "home/laion"
    assert verify_laion("~/laion").ok
    assert info("03", data_dir="~/laion").subjects[0].files_here
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("command", ["neurofetch verify", f"neurofetch get {URL} --dest x"])
def test_a_current_directory_that_is_gone_is_told(shell, command):
    done = shell(f"mkdir gone && cd gone && rmdir ../gone && {command}")
    assert done.code == 7
    assert "the current directory does not exist any more" in done.err
    assert "Errno" not in done.err


ANOTHER_USER = """
import os, sys, neurofetch
from neurofetch.errors import DestinationError, NothingMatchedError
readable, *locked = sys.argv[1:]
try:
    neurofetch.verify(readable)  # so that all is loaded
except NothingMatchedError:
    pass
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
for where in locked:
    try:
        neurofetch.verify(where)
    except DestinationError as error:
        print(error)
"""


def test_a_folder_that_may_not_be_looked_into_is_not_called_empty():
    """The class: what could not be read is taken for nothing."""
    with tempfile.TemporaryDirectory() as text:
        top, locked = Path(text), Path(text) / "locked"
        (locked / "below").mkdir(parents=True)
        (top / "readable").mkdir()
        top.chmod(0o755)
        locked.chmod(0o000)
        places = map(str, (top / "readable", locked, locked / "below"))
        try:
            env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            done = subprocess.run(
                [sys.executable, "-c", ANOTHER_USER, *places],
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            locked.chmod(0o700)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == f"{locked} cannot be read. Nothing was checked. Check who may read it."
    assert "cannot be looked at: Permission denied" in second


# -- values ----------------------------------------------------------------------------------------

TWO = {
    "list": ["01", "02"],
    "tuple": ("01", "02"),
    "set": {"01", "02"},
    "frozenset": frozenset({"sub-01", "sub-02"}),
    "range": range(1, 3),
    "array of text": np.array(["01", "02"]),
    "array of numbers": np.array([1, 2]),
    "column of a table": pd.Series(["sub-01", "sub-02"]),
    "index of a table": pd.Index(["01", "02"]),
    "keys": {"01": 0, "02": 0}.keys(),
    "generator": None,
}


@pytest.mark.parametrize("kind", TWO)
def test_several_values_come_in_any_vessel(s3, tmp_path, kind):
    given = (text for text in ("01", "02")) if kind == "generator" else TWO[kind]
    plan = neurofetch.plan(URL, tmp_path / "d", subject=given, bare=True)
    assert {step.want.path[:6] for step in plan.steps} == {"sub-01", "sub-02"}


@pytest.mark.parametrize("kind", ["set", "array of text", "column of a table", "generator"])
def test_several_subjects_of_laion_fmri_come_in_any_vessel(s3, tmp_path, kind):
    names = ["sub-01", "sub-03"]
    vessels = {"set": set, "array of text": np.array, "column of a table": pd.Series}
    given = vessels[kind](names) if kind in vessels else (name for name in names)
    plan = download(given, ses="01", data_dir=tmp_path, dry_run=True)
    named = {piece for step in plan.steps for piece in step.want.path.split("/")}
    assert named >= set(names)


@pytest.mark.parametrize("given", [3, "3", "003", np.int64(3), [3]], ids=repr)
def test_a_subject_of_laion_fmri_is_meant_with_any_zeros(s3, tmp_path, given):
    plan = download(given, ses="01", data_dir=tmp_path, dry_run=True)
    expected = download("sub-03", ses="01", data_dir=tmp_path, dry_run=True)
    assert plan.steps == expected.steps
    assert [note for note in plan.notes if "→ sub-03" in note]
    assert [one.subject for one in info(given, data_dir=tmp_path).subjects] == ["sub-03"]


@pytest.mark.parametrize(
    "given",
    [{"01": 1}, b"01", [None], [[1]], 1.5, True, np.array([[1, 2]]), np.array([1.5]), Ellipsis],
    ids=repr,
)
def test_what_is_no_value_is_refused_by_name(s3, tmp_path, given):
    with pytest.raises(UsageError, match="subject takes text, or a list of texts, not"):
        neurofetch.plan(URL, tmp_path, subject=given)
    assert s3.requests() == []


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("01,02", "For several values, write 01 02; in Python, ['01', '02']."),
        ("01 02", "For several values, write 01 02; in Python, ['01', '02']."),
        ("0*", "For globs there are --include and --exclude"),
        ("0[12]", "For globs there are --include and --exclude"),
    ],
)
def test_several_values_in_one_and_globs_are_told_apart_from_misspelt_ones(
    s3, tmp_path, given, hint
):
    with pytest.raises(UnknownValueError) as caught:
        neurofetch.plan(URL, tmp_path, subject=given)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (neurofetch.plan, {"follow": "no"}),
        (neurofetch.plan, {"mix": "no"}),
        (neurofetch.get, {"overwrite": "False"}),
        (neurofetch.get, {"bare": "0"}),
        (neurofetch.get, {"permissive": ""}),
        (download, {"include_raw": "no"}),
        (download, {"verify": "no"}),
        (download, {"dry_run": "no"}),
    ],
)
def test_a_text_is_neither_yes_nor_no(s3, tmp_path, function, given):
    """The class: "no" that counts as yes."""
    where = {"subject": "03", "data_dir": tmp_path}
    if function is not download:
        where["url"] = URL
    with pytest.raises(UsageError, match="is neither True nor False"):
        function(**where, **given)
    assert s3.requests() == []


def test_numbers_of_numpy_are_numbers(s3, tmp_path):
    one = neurofetch.plan(URL, tmp_path, shard=(np.int64(0), np.int64(2)))
    assert one.steps == neurofetch.plan(URL, tmp_path, shard=(0, 2)).steps
    neurofetch.get(URL, tmp_path / "d", n_jobs=np.int64(2), progress="none")  # warns of nothing


@pytest.mark.parametrize(
    "given",
    [
        {"max_images": "5"},
        {"max_images": 1.5},
        {"image_terms": "map_type"},
        {"collection_terms": [1]},
        {"image_filter": 3},
    ],
)
def test_arguments_of_the_wrong_kind_are_refused_by_name(s3, tmp_path, given):
    (name,) = given
    with pytest.raises(UsageError, match=f"{name} must be"):
        fetch_neurovault(data_dir=tmp_path, progress="none", **given)


# -- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("s3.amazonaws.com/openneuro.org/ds000117", "s3://openneuro.org/ds000117"),
        ("laion-fmri.s3.us-west-2.amazonaws.com/sub-03/", "s3://laion-fmri/sub-03/"),
        ("openneuro.org/ds000117", "s3://openneuro.org/ds000117"),
        ("s3:/openneuro.org/ds000117", "s3://openneuro.org/ds000117"),
    ],
)
def test_an_address_of_a_browser_is_told_with_that_of_the_bucket(s3, tmp_path, given, meant):
    with pytest.raises(UsageError) as caught:
        neurofetch.plan(given, tmp_path)
    assert f"Did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize(
    "given", [None, 3, Path("s3://b/ds"), b"s3://b/ds", ["s3://b/ds"]], ids=repr
)
def test_what_is_no_text_is_no_address(s3, tmp_path, given):
    with pytest.raises(UsageError, match="expected a URL, as text"):
        neurofetch.plan(given, tmp_path)


def test_a_password_in_an_address_is_not_repeated(s3, tmp_path):
    with pytest.raises(UsageError) as caught:
        neurofetch.plan("s3://me:secret@b/ds", tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("given", ["S3://b/ds", " s3://b/ds\n"])
def test_an_address_may_be_in_capitals_and_have_space_around_it(s3, tmp_path, given):
    assert len(neurofetch.plan(given, tmp_path)) == len(FILES)


def test_the_page_of_an_image_is_no_collection(shell):
    page = "https://neurovault.org/images/7/"
    done = shell(f"neurofetch neurovault fetch --collection {page} --data-dir d")
    assert done.code == 2
    assert f"not ids: '{page}'" in done.err
    assert "An id is a whole number above zero, as in the address ht" in done.err


# -- globs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "meant"),
    [
        ("T1w", "*T1w*"),
        ("run-1", "*run-1*"),
        ("T1w.nii.gz", "*T1w.nii.gz"),
        ("sub-01//anat", "sub-01/anat"),
        ("sub-01/./anat", "sub-01/anat"),
        ("sub-.*_T1w", "sub-*_T1w*"),
    ],
)
def test_a_glob_that_matches_nothing_is_told_with_the_nearest_that_does(glob, meant):
    assert meant_glob(glob, list(FILES))[0] == meant


def test_a_glob_of_what_is_not_listed_by_itself_is_told_with_its_flag(s3, tmp_path):
    with pytest.raises(NeurofetchError, match=r"For stimuli there is --include-stimuli"):
        download("03", include="stimuli/*", data_dir=tmp_path, dry_run=True)


# -- where letters are few -------------------------------------------------------------------------


def test_signs_that_a_locale_lacks_are_plain_and_no_escapes(shell):
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": None}
    for line in (
        f"neurofetch get {URL} --dest d --sub 1 --dry-run",
        f"neurofetch get {URL} --dest d --sub 1",
    ):
        done = shell(line, **bare)
        assert "sub-1 -> sub-01" in done.out + done.err
        assert "\\u" not in done.out + done.err


def test_a_notebook_sets_no_formula_between_dollar_signs(s3, tmp_path):
    html = neurofetch.plan(URL, tmp_path)._repr_html_()
    assert 'class="neurofetch tex2jax_ignore mathjax_ignore"' in html.partition(">")[0]


def test_an_error_of_the_system_has_no_number_and_says_where(shell):
    (shell.home / "file").write_text("")
    catalogue = shell.home / "file/catalogue.duckdb"
    done = shell("neurofetch neurovault search x", NEUROFETCH_CATALOGUE=str(catalogue))
    assert done.code == 7
    assert "Errno" not in done.err
    assert "Not a directory" in done.err
    assert str(catalogue) in done.err


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid"])
def test_a_server_that_is_not_there_is_told_without_numbers_of_the_system(shell, host):
    done = shell(f"neurofetch get {URL} --dest d", AWS_ENDPOINT_URL=f"http://{host}")
    assert done.code == 6
    assert host.partition(":")[0] in done.err
    assert "Errno" not in done.err
