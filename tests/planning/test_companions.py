"""What comes along with chosen files: by inheritance, by the schema's ties, and described."""

from __future__ import annotations

import cProfile

import pytest

from neurofetch.errors import NothingMatchedError, UnknownValueError, UsageError
from neurofetch.model import RemoteFile
from neurofetch.planning.companions import companions
from neurofetch.planning.dataset import BIDS_RULES, Dataset, coming_along, make_selection
from neurofetch.planning.query import query
from neurofetch.planning.units import is_unit, unit_of


def chosen(paths, bare=False, permissive=False, derivatives=None, **filters):
    wanted = query(**filters).with_derivatives(derivatives)
    wanted = wanted if permissive else wanted.strictly()
    dataset = Dataset("x", "b", rules=BIDS_RULES)
    found = make_selection([RemoteFile(path, 1, "e") for path in sorted(paths)], wanted, dataset)
    return {want.path: want.why for want in found.wants}, found.notes


def along(paths, asked):
    paths = sorted(paths)
    found = companions(paths, [path in asked for path in paths], lambda _: True)
    return {paths[number]: why for number, why in found.items()}


BOLD = "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_bold.nii.gz"


@pytest.mark.parametrize(
    ("path", "comes"),
    [
        ("bold.json", True),
        ("task-rest_bold.json", True),
        ("run-1_bold.json", True),
        ("sub-01/sub-01_bold.json", True),
        ("sub-01/ses-1/sub-01_ses-1_task-rest_bold.json", True),
        ("sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.json", True),
        ("task-rest_run-1_events.tsv", True),
        ("task-rest_events.json", False),  # it describes events, and there are none
        ("task-other_bold.json", False),
        ("task-rest_run-2_bold.json", False),
        ("task-rest_echo-1_bold.json", False),  # an entity more than the data has
        ("sub-01/anat/sub-01_bold.json", False),  # in no folder above
        ("sub-02/sub-02_bold.json", False),
        ("task-rest_T1w.json", False),
        ("derivatives/x/task-rest_bold.json", False),
        ("sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_recording-pulse_physio.tsv.gz", True),
        ("sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_sbref.nii.gz", True),
        ("sub-01/ses-1/func/sub-01_ses-1_task-rest_run-2_sbref.nii.gz", False),
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", False),
        ("run-01_bold.json", True),  # an index is a number
        ("sub-01/ses-1/func/sub-01_ses-1_task-rest_run-001_events.tsv", True),
        ("task-rest_run-10_bold.json", False),
        ("group_bold.tsv", False),  # of a group: that is no entity
        ("sub-01/ses-1/func/sub-01_ses-1_old_task-rest_bold.json", False),
    ],
)
def test_metadata_applies_by_suffix_entities_and_folder(path, comes):
    assert (path in along([BOLD, path], {BOLD})) is comes


def test_many_files_of_a_suffix_in_one_folder_are_told_apart():
    """The class: a quick index that forgets a rule of the slow search."""
    runs = [f"sub-01/func/sub-01_task-x_run-{n:03}_bold" for n in range(60)]
    paths = [run + end for run in runs for end in (".nii.gz", ".json")]
    paths += ["sub-01/func/sub-01_bold.json", "sub-01/func/sub-01_task-y_bold.json"]
    found = along(paths, {runs[7] + ".nii.gz", runs[8] + ".nii.gz"})
    assert set(found) == {runs[7] + ".json", runs[8] + ".json", "sub-01/func/sub-01_bold.json"}
    assert set(found.values()) == {"sidecar of chosen bold files"}


def test_what_is_no_entity_in_a_name_tells_its_metadata_too():
    """The class: a name with a chunk that is no entity, taken for the name without it."""
    tables = ["phenotype/adhd_rs.tsv", "phenotype/mdq_rs.tsv"]
    paths = [*tables, "phenotype/adhd_rs.json", "phenotype/mdq_rs.json", "T1w.json"]
    assert set(along(paths, {tables[0]})) == {"phenotype/adhd_rs.json"}
    odd = "sub-01/anat/sub-01_old_T1w.nii.gz"
    assert set(along([odd, *paths], {odd})) == {"T1w.json"}
    atlas = ["dataset_description.json", "atlas-A_description.json", "sub-01/x_atlas-A_dseg.nii.gz"]
    assert along(atlas, {atlas[2]}) == {
        "dataset_description.json": "describes the data set",
        "atlas-A_description.json": "atlas description of chosen dseg files",
    }


