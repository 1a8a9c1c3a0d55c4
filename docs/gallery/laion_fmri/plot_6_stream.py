"""
Stream a region without keeping the file
========================================

You need one region of a session, but its file has many gigabytes and your disk has no room for it.
Stream it: the file is decompressed and masked while it comes, its checksum is verified at the end,
and only the region stays.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up LAION-fMRI on this computer: all data below are synthetic. Leave
#    this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.laion()

# %%
# Streaming needs only small files on the disk: the brain mask, the regions and the trial table.

from laion_fmri.config import get_data_dir
from laion_fmri.download import download
from laion_fmri.subject import load_subject

small = download(
    "sub-03", ses="averages", include_anatomical=True, accept_license="CC0-1.0", progress="none"
)
sub = load_subject("sub-03", store="off")


def on_disk():
    return sum(p.stat().st_size for p in get_data_dir().rglob("*") if p.is_file())


before = on_disk()
plan = download("sub-03", ses="ses-01", stat="effect", extension="nii.gz", dry_run=True)
betas_size = max(step.want.remote.size for step in plan.moving)
print(f"on disk {before / 1e6:.2f} MB; the betas of ses-01 have {betas_size / 1e6:.2f} MB")

# %%
# Stream the region. The first number is the peak memory of Python objects during this call.

import tracemalloc

tracemalloc.start()
streamed = sub.get_betas("ses-01", roi="FFA1", stream=True)
peak = tracemalloc.get_traced_memory()[1]
tracemalloc.stop()
after = on_disk()
print(f"at most {peak / 1e6:.2f} MB of memory; {streamed.nbytes / 1e6:.3f} MB of betas came back")
print(f"the data directory grew by {after - before:,} bytes")

# %%
# Is the result the same? Download the file after all, and load the region from it.

import numpy as np

download("sub-03", ses="ses-01", desc="SingletrialBetas", progress="none")
kept = on_disk()
loaded = sub.get_betas("ses-01", roi="FFA1")
print("equal to the last bit:", np.array_equal(streamed, loaded))

# %%
# The betas of the region, and how much each way leaves on the disk:

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=(2, 1)
)
most = np.percentile(np.abs(streamed), 99)
picture = left.imshow(
    streamed.T, aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest"
)
left.set_xlabel("trial")
left.set_ylabel("voxel of FFA1")
left.yaxis.get_major_locator().set_params(integer=True)
left.set_title(f"what came back: {streamed.shape[0]} × {streamed.shape[1]} betas")
figure.colorbar(picture, ax=left, label="beta")
ways = ["streamed", "downloaded"]
grown = [(after - before) / 1e6, (kept - before) / 1e6]
bars = right.bar(ways, grown, color=["#3f8fe0", "0.6"], width=0.6)
right.bar_label(bars, [f"{mb:.2f} MB" for mb in grown], padding=3)
right.set_ylim(0, max(grown) * 1.15)
right.set_ylabel("left on the disk (MB)")
right.set_title("what stays")
right.spines[["top", "right"]].set_visible(False)
figure.suptitle("sub-03, ses-01: FFA1 from the stream (synthetic data)")
plt.show()
