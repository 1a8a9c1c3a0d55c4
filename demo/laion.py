"""LAION-fMRI: configure, look, plan, fetch, fetch again, be interrupted, resume, verify, draw."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from demo._stage import HERE, Stage, heading, say
from testbed.laion import GATED, Recipe, make_bucket
from testbed.moto_s3 import MotoS3
from testbed.s3 import HELD_OUT, S3Object

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PICTURE", "RECIPE", "main"]

PICTURE = HERE / "brain.png"
RECIPE = Recipe(grid=(48, 58, 48), voxel_mm=3.6, trials_per_session=200)  # a head's true size
MIB = 1 << 20
BETAS = "_stat-effect_desc-SingletrialBetas_statmap.nii.gz"


def main(stage: Stage) -> None:
    """Play the act."""
    heading("A real S3 server with a small, BIDS-true LAION-fMRI")
    began = time.perf_counter()
    objects = make_bucket(RECIPE)
    large = {
        key: S3Object(data, part_size=8 * MIB)
        for key, data in objects.items()
        if len(data) > 8 * MIB
    }
    say(
        f"{len(objects):,} keys, {sum(map(len, objects.values())) / 1e6:.0f} MB, "
        f"made in {time.perf_counter() - began:.1f} s; {len(large)} of them uploaded in parts"
    )
    with MotoS3({**objects, **large}, forbidden=(*HELD_OUT, *GATED)) as s3:
        stage.set(AWS_ENDPOINT_URL_S3=s3.url)
        _fetch(stage)
        _interrupt(stage)
        _verify(stage)
        _draw(stage)


def _fetch(stage: Stage) -> None:
    heading("Choose a data directory, and look at what there is")
    (stage.folder / "laion_fmri_data").mkdir()
    stage.run("laion-fmri config --data-dir ./laion_fmri_data")
    stage.run("laion-fmri info")
    heading("Plan first: files, bytes, what is refused and why")
    stage.run("laion-fmri download --subject sub-03 --ses ses-01 ses-31 --dry-run")
    heading("The licence is named, once, where no terminal can ask")
    stage.run("laion-fmri download --subject sub-03", expect=5)
    heading("One session of single-trial betas, parallelized")
    stage.run(
        "laion-fmri download --subject sub-03 --ses ses-01 --desc singletrial --stat effect "
        "--extension nii.gz --n-jobs 4 --accept-license CC0-1.0"
    )
    heading("Session plus subject-level summaries, in one call")
    stage.run("laion-fmri download --subject sub-03 --ses ses-01 averages")
    heading("A whole subject; what is here already is not fetched again")
    stage.run("laion-fmri download --subject sub-03")
    stage.run("laion-fmri download --subject sub-03 --include-stimuli")
    heading("A second run has nothing to do")
    stage.run("laion-fmri download --subject sub-03")


def _interrupt(stage: Stage) -> None:
    root = stage.folder / "laion_fmri_data"
    slow = "laion-fmri download --subject sub-01 --limit-rate 15M --progress lines --ses "
    for session, number in (("ses-01", signal.SIGINT), ("ses-02", signal.SIGKILL)):
        heading(f"Interrupted in the middle of a large file: {number.name}")
        held = _held(root)
        stage.kill_when(slow + session, lambda held=held: _held(root) > held, number)  # type: ignore[misc]
        say(f"parts kept for the next run: {_held(root)}")
        betas = sorted((root / "derivatives").rglob(f"sub-01*{BETAS}"))
        say(f"under the final name: {betas or 'nothing'}")
    heading("The same command again resumes, and fetches only what is missing")
    stage.run("laion-fmri download --subject sub-01 --ses ses-01 ses-02")


def _held(root: Path) -> int:
    """Return how many parts of large files the partials hold."""
    held = 0
    for log in (root / ".laion_fmri" / "partial").glob("*.log"):
        with contextlib.suppress(FileNotFoundError):  # its file was finished just now
            held += max(0, log.read_bytes().count(b"\n") - 1)
    return held


def _verify(stage: Stage) -> None:
    heading("Look again: against the receipts, every byte, and against the bucket")
    stage.run("laion-fmri verify --hash --remote")
    heading("Damage of the same size and time is found, named, and mended")
    victim = next((stage.folder / "laion_fmri_data").rglob("*desc-R2mean_statmap.nii.gz"))
    _flip_four_bytes(victim)
    stage.run("laion-fmri verify")
    stage.run("laion-fmri verify --hash", expect=4)
    stage.run("laion-fmri download --subject sub-01 sub-03 --ses averages --verify")
    stage.run("laion-fmri verify --hash")


def _flip_four_bytes(path: Path) -> None:
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[100:104] = bytes(255 - byte for byte in data[100:104])
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    say(f"four bytes flipped in {path.name}")


def _draw(stage: Stage) -> None:
    heading("What came, as a picture")
    stage.run("laion-fmri download --subject sub-03 --include-localizers --include-anatomical")
    folder = stage.folder / "laion_fmri_data" / "derivatives" / "localizers" / "sub-03"
    faces = next(folder.rglob("*res-1pt8_contrast-faceVsOthers_stat-z_statmap.nii.gz"))
    path = faces.relative_to(stage.folder)
    stage.run(f"neurofetch show {path} --out {PICTURE} --title 'Faces (made-up data)'")
    say(f"{PICTURE.relative_to(HERE.parent)}: where faces matter, on the subject's own anatomy")
