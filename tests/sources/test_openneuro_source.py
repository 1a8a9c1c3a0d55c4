"""A version of a data set of OpenNeuro, as a source: the contract, and what is its own."""

from __future__ import annotations

import contextlib
import json

import pytest

from neurofetch.engine import Attempts, Client
from neurofetch.errors import (
    ConfigError,
    InterruptedTransferError,
    NothingMatchedError,
    ProtocolError,
    RefusedError,
    ServerError,
    UnknownValueError,
    UnreachableError,
)
from neurofetch.model import Digest
from neurofetch.net.http1 import Request
from neurofetch.sources.ask import ask
from neurofetch.sources.graphql import SchemaError
from neurofetch.sources.openneuro import OpenNeuroSource, openneuro_site
from neurofetch.sources.openneuro_address import Address
from testbed.openneuro import OpenNeuro, odd_tree, small_tree
from tests.sources.contract import (
    NETWORK,
    QUICK,
    Served,
    SignedContract,
    SourceContract,
    keys,
)

DATASET = "ds000777"
BODY = {"Content-Type": "application/json"}


class _Below:
    """A server of which keys are asked for that begin with the data set's accession number."""

    def __init__(self, server):
        self._server = server

    def requests(self, method="*", key="*"):
        return self._server.requests(method, f"{DATASET}/{key}")

    def fault(self, *, key="*", **what):
        self._server.fault(key=f"{DATASET}/{key}", **what)


class _Contract(SourceContract):
    """All of it is in the bucket."""

    public = True

    @pytest.fixture
    def serve(self):
        with contextlib.ExitStack() as stack:

            def serve(files, *, page_size=1000, network=NETWORK, rules=QUICK):
                now = [1.8e9]
                site = stack.enter_context(OpenNeuro(lifetime=100, clock=lambda: now[0]))
                site.add(DATASET, {"1.0.0": files}, public=self.public)
                client = stack.enter_context(Client(network))
                token = site.grant(DATASET)
                if not self.public:
                    client.authorize(site.url, f"Bearer {token}")
                attempts = Attempts(rules, outages=client.outages)
                source = OpenNeuroSource(client, attempts, Address(DATASET), site.url)

                def expire():
                    now[0] += 101

                return Served(
                    source,
                    client,
                    attempts,
                    {"*": _Below(site.bucket)},
                    site,
                    {"method": "POST"},
                    (token,),
                    expire,
                )

            yield serve

    def test_a_source_without_files_is_empty_and_no_error(self, serve):
        """No version is without files: an empty listing is one that the server failed to make."""
        source = serve({}).source
        with pytest.raises(ProtocolError, match=r"lists no files .*Nothing was fetched"):
            source.walk("")


class TestInTheBucket(_Contract):
    pass


class TestNotPublic(_Contract, SignedContract):
    public = False

    def test_the_token_goes_to_the_site_alone(self, serve):
        served = serve(self.tree())
        for file in served.source.walk(""):
            with served.client.send(Request(served.source.address(file))) as response:
                assert response.status == 200
        bucket = served.server_of("x")
        assert len({one.key for one in bucket.requests("GET")}) == len(self.tree())
        assert all("authorization" not in one.headers for one in bucket.requests())
        assert all("authorization" in one.headers for one in served.lister.requests())

    def test_addresses_are_renewed_of_the_version_that_was_listed(self, serve):
        served = serve(self.tree())
        files = served.source.walk("")
        notes, asked = served.source.notes, served.listings()
        served.lister.add(DATASET, {"2.0.0": {"sub-02/readme": b"another"}})
        served.expire()
        for file in files:
            with ask(served.client, served.source, file, {}) as response:
                assert response.read(1 << 20) == self.tree()[file.key]
        assert served.source.version == "1.0.0"
        assert served.source.notes == notes
        assert served.listings() == asked + 1

    def test_what_is_listed_holds_no_signature(self, serve):
        served = serve(self.tree())
        for file in served.source.walk(""):
            assert "Signature" not in f"{file!r} {file.url}"
            assert "Signature=" in served.source.address(file)


# -- one site ----------------------------------------------------------------------------------


