"""
Regions of interest, trial by trial
===================================

You want to see where the regions of a subject lie, and what each of them answers to. Draw the
regions on the anatomy, average the betas by what was shown, and follow one region through a
session.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up LAION-fMRI on this computer: all data below are synthetic. Leave
#    this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.laion()

# %%
# Regions belong to no session, so they come with every session.

from laion_fmri.download import download, download_captions

report = download(
    "sub-03",
    ses="ses-01",
    desc="SingletrialBetas",
    include_anatomical=True,
    accept_license="CC0-1.0",
    progress="none",
)
download_captions(progress="none")
print(report)

# %%
# A name or a category gives a mask over the voxels of the brain.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from nilearn import plotting

from laion_fmri.subject import load_subject

sub = load_subject("sub-03")
for category in sub.get_available_categories():
    print(f"{category:11}", ", ".join(sub.get_available_rois(category)))

regions = {
    "V1": "#b07be0", "EBA": "#e8a33d", "FFA1": "#e0472c", "PPA": "#3f8fe0", "LO": "#4fbf67",
}  # fmt: skip
masks = {name: sub.get_roi_mask(name) for name in regions}
labels = sub.to_nifti(
    np.sum([k * mask for k, mask in enumerate(masks.values(), start=1)], axis=0).astype("float32")
)
heights = [sub.get_voxel_coordinates(mask=mask)[:, 2].mean() for mask in masks.values()]
figure = plt.figure(figsize=(11, 3.2))
plotting.plot_roi(
    labels,
    bg_img=str(sub.get_t1w(res="1pt8")),
    figure=figure,
    display_mode="z",
    cut_coords=sorted({round(height) for height in heights}),
    cmap=ListedColormap(list(regions.values())),
    vmin=1,
    vmax=len(regions),
    alpha=0.9,
    colorbar=False,
    title="sub-03: five regions (synthetic data)",
)
handles = [Line2D([], [], color=colour, lw=6, label=name) for name, colour in regions.items()]
figure.legend(handles=handles, loc="lower center", ncols=5, frameon=False, labelcolor="white")
plt.show()

# %%
# The captions say what was shown. The mean beta of each region, minus its mean over all kinds of
# pictures, shows what the region prefers.

from laion_fmri.captions import Captions

captions = Captions()
trials = sub.get_trial_info("ses-01")
kinds = ["face", "body", "place", "object", "character"]


def kind_of(name):
    text = " ".join(captions.human(name))
    return next((kind for kind in kinds if kind in text), "")


shown = trials["label"].map(kind_of).to_numpy()
course = {roi: sub.get_betas("ses-01", roi=roi).mean(axis=1) for roi in [*regions, "hMT"]}
table = np.array([[course[roi][shown == kind].mean() for kind in kinds] for roi in course])
table -= table.mean(axis=1, keepdims=True)

figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
most = np.abs(table).max()
picture = axes.imshow(table, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
axes.set_xticks(range(len(kinds)), [f"{k}\n({(shown == k).sum()} trials)" for k in kinds])
axes.set_yticks(range(len(course)), list(course))
for row, column in np.ndindex(*table.shape):
    value = table[row, column]
    axes.text(
        column, row, f"{value:+.2f}", ha="center", va="center", fontsize=9,
        color="white" if abs(value) > 0.6 * most else "black",
    )  # fmt: skip
figure.colorbar(picture, label="beta, minus the mean of the region")
axes.set_title("What each region prefers (synthetic data)")
plt.show()

# %%
# One region over the session: each bar is a trial, in the order of measurement.

figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
order = np.arange(len(trials))
colours = np.where(shown == "place", regions["PPA"], "0.75")
axes.bar(order, course["PPA"], color=colours, width=0.9)
for start in np.flatnonzero(np.diff(trials["run"])):
    axes.axvline(start + 0.5, color="black", lw=0.8, ls=":", ymax=0.82)
axes.axhline(0, color="black", lw=0.8)
axes.set_xlabel("trial (dotted: a new run)")
axes.set_ylabel("mean beta of PPA")
axes.set_xlim(-1, len(trials))
words = {"a place": regions["PPA"], "something else": "0.75"}
handles = [Line2D([], [], color=colour, lw=6, label=word) for word, colour in words.items()]
axes.set_ylim(top=1.35 * course["PPA"].max())
axes.legend(handles=handles, frameon=False, ncols=2, loc="upper right")
axes.set_title("sub-03, ses-01: PPA responds to places (synthetic data)")
axes.spines[["top", "right"]].set_visible(False)
plt.show()
