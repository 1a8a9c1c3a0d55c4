"""What scripts for the public package rely on beside names: where answers come from, and order."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest

from laion_fmri import _paths, discovery
from laion_fmri._cli import main
from laion_fmri._models import AVAILABLE_MODELS, embedding_models
from laion_fmri.config import dataset_initialize
from laion_fmri.derivatives import localizer_effect_path, localizer_statmap_path
from laion_fmri.download import (
    accept_license,
    download,
    download_captions,
    download_embeddings,
    download_raw,
    download_segmentations,
    download_stimuli,
)
from laion_fmri.errors import (
    DataNotDownloadedError,
    LicenseNotAcceptedError,
    NoMatchingDataError,
    SubjectNotFoundError,
)
from laion_fmri.group import load_subjects
from neurofetch.console import ExitCode
from neurofetch.errors import UnknownArgumentError, UsageError
from tests.acceptance_world import lay_out, same, world
from tests.faces import LICENSE, on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance_world import World

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"
TRIALS = {"ses": "ses-01", "suffix": "trials"}


@pytest.fixture(scope="module")
def all_here(tmp_path_factory) -> Iterator[World]:
    """Everything of two subjects is on the disk, and configured."""
    with world(tmp_path_factory.mktemp("face")) as made:
        lay_out(made.data, "sub-01", "sub-03")
        dataset_initialize(str(made.data))
        yield made


@pytest.fixture
def here(tmp_path) -> Iterator[World]:
    with world(tmp_path) as made:
        dataset_initialize(str(made.data))
        yield made


def told(call, *given, **named) -> list[warnings.WarningMessage]:
    """Return what a call warns of, each said to be of this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*given, **named)
    assert [one.filename for one in caught] == [__file__] * len(caught)
    return caught


# --- discovery -----------------------------------------------------------------------------------


def test_without_a_network_nothing_is_said_of_the_bucket(here, capsys, brief_waits):
    here.patch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    for call in (discovery.get_subjects, discovery.get_rois, discovery.describe):
        first, *rest = told(call)
        assert "cannot be reached, so this is what is in" in str(first.message)
        assert str(here.data) in str(first.message)
        assert [one for one in rest if "bucket has" in str(one.message)] == []
    assert f"what is in {here.data}" in capsys.readouterr().out
    found = told(discovery.get_rois, "sub-01")
    assert str(found[-1].message).startswith(f"{here.data} has no subject sub-01.")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("sub-99",), "no subject sub-99"),
        (("sub-1",), "no subject sub-1. Did you mean sub-01?"),
        (("sub-01", "Face"), "no category 'Face' of sub-01. Did you mean 'face'?"),
        (("sub-01", ""), "no category ''"),
    ],
)
def test_no_regions_are_told_with_what_is_wrong(all_here, asked, said):
    (found,) = told(discovery.get_rois, *asked)
    assert said in str(found.message)


def test_a_category_of_the_wrong_kind_is_a_type_error_before_any_request(all_here):
    asked = all_here.asked()
    for category in (["face", "body"], 5):
        with pytest.raises(TypeError, match="one category is text"):
            discovery.get_rois("sub-01", category)
    assert all_here.asked() == asked


def test_a_data_directory_that_is_gone_does_not_hide_the_bucket(here, capsys):
    gone = here.home / "gone"
    gone.mkdir()
    dataset_initialize(gone)
    (gone / ".laion_fmri").rmdir()
    gone.rmdir()
    assert discovery.get_subjects() == ["sub-01", "sub-03"]
    assert "FFA1" in discovery.get_rois("sub-01", "face")
    discovery.describe()
    discovery.inspect_bucket()
    assert main(["info"]) == ExitCode.OK
    assert f"data directory: {gone} (it does not exist;" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"Is its disk mounted\?"):
        load_subjects("all")
    assert not gone.exists()


# --- downloads -----------------------------------------------------------------------------------


def test_another_data_directory_than_that_of_the_last_download_is_told(here):
    assert told(download, "sub-01", **TRIALS) == []
    other = here.home / "other"
    other.mkdir()
    dataset_initialize(other)
    assert told(download, "sub-01", dry_run=True, **TRIALS) == []  # nothing moves
    for call, keywords in ((download, TRIALS), (download_raw, {"suffix": "events", "ses": "01"})):
        (found,) = told(call, "sub-01", **keywords)
        assert found.category is UserWarning
        assert str(other) in str(found.message)
        assert str(here.data) in str(found.message)
        assert told(call, "sub-01", **keywords) == []
        dataset_initialize(here.data)  # for the second call, the other way round
    assert told(download, "sub-01", data_dir=other, **TRIALS) == []  # the call names it


