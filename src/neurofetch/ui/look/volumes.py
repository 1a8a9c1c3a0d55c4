"""Volumes for the viewer: cut to what it can take, with what it should show at first.

Everything is bounded: bytes of a response, of what is kept of the last ones, of what is kept of
files that were passed, and how many passes run at once.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from neurofetch.errors import UsageError
from neurofetch.store.atomic import read_at
from neurofetch.ui.look.cutting import Cut, cut, plan, voxels_of
from neurofetch.ui.look.headers import HEADER_BYTES, Header, read_header
from neurofetch.ui.look.hints import hint, is_map, seconds_per_frame
from neurofetch.ui.look.passing import Plain, Stream, Zipped
from neurofetch.ui.look.places import opened
from neurofetch.ui.look.problems import UnreadableFileError, changed, damaged
from neurofetch.ui.look.stores import stored_course
from neurofetch.ui.web import NotThereError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from neurofetch.ui.look.kinds import Item
    from neurofetch.ui.look.passing import Frames
    from neurofetch.ui.look.places import Opened, Place

__all__ = ["LIMIT", "Served", "Volumes", "same_grid"]

LIMIT = 64 << 20
"""Bytes that the viewer gets at a time, at most."""
_RECENT = 160 << 20
"""Bytes of the last responses, which are asked for in ranges and again."""
_KEEP = 1536 << 20
"""Bytes of one file that was passed: a session of betas inside of the brain is 1.2 GB."""
_MEMORY = 64 << 20
_PASSED = 2
"""Files of which frames that were passed are kept."""
_AT_ONCE = 2
_RATIO = 1040
"""Deflate makes at most 1,032 bytes of one."""
_AFTER = 64 << 10
"""Bytes that may follow the last voxel in a file that is handed out as it is."""
_FRAMES = 200_000
"""Of more frames no course is read."""
_TOLERANCE = 1e-3
"""Millimetres by which two affines of one grid may differ: float32 against float64 headers."""
_GZIP = b"\x1f\x8b"

K = TypeVar("K")
V = TypeVar("V")


class Served(NamedTuple):
    """What the viewer gets.

    Parameters
    ----------
    name : str
        With the extension that says what it is.
    body : bytes
    first, frames : int
        Which frames of the file.
    whole : bool
        Whether these are the bytes of the file itself.
    """

    name: str
    body: bytes
    first: int
    frames: int
    whole: bool


class _Lately(Generic[K, V]):
    """What was asked for lately, bounded in weight."""

    def __init__(self, most: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._lock = threading.Lock()
        self._held: OrderedDict[K, V] = OrderedDict()
        self._weight = 0

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: K, value: V) -> V:
        with self._lock:
            self._weight += self._weigh(value)
            if (old := self._held.pop(key, None)) is not None:
                self._weight -= self._weigh(old)
            self._held[key] = value
            while self._weight > self._most and len(self._held) > 1:
                self._weight -= self._weigh(self._held.popitem(last=False)[1])
        return value

    def forget(self, key: K) -> None:
        with self._lock:
            if (old := self._held.pop(key, None)) is not None:
                self._weight -= self._weigh(old)


class _Open(NamedTuple):
    """A volume whose header was read, with its frames; of a pair, both files."""

    files: tuple[Opened, ...]
    header: Header
    frames: Frames
    zipped: bool

    @property
    def identity(self) -> tuple[tuple[int, ...], ...]:
        return tuple(file.identity for file in self.files)

    @property
    def version(self) -> str:
        return "_".join(file.version for file in self.files)

    def check_same(self) -> None:
        for file in self.files:
            file.check_same()


class Volumes:
    """Volumes of the data directories.

    Parameters
    ----------
    limit : int
        Bytes that the viewer gets at a time.
    keep : int
        Bytes of the temporary file in which frames are kept that were passed.
    """

    def __init__(self, *, limit: int = LIMIT, keep: int = _KEEP) -> None:
        self._limit = limit
        self._keep = keep
        self._busy = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._headers: _Lately[tuple[Any, ...], tuple[Header, bool]] = _Lately(2_000)
        self._passed: _Lately[tuple[Any, ...], Zipped] = _Lately(_PASSED)
        self._served: _Lately[tuple[Any, ...], Served] = _Lately(_RECENT, lambda one: len(one.body))
        self._shown: _Lately[tuple[Any, ...], dict[str, Any]] = _Lately(200)

    # -- what it is ------------------------------------------------------------------------------

    def header(self, place: Place) -> Header:
        """Return the header of a file.

        Parameters
        ----------
        place : Place

        Raises
        ------
        NotThereError
        UnreadableFileError
        """
        with opened(place) as file:
            return self._header(file)[0]

    def described(self, place: Place, item: Item, says: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the viewer has to know before it loads a volume.

        Parameters
        ----------
        place : Place
        item : Item
        says : mapping
            What the sidecars say of it.
        """
        with self._opened(place) as one:
            known = self._shown.get(one.identity)
            if known is None:
                known = self._shown.put(one.identity, self._looked_at(one, item, says))
            told = is_map(item, one.header, says)
            return {"version": one.version, "is_map": told, "volume": known}

    def _looked_at(self, one: _Open, item: Item, says: Mapping[str, Any]) -> dict[str, Any]:
        header = one.header
        how = plan(header, self._limit)
        with self._busy:
            made = cut(header, one.frames, how, 0, 1)
            one.check_same()
        voxels = voxels_of(made, header, how)
        as_read = header if how.dtype == header.dtype else _unscaled(header)
        say = _finite(hint(item, as_read, voxels, says)._asdict())
        return {
            "shape": [*header.grid, header.frames],
            "frames": header.frames,
            "voxel_mm": [round(float(size), 4) for size in _sizes(header)],
            "seconds_per_frame": seconds_per_frame(item, header, says),
            **say,
            "affine": header.affine.tolist(),
            "step": how.step,
            "served_bytes": len(made.body),
            "frames_at_once": how.fitting,
            "cut": how.why(header),
        }

    # -- what the viewer gets --------------------------------------------------------------------

    def volume(self, place: Place, first: int, count: int, version: str = "") -> Served:
        """Return some frames of a file, or the file itself where that is all of it.

        Parameters
        ----------
        place : Place
        first : int
            Number of the first frame, from 0.
        count : int
            At most so many frames.
        version : str
            Of the file that the page looked at; "" for any.

        Raises
        ------
        NotThereError
            If there is no such frame, or the file is another one now.
        UnreadableFileError
        """
        with self._opened(place) as one:
            if version and version != one.version:
                raise changed(one.header.name)
            if first >= one.header.frames:
                said = f"there are {one.header.frames:,}, counted from 0"
                raise NotThereError(f"{one.header.name} has no volume {first}: {said}.")
            key = (one.identity, first, min(count, one.header.frames))
            known = self._served.get(key)
            if known is not None:
                return known
            with self._busy:
                whole = self._as_it_is(one, place, first, count)
                served = whole or self._cut(one, place, first, count)
                one.check_same()
        return self._served.put(key, served)

    def _cut(self, one: _Open, place: Place, first: int, count: int) -> Served:
        made: Cut = cut(one.header, one.frames, plan(one.header, self._limit), first, count)
        name = f"{_stem(place.parts[-1])}.nii"
        return Served(name, made.body, made.first, made.frames, whole=False)

    def _as_it_is(self, one: _Open, place: Place, first: int, count: int) -> Served | None:
        """Return the file itself, if viewers can read it and it is all that was asked for."""
        header, file = one.header, one.files[0]
        fits = max(header.whole_bytes, file.size) <= self._limit
        if first or count < header.frames or not fits:
            return None
        if header.repaired or header.pair or not header.is_plain:
            return None
        if one.zipped and not _ends_there(file, header):
            return None
        body = _all_of(file)
        name = f"{_stem(place.parts[-1])}.nii{'.gz' if one.zipped else ''}"
        return Served(name, body, 0, header.frames, whole=True)

    # -- the course of a voxel -------------------------------------------------------------------

    def course(
        self,
        place: Place,
        voxel: tuple[int, int, int] | None,
        millimetres: tuple[float, float, float] = (math.nan, math.nan, math.nan),
    ) -> dict[str, Any]:
        """Return the values of one voxel in all frames.

        Parameters
        ----------
        place : Place
        voxel : tuple of int, or None
            Its place in the grid of the file, from 0.
        millimetres : tuple of float
            Where it is in the space of the scanner, if `voxel` is None.

        Raises
        ------
        UsageError
            If it is outside of the grid, or the file has colours.
        NotThereError
        UnreadableFileError
        """
        with self._opened(place) as one, self._busy:
            header = one.header
            voxel = voxel or _voxel_at(header, millimetres)
            _check_course(header, voxel)
            stored = stored_course(place, one.files[0], header.grid, voxel)
            if stored is not None and len(stored) == header.frames:
                return _as_course(stored, header, voxel)
            i, j, k = voxel
            across, down, _ = header.grid
            size = header.dtype.itemsize
            blocks = one.frames.course((i + across * (j + down * k)) * size, size)
            one.check_same()
        values = header.values(np.frombuffer(b"".join(blocks), header.dtype))
        return _as_course(values.tolist(), header, voxel)

    # -- opening ---------------------------------------------------------------------------------

    @contextmanager
    def _opened(self, place: Place) -> Iterator[_Open]:
        with ExitStack() as stack:
            file = stack.enter_context(opened(place))
            header, zipped = self._header(file)
            files = [file]
            if header.pair:
                file = stack.enter_context(_image_of(place))
                files.append(file)
                zipped = os.pread(file.fd, 2, 0) == _GZIP
            frames = self._frames(file, header, zipped=zipped)
            yield _Open(tuple(files), header, frames, zipped)

    def _header(self, file: Opened) -> tuple[Header, bool]:
        known = self._headers.get(file.identity)
        if known is not None:
            return known
        zipped = os.pread(file.fd, 2, 0) == _GZIP
        if zipped:
            block = Stream(file.fd, file.name).read(HEADER_BYTES)
        else:
            block = os.pread(file.fd, HEADER_BYTES, 0)
        pair = file.name.lower().endswith(".hdr")
        return self._headers.put(file.identity, (read_header(block, file.name, pair=pair), zipped))

    def _frames(self, file: Opened, header: Header, *, zipped: bool) -> Frames:
        if not zipped:
            if file.size < header.whole_bytes:
                at = max(0, file.size - header.offset) // header.frame_bytes
                raise damaged(file.name, f"ends within frame {at} of {header.frames} (from 0)")
            return Plain(file.fd, header)
        if header.whole_bytes > (file.size + 1) * _RATIO:
            problem = f"claims {header.whole_bytes:,} bytes, more than its {file.size:,} can hold"
            raise damaged(file.name, problem)
        with self._lock:
            known = self._passed.get(file.identity)
            if known is not None:
                return known
            new = Zipped(file.fd, header, keep=self._keep, memory=_MEMORY)
            return self._passed.put(file.identity, new)


