"""The gallery of loading, cell by cell: masks, betas, regions, trials, stimuli, groups, torch."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from testbed.laion import trial_labels
from tests.acceptance_world import (
    QUIET,
    RECIPE,
    lay_out,
    naive_union,
    same,
    volume,
    world,
)
from tests.loader_tree import (
    anatomical_path,
    glm,
    mean_path,
    naive_betas,
    naive_map,
    naive_mask,
    naive_roi,
    trials_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from laion_fmri.subject import Subject
    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

ONE = "sub-01"
BODY = {"EBA": "body", "FBA1": "body", "FBA2": "body"}
EVENTS = [
    "onset",
    "duration",
    "trial_number",
    "trial_type",
    "response",
    "response_correct",
    "response_changed",
    "response_time",
    "stim_number",
    "stim_name",
    "stim_occurrence",
    "stim_occurrence_run",
    "stim_occurrence_session",
    "stim_duration",
    "isi_onset",
    "isi_duration",
    "pulse_number",
    "pulse_onset",
    "run",
]


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[World]:
    from laion_fmri.config import dataset_initialize

    with world(tmp_path_factory.mktemp("load")) as made:
        lay_out(made.data, ONE)
        dataset_initialize(str(made.data))
        yield made


@pytest.fixture(scope="module")
def sub(here) -> Subject:
    from laion_fmri.subject import load_subject

    return load_subject(ONE)


def betas(root: Path, session: str = "ses-01", source: str = "anatomical") -> np.ndarray:
    return naive_betas(root, session, ONE, source)


def ceiling(root: Path, session: str = "ses-01", source: str = "anatomical") -> np.ndarray:
    path = glm(root, "Noiseceiling_statmap.nii.gz", session, ONE)
    return naive_map(root, path, ONE, source)


def region(root: Path, name: str, category: str) -> np.ndarray:
    return naive_roi(root, name, category, ONE, "anatomical")


# --- masks ----------------------------------------------------------------------------------------


def test_each_mask_is_a_voxel_axis_of_its_own(here, sub):
    for source in ("anatomical", "rsquare"):
        mask = sub.get_brain_mask(source=source)
        expected = naive_mask(here.data, ONE, source)
        assert mask.dtype == bool
        assert same(mask, expected)
        assert sub.get_n_voxels(source=source) == expected.sum()
        nc = sub.get_noise_ceiling(session="ses-01", mask_source=source)
        assert same(nc, ceiling(here.data, source=source))
        assert len(nc) == sub.get_n_voxels(source=source)
        found = sub.get_betas(session="ses-01", mask_source=source)
        assert same(found, betas(here.data, source=source))
    assert same(sub.get_brain_mask(), naive_mask(here.data, ONE, "anatomical"))
    fine = volume(anatomical_path(here.data, ONE, "desc-brain_mask.nii.gz")) != 0
    assert same(sub.get_brain_mask(res=None), fine)
    assert sub.get_n_voxels(res=None) == fine.sum()
    with pytest.raises(ValueError, match=r"anatomical.*rsquare|rsquare.*anatomical"):
        sub.get_brain_mask(source="other")


def test_a_mask_of_one_source_does_not_fit_the_other(here, sub):
    wrong = sub.get_roi_mask("FFA1", mask_source="rsquare")
    assert len(wrong) != sub.get_n_voxels()
    with pytest.raises(ValueError, match="mask"):
        sub.get_betas(session="ses-01", mask=wrong)


# --- betas ----------------------------------------------------------------------------------------


def test_regions_and_thresholds_choose_columns(here, sub):
    every = betas(here.data)
    ffa = region(here.data, "FFA1", "face")
    nc = ceiling(here.data)
    with np.errstate(invalid="ignore"):
        high, higher = nc >= 20, nc >= 30
    assert 0 < high.sum() < len(nc)
    assert same(sub.get_betas(session="ses-01", roi="FFA1"), every[:, ffa])
    assert same(sub.get_betas(session="ses-01", nc_threshold=20), every[:, high])
    both = sub.get_betas(session="ses-01", roi="FFA1", nc_threshold=30)
    assert same(both, every[:, ffa & higher])
    assert both.flags.c_contiguous


@pytest.mark.filterwarnings("ignore:.*percent")  # which is told, and is what the gallery has
def test_the_thresholds_of_the_gallery_are_percent_all_the_same(here, sub):
    nc = ceiling(here.data)
    ffa = region(here.data, "FFA1", "face")
    found = sub.get_betas(session="ses-01", nc_threshold=0.2)
    assert same(found, betas(here.data)[:, nc >= 0.2])
    found = sub.get_betas(session="ses-01", roi="FFA1", nc_threshold=0.3)
    assert same(found, betas(here.data)[:, ffa & (nc >= 0.3)])


def test_streaming_changes_memory_only(here, sub, tmp_path):
    plain = sub.get_betas(session="ses-01")
    streamed = sub.get_betas(session="ses-01", streaming=True)[0]
    assert same(streamed, plain[0])
    sub.to_nifti(streamed, tmp_path / "streamed.nii.gz")
    mask = naive_mask(here.data, ONE, "anatomical")
    assert same(volume(tmp_path / "streamed.nii.gz")[mask], plain[0])


def test_stimuli_choose_rows(here, sub):
    labels = pd.read_csv(trials_path(here.data, "ses-01", ONE), sep="\t")["label"]
    shared = labels.str.startswith("shared_").to_numpy()
    every = betas(here.data)
    assert same(sub.get_betas(session="ses-01", stimuli="shared"), every[shared])
    assert same(sub.get_betas(session="ses-01", stimuli="unique"), every[~shared])
    with pytest.raises(ValueError, match="shared"):
        sub.get_betas(session="ses-01", stimuli="other")


def test_masks_of_regions_and_ceilings_combine(here, sub):
    r = "MST"
    nc = sub.get_noise_ceiling(session="ses-01")
    mask = sub.get_roi_mask(r) & (nc > 50)
    expected = region(here.data, r, "motion") & (ceiling(here.data) > 50)
    assert 0 < expected.sum() < region(here.data, r, "motion").sum()
    assert same(sub.get_betas(session="ses-01", mask=mask), betas(here.data)[:, expected])
    with pytest.raises(ValueError, match="mutually exclusive"):
        sub.get_betas(session="ses-01", roi=r, mask=mask)


def test_cells_that_are_not_numbers_stay_so_and_are_an_error_or_zero_if_asked(here, sub):
    every = betas(here.data)
    assert np.isnan(every).any()
    assert same(sub.get_betas(session="ses-01"), every)
    assert same(sub.get_betas(session="ses-01", nan="keep"), every)
    assert same(sub.get_betas(session="ses-01", nan="zero"), np.nan_to_num(every, nan=0.0))
    with pytest.raises(ValueError, match="NaN"):
        sub.get_betas(session="ses-01", nan="raise")


def test_a_list_of_sessions_is_a_dictionary_by_what_was_asked(here, sub):
    sessions = ["ses-02", "ses-01"]
    found = sub.get_betas(session=sessions, roi="FFA1")
    assert list(found) == sessions
    for session in sessions:
        ffa = region(here.data, "FFA1", "face")
        assert same(found[session], betas(here.data, session)[:, ffa])
    for nothing in ([], None, ""):
        with pytest.raises(ValueError, match="session is required"):
            sub.get_betas(session=nothing)


def test_noise_ceilings_of_the_subject_come_by_name(here, sub):
    for desc in ("Noiseceiling4rep", "Noiseceiling12rep", "NoiseceilingAllrep"):
        path = glm(here.data, f"desc-{desc}_statmap.nii.gz", "", ONE)
        expected = naive_map(here.data, path, ONE, "anatomical")
        assert same(sub.get_noise_ceiling(desc=desc), expected)
    with pytest.raises(ValueError):  # noqa: PT011 - one of both is due
        sub.get_noise_ceiling()
    with pytest.raises(ValueError):  # noqa: PT011
        sub.get_noise_ceiling(session="ses-01", desc="Noiseceiling4rep")
    with pytest.raises(FileNotFoundError):
        sub.get_noise_ceiling(session="ses-07")


# --- regions --------------------------------------------------------------------------------------


def test_regions_come_by_name_by_category_and_all_together(here, sub):
    body = naive_union(here.data, BODY, ONE)
    assert same(sub.get_roi_mask("body"), body)
    assert same(
        sub.get_roi_mask(["EBA", "FFA1"]),
        naive_union(here.data, {"EBA": "body", "FFA1": "face"}, ONE),
    )
    folder = here.data / "derivatives" / "rois" / ONE
    brain = naive_mask(here.data, ONE, "anatomical")
    every = [volume(path)[brain] != 0 for path in folder.glob("*/*res-1pt8*.nii.gz")]
    assert same(sub.get_roi_mask("all"), np.any(every, axis=0))
    assert sub.get_available_categories() == sorted(path.name for path in folder.iterdir())
    found = sub.get_roi_masks(["FFA1", "body"])
    assert list(found) == ["FFA1", "body"]
    assert same(found["body"], body)
    with pytest.raises(ValueError, match="FFA1"):
        sub.get_roi_mask("FFA9")


def test_regions_on_surfaces_have_the_vertices_of_the_subjects_own(here, sub):
    from laion_fmri._paths import freesurfer_surf_path
    from laion_fmri.config import get_data_dir

    stem = here.data / f"derivatives/rois/{ONE}/face/{ONE}"
    vertices = []
    for hemi in ("L", "R"):
        found = sub.get_roi_data("FFA1", format="func.gii")["FFA1"]["gii"][f"hemi-{hemi}"]
        path = f"{stem}_hemi-{hemi}_space-fsnative_label-FFA1_mask.func.gii"
        assert same(found["func.gii"], nib.load(path).agg_data() != 0)
        assert found["func.gii"].sum() == 40
        pial = freesurfer_surf_path(get_data_dir(), ONE, hemi, "pial")
        assert len(nib.freesurfer.read_geometry(pial)[0]) == len(found["func.gii"])
        vertices.append(len(found["func.gii"]))
    assert vertices[0] != vertices[1]

    data = sub.get_roi_data("FFA1", format="all")["FFA1"]
    assert same(data["volume"], region(here.data, "FFA1", "face"))
    assert set(data["gii"]) == {"hemi-L", "hemi-R"}
    for hemi, kinds in data["gii"].items():
        assert same(np.flatnonzero(kinds["func.gii"]), kinds["label"]), hemi
    assert set(sub.get_roi_data("face", format="label", hemi="L")) == {
        "FFA1",
        "FFA2",
        "OFA",
        "pSTSfaces",
    }
    assert list(sub.get_roi_data("FFA1", format="nii.gz")["FFA1"]) == ["volume"]


# --- trials, stimuli ------------------------------------------------------------------------------


def test_trials_have_their_labels(here, sub):
    trials = sub.get_trial_info(session="ses-01")
    expected = trial_labels(RECIPE, ONE, "ses-01")
    assert list(trials.columns) == ["session", "run", "beta_index", "label"]
    assert trials["label"].tolist() == expected
    assert trials["session"].tolist() == ["ses-01"] * len(expected)
    with pytest.raises(FileNotFoundError):
        sub.get_trial_info(session="ses-07")


def test_the_table_of_all_trials_goes_with_the_stacked_betas(here, sub):
    table = sub.metadata[["session", "session_trial", "image_name", "unique_or_shared"]]
    sessions = sub.get_sessions()
    expected = [
        (s, t, name) for s in sessions for t, name in enumerate(trial_labels(RECIPE, ONE, s))
    ]
    found = table[["session", "session_trial", "image_name"]].itertuples(index=False, name=None)
    assert list(found) == expected
    assert table.index.tolist() == list(range(len(expected)))
    kinds = [name.split("_")[0] for _, _, name in expected]
    assert table["unique_or_shared"].tolist() == kinds
    rows = pd.read_csv(here.data / "stimuli/task-images_metadata.csv")["image_name"]
    assert rows.iloc[sub.metadata["stim_idx"].astype(int)].tolist() == [
        name for _, _, name in expected
    ]


def test_pictures_of_trials_are_as_displayed(here, sub):
    names = [name for s in sub.get_sessions() for name in trial_labels(RECIPE, ONE, s)]
    assert len(sub.images) == len(names)
    assert sub.images.get(0).size == (16, 16)
    contents = pictures(here.data)
    assert sub.images[0] == contents[names[0]]
    found = sub.images.array()
    assert (found.dtype, found.shape) == (np.uint8, (len(names), 16, 16, 3))
    for index, name in enumerate(names):
        expected = displayed(contents[name])
        assert same(found[index], expected), name
        assert same(np.array(sub.images.get(index)), expected), name


def pictures(root: Path) -> dict[str, bytes]:
    names = pd.read_csv(root / "stimuli/task-images_metadata.csv")["image_name"]
    with h5py.File(root / "stimuli/task-images_stimuli.h5") as file:
        return {name: bytes(one) for name, one in zip(names, file["images"], strict=True)}


def displayed(content: bytes) -> np.ndarray:
    """Return what the subjects saw: on grey, where the picture lets it through."""
    image = Image.open(io.BytesIO(content))
    if "A" not in image.getbands():
        return np.array(image.convert("RGB"))
    grey = Image.new("RGBA", image.size, (128, 128, 128, 255))
    return np.array(Image.alpha_composite(grey, image.convert("RGBA")).convert("RGB"))


def test_a_picture_that_is_transparent_is_shown_on_grey(here):
    import laion_fmri
    from laion_fmri.stimuli import PRESENTATION_BACKGROUND_RGB8, load_stimuli

    assert PRESENTATION_BACKGROUND_RGB8 == (128, 128, 128)
    name = "shared_4rep_OOD_cropped_air_pump.png"
    with load_stimuli() as stim:
        shown = np.array(stim.images.get(name))
        raw = stim.images.get(name, as_displayed=False)
        assert shown[0, 0].tolist() == [128, 128, 128]
        assert same(shown, displayed(stim.images[name]))
        assert raw.mode == "RGBA"
        assert np.array(raw)[0, 0].tolist() == [255, 0, 0, 0]
        assert same(np.array(laion_fmri.as_displayed_rgb(raw)), shown)


def test_counts_of_stimuli_are_those_of_the_table(here, sub):
    table = pd.read_csv(here.data / "stimuli/task-images_metadata.csv")
    shared = int((table["unique_or_shared"] == "shared").sum())
    assert sub.get_n_stimuli() == len(table)
    assert sub.get_n_stimuli("shared") == shared
    assert sub.get_n_stimuli(stimuli="unique") == len(table) - shared


# --- other files ----------------------------------------------------------------------------------


def test_anatomy_and_surfaces_are_paths(here, sub):
    assert sub.has_anatomical()
    assert sub.has_freesurfer()
    assert sub.get_t1w() == anatomical_path(here.data, ONE, "T1w.nii.gz")
    assert sub.get_t2w(res="1pt8") == anatomical_path(here.data, ONE, "res-1pt8_T2w.nii.gz")
    assert sub.get_anatomical_brain_mask(res="1pt8") == anatomical_path(here.data, ONE)
    assert sub.get_freesurfer_dir() == here.data / "derivatives/freesurfer" / ONE
    assert sub.get_anatomical_dir() == here.data / "derivatives/anatomical" / ONE


def test_values_of_a_region_go_back_to_their_places(here, sub, tmp_path):
    path = tmp_path / "roi.nii.gz"
    roi_mean = sub.get_betas(session="ses-01", roi="FFA1").mean(axis=0)
    sub.to_nifti(roi_mean, path, roi="FFA1")
    brain = naive_mask(here.data, ONE, "anatomical")
    inside = np.flatnonzero(brain)[region(here.data, "FFA1", "face")]
    whole = volume(path)
    assert same(whole[inside], roi_mean)
    assert not np.delete(whole, inside).any()
    mask = anatomical_path(here.data, ONE)
    assert same(nib.load(path).affine, nib.load(mask).affine)
    with pytest.raises(ValueError, match=r"shape|length|values"):
        sub.to_nifti(roi_mean[:-1], path, roi="FFA1")


def test_coordinates_are_millimetres_of_the_scanner(here, sub):
    image = nib.load(anatomical_path(here.data, ONE))
    ijk = np.argwhere(np.asarray(image.dataobj) != 0)
    expected = nib.affines.apply_affine(image.affine, ijk)
    found = sub.get_voxel_coordinates()
    assert found.shape == (sub.get_n_voxels(), 3)
    assert np.allclose(found, expected)
    ffa = region(here.data, "FFA1", "face")
    assert np.allclose(sub.get_voxel_coordinates(roi="FFA1"), expected[ffa])


def test_events_of_a_session_are_its_runs_together(here, sub):
    events = sub.get_events(session="ses-01")
    runs = []
    for run in (1, 2):
        name = f"{ONE}_ses-01_task-images_run-{run:02d}_events.tsv"
        table = pd.read_csv(here.data / ONE / "ses-01" / "func" / name, sep="\t")
        runs.append(table.assign(run=f"run-{run:02d}"))
    expected = pd.concat(runs, ignore_index=True)
    assert events.shape == (26, 19)
    assert list(events) == EVENTS
    assert events["stim_name"].fillna("").tolist() == expected["stim_name"].fillna("").tolist()
    assert events["run"].tolist() == expected["run"].tolist()
    assert np.allclose(events["onset"], expected["onset"])


# --- more than one subject ------------------------------------------------------------------------


def test_a_second_subject_is_downloaded_and_makes_a_group(here):
    from laion_fmri.download import download
    from laion_fmri.group import load_subjects

    download(
        "sub-03",
        ses="ses-01",
        suffix=["statmap", "trials", "mask"],
        include_anatomical=True,
        n_jobs=4,
    )
    group = load_subjects(["sub-01", "sub-03"])
    assert len(group) == 2
    assert [name for name, _ in group] == ["sub-01", "sub-03"]
    shared = group.get_shared_betas("ses-01", roi="pSTSfaces")
    columns = []
    for name, found in shared.items():
        labels = trial_labels(RECIPE, name, "ses-01")
        rows = np.array([label.startswith("shared_") for label in labels])
        roi = naive_roi(here.data, "pSTSfaces", "face", name, "anatomical")
        expected = naive_betas(here.data, "ses-01", name, "anatomical")[np.ix_(rows, roi)]
        assert same(found, expected)
        columns.append(found.shape[1])
    assert list(shared) == ["sub-01", "sub-03"]
    assert columns[0] != columns[1]
    everyone = load_subjects("all")
    assert len(everyone) == 2
    assert everyone[0].subject_id == "sub-01"
    assert everyone["sub-03"].get_sessions() == ["ses-01"]


def test_a_group_has_the_stimuli_that_all_saw(here):
    from laion_fmri.group import load_subjects

    group = load_subjects(["sub-01"])
    table = pd.read_csv(here.data / "stimuli/task-images_metadata.csv")
    shared = table[table["unique_or_shared"] == "shared"].reset_index(drop=True)
    found = group.get_shared_stimulus_metadata()
    assert found["image_name"].tolist() == shared["image_name"].tolist()
    assert found.index.tolist() == list(range(len(shared)))
    contents = pictures(here.data)
    expected = [displayed(contents[name]) for name in shared["image_name"]]
    assert same(group.get_shared_images(format="numpy"), np.array(expected))
    assert [one.size for one in group.get_shared_images()] == [(16, 16)] * len(shared)


# --- torch ----------------------------------------------------------------------------------------


def test_torch_items_are_trials_with_their_pictures(here, sub):
    torch = pytest.importorskip("torch")
    dataset = sub.to_torch_dataset(session="ses-01", roi="FFA1")
    labels = trial_labels(RECIPE, ONE, "ses-01")
    expected = betas(here.data)[:, region(here.data, "FFA1", "face")]
    contents = pictures(here.data)
    assert len(dataset) == len(labels)
    for index in range(len(labels)):
        item = dataset[index]
        assert item["betas"].dtype == torch.float32
        assert same(item["betas"].numpy(), expected[index])
        assert item["image"].shape == (3, 16, 16)
        shown = displayed(contents[labels[index]]).transpose(2, 0, 1)
        assert np.allclose(item["image"].numpy() * 255, shown, atol=1e-3)
        assert item["image_name"] == labels[index]
        assert item["session"] == "ses-01"
        assert item["rep_index"] == labels[:index].count(labels[index])
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)
    batch = next(iter(loader))
    assert list(batch["betas"].shape) == [16, expected.shape[1]]
    assert list(batch["image"].shape) == [16, 3, 16, 16]


# --- paths that the gallery plots from ------------------------------------------------------------


def test_the_files_that_the_gallery_plots_are_where_the_paths_say(here):
    from laion_fmri import _paths

    root = str(here.data)
    assert _paths.r2mean_path(root, ONE) == mean_path(here.data, ONE)
    assert (
        _paths.glmsingle_subject_dir(root, ONE) == here.data / "derivatives/glmsingle-tedana" / ONE
    )
    assert _paths.roi_mask_path(root, ONE, "FFA1").is_file()
    assert _paths.roi_mask_path(root, ONE, "FFA1", res="1pt5").is_file()
    assert _paths.betas_path(root, ONE, "ses-01").is_file()
    assert _paths.raw_bold_path(root, ONE, "ses-01", 1, 2).is_file()
    assert _paths.raw_events_path(root, ONE, "ses-01", 2).is_file()
