"""A receipt on the disk: one line of JSON, whatever the names are."""

import errno
import json
import os
import re
import shutil
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.errors import DestinationError
from neurofetch.model import Receipt, VerificationLevel
from neurofetch.store import receipts as receipts_module
from neurofetch.store.known import Receipts
from neurofetch.store.receipts import Journal, read_receipts

TEXT = st.text(st.characters(), max_size=30)
NUMBER = st.integers(0, 1 << 62)


@given(
    path=TEXT,
    key=TEXT,
    etag=TEXT,
    size=NUMBER,
    modified=NUMBER,
    level=st.sampled_from(VerificationLevel),
    digest=TEXT,
    when=st.floats(0, 4e9),
)
def test_a_line_is_what_json_itself_would_write_and_comes_back(
    tmp_path_factory, path, key, etag, size, modified, level, digest, when
):
    state = tmp_path_factory.mktemp("state")
    receipt = Receipt(path, key, etag, size, modified, level, digest, when)
    journal = Journal(state)
    journal.append(receipt)
    journal.close()
    (file,) = (state / "receipts").iterdir()
    names = ("path", "key", "etag", "size", "mtime_ns", "rung", "digest", "when", "seq")
    values = (path, key, etag, size, modified, level.value, digest, when, 1)
    expected = json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":"))
    assert file.read_text(encoding="ascii") == f"{expected}\n"
    assert read_receipts(state) == {path: receipt}


ETAGS = ["", "0123456789abcdef" * 2, "0123456789abcdef" * 2 + "-7", "odd"]
DIGESTS = ["", "md5:" + "ab" * 16, "sha256:" + "cd" * 32, "gitblob:" + "ef" * 20, "crc32:01234567"]
VERSIONS = ["", "v", "4BG3vx4rL4e8MRBSPNxdKu3hTyttqbq5", "a.b_c-d", "odd one", "ü", "x" * 300]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_of_an_object_is_kept_whatever_else_a_receipt_says(tmp_path, version):
    """By line, many lines at once, and after journals were merged; in little room or not."""
    level = VerificationLevel.CHECKSUM
    written = {
        path: Receipt(path, f"{base}{path}", etag, 7, 11, level, digest, 1.5, version=version)
        for number, etag in enumerate(ETAGS)
        for count, digest in enumerate(DIGESTS)
        for base in ("", "ds/")
        if (path := f"{base}sub-{number}/{count}.nii")
    }
    rest = list(written.values())
    for size in (1, 2, 3, len(rest)):
        for first in range(0, min(len(rest), size * 4), size):
            journal = Journal(tmp_path)
            journal.append_all(rest[first : first + size])
            journal.close()
    found = read_receipts(tmp_path)
    assert found == written
    assert {one.version for one in found.values()} == {version}
    lines = (tmp_path / "receipts").glob("*.jsonl")
    for path in lines:
        by_line = Receipts()
        for line in path.read_bytes().splitlines():
            assert by_line.add_line(line + b"\n")
        assert all(by_line[name] == written[name] for name in by_line)


LINE = (
    '{"path":"f.bin","key":"k","etag":"e","size":1,"mtime_ns":1,"rung":"size","digest":"",'
    '"when":1.0,"seq":1}\n'
)
ODD = {
    "a count without end": LINE.replace('"seq":1', '"seq":' + "9" * 4300),
    "the highest count that can be written": LINE.replace('"seq":1', '"seq":' + "9" * 4299),
    "the highest count that is believed": LINE.replace('"seq":1', f'"seq":{(1 << 63) - 1}'),
    "a size beyond reason": LINE.replace('"size":1', '"size":1' + "0" * 30),
    "a time beyond reason": LINE.replace('"mtime_ns":1', '"mtime_ns":-1' + "0" * 4000),
    "a date that is no number": LINE.replace('"when":1.0', '"when":NaN'),
    "a date without end": LINE.replace('"when":1.0', '"when":-Infinity'),
    "a long line": "x" * (3 << 20) + "\n",
}


