"""Masks, surfaces, regions and localizers of the made-up bucket's subjects."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from testbed import _encode as enc
from testbed._phantom import (
    FINE_MM,
    IMAGE_CATEGORIES,
    N_VERTICES,
    ROIS,
    VOXEL_MM,
    Head,
    fine_grid,
    grid_affine,
    stream,
)

__all__ = ["LOCALIZERS", "anatomical", "freesurfer", "localizers", "rois", "sphere"]

Files = Iterator[tuple[str, bytes]]

#: Session, runs and contrasts of each localizer task, but `oloc`, which lies in a held-out session.
LOCALIZERS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "floc": ("4BarScreenfLoc", 2, tuple(f"{name}VsOthers" for name in IMAGE_CATEGORIES)),
    "MotionLoc": ("MotionLocBarsSML", 1, ("motionVsStatic",)),
}

#: Of the surfaces: the middle of the volume they were made from, in scanner coordinates.
C_RAS = (1.5, -2.0, 3.0)


def rois(head: Head) -> Files:
    """Yield each region as volumes of two resolutions and as surfaces of two kinds."""
    for category, labels in ROIS.items():
        for label in labels:
            stem = f"derivatives/rois/{head.subject}/{category}/{head.subject}"
            yield from _roi_files(head, stem, label)


def _roi_files(head: Head, stem: str, label: str) -> Files:
    fine = fine_grid(head.grid)
    coarse_mask = head.rois[label].astype(np.uint8)
    fine_mask = head.roi_mask(label, fine).astype(np.uint8)
    name = f"label-{label}_mask"
    yield f"{stem}_space-T1w_res-1pt8_{name}.nii.gz", enc.nifti(coarse_mask, head.affine)
    affine = grid_affine(fine, FINE_MM)
    yield f"{stem}_space-T1w_res-1pt5_{name}.nii.gz", enc.nifti(fine_mask, affine)
    for hemi, total in N_VERTICES.items():
        start = int(stream(head.seed, head.subject, label, hemi).integers(0, total - 40))
        vertices = range(start, start + 40)
        mask = np.zeros(total, dtype=np.float32)
        mask[start : start + 40] = 1
        surface = f"{stem}_hemi-{hemi}_space-fsnative_{name}"
        yield surface + ".func.gii", enc.gifti(mask)
        yield surface + ".label", enc.freesurfer_label(vertices, head.subject)


def sphere(level: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return vertices and faces of a sphere of radius 1: an icosahedron, refined.

    Examples
    --------
    >>> [len(sphere(level)[0]) for level in (0, 1, 3, 5)]
    [12, 42, 642, 10242]
    """
    golden = (1 + 5**0.5) / 2
    corners = [(s, t * golden, 0.0) for s in (-1, 1) for t in (-1, 1)]
    points = np.array([np.roll(corner, turn) for turn in range(3) for corner in corners])
    near = np.isclose(((points[:, None] - points[None]) ** 2).sum(axis=2), 4)
    faces = np.array(
        [
            (i, j, k) if np.linalg.det(points[[i, j, k]]) > 0 else (i, k, j)
            for i in range(12)
            for j in range(i)
            for k in range(j)
            if near[i, j] and near[j, k] and near[i, k]
        ]
    )
    for _ in range(level):
        points, faces = _refined(points, faces)
    return points / np.linalg.norm(points, axis=1, keepdims=True), faces.astype(np.int32)


