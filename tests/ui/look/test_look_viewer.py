"""NiiVue, in a real browser, reads in what the server cut what nibabel reads in the file."""

from __future__ import annotations

import functools
import gzip
import http.server
import importlib.util
import shutil
import threading
from importlib.resources import files

import nibabel
import numpy as np
import pytest

from neurofetch.ui.look.places import Place
from neurofetch.ui.look.volumes import Volumes
from tests.look_world import save, series

CHROMIUM = shutil.which("chromium")
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
LOAD = """async (name) => {
    const { Niivue } = await import("/niivue.mjs");
    const viewer = new Niivue({ isResizeCanvas: false });
    await viewer.attachToCanvas(document.querySelector("canvas"));
    await viewer.loadVolumes([{ url: `/${name}`, name }]);
    const volume = viewer.volumes[0];
    const values = [[0, 0, 0], [1, 2, 3], [3, 1, 2]].map((at) => volume.getValue(...at));
    return { shape: volume.hdr.dims.slice(1, 4), affine: volume.hdr.affine, values };
}"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt install chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="playwright is not installed"
    ),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder, and says nothing."""

    def guess_type(self, path):
        return {"mjs": "text/javascript", "html": "text/html"}.get(path.rpartition(".")[2], "x/y")

    def log_message(self, *_):
        return


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    viewer = files("neurofetch.ui") / "static" / "niivue.mjs"
    if not viewer.is_file():
        pytest.skip("NiiVue is not in this checkout: make ui")
    (folder / "niivue.mjs").write_bytes(viewer.read_bytes())
    (folder / "index.html").write_text("<canvas width=300 height=300></canvas>")
    return folder


@pytest.fixture(scope="module")
def browser(folder):
    """A page of a browser at a server of this folder."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may be absent

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*SWITCHES])
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            yield page
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


CASES = {
    "a frame": ("<f4", nibabel.Nifti1Image, {}),
    "of the other byte order": (">i2", nibabel.Nifti1Image, {}),
    "of NIfTI-2": ("<f4", nibabel.Nifti2Image, {}),
    "of double precision": ("<f8", nibabel.Nifti1Image, {}),
    "of complex values": ("<c8", nibabel.Nifti1Image, {}),
    "thinned": ("<f4", nibabel.Nifti1Image, {"limit": 5_000}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_viewer_reads_what_nibabel_reads(folder, browser, case):
    dtype, kind, bounds = CASES[case]
    name = f"{case.replace(' ', '-')}.nii.gz"
    save(folder / name, series((11, 12, 13, 3), dtype), kind=kind)
    served = Volumes(**bounds).volume(Place(folder, (name,)), 1, 1)
    (folder / f"cut-{served.name}").write_bytes(served.body)
    got = browser.evaluate(LOAD, f"cut-{served.name}")
    body = gzip.decompress(served.body) if served.name.endswith(".gz") else served.body
    wanted = kind.from_bytes(body)
    assert tuple(got["shape"]) == wanted.shape
    assert np.allclose(got["affine"], wanted.affine)
    turned = nibabel.as_closest_canonical(wanted).get_fdata()  # NiiVue counts voxels so
    there = [turned[at] for at in ((0, 0, 0), (1, 2, 3), (3, 1, 2))]
    assert np.allclose(got["values"], there, rtol=1e-5)


COLOURS = """async (name) => {
    const { Niivue } = await import("/niivue.mjs");
    const viewer = new Niivue();
    return viewer.colormaps().includes(name) ? [...viewer.colormap(name).slice(0, 3)] : null;
}"""


@pytest.mark.parametrize("name", ["gray", "kry", "electric_blue", "inferno", "mako", "red"])
def test_the_viewer_begins_the_colours_that_are_suggested_with_black(browser, name):
    """Else what is zero, all around a head, would be painted."""
    assert max(browser.evaluate(COLOURS, name)) < 16


def test_the_viewer_has_colours_for_labels(browser):
    assert browser.evaluate(COLOURS, "random") is not None
