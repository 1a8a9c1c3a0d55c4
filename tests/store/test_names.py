"""Which names the disk can hold: found out on the disk itself, once, and only when it matters."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from neurofetch.store.names import Names, encodable

FORM = unicodedata.normalize("NFD", "caf\u00e9")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "data" / ".neurofetch"


@pytest.fixture
def names(state):
    return Names(state.parent, state)


def told_apart(folder: Path, one: str, other: str) -> bool:
    folder.mkdir()
    (folder / one).write_bytes(b"1")
    (folder / other).write_bytes(b"2")
    return len(os.listdir(folder)) == 2


def test_what_is_found_out_is_what_the_disk_does(names, state, tmp_path):
    case = not told_apart(tmp_path / "case", "a", "A")
    accents = not told_apart(tmp_path / "accents", "caf\u00e9", FORM)
    assert names.folds(write=True) == (case, accents)
    assert os.listdir(state) == [], "nothing is left of it"


def test_looking_alone_writes_nothing(names, state):
    assert names.folds(write=False) == (sys.platform == "darwin",) * 2
    assert not state.parent.exists()


def test_nothing_is_written_through_a_link(names, state, tmp_path):
    state.parent.mkdir()
    (tmp_path / "outside").mkdir()
    state.symlink_to(tmp_path / "outside")
    (tmp_path / "outside").chmod(0o755)
    before = (tmp_path / "outside").stat().st_mtime_ns
    names.folds(write=True)
    assert (tmp_path / "outside").stat().st_mtime_ns == before


def test_a_state_folder_that_cannot_be_written_is_looked_at(names, state):
    state.parent.mkdir()
    state.write_bytes(b"a file")
    assert names.folds(write=True) == (False, sys.platform == "darwin")


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "sub-01/" + "x" * 255,
        "/".join(["y" * 200] * 5),
        "\u00e9" * 127,
        "Icon\r",
        "a\\b",
        "a:b",
    ],
)
def test_a_name_that_can_be_held_has_no_problem_and_can_be_written(names, tmp_path, path):
    assert names.problem(path) == ""
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"x")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("x" * 256, "has 256 bytes"),
        ("\u00e9" * 128 + "/x", "has 256 bytes"),
        ("/".join(["y" * 200] * 30), "use a data directory with a shorter path"),
    ],
)
def test_a_name_that_cannot_be_held_has_a_problem_and_cannot_be_written(names, tmp_path, path, why):
    assert why in names.problem(path)
    with pytest.raises(OSError, match="name too long"):
        os.stat(tmp_path / path)


def test_whether_a_name_can_be_said_depends_on_the_locale():
    text = "from neurofetch.store.names import encodable; print(encodable('\\xe9'), encodable('e'))"
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False True\n"
    assert encodable("\u00e9") is (sys.getfilesystemencoding() == "utf-8")
