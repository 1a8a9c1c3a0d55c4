"""What is loaded while the first page of a listing is on its way, what ends that, and the end.

The kind of fault that is looked for: something is loaded that is not needed, after it is wanted no
more, or fails where nobody sees it.
"""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from neurofetch.fetcher import _Loading
from testbed.s3 import S3Server

NAMED = "neurofetch-loading-0"
HEAVY = ("neurofetch.transfer.run", "awscrt")


@pytest.fixture(scope="module")
def s3():
    with S3Server({"b": {"ds/f": b"x" * 1000}}, latency=0.05) as server:
        yield server


def python(s3, tmp_path, script):
    """Run a script as a user would; return what it printed, and what it complained of."""
    env = {
        "PATH": "",
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL_S3": s3.url,
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, neurofetch\n{script}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
        check=False,
    )
    return done.stdout.strip(), done.stderr.strip()


def test_a_plan_does_not_load_what_moves_files(s3, tmp_path):
    script = (
        "plan = neurofetch.plan('s3://b/ds/', 'data')\n"
        f"print(len(plan.moving), [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert python(s3, tmp_path, script) == ("1 []", "")


def test_a_fetch_has_it_when_it_is_needed(s3, tmp_path):
    script = (
        "report = neurofetch.get('s3://b/ds/', 'data', progress='none')\n"
        f"print(report.ok, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert python(s3, tmp_path, script) == (f"True {list(HEAVY)}", "")


@pytest.mark.parametrize("missing", ["awscrt", "awscrt.checksums"])
def test_a_module_that_cannot_be_loaded_is_told_by_who_needs_it(s3, tmp_path, missing):
    script = (
        f"sys.modules[{missing!r}] = None\n"
        "try: neurofetch.get('s3://b/none/', 'data', progress='none')\n"
        "except neurofetch.NeurofetchError as error: print(type(error).__name__)"
    )
    assert python(s3, tmp_path, script) == ("NothingMatchedError", "")


@pytest.mark.parametrize(("argv", "frozen"), [("", True), ("['--version']", False)])
def test_a_command_that_ends_its_process_looks_for_no_garbage_first(s3, tmp_path, argv, frozen):
    """One that was called from Python leaves the interpreter's settings alone."""
    script = (
        "import gc\nfrom neurofetch._cli import main\nsys.argv[1:] = ['--version']\n"
        f"main({argv})\nprint(gc.get_freeze_count() > 0)"
    )
    out, err = python(s3, tmp_path, script)
    assert (out.splitlines()[-1], err) == (str(frozen), "")


def loading():
    return [thread for thread in threading.enumerate() if thread.name == NAMED]


def test_nothing_is_loaded_before_the_first_request_and_it_can_be_called_off():
    asked = threading.Event()
    loads = _Loading(asked, all_of_it=True)
    (thread,) = loading()
    thread.join(0.1)
    assert thread.is_alive()
    loads.end()
    assert not thread.is_alive()


def test_it_loads_when_the_request_is_out():
    asked = threading.Event()
    loads = _Loading(asked, all_of_it=True)
    (thread,) = loading()
    asked.set()
    thread.join(30)
    assert not thread.is_alive()
    assert all(name in sys.modules for name in HEAVY)
    loads.end()


def test_an_error_of_the_listing_leaves_nothing_that_loads(s3, tmp_path):
    script = (
        "import threading\n"
        "try: neurofetch.get('s3://missing/ds/', 'data', progress='none')\n"
        "except neurofetch.NeurofetchError as error: print(type(error).__name__)\n"
        f"print([t.name for t in threading.enumerate() if t.name == {NAMED!r}])"
    )
    assert python(s3, tmp_path, script) == ("MissingBucketError\n[]", "")
