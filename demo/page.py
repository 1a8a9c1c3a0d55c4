"""The page in the browser: from an empty folder to a map on the screen, by a real Chromium."""

from __future__ import annotations

import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from demo._stage import HERE, Stage, command_line, heading, say
from testbed.laion import GATED, Recipe, make_bucket
from testbed.moto_s3 import MotoS3
from testbed.s3 import HELD_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

__all__ = ["PICTURE", "ending", "main"]

PICTURE = HERE / "page.png"
RECIPE = Recipe(grid=(48, 58, 48), voxel_mm=3.6, trials_per_session=12, figures_per_session=2)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def main(stage: Stage) -> None:
    """Play the act."""
    heading("A page in the browser: choose, plan, fetch, look")
    folder = stage.folder / "page"
    folder.mkdir()
    objects = make_bucket(RECIPE)
    with MotoS3(objects, forbidden=(*HELD_OUT, *GATED)) as s3:
        stage.set(AWS_ENDPOINT_URL_S3=s3.url)
        with _page(stage, folder) as url:
            if CHROMIUM is None:
                say("Chromium is not here, so there is no picture of it. Yours: neurofetch ui")
                return
            _walk(url)
            _stay(url)
    here = sum(path.is_file() for path in folder.rglob("*.nii.gz"))
    name = PICTURE.relative_to(HERE.parent)
    say(f"{name}: the map on the screen; {here} volumes are here now")


def ending() -> None:
    """Print, as the last lines of the demo, how to open the page, and its picture."""
    folder = HERE.relative_to(HERE.parent) / "work" / "page"
    say(f"the page, to open it yourself: {command_line(f'neurofetch ui {folder}')}")
    if PICTURE.exists():
        say(f"and its screenshot: {PICTURE.relative_to(HERE.parent)}")


def _stay(url: str) -> None:
    """Leave the page open for a while where somebody is there to look at it."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        say(f"the page is open for two minutes at {url}")
        say("look at it; Enter ends it earlier")
        with suppress(KeyboardInterrupt):
            select.select([sys.stdin], [], [], 120)


@contextmanager
def _page(stage: Stage, folder: object) -> Iterator[str]:
    """Run the page as a user does, and give its address."""
    command = f"neurofetch ui --no-browser {folder}"
    print(f"\n$ {command}", flush=True)
    began = time.perf_counter()
    process = subprocess.Popen(
        stage._argv(command), cwd=stage.folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None  # it is a pipe
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("the page did not start")
        say(f"the page's address, after {time.perf_counter() - began:.2f} s: {url}")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _walk(url: str) -> None:
    """Do what a newcomer does, by the names that a screen reader reads."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where there is a browser

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 860})
        tab.set_default_timeout(60_000)
        tab.goto(url)
        _choose(tab)
        _fetch(tab)
        _look(tab)
        tab.screenshot(path=PICTURE)
        browser.close()


def _choose(tab: Page) -> None:
    tab.get_by_role("radio", name="LAION-fMRI").check()
    tab.get_by_role("button", name="List its files").click()
    plan = tab.get_by_role("button", name="Make the plan")
    plan.wait_for()
    _value(tab, "Subjects", "03").click()
    search = tab.get_by_role("searchbox", name="Search in Descriptions")
    if search.count():
        search.fill("R2")
    _value(tab, "Descriptions", "R2mean").click()
    say(f"chosen: {tab.locator('.sum-files').inner_text()}")
    plan.click()


def _value(tab: Page, facet: str, value: str) -> Locator:
    values = tab.get_by_role("listbox", name=facet, exact=True)
    return values.get_by_role("option", name=re.compile(rf"^{re.escape(value)} ?,"))


def _fetch(tab: Page) -> None:
    tab.get_by_role("button", name="Fetch ").click()
    accept = tab.get_by_role("button", name="Accept and fetch")
    done = tab.locator(".chip", has_text="done")
    accept.or_(done).wait_for()
    if accept.count():
        say("the licence is shown, and accepted")
        tab.get_by_role("checkbox", name="I have read this").check()
        accept.click()
    done.wait_for()
    tab.get_by_role("link", name="Look at what came").click()


def _look(tab: Page) -> None:
    tab.get_by_role("option", name=re.compile("R2mean.*nii.gz")).first.click()
    tab.locator("canvas[data-ready=yes]").wait_for()
    tab.wait_for_timeout(500)
