"""OpenNeuro: versions, equal content once, a flipped byte, a private data set, another version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from demo._stage import Stage, heading, say
from testbed.openneuro import RECORDED, OpenNeuro, small_tree

if TYPE_CHECKING:
    from pathlib import Path

    from testbed._snapshots import Snapshot

__all__ = ["main"]

MEG, TAG = "ds000246", "1.0.1"
PRIVATE = "ds000900"


def main(stage: Stage) -> None:
    """Play the act."""
    heading("A real OpenNeuro on loopback: the names and places of three versions, small content")
    with OpenNeuro() as site:
        for accession, tag in RECORDED:
            site.add_recorded(accession, tag)
        site.add("ds000800", {"1.0.0": small_tree(), "1.1.0": small_tree(seed=1)})
        site.deprecate("ds000800", "1.0.0", "the events of sub-02 were those of sub-01")
        site.add(PRIVATE, {"1.0.0": small_tree()}, public=False)
        stage.set(OPENNEURO_URL=site.url, OPENNEURO_API_KEY="")
        _catalogue(stage)
        _snapshots(stage, site)
        _flipped(stage, site)
        _versions(stage)
        _private(stage, site)


def _catalogue(stage: Stage) -> None:
    heading("What there is, and what is known of a data set, before anything is fetched")
    stage.run("neurofetch openneuro list")
    stage.run(f"neurofetch openneuro info {MEG}")


def _snapshots(stage: Stage, site: OpenNeuro) -> None:
    heading("Three versions, each file verified by the hash of the listing, with no HEAD at all")
    stage.run(f"neurofetch get openneuro:{MEG}@{TAG} --subject 0001 --dry-run")
    for accession, tag in RECORDED:
        site.clear_log()
        site.bucket.clear_log()
        stage.run(f"neurofetch get openneuro:{accession}@{tag}")
        snapshot = site.datasets[accession].snapshots[tag]
        _compare(stage.folder / accession, snapshot)
        asked = len(site.log) + len(site.bucket.log)
        contents = len({file.id for file in snapshot.files.values()})
        say(
            f"{len(snapshot.files)} files of {contents} contents: {asked} requests, "
            f"{site.heads()} of them HEAD"
        )
    heading("Again: the listing is one request, and nothing is fetched")
    site.clear_log()
    stage.run(f"neurofetch get openneuro:{MEG}@{TAG}")
    say(f"requests: {len(site.log)}")
    stage.run(f"neurofetch verify {MEG} --hash")


def _compare(folder: Path, snapshot: Snapshot) -> None:
    """See that the folder holds the version, and nothing but it."""
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    here = {path for path in paths if not path.startswith(".neurofetch/")}
    if here != set(snapshot.files):
        raise SystemExit(f"not the files of the version: {sorted(here ^ set(snapshot.files))[:5]}")
    for path, file in snapshot.files.items():
        if (folder / path).read_bytes() != file.blob.read(0, file.blob.size):
            raise SystemExit(f"{path} differs from the one of the version")


def _flipped(stage: Stage, site: OpenNeuro) -> None:
    heading("A byte that is flipped on the way, once and then always")
    name = "sub-0001/anat/sub-0001_T1w.nii.gz"
    if name not in site.datasets[MEG].snapshots[TAG].files:  # no records are beside this checkout
        name = "sub-01/anat/sub-01_T1w.nii.gz"
    site.bucket.fault(key=f"{MEG}/{name}", method="GET", times=1, flip=100)
    stage.run(f"neurofetch get openneuro:{MEG}@{TAG}/{name} --data-dir once")
    site.bucket.fault(key=f"{MEG}/{name}", method="GET", flip=100)
    stage.run(f"neurofetch get openneuro:{MEG}@{TAG}/{name} --data-dir always", expect=4)
    if (stage.folder / "always" / name).exists():
        raise SystemExit("wrong bytes have the name of a file")
    site.bucket.clear_faults()


def _versions(stage: Stage) -> None:
    heading("Another version is told before a byte moves; --update brings the folder to it")
    stage.run("neurofetch get ds000800@1.0.0")
    stage.run("neurofetch get ds000800@1.1.0", expect=2)
    stage.run("neurofetch get ds000800@1.1.0 --update")


def _private(stage: Stage, site: OpenNeuro) -> None:
    heading("A data set that is not public: what to do, and then with a reviewer link")
    stage.run(f"neurofetch get openneuro:{PRIVATE}", expect=6)
    link = site.reviewer_link(PRIVATE)
    stage.set(OPENNEURO_API_KEY=link)
    told = stage.run(f"neurofetch get openneuro:{PRIVATE} --json")
    stage.set(OPENNEURO_API_KEY="")
    token = link.rpartition("/")[2]
    left = [path for path in (stage.folder / PRIVATE).rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in left)
    sent = [request for request in site.bucket.log if "authorization" in request.headers]
    if token in told or token.encode() in written or sent:
        raise SystemExit("the token is where it should not be")
    say(f"{json.loads(told)['files_total']} files; the token is in none, and the bucket saw none")