def test_parts_of_one_split_recording_stay_together():
    """The class: a recording that cannot be read without a file that nobody named."""
    start = "sub-01/meg/sub-01_task-a_"
    parts = [f"{start}run-1_split-{part}_meg.fif" for part in ("01", "02", "03")]
    others = [f"{start}run-2_split-02_meg.fif", f"{start}run-1_acq-b_split-02_meg.fif"]
    others += [f"{start}run-1_meg.fif", "sub-02/meg/sub-02_task-a_run-1_split-02_meg.fif"]
    found = along([*parts, *others], {parts[1]})
    assert found == dict.fromkeys((parts[0], parts[2]), "piece of chosen meg files")


@pytest.mark.parametrize(
    "asked", ["_task-a_meg.fif", "_acq-hires_task-a_meg.fif", "_task-a_split-02_meg.fif"]
)
def test_a_recording_brings_what_its_machine_was_calibrated_with(asked):
    """The class: a file that belongs to data of its own suffix, told by a value."""
    start = "sub-01/ses-1/meg/sub-01_ses-1"
    comes = {
        f"{start}_acq-calibration_meg.dat": "calibration of chosen meg files",
        f"{start}_acq-crosstalk_meg.fif": "crosstalk of chosen meg files",
    }
    stays = {
        f"{start}_acq-other_meg.fif",
        f"{start}_task-b_meg.fif",
        f"{start}_acq-crosstalk_task-b_meg.fif",
        "sub-01/ses-2/meg/sub-01_ses-2_acq-calibration_meg.dat",
    }
    assert along([start + asked, *comes, *stays], {start + asked}) == comes


def test_markers_that_lack_an_entity_or_have_a_space_come_along():
    start = "sub-01/meg/sub-01"
    comes = {f"{start}_space-A_acq-pre_markers.mrk", f"{start}_task-a_markers.sqd"}
    assert set(along([f"{start}_task-a_meg.con", *comes], {f"{start}_task-a_meg.con"})) == comes


def test_a_recording_beside_data_brings_its_own_events_and_no_other_recording():
    """The class: large files that nobody asked for, with one of their kind that was."""
    run = "sub-01/func/sub-01_task-a_"
    eye = f"{run}recording-eye1_physio.tsv.gz"
    events = [f"{run}recording-eye1_physioevents.tsv.gz", f"{run}events.tsv"]
    others = [f"{run}recording-pulse_physio.tsv.gz", f"{run}stim.tsv.gz", f"{run}physio.tsv.gz"]
    assert set(along([eye, *events, *others], {eye})) == set(events)
    bold = f"{run}bold.nii.gz"
    assert set(along([bold, eye, *events, *others], {bold})) == {eye, *events, *others}


@pytest.mark.parametrize("end", ["motion.tsv", "events.tsv", "beh.tsv", "desc-a_timeseries.tsv"])
def test_a_table_is_no_metadata_of_another_table(end):
    """The class: a recording that nobody asked for, taken for the metadata of another one."""
    run, whole = f"sub-01/motion/sub-01_task-a_run-2_{end}", f"sub-01/motion/sub-01_task-a_{end}"
    suffix = end.removesuffix(".tsv").rpartition("_")[2]
    found = along([run, whole, f"task-a_{suffix}.json"], {run})
    assert set(found) == {f"task-a_{suffix}.json"}


def test_gradients_have_no_metadata_of_their_own():
    """The class: metadata taken for data, and a wrong reason in the plan."""
    image, asked = "sub-01/dwi/sub-01_dir-PA_dwi.nii.gz", "dir-PA_dwi.bvec"
    inherited = {"dwi.bval": "inherited by chosen dwi files"}
    assert along([image, asked, *inherited], {image, asked}) == inherited
    assert along([image, asked, *inherited], {asked}) == {}


def test_a_table_of_labels_comes_with_its_image():
    image = "derivatives/x/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz"
    table = "derivatives/x/desc-aseg_dseg.tsv"
    assert set(along([image, table], {image})) == {table}


