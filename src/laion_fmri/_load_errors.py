"""What can be wrong with the files that the loader reads, or with what was asked of it."""

from __future__ import annotations

from neurofetch import UnknownValueError, VerificationError

__all__ = [
    "BadDataError",
    "CorruptFileError",
    "GridMismatchError",
    "NotFiniteError",
    "TrialMismatchError",
    "UnknownRoiError",
]


class BadDataError(VerificationError):
    """A file on disk is not what it should be.

    ::

        BadDataError (ValueError)
        ├── CorruptFileError (OSError)   damaged gzip, cut short, no NIfTI header
        ├── GridMismatchError            another shape or affine than the brain mask's
        ├── TrialMismatchError           the rows of trials.tsv are not the volumes
        └── NotFiniteError               NaN or infinite values where numbers are due

    Parameters
    ----------
    path : str
        The file.
    problem : str
        What is wrong with it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = str(path)
        self.problem = problem

    def __reduce__(self) -> tuple[type[BadDataError], tuple[str, str]]:
        return (type(self), (self.path, self.problem))


class CorruptFileError(BadDataError, OSError):
    """The bytes are damaged or end too early."""


class GridMismatchError(BadDataError):
    """A volume lies on another grid than the one it is to be used with."""


class TrialMismatchError(BadDataError):
    """A trials.tsv does not describe the volumes beside it."""


class NotFiniteError(BadDataError):
    """NaN or infinite values inside the voxels that were asked for."""


class UnknownRoiError(UnknownValueError):
    """No ROI and no category of that name is on disk (the message lists the nearest)."""
