"""Listings of servers that are odd, overloaded, or liars: whole, or an error that says who and why.

Pages are written by hand here, since no server that means well would write them.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from neurofetch.engine import Attempts, Bucket, Client, Network, RetryRules, S3Source
from neurofetch.errors import (
    MissingBucketError,
    NeurofetchError,
    ProtocolError,
    RefusedError,
    ServerError,
    TransientError,
    UnreachableError,
)
from neurofetch.sources.page import Page
from tests.engine_raw import RawServer
from tests.sources.contract import keys
from tests.sources.test_s3 import contents, listing

QUICK = RetryRules(attempts=3, base=0.001, cap=0.002, max_wait=0.01)
NETWORK = Network(connect_timeout=3.0, read_timeout=2.0, slow_window=2.0)


def response(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


class Lister:
    """A server whose answer to the listing of bucket ``b`` is made by a function.

    It gets the query, and the number of the request from 0.
    """

    def __init__(self, answer, **bucket):
        self._answer = answer
        self._bucket = bucket
        self.asked = []

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self.server = self._stack.enter_context(RawServer(self._respond))
        self._client = self._stack.enter_context(Client(NETWORK))
        where = {"region": None, "endpoint": self.server.url, **self._bucket}
        self.source = S3Source(self._client, Bucket("b", **where), Attempts(QUICK))
        return self

    def __exit__(self, *what):
        self._stack.__exit__(*what)

    def _respond(self, connection, head):
        target = head.split(b" ")[1].decode("ascii")
        query = {k: v[0] for k, v in parse_qs(urlsplit(target).query).items()}
        self.asked.append(query)
        said = self._answer(query, len(self.asked) - 1)
        connection.sendall(said if said.startswith(b"HTTP/") else response(said))


def walked(answer, **bucket):
    """Return the keys of a listing, and what was asked for them."""
    with Lister(answer, **bucket) as lister:
        return keys(lister.source.walk("")), lister.asked


def failed(answer, kind, **bucket):
    """Return the message of a listing that fails, and how many requests that took."""
    with Lister(answer, **bucket) as lister:
        with pytest.raises(kind) as caught:
            lister.source.walk("")
        assert type(caught.value) is kind
        return str(caught.value), len(lister.asked)


# -- more pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goes_on", ["true", "True", "TRUE", " true ", "\n\ttrue\n", "1", "yes", "", " "]
)
def test_more_pages_are_fetched_however_the_server_says_that_there_are(goes_on):
    def page(query, _):
        if query.get("continuation-token") == "n/e x&t":
            return listing("b")
        return listing("a", goes_on=goes_on, token="n/e x&amp;t")

    found, asked = walked(page)
    assert found == ["a", "b"]
    assert len(asked) == 2


@pytest.mark.parametrize("ends", ["false", "False", " FALSE ", "0", "no", ""])
def test_the_last_page_is_the_last_however_the_server_says_so(ends):
    assert walked(lambda *_: listing("a", goes_on=ends))[0] == ["a"]


@pytest.mark.parametrize("text", ["perhaps", "truefalse", "2", "-", "vrai"])
def test_a_word_that_says_neither_is_an_error(text):
    message, _ = failed(lambda *_: listing("a", goes_on=text), ProtocolError)
    assert repr(text) in message
    assert "Nothing was fetched" in message


KEYS = [f"k{n:02}" for n in range(7)]


@pytest.mark.parametrize("parameter", ["marker", "start-after"])
@pytest.mark.parametrize("named", [True, False])
def test_a_server_that_speaks_the_first_version_is_read_to_its_end(parameter, named):
    """It gives no tokens: it goes on after a key, which it names or not."""

    def page(query, _):
        at = bisect_right(KEYS, query.get(parameter, ""))
        here = KEYS[at : at + 3]
        more = at + 3 < len(KEYS)
        body = listing(*here, goes_on="true" if more else "false")
        if more and named:
            body = body.replace(b"<Name>", f"<NextMarker>{here[-1]}</NextMarker><Name>".encode())
        return body

    found, asked = walked(page)
    assert found == KEYS
    assert len(asked) == 3


def test_the_first_version_with_folders_goes_on_after_them():
    def page(query, _):
        if query.get("marker") == "sub-02/":
            return listing("z")
        return listing("a", goes_on="true", prefixes=("sub-01/", "sub-02/"))

    with Lister(page) as lister:
        level = lister.source.level("")
    assert (keys(level.files), level.folders) == (["a", "z"], ["sub-01/", "sub-02/"])


# -- pages that lead nowhere -----------------------------------------------------------------------

NOWHERE = {
    "tokens A, B, A": lambda q, _: listing(
        "a", goes_on="true", token="B" if q.get("continuation-token") == "A" else "A"
    ),
    "the same token": lambda *_: listing("a", goes_on="true", token="again"),
    "no token, and the same keys": lambda *_: listing("a", goes_on="true"),
    "no token, and no keys": lambda *_: listing(goes_on="true"),
    "empty pages, new tokens": lambda _, n: listing(goes_on="true", token=f"t{n}"),
    "the same page, new tokens": lambda _, n: listing("a", "b", goes_on="true", token=f"t{n}"),
    "two pages in turn, new tokens": lambda _, n: listing(
        "ab"[n % 2], goes_on="true", token=f"t{n}"
    ),
    "back to the first page, by a key": lambda q, _: listing(
        "c" if q.get("marker") == "b" else "b", goes_on="true"
    ),
    "folders only, new tokens": lambda _, n: listing(
        goes_on="true", token=f"t{n}", prefixes=("a/",)
    ),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_pages_that_lead_nowhere_are_bounded_and_told(name, monkeypatch):
    monkeypatch.setattr("neurofetch.sources.chain._IDLE_PAGES", 20)
    with Lister(NOWHERE[name]) as lister:
        with pytest.raises(ProtocolError) as caught:
            lister.source.level("") if "folders" in name else lister.source.walk("")
        assert len(lister.asked) <= 30
        assert lister.server.url in str(caught.value)
    assert "Nothing was fetched" in str(caught.value)


def test_some_empty_pages_are_no_error():
    """S3 sends them where many objects were deleted."""

    def page(_, n):
        return listing("a", "z") if n == 200 else listing(goes_on="true", token=f"t{n}")

    assert walked(page)[0] == ["a", "z"]


# -- a server under load ---------------------------------------------------------------------------

WHOLE = listing("a", "b")


def error(code, words="What happened.", **more):
    rest = "".join(f"<{tag}>{text}</{tag}>" for tag, text in more.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{words}</Message>{rest}</Error>"
    ).encode()


PASSING = {
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "cut in a tag": WHOLE[:-3],
    "cut in the name of the root": b"<ListBu",
    "only a declaration": b'<?xml version="1.0" encoding="UTF-8"?>\n',
    "a cut declaration": b"<?xm",
    "cut in a character": listing("é").replace(b"%C3%A9", b"\xc3\xa9").partition(b"\xa9")[0],
    "empty": b"",
    "white space": b" \n ",
    "InternalError": error("InternalError"),
    "SlowDown": error("SlowDown"),
    "ServiceUnavailable": error("ServiceUnavailable"),
    "without a declaration": b"<Error><Code>SlowDown</Code></Error>",
    "a code of its own": error("XOutOfSorts"),
    "after white space that kept the connection": b"\n   \n" + error("InternalError")[39:],
}


@pytest.mark.parametrize("name", PASSING)
def test_a_listing_that_is_cut_or_an_error_is_asked_for_again(name):
    def page(query, n):
        if n == 0:
            return listing("a", goes_on="true", token="2")
        assert query["continuation-token"] == "2"
        return PASSING[name] if n == 1 else listing("b")

    assert walked(page)[0] == ["a", "b"]


@pytest.mark.parametrize("name", PASSING)
def test_a_listing_that_stays_cut_is_an_error(name):
    message, requests = failed(lambda *_: PASSING[name], UnreachableError)
    assert requests == QUICK.attempts
    assert "Nothing was fetched" in message


@pytest.mark.parametrize("status", ["500 X", "503 Slow Down", "520 X", "530 X", "509 X", "599 X"])
def test_any_status_that_passes_is_asked_again(status):
    assert walked(lambda _, n: response(b"", status) if n == 0 else WHOLE)[0] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("400 Bad Request", "RequestTimeout"),
        ("403 Forbidden", "RequestThrottled"),
        ("409 Conflict", "OperationAborted"),
        ("400 Bad Request", "503 Slow Down"),
        ("400 Bad Request", "ThrottlingException"),
    ],
)
def test_a_code_that_passes_is_asked_again_whatever_the_status(status, code):
    assert walked(lambda _, n: response(error(code), status) if n == 0 else WHOLE)[0] == ["a", "b"]


def test_what_is_refused_inside_of_a_200_is_refused():
    message, requests = failed(lambda *_: error("AccessDenied", "Not for you."), RefusedError)
    assert "AccessDenied instead of a listing (Not for you.)" in message
    assert requests == 1


def test_a_bucket_that_is_missing_inside_of_a_200_is_missing():
    assert failed(lambda *_: error("NoSuchBucket"), MissingBucketError)[1] == 1


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "InvalidArgument", "NotImplemented"])
def test_what_does_not_pass_is_told_at_once(code):
    message, requests = failed(lambda *_: response(error(code), "400 X"), ProtocolError)
    assert code in message
    assert requests == 1


# -- who answered ----------------------------------------------------------------------------------

PORTAL = (
    b"<!DOCTYPE html>\n<html lang=en><head><title>\n Welcome &amp; log in \x1b[31m</title></head>"
    b"<body>Please log in</body></html>"
)
PAGES = {
    "a page": PORTAL,
    "after a comment": b"<!-- v1 -->\n" + PORTAL,
    "html in capitals": b"<HTML><HEAD><TITLE>Welcome &amp; log in </TITLE></HEAD></HTML>",
    "a cut page": PORTAL[:120],
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_instead_of_a_listing_says_who_gave_it_and_what_to_do(name):
    said = response(PAGES[name], headers="Server: portal/1.0\xad\r\n")
    message, requests = failed(lambda *_: said, ProtocolError)
    assert "an HTML page titled 'Welcome & log in" in message
    assert "portal/1.0" in message
    assert "log in to the network" in message
    assert "Nothing was fetched" in message
    assert message.isprintable()  # nothing that a terminal would act on
    assert requests == 1


def test_a_page_that_a_redirect_led_to_is_named_by_its_host():
    with RawServer(response(PORTAL)) as portal:
        moved = response(b"", "302 Found", f"Location: {portal.url}/login?back=secret\r\n")
        message, _ = failed(lambda *_: moved, ProtocolError)
    assert f"{portal.url}/login" in message
    assert "secret" not in message


@pytest.mark.parametrize("status", ["403 Forbidden", "401 X", "404 Not Found", "418 X", "511 X"])
def test_a_page_with_another_status_says_who_gave_it(status):
    message, _ = failed_somehow(response(PORTAL, status))
    assert "Welcome & log in" in message


def failed_somehow(said):
    with Lister(lambda *_: said) as lister:
        with pytest.raises(ServerError) as caught:
            lister.source.walk("")
        return str(caught.value), len(lister.asked)


def test_the_proxy_that_wants_a_password_is_named():
    message, requests = failed_somehow(response(b"", "407 Proxy Authentication Required"))
    assert "he proxy " in message
    assert "https_proxy=http://" in message
    assert requests == 1


@pytest.mark.parametrize(
    ("status", "headers", "body", "told"),
    [
        ("301 X", "x-amz-bucket-region: eu-west-1\r\n", error("PermanentRedirect"), "eu-west-1"),
        (
            "301 X",
            "",
            error("PermanentRedirect", Endpoint="b.s3.eu-west-1.amazonaws.com"),
            "eu-west-1",
        ),
        ("301 X", "", error("PermanentRedirect", Endpoint="b.s3.example.edu"), "s3.example.edu"),
        ("400 X", "", error("AuthorizationHeaderMalformed", Region="eu-west-1"), "eu-west-1"),
    ],
)
def test_a_bucket_that_is_elsewhere_says_where(status, headers, body, told):
    said = response(body, status, headers)
    message, requests = failed(lambda *_: said, ProtocolError)
    assert told in message
    assert "AWS_ENDPOINT_URL" in message
    assert requests == 1


# -- one odd entry ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", ["", "-1", "1.5", "²", "٣", "1e3", "0x10", "9" * 19, "9" * 5000, "many", "NaN"]
)
def test_a_size_that_is_none_is_not_known_and_does_not_take_the_others_along(size):
    with Lister(lambda *_: listing(contents("a", size), "b")) as lister:
        first, second = lister.source.walk("")
    assert (first.key, first.size) == ("a", None)
    assert (second.key, second.size) == ("b", 1)


def test_a_size_with_space_around_it_is_a_size():
    with Lister(lambda *_: listing(contents("a", " 12\n"))) as lister:
        assert lister.source.walk("")[0].size == 12


@pytest.mark.parametrize(
    ("etag", "told"),
    [
        ("→", "\xe2\x86\x92"),  # byte by byte, as a header would bring it
        ("é", "\xc3\xa9"),
        ("a\nb", None),
        ("\x7f", None),
        ("", None),
        ('&quot;W/"x"', 'W/"x'),
        ("abc-2", "abc-2"),
    ],
)
def test_an_etag_is_what_a_header_would_hold_or_none(etag, told):
    page = listing(contents("a", etag=etag), "b")
    with Lister(lambda *_: page) as lister:
        first, second = lister.source.walk("")
    assert first.etag == (told if told is None or told.isprintable() else None)
    assert second.etag == "0" * 32


@pytest.mark.parametrize(
    "odd", [b"x\x01y", b"x\x1by", b"x\xffy", b"x&#1;y", b"x&#x1F;y", b"x&#xFFFE;y", b"x&#55555555;"]
)
def test_a_key_that_xml_cannot_hold_does_not_take_the_others_along(odd):
    """As a server writes it that does not quote keys, although it was asked to."""
    page = listing("a", "KEY", "z").replace(b"<EncodingType>url</EncodingType>", b"")
    found, _ = walked(lambda *_: page.replace(b"KEY", odd))
    assert len(found) == 3
    assert {found[0], found[-1]} >= {"a"}
    assert any("\ufffd" in key for key in found)


# -- bombs, and anything else ----------------------------------------------------------------------

LAUGHS = b"<!DOCTYPE x [<!ENTITY a0 'ha'>" + b"".join(
    b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12)
)
BOMBS = {
    "laughs": b'<?xml version="1.0"?>' + LAUGHS + b"]><ListBucketResult>&a11;</ListBucketResult>",
    "laughs after a comment": b"<!-- -->" + LAUGHS + b"]><ListBucketResult>&a9;</ListBucketResult>",
    "a file of this computer": (
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        b"<ListBucketResult><Name>&f;</Name></ListBucketResult>"
    ),
    "UTF-16": ('<?xml version="1.0" encoding="UTF-16"?><ListBucketResult/>').encode("utf-16"),
    "an unknown encoding": b'<?xml version="1.0" encoding="x-klingon"?>' + WHOLE,
    "an encoding of two bytes": b'<?xml version="1.0" encoding="utf-32"?>' + WHOLE,
    "many tags": b"<ListBucketResult>" + b"<a/>" * 1_300_000,
    "many attributes": (
        b"<ListBucketResult " + b" ".join(b'a%x=""' % n for n in range(1_210_000)) + b"/>"
    ),
    "NUL": b"\0" * 1000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_no_listing(name):
    with pytest.raises(ProtocolError, match=r"http://here/b/: .*listing.* Nothing was fetched"):
        Page.parse(BOMBS[name], "http://here/b/")


NAMESPACES = {
    "none": ("", ""),
    "that of S3": (' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ""),
    "none inside": (' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns=""'),
    "another inside": (' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="urn:other"'),
    "only inside": ("", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'),
}


@pytest.mark.parametrize(
    "rows",
    [
        "<Contents><Key>a</Key><Size>1</Size></Contents>",
        "<x:Contents><Key>a</Key><Size>1</Size></x:Contents>",
        contents("a"),
    ],
)
def test_no_entry_is_passed_over_that_lacks_the_prefix_of_the_others(rows):
    page = (
        '<x:ListBucketResult xmlns:x="urn:other"><x:IsTruncated>false</x:IsTruncated>'
        f"{rows}</x:ListBucketResult>"
    )
    assert walked(lambda *_: response(page.encode()))[0] == ["a"]


@pytest.mark.parametrize("name", NAMESPACES)
def test_no_entry_is_passed_over_for_its_namespace(name):
    outside, inside = NAMESPACES[name]
    body = (
        f"<ListBucketResult{outside}><IsTruncated>false</IsTruncated>"
        f"<Contents{inside}><Key>a</Key><Size>1</Size></Contents>"
        f"<Contents><Key>b</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    with Lister(lambda *_: response(body.encode())) as lister:
        assert [file.key for file in lister.source.walk("")] == ["a", "b"]


ODD_PAGES = {
    "JSON": b'{"contents": []}',
    "another root": b"<listbucketresult/>",
    "something after it": WHOLE + b"junk",
    "a refusal": b"<Error><Code>AccessDenied</Code></Error>",
    "a cut page": WHOLE[:40],
    "nothing": b"",
}


@pytest.mark.parametrize("name", ODD_PAGES)
def test_what_was_done_and_what_to_do_is_said_once(name):
    """And in whole sentences."""
    with Lister(lambda *_: response(ODD_PAGES[name])) as lister, pytest.raises(ServerError) as told:
        lister.source.walk("")
    text = str(told.value)
    assert text.count("Nothing was fetched. ") == 1
    assert text.count("Check ") + text.count("check ") == 1
    assert ".;" not in text


def test_a_listing_may_be_deep_and_say_nothing():
    deep = b"<a>" * 100_000 + b"</a>" * 100_000
    page = Page.parse(b"<ListBucketResult>" + deep + b"</ListBucketResult>", "http://here/b/")
    assert list(page.names()) == []


SEED = listing(
    contents("sub-01/a.nii.gz", 12),
    contents("b c/é", 0, "abc-2"),
    goes_on="true",
    token="next",
    prefixes=("sub-02/",),
)
PIECES = [
    *re.findall(rb"<[^>]+>|[^<]+", SEED),
    b"&amp;",
    b"&#0;",
    b"&#x110000;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"<!DOCTYPE x>",
    b"<NextMarker>",
    b"</NextMarker>",
    b"\xff",
    b"\0",
    b"%",
    b"%ff",
    b"\xc2\xb2",
    b"9" * 5000,
    b"xmlns:a='b'",
    b"<?xml version='1.0' encoding='utf-7'?>",
]


@st.composite
def mutated(draw):
    """A page, with some of its pieces gone, doubled, or replaced by others, or cut."""
    pieces = re.findall(rb"<[^>]+>|[^<]+", SEED)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(pieces) - 1))
        new = draw(st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=2))
        pieces[at : at + draw(st.integers(0, 2))] = new or [b""]
    body = b"".join(pieces)
    return body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(mutated() | st.binary(max_size=200))
@example(b"<?xml version='1.0' encoding='utf-7'?><ListBucketResult/>")
def test_any_page_is_a_page_or_an_error_of_ours(body):
    client = Client(NETWORK)
    source = S3Source(client, Bucket("b", None, "http://here"), Attempts(QUICK))
    try:
        page = Page.parse(body, "http://here/b/")
        for file in source._files(page, ""):
            assert file.size is None or file.size >= 0
            assert file.etag is None or b"\n" not in file.etag.encode("latin-1")
            assert file.url.isascii()
        source._folders(page, "")
        place = source._chain("", "").next_place(page)
        assert place.isascii()
        assert "\n" not in place
        page.last_name()
    except NeurofetchError as problem:
        assert isinstance(problem, ProtocolError | TransientError), problem  # noqa: PT017


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(mutated(), min_size=1, max_size=4))
def test_any_listing_is_whole_or_an_error_of_ours(bodies):
    with Lister(lambda _, n: bodies[n % len(bodies)]) as lister:
        for how in (lister.source.walk, lister.source.level):
            with contextlib.suppress(ServerError):
                how("")
