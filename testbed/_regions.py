"""Where regions of the brain lie, roughly: middles in MNI space of one hemisphere, and sizes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["REGIONS", "VISUAL", "Region"]

Point = tuple[float, float, float]


class Region(NamedTuple):
    """A region that both hemispheres have, or one.

    Parameters
    ----------
    centres
        Points that it lies around, in the right hemisphere (x above 0), in millimetres.
    radius
        How far it reaches from them, in millimetres.
    volume
        Of one hemisphere, in cubic millimetres.
    left, right
        The share of the volume that each hemisphere has: 0 where it has none.
    """

    centres: tuple[Point, ...]
    radius: float
    volume: float
    left: float = 1.0
    right: float = 1.0


REGIONS: dict[str, Region] = {
    "EBA": Region(((48, -70, 4),), 9, 2600),
    "FBA-1": Region(((42, -58, -20),), 6, 700),
    "FBA-2": Region(((43, -42, -22),), 6, 600),
    "OWFA": Region(((40, -78, -12),), 6, 700),
    "VWFA-1": Region(((45, -58, -12),), 7, 1100, right=0),
    "FFA-1": Region(((40, -62, -18),), 7, 1000, left=0.7),
    "FFA-2": Region(((41, -47, -20),), 7, 1000, left=0.7),
    "OFA": Region(((38, -82, -12),), 7, 900),
    "pSTS-faces": Region(((53, -46, 8),), 8, 1200, left=0.6),
    "reliable": Region(((14, -88, 2), (32, -80, -6), (38, -62, -16), (34, -80, 18)), 22, 42000),
    "MST": Region(((45, -62, 6),), 6, 600),
    "hMT": Region(((46, -71, 4),), 7, 1100),
    "LO": Region(((42, -80, -2),), 9, 2400),
    "pFs": Region(((36, -56, -14),), 7, 1200),
    "OPA": Region(((33, -80, 22),), 8, 1600),
    "PPA": Region(((27, -45, -9),), 8, 1800),
    "RSC": Region(((17, -56, 13),), 8, 1600),
    "V1": Region(((8, -94, 1), (9, -82, 5), (12, -72, 8)), 9, 5600),
    "V2": Region(((10, -96, 12), (11, -80, -5), (14, -90, -8)), 9, 5000),
    "V3": Region(((17, -94, 19), (20, -80, -10), (24, -90, -8)), 9, 4200),
    "hV4": Region(((28, -78, -14),), 9, 2000),
}
"""Of the subjects of LAION-fMRI, by label."""

VISUAL: tuple[Point, ...] = (
    *((8, -92, 0), (12, -76, 4), (24, -88, -8), (26, -84, 18), (34, -68, -14)),
    *((42, -76, 0), (40, -52, -18), (28, -48, -10), (22, -66, 44), (20, -62, 14)),
)
"""Middles of the cortex that answers to pictures, in the right hemisphere."""
