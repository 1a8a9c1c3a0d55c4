"""
Verify and repair
=================

Some of your files have changed: one has a flipped bit, one is truncated, one is gone, and one only
has a new time. You want to know which, and to repair the damaged ones without downloading the rest
again.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up OpenNeuro on this computer, with synthetic files in the layout of
#    ds000105. Leave this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.openneuro()

# %%

import tempfile
from pathlib import Path

import neurofetch

folder = Path(tempfile.mkdtemp()) / "ds000105"  # or where your data are to go
report = neurofetch.get("ds000105@3.0.0", folder, subject="1", run=range(1, 7), progress="none")
print(report)

# %%
# Four changes. The first keeps size and time, so only reading the file can find it. The last one
# does no damage.

import os

runs = sorted(folder.glob("sub-1/func/*_bold.nii.gz"))
before = runs[0].stat()
content = bytearray(runs[0].read_bytes())
content[5000] ^= 1  # a single bit
runs[0].write_bytes(content)
os.utime(runs[0], ns=(before.st_atime_ns, before.st_mtime_ns))
os.truncate(runs[1], 4096)
runs[2].unlink()
os.utime(runs[3])
done = {0: "a bit flipped", 1: "cut", 2: "deleted", 3: "touched"}

# %%
# ``verify`` compares sizes and times, ``read_all=True`` reads every byte, and ``get(verify=True)``
# downloads what is damaged.

audits = {
    "verify": neurofetch.verify(folder),
    "verify, reading all": neurofetch.verify(folder, read_all=True),
}
repaired = neurofetch.get(
    "ds000105@3.0.0", folder, subject="1", run=range(1, 7), verify=True, progress="none"
)
audits["after the repair"] = neurofetch.verify(folder, read_all=True)
for name, audit in audits.items():
    print(f"{name:20}", audit.summary)
print(f"the repair moved {repaired.bytes_moved:,} bytes of {sum(o.size for o in repaired):,}")

# %%
# What each of them found for each run:

import matplotlib.pyplot as plt
import numpy as np

states = {
    "good": "#4fbf67",
    "unchanged": "#a9d8b4",
    "times_changed": "#f2c14e",
    "differs": "#e0472c",
    "missing": "#7a1f12",
}
said = {
    name: {finding.path: str(finding.state) for finding in audit.findings}
    for name, audit in audits.items()
}
paths = [run.relative_to(folder).as_posix() for run in runs]
table = [[list(states).index(said[name].get(path, "good")) for name in audits] for path in paths]
colours = plt.matplotlib.colors.ListedColormap(list(states.values()))
figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
axes.pcolormesh(np.array(table), cmap=colours, vmin=-0.5, vmax=4.5, edgecolor="white", lw=2)
for (row, column), value in np.ndenumerate(np.array(table)):
    word = list(states)[value]
    tone = "white" if word in ("differs", "missing") else "black"
    axes.text(column + 0.5, row + 0.5, word, ha="center", va="center", color=tone)
axes.set_xticks(np.arange(3) + 0.5, list(audits))
axes.xaxis.tick_top()
axes.set_yticks(
    np.arange(len(runs)) + 0.5,
    [f"run-{k + 1:02}: {done.get(k, 'nothing done')}" for k in range(len(runs))],
)
axes.invert_yaxis()
axes.tick_params(length=0)
axes.spines[:].set_visible(False)
axes.set_title("What was damaged, found and repaired (synthetic data)")
plt.show()
