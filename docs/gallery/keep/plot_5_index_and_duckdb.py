"""
Query a data directory with DuckDB
==================================

You want to know what you have: which runs of which subjects, how large they are, and how each file
was verified. Write an index once, and query it in SQL.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up OpenNeuro on this computer, with synthetic files in the layout of
#    ds000105. Leave this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.openneuro()

# %%
# Download, and write the index: a Parquet file with a row for each file.

import tempfile
from pathlib import Path

import neurofetch
from neurofetch.index import index

folder = Path(tempfile.mkdtemp()) / "ds000105"  # or where your data are to go
neurofetch.get("ds000105@3.0.0", folder, progress="none")
lost = folder / "sub-2" / "func" / "sub-2_task-objectviewing_run-07_bold.nii.gz"
lost.unlink()  # somebody needed room
made = index(folder)
print(made.files, "files:", made.counts)

# %%
# How large is each kind of file, and how was it verified?

import duckdb

db = duckdb.connect()
sizes = db.execute(f"""
    select coalesce(datatype, '(none)') as datatype, suffix, count(*) as files,
           sum(size) as bytes, count(*) filter (verified = 'checksum') as by_checksum
    from '{made.path}' group by all order by bytes desc
""").df()
print(sizes.to_string(index=False))

# %%
# Which runs do you have? The index has a row for each run that you have or had.

runs = db.execute(f"""
    select sub::int as sub, run, size, status from '{made.path}'
    where suffix = 'bold' and run is not null order by all
""").df()
print(runs[runs["status"] != "here"].to_string(index=False))

import matplotlib.pyplot as plt
import numpy as np

table = np.full((6, 12), np.nan)
for row in runs.itertuples():
    if row.status == "here":
        table[row.sub - 1, row.run - 1] = row.size / 1e3

figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
picture = axes.pcolormesh(table, cmap="viridis", edgecolor="white", lw=2)
axes.set_facecolor("0.93")
status = {(row.sub, row.run): row.status for row in runs.itertuples()}
for subject, run in np.argwhere(np.isnan(table)):
    word = "lost" if (subject + 1, run + 1) in status else "never\nwas"
    axes.text(run + 0.5, subject + 0.5, word, ha="center", va="center", color="#e0472c", fontsize=8)
axes.set_xticks(np.arange(12) + 0.5, [f"{run:02}" for run in range(1, 13)])
axes.set_yticks(np.arange(6) + 0.5, [f"sub-{k}" for k in range(1, 7)])
axes.invert_yaxis()
axes.tick_params(length=0)
axes.spines[:].set_visible(False)
axes.set_xlabel("run")
axes.set_title("What is on the disk, according to the index (synthetic data)")
figure.colorbar(picture, label="size (kB)")
plt.show()
