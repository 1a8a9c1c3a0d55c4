"""Looking at what is no plain map: surfaces, tables, labels, texts, files that are damaged."""

from urllib.parse import urlencode

import numpy as np
import pytest

from tests.ui.browser.browser_world import drawn, picture_of, until_seen
from tests.ui.browser.surface_files import mesh, write

pytestmark = pytest.mark.slow

VALUES = "sub-01/func/sub-01_task-faces_hemi-L"


@pytest.fixture
def study(shell):
    root = shell.home / "study"
    root.mkdir()
    for name, radius in (("pial", 50), ("inflated", 60)):
        points, triangles = mesh(radius)
        if name == "pial":
            points = points * np.float32((1, 1, 0.5))  # told apart on the screen
        write(
            root / f"sub-01/anat/sub-01_hemi-L_{name}.surf.gii",
            (points, "NIFTI_INTENT_POINTSET"),
            (triangles, "NIFTI_INTENT_TRIANGLE"),
        )
    signed = (6 * np.sin(points[:, 0] / 12)).astype("f4")
    frames = [(signed * factor, "NIFTI_INTENT_NONE") for factor in (1, 0, -1)]
    write(root / f"{VALUES}_stat-t_statmap.func.gii", (signed, "NIFTI_INTENT_TTEST"))
    write(root / f"{VALUES}_bold.func.gii", *[(np.float32(one), kind) for one, kind in frames])
    write(root / "sub-01/func/sub-01_hemi-R_bold.func.gii", (signed[:100], "NIFTI_INTENT_NONE"))
    (root / "sub-01/anat/sub-01_hemi-R_pial.surf.gii").write_text("<?xml?><GIFTI><oops")
    return root


@pytest.fixture
def look(watched):
    """Opens a file of the study, as its address does."""

    def opened(path):
        tab = watched.open("#/look/d1?" + urlencode({"folder": "study", "path": f"study/{path}"}))
        tab.locator(
            "canvas[data-ready=yes], .stage .problem, .table, .stage-body .hint, pre.text"
        ).first.wait_for()
        return tab

    return opened


def colours(tab, path):
    """How many of the pixels are warm, and how many are cold."""
    red, green, blue = (picture_of(tab, path)[..., channel] for channel in range(3))
    return np.mean(red - blue > 60), np.mean((np.maximum(blue, green) - red) > 60)


def test_values_on_a_surface_are_drawn_on_a_mesh_that_they_fit(study, look, tmp_path):
    tab = look(f"{VALUES}_stat-t_statmap.func.gii")
    drawn(tab)
    warm, cold = colours(tab, tmp_path / "a.png")
    assert warm > 0.02
    assert cold > 0.02
    assert tab.get_by_label("Drawn on").locator("option").all_inner_texts() == ["inflated", "pial"]
    tab.get_by_label("Threshold").press("End")
    until_seen(tab, lambda: colours(tab, tmp_path / "b.png")[0] < warm / 2)
    tab.get_by_label("Drawn on").select_option("pial")
    tab.get_by_label("Threshold").press("Home")
    until_seen(tab, lambda: colours(tab, tmp_path / "c.png")[0] > 0.02)
    assert tab.locator(".problem").count() == 0


def test_of_two_meshes_chosen_in_a_row_the_last_one_stays(study, look, tmp_path):
    tab = look(f"{VALUES}_stat-t_statmap.func.gii")
    drawn(tab)
    before = picture_of(tab, tmp_path / "a.png")
    held = []

    def hold(route):
        held.append(route)
        if len(held) > 1:
            route.continue_()

    tab.route("**/surface", hold)
    tab.get_by_label("Drawn on").select_option("pial")
    until_seen(tab, lambda: len(held) == 1)
    with tab.expect_response("**/surface"):
        tab.get_by_label("Drawn on").select_option("inflated")
    with tab.expect_response("**/surface"):
        held[0].continue_()
    tab.wait_for_timeout(1_000)
    after = picture_of(tab, tmp_path / "b.png")
    assert np.mean(np.abs(after - before)) < 0.5


