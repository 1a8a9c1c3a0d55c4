"""What the servers of the gallery have: data in which there is something to be found.

What was put where is written in constants, so that tests can hold results against it. All of it is
made up: no person was ever measured.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from laion_fmri.splits import digests
from laion_fmri.splits.source import COMMITS, NEWEST
from testbed._encode import json_text, nifti, table
from testbed._head import Axis, coordinates, smooth_noise, tissue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from testbed.neurovault_data import Vault

    Floats = NDArray[np.float64]

__all__ = [
    "CATEGORIES",
    "FACES",
    "HOUSES",
    "KINDS",
    "MEG_PEAK",
    "SAID",
    "STOP",
    "STOP_IMAGES",
    "TAGS",
    "fill_vault",
    "lists_known",
    "split_lists",
    "versions",
    "whole_study",
]

Files = dict[str, bytes]
Place = tuple[float, float, float]


def _box(step: float) -> tuple[Axis, Axis, Axis]:
    """Return the usual box of MNI space with cubic voxels."""
    return (
        Axis(-90.0, step, int(180 / step) + 1),
        Axis(-126.0, step, int(216 / step) + 1),
        Axis(-72.0, step, int(180 / step) + 1),
    )


def _affine(axes: tuple[Axis, Axis, Axis]) -> Floats:
    affine = np.diag([*(axis.step for axis in axes), 1.0])
    affine[:3, 3] = [axis.start for axis in axes]
    return affine


def _blobs(axes: tuple[Axis, Axis, Axis], places: Mapping[Place, float], width: float) -> Floats:
    """Return smooth peaks of given heights, `width` millimetres wide (one standard deviation)."""
    where = coordinates(axes)
    total = np.zeros(where.shape[1:])
    for place, height in places.items():
        squares = ((where - np.reshape(place, (3, 1, 1, 1))) ** 2).sum(axis=0)
        total += height * np.exp(-0.5 * squares / width**2)
    return total


# -- fMRI of two subjects who look at objects --------------------------------------------------

CATEGORIES = ("scissors", "face", "cat", "shoe", "house", "scrambledpix", "bottle", "chair")
FACES: dict[Place, float] = {(42.0, -54.0, -16.0): 1.0, (-40.0, -54.0, -18.0): 0.8}
HOUSES: dict[Place, float] = {(28.0, -44.0, -10.0): 1.0, (-26.0, -46.0, -8.0): 0.9}
SEEN: dict[Place, float] = {(14.0, -92.0, 2.0): 1.0, (-12.0, -94.0, 0.0): 1.0}
_TR, _VOLUMES = 2.5, 121


TAGS = {"ds000105": "3.0.0", "ds000117": "1.0.5"}
"""The versions that examples name: real ones, by the DOIs 10.18112/openneuro.ACCESSION.vTAG."""


def versions(accession: str) -> dict[str, Files]:
    """Return the versions of a data set, with their files."""
    files = _objects_seen() if accession == "ds000105" else _faces_in_meg()
    return {TAGS[accession]: files}


def _described(name: str, subjects: list[str]) -> Files:
    about = {"Name": name, "BIDSVersion": "1.8.0", "License": "CC0", "DatasetType": "raw"}
    rows = [(subject, 24 + number) for number, subject in enumerate(subjects)]
    return {
        "dataset_description.json": json_text(about),
        "README": b"Made-up data, for the examples of a gallery. Nobody was measured.\n",
        "CHANGES": b"1.0.0 2026-01-01\n  - First.\n",
        "participants.tsv": table(("participant_id", "age"), rows),
    }


def _objects_seen() -> Files:
    """Return runs of blocks of pictures, 24 s each, in which faces and houses leave a trace."""
    axes = _box(5.0)
    head = tissue(axes)
    files = _described("Objects seen (made up)", ["sub-1", "sub-2"])
    files["task-objectviewing_bold.json"] = json_text(
        {"TaskName": "objectviewing", "RepetitionTime": _TR}
    )
    fine = _box(2.0)
    for subject in ("sub-1", "sub-2"):
        anatomy = (tissue(fine).t1 * 900 + tissue(fine).scalp * 500).astype(np.int16)
        files[f"{subject}/anat/{subject}_T1w.nii.gz"] = nifti(anatomy, _affine(fine))
        for run in ("01", "02"):
            rng = np.random.default_rng([int(subject[-1]), int(run)])
            order = [str(name) for name in rng.permutation(CATEGORIES)]
            stem = f"{subject}/func/{subject}_task-objectviewing_run-{run}"
            files[f"{stem}_events.tsv"] = _blocks(order)
            volumes = _bold(rng, order, head.t1, axes)
            files[f"{stem}_bold.nii.gz"] = nifti(volumes, _affine(axes), _TR)
    return files


def _starts(order: list[str], name: str) -> float:
    return 12.0 + 36.0 * order.index(name)


def _blocks(order: list[str]) -> bytes:
    rows = [
        (round(_starts(order, name) + 2.0 * picture, 3), 0.5, name)
        for name in order
        for picture in range(12)
    ]
    return table(("onset", "duration", "trial_type"), rows)


def _bold(
    rng: np.random.Generator,
    order: list[str],
    t1: NDArray[np.float32],
    axes: tuple[Axis, Axis, Axis],
) -> NDArray[np.int16]:
    """Return a run: a baseline, what blocks of pictures do in percent, a drift, and noise."""
    brain = t1 > 0.05
    times = _TR * np.arange(_VOLUMES)
    faces, houses = _blobs(axes, FACES, 6.0), _blobs(axes, HOUSES, 6.0)
    seen = _blobs(axes, SEEN, 10.0)
    percent = np.zeros((*brain.shape, _VOLUMES))
    for name in order:
        course = _response(times - _starts(order, name))
        there = 1.2 * seen + 2.2 * faces * (name == "face") + 2.2 * houses * (name == "house")
        percent += (there + 0.3 * (faces + houses))[..., None] * course
    drift = 0.4 * np.sin(2 * np.pi * (times / 280 + rng.uniform()))
    noise = smooth_noise(rng, percent.shape, times=1) * 0.8
    baseline = 700.0 * (0.6 + 0.4 * t1) * brain + 20
    return np.round(baseline[..., None] * (1 + (percent + drift + noise) / 100)).astype(np.int16)


def _response(seconds: NDArray[np.floating[Any]], length: float = 24.0) -> Floats:
    """Return what a block does to the signal: about 1 at its height, seconds after its start."""
    fine = np.arange(0.0, 32.0, 0.1)
    rise, fall = fine**5 * np.exp(-fine) / 120, fine**15 * np.exp(-fine) / 1.3077e12
    kernel = rise - fall / 6
    block = np.convolve(np.ones(int(length / 0.1)), kernel / kernel.sum())
    course = np.interp(seconds, 0.1 * np.arange(block.size), block, left=0.0, right=0.0)
    return np.asarray(course, dtype=np.float64)


# -- MEG of a subject who looks at faces ---------------------------------------------------------

MEG_PEAK = 0.17
"""Seconds after a picture, when what tells faces from others is strongest."""
_KINDS = ("Famous", "Unfamiliar", "Scrambled")
_RATE, _SECONDS = 250.0, 165.0


def _faces_in_meg() -> Files:
    """Return a recording of 102 magnetometers at their true places, with its events."""
    import mne  # noqa: PLC0415 - for this alone, and it may be absent

    rng = np.random.default_rng(117)
    stem = "sub-01/ses-meg/meg/sub-01_ses-meg_task-facerecognition_run-01"
    onsets = 3.0 + 1.05 * np.arange(150) + rng.uniform(0, 0.15, 150)
    kinds = rng.permutation(np.repeat(_KINDS, 50))
    with mne.use_log_level("error"):
        layout = mne.channels.read_meg_canonical_info("neuromag")
        info = mne.pick_info(layout, mne.pick_types(layout, meg="mag"))
        with info._unlock():
            info["sfreq"], info["lowpass"] = _RATE, _RATE / 2
            info["line_freq"] = 50.0
        raw = mne.io.RawArray(_fields(rng, info, onsets, kinds), info)
        with tempfile.TemporaryDirectory() as folder:
            raw.save(Path(folder) / "made_meg.fif", fmt="single")
            recording = (Path(folder) / "made_meg.fif").read_bytes()
    triggers = {"Famous": 5, "Unfamiliar": 13, "Scrambled": 17}
    rows = [
        (round(float(onset), 4), 0, round(float(onset) * _RATE), str(kind), triggers[str(kind)])
        for onset, kind in zip(onsets, kinds, strict=True)
    ]
    columns = ("onset", "duration", "onset_sample", "stim_type", "trigger")
    return {
        **_described("Faces in MEG (made up)", ["sub-01"]),
        f"{stem}_meg.fif": recording,
        f"{stem}_meg.json": json_text(
            {"TaskName": "facerecognition", "SamplingFrequency": _RATE, "PowerLineFrequency": 50}
        ),
        f"{stem}_events.tsv": table(columns, rows),
    }


def _fields(rng: np.random.Generator, info: object, onsets: Floats, kinds: Floats) -> Floats:
    """Return the field at each sensor in tesla: responses to pictures, a rhythm at 10 Hz, noise."""
    samples = int(_SECONDS * _RATE)
    times = np.arange(samples) / _RATE
    sides = [_dipole(info, (side * 0.038, -0.045, 0.0), (0.0, 0.3, 1.0)) for side in (-1, 1)]
    early = _dipole(info, (0.008, -0.062, 0.024), (1.0, 0.2, 0.2))
    late = sides[0] - 1.2 * sides[1]
    strength = {"Famous": 1.0, "Unfamiliar": 0.95, "Scrambled": 0.45}
    field = np.zeros((early.size, samples))
    for onset, kind in zip(onsets, kinds, strict=True):
        after = times - onset
        jitter = rng.normal(1.0, 0.2)
        field += 110e-15 * jitter * early[:, None] * np.exp(-0.5 * ((after - 0.1) / 0.016) ** 2)
        course = np.exp(-0.5 * ((after - MEG_PEAK) / 0.022) ** 2)
        field += 170e-15 * jitter * strength[str(kind)] * late[:, None] * course
    rhythm = np.sin(2 * np.pi * 10.2 * times + np.cumsum(rng.normal(0, 0.06, samples)))
    field += 120e-15 * _dipole(info, (0.0, -0.06, 0.035), (1.0, 0.0, 0.3))[:, None] * rhythm
    white = rng.normal(0, 1, field.shape)
    return field + 45e-15 * (white + np.roll(white, 1, 1) + np.roll(white, 2, 1))


def _dipole(info: object, place: Place, moment: Place) -> Floats:
    """Return the field of a current in a ball at each sensor, its largest value 1.

    Sarvas' formula; the ball's middle is that of the helmet.
    """
    sensors = np.array([one["loc"] for one in info["chs"]])  # type: ignore[index]
    points, normals = sensors[:, :3], sensors[:, 9:12]
    source, current = np.array(place), np.array(moment)
    apart = points - source
    a, r = np.linalg.norm(apart, axis=1), np.linalg.norm(points, axis=1)
    along = (apart * points).sum(axis=1)
    f = a * (r * a + r**2 - points @ source)
    slope = (a**2 / r + along / a + 2 * a + 2 * r)[:, None] * points
    slope -= (a + 2 * r + along / a)[:, None] * source
    turned = np.cross(current, source)
    field = (f[:, None] * turned - (points @ turned)[:, None] * slope) / f[:, None] ** 2
    seen = (field * normals).sum(axis=1)
    return np.asarray(seen / np.abs(seen).max())


# -- the same study, all of it, of files that are small and mean nothing -------------------------


def whole_study(seed: int = 0) -> Files:
    """Return all files of ds000105 by their names: six subjects, twelve runs, but eleven of one."""
    subjects = [f"sub-{number}" for number in range(1, 7)]
    files = _described("Objects seen (made up)", subjects)
    files["task-objectviewing_bold.json"] = json_text(
        {"TaskName": "objectviewing", "RepetitionTime": _TR}
    )
    for subject in subjects:
        rng = np.random.default_rng([seed, int(subject[-1])])
        files[f"{subject}/anat/{subject}_T1w.nii.gz"] = rng.bytes(int(rng.integers(70_000, 90_000)))
        for run in range(1, 12 if subject == "sub-5" else 13):
            stem = f"{subject}/func/{subject}_task-objectviewing_run-{run:02}"
            files[f"{stem}_bold.nii.gz"] = rng.bytes(int(rng.integers(90_000, 120_000)))
            files[f"{stem}_events.tsv"] = _blocks(
                [str(name) for name in rng.permutation(CATEGORIES)]
            )
    return files


# -- NeuroVault: studies that found the same ------------------------------------------------------

STOP_IMAGES = (151, 2675, 2676, 2818, 2834, 3041, 3042)
STOP: dict[Place, float] = {
    (46.0, 20.0, 6.0): 1.0,
    (-40.0, 18.0, 2.0): 0.8,
    (4.0, 18.0, 48.0): 0.95,
    (54.0, -44.0, 36.0): 0.8,
    (0.0, 46.0, -8.0): -0.8,
}
"""Where stopping does something, and how much, in standard deviations of people."""

KINDS: dict[str, dict[Place, float]] = {
    "hand": {(-38.0, -24.0, 58.0): 6.5, (38.0, -22.0, 58.0): 2.5, (18.0, -52.0, -22.0): 3.5},
    "face": {**{place: 6.0 * height for place, height in FACES.items()}, (22.0, -6.0, -18.0): 3.5},
    "language": {(-52.0, 20.0, 12.0): 5.5, (-56.0, -40.0, 4.0): 5.5, (-44.0, 4.0, 48.0): 3.0},
}
SAID = {
    "hand": ("hand", "movement", "finger"),
    "face": ("face", "fusiform", "amygdala"),
    "language": ("language", "sentence", "reading"),
}
_ELSE = ("task", "memory", "reward", "pain", "age", "rest")


def fill_vault(vault: Vault) -> None:
    """Add seven studies of stopping, and a collection of maps of three kinds of task with words."""
    sizes = (13, 15, 16, 18, 21, 24, 33)
    for collection, (image, people) in enumerate(zip(STOP_IMAGES, sizes, strict=True), start=2100):
        vault.add_collection(collection, name=f"Stopping, study {collection - 2099} (made up)")
        rng = np.random.default_rng(image)
        axes = _box(4.0 if image % 2 else 3.0)
        peaks = {place: height * np.sqrt(people) for place, height in STOP.items()}
        own = {tuple(rng.uniform((-50, -80, -20), (50, 50, 60))): 2.5 for _ in range(3)}
        vault.add_image(
            image,
            collection,
            name="stop > go",
            volume=_map(rng, axes, peaks | own),
            map_type="T map",
            number_of_subjects=people,
            contrast_definition="stop > go",
        )
    vault.add_collection(1952, name="Three kinds of task (made up)")
    for number in range(24):
        kind = list(KINDS)[number % 3]
        rng = np.random.default_rng(number)
        gain = rng.uniform(0.5, 1.1)
        peaks = {place: gain * height for place, height in KINDS[kind].items()}
        image = 32001 + number
        volume = _map(rng, _box(4.0), peaks)
        vault.add_image(image, 1952, name=f"map {number + 1}", volume=volume, map_type="Z map")
        vault.words[image] = _words(rng, kind, gain)


def _map(
    rng: np.random.Generator, axes: tuple[Axis, Axis, Axis], peaks: Mapping[Place, float]
) -> bytes:
    """Return a map of t or z values: peaks in a brain of smooth noise, and 0 outside."""
    head = tissue(axes)
    noise = smooth_noise(rng, head.t1.shape, times=2)
    shape = 0.4 + 0.6 * np.clip(head.grey * 1.5, 0, 1)  # less of it in white matter
    values = (_blobs(axes, peaks, 10.0) * shape + noise) * (head.t1 > 0.05)
    image = nib.Nifti1Image(values.astype(np.float32), _affine(axes))
    return nifti_bytes(image)


def nifti_bytes(image: nib.Nifti1Image) -> bytes:
    """Return an image as a compressed file."""
    return nifti(np.asarray(image.dataobj), image.affine)


def _words(rng: np.random.Generator, kind: str, gain: float) -> dict[str, float]:
    weights = {word: float(rng.normal(0, 0.08)) for said in SAID.values() for word in said}
    weights |= {word: float(rng.normal(0, 0.1)) for word in _ELSE}
    for word in SAID[kind]:
        weights[word] += 0.4 * gain
    return {word: round(value, 4) for word, value in weights.items()}


# -- LAION-fMRI's lists of train and test ---------------------------------------------------------


def split_lists(bucket: Mapping[str, bytes]) -> Files:
    """Return files of lists, as the owners write theirs, of the pictures of a made-up bucket."""
    return {
        f"{COMMITS[NEWEST]}/laion_fmri/splits/data/{pool}/{name}.json": json.dumps(
            {
                "name": name,
                "splitter": "made up",
                "params": {},
                "variants": [{"variant_id": 0, "train_ids": train, "test_ids": test}],
            }
        ).encode()
        for (pool, name), (train, test) in _lists(bucket).items()
    }


@contextlib.contextmanager
def lists_known(bucket: Mapping[str, bytes]) -> Iterator[None]:
    """Let the made-up lists count as the owners': each is known by its SHA-256."""
    before = digests._LISTS
    digests._LISTS = "\n".join(
        f"{pool} {name} {generation} {len(train)} {len(test)} {digests.digest_of(train, test)}"
        for (pool, name), (train, test) in _lists(bucket).items()
        for generation in (COMMITS if name.startswith("random") else ("-",))
    )
    digests.known.cache_clear()
    try:
        yield
    finally:
        digests._LISTS = before
        digests.known.cache_clear()


def _lists(bucket: Mapping[str, bytes]) -> dict[tuple[str, str], tuple[list[str], list[str]]]:
    """Return train and test by pool and name: a fifth of pictures by chance, and `ood`."""
    found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for subject in ("sub-03",):
        tables = [key for key in bucket if f"/{subject}_" in key and key.endswith("trials.tsv")]
        names = sorted(
            {row.split("\t")[3] for key in tables for row in bucket[key].decode().splitlines()[1:]}
        )
        pool = [name for name in names if "_OOD_" not in name]
        order = [pool[place] for place in np.random.default_rng(5).permutation(len(pool))]
        for fold in range(5):
            test = order[fold::5]
            found[subject, f"random_{fold}"] = ([one for one in pool if one not in test], test)
        found[subject, "ood"] = (pool, [name for name in names if "_OOD_" in name])
    return found
