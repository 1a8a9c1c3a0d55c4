"""
A lock file for a paper
=======================

You want the readers of your paper to get exactly the files that you used, even years from now and
from another server. Publish a lock file with your code: it downloads these files, and shows what
differs.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up OpenNeuro on this computer, with synthetic files in the layout of
#    ds000105. Leave this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.openneuro()

# %%
# Download your data, and lock them.

import tempfile
from pathlib import Path

import neurofetch

place = Path(tempfile.mkdtemp())  # or where your data are to go
neurofetch.get("ds000105@3.0.0", place / "lab", subject="1", progress="none")
lock = neurofetch.lock(place / "lab")
lock.write(place / "paper.lock")
print(len(lock), "files,", lock.head.bytes, "bytes of", lock.head.source, lock.head.version)
print((place / "paper.lock").read_text().splitlines()[1][:150], "…")

# %%
# A reader needs only the lock file to get the same data.

reader = neurofetch.lock(place / "paper.lock").get(place / "reader", progress="none")
print(reader)
print(neurofetch.lock(place / "paper.lock").check(place / "reader"))

# %%
# Meanwhile, somebody in the lab corrects two event tables.

for run in ("03", "08"):
    table = next((place / "lab").glob(f"sub-1/func/*run-{run}_events.tsv"))
    table.write_text(table.read_text().replace("scissors", "tool"))
changed = lock.check(place / "lab")
print(changed)

# %%
# The first bytes of each file's SHA-256, drawn as colours: equal files have equal rows.

import matplotlib.pyplot as plt
import numpy as np

later = neurofetch.lock(place / "lab")
held = {
    "the paper's lock": lock,
    "the reader's folder": neurofetch.lock(place / "reader"),
    "the lab's folder, later": later,
}


def bytes_of(locked):
    return list(bytes.fromhex(locked.hash("sha256"))[:16])


names = [locked.path for locked in later]
figure, panels = plt.subplots(1, 3, figsize=(11, 6), sharey=True, layout="constrained")
differ = {change.path for change in changed.changes}
for axes, (title, one) in zip(panels, held.items(), strict=True):
    by_path = {locked.path: bytes_of(locked) for locked in one}
    rows = np.array([by_path.get(name, [np.nan] * 16) for name in names], dtype=float)
    axes.imshow(rows, aspect="auto", cmap="twilight", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
for row, name in enumerate(names):
    if name in differ:
        panels[2].annotate("◀", (15.6, row), color="#e0472c", va="center", annotation_clip=False)
short = [name.rsplit("/", 1)[-1].replace("sub-1_task-objectviewing_", "… ") for name in names]
panels[0].set_yticks(range(len(names)), short, fontsize=8)
for label, name in zip(panels[0].get_yticklabels(), names, strict=True):
    label.set_color("#e0472c" if name in differ else "black")
figure.suptitle("SHA-256 of each file, as colours; red: differs from the paper (synthetic data)")
plt.show()
