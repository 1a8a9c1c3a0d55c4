"""Requests and responses of the local page, as values, and which handler takes which.

Nothing here knows of sockets: `neurofetch.ui.server` reads requests and writes responses.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurofetch.display.words import code_of
from neurofetch.errors import NeurofetchError, ServerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Handler", "NotThereError", "Request", "Response", "Route", "Router", "error_response"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_log = logging.getLogger("neurofetch.ui")


class NotThereError(NeurofetchError):
    """The page asks for something that is not there, or not any more."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the page asks for.

    Parameters
    ----------
    method : str
        GET, HEAD or POST.
    path : str
        Below the page, without a slash at the begin: ``api/start``.
    query : mapping of str to str
        The last value of each name.
    headers : mapping of str to str
        By lower-case names.
    body : mapping of str to object
        The JSON object of a POST.
    parts : mapping of str to str
        What the braces of the route stand for.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    body: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    parts: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def number(self, name: str, default: int, most: int | None = None) -> int:
        """Return a whole number of the query, 0 or more.

        Parameters
        ----------
        name : str
        default : int
            Where the query does not have it.
        most : int, optional
            A larger one becomes this.

        Raises
        ------
        UsageError
        """
        text = self.query.get(name, "")
        if not text:
            return default
        if not re.fullmatch(r"[0-9]{1,15}", text):
            msg = f"{name}={text[:40]!r} is no whole number. Nothing was done."
            raise UsageError(msg)
        return int(text) if most is None else min(int(text), most)


@dataclass(frozen=True, slots=True)
class Response:
    """What the page gets.

    Parameters
    ----------
    status : int
    content_type : str
    body : bytes
    headers : mapping of str to str
        Further ones.
    """

    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """Return a value as JSON.

        Parameters
        ----------
        value : object
        status : int
        """
        text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
        return cls(status, "application/json", text.encode())


Handler = Callable[[Request], Response]
"""What makes a response. A `NeurofetchError` that it raises becomes one."""


class Route(NamedTuple):
    """Which requests a handler takes.

    Parameters
    ----------
    method : str
    path : str
        As ``api/items/{item}``: what is in braces is one part of a path.
    handle : callable
    """

    method: str
    path: str
    handle: Handler


class Router:
    """Finds the handler of a request.

    Parameters
    ----------
    routes : iterable of Route
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(route, _pattern(route.path)) for route in routes]

    def respond(self, request: Request) -> Response:
        """Return the response to a request, also where that is an error.

        Parameters
        ----------
        request : Request
        """
        allowed = set()
        for route, pattern in self._routes:
            found = pattern.fullmatch(request.path)
            if found is None:
                continue
            if route.method == request.method or (route.method, request.method) == ("GET", "HEAD"):
                return _handled(route.handle, request, found.groupdict())
            allowed.add(route.method)
        if allowed:
            methods = ", ".join(sorted(allowed))
            said = {"code": "method", "message": f"This address takes {methods} only."}
            response = Response.json({"error": {**said, "advice": None, "exit_code": None}}, 405)
            return Response(405, response.content_type, response.body, {"Allow": methods})
        return error_response(NotThereError(f"there is no {request.path[:200]} here"))


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    named = [re.escape(one) if n % 2 == 0 else f"(?P<{one}>[^/]+)" for n, one in enumerate(parts)]
    return re.compile("".join(named))


def _handled(handle: Handler, request: Request, parts: dict[str, str]) -> Response:
    given = Request(
        request.method, request.path, request.query, request.headers, request.body, parts
    )
    try:
        return handle(given)
    except NeurofetchError as error:
        return error_response(error)
    except OSError as error:  # of the disk: full, gone, or not to be read
        what = error.strerror or str(error)
        msg = f"the disk could not be used: {what}. Nothing was changed. Make room, or look again."
        disk = {"code": "disk", "message": msg, "advice": None, "exit_code": 7}
        return Response.json({"error": disk}, 500)
    except Exception:  # noqa: BLE001 - one request ends, and the page goes on
        _log.exception("%s %s failed", request.method, request.path)
        msg = "This is a fault of the program, not yours. The log of `neurofetch ui` says more."
        said = {"code": "internal", "message": msg, "advice": None, "exit_code": 1}
        return Response.json({"error": said}, 500)


def error_response(error: NeurofetchError) -> Response:
    """Return an error in the words that the page shows.

    Parameters
    ----------
    error : NeurofetchError
    """
    status = 500
    if isinstance(error, NotThereError):
        status = 404
    elif isinstance(error, UsageError):
        status = 400
    advice = error.advice if isinstance(error, ServerError) else None
    said = {"code": code_of(type(error)), "message": str(error), "advice": advice or None}
    return Response.json({"error": {**said, "exit_code": None}}, status)
