"""What results look like to a notebook and to a program: tables, mappings, HTML."""

import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings

from neurofetch.display.groups import sections, sections_by_ending
from neurofetch.display.page import COLOURS
from neurofetch.model import Plan, Report
from neurofetch.store.findings import Audit
from tests.display.results import HELD, ROOT, audit_of, run_of, step, study
from tests.display.schema import validate
from tests.display.test_groups import plans, run_of_any

PLAN = study(12)
RESULTS = {"plan": PLAN, "report": run_of(PLAN), "audit": audit_of(PLAN)}
EMPTY = {
    "plan": Plan(ROOT, ()),
    "report": Report(ROOT, ()),
    "audit": Audit(ROOT, (), 0.0),
}
VOID = {"br", "hr", "img", "meta", "link"}


class Reader(HTMLParser):
    """Reads a page as a browser does: what is on it, and whether each tag is closed."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open, self.attributes = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("results", [RESULTS, EMPTY], ids=["full", "empty"])
def test_a_notebook_shows_a_table_and_nothing_from_elsewhere(kind, results):
    html = results[kind]._repr_html_()
    page = read(html)
    assert ("table" in page.tags) == (results is RESULTS)
    assert not {"script", "style", "img", "link", "iframe", "a"} & set(page.tags)
    assert not re.search(r"url\(|https?:|javascript|[^-]color:#|@import", html)
    assert html == results[kind]._repr_html_(), "the same each time"
    assert page.attributes <= {"style", "class", "scope", "open", "role", "aria-label", "tabindex"}


@settings(max_examples=40)
@given(plans(most=20))
def test_no_name_or_note_becomes_markup(plan):
    hostile = Plan(
        plan.root,
        (*plan.steps, step("<script>alert(1)</script>&<b>", why="</table>", reason="\"'<i>")),
        (*plan.notes, "<img src=x onerror=y>"),
    )
    expected = {"div", "table", "thead", "tbody", "tr", "th", "td", "span", "strong", "details"}
    for result in (hostile, run_of_any(hostile), audit_of(hostile)):
        page = read(result._repr_html_())
        assert set(page.tags) <= expected | {"summary", "pre"}
        assert "<script>alert(1)</script>&<b>" in "".join(page.texts)


def test_a_notebook_lists_no_more_paths_than_a_page_can_hold():
    html = study(5000)._repr_html_()
    assert len(html) < 150_000
    assert "… and 29,005 more: see to_dict() or to_dataframe()" in html
    assert html.partition("<pre")[2].partition("</pre>")[0].count("\n") == 1000


def test_a_notebook_says_what_is_withheld_what_failed_and_what_to_do():
    plan, report = PLAN._repr_html_(), RESULTS["report"]._repr_html_()
    held = HELD.replace("'", "&#x27;")
    assert f"withheld: {held}: 12 files, 1.08 GB" in plan
    assert "ask the owners of the data for access" in plan
    assert "4.00 TB are free on the disk." in plan
    assert "1 file failed" in report
    assert "the disk takes no colon in a name" in report
    assert "Rename it." in report
    full = replace(PLAN, free=1_000_000)._repr_html_()
    assert "It does not fit on the disk: 4.28 GB more must be free." in full


@pytest.mark.parametrize("steps", [(), (step("a_bold.nii.gz"),)], ids=["none", "one"])
def test_a_long_plan_has_the_same_sums_as_one_that_is_sorted_by_kind(steps):
    """What takes long for a long plan is left out; numbers and reasons are the same."""
    every = (*study(40).steps, *steps, step("x", storage_class="GLACIER", why="far"))
    exact, quick = sections(every), sections_by_ending(every)
    for one, other in zip(exact, quick, strict=True):
        assert one.why == other.why
        for number in ("files", "bytes", "here", "to_fetch", "partly"):
            sums = [sum(getattr(group, number) for group in some.groups) for some in (one, other)]
            assert sums[0] == sums[1], (one.why, number)
    assert study(19_500)._repr_html_().count("<tr>") < 100


@pytest.mark.parametrize("tone", sorted(COLOURS))
def test_the_colours_of_dots_and_bars_can_be_seen_on_light_and_on_dark(tone):
    """WCAG 2.2, 1.4.11: three to one."""

    def light(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for ground in ("#ffffff", "#111111", "#1e1e1e"):
        brighter, darker = sorted((light(COLOURS[tone]), light(ground)), reverse=True)
        assert (brighter + 0.05) / (darker + 0.05) >= 3, ground


@pytest.mark.parametrize("kind", RESULTS)
def test_one_line_in_a_list_and_the_whole_when_printed(kind):
    class Printer:
        said = ""

        def text(self, text):
            self.said += text

    result, printer = RESULTS[kind], Printer()
    assert "\n" not in repr(result)
    result._repr_pretty_(printer, cycle=False)
    assert printer.said == repr(result)
    assert len(str(result).splitlines()) > 1
    assert kind == "audit" or max(map(len, str(result).splitlines())) <= 80


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("results", [RESULTS, EMPTY], ids=["full", "empty"])
def test_a_table_has_a_row_for_each_file_in_the_words_of_json(kind, results):
    result = results[kind]
    document = result.to_dict()
    validate(document)
    assert json.loads(json.dumps(document)) == document
    table = result.to_dataframe()
    assert len(table) == len(document["files"])
    words = set(RESULTS[kind].to_dict()["files"][0]) - {"checksum"}
    assert set(table.columns) == words | {"checksum_algorithm", "checksum_value"}
    if kind != "audit" and len(table):
        assert table["size"].sum() == sum(row["size"] for row in document["files"])


def test_an_unknown_size_stays_unknown_in_a_table():
    table = Plan(ROOT, (step("a", None), step("b", 5))).to_dataframe()
    assert table["size"].isna().tolist() == [True, False]
    assert table["size"].dtype == "Int64"


def test_what_came_is_told_with_its_checksum():
    rows = run_of(PLAN).to_dict()["files"]
    told = {row["verification"]: row["checksum"] for row in rows if row["status"] == "fetched"}
    assert told == {
        "md5-etag": {"algorithm": "md5", "value": "9e107d9d372bb6826bd81d3542a419d6"},
        "checksum": {"algorithm": "crc64nvme", "value": "0011223344556677"},
    }
    assert all(row["url"] and row["etag"] and row["key"] for row in rows)


def test_a_table_without_pandas_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'neurofetch\[loader\]'"):
        PLAN.to_dataframe()
    assert PLAN.to_dict()


def test_a_result_that_was_kept_in_a_file_has_its_faces_in_another_process(tmp_path):
    (tmp_path / "plan").write_bytes(pickle.dumps(PLAN))
    script = (
        "import pickle, sys; plan = pickle.load(open('plan', 'rb'));"
        "print('pandas' in sys.modules, plan.to_dict()['files_total'], len(plan._repr_html_()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[:2] == ["False", str(len(PLAN))]


def test_a_plan_of_many_files_is_printed_without_being_held_in_memory(monkeypatch):
    """The rows are made one by one: no list of all of them is."""
    from neurofetch import console  # noqa: PLC0415
    from neurofetch.display import words  # noqa: PLC0415

    alive, most = 0, 0

    class Row(dict):
        def __init__(self, *values):
            nonlocal alive, most
            super().__init__(*values)
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    kept = []
    monkeypatch.setattr(console, "output", lambda text, end="\n": kept.append(text + end))
    head, rows = words.plan_head(PLAN), (Row(row) for row in words.plan_rows(PLAN))
    console._emit_files(head, rows, {"error": {"code": "x"}})
    assert most <= 2
    printed = json.loads("".join(kept))
    assert printed == {**PLAN.to_dict(), "error": {"code": "x"}}


def test_names_that_are_no_text_are_shown_and_told(tmp_path):
    odd = "sub-01/\udcff\x1b[2J.txt"
    plan = Plan(Path("/data"), (step(odd),))
    assert "\x1b" not in plan._repr_html_() + str(plan)
    assert plan.to_dict()["files"][0]["path"] == odd
