"""With which number a process ends that an error ended."""

from __future__ import annotations

from neurofetch import errors
from neurofetch.model import IncompleteError

__all__ = ["exit_of"]

_FAULT, _USAGE, _NOTHING_MATCHED, _INCOMPLETE, _SERVER, _DISK = 1, 2, 3, 4, 6, 7
_INTERRUPTED, _TERMINATED = 130, 143
_TABLE: tuple[tuple[type[BaseException], int], ...] = (
    (errors.UnknownValueError, _NOTHING_MATCHED),
    (errors.NothingMatchedError, _NOTHING_MATCHED),
    (errors.UsageError, _USAGE),
    (errors.UnreachableError, _SERVER),  # also one that is an IncompleteError
    (IncompleteError, _INCOMPLETE),
    (errors.VerificationError, _INCOMPLETE),
    (errors.DestinationError, _DISK),
    (errors.OutputError, _DISK),
    (errors.ServerError, _SERVER),
    (errors.FaultError, _FAULT),
    (errors.NeurofetchError, _USAGE),
    (OSError, _DISK),  # a name that is too long, an output that takes no more
    (KeyboardInterrupt, _INTERRUPTED),
)


def exit_of(error: BaseException) -> int | None:
    """Return the exit code of a command that ends with this error; None for a fault.

    Parameters
    ----------
    error : BaseException

    Examples
    --------
    >>> exit_of(errors.UnreachableError("no way to it"))
    6
    """
    found = next((code for kind, code in _TABLE if isinstance(error, kind)), None)
    return found if found is not None or isinstance(error, Exception) else _TERMINATED
