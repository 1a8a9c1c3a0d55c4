"""A picture of a file, or of a directory: what is there, at a glance."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurofetch._shown import shown
from neurofetch.errors import (
    NothingMatchedError,
    UnknownValueError,
    UsageError,
    VerificationError,
    WrongTypeError,
)
from neurofetch.extras import need
from neurofetch.pictures.looks import SURFACES, TABLES, VOLUMES
from neurofetch.pictures.places import Entry, Origin, origin_of
from neurofetch.pictures.targets import checked_target, free_name
from neurofetch.planning.globs import natural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from neurofetch.errors import NeurofetchError
    from neurofetch.pictures.sheet import Sheet

__all__ = ["LIBRARIES", "Drawn", "check_look", "show", "show_entries"]

LIBRARIES: Final = ("numpy", "nibabel", "nilearn", "matplotlib")
MOST: Final = 48
"""Files on one sheet, whatever is asked for: more cannot be looked at."""
_MOST_FILES: Final = 500_000
"""Files of a directory that are looked for."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that was made.

    Parameters
    ----------
    path : Path
        Where it is.
    files : tuple of Path
        What is to be seen on it.
    pages : int
        How many sheets there are, of which this is one.
    notes : tuple of str
        What is left out, and what could not be read.
    failed : tuple of Path
        What was to be on it, and is not: files that are damaged, or whose content is not here.
    """

    path: Path
    files: tuple[Path, ...]
    pages: int = 1
    notes: tuple[str, ...] = field(default=())
    failed: tuple[Path, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON has it.

        Returns
        -------
        dict
            Values that JSON can hold.
        """
        return {
            "path": str(self.path),
            "files": [str(path) for path in self.files],
            "pages": self.pages,
            "notes": list(self.notes),
            "failed": [str(path) for path in self.failed],
        }


def show(
    what: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    frame: int | str | None = None,
    threshold: float | None = None,
    include: str | Iterable[str] = (),
    page: int = 1,
    limit: int = 12,
    title: str = "",
) -> Drawn:
    """Draw a file, or a sheet of the files in a directory.

    Volumes are cut where they are strongest, in colours that suit what they are: around a grey zero
    where values have two signs, with a range of the same width on both sides; from dark to bright
    where they have one; in grey where they are anatomy. A map of T1w or MNI space is drawn on an
    anatomy that is here already. Nothing is fetched.

    Parameters
    ----------
    what : str or path
        A volume (``.nii.gz``, ``.mgz``), values on a surface (``.func.gii``), a table
        (``.tsv``), or a directory.
    out : str or path, optional
        The picture; its end sets the format (``.png``, ``.svg``, ``.pdf``, or ``.html`` for a
        page that needs no network). By default a PNG in the current directory, with the name of
        what is drawn, that replaces nothing.
    frame : int or "mean", optional
        Which volume of a series, from 1. By default the mean; of a series of more than 2 GB, the
        first.
    threshold : float, optional
        Leave out what is nearer to zero. By default 2 for maps of z and t on an anatomy, else none.
    include : str or list of str
        Of a directory, only files whose path matches one of these globs.
    page : int
        Which sheet of a directory, from 1.
    limit : int
        Files on a sheet, at most 48.
    title : str
        What stands above; by default what the name says.

    Returns
    -------
    Drawn

    Raises
    ------
    MissingExtraError
        If nilearn or matplotlib is not installed: ``pip install 'neurofetch[plot]'``.
    FileNotFoundError
        If it is not here, or only a link or a pointer to it is.
    NothingMatchedError
        If a directory holds nothing that can be drawn.
    UsageError
        If it is nothing that can be drawn.
    VerificationError
        If the file is not whole; of a directory, if no file is. Where some are, the others are in
        `Drawn.failed`.
    """
    check_look(page, limit, threshold)
    _check_frame(frame)
    need("A picture", "plot", *LIBRARIES)
    if not os.fspath(what):
        raise UsageError("No file is named: the name is empty. Nothing was drawn.")
    path = Path(what)
    target = checked_target(Path(out)) if out is not None else None
    if not os.path.lexists(path):
        raise UsageError(
            f"{shown(str(path))} is not here. Nothing was drawn: 'neurofetch get' or 'laion-fmri "
            f"download' brings files of a data set; 'neurofetch neurovault fetch' brings maps."
        ) from FileNotFoundError(str(path))
    ask = _Ask(target, origin_of(path), frame, threshold, shown(title))
    if path.is_dir():
        patterns = [include] if isinstance(include, str) else list(include)
        return _show_folder(path, ask, patterns, page, limit)
    path = _header_of(path)
    if path.exists() and not path.is_file():  # it would be waited for
        raise UsageError(
            f"{shown(str(path))} is a device, pipe or socket. Nothing was drawn: a picture is of a "
            f"file, or of a directory."
        )
    if include or page > 1:
        raise UsageError(
            f"{shown(str(path))} is one file, and one picture: pages, and --include (include=), "
            f"are for a directory. Nothing was drawn."
        )
    return _show_file(path, ask)