@pytest.mark.parametrize("suffix", ["events.tsv", "channels.tsv", "electrodes.tsv"])
def test_metadata_alone_does_not_bring_the_recordings_beside_the_data(suffix):
    """The class: large files that nobody asked for, with a table that was asked for."""
    run = "sub-01/func/sub-01_task-a_"
    beside = [f"{run}physio.tsv.gz", f"{run}recording-x_stim.tsv.gz", f"{run}bold.nii.gz"]
    found = along([run + suffix, *beside, "task-a_events.json"], {run + suffix})
    assert set(found) == ({"task-a_events.json"} if suffix == "events.tsv" else set())


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("func", ("bold.nii.gz", "recording-x_physio.tsv.gz", "stim.tsv.gz", "events.tsv")),
        ("ieeg", ("ieeg.edf", "space-A_electrodes.tsv", "space-A_coordsystem.json")),
        ("pet", ("pet.nii.gz", "recording-manual_blood.tsv")),
    ],
)
def test_the_work_grows_with_the_number_of_runs_in_a_folder_and_not_with_its_square(kind, ends):
    """The class: each file of a folder held against each candidate in it."""

    def calls(runs):
        start = f"sub-01/{kind}/sub-01_task-a_run-"
        paths = [f"{start}{run}_{end}" for run in range(runs) for end in ends]
        profile = cProfile.Profile()
        profile.enable()
        found = along(paths, {path for path in paths if path.endswith(ends[0])})
        profile.disable()
        assert len(found) == len(paths) - runs
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(800) < 6 * calls(200)


def test_what_comes_along_has_companions_of_its_own():
    ieeg = "sub-01/ieeg/sub-01_task-x_ieeg.edf"
    chain = {
        "sub-01/ieeg/sub-01_space-A_electrodes.tsv": "electrodes of chosen ieeg files",
        "sub-01/ieeg/sub-01_space-A_electrodes.json": "sidecar of chosen electrodes files",
        "sub-01/ieeg/sub-01_space-A_coordsystem.json": "coordsystem of chosen",
        "task-x_channels.tsv": "channels of chosen ieeg files",
        "channels.json": "sidecar of chosen channels files",
        "task-x_ieeg.json": "inherited by chosen ieeg files",
    }
    found = along([ieeg, *chain, "space-A_coordsystem.tsv"], {ieeg})
    assert set(found) == set(chain)
    assert all(found[path].startswith(why) for path, why in chain.items())


@pytest.mark.parametrize(
    ("asked", "pieces"),
    [
        ("sub-01/eeg/sub-01_eeg.vhdr", {"sub-01/eeg/sub-01_eeg.vmrk", "sub-01/eeg/sub-01_eeg.eeg"}),
        ("sub-01/eeg/sub-01_eeg.set", {"sub-01/eeg/sub-01_eeg.fdt"}),
    ],
)
def test_pieces_of_one_recording_stay_together(asked, pieces):
    assert set(along([asked, *pieces, "sub-01/eeg/sub-01_run-1_eeg.eeg"], {asked})) == pieces


def test_each_data_set_a_chosen_file_lies_in_is_described():
    nested = "derivatives/a/derivatives/b/sub-01/func/sub-01_bold.nii.gz"
    roots = ["", "derivatives/a/", "derivatives/a/derivatives/b/"]
    expected = {root + "dataset_description.json" for root in roots} | {"README.md", ".bidsignore"}
    other = {"derivatives/c/dataset_description.json", "derivatives/a/code/README", "code/README"}
    assert set(along([nested, *expected, *other], {nested})) == expected


def test_a_description_alone_brings_nothing():
    paths = ["README", "participants.tsv", "dataset_description.json", "participants.json"]
    assert along(paths, {"participants.tsv"}) == {}


def test_lists_of_sessions_bring_their_sidecars_and_none_comes_without_its_list():
    """The class: a sidecar of what is not there."""
    first, second = (f"sub-{sub}/anat/sub-{sub}_T1w.nii.gz" for sub in ("01", "02"))
    lists = {
        "sub-01/sub-01_sessions.tsv": "lists the sessions of chosen subjects",
        "sub-01/sub-01_sessions.json": "sidecar of chosen sessions files",
        "sessions.json": "inherited by chosen sessions files",
    }
    assert along([first, second, *lists], {first}) == lists
    assert along([first, second, *lists], {second}) == {}


