"""
A meta-analysis of maps
=======================

You want to know what studies of response inhibition (stopping) have in common, using the maps that
they shared. Fetch seven images of NeuroVault by id, bring them to one grid, and combine them by
Stouffer's method.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up NeuroVault on this computer: all maps below are synthetic. Leave
#    this cell out, and the rest downloads the seven real images with these numbers.

from testbed import gallery

gallery.neurovault()

# %%
# ``resample=True`` gives volumes with 3 mm voxels, whatever grid each study used. The records say
# what kind of map each one is, and how many people were measured.

from neurofetch.neurovault import fetch_neurovault_ids

ids = [151, 3041, 3042, 2676, 2675, 2818, 2834]
bunch = fetch_neurovault_ids(image_ids=ids, resample=True, verbose=0)
for meta in bunch.images_meta:
    people = meta.get("number_of_subjects")
    print(f"{meta['id']:>5}  {meta['map_type']:6} {people} people  {meta['name']}")

# %%
# Convert each T map to z values, with the degrees of freedom of its study.

import nibabel as nib
import numpy as np
from nilearn import image
from scipy import stats

grid = nib.load(bunch.images[0])
zs = []
for path, meta in zip(bunch.images, bunch.images_meta, strict=True):
    values = image.resample_to_img(path, grid, copy_header=True, force_resample=True).get_fdata()
    freedom = int(meta["number_of_subjects"]) - 1
    if meta["map_type"] == "T map":
        values = stats.norm.isf(stats.t.sf(np.abs(values), freedom)) * np.sign(values)
    zs.append(np.clip(np.nan_to_num(values), -8, 8))
zs = np.array(zs)

# %%
# Stouffer's method: add the z values of all studies, and divide by the square root of their number.
# Where there is no effect, the result is again a z value.

from nilearn.glm import threshold_stats_img

combined = nib.Nifti1Image(zs.sum(axis=0) / np.sqrt(len(zs)), grid.affine)
thresholded, height = threshold_stats_img(
    combined, alpha=0.01, height_control="fdr", cluster_threshold=10
)
print(f"|z| > {height:.2f}: one in a hundred of such voxels is expected to be false (FDR)")

# %%
# Each study alone and all studies together, with the same threshold and the same colours.

import warnings

import matplotlib.pyplot as plt
from nilearn import plotting

figure, axes = plt.subplots(2, 4, figsize=(12, 5))
figure.subplots_adjust(left=0.01, right=0.92, bottom=0.02, top=0.88, wspace=0.02, hspace=0.05)
panels = {f"study {k}": nib.Nifti1Image(one, grid.affine) for k, one in enumerate(zs, start=1)}
panels["all seven"] = combined
for spot, (name, one) in zip(axes.flat, panels.items(), strict=True):
    size = (np.abs(one.get_fdata()) > height).sum() * 0.027  # a voxel of 3 mm, in cm³
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "empty mask")  # of a study with nothing to show
        plotting.plot_glass_brain(
            one,
            axes=spot,
            display_mode="x",
            threshold=height,
            vmin=-8,
            vmax=8,
            plot_abs=False,
            cmap="RdBu_r",
            colorbar=False,
            title=f"{name}: {size:.1f} cm³",
        )
colours = plt.cm.ScalarMappable(plt.Normalize(-8, 8), "RdBu_r")
figure.colorbar(colours, cax=figure.add_axes((0.94, 0.2, 0.012, 0.55)), label="z")
figure.suptitle(f"stop > go, |z| > {height:.1f}: each study, and all seven (synthetic maps)")
plt.show()

# %%
# Where? The combined map on the template, and its peaks as a table.

figure = plt.figure(figsize=(10, 3.4))
plotting.plot_stat_map(
    thresholded,
    figure=figure,
    cut_coords=(44, 18, 6),
    cmap="RdBu_r",
    vmin=-12,
    vmax=12,
    draw_cross=False,
    title="Stouffer's z of seven studies (synthetic maps)",
)
plt.show()

from nilearn.reporting import get_clusters_table

table = get_clusters_table(
    combined, stat_threshold=height, cluster_threshold=10, two_sided=True, min_distance=20
)
print(table[["X", "Y", "Z", "Peak Stat", "Cluster Size (mm3)"]].to_string(index=False))
