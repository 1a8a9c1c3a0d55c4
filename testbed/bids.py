"""Small BIDS data sets, one for each way in which a file needs others: true to the specification.

A file alone is seldom enough: its metadata is inherited from folders above it, a recording has
events and electrodes beside it, a recording of CTF is itself a folder, and a derivative has a
description of its own. Each function returns the files of one such data set by path, all of them
valid by the official BIDS validator, and a few kilobytes long.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np

from testbed import _head
from testbed._encode import json_text, table
from testbed._encode import nifti as encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["KINDS", "everything", "nifti"]

Files = dict[str, bytes]

SUBJECTS = ("01", "02", "10")


def nifti(*shape: int, seed: int = 0) -> bytes:
    """Return a compressed NIfTI-1 file of a small head; steps of a fourth axis are 2 s apart."""
    rng = np.random.default_rng(seed)
    x, y, z = (
        _head.Axis(centre - reach * (count - 1) / count, 2 * reach / count, count)
        for centre, reach, count in zip(_head.CENTRE, (88, 105, 92), shape[:3], strict=True)
    )
    tissue = _head.tissue((x, y, z))
    head = 900 * np.maximum(tissue.t1, tissue.scalp)
    over_time = 1 + 0.02 * rng.standard_normal(shape[3:])  # a number, where there is no time
    values = np.multiply.outer(head, over_time) + rng.integers(0, 60, shape)
    tr = 2.0 if len(shape) > 3 else None
    return encode(values.astype(np.int16), np.diag([3.0, 3.0, 3.0, 1.0]), tr)


def _json(**fields: object) -> bytes:
    return json_text(fields)


def _table(columns: Sequence[str], *rows: Sequence[object]) -> bytes:
    return table(columns, rows)


def _described(files: Mapping[str, bytes], **fields: object) -> Files:
    """Add what every data set has: a description, a README, its subjects."""
    subjects = sorted({path.split("/")[0] for path in files if path.startswith("sub-")})
    return {
        "dataset_description.json": _json(
            Name="A small data set",
            BIDSVersion="1.10.0",
            DatasetType="raw",
            License="CC0",
            **fields,
        ),
        "README": b"Made by a generator.\n" * 20,
        "CHANGES": b"1.0.0 2026-01-01\n  - First.\n",
        "LICENSE": b"CC0 1.0 Universal\n",
        "participants.tsv": _table(("participant_id", "age"), *((sub, 30) for sub in subjects)),
        "participants.json": _json(age={"Description": "Age", "Units": "year"}),
        **files,
    }


def inherited_bold() -> Files:
    """Return runs whose metadata lies at the root, and is corrected for one subject."""
    files = {
        "task-rest_bold.json": _json(TaskName="rest", RepetitionTime=2.0, EchoTime=0.03),
        "task-rest_events.json": _json(trial_type={"Description": "What was shown"}),
        "sub-02/sub-02_task-rest_bold.json": _json(EchoTime=0.04),
    }
    for sub in SUBJECTS:
        stem = f"sub-{sub}/func/sub-{sub}_task-rest"
        for run in ("1", "2"):
            files[f"{stem}_run-{run}_bold.nii.gz"] = nifti(4, 4, 4, 6, seed=int(sub + run))
        files[f"{stem}_events.tsv"] = _table(
            ("onset", "duration", "trial_type"), (1.0, 2.0, "face")
        )
        files[f"sub-{sub}/anat/sub-{sub}_T1w.nii.gz"] = nifti(6, 6, 6, seed=int(sub))
        files[f"sub-{sub}/sub-{sub}_scans.tsv"] = _table(
            ("filename",),
            *((f"func/sub-{sub}_task-rest_run-{run}_bold.nii.gz",) for run in ("1", "2")),
            (f"anat/sub-{sub}_T1w.nii.gz",),
        )
    return _described(files)


def inherited_gradients() -> Files:
    """Return diffusion runs with one table of gradients for all, at the root."""
    files = {
        "dwi.bval": b"0 1000 1000 1000\n",
        "dwi.bvec": b"0 1 0 0\n0 0 1 0\n0 0 0 1\n",
        "dwi.json": _json(EchoTime=0.09),
    }
    for sub in SUBJECTS:
        files[f"sub-{sub}/dwi/sub-{sub}_dwi.nii.gz"] = nifti(4, 4, 4, 4, seed=int(sub))
    return _described(files)


def physiology() -> Files:
    """Return pulse and breath of each run, whose columns are named at the root."""
    files = {
        "task-rest_bold.json": _json(TaskName="rest", RepetitionTime=2.0),
        "task-rest_physio.json": _json(SamplingFrequency=50.0, StartTime=0.0, Columns=["cardiac"]),
    }
    for sub in SUBJECTS[:2]:
        for ses in ("a", "b"):
            stem = f"sub-{sub}/ses-{ses}/func/sub-{sub}_ses-{ses}_task-rest"
            files[f"{stem}_bold.nii.gz"] = nifti(4, 4, 4, 6, seed=int(sub))
            pulse = b"".join(b"%d\n" % (step % 7) for step in range(600))
            files[f"{stem}_physio.tsv.gz"] = gzip.compress(pulse, mtime=0)
    return _described(files)


def perfusion() -> Files:
    """Return labelled and control volumes, the table of which is which, and their calibration."""
    files: Files = {}
    for sub in SUBJECTS[:2]:
        stem = f"sub-{sub}/perf/sub-{sub}"
        files[f"{stem}_asl.nii.gz"] = nifti(4, 4, 4, 2, seed=int(sub))
        files[f"{stem}_aslcontext.tsv"] = _table(("volume_type",), ("control",), ("label",))
        files[f"{stem}_m0scan.nii.gz"] = nifti(4, 4, 4, seed=int(sub))
        files[f"{stem}_m0scan.json"] = _json(
            IntendedFor=f"bids::{stem}_asl.nii.gz", RepetitionTimePreparation=10.0, EchoTime=0.01
        )
        files[f"{stem}_asl.json"] = _json(
            ArterialSpinLabelingType="PCASL",
            PostLabelingDelay=1.8,
            EchoTime=0.01,
            BackgroundSuppression=False,
            M0Type="Separate",
            LabelingDuration=1.8,
            MRAcquisitionType="3D",
            RepetitionTimePreparation=4.0,
            TotalAcquiredPairs=1,
            MagneticFieldStrength=3,
        )
    return _described(files)


def field_maps(what: str = "task-rest") -> Files:
    """Return field maps, of which one image is of no use without the others."""
    files: Files = {"task-rest_bold.json": _json(TaskName="rest", RepetitionTime=2.0)}
    for sub in SUBJECTS[:2]:
        stem = f"sub-{sub}/fmap/sub-{sub}"
        bold = f"sub-{sub}/func/sub-{sub}_{what}_bold.nii.gz"
        files[bold] = nifti(4, 4, 4, 6, seed=int(sub))
        for name in ("magnitude1", "magnitude2", "phasediff"):
            files[f"{stem}_{name}.nii.gz"] = nifti(4, 4, 4, seed=int(sub))
        files[f"{stem}_phasediff.json"] = _json(
            EchoTime1=0.005, EchoTime2=0.0075, IntendedFor=[f"bids::{bold}"]
        )
    return _described(files)


_CHANNELS = _table(("name", "type", "units"), ("A1", "MEGGRADAXIAL", "T"), ("A2", "EEG", "V"))


def ctf_folders() -> Files:
    """Return recordings of a CTF machine: each is a folder."""
    files: Files = {}
    for sub in SUBJECTS[:2]:
        stem = f"sub-{sub}/meg/sub-{sub}"
        run = f"{stem}_task-rest"
        inner = run.rpartition("/")[2]
        for name in ("BadChannels", "processing.cfg", "hz.ds/hz.meg4", "hz.ds/hz.res4"):
            files[f"{run}_meg.ds/{name}"] = b"x"
        files[f"{run}_meg.ds/{inner}_meg.meg4"] = b"MEG41CP\0" + bytes(512)
        files[f"{run}_meg.ds/{inner}_meg.res4"] = b"MEG42RS\0" + bytes(512)
        files[f"{run}_meg.json"] = _json(
            TaskName="rest",
            SamplingFrequency=600,
            PowerLineFrequency=50,
            DewarPosition="upright",
            SoftwareFilters="n/a",
            DigitizedLandmarks=False,
            DigitizedHeadPoints=False,
        )
        files[f"{run}_channels.tsv"] = _CHANNELS
        files[f"{stem}_coordsystem.json"] = _json(
            MEGCoordinateSystem="CTF", MEGCoordinateUnits="cm"
        )
    return _described(files)


_EEG = _json(
    TaskName="rest",
    EEGReference="Cz",
    SamplingFrequency=250,
    PowerLineFrequency=50,
    SoftwareFilters="n/a",
)
_ELECTRODES = _table(("name", "x", "y", "z"), ("A1", 1, 2, 3), ("A2", 3, 2, 1))


def shared_electrodes() -> Files:
    """Return EEG in sessions: one cap for all sessions, one system of coordinates for all."""
    files: Files = {
        "task-rest_eeg.json": _EEG,
        "coordsystem.json": _json(EEGCoordinateSystem="CapTrak", EEGCoordinateUnits="mm"),
    }
    for sub in SUBJECTS[:2]:
        for ses in ("1", "2"):
            stem = f"sub-{sub}/ses-{ses}/eeg/sub-{sub}_ses-{ses}"
            files[f"{stem}_electrodes.tsv"] = _ELECTRODES
            files[f"{stem}_task-rest_eeg.edf"] = b"0       " + bytes(512)
            files[f"{stem}_task-rest_channels.tsv"] = _table(
                ("name", "type", "units"), ("A1", "EEG", "uV"), ("A2", "EEG", "uV")
            )
            files[f"{stem}_task-rest_events.tsv"] = _table(("onset", "duration"), (1.0, 2.0))
        files[f"sub-{sub}/sub-{sub}_sessions.tsv"] = _table(("session_id",), ("ses-1",), ("ses-2",))
    return _described(files)


def microscopy() -> Files:
    """Return images in OME-Zarr, which are folders, of samples that a table describes."""
    files: Files = {}
    for sub in SUBJECTS[:2]:
        stem = f"sub-{sub}/micr/sub-{sub}_sample-A_SPIM"
        for name in (".zattrs", ".zgroup", "0/.zarray", "0/0/0/0"):
            files[f"{stem}.ome.zarr/{name}"] = b"{}"
        files[f"{stem}.json"] = _json(PixelSize=[1, 1], PixelSizeUnits="um")
    rows = (("sample-A", f"sub-{sub}", "tissue") for sub in SUBJECTS[:2])
    files["samples.tsv"] = _table(("sample_id", "participant_id", "sample_type"), *rows)
    return _described(files)


def ignored_names() -> Files:
    """Return a data set with names of its own, which it tells validators to pass over."""
    files = inherited_bold()
    files[".bidsignore"] = b"*_qa.txt\nextra/\n"
    for sub in SUBJECTS:
        files[f"sub-{sub}/func/sub-{sub}_task-rest_qa.txt"] = b"fine"
    return files


def derivative() -> Files:
    """Return a data set with a derivative in it, which is a data set of its own."""
    files = inherited_bold()
    inside = "derivatives/smoothed"
    files[f"{inside}/dataset_description.json"] = _json(
        Name="Smoothed",
        BIDSVersion="1.10.0",
        DatasetType="derivative",
        GeneratedBy=[{"Name": "smoother", "Version": "1.0"}],
        License="CC0",
    )
    files[f"{inside}/README"] = b"Smoothed.\n" * 20
    files[f"{inside}/task-rest_bold.json"] = _json(
        TaskName="rest", RepetitionTime=2.0, SkullStripped=False
    )
    for sub in SUBJECTS:
        stem = f"{inside}/sub-{sub}/func/sub-{sub}_task-rest"
        for run in ("1", "2"):
            files[f"{stem}_run-{run}_desc-smooth_bold.nii.gz"] = nifti(4, 4, 4, 6, seed=int(run))
    return files


def everything() -> Files:
    """Return one data set of all that a subject may need: for a demonstration."""
    maps = field_maps("task-rest_run-1")
    maps = {path: data for path, data in maps.items() if "/fmap/" in path}
    return {**maps, **ctf_folders(), **inherited_gradients(), **derivative()}


KINDS: dict[str, Callable[[], Files]] = {
    "metadata inherited": inherited_bold,
    "gradients inherited": inherited_gradients,
    "columns inherited": physiology,
    "context and calibration": perfusion,
    "images that need images": field_maps,
    "recordings that are folders": ctf_folders,
    "electrodes and coordinates": shared_electrodes,
    "images that are folders": microscopy,
    "names passed over": ignored_names,
    "a data set in a data set": derivative,
}
"""A data set for each kind of need."""
