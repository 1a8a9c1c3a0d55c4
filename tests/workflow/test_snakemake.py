"""Snakemake itself runs workflows with our inputs.

It wants other releases of common libraries than some of the tests. So it may be in an environment
of its own: NEUROFETCH_SNAKEMAKE names its program, which must find our dependencies there.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Generated, S3Object, S3Server
from tests.credential_world import static
from tests.lockfile_world import FILES
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "snakemake.md"
PROGRAM = os.environ.get("NEUROFETCH_SNAKEMAKE") or shutil.which("snakemake") or ""
LARGE = 40 << 20
RATE = 8 << 20

pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason="Snakemake is not here: see NEUROFETCH_SNAKEMAKE"),
    pytest.mark.slow,
]


@pytest.fixture
def s3():
    objects = {f"ds/{path}": content for path, content in FILES.items()}
    objects |= {
        f"large/{name}.nii": S3Object(Generated(LARGE, seed=seed))
        for seed, name in enumerate("abc")
    }
    with S3Server({"b-1": objects}) as server:
        yield server


@pytest.fixture
def site():
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": small_tree(subjects=3)})
        yield server


class Flow:
    """A folder with a Snakefile, and Snakemake."""

    def __init__(self, folder, **env):
        self.folder = folder
        self.env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)).replace(
                next((one for one in sys.path if one.endswith("site-packages")), "\0"), ""
            ),
            "LANG": "C.UTF-8",
            **env,
        }

    def write(self, text):
        (self.folder / "Snakefile").write_text(text)

    def start(self, *flags):
        command = [PROGRAM, "--cores", "2", "--nocolor", *flags]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *flags):
        process = self.start(*flags)
        out = process.communicate(timeout=120)[0]
        return process.returncode, out


@pytest.fixture
def flow(tmp_path, s3, site):
    return Flow(tmp_path, AWS_ENDPOINT_URL=s3.url, OPENNEURO_URL=site.url)


def of_page(comment):
    (block,) = [one for one in blocks(PAGE) if one.skipped == comment]
    return block.text


def stored(flow):
    return flow.folder / ".snakemake/storage/neurofetch"


def gets(s3, key):
    return [one for one in s3.requests() if one.method == "GET" and one.key.endswith(key)]


# -- the page --------------------------------------------------------------------------------------


def test_the_workflow_of_the_page_runs_and_is_done_when_it_runs_again(flow, site):
    flow.write(of_page("the workflow"))
    code, out = flow()
    assert code == 0, out
    tree = small_tree(subjects=3)
    for subject in ("01", "02", "03"):
        path = f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz"
        said = (flow.folder / f"results/sub-{subject}.txt").read_text()
        assert said.split()[0] == str(len(tree[path]))
        assert f"sub-{subject}" in said
        assert (stored(flow) / "openneuro/ds000001@1.0.0" / path).read_bytes() == tree[path]
    code, out = flow()
    assert code == 0
    assert "Nothing to be done" in out


def test_the_rule_of_the_page_that_calls_the_command_runs(flow):
    flow.write(of_page("a rule that calls the command"))
    code, out = flow()
    assert code == 0, out
    assert (flow.folder / "data/sub-01/anat/sub-01_T1w.nii.gz").exists()
    flow.write(of_page("a rule that calls the command").replace("--subject 01", "--subject 77"))
    code, out = flow("--forceall", "--retries", "0")
    assert code == 1
    assert (flow.folder / "hopeless").exists()
    assert "no attempt will do better" in out


# -- buckets ---------------------------------------------------------------------------------------

COPY = """
rule all:
    input: expand("out/{{name}}", name={names!r})

rule copy:
    input: storage.neurofetch("neurofetch://s3/b-1/{folder}/{{name}}")
    output: "out/{{name}}"
    shell: "cp {{input}} {{output}}"
