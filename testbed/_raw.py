"""The raw part of the made-up bucket: ``sub-XX/ses-YY/{func,fmap,anat}``."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from testbed import _encode as enc
from testbed._anatomy import scan
from testbed._head import coordinates
from testbed._phantom import Head, stream

TR_SECONDS = 1.9
TRIAL_SECONDS = 3.0
ECHOES = (1, 2, 3)
EVENTS = (
    *("onset", "duration", "trial_number", "trial_type"),
    *("response", "response_correct", "response_changed", "response_time"),
    *("stim_number", "stim_name", "stim_occurrence", "stim_occurrence_run"),
    *("stim_occurrence_session", "stim_duration"),
    *("isi_onset", "isi_duration", "pulse_number", "pulse_onset"),
)
Files = Iterator[tuple[str, bytes]]


def raw_files(head: Head, session: str, runs: int, labels: list[str]) -> Files:
    """Yield key and content of a session's raw BIDS files."""
    base = f"{head.subject}/{session}/"
    stem = f"{head.subject}_{session}_"
    per_run = -(-len(labels) // runs)
    for run in range(1, runs + 1):
        shown = labels[(run - 1) * per_run : run * per_run]
        yield from _run(head, f"{base}func/{stem}task-images_run-{run:02d}_", shown)
    for direction in ("AP", "PA"):
        name = f"{base}fmap/{stem}dir-{direction}_epi"
        yield name + ".nii.gz", enc.nifti(_scan(head, name, 1), head.affine)
        yield name + ".json", enc.json_text({"PhaseEncodingDirection": "j"})
    anatomy = enc.nifti(scan(head, "T1w", head.grid), head.affine)
    yield f"{base}anat/{stem}T1w.nii.gz", anatomy
    yield f"{base}anat/{stem}T1w.json", enc.json_text({"MagneticFieldStrength": 3})


def _run(head: Head, stem: str, labels: list[str]) -> Files:
    for echo in ECHOES:
        for part in ("mag", "phase"):
            name = f"{stem}echo-{echo}_part-{part}_bold"
            yield name + ".nii.gz", enc.nifti(_scan(head, name, 2), head.affine, TR_SECONDS)
            yield name + ".json", enc.json_text(_timing(echo))
    name = f"{stem}echo-1_part-mag_sbref"
    yield name + ".nii.gz", enc.nifti(_scan(head, name, 1), head.affine)
    yield name + ".json", enc.json_text(_timing(1))
    yield stem + "events.tsv", enc.table(EVENTS, _events(labels))
    described = {"stim_name": {"Description": "shown image"}}
    yield stem + "events.json", enc.json_text(described)


def _events(labels: list[str]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each trial, and before the first one for a blank: more rows than betas."""
    for number, label in enumerate(["", *labels]):
        onset = TRIAL_SECONDS * number
        seen = labels[:number].count(label)
        shown = (number, label, seen, seen, seen, 2.5) if label else ("n/a",) * 6
        response = ("n/a", "n/a", "n/a", "n/a") if number % 4 else (1, int(number > 0), 0, 0.6)
        yield (
            *(onset, 2.5, number, "image" if label else "blank"),
            *response,
            *shown,
            *(onset + 2.5, 0.5, 2 * number + 1, onset),
        )


def _timing(echo: int) -> dict[str, object]:
    return {"EchoTime": round(0.0126 * echo, 4), "RepetitionTime": TR_SECONDS, "TaskName": "images"}


def _scan(head: Head, name: str, volumes: int) -> NDArray[np.int16]:
    """Return what an echo-planar scan measures: a brain in noisy surroundings, or its phase."""
    shape = head.grid if volumes == 1 else (*head.grid, volumes)
    noise = stream(head.seed, name).integers(0, 20, shape, dtype=np.int16)
    tissue = head.tissue(head.grid)
    if "_part-phase_" in name:
        x, y, z = (np.linspace(-1, 1, size) for size in head.grid)
        turns = 3 * x[:, None, None] ** 2 + 4 * y[:, None] ** 2 - 3 * z
        values = (np.round(4096 * turns).astype(int) % 8192) - 4096
        values = np.where(tissue.hull > 0.3, values, -4096)
    else:
        bright = 0.72 * tissue.grey + 0.6 * tissue.white + tissue.fluid + 0.15 * tissue.scalp
        values = np.round(900 * _left_of_signal(head, name) * bright)
    whole = values if volumes == 1 else values[..., None]
    return np.asarray(noise + whole.astype(np.int16), dtype=np.int16)


def _left_of_signal(head: Head, name: str) -> NDArray[np.float64]:
    """Return the share that an echo keeps: less of the later ones, least above nose and ears."""
    echo = next((number for number in ECHOES if f"_echo-{number}_" in name), 1)
    x, y, z = coordinates(head.axes(head.grid))
    nose = np.exp(-((x / 16) ** 2) - ((y - 38) / 18) ** 2 - ((z + 22) / 13) ** 2)
    ears = np.exp(-(((np.abs(x) - 52) / 12) ** 2) - ((y + 42) / 14) ** 2 - ((z + 26) / 10) ** 2)
    return np.asarray(np.exp(-12.6 * echo * (1 / 45 + (nose + ears) / 20)))
