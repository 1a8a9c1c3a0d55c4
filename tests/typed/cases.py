"""What type checkers know of the public names: read by them, and never run.

``assert_type`` is an error where the type is another one. A line that is to be an error carries a
``type: ignore``, which is itself an error where it is not needed. See tests/test_docs_typed.py.
"""

import os
from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import neurofetch
from laion_fmri import stimuli
from laion_fmri.config import DataDir, dataset_initialize, get_data_dir
from laion_fmri.discovery import get_participants, get_subjects
from laion_fmri.download import download
from laion_fmri.group import load_subjects
from laion_fmri.info import Info, info
from laion_fmri.io import index
from laion_fmri.subject import Subject, load_subject
from laion_fmri.verify import verify
from neurofetch import Audit, IncompleteError, Outcome, Plan, Report
from neurofetch.engine import Dataset, Fetcher, Level, ListedSource, Listing, RunSettings, Source
from neurofetch.events import Event
from neurofetch.model import RemoteFile, Step
from neurofetch.opening import cached_path
from neurofetch.opening.file import OpenedFile, TextFile


def downloads(flag: bool, where: os.PathLike[str]) -> None:
    assert_type(download("sub-03"), Report)
    assert_type(download("sub-03", dry_run=False), Report)
    assert_type(download("sub-03", dry_run=True), Plan)
    assert_type(download("sub-03", dry_run=flag), Report | Plan)
    assert_type(download(["01", "03"], ["ses-01", "averages"], n_jobs=4, run=1), Report)
    assert_type(download(subject="all", data_dir=where, shard=(0, 8), dry_run=True), Plan)
    assert_type(download("03", progress=listener, accept_license="CC0-1.0"), Report)
    download("sub-03", dry_rum=True)  # type: ignore[call-overload]
    download(3.0)  # type: ignore[call-overload]
    download("sub-03", dry_run="yes")  # type: ignore[call-overload]
    download("sub-03", shard=(0, 8, 1))  # type: ignore[arg-type]
    download("sub-03").bytes_to_fetch  # type: ignore[attr-defined]


def listener(event: Event) -> None: ...


def opens(url: str, where: os.PathLike[str]) -> None:
    assert_type(neurofetch.open(url), OpenedFile)
    assert_type(neurofetch.open(url, "rb", cache_dir=where).read(), bytes)
    assert_type(neurofetch.open(url, "r", encoding="utf-8"), TextFile)
    assert_type(neurofetch.open(url, "rt").readline(), str)
    assert_type(cached_path(url, data_dir=where, profile="lab"), Path)
    neurofetch.open(url, "wb")  # type: ignore[call-overload]
    neurofetch.open(url, "rb", encoding="utf-8")  # type: ignore[call-overload]


def reports(report: Report, plan: Plan) -> None:
    assert_type(report.paths, list[Path])
    assert_type(report.bytes_moved, int)
    assert_type(report.ok, bool)
    assert_type(report.failures, tuple[Outcome, ...])
    assert_type([outcome.path for outcome in report], list[str])
    assert_type(plan.bytes_to_fetch, int)
    assert_type(plan.moving, tuple[Step, ...])
    assert_type(plan.steps[0].want.remote, RemoteFile)
    try:
        report.raise_for_failures()
    except IncompleteError as error:
        assert_type(error.report, Report)
    report.pahts  # type: ignore[attr-defined]


def buckets(url: str) -> None:
    assert_type(neurofetch.get(url, "data", subject=["01"], run=1), Report)
    assert_type(neurofetch.plan(url, Path("data"), suffix="bold"), Plan)
    assert_type(neurofetch.verify("data", read_all=True), Audit)
    assert_type(neurofetch.__version__, str)
    neurofetch.gte  # type: ignore[attr-defined]
    neurofetch.get(url, "data", n_jobs="four")  # type: ignore[arg-type]


def laion() -> None:
    dataset_initialize("data")
    assert_type(get_data_dir(), DataDir)
    assert_type(verify(read_all=True), Audit)
    assert_type(info(), Info)
    assert_type(stimuli.terms().version, str)
    assert_type(stimuli.status().state, stimuli.AccessState)
    assert_type(get_subjects(), list[str])
    assert_type(get_participants(), pd.DataFrame)
    assert_type(index(), pd.DataFrame)


def one_subject() -> None:
    sub = load_subject("sub-03")
    assert_type(sub, Subject)
    assert_type(sub.get_betas("ses-01"), NDArray[np.float32])
    assert_type(sub.get_betas(["ses-01", "ses-02"]), dict[str, NDArray[np.float32]])
    assert_type(sub.get_noise_ceiling("ses-01"), NDArray[np.float32])
    assert_type(sub.get_noise_ceiling(desc="Noiseceiling4rep"), NDArray[np.float32])
    assert_type(sub.get_noise_ceiling(desc=["Noiseceiling4rep"]), dict[str, NDArray[np.float32]])
    assert_type(sub.get_trial_info("ses-01"), pd.DataFrame)
    assert_type(sub.get_roi_mask("face"), NDArray[np.bool_])
    assert_type(sub.build_store(), Path)
    sub.get_betas("ses-01", nan="drop")  # type: ignore[call-overload]


def several_subjects() -> None:
    group = load_subjects("all")
    assert_type(group["sub-03"], Subject)
    assert_type(group.get_betas("ses-01", roi="FFA1"), dict[str, NDArray[np.float32]])
    assert_type(group.get_shared_betas("ses-01"), dict[str, NDArray[np.float32]])
    assert_type(group.get_betas(["ses-01"]), dict[str, dict[str, NDArray[np.float32]]])
    assert_type(group.get_noise_ceiling(session="ses-01"), dict[str, NDArray[np.float32]])
    assert_type(group.get_noise_ceiling(desc="Noiseceiling4rep"), dict[str, NDArray[np.float32]])
    assert_type(group.get_trial_info("ses-01"), dict[str, pd.DataFrame])
    assert_type([name for name, _ in group], list[str])
    group.get_betas("ses-01", rio="FFA1")  # type: ignore[call-overload]
    group.get_shared_betas("ses-01", stimuli="unique")  # type: ignore[call-overload]


class MySource:
    """A source that inherits nothing."""

    notes: tuple[str, ...] = ()
    name: str = "mine"

    def walk(self, prefix: str) -> list[RemoteFile]:
        return []

    def level(self, prefix: str) -> Level:
        return Level([], [])

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:
        return remote.url

    def signed(self, remote: RemoteFile) -> bool:
        return False


def engine(dataset: Dataset, plan: Plan) -> None:
    sources: list[Source] = [MySource(), ListedSource([])]
    with Fetcher(dataset, "data", make_source=lambda *_: sources[0]) as fetcher:
        assert_type(fetcher, Fetcher)
        assert_type(fetcher.files(Listing(("sub-03/",))), list[RemoteFile])
        assert_type(fetcher.run(plan, RunSettings.checked(n_jobs=4)), Report)
        assert_type(fetcher.source, Source)
    Fetcher(dataset, "data", make_source=lambda *_: "a bucket")  # type: ignore[arg-type]
