"""A bucket whose files are opened, and an empty cache."""

import pytest

from neurofetch.opening.cache import _caches
from neurofetch.opening.opener import opener_for
from neurofetch.opening.remote import _clients
from tests.opening_world import OpenWorld


@pytest.fixture
def world(tmp_path, monkeypatch):
    with OpenWorld(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_open():
    """Close what a process keeps open for all that it opens: each test has a cache of its own."""
    yield
    opener_for.cache_clear()
    _clients.close()
    _caches.close()
    _caches._made.clear()
