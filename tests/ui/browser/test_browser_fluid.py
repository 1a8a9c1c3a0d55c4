"""117,523 files, servers that are slow or go away, and pages that are closed in between."""

import json
import signal

import pytest

from testbed.many_rows import FILES, listing, serving
from tests.ui.browser.browser_world import Watched, choose_bucket, fetch, make_plan, running
from tests.ui.test_page_session import slow_world, until
from tests.ui_world import page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large(world, tmp_path_factory):
    """A page whose list has as many files as the largest version of OpenNeuro."""
    shell = world.shell(tmp_path_factory.mktemp("large"))
    with serving(listing()) as url:
        shell.env["OPENNEURO_URL"] = url
        with running(shell) as client:
            made = client.enter()
            source = {"kind": "openneuro", "data_set": "ds002790"}
            client.list = made.catalogue(source, "large")
            yield client


def test_117523_files_are_counted_in_the_page_and_few_rows_are_in_it(
    browser, large, record_property
):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    watched = Watched(context, large.url)
    tab = watched.open(f"#/choose/{large.list['catalogue']}")
    tab.locator(".sum-files").wait_for(timeout=60_000)
    assert tab.locator(".sum-files").inner_text() == f"{FILES:,} files"
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    subjects = tab.get_by_role("listbox", name="Subjects", exact=True)
    assert subjects.get_by_role("option").count() < 40
    for name in ("0000", "0001", "0003", "0000"):
        subjects.get_by_role("option", name=f"{name}, ").click()
    runs = tab.get_by_role("listbox", name="Runs", exact=True)
    runs.get_by_role("option", name="000, ").click()
    tab.get_by_role("searchbox", name="Search in Subjects").fill("22")
    assert tab.locator(".sum-files").inner_text() == "2 files"
    assert runs.get_by_role("option", name="001, 2 files").count() == 1
    assert not any("/rows" in url for url in asked)
    assert tab.locator("[role=row]").count() < 60
    assert tab.locator("*").count() < 2500
    clicks = tab.evaluate(
        "performance.getEntriesByName('neurofetch-choice').map((one) => one.duration)"
    )
    assert len(clicks) >= 6
    print(f"milliseconds of a click: {sorted(round(one, 1) for one in clicks)}")
    record_property("milliseconds", json.dumps(clicks))
    watched.check()
    context.close()


def test_globs_count_as_the_command_does(browser, large):
    """The page's own reading of a glob is that of the plan."""
    context = browser.new_context()
    watched = Watched(context, large.url)
    tab = watched.open(f"#/choose/{large.list['catalogue']}")
    tab.locator(".sum-files").wait_for(timeout=60_000)
    tab.get_by_label("Only paths like").fill("derivatives/**/sub-000{1,2}_*run-00[0-4]*")
    assert tab.locator(".sum-files").inner_text() == "10 files"
    tab.get_by_label("But not paths like").fill("*run-003*")
    assert tab.locator(".sum-files").inner_text() == "8 files"
    make_plan(tab)
    assert "8 files" in tab.locator(".figures").inner_text()
    watched.check()
    context.close()


def test_a_run_is_paused_reloaded_and_goes_on(browser, tmp_path):
    with slow_world(400_000).open() as world, running(world.shell(tmp_path)) as client:
        context = browser.new_context()
        watched = Watched(context, client.url)
        tab = watched.open()
        choose_bucket(tab, "s3://slow", folder="d")
        make_plan(tab)
        tab.get_by_role("button", name="Fetch ").click()
        bar = tab.get_by_role("progressbar")
        bar.wait_for()
        until(lambda: int(bar.get_attribute("aria-valuenow")) > 2)
        tab.reload()
        until(lambda: int(bar.get_attribute("aria-valuenow")) > 4)
        tab.get_by_role("button", name="Pause").click()
        tab.locator(".chip", has_text="paused").wait_for()
        tab.get_by_role("button", name="Go on").click()
        tab.get_by_role("button", name="Pause").wait_for()
        tab.get_by_role("button", name="Stop").click()
        tab.get_by_role("dialog").get_by_role("button", name="Let it run").click()
        assert tab.get_by_role("button", name="Stop").evaluate("e => e === document.activeElement")
        tab.get_by_role("button", name="Stop").click()
        tab.get_by_role("dialog").get_by_role("button", name="Stop").click()
        tab.locator(".chip", has_text="stopped").wait_for()
        watched.check()
        context.close()


def test_a_server_that_goes_and_comes_back_is_said_and_found_again(browser, world, tmp_path):
    shell = world.shell(tmp_path)
    context = browser.new_context()
    with page(shell) as (process, client):
        watched = Watched(context, client.url)
        tab = watched.open()
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(30)
        tab.get_by_text("The program behind this page does not answer").wait_for()
        assert tab.locator("#connection-text").inner_text() == "not connected"
    with page(shell, "--port", str(client.port)) as (_, again):
        tab.get_by_text("This page belongs to a program that has ended").wait_for()
        tab.goto(again.url)
        tab.get_by_text("connected", exact=True).wait_for()
        assert tab.locator("#banner").inner_text() == ""
    assert watched.errors == []
    context.close()


def test_a_page_below_a_proxys_path_works(browser, world, tmp_path):
    shell = world.shell(tmp_path)
    with running(shell, "--base-path", "/user/me/proxy/1/") as client:
        context = browser.new_context()
        watched = Watched(context, client.url)
        tab = watched.open()
        assert "/user/me/proxy/1/" in tab.url
        choose_bucket(tab, folder="faces")
        make_plan(tab)
        fetch(tab)
        watched.check()
        context.close()
