"""What `verify` says: the state of each file, and what they come to."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch._faces import Faced

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from neurofetch.model import Receipt
    from neurofetch.store.data_source import DataSource

__all__ = ["Audit", "Finding", "State"]


class State(enum.StrEnum):
    """What was found of one file.

    ``good``: its content was read, and is what it should be. ``adopted``: the same, of a file of
    another tool, which has a receipt now. ``unchanged``: size and time are those with which it was
    fetched; the content was not read. ``times_changed``: only its time is another, as after a copy;
    the content was not read. ``not_in_bucket``: it is here, and the bucket does not have it.
    ``unknown``: another tool put it there, and it was not read. ``missing``: it was fetched, and is
    not here. ``differs``: it is not what it should be.
    """

    GOOD = "good"
    ADOPTED = "adopted"
    UNCHANGED = "unchanged"
    TIMES_CHANGED = "times_changed"
    NOT_IN_BUCKET = "not_in_bucket"
    UNKNOWN = "unknown"
    MISSING = "missing"
    DIFFERS = "differs"

    @property
    def said(self) -> str:
        """What it means, behind a number of files."""
        return _SAID.get(self.value, self.value)


_SAID = {
    "unchanged": "unchanged by size and time (contents not read)",
    "times_changed": "with times changed (copied?; contents not read: use --hash)",
    "not_in_bucket": "not in the bucket",
    "unknown": "of another tool (not checked)",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One file.

    Parameters
    ----------
    path : str
        Relative to the root.
    state : State
    detail : str
    """

    path: str
    state: State
    detail: str

    @property
    def ok(self) -> bool:
        """Whether the file is not known to be missing or wrong."""
        return self.state not in (State.MISSING, State.DIFFERS)

    @property
    def verified(self) -> bool:
        """Whether its content was read, and is what it should be."""
        return self.state in (State.GOOD, State.ADOPTED)


@dataclass(frozen=True, slots=True, repr=False)
class Audit(Faced):
    """All files that were looked at, sorted by path.

    Parameters
    ----------
    root : Path
    findings : tuple of Finding
    seconds : float
    known : mapping of str to Receipt
        By path: what was written down of a file when it came, or was found to be right.
    sources : mapping of str to DataSource
        By the name that receipts give them: the data sets that they are of.
    """

    root: Path
    findings: tuple[Finding, ...]
    seconds: float
    known: Mapping[str, Receipt] = field(default_factory=dict, compare=False)
    sources: Mapping[str, DataSource] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        """Return one line: an audit may have thousands of findings, and notebooks print it."""
        return f"<Audit of {len(self.findings):,} files in {self.root}: {self.summary}>"

    def __len__(self) -> int:
        return len(self.findings)

    def of(self, *states: State) -> tuple[Finding, ...]:
        """Return the findings with one of these states.

        Parameters
        ----------
        *states : State

        Returns
        -------
        tuple of Finding
            The findings, in the order of the audit.
        """
        return tuple(finding for finding in self.findings if finding.state in states)

    def url(self, receipt: Receipt) -> str:
        """Return the address at which the object of a receipt is; "" where that is not known.

        Parameters
        ----------
        receipt : Receipt

        Returns
        -------
        str
            An address of http or https, or an empty text.
        """
        source = self.sources.get(receipt.source)
        # Where the server tells no ETag, an access service gives addresses that are signed.
        return source.object_url(receipt.key) if source is not None and receipt.etag else ""

    @property
    def counts(self) -> dict[State, int]:
        """How many files are in each state; all states, in their order."""
        counts = dict.fromkeys(State, 0)
        for finding in self.findings:
            counts[finding.state] += 1
        return counts

    @property
    def summary(self) -> str:
        """One line that says what was found, and whether contents were read.

        Examples
        --------
        >>> from pathlib import Path
        >>> rows = Finding("a", State.GOOD, ""), Finding("b", State.MISSING, "")
        >>> Audit(Path("data"), rows, 0.1).summary
        '1 good, 1 missing'
        """
        said = [f"{number:,} {state.said}" for state, number in self.counts.items() if number]
        return ", ".join(said) or "no files"

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The files that are missing or differ."""
        return self.of(State.MISSING, State.DIFFERS)

    @property
    def ok(self) -> bool:
        """Whether nothing is missing and nothing differs.

        It is no word about contents: a file whose size and time are as they were is no problem, and
        was not read. See `verified`.
        """
        return not self.problems

    @property
    def verified(self) -> bool:
        """Whether there are files, the content of all was read, and all are what they should be."""
        return bool(self.findings) and all(finding.verified for finding in self.findings)
