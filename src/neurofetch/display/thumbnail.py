"""A small picture of a volume that is here, for a notebook: three slices, as a PNG in base64.

To look at a result costs little and breaks nothing: no more than one frame is read, of at most
64 MB; what takes longer than a second and a half is not waited for; what cannot be drawn is not
shown. Nothing is fetched for it. It takes numpy and nibabel, and is made only where both are there.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import stat
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch.display.page import Picture
from neurofetch.extras import is_installed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["first_maps", "pictures"]

_log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024 * 1024
"""Of one frame, as numbers."""
PATIENCE = 1.5
"""Seconds for all pictures of one result."""
_HEIGHTS, _SHOWN = (176, 112, 72), 112
"""Rows of pixels, the most that the bytes allow; and how high they are on the page."""
_PNG_BYTES = 48_000
_LOOKED_AT = 20_000
_SAMPLED, _ENOUGH = 64, 1000
"""So many voxels along an axis are looked at to choose colours and slices, all where few of them
have a value: percentiles of a head of 1 mm take seconds."""
_KEPT = 64
_VOLUME = (".nii.gz", ".nii")
_MAP = re.compile(
    r"statmap|_stat-|zstat|tstat|[_-]map\b|(^|/)image_\d+(_resampled)?\.nii", re.IGNORECASE
)
_SERIES = re.compile(r"_(bold|epi|cbv|asl|dwi)\.|SingletrialBetas", re.IGNORECASE)
_REGION = re.compile(r"_(mask|dseg|probseg)\.|(^|/)label-", re.IGNORECASE)
_ANATOMY = re.compile(r"_(T1w|T2w|FLAIR|PDw|T2starw|bold|sbref|epi|asl|dwi)\.", re.IGNORECASE)


class _Wanted(NamedTuple):
    path: Path
    caption: str


_drawn: dict[tuple[str, int, int], Picture | None] = {}


def first_maps(paths: Iterable[str], most: int = 1) -> list[str]:
    """Return the paths of volumes that are most worth a look: maps, then anatomy, then the others.

    Parameters
    ----------
    paths : iterable of str
    most : int

    Examples
    --------
    >>> first_maps(["a/x_bold.nii.gz", "a/x_T1w.nii.gz", "a/x_statmap.nii.gz", "a/x.tsv"], 2)
    ['a/x_statmap.nii.gz', 'a/x_T1w.nii.gz']
    """
    found: dict[int, list[str]] = {}
    for number, path in enumerate(paths):
        if number >= _LOOKED_AT or len(found.get(0, ())) >= most:
            break
        if path.endswith(_VOLUME):
            found.setdefault(_rank(path), []).append(path)
    return [path for rank in sorted(found) for path in found[rank]][:most]


def _rank(path: str) -> int:
    name = path.rpartition("/")[2]
    if _SERIES.search(name):
        return 4
    if _REGION.search(name):
        return 3
    if _MAP.search(name):
        return 0
    return 1 if _ANATOMY.search(name) else 2


def pictures(files: Iterable[tuple[Path, str]]) -> list[Picture]:
    """Return a picture of each volume that can be drawn in time.

    Parameters
    ----------
    files : iterable of (Path, str)
        Where it is, and what is said below it.
    """
    every = [_Wanted(path, caption) for path, caption in files]
    if not every or not (is_installed("numpy") and is_installed("nibabel")):
        return []
    made: dict[int, Picture] = {}

    def draw() -> None:
        for number, wanted in enumerate(every):
            picture = _picture(wanted)
            if picture is not None:
                made[number] = picture

    worker = threading.Thread(target=draw, name="picture of a volume", daemon=True)
    try:
        worker.start()
    except RuntimeError:  # the system gives this user no more threads
        return []
    worker.join(PATIENCE)
    return [made[number] for number in sorted(made)]


def _picture(wanted: _Wanted) -> Picture | None:
    path = str(wanted.path)
    try:
        told = os.stat(path)
        if not stat.S_ISREG(told.st_mode):  # a pipe would be waited for
            return None
        known = (path, told.st_mtime_ns, told.st_size)
        if known not in _drawn:
            while len(_drawn) >= _KEPT:
                _drawn.pop(next(iter(_drawn)), None)
            _drawn[known] = _draw(path, wanted.caption)
        found = _drawn[known]
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a file, its name is shown
        _log.debug("no picture of %s: %s", path, error)
        return None
    return found and found._replace(caption=wanted.caption)


def _draw(path: str, caption: str) -> Picture | None:
    import numpy as np  # noqa: PLC0415 - not for --help

    values, zooms = _frame(path)
    if values is None:
        return None
    finite = np.where(np.isfinite(values), values, 0).astype(np.float32)
    if not finite.any():
        return None
    (low, high), colours = _scale(finite, path)
    cuts = _slices(finite, zooms)
    data, width, height = b"", 0, 0
    for height in _HEIGHTS:
        row = _row(cuts, height)
        index = np.clip((row - low) / ((high - low) or 1.0) * 255, 0, 255).astype(np.uint8)
        data, width = _png(index, colours), row.shape[1]
        if len(data) <= _PNG_BYTES:
            break
    return Picture(base64.b64encode(data).decode(), round(width * _SHOWN / height), _SHOWN, caption)


def _row(cuts: list[tuple[Any, float]], height: int) -> Any:
    """Return slices side by side, so many pixels high, with a gap between them."""
    import numpy as np  # noqa: PLC0415

    gap = np.zeros((height, 4), dtype=np.float32)
    parts = []
    for cut, wide in cuts:
        parts += [gap, _resized(cut, height, max(8, round(height * min(wide, 3.0))))]
    return np.concatenate(parts[1:], axis=1)


def _frame(path: str) -> tuple[Any, Any]:
    """Return the first frame, turned as people look at heads, and the size of a voxel."""
    import nibabel as nib  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from nibabel import orientations  # noqa: PLC0415

    image: Any = nib.load(path)  # type: ignore[attr-defined,unused-ignore]
    shape = image.shape
    if len(shape) < 3 or min(shape) < 1 or min(shape[:3]) < 2:
        return None, None
    kind = image.get_data_dtype()
    if kind.kind not in "fiub" or int(np.prod(shape[:3])) * kind.itemsize > MOST_BYTES:
        return None, None
    frame = image.dataobj[(..., *(0,) * (len(shape) - 3))]
    turned = orientations.io_orientation(image.affine)
    values = orientations.apply_orientation(np.asarray(frame, dtype=np.float32), turned)
    zooms = np.asarray(image.header.get_zooms()[:3], dtype=float)
    order = np.argsort(turned[:, 0])  # the axes, as they were before
    zooms = np.abs(zooms[order])
    return values, np.where(np.isfinite(zooms) & (zooms > 0), zooms, 1.0)


def _scale(values: Any, path: str) -> tuple[tuple[float, float], list[tuple[int, int, int]]]:
    """Return from where to where the colours go, and the colours."""
    import numpy as np  # noqa: PLC0415

    steps = [-(-length // _SAMPLED) for length in values.shape]
    some = values[:: steps[0], :: steps[1], :: steps[2]]
    inside = some[some != 0]
    if inside.size < _ENOUGH:
        inside = values[values != 0]
    high = float(np.percentile(np.abs(inside), 99.5)) or 1.0
    if (inside < 0).mean() > 0.005:
        return (-high, high), _COLD_HOT
    name = path.rpartition("/")[2]
    grey = _ANATOMY.search(name) or _REGION.search(name)
    return (0.0, high), _GREY if grey else _HOT


def _slices(values: Any, zooms: Any) -> list[tuple[Any, float]]:
    """Return slices along x, y and z where most is to be seen; and width by height of each."""
    import numpy as np  # noqa: PLC0415

    steps = [-(-length // _SAMPLED) for length in values.shape]
    at = []
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        some = values[tuple(slice(None, None, steps[n] if n in others else 1) for n in range(3))]
        strength = np.percentile(np.abs(some), 98, axis=others)
        if not strength.any():  # a map of a few voxels above a threshold
            strength = np.abs(values).sum(axis=others, dtype=float)
        at.append(int(np.argmax(strength)))
    cuts = [values[at[0], :, :], values[:, at[1], :], values[:, :, at[2]]]
    axes = [(1, 2), (0, 2), (0, 1)]
    found = []
    for cut, (across, up) in zip(cuts, axes, strict=True):
        wide = cut.shape[0] * zooms[across] / (cut.shape[1] * zooms[up])
        found.append((np.flipud(cut.T), float(wide)))
    return found


def _resized(part: Any, height: int, width: int) -> Any:
    """Return a slice with so many pixels, between voxels in a straight line."""
    import numpy as np  # noqa: PLC0415

    for axis, size in ((0, height), (1, width)):
        there = part.shape[axis]
        where = (np.arange(size) + 0.5) * there / size - 0.5
        first = np.clip(np.floor(where).astype(int), 0, there - 1)
        second = np.clip(first + 1, 0, there - 1)
        share = np.clip(where - first, 0, 1).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        one, other = np.take(part, first, axis), np.take(part, second, axis)
        part = one * (1 - share) + other * share
    return part


def _ramp(*stops: tuple[int, int, int], count: int) -> list[tuple[int, int, int]]:
    """Return colours from the first stop to the last."""
    made = []
    for number in range(count):
        place = number / (count - 1) * (len(stops) - 1)
        left = min(int(place), len(stops) - 2)
        share = place - left
        pairs = zip(stops[left], stops[left + 1], strict=True)
        made.append(tuple(round(a + (b - a) * share) for a, b in pairs))
    return made  # type: ignore[return-value]


_GREY = _ramp((0, 0, 0), (255, 255, 255), count=256)
_WARM = ((0, 0, 0), (150, 20, 10), (240, 90, 20), (255, 200, 60), (255, 255, 230))
_COLD = ((225, 255, 255), (90, 205, 255), (40, 110, 240), (20, 40, 160), (0, 0, 0))
_HOT = _ramp(*_WARM, count=256)
_COLD_HOT = [*_ramp(*_COLD, count=128), *_ramp(*_WARM, count=128)]


def _png(index: Any, colours: list[tuple[int, int, int]]) -> bytes:
    """Return a picture with a palette as PNG: see https://www.w3.org/TR/png-3/."""
    import numpy as np  # noqa: PLC0415

    height, width = index.shape
    lines = np.concatenate([np.zeros((height, 1), dtype=np.uint8), index], axis=1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = bytes(value for colour in colours for value in colour)
    packed = zlib.compress(lines.tobytes(), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"PLTE", palette)
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )
