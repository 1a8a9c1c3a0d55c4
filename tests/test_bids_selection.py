"""``get`` on small BIDS buckets: what comes, by command and by function, for each kind of need."""

import pytest

import neurofetch
from neurofetch.console import ExitCode
from neurofetch.errors import NothingMatchedError, UsageError
from testbed.bids import KINDS
from testbed.s3 import S3Server
from tests.faces import Shell, on_disk

pytestmark = pytest.mark.slow

URL = "s3://bucket/ds"


class Bucket:
    """A bucket with one data set below ``ds/``, and a shell beside it."""

    def __init__(self, home, monkeypatch):
        self.home = home
        self.s3 = S3Server({"bucket": {}})
        self._monkeypatch = monkeypatch
        self._targets = 0

    def __enter__(self):
        self.s3.__enter__()
        self.shell = Shell(self.home, self.s3.url)
        for name, text in self.shell.env.items():
            self._monkeypatch.setenv(name, text)
        return self

    def __exit__(self, *what):
        self.s3.__exit__(*what)

    def holds(self, paths):
        """Put files there: by path their content, or their paths alone."""
        contents = paths if isinstance(paths, dict) else dict.fromkeys(paths, b"1")
        for path, content in contents.items():
            self.s3.put(f"ds/{path}", content, bucket="bucket")
        return self

    def target(self):
        self._targets += 1
        return self.home / f"target{self._targets}"

    def got(self, url=URL, **filters):
        """Fetch by function into a new folder; return the paths there."""
        target = self.target()
        neurofetch.get(url, target, progress="none", **filters)
        return on_disk(target)

    def ran(self, line, url=URL):
        """Fetch by command into a new folder; return how it ended, and the paths there."""
        target = self.target()
        done = self.shell(f"neurofetch get {url} --dest {target} {line}")
        return done, on_disk(target) if target.exists() else set()


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    with Bucket(tmp_path, monkeypatch) as made:
        yield made


# -- recordings that are folders -------------------------------------------------------------------

FOLDERS = {
    "sub-01/meg/sub-01_task-AEF_run-01_meg.ds": ("BadChannels", "x.meg4", "hz.ds/hz.meg4"),
    "sub-01/meg/sub-01_task-bti_meg": ("config", "hs_file", "c,rfDC"),
    "sub-01/meg/sub-01_task-kit_run-1_meg": ("sub-01_task-kit_run-1_meg.con", "x_marker.mrk"),
    "sub-01/ses-a/eeg/sub-01_ses-a_task-net_eeg.mff": ("info.xml", "signal1.bin", "a/b.xml"),
    "sub-01/micr/sub-01_sample-A_SPIM.ome.zarr": (".zattrs", "0/.zarray", "0/0/0/0"),
    "sub-01/ieeg/sub-01_task-x_ieeg.mefd": ("RA1.timd/RA1-000001.segd/RA1-000001.tdat",),
    "sub-01/ieeg/sub-01_task-y_ieeg.nwb": ("nwb.json", "acquisition/0"),
}


def inside(folder):
    return {f"{folder}/{name}" for name in FOLDERS[folder]}


def filters_of(folder):
    name = folder.rpartition("/")[2]
    *pairs, rest = name.split("_")
    suffix, _, extension = rest.partition(".")
    found = [{"subject": "01", "suffix": suffix}, {"subject": "01"}]
    found += [{"extension": extension}, {"extension": f".{extension}"}] if extension else []
    found += [dict([pair.split("-")]) for pair in pairs if not pair.startswith("sub")]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_recording_that_is_a_folder_comes_whole_or_not_at_all(bucket, folder):
    other = folder.replace("sub-01", "sub-02")
    files = [path for each in FOLDERS for path in inside(each)]
    elsewhere = {path.replace(folder, other) for path in inside(folder)}
    bucket.holds(["dataset_description.json", *files, *elsewhere])
    for filters in filters_of(folder):
        got = bucket.got(**filters)
        assert inside(folder) <= got, filters
        if "subject" in filters:
            assert not elsewhere & got, filters
        for each in FOLDERS:
            assert inside(each) <= got or not inside(each) & got, (filters, each)
    for piece in (folder, sorted(inside(folder))[0]):
        assert inside(folder) <= bucket.got(f"{URL}/{piece}"), piece


