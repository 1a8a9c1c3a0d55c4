"""What a newcomer reads first says what is so: README, CITATION.cff, what is packed."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from PIL import Image

from neurofetch import __version__
from testbed.s3 import S3Server
from tests.faces import REFUSED, SMALL, bucket
from tools import readme

ROOT = Path(__file__).parent.parent
TEXT = readme.README.read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def without_numbers(text: str) -> str:
    """What is measured is another number each time, with more or fewer blanks before it."""
    return re.sub(r" +", " ", re.sub(r"\d[\d.,]*( bytes| [kMGT]?B)?", "N", text))


@pytest.mark.slow
def test_the_session_of_the_readme_is_what_the_commands_print(tmp_path):
    pytest.importorskip("nilearn")
    shown = readme.session(TEXT)
    with S3Server({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as server:
        said = readme.told(readme.commands(shown), tmp_path, server.url)
    assert without_numbers(said) == without_numbers(shown)
    with Image.open(tmp_path / "brain.png") as picture:
        assert picture.width > 500


def test_the_readme_shows_its_picture():
    assert f"]({readme.PICTURE.relative_to(ROOT).as_posix()})" in TEXT
    with Image.open(readme.PICTURE) as picture:
        assert picture.width > 1000
    assert readme.PICTURE.stat().st_size < 1 << 20


def test_the_readme_is_short():
    assert len(TEXT.splitlines()) < 120


def test_the_commands_for_developers_are_of_the_makefile():
    goals = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (TEXT, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        named = re.findall(r"\bmake ([a-z-]+)", "\n".join(re.findall(r"^    make.*$", page, re.M)))
        assert named
        assert set(named) <= goals


def test_the_citation_is_of_this_version():
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert said["cff-version"] == "1.2.0"
    assert said["version"] == __version__
    assert said["license"] == PROJECT["project"]["license"].split(" AND ")[0]
    assert said["title"].startswith(PROJECT["project"]["name"])
    assert said["authors"]
    assert said["message"]


def test_the_licences_of_what_others_wrote_are_in_the_metadata():
    """The wheel holds code of others: its metadata name their licences and hold their texts."""
    notice = "src/neurofetch/ui/static/NOTICE"
    text = (ROOT / notice).read_text(encoding="utf-8")
    theirs = set(re.findall(r"^\S+ \d\S* \(([^)]+)\)$", text, re.MULTILINE))
    assert {"MIT", "BSD-2-Clause"} <= theirs
    if "Apache License" in text:
        theirs.add("Apache-2.0")
    if "Neither the name" in text:
        theirs.add("BSD-3-Clause")
    assert set(PROJECT["project"]["license"].split(" AND ")) == theirs | {"MIT"}
    assert {"LICENSE", notice} <= set(PROJECT["project"]["license-files"])


def test_the_summary_names_each_source():
    words = PROJECT["project"]["description"], " ".join(PROJECT["project"]["keywords"])
    for source in ("LAION-fMRI", "NeuroVault", "OpenNeuro"):
        assert all(source in one for one in words), source
    assert "BIDS" in words[0]


def test_where_the_project_is_is_said_in_all_places_or_in_none():
    """There are no addresses that lead nowhere."""
    urls = PROJECT["project"].get("urls", {})
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert ("repository-code" in said) is ("Source" in urls)
    assert said.get("repository-code") == urls.get("Source")
    assert all(re.fullmatch(r"https://[\w.-]+\.\w+/\S*", url) for url in urls.values())


def test_what_is_packed_has_all_that_git_has():
    """Nothing that the tests, the documentation or the build read is missing in the archive."""
    packed = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for one in packed:
        assert (ROOT / one.lstrip("/")).exists(), one
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, or no checkout")
    left_out = {path.partition("/")[0] for path in listed} - {one.lstrip("/") for one in packed}
    assert left_out <= {".ci", ".gitignore", "pyproject.toml"}  # hatchling adds pyproject.toml


def test_the_licences_of_what_is_built_in_are_packed_with_ours():
    """Whoever installs the wheel finds them all in its folder of licences."""
    packed = PROJECT["project"]["license-files"]
    assert all((ROOT / one).is_file() for one in packed)
    built_in = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("src/**/NOTICE"))
    assert built_in
    assert set(packed) == {"LICENSE", *built_in}


def test_nobody_reads_what_make_leaves_behind():
    """Folders that `make` fills, and git passes over, are left out by mypy and the archive."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    left = [one for one in ignored if one.startswith(("demo/", "benchmarks/", "docs/"))]
    left = [one for one in left if one.endswith("/")]
    assert {"demo/work/", "demo/shots/", "benchmarks/work/", "docs/_build/"} <= set(left)
    for folder in left:
        path = f"{folder}a/made.py"
        assert any(re.search(one, path) for one in PROJECT["tool"]["mypy"]["exclude"]), folder


def test_a_deprecation_is_a_warning_that_people_see():
    """`DeprecationWarning` is hidden from whoever does not ask: the policy says `FutureWarning`."""
    assert "`FutureWarning`" in (ROOT / "docs" / "deprecation.md").read_text(encoding="utf-8")
    for path in (ROOT / "src").rglob("*.py"):
        names = {
            node.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Name)
        }
        assert not names & {"DeprecationWarning", "PendingDeprecationWarning"}, path
