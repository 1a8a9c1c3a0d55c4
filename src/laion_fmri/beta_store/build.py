"""Build the beta store while the betas are read.

A session is built in a folder of its own under ``store/.tmp`` and renamed to its final name when it
is complete and on disk. Many processes may build at once: whoever comes last finds that the same
content is there already, and leaves it. That needs no lock between processes; none is taken.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.beta_store.read import FORMAT, SessionStore, Sources, may_write, retire
from laion_fmri.beta_store.zarr_layout import (
    CHUNK_VOXELS,
    ShardLayout,
    array_document,
    group_document,
    index_table,
    sharded_document,
)
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import Voxels, forward_pass
from neurofetch.store.atomic import is_there, replacing, write_at, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from laion_fmri.volumes.byte_stream import Reader

__all__ = ["Stopped", "build", "ensure"]

#: Bytes of trials that are collected, at most, before they are written to the chunks.
_BATCH = 12 << 20
#: Trials of one chunk that fill a page of 4 KB: writes of whole pages are faster.
_PAGE_TRIALS = 8
#: A temporary folder that has not changed for a day is left over from a process that crashed.
_STALE_SECONDS = 24 * 3600.0

_locks: dict[Path, threading.Lock] = {}
_locks_guard = threading.Lock()


def _forget_locks() -> None:
    """Free what threads of the parent process held when it was forked."""
    global _locks_guard  # noqa: PLW0603 - it may be held
    _locks_guard = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


class Stopped(BaseException):
    """A build was stopped before its end, as by Ctrl-C; nothing is left behind."""


def ensure(
    folder: Path, sources: Sources, voxels: Voxels, stopped: threading.Event | None = None
) -> SessionStore:
    """Open a session's store, or build it first.

    Threads of one process wait for each other; processes do not.
    """
    with _locks_guard:
        lock = _locks.setdefault(folder, threading.Lock())
    with lock:
        return SessionStore.open(folder, sources) or build(folder, sources, voxels, stopped)


def build(
    folder: Path, sources: Sources, voxels: Voxels, stopped: threading.Event | None = None
) -> SessionStore:
    """Read a session's betas into a new store, in one pass.

    Parameters
    ----------
    folder : pathlib.Path
        The session's group in the subject's store.
    sources : Sources
        The betas first.
    voxels : Voxels
        The brain mask.
    stopped : threading.Event, optional
        Ends the work when it is set.

    Raises
    ------
    Stopped
        If `stopped` was set.
    BadDataError
        If the betas are damaged or on another grid. NaN is stored as it is.
    OSError
        If the disk is full or may not be written; nothing is left behind.
    """
    root = folder.parent.parent
    made = sources.with_receipts()
    _prepare(folder)
    _clear_stale(root / ".tmp")
    with _temporary(root) as draft, open_file(sources.paths[0]) as reader:
        reader.header.need(4)
        layout = ShardLayout(reader.header.volumes, len(voxels))
        _fill_shard(draft / "betas" / "c" / "0" / "0", reader, voxels, layout, stopped)
        write_atomically(draft / "betas" / "zarr.json", sharded_document(layout))
        write_atomically(draft / "voxel" / "c" / "0", voxels.indices.astype("<i8").tobytes())
        write_atomically(
            draft / "voxel" / "zarr.json", array_document("int64", len(voxels), "voxel")
        )
        write_atomically(draft / "zarr.json", group_document(_attributes(made, layout, reader)))
        if not sources.same(made):
            raise OSError(errno.EBUSY, "changed while it was read", str(sources.paths[0]))
        _share_all(draft, root)
        _settle(draft, folder, sources)
    return SessionStore(folder, layout)


def _prepare(folder: Path) -> None:
    """Make the folders, and see that the store can take its place before any work is done."""
    group, root = folder.parent, folder.parent.parent
    above = next(one for one in root.parents if os.path.exists(one))
    missing = [one for one in (root, *root.parents) if one.is_relative_to(above) and one != above]
    for one in (*reversed(missing), root / ".tmp"):
        try:
            one.mkdir()
        except FileExistsError:
            continue
        _share(one, one.parent)
    for one in (root / ".tmp", group, folder):
        if os.path.lexists(one) and not may_write(one):
            raise PermissionError(errno.EACCES, "Permission denied", str(one))


def _share(path: Path, above: Path) -> None:
    """Give the group the rights that it has in the folder above, if it is the same group.

    So people who share a folder for stores need no umask for it.
    """
    there, here = os.stat(above), os.stat(path)
    rights = there.st_mode & 0o070
    if there.st_gid != here.st_gid or not rights & stat.S_IWGRP or here.st_uid != os.geteuid():
        return
    if not stat.S_ISDIR(here.st_mode):
        rights &= ~stat.S_IXGRP
    mode = stat.S_IMODE(here.st_mode)
    if mode | rights != mode:
        with suppress(OSError):  # a file system without such rights
            os.chmod(path, mode | rights)


def _share_all(draft: Path, root: Path) -> None:
    for one in (draft, *draft.rglob("*")):
        _share(one, root)


def _attributes(made: list[dict[str, Any]], layout: ShardLayout, reader: Reader) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "made_by": "laion_fmri",
        "content": "single-trial betas; `voxel` is the place in the C-order ravel of `grid`",
        "sources": made,
        "trials": layout.trials,
        "voxels": layout.voxels,
        "grid": list(reader.header.grid),
        "affine": reader.header.affine.tolist(),
    }


def _fill_shard(
    path: Path,
    reader: Reader,
    voxels: Voxels,
    layout: ShardLayout,
    stopped: threading.Event | None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # a file server may be asked twice
    depth = _depth(layout)
    row = np.zeros(layout.chunks * CHUNK_VOXELS, dtype="<f4")
    batch = np.empty((layout.chunks, depth, CHUNK_VOXELS), dtype="<f4")
    with open(path, "wb", buffering=0) as file:
        _reserve(file.fileno(), layout.file_bytes)
        for trial in forward_pass(reader, voxels, lambda _: row[: len(voxels)], finite=False):
            if stopped is not None and stopped.is_set():
                raise Stopped
            batch[:, trial % depth] = row.reshape(layout.chunks, CHUNK_VOXELS)
            if (trial + 1) % depth == 0 or trial + 1 == layout.trials:
                _spread(file.fileno(), batch, trial - trial % depth, trial + 1, layout)
        write_at(file.fileno(), index_table(layout), layout.data_bytes)
        os.fsync(file.fileno())


def _depth(layout: ShardLayout) -> int:
    """Return how many trials are collected."""
    depth = _BATCH // (layout.chunks * layout.row_bytes or 1)
    if depth > _PAGE_TRIALS:
        depth -= depth % _PAGE_TRIALS
    return max(min(depth, layout.trials), 1)


def _spread(
    descriptor: int, batch: NDArray[np.float32], first: int, end: int, layout: ShardLayout
) -> None:
    size = (end - first) * layout.row_bytes
    for chunk in range(layout.chunks):
        piece = batch[chunk].reshape(-1).view(np.uint8).data[:size]
        write_at(descriptor, piece, chunk * layout.chunk_bytes + first * layout.row_bytes)


def _reserve(descriptor: int, size: int) -> None:
    """Allocate the space first, so that a full disk is found before the work, not after it."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        os.ftruncate(descriptor, size)
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(descriptor, size)


