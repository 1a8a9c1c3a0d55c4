"""
An array of jobs on a cluster
=============================

You want a whole study on the disk of your cluster, downloaded by Slurm jobs. One command submits
the array, and the data directory tells how far each job is, also to those who do not see the queue.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up OpenNeuro on this computer, with synthetic files in the layout of
#    ds000105, and a stand-in for Slurm that runs three jobs at once. Leave this cell out on a login
#    node, and the rest submits to your cluster.

from testbed import gallery

gallery.slurm()

# %%
# In a shell, you would type the words of this list.

import subprocess
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp()) / "ds000105"  # a folder that all nodes see
submitted = subprocess.run(
    ["neurofetch", "get", "ds000105@3.0.0", "--data-dir", str(folder),
     "--slurm", "-p short -t 1:00:00", "--jobs", "6"],
    check=True, capture_output=True, text=True,
)  # fmt: skip
print(submitted.stderr[-600:])

# %%
# ``neurofetch status --watch`` shows the progress. You get the same numbers in Python:

import time

from neurofetch.engine import runs_in

began = time.monotonic()
seen = []
while True:
    (run,) = runs_in(folder)
    seen.append((time.monotonic() - began, {task.name: task.bytes_done for task in run.tasks}))
    if run.over:
        break
    time.sleep(0.05)
print(run)

# %%
# Each band is a job. Three run at once, and the next one starts when one has ended.

import matplotlib.pyplot as plt
import numpy as np

names = sorted(task.name for task in run.tasks)
times = np.array([moment for moment, _ in seen])
done = np.array([[tasks.get(name, 0) for _, tasks in seen] for name in names]) / 1e6
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
axes.stackplot(times, done, colors=plt.get_cmap("viridis")(np.linspace(0.1, 0.9, len(names))),
               labels=[f"job {k}" for k in range(len(names))])  # fmt: skip
axes.set_xlim(0, times[-1])
axes.set_xlabel("time since the array was submitted (s)")
axes.set_ylabel("on the disk (MB)")
axes.set_title("Six jobs, three at once, one data directory (synthetic data)")
handles, labels = axes.get_legend_handles_labels()
axes.legend(handles[::-1], labels[::-1], frameon=False, loc="upper left")
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Do you have everything, and is it correct? The same command without ``--slurm`` would download
# what is missing.

import neurofetch

print(repr(neurofetch.plan("ds000105@3.0.0", folder)))
print(neurofetch.verify(folder, read_all=True).summary)
