"""The errors: where scripts import them from, and what they can be caught as."""

from __future__ import annotations

import importlib
import pickle
import re
from pathlib import Path

import pytest

import neurofetch
from laion_fmri import errors

DOCS = Path(__file__).parents[2] / "docs"

PUBLIC = {
    "DataDirNotSetError": Exception,
    "DataNotFoundError": FileNotFoundError,
    "DataNotDownloadedError": FileNotFoundError,
    "NoMatchingDataError": FileNotFoundError,
    "SubjectNotFoundError": ValueError,
    "StimuliNotDownloadedError": FileNotFoundError,
    "LicenseNotAcceptedError": RuntimeError,
}
"""What scripts import from ``laion_fmri._errors`` of the public package, and catch it as."""


@pytest.mark.parametrize(("name", "base"), PUBLIC.items())
def test_scripts_find_the_errors_where_they_were(name, base):
    old = importlib.import_module("laion_fmri._errors")
    assert getattr(old, name) is getattr(errors, name)
    assert issubclass(getattr(old, name), base)
    assert name in old.__all__


def test_the_old_module_has_all_errors_and_says_where_they_are():
    old = importlib.import_module("laion_fmri._errors")
    assert old.__all__ == errors.__all__
    for name in errors.__all__:
        assert getattr(old, name) is getattr(errors, name)
    assert "laion_fmri.errors" in old.__doc__


def test_what_is_not_there_is_caught_by_one_name():
    for error in (errors.DataNotDownloadedError, errors.NoMatchingDataError):
        assert issubclass(error, errors.DataNotFoundError)
    assert issubclass(errors.NoMatchingDataError, LookupError)
    assert issubclass(errors.NoMatchingDataError, ValueError)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_one_of_neurofetch_and_says_what_it_is(name):
    error = getattr(errors, name)
    assert issubclass(error, neurofetch.NeurofetchError)
    assert error.__doc__
    if issubclass(error, errors.BadDataError):
        made = error("a.nii", "is odd")
        assert (made.path, made.problem, str(made)) == ("a.nii", "is odd", "a.nii: is odd")
    elif error is not errors.IncompleteError:
        made = error("what happened")
        assert str(made) == "what happened"
    else:
        return
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is error
    assert str(again) == str(made)


def test_the_error_at_the_end_of_a_download_is_here_too():
    assert errors.IncompleteError is neurofetch.IncompleteError


def test_the_errors_of_the_pages_can_be_imported_from_where_they_say():
    for page in ("laion-fmri.md", "loader.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        named = set(re.findall(r"`(?:[a-z_.]+\.)?(\w+Error)`", text))
        ours = {name for name in named if not hasattr(importlib.import_module("builtins"), name)}
        assert ours, page
        assert ours <= set(errors.__all__), page
