"""Every error that neurofetch raises, in one tree."""

from __future__ import annotations

import errno
import traceback
from typing import Any

from neurofetch._shown import shown_lines

__all__ = [
    "CacheWarning",
    "ConfigError",
    "CredentialsError",
    "DestinationError",
    "DiskFullError",
    "FaultError",
    "FolderGivenError",
    "InterruptedTransferError",
    "LockFileError",
    "MissingBucketError",
    "MissingExtraError",
    "MissingRemoteError",
    "NetworkAwayError",
    "NeurofetchError",
    "NothingMatchedError",
    "OfflineError",
    "OtherDatasetError",
    "OutputError",
    "ProtocolError",
    "ReadOnlyError",
    "RefusedError",
    "RemoteChangedError",
    "SchedulerError",
    "SelectionWarning",
    "ServerError",
    "TransientError",
    "UnknownArgumentError",
    "UnknownValueError",
    "UnreachableError",
    "UnsafeNameError",
    "UnsupportedPlatformError",
    "UsageError",
    "VerificationError",
    "WrongTypeError",
]


_LINES = 60
"""Of a message, in a notebook."""
_OURS = ("neurofetch", "laion_fmri")


def _brief(error: BaseException) -> list[str]:
    """Return what is said of an error, and the lines of the user's own code that led to it."""
    lines = shown_lines(str(error)).split("\n")
    if len(lines) > _LINES:
        more = f"… and {len(lines) - _LINES:,} more lines: print the error to read them all"
        lines = [*lines[:_LINES], more]
    told = [f"\x1b[31m{type(error).__name__}\x1b[39m: {lines[0]}", *lines[1:]]
    own = _own_lines(error)
    return [*told, *(["", *own] if own else []), "", "(%tb shows the whole traceback)"]


def _own_lines(error: BaseException) -> list[str]:
    own = []
    for frame, number in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _OURS:
            break
        if package == "IPython":
            continue
        name = frame.f_code.co_name
        summary = traceback.FrameSummary(frame.f_code.co_filename, number, name)
        where = "the cell" if name.startswith("<") else f"{name}()"
        own.append(f"in {where}, line {number}: {shown_lines(summary.line or '?')}")
    return own[-3:]


class NeurofetchError(Exception):
    """The root of all errors of this package.

    ::

        NeurofetchError
        ├── UsageError (ValueError)              what was asked for cannot be done
        │   ├── UnknownArgumentError (TypeError) a keyword that the function does not take
        │   ├── WrongTypeError (TypeError)       a value of a kind that cannot be meant
        │   ├── UnknownValueError                no such subject, session, task, …
        │   ├── NothingMatchedError (LookupError) the filters leave nothing
        │   ├── ConfigError                      a setting or environment variable is wrong
        │   │   └── CredentialsError             the credentials that were named cannot be had
        │   ├── OtherDatasetError                the data directory is of another data set
        │   ├── LockFileError                    a lock file that cannot be used
        │   ├── MissingExtraError (ImportError)  a library of an extra is not installed
        │   ├── FolderGivenError (IsADirectoryError) a folder where a file is due
        │   ├── ReadOnlyError (PermissionError)  nothing is written to a server
        │   └── UnsafeNameError                  a key that cannot be a local file name
        ├── DestinationError (OSError)           the data directory cannot take files
        │   └── DiskFullError                    errno ENOSPC
        ├── ServerError (OSError)                the server, or the way to it
        │   ├── UnreachableError (ConnectionError)   no response at all
        │   │   ├── NetworkAwayError             the network was away for too long
        │   │   └── OfflineError                 the network is not to be used
        │   ├── TransientError (ConnectionError)     worth another attempt
        │   ├── ProtocolError                    a response that cannot be used
        │   ├── MissingBucketError (FileNotFoundError)
        │   ├── MissingRemoteError (FileNotFoundError)   404
        │   ├── RefusedError (PermissionError)   401, 403, 407, 451
        │   └── RemoteChangedError               the object changed while it was fetched
        ├── VerificationError (ValueError)       wrong bytes, or too few
        │   ├── neurovault.DamagedVolumeError    no whole NIfTI volume
        │   └── neurovault.TornRecordError       a metadata file that is not whole
        ├── IncompleteError (RuntimeError)       at the end, something asked for is missing
        ├── OutputError (OSError)                a result cannot be printed
        ├── UnsupportedPlatformError (ImportError)   the system is Windows
        ├── SchedulerError (RuntimeError)    the batch system took no job
        ├── FaultError (RuntimeError)            a fault of this program: please report it
        └── InterruptedTransferError (RuntimeError)  stopped on request; partials are kept
    """

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows: what happened first, and little else.

        IPython asks for them. Asked again (by ``%tb``), all of the traceback is returned.
        """
        if self.__dict__.get("_was_shown"):
            return traceback.format_exception(self)
        self.__dict__["_was_shown"] = True
        return _brief(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # As inherited, but said here: what pickles exceptions for Dask (tblib) takes one without it
        # for an exception that cannot be made by its arguments.
        reduced: Any = super().__reduce__()
        return tuple(reduced)


class UsageError(NeurofetchError, ValueError):
    """What was asked for cannot be done; nothing was fetched."""


class UnknownArgumentError(UsageError, TypeError):
    """A keyword that the function does not take (the message has the nearest that it does)."""


class WrongTypeError(UsageError, TypeError):
    """A value of a kind that cannot be meant, such as a number where a path is due."""


class UnknownValueError(UsageError):
    """A filter names a value that does not exist (the message lists the nearest that do)."""


class NothingMatchedError(UsageError, LookupError):
    """All values exist, but no file has all of them."""


class ConfigError(UsageError):
    """A setting or an environment variable is wrong."""


class CredentialsError(ConfigError):
    """The credentials that were named cannot be had: no such profile, no whole key, a login over.

    The message names the profile, and never shows a key.
    """


class OtherDatasetError(UsageError):
    """The data directory is of another data set, and nobody asked for two in one."""


class LockFileError(UsageError):
    """A lock file that cannot be used: it is damaged, edited, no lock, or of a newer version."""


class MissingExtraError(UsageError, ImportError):
    """A library that a call needs is not installed; nothing was asked or fetched.

    Parameters
    ----------
    message : str
        With the command that installs it.
    name : str
        The library.
    extra : str
        The extra of this package that brings it.
    """

    def __init__(self, message: str, *, name: str = "", extra: str = "") -> None:
        super().__init__(message)
        self.name: str = name
        self.extra = extra

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.args, {"name": self.name, "extra": self.extra})


class FolderGivenError(UsageError, IsADirectoryError):
    """The URL of a folder, or of a whole bucket, where one file is opened."""


class ReadOnlyError(UsageError, PermissionError):
    """Something was to be written or removed on a server: this package only reads."""


class UnsafeNameError(UsageError):
    """A key that cannot be used as a local file name."""


class DestinationError(NeurofetchError, OSError):
    """The data directory is missing, is a file, or cannot be written."""


class DiskFullError(DestinationError):
    """The bytes still to come do not fit on the disk."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno: int | None = errno.ENOSPC