def test_a_series_on_a_surface_goes_on_by_keyboard_and_the_surface_turns(study, look, tmp_path):
    tab = look(f"{VALUES}_bold.func.gii")
    drawn(tab)
    first = colours(tab, tmp_path / "a.png")
    frame = tab.get_by_label("Frame")
    frame.press("ArrowRight")
    tab.get_by_text("2 of 3").wait_for()
    until_seen(tab, lambda: sum(colours(tab, tmp_path / "b.png")) < sum(first) / 2)
    frame.press("End")
    until_seen(tab, lambda: sum(colours(tab, tmp_path / "c.png")) > sum(first) / 2)
    before = picture_of(tab, tmp_path / "c.png")
    tab.locator("canvas").press("ArrowRight")
    until_seen(tab, lambda: np.mean(np.abs(picture_of(tab, tmp_path / "d.png") - before)) > 0.05)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("sub-01/func/sub-01_hemi-R_bold.func.gii", "no mesh of as many vertices is here"),
        ("sub-01/anat/sub-01_hemi-R_pial.surf.gii", "neurofetch verify"),
    ],
)
def test_a_surface_that_cannot_be_drawn_says_why_and_what_to_do(study, look, path, said):
    text = look(path).locator(".stage .problem").inner_text()
    assert said in text
    assert "report" not in text


ODD = {
    "wide.tsv": "\t".join(f"a_comp_cor_{n:03}" for n in range(300))
    + "\n"
    + "1.5\t" * 299
    + "1.5\n",
    "one.tsv": "onset\n1\n",
    "ragged.tsv": "onset\tnote\n1\t" + "x" * 500 + "\n2\t<b>bold</b>\n3\n4\ta\tb\tc\n",
    "names.tsv": "onset\ttrial_type\n" + "1.0\tface\n" * 400,
    "header.tsv": "onset\tduration\n",
    "empty.tsv": "",
}


@pytest.mark.parametrize("name", ODD)
def test_a_table_of_any_shape_has_even_cells_and_one_thing_that_scrolls(study, look, name):
    (study / name).write_text(ODD[name])
    tab = look(name)
    if not ODD[name]:
        tab.get_by_text("This file is empty.").wait_for()
        return
    box = tab.get_by_role("region", name=f"Table {name}").bounding_box()
    rows = ODD[name].count("\n")
    assert box["height"] < rows * 32 + 12, "there is more room than rows"
    assert box["x"] + box["width"] <= 1280
    lefts = "(rows) => rows.map((row) => [...row.children].map((one) => one.offsetLeft))"
    places = tab.locator(".table-row").evaluate_all(lefts)
    assert all(one == places[0] for one in places), "the cells are not below their heads"
    seen = "(all) => all.map((one) => getComputedStyle(one).borderLeftWidth)"
    assert set(tab.locator(".table-row > *").evaluate_all(seen)) == {"0px"}
    inside = (
        "(all) => all.filter((one) => /auto|scroll/.test(getComputedStyle(one).overflowY)).length"
    )
    assert tab.locator(".table-scroll *").evaluate_all(inside) == 0


def test_the_last_of_a_million_rows_is_reached_by_keyboard(study, look):
    rows = 1_000_000
    (study / "million.csv").write_text("n,v\n" + "".join(f"{n},{n % 7}\n" for n in range(rows)))
    tab = look("million.csv")
    table = tab.locator(".table-scroll")
    table.focus()
    tab.keyboard.press("End")
    tab.get_by_role("cell", name="999999", exact=True).wait_for()
    assert table.evaluate("one => one.scrollHeight") < 17e6, "Firefox makes nothing so tall"
    tab.keyboard.press("PageUp")

    def numbers():
        shown = tab.locator(".virtual .table-row").all_inner_texts()
        return [int(row.split()[0]) for row in shown if row.split()]

    until_seen(tab, lambda: numbers() and numbers()[-1] < rows - 1)
    until_seen(tab, lambda: (found := numbers()) == list(range(found[0], found[0] + len(found))))


WRITTEN = [
    ('{"a":{"b":[1,2,3]},"n":1.0}', ['"b": [1, 2, 3]', '"n": 1.0']),
    ('{"big":12345678901234567890}', ['"big": 12345678901234567890']),
    ('{"a":"<b>, [ {\\" }"}', ['"a": "<b>, [ {\\" }"']),
    ('{"a": ', ['{"a":']),
    ("", ["This file is empty."]),
    ("[" * 200_000 + "]" * 200_000, ["[" * 200_000 + "]" * 200_000]),  # with spaces: 40 GB
]


@pytest.mark.parametrize(("text", "lines"), WRITTEN, ids=range(len(WRITTEN)))
def test_json_on_one_line_is_shown_in_lines_with_its_own_numbers(study, look, text, lines):
    (study / "a.json").write_text(text)
    shown = look("a.json").locator("pre.text").inner_text()
    found = [line.strip().rstrip(",") for line in shown.splitlines()]
    assert set(lines) <= set(found)
