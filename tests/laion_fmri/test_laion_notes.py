"""What a plan notes: a warning in Python at the caller's line; said once by the commands."""

import re

import pytest

from laion_fmri.download import download
from neurofetch import get, plan
from neurofetch.errors import SelectionWarning
from tests.faces import on_disk

MISS = "desc-singletrial → desc-SingletrialBetas"


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_near_miss_is_a_warning_at_the_line_that_called(user, dry_run):
    with pytest.warns(SelectionWarning, match=MISS) as caught:
        download("03", ses="01", desc="singletrial", dry_run=dry_run, progress=False)
    assert {warning.filename for warning in caught} == {__file__}


def test_withheld_files_are_a_warning_with_their_number_and_the_reason(user):
    with pytest.warns(SelectionWarning, match=r"^withheld: \d+ files?: ") as caught:
        found = download("03", ses=["01", "31"], suffix="trials", dry_run=True)
    assert len(caught) == 1
    assert found.notes == ()  # the steps say it


@pytest.mark.filterwarnings("error::neurofetch.errors.SelectionWarning")
def test_a_warning_made_an_error_ends_the_call_before_any_byte(user):
    with pytest.raises(SelectionWarning):
        download("03", ses="01", desc="singletrial", progress=False)
    assert not on_disk(user)


@pytest.mark.parametrize("call", [get, plan])
def test_a_glob_that_matches_nothing_is_a_warning(tmp_path, monkeypatch, s3, call):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    with pytest.warns(SelectionWarning, match="nonsense") as caught:
        call(
            "s3://laion-fmri/",
            tmp_path / "new",
            include=["*sub-03_ses-01*_trials.tsv", "*nonsense*"],
        )
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", " --dry-run", " --quiet", " --dry-run --quiet"])
def test_a_command_says_each_note_once(shell, more):
    """The class: the same thing told twice, or not at all."""
    done = shell("laion-fmri download --subject 03 --ses 01 31 --desc singletrial" + more)
    said = done.out + done.err
    assert done.code == 0
    assert said.count(MISS) == 1, said
    assert len(re.findall(r"withheld: (\d+ file|ses-31)", said)) == 1, said


@pytest.mark.slow
def test_programs_get_the_notes_in_the_plan_and_no_line_beside_it(shell):
    done = shell(
        "laion-fmri download --subject 03 --ses 01 --desc singletrial --progress json --json"
    )
    assert done.err.count("singletrial \\u2192") == 2  # of the events planned and finished
    assert '"warning"' not in done.err
