"""OpenNeuro's catalogue, as Python and the command show it, on a good day and on bad ones."""

import json

import pytest

from neurofetch import openneuro
from neurofetch.errors import (
    ConfigError,
    NothingMatchedError,
    RefusedError,
    UnknownValueError,
    UnreachableError,
    UsageError,
)
from neurofetch.openneuro.described import described
from testbed._graphql import cursor_of
from testbed.openneuro import EXPIRED, OpenNeuro, small_tree, token_of
from tests.display.schema import validate
from tests.faces import Shell
from tests.sources.openneuro_world import fill


@pytest.fixture
def site(monkeypatch, tmp_path):
    with OpenNeuro() as server:
        fill(server)
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.delenv("OPENNEURO_API_KEY", raising=False)
        yield server


@pytest.fixture
def shell(tmp_path, site):
    made = Shell(tmp_path, "")
    made.env["OPENNEURO_URL"] = site.url
    made.env["NEUROFETCH_PATIENCE"] = "0"
    return made


PUBLIC = ["ds000006", "ds000005", "ds000004", "ds000003", "ds000002", "ds000001"]


def names(found):
    return [one.accession for one in found]


# -- lists -----------------------------------------------------------------------------------------


def test_public_data_sets_are_listed_the_newest_first(site):
    found = openneuro.datasets(limit=None)
    assert names(found)[:6] == PUBLIC
    assert set(names(found)[6:]) == {"ds000247", "ds000302"}
    second = found[4]
    assert (second.version, len(second.subjects), second.modalities) == ("1.0.0", 2, ("mri",))
    true = site.datasets["ds000002"].newest
    assert (second.bytes_total, second.files_total) == (true.size, len(true.files))
    assert second.license == "CC0"


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_limit_asks_for_no_more_than_it_needs(site, limit):
    assert names(openneuro.datasets(limit=limit)) == PUBLIC[:limit]
    (request,) = site.requests("POST")
    assert json.loads(request.body)["variables"]["first"] == limit


def test_many_pages_are_read_to_the_end_each_data_set_once(site):
    for number in range(1000, 1230):
        site.add(f"ds{number:06d}", {"1.0.0": {"README": b"x"}})
    for number in range(1000, 1230, 7):
        site.datasets[f"ds{number:06d}"].no_node = True
    found = names(openneuro.datasets(limit=None))
    assert len(site.requests("POST")) == 3
    assert len(found) == len(set(found)) == 8 + 230 - len(range(1000, 1230, 7))
    site.clear_log()
    assert len(openneuro.search(modality="mri", limit=None)) == 6
    assert len(site.requests("POST")) == 1


def test_a_full_last_page_of_a_search_is_followed_by_one_of_nothing(site):
    for number in range(1000, 1100):
        site.add(f"ds{number:06d}", {"1.0.0": {"README": b"zebra"}})
    assert len(openneuro.search("zebra", limit=None)) == 100
    assert len(site.requests("POST")) == 2


def page(*edges, **told):
    info = {"hasNextPage": True, "endCursor": cursor_of({"offset": 1000}), **told}
    return json.dumps({"data": {"found": {"edges": list(edges), "pageInfo": info}}}).encode()


ODD_PAGES = {
    "a cursor that comes again": [page({"node": {"id": "ds1"}}), page({"node": {"id": "ds2"}})],
    "no cursor": [page({"node": {"id": "ds1"}}, endCursor=None)],
    "nulls": [page(None, {"node": None}, {}, {"node": {"id": "ds1"}}, hasNextPage=None)],
    "other kinds": [page(7, {"node": [1]}, {"node": {"id": 8}}, {"node": {"id": "ds1"}})],
    "no page info": [b'{"data": {"found": {"edges": [{"node": {"id": "ds1"}}]}}}'],
    "an empty page": [page({"node": {"id": "ds1"}}), page(endCursor=cursor_of({"offset": 2000}))],
}


@pytest.mark.parametrize("bodies", ODD_PAGES.values(), ids=ODD_PAGES)
def test_odd_pages_end(site, bodies):
    for body in bodies:
        site.fault(key="crn/graphql", times=1, status=200, body=body)
    found = names(openneuro.datasets(limit=None))
    assert found[0] == "ds1"
    assert len(site.requests("POST")) <= len(bodies) + 1


