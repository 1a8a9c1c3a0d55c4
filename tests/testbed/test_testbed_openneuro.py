"""The stand-in for OpenNeuro, held against git, git-annex's rules, and the recorded answers."""

import hashlib
import json
import subprocess
import time
from urllib.parse import urlsplit

import pytest
import urllib3

from testbed.openneuro import (
    BUCKET,
    RECORDED,
    RECORDS,
    OpenNeuro,
    odd_tree,
    small_tree,
    token_of,
)

FILES = """query Files($id: ID!, $tag: String!, $tree: String, $all: Boolean) {
  snapshot(datasetId: $id, tag: $tag) { id tag hexsha created size
    description { Name License DatasetDOI } deprecated { reason timestamp }
    summary { modalities subjects sessions tasks totalFiles size }
    files(tree: $tree, recursive: $all) { id filename size directory annexed urls } } }"""
TAGS = """query Tags($id: ID!) { dataset(id: $id) { id name public
  latestSnapshot { id tag created hexsha } snapshots { id tag created } } }"""


@pytest.fixture
def site():
    with OpenNeuro() as server:
        yield server


@pytest.fixture
def pool():
    with urllib3.PoolManager(retries=False) as manager:
        yield manager


@pytest.fixture
def ask(site, pool):
    def post(text, *, headers=None, **variables):
        body = json.dumps({"query": text, "variables": variables})
        sent = {"Content-Type": "application/json", **(headers or {})}
        return pool.request("POST", site.graphql_url, body=body, headers=sent)

    return post


@pytest.fixture
def listed(ask):
    def files(accession, tag, **given):
        answer = ask(FILES, id=accession, tag=tag, **{"all": True, **given})
        rows = answer.json()["data"]["snapshot"]["files"]
        return {row["filename"]: row for row in rows}

    return files


def message(answer):
    return answer.json()["errors"][0]["message"]


def holds(row, content):
    """Tell whether content is what the id of a row says."""
    if "--" not in row["id"]:
        asked = ["git", "hash-object", "--stdin"]
        told = subprocess.run(asked, input=content, capture_output=True, check=True).stdout
        return told.decode().strip() == row["id"]
    backend, _, rest = row["id"].partition("-s")
    size, _, name = rest.partition("--")
    digest = hashlib.new(backend.removesuffix("E").lower(), content).hexdigest()
    return int(size) == len(content) and name.split(".")[0] == digest


@pytest.mark.parametrize("backend", ["MD5E", "SHA256E"])
@pytest.mark.parametrize("export_git", [True, False], ids=["exported", "streamed"])
def test_every_file_is_had_at_its_address_and_is_what_its_id_says(
    site, pool, listed, backend, export_git
):
    tree = odd_tree()
    site.add("ds000001", {"1.0.0": tree}, backend=backend, export_git=export_git)
    rows = listed("ds000001", "1.0.0")
    assert set(rows) == set(tree)
    for path, row in rows.items():
        content = pool.request("GET", row["urls"][0]).data
        assert content == tree[path]
        assert row["size"] == len(content)
        assert holds(row, content)
    assert all(r.status == 200 for r in [*site.log, *site.bucket.log])


@pytest.mark.parametrize(("accession", "tag"), RECORDED)
def test_a_recorded_snapshot_keeps_names_places_and_what_is_equal(
    site, pool, listed, accession, tag
):
    site.add_recorded(accession, tag)
    rows = listed(accession, tag)
    for row in rows.values():
        assert holds(row, pool.request("GET", row["urls"][0]).data)
    record = RECORDS / f"{accession}_{tag}.snapshot.rebuilt.json"
    if not record.exists():
        pytest.skip("no record of the real server is here")
    real = {f["filename"]: f for f in json.loads(record.read_text())["data"]["snapshot"]["files"]}
    assert set(rows) == set(real)
    for path, row in rows.items():
        assert row["annexed"] == real[path]["annexed"]
        assert (
            row["id"].partition("-")[0] == real[path]["id"].partition("-")[0]
            or "-" not in row["id"]
        )
        mine, theirs = urlsplit(row["urls"][0]), urlsplit(real[path]["urls"][0])
        assert "objects" in theirs.path or (mine.path, mine.query) == (theirs.path, theirs.query)

    def equal(told):
        return {frozenset(p for p in told if told[p]["id"] == told[q]["id"]) for q in told}

    assert equal(rows) == equal(real)


