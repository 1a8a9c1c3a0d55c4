"""How many requests, and how many files, a listing at a URL takes; and which root it finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neurofetch
from neurofetch.engine import Dataset, Fetcher, ListedSource, make_selection, query
from neurofetch.engine import Listing as Prefixes
from neurofetch.errors import NothingMatchedError, RefusedError, UnknownValueError
from neurofetch.events import Listing
from neurofetch.lister import Lister
from neurofetch.model import RemoteFile
from neurofetch.planning.listing import Narrowing
from testbed.s3 import Bytes, Reply, S3Server


def study(subjects, runs=20, sessions=("01", "02")):
    """A data set, with a pipeline in derivatives/, and folders that are no subject's."""
    files = {
        "dataset_description.json": b"{}",
        "participants.tsv": b"participant_id\n",
        "task-rest_bold.json": b"{}",
        "code/run.sh": b"",
        "stimuli/a.png": b"",
        "derivatives/fmriprep/dataset_description.json": b"{}",
        "derivatives/fmriprep/logs/log.txt": b"",
    }
    for number in range(1, subjects + 1):
        sub = f"sub-{number:04}"
        files[f"{sub}/{sub}_sessions.tsv"] = b""
        files[f"derivatives/fmriprep/{sub}.html"] = b""
        for ses in sessions:
            for run in range(runs):
                stem = f"{sub}_ses-{ses}_task-rest_run-{run:02}_bold"
                files[f"{sub}/ses-{ses}/func/{stem}.nii.gz"] = b""
                files[f"derivatives/fmriprep/{sub}/ses-{ses}/func/{stem}.tsv"] = b""
            files[f"{sub}/ses-{ses}/anat/{sub}_ses-{ses}_T1w.nii.gz"] = b""
    return files


@pytest.fixture
def served(monkeypatch):
    """Return what serves a data set at s3://b/ds, beside another one."""
    servers = []

    def serve(files, **how):
        objects = {f"ds/{path}": content for path, content in files.items()}
        server = S3Server({"b": {"ds2/README": b"", **objects}}, **how)
        servers.append(server)
        server.__enter__()
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        return server

    yield serve
    for server in servers:
        server.__exit__(None, None, None)


def asked(server):
    """Return the prefixes that were listed, with a slash for a level, and how many requests."""
    queries = [request.query for request in server.requests("LIST")]
    return [(q.get("prefix", ""), q.get("delimiter", "")) for q in queries]


def paths(plan):
    return {step.want.path for step in plan.steps}


def test_a_small_data_set_comes_with_one_page(served, tmp_path):
    server = served(study(5, runs=2))
    neurofetch.plan("s3://b/ds", tmp_path, subject="0001")
    assert sorted(asked(server)[8:]) == [("ds/", ""), ("ds/", "/")]
    server.clear_log()
    neurofetch.plan("s3://b/ds", tmp_path, subject=["0001", "0002"])
    assert sorted(asked(server)) == [("ds/", ""), ("ds/", "/")]
    server.clear_log()
    neurofetch.plan("s3://b/ds", tmp_path)
    assert asked(server) == [("ds/", "")]


def test_one_subject_of_many_is_listed_without_the_others(served, tmp_path):
    files = study(60)
    server = served(files)
    plan = neurofetch.plan("s3://b/ds", tmp_path, subject="3")
    assert {path for path in files if "sub-0003/" in path} <= paths(plan)
    assert not any("sub-0004" in path for path in paths(plan))
    listed = asked(server)
    assert ("ds/sub-0003/", "") in listed
    assert ("ds/derivatives/fmriprep/sub-0003/", "") in listed
    assert not any("sub-0004" in prefix for prefix, _ in listed)
    assert len(listed) <= 8 + 9
    assert len(listed) == len(set(listed))


