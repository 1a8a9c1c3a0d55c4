"""Pictures are pictures: of the right thing, the right way round, in the right colours."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import warnings
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from nilearn import plotting
from PIL import Image

from neurofetch.errors import (
    DestinationError,
    NeurofetchError,
    NothingMatchedError,
    UnknownValueError,
    UsageError,
    VerificationError,
    WrongTypeError,
)
from neurofetch.pictures import show
from neurofetch.pictures.drawing import Outline, Panel, figure, panel, slices
from neurofetch.pictures.looks import DISTINCT, look_of
from neurofetch.pictures.places import Entry, Origin
from neurofetch.pictures.reading import read_volume
from neurofetch.pictures.sheet import draw_one, draw_sheet
from testbed.laion import Recipe, make_bucket, write_local
from testbed.neurovault_maps import brain_map_gz

if TYPE_CHECKING:
    from pathlib import Path

Z_MAP = "sub-01_contrast-a_stat-z_statmap.nii.gz"


def write(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if affine is None:
        affine = np.diag([4.0, 4.0, 4.0, 1.0])
        affine[:3, 3] = [-2.0 * (size - 1) for size in values.shape[:3]]
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def head(shape=(24, 28, 24), seed=0) -> np.ndarray:
    """Return an ellipsoid of noise around zero."""
    where = np.stack(np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in shape), indexing="ij"))
    noise = np.random.default_rng(seed).normal(0, 1, shape)
    return np.where((where**2).sum(axis=0) < 1, noise, 0).astype(np.float32)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    recipe = Recipe(
        subjects=("sub-01",), sessions=("ses-01",), held_out=(), figures_per_session=1,
        trials_per_session=8,
    )  # fmt: skip
    root = tmp_path_factory.mktemp("data")
    write_local(make_bucket(recipe), root)
    return root


def one(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


# -- the files that are written --------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.sources.append(value)
            if name == "content" and "default-src" in (value or ""):
                self.policy = value
            assert not name.startswith("on"), name

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_png_is_a_png_and_an_svg_is_xml_with_its_words_as_words(tmp_path):
    path = write(tmp_path / Z_MAP, head())
    drawn = show(path, tmp_path / "a.png")
    assert drawn.path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert pixels(drawn.path).shape == (924, 1540, 3)
    root = ElementTree.parse(show(path, tmp_path / "a.svg").path).getroot()
    words = " ".join(
        "".join(element.itertext()) for element in root.iter() if "text" in element.tag
    )
    assert "sub-01 · contrast-a · z map" in words
    assert "L" in words.split()
    assert "R" in words.split()
    assert " mm" in words
    assert show(path, tmp_path / "a.pdf").path.read_bytes().startswith(b"%PDF")


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = write(tmp_path / Z_MAP, head())
    for end in ("png", "svg", "html"):
        twice = [show(path, tmp_path / f"{n}.{end}").path.read_bytes() for n in (1, 2)]
        assert twice[0] == twice[1], end


def test_a_page_needs_no_network_and_says_where_the_data_came_from(data, tmp_path):
    drawn = show(one(data, "*Noiseceiling4rep*.nii.gz"), tmp_path / "a.html")
    page = Page()
    page.feed(drawn.path.read_text())
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "script" not in page.tags
    assert page.policy.startswith("default-src 'none'")
    picture = Image.open(io.BytesIO(base64.b64decode(page.sources[0].partition(",")[2])))
    assert picture.size == (1540, 924)
    told = " ".join(page.texts)
    assert "h1 { position: absolute; clip-path: inset(50%)" in told, "a title that is seen twice"
    assert "A made-up LAION-fMRI" in told
    assert "noise ceiling" in told
    assert "20 x 24 x 18" in told
    assert "derivatives/glmsingle-tedana/sub-01/sub-01_task-images" in told
    assert str(data) not in drawn.path.read_text()  # where it lies is nobody's business


HOSTILE = (
    *(r"$\frac{1", "<script>alert(1)</script>", "a\x1b[2Jb", "x" * 5000),
    *("]]>&amp;\"'", "\u202eb", "日本"),
)


@pytest.mark.parametrize("title", HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
def test_titles_of_others_are_words_and_nothing_else(tmp_path, title):
    path = write(tmp_path / "in" / "map.nii.gz", head((8, 9, 8)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a font may lack a letter
        for end in ("svg", "html"):
            made = show(path, tmp_path / f"a.{end}", title=title).path.read_text()
            page = Page()
            page.feed(made)
            assert "script" not in page.tags
            assert "\x1b" not in made
            assert "\u202e" not in made
        ElementTree.parse(tmp_path / "a.svg")


@pytest.mark.parametrize(
    "name", ["$x$_T1w.nii.gz", "a b&<c>.nii.gz", "line\nbreak.nii.gz", "-.nii.gz"]
)
def test_names_of_others_are_words_too(tmp_path, monkeypatch, name):
    path = write(tmp_path / "in" / name, head((8, 9, 8)))
    monkeypatch.chdir(tmp_path)
    drawn = show(path)
    assert drawn.path.is_file()
    assert set(str(drawn.path)) <= set("abcdefghijklmnopqrstuvwxyzT1-_.x")
    ElementTree.parse(show(path, tmp_path / "a.svg").path)
    assert "<c>" not in show(path, tmp_path / "a.html").path.read_text()


def test_without_a_name_nothing_is_replaced(tmp_path, monkeypatch):
    path = write(tmp_path / "in" / Z_MAP, head((8, 9, 8)))
    monkeypatch.chdir(tmp_path)
    names = [show(path).path.name for _ in range(3)]
    stem = Z_MAP.removesuffix(".nii.gz")
    assert names == [f"{stem}.png", f"{stem}-2.png", f"{stem}-3.png"]


# -- colours and sides -----------------------------------------------------------------------------


def scales(fig) -> list[tuple[str, float, float]]:
    """Return name and range of each colour map in a figure, of slices."""
    return [
        (image.get_cmap().name, *image.get_clim())
        for axes in fig.axes
        for image in axes.get_images()
    ]


def test_two_signs_have_one_symmetric_range_of_a_percentile(tmp_path):
    values = head()
    values[12, 14, 12] = 1e6  # one voxel does not set the range
    path = write(tmp_path / Z_MAP, values)
    made = draw_one(Entry(path), Origin(), None, None)
    found = {scale for scale in scales(made.figure) if scale[0] == "cold-grey-hot"}
    assert len(found) == 1
    _, low, high = found.pop()
    known = values[values != 0]
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs(known), 99.9), rel=1e-4)


@pytest.mark.parametrize(
    ("pattern", "name", "bottom"),
    [
        ("*Noiseceiling4rep*.nii.gz", "viridis", 0.0),
        ("*R2mean*.nii.gz", "inferno", 0.0),
        ("*PrismaAnat_space-T1w_T1w.nii.gz", "gray", 0.0),
        ("*SingletrialBetas_statmap.nii.gz", "cold-grey-hot", None),
        ("*FFA1_mask.nii.gz", "mask", 0.0),
    ],
)
def test_colours_suit_the_file(data, pattern, name, bottom):
    path = one(data, pattern)
    made = draw_one(Entry(path), Origin(data), None, None)
    drawn = [scale for scale in scales(made.figure) if scale[0] == name]
    assert drawn
    assert all(low == bottom if bottom is not None else low == -high for _, low, high in drawn)


def test_a_map_in_the_space_of_its_subject_lies_on_the_subjects_anatomy(data):
    made = draw_one(Entry(one(data, "*faceVsOthers*.nii.gz")), Origin(data), None, None)
    assert {name for name, *_ in scales(made.figure)} == {"gray", "cold-grey-hot"}


STORED = {"as RAS": (1, 1, 1), "as LAS": (-1, 1, 1), "as LPI": (-1, -1, -1)}


@pytest.mark.parametrize("stored", STORED)
def test_left_is_left_whichever_way_the_voxels_are_stored(tmp_path, stored):
    values = 0.01 * np.abs(head((30, 36, 30)))
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    affine[:3, 3] = [-72.5, -87.5, -72.5]
    values[5:8, 20:23, 15:18] = 9.0  # x is -40: the left of the head
    flips = tuple(slice(None, None, sign) for sign in STORED[stored])
    for axis, sign in enumerate(STORED[stored]):
        if sign < 0:
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1
    path = write(tmp_path / Z_MAP, np.ascontiguousarray(values[flips]), affine)
    judged = plotting.find_xyz_cut_coords(nib.load(path), activation_threshold=5)
    assert judged[0] == pytest.approx(-40, abs=5)
    made = draw_one(Entry(path), Origin(), None, None)
    texts = {text.get_text() for axes in made.figure.axes for text in axes.texts}
    assert texts & {"x = \N{MINUS SIGN}40 mm", "x = \N{MINUS SIGN}42 mm"}
    picture = pixels(show(path, tmp_path / "a.png").path)
    axial = picture[110:590, 930:1360]  # the large axial slice
    red = (axial[..., 0] - axial[..., 2] > 60) & (axial[..., 1] < 80)
    brain = axial.min(axis=2) < 235
    assert red.sum() > 50
    assert np.argwhere(red)[:, 1].mean() < np.argwhere(brain)[:, 1].mean() - 40


def test_sides_are_written_where_nilearn_says_they_are(tmp_path):
    path = write(tmp_path / Z_MAP, head())
    fig = figure(8, 3)
    display = slices(fig, (0, 0, 1, 1), panel(read_volume(path)), [0.0, 8.0])
    for cut in display.axes.values():
        low, high = cut.ax.get_xlim()
        assert low < high  # to the right is larger x: the right of the head
        sides = {text.get_text(): text.get_position()[0] for text in cut.ax.texts}
        assert sides["L"] < 0.5 < sides["R"]


def test_each_region_has_an_outline_of_its_own_colour_and_line(tmp_path):
    path = write(tmp_path / Z_MAP, head())
    volume = read_volume(path)
    outlines = []
    for number in range(10):
        mask = np.zeros(volume.values.shape, dtype=np.float32)
        mask[4 + number : 10 + number, 8:16, 8:16] = 1  # each overlaps the next ones
        outlines.append(Outline(f"R{number}", volume.image(mask), number))
    fig = figure(5, 5)
    whole = panel(volume)
    what = Panel(whole.image, whole.look, whole.low, whole.high, outlines=outlines)
    display = slices(fig, (0, 0, 1, 1), what, [0.0])
    (cut,) = display.axes.values()
    drawn = [
        (to_hex(lines.get_edgecolor()[0]).upper(), tuple(lines.get_linestyle()[0][1] or ()))
        for lines in cut.ax.collections
        if len(lines.get_edgecolor())
    ]
    halos = [index for index, (colour, _) in enumerate(drawn) if colour == "#FFFFFF"]
    own = [index for index, (colour, _) in enumerate(drawn) if colour != "#FFFFFF"]
    assert len(halos) == len(own) == 10
    assert max(halos) < min(own)  # no light edge lies on another outline
    assert len({drawn[index] for index in own}) == 10
    assert {drawn[index][0] for index in own} == set(DISTINCT)


# -- what is read ----------------------------------------------------------------------------------


def test_a_frame_is_that_frame_and_the_mean_is_the_mean(tmp_path):
    values = np.stack([head(seed=n) for n in range(5)], axis=3)
    values[3, 14, 12, :] = np.nan
    values[4, 14, 12, :3] = np.nan
    path = write(tmp_path / "sub-01_stat-effect_statmap.nii.gz", values)
    with np.errstate(all="ignore"):
        known = np.where(np.isfinite(values), values, 0).sum(axis=3)
        mean = known / np.isfinite(values).sum(axis=3)
    found = read_volume(path)
    assert found.which == "mean of 5 volumes"
    assert np.allclose(found.values, mean, atol=1e-6, equal_nan=True)
    assert np.array_equal(read_volume(path, 4).values, values[..., 3], equal_nan=True)
    assert read_volume(path, 4).which == "volume 4 of 5"
    for wrong in (0, 6, -1):
        with pytest.raises(UsageError, match="it has 1 to 5"):
            read_volume(path, wrong)
    phase = write(tmp_path / "sub-01_part-phase_bold.nii.gz", values)
    assert read_volume(phase).which == "volume 1 of 5"


ODD = {
    "one voxel": np.ones((1, 1, 1), np.float32),
    "all zero": np.zeros((5, 6, 7), np.float32),
    "nothing known": np.full((5, 6, 7), np.nan, np.float32),
    "endless": np.full((5, 6, 7), np.inf, np.float32),
    "one slice": np.random.default_rng(1).normal(0, 1, (9, 9, 1)).astype(np.float32),
    "a plane": np.random.default_rng(1).normal(0, 1, (9, 9)).astype(np.float32),
    "five axes": np.random.default_rng(1).normal(0, 1, (6, 6, 6, 1, 2)).astype(np.float32),
    "complex": (np.ones((5, 5, 5)) * (1 + 2j)).astype(np.complex64),
    "huge values": np.full((5, 5, 5), 3e38, np.float32),
    "below zero": -np.abs(np.random.default_rng(1).normal(0, 1, (6, 6, 6))).astype(np.float32),
    "bytes": np.arange(216, dtype=np.uint8).reshape(6, 6, 6),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["map.nii.gz", Z_MAP, "sub-01_dseg.nii.gz", "sub-01_bold.nii"])
def test_odd_volumes_are_drawn(tmp_path, kind, name):
    path = write(tmp_path / name, ODD[kind], np.diag([3.0, 3.0, 3.0, 1.0]))
    assert pixels(show(path, tmp_path / "a.png").path).shape[1] > 500


def test_oblique_and_sheared_grids_are_drawn(tmp_path):
    turn = np.array([[0.9, -0.3, 0.1, 5], [0.3, 0.9, 0.2, -9], [-0.1, -0.2, 0.95, 3], [0, 0, 0, 1]])
    path = write(tmp_path / Z_MAP, head(), turn @ np.diag([3.0, 3.0, 3.0, 1.0]))
    assert show(path, tmp_path / "a.png").path.is_file()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nothing", "nothing but zeros"),
        ("nothing known", "no voxel has a value"),
        ("endless", "no voxel has a value"),
    ],
)
@pytest.mark.parametrize("name", ["map.nii.gz", Z_MAP, "sub-01_mask.nii.gz"])
def test_an_empty_volume_says_that_it_is_empty(tmp_path, kind, said, name):
    values = {"nothing": np.zeros((5, 6, 7), np.float32), **ODD}[kind]
    drawn = show(write(tmp_path / name, values), tmp_path / "a.svg").path.read_text("utf-8")
    assert said in drawn
    assert ">labels ·" not in drawn
    assert "colours end" not in drawn


@pytest.mark.parametrize("scale", [1e-3, 1e-9, 1e-12, 1e-20])
def test_little_values_are_seen_as_large_ones_are(tmp_path, scale):
    values = head() - head().mean()
    large = pixels(show(write(tmp_path / "map.nii.gz", values), tmp_path / "a.png").path)
    path = write(tmp_path / "map.nii.gz", (values * scale).astype(np.float32))
    little = pixels(show(path, tmp_path / "b.png").path)
    coloured = [(np.ptp(one[..., :3], axis=-1) > 0.1).mean() for one in (large, little)]
    assert coloured[1] == pytest.approx(coloured[0], rel=0.1)


@pytest.mark.parametrize("name", ["brain\N{BRAIN}.nii.gz", "脳.nii.gz", "\u0e2a\u0e21.nii.gz"])
@pytest.mark.parametrize("end", ["png", "pdf", "svg", "html"])
def test_letters_that_the_font_lacks_are_no_warning(tmp_path, name, end):
    assert show(write(tmp_path / name, head((8, 8, 8))), tmp_path / f"a.{end}").path.is_file()


def test_a_long_series_is_read_in_little_room(tmp_path):
    values = np.random.default_rng(0).normal(0, 1, (40, 40, 40, 60)).astype(np.float32)
    path = write(tmp_path / "sub-01_task-x_bold.nii.gz", values)
    size = values.nbytes
    del values
    tracemalloc.start()
    try:
        read_volume(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 5


# -- what cannot be drawn --------------------------------------------------------------------------


def test_a_damaged_file_is_told_with_what_to_do(tmp_path):
    whole = write(tmp_path / Z_MAP, head()).read_bytes()
    path = tmp_path / "cut" / Z_MAP
    path.parent.mkdir()
    contents = [whole[: len(whole) * n // 8] for n in range(8)]
    contents += [b"no image", gzip.compress(b"\0" * 400), b"<html>Sorry</html>"]
    contents.append(whole[:500] + bytes(60) + whole[560:])
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(VerificationError, match=r"(?s)Nothing was drawn.*neurofetch verify"):
            show(path, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("end", ["tsv", "csv", "nii", "nii.gz", "mgz", "func.gii", "txt"])
def test_a_pipe_is_not_waited_for(tmp_path, end):
    pipe = tmp_path / f"pipe.{end}"
    os.mkfifo(pipe)
    argv = (sys.executable, "-m", "neurofetch", "show", str(pipe), "--out", str(tmp_path / "a.png"))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "is a device, pipe or socket. Nothing was drawn" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "rows",
    [[0] * 12, [np.nan] * 12, [np.inf] * 12, [4, 0, 0, 0, 4, 0, 0, 0, 0, 0, 4, 0]],
    ids=["zeros", "NaN", "endless", "two directions alike"],
)
def test_an_affine_that_leads_nowhere_is_told(tmp_path, rows):
    image = nib.Nifti1Image(head((8, 8, 8)), np.eye(4))
    image.set_qform(None, 0)
    content = bytearray(image.to_bytes())
    struct.pack_into("<hh12f", content, 252, 0, 2, *(0,) * 12)  # qform_code, sform_code
    struct.pack_into("<12f", content, 280, *rows)  # srow_x, srow_y, srow_z
    path = tmp_path / Z_MAP
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(UsageError, match="does not say where its voxels are"):
        show(path, tmp_path / "a.png")
    write(tmp_path / "good.nii.gz", head((8, 8, 8)))
    sheet = show(tmp_path, tmp_path / "sheet.png")
    assert len(sheet.files) == 1
    assert "where its voxels are" in " ".join(sheet.notes)


def test_what_cannot_be_meant_is_told_before_anything_is_read(tmp_path, data):
    path = write(tmp_path / Z_MAP, head((8, 8, 8)))
    cases = [
        (lambda: show(path, tmp_path / "a.jpg"), UsageError, r"\.html, \.pdf, \.png, \.svg"),
        (lambda: show(path, tmp_path / "no" / "a.png"), DestinationError, "is no folder"),
        (lambda: show(tmp_path / "gone.nii.gz"), UsageError, "is not here.*neurofetch get"),
        (lambda: show(data / "README"), UsageError, "cannot be drawn.*directory"),
        (lambda: show(path, frame="third"), UnknownValueError, "frame='third'"),
        (lambda: show(data, page=0), UnknownValueError, "begins at 1"),
        (lambda: show(data, limit=True), WrongTypeError, "expected a number"),
        (lambda: show(path, threshold=-3), UnknownValueError, "expected 0 or more"),
        (lambda: show(path, threshold=float("nan")), UnknownValueError, "expected 0 or more"),
        (lambda: show(path, threshold=float("inf")), UnknownValueError, "expected 0 or more"),
        (lambda: show(path, threshold="3"), WrongTypeError, "expected a number"),
        (lambda: show(""), UsageError, "the name is empty"),
        (lambda: show(data, tmp_path / "a.png", page=99), UnknownValueError, "no page 99"),
        (lambda: show(data, include="*.xyz"), NothingMatchedError, "no file that matches"),
        (lambda: show(data / "stimuli"), NothingMatchedError, "no volume among"),
    ]
    for call, kind, words in cases:
        with pytest.raises(kind, match=f"(?s){words}"):
            call()
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.slow
def test_without_nilearn_the_extra_is_named(tmp_path):
    path = write(tmp_path / Z_MAP, head((8, 8, 8)))
    code = (
        "import sys; sys.modules['nilearn'] = None\n"
        "from neurofetch import console\n"
        "from neurofetch._cli import build_parser\n"
        f"sys.exit(console.run('neurofetch', build_parser, ['show', {str(path)!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "pip install 'neurofetch[plot]'" in done.stderr
    assert "Traceback" not in done.stderr


# -- tables and surfaces ---------------------------------------------------------------------------


def test_a_table_is_drawn_with_what_is_left_out(data, tmp_path):
    drawn = show(data / "participants.tsv", tmp_path / "a.svg")
    words = drawn.path.read_text()
    assert "participant_id" in words
    assert "all 1 rows" in words
    events = show(one(data, "*run-01_events.tsv"), tmp_path / "b.svg").path.read_text()
    assert "trial_type" in events
    assert "10 columns" in events
    for content in (b"", b"\xff\xfe", b"a\tb\n" * 200, b"a\n" + b"x" * 100_000, b'a\t"b\n'):
        (tmp_path / "t.tsv").write_bytes(content)
        assert show(tmp_path / "t.tsv", tmp_path / "t.png").path.is_file()


def test_values_on_a_surface_are_drawn_on_the_subjects_own(data, tmp_path):
    path = one(data, "*hemi-R*faceVsOthers*.func.gii")
    drawn = show(path, tmp_path / "a.svg")
    words = drawn.path.read_text()
    assert "right, lateral" in words
    assert "right, ventral" in words
    alone = tmp_path / path.name
    alone.write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match=r"643 vertices.*--include-freesurfer"):
        show(alone, tmp_path / "b.png")
    alone.write_bytes(path.read_bytes()[:900])
    with pytest.raises(VerificationError, match="Nothing was drawn"):
        show(alone, tmp_path / "b.png")


# -- many files ------------------------------------------------------------------------------------


@pytest.fixture
def maps(tmp_path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    for number in range(5):
        name = f"sub-{number:02d}_space-MNI152NLin6Asym_stat-t_statmap.nii.gz"
        (folder / name).write_bytes(brain_map_gz(number, 6.0))
    return folder


def test_a_directory_is_a_sheet_of_pages_and_says_what_is_left_out(maps, tmp_path):
    (maps / ".neurofetch").mkdir()
    (maps / ".neurofetch" / "x.nii.gz").write_bytes(b"")
    (maps / "notes.txt").write_text("x")
    first = show(maps, tmp_path / "a.png", limit=3)
    assert [path.name[:6] for path in first.files] == ["sub-00", "sub-01", "sub-02"]
    assert first.pages == 2
    assert first.notes == ("page 1 of 2: 1 to 3 of 5 volumes", "1 file beside them is no volume")
    second = show(maps, tmp_path / "b.png", limit=3, page=2)
    assert [path.name[:6] for path in second.files] == ["sub-03", "sub-04"]
    chosen = show(maps, tmp_path / "c.png", include=["sub-03*", "*sub-04*"])
    assert [path.name[:6] for path in chosen.files] == ["sub-03", "sub-04"]


@pytest.mark.slow
def test_a_sheet_is_bounded_whatever_is_asked_for(tmp_path):
    folder = tmp_path / "many"
    content = write(tmp_path / "x.nii.gz", head((6, 6, 6))).read_bytes()
    folder.mkdir()
    for number in range(60):
        (folder / f"map_{number:03d}.nii.gz").write_bytes(content)
    drawn = show(folder, tmp_path / "a.png", limit=10_000)
    assert (len(drawn.files), drawn.pages) == (48, 2)


def test_labels_that_lie_side_by_side_have_colours_of_their_own(tmp_path):
    values = np.zeros((9, 9, 9), np.int16)
    for number, label in enumerate((2, 3, 29, 30, 1002, 2035)):
        values[number + 1] = label
    path = write(tmp_path / "sub-01_dseg.nii.gz", values)
    drawn = np.asarray(panel(read_volume(path)).image.dataobj)
    assert len(np.unique(drawn[drawn > 0])) == 6


def test_maps_that_compare_have_one_range(maps):
    entries = [Entry(path) for path in sorted(maps.iterdir())]
    made = draw_sheet(entries, Origin(), "t", "")
    assert len({scale for scale in scales(made.figure) if scale[0] == "cold-grey-hot"}) == 1


@pytest.mark.parametrize("beside", [0.5, 30, 1e-6])
def test_zero_is_grey_beside_maps_of_one_sign(tmp_path, beside):
    two = write(tmp_path / "two.nii.gz", head() - head().mean())
    one = write(tmp_path / "one.nii.gz", (np.abs(head(seed=1)) * beside).astype(np.float32))
    made = draw_sheet([Entry(two), Entry(one)], Origin(), "t", "")
    ends = {(low, high) for name, low, high in scales(made.figure) if name == "cold-grey-hot"}
    assert ends
    assert all(low == -high for low, high in ends)


def test_a_damaged_file_has_a_cell_that_says_so_and_the_others_are_drawn(maps, tmp_path):
    victim = sorted(maps.iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:2000])
    drawn = show(maps, tmp_path / "a.svg")
    assert len(drawn.files) == 4
    assert any(victim.name in note for note in drawn.notes)
    assert drawn.failed == (victim,)
    assert "cannot be read" in drawn.path.read_text()


DAMAGED = {"empty": b"", "cut": None, "an error page": b"<html>503</html>" * 50}


@pytest.mark.parametrize("content", DAMAGED)
def test_a_directory_of_which_nothing_can_be_drawn_is_an_error_and_no_picture(
    maps, tmp_path, content
):
    for path in maps.iterdir():
        path.write_bytes(path.read_bytes()[:2000] if content == "cut" else DAMAGED[content])
    with pytest.raises(VerificationError, match=r"(?s)None of 5 volumes.*sub-00"):
        show(maps, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
    for path in sorted(maps.iterdir())[1:]:
        path.unlink()
    with pytest.raises(VerificationError, match=r"sub-00\S* cannot be read"):
        show(maps, tmp_path / "a.png")


KEY = ".git/annex/objects/Qw/Zx/MD5E-s9--0.nii.gz/MD5E-s9--0.nii.gz"
NOT_HERE = {
    "a link of git-annex": (f"../{KEY}", b"", "datalad get"),
    "an unlocked file of git-annex": ("", b"/annex/objects/MD5E-s9--0.nii.gz\n", "datalad get"),
    "a pointer of Git LFS": ("", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a link to a disk that was purged": ("/scratch/gone/map.nii.gz", b"", "the same 'neurofetch"),
}


@pytest.mark.parametrize("end", ["_T1w.nii.gz", "_events.tsv", "_hemi-L.func.gii"])
@pytest.mark.parametrize("kind", NOT_HERE)
def test_of_content_that_was_not_fetched_it_is_told_what_brings_it(tmp_path, kind, end):
    target, content, brings = NOT_HERE[kind]
    path = tmp_path / f"sub-01{end}"
    if target:
        path.symlink_to(target)
    else:
        path.write_bytes(content)
    with pytest.raises(FileNotFoundError, match="its content was not fetched") as found:
        show(path, tmp_path / "a.png")
    assert isinstance(found.value, UsageError)
    assert brings in str(found.value)
    assert "verify" not in str(found.value)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_millimetres_stand_clear_of_the_slices(maps, count):
    sheet = draw_sheet([Entry(path) for path in sorted(maps.iterdir())[:count]], Origin(), "", "")
    renderer = sheet.figure.canvas.get_renderer()
    labels = millimetres(sheet)
    assert len(labels) == 3 * count
    for label in labels:
        gap = label.axes.bbox.y0 - label.get_window_extent(renderer).y1
        assert gap * 72 / sheet.figure.dpi >= 1.5, label.get_text()


def test_on_a_sheet_content_that_was_not_fetched_is_told_from_what_is_damaged(maps, tmp_path):
    paths = sorted(maps.iterdir())
    for path in paths[:2]:
        path.unlink()
        path.symlink_to(f"../{KEY}")
    drawn = show(maps, tmp_path / "a.svg")
    assert drawn.failed == tuple(paths[:2])
    assert drawn.path.read_text().count("its content is not here") == 2
    for path in paths[2:]:
        path.unlink()
        path.symlink_to(f"../{KEY}")
    with pytest.raises(FileNotFoundError, match="datalad get sub-00"):
        show(maps, tmp_path / "b.svg")


def saved(
    path: Path, values: np.ndarray, *, space: int = 2, intent: str = "none", descrip=""
) -> Path:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [-46, -60, -40]
    image = nib.Nifti1Image(values, affine)
    image.header.set_sform(affine, code=space)
    image.header.set_intent(intent)
    image.header["descrip"] = descrip.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def test_titles_of_what_a_program_named_say_what_it_is(tmp_path):
    said = "SPM{T_[18.0]} - contrast 1: faces > houses"
    path = saved(tmp_path / "spmT_0001.nii", head(), descrip=said)
    assert (
        "faces &gt; houses · t map · spmT_0001" in show(path, tmp_path / "a.svg").path.read_text()
    )
    path = saved(tmp_path / "s.feat" / "stats" / "zstat1.nii.gz", head())
    assert "zstat1 · z map" in show(path, tmp_path / "b.svg").path.read_text()
    path = saved(tmp_path / "image.nii.gz", head(), intent="t test")
    assert "image · t map" in show(path, tmp_path / "c.svg").path.read_text()


@pytest.mark.parametrize(
    ("name", "space", "grey"),
    [
        ("zstat1.nii.gz", 4, True),
        ("zstat1.nii.gz", 1, False),
        ("zstat1.nii.gz", 2, False),
        ("sub-01_space-T1w_stat-z_statmap.nii.gz", 4, False),
    ],
)
def test_the_header_says_that_a_map_is_in_mni_space_where_the_name_says_no_space(
    tmp_path, name, space, grey
):
    made = draw_one(Entry(saved(tmp_path / name, head(), space=space)), Origin(), None, None)
    assert ("gray" in {scale[0] for scale in scales(made.figure)}) == grey


def test_of_maps_that_differ_the_first_is_drawn_and_no_mean(tmp_path):
    several = np.stack([head(seed=n) for n in range(3)], axis=-1)
    for name in ("melodic_IC.nii.gz", "stats.sub-01.nii.gz", "zstats.nii.gz"):
        volume = read_volume(saved(tmp_path / name, several))
        assert volume.which == "volume 1 of 3"
        assert np.allclose(volume.values, several[..., 0])
    assert read_volume(saved(tmp_path / "cope.nii.gz", several)).which == "mean of 3 volumes"


def test_a_header_and_its_voxels_are_one_volume(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    nib.save(nib.Nifti1Pair(head(), np.diag([4.0, 4, 4, 1])), folder / "spmT_0001.img")
    shutil.copy(folder / "spmT_0001.img", folder / "other.img")
    shutil.copy(folder / "spmT_0001.hdr", folder / "other.hdr")
    drawn = show(folder, tmp_path / "a.png")
    assert [path.name for path in drawn.files] == ["other.img", "spmT_0001.img"]
    assert drawn.notes == ()
    assert show(folder / "other.hdr", tmp_path / "b.png").files == (folder / "other.hdr",)


AFNI = """
type  = integer-attribute
name  = DATASET_DIMENSIONS
count = 5
 4 5 6 0 0