@pytest.fixture
def site():
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": small_tree(), "1.1.0": odd_tree()})
        server.add("ds000246", {"1.0.1": small_tree(seed=2)}, name="The auditory one")
        yield server


@pytest.fixture
def source_of(site):
    with contextlib.ExitStack() as stack:

        def make(accession, tag="", path="", *, rules=QUICK, site_url=None):
            client = stack.enter_context(Client(NETWORK))
            attempts = Attempts(rules, outages=client.outages)
            address = Address(accession, tag, path)
            return OpenNeuroSource(client, attempts, address, site_url or site.url)

        yield make


def fails(source):
    """Return the error that listing ends with; nothing was fetched, and it says so."""
    with pytest.raises((ServerError, NothingMatchedError, UnknownValueError)) as caught:
        source.walk("")
    text = str(caught.value)
    assert "Nothing was fetched" in text, text
    assert "Traceback" not in text
    return caught.value


def test_one_query_lists_all_and_the_newest_is_taken(site, source_of):
    source = source_of("ds000001")
    assert keys(source.walk("")) == sorted(odd_tree())
    assert len(site.requests()) == 1
    assert source.version == "1.1.0"
    assert source.notes == (
        "ds000001: version 1.1.0, the newest of 2; openneuro:ds000001@1.1.0 names it",
    )
    assert source.snapshot.commit
    assert source.name == "openneuro:ds000001@1.1.0"


@pytest.mark.parametrize("tag", ["1.0.0", "v1.0.0"])
def test_a_version_is_what_it_was(source_of, tag):
    source = source_of("ds000001", tag)
    assert keys(source.walk("")) == sorted(small_tree())
    assert source.notes == ("ds000001: version 1.0.0; the newest is 1.1.0",)


def test_hashes_are_read_of_every_kind_of_id(source_of):
    files = {file.key: file for file in source_of("ds000001").walk("")}
    assert files["README"].digest.algorithm == "gitblob"
    assert files["sub-01/anat/sub-01_T1w.nii.gz"].digest.algorithm == "md5"
    assert all(file.digest for file in files.values())


@pytest.mark.parametrize(
    ("accession", "tag", "says"),
    [
        (
            "ds000001",
            "1.0.1",
            r"has no version '1\.0\.1'\. Did you mean openneuro:ds000001@1\.[01]",
        ),
        ("ds000001", "zzz", r"It has, the newest first: 1\.1\.0, 1\.0\.0\."),
        ("ds000264", "", r"Did you mean ds000246 \(The auditory one\)\?"),
        ("ds246", "", r"Did you mean ds000246"),
        ("ds000246", "1.0.10", r"Did you mean openneuro:ds000246@1\.0\.1\?"),
        ("ds999999", "", r"there is no data set ds999999"),
        ("ds999999", "1.0.0", r"there is no data set ds999999"),
    ],
)
def test_what_does_not_exist_is_told_with_the_nearest(source_of, accession, tag, says):
    with pytest.raises((NothingMatchedError, UnknownValueError), match=says):
        source_of(accession, tag).walk("")


def test_a_data_set_that_was_withdrawn_tells_why_and_where_to_go_on(site, source_of):
    site.delete("ds000001", "Faces were not removed.", successor="/datasets/ds000246")
    error = fails(source_of("ds000001"))
    assert "Faces were not removed" in str(error)
    assert "It goes on as openneuro:ds000246" in str(error)


def test_a_version_that_its_owners_deprecate_is_told(site, source_of):
    site.deprecate("ds000001", "1.0.0", "Wrong events.")
    source = source_of("ds000001", "1.0.0")
    source.walk("")
    assert any("deprecated" in note and "Wrong events." in note for note in source.notes)


def test_a_data_set_without_a_version_is_a_draft(site, source_of):
    site.datasets["ds000001"].snapshots.clear()
    error = fails(source_of("ds000001"))
    assert "only a draft" in str(error)


def test_what_is_not_public_says_how_to_get_in(site, source_of):
    site.add("ds000500", {"1.0.0": small_tree()}, public=False)
    error = fails(source_of("ds000500"))
    assert isinstance(error, RefusedError)
    assert f"{site.url}/keygen" in str(error)


