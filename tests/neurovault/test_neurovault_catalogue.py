"""The local catalogue: filled, updated, searched, read while it is written."""

import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.catalogue import main, synthetic_images
from neurofetch import errors as _errors
from neurofetch.neurovault import (
    Catalogue,
    Contains,
    GreaterThan,
    IsIn,
    IsNull,
    LessOrEqual,
    NotEqual,
    NotIn,
    NotNull,
    Pattern,
    ResultFilter,
    basic_image_terms,
)
from neurofetch.neurovault.catalogues.ingest import Update
from neurofetch.neurovault.records import clean
from testbed.neurovault_data import Vault

DAY = "2020-07-{:02d}T00:00:00Z"


@pytest.fixture
def vault():
    content = Vault()
    content.add_recorded()
    content.add_collection(7, name="Hands and feet", authors="B. Author", DOI="10.1/hands")
    content.add_image(1, 7, name="Left hand", description="Tapping, left versus rest")
    content.add_image(2, 7, name="Right hand", map_type="ROI/mask", number_of_subjects=12)
    content.add_image(3, 7, name="Foot", is_thresholded=True, modify_date=DAY.format(30))
    content.add_image(4, 7, name="hand-foot", not_mni=True, description="n/a", odd_key="blue")
    return content


@pytest.fixture
def catalogue(tmp_path, vault):
    made = Catalogue(tmp_path / "deep" / "catalogue.duckdb")
    made.update(images=vault.images.values(), collections=vault.collections.values())
    return made


def test_an_empty_place_answers_with_nothing(tmp_path):
    none = Catalogue(tmp_path / "none.duckdb")
    assert not none.exists()
    assert none.ids("hand") == []
    assert none.records([1]) == []
    assert (none.count(), none.newest()) == (0, None)
    assert none.table().columns[0] == "id"
    assert list(tmp_path.iterdir()) == []


def test_words_are_found_in_any_case_and_all_of_them(catalogue):
    assert catalogue.ids("HAND") == [1, 2, 4]
    assert catalogue.ids("left hand") == [1]
    assert catalogue.ids("hand left") == [1]
    assert catalogue.ids('"hand left"') == []
    assert catalogue.ids('"left versus" hand') == [1]
    assert catalogue.ids("lips") == []
    assert catalogue.ids("working memory", map_type="T map")[-1] == 24375
    assert catalogue.ids("hands author", kind="collections") == [7]
    assert catalogue.ids("hand", collection_text="feet") == [1, 2, 4]
    assert catalogue.ids("hand", collection_text="recorded") == []


def test_fields_by_value_list_null_and_special_value(catalogue):
    mine = {"collection_id": 7}
    assert catalogue.ids(**mine) == [1, 2, 3, 4]
    assert catalogue.ids(**mine, is_thresholded=True) == [3]
    assert catalogue.ids(id=[4, 1, 99]) == [1, 4]
    assert catalogue.ids(id=np.array([2, 3]), **mine) == [2, 3]
    assert catalogue.ids(collection_id=np.int64(7), limit=2) == [1, 2]
    assert catalogue.ids(**mine, name=Contains("oot")) == [3, 4]
    assert catalogue.ids(**mine, map_type=NotIn("ROI/mask")) == [1, 3, 4]
    assert catalogue.ids(**mine, number_of_subjects=None) == [1, 3, 4]
    assert catalogue.ids(**mine, number_of_subjects=[12, None]) == [1, 2, 3, 4]
    assert catalogue.ids(**mine, number_of_subjects=[]) == []
    assert catalogue.ids(modify_date=IsIn(DAY.format(30))) == [3]
    assert catalogue.ids(**mine, number_of_subjects=NotNull()) == [2]
    assert catalogue.ids(**mine, number_of_subjects=IsNull()) == [1, 3, 4]
    assert catalogue.ids(**mine, number_of_subjects=NotEqual(12)) == [1, 3, 4]
    assert catalogue.ids(**mine, number_of_subjects=GreaterThan(11)) == [2]
    assert catalogue.ids(id=LessOrEqual(2)) == [1, 2]
    assert catalogue.ids(**mine, **basic_image_terms()) == [1]
    assert catalogue.ids(kind="collections", DOI="10.1/hands") == [7]