def test_folders_that_are_files_come_by_command_too(bucket):
    files = {path for folder in FOLDERS for path in inside(folder)}
    bucket.holds(["dataset_description.json", *files])
    done, got = bucket.ran("--subject 01")
    assert done.code == 0, done.err
    assert files <= got


# -- inherited metadata, and files that belong to a recording --------------------------------------

NEEDS = [
    (
        "metadata inherited",
        {"subject": "02", "suffix": "bold", "run": "1"},
        {
            "task-rest_bold.json",
            "sub-02/sub-02_task-rest_bold.json",
            "sub-02/func/sub-02_task-rest_run-1_bold.nii.gz",
            "sub-02/func/sub-02_task-rest_events.tsv",
            "task-rest_events.json",
        },
    ),
    ("metadata inherited", {"datatype": "func"}, {"task-rest_bold.json", "task-rest_events.json"}),
    ("metadata inherited", {"subject": "01"}, {"sub-01/sub-01_scans.tsv", "task-rest_bold.json"}),
    ("gradients inherited", {"subject": "01"}, {"dwi.bval", "dwi.bvec", "dwi.json"}),
    ("gradients inherited", {"extension": "nii.gz"}, {"dwi.bval", "dwi.bvec", "dwi.json"}),
    (
        "columns inherited",
        {"session": "b"},
        {"task-rest_physio.json", "task-rest_bold.json"},
    ),
    (
        "columns inherited",
        {"subject": "01", "session": "a", "suffix": "bold"},
        {"sub-01/ses-a/func/sub-01_ses-a_task-rest_physio.tsv.gz", "task-rest_physio.json"},
    ),
    (
        "context and calibration",
        {"subject": "01", "suffix": "asl"},
        {
            "sub-01/perf/sub-01_asl.json",
            "sub-01/perf/sub-01_aslcontext.tsv",
            "sub-01/perf/sub-01_m0scan.nii.gz",
            "sub-01/perf/sub-01_m0scan.json",
        },
    ),
    (
        "images that need images",
        {"subject": "01", "suffix": "phasediff"},
        {"sub-01/fmap/sub-01_magnitude1.nii.gz", "sub-01/fmap/sub-01_phasediff.json"},
    ),
    (
        "recordings that are folders",
        {"subject": "01", "extension": "ds"},
        {
            "sub-01/meg/sub-01_coordsystem.json",
            "sub-01/meg/sub-01_task-rest_channels.tsv",
            "sub-01/meg/sub-01_task-rest_meg.json",
            "sub-01/meg/sub-01_task-rest_meg.ds/BadChannels",
        },
    ),
    (
        "electrodes and coordinates",
        {"subject": "01", "session": "1", "suffix": "eeg"},
        {
            "coordsystem.json",
            "task-rest_eeg.json",
            "sub-01/sub-01_sessions.tsv",
            "sub-01/ses-1/eeg/sub-01_ses-1_electrodes.tsv",
            "sub-01/ses-1/eeg/sub-01_ses-1_task-rest_channels.tsv",
            "sub-01/ses-1/eeg/sub-01_ses-1_task-rest_events.tsv",
        },
    ),
    ("electrodes and coordinates", {"suffix": "electrodes"}, {"coordsystem.json"}),
    ("images that are folders", {"subject": "01"}, {"samples.tsv", "participants.tsv"}),
    ("names passed over", {"subject": "01"}, {".bidsignore"}),
    ("names passed over", {"suffix": "T1w"}, {".bidsignore", "CHANGES", "LICENSE", "README"}),
]


