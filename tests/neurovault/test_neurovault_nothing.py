"""Filters that nothing passes, lists that are empty: what a user hears, and when."""

import json
import warnings

import numpy as np
import pytest

from neurofetch import neurovault
from neurofetch.errors import (
    NothingMatchedError,
    SelectionWarning,
    UnknownValueError,
    UsageError,
)
from neurofetch.model import IncompleteError
from neurofetch.neurovault import (
    Contains,
    IsIn,
    NotEqual,
    NotIn,
    NotNull,
    ResultFilter,
    fetch_neurovault_ids,
    plan_neurovault_ids,
)
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"collection_ids": [7, 8]}, ["collection_id=IsIn(7, 8)", "fetch_neurovault_ids"]),
        ({"image_ids": np.array([70])}, ["Did you mean id=IsIn(70)"]),
        ({"map_typ": "Z map"}, ["no image has a field 'map_typ'", "Did you mean map_type"]),
        ({"max_image": 5}, ["Did you mean max_images"]),
        ({"doi": "10.1/2"}, ["Did you mean collection_terms={'DOI': '10.1/2'}"]),
        ({"collection_terms": {"nmae": "x"}}, ["no collection has a field 'nmae'", "name"]),
        (
            {"image_filter": ResultFilter(map_typ="Z map"), "image_terms": {}},
            ["Did you mean map_type"],
        ),
    ],
)
def test_a_field_that_no_record_has_is_told_before_any_request(world, terms, words):
    """The class: a misspelt name."""
    with pytest.raises(UnknownValueError) as caught:
        world.filtered(5, **terms)
    assert all(word in str(caught.value) for word in words), caught.value
    assert world.server.requests() == []


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"map_type": "Z-map"}, ["did you mean 'Z map'"]),
        ({"map_type": ["Z map", "T map"]}, ["write map_type=IsIn('Z map', 'T map')"]),
        ({"map_type": IsIn(["Z map", "T map"])}, ["Write map_type=IsIn('Z map', 'T map')"]),
        ({"collection_id": [7, 8]}, ["write collection_id=IsIn(7, 8)"]),
        ({"collection_id": 7.5}, ["a whole number from 1"]),
        ({"number_of_subjects": "12"}, ["not text", "Write number_of_subjects=12"]),
        ({"not_mni": "False"}, ["Write not_mni=False"]),
        ({"name": ""}, ["Write name=None"]),
        ({"name": Contains(["a", "b"])}, ["Write Contains('a', 'b')"]),
        ({"map_type": 5, "not_mni": "x"}, ["such as map_type='5'", "it is True or False"]),
    ],
)
def test_a_value_that_no_record_can_have_is_told_before_any_request(world, terms, words):
    """The class: a value of another type, or none of a fixed list."""
    with pytest.raises(UsageError, match="No record can pass") as caught:
        world.filtered(5, **terms)
    assert all(word in str(caught.value) for word in words), caught.value
    assert world.server.requests() == []


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"map_typ": NotEqual("Z map")}, "leaves nothing out: no image has a field 'map_typ'"),
        ({"map_type": NotIn(["other"])}, r"Write NotIn\('other'\)"),
        ({"name": NotEqual("")}, r"Write name=NotNull\(\)"),
        ({"map_type": IsIn("Z map", "T-map")}, "did you mean 'T map'"),
    ],
)
def test_a_term_that_does_less_than_it_seems_is_told(world, terms, words):
    with pytest.warns(SelectionWarning, match=words):
        assert world.filtered(1, **terms).images


def test_a_field_that_an_uploader_added_can_be_asked_for(world):
    world.vault.images[6]["my_own_score"] = 3
    assert ids_of(world.filtered(None, my_own_score=3)) == [6]
    assert ids_of(world.filtered(None, collection_id="7", my_own_score=NotNull())) == [6]


def test_nothing_passes_is_told_after_all_and_an_error_where_errors_are_wanted(world):
    with pytest.warns(SelectionWarning, match="No image passes") as caught:
        assert world.filtered(5, name="no such map").images == []
    assert len(caught) == 1
    with pytest.raises(NothingMatchedError, match="No image passes"):
        world.filtered(5, name="no such map", on_error="raise")
    assert world.media() == []


@pytest.mark.parametrize("kind", ["image", "collection"])
def test_default_terms_that_still_apply_are_told_as_nilearn_does(world, kind):
    with pytest.warns(UserWarning, match=f"default {kind}_terms still apply"):
        world.filtered(1, **{f"{kind}_filter": lambda record: record["id"] > 0})
    assert world.filtered(1, **{f"{kind}_filter": bool, f"{kind}_terms": {}}).images


