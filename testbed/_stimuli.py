"""The made-up bucket's ``stimuli/``: pictures and their table, embeddings, captions, masks.

Row i of the pictures is row i of their table; the embeddings have an order of their own, and tell
of what the pictures show, as the responses of voxels do. Which columns and datasets there are is
what the owners' pages say.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from testbed import _encode as enc
from testbed._phantom import IMAGE_CATEGORIES, category_of, image_features, stream
from testbed._pictures import data_set

__all__ = ["MODELS", "SIDE", "stimuli_files"]

Files = Iterator[tuple[str, bytes]]

#: Length of each model's vectors: short, and as there three are the same.
MODELS = {"CLIP": 16, "DINOv2": 16, "PEcore": 16, "SigLIP2": 18}

#: Height and width of a picture.
SIDE = 16

_BASE = "stimuli/task-images_"
_METADATA = ("image_name", "dataset", "participant", "unique_or_shared", "n_reps")
_CAPTIONS = (
    "image_name",
    "caption_idx",
    "source",
    "caption",
    "origin_collection",
    "participant_id",
    "ai_model",
)
_SEGMENTS = (
    "mask_row",
    "image_name",
    "noun",
    "instance_id",
    "score",
    "box_x0",
    "box_y0",
    "box_x1",
    "box_y1",
    "localized",
    "mask_file",
)


def stimuli_files(seed: int, shown_to: Mapping[str, str]) -> Files:
    """Yield key and content of every file.

    Parameters
    ----------
    seed
    shown_to
        Each picture's name, with its subject, or ``""`` where all see it.
    """
    names = sorted(shown_to)
    order = [names[index] for index in stream(seed, "rows").permutation(len(names))]
    yield _BASE + "stimuli.h5", enc.hdf5({"images": [_picture(name) for name in order]})
    rows = [_metadata_row(name, shown_to[name]) for name in order]
    yield _BASE + "metadata.csv", enc.table(_METADATA, rows, sep=",")
    for model, length in MODELS.items():
        vectors = _vectors(seed, model, names, length)
        if model != "DINOv2":  # the one that is not normed
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        yield (
            f"{_BASE}desc-{model}_embeddings.h5",
            enc.hdf5(
                {
                    "embedding": vectors.astype(np.float16),
                    "image_ids": names,
                    "valid": np.ones(len(names), dtype=bool),
                }
            ),
        )
    captions = [row for name in names for row in _captions(name)]
    yield _BASE + "desc-captions.csv", enc.table(_CAPTIONS, captions, sep=",")
    masks, segments = _segmentations(seed, names)
    yield _BASE + "desc-segmentations.h5", enc.hdf5({"masks": masks})
    yield (
        _BASE + "desc-segmentations_metadata.csv",
        enc.table(_SEGMENTS, segments, sep=","),
    )


def _vectors(seed: int, model: str, names: Sequence[str], length: int) -> NDArray[np.float64]:
    """Return what a model makes of pictures: what they show and their features, mixed; noise."""
    kinds = np.array([[category_of(name) == one for one in IMAGE_CATEGORIES] for name in names])
    features = np.stack([image_features(name) for name in names])
    content = np.concatenate([2 * kinds, features], axis=1)
    rng = stream(seed, model)
    mixing = rng.normal(0, 1, (content.shape[1], length)) / content.shape[1] ** 0.5
    vectors: NDArray[np.float64] = content @ mixing + rng.normal(0, 0.3, (len(names), length))
    return vectors


def _picture(name: str) -> bytes:
    """Encode a picture; cut-outs and forms have an alpha channel, over hidden red."""
    pixels = stream(name).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    if "_cropped_" in name or "_shape_" in name:
        alpha = np.zeros((SIDE, SIDE, 1), dtype=np.uint8)
        alpha[4:12, 4:12] = 255
        alpha[4, 4:12] = 100
        hidden = np.where(alpha > 0, pixels, np.array([255, 0, 0], dtype=np.uint8))
        return enc.picture(np.concatenate([hidden, alpha], axis=2), "PNG")
    return enc.picture(pixels, "PNG" if name.endswith(".png") else "JPEG")


def _metadata_row(name: str, subject: str) -> tuple[object, ...]:
    kind, repeats = name.split("_")[:2]
    shared = kind == "shared"
    times = int(repeats.removesuffix("rep")) if shared else 1
    return name, data_set(name), subject or "shared", kind, times


def _captions(name: str) -> Iterator[tuple[object, ...]]:
    shared = name.startswith("shared_")
    what = category_of(name)
    if shared and "_OOD_" not in name:
        yield name, 0, "ai", f'A picture of "{what}", in colours', "n/a", "n/a", "a-model-of-2025"
    for rank in range(1, 6 if shared else 4):
        yield name, rank, "human", f"a {what}, seen {rank} times", "online", f"w{rank:03d}", "n/a"


def _segmentations(
    seed: int, names: Sequence[str]
) -> tuple[NDArray[np.uint8], list[tuple[object, ...]]]:
    """Cover the shared pictures, as far as they are in distribution."""
    masks: list[NDArray[np.uint8]] = []
    rows: list[tuple[object, ...]] = []
    for name in names:
        if not name.startswith("shared_") or "_OOD_" in name:
            continue
        what = category_of(name)
        found = [(what, 0), (what, 2), ("short , pale thing", 0), ("hand", 0), ("sky", 0)]
        for noun, instance in found:
            rng = stream(seed, name, noun, instance)
            x0, y0 = (int(corner) for corner in rng.integers(0, SIDE // 2, 2))
            mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
            localized = noun != "sky"
            box = (x0, y0, x0 + 5, y0 + 4) if localized else ("", "", "", "")
            mask[y0 : y0 + 4, x0 : x0 + 5] = localized
            file = f"{name}_{noun.replace(' ', '-')}_{instance}.png"
            score = round(float(rng.uniform(0.4, 1)), 3)
            rows.append((len(masks), name, noun, instance, score, *box, localized, file))
            masks.append(mask)
    return np.array(masks, dtype=np.uint8).reshape(-1, SIDE, SIDE), rows
