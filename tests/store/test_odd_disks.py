"""Names that the disk refuses, or takes for one: on a disk that does, and across runs."""

import os
import unicodedata

import pytest

import neurofetch
from neurofetch._shown import shown
from neurofetch.display.text import plan_text
from neurofetch.model import Action
from neurofetch.planning.local_path import left_out
from neurofetch.store.names import Names
from tests.engine_world import World, noise
from tests.odd_disk import odd_disk

SMALL = noise(2_000, 1)
NFC, NFD = "caf\u00e9.txt", unicodedata.normalize("NFD", "caf\u00e9.txt")


@pytest.fixture
def disk(tmp_path):
    """Return a function that mounts an odd disk; the test is skipped where that cannot be."""
    mounted = []

    def mount(**how):
        one = odd_disk(tmp_path / "disk", tmp_path / "backing", **how)
        mounted.append(one)
        where = one.__enter__()
        if where is None:
            pytest.skip("a file system cannot be mounted here")
        return where

    yield mount
    for one in mounted:
        one.__exit__(None, None, None)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A bucket with one plain file."""
    with World(tmp_path, monkeypatch) as world:
        world.put("good.txt", SMALL)
        yield world


def fetched(world, root, **how):
    """Fetch all into a directory; return what failed, and why."""
    try:
        report = neurofetch.get("s3://b", root, progress="none", **how)
    except neurofetch.IncompleteError as error:
        report = error.report
    prefix = "cannot be kept under its name: "
    return {outcome.path: outcome.reason.removeprefix(prefix) for outcome in report.failures}


def left(root, **how):
    """Plan all for a directory; return what is left out, and why."""
    plan = neurofetch.plan("s3://b", root, **how)
    said = plan_text(plan)
    found = {step.want.path: step.reason for step in plan.of(Action.LEAVE)}
    assert all(f"cannot be kept: {shown(path)}:" in said for path in found)
    return found


def names(root):
    hidden = (".neurofetch",)
    found = (p for p in root.rglob("*") if p.is_file() and not set(hidden) & set(p.parts))
    return sorted(p.relative_to(root).as_posix() for p in found)


# -- names that a disk refuses ---------------------------------------------------------------------

REFUSED = [
    "a:b.txt",
    "sub-01/c:d.txt",
    "sub:01/x.txt",
    "what?.txt",
    "star*.txt",
    "a|b",
    "<x>",
    'q"q',
    "back\\slash",
    "dot.",
    "sub-01./x.txt",
    "dots...",
    "space ",
    "Icon\r",
    "line\nbreak",
    "bell\x07",
]
EXFAT = {"letters": '"*:<>?\\|\r\n\x07', "ends": ". ", "case": True}


@pytest.mark.parametrize("key", REFUSED)
def test_a_name_that_the_disk_refuses_is_named_in_the_plan_and_the_rest_comes(world, disk, key):
    root = disk(**EXFAT)
    world.put(key, SMALL)
    why = fetched(world, root / "data")
    assert list(why) == [key]
    assert why[key].startswith("this disk cannot hold a name ")
    assert names(root / "data") == ["good.txt"]
    assert list(left(root / "data")) in ([key], []), "a dry run writes nothing to find out"
    assert [request.key for request in world.gets()] == ["good.txt"]
    assert os.listdir(root / "data" / ".neurofetch" / "partial") == []


@pytest.mark.parametrize("key", REFUSED)
def test_the_same_name_comes_where_the_disk_holds_it(world, disk, key, tmp_path):
    root = disk(case=False)
    world.put(key, SMALL)
    for where in (root / "data", tmp_path / "plain"):
        assert left(where) == {}
        assert fetched(world, where) == {}
        assert names(where) == sorted(["good.txt", key])


LONG = ["x" * 144, "sub-01/" + "y" * 200, "z" * 150 + "/f.txt", "\u00e9" * 72, "\u4e00" * 48 + ".t"]
FITS = ["x" * 143, "sub-01/" + "y" * 140, "\u00e9" * 71, "\u4e00" * 47]


@pytest.mark.parametrize("key", LONG)
def test_a_name_that_is_too_long_in_bytes_for_this_disk_is_named_in_the_plan(world, disk, key):
    root = disk(longest=143)  # as eCryptfs
    world.put(key, SMALL)
    for why in (left(root / "data"), fetched(world, root / "data"), left(root / "data")):
        assert list(why) == [key]
        assert "this disk allows 143" in why[key]
    assert names(root / "data") == ["good.txt"]


@pytest.mark.parametrize("key", FITS)
def test_a_name_that_just_fits_comes(world, disk, key):
    root = disk(longest=143)
    world.put(key, SMALL)
    assert fetched(world, root / "data") == {}
    assert names(root / "data") == sorted(["good.txt", key])


def test_a_disk_that_does_not_say_how_long_names_may_be_is_asked(disk, monkeypatch):
    root = disk(longest=143)
    monkeypatch.setattr(os, "pathconf", lambda *_: 255 if _[1] == "PC_NAME_MAX" else 4096)
    names = Names(root / "data", root / "data" / ".neurofetch")
    (root / "data").mkdir()
    assert names.problem("x" * 143) == ""
    assert "File name too long" in names.problem("x" * 144)


# -- twins on a disk that folds --------------------------------------------------------------------

TWINS = {
    "case": ("a.txt", "A.txt"),
    "case of a folder": ("sub-01/a.txt", "SUB-01/a.txt"),
    "case of both": ("sub-01/a.txt", "Sub-01/A.TXT"),
    "case of a deep folder": ("d/e/f/g.txt", "d/E/f/g.txt"),
    "case of other letters": ("\u00e4.txt", "\u00c4.txt"),
    "case and form": ("caf\u00e9.txt", unicodedata.normalize("NFD", "CAF\u00c9.txt")),
    "form": (NFC, NFD),
    "form, the other way": (NFD, NFC),
    "form in a folder": (f"{NFC}/x", f"{NFD}/x"),
    "Korean": ("\ud55c.txt", unicodedata.normalize("NFD", "\ud55c.txt")),
    "sharp s": ("stra\u00dfe.txt", "STRASSE.txt"),
    "extension": ("a.nii.gz", "a.NII.gz"),
}


@pytest.mark.parametrize("case", TWINS)
def test_of_twins_in_one_run_one_comes_and_the_other_is_named(world, disk, case):
    root = disk(case=True, accents=True)
    one, other = TWINS[case]
    world.put(one, b"one")
    world.put(other, b"other")
    why = fetched(world, root / "data")
    assert len(why) == 1
    assert set(why) < {one, other}
    assert "cannot tell such names apart" in "".join(why.values())
    assert len(names(root / "data")) == 2


@pytest.mark.parametrize("case", TWINS)
@pytest.mark.parametrize("again", ["the other alone", "both", "both, anew"])
def test_the_twin_of_a_file_of_an_earlier_run_is_named_and_does_not_replace_it(
    world, disk, case, again
):
    root = disk(case=True, accents=True)
    one, other = TWINS[case]
    world.put(one, b"one")
    assert fetched(world, root / "data") == {}
    before = names(root / "data")
    if again == "the other alone":
        world.s3.delete(one)
    world.put(other, b"other")
    overwrite = again == "both, anew"
    for why in (
        left(root / "data", overwrite=overwrite),
        fetched(world, root / "data", overwrite=overwrite),
    ):
        assert list(why) == [other]
        assert f"{one!r}, which an earlier run fetched" in why[other]
    assert names(root / "data") == before
    assert (root / "data" / one).read_bytes() == b"one"
    assert neurofetch.verify(root / "data", read_all=True).verified


def test_a_twin_that_was_removed_makes_room(world, disk):
    root = disk(case=True)
    world.put("a.txt", b"one")
    assert fetched(world, root / "data") == {}
    (root / "data" / "a.txt").unlink()
    world.s3.delete("a.txt")
    world.put("A.txt", b"other")
    assert fetched(world, root / "data") == {}
    assert names(root / "data") == ["A.txt", "good.txt"]


def test_folders_that_differ_in_case_share_one_and_their_files_all_come(world, disk):
    root = disk(case=True)
    world.put("sub-01/a.txt", b"one")
    assert fetched(world, root / "data") == {}
    world.put("SUB-01/b.txt", b"other")
    assert fetched(world, root / "data") == {}
    assert names(root / "data") == ["good.txt", "sub-01/a.txt", "sub-01/b.txt"]


FOLDERS = [("a/b.txt", "A"), ("a/b/c.txt", "A/B"), ("a", "A/b.txt"), ("a/b", "a/B/c.txt")]


@pytest.mark.parametrize(("one", "other"), FOLDERS)
def test_a_file_in_the_place_of_a_folder_of_an_earlier_run_is_named(world, disk, one, other):
    root = disk(case=True)
    world.put(one, b"one")
    assert fetched(world, root / "data") == {}
    world.put(other, b"other")
    for why in (left(root / "data"), fetched(world, root / "data")):
        assert list(why) == [other]
        assert "is here in" in why[other]
    assert (root / "data" / one).read_bytes() == b"one"


@pytest.mark.parametrize("case", TWINS)
def test_twins_of_two_runs_both_come_where_the_disk_tells_them_apart(world, tmp_path, case):
    root = tmp_path / "plain"
    one, other = TWINS[case]
    world.put(one, b"one")
    assert fetched(world, root) == {}
    world.put(other, b"other")
    assert left(root) == {}
    assert fetched(world, root) == {}
    assert ((root / one).read_bytes(), (root / other).read_bytes()) == (b"one", b"other")


def test_on_a_disk_that_folds_only_accents_case_is_no_matter(world, disk):
    root = disk(accents=True)
    world.put("a.txt", b"1")
    world.put(NFC, b"1")
    assert fetched(world, root / "data") == {}
    world.put("A.txt", b"2")
    world.put(NFD, b"2")
    assert list(fetched(world, root / "data")) == [NFD]
    assert names(root / "data") == sorted(["good.txt", "a.txt", "A.txt", NFC])


# -- links that lead two names to one place --------------------------------------------------------


def test_two_keys_that_a_link_leads_to_one_file_do_not_share_it(world):
    world.put("sub-01/x.txt", b"one")
    world.put("sub-02/x.txt", b"other")
    (world.root / "sub-01").mkdir()
    (world.root / "sub-02").symlink_to("sub-01")
    for why in (left(world.root), fetched(world, world.root)):
        assert why == {"sub-02/x.txt": "a link leads it to the place of 'sub-01/x.txt'"}
    assert (world.root / "sub-01" / "x.txt").read_bytes() == b"one"
    world.put("sub-02/y.txt", b"mine")
    assert list(fetched(world, world.root)) == ["sub-02/x.txt"]
    assert (world.root / "sub-01" / "y.txt").read_bytes() == b"mine"


def test_a_link_to_the_root_and_one_in_a_folder_count_too(world):
    world.put("x/good.txt", b"other")
    world.put("a/b/c.txt", b"one")
    world.put("a/d/c.txt", b"other")
    (world.root / "a" / "b").mkdir(parents=True)
    (world.root / "a" / "d").symlink_to("b")
    (world.root / "x").symlink_to(".")
    why = fetched(world, world.root)
    assert sorted(why) == ["a/d/c.txt", "x/good.txt"]
    assert (world.root / "good.txt").read_bytes() == SMALL


# -- the rule, without a disk ----------------------------------------------------------------------


def test_what_is_here_stays_whatever_the_order():
    pairs = [("A", "A"), ("a", "a"), ("b", "b")]
    assert list(left_out(pairs, case=True)) == ["a"]
    assert list(left_out(pairs, case=True, here=["a"])) == ["A"]
    assert list(left_out(pairs, case=True, here=["A"])) == ["a"]
    assert left_out(pairs, case=False, here=["a", "A"]) == {}
    assert list(left_out([("a", "a")], case=True, here=["A"])) == ["a"]
    assert left_out([("a", "a")], case=True, here=["a", "c/d"]) == {}
