"""Train and test: which lists they are, whence they come, and what is done with them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
from itertools import chain

import numpy as np
import pandas as pd
import pytest

from laion_fmri import splits
from laion_fmri.errors import BadDataError, DataNotDownloadedError
from laion_fmri.splits import digests, source
from laion_fmri.splits.source import COMMITS
from laion_fmri.verify import verify
from neurofetch.errors import ConfigError
from tests.split_lists import (
    FOLDER,
    OOD,
    OWN,
    POOLS,
    RECORDS,
    SHARED,
    document,
    every_name,
    know_made_lists,
    made,
    made_files,
    mirror,
    true_files,
)

DOWN = "http://127.0.0.1:1"
needs_lists = pytest.mark.skipif(not RECORDS.is_dir(), reason="the owners' lists are not here")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty data directory, and an own home."""
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(root))
    monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
    return root


@pytest.fixture
def server(data, monkeypatch):
    """The made lists, at a mirror that the environment names."""
    with mirror(made_files()) as served:
        monkeypatch.setenv("LAION_FMRI_SPLITS_URL", served.url)
        know_made_lists(monkeypatch)
        yield served
    digests.known.cache_clear()


@pytest.fixture
def owners(data, monkeypatch):
    """The owners' true lists, but those of all subjects, at a mirror."""
    digests.known.cache_clear()
    with mirror(true_files()) as served:
        monkeypatch.setenv("LAION_FMRI_SPLITS_URL", served.url)
        yield served


# --- names ----------------------------------------------------------------------------------------


def test_names_that_do_not_exist_are_told_with_those_that_do():
    for call, valid in (
        (lambda: splits.load_split("tau", "sub-02"), "sub-03"),
        (lambda: splits.load_split("random_5", "shared"), "random_4"),
        (lambda: splits.load_split("random_0", "pooled"), "cluster_k5_4"),
        (lambda: splits.load_split("tau", "shared", generation="v3"), "may2026"),
        (lambda: splits.list_splits("all"), "pooled"),
        (lambda: splits.get_train_test_ids("ood", "shared", ood_types="shapes"), "shape"),
        (lambda: splits.get_train_test_ids("tau", "shared", ood_types=["shape"]), "ood"),
        (lambda: splits.get_train_test_ids("ood", "shared", ood_types=3), "several in a list"),
        (lambda: splits.get_train_test_ids("ood", "shared", ood_types=b"shape"), "in a list"),
        (lambda: splits.load_split(["tau"], "shared"), "random_4"),
        (lambda: splits.load_split("tau", np.array(["shared", "sub-01"])), "sub-03"),
        (lambda: splits.download_splits(3), "several in a list"),
        (lambda: splits.download_splits(["shared", "sub-02"]), "sub-03"),
    ):
        with pytest.raises(ValueError, match=valid):
            call()


# --- fetching -------------------------------------------------------------------------------------


def test_a_list_is_fetched_at_first_use_and_kept_in_the_data_directory(server, data):
    train, test = splits.get_train_test_ids("tau", "shared")
    assert (train, test) == made("shared", "tau", "v2")
    assert server.asked == [f"{COMMITS['v2']}/{FOLDER}/shared/tau.json"]
    assert (data / "splits/cf82765/shared/tau.json").is_file()
    assert splits.get_train_test_ids("tau", "shared") == (train, test)
    assert len(server.asked) == 1


def test_lists_that_are_here_need_no_network(server, monkeypatch):
    expected = splits.load_all_splits("shared")
    assert list(expected) == splits.list_splits("shared")
    assert len(server.asked) == len(expected)
    monkeypatch.setenv("LAION_FMRI_SPLITS_URL", DOWN)
    assert splits.load_all_splits("shared") == expected


def test_without_a_network_the_error_says_what_to_do(data, monkeypatch, brief_waits):
    monkeypatch.setenv("LAION_FMRI_SPLITS_URL", DOWN)
    with pytest.raises(DataNotDownloadedError) as caught:
        splits.get_train_test_ids("tau", "shared")
    text = str(caught.value)
    for part in ("tau", "shared", "download_splits", str(data), "LAION_FMRI_SPLITS_URL"):
        assert part in text
    assert isinstance(caught.value, FileNotFoundError)
    assert not list(data.glob("splits/**/*.json"))


