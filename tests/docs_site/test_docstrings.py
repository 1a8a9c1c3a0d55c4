"""Docstrings of public names have the form that numpydoc reads, and say what is true."""

import functools
import inspect

import pytest

pytest.importorskip("sphinx", reason="the documentation's libraries are not installed")
validation = pytest.importorskip("numpydoc.validate")
api_pages = pytest.importorskip("docs.api_pages")

FORM = {"GL01", "GL02", "GL03", "GL06", "GL07", "GL08", "GL09", "GL10", "SS01", "SS02", "SS04"}
"""Where it begins and ends, its sections and their order, and a summary as a sentence."""
TRUE = {"PR02", "PR05", "PR06", "PR10", "RT02"}
"""No parameter is described that is not there; types are those of Python."""
WHOLE = {"PR01"}
"""Where parameters of a function are described, all of them are."""
NO_SIGNATURE = {"neurofetch.opening.filesystem.NeurofetchFileSystem"}
"""Made by a metaclass of fsspec, which hides what it takes."""


def for_users():
    """The functions, and the methods of classes, of the modules that most readers look for."""
    modules = api_pages.public_modules()
    homes = api_pages.Homes(modules)
    first = [module for group in api_pages.FIRST.values() for module in group]
    for module in first:
        for name in modules.get(module, ()):
            found, home = homes.found(module, name), homes.home(module, name)
            if inspect.isclass(found):
                kinds = (staticmethod, classmethod)
                for method, value in vars(found).items():
                    if method[0] != "_" and (inspect.isfunction(value) or isinstance(value, kinds)):
                        yield f"{home}.{method}"
            elif inspect.isfunction(found):
                yield home


@functools.cache
def described():
    """The public functions and classes by full names: whether it is a function with parameters."""
    modules = api_pages.public_modules()
    homes = api_pages.Homes(modules)
    return {
        homes.home(module, name): homes.directive(module, name) == "autofunction"
        and "Parameters\n" in (homes.found(module, name).__doc__ or "")
        for module, names in modules.items()
        for name in names
        if homes.directive(module, name) != "data"
    }


@pytest.mark.slow
def test_each_docstring_has_the_form_and_tells_what_is_there():
    wrong = []
    for name, tells_parameters in described().items():
        held_to = FORM | (TRUE if name not in NO_SIGNATURE else set())
        if tells_parameters:
            held_to |= WHOLE
        found = validation.validate(name)["errors"]
        wrong += [f"{name}: {code} {text}" for code, text in found if code in held_to]
    assert wrong == []


@pytest.mark.slow
def test_what_returns_says_what_it_returns():
    names = sorted(set(for_users()))
    assert {"neurofetch.plan", "laion_fmri.subject.Subject.get_betas"} <= set(names)
    silent = [
        name
        for name in names
        if {"RT01"} & {code for code, _ in validation.validate(name)["errors"]}
    ]
    assert silent == []


def test_the_names_that_people_use_are_among_them():
    assert {"neurofetch.get", "laion_fmri.download.download"} <= set(described())
    assert len(described()) > 500
