"""Values on the surface of a hemisphere: GIFTI files, on a mesh that is here already."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nilearn import plotting
from nilearn.datasets import load_fsaverage

from neurofetch._shown import shown
from neurofetch.errors import UsageError
from neurofetch.pictures.drawing import QUIET, Panel, bar, colour_map, figure
from neurofetch.pictures.looks import SURFACES, Facts, Look, limits, look_of, settled
from neurofetch.pictures.reading import no_whole_file, sidecar_of, vertices_of
from neurofetch.planning.entities import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["draw_surface", "holds_surface"]

_OF_FSAVERAGE5 = 10242
_MOST = 50


def draw_surface(path: Path, root: Path | None) -> tuple[Any, Look]:
    """Return a figure of both sides of a hemisphere, and how its values are drawn.

    Parameters
    ----------
    path : Path
    root : Path or None
        The data set in which a mesh is looked for; nothing is fetched.

    Raises
    ------
    UsageError
        If there is no mesh with as many vertices.
    VerificationError
        If the file is not whole.
    """
    values, mesh = _read(path)
    hemi = "right" if _hemi(path) == "R" else "left"
    if mesh is None:
        mesh = _mesh(path, root, len(values))
    elif values is None:
        values = np.zeros(len(mesh[0]))
    look = settled(look_of(str(path), sidecar=sidecar_of(path)), _facts(values))
    low, high = _range(look, values)
    fig = figure(10.6, 3.9)
    shown_values = np.where(values == 0, np.nan, values) if look.kind == "mask" else values
    for number, view in enumerate(("lateral", "medial", "ventral")):
        axes = fig.add_axes((0.01 + 0.3 * number, 0.14, 0.3, 0.72), projection="3d")
        plotting.plot_surf(
            mesh, shown_values, hemi=hemi, view=view, cmap=colour_map(look), vmin=low, vmax=high,
            colorbar=False, axes=axes, figure=fig, engine="matplotlib",
        )  # fmt: skip
        fig.text(0.16 + 0.3 * number, 0.13, f"{hemi}, {view}", size=9, ha="center", color=QUIET)
    if path.name.endswith(".surf.gii"):
        return fig, look
    bar(fig, (0.93, 0.25, 0.013, 0.5), Panel(None, look, low, high))
    return fig, look


def holds_surface(path: Path) -> bool:
    """Whether a file holds a surface, or values on one: also one of FreeSurfer's.

    Parameters
    ----------
    path : Path
    """
    return path.name.lower().endswith(SURFACES) or vertices_of(path) > 0


def _hemi(path: Path) -> str:
    """Return the hemisphere that a name says: of BIDS, or of FreeSurfer."""
    side = {"lh": "L", "rh": "R"}.get(path.name.partition(".")[0], "L")
    return dict(parse(path.name).values).get("hemi", side)


def _read(path: Path) -> tuple[Any, Any]:
    """Return the values of a file, and its mesh where it holds one."""
    try:
        if vertices_of(path):
            return _of_freesurfer(path), None
        image: Any = nib.loadsave.load(path)
        points = image.agg_data("pointset")
        if not isinstance(points, tuple):
            return None, (points, image.agg_data("triangle"))
        values = image.agg_data()
        first = values[0] if isinstance(values, tuple) else values
        return np.asarray(first, dtype=float).reshape(len(first), -1)[:, 0], None
    except Exception as exc:  # what reads XML raises errors of many kinds
        raise no_whole_file(path, exc) from exc


def _of_freesurfer(path: Path) -> NDArray[Any]:
    with (gzip.open if path.name.lower().endswith("z") else open)(path, "rb") as file:
        kind: Any = nib.freesurfer
        image = kind.MGHImage.from_bytes(file.read())
    values = np.asarray(image.dataobj, dtype=float)
    return values.reshape(len(values), -1, order="F")[:, 0]


def _mesh(path: Path, root: Path | None, vertices: int) -> Any:
    for candidate in _candidates(path, root):
        try:
            if candidate.name.endswith(".gii"):
                _, mesh = _read(candidate)
            else:
                read: Any = nib.freesurfer
                points, faces = read.read_geometry(candidate)
                mesh = (points, faces)
        except (OSError, ValueError):  # another one may be whole
            continue
        if mesh is not None and len(mesh[0]) == vertices:
            return mesh
    if vertices == _OF_FSAVERAGE5:
        side = "right" if _hemi(path) == "R" else "left"
        part = load_fsaverage("fsaverage5")["inflated"].parts[side]
        return part.coordinates, part.faces
    raise UsageError(
        f"{shown(str(path))} has values of {vertices:,} vertices, and no surface with as many is "
        f"here. Nothing was drawn: fetch the surfaces of the subject (of LAION-fMRI, with "
        f"--include-freesurfer), and show the file again."
    )


def _candidates(path: Path, root: Path | None) -> Iterator[Path]:
    """Yield files that may hold the mesh, those beside the values first."""
    hemi = _hemi(path)
    yield from sorted(path.parent.glob(f"*hemi-{hemi}*.surf.gii"))[:_MOST]
    subject = dict(parse(str(path)).values).get("sub")
    if root is None or subject is None:
        return
    side = "rh" if hemi == "R" else "lh"
    for folder in sorted(root.glob(f"derivatives/freesurfer*/sub-{subject}*/surf"))[:_MOST]:
        for name in ("inflated", "pial", "white"):
            if (folder / f"{side}.{name}").is_file():
                yield folder / f"{side}.{name}"


def _facts(values: NDArray[Any]) -> Facts:
    known = values[np.isfinite(values) & (values != 0)]
    if not known.size:
        return Facts(0.0, 0.0, whole=True, distinct=0)
    whole = bool((known == np.round(known)).all())
    return Facts(
        float(known.min()), float(known.max()), whole=whole, distinct=len(np.unique(known))
    )


def _range(look: Look, values: NDArray[Any]) -> tuple[float, float]:
    known = values[np.isfinite(values) & (values != 0)]
    if not known.size:
        return 0.0, 1.0
    if look.symmetric:
        reach = float(np.percentile(np.abs(known), look.percentile))
        return limits(look, -reach, reach)
    low, high = np.percentile(known, [100 - look.percentile, look.percentile])
    return limits(look, float(low), float(high))