def test_dates_are_compared_as_times(catalogue):
    assert catalogue.ids(modify_date=GreaterThan("2020-07-29T12:00:00Z")) == [3]
    assert catalogue.ids(modify_date="2020-07-30T02:00:00+02:00") == [3]
    assert catalogue.ids(modify_date=datetime(2020, 7, 30, tzinfo=UTC)) == [3]
    with pytest.raises(_errors.UsageError, match="modify_date must be a date"):
        catalogue.ids(modify_date="last week")


def test_keys_that_uploaders_made_up_are_found_too(catalogue):
    assert catalogue.ids(odd_key="blue") == [4]
    assert catalogue.ids(random_property_1=42) == [24843]
    assert catalogue.ids(random_property_1=[42, 43], map_type="Z map") == [24843]
    assert catalogue.ids(custom_prop=NotNull()) == [24375]
    assert catalogue.ids("hand", odd_key=None, limit=1) == [1]


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["map_type", "name", "not_mni", "odd_key", "modality", "id"]),
        st.sampled_from(
            ["T map", "Foot", True, None, NotNull(), IsNull(), NotEqual("T map"), Contains("o")]
        ),
        max_size=3,
    )
)
def test_searching_is_filtering(shared_catalogue, terms):
    terms = {k: v for k, v in terms.items() if k != "id" or isinstance(v, NotNull)}
    terms = {k: v for k, v in terms.items() if k != "not_mni" or v in (True, None) or _special(v)}
    catalogue, records = shared_catalogue
    expected = sorted(r["id"] for r in records if ResultFilter(terms)(r))
    assert catalogue.ids(**terms) == expected


def _special(value):
    return isinstance(value, NotNull | IsNull)


@pytest.fixture(scope="module")
def shared_catalogue(tmp_path_factory):
    content = Vault()
    content.add_recorded()
    content.add_collection(7)
    for number, name in enumerate(("Foot", "T map", "hand"), start=1):
        content.add_image(number, 7, name=name, odd_key=name if number % 2 else None)
    made = Catalogue(tmp_path_factory.mktemp("shared") / "c.duckdb")
    made.update(images=content.images.values())
    return made, [clean(record) for record in content.images.values()]


def test_tables_and_whole_records(catalogue, vault):
    table = catalogue.table("hand")
    assert table["id"].tolist() == [1, 2, 4]
    assert table["map_type"].tolist() == ["T map", "ROI/mask", "Z map"]
    assert table["not_mni"].tolist() == [False, False, True]
    assert str(table["modify_date"].dtype).startswith("datetime64")
    assert catalogue.table(kind="collections", limit=1)["name"].tolist() == ["Hands and feet"]
    assert catalogue.records([4, 99, 1]) == [clean(vault.images[4]), clean(vault.images[1])]
    assert catalogue.records([7], kind="collections")[0]["name"] == "Hands and feet"
    assert catalogue.count() == len(vault.images)
    assert catalogue.count("collections") == len(vault.collections)


def test_updates_replace_what_is_older_only(catalogue, vault):
    assert catalogue.newest() == datetime(2020, 7, 30, tzinfo=UTC)
    assert catalogue.newest("collections") is not None
    before = catalogue.count()
    same = catalogue.update(images=vault.images.values())
    assert same == Update(unchanged=before)
    newer = vault.images[1] | {"name": "Thumb", "modify_date": DAY.format(31)}
    older = vault.images[3] | {"name": "Ancient foot", "modify_date": DAY.format(2)}
    fresh = vault.images[2] | {"id": 50}
    assert catalogue.update(images=[newer, older, fresh]) == Update(1, 1, 1, 0)
    assert catalogue.ids("thumb") == [1]
    assert catalogue.ids("ancient") == []
    assert catalogue.count() == before + 1
    assert catalogue.newest() == datetime(2020, 7, 31, tzinfo=UTC)


def test_pages_that_repeat_rows_leave_the_newest(catalogue, vault):
    rows = [vault.images[1] | {"name": n, "modify_date": DAY.format(d)} for n, d in
            (("first", 20), ("newest", 25), ("late", 24))]  # fmt: skip
    catalogue.update(images=rows)
    assert catalogue.records([1])[0]["name"] == "newest"
    twice = [rows[1] | {"name": "again"}, rows[1] | {"name": "last"}]
    assert catalogue.update(images=twice) == Update(changed=1)
    assert catalogue.records([1])[0]["name"] == "last"


