"""Readers of pictures, embeddings, segmentations and captions, on files made for the purpose."""

from __future__ import annotations

import fcntl
import io
import multiprocessing
import os
import pickle
import resource
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from laion_fmri.captions import Captions
from laion_fmri.embeddings import AVAILABLE_MODELS, Embeddings, load_embeddings
from laion_fmri.errors import (
    BadDataError,
    CorruptFileError,
    DataNotDownloadedError,
    StimuliNotDownloadedError,
)
from laion_fmri.segmentations import Segmentations
from laion_fmri.stimuli import (
    Stimuli,
    as_displayed_rgb,
    load_stimuli,
    load_stimulus,
    load_stimulus_metadata,
)
from laion_fmri.subject import load_subject
from testbed.laion import trial_labels
from tests.loader_tree import RECIPE, write_tree

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["shared_b.png", "shared_a.jpg", "NA", "unique_c_p04.png"]
BASE = "stimuli/task-images_"


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def pictures() -> list[Image.Image]:
    clear = np.zeros((4, 5, 4), np.uint8)
    clear[..., 0] = 255
    clear[0, 0, 3] = 51
    indexed = Image.new("P", (5, 4), 1)
    indexed.putpalette([1, 2, 3, 255, 0, 0])
    return [
        Image.fromarray(clear),
        Image.new("RGB", (5, 4), (9, 8, 7)),
        Image.new("L", (5, 4), 77),
        indexed,
    ]


def write(root: Path, *, contents: list[bytes] | None = None, names: list[str] = NAMES) -> Path:
    """Write pictures with their table; the last is of a palette with a clear colour."""
    (root / "stimuli").mkdir(parents=True, exist_ok=True)
    if contents is None:
        plain = pictures()
        stream = io.BytesIO()
        plain[3].save(stream, "PNG", transparency=1)
        contents = [*map(encoded, plain[:3]), stream.getvalue()]
    with h5py.File(root / f"{BASE}stimuli.h5", "w") as file:
        data = file.create_dataset("images", (len(contents),), dtype=h5py.vlen_dtype(np.uint8))
        for row, content in enumerate(contents):
            data[row] = np.frombuffer(content, np.uint8)
    lines = ["image_name,dataset,participant,unique_or_shared,n_reps"]
    lines += [f"{name},LAION,p04,{name.split('_')[0]},4" for name in names]
    (root / f"{BASE}metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def write_embeddings(
    root: Path, model: str, ids: list[str], valid: list[bool] | None = None, vectors: Any = None
) -> None:
    (root / "stimuli").mkdir(parents=True, exist_ok=True)
    if vectors is None:
        vectors = np.arange(len(ids) * 3).reshape(-1, 3) + len(model)
    with h5py.File(root / f"{BASE}desc-{model}_embeddings.h5", "w") as file:
        file["embedding"] = np.asarray(vectors, np.float16)
        file.create_dataset("image_ids", data=ids, dtype=h5py.string_dtype())
        file["valid"] = np.ones(len(ids), bool) if valid is None else np.asarray(valid)


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_are_found_by_name_and_by_row(tmp_path):
    with load_stimuli(write(tmp_path)) as found:
        images = found.images
        assert (len(images), images.names()) == (4, NAMES)
        assert [name for name, _ in images] == NAMES
        for row, name in enumerate(NAMES):
            assert images.index_of(name) == row
            assert images[name] == images[row] == images[np.int64(row)] == dict(images)[name]
            assert images[np.str_(name)] == images[name]
            assert name in images
        assert "no such" not in images
        assert 0 not in images


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("shared_B.png", KeyError),
        (4, IndexError),
        (-1, IndexError),
        (np.int32(-1), IndexError),
        (1.0, TypeError),
        (None, TypeError),
        (True, TypeError),
        (b"shared_b.png", TypeError),
    ],
)
def test_a_key_that_is_none_is_an_error_of_its_kind(tmp_path, key, error):
    images = Stimuli(write(tmp_path)).images
    for call in (images.__getitem__, images.get):
        with pytest.raises(error):
            call(key)


def test_a_row_is_no_name_to_look_for(tmp_path):
    images = Stimuli(write(tmp_path)).images
    for key in (0, ["NA"], None):
        with pytest.raises(TypeError, match="no name of a picture"):
            images.index_of(key)


def test_a_misspelt_name_is_told_with_the_nearest(tmp_path):
    with pytest.raises(KeyError, match=r"shared_a\.jpg"):
        Stimuli(write(tmp_path)).images.get("shared_a.jpeg")


