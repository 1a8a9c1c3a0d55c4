"""The gated stimuli: one plan, one transfer, one report with all the rest."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from laion_fmri._dataset import Extras
from laion_fmri.access.gated_files import NEEDS_ACCESS
from laion_fmri.access.request_id import KnownId, auth_path, keep_new_id, known_id
from laion_fmri.access.service import Service
from laion_fmri.download import download, fetcher_for
from laion_fmri.errors import (
    AccessError,
    AccessRevokedError,
    TermsOutdatedError,
    UnknownRequestError,
)
from laion_fmri.verify import verify
from neurofetch.engine import Client, Network, RetryRules, State, read_receipts
from neurofetch.errors import ConfigError
from neurofetch.model import Action, Status, VerificationLevel
from testbed.laion import GATED
from tests.access_world import (
    DOWN,
    LARGE,
    MANIFEST,
    PART,
    PARTS,
    REFRESH,
    TABLE,
    WITHOUT,
    World,
    environment,
    others,
    outcome,
    service_of,
    stimuli,
    written,
)

QUICK = RetryRules(attempts=2, base=0.01)


@pytest.fixture
def world(s3, service, tmp_path, monkeypatch):
    s3.clear_faults()
    s3.clear_log()
    for name in WITHOUT:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(s3, service, tmp_path).items():
        monkeypatch.setenv(name, value)
    data = tmp_path / "data"
    data.mkdir()
    return World(s3, service, data, stimuli())


@pytest.fixture
def granted(world, monkeypatch):
    request_id = world.service.grant()
    monkeypatch.setenv("LAION_FMRI_REQUEST_ID", request_id)
    return request_id


def at_home(world):
    return {key: (world.data / key).read_bytes() for key in GATED if (world.data / key).exists()}


def put_by_another_tool(world, files):
    for key, content in files.items():
        path = world.data / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def publish(world, monkeypatch, seed):
    """Let another service stand at the same place: other contents of the same sizes."""
    files = stimuli(seed)
    server = service_of(files)
    monkeypatch.setenv("LAION_FMRI_ACCESS_URL", server.url)
    world.service, world.files = server, files
    return server


# -- one plan, one transfer, one report ------------------------------------------------------


def test_gated_files_come_with_the_rest_verified_by_the_manifest(world, granted):
    report = world.download()
    assert report.ok
    assert at_home(world) == world.files
    for key in GATED:
        assert (outcome(report, key).status, outcome(report, key).verification) == (
            Status.FETCHED,
            VerificationLevel.CHECKSUM,
        )
        assert world.s3.requests(key=key, method="GET") == []
    assert all(one.status is Status.FETCHED for one in others(report))
    receipts = read_receipts(world.data / ".laion_fmri")
    digest = hashlib.sha256(world.files[LARGE]).hexdigest()
    assert receipts[LARGE].digest == f"sha256:{digest}"
    assert len(world.ranges()) == PARTS
    assert len(world.asked(REFRESH)) == 1
    assert not world.asked(method="HEAD")


def test_a_second_run_asks_for_the_manifest_and_nothing_else(world, granted):
    world.download()
    world.forget()
    report = world.download()
    assert {one.status for one in report} == {Status.KEPT}
    assert [r.key for r in world.asked()] == [MANIFEST]


def test_without_an_id_gated_files_are_refused_in_the_plan_and_nobody_is_asked(world):
    plan = world.plan()
    assert {s.want.path: s.reason for s in plan.of(Action.REFUSE)} == dict.fromkeys(
        GATED, NEEDS_ACCESS
    )
    report = world.download()
    assert report.ok
    assert {one.path for one in report.withheld} == set(GATED)
    assert all(one.status is Status.FETCHED for one in others(report))
    assert world.asked() == []
    assert at_home(world) == {}


def test_other_downloads_know_nothing_of_the_service(world, granted):
    download("sub-03", "averages", data_dir=world.data, progress="none", include_embeddings=True)
    assert world.asked() == []


def test_exclude_leaves_gated_files_out_too(world, granted):
    report = world.download(exclude="*.h5")
    assert set(at_home(world)) == {TABLE}
    assert not any(one.key == LARGE for one in report)


def test_a_file_that_only_the_manifest_has_comes_too(world, granted, monkeypatch):
    extra = {**world.files, "stimuli/task-images_more.h5": b"more"}
    with service_of(extra) as server:
        monkeypatch.setenv("LAION_FMRI_ACCESS_URL", server.url)
        monkeypatch.setenv("LAION_FMRI_REQUEST_ID", server.grant())
        assert world.download().ok
    assert (world.data / "stimuli/task-images_more.h5").read_bytes() == b"more"


def test_what_is_whole_is_fetched_anew_on_request_alone(world, granted):
    world.download()
    world.forget()
    report = world.download(overwrite=True, exclude="*.h5")
    assert outcome(report, TABLE).status is Status.FETCHED
    assert len(world.asked(TABLE)) == 1


# -- what is here ----------------------------------------------------------------------------


@pytest.mark.slow
def test_files_with_receipts_need_no_service_at_all(world, granted, monkeypatch):
    world.download()
    monkeypatch.setenv("LAION_FMRI_ACCESS_URL", DOWN)
    for known in (granted, None):
        if known is None:
            monkeypatch.delenv("LAION_FMRI_REQUEST_ID")
        report = world.download()
        assert {one.status for one in report} == {Status.KEPT}


def test_files_with_receipts_are_kept_without_an_id(world, granted, monkeypatch):
    world.download()
    world.forget()
    monkeypatch.delenv("LAION_FMRI_REQUEST_ID")
    assert {one.status for one in world.download()} == {Status.KEPT}
    assert [r.key for r in world.asked()] == [MANIFEST]


def test_a_file_of_another_tool_is_hashed_once_and_adopted(world, granted):
    put_by_another_tool(world, world.files)
    plan = world.plan()
    assert {s.want.path for s in plan.of(Action.KEEP)} >= set(GATED)
    assert read_receipts(world.data / ".laion_fmri") == {}, "a dry run writes nothing"
    report = world.download()
    assert [outcome(report, key).status for key in GATED] == [Status.KEPT] * 2
    assert [r.key for r in world.asked()] == [MANIFEST] * 2
    receipts = read_receipts(world.data / ".laion_fmri")
    assert receipts[LARGE].digest == f"sha256:{world.service.sha256('task-images_stimuli.h5')}"


def test_a_file_of_another_tool_with_other_bytes_is_replaced(world, granted):
    put_by_another_tool(world, stimuli(seed=2))
    assert {s.want.path for s in world.plan().of(Action.REPLACE)} == set(GATED)
    report = world.download()
    assert [outcome(report, key).reason for key in GATED] == ["replaced"] * 2
    assert at_home(world) == world.files


def test_a_touched_file_is_hashed_and_kept(world, granted):
    world.download()
    os.utime(world.data / LARGE)
    world.forget()
    assert outcome(world.download(), LARGE).status is Status.KEPT
    assert [r.key for r in world.asked()] == [MANIFEST]


def test_another_sha256_in_the_manifest_replaces_what_is_here(world, granted, monkeypatch):
    world.download()
    with publish(world, monkeypatch, seed=2) as server:
        monkeypatch.setenv("LAION_FMRI_REQUEST_ID", server.grant())
        report = world.download()
        assert [outcome(report, key).reason for key in GATED] == ["replaced"] * 2
        assert at_home(world) == stimuli(seed=2)


def test_without_an_id_what_is_outdated_is_refused_and_stays(world, granted, monkeypatch):
    world.download()
    monkeypatch.delenv("LAION_FMRI_REQUEST_ID")
    with publish(world, monkeypatch, seed=2):
        report = world.download()
    assert report.ok
    assert {one.path for one in report.withheld} == set(GATED)
    assert at_home(world) == stimuli(seed=1)


def test_damage_is_found_and_mended_on_request(world, granted):
    world.download()
    path = world.data / TABLE
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"a.jpg", b"b.jpg"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert outcome(world.download(), TABLE).status is Status.KEPT
    assert outcome(world.download(verify=True), TABLE).reason == "replaced"
    assert at_home(world) == world.files


# -- addresses that expire, and resuming -----------------------------------------------------


def test_addresses_that_expire_in_the_middle_are_changed_once(world, granted):
    world.service.fault(key=LARGE, skip=2, times=1, before=world.service.expire_urls)
    report = world.download()
    assert report.ok
    assert at_home(world) == world.files
    assert len(world.asked(REFRESH)) == 2
    assert len(world.ranges()) == PARTS
    assert {r.status for r in world.asked(LARGE)} == {206, 403}


def test_a_large_file_resumes_over_other_addresses_and_another_id(world, granted, monkeypatch):
    def take_back():
        world.service.expire_urls()
        world.service.revoke(granted)

    last = f"bytes={2 * PART}-*"
    world.service.fault(key=LARGE, byte_range=last, times=1, delay=0.5, before=take_back)
    report = world.download()
    assert outcome(report, LARGE).status is Status.FAILED
    assert "access to the stimuli was revoked" in outcome(report, LARGE).reason
    first = world.ranges()
    assert 1 <= len(first) < PARTS
    for secret in world.secrets(granted):
        assert secret not in written(world.data)
    world.service.clear_faults()
    monkeypatch.setenv("LAION_FMRI_REQUEST_ID", world.service.grant())
    world.forget()
    plan = world.plan()
    step = next(s for s in plan.steps if s.want.path == LARGE)
    assert (step.action, step.have) == (Action.RESUME, sum(map(length, first)))
    report = world.download()
    assert outcome(report, LARGE).reason == "resumed"
    assert at_home(world) == world.files
    assert not set(world.ranges()) & set(first)


def length(byte_range):
    start, _, stop = byte_range.removeprefix("bytes=").partition("-")
    return int(stop) - int(start) + 1


def without_access(world, monkeypatch):
    monkeypatch.delenv("LAION_FMRI_REQUEST_ID")


def service_down(world, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_ACCESS_URL", DOWN)


def terms_changed(world, monkeypatch):
    world.service.update_terms("2.0")


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [without_access, service_down, terms_changed])
def test_what_came_so_far_outlives_a_run_without_access(world, granted, monkeypatch, trouble):
    world.service.fault(key=LARGE, byte_range=f"bytes={2 * PART}-*", status=404, delay=0.5)
    assert outcome(world.download(), LARGE).status is Status.FAILED
    first = world.ranges()
    assert first
    with monkeypatch.context() as patch:
        trouble(world, patch)
        report = world.download(overwrite=True)
    assert not outcome(report, LARGE).ok
    assert all(one.status is Status.FETCHED for one in others(report))
    world.service.clear_faults()
    world.service.update_terms("1.0")
    world.forget()
    assert outcome(world.download(), LARGE).reason == "resumed"
    assert not set(world.ranges()) & set(first)


@pytest.mark.parametrize("key", GATED)
def test_bytes_that_are_not_the_manifests_fail_loudly(world, granted, key):
    world.service.fault(key=key, flip=5)
    report = world.download()
    assert outcome(report, key).status is Status.FAILED
    assert "differ from those of the server" in outcome(report, key).reason
    assert set(at_home(world)) == set(GATED) - {key}
    assert all(one.ok for one in others(report))


def test_what_was_here_stays_when_its_successor_comes_wrong(world, granted, monkeypatch):
    world.download()
    with publish(world, monkeypatch, seed=2) as server:
        monkeypatch.setenv("LAION_FMRI_REQUEST_ID", server.grant())
        server.fault(key=TABLE, flip=5)
        report = world.download()
    assert outcome(report, TABLE).status is Status.FAILED
    assert at_home(world)[TABLE] == stimuli(seed=1)[TABLE]


# -- the service says no ---------------------------------------------------------------------


def revoked(world, request_id):
    world.service.revoke(request_id)
    return request_id, ("access to the stimuli was revoked", "laion-fmri stimuli request")


def outdated(world, request_id):
    world.service.update_terms("2.0")
    return request_id, ("version 2.0", f"{world.service.url}/terms/accept")


def unknown(world, request_id):
    del world, request_id
    return "f" * 32, ("does not know your request id", "laion-fmri stimuli request")


def down(world, request_id):
    world.service.fault(key="api/*", reset=True)
    return request_id, ("does not respond", "again later")


def far_too_busy(world, request_id):
    world.service.fault(key=REFRESH, status=429, headers={"Retry-After": "3600"})
    return request_id, ("asks to wait 3600 s", "again later")


def portal(world, request_id):
    world.service.fault(key=MANIFEST, status=200, body=b"<html>Please log in</html>")
    return request_id, ("not JSON", "LAION_FMRI_ACCESS_URL")


@pytest.mark.parametrize(
    "refusal",
    [
        revoked,
        outdated,
        unknown,
        pytest.param(down, marks=pytest.mark.slow),
        far_too_busy,
        portal,
    ],
)
def test_a_refusal_fails_the_gated_files_alone_and_says_what_to_do(
    world, granted, monkeypatch, refusal
):
    request_id, says = refusal(world, granted)
    monkeypatch.setenv("LAION_FMRI_REQUEST_ID", request_id)
    plan = world.plan()
    assert any(all(words in note for words in says) for note in plan.notes), plan.notes
    report = world.download()
    assert {one.path for one in report.failures} == set(GATED)
    for one in report.failures:
        assert all(words in one.reason for words in says), one.reason
        assert request_id not in one.reason
    assert others(report)
    assert all(one.status is Status.FETCHED for one in others(report))
    assert at_home(world) == {}


@pytest.mark.slow
@pytest.mark.parametrize("key", [MANIFEST, REFRESH])
def test_a_busy_service_is_waited_for(world, granted, key):
    world.service.fault(key=key, times=1, status=429, headers={"Retry-After": "1"})
    assert world.download().ok
    first, second = world.asked(key)
    assert (first.status, second.status) == (429, 200)
    assert second.began - first.ended >= 1.0


BAD_FILES = [
    {"name": "../../evil", "size": 3, "sha256": "0" * 64},
    {"name": "/etc/evil", "size": 3, "sha256": "0" * 64},
    {"name": "a", "size": -1, "sha256": "0" * 64},
    {"name": "a", "size": True, "sha256": "0" * 64},
    {"name": "a", "size": 3, "sha256": "abc"},
    {"name": "", "size": 3, "sha256": "0" * 64},
    {"size": 3, "sha256": "0" * 64},
    "a",
]


@pytest.mark.parametrize("item", BAD_FILES, ids=str)
def test_a_manifest_that_makes_no_sense_fails_the_gated_files_alone(world, granted, item):
    body = {"current_terms_version": "1.0", "dataset_version": "v1", "files": [item]}
    world.service.fault(key=MANIFEST, status=200, body=json.dumps(body).encode())
    report = world.download()
    assert {one.path for one in report.failures} == set(GATED)
    assert all(one.ok for one in others(report))
    assert not list(world.data.parent.rglob("evil"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/file",
        "http://host/a b",
        "http://host/a\r\nX-Evil: 1",
        "file:///x",
        "http:///x",
        "http://h:x/",
        7,
    ],
)
def test_an_address_that_cannot_be_used_is_not(world, granted, url):
    body = {"files": [{"name": "task-images_metadata.csv", "url": url}]}
    world.service.fault(key=REFRESH, status=200, body=json.dumps(body).encode())
    report = world.download()
    assert {one.path for one in report.failures} == set(GATED)
    assert "cannot be used" in outcome(report, TABLE).reason


def test_a_file_without_an_address_fails_alone(world, granted):
    url = f"{world.service.url}/stimuli/task-images_metadata.csv"
    body = {"files": [{"name": "task-images_metadata.csv", "url": url}]}
    world.service.fault(key=REFRESH, status=200, body=json.dumps(body).encode())
    report = world.download()
    assert "hands out no address" in outcome(report, LARGE).reason
    assert outcome(report, TABLE).status is Status.FAILED
    assert "403 SignatureDoesNotMatch" in outcome(report, TABLE).reason, "it is not signed"
    assert len(world.asked(REFRESH)) == 2


def test_an_id_is_not_sent_on_to_where_a_redirect_points(world, granted, s3):
    elsewhere = {"Location": f"{s3.url}/api/v1/refresh"}
    world.service.fault(key=REFRESH, status=307, headers=elsewhere)
    report = world.download()
    assert {one.path for one in report.failures} == set(GATED)
    assert not any(granted.encode() in r.body for r in s3.log)


# -- the client by itself --------------------------------------------------------------------


@pytest.fixture
def client(world):
    with Client(Network()) as client:
        yield client


def test_refusals_are_told_apart_by_type(world, client):
    service = Service(client, QUICK)
    for refusal, kind in (
        (unknown, UnknownRequestError),
        (outdated, TermsOutdatedError),
        (revoked, AccessRevokedError),
        (down, AccessError),
    ):
        request_id = refusal(world, world.service.grant())[0]
        with pytest.raises(kind) as caught:
            service.refresh(request_id, "v1")
        assert request_id not in str(caught.value)


def test_an_id_that_the_service_repeats_is_not_shown(world, client):
    for detail in (
        "no id-of-mine\x1b[2J here",
        [{"loc": ["body", "request_id"], "msg": "id-of-mine"}],
    ):
        world.service.clear_faults()
        body = json.dumps({"detail": detail}).encode()
        world.service.fault(key=REFRESH, status=403, body=body)
        with pytest.raises(AccessError) as caught:
            Service(client, QUICK).refresh("id-of-mine", "v1")
        assert "id-of-mine" not in str(caught.value)
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("url", ["host", "ftp://host", "http://", "http://h:x", "http://h/?a=b"])
def test_a_bad_service_address_is_a_configuration_error(client, monkeypatch, url):
    monkeypatch.setenv("LAION_FMRI_ACCESS_URL", url)
    with pytest.raises(ConfigError, match="LAION_FMRI_ACCESS_URL"):
        Service(client)


def test_a_web_address_weaker_than_the_services_own_is_not_used(client, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_ACCESS_URL", "https://host")
    service = Service(client)
    assert service._usable("https://bucket/x")
    assert not service._usable("http://bucket/x")


# -- the id ----------------------------------------------------------------------------------


def keep(value: str) -> KnownId:
    return keep_new_id(lambda: value, "http://service")


def test_the_id_is_readable_by_its_owner_alone_at_every_moment(world):
    modes = []

    def ask() -> str:
        modes.extend(path.stat().st_mode & 0o777 for path in auth_path().parent.iterdir())
        return "an id"

    before = os.umask(0)
    try:
        kept = keep_new_id(ask, "http://service")
    finally:
        os.umask(before)
    assert modes == [0o600]  # it is there before the id is asked for
    assert kept.where == str(auth_path())
    assert auth_path().stat().st_mode & 0o777 == 0o600
    assert auth_path().parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in auth_path().parent.iterdir()] == ["auth.json"]
    assert known_id() == kept
    assert kept.value == "an id"
    written = json.loads(auth_path().read_text())
    assert set(written) == {"server_url", "request_id", "saved_at"}
    assert written["server_url"] == "http://service"


@pytest.mark.parametrize("error", [KeyError, AccessError("no")])  # the second is an OSError too
def test_an_id_that_never_came_leaves_the_old_one(world, error):
    keep("old")

    def ask() -> str:
        raise error

    with pytest.raises((KeyError, AccessError)):
        keep_new_id(ask, "http://service")
    assert [p.name for p in auth_path().parent.iterdir()] == ["auth.json"]
    assert known_id().value == "old"


def test_the_variable_wins_and_the_representation_is_silent(world, monkeypatch):
    keep("from-file")
    monkeypatch.setenv("LAION_FMRI_REQUEST_ID", " from-variable \n")
    assert known_id().value == "from-variable"
    assert "from-variable" not in repr(known_id())


@pytest.mark.parametrize("content", ["{}", "[]", '{"request_id": ""}', '{"request_id": 7}'])
def test_a_file_without_an_id_is_none(world, content):
    auth_path().parent.mkdir(parents=True)
    auth_path().write_text(content)
    assert known_id() is None


def test_a_broken_file_is_named_and_not_quoted(world):
    auth_path().parent.mkdir(parents=True)
    auth_path().write_text('{"request_id": "secret')
    with pytest.raises(ConfigError, match=r"auth\.json") as caught:
        known_id()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


# -- verify ----------------------------------------------------------------------------------


def states(audit):
    return {finding.path: finding.state for finding in audit.findings if finding.path in GATED}


def test_verify_holds_gated_files_against_the_manifest(world, granted):
    world.download()
    world.forget()
    found = verify(world.data, remote=True, read_all=True)
    assert found.ok
    assert states(found) == dict.fromkeys(GATED, State.GOOD)
    assert [r.key for r in world.asked()] == [MANIFEST]


def test_verify_finds_what_the_manifest_has_anew(world, granted, monkeypatch):
    world.download()
    with publish(world, monkeypatch, seed=2):
        found = verify(world.data, remote=True)
    assert states(found) == dict.fromkeys(GATED, State.DIFFERS)
    assert {f.path for f in found.problems} == set(GATED)


def test_verify_adopts_what_another_tool_put_there(world):
    put_by_another_tool(world, {LARGE: world.files[LARGE], TABLE: stimuli(2)[TABLE]})
    assert states(verify(world.data, remote=True)) == dict.fromkeys(GATED, State.UNKNOWN)
    found = verify(world.data, remote=True, read_all=True)
    assert states(found) == {LARGE: State.ADOPTED, TABLE: State.DIFFERS}


@pytest.mark.slow
def test_verify_warns_when_the_service_is_down_and_goes_on(world, granted, monkeypatch):
    world.download()
    monkeypatch.setenv("LAION_FMRI_ACCESS_URL", DOWN)
    with pytest.warns(UserWarning, match="does not respond"):
        found = verify(world.data, remote=True)
    assert found.ok
    assert states(found) == dict.fromkeys(GATED, State.UNCHANGED)


def test_verify_leaves_the_service_alone_when_no_gated_file_is_here(world, granted):
    download("sub-03", "averages", data_dir=world.data, progress="none")
    assert verify(world.data, remote=True).ok
    assert world.asked() == []


def test_many_threads_that_meet_an_expired_address_change_it_once(world, granted):
    with fetcher_for(Extras(stimuli=True), world.data) as fetcher:
        source = fetcher.source
        large = next(file for file in source.walk("stimuli/") if file.key == LARGE)
        together = Barrier(8)

        def address(_):
            source.address(large)
            together.wait()
            return source.address(large, fresh=True)

        with ThreadPoolExecutor(8) as pool:
            urls = set(pool.map(address, range(8)))
    assert len(urls) == 1
    assert len(world.asked(REFRESH)) == 2


# -- the log -------------------------------------------------------------------------------------


def test_no_record_of_the_log_holds_an_id_or_a_signed_address(world, granted, caplog):
    """Whatever goes wrong: expired addresses, refusals, lost connections, a service that fails."""
    caplog.set_level(logging.DEBUG)
    world.service.fault(key=LARGE, skip=2, times=1, before=world.service.expire_urls)
    world.service.fault(key=TABLE, times=1, status=503)
    world.service.fault(key=LARGE, skip=1, times=1, cut_after=10)
    world.service.fault(key=REFRESH, times=1, status=500)
    assert world.download().ok
    world.service.revoke(granted)
    world.download(overwrite=True)
    text = "\n".join(repr(vars(record)) + record.getMessage() for record in caplog.records)
    assert "trying again" in text
    assert "connected to" in text
    for secret in (*world.secrets(granted), "X-Amz-", "Signature="):
        assert secret not in text, secret
