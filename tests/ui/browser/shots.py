"""``python -m tests.ui.browser.shots DIR``: a screenshot of each state of the page, to look at."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ui.browser.browser_world import (
    BrowserWorld,
    Watched,
    choose_bucket,
    chromium,
    drawn,
    look_at,
    make_plan,
    running,
    value_of,
)
from tests.ui.browser.surface_files import write_surface

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

SIZES = {"": (1280, 900), "narrow-": (375, 812), "wide-": (1920, 1080)}
NAME = re.compile(r"(narrow-|wide-)?(light|dark)-\d+-[a-z-]+\.png")


def main() -> None:
    """Draw all states, light, dark and narrow."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():  # of states that had other numbers then
        if NAME.fullmatch(old.name):
            old.unlink()
    with tempfile.TemporaryDirectory() as home, BrowserWorld().open() as world, chromium() as found:
        for size, (across, down) in SIZES.items():
            for theme in ("light", "dark"):
                place = Path(home) / f"{size}{theme}"
                place.mkdir()
                world.s3.clear_faults()
                viewport = {"width": across, "height": down}
                context = found.new_context(viewport=viewport, color_scheme=theme)
                write_surface(place / "faces")
                with running(world.shell(place)) as client:
                    _session(Watched(context, client.url), world, folder, f"{size}{theme}")
                context.close()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


def _session(watched: Watched, world: BrowserWorld, folder: Path, name: str) -> None:
    number = 0

    def shot(state: str) -> None:
        nonlocal number
        number += 1
        tab.wait_for_timeout(400)
        tab.screenshot(path=folder / f"{name}-{number}-{state}.png")

    tab = watched.open("#/runs")
    tab.locator(".empty").wait_for()
    shot("empty")
    tab.goto(f"{watched.origin}/#/")
    tab.get_by_role("radio", name="A bucket").wait_for()
    shot("source")
    choose_bucket(tab, folder="faces")
    value_of(tab, "Subjects", "01").click()
    shot("choosing")
    make_plan(tab)
    shot("plan")
    world.s3.fault(key="*_bold.nii.gz", method="GET", rate=300_000, times=None)
    tab.get_by_role("button", name="Fetch ").click()
    tab.get_by_role("button", name="Pause").wait_for()
    tab.wait_for_timeout(1500)
    shot("fetching")
    tab.locator(".chip", has_text="done").wait_for()
    shot("fetched")
    tab.get_by_role("link", name="Look at what came").click()
    look_at(tab, "statmap")
    drawn(tab)
    tab.wait_for_timeout(500)
    tab.locator("canvas").scroll_into_view_if_needed()
    shot("looking")
    look_at(tab, "bold · task faces · sub-01")
    drawn(tab)
    tab.wait_for_timeout(900)
    shot("time-series")
    look_at(tab, "events")
    tab.locator(".table").wait_for()
    shot("table")
    _looking_on(tab, shot)
    tab.goto(f"{watched.origin}/#/")
    tab.get_by_role("radio", name="OpenNeuro").check()
    tab.get_by_role("textbox", name="Data set").fill("ds999999")
    tab.get_by_role("button", name="List its files").click()
    tab.get_by_role("alert").wait_for()
    shot("error")
    _failing(tab, watched, world, shot)
    _terms(tab, watched, shot)
    _vault(tab, watched, shot)
    tab.goto(f"{watched.origin}/#/runs")
    tab.locator(".rows").wait_for()
    shot("runs")


def _looking_on(tab: Page, shot: Callable[[str], None]) -> None:
    """A region over a map, and values on a surface."""
    look_at(tab, "statmap")
    drawn(tab)
    tab.get_by_role("checkbox", name="active").check()
    tab.wait_for_timeout(800)
    tab.get_by_role("checkbox", name="active").scroll_into_view_if_needed()
    shot("region")
    tab.reload()
    look_at(tab, "zmap")
    drawn(tab)
    tab.wait_for_timeout(800)
    tab.locator("canvas").scroll_into_view_if_needed()
    shot("surface")


def _failing(tab: Page, watched: Watched, world: BrowserWorld, shot: Callable[[str], None]) -> None:
    """A run of which a file cannot come."""
    world.s3.clear_faults()
    tab.goto(f"{watched.origin}/#/")
    choose_bucket(tab, folder="others")
    value_of(tab, "Subjects", "02").click()
    make_plan(tab)
    world.s3.fault(key="*_bold.nii.gz", method="GET", status=403, times=None)
    tab.get_by_role("button", name="Fetch ").click()
    tab.locator(".chip", has_text="failed").wait_for()
    shot("failed")


def _terms(tab: Page, watched: Watched, shot: Callable[[str], None]) -> None:
    tab.goto(f"{watched.origin}/#/")
    tab.get_by_role("radio", name="LAION-fMRI").check()
    tab.get_by_role("button", name="List its files").click()
    make_plan(tab)
    shot("plan-withheld")
    tab.get_by_role("button", name="Fetch ").click()
    tab.get_by_role("region", name="Licence").wait_for()
    shot("terms")


def _vault(tab: Page, watched: Watched, shot: Callable[[str], None]) -> None:
    tab.goto(f"{watched.origin}/#/")
    tab.get_by_role("radio", name="NeuroVault").check()
    tab.get_by_role("textbox", name="Search for").fill("working memory")
    tab.get_by_role("button", name="List its files").click()
    again = tab.get_by_role("button", name="Ask NeuroVault")
    again.wait_for()
    shot("no-catalogue")
    again.click()
    tab.get_by_role("button", name="Make the plan").wait_for(timeout=60_000)
    shot("neurovault")


if __name__ == "__main__":
    main()
