"""Data sets that are not public: who gets them, and where the token is, and is not, to be found."""

import json
import logging

import pytest

import neurofetch
from neurofetch.errors import RefusedError
from neurofetch.model import IncompleteError
from testbed.openneuro import EXPIRED, OpenNeuro, small_tree, token_of
from tests.faces import Shell

TREE = small_tree()
PRIVATE = "ds000300"


@pytest.fixture
def site(monkeypatch, tmp_path):
    with OpenNeuro() as server:
        server.add(PRIVATE, {"1.0.0": TREE}, public=False)
        server.add("ds000301", {"1.0.0": TREE}, public=False, export_git=False)
        server.add("ds000001", {"1.0.0": TREE}, export_git=False)
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.delenv("OPENNEURO_API_KEY", raising=False)
        monkeypatch.chdir(tmp_path)
        yield server


def fetched(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".neurofetch" not in path.parts
    }


def secrets_in(texts, token):
    """What of a token, or of a signature, stands in any of these texts."""
    marks = [token, token.split(".")[2], "Signature", "AWSAccessKeyId"]
    return [mark for mark in marks for text in texts if mark in text]


@pytest.mark.parametrize("accession", [PRIVATE, "ds000301"], ids=["signed", "streamed"])
@pytest.mark.parametrize("kind", ["key", "reviewer", "file"])
def test_a_private_data_set_comes_with_a_token_that_only_the_site_sees(
    site, monkeypatch, tmp_path, caplog, accession, kind
):
    token = site.grant(accession)
    if kind == "key":
        monkeypatch.setenv("OPENNEURO_API_KEY", token)
    elif kind == "reviewer":
        link = site.reviewer_link(accession)
        token = link.rpartition("/")[2]
        monkeypatch.setenv("OPENNEURO_API_KEY", link)
    else:
        path = tmp_path / ".config/openneuro/config.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({site.url: token}))
    events = []
    with caplog.at_level(logging.DEBUG):
        plan = neurofetch.plan(f"openneuro:{accession}", tmp_path / "data")
        report = neurofetch.get(f"openneuro:{accession}", tmp_path / "data", progress=events.append)
    assert fetched(tmp_path / "data") == TREE
    assert all(r.headers["authorization"] == f"Bearer {token}" for r in site.log)
    sent = [json.dumps([r.target.partition("?")[0], dict(r.headers)]) for r in site.bucket.log]
    assert secrets_in(sent, token) == []
    assert (len(site.bucket.log) > 0) == (accession == PRIVATE or "gz" in str(TREE))
    left = [p.read_text(errors="replace") for p in (tmp_path / "data").rglob("*") if p.is_file()]
    shown = [repr(plan), str(plan), json.dumps(plan.to_dict()), repr(report), caplog.text]
    shown += [json.dumps(report.to_dict()), plan._repr_html_(), *map(repr, events), *left]
    assert secrets_in(shown, token) == []


def test_without_a_token_it_says_how_to_get_one_and_nothing_is_made(site, tmp_path):
    with pytest.raises(RefusedError, match=r"keygen and put it into OPENNEURO_API_KEY"):
        neurofetch.get(f"openneuro:{PRIVATE}", tmp_path / "data")
    assert site.bucket.log == []
    assert not (tmp_path / "data").exists() or fetched(tmp_path / "data") == {}


@pytest.mark.parametrize("accession", ["ds000001", PRIVATE])
def test_a_wrong_token_is_told_by_where_it_is_from(site, monkeypatch, tmp_path, accession):
    value = token_of("stranger")
    monkeypatch.setenv("OPENNEURO_API_KEY", value)
    if accession == PRIVATE:
        with pytest.raises(RefusedError, match="token of OPENNEURO_API_KEY") as caught:
            neurofetch.get(f"openneuro:{accession}", tmp_path / "data")
        assert value not in str(caught.value)
        return
    plan = neurofetch.plan(f"openneuro:{accession}", tmp_path / "data")
    (told,) = [note for note in plan.notes if "OPENNEURO_API_KEY" in note]
    assert "wrong or withdrawn" in told
    neurofetch.get(f"openneuro:{accession}", tmp_path / "data")
    assert fetched(tmp_path / "data") == TREE  # the streamed ones too: none is asked for with it


def test_a_token_that_has_ended_is_no_reason_not_to_fetch_public_data(site, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENNEURO_API_KEY", token_of(seconds=EXPIRED))
    neurofetch.get("openneuro:ds000001", tmp_path / "data")
    assert fetched(tmp_path / "data") == TREE
    assert not any("authorization" in r.headers for r in site.log)
    with pytest.raises(RefusedError, match=r"ended on \d{4}-\d\d-\d\d"):
        neurofetch.get(f"openneuro:{PRIVATE}", tmp_path / "other")


def test_a_redirect_to_another_server_takes_no_token_along(site, monkeypatch, tmp_path):
    token = site.grant("ds000301")
    monkeypatch.setenv("OPENNEURO_API_KEY", token)
    snapshot = site.datasets["ds000301"].newest
    key = f"crn/datasets/ds000301/objects/{snapshot.files['README'].id}"
    version = site.bucket.export("public/README", snapshot.files["README"].blob)
    elsewhere = site.bucket.address("public/README", version)
    site.fault(key=key, status=302, headers={"Location": elsewhere})
    neurofetch.get("openneuro:ds000301", tmp_path / "data")
    assert fetched(tmp_path / "data") == TREE
    (asked,) = site.bucket.requests(key="public/README")
    assert "authorization" not in asked.headers
    assert "cookie" not in asked.headers


def test_signed_addresses_that_expire_meanwhile_are_asked_for_anew(monkeypatch, tmp_path):
    with OpenNeuro(lifetime=600) as site:
        site.add(PRIVATE, {"1.0.0": TREE}, public=False)
        monkeypatch.setenv("OPENNEURO_URL", site.url)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("OPENNEURO_API_KEY", site.grant(PRIVATE))
        body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        site.bucket.fault(key="*_T1w.nii.gz", times=1, status=403, body=body)
        neurofetch.get(f"openneuro:{PRIVATE}", tmp_path / "data")
        assert fetched(tmp_path / "data") == TREE


def test_a_token_is_not_in_what_the_command_prints(site, tmp_path):
    token = site.grant(PRIVATE)
    shell = Shell(tmp_path, "")
    shell.env |= {"OPENNEURO_URL": site.url, "OPENNEURO_API_KEY": token}
    lines = [
        f"neurofetch get openneuro:{PRIVATE} --data-dir data --dry-run --json",
        f"neurofetch get openneuro:{PRIVATE} --data-dir data --json --progress json",
        f"neurofetch get openneuro:{PRIVATE} --data-dir data --paths",
        "neurofetch verify data --hash --json",
        f"neurofetch openneuro info {PRIVATE} --json",
    ]
    for line in lines:
        done = shell(line)
        assert done.code == 0, done.err
        assert secrets_in([done.out, done.err], token) == []


def test_files_that_the_bucket_refuses_are_told_without_their_signatures(
    site, monkeypatch, tmp_path
):
    token = site.grant(PRIVATE)
    monkeypatch.setenv("OPENNEURO_API_KEY", token)
    site.bucket.fault(key="*_T1w.nii.gz", status=403)
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get(f"openneuro:{PRIVATE}", tmp_path / "data")
    assert secrets_in([str(caught.value), json.dumps(caught.value.report.to_dict())], token) == []
