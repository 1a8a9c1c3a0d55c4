"""All errors of this package. Each is a `neurofetch.NeurofetchError` and a built-in error too.

`IncompleteError`, which a download raises at its end, is that of neurofetch; it is here so that all
errors can be imported from one place. Servers, disks and wrong arguments raise the errors of
`neurofetch.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofetch.errors import (
    NeurofetchError,
    NothingMatchedError,
    ServerError,
    UnknownValueError,
    UsageError,
    VerificationError,
)
from neurofetch.model import IncompleteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AccessError",
    "AccessRevokedError",
    "BadDataError",
    "CorruptFileError",
    "DataDirNotSetError",
    "DataNotDownloadedError",
    "DataNotFoundError",
    "GridMismatchError",
    "IncompleteError",
    "LicenseNotAcceptedError",
    "MixedMasksError",
    "NoMatchingDataError",
    "NotFiniteError",
    "NotInBucketError",
    "StimuliNotDownloadedError",
    "StoreBuildError",
    "SubjectNotFoundError",
    "TermsNotAcceptedError",
    "TermsOutdatedError",
    "TrialMismatchError",
    "UnknownFilterError",
    "UnknownRequestError",
    "UnknownRoiError",
]


class DataDirNotSetError(NeurofetchError, RuntimeError):
    """No data directory was chosen yet."""


class StoreBuildError(NeurofetchError, OSError):
    """Sessions have no beta store, though one was to be built.

    Parameters
    ----------
    message : str
    problems : dict of str to Exception
        Why, by session (``"sub-03, ses-02"``).
    """

    def __init__(self, message: str, problems: Mapping[str, Exception] | None = None) -> None:
        super().__init__(message)
        self.problems: dict[str, Exception] = dict(problems or {})
        numbers = {getattr(one, "errno", None) for one in self.problems.values()}
        if len(numbers) == 1:  # such as "no space left", of all of them
            self.errno = numbers.pop()

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[StoreBuildError], tuple[str, dict[str, Exception]]]:
        return (type(self), (str(self), self.problems))

    @classmethod
    def of(cls, problems: Sequence[tuple[str, Exception]], total: int) -> StoreBuildError:
        """Return one error for several sessions; each reason is told once."""
        whose: dict[str, list[str]] = {}
        for name, problem in problems:
            whose.setdefault(str(problem), []).append(name)
        built = "; the others are built" if len(problems) < total else ""
        lines = [f"{len(problems)} of {total} sessions have no beta store{built}."]
        lines += [f"  {'; '.join(names)}: {reason}" for reason, names in whose.items()]
        return cls("\n".join(lines), dict(problems))


class DataNotFoundError(NeurofetchError, FileNotFoundError):
    """Data are not there: not on disk (the first below), or not in the bucket (the second).

    ::

        DataNotFoundError (FileNotFoundError)
        ├── DataNotDownloadedError
        │   └── StimuliNotDownloadedError
        └── NoMatchingDataError (LookupError, ValueError)
            ├── UnknownFilterError
            └── NotInBucketError (RuntimeError)
    """


class DataNotDownloadedError(DataNotFoundError):
    """A file that is needed was not downloaded; the message has the call that brings it."""


class StimuliNotDownloadedError(DataNotDownloadedError):
    """The stimuli are needed, and were not downloaded."""


class SubjectNotFoundError(UnknownValueError):
    """There is no such subject (a `ValueError`); the message lists those that exist."""


class NoMatchingDataError(NothingMatchedError, DataNotFoundError):
    """The filters leave nothing."""


class UnknownFilterError(UnknownValueError, NoMatchingDataError):
    """A filter names a value that no file has; the message lists the nearest that exist."""


class NotInBucketError(NoMatchingDataError, RuntimeError):
    """A file that the data set should have is not in the bucket."""


class LicenseNotAcceptedError(NeurofetchError, RuntimeError):
    """The licence of the data was not accepted for this data directory."""


class TermsNotAcceptedError(LicenseNotAcceptedError):
    """The terms of the stimuli were not accepted; there is no default for this consent."""


class AccessError(ServerError, RuntimeError):
    """The access service of the stimuli cannot be reached, or refuses."""


class TermsOutdatedError(AccessError):
    """The terms that were accepted are no longer in force.

    Parameters
    ----------
    message : str
    accept_url : str
        Where the terms in force can be read and accepted.
    terms_version : str
        Their version.
    """

    def __init__(self, message: str, accept_url: str = "", terms_version: str = "") -> None:
        super().__init__(message)
        self.accept_url: str = accept_url
        self.terms_version: str = terms_version

    def __reduce__(self) -> tuple[type[TermsOutdatedError], tuple[str, str, str]]:
        return (type(self), (str(self), self.accept_url, self.terms_version))


class AccessRevokedError(AccessError):
    """The owners of the stimuli revoked the access."""


class UnknownRequestError(AccessError):
    """The access service does not know the request id."""


class BadDataError(VerificationError):
    """A file on disk is not what it should be.

    ::

        BadDataError (ValueError)
        ├── CorruptFileError (OSError)   damaged gzip, truncated, no NIfTI header
        ├── GridMismatchError            another shape or affine than the brain mask's, another mask
        ├── TrialMismatchError           the rows of trials.tsv do not match the volumes
        └── NotFiniteError               NaN or infinite values, where they are to be an error

    Parameters
    ----------
    path : str
        The file.
    problem : str
        What is wrong with it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path: str = str(path)
        self.problem = problem

    def __reduce__(self) -> tuple[type[BadDataError], tuple[str, str]]:
        return (type(self), (self.path, self.problem))


class CorruptFileError(BadDataError, OSError):
    """The file is damaged, or ends too early."""


class GridMismatchError(BadDataError):
    """A volume has another grid than the file that it is used with."""


class MixedMasksError(UsageError):
    """Values over the voxels of two brain masks were computed with each other."""


class TrialMismatchError(BadDataError):
    """A trials.tsv does not match the volumes next to it."""


class NotFiniteError(BadDataError):
    """There are NaN or infinite values in the voxels that were asked for."""


class UnknownRoiError(UnknownValueError):
    """No ROI and no category of that name is on disk (the message lists the nearest)."""
