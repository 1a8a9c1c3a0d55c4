"""What a notebook shows of a data set of OpenNeuro."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurofetch.display.page import Chip, Fold, Page, Part, Table, Words
from neurofetch.display.text import count, size

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["dataset_page"]

_SOME = 12


def dataset_page(info: Any) -> Page:
    """Return what is shown of a data set.

    Parameters
    ----------
    info : DatasetInfo
    """
    chips = []
    if info.subjects:
        chips.append(Chip(count(len(info.subjects), "subject")))
    if info.files_total is not None:
        chips.append(Chip(count(info.files_total)))
    if info.bytes_total is not None:
        chips.append(Chip(size(info.bytes_total)))
    parts: list[Part] = []
    if info.deprecated:
        parts.append(Words([f"Its owners withdrew this version: {info.deprecated}"], "bad"))
    told = [
        ("version", info.version or "a draft"),
        ("modalities", ", ".join(info.modalities)),
        ("tasks", _some(info.tasks)),
        ("sessions", _some(info.sessions)),
        ("authors", _some(info.authors)),
        ("licence", info.license or ""),
        ("DOI", info.doi or ""),
        ("published", info.published or ""),
        ("to fetch it", f"neurofetch.get({info.source!r}, ...)"),
    ]
    parts.append(Table(("of it", "what"), [row for row in told if row[1]], words=(1,)))
    if info.versions:
        rows = [
            (one.version, one.created or "?", one.deprecated or "") for one in info.versions[::-1]
        ]
        table = Table(("version", "made", "withdrawn"), rows, words=(1, 2))
        parts.append(Fold(count(len(rows), "version"), [table]))
    if info.derivatives:
        made = [(one.name, one.url or "-") for one in info.derivatives]
        table = Table(("derivative", "where"), made, words=(1,))
        parts.append(Fold(count(len(made), "derivative"), [table]))
    parts.append(Words([f"Note: {note}" for note in info.notes]))
    return Page(info.accession, info.name or "", chips, parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SOME:,} more" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more
