"""What names a data set, which version is meant, and JSON that is read as it comes. All pure."""

from __future__ import annotations

import json
import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.errors import NothingMatchedError, UsageError
from neurofetch.sources.json_stream import BrokenJsonError, read_json
from neurofetch.sources.openneuro_address import Address, parse_openneuro
from neurofetch.sources.openneuro_rows import Rows, is_signed, without_signature
from neurofetch.sources.openneuro_versions import Version, is_draft, newest, versions_of
from testbed._snapshots import RECORDS
from testbed.openneuro import RECORDED
from tests.sources.contract import digest_of

WHOLE = Address("ds000246")
VERSION = Address("ds000246", "1.0.1")
PART = Address("ds000246", "1.0.1", "sub-0001/meg")

NAMES = {
    "ds000246": WHOLE,
    " DS000246 ": WHOLE,
    "openneuro:ds000246": WHOLE,
    "openneuro://ds000246": WHOLE,
    "OpenNeuro:ds000246@1.0.1": VERSION,
    "openneuro:ds000246@1.0.1/": VERSION,
    "openneuro:ds000246@1.0.1/sub-0001/meg": PART,
    "openneuro:ds000246@1.0.1/sub-0001/meg/": PART,
    "ds000246/sub-0001": Address("ds000246", "", "sub-0001"),
    "ds000001@57fecb0ccce88d000ac17538": Address("ds000001", "57fecb0ccce88d000ac17538"),
    "ds000001@00006": Address("ds000001", "00006"),
    "https://openneuro.org/datasets/ds000246": WHOLE,
    "openneuro.org/datasets/ds000246": WHOLE,
    "https://www.openneuro.org/datasets/ds000246/download": WHOLE,
    "https://openneuro.org/datasets/ds000246/versions/1.0.1": VERSION,
    "https://openneuro.org/datasets/ds000246/versions/1.0.1/metadata?x=1#y": VERSION,
    "https://openneuro.org/datasets/ds000246/versions/1.0.1/file-display/sub-0001:meg": PART,
    "https://openneuro.org/datasets/ds000246/versions/1.0.1/file-display/sub-0001%3Ameg": PART,
    "https://openneuro.org/crn/datasets/ds000246/snapshots/1.0.1/files/sub-0001:meg": PART,
    "10.18112/openneuro.ds000246.v1.0.1": VERSION,
    "doi:10.18112/openneuro.ds000246.v1.0.1": VERSION,
    "DOI: 10.18112/OPENNEURO.DS000246.V1.0.1": VERSION,
    "https://doi.org/10.18112/openneuro.ds000246.v1.0.1": VERSION,
    "doi.org/10.18112/openneuro.ds000246.v1.0.1": VERSION,
    "https://doi.org/10.18112/openneuro.ds000246": WHOLE,
    "https://doi.org/10.18112/openneuro.ds000246.v1.0.1.": VERSION,
    "doi:10.18112/openneuro.ds000246.v1.0.1);": VERSION,
    "https://github.com/OpenNeuroDatasets/ds000246.git": WHOLE,
    "https://github.com/OpenNeuroDatasets/ds000246/tree/1.0.1/sub-0001/meg": PART,
    "http://localhost:9876/datasets/ds000246/versions/1.0.1": VERSION,
    **{
        f"https://github.com/OpenNeuroDatasets/ds000246{end}": meant
        for end, meant in {
            "/": WHOLE,
            "/tags": WHOLE,
            "/releases": WHOLE,
            "/tree/main": WHOLE,
            "/tree/master": WHOLE,
            "/blob/HEAD/sub-0001/meg": Address("ds000246", "", "sub-0001/meg"),
            "/tree/1.0.1": VERSION,
            "/blob/1.0.1/sub-0001/meg": PART,
            "/raw/1.0.1/sub-0001/meg": PART,
            "/raw/refs/tags/1.0.1/sub-0001/meg": PART,
            "/commits/1.0.1/": VERSION,
            "/releases/tag/1.0.1": VERSION,
            "/archive/refs/tags/1.0.1.zip": VERSION,
            "/archive/refs/tags/1.0.1.tar.gz": VERSION,
        }.items()
    },
    "https://raw.githubusercontent.com/OpenNeuroDatasets/ds000246/1.0.1/sub-0001/meg": PART,
    "https://github.com/openneurodatasets/ds000246": WHOLE,
    "git@github.com:OpenNeuroDatasets/ds000246.git": WHOLE,
    "ssh://git@github.com/OpenNeuroDatasets/ds000246": WHOLE,
}


