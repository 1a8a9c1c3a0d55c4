"""One listing from several places at once is the listing, whatever the server does."""

from __future__ import annotations

import contextlib
import threading
from bisect import bisect_right

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurofetch.engine import Attempts, Bucket, Client, S3Source
from neurofetch.errors import ProtocolError, UnreachableError
from neurofetch.model import RemoteFile
from neurofetch.sources.spread import DisorderError, Spread, Stride
from testbed.s3 import S3Server
from tests.sources.contract import NETWORK, QUICK, Served, ended_within, keys
from tests.sources.test_s3 import LISTING, listing
from tests.sources.test_s3_listings import Lister

FOLDERS = {
    f"ds/sub-{subject:02}/ses-{session}/f{number:03}": b""
    for subject in range(12)
    for session in range(3)
    for number in range(9)
}
ONE_LARGE = {
    **{f"ds/derivatives/sub-{n // 10:02}/f{n:03}": b"" for n in range(300)},
    **{f"ds/sub-{n}/a": b"" for n in range(9)},
}
FLAT = {f"ds/f{n:03}": b"" for n in range(200)}
DEEP = {f"ds/a/b/c/d/e{n // 20:02}/f{n:03}": b"" for n in range(300)}
LAST_LARGE = {
    **{f"ds/s{n:03}/a": b"" for n in range(99)},
    **{f"ds/z/{n:03}/b": b"" for n in range(200)},
}
TREES = {
    "folders": FOLDERS,
    "one large": ONE_LARGE,
    "flat": FLAT,
    "deep": DEEP,
    "last large": LAST_LARGE,
}


@contextlib.contextmanager
def served(files, page_size=10, **how):
    with (
        S3Server({"b": files}, page_size=page_size, **how) as s3,
        Client(NETWORK) as client,
    ):
        attempts = Attempts(QUICK)
        source = S3Source(client, Bucket("b", "us-west-2", s3.url), attempts, base="ds/")
        yield Served(source, client, attempts, {"*": s3}, s3, LISTING)


def begun(server):
    """How many listings began after a name."""
    asked = [one.query for one in server.lister.requests(**LISTING)]
    return sum("start-after" in query and "delimiter" not in query for query in asked)


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("prefix", ["", "ds/", "d"])
def test_a_large_listing_is_the_same_from_several_places(name, prefix):
    with served(TREES[name]) as one:
        assert keys(one.source.walk(prefix)) == sorted(TREES[name])
        # hints are as long as a page: of 10 names here, of 1,000 elsewhere
        assert (begun(one) > 1) == (name in ("folders", "one large", "deep"))
        assert one.listings() <= 1.6 * len(TREES[name]) / 10 + 8


@pytest.mark.parametrize(("files", "requests"), [(9, 1), (10, 1), (11, 2), (40, 4)])
def test_a_small_listing_takes_no_request_more(files, requests):
    """However many folders it has."""
    with served({f"ds/sub-{n:02}/a": b"" for n in range(files)}) as one:
        assert len(one.source.walk("ds/")) == files
        assert one.listings() == requests


def test_what_is_under_way_at_once_is_bounded(monkeypatch):
    monkeypatch.setattr("neurofetch.sources.s3._AT_ONCE", 3)
    at_once = [0, 0]
    lock = threading.Lock()
    with served(FOLDERS, latency=0.002) as one:
        send = one.client.send

        def counted(request):
            with lock:
                at_once[0] += 1
                at_once[1] = max(at_once)
            try:
                return send(request)
            finally:
                with lock:
                    at_once[0] -= 1

        monkeypatch.setattr(one.client, "send", counted)
        assert len(one.source.walk("")) == len(FOLDERS)
    assert 1 < at_once[1] <= 4


def test_a_page_that_fails_for_a_while_costs_only_itself():
    with served(FOLDERS) as calm, served(FOLDERS) as shaken:
        assert keys(calm.source.walk("")) == sorted(FOLDERS)
        for skip in (3, 9, 17, 30):
            shaken.fault(skip=skip, times=1, status=503)
        assert keys(shaken.source.walk("")) == sorted(FOLDERS)
        assert shaken.listings() <= calm.listings() + 4 + 6  # stretches may be cut elsewhere


@pytest.mark.parametrize("skip", range(4, 30, 5))
@pytest.mark.parametrize("status", [403, 503])
def test_a_page_that_fails_for_good_is_an_error_wherever_it_is(skip, status):
    with served(FOLDERS) as one:
        one.fault(skip=skip, status=status)
        with pytest.raises((UnreachableError, ProtocolError, OSError)):
            one.source.walk("")


def test_being_told_to_stop_ends_all_places():
    with served(FOLDERS) as one:
        one.fault(skip=12, delay=60)
        ended_within(lambda: one.source.walk(""), one, lambda: one.listings() >= 13)


@pytest.mark.parametrize("left", range(0, 40, 7))
def test_hints_that_fail_are_no_failure(left):
    with served(FOLDERS) as one:
        ahead = one.source._folders_ahead
        calls = []

        def hint(folder, after):
            calls.append(folder)
            if len(calls) > left % 3:
                raise ProtocolError("no delimiters here")
            return ahead(folder, after)

        one.source._folders_ahead = hint
        assert keys(one.source.walk("")) == sorted(FOLDERS)
        assert calls


# -- servers that lie ------------------------------------------------------------------------------

