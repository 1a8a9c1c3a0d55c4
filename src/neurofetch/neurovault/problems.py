"""What could not be fetched: collected during a call, and named once at its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from neurofetch.errors import UnreachableError
from neurofetch.model import IncompleteError, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Problem",
    "UnansweredError",
    "cause_of",
    "message",
    "plain",
    "unanswered",
]

_PLACE = re.compile(r"https?://\S+: ")
_META = {
    404: "the server knows none of this id, or it is private (404)",
    403: "it is private (403)",
}


@dataclass(frozen=True)
class Problem:
    """Something that was asked for and could not be fetched.

    Parameters
    ----------
    kind : {"collection", "image"}
    number : int
        Its id; 0 when it is not known.
    cause : str
    name : str
        What to call it when the id is not known.
    """

    kind: Literal["collection", "image"]
    number: int
    cause: str
    name: str = ""

    @property
    def outcome(self) -> Outcome:
        """The line of the report."""
        title = self.name or f"{self.kind} {self.number}"
        return Outcome(title, f"{self.kind}s/{self.number}/", Status.FAILED, self.cause)


class UnansweredError(IncompleteError, UnreachableError):
    """Something that was asked for is missing, and no request to the server was answered."""


def unanswered(error: UnreachableError) -> str:
    """Return what a call says whose requests were all in vain: what was asked, tried, and helps.

    Parameters
    ----------
    error : UnreachableError
        Of the first request.
    """
    end = "" if str(error).endswith(".") else "."
    return f"NeuroVault cannot be reached: {error}{end} {error.advice}".rstrip()


def cause_of(error: BaseException) -> str:
    """Return why a record could not be fetched, in words for a user."""
    text = str(error)
    for status, words in _META.items():
        if f": {status} " in text:
            return words
    return plain(text)


def plain(text: str) -> str:
    """Return a cause without addresses, so that equal causes have equal texts."""
    return _PLACE.sub("", text)


def message(problems: Iterable[Problem], offline: bool) -> str:
    """Return a text that names everything that is missing; equal causes share a line."""
    groups: dict[tuple[str, str], list[str]] = {}
    named: list[str] = []
    for problem in problems:
        if problem.number and not problem.name:
            key = (problem.kind, plain(problem.cause))
            groups.setdefault(key, []).append(str(problem.number))
        else:
            named.append(f"  {problem.name}: {plain(problem.cause)}")
    lines = [
        f"  {kind}{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}: {cause}"
        for (kind, cause), numbers in groups.items()
    ]
    total = sum(map(len, groups.values())) + len(named)
    things = "thing that you asked for" if total == 1 else "things that you asked for"
    advice = (
        "The server was not asked (mode 'offline')."
        if offline
        else "Everything else is here. The same call again fetches only what is missing."
    )
    return "\n".join([f"{total} {things} could not be fetched:", *lines, *named, advice])
