"""In a real kernel of Jupyter: one output that changes, an interrupt, errors in few words."""

import contextlib
import re
import threading
import time

import pytest

from testbed.s3 import S3Server
from tests.engine_world import until
from tests.faces import REFUSED, SMALL, Shell, bucket, on_disk
from tests.notebook_kernel import executed, notebook, own_env
from tests.notebooks_study import STUDY

pytestmark = pytest.mark.slow
GET = "import neurofetch\nreport = neurofetch.get('s3://lab/study', 'data')"


@pytest.fixture(scope="module")
def s3():
    buckets = {"lab": STUDY, "laion-fmri": bucket(SMALL)}
    with S3Server(buckets, forbidden=REFUSED) as server:
        yield server


@pytest.fixture
def clean(s3):
    yield s3
    s3.clear_faults()
    s3.clear_log()


@pytest.fixture
def home(tmp_path, clean):
    return Shell(tmp_path, clean.url)


@pytest.fixture
def user(home):
    with notebook(own_env(home.env), home.home) as made:
        yield made


def slowly(s3, seconds=0.4):
    s3.fault(method="GET", delay=seconds)


@contextlib.contextmanager
def interrupted_when(user, condition):
    """Interrupt the kernel from another thread, half a second after something is so."""

    def wait():
        until(condition, 60)
        time.sleep(0.5)
        user.interrupt()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_cell_has_one_output_that_changes_and_says_at_its_end_what_came(user, s3, home):
    slowly(s3)
    cell = user.run(GET + "\nreport")
    assert cell.error == "", cell.said
    assert user.updates >= 1
    (progress,) = cell.progress
    assert re.match(r"13 fetched; 2.40 MB moved in ", progress)
    assert "<details" in cell.result["text/html"]
    assert cell.result["text/plain"].startswith("<Report of 13 files in ")
    assert cell.streams == {}
    assert any("Fetching" in html for html in user.html)
    assert not any(re.search("<script|<style|javascript", html) for html in user.html)


def test_it_is_told_a_few_times_a_second_at_most(user, s3):
    s3.fault(method="GET", delay=0.25)
    began = time.monotonic()
    cell = user.run("import neurofetch\nneurofetch.get('s3://lab/study', 'data', n_jobs=2)")
    assert cell.error == "", cell.said
    assert user.updates <= 4 * (time.monotonic() - began) + 4


def test_a_loop_has_one_output(user):
    cell = user.run(
        "import neurofetch\nfor n in range(1, 13):\n"
        "    neurofetch.get('s3://lab/study', 'data', subject=f'{n:02}')"
    )
    assert cell.error == "", cell.said
    assert len(cell.progress) == 1
    assert len(cell.shown) == 1


def test_an_interrupt_keeps_what_came_and_the_same_cell_goes_on(user, s3, home):
    slowly(s3, 3.0)
    data = home.home / "data"
    code = "import neurofetch\nreport = neurofetch.get('s3://lab/study', 'data', n_jobs=2)"
    with interrupted_when(user, lambda: data.is_dir() and on_disk(data)):
        cell = user.run(code)
    assert cell.error == "KeyboardInterrupt"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", cell.said)
    here = len(on_disk(home.home / "data"))
    assert 0 < here < 13
    assert plain.splitlines()[0].startswith(f"Stopped. Of 13 files, {here} are here, whole, in ")
    assert "run the cell again" in plain
    assert len(plain.splitlines()) < 5
    (progress,) = cell.progress
    assert progress.startswith("stopped. What came is kept: run the cell again to go on")
    s3.clear_faults()
    s3.clear_log()
    again = user.run(
        "report = neurofetch.get('s3://lab/study', 'data')\n(len(report.skipped), report.ok)"
    )
    assert again.error == "", again.said
    assert again.result["text/plain"] == f"({here}, True)"


@pytest.mark.parametrize("call", ["plan", "get"])
def test_an_interrupt_while_files_are_listed_is_told_in_a_line(user, s3, call):
    s3.fault(method="LIST", delay=60.0)
    user.run("import neurofetch")
    with interrupted_when(user, lambda: s3.log):
        cell = user.run(f"neurofetch.{call}('s3://lab/study', 'data')")
    assert cell.error == "KeyboardInterrupt"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", cell.said)
    assert plain == (
        "Stopped while the plan was made; nothing was fetched. Run the cell again to begin anew."
    )
    assert set(cell.progress) <= {"stopped while files were listed"}


