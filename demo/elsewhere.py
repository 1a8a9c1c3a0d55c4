"""The same bytes again: a lock for a paper, a folder of a colleague, no network, one file, keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from demo._stage import Stage, heading, say
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Guard, S3Server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["main"]

DATASET, LINE = "ds000700", "openneuro:ds000700@1.0.0"
KEYS = ("AKIADEMO", "a+secret+that+nobody+sees")


def main(stage: Stage) -> None:
    """Play the act."""
    with OpenNeuro() as site:
        site.add(DATASET, {"1.0.0": small_tree(subjects=3)})
        stage.set(OPENNEURO_URL=site.url, OPENNEURO_API_KEY="")
        _locked(stage, site)
        _mirrored(stage, site)
        _opened(stage)
    _offline(stage)
    _signed(stage)


def _locked(stage: Stage, site: OpenNeuro) -> None:
    heading("A lock file says which bytes a paper used; it brings exactly these elsewhere")
    stage.run(f"neurofetch get {LINE} --subject 01")
    stage.run(f"neurofetch lock {DATASET} --out paper.lock")
    stage.run("neurofetch get --locked paper.lock reader")
    stage.run("neurofetch lock reader --check paper.lock")
    (stage.folder / "reader" / "README").write_bytes(b"Another one.\n")
    stage.run("neurofetch lock reader --check paper.lock", expect=4)
    site.clear_log()


def _mirrored(stage: Stage, site: OpenNeuro) -> None:
    heading("What a colleague has is copied; what the bucket lost comes from there, too")
    site.bucket.clear_log()
    site.bucket.fault(method="GET", times=None, status=404)
    stage.run(f"neurofetch get {LINE} --subject 01 --data-dir mine --mirror {DATASET}")
    say(f"requests for files: {len(site.bucket.log)}")
    site.bucket.clear_faults()
    if _content(stage.folder / "mine") != _content(stage.folder / DATASET):
        raise SystemExit("the copy is another data set")


def _content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {name: path.read_bytes() for name, path in named if not name.startswith(".neurofetch")}


def _opened(stage: Stage) -> None:
    heading("One file, opened where it lies")
    code = (
        "import neurofetch, pandas; "
        f"print(neurofetch.open('{LINE}/README').read()); "
        f"print(pandas.read_csv(neurofetch.open('{LINE}/participants.tsv'), sep='\\\\t'))"
    )
    stage.run(f'python -c "{code}"')


def _offline(stage: Stage) -> None:
    heading("No network: what is here and complete is found so, what is not is named")
    stage.run(f"neurofetch get {LINE} --subject 01 --offline")
    (stage.folder / DATASET / "README").unlink()
    stage.run(f"neurofetch get {LINE} --subject 01 --offline", expect=4)


def _signed(stage: Stage) -> None:
    heading("A bucket that asks who you are: the message says which flag, and the profile signs")
    config = stage.folder / "credentials"
    config.write_text(
        f"[lab]\naws_access_key_id = {KEYS[0]}\naws_secret_access_key = {KEYS[1]}\n", "utf-8"
    )
    files = {f"study/{path}": content for path, content in small_tree().items()}
    with S3Server({"lab-data": files}, guard=Guard(dict([KEYS]))) as lab:
        os.environ.pop("AWS_ENDPOINT_URL_S3", None)
        stage.set(AWS_SHARED_CREDENTIALS_FILE=str(config), AWS_CONFIG_FILE=os.devnull)
        get = f"neurofetch get s3://lab-data/study --data-dir study --endpoint {lab.url}"
        stage.run(get, expect=6)
        told = stage.run(f"{get} --profile lab --json")
    left = [path.read_bytes() for path in (stage.folder / "study").rglob("*") if path.is_file()]
    if KEYS[1] in told or any(KEYS[1].encode() in content for content in left):
        raise SystemExit("the key is where it should not be")
    say("the key is in no file and in no output")
