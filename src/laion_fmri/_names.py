"""The other name of an argument: ``ses`` for ``session``, ``sub`` for ``subject``."""

from __future__ import annotations

from functools import wraps
from inspect import CO_VARKEYWORDS
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from neurofetch.errors import UnknownArgumentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["also_named"]

P = ParamSpec("P")
R = TypeVar("R")


def also_named(**others: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator of functions that take an argument by another name, too.

    Type checkers know the first name alone.

    Parameters
    ----------
    **others : str
        The name that the signature has, by its other name.

    Raises
    ------
    UnknownArgumentError
        By the function, if it does not take a keyword; it names the nearest that it does.
    UsageError
        By the function, if an argument is given by both its names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        takes = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

        @wraps(function)
        def named(*args: P.args, **keywords: P.kwargs) -> R:
            unknown = [name for name in keywords if name not in takes and name not in others]
            if code.co_flags & CO_VARKEYWORDS:
                unknown = []  # it hands them on
            if unknown:
                from neurofetch.engine import unknown_argument

                msg = unknown_argument(function.__name__, unknown[0], (*takes, *others))
                raise UnknownArgumentError(f"{msg} Nothing was done.")
            for other, name in others.items():
                if other in keywords:
                    if name in keywords:
                        msg = f"{other} and {name} are the same, but both were given"
                        raise UsageError(msg)
                    keywords[name] = keywords.pop(other)
            return function(*args, **keywords)

        return named

    return decorate
