"""Split a plan into parts of about the same work. Pure: the same plan, the same parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from neurofetch.model import Action, Plan, by_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from neurofetch.model import RemoteFile, Step

__all__ = ["Part", "parts_of"]

_FILE = 2 << 20
"""Bytes that could come in the time that a file costs beside its bytes: 500 files weigh 1 GiB."""
_USUAL = 1 << 30
"""Bytes of a part, where nothing speaks for more or less."""
_LEAST = 32 << 20
"""Bytes of a part, at least: to begin one costs a connection and a look at what is here."""
_MOST_PARTS = 256
_ROUNDS = 4
"""Parts for each that may run at once, where there are many bytes: so slow ones are evened out."""


class Part(NamedTuple):
    """A part of a plan, for one task.

    Parameters
    ----------
    plan : Plan
        Some of the steps, in their order.
    weight : int
        Bytes that could come in the time that it takes.
    few : int or None
        How many of its files their server may be asked for at once, over all tasks; None for no
        such bound.
    """

    plan: Plan
    weight: int
    few: int | None = None


def parts_of(
    plan: Plan,
    at_once: int = 1,
    *,
    few: Callable[[RemoteFile], int | None] | None = None,
    kept: bool = False,
) -> list[Part]:
    """Split what a plan moves into parts, each of neighbours and of about the same weight.

    A large plan becomes 64 to 256 parts (more where more than 64 run at once), a small one as many
    as pay. Files of equal content stay together, since one is fetched and the others are copies.

    Parameters
    ----------
    plan : Plan
    at_once : int
        How many parts are carried out at once.
    few : callable, optional
        Says of a file how many of its kind may be asked for at once; None for no bound. Such files
        get parts of their own.
    kept : bool
        Whether the files that are here are to be looked at, too.

    Returns
    -------
    list of Part
        The heaviest first. Each step that moves is in one of them, no other is in any.

    Examples
    --------
    >>> from pathlib import Path
    >>> parts_of(Plan(Path("data"), ()))
    []
    """
    steps = [one for one in plan.steps if one.moves or (kept and one.action is Action.KEEP)]
    bounds = {step.want.path: few(step.want.remote) for step in steps} if few else {}
    found: list[Part] = []
    for bound in sorted({bound for bound in bounds.values() if bound is not None}):
        some = [step for step in steps if bounds[step.want.path] == bound]
        found += _split(plan, some, min(at_once, bound), bound)
    rest = [step for step in steps if bounds.get(step.want.path) is None]
    found += _split(plan, rest, at_once, None)
    return sorted(found, key=lambda part: -part.weight)


def _split(plan: Plan, steps: Sequence[Step], at_once: int, few: int | None) -> list[Part]:
    """Cut the steps where enough have gathered; what is heavy by itself is a part by itself."""
    groups = [
        (numbers, sum(_weight(steps[number]) for number in numbers))
        for numbers in by_content(steps)
    ]
    target = _target(sum(weight for _, weight in groups), at_once)
    found: list[Part] = []
    light: list[int] = []
    weighs = 0
    for numbers, weight in groups:
        if weight >= target:
            found.append(_part(plan, steps, numbers, weight, few))
            continue
        light += numbers
        weighs += weight
        if weighs >= target:
            found.append(_part(plan, steps, light, weighs, few))
            light, weighs = [], 0
    if light:
        found.append(_part(plan, steps, light, weighs, few))
    return found


def _part(
    plan: Plan, steps: Sequence[Step], numbers: Iterable[int], weight: int, few: int | None
) -> Part:
    some = tuple(steps[number] for number in sorted(numbers))
    return Part(Plan(plan.root, some, (), plan.free), weight, few)


def _target(total: int, at_once: int) -> int:
    """Return what a part is to weigh.

    Examples
    --------
    >>> [_target(gib << 30, 8) >> 20 for gib in (0, 1, 8, 100, 1000)]
    [32, 32, 256, 1024, 4000]
    """
    most = max(_MOST_PARTS, _ROUNDS * at_once)
    usual = min(_USUAL, total // (_ROUNDS * at_once))
    return max(_LEAST, usual, total // most)


def _weight(step: Step) -> int:
    """Return the bytes that could come in the time that a step takes."""
    if step.action is Action.KEEP:  # it is read, and that is all
        return (step.want.remote.size or 0) + _FILE // 16
    return step.remaining + _FILE
