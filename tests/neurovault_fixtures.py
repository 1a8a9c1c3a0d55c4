"""Fixtures of the tests of NeuroVault: a plugin, since several files share them."""

import pytest
import requests
from nilearn.datasets import neurovault as nilearn_neurovault

from testbed.neurovault import NeuroVault
from tests.neurovault_world import World


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Give a server with collections 1952 (images 101 to 105) and 7 (5, 6, 7), and no cache."""
    with NeuroVault() as server:
        server.vault.add_collection(1952, images=range(101, 106))
        server.vault.add_collection(7, images=[5, 6, 7])
        for name in ("NILEARN_DATA", "NILEARN_SHARED_DATA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))  # not the cache of whoever runs the tests
        monkeypatch.setenv("NEUROVAULT_API_URL", server.api_url)
        monkeypatch.setenv("NEUROSYNTH_API_URL", server.neurosynth_url)
        yield World(server, str(tmp_path / "data"))


@pytest.fixture
def theirs(world, monkeypatch):
    """Return nilearn's module, pointed at the local server."""
    module, server = nilearn_neurovault, world.server
    monkeypatch.setattr(module, "_NEUROVAULT_COLLECTIONS_URL", server.api_url + "collections/")
    monkeypatch.setattr(module, "_NEUROVAULT_IMAGES_URL", server.api_url + "images/")
    monkeypatch.setattr(module, "_NEUROSYNTH_FETCH_WORDS_URL", server.neurosynth_url + "decode/")
    with requests.Session() as session:
        monkeypatch.setattr(module._requests_session, "session", session, raising=False)
        yield module
