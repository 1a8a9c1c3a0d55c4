"""The cache on disk: where it is, what its files are called, how they are read and written.

The layout is nilearn's, and both programs read what the other wrote::

    neurovault/collection_<cid>/collection_metadata.json
    neurovault/collection_<cid>/image_<id>.nii.gz
    neurovault/collection_<cid>/image_<id>_resampled.nii.gz
    neurovault/collection_<cid>/neurosynth_words_for_image_<id>.json
    neurovault/collection_<cid>/image_<id>_metadata.json          last: the commit mark

The paths inside the JSON are written, since nilearn needs them, and never trusted: a cache may have
been moved, and a file belongs to the folder that it lies in.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from neurofetch.errors import DestinationError, DiskFullError, VerificationError
from neurofetch.neurovault.records import (
    CollectionRecord,
    ImageRecord,
    LocalCollectionRecord,
    LocalImageRecord,
    Record,
)
from neurofetch.store.atomic import read_regular
from neurofetch.store.directory import FULL, DataDirectory
from neurofetch.store.folder import Folder, given_path
from neurofetch.store.owner import process_token
from neurofetch.store.partials import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "STATE",
    "Cache",
    "TornRecordError",
    "candidate_dirs",
    "find_root",
    "read_json",
    "scan_collections",
    "scan_images",
    "write_atomically",
    "write_json",
]

STATE = ".neurofetch"
"""The package's own folder inside ``neurovault/``; no file in it ends in ``_metadata.json``."""
_TRIES = 3
_FOLDER = "neurovault"
_Row = TypeVar("_Row", bound=Record)
_IMAGE_JSON = re.compile(r"image_(\d+)_metadata\.json")
_COLLECTION_DIR = re.compile(r"collection_(\d+)")


class TornRecordError(VerificationError):
    """A metadata file that is not whole JSON, or is not the record that its name says."""


def candidate_dirs(
    data_dir: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
) -> list[Path]:
    """Return the data directories in the order in which they are looked at.

    Parameters
    ----------
    data_dir : path-like, optional
        One directory, or several joined by ``os.pathsep``. By default those that
        ``NILEARN_SHARED_DATA`` and ``NILEARN_DATA`` name, then ``~/nilearn_data``.
    environ : mapping, optional
        Where the variables are read; by default the environment of the process.

    Examples
    --------
    >>> [str(path) for path in candidate_dirs("/scratch:/home/me/data")]
    ['/scratch', '/home/me/data']
    """
    if data_dir is not None:
        given_path(data_dir)  # raises where it is no path
        texts = [os.fspath(data_dir)]
    else:
        environ = os.environ if environ is None else environ
        texts = [environ.get(name, "") for name in ("NILEARN_SHARED_DATA", "NILEARN_DATA")]
        texts.append("~/nilearn_data")
    parts = [part for text in texts for part in text.split(os.pathsep) if part]
    expanded = map(os.path.expanduser, parts)
    return [Path(part) for part in expanded if not part.startswith("~/")]  # no home is known


def find_root(
    data_dir: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
) -> Path:
    """Return the ``neurovault`` folder to use, without creating anything.

    Parameters
    ----------
    data_dir, environ
        See :func:`candidate_dirs`.

    Returns
    -------
    Path
        The first that exists, else the first that could be created.

    Raises
    ------
    DestinationError
        When none exists and none could be created.
    """
    roots = [path / _FOLDER for path in candidate_dirs(data_dir, environ)]
    for root in roots:
        if root.is_dir():
            return root.resolve() if root.is_symlink() else root
    for root in roots:
        if _can_be_created(root):
            return root
    listed = "".join(f"\n  {root}" for root in roots) or "\n  (no home folder is known)"
    raise DestinationError(
        f"None of these folders exists, and none can be created:{listed}\n"
        "Pass a data_dir that you may write to, or set NILEARN_DATA."
    )


def _can_be_created(path: Path) -> bool:
    ancestor = next((p for p in path.parents if os.path.lexists(p)), path)
    return ancestor.is_dir() and os.access(ancestor, os.W_OK | os.X_OK)


