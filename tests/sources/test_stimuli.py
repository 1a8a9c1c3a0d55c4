"""The stimuli as a source: a bucket that refuses some keys, and the service that hands them out."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from laion_fmri.access.gated_files import NEEDS_ACCESS, StimuliSource
from laion_fmri.errors import AccessError
from neurofetch.engine import DataDirectory, Network
from neurofetch.errors import UnsafeNameError
from neurofetch.planning.local_path import local_name
from testbed.access import AccessServer
from testbed.laion import GATED
from testbed.s3 import S3Server
from tests.sources.contract import (
    NETWORK,
    QUICK,
    TREE,
    Served,
    SignedContract,
    SourceContract,
    ended_within,
    fetched,
    keys,
)
from tests.sources.test_s3 import LISTING, S3Contract, source_of

MANIFEST, REFRESH = "api/v1/manifest", "api/v1/refresh"
FOLDER = "stimuli/"


def is_safe(key: str) -> bool:
    """Whether a key may become a path: the service's list of files has no others."""
    try:
        local_name(key)
    except UnsafeNameError:
        return False
    return True


class World:
    """Makes buckets, each with an access service beside it."""

    def __init__(self, stack, root, monkeypatch):
        self._stack = stack
        self._root = root
        self._monkeypatch = monkeypatch
        self._numbers = itertools.count()

    def serve(
        self,
        files,
        *,
        page_size=1000,
        network=NETWORK,
        rules=QUICK,
        shown=True,
        granted=True,
        **how,
    ):
        """Give out as gated what lies below ``stimuli/``; the bucket shows it and refuses it."""
        gated = {key for key in files if key.startswith(FOLDER) and is_safe(key)}
        names = {key.removeprefix(FOLDER): files[key] for key in gated}
        there = {key: content for key, content in files.items() if shown or key not in gated}
        s3 = self._stack.enter_context(S3Server({"b": there}, page_size=page_size))
        for key in gated:
            s3.fault(key=re.sub(r"([*?[])", r"[\1]", key), method="[GH]E*", status=403)
        service = self._stack.enter_context(AccessServer(names))
        request_id = service.grant()
        self._monkeypatch.setenv("LAION_FMRI_ACCESS_URL", service.url)
        self._monkeypatch.setenv("LAION_FMRI_REQUEST_ID", request_id if granted else "")
        root = self._root / f"data-{next(self._numbers)}"
        root.mkdir()
        bucket, client, attempts = source_of(s3.url, network, rules, self._stack)
        source = StimuliSource(
            bucket,
            client,
            DataDirectory(root, ".laion_fmri"),
            local_name,
            rules=rules,
            stop=attempts.stop,
            **how,
        )
        return Served(
            source,
            client,
            attempts,
            {f"{FOLDER}*": service, "*": s3},
            s3,
            LISTING,
            (request_id,),
            service.expire_urls,
        )


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with contextlib.ExitStack() as stack:
        yield World(stack, tmp_path, monkeypatch)


@pytest.mark.slow
class TestGatedStimuli(SignedContract, S3Contract):
    """Files that the bucket shows and refuses, and the access service hands out."""

    base = FOLDER

    @pytest.fixture
    def serve(self, world):
        return world.serve


@pytest.mark.slow
class TestStimuliThatTheBucketDoesNotShow(SignedContract):
    """Files that only the service's manifest has."""

    base = FOLDER

    @pytest.fixture
    def serve(self, world):
        return partial(world.serve, shown=False)


@pytest.mark.slow
class TestAllTheRest(SourceContract):
    """Files that are not gated come from the bucket, unsigned."""

    base = "derivatives/"

    @pytest.fixture
    def serve(self, world):
        return world.serve


# -- the service fails ---------------------------------------------------------------------------

TREE_OF_STIMULI = {FOLDER + key: content for key, content in TREE.items()}
GATED_FILES = {key: key.encode() for key in GATED}


def service_of(served):
    return served.server_of(GATED[0])


