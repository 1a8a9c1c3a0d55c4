"""Masks, surfaces, regions and localizers of the made-up bucket's subjects."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from testbed import _encode as enc
from testbed import _head
from testbed._phantom import (
    IMAGE_CATEGORIES,
    N_VERTICES,
    ROIS,
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
    fine = fine_grid(head.grid)
    affine = grid_affine(fine, head.fine_mm)
    masks = head.rois_on(fine)
    meshes = {hemi: hemisphere(head, hemi)[0] for hemi in N_VERTICES}
    for category, labels in ROIS.items():
        for label in labels:
            stem = f"derivatives/rois/{head.subject}/{category}/{head.subject}"
            name = f"label-{label}_mask"
            coarse_mask, fine_mask = (kind[label].astype(np.uint8) for kind in (head.rois, masks))
            yield f"{stem}_space-T1w_res-1pt8_{name}.nii.gz", enc.nifti(coarse_mask, head.affine)
            yield f"{stem}_space-T1w_res-1pt5_{name}.nii.gz", enc.nifti(fine_mask, affine)
            for hemi, points in meshes.items():
                vertices = _patch(head, label, hemi, points)
                mask = np.zeros(len(points), dtype=np.float32)
                mask[vertices] = 1
                surface = f"{stem}_hemi-{hemi}_space-fsnative_{name}"
                yield surface + ".func.gii", enc.gifti(mask)
                yield surface + ".label", enc.freesurfer_label(vertices, head.subject)


def _patch(head: Head, label: str, hemi: str, points: NDArray[np.float64]) -> list[int]:
    """Return the 40 vertices that are nearest to a region, in the order of their numbers."""
    centres = head.region_centres(label, -1 if hemi == "L" else 1)
    away = np.linalg.norm(head.to_mni(points)[:, None] - centres, axis=2).min(axis=1)
    return [int(vertex) for vertex in np.sort(np.argsort(away, kind="stable")[:40])]


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


@functools.lru_cache(maxsize=8)
def hemisphere(
    head: Head, hemi: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Return a hemisphere as a wrapping: places of its vertices, those of its sphere, and faces.

    From a point in the middle of it, each vertex is as far out as the brain reaches, but no further
    than the plane between the hemispheres. The right one has a vertex more, in a face's middle.
    """
    sphere_points, faces = sphere(3)
    if hemi == "R":
        middle = sphere_points[faces[0]].sum(axis=0)
        sphere_points = np.concatenate([sphere_points, [middle / np.linalg.norm(middle)]])
        a, b, c = faces[0]
        new = len(sphere_points) - 1
        three = np.array([(a, b, new), (b, c, new), (c, a, new)], dtype=np.int32)
        faces = np.concatenate([faces[1:], three])
    assert len(sphere_points) == N_VERTICES[hemi]
    side = -1 if hemi == "L" else 1
    start = (np.array([side * 30.0, -20.0, 12.0]) - _head.CENTRE) / head.scale
    steps = np.arange(0, 110, 1.0) / head.scale.mean()
    ways = start + steps[:, None, None] * sphere_points
    voxels = np.rint((ways - head.affine[:3, 3]) / head.voxel_mm).astype(int)
    inside = ((voxels >= 0) & (voxels < head.grid)).all(axis=2)
    inside &= head.brain[tuple(np.clip(voxels, 0, np.array(head.grid) - 1).T)].T
    inside &= np.sign(ways[..., 0]) == side
    reach = np.logical_and.accumulate(inside, axis=0).sum(axis=0) - 1
    return start + steps[reach][:, None] * sphere_points, sphere_points, faces


def freesurfer(head: Head) -> Files:
    """Yield a part of what recon-all leaves: volumes, surfaces, labels, and the way to MNI305."""
    base = f"derivatives/freesurfer/{head.subject}/"
    tissue = head.tissue(head.grid)
    anatomy = np.round(110 * tissue.t1 * head.brain).astype(np.uint8)
    yield base + "mri/brain.mgz", enc.mgz(anatomy, head.affine)
    yield base + "mri/aseg.mgz", enc.mgz(_segmented(head), head.affine)
    yield base + "mri/transforms/talairach.lta", enc.lta(to_mni305(head), head.grid, head.affine)
    for hemi, side in (("L", "lh"), ("R", "rh")):
        points, sphere_points, faces = hemisphere(head, hemi)
        for name, size in (("white", 0.9), ("pial", 1.0)):
            middle = points.mean(axis=0)
            place = middle + size * (points - middle)
            yield f"{base}surf/{side}.{name}", enc.mesh(place, faces, C_RAS)
        yield f"{base}surf/{side}.sphere.reg", enc.mesh(100 * sphere_points, faces)
        cortex = range(0, N_VERTICES[hemi], 2)
        yield f"{base}label/{side}.cortex.label", enc.freesurfer_label(cortex, head.subject)
    yield base + "scripts/recon-all.done", f"SUBJECT {head.subject}\n".encode()