@pytest.mark.slow
def test_a_server_that_says_nothing_is_not_waited_for_as_for_large_files(
    data, monkeypatch, brief_waits
):
    monkeypatch.setattr(source, "_SILENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("LAION_FMRI_SPLITS_URL", url)
        with pytest.raises(DataNotDownloadedError, match="no byte for 0"):
            splits.load_split("tau", "shared")


def test_a_mirror_without_the_list_is_told(server):
    server.files.clear()
    with pytest.raises(DataNotDownloadedError, match="404"):
        splits.load_split("tau", "shared")


@pytest.mark.parametrize(
    "content",
    [
        document("tau", SHARED[1:], SHARED[:1]),
        document("ood", *made("shared", "tau", "v2")),
        b"<html>a login page</html>",
        b'{"name": "tau", "variants": []}',
        b"[]",
        b"",
    ],
    ids=["other members", "other name", "no JSON", "no variant", "no object", "empty"],
)
def test_other_lists_than_the_owners_never_get_the_name(server, data, content):
    path = f"{COMMITS['v2']}/{FOLDER}/shared/tau.json"
    server.files[path] = content
    with pytest.raises(BadDataError, match="tau"):
        splits.load_split("tau", "shared")
    assert not list(data.glob("splits/**/*.json"))


def test_the_order_of_a_list_belongs_to_it(server):
    train, test = made("shared", "random_0", "v2")
    server.files[f"{COMMITS['v2']}/{FOLDER}/shared/random_0.json"] = document(
        "random_0", train, test[::-1]
    )
    with pytest.raises(BadDataError, match="SHA-256"):
        splits.load_split("random_0", "shared")


def test_how_a_file_is_written_does_not_count(server):
    train, test = made("shared", "tau", "v2")
    path = f"{COMMITS['v2']}/{FOLDER}/shared/tau.json"
    server.files[path] = json.dumps(json.loads(server.files[path])).encode() + b"\n"
    assert splits.get_train_test_ids("tau", "shared") == (train, test)


def test_a_list_that_was_damaged_on_the_disk_is_fetched_again(server, data):
    splits.load_split("tau", "shared")
    path = data / "splits/cf82765/shared/tau.json"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"cluster_3_", b"cluster_4_"))
    assert splits.get_train_test_ids("tau", "shared") == made("shared", "tau", "v2")
    assert path.read_bytes() == good
    assert len(server.asked) == 2


def test_lists_come_from_wherever_a_pattern_says(server, monkeypatch):
    for path in list(server.files):
        commit, *_, pool, file = path.split("/")
        server.files[f"lists/{commit}/{pool}/{file}"] = server.files.pop(path)
    monkeypatch.setenv("LAION_FMRI_SPLITS_URL", server.url + "/lists/{commit}/{pool}/{name}.json")
    assert splits.load_split("tau", "shared").n_train == 8
    assert server.asked == [f"lists/{COMMITS['v2']}/shared/tau.json"]


@pytest.mark.parametrize("text", ["ftp://host", "no address", "http://host/{subject}/{name}"])
def test_an_address_that_is_none_is_told(data, monkeypatch, text):
    monkeypatch.setenv("LAION_FMRI_SPLITS_URL", text)
    with pytest.raises(ConfigError, match="LAION_FMRI_SPLITS_URL"):
        splits.load_split("tau", "shared")


def test_without_a_data_directory_lists_are_kept_in_the_users_cache(server, tmp_path, monkeypatch):
    monkeypatch.delenv("LAION_FMRI_DATA_DIR")
    splits.load_split("tau", "shared")
    assert (tmp_path / "cache/laion-fmri/splits/cf82765/shared/tau.json").is_file()
    splits.load_split("tau", "shared")
    assert len(server.asked) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_data_directory_that_others_keep_is_read(server, data, tmp_path):
    splits.load_split("tau", "shared")
    data.chmod(0o555)
    try:
        splits.load_split("ood", "shared")
        splits.load_split("tau", "shared")
    finally:
        data.chmod(0o755)
    assert (tmp_path / "cache/laion-fmri/splits/cf82765/shared/ood.json").is_file()
    assert len(server.asked) == 2


def test_where_no_list_can_be_kept_that_is_told_and_what_helps(server, data, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")  # root could write to any folder
    monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(tmp_path / "gone"))
    with pytest.raises(DataNotDownloadedError, match=r"no place to keep it.*XDG_CACHE_HOME"):
        splits.load_split("tau", "shared")
    assert server.asked == []


def test_a_data_directory_with_lists_in_it_is_in_order(server, data):
    splits.load_split("tau", "shared")
    found = verify(data, read_all=True)
    assert not list(found.problems)


# --- generations ----------------------------------------------------------------------------------


def test_three_generations_of_one_name_are_told_apart(server):
    newest = splits.load_split("random_0", "sub-01")
    assert newest == splits.load_split("random_0", "sub-01", generation="v2")
    found = {g: splits.load_split("random_0", "sub-01", generation=g) for g in COMMITS}
    assert [one.params["generation"] for one in found.values()] == ["v2", "v1", "may2026"]
    assert found["v2"].params["revision"] == 2
    tests = [tuple(one.variants[0].test_ids) for one in found.values()]
    assert len(set(tests)) == 3
    for generation, one in found.items():
        expected = f"{generation}@{COMMITS[generation][:7]}"
        assert one.version == expected
        assert expected in repr(one)
        ids = splits.get_train_test_ids("random_0", "sub-01", generation=generation)
        assert ids == made("sub-01", "random_0", generation)
        assert ids.version == expected
        assert expected in repr(ids)


