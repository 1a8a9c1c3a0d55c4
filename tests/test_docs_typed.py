"""What a user's type checker says of the documentation's examples: nothing.

The ``python`` blocks of each page are one module, each at the line where it stands; also those that
are not run. mypy (strict) and pyright (in its own mode "standard") read them, with no settings of
this repository, as they read a user's code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_docs import PAGES, ROOT, blocks

pytestmark = pytest.mark.slow

TYPED = Path(__file__).parent / "typed"
PREAMBLES = {
    "CONTRIBUTING.md": "import argparse; from neurofetch import console; "
    "from neurofetch.console import ExitCode"
}
"""What the words around the examples of a page set up."""

OF_OTHERS = re.compile(
    r'"(fsspec|h5py|mne|dask\.distributed)".*(missing library stubs|could not be resolved)'
    r'|Call to untyped function "(LocalCluster|Client|gather|compute|close)"'  # of Dask
    r'|stub for module named "(mne|ray|mpi4py[.\w]*)"|running_mypy.html#missing-imports'
    r'|"(joblib[.\w]*|executorlib|ray|mpi4py[.\w]*)".*(missing library stubs|not be resolved)'
    r'|"dask_jobqueue"|attribute "scale" for class'  # it exports what it does not name
)
"""What is said of libraries of others that ship no types, or need not be installed."""

FRONT_DOORS = (
    "neurofetch.events",
    "neurofetch.errors",
    "neurofetch.model",
    "laion_fmri.captions",
    "laion_fmri.config",
    "laion_fmri.discovery",
    "laion_fmri.download",
    "laion_fmri.embeddings",
    "laion_fmri.group",
    "laion_fmri.info",
    "laion_fmri.io",
    "laion_fmri.segmentations",
    "laion_fmri.splits",
    "laion_fmri.stimuli",
    "laion_fmri.stimulus_downloads",
    "laion_fmri.subject",
    "laion_fmri.templates",
    "laion_fmri.trial_stimuli",
    "laion_fmri.verify",
)
"""Modules that people import from: pyright is to know each type in them without a guess."""


def name_of(page: Path) -> str:
    return "page_" + re.sub(r"\W", "_", page.stem.lower())


def module_of(page: Path) -> str:
    """The examples of a page, each at its own line."""
    text = PREAMBLES.get(page.name, "")
    for block in blocks(page):
        if block.language == "python":
            text += "\n" * (block.line - text.count("\n")) + block.text
    return text


EXAMPLES = {
    page: module_of(page)
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]
    if any(block.language == "python" for block in blocks(page))
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder of a user, with a module for each page, and the cases."""
    folder = tmp_path_factory.mktemp("user")
    for page, text in EXAMPLES.items():
        (folder / f"{name_of(page)}.py").write_text(text, encoding="utf-8")
    shutil.copy(TYPED / "cases.py", folder)
    settings = {
        "typeCheckingMode": "standard",
        "stubPath": str(TYPED),
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return folder


def pyright(folder: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """What pyright says; basedpyright has it in a wheel, and fetches nothing when it runs."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable),
            *("--outputjson", *arguments),
        ],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.lstrip().startswith("{"), done.stdout + done.stderr
    return json.loads(done.stdout)


def located(file: str, line: int, message: str) -> str:
    """A complaint, at the page and line where the example stands."""
    pages = {name_of(page): page.relative_to(ROOT).as_posix() for page in EXAMPLES}
    stem = Path(file).stem
    return f"{pages.get(stem, f'tests/typed/{stem}.py')}:{line}: {message}"


def test_the_pages_have_examples_and_none_asks_for_mercy():
    assert {page.name for page in EXAMPLES} >= {"README.md", "get.md", "laion-fmri.md", "loader.md"}
    for page, text in EXAMPLES.items():
        assert "type: ignore" not in text, page
        assert "pyright:" not in text, page
        compile(text, str(page), "exec")


def test_mypy_has_nothing_to_say(project):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"),
            *("--hide-error-context", "--cache-dir", str(ROOT / ".mypy_cache" / "user"), "."),
        ],
        cwd=project,
        env={**os.environ, "MYPYPATH": str(TYPED)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(.+?):(\d+): (\w+: .*)$", done.stdout, re.MULTILINE)
    ours = [one for one in found if not OF_OTHERS.search(one[2])]
    assert [located(file, int(line), message) for file, line, message in ours] == []
    assert done.returncode == 0 or len(ours) < len(found), done.stdout + done.stderr


def test_pyright_has_nothing_to_say(project):
    said = pyright(project)
    errors = [
        located(one["file"], one["range"]["start"]["line"] + 1, one["message"])
        for one in said["generalDiagnostics"]
        if one["severity"] == "error" and not OF_OTHERS.search(one["message"])
    ]
    assert errors == []
    assert said["summary"]["filesAnalyzed"] == len(EXAMPLES) + 1


@pytest.mark.parametrize("package", ["neurofetch", "laion_fmri"])
def test_no_public_name_has_an_unknown_type(package, tmp_path):
    """Pyright's own look at a typed package, which a user's editor relies on."""
    said = pyright(
        tmp_path, "--verifytypes", package, "--ignoreexternal", PYTHONPATH=str(ROOT / "src")
    )["typeCompleteness"]
    counts = said["exportedSymbolCounts"]
    assert counts["withKnownType"] > 300
    unknown = {
        symbol["name"]
        for symbol in said["symbols"]
        if symbol["isExported"] and not (symbol["isTypeKnown"] or symbol["isTypeAmbiguous"])
    }
    # Its base class is of fsspec, which ships no types.
    assert unknown <= {"neurofetch.opening.filesystem.NeurofetchFileSystem"}
    guessed = [
        symbol["name"]
        for symbol in said["symbols"]
        if symbol["isExported"]
        and not symbol["isTypeKnown"]
        and symbol["name"].startswith(tuple(f"{door}." for door in FRONT_DOORS))
    ]
    assert guessed == []
