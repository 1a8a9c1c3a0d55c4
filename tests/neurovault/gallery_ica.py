"""The calls of nilearn 0.14.1's example of components across studies, from neurofetch.

A test runs it. The mask is a coarse one: what is fetched, and how it is used, is the example's.
"""

import sys
import warnings

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from nilearn.datasets import load_mni152_brain_mask
from nilearn.image import smooth_img
from nilearn.maskers import NiftiMasker
from nilearn.plotting import plot_stat_map
from scipy.stats import scoreatpercentile
from sklearn.decomposition import FastICA

from neurofetch.datasets import fetch_neurovault

data = fetch_neurovault(max_images=30, fetch_neurosynth_words=True, timeout=20)
images, term_weights, vocabulary = data["images"], data["word_frequencies"], data["vocabulary"]
if term_weights is None:
    term_weights = np.ones((len(images), 2))
    vocabulary = np.asarray(["Neurosynth is down", "Please try again later"])
term_weights[term_weights < 0] = 0
total_scores = np.mean(term_weights, axis=0)
top = [str(vocabulary[place]) for place in np.argsort(total_scores)[-10:][::-1]]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    masker = NiftiMasker(mask_img=load_mni152_brain_mask(resolution=10)).fit()
    rows, usable = [], np.ones(len(images), dtype=bool)
    for place, path in enumerate(images):
        image = smooth_img(path, fwhm=None)
        try:
            rows.append(masker.transform(image).ravel())
        except ValueError:
            meta = data["images_meta"][place]
            sys.stderr.write(f"{meta.get('id')} {meta.get('name')} {meta.get('collection_id')}\n")
            usable[place] = False
    matrix = np.vstack(rows)
    ica = FastICA(n_components=3, random_state=0)
    maps = ica.fit_transform(matrix.T).T
    weights = np.dot(ica.components_, term_weights[usable, :])
    for component, terms in zip(maps, weights, strict=True):
        title = ", ".join(vocabulary[np.argsort(terms)[-3:]][::-1])
        threshold = scoreatpercentile(np.abs(component), 90)
        shown = masker.inverse_transform(component)
    plot_stat_map(shown, threshold=threshold, title=title, colorbar=False)
sys.stdout.write(f"{len(images)} images, {term_weights.shape}, {len(top)} words\n")
