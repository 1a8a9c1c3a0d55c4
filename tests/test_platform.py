"""On which systems the package runs, and what it says on others."""

from __future__ import annotations

import subprocess
import sys

import pytest

import laion_fmri
import neurofetch
from neurofetch._platform import check_platform
from neurofetch.errors import NeurofetchError, UnsupportedPlatformError


def run(script):
    """Run a script in an interpreter that takes its system for Windows."""
    # What an interpreter has loaded anyway is loaded as on this system.
    script = f"import sys, os, pathlib, subprocess, warnings\nsys.platform = 'win32'\n{script}"
    paths = f"sys.path[:0] = {[path for path in sys.path if path]!r}"
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{paths}\n{script}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd14", "cygwin"])
def test_systems_of_the_posix_kind_are_let_in(platform):
    check_platform(platform)


def test_windows_is_refused_with_the_way_out():
    with pytest.raises(UnsupportedPlatformError, match="WSL") as caught:
        check_platform("win32")
    assert isinstance(caught.value, NeurofetchError)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    "line",
    [
        "from neurofetch import get",
        "from neurofetch import plan, verify",
        "import neurofetch.engine",
        "from neurofetch.neurovault import fetch_neurovault_ids",
        "from laion_fmri.download import download",
        "from laion_fmri.config import dataset_initialize",
        "from laion_fmri.subject import load_subject",
    ],
)
def test_what_touches_a_disk_is_not_imported_on_windows(line):
    done = run(line)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "neurofetch.errors.UnsupportedPlatformError: neurofetch does not run on Windows itself"
    )


@pytest.mark.parametrize("module", ["neurofetch._cli", "laion_fmri.cli.main"])
@pytest.mark.parametrize("words", [[], ["--help"], ["verify"]])
def test_a_command_says_so_without_a_traceback(module, words):
    done = run(f"from {module} import main\nsys.exit(main({words!r}))")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "does not run on Windows itself" in line
    assert "WSL" in line


def test_both_packages_tell_their_version():
    assert laion_fmri.__version__ == neurofetch.__version__
