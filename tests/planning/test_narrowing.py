"""Which folders are walked, which are looked at, and which are passed over."""

import pytest

from neurofetch.planning.listing import Kind, Narrowing, Place, Split, ancestors, root_by_subject
from neurofetch.planning.query import query

ROOT = Place()
FOLDERS = ["code", "derivatives", "sourcedata", "sub-01", "sub-02", "sub-10", "stimuli"]


def split(place, folders, derivatives=None, **filters):
    """Return what is done with folders: walked, looked at; and the values that they name."""
    narrowing = Narrowing(query(**filters), derivatives)
    found = narrowing.split(place, folders)
    walked = {*found.walks, *found.subjects}
    return walked, {look.path for look in found.looks}, narrowing.named


def test_other_subjects_are_passed_over_and_named():
    walked, looked, named = split(ROOT, FOLDERS, subject="01")
    assert walked == {"code/", "stimuli/", "sub-01/"}
    assert looked == {"derivatives/", "sourcedata/"}
    assert named == {"sub": {"01", "02", "10"}}


@pytest.mark.parametrize(
    ("value", "there", "kept"),
    [
        ("1", ["sub-01", "sub-10", "sub-11"], {"sub-01/"}),
        ("001", ["sub-1", "sub-10"], {"sub-1/"}),
        ("1", ["sub-01", "sub-1", "sub-2"], {"sub-01/", "sub-1/"}),
        ("pilot", ["sub-PILOT", "sub-pilot2"], {"sub-PILOT/"}),
        ("pil", ["sub-pilot", "sub-02"], {"sub-pilot/"}),
        ("s", ["sub-s1", "sub-s2"], set()),
        ("9", ["sub-01", "sub-02"], set()),
    ],
)
def test_a_loosely_spelt_subject_is_not_passed_over(value, there, kept):
    walked, looked, named = split(ROOT, there, subject=value)
    assert (walked, looked) == (kept, set())
    assert named == {"sub": {name.removeprefix("sub-") for name in there}}


def test_a_folder_named_by_several_entities_goes_with_its_subject_and_session():
    there = ["sub-01_ses-2011", "sub-01_ses-2012", "sub-01_task-rest.feat", "sub-02_ses-2011"]
    walked, _, _ = split(ROOT, there, subject="01")
    assert walked == {f"{name}/" for name in there[:3]}
    walked, _, _ = split(ROOT, there, subject="01", ses="2011")
    assert walked == {"sub-01_ses-2011/", "sub-01_task-rest.feat/"}
    assert ROOT.child("sub-01_ses-2011").kind is Kind.OTHER


def test_a_folder_that_only_begins_like_a_subject_is_walked():
    walked, _, _ = split(ROOT, ["sub", "subjects", "sub-02"], subject="01")
    assert walked == {"sub/", "subjects/"}


def test_sessions_and_datatypes_are_looked_for_in_their_subject():
    _, looked, _ = split(ROOT, FOLDERS, subject="01", ses="02")
    assert looked == {"derivatives/", "sourcedata/", "sub-01/"}
    subject = ROOT.child("sub-01")
    walked, looked, named = split(subject, ["ses-01", "ses-02", "anat"], ses="2")
    assert (walked, looked) == ({"sub-01/ses-02/", "sub-01/anat/"}, set())
    assert named == {"ses": {"01", "02"}}
    _, looked, _ = split(subject, ["ses-01", "ses-02"], ses="02", datatype="func")
    assert looked == {"sub-01/ses-02/"}
    session = subject.child("ses-02")
    walked, _, named = split(session, ["anat", "func", "figures"], datatype="func")
    assert walked == {"sub-01/ses-02/func/", "sub-01/ses-02/figures/"}
    assert named == {"datatype": {"anat", "func"}}


def test_a_folder_that_is_named_like_a_datatype_elsewhere_is_no_datatype():
    walked, _, _ = split(
        ROOT, ["anat", "phenotype", "sub-01", "sub-02"], subject="1", datatype="func"
    )
    assert walked == {"anat/", "phenotype/"}


def test_a_derivative_is_looked_at_like_a_data_set_and_what_lies_deep_in_it_is_walked():
    derivatives = ROOT.child("derivatives")
    _, looked, _ = split(derivatives, ["fmriprep", "sub-01", "sub-02"], subject="01", ses="1")
    assert looked == {"derivatives/fmriprep/", "derivatives/sub-01/"}
    pipeline = derivatives.child("fmriprep")
    walked, looked, _ = split(pipeline, ["logs", "sub-01", "sub-02"], subject="01")
    assert (walked, looked) == ({"derivatives/fmriprep/sub-01/"}, {"derivatives/fmriprep/logs/"})
    deep = pipeline.child("a").child("b")
    assert deep.kind is Kind.OTHER


@pytest.mark.parametrize(
    ("wanted", "walked", "looked", "named"),
    [
        ((), {"code/", "sub-"}, set(), {"derivatives": {"derivatives"}}),
        (("fmriprep",), {"code/", "sub-"}, {"derivatives/"}, {}),
    ],
)
def test_derivatives_that_are_not_wanted_are_passed_over(wanted, walked, looked, named):
    there = ["code", "derivatives", "sub-01", "sub-02"]
    assert split(ROOT, there, wanted) == (walked, looked, named)
    found = split(ROOT.child("derivatives"), ["fmriprep", "mriqc"], ("fmriprep",))
    assert found[0] == {"derivatives/fmriprep/"}
    assert found[2] == {"derivatives": {"fmriprep", "mriqc"}}


def test_where_no_name_rules_anything_out_all_is_walked_at_once():
    assert Narrowing(query(subject="01")).split(ROOT, ["code", "sub-01"]) == Split(("",))
    pipeline = ROOT.child("derivatives").child("group")
    nothing = Narrowing(query(subject="01")).split(pipeline, [])
    assert nothing == Split(("derivatives/group/",))
    assert not Narrowing(query(suffix="bold", run=1)).narrows


def test_many_subjects_are_not_looked_into_one_by_one():
    many = [f"sub-{number:03}" for number in range(100)]
    found = Narrowing(query(ses="01")).split(ROOT, ["code", *many])
    assert found == Split(("",))
    found = Narrowing(query(ses="01", subject=many[:50])).split(ROOT, ["code", *many])
    assert (len(found.subjects), found.there, found.looks) == (50, 100, ())


def test_a_query_that_lets_files_without_a_subject_pass_rules_no_subject_out():
    from dataclasses import replace  # noqa: PLC0415

    permissive = replace(query(subject="01"), strict=frozenset())
    assert not Narrowing(permissive).narrows


def test_the_kind_of_a_folder_is_told_from_its_path():
    assert ROOT.below("derivatives/fmriprep/sub-01/ses-1/").kind is Kind.SESSION
    assert ROOT.below("") == ROOT
    assert ancestors("") == [""]
    assert root_by_subject("b/sub-01_x/sub-2/") == "b/sub-01_x/"
