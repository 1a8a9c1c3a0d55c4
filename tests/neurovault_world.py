"""Our functions pointed at a local NeuroVault and a fresh cache; see neurovault_fixtures.py."""

import json
import warnings
from pathlib import Path

import pytest

from neurofetch.engine import RetryRules
from neurofetch.neurovault import fetch_neurovault, fetch_neurovault_ids

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
        with pytest.warns(UserWarning, match=r"\S") as caught:
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


def quietly(call, *given, **keywords):
    """Call something of nilearn's whose warnings do not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*given, **keywords)
