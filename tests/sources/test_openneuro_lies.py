"""What a listing of OpenNeuro says that cannot be: each is told, and nothing else is lost."""

import os

import pytest

import neurofetch
from neurofetch.errors import ProtocolError
from neurofetch.model import IncompleteError, Status
from testbed.openneuro import OpenNeuro, small_tree

WHAT = "openneuro:ds000700@1.0.0"
TREE = small_tree(subjects=1)


@pytest.fixture
def site(monkeypatch):
    with OpenNeuro() as site:
        site.add("ds000700", {"1.0.0": TREE})
        monkeypatch.setenv("OPENNEURO_URL", site.url)
        yield site


def say(site, name, **more):
    row = {"id": "1" * 40, "filename": name, "size": 5, "directory": False, "annexed": False}
    site.datasets["ds000700"].snapshots["1.0.0"].more = [{**row, "urls": [], **more}]


@pytest.mark.parametrize(
    "url",
    [
        "http://me:secret@127.0.0.1:1/x?Signature=secret",
        "http://secret@127.0.0.1/x",
        "http://127.0.0.1:99999/x?token=secret",
        "http://127.0.0.1:0/x",
        "http:///x",
        "http://[::1/x",
        "http://[::::]/x",
        "javascript:secret//x@/x",
        "ftp://me:secret@127.0.0.1/x",
        "file:///etc/passwd",
        "//127.0.0.1/x",
        "http://127.0.0.1",
    ],
)
def test_an_address_that_cannot_be_asked_is_told_before_a_byte_moves_and_no_secret(
    site, tmp_path, url
):
    say(site, "more.txt", urls=[url])
    with pytest.raises(ProtocolError, match=r"none for 'more\.txt'.*Nothing was fetched") as caught:
        neurofetch.get(WHAT, tmp_path / "data", progress="none")
    if "@" in url or "?" in url:
        assert "secret" not in str(caught.value).replace("javascript:secret", "")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["a\ud800b", "\udc80", "d\udfff/x.nii.gz", "sub-01/\ud83d"])
@pytest.mark.parametrize("urls", [[], ["http://127.0.0.1:1/x\ud800?versionId=1"]])
def test_a_name_of_half_a_letter_is_named_and_the_others_come(site, tmp_path, name, urls):
    say(site, name, urls=urls)
    with pytest.raises(IncompleteError, match="not valid UTF-8") as caught:
        neurofetch.get(WHAT, tmp_path / "data", progress="none")
    assert len(caught.value.report.of(Status.FETCHED)) == len(TREE)


@pytest.mark.parametrize("called", ["MD5E-s5--\n", "a b\r\nHost: c", "é", "\ud800", "x?y#z"])
def test_an_id_that_no_request_can_carry_is_quoted(site, tmp_path, called):
    say(site, "more.txt", id=called)
    with pytest.raises(IncompleteError, match="404 Not Found") as caught:
        neurofetch.get(WHAT, tmp_path / "data", progress="none")
    assert len(caught.value.report.of(Status.FETCHED)) == len(TREE)


@pytest.mark.parametrize(
    "name",
    [".git/config", ".git/hooks/post-checkout", "sub-01/.git", "a/.GIT/x", ".git /x", "GIT~1/x"],
)
@pytest.mark.parametrize("here", [True, False], ids=["clone", "new"])
def test_what_is_gits_own_is_never_written(site, tmp_path, name, here):
    say(site, name, size=len(TREE["README"]), id="MD5E-s5--5d41402abc4b2a76b9719d911017c592.gz")
    data = tmp_path / "data"
    if here:
        (data / name).parent.mkdir(parents=True)
        (data / name).write_bytes(b"[core]\n")
    report = neurofetch.get(WHAT, data, progress="none")
    assert report.ok
    assert any("git keeps its own" in note for note in report.notes)
    assert ((data / name).read_bytes() == b"[core]\n") if here else not (data / name).exists()


@pytest.mark.parametrize("name", [".gitattributes", ".gitignore", "a.git", "x/.github/y", "git"])
def test_what_only_looks_like_gits_own_comes(site, tmp_path, name):
    site.add("ds000701", {"1.0.0": {**TREE, name: b"words"}})
    assert neurofetch.get("openneuro:ds000701", tmp_path / "data", progress="none").ok
    assert (tmp_path / "data" / name).read_bytes() == b"words"


OTHERS = [
    ({"dataset": {"id": "ds000999"}}, "ds000999@1.0.0"),
    ({"snapshot": {"id": "ds000999:1.0.0"}}, "ds000999@1.0.0"),
    ({"snapshot": {"tag": "9.9.9"}}, "ds000700@9.9.9"),
    ({"snapshot": {"tag": 7}}, "ds000700@7"),
]


@pytest.mark.parametrize(
    ("asked", "which", "said"),
    [
        *((asked, *other) for asked in ("@1.0.0", "@v1.0.0") for other in OTHERS),
        *(("", *other) for other in OTHERS[:2]),  # whatever the newest is called, it is that
    ],
)
def test_an_answer_about_another_version_than_was_asked_for_is_none(
    site, tmp_path, monkeypatch, asked, which, said
):
    answer = site.api.answer

    def other(body, may_read):
        status, document = answer(body, may_read)
        data = document["data"]
        snapshot = data.get("snapshot") or data["dataset"].get("latestSnapshot") or {}
        if snapshot.get("tag") != "1.0.0":
            return status, document
        data["dataset"].update(which.get("dataset", {}))
        snapshot.update(which.get("snapshot", {}))
        return status, document

    monkeypatch.setattr(site.api, "answer", other)
    with pytest.raises(ProtocolError, match=rf"files of {said}, and was.*Nothing was fetched"):
        neurofetch.get(f"openneuro:ds000700{asked}", tmp_path / "data", progress="none")
    assert not os.listdir(tmp_path)
