"""States between the steps: terms to accept, a catalogue to fill, a tab without its key, phones."""

import os
import re
import signal
from urllib.parse import urlencode

import nibabel
import numpy as np
import pytest

from testbed._line import Line
from tests.ui.browser.browser_world import (
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
from tests.ui.test_page_session import until
from tests.ui_world import page

pytestmark = pytest.mark.slow

PHONE = {"width": 375, "height": 812}


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([3.0, 3.0, 3.0, 1.0])), path)


def list_of(tab, source, *, field, text):
    tab.get_by_role("radio", name=source).check()
    tab.get_by_role("textbox", name=field).fill(text)
    tab.get_by_role("button", name="List its files").click()


def begin_runs(tab):
    """Choose the runs of the task, of all subjects, and begin to fetch them."""
    choose_bucket(tab, folder="faces")
    value_of(tab, "Suffixes", "bold").click()
    make_plan(tab)
    tab.get_by_role("button", name="Fetch ").click()


def test_terms_that_are_not_accepted_yet_are_asked_for_and_nothing_is_called_failed(watched, shell):
    tab = watched.open()
    tab.get_by_role("radio", name="LAION-fMRI").check()
    tab.get_by_role("button", name="List its files").click()
    value_of(tab, "Extensions", ".json").click()
    make_plan(tab)
    tab.get_by_role("button", name="Fetch ").click()
    terms = tab.get_by_role("region", name="Licence")
    terms.wait_for()
    assert tab.locator(".title .chip").inner_text() == "waits for you"
    assert tab.locator(".progress-box").is_hidden()
    assert "failed" not in tab.locator("main").inner_text().lower()
    accept = terms.get_by_role("button", name="Accept and fetch")
    assert accept.is_disabled()
    terms.get_by_role("checkbox").check()
    accept.focus()
    tab.keyboard.press("Enter")
    tab.locator(".chip", has_text="done").wait_for()
    assert list((shell.home / "laion-fmri").rglob("*.json"))
    inside = "document.activeElement !== document.body"
    assert tab.evaluate(inside), "whoever uses the keyboard lost their place"


def test_from_words_to_a_map_of_neurovault(watched, shell, tmp_path):
    tab = watched.open()
    list_of(tab, "NeuroVault", field="Search for", text="working memory")
    tab.get_by_role("heading", name="The catalogue of NeuroVault is not here yet").wait_for()
    assert tab.get_by_role("alert").count() == 0, "nothing has failed"
    tab.get_by_role("button", name="Ask NeuroVault for its newest catalogue").click()
    tab.get_by_role("button", name="Make the plan").wait_for(timeout=60_000)
    value_of(tab, "Collections", "457").click()
    assert tab.locator(".sum-files").inner_text() == "4 files"
    command = tab.get_by_role("tabpanel")
    command.get_by_text(re.compile(r"--image(\s+\d+){4}\s+--")).wait_for()
    make_plan(tab)
    fetch(tab)
    assert {path.parent.name for path in shell.home.rglob("image_*.nii.gz")} == {"collection_457"}
    assert (shell.home / "neurovault/collection_457").is_dir(), "where nilearn looks for it"
    tab.get_by_role("link", name="Look at what came").click()
    assert tab.get_by_label("Data set").input_value() == "neurovault"
    look_at(tab, re.compile(r"^image_\d+\.nii"))
    drawn(tab)
    pixels = picture_of(tab, tmp_path / "map.png")
    assert pixels.std() > 10, "the picture is nearly of one colour"
    assert " t" in tab.get_by_label("Under the crosshair").inner_text()


