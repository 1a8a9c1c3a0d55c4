"""The local NeuroVault behaves as the real one is known to, and as nilearn expects."""

import gzip
import http.client
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pytest
import requests
from nilearn.datasets import neurovault as nilearn_neurovault

from testbed.neurovault import Habits, NeuroVault, html_page, word_weights
from testbed.neurovault_data import Volume
from testbed.neurovault_maps import brain_map


@pytest.fixture
def server():
    with NeuroVault() as running:
        running.vault.add_collection(1952, images=range(101, 106))
        yield running


@pytest.fixture
def web():
    with requests.Session() as session:
        yield session


@pytest.fixture
def through_nilearn(server, monkeypatch):
    """Point nilearn at the local server, and give its hidden session an end."""
    module = nilearn_neurovault
    monkeypatch.setattr(module, "_NEUROVAULT_COLLECTIONS_URL", server.api_url + "collections/")
    monkeypatch.setattr(module, "_NEUROVAULT_IMAGES_URL", server.api_url + "images/")
    monkeypatch.setattr(module, "_NEUROSYNTH_FETCH_WORDS_URL", server.neurosynth_url + "decode/")
    with requests.Session() as session:
        monkeypatch.setattr(module._requests_session, "session", session, raising=False)
        yield module


def test_nilearn_fetches_a_collection_with_words_and_reads_it_offline(
    server, through_nilearn, tmp_path
):
    bunch = through_nilearn.fetch_neurovault_ids(
        collection_ids=[1952], data_dir=tmp_path, fetch_neurosynth_words=True, verbose=0
    )
    assert sorted(meta["id"] for meta in bunch.images_meta) == [101, 102, 103, 104, 105]
    assert {meta["name"] for meta in bunch.collections_meta} == {"Collection 1952"}
    for path in bunch.images:
        assert np.abs(nib.load(path).get_fdata()).max() > 2
    first = next(i for i, meta in enumerate(bunch.images_meta) if meta["id"] == 101)
    words = {
        w: f for w, f in zip(bunch.vocabulary, bunch.word_frequencies[first], strict=True) if f
    }
    assert words == pytest.approx(word_weights(101))

    server.clear_log()
    again = through_nilearn.fetch_neurovault_ids(
        image_ids=[103], mode="offline", data_dir=tmp_path, verbose=0
    )
    assert [meta["id"] for meta in again.images_meta] == [103]
    assert server.log == []


def test_nilearn_filters_recorded_images(server, through_nilearn, tmp_path):
    server.vault.add_recorded()
    bunch = through_nilearn.fetch_neurovault(
        max_images=2, map_type="Z map", name="image 59", data_dir=tmp_path, verbose=0
    )
    assert [meta["id"] for meta in bunch.images_meta] == [25990]


