"""A small OpenNeuro with a few data sets, for the tests of what asks it."""

from __future__ import annotations

from testbed.openneuro import OpenNeuro, small_tree

__all__ = ["fill"]

MEG = {
    "dataset_description.json": b'{"Name": "Auditory", "BIDSVersion": "1.8.0", "License": "CC0", '
    b'"Authors": ["A. Lovelace", "C. Babbage"], '
    b'"DatasetDOI": "doi:10.18112/openneuro.ds000247.v1.0.1"}',
    "README": b"Tones were heard.",
    "sub-01/ses-1/meg/sub-01_ses-1_task-tones_meg.fif": b"fields",
    "sub-02/ses-1/meg/sub-02_ses-1_task-tones_meg.fif": b"more fields",
}


def fill(site: OpenNeuro) -> None:
    """Add data sets of several kinds."""
    for number in range(1, 7):
        tree = small_tree(subjects=number, seed=number)
        site.add(f"ds00000{number}", {"1.0.0": tree}, name=f"Study {number}")
        site.datasets[f"ds00000{number}"].created = f"2019-0{number}-01T00:00:00.000Z"
    old = {**MEG, "README": b"Old."}
    site.add("ds000247", {"57fecb0ccce88d000ac17538": old, "1.0.0": old, "1.0.1": MEG})
    site.deprecate("ds000247", "1.0.0", "wrong events")
    site.datasets["ds000247"].derivatives = [
        {
            "name": "ds000247-mriqc",
            "local": False,
            "s3Url": "s3://openneuro-derivatives/mriqc/ds000247-mriqc",
            "dataladUrl": None,
        }
    ]
    site.add("ds000300", {"1.0.0": small_tree()}, public=False)
    site.add("ds000301", {"1.0.0": small_tree()})
    site.delete("ds000301", "a copy of ds000001", successor="ds000001")
    site.add("ds000302", {})
