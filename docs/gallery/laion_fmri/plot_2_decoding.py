"""
From a subject to a decoding result
===================================

You want to know which regions of a subject tell pictures of faces from pictures of places. Fetch
the single-trial betas, load them region by region, and decode with scikit-learn, with chance drawn
from the same data.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up LAION-fMRI on this computer: all data below are synthetic. Leave
#    this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.laion()

# %%
# Download the betas of two sessions, the regions of interest and the captions of the pictures. You
# accept the licence (CC0) once per data directory.

from laion_fmri.download import download, download_captions

report = download(
    "sub-03",
    ses=["ses-01", "ses-02"],
    desc="SingletrialBetas",
    include_anatomical=True,
    accept_license="CC0-1.0",
    progress="none",
)
download_captions(progress="none")
print(report)

# %%
# Load the betas. Rows are trials, columns are voxels of the region. The trial table has its rows in
# the same order.

import numpy as np
import pandas as pd

from laion_fmri.subject import load_subject

sub = load_subject("sub-03")
sessions = sub.get_sessions()
trials = pd.concat(sub.get_trial_info(sessions).values(), ignore_index=True)


def betas_of(roi):
    return np.concatenate([sub.get_betas(session, roi=roi) for session in sessions])


print(betas_of("FFA1").shape, "trials and voxels of FFA1")

# %%
# The captions say what a picture shows: we look for the words *face* and *place*.

from laion_fmri.captions import Captions

captions = Captions()
words = {name: " ".join(captions.human(name)) for name in trials["label"].unique()}
face = trials["label"].map(lambda name: "face" in words[name]).to_numpy()
place = trials["label"].map(lambda name: "place" in words[name]).to_numpy()
chosen = face ^ place
shown = np.where(face, "face", "place")[chosen]
pictures = trials["label"].to_numpy()[chosen]
print({kind: int((shown == kind).sum()) for kind in ("face", "place")}, "trials")

# %%
# Decode. Each picture is shown several times, so we split the trials by picture: no picture is in
# both the training and the test set. Chance is what the same decoder reaches when the labels are
# shuffled among pictures.

from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

decoder = RidgeClassifier(alpha=100.0, class_weight="balanced")
folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)


def accuracy(betas, labels):
    scores = cross_val_score(
        decoder, betas, labels, groups=pictures, cv=folds, scoring="balanced_accuracy"
    )
    return scores.mean()


def shuffled(rng):
    names, first = np.unique(pictures, return_index=True)
    new = dict(zip(names, rng.permutation(shown[first]), strict=True))
    return np.array([new[name] for name in pictures])


rng = np.random.default_rng(0)
regions = ["FFA1", "OFA", "PPA", "RSC", "EBA", "hMT"]
found, chance = {}, {}
for roi in regions:
    betas = betas_of(roi)[chosen]
    found[roi] = accuracy(betas, shown)
    chance[roi] = np.array([accuracy(betas, shuffled(rng)) for _ in range(30)])

# %%
# In these synthetic data, the face and place regions respond to faces and places, and ``EBA``
# (bodies) and ``hMT`` (motion) to neither. So the first four should be above chance, and the last
# two should not.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(8.5, 4), layout="constrained")
spots = np.arange(len(regions))
axes.violinplot([100 * chance[roi] for roi in regions], spots, showextrema=False, widths=0.7)
for body in axes.collections:
    body.set(facecolor="0.75", alpha=1, label="labels shuffled (30 times)")
    break
for body in axes.collections[1:]:
    body.set(facecolor="0.75", alpha=1)
colours = ["#c2452d"] * 2 + ["#2f6db3"] * 2 + ["#555555"] * 2
axes.scatter(spots, [100 * found[roi] for roi in regions], c=colours, s=90, zorder=3)
for spot, roi in zip(spots, regions, strict=True):
    axes.annotate(
        f"{100 * found[roi]:.0f}", (spot, 100 * found[roi]), (0, 9), textcoords="offset points",
        ha="center", fontsize=9,
    )  # fmt: skip
axes.axhline(50, color="0.4", lw=1, ls="--")
axes.set_xticks(spots, regions)
axes.set_ylim(25, 108)
axes.set_ylabel("balanced accuracy (%)")
axes.set_title("sub-03: face or place? Decoded from single trials (synthetic data)")
axes.legend(loc="lower left", frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The numbers, with the proportion of shuffles that reach at least the same accuracy:

for roi in regions:
    p = (1 + (chance[roi] >= found[roi]).sum()) / (1 + chance[roi].size)
    print(f"{roi:5} {found[roi]:6.1%}   chance {chance[roi].mean():.1%}   p = {p:.3f}")
