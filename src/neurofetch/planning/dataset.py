"""What a dataset is: where it lies, what comes along, what is withheld. A value, no code.

LAION-fMRI is one such description; a plain BIDS bucket is the default one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.model import STATE_FOLDERS, Want, names_in
from neurofetch.planning.companions import companions
from neurofetch.planning.entities import full, parse
from neurofetch.planning.local_path import (
    all_plain,
    left_out,
    local_name,
    meet,
    placed,
    tidy_label,
)
from neurofetch.planning.match import entries
from neurofetch.planning.query import glob_test
from neurofetch.planning.select import Chosen, Query, Rules, select

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from neurofetch.model import RemoteFile

__all__ = [
    "BIDS_RULES",
    "Dataset",
    "Selection",
    "Withheld",
    "coming_along",
    "extended",
    "make_selection",
    "without_clashes",
]

BIDS_RULES = Rules(companions=True)
"""What comes along in any BIDS dataset."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Files that a dataset's owners list but do not give out.

    Parameters
    ----------
    entity : str
        Short name, such as "ses".
    values : frozenset of str
        Bare values.
    why : str
        As the plan says it.
    prefixes : tuple of str
        Beginnings of their keys; empty for anywhere.
    """

    entity: str
    values: frozenset[str]
    why: str
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A public dataset in a bucket.

    Parameters
    ----------
    name : str
        For people.
    bucket : str
        Empty where the files come from another source.
    region : str or None
        Of the bucket; None where it is not known.
    base : str
        The prefix at which the dataset begins: "" or ending in "/". Local paths are relative to it.
    rules : Rules
        What comes along beside what was asked for.
    withheld : tuple of Withheld
    tidy_labels : bool
        Whether hyphens inside ``label-`` values, which BIDS forbids, are dropped in local names.
    state : str
        The folder in a data directory for the package's own files.
    kind : str
        What a data directory remembers of where its files come from: "bids" for any bucket in
        BIDS layout.
    home : str
        What names the data set, where that is no bucket: ``openneuro:ds000246``.
    """

    name: str
    bucket: str = ""
    region: str | None = None
    base: str = ""
    rules: Rules = BIDS_RULES
    withheld: tuple[Withheld, ...] = ()
    tidy_labels: bool = False
    state: str = ".neurofetch"
    kind: str = "bids"
    home: str = ""

    @property
    def origin(self) -> str:
        """What stands before a key where it is named: ``s3://BUCKET/``, ``openneuro:ds000246/``."""
        return f"{self.home}/" if self.home else f"s3://{self.bucket}/"

    def path(self, key: str) -> str:
        """Return the local path of a key.

        Raises
        ------
        UnsafeNameError
            If it may not become one.
        """
        path = local_name(key, strip=self.base, reserved=_reserved(self.state))
        return tidy_label(path) if self.tidy_labels else path

    def place(self, key: str) -> tuple[str, str]:
        """Return the local path of a key, and why it cannot be kept there; "" when it can."""
        path, problem = placed(key, strip=self.base, reserved=_reserved(self.state))
        return tidy_label(path) if self.tidy_labels and not problem else path, problem

    def refusal(self, key: str) -> str:
        """Return why a file is withheld; "" when it is not."""
        if not self.withheld:
            return ""
        says = parse(key)
        for rule in self.withheld:
            value = says.get(rule.entity)
            if value is None or value not in rule.values:
                continue
            if not rule.prefixes or key.startswith(rule.prefixes):
                return f"{full(rule.entity, value)}: {rule.why}"
        return ""


@lru_cache(maxsize=16)
def _reserved(state: str) -> frozenset[str]:
    """Return the folders that no key may take: another package of ours may use the directory."""
    return frozenset({state, *STATE_FOLDERS})


class Selection(NamedTuple):
    """What was chosen, ready to be planned."""

    wants: tuple[Want, ...]
    notes: tuple[str, ...]


def make_selection(
    files: Iterable[RemoteFile],
    query: Query,
    dataset: Dataset,
    *,
    elsewhere: Mapping[str, Collection[str]] | None = None,
    whole: Callable[[str], bool] | None = None,
) -> Selection:
    """Choose files, and give each its local path, or say why it can have none.

    Parameters
    ----------
    files : iterable of RemoteFile
        The listing.
    query : Query
    dataset : Dataset
    elsewhere : mapping of str to collection of str, optional
        Values, by filter, that exist too, in folders of which not all files were listed.
    whole : callable, optional
        Whether all files of a folder were listed ("" or ending in "/", below the base); by default
        those of each were.

    Raises
    ------
    UnknownValueError, NothingMatchedError
        As `select` does.
    """
    # Consoles show an empty folder by an empty object whose name ends in a slash.
    listed = [file for file in files if file.size or not file.key.endswith("/")]
    selection = select(
        listed, query, dataset.rules, base=dataset.base, elsewhere=elsewhere, whole=whole
    )
    wants = without_clashes(list(_wants(selection.files, dataset)), dataset.base)
    return Selection(wants, selection.notes + _missing_root_files(wants, query, dataset))


