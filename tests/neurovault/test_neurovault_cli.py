"""The command: what it prints where, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from neurofetch._cli import main
from neurofetch.errors import UnknownValueError, UsageError
from neurofetch.neurovault import GreaterThan, search, verify
from tests.display.schema import validate

pytest_plugins = ["tests.neurovault_fixtures"]


@pytest.fixture
def run(world, tmp_path, monkeypatch, capsys):
    """Run the command in this process; return its exit code, stdout and stderr."""
    monkeypatch.setenv("NILEARN_DATA", world.data_dir)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        with warnings.catch_warnings():
            try:
                code = main(["neurovault", *arguments])
            except SystemExit as end:
                code = end.code
        out, err = capsys.readouterr()
        if "--json" in arguments:
            validate(json.loads(out))
        return int(code), out, err

    yield run
    signal.signal(signal.SIGTERM, handler)


def test_fetch_prints_paths_and_a_second_run_has_nothing_to_do(world, run):
    code, out, err = run("fetch", "--collection", "7", "--image", "101", "103", "--paths")
    assert code == 0
    assert [Path(p).name for p in out.split()] == [f"image_{n}.nii.gz" for n in (5, 6, 7, 101, 103)]
    assert "5 files" in err
    world.server.clear_log()
    code, out, err = run("fetch", "--collection", "7", "--image", "101", "--json")
    assert code == 0
    assert [f["status"] for f in json.loads(out)["files"]] == ["kept"] * 4
    assert world.server.log == []


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize("progress", ["lines", "json", "bar"])
def test_a_log_that_cannot_be_written_is_no_reason_to_fail(world, stderr, progress):
    line = (
        f"fetch --collection 7 --paths --progress {progress} --data-dir {world.data_dir} {stderr}"
    )
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m neurofetch neurovault {line}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert [Path(p).is_file() for p in done.stdout.split()] == [True] * 3
    again = line.replace("--collection 7", "--collection 7 999")  # an id that there is not
    command = ["sh", "-c", f"{sys.executable} -m neurofetch neurovault {again}"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 4


def test_names_of_others_cannot_act_on_a_terminal(world, run):
    world.vault.images[5]["name"] = "z\x1b[2J\x9b2J\u202e map"
    assert run("fetch", "--image", "5")[0] == 0
    for arguments in (("info", "5"), ("info", "5", "--json")):
        code, out, _ = run(*arguments)
        assert code == 0
        assert "[2J" in out
        assert not {"\x1b", "\x9b", "\u202e"} & set(out)


def test_a_dry_run_prints_sizes_and_fetches_nothing(world, run):
    code, out, _ = run("fetch", "--collection", "7", "--dry-run", "--json")
    assert code == 0
    plan = json.loads(out)
    assert plan["bytes_to_fetch"] == sum(world.vault.images[n]["file_size"] for n in (5, 6, 7))
    code, out, _ = run("fetch", "--collection", "7", "--dry-run")
    assert "image_6.nii.gz" in out
    assert world.media() == []


def test_what_cannot_be_had_is_named_and_the_code_says_so(world, run):
    code, out, err = run("fetch", "--image", "5", "999", "--json", "--progress", "none")
    assert code == 4
    assert "image 999: the server knows none of this id" in err
    assert {f["status"] for f in json.loads(out)["files"]} == {"fetched", "failed"}
    assert run("fetch")[0] == 2
    assert run("fetch", "--image", "5", "--connections", "0")[0] == 2
    assert run("fetch", "--image", "five")[0] == 2


def test_offline_and_words(world, run):
    assert run("fetch", "--collection", "7", "--fetch-neurosynth-words", "--quiet") == (0, "", "")
    world.server.clear_log()
    assert run("fetch", "--collection", "7", "--mode", "offline")[0] == 0
    code, _, err = run("fetch", "--collection", "1952", "--mode", "offline")
    assert (code, world.server.log) == (4, [])
    assert "collection 1952: not in the cache" in err


def test_progress_as_json_is_one_value_a_line(run):
    code, _, err = run("fetch", "--collection", "7", "--progress", "json")
    assert code == 0
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events[0] == "planned"
    assert events[-1] == "finished"
    assert events.count("file") == 3


def test_search_needs_a_catalogue_and_fills_it_when_told(world, run):
    code, _, err = run("search", "map")
    assert code == 3
    assert "--update" in err
    code, out, err = run("search", '"map 10"', "--update", "--field", "map_type=Z map", "--ids")
    assert (code, out.split()) == (0, ["102", "104"])
    assert "10 added" in err
    code, out, _ = run("search", "--collection-text", '"collection 7"', "--limit", "2")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["id", "5", "6"]
    code, out, _ = run("search", "--kind", "collections", "--json", "--field", "id=7")
    assert [record["name"] for record in json.loads(out)["records"]] == ["Collection 7"]
    assert run("search", "xylophone")[:2] == (3, "")
    assert run("search", "--field", "oops")[0] == 2


@pytest.fixture
def filled(world, run):
    world.vault.images[5]["uploader_note"] = "left"
    assert run("search", "map", "--update", "--quiet")[0] == 0
    return run


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["xylophone"], 3, ["None of the 8 images", "'xylophone' alone finds nothing"]),
        (["mapp"], 3, ["Did you mean map?"]),
        (["map", "--field", "map_type=Z-map"], 3, ["map_type='Z-map'", "Did you mean 'Z map'"]),
        (["--field", "uploader_note=lift"], 3, ["uploader_note='lift'", "Did you mean 'left'?"]),
        (["--field", "map_typ=Z map"], 3, ["has a field 'map_typ'", "Did you mean map_type"]),
        (["--field", "zzzzzz=1"], 3, ["has a field 'zzzzzz'"]),
        (["--field", "id=99"], 3, ["id=99 alone finds nothing", "go from 5 to 105"]),
        (["--field", "id=5.5"], 3, ["id=5.5 alone finds nothing"]),
        (["--field", "id=100000000000000000000"], 3, ["alone finds nothing"]),
        (["--field", "id=5", "collection_id=1952"], 3, ["id=5 alone finds 1", "Leave one"]),
        (["--collection-text", "zebra"], 3, ["'zebra' of collections"]),
        (["--field", "not_mni=maybe"], 2, ["not_mni must be true or false, not 'maybe'"]),
        (
            ["--field", "number_of_subjects=abc"],
            2,
            ["subjects must be a number", "'abc'"],
        ),
        (["--field", "modify_date=soon"], 2, ["modify_date must be a date", "'soon'"]),
        (["--field", "oops"], 2, ["NAME=VALUE"]),
        (["--field", "limit=3"], 2, ["limit is no field"]),
        (["map", "--limit", "0"], 2, ["limit must be a whole number from 1", "'0'"]),
        (["map", "--limit", "-1"], 2, ["-1"]),
        (["map", "--limit", "few"], 2, ["'few'"]),
        (["map", "--limit", "1" * 30], 2, ["limit must be a whole number"]),
        (["--kind", "collections", "--collection-text", "x"], 2, ["use text"]),
    ],
)
def test_a_search_that_finds_nothing_says_why_and_what_is_near(filled, arguments, code, words):
    """The class: silence, or the words of a database."""
    for more in ((), ("--json",), ("--ids",)):
        found, out, err = filled("search", *arguments, *more)
        assert found == code, err
        if "--json" in more:
            assert json.loads(out)["error"]["exit"] == code
        else:
            assert not out
        assert all(word in err for word in words), err
        assert "duckdb" not in err.lower()
        assert "SELECT" not in err


def test_a_search_in_python_refuses_what_no_record_can_have(filled):
    for wrong in (
        {"limit": 0}, {"limit": True}, {"limit": 2**63}, {"limit": 1.5}, {"text": 5},
        {"id": GreaterThan("x")}, {"id": [5, "x"]}, {"not_mni": 2}, {"name": [None, {}]},
        {"collection_text": b"x"},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            search(**wrong)
    with pytest.raises(UnknownValueError, match="map_type"):
        search(map_typ="Z map")
    assert search(id=5.5) == search(id=10**30) == search("xylophone") == []
    assert search(id=["5", 6.0, None], limit="1") == [5]
    assert search(id=GreaterThan(5.5), collection_id=7) == [6, 7]
    assert search(id=GreaterThan(10**30)) == []
    assert search("\ud800") == search(name="\ud800") == []


def test_info_of_an_image_and_of_a_collection(run):
    code, out, _ = run("info", "101")
    assert code == 0
    assert "map 101" in out
    code, out, _ = run("info", "7", "--collection", "--json")
    assert json.loads(out)["record"]["name"] == "Collection 7"
    code, _, err = run("info", "998")
    assert code == 3
    assert "image 998" in err


def test_verify_reads_everything_again(world, run):
    run("fetch", "--collection", "7", "1952")
    assert run("verify")[0] == 0
    path = world.file(7, 6)
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[5000:5040] = bytes(40)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    world.file(7, 7).unlink()
    code, out, _ = run("verify", "--json")
    assert code == 4
    found = {f["path"]: f["state"] for f in json.loads(out)["files"] if f["state"] != "good"}
    assert found == {
        "collection_7/image_6.nii.gz": "differs",
        "collection_7/image_7.nii.gz": "missing",
    }
    assert run("verify", "--collection", "1952")[0] == 0
    assert not verify(world.data_dir, [7]).ok


@pytest.mark.slow
def test_help_is_light():
    code = (
        "import sys; from neurofetch._cli import build_parser; build_parser(); "
        "print([m for m in ('numpy', 'pandas', 'sklearn', 'duckdb', 'isal') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