@pytest.mark.parametrize(
    "given",
    [
        {"image_filter": lambda record: record["name"].index("z")},
        {"collection_filter": lambda record: record["name"].index("z")},
        {"image_filter": lambda record: record["none"], "image_terms": {}, "collection_id": 7},
    ],
)
@pytest.mark.filterwarnings("ignore:.*still apply")
def test_a_filter_that_raises_names_the_record(world, given):
    with pytest.raises(UsageError, match=r"failed at (image|collection) \d+ \('"):
        world.filtered(5, **given)


@pytest.mark.parametrize("given", [{"max_images": "5"}, {"image_filter": {}}, {"image_terms": []}])
def test_arguments_of_another_kind_are_told_before_any_request(world, given):
    with pytest.raises(UsageError, match=r"max_images must|image_\w+ must"):
        world.filtered(**given)
    assert world.server.requests() == []


@pytest.mark.parametrize("mode", ["download_new", "overwrite"])
def test_an_emptied_collection_is_told_each_time_and_is_an_error_where_wanted(world, mode):
    """The class: a list that is empty where something was asked for."""
    world.vault.add_collection(8)
    for _ in range(2):
        bunch, text = world.warned([8, 7], mode=mode)
        assert "collection 8: there is no image in it" in text
        assert ids_of(bunch) == [5, 6, 7]
    with pytest.raises(IncompleteError, match="collection 8"):
        world.ids([8], mode=mode, on_error="raise")
    assert "no image in it" in str(plan_neurovault_ids([8], data_dir=world.data_dir).notes)
    world.vault.add_image(9, 8)
    assert ids_of(world.ids([8], mode=mode)) == [9]


def test_an_emptied_collection_offline_and_one_emptied_since(world):
    world.vault.add_collection(8)
    world.warned([8])
    _, text = world.warned([8], mode="offline")
    assert "collection 8: no" in text
    world.ids([7])
    world.vault.collections[7]["number_of_images"] = 0
    world.vault._members[7].clear()
    bunch, text = world.warned([7], mode="overwrite")
    assert "3 images that it had are in the cache" in text
    assert bunch.images == []


def test_images_that_the_server_has_no_more_are_told_when_all_is_fetched_again(world):
    world.ids([7])
    del world.vault._members[7][6]
    bunch, text = world.warned([7], mode="overwrite")
    assert ids_of(bunch) == [5, 7]
    assert "Collection 7 has fewer images on the server now. 1 image " in text


def test_a_list_that_comes_without_its_rows_is_asked_for_again_and_is_no_empty_list(world):
    """The class: ``{"count": 3, "results": []}``."""
    body = json.dumps({"count": 3, "next": None, "previous": None, "results": []}).encode()
    key = "/api/collections/7/images/*"
    world.server.fault(key=key, times=1, status=200, body=body)
    assert ids_of(world.ids([7])) == [5, 6, 7]
    world.server.fault(key=key, status=200, body=body)
    bunch, text = world.warned([7], mode="overwrite")
    assert "the server says that it has 3" in text
    assert bunch.images == []


@pytest.mark.parametrize("mode", ["download_new", "overwrite", "offline"])
def test_what_is_private_comes_by_the_letters_of_its_address(world, mode):
    world.vault.add_collection(9, token="GFKZKPAQ", images=[50, 51])
    world.ids(["GFKZKPAQ"])
    assert ids_of(world.ids([7, "GFKZKPAQ"], mode="download_new")) == [5, 6, 7, 50, 51]
    assert ids_of(world.ids(["GFKZKPAQ", 7], mode=mode)) == [50, 51, 5, 6, 7]
    assert ids_of(world.ids([], ["GFKZKPAQ-51", 5], mode=mode)) == [51, 5]
    _, text = world.warned(["ABCDEFGH"], mode=mode)
    assert "collection ABCDEFGH" in text
    with pytest.raises(UsageError, match="not ids"):
        fetch_neurovault_ids(["gfkzkpaq"], data_dir=world.data_dir)


def test_a_private_image_alone_comes_with_its_collection(world):
    world.vault.add_collection(9, token="GFKZKPAQ", images=[50, 51])
    bunch = world.ids([], ["GFKZKPAQ-51"])
    assert bunch.collections_meta[0]["name"] == "Collection 9"


def test_a_search_that_finds_nothing_warns(world):
    """The class: an empty list that nobody hears of."""
    neurovault.update_catalogue()
    with pytest.warns(SelectionWarning, match="None of the") as caught:
        assert neurovault.search(map_type="Z-map") == []
    assert "Did you mean 'Z map' " in str(caught[0].message)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", SelectionWarning)
        assert neurovault.search(map_type="Z map")


def test_a_misspelt_argument_of_a_search_is_told(world):
    neurovault.update_catalogue()
    with pytest.raises(UnknownValueError, match=r"mean limit= \(an argument"):
        neurovault.search("map", limt=3)
