"""A listing of 117,523 files, the largest that is known: time and memory of its plan."""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

FILES = 117_523
SECONDS, MEGABYTES = 20.0, 300.0
"""Of the processor, and of memory at the peak, for the whole process."""

PLAN = """
import os, re, resource, sys, time, warnings
import neurofetch
warnings.simplefilter("ignore")
plan = neurofetch.plan("ds002790", sys.argv[1], **eval(sys.argv[2]))
if os.path.exists("/proc/self/status"):  # what the system counts includes the parent's, there
    peak = int(re.search("VmHWM:[^0-9]*([0-9]+)", open("/proc/self/status").read())[1]) / (1 << 10)
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
copies = sum(bool(step.copy_of) for step in plan.steps)
print(len(plan), copies, time.process_time(), peak)
"""


def row(number):
    """Return a row of the listing: every seventh file has the content of the one before it."""
    subject, run = f"sub-{number % 226:04}", number // 226
    stem = f"{subject}_task-workingmemory_run-{run:03}_space-MNI152NLin2009cAsym_desc-preproc"
    name = f"derivatives/fmriprep/{subject}/func/{stem}_bold.nii.gz"
    content = number - (number % 7 == 6)
    size = 1000 + content
    return {
        "id": f"MD5E-s{size}--{content * 0x9E3779B97F4A7C15 % (1 << 128):032x}.nii.gz",
        "filename": name,
        "size": size,
        "directory": False,
        "annexed": True,
        "urls": [f"https://s3.amazonaws.com/openneuro.org/ds002790/{name}?versionId={number:032x}"],
    }


def listing(files=FILES):
    """Return the answer of the server."""
    about = {"id": "ds002790:2.0.0", "tag": "2.0.0", "hexsha": "f" * 40, "deprecated": None}
    snapshot = {**about, "files": [row(number) for number in range(files)]}
    dataset = {"id": "ds002790", "snapshots": [{"tag": "2.0.0", "created": "2020"}]}
    data = {"dataset": {**dataset, "latestSnapshot": snapshot}}
    return json.dumps({"data": data, "extensions": {"openneuro": {"version": "5.5.1"}}}).encode()


@pytest.fixture(scope="module")
def large():
    """A server that says one thing, and its address."""
    body = listing()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", len(body)
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("filters", "chosen"),
    [({}, FILES), ({"subject": "0007"}, -(-(FILES - 7) // 226))],
    ids=["all", "one subject"],
)
def test_a_large_version_is_planned_in_little_time_and_room(large, tmp_path, filters, chosen):
    url, size = large
    assert size > 40 << 20
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(tmp_path / "d"), repr(filters)],
        env={**os.environ, "OPENNEURO_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files, copies, seconds, peak = map(float, done.stdout.split())
    assert files == chosen
    assert (copies > 0) == (not filters)
    assert seconds <= SECONDS
    assert peak <= MEGABYTES
