"""Files of buckets that ask who you are, opened with credentials that are named."""

import multiprocessing
import pickle
from pathlib import Path

import dask.dataframe as dd
import pytest

import neurofetch
import neurofetch.opening.filesystem as filesystem
from neurofetch.errors import CredentialsError, RefusedError, UsageError
from neurofetch.opening import cached_path
from tests.credential_world import SECRETS, forget_aws, guarded, set_keys, static
from tests.engine_world import noise

DATA = noise(300_000)
ROWS = b"participant_id,age\n" + b"".join(b"sub-%02d,30\n" % n for n in range(400))


@pytest.fixture
def s3(tmp_path, monkeypatch):
    """A bucket that lets in who signs; keys are in the environment, and nobody named them yet."""
    forget_aws(monkeypatch, tmp_path)
    monkeypatch.setenv("NEUROFETCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
    with guarded({"a.nii": DATA, "t.csv": ROWS}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        set_keys(monkeypatch)
        yield server


def shown(folder: Path) -> str:
    """All that a folder says: names and contents."""
    return "".join(
        f"{one} {one.read_bytes() if one.is_file() else ''!r}" for one in folder.rglob("*")
    )


def test_nobodys_keys_are_used_unless_they_are_named_and_a_refusal_says_how(s3):
    with pytest.raises(RefusedError, match=r"--signed.*signed=True|profile="):
        neurofetch.open("s3://b/a.nii")
    assert all("authorization" not in one.headers for one in s3.requests())


def test_keys_of_the_environment_and_of_a_profile_open_a_file(s3, tmp_path, monkeypatch):
    with neurofetch.open("s3://b/a.nii", signed=True, block_size="64 KiB") as file:
        file.seek(100_000)
        assert file.read(10) == DATA[100_000:100_010]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError):
        neurofetch.open("s3://b/t.csv", signed=True, cache_dir=tmp_path / "another")
    (tmp_path / "credentials").write_text(f"[lab]\n{static()}")
    assert cached_path("s3://b/a.nii", profile="lab").read_bytes() == DATA
    fs = filesystem.NeurofetchFileSystem(profile="lab", skip_instance_cache=True)
    assert fs.ls("b", detail=False) == ["b/a.nii", "b/t.csv"]
    with pytest.raises(CredentialsError, match="nobody"):
        neurofetch.open("s3://b/a.nii", profile="nobody")


def test_an_endpoint_can_be_named_for_one_file(s3, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    with neurofetch.open("s3://b/a.nii", endpoint=s3.url, signed=True) as file:
        assert file.read() == DATA
    with pytest.raises(UsageError):
        neurofetch.open("s3://b/a.nii", endpoint="nonsense")
    with pytest.raises(UsageError):
        neurofetch.open("s3://b/a.nii", signed=True, profile="lab")


def _read(fs):
    return fs.cat_file("b/a.nii")


def test_no_key_is_in_what_goes_to_other_processes_nor_in_the_cache(s3, tmp_path):
    fs = filesystem.NeurofetchFileSystem(signed=True, skip_instance_cache=True)
    options = {"signed": True}
    table = dd.read_csv("neurofetch://b/t.csv", storage_options=options, blocksize=2000)
    assert table["age"].sum().compute(scheduler="threads") == 400 * 30
    with fs.open("b/a.nii") as file:
        assert file.read() == DATA
        told = pickle.dumps(file) + pickle.dumps(fs) + pickle.dumps(table)
        told += repr((file, fs, fs.to_json(), dict(table.dask))).encode()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_read, (fs,)) == DATA
    kept = shown(tmp_path / "cache")
    for secret in SECRETS:
        assert secret.encode() not in told
        assert secret not in kept