def test_versions_stay_and_the_listing_of_the_bucket_is_the_last_one(site, pool, listed):
    site.add("ds000001", {"1.0.0": small_tree(subjects=2), "2.0.0": small_tree(subjects=1, seed=1)})
    first, second = listed("ds000001", "1.0.0"), listed("ds000001", "2.0.0")
    bold = "sub-01/func/sub-01_task-rest_bold.nii.gz"
    assert first[bold]["urls"] != second[bold]["urls"]
    assert first["README"] == second["README"]
    assert all(pool.request("GET", row["urls"][0]).status == 200 for row in first.values())
    page = pool.request("GET", f"{site.bucket.url}/{BUCKET}/?list-type=2&prefix=ds000001/").data
    assert b"sub-01/" in page
    assert b"sub-02/" not in page


def test_equal_content_has_one_address_which_names_another_file(site, listed):
    site.add("ds000001", {"1.0.0": small_tree(subjects=3)})
    rows = listed("ds000001", "1.0.0")
    same = {row["urls"][0] for path, row in rows.items() if "physio" in path}
    assert len(same) == 1
    assert "sub-03_task-rest_physio" in same.pop()


def test_one_level_has_folders_whose_ids_lead_further(site, listed):
    site.add("ds000001", {"1.0.0": small_tree()})
    top = listed("ds000001", "1.0.0", all=None)
    assert top["sub-01"]["directory"]
    assert top["sub-01"]["urls"] == []
    assert "README" in top
    below = listed("ds000001", "1.0.0", all=None, tree=top["sub-01"]["id"])
    assert set(below) == {"anat", "func"}
    deep = listed("ds000001", "1.0.0", tree=top["sub-01"]["id"])
    assert "func/sub-01_task-rest_bold.nii.gz" in deep


def test_a_streamed_file_has_no_length_no_etag_and_no_ranges(site, pool, listed):
    site.add("ds000001", {"1.0.0": small_tree()}, export_git=False)
    url = listed("ds000001", "1.0.0")["README"]["urls"][0]
    answer = pool.request("GET", url, headers={"Range": "bytes=5-"})
    assert answer.status == 200
    assert answer.data == small_tree()["README"]
    assert not {"etag", "content-length", "accept-ranges"} & {n.lower() for n in answer.headers}
    assert answer.headers["Transfer-Encoding"] == "chunked"


def test_the_bucket_heeds_ranges_conditions_and_pluses(site, pool, listed):
    site.add("ds000001", {"1.0.0": odd_tree()})
    row = listed("ds000001", "1.0.0")["sourcedata/a name with spaces.txt"]
    url = row["urls"][0]
    assert "a+name+with+spaces.txt?versionId=" in url
    assert pool.request("GET", url, headers={"Range": "bytes=2-3"}).data == b"ac"
    etag = pool.request("GET", url).headers["ETag"]
    assert pool.request("GET", url, headers={"If-Match": etag}).status == 200
    assert pool.request("GET", url, headers={"If-Match": '"other"'}).status == 412
    assert site.bucket.log[0].target.startswith(f"/{BUCKET}/ds000001/sourcedata/a+name")
    assert site.heads() == 0
    pool.request("HEAD", url)
    assert site.heads() == 1


