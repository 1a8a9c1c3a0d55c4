"""The buckets of the benchmarks: made from a seed, indexed for the server.

ETags are those of the usual upload: the MD5 up to 8 MiB, beyond it a multipart ETag of parts of
8 MiB. The checksums here are computed without `neurofetch`, so that it is not its own judge.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from awscrt import checksums

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BUCKET", "CASES", "QUICK", "Case", "Thing", "make", "scratch"]

BUCKET = "bench"
_PART = 8 << 20
_NOISE = 1 << 20
_MTIME = 1_700_000_000
_SPARE = 2 << 30
_KB, _MB, _GB = 1_000, 1_000_000, 1_000_000_000


class Thing(NamedTuple):
    """One object: its key below the bucket, and its size in bytes."""

    key: str
    size: int


class Group(NamedTuple):
    """Some files of random sizes."""

    files: int
    least: int
    most: int
    suffix: str = "bold.nii.gz"


@dataclass(frozen=True)
class Case:
    """A prefix of the bucket, and what there is to do with it.

    Parameters
    ----------
    name : str
        Also the prefix.
    groups : tuple of Group
    present : bool
        Whether all files are there already when the clock starts.
    note : str
        What it is, for people.
    """

    name: str
    groups: tuple[Group, ...]
    present: bool = False
    note: str = ""

    def things(self) -> Iterator[Thing]:
        """Yield the objects; the same ones each time."""
        rng = random.Random(self.name)
        number = 0
        for group in self.groups:
            for _ in range(group.files):
                key = f"{self.name}/{_bids_name(number, group.suffix)}"
                yield Thing(key, rng.randint(group.least, group.most))
                number += 1


def _bids_name(number: int, suffix: str) -> str:
    subject, rest = number // 240, number % 240
    session, run = rest // 12, rest % 12
    folder = f"sub-{subject + 1:02}/ses-{session + 1:02}/func"
    name = f"sub-{subject + 1:02}_ses-{session + 1:02}_task-images_run-{run + 1:02}_{suffix}"
    return f"{folder}/{name}"


CASES = (
    Case("small", (Group(2_000, _KB, 20 * _KB, "events.json"),), note="2,000 files of 1-20 KB"),
    Case("medium", (Group(300, _MB, 5 * _MB),), note="300 files of 1-5 MB"),
    Case("big", (Group(1, _GB, _GB),), note="one file of 1 GB"),
    Case(
        "mixed",
        (
            Group(40, _KB, 20 * _KB, "events.json"),
            Group(20, _MB, 5 * _MB),
            Group(1, _GB, _GB, "betas.h5"),
        ),
        note="40 small files, 20 medium ones, one of 1 GB",
    ),
    Case(
        "noop",
        (Group(5_000, 100, 400, "events.json"),),
        present=True,
        note="5,000 files, all of them there already",
    ),
)

QUICK = (
    Case("small", (Group(400, _KB, 20 * _KB, "events.json"),), note="400 files of 1-20 KB"),
    Case("medium", (Group(40, _MB, 5 * _MB),), note="40 files of 1-5 MB"),
    Case("big", (Group(1, 300 * _MB, 300 * _MB),), note="one file of 300 MB"),
    Case(
        "mixed",
        (
            Group(40, _KB, 20 * _KB, "events.json"),
            Group(20, _MB, 5 * _MB),
            Group(1, 150 * _MB, 150 * _MB, "betas.h5"),
        ),
        note="40 small files, 20 medium ones, one of 150 MB",
    ),
    Case(
        "noop",
        (Group(1_000, 100, 400, "events.json"),),
        present=True,
        note="1,000 files, all of them there already",
    ),
)


def scratch(needed: int, fallback: Path) -> Path:
    """Return where to keep data: in memory when there is room, since the disk is not measured."""
    memory = Path("/dev/shm")
    if memory.is_dir() and min(shutil.disk_usage(memory).free, _available()) > needed + _SPARE:
        return memory
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def make(root: Path, cases: tuple[Case, ...], bucket: str = BUCKET) -> int:
    """Write the objects of some cases and the index beside them; return their bytes."""
    noise = random.Random(7).randbytes(_PART + _NOISE)
    total = 0
    with (root / f"{bucket}.index.jsonl").open("w", encoding="ascii") as index:
        for case in cases:
            for serial, thing in enumerate(case.things()):
                path = root / bucket / thing.key
                path.parent.mkdir(parents=True, exist_ok=True)
                index.write(json.dumps(_write(path, thing, noise, serial)) + "\n")
                total += thing.size
    return total


def _write(path: Path, thing: Thing, noise: bytes, serial: int) -> dict[str, object]:
    """Write one object; every part of it and every object begins elsewhere in the noise."""
    view = memoryview(noise)
    crc, md5s = 0, []
    with path.open("wb") as file:
        for number, first in enumerate(range(0, thing.size, _PART)):
            begin = (serial * 4099 + number * 6151) % _NOISE
            block = view[begin : begin + min(_PART, thing.size - first)]
            file.write(block)
            crc = checksums.crc64nvme(block, crc)
            md5s.append(hashlib.md5(block, usedforsecurity=False))
    etag = md5s[0].hexdigest()
    if len(md5s) > 1:
        joined = b"".join(md5.digest() for md5 in md5s)
        etag = f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(md5s)}"
    return {
        "key": thing.key,
        "size": thing.size,
        "etag": f'"{etag}"',
        "crc64nvme": base64.b64encode(crc.to_bytes(8, "big")).decode("ascii"),
        "mtime": _MTIME,
    }
