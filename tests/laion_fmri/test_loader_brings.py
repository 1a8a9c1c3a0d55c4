"""The call that an error names brings what was missing: asked of a real server, then loaded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from laion_fmri.discovery import get_participants
from laion_fmri.download import download
from laion_fmri.errors import DataNotDownloadedError
from laion_fmri.group import load_subjects
from laion_fmri.subject import load_subject
from testbed.s3 import S3Server
from tests.loader_tree import (
    anatomical_path,
    betas_path,
    glm,
    mean_path,
    objects,
    same,
    trials_path,
    write_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from laion_fmri.subject import Subject


@pytest.fixture(autouse=True)
def server(monkeypatch) -> Iterator[S3Server]:
    with S3Server({"laion-fmri": objects()}) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.url)
        monkeypatch.setenv("LAION_FMRI_ACCEPT_LICENSE", "CC0-1.0")
        yield running


def follow(error: BaseException) -> None:
    """Do what the message says, word for word."""
    lines = str(error).split("\n")
    begin = next(i for i, line in enumerate(lines) if line.startswith("    from laion_fmri"))
    exec("\n".join(line.strip() for line in lines[begin:]), {})


def remove(*paths: Path) -> None:
    for path in paths:
        path.unlink()


CASES: list[tuple[Callable[[Path], list[Path]], Callable[[Subject], object]]] = [
    (lambda tree: [betas_path(tree)], lambda sub: sub.get_betas("01")),
    (lambda tree: [trials_path(tree)], lambda sub: sub.get_trial_info("01")),
    (lambda tree: [trials_path(tree)], lambda sub: sub.get_betas("01", stimuli="shared")),
    (lambda tree: [mean_path(tree)], lambda sub: sub.get_brain_mask("rsquare")),
    (
        lambda tree: [anatomical_path(tree)],
        lambda sub: sub.get_betas("01", mask_source="anatomical"),
    ),
    (
        lambda tree: [glm(tree, "desc-Noiseceiling_statmap.nii.gz", "ses-02")],
        lambda sub: sub.get_betas("02", nc_threshold=10),
    ),
    (
        lambda tree: [glm(tree, "Noiseceiling12rep_statmap.nii.gz")],
        lambda sub: sub.get_noise_ceiling(desc="Noiseceiling12rep"),
    ),
    (
        lambda tree: list((tree / "derivatives/rois/sub-03").rglob("*.*")),
        lambda sub: sub.get_roi_mask("face"),
    ),
    (
        lambda tree: list((tree / "derivatives/rois/sub-03").rglob("*FFA1*.label")),
        lambda sub: sub.get_roi_data("FFA1", "label"),
    ),
    (
        lambda tree: list((tree / "derivatives/rois/sub-03").rglob("*FFA1*.func.gii")),
        lambda sub: sub.get_roi_data("FFA1", "surface"),
    ),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_is_missing_comes_by_the_call_that_is_named(tmp_path, number):
    files, ask = CASES[number]
    tree = write_tree(tmp_path)
    sub = load_subject("03", data_dir=tree, store="off")
    expected = ask(sub)
    gone = files(tree)
    assert gone
    remove(*gone)
    with pytest.raises(DataNotDownloadedError) as caught:
        ask(sub)
    before = {path for path in tree.rglob("*") if path.is_file()}
    follow(caught.value)
    got = ask(sub)
    if isinstance(expected, np.ndarray):
        assert same(got, expected)
    else:
        assert str(got) == str(expected)
    others = {path.name for path in tree.rglob("*") if path.is_file() and path not in before}
    betas = [name for name in others if "stat-effect" in name and name.endswith(".nii.gz")]
    assert len(betas) == (number == 0)  # no gigabytes beside what was missing


def test_a_subject_and_a_group_come_too(tmp_path):
    for name, ask in (
        ("one", lambda: load_subject("sub-03", data_dir=tmp_path / "one").subject_id),
        ("all", lambda: load_subjects("all", data_dir=tmp_path / "all").subject_ids),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(DataNotDownloadedError) as caught:
            ask()
        follow(caught.value)
        assert ask() in ("sub-03", ["sub-01", "sub-03"])


def test_participants_come_too(tmp_path):
    with pytest.raises(DataNotDownloadedError) as caught:
        get_participants(data_dir=tmp_path)
    follow(caught.value)
    assert len(get_participants(data_dir=tmp_path)) == 2


def test_the_configured_directory_is_not_named_in_the_call(tmp_path, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(tmp_path))
    with pytest.raises(DataNotDownloadedError) as caught:
        load_subject("03")
    assert re.search(r'download\(subject="sub-03"\)$', str(caught.value))


def test_downloaded_derivatives_load_as_they_are(tmp_path):
    """From an empty directory to an ROI, by the two calls that a user makes."""
    download("sub-03", ses="ses-01", data_dir=tmp_path, progress=False)
    betas = load_subject("03", data_dir=tmp_path).get_betas("ses-01", roi="FFA1")
    reference = load_subject("03", data_dir=write_tree(tmp_path / "by hand"))
    assert same(betas, reference.get_betas("ses-01", roi="FFA1"))
    store = (tmp_path / ".laion_fmri/store/sub-03.zarr/ses-01/zarr.json").read_text()
    assert '"digest": "' in store
    assert '"digest": ""' not in store  # the download's receipts are known to it
