"""
OpenNeuro to MNE: an evoked field
=================================

You want to see when and where the MEG signal differs between faces and scrambled pictures. Download
one recording with its events, cut it into epochs with MNE, and compare the two conditions.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up OpenNeuro on this computer: all data below are synthetic, in the
#    layout of ds000117. Leave this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.openneuro("ds000117")

# %%
# Without ``run=`` you would get all runs. The metadata of the recording come along.

import tempfile
from pathlib import Path

import neurofetch

folder = Path(tempfile.mkdtemp()) / "ds000117"  # or where your data are to go
report = neurofetch.get(
    "ds000117@1.0.5", folder, subject="01", run="01", suffix="meg", datatype="meg", progress="none"
)
print(report)

# %%
# Read it with MNE, and make epochs from the table of events.

import mne
import numpy as np
import pandas as pd

mne.set_log_level("error")
recording = next(folder.glob("sub-01/ses-meg/meg/*run-01_meg.fif"))
raw = mne.io.read_raw_fif(recording, preload=True).pick("mag").filter(0.5, 40)
table = pd.read_csv(str(recording).replace("_meg.fif", "_events.tsv"), sep="\t")
codes = {"Famous": 1, "Unfamiliar": 2, "Scrambled": 3}
events = np.column_stack(
    [
        raw.time_as_index(table["onset"]) + raw.first_samp,
        np.zeros(len(table), int),
        table["stim_type"].map(codes),
    ]
)
epochs = mne.Epochs(raw, events, codes, tmin=-0.2, tmax=0.5, baseline=(None, 0), preload=True)
faces = epochs["Famous", "Unfamiliar"].average()
scrambled = epochs["Scrambled"].average()
print({kind: len(epochs[kind]) for kind in codes}, "epochs;", len(raw.ch_names), "magnetometers")

# %%
# Where: the field for faces minus the field for scrambled pictures, as a topographic map.

import matplotlib.pyplot as plt

difference = mne.combine_evoked([faces, scrambled], weights=[1, -1])
figure = difference.plot_topomap(
    times=[-0.1, 0.1, 0.14, 0.17, 0.2, 0.3], colorbar=True, show=False, size=1.6
)
figure.suptitle("Faces − scrambled pictures (synthetic data)")
plt.show()

# %%
# When: the sensor with the largest difference, with the standard error over epochs. A cluster
# permutation test covers all time points at once.

from mne.stats import permutation_cluster_test

channel, _ = difference.get_peak(ch_type="mag", tmin=0.1, tmax=0.25)
femto = 1e15
courses = {
    "faces": femto * epochs["Famous", "Unfamiliar"].get_data(picks=[channel])[:, 0],
    "scrambled": femto * epochs["Scrambled"].get_data(picks=[channel])[:, 0],
}
_, clusters, p_values, _ = permutation_cluster_test(
    list(courses.values()), n_permutations=500, seed=0, out_type="mask"
)
times = 1000 * epochs.times
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
for (name, course), colour in zip(courses.items(), ("#e0472c", "0.4"), strict=True):
    mean, error = course.mean(axis=0), course.std(axis=0) / np.sqrt(len(course))
    axes.fill_between(times, mean - error, mean + error, color=colour, alpha=0.3, lw=0)
    axes.plot(times, mean, color=colour, label=f"{name} ({len(course)} epochs)")
for (where,), p in zip(clusters, p_values, strict=True):
    if p < 0.05:
        span = times[where]
        axes.axvspan(span[0], span[-1], color="#f2c14e", alpha=0.35, lw=0)
        print(f"{span[0]:.0f} to {span[-1]:.0f} ms: p = {p:.3f}")
axes.axvline(0, color="black", lw=0.8)
axes.axhline(0, color="black", lw=0.8)
axes.set_xlim(times[0], times[-1])
axes.set_xlabel("time after the picture (ms)")
axes.set_ylabel("field (fT)")
axes.set_title(f"{channel}: yellow where p < 0.05, corrected over time (synthetic data)")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
