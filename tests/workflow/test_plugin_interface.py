"""The tests that Snakemake gives to authors of storage plugins; where Snakemake is importable."""

import pytest

from testbed.openneuro import OpenNeuro, small_tree

pytest.importorskip("snakemake.io", exc_type=ImportError)

from snakemake_interface_storage_plugins.tests import TestStorageBase

from snakemake_storage_plugin_neurofetch import (
    StorageProvider,
    StorageProviderSettings,
)


@pytest.fixture(autouse=True)
def site(monkeypatch):
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": small_tree()})
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        yield server


class TestAsTheyTestIt(TestStorageBase):
    __test__ = True
    retrieve_only = True

    def get_query(self, tmp_path):  # noqa: ARG002
        return "neurofetch://openneuro/ds000001@1.0.0/participants.tsv"

    def get_query_not_existing(self, tmp_path):  # noqa: ARG002
        return "neurofetch://openneuro/ds000001@1.0.0/none.tsv"

    def get_storage_provider_cls(self):
        return StorageProvider

    def get_storage_provider_settings(self):
        return StorageProviderSettings()


class TestAFolder(TestAsTheyTestIt):
    def get_query(self, tmp_path):  # noqa: ARG002
        return "neurofetch://openneuro/ds000001@1.0.0/sub-01"