@dataclass(frozen=True)
class Cache:
    """The files below one ``neurovault`` folder.

    Parameters
    ----------
    root : Path
        That folder; it need not exist.

    Examples
    --------
    >>> Cache(Path("/data/neurovault")).image(658, 10426).as_posix()
    '/data/neurovault/collection_658/image_10426.nii.gz'
    """

    root: Path

    def collection_dir(self, collection_id: int) -> Path:
        """Return the folder of a collection."""
        return self.root / f"collection_{collection_id}"

    def collection_json(self, collection_id: int) -> Path:
        """Return the file of a collection's record."""
        return self.collection_dir(collection_id) / "collection_metadata.json"

    def image(self, collection_id: int, image_id: int) -> Path:
        """Return the file of a volume."""
        return self.collection_dir(collection_id) / f"image_{image_id}.nii.gz"

    def resampled(self, collection_id: int, image_id: int) -> Path:
        """Return the file of a resampled volume."""
        return self.collection_dir(collection_id) / f"image_{image_id}_resampled.nii.gz"

    def words(self, collection_id: int, image_id: int) -> Path:
        """Return the file of an image's Neurosynth words."""
        name = f"neurosynth_words_for_image_{image_id}.json"
        return self.collection_dir(collection_id) / name

    def image_json(self, collection_id: int, image_id: int) -> Path:
        """Return the file of an image's record: its commit mark."""
        return self.collection_dir(collection_id) / f"image_{image_id}_metadata.json"

    def collection_ids(self) -> list[int]:
        """Return the ids of all collections that have a folder, sorted."""
        return sorted(number for number, _ in scan_collections(self.root))

    def image_ids(self, collection_id: int) -> list[int]:
        """Return the ids of a collection's images that have a record, sorted."""
        return scan_images(self.collection_dir(collection_id))

    def read_collection(self, collection_id: int) -> LocalCollectionRecord | None:
        """Return a collection's record with its present paths, None when there is none.

        Raises
        ------
        TornRecordError
            When the file is not whole.
        """
        content = read_json(self.collection_json(collection_id))
        if content is None:
            return None
        record = _bare(cast("LocalCollectionRecord", content))
        folder = self.collection_dir(collection_id)
        record["relative_path"] = folder.name
        record["absolute_path"] = os.path.abspath(folder)
        return record

    def read_image(self, collection_id: int, image_id: int) -> LocalImageRecord | None:
        """Return an image's record with its present paths, None when there is none.

        Raises
        ------
        TornRecordError
            When the file is not whole, or belongs to another image.
        """
        path = self.image_json(collection_id, image_id)
        content = read_json(path)
        if content is None:
            return None
        if content.get("id") != image_id:
            raise TornRecordError(f"{path} holds the record of image {content.get('id')!r}.")
        content.setdefault("collection_id", collection_id)  # at its end: as when it was fetched
        record = cast("ImageRecord", content)
        return self.with_paths(record, collection_id)

    def with_paths(self, record: ImageRecord, collection_id: int) -> LocalImageRecord:
        """Return an image's record with the relative and absolute paths that nilearn gives."""
        number, full = record["id"], cast("LocalImageRecord", _bare(record))
        folder = f"collection_{collection_id}"
        # Text, not `Path`: this is done several times for each of many thousand images.
        root = os.path.join(os.path.abspath(self.root), "")
        volume = f"{folder}/image_{number}.nii.gz"
        full["relative_path"], full["absolute_path"] = volume, root + volume
        resampled = f"{folder}/image_{number}_resampled.nii.gz"
        full["resampled_relative_path"] = resampled
        full["resampled_absolute_path"] = root + resampled
        words = f"{folder}/neurosynth_words_for_image_{number}.json"
        if os.path.isfile(root + words):
            full["ns_words_relative_path"], full["ns_words_absolute_path"] = words, root + words
        return full

    def write_collection(self, record: CollectionRecord) -> bool:
        """Write a collection's record if it changed; say whether it did."""
        number = record["id"]
        content = {**_bare(record), "relative_path": self.collection_dir(number).name}
        return write_json(self.collection_json(number), content)

    def write_image(self, record: ImageRecord, collection_id: int) -> bool:
        """Write an image's record if it changed; say whether it did.

        The record says that the image is complete: write it when all its other files are there.
        """
        full = self.with_paths(record, collection_id)
        full["collection_id"] = full.get("collection_id") or collection_id  # nilearn fails without
        kept = {key: value for key, value in full.items() if "absolute" not in key}
        return write_json(self.image_json(collection_id, record["id"]), kept)


