"""A local NeuroVault (and the one Neurosynth address that goes with it), faithful to the real one.

Paging, redirects, stray headers and errors follow the server's observed behaviour; what it does
badly now and then is a switch in :class:`Habits` or a scripted fault::

    with NeuroVault() as server:
        server.vault.add_collection(1952, images=range(10, 15))
        server.fault(key="/api/images/12/*", times=1, status=503, headers={"Retry-After": "1"})
        server.fault(key="/media/*map_13.nii.gz", status=200, body=html_page(200, "Sorry"))
        ...  # a client at server.api_url
        assert len(server.requests(key="/api/images/12/*")) == 2

The `key` of a request, in the log and in a fault's glob, is its path and query, percent-decoded.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus, urlencode

from testbed._blobs import Bytes
from testbed._faults import Reply, Request, phrase
from testbed._wire import WireServer
from testbed.neurovault_data import HOME, Record, Vault

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Mapping

LAST_MODIFIED = "Mon, 20 Jul 2020 22:14:26 GMT"
NEUROSYNTH_LIMIT = 4 << 20  # bytes of a map; above it the answer is 413
_WORDS = (
    "motor", "language", "memory", "faces", "reward", "auditory", "visual", "pain",
    "attention", "working memory", "anterior cingulate", "hand", "speech", "fear",
)  # fmt: skip


@dataclass
class Habits:
    """How this server behaves; may be changed while it runs.

    Attributes
    ----------
    page_cap
        Most rows of one page, whatever `limit` asks: 1000, 500 or 100 by the report you believe.
    count_surplus
        How many rows `count` announces that do not exist.
    repeat_rows, skip_rows
        Rows of an unordered list that a page repeats from the page before, or leaves out.
    unordered_collections
        Whether a collection's own images are paged as carelessly as the two big lists.
    broken, broken_collections
        Ids of images, of collections, whose record makes each page that holds it a 500.
    honour_filters
        Whether `name`, `DOI` and `owner` filter the list of collections.
    stray_encoding
        Whether media carry ``Content-Encoding: utf-8``.
    neurosynth_up
        Whether Neurosynth answers; else it is a 502 of HTML.
    wordless
        Ids of images for which Neurosynth knows no word.
    """

    page_cap: int = 1000
    count_surplus: int = 0
    repeat_rows: int = 0
    skip_rows: int = 0
    unordered_collections: bool = False
    broken: Collection[int] = ()
    broken_collections: Collection[int] = ()
    honour_filters: bool = False
    stray_encoding: bool = True
    neurosynth_up: bool = True
    wordless: Collection[int] = ()


@dataclass
class _Page:
    path: str
    query: Mapping[str, str]
    rows: list[Record]
    careless: bool = False
    limit: int = field(init=False)
    offset: int = field(init=False)

    def __post_init__(self) -> None:
        self.limit = _number(self.query.get("limit"), 1) or 100
        self.offset = _number(self.query.get("offset"), 0) or 0

    def link(self, base: str, offset: int) -> str:
        """Return the address of another page, its query sorted by name."""
        query = {**self.query, "limit": str(self.limit), "offset": str(offset)}
        if offset <= 0:
            query.pop("offset")
        return f"{base}{self.path}?{urlencode(sorted(query.items()))}"


class NeuroVault(WireServer):
    """The server; fill `vault`, tune `habits`, script a `fault`, read the log by `requests`.

    Parameters
    ----------
    vault
        What it holds; empty by default.
    habits
        How it behaves.
    https_url
        Scheme and host to which every request is redirected, as the real host does on port 80.
    public_url
        Scheme and host inside the records; by default this server's own ``http://`` address.
    latency, tls
        See :class:`~testbed._wire.WireServer`.

    Examples
    --------
    >>> import json, urllib.request
    >>> with NeuroVault() as server:
    ...     server.vault.add_collection(1952, images=range(3))
    ...     with urllib.request.urlopen(server.api_url + "collections/1952/images/") as answer:
    ...         json.load(answer)["count"]
    3
    """

    def __init__(
        self,
        vault: Vault | None = None,
        habits: Habits | None = None,
        *,
        https_url: str | None = None,
        public_url: str | None = None,
        latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(latency=latency, tls=tls)
        self.vault = vault or Vault()
        self.habits = habits or Habits()
        self.https_url = https_url
        self.public_url = public_url or self.url.replace("https://", "http://")

    @property
    def api_url(self) -> str:
        """The NeuroVault API's base, with the slash at its end."""
        return f"{self.url}/api/"

    @property
    def neurosynth_url(self) -> str:
        """The Neurosynth API's base, with the slash at its end."""
        return f"{self.url}/neurosynth/api/"

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        """Return method, no bucket, and as key the path with its query."""
        return method, "", path + _tail(query, decoded=True)

    def failure(self, status: int) -> Reply:
        """Return the front end's page for a status."""
        return html(status)

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        path = _path(request)
        if self.https_url is not None:
            target = quote(path) + _tail(request.query)
            return _reply(301, b"", Location=self.https_url + target)
        return self._route(request, path)

    def _route(self, request: Request, path: str) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return _detail(405, f'Method "{request.method}" not allowed.')
        if path.startswith("/media/"):
            return self._media(path)
        if path.rstrip("/") == "/neurosynth/api/decode":
            return self._words(request)
        if not path.startswith("/api/"):
            return html(404)
        if not path.endswith("/"):  # the real one answers so before looking anything up
            return _reply(301, b"", Location=f"{quote(path)}/{_tail(request.query)}")
        return self._api(request)

    def _api(self, request: Request) -> Reply:
        found = re.fullmatch(
            r"/api/(collections|images)/(?:(?:([A-Z]{8})|(?:([A-Z]{8})-)?(\d+))/(images/)?)?",
            _path(request),
        )
        if found is None or (found[1] == "images" and (found[2] or found[5])):
            return html(404)
        if found[1] == "collections" and found[3]:
            return html(404)
        if found[2] is None and found[4] is None:
            return self._list(request, found[1])
        own = self.vault.tokens.get(found[2] or found[3] or "")
        if found[1] == "images":
            return self._image(int(found[4]), own)
        number = own if found[2] else int(found[4])
        return self._collection(request, number, images=bool(found[5]), by_token=bool(found[2]))

    def _collection(
        self, request: Request, number: int | None, *, images: bool, by_token: bool
    ) -> Reply:
        collection = self.vault.collections.get(number or 0)
        if number is None or collection is None:
            return _detail(404, "Not found.")
        if collection["private"] and not by_token:
            return _detail(403, "You do not have permission to perform this action.")
        if images:
            rows = self.vault.images_of(number)
            return self._page(self._request_page(request, rows, self.habits.unordered_collections))
        return self._record(collection)

    def _list(self, request: Request, kind: str) -> Reply:
        if kind == "images":
            rows = [r for r in self.vault.images.values() if not self._hidden(r)]
            return self._page(self._request_page(request, rows, careless=True))
        rows = [r for r in self.vault.collections.values() if not r["private"]]
        if self.habits.honour_filters:
            wanted = {k: v for k, v in request.query.items() if k in ("name", "DOI", "owner")}
            rows = [r for r in rows if all(str(r.get(k)) == v for k, v in wanted.items())]
        return self._page(self._request_page(request, rows, careless=True))

    def _request_page(self, request: Request, rows: list[Record], careless: bool) -> _Page:
        page = _Page(_path(request), request.query, rows, careless)
        page.limit = min(page.limit, self.habits.page_cap)
        return page

    def _page(self, page: _Page) -> Reply:
        start, stop = page.offset, page.offset + page.limit
        if page.careless and page.offset:
            start = max(0, start - self.habits.repeat_rows) + self.habits.skip_rows
            stop -= self.habits.repeat_rows
        results = page.rows[start:stop]
        if any(map(self._breaks, results)):
            return html(500, "Server Error (500)")
        count = len(page.rows) + self.habits.count_surplus
        after, before = page.offset + page.limit, page.offset - page.limit
        return self._json(
            {
                "count": count,
                "next": page.link(self.public_url, after) if after < count else None,
                "previous": page.link(self.public_url, before) if page.offset > 0 else None,
                "results": results,
            }
        )

    def _image(self, number: int, collection: int | None) -> Reply:
        record = self.vault.images.get(number)
        if record is None or (self._hidden(record) and record["collection_id"] != collection):
            return _detail(404, "Not found.")
        return self._record(record)

    def _record(self, record: Record) -> Reply:
        if self._breaks(record):
            return html(500, "Server Error (500)")
        return self._json(record)

    def _breaks(self, record: Record) -> bool:
        habits = self.habits
        broken = habits.broken if "collection_id" in record else habits.broken_collections
        return record["id"] in broken

    def _hidden(self, record: Record) -> bool:
        return bool(self.vault.collections[record["collection_id"]]["private"])

    def _json(self, value: Any) -> Reply:
        text = json.dumps(value).replace(HOME, self.public_url)
        return _reply(200, text.encode(), "application/json")

    def _media(self, path: str) -> Reply:
        body = self.vault.body(path)
        if body is None:
            return html(404)
        headers = {"Last_Modified": LAST_MODIFIED}
        if self.habits.stray_encoding:
            headers["Content_Encoding"] = "utf-8"
        # a Range header changes nothing here
        return _reply(200, body, "application/octet-stream", **headers)

    def _words(self, request: Request) -> Reply:
        if not self.habits.neurosynth_up:
            return html(502)
        number = _number(request.query.get("neurovault"), 1)
        record = self.vault.images.get(number or 0)
        if record is None:
            return html(404)
        if record["file_size"] > NEUROSYNTH_LIMIT:
            return html(413)
        said = self.vault.words.get(int(record["id"])) or word_weights(int(record["id"]))
        values = {} if number in self.habits.wordless else said
        image = f"{HOME}/images/{number}/"
        return self._json({"data": {"image": image, "values": values}})


