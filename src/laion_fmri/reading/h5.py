"""An HDF5 file that each process opens for itself, when it first reads from it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from laion_fmri.errors import BadDataError, CorruptFileError
from neurofetch.extras import need

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LazyFile"]

_NO_LOCK = (errno.EAGAIN, errno.EACCES, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524)
"""Where another program has a lock, or the file system (NFS: 524) has none."""

_WHOLE = 16
"""Where one row in so many is wanted, reading all of them is faster than choosing."""


class LazyFile:
    """An HDF5 file, opened for reading at the first access.

    A copy in another process, forked or unpickled, opens it again: a handle of HDF5 belongs to one
    process.

    Parameters
    ----------
    path : pathlib.Path
    """

    def __init__(self, path: Path) -> None:
        need(f"reading {path.name}", "stimuli", "h5py", "numpy")
        self.path = path
        self._open: tuple[int, Any] | None = None
        self._closed = False

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def __getitem__(self, name: str) -> Any:
        """Return a dataset.

        Raises
        ------
        BadDataError
            If the file has none of that name.
        CorruptFileError
            If it is no HDF5 file, or a part of one.
        ValueError
            If it was closed.
        """
        if self._closed:
            raise ValueError(f"{self.path} was closed. Load it again.")
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), self._opened())
        file = self._open[1]
        try:
            if name in file:
                return file[name]
            names = list(file)
        except (KeyError, OSError, RuntimeError) as exc:  # as h5py says that a file is damaged
            raise self._damaged(name, exc) from exc
        raise BadDataError(str(self.path), f"has no dataset {name!r}; it has {names}")

    def _opened(self) -> Any:
        import h5py

        try:
            try:
                return h5py.File(self.path, "r")
            except OSError as exc:
                if exc.errno not in _NO_LOCK:
                    raise
                # Files come by their name when they are whole, so that reading needs no lock. It is
                # tried first, as a file that is open twice must be opened the same way.
                return h5py.File(self.path, "r", locking=False)
        except OSError as exc:
            if exc.errno:  # of the system: permission, too many open files
                raise
            raise CorruptFileError(str(self.path), f"cannot be read as HDF5 ({exc})") from exc

    def __contains__(self, name: str) -> bool:
        """Whether there is a dataset of this name."""
        try:
            self[name]
        except CorruptFileError:
            raise
        except BadDataError:
            return False
        return True

    def _damaged(self, name: str, exc: Exception) -> CorruptFileError:
        return CorruptFileError(str(self.path), f"{name!r} cannot be read ({exc})")

    def read(self, name: str, rows: Any) -> Any:
        """Return rows of a dataset, by whatever h5py takes.

        Raises
        ------
        CorruptFileError
            If they are damaged.
        """
        data = self[name]
        try:
            return data[rows]
        except (KeyError, OSError, RuntimeError) as exc:
            raise self._damaged(name, exc) from exc

    def gather(self, name: str, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return rows in any order, each as often as it is asked for.

        h5py itself takes a list of rows only if it rises and has no row twice.
        """
        import numpy as np

        chosen, places = np.unique(rows, return_inverse=True)
        if len(chosen) * _WHOLE >= len(self[name]):
            found = self.read(name, slice(None))[chosen]
        else:
            found = self.read(name, chosen)
        gathered: NDArray[Any] = np.asarray(found)[places.reshape(-1)]
        return gathered

    def texts(self, name: str) -> NDArray[np.str_]:
        """Return a dataset of names."""
        import numpy as np

        data = self[name]
        try:
            return np.asarray(data.asstr()[:], dtype=np.str_)
        except (KeyError, OSError, RuntimeError) as exc:
            raise self._damaged(name, exc) from exc
        except (TypeError, UnicodeDecodeError) as exc:
            raise BadDataError(str(self.path), f"{name!r} holds no names ({exc})") from exc

    def close(self) -> None:
        """Close it for good, in this process."""
        self._closed = True
        if self._open is not None and self._open[0] == os.getpid():
            self._open[1].close()
        self._open = None