def _segmented(head: Head) -> NDArray[np.int32]:
    """Return labels as FreeSurfer numbers them: white and grey matter of each side, ventricles."""
    tissue = head.tissue(head.grid)
    x, y, z = (axis.places for axis in head.axes(head.grid))
    right = np.broadcast_to(x[:, None, None] > 0, head.grid)
    behind = np.broadcast_to((y[:, None] < -40) & (z < -22), head.grid)
    shares = np.stack([tissue.white, tissue.grey, tissue.fluid])
    kind = np.argmax(shares, axis=0)
    left_labels = np.where(behind, np.array([7, 8, 0])[kind], np.array([2, 3, 4])[kind])
    right_labels = np.where(behind, np.array([46, 47, 0])[kind], np.array([41, 42, 43])[kind])
    labels = np.where(right, right_labels, left_labels)
    return np.where(head.brain, labels, 0).astype(np.int32)


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
    half = head.voxel_mm / 2
    for grid, millimetres, res in ((head.grid, 2 * half, "res-1pt8_"), ((x, y, z), half, "")):
        affine = grid_affine(grid, millimetres)
        mask = head.anatomical_mask(grid)
        for suffix in ("T1w", "T2w"):
            yield (
                f"{base}space-T1w_{res}{suffix}.nii.gz",
                enc.nifti(scan(head, suffix, grid), affine),
            )
            yield f"{base}space-T1w_{res}{suffix}.json", _sidecar(suffix)
        name = f"{base}space-T1w_{res}desc-brain_mask"
        yield name + ".nii.gz", enc.nifti(mask.astype(np.uint8), affine)
        yield name + ".json", _sidecar("Brain mask")


def scan(head: Head, suffix: str, grid: tuple[int, int, int]) -> NDArray[np.int16]:
    """Return a whole head as a scanner would see it, T1- or T2-weighted."""
    tissue = head.tissue(grid)
    if suffix == "T1w":
        bright = np.maximum(tissue.t1, tissue.scalp)
    else:
        brain = 0.5 * tissue.grey + 0.32 * tissue.white + 0.95 * tissue.fluid
        bright = np.maximum(brain, 0.6 * tissue.scalp)
    noise = stream(head.seed, head.subject, suffix, grid).integers(-8, 9, grid)
    return np.clip(np.round(900 * bright) + noise, 0, None).astype(np.int16)


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
    rng = stream(head.seed, stem, name)
    noise = _head.smooth_noise(rng, head.grid)[head.brain]
    effect = name.split("_")[1] == "stat-effect"
    answer = _answer(head, name.split("-")[1].split("_", maxsplit=1)[0])
    values = 0.3 * answer + 0.1 * noise if effect else answer + 0.8 * noise
    sidecar = enc.json_text({"Description": name, "Units": "percent" if effect else "z"})
    whole = head.volume(values)
    yield f"{stem}_space-T1w_res-1pt8_{name}.nii.gz", enc.nifti(whole, head.affine)
    yield f"{stem}_space-T1w_res-1pt8_{name}.json", sidecar
    for hemi in N_VERTICES:
        points, _, _ = hemisphere(head, hemi)
        at = np.rint((points - head.affine[:3, 3]) / head.voxel_mm).astype(int)
        on_surface = np.nan_to_num(whole[tuple(at.T)]).astype(np.float32)
        yield f"{stem}_hemi-{hemi}_space-fsnative_{name}.func.gii", enc.gifti(on_surface)


def _answer(head: Head, contrast: str) -> NDArray[np.float64]:
    """Return how strongly each brain voxel answers to a contrast, as a z value without noise."""
    first = contrast.split("Vs", maxsplit=1)[0]
    if first in IMAGE_CATEGORIES:
        mine = IMAGE_CATEGORIES.index(first)
        others = np.delete(head.tuning, mine, axis=1).max(axis=1)
        return np.asarray(6.5 * head.tuning[:, mine] - 3.0 * others * head.gain)
    if first == "motion":
        return 6.5 * head.soft("hMT", "MST") + 2.0 * head.soft("V1", "V3")
    return 5.0 * head.visual


def _sidecar(description: str) -> bytes:
    return enc.json_text({"Description": description})
