"""What the tests in a real browser share: data that look like data, a page, and Chromium."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from testbed._encode import nifti as encode
from testbed.bids import nifti
from testbed.laion import Recipe, make_bucket
from tests.faces import REFUSED
from tests.ui_world import Client, World, page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.faces import Shell

REPOSITORY = Path(__file__).parents[3]
STATIC = REPOSITORY / "src/neurofetch/ui/static"
WEB = REPOSITORY / "tools/web"
AXE = WEB / "node_modules/axe-core/axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome") or ""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = "<img src=x onerror=alert(1)>"
GRID = (48, 56, 48)


@cache
def study(subjects: int = 3) -> dict[str, bytes]:
    """A BIDS data set with anatomy, a map, a mask and a run of a task, in the bucket ``study``."""
    described = b'{"Name": "Faces and houses (made up)", "BIDSVersion": "1.10.0", "License": "CC0"}'
    files = {
        "dataset_description.json": described,
        "README": b"Faces, houses, and rest. This data set is made up.\n" * 40,
    }
    rows = ["participant_id\tage\tgroup"]
    for number in range(1, subjects + 1):
        stem = f"sub-{number:02d}"
        rows.append(f"{stem}\t{20 + number}\tcontrol")
        files |= _subject(stem, number)
    files["participants.tsv"] = ("\n".join(rows) + "\n").encode()
    files["task-faces_bold.json"] = b'{"TaskName": "faces", "RepetitionTime": 2.0}'
    return {f"faces/{path}": content for path, content in files.items()}


def _subject(stem: str, seed: int) -> dict[str, bytes]:
    onsets = "".join(f"{n * 12.5}\t4.0\t{'face' if n % 2 else 'house'}\n" for n in range(400))
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID), indexing="ij")
    bumps = sum(
        sign * 7 * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 0.02)
        for sign, a, b, c in ((1, -0.4, -0.5, 0), (1, 0.4, -0.5, 0), (-1, 0, 0.5, 0.3))
    )
    inside = x**2 + y**2 + z**2 < 0.6
    noise = inside * np.random.default_rng(seed).standard_normal(GRID) * 0.4
    values = bumps * inside + noise
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    func = f"{stem}/func/{stem}_task-faces"
    return {
        f"{stem}/anat/{stem}_T1w.nii.gz": nifti(*GRID, seed=seed),
        f"{func}_bold.nii.gz": nifti(24, 28, 24, 40, seed=seed),
        f"{func}_events.tsv": ("onset\tduration\ttrial_type\n" + onsets).encode(),
        f"{func}_stat-t_statmap.nii.gz": encode(values.astype(np.float32), affine),
        f"{func}_desc-active_mask.nii.gz": encode((bumps > 3).astype(np.uint8), affine),
    }


class BrowserWorld(World):
    """The world of the other tests, with data that are worth looking at."""

    def __init__(self) -> None:
        super().__init__()
        recipe = Recipe(subjects=("sub-01", "sub-03"), trials_per_session=8, figures_per_session=2)
        for key, content in make_bucket(recipe).items():
            self.s3.put(key, content, "laion-fmri")
        self.s3.forbidden = REFUSED
        for key, content in study().items():
            self.s3.put(key, content, "study")
        hostile = f"faces/sub-01/func/sub-01_task-faces_desc-xxx{HOSTILE}_bold.json"
        self.s3.put(hostile, b'{"Description": "<script>alert(1)</script>"}', "study")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may be absent

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def running(shell: Shell, *words: str) -> Iterator[Client]:
    """A page that runs, as a user starts it."""
    with page(shell, *words) as (_, client):
        yield client


class Watched:
    """A tab, and all that it did that it must not do.

    Parameters
    ----------
    context
        Of the browser.
    url
        Of the page, with its token.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.origin = url.partition("?")[0].rstrip("/")
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.tab: Page = context.new_page()
        self.tab.set_default_timeout(20_000)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("dialog", self._dialog)
        self.tab.on("request", self._request)
        self.tab.add_init_script(
            "window.violations = [];"
            "addEventListener('securitypolicyviolation', (event) =>"
            " window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));"
        )

    def _dialog(self, dialog) -> None:
        self.errors.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request) -> None:
        if not request.url.startswith((self.origin, "blob:", "data:")):
            self.strangers.append(request.url)

    def open(self, place: str = "") -> Page:
        self.tab.goto(self.url + place)
        self.tab.locator("h1").wait_for()
        return self.tab

    def check(self) -> None:
        """It broke no policy, asked nobody else and raised nothing."""
        assert self.errors == []
        assert self.strangers == []
        assert self.tab.evaluate("window.violations") == []


# -- what a newcomer does ------------------------------------------------------------------------


def choose_bucket(tab: Page, url: str = "s3://study/faces", folder: str | None = None) -> None:
    tab.get_by_role("radio", name="A bucket").check()
    tab.get_by_role("textbox", name="Address").fill(url)
    if folder is not None:
        tab.get_by_role("combobox", name="Folder").fill(folder)
    tab.get_by_role("button", name="List its files").click()
    tab.get_by_role("button", name="Make the plan").wait_for()


def value_of(tab: Page, facet: str, value: str):
    values = tab.get_by_role("listbox", name=facet, exact=True)
    return values.get_by_role("option", name=re.compile(rf"^{re.escape(value)} ?,"))


def make_plan(tab: Page) -> None:
    tab.get_by_role("button", name="Make the plan").click()
    tab.get_by_role("button", name="Fetch ").wait_for()


def fetch(tab: Page) -> None:
    tab.get_by_role("button", name="Fetch ").click()
    tab.locator(".chip", has_text="done").wait_for()


def look_at(tab: Page, name: str) -> None:
    tab.get_by_role("option", name=name).first.click()


def drawn(tab: Page) -> None:
    tab.locator("canvas[data-ready=yes]").wait_for(timeout=60_000)


def picture_of(tab: Page, path: Path):
    """The pixels of the canvas, as they are on the screen."""
    from PIL import Image  # noqa: PLC0415 - may be absent

    tab.locator("canvas").screenshot(path=path)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def until_seen(tab: Page, condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until something is so on the screen, however busy the machine is."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"{what} never came"
        tab.wait_for_timeout(100)


def violations(tab: Page) -> list[str]:
    """What axe-core finds: a line for each element."""
    tab.evaluate(AXE.read_text())
    found = tab.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)"
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:300]}"
        for one in found
        for node in one["nodes"]
    ]
