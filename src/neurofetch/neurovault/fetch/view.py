"""What a notebook shows of the result of a fetch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofetch.display.faces import failure_parts
from neurofetch.display.page import Chip, Fold, Page, Part, Pictures, Table, Words
from neurofetch.display.text import count, duration, size
from neurofetch.display.thumbnail import pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from neurofetch.model import Report

__all__ = ["page_of"]

_DRAWN, _OPEN, _MOST = 3, 10, 200


def page_of(result: Mapping[str, Any], report: Report | None) -> Page:
    """Return what is shown of a result.

    Parameters
    ----------
    result : mapping
        It may have been changed by its owner: anything may be missing.
    report : Report or None
    """
    paths = [str(path) for path in result.get("images") or ()]
    metas: list[Mapping[str, Any]] = list(result.get("images_meta") or ())
    collections = {
        meta.get("id"): meta
        for meta in result.get("collections_meta") or ()
        if meta.get("id") is not None
    }
    chips = [Chip(f"of {count(len(collections), 'collection')}")]
    parts: list[Part] = []
    if report is not None:
        moved = f"{size(report.bytes_moved)} moved in {duration(report.seconds)}"
        chips += [Chip(f"{len(report.failures):,} failed", "bad")] if report.failures else []
        chips.append(Chip(moved))
        parts += failure_parts(report.failures)
    named = list(zip(paths, metas, strict=False))
    made = pictures((Path(path), _caption(meta)) for path, meta in named[:_DRAWN])
    if made:
        parts.append(Pictures(made))
    if named:
        parts.append(_images(named, len(paths)))
    if collections:
        parts.append(_cited(list(collections.values())))
    words = result.get("vocabulary")
    if words is not None:
        parts.append(Words([f"{len(words):,} words of Neurosynth, in .vocabulary"]))
    return Page(f"NeuroVault: {count(len(paths), 'image')}", "", chips, parts)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _caption(meta: Mapping[str, Any]) -> str:
    kind = _text(meta.get("map_type"))
    return f"{_text(meta.get('id'))}: {_text(meta.get('name'))}" + (f" ({kind})" if kind else "")


def _images(named: Sequence[tuple[str, Mapping[str, Any]]], total: int) -> Fold:
    rows = [
        (
            _text(meta.get("id")),
            _text(meta.get("name")),
            _text(meta.get("collection_id")),
            _text(meta.get("map_type")),
            _text(meta.get("modality")),
        )
        for _, meta in named[:_MOST]
    ]
    said = count(total, "image")
    if total > _MOST:
        said = f"the first {_MOST} of {said}: all are in .images and .images_meta"
    head = ("id", "name", "collection", "map", "modality")
    table = Table(head, rows, words=(1, 3, 4))
    return Fold(said, [table], is_open=total <= _OPEN, scrolls=total > _OPEN)


def _cited(collections: Sequence[Mapping[str, Any]]) -> Fold:
    """Return what to cite: the papers of the collections."""
    rows = [
        (
            _text(meta.get("id")),
            _text(meta.get("name")) or "its record could not be fetched",
            _text(meta.get("DOI")) or "none is given",
        )
        for meta in collections[:_MOST]
    ]
    if len(collections) > _MOST:
        rows.append(("…", f"{len(collections) - _MOST:,} more", "all are in .collections_meta"))
    table = Table(("collection", "name", "DOI"), rows, words=(1, 2))
    return Fold("what to cite", [table], scrolls=len(rows) > _OPEN)
