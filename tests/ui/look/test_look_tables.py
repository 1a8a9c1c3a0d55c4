"""Tables come in pages, whatever wrote them; pandas is the judge of what they say."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc

import pandas as pd
import pytest

from neurofetch.ui.look.places import Place
from neurofetch.ui.look.tables import Tables
from tests.look_world import Page


@pytest.fixture
def page(tmp_path):
    return Page(tmp_path)


def put(root, path, content):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def table(page, path, **query):
    return page.of(path, "/table", **query)


def names(told):
    return [column["name"] for column in told["columns"]]


def kinds(told):
    return [column["kind"] for column in told["columns"]]


# -- what it says ----------------------------------------------------------------------------------


def test_a_table_says_its_columns_with_what_sidecars_say_of_them(page, tmp_path):
    func = "sub-01/ses-1/func/sub-01_ses-1_task-x_run-2_events"
    put(
        tmp_path,
        f"{func}.tsv",
        "onset\ttrial_type\trt\tmore\n1.5\tface\tn/a\t\n-2e3\tplace\t.5\t7\n",
    )
    above = {
        "onset": {"Description": "begin of the trial", "Units": "s"},
        "rt": {"Description": "of all tasks"},
        "trial_type": {"LongName": "Kind", "Levels": {"face": "a face", "place": "a place"}},
    }
    put(tmp_path, "task-x_events.json", json.dumps(above))
    put(tmp_path, "task-y_events.json", json.dumps({"more": {"Description": "of another task"}}))
    put(tmp_path, "sub-01/sub-01_task-x_events.json", json.dumps({"rt": {"Description": "nearer"}}))
    put(tmp_path, "sub-01/ses-1/func/sub-01_ses-1_task-x_run-1_events.json", '{"rt": "of run 1"}')
    told = table(page, f"{func}.tsv")
    assert names(told) == ["onset", "trial_type", "rt", "more"]
    assert kinds(told) == ["number", "text", "number", "number"]
    assert [column["about"] for column in told["columns"]] == [
        "begin of the trial (s)", "Kind: face = a face, place = a place", "nearer", None,
    ]  # fmt: skip
    assert told["rows"] == [["1.5", "face", "n/a", ""], ["-2e3", "place", ".5", "7"]]
    assert told["total"] == 2


BROKEN = ("{", "[1]", '{"onset": 3}', '{"onset": {"Levels": [1]}}', "[" * 9999)


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
def test_a_sidecar_that_makes_no_sense_says_nothing(page, tmp_path, broken):
    put(tmp_path, "a_events.tsv", "onset\n1\n")
    put(tmp_path, "a_events.json", broken)
    assert table(page, "a_events.tsv")["columns"][0]["about"] is None


def test_the_columns_of_recordings_are_named_by_their_sidecar(page, tmp_path):
    put(tmp_path, "sub-01_physio.tsv.gz", gzip.compress(b"1\t2\n3\t4\n"))
    assert names(table(page, "sub-01_physio.tsv.gz")) == ["column 1", "column 2"]
    put(tmp_path, "sub-01_physio.json", json.dumps({"Columns": ["cardiac", "trigger"]}))
    put(tmp_path, "sub-02_physio.tsv.gz", gzip.compress(b"1\t2\n3\t4\n"))
    put(tmp_path, "sub-02_physio.json", json.dumps({"Columns": ["cardiac", "trigger"]}))
    told = table(page, "sub-02_physio.tsv.gz")
    assert names(told) == ["cardiac", "trigger"]
    assert (told["rows"], told["total"]) == ([["1", "2"], ["3", "4"]], 2)


# -- however it is written -------------------------------------------------------------------------

ROWS = [["größe", "日本", ""], ["1", "n/a", "x"], ["2", "NaN", ""]]
HEADER = ["name", "größe", "third"]
TSV = "\n".join("\t".join(row) for row in [HEADER, *ROWS]) + "\n"
WRITTEN = {
    "UTF-8": TSV.encode(),
    "a mark of UTF-8": b"\xef\xbb\xbf" + TSV.encode(),
    "UTF-16": TSV.encode("utf-16"),
    "UTF-16, the other order": b"\xfe\xff" + TSV.encode("utf-16-be"),
    "lines of Windows": TSV.replace("\n", "\r\n").encode(),
    "lines of an old Macintosh": TSV.replace("\n", "\r").encode(),
    "no line end at the end": TSV.rstrip("\n").encode(),
    "empty lines": TSV.replace("\n", "\n\n").encode(),
    "gzip": gzip.compress(TSV.encode()),
    "gzip in members": gzip.compress(TSV[:9].encode()) + gzip.compress(TSV[9:].encode()),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_table_is_the_same_however_it_is_written(page, tmp_path, how):
    put(tmp_path, "a.tsv", WRITTEN[how])
    told = table(page, "a.tsv")
    assert names(told) == HEADER
    assert (told["rows"], told["total"]) == (ROWS, 3)


def test_letters_of_windows_are_read(page, tmp_path):
    put(tmp_path, "a.tsv", "name\ngröße\n".encode("cp1252"))
    assert table(page, "a.tsv")["rows"] == [["größe"]]


CSV = {
    "commas": 'a,b\n1,"x, y"\n2,"say ""yes"""\n',
    "semicolons": 'a;b\n1;"x; y"\n2;"z"\n',
    "lines in quotes": 'a,b\n1,"two\nlines"\n2,"three\n\nlines"\n',
    "quotes in the header": '"a","b, c"\n1,2\n3,4\n',
    "tabs": "a\tb\n1\tx\n2\ty\n",
    "one column": "a\n1\n2\n",
}


