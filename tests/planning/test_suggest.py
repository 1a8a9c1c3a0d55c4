"""Which existing values look like one that does not exist."""

from __future__ import annotations

import difflib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.engine import nearest

FLAGS = ["--suffix", "--subject", "--ses", "--task", "--data-dir", "--json", "download", "verify"]
WORDS = st.text(string.ascii_letters + string.digits + "-", max_size=9)


@pytest.mark.parametrize(
    ("value", "exists", "expected"),
    [
        ("sub-04", ["sub-03", "sub-05", "sub-11"], ["sub-03", "sub-05", "sub-11"]),
        ("ffa3", ["FFA1", "EBA", "FFA2"], ["FFA2", "FFA1"]),  # whatever the case; 2 is nearer
        ("betas", ["R2mean", "SingletrialBetas"], ["SingletrialBetas"]),  # a part of it
        ("R", ["V1", "R2mean"], ["R2mean"]),
        ("mean", ["mead", "R2mean"], ["R2mean", "mead"]),  # a part goes before a near miss
        ("xyz", ["FFA1", "EBA"], []),
        ("", ["FFA1", "EBA"], []),
        ("FFA1", [], []),
        ("FFA", ["FFA1", "FFA1", "FFA2"], ["FFA1", "FFA2"]),  # each once
    ],
)
def test_the_nearest_come_first(value, exists, expected):
    assert nearest(value, exists) == expected


def test_there_are_no_more_than_asked_for():
    many = [f"sub-{number:02}" for number in range(1, 40)]
    assert len(nearest("sub-40", many)) == 3
    assert len(nearest("sub-40", many, count=5)) == 5


def test_a_strict_cutoff_suits_the_words_of_a_command_line():
    """Those of a message of argparse: what is not meant for a flag is near to none."""
    strict = {"count": 1, "cutoff": 0.75}
    assert nearest("--sutfix", FLAGS, **strict) == ["--suffix"]
    assert nearest("donwload", FLAGS, **strict) == ["download"]
    for word in ("at", "least", "one", "argument", "expected", "a", "required", "invalid", ""):
        assert nearest(word, FLAGS, **strict) == []


@given(WORDS.filter(bool), st.lists(WORDS, max_size=6), st.floats(0.1, 1))
def test_whatever_difflib_takes_is_taken(value, exists, cutoff):
    """With any cutoff; what contains the value may come too."""
    low = sorted({other.lower() for other in exists})
    likeness = {other: difflib.SequenceMatcher(None, value.lower(), other).ratio() for other in low}
    found = nearest(value.lower(), low, count=9, cutoff=cutoff)
    assert {other for other in low if likeness[other] >= cutoff} <= set(found)
    assert all(likeness[other] >= cutoff or value.lower() in other for other in found)