@pytest.mark.parametrize("odd", ODD)
def test_a_line_that_is_beyond_reason_costs_itself_only(tmp_path, odd):
    """Also when it is merged, and when this run counts on from it."""
    (tmp_path / "receipts").mkdir()
    for n in range(9):
        content = LINE.replace("f.bin", "good") + ODD[odd]
        (tmp_path / "receipts" / f"ended-{n}.jsonl").write_text(content)
    for size in (5, 6):
        receipt = Receipt("f.bin", "k", "e", size, 7, VerificationLevel.SIZE, "", 1.0)
        journal = Journal(tmp_path)
        journal.append(receipt)
        journal.close()
        assert read_receipts(tmp_path).of("f.bin", size, 7) == receipt
    assert read_receipts(tmp_path).keys() == {"f.bin", "good"}
    assert len(list((tmp_path / "receipts").iterdir())) < 9


def test_what_is_too_large_to_be_a_journal_is_named_and_passed_over(tmp_path):
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "good.jsonl").write_text(LINE)
    with (tmp_path / "receipts" / "ended-huge.jsonl").open("wb") as file:
        try:
            file.truncate(200 << 30)
        except OSError:
            pytest.skip("this file system has no sparse files")
    receipts = read_receipts(tmp_path)
    assert set(receipts) == {"f.bin"}
    assert "ended-huge.jsonl: it is too large" in receipts.unread[0]


def test_a_journal_that_cannot_be_read_hides_no_other_and_is_not_merged(tmp_path, monkeypatch):
    """That of another user, with an umask of 077."""
    folder = tmp_path / "receipts"
    folder.mkdir()
    for n in range(9):
        (folder / f"ended-{n}.jsonl").write_text(LINE.replace("f.bin", f"f{n}"))
    real = os.open

    def refuse(name, *arguments, **keywords):
        if name == "ended-3.jsonl":
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    receipts = read_receipts(tmp_path)
    assert receipts.keys() == {f"f{n}" for n in range(9)} - {"f3"}
    assert receipts.unread == [f"{folder / 'ended-3.jsonl'}: Permission denied"]
    journal = Journal(tmp_path)
    journal.append(Receipt("new", "k", "e", 1, 7, VerificationLevel.SIZE, "", 1.0))
    journal.close()
    assert len(list(folder.iterdir())) == 2
    monkeypatch.undo()
    assert read_receipts(tmp_path).keys() == {*(f"f{n}" for n in range(9)), "new"}


def test_a_folder_of_receipts_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "receipts").mkdir()
    real = os.open

    def refuse(name, *arguments, **keywords):
        if name == "receipts":
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DestinationError, match=re.escape(f"{tmp_path}, where it is written down")):
        read_receipts(tmp_path)


@pytest.mark.parametrize("gone", ["journal", "folder", "state"])
def test_receipts_of_a_run_whose_journal_somebody_removes_are_not_lost(tmp_path, gone):
    state = tmp_path / "state"
    journal = Journal(state)
    one = Receipt("a", "k", "e", 1, 7, VerificationLevel.SIZE, "", 1.0)
    journal.append(one)
    if gone == "journal":
        journal.owner.journal.unlink()
    else:
        shutil.rmtree(state / "receipts" if gone == "folder" else state)
    journal.append(replace(one, path="b"))
    journal.close()
    assert read_receipts(state).keys() == {"a", "b"}


def test_many_receipts_of_one_file_that_count_the_same_are_read_at_once(tmp_path):
    (tmp_path / "receipts").mkdir()
    lines = "".join(LINE.replace('"mtime_ns":1', f'"mtime_ns":{n}') for n in range(30_000))
    (tmp_path / "receipts" / "ended-x.jsonl").write_text(lines)
    began = time.monotonic()
    receipts = read_receipts(tmp_path)
    assert time.monotonic() - began < 20
    assert receipts.of("f.bin", 1, 777).mtime_ns == 777


