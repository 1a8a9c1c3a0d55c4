"""A world of the gallery ends where its example ends, also when many are run in one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROCESS = """
import os, socket, tempfile, importlib
from urllib.parse import urlsplit
from testbed import gallery

conf = importlib.import_module("docs.conf").sphinx_gallery_conf
assert conf["reset_modules_order"] == "both", "an example leaves its servers to the next one"
(named,) = [one for one in conf["reset_modules"] if "." in one]
module, _, name = named.rpartition(".")
reset = getattr(importlib.import_module(module), name)

before, place = dict(os.environ), tempfile.gettempdir()
getattr(gallery, {start!r})()
folder = os.environ["GALLERY_FOLDER"]
url = next(os.environ[one] for one in {address!r} if one in os.environ and one not in before)
where = urlsplit(url)
socket.create_connection((where.hostname, where.port), timeout=60).close()
assert os.path.isdir(folder)
from threadpoolctl import threadpool_info
import numpy
assert {{one["num_threads"] for one in threadpool_info()}} <= {{1}}

reset({{}}, "plot_one.py")
try:
    socket.create_connection((where.hostname, where.port), timeout=60).close()
except ConnectionRefusedError:
    pass
else:
    raise AssertionError("the server still answers")
assert not os.path.exists(folder)
assert dict(os.environ) == before
assert tempfile.gettempdir() == place
reset({{}}, "plot_one.py")  # with nothing to leave
print("left")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "address"),
    [
        ("laion", ["AWS_ENDPOINT_URL"]),
        ("neurovault", ["NEUROVAULT_API_URL"]),
        ("openneuro", ["OPENNEURO_URL"]),
        ("mirrors", ["AWS_ENDPOINT_URL"]),
    ],
)
def test_between_two_examples_servers_folder_and_variables_go(start, address, tmp_path):
    for library in ("pygments", "sphinx", "threadpoolctl", "nilearn"):
        pytest.importorskip(library)
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": paths}
    code = "import numpy\n" + PROCESS.format(start=start, address=address)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={**environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.stdout.splitlines()[-1:] == ["left"], done.stderr[-2000:]