def test_other_splits_are_the_same_in_each_generation(server):
    old = splits.load_split("tau", "shared", generation="may2026")
    assert old == splits.load_split("tau", "shared")
    assert "generation" not in old.params
    assert len(server.asked) == 1


def test_an_old_list_does_not_pass_for_a_new_one(server):
    v1 = server.files[f"{COMMITS['v1']}/{FOLDER}/shared/random_1.json"]
    server.files[f"{COMMITS['v2']}/{FOLDER}/shared/random_1.json"] = v1
    with pytest.raises(BadDataError, match="generation v2"):
        splits.load_split("random_1", "shared")


# --- what comes of them ---------------------------------------------------------------------------


def test_lists_are_the_callers_own(server):
    train, _ = splits.get_train_test_ids("tau", "shared")
    train.clear()
    assert splits.get_train_test_ids("tau", "shared")[0] == made("shared", "tau", "v2")[0]


def test_kinds_of_pictures_are_chosen_of_the_test_alone(server):
    for types, kept in (("gabor", OOD[:1]), (["illusion-classic"], OOD[1:]), (["shape"], [])):
        train, test = splits.get_train_test_ids("ood", "shared", ood_types=types)
        assert (train, test) == (SHARED, kept)


def test_masks_go_with_the_rows_of_whatever_holds_the_labels(server):
    labels = [SHARED[0], OOD[0], SHARED[0], "not a picture", *SHARED, OWN[0]]
    train, test = made("shared", "tau", "v2")
    table = pd.DataFrame({"run": range(len(labels)), "label": labels}, index=labels)
    for given in (table, table["label"], table["label"].to_numpy(), labels, tuple(labels)):
        masks = splits.get_split_masks(given, "tau", "shared")
        assert [mask.tolist() for mask in masks] == [
            [one in train for one in labels],
            [one in test for one in labels],
        ]
        assert all(mask.dtype == np.bool_ for mask in masks)
        assert masks.version == "v2@cf82765"
    assert splits.get_split_masks([], "tau", "shared")[0].shape == (0,)


def test_labels_are_the_same_in_bytes_as_a_category_and_under_their_older_name(server):
    train, test = made("shared", "tau", "v2")
    expected = [[one in train for one in SHARED], [one in test for one in SHARED]]
    for given in (
        [one.encode() for one in SHARED],
        np.array(SHARED, dtype="S"),
        pd.Series(SHARED, dtype="category"),
        pd.DataFrame({"stimulus_id": SHARED}),
        iter(SHARED),
    ):
        masks = splits.get_split_masks(given, "tau", "shared")
        assert [mask.tolist() for mask in masks] == expected
    missing = [None, float("nan"), pd.NA, SHARED[0]]
    masks = splits.get_split_masks(missing, "tau", "shared")
    assert [mask[:3].any() for mask in masks] == [False, False]
    assert masks[0][3] or masks[1][3]


