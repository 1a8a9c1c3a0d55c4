"""The real trees, for the tests of this folder."""

import pytest

from tests.oracles.trees import unpack


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
    """Return the folder of the real trees, unpacked once for each process of tests."""
    return unpack(tmp_path_factory.mktemp("trees"))