@pytest.mark.parametrize("digest", ["", "md5:" + "ab" * 16, "gitblob:" + "0f" * 20, "odd:x"])
@pytest.mark.parametrize("version", ["", "a.B_-9", "null", "x" * 200, "a b"])
@pytest.mark.parametrize(
    "url",
    ["", "https://h/k?versionId=a", "http://[::1]:80/c/o/1?filename=a+b%20c", "a b", 'a"b\\', "é"],
)
def test_version_and_address_come_back_whatever_stands_beside_them(tmp_path, digest, version, url):
    level = VerificationLevel.CHECKSUM
    receipts = {
        path: Receipt(path, path, etag, 7, 9, level, digest, 1.5, version=version, url=url)
        for path, etag in {"a": "", "b/c": "ab" * 16, "d": f"{'ab' * 16}-3"}.items()
    }
    journal = Journal(tmp_path)
    journal.append_all(receipts.values())
    journal.close()
    assert dict(read_receipts(tmp_path)) == receipts


KINDS = [
    {},
    {"etag": ""},
    {"etag": f"{'a' * 32}-12"},
    {"etag": "A" * 32},
    {"digest": ""},
    {"digest": "md5:" + "ab" * 16},
    {"digest": "md5:abc"},
    {"size": 1 << 63},
    {"seq": 7},
    {"rung": "no such level"},
    {"key": "elsewhere"},
    {"path": "caf\u00e9", "key": "b/caf\u00e9"},
    {"path": 'a"b', "key": 'b/a"b'},
    {"path": "a\\b", "key": "b/a\\b"},
    {"path": "f", "key": "f"},
    {"listed": "b" * 32},
    {"version": "a.B_-9"},
    {"version": "", "url": "https://h/k?filename=f"},
    {"version": "a.B_-9", "url": "https://h/k?versionId=a.B_-9"},
    {"url": "https://h/k?filename=f"},
    {"url": "https://h/k?filename=f", "digest": ""},
    {"url": "https://h/k?filename=f", "digest": "gitblob:" + "ab" * 20, "etag": ""},
    {"url": "a b"},
    {"url": 7},
]


def a_line(**changed):
    whole = {
        "path": "f",
        "key": "b/f",
        "etag": "a" * 32,
        "size": 7,
        "mtime_ns": 1_700_000_000_123_456_789,
        "rung": "checksum",
        "digest": "crc64nvme:" + "0f" * 8,
        "when": 1_700_000_000.25,
    }
    seq = {"seq": changed.pop("seq", 1)}
    return json.dumps({**whole, **changed, **seq}, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line,
        lambda line: line[:-1],
        lambda line: line[:40] + b"\n" + line,
        lambda line: line[:40] + line,
        lambda line: line.replace(b'"f"', b'"f\x01"'),
        lambda line: line.replace(b'"f"', b'"f\n"'),
        lambda line: line + b"\n" + line,
        lambda line: line.replace(b"}\n", b"}\r\n"),
    ],
)
def test_many_lines_at_once_are_what_they_are_one_by_one(kind, damage):
    lines = a_line(path="g", key="b/g") + damage(a_line(**kind)) + a_line(path="h", key="b/h")
    together, single = Receipts(), Receipts()
    together.add_lines(lines)
    for line in lines.splitlines(keepends=True):
        single.add_line(line)
    assert dict(together) == dict(single)
    assert [together.seq(path) for path in together] == [single.seq(path) for path in single]


def test_a_line_without_end_hides_nothing_behind_it(tmp_path, monkeypatch):
    monkeypatch.setattr(receipts_module, "_AT_ONCE", 64)
    monkeypatch.setattr(receipts_module, "_LONGEST_LINE", 1024)
    (tmp_path / "receipts").mkdir()
    long = a_line(path="x" * 3000, key="x" * 3000)
    (tmp_path / "receipts" / "merged-a.jsonl").write_bytes(a_line() + long + a_line(path="h"))
    assert read_receipts(tmp_path).keys() == {"f", "h"}
