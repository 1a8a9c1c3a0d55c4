"""The routes of the page's section "Look"."""

from __future__ import annotations

import re
import shlex
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown
from neurofetch.errors import UsageError
from neurofetch.extras import need
from neurofetch.ui.look.pictures import POLICY, picture, text
from neurofetch.ui.look.places import opened
from neurofetch.ui.look.problems import UnreadableFileError
from neurofetch.ui.look.shelf import Shelf
from neurofetch.ui.look.sidecars import data_set_of, metadata
from neurofetch.ui.look.surfaces import surface_of
from neurofetch.ui.look.tables import Tables
from neurofetch.ui.web import Response, Route, error_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from neurofetch.ui.directories import Directories
    from neurofetch.ui.look.kinds import Item
    from neurofetch.ui.look.overlays import Overlays
    from neurofetch.ui.look.places import Place
    from neurofetch.ui.look.volumes import Volumes
    from neurofetch.ui.web import Request

__all__ = ["LIBRARIES", "routes"]

LIBRARIES = ("numpy", "nibabel")
"""What has to be there to look at volumes."""
_LARGEST_SURFACE = 64 << 20
_ROWS = 1_000
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_ALL = 1 << 40


def routes(directories: Directories) -> list[Route]:
    """Return what answers requests for files of the data directories.

    Parameters
    ----------
    directories : Directories
        Those that were opened.
    """
    look = _Look(directories)
    return [
        Route("GET", "api/shelf", _told(look.shelf)),
        Route("GET", "api/items/{item}", _told(look.item)),
        Route("GET", "api/items/{item}/volume", _told(look.volume)),
        Route("GET", "api/items/{item}/course", _told(look.course)),
        Route("GET", "api/items/{item}/table", _told(look.table)),
        Route("GET", "api/items/{item}/picture", _told(look.picture)),
        Route("GET", "api/items/{item}/surface", _told(look.surface)),
        Route("GET", "api/items/{item}/text", _told(look.text)),
    ]


