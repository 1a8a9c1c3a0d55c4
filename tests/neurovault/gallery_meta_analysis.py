"""The calls of nilearn 0.14.1's example of a meta-analysis, from neurofetch: run by a test."""

import sys

import matplotlib as mpl

mpl.use("Agg")

import scipy.stats
from nilearn.image import get_data, load_img, math_img, new_img_like
from nilearn.plotting import plot_glass_brain, plot_stat_map

from neurofetch.datasets import fetch_neurovault_ids

found = fetch_neurovault_ids(image_ids=(151, 3041, 3042, 2676, 2675, 2818, 2834))
images_meta, collections = found["images_meta"], found["collections_meta"]
assert len(images_meta) == len(collections) == 7

for meta in images_meta[:1]:
    title = f"image {meta['id']}: {meta['contrast_definition']}"
    plot_glass_brain(meta["absolute_path"], title=title, plot_abs=False, vmin=-12, vmax=12)

z_images = []
for meta in images_meta:
    t_image = load_img(meta["absolute_path"])
    freedom = meta["number_of_subjects"] - 2
    p_values = scipy.stats.t.sf(get_data(t_image), df=freedom)
    z_images.append(new_img_like(t_image, scipy.stats.norm.isf(p_values)))

combined = math_img("np.sum(z_imgs, axis=3) / np.sqrt(z_imgs.shape[3])", z_imgs=z_images)
plot_stat_map(combined, display_mode="z", threshold=6, cut_coords=[-8, 30], vmin=-12, vmax=12)
sys.stdout.write(f"{len(z_images)} maps, {[meta['id'] for meta in images_meta]}\n")