def test_a_narrowed_listing_chooses_what_a_whole_one_chooses(served, tmp_path):
    files = study(40, runs=6)
    server = served(files)
    queries = [
        {"subject": ["0001", "40"]},
        {"subject": "2", "ses": "1"},
        {"subject": "0002", "ses": "02", "datatype": "anat"},
        {"ses": "02", "suffix": "T1w"},
        {"datatype": "func", "run": 3},
        {"subject": [f"{number:04}" for number in range(1, 31)]},
    ]
    for one in queries:
        server.clear_log()
        plan = neurofetch.plan("s3://b/ds", tmp_path, **one)
        with Fetcher(Dataset("ds", "b", base="ds/"), tmp_path) as fetcher:
            whole = fetcher.choose(query(**one), Prefixes(("ds/",)))
        assert [step.want for step in plan.steps] == list(whole.wants), one


@pytest.mark.slow
def test_one_subject_of_five_thousand(served, tmp_path):
    files = {"dataset_description.json": b"{}"}
    for number in range(5000):
        for run in range(4):
            files[f"sub-{number:04}/func/sub-{number:04}_run-{run}_bold.nii.gz"] = b""
    server = served(files)
    plan = neurofetch.plan("s3://b/ds", tmp_path, subject="4321")
    assert len(paths(plan)) == 5
    listed = asked(server)
    levels = [prefix for prefix, delimiter in listed if delimiter]
    assert sorted(levels) == ["ds/"] * 6 + ["ds/sub-4321/"]  # 5,000 names, and a file
    assert [p for p, delimiter in listed if not delimiter] == ["ds/sub-4321/", "ds/"]
    with pytest.raises(UnknownValueError, match=r"sub-43210 does not exist. Nearest: 4321"):
        neurofetch.plan("s3://b/ds", tmp_path, subject="43210")


def test_many_small_subjects_are_walked_together(served, tmp_path):
    files = {"dataset_description.json": b"{}"}
    for number in range(300):
        for run in range(4):
            files[f"sub-{number:04}/func/sub-{number:04}_run-{run}_bold.nii.gz"] = b""
    server = served(files)
    some = [f"{number:04}" for number in range(200)]
    plan = neurofetch.plan("s3://b/ds", tmp_path, subject=some)
    assert len(paths(plan)) == 801
    assert ("ds/sub-", "") in asked(server)
    assert len(asked(server)) < 20


@pytest.mark.slow
def test_a_walk_of_all_subjects_from_several_places_is_whole(served, tmp_path):
    """Its prefix ends in the middle of a name, and derivatives are passed over."""
    files = study(250, runs=25)
    server = served(files)
    with Fetcher(Dataset("ds", "b", base="ds/"), tmp_path) as fetcher:
        found = fetcher.find(query(), derivatives=())
    wanted = sorted(f"ds/{path}" for path in files if not path.startswith("derivatives/"))
    assert [file.key for file in found.files] == wanted
    assert found.has_all("sub-0001/")
    assert not found.has_all("derivatives/")
    assert ("ds/sub-", "") in asked(server)
    assert any(request.query.get("start-after") for request in server.requests("LIST"))


def test_large_subjects_are_looked_into_for_a_session(served, tmp_path):
    server = served(study(3, runs=600))
    plan = neurofetch.plan("s3://b/ds", tmp_path, subject="0002", ses="01", datatype="anat")
    assert "sub-0002/ses-01/anat/sub-0002_ses-01_T1w.nii.gz" in paths(plan)
    walked = {prefix for prefix, delimiter in asked(server) if not delimiter}
    assert not any("ses-02" in prefix or "/func/" in prefix for prefix in walked)


def test_an_unknown_subject_gets_its_near_names_and_no_file_is_listed(served, tmp_path):
    server = served(study(60))
    with pytest.raises(UnknownValueError, match=r"sub-0061 does not exist. Nearest: 0060"):
        neurofetch.plan("s3://b/ds", tmp_path, subject="0061")
    walked = {prefix for prefix, _ in asked(server) if "sub-" in prefix}
    assert walked == {"ds/sub-0061/", "ds/sub-061/", "ds/sub-61/"}