def test_filters_of_raw_data_do_not_rule_results_out(here):
    """As in `download` of the public package: a run is of the raw data, results have none."""
    raw = {"run": 1, "echo": "1", "part": "mag", "include_raw": True, "dry_run": True}
    with pytest.warns(UserWarning, match="no raw file has run-1, echo-1, part-mag together with"):
        plan = download("sub-01", **TRIALS, **raw)
    asked = {
        step.want.path.rpartition("_")[2] for step in plan.steps if "GLM" not in step.want.path
    }
    assert "trials.tsv" in asked
    assert [step.want.path for step in plan.steps if step.want.path.startswith("sub-")] == []
    plan = download("sub-01", ses="ses-01", suffix=["trials", "bold"], **raw)
    found = [step.want.path for step in plan.steps if step.want.path.endswith("bold.nii.gz")]
    assert found == [
        "sub-01/ses-01/func/sub-01_ses-01_task-images_run-01_echo-1_part-mag_bold.nii.gz"
    ]
    with pytest.raises(NoMatchingDataError, match="suffix sbref"):  # of raw data alone
        download("sub-01", ses="01", suffix="sbref", **{**raw, "part": "phase"})


@pytest.mark.parametrize("subject", ["", "sub-", " "])
def test_empty_text_is_told_as_a_missing_subject(here, subject):
    with pytest.raises(SubjectNotFoundError):
        download(subject, **TRIALS)
    assert here.asked() == 0


@pytest.mark.parametrize("subject", [None, 5.5, True, b"sub-01", ["sub-01", None], {"sub-01": 1}])
def test_a_subject_of_the_wrong_kind_is_a_type_error(here, subject):
    with pytest.raises(TypeError, match="subject"):
        download(subject, **TRIALS)
    assert here.asked() == 0


def test_an_unset_variable_is_no_data_directory_for_any_function(here, monkeypatch):
    empty = here.home / "cwd"
    empty.mkdir()
    monkeypatch.chdir(empty)
    calls = (download_embeddings, download_segmentations, download_captions, download_stimuli)
    for call in calls:
        with pytest.raises(UsageError, match="empty string"):
            call(data_dir="")
        with pytest.raises(TypeError, match="text or a path"):
            call(data_dir=5)
    assert list(empty.iterdir()) == []
    (here.home / "data").mkdir()
    assert download_captions("~/data").is_relative_to(here.home)
    assert list(empty.iterdir()) == []


def test_a_misspelt_keyword_is_told_by_the_function_that_was_called(here):
    with pytest.raises(UnknownArgumentError, match=r"download_raw\(\) .*Did you mean overwrite="):
        download_raw("sub-01", overwrit=True)
    assert here.asked() == 0


def test_models_come_in_arrays(all_here):
    assert embedding_models(np.array(["CLIP", "PEcore"])) == ("CLIP", "PEcore")
    assert [type(one) for one in embedding_models(np.array(["CLIP"]))] == [str]
    for all_of_them in ("all", True, np.True_, 1):
        assert embedding_models(all_of_them) == AVAILABLE_MODELS
    for none in (None, False, np.False_, 0, []):
        assert embedding_models(none) == ()
    for wrong in (5, np.nan, "1", [["CLIP"]]):
        with pytest.raises(ValueError, match="no embeddings of the model"):
            embedding_models(wrong)


def test_each_download_by_itself_says_what_it_did(here, capsys):
    for call, what in ((download_captions, "captions"), (download_stimuli, "stimulus pictures")):
        for did in ("fetched to", "up to date in"):
            call(progress="none")
            assert f"the {what}: {did} {here.data}" in capsys.readouterr().err
    download_stimuli(server_url=NOWHERE, progress="none")
    assert "since the access service gave no list" in capsys.readouterr().err


# --- the licence, from a pipe ---------------------------------------------------------------------