@pytest.mark.parametrize(("kind", "filters", "needed"), NEEDS)
def test_what_a_chosen_file_needs_comes_along_from_any_folder_above(bucket, kind, filters, needed):
    assert needed <= set(KINDS[kind]())
    got = bucket.holds(KINDS[kind]()).got(**filters)
    assert needed <= got
    assert {"dataset_description.json", "participants.tsv", "README"} <= got
    if "subject" in filters:
        other = {path for path in got if path.startswith("sub-")}
        assert all(path.startswith(f"sub-{filters['subject']}/") for path in other)


@pytest.mark.parametrize(
    ("kind", "filters"),
    [
        ("metadata inherited", {"suffix": "T1w"}),
        ("images that need images", {"suffix": "magnitude2"}),
        ("gradients inherited", {"include": "README"}),
    ],
)
def test_metadata_of_others_stays(bucket, kind, filters):
    got = bucket.holds(KINDS[kind]()).got(**filters)
    assert not {path for path in got if path.endswith(("bold.json", "events.json", ".bval"))}


# -- descriptions of data sets in data sets --------------------------------------------------------


@pytest.mark.parametrize(
    "inner", ["derivatives/fmriprep", "derivatives/a/derivatives/b", "sourcedata/raw"]
)
def test_the_description_of_each_data_set_a_chosen_file_lies_in_comes_along(bucket, inner):
    image = f"{inner}/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
    folders = [f"{'/'.join(inner.split('/')[:depth])}/" for depth in (2, 4)][: inner.count("/")]
    descriptions = {f"{folder}dataset_description.json" for folder in ("", *folders)}
    other = "derivatives/other/dataset_description.json"
    bucket.holds([image, *descriptions, "sub-01/anat/sub-01_T1w.nii.gz", other])
    got = bucket.got(include=image)
    assert image in got
    assert descriptions <= got
    assert other not in got


def test_a_subject_brings_its_derivatives_described(bucket):
    want = {
        "dataset_description.json",
        "derivatives/fmriprep/dataset_description.json",
        "derivatives/fmriprep/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    }
    done, got = bucket.holds(want).ran("--subject 01")
    assert (done.code, got) == (0, want)


# -- one file alone --------------------------------------------------------------------------------

ALONE = {
    "dataset_description.json": b"{}",
    "participants.tsv": b"participant_id\nsub-01\n",
    "participants.json": b"{}",
    "README": b"words",
    "phenotype/sleep.tsv": b"participant_id\nsub-01\n",
    "sub-01/anat/sub-01_T1w.nii.gz": b"1",
}


@pytest.mark.parametrize(
    ("below", "line", "named"),
    [
        ("/participants.tsv", "", "participants.tsv"),
        ("", "--include participants.tsv", "participants.tsv"),
        ("", "--extension tsv", "participants.tsv"),
        ("", "--suffix participants", "participants.tsv"),
        ("", "--include README", "README"),
        ("", "--include dataset_description.json", "dataset_description.json"),
        ("/dataset_description.json", "", "dataset_description.json"),
        ("", "--include 'phenotype/*'", "phenotype/sleep.tsv"),
        ("", "--suffix participants --extension json", "participants.json"),
    ],
)
def test_a_file_that_is_there_can_be_fetched_alone(bucket, below, line, named):
    done, got = bucket.holds(ALONE).ran(line, URL + below)
    assert done.code == 0, done.err
    assert named in got
    assert "sub-01/anat/sub-01_T1w.nii.gz" not in got


def test_a_file_that_is_not_there_is_no_success(bucket):
    done, got = bucket.holds(ALONE).ran("--include participants.csv")
    assert (done.code, got) == (ExitCode.NOTHING_MATCHED, set())


# -- a file that lacks what was asked for ----------------------------------------------------------

LACKING = {
    "sub-emptyroom/meg/sub-emptyroom_task-noise_meg.fif",
    "sub-01/anat/sub-01_T1w.nii.gz",
    "derivatives/freesurfer/sub-01/mri/T1.mgz",
    "sub-01/meg/sub-01_task-rest_acq-a_run-1_meg.fif",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_space-T1w_bold.nii.gz",
}


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        ({"task": "noise"}, {"sub-emptyroom/meg/sub-emptyroom_task-noise_meg.fif"}),
        ({"acq": "a"}, {"sub-01/meg/sub-01_task-rest_acq-a_run-1_meg.fif"}),
        ({"run": 1}, {"sub-01/meg/sub-01_task-rest_acq-a_run-1_meg.fif"}),
        ({"space": "T1w"}, {"sub-01/ses-1/func/sub-01_ses-1_task-rest_space-T1w_bold.nii.gz"}),
        ({"ses": "1"}, {"sub-01/ses-1/func/sub-01_ses-1_task-rest_space-T1w_bold.nii.gz"}),
        ({"task": "rest", "suffix": "meg"}, {"sub-01/meg/sub-01_task-rest_acq-a_run-1_meg.fif"}),
    ],
)
def test_a_file_that_lacks_an_entity_asked_for_is_not_chosen(bucket, filters, chosen):
    assert bucket.holds(LACKING).got(**filters) == chosen