@contextmanager
def _image_of(place: Place) -> Iterator[Opened]:
    """Open the voxels that a header (.hdr) is of."""
    stem = place.parts[-1][: -len(".hdr")]
    for end in (".img", ".IMG", ".img.gz"):
        try:
            with opened(place.beside(stem + end)) as file:
                yield file
                return
        except NotThereError:
            continue
    raise damaged(place.shown, "is a header without its voxels (.img)")


def _ends_there(file: Opened, header: Header) -> bool:
    """Whether a gzipped file holds what its header says and no more: a viewer unpacks all of it."""
    stream = Stream(file.fd, file.name)
    stream.skip(header.whole_bytes)
    if stream.position < header.whole_bytes:
        at = max(0, stream.position - header.offset) // header.frame_bytes
        raise damaged(file.name, f"ends within frame {at} of {header.frames} (counted from 0)")
    stream.skip(_AFTER)
    return stream.position < header.whole_bytes + _AFTER


def _all_of(file: Opened) -> bytes:
    body = bytearray(file.size)
    filled = read_at(file.fd, memoryview(body), 0)
    if filled < file.size:
        raise changed(file.name)
    return bytes(body)


def _stem(name: str) -> str:
    """Return a name without its extension, in letters that a header of HTTP can have."""
    plain = re.sub(r"(?i)\.(nii|hdr|img)(\.gz)?$", "", name)
    return re.sub(r"[^A-Za-z0-9._+-]", "_", plain)[:150] or "volume"


