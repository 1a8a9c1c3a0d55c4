"""By keyboard alone, by a screen reader's names, in both themes, narrow, wide, large."""

import pytest

from tests.ui.browser.browser_world import (
    AXE,
    Watched,
    choose_bucket,
    drawn,
    fetch,
    look_at,
    make_plan,
    running,
    until_seen,
    violations,
)
from tests.ui.browser.surface_files import write_surface

pytestmark = pytest.mark.slow

FILE = "#/look/d1?folder=faces&path=faces%2F"
WIDTHS = {"narrow": (375, 812), "wide": (1920, 1080)}


def pressed(tab, key, until, most=60):
    """Press a key until the focus is on what a script recognises."""
    for _ in range(most):
        if tab.evaluate(f"(() => {{ const e = document.activeElement; return {until}; }})()"):
            return
        tab.keyboard.press(key)
    raise AssertionError(f"{key} never led to {until}")


def test_from_source_to_a_map_by_keyboard_alone(watched):
    tab = watched.open()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "skip"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    pressed(tab, "Tab", "e.type === 'radio'")
    pressed(tab, "ArrowRight", "e.value === 'bucket'")
    pressed(tab, "Tab", "e.placeholder && e.placeholder.startsWith('s3://')")
    tab.keyboard.type("s3://study/faces")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Make the plan").wait_for()
    assert tab.evaluate("document.activeElement.tagName") == "H1"

    pressed(tab, "Tab", "e.getAttribute('aria-label') === 'Subjects'")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Space")
    chosen = tab.get_by_role("listbox", name="Subjects").get_by_role("option", selected=True)
    assert chosen.count() == 1
    assert chosen.locator(".value-name").inner_text() == "02"
    active = tab.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
    assert active == chosen.get_attribute("id")
    pressed(tab, "Tab", "e.textContent === 'Make the plan'")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Fetch ").wait_for()
    pressed(tab, "Tab", "e.textContent.startsWith('Fetch ') && e.tagName === 'BUTTON'")
    tab.keyboard.press("Enter")
    tab.get_by_role("link", name="Look at what came").wait_for()
    pressed(tab, "Tab", "e.textContent === 'Look at what came'")
    tab.keyboard.press("Enter")
    tab.get_by_role("option", name="statmap").wait_for()
    pressed(tab, "Tab", "e.getAttribute('aria-label') === 'Files that are here'")
    pressed(
        tab,
        "ArrowDown",
        "document.getElementById(e.getAttribute('aria-activedescendant'))"
        ".textContent.startsWith('statmap')",
    )
    tab.keyboard.press("Enter")
    drawn(tab)
    pressed(tab, "Tab", "e.tagName === 'CANVAS'")
    where = tab.get_by_label("Under the crosshair").inner_text()
    tab.keyboard.press("ArrowLeft")
    assert tab.get_by_label("Under the crosshair").inner_text() != where


def test_a_dialog_takes_the_focus_and_gives_it_back(watched):
    tab = watched.open()
    choose_bucket(tab, folder="faces")
    make_plan(tab)
    tab.evaluate(
        "void import('./static/dom.js').then((dom) => dom.ask({title: 'T', text: 't', yes: 'Y'}))"
    )
    tab.get_by_role("dialog").wait_for()
    assert tab.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    tab.keyboard.press("Escape")
    tab.get_by_role("dialog").wait_for(state="detached")


def test_whoever_chooses_a_theme_keeps_it(watched):
    tab = watched.open()
    dark = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(dark)
    tab.get_by_role("button", name="Change to the dark theme").click()
    after = tab.evaluate(dark)
    assert after != before
    tab.reload()
    tab.get_by_role("button", name="Change to the light theme").wait_for()
    assert tab.evaluate(dark) == after


@pytest.fixture(scope="module")
def fetched(world, tmp_path_factory):
    """A page with a list, a plan, a run and files that are here."""
    shell = world.shell(tmp_path_factory.mktemp("fetched"))
    with running(shell) as client:
        made = client.enter()
        catalogue = made.catalogue({"kind": "bucket", "url": "s3://study/faces"}, "faces")
        plan = made.plan(catalogue, {"subject": ["01"]})
        run = made.job(made.run(plan))
        failed = made.catalogue({"kind": "openneuro", "data_set": "ds999999"}, "none")
        laion = made.catalogue({"kind": "laion"}, "laion-fmri")
        terms = made.job(made.run(made.plan(laion, {"suffix": ["statmap"]})))
        empty = made.catalogue({"kind": "neurovault", "search": "memory"})
        write_surface(shell.home / "faces")
        client.places = {
            "source": "#/",
            "choose": f"#/choose/{catalogue['catalogue']}?subject=01",
            "plan": f"#/runs/{plan['job']}",
            "run": f"#/runs/{run['job']}",
            "runs": "#/runs",
            "terms": f"#/runs/{terms['job']}",
            "no catalogue": f"#/choose/{empty['catalogue']}",
            "surface": f"{FILE}sub-01%2Ffunc%2Fsub-01_hemi-L_zmap.func.gii",
            "error": f"#/choose/{failed['catalogue']}",
            "gone": "#/runs/j999",
            "shelf": "#/look/d1?folder=faces",
            "map": f"{FILE}sub-01%2Ffunc%2Fsub-01_task-faces_stat-t_statmap.nii.gz",
            "series": f"{FILE}sub-01%2Ffunc%2Fsub-01_task-faces_bold.nii.gz",
            "table": "#/look/d1?folder=faces&path=faces%2Fparticipants.tsv",
            "text": "#/look/d1?folder=faces&path=faces%2FREADME",
        }
        yield client


