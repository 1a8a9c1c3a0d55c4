"""The result has types that a checker knows, and is the Bunch that scripts expect."""

import copy
import json
import pickle
import subprocess
import sys
import types
import typing

import joblib
import pytest
import sklearn.utils

from neurofetch.neurovault import NeurovaultBunch
from neurofetch.neurovault import records as _records
from testbed.neurovault_data import recorded
from tests.neurovault_world import ids_of

pytest_plugins = ["tests.neurovault_fixtures"]

SCRIPT = """
from MODULE import fetch_neurovault, fetch_neurovault_ids

result = fetch_neurovault_ids(image_ids=[1])
reveal_type(result)
reveal_type(fetch_neurovault(max_images=3, map_type="Z map"))
reveal_type(result.images)
reveal_type(result.images_meta[0]["name"])
reveal_type(result.images_meta[0]["absolute_path"])
reveal_type(result.collections_meta[0]["number_of_images"])
reveal_type(result.images_meta[0].get("a_key_of_the_uploader"))
reveal_type(result.description)
reveal_type(result.report.ok)
reveal_type(result.vocabulary is None)
reveal_type(list(result))
if result.word_frequencies is not None:
    reveal_type(result.word_frequencies.shape)
"""
REVEALED = [
    "neurofetch.neurovault.fetch.result.NeurovaultBunch",
    "neurofetch.neurovault.fetch.result.NeurovaultBunch",
    "list[str]",
    "str | None",
    "str",
    "int",
    "object",
    "str",
    "bool",
    "bool",
    "list[str]",
    "tuple[Any, ...]",
]
WRONG = """
from neurofetch.neurovault import fetch_neurovault_ids

result = fetch_neurovault_ids(image_ids=[1])
result.pictures
result.images_meta[0]["nmae"]
result.images.upper()
"""


@pytest.mark.slow
def test_a_users_script_is_understood_by_mypy_without_a_cast(tmp_path):
    for name in ("neurovault", "datasets"):
        module = f"neurofetch.{name}"
        (tmp_path / f"by_{name}.py").write_text(SCRIPT.replace("MODULE", module))
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    done = subprocess.run(
        [*command, "by_neurovault.py", "by_datasets.py", "wrong.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    lines = done.stdout.splitlines()
    for name in ("neurovault", "datasets"):
        mine = [line for line in lines if line.startswith(f"by_{name}.py:")]
        found = [line.partition('Revealed type is "')[2].rstrip('"') for line in mine]
        assert found == REVEALED, done.stdout
    wrong = [line.partition(": ")[0] for line in lines if line.startswith("wrong.py:")]
    assert sorted(set(wrong)) == ["wrong.py:5", "wrong.py:6", "wrong.py:7"], done.stdout


def test_the_result_is_a_bunch_and_a_dictionary(world):
    result = world.ids([7], fetch_neurosynth_words=True)
    assert type(result) is NeurovaultBunch
    assert isinstance(result, sklearn.utils.Bunch)
    assert isinstance(result, dict)
    assert set(result) == set(NeurovaultBunch.__annotations__) - {"report"}
    for name in result:
        assert getattr(result, name) is result[name]
    result.images = result.images[:1]
    assert len(result["images"]) == 1
    with pytest.raises(AttributeError, match="pictures"):
        _ = result.pictures
    assert set(world.ids([7])) == set(result) - {"vocabulary", "word_frequencies"}


def test_the_result_can_be_pickled_and_copied(world):
    result = world.ids([7], [101])
    for again in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert type(again) is NeurovaultBunch
        assert again == result
        assert ids_of(again) == [5, 6, 7, 101]
    assert copy.copy(result).report is copy.deepcopy(result).report is result.report
    with pytest.raises(AttributeError, match="is not in a pickle"):
        _ = pickle.loads(pickle.dumps(result)).report


def test_equal_calls_give_results_that_compare_hash_pickle_and_print_alike(world, tmp_path):
    """The class: what differs from call to call, such as seconds, in a result."""
    world.vault.images[6]["brain_coverage"] = float("nan")
    first, *others = [world.ids([7], [101]) for _ in range(3)]
    memory, ran = joblib.Memory(str(tmp_path / "memory"), verbose=0), []
    analyse = memory.cache(lambda bunch: ran.append(1) or len(bunch.images))
    for other in others:
        assert other == first
        assert not other != first  # noqa: SIM202 - the other operator
        assert joblib.hash(other) == joblib.hash(first)
        assert pickle.dumps(other) == pickle.dumps(others[0])
        assert json.dumps(other) == json.dumps(first)
        assert analyse(other) == 4
    assert len(ran) == 1
    assert first.report.seconds != others[0].report.seconds
    assert first != world.ids([7])
    assert first != {**first, "images": []}


def test_equal_calls_with_words_compare_and_hash_alike(world):
    one, two = (world.ids([7], fetch_neurosynth_words=True) for _ in range(2))
    assert one == two
    assert joblib.hash(one) == joblib.hash(two)
    two.word_frequencies = two.word_frequencies + 1
    assert one != two


def test_importing_the_functions_does_not_import_scikit_learn():
    code = (
        "import sys; import neurofetch.datasets, neurofetch.neurovault as n; n.NotNull;"
        "print([m for m in ('sklearn', 'numpy', 'pandas', 'nibabel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image_396069", _records.ImageRecord),
        ("windows_cache_image_10426", _records.LocalImageRecord),
        ("collection_8477", _records.CollectionRecord),
    ],
)
def test_the_types_know_every_field_of_the_recorded_answers(name, kind):
    record = recorded(name)
    known = typing.get_type_hints(kind)
    assert set(record) <= set(known)
    for key, value in record.items():
        hint = known[key]
        union = isinstance(hint, types.UnionType)
        kinds = typing.get_args(hint) if union else (typing.get_origin(hint) or hint,)
        whole = type(value) is int and float in kinds  # JSON may write 1.0 as 1
        assert whole or isinstance(value, kinds), key
