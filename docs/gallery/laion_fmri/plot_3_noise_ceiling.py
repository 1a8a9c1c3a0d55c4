"""
A map of the noise ceiling
==========================

You want to know where in the brain single-trial betas are worth modelling. Draw the noise ceiling
on the subject's own anatomy, and see whether voxels with a high ceiling really respond in the same
way when a picture is repeated.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up LAION-fMRI on this computer: all data below are synthetic. Leave
#    this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.laion()

# %%
# Download the betas of one session, the summaries of the subject, and the anatomy.

from laion_fmri.download import download

report = download(
    "sub-03",
    ses=["ses-01", "averages"],
    desc=["SingletrialBetas", "Noiseceiling12rep"],
    include_anatomical=True,
    accept_license="CC0-1.0",
    progress="none",
)
print(report)

# %%
# The noise ceiling is in percent, with one value for each voxel of the brain mask. ``to_nifti``
# turns it into an image, which nilearn draws over the T1-weighted image.

import matplotlib.pyplot as plt
import numpy as np
from nilearn import plotting

from laion_fmri.subject import load_subject

sub = load_subject("sub-03")
ceiling = np.nan_to_num(sub.get_noise_ceiling(desc="Noiseceiling12rep"))
image = sub.to_nifti(ceiling)

best = sub.get_voxel_coordinates()[np.argmax(ceiling)]
figure = plt.figure(figsize=(10, 3.8))
plotting.plot_stat_map(
    image,
    bg_img=str(sub.get_t1w(res="1pt8")),
    figure=figure,
    cut_coords=best,
    threshold=25,
    vmin=0,
    vmax=100,
    cmap="inferno",
    symmetric_cbar=False,
    draw_cross=False,
    black_bg=True,
    title="sub-03: noise ceiling of 12 repetitions, % (synthetic data)",
    cbar_tick_format="%i",
)
plt.show()

# %%
# Is the map right? Take the pictures that were shown twice in the session, and correlate the two
# responses of each voxel over pictures.

trials = sub.get_trial_info("ses-01")
betas = sub.get_betas("ses-01", nan="zero")
twice = [rows.index[:2] for _, rows in trials.groupby("label") if len(rows) > 1]
first, second = (betas[[pair[k] for pair in twice]] for k in (0, 1))
print(len(twice), "pictures were shown twice")


def standardized(values):
    values = values - values.mean(axis=0)
    return values / np.maximum(np.linalg.norm(values, axis=0), 1e-9)


reliability = (standardized(first) * standardized(second)).sum(axis=0)

# %%
# With the same signal and noise, the ceiling of a single response is also the expected correlation
# of two responses. It follows from the ceiling *c* for the mean of twelve responses: c / (c + 12 (1
# − c)).

share = ceiling / 100
expected = share / (share + 12 * (1 - share))
edges = np.quantile(expected[expected > 0], np.linspace(0, 1, 16))
which = np.digitize(expected, edges[1:-1])
inside = expected > 0
middle = np.array([expected[inside & (which == k)].mean() for k in range(15)])
mean = np.array([reliability[inside & (which == k)].mean() for k in range(15)])
spread = np.array([reliability[inside & (which == k)].std() for k in range(15)])

figure, axes = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
axes.fill_between(middle, mean - spread, mean + spread, color="#e8a33d", alpha=0.3, lw=0)
axes.plot(middle, mean, "o-", color="#c2452d", label="measured: mean and SD of voxels")
axes.plot([0, middle.max()], [0, middle.max()], "--", color="0.3", label="predicted by the ceiling")
axes.set_xlabel("correlation predicted by the noise ceiling")
axes.set_ylabel("correlation of two responses to a picture")
axes.set_title("The noise ceiling is right (synthetic data)")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()

agree = np.corrcoef(expected, reliability)[0, 1]
print(f"over voxels, prediction and measurement correlate with r = {agree:.2f}")
