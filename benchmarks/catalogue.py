"""Search in the local catalogue of a NeuroVault with 700,000 images (made up, with a seed)."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofetch.neurovault import Catalogue, Contains, GreaterThan
from testbed.neurovault_data import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGES = 700_000
COLLECTIONS = 20_000
REPEATS = 7
FIRST_DAY = datetime(2014, 1, 1, tzinfo=UTC)
MINUTES = 12 * 365 * 24 * 60
_VOCABULARY = """
left right hand foot motor lips tongue face house place body tool faces words speech reading
listening memory working recall encoding retrieval reward loss gain punishment risk fear
anger happy neutral pain heat cold touch visual auditory stop go inhibition conflict switch
rest task contrast versus baseline fixation group subject session run parametric modulator
beta zstat tstat cope thresholded unthresholded cluster corrected smoothing placebo drug
"""
_WORDS = _VOCABULARY.split()
_PARADIGMS = ("motor fMRI task paradigm", "n-back task", "stop signal task", "rest eyes open", None)


def synthetic_images(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield records with all the fields of a real one, and texts of plausible length."""
    rng = random.Random(seed)
    base = recorded("image_396069")
    for number in range(1, count + 1):
        collection = 1 + number * COLLECTIONS // (count + 1)
        yield base | {
            "id": number,
            "url": f"http://neurovault.org/images/{number}/",
            "collection_id": collection,
            "file": f"http://neurovault.org/media/images/{collection}/map_{number}.nii.gz",
            "name": " ".join(rng.choices(_WORDS, k=5)) + f" {number}",
            "description": " ".join(rng.choices(_WORDS, k=rng.randint(0, 24))),
            "cognitive_paradigm_cogatlas": rng.choice(_PARADIGMS),
            "map_type": rng.choice(("T map", "Z map", "F map", "other", "ROI/mask")),
            "file_size": rng.randint(10_000, 3_000_000),
            "modify_date": (FIRST_DAY + timedelta(minutes=rng.randrange(MINUTES))).isoformat(),
        }


def synthetic_collections(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield collection records."""
    rng = random.Random(seed)
    base = recorded("collection_8477")
    for number in range(1, count + 1):
        yield base | {
            "id": number,
            "name": " ".join(rng.choices(_WORDS, k=6)),
            "description": " ".join(rng.choices(_WORDS, k=30)),
            "DOI": f"10.1016/j.neuroimage.20{rng.randint(10, 25)}.{number}" if number % 3 else None,
            "number_of_images": 35,
        }


def searches(catalogue: Catalogue) -> dict[str, Callable[[], list[int]]]:
    """Return the searches that are timed, by what they are."""
    late = GreaterThan("2025-11-01T00:00:00Z")
    return {
        "one frequent word": lambda: catalogue.ids("motor"),
        "two words": lambda: catalogue.ids("placebo heat"),
        "a rare number in a name": lambda: catalogue.ids('"654321"'),
        "nothing": lambda: catalogue.ids("xylophone"),
        "word and fields": lambda: catalogue.ids("faces", map_type="Z map", not_mni=False),
        "field, special value": lambda: catalogue.ids(map_type=Contains("map"), file_size=10_001),
        "modified since": lambda: catalogue.ids(modify_date=late),
        "words of the collection": lambda: catalogue.ids("pain", collection_text="drug placebo"),
        "collections by words": lambda: catalogue.ids("drug placebo pain", kind="collections"),
    }


def timed(action: Callable[[], list[int]]) -> tuple[float, int]:
    """Return the median of a few runs in seconds, and the number of hits."""
    seconds, hits = [], 0
    for _ in range(REPEATS):
        began = time.perf_counter()
        hits = len(action())
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), hits


def main(images: int = IMAGES, collections: int = COLLECTIONS) -> None:
    """Fill, update and search; print the figures. Each search opens the file anew."""
    with tempfile.TemporaryDirectory(prefix="neurofetch-") as folder:
        catalogue = Catalogue(Path(folder) / "catalogue.duckdb")
        began = time.perf_counter()
        catalogue.update(
            images=synthetic_images(images), collections=synthetic_collections(collections)
        )
        filled = time.perf_counter() - began
        size = catalogue.path.stat().st_size / 1e6
        print(f"catalogue of {images:,} images, {collections:,} collections: ", end="")
        print(f"filled in {filled:.0f} s, {size:.0f} MB")
        began = time.perf_counter()
        catalogue.update(images=synthetic_images(1000, seed=5))
        print(f"update of 1,000 records: {time.perf_counter() - began:.1f} s")
        for name, action in searches(catalogue).items():
            seconds, hits = timed(action)
            print(f"  {name:<26} {1e3 * seconds:7.0f} ms   {hits:>8,} ids")


if __name__ == "__main__":
    main()
