"""
Train and test an encoding model
================================

You want to predict what voxels answer to pictures that a model has never seen, so that your number
can be compared with those of others. Take the owners' lists of train and test, vectors of CLIP, and
ridge regression, and compare with what the noise allows.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up LAION-fMRI on this computer: all data below are synthetic, including
#    the vectors and the train/test lists. Leave this cell out, and the rest downloads the real
#    data.

from testbed import gallery

gallery.laion()

# %%
# Vectors of pictures are public; the pictures themselves need a
# `data use agreement <https://laion-fmri.hebartlab.com/terms>`_.

from laion_fmri.download import download, download_embeddings

report = download(
    "sub-03",
    ses=["ses-01", "ses-02", "averages"],
    desc=["SingletrialBetas", "Noiseceiling12rep"],
    include_anatomical=True,
    accept_license="CC0-1.0",
    progress="none",
)
download_embeddings(["CLIP"], progress="none")
print(report)

# %%
# Which trials are for training and which for testing? ``get_split_masks`` looks up the labels of
# the trials in one of the owners' lists. Report the version of the list with your score.

import numpy as np
import pandas as pd

from laion_fmri.splits import get_split_masks, load_split
from laion_fmri.subject import load_subject

sub = load_subject("sub-03")
sessions = sub.get_sessions()
trials = pd.concat(sub.get_trial_info(sessions).values(), ignore_index=True)
train, test = get_split_masks(trials, "random_0", pool="sub-03")
print(f"{train.sum()} trials to train, {test.sum()} to test, {(~train & ~test).sum()} in neither")
print("random_0 of sub-03, version", load_split("random_0", pool="sub-03").version)

# %%
# Load what we want to predict (voxels of high-level visual cortex), and what we predict it from.

from laion_fmri.embeddings import load_embeddings

mask = sub.get_roi_mask(["V1", "V2", "face", "place", "body", "object"])
betas = np.concatenate([sub.get_betas(session, mask=mask, nan="zero") for session in sessions])
with load_embeddings("CLIP") as vectors:
    clip = vectors.get("CLIP", trials["label"].tolist()).astype("float32")
print(betas.shape, "trials and voxels;", clip.shape, "trials and features")

# %%
# Fit the model on the training trials, and predict the test trials. The score of a voxel is the
# correlation of prediction and measurement over the test trials. Chance is the same score with the
# pictures of the wrong trials.

from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

scaler = StandardScaler().fit(clip[train])
model = RidgeCV(alphas=np.logspace(-1, 4, 11)).fit(scaler.transform(clip[train]), betas[train])


def correlation(predicted, measured):
    predicted = predicted - predicted.mean(axis=0)
    measured = measured - measured.mean(axis=0)
    norms = np.linalg.norm(predicted, axis=0) * np.linalg.norm(measured, axis=0)
    return (predicted * measured).sum(axis=0) / np.maximum(norms, 1e-9)


predicted = model.predict(scaler.transform(clip[test]))
score = correlation(predicted, betas[test])
wrong = np.random.default_rng(0).permutation(test.sum())
chance = correlation(predicted[wrong], betas[test])
print(f"mean r = {score.mean():.3f}; with pictures of wrong trials {chance.mean():.3f}")

# %%
# No model can predict noise. The noise ceiling of twelve responses tells us that of a single one.

share = np.nan_to_num(sub.get_noise_ceiling(desc="Noiseceiling12rep", mask=mask)) / 100
most = np.sqrt(share / (share + 12 * (1 - share)))

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
bins = np.linspace(-0.4, 0.9, 53)
left.hist(chance, bins, color="0.7", label="pictures of wrong trials")
left.hist(score, bins, color="#c2452d", alpha=0.75, label="pictures that were shown")
left.axvline(0, ymax=0.75, color="black", lw=0.8)  # below the legend
left.set_xlabel("correlation of predicted and measured")
left.set_ylabel("voxels")
left.set_title("Pictures that the model never saw")
left.set_ylim(top=1.3 * left.get_ylim()[1])
left.legend(frameon=False, loc="upper left")
right.scatter(most, score, s=7, c="#c2452d", alpha=0.5, lw=0)
right.plot([0, 1], [0, 1], "--", color="0.3", label="as good as the noise allows")
right.axhline(0, color="black", lw=0.8)
right.set_xlim(0, most.max() * 1.05)
right.set_ylim(-0.4, 0.9)
right.set_xlabel("highest correlation that the noise allows")
right.set_ylabel("correlation of predicted and measured")
right.set_title("Each dot is a voxel")
right.legend(frameon=False, loc="upper left")
figure.suptitle("sub-03: from CLIP to voxels (synthetic data)")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# How much of the explainable variance is explained, in voxels that have some:

good = most > 0.3
explained = np.maximum(score, 0)[good] ** 2 / most[good] ** 2
print(f"{good.sum()} voxels: in half of them, {np.median(explained):.0%} or more is explained")
