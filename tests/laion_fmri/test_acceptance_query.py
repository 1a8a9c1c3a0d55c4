"""What can be asked before anything is downloaded: the bucket, and the train/test splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.laion import ROIS
from tests.acceptance_world import CATEGORIES, QUIET, world
from tests.split_lists import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

POOLS = ["shared", "sub-01", "sub-03", "sub-05", "sub-06", "sub-07", "pooled"]
OOD = {
    "cropped": 60,
    "gabor": 10,
    "gaudy": 24,
    "illusion-classic": 21,
    "illusion-natural": 8,
    "relations": 72,
    "selfmade": 30,
    "shape": 82,
    "unusual": 64,
}
needs_lists = pytest.mark.skipif(not RECORDS.is_dir(), reason="the owners' lists are not here")


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("query")) as made:
        yield made


def names(category: str) -> list[str]:
    return sorted(one.replace("-", "") for one in ROIS[category])


def test_the_bucket_is_described_in_four_lines(here, capsys):
    from laion_fmri.discovery import describe

    assert describe() is None
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 4
    assert lines[1].split() == ["Bucket:", "s3://laion-fmri"]
    assert lines[2].split(maxsplit=1) == ["Subjects:", "2 (sub-01, sub-03)"]
    assert lines[3].startswith("ROIs:")
    assert "FFA1" in lines[3]


def test_subjects_and_regions_are_those_of_the_bucket(here):
    from laion_fmri.discovery import get_rois, get_subjects

    assert get_subjects() == ["sub-01", "sub-03"]
    every = sorted(name for category in CATEGORIES for name in names(category))
    assert get_rois("sub-01") == get_rois() == get_rois("01") == every
    for category in CATEGORIES:
        assert get_rois("sub-01", category=category) == names(category)
    for subject in get_subjects():
        assert len(get_rois(subject, category="face")) == 4
        assert len(get_rois(subject)) == len(every)
    with pytest.warns(UserWarning, match="nothing"):
        assert get_rois("sub-01", category="nothing") == []


def test_the_bucket_is_inspected_prefix_by_prefix(here, capsys):
    from laion_fmri.discovery import inspect_bucket

    assert inspect_bucket() is None
    said = capsys.readouterr().out
    assert said.startswith("Bucket: ")
    assert "Top-level prefixes (4):" in said
    for prefix in ("derivatives", "stimuli", "sub-01", "sub-03"):
        assert f"{prefix}" in said
    assert said.count("sub-* entries") == 4
    assert here.data.is_dir()
    assert not list(here.data.iterdir())


def test_there_are_names_without_any_list():
    from laion_fmri.splits import list_ood_types, list_pools, list_splits

    assert list_pools() == POOLS
    names = [f"random_{k}" for k in range(5)] + [f"cluster_k5_{k}" for k in range(5)]
    assert list_splits() == [*names, "tau", "ood"]
    assert list_splits("pooled") == ["tau", *names[5:]]
    assert list_ood_types() == sorted(OOD)


@needs_lists
def test_a_random_split_divides_the_pool(here):
    from laion_fmri.splits import get_train_test_ids, load_split

    split = load_split("random_0", pool="shared")
    assert (split.name, split.pool, split.split_family) == ("random_0", "shared", "random")
    assert (split.n_train, split.n_test) == (896, 225)
    train, test = get_train_test_ids("random_0", pool="shared")
    assert (len(train), len(test)) == (split.n_train, split.n_test)
    assert not set(train) & set(test)
    assert train == sorted(train)


@needs_lists
def test_out_of_distribution_tests_are_taken_by_type(here):
    from laion_fmri.splits import get_train_test_ids

    train, test = get_train_test_ids("ood", pool="shared", ood_types=["shape"])
    assert (len(train), len(test)) == (1121, 82)
    for pool in POOLS[:-1]:
        assert len(get_train_test_ids("ood", pool=pool)[1]) == 371
    found = {one: len(get_train_test_ids("ood", "shared", ood_types=one)[1]) for one in OOD}
    assert found == OOD