@pytest.mark.parametrize("text", NAMES)
def test_what_a_text_names(text):
    found = parse_openneuro(text, "http://localhost:9876")
    assert found == NAMES[text]
    assert parse_openneuro(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "s3://openneuro.org/ds000246",
        "https://s3.amazonaws.com/openneuro.org/ds000246/README",
        "https://example.org/datasets/ds000246",
        "./ds000246",
        "/data/ds000246",
        "ds",
        "data",
        "",
        "http://[::1",
        "http://localhost:1/datasets/ds000246",
    ],
)
def test_what_is_about_something_else(text):
    assert parse_openneuro(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "openneuro:",
        "openneuro:x",
        "openneuro:ds",
        "ds000246@",
        "ds000246@ 1",
        "ds000246@a/../b",
        "openneuro:ds000246/../../etc",
        "https://openneuro.org",
        "https://openneuro.org/search?q=1",
        "https://openneuro.org/datasets/x",
        "https://openneuro.org/datasets/ds000246/versions/..",
        "doi:10.5281/zenodo.1",
        "10.82901/nemar.on000246.v1",
        "https://doi.org/10.18112/openneuro.x",
        "https://github.com/OpenNeuroDatasets/x",
        "https://github.com/OpenNeuroDatasets/ds000246/commit/57fecb0ccce88d000ac17538",
        "https://github.com/OpenNeuroDatasets/ds000246/compare/1.0.0...1.0.1",
        "https://github.com/OpenNeuroDatasets/ds000246/issues/7",
        "https://github.com/OpenNeuroDatasets/ds000246/tree/git-annex%20x/y",
    ],
)
def test_what_cannot_be_understood_says_how_to_write_it(text):
    with pytest.raises(UsageError, match=r"Nothing was done"):
        parse_openneuro(text)


@given(st.text(max_size=60))
def test_no_text_is_a_fault_of_ours(text):
    for start in ("", "openneuro:", "https://openneuro.org/", "doi:", "10.18112/openneuro."):
        try:
            found = parse_openneuro(start + text)
        except UsageError:
            continue
        assert found is None or found.accession.startswith("ds")


# -- versions ----------------------------------------------------------------------------------


def test_versions_come_in_the_order_in_which_they_were_made():
    rows = [
        {"tag": "1.10.0", "created": "2022"},
        {"tag": "1.9.0", "created": "2021"},
        {"tag": "57fecb0ccce88d000ac17538", "created": "2016"},
        {"tag": "a" * 40, "created": "2023"},
        None,
        {"tag": 3},
        {"created": "2020"},
    ]
    assert [one.tag for one in versions_of(rows)] == ["57fecb0ccce88d000ac17538", "1.9.0", "1.10.0"]
    undated = [{"tag": tag, "created": None} for tag in ("1.10.0", "1.9.0")]
    assert [one.tag for one in versions_of(undated)] == ["1.9.0", "1.10.0"]
    assert versions_of(None) == versions_of("x") == versions_of({}) == ()


def test_the_newest_is_what_the_server_says_unless_that_is_a_draft():
    versions = (Version("1.0.0", "2020"), Version("1.1.0", "2021"))
    assert newest("ds000001", "1.0.0", versions) == "1.0.0"
    assert newest("ds000001", "f" * 40, versions) == "1.1.0"
    assert is_draft("f" * 64)
    with pytest.raises(NothingMatchedError, match="only a draft"):
        newest("ds000001", "f" * 40, ())


