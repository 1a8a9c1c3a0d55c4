"""Plans, reports and audits as people read them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch._shown import shown
from neurofetch.display.text import (
    duration,
    plan_remarks,
    plan_text,
    report_text,
    size,
    table,
)
from neurofetch.errors import TransientError
from neurofetch.model import (
    Action,
    IncompleteError,
    Outcome,
    Plan,
    RemoteFile,
    Report,
    Status,
    Step,
    VerificationLevel,
    Want,
)

ROOT = Path("/data")


def outcome(path, status, reason="", **more):
    return Outcome(path, path, status, reason, **more)


def report(*outcomes, seconds=2.0):
    return Report(ROOT, outcomes, (), seconds)


def step(path, action, number=1000, **more):
    remote = RemoteFile(path, f"http://host/{path}", number)
    return Step(Want(remote, path, more.pop("why", "asked for")), action, **{"reason": "", **more})


@given(st.integers(0, 9 * 10**17))
def test_sizes_have_three_digits_and_are_near(number):
    value, unit = size(number).split()
    assert (unit == "byte") is (number == 1)
    unit = "bytes" if number == 1 else unit
    assert 0 <= float(value) < 1000
    factor = 1000 ** ("bytes", "kB", "MB", "GB", "TB", "PB").index(unit)
    assert float(value) * factor == pytest.approx(number, rel=0.006)
    assert len(re.sub(r"\D", "", value)) <= 3


@given(st.floats(0, 1e6))
def test_durations_are_near_and_never_say_sixty(seconds):
    text = duration(seconds)
    units = {"s": 1, "min": 60, "h": 3600}
    parts = re.findall(r"([\d.]+) (\w+)", text)
    assert sum(float(n) * units[u] for n, u in parts) == pytest.approx(seconds, rel=0.02, abs=0.6)
    assert not re.search(r"\b60 (s|min)", text)


def test_a_table_is_aligned():
    text = table([("a", "long head"), ("12345", "x")], right=(0,))
    assert text.splitlines() == ["    a  long head", "12345  x"]


def test_the_end_of_a_run_is_sums_without_zeros():
    fetched = outcome("a", Status.FETCHED, moved=3_000_000, verification=VerificationLevel.CHECKSUM)
    also = outcome("b", Status.FETCHED, moved=1_000_000, verification=VerificationLevel.MD5)
    kept = outcome("c", Status.KEPT, size=5)
    text = report_text(report(fetched, also, kept))
    assert text == (
        "2 files fetched (4.00 MB in 2.0 s, 2.00 MB/s), 1 skipped (already here).\n"
        "verified: 1 by checksum, 1 by md5-etag"
    )


@pytest.mark.parametrize(
    ("outcomes", "text"),
    [
        (
            [outcome("a", Status.KEPT, size=9)],
            "Nothing to fetch: the file is already here, 9 bytes.",
        ),
        (
            [outcome(name, Status.KEPT, size=900) for name in "ab"],
            "Nothing to fetch: all 2 files are already here, 1.80 kB.",
        ),
        ([], "Nothing to fetch."),
        ([outcome("a", Status.FAILED, "404")], "0 files fetched, 1 failed."),
    ],
)
def test_a_run_that_fetched_nothing(outcomes, text):
    assert report_text(report(*outcomes)) == text


def test_how_a_file_was_verified_is_said_where_that_is_unusual():
    size, twice = VerificationLevel.SIZE, "verified: size, came twice the same"
    odd = [outcome(f"f{n}", Status.FETCHED, twice, verification=size) for n in range(3)]
    again = outcome("g", Status.FETCHED, f"replaced; {twice}", verification=size)
    usual = outcome("h", Status.FETCHED, "replaced", verification=VerificationLevel.MD5)
    text = report_text(Report(ROOT, (*odd, again, usual)))
    assert text.splitlines()[1:] == [
        "verified: 1 by md5-etag, 4 by size",
        "verified: f0 and 3 more: size, came twice the same",
    ]
    rows = Report(ROOT, (again,)).to_dict()["files"]
    assert [(row["verification"], row["reason"]) for row in rows] == [
        ("size", f"replaced; {twice}")
    ]


def test_refusals_are_grouped_by_reason_and_those_that_were_told_are_left_out():
    told = outcome("told", Status.REFUSED, "held out")
    same = [outcome(name, Status.REFUSED, "403") for name in "abc"]
    plan = Plan(ROOT, (step("told", Action.REFUSE, reason="held out"),))
    lines = report_text(report(told, *same), plan).splitlines()
    assert lines == ["Nothing to fetch (4 withheld).", "withheld: a and 2 more: 403"]
    assert "told: held out" in report_text(report(told))


def test_many_reasons_are_cut_short():
    refused = [outcome(f"f{n}", Status.REFUSED, f"http://host/f{n}: 403") for n in range(30)]
    lines = report_text(report(*refused)).splitlines()
    assert len(lines) == 10
    assert lines[-1] == "withheld: 22 more, each listed by --json"


def test_a_plan_names_files_or_where_they_are_many_what_they_are():
    few = Plan(ROOT, (step("x/a.txt", Action.FETCH), step("x/b.txt", Action.KEEP, reason="here")))
    assert re.search(r"^1.00 kB +- +1.00 kB  x/a.txt$", plan_text(few), re.MULTILINE)
    assert re.search(r"^1.00 kB +1.00 kB +-  x/b.txt$", plan_text(few), re.MULTILINE)
    assert "\nasked for\n" in plan_text(few)
    many = Plan(ROOT, tuple(step(f"x/{n}.txt", Action.FETCH) for n in range(100)), free=10**9)
    text = plan_text(many)
    assert "x/7.txt" not in text
    assert re.search(r"^ +100 +100 kB +- +100 kB  x/\*.txt$", text, re.MULTILINE)
    assert "x/7.txt" in plan_text(many, paths=True)
    assert "does not fit" not in text
    tight = Plan(ROOT, many.steps, free=99_999)
    assert plan_text(tight).endswith("It does not fit on the disk: 1 byte more must be free.")


def test_a_resumed_file_shows_what_is_still_to_come_and_is_a_row_of_its_own():
    plan = Plan(ROOT, (step("a", Action.RESUME, 5000, have=4000, reason="partly here"),))
    assert re.search(r"^5.00 kB +4.00 kB +1.00 kB  a$", plan_text(plan), re.M)
    assert re.search(
        r"^to fetch +1 +1.00 kB\n  of these partly here +1 +4.00 kB$", plan_text(plan), re.M
    )
    told = plan.to_dict()
    assert (told["files"][0]["bytes_to_fetch"], told["files"][0]["bytes_here"]) == (1000, 4000)
    assert (told["files_partly_here"], told["bytes_here"]) == (1, 4000)


def test_remarks_are_reasons_and_notes():
    steps = (*(step(n, Action.REFUSE, reason="held out") for n in "ab"), step("c", Action.KEEP))
    assert plan_remarks(Plan(ROOT, steps, ("desc-x → desc-X",))) == (
        "withheld: 2 files: held out\nnote: desc-x → desc-X"
    )
    assert plan_remarks(Plan(ROOT, (step("c", Action.KEEP),))) == ""


def test_what_is_replaced_is_named_with_the_reason():
    damaged = step("d", Action.REPLACE, reason="here, but damaged")
    newer = [step(n, Action.REPLACE, reason="changed on the server") for n in "ef"]
    assert plan_remarks(Plan(ROOT, (damaged, *newer))) == (
        "replaced: d: here, but damaged\nreplaced: e and 1 more: changed on the server"
    )
    many = [step(str(n), Action.REPLACE, reason=f"reason {n}") for n in range(20)]
    *_, last = plan_remarks(Plan(ROOT, tuple(many))).splitlines()
    assert last == "replaced: 12 more, each listed by --json"


def test_json_of_a_report_counts_every_status():
    made = report(
        outcome("a", Status.FETCHED, verification=VerificationLevel.SIZE, attempts=2)
    ).to_dict()
    assert made["counts"] == {"fetched": 1, "kept": 0, "refused": 0, "failed": 0}
    assert made["files"][0]["verification"] == "size"
    assert made["files"][0]["retries"] == 2


def test_a_message_is_no_longer_than_any_path():
    """A server may send names of megabytes; nobody reads them, and logs are filled with them."""
    assert shown("k" * 4096) == "k" * 4096
    assert shown("k" * 16_000_000) == "k" * 4096 + "…"


def test_numbers_of_one_are_read_aloud():
    assert (size(1), size(0.6), size(0), size(2)) == ("1 byte", "1 byte", "0 bytes", "2 bytes")


@pytest.mark.parametrize(
    ("failed", "fine", "expected"),
    [
        (1, 0, "the file failed."),
        (2, 0, "2 of 2 files failed."),
        (1, 1, "1 of 2 files failed; the other one was fetched, skipped or withheld."),
        (1, 2, "1 of 3 files failed; the other 2 were fetched, skipped or withheld."),
    ],
)
def test_how_many_failed_is_said_in_words_that_fit(failed, fine, expected):
    outcomes = [Outcome(f"a{n}", f"a{n}", Status.FAILED, "why") for n in range(failed)]
    outcomes += [Outcome(f"b{n}", f"b{n}", Status.FETCHED) for n in range(fine)]
    with pytest.raises(IncompleteError) as caught:
        Report(ROOT, tuple(outcomes)).raise_for_failures()
    assert str(caught.value).splitlines()[0] == expected


@pytest.mark.parametrize("name", ["ds1/a.txt", "a.txt"])
def test_a_name_that_stands_beside_a_cause_is_not_repeated_in_it(name):
    want = Want(RemoteFile("ds1/a.txt", "http://s/b/ds1/a.txt", 1), "a.txt")
    assert want.said(TransientError(f"{name}: 3 bytes announced")) == "3 bytes announced"
    assert want.said(TransientError("b/a.txt: gone")) == "b/a.txt: gone"
