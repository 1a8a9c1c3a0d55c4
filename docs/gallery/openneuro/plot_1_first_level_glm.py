"""
OpenNeuro to nilearn: a first-level model
=========================================

You have an accession number and want a map: which voxels of a subject respond more to faces than to
houses. Download the runs of one subject with their metadata, and fit a model with nilearn.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up OpenNeuro on this computer: all data below are synthetic, in the
#    layout of ds000105. Leave this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.openneuro("ds000105")

# %%
# The events and the inherited metadata of the runs come along. Each file is verified by the hash in
# OpenNeuro's listing.

import tempfile
from pathlib import Path

import neurofetch

folder = Path(tempfile.mkdtemp()) / "ds000105"  # or where your data are to go
report = neurofetch.get("ds000105@3.0.0", folder, subject="1", run=["01", "02"], progress="none")
anatomy = neurofetch.get("ds000105@3.0.0", folder, subject="1", suffix="T1w", progress="none")
print(report)
for path in report.paths:
    print("  ", path.relative_to(folder))

# %%
# Fit a model of both runs. The repetition time is in the sidecar that came along.

import json

import pandas as pd
from nilearn.glm.first_level import FirstLevelModel

tr = json.loads((folder / "task-objectviewing_bold.json").read_text())["RepetitionTime"]
runs = sorted((folder / "sub-1" / "func").glob("*run-0[12]_bold.nii.gz"))
events = [pd.read_csv(str(run).replace("_bold.nii.gz", "_events.tsv"), sep="\t") for run in runs]
model = FirstLevelModel(t_r=tr, hrf_model="spm", noise_model="ar1", smoothing_fwhm=8)
model.fit([str(run) for run in runs], events=events)
z = model.compute_contrast(["face - house"] * len(runs), output_type="z_score")

# %%
# Red voxels respond more to faces, blue ones more to houses.

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from nilearn import plotting
from nilearn.glm import threshold_stats_img

_, height = threshold_stats_img(z, alpha=0.01, height_control="fdr")
figure = plt.figure(figsize=(11, 3))
plotting.plot_stat_map(
    z,
    bg_img=str(folder / "sub-1" / "anat" / "sub-1_T1w.nii.gz"),
    figure=figure,
    display_mode="z",
    cut_coords=[-22, -17, -12, -7, -2],
    threshold=height,
    cmap="RdBu_r",
    vmin=-12,
    vmax=12,
    title=f"sub-1: face − house, |z| > {height:.1f} (synthetic data)",
)
plt.show()

# %%
# A map is only as good as the time courses behind it. Compare measurement and model in the first
# run, at the voxel that prefers faces most.

data = z.get_fdata()
peak = np.unravel_index(np.argmax(data), data.shape)
measured = nib.load(runs[0]).get_fdata()[peak]
percent = 100 * (measured / measured.mean() - 1)
design = model.design_matrices_[0].to_numpy()
predicted = design @ np.linalg.lstsq(design, percent)[0]
times = tr * np.arange(measured.size)

figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
for name, colour in (("face", "#e0472c"), ("house", "#3f8fe0")):
    shown = events[0][events[0]["trial_type"] == name]["onset"]
    axes.axvspan(shown.min(), shown.max() + 2, color=colour, alpha=0.25, lw=0, label=f"{name}s")
axes.plot(times, percent, color="0.45", lw=1, label="measured")
axes.plot(times, predicted, color="black", lw=2, label="model")
axes.set_xlim(0, times[-1])
axes.set_xlabel("time (s)")
axes.set_ylabel("signal change (%)")
axes.set_title("Run 1 at the voxel that prefers faces most (synthetic data)")
axes.legend(frameon=False, ncols=4, loc="upper right")
axes.set_ylim(top=percent.max() * 1.4)
axes.spines[["top", "right"]].set_visible(False)
plt.show()

xyz = [round(c) for c in nib.affines.apply_affine(z.affine, peak).tolist()]
print(f"peak: z = {data.max():.1f} at {xyz}")
