"""A lock of as many files as the largest data sets have takes little memory."""

import json
import subprocess
import sys

import pytest

COUNT = 117_523
MOST = 300

SCRIPT = """
import resource, sys
from pathlib import Path
import neurofetch

lock = neurofetch.lock(sys.argv[1])
plan = lock.plan(sys.argv[2])
lock.write(sys.argv[1] + ".again")
assert lock.diff(lock).ok
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used //= 1 << 20 if sys.platform == "darwin" else 1 << 10
if sys.platform == "linux":  # where that counts what the parent had when it started this, too
    words = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()
    used = int(words[0]) >> 10
print(len(lock), len(plan.moving), used)
"""


def lines():
    yield {
        "neurofetch-lock": 1,
        "source": "openneuro:ds000001",
        "kind": "bids",
        "version": "1.0",
        "files": COUNT,
        "bytes": COUNT * 7,
    }
    base = "https://s3.amazonaws.com/openneuro.org/ds000001/"
    for number in range(COUNT):
        sub, run = f"sub-{number // 100:04d}", f"{number % 100:02d}"
        path = f"{sub}/func/{sub}_task-rest_run-{run}_space-MNI152NLin2009cAsym_bold.json"
        hashes = [f"git:{number:040x}", f"sha256:{number:064x}"]
        url = f"{base}{path}?versionId=4BG3vx4rL4e8MRBSPNxdKu3hTyttqbq5"
        yield {"path": path, "size": 7, "hash": hashes, "url": url}


@pytest.mark.slow
def test_a_lock_of_117523_files_is_read_planned_and_written_in_300_mb(tmp_path):
    path = tmp_path / "many.lock"
    with path.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines())
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, path, tmp_path / "data"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files, moving, used = map(int, done.stdout.split())
    assert files == moving == COUNT
    assert used < MOST
    assert (tmp_path / "many.lock.again").read_bytes() == path.read_bytes()