def test_a_complete_update_removes_what_is_gone(catalogue, vault):
    rows = [vault.images[n] for n in (1, 2)]
    collections = list(vault.collections.values())
    done = catalogue.update(images=rows, collections=collections, complete=True)
    assert done.removed == len(vault.images) - 2
    assert catalogue.ids() == [1, 2]
    assert catalogue.count("collections") == len(collections)


def test_a_failed_update_changes_nothing(catalogue):
    before = catalogue.path.read_bytes()

    def rows():
        yield {"id": 90, "name": "new"}
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        catalogue.update(images=rows())
    with pytest.raises(_errors.UsageError, match="Record 2 of the images has no id, but 'x'"):
        catalogue.update(images=[{"id": 90}, {"id": "x"}])
    assert catalogue.path.read_bytes() == before
    assert [p.name for p in catalogue.path.parent.iterdir()] == ["catalogue.duckdb"]


def test_odd_values_do_not_stop_an_update(tmp_path):
    catalogue = Catalogue(tmp_path / "c.duckdb")
    odd = {
        "id": 1,
        "collection_id": "12",
        "name": 5,
        "description": 'tab\t, "quote", \\ and é\nline',
        "number_of_subjects": "about twenty",
        "file_size": "800.0",
        "not_mni": "maybe",
        "modality": ["a", "b"],
        "modify_date": "unknown",
        "nested": {"deep": [1, None]},
    }
    catalogue.update(images=[odd])
    assert catalogue.records([1]) == [odd]
    row = catalogue.table().iloc[0]
    assert (row["collection_id"], row["name"], row["file_size"]) == (12, "5", 800)
    assert row["not_mni"] is None
    assert catalogue.ids("É\n") == [1]
    harsh = {"id": 2, "name": "half \ud800 \0 end", "number_of_subjects": "nan", "owner": 10**30}
    harsh |= {"file_size": 10**30, "brain_coverage": float("inf")}
    assert catalogue.update(images=[harsh], collections=[harsh]) == Update(added=2)
    assert catalogue.ids("half end", file_size=None, number_of_subjects=None) == [2]
    assert catalogue.records([2]) == [harsh]


def test_a_kind_that_is_not_given_stays(catalogue, vault):
    before = catalogue.count()
    done = catalogue.update(collections=[vault.collections[7]], complete=True)
    assert done == Update(unchanged=1, removed=3)
    assert (catalogue.count(), catalogue.count("collections")) == (before, 1)
    assert catalogue.update(images=(), complete=True).removed == before


def test_many_records_come_in_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("neurofetch.neurovault.catalogues.ingest._BATCH", 40)
    catalogue = Catalogue(tmp_path / "c.duckdb")
    rows = list(synthetic_images(110))
    assert catalogue.update(images=rows[:100]) == Update(added=100)
    assert catalogue.update(images=rows) == Update(added=10, unchanged=100)
    done = catalogue.update(images=iter(rows[:90]), complete=True)
    assert done == Update(unchanged=90, removed=20)
    assert catalogue.ids() == list(range(1, 91))


def test_a_damaged_file_is_named(catalogue, vault):
    whole = catalogue.path.read_bytes()
    catalogue.path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(_errors.VerificationError, match=r"catalogue\.duckdb cannot be read"):
        catalogue.ids("hand")
    with pytest.raises(_errors.VerificationError, match="remove the file"):
        catalogue.update(images=[])
    catalogue.path.write_text("something else")
    assert not catalogue.exists()
    assert catalogue.update(images=vault.images.values()).added == len(vault.images)


def test_drafts_of_killed_updates_are_swept(catalogue):
    old, young = (catalogue.path.with_name(f".catalogue.duckdb.{n}.part") for n in (1, 2))
    for draft in (old, young):
        draft.write_text("")
    os.utime(old, (0, 0))
    catalogue.update(images=[])
    assert not old.exists()
    assert young.exists()


def test_wrong_kinds_are_refused(catalogue):
    with pytest.raises(_errors.UsageError, match="kind must be"):
        catalogue.ids(kind="pictures")
    with pytest.raises(_errors.UsageError, match="for collections, use text"):
        catalogue.ids(kind="collections", collection_text="x")


def test_a_file_of_another_format_is_filled_anew(catalogue, vault):
    with duckdb.connect(str(catalogue.path)) as connection:
        connection.execute("UPDATE format SET version = 0")
    assert not catalogue.exists()
    assert catalogue.ids() == []
    assert catalogue.update(images=vault.images.values()).added == len(vault.images)


