"""Filters that nothing passes: what a user hears."""

import warnings

import pytest

from neurofetch import neurovault
from neurofetch.errors import SelectionWarning, UnknownArgumentError, UnknownValueError

pytest_plugins = ["tests.neurovault_fixtures"]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"collection_ids": [7], "image_terms": {}}, ["'collection_ids'", "mean collection_id"]),
        ({"map_typ": "Z map"}, ["no image has a field 'map_typ'", "Did you mean map_type"]),
        ({"map_type": "Z-map"}, ["map_type='Z-map': no image passes", "Did you mean 'Z map'"]),
        ({"collection_id": "7"}, ["id='7': no collection passes"]),
        ({"collection_id": [7, 8]}, ["For several values, write IsIn(...)"]),
        ({"collection_terms": {"nmae": "x"}}, ["no collection has a field 'nmae'", "name"]),
    ],
)
def test_filters_that_nothing_passes_are_told_with_what_is_near(world, terms, words):
    """The class: an empty result that nobody hears of."""
    with pytest.warns(SelectionWarning, match="No image passes") as caught:
        assert world.filtered(5, **terms).images == []
    texts = [text for one in caught if (text := str(one.message)).startswith("No image passes")]
    assert len(texts) == 1
    assert all(word in texts[0] for word in words), texts[0]
    assert world.media() == []


def test_a_misspelt_argument_is_no_field(world):
    """The class: a keyword of its own that becomes a filter, and then nothing passes."""
    with pytest.raises(UnknownArgumentError, match=r"Did you mean max_images=\?") as caught:
        world.filtered(max_image=3)
    assert isinstance(caught.value, TypeError)
    assert "image_terms={'max_image': …}" in str(caught.value)
    assert world.server.requests() == []


def test_a_misspelt_field_is_told_before_everything_is_looked_at(world):
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", SelectionWarning)
        warnings.showwarning = lambda text, *_: seen.append((str(text), world.server.requests()))
        world.filtered(5, map_typ="Z map")
    first, asked = seen[0]
    assert first.startswith("map_typ is no field of images that is known. Did you mean map_type=?")
    assert asked == []


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
