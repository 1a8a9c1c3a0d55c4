"""Few descriptors: connections, temporary files, partials and logs are counted together."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.transfer.crowd import crowd_for
from neurofetch.transfer.options import Options
from tests.engine_world import KIB, PART, World, noise

LARGE = noise(40 * PART + 9, 2)
LIMITS = (64, 40, 32, 24)


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


def fetched(world, most, *arguments, **environ):
    """Fetch all with so many descriptors; assert that it is all there, and none ran out."""
    process = world.start("--descriptors", str(most), "--many", *arguments, **environ)
    report, code, err = world.finish(process, 60)
    assert err.startswith("{"), err
    said = json.loads(err)
    assert code == 0, (err, [line for line in report.values() if line["status"] == "failed"])
    assert not [reason for reason in said["failed"] if "open files" in reason]
    assert said["peak"] <= most
    expected = {key: world.s3.stored(key).blob for key in world.s3._buckets["b"]}
    assert world.files() == {key: blob.read(0, blob.size) for key, blob in expected.items()}
    world.assert_clean()
    return said


@given(
    options=st.builds(
        Options,
        n_jobs=st.integers(1, 64),
        connections=st.integers(1, 500),
        whole_connections=st.integers(1, 100),
        bulk_connections=st.integers(1, 100),
    ),
    tiny=st.integers(0, 5_000),
    whole=st.integers(0, 500),
    large=st.integers(0, 100),
    free=st.integers(0, 1_500),
)
def test_all_that_may_be_open_at_once_fits(options, tiny, whole, large, free):
    crowd = crowd_for(options, tiny, whole, large, free)
    assert crowd.descriptors + 12 <= free or free < 28
    assert crowd.jobs <= options.n_jobs
    assert crowd.threads <= options.connections
    for number, wanted in [(crowd.flows, tiny), (crowd.places, tiny), (crowd.jobs, large)]:
        assert bool(number) == bool(wanted)
    assert bool(crowd.bulk) == bool(large)
    assert bool(crowd.threads) == bool(tiny + whole + large)
    bare = crowd_for(options, tiny, whole, large, None)
    assert bare == crowd_for(options, tiny, whole, large, 100_000)
    assert bare.descriptors >= crowd.descriptors


def put_tiny(world, count=60):
    for n in range(count):
        world.put(f"t{n:02}", noise(700 + n, n))


@pytest.mark.slow
@pytest.mark.parametrize("most", LIMITS)
@pytest.mark.parametrize("large", [1, 3])
@pytest.mark.parametrize("skip", [0, 45])
def test_one_failed_answer_among_tiny_files_beside_large_ones(world, most, large, skip):
    """The run that hung for ever: one 503, large parts waiting, and few descriptors."""
    put_tiny(world)
    world.s3.latency = 0.01
    for n in range(large):
        world.put(f"l{n}", LARGE)
    world.s3.fault(key="t*", method="GET", skip=skip, times=1, status=503)
    fetched(world, most, "--jobs", str(large))


@pytest.mark.slow
@pytest.mark.parametrize("most", LIMITS)
def test_only_tiny_files(world, most):
    put_tiny(world, 300)
    world.s3.latency = 0.003
    for n in range(20, 60):  # once each: with fewer at once, one file would be struck many times
        world.s3.fault(key=f"t{n:02}", method="GET", times=1, status=503)
    fetched(world, most)


@pytest.mark.slow
@pytest.mark.parametrize("most", LIMITS)
def test_only_whole_files_that_are_looked_at(world, most):
    put_tiny(world)
    for n in range(30):
        world.put(f"w{n:02}", noise(900 * KIB, n), part_size=450 * KIB, checksum=None)
    world.s3.latency = 0.003
    fetched(world, most, "--inspect", "--single", "2000")


@pytest.mark.slow
@pytest.mark.parametrize("most", LIMITS)
def test_a_server_without_ranges(world, most):
    """Large files turn out to be files that come in one request: in all threads at once."""
    put_tiny(world)
    for n in range(30):
        world.put(f"l{n:02}", noise(5 * PART, n), checksum=None, part_size=5 * PART // 2)
    world.s3.latency = 0.003
    world.s3.fault(key="l*", method="GET", ignore_range=True)
    fetched(world, most, "--jobs", "3")


@pytest.mark.slow
@pytest.mark.parametrize("most", LIMITS)
def test_over_https(tmp_path, monkeypatch, certificate, tls, most):
    with World(tmp_path, monkeypatch, tls=tls) as world:
        put_tiny(world)
        world.put("l0", LARGE)
        world.s3.fault(key="t*", method="GET", skip=20, times=1, status=503)
        fetched(world, most, AWS_CA_BUNDLE=str(certificate[0]))