def test_one_data_set_that_cannot_be_read_hides_no_others(site):
    error = {"message": "502 Bad Gateway", "path": ["found", "edges", 0, "node"]}
    told = {"edges": [{"node": None}, {"node": {"id": "ds1"}}], "pageInfo": {}}
    body = json.dumps({"data": {"found": told}, "errors": [error]}).encode()
    site.fault(key="crn/graphql", times=1, status=200, body=body)
    assert names(openneuro.datasets()) == ["ds1"]
    assert len(site.log) == 1


@pytest.mark.parametrize("big", [False, True], ids=["number", "text"])
def test_sizes_come_as_numbers_or_as_text(site, big):
    site.api.big_int_as_text = big
    assert openneuro.info("ds000001").bytes_total == site.datasets["ds000001"].newest.size


# -- search ----------------------------------------------------------------------------------------


def test_a_search_by_words_tasks_modality_and_subjects(site):
    assert names(openneuro.search("tones heard")) == ["ds000247"]
    assert names(openneuro.search(["tones", "heard"], modality="meg")) == ["ds000247"]
    assert names(openneuro.search(task="tones")) == ["ds000247"]
    assert names(openneuro.search(subjects=5)) == ["ds000006", "ds000005"]
    assert names(openneuro.search(modality="mri", subjects=(2, 3))) == ["ds000003", "ds000002"]
    assert names(openneuro.search(modality="mri", subjects=(None, 1))) == ["ds000001"]
    asked = json.loads(site.log[-1].body)["variables"]["query"]
    assert asked == {"modality": "mri", "subjectCountRange": [0, 1]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (openneuro.search, "needs a word"),
        (lambda: openneuro.search("  "), "needs a word"),
        (lambda: openneuro.search("x", subjects=-1), "subjects"),
        (lambda: openneuro.search("x", subjects=(3, 2)), "from 3 to 2"),
        (lambda: openneuro.search("x", subjects=(1, 2, 3)), "subjects"),
        (lambda: openneuro.search("x", subjects="many"), "subjects"),
        (lambda: openneuro.search("x", subjects=True), "subjects"),
        (lambda: openneuro.search(7), "text must be text"),
        (lambda: openneuro.search(task=[7]), "task must be text"),
        (lambda: openneuro.datasets(limit=0), "limit"),
        (lambda: openneuro.datasets(limit=1.5), "limit"),
        (lambda: openneuro.datasets(limit=True), "limit"),
        (lambda: openneuro.datasets(7), "modality must be text"),
        (lambda: openneuro.info("s3://openneuro.org/ds000001"), "names no data set"),
        (lambda: openneuro.info(""), "names no data set"),
        (lambda: openneuro.info(7), "names no data set"),
        (lambda: openneuro.info("10.1000/xyz"), "no DOI of OpenNeuro"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_server_is_asked(site, call, message):
    with pytest.raises(UsageError, match=message):
        call()
    assert site.log == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: openneuro.search("nothing-like-this"),
        lambda: openneuro.datasets("fnirs"),
        lambda: openneuro.search(modality="pet"),
    ],
    ids=["word", "modality", "search"],
)
def test_nothing_found_says_what_was_looked_for(site, call):
    with pytest.raises(NothingMatchedError, match=r"(nothing-like-this|fnirs|pet)"):
        call()


def test_an_empty_server_is_nothing_found_and_no_failure(monkeypatch):
    with OpenNeuro() as empty:
        monkeypatch.setenv("OPENNEURO_URL", empty.url)
        with pytest.raises(NothingMatchedError, match="no public data set"):
            openneuro.datasets()


