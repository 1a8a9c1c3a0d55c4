"""What a notebook shows of subjects: what is here of each, and what would bring the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laion_fmri.loader.layout import how_to_get
from laion_fmri.loader.rois import Rois
from neurofetch.engine import Chip, Fold, Page, Part, Pictures, Table, Words, count, pictures, size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from laion_fmri.loader.layout import Layout

__all__ = ["group_page", "subject_page"]

_OPEN, _DRAWN = 12, 6


def subject_page(layout: Layout, store: Path) -> Page:
    """Return what is shown of a subject. Nothing is read but names, sizes, and one map.

    Parameters
    ----------
    layout : Layout
        The subject's files.
    store : Path
        Of the beta store, which need not be there.
    """
    sessions, rois = layout.sessions(), Rois(layout)
    chips = [
        Chip(count(len(sessions), "session"), "good" if sessions else "quiet"),
        Chip(count(len(rois.names()), "ROI"), "good" if rois.names() else "quiet"),
        _has("anatomical images", here=layout.anatomy.is_dir()),
        _has("FreeSurfer", here=layout.freesurfer.is_dir()),
        _has("beta store", here=store.is_dir()),
    ]
    parts: list[Part] = list(_drawn([layout]))
    if sessions:
        rows = [_session(layout, session) for session in sessions]
        table = Table(("session", "betas", "trials"), rows)
        title = count(len(sessions), "session")
        parts.append(Fold(title, [table], "good", is_open=len(sessions) <= _OPEN))
    if names := rois.names():
        by_kind = [(one, ", ".join(rois.names(one))) for one in rois.categories()]
        rows_of = by_kind or [("-", ", ".join(names))]
        table = Table(("category", "ROIs"), rows_of, words=(1,))
        parts.append(Fold(count(len(names), "ROI"), [table], "good"))
    if missing := _missing(layout, has_rois=bool(names)):
        parts.append(Fold("what is not here, and what brings it", [Words(missing)], "quiet"))
    return Page(layout.subject, f"in {layout.data_dir}", chips, parts)


def group_page(layouts: Sequence[Layout]) -> Page:
    """Return what is shown of several subjects.

    Parameters
    ----------
    layouts : sequence of Layout
        The files of each.
    """
    rows = []
    for layout in layouts:
        sessions = layout.sessions()
        betas = [_bytes(layout, session) for session in sessions]
        here = [number for number in betas if number is not None]
        rows.append((
            layout.subject,
            f"{len(sessions):,}",
            f"{len(here):,}",
            size(sum(here)) if here else "-",
            f"{len(Rois(layout).names()):,}",
        ))  # fmt: skip
    head = ("subject", "sessions", "with betas", "bytes", "ROIs")
    parts: list[Part] = [*_drawn(layouts[:_DRAWN]), Table(head, rows)]
    where = f"in {layouts[0].data_dir}" if layouts else ""
    return Page(f"Group of {count(len(layouts), 'subject')}", where, [], parts)


def _has(what: str, *, here: bool) -> Chip:
    return Chip(what, "good") if here else Chip(f"no {what}", "quiet")


def _session(layout: Layout, session: str) -> tuple[str, str, str]:
    betas = _bytes(layout, session)
    try:
        table = layout.trials(session)
        with table.open("rb") as lines:
            trials = f"{max(0, sum(1 for _ in lines) - 1):,}"
    except OSError:  # DataNotDownloadedError is one
        trials = "-"
    return session, "not here" if betas is None else size(betas), trials


def _bytes(layout: Layout, session: str) -> int | None:
    """Return the size of the betas of a session; None where they are not here."""
    return layout.betas(session).stat().st_size if layout.has_betas(session) else None


def _drawn(layouts: Sequence[Layout]) -> list[Pictures]:
    """Return the mean R² of each subject whose map is here."""
    wanted = [
        (layout.mean_rsquare(), f"{layout.subject}: mean R² of all sessions")
        for layout in layouts
        if layout.has_mean_rsquare()
    ]
    made = pictures(wanted)
    return [Pictures(made)] if made else []


def _missing(layout: Layout, *, has_rois: bool) -> list[str]:
    """Return the calls that bring what is not here."""
    lines = []
    if not layout.anatomy.is_dir():
        lines.append(_call(layout, "anatomical images", ses="averages", include_anatomical=True))
    if not layout.freesurfer.is_dir():
        lines.append(_call(layout, "FreeSurfer", ses="averages", include_freesurfer=True))
    if not has_rois:
        lines.append(_call(layout, "ROIs", suffix="mask"))
    return lines


def _call(layout: Layout, what: str, **filters: str | bool) -> str:
    return f"{what}: {how_to_get(layout.data_dir, layout.subject, **filters).strip()}"