def _bare(record: _Row) -> _Row:
    """Return a record without its paths."""
    bare = {k: v for k, v in record.items() if "relative_path" not in k and "absolute" not in k}
    return cast("_Row", bare)


def scan_collections(root: Path) -> Iterator[tuple[int, os.DirEntry[str]]]:
    """Yield id and folder of each collection below a ``neurovault`` folder, in no order."""
    try:
        entries = os.scandir(root)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            found = _COLLECTION_DIR.fullmatch(entry.name)
            if found and entry.is_dir():
                yield int(found[1]), entry


def scan_images(folder: str | os.PathLike[str]) -> list[int]:
    """Return the ids of the images with a record in one collection's folder, sorted."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(found[1]) for name in names if (found := _IMAGE_JSON.fullmatch(name)))


def read_json(path: str | os.PathLike[str]) -> dict[str, object] | None:
    """Return the record in a file, None when there is no such file.

    Raises
    ------
    TornRecordError
        When it is not a whole JSON object: nilearn writes its files in place, so a reader may
        meet one that is half written.
    """
    try:
        record = json.loads(read_regular(path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as exc:
        raise TornRecordError(f"{os.fspath(path)} is not whole JSON: {exc}.") from exc
    if not isinstance(record, dict):
        raise TornRecordError(f"{os.fspath(path)} does not hold a record.")
    return record


def write_json(path: Path, record: Mapping[str, object]) -> bool:
    """Write a record atomically, unless the file already says the same.

    Parameters
    ----------
    path : Path
        Where; its folder is made if need be.
    record : mapping
        What; nothing in it may be other than JSON.

    Returns
    -------
    bool
        Whether the file was written.
    """
    if _says(path, record):
        return False
    write_atomically(path, json.dumps(record).encode())
    return True


def _says(path: Path, record: Mapping[str, object]) -> bool:
    try:
        return read_json(path) == dict(record)
    except TornRecordError:
        return False  # it is replaced by a whole one


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes so that a reader sees the old file or the new one, whole, even after a crash.

    The temporary file lies in the state folder, under a name that the next run knows and removes,
    should this process be killed. nilearn, which looks for ``image_*_metadata.json``, does not find
    it there.

    Raises
    ------
    DestinationError
        When they cannot be written; `DiskFullError` when the disk is full.
    UnsafeNameError
        When their folder leads out of the cache through a link.
    """
    try:
        _write(path, content)
    except OSError as exc:
        if exc.errno in FULL:
            raise DiskFullError(f"The disk is full: {path} was not written.") from exc
        raise DestinationError(f"{path} cannot be written: {exc.strerror or exc}.") from exc


def _write(path: Path, content: bytes) -> None:
    root = _root_of(path)
    Folder.made(root).close()
    relative = path.relative_to(root).as_posix()
    with DataDirectory(root, STATE).folder_of(relative) as final:
        with Folder.root(root) as above, above.below((STATE, "partial"), make=True) as drafts:
            for _ in range(_TRIES):
                draft = f"{name_of(path.name)}.{process_token()}.{secrets.token_hex(8)}.tmp"
                try:
                    _write_new(drafts, draft, content, final, path.name)
                except FileNotFoundError:
                    continue  # a run on another host, which does not know this process, removed it
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    break
                return
        # its folder is on another file system
        _write_new(final, f".{process_token()}.{secrets.token_hex(8)}", content, final, path.name)


def _write_new(drafts: Folder, draft: str, content: bytes, final: Folder, name: str) -> None:
    drafts.write_as(draft, content, final, name)
    final.sync()


def _root_of(path: Path) -> Path:
    """Return the root of the cache that a file of it lies in."""
    folder = path.parent
    for above in path.parents:
        if above.name == STATE:
            return above.parent
    return folder.parent if folder.name.startswith("collection_") else folder
