"""A local NeuroVault, a fresh cache, and our functions pointed at both."""

import json
import warnings
from pathlib import Path

import pytest
import requests
from nilearn.datasets import neurovault as nilearn_neurovault

from neurofetch import RetryRules
from neurofetch.neurovault import fetch_neurovault, fetch_neurovault_ids
from testbed.neurovault import NeuroVault

QUICK = RetryRules(attempts=3, base=0.01, cap=0.02)


class World:
    """A server and a data directory."""

    def __init__(self, server, data_dir):
        self.server = server
        self.vault = server.vault
        self.habits = server.habits
        self.data_dir = data_dir
        self.root = Path(data_dir) / "neurovault"

    def ids(self, *given, **keywords):
        """Fetch by ids; a warning is an error."""
        return fetch_neurovault_ids(*given, **self._usual(keywords))

    def filtered(self, *given, **keywords):
        """Fetch by filters."""
        return fetch_neurovault(*given, **self._usual(keywords))

    def warned(self, *given, **keywords):
        """Fetch by ids; return the result and the one warning's text."""
        with pytest.warns(UserWarning) as caught:
            bunch = self.ids(*given, **keywords)
        assert len(caught) == 1, [str(w.message) for w in caught]
        assert caught[0].filename.endswith("neurovault_world.py"), caught[0].filename
        return bunch, str(caught[0].message)

    def _usual(self, keywords):
        return {"data_dir": self.data_dir, "verbose": 0, "rules": QUICK, **keywords}

    def media(self, key="*"):
        """Return the requests for volumes."""
        return self.server.requests(key=f"/media/{key}")

    def file(self, collection_id, image_id):
        """Return the path of a volume."""
        return self.root / f"collection_{collection_id}" / f"image_{image_id}.nii.gz"

    def json(self, collection_id, image_id):
        """Return an image's record on the disk."""
        name = f"image_{image_id}_metadata.json"
        return json.loads((self.root / f"collection_{collection_id}" / name).read_text())


def ids_of(bunch):
    """Return the ids of a result's images."""
    return [meta["id"] for meta in bunch.images_meta]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Give a server with collections 1952 (images 101 to 105) and 7 (5, 6, 7), and no cache."""
    with NeuroVault() as server:
        server.vault.add_collection(1952, images=range(101, 106))
        server.vault.add_collection(7, images=[5, 6, 7])
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


def quietly(call, *given, **keywords):
    """Call something of nilearn's whose warnings do not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*given, **keywords)
