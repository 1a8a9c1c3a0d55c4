"""Profiles, keys and a bucket that lets in who signs, for the tests of credentials."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

from neurofetch.lockfile.lock import Lock
from neurofetch.lockfile.values import Head, LockedFile
from testbed.s3 import Guard, S3Server

if TYPE_CHECKING:
    from pathlib import Path

KEY_ID = "AKIAQ3EXAMPLEKEYID01"
SECRET = "wJalr/XUtnFEMI+K7MDENGbPxRfiCYzEXAMPLEsecret"
TOKEN = "FwoGZXIvYXdzEXAMPLE//////////session+token=="
NEW_ID, NEW_SECRET = "ASIAQ3EXAMPLERENEWED", "renewed/Secret+EXAMPLE0123456789abcdefghij"
SECRETS = (KEY_ID, SECRET, TOKEN, NEW_ID, NEW_SECRET)

DATASET = {
    "dataset_description.json": b'{"Name": "A study", "BIDSVersion": "1.8.0"}',
    "participants.tsv": b"participant_id\nsub-01\nsub-02\n",
    "sub-01/anat/sub-01_T1w.nii.gz": b"\x1f\x8b" + b"one" * 4000,
    "sub-01/anat/sub-01_T1w.json": b"{}",
    "sub-02/anat/sub-02_T1w.nii.gz": b"\x1f\x8b" + b"two" * 4000,
}


def keys_of(*names: str) -> dict[str, str]:
    return {KEY_ID: SECRET, NEW_ID: NEW_SECRET} | dict.fromkeys(names, SECRET)


def forget_aws(monkeypatch, home: Path) -> None:
    """Leave nothing of AWS in the environment, nor of a proxy, and give the user a new home."""
    for name in [*os.environ]:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))


def set_keys(monkeypatch, key_id: str = KEY_ID, secret: str = SECRET, token: str = "") -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)


def static(key_id: str = KEY_ID, secret: str = SECRET, token: str = "") -> str:
    lines = f"aws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"
    return lines + (f"aws_session_token = {token}\n" if token else "")


def program(folder: Path, body: str, name: str = "keys.py") -> str:
    """Write a program in Python; return the words that run it."""
    path = folder / name
    path.write_text(body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"{sys.executable} {path}"


def printing(said: object, counter: Path | None = None) -> str:
    """Return a program that prints a value as JSON, and counts how often it runs."""
    count = f"open({str(counter)!r}, 'a').write('x')\n" if counter else ""
    return f"{count}print({json.dumps(said)!r})\n"


def process_keys(**more: object) -> dict[str, object]:
    return {"Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, **more}


def guarded(objects=None, *, region: str = "us-east-1", **guard) -> S3Server:
    """Return a server that lets in who signs with a key of ours."""
    made = Guard(keys_of(), region=region, **guard)
    return S3Server({"b": dict(DATASET if objects is None else objects)}, guard=made)


def lock_of(objects, source, address):
    """Return a lock that nobody's server had a part in."""
    files = tuple(
        LockedFile(key, len(blob), (f"sha256:{hashlib.sha256(blob).hexdigest()}",), address(key))
        for key, blob in sorted(objects.items())
    )
    return Lock(Head(source, files=len(files), bytes=sum(map(len, objects.values()))), files)
