"""What else a notebook shows: pictures of what is here, and views that never fail."""

import base64
import gzip
import io
import os
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from sklearn.utils import Bunch

import neurofetch
from laion_fmri import load_subject, load_subjects
from neurofetch.display import thumbnail
from neurofetch.model import Outcome, Plan, Report, Status
from neurofetch.neurovault.fetch.result import NeurovaultBunch
from neurofetch.openneuro import DatasetInfo, Derivative, VersionInfo
from neurofetch.store.findings import Audit, Finding, State
from neurofetch.store.runs import Failed, Run, Task, TaskState
from testbed.laion import local_name
from tests.display.results import step
from tests.display.test_faces import read
from tests.faces import SMALL, bucket

HOSTILE = "<script>alert(1)</script>&\"'<b>"
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def volume(shape=(20, 24, 18), kind="float32", seed=0):
    values = np.random.default_rng(seed).standard_normal(shape) * 3
    return nib.Nifti1Image(values.astype(kind), AFFINE)


def report_of(root, *names):
    rows = tuple(Outcome(name, name, Status.FETCHED, size=10, moved=10) for name in names)
    return Report(root, rows)


def drawn(result):
    """The pictures of a view, decoded by PIL."""
    page = read(result._repr_html_())
    assert page.open == []
    parts = result._repr_html_().split("data:image/png;base64,")[1:]
    return [Image.open(io.BytesIO(base64.b64decode(part.partition('"')[0]))) for part in parts]


# -- pictures ----------------------------------------------------------------------------------


def test_a_report_shows_the_map_that_came(tmp_path):
    nib.save(volume(), tmp_path / "sub-01_T1w.nii.gz")
    nib.save(volume(seed=1), tmp_path / "sub-01_statmap.nii.gz")
    report = report_of(tmp_path, "a.tsv", "sub-01_T1w.nii.gz", "sub-01_statmap.nii.gz")
    (picture,) = drawn(report)
    picture.load()
    assert picture.height in (72, 112, 176)
    assert len(np.unique(np.asarray(picture))) > 50
    assert 'alt="sub-01_statmap.nii.gz"' in report._repr_html_()
    assert len(report._repr_html_()) < 120_000


@pytest.mark.parametrize("kind", ["float64", "int16", "uint8", "float32"])
@pytest.mark.parametrize("shape", [(20, 24, 18), (20, 24, 18, 5), (7, 8, 9, 1, 3), (2, 90, 3)])
@pytest.mark.parametrize("name", ["x_bold.nii.gz", "x_statmap.nii", "image_7.nii.gz"])
def test_volumes_of_all_kinds_are_drawn(tmp_path, kind, shape, name):
    nib.save(volume(shape, kind), tmp_path / name)
    assert len(drawn(report_of(tmp_path, name))) == 1


def sparse(kind):
    """A map of which little is left above its threshold, as many at NeuroVault are."""
    values = np.zeros((91, 109, 91), dtype="float32")
    if kind == "one voxel":
        values[20, 80, 60] = 4.2
    elif kind == "binary":
        values[18:23, 78:83, 58:63] = 1
    elif kind == "below zero":
        values[18:23, 78:83, 58:63] = -3.1
    else:  # at both sides of zero, and nothing where every second voxel is looked at
        values[21, 81, 61], values[23, 81, 61] = 5, -4
    return values


@pytest.mark.parametrize("kind", ["one voxel", "binary", "below zero", "two voxels"])
def test_a_map_of_a_few_voxels_is_not_a_black_picture(tmp_path, kind):
    nib.save(nib.Nifti1Image(sparse(kind), AFFINE), tmp_path / "x_statmap.nii.gz")
    (picture,) = drawn(report_of(tmp_path, "x_statmap.nii.gz"))
    for number in range(3):
        third = picture.width // 3
        part = np.asarray(picture.convert("L"))[:, number * third : (number + 1) * third]
        assert part.max() > 100, f"slice {number} is black"