def test_the_manifest_is_asked_for_once_however_often_and_by_how_many_one_lists(world):
    served = world.serve(TREE_OF_STIMULI)
    calls = [lambda: served.source.walk(""), lambda: served.source.level(FOLDER)] * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda call: call(), calls))
    assert len(service_of(served).requests(key=MANIFEST)) == 1
    assert len(service_of(served).requests(key=REFRESH)) == 1


def test_a_level_without_gated_files_asks_for_no_address(world):
    served = world.serve(TREE_OF_STIMULI)
    assert served.source.level("").folders == [FOLDER]
    assert service_of(served).requests(key=REFRESH) == []


@pytest.mark.parametrize("key", [MANIFEST, REFRESH])
@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_trouble_with_the_service_is_told_in_notes_and_by_the_address(world, key, status):
    served = world.serve(GATED_FILES | {"stimuli/public.csv": b"open"})
    service_of(served).fault(key=key, status=status)
    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(lambda _: served.source.walk(FOLDER), range(8))
    assert all(other == first for other in others)
    assert keys(first) == sorted([*GATED, "stimuli/public.csv"])
    assert len(served.source.notes) == 1
    assert served.secrets[0] not in served.source.notes[0]
    for file in (file for file in first if file.key in GATED):
        with pytest.raises(AccessError) as caught:
            served.source.address(file)
        assert served.secrets[0] not in str(caught.value)


def test_a_name_that_is_no_path_fails_the_gated_files_alone(world):
    served = world.serve(GATED_FILES | {"derivatives/f": b"f"})
    body = {
        "current_terms_version": "1.0",
        "dataset_version": "v1",
        "files": [{"name": "../../x", "size": 1, "sha256": "0" * 64}],
    }
    service_of(served).fault(key=MANIFEST, body=json.dumps(body).encode())
    listed = served.source.walk("")
    assert keys(listed) == sorted([*GATED_FILES, "derivatives/f"])
    assert len(served.source.notes) == 1
    assert fetched(served.source.address(listed[0])) == b"f"
    with pytest.raises(AccessError):
        served.source.address(listed[1])


def test_without_an_id_nobody_is_asked_and_the_gated_files_are_withheld(world):
    served = world.serve(GATED_FILES | {"stimuli/public.csv": b"open"}, granted=False)
    listed = {file.key: file for file in served.source.walk(FOLDER)}
    assert {key for key, file in listed.items() if file.withheld == NEEDS_ACCESS} == set(GATED)
    assert service_of(served).log == []
    with pytest.raises(AccessError, match="stimuli request"):
        served.source.address(listed[GATED[0]])


# -- the way out -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [MANIFEST, REFRESH])
@pytest.mark.parametrize("hang", [{"delay": 60}, {"status": 503, "headers": {"Retry-After": "50"}}])
def test_a_service_that_hangs_does_not_hold_up_the_end(world, key, hang):
    patient = Network(connect_timeout=60, read_timeout=60, slow_window=60)
    served = world.serve(TREE_OF_STIMULI, network=patient)
    service = service_of(served)
    service.fault(key=key, **hang)
    ended_within(
        lambda: served.source.walk(FOLDER), served, lambda: len(service.requests(key=key)) == 1
    )


@pytest.mark.parametrize("hang", [{"delay": 60}, {"status": 503, "headers": {"Retry-After": "50"}}])
def test_waiting_for_a_fresh_address_does_not_hold_up_the_end(world, hang):
    patient = Network(connect_timeout=60, read_timeout=60, slow_window=60)
    served = world.serve(TREE_OF_STIMULI, network=patient)
    service = service_of(served)
    file = served.source.walk(FOLDER)[0]
    served.source.address(file)
    service.fault(key=REFRESH, **hang)
    ended_within(
        lambda: [served.source.address(file), served.source.address(file, fresh=True)],
        served,
        lambda: len(service.requests(key=REFRESH)) == 2,
    )
