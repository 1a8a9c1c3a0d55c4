"""
Choose and plan before you fetch
================================

You want to know the size of a subject of LAION-fMRI before you download it: how many files, how
many bytes, what is withheld and why. The plan shows this, and the download then follows the same
plan.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up LAION-fMRI on this computer: all data below are synthetic. Leave
#    this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.laion()

# %%
# ``dry_run=True`` returns the plan. Printed, it is what ``laion-fmri download --dry-run`` shows.

from laion_fmri.download import download
from neurofetch.engine import plan_text

plan = download("sub-03", ses="ses-01", dry_run=True)
print(plan_text(plan))

# %%
# Narrow it down until it has what you need and no more. Filters are BIDS entities. What comes along
# by rule (the brain mask, the regions of interest, sidecars) is in the plan too.

choices = {
    "betas of a session": {"ses": "ses-01", "desc": "SingletrialBetas", "extension": "nii.gz"},
    "a session": {"ses": "ses-01"},
    "two sessions, and averages": {"ses": ["ses-01", "ses-02", "averages"]},
    "the subject, with anatomy": {"include_anatomical": True, "include_freesurfer": True},
    "the subject, with raw data": {"include_raw": True},
}
plans = {name: download("sub-03", dry_run=True, **choice) for name, choice in choices.items()}

# %%
# Each step of a plan has a file, its size, and what will be done with it. Here we add up the bytes
# by folder.

from collections import Counter

import matplotlib.pyplot as plt

from neurofetch.model import Action


def kind_of(path):
    parts = path.split("/")
    if parts[0] != "derivatives":
        return "raw" if parts[0].startswith("sub-") else "about the data set"
    return parts[1]


sizes = {name: Counter() for name in plans}
for name, one in plans.items():
    for step in one.moving:
        sizes[name][kind_of(step.want.path)] += step.want.remote.size or 0

total = sum(sizes.values(), Counter())
kinds = [kind for kind, _ in total.most_common() if kind != "about the data set"]
figure, axes = plt.subplots(figsize=(9, 3.8), layout="constrained")
left = dict.fromkeys(plans, 0.0)
for kind, colour in zip(kinds, plt.get_cmap("tab10").colors, strict=False):
    widths = [sizes[name][kind] / 1e6 for name in plans]
    axes.barh(list(plans), widths, left=list(left.values()), color=colour, label=kind)
    left = {name: left[name] + width for name, width in zip(plans, widths, strict=True)}
for name, one in plans.items():
    withheld = len(one.of(Action.REFUSE))
    note = f"  {len(one.moving)} files" + (f", {withheld} withheld" if withheld else "")
    axes.text(left[name], name, note, va="center", fontsize=9)
axes.invert_yaxis()
axes.set_xlim(0, max(left.values()) * 1.35)
axes.set_xlabel("to fetch (MB)")
axes.set_title("What each choice costs (synthetic data, far smaller than the real)")
axes.legend(title="folder", frameon=False, fontsize=9)
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The plan lists withheld files with the reason. They never make a download fail.

refused = plans["the subject, with raw data"].of(Action.REFUSE)
print(len(refused), "files are withheld, for example")
print(" ", refused[0].want.path)
print(" ", refused[0].reason)

# %%
# Download the first choice, and plan it again: nothing is left to download.

report = download(
    "sub-03", **choices["betas of a session"], accept_license="CC0-1.0", progress="none"
)
again = download("sub-03", **choices["betas of a session"], dry_run=True)
print(report)
print(
    "then to fetch:", again.bytes_to_fetch, "bytes;", len(again.of(Action.KEEP)), "files are here"
)