def test_filters_that_no_file_meets_together_choose_nothing(bucket):
    bucket.holds(LACKING)
    with pytest.raises((NothingMatchedError, UsageError)):
        bucket.got(task="noise", run=1)


# -- only what is needed is listed -----------------------------------------------------------------


def listed(bucket, line):
    bucket.s3.clear_log()
    done, _ = bucket.ran(f"--dry-run {line}")
    assert done.code == 0, done.err
    return sum(request.sent for request in bucket.s3.requests("LIST"))


@pytest.mark.parametrize("derived", [False, True], ids=["raw", "with derivatives"])
def test_a_filter_on_subjects_lists_the_folders_of_these_subjects(bucket, derived):
    names = [
        f"sub-{sub:02d}/anat/sub-{sub:02d}_run-{run:03d}_T1w.nii.gz"
        for sub in range(1, 21)
        for run in range(400)
    ]
    names += [f"derivatives/smooth/{name}" for name in names] if derived else []
    bucket.holds(["dataset_description.json", *names])
    everything = listed(bucket, "")
    assert listed(bucket, "--subject 01") < everything / 4
    assert listed(bucket, "--subject 3") < everything / 4
    assert listed(bucket, "--subject 01 02") < everything / 3


def in_sessions(subjects):
    return {
        "dataset_description.json": b'{"Name": "x", "BIDSVersion": "1.10.0"}',
        "participants.tsv": b"participant_id\n",
        "task-a_bold.json": b"{}",
        **{
            f"sub-{sub}/ses-{ses}/{path.format(f'sub-{sub}_ses-{ses}')}": b"1"
            for sub in subjects
            for ses in ("pre", "post")
            for path in ("anat/{}_T1w.nii.gz", "func/{}_task-a_bold.nii.gz", "{}_scans.tsv")
        },
        **{f"derivatives/x/sub-{sub}/anat/sub-{sub}_desc-x_T1w.nii.gz": b"1" for sub in subjects},
    }


@pytest.mark.parametrize(
    ("below", "filters", "scans"),
    [
        ("", {"datatype": "anat"}, False),
        ("", {"subject": "2", "datatype": "func"}, False),
        ("", {"subject": "02", "ses": "pre"}, True),
        ("", {"ses": "pre", "suffix": "T1w"}, False),
        ("/sub-02/ses-pre/anat", {}, False),
        ("/sub-02/ses-pre/func/sub-02_ses-pre_task-a_bold.nii.gz", {}, False),
        ("/sub-02/ses-pre", {}, True),
        ("/sub-02", {"datatype": "anat"}, False),
        ("", {"subject": "02", "ses": "PRE"}, True),
        ("", {"subject": "02", "derivatives": "x", "datatype": "anat"}, False),
    ],
)
def test_what_is_chosen_does_not_depend_on_how_much_of_the_bucket_was_listed(
    bucket, below, filters, scans
):
    """The class: a rule that needs all files of a folder, and a folder of which few were seen."""
    files = in_sessions(["01", "02"])
    files["derivatives/x/derivatives/y/sub-02/anat/sub-02_T1w.nii.gz"] = b"1"
    files["sub-03/ses-Pre/anat/sub-03_ses-Pre_T1w.nii.gz"] = b"1"
    small = bucket.holds(files).got(f"{URL}{below}", **filters)
    bucket.s3.page_size = 2  # folders are looked at, one level after the other
    assert bucket.got(f"{URL}{below}", **filters) == small
    assert bool([path for path in small if path.endswith("_scans.tsv")]) is scans