@pytest.mark.parametrize("dark", ["below", "above"])
def test_of_a_large_head_a_part_is_looked_at_and_the_slices_are_those_of_the_whole(dark):
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in (193, 229, 193)), indexing="ij"))
    head = (grid**2).sum(0) < 0.8
    bump = np.exp(-((grid - np.array([0.3, -0.2, 0.1])[:, None, None, None]) ** 2).sum(0) / 0.05)
    values = np.where(head, 3 * bump - (0.5 if dark == "below" else 0), 0).astype("float32")
    (low, high), colours = thumbnail._scale(values, "x_statmap.nii.gz")
    whole = np.percentile(np.abs(values[values != 0]), 99.5)
    assert abs(high - whole) < 0.05 * whole
    assert low == (-high if dark == "below" else 0)
    assert len(colours) == 256
    cuts = thumbnail._slices(values, np.ones(3))
    assert all(np.abs(cut).max() > 0.98 * np.abs(values).max() for cut, _ in cuts)


def test_left_and_right_are_where_the_header_says(tmp_path):
    """The same head, stored in two orders of its axes, gives the same picture."""
    values = np.zeros((20, 24, 18), dtype="float32")
    values[4:8, 5:9, 6:10] = 5
    one = nib.Nifti1Image(values, np.diag([3.0, 2.0, 4.0, 1.0]))
    nib.save(one, tmp_path / "a_statmap.nii.gz")
    turned = one.as_reoriented(nib.orientations.axcodes2ornt("PSL"))
    nib.save(turned, tmp_path / "b_statmap.nii.gz")
    pictures = [drawn(report_of(tmp_path, f"{name}_statmap.nii.gz"))[0] for name in "ab"]
    assert pictures[0].size == pictures[1].size
    assert np.abs(np.asarray(pictures[0], int) - np.asarray(pictures[1], int)).max() <= 1


def saved(values):
    return lambda path: nib.save(nib.Nifti1Image(values, AFFINE), path)


def cut(path):
    nib.save(volume((40, 40, 40)), path)
    path.write_bytes(path.read_bytes()[:5000])


def vast(path):
    """A file of a few bytes whose header promises gigabytes."""
    nib.save(volume(), path)
    header = nib.load(path).header.copy()
    header.set_data_shape((3000, 3000, 3000))
    path.write_bytes(gzip.compress(bytes(header.binaryblock) + bytes(4000)))


