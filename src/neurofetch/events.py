"""Progress as events: frozen values, passed to any callable in the thread that started the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurofetch.model import Outcome, Plan, Report

__all__ = [
    "Checking",
    "Event",
    "FileDone",
    "Finished",
    "Listener",
    "Listing",
    "NetworkAway",
    "NetworkBack",
    "NoWorkers",
    "Planned",
    "Progress",
    "Retrying",
    "Waiting",
    "quiet",
]


@dataclass(frozen=True, slots=True)
class Listing:
    """How far the listing is that a plan is made from, where it takes more than a second.

    Parameters
    ----------
    files : int
        Listed so far; some count twice where a large prefix is listed from several places.
    prefixes_done, prefixes : int
        What is listed, one beside the other.
    seconds : float
        Since the listing began.
    over : bool
        Whether it is done, or ended by an error.
    """

    files: int
    prefixes_done: int
    prefixes: int
    seconds: float
    over: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan is made; nothing has moved yet."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the transfer is; a few times a second.

    Parameters
    ----------
    files_done, files : int
        Of those for which bytes move.
    bytes_done, bytes_total : int
        Also of files that are copied, from a folder or of one that is here.
    seconds : float
        Since the transfer began.
    rate : float
        Bytes a second over the last few seconds.
    retries : int
        Attempts beyond the first, so far.
    """

    files_done: int
    files: int
    bytes_done: int
    bytes_total: int
    seconds: float
    rate: float
    retries: int

    @property
    def remaining(self) -> float | None:
        """Seconds left at the present rate; None while that is unknown."""
        return (self.bytes_total - self.bytes_done) / self.rate if self.rate > 0 else None


@dataclass(frozen=True, slots=True)
class Checking(Progress):
    """How far the reading of files is: of those that are here, or of metadata for what it names.

    It comes a few times a second, and once at its end.

    The fields are those of `Progress`, of bytes that are read; `rate` is since it began.
    """

    @property
    def over(self) -> bool:
        """Whether all files were read."""
        return self.files_done == self.files


@dataclass(frozen=True, slots=True)
class FileDone:
    """One file is finished: fetched, skipped, withheld or failed."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt failed and there will be another.

    Parameters
    ----------
    path : str
    reason : str
    wait : float
        Seconds until then.
    """

    path: str
    reason: str
    wait: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process is fetching this file now; this run waits for it.

    Parameters
    ----------
    path : str
    owner : str
        Host and process.
    """

    path: str
    owner: str


@dataclass(frozen=True, slots=True)
class NetworkAway:
    """Nothing comes from a server; all that need it wait. Once when it is sure, then each second.

    Parameters
    ----------
    server : str
        Its name, with the port where that is not the usual one.
    reason : str
    seconds : float
        Since when nothing comes.
    patience : float
        After so many seconds the run ends; ``inf`` for never. 0 with `seconds` 0: nothing ever came
        from this server, so there are only the usual attempts.
    first : bool
        Whether this is told for the first time.
    """

    server: str
    reason: str
    seconds: float
    patience: float
    first: bool = True


@dataclass(frozen=True, slots=True)
class NetworkBack:
    """Something comes from the server again.

    Parameters
    ----------
    server : str
    seconds : float
        For so long nothing came.
    """

    server: str
    seconds: float


@dataclass(frozen=True, slots=True)
class NoWorkers:
    """A cluster that is to fetch has no workers, and the run waits for one: now and then.

    Parameters
    ----------
    scheduler : str
        Its address.
    seconds : float
        Since when it has none.
    over : bool
        Whether there is one now.
    """

    scheduler: str
    seconds: float
    over: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The transfer is over."""

    report: Report


Event = (
    Listing
    | Planned
    | Progress
    | Checking
    | FileDone
    | Retrying
    | Waiting
    | NetworkAway
    | NetworkBack
    | NoWorkers
    | Finished
)
Listener = Callable[[Event], None]


def quiet(event: Event) -> None:
    """Do nothing: the listener where nobody listens."""
