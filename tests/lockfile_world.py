"""A small data set for the tests of locks, and what is known of its bytes."""

from __future__ import annotations

import hashlib

__all__ = ["FILES", "LARGE", "URL", "sha256"]

URL = "s3://b/ds"
LARGE = "sub-02/func/sub-02_task-rest_bold.nii.gz"
_DESCRIPTION = b'{"Name": "Two subjects", "License": "CC0", "DatasetDOI": "doi:10.1/x.v1.0.2"}'

FILES: dict[str, bytes] = {
    "CHANGES": b"1.0.2 2024-01-01\n  - more\n",
    "README": b"words",
    "dataset_description.json": _DESCRIPTION,
    "participants.tsv": b"participant_id\nsub-01\nsub-02\n",
    "sub-01/anat/sub-01_T1w.nii.gz": b"anatomy" * 100,
    "sub-01/func/sub-01_task-rest_bold.nii.gz": b"volumes" * 5000,
    "sub-01/func/sub-01_task-rest_events.tsv": b"onset\n",
    "sub-02/anat/sub-02_T1w.nii.gz": b"anatomy" * 200,
    LARGE: b"",
    "sub-02/func/sub-02_task-rest_events.tsv": b"",
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