def _refined(
    points: NDArray[np.float64], faces: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, which = np.unique(edges, axis=0, return_inverse=True)
    middles = (points[unique[:, 0]] + points[unique[:, 1]]) / 2
    ab, bc, ca = which.reshape(3, -1) + len(points)
    a, b, c = faces.T
    split = [np.stack(three, axis=1) for three in ((a, ab, ca), (ab, b, bc), (ca, bc, c))]
    split.append(np.stack((ab, bc, ca), axis=1))
    return np.concatenate([points, middles]), np.concatenate(split)


def _hemisphere(hemi: str) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return a hemisphere's sphere; the right one has a vertex more, in the middle of a face."""
    points, faces = sphere(3)
    if hemi == "R":
        middle = points[faces[0]].sum(axis=0)
        points = np.concatenate([points, [middle / np.linalg.norm(middle)]])
        a, b, c = faces[0]
        new = len(points) - 1
        three = np.array([(a, b, new), (b, c, new), (c, a, new)], dtype=np.int32)
        faces = np.concatenate([faces[1:], three])
    assert len(points) == N_VERTICES[hemi]
    return points, faces


def freesurfer(head: Head) -> Files:
    """Yield a part of what recon-all leaves: volumes, surfaces, labels, and the way to MNI305."""
    base = f"derivatives/freesurfer/{head.subject}/"
    anatomy = (100 * head.brain).astype(np.uint8)
    yield base + "mri/brain.mgz", enc.mgz(anatomy, head.affine)
    yield base + "mri/aseg.mgz", enc.mgz((anatomy // 50).astype(np.int32), head.affine)
    yield base + "mri/transforms/talairach.lta", enc.lta(to_mni305(head), head.grid, head.affine)
    half_axes = 0.44 * np.array(head.grid) * VOXEL_MM
    for hemi, side in (("L", "lh"), ("R", "rh")):
        points, faces = _hemisphere(hemi)
        middle = np.array([-0.45 if hemi == "L" else 0.45, 0, 0])
        for name, size in (("white", 0.85), ("pial", 1.0)):
            place = (middle + size * points * [0.38, 0.75, 0.75]) * half_axes
            yield f"{base}surf/{side}.{name}", enc.mesh(place, faces, C_RAS)
        yield f"{base}surf/{side}.sphere.reg", enc.mesh(100 * points, faces)
        cortex = range(0, N_VERTICES[hemi], 2)
        yield f"{base}label/{side}.cortex.label", enc.freesurfer_label(cortex, head.subject)
    yield base + "scripts/recon-all.done", f"SUBJECT {head.subject}\n".encode()


def to_mni305(head: Head) -> NDArray[np.float64]:
    """Return a subject's affine from its scanner coordinates to those of MNI305."""
    matrix = np.diag([1.1, 1.05, 1.2, 1.0])
    matrix[:3, 3] = stream(head.seed, head.subject, "MNI305").uniform(-3, 3, 3)
    return matrix


def anatomical(head: Head) -> Files:
    """Yield T1w, T2w and the brain mask, each on the grid of the betas and at full resolution."""
    session = "ses-PrismaAnat"
    base = f"derivatives/anatomical/{head.subject}/{session}/anat/{head.subject}_{session}_"
    x, y, z = (2 * size for size in head.grid)
    for grid, millimetres, res in ((head.grid, VOXEL_MM, "res-1pt8_"), ((x, y, z), 0.9, "")):
        affine = grid_affine(grid, millimetres)
        mask = head.anatomical_mask(grid)
        for suffix, bright in (("T1w", 100), ("T2w", 60)):
            yield (
                f"{base}space-T1w_{res}{suffix}.nii.gz",
                enc.nifti(mask * np.int16(bright), affine),
            )
            yield f"{base}space-T1w_{res}{suffix}.json", _sidecar(suffix)
        name = f"{base}space-T1w_{res}desc-brain_mask"
        yield name + ".nii.gz", enc.nifti(mask.astype(np.uint8), affine)
        yield name + ".json", _sidecar("Brain mask")


def localizers(head: Head, *, objects: bool = False) -> Files:
    """Yield maps of the localizers as volumes and surfaces.

    Parameters
    ----------
    head
    objects
        Also the localizer of objects, whose session has the name of a held-out one.
    """
    tasks = dict(LOCALIZERS)
    if objects:
        tasks["oloc"] = ("ses-31", 1, ("objectVsScrambled", "scrambledVsBaseline"))
    for task, (session, runs, contrasts) in tasks.items():
        ses = f"ses-{session.removeprefix('ses-')}"
        stem = f"derivatives/localizers/{head.subject}/{ses}/func/{head.subject}_{ses}_task-{task}"
        for contrast in contrasts:
            yield from _localizer_maps(head, stem, f"contrast-{contrast}_stat-z_statmap")
        for run in range(1, runs + 1) if task == "floc" else ():
            name = "contrast-face_stat-effect_statmap"
            yield from _localizer_maps(head, f"{stem}_run-{run:02d}", name)


def _localizer_maps(head: Head, stem: str, name: str) -> Files:
    prefers = name.split("-")[1].split("Vs", maxsplit=1)[0]
    index = IMAGE_CATEGORIES.index(prefers) if prefers in IMAGE_CATEGORIES else -2
    noise = stream(head.seed, stem, name).normal(0, 1, head.gain.size)
    values = head.volume(4.0 * (head.preference == index) + noise)
    yield f"{stem}_space-T1w_res-1pt8_{name}.nii.gz", enc.nifti(values, head.affine)
    yield f"{stem}_space-T1w_res-1pt8_{name}.json", _sidecar(name)
    for hemi, total in N_VERTICES.items():
        vertices = stream(head.seed, stem, name, hemi).normal(0, 1, total).astype(np.float32)
        yield f"{stem}_hemi-{hemi}_space-fsnative_{name}.func.gii", enc.gifti(vertices)


def _sidecar(description: str) -> bytes:
    return enc.json_text({"Description": description})
