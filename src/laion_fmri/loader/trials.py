"""The trial tables: one row per beta volume, in the order of the volumes."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Literal

import numpy as np

from laion_fmri.errors import BadDataError, TrialMismatchError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    StimulusKind = Literal["shared", "unique"]

__all__ = ["COLUMNS", "Trials", "read_trials", "whole"]

COLUMNS = ("session", "run", "beta_index", "label")


class Trials:
    """A trials.tsv that has been checked.

    Parameters
    ----------
    path : pathlib.Path
    columns : dict of str to list of str
        As in the file, but sorted by ``beta_index``.
    """

    def __init__(self, path: Path, columns: dict[str, list[str]]) -> None:
        self.path = path
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["label"])

    def check(self, volumes: int, betas: Path | str) -> None:
        """Raise `TrialMismatchError` unless there is a row for each volume."""
        if len(self) != volumes:
            problem = f"has {len(self)} rows, but {betas} has {volumes} volumes"
            raise TrialMismatchError(str(self.path), problem)

    def of(self, stimuli: str) -> NDArray[np.intp]:
        """Return the numbers of the trials with shared, or with unique, stimuli.

        Raises
        ------
        ValueError
            If `stimuli` is neither ``"shared"`` nor ``"unique"``.
        TrialMismatchError
            If a label begins with neither ``shared_`` nor ``unique_``.
        """
        if stimuli not in ("shared", "unique"):
            raise ValueError(f"stimuli={stimuli!r}: expected 'shared', 'unique', or None for all.")
        for row, label in enumerate(self.columns["label"]):
            if not label.startswith(("shared_", "unique_")):
                problem = (
                    f"row {row + 1}: the label {label!r} begins with neither shared_ nor unique_"
                )
                raise TrialMismatchError(str(self.path), problem)
        chosen = [label.startswith(stimuli + "_") for label in self.columns["label"]]
        return np.flatnonzero(chosen)


def read_trials(path: Path) -> Trials:
    """Read and check a trials.tsv.

    Raises
    ------
    BadDataError
        If it is not a table, or lacks a column.
    TrialMismatchError
        If its ``beta_index`` does not count the volumes 0, 1, 2, ….
    """
    try:
        # utf-8-sig: a spreadsheet may have added a byte order mark to the first column's name.
        with open(path, newline="", encoding="utf-8-sig") as file:
            head, *rows = [line for line in csv.reader(file, delimiter="\t") if line] or [[]]
    except (UnicodeDecodeError, csv.Error, ValueError) as exc:
        raise BadDataError(str(path), f"is not a table of tab-separated values ({exc})") from exc
    if "label" not in head:  # the name of older tables
        head = ["label" if name == "stimulus_id" else name for name in head]
    absent = [name for name in COLUMNS if name not in head]
    if absent:
        raise BadDataError(str(path), f"lacks the columns {', '.join(absent)}; it has {head}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(head):
            problem = f"row {number} has {len(row)} values, but the header has {len(head)}"
            raise BadDataError(str(path), problem)
    column = head.index("beta_index")
    try:
        for row in rows:
            row[column] = str(whole(row[column]))
        rows.sort(key=lambda row: int(row[column]))
        counted = [int(row[column]) for row in rows] == list(range(len(rows)))
    except (ValueError, OverflowError) as exc:
        raise TrialMismatchError(str(path), f"beta_index holds no number ({exc})") from exc
    if not counted:
        problem = f"beta_index does not count its {len(rows)} volumes 0, 1, 2, …"
        raise TrialMismatchError(str(path), problem)
    return Trials(path, {name: [row[i] for row in rows] for i, name in enumerate(head)})


def whole(text: str) -> int:
    """Return a whole number; tables that went through pandas may have it as 0.0."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number != int(number):
            raise
        return int(number)