def test_filters_that_contradict_each_other_are_told_by_all_there_is(served, tmp_path):
    """The session exists, but only in a subject that was passed over."""
    files = study(60)
    files["sub-0007/ses-extra/anat/sub-0007_ses-extra_T1w.nii.gz"] = b""
    served(files)
    with pytest.raises(NothingMatchedError, match="no file has both sub-0001 and ses-extra"):
        neurofetch.plan("s3://b/ds", tmp_path, subject="1", ses="extra")
    with pytest.raises(UnknownValueError, match=r"ses-3 does not exist.*There are: 01, 02, extra"):
        neurofetch.plan("s3://b/ds", tmp_path, subject="1", ses="3")


def without_delimiters(server):
    """Make each answer the flat listing, and return how many keys each had."""
    honest, listed = server._list, []

    def flat(request):
        request.query = {k: v for k, v in request.query.items() if k != "delimiter"}
        reply = honest(request)
        listed.append(reply.body.count(b"<Contents>"))
        return reply

    server._list = flat
    return listed


@pytest.mark.parametrize("subject", ["0030", "30", "0003"])
def test_without_delimiters_one_subject_is_listed_without_the_others(served, tmp_path, subject):
    files = study(30)
    files |= {f"sub-{subject}_ses-pilot/anat/sub-{subject}_ses-pilot_T1w.nii.gz": b""}
    files |= {"sourcedata/sub-0030/anat/sub-0030_T1w.dcm": b"", "samples.tsv": b"", "swi.json": b""}
    server = served(files)
    listed = without_delimiters(server)
    plan = neurofetch.plan("s3://b/ds", tmp_path, subject=subject)
    assert f"sub-{subject}_ses-pilot/anat/sub-{subject}_ses-pilot_T1w.nii.gz" in paths(plan)
    assert not any("ds/sub-0029/anat".startswith(prefix) for prefix, _ in asked(server))
    assert sum(listed) < len(files)
    with Fetcher(Dataset("ds", "b", base="ds/"), tmp_path) as fetcher:
        whole = fetcher.choose(query(subject=subject), Prefixes(("ds/",)))
    assert [step.want for step in plan.steps] == list(whole.wants)


@pytest.mark.parametrize("filters", [{"subject": ["0030", "7"]}, {"datatype": "anat"}])
def test_a_server_that_knows_no_levels_is_walked(served, tmp_path, filters):
    files = study(30)
    server = served(files)
    without_delimiters(server)
    plan = neurofetch.plan("s3://b/ds", tmp_path, **filters)
    with Fetcher(Dataset("ds", "b", base="ds/"), tmp_path) as fetcher:
        whole = fetcher.choose(query(**filters), Prefixes(("ds/",)))
    assert [step.want for step in plan.steps] == list(whole.wants)


def test_without_delimiters_a_contradiction_is_told_by_all_there_is(served, tmp_path):
    files = study(30)
    files["sub-0007/ses-extra/anat/sub-0007_ses-extra_T1w.nii.gz"] = b""
    without_delimiters(served(files))
    with pytest.raises(NothingMatchedError, match="no file has both sub-0001 and ses-extra"):
        neurofetch.plan("s3://b/ds", tmp_path, subject="0001", ses="extra")
    with pytest.raises(UnknownValueError, match=r"sub-0061 does not exist. Nearest: 00"):
        neurofetch.plan("s3://b/ds", tmp_path, subject="0061")


@pytest.mark.parametrize(
    "url",
    [
        "ds/sub-0007",
        "ds/sub-0007/ses-01/func",
        "ds/sub-0007/ses-01/anat/sub-0007_ses-01_T1w.nii.gz",
        "ds/participants.tsv",
        "ds/derivatives/fmriprep/sub-0007",
    ],
)
def test_without_delimiters_what_describes_a_part_comes_along_all_the_same(served, tmp_path, url):
    files = study(30)
    files["sub-0007/ses-01/sub-0007_ses-01_task-rest_bold.json"] = b"{}"
    server = served(files)
    there = neurofetch.plan(f"s3://b/{url}", tmp_path)
    without_delimiters(server)
    plan = neurofetch.plan(f"s3://b/{url}", tmp_path)
    assert [step.want for step in plan.steps] == [step.want for step in there.steps]
    assert "task-rest_bold.json" in paths(plan) or "func" not in url