# -- one data set ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ds000247",
        "openneuro:ds000247",
        "doi:10.18112/openneuro.ds000247.v1.0.1",
        "https://openneuro.org/datasets/ds000247/versions/1.0.1",
    ],
)
def test_a_data_set_is_described_with_its_versions_and_derivatives(site, name):
    about = openneuro.info(name)
    assert (about.accession, about.version, about.name) == ("ds000247", "1.0.1", "Auditory")
    assert [one.version for one in about.versions] == [
        "57fecb0ccce88d000ac17538",
        "1.0.0",
        "1.0.1",
    ]
    assert [one.deprecated for one in about.versions] == [None, "wrong events", None]
    assert about.derivatives[0].url == "s3://openneuro-derivatives/mriqc/ds000247-mriqc"
    assert about.authors == ("A. Lovelace", "C. Babbage")
    assert about.doi == "doi:10.18112/openneuro.ds000247.v1.0.1"
    assert about.subjects == ("01", "02")
    assert about.tasks == ("tones",)
    assert about.deprecated is None


def test_an_older_version_is_described_for_itself(site):
    for name in ("ds000247@1.0.0", "ds000247@v1.0.0"):
        about = openneuro.info(name)
        assert (about.version, about.deprecated) == ("1.0.0", "wrong events")
        assert about.source == "openneuro:ds000247@1.0.0"


def test_a_draft_has_no_version(site):
    about = openneuro.info("ds000302")
    assert (about.version, about.versions, about.source) == (None, (), "openneuro:ds000302")


def test_what_is_not_there_is_told(site):
    with pytest.raises(UnknownValueError, match=r"no version '1\.0\.2'.*1\.0\.1"):
        openneuro.info("ds000247@1.0.2")
    with pytest.raises(NothingMatchedError, match="no data set ds000777"):
        openneuro.info("ds000777")
    with pytest.raises(NothingMatchedError, match=r"a copy of ds000001.*openneuro:ds000001"):
        openneuro.info("ds000301")


DRIFT = [
    ("Snapshot", "deprecated"),
    ("Summary", "totalFiles"),
    ("Description", "DatasetDOI"),
    ("Dataset", "derivatives"),
    ("Dataset", "publishDate"),
]


@pytest.mark.parametrize(("kind", "field"), DRIFT)
def test_a_field_that_the_server_has_no_more_costs_only_what_it_said(site, kind, field):
    site.api.drop(kind, field)
    about = openneuro.info("ds000247")
    assert about.version == "1.0.1"
    assert [one.version for one in about.versions][-1] == "1.0.1"
    assert "5.5.1" in about.notes[0]
    if field != "derivatives":
        listed = openneuro.datasets(limit=2)
        assert names(listed) == PUBLIC[:2]
        assert "less was asked" in listed[0].notes[0]
        assert names(openneuro.search("tones")) == ["ds000247"]


ODD = [
    {},
    {"id": None},
    {"id": 7},
    {"id": "ds1"},
    {"id": "ds1", "latestSnapshot": None},
    {"id": "ds1", "latestSnapshot": {"summary": None, "size": "many", "tag": 5}},
    {"id": "ds1", "latestSnapshot": {"summary": {"subjects": [None, 7, "01"], "size": -1}}},
    {"id": "ds1", "snapshots": [None, {}, {"tag": "1"}], "derivatives": [None, {"name": None}]},
    {"id": "ds1", "name": " two\n lines ", "public": "yes"},
    {"id": "ds1", "latestSnapshot": {"size": 1e400, "description": [1]}},
    {"id": "ds1", "latestSnapshot": {"size": True}},
]


@pytest.mark.parametrize("node", [*ODD, None, [], "ds1"], ids=range(len(ODD) + 3))
def test_whatever_an_answer_lacks_is_not_known(node):
    about = described(node)
    if not isinstance(node, dict) or not isinstance(node.get("id"), str):
        assert about is None
        return
    assert about.bytes_total is None
    assert about.public is None
    assert set(about.subjects) <= {"01"}
    assert json.loads(json.dumps(about.to_dict()))["accession"] == "ds1"


# -- tokens, servers -------------------------------------------------------------------------------


def test_a_private_data_set_is_described_with_a_token_and_lists_send_none(site, monkeypatch):
    with pytest.raises(RefusedError, match="OPENNEURO_API_KEY"):
        openneuro.info("ds000300")
    token = site.grant("ds000300")
    monkeypatch.setenv("OPENNEURO_API_KEY", token)
    assert openneuro.info("ds000300").public is False
    assert site.log[-1].headers["authorization"] == f"Bearer {token}"
    site.clear_log()
    openneuro.datasets()
    openneuro.search("tones")
    assert not any("authorization" in request.headers for request in site.log)


