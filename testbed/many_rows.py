"""A listing of 117,523 files, as many as the largest version that is known, and who plans it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FILES", "Planned", "listing", "planned", "serving"]

FILES = 117_523
_PLAN = """
import sys, time, warnings
import neurofetch
from testbed.peak import peak_megabytes
warnings.simplefilter("ignore")
plan = neurofetch.plan("ds002790", sys.argv[1], **eval(sys.argv[2]))
copies = sum(bool(step.copy_of) for step in plan.steps)
print(len(plan), copies, time.process_time(), peak_megabytes())
"""


class Planned(NamedTuple):
    """A plan that a process of its own made.

    Parameters
    ----------
    files, copies : int
        How many there are, and how many of them have the content of another one.
    seconds : float
        Of the processor, for the whole process.
    megabytes : float
        Of memory at the peak.
    """

    files: int
    copies: int
    seconds: float
    megabytes: float


def _row(number: int) -> dict[str, Any]:
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


def listing(files: int = FILES) -> bytes:
    """Return the answer of the server."""
    about = {"id": "ds002790:2.0.0", "tag": "2.0.0", "hexsha": "f" * 40, "deprecated": None}
    snapshot = {**about, "files": [_row(number) for number in range(files)]}
    dataset = {"id": "ds002790", "snapshots": [{"tag": "2.0.0", "created": "2020"}]}
    data = {"dataset": {**dataset, "latestSnapshot": snapshot}}
    return json.dumps({"data": data, "extensions": {"openneuro": {"version": "5.5.1"}}}).encode()


@contextlib.contextmanager
def serving(body: bytes) -> Iterator[str]:
    """Give the address of a server that says one thing, whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def planned(url: str, folder: Path, **filters: str) -> Planned:
    """Let a new process plan the version that a server lists.

    Raises
    ------
    RuntimeError
        If it fails; with what it said.
    """
    path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", _PLAN, str(folder), repr(filters)],
        env={**os.environ, "OPENNEURO_URL": url, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    files, copies, seconds, megabytes = done.stdout.split()
    return Planned(int(files), int(copies), float(seconds), float(megabytes))
