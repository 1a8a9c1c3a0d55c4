"""Results in a real browser, in the themes of Jupyter and VS Code: narrow, by keyboard, hostile."""

import subprocess
import sys
from dataclasses import replace

import nbformat
import pytest

from neurofetch.display.live import Live
from neurofetch.events import FileDone, Planned, Progress
from neurofetch.model import Outcome, Plan, Report, Status
from neurofetch.neurovault.fetch.result import NeurovaultBunch
from neurofetch.openneuro import DatasetInfo, Derivative, VersionInfo
from neurofetch.store.findings import Audit, Finding, State
from neurofetch.store.runs import Failed, Run, Task, TaskState
from tests.display.results import ROOT, audit_of, run_of, step, study
from tests.ui.browser.browser_world import AXE, violations
from tests.ui.browser.conftest import browser  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'&$x$</details>'
VSCODE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cells</title><style>
:root {{ --vscode-foreground: {text}; --vscode-font-family: system-ui; }}
body {{ background: {ground}; color: {text}; font: 13px system-ui; }}
table th, table td {{ border: 1px solid; }}
</style><main><h1>Cells</h1>{cells}</main></html>"""


class Shown:
    """Keeps what a run shows below its cell."""

    html = ""

    def show(self, html, _):
        self.html = html

    def at_end(self, tell):
        pass

    def close(self, *, free):
        pass


def progress(plan, path, reason):
    place = Shown()
    live = Live(place, print)
    live(Planned(plan))
    live(FileDone(Outcome(path, path, Status.FAILED, reason)))
    live(Progress(1, len(plan), 10, 100, 5.0, 2.0, 0))
    return place.html


def views():
    """Of every kind, as they are: with what failed, what is withheld, and what is not known."""
    plan = study(12)
    bunch = NeurovaultBunch()
    bunch.images = ["/data/image_1.nii.gz"]
    bunch.images_meta = [{"id": 1, "name": "Faces", "collection_id": 2, "map_type": "Z map"}]
    bunch.collections_meta = [{"id": 2, "name": "The good and the bad", "DOI": "10.1/x"}]
    tasks = (
        Task("1", TaskState.DONE, files=3, files_done=3, bytes=30, bytes_done=30),
        Task("2", TaskState.FAILED, files=2, failed=(Failed("a.txt", "was refused", "Ask."),)),
    )
    info = DatasetInfo(
        "ds000246",
        "A study",
        "1.0.1",
        versions=(VersionInfo("1.0.0", "2020-01-01", "wrong events"),),
        derivatives=(Derivative("fmriprep", "s3://openneuro-derivatives/fmriprep/ds000246"),),
    )
    results = {
        "plan": plan,
        "full": replace(plan, free=1_000_000),
        "report": run_of(plan),
        "audit": audit_of(plan),
        "empty": Plan(ROOT, ()),
        "bunch": bunch,
        "run": Run("2026-01-01-ab", ROOT, ".neurofetch", expected=4, tasks=tasks),
        "data set": info,
    }
    made = {name: result._repr_html_() for name, result in results.items()}
    return made | {"progress": progress(plan, "sub-01/a.nii.gz", "the server says 403")}


def hostile_views():
    """With markup in every field that a server, a file or a person may have filled."""
    bad = HOSTILE
    plan = Plan(ROOT / bad, (step(bad, why=bad, reason=bad),), (bad,))
    failed = Outcome(bad, bad, Status.FAILED, bad, advice=bad)
    bunch = NeurovaultBunch()
    bunch.images = [bad]
    words = ("id", "name", "collection_id", "map_type", "modality")
    bunch.images_meta = [dict.fromkeys(words, bad)]
    bunch.collections_meta = [dict.fromkeys(("id", "name", "DOI"), bad)]
    bunch.report = Report(ROOT, (failed,))
    task = Task(bad, TaskState.FAILED, message=bad, failed=(Failed(bad, bad, bad),))
    results = (
        plan,
        Report(ROOT / bad, (failed, Outcome(bad, bad, Status.REFUSED, bad)), (bad,)),
        Audit(ROOT / bad, (Finding(bad, State.MISSING, bad),), 0.1),
        bunch,
        Run(bad, ROOT / bad, ".neurofetch", expected=1, tasks=(task,)),
        DatasetInfo(
            bad, bad, bad, license=bad, doi=bad, published=bad, deprecated=bad,
            subjects=(bad,), sessions=(bad,), tasks=(bad,), modalities=(bad,), authors=(bad,),
            versions=(VersionInfo(bad, bad, bad),), derivatives=(Derivative(bad, bad),),
            notes=(bad,),
        ),
    )  # fmt: skip
    return [*(result._repr_html_() for result in results), progress(plan, bad, bad)]


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """The cells as Jupyter's own converter shows them, with the style sheets of JupyterLab."""
    folder = tmp_path_factory.mktemp("pages")
    cells = []
    for name, html in views().items():
        cells.append(nbformat.v4.new_code_cell(name))
        data = {"text/html": html, "text/plain": name}
        cells[-1].outputs = [nbformat.v4.new_output("display_data", data)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "cells.ipynb")
    for theme in ("light", "dark"):
        how = ("-m", "nbconvert", "--to", "html", "--theme", theme, "--output", f"{theme}.html")
        line = [sys.executable, *how, str(folder / "cells.ipynb")]
        done = subprocess.run(line, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    return {theme: (folder / f"{theme}.html").read_text("utf-8") for theme in ("light", "dark")}


def themed(name, jupyter):
    where, _, theme = name.partition(" ")
    if where == "Jupyter":
        return jupyter[theme]
    text, ground = {
        "light": ("#3b3b3b", "#ffffff"),
        "dark": ("#cccccc", "#1f1f1f"),
        "contrast": ("#ffffff", "#000000"),
    }[theme]
    return VSCODE.format(text=text, ground=ground, cells="".join(views().values()))


THEMES = ["Jupyter light", "Jupyter dark", "Code light", "Code dark", "Code contrast"]


@pytest.fixture
def tab(browser, request):  # noqa: F811
    width = getattr(request, "param", 1280)
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.route("http*://**", lambda route: route.abort())
    yield context.new_page()
    context.close()


def unfolded(tab):
    tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize("tab", [375, 1280], indirect=True)
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_in_the_views(tab, jupyter, theme):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: `npm ci` in tools/web installs it")
    tab.set_content(themed(theme, jupyter))
    unfolded(tab)
    found = [one for one in violations(tab) if ".neurofetch" in one or "Code" in theme]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("tab", [375, 1280], indirect=True)
@pytest.mark.parametrize("theme", THEMES)
def test_no_view_is_wider_than_its_cell_and_no_word_stands_letter_below_letter(tab, jupyter, theme):
    tab.set_content(themed(theme, jupyter))
    unfolded(tab)
    wide, thin = tab.evaluate(
        """() => {
            const views = [...document.querySelectorAll('.neurofetch')];
            const wide = views.filter((one) => one.scrollWidth > one.clientWidth).length;
            const cells = [...document.querySelectorAll('.neurofetch td, .neurofetch th')];
            const thin = cells.filter((one) => one.innerText.length > 7 && one.clientWidth < 60);
            return [wide, thin.map((one) => one.innerText)];
        }"""
    )
    assert wide == 0
    assert thin == []


@pytest.mark.parametrize("theme", THEMES)
def test_lists_of_files_stand_in_columns(tab, jupyter, theme):
    """Their columns are made of spaces: each letter must be as wide as any other."""
    tab.set_content(themed(theme, jupyter))
    kinds = tab.evaluate(
        """[...document.querySelectorAll('.neurofetch pre')]
            .map((one) => getComputedStyle(one).fontFamily)"""
    )
    assert len(kinds) == 4
    assert all("mono" in kind.lower() for kind in kinds), kinds


def test_what_scrolls_is_reached_by_keyboard_and_has_a_name(tab, jupyter):
    tab.set_content(themed("Jupyter light", jupyter))
    unfolded(tab)
    names = tab.evaluate(
        """[...document.querySelectorAll('.neurofetch div')]
            .filter((one) => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))
            .map((one) => one.tabIndex === 0 ? one.getAttribute('aria-label') : null)"""
    )
    assert "all 77 files" in names
    assert all(names), names


def test_nothing_of_others_is_carried_out_or_becomes_an_element(tab):
    said = []
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    for html in hostile_views():
        tab.set_content(f"<!doctype html><main>{html}</main>")
        assert tab.evaluate("window.hacked") is None
        assert tab.locator("img, script, [onerror]").count() == 0
        assert tab.locator("main > *").count() == 1, "nothing ends the view before its end"
        assert HOSTILE in tab.locator(".neurofetch").text_content()
    assert said == []
