"""What `download` plans for each filter: from the arguments to the listing of a real server."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laion_fmri.download import download
from laion_fmri.errors import NoMatchingDataError, SubjectNotFoundError
from neurofetch.errors import UnknownValueError, UsageError
from neurofetch.model import Action
from testbed.laion import GATED, ROOT_FILES
from testbed.s3 import S3Server
from tests.faces import REFUSED, SMALL, Shell, bucket, local

GLM = "derivatives/glmsingle-tedana/"
ROIS = "derivatives/rois/"
KEYS = tuple(bucket(SMALL))
HELD_OUT = "held out by the dataset's owners"


@pytest.fixture(scope="module", autouse=True)
def data(s3, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        for name, text in Shell(home, s3.url).env.items():
            patch.setenv(name, text)
        yield home / "data"


def plan(subject="sub-03", **filters):
    return download(subject, dry_run=True, **filters)


def keys(made):
    return {step.want.remote.key for step in made.steps}


def whys(made):
    return {step.want.remote.key: step.want.why for step in made.steps}


def says(key):
    """Entities (a figure has its session from its folder), suffix and extension of a key."""
    name = key.rpartition("/")[2]
    found = dict(re.findall(r"/(ses)-(\w+)/", key) + re.findall(r"(?:^|_)([a-z]+)-([^_.]+)", name))
    found["suffix"] = name.partition(".")[0].rpartition("_")[2]
    found["extension"] = name.partition(".")[2]
    return found


def under(*prefixes):
    return {key for key in KEYS if key.startswith(prefixes)}


ANATOMY = "derivatives/anatomical/"
MASK = (
    f"{ANATOMY}sub-03/ses-PrismaAnat/anat/sub-03_ses-PrismaAnat_space-T1w_res-1pt8_desc-brain_mask"
)
MINE = under(f"{GLM}sub-03/", f"{ROIS}sub-03/", MASK)
SESSIONS = {key for key in MINE - under(MASK) if "/ses-" in key}
R2MEAN = f"{GLM}sub-03/sub-03_task-images_space-T1w_stat-rsquare_desc-R2mean_statmap"


# -- against a second reading of the rules ------------------------------------------------------

FILTERS = {
    "ses": ["01", "02", "averages"],
    "task": ["images"],
    "space": ["T1w", "fsnative"],
    "desc": ["R2", "R2mean", "SingletrialBetas", "Noiseceiling", "GLMsingle"],
    "stat": ["effect", "rsquare"],
    "suffix": ["statmap", "mask", "trials", "dseg"],
    "extension": ["nii.gz", "json", "tsv", "label"],
}
requests = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
        for name, values in FILTERS.items()
    },
)


def passes(key, wanted, *, any_session=False):
    said = says(key)
    for name, values in wanted.items():
        if name == "ses" and any_session:
            continue
        if name == "ses" and "ses" not in said:
            if "averages" not in values:
                return False
        elif name in ("suffix", "extension"):
            if said[name] not in values:
                return False
        elif name in said and said[name] not in values:
            return False
    return True


def model(wanted):
    """The page's sentences once more: filters, then what comes along."""
    chosen = {
        key
        for key in MINE
        if passes(key, wanted, any_session=key.startswith((ROIS, ANATOMY)) and "ses" in wanted)
    }
    if wanted.get("suffix"):
        chosen |= {key for key in MINE if any(sidecar(other) == key for other in chosen)}
        strict = {k: v for k, v in wanted.items() if k != "extension"}
        described = {key for key in chosen if passes(key, strict, any_session=True)}
        chosen |= {sidecar(key) for key in described} & MINE
    if set(wanted.get("ses", ())) - {"averages"}:
        for companion in (R2MEAN, MASK):
            chosen.add(companion + ".nii.gz")
            if "json" in wanted.get("extension", ["json"]):
                chosen.add(companion + ".json")
    return chosen | set(ROOT_FILES)


def sidecar(key):
    folder, _, name = key.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}.json"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests)
def test_any_filters_choose_what_the_pages_sentences_say(wanted):
    try:
        made = plan(**wanted)
    except NoMatchingDataError:
        carried = [
            key
            for key in MINE
            if passes(key, wanted) and set(wanted) - {"ses"} <= set(says(key))
            if "ses" in says(key) or "averages" in wanted.get("ses", ["averages"])
        ]
        assert carried == []
        return
    assert keys(made) == model(wanted)
    for step in made.steps:
        held = "ses-31" in step.want.remote.key
        assert (step.action is Action.REFUSE) is held
        assert (HELD_OUT in step.reason) is held


@pytest.mark.parametrize("entity", ["task", "space", "desc", "stat"])
def test_a_file_that_does_not_carry_the_entity_is_not_excluded(entity):
    value = {"task": "images", "space": "T1w", "desc": "R2", "stat": "effect"}[entity]
    chosen = keys(plan(**{entity: value}))
    lacking = {key for key in MINE if entity not in says(key)}
    assert lacking
    assert lacking <= chosen
    assert {says(key)[entity] for key in chosen - lacking if entity in says(key)} == {value}