NAMES = sorted(FOLDERS)
LIES = {
    "does not know start-after": lambda _query, _names: "",
    "takes start-after for an index": lambda q, names: (
        q.get("start-after", "") and names[len(q["start-after"])]
    ),
    "begins a little after": lambda q, names: (
        q.get("start-after", "")
        and names[min(len(names) - 1, bisect_right(names, q["start-after"]) + 3)]
    ),
    "begins a little before": lambda q, names: (
        q.get("start-after", "") and names[max(0, bisect_right(names, q["start-after"]) - 3)]
    ),
    "honest": lambda q, _names: q.get("start-after", ""),
}
ORDERS = {
    "of letters": sorted(NAMES),
    "of letters, reversed": sorted(NAMES, reverse=True),
    "of length of folders": sorted(NAMES, key=lambda name: (name[4:6][::-1], name)),
    "shuffled": sorted(NAMES, key=lambda name: hash((name, 7))),
    "one out of place": [*NAMES[:200], *NAMES[201:], NAMES[200]],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("lie", LIES)
def test_whatever_a_server_makes_of_a_place_the_listing_is_whole(lie, order):
    """It may list in an order of its own, and begin where it likes: its tokens are good."""
    names = ORDERS[order]

    def page(query, _):
        if "delimiter" in query:
            prefix = query.get("prefix", "")
            below = {n[: n.index("/", len(prefix)) + 1] for n in names if "/" in n[len(prefix) :]}
            return listing(prefixes=sorted(below))
        if token := query.get("continuation-token"):
            at = int(token)
        else:
            after = LIES[lie](query, names)
            at = names.index(after) + 1 if after in names else bisect_right(NAMES, after)
        more = at + 10 < len(names)
        return listing(
            *names[at : at + 10], goes_on="true" if more else "false", token=str(at + 10)
        )

    with Lister(page) as lister:
        assert keys(lister.source.walk("")) == NAMES
        assert len(lister.asked) < 6 * len(NAMES) / 10


def test_a_token_that_has_expired_begins_nothing_anew():
    asked = []

    def page(query, _):
        asked.append(query)
        if token := query.get("continuation-token"):
            if asked.count(query) or len(asked) == 3:
                return (
                    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 43\r\n\r\n"
                    b"<Error><Code>InvalidArgument</Code></Error>"
                )
            at = int(token)
        else:
            at = bisect_right(NAMES, query.get("start-after", ""))
        more = at + 100 < len(NAMES)
        return listing(
            *NAMES[at : at + 100], goes_on="true" if more else "false", token=str(at + 100)
        )

    with Lister(page) as lister:
        assert keys(lister.source.walk("")) == NAMES
    assert any(query.get("start-after") in NAMES for query in asked)
    assert (
        sum(not query.get("start-after") and "continuation-token" not in query for query in asked)
        == 1
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("expires", [1, 2, 5])
def test_a_token_that_has_expired_loses_nothing_whatever_the_order(order, expires):
    """A name tells where it was only where names come in order: so this server understands it."""
    spent = []

    def page(query, _):
        after, _, at = query.get("continuation-token", "").partition("|")
        if at and int(at) == 100 * expires and not spent:
            spent.append(at)
            return b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
        after = after or query.get("start-after", "")
        names = [name for name in ORDERS[order] if name > after]
        first = int(at or 0)
        more = first + 100 < len(names)
        token = f"{after}|{first + 100}"
        return listing(
            *names[first : first + 100], goes_on="true" if more else "false", token=token
        )

    with Lister(page) as lister:
        assert keys(lister.source.walk("")) == NAMES
    assert spent or expires * 100 >= len(NAMES)


def test_a_token_that_has_expired_before_any_name_came_loses_no_place():
    """Where much was deleted, pages are empty."""

    def page(query, number):
        if query.get("continuation-token"):
            return b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
        assert query["start-after"] == "b"
        return listing("c") if number else listing(goes_on="true", token="t")

    with Lister(page) as lister:
        pages = list(lister.source._walked("", "b"))
    assert [file.key for page in pages for file in page.files] == ["c"]


# -- the seam, without a server --------------------------------------------------------------------


@st.composite
def worlds(draw):
    """Keys, in what order they are listed, and what a server says that lies ahead."""
    letters = st.text("ab/", min_size=1, max_size=6)
    names = draw(st.lists(letters, unique=True, min_size=1, max_size=60))
    order = draw(st.sampled_from(["sorted", "sorted", "any"]))
    names = sorted(names) if order == "sorted" else names
    hints = draw(st.lists(letters, max_size=12))
    slips = draw(st.lists(st.integers(-2, 2), min_size=1, max_size=4))
    return names, hints, slips, draw(st.integers(1, 4))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_any_hint_and_any_order_make_the_same_list(world):
    names, hints, slips, size = world

    def walk(after):
        at = bisect_right(names, after) if after else 0
        if after:
            at = min(max(0, at + slips[len(after) % len(slips)]), len(names))
        for start in range(at, len(names), size):
            some = names[start : start + size]
            page = [RemoteFile(name, "", 1) for name in some]
            yield Stride(some, page, start + size < len(names))

    def ahead(folder, after):
        return sorted(hint for hint in hints if hint > after)

    try:
        found = Spread(walk, ahead, "", threading.Semaphore(4)).files()
    except DisorderError:
        found = Spread(walk, ahead, "", threading.Semaphore(0)).files()
    assert keys(found) == sorted(names)
