"""`neurofetch.ui.show`: ipyniivue's viewer in a cell, and the local page behind a real Jupyter."""

import html
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nibabel as nib
import numpy as np
import pytest

from neurofetch.errors import DestinationError, MissingExtraError, UsageError, WrongTypeError
from neurofetch.model import Outcome, Report, Status
from neurofetch.neurovault.fetch.result import NeurovaultBunch
from neurofetch.ui import PageView, notebook, show
from neurofetch.ui.web import NotThereError
from testbed.ports import free_port
from tests.faces import Shell
from tests.notebook_kernel import executed, own_env
from tests.notebook_kernel import notebook as kernel
from tests.test_docs import ROOT

pytest.importorskip("ipyniivue", reason="ipyniivue is not installed")
pytestmark = pytest.mark.slow
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
MAP, HEAD = "sub-01_stat-z_statmap.nii.gz", "sub-01_T1w.nii.gz"


@pytest.fixture
def study(tmp_path):
    root = tmp_path / "study"
    root.mkdir()
    random = np.random.default_rng(0)
    head = (500 + 50 * random.standard_normal((20, 24, 18))).astype("float32")
    z = (3 * random.standard_normal((20, 24, 18))).astype("float32")
    nib.save(nib.Nifti1Image(head, AFFINE), root / HEAD)
    nib.save(nib.Nifti1Image(z, AFFINE), root / MAP)
    (root / "participants.tsv").write_text("participant_id\nsub-01\n")
    return root


def volumes(widget):
    """What the browser would get of each volume, read by nibabel."""
    import gzip  # noqa: PLC0415

    found = []
    for one in widget.volumes:
        body = gzip.decompress(one.data) if one.name.endswith(".gz") else one.data
        found.append((one, nib.Nifti1Image.from_bytes(body)))
    return found


# -- what can be shown ---------------------------------------------------------------------------


def test_a_volume_goes_to_the_viewer_with_colours_that_suit_it(study):
    widget = show(study / HEAD, overlays=study / MAP)
    (head, image), (z, other) = volumes(widget)
    assert np.array_equal(image.get_fdata(), nib.load(study / HEAD).get_fdata())
    assert np.array_equal(other.get_fdata(), nib.load(study / MAP).get_fdata())
    assert head.colormap == "gray"
    assert z.colormap_negative
    assert 0 < z.opacity < head.opacity == 1
    assert 0 <= z.cal_min < z.cal_max < 15


@pytest.mark.parametrize("kind", ["folder", "report", "bunch", "subject", "text"])
def test_results_and_folders_are_shown_by_the_map_in_them(study, kind):
    row = Outcome(MAP, MAP, Status.FETCHED)
    bunch = NeurovaultBunch()
    bunch.images = [str(study / MAP)]
    subject = type("Subject", (), {"data_dir": study, "subject_id": "sub-01"})()
    what = {
        "folder": study,
        "report": Report(study, (row,)),
        "bunch": bunch,
        "subject": subject,
        "text": str(study / MAP),
    }[kind]
    ((one, _),) = volumes(show(what))
    assert one.name.startswith("sub-01_stat-z_statmap.nii")


def test_a_frame_of_many_is_all_that_goes_to_the_browser(tmp_path):
    values = np.arange(4 * 5 * 6 * 7, dtype="int16").reshape(4, 5, 6, 7)
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "x_bold.nii.gz")
    ((_, image),) = volumes(show(tmp_path / "x_bold.nii.gz", frame=3))
    assert np.array_equal(np.squeeze(image.get_fdata()), values[..., 3])


def test_never_more_than_the_limit_goes_to_the_browser(study, monkeypatch):
    monkeypatch.setattr(notebook, "_LIMIT", 30_000)
    monkeypatch.setattr(notebook, "_LEAST", 10)
    widget = show(study / HEAD, overlays=[study / MAP])
    assert sum(len(one.data) for one in widget.volumes) <= 30_000
    monkeypatch.setattr(notebook, "_LEAST", 20_000)
    with pytest.raises(UsageError, match="64 MB go to the browser at a time"):
        show(study / HEAD, overlays=[study / MAP] * 4)


@pytest.mark.parametrize(
    ("what", "more", "error", "said"),
    [
        ("nowhere.nii", {}, NotThereError, "is not here"),
        ("study/participants.tsv", {}, UsageError, "is no volume"),
        ("", {}, UsageError, "the name is empty"),
        ("x" * 5000 + ".nii", {}, NotThereError, "is not here"),
        ("nul\0.nii", {}, NotThereError, "is not here"),
        ("~nobody-of-that-name/x.nii", {}, NotThereError, "is not here"),
        ("study", {"overlays": ""}, UsageError, "the name is empty"),
        (7, {}, WrongTypeError, "int cannot be shown"),
        (None, {}, WrongTypeError, "cannot be shown"),
        ("study", {"how": "magic"}, UsageError, "how is auto"),
        ("study", {"frame": -1}, UsageError, "frame is the number"),
        ("study", {"frame": True}, UsageError, "frame is the number"),
        ("study", {"frame": 9}, NotThereError, "no volume 9"),
        ("study", {"overlays": 7}, WrongTypeError, "overlays are paths"),
        ("study", {"overlays": [None]}, WrongTypeError, "overlays are paths"),
        ("study", {"overlays": "gone.nii"}, NotThereError, "is not here"),
    ],
)
def test_a_mistake_is_told(study, monkeypatch, what, more, error, said):
    monkeypatch.chdir(study.parent)
    with pytest.raises(error, match=said):
        show(what, **more)


