"""What a run ends with: an outcome for each file, and how it was verified."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch._errors import IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Outcome", "Report", "Rung", "Status"]


class Rung(enum.StrEnum):
    """How a file was verified, strongest first.

    The ladder: a checksum of the whole object that the server keeps; an ETag that is the MD5 of
    the object; a multipart ETag recomputed from its parts; a deep check of the content (gzip to
    its end, a header that parses); the size alone.
    """

    CHECKSUM = "checksum"
    MD5 = "md5-etag"
    MULTIPART = "multipart-etag"
    CONTENT = "content"
    SIZE = "size"
    NONE = "none"


class Status(enum.StrEnum):
    """What became of one file."""

    FETCHED = "fetched"
    KEPT = "kept"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one file.

    Parameters
    ----------
    path : str
        Relative to the root.
    key : str
    status : Status
    reason : str
        Why it was kept or refused, or what failed.
    size : int
        Bytes of the file.
    moved : int
        Bytes that came over the network for it in this run.
    seconds : float
    rung : Rung
        How it was verified.
    attempts : int
        Requests that were needed beyond the first of each part.
    """

    path: str
    key: str
    status: Status
    reason: str = ""
    size: int = 0
    moved: int = 0
    seconds: float = 0.0
    rung: Rung = Rung.NONE
    attempts: int = 0

    @property
    def ok(self) -> bool:
        """Whether the file is there."""
        return self.status in (Status.FETCHED, Status.KEPT)


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What happened, file by file, in the order of the plan.

    Parameters
    ----------
    root : Path
    outcomes : tuple of Outcome
    notes : tuple of str
    seconds : float
        From the first request to the last file.
    """

    root: Path
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    _by_status: dict[Status, tuple[Outcome, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __repr__(self) -> str:
        """Say it in a line: it may hold thousands of outcomes, and stand at the end of a cell."""
        counts = ", ".join(f"{len(self.of(status)):,} {status.value}" for status in Status)
        return (
            f"<Report of {len(self):,} files in {self.root}: {counts}; "
            f"{self.bytes_moved:,} bytes moved in {self.seconds:.1f} s>"
        )

    def of(self, status: Status) -> tuple[Outcome, ...]:
        """Return the outcomes with this status."""
        if status not in self._by_status:
            self._by_status[status] = tuple(o for o in self.outcomes if o.status is status)
        return self._by_status[status]

    @property
    def paths(self) -> list[Path]:
        """Absolute paths of all files that are there, in the order of the plan."""
        return [self.root / outcome.path for outcome in self.outcomes if outcome.ok]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The files that were asked for and are not there."""
        return self.of(Status.FAILED)

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """The files that the server, or the dataset's owners, withhold."""
        return self.of(Status.REFUSED)

    @property
    def ok(self) -> bool:
        """Whether nothing failed (a file that the owners withhold is no failure)."""
        return not self.failures

    @property
    def bytes_moved(self) -> int:
        """Bytes that came over the network."""
        return sum(outcome.moved for outcome in self.outcomes)

    def raise_for_failures(self) -> None:
        """Raise when something that was asked for is missing.

        Raises
        ------
        IncompleteError
            It names every missing file with its cause.
        """
        if self.ok:
            return
        lines = [f"  {o.path}: {o.reason}" for o in self.failures]
        msg = (
            f"{len(lines)} of {len(self)} files could not be fetched; "
            f"the other {len(self) - len(lines)} were dealt with and are safe.\n"
            + "\n".join(lines)
            + "\nRun the same call again: it fetches only what is missing."
        )
        raise IncompleteError(msg, self)

    def merge(self, other: Report) -> Report:
        """Return one report of two runs: for a file in both, the later outcome stands.

        Parameters
        ----------
        other : Report
            The later run, on the same root.

        Raises
        ------
        ValueError
            If the roots differ.
        """
        if other.root != self.root:
            msg = f"cannot merge reports of {self.root} and {other.root}: two data directories"
            raise ValueError(msg)
        merged = {outcome.path: outcome for outcome in self.outcomes}
        merged.update((outcome.path, outcome) for outcome in other.outcomes)
        notes = tuple(dict.fromkeys(self.notes + other.notes))
        return Report(self.root, tuple(merged.values()), notes, self.seconds + other.seconds)
