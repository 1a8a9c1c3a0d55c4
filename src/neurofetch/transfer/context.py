"""What all threads of one transfer share: frozen tools; and how a file gets its final name."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch._shown import shown
from neurofetch.errors import (
    DiskFullError,
    FaultError,
    MissingRemoteError,
    NeurofetchError,
    ServerError,
    TransientError,
)
from neurofetch.model import Outcome, Receipt, Status, Step, VerificationLevel
from neurofetch.sources.ask import ask
from neurofetch.store.atomic import write_all
from neurofetch.store.directory import FULL
from neurofetch.store.partials import name_of
from neurofetch.transfer.etags import Etags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from neurofetch.integrity.verification import Verified
    from neurofetch.model import RemoteFile, Want
    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import Attempts
    from neurofetch.sources.source import Source
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.partials import Partials, Temporary
    from neurofetch.store.receipts import Journal
    from neurofetch.transfer.options import Inspect, Options
    from neurofetch.transfer.schedule import Schedule
    from neurofetch.transfer.tally import Tally

__all__ = ["FOLDER_GONE", "Buffers", "LostTemporaryError", "TransferContext"]

_FILE_GONE = "its temporary file was removed by another process"
FOLDER_GONE = "the folder of its temporary file was removed by another process"


class LostTemporaryError(TransientError):
    """Another process removed a temporary file: it took this run for dead. To be fetched again."""


class Buffers:
    """Lends buffers: there are as many as are in use at once, and no more."""

    def __init__(self) -> None:
        self._free: dict[int, deque[memoryview]] = {}

    @contextlib.contextmanager
    def lend(self, size: int) -> Iterator[memoryview]:
        """Lend a buffer of `size` bytes."""
        free = self._free.setdefault(size, deque())
        try:
            view = free.pop()
        except IndexError:
            view = _new_buffer(size)
        try:
            yield view
        finally:
            free.append(view)


def _new_buffer(size: int) -> memoryview:
    try:
        return memoryview(bytearray(size))
    except MemoryError as error:  # others give theirs back, and then it is tried again
        msg = f"no memory is left in this process for a buffer of {size:,} bytes"
        raise TransientError(msg) from error


@dataclass(frozen=True, slots=True)
class TransferContext:
    """The tools of one transfer. What changes is in `tally`, and what is next in `schedule`.

    Parameters
    ----------
    directory : DataDirectory
    journal : Journal
    partials : Partials
    client : Client
    source : Source
    attempts : Attempts
    options : Options
    inspect : Inspect or None
    schedule : Schedule
    tally : Tally
    """

    directory: DataDirectory
    journal: Journal
    partials: Partials
    client: Client
    source: Source
    attempts: Attempts
    options: Options
    inspect: Inspect | None
    schedule: Schedule
    tally: Tally
    buffers: Buffers = field(default_factory=Buffers)
    etags: Etags = field(default_factory=Etags)

    # -- asking ------------------------------------------------------------------------------

    def ask(self, remote: RemoteFile, headers: Mapping[str, str]) -> Response:
        """Ask for a file, at an address that holds; the response is a success.

        Raises
        ------
        ServerError
            What an unsuccessful response stands for.
        """
        return ask(self.client, self.source, remote, headers)

    def fetched_elsewhere(self, step: Step, before: int | None) -> Outcome | None:
        """Return the outcome of a file that another process put in its place since the plan.

        Parameters
        ----------
        step : Step
        before : int or None
            Modification time in nanoseconds that the survey saw; None where it saw no file.
        """
        want = step.want
        info = self.directory.look(want.path)
        if info is None or info.st_mtime_ns == before:
            return None
        if want.remote.size not in (None, info.st_size) and self.inspect is None:
            return None
        reason = "another process fetched it meanwhile"
        return Outcome(
            want.path,
            want.remote.key,
            Status.KEPT,
            reason,
            info.st_size,
            verification=VerificationLevel.SIZE,
        )

    # -- the end of a file -------------------------------------------------------------------

    def settle(self, step: Step, temporary: Temporary, verified: Verified) -> tuple[Verified, int]:
        """Give a verified file its final name, and write the receipt.

        Parameters
        ----------
        step : Step
        temporary : Temporary
            The file, open; it stays open.
        verified : Verified

        Returns
        -------
        tuple of (Verified, int)
            How it was verified, and the bytes of the file.
        """
        want = step.want
        if self.inspect is not None:
            verified = self._inspected(self.inspect, temporary, step, verified)
        os.fsync(temporary.fd)
        info = self._put(temporary, want.path)
        self.journal.append(
            Receipt(
                want.path,
                want.remote.key,
                want.remote.etag or "",
                info.st_size,
                info.st_mtime_ns,
                verified.verification,
                verified.digest,
                time.time(),
                want.remote.listed,
            )
        )
        self.etags.note(want.remote, verified)
        return verified, info.st_size

    @staticmethod
    def _inspected(
        inspect: Inspect, temporary: Temporary, step: Step, verified: Verified
    ) -> Verified:
        """Take the deeper look at a file, which may write it anew."""
        try:
            level = inspect(temporary.path, step.want)
            temporary.reopen()
        except FileNotFoundError as error:
            raise LostTemporaryError(f"{step.want.path}: {_FILE_GONE}") from error
        weak = (VerificationLevel.SIZE, VerificationLevel.NONE)
        if level is not None and verified.verification in weak:
            return verified._replace(verification=level)
        return verified

    def _put(self, temporary: Temporary, path: str) -> os.stat_result:
        """Give it its name; return what the system says of the file."""
        info = os.fstat(temporary.fd)
        try:
            self.directory.put(temporary, path)
        except FileNotFoundError as error:
            raise LostTemporaryError(f"{path}: {_FILE_GONE}") from error
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._put_across(temporary, path, error)
        return info

    def _put_across(self, temporary: Temporary, path: str, error: OSError) -> os.stat_result:
        """Give it its name in a folder that turned out to be on another file system."""
        copy = self.partials.elsewhere(name_of(path), path)
        if copy is None:
            raise error
        copy.open()
        try:
            for block in temporary.blocks():
                write_all(copy.fd, block)
            info = os.fstat(temporary.fd)
            os.utime(copy.fd, ns=(info.st_atime_ns, info.st_mtime_ns))
            os.fsync(copy.fd)
            info = os.fstat(copy.fd)  # some file systems keep even seconds only
            self.directory.put(copy, path)
        except BaseException:
            copy.discard()
            raise
        copy.close()
        temporary.folder.remove(temporary.name)
        return info

    def failure(self, step: Step, error: BaseException, seconds: float) -> Outcome:
        """Return the outcome of a file that could not be had; some causes end the whole transfer.

        A file that the server refuses has failed: it was asked for and is not here. Only what
        the dataset's owners keep back, as the plan says, is no failure.
        """
        status = Status.FAILED
        if isinstance(error, MissingRemoteError) and step.want.optional:
            status = Status.REFUSED
        if isinstance(error, OSError) and error.errno in FULL:
            error = DiskFullError(
                f"the disk of {self.directory.root} is full. What was finished is in its place, "
                "what was not is kept for resuming. Free some space, then run the same call again."
            )
            self.tally.end_all(error)
        elif isinstance(error, FaultError) or not isinstance(error, NeurofetchError | OSError):
            self.tally.end_all(error)  # a fault of our own: to be seen, not to be counted
        advice = error.advice if isinstance(error, ServerError) else ""
        return Outcome(
            step.want.path,
            step.want.remote.key,
            status,
            shown(self._reason(step.want, error)),
            seconds=seconds,
            advice=advice,
        )

    def _reason(self, want: Want, error: BaseException) -> str:
        """Say why a file could not be had; what the system says names a temporary file."""
        if isinstance(error, NeurofetchError) or not isinstance(error, OSError):
            return want.said(error)
        return (
            f"it could not be written below {self.directory.root}: {error.strerror or error}. See "
            "who may write there, and whether the disk is well; then run the same call again."
        )
