"""What is misspelt is told with the right spelling: arguments, flags, values."""

import json

import pytest

import neurofetch
from laion_fmri._names import also_named
from laion_fmri.download import download
from laion_fmri.subject import Subject
from neurofetch.errors import (
    NeurofetchError,
    NothingMatchedError,
    SelectionWarning,
    UnknownArgumentError,
    UnknownValueError,
)
from testbed.s3 import S3Server
from tests.faces import Shell, on_disk

URL = "s3://b/ds"
FILES = {
    "dataset_description.json": b"{}",
    **{
        f"sub-{sub}/ses-{ses}/{kind}/sub-{sub}_ses-{ses}_{name}": b"x"
        for sub in ("01", "02")
        for ses in ("day1", "day2", "day10")
        for kind, name in (
            ("anat", "acq-0.7mm_T1w.nii.gz"),
            ("anat", "acq-07mm_T1w.nii.gz"),
            ("func", "task-rest_bold.nii"),
            ("func", "trial-3_task-rest_bold.json"),
        )
    },
}


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"b": {f"ds/{path}": body for path, body in FILES.items()}}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def shell(tmp_path, s3):
    return Shell(tmp_path, s3.url)


# -- arguments in Python ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "given", "words"),
    [
        (neurofetch.get, {"n_job": 4}, "get() has no argument 'n_job'. Did you mean n_jobs=?"),
        (neurofetch.get, {"overwite": True}, "Did you mean overwrite=?"),
        (neurofetch.get, {"progres": "none"}, "Did you mean progress=?"),
        (neurofetch.get, {"datadir": "x"}, "Did you mean data_dir=?"),
        (neurofetch.get, {"derivative": "none"}, "Did you mean derivatives=?"),
        (neurofetch.get, {"dry_run": True}, "a dry run of get() is plan()"),
        (
            neurofetch.plan,
            {"n_jobs": 4},
            "plan() has no argument 'n_jobs': n_jobs= is one of get()",
        ),
        (neurofetch.plan, {"limit_rat": 1}, "limit_rate= is one of get()"),
        (neurofetch.plan, {"strict": True}, "plan() has no argument 'strict'."),
    ],
)
def test_a_keyword_that_can_be_no_entity_is_refused_before_any_request(
    s3, tmp_path, function, given, words
):
    """The class: an argument that becomes a filter on file names."""
    with pytest.raises(UnknownArgumentError) as caught:
        function(URL, tmp_path, **given)
    assert words in str(caught.value)
    assert isinstance(caught.value, (TypeError, NeurofetchError))
    assert s3.requests() == []
    assert on_disk(tmp_path) == set()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"subjct": "01"}, "subject"),
        ({"Subject": "01"}, "subject"),
        ({"sesion": "day1"}, "session"),
        ({"suffixes": "bold"}, "suffix"),
        ({"extention": ".nii"}, "extension"),
        ({"datatyp": "func"}, "datatype"),
        ({"acquisiton": "07mm"}, "acquisition"),
    ],
)
def test_a_misspelt_filter_is_told_with_its_right_name(s3, tmp_path, given, meant):
    for how in ({}, {"permissive": True}, {"bare": True}):
        with pytest.raises(UnknownValueError, match=rf"Did you mean {meant}=\?"):
            neurofetch.get(URL, tmp_path, **given, **how)
    assert on_disk(tmp_path) == set()


def test_an_entity_that_bids_does_not_have_is_a_filter_all_the_same(s3, tmp_path):
    plan = neurofetch.plan(URL, tmp_path, trial=3, bare=True)
    assert len(plan) == 6
    with pytest.raises(UnknownValueError, match=r"trial-4 does not exist\. .*There are: 3"):
        neurofetch.plan(URL, tmp_path, trial=4)


@pytest.mark.parametrize(
    ("function", "given", "meant"),
    [
        (download, {"subjct": "sub-03"}, "subject"),
        (download, {"subject": "sub-03", "n_job": 4}, "n_jobs"),
        (download, {"subject": "sub-03", "sesion": "01"}, "session"),
        (download, {"subject": "sub-03", "includ_raw": True}, "include_raw"),
        (Subject.get_betas, {"sesion": "ses-01"}, "session"),
    ],
)
def test_a_misspelt_argument_of_laion_fmri_is_told(function, given, meant):
    with pytest.raises(UnknownArgumentError, match=rf"Did you mean .*{meant}=.*\?"):
        function(**given)


def test_a_function_that_hands_keywords_on_takes_them(tmp_path):
    @also_named(ses="session")
    def outer(session, **keywords):
        return session, keywords

    assert outer(ses="01", roi="FFA") == ("01", {"roi": "FFA"})