def test_what_is_transparent_lies_on_grey_whatever_the_mode(tmp_path):
    images = Stimuli(write(tmp_path)).images
    red = np.array(images.get("shared_b.png"))
    assert red[1, 1].tolist() == [128, 128, 128]
    assert red[0, 0].tolist() == [153, 102, 102]  # a fifth of red
    assert np.array(images.get(3))[0, 0].tolist() == [128, 128, 128]  # a palette
    assert np.array(images.get("NA"))[0, 0].tolist() == [77, 77, 77]
    assert {images.get(row).mode for row in range(4)} == {"RGB"}
    assert [images.get(row, as_displayed=False).mode for row in range(4)] == [
        "RGBA",
        "RGB",
        "L",
        "P",
    ]


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("LA", (1, 1), (10, 0)), (128, 128, 128)),
        (Image.new("LA", (1, 1), (10, 255)), (10, 10, 10)),
        (Image.new("RGBA", (1, 1), (1, 2, 3, 255)), (1, 2, 3)),
        (Image.new("RGB", (1, 1), (1, 2, 3)), (1, 2, 3)),
        (Image.new("1", (1, 1), 1), (255, 255, 255)),
        (Image.new("CMYK", (1, 1), (0, 0, 0, 0)), (255, 255, 255)),
    ],
)
def test_a_picture_as_displayed_is_rgb_and_the_other_is_not_touched(image, pixel):
    before = image.tobytes()
    shown = as_displayed_rgb(image)
    assert (shown.mode, shown.getpixel((0, 0))) == ("RGB", pixel)
    assert image.tobytes() == before
    assert shown is not image


def test_an_array_is_no_picture_to_display():
    for wrong in (np.zeros((2, 2, 3), np.uint8), None, "a.jpg"):
        with pytest.raises(TypeError, match="expected a PIL image"):
            as_displayed_rgb(wrong)


@pytest.mark.parametrize("kind", ["V", np.int64])
def test_encoded_pictures_are_bytes_however_they_are_stored(tmp_path, kind):
    root = write(tmp_path)
    content = encoded(Image.new("RGB", (3, 2), (1, 2, 3)))
    numbers = np.frombuffer(content, np.uint8)
    with h5py.File(root / f"{BASE}stimuli.h5", "w") as file:
        if kind == "V":
            file["images"] = np.array([np.void(content)] * len(NAMES))
        else:
            data = file.create_dataset("images", (len(NAMES),), dtype=h5py.vlen_dtype(kind))
            for row in range(len(NAMES)):
                data[row] = numbers
    images = Stimuli(root).images
    assert images["NA"] == content
    assert images.get(0).getpixel((0, 0)) == (1, 2, 3)


def test_pictures_as_one_array_keep_order_and_repetitions(tmp_path):
    images = Stimuli(write(tmp_path)).images
    keys = ["NA", "shared_b.png", "NA", 1]
    found = images.array(keys)
    assert (found.dtype, found.shape) == (np.uint8, (4, 4, 5, 3))
    for row, key in enumerate(keys):
        assert np.array_equal(found[row], np.array(images.get(key)))
    assert images.array([]).shape[0] == 0


def test_pictures_of_several_sizes_make_no_array(tmp_path):
    contents = [encoded(Image.new("RGB", (n, 3))) for n in (4, 5)]
    images = Stimuli(write(tmp_path, contents=contents, names=["a", "b"])).images
    with pytest.raises(ValueError, match="b is 3 by 5, others are 3 by 4"):
        images.array(["a", "b"])


def test_names_of_earlier_versions_still_work(tmp_path):
    root = write(tmp_path)
    with Stimuli(root) as found:
        assert (len(found), found.names(), found.index_of("NA")) == (4, NAMES, 2)
        assert "NA" in found
        assert found["NA"] == found.images["NA"]
        assert found.image("NA").getpixel((0, 0)) == (77, 77, 77)
        content = found["NA"]
    assert load_stimulus("NA", root) == content
    assert load_stimulus(2, root, decode=True).size == (5, 4)
    assert load_stimulus_metadata(root)["image_name"].tolist() == NAMES


def test_a_reader_that_was_closed_says_so(tmp_path):
    with load_stimuli(write(tmp_path)) as found:
        found.images.get(0)
    with pytest.raises(ValueError, match="closed"):
        found.images.get(0)


# --- faults of files ------------------------------------------------------------------------------


