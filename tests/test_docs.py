"""What the documentation says is run: docstrings, the pages' examples, the command reference.

On a page, ``python`` blocks run in their order in one namespace, and each ``$`` line of a
``console`` block runs in a shell and must succeed, all in one empty directory; but for a block
after the comment ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import doctest
import importlib
import logging
import re
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import fsspec
import pytest

from testbed.neurovault import NeuroVault
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Guard, S3Server
from tests.credential_world import DATASET, static
from tests.faces import REFUSED, Shell, bucket

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
OF_THEIR_OWN = {"cluster.md", "dask.md", "loader.md", "notebooks.md"}
"""Run by test_slurm_page.py, test_dask_docs.py, test_loader_docs.py and test_notebooks_page.py."""
GUARDED = {"credentials.md"}
"""Pages that ask a bucket of a lab, which lets in who signs."""
LAB = ("AKIAEXAMPLEEXAMPLE12", "a/secret+of+this+page")
STUDY = {f"study/{key}": content for key, content in DATASET.items()}
DOCTESTED = [path for path in sorted(SRC.rglob("*.py")) if ">>> " in path.read_text("utf-8")]


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    text: str
    skipped: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    fence = r"(?:<!-- ([^\n]*?) -->\n)?^```(\w+)\n(.*?)^```$"
    return [
        Block(text.count("\n", 0, found.start(3)), found[2], found[3], found[1] or "")
        for found in re.finditer(fence, text, re.DOTALL | re.MULTILINE)
    ]


def commands(block: Block) -> list[str]:
    joined = re.sub(r"\\\n[> ]*", " ", block.text)
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def runnable(page: Path) -> list[Block]:
    return [
        block
        for block in blocks(page)
        if block.language in ("python", "console") and not block.skipped.startswith("not run: ")
    ]


# -- a user's world --------------------------------------------------------------------------------


def add_openneuro(site: OpenNeuro) -> None:
    """Add the data sets that the pages name: versions of MEG, and of what has two versions."""
    meg = {
        f"sub-{sub}/meg/sub-{sub}_task-AEF_run-01_meg.fif": f"meg {sub}".encode() * 500
        for sub in ("0001", "emptyroom")
    }
    shared = {path: content for path, content in small_tree().items() if "/" not in path}
    tree = {**shared, **meg, "sub-0001/anat/sub-0001_T1w.nii.gz": b"anatomy" * 99}
    site.add("ds000246", {"1.0.0": small_tree(), "1.0.1": tree})
    site.add("ds000001", {"1.0.0": small_tree(), "1.1.0": small_tree(seed=1)})
    site.add("ds000900", {"1.0.0": {**small_tree(subjects=3), "README": b"Music was heard."}})


@pytest.fixture(scope="module")
def installed():
    """What `pip install` writes down for fsspec, and a checkout on the path does not have."""
    place = "neurofetch.opening.filesystem.NeurofetchFileSystem"
    fsspec.register_implementation("neurofetch", place, clobber=True)


@pytest.fixture(scope="module")
def world(installed):
    """The variables that lead to local servers in place of those on the internet."""
    with (
        S3Server({"laion-fmri": bucket()}, forbidden=REFUSED) as s3,
        NeuroVault() as neurovault,
        S3Server({"lab-data": STUDY}, guard=Guard(dict([LAB]))) as lab,
        OpenNeuro() as openneuro,
    ):
        add_openneuro(openneuro)
        neurovault.vault.add_collection(1952, images=range(10, 40))
        neurovault.vault.add_collection(457, images=range(40, 50))
        yield {
            "AWS_ENDPOINT_URL": s3.url,
            "NEUROVAULT_API_URL": neurovault.api_url,
            "NEUROSYNTH_API_URL": neurovault.neurosynth_url,
            "LAB_S3": lab.url,
            "OPENNEURO_URL": openneuro.url,
        }


@pytest.fixture
def shell(tmp_path, world, monkeypatch):
    """A shell in an empty directory, and this process in the same world."""
    made = Shell(tmp_path, "")
    made.data.rmdir()
    made.env = {**made.env, **world}
    del made.env["LAION_FMRI_DATA_DIR"]
    for name, text in made.env.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("LAION_FMRI_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return made


# -- the pages -------------------------------------------------------------------------------------


@pytest.fixture
def quiet_log():
    """Take back what an example sets up for the log."""
    yield
    logging.getLogger("neurofetch").setLevel(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if runnable(p) and p.name not in OF_THEIR_OWN], ids=lambda p: p.name
)
def test_the_examples_of_a_page_run_in_their_order(page, shell, quiet_log, tmp_path, monkeypatch):
    namespace: dict[str, object] = {"__name__": "example"}
    if page.name in GUARDED:
        shell.env["AWS_ENDPOINT_URL"] = shell.env["LAB_S3"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", shell.env["LAB_S3"])
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text(f"[lab]\n{static(*LAB)}")
    for block in runnable(page):
        if block.language == "python":
            code = "\n" * block.line + block.text
            exec(compile(code, str(page), "exec"), namespace)
            continue
        assert commands(block), f"{page.name}:{block.line}: a console block without a command"
        for line in commands(block):
            done = shell(line)
            assert done.code == 0, f"{page.name}:{block.line}: {line}\n{done.err}"


def test_what_is_not_run_says_why():
    for page in PAGES:
        for block in blocks(page):
            if block.skipped.startswith("not run"):
                assert re.fullmatch(r"not run: \w.{8,}", block.skipped), f"{page}:{block.line}"


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(ROOT / f"{name}.md" for name in ("ARCHITECTURE", "CONTRIBUTING", "SECURITY"))],
)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [
        link for link in links if not re.match(r"\w+:", link) and not (page.parent / link).exists()
    ]
    assert missing == []


def test_the_changes_tell_each_thing_once():
    entries = re.split(r"\n- ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[1:]
    said = [set(re.findall(r"\w+", entry)) for entry in entries]
    alike = [
        (one[:60], other[:60])
        for (one, its), (other, theirs) in combinations(zip(entries, said, strict=True), 2)
        if len(its & theirs) > 0.65 * min(len(its), len(theirs)) and min(len(its), len(theirs)) > 30
    ]
    assert alike == []


# -- generated -------------------------------------------------------------------------------------


def test_the_command_reference_is_what_help_says():
    generate = importlib.import_module("docs.generate")
    written, said = generate.PAGE.read_text(encoding="utf-8"), generate.page()
    # where a line breaks differs between Python's versions
    assert written.split() == said.split(), "docs/cli.md is not what --help says: run `make pages`"
    for command in ("laion-fmri download", "laion-fmri verify", "neurofetch get"):
        assert f"### `{command}`" in written


# -- docstrings ------------------------------------------------------------------------------------


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", DOCTESTED, ids=module_name)
def test_examples_in_docstrings_run(path, shell):
    module = importlib.import_module(module_name(path))
    failed, tried = doctest.testmod(module, optionflags=doctest.REPORT_NDIFF)
    assert tried > 0
    assert failed == 0


def test_many_docstrings_have_examples():
    assert len(DOCTESTED) > 20