@contextmanager
def _temporary(root: Path) -> Iterator[Path]:
    path = root / ".tmp" / f"new-{uuid.uuid4().hex}"
    path.mkdir(parents=True, exist_ok=True)  # a file server may be asked twice
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _settle(draft: Path, folder: Path, sources: Sources) -> None:
    """Rename to the final name, unless another process has put a good store there meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _share(folder.parent, folder.parent.parent)
    _write_subject(folder.parent)
    for _ in range(10):
        try:
            draft.rename(folder)
        except FileNotFoundError:  # or done, and the answer of the file server was lost
            if not is_there(folder) or not SessionStore.open(folder, sources):
                raise
            return
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        if SessionStore.open(folder, sources):
            return
        retire(folder, folder.parent.parent)
    raise OSError(errno.EBUSY, "other processes keep replacing this store", str(folder))


def _write_subject(group: Path) -> None:
    path = group / "zarr.json"
    if path.exists():
        return
    # In the folder that `_clear_stale` clears after a crash, and that no reader of the group sees.
    draft = f"../.tmp/group-{uuid.uuid4().hex}"
    with replacing(path, draft=draft) as temporary:
        Path(temporary).write_bytes(group_document({"format": FORMAT, "made_by": "laion_fmri"}))
        _share(Path(temporary), group)


def _clear_stale(tmp: Path) -> None:
    """Remove what crashed processes left behind."""
    horizon = time.time() - _STALE_SECONDS
    for path in tmp.glob("*"):
        try:
            old = os.stat(path).st_mtime < horizon
        except FileNotFoundError:  # its own process removed it
            continue
        if old and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif old:
            with suppress(FileNotFoundError, PermissionError):  # gone, or another user's
                path.unlink()