@pytest.mark.parametrize("how", CSV)
def test_csv_is_read_as_pandas_does(page, tmp_path, how):
    put(tmp_path, "a.csv", CSV[how])
    wanted = pd.read_csv(io.StringIO(CSV[how]), sep=None, engine="python", dtype=str)
    if how == "one column":
        wanted = pd.read_csv(io.StringIO(CSV[how]), dtype=str)
    told = table(page, "a.csv")
    assert names(told) == list(wanted.columns)
    assert told["rows"] == wanted.to_numpy().tolist()
    assert told["total"] == len(wanted)


def test_quotes_in_tsv_stay_in_their_line(page, tmp_path):
    put(tmp_path, "a.tsv", 'a\tb\n5" probe\tx\n"un\tclosed\n"a\ttab"\ty\n')
    assert table(page, "a.tsv")["rows"][0] == ['5" probe', "x"]
    assert table(page, "a.tsv")["total"] == 3
    assert table(page, "a.tsv")["rows"][2] == ["a\ttab", "y"]


def test_ragged_rows_are_as_long_as_the_longest(page, tmp_path):
    put(tmp_path, "a.tsv", "a\tb\n1\n1\t2\t3\t4\n\t\n")
    told = table(page, "a.tsv")
    assert names(told) == ["a", "b", "column 3", "column 4"]
    assert told["rows"] == [["1", "", "", ""], ["1", "2", "3", "4"], ["", "", "", ""]]


EMPTY = [b"", b"\n", b"\n\n", gzip.compress(b"", mtime=0)]


@pytest.mark.parametrize("content", EMPTY, ids=["nothing", "a line", "two lines", "packed"])
def test_an_empty_table_has_nothing(page, tmp_path, content):
    put(tmp_path, "a.tsv", content)
    told = table(page, "a.tsv")
    assert (told["columns"], told["rows"], told["total"]) == ([], [], 0)


def test_a_header_alone_is_a_table_without_rows(page, tmp_path):
    put(tmp_path, "a.tsv", b"a\tb")
    told = table(page, "a.tsv")
    assert (names(told), told["rows"], told["total"]) == (["a", "b"], [], 0)


def test_what_is_no_table_is_told(page, tmp_path):
    packed = gzip.compress(TSV.encode() * 99)
    put(tmp_path, "a.tsv.gz", packed[: len(packed) // 2])
    put(tmp_path, "b.tsv", bytes(17 << 20))
    put(tmp_path, "c.csv", b'a,b\n"' + b"x,y\n" * (5 << 20))
    assert "neurofetch verify" in page.error("a.tsv.gz", "/table", 422)
    assert "16 MB" in page.error("b.tsv", "/table", 422)
    assert "16 MB" in page.error("c.csv", "/table", 422)


def test_wide_and_long_cells_are_bounded(page, tmp_path):
    put(tmp_path, "wide.tsv", "\t".join(f"c{n}" for n in range(5000)) + "\n" + "1\t" * 4999 + "1\n")
    told = table(page, "wide.tsv", count=1000)
    assert len(told["columns"]) == 2000
    assert len(told["rows"][0]) == 2000
    put(tmp_path, "long.tsv", "a\n" + "x" * 100_000 + "\n")
    assert len(table(page, "long.tsv")["rows"][0][0]) == 2001


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.tsv.gz"])
@pytest.mark.parametrize("first", [0, 1, 255, 256, 257, 700, 997, 999, 1000, 10**6])
def test_each_page_has_its_rows(page, tmp_path, name, first):
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if name == "a.csv" else "\t", lineterminator="\n")
    writer.writerows([["n", "word"], *([n, f"w{n % 7}" * (n % 5)] for n in range(1000))])
    content = text.getvalue().encode()
    put(tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content)
    wanted = [[str(n), f"w{n % 7}" * (n % 5)] for n in range(1000)][first : first + 5]
    told = table(page, name, **{"from": first, "count": 5})
    assert (told["rows"], told["total"], told["from"]) == (wanted, 1000, first)


def test_a_table_that_was_changed_is_read_afresh(page, tmp_path):
    put(tmp_path, "a.tsv", "a\n1\n")
    assert table(page, "a.tsv")["total"] == 1
    with open(tmp_path / "a.tsv", "a") as file:
        file.write("2\n3\n")
    assert table(page, "a.tsv")["rows"] == [["1"], ["2"], ["3"]]


def test_a_translated_table_is_bounded(tmp_path):
    put(tmp_path, "a.tsv.gz", gzip.compress(b"a\n" + b"1\n" * 100_000))
    told = Tables(spool=10_000).page(Place(tmp_path, ("a.tsv.gz",)), 0, 5)
    assert told["cut"]
    assert told["total"] < 6_000


@pytest.mark.slow
def test_a_million_rows_are_not_held_in_memory(page, tmp_path):
    with open(tmp_path / "a.tsv", "w") as file:
        file.write("n\tword\tvalue\n")
        file.writelines(f"{n}\tword-{n}\t{n / 7:.9f}\n" for n in range(1_000_000))
    tracemalloc.start()
    try:
        told = table(page, "a.tsv", **{"from": 900_000, "count": 200})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (told["rows"][0][1], told["total"]) == ("word-900000", 1_000_000)
    assert peak < 8 << 20