def run(here: World, typed: str) -> subprocess.CompletedProcess[str]:
    for name in LICENSE:
        here.patch.delenv(name, raising=False)
    script = (
        "import sys, subprocess; from laion_fmri.download import download\n"
        "download('sub-01', ses='ses-01', suffix='trials', progress='none')\n"
        "print(subprocess.run(['cat'], capture_output=True, text=True).stdout)"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_i_agree_in_a_pipe_accepts_and_the_rest_of_the_pipe_is_left_alone(here):
    done = run(here, "I AGREE\nthe rest\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the rest"
    record = (here.data / ".laion_fmri" / "license_accepted").read_text()
    assert record.rstrip().endswith("by standard input")


@pytest.mark.parametrize("call", [accept_license, lambda: download("sub-01", **TRIALS)])
def test_a_script_that_answers_itself_is_taken_at_its_word(here, monkeypatch, call):
    """It replaces `input`, or the standard input."""
    for name in LICENSE:
        here.patch.delenv(name, raising=False)
    marker = here.data / ".laion_fmri" / "license_accepted"
    with monkeypatch.context() as patch:
        patch.setattr("builtins.input", lambda *_: "no")
        with pytest.raises(LicenseNotAcceptedError, match="you answered 'no'"):
            call()
        assert not marker.exists()
        patch.setattr("builtins.input", lambda *_: "I AGREE")
        call()
        assert marker.is_file()
    marker.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("I AGREE\n"))
        call()
    assert marker.is_file()
    marker.unlink()
    with pytest.raises(LicenseNotAcceptedError):
        call()  # pytest's own standard input: it cannot be read


@pytest.mark.parametrize("typed", ["", "\n", "no\n", "I AGREE to nothing\n", "x" * 5000])
def test_anything_else_in_a_pipe_is_no_answer_and_nothing_is_asked(here, typed):
    done = run(here, typed)
    assert done.returncode == 1
    assert LicenseNotAcceptedError.__name__ in done.stderr
    assert "or write I AGREE to the standard input" in done.stderr
    assert here.asked() == 0
    assert not on_disk(here.data)


@pytest.mark.parametrize(
    "command",
    [
        "download-raw --subject sub-01 --ses 01 --suffix events",
        "download-embeddings --model CLIP",
        "download-segmentations",
        "download-captions",
    ],
)
def test_each_command_takes_the_flag_that_its_message_names(shell, command):
    unset = dict.fromkeys(LICENSE)
    done = shell(f"laion-fmri {command}", **unset)
    assert done.code == ExitCode.LICENSE
    assert "Pass --accept-license CC0-1.0" in done.err
    assert shell(f"laion-fmri {command} --accept-license MIT", **unset).code == ExitCode.USAGE
    assert not on_disk(shell.data)
    assert shell(f"laion-fmri {command} --accept-license CC0-1.0", **unset).code == ExitCode.OK
    assert on_disk(shell.data)


# --- groups --------------------------------------------------------------------------------------


def test_a_group_is_in_the_order_of_names_whatever_was_asked_for(all_here):
    group = load_subjects(["sub-03", "01", "sub-01"])
    assert [name for name, _ in group] == group.subject_ids == ["sub-01", "sub-03"]
    assert group[0].subject_id == group[np.int64(0)].subject_id == group["01"].subject_id
    assert group[-1].subject_id == "sub-03"
    assert "03" in group
    assert list(group.get_shared_betas("ses-01", roi="FFA1")) == ["sub-01", "sub-03"]


@pytest.mark.parametrize("index", [None, 1.0, ["sub-01"], slice(0, 1), b"sub-01"])
def test_a_group_is_indexed_by_a_name_or_a_number_and_nothing_else(all_here, index):
    with pytest.raises(TypeError, match="indexed by a name"):
        load_subjects("all")[index]


def test_a_number_that_no_subject_has_is_told(all_here):
    with pytest.raises(IndexError, match="no subject 2 in a group of 2"):
        load_subjects("all")[2]


def test_shared_betas_take_the_public_arguments_by_place(all_here):
    group = load_subjects("all")
    by_place = group.get_shared_betas("ses-01", "FFA1", None, 10, "rsquare")
    by_name = group.get_shared_betas(
        session="ses-01", roi="FFA1", nc_threshold=10, mask_source="rsquare"
    )
    assert all(same(by_place[name], by_name[name]) for name in group.subject_ids)
    with pytest.raises(UnknownArgumentError, match="'stimuli'"):
        group.get_shared_betas("ses-01", stimuli="unique")


@pytest.mark.parametrize("subjects", [None, 5.5, [None]])
def test_a_group_of_the_wrong_kind_is_an_error_that_says_so(all_here, subjects):
    with pytest.raises((TypeError, ValueError), match="subject"):
        load_subjects(subjects)


def test_all_says_who_is_not_here(tmp_path):
    with world(tmp_path) as made:
        lay_out(made.data, "sub-03")
        dataset_initialize(made.data)
        for asked in ("all", "ALL", ["all", "sub-03"]):
            (found,) = told(load_subjects, asked)
            assert "'all' is sub-03 here: there are no results of sub-01" in str(found.message)
            assert 'download(subject="sub-01")' in str(found.message)


# --- names of May 2026, and paths ----------------------------------------------------------------


def test_indices_of_several_sessions_are_by_session(all_here):
    subject = load_subjects("all")[0]
    found = subject.get_trial_stimulus_indices(["ses-01", "ses-02"])
    assert list(found) == ["ses-01", "ses-02"]
    table = subject.get_stimulus_metadata()
    for session, rows in found.items():
        assert same(rows, subject.get_trial_stimulus_indices(session))
        labels = subject.get_trial_info(session)["label"]
        assert table["image_name"][rows].tolist() == labels.tolist()


def test_paths_take_sessions_and_runs_in_every_way(all_here):
    data = all_here.data
    for session, run, echo in (("ses-01", "01", "1"), ("01", 1, 1), (1, np.int64(1), "echo-1")):
        assert _paths.betas_path(data, "01", session).is_file()
        assert _paths.raw_bold_path(data, "sub-01", session, run, echo).is_file()
        assert _paths.raw_events_path(str(data), "sub-01", session, run).is_file()
    assert localizer_statmap_path("01", "oloc", "objectVsScrambled", 31, hemi="L").is_file()


@pytest.mark.parametrize("wrong", [None, "", 1.5, "one", ["01"]])
def test_what_is_no_run_or_session_makes_no_path(all_here, wrong):
    with pytest.raises(ValueError, match="run"):
        _paths.raw_events_path(all_here.data, "sub-01", "ses-01", wrong)
    with pytest.raises(ValueError, match="run"):
        localizer_effect_path("sub-01", "floc", "face", "4BarScreenfLoc", wrong, hemi="L")
    if wrong != "one":
        with pytest.raises(ValueError, match="session"):
            _paths.betas_path(all_here.data, "sub-01", wrong)


def test_letters_of_a_glob_find_no_other_region(all_here):
    assert _paths.roi_mask_path(all_here.data, "sub-01", "FFA-1").is_file()
    for wrong in ("F*1", "FFA?", "[F]FA1", None):
        with pytest.raises(DataNotDownloadedError, match="has the region"):
            _paths.roi_mask_path(all_here.data, "sub-01", wrong)
    with pytest.raises(ValueError, match="hemi"):
        _paths.freesurfer_surf_path(all_here.data, "sub-01", ["L"], "pial")


def test_many_stimuli_where_a_kind_is_due_are_told(all_here):
    subject = load_subjects("all")[0]
    for wrong in (np.arange(3), [0, 1], "x"):
        for call in (subject.get_images, subject.get_n_stimuli):
            with pytest.raises(ValueError, match="expected 'shared', 'unique', or None"):
                call(wrong)


# --- the command in a process --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code"),
    [("--help", 0), ("download -h", 0), ("--version", 0), ("download", 2), ("nosuch", 2)],
)
def test_where_nothing_runs_the_command_ends_as_argparse_does(all_here, line, code):
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == code