READY = {
    "choose": ".sum-size",
    "plan": ".figures",
    "run": ".figures",
    "terms": ".licence",
    "no catalogue": ".empty",
    "surface": "canvas[data-ready=yes]",
    "error": ".problem",
    "gone": ".problem",
    "shelf": ".empty",
    "map": "canvas[data-ready=yes]",
    "series": "canvas[data-ready=yes]",
    "table": ".table",
    "text": "pre.text",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_in_any_state(browser, fetched, width, theme):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: `npm ci` in tools/web installs it")
    across, down = WIDTHS[width]
    context = browser.new_context(viewport={"width": across, "height": down}, color_scheme=theme)
    watched = Watched(context, fetched.url)
    tab = watched.open()
    found = []
    for name, place in fetched.places.items():
        tab.goto(f"{watched.origin}/{place}")
        tab.locator(READY.get(name, "h1")).first.wait_for(timeout=60_000)
        found += [f"{name}: {one}" for one in violations(tab)]
        sideways = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, f"{name} is {sideways} pixels too wide"
    watched.check()
    context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "name", ["source", "choose", "plan", "run", "terms", "map", "surface", "table", "error"]
)
def test_text_of_twice_the_size_fits(browser, fetched, name):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    watched = Watched(context, fetched.url)
    tab = watched.open()
    tab.goto(f"{watched.origin}/{fetched.places[name]}")
    tab.locator(READY.get(name, "h1")).first.wait_for(timeout=60_000)
    tab.evaluate("document.documentElement.style.fontSize = '200%'")
    tab.wait_for_timeout(300)
    until_seen(tab, lambda: tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0)
    watched.check()
    context.close()


def test_everything_can_be_told_apart_by_name(browser, fetched):
    """Landmarks, one heading of the first level, and a name for whatever takes the focus."""
    context = browser.new_context()
    watched = Watched(context, fetched.url)
    tab = watched.open()
    for place in fetched.places.values():
        tab.goto(f"{watched.origin}/{place}")
        tab.locator("h1").wait_for()
        tab.wait_for_timeout(200)
        assert tab.get_by_role("heading", level=1).count() == 1
        assert tab.get_by_role("main").count() == 1
        assert tab.get_by_role("navigation", name="Steps").count() == 1
        assert tab.locator("nav [aria-current=page]").count() == 1
        assert tab.title().endswith("neurofetch")
    context.close()


def test_fetching_is_told_to_a_screen_reader(watched):
    tab = watched.open()
    choose_bucket(tab, folder="faces")
    make_plan(tab)
    fetch(tab)
    said = tab.locator("#polite")
    said.get_by_text("done").wait_for(state="attached")
    bar = tab.get_by_role("progressbar")
    assert bar.get_attribute("aria-valuenow") == "100"
    tab.get_by_role("link", name="Look at what came").click()
    look_at(tab, "T1w")
    drawn(tab)
    tab.locator("#polite").get_by_text("is drawn").wait_for(state="attached")


NO_FORM = """() => [...document.querySelectorAll("main button, main select, main a[class]")]
    .filter((one) => one.checkVisibility() && !one.matches(":disabled, .quiet, [role=tab]"))
    .filter((one) => getComputedStyle(one).borderTopStyle === "none"
        && getComputedStyle(one).textDecorationLine === "none")
    .map((one) => one.outerHTML.slice(0, 120))"""
CHOSEN = "nav [aria-current=page], [role=tab][aria-selected=true], .item[aria-selected=true]"


@pytest.mark.parametrize("name", ["source", "choose", "plan", "run", "map", "surface", "table"])
def test_with_the_colours_and_the_stillness_that_a_user_chose(browser, fetched, name):
    context = browser.new_context(forced_colors="active", reduced_motion="reduce")
    watched = Watched(context, fetched.url)
    tab = watched.open()
    tab.goto(f"{watched.origin}/{fetched.places[name]}")
    tab.locator(READY.get(name, "h1")).first.wait_for(timeout=60_000)
    moving = (
        "document.getAnimations().filter((one) => one.effect.getTiming().duration > 10"
        " && one.playState === 'running').length"
    )
    assert tab.evaluate(moving) == 0
    assert tab.evaluate(NO_FORM) == [], "what has no border cannot be seen as a button"
    outlines = "(all) => all.map((one) => getComputedStyle(one).outlineStyle)"
    told = tab.locator(CHOSEN).evaluate_all(outlines)
    assert set(told) == {"solid"}, "what is chosen must not be told by a colour that is gone"
    ticks = "(all) => all.map((one) => getComputedStyle(one).backgroundColor)"
    empty = set(tab.locator("[aria-selected=false] .box").evaluate_all(ticks))
    assert not empty & set(tab.locator("[aria-selected=true] .box").evaluate_all(ticks))
    watched.check()
    context.close()
