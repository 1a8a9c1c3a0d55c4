"""What CONTRIBUTING.md says about adding something is tried out."""

from __future__ import annotations

import argparse
import inspect
import json
import signal
from pathlib import Path

import pytest

from neurofetch import console
from neurofetch._cli import build_parser
from neurofetch.console import ExitCode
from neurofetch.engine import ListedSource, Source
from neurofetch.errors import NothingMatchedError, UnknownValueError
from neurofetch.model import Plan, RemoteFile, Report
from testbed.s3 import S3Server
from tests.faces import on_disk
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "CONTRIBUTING.md"
FILES = {
    "ds000001/dataset_description.json": b"{}",
    "ds000001/sub-01/anat/sub-01_T1w.nii.gz": b"one",
    "ds000001/sub-02/anat/sub-02_T1w.nii.gz": b"two",
    "ds000002/sub-01/anat/sub-01_T1w.nii.gz": b"another dataset",
}


def section(name: str) -> tuple[str, dict[str, object]]:
    """The text of a section, and what its example defines."""
    text = PAGE.read_text(encoding="utf-8")
    start = text.index(f"\n## {name}\n")
    body = text[start:].split("\n## ", 2)[1]
    first = text.count("\n", 0, start)
    lines = range(first, first + body.count("\n") + 2)
    code = "\n".join(b.text for b in blocks(PAGE) if b.language == "python" and b.line in lines)
    namespace: dict[str, object] = {"argparse": argparse, "console": console, "ExitCode": ExitCode}
    exec(compile(code, str(PAGE), "exec"), namespace)
    return body, namespace


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"openneuro.org": FILES}) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        yield s3


def test_a_source_has_the_methods_that_are_named():
    body, _ = section("Add a source")
    members = {name for name, _ in inspect.getmembers(Source) if not name.startswith("_")}
    assert members == {"name", "notes", "walk", "level", "address", "signed"}
    assert all(f"`{name}" in body for name in members)
    for path in ("tests/sources/contract.py", "tests/sources/test_example.py"):
        assert path in body
        assert (ROOT / path).exists()


def test_a_source_is_handed_in_as_it_is_said(s3, tmp_path):
    body, _ = section("Add a source")
    _, namespace = section("Add a dataset")
    call = body.split("hand it in:\n`")[1].split("`")[0]
    made = []

    def my_source(client, attempts):
        made.append((client, attempts))
        return ListedSource([RemoteFile("ds000001/README", f"{s3.url}/b/README", 3)])

    from neurofetch.engine import Fetcher  # noqa: PLC0415

    scope = {"Fetcher": Fetcher, "MySource": my_source, "root": tmp_path}
    with eval(call, scope | {"dataset": namespace["DATASET"]}) as fetcher:
        assert fetcher.source.walk("")[0].key == "ds000001/README"
        assert made[0][0] is fetcher.client


def test_a_dataset_is_planned_and_fetched_as_it_is_said(s3, tmp_path):
    _, namespace = section("Add a dataset")
    download = namespace["download"]
    plan = download(str(tmp_path), dry_run=True)
    assert isinstance(plan, Plan)
    assert len(plan) == 3
    assert on_disk(tmp_path) == set()
    report = download(str(tmp_path), subject="02")
    assert isinstance(report, Report)
    assert report.ok
    assert on_disk(tmp_path) == {"dataset_description.json", "sub-02/anat/sub-02_T1w.nii.gz"}
    with pytest.raises(UnknownValueError):
        download(str(tmp_path), subject="09")
    with pytest.raises((UnknownValueError, NothingMatchedError)):
        download(str(tmp_path), suffix="bold")


@pytest.fixture
def run():
    """The command, with the example's part added as it is said."""
    body, namespace = section("Add a command")
    assert "`build_parser` calls" in body

    def with_free():
        parser = build_parser()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                namespace["_add_free"](action)
        return parser

    before = signal.getsignal(signal.SIGTERM)
    yield lambda *argv: console.run("neurofetch", with_free, argv)
    signal.signal(signal.SIGTERM, before)


def test_a_command_prints_data_and_takes_json(run, tmp_path, capsys):
    assert run("free", str(tmp_path)) == 0
    assert int(capsys.readouterr().out) > 0
    assert run("free", str(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["bytes_free"] > 0


def test_an_error_becomes_a_line_and_an_exit_code(run, tmp_path, capsys):
    assert run("free", str(tmp_path / "nothing")) == ExitCode.DISK
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("neurofetch: the data directory")
    assert run("free") == ExitCode.USAGE
    assert run("free", "--help") == 0
    assert "exit codes:" in capsys.readouterr().out


def test_what_is_named_exists():
    text = PAGE.read_text(encoding="utf-8")
    for name in ("add_transfer", "narrated", "remark", "run", "add_output", "emit"):
        assert f"console.{name}" in text
        assert hasattr(console, name)
    for path in ("src/neurofetch/_cli.py", "laion_fmri/cli/", "laion_fmri/_dataset.py"):
        assert path in text
        assert (ROOT / path).exists() or (ROOT / "src" / path).exists()
    assert Path(ROOT / "tests/faces.py").read_text("utf-8").count("class Shell")
