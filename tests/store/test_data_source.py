"""What a data directory remembers of its data set, and that another one is refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import neurofetch
from neurofetch.engine import Dataset, Fetcher, Listing, query
from neurofetch.errors import DestinationError, OtherDatasetError, UnsafeNameError
from neurofetch.events import Planned
from neurofetch.model import Action, Receipt, Status, VerificationLevel
from neurofetch.store.data_source import (
    DataSource,
    check_source,
    described,
    plain_url,
    read_sources,
    remember,
)
from neurofetch.store.findings import Audit
from neurofetch.store.folder import Folder
from neurofetch.store.origins import origin_of
from neurofetch.store.receipts import read_receipts
from testbed.s3 import S3Server

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = DataSource("bids", "s3://b/ds1", tool="neurofetch 1")
TWO = DataSource("bids", "s3://b/ds2", tool="neurofetch 1")
DESCRIPTION = {"Name": "One", "DatasetDOI": "doi:10.18112/openneuro.ds000001.v1.2.0"}
FILES = {
    "ds1/dataset_description.json": json.dumps(DESCRIPTION).encode(),
    "ds1/README": b"one",
    "ds1/sub-01/anat/sub-01_T1w.nii.gz": b"1",
    "ds2/dataset_description.json": b'{"Name": "Two"}',
    "ds2/README": b"two",
    "ds2/sub-02/anat/sub-02_T1w.nii.gz": b"2",
}


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"b": dict(FILES), "other": {"ds1/README": b"other"}}) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def state(dest):
    return dest / ".neurofetch"


def get(url, dest, **how):
    return neurofetch.get(url, dest, **{"progress": "none", **how})


def content(dest):
    states = {".neurofetch", ".another"}
    found = (p for p in dest.rglob("*") if p.is_file() and states.isdisjoint(p.parts))
    return {p.relative_to(dest).as_posix(): p.read_bytes() for p in found}


# -- what is remembered ----------------------------------------------------------------------------


def test_a_directory_remembers_what_was_fetched_from_where(s3, dest, state):
    get("s3://b/ds1", dest)
    (source,) = read_sources(state)
    host = s3.url.rpartition("/")[2]
    assert (source.kind, source.url, source.endpoint) == ("bids", "s3://b/ds1", host)
    assert (source.name, source.version) == ("One", "1.2.0")
    assert source.doi == DESCRIPTION["DatasetDOI"]
    assert source.tool == f"neurofetch {neurofetch.__version__}"
    assert datetime.fromisoformat(source.first) <= datetime.now(UTC)
    said = json.loads((state / "source.json").read_bytes())
    assert said["format_version"] == 1
    assert os.listdir(state / "partial") == []


def test_credentials_are_never_written_down(s3, dest, state, monkeypatch):
    secret = s3.url.replace("://", "://me:secret@")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", secret)
    get("s3://b/ds1", dest)
    assert b"secret" not in (state / "source.json").read_bytes()


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://u:p@h/x", "https://h/x"),
        ("https://u@h:8/x?sig=1#f", "https://h:8/x"),
        ("https://h/x", "https://h/x"),
        ("http://u:p@[::1]:9/", "http://[::1]:9/"),
        ("https://a:b@c@h/x", "https://h/x"),
    ],
)
def test_a_url_is_freed_of_what_is_secret(url, plain):
    assert plain_url(url) == plain


def test_the_times_of_the_first_and_the_last_run_are_kept(state):
    assert remember(state, ONE, mix=False, now=NOW) == ""
    remember(state, replace(ONE, tool="neurofetch 2"), mix=False, now=NOW + timedelta(days=3))
    (source,) = read_sources(state)
    assert (source.first, source.last) == ("2026-03-01T12:00:00+00:00", "2026-03-04T12:00:00+00:00")
    assert source.tool == "neurofetch 2"


def test_runs_that_follow_each_other_closely_write_once(state):
    remember(state, ONE, mix=False, now=NOW)
    before = (state / "source.json").stat().st_ino
    remember(state, ONE, mix=False, now=NOW + timedelta(seconds=20))
    assert (state / "source.json").stat().st_ino == before


def test_a_dry_run_remembers_nothing(s3, dest):
    neurofetch.plan("s3://b/ds1", dest)
    assert not dest.exists()


DESCRIBED = {
    "nothing": ({}, ("", "", "")),
    "a name": ({"dataset_description.json": b'{"Name": " A "}'}, ("A", "", "")),
    "CHANGES": ({"CHANGES": b"1.0.3 2020-01-02\n - x\n1.0.2 2019-01-01\n"}, ("", "", "1.0.3")),
    "no version in CHANGES": ({"CHANGES": b"we changed\n"}, ("", "", "")),
    "no JSON": ({"dataset_description.json": b"{"}, ("", "", "")),
    "a list": ({"dataset_description.json": b"[1]"}, ("", "", "")),
    "a number": ({"dataset_description.json": b'{"Name": 3, "DatasetDOI": null}'}, ("", "", "")),
    "no UTF-8": ({"dataset_description.json": b'{"Name": "\xff"}'}, ("", "", "")),
    "very deep": ({"dataset_description.json": b"[" * 100_000}, ("", "", "")),
    "very large": ({"dataset_description.json": b'{"Name": "x"}' + b" " * (2 << 20)}, ("", "", "")),
    "half a letter": (
        {"dataset_description.json": b'{"Name": "x\\ud800", "DatasetDOI": "\\udcff.v1.0"}'},
        ("x?", "?.v1.0", "1.0"),
    ),
    "a DOI": (
        {"dataset_description.json": b'{"DatasetDOI": "10.18112/openneuro.ds003.v1.0.0"}'},
        ("", "10.18112/openneuro.ds003.v1.0.0", "1.0.0"),
    ),
}


@pytest.mark.parametrize("case", DESCRIBED)
def test_what_a_data_set_says_of_itself_may_be_anything(tmp_path, case):
    files, expected = DESCRIBED[case]
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    source = described(tmp_path, ONE)
    assert (source.name, source.doi, source.version) == expected
    state = tmp_path / ".neurofetch"
    remember(state, source, mix=False)
    assert read_sources(state)[0].name == expected[0]


@pytest.mark.parametrize("more", [{}, {"objects": "https://h/"}, {"server": "https://h:1"}])
def test_half_a_letter_in_the_key_of_a_receipt_is_an_address_that_is_not_known(more):
    source = replace(ONE, **more)
    for key in ("ds1/\ud800", "\udc00", "ds1/a\udbffb", "\udfff/x.nii", "ds1/\udc80\ud800"):
        receipt = Receipt("a", key, "0" * 32, 1, 1, VerificationLevel.CHECKSUM, "", when=1.0)
        audit = Audit(Path(), (), 0.0, {"a": receipt}, {"": source})
        assert audit.url(receipt) == source.object_url(key) == ""
        assert origin_of(receipt, source) == ("", key)


# -- the same, and another -------------------------------------------------------------------------


def test_a_second_data_set_is_refused_before_any_byte_moves(s3, dest):
    get("s3://b/ds1", dest)
    before = content(dest)
    s3.clear_log()
    for act in (get, neurofetch.plan):
        with pytest.raises(OtherDatasetError) as caught:
            act("s3://b/ds2", dest)
        for part in ("One (s3://b/ds1", "s3://b/ds2", "Nothing was fetched", "--mix", "mix=True"):
            assert part in str(caught.value)
    assert s3.requests("GET") == []
    assert content(dest) == before


def test_another_bucket_is_refused_before_it_is_listed(s3, dest):
    get("s3://b/ds1", dest)
    s3.clear_log()
    with pytest.raises(OtherDatasetError, match="s3://other/ds1"):
        get("s3://other/ds1", dest)
    assert s3.log == []


@pytest.mark.parametrize("url", ["s3://b/ds1", "s3://b/ds1/", "s3://b/ds1//"])
def test_the_same_data_set_may_be_written_in_several_ways(s3, dest, url):
    get("s3://b/ds1/", dest)
    assert get(url, dest).ok


def test_a_mirror_is_the_same_data_set(s3, dest, state, monkeypatch):
    get("s3://b/ds1", dest)
    with S3Server({"b": dict(FILES)}) as mirror:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", mirror.url)
        assert get("s3://b/ds1", dest, region="eu-west-1").ok
    (source,) = read_sources(state)
    assert source.endpoint == mirror.url.rpartition("/")[2]


SAME = ["s3://b/ds1", "s3://b/ds1/"]
OTHER = ["s3://b/ds10", "s3://b/ds", "s3://b", "s3://c/ds1", "s3://b/DS1", "s3://b/ds1/derivatives"]


@pytest.mark.parametrize("url", SAME)
def test_one_identity_for_one_data_set(tmp_path, state, url):
    remember(state, ONE, mix=False)
    assert check_source(state.parent, state, replace(ONE, url=url), mix=False) == ""


@pytest.mark.parametrize("url", OTHER)
def test_names_that_begin_alike_are_other_data_sets(state, url):
    remember(state, ONE, mix=False)
    with pytest.raises(OtherDatasetError):
        check_source(state.parent, state, replace(ONE, url=url), mix=False)
    with pytest.raises(OtherDatasetError):
        remember(state, replace(ONE, url=url), mix=False)


def test_neurovault_is_one_whatever_its_address(state):
    vault = DataSource("neurovault", "https://neurovault.org/api/")
    remember(state, vault, mix=False)
    assert (
        check_source(state.parent, state, replace(vault, url="http://127.0.0.1:1/"), mix=False)
        == ""
    )


def test_the_data_set_of_another_package_in_the_same_folder_is_one_more(s3, dest):
    remember(dest / ".laion_fmri", DataSource("laion-fmri", "s3://laion-fmri"), mix=False)
    with pytest.raises(OtherDatasetError, match="s3://laion-fmri"):
        get("s3://b/ds1", dest)
    assert get("s3://b/ds1", dest, mix=True).ok
    assert get("s3://b/ds1", dest).ok, "it is remembered now"


# -- directories of older versions -----------------------------------------------------------------


def forget(state):
    for path in state.glob("source*.json"):
        path.unlink()


def test_a_directory_of_an_older_version_is_adopted_quietly(s3, dest, state, recwarn):
    get("s3://b/ds1", dest)
    forget(state)
    assert get("s3://b/ds1", dest).notes == ()
    (source,) = read_sources(state)
    assert source.url == "s3://b/ds1"
    assert not recwarn.list


def test_a_directory_of_an_older_version_is_told_by_its_receipts(s3, dest, state):
    get("s3://b/ds1", dest)
    forget(state)
    with pytest.raises(OtherDatasetError, match="holds another data set: files from ds1/"):
        get("s3://b/ds2", dest)
    assert get("s3://b/ds1/sub-01", dest).ok, "a folder of the same data set"


def test_files_of_others_are_no_data_set(s3, dest):
    dest.mkdir()
    (dest / "mine.txt").write_bytes(b"mine")
    assert get("s3://b/ds1", dest).ok


# -- several in one --------------------------------------------------------------------------------


def test_with_mix_both_are_here_and_both_are_remembered(s3, dest, state):
    get("s3://b/ds1", dest)
    report = neurofetch.plan("s3://b/ds2", dest, mix=True)
    assert [step.want.path for step in report.of(Action.LEAVE)] == [
        "README",
        "dataset_description.json",
    ]
    with pytest.raises(neurofetch.IncompleteError, match=r"another data set has this name here"):
        get("s3://b/ds2", dest, mix=True)
    assert content(dest) == {
        "dataset_description.json": FILES["ds1/dataset_description.json"],
        "README": b"one",
        "sub-01/anat/sub-01_T1w.nii.gz": b"1",
        "sub-02/anat/sub-02_T1w.nii.gz": b"2",
    }
    one, two = read_sources(state)
    assert (one.url, one.name, two.url, two.name) == ("s3://b/ds1", "One", "s3://b/ds2", "")
    receipts = read_receipts(state)
    assert receipts["sub-01/anat/sub-01_T1w.nii.gz"].source == ""
    assert receipts["sub-02/anat/sub-02_T1w.nii.gz"].source == two.key
    assert get("s3://b/ds1", dest).ok
    assert get("s3://b/ds2", dest, include="sub-02/**", exclude=["README", "*.json"]).ok


def test_with_mix_no_file_is_replaced_even_when_that_is_asked_for(s3, dest):
    get("s3://b/ds1", dest)
    with pytest.raises(neurofetch.IncompleteError):
        get("s3://b/ds2", dest, mix=True, overwrite=True)
    assert content(dest)["README"] == b"one"
    s3.put("ds1/README", b"one, new", bucket="b")
    get("s3://b/ds1", dest)
    assert content(dest)["README"] == b"one, new"


def test_a_file_of_the_second_is_not_replaced_by_one_of_the_first(s3, dest):
    get("s3://b/ds1", dest, include="sub-01/**", exclude=["README", "*.json"])
    get("s3://b/ds2", dest, mix=True)
    assert content(dest)["README"] == b"two"
    with pytest.raises(neurofetch.IncompleteError, match="'ds2/README' there"):
        get("s3://b/ds1", dest)
    assert content(dest)["README"] == b"two"


def test_with_mix_what_is_the_same_to_the_byte_is_no_clash(s3, dest):
    s3.put("ds2/README", b"one", bucket="b")
    get("s3://b/ds1", dest)
    report = get("s3://b/ds2", dest, mix=True, exclude="*.json")
    assert {outcome.path: outcome.status.value for outcome in report} == {
        "README": "kept",
        "sub-02/anat/sub-02_T1w.nii.gz": "fetched",
    }


def during(act):
    """Return a listener that does something once, when the plan is made and nothing has moved."""

    def listen(event):
        if isinstance(event, Planned):
            act()

    return listen


@pytest.mark.parametrize("theirs", [b"one", b"two!"], ids=["same size", "other size"])
def test_of_two_first_runs_that_mix_neither_takes_a_file_of_the_other_for_its_own(
    s3, dest, state, theirs
):
    s3.put("ds1/README", b"uno", bucket="b")
    s3.put("ds2/README", theirs, bucket="b")
    with pytest.raises(neurofetch.IncompleteError) as caught:
        get(
            "s3://b/ds1",
            dest,
            mix=True,
            exclude="*.json",
            progress=during(lambda: get("s3://b/ds2", dest, mix=True, exclude="*.json")),
        )
    (failed,) = caught.value.report.of(Status.FAILED)
    assert failed.path == "README"
    assert "a file of another data set has this name here (it was 'ds2/README'" in failed.reason
    assert content(dest) == {
        "README": theirs,
        "sub-01/anat/sub-01_T1w.nii.gz": b"1",
        "sub-02/anat/sub-02_T1w.nii.gz": b"2",
    }
    assert neurofetch.verify(dest, read_all=True, remote=True).verified


def test_what_another_run_of_the_same_data_set_fetched_meanwhile_is_not_fetched_again(s3, dest):
    report = get("s3://b/ds1", dest, progress=during(lambda: get("s3://b/ds1", dest, mix=True)))
    assert [outcome.status.value for outcome in report] == ["kept"] * 3


def other_package(dest, base, kind="another"):
    """Fetch a data set as a package of its own does, which has a state folder of its own."""
    dataset = Dataset("Another", "b", base=base, state=".another", kind=kind)
    dest.mkdir(exist_ok=True)
    with Fetcher(dataset, dest) as fetcher:
        listing = Listing((base,))
        return fetcher.run(fetcher.prepare(lambda: fetcher.choose(query(), listing)))


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "meanwhile"])
def test_with_mix_no_file_of_another_package_is_replaced(s3, dest, meanwhile):
    def theirs():
        other_package(dest, "ds2/")

    if not meanwhile:
        theirs()
    with pytest.raises(neurofetch.IncompleteError, match="'ds2/README' there"):
        get("s3://b/ds1", dest, mix=True, progress=during(theirs) if meanwhile else "none")
    assert content(dest)["README"] == b"two"
    other_package(dest, "ds2/")
    assert content(dest)["README"] == b"two", "and it needs nothing again"


def test_a_package_of_its_own_is_not_told_of_an_option_that_it_lacks(s3, dest):
    get("s3://b/ds1", dest)
    with pytest.raises(OtherDatasetError, match=r"Choose another data directory\.$"):
        other_package(dest, "ds2/")


def test_the_same_data_set_by_another_package_shares_its_files(s3, dest):
    other_package(dest, "ds1/")
    s3.put("ds1/README", b"one, new", bucket="b")
    report = get("s3://b/ds1", dest)
    assert {outcome.path: outcome.status.value for outcome in report}["README"] == "fetched"
    assert content(dest)["README"] == b"one, new"


# -- what may be found in the file -----------------------------------------------------------------


def test_a_newer_version_is_refused_kindly(s3, dest, state):
    get("s3://b/ds1", dest)
    said = json.loads((state / "source.json").read_text())
    (state / "source.json").write_text(json.dumps({**said, "format_version": 2}))
    with pytest.raises(DestinationError, match=r"newer version of neurofetch.*pip install -U"):
        get("s3://b/ds1", dest)
    assert json.loads((state / "source.json").read_text())["format_version"] == 2


def test_what_a_later_version_adds_is_passed_over(state):
    remember(state, ONE, mix=False, now=NOW)
    said = json.loads((state / "source.json").read_text())
    (state / "source.json").write_text(json.dumps({**said, "new": [1]}))
    assert read_sources(state)[0].url == ONE.url


DAMAGED = {
    "nothing": b"",
    "half": b'{"format_version": 1, "kind": "bi',
    "a list": b"[]",
    "a text": b'"x"',
    "no version": b'{"kind": "bids", "url": "s3://b"}',
    "no kind": b'{"format_version": 1, "url": "s3://b"}',
    "no URL": b'{"format_version": 1, "kind": "bids"}',
    "a number for a kind": b'{"format_version": 1, "kind": 5, "url": "s3://b"}',
    "a list for a URL": b'{"format_version": 1, "kind": "bids", "url": []}',
    "zeros": bytes(100),
    "no UTF-8": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "half a letter": b'{"format_version": 1, "kind": "bids", "url": "s3://b/\\ud800"}',
    "half a letter in a name": b'{"format_version": 1, "kind": "bids", "url": "s3://b", '
    b'"name": "\\udcff"}',
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named_with_what_can_be_done(s3, dest, state, case):
    get("s3://b/ds1", dest)
    (state / "source.json").write_bytes(DAMAGED[case])
    with pytest.raises(DestinationError, match=r"source\.json.*damaged.*Remove that file"):
        get("s3://b/ds1", dest)
    (state / "source.json").unlink()
    assert get("s3://b/ds1", dest).ok


def test_a_state_folder_that_is_a_link_is_neither_read_nor_written(dest, state, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    dest.mkdir()
    state.symlink_to(outside)
    with pytest.raises(UnsafeNameError):
        read_sources(state)
    with pytest.raises(UnsafeNameError):
        remember(state, ONE, mix=False)
    assert os.listdir(outside) == []


def test_a_link_in_the_place_of_the_file_is_not_followed(dest, state, tmp_path):
    state.mkdir(parents=True)
    (tmp_path / "outside").write_text("{}")
    (state / "source.json").symlink_to(tmp_path / "outside")
    with pytest.raises(DestinationError, match=r"source\.json.*damaged"):
        read_sources(state)


def test_a_file_that_another_run_makes_at_this_moment_is_read_and_not_called_damaged(
    state, monkeypatch
):
    remember(state, ONE, mix=False)
    read, calls = Folder.read, []

    def late(self, name, limit=None):
        calls.append(name)
        if len(calls) == 1:
            raise FileNotFoundError(name)
        return read(self, name, limit)

    monkeypatch.setattr(Folder, "read", late)
    assert [one.identity for one in read_sources(state)] == [ONE.identity]


@pytest.mark.parametrize("here", ["1.0.0", "", "2"])
@pytest.mark.parametrize("asked", ["1.0.0", ""])
@pytest.mark.parametrize("update", [True, False])
def test_a_version_that_another_run_has_begun_is_replaced_by_an_update_alone(
    state, here, asked, update
):
    one = replace(ONE, url="openneuro:ds000001")
    remember(state, replace(one, version=here), mix=False)
    if update or not here or not asked or here == asked:
        assert remember(state, replace(one, version=asked), mix=False, update=update) == ""
        assert read_sources(state)[0].version == (asked or here)
    else:
        with pytest.raises(OtherDatasetError, match=r"holds version 2 of .*would be 1\.0\.0"):
            remember(state, replace(one, version=asked), mix=False, update=update)
        assert read_sources(state)[0].version == here


def test_a_folder_in_the_place_of_the_file_is_named(s3, dest, state):
    get("s3://b/ds1", dest)
    (state / "source.json").unlink()
    (state / "source.json").mkdir()
    with pytest.raises(DestinationError, match=r"source\.json.*damaged"):
        get("s3://b/ds1", dest)
    with pytest.raises(DestinationError, match=r"source\.json.*damaged"):
        neurofetch.verify(dest, remote=True)


def test_a_disk_without_second_names_will_do(state, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert remember(state, ONE, mix=False) == ""
    with pytest.raises(OtherDatasetError):
        remember(state, TWO, mix=False)


def test_a_directory_that_takes_no_file_can_be_planned_for(s3, dest, state):
    get("s3://b/ds1", dest)
    before = (state / "source.json").read_bytes()
    for moment in range(3):
        assert neurofetch.plan("s3://b/ds1", dest).moving == (), moment
    assert (state / "source.json").read_bytes() == before


# -- many at once ----------------------------------------------------------------------------------

RACE = """
import sys
from pathlib import Path
from neurofetch.errors import OtherDatasetError
from neurofetch.store.data_source import DataSource, read_sources, remember
state, url, mix = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "mix"
sys.stdin.readline()
try:
    for _ in range(20):
        remember(state, DataSource("bids", url), mix=mix)
        assert url in [one.url for one in read_sources(state)]
    print("in")
except OtherDatasetError:
    print("refused")
"""


def race(state, urls, how):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(state), url, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for url in urls
    ]
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0].strip() for process in started]


@pytest.mark.slow
def test_of_eight_processes_with_eight_data_sets_one_gets_the_directory(state):
    urls = [f"s3://b/ds{number}" for number in range(8)]
    said = race(state, urls, "alone")
    assert sorted(said) == ["in"] + ["refused"] * 7
    (source,) = read_sources(state)
    assert source.url == urls[said.index("in")]
    assert os.listdir(state / "partial") == []


@pytest.mark.slow
def test_eight_processes_with_one_data_set_do_not_disturb_each_other(state):
    assert race(state, ["s3://b/ds1"] * 8, "alone") == ["in"] * 8
    assert len(read_sources(state)) == 1


@pytest.mark.slow
def test_eight_processes_that_mix_are_all_remembered(state):
    urls = [f"s3://b/ds{number}" for number in range(8)]
    assert race(state, urls, "mix") == ["in"] * 8
    assert {source.url for source in read_sources(state)} == set(urls)
