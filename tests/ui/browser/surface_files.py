"""Balls of triangles, and values on them, as GIfTI files."""

import nibabel
import numpy as np
from nibabel.gifti import GiftiDataArray, GiftiImage

RINGS, AROUND = 24, 48


def mesh(radius):
    """A ball of triangles: points, and the numbers of the points of each triangle."""
    polar, round_ = np.meshgrid(
        np.linspace(0, np.pi, RINGS), np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    )
    points = [np.sin(polar) * np.cos(round_), np.sin(polar) * np.sin(round_), np.cos(polar)]
    here = np.arange(RINGS * AROUND).reshape(AROUND, RINGS)
    next_, below = np.roll(here, -1, axis=0), np.roll(here, -1, axis=1)
    across = np.roll(next_, -1, axis=1)
    faces = [(here, below, next_), (next_, below, across)]
    triangles = np.concatenate([np.stack(one, -1)[:, :-1].reshape(-1, 3) for one in faces])
    return radius * np.stack(points, -1).reshape(-1, 3).astype("f4"), triangles.astype("i4")


def write(path, *arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(GiftiImage(darrays=[GiftiDataArray(one, kind) for one, kind in arrays]), path)


def write_surface(root):
    """A mesh of a subject, and values on it."""
    points, triangles = mesh(50)
    write(
        root / "sub-01/anat/sub-01_hemi-L_pial.surf.gii",
        (points, "NIFTI_INTENT_POINTSET"),
        (triangles, "NIFTI_INTENT_TRIANGLE"),
    )
    values = (np.sin(points[:, 0] / 12) * 6 + np.cos(points[:, 2] / 20)).astype("f4")
    path = root / "sub-01/func/sub-01_hemi-L_zmap.func.gii"
    write(path, (values, "NIFTI_INTENT_ZSCORE"))
