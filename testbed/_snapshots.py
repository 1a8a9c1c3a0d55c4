"""Data sets as OpenNeuro keeps them: versions of files, named by what they hold.

A file is in git (its id is the hash of the blob) or in git-annex (its id is the key: size, digest
and the ending of its name). Files of one id are one object in the bucket, at one of their names.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from testbed._blobs import Blob, Bytes, pieces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "RECORDS",
    "Dataset",
    "Snapshot",
    "Stored",
    "annex_key",
    "git_blob_id",
    "recorded_snapshot",
]

#: Answers of the real server, where this checkout has them beside it.
RECORDS = Path(__file__).resolve().parents[2] / "shared/records/openneuro"

ANNEXED = (".nii", ".nii.gz", ".gz", ".fif", ".meg4", ".edf", ".bdf", ".eeg", ".dat", ".mgz", ".h5")


def git_blob_id(blob: Blob) -> str:
    """Return what git calls this content."""
    digest = hashlib.sha1(b"blob %d\0" % blob.size, usedforsecurity=False)
    for piece in pieces(blob):
        digest.update(piece)
    return digest.hexdigest()


def annex_key(blob: Blob, name: str, backend: str = "MD5E") -> str:
    """Return what git-annex calls this content under this name.

    Examples
    --------
    >>> annex_key(Bytes(b""), "sub-01/anat/sub-01_T1w.nii.gz")
    'MD5E-s0--d41d8cd98f00b204e9800998ecf8427e.nii.gz'
    """
    digest = hashlib.new(backend.removesuffix("E").lower(), usedforsecurity=False)
    for piece in pieces(blob):
        digest.update(piece)
    return f"{backend}-s{blob.size}--{digest.hexdigest()}{_ending(name)}"


def _ending(name: str) -> str:
    """Return the one or two short endings that git-annex takes into a key."""
    parts = [part for part in PurePosixPath(name).suffixes if part[1:].isalnum() and len(part) <= 5]
    return "".join(parts[-2:])


@dataclass(frozen=True)
class Stored:
    """A file of a snapshot.

    Attributes
    ----------
    blob, id
        What it holds, and what it is called for that.
    key, version
        Where the bucket has it (another file of the same content, perhaps); "" for nowhere: then
        the site hands it out itself.
    """

    blob: Blob
    id: str
    key: str = ""
    version: str = ""

    @property
    def annexed(self) -> bool:
        """Whether git-annex keeps it."""
        return "--" in self.id


@dataclass
class Snapshot:
    """A version of a data set.

    Attributes
    ----------
    tag, created
        Its name, and when it was made.
    files
        By name.
    lies
        What the listing says instead, by name: fields of the answer.
    more
        Files that are only listed: whole rows of the answer.
    deprecated
        Why its owners withdrew it; "" for not.
    summary
        What the validator told; None: made from the names.
    """

    tag: str
    created: str
    files: dict[str, Stored]
    lies: dict[str, dict[str, Any]] = field(default_factory=dict)
    more: list[dict[str, Any]] = field(default_factory=list)
    deprecated: str = ""
    summary: dict[str, Any] | None = None
    has_summary: bool = True

    @property
    def hexsha(self) -> str:
        """The commit."""
        told = "".join(f"{name} {file.id}\n" for name, file in sorted(self.files.items()))
        return hashlib.sha1(f"{self.tag}\n{told}".encode(), usedforsecurity=False).hexdigest()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.blob.size for file in self.files.values())

    def description(self) -> dict[str, Any] | None:
        """Return ``dataset_description.json``, where there is one that can be read."""
        file = self.files.get("dataset_description.json")
        if file is None:
            return None
        try:
            values = json.loads(file.blob.read(0, file.blob.size))
        except ValueError:
            return None
        return values if isinstance(values, dict) else None


@dataclass
class Dataset:
    """A data set: its versions in the order in which they were made, and who may read it."""

    id: str
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    name: str = ""
    public: bool = True
    deleted: str | None = None
    redirect: str | None = None
    derivatives: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    no_node: bool = False
    created: str = "2018-07-14T05:04:51.000Z"

    @property
    def newest(self) -> Snapshot | None:
        """The version that was made last."""
        return next(reversed(self.snapshots.values()), None)


def is_annexed(name: str, blob: Blob) -> bool:
    """Tell whether OpenNeuro would put such a file into git-annex."""
    return name.endswith(ANNEXED) or blob.size > 1 << 20


def recorded_snapshot(answer: Mapping[str, Any], *, largest: int = 20_000) -> Snapshot:
    """Make a snapshot of a recorded answer: its names and places, with small content made up.

    Parameters
    ----------
    answer
        What the server said to ``snapshot {id files(recursive: true) {…}}``.
    largest
        Bytes of the largest file; the others shrink by the same rule.
    """
    told = answer["data"]["snapshot"]
    dataset, _, tag = str(told["id"]).partition(":")
    names = [str(row["filename"]) for row in told["files"]]
    fixed = _top(dataset, tag, names)
    made: dict[str, Blob] = {}
    files: dict[str, Stored] = {}
    for row in told["files"]:
        name = str(row["filename"])
        if row["id"] not in made:
            content = fixed.get(name)
            made[row["id"]] = Bytes(
                _made_up(name, int(row["size"]), largest) if content is None else content
            )
        blob = made[row["id"]]
        backend = str(row["id"]).partition("-")[0] if row["annexed"] else ""
        called = annex_key(blob, name, backend) if backend else git_blob_id(blob)
        files[name] = Stored(blob, called, *_place(str(row["urls"][0])))
    return Snapshot(tag, "2020-01-01T00:00:00.000Z", files)


def _place(url: str) -> tuple[str, str]:
    """Return key and version of an address in the bucket; nothing for one of the site's own."""
    parts = urlsplit(url)
    bucket, _, key = parts.path.removeprefix("/").partition("/")
    if bucket != "openneuro.org":
        return "", ""
    return unquote_plus(key), parse_qs(parts.query)["versionId"][0]


def _top(dataset: str, tag: str, names: Sequence[str]) -> dict[str, bytes]:
    """Return what programs read of a whole data set."""
    doi = f"doi:10.18112/openneuro.{dataset}.v{tag}"
    described = {"Name": f"As {dataset}", "BIDSVersion": "1.8.0", "License": "CC0"}
    subjects = sorted({path.split("/")[0] for path in names if path.startswith("sub-")})
    rows = ["participant_id\tage", *(f"{subject}\t30" for subject in subjects)]
    told = json.dumps({**described, "DatasetDOI": doi}, indent=2)
    return {
        "dataset_description.json": f"{told}\n".encode(),
        "participants.tsv": ("\n".join(rows) + "\n").encode(),
    }


def _made_up(name: str, size: int, largest: int) -> bytes:
    """Make something small that is what the name says."""
    if size == 0:
        return b""
    if name.endswith(".json"):
        return (json.dumps({"Made": name, "TaskName": "rest"}) + "\n").encode()
    if name.endswith("_events.tsv"):
        onset = len(name) / 10
        return f"onset\tduration\ttrial_type\n{onset}\t1.0\t{PurePosixPath(name).name}\n".encode()
    if name.endswith(".nii.gz"):
        from testbed.bids import nifti  # noqa: PLC0415 - numpy, only where there are volumes

        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        return nifti(8, 8, 8, seed=seed)
    scaled = size if size <= 2000 else 2000 + size * (largest - 2000) // (1200 << 20)
    return hashlib.shake_128(name.encode()).digest(min(scaled, largest))
