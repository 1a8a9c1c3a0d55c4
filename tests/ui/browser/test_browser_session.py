"""A newcomer's session in a real browser: from an empty folder to a map on the screen."""

import re

import numpy as np
import pytest

from tests.ui.browser.browser_world import (
    HOSTILE,
    Watched,
    choose_bucket,
    drawn,
    fetch,
    look_at,
    make_plan,
    picture_of,
    until_seen,
    value_of,
)

pytestmark = pytest.mark.slow


def test_from_an_empty_folder_to_a_map_on_the_screen(watched, shell, tmp_path):
    tab = watched.open()
    assert "token" not in tab.url
    choose_bucket(tab, folder="faces")

    value_of(tab, "Subjects", "01").click()
    value_of(tab, "Suffixes", "statmap").click()
    value_of(tab, "Suffixes", "T1w").click()
    assert tab.locator(".sum-files").inner_text() == "2 files"
    command = tab.get_by_role("tabpanel")
    command.get_by_text("--suffix").wait_for()
    said = command.inner_text()
    assert re.search(r"neurofetch get s3://study/faces --data-dir \S+/faces", said)
    assert "--subject 01" in said
    tab.get_by_role("tab", name="Python").click()
    assert "neurofetch.get(" in command.inner_text()

    make_plan(tab)
    groups = tab.get_by_role("region", name="Groups of files")
    assert "statmap" in groups.inner_text()
    assert "Free on this disk" in tab.locator(".figures").inner_text()
    fetch(tab)
    assert {path.name for path in (shell.home / "faces/sub-01").rglob("*.nii.gz")} == {
        "sub-01_T1w.nii.gz",
        "sub-01_task-faces_stat-t_statmap.nii.gz",
    }

    tab.get_by_role("link", name="Look at what came").click()
    look_at(tab, "statmap")
    drawn(tab)
    assert "Faces and houses" in tab.locator(".stage-head").inner_text()
    pixels = picture_of(tab, tmp_path / "map.png")
    assert pixels.std() > 15, "the picture is nearly of one colour"
    red, _, blue = (pixels[..., channel] for channel in range(3))
    assert np.mean(red - blue > 60) > 0.001, "no warm colours: where is the map?"
    assert tab.get_by_label("Drawn on").locator("option:checked").inner_text().startswith("T1w")
    assert " t" in tab.get_by_label("Under the crosshair").inner_text()


def test_threshold_colours_opacity_regions_and_views_change_the_picture(watched, shell, tmp_path):
    assert shell("neurofetch get s3://study/faces --data-dir faces --subject 01 --quiet").code == 0
    tab = watched.open("#/look/d1?folder=faces")
    look_at(tab, "statmap")
    drawn(tab)
    before = picture_of(tab, tmp_path / "a.png")

    def changed(name):
        nonlocal before
        path = tmp_path / f"{name}.png"
        until_seen(tab, lambda: np.mean(np.abs(picture_of(tab, path) - before)) > 0.05, name)
        tab.wait_for_timeout(300)
        before = picture_of(tab, path)

    tab.get_by_label("Threshold").fill("0.8")
    changed("threshold")
    names = tab.get_by_label("Colours").locator("option").all_inner_texts()
    assert names[0] == "black, red, yellow"
    assert not {"kry", "redyell", "blue2red"} & set(names), "what the viewer calls them"
    tab.get_by_label("Colours").select_option("viridis")
    changed("colours")
    tab.get_by_label("Opacity").fill("0.3")
    changed("opacity")
    tab.get_by_role("checkbox", name="active").check()
    changed("regions")
    tab.get_by_role("radio", name="Axial").check()
    changed("view")