EMPTY = "sub-emptyroom/ses-1/meg/sub-emptyroom_ses-1_"
NAMING = {
    "dataset_description.json": b'{"Name": "x", "BIDSVersion": "1.10.0"}',
    "sub-01/meg/sub-01_task-a_meg.fif": b"1",
    "sub-01/meg/sub-01_task-a_meg.json": f'{{"AssociatedEmptyRoom": "{EMPTY}meg.ds"}}'.encode(),
    "sub-01/anat/sub-01_T1w.nii.gz": b"1",
    f"{EMPTY}meg.ds/a.meg4": b"1",
    f"{EMPTY}meg.ds/b/c.res4": b"1",
    f"{EMPTY}meg.json": b"{}",
    f"{EMPTY}coordsystem.json": b"{}",
    f"{EMPTY}task-b_meg.fif": b"1",
    "sub-emptyroom/sub-emptyroom_meg.json": b"{}",
    "sub-emptyroom/sub-emptyroom_sessions.tsv": b"session_id\nses-1\n",
    "sub-emptyroom/ses-1/sub-emptyroom_ses-1_scans.tsv": b"filename\nmeg/x\n",
    "sub-emptyroom/ses-2/meg/sub-emptyroom_ses-2_meg.fif": b"1",
    "sub-emptyroom/ses-2/sub-emptyroom_ses-2_scans.tsv": b"filename\nmeg/x\n",
    "sub-02/meg/sub-02_task-a_meg.fif": b"1",
    "sub-02/meg/sub-02_task-a_meg.json": (
        b'{"AssociatedEmptyRoom": "sub-emptyroom/ses-2/meg/sub-emptyroom_ses-2_meg.fif"}'
    ),
}


@pytest.mark.parametrize(
    ("below", "filters"),
    [
        ("", {"subject": "01", "datatype": "meg"}),
        ("", {"subject": "02"}),
        ("/sub-01/meg", {}),
        ("/sub-01", {"task": "a"}),
    ],
)
def test_what_is_followed_brings_what_it_needs_however_much_was_listed(bucket, below, filters):
    """The class: companions are looked for in a listing that lacks their folders."""
    small = bucket.holds(NAMING).got(f"{URL}{below}", follow=True, **filters)
    bucket.s3.page_size = 2
    assert bucket.got(f"{URL}{below}", follow=True, **filters) == small
    needed = {path for path in NAMING if path.startswith(EMPTY) and "task-b" not in path}
    if filters != {"subject": "02"}:
        assert {*needed, "sub-emptyroom/sub-emptyroom_meg.json"} <= small
    assert not any(path.endswith(("task-b_meg.fif", "_scans.tsv")) for path in small)


@pytest.mark.parametrize(
    ("glob", "comes"), [("*.meg4", True), ("*.ds", False), ("*_meg.ds/*", False), ("*.fif", True)]
)
def test_what_is_followed_comes_whole_or_not_at_all(bucket, glob, comes):
    """The class: a recording that is a folder, without the pieces that a glob names."""
    bucket.holds(NAMING)
    got = bucket.got(follow=True, subject="01", datatype="meg", exclude=glob)
    pieces = {path for path in NAMING if path.startswith(f"{EMPTY}meg.ds/")}
    assert got & pieces == (pieces if comes else set())
