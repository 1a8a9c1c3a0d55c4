"""Betas from the bucket without keeping the file, against a real server that misbehaves."""

from __future__ import annotations

import gzip
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from laion_fmri.errors import (
    CorruptFileError,
    DataNotDownloadedError,
    GridMismatchError,
    TrialMismatchError,
)
from laion_fmri.subject import load_subject
from neurofetch.errors import (
    MissingBucketError,
    RefusedError,
    RemoteChangedError,
    ServerError,
    VerificationError,
)
from neurofetch.transfer import stream as engine
from testbed.s3 import HELD_OUT, S3Object, S3Server
from tests.loader_tree import (
    betas_path,
    naive_betas,
    naive_roi,
    objects,
    same,
    trials_path,
    write_tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from laion_fmri.subject import Subject

KEY = (
    "derivatives/glmsingle-tedana/sub-03/ses-01/func/sub-03_ses-01_task-images_space-T1w_"
    "stat-effect_desc-SingletrialBetas_statmap.nii.gz"
)


@pytest.fixture
def server(monkeypatch) -> Iterator[S3Server]:
    with S3Server({"laion-fmri": objects()}, forbidden=HELD_OUT) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.url)
        monkeypatch.setattr(engine, "_PART", 60_000)
        yield running


@pytest.fixture
def expected(tmp_path) -> np.ndarray:
    return naive_betas(write_tree(tmp_path / "reference"))


@pytest.fixture
def sub(tmp_path) -> Subject:
    """Everything but the betas of the first session."""
    tree = write_tree(tmp_path / "data")
    betas_path(tree).unlink()
    return load_subject("03", data_dir=tree)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_betas_come_masked_and_nothing_is_kept(server, sub, expected):
    before = files(sub.data_dir)
    assert same(sub.get_betas("01", stream=True), expected)
    assert files(sub.data_dir) == before
    parts = server.requests(method="GET", key=KEY)
    assert len(parts) == -(-len(objects()[KEY]) // 60_000)
    assert len({request.range for request in parts}) == len(parts)  # each part once


def test_no_key_of_the_environment_is_used_or_travels(server, sub, expected, monkeypatch):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    for name in names:
        monkeypatch.setenv(name, f"of-{name}")
    assert same(sub.get_betas("01", stream=True), expected)
    assert server.log
    assert not [request for request in server.log if "authorization" in request.headers]
    sent = pickle.dumps(sub.betas.data)
    assert not [name for name in names if f"of-{name}".encode() in sent]


def test_filters_apply_while_it_streams(server, sub, expected):
    roi = naive_roi(sub.data_dir, "FFA1", "face")
    rows = sub.get_trial_info("01")["label"].str.startswith("unique_").to_numpy()
    got = sub.get_betas("01", roi="FFA1", stimuli="unique", stream=True)
    assert same(got, expected[np.ix_(rows, roi)])


def test_what_is_on_disk_is_read_from_there(server, sub):
    tree = sub.data_dir
    assert same(sub.get_betas("02", stream=True), naive_betas(tree, "ses-02"))
    assert not server.requests()


def test_faults_on_the_way_are_overcome(server, sub, expected):
    server.fault(key=KEY, method="GET", times=2, status=503, headers={"Retry-After": "0"})
    server.fault(key=KEY, method="GET", skip=3, times=1, reset=True, cut_after=1000)
    server.fault(key=KEY, method="GET", skip=5, times=1, cut_after=77)
    assert same(sub.get_betas("01", stream=True), expected)


def test_a_wrong_range_is_not_believed(server, sub, expected):
    server.fault(key=KEY, method="GET", skip=1, times=1, ignore_range=True)
    server.fault(key=KEY, method="GET", skip=2, times=1, content_range="bytes 0-59999/999999")
    assert same(sub.get_betas("01", stream=True), expected)


@pytest.mark.parametrize(
    ("checksum", "parts"),
    [
        ("crc64nvme", None),
        ("crc32c", None),
        ("sha256", None),
        (None, None),
        (None, 2),
        ("sha256", 2),
    ],
)
def test_a_turned_byte_fails_the_check(server, sub, expected, checksum, parts):
    """Without gzip, whose own checksum would tell: the server's checksum, or its ETag, does.

    An ETag alone tells together with a second reading; there the byte is right (ADR 12).
    """
    content = gzip.decompress(objects()[KEY])
    size = -(-len(content) // parts) if parts else None
    server.put(KEY, S3Object(content, part_size=size, checksum=checksum))
    assert same(sub.get_betas("01", stream=True), expected)
    stated = checksum is not None and not (checksum == "sha256" and parts)
    last, times = f"bytes=*-{len(content) - 1}", None if stated else 1
    server.fault(key=KEY, method="GET", flip=len(content) - 4, byte_range=last, times=times)
    with pytest.raises(VerificationError, match="nothing was kept"):
        sub.get_betas("01", stream=True)


def test_an_object_that_changes_meanwhile(server, sub):
    server.change(KEY, b"another" * 30_000, skip=2)
    with pytest.raises(RemoteChangedError, match="changed"):
        sub.get_betas("01", stream=True)


def test_truncated_on_the_server(server, sub):
    server.put(KEY, objects()[KEY][:-5000])
    with pytest.raises(
        CorruptFileError, match=r"s3://laion-fmri/derivatives.*ends before its gzip"
    ):
        sub.get_betas("01", stream=True)


def test_another_grid_and_other_trials(server, sub):
    path = trials_path(sub.data_dir)
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    with pytest.raises(TrialMismatchError, match="has 22 rows, but s3://laion-fmri/"):
        sub.get_betas("01", stream=True)
    path.unlink()
    small = next(key for key in objects() if "res-1pt5_label-FFA" in key)
    server.put(KEY, objects()[small])
    with pytest.raises((GridMismatchError, ValueError), match="s3://laion-fmri/"):
        sub.get_betas("01", stream=True)


def test_what_the_bucket_does_not_have(server, sub):
    with pytest.raises(DataNotDownloadedError, match="nor does the bucket have any"):
        sub.get_betas("09", stream=True)
    with pytest.raises(DataNotDownloadedError, match="held out"):
        sub.get_betas("32", stream=True)
    server.fault(key=KEY, status=403)
    with pytest.raises(RefusedError):
        sub.get_betas("01", stream=True)


def test_no_server_and_no_bucket(server, sub, monkeypatch):
    with S3Server({"other": {}}) as empty:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", empty.url)
        with pytest.raises((MissingBucketError, ServerError)):
            sub.get_betas("01", stream=True)


def test_without_stream_nothing_is_asked(server, sub):
    with pytest.raises(DataNotDownloadedError):
        sub.get_betas("01")
    assert not server.requests()
