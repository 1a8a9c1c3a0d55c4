"""The betas of a session, from the beta store or else from the file, and the beta store itself."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from laion_fmri.beta_store.build import ensure
from laion_fmri.beta_store.read import SessionStore, Sources, may_write, remove_store
from laion_fmri.beta_store.zarr_layout import ShardLayout
from laion_fmri.config import chosen_store_dir, stores_of
from laion_fmri.errors import NotFiniteError
from laion_fmri.loader.layout import session_id, session_ids
from laion_fmri.loader.masks import MASK_SOURCE, brain_of, outside
from laion_fmri.loader.store_tasks import build_stores
from laion_fmri.loader.trials import read_trials
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.masking import masked
from laion_fmri.volumes.nifti import check_same_grid

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from laion_fmri.loader.layout import Layout, SessionName
    from laion_fmri.loader.masks import MaskSource
    from laion_fmri.loader.store_tasks import Executor, Progress
    from laion_fmri.volumes.brain_mask import Brain
    from laion_fmri.volumes.nifti import Header

    StoreMode = Literal["auto", "read", "off"]
    NanMode = Literal["keep", "raise", "zero"]

__all__ = ["BetaStore", "SessionBetas", "checked_nan"]

_NAN = ("keep", "raise", "zero")
_MODES = ("auto", "read", "off")
#: No warning for these: the user may only read a shared data directory.
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def _store_mode(mode: str | None) -> StoreMode:
    """Return how the store is used: as asked, else by ``LAION_FMRI_STORE``, else ``auto``.

    Raises
    ------
    ValueError
        If it is none of ``auto``, ``read``, ``off``.
    """
    chosen = mode or os.environ.get("LAION_FMRI_STORE") or "auto"
    if chosen not in _MODES:
        raise ValueError(f"store={chosen!r}: expected one of {', '.join(_MODES)}.")
    return chosen  # type: ignore[return-value]


def checked_nan(nan: object) -> NanMode:
    """Return what becomes of NaN and infinite values, or say what can."""
    if nan not in _NAN:
        raise ValueError(f"nan={nan!r}: expected 'keep', 'raise' or 'zero'.")
    return nan  # type: ignore[return-value]


class SessionBetas:
    """The betas of one session.

    Parameters
    ----------
    layout : Layout
    session : str
        Full form.
    brain : Brain
        Another process reads it again: pickled, this has its name and a digest.
    place : BetaStore
        Where the store is, and how it is used.
    """

    def __init__(self, layout: Layout, session: str, brain: Brain, place: BetaStore) -> None:
        self._layout = layout
        self._brain: Brain | None = brain
        self._brain_file = brain.file
        self._mode = place.mode
        self._elsewhere = place.store_dir
        self.session = session
        self.path: Path = layout.betas(session)
        group = session if brain.source == MASK_SOURCE else f"{session}_mask-{brain.source}"
        self.folder: Path = place.path / group
        self.sources: Sources = Sources(layout.data_dir, (self.path, brain.path))

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: names, and no voxels, which it reads itself."""
        return {**self.__dict__, "_brain": None}

    @property
    def brain(self) -> Brain:
        """The brain mask; read again where this came from another process."""
        if self._brain is None:
            self._brain = self._brain_file.read()
        return self._brain

    def rows(self, stimuli: str | None) -> NDArray[np.intp] | None:
        """Return the numbers of the trials with shared or unique stimuli; None for all."""
        return (
            None if stimuli is None else read_trials(self._layout.trials(self.session)).of(stimuli)
        )

    def read(
        self,
        columns: NDArray[np.intp] | None,
        rows: NDArray[np.intp] | None = None,
        *,
        finite: bool = False,
    ) -> NDArray[np.float32]:
        """Read some voxels (None: all) of some trials (None: all).

        With `finite`, NaN and infinite values are an error (`NotFiniteError`).
        """
        store = self._store(build=columns is not None)
        if store is None:
            return self._stream(columns, rows, finite=finite)
        self._check_trials(store.layout.trials)
        places = np.arange(store.layout.voxels) if columns is None else columns
        try:
            values = store.read(places, rows)
        except OSError:  # It was removed or replaced after it was opened; the file is still there.
            return self._stream(columns, rows, finite=finite)
        if finite:
            self._check_finite(values, places, rows)
        return values

    def header(self) -> Header:
        """Return the header of the file; its volumes are not read."""
        with open_file(self.path) as reader:
            self._check(reader.header)
            return reader.header

    @property
    def name(self) -> str:
        """Subject and session, for messages."""
        return f"{self._layout.subject}, {self.session}"

    def is_stored(self) -> bool:
        """Whether the session has a store that is up to date."""
        return SessionStore.open(self.folder, self.sources) is not None

    def ensure_store(self, stopped: threading.Event | None = None) -> SessionStore:
        """Open the session's store, or build it."""
        found = SessionStore.open(self.folder, self.sources)
        if found:
            return found
        self._check_trials(self.header().volumes)
        return ensure(self.folder, self.sources, self.brain.voxels, stopped)

    def need_store(self, stopped: threading.Event | None = None) -> SessionStore:
        """Open the session's store, or build it, for callers that cannot work without one.

        Raises
        ------
        OSError
            If there is none and none can be written; the message says what works without one.
        """
        try:
            return self.ensure_store(stopped)
        except OSError as exc:
            if exc.errno is None:  # a damaged file; the message says so
                raise
            raise OSError(exc.errno, self._no_store(exc), str(self.folder)) from exc

    def can_store(self, shape: tuple[int, int]) -> bool:
        """Whether the session has a store, or could get one of this shape; nothing is built.

        Where it cannot for another reason than missing rights in the data directory, a warning
        says so.
        """
        if self._mode != "off" and self.is_stored():
            return True
        if self._mode != "auto":
            return False
        above = next(folder for folder in self.folder.parents if os.path.exists(folder))
        needed = ShardLayout(*shape).file_bytes
        if not os.path.isdir(above):
            self._warn(f"{above} is no directory")
            return False
        if not may_write(above):
            if self._elsewhere is not None:
                self._warn(f"{above} cannot be written")
            return False
        if shutil.disk_usage(above).free < needed:
            self._warn(f"{above} has no room for {needed:,} bytes")
            return False
        return True

    def any_store(self) -> SessionStore | None:
        """Return the session's store, built if need be, or None where none can be.

        Where it cannot be written for another reason than missing rights, a warning says so.
        """
        return self._store(build=True)

    def _store(self, *, build: bool) -> SessionStore | None:
        if self._mode == "off":
            return None
        found = SessionStore.open(self.folder, self.sources)
        if found or self._mode == "read" or not build:
            return found
        try:
            return self.ensure_store()
        except OSError as exc:
            if exc.errno is None:  # a damaged file, which the caller has to know
                raise
            if self._elsewhere is not None or exc.errno not in _READ_ONLY:
                self._warn(str(exc), self.session)
            return None

    def _warn(self, problem: str, session: str = "") -> None:
        # Without the session it is one text, which Python shows once.
        whose = f"{self._layout.subject}, {session}" if session else self._layout.subject
        warnings.warn(
            f"No beta store for {whose} ({problem}); betas are "
            "read from the file instead. To put stores elsewhere: store_dir=DIR or "
            "LAION_FMRI_STORE_DIR=DIR. To silence this: store='off' or LAION_FMRI_STORE=off.",
            stacklevel=outside(),
        )

    def _no_store(self, exc: OSError) -> str:
        """Return why no store can be built, and what can be done."""
        if self._elsewhere is None:
            return (
                f"{exc.strerror}: no beta store can be built in this data directory; reading works "
                "without one, and store_dir=DIR or LAION_FMRI_STORE_DIR=DIR puts stores elsewhere"
            )
        return (
            f"{exc.strerror}: no beta store can be built in the store directory "
            f"{self._elsewhere}; reading works without one. Choose another by store_dir=DIR or "
            "LAION_FMRI_STORE_DIR=DIR"
        )

    def read_part(
        self, columns: NDArray[np.intp], rows: NDArray[np.intp] | None, *, build: bool
    ) -> NDArray[np.float32]:
        """Read some voxels of some trials (None: all, else in any order).

        From the store where there is one, or where one is to be built: another machine may have a
        store directory of its own.
        """
        store = self._store(build=build)
        if store is not None:
            try:
                return store.read(columns, rows)
            except OSError:  # removed or replaced after it was opened; the file is still there
                pass
        return self.from_file(columns, rows)

    def from_file(
        self, columns: NDArray[np.intp] | None, rows: NDArray[np.intp] | None
    ) -> NDArray[np.float32]:
        """Read some voxels (None: all) of some trials (None: all, else in any order) from the file.

        All of the file is decompressed. Voxels are ascending.
        """
        if rows is None:
            return self._stream(columns, None, finite=False)
        ascending, inverse = np.unique(rows, return_inverse=True)
        return self._stream(columns, ascending, finite=False)[inverse]

    def _stream(
        self,
        columns: NDArray[np.intp] | None,
        rows: NDArray[np.intp] | None,
        *,
        finite: bool,
    ) -> NDArray[np.float32]:
        with open_file(self.path) as reader:
            self._check(reader.header)
            self._check_trials(reader.header.volumes)
            keep = None
            if rows is not None:
                keep = np.zeros(reader.header.volumes, dtype=bool)
                keep[rows] = True
            return masked(reader, self.brain.part(columns), keep, finite=finite)

    def _check(self, header: Header) -> None:
        header.need(4)
        check_same_grid(header, self.brain.header)

    def _check_trials(self, volumes: int) -> None:
        try:
            path = self._layout.trials(self.session)
        except FileNotFoundError:  # betas can be read without the table
            return
        read_trials(path).check(volumes, self.path)

    def _check_finite(
        self,
        values: NDArray[np.float32],
        columns: NDArray[np.intp],
        rows: NDArray[np.intp] | None,
    ) -> None:
        # Row by row: all at once would need memory of the size of the values.
        position = next((i for i, row in enumerate(values) if not np.isfinite(row).all()), None)
        if position is None:
            return
        good = np.isfinite(values[position])
        number = int(position if rows is None else rows[position])
        count, first = int((~good).sum()), self.brain.voxels.indices[columns[int(good.argmin())]]
        where = tuple(int(axis) for axis in np.unravel_index(first, self.brain.header.grid))
        problem = (
            f"volume {number} (counted from 0) has NaN or infinite values in {count} of the "
            f"{values.shape[1]} voxels asked for, the first at {where}; nan='keep' takes them as "
            "they are"
        )
        raise NotFiniteError(str(self.path), problem)


