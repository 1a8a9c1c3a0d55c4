"""Figures of volumes: one file at full width, or many on a sheet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_template
from nilearn.image import resample_to_img

from neurofetch._shown import shown
from neurofetch.errors import NeurofetchError, VerificationError
from neurofetch.pictures.drawing import QUIET, Panel, bar, figure, fit, panel, range_of, say, slices
from neurofetch.pictures.looks import VOLUMES
from neurofetch.pictures.places import Entry, Origin, anatomies, is_mni
from neurofetch.pictures.reading import NotHereError, Volume, read_volume
from neurofetch.planning.entities import parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from neurofetch.pictures.looks import Look

__all__ = ["Sheet", "background_of", "draw_one", "draw_sheet", "name_of", "spread"]

_COLUMNS: Final = 3
_ENOUGH: Final = 400_000
"""Voxels that tell where a brain lies."""
_FAR: Final = 4
"""A map whose values are so many times those of most others does not set the common range."""
_OWN_RANGE: Final = ("anatomy", "signal", "phase", "labels", "mask")
"""Kinds whose values mean nothing beside those of another file."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure, and what became of each file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    drawn : list of (Entry, Volume)
    failed : list of (Entry, NeurofetchError)
        What cannot be drawn, and why.
    """

    figure: Any
    drawn: list[tuple[Entry, Volume]]
    failed: list[tuple[Entry, NeurofetchError]]


def name_of(path: Path, look: Look | None = None, told: str = "") -> str:
    """Return what a file is, for a reader.

    Parameters
    ----------
    path : Path
    look : Look, optional
        How it is drawn.
    told : str
        The name of its contrast, where its header has one.

    Examples
    --------
    >>> from pathlib import Path
    >>> from neurofetch.pictures.looks import look_of
    >>> name_of(Path("sub-03_ses-01_task-images_space-T1w_stat-z_statmap.nii.gz"))
    'sub-03 · ses-01 · task-images · stat-z · statmap'
    >>> name_of(Path("spmT_0001.nii"), look_of("spmT_0001.nii"), "faces > houses")
    'faces > houses · t map · spmT_0001'
    """
    entities = parse(path.name)
    kept = [f"{key}-{value}" for key, value in entities.values if key not in ("space", "res")]
    if not kept:
        return shown(_of_program(path, look, told))
    said = look.name if look is not None and look.name else entities.suffix
    if look is not None and look.name:
        kept = [part for part in kept if not part.startswith(("stat-", "desc-"))]
    return shown(" · ".join([*kept, said]))


def _of_program(path: Path, look: Look | None, told: str) -> str:
    """Return what a file is that a program named: its name, and what that means."""
    if look is None or look.kind in ("any", "anatomy", "signal") or look.name in ("", "values"):
        return " · ".join(part for part in (told, path.name) if part)
    ends = (end for end in VOLUMES if path.name.lower().endswith(end))
    stem = path.name[: -len(next(ends, "x"))]
    if look.name in stem.lower():
        return stem
    return " · ".join((told, look.name, stem) if told else (stem, look.name))


def background_of(volume: Volume, entry: Entry, origin: Origin, *, fine: bool = False) -> Any:
    """Return an anatomy in the space of a volume, as an image; None where none is here."""
    if volume.look.kind in ("anatomy", "signal", "phase"):
        return None
    if entry.mni if entry.mni is not None else _is_mni(volume):
        return load_mni152_template(resolution=2)
    for path, mask in anatomies(entry.path, origin.root, fine=fine):
        try:
            head = read_volume(path)
            values = head.values
            if mask is not None:
                brain = read_volume(mask)
                if brain.values.shape == values.shape:
                    values = np.where((brain.values > 0) | _known(volume, head), values, 0)
        except NeurofetchError:  # a damaged anatomy: the map is drawn without one
            continue
        return nib.nifti1.Nifti1Image(np.nan_to_num(values), head.affine)
    return None


def _is_mni(volume: Volume) -> bool:
    """Whether a volume is in MNI space: by its name, or where that has no space, by its header."""
    has_space = "space" in dict(parse(volume.path.name).values)
    return is_mni(volume.path.name) if has_space else volume.mni


def _known(volume: Volume, head: Volume) -> Any:
    """Return where a map has a value, on the grid of an anatomy: what it lies on is shown, too."""
    known = np.nan_to_num(volume.values) != 0
    if known.shape == head.values.shape and np.allclose(volume.affine, head.affine):
        return known
    image = resample_to_img(
        volume.image(known.astype(np.uint8)),
        head.image(),
        interpolation="nearest",
        force_resample=True,
        copy_header=True,
    )
    return np.asarray(image.dataobj) > 0


def spread(volume: Volume, number: int, background: Any = None) -> list[float]:
    """Return heights of axial slices: through all that has a value, but for the ends."""
    if volume.look.kind in ("mask", "labels"):
        background = None
    low, high = np.percentile(_places(volume, background)[:, 2], [6, 94])
    step = max(0.5, float(np.linalg.norm(volume.affine[:3, 2])))
    half = max((high - low) / 2, step * (number - 1) / 2)
    middle = (low + high) / 2
    return [float(cut) for cut in np.linspace(middle - half, middle + half, number)]


def _places(volume: Volume, background: Any = None) -> Any:
    """Return where voxels with a value lie, in millimetres: some of them, at least one."""
    values, affine = volume.values, volume.affine
    if background is not None:
        values, affine = np.asarray(background.dataobj), background.affine
    apart = max(1, round((values.size / _ENOUGH) ** (1 / 3)))
    values, affine = values[::apart, ::apart, ::apart], affine @ np.diag([apart] * 3 + [1])
    size = np.nan_to_num(np.abs(values))
    inside = np.argwhere(size > 1e-6 * size.max(initial=0))  # what was resampled has 1e-20 outside
    if volume.look.kind in ("anatomy", "signal") and background is None:
        known = np.nan_to_num(values)
        bright = known > 0.25 * np.percentile(known, 99)
        inside = np.argwhere(bright) if bright.any() else inside
    if not len(inside):
        inside = np.array([[(size - 1) / 2 for size in values.shape]])
    return inside @ affine[:3, :3].T + affine[:3, 3]


def _middle(volume: Volume, background: Any = None) -> list[float]:
    """Return where to cut: through the strongest value, or the middle of what has one."""
    flat = volume.look.kind in ("mask", "labels")
    places = _places(volume, None if flat else background)
    middle = [float(x) for x in np.median(places, axis=0)]
    if volume.look.kind in ("anatomy", "signal", "phase") or (flat and _is_inside(volume, middle)):
        return middle
    strength = np.nan_to_num(np.abs(volume.values))
    if strength.min(initial=np.inf, where=strength > 0) == strength.max():  # the same everywhere
        flat = True
        if _is_inside(volume, middle):
            return middle
    if flat:  # of two regions, well into one of them: the place between them has none
        strength = (strength != 0).astype(np.float32)
    for _ in range(4 if flat else 1):
        strength = _softened(strength)
    if not strength.any():
        return middle
    peak = np.unravel_index(int(strength.argmax()), strength.shape)
    return [float(x) for x in volume.affine[:3, :3] @ peak + volume.affine[:3, 3]]


def _is_inside(volume: Volume, place: Sequence[float]) -> bool:
    """Whether a place in millimetres lies in a voxel that has a value."""
    voxel = np.rint(np.linalg.inv(volume.affine) @ [*place, 1])[:3].astype(int)
    if (voxel < 0).any() or (voxel >= volume.values.shape).any():
        return False
    return bool(np.nan_to_num(volume.values[tuple(voxel)]) != 0)


def _softened(values: Any) -> Any:
    """Return values averaged with their neighbours, so that no single voxel is the peak."""
    for axis in range(3):
        values = (np.roll(values, 1, axis) + values + np.roll(values, -1, axis)) / 3
    return values


def _panel(
    volume: Volume,
    entry: Entry,
    origin: Origin,
    threshold: float | None,
    *,
    fine: bool = False,
    **more: Any,
) -> Panel:
    background = background_of(volume, entry, origin, fine=fine)
    if threshold is None and background is not None and not entry.thresholded:
        threshold = volume.look.threshold
    return panel(volume, background=background, threshold=threshold, **more)


def draw_one(
    entry: Entry, origin: Origin, frame: int | str | None, threshold: float | None
) -> Sheet:
    """Return a figure of one volume: three views, and a row of axial slices.

    Raises
    ------
    NeurofetchError
        If the file cannot be read, or has no such volume.
    """
    volume = read_volume(entry.path, frame, map_type=entry.map_type)
    what = _panel(volume, entry, origin, threshold, fine=True)
    fig = figure(11, 6.6)
    title = entry.title or name_of(entry.path, volume.look, volume.told)
    fit(say(fig, 0.022, 0.975, title, size=15, weight="bold"), 0.98)
    say(fig, 0.022, 0.925, _about(volume, what), size=10, color=QUIET)
    middle = _middle(volume, what.background)
    slices(fig, (0.02, 0.36, 0.86, 0.52), what, middle, mode="ortho", size=10)
    cuts = spread(volume, 7, what.background)
    slices(fig, (0.02, 0.085, 0.86, 0.24), what, cuts, size=9)
    bar(fig, (0.915, 0.3, 0.014, 0.42), what, size=10)
    fit(say(fig, 0.022, 0.032, _below(entry.path, origin), size=8, color=QUIET), 0.98)
    return Sheet(fig, [(entry, volume)], [])


def _about(volume: Volume, what: Panel) -> str:
    """Return the line below the title: which volume, voxels, and what the colours leave out."""
    size = " x ".join(str(one) for one in volume.shape[:3])
    zooms = " x ".join(f"{zoom:.3g}" for zoom in volume.zooms)
    parts = [volume.look.name, volume.which, f"{size} voxels of {zooms} mm"]
    if what.threshold:
        sign = "±" if volume.look.symmetric else ""
        parts.append(f"beyond {sign}{what.threshold:g}{_unit(volume.look)} only")
    if nothing := _of_nothing(volume):
        parts.append(nothing)
    elif volume.look.kind not in ("mask", "labels"):
        parts.append(f"colours end at {'±' if volume.look.symmetric else ''}{what.high:.3g}")
    return shown(" · ".join(part for part in parts if part))


def _unit(look: Look) -> str:
    return f" {look.unit}" if look.unit else ""


def _below(path: Path, origin: Origin) -> str:
    return " · ".join(part for part in (shown(_short(path.name, 110)), origin.told) if part)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def draw_sheet(
    entries: Sequence[Entry],
    origin: Origin,
    title: str,
    below: str,
    *,
    frame: int | str | None = None,
    threshold: float | None = None,
) -> Sheet:
    """Return a figure of many volumes, each cut thrice, with common colours for what compares.

    What cannot be read has a cell that says so.

    Parameters
    ----------
    entries : sequence of Entry
    origin : Origin
    title, below : str
        What stands above and below.
    frame, threshold : optional
        As for one file.
    """
    drawn: list[tuple[Entry, Volume]] = []
    failed: list[tuple[Entry, NeurofetchError]] = []
    ranges: dict[_Scale, list[tuple[float, float]]] = {}
    for entry in entries:  # first what range they have together: volumes are read twice, not kept
        try:
            volume = read_volume(entry.path, frame, map_type=entry.map_type)
        except NeurofetchError as exc:
            failed.append((entry, exc))
            continue
        if volume.look.kind not in _OWN_RANGE:
            ranges.setdefault(_scale_of(volume.look), []).append(range_of(volume))
        drawn.append((entry, replace(volume, values=volume.values[:0])))
    common = {scale: _common(ends) for scale, ends in ranges.items()}
    columns = min(_COLUMNS, max(1, len(entries)))
    rows = -(-len(entries) // columns)
    foot = 1.1 if ranges else 0.4
    width, height = 0.3 + 4.1 * columns, foot + 0.45 + 1.95 * rows
    fig = figure(width, height)
    fit(say(fig, 0.2 / width, 1 - 0.16 / height, title, size=14, weight="bold"), 1 - 0.2 / width)
    why = {id(entry): _in_short(error) for entry, error in failed}
    titles = _titles(entries, drawn)
    panels: dict[_Scale, Panel] = {}
    for number, entry in enumerate(entries):
        row, column = divmod(number, columns)
        x, y = 0.2 + 4.1 * column, height - 0.55 - 1.95 * (row + 1)
        right = (x + 3.9) / width
        if id(entry) in why:
            fit(say(fig, x / width, (y + 1.7) / height, titles[number], size=9), right)
            say(fig, x / width, (y + 1.2) / height, why[id(entry)], size=9, color="#B35900")
            continue
        volume = read_volume(entry.path, frame, map_type=entry.map_type)
        scale = _scale_of(volume.look)
        what = _panel(volume, entry, origin, threshold, ends=common.get(scale))
        panels.setdefault(scale, what)
        fit(say(fig, x / width, (y + 1.8) / height, titles[number], size=9, weight="bold"), right)
        detail = shown(_detail(volume, what))
        say(fig, x / width, (y + 1.62) / height, detail, size=7.5, color=QUIET)
        place = (x / width, (y + 0.12) / height, 3.9 / width, 1.33 / height)
        slices(fig, place, what, _middle(volume, what.background), mode="ortho", size=6.5)
    _bars(fig, [panels[scale] for scale in common if scale in panels], width, height)
    fit(say(fig, 0.2 / width, 0.22 / height, below, size=8, color=QUIET), 1 - 0.1 / width)
    return Sheet(fig, drawn, failed)


_Scale = tuple[str, str, str]


def _common(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the range that maps have together.

    One whose values are many times those of most others (a map of another kind under this name, as
    a rule) does not set it: beside it, nothing would be seen of them.
    """
    reaches = [max(abs(low), abs(high)) for low, high in ends]
    usual = _FAR * float(np.median(reaches))
    kept = [pair for pair, reach in zip(ends, reaches, strict=True) if reach <= usual] or ends
    return min(low for low, _ in kept), max(high for _, high in kept)