def word_weights(image_id: int) -> dict[str, float]:
    """Return the words that the local Neurosynth finds for one image."""
    rng = random.Random(image_id)
    words = rng.sample(_WORDS, k=rng.randint(4, 9))
    return {word: round(rng.uniform(-0.4, 0.6), 4) for word in words}


def _number(text: str | None, least: int) -> int | None:
    """Read a query's number as the real server does: what is not one counts as not given."""
    try:
        value = int(text or "")
    except ValueError:
        return None
    return value if value >= least else None


def _detail(status: int, text: str) -> Reply:
    return _reply(status, json.dumps({"detail": text}).encode(), "application/json")


def html_page(status: int, title: str | None = None) -> bytes:
    """Return an HTML error page, as the server's front end makes them."""
    title = title or f"{status} {phrase(status)}"
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return page.encode()


def html(status: int, title: str | None = None) -> Reply:
    """Return an answer that is such a page."""
    return _reply(status, html_page(status, title), "text/html; charset=utf-8")


def _reply(status: int, body: bytes, content_type: str = "text/html", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Server": "nginx", "Content-Type": content_type, **named}, Bytes(body))


def _path(request: Request) -> str:
    """Return a request's path; its key goes on with the query."""
    tail = _tail(request.query, decoded=True)
    return request.key.removesuffix(tail) if tail else request.key


def _tail(query: Mapping[str, str], *, decoded: bool = False) -> str:
    """Return a query with its question mark, or nothing."""
    text = urlencode(query)
    return f"?{unquote_plus(text) if decoded else text}" if query else ""
