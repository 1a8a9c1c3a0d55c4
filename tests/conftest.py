"""Settings that all tests share."""

import codecs
import os
import ssl
import sys

import pytest
from hypothesis import settings

from neurofetch.net import retry
from testbed._tls import certify_itself

# No deadlines: the machine may be busy, and speed is the benchmarks' business. In continuous
# integration the examples are the same in every run, so that a red run can be repeated; at a desk
# they are new ones each time, so that something can be found.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

pytest.register_assert_rewrite("tests.sources.contract")

# Some tests are another user for a while, who may not read the library of whoever runs them; and
# Python remembers that an encoding could not be found, until the process ends.
codecs.lookup("utf-8-sig")

LONG = {
    "test_access.py",
    "test_aws_regions.py",
    "test_bids_schema.py",
    "test_claims.py",
    "test_dark_runs.py",
    "test_example.py",
    "test_executors.py",
    "test_faults.py",
    "test_few_connections.py",
    "test_few_threads.py",
    "test_folder.py",
    "test_fsspec_contract.py",
    "test_get.py",
    "test_idle_connections.py",
    "test_index.py",
    "test_key_sources.py",
    "test_laion_bad_input.py",
    "test_laion_cli.py",
    "test_laion_filters.py",
    "test_laion_license.py",
    "test_laion_page.py",
    "test_laion_verify.py",
    "test_late_disks.py",
    "test_lister.py",
    "test_loader_arguments.py",
    "test_loader_bad_input.py",
    "test_loader_brings.py",
    "test_loader_executors.py",
    "test_loader_read_only.py",
    "test_loader_stream.py",
    "test_loader_tables.py",
    "test_mirrors.py",
    "test_named.py",
    "test_net_fuzz.py",
    "test_neurovault_away.py",
    "test_neurovault_catalogue.py",
    "test_neurovault_cli.py",
    "test_neurovault_executors.py",
    "test_neurovault_faults.py",
    "test_neurovault_filters.py",
    "test_neurovault_layout.py",
    "test_neurovault_odd_volumes.py",
    "test_neurovault_side_by_side.py",
    "test_neurovault_tables.py",
    "test_neurovault_twelve.py",
    "test_nextflow_page.py",
    "test_notebook.py",
    "test_odd_answers.py",
    "test_odd_disks.py",
    "test_odd_sources.py",
    "test_offline.py",
    "test_open_bad_input.py",
    "test_open_cache.py",
    "test_open_hard_use.py",
    "test_open_libraries.py",
    "test_open_openneuro.py",
    "test_open_processes.py",
    "test_open_reads.py",
    "test_open_signed.py",
    "test_open_web.py",
    "test_openneuro_get.py",
    "test_openneuro_source.py",
    "test_other_servers.py",
    "test_ownership.py",
    "test_parts.py",
    "test_patience.py",
    "test_read_back.py",
    "test_remote_files.py",
    "test_resume_cuts.py",
    "test_s3.py",
    "test_s3_listings.py",
    "test_settler.py",
    "test_signed_locks.py",
    "test_signed_runs.py",
    "test_slurm.py",
    "test_splits.py",
    "test_status.py",
    "test_stimuli_readers.py",
    "test_stimulus_downloads.py",
    "test_talk.py",
    "test_templates.py",
    "test_testbed_faults.py",
    "test_testbed_laion.py",
    "test_testbed_s3.py",
    "test_waiting.py",
    "test_watchdog.py",
    "test_width_runs.py",
}
"""Files whose many short tests take long together: `make test` runs them, `make check` does not."""


def pytest_ignore_collect(collection_path, config):
    """Leave files without a quick test out where only those run: to read them takes long."""
    quick = "not slow" in (config.getoption("markexpr") or "")
    return True if quick and collection_path.name in LONG else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name in LONG:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _no_download_before():
    """Let each test be a process of its own: its data directory is not compared with another's."""
    module = sys.modules.get("laion_fmri.download")  # not imported for tests of other parts
    if module is not None:
        module._Previous.root = None


@pytest.fixture
def brief_waits(monkeypatch):
    """Let this process wait a fiftieth of what it drew between attempts: as many are made."""
    real = retry.delay

    def delay(rules, attempt, retry_after, draw):
        return real(rules, attempt, retry_after, draw / 50)

    monkeypatch.setattr(retry, "delay", delay)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Return the files of a certificate for 127.0.0.1, its own authority, and of its key."""
    made = certify_itself(tmp_path_factory.mktemp("tls"))
    return made.certificate, made.key


@pytest.fixture
def tls(certificate):
    """Return a server-side context with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