# -- companions ----------------------------------------------------------------------------------


def test_the_plan_names_the_rule_beside_each_companion():
    found = whys(plan(ses="01", suffix="statmap", extension="nii.gz"))
    betas = f"{GLM}sub-03/ses-01/func/sub-03_ses-01_task-images_space-T1w_desc-Fracridge_statmap"
    assert found["participants.tsv"] == "root file"
    assert found[R2MEAN + ".nii.gz"].startswith("mean-R² map")
    assert found[MASK + ".nii.gz"].startswith("brain mask")
    assert found[betas + ".nii.gz"] == "asked for"
    assert found[betas + ".json"] == "sidecar of " + betas.rpartition("/")[2] + ".nii.gz"


def test_regions_come_under_any_session_and_say_why():
    found = whys(plan(ses="01"))
    regions = {key for key in found if key.startswith(ROIS)}
    assert regions == under(f"{ROIS}sub-03/")
    assert {found[key] for key in regions} == {"ROI: belongs to no session"}


def test_a_missing_root_file_is_noted_and_does_not_end_the_run(tmp_path, monkeypatch):
    objects = {key: body for key, body in bucket(SMALL).items() if key != "participants.json"}
    with S3Server({"laion-fmri": objects}, forbidden=REFUSED) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        report = download("sub-03", ses="averages", data_dir=tmp_path)
    assert report.ok
    assert any("participants.json" in note for note in report.notes)


# -- near misses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "note"),
    [
        ({"desc": "singletrial"}, "desc-singletrial → desc-SingletrialBetas"),
        ({"desc": "singletrialbetas"}, "desc-singletrialbetas → desc-SingletrialBetas"),
        ({"space": "t1w"}, "space-t1w → space-T1w"),
        ({"stat": "rsq"}, "stat-rsq → stat-rsquare"),
        ({"suffix": "stat"}, "suffix stat → suffix statmap"),
        ({"ses": "1"}, "ses-1 → ses-01"),
        ({"ses": "ave"}, "ses-ave → ses-averages"),
    ],
)
def test_a_near_miss_is_resolved_with_a_note(filters, note):
    made = plan(**filters)
    assert note in made.notes
    (name, _), exact = *filters.items(), note.rpartition("→ ")[2].split()[-1]
    assert keys(made) == keys(plan(**{name: exact.removeprefix(f"{name}-")}))


def test_an_exact_value_wins_over_those_that_it_begins():
    made = plan(desc="Noiseceiling", suffix="statmap")
    assert not made.notes
    assert {says(key).get("desc") for key in keys(made) if "Noise" in key} == {"Noiseceiling"}


def test_several_candidates_are_listed_and_nothing_is_chosen():
    with pytest.raises(UnknownValueError, match=r"Noiseceiling12rep.*Noiseceiling4rep"):
        plan(desc="noiseceil")


def test_an_unknown_value_lists_the_nearest():
    with pytest.raises(UnknownValueError, match=r"desc-fracrigde.*Nearest: Fracridge"):
        plan(desc="fracrigde")


def test_an_unknown_session_lists_those_that_exist():
    with pytest.raises(
        UnknownValueError, match=r"ses-07 does not exist.*01, 02, 31, PrismaAnat, averages"
    ):
        plan(ses="07")


# -- subjects ------------------------------------------------------------------------------------


def test_an_unknown_subject_lists_those_that_exist_nearest_first():
    with pytest.raises(SubjectNotFoundError, match=r"sub-04(?s:.*)has sub-03, sub-01"):
        plan("sub-04")
    with pytest.raises(SubjectNotFoundError, match=r"sub-011(?s:.*)has sub-01, sub-03"):
        plan("011")


def test_every_unknown_subject_is_named():
    with pytest.raises(SubjectNotFoundError, match=r"(?s)sub-08.*sub-99"):
        plan(["03", "08", "99"])


@pytest.mark.parametrize("subject", ["", " ", "sub-", "sub-0/3", "../03", 3, None, [], ["03", 3]])
def test_a_malformed_subject_is_told_before_a_server_is_asked(s3, subject):
    seen = len(s3.requests())
    with pytest.raises(UsageError, match="sub-03"):
        plan(subject)
    assert len(s3.requests()) == seen


# -- held out, contradictions, nothing ------------------------------------------------------------


def test_held_out_sessions_are_in_the_plan_refused_with_the_reason():
    made = plan()
    refused = {step.want.remote.key for step in made.of(Action.REFUSE)}
    assert refused == {key for key in MINE if "ses-31" in key} != set()
    assert {step.reason.partition(":")[0] for step in made.of(Action.REFUSE)} == {"ses-31"}
    assert made.bytes_to_fetch == sum(len(bucket(SMALL)[key]) for key in keys(made) - refused)


@pytest.mark.parametrize("filters", [{}, {"desc": "singletrial"}, {"suffix": "statmap"}])
def test_asking_for_held_out_sessions_alone_is_an_error_with_the_reason(filters):
    with pytest.raises(NoMatchingDataError, match=HELD_OUT):
        plan(ses="31", **filters)