type  = integer-attribute
name  = DATASET_RANK
count = 8
 3 1 0 0 0 0 0 0

type  = integer-attribute
name  = BRICK_TYPES
count = 1
 3

type  = float-attribute
name  = IJK_TO_DICOM_REAL
count = 12
 -4 0 0 8 0 -4 0 10 0 0 4 -12

type  = string-attribute
name  = BYTEORDER_STRING
count = 10
'LSB_FIRST~

type  = integer-attribute
name  = SCENE_DATA
count = 8
 0 2 0 -999 -999 -999 -999 -999

type  = string-attribute
name  = TYPESTRING
count = 15
'3DIM_HEAD_FUNC~

type  = float-attribute
name  = DELTA
count = 3
 4 4 4
"""


@pytest.mark.parametrize("named", ["HEAD", "BRIK"])
def test_a_volume_of_afni_is_drawn_by_either_of_its_names(tmp_path, named):
    (tmp_path / "s_Zscr+tlrc.HEAD").write_text(AFNI)
    (tmp_path / "s_Zscr+tlrc.BRIK").write_bytes(head((4, 5, 6)).astype("<f4").tobytes(order="F"))
    drawn = show(tmp_path / f"s_Zscr+tlrc.{named}", tmp_path / "a.svg")
    assert "s_Zscr+tlrc · z map" in drawn.path.read_text()


@pytest.mark.parametrize("name", ["roi_mask.nii.gz", "atlas.nii.gz", "cluster_mask_zstat1.nii.gz"])
def test_slices_go_through_a_region_also_where_the_middle_of_two_is_in_none(tmp_path, name):
    values = np.zeros((30, 30, 30), np.int16)
    values[4:9, 8:12, 8:20] = values[21:26, 8:12, 8:20] = 7
    path = saved(tmp_path / name, values, space=4)
    sheet = draw_one(Entry(path), Origin(), None, None)
    _, volume = sheet.drawn[0]
    cuts = [
        float(axes.get_text()[4:-3].replace("\N{MINUS SIGN}", "-")) for axes in millimetres(sheet)
    ]
    voxel = np.rint(np.linalg.inv(volume.affine) @ [*cuts[:3], 1])[:3].astype(int)
    assert values[tuple(voxel)] == 7
    for height in cuts[3:]:
        assert values[:, :, round((height + 40) / 4)].any()


def millimetres(sheet) -> list:
    """Return the labels below slices: of three views, then of each height."""
    return [
        text for axes in sheet.figure.axes for text in axes.texts if text.get_text().endswith(" mm")
    ]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *(("a.nii.gz", {"page": 2}), ("a.nii.gz", {"include": "*_T1w.nii.gz"})),
        *(("t.tsv", {"frame": 2}), ("t.tsv", {"page": 3}), ("lh.sig.mgh", {"frame": 1})),
    ],
    ids=str,
)
def test_what_a_file_has_not_is_told_and_not_passed_over(tmp_path, name, more):
    write(tmp_path / "a.nii.gz", head((8, 9, 8)))
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n")
    nib.save(nib.MGHImage(np.ones((10242, 1, 1), np.float32), np.eye(4)), tmp_path / "lh.sig.mgh")
    with pytest.raises(UsageError):
        show(tmp_path / name, tmp_path / "a.png", **more)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(("name", "side"), [("lh.sig.mgh", "left"), ("rh.sig.mgz", "right")])
def test_values_of_freesurfer_on_a_surface_are_no_volume(tmp_path, name, side):
    values = np.random.default_rng(0).normal(0, 2, (10242, 1, 1)).astype(np.float32)
    nib.save(nib.MGHImage(values, np.eye(4)), tmp_path / name)
    words = show(tmp_path / name, tmp_path / "a.svg").path.read_text()
    assert f"{side}, lateral" in words
    assert "log p map" in words
    large = nib.MGHImage(np.ones((163842, 1, 1), np.float32), np.eye(4))
    nib.save(large, tmp_path / name)
    with pytest.raises(UsageError, match="no surface with as many is here"):
        show(tmp_path / name, tmp_path / "b.svg")
    write(tmp_path / "zstat1.nii.gz", head((8, 9, 8)))
    drawn = show(tmp_path, tmp_path / "c.svg")
    assert drawn.failed == (tmp_path / name,)
    assert any("vertices of a surface" in note for note in drawn.notes)


def test_a_link_that_leads_back_to_itself_is_told(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to("a.nii.gz")
    with pytest.raises(FileNotFoundError, match="a link that leads back to itself"):
        show(tmp_path / "a.nii.gz", tmp_path / "a.png")


def turned(kind: str, seed: int) -> np.ndarray:
    """Return the directions of the axes of a grid: in any order, either way, and not upright."""
    rng = np.random.default_rng(seed)
    steps = np.zeros((3, 3))
    for axis, direction in enumerate(rng.permutation(3)):
        steps[direction, axis] = rng.choice([-1, 1]) * (3, 4, 5)[axis]
    if kind == "oblique":
        tilt = 0.3
        turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0]])
        return np.vstack([turn, [0, 0, 1]]) @ steps
    if kind == "sheared":
        steps[0] += 0.4 * steps[1]
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["upright", "oblique", "sheared"])
def test_slices_lie_where_those_of_nilearn_lie_and_show_a_place_where_it_is(tmp_path, kind, seed):
    place, shape = np.array([-30.0, 20, 10]), (34, 30, 26)
    affine = np.eye(4)
    affine[:3, :3] = turned(kind, seed)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    where = voxels @ affine[:3, :3].T + affine[:3, 3]
    inside = (where**2).sum(axis=-1) < 60**2
    noise = np.random.default_rng(seed).normal(0, 0.5, shape)
    blob = 8 * np.exp(-((where - place) ** 2).sum(axis=-1) / 80)
    path = write(tmp_path / Z_MAP, (inside * (noise + blob)).astype(np.float32), affine)
    sheet = draw_one(Entry(path), Origin(), None, None)
    words = [text.get_text()[4:-3] for text in millimetres(sheet)[:3]]
    cuts = [float(word.replace("\N{MINUS SIGN}", "-")) for word in words]
    assert np.abs(cuts - place).max() <= 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = plotting.plot_img(str(path), cut_coords=cuts, display_mode="ortho", colorbar=False)
    ours = [image for axes in sheet.figure.axes for image in axes.get_images()][:3]
    for image, (_, cut), across in zip(
        ours, theirs.axes.items(), ((1, 2), (0, 2), (0, 1)), strict=True
    ):
        (other,) = cut.ax.get_images()
        assert image.get_extent() == pytest.approx(other.get_extent())
        left, right, bottom, top = image.get_extent()
        values = np.ma.filled(np.ma.masked_invalid(image.get_array()), -99)
        row, column = np.unravel_index(values.argmax(), values.shape)
        x = left + (column + 0.5) * (right - left) / values.shape[1]
        begin, end = (top, bottom) if image.origin == "upper" else (bottom, top)
        y = begin + (row + 0.5) * (end - begin) / values.shape[0]
        assert np.abs(np.array([x, y]) - place[list(across)]).max() <= 8
    theirs.close()


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_the_path_and_talks_of_the_rest(maps, tmp_path):
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "neurofetch", "show", *argv]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    done = run("maps", "--limit", "2", "--out", "a.png")
    assert (done.returncode, done.stdout) == (0, "a.png\n")
    assert "page 1 of 3" in done.stderr
    done = run("maps", "--limit", "2", "--page", "3", "--json", "--quiet")
    said = json.loads(done.stdout)
    assert said["document"] == "picture"
    assert said["path"] == "maps.png"
    assert len(said["files"]) == 1
    assert said["pages"] == 3
    assert said["failed"] == []
    victim = maps / "sub-01_space-MNI152NLin6Asym_stat-t_statmap.nii.gz"
    victim.write_bytes(b"damaged")
    done = run("maps", "--out", "b.png")
    assert (done.returncode, done.stdout) == (4, "b.png\n")
    assert victim.name in done.stderr
    done = run("maps", "--include", "sub-01*", "--out", "c.png")
    assert (done.returncode, done.stdout) == (4, "")
    assert not (tmp_path / "c.png").exists()
    done = run("maps", "--page", "9")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    done = run("maps/nothing.nii.gz")
    assert done.returncode == 2
    assert "is not here" in done.stderr


def test_errors_are_of_the_one_tree():
    assert all(
        issubclass(kind, NeurofetchError)
        for kind in (VerificationError, UsageError, DestinationError, NothingMatchedError)
    )
    assert look_of("x_T1w.nii").kind == "anatomy"