def test_tags_and_the_newest(site, ask):
    site.add("ds000001", {"00001": small_tree(), "1.0.0": small_tree(seed=1)})
    told = ask(TAGS, id="ds000001").json()
    assert [s["tag"] for s in told["data"]["dataset"]["snapshots"]] == ["00001", "1.0.0"]
    assert told["data"]["dataset"]["latestSnapshot"]["id"] == "ds000001:1.0.0"
    assert told["extensions"] == {"openneuro": {"version": "5.5.1"}}
    site.add("ds000002", {})
    draft = ask(TAGS, id="ds000002").json()["data"]["dataset"]
    assert draft["snapshots"] == []
    assert len(draft["latestSnapshot"]["tag"]) == 40


def test_errors_have_the_shapes_of_the_real_server(site, ask):
    site.add("ds000001", {"1.0.0": small_tree()})
    site.add("ds000002", {"1.0.0": small_tree()}, public=False)
    site.add("ds000003", {"1.0.0": small_tree()})
    site.delete("ds000003", "a copy", successor="ds000001")
    assert message(ask(TAGS, id="ds9")) == "Dataset ds9 does not exist."
    assert message(ask(TAGS, id="ds000002")) == "You do not have access to read this dataset."
    gone = ask(TAGS, id="ds000003")
    assert gone.status == 200
    assert gone.json()["data"] is None
    assert message(gone) == "Dataset ds000003 has been deleted. Reason: a copy."
    about = gone.json()["errors"][0]["extensions"]
    assert (about["code"], about["redirect"]) == ("DELETED_DATASET", "/datasets/ds000001")
    assert ask(FILES, id="ds000001", tag="9.9.9").json()["errors"]
    site.api.drop("DatasetFile", "annexed")
    drift = ask(FILES, id="ds000001", tag="1.0.0")
    assert drift.status == 400
    assert drift.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert drift.json()["extensions"]["openneuro"]["version"] == "5.5.1"


def test_faults_strike_the_queries_that_ask_for_something(site, ask):
    site.add("ds000001", {"1.0.0": small_tree()})
    site.fault(asks="recursive", times=1, status=429, headers={"Retry-After": "1"})
    site.fail_query("502 Bad Gateway", asks="snapshots")
    assert message(ask(TAGS, id="ds000001")) == "502 Bad Gateway"
    assert ask(TAGS, id="ds000001").json()["data"]
    assert ask(FILES, id="ds000001", tag="1.0.0", all=True).headers["Retry-After"] == "1"
    assert ask(FILES, id="ds000001", tag="1.0.0", all=True).status == 200