@pytest.mark.parametrize("store", ["sub-01_ieeg.nwb", "sub-01_ieeg.mefd", "sub-01_meg"])
def test_the_datatype_of_a_recording_that_is_a_folder_is_not_read_inside_it(store):
    """The class: a recording that comes in part, by a filter that reads the names in it."""
    inside = {f"sub-01/ieeg/{store}/{name}" for name in ("x", "acquisition/eeg/0", "anat/0")}
    other = "sub-01/eeg/sub-01_eeg.edf"
    assert inside <= set(chosen([*inside, other], datatype="ieeg")[0])
    assert set(chosen([*inside, other], datatype="eeg")[0]) == {other}


def test_lists_of_scans_come_where_all_they_list_is_chosen():
    scans = "sub-01/ses-1/sub-01_ses-1_scans.tsv"
    both = [BOLD, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"]
    assert along([scans, *both], {*both}) == {scans: "lists the chosen scans"}
    assert scans not in along([scans, *both], {BOLD})
    _, notes = chosen([scans, *both], suffix="bold")
    assert any("scans.tsv lists also files that are not chosen" in note for note in notes)
    assert scans in chosen([scans, *both], session="1")[0]


@pytest.mark.parametrize(
    "unit",
    [
        "sub-01/meg/sub-01_task-x_meg.ds",
        "sub-01/meg/sub-01_task-x_meg",
        "sub-01/micr/sub-01_sample-A_SPIM.ome.zarr",
        "sub-01/ieeg/sub-01_task-x_ieeg.mefd",
        "sourcedata/sub-01/eeg/sub-01_task-x_eeg.mff",
    ],
)
@pytest.mark.parametrize("name", ["a", "b/c", "d.ds/e.acq"])
def test_globs_choose_a_recording_that_is_a_folder_whole_or_not_at_all(unit, name):
    pieces = {f"{unit}/{piece}" for piece in ("a", "b/c", "d.ds/e.acq")}
    other = "sub-01/anat/sub-01_T1w.nii.gz"
    assert unit_of(f"{unit}/{name}") == unit
    found, _ = chosen([*pieces, other], include=f"**/{unit.rpartition('/')[2]}/{name}")
    assert set(found) == pieces
    found, notes = chosen([*pieces, other], exclude=f"{unit}/{name}")
    assert set(found) == {*pieces, other}
    assert any("comes whole" in note for note in notes)
    assert set(chosen([*pieces, other], exclude=unit)[0]) == {other}


def test_folders_that_are_no_recordings():
    for name in ("meg", ".zarr", "sub-01", "sub-01_task-rest.feat", "code_meg", "anat"):
        assert not is_unit(name)


def test_a_strict_filter_chooses_only_what_has_the_entity_and_a_permissive_one_says_what_lacks_it():
    rest, t1 = "sub-01/func/sub-01_task-rest_bold.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz"
    assert set(chosen([rest, t1], task="rest")[0]) == {rest}
    found, _ = chosen([rest, t1], permissive=True, task="rest")
    assert found == {rest: "asked for", t1: "has no task: passes"}


DERIVED = [
    "sub-01/anat/sub-01_T1w.nii.gz",
    "derivatives/fmriprep/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    "derivatives/freesurfer/sub-01/anat/sub-01_mask.nii.gz",
    "derivatives/README",
]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (None, DERIVED),
        ("all", DERIVED),
        ("none", DERIVED[:1]),
        ("fmriprep", DERIVED[:2]),
        ("derivatives/fmriprep/", DERIVED[:2]),
        (["fmriprep", "freesurfer"], DERIVED[:3]),
    ],
)
def test_derivatives_are_all_none_or_those_named(given, left):
    assert set(chosen(DERIVED, derivatives=given)[0]) == set(left)


