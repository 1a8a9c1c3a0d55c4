"""What chosen files name: the plan tells it, and ``--follow`` fetches it."""

import json

import pytest

import neurofetch
from neurofetch.engine import Dataset, Fetcher, Listing, make_selection, query
from neurofetch.events import Checking
from neurofetch.named import with_named
from neurofetch.planning.select import Chosen
from testbed.s3 import S3Object, S3Server
from tests.faces import Shell, on_disk

URL = "s3://b/ds"
EVENTS = "sub-{0}/func/sub-{0}_task-x_events.tsv"
MEG = "sub-01/meg/sub-01_task-x_meg.json"
NOISE = "sub-emptyroom/ses-1/meg/sub-emptyroom_ses-1_task-noise_meg.ds"


def dataset():
    files = {
        "dataset_description.json": json.dumps({"DatasetLinks": {"far": "https://x.org"}}).encode(),
        "stimuli/cat.jpg": b"c" * 1000,
        "stimuli/more/dog.jpg": b"d" * 500,
        "stimuli/unused.jpg": b"u",
        f"{NOISE}/a.meg4": b"noise",
        f"{NOISE}/hz.ds/b.res4": b"more noise",
        "sub-01/fmap/sub-01_epi.nii.gz": b"map",
        "sub-01/fmap/sub-01_epi.json": b'{"IntendedFor": "func/sub-01_task-x_bold.nii.gz"}',
        "sub-01/anat/sub-01_T1w.nii.gz": b"anatomy",
        "sub-01/anat/sub-01_T1w.json": b'{"EchoTime": 1}',
        "sub-01/meg/sub-01_task-x_meg.fif": b"meg",
        MEG: json.dumps({"AssociatedEmptyRoom": f"bids::{NOISE}"}).encode(),
    }
    for sub, rows in (("01", "1\tcat.jpg\n2\tmore/dog.jpg\n"), ("02", "1\tcat.jpg\n2\tgone.jpg\n")):
        files[f"sub-{sub}/func/sub-{sub}_task-x_bold.nii.gz"] = b"bold" + sub.encode()
        files[EVENTS.format(sub)] = f"onset\tstim_file\n{rows}".encode()
    return files


FILES = dataset()


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"b": {f"ds/{path}": S3Object(body) for path, body in FILES.items()}}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def put(s3, path, content, **how):
    s3.put(f"ds/{path}", S3Object(content, **how))


def asked(s3):
    """The paths of the files that were asked for."""
    requests = [request.key for request in s3.requests("GET", "ds/*")]
    return sorted(key.removeprefix("ds/") for key in requests)


def paths(plan):
    return {step.want.path for step in plan.steps}


def whys(plan):
    return {step.want.path: step.want.why for step in plan.steps}


def noted(plan, word):
    return [note for note in plan.notes if word in note]


# -- what a plan says ------------------------------------------------------------------------------


def test_the_plan_tells_of_stimuli_that_are_not_chosen(s3, tmp_path):
    plan = neurofetch.plan(URL, tmp_path, subject="01", suffix=["bold", "events"])
    assert noted(plan, "stimul") == [
        "the events of 1 chosen run name 2 stimulus files (1.50 kB) that are not chosen: "
        "--follow (in Python follow=True) fetches them too"
    ]
    assert asked(s3) == [EVENTS.format("01")]
    assert not any(path.startswith("stimuli/") for path in paths(plan))


def test_what_is_named_and_not_in_the_bucket_is_told(s3, tmp_path):
    plan = neurofetch.plan(URL, tmp_path, subject="02", suffix=["bold", "events"])
    assert noted(plan, "bucket") == [
        "files that are named by chosen files are not in the bucket: stimuli/gone.jpg"
    ]
    assert "1 stimulus file (1.00 kB)" in noted(plan, "stimulus")[0]


@pytest.mark.parametrize("suffix", ["T1w", "bold"])
def test_where_nothing_chosen_can_name_anything_nothing_is_read(s3, tmp_path, suffix):
    for follow in (False, True):
        plan = neurofetch.plan(URL, tmp_path, suffix=suffix, follow=follow, bare=True)
        assert not plan.notes
    assert asked(s3) == []


def test_where_everything_is_chosen_nothing_is_read(s3, tmp_path):
    assert paths(neurofetch.plan(URL, tmp_path, follow=True)) == set(FILES)
    assert asked(s3) == []


