"""A user with an own home, near servers that stand for the bucket and the access service.

Scripts for the public package run here with no change but these addresses. The oracle of values is
nibabel and numpy, used naively.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from testbed.access import AccessServer
from testbed.laion import GATED, Recipe, make_bucket, write_local
from testbed.s3 import S3Server
from tests.faces import LICENSE
from tests.loader_tree import naive_roi
from tests.split_lists import RECORDS, mirror, true_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECIPE = Recipe(figures_per_session=1, unfitted=3, object_localizer=True)
HELD_OUT = ("*glmsingle-tedana/*ses-31*", "sub-*/ses-31/*")  # not the localizer of that name
CATEGORIES = ["body", "character", "face", "laion", "motion", "object", "place", "retinotopy"]

#: One process has one data directory after another here, which a download says.
QUIET = pytest.mark.filterwarnings("ignore:.*data director:UserWarning")


@cache
def objects() -> dict[str, bytes]:
    return make_bucket(RECIPE)


@dataclass
class World:
    """The servers, the user's home, and an empty data directory that is not yet chosen."""

    s3: S3Server
    service: AccessServer
    home: Path
    data: Path
    patch: pytest.MonkeyPatch

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "AWS_ENDPOINT_URL": self.s3.url,
            "LAION_FMRI_ACCESS_URL": self.service.url,
        }

    def asked(self) -> int:
        """How many requests the servers have seen."""
        return len(self.s3.requests()) + len(self.service.requests())


@contextmanager
def world(home: Path, *, agreed: bool = True) -> Iterator[World]:
    """Start the servers and set the environment of a user who has never used the package.

    Parameters
    ----------
    home
        An empty directory.
    agreed
        Whether the user has accepted the licence, and has access to the stimuli.
    """
    gated = {key.rpartition("/")[2]: objects()[key] for key in GATED}
    with (
        S3Server({"laion-fmri": objects()}, forbidden=(*HELD_OUT, *GATED)) as s3,
        AccessServer(gated) as service,
        pytest.MonkeyPatch.context() as patch,
        ExitStack() as also,
    ):
        data = home / "laion_fmri_data"
        data.mkdir()
        made = World(s3, service, home, data, patch)
        for name in ("LAION_FMRI_DATA_DIR", "AWS_ENDPOINT_URL_S3", "LAION_FMRI_STORE", *LICENSE):
            patch.delenv(name, raising=False)
        for name, text in made.env.items():
            patch.setenv(name, text)
        if agreed:
            patch.setenv("LAION_FMRI_REQUEST_ID", service.grant())
            for name, text in LICENSE.items():
                patch.setenv(name, text)
        if RECORDS.is_dir():  # where they are not, tests of the owners' lists are skipped
            patch.setenv("LAION_FMRI_SPLITS_URL", also.enter_context(mirror(true_files())).url)
        yield made


def lay_out(root: Path, *subjects: str) -> None:
    """Write what a download of everything brings for these subjects."""
    kept = {
        key: content
        for key, content in objects().items()
        if ("/ses-31/" not in key or key.startswith("derivatives/localizers"))
        and (not key.startswith(("derivatives", "sub-")) or any(one in key for one in subjects))
    }
    write_local(kept, root)


def volume(path: str | Path) -> np.ndarray:
    """Return the values of a volume, in the order of a C-order ravel."""
    return np.asarray(nib.load(path).dataobj).ravel()


def naive_union(root: Path, names: dict[str, str], subject: str) -> np.ndarray:
    """Return the union of regions, given as name: category, over the anatomical mask."""
    return np.any(
        [naive_roi(root, one, category, subject, "anatomical") for one, category in names.items()],
        axis=0,
    )


def same(one: object, other: object) -> bool:
    """Whether two arrays are the same, NaN in the same places included."""
    left, right = np.asarray(one), np.asarray(other)
    return left.shape == right.shape and np.array_equal(left, right, equal_nan=True)