def test_a_report_of_a_directory_that_is_gone(tmp_path):
    with pytest.raises(DestinationError, match="is no directory"):
        show(Report(tmp_path / "gone", ()))


def test_outside_of_jupyter_it_is_said_what_is_needed(study):
    view = show(study, how="page")
    assert isinstance(view, PageView)
    assert f"neurofetch ui {study}" in repr(view)
    assert "pip install 'neurofetch[notebook]'" in repr(view)
    assert "<iframe" not in view._repr_html_()
    (study / "<b>").mkdir()
    assert "<b>" not in show(study / "<b>", how="page")._repr_html_()


def test_the_viewer_is_asked_for_and_is_not_installed(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(MissingExtraError, match=r"neurofetch\[notebook\]"):
        show(study, how="viewer")
    assert isinstance(show(study), PageView)


def test_a_ticket_opens_once_and_not_after_its_time(monkeypatch):
    guard = notebook._Tickets(8000, ("*",), "/proxy/8000/", framed=True)
    ticket = guard.ticket()
    assert ticket not in repr(guard)
    assert [guard.is_token(one) for one in (None, "", f"{ticket}x", ticket, ticket)] == [
        *(False, False, False),
        *(True, False),
    ]
    monkeypatch.setattr(notebook, "_TICKET_SECONDS", -1.0)
    assert not guard.is_token(guard.ticket())
    assert guard.is_token(guard.token)


def peaked(shape=(20, 24, 18), at=(4, 17, 9), affine=AFFINE, kind=nib.Nifti1Image, background=0.3):
    """A map of t with one peak: most of it is below the customary threshold."""
    values = background * np.random.default_rng(0).standard_normal(shape)
    values[at] = 9
    values[tuple(one + 1 for one in at)] = 6
    return kind(values.astype("float32"), affine)


AFFINES = {
    "plain": AFFINE,
    "left to right": np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 2, -9], [0, 0, 0, 1]]),
    "turned": np.array([[0.0, 0, 2, 5], [-2, 0, 0, 30], [0, 2, 0, -20], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize("over", ["alone", "over a head"])
def test_a_map_begins_where_it_is_strongest_and_has_room_for_its_colours(study, kind, affine, over):
    nib.save(peaked(affine=AFFINES[affine], kind=kind), study / MAP)
    head = study / HEAD
    world = AFFINES[affine] @ [4, 17, 9, 1]
    if over == "alone":
        widget, ground = show(study / MAP), nib.load(study / MAP)
    else:
        nib.save(nib.Nifti1Image(np.ones((30, 30, 30), "float32"), AFFINES[affine]), head)
        widget, ground = show(head, overlays=study / MAP), nib.load(head)
    ground = nib.as_closest_canonical(ground)
    place = np.array(widget.scene.crosshair_pos) * ground.shape - 0.5
    assert np.allclose(ground.affine @ [*place, 1], world, atol=0.01)
    shown = widget.volumes[-1]
    assert shown.cal_max >= 1.5 * shown.cal_min > 0


@pytest.mark.parametrize("odd", ["empty", "not a number", "no axes"])
def test_a_map_whose_peak_is_not_known_begins_in_the_middle(study, odd):
    image = peaked()
    if odd != "no axes":
        fill = 0 if odd == "empty" else np.nan
        image = nib.Nifti1Image(np.full(image.shape, fill, "float32"), AFFINE)
    nib.save(image, study / MAP.removesuffix(".gz"))
    path = study / MAP.removesuffix(".gz")
    if odd == "no axes":
        body = bytearray(path.read_bytes())
        body[252:256] = b"\0\0\1\0"  # its axes are those of the sform, which are none
        body[280:328] = bytes(48)
        path.write_bytes(body)
    assert show(path).scene.crosshair_pos == [0.5, 0.5, 0.5]


def test_old_tickets_are_not_kept(monkeypatch):
    guard = notebook._Tickets(8000, ("*",), "/proxy/8000/", framed=True)
    monkeypatch.setattr(notebook, "_TICKET_SECONDS", -1.0)
    for _ in range(100):
        guard.ticket()
    assert len(guard.tickets) == 1


# -- in a kernel ---------------------------------------------------------------------------------


def test_in_a_cell_the_viewer_is_a_widget(study, tmp_path):
    home = Shell(tmp_path, "http://127.0.0.1:9")
    with kernel(own_env(home.env), tmp_path) as user:
        cell = user.run("from neurofetch.ui import show\nshow('study')")
    assert cell.error == "", cell.said
    assert "application/vnd.jupyter.widget-view+json" in cell.result


def test_the_bytes_of_a_viewer_can_be_left_out_of_a_notebook(study, tmp_path):
    """As docs/notebooks.md says it."""
    home = Shell(tmp_path, "http://127.0.0.1:9")
    cells = ["from neurofetch.ui import show\nshow('study')"]
    how = ("nbconvert", "--execute", "--to", "notebook", "--inplace")
    few = "--ExecutePreprocessor.store_widget_state=False"
    assert few in (ROOT / "docs" / "notebooks.md").read_text("utf-8")
    made = executed(cells, own_env(home.env), tmp_path, *how, few)
    assert "widgets" not in made.metadata
    assert len(str(made)) < 5000


class Jupyter:
    """A real server of Jupyter with jupyter-server-proxy, and a kernel that it started."""

    token = "jupyters-own-token"

    def __init__(self, home, hub=""):
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.base = hub or "/user/me/"
        self.runtime = home.home / "runtime"
        settings = home.home / "jupyter_server_config.py"
        lines = (
            "c.ServerApp.jpserver_extensions = {'jupyter_server_proxy': True}",
            f"c.ServerApp.base_url = {self.base!r}",
            f"c.IdentityProvider.token = {self.token!r}",
        )
        settings.write_text("\n".join(lines), "utf-8")
        words = ["-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={self.port}"]
        more = {"PYTHONWARNINGS": "ignore", "JUPYTER_RUNTIME_DIR": str(self.runtime)}
        env = {**own_env(home.env), **more, **({"JUPYTERHUB_SERVICE_PREFIX": hub} if hub else {})}
        with (home.home / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words, f"--config={settings}"],
                cwd=home.home,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path, body=None, **headers):
        mine = {"Authorization": f"token {self.token}"}
        until = time.monotonic() + 60
        while True:
            request = urllib.request.Request(self.url + path, body, {**mine, **headers})
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return response.status, response.headers, response.read()
            except urllib.error.HTTPError as error:
                if error.code < 500 or time.monotonic() > until:
                    return error.code, error.headers, error.read()
            except urllib.error.URLError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.2)

    def kernel(self):
        body = json.dumps({"name": "python3"}).encode()
        status, _, text = self.ask(f"{self.base}api/kernels", body)
        assert status == 201, text
        path = self.runtime / f"kernel-{json.loads(text)['id']}.json"
        return kernel({}, self.home.home, path)

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture(params=["", "/user/a@b/lab/"], ids=["server", "hub"])
def jupyter(study, tmp_path, request):
    pytest.importorskip("jupyter_server_proxy", reason="jupyter-server-proxy is not installed")
    made = Jupyter(Shell(tmp_path, "http://127.0.0.1:9"), request.param)
    try:
        yield made
    finally:
        made.close()


