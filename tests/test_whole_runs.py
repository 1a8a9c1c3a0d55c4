"""One whole run of each face against local servers, quick enough for `make check`."""

import io
import logging
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import neurofetch
from laion_fmri.download import download
from laion_fmri.info import info
from laion_fmri.subject import load_subject
from laion_fmri.verify import verify
from neurofetch.engine import RetryRules
from neurofetch.net.response import Connection
from neurofetch.neurovault import fetch_neurovault_ids
from testbed.neurovault import NeuroVault
from testbed.s3 import HELD_OUT, S3Server
from tests.loader_tree import naive_betas, objects, write_tree


@pytest.fixture
def bucket(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with S3Server({"laion-fmri": objects()}, forbidden=HELD_OUT) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def test_get_then_verify_then_get_again(bucket, tmp_path):
    url, data = "s3://laion-fmri/derivatives/rois", tmp_path / "data"
    planned = neurofetch.plan(url, data, subject="03")
    report = neurofetch.get(url, data, subject="03", progress="none")
    assert len(report) == len(planned) > 3
    for path in report.paths:
        assert path.read_bytes() == objects()[path.relative_to(data).as_posix()]
    assert neurofetch.verify(data, read_all=True).ok
    bucket.clear_log()
    assert neurofetch.get(url, data, subject="03", progress="none").bytes_moved == 0
    assert {request.method for request in bucket.log} == {"LIST"}


def test_download_then_info_verify_and_load_subject(bucket, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    how = {"data_dir": data, "progress": "none", "accept_license": "CC0-1.0"}
    wanted = download("sub-03", ses="ses-01", dry_run=True, **how)
    report = download("sub-03", ses="ses-01", **how)
    assert [str(data / step.want.path) for step in wanted.steps] == list(map(str, report.paths))
    (found,) = info("sub-03", data_dir=data).subjects
    assert found.files_here == sum("sub-03" in str(path) for path in report.paths)
    assert verify(data, read_all=True, remote=True).ok
    betas = load_subject("sub-03", data_dir=data).get_betas("ses-01")
    assert np.array_equal(betas, naive_betas(write_tree(tmp_path / "reference")), equal_nan=True)


def test_the_walk_to_the_bytes_is_the_one_that_architecture_lists(bucket, tmp_path, monkeypatch):
    """Who is on the stack where a transfer receives bytes, and where a file gets its name."""
    source = Path(neurofetch.__file__).parent.parent
    seen: set[str] = set()

    def noted(function):
        def call(*args, **keywords):
            frame, stack = sys._getframe(1), set()
            while frame is not None:
                path = Path(frame.f_code.co_filename)
                if path.is_relative_to(source):
                    stack.add(path.relative_to(source).as_posix())
                frame = frame.f_back
            if "neurofetch/transfer/run.py" in stack:
                seen.update(stack)
            return function(*args, **keywords)

        return call

    monkeypatch.setattr(Connection, "hear", noted(Connection.hear))
    monkeypatch.setattr(Connection, "into", noted(Connection.into))
    monkeypatch.setattr(os, "replace", noted(os.replace))
    download("sub-03", ses="ses-01", data_dir=tmp_path, accept_license="CC0-1.0", progress="none")
    text = (Path(__file__).parent.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    walk = text.partition("a reader enters fifteen files:")[2].partition("Between 3 and 4")[0]
    listed = re.findall(r"[0-9]+\. `([\w/]+\.py)`", walk)
    assert len(listed) == 15
    assert "neurofetch/store/directory.py" in seen
    listed += ["sources/ask.py", "net/retry.py"]  # for what does not go through the pipeline
    listed += ["laion_fmri/_names.py"]  # it only takes `ses=` for `session=`
    assert {path for path in seen if not path.endswith(tuple(listed))} == set()


def test_fetch_neurovault_ids(monkeypatch, tmp_path):
    with NeuroVault() as server:
        server.vault.add_collection(1952, images=[101, 102])
        monkeypatch.setenv("NEUROVAULT_API_URL", server.api_url)
        number = 101
        quick = RetryRules(attempts=2, base=0.01)
        found = fetch_neurovault_ids(
            image_ids=[number], data_dir=str(tmp_path), verbose=0, rules=quick
        )
        assert [meta["id"] for meta in found.images_meta] == [number]
        assert nib.load(found.images[0]).shape
        server.clear_log()
        fetch_neurovault_ids(image_ids=[number], data_dir=str(tmp_path), verbose=0, rules=quick)
        assert server.requests() == []


def test_the_commands_answer():
    for module in ("neurofetch", "laion_fmri"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [module.replace("_", "-"), neurofetch.__version__]


# -- logging -------------------------------------------------------------------------------------

KEY = next(key for key in objects() if "/rois/" in key and key.endswith("_mask.nii.gz"))
NAME = KEY.rpartition("/")[2]
URL = f"s3://laion-fmri/{KEY}"


def fetch_with_one_failed_attempt(bucket, data):
    bucket.fault(key=KEY, times=1, status=503, method="GET")
    return neurofetch.get(URL, data, progress="none")


def test_every_event_is_logged_at_its_level(bucket, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, logger="neurofetch")
    fetch_with_one_failed_attempt(bucket, tmp_path / "data")
    said = {(r.levelno, r.getMessage().partition(":")[0].split()[0]) for r in caplog.records}
    assert (logging.WARNING, "trying") in said
    assert (logging.INFO, "planned") in said
    assert (logging.INFO, "fetched") in said
    assert (logging.INFO, "finished") in said
    assert (logging.DEBUG, "connected") in said
    assert {record.name for record in caplog.records} == {"neurofetch"}


def test_a_listing_that_is_asked_for_again_is_logged_too(bucket, tmp_path, caplog):
    bucket.fault(key="", times=1, status=503)
    with caplog.at_level(logging.WARNING, logger="neurofetch"):
        neurofetch.plan(URL, tmp_path / "data")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "503" in caplog.text


def test_a_failed_file_is_an_error_in_the_log(bucket, tmp_path, caplog):
    bucket.fault(key=KEY, status=404, method="GET")
    with (
        caplog.at_level(logging.ERROR, logger="neurofetch"),
        pytest.raises(neurofetch.IncompleteError),
    ):
        neurofetch.get(URL, tmp_path / "data", progress="none")
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert NAME in record.getMessage()


def test_without_logging_set_up_nothing_is_printed(bucket, tmp_path):
    code = (
        "import neurofetch, sys, warnings\n"
        "from neurofetch.errors import SelectionWarning\n"
        "warnings.simplefilter('ignore', SelectionWarning)\n"
        f"neurofetch.get({URL!r}, {str(tmp_path / 'data')!r}, "
        "progress='none')\n"
    )
    bucket.fault(key=KEY, times=1, status=503, method="GET")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_printing_a_plan_and_a_report_is_a_line_each(bucket, tmp_path):
    out = io.StringIO()
    with redirect_stdout(out):
        print(repr(neurofetch.plan(URL, tmp_path / "data")))
    assert out.getvalue().count("\n") == 1