def test_without_delimiters_a_url_of_nothing_says_what_begins_so(served, tmp_path):
    without_delimiters(served(study(30)))
    with pytest.raises(NothingMatchedError, match=r"What begins so: s3://b/ds/sub-0010/, s3://b/d"):
        neurofetch.plan("s3://b/ds/sub-001", tmp_path)
    with pytest.raises(NothingMatchedError, match=r"s3://b/ds/ exists and holds: code/, dataset_"):
        neurofetch.plan("s3://b/ds/nothing", tmp_path)


RECORDING = "sub-01/meg/sub-01_task-AEF_meg.ds"
PIECES = [f"{RECORDING}/{name}" for name in ("a.meg4", "hz.ds/hz.acq", "params.dsc")]


@pytest.mark.parametrize("flat", [False, True], ids=["levels", "without delimiters"])
@pytest.mark.parametrize("inside", ["", "/", "/a.meg4", "/hz.ds", "/hz.ds/", "/hz.ds/hz.acq"])
def test_a_url_in_a_recording_that_is_a_folder_stands_for_all_of_it(served, tmp_path, inside, flat):
    beside = ["sub-01/meg/sub-01_task-AEF_meg.json", "sub-01/meg/sub-01_task-AEF_channels.tsv"]
    more = ["dataset_description.json", "sub-01/meg/sub-01_task-rest_meg.fif", "sub-02/a.txt"]
    server = served(dict.fromkeys([*PIECES, *beside, *more], b"{}"))
    if flat:
        without_delimiters(server)
    plan = neurofetch.plan(f"s3://b/ds/{RECORDING}{inside}", tmp_path)
    assert paths(plan) == {*PIECES, *beside, "dataset_description.json"}
    told = any("a recording that is a folder comes whole" in note for note in plan.notes)
    assert told == (inside not in ("", "/"))


def test_the_address_in_a_plan_is_one_that_can_be_asked_for(served, tmp_path):
    odd = "sub-01/anat/sub-01_acq-a b+c%é_T1w.json"
    served({"dataset_description.json": b"{}", odd: b"{}"})
    (step,) = [one for one in neurofetch.plan("s3://b/ds", tmp_path).steps if one.want.path == odd]
    plan = neurofetch.plan(step.want.remote.url, tmp_path)
    assert paths(plan) == {odd, "dataset_description.json"}
    assert not any("recording" in note for note in plan.notes)


def test_a_name_whose_accents_are_encoded_otherwise_is_the_nearest(served, tmp_path):
    there = "sub-01/anat/sub-01_acq-e\u0301_T1w.json"
    served({there: b"{}", "sub-01/anat/sub-01_acq-\u00e9x_T1w.json": b"{}"})
    with pytest.raises(NothingMatchedError, match="accents are encoded in another way") as caught:
        neurofetch.plan("s3://b/ds/sub-01/anat/sub-01_acq-\u00e9_T1w.json", tmp_path)
    assert f"Did you mean s3://b/ds/{there}?" in str(caught.value)


def test_an_empty_folder_is_called_so(served, tmp_path):
    served({"dataset_description.json": b"{}", "sub-01/": b"", "sub-01/anat/": b""})
    with pytest.raises(NothingMatchedError, match=r"^There is nothing in sub-01/anat\. Nothing"):
        neurofetch.plan("s3://b/ds/sub-01/anat", tmp_path)


def test_a_data_set_in_a_folder_that_is_called_like_a_recording_is_none(served, tmp_path):
    served(
        {"all.zarr/dataset_description.json": b"{}", "all.zarr/sub-01/anat/sub-01_T1w.json": b""}
    )
    plan = neurofetch.plan("s3://b/ds/all.zarr/sub-01", tmp_path)
    assert paths(plan) == {"dataset_description.json", "sub-01/anat/sub-01_T1w.json"}