def test_each_missing_file_is_told_with_the_call_that_brings_it(tmp_path):
    tmp_path.joinpath("stimuli").mkdir()
    for call, words in (
        (Stimuli, "download_stimuli"),
        (load_stimulus_metadata, "download_stimuli"),
        (lambda root: Embeddings("CLIP", root), 'download_embeddings("CLIP"'),
        (Segmentations, "download_segmentations"),
        (Captions, "download_captions"),
    ):
        with pytest.raises(DataNotDownloadedError) as caught:
            call(tmp_path)
        assert words in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert isinstance(caught.value, FileNotFoundError)
        scope: dict[str, Any] = {}
        call_text = str(caught.value).partition(":\n")[2]
        compile("\n".join(line.strip() for line in call_text.splitlines()), "message", "exec")
        assert not scope
    write(tmp_path)
    for name in ("stimuli.h5", "metadata.csv"):
        content = (tmp_path / f"{BASE}{name}").read_bytes()
        (tmp_path / f"{BASE}{name}").unlink()
        with pytest.raises(StimuliNotDownloadedError):
            Stimuli(tmp_path)
        (tmp_path / f"{BASE}{name}").write_bytes(content)
    with pytest.raises(FileNotFoundError, match="download_embeddings"):
        _ = Stimuli(tmp_path).embeddings


def test_rows_that_do_not_match_the_archive_are_an_error(tmp_path):
    found = Stimuli(write(tmp_path, names=NAMES[:3]))
    with pytest.raises(BadDataError, match=r"4 pictures.*3 rows"):
        found.images.get(0)


def test_a_picture_that_is_damaged_is_named_and_the_others_can_be_read(tmp_path):
    contents = [encoded(one) for one in pictures()]
    contents[1] = contents[1][:40]
    contents[2] = b"no picture"
    images = Stimuli(write(tmp_path, contents=contents)).images
    for name in (NAMES[1], NAMES[2]):
        with pytest.raises(CorruptFileError, match=name):
            images.get(name)
    assert images.get(NAMES[0]).size == (5, 4)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(64)])
def test_an_archive_that_is_none_is_told(tmp_path, content):
    root = write(tmp_path)
    (root / f"{BASE}stimuli.h5").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"stimuli\.h5"):
        Stimuli(root).images.get(0)


@pytest.mark.slow
def test_damage_inside_of_an_archive_is_no_missing_name(tmp_path):
    write_embeddings(tmp_path, "CLIP", [f"n{n}" for n in range(50)])
    path = tmp_path / f"{BASE}desc-CLIP_embeddings.h5"
    whole = path.read_bytes()
    told, unknown = 0, []
    for start in range(0, len(whole), 64):
        path.write_bytes(whole[:start] + b"\xff" * 64 + whole[start + 64 :])
        found = Embeddings("CLIP", tmp_path)
        try:
            found.get("CLIP", "n3")
        except BadDataError as error:  # and no KeyError, which scripts take for an unknown name
            told += str(path) in str(error)
        except KeyError as error:
            unknown.append(str(error))
        found.close()
    assert told
    assert all("no picture 'n3'" in text for text in unknown)  # the names were overwritten


@pytest.mark.parametrize(
    "stand_in",
    [
        lambda path: path.symlink_to("../.git/annex/objects/away"),
        lambda path: path.write_text("/annex/objects/MD5E-s12--0123\n"),
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    ],
    ids=["a link to", "a git-annex pointer", "a Git LFS pointer"],
)
def test_what_stands_for_content_that_is_not_here_is_named(tmp_path, stand_in, request):
    root = write_tree(tmp_path / "data")
    what = request.node.callspec.id
    for name, call in (
        ("stimuli.h5", Stimuli),
        ("metadata.csv", load_stimulus_metadata),
        ("desc-CLIP_embeddings.h5", lambda root: Embeddings("CLIP", root)),
        ("desc-segmentations.h5", Segmentations),
        ("desc-captions.csv", Captions),
    ):
        path = root / f"{BASE}{name}"
        content = path.read_bytes()
        path.unlink()
        stand_in(path)
        with pytest.raises(DataNotDownloadedError, match=rf"{path.name} is {what}"):
            call(root)
        path.unlink()
        path.write_bytes(content)
        call(root)


