"""What was fetched, as arrays: an ROI's betas, twice; all sessions as one; a picture."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from demo._stage import HERE, Stage, heading, say
from laion_fmri.plotting import show
from laion_fmri.subject import load_subject
from testbed.laion import category_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from laion_fmri.subject import Subject

__all__ = ["PICTURE", "main"]

T = TypeVar("T")

PICTURE = HERE / "session.png"
SESSION = "ses-01"


def main(stage: Stage) -> None:
    """Play the act, on what the first one downloaded."""
    sub = load_subject("sub-03", data_dir=stage.folder / "laion_fmri_data")
    _arrays(sub)
    _faces(sub)
    _all_sessions(sub)
    heading("The session as a picture")
    show("sub-03", SESSION, ["FFA1", "VWFA1", "PPA", "EBA", "V1"], PICTURE, data_dir=sub.data_dir)
    say(f"{PICTURE.relative_to(HERE.parent)}: mean R², noise ceiling, mean beta, five ROIs")


def _arrays(sub: Subject) -> None:
    heading("From files to arrays: one forward pass, and a store by voxel")
    say(f"{sub.subject_id}: {sub.get_sessions()}, {sub.get_n_voxels():,} voxels of brain")
    whole = _timed("whole brain, one pass", lambda: sub.get_betas(SESSION))
    first = _timed("FFA1, and the store is built", lambda: _roi(sub, "FFA1"))
    again = _timed("FFA1 again, from the store", lambda: _roi(sub, "FFA1"))
    if not np.array_equal(first, again) or not np.array_equal(
        first, whole[:, sub.get_roi_mask("FFA1")]
    ):
        raise SystemExit("file, store and mask do not agree")


def _roi(sub: Subject, name: str) -> NDArray[np.float32]:
    return sub.get_betas(SESSION, roi=name)


def _faces(sub: Subject) -> None:
    heading("What the regions answer to")
    labels = sub.get_trial_info(SESSION)["label"]
    shown = np.array([category_of(label) for label in labels])
    for roi in ("FFA1", "PPA", "EBA"):
        betas = _roi(sub, roi).mean(axis=1)
        means = {name: float(betas[shown == name].mean()) for name in ("face", "place", "body")}
        told = ", ".join(f"{name} {value:.2f}" for name, value in means.items())
        say(f"{roi}: mean beta of {told}; most for {max(means, key=means.__getitem__)}")


def _all_sessions(sub: Subject) -> None:
    heading("All sessions as one lazy array")
    lazy = sub.betas
    say(f"{dict(lazy.sizes)}, {lazy.nbytes / 1e6:.0f} MB, nothing read yet")
    mean = _timed("mean of each session in V1", lambda: _by_session(sub))
    say(f"one row for each session: {mean.shape}")


def _by_session(sub: Subject) -> NDArray[np.float32]:
    chosen = sub.betas[:, np.flatnonzero(sub.get_roi_mask("V1"))]
    return np.asarray(chosen.groupby("session").mean("trial").values)


def _timed(what: str, call: Callable[[], T]) -> T:
    """Call, and say how long it took."""
    began = time.perf_counter()
    result = call()
    shape = getattr(result, "shape", "")
    say(f"{what}: {shape}, {1000 * (time.perf_counter() - began):.1f} ms")
    return result
