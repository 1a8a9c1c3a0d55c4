"""What a plan says beside its files: told as warnings to whoever calls from Python.

The commands print the same things with the plan, and mute these warnings.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING

from neurofetch.errors import SelectionWarning
from neurofetch.model import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurofetch.model import Plan

__all__ = ["warn_of_notes"]


def warn_of_notes(plan: Plan, stacklevel: int = 2) -> None:
    """Warn of each note of a plan, and of the files that are withheld, by reason.

    Parameters
    ----------
    plan : Plan
    stacklevel : int
        2 is the line that called the caller of this.

    Warns
    -----
    SelectionWarning
    """
    for text in dict.fromkeys(_texts(plan)):
        warnings.warn(text, SelectionWarning, stacklevel=stacklevel + 1)


def _texts(plan: Plan) -> Iterator[str]:
    yield from plan.notes
    reasons = Counter(step.reason for step in plan.of(Action.REFUSE))
    for reason, number in reasons.items():
        yield f"withheld: {number:,} file{'' if number == 1 else 's'}: {reason}"
