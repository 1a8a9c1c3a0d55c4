"""The documentation site: built without the network or a warning, and all of it is reached."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import pytest

from docs import generate, root_pages

pytest.importorskip("sphinx", reason="the documentation's libraries are not installed")
api_pages = pytest.importorskip("docs.api_pages")

pytestmark = pytest.mark.timeout(900)  # the first of them waits for the site to be built

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
AXE = ROOT / "tools/web/node_modules/axe-core/axe.min.js"
EXAMPLE = "plot_1_choose_and_plan"
HAS_MAN = shutil.which("man") and shutil.which("groff")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built once by whichever process of pytest comes first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # what all of them share
    folder /= "documentation"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            build(folder)
            (folder / "built").touch()
    return folder / "html"


def build(folder):
    """Build a copy of the pages, with one example run: all of them have tests of their own."""
    shutil.copytree(
        ROOT / "docs",
        folder / "docs",
        dirs_exist_ok=True,  # of a build that failed
        ignore=shutil.ignore_patterns("_build", "api", "auto_gallery", "__pycache__"),
    )
    for name in {*root_pages.PAGES.values(), "CITATION.cff", "README.md"}:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    paths = [str(folder), str(ROOT / "src"), str(ROOT)]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "http_proxy": "http://127.0.0.1:9",  # what asks the network fails
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "127.0.0.1",  # where the example starts its servers
    }
    words = ["-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going", "-j", "2"]
    words += ["-D", f"sphinx_gallery_conf.filename_pattern=/{EXAMPLE}", "docs", "html"]
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


class Page(HTMLParser):
    """What a page has: anchors, links, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loads, self.title = set(), [], [], ""
        self._in_title = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._in_title = tag == "title"
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("script", "img", "source", "iframe") and given.get("src"):
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon", "modulepreload"):
            self.loads.append(given["href"])

    def handle_data(self, data):
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag):  # noqa: ARG002 - its name in Python
        self._in_title = False


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def lead_nowhere(pages, site):
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists() or not target.is_relative_to(site):
                yield f"{path.relative_to(site)}: {link}"
                continue
            known = pages[target].anchors if target in pages else {unquote(parts.fragment)}
            if parts.fragment and unquote(parts.fragment) not in known:
                yield f"{path.relative_to(site)}: {link}"


@pytest.mark.slow
def test_each_link_and_each_anchor_leads_somewhere(pages, site):
    assert sorted(lead_nowhere(pages, site)) == []


def outside(pages):
    """The addresses of other sites, each with a page that leads there."""
    found = {}
    for path, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme in ("http", "https"):
                found.setdefault(link.partition("#")[0], path.name)
    return found


@pytest.mark.slow
def test_links_to_other_sites_are_whole_and_safe(pages):
    found = outside(pages)
    print(*sorted(found), sep="\n")  # with -s, the list
    assert len(found) > 10
    local = ("127.0.0.1", "localhost")
    bare = [one for one in found if not one.startswith("https://")]
    assert [one for one in bare if urlsplit(one).hostname not in local] == []
    assert [one for one in found if "." not in (urlsplit(one).hostname or "")] == []


@pytest.mark.network
@pytest.mark.slow
def test_each_link_to_another_site_is_answered(pages):
    gone = []
    for address, page in outside(pages).items():
        request = Request(address, headers={"User-Agent": "Mozilla/5.0"}, method="GET")
        try:
            urlopen(request, timeout=30).close()
        except HTTPError as error:
            if error.code in (404, 410):
                gone.append(f"{page}: {address}")
    assert gone == []


@pytest.mark.slow
def test_no_page_loads_anything_from_another_place(pages, site):
    loads = {load for page in pages.values() for load in page.loads}
    assert not [load for load in loads if re.match(r"(?:[a-z]+:)?//", load)]
    for sheet in site.rglob("*.css"):
        text = sheet.read_text("utf-8")
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), sheet


@pytest.mark.slow
def test_pages_have_titles_of_their_own(pages, site):
    """Within the guides, the API, the gallery and the decisions: each says where one is."""
    titles = [
        (path.relative_to(site).parts[:-1], page.title)
        for path, page in pages.items()
        if "_static" not in path.parts
    ]
    assert sorted({one for one in titles if titles.count(one) > 1}) == []


@pytest.mark.slow
def test_each_public_name_has_its_place(site):
    from sphinx.util.inventory import InventoryFile  # noqa: PLC0415 - a library of the documentation

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    described = {
        name for kind, names in inventory.items() if kind.startswith("py:") for name in names
    }
    modules = api_pages.public_modules()
    homes = api_pages.Homes(modules)
    missing = [
        f"{module}.{name}"
        for module, names in modules.items()
        for name in names
        if homes.home(module, name) not in described
    ]
    assert missing == []
    assert {"neurofetch.get", "laion_fmri.download.download"} <= described


