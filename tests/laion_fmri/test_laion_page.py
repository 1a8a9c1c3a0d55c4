"""Every example on the documented page of `laion_fmri.download`, word for word, on a real server.

What must lie on the disk afterwards is worked out here, from the bucket's keys and the page's
sentences, by a few lines that share nothing with the package.
"""

import inspect
import math
import os
import re
import warnings
from collections import Counter

import pytest

from laion_fmri.config import config_path, dataset_initialize, get_data_dir
from laion_fmri.download import download
from neurofetch.model import IncompleteError, Status, VerificationLevel
from neurofetch.sources.spread import DEPTH
from testbed.laion import GATED, ROOT_FILES
from testbed.moto_s3 import MotoS3
from testbed.s3 import S3Server
from tests.faces import REFUSED, SMALL, Shell, bucket, local, on_disk, same_bytes

GLM = "derivatives/glmsingle-tedana"
MEAN_R2 = "task-images_space-T1w_stat-rsquare_desc-R2mean_statmap"
PAGE = """\
# one session of single-trial betas, parallelized
laion-fmri download \\
  --subject sub-03 \\
  --ses ses-01 \\
  --desc singletrial --stat effect \\
  --extension nii.gz \\
  --n-jobs 4
"""


@pytest.fixture(scope="module")
def moto():
    with MotoS3(bucket(), forbidden=REFUSED) as server:
        yield server


@pytest.fixture
def shell(tmp_path, moto):
    return Shell(tmp_path, moto.url)


@pytest.fixture
def user(tmp_path, moto, monkeypatch):
    """A user of Python, with a data directory, who accepted the licence."""
    return _user(tmp_path, moto.url, monkeypatch)


def _user(home, endpoint, monkeypatch):
    for name, text in Shell(home, endpoint).env.items():
        monkeypatch.setenv(name, text)
    return home / "data"


# -- what the page says, in keys --------------------------------------------------------------


def tree(subject):
    """What download() walks for a subject; `ses-31` is held out."""
    folders = (f"{GLM}/{subject}/", f"derivatives/rois/{subject}/", brain_mask(subject))
    return {key for key in bucket() if key.startswith(folders) and "ses-31" not in key}


def sessions(subject, *names):
    return {key for key in tree(subject) if any(f"/{name}/" in key for name in names)}


def summaries(subject):
    return {key for key in tree(subject) if key.startswith(GLM) and "/ses-" not in key}


def rois(subject):
    return {key for key in tree(subject) if key.startswith("derivatives/rois/")}


def brain_mask(subject):
    folder = f"derivatives/anatomical/{subject}/ses-PrismaAnat/anat"
    return f"{folder}/{subject}_ses-PrismaAnat_space-T1w_res-1pt8_desc-brain_mask"


def masks(subject):
    """The brain masks that the loader's results are on, the mean R² among them."""
    return mean_r2(subject) | {f"{brain_mask(subject)}.{kind}" for kind in ("nii.gz", "json")}


def mean_r2(subject):
    return {
        f"{GLM}/{subject}/{subject}_{MEAN_R2}.nii.gz",
        f"{GLM}/{subject}/{subject}_{MEAN_R2}.json",
    }


ROOT = set(ROOT_FILES)


def stimuli():
    return {key for key in bucket() if key.startswith("stimuli/")} - set(GATED)


# -- Python ----------------------------------------------------------------------------------


