"""
A bad connection
================

Your connection breaks every few seconds, and you stop the download in the middle. You want to see
that nothing is lost: what has been downloaded is kept, and is not downloaded again, neither in this
run nor in the next one.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a bucket on this computer, with a synthetic file of 17 MB behind a slow
#    connection that breaks. Leave this cell out, and the rest downloads the real file, which has
#    hundreds of megabytes.

from testbed import gallery

gallery.bad_line()

# %%
# First a plain loop that starts again whenever the connection breaks, as in many scripts. The plan
# has the address of the file and its size.

import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import neurofetch

folder = Path(tempfile.mkdtemp()) / "ds000117"  # or where your data are to go
url = "s3://openneuro.org/ds000117"
wanted = {"subject": "01", "run": "01", "suffix": "meg"}
plan = neurofetch.plan(url, folder, **wanted)
remote = max((step.want.remote for step in plan.steps), key=lambda file: file.size)

plain, moved = [], 0
began = time.monotonic()
while not plain or plain[-1][1] < remote.size:
    here = 0
    plain.append((time.monotonic() - began, here))
    with urlopen(remote.url) as answer:
        while block := answer.read(1 << 18):
            here += len(block)
            plain.append((time.monotonic() - began, here))
    moved += here
print(f"the plain loop moved {moved / 1e6:.1f} MB for a file of {remote.size / 1e6:.1f} MB")

# %%
# Now the same connection with neurofetch. A function that you pass as ``progress=`` gets every
# event. This one records the progress, and presses Ctrl-C for you when half of the file is here.

from neurofetch.events import Progress, Retrying

course, breaks = [], []
began = time.monotonic()


def watch(event, stop_at=float("inf")):
    if isinstance(event, Retrying):
        breaks.append(time.monotonic() - began)
    elif isinstance(event, Progress):
        course.append((time.monotonic() - began, event.bytes_done, event.bytes_total))
        if event.bytes_done > stop_at * event.bytes_total:
            raise KeyboardInterrupt


try:
    neurofetch.get(url, folder, **wanted, progress=lambda event: watch(event, stop_at=0.5))
except KeyboardInterrupt:
    left = neurofetch.plan(url, folder, **wanted).bytes_to_fetch
    print(
        f"stopped, with {(remote.size - left) / 1e6:.1f} MB here and {left / 1e6:.1f} MB to fetch"
    )

# %%
# The plan counts only what is missing, and the same call continues from there.

first = len(course)
report = neurofetch.get(url, folder, **wanted, progress=watch)
print(report)
print("verified to the last byte:", neurofetch.verify(folder, read_all=True).verified)

# %%
# neurofetch is also faster, because it uses several connections. But look at the teeth of the grey
# line: each time the plain loop loses everything.

import matplotlib.pyplot as plt
import numpy as np

times, done, total = np.array(course).T
here = total.max() - total + done  # the second run counts from what was here
figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
seconds, bytes_here = np.array(plain).T
axes.plot(seconds, bytes_here / 1e6, color="0.6", label="a plain loop")
for part, colour, name in (
    (slice(0, first), "#3f8fe0", "neurofetch, until Ctrl-C"),
    (slice(first, None), "#1f4f9e", "neurofetch, the next run"),
):
    axes.plot(times[part], here[part] / 1e6, color=colour, lw=2.5, label=name)
at = np.interp(breaks, times, here) / 1e6
axes.plot(breaks, at, "x", color="#e0472c", ms=9, mew=2.5, label="connection lost")
axes.axhline(total.max() / 1e6, color="0.3", lw=1, ls=":")
axes.set_xlabel("time (s)")
axes.set_ylabel("on the disk (MB)")
axes.set_ylim(0, total.max() / 1e6 * 1.35)
axes.set_title(f"{len(breaks)} breaks and a Ctrl-C (synthetic data, simulated connection)")
axes.legend(frameon=False, ncols=4, loc="upper center", fontsize=9)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