BROKEN = {
    "gone": lambda _: None,
    "fifo": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to(path),
    "cut": cut,
    "text": lambda path: path.write_bytes(b"no gzip at all"),
    "empty": lambda path: path.write_bytes(b""),
    "nan": saved(np.full((9, 9, 9), np.nan, "float32")),
    "complex": saved(np.ones((9, 9, 9), "complex64")),
    "flat": saved(np.ones((9, 9, 1), "float32")),
    "vast": vast,
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_drawn_is_not_shown_and_nothing_fails(tmp_path, how):
    BROKEN[how](tmp_path / "x_statmap.nii.gz")
    report = report_of(tmp_path, "x_statmap.nii.gz")
    assert "<img" not in report._repr_html_()
    assert "x_statmap.nii.gz" in report._repr_html_()


def test_a_picture_that_takes_long_is_not_waited_for(tmp_path, monkeypatch):
    nib.save(volume(), tmp_path / "x_statmap.nii.gz")
    slow = thumbnail._frame
    monkeypatch.setattr(thumbnail, "PATIENCE", 0.05)
    monkeypatch.setattr(thumbnail, "_frame", lambda path: (time.sleep(0.5), slow(path))[1])
    assert "<img" not in report_of(tmp_path, "x_statmap.nii.gz")._repr_html_()
    time.sleep(0.6)  # it is known now
    assert "<img" in report_of(tmp_path, "x_statmap.nii.gz")._repr_html_()


def test_a_map_that_was_fetched_again_is_drawn_again(tmp_path):
    name = "x_statmap.nii.gz"
    nib.save(volume(seed=1), tmp_path / name)
    before = report_of(tmp_path, name)._repr_html_()
    nib.save(volume(seed=2), tmp_path / name)
    os.utime(tmp_path / name, ns=(1, 1))
    assert report_of(tmp_path, name)._repr_html_() != before


def test_where_nibabel_is_not_installed_there_is_no_picture(tmp_path):
    nib.save(volume(), tmp_path / "x_statmap.nii.gz")
    script = (
        "import sys; sys.modules['nibabel'] = None\n"
        "from pathlib import Path; from neurofetch.model import *; import neurofetch\n"
        "row = Outcome('x_statmap.nii.gz', 'k', Status.FETCHED)\n"
        "html = Report(Path(sys.argv[1]), (row,))._repr_html_()\n"
        "print('<img' in html, 'numpy' in sys.modules)"
    )
    line = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# -- other results -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("laion") / "data"
    for key, content in bucket(SMALL).items():
        path = root / local_name(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_a_subject_shows_what_is_here_and_what_brings_the_rest(data):
    subject = load_subject("sub-03", data_dir=data)
    text = "".join(read(html := subject._repr_html_()).texts)
    for session in subject.get_sessions():
        assert session in text
    for name in subject.get_available_rois():
        assert name in text
    assert "mean R² of all sessions" in text
    assert html.count("<img") == 1
    assert repr(subject) == f"<Subject sub-03: {len(subject.get_sessions())} sessions in {data}>"


def test_a_group_has_a_row_and_a_picture_for_each_subject(data):
    group = load_subjects(data_dir=data)
    html = group._repr_html_()
    assert html.count("<img") == len(group) == 2
    assert html.count("<tr>") == 3


def test_a_subject_whose_files_went_is_shown_as_text(data, tmp_path):
    subject = load_subject("sub-03", data_dir=data)
    object.__setattr__(subject.layout, "data_dir", tmp_path / "gone")
    html = subject._repr_html_()
    assert html is None or "0 sessions" in html


def images(tmp_path, number):
    paths = [tmp_path / f"image_{one}.nii.gz" for one in range(number)]
    for one, path in enumerate(paths[:4]):
        nib.save(volume(seed=one), path)
    result = NeurovaultBunch()
    result.images = [str(path) for path in paths]
    result.images_meta = [
        {"id": one, "name": f"{HOSTILE} {one}", "collection_id": 2, "map_type": "Z map"}
        for one in range(number)
    ]
    result.collections_meta = [{"id": 2, "name": HOSTILE, "DOI": "10.1/x"}] * number
    result.description = "NeuroVault"
    return result


@pytest.mark.parametrize("number", [0, 1, 4, 1000])
def test_a_bunch_shows_its_maps_and_what_to_cite(tmp_path, number):
    result = images(tmp_path, number)
    result.report = report_of(tmp_path)
    html = result._repr_html_()
    page = read(html)
    assert "script" not in page.tags
    assert html.count("<img") == min(number, 3)
    assert ("10.1/x" in html) == bool(number)
    assert len(html) < 400_000


def test_a_bunch_is_still_what_nilearn_returns(tmp_path):
    """The view is beside the items: text, equality and keys are those of scikit-learn's own."""
    result = images(tmp_path, 2)
    own = Bunch(**result)
    assert repr(result) == repr(own)
    assert str(result) == str(own)
    assert result == own
    assert dir(result) == dir(own)
    assert set(result) == {"images", "images_meta", "collections_meta", "description"}


@pytest.mark.parametrize(
    "changed",
    [{}, {"images": None}, {"images_meta": 7}, {"collections_meta": ["x"]}, {"images": [None]}],
    ids=str,
)
def test_a_bunch_that_was_changed_by_hand_is_shown_or_is_text(changed, tmp_path):
    result = images(tmp_path, 2)
    result.clear()
    result.update(changed)
    html = result._repr_html_()
    assert html is None or read(html).open == []


def test_a_lock_and_what_differs_from_it(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "a&b.txt").write_text("one")
    (root / "c.txt").write_text("two")
    lock = neurofetch.lock(root, every=True)
    assert "a&amp;b.txt" in lock._repr_html_()
    assert "Nothing differs" in lock.check(root)._repr_html_()
    (root / "a&b.txt").write_text("three")
    html = lock.check(root)._repr_html_()
    assert "1 file differs" in html
    assert "a&amp;b.txt" in html


def test_a_data_set_of_openneuro():
    info = DatasetInfo(
        "ds000246",
        HOSTILE,
        "1.0.1",
        subjects=("01",),
        authors=(HOSTILE,) * 30,
        versions=(VersionInfo("1.0.0", "2020-01-01", HOSTILE),),
        derivatives=(Derivative("fmriprep", "s3://x/y"),),
        deprecated=HOSTILE,
        notes=(HOSTILE,),
    )
    page = read(info._repr_html_())
    assert "script" not in page.tags
    assert "neurofetch.get('openneuro:ds000246@1.0.1', ...)" in "".join(page.texts)
    assert read(DatasetInfo("ds1")._repr_html_()).open == []


def test_a_run_shows_its_tasks_and_what_failed(tmp_path):
    failed = Failed(HOSTILE, "was refused", "Ask for access.")
    tasks = (
        Task("1", TaskState.DONE, files=3, files_done=3, bytes=30, bytes_done=30),
        Task("2", TaskState.FAILED, files=2, files_failed=1, message=HOSTILE, failed=(failed,)),
    )
    run = Run("2026-01-01-ab", tmp_path, ".neurofetch", expected=4, tasks=tasks)
    page = read(run._repr_html_())
    text = "".join(page.texts)
    assert "script" not in page.tags
    assert "2 not begun" in text
    assert "Ask for access." in text


# -- how much a notebook must hold -----------------------------------------------------------

ENDLESS = "'\"&<" * 2000
"""Letters of which each is several in HTML, and more of them than any name has."""


def endless(number):
    return f"sub-{number:06}/" + "'" * 1000


def endless_results(tmp_path):
    names = [endless(number) for number in range(1500)]
    bunch = NeurovaultBunch()
    bunch.images = ["gone.nii"] * 1500
    bunch.images_meta = [
        {"id": n, "name": ENDLESS, "collection_id": n, "map_type": ENDLESS} for n in range(1500)
    ]
    bunch.collections_meta = [{"id": n, "name": ENDLESS, "DOI": ENDLESS} for n in range(1500)]
    failing = Task("1", TaskState.FAILED, message=ENDLESS, failed=(Failed(ENDLESS, ENDLESS, ""),))
    return {
        "plan": Plan(tmp_path, tuple(step(name, why=f"{name}{ENDLESS}") for name in names)),
        "report": Report(
            tmp_path,
            tuple(Outcome(name, name, Status.FAILED, ENDLESS, advice=name) for name in names),
            (ENDLESS,) * 100,
        ),
        "audit": Audit(tmp_path, tuple(Finding(n, State.MISSING, ENDLESS) for n in names), 1.0),
        "bunch": bunch,
        "data set": DatasetInfo(
            "ds1",
            ENDLESS,
            authors=(ENDLESS,) * 1500,
            versions=(VersionInfo(ENDLESS, ENDLESS, ENDLESS),) * 1500,
            derivatives=(Derivative(ENDLESS, ENDLESS),) * 1500,
            notes=(ENDLESS,) * 1500,
        ),
        "run": Run("x", tmp_path, ".neurofetch", expected=1, tasks=(failing,) * 1500),
    }


@pytest.mark.parametrize("kind", ["plan", "report", "audit", "bunch", "data set", "run"])
def test_a_view_is_bounded_whatever_a_server_says(tmp_path, kind):
    html = endless_results(tmp_path)[kind]._repr_html_()
    page = read(html)
    assert len(html) < 500_000
    assert "more is left out: it would make this notebook too large" in "".join(page.texts)


def test_a_run_of_many_tasks_shows_first_those_that_need_a_look(tmp_path):
    done = tuple(Task(f"{n}", TaskState.DONE, message="done") for n in range(5000))
    lost = Task("5001", TaskState.LOST, message="its computer is gone")
    run = Run("x", tmp_path, ".neurofetch", expected=5001, tasks=(*done, lost))
    html = run._repr_html_()
    assert "its computer is gone" in html
    assert "200 of 5,001 tasks: all are in .tasks" in html
    assert len(html) < 250_000


def test_a_lock_shows_its_paths_before_there_is_no_more_room(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "a.txt").write_text("one")
    lines = read(neurofetch.lock(root, every=True)._repr_html_()).texts
    (line,) = [text for text in lines if "a.txt" in text and "sha256" in text]
    assert len(line) < 60, "the whole hash would leave no room"
    assert "of" not in lines, "a table without rows is not shown"
