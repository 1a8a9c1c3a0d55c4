"""Looking through the page's own server, as a process; and without the libraries for volumes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from neurofetch.ui.page import RunningPage
from tests.look_world import save, series
from tests.ui_world import Client

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture
def client(tmp_path):
    page = RunningPage([tmp_path])
    try:
        yield Client(page.url).enter()
    finally:
        page.close()


def ids(client):
    items = client.get("api/shelf?directory=d1&folder=").json["items"]
    return {one["path"]: one["item"] for one in items}


def test_a_volume_comes_in_ranges_through_the_server(client, tmp_path):
    data = series((16, 17, 18, 4))
    save(tmp_path / "x.nii.gz", data)
    item = ids(client)["x.nii.gz"]
    version = client.get(f"api/items/{item}").json["version"]
    path = f"api/items/{item}/volume?frame=2&v={version}"
    whole = client.get(path)
    assert (whole.status, whole.headers["x-neurofetch-name"]) == (200, "x.nii")
    assert np.array_equal(np.frombuffer(whole.body[352:], "<f4"), data[..., 2].ravel(order="F"))
    part = client.raw("GET", f"{client.base}{path}", headers={"Range": "bytes=352-355"})
    assert (part.status, part.body) == (206, whole.body[352:356])
    assert part.headers["content-range"] == f"bytes 352-355/{len(whole.body)}"
    assert "no-cache" in whole.headers["cache-control"]
    assert whole.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("what", ["", "/text", "/volume"])
def test_who_has_no_cookie_sees_nothing(client, tmp_path, what):
    (tmp_path / "README").write_text("secret")
    item = ids(client)["README"]
    stranger = Client(client.url)
    answer = stranger.get(f"api/items/{item}{what}")
    assert answer.status == 401
    assert b"secret" not in answer.body
    assert stranger.get("api/shelf?directory=d1").status == 401


@pytest.mark.parametrize(
    "path", ["../secret.json", "%2e%2e/secret.json", "..%2Fsecret.json", "%00", "....//secret.json"]
)
def test_paths_in_addresses_lead_nowhere(client, tmp_path, path):
    (tmp_path / "a.json").write_text("{}")
    ids(client)
    for address in (f"api/items/{path}", f"api/items/f1/{path}", f"api/items/{path}/text"):
        assert client.get(address).status in (400, 404)


def test_an_svg_comes_with_a_policy_of_its_own(client, tmp_path):
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    answer = client.get(f"api/items/{ids(client)['a.svg']}/picture")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["content-security-policy"]


BARE = """
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"numpy", "nibabel", "isal", "pandas", "PIL"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())

from neurofetch.ui.directories import Directories
from neurofetch.ui.look import routes
from neurofetch.ui.web import Request, Router

router = Router(routes(Directories([sys.argv[1]])))
shelf = json.loads(router.respond(Request("GET", "api/shelf", {"directory": "d1"})).body)
found = {}
for item in shelf["items"]:
    for what in ("", f"/{item['kind']}"):
        answer = router.respond(Request("GET", f"api/items/{item['item']}{what}"))
        found[item["path"] + what] = [answer.status, answer.body.decode("latin-1")]
print(json.dumps(found))
"""


def test_without_numpy_the_page_says_what_to_install_and_shows_the_rest(tmp_path):
    save(tmp_path / "x.nii.gz", series((4, 5, 6)))
    (tmp_path / "a.tsv").write_text("a\n1\n")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BARE), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{REPO}/src", "PATH": ""},
    )
    found = json.loads(done.stdout)
    for what in ("x.nii.gz", "x.nii.gz/volume"):
        status, body = found.pop(what)
        assert status == 400
        assert "pip install 'neurofetch[ui]'" in body
    assert {status for status, _ in found.values()} == {200}
    assert len(found) == 6


def test_what_looks_imports_nothing_heavy_before_a_volume_is_looked_at():
    code = """
        import sys
        import neurofetch.ui.look
        print(sorted({"numpy", "nibabel", "pandas", "isal", "matplotlib"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{REPO}/src", "PATH": ""},
    )
    assert done.stdout == "[]\n"


ZLIB = """
import sys
from pathlib import Path

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "isal":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())

import nibabel
import numpy as np
from neurofetch.ui.look.places import Place
from neurofetch.ui.look.problems import UnreadableFileError
from neurofetch.ui.look.volumes import Volumes

root = Path(sys.argv[1])
wanted = np.asarray(nibabel.load(root / "whole.nii.gz").dataobj)
for name in ("whole.nii.gz", "members.nii.gz"):
    volumes = Volumes()
    for number in (4, 1):
        body = volumes.volume(Place(root, (name,)), number, 1).body
        got = nibabel.Nifti1Image.from_bytes(body)
        assert np.array_equal(got.dataobj, wanted[..., number])
    assert volumes.course(Place(root, (name,)), (1, 2, 3))["values"] == wanted[1, 2, 3].tolist()
for name in ("cut.nii.gz", "noise.nii.gz"):
    try:
        Volumes().volume(Place(root, (name,)), 4, 1)
    except UnreadableFileError as error:
        print(error)
"""


def test_without_igzip_python_s_own_zlib_reads_the_same(tmp_path):
    save(tmp_path / "whole.nii.gz", series((20, 21, 22, 5)))
    whole = (tmp_path / "whole.nii.gz").read_bytes()
    plain = gzip.decompress(whole)
    parts = [gzip.compress(plain[at : at + 50_001]) for at in range(0, len(plain), 50_001)]
    (tmp_path / "members.nii.gz").write_bytes(b"".join(parts))
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    harmed = whole[: len(whole) // 2] + bytes(999) + whole[len(whole) // 2 + 999 :]
    (tmp_path / "noise.nii.gz").write_bytes(harmed)
    done = subprocess.run(
        [sys.executable, "-c", ZLIB, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{REPO}/src", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    cut, noise = done.stdout.splitlines()
    assert "ends before its gzip stream does" in cut
    assert "is damaged within its gzip stream" in noise
