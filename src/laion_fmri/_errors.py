"""The errors of this face. Each is a `neurofetch.NeurofetchError` and the built-in one expects."""

from __future__ import annotations

from neurofetch import NeurofetchError, NothingMatchedError, ServerError, UnknownValueError

__all__ = [
    "AccessError",
    "AccessRevokedError",
    "DataDirNotSetError",
    "DataNotDownloadedError",
    "LicenseNotAcceptedError",
    "NoMatchingDataError",
    "StimuliNotDownloadedError",
    "SubjectNotFoundError",
    "TermsNotAcceptedError",
    "TermsOutdatedError",
    "UnknownRequestError",
]


class DataDirNotSetError(NeurofetchError, RuntimeError):
    """No data directory was chosen yet."""


class DataNotDownloadedError(NeurofetchError, FileNotFoundError):
    """A file is needed that was not downloaded; the message says which call brings it."""


class StimuliNotDownloadedError(DataNotDownloadedError):
    """The stimuli are needed and were not downloaded."""


class SubjectNotFoundError(UnknownValueError):
    """There is no such subject (a `ValueError`); the message lists those that exist."""


class NoMatchingDataError(NothingMatchedError):
    """The filters leave nothing (a `LookupError` and a `ValueError`)."""


class LicenseNotAcceptedError(NeurofetchError, RuntimeError):
    """The licence of the data was not accepted for this data directory."""


class TermsNotAcceptedError(LicenseNotAcceptedError):
    """The terms of the stimuli were not accepted: consent is never given by a default."""


class AccessError(ServerError):
    """The access service of the stimuli cannot be reached, or refuses."""


class TermsOutdatedError(AccessError):
    """Other terms were accepted than those that hold now."""


class AccessRevokedError(AccessError):
    """The owners of the stimuli took the access back."""


class UnknownRequestError(AccessError):
    """The access service does not know the request id."""
