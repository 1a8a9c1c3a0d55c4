"""Tables of metadata without volumes, and the catalogue filled and brought up to date."""

import pytest

from neurofetch import neurovault as nv
from neurofetch.errors import NothingMatchedError, ServerError
from neurofetch.model import IncompleteError
from tests.neurovault_world import QUICK, ids_of

pytest_plugins = ["tests.neurovault_fixtures"]


@pytest.fixture
def home(world, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return world


def test_images_as_a_table_without_volumes(home):
    table = nv.images([7], [103, 5, 101], rules=QUICK)
    assert list(table.index) == [5, 6, 7, 103, 101]
    assert table.loc[103, "collection_id"] == 1952
    assert set(table["map_type"]) == {"T map", "Z map"}
    assert home.media() == []
    with pytest.raises(IncompleteError, match="image 999: the server knows none"):
        nv.images(image_ids=[999], rules=QUICK)
    assert nv.images().empty


def test_collections_as_a_table(home):
    assert sorted(nv.collections(rules=QUICK).index) == [7, 1952]
    assert list(nv.collections([1952, "7"], rules=QUICK)["number_of_images"]) == [5, 3]
    with pytest.raises(IncompleteError, match="collection 4: the server knows none"):
        nv.collections([7, 4], rules=QUICK)


def test_the_catalogue_is_filled_once_and_searched_without_a_request(home):
    with pytest.raises(NothingMatchedError, match="no catalogue"):
        nv.search("map")
    done = nv.update_catalogue(rules=QUICK)
    assert (done.added, done.removed) == (10, 0)
    home.server.clear_log()
    assert nv.search('"map 10"', map_type="Z map") == [102, 104]
    assert nv.search(collection_text='"collection 7"') == [5, 6, 7]
    assert home.server.log == []
    assert ids_of(home.ids(image_ids=nv.search('"map 10"', limit=2))) == [101, 102]


def test_an_update_asks_only_for_collections_that_were_modified(home):
    nv.update_catalogue(rules=QUICK)
    home.server.clear_log()
    assert nv.update_catalogue(rules=QUICK).changed == 0
    assert [r.key for r in home.server.log] == ["/api/collections/?limit=1000"]
    home.vault.add_image(8, 7, name="brand new")
    home.vault.collections[1952]["modify_date"] = "2031-01-01T00:00:00Z"
    home.vault.images[101] |= {"name": "edited", "modify_date": "2031-01-01T00:00:00Z"}
    home.vault.add_collection(70, images=[700])
    home.server.clear_log()
    done = nv.update_catalogue(rules=QUICK)
    assert (done.added, done.changed) == (3, 3)
    assert nv.search("brand new") == [8]
    assert nv.search("edited") == [101]
    assert len(home.server.requests(key="/api/collections/*/images/*")) == 3
    assert home.server.requests(key="/api/images/*") == []


def test_a_full_update_finds_silent_edits_and_removals(home):
    nv.update_catalogue(rules=QUICK)
    home.vault.images[6] |= {"name": "silently", "modify_date": "2031-01-01T00:00:00Z"}
    del home.vault.images[7]
    assert nv.search("silently") == []
    done = nv.update_catalogue(full=True, rules=QUICK)
    assert (done.changed, done.removed) == (1, 1)
    assert nv.search("silently") == [6]


def test_careless_pages_leave_nothing_out_of_the_catalogue(home):
    home.vault.add_collection(50, images=range(1000, 1100))
    home.habits.page_cap = 17
    home.habits.repeat_rows, home.habits.count_surplus = 4, 3
    nv.update_catalogue(rules=QUICK)
    assert nv.catalogue().count() == 108
    assert home.server.peak() <= 4


def test_a_broken_record_is_named_and_the_others_come(home):
    home.habits.broken = [6]
    with pytest.warns(UserWarning, match="cannot show the records at these places"):
        nv.update_catalogue(rules=QUICK)
    assert nv.catalogue().count() == 7


def test_a_list_that_fails_leaves_the_catalogue_as_it_was(home):
    nv.update_catalogue(rules=QUICK)
    home.server.fault(key="/api/images/?*", status=502)
    with pytest.raises(ServerError, match="502"):
        nv.update_catalogue(full=True, rules=QUICK)
    assert nv.catalogue().count() == 8


def test_each_mirror_has_a_catalogue_of_its_own(home, tmp_path, monkeypatch):
    here = nv.catalogue().path
    assert here.parent == tmp_path / "cache" / "neurofetch"
    monkeypatch.delenv("NEUROVAULT_API_URL")
    assert nv.catalogue().path.name == "neurovault.duckdb"
    assert nv.catalogue().path != here
    monkeypatch.setenv("NEUROFETCH_CATALOGUE", str(tmp_path / "mine.duckdb"))
    assert nv.catalogue().path == tmp_path / "mine.duckdb"
