import hashlib
import json
import xml.etree.ElementTree as ET

import pytest
import urllib3

from testbed.access import AccessServer

FILES = {"task-images_stimuli.h5": bytes(range(256)) * 20, "task-images_metadata.csv": b"image\n"}
FORM = {
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "institution": "Analytical Engines",
    "pi_or_supervisor": None,
    "research_purpose": "encoding models of visual cortex",
    "accepted_terms": True,
    "terms_version": "1.0",
    "source": "cli",
}


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def service(clock):
    with AccessServer(FILES, lifetime=60, clock=clock) as server:
        yield server


@pytest.fixture
def call(service):
    with urllib3.PoolManager(retries=False) as pool:

        def ask(method, path, body=None, **headers):
            url = path if path.startswith("http") else service.url + path
            sent = None if body is None else json.dumps(body)
            return pool.request(method, url, body=sent, headers=headers)

        yield ask


def links(response):
    assert response.status == 200, response.data
    return {entry["name"]: entry for entry in response.json()["files"]}


def test_the_manifest_names_terms_sizes_and_digests_but_no_urls(call):
    manifest = call("GET", "/api/v1/manifest").json()
    assert manifest["current_terms_version"] == "1.0"
    assert manifest["dataset_version"] == "v1"
    for entry in manifest["files"]:
        content = FILES[entry["name"]]
        assert entry["size"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert "url" not in entry


def test_a_form_gives_an_id_and_urls_and_the_id_gives_urls_again(service, call):
    granted = call("POST", "/api/v1/access/request", FORM)
    body = {"request_id": granted.json()["request_id"], "dataset_version": "v1"}
    again = call("POST", "/api/v1/refresh", body)
    assert service.forms == [FORM]
    for response in (granted, again):
        assert response.json()["expires_at"] == "2027-01-15T08:01:00Z"
        for name, entry in links(response).items():
            assert call("GET", entry["url"]).data == FILES[name]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": " "}, "name"),
        ({"research_purpose": "short"}, "research_purpose"),
        ({"accepted_terms": False}, "accepted_terms"),
        ({"accepted_terms": "yes"}, "accepted_terms"),
    ],
)
def test_a_form_without_consent_or_reason_is_refused(service, call, change, named):
    response = call("POST", "/api/v1/access/request", {**FORM, **change})
    assert response.status == 422
    assert named in response.json()["detail"]
    assert service.forms == []


def test_what_is_not_json_is_refused(call):
    assert call("POST", "/api/v1/access/request").status == 422
    assert call("POST", "/api/v1/refresh", ["no", "form"]).status == 404
    assert call("GET", "/api/v2").status == 404


def test_outdated_terms_are_refused_in_the_form_and_for_an_old_id(service, call):
    request_id = service.grant()
    service.update_terms("2.0")
    for path, body in (
        ("/api/v1/access/request", FORM),
        ("/api/v1/refresh", {"request_id": request_id}),
    ):
        response = call("POST", path, body)
        assert response.status == 403
        detail = response.json()["detail"]
        assert detail["error"] == "terms_outdated"
        assert detail["current_terms_version"] == "2.0"
        assert detail["accept_url"].startswith(service.url)
    assert call("POST", "/api/v1/access/request", {**FORM, "terms_version": "2.0"}).status == 200


def test_revoked_and_unknown_ids_are_told_apart(service, call):
    request_id = service.grant()
    service.revoke(request_id)
    revoked = call("POST", "/api/v1/refresh", {"request_id": request_id})
    assert revoked.status == 403
    assert "revoked" in revoked.json()["detail"]
    assert call("POST", "/api/v1/refresh", {"request_id": "typo"}).status == 404


def test_urls_serve_ranges_and_conditions_as_s3_does(service, call):
    entry = links(call("POST", "/api/v1/refresh", {"request_id": service.grant()}))
    url = entry["task-images_stimuli.h5"]["url"]
    part = call("GET", url, Range="bytes=100-109")
    assert (part.status, part.data) == (206, FILES["task-images_stimuli.h5"][100:110])
    assert part.headers["Content-Range"] == f"bytes 100-109/{256 * 20}"
    headers = {"Range": "bytes=0-1", "If-Match": part.headers["ETag"]}
    assert call("GET", url, **headers).status == 206
    assert call("GET", url, **{**headers, "If-Match": '"x"'}).status == 412
    assert [r.key for r in service.requests(method="GET")] == ["stimuli/task-images_stimuli.h5"] * 3


def code(response):
    return ET.fromstring(response.data).findtext("Code")


def test_urls_expire_and_a_refresh_gives_good_ones(service, call, clock):
    request_id = service.grant()
    refresh = ("POST", "/api/v1/refresh", {"request_id": request_id})
    url = links(call(*refresh))["task-images_metadata.csv"]["url"]
    clock.now += 59
    assert call("GET", url).status == 200
    clock.now += 1
    late = call("GET", url)
    assert (late.status, code(late)) == (403, "AccessDenied")
    assert b"Request has expired" in late.data
    fresh = links(call(*refresh))["task-images_metadata.csv"]["url"]
    assert call("GET", fresh).status == 200
    service.expire_urls()
    assert call("GET", fresh).status == 403
    assert call("GET", links(call(*refresh))["task-images_metadata.csv"]["url"]).status == 200


def test_a_url_is_for_one_file_and_for_get(service, call):
    url = links(call("POST", "/api/v1/refresh", {"request_id": service.grant()}))[
        "task-images_metadata.csv"
    ]["url"]
    stolen = url.replace("task-images_metadata.csv", "task-images_stimuli.h5")
    bare = url.partition("?")[0]
    for wrong in (stolen, bare, url.replace("Expires=60", "Expires=6000")):
        response = call("GET", wrong)
        assert (response.status, code(response)) == (403, "SignatureDoesNotMatch")
    assert call("HEAD", url).status == 403


def test_a_rate_limit_can_be_scripted(service, call):
    service.fault(key="api/v1/*", times=1, status=429, headers={"Retry-After": "1"})
    response = call("GET", "/api/v1/manifest")
    assert (response.status, response.headers["Retry-After"]) == (429, "1")
    assert response.json() == {"detail": "Too Many Requests"}
    assert call("GET", "/api/v1/manifest").status == 200
    assert [r.status for r in service.log] == [429, 200]