@pytest.mark.parametrize("text", ["xyzzy", "<b>bold</b>", "%' OR 1=1", "日本語 ĳ"])
def test_words_that_no_image_has_are_told_with_a_way_on(watched, shell, text):
    assert shell("neurofetch neurovault search --update memory --json").code == 0
    tab = watched.open()
    list_of(tab, "NeuroVault", field="Search for", text=text)
    told = tab.get_by_text("None of the 40 images in the catalogue matches.")
    told.wait_for()
    assert text in tab.get_by_role("heading", level=1).inner_text()
    assert tab.title() == f"NeuroVault: {text} · neurofetch"
    tab.get_by_role("button", name="Ask again").dblclick()
    told.wait_for()
    tab.get_by_role("link", name="Choose a source").click()
    tab.get_by_role("radio", name="NeuroVault").wait_for()


@pytest.mark.parametrize("place", ["", "#/runs", "#/look/d1", "#/choose/c1"])
def test_a_tab_without_its_key_says_what_to_open(context, client, place):
    first, second = (Watched(context, client.url) for _ in range(2))
    first.open()
    second.tab.goto(f"{second.origin}/{place}")
    second.tab.get_by_role("heading", level=1, name="This page is locked").wait_for()
    assert "Open the whole address" in second.tab.locator("main").inner_text()
    assert second.tab.get_by_role("heading", level=1).count() == 1
    first.check()
    assert second.strangers == []


def test_the_heading_of_a_plan_keeps_the_focus_and_names_the_tab(watched):
    tab = watched.open()
    choose_bucket(tab, folder="faces")
    assert tab.title() == "s3://study/faces · neurofetch"
    make_plan(tab)
    focused = "document.activeElement.tagName + ' ' + document.activeElement.isConnected"
    assert tab.evaluate(focused) == "H1 true"
    assert tab.title() == "Plan: s3://study/faces · neurofetch"
    fetch(tab)
    assert tab.title() == "Fetch: s3://study/faces · neurofetch"


def test_on_a_phone_the_command_of_a_choice_is_in_reach(browser, client):
    context = browser.new_context(viewport=PHONE, permissions=["clipboard-read", "clipboard-write"])
    watched = Watched(context, client.url)
    tab = watched.open()
    choose_bucket(tab, folder="faces")
    value_of(tab, "Subjects", "02").click()
    command = tab.get_by_role("tabpanel")
    command.get_by_text("--subject 02").wait_for()
    tab.get_by_role("tab", name="Python").click()
    assert "neurofetch.get(" in command.inner_text()
    tab.get_by_role("tab", name="Command").click()
    tab.get_by_role("button", name="Copy", exact=True).click()
    tab.get_by_role("button", name="Copied").wait_for()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("neurofetch get s3://study/faces --data-dir ")
    assert "\n" not in copied
    watched.check()
    context.close()


def test_on_a_phone_a_file_that_is_chosen_comes_into_sight(browser, client, shell):
    assert shell("neurofetch get s3://study/faces --data-dir faces --subject 01 --quiet").code == 0
    context = browser.new_context(viewport=PHONE)
    watched = Watched(context, client.url)
    tab = watched.open("#/look/d1?folder=faces")
    look_at(tab, "events")
    tab.locator(".table").wait_for()
    top = tab.locator(".stage").bounding_box()["y"]
    assert 0 <= top < PHONE["height"] / 2
    watched.check()
    context.close()


