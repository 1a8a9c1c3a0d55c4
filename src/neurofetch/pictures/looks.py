"""What a file is, and so how it is drawn: colours, range, unit, threshold. Pure.

One vocabulary for every picture: what a name, a sidecar, a header or a record of NeuroVault says of
a volume becomes a `Look`. Where nothing is said, its values decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from neurofetch.planning.entities import parse
from neurofetch.planning.results import of_description, of_intent, of_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neurofetch.planning.results import Result

__all__ = [
    "COLOURS",
    "DISTINCT",
    "SURFACES",
    "TABLES",
    "VOLUMES",
    "Facts",
    "Kind",
    "Look",
    "limits",
    "look_of",
    "settled",
]

Kind = Literal[
    "anatomy", "signal", "phase", "statistic", "effect", "share", "labels", "mask", "any"
]

COLOURS: Final[Mapping[str, tuple[str, ...]]] = {
    "cold-grey-hot": (
        *("#053061", "#1F5FA8", "#4A9AD4", "#93C4E2", "#C4C7CB"),
        *("#F0B38C", "#E3714D", "#BE2A2F", "#67001F"),
    ),
}
"""Colour maps of our own, from low to high, evenly spaced. The middle is grey: what is about zero
is seen as brain, and neither blue nor red is nearer to it. Other names are those of matplotlib."""

DISTINCT: Final = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"),
)
"""Colours that people tell apart with any kind of colour vision (Okabe and Ito, 2008)."""

VOLUMES: Final = (".nii", ".nii.gz", ".mgz", ".mgh", ".img", ".img.gz", ".hdr", ".head")
"""Ends of the names of files that hold volumes."""

SURFACES: Final = (".func.gii", ".shape.gii", ".label.gii", ".surf.gii")
"""Of files that hold a surface, or values on one."""

TABLES: Final = (".tsv", ".csv", ".tsv.gz")
"""Of files that hold tables."""

_PERCENT = "%"


@dataclass(frozen=True, slots=True)
class Look:
    """How a volume is drawn.

    Parameters
    ----------
    kind : str
        What it is: anatomy or signal in shades of grey; a statistic or an effect around zero; a
        share from zero up; labels; a mask; phase, which goes round; or "any", where only the values
        tell.
    name : str
        What a reader calls it: ``"noise ceiling"``.
    colours : str
        A key of `COLOURS`, or a colour map of matplotlib.
    unit : str
        Of the colour bar; empty where it has none.
    symmetric : bool
        Whether the range is as wide below zero as above.
    low, high : float or None
        An end of the range that is known beforehand.
    percentile : float
        The range ends at this percentile of the values, so that a few of them do not set it.
    threshold : float or None
        What is nearer to zero is left out where there is an anatomy to show instead.
    """

    kind: Kind = "any"
    name: str = ""
    colours: str = "gray"
    unit: str = ""
    symmetric: bool = False
    low: float | None = None
    high: float | None = None
    percentile: float = 99.5
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What values of a volume were found: for a look that they decide.

    Parameters
    ----------
    lowest, highest : float
        Of the finite values that are not zero.
    whole : bool
        Whether all are whole numbers.
    distinct : int
        How many different ones there are.
    frames : int
        Of how many volumes.
    """

    lowest: float
    highest: float
    whole: bool
    distinct: int
    frames: int = 1


_ANATOMY = Look("anatomy", "anatomy", unit="a.u.", low=0.0)
_SIGNAL = Look("signal", "signal", unit="a.u.", low=0.0)
_PHASE = Look("phase", "phase", "twilight", "a.u.", symmetric=True, percentile=100)
_MASK = Look("mask", "mask", "mask", low=0.0, high=1.0)
_LABELS = Look("labels", "labels", "labels")
_EFFECT = Look("effect", "effect", "cold-grey-hot", "a.u.", symmetric=True, percentile=99)
_SHARE = Look("share", "share", "viridis", low=0.0)
_ABOVE = Look("share", "values", "inferno", "a.u.", low=0.0)


def _statistic(letter: str) -> Look:
    return Look(
        *("statistic", f"{letter} map", "cold-grey-hot", letter),
        symmetric=True,
        percentile=99.9,
        threshold=2.0,
    )


