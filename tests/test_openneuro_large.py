"""A listing of 117,523 files, the largest that is known: how much memory its plan takes."""

import pytest

from testbed.many_rows import FILES, listing, planned, serving

MEGABYTES = 300.0
"""At the peak, for the whole process."""


@pytest.fixture(scope="module")
def large():
    body = listing()
    assert len(body) > 40 << 20
    with serving(body) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize(
    ("filters", "chosen"),
    [({}, FILES), ({"subject": "0007"}, -(-(FILES - 7) // 226))],
    ids=["all", "one subject"],
)
def test_a_large_version_is_planned_in_little_room(large, tmp_path, filters, chosen):
    found = planned(large, tmp_path / "d", **filters)
    assert found.files == chosen
    assert (found.copies > 0) == (not filters)
    assert found.megabytes <= MEGABYTES