def _detail(volume: Volume, what: Panel) -> str:
    """Return the line below the title of a cell."""
    parts = [volume.look.name, volume.which, _of_nothing(volume)]
    low, high = range_of(volume)
    if volume.look.kind not in _OWN_RANGE and max(abs(low), abs(high)) > _FAR * what.high > 0:
        parts.append(f"beyond these colours: up to {max(abs(low), abs(high)):.3g}")
    return " · ".join(part for part in parts if part)


def _of_nothing(volume: Volume) -> str:
    """Return what is said of a volume in which nothing is to be seen."""
    known = volume.values[np.isfinite(volume.values)]
    if known.any():
        return ""
    return "nothing but zeros" if known.size else "no voxel has a value"


def _in_short(error: NeurofetchError) -> str:
    """Return why a cell is empty."""
    if isinstance(error, NotHereError):
        return "its content is not here"
    return "cannot be read" if isinstance(error, VerificationError) else "cannot be drawn"


def _scale_of(look: Look) -> _Scale:
    """Return what files have in common whose ranges compare: also the colours, with their zero."""
    return look.name, look.unit, look.colours


def _titles(entries: Sequence[Entry], drawn: Sequence[tuple[Entry, Volume]]) -> list[str]:
    """Return what each cell is called: what tells it from the others, where names say that."""
    named = [
        [f"{key}-{value}" for key, value in parse(entry.path.name).values if key != "space"]
        for entry in entries
    ]
    suffixes = {parse(entry.path.name).suffix for entry in entries}
    common = set.intersection(*map(set, named)) if len(named) > 1 else set()
    volumes = {id(entry): volume for entry, volume in drawn}
    titles = []
    for entry, parts in zip(entries, named, strict=True):
        own = [part for part in parts if part not in common]
        if len(suffixes) > 1:
            own.append(parse(entry.path.name).suffix)
        told = shown(" · ".join(own)) if own and parts else ""
        volume = volumes.get(id(entry))
        by_name = name_of(entry.path, told=volume.told if volume else "")
        titles.append(shown(entry.title) or told or by_name)
    return titles


def _bars(fig: Any, panels: Sequence[Panel], width: float, height: float) -> None:
    """Draw the colour bars that cells have in common, in one row below them."""
    for number, what in enumerate(panels):
        x = 0.2 + 2.05 * number
        if x + 2 > width:  # no room: each cell says what it is
            break
        say(fig, x / width, 0.92 / height, _short(what.look.name, 24), size=8)
        bar(fig, (x / width, 0.6 / height, 1.6 / width, 0.1 / height), what, size=7)