_STATISTICS: Final[Mapping[str, Look]] = {
    "z": _statistic("z"),
    "t": _statistic("t"),
    "f": replace(_ABOVE, name="F map", unit="F"),
    "r": replace(_EFFECT, name="correlation", unit="r", threshold=None),
    "p": replace(_SHARE, name="p map", unit="p", colours="viridis_r", high=1.0, percentile=100),
    "effect": _EFFECT,
    "rsquare": Look("share", "R²", "inferno", _PERCENT, low=0.0),
    "variance": replace(_ABOVE, name="variance"),
    "tsnr": replace(_ABOVE, name="tSNR", unit=""),
}
_DESCRIPTIONS: Final = (
    ("noiseceiling", Look("share", "noise ceiling", "viridis", _PERCENT, low=0.0)),
    ("r2", _STATISTICS["rsquare"]),
    ("fracridge", replace(_SHARE, name="ridge fraction", high=1.0)),
    ("hrfindex", Look("share", "HRF index", "viridis", "index", low=1.0)),
    ("singletrialbetas", replace(_EFFECT, name="single-trial betas", unit="beta")),
)
_SUFFIXES: Final[Mapping[str, Look]] = {
    "mask": _MASK,
    "dseg": _LABELS,
    "probseg": replace(_SHARE, name="probability", high=1.0, percentile=100),
    "boldref": replace(_SIGNAL, name="boldref"),
    "fieldmap": replace(_EFFECT, name="field map", unit="Hz"),
    "T1map": replace(_ABOVE, name="T1 map"),
    "T2map": replace(_ABOVE, name="T2 map"),
}
_FREESURFER: Final[Mapping[str, Look]] = {
    **dict.fromkeys(("T1", "brain", "brainmask", "norm", "nu", "orig", "rawavg"), _ANATOMY),
    **dict.fromkeys(("aparc", "aseg", "ribbon", "wmparc"), _LABELS),
}
"""Volumes of ``mri/``, which have names of their own."""
_GREY_ANATOMY = ("T1w", "T2w", "FLAIR", "PDw", "PDT2", "T2starw", "inplaneT1", "inplaneT2", "UNIT1")
_GREY_SIGNAL = ("bold", "sbref", "epi", "asl", "m0scan", "dwi", "cbv", "pet", "magnitude")
_NEUROVAULT: Final[Mapping[str, Look]] = {
    "t map": _STATISTICS["t"],
    "z map": _STATISTICS["z"],
    "f map": _STATISTICS["f"],
    "chi squared map": replace(_ABOVE, name="chi² map", unit="χ²"),
    "p map (given null hypothesis)": _STATISTICS["p"],
    '1-p map ("inverted" probability)': replace(_SHARE, name="1 - p", unit="1 - p", high=1.0),
    "univariate-beta map": replace(_EFFECT, name="beta map", unit="beta"),
    "multivariate-beta map": replace(_EFFECT, name="weights", unit="weight"),
    "variance": _STATISTICS["variance"],
    "roi/mask": _MASK,
    "parcellation": _LABELS,
    "anatomical": _ANATOMY,
}
_RESULTS: Final[Mapping[Result, Look]] = {
    **{letter: _STATISTICS[letter] for letter in ("z", "t", "f", "p", "r")},
    "chi2": _NEUROVAULT["chi squared map"],
    "1-p": _NEUROVAULT['1-p map ("inverted" probability)'],
    # FreeSurfer's has a sign, that of the effect; 1.3 is p = 0.05.
    "logp": replace(_statistic("log p"), name="log p map", threshold=1.3),
    "effect": replace(_EFFECT, name="effect"),
    "beta": _NEUROVAULT["univariate-beta map"],
    "variance": _STATISTICS["variance"],
    "rsquare": replace(_STATISTICS["rsquare"], unit=""),
    "thresholded": replace(_statistic(""), name="thresholded map", threshold=None),
    "tsnr": _STATISTICS["tsnr"],
    "share": _SUFFIXES["probseg"],
    "labels": _LABELS,
    "mask": _MASK,
    "anatomy": _ANATOMY,
    "signal": _SIGNAL,
    "colours": Look(),
    "bundle": Look(),
}


