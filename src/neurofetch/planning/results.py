"""What a volume is, by the name that a program gave it: FSL, SPM, AFNI, FreeSurfer, nilearn.

BIDS has entities for what a file is; results of an analysis mostly have names of the program that
made them. The pictures and the page read the same table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from neurofetch.planning.entities import ENTITY_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAPS", "Result", "of_description", "of_intent", "of_name"]

Result = Literal[
    "z", "t", "f", "chi2", "p", "1-p", "logp", "r", "effect", "beta", "variance", "rsquare",
    "thresholded", "tsnr", "share", "labels", "mask", "anatomy", "signal", "colours", "bundle",
]  # fmt: skip
"""A kind of volume: "bundle" is one of volumes of several kinds, as AFNI's ``stats``."""

MAPS: Final[frozenset[Result]] = frozenset(
    {
        *("z", "t", "f", "chi2", "p", "1-p", "logp", "r", "effect", "beta", "variance"),
        *("rsquare", "thresholded"),
    }
)
"""Kinds that are statistical maps."""


def _words(*patterns: str) -> re.Pattern[str]:
    """Return a pattern of whole words: digits and signs may stand beside them, letters may not."""
    return re.compile(rf"(?<![a-z])(?:{'|'.join(patterns)})(?![a-z])")


_UNLIKE_RAW: Final = (
    r"^(?!.*(?<![a-z])(?:t[12]w?|anat|flair|mprage|highres|brain|bold|epi|dwi|func|rest|run|pb\d\d|"
    r"warp|fnirt)(?![a-z])).*(?<![a-z])"
)
"""Before a word that means little: a second repetition is r2, too, and images are cut off."""

_NAMES: Final[tuple[tuple[re.Pattern[str], Result], ...]] = (
    # As in BIDS, the last word says what an image is, whatever it was taken for.
    (re.compile(r"(?:^|_)(?:bold|sbref|dwi)$"), "signal"),
    (re.compile(r"(?:^|_)(?:t1w|t2w|pdw|flair)$"), "anatomy"),
    # FSL's rendered maps are codes of two colour maps; masks of clusters have their numbers.
    (_words(r"rendered_\w+"), "colours"),
    (_words(r"cluster_mask_\w+", r"cluster_?(?:index|labels?)", r"oidx"), "labels"),
    (re.compile(r"(?:^|[^a-z])(?:brain)?mask\d*$"), "mask"),
    # FreeSurfer's mri_glmfit names its results with a word.
    (re.compile(r"^gamma$"), "effect"),
    # FSL's randomise, PALM and TFCE write 1 - p, or a logarithm of p.
    (_words(r"(?:neg_?)?log_?(?:10_?)?(?:p|pvals?|corrp|fwep|uncp|pfwe|pfdr)", r"sig"), "logp"),
    (_words(r"(?:vox|tfce|cluster[em])_p", r"corrp", r"uncp", r"fwep", r"fdrp"), "1-p"),
    (_words(r"p_?val(?:ue)?s?", r"p_?map", r"q_?val(?:ue)?s?"), "p"),
    # After those: tfce_corrp_tstat1 is no map of t.
    (_words(r"t_?(?:stat|map|score|val(?:ue)?)s?", r"spmt"), "t"),
    (_words(r"zf?_?(?:stat|map|score|val(?:ue)?|scr)s?", r"spmz", r"melodic_ic"), "z"),
    (_words(r"f_?(?:stat|score|val(?:ue)?)s?", r"spmf"), "f"),
    (_words(r"chi_?(?:2|sq(?:uared)?)(?:_?(?:stat|map))?"), "chi2"),
    (_words(r"var_?copes?", r"resms", r"sigmasquareds?", r"(?:gamma|ces|r)var"), "variance"),
    (_words(r"(?:effect_)?variance"), "variance"),
    (_words(r"r_?sq(?:uared?)?"), "rsquare"),
    (re.compile(rf"{_UNLIKE_RAW}r2(?:_map)?(?![a-z])"), "rsquare"),  # R2map is a rate of relaxation
    (_words(r"tsnr"), "tsnr"),
    (_words(r"betas?(?:_?maps?)?", r"pe\d+"), "beta"),
    (re.compile(rf"{_UNLIKE_RAW}coeff?s?(?![a-z])"), "beta"),
    (_words(r"copes?", r"con_\d{4}", r"ess_\d{4}", r"contrast_\d+", r"ces"), "effect"),
    (_words(r"effect(?:_?size)?"), "effect"),
    (_words(r"corr(?:elation)?_?maps?", r"correlation", r"r_?map"), "r"),
    (re.compile(rf"{_UNLIKE_RAW}thresh(?:old(?:ed)?)?(?![a-z])"), "thresholded"),
    (_words(r"c?buck(?:et)?", r"stats"), "bundle"),
    (_words(r"aparc", r"aseg", r"aparcaseg", r"wmparc", r"ribbon", r"parcellation"), "labels"),
    (_words(r"atlas", r"(?:pve|first)?seg", r"labels?"), "labels"),
    (_words(r"mask", r"roi"), "mask"),
    (_words(r"pve", r"prob(?:ability)?(?:_?maps?)?"), "share"),
    (_words(r"(?:mean|example|(?:pre)?filtered)_func(?:_data)?", r"res4d"), "signal"),
    (_words(r"bold", r"epi", r"errts", r"all_runs"), "signal"),
    (_words(r"t[12]w?", r"flair", r"mprage", r"anat(?:_final)?", r"highres", r"brain"), "anatomy"),
)  # fmt: skip
"""Read from above: the first that fits decides."""

