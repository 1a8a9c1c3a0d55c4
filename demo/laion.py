"""LAION-fMRI: configure, look, plan, fetch, fetch again, be interrupted, resume, verify, draw."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import matplotlib as mpl
import nibabel as nib
import numpy as np
from matplotlib import pyplot as plt
from nilearn.plotting import plot_stat_map

from demo._stage import HERE, Stage, heading, say
from testbed.laion import GATED, Recipe, make_bucket
from testbed.moto_s3 import MotoS3
from testbed.s3 import HELD_OUT, S3Object

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PICTURE", "RECIPE", "main"]

PICTURE = HERE / "brain.png"
RECIPE = Recipe(grid=(48, 58, 44), trials_per_session=200)
MIB = 1 << 20
mpl.use("Agg")  # no screen is needed
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
    _draw(stage.folder / "laion_fmri_data")


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


def _draw(root: Path) -> None:
    """Draw the mean-R² map and the mean of the betas of one category, three slices each."""
    heading("What came, as a picture")
    folder = root / "derivatives" / "glmsingle-tedana" / "sub-03"
    r2 = nib.nifti1.load(next(folder.glob("*desc-R2mean_statmap.nii.gz")))
    betas = nib.nifti1.load(next((folder / "ses-01" / "func").glob(f"*{BETAS}")))
    brain = np.nan_to_num(r2.get_fdata()) > 0
    first = nib.Nifti1Image(np.where(brain, betas.dataobj[..., 0], 0.0), betas.affine)
    clean = nib.Nifti1Image(np.nan_to_num(r2.get_fdata()), r2.affine)
    shadow = nib.Nifti1Image(brain.astype("f4"), r2.affine)
    centre = nib.affines.apply_affine(r2.affine, [n / 2 for n in brain.shape])
    figure, axes = plt.subplots(2, 1, figsize=(11, 7.4), facecolor="white")
    panels = (
        (clean, "mean R²", "inferno", 0.0),
        (first, "beta of the first trial", "RdBu_r", None),
    )
    for axis, (image, title, colours, low) in zip(axes, panels, strict=True):
        plot_stat_map(
            image,
            bg_img=shadow,
            cut_coords=tuple(centre),
            axes=axis,
            figure=figure,
            cmap=colours,
            title=title,
            vmin=low,
            symmetric_cbar="auto" if low is None else False,
            black_bg=False,
            annotate=True,
            draw_cross=False,
            dim=-0.5,
        )
    figure.suptitle("sub-03, ses-01: fetched, verified, drawn", fontsize=12)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
    say(f"{PICTURE.relative_to(HERE.parent)}: mean-R² map and one beta, three slices each")
