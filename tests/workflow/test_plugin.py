"""The plugin by itself: what Snakemake asks it; where Snakemake is importable."""

import asyncio
import logging
import pickle
import pkgutil
import subprocess
import sys

import pytest

from testbed.s3 import S3Server
from tests.lockfile_world import FILES

pytest.importorskip("snakemake.logging", exc_type=ImportError)  # the interface needs it

from snakemake_interface_storage_plugins.common import (
    Operation,
    storage_plugin_module_prefix,
)
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

from snakemake_storage_plugin_neurofetch import StorageProvider, StorageProviderSettings

BOLD = "sub-01/func/sub-01_task-rest_bold.nii.gz"
QUERY = f"neurofetch://s3/b-1/ds/{BOLD}"


@pytest.fixture
def s3(monkeypatch):
    with S3Server({"b-1": {f"ds/{path}": content for path, content in FILES.items()}}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def provider(tmp_path):
    return made(tmp_path)


def made(folder, **settings):
    return StorageProvider(
        local_prefix=folder / "kept",
        logger=logging.getLogger("tests"),
        settings=StorageProviderSettings(**settings),
    )


class Cache:
    """What Snakemake remembers of storage, as its interface says."""

    def __init__(self):
        self.exists_in_storage = {}
        self.exists_local = {}
        self.mtime = {}
        self.size = {}
        self.checksum = {}


def test_snakemake_finds_it_by_its_name_and_loads_nothing_of_ours_before_it_is_used():
    name = f"{storage_plugin_module_prefix}neurofetch"
    assert name in [one.name for one in pkgutil.iter_modules() if one.ispkg]
    plugin = StoragePluginRegistry().get_plugin("neurofetch")
    assert plugin.storage_provider is StorageProvider
    assert not plugin.is_read_write()
    script = f"import sys, {name}; print([m for m in sys.modules if m.startswith('neurofetch')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_listing_of_one_folder_fills_the_cache_for_all_of_its_files(s3, provider):
    cache = Cache()
    queries = [f"neurofetch://s3/b-1/ds/{path}" for path in FILES if path.startswith("sub-01/func")]
    for query in queries * 2:
        asyncio.run(provider.object(query).inventory(cache))
    assert [one.method for one in s3.requests()] == ["LIST"]
    for query in queries:
        one = provider.object(query)
        name = one.cache_key()
        path = query.removeprefix("neurofetch://s3/b-1/ds/")
        assert cache.exists_in_storage[name]
        assert cache.size[name] == one.size() == len(FILES[path])
        assert cache.mtime[name].storage() == one.mtime()
        assert cache.checksum[name] == one.checksum()
    assert len(s3.requests()) == 1
    assert provider.object(queries[0]).get_inventory_parent() in cache.exists_in_storage


def test_a_file_comes_to_where_snakemake_looks_for_it(s3, provider):
    one = provider.object(QUERY)
    assert one.local_path() == provider.local_prefix / "s3/b-1/ds" / BOLD
    asyncio.run(one.managed_retrieve())
    assert one.local_path().read_bytes() == FILES[BOLD]
    assert one.local_footprint() == len(FILES[BOLD])
    assert not provider.object(f"{QUERY}x").exists()
    assert pickle.loads(pickle.dumps(one.query)) == QUERY


def test_wildcards_are_matched_against_what_is_below_the_last_folder_without_any(s3, provider):
    found = provider.object("neurofetch://s3/b-1/ds/sub-{a}/func/{b}").list_candidate_matches()
    assert set(found) == {f"neurofetch://s3/b-1/ds/{path}" for path in FILES}
    found = provider.object("neurofetch://s3/b-1/ds/sub-01/{b}").list_candidate_matches()
    assert set(found) == {
        f"neurofetch://s3/b-1/ds/{path}" for path in FILES if path.startswith("sub-01/")
    }


def test_queries_are_judged_and_have_their_limit_for_each_place(provider):
    for example in StorageProvider.example_queries():
        assert StorageProvider.is_valid_query(example.query)
    refused = StorageProvider.is_valid_query("s3://b-1/x")
    assert not refused
    assert "names no file that neurofetch can bring" in str(refused)
    keys = {
        provider.rate_limiter_key(query, Operation.SIZE)
        for query in (
            QUERY,
            "neurofetch://s3/b-2/x",
            "openneuro:ds000001/x",
            "openneuro:ds000002/x",
        )
    }
    assert keys == {"s3://b-1", "s3://b-2", "openneuro"}
    assert provider.object("openneuro:ds000001@1.0.0/a").query.startswith("neurofetch://openneuro/")


def test_each_setting_has_a_default_and_a_help():
    settings = StorageProviderSettings()
    plugin = StoragePluginRegistry().get_plugin("neurofetch")
    info = {one["name"]: one for one in plugin.get_settings_info()}
    assert set(info) > {"profile", "signed", "requester_pays", "endpoint", "region", "patience"}
    assert all(one["help"] and not one["required"] for one in info.values())
    assert (settings.profile, settings.signed) == (None, False)
