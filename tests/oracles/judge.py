"""Judges one tree by the official validator: the whole, and each part of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.oracles.allowed import unallowed
from tests.oracles.trees import choose, lay
from tests.oracles.validator import complaints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from neurofetch.model import Want
    from tests.oracles.trees import Part, Tree
    from tests.oracles.validator import Issue


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one part: its files, the errors that the whole does not have, and the rest."""

    tree: str
    part: Part
    files: int
    new: frozenset[Issue]
    wrong: tuple[Issue, ...]
    undescribed: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not (self.wrong or self.undescribed)

    def __str__(self) -> str:
        found = [f"{issue.code} {issue.sub_code} at {issue.location}" for issue in self.wrong]
        found += [f"without its description: {path}" for path in self.undescribed]
        more = f", and {len(found) - 4} more" if len(found) > 4 else ""
        return f"{self.tree} {self.part} ({self.files} files): {'; '.join(found[:4])}{more}"


def verdicts(tree: Tree, parts: Iterable[Part]) -> Iterator[Verdict]:
    """Lay each part of a tree on the disk, and compare what is wrong with it and with the whole.

    An error counts as new if the whole does not have it at the same file: that is stricter than
    to compare the codes alone, for a code may occur in the whole for another file. The whole is
    judged when the first part has an error.
    """
    whole: frozenset[Issue] | None = None
    for part in parts:
        wants = choose(tree, **part.keywords)
        with tempfile.TemporaryDirectory() as folder:
            new = complaints(lay(tree, wants, Path(folder)))
        if new and whole is None:
            whole = complaints(tree.root)
        new -= whole or frozenset()
        wrong = tuple(unallowed(new, part))
        lost = tuple(undescribed(tree, wants))
        yield Verdict(tree.name, part, len(wants), new, wrong, lost)


def undescribed(tree: Tree, wants: Iterable[Want]) -> list[str]:
    """Return the descriptions of data sets in which a chosen file lies, that were not chosen.

    The validator passes over a derivative that has no description, so it cannot tell.
    """
    chosen = {want.remote.key for want in wants}
    descriptions = {path for path in tree.paths if path.endswith("dataset_description.json")}
    folders = {path.removesuffix("dataset_description.json"): path for path in descriptions}
    needed = {
        described
        for folder, described in folders.items()
        if any(path.startswith(folder) for path in chosen)
    }
    return sorted(needed - chosen)