def test_a_time_series_shows_one_frame_and_the_course_under_the_crosshair(watched, shell, tmp_path):
    assert shell("neurofetch get s3://study/faces --data-dir faces --subject 01 --quiet").code == 0
    tab = watched.open("#/look/d1?folder=faces")
    look_at(tab, "bold · task faces · sub-01")
    drawn(tab)
    chart = tab.get_by_role("img", name="Time course of voxel")
    chart.wait_for()
    first = chart.get_attribute("aria-label")
    assert "40 values" in first
    assert tab.locator(".course-line").get_attribute("d").count("L") == 39
    before = picture_of(tab, tmp_path / "first.png")
    with tab.expect_response(re.compile("frame=7")):
        tab.get_by_label("Frame").fill("7")
    tab.get_by_text("8 of 40").wait_for()
    until_seen(tab, lambda: np.any(picture_of(tab, tmp_path / "eighth.png") != before))
    tab.locator("canvas").focus()
    tab.keyboard.press("ArrowRight")
    until_seen(tab, lambda: tab.locator(".course svg").get_attribute("aria-label") != first)


def test_tables_and_texts_are_shown_and_long_ones_only_in_part(watched, shell):
    assert shell("neurofetch get s3://study/faces --data-dir faces --subject 01 --quiet").code == 0
    tab = watched.open("#/look/d1?folder=faces")
    look_at(tab, "events")
    table = tab.get_by_role("table", name="sub-01_task-faces_events.tsv")
    table.wait_for()
    assert table.get_attribute("aria-rowcount") == "401"
    assert table.get_by_role("row").count() < 80
    tab.locator(".table-scroll").evaluate("one => one.scrollTop = one.scrollHeight")
    table.get_by_text("4987.5").wait_for()
    look_at(tab, "README")
    tab.locator("pre.text").wait_for()
    assert "Faces, houses, and rest." in tab.locator("pre.text").inner_text()


def test_html_in_names_and_files_is_shown_as_text(watched):
    tab = watched.open()
    choose_bucket(tab, folder="faces")
    row = tab.get_by_role("cell", name=HOSTILE)
    assert row.count() == 1
    value_of(tab, "Subjects", "01").click()
    make_plan(tab)
    fetch(tab)
    tab.get_by_role("link", name="Look at what came").click()
    look_at(tab, "onerror")
    tab.locator("pre.text").wait_for()
    assert "<script>alert(1)</script>" in tab.locator("pre.text").inner_text()
    assert tab.locator("img, main script").count() == 0


def test_a_reload_keeps_the_choice_the_plan_and_the_file_that_is_looked_at(watched, shell):
    assert shell("neurofetch get s3://study/faces --data-dir faces --subject 01 --quiet").code == 0
    tab = watched.open()
    choose_bucket(tab, folder="faces")
    value_of(tab, "Subjects", "02").click()
    size = tab.locator(".sum").inner_text()
    tab.reload()
    tab.locator(".sum").wait_for()
    assert value_of(tab, "Subjects", "02").get_attribute("aria-selected") == "true"
    assert tab.locator(".sum").inner_text() == size
    make_plan(tab)
    figures = tab.locator(".figures").inner_text()
    tab.reload()
    tab.get_by_role("button", name="Fetch ").wait_for()
    assert tab.locator(".figures").inner_text() == figures
    tab.goto(f"{watched.origin}/#/look/d1?folder=faces")
    look_at(tab, "README")
    tab.locator("pre.text").wait_for()
    tab.reload()
    tab.locator("pre.text").wait_for()


def test_an_error_says_what_happened_and_what_can_be_done(watched):
    tab = watched.open()
    tab.get_by_role("radio", name="OpenNeuro").check()
    tab.get_by_role("textbox", name="Data set").fill("ds999999")
    tab.get_by_role("button", name="List its files").click()
    problem = tab.get_by_role("alert")
    problem.wait_for()
    assert "ds999999" in problem.inner_text()
    problem.get_by_role("link", name="Choose a source").click()
    tab.get_by_role("heading", level=1, name="What would you like to fetch?").wait_for()


def test_two_tabs_show_the_same(context, client):
    first, second = (Watched(context, client.url) for _ in range(2))
    one, other = first.open(), second.open("#/runs")
    choose_bucket(one, folder="faces")
    value_of(one, "Subjects", "03").click()
    make_plan(one)
    other.get_by_role("link", name="Plan: s3://study/faces").wait_for()
    fetch(one)
    other.get_by_role("link", name="Fetch: s3://study/faces").get_by_text("done").wait_for()
    first.check()
    second.check()