def test_held_out_sessions_beside_others_are_refused_and_the_others_planned():
    made = plan(ses=["01", "31"])
    assert keys(made) >= {key for key in SESSIONS if "ses-01" in key or "ses-31" in key}
    assert {s.want.remote.key for s in made.of(Action.REFUSE)} == {
        key for key in SESSIONS if "ses-31" in key
    }


def test_contradicting_filters_are_named_with_what_exists_instead():
    with pytest.raises(NoMatchingDataError) as caught:
        plan(stat="effect", desc="R2")
    message = str(caught.value)
    assert "no file has both desc-R2 and stat-effect" in message
    assert "with desc-R2 there is stat: rsquare" in message
    assert "Nothing was fetched" in message


@pytest.mark.parametrize(
    "filters",
    [
        {"suffix": "trials", "extension": "h5"},
        {"include": "*.xyz"},
        {"exclude": "*"},
        {"ses": "01", "suffix": "dseg", "desc": "Noiseceiling4rep"},
    ],
)
def test_an_empty_selection_is_an_error_that_names_the_filters(filters):
    with pytest.raises(NoMatchingDataError) as caught:
        plan(**filters)
    for value in filters.values():
        assert value in str(caught.value)


def test_files_that_pass_only_for_their_silence_are_noted():
    made = plan(ses="01", desc="Noiseceiling4rep")
    assert "no file has desc-Noiseceiling4rep together with" in " ".join(made.notes)


@pytest.mark.parametrize(
    "filters", [{"ses": 1.5}, {"desc": []}, {"task": ""}, {"suffix": b"bold"}, {"space": [None]}]
)
def test_a_filter_that_cannot_be_used_is_told_before_a_server_is_asked(s3, filters):
    seen = len(s3.requests())
    with pytest.raises(UsageError, match=next(iter(filters))):
        plan(**filters)
    assert len(s3.requests()) == seen


# -- what else -----------------------------------------------------------------------------------


def test_raw_entities_may_be_numbers():
    made = plan(include_raw=True, run=1, echo=[2, 3], part="mag", ses="01", suffix="bold")
    bold = {key for key in keys(made) if key.endswith("_bold.nii.gz")}
    stem = "sub-03/ses-01/func/sub-03_ses-01_task-images_run-01"
    assert bold == {f"{stem}_echo-{echo}_part-mag_bold.nii.gz" for echo in (2, 3)}
    assert bold <= set(KEYS)


STIMULI = under("stimuli/")
EMBEDDINGS = {key for key in STIMULI if key.endswith("_embeddings.h5")}


@pytest.mark.parametrize(
    ("extra", "more"),
    [
        ("stimuli", STIMULI),
        ("embeddings", EMBEDDINGS),
        ("freesurfer", under("derivatives/freesurfer/sub-03/")),
        ("anatomical", under(f"{ANATOMY}sub-03/") - under(MASK)),
        ("localizers", under("derivatives/localizers/sub-03/")),
        ("raw", under("sub-03/")),
    ],
)
def test_each_extra_brings_its_files_and_no_others(extra, more):
    assert more
    assert keys(plan(**{f"include_{extra}": True})) - keys(plan()) == more
    assert set(GATED) <= STIMULI - EMBEDDINGS


@pytest.mark.parametrize("extra", ["stimuli", "embeddings", "freesurfer"])
def test_mirrored_extras_meet_no_filter(extra):
    filters = {"ses": "01", "suffix": "trials"}
    more = keys(plan(**{f"include_{extra}": True}, **filters)) - keys(plan(**filters))
    assert more == keys(plan(**{f"include_{extra}": True})) - keys(plan())


def test_anatomy_belongs_to_no_session_of_the_task():
    made = plan(include_anatomical=True, ses="01", suffix="T1w", extension="nii.gz")
    base = "derivatives/anatomical/sub-03/ses-PrismaAnat/anat/sub-03_ses-PrismaAnat_space-T1w_"
    assert {key for key in keys(made) if "T1w.nii.gz" in key} == {
        f"{base}T1w.nii.gz",
        f"{base}res-1pt8_T1w.nii.gz",
    }


def test_local_names_drop_the_hyphens_of_labels_and_the_server_is_asked_for_its_own(s3, tmp_path):
    seen = len(s3.requests())
    report = download(
        "03", ses="averages", include="*label-pSTS-faces_mask.nii.gz", data_dir=tmp_path
    )
    asked = {r.key for r in s3.requests()[seen:] if r.method == "GET" and "rois" in r.key}
    assert asked == {key for key in KEYS if "sub-03" in key and "pSTS-faces_mask.nii.gz" in key}
    assert {o.path for o in report if "rois" in o.path} == local(asked)
    assert "label-pSTSfaces" in next(iter(local(asked)))


def test_the_older_layout_of_regions_is_read_too(tmp_path, monkeypatch):
    old = "derivatives/atlases/sub-03/rois/FFA1.nii.gz"
    with S3Server({"laion-fmri": {**bucket(SMALL), old: b"mask"}}) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        assert old in keys(plan(ses="01", data_dir=tmp_path))
        assert old in keys(plan("all", data_dir=tmp_path))
