"""The gallery of segmentations, and the owners' page of stimuli: masks, captions, embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
import pytest

from testbed.laion import trial_labels
from tests.acceptance_world import QUIET, RECIPE, lay_out, same, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

NAME = "shared_12rep_LAION_cluster_1003_i0.jpg"
UNCOVERED = "shared_4rep_OOD_cropped_air_pump.png"
BASE = "stimuli/task-images_desc-"
MODELS = {"CLIP": 16, "DINOv2": 16, "PEcore": 16, "SigLIP2": 18}


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[World]:
    from laion_fmri.config import dataset_initialize

    with world(tmp_path_factory.mktemp("segments")) as made:
        lay_out(made.data, "sub-01")
        dataset_initialize(str(made.data))
        yield made


@pytest.fixture
def empty(tmp_path) -> Iterator[World]:
    from laion_fmri.config import dataset_initialize

    with world(tmp_path) as made:
        dataset_initialize(str(made.data))
        yield made


@pytest.fixture
def labels() -> list[str]:
    return [one for s in RECIPE.sessions for one in trial_labels(RECIPE, "sub-01", s)]


def segments(here: World) -> pd.DataFrame:
    return pd.read_csv(here.data / f"{BASE}segmentations_metadata.csv")


# --- downloads ------------------------------------------------------------------------------------


def test_segmentations_are_downloaded_once(empty, capsys):
    from laion_fmri.download import download_segmentations

    found = download_segmentations()
    assert found == {
        "h5": empty.data / f"{BASE}segmentations.h5",
        "metadata": empty.data / f"{BASE}segmentations_metadata.csv",
    }
    assert all(path.is_file() for path in found.values())
    capsys.readouterr()
    empty.s3.clear_log()
    assert download_segmentations() == found
    assert "up to date" in "".join(capsys.readouterr())
    assert not [r for r in empty.s3.requests(method="GET") if r.key.endswith((".h5", ".csv"))]


def test_captions_are_downloaded_alone(empty):
    from laion_fmri import download_captions

    path = download_captions()
    assert path == empty.data / f"{BASE}captions.csv"
    assert [one.name for one in (empty.data / "stimuli").iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("models", "expected"),
    [("CLIP", ["CLIP"]), (["SigLIP2", "CLIP"], ["SigLIP2", "CLIP"]), ("all", list(MODELS))],
)
def test_embeddings_are_downloaded_by_label(empty, models, expected):
    from laion_fmri import download_embeddings

    found = download_embeddings(models)
    assert {name: found[name] for name in expected} == {
        name: empty.data / f"{BASE}{name}_embeddings.h5" for name in expected
    }
    assert {one.name for one in (empty.data / "stimuli").iterdir()} == {
        f"task-images_desc-{name}_embeddings.h5" for name in expected
    }
    assert download_embeddings(models) == found


def test_a_model_that_does_not_exist_is_told_before_anything_is_asked(empty):
    from laion_fmri import download_embeddings
    from laion_fmri.download import download

    asked = empty.asked()
    for call in (
        lambda: download_embeddings("clip-large"),
        lambda: download("sub-01", ses="ses-01", include_embeddings="clip-large"),
    ):
        with pytest.raises(ValueError, match="SigLIP2"):
            call()
    assert empty.asked() == asked


def test_embeddings_come_along_with_a_download_by_label(empty):
    from laion_fmri.download import download

    download("sub-01", ses="ses-01", suffix=["trials"], include_embeddings=["CLIP"])
    assert [one.name for one in (empty.data / "stimuli").iterdir()] == [
        "task-images_desc-CLIP_embeddings.h5"
    ]


def test_stimuli_are_downloaded_from_their_service_once(empty, capsys):
    from laion_fmri import download_stimuli

    found = download_stimuli()
    names = ["task-images_metadata.csv", "task-images_stimuli.h5"]
    assert found == {name: empty.data / "stimuli" / name for name in names}
    capsys.readouterr()
    empty.patch.delenv("LAION_FMRI_REQUEST_ID")  # no login is needed for what is here
    assert download_stimuli() == found
    assert "up to date" in "".join(capsys.readouterr())


# --- segmentations --------------------------------------------------------------------------------


def test_the_nouns_of_a_picture_and_their_masks(here):
    from laion_fmri.stimuli import load_stimuli

    table = segments(here)
    rows = table[table["image_name"] == NAME]
    assert len(rows) == 5
    with load_stimuli() as stim, h5py.File(here.data / f"{BASE}segmentations.h5") as file:
        nouns = stim.segmentations.nouns(NAME)
        localized = rows[rows["localized"]]["noun"]
        assert nouns == list(dict.fromkeys(localized))
        assert "short , pale thing" in nouns
        assert stim.segmentations.nouns(NAME, localized_only=False) == list(
            dict.fromkeys(rows["noun"])
        )
        found = stim.segmentations.for_image(NAME)[["noun", "instance_id", "score", "localized"]]
        expected = rows[["noun", "instance_id", "score", "localized"]]
        assert found.to_numpy().tolist() == expected.to_numpy().tolist()
        assert found["instance_id"].tolist()[:2] == [0, 2]
        mask = stim.segmentations.get(NAME, nouns[0])
        assert (mask.dtype, mask.shape) == (np.uint8, (16, 16))
        assert same(mask, file["masks"][rows["mask_row"].iloc[0]])
        assert mask.sum() == 20
        second = stim.segmentations.get(NAME, nouns[0], instance=2)
        assert same(second, file["masks"][rows["mask_row"].iloc[1]])
        picture = np.array(stim.images.get(NAME))
        assert picture.shape == (*mask.shape, 3)
        with pytest.raises(KeyError, match="short , pale thing"):
            stim.segmentations.get(NAME, "no such noun")
        with pytest.raises(KeyError):
            stim.segmentations.get(NAME, nouns[0], instance=1)


def test_pictures_without_segmentations_have_none(here):
    from laion_fmri import Segmentations

    found = Segmentations()
    assert found.nouns(UNCOVERED) == []
    assert len(found.for_image(UNCOVERED)) == 0
    assert not found.has_image(UNCOVERED)
    assert found.has_image(NAME)
    assert list(found.images()) == sorted(segments(here)["image_name"].unique())
    assert len(found) == len(segments(here))
    with pytest.raises(KeyError):
        found.get(UNCOVERED, "hand")


def test_trials_have_the_segmentations_of_their_pictures(here, labels):
    from laion_fmri.subject import load_subject

    sub = load_subject("sub-01")
    covered = set(segments(here)["image_name"])
    found = [t for t in range(len(sub.metadata)) if sub.segmentations.has_image(t)]
    assert found == [t for t, name in enumerate(labels) if name in covered]
    assert 0 < len(found) < len(labels)
    for t in range(5):
        rows = segments(here)
        expected = rows[(rows["image_name"] == labels[t]) & rows["localized"]]["noun"]
        assert sub.segmentations.nouns(t) == list(dict.fromkeys(expected))
    t = found[0]
    assert len(sub.segmentations.for_image(t)) == 5
    assert sub.segmentations.get(t, "hand").shape == (16, 16)


# --- captions -------------------------------------------------------------------------------------


def test_captions_of_people_and_of_a_model(here, labels):
    from laion_fmri import Captions
    from laion_fmri.subject import load_subject

    table = pd.read_csv(here.data / f"{BASE}captions.csv")
    captions = Captions()
    assert len(captions) == len(table)
    assert NAME in captions
    rows = table[table["image_name"] == NAME]
    assert captions.ai(NAME) == rows[rows["source"] == "ai"]["caption"].item()
    assert '"' in captions.ai(NAME)
    assert captions.human(NAME) == rows[rows["source"] == "human"]["caption"].tolist()
    assert captions.human(NAME, limit=2) == captions.human(NAME)[:2]
    assert captions.list(NAME) == rows.sort_values("caption_idx")["caption"].tolist()
    assert captions.get(NAME)["caption_idx"].tolist() == list(range(6))
    assert captions.ai(UNCOVERED) is None
    assert len(captions.get("no such picture")) == 0
    with pytest.raises(ValueError, match="human"):
        captions.list(NAME, source="machine")
    sub = load_subject("sub-01")
    for t, name in enumerate(labels):
        assert sub.captions.human(t) == captions.human(name)
        assert sub.captions.ai(t) == captions.ai(name)


# --- embeddings -----------------------------------------------------------------------------------


def test_embeddings_come_by_name_in_the_callers_order(here):
    from laion_fmri import load_embeddings
    from laion_fmri.embeddings import AVAILABLE_MODELS

    assert tuple(MODELS) == AVAILABLE_MODELS
    names = [NAME, UNCOVERED, NAME]
    with load_embeddings(["SigLIP2", "CLIP"]) as found:
        assert found.models == ["SigLIP2", "CLIP"]
        assert "CLIP" in found
        assert ("CLIP", NAME) in found
        assert ("PEcore", NAME) not in found
        for model in found.models:
            vectors, ids = stored(here, model)
            rows = [ids.index(name) for name in names]
            assert same(found.get(model, names), vectors[rows])
            assert same(found.get(model, NAME), vectors[rows[0]])
            assert found.get(model, NAME).shape == (MODELS[model],)
            assert found.image_ids.tolist() == ids
            assert len(found) == len(ids)
            assert found[model].shape == vectors.shape
        with pytest.raises(KeyError):
            found.get("PEcore", NAME)
        with pytest.raises(KeyError):
            found.get("CLIP", "no such picture")
    with pytest.raises(ValueError, match="CLIP"):
        load_embeddings("clip-large")


def stored(here: World, model: str) -> tuple[np.ndarray, list[str]]:
    with h5py.File(here.data / f"{BASE}{model}_embeddings.h5") as file:
        return file["embedding"][:], file["image_ids"].asstr()[:].tolist()


def test_a_picture_that_is_shown_twice_has_a_row_for_each_trial(here, labels):
    from laion_fmri.subject import load_subject

    sub = load_subject("sub-01")
    assert len(set(labels)) < len(labels)
    for model, length in MODELS.items():
        vectors, ids = stored(here, model)
        found = sub.embeddings.all(model)
        assert (found.dtype, found.shape) == (np.float16, (len(labels), length))
        assert same(found, vectors[[ids.index(name) for name in labels]])
        one = sub.embeddings.all(model, session="ses-02")
        assert same(one, found[24:])
        assert same(sub.embeddings.get(model, 30), found[30])


def test_embeddings_of_trials_need_no_pictures(here, tmp_path):
    """They are public, the pictures are not."""
    from laion_fmri.subject import load_subject

    lay_out(tmp_path, "sub-01")
    (tmp_path / "stimuli" / "task-images_stimuli.h5").unlink()
    sub = load_subject("sub-01", data_dir=tmp_path)
    assert sub.embeddings.all("CLIP").shape == (48, 16)
    assert sub.captions.human(0)
