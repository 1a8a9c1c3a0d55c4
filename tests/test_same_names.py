"""In Python, too, the same thing has the same name, and its other name is taken."""

import inspect

import pytest

import neurofetch
from laion_fmri import discovery, group, plotting, subject
from laion_fmri import info as info_module
from laion_fmri.download import download
from laion_fmri.errors import SubjectNotFoundError
from laion_fmri.group import Group
from laion_fmri.info import info
from laion_fmri.plotting import show
from laion_fmri.subject import Subject, load_subject
from laion_fmri.verify import verify as verify_laion
from neurofetch.errors import UsageError
from neurofetch.neurovault import fetch_neurovault, fetch_neurovault_ids
from testbed.s3 import S3Server
from tests.faces import LICENSE, make_s3


def with_both_names():
    """Every public function of the loader that takes a session or a subject."""
    for owner in (subject, Subject, group, Group, plotting, info_module, discovery):
        for name, found in vars(owner).items():
            function = inspect.unwrap(found) if inspect.isfunction(found) else None
            if function is None or name.startswith("_") or function.__module__ != owner_of(owner):
                continue
            for other, long in (("ses", "session"), ("sub", "subject")):
                if long in inspect.signature(function).parameters:
                    yield pytest.param(getattr(owner, name), other, long, id=f"{name}-{other}")


def owner_of(owner):
    return owner.__module__ if inspect.isclass(owner) else owner.__name__


@pytest.mark.parametrize(("function", "other", "name"), [*with_both_names()])
def test_an_argument_of_the_loader_is_taken_by_both_its_names(function, other, name):
    with pytest.raises(UsageError, match=f"{other} and {name} are the same"):
        function(**{other: "01", name: "01"})


def test_a_value_by_the_other_name_arrives_in_the_argument(tmp_path):
    errors = []
    for name in ("subject", "sub"):
        with pytest.raises(SubjectNotFoundError) as caught:
            load_subject(data_dir=tmp_path, **{name: "no/subject"})
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    assert "no/subject" in errors[0]


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
    for function in (neurofetch.plan, neurofetch.get):
        with pytest.raises(UsageError, match="no data directory"):
            function(URL)
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
        assert download(sub="sub-03", ses="01", **how).steps == plans[0].steps
        with pytest.raises(UsageError, match="sub and subject"):
            download(sub="sub-03", subject="sub-03", **how)
