"""LAION-fMRI, described: where it lies, what comes along, what is withheld.

Facts: the bucket itself and its documentation, https://github.com/ViCCo-Group/LAION-fMRI.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from laion_fmri._models import embedding_key, embedding_models
from neurofetch.engine import Dataset, Family, Listing, Rules, Withheld
from neurofetch.errors import UsageError

__all__ = [
    "BETAS",
    "DATASET",
    "EXTRA_TREES",
    "GATED",
    "Extras",
    "dataset",
    "listing",
    "subject_label",
    "subject_trees",
    "whole_trees",
]

ROOT_FILES = ("dataset_description.json", "participants.tsv", "participants.json", "README")

BETAS = "derivatives/glmsingle-tedana/"
ROIS = "derivatives/rois/"
OLD_ROIS = "derivatives/atlases/"
ANATOMY = "derivatives/anatomical/"
LOCALIZERS = "derivatives/localizers/"
EXTRA_TREES = (ANATOMY, LOCALIZERS)
"""Trees that come whole, and whose files can be meant by a filter nevertheless."""

GATED = ("stimuli/task-images_stimuli.h5", "stimuli/task-images_metadata.csv")
"""Keys that LIST shows and GET refuses: a data use agreement opens them, at an access service."""

HELD_OUT = Withheld(
    "ses",
    frozenset({"31", "32", "33", "34"}),
    "held out by the dataset's owners (not public, not a fault)",
    prefixes=(BETAS, "sub-"),  # a localizer that was run in one of them is public
)

_SUBJECT = re.compile(r"(?:sub-)?([0-9A-Za-z]+)")


class Extras(NamedTuple):
    """What else to fetch beside betas and regions of interest; each is off by default.

    Of embeddings, True stands for those of all models, and labels for some.
    """

    stimuli: bool = False
    embeddings: bool | tuple[str, ...] = False
    freesurfer: bool = False
    anatomical: bool = False
    raw: bool = False
    localizers: bool = False
    results: bool = True
    """Betas and regions of interest themselves."""


def whole_trees(extras: Extras) -> tuple[str, ...]:
    """Return the trees that are asked for, and to which no filter applies.

    Parameters
    ----------
    extras : Extras
    """
    trees = {
        "derivatives/freesurfer/": extras.freesurfer,
        ANATOMY: extras.anatomical,
        LOCALIZERS: extras.localizers,
    }
    return tuple(tree for tree, asked in trees.items() if asked)


def _families(extras: Extras) -> tuple[tuple[Family, ...], tuple[Family, ...]]:
    """Return the families to which no filter applies, and those that belong to no session."""
    whole: list[Family] = []
    if extras.stimuli:
        whole.append(Family("stimuli: include_stimuli", prefixes=("stimuli/",)))
    if extras.embeddings:
        prefixes = tuple(map(embedding_key, embedding_models(extras.embeddings)))
        whole.append(Family("embeddings: include_embeddings", prefixes=prefixes))
    if extras.freesurfer:
        freesurfer = ("derivatives/freesurfer/",)
        whole.append(Family("surfaces: include_freesurfer", prefixes=freesurfer))
    if extras.anatomical:
        whole.append(Family("anatomy: include_anatomical", prefixes=(ANATOMY,)))
    if extras.localizers:
        whole.append(Family("localizers: include_localizers", prefixes=(LOCALIZERS,)))
    loose = [Family("ROI: belongs to no session", prefixes=(ROIS, OLD_ROIS))]
    if not extras.anatomical:
        loose.append(_brain_mask("brain mask: belongs to no session"))
    return tuple(whole), tuple(loose)


def _brain_mask(why: str, extension: str = "") -> Family:
    """Return the mask on the grid of the functional data, alone of the whole anatomy."""
    entities = (("res", "1pt8"), ("desc", "brain"))
    return Family(why, prefixes=(ANATOMY,), entities=entities, extension=extension)


def dataset(extras: Extras = Extras()) -> Dataset:  # noqa: B008 - a frozen value
    """Return the description of the dataset, with the extras that were asked for."""
    whole, loose = _families(extras)
    rules = Rules(
        root_files=ROOT_FILES,
        averages="averages",
        with_sessions=(
            Family(
                "mean-R² map: the loader derives the brain mask from it",
                prefixes=(BETAS,),
                entities=(("desc", "R2mean"), ("stat", "rsquare")),
                extension=".nii.gz",
            ),
            _brain_mask("brain mask: its voxels are the columns of what is loaded", ".nii.gz"),
        ),
        sessionless=loose,
        mirrored=whole,
        sidecars=True,
    )
    return Dataset(
        name="LAION-fMRI",
        bucket="laion-fmri",
        region="us-west-2",
        rules=rules,
        withheld=(HELD_OUT,),
        tidy_labels=True,
        state=".laion_fmri",
        kind="laion-fmri",
    )


DATASET = dataset()


def subject_trees(extras: Extras = Extras()) -> tuple[str, ...]:  # noqa: B008 - a frozen value
    """Return the prefixes below which there is one folder a subject."""
    trees = [BETAS, ROIS, OLD_ROIS] if extras.results else []
    for wanted, tree in (
        (extras.freesurfer, "derivatives/freesurfer/"),
        (extras.anatomical, ANATOMY),
        (extras.localizers, LOCALIZERS),
        (extras.raw, ""),
    ):
        if wanted:
            trees.append(tree)
    return tuple(trees)


def listing(subjects: tuple[str, ...], extras: Extras) -> Listing:
    """Return what to list for some subjects (full labels, such as "sub-03")."""
    walks = [f"{tree}{subject}/" for subject in subjects for tree in subject_trees(extras)]
    if extras.results and not extras.anatomical:  # of the anatomy, its brain mask alone
        anat = "{0}{1}/ses-PrismaAnat/anat/{1}_ses-PrismaAnat_space-T1w_res-1pt8_desc-brain_mask"
        walks += [anat.format(ANATOMY, subject) for subject in subjects]
    if extras.stimuli:
        walks.append("stimuli/")
    else:
        walks += map(embedding_key, embedding_models(extras.embeddings))
    return Listing(walks=tuple(walks), levels=("",))


def subject_label(text: object) -> str:
    """Return a subject's full label, "sub-03".

    Raises
    ------
    UsageError
        If the text cannot be a subject.

    Examples
    --------
    >>> subject_label("03"), subject_label("sub-03"), subject_label(3)
    ('sub-03', 'sub-03', 'sub-3')
    """
    if hasattr(text, "__index__") and not isinstance(text, bool):
        text = str(text)
    found = _SUBJECT.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        msg = (
            f"{text!r} is not a subject. Give its full name or bare value, "
            "such as 'sub-03' or '03', several of them one by one, or 'all'."
        )
        raise UsageError(msg)
    return f"sub-{found[1]}"
