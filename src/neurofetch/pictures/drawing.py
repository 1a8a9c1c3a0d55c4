"""From volumes to figures: slices with sides and millimetres, a bar with its unit, on white."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import nibabel as nib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from nilearn import plotting

from neurofetch.pictures.looks import COLOURS, DISTINCT, Look, limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from neurofetch.pictures.reading import Volume

__all__ = [
    "INK",
    "QUIET",
    "Outline",
    "Panel",
    "bar",
    "colour_map",
    "figure",
    "fit",
    "legend",
    "panel",
    "range_of",
    "say",
    "slices",
]

INK: Final = "#1B1F24"
QUIET: Final = "#57606A"
_LONGEST: Final = 500
_SHORTEST: Final = 12
"""Letters of a text that has to fit."""
_NOTHING: Final = 1e-9
_ENOUGH: Final = 3_000_000
_DASHES: Final = ("solid", (0, (4, 1.2)), (0, (1.4, 1)))
"""What tells outlines apart once the colours begin anew."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A region that is outlined.

    Parameters
    ----------
    name : str
        As the legend has it.
    image : nibabel image
        1 inside, 0 outside.
    number : int
        Which colour and which kind of line it has.
    """

    name: str
    image: Any
    number: int

    @property
    def colour(self) -> str:
        """One of `DISTINCT`."""
        return DISTINCT[self.number % len(DISTINCT)]

    @property
    def line(self) -> Any:
        """How it is dashed."""
        return _DASHES[self.number // len(DISTINCT) % len(_DASHES)]


@dataclass(frozen=True, slots=True)
class Panel:
    """What is drawn in one place.

    Parameters
    ----------
    image : nibabel image
    look : Look
    low, high : float
        Both ends of the colour bar.
    background : nibabel image, optional
        An anatomy below, where there is one.
    outlines : sequence of Outline
    threshold : float or None
        What is nearer to zero is left out; None leaves out only what has no value.
    """

    image: Any
    look: Look
    low: float
    high: float
    background: Any = None
    outlines: Sequence[Outline] = field(default=())
    threshold: float | None = None


def figure(width: float, height: float) -> Any:
    """Return an empty figure of so many inches, white; no window belongs to it."""
    made = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(made)
    return made


def say(fig: Any, x: float, y: float, text: str, **how: Any) -> Any:
    """Write a text; what looks like a formula in it stays as it is."""
    return fig.text(x, y, text, parse_math=False, **{"color": INK, "va": "top", **how})


def fit(text: Any, right: float) -> Any:
    """Cut the middle out of a text that ends beyond a place: names differ at their ends.

    Parameters
    ----------
    text : matplotlib.text.Text
    right : float
        In parts of the figure.
    """
    whole = text.get_text()[:_LONGEST]
    most = len(whole)
    while most > _SHORTEST and _end_of(text) > right:
        most -= max(1, most // 20)
        text.set_text(f"{whole[: most // 3]}…{whole[len(whole) - (most - most // 3 - 1) :]}")
    return text


def _end_of(text: Any) -> float:
    fig = text.get_figure()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        box = text.get_window_extent(fig.canvas.get_renderer())
    return float(box.x1 / (fig.get_figwidth() * fig.dpi))


def colour_map(look: Look) -> Any:
    """Return the colour map of a look."""
    if look.colours in COLOURS:
        return LinearSegmentedColormap.from_list(look.colours, COLOURS[look.colours])
    if look.colours == "mask":
        return ListedColormap([DISTINCT[0]], name="mask")
    if look.colours == "labels":
        further = [to_hex(mpl.colormaps["tab20b"](index)) for index in range(20)]
        return ListedColormap([*DISTINCT[:7], *further], name="labels")
    return mpl.colormaps[look.colours]


def range_of(volume: Volume) -> tuple[float, float]:
    """Return both ends of the colour bar of a volume, by its look and its values."""
    values = volume.values
    if values.size > _ENOUGH:  # of many voxels, every tenth tells as much
        values = values.ravel()[:: values.size // _ENOUGH + 1]
    known = values[np.isfinite(values) & (values != 0)]
    if not known.size:
        return limits(volume.look, 0.0, 0.0)
    if volume.look.kind == "labels":
        return float(min(1, known.min())), float(known.max())
    if volume.look.symmetric:
        reach = float(np.percentile(np.abs(known), volume.look.percentile))
        return limits(volume.look, -reach, reach)
    ends = np.percentile(known, [100 - volume.look.percentile, volume.look.percentile])
    return limits(volume.look, float(ends[0]), float(ends[1]))


def panel(volume: Volume, ends: tuple[float, float] | None = None, **more: Any) -> Panel:
    """Return a panel of a volume, in its own range or in another."""
    low, high = ends or range_of(volume)
    values = volume.values
    if volume.look.kind == "labels":  # the same few colours again and again
        values = _in_turn(values, colour_map(volume.look).N)
        low, high = 0.5, colour_map(volume.look).N + 0.5
    return Panel(_thick(volume, np.nan_to_num(values)), volume.look, low, high, **more)


def _thick(volume: Volume, values: NDArray[Any]) -> Any:
    """Return an image of at least three voxels along each axis: a plane has no slices across it."""
    around = [(1, 1) if size < 3 else (0, 0) for size in values.shape]
    if not any(before for before, _ in around):
        return volume.image(values)
    corner = np.eye(4)
    corner[:3, 3] = [-before for before, _ in around]
    return nib.nifti1.Nifti1Image(np.pad(values, around), volume.affine @ corner)


def _in_turn(values: NDArray[Any], colours: int) -> NDArray[Any]:
    there = np.unique(values[values > 0])
    ranks = np.searchsorted(there, values) % colours + 1
    return np.asarray(np.where(values > 0, ranks, 0), dtype=np.float32)


def slices(
    fig: Any, place: Sequence[float], what: Panel, cuts: Any, *, mode: str = "z", size: float = 8
) -> Any:
    """Draw slices of a panel, with their sides and the millimetres at which they are cut.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    place : sequence of float
        Left, bottom, width and height, in parts of the figure.
    what : Panel
    cuts : sequence of float
        Millimetres; of the mode "ortho", one for each axis.
    mode : str
        As nilearn's ``display_mode``.
    size : float
        Of the letters.

    Returns
    -------
    nilearn.plotting.displays.BaseSlicer
    """
    with warnings.catch_warnings():  # of little images, nilearn says much that helps nobody
        warnings.simplefilter("ignore")
        return _sliced(fig.add_axes(place), what, cuts, mode, size)


def _sliced(axes: Any, what: Panel, cuts: Any, mode: str, size: float) -> Any:
    common = {"display_mode": mode, "cut_coords": cuts, "axes": axes, "figure": axes.figure}
    plain = {**common, "annotate": False, "draw_cross": False, "colorbar": False, "black_bg": False}
    colours = {"cmap": colour_map(what.look), "vmin": what.low, "vmax": what.high}
    flat = what.look.kind in ("labels", "mask")
    smooth = {"resampling_interpolation": "nearest"} if flat else {}
    threshold: float | None = what.threshold if what.threshold is not None else _nothing(what)
    if what.look.kind in ("anatomy", "signal", "phase") and not _has_empty_edges(what.image):
        threshold = None
    if what.background is not None:
        low, high = _grey(what.background)
        display = plotting.plot_img(
            what.background, cmap="gray", vmin=low, vmax=high, threshold=_NOTHING, **plain
        )
        display.add_overlay(what.image, threshold=threshold, **colours)
    else:
        display = plotting.plot_img(what.image, threshold=threshold, **colours, **smooth, **plain)
    _outline(display, what.outlines)
    _annotated(display, size)
    return display


def _nothing(what: Panel) -> float:
    """Return what counts as zero: little beside the range, which may itself be very little."""
    return min(_NOTHING, max(abs(what.low), abs(what.high)) * 1e-6)


def _has_empty_edges(image: Any) -> bool:
    """Whether all around is 0: what lies outside of the brain was taken away."""
    values = np.asarray(image.dataobj)
    return not any(np.take(values, side, axis).any() for axis in range(3) for side in (0, -1))


def _grey(background: Any) -> tuple[float, float]:
    """Return a range in which an anatomy is lighter than usual: what lies on it stands out."""
    values = np.asarray(background.dataobj)
    known = values[np.isfinite(values) & (values != 0)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, [2, 99])
    return float(low - 0.9 * (high - low)), float(high + 0.1 * (high - low))


def _outline(display: Any, outlines: Sequence[Outline]) -> None:
    """Draw contours: light edges below all of them, so that none hides another."""
    for outline in outlines:
        _contour(display, outline, "white", 3.0, "solid")
    for outline in outlines:
        _contour(display, outline, outline.colour, 1.5, outline.line)


def _contour(display: Any, outline: Outline, colour: str, width: float, line: Any) -> None:
    display.add_contours(
        outline.image, levels=[0.5], colors=[colour], linewidths=width, linestyles=[line]
    )


def _annotated(display: Any, size: float) -> None:
    back = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.75}
    for cut in display.axes.values():
        if cut.direction not in "xlr":
            sides = ("R", "L") if getattr(cut, "radiological", False) else ("L", "R")
            for place, side in zip((0.02, 0.98), sides, strict=True):
                cut.ax.text(
                    *(place, 0.98, side),
                    transform=cut.ax.transAxes, size=size, color=QUIET, va="top", bbox=back,
                    ha="left" if place < 0.5 else "right",
                )  # fmt: skip
        where = f"{cut.direction} = {cut.coord:.0f} mm".replace("-0 ", "0 ")
        cut.ax.annotate(  # in points: a part of the height of a small slice is no gap
            where.replace("-", "\N{MINUS SIGN}"),
            *((0.5, 0), (0, -size / 3)), xycoords="axes fraction", textcoords="offset points",
            size=size, color=QUIET, va="top", ha="center",
        )  # fmt: skip


def bar(fig: Any, place: Sequence[float], what: Panel, size: float = 9) -> Any:
    """Draw the colour bar of a panel, with its unit; labels and masks have none."""
    if what.look.kind in ("labels", "mask"):
        return None
    upright = place[3] * fig.get_figheight() > place[2] * fig.get_figwidth()
    made = fig.colorbar(
        ScalarMappable(Normalize(what.low, what.high), colour_map(what.look)),
        cax=fig.add_axes(place),
        orientation="vertical" if upright else "horizontal",
    )
    made.locator = MaxNLocator(nbins=4 if upright else 3, symmetric=what.look.symmetric)
    made.update_ticks()
    made.outline.set_visible(False)
    made.ax.tick_params(labelsize=size, colors=QUIET, length=2)
    if upright:  # across: a z that lies on its side is an N
        made.ax.set_title(what.look.unit, color=INK, size=size, pad=7, parse_math=False)
    else:
        made.set_label(what.look.unit, color=INK, size=size, parse_math=False)
    if what.threshold:
        for edge in (-what.threshold, what.threshold):
            if what.low < edge < what.high:
                (made.ax.axhline if upright else made.ax.axvline)(edge, color=INK, lw=0.8)
    return made


def legend(fig: Any, outlines: Sequence[Outline], place: tuple[float, float], **how: Any) -> None:
    """Draw which outline is which."""
    if not outlines:
        return
    handles = [
        Line2D([0], [0], color=one.colour, linestyle=one.line, lw=2.2, label=one.name)
        for one in outlines
    ]
    settings: Mapping[str, Any] = {"loc": "upper left", "frameon": False, "fontsize": 9, **how}
    made = fig.legend(handles=handles, bbox_to_anchor=place, labelcolor=INK, **settings)
    for text in made.get_texts():
        text.set_parse_math(False)
