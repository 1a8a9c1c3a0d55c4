"""The same odd calls to nilearn and to neurofetch on one server: equal, or different as documented.

``SAME``: the same images. ``TOLD``: nilearn gives nothing or dies, and neurofetch says why before
it asks. ``MORE``: neurofetch gives what was meant, and nilearn does not. ``REFUSED``: nilearn gives
something else than what the call says.
"""

import warnings

import numpy as np
import pytest

from neurofetch import neurovault as ours
from neurofetch.errors import UsageError
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]

SAME, TOLD, MORE, REFUSED = "same", "told", "more", "refused"


def n(name, *given, **keywords):
    """Return a value of a filter that each program makes of its own classes."""
    return lambda module: getattr(module, name)(*given, **keywords)


BY_IDS = [
    (SAME, ([7],), {}),
    (SAME, ((7, 1952),), {}),
    (SAME, ([], [101, 5]), {}),
    (SAME, ([7], [5, 6]), {}),
    (SAME, ([7], [101]), {}),
    (SAME, (np.array([7]).tolist(),), {}),
    (SAME, ([np.int64(7)],), {}),
    (SAME, (range(7, 8),), {}),
    (SAME, ({7},), {}),
    (SAME, ([7, 7],), {}),
    (SAME, (["7"],), {}),
    (SAME, ([], ["5"]), {}),
    (SAME, ([999],), {}),
    (SAME, ([], [999, 5]), {}),
    (SAME, (None, [5]), {}),
    (SAME, (), {}),
    (SAME, ([8],), {}),
    (SAME, ([7],), {"mode": "offline"}),
    (SAME, ([7],), {"mode": "OVERWRITE"}),
    (SAME, ([7],), {"verbose": 0, "timeout": 5, "vectorize_words": False}),
    (SAME, (np.array([7]),), {}),
    (SAME, (np.array([7, 7]),), {}),
    (MORE, (7,), {}),
    (TOLD, ([7.5],), {}),
    (TOLD, (["seven"],), {}),
    (TOLD, ([True],), {}),
    (TOLD, ([-7],), {}),
    (TOLD, ([7],), {"mode": "of"}),
]
BY_FILTER = [
    (SAME, {}),
    (SAME, {"max_images": 0}),
    (SAME, {"max_images": -1}),
    (SAME, {"max_images": None, "map_type": "Z map"}),
    (SAME, {"max_images": None, "map_type": n("IsIn", "Z map", "F map")}),
    (SAME, {"max_images": None, "collection_id": 7}),
    (SAME, {"max_images": None, "collection_id": n("IsIn", 7, 1952)}),
    (SAME, {"max_images": None, "image_terms": {}, "id": 101}),
    (SAME, {"max_images": None, "name": n("Contains", "map 10")}),
    (SAME, {"max_images": None, "name": n("Pattern", r"map \d$")}),
    (SAME, {"max_images": None, "not_mni": 0}),
    (SAME, {"max_images": None, "number_of_subjects": None}),
    (SAME, {"max_images": None, "number_of_subjects": n("NotNull")}),
    (SAME, {"max_images": None, "collection_terms": {"id": n("GreaterThan", 7)}}),
    (SAME, {"max_images": None, "collection_terms": {}}),
    (SAME, {"max_images": None, "image_filter": lambda r: r["id"] > 5}),
    (SAME, {"max_images": None, "collection_filter": lambda r: r["id"] == 7}),
    (SAME, {"max_images": None, "modify_date": n("GreaterThan", "2020-07-07T00:00:00Z")}),
    (SAME, {"max_images": None, "an_uploaders_own_key": n("IsNull")}),
    (SAME, {"max_images": 2.0}),
    (TOLD, {"map_typ": "Z map"}),
    (TOLD, {"map_type": "Z-map"}),
    (TOLD, {"map_type": "z map"}),
    (TOLD, {"map_type": n("IsIn", ["Z map", "T map"])}),
    (TOLD, {"map_type": ["Z map", "T map"]}),
    (TOLD, {"map_type": 5}),
    (REFUSED, {"collection_ids": [7]}),
    (REFUSED, {"image_ids": [5]}),
    (SAME, {"collection_id": "7"}),
    (TOLD, {"collection_id": [7, 8]}),
    (TOLD, {"collection_id": 7.5}),
    (TOLD, {"collection_id": np.array([7, 8])}),
    (MORE, {"id": n("IsIn", "5", "6")}),
    (TOLD, {"not_mni": "False"}),
    (TOLD, {"DOI": "10.1000/1"}),
    (TOLD, {"doi": "10.1000/1"}),
    (TOLD, {"name": ""}),
    (TOLD, {"name": n("Contains", 5)}),
    (TOLD, {"name": n("Contains", ["map"])}),
    (TOLD, {"name": n("Pattern", "(")}),
    (TOLD, {"number_of_subjects": n("Contains", "1")}),
    (TOLD, {"number_of_subjects": float("nan")}),
    (TOLD, {"number_of_subjects": n("GreaterThan", None)}),
    (TOLD, {"collection_terms": {"nmae": "x"}}),
    (TOLD, {"collection_terms": {"map_type": "Z map"}}),
    (TOLD, {"collection_terms": ["DOI"]}),
    (TOLD, {"image_filter": {"map_type": "Z map"}}),
    (TOLD, {"max_image": 5}),
    (TOLD, {"data_dirs": "x"}),
    (TOLD, {"max_images": "5"}),
    (TOLD, {"image_filter": lambda r: r["no such key"]}),
]