def test_behind_jupyter_the_page_is_in_a_frame_that_lets_in_once(jupyter, study):
    with jupyter.kernel() as user:
        cell = user.run("from neurofetch.ui import show\nshow('study', how='page')")
        assert cell.error == "", cell.said
        src = html.unescape(re.search(r'<iframe src="([^"]+)"', cell.result["text/html"])[1])
        assert re.fullmatch(rf"{jupyter.base}proxy/[0-9]+/\?ticket=[\w-]+#/look/d1", src)
        ticket = src.partition("ticket=")[2].partition("#")[0]
        assert ticket not in cell.result["text/plain"]
        page = src.partition("?")[0]
        status, headers, text = jupyter.ask(src)
        assert status == 200, text
        assert b"<!doctype html>" in text.lower()
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
        assert f"Path={page}" in headers["Set-Cookie"]
        cookie = headers["Set-Cookie"].partition(";")[0]
        key = re.search(rb'name="neurofetch-key" content="([^"]+)"', text)[1].decode()
        mine = {"Cookie": cookie, "X-Neurofetch-Key": key}
        status, _, text = jupyter.ask(f"{page}api/start", **mine)
        assert status == 200, text
        assert json.loads(text)["directories"][0]["name"] == str(study)
        assert jupyter.ask(page, Cookie=cookie)[0] == 200, "it can be loaded again"
        # the notebook is saved with the address, and given to others: it opens nothing any more
        assert jupyter.ask(src)[0] == 403
        assert jupyter.ask(f"{page}api/start")[0] == 401
        again = user.run("show('study', how='page')")
        other = html.unescape(re.search(r'<iframe src="([^"]+)"', again.result["text/html"])[1])
        assert other.partition("?")[0] == page, "one page for each directory"
        assert other != src
        # the server has an environment of its own, and the kernel another one without the proxy
        lacking = "import sys; sys.modules['jupyter_server_proxy'] = None\n"
        cell = user.run(f"{lacking}show('study', how='page')")
        assert f'<iframe src="{page}' in cell.result["text/html"]
        cell = user.run("sys.modules['ipyniivue'] = None\nshow('study')")
        assert "ask for the page: how='page'" in html.unescape(cell.result["text/html"])
