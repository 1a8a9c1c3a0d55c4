"""Ask OpenNeuro's GraphQL, and say what its errors mean.

A query is a POST of JSON; the answer has ``data``, or ``errors``, or some of both, mostly with the
status 200. Each names the server's version, which is in every message here: what the server can be
asked for changes now and then. Facts: https://docs.openneuro.org/api.html and the server's source.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from neurofetch.errors import (
    MissingRemoteError,
    NeurofetchError,
    ProtocolError,
    RefusedError,
    ServerError,
    TransientError,
    UnreachableError,
)
from neurofetch.net.failures import PORTAL_HINT, failure_of, is_page, told, who_answered
from neurofetch.net.http1 import Request
from neurofetch.sources.json_stream import BrokenJsonError, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from neurofetch.net.client import Client
    from neurofetch.net.response import Response
    from neurofetch.net.retry import Attempts
    from neurofetch.sources.openneuro_token import Token

__all__ = ["Answer", "DeletedDatasetError", "GraphQL", "SchemaError", "nothing_fetched", "one_line"]

T = TypeVar("T")

_PATIENCE = 60.0
"""Seconds; a listing of 100,000 files takes the server a while."""
_MOST = 1 << 30
"""Bytes of an answer; 25 times the largest listing that is known."""
_BLOCK = 256 * 1024
_REFUSED = ("You do not have access",)
_INVALID = "GRAPHQL_VALIDATION_FAILED"
_WRONG_TOKEN = 502
"""What the server says to tokens that are wrong, as if it were out of order itself."""
_BUSY_STARTS = ("502", "503", "504", "connect ECONNREFUSED")
_BUSY_ENDS = ("due to timeout", "timed out")
_BUSY = ("fetch failed", "socket hang up")
"""What the site says when the worker behind it does not answer: it may, a moment later."""
_SHOWN = 300


class SchemaError(ProtocolError):
    """The server cannot be asked so: its schema is another one."""


class DeletedDatasetError(MissingRemoteError):
    """The data set was withdrawn.

    Parameters
    ----------
    message : str
        As the server says it, with the reason.
    redirect : str
        Where the server says to go on; "" for nowhere.
    """

    def __init__(self, message: str, redirect: str = "") -> None:
        super().__init__(message)
        self.redirect = redirect


class Answer(NamedTuple, Generic[T]):
    """What came.

    Parameters
    ----------
    data : dict
        By the fields of the query; the lists that were read row by row are empty.
    rows : list
        What was made of the rows.
    errors : tuple of Exception
        What some fields could not be had for.
    version : str
        Of the server; "" where it does not say.
    """

    data: dict[str, Any]
    rows: list[T]
    errors: tuple[NeurofetchError, ...]
    version: str


def nothing_fetched(error: ServerError) -> ServerError:
    """Return an error that also says that nothing was fetched."""
    if "Nothing was fetched" not in str(error):
        error.args = (f"{str(error).rstrip('.')}. Nothing was fetched.",)
    return error


class GraphQL:
    """One server. Several threads may ask it.

    Parameters
    ----------
    client : Client
    site : str
        Without a slash at its end.
    attempts : Attempts
    token : Token, optional
        It is sent to this server while it seems to be good.
    """

    def __init__(
        self, client: Client, site: str, attempts: Attempts, token: Token | None = None
    ) -> None:
        self.site = site
        self.version = ""
        """Of the server, once it has told it."""
        self.bears_gaps = False
        """Whether an answer will do in which a field is missing that might come another time."""
        self.doubt = ""
        """Why the token is sent no more; "" where it is sent, or where there is none."""
        self._token = None if token is None or token.has_ended() else token
        if self._token is not None:
            client.authorize(site, self._token.authorization)
        self._url = f"{site}/crn/graphql"
        self._client = client
        self._attempts = attempts

    def ask(
        self,
        query: str,
        variables: Mapping[str, object],
        lists: Collection[tuple[str, ...]] = (),
        read: Callable[[Any], T | None] = lambda _: None,
    ) -> Answer[T]:
        """Ask, and again where that may help.

        Parameters
        ----------
        query : str
        variables : mapping of str to object
        lists : collection of tuple of str
            Lists that are read row by row, by the fields that lead to them.
        read : callable
            Makes something of each row, or None.

        Raises
        ------
        SchemaError
            If the server knows no such query.
        ServerError
            If there is no answer. The errors of single fields are in the answer.
        """
        body = json.dumps({"query": query, "variables": dict(variables)}).encode()
        paths = [("data", *path) for path in lists]
        try:
            return self._attempts.run(partial(self._once, body, paths, read))
        except UnreachableError as error:
            if not isinstance(error.__cause__, TransientError):
                raise  # no attempt could help, and it says already what to do
            raise self._in_vain(error) from error

    def _in_vain(self, error: UnreachableError) -> UnreachableError:
        """Return the error for attempts that are used up: it says what may be the matter."""
        where = "" if self._url in str(error) else f"{self._url}: "
        msg = f"{where}{error}. Nothing was fetched. Try again in a while"
        said = UnreachableError(f"{msg}.")
        said.advice = error.advice
        return said

    def _once(
        self,
        body: bytes,
        lists: Collection[tuple[str, ...]],
        read: Callable[[Any], T | None],
    ) -> Answer[T]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = Request(self._url, headers, "POST", body, patience=_PATIENCE)
        with self._client.send(request) as response:
            if response.status != 200 and not (400 <= response.status < 500 and _is_json(response)):
                start = told(response)
                if response.status == _WRONG_TOKEN:
                    self._look_at_token()
                raise self._explained(failure_of(response, start))
            if response.status in (401, 403, 408, 429):
                raise self._explained(failure_of(response, told(response)))
            rows: list[T] = []

            def take(row: Any) -> None:
                made = read(row)
                if made is not None:
                    rows.append(made)

            document = self._read(response, lists, take)
        return self._answer(document, rows, response.status)

    def _look_at_token(self) -> None:
        """See whether it is the token that the server fails at; then it is sent no more."""
        token = self._token
        if token is None:
            return
        self._client.authorize(self.site, "")
        fine = self._answers()
        self._client.authorize(self.site, token.authorization)
        if fine and not self._answers():
            self._client.authorize(self.site, "")
            self._token = None
            self.doubt = (
                f"{self.site} answers {_WRONG_TOKEN} to the token of {token.origin}, and does not "
                "without it: the token is wrong or withdrawn, and was left out"
            )

    def _answers(self) -> bool:
        """Whether the smallest of all questions is answered."""
        headers = {"Content-Type": "application/json"}
        request = Request(self._url, headers, "POST", b'{"query": "{ __typename }"}')
        try:
            with self._client.send(request) as response:
                return response.status == 200
        except ServerError:
            return False

    def _read(
        self,
        response: Response,
        lists: Collection[tuple[str, ...]],
        take: Callable[[Any], None],
    ) -> dict[str, Any]:
        """Read the document as it comes."""
        first = bytearray()
        try:
            document = read_json(_blocks(response, first), lists, take)
        except BrokenJsonError as error:
            if is_page(bytes(first)):
                msg = f"{who_answered(response, bytes(first))}. {PORTAL_HINT}"
                raise TransientError(f"{self._url}: a page in place of an answer. {msg}") from error
            msg = f"{self._url}: {error}"
            if error.cut or not first:
                raise TransientError(f"{msg}; the answer is not whole") from error
            raise ProtocolError(f"{msg}. Nothing was fetched. Check OPENNEURO_URL.") from error
        if not isinstance(document, dict):
            msg = f"{self._url}: JSON that is no answer of GraphQL. Check OPENNEURO_URL."
            raise ProtocolError(msg)
        return document

    def _answer(self, document: dict[str, Any], rows: list[T], status: int) -> Answer[T]:
        self.version = _version_in(document) or self.version
        said = document.get("errors")
        given = said if isinstance(said, list) else []
        errors = tuple(self._error(one if isinstance(one, dict) else {}) for one in given)
        data = document.get("data")
        if not isinstance(data, dict) or not any(value is not None for value in data.values()):
            if errors:
                raise errors[0]
            if not isinstance(data, dict):
                msg = f"{self.told_by}: an answer {status} without data. Nothing was fetched."
                raise ProtocolError(msg)
        for error in errors:
            if isinstance(error, TransientError) and not self.bears_gaps:
                raise error
        return Answer(data, rows, errors, self.version)

    @property
    def told_by(self) -> str:
        """The server, with its version where that is known."""
        return f"{self.site} (server {self.version})" if self.version else self.site

    def _error(self, error: Mapping[str, Any]) -> NeurofetchError:
        """Return what an error of GraphQL means."""
        message = one_line(error.get("message")) or "an error without a message"
        more = error.get("extensions")
        more = more if isinstance(more, dict) else {}
        code = more.get("code")
        what = f"{self.told_by}: {message}"
        if code == _INVALID:
            return SchemaError(what)
        if code == "DELETED_DATASET" or "has been deleted" in message:
            return DeletedDatasetError(message, one_line(more.get("redirect")))
        if message.startswith(_REFUSED) or code in ("UNAUTHENTICATED", "FORBIDDEN"):
            return RefusedError(what)
        if "does not exist" in message or "not found" in message.lower():
            return MissingRemoteError(what)
        if message.startswith(_BUSY_STARTS) or message.endswith(_BUSY_ENDS) or message in _BUSY:
            return TransientError(what)
        return ProtocolError(what)

    def _explained(self, error: NeurofetchError) -> NeurofetchError:
        """Return the error for an answer that is none of GraphQL's."""
        if isinstance(error, MissingRemoteError):
            return ProtocolError(
                f"{error}. There is no OpenNeuro at {self.site}. Nothing was fetched. Check "
                "OPENNEURO_URL if you set it."
            )
        return error


def _blocks(response: Response, first: bytearray) -> Iterator[bytes]:
    """Give the bytes of an answer as they come; the beginning is kept, for messages."""
    buffer, total = memoryview(bytearray(_BLOCK)), 0
    while count := response.readinto(buffer):
        total += count
        if total > _MOST:
            msg = f"an answer of more than {_MOST:,} bytes"
            raise BrokenJsonError(msg)
        if len(first) < 4096:
            first += buffer[: min(count, 4096)]
        yield bytes(buffer[:count])


def _is_json(response: Response) -> bool:
    return "json" in response.headers.get("content-type", "").lower()


def _version_in(document: Mapping[str, Any]) -> str:
    found: Any = document.get("extensions")
    for name in ("openneuro", "version"):
        found = found.get(name) if isinstance(found, dict) else None
    return one_line(found)[:40]


def one_line(text: object) -> str:
    """Return what a server says in one line, without what a terminal would act on.

    Examples
    --------
    >>> one_line("two" + chr(10) + "lines" + chr(27) + "[31m"), one_line(None)
    ('two lines [31m', '')
    """
    if not isinstance(text, str):
        return ""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * _SHOWN])
    return " ".join(plain.split())[:_SHOWN]
