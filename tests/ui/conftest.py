"""One world for the tests of a file, and one page that they share."""

import pytest

from tests.ui_world import World, page


@pytest.fixture(scope="module")
def world():
    with World().open() as made:
        yield made


@pytest.fixture
def shell(world, tmp_path):
    return world.shell(tmp_path)


@pytest.fixture(scope="module")
def shared(world, tmp_path_factory):
    """A page with the current directory opened, and a client that has the cookie."""
    made = world.shell(tmp_path_factory.mktemp("home"))
    with page(made) as (_, client):
        client.home = made.home
        yield client.enter()
