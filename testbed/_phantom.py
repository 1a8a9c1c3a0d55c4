"""The science of the made-up data: one ellipsoid brain a subject, with voxels that prefer things.

A voxel's response to an image is its gain, more of it when the image shows what the voxel's region
prefers, plus a fixed pattern for that very image, plus noise that differs from trial to trial.
The noise ceiling and the mean-R² map are computed from the same signal and noise, not drawn.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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

    @cached_property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to millimetres (RAS), the grid's centre at the origin."""
        return grid_affine(self.grid, VOXEL_MM)

    @cached_property
    def radius(self) -> NDArray[np.float64]:
        """Distance from the centre in units of the ellipsoid: below 1 is brain."""
        return np.asarray(np.sqrt((ellipsoid_coordinates(self.grid) ** 2).sum(axis=0)))

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """The ellipsoid."""
        return self.radius < 1.0

    def anatomical_mask(self, grid: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the anatomical brain mask on a grid of any resolution.

        It is wider than the brain that responds, and lacks a bit of it at the bottom.
        """
        where = ellipsoid_coordinates(grid)
        return np.asarray((np.sqrt((where**2).sum(axis=0)) < 1.08) & (where[2] > -0.93))

    def without_model(self, session: str) -> NDArray[np.intp]:
        """Return the brain voxels, as positions among them, that have no model in a session."""
        rng = stream(self.seed, self.subject, session, "unfitted")
        return np.sort(rng.choice(self.gain.size, self.unfitted, replace=False))

    @cached_property
    def rois(self) -> dict[str, NDArray[np.bool_]]:
        """A mask for each label of `ROIS`, all inside the brain, none empty."""
        labels = [label for labels in ROIS.values() for label in labels]
        return {label: self.roi_mask(label, self.grid) for label in labels}

    def roi_mask(self, label: str, grid: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the region on a grid of any resolution: two balls, one in each hemisphere."""
        where = ellipsoid_coordinates(grid)
        centre = self._roi_centre(label)
        mirrored = centre * np.array([-1.0, 1.0, 1.0])
        mask = np.zeros(grid, dtype=bool)
        for point in (centre, mirrored):
            distance = np.sqrt(((where - point[:, None, None, None]) ** 2).sum(axis=0))
            mask |= distance < max(0.2, float(distance.min()) + 1e-9)
        return np.asarray(mask & (np.sqrt((where**2).sum(axis=0)) < 1.0))

    def _roi_centre(self, label: str) -> NDArray[np.float64]:
        place = stream("roi", label)
        centre = np.array([0.3, -0.7, -0.35]) + place.uniform(0, 1, 3) * [0.35, 0.8, 0.6]
        return np.asarray(centre + stream(self.seed, self.subject, label).normal(0, 0.02, 3))

    @cached_property
    def preference(self) -> NDArray[np.int64]:
        """For each brain voxel, the index into `IMAGE_CATEGORIES` it prefers, or -1."""
        volume = np.full(self.grid, -1, dtype=np.int64)
        for index, category in enumerate(IMAGE_CATEGORIES):
            for label in ROIS[category]:
                volume[self.rois[label] & (volume == -1)] = index
        return np.asarray(volume[self.brain])

    @cached_property
    def gain(self) -> NDArray[np.float64]:
        """For each brain voxel, its response to any picture: strongest at the back of the head."""
        back = 0.5 - 0.5 * ellipsoid_coordinates(self.grid)[1][self.brain]
        in_roi = np.any(list(self.rois.values()), axis=0)[self.brain]
        return np.asarray(0.15 + 0.5 * back + 0.4 * in_roi)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """For each brain voxel, its weights on an image's features, shape (voxels, features)."""
        rng = stream(self.seed, self.subject, "weights")
        return np.asarray(rng.normal(0, 0.35, (self.gain.size, N_FEATURES)) * self.gain[:, None])

    @cached_property
    def signal_variance(self) -> NDArray[np.float64]:
        """For each brain voxel, the variance over images of its noiseless response."""
        share = 1 / len(IMAGE_CATEGORIES)
        preferred = (self.preference >= 0) * (PREFERENCE * self.gain) ** 2 * share * (1 - share)
        return np.asarray(preferred + (self.weights**2).sum(axis=1))

    def noise_ceiling(self, repeats: int) -> NDArray[np.float32]:
        """Return the explainable share of the variance in percent, averaged over ``repeats``."""
        noise = NOISE_SD**2 / repeats
        return self.volume(100 * self.signal_variance / (self.signal_variance + noise))

    def rsquare(self, *what: object) -> NDArray[np.float32]:
        """Return an R² map in percent: above 0 in the brain, 0 or NaN outside."""
        explained = self.signal_variance / (self.signal_variance + NOISE_SD**2)
        jitter = stream(self.seed, self.subject, "rsquare", *what).uniform(1, 4, explained.size)
        return self.volume(jitter + 60 * explained)

    def volume(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Put brain values, shape (voxels, ...), on the grid: NaN on a part of the rim, else 0."""
        volume = np.zeros(self.grid + values.shape[1:], dtype=np.float32)
        right = np.arange(self.grid[0])[:, None, None] >= self.grid[0] // 2
        volume[(self.radius >= 1.0) & (self.radius < 1.2) & right] = np.nan
        volume[self.brain] = values
        return volume

    def responses(self, labels: list[str], session: str) -> NDArray[np.float32]:
        """Return one beta volume per label, shape ``grid + (len(labels),)``."""
        shown = np.array([IMAGE_CATEGORIES.index(category_of(label)) for label in labels])
        preferred = self.preference[:, None] == shown[None, :]
        betas = self.gain[:, None] * (1 + PREFERENCE * preferred)
        betas = betas + self.weights @ np.stack([image_features(label) for label in labels], axis=1)
        noise = stream(self.seed, self.subject, session, "noise").normal(0, NOISE_SD, betas.shape)
        betas = betas + noise
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


def ellipsoid_coordinates(grid: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return where each voxel lies in units of the ellipsoid's half axes, shape (3, *grid)."""
    axes = [(np.arange(size) - (size - 1) / 2) / (0.44 * size) for size in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def fine_grid(grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape of the 1.5 mm grid that covers the same head."""
    x, y, z = (round(size * VOXEL_MM / FINE_MM) for size in grid)
    return x, y, z