# -- bad days ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "502 Bad Gateway",
        "504 Gateway Time-out",
        "connect ECONNREFUSED 10.0.0.1:80",
        "Request failed due to timeout",
        "fetch failed",
    ],
)
def test_a_worker_that_is_down_for_a_moment_is_asked_again(site, source_of, message):
    site.fail_query(message, code="INTERNAL_SERVER_ERROR")
    assert source_of("ds000001").walk("")
    assert len(site.requests()) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 522, 524])
def test_a_status_that_passes_is_asked_again(site, source_of, status):
    site.fault(key="crn/graphql", times=2, status=status)
    assert source_of("ds000001").walk("")
    assert len(site.requests()) == 3


def test_retry_after_is_heeded(site, source_of):
    site.fault(key="crn/graphql", times=1, status=429, headers={"Retry-After": "0.2"})
    assert source_of("ds000001").walk("")
    first, second = site.requests()
    assert second.began - first.began >= 0.2


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0.01"}])
def test_too_many_requests_for_ever_is_told(site, source_of, headers):
    site.fault(key="crn/graphql", times=None, status=429, headers=headers)
    error = fails(source_of("ds000001"))
    assert isinstance(error, UnreachableError)
    assert "429" in str(error)
    assert len(site.requests()) == QUICK.attempts