def look_of(
    path: str,
    *,
    sidecar: Mapping[str, object] | None = None,
    intent: int = 0,
    description: str = "",
    map_type: str = "",
) -> Look:
    """Return how a volume is drawn, by what is said of it.

    Parameters
    ----------
    path : str
        Its name, as BIDS has it; folders may come before.
    sidecar : mapping, optional
        The JSON file beside it. ``Units`` is the unit of the colour bar.
    intent : int
        The code in its header: 3 is t.
    description : str
        The field ``descrip`` of its header, in which SPM says what it is.
    map_type : str
        As NeuroVault's record has it: ``"Z map"``.

    Returns
    -------
    Look
        With the kind "any" where nothing is said: `settled` asks the values.

    Examples
    --------
    >>> look = look_of("sub-01_task-images_space-T1w_desc-Noiseceiling_statmap.nii.gz")
    >>> look.name, look.colours, look.unit, look.low
    ('noise ceiling', 'viridis', '%', 0.0)
    >>> look_of("map_12.nii.gz", map_type="Z map").symmetric
    True
    >>> look_of("stats/zstat1.nii.gz").name, look_of("map_12.nii.gz", intent=3).name
    ('z map', 't map')
    """
    found = (
        _NEUROVAULT.get(map_type.strip().lower())
        or _by_name(path)
        or _of_result(of_name(path))
        or _of_result(of_description(description)[0])
        or _of_result(of_intent(intent))
        or Look()
    )
    unit = (sidecar or {}).get("Units")
    if isinstance(unit, str) and unit.strip() and found.kind not in ("mask", "labels"):
        short = {"percent": _PERCENT, "arbitrary": "a.u."}
        found = replace(found, unit=short.get(unit.strip().lower(), unit.strip()[:24]))
    return found


def _of_result(result: Result | None) -> Look | None:
    return None if result is None else _RESULTS[result]


def _by_name(path: str) -> Look | None:
    entities = parse(path)
    values = dict(entities.values)
    suffix = entities.suffix
    desc = values.get("desc", "").lower()
    if suffix == "phase" or suffix.startswith("phase") or values.get("part") == "phase":
        return _PHASE
    for begin, look in _DESCRIPTIONS:
        if desc.startswith(begin):
            return look
    statistic = _STATISTICS.get(values.get("stat", "").lower())
    if statistic is not None:
        return statistic
    if suffix in _GREY_ANATOMY:
        return replace(_ANATOMY, name=suffix)
    if suffix.rstrip("12") in _GREY_SIGNAL:
        return replace(_SIGNAL, name="BOLD" if suffix == "bold" else suffix)
    stem = path.rpartition("/")[2].partition(".")[0]
    return _SUFFIXES.get(suffix) or _FREESURFER.get(stem.partition("+")[0])


def settled(look: Look, facts: Facts) -> Look:
    """Return a look that fits the values, where nothing else said what they are.

    A statistic or an effect that has only values above zero, as one of a threshold or of absolute
    values, keeps its colours: its range is symmetric all the same, so that red means the same.

    Parameters
    ----------
    look : Look
    facts : Facts

    Examples
    --------
    >>> settled(Look(), Facts(-4.0, 5.5, whole=False, distinct=900)).colours
    'cold-grey-hot'
    >>> settled(Look(), Facts(1.0, 1.0, whole=True, distinct=1)).kind
    'mask'
    """
    if look.kind != "any":
        return look
    if not facts.distinct:  # nothing but zeros: of what, nobody knows
        return replace(_LABELS, name="")
    if facts.lowest >= 0 and (facts.whole or facts.frames > 1):
        return _of_numbers(facts)
    if facts.lowest < 0 < facts.highest:
        return replace(_EFFECT, name="values", unit=look.unit)
    return replace(_ABOVE, name="values", unit=look.unit, low=None)


def _of_numbers(facts: Facts) -> Look:
    """Return a look for whole numbers from 0 up, or for the mean of a series from 0 up."""
    if facts.frames > 1:
        return _SIGNAL
    if facts.distinct == 1:
        return _MASK
    few_of_many = facts.distinct < 0.2 * facts.highest and facts.distinct <= 400
    return _LABELS if facts.distinct <= 40 or few_of_many else _SIGNAL


def limits(look: Look, low: float, high: float) -> tuple[float, float]:
    """Return both ends of the colour bar.

    Parameters
    ----------
    look : Look
    low, high : float
        The values at the percentiles ``100 - look.percentile`` and ``look.percentile`` of what is
        in the picture; of a symmetric look, `high` may be that of the absolute values.

    Examples
    --------
    >>> limits(look_of("sub-01_stat-z_statmap.nii.gz"), -2.0, 6.5)
    (-6.5, 6.5)
    >>> limits(look_of("sub-01_T1w.nii.gz"), 12.0, 900.0)
    (0.0, 900.0)
    """
    if look.symmetric:
        reach = max(abs(low), abs(high)) or 1.0
        return -reach, reach
    bottom = low if look.low is None else min(look.low, low)
    top = high if look.high is None else look.high
    return (bottom, top) if top > bottom else (bottom, bottom + 1.0)