class _Ask(NamedTuple):
    """What is asked of a picture."""

    target: Path | None
    origin: Origin
    frame: int | str | None
    threshold: float | None
    title: str


def check_look(page: object, limit: object, threshold: object) -> None:
    """Refuse what cannot be meant, before a file is read.

    Parameters
    ----------
    page, limit, threshold : object

    Raises
    ------
    UsageError
    """
    for name, value in (("page", page), ("limit", limit)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongTypeError(f"{name}={value!r}: expected a number.")
        if value < 1:
            raise UnknownValueError(f"{name}={value}: it begins at 1.")
    _check_threshold(threshold)


def _check_frame(frame: object) -> None:
    number = isinstance(frame, int) and not isinstance(frame, bool)
    if frame is not None and not number and frame != "mean":
        raise UnknownValueError(f"frame={frame!r}: expected the number of a volume, or 'mean'.")


def _check_threshold(threshold: object) -> None:
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise WrongTypeError(f"threshold={threshold!r}: expected a number.")
    if not (math.isfinite(threshold) and threshold >= 0):
        raise UnknownValueError(
            f"threshold={threshold}: expected 0 or more. It leaves out what is nearer to zero, on "
            f"both sides. Nothing was drawn."
        )


def _show_file(path: Path, ask: _Ask) -> Drawn:
    from neurofetch.pictures.drawing import QUIET, say
    from neurofetch.pictures.outputs import Words, save
    from neurofetch.pictures.reading import check_here
    from neurofetch.pictures.sheet import draw_one, name_of
    from neurofetch.pictures.surfaces import draw_surface, holds_surface
    from neurofetch.pictures.tables import draw_table, read_table

    check_here(path)
    name = path.name.lower()
    target = ask.target or free_name(_stem(path.name), Path())
    origin, title = ask.origin, ask.title
    rows = [{"file": origin.name_in(path), "data set": origin.told}]
    on_surface = holds_surface(path)
    if ask.frame is not None and (on_surface or name.endswith(TABLES)):
        raise UsageError(f"{shown(str(path))} has no volumes: leave out --frame (frame=).")
    if name.endswith(VOLUMES) and not on_surface:
        sheet = draw_one(Entry(path, title), origin, ask.frame, ask.threshold)
        volume = sheet.drawn[0][1]
        told = title or name_of(path, volume.look, volume.told)
        save(sheet.figure, target, Words(told, _described(sheet), _rows(sheet, origin)))
    elif on_surface:
        figure, look = draw_surface(path, origin.root)
        told = title or name_of(path, look)
        say(figure, 0.03, 0.96, told, size=13, weight="bold")
        say(figure, 0.03, 0.06, " · ".join((shown(path.name), origin.told)), size=7.5, color=QUIET)
        save(figure, target, Words(told, f"{told}: both sides of a hemisphere", rows))
    elif name.endswith(TABLES):
        table = read_table(path)
        told = title or name_of(path)
        save(draw_table(table, told, origin.told), target, Words(told, f"Table {path.name}", rows))
    else:
        ends = ", ".join((*VOLUMES[:3], *SURFACES[:2], *TABLES[:2]))
        raise UsageError(
            f"{shown(str(path))} cannot be drawn. Nothing was drawn: a picture is of a file that "
            f"ends in one of {ends}, or of a directory."
        )
    return Drawn(target, (path,))


def _show_folder(folder: Path, ask: _Ask, patterns: Sequence[str], page: int, limit: int) -> Drawn:
    files = sorted(_files(folder, patterns), key=lambda path: natural(str(path)))
    there = set(files)
    volumes = [path for path in files if path.name.lower().endswith(VOLUMES)]
    pairs = [path for path in volumes if _halves(path) & there]
    volumes = [path for path in volumes if path not in set(pairs)]
    others = len(files) - len(volumes) - len(pairs)
    if not volumes:
        what = f"no volume among its {len(files):,} files" if files else "no file"
        raise NothingMatchedError(
            f"{shown(str(folder))} has {what}{' that matches' if patterns else ''}. Nothing was "
            f"drawn: name a file, or the directory of a data set that was fetched."
        )
    name = folder.absolute().name or "directory"
    beside = "1 file beside them is no volume"
    notes = [beside if others == 1 else f"{others:,} files beside them are no volumes"]
    return show_entries(
        [Entry(path) for path in volumes],
        ask.target or free_name(name, Path()),
        ask.origin,
        ask.title or shown(name),
        frame=ask.frame,
        threshold=ask.threshold,
        page=page,
        limit=limit,
        notes=notes if others else (),
    )


def show_entries(
    entries: Sequence[Entry],
    target: Path,
    origin: Origin,
    title: str,
    *,
    frame: int | str | None = None,
    threshold: float | None = None,
    page: int = 1,
    limit: int = 12,
    notes: Sequence[str] = (),
    missing: Sequence[Path] = (),
) -> Drawn:
    """Draw a sheet of files: those of one page.

    Parameters
    ----------
    entries : sequence of Entry
        Of all pages.
    target : Path
    origin : Origin
    title : str
    frame, threshold, page, limit
        As for `show`.
    notes : sequence of str
        What else is to be told.
    missing : sequence of Path
        What was to be drawn too, and is not here.

    Raises
    ------
    UsageError, VerificationError
        If none of them can be drawn.
    """
    from neurofetch.pictures.outputs import Words, save
    from neurofetch.pictures.sheet import draw_one, draw_sheet

    limit = min(limit, MOST)
    pages = -(-len(entries) // limit)
    if page > pages:
        raise UnknownValueError(f"There is no page {page}: {len(entries):,} files fill {pages}.")
    shown_now = entries[(page - 1) * limit : page * limit]
    said = list(notes)
    if pages > 1:
        first = (page - 1) * limit + 1
        said.insert(
            0, f"page {page} of {pages}: {first:,} to {first + len(shown_now) - 1:,} of "
            f"{len(entries):,} volumes",
        )  # fmt: skip
    if len(entries) == 1:
        one = draw_one(replace(entries[0], title=title), origin, frame, threshold)
        save(one.figure, target, Words(title, _described(one), _rows(one, origin), said))
        return Drawn(target, (entries[0].path,), notes=tuple(said), failed=tuple(missing))
    below = " · ".join([*said, *([origin.told] if origin.told else [])])
    sheet = draw_sheet(shown_now, origin, title, below, frame=frame, threshold=threshold)
    if not sheet.drawn:
        raise _nothing_of(title, [error for _, error in sheet.failed])
    said += [str(error) for _, error in sheet.failed]
    failed = (*missing, *(entry.path for entry, _ in sheet.failed))
    save(sheet.figure, target, Words(title, _described(sheet), _rows(sheet, origin), said))
    return Drawn(target, tuple(entry.path for entry, _ in sheet.drawn), pages, tuple(said), failed)


def _nothing_of(title: str, errors: Sequence[NeurofetchError]) -> NeurofetchError:
    """Return the error of a sheet of which nothing can be drawn: of the kind that all have."""
    msg = f"None of {len(errors):,} volumes of {title} can be drawn. The first: {errors[0]}"
    kinds = {type(error) for error in errors}
    return kinds.pop()(msg) if len(kinds) == 1 else VerificationError(msg)


def _files(folder: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """Yield the files below a folder, but for what is hidden."""
    found = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in names:
            path = Path(where, name)
            text = path.relative_to(folder).as_posix()
            fits = any(fnmatchcase(text, one) or fnmatchcase(name, one) for one in patterns)
            if name.startswith(".") or (patterns and not fits):
                continue
            found += 1
            if found > _MOST_FILES:
                return
            yield path


def _header_of(path: Path) -> Path:
    """Return the header (.HEAD) of voxels of AFNI (.BRIK); any other file as it is."""
    stem, dot, _ = path.name.rpartition(".BRIK")
    header = path.with_name(f"{stem}.HEAD") if dot else path
    return header if header.is_file() else path


def _halves(header: Path) -> set[Path]:
    """Return under which names the voxels of a header (.hdr) may be: a pair is drawn once."""
    if header.suffix.lower() != ".hdr":
        return set()
    return {header.with_suffix(end) for end in (".img", ".IMG", ".img.gz")}


def _stem(name: str) -> str:
    for end in (*VOLUMES, *SURFACES, *TABLES):
        if name.lower().endswith(end):
            return name[: -len(end)]
    return name


def _described(sheet: Sheet) -> str:
    """Return what is to be seen, for those who do not see it."""
    names = [
        f"{entry.title or entry.path.name} ({volume.look.name})" for entry, volume in sheet.drawn
    ]
    return f"Slices through {len(names)} volumes: {', '.join(names)}" if names else "No volume"


def _rows(sheet: Sheet, origin: Origin) -> list[dict[str, Any]]:
    return [
        {
            "file": origin.name_in(entry.path),
            "what it is": " · ".join(part for part in (volume.look.name, volume.which) if part),
            "unit": volume.look.unit,
            "voxels": " x ".join(str(size) for size in volume.shape),
            "mm": " x ".join(f"{zoom:.3g}" for zoom in volume.zooms),
            "data set": origin.told,
        }
        for entry, volume in sheet.drawn
    ]
