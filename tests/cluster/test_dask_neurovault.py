"""NeuroVault's volumes by a cluster of Dask: the same bunch, and no more requests at once."""

from __future__ import annotations

import pytest

from testbed.dask_cluster import DaskCluster
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["client", "executor"])
def test_a_collection_by_a_cluster_is_the_collection(how, world, tmp_path):
    alone = world.ids([1952, 7], data_dir=str(tmp_path / "alone"))
    world.server.clear_log()
    with DaskCluster(2) as cluster:
        given = cluster.client if how == "client" else cluster.client.get_executor()
        many = world.ids([1952, 7], **{how: given})
    assert ids_of(many) == ids_of(alone)
    assert len(world.media()) == 8
    assert world.server.peak() <= 4
