"""A second opinion: moto checks signatures, policies and roles as its authors read AWS's pages."""

from __future__ import annotations

import pytest
from moto.core.authorization import enable_iam_authentication

import neurofetch
from neurofetch.engine import Access, Client, Network, Request
from neurofetch.errors import CredentialsError, NeurofetchError
from testbed.moto_s3 import MotoS3
from tests.credential_world import DATASET, forget_aws, set_keys, static

pytestmark = pytest.mark.slow

ODD = {
    "sub-01/b c+d.txt": b"1",
    "sub-01/ü~é.txt": b"2",
    "sub-01/(1)'!*.txt": b"3",
    "sub-01/q=1&v.txt": b"4",
    "sub-01/100%.txt": b"5",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    forget_aws(monkeypatch, home)
    return home


@pytest.fixture
def moto(home, monkeypatch):
    with MotoS3({**DATASET, **ODD}, "signed", forbidden=["*"], region="us-east-1") as server:
        server.keys = server.user("reader")
        server.arn = server.role("fetcher")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with enable_iam_authentication():
            yield server


def fetched(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".neurofetch" not in path.parts
    }


def fetch(dest, **how):
    return neurofetch.get("s3://signed", dest, progress="none", **how)


def test_a_user_with_keys_fetches_odd_names_and_all(tmp_path, moto, home, monkeypatch):
    (home / "credentials").write_text(f"[lab]\n{static(*moto.keys)}")
    fetch(tmp_path / "one", profile="lab")
    assert fetched(tmp_path / "one") == {**DATASET, **ODD}
    set_keys(monkeypatch, *moto.keys)
    fetch(tmp_path / "two", signed=True, subject="01")
    assert "sub-01/anat/sub-01_T1w.nii.gz" in fetched(tmp_path / "two")


def test_a_range_is_signed_and_so_is_who_pays(tmp_path, moto, home):
    (home / "credentials").write_text(f"[lab]\n{static(*moto.keys)}")
    access = Access.checked(profile="lab", requester_pays=True)
    with Client(Network()) as client:
        client.sign_for(moto.url, access.signer(Network(), None))
        ask = Request(f"{moto.url}/signed/participants.tsv", {"Range": "bytes=0-10"})
        with client.send(ask) as response:
            assert (response.status, response.read(99)) == (206, b"participant")


def test_a_role_is_assumed_by_another_profile(tmp_path, moto, home):
    (home / "credentials").write_text(f"[me]\n{static(*moto.keys)}")
    (home / "config").write_text(
        f"[profile work]\nrole_arn = {moto.arn}\nsource_profile = me\nregion = us-east-1\n"
        f"[profile deep]\nrole_arn = {moto.arn}\nsource_profile = work\n"
    )
    for number, profile in enumerate(("work", "deep")):
        fetch(tmp_path / str(number), profile=profile)
        assert fetched(tmp_path / str(number)) == {**DATASET, **ODD}


def test_a_role_that_may_not_be_assumed_is_told_before_any_byte(tmp_path, moto, home):
    (home / "credentials").write_text(f"[me]\n{static(moto.keys[0], 'not+the/secret')}")
    (home / "config").write_text(f"[profile work]\nrole_arn = {moto.arn}\nsource_profile = me\n")
    with pytest.raises(CredentialsError, match="the role could not be assumed") as caught:
        fetch(tmp_path / "data", profile="work")
    assert not any(secret in str(caught.value) for secret in moto.keys)
    assert not (tmp_path / "data").exists()


def test_a_wrong_secret_is_refused(tmp_path, moto, home):
    (home / "credentials").write_text(f"[lab]\n{static(moto.keys[0], 'not+the/secret')}")
    with pytest.raises(NeurofetchError, match="the profile 'lab'") as caught:
        fetch(tmp_path / "data", profile="lab")
    assert not any(secret in str(caught.value) for secret in moto.keys)