GRID = (16, 18, 14)
WITHOUT = {
    "nan": (np.full(GRID, np.nan, "f4"), "no value in any voxel"),
    "zeros": (np.zeros(GRID, "f4"), ""),
    "inf": (np.where(np.indices(GRID)[0] % 2, np.inf, 1.0).astype("f4"), ""),
    "one": (np.pad(np.full((1, 1, 1), 7, "f4"), ((8, 7), (9, 8), (7, 6))), ""),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_map_with_hardly_a_value_is_drawn_without_an_error(watched, shell, name):
    values, said = WITHOUT[name]
    path = f"study/sub-01/func/sub-01_desc-{name}_stat-z_statmap.nii.gz"
    save(shell.home / path, values)
    tab = watched.open("#/look/d1?" + urlencode({"folder": "study", "path": path}))
    drawn(tab)
    assert tab.locator(".stage .problem").count() == 0
    if said:
        tab.get_by_text(said).wait_for()


def test_the_parts_of_an_atlas_have_colours_of_their_own_and_their_numbers(
    watched, shell, tmp_path
):
    stem = shell.home / "study/sub-01/func/sub-01_space-MNI_"
    x = np.indices(GRID)[0]
    inside = np.pad(np.ones([n - 4 for n in GRID]), 2)
    save(stem.with_name(stem.name + "stat-z_statmap.nii.gz"), (inside * 4).astype("f4"))
    save(stem.with_name(stem.name + "dseg.nii.gz"), (inside * (1 + x // 4)).astype("i2"))
    path = "study/sub-01/func/sub-01_space-MNI_stat-z_statmap.nii.gz"
    tab = watched.open("#/look/d1?" + urlencode({"folder": "study", "path": path}))
    drawn(tab)
    plain = picture_of(tab, tmp_path / "a.png")
    tab.get_by_role("checkbox", name="dseg").check()

    def kinds(pixels):
        return len({tuple(one) for one in (pixels // 32).reshape(-1, 3)})

    until_seen(tab, lambda: kinds(picture_of(tab, tmp_path / "b.png")) > kinds(plain) + 1)
    where = tab.get_by_label("Under the crosshair")
    until_seen(tab, lambda: re.search(r"dseg\s+\d", where.inner_text()))


def test_a_program_that_hangs_is_told_and_the_page_goes_on_when_it_answers(context, shell):
    with page(shell) as (process, client):
        watched = Watched(context, client.url)
        watched.tab.clock.install()
        tab = watched.open()
        tab.locator("#connection-text", has_text="connected").wait_for()
        os.kill(process.pid, signal.SIGSTOP)
        try:
            tab.clock.fast_forward(60_000)
            tab.get_by_text("The program behind this page does not answer").wait_for()
        finally:
            os.kill(process.pid, signal.SIGCONT)
        until(lambda: (tab.clock.run_for(1_000), tab.locator("#banner").inner_text() == "")[1])
        assert tab.locator("#connection-text").inner_text() == "connected"
        watched.check()


def test_a_program_that_ends_in_a_run_and_one_that_goes_on(browser, world, shell):
    """The page says what to do; the new one finds what came, and fetches the rest alone."""
    world.s3.fault(key="*_bold.nii.gz", method="GET", rate=100_000, times=None)
    context = browser.new_context()
    try:
        with page(shell) as (process, client):
            watched = Watched(context, client.url)
            tab = watched.open()
            begin_runs(tab)
            partly = re.compile(r"[1-9]\d* of")
            tab.locator(".progress-box .hint", has_text=partly).wait_for()
            until((shell.home / "faces/README").exists)
            process.terminate()
            process.wait(30)
            tab.locator("#banner").get_by_text("start it again").wait_for()
    finally:
        world.s3.clear_faults()
    before = len(world.s3.requests("GET", "*README"))
    with page(shell) as (_, client):
        tab.goto(client.url)
        choose_bucket(tab, folder="faces")
        value_of(tab, "Suffixes", "bold").click()
        tab.locator(".legend-here").wait_for()
        make_plan(tab)
        tab.get_by_role("button", name="Fetch ").click()
        tab.locator(".chip", has_text="done").wait_for()
        assert tab.get_by_text("was here").count() > 0
    assert len(list((shell.home / "faces").rglob("*_bold.nii.gz"))) == 3
    assert len(world.s3.requests("GET", "*README")) == before, "what is here came again"
    context.close()


def test_a_source_that_goes_away_in_a_run_is_told_and_the_run_goes_on(watched, world, shell):
    world.s3.fault(key="*_bold.nii.gz", method="GET", status=503, times=4)
    tab = watched.open()
    begin_runs(tab)
    tab.locator(".chip", has_text="done").wait_for(timeout=90_000)
    assert len(list((shell.home / "faces").rglob("*_bold.nii.gz"))) == 3


def test_a_plan_says_of_withheld_files_why_and_never_that_nothing_is_to_fetch_of_them(watched):
    tab = watched.open()
    tab.get_by_role("radio", name="LAION-fMRI").check()
    tab.get_by_role("button", name="List its files").click()
    tab.get_by_role("button", name="Make the plan").wait_for()
    make_plan(tab)
    why = tab.locator(".withheld-why").all_inner_texts()
    assert len(why) == 1
    assert re.fullmatch(r"\d+ files withheld: ses-31: held out by .*", why[0])
    rows = tab.locator("table.groups tbody tr").all_inner_texts()
    withheld = [row for row in rows if "withheld: " in row]
    assert withheld
    assert all(row.endswith("withheld") for row in withheld)


def test_a_file_that_cannot_come_is_named_and_going_on_brings_it(watched, world, shell):
    world.s3.fault(key="*sub-02_task-faces_bold.nii.gz", method="GET", status=404, times=None)
    tab = watched.open()
    begin_runs(tab)
    tab.locator(".title .chip", has_text="failed").wait_for(timeout=90_000)
    failed = tab.locator(".failures, .problem").first
    told = tab.locator("main").inner_text()
    assert "sub-02_task-faces_bold.nii.gz" in told
    assert "0 bytes" not in told, "that is not the size of the file"
    advice = tab.locator(".problem-advice").inner_text()
    assert told.count(advice) == 1, "said twice"
    assert failed.is_visible()
    world.s3.clear_faults()
    tab.get_by_role("button", name="Try again").dblclick()
    tab.locator(".title .chip", has_text="done").wait_for(timeout=90_000)
    assert len(list((shell.home / "faces").rglob("*_bold.nii.gz"))) == 3
    assert tab.locator(".problem").count() == 0


NAMES = {
    "turned": "sub-01/anat/sub-01_desc-\u202egpj_T1w.json",
    "two-lines": "sub-01/a\nb.txt",
    "bell": "sub-01/a\x07\x1b[2Jb.txt",
    "script": "sub-01/func/'\"><script>alert(1)</script>.json",
    "address": "sub-01/func/a b+c%20d&e=f#g?h.json",
    "option": "--help.json",
    "prototype": "__proto__/constructor.json",
    "decomposed": "sub-e\u0301/anat/e\u0301.txt",
    "long": "sub-01/anat/" + "x" * 200 + ".json",
    "wide": "sub-01/" + "日本" * 30 + ".txt",
}


def test_odd_names_are_shown_as_they_are_and_can_be_chosen_fetched_and_looked_at(watched, world):
    """No name turns the direction of writing, breaks a line or is cut where it tells the most."""
    for path in NAMES.values():
        world.s3.put(f"odd/{path}", b'{"here": true}', "study")
    tab = watched.open()
    choose_bucket(tab, "s3://study/odd", folder="odd")

    def plain():
        commands_apart = (
            "(main) => { const copy = main.cloneNode(true);"
            " for (const pre of copy.querySelectorAll('pre')) pre.remove(); return copy.innerText }"
        )
        text = tab.locator("main").evaluate(commands_apart)
        assert not re.search("[\u202e\x07\x1b]", text)
        wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0

    plain()
    value_of(tab, "Suffixes", "x" * 200).click()
    assert tab.locator(".sum-files").inner_text() == "1 file"
    value_of(tab, "Suffixes", "x" * 200).click()
    make_plan(tab)
    plain()
    fetch(tab)
    tab.locator(".files-panel .file:not(.file-head)").first.wait_for()
    plain()
    tab.get_by_role("link", name="Look at what came").click()
    rows = tab.locator(".shelf [role=option]")
    rows.first.wait_for()
    plain()
    for n in range(len(NAMES)):
        tab.get_by_role("listbox", name="Files that are here").press("Home")
        for _ in range(n):
            tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
        tab.reload()
        tab.locator("pre.text").wait_for()
        assert '"here": true' in tab.locator("pre.text").inner_text()
        plain()
    for path in NAMES.values():
        world.s3.delete(f"odd/{path}", "study")


def test_a_network_that_goes_away_in_a_run_is_told_and_the_run_goes_on_by_itself(
    context, world, shell
):
    # so slow that the run is under way also where the browser is late to see it
    with Line(world.s3.port, rate=60_000) as line, page(shell, AWS_ENDPOINT_URL=line.url) as made:
        watched = Watched(context, made[1].url)
        tab = watched.open()
        choose_bucket(tab, folder="faces")
        make_plan(tab)
        tab.get_by_role("button", name="Fetch ").click()
        tab.locator(".progress-percent", has_text=re.compile("[1-9]")).wait_for()
        line.darken()
        tab.get_by_text("Nothing comes from").wait_for(timeout=90_000)
        assert "running" in tab.locator(".title .chip").inner_text()
        line.rate = None
        line.lighten()
        tab.locator(".title .chip", has_text="done").wait_for(timeout=90_000)
        assert len(list((shell.home / "faces").rglob("*_bold.nii.gz"))) == 3
        watched.check()


def test_double_clicks_do_a_thing_once_and_a_run_outlives_every_way_to_leave_it(
    watched, world, client
):
    tab = watched.open()
    tab.get_by_role("radio", name="A bucket").check()
    tab.get_by_role("textbox", name="Address").fill("s3://study/faces")
    tab.get_by_role("combobox", name="Folder").fill("faces")
    tab.get_by_role("button", name="List its files").dblclick()
    tab.get_by_role("button", name="Make the plan").dblclick()
    tab.get_by_role("button", name="Fetch ").wait_for()
    world.s3.fault(key="*_bold.nii.gz", method="GET", rate=50_000, times=None)
    chip = tab.locator(".title .chip")
    try:
        tab.get_by_role("button", name="Fetch ").dblclick()
        tab.get_by_role("button", name="Pause").wait_for()
        start = client.enter().get("api/start").json
        assert len(start["catalogues"]) == 1
        assert sorted(job["kind"] for job in start["jobs"]) == ["plan", "run"]
        for leave in (tab.reload, tab.go_back, tab.go_forward):
            leave()
        tab.get_by_role("button", name="Pause").dblclick()
        chip.get_by_text("paused").wait_for()
        tab.reload()
        tab.get_by_role("button", name="Go on").dblclick()
        tab.get_by_role("button", name="Stop").click()
        tab.keyboard.press("Escape")
        tab.get_by_role("dialog").wait_for(state="detached")
        assert tab.evaluate("document.activeElement.textContent") == "Stop"
        assert chip.inner_text() == "running"
        tab.get_by_role("button", name="Stop").click()
        tab.get_by_role("dialog").get_by_role("button", name="Stop").click()
        chip.get_by_text("stopped").wait_for()
    finally:
        world.s3.clear_faults()
    tab.get_by_role("button", name="Go on").click()
    chip.get_by_text("done").wait_for()


def test_a_file_that_is_gone_meanwhile_is_told_and_the_list_is_loaded_again(watched, shell):
    assert shell("neurofetch get s3://study/faces --data-dir faces --subject 01 --quiet").code == 0
    tab = watched.open("#/look/d1?folder=faces")
    look_at(tab, "events")
    tab.locator(".table").wait_for()
    (shell.home / "faces/README").unlink()
    look_at(tab, "README")
    tab.locator(".stage .problem").get_by_text("not there any more").wait_for()
    tab.get_by_role("button", name="Load the list again").click()
    tab.get_by_text("Choose a file").wait_for()
    assert tab.get_by_role("option", name="README").count() == 0
    assert tab.evaluate("document.activeElement.getAttribute('role')") == "listbox"