def test_a_first_page_without_files_is_not_the_end(served, tmp_path):
    server = served(study(3, runs=1))
    honest, began = server._list, []

    def slow_to_begin(request):
        query = request.query
        if query["prefix"] == "ds/" and "delimiter" not in query and len(began) < 1:
            began.append(request)
            page = (
                "<ListBucketResult><IsTruncated>true</IsTruncated>"
                "<NextContinuationToken>ZHMv</NextContinuationToken></ListBucketResult>"
            )
            return Reply(200, {}, Bytes(page.encode()))
        return honest(request)

    server._list = slow_to_begin
    plan = neurofetch.plan("s3://b/ds", tmp_path, subject="0002")
    assert any("sub-0002/" in path for path in paths(plan))
    assert began


def test_a_level_that_fails_once_is_asked_again_and_one_that_is_refused_ends_the_listing(
    served, tmp_path
):
    server = served(study(60))
    server.fault(method="LIST", times=2, status=503)
    plan = neurofetch.plan("s3://b/ds", tmp_path, subject="0001")
    assert sum("sub-0001/" in path for path in paths(plan)) == 83
    server.fault(method="LIST", skip=2, status=403)
    with pytest.raises(RefusedError, match="Nothing was fetched"):
        neurofetch.plan("s3://b/ds", tmp_path, subject="0001")


def test_progress_is_shown_while_levels_are_listed(served, tmp_path):
    server = served(study(60), latency=0.4)
    events = []
    neurofetch.get("s3://b/ds", tmp_path, subject="0001", datatype="anat", progress=events.append)
    listings = [event for event in events if isinstance(event, Listing)]
    assert listings[-1].over
    assert listings[-1].prefixes_done == listings[-1].prefixes > 3
    assert len(server.requests("LIST")) < 20


class Pages(ListedSource):
    """A source in memory, with pages of four files."""

    base = ""

    def first_page(self, prefix):
        files = self.walk(prefix)
        return files[:4], len(files) <= 4


SUBJECTS, SESSIONS = ("01", "1", "02", "10", "a", "ab"), ("1", "02", "pre")
TOPS = st.sampled_from(("", "derivatives/x/", "derivatives/", "sourcedata/", "code/", "d/e/"))
NAMES = st.builds(
    lambda top, sub, ses, kind, shape: top + shape.format(sub=sub, ses=ses, kind=kind),
    TOPS,
    st.sampled_from(SUBJECTS),
    st.sampled_from(SESSIONS),
    st.sampled_from(("anat", "func", "figures")),
    st.sampled_from(
        (
            "sub-{sub}/ses-{ses}/{kind}/sub-{sub}_ses-{ses}_run-1_bold.nii",
            "sub-{sub}/{kind}/sub-{sub}_run-2_T1w.nii",
            "sub-{sub}/sub-{sub}_scans.tsv",
            "sub-{sub}_ses-{ses}/sub-{sub}_ses-{ses}_{kind}.nii",
            "sub-{sub}_task-rest.feat/{kind}/sub-{sub}_x.txt",
            "{kind}/sub-{sub}_ses-{ses}_T1w.json",
            "{kind}/task-rest_bold.json",
            "README",
        )
    ),
)


