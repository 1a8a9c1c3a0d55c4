"""The page in the browser: how soon it is there, and what a click costs with 117,523 files.

A real Chromium asks a real ``neurofetch ui``, whose list has as many files as the largest version
of OpenNeuro that is known. A click is timed in the page, from the event until the next frame.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks._server import WORK
from testbed.many_rows import FILES, listing, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS, CLICKS = 7, 15
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
_CLICK = """
(option) => new Promise((resolve) => {
  const begin = performance.now();
  option.click();
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - begin)));
})
"""


@contextmanager
def _page(folder: str, **variables: str) -> Iterator[tuple[str, float]]:
    """Run the page, and give its address and after how many seconds it was printed."""
    words = [sys.executable, "-m", "neurofetch", "ui", "--no-browser", "--quiet", folder]
    began = time.perf_counter()
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    try:
        assert process.stdout is not None  # it is a pipe
        url = process.stdout.readline().strip()
        yield url, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(timeout=30)


def _starts(folder: str) -> None:
    seconds = []
    for _ in range(STARTS):
        with _page(folder) as (_, took):
            seconds.append(took)
    print(f"address printed after {_told(seconds, 's', 2)}")


def _told(figures: list[float], unit: str, digits: int) -> str:
    middle, least, most = statistics.median(figures), min(figures), max(figures)
    return (
        f"{middle:.{digits}f} {unit} ({least:.{digits}f}-{most:.{digits}f}, {len(figures)} times)"
    )


def _clicks(url: str) -> None:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where there is a browser

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(180_000)
        tab.goto(url)
        tab.get_by_role("radio", name="OpenNeuro").check()
        tab.get_by_role("textbox", name="Data set").fill("ds002790")
        began = time.perf_counter()
        tab.get_by_role("button", name="List its files").click()
        tab.locator(".sum-files").wait_for()
        print(f"{FILES:,} files listed and counted after {time.perf_counter() - began:.1f} s")
        options = tab.get_by_role("listbox", name="Subjects", exact=True).get_by_role("option")
        figures: list[Any] = [options.nth(number % 8).evaluate(_CLICK) for number in range(CLICKS)]
        print(f"a click until the next frame: {_told(figures, 'ms', 0)}")
        browser.close()


def main() -> None:
    """Run it."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        _starts(folder)
        if CHROMIUM is None:
            print("Chromium is not here: no clicks are timed")
            return
        with serving(listing()) as site, _page(folder, OPENNEURO_URL=site) as (url, _):
            _clicks(url)


if __name__ == "__main__":
    main()
