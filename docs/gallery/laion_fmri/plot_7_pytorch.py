"""
Train a network with PyTorch
============================

You want trials as a PyTorch data set, in batches, read by as many workers as you like. Train a
small network to tell faces from other pictures, and watch it on trials of a session that it never
saw.
"""

# %%
# .. admonition:: For this gallery alone
#
#    This cell starts a made-up LAION-fMRI on this computer: all data below are synthetic. Leave
#    this cell out, and the rest downloads the real data.

from testbed import gallery

gallery.laion()

# %%
# Download the trials, and load them as a data set. ``pip install 'neurofetch[torch]'`` brings what
# it needs.

from laion_fmri.download import download, download_captions
from laion_fmri.subject import load_subject

download(
    "sub-03",
    ses=["ses-01", "ses-02"],
    desc="SingletrialBetas",
    include_anatomical=True,
    accept_license="CC0-1.0",
    progress="none",
)
download_captions(progress="none")
sub = load_subject("sub-03")
dataset = sub.to_torch_dataset(roi="face")
print(len(dataset), "trials; an item has", sorted(dataset[0]))

# %%
# The label of a trial comes from the captions of its picture. One session is for training, the
# other for testing. (Shared pictures were shown in both sessions, so this tests new trials, not new
# pictures.)

import torch
from torch.utils.data import DataLoader, Subset

from laion_fmri.captions import Captions

captions = Captions()


def is_face(name):
    return float(any("face" in text for text in captions.human(name)))


rows = {"ses-01": [], "ses-02": []}
for row in range(len(dataset)):
    rows[dataset[row]["session"]].append(row)
train = DataLoader(Subset(dataset, rows["ses-01"]), batch_size=16, shuffle=True)
test = DataLoader(Subset(dataset, rows["ses-02"]), batch_size=120)

# %%
# An ordinary loop. Only some of the pictures show faces, so we use balanced accuracy: always saying
# "no" gives 50 %.

torch.manual_seed(0)
voxels = dataset[0]["betas"].numel()
network = torch.nn.Sequential(
    torch.nn.Linear(voxels, 8), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
)
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.1)
weight = torch.tensor(4.0)  # about four other pictures for each face


def balanced_accuracy(loader):
    network.eval()
    right, wanted = [], []
    with torch.no_grad():
        for batch in loader:
            target = torch.tensor([is_face(name) for name in batch["image_name"]])
            right.append((network(batch["betas"])[:, 0] > 0) == (target > 0))
            wanted.append(target > 0)
    right, wanted = torch.cat(right), torch.cat(wanted)
    return 50 * (right[wanted].float().mean() + right[~wanted].float().mean()).item()


scores = {"train": [balanced_accuracy(train)], "test": [balanced_accuracy(test)]}
for _ in range(25):
    network.train()
    for batch in train:
        target = torch.tensor([is_face(name) for name in batch["image_name"]])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            network(batch["betas"])[:, 0], target, pos_weight=weight
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores["train"].append(balanced_accuracy(train))
    scores["test"].append(balanced_accuracy(test))

# %%

import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(scores["train"], color="0.55", label="ses-01 (train)")
axes.plot(scores["test"], "o-", ms=4, color="#c2452d", label="ses-02 (never trained on)")
axes.axhline(50, color="0.3", ls="--", lw=1)
axes.text(25, 51, "chance", ha="right", color="0.3")
axes.set_ylim(40, 102)
axes.set_xlabel("epoch")
axes.set_ylabel("balanced accuracy (%)")
axes.set_title(f"A face or not? From {voxels} voxels of face regions (synthetic data)")
axes.legend(frameon=False, loc="lower right")
axes.spines[["top", "right"]].set_visible(False)
plt.show()
print(f"after {len(scores['test']) - 1} epochs: {scores['test'][-1]:.1f} % of ses-02")