class BetaStore:
    """The beta store of one subject, and the sessions that it is made from.

    See `laion_fmri.subject.Subject.store`.

    Parameters
    ----------
    layout : Layout
    mode : {"auto", "read", "off"}, optional
        How reading uses the store: see `laion_fmri.subject.load_subject`.
    store_dir : str or path, optional
        Where stores lie outside of data directories: see there.

    Attributes
    ----------
    mode : {"auto", "read", "off"}
        ``auto`` builds a session's store on the first call that asks for a part of the brain;
        ``read`` uses a store that exists; ``off`` reads the file.
    store_dir : pathlib.Path or None
        None where the store lies in the data directory.
    path : pathlib.Path
        The Zarr group of the store, whether it exists or not.
    """

    def __init__(
        self,
        layout: Layout,
        mode: str | None = None,
        store_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._layout = layout
        self.mode = _store_mode(mode)
        # Known once and for all, so that another process finds it whatever its own settings are.
        self.store_dir: Path | None = chosen_store_dir(store_dir)
        stores = stores_of(layout.data_dir, self.store_dir)
        self.path: Path = stores / f"{layout.subject}.zarr"

    def __repr__(self) -> str:
        return f"<BetaStore {self.path}, {self.mode}>"

    def session(self, session: SessionName, mask_source: MaskSource = MASK_SOURCE) -> SessionBetas:
        """Return the betas of one session, which are read from the store where it has them.

        Raises
        ------
        DataNotDownloadedError
            If they, or the brain mask, are not on disk.
        """
        return self.on(brain_of(self._layout, mask_source), session)

    def on(self, brain: Brain, session: SessionName) -> SessionBetas:
        """Return the same, over a brain mask that was read."""
        return SessionBetas(self._layout, session_id(session), brain, self)

    def sessions(
        self,
        session: SessionName | Iterable[SessionName] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> list[SessionBetas]:
        """Return the betas of the sessions named; with None, of all whose betas are on disk."""
        if session is None:
            names = [name for name in self._layout.sessions() if self._layout.has_betas(name)]
        else:
            names = session_ids(session)
        if not names:
            return []
        brain = brain_of(self._layout, mask_source)
        return [self.on(brain, name) for name in names]

    def build(
        self,
        session: SessionName | Iterable[SessionName] | None = None,
        *,
        n_jobs: int | None = None,
        executor: Executor | None = None,
        mask_source: MaskSource = MASK_SOURCE,
        progress: Progress | None = None,
    ) -> Path:
        """Build the store; see `laion_fmri.subject.Subject.build_store`."""
        sessions = self.sessions(session, mask_source)
        if not sessions:
            raise ValueError("No session to build a store for: no betas are on disk.")
        build_stores(sessions, n_jobs, executor, progress)
        return self.path

    def remove(self) -> bool:
        """Remove the store; False where there is none."""
        return remove_store(self.path)
