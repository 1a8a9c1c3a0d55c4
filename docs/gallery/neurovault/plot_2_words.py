"""
Maps and their words
====================

You want to know which parts of the brain are associated with a word. Download maps together with
the words that Neurosynth has for each, and correlate the two.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up NeuroVault and Neurosynth on this computer: all maps and words below
#    are synthetic. Leave this cell out, and the rest downloads real data.

from testbed import gallery

gallery.neurovault()

# %%
# ``word_frequencies`` has a row for each image and a column for each word of ``vocabulary``.

from neurofetch.neurovault import fetch_neurovault

bunch = fetch_neurovault(
    max_images=24, collection_id=1952, image_terms={}, fetch_neurosynth_words=True, verbose=0
)
words = bunch.word_frequencies
print(len(bunch.images), "images;", words.shape, "images and words")

# %%
# Do the words form groups? Words that belong to the same maps are correlated.

import matplotlib.pyplot as plt
import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

alike = np.corrcoef(words.T)
order = leaves_list(linkage(alike, "average", optimal_ordering=True))
names = [bunch.vocabulary[k] for k in order]
figure, axes = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
picture = axes.imshow(alike[np.ix_(order, order)], cmap="RdBu_r", vmin=-1, vmax=1)
axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
axes.set_yticks(range(len(names)), names)
figure.colorbar(picture, label="correlation over maps")
axes.set_title("Correlation of words over maps (synthetic)")
plt.show()

# %%
# For each word, correlate its weight with the value of each voxel, over images. First resample the
# maps to one grid and mask them.

import nibabel as nib
from nilearn.datasets import load_mni152_brain_mask
from nilearn.image import resample_to_img
from nilearn.maskers import NiftiMasker

brain = load_mni152_brain_mask(resolution=2)
grid = nib.load(bunch.images[0])
mask = resample_to_img(brain, grid, "nearest", copy_header=True, force_resample=True)
masker = NiftiMasker(mask, smoothing_fwhm=6, standardize=None).fit()
maps = [resample_to_img(p, grid, copy_header=True, force_resample=True) for p in bunch.images]
values = masker.transform(maps)
values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)


def map_of(word):
    weights = words[:, bunch.vocabulary.tolist().index(word)]
    weights = (weights - weights.mean()) / weights.std()
    return masker.inverse_transform(weights @ values / len(weights))


# %%
# A word without an effect (``age``) shows what chance looks like at the same threshold.

from nilearn import plotting

figure, axes = plt.subplots(2, 2, figsize=(10, 6))
figure.subplots_adjust(left=0.01, right=0.91, bottom=0.02, top=0.9, wspace=0.04, hspace=0.04)
for spot, word in zip(axes.flat, ("hand", "face", "language", "age"), strict=True):
    plotting.plot_glass_brain(
        map_of(word),
        axes=spot,
        display_mode="xz",
        threshold=0.7,
        vmin=-1,
        vmax=1,
        plot_abs=False,
        cmap="RdBu_r",
        colorbar=False,
        title=word,
    )
colours = plt.cm.ScalarMappable(plt.Normalize(-1, 1), "RdBu_r")
figure.colorbar(colours, cax=figure.add_axes((0.93, 0.2, 0.015, 0.6)), label="r over 24 maps")
figure.suptitle("Correlation of a word with each voxel, |r| > 0.7 (synthetic maps)")
plt.show()

# %%
# The voxel with the highest correlation for each word:

peaks = {}
for word in ("hand", "face", "language", "age"):
    one = map_of(word)
    data = one.get_fdata()
    spot = np.unravel_index(np.argmax(data), data.shape)
    peaks[word] = nib.affines.apply_affine(one.affine, spot).tolist()
    print(f"{word:9} r = {data.max():.2f} at", tuple(round(c) for c in peaks[word]))
