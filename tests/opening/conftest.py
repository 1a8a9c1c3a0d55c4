"""A bucket whose files are opened, and an empty cache."""

import pytest

from tests.opening_world import OpenWorld


@pytest.fixture
def world(tmp_path, monkeypatch):
    with OpenWorld(tmp_path, monkeypatch) as made:
        yield made
