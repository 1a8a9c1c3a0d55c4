"""The runs whose power is cut: small and large files of a bucket, images of a NeuroVault."""

from neurofetch.engine import Dataset, Fetcher, Listing, RunSettings, query
from neurofetch.neurovault import fetch_neurovault_ids
from tests.engine_world import NETWORK, OPTIONS, QUICK

IDS = [1952], [5]


def fetch_bucket(root):
    """Fetch the bucket that the environment names; return the report."""
    settings = RunSettings(options=OPTIONS)
    with Fetcher(Dataset("test", "b"), root, network=NETWORK, rules=QUICK) as fetcher:
        plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=("",))), settings)
        return fetcher.run(plan, settings)


def fetch_vault(root):
    """Fetch from the NeuroVault that the environment names."""
    return fetch_neurovault_ids(*IDS, data_dir=root, verbose=0, on_error="raise", rules=QUICK)