def test_files_directly_in_the_folder_of_derivatives_are_of_none_of_them():
    """The class: a file taken for a folder."""
    paths = ["T1w.json", "derivatives/README.md", "derivatives/dataset_description.json"]
    paths += [f"derivatives/{name}/sub-01/anat/sub-01_desc-x_T1w.nii.gz" for name in ("a", "b")]
    assert set(chosen(paths, derivatives="a")[0]) == {paths[0], *paths[2:4]}
    assert set(chosen(paths, derivatives="none")[0]) == {"T1w.json"}
    assert set(chosen(paths, derivatives="b", suffix="T1w", extension="nii.gz")[0]) == {
        paths[2],
        paths[4],
    }
    with pytest.raises(UnknownValueError, match=r"It has a, b\."):
        chosen(paths, derivatives="README.md")


@pytest.mark.parametrize(
    "folder",
    ["sub-01.feat", "sub-01.anat/x.ica", "sub-01_task-a.feat", "sub-01_ses-1.long.sub-01_base"],
)
def test_a_folder_with_an_extension_is_its_subjects(folder):
    """The class: what a program puts behind a label, taken for a part of the label."""
    mine, other = f"derivatives/x/{folder}/stats/map.nii.gz", "derivatives/x/sub-02.feat/map.nii.gz"
    assert set(chosen([mine, other, "sub-01/anat/sub-01_T1w.nii.gz"], subject="1")[0]) == {
        mine,
        "sub-01/anat/sub-01_T1w.nii.gz",
    }
    if "ses-1" in folder:
        assert set(chosen([mine, other], ses="1")[0]) == {mine}


def test_labels_with_a_decimal_stay_whole():
    paths = ["sub-01/ses-0.5/anat/notes.txt", "sub-01/ses-0/anat/notes.txt"]
    assert set(chosen(paths, ses="0.5")[0]) == {paths[0]}


@pytest.mark.parametrize(("sub", "ses"), [("01", "01"), ("02", "1"), ("03", "PRE")])
def test_a_session_means_that_of_the_subjects_asked_for(sub, ses):
    """The class: a value that exists elsewhere hides the spelling that was meant."""
    own = {"01": "1", "02": "01", "03": "pre"}
    paths = [f"sub-{s}/ses-{v}/anat/sub-{s}_ses-{v}_T1w.nii.gz" for s, v in own.items()]
    paths += ["sub-04/ses-PRE/anat/sub-04_ses-PRE_T1w.nii.gz"]
    found, notes = chosen(paths, subject=sub, ses=ses)
    assert set(found) == {f"sub-{sub}/ses-{own[sub]}/anat/sub-{sub}_ses-{own[sub]}_T1w.nii.gz"}
    assert f"ses-{ses} → ses-{own[sub]}" in notes
    assert set(chosen(paths, subject=["01", "02"], ses="1")[0]) == {paths[0]}
    assert set(chosen(paths, subject="04", ses="Pre")[0]) == {paths[3]}
    with pytest.raises(UnknownValueError, match="could mean 2 others: PRE, pre"):
        chosen(paths, ses="Pre")
    with pytest.raises(NothingMatchedError, match="no file has both"):
        chosen(paths, subject="01", ses="pre")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("subjct", "subject"), ("Subject", "subject"), ("suffixes", "suffix"), ("runs", "run")],
)
def test_a_misspelt_filter_says_which_there_is(misspelt, meant):
    with pytest.raises(UnknownValueError, match=rf"Did you mean {meant}=\?"):
        chosen([BOLD], **{misspelt: "1"})


def test_derivatives_that_are_not_there_are_told_with_those_that_are():
    with pytest.raises(
        UnknownValueError, match=r"no derivatives named fmriprp.*freesurfer.*mean fmri"
    ):
        chosen(DERIVED, derivatives="fmriprp")
    with pytest.raises(UsageError, match="goes with no other name"):
        chosen(DERIVED, derivatives=["all", "fmriprep"])


def test_what_is_followed_brings_its_own_companions():
    noise = RemoteFile("sub-emptyroom/meg/sub-emptyroom_task-noise_meg.fif", 1, "e")
    paths = [noise.key, "task-noise_meg.json", "sub-01/meg/sub-01_task-x_meg.fif", "README"]
    files = [RemoteFile(path, 1, "e") for path in sorted(paths)]
    dataset = Dataset("x", "b", rules=BIDS_RULES)
    selection = make_selection(files, query(subject="01").strictly(), dataset)
    more = coming_along(files, selection, query(), dataset, [noise])
    assert {one.remote.key for one in more} == {"task-noise_meg.json"}