def test_an_interrupt_that_is_caught_has_the_report(user, s3, home):
    slowly(s3, 3.0)
    data = home.home / "data"
    with interrupted_when(user, lambda: data.is_dir() and on_disk(data)):
        cell = user.run(
            "import neurofetch\ntry:\n    neurofetch.get('s3://lab/study', 'data', n_jobs=2)\n"
            "except KeyboardInterrupt as stopped:\n    report = stopped.report\n"
            "print(len(report), bool(report.failures), type(report).__name__)"
        )
    assert cell.error == "", cell.said
    assert cell.streams["stdout"] == "13 True Report\n"


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (
            "neurofetch.get('s3://lab/study', 'data', progress='loud')",
            "UsageError",
            "progress is one",
        ),
        ("neurofetch.get('s3://lab/study', 'data', subject='99')", "UnknownValueError", "99"),
        (
            "neurofetch.get('s3://lab/study', 'data', subjet='01')",
            "UnknownValueError",
            "subject",
        ),
        ("neurofetch.verify('nowhere')", "DestinationError", "nowhere"),
    ],
)
def test_a_mistake_is_told_in_few_lines_and_the_traceback_is_to_be_had(user, code, kind, said):
    cell = user.run(f"import neurofetch\ndef mine():\n    return {code}\nmine()")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", cell.said)
    assert cell.error == kind, plain
    lines = plain.splitlines()
    assert lines[0].startswith(f"{kind}: ")
    assert said in plain
    assert "in the cell, line 4: mine()" in lines
    assert f"in mine(), line 3: return {code}" in lines
    assert len(lines) <= 12
    assert "site-packages" not in plain
    whole = user.run("%tb")
    assert "neurofetch" in whole.said + "".join(whole.streams.values())
    assert "Traceback (most recent call last)" in whole.said + "".join(whole.streams.values())


def test_files_that_failed_are_named_below_the_cell_and_in_the_error(user, s3):
    s3.fault(key="study/sub-03/anat/sub-03_T1w.nii.gz", method="GET", status=404)
    cell = user.run(GET)
    assert cell.error == "IncompleteError"
    (progress,) = cell.progress
    assert "1 failed" in progress
    assert "failed: sub-03/anat/sub-03_T1w.nii.gz: " in progress
    assert "1 of 13 files failed" in cell.said


def test_threads_and_a_running_event_loop(user, home):
    cell = user.run(
        "import asyncio, neurofetch\n"
        "async def one(n):\n"
        "    return await asyncio.to_thread(\n"
        "        neurofetch.get, 's3://lab/study', f'data{n}', subject=['01', '02'])\n"
        "reports = await asyncio.gather(*map(one, range(3)))\n"
        "[r.ok for r in reports], neurofetch.get('s3://lab/study', 'data9', subject='01').ok"
    )
    assert cell.error == "", cell.said
    assert cell.result["text/plain"] == "([True, True, True], True)"
    assert all("fetched; " in text for text in cell.progress)
    assert len(cell.progress) == 4


def test_a_forked_process_says_nothing_through_the_kernel(user):
    """It has the shell of its parent, and must not speak on its sockets."""
    cell = user.run(
        "import os, neurofetch\npid = os.fork()\n"
        "if not pid:\n"
        "    ok = neurofetch.get('s3://lab/study', 'data').ok\n"
        "    os._exit(0 if ok else 3)\n"
        "os.waitpid(pid, 0)[1]"
    )
    assert cell.error == "", cell.said
    assert cell.result["text/plain"] == "0"
    assert cell.progress == []


@pytest.mark.parametrize("how", ["Shell", "ZMQInteractiveShell"])
def test_in_colab_which_has_a_shell_of_its_own(user, how):
    cell = user.run(
        "import sys, types\n"
        "sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
        f"class {how}(type(get_ipython())): pass\n"
        f"get_ipython().__class__ = {how}\n" + GET
    )
    assert cell.error == "", cell.said
    assert "13 fetched" in cell.progress[0]


@pytest.mark.parametrize("progress", ["'none'", "False", "'lines'", "'json'"])
def test_other_ways_to_tell_are_kept(user, progress):
    cell = user.run(
        f"import neurofetch\nneurofetch.get('s3://lab/study', 'data', progress={progress}).ok"
    )
    assert cell.error == "", cell.said
    assert cell.progress == []
    assert ("finished" in cell.streams.get("stderr", "")) == (progress == "'json'")


def test_where_nothing_can_be_shown_it_is_told_in_lines(user):
    """A front end, or a publisher, that is broken breaks no run."""
    cell = user.run(
        "def broken(*args, **more): raise OSError('no line to the front end')\n"
        "get_ipython().display_pub.publish = broken\n" + GET + "\nprint(report.ok)"
    )
    assert cell.error == "", cell.said
    assert cell.streams["stdout"] == "True\n"


@pytest.mark.parametrize(
    "how",
    [
        ("jupyter", "execute", "--inplace"),
        ("nbconvert", "--execute", "--to", "notebook", "--inplace"),
    ],
    ids=["nbclient", "nbconvert"],
)
def test_a_notebook_that_ran_without_a_reader_holds_one_state(how, home, s3):
    slowly(s3, 0.2)
    made = executed([GET, "report"], own_env(home.env), home.home, *how)
    (progress,) = made.cells[0].outputs
    assert progress.output_type == "display_data"
    assert "13 fetched; " in progress.data["text/plain"]
    (result,) = made.cells[1].outputs
    assert result.data["text/plain"].startswith("<Report of 13 files in ")
    assert len(str(made)) < 60_000
