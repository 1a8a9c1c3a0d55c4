"""A small LAION-fMRI bucket, BIDS-true and the same for the same seed.

`make_bucket` gives every key with its content; `write_local` lays the same files out as a finished
download has them. Volumes are real NIfTI files, models and embeddings are real HDF5. Each label of
a picture has a category (`category_of`), and the voxels of a region prefer their own.

Columns of ``trials.tsv``: ``session`` (``ses-01``), ``run`` (from 1), ``beta_index`` (from 0, the
volume's place in the beta file), ``label`` (the stimulus' file name).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from testbed import _encode as enc
from testbed._anatomy import anatomical, freesurfer, localizers, rois
from testbed._phantom import IMAGE_CATEGORIES, ROIS, VOXEL_MM, Head, category_of, stream
from testbed._pictures import shared_pictures, unique_pictures
from testbed._raw import raw_files
from testbed._stimuli import stimuli_files

__all__ = [
    "GATED",
    "IMAGE_CATEGORIES",
    "ROIS",
    "ROOT_FILES",
    "Recipe",
    "category_of",
    "local_name",
    "make_bucket",
    "trial_labels",
    "write_local",
]

ROOT_FILES = ("dataset_description.json", "participants.tsv", "participants.json", "README")

#: Keys that only the access service hands out: a public bucket refuses them.
GATED = ("stimuli/task-images_stimuli.h5", "stimuli/task-images_metadata.csv")

Files = Iterator[tuple[str, bytes]]


@dataclass(frozen=True)
class Recipe:
    """What the bucket holds.

    Parameters
    ----------
    seed
        Of every random number; the same recipe gives the same bytes.
    subjects, sessions
        Full BIDS tokens.
    held_out
        Sessions that the bucket lists and, by policy, refuses: same kinds of keys, few trials.
    grid
        Shape of a volume; the head is scaled to fill it.
    voxel_mm
        Side of a voxel. On a grid of (48, 58, 48), with 3.6 mm, the head is as large as a head;
        names say ``res-1pt8`` all the same.
    trials_per_session
        Beta volumes in a session, at least ``2 * runs``.
    runs
        Runs in a session.
    figures_per_session
        PNGs without entities beside a session's maps; raise it for a long listing.
    unfitted
        Voxels of the brain that have no model in a session: NaN in its maps. Which, differs from
        session to session.
    object_localizer
        Also the localizer of objects: it lies under ``ses-31``, as the held-out session is named.
    """

    seed: int = 2026
    subjects: tuple[str, ...] = ("sub-01", "sub-03")
    sessions: tuple[str, ...] = ("ses-01", "ses-02")
    held_out: tuple[str, ...] = ("ses-31",)
    grid: tuple[int, int, int] = (20, 24, 18)
    voxel_mm: float = VOXEL_MM
    trials_per_session: int = 24
    runs: int = 2
    figures_per_session: int = 80
    unfitted: int = 0
    object_localizer: bool = False

    def trials(self, session: str) -> int:
        """Return the number of trials of a session: two a run where it is held out."""
        return 2 * self.runs if session in self.held_out else self.trials_per_session

    @property
    def all_sessions(self) -> tuple[str, ...]:
        """Open and held-out sessions."""
        return self.sessions + self.held_out


def make_bucket(recipe: Recipe | None = None) -> dict[str, bytes]:
    """Return every object of the bucket, sorted by key.

    Examples
    --------
    >>> bucket = make_bucket(Recipe(subjects=("sub-01",), sessions=("ses-01",), held_out=()))
    >>> "participants.tsv" in bucket
    True
    """
    recipe = recipe or Recipe()
    objects = dict(_root_files(recipe))
    for subject in recipe.subjects:
        head = Head(recipe.seed, subject, recipe.grid, recipe.unfitted, recipe.voxel_mm)
        objects |= dict(_subject_files(recipe, head))
    objects |= dict(_stimuli(recipe))
    return dict(sorted(objects.items()))


def write_local(objects: Mapping[str, bytes], root: Path) -> None:
    """Write the files as a finished download has them, hyphens dropped from label values."""
    for key, content in objects.items():
        path = root / local_name(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def local_name(key: str) -> str:
    """Return the relative path that a key has on disk.

    Examples
    --------
    >>> local_name("rois/sub-01/face/sub-01_space-T1w_label-FFA-1_mask.nii.gz")
    'rois/sub-01/face/sub-01_space-T1w_label-FFA1_mask.nii.gz'
    """
    folder, slash, name = key.rpartition("/")
    parts = re.sub(r"(?<=_label-)[^_.]+", lambda value: value[0].replace("-", ""), name)
    return folder + slash + parts


def trial_labels(recipe: Recipe, subject: str, session: str) -> list[str]:
    """Return the label of each trial of a session, in order of ``beta_index``.

    Half of the trials show pictures of a pool shared by all subjects and sessions, each twice a
    session; the other half show pictures of the subject's own, twice each too where they fit.
    """
    total = recipe.trials(session)
    rng = stream(recipe.seed, subject, session, "trials")
    shared = rng.choice(_pool(recipe), size=max(1, total // 4), replace=False).tolist()
    before = recipe.all_sessions[: recipe.all_sessions.index(session)]
    start = sum(_own(recipe.trials(earlier)) for earlier in before)
    mine = list(islice(unique_pictures(subject), start, start + _own(total)))
    order = (shared * 2 + mine * 2)[:total]
    return [str(order[index]) for index in rng.permutation(total)]


def _own(total: int) -> int:
    """Return how many pictures of the subject's own a session of so many trials shows."""
    return (total - 2 * max(1, total // 4) + 1) // 2


def _pool(recipe: Recipe) -> list[str]:
    return shared_pictures(recipe.trials_per_session // 2 + 1)


def _root_files(recipe: Recipe) -> Files:
    yield (
        "dataset_description.json",
        enc.json_text(
            {
                "Name": "A made-up LAION-fMRI",
                "BIDSVersion": "1.9.0",
                "DatasetType": "raw",
                "License": "CC0",
            }
        ),
    )
    rows = [(subject, 24 + index, "n/a") for index, subject in enumerate(recipe.subjects)]
    yield "participants.tsv", enc.table(("participant_id", "age", "sex"), rows)
    yield "participants.json", enc.json_text({"age": {"Units": "years"}})
    yield "README", b"Made-up data in the layout of LAION-fMRI, for tests and demonstrations.\n"


def _subject_files(recipe: Recipe, head: Head) -> Files:
    for session in recipe.all_sessions:
        yield from _session_files(recipe, head, session)
        yield from raw_files(
            head, session, recipe.runs, trial_labels(recipe, head.subject, session)
        )
    yield from _summaries(recipe, head)
    yield from rois(head)
    yield from freesurfer(head)
    yield from anatomical(head)
    yield from localizers(head, objects=recipe.object_localizer)


def _session_files(recipe: Recipe, head: Head, session: str) -> Files:
    folder = f"derivatives/glmsingle-tedana/{head.subject}/{session}/func/"
    base = f"{folder}{head.subject}_{session}_task-images_"
    labels = trial_labels(recipe, head.subject, session)
    yield base + "desc-GLMsingle_summary.json", _summary(len(labels), recipe.runs)
    yield base + "desc-SingletrialBetas_trials.tsv", _trials_table(recipe, session, labels)
    yield base + "desc-SingletrialBetas_trials.json", _sidecar("Trial of each beta volume")
    for name, content in _session_maps(head, session, labels):
        yield base + name, content
        yield base + name.split(".")[0] + ".json", _sidecar(name)
    for number in range(recipe.figures_per_session):
        pixels = stream(recipe.seed, folder, number).integers(0, 255, (8, 8), dtype=np.uint8)
        yield f"{folder}figures/design{number:04d}.png", enc.png(pixels)


def _session_maps(head: Head, session: str, labels: list[str]) -> Files:
    betas = head.responses(labels, session)
    hrf = head.volume(np.ceil(20 * head.uniform(session, "HRFindex")))
    fraction = head.volume(np.ceil(20 * head.uniform(session, "Fracridge")) / 20)
    rsquare = head.rsquare(session)
    model = {"betasmd": betas[head.brain][:, :4], "R2": rsquare, "HRFindex": hrf}
    yield "space-T1w_desc-GLMsingle_model.h5", enc.hdf5(model)
    yield (
        "space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz",
        enc.nifti(betas, head.affine),
    )
    yield "space-T1w_stat-rsquare_desc-R2_statmap.nii.gz", enc.nifti(rsquare, head.affine)
    ceiling = head.noise_ceiling(1)
    ceiling[tuple(np.argwhere(head.brain)[head.without_model(session)].T)] = np.nan
    yield "space-T1w_desc-Noiseceiling_statmap.nii.gz", enc.nifti(ceiling, head.affine)
    index = np.nan_to_num(hrf).astype(np.int16)
    yield "space-T1w_desc-HRFindex_dseg.nii.gz", enc.nifti(index, head.affine)
    yield "space-T1w_desc-Fracridge_statmap.nii.gz", enc.nifti(fraction, head.affine)


def _trials_table(recipe: Recipe, session: str, labels: list[str]) -> bytes:
    per_run = -(-len(labels) // recipe.runs)
    rows = [(session, index // per_run + 1, index, label) for index, label in enumerate(labels)]
    return enc.table(("session", "run", "beta_index", "label"), rows)


def _summaries(recipe: Recipe, head: Head) -> Files:
    base = f"derivatives/glmsingle-tedana/{head.subject}/{head.subject}_task-images_"
    total = sum(recipe.trials(session) for session in recipe.sessions)
    yield base + "desc-GLMsingle_summary.json", _summary(total, recipe.runs)
    for name, repeats in (("4rep", 4), ("12rep", 12), ("Allrep", 6)):
        stem = f"{base}space-T1w_desc-Noiseceiling{name}_statmap"
        yield stem + ".nii.gz", enc.nifti(head.noise_ceiling(repeats), head.affine)
        yield stem + ".json", _sidecar(f"Noise ceiling, {name}")
    stem = base + "space-T1w_stat-rsquare_desc-R2mean_statmap"
    yield stem + ".nii.gz", enc.nifti(head.rsquare("mean"), head.affine)
    yield stem + ".json", _sidecar("R2 in percent, mean over sessions")


def _stimuli(recipe: Recipe) -> Files:
    shown_to = dict.fromkeys(_pool(recipe), "")
    shown_to |= dict.fromkeys(islice(unique_pictures("sub-07"), 2), "sub-07")  # no data of theirs
    for subject in recipe.subjects:
        for session in recipe.all_sessions:
            for label in trial_labels(recipe, subject, session):
                shown_to.setdefault(label, subject)
    yield from stimuli_files(recipe.seed, shown_to)


def _summary(trials: int, runs: int) -> bytes:
    return enc.json_text({"n_trials": trials, "n_runs": runs, "pipeline": "GLMsingle"})


def _sidecar(description: str) -> bytes:
    return enc.json_text({"Description": description, "TaskName": "images"})
