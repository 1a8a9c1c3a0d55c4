"""Bring files from a directory on a disk: each is hashed as it is copied, and kept if right."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from neurofetch._shown import shown
from neurofetch._threads import together
from neurofetch.errors import DiskFullError, NeurofetchError
from neurofetch.events import FileDone, Progress
from neurofetch.integrity.checksums import hasher
from neurofetch.integrity.verification import read_blocks
from neurofetch.model import Action, Outcome, Receipt, Status, VerificationLevel
from neurofetch.planning.plan import check_space
from neurofetch.store.atomic import sync_directory, write_all
from neurofetch.store.directory import FULL
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from neurofetch.events import Event
    from neurofetch.model import Plan, Step
    from neurofetch.store.directory import DataDirectory

__all__ = ["copy_in"]

_AT_ONCE = 4
"""Files that are copied at once: the disks are what takes time."""


def copy_in(
    plan: Plan, directory: DataDirectory, place: Path, listen: Callable[[Event], None]
) -> list[Outcome]:
    """Copy files into a data directory.

    Parameters
    ----------
    plan : Plan
        All of its steps move, and each file has a size and a digest.
    directory : DataDirectory
    place : Path
        Where the files are, under the same paths.
    listen : callable
        Gets the events, in this thread.

    Returns
    -------
    list of Outcome
        In the order of the plan; a file that is not there, or another, has failed.

    Raises
    ------
    DiskFullError, DestinationError
        If the data directory cannot take the files.
    """
    check_space(plan)
    directory.check_writable()
    journal = Journal(directory.state, directory.surveyed)
    partials = Partials(directory.state, journal.owner)
    copier = _Copier(directory, journal, partials, place, plan)
    try:
        journal.open()
        partials.make_folders()
        calls = [partial(copier.outcome, step) for step in plan.steps]
        found = together(calls, _AT_ONCE, lambda: copier.tell(listen))
        copier.tell(listen)
        for folder in {one.path.rpartition("/")[0] for one in found if one.ok}:
            sync_directory(directory.root / folder)
    finally:
        journal.close()
        partials.close()
        directory.close()
    return found


class _Copier:
    def __init__(
        self,
        directory: DataDirectory,
        journal: Journal,
        partials: Partials,
        place: Path,
        plan: Plan,
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._partials = partials
        self._place = place
        self._began = time.monotonic()
        self._files, self._bytes = len(plan.steps), plan.bytes_to_fetch
        self._done: deque[Outcome] = deque()
        self._told = self._copied = 0

    def tell(self, listen: Callable[[Event], None]) -> None:
        """Tell how far it is, and which files are done."""
        while self._done:
            self._told += 1
            listen(FileDone(self._done.popleft()))
        seconds = time.monotonic() - self._began
        rate = self._copied / seconds if seconds > 0 else 0.0
        listen(Progress(self._told, self._files, self._copied, self._bytes, seconds, rate, 0))

    def outcome(self, step: Step) -> Outcome:
        """Copy a file; what goes wrong with it is its outcome."""
        began = time.monotonic()
        try:
            made = self._copied_file(step, began)
        except OSError as error:
            if error.errno in FULL or isinstance(error, DiskFullError):
                msg = (
                    f"the disk of {self._directory.root} is full. What was finished is in its "
                    "place. Free some space, then run the same call again."
                )
                raise DiskFullError(msg) from error
            ours = isinstance(error, NeurofetchError)
            made = self._failed(step, error if ours else error.strerror or error)
        except NeurofetchError as error:
            made = self._failed(step, error)
        self._done.append(made)
        return made

    @staticmethod
    def _failed(step: Step, why: object) -> Outcome:
        return Outcome.unmoved(step.want, Status.FAILED, shown(str(why)))

    def _copied_file(self, step: Step, began: float) -> Outcome:
        want, remote = step.want, step.want.remote
        source = os.path.join(self._place, want.path)
        try:
            info = os.stat(source)
        except (FileNotFoundError, NotADirectoryError):
            return self._failed(step, "it is not there")
        if not stat.S_ISREG(info.st_mode):
            return self._failed(step, "what is there is no file")
        if info.st_size != remote.size:
            return self._failed(step, f"{info.st_size:,} bytes are there, and not {remote.size:,}")
        before = self._directory.look(want.path)
        if before is not None and step.action is Action.FETCH:  # not when the plan was made
            return self._came(step, before)
        with self._partials.temporary(name_of(want.path), want.path) as temporary:
            temporary.open()
            problem = self._copy(source, temporary.fd, step)
            now = None if problem else self._directory.look(want.path)
            came = now is not None and (before is None or before.st_mtime_ns != now.st_mtime_ns)
            if problem or (now and came and now.st_size == remote.size):
                temporary.discard()
                return self._failed(step, problem) if problem or not now else self._came(step, now)
            os.fsync(temporary.fd)
            placed = os.fstat(temporary.fd)
            self._directory.put(temporary, want.path)
        temporary.close()
        self._note(step, placed)
        reason = f"{'replaced; ' if step.action is Action.REPLACE else ''}copied from {self._place}"
        seconds = time.monotonic() - began
        how = reason, placed.st_size, 0, seconds, VerificationLevel.CHECKSUM, 0, "", remote
        return Outcome(want.path, remote.key, Status.FETCHED, *how, str(remote.digest))

    @staticmethod
    def _came(step: Step, info: os.stat_result) -> Outcome:
        """Return the outcome of a file that another process put in its place meanwhile.

        It is left there, since that process may be reading it: it is held against the lock at the
        end, as every file is.
        """
        why, size, key = "another process brought it meanwhile", info.st_size, step.want.remote.key
        level, remote = VerificationLevel.SIZE, step.want.remote
        return Outcome(
            step.want.path, key, Status.KEPT, why, size, verification=level, remote=remote
        )

    def _copy(self, source: str, fd: int, step: Step) -> str:
        """Copy the bytes of a file; say why it is not the one that is wanted, "" if it is."""
        remote = step.want.remote
        if remote.digest is None or remote.size is None:
            return "nothing tells whether it is the right one"
        digest, count = hasher(remote.digest.algorithm, remote.size), 0
        for block in read_blocks(source):
            if count + len(block) > remote.size:  # somebody writes to it, and may go on for long
                self._copied -= count
                return f"more than {remote.size:,} bytes are there by now"
            digest.update(block)
            write_all(fd, block)
            count += len(block)
            self._copied += len(block)
        found = digest.hexdigest()
        if count == remote.size and found == remote.digest.value:
            return ""
        self._copied -= count
        algorithm = remote.digest.algorithm
        return f"other bytes are there ({algorithm} {found}, and not {remote.digest.value})"

    def _note(self, step: Step, placed: os.stat_result) -> None:
        """Write the receipt; a file without one is read again next time."""
        want, level = step.want, VerificationLevel.CHECKSUM
        stamp = placed.st_size, placed.st_mtime_ns
        digest, now = str(want.remote.digest), time.time()
        where = self._directory.source
        with contextlib.suppress(OSError):
            self._journal.append(
                Receipt(want.path, want.remote.key, "", *stamp, level, digest, now, source=where)
            )
