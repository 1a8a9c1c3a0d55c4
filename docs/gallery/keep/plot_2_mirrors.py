"""
Mirrors
=======

The server lacks some files, your lab's copy has damaged ones, and a colleague has a part of the
data on disk. You want the complete data, correct to the last byte, and you want to know where each
file came from.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts three buckets on this computer with synthetic files, in the layout of
#    ds000105: the first one lacks all runs of four subjects, and the second one has wrong bytes for
#    one. Leave this cell out, and use your own places.

from testbed import gallery

gallery.mirrors()

# %%
# The colleague has two subjects.

import tempfile
from pathlib import Path

import neurofetch

url = "s3://openneuro.org/ds000105"
folder = Path(tempfile.mkdtemp())  # or where your data are to go
neurofetch.get(url, folder / "colleague", subject=["1", "2"], progress="none")

# %%
# Give the other places in the order in which they should be tried. You need not trust any of them:
# each file is checked against the listing of the source before it gets its name.

report = neurofetch.get(
    url,
    folder / "mine",
    suffix="bold",
    mirrors=[
        folder / "colleague",
        "s3://lab-copy/mirror/ds000105",
        "s3://other-copy/backup/ds000105",
    ],
    progress="none",
)
print(report)
print("every file is right:", neurofetch.verify(folder / "mine", read_all=True).verified)

# %%
# The ``reason`` of each outcome says where the file came from.

import matplotlib.pyplot as plt
import numpy as np

places = {
    "colleague": "a colleague's folder",
    "lab-copy": "the lab's copy",
    "other-copy": "another copy",
}
runs = [outcome for outcome in report if outcome.path.endswith("_bold.nii.gz")]


def place_of(outcome):
    return next((k for k, name in enumerate(places, start=1) if name in outcome.reason), 0)


names = ["the source", *places.values()]
table = np.full((6, 12), np.nan)
for outcome in runs:
    subject, run = outcome.path.split("sub-")[1][0], outcome.path.split("run-")[1][:2]
    table[int(subject) - 1, int(run) - 1] = place_of(outcome)

colours = plt.matplotlib.colors.ListedColormap(["#7a7a7a", "#4fbf67", "#3f8fe0", "#e8a33d"])
figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
axes.pcolormesh(table, cmap=colours, vmin=-0.5, vmax=3.5, edgecolor="white", lw=2)
axes.set_xticks(np.arange(12) + 0.5, [f"{run:02}" for run in range(1, 13)])
axes.set_yticks(np.arange(6) + 0.5, [f"sub-{k}" for k in range(1, 7)])
axes.invert_yaxis()
axes.set_xlabel("run (sub-5 has eleven)")
axes.set_title("Where each run came from (synthetic data)")
handles = [
    plt.Rectangle((0, 0), 1, 1, color=colours(k), label=f"{name}: {int((table == k).sum())}")
    for k, name in enumerate(names)
]
axes.legend(handles=handles, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
axes.spines[:].set_visible(False)
axes.tick_params(length=0)
plt.show()

for outcome in (runs[0], runs[30], runs[-1]):
    print(outcome.path, "—", outcome.reason)
