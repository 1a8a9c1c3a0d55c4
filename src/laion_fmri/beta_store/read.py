"""Read the beta store: an ROI of a session in a few short reads.

One Zarr v3 group per subject, ``sub-03.zarr`` in a folder that `laion_fmri.config.stores_of` tells,
one group in it per session, which records the files that it was made from. A session counts as
missing if these files have changed, or if its shard has the wrong size. The store can be removed
without any loss.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.beta_store.zarr_layout import CHUNK_VOXELS, ShardLayout
from neurofetch.engine import read_receipts
from neurofetch.store.atomic import read_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["FORMAT", "SessionStore", "Sources", "may_write", "remove_store", "retire"]

#: Increased when the layout changes; a store with another number is built again.
FORMAT = 1
#: Consecutive chunks are read together up to this many bytes.
_RUN = 8 << 20


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that a session's store is made from.

    Parameters
    ----------
    data_dir : pathlib.Path
        Paths are kept relative to it, so that a data directory can be moved.
    paths : tuple of pathlib.Path
        The single-trial betas, and the mean-R² map that gives the brain mask.
    """

    data_dir: Path
    paths: tuple[Path, ...]

    def identity(self) -> list[dict[str, Any]]:
        """Return path, size and modification time of each, as they are now."""
        return [self._identity(path) for path in self.paths]

    def with_receipts(self) -> list[dict[str, Any]]:
        """Return the same, and the checksum from the receipt of the download."""
        receipts = read_receipts(self.data_dir / ".laion_fmri")
        found = []
        for now in self.identity():
            receipt = receipts.get(now["path"])
            # A receipt is valid only for the file that it was written for.
            known = receipt and (receipt.size, receipt.mtime_ns) == (now["size"], now["mtime_ns"])
            found.append({**now, "digest": receipt.digest if receipt and known else ""})
        return found

    def same(self, made: object) -> bool:
        """Whether the files are those that a store was made from.

        Size and modification time are compared. Where only the time differs, as after the same
        content was fetched again, the checksums of the receipts are compared.
        """
        if not isinstance(made, list) or not all(isinstance(one, dict) for one in made):
            return False
        then = [{name: one.get(name) for name in ("path", "size", "mtime_ns")} for one in made]
        now = self.identity()
        if then == now:
            return True
        if [(one["path"], one["size"]) for one in then] != [(o["path"], o["size"]) for o in now]:
            return False
        digests = [one.get("digest") for one in made]
        return all(digests) and digests == [one["digest"] for one in self.with_receipts()]

    def _identity(self, path: Path) -> dict[str, Any]:
        now = os.stat(path)
        name = Path(os.path.relpath(path, self.data_dir)).as_posix()
        return {"path": name, "size": now.st_size, "mtime_ns": now.st_mtime_ns}