@given(
    st.lists(NAMES, min_size=1, max_size=40),
    st.fixed_dictionaries(
        {},
        optional={
            "subject": st.lists(st.sampled_from((*SUBJECTS, "2", "001")), min_size=1, max_size=2),
            "ses": st.sampled_from((*SESSIONS, "2", "PRE")),
            "datatype": st.sampled_from(("anat", "func")),
            "suffix": st.sampled_from(("bold", "T1w")),
        },
    ),
)
def test_whatever_is_passed_over_is_nothing_that_a_query_chooses(names, filters):
    wanted, dataset = query(**filters), Dataset("x", base="ds/")
    files = [RemoteFile(f"ds/{name}", "u", 1) for name in {*names, "dataset_description.json"}]

    def chosen(files, elsewhere=None):
        try:
            return make_selection(files, wanted, dataset, elsewhere=elsewhere).wants
        except (NothingMatchedError, UnknownValueError):
            return None

    source = Pages(files)
    found = Lister(source, lambda calls: [call() for call in calls], "s3://b/").find(
        "ds", Narrowing(wanted)
    )
    keys = [file.key for file in found.files]
    assert keys == sorted(set(keys))
    assert chosen(found.files, found.named) == chosen(files)
    for file in files:
        folder = file.key.removeprefix("ds/").rpartition("/")[0]
        if found.has_all(f"{folder}/" if folder else ""):
            assert file.key in keys


# -- the root of a data set ------------------------------------------------------------------------


def test_the_nearest_description_above_a_url_is_the_root(served, tmp_path):
    served(study(2, runs=2))
    raw = neurofetch.plan("s3://b/ds/sub-0001/ses-01/anat", tmp_path)
    assert "sub-0001/ses-01/anat/sub-0001_ses-01_T1w.nii.gz" in paths(raw)
    assert "dataset_description.json" in paths(raw)
    assert not any("ses-02" in path for path in paths(raw))
    pipeline = neurofetch.plan("s3://b/ds/derivatives/fmriprep/sub-0002", tmp_path)
    assert all(path.startswith("sub-0002/") for path in paths(pipeline) if "/" in path)
    assert any("data set s3://b/ds/derivatives/fmriprep:" in note for note in pipeline.notes)


def test_without_a_description_the_subject_folder_tells_the_root(served, tmp_path):
    files = {path: b for path, b in study(2, runs=2).items() if "description" not in path}
    served(files)
    plan = neurofetch.plan("s3://b/ds/sub-0001/ses-01/anat", tmp_path)
    assert "sub-0001/ses-01/anat/sub-0001_ses-01_T1w.nii.gz" in paths(plan)
    plan = neurofetch.plan("s3://b/ds/code", tmp_path)
    assert paths(plan) == {"run.sh"}
    assert not plan.notes


def test_filters_hold_in_a_folder_below_the_root(served, tmp_path):
    server = served(study(60))
    plan = neurofetch.plan("s3://b/ds/derivatives", tmp_path, subject="0007", ses="01", run=3)
    chosen = {path for path in paths(plan) if "/" in path}
    stem = "sub-0007_ses-01_task-rest_run-03_bold.tsv"
    described = "derivatives/fmriprep/dataset_description.json"
    assert chosen == {described, f"derivatives/fmriprep/sub-0007/ses-01/func/{stem}"}
    assert not any(prefix.startswith("ds/sub-") for prefix, _ in asked(server))


def test_a_root_that_may_not_be_listed_is_none(served, tmp_path):
    files = {path: b for path, b in study(2, runs=2).items() if "description" not in path}
    server = served(files)
    honest = server._list

    def guarded(request):
        inside = request.query.get("prefix", "").startswith("ds/sub-0001/")
        return honest(request) if inside else server.failure(403)

    server._list = guarded
    plan = neurofetch.plan("s3://b/ds/sub-0001/ses-01", tmp_path)
    assert paths(plan) == {
        p.partition("/ses-01/")[2] for p in files if p.startswith("sub-0001/ses-01")
    }


def test_half_the_name_of_a_folder_is_not_taken_for_it(served, tmp_path):
    server = served(study(2, runs=1))
    server.put("ds000117/README", b"")
    with pytest.raises(NothingMatchedError, match="What begins so: s3://b/ds000117/") as caught:
        neurofetch.plan("s3://b/ds00011", tmp_path)
    assert "Nothing was fetched" in str(caught.value)
    with pytest.raises(NothingMatchedError, match=r"Did you mean s3://b/ds/sub-0002\?"):
        neurofetch.plan("s3://b/ds/sub-02/anat", tmp_path)