def test_a_reviewer_link_opens_its_data_set(site, monkeypatch):
    monkeypatch.setenv("OPENNEURO_API_KEY", site.reviewer_link("ds000300"))
    assert openneuro.info("ds000300").accession == "ds000300"


def test_a_token_that_has_ended_is_not_sent(site, monkeypatch):
    monkeypatch.setenv("OPENNEURO_API_KEY", token_of(seconds=EXPIRED))
    assert openneuro.info("ds000001").version == "1.0.0"
    assert "authorization" not in site.log[-1].headers
    with pytest.raises(RefusedError, match="ended on"):
        openneuro.info("ds000300")


def test_a_wrong_token_is_told_and_public_data_come_all_the_same(site, monkeypatch):
    value = token_of("stranger")
    monkeypatch.setenv("OPENNEURO_API_KEY", value)
    about = openneuro.info("ds000001")
    assert about.version == "1.0.0"
    assert "token of OPENNEURO_API_KEY" in about.notes[0]
    with pytest.raises(RefusedError, match="token of OPENNEURO_API_KEY") as caught:
        openneuro.info("ds000300")
    assert value not in str(caught.value) + str(about)


def test_a_site_that_is_down_is_not_taken_for_a_wrong_token(site, monkeypatch):
    monkeypatch.setenv("OPENNEURO_API_KEY", site.grant("ds000300"))
    site.fault(key="crn/graphql", times=4, status=502)
    about = openneuro.info("ds000300")
    assert about.notes == ()


def test_a_server_that_is_not_there_or_no_address(site, monkeypatch):
    monkeypatch.setenv("OPENNEURO_URL", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        openneuro.datasets()
    monkeypatch.setenv("OPENNEURO_URL", "openneuro")
    with pytest.raises(ConfigError, match="OPENNEURO_URL"):
        openneuro.datasets()


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_lists_searches_and_describes(shell):
    listed = shell("neurofetch openneuro list --limit 2")
    assert listed.code == 0, listed.err
    head, first, _ = listed.out.splitlines()
    assert head.split() == ["data", "set", "version", "size", "subjects", "modality", "name"]
    assert first.split()[:2] == ["ds000006", "1.0.0"]
    assert "--limit all" in listed.err
    ids = shell("neurofetch openneuro search tones --ids")
    assert (ids.out, ids.err) == ("ds000247\n", "")
    shown = shell("neurofetch openneuro info ds000247")
    assert "deprecated: wrong events" in shown.out
    assert "neurofetch get openneuro:ds000247@1.0.1" in shown.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "document"),
    [
        ("list --limit all", 0, "datasets"),
        ("search --subjects 2-3 --modality mri", 0, "datasets"),
        ("search --subjects=-3 --mod mri", 0, "datasets"),
        ("info ds000247", 0, "dataset"),
        ("info ds000777", 3, "error"),
        ("info ds000300", 6, "error"),
        ("list --limit 0", 2, "error"),
        ("search", 2, "error"),
        ("search x --subjects 1-2-3", 2, "error"),
        ("search x --subjects=-", 2, "error"),
        ("search x --subjects 3-2", 2, "error"),
        ("list --modality fnirs", 3, "error"),
    ],
)
def test_each_part_prints_one_document(shell, line, code, document):
    done = shell(f"neurofetch openneuro {line} --json")
    told = json.loads(done.out)
    validate(told)
    assert (done.code, told["document"]) == (code, document), done.err


@pytest.mark.slow
def test_names_of_others_move_no_cursor(shell, site):
    site.add("ds000900", {"1.0.0": small_tree()})
    evil = b'{"Name": "\\u001b[2J evil \\u202e", "BIDSVersion": "1.8.0"}'
    site.add("ds000901", {"1.0.0": {"dataset_description.json": evil}})
    site.datasets["ds000901"].created = "2030-01-01T00:00:00.000Z"
    for line in ("list --limit 3", "info ds000901"):
        done = shell(f"neurofetch openneuro {line}")
        assert done.code == 0
        assert "evil" in done.out
        assert "\x1b" not in done.out
        assert "\u202e" not in done.out
