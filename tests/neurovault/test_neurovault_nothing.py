"""Filters that nothing passes: what a user hears."""

import pytest

from neurofetch.errors import SelectionWarning

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
    assert len(caught) == 1
    assert all(word in str(caught[0].message) for word in words), caught[0].message
    assert world.media() == []