def test_what_runs_returns_its_code(all_here):
    assert main([]) == main(["config"]) == ExitCode.OK
    assert main(["info", "--subject", "sub-99"]) == ExitCode.NOTHING_MATCHED


# --- login ---------------------------------------------------------------------------------------


def test_a_variable_that_wins_is_told_at_login_and_logout(shell):
    for line in ("laion-fmri login --request-id abc", "laion-fmri logout"):
        assert "is set" not in shell(line).err
        assert "LAION_FMRI_REQUEST_ID is set" in shell(line, LAION_FMRI_REQUEST_ID="xyz").err


@pytest.mark.parametrize("wrong", ["''", "' '", "'a b'", '"a\tb"'])
def test_what_cannot_be_an_id_is_not_kept(shell, wrong):
    done = shell(f"laion-fmri login --request-id {wrong}")
    assert done.code == ExitCode.USAGE
    assert "Nothing was changed" in done.err
    assert not (shell.home / ".cache" / "laion-fmri" / "auth.json").exists()


def test_an_id_that_cannot_be_removed_is_told_and_no_fault_of_the_program(shell):
    path = shell.home / ".cache" / "laion-fmri" / "auth.json"
    path.mkdir(parents=True)
    done = shell("laion-fmri logout")
    assert done.code == ExitCode.DISK
    assert f"cannot remove {path}" in done.err
