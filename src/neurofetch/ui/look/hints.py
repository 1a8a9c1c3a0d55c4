"""How a volume is shown at first: colours, range, threshold, unit, seconds for each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neurofetch.planning.results import MAPS, of_intent, of_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from neurofetch.planning.results import Result
    from neurofetch.ui.look.headers import Header
    from neurofetch.ui.look.kinds import Item

__all__ = ["Hint", "hint", "is_map", "seconds_per_frame"]

_SAMPLE = 400_000
_CUSTOMARY = 2.3
"""Below this, z and t are hidden at first where larger ones are there."""
_REACH, _REACH_OF_OTHERS = 99.9, 99.0
"""Percentiles at which colours end, as in pictures: what counts in z and t is in few voxels."""
_BOTH = ("kry", "electric_blue")
"""Above and below zero. Both begin with black: so does what is all around the head, and is zero."""
_BRIGHT = {"colormap": "warm", "colormap_negative": "blue2cyan"}
_OF_STAT = {"z": "z", "t": "t", "f": "F", "p": "p", "effect": "beta", "variance": "variance"}
_OF_RESULT: Mapping[Result, str] = {
    "z": "z", "t": "t", "f": "F", "chi2": "χ²", "p": "p", "1-p": "1 - p", "logp": "log p",
    "r": "r", "beta": "beta",
}  # fmt: skip
_OF_VAULT = {"Z map": "z", "T map": "t", "F map": "F", "P map (given null hypothesis)": "p"}
_NO_MAPS = ("anatomical", "Anatomical", "A", "parcellation", "Pa")
_TIME_UNITS = {8: 1.0, 16: 1e-3, 24: 1e-6}
_TIMED = frozenset({"bold", "cbv", "sbref", "asl", "pet", "perf"})
_LONGEST_FRAME = 3600.0


class Hint(NamedTuple):
    """How a volume is shown at first.

    Parameters
    ----------
    low, high : float
        Between these are the values, but for the outermost two percent on either side.
    symmetric : bool
        Whether both signs mean something, with zero in the middle.
    colormap, colormap_negative : str
        Names of NiiVue's; the second one is for values below zero, None for none of its own.
    threshold : float
        Smaller values (without their sign, in symmetric maps) are hidden.
    cal_min, cal_max : float
        The range of the colours.
    unit : str or None
    over : mapping or None
        Colours that are better where it is drawn on an anatomy, which is seen through what is
        hidden: bright ones from the threshold on.
    """

    low: float
    high: float
    symmetric: bool
    colormap: str
    colormap_negative: str | None
    threshold: float
    cal_min: float
    cal_max: float
    unit: str | None
    over: Mapping[str, str] | None = None


def hint(item: Item, header: Header, voxels: NDArray[Any], says: Mapping[str, Any]) -> Hint:
    """Return how a volume is shown at first.

    Parameters
    ----------
    item : Item
        What its name says.
    header : Header
    voxels : numpy.ndarray
        Of its first frame, as they are in the file.
    says : mapping
        What its sidecars say.
    """
    if header.is_colour:
        return Hint(0, 255, False, "gray", None, 0, 0, 255, None)
    values = _sample(header, voxels)
    low, high = _robust(values)
    top = float(values.max(initial=0.0))
    if _is_mask(item, says):
        return Hint(low, high, False, "red", None, 0.5 * min(top or 1, 1), 0, top or 1, None)
    labels = item.is_labels or says.get("map_type") == "parcellation"
    if labels or of_intent(_code(header)) == "labels":
        return Hint(low, high, False, "random", None, 0.5, 0, top or 1, None)
    if is_map(item, header, says):
        return _of_map(item, header, values, says)
    if high <= low:  # of one value: a grey, and not the black of nothing
        low, high = low - (abs(low) or 1.0), high + (abs(high) or 1.0)
    return Hint(low, high, False, "gray", None, low, low, high, _told_unit(says))


def seconds_per_frame(item: Item, header: Header, says: Mapping[str, Any]) -> float | None:
    """Return the seconds from one frame to the next; None where frames are not of time.

    Parameters
    ----------
    item : Item
    header : Header
    says : mapping
    """
    if header.frames < 2 or item.is_map or item.is_mask or item.is_labels:
        return None
    told = says.get("RepetitionTime")
    if isinstance(told, int | float) and not isinstance(told, bool) and 0 < told < _LONGEST_FRAME:
        return float(told)
    size = float(header.raw["pixdim"][4])
    unit = int(header.raw["xyzt_units"]) & 0x38
    if unit not in _TIME_UNITS and (unit or item.says.suffix not in _TIMED):
        return None
    seconds = size * _TIME_UNITS.get(unit, 1.0)
    return round(seconds, 9) if 0 < seconds < _LONGEST_FRAME else None


def _code(header: Header) -> int:
    return int(header.raw["intent_code"])


def _is_mask(item: Item, says: Mapping[str, Any]) -> bool:
    return item.is_mask or says.get("map_type") in ("ROI/mask", "ROI", "mask")


def is_map(item: Item, header: Header, says: Mapping[str, Any]) -> bool:
    """Whether a volume is a statistical map: by its name, its record, or its header.

    Parameters
    ----------
    item : Item
    header : Header
    says : mapping
        What its sidecars say.
    """
    if _is_mask(item, says) or item.is_labels:
        return False
    told = says.get("map_type")
    if isinstance(told, str) and told:
        return told not in _NO_MAPS
    return item.is_map or of_intent(_code(header)) in MAPS


def _sample(header: Header, voxels: NDArray[Any]) -> NDArray[np.float64]:
    """Return values that stand for all: a part of them, without NaN, and without most zeros."""
    step = max(1, len(voxels) // _SAMPLE)
    with np.errstate(all="ignore"):
        values = header.values(voxels[::step])
    values = values[np.isfinite(values)]
    told = values[values != 0]
    if len(told) < 100 and step > 1:  # a small region in much of nothing
        with np.errstate(all="ignore"):
            values = header.values(voxels[np.flatnonzero(voxels)[:_SAMPLE]])
        told = values[np.isfinite(values)]
    return told if len(told) else np.zeros(1)


def _robust(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2, 98])
    return float(low), float(high)


def _of_map(
    item: Item, header: Header, values: NDArray[np.float64], says: Mapping[str, Any]
) -> Hint:
    low, high = _robust(values)
    unit = _unit(item, header, says, high)
    both = low < 0
    reach = _REACH if unit in ("z", "t") else _REACH_OF_OTHERS
    most = float(np.percentile(np.abs(values), reach)) if both or unit in ("z", "t") else high
    most = most if most > 0 else 1.0
    threshold = _CUSTOMARY if unit in ("z", "t") and most > _CUSTOMARY else 0.0
    if both:
        over = _BRIGHT if threshold else None
        return Hint(low, high, True, *_BOTH, threshold, threshold, most, unit, over)
    colours = "inferno" if item.entities.get("statistic") == "rsquare" else "mako"
    colours = _BOTH[0] if unit in ("z", "t") else colours
    return Hint(low, high, False, colours, None, threshold, threshold, most, unit)


def _unit(item: Item, header: Header, says: Mapping[str, Any], high: float) -> str | None:
    if told := _told_unit(says):
        return told
    statistic = (item.says.get("stat") or "").lower()
    if statistic == "rsquare" or "ceiling" in (item.says.get("desc") or "").lower():
        return "%" if high > 1.5 else "R²"
    known = _OF_STAT.get(statistic) or _OF_VAULT.get(str(says.get("map_type")))
    if known:
        return known
    result = of_name(item.path) or of_intent(_code(header))
    return _OF_RESULT.get(result) if result else None


def _told_unit(says: Mapping[str, Any]) -> str | None:
    told = says.get("Units")
    return told[:40] if isinstance(told, str) and told and told != "arbitrary" else None
