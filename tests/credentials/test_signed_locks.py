"""What a lock names, fetched with credentials: signed where the user said, and nowhere else."""

from __future__ import annotations

import json

import pytest

import neurofetch
from neurofetch._cli import main
from neurofetch.errors import CredentialsError, OtherDatasetError
from neurofetch.model import IncompleteError
from testbed.s3 import Guard, S3Server
from tests.credential_world import (
    DATASET,
    SECRETS,
    forget_aws,
    guarded,
    keys_of,
    lock_of,
    set_keys,
    static,
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    forget_aws(monkeypatch, home)
    (home / "credentials").write_text(f"[lab]\n{static()}")
    return home


@pytest.fixture
def s3():
    with guarded() as server:
        yield server


@pytest.fixture
def paper(tmp_path, s3):
    """A lock of what was fetched with credentials from a server of its own."""
    neurofetch.get("s3://b", tmp_path / "first", endpoint=s3.url, profile="lab", progress="none")
    path = tmp_path / "paper.lock"
    neurofetch.lock(tmp_path / "first").write(path)
    assert not any(secret in path.read_text() for secret in SECRETS)
    s3.clear_log()
    return path


def read(root):
    return {key: (root / key).read_bytes() for key in DATASET}


def test_a_lock_is_fetched_with_the_credentials_that_are_named(tmp_path, s3, paper):
    locked = neurofetch.lock(paper)
    locked.get(tmp_path / "again", profile="lab", endpoint=s3.url, progress="none")
    assert read(tmp_path / "again") == DATASET
    assert all("authorization" in request.headers for request in s3.log)


def test_without_them_a_refusal_says_which_flag_to_try(tmp_path, s3, paper):
    with pytest.raises(IncompleteError, match="403"):
        neurofetch.lock(paper).get(tmp_path / "again", endpoint=s3.url, progress="none")
    assert not [request for request in s3.log if "authorization" in request.headers]


def test_an_address_in_a_lock_that_the_user_did_not_name_gets_no_signature(tmp_path, s3, paper):
    with S3Server({"b": DATASET}) as other:
        paper.write_text(paper.read_text().replace(s3.url, other.url))
        neurofetch.lock(paper).get(
            tmp_path / "again", profile="lab", endpoint=s3.url, progress="none"
        )
        assert read(tmp_path / "again") == DATASET
        assert other.log
        for request in other.log:
            assert not {name for name in request.headers if name in ("authorization", "x-amz-date")}


def test_a_place_in_a_bucket_is_asked_with_them(tmp_path, s3, paper):
    lab = {f"copy/{key}": content for key, content in DATASET.items()}
    with S3Server({"mine": lab}, guard=Guard(keys_of())) as mine:
        neurofetch.lock(paper).get(
            tmp_path / "again",
            places="s3://mine/copy",
            profile="lab",
            endpoint=mine.url,
            progress="none",
        )
        assert len(mine.requests("GET")) == len(DATASET)
    assert read(tmp_path / "again") == DATASET
    assert s3.log == []


def test_the_command_and_the_dry_run_take_the_same_words(tmp_path, s3, paper, capsys):
    how = ["--locked", str(paper), "--data-dir", str(tmp_path / "again"), "--endpoint", s3.url]
    assert main(["get", *how, "--profile", "lab", "--dry-run"]) == 0
    assert not (tmp_path / "again").exists()
    assert main(["get", *how, "--profile", "lba"]) == 2
    assert "Did you mean 'lab'" in capsys.readouterr().err
    assert main(["get", *how, "--profile", "lab"]) == 0
    assert read(tmp_path / "again") == DATASET


def test_credentials_that_cannot_be_had_are_told_before_any_byte(tmp_path, s3, paper):
    with pytest.raises(CredentialsError):
        neurofetch.lock(paper).get(tmp_path / "again", signed=True, progress="none")
    assert s3.log == []
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("count", [2, 60])
def test_a_wrong_region_fails_none_of_the_requests_that_were_under_way(tmp_path, count):
    many = {f"sub-{number:02}/{number}.txt": b"%d" % number for number in range(count)}
    with guarded(many, region="eu-central-1") as s3:
        locked = lock_of(many, "s3://b", lambda key: f"{s3.url}/b/{key}")
        report = locked.get(tmp_path / "data", profile="lab", endpoint=s3.url, progress="none")
    assert len(report.paths) == count


@pytest.mark.parametrize("how", ["profile", "environment"])
def test_what_was_brought_by_a_lock_is_asked_again_as_it_was(tmp_path, s3, paper, how, monkeypatch):
    asked = {"profile": "lab"}
    if how == "environment":
        set_keys(monkeypatch)
        asked = {"signed": True}
    neurofetch.lock(paper).get(tmp_path / "again", endpoint=s3.url, progress="none", **asked)
    s3.clear_log()
    found = neurofetch.verify(tmp_path / "again", remote=True, progress="none")
    assert found.ok
    assert len(found) == len(DATASET)
    assert s3.log
    neurofetch.get("s3://b", tmp_path / "again", endpoint=s3.url, progress="none", **asked)
    with guarded() as other, pytest.raises(OtherDatasetError):
        neurofetch.get("s3://b", tmp_path / "again", endpoint=other.url, **asked)


def test_an_endpoint_for_another_place_is_not_taken_for_that_of_the_data_set(tmp_path, s3, paper):
    with S3Server({"mine": {f"copy/{key}": blob for key, blob in DATASET.items()}}) as mine:
        neurofetch.lock(paper).get(
            tmp_path / "again",
            places="s3://mine/copy",
            profile="lab",
            endpoint=mine.url,
            progress="none",
        )
    told = json.loads((tmp_path / "again" / ".neurofetch" / "source.json").read_text())
    assert (told["server"], told["profile"], told["signed"]) == ("", "", False)
