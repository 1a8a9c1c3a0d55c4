"""What scripts for the public package use is where they expect it: names, signatures, errors."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.acceptance_world import QUIET, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

TOP = """
Captions DataDirNotSetError DataNotDownloadedError DataNotFoundError Embeddings Group
LicenseNotAcceptedError NoMatchingDataError Segmentations StimuliNotDownloadedError Stimuli
Subject SubjectNotFoundError __version__ as_displayed_rgb dataset_initialize describe
download_captions download_embeddings download_segmentations download_stimuli get_data_dir
get_rois get_subjects load_embeddings load_subjects load_stimuli load_subject
request_stimulus_access resolve_subject_id set_data_dir
"""

MODULES = {
    "_constants": "resolve_subject_id ACCESS_SERVICE_URL LICENSE_AGREEMENT_BODY "
    "LICENSE_AGREEMENT_PROMPT LICENSE_AGREEMENT_TEXT STIMULI_LICENSE_BODY",
    "_errors": "DataDirNotSetError DataNotFoundError DataNotDownloadedError NoMatchingDataError "
    "SubjectNotFoundError StimuliNotDownloadedError LicenseNotAcceptedError",
    "_paths": "r2mean_path freesurfer_surf_path glmsingle_subject_dir betas_path roi_mask_path "
    "anatomical_file_path raw_bold_path raw_sbref_path raw_events_path",
    "_stimulus_access": "AccessServiceError TermsOutdatedError AccessRevokedError "
    "AccessNotFoundError",
    "brain": "to_nifti get_voxel_coordinates",
    "captions": "Captions",
    "config": "dataset_initialize get_data_dir",
    "derivatives": "localizer_statmap_path localizer_effect_path LOCALIZER_TASKS "
    "VOLUME_RESOLUTIONS",
    "discovery": "get_subjects get_rois describe inspect_bucket SUBJECT_PREFIXES",
    "download": "download accept_license accept_licenses download_stimuli request_stimulus_access "
    "download_embeddings download_segmentations download_captions download_raw "
    "AccessNotFoundError AccessServiceError TermsOutdatedError",
    "embeddings": "AVAILABLE_MODELS Embeddings load_embeddings",
    "group": "Group load_subjects",
    "io": "load_nifti_mask load_nifti_data load_nifti_4d load_nifti_with_affine load_tsv "
    "load_gifti_mask load_freesurfer_label",
    "segmentations": "Segmentations",
    "splits": "list_pools list_splits list_ood_types load_split load_all_splits "
    "get_train_test_ids get_split_masks Split SplitVariant",
    "stimuli": "Stimuli load_stimuli as_displayed_rgb PRESENTATION_BACKGROUND_RGB8",
    "subject": "Subject load_subject",
    "templates": "to_template volume_to_surface volume_to_template surface_to_template",
    "torch_data": "LaionFMRIDataset",
}

#: Parameters in their order, with defaults: what comes after them is ours.
SIGNATURES = {
    "discovery.get_rois": "subject=None, category=None",
    "discovery.get_subjects": "",
    "discovery.describe": "",
    "download.download": "subject, ses=None, task=None, space=None, desc=None, stat=None, "
    "suffix=None, extension=None, include_stimuli=False",
    "download.accept_licenses": "include_stimuli=False",
    "download.download_embeddings": "models='all', data_dir=None, n_jobs=1",
    "download.download_raw": "subject, ses=None, task=None, run=None, echo=None, part=None, "
    "suffix=None, extension=None, n_jobs=1",
    "derivatives.localizer_statmap_path": "subject, task, contrast, session, space='fsnative', "
    "hemi=None, res='1pt5', data_dir=None",
    "embeddings.load_embeddings": "models='all', data_dir=None",
    "stimuli.load_stimuli": "data_dir=None",
    "splits.load_split": "name, pool",
    "splits.list_splits": "pool=None",
    "splits.get_train_test_ids": "name, pool, variant_id=0, ood_types=None",
    "splits.get_split_masks": "trials, name, pool, variant_id=0, ood_types=None",
    "templates.to_template": "subject, values, target",
    "brain.to_nifti": "values, output_path, brain_mask_path, affine, roi_mask=None, "
    "custom_mask=None",
    "brain.get_voxel_coordinates": "brain_mask_path, affine, roi_mask=None, custom_mask=None",
}

METHODS = {
    "get_brain_mask": "source='anatomical', res='1pt8'",
    "get_n_voxels": "source='anatomical', res='1pt8'",
    "get_betas": "session, roi=None, mask=None, nc_threshold=None, stimuli=None",
    "get_noise_ceiling": "session=None, desc=None, roi=None, mask=None, mask_source='anatomical'",
    "get_trial_info": "session",
    "get_available_rois": "category=None",
    "get_n_stimuli": "stimuli=None",
    "to_nifti": "values, output_path, roi=None, mask=None",
    "get_voxel_coordinates": "roi=None, mask=None",
    "get_events": "session",
    "to_template": "values, target",
}

SUBJECT = """
subject_id get_sessions get_available_rois get_available_categories get_n_stimuli get_n_voxels
get_brain_mask get_betas get_roi_mask get_roi_masks get_roi_data get_noise_ceiling
get_trial_info has_stimuli has_freesurfer get_freesurfer_dir has_anatomical get_anatomical_dir
get_t1w get_t2w get_anatomical_brain_mask metadata images embeddings segmentations captions
to_nifti to_template volume_to_surface volume_to_template surface_to_template
get_voxel_coordinates to_torch_dataset get_events get_images get_image get_stimulus_metadata
get_trial_stimulus_indices
"""


@pytest.fixture
def here(tmp_path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def takes(function: Callable[..., object], expected: str) -> None:
    """Hold a function's parameters against those of a text, which may be the first of more.

    What must be given there may have a default here.
    """
    found = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    wanted = [one.partition("=") for one in expected.split(", ") if one]
    assert [one.name for one in found[: len(wanted)]] == [name for name, _, _ in wanted]
    for one, (_, has_default, default) in zip(found, wanted, strict=False):
        assert one.kind is one.POSITIONAL_OR_KEYWORD, one
        if has_default:
            assert repr(one.default) == default
    assert all(one.default is not one.empty for one in found[len(wanted) :] if one.kind < 4)


def test_the_top_level_has_all_names():
    package = importlib.import_module("laion_fmri")
    assert sorted(name for name in TOP.split() if not hasattr(package, name)) == []
    assert set(TOP.split()) <= set(package.__all__)
    assert package.set_data_dir is package.dataset_initialize


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_the_names_that_scripts_import(name):
    module = importlib.import_module(f"laion_fmri.{name}")
    assert [one for one in MODULES[name].split() if not hasattr(module, one)] == []


def test_download_and_stimuli_are_modules_also_after_the_package_was_imported():
    script = (
        "import laion_fmri, types; assert isinstance(laion_fmri.download, types.ModuleType); "
        "assert isinstance(laion_fmri.stimuli, types.ModuleType); "
        "from laion_fmri.download import download; assert callable(download)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_function_takes_what_it_took(name):
    module, _, function = name.partition(".")
    found = getattr(importlib.import_module(f"laion_fmri.{module}"), function)
    takes(found, SIGNATURES[name])


def test_a_subject_has_all_methods():
    subject = importlib.import_module("laion_fmri.subject").Subject
    assert [name for name in SUBJECT.split() if not hasattr(subject, name)] == []


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_a_subject_takes_what_it_took(name):
    subject = importlib.import_module("laion_fmri.subject").Subject
    takes(getattr(subject, name), METHODS[name])


def test_errors_are_what_scripts_catch():
    errors = importlib.import_module("laion_fmri._errors")
    access = importlib.import_module("laion_fmri._stimulus_access")
    bases = {
        errors.DataNotFoundError: FileNotFoundError,
        errors.DataNotDownloadedError: errors.DataNotFoundError,
        errors.NoMatchingDataError: errors.DataNotFoundError,
        errors.SubjectNotFoundError: ValueError,
        errors.StimuliNotDownloadedError: FileNotFoundError,
        errors.LicenseNotAcceptedError: RuntimeError,
        access.AccessServiceError: RuntimeError,
        access.TermsOutdatedError: access.AccessServiceError,
        access.AccessRevokedError: access.AccessServiceError,
        access.AccessNotFoundError: access.AccessServiceError,
    }
    wrong = [one.__name__ for one, base in bases.items() if not issubclass(one, base)]
    assert wrong == []


def test_a_subject_is_named_in_either_way_and_nothing_else():
    package = importlib.import_module("laion_fmri")
    assert package.resolve_subject_id("01") == package.resolve_subject_id("sub-01") == "sub-01"
    with pytest.raises(TypeError):
        package.resolve_subject_id(1)
    for empty in ("", "sub-"):
        with pytest.raises(package.SubjectNotFoundError):
            package.resolve_subject_id(empty)


def test_the_data_directory_is_text_that_is_a_path_too(here):
    from laion_fmri.config import dataset_initialize, get_data_dir

    dataset_initialize(here.data)
    found = get_data_dir()
    assert isinstance(found, str)
    assert os.path.join(found, "stimuli") == f"{here.data}/stimuli"
    assert found / "stimuli" == here.data / "stimuli"
    assert found + "/stimuli" == f"{here.data}/stimuli"


def test_what_is_not_on_disk_is_an_error_that_scripts_catch(here):
    import laion_fmri

    laion_fmri.dataset_initialize(str(here.data))
    with pytest.raises(laion_fmri.DataNotDownloadedError, match="download"):
        laion_fmri.load_subject("sub-01")
    with pytest.raises(FileNotFoundError):
        laion_fmri.load_stimuli()
    with pytest.raises(FileNotFoundError):
        laion_fmri.load_embeddings("CLIP")


def test_a_download_that_selects_nothing_is_an_error(here):
    from laion_fmri import NoMatchingDataError
    from laion_fmri.config import dataset_initialize
    from laion_fmri.download import download

    dataset_initialize(str(here.data))
    with pytest.raises(NoMatchingDataError):
        download("sub-01", ses="ses-09")


def test_without_the_anatomical_mask_no_other_one_is_taken_in_silence(here):
    """As by an older version, whose directories have no such file."""
    from laion_fmri.config import dataset_initialize
    from laion_fmri.download import download
    from laion_fmri.subject import load_subject

    dataset_initialize(str(here.data))
    download("sub-01", ses="ses-01", suffix=["statmap", "trials"])
    sub = load_subject("sub-01")
    for path in here.data.glob("derivatives/anatomical/*/*/anat/*res-1pt8_desc-brain_mask.nii.gz"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="include_anatomical=True"):
        sub.get_betas(session="ses-01", mask_source="anatomical")
    with pytest.warns(UserWarning, match="include_anatomical=True"):
        found = sub.get_betas(session="ses-01")
    assert found.shape == (24, sub.get_n_voxels(source="rsquare"))


# --- the command ----------------------------------------------------------------------------------


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "laion_fmri", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_bare_command_prints_its_help(here):
    done = run()
    assert done.returncode == 0
    assert "usage" in done.stdout.lower()


@pytest.mark.parametrize(
    "command",
    [
        "config",
        "download",
        "download-raw",
        "download-embeddings",
        "download-stimuli",
        "download-segmentations",
        "download-captions",
        "request-access",
        "info",
        "login",
        "logout",
    ],
)
def test_each_command_is_there(here, command):
    done = run(command, "--help")
    assert done.returncode == 0, done.stderr
    assert run(command, "--no-such-flag").returncode == 2


def test_the_command_calls_the_function_of_the_moment(here, monkeypatch):
    """Tests of scripts patch it, and call ``main([...])``."""
    from laion_fmri import _cli
    from laion_fmri.config import dataset_initialize

    dataset_initialize(str(here.data))
    seen = []
    monkeypatch.setattr("laion_fmri.download.download", lambda *a, **k: seen.append((a, k)))
    line = "download --subject sub-01 --ses ses-01 averages --suffix statmap --n-jobs 2"
    _cli.main([*line.split(), "--include-embeddings", "CLIP", "--include-anatomical"])
    ((positional, keywords),) = seen
    assert (*positional, keywords.get("subject"))[0] in ("sub-01", ["sub-01"])
    assert keywords["ses"] == ["ses-01", "averages"]
    assert keywords["suffix"] == ["statmap"]
    assert keywords["n_jobs"] == 2
    assert keywords["include_embeddings"] == ["CLIP"]
    assert keywords["include_anatomical"] is True


def test_the_command_downloads_what_the_function_does(here):
    done = run("config", "--data-dir", str(here.data))
    assert done.returncode == 0, done.stderr
    line = "download --subject sub-03 --ses ses-01 --suffix trials --include-embeddings CLIP"
    done = run(*line.split())
    assert done.returncode == 0, done.stderr
    assert [one.name for one in (here.data / "stimuli").iterdir()] == [
        "task-images_desc-CLIP_embeddings.h5"
    ]
    done = run("download", "--subject", "sub-03", "--ses", "ses-09")
    assert done.returncode != 0
    assert done.stderr.startswith("laion-fmri: ")
    assert "Traceback" not in done.stderr