def _check_course(header: Header, voxel: tuple[int, int, int]) -> None:
    if header.is_colour:
        raise UsageError(f"{header.name} has colours, and no values. There is no course of them.")
    if any(not 0 <= place < size for place, size in zip(voxel, header.grid, strict=True)):
        raise UsageError(f"{header.name} has the grid {header.grid}: {voxel} is outside of it.")
    if header.frames > _FRAMES:
        advice = f"Courses of up to {_FRAMES:,} are shown."
        raise UnreadableFileError(header.name, f"has {header.frames:,} volumes", advice)


def _unscaled(header: Header) -> Header:
    """Return a header for values that were worked out already."""
    return replace(header, slope=1.0, inter=0.0)


def _sizes(header: Header) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(header.affine[:3, :3], axis=0), dtype=np.float64)


def _as_course(
    values: Sequence[float], header: Header, voxel: tuple[int, int, int]
) -> dict[str, Any]:
    told = [value if math.isfinite(value) else None for value in values]
    return {"values": told, "total": header.frames, "voxel": list(voxel)}


def _voxel_at(header: Header, millimetres: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return the voxel that holds a point of the scanner's space."""
    if any(math.isnan(one) for one in millimetres):
        msg = "the page did not say which voxel. Nothing was read. Give i, j and k, or x, y and z."
        raise UsageError(msg)
    try:
        turned = np.linalg.inv(header.affine)
    except np.linalg.LinAlgError:
        raise damaged(header.name, "does not say where its voxels are") from None
    place = turned[:3, :3] @ np.array(millimetres) + turned[:3, 3]
    i, j, k = (int(one) for one in np.rint(place))
    return (i, j, k)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if not isinstance(value, float) or math.isfinite(value) else 0.0
        for name, value in values.items()
    }


def same_grid(one: Header, other: Header) -> bool:
    """Whether the voxels of two files lie in the same places.

    Parameters
    ----------
    one, other : Header
    """
    apart = np.abs(one.affine - other.affine).max()
    return one.grid == other.grid and bool(apart <= _TOLERANCE)
