"""Chromium for the tests of a file, and the servers that its pages ask."""

import importlib.util

import pytest

from tests.ui.browser.browser_world import CHROMIUM, BrowserWorld, Watched, chromium, running


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("Chromium is not installed: `make browser` installs it")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def world():
    with BrowserWorld().open() as made:
        yield made


@pytest.fixture
def shell(world, tmp_path):
    return world.shell(tmp_path)


@pytest.fixture
def client(shell):
    with running(shell) as found:
        yield found


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


@pytest.fixture
def watched(context, client):
    """A tab that shows the page; afterwards it must have broken no policy and asked nobody else."""
    tab = Watched(context, client.url)
    yield tab
    tab.check()