@dataclass(frozen=True, slots=True)
class SessionStore:
    """The betas of one session, by voxel.

    Parameters
    ----------
    folder : pathlib.Path
        The session's Zarr group.
    layout : ShardLayout
        Number of trials and of voxels in the brain mask.
    """

    folder: Path
    layout: ShardLayout

    @classmethod
    def open(cls, folder: Path, sources: Sources) -> SessionStore | None:
        """Open the store if it exists and was made from these files; None otherwise."""
        try:
            made = _attributes((folder / "zarr.json").read_bytes())
            size = (folder / "betas" / "c" / "0" / "0").stat().st_size
        except OSError:  # not there, another user's, on a disk that fails: files can be read
            return None
        if made.get("format") != FORMAT or not sources.same(made.get("sources")):
            return None
        layout = ShardLayout(made["trials"], made["voxels"])
        return cls(folder, layout) if size == layout.file_bytes else None

    @property
    def shard(self) -> Path:
        """The file that holds the betas."""
        return self.folder / "betas" / "c" / "0" / "0"

    def read(
        self, columns: NDArray[np.intp], rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float32]:
        """Read some voxels of all trials, or of some.

        Parameters
        ----------
        columns : numpy.ndarray
            Positions in the brain mask, ascending, each once.
        rows : numpy.ndarray, optional
            Numbers of the trials, in any order.

        Returns
        -------
        numpy.ndarray
            float32, shape (n_rows, n_columns).

        Raises
        ------
        OSError
            If the store was removed, or replaced by one of another shape, since it was opened.
        """
        count = self.layout.trials if rows is None else len(rows)
        out = np.empty((count, len(columns)), dtype=np.float32)
        with _opened(self.shard) as shard:
            if os.fstat(shard).st_size != self.layout.file_bytes:
                raise OSError(errno.ESTALE, "replaced by another process", str(self.shard))
            if rows is not None and 8 * count < self.layout.trials:
                self._read_rows(shard, columns, rows, out)
            else:
                self._read_chunks(shard, columns, rows, out)
        return out

    def _read_chunks(
        self,
        shard: int,
        columns: NDArray[np.intp],
        rows: NDArray[np.intp] | None,
        out: NDArray[np.float32],
    ) -> None:
        at_most = max(_RUN // self.layout.chunk_bytes, 1)
        buffer = np.empty((at_most, self.layout.trials, CHUNK_VOXELS), dtype="<f4")
        for first, last, pieces in _runs(columns, at_most):
            block = buffer[: last - first]
            _pread(shard, block, first * self.layout.chunk_bytes)
            for chunk, begin, end in pieces:
                local = columns[begin:end] - chunk * CHUNK_VOXELS
                values = block[chunk - first]
                out[:, begin:end] = _pick(values if rows is None else values[rows], local)

    def _read_rows(
        self,
        shard: int,
        columns: NDArray[np.intp],
        rows: NDArray[np.intp],
        out: NDArray[np.float32],
    ) -> None:
        row = np.empty(CHUNK_VOXELS, dtype="<f4")
        for _, _, pieces in _runs(columns, 1):
            for chunk, begin, end in pieces:
                local = columns[begin:end] - chunk * CHUNK_VOXELS
                base = chunk * self.layout.chunk_bytes
                for number, trial in enumerate(rows):
                    _pread(shard, row, base + int(trial) * self.layout.row_bytes)
                    out[number, begin:end] = row[local]


def _attributes(document: bytes) -> dict[str, Any]:
    """Return the attributes of a session's group; empty if they are not those of a beta store."""
    try:
        made = json.loads(document)["attributes"]
        return {**made, "trials": int(made["trials"]), "voxels": int(made["voxels"])}
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return {}


def _pick(values: NDArray[np.float32], local: NDArray[np.intp]) -> NDArray[np.float32]:
    # Neighbouring voxels are one slice, which is faster than an index array.
    if local[-1] - local[0] + 1 == len(local):
        return values[:, local[0] : local[-1] + 1]
    return values[:, local]


def _runs(
    columns: NDArray[np.intp], at_most: int
) -> Iterator[tuple[int, int, Sequence[tuple[int, int, int]]]]:
    """Group the chunks that `columns` touch into runs (first, last + 1, pieces of columns)."""
    chunks, begins = np.unique(columns // CHUNK_VOXELS, return_index=True)
    ends = np.append(begins, len(columns))[1:]
    run: list[tuple[int, int, int]] = []
    for chunk, begin, end in zip(chunks.tolist(), begins.tolist(), ends.tolist(), strict=True):
        if run and (chunk != run[-1][0] + 1 or len(run) == at_most):
            yield run[0][0], run[-1][0] + 1, run
            run = []
        run.append((chunk, begin, end))
    if run:
        yield run[0][0], run[-1][0] + 1, run


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _pread(descriptor: int, array: NDArray[Any], offset: int) -> None:
    buffer = array.reshape(-1).view(np.uint8).data
    done = read_at(descriptor, buffer, offset)
    if done < len(buffer):
        raise OSError(f"the beta store ends at byte {offset + done}: it was truncated while in use")


def may_write(folder: Path) -> bool:
    """Whether entries of a folder can be made and renamed by this process."""
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def retire(folder: Path, root: Path) -> None:
    """Rename a folder, then remove it, so that no reader sees half of it."""
    retired = root / ".tmp" / f"old-{uuid.uuid4().hex}"
    retired.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(retired)
    except FileNotFoundError:  # another process was first
        return
    shutil.rmtree(retired, ignore_errors=True)


def remove_store(folder: Path) -> bool:
    """Remove a subject's store; False where there is none."""
    if not os.path.isdir(folder):
        return False
    retire(folder, folder.parent)
    return True
