"""What every source keeps to: inherit a class, say how your source is made, and it is tested.

`SourceContract` is for any source. `ListingContract` adds what holds where a listing asks a server:
pages, faults, and the way out. `SignedContract` adds what holds where addresses expire. The one
thing to give is the fixture `serve`; see `Served`, and tests/sources/test_s3.py for an example.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from neurofetch.engine import Attempts, Client, Level, Network, RetryRules, Source
from neurofetch.errors import (
    InterruptedTransferError,
    NeurofetchError,
    ServerError,
    TransientError,
    UnreachableError,
)
from neurofetch.sources.ask import ask, ask_head
from testbed.s3 import HTML_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from neurofetch.model import RemoteFile
    from testbed._wire import WireServer

LIMIT = 1 << 20
QUICK = RetryRules(attempts=3, base=0.005, cap=0.02, max_wait=60.0)
NETWORK = Network(connect_timeout=3.0, read_timeout=2.0, slow_window=2.0)
SOON = 1.0
"""Seconds within which a source that is told to stop has stopped."""

TREE = MappingProxyType(
    {
        "dataset_description.json": b"{}",
        "sub-01/anat/sub-01_T1w.json": b'{"a": 1}',
        "sub-01/anat/sub-01_T1w.nii.gz": b"anatomy" * 99,
        "sub-01/func/sub-01_bold.nii.gz": bytes(range(256)) * 40,
        "sub-01/func/sub-01_events.tsv": b"",
        "sub-01.txt": b"beside the folder, and before it in the order of bytes",
        "sub-010/anat/sub-010_T1w.json": b"ten",
        "sub-02/anat/sub-02_T1w.json": b'{"a": 2}',
        "sub-02/readme": b"two",
    }
)
"""An ordinary dataset, with names that begin alike."""

HOSTILE = MappingProxyType(
    {
        "spaces": " a folder / a file .txt ",
        "percent": "100%/%41%2F%zz.txt",
        "plus": "a+b+/c++.txt",
        "markup": "&amp;<b>\"'/]]>.xml",
        "query": "a?b=c&d#e;f.txt",
        "composed": unicodedata.normalize("NFC", "café/é.txt"),
        "decomposed": unicodedata.normalize("NFD", "café/é.txt"),
        "emoji": "🧠/🧠🏽‍🔬.nii",
        "newline": "a\nb/c\nd.txt",
        "control": "tab\tand\x7f.txt",
        "dots": "a/../b/./c",
        "only dots": "..",
        "leading slash": "/etc/passwd",
        "two slashes": "a//b.txt",
        "backslash": "a\\b.txt",
        "folder mark": "empty/",
        "long": "k" * 1000,
        "many folders": "/".join(["d" * 49] * 20),
    }
)
"""Keys that a server may have. A source tells each as it is, whether it can be a path or not."""


@dataclass
class Served:
    """A source over a server of its own, on loopback.

    Parameters
    ----------
    source : Source
    client, attempts
        Those that the source was made with.
    servers : mapping of str to WireServer
        By globs on keys: who serves the content of the keys; the first glob that matches counts.
    lister : WireServer or None
        Who is asked for the listing.
    listing : mapping of str to str
        What a listing is in the log of `lister`: arguments of `Fault` (``method``, ``key``).
    secrets : tuple of str
        What may stand in no name, note or message.
    expire : callable or None
        Lets every signed address that is out expire now.
    """

    source: Source
    client: Client
    attempts: Attempts
    servers: Mapping[str, WireServer]
    lister: WireServer | None = None
    listing: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    expire: Callable[[], None] | None = None

    def fault(self, **what: Any) -> None:
        """Let something go wrong with requests for the listing."""
        assert self.lister is not None
        self.lister.fault(**self.listing, **what)

    def listings(self) -> int:
        """Return how many requests for the listing there were."""
        assert self.lister is not None
        return len(self.lister.requests(**self.listing))

    def server_of(self, key: str) -> WireServer:
        """Return the server that has the content of a key."""
        return next(s for glob, s in self.servers.items() if fnmatchcase(key, glob))


def fetched(url: str) -> bytes:
    """Return what is at a URL, by the standard library: another client than the one under test."""
    parts = urlsplit(url)
    make = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[parts.scheme]
    connection = make(parts.netloc, timeout=10)
    target = url.removeprefix(f"{parts.scheme}://{parts.netloc}")
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        assert response.status == 200, f"{response.status} {url}"
        return response.read()
    finally:
        connection.close()


def digest_of(algorithm: str, content: bytes) -> str:
    """Return a digest by the standard library."""
    if algorithm == "gitblob":
        return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
    return hashlib.new(algorithm, content).hexdigest()


def keys(files: Iterable[RemoteFile]) -> list[str]:
    return [file.key for file in files]


def model_level(names: Iterable[str], prefix: str) -> tuple[list[str], list[str]]:
    """Return the files and folders directly below a prefix, straight from the definition."""
    files, folders = [], set()
    for name in sorted(names):
        if name.startswith(prefix):
            head, slash, _ = name.removeprefix(prefix).partition("/")
            folders.add(prefix + head + "/") if slash else files.append(name)
    return files, sorted(folders)


class SourceContract:
    """What holds for any source."""

    base: ClassVar[str] = ""
    """Every key of the tests begins with this ("" or ending in "/")."""

    has_etags: ClassVar[bool] = True
    """Whether each file is listed with an ETag or a digest."""

    unserved: ClassVar[frozenset[str]] = frozenset()
    """Names in `HOSTILE` whose keys the server of the tests lists and cannot serve."""

    @pytest.fixture
    def serve(self) -> Callable[..., Served]:
        """Return a callable that starts a server with these files and a source over it.

        It takes ``files`` (key to bytes), and by name ``page_size`` (keys on a page of the listing,
        1,000 by default; a source without pages ignores it), ``network`` and ``rules``; it returns
        a `Served`. All servers end with the test.
        """
        raise NotImplementedError

    # -- helpers -----------------------------------------------------------------------------

    def tree(self) -> dict[str, bytes]:
        """An ordinary dataset, below the base."""
        return {self.base + key: content for key, content in TREE.items()}

    def hostile(self) -> dict[str, bytes]:
        """A file under each hostile key, each with content of its own."""
        return {self.base + key: f"{name}: {key!r}".encode() for name, key in HOSTILE.items()}

    # -- the listing -------------------------------------------------------------------------

    def test_every_file_is_listed_once_in_the_order_of_keys(self, serve):
        files = self.tree()
        assert keys(serve(dict(reversed(files.items()))).source.walk("")) == sorted(files)

    def test_sizes_are_those_of_the_content(self, serve):
        files = self.tree()
        listed = serve(files).source.walk(self.base)
        assert {file.key: file.size for file in listed} == {
            key: len(content) for key, content in files.items()
        }

    def test_digests_and_etags_are_those_of_the_content(self, serve):
        files = self.tree()
        served = serve(files)
        for file in served.source.walk(self.base):
            if file.digest is not None:
                content = files[file.key]
                assert file.digest.value == digest_of(file.digest.algorithm, content)
            if file.etag is not None:
                assert '"' not in file.etag
                told = ask_head(served.client, served.source, file)["etag"]
                assert told.strip('"') == file.etag
            if self.has_etags:
                assert file.etag or file.digest

    def test_a_source_without_files_is_empty_and_no_error(self, serve):
        source = serve({}).source
        assert source.walk("") == []
        assert source.walk(self.base) == []
        assert source.level("") == Level([], [])

    @pytest.mark.parametrize(
        "prefix", ["sub-01/", "sub-01/func/", "sub-0", "sub-01", "s", "sub-02/r"]
    )
    def test_a_prefix_need_not_be_a_folder(self, serve, prefix):
        files, prefix = self.tree(), self.base + prefix
        found = keys(serve(files).source.walk(prefix))
        assert found == sorted(key for key in files if key.startswith(prefix))
        assert found

    def test_a_key_is_a_prefix_of_itself(self, serve):
        files = self.tree()
        key = self.base + "sub-02/readme"
        assert keys(serve(files).source.walk(key)) == [key]

    @pytest.mark.parametrize(
        "prefix", ["sub-03/", "sub-01/func/nothing", "Sub-01/", "sub-02/readme/"]
    )
    def test_where_nothing_is_the_list_is_empty(self, serve, prefix):
        source = serve(self.tree()).source
        assert source.walk(self.base + prefix) == []
        assert source.level(self.base + prefix) == Level([], [])

    @pytest.mark.parametrize("prefix", ["", "sub-01/", "sub-01/func/", "sub-02/"])
    def test_a_level_has_what_is_directly_below(self, serve, prefix):
        files, prefix = self.tree(), self.base + prefix
        level = serve(files).source.level(prefix)
        assert (keys(level.files), level.folders) == model_level(files, prefix)

    def test_a_level_has_the_files_as_the_whole_list_has_them(self, serve):
        source = serve(self.tree()).source
        listed = {file.key: file for file in source.walk("")}
        level = source.level(self.base + "sub-01/anat/")
        assert level.files
        assert level.files == [listed[file.key] for file in level.files]

    def test_level_by_level_one_comes_to_every_file(self, serve):
        files = {**self.tree(), **self.hostile()}
        source = serve(files).source
        found, folders = [], [""]
        while folders:
            level = source.level(folders.pop())
            assert all(folder.endswith("/") for folder in level.folders)
            found += keys(level.files)
            folders += level.folders
        assert sorted(found) == sorted(files)
        assert keys(source.walk("")) == sorted(files)

    def test_many_threads_that_list_at_once_get_the_same(self, serve):
        files = self.tree()
        source = serve(files, page_size=3).source
        together = threading.Barrier(8)

        def listed(number):
            together.wait(10)
            if number % 2:
                return source.walk(self.base), source.level(self.base)
            level = source.level(self.base)
            return source.walk(self.base), level

        with ThreadPoolExecutor(8) as pool:
            first, *others = pool.map(listed, range(8))
        assert keys(first[0]) == sorted(files)
        assert all(other == first for other in others)
        assert len(set(source.notes)) == len(source.notes)

    # -- names -------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_hostile_key_is_told_as_it_is_and_can_be_fetched(self, serve, name):
        key = self.base + HOSTILE[name]
        content = name.encode()
        served = serve({key: content, self.base + "zz": b"another"})
        (file,) = served.source.walk(key)
        assert (file.key, file.size) == (key, len(content))
        if name in self.unserved:
            return
        assert fetched(served.source.address(file)) == content
        with ask(served.client, served.source, file, {}) as response:
            assert response.read(LIMIT) == content

    def test_hostile_keys_are_told_apart(self, serve):
        files = self.hostile()
        served = serve(files)
        listed = served.source.walk(self.base)
        assert keys(listed) == sorted(files)
        unserved = {self.base + HOSTILE[name] for name in self.unserved}
        for file in listed:
            if file.key not in unserved:
                assert fetched(served.source.address(file)) == files[file.key], file.key

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_hostile_prefix_finds_what_begins_with_it(self, serve, name):
        files = self.hostile()
        source = serve(files).source
        key = self.base + HOSTILE[name]
        prefix = key[: max(len(self.base) + 1, len(key) - 1)]
        assert keys(source.walk(prefix)) == sorted(k for k in files if k.startswith(prefix))
        folder = key.rpartition("/")[0] + "/" if "/" in key else ""
        level = source.level(folder)
        assert (keys(level.files), level.folders) == model_level(files, folder)

    # -- addresses ---------------------------------------------------------------------------

    @pytest.mark.parametrize("fresh", [False, True])
    def test_an_address_is_a_url_with_exactly_the_content(self, serve, fresh):
        files = self.tree()
        served = serve(files)
        for file in served.source.walk(self.base):
            url = served.source.address(file, fresh=fresh)
            parts = urlsplit(url)
            assert parts.scheme in ("http", "https")
            assert parts.hostname
            assert not parts.fragment
            assert url.isascii()
            assert url.isprintable()
            assert " " not in url
            assert fetched(url) == files[file.key]

    def test_an_address_that_is_asked_for_again_works_as_well(self, serve):
        files = self.tree()
        served = serve(files)
        (file,) = served.source.walk(self.base + "sub-02/readme")
        for fresh in (False, True, False, True, True):
            assert fetched(served.source.address(file, fresh=fresh)) == files[file.key]

    def test_a_signed_file_says_so_and_shows_its_address_nowhere_else(self, serve):
        served = serve(self.tree())
        for file in served.source.walk(self.base):
            url = served.source.address(file)
            if served.source.signed(file):
                assert set(parse_qs(urlsplit(file.url).query)) <= {"versionId"}
                assert url not in repr(file)

    def test_neither_name_nor_notes_show_a_secret(self, serve):
        served = serve(self.tree())
        for file in served.source.walk(self.base):
            served.source.address(file)
        shown = [served.source.name, *served.source.notes, repr(served.source)]
        assert served.source.name
        assert isinstance(served.source.notes, tuple)
        for secret in (*served.secrets, "Signature", "X-Amz-"):
            assert not any(secret in text for text in shown)

    # -- asking for a file -------------------------------------------------------------------

    def test_asking_brings_the_content(self, serve):
        files = self.tree()
        served = serve(files)
        for file in served.source.walk(self.base):
            with ask(served.client, served.source, file, {}) as response:
                assert response.read(LIMIT) == files[file.key]

    def test_asking_for_a_part_brings_that_part(self, serve):
        files = self.tree()
        served = serve(files)
        (file,) = served.source.walk(self.base + "sub-01/func/sub-01_bold.nii.gz")
        with ask(served.client, served.source, file, {"Range": "bytes=100-299"}) as response:
            assert response.status == 206 if file.ranges else 200
            assert (
                response.read(LIMIT) == files[file.key][100:300] if file.ranges else files[file.key]
            )

    def test_asking_what_a_file_is_like_tells_its_size_and_fetches_nothing(self, serve):
        files = self.tree()
        served = serve(files)
        for file in served.source.walk(self.base):
            headers = ask_head(served.client, served.source, file)
            assert headers["content-length"] == str(len(files[file.key])), file.key
            assert all(name == name.lower() for name in headers)
            (*_, last) = served.server_of(file.key).requests(key=file.key)
            assert last.sent <= 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 412, 416, 429, 500, 503])
    def test_a_server_that_does_not_hand_out_a_file_is_an_error_without_a_secret(
        self, serve, status
    ):
        served = serve(self.tree())
        (file,) = served.source.walk(self.base + "sub-02/readme")
        served.server_of(file.key).fault(key=file.key, status=status)
        for call in (
            lambda: ask(served.client, served.source, file, {}),
            lambda: ask_head(served.client, served.source, file),
        ):
            with pytest.raises(ServerError) as caught:
                call()
            assert isinstance(caught.value, TransientError) == (status in (429, 500, 503))
            text = f"{caught.value!r} {caught.value}"
            assert not any(secret in text for secret in (*served.secrets, "Signature", "X-Amz-"))

    def test_many_threads_that_ask_at_once_get_what_they_asked_for(self, serve):
        files = self.tree()
        served = serve(files)
        listed = served.source.walk(self.base) * 4

        def got(file):
            with ask(served.client, served.source, file, {}) as response:
                return response.read(LIMIT) == files[file.key]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(got, listed))


LISTINGS = {
    "walk": lambda source, prefix: source.walk(prefix),
    "level": lambda source, prefix: source.level(prefix),
}


class ListingContract(SourceContract):
    """What holds where a listing asks a server: never a part of the list, and never for ever."""

    def nonsense(self) -> list[bytes]:
        """Return bodies that are nearly a listing of the base, but no part of it."""
        return []

    def endless(self) -> list[list[bytes]]:
        """Return listings of the base that say that they go on, but lead nowhere.

        Each is a list of pages, which come in turn.
        """
        raise NotImplementedError

    def overlapping(self, files: Mapping[str, bytes]) -> list[bytes]:
        """Return the pages of a listing of these files in which some stand twice, and unsorted."""
        raise NotImplementedError

    @pytest.fixture(params=LISTINGS)
    def how(self, request):
        """Either way of listing."""
        return LISTINGS[request.param]

    # -- pages -------------------------------------------------------------------------------

    def test_pages_are_put_together(self, serve, how):
        files = self.tree()
        few, many = serve(files, page_size=3), serve(files)
        for prefix in ("", self.base, self.base + "sub-01/"):
            assert _told(how(few.source, prefix)) == _told(how(many.source, prefix))
        assert few.listings() > many.listings()

    def test_a_page_for_each_file_will_do(self, serve):
        files = {**self.tree(), **self.hostile()}
        served = serve(files, page_size=1)
        assert keys(served.source.walk("")) == sorted(files)
        assert served.listings() >= len(files)

    def test_what_stands_on_two_pages_is_listed_once(self, serve):
        files = self.tree()
        served = serve(files)
        pages = self.overlapping(files)
        for number, page in enumerate(pages):
            served.fault(skip=number, times=1, status=200, body=page)
        assert keys(served.source.walk("")) == sorted(files)
        assert served.listings() == len(pages)

    def test_what_stands_on_two_pages_of_a_level_is_listed_once(self, serve):
        files = {f"{self.base}{name}": name.encode() for name in "gbfcead"}
        served = serve(files)
        for number, page in enumerate(self.overlapping(files)):
            served.fault(skip=number, times=1, status=200, body=page)
        assert keys(served.source.level(self.base).files) == sorted(files)

    def test_a_listing_that_goes_on_without_saying_how_is_an_error(self, serve, how):
        served = serve(self.tree())
        for pages in self.endless():
            served.lister.clear_faults()
            served.lister.clear_log()
            for number, page in zip(range(20), itertools.cycle(pages), strict=False):
                served.fault(skip=number, times=1, status=200, body=page)
            with noted(pages):
                self.fails(served, how)
            assert served.listings() <= 2 * len(pages)

    # -- faults ------------------------------------------------------------------------------

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 451, 501])
    def test_a_refusal_is_an_error_at_once(self, serve, how, status):
        served = serve(self.tree())
        served.fault(status=status)
        self.fails(served, how)
        assert served.listings() == 1

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_what_passes_is_asked_again(self, serve, how, status):
        files = self.tree()
        served = serve(files, page_size=2)
        served.fault(skip=1, times=2, status=status)
        assert _told(how(served.source, self.base)) == _told(how(serve(files).source, self.base))

    @pytest.mark.parametrize("status", [429, 500, 503])
    @pytest.mark.parametrize("page", [0, 1])
    def test_what_does_not_pass_is_given_up(self, serve, how, status, page):
        served = serve(self.tree(), page_size=2)
        served.fault(skip=page, status=status)
        assert isinstance(self.fails(served, how), UnreachableError)
        assert served.listings() == page + served.attempts.rules.attempts

    @pytest.mark.parametrize("page", [0, 1])
    def test_a_page_that_makes_no_sense_is_an_error(self, serve, how, page):
        bodies = [
            b"",
            b" ",
            b"{}",
            b"[]",
            b"null",
            HTML_PAGE,
            b"\x00\xff\xfe" * 99,
            b"\x1f\x8b\x08" + bytes(99),
            b'<?xml version="1.0"?>',
            b'<?xml version="1.0" encoding="no-such"?><a/>',
            b'<?xml version="1.0" encoding="utf-32"?><a/>',
            b"<Error><Code>AccessDenied</Code></Error>",
            b"<a>" * 2000,
            *self.nonsense(),
        ]
        served = serve(self.tree(), page_size=2)
        for body in bodies:
            served.lister.clear_faults()
            served.fault(skip=page, status=200, body=body)
            with noted(body):
                self.fails(served, how)

    @pytest.mark.parametrize("page", [0, 1])
    @pytest.mark.parametrize(
        "cut",
        [{"reset": True}, {"cut_after": 0}, {"cut_after": 99}, {"cut_after": 99, "reset": True}],
    )
    def test_a_connection_that_breaks_is_made_again(self, serve, how, cut, page):
        files = self.tree()
        served = serve(files, page_size=2)
        served.fault(skip=page, times=1, **cut)
        assert _told(how(served.source, self.base)) == _told(how(serve(files).source, self.base))

    @pytest.mark.parametrize("page", [0, 1])
    @pytest.mark.parametrize(
        "cut",
        [{"reset": True}, {"cut_after": 0}, {"cut_after": 99}, {"cut_after": 99, "reset": True}],
    )
    def test_a_connection_that_breaks_each_time_is_an_error(self, serve, how, cut, page):
        served = serve(self.tree(), page_size=2)
        served.fault(skip=page, **cut)
        assert isinstance(self.fails(served, how), UnreachableError)

    def test_a_server_that_falls_silent_is_given_up(self, serve, how):
        network = Network(connect_timeout=3.0, read_timeout=0.05, slow_window=0.05)
        rules = RetryRules(attempts=2, base=0.005, cap=0.01)
        for silence in ({"delay": 9}, {"stall": 9, "stall_after": 50}):
            served = serve(self.tree(), network=network, rules=rules)
            served.fault(**silence)
            assert isinstance(self.fails(served, how), UnreachableError)

    def test_a_body_without_an_end_is_not_read_into_memory(self, serve, how):
        served = serve(self.tree())
        served.fault(status=200, content_length=1 << 40, body=b"<")
        self.fails(served, how)

    def fails(self, served: Served, how: Callable[[Source, str], object]) -> ServerError:
        """Assert that there is no list, but an error without a secret; return it."""
        with pytest.raises(ServerError) as caught:
            how(served.source, self.base)
        text = f"{caught.value!r} {caught.value}"
        assert not any(secret in text for secret in served.secrets)
        return caught.value

    # -- the way out -------------------------------------------------------------------------

    @pytest.mark.parametrize("hang", [{"delay": 60}, {"stall": 60, "stall_after": 99}])
    @pytest.mark.parametrize("page", [0, 1])
    def test_closing_the_client_ends_a_page_that_hangs(self, serve, how, hang, page):
        patient = Network(connect_timeout=60, read_timeout=60, slow_window=60)
        served = serve(self.tree(), page_size=2, network=patient)
        served.fault(skip=page, **hang)
        self.ends(served, how, requests=page + 1)

    def test_being_told_to_stop_ends_a_wait(self, serve, how):
        served = serve(self.tree())
        served.fault(status=503, headers={"Retry-After": "50"})
        self.ends(served, how, requests=1)

    def test_a_client_that_is_closed_lists_nothing(self, serve, how):
        served = serve(self.tree())
        served.attempts.stop.set()
        served.client.close()
        with pytest.raises(InterruptedTransferError):
            how(served.source, self.base)
        assert served.listings() == 0

    def ends(self, served: Served, how: Callable[[Source, str], object], requests: int) -> None:
        """Assert that a listing that hangs ends soon after it is told to stop."""
        ended_within(
            lambda: how(served.source, self.base), served, lambda: served.listings() == requests
        )


class SignedContract(SourceContract):
    """What holds where addresses are signed and expire: every file below the base is signed."""

    def test_a_signed_address_is_asked_for_by_get_alone(self, serve):
        served = serve(self.tree())
        for file in served.source.walk(self.base):
            assert served.source.signed(file)
            ask_head(served.client, served.source, file)
            methods = {one.method for one in served.server_of(file.key).requests(key=file.key)}
            assert methods == {"GET"}

    def test_an_address_that_expired_is_asked_for_anew_once(self, serve):
        files = self.tree()
        served = serve(files)
        (file,) = served.source.walk(self.base + "sub-02/readme")
        old = served.source.address(file)
        served.expire()
        with ask(served.client, served.source, file, {}) as response:
            assert response.read(LIMIT) == files[file.key]
        assert served.source.address(file) != old
        server = served.server_of(file.key)
        assert [one.status for one in server.requests(key=file.key)] == [403, 200]

    def test_a_file_that_stays_refused_is_not_asked_for_for_ever(self, serve):
        served = serve(self.tree())
        (file,) = served.source.walk(self.base + "sub-02/readme")
        server = served.server_of(file.key)
        server.fault(key=file.key, status=403)
        with pytest.raises(ServerError):
            ask(served.client, served.source, file, {})
        assert len(server.requests(key=file.key)) == 2


@contextlib.contextmanager
def noted(what: object) -> Iterator[None]:
    """Say with a failure what it was that was tried."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"tried: {what!r:.300}")
        raise


def ended_within(call: Callable[[], object], served: Served, begun: Callable[[], bool]) -> None:
    """Assert that a call that hangs ends soon once it is told to stop and the client is closed."""
    raised: list[Exception | None] = []

    def run() -> None:
        try:
            call()
        except (NeurofetchError, OSError) as error:
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not begun():
        assert time.monotonic() < until, "it did not begin"
        assert thread.is_alive(), f"it ended before it was told to: {raised}"
        time.sleep(0.005)
    time.sleep(0.05)
    told = time.monotonic()
    served.attempts.stop.set()
    served.client.close()
    thread.join(SOON)
    assert not thread.is_alive(), f"it did not end within {SOON} s"
    assert time.monotonic() - told < SOON
    assert isinstance(raised[0], InterruptedTransferError), raised


def _told(found: list[RemoteFile] | Level) -> object:
    """Return what is told of files and folders but their URLs: two servers have two."""
    files, folders = found if isinstance(found, Level) else (found, [])
    return [(file.key, file.size, file.etag, file.digest) for file in files], folders