@pytest.mark.parametrize(
    "wrong",
    [
        pd.DataFrame({"name": SHARED}),
        SHARED[0],
        {"label": SHARED},
        set(SHARED),
        3,
        None,
        [0, 1, 2],
        [SHARED],
        np.array([SHARED, SHARED]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_holds_no_labels_in_order_is_an_error_and_no_empty_mask(server, wrong):
    with pytest.raises(ValueError, match="label"):
        splits.get_split_masks(wrong, "tau", "shared")


def test_results_keep_their_version_when_they_are_pickled(server):
    ids = splits.get_train_test_ids("random_2", "shared", generation="v1")
    again = pickle.loads(pickle.dumps(ids))
    assert again == ids
    assert (again.version, again.name, again.pool) == (ids.version, "random_2", "shared")
    assert json.loads(json.dumps(ids)) == [list(ids[0]), list(ids[1])]


def test_splits_say_what_they_are(server):
    for name, family in (
        ("random_3", "random"),
        ("cluster_k5_2", "cluster_k5"),
        ("tau", "tau"),
        ("ood", "ood"),
    ):
        split = splits.load_split(name, "sub-01")
        assert (split.name, split.pool, split.split_family) == (name, "sub-01", family)
        variant = split.variants[0]
        assert variant.all_ids() == variant.train_ids + variant.test_ids
        assert len(repr(split)) < 200


def test_names_of_numpy_become_plain_text(server):
    split = splits.load_split(np.str_("tau"), np.str_("shared"))
    assert (type(split.name), type(split.pool)) == (str, str)
    assert len(splits.download_splits(np.array(["shared", "sub-01"]))) == 24


def test_an_older_generation_is_named_where_it_is_fetched(server, capsys):
    splits.load_split("random_1", "shared", generation="v1")
    assert "the list random_1 of shared (v1)\n" in capsys.readouterr().err


def test_the_path_of_a_list_is_that_of_a_good_one(server, data, tmp_path, monkeypatch):
    monkeypatch.delenv("LAION_FMRI_DATA_DIR")
    good = splits.download_splits("shared")  # in the user's cache
    monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(data))
    damaged = data / good[0].relative_to(tmp_path / "cache/laion-fmri")
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{}")
    assert splits.download_splits("shared") == good


def test_an_unknown_variant_is_told(server):
    with pytest.raises(ValueError, match="variant_id 1"):
        splits.get_train_test_ids("tau", "shared", variant_id=1)


def test_lists_are_fetched_ahead_for_machines_without_a_network(server, data):
    paths = splits.download_splits(["shared", "sub-01"])
    assert len(paths) == len(set(paths)) == 24
    assert all(path.is_file() and path.is_relative_to(data / "splits") for path in paths)
    asked = len(server.asked)
    assert splits.download_splits("shared") == paths[:12]
    assert len(server.asked) == asked


def test_names_of_splits_are_listed_without_numpy_or_pandas():
    code = (
        "import sys; from laion_fmri import splits; splits.list_splits();"
        "assert not {'numpy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the owners' lists ----------------------------------------------------------------------------


def test_every_list_of_the_owners_has_a_checksum():
    digests.known.cache_clear()
    known = digests.known()
    pools = splits.list_pools()[:-1]
    expected = {
        (pool, name, generation)
        for pool in pools
        for name in splits.list_splits(pool)
        for generation in (COMMITS if name.startswith("random") else [""])
    }
    assert set(known) == expected
    assert all(len(one.sha256) == 64 for one in known.values())
    for pool in pools:
        size = 1121 if pool == "shared" else 5833
        for (place, name, _), one in known.items():
            if place == pool:
                assert one.n_train + one.n_test == size + 371 * (name == "ood")
    for k in range(5):  # one list under two names
        assert known["shared", f"random_{k}", "v1"] == known["shared", f"random_{k}", "v2"]


@needs_lists
@pytest.mark.parametrize("pool", ["shared", "sub-01", "sub-03", "sub-05", "sub-06", "sub-07"])
def test_the_owners_lists_are_those_whose_checksums_are_known(owners, pool):
    for generation in COMMITS:
        found = splits.load_all_splits(pool, generation=generation)
        for name, split in found.items():
            one = digests.known()[pool, name, generation if name.startswith("random") else ""]
            assert (split.n_train, split.n_test) == (one.n_train, one.n_test)
        for family in ["cluster_k5"] + ["random"] * (generation != "may2026"):
            tests = [found[f"{family}_{k}"].variants[0].test_ids for k in range(5)]
            assert sorted(chain(*tests)) == sorted(found["ood"].variants[0].train_ids)


@needs_lists
def test_what_a_split_trains_on_is_sorted(owners):
    for name in every_name():
        train, test = splits.get_train_test_ids(name, "sub-03")
        assert train == sorted(train)
        assert (test == sorted(test)) == (not name.startswith("random"))


@pytest.mark.parametrize("name", ["tau", "cluster_k5_2"])
def test_a_list_of_all_subjects_is_known_by_its_pictures_their_number_and_order(
    server, monkeypatch, name
):
    names = sorted(set().union(*POOLS.values()))
    monkeypatch.setitem(source.POOLED, name, 3)
    sha256 = hashlib.sha256("\n".join(names).encode()).hexdigest()
    monkeypatch.setattr(source, "POOLED_SHA256", sha256)
    path = f"{COMMITS['v2']}/{FOLDER}/pooled/{name}.json"
    for train, test in (
        (names[4:], names[:4]),
        (names[3:], [*names[:2], "another.jpg"]),
        (names[3:][::-1], names[:3]),
        (names[3:], names[:3][::-1]),
    ):
        server.files[path] = document(name, train, test)
        with pytest.raises(BadDataError):
            splits.load_split(name, "pooled")
    server.files[path] = document(name, names[3:], names[:3])
    assert splits.load_split(name, "pooled").n_test == 3


def test_the_clusters_of_all_subjects_divide_their_pool():
    sizes = [digests.POOLED[f"cluster_k5_{k}"] for k in range(5)]
    assert sum(sizes) == 24_681
    assert set(digests.POOLED) == set(splits.list_splits("pooled"))
