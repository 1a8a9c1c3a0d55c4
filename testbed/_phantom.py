"""The science of the made-up data: one brain a subject, with voxels that prefer things.

A voxel's response to an image is its gain, more of it when the image shows what the voxel's region
prefers, plus a smooth pattern for that very image, plus smooth noise that differs from trial to
trial. Responses are strong in the visual cortex and weak elsewhere.
The noise ceiling and the mean-R² map are computed from the same signal and noise, not drawn.

The head is scaled to fill its grid. On the grids of tests, of voxels of 1.8 mm, it is a doll's.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from testbed import _head
from testbed._regions import REGIONS, VISUAL

VOXEL_MM = 1.8
FINE_MM = 1.5
N_VERTICES = {"L": 642, "R": 643}
N_FEATURES = 6
NOISE_SD = 1.0
PREFERENCE = 2.0

#: What a picture can show; a region of the same name responds to it more than to the rest.
IMAGE_CATEGORIES = ("body", "character", "face", "object", "place")

#: The bucket's label values by category: some carry hyphens, which BIDS forbids.
ROIS: dict[str, tuple[str, ...]] = {
    "body": ("EBA", "FBA-1", "FBA-2"),
    "character": ("OWFA", "VWFA-1"),
    "face": ("FFA-1", "FFA-2", "OFA", "pSTS-faces"),
    "laion": ("reliable",),
    "motion": ("MST", "hMT"),
    "object": ("LO", "pFs"),
    "place": ("OPA", "PPA", "RSC"),
    "retinotopy": ("V1", "V2", "V3", "hV4"),
}

#: How large a brain is in MNI space, in millimetres, its lowest part aside.
_HEAD_MM = (144.0, 188.0, 148.0)
#: Below it, the anatomical mask ends, in MNI space.
_LOWEST = -46.0
#: A region has at least so many voxels in a hemisphere, however large they are.
_FEWEST = 8
_SEEING = tuple(label for kind, labels in ROIS.items() if kind != "laion" for label in labels)


def category_of(label: str) -> str:
    """Return what the image named ``label`` shows, one of `IMAGE_CATEGORIES`."""
    return IMAGE_CATEGORIES[zlib.crc32(label.encode()) % len(IMAGE_CATEGORIES)]


def stream(*parts: object) -> np.random.Generator:
    """Return a generator of random numbers that belongs to these parts alone."""
    return np.random.default_rng([zlib.crc32(str(part).encode()) for part in parts])


@dataclass(frozen=True)
class Head:
    """One subject's brain: its masks, its maps and its responses.

    Parameters
    ----------
    seed
        The recipe's seed.
    subject
        For example ``sub-01``; two subjects differ in everything but the plan of the regions.
    grid
        The shape of a volume, in voxels of 1.8 mm.
    unfitted
        How many voxels of the brain have no model in a session: NaN in its maps.
    """

    seed: int
    subject: str
    grid: tuple[int, int, int]
    unfitted: int = 0

    voxel_mm: float = VOXEL_MM

    @cached_property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to millimetres (RAS), the grid's centre at the origin."""
        return grid_affine(self.grid, self.voxel_mm)

    @cached_property
    def fine_mm(self) -> float:
        """The side of a voxel of the finer grid, as 1.5 mm is to 1.8 mm."""
        return self.voxel_mm * FINE_MM / VOXEL_MM

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """Millimetres of MNI space to one of the subject's, along each axis."""
        room = np.array(self.grid) * self.voxel_mm * 0.9
        size = stream(self.seed, self.subject, "size").uniform(0.97, 1.03, 3)
        return np.asarray((_HEAD_MM / room).max() * size)

    def axes(self, grid: tuple[int, int, int]) -> tuple[_head.Axis, _head.Axis, _head.Axis]:
        """Return where the voxels of a grid lie in MNI space; each grid covers the same head."""
        x, y, z = (
            _head.Axis(centre - step * (count - 1) / 2, step, count)
            for centre, count, step in zip(
                _head.CENTRE,
                grid,
                self.scale * self.voxel_mm * np.array(self.grid) / np.array(grid),
                strict=True,
            )
        )
        return x, y, z

    def to_mni(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the place in MNI space of points in the subject's, shape (points, 3)."""
        return np.asarray(points * self.scale + np.array(_head.CENTRE))

    def tissue(self, grid: tuple[int, int, int], *, coarse: bool = False) -> _head.Tissue:
        """Return the head on a grid, averaged over the larger voxels where ``coarse``."""
        width = float((self.scale * self.voxel_mm).max()) if coarse else 0.0
        return _head.tissue(self.axes(grid), round(width, 3))

    def brain_on(self, grid: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the brain that responds, on a grid of any resolution."""
        tissue = self.tissue(grid, coarse=True)
        return np.asarray((tissue.t1 > 0.34) | (tissue.hull > 0.85))

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """The brain that responds."""
        return self.brain_on(self.grid)

    def anatomical_mask(self, grid: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the anatomical brain mask on a grid of any resolution.

        It is wider than the brain that responds, and lacks a bit of it at the bottom.
        """
        above = self.axes(grid)[2].places > _LOWEST
        tissue = self.tissue(grid, coarse=True)
        return np.asarray(((tissue.t1 > 0.17) | (tissue.hull > 0.8)) & above)

    def without_model(self, session: str) -> NDArray[np.intp]:
        """Return the brain voxels, as positions among them, that have no model in a session."""
        rng = stream(self.seed, self.subject, session, "unfitted")
        return np.sort(rng.choice(self.gain.size, self.unfitted, replace=False))

    @cached_property
    def rois(self) -> dict[str, NDArray[np.bool_]]:
        """A mask for each label of `ROIS`, all inside the brain, none empty."""
        return self.rois_on(self.grid)

    def rois_on(self, grid: tuple[int, int, int]) -> dict[str, NDArray[np.bool_]]:
        """Return the regions on a grid of any resolution; those of a category share no voxel."""
        masks = {}
        size = self.voxel_mm * np.array(self.grid) / np.array(grid)
        voxel = float(np.prod(size * self.scale))
        least = _FEWEST * float(np.prod(self.scale * self.voxel_mm))
        where = _head.coordinates(self.axes(grid))
        brain, grey = self.brain_on(grid), self.tissue(grid, coarse=True).grey
        for labels in ROIS.values():
            free = brain.copy()
            for label in labels:
                mask = np.zeros(grid, dtype=bool)
                own = stream(self.seed, self.subject, label, "size").uniform(0.8, 1.3)
                for side, share in ((-1, REGIONS[label].left), (1, REGIONS[label].right)):
                    if share:
                        near = self._nearness(label, side, where) - grey
                        cost = np.where(free & (np.sign(where[0]) == side), near, np.inf)
                        room = own * max(least, share * REGIONS[label].volume)
                        count = max(1, round(room / voxel))
                        mask.flat[np.argpartition(cost, count, axis=None)[:count]] = True
                masks[label] = mask & free
                free &= ~mask
        return masks

    def region_centres(self, label: str, side: int) -> NDArray[np.float64]:
        """Return the middles of a region in a hemisphere (-1: left), in MNI space: (points, 3)."""
        shift = stream(self.seed, self.subject, label).normal(0, 1.5, 3)
        return (np.array(REGIONS[label].centres) + shift) * [side, 1, 1]

    def _nearness(self, label: str, side: int, where: NDArray[np.float64]) -> NDArray[np.float64]:
        centres = self.region_centres(label, side)
        return _distance(where, centres) / REGIONS[label].radius

    @cached_property
    def preference(self) -> NDArray[np.int64]:
        """For each brain voxel, the index into `IMAGE_CATEGORIES` it prefers, or -1."""
        volume = np.full(self.grid, -1, dtype=np.int64)
        nearest = np.full(self.grid, np.inf)
        where = _head.coordinates(self.axes(self.grid))
        for index, category in enumerate(IMAGE_CATEGORIES):
            for label in ROIS[category]:
                near = np.minimum(*(self._nearness(label, side, where) for side in (-1, 1)))
                better = self.rois[label] & (near < nearest)
                volume[better], nearest[better] = index, near[better]
        return np.asarray(volume[self.brain])

    @cached_property
    def tuning(self) -> NDArray[np.float64]:
        """How much each brain voxel prefers each category: 1 in its regions, less around them."""
        whole = np.full(self.grid, -1)
        whole[self.brain] = self.preference
        around = [_soft(whole == index)[self.brain] for index in range(len(IMAGE_CATEGORIES))]
        tuning = np.stack(around, axis=1)
        tuning[self.preference >= 0] = 0
        mine = np.flatnonzero(self.preference >= 0)
        tuning[mine, self.preference[mine]] = 1
        return tuning

    def soft(self, *labels: str) -> NDArray[np.float64]:
        """Return for each brain voxel how much it is of these regions: 1 inside, less around."""
        return _soft(np.any([self.rois[label] for label in labels], axis=0))[self.brain]

    @cached_property
    def visual(self) -> NDArray[np.float64]:
        """For each brain voxel, how visual it is, from 0 to 1."""
        where = _head.coordinates(self.axes(self.grid))
        where[0] = np.abs(where[0])
        near = np.exp(-0.5 * (_distance(where, np.array(VISUAL)) / 16) ** 2)
        grey = np.clip(self.tissue(self.grid).grey * 1.6, 0, 1)
        return np.asarray((near * (0.35 + 0.65 * grey))[self.brain])

    @cached_property
    def gain(self) -> NDArray[np.float64]:
        """For each brain voxel, its response to any picture: strongest at the back of the head."""
        in_roi = np.any([self.rois[label] for label in _SEEING], axis=0)[self.brain]
        return np.asarray(0.12 + 0.6 * self.visual + 0.35 * in_roi)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """For each brain voxel, its weights on an image's features, shape (voxels, features)."""
        rng = stream(self.seed, self.subject, "weights")
        fields = _head.smooth_noise(rng, (*self.grid, N_FEATURES), times=3)
        return np.asarray(0.35 * fields[self.brain] * self.gain[:, None])

    @cached_property
    def signal_variance(self) -> NDArray[np.float64]:
        """For each brain voxel, the variance over images of its noiseless response."""
        preferred = self.tuning.var(axis=1) * (PREFERENCE * self.gain) ** 2
        return np.asarray(preferred + (self.weights**2).sum(axis=1))

    def noise_ceiling(self, repeats: int) -> NDArray[np.float32]:
        """Return the explainable share of the variance in percent, averaged over ``repeats``."""
        noise = NOISE_SD**2 / repeats
        return self.volume(100 * self.signal_variance / (self.signal_variance + noise))

    def rsquare(self, *what: object) -> NDArray[np.float32]:
        """Return an R² map in percent: above 0 in the brain, 0 or NaN outside."""
        explained = self.signal_variance / (self.signal_variance + NOISE_SD**2)
        jitter = self.uniform("rsquare", *what)
        return self.volume(1 + 3 * jitter + 60 * explained)

    def uniform(self, *what: object) -> NDArray[np.float64]:
        """Return values from 0 to 1 at brain voxels, smooth, and each as often as another."""
        field = _head.smooth_noise(stream(self.seed, self.subject, *what), self.grid)[self.brain]
        ranks = np.argsort(np.argsort(field, kind="stable"), kind="stable")
        return np.asarray((ranks + 0.5) / len(field))

    def volume(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Put brain values, shape (voxels, ...), on the grid: NaN on a part of the rim, else 0."""
        volume = np.zeros(self.grid + values.shape[1:], dtype=np.float32)
        right = np.arange(self.grid[0])[:, None, None] >= self.grid[0] // 2
        volume[self._rim & right] = np.nan
        volume[self.brain] = values
        return volume

    @cached_property
    def _rim(self) -> NDArray[np.bool_]:
        """The voxels next to the brain, corners and edges too."""
        near = _head.smooth(self.brain.astype(np.float32), 1) > 0
        return np.asarray(near & ~self.brain)

    def responses(self, labels: list[str], session: str) -> NDArray[np.float32]:
        """Return one beta volume per label, shape ``grid + (len(labels),)``."""
        shown = np.array([IMAGE_CATEGORIES.index(category_of(label)) for label in labels])
        betas = self.gain[:, None] * (1 + PREFERENCE * self.tuning[:, shown])
        betas = betas + self.weights @ np.stack([image_features(label) for label in labels], axis=1)
        rng = stream(self.seed, self.subject, session, "noise")
        noise = _head.smooth_noise(rng, (*self.grid, len(labels)))
        betas = betas + NOISE_SD * noise[self.brain]
        betas[self.without_model(session)] = np.nan
        return self.volume(betas)


def image_features(label: str) -> NDArray[np.float64]:
    """Return the features of an image, the same wherever and whenever it is shown."""
    return stream("image", label).normal(0, 1, N_FEATURES)


def grid_affine(grid: tuple[int, int, int], millimetres: float) -> NDArray[np.float64]:
    """Return the affine of a grid of cubic voxels that is centred on the origin."""
    affine = np.diag([millimetres, millimetres, millimetres, 1.0])
    affine[:3, 3] = [-millimetres * (size - 1) / 2 for size in grid]
    return affine


def _distance(where: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the nearest of some points, shape of the grid."""
    away = (((where - point[:, None, None, None]) ** 2).sum(axis=0) for point in centres)
    return np.asarray(np.sqrt(np.minimum.reduce(list(away))))


def _soft(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return 1 in a mask, and ever less in the voxels around it."""
    around = 4 * _head.smooth(mask.astype(np.float32), 3).astype(float)
    return np.where(mask, 1.0, np.clip(around, 0, 1))


def fine_grid(grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape of the 1.5 mm grid that covers the same head."""
    x, y, z = (round(size * VOXEL_MM / FINE_MM) for size in grid)
    return x, y, z
