"""NeuroVault that cannot be reached: exit code 6, with what was asked, tried, and what helps."""

import socket
import subprocess
import sys
import warnings

import pytest

from neurofetch.console import ExitCode
from neurofetch.engine import RetryRules
from neurofetch.errors import UnreachableError
from neurofetch.model import IncompleteError
from neurofetch.neurovault import fetch_neurovault_ids, images, plan_neurovault_ids

pytest_plugins = ["tests.neurovault_fixtures"]

QUICK = RetryRules(attempts=2, base=0.01, cap=0.02)


@pytest.fixture(params=["refused", "no such host", "503", "silent"])
def away(request, world, monkeypatch):
    """Point everything at a server that does not answer, in one of the ways."""
    if request.param == "503":
        world.server.fault(key="/api/*", status=503)
        yield "503"
        return
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        port = silent.getsockname()[1]
        if request.param == "refused":
            silent.close()
        host = "no-such-host.invalid" if request.param == "no such host" else "127.0.0.1"
        monkeypatch.setenv("NEUROVAULT_API_URL", f"http://{host}:{port}/api/")
        yield host


# The command, which waits the least that its lots can draw between attempts, and makes all of them.
BRIEF = """
import random, sys
random.random = lambda: 0.0
from neurofetch._cli import main
sys.exit(main())
"""
COMMANDS = (
    "fetch --collection 7 --patience 0 --timeout 0.3",
    "fetch --image 5 --patience 0 --timeout 0.3",
    "fetch --image 5 --dry-run --patience 0 --timeout 0.3",
    "search map --update",
    "info 5",
)


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_ends_with_6_and_says_what_was_asked_tried_and_helps(
    world, away, monkeypatch, tmp_path, request, line
):
    """The class: a server that is away taken for a file that is missing."""
    if "silent" in request.node.name and "--timeout" not in line:
        pytest.skip("the time to wait is 60 s there")
    monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
    monkeypatch.setenv("NILEARN_DATA", world.data_dir)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-c", BRIEF, "neurovault", *line.split()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == ExitCode.SERVER, done.stderr
    assert away in done.stderr
    assert "/api/" in done.stderr
    for helps in ("try again later", "--patience", "--mode offline"):
        assert done.stderr.count(helps) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_python_raises_one_error_that_is_both(world, away):
    given = {"data_dir": world.data_dir, "rules": QUICK, "patience": 0, "timeout": 0.3}
    with pytest.raises(UnreachableError, match="cannot be reached") as caught:
        fetch_neurovault_ids([7], [101], verbose=0, on_error="raise", **given)
    assert isinstance(caught.value, IncompleteError)
    assert len(caught.value.report.failures) == 2
    with pytest.raises(UnreachableError):
        plan_neurovault_ids([7], **given)
    del given["data_dir"]
    with pytest.raises(UnreachableError):
        images([7], **given)


def test_what_is_here_comes_with_one_warning(world, monkeypatch):
    world.ids([7])
    world.server.fault(key="/api/*", status=503)
    bunch, said = world.warned([7], [101], rules=QUICK, patience=0)
    assert [meta["id"] for meta in bunch.images_meta] == [5, 6, 7]
    assert said.startswith("NeuroVault cannot be reached: ")
    assert "503" in said
    assert 'mode="offline"' in said


def test_a_server_that_answers_is_not_away(world):
    world.server.fault(key="/api/images/101/", status=503)
    with pytest.raises(IncompleteError) as caught, warnings.catch_warnings():
        world.ids([7], [101], on_error="raise", patience=0)
    assert not isinstance(caught.value, UnreachableError)
    with pytest.raises(IncompleteError) as caught:
        world.ids([99], on_error="raise")
    assert not isinstance(caught.value, UnreachableError)