def test_the_signature_is_the_pages_own_then_keywords_of_ours():
    parameters = list(inspect.signature(download).parameters.values())
    page = [
        ("subject", inspect.Parameter.empty),
        *((n, None) for n in ("ses", "task", "space", "desc", "stat", "suffix", "extension")),
        ("include_stimuli", False),
        ("n_jobs", 1),
    ]
    assert [(p.name, p.default) for p in parameters[: len(page)]] == page
    assert {p.kind for p in parameters[: len(page)]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    ours = {p.name: p for p in parameters[len(page) :]}
    assert {p.kind for p in ours.values()} == {inspect.Parameter.KEYWORD_ONLY}
    families = ("freesurfer", "anatomical", "raw", "localizers", "embeddings")
    assert {"run", "echo", "part", "dry_run", "progress", "verify", "accept_license"} <= set(ours)
    assert {f"include_{name}" for name in families} <= set(ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ses", "expected"),
    [
        ("ses-01", ROOT | sessions("sub-03", "ses-01") | rois("sub-03") | masks("sub-03")),
        ("averages", ROOT | summaries("sub-03") | rois("sub-03") | masks("sub-03")),
        (
            ["ses-01", "averages"],
            ROOT
            | sessions("sub-03", "ses-01")
            | rois("sub-03")
            | summaries("sub-03")
            | masks("sub-03"),
        ),
    ],
    ids=["session only", "summaries only", "both"],
)
def test_the_three_calls_of_the_page(user, ses, expected):
    report = download(subject="sub-03", ses=ses)
    assert on_disk(user) == local(expected)
    assert [str(path) for path in report.paths] == [str(user / o.path) for o in report]
    assert set(report.paths) == {user / path for path in local(expected)}
    assert {outcome.status for outcome in report} == {Status.FETCHED}
    assert {outcome.verification for outcome in report} == {VerificationLevel.CHECKSUM}
    assert report.bytes_moved == sum(len(bucket()[key]) for key in expected)
    same_bytes(user, bucket())


@pytest.fixture(scope="module")
def small():
    with S3Server({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as server:
        yield server


@pytest.fixture
def quick(tmp_path, small, monkeypatch):
    """A user of Python near a fast server with fewer files."""
    return _user(tmp_path, small.url, monkeypatch)


@pytest.mark.parametrize("subject", ["sub-03", "03", ["03"], ("sub-03", "03")])
def test_a_subject_is_a_full_name_or_a_bare_value(quick, subject):
    plan = download(subject, dry_run=True)
    subjects = {p for step in plan.steps for p in re.findall(r"sub-\w+?(?=[/_])", step.want.path)}
    assert subjects == {"sub-03"}
    assert not on_disk(quick)


@pytest.mark.parametrize("subject", ["all", ["all"], "ALL", ["01", "sub-03"]])
def test_all_is_every_subject_that_the_bucket_has(quick, subject):
    plan = download(subject, dry_run=True)
    subjects = {p for step in plan.steps for p in re.findall(r"sub-\w+?(?=[/_])", step.want.path)}
    assert subjects == {"sub-01", "sub-03"}
    assert len({step.want.path for step in plan.steps}) == len(plan.steps)


@pytest.mark.parametrize("ses", ["01", "ses-01", ["ses-01"], ["01", "ses-01"]])
@pytest.mark.parametrize("extension", ["nii.gz", ".nii.gz"])
def test_bare_values_and_full_tokens_are_the_same(quick, ses, extension):
    plan = download("03", ses=ses, space="T1w", extension=extension, dry_run=True)
    twin = download("sub-03", ses="ses-01", space="space-T1w", extension="nii.gz", dry_run=True)
    assert plan.steps == twin.steps
    assert len(plan.steps) > len(ROOT_FILES)


# -- n_jobs ----------------------------------------------------------------------------------

MOST = max(32, 2 * (os.cpu_count() or 1))


@pytest.mark.parametrize(
    ("n_jobs", "works"),
    [(0, 1), (-3, 1), (10**6, MOST), ("4", 1), (2.5, 1), (True, 1), (None, 1)],
)
def test_a_bad_number_of_jobs_is_detected_warned_of_and_replaced(quick, n_jobs, works):
    with pytest.warns(UserWarning, match=f"n_jobs={works}$") as caught:
        report = download("sub-03", ses="averages", n_jobs=n_jobs)
    assert [warning.filename for warning in caught] == [__file__]
    assert report.ok
    assert len(report.paths) == len(on_disk(quick)) > len(ROOT_FILES)


@pytest.mark.parametrize("n_jobs", [1, 4, MOST])
def test_a_good_number_of_jobs_is_taken_without_a_word(quick, n_jobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert download("sub-03", ses="averages", n_jobs=n_jobs).ok


# -- run again -------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [1000, 40])
def test_a_second_run_walks_each_prefix_once_and_asks_nothing_else(
    tmp_path, monkeypatch, page_size
):
    with S3Server({"laion-fmri": bucket()}, forbidden=REFUSED, page_size=page_size) as s3:
        data = _user(tmp_path, s3.url, monkeypatch)
        download("sub-03", ses="01")
        before = on_disk(data)
        seen = len(s3.requests())
        report = download("sub-03", ses="01")
        again = s3.requests()[seen:]
    assert {outcome.status for outcome in report} == {Status.KEPT}
    assert report.bytes_moved == 0
    assert on_disk(data) == before
    assert {request.method for request in again} == {"LIST"}
    # Where pages are many, the folders ahead are asked for, a few at most.
    hints = [
        request for request in again if request.query["prefix"] and "delimiter" in request.query
    ]
    assert len(hints) <= (2 * DEPTH if page_size == 40 else 0)
    again = [request for request in again if request not in hints]
    walked = Counter(request.query["prefix"] for request in again if request.query["prefix"])
    for prefix in (f"{GLM}/sub-03/", "derivatives/rois/sub-03/"):
        keys = sum(key.startswith(prefix) for key in bucket())
        assert walked.pop(prefix) == math.ceil(keys / page_size)
    assert walked == {"derivatives/atlases/sub-03/": 1, brain_mask("sub-03"): 1}
    assert sum(not request.query["prefix"] for request in again) == 1


def test_a_run_after_an_interrupted_one_pulls_only_what_is_missing_or_partial(
    small, quick, monkeypatch
):
    download("sub-03", ses="averages")
    gone, cut = sorted(path for path in on_disk(quick) if path.endswith("statmap.nii.gz"))[:2]
    (quick / gone).unlink()
    whole = (quick / cut).read_bytes()
    (quick / cut).write_bytes(whole[:-5])
    seen = len(small.requests())
    report = download("sub-03", ses="averages")
    assert {o.path for o in report.of(Status.FETCHED)} == {gone, cut}
    fetched = [r.key for r in small.requests()[seen:] if r.method == "GET"]
    assert sorted(fetched) == [gone, cut]
    same_bytes(quick, bucket(SMALL))


def test_a_file_that_another_tool_put_there_at_the_right_size_is_skipped(small, quick):
    path = quick / "participants.tsv"
    path.write_bytes(b"?" * len(bucket(SMALL)["participants.tsv"]))
    report = download("sub-03", ses="averages")
    assert next(o for o in report if o.path == "participants.tsv").status is Status.KEPT


def test_what_is_missing_at_the_end_is_raised_after_the_rest_was_fetched(small, quick):
    small.fault(key="README", method="GET", status=404)
    try:
        with pytest.raises(IncompleteError, match=r"(?s)1 of \d+ files.*README.*404") as caught:
            download("sub-03", ses="averages")
    finally:
        small.clear_faults()
    report = caught.value.report
    assert [o.path for o in report.failures] == ["README"]
    assert len(report.paths) == len(report) - 1 == len(on_disk(quick))


def test_files_that_the_bucket_refuses_though_no_rule_withholds_them_have_failed(
    tmp_path, monkeypatch
):
    with S3Server({"laion-fmri": bucket(SMALL)}, forbidden=(*REFUSED, "participants.*")) as s3:
        data = _user(tmp_path, s3.url, monkeypatch)
        with pytest.raises(
            IncompleteError, match=r"(?s)2 of .* participants\.json: .*403"
        ) as caught:
            download("sub-03", ses="averages")
    report = caught.value.report
    assert [o.path for o in report.failures] == ["participants.json", "participants.tsv"]
    assert all("403" in outcome.reason for outcome in report.failures)
    assert {data / path for path in on_disk(data)} == set(report.paths)
    asked = [request.key for request in s3.requests(key="participants.*")]
    assert sorted(asked) == ["participants.json", "participants.tsv"]  # never asked again


def test_the_paths_of_a_report_are_in_the_same_order_every_time(quick):
    first = download("all", ses="01", n_jobs=8)
    second = download("all", ses="01", n_jobs=1, overwrite=True)
    third = download("all", ses="01")
    assert first.paths == second.paths == third.paths
    assert [o.path for o in first] == [o.path for o in third]


# -- the command -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_of_the_page_in_their_order(shell, moto):
    (shell.home / "laion_fmri_data").mkdir()
    root = shell.home / "laion_fmri_data"
    unset = {"LAION_FMRI_DATA_DIR": None}

    done = shell("laion-fmri config --data-dir ./laion_fmri_data", **unset)
    assert (done.code, done.out) == (0, "")
    assert str(root) in done.err

    done = shell("laion-fmri info", **unset)
    assert done.code == 0
    assert "sub-01" in done.out
    assert "sub-03" in done.out
    assert moto.url in done.out

    assert shell("laion-fmri download --subject sub-03", **unset).code == 0
    one = local(ROOT | tree("sub-03"))
    assert on_disk(root) == one

    done = shell("laion-fmri download --subject sub-03 --include-stimuli", **unset)
    assert done.code == 0
    assert "withheld: 2 files: gated by a data use agreement" in done.err
    assert on_disk(root) == one | stimuli()

    assert shell("laion-fmri download --subject all", **unset).code == 0
    assert on_disk(root) == one | stimuli() | local(tree("sub-01"))
    same_bytes(root, bucket())


@pytest.mark.slow
def test_the_parallel_example_fetches_the_single_trial_betas(shell):
    done = shell(PAGE)
    assert done.code == 0
    assert "note: desc-singletrial → desc-SingletrialBetas" in done.err
    betas = f"{GLM}/sub-03/ses-01/func/sub-03_ses-01_task-images_space-T1w_stat-effect_"
    nifti = {key for key in rois("sub-03") | masks("sub-03") if key.endswith(".nii.gz")}
    assert on_disk(shell.data) == local(
        ROOT | nifti | {f"{betas}desc-SingletrialBetas_statmap.nii.gz"}
    )


@pytest.mark.slow
def test_the_example_of_a_session_with_the_summaries(shell):
    assert shell("laion-fmri download --subject sub-03 --ses ses-01 averages").code == 0
    expected = sessions("sub-03", "ses-01") | rois("sub-03") | summaries("sub-03")
    expected |= masks("sub-03")
    assert on_disk(shell.data) == local(ROOT | expected)


@pytest.mark.parametrize("n_jobs", ["0", "-3", "100000", "four", "2.5", "True"])
def test_the_command_takes_bad_numbers_of_jobs_too(tmp_path, small, n_jobs):
    done = Shell(tmp_path, small.url)(
        f"laion-fmri download --subject 03 --ses averages --quiet --n-jobs {n_jobs}"
    )
    works = MOST if n_jobs == "100000" else 1
    assert done.code == 0
    assert re.fullmatch(
        rf"laion-fmri: warning: n_jobs=.*; going on with n_jobs={works}\n", done.err
    )


def test_the_data_directory_is_remembered(quick, monkeypatch):
    monkeypatch.delenv("LAION_FMRI_DATA_DIR")
    dataset_initialize(quick)
    assert get_data_dir() == quick
    assert download("sub-03", ses="averages").root == quick
    kept = config_path()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
