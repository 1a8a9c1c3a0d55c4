"""The table: what can go wrong, where, and what must come of it.

`HERE`: the file is here, right to the last byte, and the run is a success. `FAILS`: it is named as
failed, with what happened and what to do, and the run is no success. `EITHER`: one of the two, and
never anything else. What holds in every cell is in `test_faults.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.s3 import HTML_PAGE
from tests.faults import wire

HERE, FAILS, EITHER = "here", "fails", "either"

LISTS = ("list", "list 2", "page", "record", "manifest")
FILES = ("small", "part", "redirected", "image", "gated")
HEADS = ("head",)
PLACES = {
    "s3": ("list", "list 2", "head", "small", "part", "redirected"),
    "neurovault": ("page", "record", "image"),
    "stimuli": ("manifest", "gated"),
}
BODIES = (*LISTS, *FILES)
EVERYWHERE = (*BODIES, *HEADS)
ONCE_OF_A_KIND = tuple(place for place in EVERYWHERE if place not in ("list 2", "redirected"))
"""Where what comes before the body is all that matters, one place of a kind is enough."""
OF_S3 = ("small", "part", "redirected", "gated")
"""Files of S3: they have ETags, and a length that is known before."""


@dataclass(frozen=True)
class Row:
    """A fault.

    Parameters
    ----------
    name
        What goes wrong.
    how
        The keywords of `testbed.s3.Fault`. In a header, ``{elsewhere}`` becomes the address of a
        portal, and ``{nowhere}`` one where nobody listens.
    says
        Pattern of what the message says of it, where the file fails.
    once, always
        What must come of it where it strikes once, and where it strikes each time.
    places
        Where it can strike.
    but
        For single places, other outcomes than `once` and `always`.
    """

    name: str
    how: dict[str, object]
    says: str = r"."
    once: str = HERE
    always: str = FAILS
    places: tuple[str, ...] = EVERYWHERE
    but: dict[str, tuple[str, str]] = field(default_factory=dict)

    def outcome(self, place, often):
        """Return what must come of it at a place."""
        usual = (self.once, self.always)
        if place in HEADS:  # a server may refuse HEAD, and the file comes nevertheless
            usual = (HERE if self.once == HERE else EITHER, EITHER)
        once, always = self.but.get(place, usual)
        return once if often == "once" else always


def _act(name, act, says=r".", **how):
    return Row(name, {"act": act}, says, **how)


_LOST = r"closed|lost|reset|cut|broke|ended|stalled|no answer|bytes"
_SLOW = r"stalled|slow|no byte|too few|seconds| s\b"
_WRONG = r"bytes|length|wrong|match|damaged|gzip|whole|truncated|volume|JSON|listing|expected"

BROKEN = tuple(
    Row(f"{name} {place}", {"act": wire.broken(cut, then)}, says, places=where)
    for name, then, says in (
        ("closed", wire.CUT, _LOST),
        ("reset", wire.RESET, _LOST),
        ("silent", wire.STALL, _SLOW),
    )
    for cut, place, where in (
        ("before", "before the answer", EVERYWHERE),
        ("head", "inside the head", EVERYWHERE),
        ("body", "inside the body", BODIES),
        ("last", "before the last byte", BODIES),
    )
)
DRIPS = (
    _act("a head that drips", wire.drip_head, _SLOW),
    _act("a body that drips", wire.drip_body, _SLOW, places=BODIES),
    _act("a chunk line that drips", wire.drip_chunk_line, rf"{_SLOW}|chunk", places=BODIES),
    _act(
        "a trailer that drips", wire.drip_trailer, rf"{_SLOW}|chunk", places=BODIES, always=EITHER
    ),
)
LENGTHS = (
    _act("more than announced", wire.shorter_than_it_is, _WRONG, places=BODIES),
    _act("less than announced", wire.longer_than_it_is, rf"{_WRONG}|{_LOST}", places=BODIES),
    _act(
        "less than announced, then silence",
        wire.longer_and_silent,
        rf"{_WRONG}|{_LOST}",
        places=BODIES,
    ),
    _act("a length beyond reason", wire.beyond_reason, once=EITHER, always=EITHER, places=BODIES),
    _act("two lengths", wire.two_lengths, once=EITHER, always=EITHER, places=BODIES),
    _act("no length", wire.to_the_close, always=HERE, places=BODIES),
    _act("no length, and cut", wire.to_the_close_cut, rf"{_WRONG}|{_LOST}", places=BODIES),
    Row("nothing at all, with 200", {"body": b""}, rf"{_WRONG}|empty", places=BODIES),
    _act("in chunks", wire.chunked, always=HERE, places=BODIES),
    _act("in chunks, and cut", wire.chunked_cut, rf"{_LOST}|chunk", places=BODIES),
    _act(  # all bytes came: where their number is known, they are verified like any others
        "in chunks, without an end",
        wire.chunked_without_end,
        rf"{_LOST}|chunk",
        always=EITHER,
        places=BODIES,
    ),
    _act(
        "in chunks, and nonsense", wire.chunked_nonsense, once=EITHER, always=EITHER, places=BODIES
    ),
)
RANGES = (
    Row(
        "206 for another range",
        {"content_range": "bytes 1-2/3"},
        r"range|bytes",
        places=("part",),
    ),
    Row("206 without a range", {"content_range": ""}, r"range|bytes", places=("part",)),
    Row(
        "206 of another size",
        {"content_range": "bytes 65536-131071/999999999"},
        r"range|bytes",
        places=("part",),
    ),
    Row("200 for a range", {"ignore_range": True}, always=HERE, places=("part",)),
    Row("206 unasked", {"status": 206, "content_range": "bytes 0-9/10", "body": b"0123456789"},
        r"bytes|range|206", once=EITHER, places=("small", "redirected")),
)  # fmt: skip
ETAGS = (
    Row("another ETag", {"headers": {"ETag": f'"{"0123456789abcdef" * 2}"'}}, r"changed|ETag",
        always=EITHER, places=OF_S3),
    Row("a HEAD that lies", {"headers": {"ETag": f'"{"0" * 32}"', "Content-Length": "0"}},
        once=EITHER, always=EITHER, places=HEADS),
    Row("a HEAD of no number", {"headers": {"Content-Length": "²"}},
        once=EITHER, always=EITHER, places=HEADS),
)  # fmt: skip
STATUSES = tuple(
    Row(
        f"status {status}",
        {"status": status},
        says,
        once=once,
        places=ONCE_OF_A_KIND,
        but={
            "head": (EITHER, HERE if status == 403 else EITHER),
            "gated": (EITHER, EITHER if once == EITHER else FAILS),  # a fresh address is asked for
        }
        | but,
    )
    for status, once, says, but in (
        (401, FAILS, r"401|refused|withheld|did not give", {}),
        (403, FAILS, r"403|refused|AccessDenied|withheld|did not give", {}),
        (404, FAILS, r"404|no bucket|not there|NoSuchKey|does not have", {}),
        (407, FAILS, r"407|proxy", {}),
        (408, HERE, r"408|Time", {}),
        (412, EITHER, r"412|changed", {}),
        (416, EITHER, r"416|range|cannot be used", {}),
        (429, HERE, r"429", {}),
        (451, FAILS, r"451|legal|withheld|refused", {}),
        (500, HERE, r"500", {}),
        (503, HERE, r"503", {}),
        (507, HERE, r"507", {}),
        (520, HERE, r"520", {}),
        (530, HERE, r"530", {}),
        (299, EITHER, r".", {}),
        (600, EITHER, r".", {}),
    )
)
_AT_A_PORTAL = {"list": (EITHER, FAILS), "list 2": (EITHER, FAILS)}
"""A page in the place of a listing may be told at once: you log in, and begin again."""
STRANGERS = (
    _act("no HTTP", wire.no_http, r"HTTP|response|closed", once=EITHER),
    _act("a status of 5,000 digits", wire.odd_status, r"HTTP|response|status", once=EITHER),
    _act("a head without end", wire.endless_head, r"head|long|large|HTTP", once=EITHER),
    _act("an interim answer first", wire.informed_first, once=EITHER, always=EITHER, places=BODIES),
    Row("a portal's page",
        {"status": 200, "body": HTML_PAGE, "headers": {"Content-Type": "text/html"}},
        r"page|HTML|html|portal|bytes|listing|expected|changed|log", places=BODIES,
        but=_AT_A_PORTAL),
    Row("a redirect to itself", {"status": 302, "headers": {"Location": "#again"}},
        r"redirect|302"),
    Row("a redirect to a portal", {"status": 302, "headers": {"Location": "{elsewhere}/login"}},
        r"page|HTML|html|portal|bytes|listing|expected|changed|redirect|log",
        but=_AT_A_PORTAL),
    Row("a redirect to nowhere", {"status": 307, "headers": {"Location": "{nowhere}/x"}},
        r"connect|refused|redirect"),
    Row("a redirect to a host that is none",
        {"status": 307, "headers": {"Location": "http://[::1/x?X-Amz-Signature=abc"}},
        r"redirect|URL|host|cannot", once=EITHER),
    Row("a redirect to a file of this machine", {"status": 307, "headers": {"Location": "file:///etc/passwd"}},
        r"redirect|URL|file", once=EITHER),
    Row("a redirect without a place", {"status": 307}, r"redirect|307|Location", once=EITHER),
)  # fmt: skip
BYTES = (
    Row("a flipped byte", {"flip": 1500}, r"match|wrong|checksum|damaged|differ",
        places=("small", "redirected", "image", "gated"), but={"image": (HERE, FAILS)}),
    Row("a flipped byte of a part", {"flip": 70_000}, r"match|wrong|checksum", places=("part",)),
    _act("gzip, though unasked", wire.encoded, rf"{_WRONG}|encod", places=BODIES),
    Row("gzip on the label alone", {"headers": {"Content-Encoding": "gzip"}},
        once=HERE, always=HERE, places=FILES),
    Row("an encoding nobody knows", {"headers": {"Content-Encoding": "utf-8"}},
        once=HERE, always=HERE, places=BODIES),
)  # fmt: skip
WAITS = (
    Row("a slow start", {"delay": 0.07}, always=HERE),
    *(
        Row(f"503, Retry-After {name}", {"status": 503, "headers": {"Retry-After": text}}, r"503",
            places=("list", "small", "part", "page", "image", "manifest"),
            but={"manifest": (EITHER, FAILS)})  # it is not waited for longer than a while
        for name, text in (
            ("0", "0"),
            ("that is long past", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("of a week", "604800"),
            ("of 5,000 digits", "9" * 5000),
            ("that is no number", "²"),
            ("below zero", "-5"),
            ("that is no date", "Thu, 99 Jan 99999999999 00:00:00 GMT"),
        )
    ),
    _act("an unsolicited 408 afterwards", wire.answer_and_408, always=EITHER, places=BODIES),
    _act("an unsolicited answer afterwards", wire.answer_and_another, always=EITHER, places=BODIES,
         but={"manifest": (EITHER, EITHER)}),  # what comes next is a POST, which is sent once
)  # fmt: skip

_DRAWS = b"<Error><Code>Bad\x1b[31m</Code><Message>\x1b]0;title\x07 \xc2\x9b2J</Message></Error>"
_DIGITS = "9" * 5000


def _page(size="3", key="k", token=""):
    """Return a page of a listing of one object."""
    entry = f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>x</ETag></Contents>"
    return f"<ListBucketResult>{token}{entry}</ListBucketResult>".encode()


_BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
).encode()
HOSTILE = (
    Row("an error that draws on the terminal", {"status": 501, "body": _DRAWS}, r"501",
        once=EITHER),
    _act("a status line that draws on the terminal", wire.drawing_status, r"501", once=EITHER),
    *(
        Row(name, {"status": 200, "body": body}, once=EITHER, always=EITHER,
            places=("list",))
        for name, body in (
            ("a size of 5,000 digits", _page(_DIGITS)),
            ("a size that is no number", _page("²")),
            ("a size below zero", _page("-1")),
            ("a token that goes round", _page(token="<IsTruncated>true</IsTruncated>"
             "<NextContinuationToken>again</NextContinuationToken>")),
            ("entities without end", _BOMB + _page(key="&i;")),
            ("an entity from a file", b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
             + _page(key="&a;")),
            ("many elements in each other", b"<ListBucketResult>" + b"<a>" * 200_000),
            ("an encoding that is none", b'<?xml version="1.0" encoding="x-none"?>' + _page()),
            ("another bucket's error inside a 200", b"<Error><Code>InternalError</Code></Error>"),
        )
    ),
    *(
        Row(name, {"status": 200, "body": body}, once=EITHER, always=EITHER,
            places=("page", "record", "manifest"))
        for name, body in (
            ("numbers of 5,000 digits", f'{{"count": {_DIGITS}, "id": {_DIGITS}}}'.encode()),
            ("many lists in each other", b'{"results": ' + b"[" * 200_000),
            ("no object", b"[1, 2]"),
            ("halves of letters", b'{"results": ["\\ud800"], "id": "\\udfff", "files": "\\ud800"}'),
            ("numbers that are none", b'{"count": NaN, "id": -Infinity, "files": [{"size": NaN}]}'),
        )
    ),
)  # fmt: skip

ROWS = BROKEN + DRIPS + LENGTHS + RANGES + ETAGS + STATUSES + STRANGERS + BYTES + WAITS + HOSTILE


def cells():
    """Return every cell of the table: row, source, place, and how often it strikes."""
    return [
        (row, source, place, often)
        for source, places in PLACES.items()
        for place in places
        for row in ROWS
        if place in row.places
        for often in ("once", "always")
    ]