class ServerError(NeurofetchError, OSError):
    """The server, or the way to it, failed.

    Attributes
    ----------
    advice : str
        What the reader can do, where that is known and not in the message. It is the same for all
        files of a kind, so that a report of many gives it once.
    """

    advice: str = ""


class UnreachableError(ServerError, ConnectionError):
    """No connection, or no response, after all attempts."""


class NetworkAwayError(UnreachableError):
    """Nothing came from a server for as long as the patience lasts.

    Parameters
    ----------
    message : str
    everywhere : bool
        Whether nothing came from any other server either.
    """

    def __init__(self, message: str, *, everywhere: bool = True) -> None:
        super().__init__(message)
        self.everywhere = everywhere


class OfflineError(UnreachableError):
    """The network is not to be used (``--offline``, ``NEUROFETCH_OFFLINE``), but is needed."""


class TransientError(ServerError, ConnectionError):
    """A failure that may not happen again at the next attempt.

    Parameters
    ----------
    message : str
        What happened.
    retry_after : float, optional
        Seconds that the server asked to wait (its ``Retry-After`` header).
    advice : str, optional
        What the reader can do.

    Attributes
    ----------
    progress : int
        Bytes that the attempt brought and that are kept: the next one goes on behind them.
    throttled : bool
        Whether the server said that it is asked too often, or for too much at once.
    """

    def __init__(self, message: str, retry_after: float | None = None, advice: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.advice = advice
        self.progress = 0
        self.throttled = False


class ProtocolError(ServerError):
    """A response that cannot be used."""


class MissingBucketError(ServerError, FileNotFoundError):
    """The bucket does not exist at this endpoint."""


class MissingRemoteError(ServerError, FileNotFoundError):
    """The server does not have this object (404)."""


class RefusedError(ServerError, PermissionError):
    """The server, or something on the way to it, refuses (401, 403, 407, 451, 511).

    Parameters
    ----------
    message : str
        What was refused, and how.
    advice : str, optional
        What the reader can do.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class RemoteChangedError(ServerError):
    """The object changed on the server while it was being fetched."""


class VerificationError(NeurofetchError, ValueError):
    """The bytes that arrived do not match the server's checksum, ETag or size."""


class OutputError(NeurofetchError, OSError):
    """What a command was to print on its output cannot be written; its work is done."""


class UnsupportedPlatformError(NeurofetchError, ImportError):
    """The package does not run on this system."""


class SchedulerError(NeurofetchError, RuntimeError):
    """The batch system is not here, or took no job; the message has what it said."""


class FaultError(NeurofetchError, RuntimeError):
    """A fault of this program, found by itself: nothing that you did, and no data are lost."""

    def _render_traceback_(self) -> list[str]:
        return traceback.format_exception(self)  # where it happened is what matters


class InterruptedTransferError(NeurofetchError, RuntimeError):
    """The transfer was stopped on request; finished parts are kept for the next run."""


class CacheWarning(UserWarning):
    """The cache of opened files is of no use now, or what is read comes from it alone."""


class SelectionWarning(UserWarning):
    """What you get differs from what you may have meant: the plan's notes, and what is withheld."""
