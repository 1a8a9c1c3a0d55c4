"""A small LAION-fMRI on disk, and what nibabel and numpy naively make of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from testbed.laion import Recipe, make_bucket, write_local

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe(held_out=(), figures_per_session=1)
SESSIONS = list(RECIPE.sessions)
GLM = "derivatives/glmsingle-tedana"
MASK = "anatomical"
"""Which mask the naive functions take where none is named: the accessors' default."""


@cache
def objects() -> dict[str, bytes]:
    return make_bucket(RECIPE)


def write_tree(root: Path, *, subjects: tuple[str, ...] = ("sub-03",)) -> Path:
    """Lay out derivatives and stimuli of some subjects, no raw data."""
    root.mkdir(parents=True, exist_ok=True)
    kept = {
        key: content
        for key, content in objects().items()
        if not key.startswith("sub-")
        and (not key.startswith("derivatives") or any(f"/{s}/" in key for s in subjects))
    }
    write_local(kept, root)
    return root


def glm(root: Path, rest: str, session: str = "", subject: str = "sub-03") -> Path:
    """Return the path of a GLMsingle result by the end of its name."""
    folder = root / GLM / subject / (f"{session}/func" if session else "")
    found = [path for path in folder.iterdir() if path.name.endswith(rest)]
    assert len(found) == 1, found
    return found[0]


def betas_path(root: Path, session: str = "ses-01", subject: str = "sub-03") -> Path:
    return glm(root, "stat-effect_desc-SingletrialBetas_statmap.nii.gz", session, subject)


def trials_path(root: Path, session: str = "ses-01", subject: str = "sub-03") -> Path:
    return glm(root, "trials.tsv", session, subject)


def mean_path(root: Path, subject: str = "sub-03") -> Path:
    return glm(root, "R2mean_statmap.nii.gz", "", subject)


def anatomical_path(
    root: Path, subject: str = "sub-03", rest: str = "res-1pt8_desc-brain_mask.nii.gz"
) -> Path:
    folder = root / "derivatives" / "anatomical" / subject / "ses-PrismaAnat" / "anat"
    return folder / f"{subject}_ses-PrismaAnat_space-T1w_{rest}"


def naive_mask(root: Path, subject: str = "sub-03", source: str = "") -> np.ndarray:
    where = {"rsquare": mean_path, "anatomical": anatomical_path}[source or MASK]
    values = np.asarray(nib.load(where(root, subject)).dataobj).ravel()
    return np.array([not np.isnan(value) and value > 0 for value in values])


def naive_betas(
    root: Path, session: str = "ses-01", subject: str = "sub-03", source: str = ""
) -> np.ndarray:
    data = np.asarray(nib.load(betas_path(root, session, subject)).dataobj)
    flat = data.reshape(-1, data.shape[3])
    # In the order of C, as the loader's are: sums in single precision depend on it.
    return np.ascontiguousarray(flat[naive_mask(root, subject, source)].T)


def naive_map(root: Path, path: Path, subject: str = "sub-03", source: str = "") -> np.ndarray:
    return np.asarray(nib.load(path).dataobj).ravel()[naive_mask(root, subject, source)]


def naive_roi(
    root: Path, name: str, category: str, subject: str = "sub-03", source: str = ""
) -> np.ndarray:
    folder = root / "derivatives" / "rois" / subject / category
    path = folder / f"{subject}_space-T1w_res-1pt8_label-{name}_mask.nii.gz"
    return np.asarray(nib.load(path).dataobj).ravel()[naive_mask(root, subject, source)] != 0


def rewrite(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> None:
    """Replace a volume's values, and its affine where one is given."""
    image = nib.load(path)
    nib.save(nib.Nifti1Image(data, image.affine if affine is None else affine), path)


def same(one: object, other: object) -> bool:
    """Whether two arrays are the same, NaN in the same places included."""
    left, right = np.asarray(one), np.asarray(other)
    return np.array_equal(left, right, equal_nan=left.dtype.kind == right.dtype.kind == "f")