# -- flags -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--subjet 01", "--subjet: did you mean --subject?"),
        ("--n-job 4", "--n-job: did you mean --n-jobs?"),
        ("--sub 01 --datatyp=func", "--datatyp: did you mean --datatype?"),
    ],
)
def test_a_misspelt_flag_is_told_by_the_command_that_does_not_know_it(shell, words, hint):
    done = shell(f"neurofetch get {URL} --dest d {words}")
    assert (done.code, done.out) == (2, "")
    assert hint in done.err
    assert "See neurofetch get --help" in done.err


def test_an_address_that_a_flag_took_for_its_value_is_told(shell):
    done = shell(f"neurofetch get --subject 01 {URL} --dest d --json")
    assert done.code == 2
    assert f"{URL} was taken for a value of --subject: write it before the flags" in done.err
    assert "was taken for" in json.loads(done.out)["error"]["message"]
    assert shell(f"neurofetch get --subject 01 --dest d --dry-run -- {URL}").code == 0


@pytest.mark.parametrize("command", ["get", "clean", "neurovault fetch", "neurovault info"])
def test_a_command_that_needs_arguments_and_gets_none_shows_its_help(shell, command):
    done = shell(f"neurofetch {command}")
    assert done.code == 2
    assert done.out == shell(f"neurofetch {command} --help").out


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ({"suffix": "bold", "extension": ".nii.gz"}, "extension .nii instead of extension .nii.gz"),
        ({"suffix": "T1w", "extension": ".nii"}, "extension .nii.gz instead of extension .nii, 12"),
    ],
)
def test_a_contradiction_is_told_with_the_value_that_would_match(s3, tmp_path, given, instead):
    with pytest.raises(NothingMatchedError) as caught:
        neurofetch.plan(URL, tmp_path, **given)
    assert f"with {instead}" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"session": "day02"}, "Did you mean day2?"),
        ({"session": "Day010"}, "Did you mean day10?"),
        ({"acq": "7mm"}, "Did you mean 07mm?"),
    ],
)
def test_a_value_with_other_zeros_is_told(s3, tmp_path, given, meant):
    with pytest.raises(UnknownValueError) as caught:
        neurofetch.plan(URL, tmp_path, **given)
    assert meant in str(caught.value)


def test_zeros_of_a_fraction_are_no_padding(s3, tmp_path):
    with pytest.raises(UnknownValueError) as caught:
        neurofetch.plan(URL, tmp_path, acq="0.07mm")
    assert "Did you mean" not in str(caught.value)


def test_a_value_that_has_a_twin_is_noted(s3, tmp_path):
    """The class: half of a data set whose names differ in case is left out unheard."""
    for path in ("sub-03/func/sub-03_task-Rest_bold.nii", "sub-03/func/sub-03_task-REST_bold.nii"):
        s3.put(f"ds/{path}", b"x")
    with pytest.warns(SelectionWarning, match="there is also task-REST, task-Rest: not chosen"):
        neurofetch.plan(URL, tmp_path, task="rest")
    both = neurofetch.plan(URL, tmp_path, task=["rest", "Rest", "REST"])
    assert not both.notes


def test_many_values_are_told_in_a_few_lines(s3, tmp_path):
    """The class: a message, or a warning, for each of a thousand values."""
    for number in range(1, 301):
        s3.put(f"ds/sub-{number:04}/anat/sub-{number:04}_T1w.nii.gz", b"x")
    with pytest.warns(SelectionWarning) as caught:
        plan = neurofetch.plan(URL, tmp_path, subject=range(3, 301), suffix="T1w", bare=True)
    assert len(plan) == 298
    (note,) = plan.notes
    assert note.startswith("sub-3 → sub-0003, sub-4 → sub-0004, sub-5 → sub-0005 and 295 more")
    assert len(caught) == 1
    with pytest.raises(UnknownValueError) as error:
        neurofetch.plan(URL, tmp_path, subject=[f"x{number}" for number in range(300)])
    assert "sub-x0, sub-x1," in str(error.value)
    assert "do not exist" in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_label_that_begins_several_is_not_all_of_them(s3, tmp_path):
    for name in ("pSTS-faces", "pSTS-bodies"):
        s3.put(f"ds/sub-01/anat/sub-01_label-{name}_mask.nii.gz", b"x")
    with pytest.raises(UnknownValueError, match="could mean 2 others"):
        neurofetch.plan(URL, tmp_path, label="pSTS")


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"datatype": "bold"}, "bold is a suffix: --suffix bold (suffix='bold')."),
        ({"suffix": "func"}, "func is a datatype: --datatype func (datatype='func')."),
        ({"suffix": "nii.gz"}, "nii.gz is an extension: --extension nii.gz (extension='nii.gz')."),
        ({"extension": "T1w"}, "T1w is a suffix: --suffix T1w (suffix='T1w')."),
        ({"task": "anat"}, "anat is a datatype: --datatype anat (datatype='anat')."),
    ],
)
def test_a_value_of_another_filter_is_told_with_that_filter(s3, tmp_path, given, right):
    with pytest.raises(UnknownValueError) as caught:
        neurofetch.plan(URL, tmp_path, **given)
    assert right in str(caught.value)
