"""The filters agree with nilearn's, over records of all kinds."""

import pickle
import re
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.datasets import neurovault as theirs

import neurofetch.neurovault as ours

FIELDS = ("map_type", "name", "number_of_images", "not_mni", "tags")
texts = st.text("abT map-é/", max_size=6)
numbers = st.integers(-3, 3) | st.floats(-3, 3)
scalars = st.none() | st.booleans() | numbers | texts
values = scalars | st.lists(texts, max_size=3)
records = st.dictionaries(st.sampled_from(FIELDS), values)


def pair(name, *args, **kwargs):
    return getattr(ours, name)(*args, **kwargs), getattr(theirs, name)(*args, **kwargs)


several = st.lists(scalars, max_size=3)
specials = st.one_of(
    st.sampled_from(["IsNull", "NotNull"]).map(pair),
    scalars.map(lambda value: pair("NotEqual", value)),
    st.builds(
        pair,
        st.sampled_from(["GreaterOrEqual", "GreaterThan", "LessOrEqual", "LessThan"]),
        st.booleans() | numbers | texts,
    ),
    st.builds(lambda name, args: pair(name, *args), st.sampled_from(["IsIn", "NotIn"]), several),
    st.builds(
        lambda name, args: pair(name, *args),
        st.sampled_from(["Contains", "NotContains"]),
        st.lists(texts, max_size=3),
    ),
    st.builds(
        lambda text, flags: pair("Pattern", re.escape(text), flags),
        texts,
        st.sampled_from([0, int(re.IGNORECASE)]),
    ),
)
terms = specials | values.map(lambda value: (value, deepcopy(value)))


@st.composite
def simple_filters(draw):
    both = draw(st.dictionaries(st.sampled_from(FIELDS), terms, max_size=3))
    mine = ours.ResultFilter({key: value[0] for key, value in both.items()})
    other = theirs.ResultFilter({key: value[1] for key, value in both.items()})
    if draw(st.booleans()):
        for each in (mine, other):
            each.add_filter(lambda record: "name" in record)
    return mine, other


def combine(children):
    def join(first, second, method):
        return tuple(getattr(a, method)(b) for a, b in zip(first, second, strict=True))

    return st.builds(
        join, children, children, st.sampled_from(["AND", "OR", "XOR"])
    ) | children.map(lambda both: tuple(each.NOT() for each in both))


filters = st.recursive(simple_filters(), combine, max_leaves=6)


@settings(deadline=None)  # the machine may be busy
@given(specials, values)
def test_special_values_agree_with_nilearn(both, value):
    mine, other = both
    assert (mine == value) is (other == value)
    assert (mine != value) is (other != value)
    assert (value == mine) is (value == other)
    assert repr(mine) == repr(other)


@settings(deadline=None)  # the machine may be busy
@given(filters, records)
def test_filters_agree_with_nilearn(both, record):
    mine, other = both
    assert mine(record) is other(record)


@settings(deadline=None)  # the machine may be busy
@given(filters, filters, records)
def test_operators_are_the_methods(first, second, record):
    one, two = first[0], second[0]
    assert (one & two)(record) is one.AND(two)(record) is (one(record) and two(record))
    assert (one | two)(record) is one.OR(two)(record) is (one(record) or two(record))
    assert (one ^ two)(record) is one.XOR(two)(record) is (one(record) != two(record))
    assert (~one)(record) is one.NOT()(record) is (not one(record))


@settings(deadline=None)  # the machine may be busy
@given(records)
def test_basic_terms_agree_with_nilearn(record):
    for name in ("basic_collection_terms", "basic_image_terms"):
        mine, other = getattr(ours, name)(), getattr(theirs, name)()
        assert repr(mine) == repr(other)
        assert ours.ResultFilter(mine)(record) is theirs.ResultFilter(other)(record)


def test_filters_are_dictionaries_too():
    wanted = ours.ResultFilter({"a": 1}, b=2)
    assert wanted["b"] == 2
    wanted["c"] = ours.IsIn(3, 4)
    del wanted["b"]
    del wanted["never there"]
    assert wanted.query_terms_ == {"a": 1, "c": 3}
    assert wanted({"a": 1, "c": 4})
    assert not wanted({"a": 1})
    assert str(wanted) == str(theirs.ResultFilter()) == "ResultFilter"
    assert repr(wanted) == "ResultFilter({'a': 1, 'c': IsIn(3, 4)})"


def test_a_combination_keeps_a_copy_of_its_parts():
    part = ours.ResultFilter(a=1)
    whole = part & ours.ResultFilter(b=2)
    part["a"] = 5
    assert whole({"a": 1, "b": 2})


def test_a_plain_function_may_be_combined():
    wanted = ours.ResultFilter(a=1).AND(lambda record: record["b"] > 1)
    assert wanted({"a": 1, "b": 2})
    assert not wanted({"a": 1, "b": 0})


def test_filters_travel_to_other_processes():
    wanted = ours.ResultFilter(a=ours.GreaterThan(1)) ^ ~ours.ResultFilter(b=ours.Pattern("x"))
    again = pickle.loads(pickle.dumps(wanted))
    for record in ({}, {"a": 2}, {"b": "xy"}, {"a": 2, "b": "xy"}):
        assert again(record) is wanted(record)


@pytest.mark.parametrize(
    ("bound", "same", "later"),
    [
        ("2016-01-21T17:00:00Z", "2016-01-21T18:00:00+01:00", "2016-01-21T17:30:00+00:00"),
        ("2016-01-21T18:00:00+01:00", "2016-01-21T17:00:00Z", "2016-01-21T17:00:00.5Z"),
        (datetime(2016, 1, 21, 17, tzinfo=UTC), "2016-01-21T17:00:00.000Z", "2016-01-21T18:00:00Z"),
    ],
)
def test_dates_are_compared_as_times(bound, same, later):
    assert ours.GreaterThan(bound) == later
    assert ours.GreaterThan(bound) != same
    assert ours.GreaterOrEqual(bound) == same
    assert ours.LessOrEqual(bound) == same
    assert ours.LessThan(bound) != same
    assert ours.LessThan(bound) != None  # noqa: E711 - the comparison is what is tested


def test_what_cannot_be_cast_is_not_equal():
    assert ours.GreaterThan(3) != float("inf")  # nilearn: OverflowError
    assert ours.GreaterThan(3) != "many"


def test_importing_is_light():
    code = (
        "import sys, neurofetch.neurovault as n\n"
        "n.ResultFilter, n.Catalogue, n.DamagedVolumeError\n"
        "heavy = {'numpy', 'pandas', 'duckdb', 'isal', 'sklearn', 'nilearn', 'nibabel'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported_and_nothing_else():
    assert set(dir(ours)) == set(ours.__all__)
    for name in ours.__all__:
        assert getattr(ours, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ours.nonsense
