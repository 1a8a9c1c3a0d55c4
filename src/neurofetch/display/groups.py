"""The files of a plan in groups: why they are there, and what they are. Pure.

A plan of a million files has a few dozen groups. What a file is, is read off its path: the kind of
data (``func/bold.nii.gz``), the derivative it belongs to, the recording that it is a piece of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.model import Action
from neurofetch.planning.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neurofetch.model import Step

__all__ = ["Group", "Section", "compact", "sections", "sections_by_ending"]

_NAMES = 4
"""At most so many names of files stand in a row, and so many labels are listed one by one."""
_ROWS = 15
"""At most so many rows in a section; what is left is one row."""
_SECTIONS = 25
"""At most so many sections; what is left is one section."""
_DIGITS = re.compile(r"([0-9]{1,18})")
_SUBJECT = re.compile(r"(?:^|/)(sub-[^/_.]+)(?=[/_.]|$)")


@dataclass(slots=True)
class Group:
    """Files of one kind that are in the plan for one reason.

    Parameters
    ----------
    what : str
        What they are, as ``func/bold.nii.gz``.
    files : int
    bytes : int
        Of all of them.
    here : int
        Bytes that are here, those of partial files included.
    partly : int
        Files of which a part is here.
    to_fetch : int
        Bytes that are still to come.
    names : dict of str to None
        Names of files that are no kind of data, and of recordings that are folders.
    subjects : dict of str to None
    pieces : int
        Files that are pieces of a recording.
    """

    what: str
    files: int = 0
    bytes: int = 0
    here: int = 0
    partly: int = 0
    to_fetch: int = 0
    names: dict[str, None] = field(default_factory=dict)
    subjects: dict[str, None] = field(default_factory=dict)
    pieces: int = 0

    def add(self, alike: _Alike, kind: _Kind) -> None:
        """Count files.

        Parameters
        ----------
        alike : _Alike
        kind : _Kind
            What they are.
        """
        step, sizes = alike
        files, size, have = len(sizes), sum(sizes), len(sizes) * step.have
        self.files += files
        self.bytes += size
        self.here += size if step.action is Action.KEEP else have
        self.partly += files * (step.action is Action.RESUME)
        comes = step.moves and not step.archived and not step.copy_of
        self.to_fetch += max(0, size - have) if comes else 0
        if kind.name and (kind.unit or len(self.names) <= _ROWS):
            self.names[kind.name] = None
        if kind.subject:
            self.subjects[kind.subject] = None
        self.pieces += files * kind.unit

    def join(self, other: Group) -> None:
        """Take in another group."""
        self.files += other.files
        self.bytes += other.bytes
        self.here += other.here
        self.partly += other.partly
        self.to_fetch += other.to_fetch
        self.subjects.update(other.subjects)

    @property
    def label(self) -> str:
        """What is in it, for a reader: the kind, which recordings or names, whose."""
        names = list(self.names)
        if self.pieces and len(names) == 1:
            text = f"{names[0]}/ ({_counted(self.files, 'file')})"
        elif self.pieces:
            text = f"{self.what}/ ({_counted(len(names), 'recording')})"
        elif names:
            text = ", ".join(names[:_NAMES])
            if len(names) > _NAMES:
                text += f" and {self.files - _NAMES:,} more"
        else:
            text = self.what
        whose = "" if self.pieces and len(names) == 1 else compact(self.subjects)
        text = f"{text}: {whose}" if whose else text
        return f"{text}; {self.partly:,} partly here" if self.partly else text


@dataclass(slots=True)
class Section:
    """Files that are in the plan for one reason, or stay out of it for one.

    Parameters
    ----------
    why : str
    groups : list of Group
    steps : list of Step
        All of them, in the order of the plan.
    """

    why: str
    groups: list[Group]
    steps: list[Step]


class _Kind(NamedTuple):
    """What a path says of a file."""

    what: str
    subject: str
    name: str
    """Of a file that is no kind of data, or of the recording that it is a piece of."""
    unit: bool


class _Alike(NamedTuple):
    """The sizes of files of one kind, folder and reason, for which the same is done."""

    step: Step
    """Of one of them."""
    sizes: list[int]


def sections(steps: Iterable[Step]) -> list[Section]:
    """Return the steps of a plan in sections: what is fetched or here first.

    Parameters
    ----------
    steps : iterable of Step
    """
    found: dict[tuple[int, str], tuple[list[_Alike], list[Step]]] = {}
    seen: dict[tuple[object, ...], dict[str, list[int]]] = {}
    before = twin = None
    for step in steps:
        want = step.want
        folder, _, name = want.path.rpartition("/")
        if folder != before or twin is None or not step.is_twin(twin):
            before, twin = folder, step
            reason, of_subject = _reason(step), bool(_place(folder).subject)
            alike, mine = found.setdefault(reason, ([], []))
            by_end = seen.setdefault(
                (reason, step.action, step.have, bool(step.copy_of), folder), {}
            )
        mine.append(step)
        # Of a subject's files, a folder and the end of the name tell the kind.
        end = name.rpartition("_")[2] if of_subject and name[:4] == "sub-" else name
        sizes = by_end.get(end)
        if sizes is None:
            sizes = by_end[end] = []
            alike.append(_Alike(step, sizes))
        sizes.append(want.remote.size or 0)
    ordered = sorted(found.items(), key=lambda one: one[0][0])
    made = [Section(why, _few(_grouped(alike)), mine) for (_, why), (alike, mine) in ordered]
    return _few_sections(made)


def sections_by_ending(steps: Iterable[Step]) -> list[Section]:
    """Return the steps of a long plan in sections, with their kinds by the ends of names alone.

    It takes a small part of the time of `sections`. The sections do not hold their steps.

    Parameters
    ----------
    steps : iterable of Step
    """
    sizes: dict[tuple[int, int, str], dict[str, list[int]]] = {}
    first: dict[tuple[int, int, str], Step] = {}
    for step in steps:
        want, kind = step.want, step.kind
        if kind not in sizes:
            sizes[kind], first[kind] = {}, step
        path = want.path
        end = path[max(path.rfind("_"), path.rfind("/")) + 1 :]
        if end[:4] == "sub-":
            end = f"*{end[end.find('.') :]}"
        by_end = sizes[kind]
        if end in by_end:
            by_end[end].append(want.remote.size or 0)
        else:
            by_end[end] = [want.remote.size or 0]
    found: dict[tuple[int, str], dict[str, Group]] = {}
    for kind, by_end in sizes.items():
        step = first[kind]
        groups = found.setdefault(_reason(step), {})
        for end, some in by_end.items():
            groups.setdefault(end, Group(end)).add(_Alike(step, some), _Kind(end, "", "", False))
    ordered = sorted(found.items(), key=lambda one: one[0][0])
    return _few_sections([Section(why, _few(some), []) for (_, why), some in ordered])


def _grouped(every: Iterable[_Alike]) -> dict[str, Group]:
    """Return files by their kind."""
    groups: dict[str, Group] = {}
    for alike in every:
        kind = _kind_of(alike.step.want.path)
        if kind.what not in groups:
            groups[kind.what] = Group(kind.what)
        groups[kind.what].add(alike, kind)
    return groups


def _few(groups: dict[str, Group]) -> list[Group]:
    """Return the groups, the largest ones where they are many, and one of the others."""
    every = list(groups.values())
    if len(every) <= _ROWS:
        return every
    largest = sorted(every, key=lambda one: (-one.bytes, -one.files, one.what))[: _ROWS - 1]
    kept = {one.what for one in largest}
    rest = Group(f"{len(every) - len(kept):,} other kinds")
    for group in every:
        if group.what not in kept:
            rest.join(group)
    return [*(group for group in every if group.what in kept), rest]


def _few_sections(every: list[Section]) -> list[Section]:
    if len(every) <= _SECTIONS:
        return every
    rest = Group("files")
    steps: list[Step] = []
    for section in every[_SECTIONS - 1 :]:
        steps += section.steps
        for group in section.groups:
            rest.join(group)
    reasons = len(every) - _SECTIONS + 1
    return [*every[: _SECTIONS - 1], Section(f"{reasons:,} other reasons", [rest], steps)]


def _reason(step: Step) -> tuple[int, str]:
    if step.action is Action.REFUSE:
        return 2, f"withheld: {step.reason}"
    if step.action is Action.LEAVE:
        return 3, "cannot be kept"  # each of these is named with its reason below the sums
    if step.archived:
        return 1, f"{step.want.why}; archived ({step.want.remote.storage_class})"
    return 0, step.want.why


def _kind_of(path: str) -> _Kind:
    folder, _, name = path.rpartition("/")
    place = _place(folder)
    if place.unit:
        kind = _kind_of_name(place.unit.rpartition("/")[2], place.where)
        return _Kind(kind or _any(place.unit, place.where), place.subject, place.unit, True)
    subject = place.subject or (found[1] if (found := _SUBJECT.match(name)) else "")
    kind = _kind_of_name(name, place.where)
    if kind:
        return _Kind(kind, subject, "", False)
    if not place.where and not subject:
        return _Kind(".", "", name, False)
    return _Kind(_any(name, place.where), subject, "", False)


class _Place(NamedTuple):
    """What the folders of a file say."""

    unit: str
    where: str
    subject: str


@lru_cache(4096)
def _place(folder: str) -> _Place:
    unit = unit_of(f"{folder}/.")
    above = unit.rpartition("/")[0] if unit else folder
    where = "/".join(part for part in above.split("/") if not _is_level(part))
    found = _SUBJECT.search(folder)
    return _Place(unit, where, found[1] if found else "")


def _kind_of_name(name: str, where: str) -> str:
    """Return the kind of data that a BIDS name tells; "" where it is none."""
    head, _, end = name.rpartition("_")
    suffix, dot, extension = end.partition(".")
    if not suffix or "-" in suffix or "-" not in head.partition("_")[0]:
        return ""
    return f"{where}/{suffix}{dot}{extension}" if where else f"{suffix}{dot}{extension}"


def _any(name: str, where: str) -> str:
    """Return the kind of a file that has no BIDS name: its folder, and its extension."""
    dot, extension = name.rpartition(".")[1:]
    ending = f"*.{extension}" if dot and not name.startswith(".") else "*"
    return f"{where}/{ending}" if where else ending


def _is_level(part: str) -> bool:
    """Whether a folder is a subject's or a session's: what differs between files of a kind."""
    return part.startswith(("sub-", "ses-"))


def compact(labels: Iterable[str]) -> str:
    """Return labels for a reader: all where they are few, else the first, the last, and how many.

    Examples
    --------
    >>> compact(["sub-02", "sub-01"]), compact(f"sub-{n}" for n in range(1, 21))
    ('sub-01, sub-02', 'sub-1 … sub-20 (20)')
    """
    every = sorted(set(labels), key=_natural)
    if len(every) <= _NAMES:
        return ", ".join(every)
    return f"{every[0]} … {every[-1]} ({len(every):,})"


def _natural(label: str) -> list[tuple[bool, int, str]]:
    """Return what labels are sorted by: numbers in them as numbers."""
    parts = _DIGITS.split(label)
    return [(odd, int(part) if odd else 0, part) for odd, part in zip(cycle((False, True)), parts)]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
