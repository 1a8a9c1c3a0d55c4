"""Lists of a source as bytes: lines of JSON, in gzip."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from neurofetch._compact import quoted
from neurofetch.model import Digest, Folder, RemoteFile
from neurofetch.sources.remembered import PROBLEMS, Heard
from neurofetch.sources.source import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UnreadableListingError", "pack", "unpack"]

VERSION = 1
"""Of the packed form: a newer one is not read."""
_BATCH = 5000
_DAMAGES = (
    zlib.error,
    ValueError,
    KeyError,
    TypeError,
    StopIteration,
    AttributeError,
    RecursionError,
)
"""What reading something else than what was packed may raise."""


class UnreadableListingError(ValueError):
    """What was packed is damaged, or of a newer version."""


def pack(heard: Heard) -> bytes:
    """Return lists as bytes (lines of JSON, in gzip). The same lists give the same bytes.

    Parameters
    ----------
    heard : Heard
    """
    packer = zlib.compressobj(1, wbits=31)  # a window of gzip, whose header holds no time
    pieces = []
    batch: list[str] = []
    for line in _lines(heard):
        batch.append(line)
        if len(batch) == _BATCH:
            pieces.append(packer.compress("".join(batch).encode()))
            batch = []
    pieces += [packer.compress("".join(batch).encode()), packer.flush()]
    return b"".join(pieces)


def _lines(heard: Heard) -> Iterator[str]:
    yield f'{{"neurofetch-listing":{VERSION}}}\n'
    for prefix, files in sorted(heard.walks.items()):
        yield _line({"walk": prefix, "files": len(files)})
        yield from (_file(prefix, file) for file in files)
    for folder, level in sorted(heard.levels.items()):
        names = [name[len(folder) :] for name in level.folders]
        yield _line({"level": folder, "files": len(level.files), "folders": names})
        yield from (_file(folder, file) for file in level.files)
    for prefix, (kind, message) in sorted(heard.problems.items()):
        yield _line({"problem": prefix, "kind": kind, "message": message})


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _file(prefix: str, file: RemoteFile) -> str:
    more: dict[str, Any] = {}
    if file.digest is not None:
        more["digest"] = [file.digest.algorithm, file.digest.value]
    if file.withheld:
        more["withheld"] = file.withheld
    if file.listed:
        more["listed"] = file.listed
    if file.storage_class:
        more["class"] = file.storage_class
    if not file.ranges:
        more["ranges"] = False
    row = [file.key[len(prefix) :], file.size, file.etag]
    return _line([*row, more] if more else row)


def unpack(packed: bytes, base: str | None = None) -> Heard:
    """Return the lists that were packed.

    Parameters
    ----------
    packed : bytes
    base : str, optional
        The URL that keys are appended to; without it, the files have no addresses.

    Raises
    ------
    UnreadableListingError
    """
    try:
        lines = iter(zlib.decompress(packed, wbits=31).decode().splitlines())
        version = json.loads(next(lines))["neurofetch-listing"]
        heard = _unpacked(lines, base) if version == VERSION else None
    except _DAMAGES as error:
        msg = f"a remembered listing is damaged: {error or type(error).__name__}"
        raise UnreadableListingError(msg) from error
    if heard is None:
        msg = f"version {version!r} of a remembered listing; this program knows {VERSION}"
        raise UnreadableListingError(msg)
    return heard


def _unpacked(lines: Iterator[str], base: str | None) -> Heard:
    heard = Heard.nothing()
    for line in lines:
        head = json.loads(line)
        if "problem" in head:
            if head["kind"] in PROBLEMS:
                heard.problems[_text(head["problem"])] = head["kind"], _text(head["message"])
            continue
        prefix = _text(head["walk"] if "walk" in head else head["level"])
        common = Folder(prefix, base)
        files = [_read(common, json.loads(next(lines))) for _ in range(head["files"])]
        if "walk" in head:
            heard.walks[prefix] = files
        else:
            heard.levels[prefix] = Level(files, [prefix + _folder(one) for one in head["folders"]])
    return heard


def _read(common: Folder, row: list[Any]) -> RemoteFile:
    name, size, etag, *rest = row
    if not (type(name) is str and (size is None or (type(size) is int and size >= 0))):
        raise ValueError("no name, or no size")
    if not (etag is None or type(etag) is str):
        raise ValueError("no ETag")
    if not rest:
        return RemoteFile.below(common, name, size, etag)
    more = rest[0]
    algorithm, value = more.get("digest", ("", ""))
    return RemoteFile(
        common.prefix + name,
        "" if common.base is None else common.base + quoted(common.prefix + name),
        size,
        etag,
        digest=Digest(_text(algorithm), _text(value)) if algorithm else None,
        ranges=bool(more.get("ranges", True)),
        withheld=_text(more.get("withheld", "")),
        listed=_text(more.get("listed", "")),
        storage_class=_text(more.get("class", "")),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _folder(value: object) -> str:
    """Return the rest of a folder's prefix; what is below itself would be listed for ever."""
    name = _text(value)
    if not name.endswith("/"):
        raise ValueError("no folder")
    return name