# -- rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accession", "tag"), RECORDED)
def test_every_row_of_a_recorded_listing_has_a_hash(accession, tag):
    record = RECORDS / f"{accession}_{tag}.snapshot.rebuilt.json"
    if not record.exists():
        pytest.skip("the records are not here")
    told = json.loads(record.read_text())["data"]["snapshot"]["files"]
    rows = Rows("https://openneuro.org", accession)
    read, wrong = rows.joined([rows.read(row) for row in told])
    assert wrong == {}
    assert rows.notes == ()
    assert [row.file.key for row in read] == sorted(row["filename"] for row in told)
    by_name = {row["filename"]: row for row in told}
    for row in read:
        said = by_name[row.file.key]
        assert row.file.digest is not None
        assert row.file.digest.value in said["id"]
        assert (row.file.size, row.file.url) == (said["size"], said["urls"][0])
        assert row.file.ranges == ("/crn/" not in row.file.url)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://h/k?versionId=v", "https://h/k?versionId=v"),
        (
            "https://h/k?versionId=v&AWSAccessKeyId=a&Expires=1&Signature=s%2B",
            "https://h/k?versionId=v",
        ),
        (
            "https://h/k?AWSAccessKeyId=a&versionId=v&Signature=s&Expires=1",
            "https://h/k?versionId=v",
        ),
        ("https://h/k?X-Amz-Date=d&X-Amz-Signature=s", "https://h/k"),
        ("https://h/k", "https://h/k"),
    ],
)
def test_a_signature_is_taken_out_of_an_address(url, plain):
    assert without_signature(url) == plain
    assert is_signed(url) == (url != plain)


# -- JSON --------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
PATH = ("data", "rows")


def cut(raw, seed, pieces=12):
    rng = random.Random(seed)
    at = [0, *sorted(rng.randrange(len(raw) + 1) for _ in range(pieces)), len(raw)]
    return [raw[a:b] for a, b in pairwise(at)]


@given(st.lists(VALUES, max_size=5), VALUES, VALUES, st.booleans(), st.integers())
def test_json_is_read_as_the_standard_library_reads_it(rows, before, after, spaced, seed):
    document = {"before": before, "data": {"x": before, "rows": rows, "y": after}, "after": after}
    raw = json.dumps(document, ensure_ascii=False, indent=2 if spaced else None)
    raw = raw.encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    found = []
    rest = read_json(cut(raw, seed), {PATH}, found.append)
    assert found == rows
    document["data"]["rows"] = []
    assert rest == document


@given(st.lists(VALUES, max_size=3), VALUES, st.integers())
def test_what_breaks_off_is_told_apart_from_what_is_no_json(rows, value, seed):
    raw = json.dumps({"data": {"rows": rows}, "more": value}).encode()
    end = random.Random(seed).randrange(len(raw))
    with pytest.raises(BrokenJsonError) as caught:
        read_json(cut(raw[:end], seed), {PATH}, lambda _: None)
    assert caught.value.cut
    assert json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>",
        b"{'a': 1}",
        b'{"data": {"rows": [1 2]}}',
        b'{"data": {"rows": [1]]}}',
        b'{"data" 1}',
        b"{1: 2}",
        b'{"a": 1} {"b": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff"}',
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_no_json_is_told(raw):
    with pytest.raises(BrokenJsonError) as caught:
        read_json([raw], {PATH}, lambda _: None)
    assert not caught.value.cut or raw.startswith(b"[")


@pytest.mark.parametrize("raw", [b"1", b"1.5e+3 ", b"true", b'"a"', b"[]", b"{}", b" null\n"])
def test_a_document_may_be_any_value_and_come_byte_by_byte(raw):
    chunks = [raw[n : n + 1] for n in range(len(raw))]
    assert read_json(chunks, {PATH}, lambda _: None) == json.loads(raw)


def test_one_row_is_held_at_a_time():
    row = json.dumps({"name": "x" * 100, "size": 1}).encode() + b","
    count = 0

    def chunks():
        yield b'{"data": {"rows": ['
        for _ in range(2000):
            yield row * 100
        yield b"null]}}"

    def take(_):
        nonlocal count
        count += 1

    tracemalloc.start()
    read_json(chunks(), {PATH}, take)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 200_001
    assert peak < 1 << 20


def test_a_value_without_an_end_is_not_read_for_ever():
    def chunks():
        yield b'{"data": {"rows": ["'
        while True:
            yield b"x" * (1 << 20)

    with pytest.raises(BrokenJsonError, match="more than"):
        read_json(chunks(), {PATH}, lambda _: None)


def test_the_judge_of_git_hashes_is_git():
    assert digest_of("gitblob", b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