ERRORS = {
    "null data": b'{"errors": [{"message": "Something broke"}], "data": null}',
    "no data": b'{"errors": [{"message": "Something broke"}]}',
    "partial": b'{"errors": [{"message": "Something broke"}], "data": {"dataset": null}}',
    "no message": b'{"errors": [{}], "data": null}',
    "errors that are none": b'{"errors": ["x", 1, null], "data": null}',
    "nothing": b"{}",
    "null": b"null",
    "a list": b"[]",
    "text": b'"hello"',
    "rubbish": b"hello",
    "not UTF-8": b'{"data": "\xff"}',
    "deep": b'{"a":' * 100_000,
    "extensions of another kind": b'{"errors": [{"message": 1, "extensions": 3}], "extensions": 7}',
    "no snapshot": b'{"data": {"dataset": {"latestSnapshot": null, "snapshots": null}}}',
    "no files": b'{"data": {"dataset": {"latestSnapshot": {"tag": "1", "files": null}}}}',
    "files of another kind": b'{"data": {"dataset": {"latestSnapshot": {"files": {"a": 1}}}}}',
    "no data set": b'{"data": {"dataset": null}}',
    "cut": b'{"data": {"dataset": {"latestSnapshot": {"tag": "1", "files": [{"filename": "a"',
    "empty": b"",
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_of_any_shape_is_an_error_with_words(site, source_of, name, status):
    site.fault(key="crn/graphql", times=None, status=status, body=ERRORS[name], headers=dict(BODY))
    error = fails(source_of("ds000001"))
    assert site.url.removeprefix("http://") in str(error) or "ds000001" in str(error)


ROWS = {
    "no object": 7,
    "no name": {"id": "a" * 40, "size": 1, "urls": []},
    "a name that is none": {"filename": 5, "id": "a" * 40, "size": 1, "urls": []},
    "an id that is none": {"filename": "a", "id": 5, "size": 1, "urls": []},
    "a negative size": {"filename": "a", "id": "a" * 40, "size": -1, "urls": []},
    "a broken size": {"filename": "a", "id": "a" * 40, "size": 1.5, "urls": []},
    "a size in words": {"filename": "a", "id": "a" * 40, "size": "many", "urls": []},
    "true for a size": {"filename": "a", "id": "a" * 40, "size": True, "urls": []},
    "another scheme": {"filename": "a", "id": "a" * 40, "size": 1, "urls": ["file:///etc/passwd"]},
    "a folder without files": {"filename": "sub", "id": "a" * 40, "directory": True, "size": 0},
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_is_none_makes_the_listing_useless(site, source_of, name):
    good = {"filename": "b", "id": "a" * 40, "size": 1, "urls": []}
    snapshot = {"tag": "1.0.0", "files": [good, ROWS[name]]}
    said = {"data": {"dataset": {"snapshots": [], "latestSnapshot": snapshot}}}
    site.fault(
        key="crn/graphql",
        times=None,
        status=200,
        body=json.dumps(said).encode(),
        headers=dict(BODY),
    )
    assert isinstance(fails(source_of("ds000001")), ProtocolError)


def test_a_page_of_a_portal_is_no_listing(site, source_of):
    page = b"<html><title>Log in to the network</title></html>"
    for status in (200, 404, 503):
        site.fault(key="crn/graphql", times=None, status=status, body=page)
        error = fails(source_of("ds000001"))
        assert "Log in to the network" in str(error) or "Check OPENNEURO_URL" in str(error)
        site.clear_faults()


def test_a_schema_that_lacks_what_is_dear_is_asked_for_less(site, source_of):
    site.api.drop("Snapshot", "deprecated")
    source = source_of("ds000001")
    assert keys(source.walk("")) == sorted(odd_tree())
    assert any("server 5.5.1" in note and "less was asked" in note for note in source.notes)


@pytest.mark.parametrize("tag", ["", "1.0.0"])
def test_a_schema_that_lacks_what_is_needed_names_the_server_and_the_bucket(site, source_of, tag):
    site.api.drop("DatasetFile", "urls")
    error = fails(source_of("ds000001", tag))
    assert isinstance(error, SchemaError)
    for word in (
        "server 5.5.1",
        "urls",
        "pip install -U neurofetch",
        "s3://openneuro.org/ds000001",
    ):
        assert word in str(error)
    assert str(error).count("..") == 0


def test_sizes_may_come_as_text(site, source_of):
    site.api.big_int_as_text = True
    sizes = {file.key: file.size for file in source_of("ds000001").walk("")}
    assert sizes == {name: len(content) for name, content in odd_tree().items()}


def test_being_told_to_stop_ends_a_wait(site, source_of):
    site.fault(key="crn/graphql", times=None, status=503, headers={"Retry-After": "60"})
    source = source_of("ds000001")
    source._api._attempts.stop.set()
    with pytest.raises(InterruptedTransferError):
        source.walk("")


# -- a listing that lies -----------------------------------------------------------------------


def test_the_size_in_the_key_counts(site, source_of):
    name = "sub-01/anat/sub-01_T1w.nii.gz"
    site.lie("ds000001", "1.0.0", name, size=5)
    source = source_of("ds000001", "1.0.0")
    (file,) = source.walk(name)
    assert file.size == 3000
    assert any("another size" in note for note in source.notes)


def test_a_name_that_is_listed_twice_alike_counts_once(site, source_of):
    row = site.datasets["ds000001"].snapshots["1.0.0"].files["README"]
    site.list_also("ds000001", "1.0.0", "README", id=row.id, size=row.blob.size)
    source = source_of("ds000001", "1.0.0")
    assert keys(source.walk("README")) == ["README"]
    source.address(source.walk("README")[0])


def test_a_name_that_is_listed_twice_with_two_contents_is_not_guessed(site, source_of):
    site.list_also("ds000001", "1.0.0", "README")
    source = source_of("ds000001", "1.0.0")
    (file,) = source.walk("README")
    with pytest.raises(ProtocolError, match="twice, with two contents"):
        source.address(file)
    assert any("README" in note for note in source.notes)


def test_a_symbolic_link_is_told_and_an_empty_file_is_none(site, source_of):
    site.list_link("ds000001", "1.1.0", "sub-99", "sub-01")
    files = {file.key: file for file in source_of("ds000001").walk("")}
    assert "symbolic link" in files["sub-99"].withheld
    assert files["sourcedata/empty.txt"].withheld == ""
    assert files["sourcedata/empty.dat"].withheld == ""


@pytest.mark.parametrize(
    ("called", "digest", "size"),
    [
        ("SHA256E-s7--" + "a" * 64 + ".nii.gz", Digest("sha256", "a" * 64), 7),
        ("SHA256-s7--" + "a" * 64, Digest("sha256", "a" * 64), 7),
        ("MD5-s7-m12--" + "b" * 32, Digest("md5", "b" * 32), 7),
        ("MD5E-s7--" + "b" * 32 + ".fif", Digest("md5", "b" * 32), 7),
        ("MD5E-s7--" + "b" * 31, None, 7),
        ("MD5E-s7--" + "B" * 32, None, 7),
        ("SHA512E-s7--" + "a" * 128 + ".gz", None, 7),
        ("URL-s7--https&c%%example.org", None, 7),
        ("something else", None, 4),
        ("", None, 4),
    ],
)
def test_keys_of_git_annex_are_read_by_its_grammar(site, source_of, called, digest, size):
    site.lie("ds000001", "1.0.0", "README", id=called, size=4)
    source = source_of("ds000001", "1.0.0")
    (file,) = source.walk("README")
    assert (file.digest, file.size) == (digest, size)
    if digest is None:
        assert any("without a hash" in note for note in source.notes)


def test_an_address_goes_out_byte_for_byte(site, source_of):
    odd = "http://h.example/openneuro.org/a+b%20c/%2B%C3%A9;~!'()*?versionId=._-%2F+x"
    site.lie("ds000001", "1.0.0", "README", urls=[odd])
    (file,) = source_of("ds000001", "1.0.0").walk("README")
    assert file.url == odd
    site.lie("ds000001", "1.0.0", "README", urls=["http://h.example/é a\r\nX: y"])
    (file,) = source_of("ds000001", "1.0.0").walk("README")
    assert file.url == "http://h.example/%C3%A9+a%0D%0AX:+y"


def test_a_file_without_an_address_is_asked_of_the_site(site, source_of):
    for urls in ([], None, [None]):
        site.lie("ds000001", "1.0.0", "README", urls=urls)
        (file,) = source_of("ds000001", "1.0.0").walk("README")
        assert file.url.startswith(f"{site.url}/crn/datasets/ds000001/objects/{file.digest.value}?")
        assert not file.ranges


@pytest.mark.parametrize(
    ("given", "site_url"),
    [
        ({}, "https://openneuro.org"),
        ({"OPENNEURO_URL": ""}, "https://openneuro.org"),
        ({"OPENNEURO_URL": "https://staging.openneuro.org/"}, "https://staging.openneuro.org"),
        ({"OPENNEURO_URL": "http://h:9876/crn/graphql"}, "http://h:9876"),
    ],
)
def test_the_variable_of_the_official_client_names_another_server(given, site_url):
    assert openneuro_site(given) == site_url


@pytest.mark.parametrize("text", ["openneuro.org", "ftp://h", "http://", "https://h?x=1"])
def test_a_server_that_is_none_is_told(text):
    with pytest.raises(ConfigError, match="OPENNEURO_URL"):
        openneuro_site({"OPENNEURO_URL": text})


def test_what_a_server_says_is_shown_in_one_line(site, source_of):
    site.deprecate("ds000001", "1.0.0", "two\nlines\x1b[31m")
    source = source_of("ds000001", "1.0.0")
    source.walk("")
    assert any("two lines [31m" in note for note in source.notes)
    assert all(note.isprintable() for note in source.notes)


def test_an_answer_that_broke_off_leaves_nothing_in_the_notes(site, source_of):
    site.lie("ds000001", "1.1.0", "README", id="x", size=4)
    site.fault(key="crn/graphql", times=1, cut_after=4000)
    source = source_of("ds000001")
    source.walk("")
    assert [note for note in source.notes if "without a hash" in note] == [
        "1 file without a hash that is known here (an id of another kind): checked by size"
    ]
    assert len(site.requests()) == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"reset": True},
        {"reset": True, "cut_after": 600},
        {"cut_after": 600},
        {"cut_after": 0},
    ],
    ids=str,
)
def test_a_listing_that_breaks_off_is_asked_for_again_and_never_taken_for_whole(
    site, source_of, fault
):
    site.fault(key="crn/graphql", times=1, **fault)
    source = source_of("ds000001")
    assert keys(source.walk("")) == sorted(odd_tree())
    assert len(site.requests()) == 2