READER = """
import json, sys, time
from neurofetch.neurovault import Catalogue
catalogue = Catalogue(sys.argv[1])
seen, end = set(), time.monotonic() + 30
while time.monotonic() < end:
    finished = catalogue.ids("finished")
    seen.add(catalogue.count())
    if finished:
        break
print(json.dumps(sorted(seen)))
"""


@pytest.mark.slow
def test_other_processes_read_whole_catalogues_while_one_writes(tmp_path):
    catalogue = Catalogue(tmp_path / "c.duckdb")
    step, steps = 100, 6
    catalogue.update(images=synthetic_images(step))
    command = [sys.executable, "-c", READER, str(catalogue.path)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for turn in range(2, steps + 1):
        catalogue.update(images=synthetic_images(step * turn))
    catalogue.update(images=[{"id": 10**6, "name": "finished"}])
    outputs = [reader.communicate(timeout=60)[0] for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0]
    for output in outputs:
        counts = set(json.loads(output))
        assert counts <= {step * turn for turn in range(1, steps + 1)} | {step * steps + 1}
        assert step * steps + 1 in counts


@pytest.mark.parametrize("sizes", [(100, 3_000), (3_000, 100), (200, 300)])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_is_replaced_while_it_is_opened_is_read_whole(
    tmp_path, monkeypatch, sizes, when
):
    """DuckDB opens a name more than once: the head and the blocks must be of one file."""
    catalogue = Catalogue(tmp_path / "c.duckdb")
    first, second = (Catalogue(tmp_path / f"{n}.duckdb") for n in sizes)
    for made, size in zip((first, second), sizes, strict=True):
        made.update(images=synthetic_images(size))
    shutil.copy(first.path, catalogue.path)
    connect, turns = duckdb.connect, []

    def replaced_meanwhile(*arguments, **options):
        turns.append(1)
        if len(turns) == 1 and when == "before":
            os.replace(second.path, catalogue.path)
        connection = connect(*arguments, **options)
        if len(turns) == 1 and when == "after":
            os.replace(second.path, catalogue.path)
        return connection

    monkeypatch.setattr(duckdb, "connect", replaced_meanwhile)
    assert len(catalogue.ids()) == sizes[1]
    assert len(turns) == 2


def test_a_file_that_is_replaced_whenever_it_is_opened_is_told_with_what_to_do(
    catalogue, monkeypatch
):
    connect, ends = duckdb.connect, []

    def replaced_meanwhile(*arguments, **options):
        ends.append(os.utime(catalogue.path, ns=(0, len(ends))))
        return connect(*arguments, **options)

    monkeypatch.setattr(duckdb, "connect", replaced_meanwhile)
    with pytest.raises(_errors.VerificationError, match="wait for the updates to end"):
        catalogue.ids()
    assert len(ends) == 100


def test_threads_search_while_another_updates(catalogue, vault):
    before = catalogue.count()
    counts, errors = set(), []

    def search():
        try:
            for _ in range(15):
                counts.add(len(catalogue.ids()))
        except Exception as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    catalogue.update(images=[vault.images[1] | {"id": 60}])
    for thread in threads:
        thread.join()
    assert errors == []
    assert counts <= {before, before + 1}
    assert catalogue.count() == before + 1


@pytest.mark.slow
def test_the_benchmark_runs(capsys):
    main(images=500, collections=20)
    assert "catalogue of 500 images, 20 collections" in capsys.readouterr().out


@pytest.mark.parametrize(
    "fields",
    [
        {"name": Contains(5)},
        {"name": Pattern("(")},
        {"my_own": Pattern("(")},
        {"modify_date": GreaterThan("x")},
        {"modify_date": "9999-12-31T23:59:59-12:00"},
        {'a"b': 1},
        {"id": GreaterThan([1])},
        {"kind": "pictures"},
    ],
)
def test_what_cannot_be_searched_for_is_told_without_sql_and_foreign_errors(tmp_path, fields):
    """The class: errors of a library, with its statements, in a user's face."""
    known = Catalogue(tmp_path / "c.duckdb")
    known.update(images=[{"id": 7, "collection_id": 2, "name": "Left", "my_own": "x"}])
    with pytest.raises(_errors.UsageError) as caught:
        known.ids(**fields)
    assert "SELECT" not in str(caught.value)
