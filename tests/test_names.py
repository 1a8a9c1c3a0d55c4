"""In Python, too, the same thing has the same name, and its other name is taken."""

import inspect

import pytest

import neurofetch
from laion_fmri.download import download
from laion_fmri.info import info
from laion_fmri.plotting import show
from laion_fmri.subject import load_subject
from laion_fmri.verify import verify as verify_laion
from neurofetch.errors import UsageError
from neurofetch.neurovault import fetch_neurovault, fetch_neurovault_ids
from testbed.s3 import S3Server
from tests.faces import LICENSE, make_s3

URL = "s3://b/ds"


@pytest.fixture
def s3(monkeypatch):
    files = {f"ds/sub-01/ses-{ses}/func/sub-01_ses-{ses}_bold.nii.gz": b"x" for ses in "ab"}
    with S3Server({"b": files}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


@pytest.mark.parametrize(
    "function",
    [
        neurofetch.get,
        neurofetch.plan,
        neurofetch.verify,
        download,
        info,
        verify_laion,
        show,
        load_subject,
        fetch_neurovault,
        fetch_neurovault_ids,
    ],
)
def test_every_function_with_a_data_directory_takes_it_by_one_name(function):
    assert "data_dir" in inspect.signature(function).parameters


@pytest.mark.parametrize("how", ["positional", "dest", "data_dir"])
def test_the_data_directory_is_taken_by_both_its_names(s3, tmp_path, how):
    def call(function, *arguments):
        if how == "positional":
            return function(*arguments, tmp_path)
        return function(*arguments, **{how: tmp_path})

    assert len(call(neurofetch.plan, URL).steps) == 2
    assert call(neurofetch.get, URL).root == tmp_path
    assert call(neurofetch.verify).ok


def test_the_data_directory_is_given_once(s3, tmp_path):
    for function, arguments in (
        (neurofetch.plan, (URL,)),
        (neurofetch.get, (URL,)),
        (neurofetch.verify, ()),
    ):
        with pytest.raises(UsageError, match="dest and data_dir are the same"):
            function(*arguments, tmp_path, data_dir=tmp_path)
        with pytest.raises(UsageError, match="no data directory"):
            function(*arguments)
    assert not s3.requests()


@pytest.mark.parametrize(("one", "other"), [("ses", "session"), ("sub", "subject")])
def test_an_entity_is_taken_by_both_its_names(s3, tmp_path, one, other):
    value = {"ses": "a", "sub": "01"}[one]
    paths = [
        [step.want.path for step in neurofetch.plan(URL, tmp_path, **{name: value}).steps]
        for name in (one, other)
    ]
    assert paths[0] == paths[1] != []
    with pytest.raises(UsageError, match="same entity"):
        neurofetch.plan(URL, tmp_path, **{one: value, other: value})


def test_sessions_of_laion_fmri_are_taken_by_both_their_names(tmp_path, monkeypatch):
    for name, text in LICENSE.items():
        monkeypatch.setenv(name, text)
    with make_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        how = {"dry_run": True, "data_dir": tmp_path, "progress": "none"}
        plans = [download("sub-03", **{name: "01"}, **how) for name in ("ses", "session")]
        assert plans[0].steps == plans[1].steps
        with pytest.raises(UsageError, match="same entity"):
            download("sub-03", ses="01", session="01", **how)