def test_what_is_excluded_is_neither_told_nor_followed(s3, tmp_path):
    how = {"subject": "02", "suffix": "events", "exclude": ["stimuli/*"]}
    told = neurofetch.plan(URL, tmp_path, **how)
    followed = neurofetch.plan(URL, tmp_path, follow=True, **how)
    assert paths(told) == paths(followed)
    assert not noted(told, "stimul")


def test_only_so_much_is_read_for_a_note(s3, tmp_path):
    for number in range(250):
        path = f"sub-03/func/sub-03_task-x_run-{number}_events.tsv"
        put(s3, path, f"stim_file\ncat.jpg\n{number}.jpg\n".encode())
    plan = neurofetch.plan(URL, tmp_path, subject="03")
    assert len(asked(s3)) == 200
    (note,) = noted(plan, "only")
    assert note.startswith("only 200 of 250 metadata files were read")
    plan = neurofetch.plan(URL, tmp_path, subject="03", follow=True)
    assert not noted(plan, "only")
    assert "stimuli/cat.jpg" in paths(plan)


def test_metadata_too_large_for_a_note_is_read_only_to_follow(s3, tmp_path):
    path = "sub-03/func/sub-03_task-x_events.tsv"
    put(s3, path, b"stim_file\n" + b"cat.jpg\n" * 600_000)
    assert noted(neurofetch.plan(URL, tmp_path, subject="03"), "only 0 of 1")
    assert asked(s3) == []
    plan = neurofetch.plan(URL, tmp_path, subject="03", follow=True)
    assert "stimuli/cat.jpg" in paths(plan)


@pytest.mark.parametrize("follow", [False, True])
def test_metadata_that_cannot_be_read_fails_no_plan(s3, tmp_path, follow):
    put(s3, MEG, b"{")
    plan = neurofetch.plan(URL, tmp_path, subject="01", datatype="meg", follow=follow)
    assert noted(plan, "not known") == [
        f"what is named by 1 chosen file is not known. The first is {MEG}: it is no JSON"
    ]


def test_the_description_with_the_links_is_read_once(s3, tmp_path):
    for number in range(40):
        path = f"sub-03/fmap/sub-03_run-{number}_epi.json"
        put(s3, path, b'{"IntendedFor": ["bids:far:a.nii", "bids::sub-01/anat/sub-01_T1w.nii.gz"]}')
    plan = neurofetch.plan(URL, tmp_path, subject="03")
    assert len(asked(s3)) == 41
    assert noted(plan, "IntendedFor of 40 chosen files names 1 file")


def test_files_in_other_data_sets_are_told(s3, tmp_path):
    put(s3, MEG, b'{"Sources": ["bids:far:a.nii"], "AssociatedEmptyRoom": "https://x.org/b"}')
    plan = neurofetch.plan(URL, tmp_path, subject="01", datatype="meg", follow=True)
    (note,) = noted(plan, "other data sets")
    assert "bids:far:a.nii" in note
    assert "https://x.org/b" in note


