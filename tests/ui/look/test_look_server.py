"""Looking through the page's own server, as a process; and without the libraries for volumes."""

from __future__ import annotations

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
