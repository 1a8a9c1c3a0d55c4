"""``laion-fmri build-store`` and the store directory, as a user of a shell meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laion_fmri.subject import load_subject
from tests.display.schema import validate
from tests.faces import LICENSE
from tests.loader_tree import SESSIONS, betas_path, naive_betas, naive_roi, same, write_tree
from tests.mounts import read_only, tmpfs

pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "data", subjects=("sub-01", "sub-03"))


def stores(done_out: str) -> list[Path]:
    return [Path(line) for line in done_out.splitlines()]


def test_stores_of_subjects_are_built_and_left_as_they_are_the_second_time(tree, shell):
    done = shell(f"laion-fmri build-store --subject all --data-dir {tree} --workers 2")
    assert (done.code, len(stores(done.out))) == (0, 2)
    assert "sub-03, ses-02 (" in done.err
    assert "(4 of 4)" in done.err
    before = {path: path.stat().st_mtime_ns for path in (tree / ".laion_fmri").rglob("*")}
    again = shell(f"laion-fmri build-store --subject 01 03 --data-dir {tree} --quiet --json")
    assert (again.code, again.err) == (0, "")
    told = json.loads(again.out)
    validate(told)
    assert list(told["stores"].values()) == [str(path) for path in stores(done.out)]
    assert {path: path.stat().st_mtime_ns for path in (tree / ".laion_fmri").rglob("*")} == before
    sub = load_subject("03", data_dir=tree, store="read")
    expected = naive_betas(tree)[:, naive_roi(tree, "V1", "retinotopy")]
    assert same(sub.get_betas("01", roi="V1"), expected)


@pytest.mark.parametrize("way", ["flag", "variable", "config"])
def test_a_lab_s_directory_that_is_read_only_gets_stores_of_your_own(tree, tmp_path, shell, way):
    with read_only(tree, tmp_path / "lab") as lab:
        here = {"LAION_FMRI_DATA_DIR": str(lab)}
        flag, variable = "", here
        if way == "flag":
            flag = "--store-dir ./mine"
        elif way == "variable":
            variable = {**here, "LAION_FMRI_STORE_DIR": "mine"}
        else:
            assert shell("laion-fmri config --store-dir ./mine").code == 0
        done = shell(f"laion-fmri build-store --subject 03 --ses ses-02 {flag}", **variable)
        assert done.code == 0, done.err
        (place,) = stores(done.out)
        assert place.parent.parent.name == "mine"
        assert [path.name for path in place.glob("ses-*")] == ["ses-02"]
        told = json.loads(shell("laion-fmri config --json", **variable).out)
        validate(told)
        if way != "flag":
            assert told["store_dir"] == str(place.parent)
        refused = shell("laion-fmri config --no-store-dir", **variable)
        assert refused.code == 0
        done = shell("laion-fmri build-store --subject 03 --ses ses-02", **here)
        assert done.code == 7  # the disk's
        assert "no beta store can be built in this data directory" in done.err
        assert "LAION_FMRI_STORE_DIR=DIR puts stores elsewhere" in done.err
        assert "Traceback" not in done.err


def test_config_and_info_tell_where_stores_lie(tmp_path, shell, s3):
    root = tmp_path / "data"  # which the shell has in its environment
    assert "beta stores" not in shell("laion-fmri config").err
    done = shell("laion-fmri config --store-dir ./stores")
    assert (done.code, done.out) == (0, "")
    assert "beta stores: " in done.err
    shown = shell("laion-fmri config")
    assert shown.out == f"{root}\n"  # as before: scripts read it
    place = shown.err.split("beta stores: ")[1].strip()
    assert place.startswith(done.err.split("beta stores: ")[1].split(" (")[0])
    told = json.loads(shell("laion-fmri info --json").out)
    validate(told)
    assert told["store_dir"] == place
    assert f"beta stores: {place}\n" in shell("laion-fmri info").out
    assert "in the data directory" in shell("laion-fmri config --no-store-dir").err
    default = root / ".laion_fmri" / "store"
    assert f"beta stores: {default}\n" in shell("laion-fmri info").out


def test_a_read_only_directory_that_was_downloaded_is_told_of_and_verified(tmp_path, shell):
    root = tmp_path / "data"  # which the shell has in its environment
    done = shell(f"laion-fmri download --subject 03 --desc R2mean --data-dir {root}", **LICENSE)
    assert done.code == 0, done.err
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with read_only(root, tmp_path / "lab") as lab:
        for command in ("verify --hash", "verify --remote", "info", "info --subject 03"):
            done = shell(f"laion-fmri {command} --data-dir {lab}")
            assert done.code == 0, (command, done.err)
            assert "rror" not in done.err, (command, done.err)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        ("--subject 03 --workers 0", 2, "expected a whole number, 1 or more"),
        ("--subject 03 --workers two", 2, "expected a whole number, 1 or more"),
        ("--subject 03 --store-dir ''", 2, "the store directory (store_dir) is an empty string"),
        ("--subject 03 --store-dir file", 7, "is no directory"),
        ("--subject 03 --ses ses-99", 3, "Not downloaded"),
        ("--subject 99", 3, "Nothing of sub-99 is in"),
        ("--subject 03 --mask-source mean", 2, "invalid choice"),
        ("", 2, "--subject"),
        ("--subject 03 --data-dir gone", 7, "dataset_initialize(DIR). Check the path"),
    ],
)
def test_what_cannot_be_built_is_told_before_anything_is_written(tree, shell, flags, code, says):
    shell("touch file")
    done = shell(f"laion-fmri build-store --data-dir {tree} {flags}")
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert "Traceback" not in done.err
    assert not (tree / ".laion_fmri").exists()


def test_damaged_sessions_end_with_4_and_the_others_are_built(tree, shell):
    for session in SESSIONS:
        path = betas_path(tree, session)
        path.write_bytes(path.read_bytes()[:-5000])
    command = f"laion-fmri build-store --subject all --data-dir {tree}"
    done = shell(command)
    assert (done.code, done.out) == (4, "")
    assert "2 of 4 sessions have no beta store; the others are built." in done.err
    told = json.loads(shell(f"{command} --json").out)
    validate(told)
    assert (told["error"]["code"], told["error"]["exit"]) == ("store_build", 4)
    built = [path.name for path in (tree / ".laion_fmri/store/sub-01.zarr").glob("ses-*")]
    assert sorted(built) == SESSIONS


def test_a_full_disk_ends_with_7(tree, tmp_path, shell):
    with tmpfs(tmp_path / "small", "64k") as small:
        done = shell(f"laion-fmri build-store --subject 03 --data-dir {tree} --store-dir {small}")
    assert done.code == 7
    assert "No space left on device" in done.err


def test_ctrl_c_ends_the_command_with_130_and_leaves_nothing(tree):
    code = f"""
import sys, time
from laion_fmri.beta_store import build
from laion_fmri.cli.main import main
fill = build._spread
def slowly(*args):
    fill(*args)
    print("batch", flush=True)
    time.sleep(0.2)
build._spread, build._BATCH = slowly, 1
sys.exit(main(["build-store", "--subject", "03", "--data-dir", {str(tree)!r}, "--workers", "1"]))
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "batch\n"
        begin = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert time.monotonic() - begin < 20
    left = [path for path in (tree / ".laion_fmri").rglob("*") if not path.is_dir()]
    assert left == []