def test_redirects_to_the_slash_by_a_relative_location(server, web):
    response = web.get(server.api_url + "collections/1952?a=1", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (
        301,
        "/api/collections/1952/?a=1",
    )
    assert web.get(server.api_url + "collections/1952").json()["id"] == 1952


def test_pages_have_a_default_a_cap_and_links(server, web):
    server.vault.add_collection(7, images=range(1, 251))
    url = server.api_url + "collections/7/images/"
    first = web.get(url).json()
    assert (first["count"], len(first["results"]), first["previous"]) == (250, 100, None)
    assert first["next"] == url + "?limit=100&offset=100"
    last = web.get(url + "?limit=100&offset=200").json()
    assert (len(last["results"]), last["next"]) == (50, None)
    assert [row["id"] for row in last["results"]] == list(range(201, 251))
    server.habits.page_cap = 60
    capped = web.get(url + "?limit=1000").json()
    assert (len(capped["results"]), capped["next"]) == (60, url + "?limit=60&offset=60")
    assert web.get(url + "?limit=nonsense&offset=-3").json()["results"][0]["id"] == 1
    assert web.get(url + "?offset=900").json()["results"] == []


def test_follows_links_back_and_forth(server, web):
    url = server.api_url + "collections/1952/images/?limit=2&offset=2"
    page = web.get(url).json()
    assert [row["id"] for row in page["results"]] == [103, 104]
    assert [r["id"] for r in web.get(page["next"]).json()["results"]] == [105]
    assert [r["id"] for r in web.get(page["previous"]).json()["results"]] == [101, 102]


def test_records_carry_http_urls_of_the_configured_host(web):
    with NeuroVault(public_url="http://neurovault.org") as server:
        server.vault.add_collection(1, images=[5])
        record = web.get(server.api_url + "images/5/").json()
    assert record["file"] == "http://neurovault.org/media/images/1/map_5.nii.gz"
    assert record["collection"] == "http://neurovault.org/collections/1/"


def test_port_80_redirects_to_https(web):
    with NeuroVault(https_url="https://neurovault.org") as server:
        url = server.url + "/media/images/1/a%20b.nii.gz?x=1"
        response = web.get(url, allow_redirects=False)
    assert response.status_code == 301
    assert response.headers["Location"] == "https://neurovault.org/media/images/1/a%20b.nii.gz?x=1"


def test_recorded_answers_come_back_as_recorded(server, web):
    server.vault.add_recorded()
    page = web.get(server.api_url + "collections/1615/images/").json()
    assert [row["id"] for row in page["results"]] == [24375, 24376, 24843, 25990, 25991]
    assert page["results"][2]["random_property_1"] == 42
    for row in page["results"]:
        assert len(web.get(row["file"]).content) == row["file_size"]


def test_media_ignore_ranges_and_carry_stray_headers(server, web):
    url = web.get(server.api_url + "images/101/").json()["file"]
    response = web.get(url, headers={"Range": "bytes=10-19", "Accept-Encoding": "identity"})
    assert response.status_code == 200
    assert gzip.decompress(response.content) == brain_map(101 % 6)
    assert response.headers["Content-Encoding"] == "utf-8"
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert "Last-Modified" in response.headers
    assert "ETag" not in response.headers
    server.habits.stray_encoding = False
    assert "Content-Encoding" not in web.get(url).headers


@pytest.mark.parametrize(
    ("filename", "quoted"),
    [
        ("left vs right (z) é.nii.gz", "left%20vs%20right%20%28z%29%20%C3%A9.nii.gz"),
        ("sub.nidm/Z Statistic.nii.gz", "sub.nidm/Z%20Statistic.nii.gz"),
        ("twice.nii.nii.gz", "twice.nii.nii.gz"),
    ],
)
def test_media_names_are_quoted(server, web, filename, quoted):
    server.vault.add_image(900, 1952, filename=filename)
    url = web.get(server.api_url + "images/900/").json()["file"]
    assert url == f"{server.url}/media/images/1952/{quoted}"
    assert web.get(url).content[:2] == b"\x1f\x8b"


def test_plain_volumes_and_missing_files(server, web):
    server.vault.add_image(901, 1952, filename="plain.nii")
    server.vault.add_image(902, 1952, missing=True)
    server.vault.add_image(903, 1952, volume=b"not a volume")
    records = {n: web.get(f"{server.api_url}images/{n}/").json() for n in (901, 902, 903)}
    assert web.get(records[901]["file"]).content == brain_map(901 % 6)
    assert records[902]["file_size"] == 0
    missing = web.get(records[902]["file"])
    assert missing.status_code == 404
    assert missing.headers["Content-Type"].startswith("text/html")
    assert web.get(records[903]["file"]).content == b"not a volume"


def test_unknown_and_private_things(server, web):
    server.vault.add_collection(66, images=[660], private=True)
    unknown = web.get(server.api_url + "collections/4242/")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not found."})
    assert web.get(server.api_url + "collections/4242/images/").status_code == 404
    private = web.get(server.api_url + "collections/66/")
    assert private.status_code == 403
    assert "detail" in private.json()
    assert web.get(server.api_url + "images/660/").json() == {"detail": "Not found."}
    listed = web.get(server.api_url + "collections/").json()["results"]
    assert [row["id"] for row in listed] == [1952]
    assert 660 not in [r["id"] for r in web.get(server.api_url + "images/").json()["results"]]
    assert web.get(server.url + "/elsewhere/").headers["Content-Type"].startswith("text/html")


def test_filters_are_ignored_unless_switched_on(server, web):
    server.vault.add_collection(2, DOI="10.1/x", name="wanted")
    url = server.api_url + "collections/?DOI=10.1/x"
    assert web.get(url).json()["count"] == 2
    server.habits.honour_filters = True
    assert [row["id"] for row in web.get(url).json()["results"]] == [2]
    assert web.get(server.api_url + "collections/?name=none").json()["count"] == 0


def _paged(web, url, limit):
    ids, page = [], {"next": f"{url}?limit={limit}"}
    while page["next"] is not None:
        page = web.get(page["next"]).json()
        if not page["results"]:
            break
        ids += [row["id"] for row in page["results"]]
    return ids


def test_count_lies(server, web):
    server.habits.count_surplus = 50
    page = web.get(server.api_url + "collections/1952/images/?limit=10&offset=10").json()
    assert (page["count"], page["results"]) == (55, [])
    assert page["next"] is not None


def test_lists_repeat_or_miss_rows(server, web):
    url = server.api_url + "images/"
    assert _paged(web, url, 2) == [101, 102, 103, 104, 105]
    server.habits.repeat_rows = 1
    assert _paged(web, url, 2) == [101, 102, 102, 103, 104, 105]
    server.vault.add_image(106, 1952)
    assert _paged(web, url, 2) == [101, 102, 102, 103, 104, 105]
    server.habits.repeat_rows, server.habits.skip_rows = 0, 1
    assert _paged(web, url, 2) == [101, 102, 104, 106]
    own = server.api_url + "collections/1952/images/"
    assert _paged(web, own, 2) == [101, 102, 103, 104, 105, 106]
    server.habits.unordered_collections = True
    assert _paged(web, own, 2) == [101, 102, 104, 106]


def test_a_broken_record_spoils_each_page_that_holds_it(server, web):
    server.habits.broken = {103}
    url = server.api_url + "collections/1952/images/"
    assert web.get(url).status_code == 500
    assert web.get(url + "?limit=1&offset=2").status_code == 500
    assert web.get(server.api_url + "images/103/").status_code == 500
    assert [r["id"] for r in web.get(url + "?limit=2").json()["results"]] == [101, 102]
    server.habits.broken, server.habits.broken_collections = (), {1952}
    assert web.get(server.api_url + "collections/").status_code == 500
    assert web.get(server.api_url + "collections/1952/").status_code == 500
    assert web.get(url).json()["count"] == 5


def test_neurosynth_answers_refuses_and_fails(server, web):
    server.vault.add_image(910, 1952, file_size=5 << 20)
    server.habits.wordless = {102}
    url = server.neurosynth_url + "decode/?neurovault="
    assert web.get(url + "101").json()["data"]["values"] == word_weights(101)
    assert web.get(url + "102").json()["data"]["values"] == {}
    assert web.get(url + "910").status_code == 413
    assert web.get(url + "4242").status_code == 404
    server.habits.neurosynth_up = False
    assert web.get(url + "101").status_code == 502


def test_connections_are_kept_and_logged(server, web):
    for number in (101, 102, 103):
        web.get(f"{server.api_url}images/{number}/")
    web.get(server.api_url + "images/?limit=1&offset=1")
    asked = server.requests(key="/api/*")
    paths = [f"/api/images/{n}/" for n in (101, 102, 103)]
    assert [request.key for request in asked] == [*paths, "/api/images/?limit=1&offset=1"]
    assert server.connections == 1
    entry = asked[0]
    assert (entry.method, entry.status) == ("GET", 200)
    assert entry.headers["user-agent"].startswith("python-requests")
    assert entry.sent > 500


def test_scripted_statuses_headers_and_occurrences(server, web):
    server.fault(key="*images/101/", times=1, status=503, headers={"Retry-After": "7"})
    server.fault(key="*images/102/", status=200, body=html_page(200, "Sorry"))
    server.fault(key="*images/103/", body=b"")
    first = web.get(server.api_url + "images/101/")
    assert (first.status_code, first.headers["Retry-After"]) == (503, "7")
    assert web.get(server.api_url + "images/101/").json()["id"] == 101
    page = web.get(server.api_url + "images/102/")
    assert (page.status_code, page.text[:9]) == (200, "<!DOCTYPE")
    empty = web.get(server.api_url + "images/103/")
    assert (empty.status_code, empty.content) == (200, b"")
    server.clear_faults()
    assert web.get(server.api_url + "images/102/").json()["id"] == 102


def test_scripted_cuts_and_wrong_lengths(server, web):
    server.fault(key="*map_101*", cut_after=100)
    server.fault(key="*map_102*", content_length=10**6)
    for number, arrived in ((101, 100), (102, len(server.vault.body(_media(102))))):
        connection = _connection(server)
        connection.request("GET", _media(number))
        response = connection.getresponse()
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        assert len(caught.value.partial) == arrived
        connection.close()
    assert server.requests(key="*map_101*")[0].sent == 100


def test_scripted_resets_and_stalls(server):
    server.fault(key="*map_103*", reset=True)
    server.fault(key="*map_104*", stall_after=50, stall=60)
    connection = _connection(server)
    connection.request("GET", _media(103))
    with pytest.raises(ConnectionError):
        connection.getresponse()
    connection.close()
    connection = _connection(server)
    connection.request("GET", _media(104))
    response = connection.getresponse()
    assert len(response.read(50)) == 50
    connection.sock.settimeout(0.05)
    with pytest.raises((TimeoutError, socket.timeout)):
        response.read(1)
    connection.close()


def test_latency_is_per_request(server, web):
    server.latency = 0.05
    response = web.get(server.api_url + "images/101/")
    assert response.elapsed.total_seconds() >= 0.05


def test_maps_look_like_brains(tmp_path):
    path = tmp_path / "map.nii"
    path.write_bytes(Volume(3, packed=False, voxel_mm=3.0).body())
    image = nib.load(path)
    values = image.get_fdata()
    assert np.allclose(image.affine[:3, 3], [-90, -126, -72])
    assert np.allclose(image.header.get_zooms(), 3)
    assert 0.1 < np.mean(values != 0) < 0.5
    assert 3 < values.max() < 15
    corners = values[[0, -1]][:, [0, -1]][:, :, [0, -1]]
    assert not corners.any()
    assert brain_map(3) != brain_map(4)


def test_holds_many_collections_cheaply(web):
    with NeuroVault(habits=Habits(page_cap=100)) as server:
        for number in range(1, 201):
            server.vault.add_collection(number, images=range(number * 10, number * 10 + 3))
        assert len(_paged(web, server.api_url + "collections/", 1000)) == 200
        assert len(_paged(web, server.api_url + "images/", 1000)) == 600


def _connection(server):
    parts = urlsplit(server.url)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)


def _media(number):
    return f"/media/images/1952/map_{number}.nii.gz"


def test_recorded_data_are_json():
    folder = Path(__file__).parents[2] / "testbed" / "data" / "neurovault"
    files = sorted(folder.glob("*.json"))
    assert len(files) == 5
    assert all(isinstance(json.loads(file.read_text()), dict) for file in files)
