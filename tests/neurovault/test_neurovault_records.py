"""Records, dates, ids and addresses come into one form."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofetch import errors as _errors
from neurofetch.neurovault.records import as_time, clean, is_newer, normal_ids, server_url
from testbed.neurovault_data import recorded


@pytest.mark.parametrize(
    "text", ["", " ", "n/a", "N/A", "na", "NA", "none", "None", "null", "NULL", "None / Other"]
)
def test_text_that_says_nothing_becomes_none(text):
    assert clean({"key": text}) == {"key": None}


@pytest.mark.parametrize(
    "text",
    [
        "None of the voxels survived",
        "nonetheless",
        "null hypothesis map",
        "nullius",
        "name",
        "n/a?",
    ],
)
def test_text_that_only_begins_so_is_kept(text):  # nilearn erases it
    assert clean({"key": text}) == {"key": text}


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(st.text(max_size=4), st.none() | st.integers() | st.text(max_size=8)))
def test_cleaning_keeps_keys_is_idempotent_and_changes_a_copy(record):
    before = dict(record)
    once = clean(record)
    assert record == before
    assert once.keys() == record.keys()
    assert clean(once) == once
    assert all(value is None or value == record[key] for key, value in once.items())


def test_a_recorded_collection_is_cleaned():
    record = clean(recorded("collection_8477"))
    assert record["scanner_make"] is None
    assert record["name"] == "First test collection"
    assert record["private"] is False
    assert record["number_of_images"] == 0
    assert record["communities"] == []


def test_dates_are_times():
    windows = recorded("windows_cache_image_10426")["modify_date"]
    assert as_time(windows) == as_time("2016-01-27T21:59:40.180124Z")
    assert as_time("2020-01-01") == as_time("2020-01-01T00:00:00Z")
    assert as_time("2020-01-01 10:00") == as_time("2020-01-01T11:00+01:00")
    for wrong in (None, "", 5, "2020-99-01", "2020", "20200101T000000"):
        assert as_time(wrong) is None


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1), timezones=zones)  # noqa: DTZ001


@settings(deadline=None)  # the machine may be busy
@given(times, times)
def test_newer_is_an_order_of_times(first, second):
    one, two = ({"modify_date": when.isoformat()} for when in (first, second))
    assert is_newer(one, two) is (first > second)
    assert is_newer(one, {})
    assert not is_newer({}, one)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ((), ()),
        (None, ()),
        (1952, (1952,)),
        ("1952", (1952,)),
        (np.int64(7), (7,)),
        ([3, "2", np.int32(1), 3, "03"], (3, 2, 1)),
        (np.array([5, 4, 5]), (5, 4)),
        (np.array(9), (9,)),
        (np.array([[4, 3], [2, 4]]), (4, 3, 2)),
        (np.array(["8", "7"]), (8, 7)),
        (np.array([2.0, 1.0]), (2, 1)),
        (np.float32(12), (12,)),
        (range(3, 0, -1), (3, 2, 1)),
        ((n for n in (2, 1)), (2, 1)),
        ({30, 1, 200}, (1, 30, 200)),
        (frozenset({"9", 10}), (9, 10)),
        ({5: "a", 4: "b"}, (5, 4)),
        (pd.Series([6, 5], index=["x", "y"]), (6, 5)),
        (pd.Index([6, 5]), (6, 5)),
    ],
)
def test_ids_of_every_kind(given_, expected):
    found = normal_ids(given_)
    assert found == expected
    assert all(type(number) is int for number in found)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 10**9)))
def test_ids_keep_order_and_lose_repeats(numbers):
    assert normal_ids(iter(numbers)) == tuple(dict.fromkeys(numbers))
    assert normal_ids([str(n) for n in numbers]) == tuple(dict.fromkeys(numbers))


@pytest.mark.parametrize(
    "wrong",
    [
        0,
        -1,
        1.5,
        float("nan"),
        float("inf"),
        True,
        np.True_,
        None,
        "abc",
        "1 2",
        "²",
        b"7",
        1j,
        [1],
    ],
    ids=repr,
)
def test_what_is_no_id_is_named(wrong):
    with pytest.raises(ValueError, match=r"image_ids: 1 of 3 are not ids: .* \(number 2\)"):
        normal_ids([5, wrong, 6], "image_ids")


def test_wrong_ids_are_reported_together():
    with pytest.raises(_errors.UsageError) as caught:
        normal_ids([f"x{n}" for n in range(9)] + [1], "image_ids")
    assert "9 of 10" in str(caught.value)
    assert "'x4' (number 5), …" in str(caught.value)
    with pytest.raises(_errors.UsageError, match="must be ids"):
        normal_ids(object())


@pytest.mark.parametrize(
    ("url", "api", "expected"),
    [
        ("http://neurovault.org/m/a%20b", "https://neurovault.org/api/", "https://neurovault.org/m/a%20b"),
        ("http://neurovault.org:80/m", "https://neurovault.org/api/", "https://neurovault.org/m"),
        ("http://NeuroVault.org/m?a=1", "https://neurovault.org/api/", "https://neurovault.org/m?a=1"),
        ("https://neurovault.org/m", "https://neurovault.org/api/", "https://neurovault.org/m"),
        ("http://other.org/m", "https://neurovault.org/api/", "http://other.org/m"),
        ("http://neurovault.org.evil.org/m", "https://neurovault.org/api/", "http://neurovault.org.evil.org/m"),
        ("http://neurovault.org/m", "http://neurovault.org/api/", "http://neurovault.org/m"),
        ("http://localhost/m", "https://localhost:8443/api/", "https://localhost:8443/m"),
        ("http://localhost:8000/m", "https://localhost:8443/api/", "http://localhost:8000/m"),
        ("/media/m", "https://neurovault.org/api/", "https://neurovault.org/media/m"),
    ],
)  # fmt: skip
def test_own_addresses_are_upgraded(url, api, expected):
    assert server_url(url, api) == expected