def _told(handle: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Return a handler whose unreadable files are no failure of the server."""

    def handled(request: Request) -> Response:
        try:
            return handle(request)
        except UnreadableFileError as error:
            return replace(error_response(error), status=422)

    return handled


class _Look:
    def __init__(self, directories: Directories) -> None:
        self._shelf = Shelf(directories)
        self._tables = Tables()
        self._lock = threading.Lock()
        self._made: tuple[Volumes, Overlays] | None = None

    # numpy and nibabel are imported when the first volume is looked at

    @property
    def _volumes(self) -> Volumes:
        return self._readers()[0]

    @property
    def _overlays(self) -> Overlays:
        return self._readers()[1]

    def _readers(self) -> tuple[Volumes, Overlays]:
        need("Looking at volumes", "ui", *LIBRARIES)
        from neurofetch.ui.look.overlays import Overlays  # noqa: PLC0415 - needs numpy
        from neurofetch.ui.look.volumes import Volumes  # noqa: PLC0415 - needs numpy

        with self._lock:
            if self._made is None:
                volumes = Volumes()
                self._made = (volumes, Overlays(self._shelf, volumes))
            return self._made

    def shelf(self, request: Request) -> Response:
        query = request.query
        return Response.json(
            self._shelf.listed(
                query.get("directory", ""),
                query.get("folder", ""),
                find=query.get("find", "")[:200],
                kind=query.get("kind", ""),
                afresh="afresh" in query,
            )
        )

    def item(self, request: Request) -> Response:
        place, item = self._named(request)
        with opened(place) as file:
            name = str(request.parts["item"])
            found: dict[str, Any] = item.described(name, file.size)
            found |= {"version": file.version, "volume": None, "overlays": []}
        if item.kind == "volume":
            says = metadata(place)
            found |= self._volumes.described(place, item, says)
            found["title"] = _named_by_record(says) or found["title"]
            found["overlays"] = self._overlays.over(place, item)
        elif item.kind == "surface":
            found["surface"] = surface_of(self._shelf, place, item)
        return Response.json({**found, "data_set": data_set_of(place), "say": _said(place, item)})

    def volume(self, request: Request) -> Response:
        place, _ = self._named(request, "volume")
        first = request.number("frame", 0)
        count = request.number("frames", 1 if "frame" in request.query else _ALL)
        version = request.query.get("v", "")
        served = self._volumes.volume(place, first, max(1, count), version)
        tag = f'"{version or _version(place)}-{first}-{served.frames}"'
        headers = {
            "X-Neurofetch-Name": served.name,
            "X-Neurofetch-Frames": f"{served.first}-{served.first + served.frames - 1}",
        }
        return _in_ranges(request, served.body, "application/octet-stream", tag, headers)

    def course(self, request: Request) -> Response:
        place, item = self._named(request, "volume")
        found = self._volumes.course(place, _voxel(request), _millimetres(request))
        described = self._volumes.described(place, item, metadata(place))["volume"]
        wanted = ("seconds_per_frame", "unit")
        return Response.json({**found, **{name: described[name] for name in wanted}})

    def table(self, request: Request) -> Response:
        place, _ = self._named(request, "table")
        first, count = request.number("from", 0), request.number("count", 200, _ROWS)
        return Response.json({"from": first, **self._tables.page(place, first, count)})

    def picture(self, request: Request) -> Response:
        place, _ = self._named(request, "picture")
        kind, body = picture(place)
        headers = {"Content-Security-Policy": POLICY}
        return _in_ranges(request, body, kind, f'"{_version(place)}"', headers)

    def surface(self, request: Request) -> Response:
        place, _ = self._named(request, "surface")
        with opened(place) as file:
            if file.size > _LARGEST_SURFACE:
                problem = f"is a surface of {file.size >> 20:,} MB, and 64 MB is the most"
                raise UnreadableFileError(file.name, problem, "Open it with another program.")
            body = _all(file.fd, file.size)
            file.check_same()
            tag = f'"{file.version}"'
        plain = re.sub(r"[^A-Za-z0-9._+-]", "_", place.parts[-1])
        headers = {"X-Neurofetch-Name": plain}
        return _in_ranges(request, body, "application/octet-stream", tag, headers)

    def text(self, request: Request) -> Response:
        place, _ = self._named(request, "text")
        return Response.json(text(place))

    def _named(self, request: Request, kind: str = "") -> tuple[Place, Item]:
        place = self._shelf.place(request.parts.get("item"))
        item = self._shelf.item(place)
        if kind and item.kind != kind:
            raise UsageError(f"{place.shown} is no {kind}: it is a {item.kind}. Nothing was read.")
        return place, item


def _named_by_record(says: Mapping[str, Any]) -> str:
    """Return what NeuroVault calls a map; "" for a file that is none of its own."""
    name = says.get("name")
    return shown(name)[:200] if isinstance(name, str) and "map_type" in says else ""


def _voxel(request: Request) -> tuple[int, int, int] | None:
    if not all(name in request.query for name in "ijk"):
        return None
    return (request.number("i", 0), request.number("j", 0), request.number("k", 0))


def _millimetres(request: Request) -> tuple[float, float, float]:
    """Return a place in the space of the scanner; NaN where the page did not say one."""
    told = [request.query.get(name, "nan") for name in "xyz"]
    if not all(
        re.fullmatch(r"-?[0-9]{1,6}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?|nan", one) for one in told
    ):
        raise UsageError("x, y and z are millimetres. Nothing was read.")
    x, y, z = map(float, told)
    return (x, y, z)


def _version(place: Place) -> str:
    with opened(place) as file:
        return file.version


def _all(fd: int, size: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read(size)


def _said(place: Place, item: Item) -> dict[str, str]:
    """Return the command and the lines of Python that show the same."""
    path = place.whole
    python = f"print(open({path!r}).read())"
    command = f"less {shlex.quote(path)}"
    if item.kind in {"volume", "surface"}:
        command = f"neurofetch show {shlex.quote(path)}"
        python = f"import nibabel\n\nimage = nibabel.load({path!r})"
    elif item.kind == "table":
        tabs = ', sep="\\t"' if ".tsv" in place.parts[-1].lower() else ""
        python = f"import pandas\n\ntable = pandas.read_csv({path!r}{tabs})"
    elif item.kind == "picture":
        command = f"xdg-open {shlex.quote(path)}"
        python = f"from PIL import Image\n\nImage.open({path!r}).show()"
    return {"command": command, "python": python}


# -- ranges --------------------------------------------------------------------------------------


def _in_ranges(
    request: Request, body: bytes, kind: str, tag: str, headers: dict[str, str]
) -> Response:
    """Return a body, or the range of it that was asked for (RFC 9110, section 14)."""
    headers = {
        **headers,
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache",
    }
    if request.headers.get("if-none-match", "") == tag:
        return Response(304, kind, b"", headers)
    asked = request.headers.get("range", "")
    if request.headers.get("if-range", tag) != tag:
        asked = ""
    wanted = _range(asked, len(body))
    if wanted is None:
        return Response(200, kind, body, headers)
    begin, end = wanted
    if begin >= end:
        return Response(416, kind, b"", {**headers, "Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(body)}"
    return Response(206, kind, body[begin:end], headers)


def _range(asked: str, size: int) -> tuple[int, int] | None:
    """Return the begin and the end of what was asked for; None for all of it.

    Several ranges at once, and what is no range of bytes, count as not asked. A range that holds
    nothing of the body comes back empty.

    Examples
    --------
    >>> _range("bytes=0-9", 100), _range("bytes=90-", 100), _range("bytes=-10", 100)
    ((0, 10), (90, 100), (90, 100))
    >>> _range("bytes=100-", 100), _range("bytes=5-2", 100), _range("lines=1-2", 100)
    ((100, 100), None, None)
    """
    found = _RANGE.fullmatch(asked.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        return max(0, size - int(found[2])) if int(found[2]) else size, size
    begin = int(found[1])
    if found[2] and int(found[2]) < begin:
        return None
    return begin, size if not found[2] else max(begin, min(int(found[2]) + 1, size))