_FREESURFER: Final[tuple[tuple[re.Pattern[str], Result], ...]] = (
    (re.compile(r"z\.(?:mg[hz]|nii(?:\.gz)?)"), "z"),
    (re.compile(r"F\.(?:mg[hz]|nii(?:\.gz)?)"), "f"),
    (re.compile(r"pcc\.mg[hz]"), "r"),  # elsewhere a place: the posterior cingulate cortex
    (re.compile(r"f\.nii(?:\.gz)?"), "signal"),
    (re.compile(r"brainmask\..*mg[hz]"), "anatomy"),  # a head without what is around the brain
)
"""Whole names of files, with capital letters: a series of FS-FAST is f, an F of mri_glmfit F."""

_INTENTS: Final[Mapping[int, Result]] = {
    2: "r", 3: "t", 4: "f", 5: "z", 6: "chi2", 12: "f", 13: "chi2", 17: "t",
    22: "p", 23: "logp", 24: "logp", 1001: "effect", 1002: "labels",
}  # fmt: skip
"""Codes of ``nifti1.h`` that say what values are. 7 is the beta distribution, and no weight."""

_ENTITIES: Final = frozenset(ENTITY_NAMES.values())
_END_OF_NAME: Final = re.compile(
    r"(?:\+(?:orig|acpc|tlrc))?\.(?:nii|mgz|mgh|hdr|img|head|.*gii).*$"
)
_SPM: Final = re.compile(
    r"SPM\{(?P<kind>[TFZX])_?(?:\[[\d.,]+\])?\}(?:\s*-\s*contrast\s*\d+\s*:\s*(?P<told>.+))?"
)
_CONTRAST: Final = re.compile(r"(?:SPM contrast|contrast)\s*-?\s*\d+\s*:\s*(?P<told>.+)", re.I)
_BETA: Final = re.compile(r"spm_spm:beta \(\d+\)\s*-\s*(?P<told>.+)")
_OF_SPM: Final[Mapping[str, Result]] = {"T": "t", "F": "f", "Z": "z", "X": "chi2"}


def of_name(path: str) -> Result | None:
    """Return what a volume is, by its name; None where that says nothing.

    What BIDS entities say is not read here: of a name that has some, only the rest counts.

    Parameters
    ----------
    path : str
        With slashes.

    Examples
    --------
    >>> of_name("level1.feat/stats/zstat1.nii.gz"), of_name("spmT_0001.nii"), of_name("cope1.nii")
    ('z', 't', 'effect')
    >>> of_name("tbss_tfce_corrp_tstat1.nii.gz"), of_name("thresh_zstat1.nii.gz")
    ('1-p', 'z')
    >>> of_name("control01.nii.gz"), of_name("sub-01_desc-mask_boldref.nii.gz")
    (None, None)
    """
    name = path.rpartition("/")[2]
    for pattern, result in _FREESURFER:
        if pattern.fullmatch(name):
            return result
    stem = _END_OF_NAME.sub("", name.lower())
    stem = "_".join(one for one in stem.split("_") if one.partition("-")[0] not in _ENTITIES)
    stem = re.sub(r"[^a-z0-9]+", "_", stem)
    return next((result for pattern, result in _NAMES if pattern.search(stem)), None)


def of_intent(code: int) -> Result | None:
    """Return what a volume is, by the intent of its NIfTI header; None where that says nothing.

    Parameters
    ----------
    code : int

    Examples
    --------
    >>> of_intent(5), of_intent(0), of_intent(7)
    ('z', None, None)
    """
    return _INTENTS.get(code)


def of_description(text: str) -> tuple[Result | None, str]:
    """Return what SPM writes into a header: what it is, and the name of the contrast.

    Parameters
    ----------
    text : str
        The field ``descrip``.

    Examples
    --------
    >>> of_description("SPM{T_[18.0]} - contrast 1: faces > houses")
    ('t', 'faces > houses')
    >>> of_description("spm_spm:beta (0003) - Sn(1) faces*bf(1)"), of_description("FSL5.0")
    (('beta', 'Sn(1) faces*bf(1)'), (None, ''))
    """
    if found := _SPM.search(text):
        return _OF_SPM[found["kind"]], (found["told"] or "").strip()
    if found := _BETA.search(text):
        return "beta", found["told"].strip()
    if found := _CONTRAST.search(text):
        return "effect", found["told"].strip()
    return None, ""
