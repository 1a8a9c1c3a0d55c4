"""The script of the page runs as Nextflow runs it: by bash, with what stands in its variables.

Nextflow itself is not to be had from a package registry. So the script block is taken from the page
and its expressions are replaced; the strategies are read from the page and held against its table
and against the exit codes of the command.
"""

import json
import re
import subprocess

import pytest

import neurofetch
from neurofetch.console import ExitCode
from testbed.openneuro import OpenNeuro, small_tree
from tests.faces import Shell
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "nextflow.md"
(FLOW,) = [one.text for one in blocks(PAGE) if one.skipped == "the workflow"]
RETRIED = {int(code) for code in re.search(r"exitStatus in \[([\d, ]+)\]", FLOW)[1].split(",")}
SHARDS = int(re.search(r"params\.shards = (\d+)", FLOW)[1])


@pytest.fixture
def site():
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": small_tree(subjects=3)})
        yield server


@pytest.fixture
def shell(tmp_path, site):
    made = Shell(tmp_path, "")
    made.env |= {"OPENNEURO_URL": site.url, "NEUROFETCH_PATIENCE": "0"}
    return made


def script(shard, **params):
    """The script of one task, as Nextflow writes it into `.command.sh`."""
    (found,) = re.findall(r'script:\n\s+"""\n(.*?)"""', FLOW, re.DOTALL)
    values = {"shard": str(shard)} | {f"params.{name}": str(one) for name, one in params.items()}
    text = re.sub(r"\$\{([\w.]+)\}", lambda one: values[one[1]], found)
    assert "$" not in text
    return text.replace("\\\\", "\\")


def task(shell, folder, shard, **params):
    """Run one task in a work directory of its own, by the command that Nextflow uses."""
    folder.mkdir(parents=True)
    (folder / ".command.sh").write_text(script(shard, **params))
    done = subprocess.run(
        ["bash", "-ue", ".command.sh"],
        cwd=folder,
        env=shell.env,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr, folder / f"shard-{shard}-of-{params['shards']}.json"


def strategy(code):
    return "retry" if code in RETRIED else "terminate"


def test_all_shards_together_bring_the_data_set(shell, tmp_path):
    data = tmp_path / "there is/a space"
    params = {"dataset": "openneuro:ds000001@1.0.0", "data": data, "shards": SHARDS}
    tree = small_tree(subjects=3)
    said = {}
    for shard in range(SHARDS):
        code, err, report = task(shell, tmp_path / f"work/{shard}", shard, **params)
        assert code == 0, err
        said |= {one["path"]: one["status"] for one in json.loads(report.read_text())["files"]}
    assert said == dict.fromkeys(tree, "fetched")
    assert {path: (data / path).read_bytes() for path in tree} == tree
    assert neurofetch.verify(data).ok
    assert "channel.of(0..<(params.shards as int))" in FLOW  # the shards that are counted here


def test_a_task_that_fails_leaves_no_output_and_is_tried_again_or_not(shell, site, tmp_path):
    params = {"dataset": "openneuro:ds000001@1.0.0", "data": tmp_path / "ds", "shards": 1}
    for number, (changed, expected) in enumerate(
        [
            ({"dataset": "openneuro:ds999999@1.0.0"}, "terminate"),
            ({"dataset": "no such thing"}, "terminate"),
            ({"shards": 0}, "terminate"),
        ]
    ):
        code, err, report = task(shell, tmp_path / f"stop/{number}", 0, **(params | changed))
        assert (code != 0, strategy(code)) == (True, expected), (code, err)
        assert not report.exists()
        assert "Traceback" not in err
    away = site.url
    shell.env["OPENNEURO_URL"] = "http://127.0.0.1:9"
    code, err, report = task(shell, tmp_path / "retry/1", 0, **params)
    assert (code, strategy(code)) == (ExitCode.SERVER, "retry"), err
    assert not report.exists()
    shell.env["OPENNEURO_URL"] = away
    code, err, report = task(shell, tmp_path / "retry/2", 0, **params)
    assert code == 0, err
    assert json.loads(report.read_text())["ok"]


def test_the_table_of_strategies_has_each_exit_code_and_says_what_the_workflow_does():
    rows = re.findall(r"^\| (\d+) \|[^|]*\| (?:`(\w+)`)? *\|$", PAGE.read_text(), re.MULTILINE)
    told = {int(code): said for code, said in rows}
    assert set(told) == {int(code) for code in ExitCode} | {137}
    assert told.pop(0) == ""
    assert told == {code: strategy(code) for code in told}
    assert {code for code in told if told[code] == "retry"} >= {4, 6}
    assert {told[code] for code in (2, 3, 5)} == {"terminate"}


def test_what_stands_on_the_page_is_of_the_strict_syntax_and_looks_for_files_when_they_are_here():
    """Since 26.04 Nextflow takes no variables of the environment and no ``Channel`` any more."""
    texts = re.findall(r"```nextflow\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(texts) == 2
    for text in texts:
        named = set(re.findall(r"\$\{?([\w.]+)", text))
        assert named <= {"launchDir", "shard", "params.data", "params.dataset", "params.shards"}
        assert "Channel" not in text
        for line in text.splitlines():
            assert "fromPath" not in line
            assert ("files(" in line) == ("flatMap" in line)