def made(module, keywords):
    """Return keywords whose special values are a module's own."""

    def own(value):
        if isinstance(value, dict):
            return {key: own(inner) for key, inner in value.items()}
        special = callable(value) and value.__qualname__.startswith("n.")
        return value(module) if special else value

    return {key: own(value) for key, value in keywords.items()}


def tried(call, *given, **keywords):
    """Return the ids that a call gives, or the error that it raises; its warnings do not matter."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ids_of(call(*given, **keywords))
    except Exception as error:  # noqa: BLE001 - nilearn raises whatever comes
        return error


@pytest.mark.parametrize(("kind", "given", "keywords"), BY_IDS)
def test_by_ids_both_give_the_same_or_it_is_told(world, theirs, tmp_path, kind, given, keywords):
    world.vault.add_collection(8)
    other = theirs.fetch_neurovault_ids
    both = {"verbose": 0, **keywords}
    expected = tried(other, *given, **{**both, "data_dir": str(tmp_path / "theirs")})
    if kind != SAME:
        assert isinstance(expected, Exception) or expected == []
    asked = len(world.server.requests())
    mine = tried(world.ids, *given, **both)
    if kind == SAME:
        assert sorted(mine) == sorted(expected)
    elif kind == MORE:
        assert mine == [5, 6, 7]
    else:
        assert isinstance(mine, UsageError), mine
        assert len(world.server.requests()) == asked


@pytest.mark.parametrize(("kind", "keywords"), BY_FILTER)
def test_by_filters_both_give_the_same_or_it_is_told(world, theirs, tmp_path, kind, keywords):
    both = {"verbose": 0}
    directory = str(tmp_path / "theirs")
    own = {"data_dir": directory, **both, **made(theirs, keywords)}
    expected = tried(theirs.fetch_neurovault, **own)
    asked = len(world.server.requests())
    mine = tried(world.filtered, **both, **made(ours, keywords))
    if kind == SAME:
        assert sorted(mine) == sorted(expected)
    elif kind == MORE:
        assert expected == []
        assert mine == [5, 6]
    else:
        assert kind == REFUSED or isinstance(expected, Exception) or expected == []
        assert isinstance(mine, UsageError), mine
        if "no such key" not in str(mine):
            assert len(world.server.requests()) == asked