def test_tokens_open_private_data_sets_and_wrong_ones_are_a_bad_gateway(site, ask):
    site.add("ds000002", {"1.0.0": small_tree()}, public=False)
    site.add("ds000003", {"1.0.0": small_tree()}, public=False)
    token = site.grant("ds000002")
    bearer, cookie = {"Authorization": f"Bearer {token}"}, {"Cookie": f"accessToken={token}"}
    for headers in (bearer, cookie):
        assert ask(TAGS, id="ds000002", headers=headers).json()["data"]["dataset"]
        assert message(ask(TAGS, id="ds000003", headers=headers)).startswith("You do not")
    link = site.reviewer_link("ds000003").rpartition("/")[2]
    told = ask(TAGS, id="ds000003", headers={"Authorization": f"Bearer {link}"}).json()
    assert told["data"]["dataset"]["public"] is False
    late = site.grant("ds000002", seconds=-5)
    for wrong in (late, token_of("stranger")):
        answer = ask(TAGS, id="ds000002", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status == 502
        assert b"<html>" in answer.data


def test_a_private_file_is_signed_for_get_alone_and_expires(pool):
    now = [time.time()]
    with OpenNeuro(clock=lambda: now[0], lifetime=60) as site:
        dataset = site.add("ds000002", {"1.0.0": odd_tree()}, public=False)
        rows = site.rows(dataset, dataset.newest)
        for row in rows:
            url = row["urls"][0]
            assert pool.request("GET", url).status == 200
            assert pool.request("HEAD", url).status == 403
            assert pool.request("GET", url.replace("Signature=", "Signature=A")).status == 403
            assert pool.request("GET", url.partition("&")[0]).status == 403
        now[0] += 61
        answer = pool.request("GET", rows[0]["urls"][0])
        assert answer.status == 403
        assert b"Request has expired" in answer.data


def test_lies_of_the_listing(site, pool, listed):
    site.add("ds000001", {"1.0.0": small_tree()})
    site.lie("ds000001", "1.0.0", "README", size=3)
    site.unlock("ds000001", "1.0.0", "sub-01/anat/sub-01_T1w.nii.gz")
    site.list_also("ds000001", "1.0.0", "../outside")
    site.list_link("ds000001", "1.0.0", "link", "README")
    rows = listed("ds000001", "1.0.0")
    assert rows["README"]["size"] == 3
    assert rows["sub-01/anat/sub-01_T1w.nii.gz"]["size"] < 200
    assert "../outside" in rows
    assert (rows["link"]["size"], rows["link"]["annexed"]) == (0, False)
    site.replace_content("ds000001", "1.0.0", "CHANGES", b"changed")
    assert pool.request("GET", rows["CHANGES"]["urls"][0]).data == b"changed"


def test_rest_goes_to_the_bucket_or_streams(site, pool):
    site.add("ds000001", {"1.0.0": small_tree()})
    site.add("ds000002", {"1.0.0": small_tree()}, export_git=False)
    path = "snapshots/1.0.0/files/sub-01:anat:sub-01_T1w.nii.gz"
    told = pool.request("GET", f"{site.url}/crn/datasets/ds000001/{path}", redirect=False)
    assert told.status == 302
    assert told.headers["Location"].startswith(site.bucket.url)
    streamed = pool.request("GET", f"{site.url}/crn/datasets/ds000002/snapshots/1.0.0/files/README")
    assert streamed.data == small_tree()["README"]
    missing = pool.request("GET", f"{site.url}/crn/datasets/ds000001/snapshots/1.0.0/files/none")
    assert missing.status == 404
    assert "error" in missing.json()


PAGE = """query Page($after: String) { datasets(first: 2, after: $after,
    orderBy: {created: descending}, filterBy: {public: true}) {
  edges { cursor node { id latestSnapshot { tag summary { subjects } } } }
  pageInfo { hasNextPage endCursor count } } }"""
SEARCH = """query Search($query: DatasetSearchInput!, $after: String) {
  advancedSearch(query: $query, datasetType: "All Public", first: 2, after: $after) {
    edges { node { id } } pageInfo { hasNextPage endCursor count } } }"""


def test_pages_have_cursors_nulls_and_no_connection_where_nothing_is(site, ask):
    def pages(text, name, **variables):
        after, found, asked = None, [], 0
        while True:
            told = ask(text, after=after, **variables).json()["data"][name]
            asked += 1
            found += [edge["node"] and edge["node"]["id"] for edge in told["edges"]]
            if not told["pageInfo"]["hasNextPage"]:
                return found, asked
            after = told["pageInfo"]["endCursor"]

    assert ask(PAGE).json()["data"]["datasets"] is None
    for number in range(1, 6):
        site.add(f"ds00000{number}", {"1.0.0": small_tree(subjects=number)}, name=f"No. {number}")
    site.datasets["ds000002"].no_node = True
    assert pages(PAGE, "datasets") == (
        ["ds000005", "ds000004", "ds000003", None, "ds000001"],
        3,
    )
    found = pages(
        SEARCH, "advancedSearch", query={"keywords": ["no."], "subjectCountRange": [2, 5]}
    )
    assert found == (["ds000005", "ds000004", "ds000003", None], 3)
    by_cursor = ask(SEARCH.replace("node", "cursor node", 1), query={}).json()
    assert "cursor" in by_cursor["errors"][0]["message"]


def test_a_wrong_word_in_a_key_strikes_nothing_else(site, pool):
    assert pool.request("GET", f"{site.url}/crn/nothing").status == 404
    assert pool.request("GET", site.graphql_url).status == 405
