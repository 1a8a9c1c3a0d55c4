"""What a part may lack that the whole has: each allowance with its reason, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.oracles.trees import Part
    from tests.oracles.validator import Issue


class Allowance(NamedTuple):
    """An error that a part may have: its code, the requests for which, and why."""

    code: str
    filters: frozenset[tuple[str, str]]
    why: str

    def covers(self, issue: Issue, part: Part) -> bool:
        asked = not self.filters or bool(self.filters & set(part.filters))
        return issue.code == self.code and asked


def _suffixes(*names: str) -> frozenset[tuple[str, str]]:
    return frozenset(("suffix", name) for name in names)


ALLOWANCES = (
    Allowance(
        "STIMULUS_FILE_MISSING",
        frozenset(),
        "The column stim_file of an events file names stimuli: data, shared by all subjects. The "
        "plan names them, and --follow fetches them.",
    ),
    Allowance(
        "ASSOCIATED_EMPTY_ROOM",
        frozenset(),
        "AssociatedEmptyRoom in a sidecar names a recording of another subject or session. The "
        "plan names it, and --follow fetches it.",
    ),
    Allowance(
        "INTENDED_FOR",
        frozenset({("datatype", "fmap")}) | _suffixes("RB1COR", "TB1EPI", "photo", "m0scan"),
        "IntendedFor in a sidecar names images of another datatype or suffix, which the request "
        "leaves out: whoever asks for field maps alone has field maps alone.",
    ),
    Allowance(
        "SIDECAR_WITHOUT_DATAFILE",
        _suffixes("coordsystem"),
        "The suffix asked for is that of metadata alone. The recordings that it is for are data, "
        "which nobody asked for.",
    ),
    Allowance(
        "SCANS_FILENAME_NOT_MATCH_DATASET",
        _suffixes("scans"),
        "The suffix asked for is that of a list of recordings, without the recordings.",
    ),
)


def unallowed(issues: Iterable[Issue], part: Part) -> list[Issue]:
    """Return the issues that no allowance covers."""
    return sorted(
        issue for issue in issues if not any(rule.covers(issue, part) for rule in ALLOWANCES)
    )
