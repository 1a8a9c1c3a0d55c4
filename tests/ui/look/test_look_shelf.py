"""What is in a directory is listed by ids; nothing outside of it can be reached."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

from neurofetch.ui.directories import Directories
from neurofetch.ui.look.shelf import Shelf
from tests.look_world import Page, save, series

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "README").write_text("secret")
    return root


@pytest.fixture
def page(root):
    return Page(root)


def put(root, path, content=b"{}"):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def text_of(page, item):
    return page.get(f"api/items/{item}/text")


# -- what is there -------------------------------------------------------------------------------

FUNC = "derivatives/glm/sub-01/ses-02/func/sub-01_ses-02_task-rest_space-T1w"


def test_files_are_listed_with_what_their_names_say(page, root):
    for path in (f"{FUNC}_stat-z_statmap.nii.gz", f"{FUNC}_desc-brain_mask.nii.gz"):
        put(root, path)
    put(root, "sub-02/func/sub-02_task-rest_events.tsv")
    put(root, "participants.tsv")
    shelf = page.shelf()
    told = shelf[f"{FUNC}_stat-z_statmap.nii.gz"]
    assert told["kind"] == "volume"
    assert told["entities"] == {
        "subject": "01", "session": "02", "task": "rest", "space": "T1w", "statistic": "z",
    }  # fmt: skip
    assert (told["space"], told["suffix"], told["datatype"]) == ("T1w", "statmap", "func")
    assert told["title"] == "statmap · task rest · space T1w · statistic z · sub-01 ses-02"
    assert (told["is_map"], told["is_mask"], told["bytes"]) == (True, False, 2)
    assert shelf[f"{FUNC}_desc-brain_mask.nii.gz"]["is_mask"]
    assert shelf["sub-02/func/sub-02_task-rest_events.tsv"]["kind"] == "table"
    assert shelf["participants.tsv"]["title"] == "participants.tsv"


KINDS = {
    "a.nii": "volume", "a.NII.GZ": "volume", "lh.func.gii": "surface", "a.tsv": "table",
    "a.csv": "table", "a_physio.tsv.gz": "table", "a.png": "picture", "a.JPG": "picture",
    "a.svg": "picture", "a.json": "text", "README": "text", "README.md": "text", "a.bval": "text",
    "CHANGES": "text",
}  # fmt: skip


def test_each_kind_is_known_by_its_name_and_nothing_else_is_shown(page, root):
    for name in [*KINDS, "a.html", "a.htm", "a.js", "a.xml", "a.pdf", "a.fif", "a.h5", "nii", "a"]:
        put(root, name)
    assert {path: one["kind"] for path, one in page.shelf().items()} == KINDS


HIDDEN = [
    ".neurofetch/receipts/a.json", ".laion_fmri/store/x.json", ".git/config.json", ".bidsignore",
    ".secret.json", "sub-01/.hidden/a.json", ".datalad/a.json", "a.json.part", "a.json~", "b.tmp",
    "._a.json",
]  # fmt: skip


def test_hidden_and_partial_files_and_state_folders_are_left_out(page, root):
    for name in HIDDEN:
        put(root, name)
    put(root, "a.json")
    assert list(page.shelf()) == ["a.json"]


def test_numbers_are_sorted_as_numbers(page, root):
    for number in (10, 2, 1):
        put(root, f"sub-{number}/a.json")
    assert list(page.shelf()) == ["sub-1/a.json", "sub-2/a.json", "sub-10/a.json"]


def test_a_folder_of_the_directory_is_listed_alone_with_the_same_ids(page, root):
    put(root, "ds1/a.json", b"{}")
    put(root, "ds2/b.json", b"{}")
    whole = page.shelf()
    assert page.shelf(folder="ds2") == {"ds2/b.json": whole["ds2/b.json"]}
    assert page.shelf(folder="ds3") == {}


def test_words_and_kinds_choose(page, root):
    for name in ("sub-01/a.json", "sub-01/b.tsv", "sub-02/a.json"):
        put(root, name)
    assert list(page.shelf(find="SUB-01 a")) == ["sub-01/a.json"]
    assert list(page.shelf(kind="table")) == ["sub-01/b.tsv"]


def test_a_directory_that_is_empty_or_not_made_yet_has_nothing(tmp_path):
    assert Page(tmp_path).shelf() == {}
    assert Page(tmp_path / "later").shelf() == {}


def test_a_walk_is_bounded_and_says_so(root):
    for number in range(30):
        put(root, f"sub-{number:02}/a.json")
    directories = Directories([root])
    few = Shelf(directories, files=40).listed("d1")
    assert 0 < len(few["items"]) < 30
    assert few["more"]
    assert not few["whole"]
    some = Shelf(directories, shown_at_once=7).listed("d1")
    assert (len(some["items"]), some["total"], some["more"], some["whole"]) == (7, 30, True, True)
    slow = Shelf(directories, seconds=0).listed("d1")
    assert slow["more"]
    all_of_it = Shelf(directories).listed("d1")
    assert (len(all_of_it["items"]), all_of_it["more"]) == (30, False)


def test_very_deep_folders_end(page, root):
    deep = root.joinpath(*["d"] * 60)
    deep.mkdir(parents=True)
    (deep / "a.json").write_text("{}")
    found = page.json("api/shelf", directory="d1")
    assert (found["items"], found["more"]) == ([], True)


def test_names_that_are_no_text_or_move_the_cursor_are_shown_and_open(page, root):
    name = b"caf\xe9\x1b[2J.json"
    with open(os.path.join(os.fsencode(root), name), "wb") as file:
        file.write(b"{}")
    (path,) = page.shelf()
    assert path.isprintable()
    assert page.of(path, "/text")["text"] == "{}"


# -- ids -----------------------------------------------------------------------------------------

GUESSES = [
    "f0", "f999", "f-1", "F1", "f1 ", "f1%00", "..", ".", "%2e%2e", "..%2fsecret.json", "f1\0",
    "secret.json", "a.json", "/etc/passwd", "~", "f" * 5000, "1", "f\u0661",
]  # fmt: skip


@pytest.mark.parametrize("what", ["", "/text", "/volume", "/picture", "/table", "/course"])
@pytest.mark.parametrize("guess", GUESSES)
def test_an_id_that_was_not_given_out_is_nothing(page, root, guess, what):
    put(root, "a.json")
    page.shelf()
    answer = page.get(f"api/items/{guess}{what}")
    assert answer.status == 404
    assert b"secret" not in answer.body.replace(guess[:40].encode(), b"")


@pytest.mark.parametrize("folder", ["..", ".", "../outside", "/etc", "a/b", "..\\x", ".git", "a\0"])
def test_a_folder_is_one_plain_name(page, folder):
    assert page.get("api/shelf", directory="d1", folder=folder).status == 400


@pytest.mark.parametrize("directory", ["", "d2", "../", "/", "d1/.."])
def test_a_directory_that_was_not_opened_is_nothing(page, directory):
    assert page.get("api/shelf", directory=directory).status == 404


# -- links and what is no file ---------------------------------------------------------------------


def test_links_that_lead_outside_are_not_shown(page, root, tmp_path):
    put(root, "sub-01/a.json")
    (root / "out.json").symlink_to(tmp_path / "secret.json")
    (root / "up.json").symlink_to("../secret.json")
    (root / "sub-01" / "far.json").symlink_to("../../secret.json")
    (root / "in-and-out.json").symlink_to("sub-01/../../secret.json")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "whole").symlink_to("sub-01")
    (root / "absolute.json").symlink_to(root / "sub-01" / "a.json")
    (root / "round.json").symlink_to("round.json")
    (root / "gone.json").symlink_to("nothing.json")
    assert list(page.shelf()) == ["sub-01/a.json"]


def test_a_link_to_content_of_git_annex_is_what_it_leads_to(page, root):
    put(root, ".git/annex/objects/ab/KEY/KEY", b'{"annexed": 1}')
    put(root, ".git/config", b"token = secret")
    put(root, ".neurofetch/source.json", b"state")
    (root / "sub-01").mkdir()
    (root / "sub-01" / "a.json").symlink_to("../.git/annex/objects/ab/KEY/KEY")
    (root / "b.json").symlink_to(".git/config")
    (root / "c.json").symlink_to(".neurofetch/source.json")
    (root / "d.json").symlink_to(".git/annex/objects/../../config")
    assert list(page.shelf()) == ["sub-01/a.json"]
    assert page.of("sub-01/a.json", "/text")["text"] == '{"annexed": 1}'


def test_a_link_through_a_link_leads_no_further(page, root, tmp_path):
    put(root, "real/a.json")
    (root / "hop").symlink_to(tmp_path)
    (root / "x.json").symlink_to("hop/secret.json")
    shelf = page.shelf()
    if "x.json" in shelf:
        assert page.get(f"api/items/{shelf['x.json']['item']}/text").status == 404


SWAPS = {
    "a link": lambda path, outside: path.symlink_to(outside / "README"),
    "a link in steps": lambda path, _: path.symlink_to("../outside/README"),
    "nothing": lambda *_: None,
    "a folder": lambda path, _: path.mkdir(),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a device": lambda path, _: path.symlink_to("/dev/zero"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("name", ["README", "a.tsv", "a.nii.gz", "a.nii", "a.png", "a.func.gii"])
def test_a_file_that_becomes_something_else_is_gone(page, root, tmp_path, name, swap):
    put(root, name)
    told = page.shelf()[name]
    (root / name).unlink()
    SWAPS[swap](root / name, tmp_path / "outside")
    whats = {"text": "text", "table": "table", "volume": "volume", "picture": "picture"}
    for what in ("", f"/{whats.get(told['kind'], 'surface')}"):
        answer = page.get(f"api/items/{told['item']}{what}")
        assert answer.status == 404
        assert "Load the list again" in json.loads(answer.body)["error"]["message"]


@pytest.mark.timeout(20)
def test_pipes_sockets_and_devices_are_not_shown_and_nothing_hangs(page, root):
    os.mkfifo(root / "a.json")
    os.mkfifo(root / "participants.tsv")
    put(root, "sub-01/sub-01_task-rest_events.tsv", b"onset\n1\n")
    os.mkfifo(root / "task-rest_events.json")  # a sidecar by its name
    if os.geteuid() == 0:
        os.mknod(root / "b.json", 0o600 | 0o020000, os.makedev(1, 5))
    assert list(page.shelf()) == ["sub-01/sub-01_task-rest_events.tsv"]
    assert page.of("sub-01/sub-01_task-rest_events.tsv", "/table")["total"] == 1


def test_a_folder_on_the_way_that_becomes_a_link_leads_nowhere(page, root, tmp_path):
    put(root, "sub-01/README", b"inside")
    item = page.id("sub-01/README")
    (root / "sub-01" / "README").unlink()
    (root / "sub-01").rmdir()
    (root / "sub-01").symlink_to(tmp_path / "outside")
    assert text_of(page, item).status == 404


def test_a_link_that_is_swapped_in_again_and_again_never_shows_what_is_behind(page, root, tmp_path):
    put(root, "sub-01/README", b"inside")
    item = page.id("sub-01/README")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            os.rename(root / "sub-01", tmp_path / "aside")
            os.symlink(tmp_path / "outside", root / "sub-01")
            os.unlink(root / "sub-01")
            os.rename(tmp_path / "aside", root / "sub-01")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        answers = []
        while len(answers) < 1500 or {one.status for one in answers} != {200, 404}:
            answers.append(text_of(page, item))
        lists = [page.get("api/shelf", directory="d1") for _ in range(200)]
    finally:
        stop.set()
        thread.join()
    assert not any(b"secret" in answer.body for answer in answers)
    assert {one.status for one in lists} == {200}


OUTSIDE = 987654321
SHOWN = ("", "/volume", "/course", "/table", "/picture", "/surface", "/text")


def fill(folder: Path, number: int) -> None:
    """Make a file of each kind, with a number in it."""
    folder.mkdir(parents=True)
    values = np.full((4, 4, 4, 2), number, np.int32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Pair(values, np.eye(4)), folder / "pair.img")
    (folder / "t.tsv").write_text(f"x\n{number}\n")
    (folder / "t.json").write_text(json.dumps({"x": f"units {number}"}))
    (folder / "n.txt").write_text(str(number))
    (folder / "s.svg").write_text(f"<svg>{number}</svg>")
    mesh = f"<DataArray Intent='NIFTI_INTENT_POINTSET' Dim0='{number}'>"
    (folder / "s.gii").write_text(mesh)
    (folder / "link.txt").symlink_to("n.txt")


def in_turn_the_folder(root: Path, outside: Path) -> None:
    os.rename(root / "sub-01", root / ".aside")
    os.symlink(outside / "sub-01", root / "sub-01")
    os.unlink(root / "sub-01")
    os.rename(root / ".aside", root / "sub-01")


def in_turn_the_files(root: Path, outside: Path) -> None:
    for path in sorted((root / "sub-01").iterdir()):
        os.link(path, root / ".kept", follow_symlinks=False)
        os.symlink(outside / "sub-01" / path.name, root / ".link")
        os.replace(root / ".link", path)
        os.replace(root / ".kept", path)


def in_turn_the_data_directory(root: Path, outside: Path) -> None:
    os.rename(root, root.with_name("aside"))
    os.symlink(outside, root)
    os.unlink(root)
    os.rename(root.with_name("aside"), root)


def in_turn_what_is_above(root: Path, outside: Path) -> None:
    in_turn_the_data_directory(root.parent, outside.parent)


IN_TURN = (
    *(in_turn_the_folder, in_turn_the_files),
    *(in_turn_the_data_directory, in_turn_what_is_above),
)


@pytest.mark.slow
@pytest.mark.parametrize("swap", IN_TURN, ids=lambda one: one.__name__)
def test_nothing_outside_is_shown_by_any_request_while_links_come_and_go(tmp_path, swap):
    root, outside = tmp_path / "mine" / "data", tmp_path / "theirs" / "data"
    fill(root / "sub-01", 1)
    fill(outside / "sub-01", OUTSIDE)
    page = Page(root)
    items = {path: one["item"] for path, one in page.shelf().items()}
    assert len(items) == 8
    stop = threading.Event()

    def again_and_again() -> None:
        while not stop.wait(0.0005):  # between two swaps, what is ours is there for a moment
            swap(root, outside)

    thread = threading.Thread(target=again_and_again)
    thread.start()
    leaked: list[str] = []
    good: set[str] = set()
    try:
        rounds = 0
        while rounds < 100 or not good:
            rounds += 1
            for path, item in items.items():
                for what in SHOWN:
                    at = {"i": 0, "j": 0, "k": 0} if what == "/course" else {}
                    answer = page.get(f"api/items/{item}{what}", **at)
                    body = answer.body
                    good |= {what} if answer.status == 200 else set()
                    body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
                    if str(OUTSIDE).encode() in body or OUTSIDE.to_bytes(4, "little") in body:
                        leaked.append(f"{path}{what}")
            told = page.get("api/shelf", directory="d1", afresh=1)
            listed = json.loads(told.body).get("items", [])
            leaked += [
                one["path"] for one in listed if one["path"].endswith("n.txt") and one["bytes"] > 1
            ]
    finally:
        stop.set()
        thread.join()
    assert leaked == []
    assert good  # some came through between two swaps


@pytest.mark.parametrize("what", ["the data directory", "a folder above it"])
def test_a_link_that_came_in_the_place_of_the_data_directory_is_not_followed(tmp_path, what):
    root, outside = tmp_path / "mine" / "data", tmp_path / "theirs" / "data"
    fill(root / "sub-01", 1)
    fill(outside / "sub-01", OUTSIDE)
    (outside / "dataset_description.json").write_text("{}")
    page = Page(root)
    item = page.id("sub-01/n.txt")
    swapped, other = (
        (root, outside) if what == "the data directory" else (root.parent, outside.parent)
    )
    swapped.rename(tmp_path / "aside")
    swapped.symlink_to(other)
    assert page.get(f"api/items/{item}/text").status == 404
    told = page.json("api/shelf", 404, directory="d1")["error"]["message"]
    assert f"{root}, or a folder above it, is a symbolic link" in told
    swapped.unlink()
    (tmp_path / "aside").rename(swapped)
    assert page.get(f"api/items/{item}/text").status == 200


def test_a_data_directory_that_is_made_anew_is_looked_into(tmp_path):
    root = tmp_path / "data"
    page = Page(root)  # of a directory into which nothing came yet
    assert page.shelf() == {}
    fill(root / "sub-01", 1)
    assert "sub-01/n.txt" in page.shelf()
    shutil.rmtree(root)
    assert page.shelf() == {}
    fill(root / "sub-02", 2)
    assert "sub-02/n.txt" in page.shelf()


def test_a_folder_above_that_may_be_searched_and_not_listed_is_gone_through(tmp_path):
    root = tmp_path / "above" / "data"
    fill(root / "sub-01", 1)
    (tmp_path / "above").chmod(0o311)
    try:
        assert "sub-01/n.txt" in Page(root).shelf()
    finally:
        (tmp_path / "above").chmod(0o755)


def test_hard_links_are_files(page, root):
    put(root, "a.json", b'{"a": 1}')
    os.link(root / "a.json", root / "b.json")
    assert page.of("b.json", "/text")["text"] == '{"a": 1}'


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_told(page, root):
    put(root, "a.json")
    os.chmod(root / "a.json", 0)
    assert "Permission denied" in page.error("a.json", "/text", 500)


def test_a_data_directory_named_by_a_link_is_what_it_leads_to(root, tmp_path):
    put(root, "a.json")
    (tmp_path / "link").symlink_to(root)
    assert list(Page(tmp_path / "link").shelf()) == ["a.json"]


# -- pictures, texts, surfaces -------------------------------------------------------------------


def test_a_picture_is_what_its_bytes_say(page, root):
    put(root, "a.jpg", PNG)
    answer = page.get(f"api/items/{page.id('a.jpg')}/picture")
    assert (answer.status, answer.content_type, answer.body) == (200, "image/png", PNG)


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.gif"])
def test_a_page_that_calls_itself_a_picture_is_none(page, root, name):
    put(root, name, b"<!doctype html><script>alert(1)</script>")
    assert "is no picture" in page.error(name, "/picture", 422)


def test_an_svg_is_shown_as_a_picture_that_can_do_nothing(page, root):
    put(root, "a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    answer = page.get(f"api/items/{page.id('a.svg')}/picture")
    assert answer.content_type == "image/svg+xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_picture_that_is_too_large_is_refused(page, root):
    put(root, "a.png", PNG)
    os.truncate(root / "a.png", 33 << 20)
    assert "32 MB" in page.error("a.png", "/picture", 422)


TEXTS = {
    "plain": (b"a\tb\r\nc\rd", "a\tb\nc\nd"),
    "UTF-8 with a mark": ("\ufeffgröße".encode(), "größe"),
    "UTF-16": ("größe".encode("utf-16"), "größe"),
    "Latin": ("größe".encode("cp1252"), "größe"),
    "escape sequences": (b"\x1b[2J\x00", "\\x1b[2J\\x00"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_is_read_in_whatever_letters_it_is(page, root, kind):
    put(root, "README", TEXTS[kind][0])
    assert page.of("README", "/text") == {"text": TEXTS[kind][1], "cut": False}


def test_a_long_text_is_cut_between_letters(page, root):
    put(root, "README", ("x" + "ß" * (1 << 20)).encode())
    told = page.of("README", "/text")
    assert told["cut"]
    assert set(told["text"]) == {"x", "ß"}


def test_a_surface_comes_as_it_is(page, root):
    put(root, "sub-01_hemi-L_pial.surf.gii", b"<GIFTI/>")
    answer = page.get(f"api/items/{page.id('sub-01_hemi-L_pial.surf.gii')}/surface")
    assert answer.body == b"<GIFTI/>"
    assert answer.headers["X-Neurofetch-Name"] == "sub-01_hemi-L_pial.surf.gii"
    put(root, "large.gii")
    os.truncate(root / "large.gii", 65 << 20)
    assert "64 MB" in page.error("large.gii", "/surface", 422)


def gifti(path, *arrays):
    image = nibabel.gifti.GiftiImage()
    for values, intent in arrays:
        image.add_gifti_data_array(nibabel.gifti.GiftiDataArray(values, intent=intent))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


def mesh(path, vertices):
    points = (np.zeros((vertices, 3), "f4"), "NIFTI_INTENT_POINTSET")
    gifti(path, points, (np.zeros((5, 3), "i4"), "NIFTI_INTENT_TRIANGLE"))


def test_values_on_a_surface_come_with_the_meshes_that_they_fit(page, root):
    values = "sub-01/func/sub-01_hemi-L_space-fsnative_stat-z_statmap.func.gii"
    gifti(root / values, (np.zeros(30, "f4"), "NIFTI_INTENT_ZSCORE"))
    wanted = [
        f"sub-01/anat/sub-01_hemi-L_space-fsnative_{name}.surf.gii"
        for name in ("inflated", "white")
    ]
    for path in reversed(wanted):
        mesh(root / path, 30)
    mesh(root / "sub-01/anat/sub-01_hemi-L_space-fsnative_pial.surf.gii", 31)
    mesh(root / "sub-01/anat/sub-01_hemi-R_space-fsnative_white.surf.gii", 30)
    mesh(root / "sub-02/anat/sub-02_hemi-L_space-fsnative_white.surf.gii", 30)
    put(root, "sub-01/anat/sub-01_hemi-L_space-fsnative_sphere.surf.gii", b"damaged")
    told = page.of(values)["surface"]
    assert (told["is_mesh"], told["vertices"]) == (False, 30)
    assert [one["path"] for one in told["meshes"]] == wanted
    assert page.of(wanted[0])["surface"] == {"is_mesh": True, "vertices": 30, "meshes": []}
    damaged = page.of("sub-01/anat/sub-01_hemi-L_space-fsnative_sphere.surf.gii")["surface"]
    assert damaged == {"is_mesh": False, "vertices": None, "meshes": []}


def test_a_file_is_asked_for_as_what_it_is(page, root):
    put(root, "a.json")
    for what in ("/volume", "/table", "/picture", "/surface", "/course"):
        assert "it is a text" in page.error("a.json", what, 400, i=0, j=0, k=0)


# -- ranges --------------------------------------------------------------------------------------

RANGES = {
    "bytes=0-9": (206, 0, 10), "bytes=10-": (206, 10, None), "bytes=-7": (206, -7, None),
    "bytes=0-99999999": (206, 0, None), "bytes=5-5": (206, 5, 6), "bytes=-99999999": (206, 0, None),
    "bytes=99999999-": (416, 0, 0), "bytes=-0": (416, 0, 0), "bytes=9-2": (200, 0, None),
    "bytes=0-1,4-5": (200, 0, None), "lines=0-1": (200, 0, None), "bytes=": (200, 0, None),
    "bytes=a-b": (200, 0, None), "": (200, 0, None), "bytes=-": (200, 0, None),
}  # fmt: skip


@pytest.mark.parametrize("asked", RANGES)
@pytest.mark.parametrize("name", ["T1w.nii.gz", "bold.nii.gz"])
def test_ranges_are_honoured(page, root, name, asked):
    save(root / name, series((6, 7, 8, 3) if name[0] == "b" else (6, 7, 8)))
    path = f"api/items/{page.id(name)}/volume"
    whole = page.get(path, frame="1" if name[0] == "b" else "0")
    status, begin, end = RANGES[asked]
    answer = page.get(path, {"range": asked}, frame="1" if name[0] == "b" else "0")
    assert answer.status == status
    assert answer.body == whole.body[begin:end]
    assert answer.headers["Accept-Ranges"] == "bytes"
    if status == 206:
        first = begin % len(whole.body)
        last = first + len(answer.body) - 1
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole.body)}"
    elif status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{len(whole.body)}"


def test_a_range_of_another_version_brings_all_of_this_one(page, root):
    save(root / "x.nii", series((6, 7, 8)))
    path = f"api/items/{page.id('x.nii')}/volume"
    tag = page.get(path, frame="0").headers["ETag"]
    same = page.get(path, {"range": "bytes=0-3", "if-range": tag}, frame="0")
    assert (same.status, len(same.body)) == (206, 4)
    assert page.get(path, {"range": "bytes=0-3", "if-range": '"old"'}, frame="0").status == 200
    assert page.get(path, {"if-none-match": tag}, frame="0").status == 304
    save(root / "x.nii", series((6, 7, 9)))
    assert page.get(path, {"range": "bytes=0-3", "if-range": tag}, frame="0").status == 200
    assert page.get(path, {"if-none-match": tag}, frame="0").status == 200