@pytest.mark.slow
def test_the_search_knows_the_pages_and_the_sources_are_listed(site):
    assert "troubleshooting" in (site / "searchindex.js").read_text("utf-8")
    listed = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text("utf-8"))
    assert len(listed) > 40
    assert [one for one in listed if not (site / one).is_file()] == []


@pytest.mark.slow
def test_an_example_was_run_and_can_be_taken_as_a_notebook_and_a_script(site, pages):
    page = pages[site / "auto_gallery" / "laion_fmri" / f"{EXAMPLE}.html"]
    assert [load for load in page.loads if re.search(rf"{EXAMPLE}_001\.png", load)]
    taken = {Path(urlsplit(link).path).suffix for link in page.links if "_downloads" in link}
    assert {".ipynb", ".py"} <= taken
    (notebook,) = site.glob(f"_downloads/*/{EXAMPLE}.ipynb")
    first, *others = json.loads(notebook.read_text())["cells"]
    assert any(cell["cell_type"] == "code" for cell in others)
    assert "`testbed`" in "".join(first["source"])  # who takes it has no checkout


@contextmanager
def served(folder):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_a_browser_shows_each_kind_of_page_and_asks_no_other_host(site, tmp_path, scheme, width):
    sync_api = pytest.importorskip("playwright.sync_api")
    asked, failed = [], []
    kinds = ("index", "start", "cli", "troubleshooting", "api/neurofetch", "auto_gallery/index")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with served(site) as url, sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: failed.append(str(error)))
        tab.on("requestfailed", lambda request: failed.append(request.url))
        for kind in kinds:
            tab.goto(f"{url}/{kind}.html")
            tab.screenshot(path=tmp_path / f"{kind.replace('/', '-')}.png")
            wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{kind} is {wide} pixels wider than the screen"
        browser.close()
    assert failed == []
    assert {urlsplit(one).hostname for one in asked if not one.startswith("data:")} == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(
    ("words", "page"),
    [("nothing_matched", "troubleshooting"), ("fetch_neurovault_ids", "neurovault")],
)
def test_the_search_finds_a_page_without_another_host(site, words, page):
    sync_api = pytest.importorskip("playwright.sync_api")
    asked = []
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with served(site) as url, sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"{url}/search.html?q={words}")
        tab.wait_for_selector(f"#search-results a[href*='{page}.html']")
        browser.close()
    assert {urlsplit(one).hostname for one in asked if not one.startswith("data:")} == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: `npm ci` in tools/web")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_axe_finds_nothing_on_pages_of_each_kind(site, scheme, width):
    sync_api = pytest.importorskip("playwright.sync_api")
    kinds = (
        *("index", "start", "guide", "get", "slurm", "troubleshooting", "cli", "how-it-works"),
        *("changelog", "search", "api/index", "api/neurofetch", "auto_gallery/index"),
        f"auto_gallery/laion_fmri/{EXAMPLE}",
    )
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    found = []
    with served(site) as url, sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        for kind in kinds:
            tab.goto(f"{url}/{kind}.html")
            tab.evaluate(AXE.read_text("utf-8"))
            told = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
            found += [
                f"{kind}: {one['id']}: {node['html'][:200]}"
                for one in told["violations"]
                for node in one["nodes"]
            ]
        browser.close()
    assert found == []


# -- pages that are written before -----------------------------------------------------------------


def test_the_man_pages_are_what_help_says():
    written = {path: path.read_text("utf-8").split() for path in generate.MAN.glob("*.1")}
    said = {path: text.split() for path, text in generate.pages().items() if path.suffix == ".1"}
    assert written == said, "docs/man is not what --help says: run `make pages`"


def test_the_figures_are_what_is_drawn():
    for path, text in generate.pages().items():
        if path.suffix == ".svg":
            assert path.read_text("utf-8") == text, f"{path.name} is old: run `make pages`"


@pytest.mark.skipif(not HAS_MAN, reason="man or groff is not installed")
@pytest.mark.parametrize("path", sorted(generate.MAN.glob("*.1")), ids=lambda path: path.stem)
def test_man_shows_a_page_and_complains_of_nothing(path):
    done = subprocess.run(
        ["man", "--warnings", "-l", str(path)],
        env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    shown = re.sub(r"[-\u2010]", " ", done.stdout)
    assert path.stem.replace("-", " ") in shown


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("[a](docs/ui.md)", "[a](ui.md)"),
        ("[a](docs/ui.md#x-y)", "[a](ui.md#x-y)"),
        ("[a](ARCHITECTURE.md)", "[a](architecture.md)"),
        ("[a](src/neurofetch/_api.py)", "a"),
        ("[a](https://x.org/docs/y)", "[a](https://x.org/docs/y)"),
        ("[a](#b)", "[a](#b)"),
        ("[a](docs/gallery)", "[a](auto_gallery/index.rst)"),
    ],
)
def test_links_of_the_root_lead_to_pages_of_the_site(text, page):
    assert root_pages.as_page(text) == page