def test_a_file_that_another_program_holds_a_lock_on_is_read(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b"])
    with (tmp_path / f"{BASE}desc-CLIP_embeddings.h5").open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(Embeddings("CLIP", tmp_path)) == 2


def test_a_file_can_be_open_in_h5py_too(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b"])
    path = tmp_path / f"{BASE}desc-CLIP_embeddings.h5"
    with h5py.File(path) as before, Embeddings("CLIP", tmp_path) as found:
        assert len(found) == len(before["embedding"])
    with Embeddings("CLIP", tmp_path) as found:
        assert len(found) == 2
        with h5py.File(path) as after:
            assert len(after["embedding"]) == 2


def test_what_the_system_refuses_is_no_damage(tmp_path):
    """Here: too many open files."""
    write_embeddings(tmp_path, "CLIP", ["a", "b"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = Embeddings("CLIP", tmp_path)
    with open(os.devnull) as file:
        next_one = file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
    try:
        with pytest.raises(OSError, match="open") as caught:
            len(found)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not isinstance(caught.value, CorruptFileError)
    assert len(found) == 2


def test_embeddings_whose_content_is_not_here_are_left_out_where_no_model_is_asked_for(tmp_path):
    root = write_tree(tmp_path / "data")
    path = root / f"{BASE}desc-CLIP_embeddings.h5"
    path.unlink()
    path.write_text("/annex/objects/MD5E-s12--0123\n")
    assert Stimuli(root).embeddings.models == load_subject("03", data_dir=root).embeddings.models
    assert "CLIP" not in Stimuli(root).embeddings


def test_an_archive_of_something_else_is_told(tmp_path):
    root = write(tmp_path)
    with h5py.File(root / f"{BASE}stimuli.h5", "w") as file:
        file["pictures"] = [1, 2]
    with pytest.raises(BadDataError, match=r"no dataset 'images'.*pictures"):
        Stimuli(root).images.get(0)


@pytest.mark.parametrize("text", ["", "a;b\n1;2\n", "name\nx\n"])
def test_a_table_that_is_none_is_told(tmp_path, text):
    root = write(tmp_path)
    (root / f"{BASE}metadata.csv").write_text(text)
    with pytest.raises(BadDataError, match=r"metadata\.csv"):
        Stimuli(root).images.names()


# --- embeddings -----------------------------------------------------------------------------------


def test_each_model_has_an_order_of_its_own(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b", "c"])
    write_embeddings(tmp_path, "PEcore", ["c", "a", "b"])
    found = Embeddings(["PEcore", "CLIP"], tmp_path)
    assert (found.models, found.image_ids.tolist(), len(found)) == (
        ["PEcore", "CLIP"],
        ["c", "a", "b"],
        3,
    )
    assert found.get("CLIP", "c").tolist() == [10, 11, 12]
    assert found.get("PEcore", "c").tolist() == [6, 7, 8]
    assert found["CLIP"].shape == (3, 3)


def test_names_may_come_in_any_order_and_more_than_once(tmp_path):
    ids = [f"n{n}" for n in range(200)]
    write_embeddings(tmp_path, "CLIP", ids)
    found = Embeddings("CLIP", tmp_path)
    whole = found["CLIP"][:]
    for rows in ([3], [5, 3, 5, 5, 0], list(range(199, -1, -1)) * 2, [], [7, 7]):
        names = [ids[row] for row in rows]
        for given in (names, tuple(names), np.array(names, dtype=str), pd.Series(names, dtype=str)):
            vectors = found.get("CLIP", given)
            assert (vectors.dtype, vectors.shape) == (np.float16, (len(rows), 3))
            assert np.array_equal(vectors, whole[rows])


def test_a_model_or_a_name_that_is_not_there_is_a_key_error(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b"])
    found = Embeddings("CLIP", tmp_path)
    for call in (
        lambda: found.get("PEcore", "a"),
        lambda: found["PEcore"],
        lambda: found.get("CLIP", "z"),
        lambda: found.get("CLIP", ["a", "z"]),
    ):
        with pytest.raises(KeyError):
            call()
    assert "CLIP" in found
    assert ("CLIP", "a") in found
    assert not {"PEcore", ("CLIP", "z"), ("PEcore", "a"), ("CLIP",)} & {
        one for one in ("PEcore", ("CLIP", "z"), ("PEcore", "a"), ("CLIP",)) if one in found
    }


@pytest.mark.parametrize(
    "models",
    ["CLIP", ["CLIP"], np.array(["CLIP"]), pd.Series(["CLIP"]), {"CLIP"}, np.str_("CLIP")],
    ids=lambda one: type(one).__name__,
)
def test_models_are_taken_from_whatever_holds_their_names(tmp_path, models):
    for model in ("CLIP", "PEcore"):
        write_embeddings(tmp_path, model, ["a", "b"])
    assert [type(one) for one in Embeddings(models, tmp_path).models] == [str]
    if hasattr(models, "tolist") and np.ndim(models):
        two = type(models)(["PEcore", "CLIP"]) if isinstance(models, pd.Series) else None
        two = np.array(["PEcore", "CLIP"]) if two is None else two
        assert Embeddings(two, tmp_path).models == ["PEcore", "CLIP"]


@pytest.mark.parametrize("models", ["clip", ["CLIP", "ViT"], [], 3, b"CLIP", [["CLIP"]]])
def test_a_model_that_does_not_exist_is_told_with_those_that_do(tmp_path, models):
    with pytest.raises(ValueError, match="SigLIP2"):
        load_embeddings(models, tmp_path)


@pytest.mark.parametrize("names", [0, None, b"a", 1.5, np.array("a")])
def test_what_is_no_list_of_names_is_told_and_not_taken_apart(tmp_path, names):
    write_embeddings(tmp_path, "CLIP", ["a", "b"])
    with pytest.raises(TypeError, match="expected"):
        Embeddings("CLIP", tmp_path).get("CLIP", names)
    images = Stimuli(write(tmp_path)).images
    with pytest.raises(TypeError, match="expected"):
        images.array(names)
    with pytest.raises(TypeError, match="one name"):
        images.array(NAMES[0])


def test_what_is_no_name_is_in_no_reader(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b"])
    found = Embeddings("CLIP", tmp_path)
    for one in (0, ["CLIP"], ("CLIP", ["a"]), ("CLIP", 0), (["CLIP"], "a"), None):
        assert one not in found
    with pytest.raises(KeyError, match="not loaded"):
        found.get(["CLIP"], "a")
    with pytest.raises(KeyError, match=r"no picture 0 among 2\.\W*$"):
        found.get("CLIP", [0])


def test_the_nearest_name_is_looked_for_when_the_message_is_read(tmp_path):
    """Scripts try thousands of names; to look for the nearest of 25,000 takes a second."""
    write_embeddings(tmp_path, "CLIP", ["a.jpg", "b.jpg"])
    found = Embeddings("CLIP", tmp_path)
    with pytest.raises(KeyError) as caught:
        found.get("CLIP", "a.jpeg")
    assert caught.value.args == ("a.jpeg",)  # no message was made yet
    assert "Did you mean 'a.jpg'?" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))  # as it comes out of a worker process
    assert isinstance(again, KeyError)
    assert "a.jpg" in str(again)


class Vectors:
    """A dataset of PyTorch's."""

    def __init__(self, root: Path, names: list[str]) -> None:
        self.found = Embeddings("CLIP", root)
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, item: int) -> Any:
        return self.found.get("CLIP", self.names[item])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_unknown_name_in_a_worker_of_pytorch_is_a_key_error(tmp_path, method):
    data = pytest.importorskip("torch.utils.data")
    write_embeddings(tmp_path, "CLIP", ["a.jpg", "b.jpg"])

    def load(names: list[str]) -> list[tuple[int, ...]]:
        vectors = Vectors(tmp_path, names)
        loader = data.DataLoader(vectors, num_workers=1, multiprocessing_context=method)
        return [tuple(batch.shape) for batch in loader]

    assert load(["b.jpg", "a.jpg"]) == [(1, 3), (1, 3)]
    with pytest.raises(KeyError, match=r"Did you mean 'a\.jpg'"):
        load(["a.jpeg"])


def test_embeddings_that_do_not_say_what_is_valid_can_be_read(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b"])
    with h5py.File(tmp_path / f"{BASE}desc-CLIP_embeddings.h5", "r+") as file:
        del file["valid"]
    found = Embeddings("CLIP", tmp_path)
    assert found.get("CLIP", ["b", "a"]).shape == (2, 3)
    assert found.valid("CLIP").tolist() == [True, True]
    found.close()
    with h5py.File(tmp_path / f"{BASE}desc-CLIP_embeddings.h5", "r+") as file:
        file["valid"] = [True]
    with pytest.raises(BadDataError, match="of 1 vectors"):
        Embeddings("CLIP", tmp_path).get("CLIP", "a")


def test_vectors_that_are_marked_as_not_valid_are_told(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b"], valid=[True, False])
    found = Embeddings("CLIP", tmp_path)
    with pytest.warns(UserWarning, match="not valid: b"):
        found.get("CLIP", ["b", "a", "b"])
    assert found.valid("CLIP").tolist() == [True, False]
    assert found.get("CLIP", "a").shape == (3,)  # no warning: warnings are errors in the tests


def test_names_and_vectors_that_do_not_match_are_an_error(tmp_path):
    write_embeddings(tmp_path, "CLIP", ["a", "b"], vectors=np.zeros((3, 2)))
    with pytest.raises(BadDataError, match="2 names, but 3 vectors"):
        Embeddings("CLIP", tmp_path).get("CLIP", "a")


# --- segmentations and captions -------------------------------------------------------------------

SEGMENTS = """\
mask_row,image_name,noun,instance_id,score,box_x0,box_y0,box_x1,box_y1,localized,mask_file
0,b.jpg,null,0,0.5,0,0,1,1,True,m
1,b.jpg,"a, b",2,0.5,0,0,1,1,True,m
2,b.jpg,"a, b",0,0.5,0,0,1,1,{},m
3,NA,sky,0,,,,,,False,m
4,b.jpg,null,2,0.5,0,0,1,1,True,m
"""


@pytest.mark.parametrize("truth", ["True", "", "1"])
def test_nouns_and_names_are_text_whatever_they_are(tmp_path, truth):
    (tmp_path / "stimuli").mkdir()
    (tmp_path / f"{BASE}desc-segmentations_metadata.csv").write_text(SEGMENTS.format(truth))
    masks = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2)
    with h5py.File(tmp_path / f"{BASE}desc-segmentations.h5", "w") as file:
        file["masks"] = masks
    with Segmentations(tmp_path) as found:
        assert found.images() == ["NA", "b.jpg"]
        assert found.nouns("b.jpg") == ["null", "a, b"]
        assert (found.nouns("NA"), found.nouns("NA", localized_only=False)) == ([], ["sky"])
        assert np.array_equal(found.get("b.jpg", "a, b"), masks[2])
        assert np.array_equal(found.get("b.jpg", "a, b", 2), masks[1])
        assert np.array_equal(found.get("b.jpg", "null", instance=np.int64(2)), masks[4])
        assert np.array_equal(found[np.int64(3)], masks[3])
        for row in (-1, 5):
            with pytest.raises(IndexError):
                found[row]
        with pytest.raises(KeyError, match="'null', 'a, b'"):
            found.get("b.jpg", "sky")
        for odd in ("a, b", [0, 2], None, np.array([0, 2])):
            with pytest.raises(KeyError, match="no instance"):
                found.get("b.jpg", "a, b", odd)
        with pytest.raises(KeyError, match="null"):
            found.get("b.jpg", ["null"] * 4)
        for call in (found.for_image, found.nouns):
            with pytest.raises(TypeError, match="no name of a picture"):
                call(0)
        assert not any(map(found.has_image, (0, ["b.jpg"], None)))
        copy = found.for_image("b.jpg")
        copy["noun"] = "spoilt"
        assert found.nouns("b.jpg") == ["null", "a, b"]
        assert found.for_image("z").columns.tolist() == found.metadata.columns.tolist()


def test_a_mask_that_the_table_places_outside_of_the_archive_is_a_fault_of_the_table(tmp_path):
    (tmp_path / "stimuli").mkdir()
    with h5py.File(tmp_path / f"{BASE}desc-segmentations.h5", "w") as file:
        file["masks"] = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    lines = ["mask_row,image_name,noun,instance_id,localized"]
    lines += ["2,a,sky,0,True", "9,a,sea,0,True", ",a,sand,0,False"]  # one is empty: floats
    (tmp_path / f"{BASE}desc-segmentations_metadata.csv").write_text("\n".join(lines))
    found = Segmentations(tmp_path)
    assert found.get("a", "sky").tolist() == [[8, 9], [10, 11]]
    for noun in ("sea", "sand"):
        with pytest.raises(BadDataError, match=r"metadata\.csv.*mask_row"):
            found.get("a", noun)


def test_captions_are_text_whatever_they_are(tmp_path):
    (tmp_path / "stimuli").mkdir()
    lines = ["image_name,caption_idx,source,caption,origin_collection,participant_id,ai_model"]
    lines += ['a,2,human,"None",x,w1,', 'a,1,human,"no, ""yes""",x,w1,', "a,0,ai,null,,,m"]
    lines += ["b,1,human,,x,w2,"]
    (tmp_path / f"{BASE}desc-captions.csv").write_text("\n".join(lines))
    found = Captions(tmp_path)
    assert found.list("a") == ["null", 'no, "yes"', "None"]
    assert found.human("a") == ['no, "yes"', "None"]
    assert found.human("a", limit=1) == ['no, "yes"']
    assert (found.ai("a"), found.ai("b"), found.human("b")) == ("null", None, [""])
    assert (len(found), found.images()) == (4, ["a", "b"])
    assert "c" not in found
    for wrong in (-1, "1", 1.5):
        with pytest.raises(ValueError, match="expected"):
            found.human("a", limit=wrong)
    assert found.human("a", limit=np.int64(1)) == ['no, "yes"']
    with pytest.raises(ValueError, match="expected"):
        found.list("a", source="robot")
    for call in (found.get, found.list, found.human, found.ai):
        with pytest.raises(TypeError, match="no name of a picture"):
            call(0)


# --- trials, processes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("stimuli") / "data")


@pytest.fixture
def sub(tree):
    return load_subject("03", data_dir=tree)


@pytest.fixture
def labels() -> list[str]:
    return [one for session in RECIPE.sessions for one in trial_labels(RECIPE, "sub-03", session)]


def test_a_trial_is_a_number_over_all_sessions(sub, labels):
    table = sub.metadata
    assert table["image_name"].tolist() == table["label"].tolist() == labels
    assert table.columns.tolist()[-5:] == [
        "session_trial",
        "image_name",
        "stim_idx",
        "unique_or_shared",
        "dataset",
    ]
    names = sub.images._stimuli.images.names()
    assert [names[row] for row in table["stim_idx"]] == labels
    assert len(sub.images) == len(sub.embeddings) == len(labels)
    for wrong, error in ((-1, IndexError), (len(labels), IndexError), (1.5, TypeError)):
        for read in (sub.images.get, sub.segmentations.nouns, sub.captions.list):
            with pytest.raises(error):
                read(wrong)
    assert sub.images[np.int64(3)] == sub.images[3]


def test_sessions_are_chosen_by_either_name_and_in_the_order_asked(sub, labels):
    sessions = list(RECIPE.sessions)
    first = len(trial_labels(RECIPE, "sub-03", sessions[0]))
    whole = sub.embeddings.all("CLIP")
    assert np.array_equal(sub.embeddings.all("CLIP", sessions[0]), whole[:first])
    assert np.array_equal(sub.embeddings.all("CLIP", sessions[0][4:]), whole[:first])
    back = sub.embeddings.all("CLIP", sessions[:2][::-1])
    second = len(trial_labels(RECIPE, "sub-03", sessions[1]))
    assert np.array_equal(back[:second], whole[first : first + second])
    assert len(list(sub.images.all(sessions[0]))) == first
    for one in (int(sessions[0][4:]), np.int64(sessions[0][4:]), np.array(sessions[:1])):
        assert np.array_equal(sub.embeddings.all("CLIP", one), whole[:first])
    twice = sub.embeddings.all("CLIP", [sessions[0], sessions[0]])
    assert np.array_equal(twice, np.concatenate([whole[:first]] * 2))
    for gone in ("ses-99", 99):
        with pytest.raises(KeyError, match="99"):
            sub.embeddings.all("CLIP", gone)
    with pytest.raises(ValueError, match="is not a session"):
        sub.images.all(1.5)


def test_a_stimulus_that_the_table_lacks_is_not_a_number(tree, tmp_path):
    root = write_tree(tmp_path / "data")
    table = root / f"{BASE}metadata.csv"
    rows = table.read_text().splitlines()
    sub = load_subject("03", data_dir=root)
    gone = sub.get_trial_info("01")["label"].iloc[0]
    table.write_text("\n".join(row for row in rows if not row.startswith(f"{gone},")))
    found = sub.metadata
    assert found["stim_idx"].isna().tolist() == (found["image_name"] == gone).tolist()
    assert found["unique_or_shared"].isna().any()


def test_a_picture_that_the_table_has_twice_is_its_first_row_everywhere(tmp_path):
    root = write_tree(tmp_path / "data")
    table = root / f"{BASE}metadata.csv"
    sub = load_subject("03", data_dir=root)
    name = sub.get_trial_info("01")["label"].iloc[0]
    lines = table.read_text().splitlines()
    row = next(n for n, line in enumerate(lines) if line.startswith(f"{name},"))
    other = next(n for n in range(1, len(lines)) if n != row)
    lines[other] = lines[row]
    table.write_text("\n".join(lines))
    assert sub.metadata["stim_idx"].iloc[0] == min(row, other) - 1
    assert sub.metadata["stim_idx"].iloc[0] == Stimuli(root).images.index_of(name)


def test_a_table_without_a_column_is_a_fault_of_the_table(tmp_path):
    root = write_tree(tmp_path / "data")
    table = pd.read_csv(root / f"{BASE}metadata.csv")
    table.drop(columns="unique_or_shared").to_csv(root / f"{BASE}metadata.csv", index=False)
    sub = load_subject("03", data_dir=root)
    assert sub.get_n_stimuli() == len(table)
    with pytest.raises(BadDataError, match="unique_or_shared"):
        sub.get_n_stimuli("shared")


def test_what_is_public_needs_nothing_that_is_gated(tmp_path):
    root = write_tree(tmp_path / "data")
    for name in ("stimuli.h5", "metadata.csv"):
        (root / f"{BASE}{name}").unlink()
    sub = load_subject("03", data_dir=root)
    assert sub.embeddings.models == list(AVAILABLE_MODELS)
    assert sub.embeddings.all("DINOv2").shape[0] == len(sub.captions) == len(sub.segmentations)
    assert not sub.has_stimuli()
    for call in (lambda: sub.metadata, lambda: sub.images, sub.get_n_stimuli):
        with pytest.raises(StimuliNotDownloadedError):
            call()


def test_a_subject_without_sessions_has_an_empty_table(tmp_path):
    root = write_tree(tmp_path / "data")
    for folder in root.glob("derivatives/glmsingle-tedana/sub-03/ses-*"):
        folder.rename(root / folder.name)
    sub = load_subject("03", data_dir=root)
    assert sub.metadata.columns.tolist() == [
        "session",
        "session_trial",
        "image_name",
        "stim_idx",
        "unique_or_shared",
        "dataset",
    ]
    assert (len(sub.metadata), len(sub.images)) == (0, 0)


def digest(job: tuple[Any, int]) -> tuple[Any, ...]:
    """Read of everything in another process."""
    found, row = job
    name = found.images.names()[row]
    covered = found.segmentations.images()[row % len(found.segmentations.images())]
    noun = found.segmentations.nouns(covered)[0]
    return (
        np.asarray(found.images.get(name)).sum(),
        found.embeddings.get("CLIP", name).tolist(),
        found.segmentations.get(covered, noun).sum(),
        found.captions.list(name),
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_readers_work_in_other_processes_after_they_were_used(tree, method):
    found = Stimuli(tree)
    jobs = [(found, row) for row in range(8)]
    expected = [digest(job) for job in jobs]  # the files are open here
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(digest, jobs, timeout=120)) == expected
    assert [digest(job) for job in jobs] == expected


def of_trial(job: tuple[Any, int]) -> tuple[Any, ...]:
    sub, trial = job
    return (
        sub.images[trial],
        sub.embeddings.get("CLIP", trial).tolist(),
        sub.captions.human(trial),
    )


_INHERITED: dict[str, Any] = {}


def of_inherited(trial: int) -> tuple[Any, ...]:
    return of_trial((_INHERITED["sub"], trial))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_trials_are_read_by_forked_workers_that_inherit_open_files(sub):
    _INHERITED["sub"] = sub
    expected = [of_trial((sub, trial)) for trial in range(8)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(of_inherited, range(8), timeout=120)) == expected


def test_many_threads_share_one_reader(tree):
    found = Stimuli(tree)
    jobs = [(found, row) for row in range(8)] * 4
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(digest, jobs))
    assert threaded == [digest(job) for job in jobs]


def test_a_reader_is_pickled_without_its_open_files(tree):
    found = Stimuli(tree)
    expected = digest((found, 1))
    content = pickle.dumps(found)
    found.close()
    assert digest((pickle.loads(content), 1)) == expected


# --- without the libraries ------------------------------------------------------------------------

_REFUSED = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {library!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
from laion_fmri import captions, embeddings, segmentations, splits, stimuli
print("imported")
try:
    found = stimuli.load_stimuli({root!r})
    found.images.get(0)
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("library", ["h5py", "PIL", "pandas", "numpy"])
def test_a_library_that_is_missing_is_named_with_the_line_that_installs_it(tmp_path, library):
    code = _REFUSED.format(library=library, root=str(write(tmp_path)))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported, _, told = run.stdout.partition("\n")
    assert imported == "imported"
    assert library in told
    assert "pip install 'neurofetch[stimuli]'" in told