def extended(selection: Selection, more: Iterable[Chosen], dataset: Dataset) -> Selection:
    """Return a selection with further files, each with its local path; all in their order.

    Parameters
    ----------
    selection : Selection
    more : iterable of Chosen
        One that is chosen already counts for nothing.
    dataset : Dataset
    """
    there = {want.remote.key for want in selection.wants}
    new = [one for one in more if one.remote.key not in there]
    if not new:
        return selection
    wants = sorted([*selection.wants, *_wants(new, dataset)], key=lambda want: want.remote.key)
    return selection._replace(wants=without_clashes(wants, dataset.base))


def coming_along(
    files: Sequence[RemoteFile],
    selection: Selection,
    query: Query,
    dataset: Dataset,
    more: Sequence[RemoteFile],
) -> list[Chosen]:
    """Return what comes along with further files, such as those that chosen ones name.

    Lists of scans do not: of the folders of these files, little is listed as a rule.

    Parameters
    ----------
    files : sequence of RemoteFile
        The listing.
    selection : Selection
    query : Query
        What its exclude globs leave out does not come along.
    dataset : Dataset
    more : sequence of RemoteFile
        Some of them may not be in the listing.
    """
    if not dataset.rules.companions:
        return []
    by_key = {file.key: file for file in (*files, *more)}
    listed = entries(list(by_key.values()), dataset.base)
    excluded = glob_test(query.exclude) if query.exclude else None
    asked = {file.key for file in more}
    there = {want.remote.key for want in selection.wants}
    found = companions(
        [entry.path for entry in listed],
        [entry.remote.key in asked for entry in listed],
        lambda number: excluded is None or excluded(listed[number].path) is None,
        listed=lambda _: False,
    )
    return [
        Chosen(listed[number].remote, why)
        for number, why in found.items()
        if listed[number].remote.key not in there
    ]


def without_clashes(
    wants: Iterable[Want],
    base: str | None = None,
    *,
    case: bool = False,
    accents: bool = False,
    here: Collection[str] = (),
) -> tuple[Want, ...]:
    """Return the same files; those that cannot be kept beside the others have a problem.

    Parameters
    ----------
    wants : iterable of Want
    base : str, optional
        The prefix at which the dataset begins: a file that is left out goes by its key from there,
        since its path is that of another. By default it goes by its path.
    case, accents : bool
        Whether the disk cannot tell names apart that differ only in these.
    here : collection of str
        Paths of files that are here already: see `left_out`.
    """
    wants = tuple(wants)
    if not here and not meet(
        (want.path for want in wants if not want.problem), case=case, accents=accents
    ):
        return wants
    problems = left_out(
        ((want.remote.key, want.path) for want in wants if not want.problem),
        case=case,
        accents=accents,
        here=here,
    )
    if not problems:
        return wants
    return tuple(
        replace(want, path=_own_path(want, base), problem=problem)
        if not want.problem and (problem := problems.get(want.remote.key, ""))
        else want
        for want in wants
    )


def _own_path(want: Want, base: str | None) -> str:
    return want.path if base is None else want.remote.key.removeprefix(base)


def _wants(chosen: Sequence[Chosen], dataset: Dataset) -> Iterable[Want]:
    """Return chosen files with their local paths; at once, where nothing is to be said of any."""
    names = None
    if not (dataset.tidy_labels or dataset.withheld):
        names = names_in([one.remote for one in chosen], dataset.base)
    if not names or not all_plain(names, reserved=_reserved(dataset.state)):
        return _wants_one_by_one(chosen, dataset)
    remotes, reasons = zip(*chosen, strict=True)
    return Want.all_free(remotes, names, reasons)


def _wants_one_by_one(chosen: Iterable[Chosen], dataset: Dataset) -> Iterator[Want]:
    base, reserved, last = dataset.base, _reserved(dataset.state), None
    for remote, why in chosen:
        name = remote.name_in(base)
        if name and not dataset.tidy_labels:
            path, problem = placed(name, reserved=reserved)
        else:
            path, problem = dataset.place(remote.key)
            path = name if name == path else path  # one text for both
        refused = dataset.refusal(remote.key) if dataset.withheld else ""
        if last is not None and why == last.why and not (refused or problem):
            yield last.same_for(remote, path)
            continue
        want = Want(remote, path, why, refused, problem=problem)
        if not (refused or problem):
            last = want
        yield want


def _missing_root_files(wants: tuple[Want, ...], query: Query, dataset: Dataset) -> tuple[str, ...]:
    roots = frozenset(dataset.rules.root_files)
    there = {want.path for want in wants if want.path in roots}
    missing = [name for name in dataset.rules.root_files if name not in there]
    if not missing or query.exclude:
        return ()
    return (f"the server has no {', no '.join(missing)} at the dataset's root",)