"""


def copy(folder, *names, settings=""):
    return f'storage:\n    provider="neurofetch",{settings}\n' + COPY.format(
        names=list(names), folder=folder
    )


def test_jobs_at_once_ask_for_each_file_once_and_list_each_folder_once(flow, s3):
    flow.write(copy("large", "a.nii", "b.nii", "c.nii"))
    code, out = flow("--max-jobs-per-second", "100")
    assert code == 0, out
    for name in "abc":
        assert (flow.folder / f"out/{name}.nii").stat().st_size == LARGE
        came = sum(one.sent for one in gets(s3, f"{name}.nii"))
        assert LARGE <= came <= 1.05 * LARGE
    assert len([one for one in s3.requests() if one.method == "LIST"]) <= 2
    assert not list(stored(flow).rglob("*.nii"))  # Snakemake removed what no job needs any more


def test_workflows_at_once_share_one_place_and_what_they_keep(flow, s3, tmp_path):
    flows = [Flow(tmp_path / name, **flow.env) for name in ("one", "two", "three")]
    for seconds, one in enumerate(flows):
        one.folder.mkdir()
        text = copy("large", "a.nii", settings="\n    keep_local=True")
        one.write(text.replace("cp ", f"sleep {3 * seconds}; cp "))
    place = str(tmp_path / "shared")
    running = [one.start("--local-storage-prefix", place) for one in flows]
    for process in running:
        out = process.communicate(timeout=120)[0]
        assert process.returncode == 0, out
    assert {(one.folder / "out/a.nii").stat().st_size for one in flows} == {LARGE}
    assert sum(one.sent for one in gets(s3, "a.nii")) <= 1.1 * LARGE


def test_a_folder_is_one_input(flow, s3):
    text = copy("ds", "sub-01").replace("cp ", "cp -r ")
    flow.write(text.replace('output: "out/{name}"', 'output: directory("out/{name}")'))
    code, out = flow()
    assert code == 0, out
    for path, content in FILES.items():
        if path.startswith("sub-01/"):
            assert (flow.folder / "out" / path).read_bytes() == content


def test_a_file_that_changed_on_the_server_runs_its_rule_again(flow, s3):
    flow.write(copy("ds", "README"))
    assert flow()[0] == 0
    assert "Nothing to be done" in flow()[1]
    later = datetime.now(UTC) + timedelta(hours=1)
    s3.put("ds/README", S3Object(b"other words", modified=later))
    code, out = flow()
    assert code == 0, out
    assert (flow.folder / "out/README").read_bytes() == b"other words"


def interrupted(flow, how):
    """Begin the workflow, and send a signal when a third of its file is here."""
    process = flow.start()
    partial = stored(flow) / "s3/b-1/large/.neurofetch/partial"
    until = time.monotonic() + 60
    while time.monotonic() < until:
        sizes = [one.stat().st_blocks * 512 for one in partial.glob("**/*") if one.is_file()]
        if sum(sizes) > LARGE // 3:
            break
        time.sleep(0.05)
    os.killpg(process.pid, how)
    process.communicate(timeout=60)
    assert process.returncode != 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=str)
def test_what_a_killed_run_left_is_resumed(flow, s3, how):
    flow.write(copy("large", "a.nii", settings=f"\n    limit_rate={RATE}"))
    interrupted(flow, how)
    assert not (stored(flow) / "s3/b-1/large/a.nii").exists()
    flow.write(copy("large", "a.nii"))
    flow("--unlock")
    code, out = flow("--rerun-incomplete")
    assert code == 0, out
    assert (flow.folder / "out/a.nii").stat().st_size == LARGE
    assert sum(one.sent for one in gets(s3, "a.nii")) <= 1.6 * LARGE  # from zero it would be 2


def test_what_came_before_an_interrupt_is_not_fetched_again(flow, s3):
    """Snakemake lets a file come to its end before it stops."""
    text = copy("large", "a.nii", settings=f"\n    limit_rate={RATE}, keep_local=True")
    flow.write(text)
    interrupted(flow, signal.SIGINT)
    flow("--unlock")
    code, out = flow("--rerun-incomplete")
    assert code == 0, out
    assert (flow.folder / "out/a.nii").stat().st_size == LARGE
    assert sum(one.sent for one in gets(s3, "a.nii")) <= 1.6 * LARGE  # from zero it would be 2


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snakefile", "words"),
    [
        (copy("ds", "none.txt"), "none.txt"),
        (copy("ds", "README").replace("b-1", "no-such-bucket"), "no-such-bucket"),
        (copy("ds", "README").replace("neurofetch://s3", "s3:/"), "names no file that neurofetch"),
        (copy("ds", "README").replace("b-1", "{bucket}"), "is no wildcard"),
        (copy("ds", "README", settings='\n    profile="nobody"'), "nobody"),
        (copy("ds", "README", settings='\n    endpoint="http://127.0.0.1:9", patience=0'), ":9"),
    ],
    ids=["file", "bucket", "query", "wildcard", "profile", "server"],
)  # fmt: skip
def test_what_goes_wrong_is_told_in_plain_words(flow, snakefile, words):
    flow.write(snakefile)
    code, out = flow()
    assert code == 1
    assert words in out
    assert "Traceback" not in out
    assert not (flow.folder / "out").exists()


def test_a_file_that_the_server_refuses_is_told_with_what_to_do(flow, s3):
    s3.fault(key="ds/README", method="GET", status=403, times=None)
    flow.write(copy("ds", "README"))
    code, out = flow()
    assert code == 1
    assert "Failed to retrieve storage object from neurofetch://s3/b-1/ds/README" in out
    assert "403" in out
    assert "Traceback" not in out


def test_credentials_are_named_and_no_key_is_in_any_file(flow, tmp_path):
    key, secret = "AKIAEXAMPLEEXAMPLE14", "a/third+secret+of+these+tests"
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(f"[lab]\n{static(key, secret)}")
    flow.write(copy("ds", "README"))
    code, out = flow("--storage-neurofetch-profile", "lab", "--verbose")
    assert code == 0, out
    assert secret not in out
    for path in [*flow.folder.glob(".snakemake/**/*"), *flow.folder.glob("out/*")]:
        if path.is_file():
            assert secret.encode() not in path.read_bytes()
            assert not re.search(rb"X-Amz-Signature|AKIAEXAMPLEEXAMPLE14", path.read_bytes())
