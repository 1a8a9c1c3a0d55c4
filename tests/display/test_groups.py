"""A plan is read on a screen of 80 columns, whatever its files are called and however many."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofetch import console
from neurofetch._shown import shown
from neurofetch.display.groups import compact, sections
from neurofetch.display.text import plan_opening, plan_remarks, plan_summary, plan_text, report_text
from neurofetch.display.width import NARROWEST, columns_of, wrapped
from neurofetch.model import Action, Plan, RemoteFile, Step, Want
from tests.display.results import ROOT, run_of, step, study

PAGE = Path(__file__).parents[2] / "docs/get.md"

WORDS = st.text(
    st.one_of(
        st.sampled_from("ab01._-/ "),
        st.characters(categories=["Cc", "Cf", "Lo", "Mn", "So", "Zl", "Zs"]),
    ),
    max_size=90,
)
PATHS = st.one_of(
    WORDS,
    st.builds(
        "sub-{0}/ses-{1}/func/sub-{0}_ses-{1}_task-{2}_bold.nii.gz".format,
        st.integers(1, 99),
        st.integers(1, 9),
        WORDS,
    ),
    st.builds("sub-{0}/meg/sub-{0}_meg.ds/{1}".format, st.integers(1, 9), WORDS),
)


@st.composite
def plans(draw, most=60):
    steps = []
    for path in draw(st.lists(PATHS, max_size=most)):
        size = draw(st.one_of(st.none(), st.integers(0, 10**15)))
        action = draw(st.sampled_from(Action))
        storage = draw(st.sampled_from(["", "GLACIER"]))
        remote = RemoteFile(path, "http://h/", size, storage_class=storage)
        have = draw(st.integers(0, size or 0)) if action is Action.RESUME else 0
        reason = draw(WORDS)
        steps.append(Step(Want(remote, path, draw(WORDS)), action, reason, have))
    notes = tuple(draw(st.lists(WORDS, max_size=3)))
    return Plan(Path("/data"), tuple(steps), notes, draw(st.integers(0, 10**16)))


def too_wide(text, width, paths):
    """Lines that are wider than the screen, and name no path, and are no single word."""
    names = {shown(path) for path in paths}
    return [
        line
        for line in text.splitlines()
        if columns_of(line) > width
        and " " in line.strip()
        and not any(name in line and columns_of(name) + 24 > width for name in names)
    ]


@settings(max_examples=60)
@given(plans(), st.integers(20, 130))
def test_no_line_is_wider_than_the_screen_unless_a_path_is(plan, width):
    paths = [one.want.path for one in plan.steps]
    for text in (
        plan_text(plan, width),
        plan_text(plan, width, paths=True),
        plan_summary(plan, width),
        plan_opening(plan, width),
        plan_remarks(plan, width),
        report_text(run_of_any(plan), None, width),
    ):
        assert too_wide(text, max(width, NARROWEST), paths) == []
        lines = [unicodedata.category(letter) for letter in text.replace("\n", "")]
        assert not {"Cc", "Zl", "Zp"} & set(lines), "nothing moves the cursor"


def run_of_any(plan):
    return run_of(
        Plan(plan.root, tuple(s for s in plan.steps if s.want.remote.size is not None), plan.notes)
    )


@settings(max_examples=60)
@given(plans())
def test_every_file_is_in_one_group_and_the_sums_are_those_of_the_plan(plan):
    groups = [group for section in sections(plan.steps) for group in section.groups]
    assert sum(group.files for group in groups) == len(plan)
    assert sum(group.to_fetch for group in groups) == plan.bytes_to_fetch
    assert sum(group.bytes for group in groups) == sum(
        one.want.remote.size or 0 for one in plan.steps
    )
    assert sum(len(section.steps) for section in sections(plan.steps)) == len(plan)


def test_a_value_with_a_dot_is_no_extension():
    names = ["sub-1_acq-0.7mm_T1w.nii.gz", "sub-1_acq-1mm_T1w.nii.gz", "sub-1_acq-0.7mm_T1w.json"]
    (section,) = sections([step(f"sub-1/anat/{name}") for name in names])
    assert [(one.what, one.files) for one in section.groups] == [
        ("anat/T1w.nii.gz", 2),
        ("anat/T1w.json", 1),
    ]


def test_files_that_differ_in_kind_subject_or_class_are_told_apart_in_one_folder():
    steps = [
        step("code/sub-1_bold.txt"),
        step("code/sub-2_bold.txt"),
        step("sub-3/func/sub-3_bold.nii.gz"),
        step("sub-3/func/sub-3_bold.nii.gz", action=Action.KEEP),
        step("sub-3/func/sub-3_run-1_bold.nii.gz", storage_class="GLACIER"),
        step("sub-3/func/sub-3_run-2_bold.nii.gz", action=Action.RESUME, have=400),
        step("sub-3/func/sub-3_run-3_bold.nii.gz"),
        step("sub-3/func/readme_bold.nii.gz"),
    ]
    first, second = sections(steps)
    assert [one.label for one in first.groups] == [
        "code/bold.txt: sub-1, sub-2",
        "func/bold.nii.gz: sub-3; 1 partly here",
        "func/*.gz: sub-3",
    ]
    bold = first.groups[1]
    assert (bold.files, bold.bytes, bold.here, bold.to_fetch) == (4, 4000, 1400, 2600)
    assert second.why == "asked for; archived (GLACIER)"
    assert [(one.files, one.to_fetch) for one in second.groups] == [(1, 0)]


@given(st.lists(WORDS, max_size=12), st.integers(1, 80))
def test_breaking_a_text_loses_no_word(words, width):
    text = shown(" ".join(words))
    assert " ".join(wrapped(text, width)).split() == text.split()


def test_a_study_of_5000_subjects_is_read_on_one_screen():
    text = plan_text(study(5000))
    assert len(text.splitlines()) < 40
    assert max(map(columns_of, text.splitlines())) <= 80
    assert "sub-01 … sub-5000 (5,000)" in " ".join(text.split())
    assert "sub-77" not in text
    assert re.search(r"^to fetch +25,003 ", text, re.MULTILINE)
    assert re.search(r"^  of these partly here +1 +20.0 MB$", text, re.MULTILINE)
    assert re.search(r"^withheld: held out", text, re.MULTILINE)


def test_what_comes_is_told_in_groups_before_it_comes_where_these_are_few():
    text = plan_opening(study(5000))
    assert "events of chosen bold files" in text
    assert text.count("held out") == 1
    many = Plan(ROOT, tuple(step(f"kind{n}/x.{n}", n, why=f"reason {n}") for n in range(40)))
    assert plan_opening(many) == plan_summary(many)
    assert plan_opening(Plan(ROOT, (step("a", action=Action.KEEP),))) == ""


@pytest.mark.parametrize("width", [57, 200, 0])
def test_the_width_is_that_of_the_terminal_and_80_where_there_is_none(width):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with open(slave, "w") as terminal:  # a terminal of 0 columns is one that does not know
        assert console._width(terminal) == (width or 80)
    os.close(master)
    assert [console._width(none) for none in (None, io.StringIO())] == [80, 80]


def test_so_many_kinds_and_reasons_are_cut_short_and_none_is_lost():
    steps = tuple(step(f"kind{n}/x.{n}", n, why=f"reason {n % 90}") for n in range(4000))
    text = plan_text(Plan(ROOT, steps))
    assert len(text.splitlines()) < 500
    assert "other reasons" in text
    assert "other kinds" in text
    assert sum(g.files for s in sections(steps) for g in s.groups) == 4000


def test_a_recording_that_is_a_folder_is_one_row():
    folder = "sub-01/meg/sub-01_task-AEF_meg.ds"
    one = Plan(ROOT, tuple(step(f"{folder}/{n}", 1000) for n in range(12)))
    assert re.search(rf"^12.0 kB +- +12.0 kB  {folder}/ \(12 files\)$", plan_text(one), re.M)
    more = Plan(ROOT, tuple(step(f"{folder}/{n}", 1000) for n in range(100)))
    assert f"{folder}/ (100 files)" in plan_text(more)
    many = study(30)
    assert "meg/meg.ds/ (30 recordings): sub-01 … sub-30 (30)" in " ".join(plan_text(many).split())


def test_every_path_is_named_on_demand_and_is_whole():
    plan = study(300)
    lines = plan_text(plan, paths=True).splitlines()
    for one in plan.steps:
        if ".ds/" not in one.want.path:
            assert any(line.endswith(one.want.path) for line in lines), one.want.path
    long = Plan(ROOT, (step("a b/" * 50 + "c"),))
    assert ("a b/" * 50 + "c") in plan_text(long).splitlines()


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([], ""),
        (["sub-10", "sub-9"], "sub-9, sub-10"),
        (["sub-b", "sub-a", "sub-2", "sub-1", "sub-10"], "sub-1 … sub-b (5)"),
        (["sub-²", "sub-1", "sub-٣", "sub-" + "9" * 5000, "sub-x"], None),
    ],
)
def test_labels_are_compacted_in_their_natural_order(labels, text):
    found = compact(labels)
    assert text is None or found == text


def test_the_example_in_the_documents_is_what_is_printed():
    found = re.search(r"<!-- plan -->\n```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    assert found[1] == plan_text(study(20)) + "\n"
