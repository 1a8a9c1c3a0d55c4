"""What all threads of one transfer share: frozen tools; and how a file failed."""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from neurofetch._shown import shown
from neurofetch.errors import (
    DiskFullError,
    FaultError,
    MissingRemoteError,
    NetworkAwayError,
    NeurofetchError,
    ServerError,
    TransientError,
    VerificationError,
)
from neurofetch.model import Outcome, Status, Step, VerificationLevel, same_time
from neurofetch.sources.ask import ask
from neurofetch.sources.mirrors import ManyPlaces
from neurofetch.store.directory import FULL
from neurofetch.store.others import in_the_way
from neurofetch.transfer.etags import Etags
from neurofetch.transfer.settler import FILE_GONE, LostTemporaryError

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
    from neurofetch.transfer.settler import Settler
    from neurofetch.transfer.tally import Tally

__all__ = ["FOLDER_GONE", "UNKEPT", "Buffers", "TransferContext"]

UNKEPT = "Files that cannot be kept under their names can be left out with --exclude (or exclude=)."
FOLDER_GONE = "the folder of its temporary file was removed by another process"
_GONE = (
    "Files that the server lists and does not have (404) may have been removed a moment ago: run "
    "the same call again later. If they stay away, tell the owners of the data, or leave them out."
)


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
    few_attempts : Attempts
        Where the same bytes are to be had at another place.
    options : Options
    inspect : Inspect or None
    schedule : Schedule
    settler : Settler
    tally : Tally
    """

    directory: DataDirectory
    journal: Journal
    partials: Partials
    client: Client
    source: Source
    attempts: Attempts
    few_attempts: Attempts
    options: Options
    inspect: Inspect | None
    schedule: Schedule
    settler: Settler
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

        One of another data set stays, and is told as what cannot be kept beside it.

        Parameters
        ----------
        step : Step
        before : int or None
            Modification time in nanoseconds that the survey saw; None where it saw no file.
        """
        want = step.want
        info = self.directory.look_afresh(want.path, before)
        if info is None or (before is not None and same_time(before, info.st_mtime_ns)):
            return None
        others = self.directory.others
        came = others and others.came(want, info.st_size, info.st_mtime_ns, self.directory.source)
        if came:
            reason = f"cannot be kept under its name: {in_the_way(came)}"
            return Outcome.unmoved(want, Status.FAILED, reason, advice=UNKEPT)
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
            remote=want.remote,
        )

    # -- other places ------------------------------------------------------------------------

    def attempts_at(self, remote: RemoteFile) -> Attempts:
        """Return how often a small file is asked for where it is asked for now."""
        source = self.source
        more = isinstance(source, ManyPlaces) and source.may_go_on(remote)
        return self.few_attempts if more else self.attempts

    def elsewhere(self, step: Step, error: BaseException) -> Step | None:
        """Return the step as it is to be done at the next place; None where there is none.

        Parameters
        ----------
        step : Step
        error : Exception
            Why the file did not come from where it was asked for.
        """
        if not isinstance(self.source, ManyPlaces):
            return None
        remote = self.source.elsewhere(step.want.remote, error)
        if remote is None:
            return None
        msg = f"{error}; so it is asked for at {self.source.place_of(remote)}"
        self.tally.retried(step.want, TransientError(msg), 0.0)
        return replace(step, have=0, want=replace(step.want, remote=remote))

    def came_from(self, remote: RemoteFile) -> str:
        """Say from where a file came, where that is not the source; else ""."""
        if not isinstance(self.source, ManyPlaces) or not self.source.is_elsewhere(remote):
            return ""
        return f"from {self.source.place_of(remote)}"

    # -- the end of a file -------------------------------------------------------------------

    def checked(self, step: Step, temporary: Temporary, verified: Verified) -> Verified:
        """Take the deeper look at a file, if one is wanted, which may write it anew.

        Parameters
        ----------
        step : Step
        temporary : Temporary
            The file, open; afterwards the file of its name is.
        verified : Verified

        Returns
        -------
        Verified
            How it is verified now.

        Raises
        ------
        VerificationError
            If the content is not what it should be.
        LostTemporaryError
            If the file is gone.
        """
        if self.inspect is None:
            return verified
        try:
            level = self.inspect(temporary.path, step.want)
            temporary.reopen()
        except FileNotFoundError as error:
            raise LostTemporaryError(f"{step.want.path}: {FILE_GONE}") from error
        weak = (VerificationLevel.SIZE, VerificationLevel.NONE)
        if level is not None and verified.verification in weak:
            return verified._replace(verification=level)
        return verified

    def failure(self, step: Step, error: BaseException, seconds: float) -> Outcome:
        """Return the outcome of a file that could not be had; some causes end the whole transfer.

        A file that the server refuses has failed: it was asked for and is not here. Only what
        the dataset's owners keep back, as the plan says, is no failure.
        """
        status, last = Status.FAILED, error
        error, elsewhere = self._everywhere(step, error)
        if isinstance(error, MissingRemoteError) and step.want.optional:
            status = Status.REFUSED
        if isinstance(error, OSError) and error.errno in FULL:
            error = DiskFullError(
                f"{self.directory.what_is_full(error)}. What was finished is in its place, "
                "what was not is kept for resuming. Free some space, then run the same call again."
            )
            self.tally.end_all(error)
        elif isinstance(last, NetworkAwayError) and self._is_the_end(step.want.remote, last):
            self.tally.end_all(last)
        elif isinstance(error, FaultError) or not isinstance(error, NeurofetchError | OSError):
            self.tally.end_all(error)  # a fault of our own: to be seen, not to be counted
        advice = error.advice if isinstance(error, ServerError) else ""
        if isinstance(error, MissingRemoteError) and not advice:
            advice = _GONE
        return Outcome(
            step.want.path,
            step.want.remote.key,
            status,
            shown(self._reason(step.want, error) + elsewhere),
            seconds=seconds,
            advice=advice,
            remote=step.want.remote,
        )

    def _is_the_end(self, remote: RemoteFile, error: NetworkAwayError) -> bool:
        """Whether no file can come any more: what needs another server, or has one, goes on."""
        goes_on = isinstance(self.source, ManyPlaces) and self.source.goes_on(remote)
        return error.everywhere and not goes_on

    def _everywhere(self, step: Step, error: BaseException) -> tuple[BaseException, str]:
        """Return why the source did not give a file, and what the other places said."""
        remote = step.want.remote
        if not isinstance(self.source, ManyPlaces) or not self.source.failed(remote):
            return error, ""
        if not isinstance(error, ServerError | VerificationError):
            return error, ""
        (_, first), *others = self.source.failed(remote)
        told = [f"{name}: {step.want.said(one)}" for name, one in others]
        if all(one is not error for _, one in self.source.failed(remote)):
            told.append(f"{self.source.place_of(remote)}: {step.want.said(error)}")
        return first, f" (and elsewhere: {'; '.join(told)})" if told else ""

    def _reason(self, want: Want, error: BaseException) -> str:
        """Say why a file could not be had; what the system says names a temporary file."""
        if isinstance(error, NeurofetchError) or not isinstance(error, OSError):
            return want.said(error)
        return (
            f"it could not be written below {self.directory.root}: {error.strerror or error}. See "
            "who may write there, and whether the disk is well; then run the same call again."
        )