def test_a_refused_metadata_file_fails_no_plan(tmp_path, monkeypatch):
    objects = {f"ds/{path}": S3Object(body) for path, body in FILES.items()}
    with S3Server({"b": objects}, forbidden=(f"ds/{MEG}",)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        plan = neurofetch.plan(URL, tmp_path, subject="01", datatype="meg", follow=True)
    (note,) = noted(plan, "not known")
    assert MEG in note


# -- what follow does ------------------------------------------------------------------------------


def test_follow_fetches_what_is_named(s3, tmp_path):
    neurofetch.get(URL, tmp_path, subject="01", suffix=["bold", "events"], follow=True)
    found = on_disk(tmp_path)
    assert {"stimuli/cat.jpg", "stimuli/more/dog.jpg"} <= found
    assert "stimuli/unused.jpg" not in found


def test_the_description_of_an_atlas_that_a_name_names_is_told_and_followed(s3, tmp_path):
    for path in ("sub-01/anat/sub-01_atlas-AAL_dseg.nii.gz", "atlas-AAL_description.json"):
        put(s3, path, b"{}")
    put(s3, "derivatives/p/dataset_description.json", b"{}")
    put(s3, "derivatives/p/sub-01/anat/sub-01_atlas-DK_dseg.nii.gz", b"{}")
    put(s3, "derivatives/p/atlas-DK_description.json", b"{}")
    put(s3, "derivatives/p/sub-01/anat/sub-01_atlas-none_dseg.nii.gz", b"{}")
    how = {"suffix": "dseg", "derivatives": "all", "bare": True}
    (note,) = neurofetch.plan(URL, tmp_path, **how).notes
    assert note.startswith("atlas of 2 chosen files names 2 files")
    by_rule = whys(neurofetch.plan(URL, tmp_path, suffix="dseg"))
    assert by_rule["atlas-AAL_description.json"] == "atlas description of chosen dseg files"
    followed = whys(neurofetch.plan(URL, tmp_path, **how, follow=True))
    assert followed["atlas-AAL_description.json"] == "describes an atlas"
    assert "derivatives/p/atlas-DK_description.json" in followed
    assert asked(s3) == []


def test_a_named_recording_that_is_a_folder_comes_whole(s3, tmp_path):
    plan = neurofetch.plan(URL, tmp_path, subject="01", datatype="meg", follow=True)
    named = {path: why for path, why in whys(plan).items() if path.startswith(NOISE)}
    assert named == dict.fromkeys(
        (f"{NOISE}/a.meg4", f"{NOISE}/hz.ds/b.res4"), "named in AssociatedEmptyRoom"
    )


def test_the_files_of_a_plan_stay_in_order_and_have_one_reason_a_group(s3, tmp_path):
    plan = neurofetch.plan(URL, tmp_path, subject="01", follow=True)
    order = [step.want.remote.key for step in plan.steps]
    assert order == sorted(order)
    assert whys(plan)["stimuli/cat.jpg"] == "named by events"


def test_a_name_that_is_no_recording_brings_no_folder(s3, tmp_path):
    put(s3, EVENTS.format("01"), b"stim_file\n../sub-02\nmore\n../sub-02/\n")
    plan = neurofetch.plan(URL, tmp_path, subject="01", suffix="events", follow=True)
    assert not any(path.startswith(("sub-02", "stimuli")) for path in paths(plan))


def test_names_that_lead_out_of_the_data_set_are_not_followed(s3, tmp_path):
    s3.put("other/secret.jpg", S3Object(b"x"))
    put(s3, EVENTS.format("01"), b"stim_file\n../../other/secret.jpg\n/etc/passwd\n")
    plan = neurofetch.plan(URL, tmp_path, subject="01", suffix="events", follow=True)
    assert not any("secret" in path or "passwd" in path for path in paths(plan))
    assert noted(plan, "/etc/passwd")


def chosen_with(fetcher, wanted, **how):
    files = fetcher.files(Listing((fetcher.dataset.base,)))
    return with_named(fetcher, make_selection(files, wanted, fetcher.dataset), files, wanted, **how)


@pytest.fixture
def fetcher(s3, tmp_path):
    with Fetcher(Dataset("test", "b", base="ds/"), tmp_path) as made:
        yield made


def test_what_is_named_is_followed_in_turn_and_rings_end(s3, fetcher):
    """With what comes along: here, the sidecar of each file."""
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        put(s3, f"sub-09/fmap/sub-09_acq-{one}_epi.nii.gz", b"x")
        body = json.dumps({"Sources": [f"sub-09/fmap/sub-09_acq-{other}_epi.nii.gz"]}).encode()
        put(s3, f"sub-09/fmap/sub-09_acq-{one}_epi.json", body)
    listed = {file.key: file for file in fetcher.files(Listing(("ds/",)))}

    def along(files, _):
        sidecars = [listed.get(file.key.replace(".nii.gz", ".json")) for file in files]
        return [Chosen(file, "sidecar") for file in sidecars if file is not None]

    selection = chosen_with(fetcher, query(sub="09", acq="a"), follow=True, along=along)
    files = {want.path for want in selection.wants if want.path.startswith("sub-09")}
    assert len(files) == 6


def test_what_lies_in_folders_that_were_not_listed_is_looked_up(s3, fetcher):
    wanted = query(sub="01")
    files = fetcher.files(Listing(("ds/sub-01/",), levels=("ds/",)))
    selection = make_selection(files, wanted, fetcher.dataset)
    before = len(s3.requests("GET"))
    found = with_named(
        fetcher,
        selection,
        files,
        wanted,
        follow=True,
        listed=lambda folder: folder == "" or folder.startswith("sub-01/"),
    )
    got = {want.path for want in found.wants}
    assert {"stimuli/cat.jpg", f"{NOISE}/hz.ds/b.res4"} <= got
    assert "sub-02/func/sub-02_task-x_bold.nii.gz" not in got
    assert len(s3.requests("GET")) - before < 10


# -- where it is read ------------------------------------------------------------------------------


def test_metadata_that_is_here_as_listed_is_read_from_the_disk(s3, tmp_path):
    how = {"subject": "01", "suffix": ["bold", "events"]}
    neurofetch.get(URL, tmp_path, **how)
    before = len(asked(s3))
    assert noted(neurofetch.plan(URL, tmp_path, **how), "2 stimulus files")
    assert len(asked(s3)) == before


@pytest.mark.parametrize("change", ["touched", "changed in the bucket"])
def test_metadata_that_is_here_otherwise_is_read_from_the_bucket(s3, tmp_path, change):
    how = {"subject": "01", "suffix": ["bold", "events"]}
    neurofetch.get(URL, tmp_path, **how)
    path, before = EVENTS.format("01"), len(asked(s3))
    old = (tmp_path / path).read_bytes()
    if change == "touched":
        (tmp_path / path).write_bytes(old.replace(b"more/dog.jpg", b"more/fog.jpg"))
    else:
        put(s3, path, old.replace(b"more/dog.jpg", b"more/cog.jpg"))
    plan = neurofetch.plan(URL, tmp_path, **how)
    assert len(asked(s3)) == before + 1
    count = "2 stimulus files" if change == "touched" else "1 stimulus file "
    assert noted(plan, count)


@pytest.mark.parametrize("times", [1, None])
def test_metadata_that_was_damaged_on_the_way_is_read_again_and_never_believed(s3, tmp_path, times):
    path = EVENTS.format("01")
    s3.fault(f"ds/{path}", method="GET", flip=20, times=times)
    plan = neurofetch.plan(URL, tmp_path, subject="01", suffix=["bold", "events"])
    assert bool(noted(plan, "not known")) == (times is None)
    assert bool(noted(plan, "2 stimulus files")) == (times == 1)


def test_metadata_whose_etag_is_no_checksum_is_read_twice_and_believed(s3, tmp_path):
    path = EVENTS.format("01")
    put(s3, path, FILES[path], forced_etag="0" * 32, checksum=None)
    plan = neurofetch.plan(URL, tmp_path, subject="01", suffix=["bold", "events"])
    assert noted(plan, "2 stimulus files")
    assert asked(s3) == [path, path]


# -- the command -----------------------------------------------------------------------------------


def test_the_flag_does_what_the_argument_does(s3, tmp_path):
    shell = Shell(tmp_path, s3.url)
    told = shell(f"neurofetch get {URL} --dest x --sub 01 --suffix bold events --dry-run")
    assert "--follow" in told.out + told.err
    done = shell(f"neurofetch get {URL} --dest x --sub 01 --suffix bold events --follow")
    assert done.code == 0, done.err
    assert "stimuli/cat.jpg" in on_disk(tmp_path / "x")


# -- how far it is ---------------------------------------------------------------------------------


def test_long_reading_of_what_files_name_is_shown(s3, tmp_path):
    """The class: minutes of silence before a plan."""
    for number in range(40):
        put(s3, f"sub-03/func/sub-03_task-x_run-{number}_events.tsv", b"stim_file\ncat.jpg\n")
    s3.latency = 0.5
    events = []
    plan = neurofetch.plan(URL, tmp_path, subject="03", follow=True, progress=events.append)
    assert "stimuli/cat.jpg" in paths(plan)
    reading = [event for event in events if isinstance(event, Checking)]
    assert reading, "nothing was told"
    assert all(event.files == 40 for event in reading)
    assert [event.files_done for event in reading] == sorted(event.files_done for event in reading)
    assert [event.over for event in reading] == [False] * (len(reading) - 1) + [True]


def test_a_dry_run_of_the_command_shows_how_far_it_is(s3, tmp_path):
    s3.latency = 1.5
    done = Shell(tmp_path, s3.url)(
        f"neurofetch get {URL} --dest d --subject 01 --follow --dry-run --progress json"
    )
    assert done.code == 0
    told = [json.loads(line) for line in done.err.splitlines()]
    assert {one["event"] for one in told} >= {"listing", "checking"}
