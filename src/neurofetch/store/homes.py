"""Where temporary files lie: on the file system of their final names, or no rename can name them.

Usually that is one folder below the state folder. But a folder of the data directory can be a
file system of its own: a mount, a quota, a sub-volume. Then the temporary files for it lie at its
top, in a folder of the same name as the state folder. That is found out by looking, and where
looking does not tell (bind mounts, filesets), by the first rename that fails. It is written down in
the state folder, so that later runs find what was left there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from neurofetch.errors import UnsafeNameError
from neurofetch.store.atomic import write_all
from neurofetch.store.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Homes"]

_PARTIAL = "partial"
_NOTES = "homes"
_TRIES = 4
_LIMIT = 4096
"""Bytes of a note: a path is no longer."""


class Homes:
    """The folders of temporary files of one data directory.

    Parameters
    ----------
    state : Path
        The state folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._root = state.parent
        self._open: dict[str, Folder] = {}
        self._of: dict[str, str] = {}
        """By folder of final names: the home of its temporary files, relative to the root."""

    def make(self) -> None:
        """Make and open the usual one.

        Raises
        ------
        UnsafeNameError
            If a link stands in the place of a folder.
        OSError
        """
        self._at("")

    def existing(self) -> list[Folder]:
        """Return all of them that there are; what cannot be opened is passed over.

        Raises
        ------
        UnsafeNameError
            If a link stands in the place of the usual one.
        """
        found = [self._open.get("") or self._opened("", make=False)]
        for home in self._noted():
            with contextlib.suppress(UnsafeNameError, OSError):  # it is no home any more
                found.append(self._open.get(home) or self._opened(home, make=False))
        return [folder for folder in found if folder is not None]

    def of(self, path: str) -> Folder:
        """Return the folder for the temporary files of a final name.

        Raises
        ------
        OSError
        """
        folder = path.rpartition("/")[0]
        home = self._of.get(folder)
        if home is None:
            home = self._of[folder] = self._looked_up(folder)
        return self._at(home)

    def elsewhere(self, path: str) -> Folder | None:
        """Return the folder to use, since a rename from the usual one has failed (EXDEV).

        Returns
        -------
        Folder or None
            None where no folder on the way to the file is on its file system.
        """
        folder = path.rpartition("/")[0]
        names = folder.split("/") if folder else []
        for count in range(1, len(names) + 1):
            home = "/".join(names[:count])
            with contextlib.suppress(OSError):
                place = self._at(home)
                if self._reaches(place, names):
                    self._of[folder] = home
                    return place
        return None

    def close(self) -> None:
        """Close them; those on other file systems are removed when nothing is in them.

        Also those of other runs, which may have been killed: a run that lives makes its own anew.
        """
        homes = {*self._open, *self._noted()} - {""}
        while self._open:
            self._open.popitem()[1].close()
        for home in homes:
            with contextlib.suppress(OSError, UnsafeNameError), Folder.root(self._root) as root:
                names = home.split("/")
                with root.below((*names, self._state.name)) as above:
                    os.rmdir(_PARTIAL, dir_fd=above.fd)
                with root.below(names) as above:
                    os.rmdir(self._state.name, dir_fd=above.fd)

    # -- finding them ------------------------------------------------------------------------

    def _looked_up(self, folder: str) -> str:
        """Return the top of the file system that a folder is on; "" for that of the root."""
        usual = self._at("").device()
        names = folder.split("/") if folder else []
        devices = [device for device in map(self._device, _ways(names)) if device is not None]
        if not devices or devices[-1] == usual:
            return ""
        first = next(n for n, device in enumerate(devices) if device == devices[-1])
        home = "/".join(names[: first + 1])
        try:
            self._at(home)
        except OSError:  # it cannot be written: that is told when the file gets its name
            return ""
        return home

    def _device(self, folder: str) -> int | None:
        try:
            return os.stat(self._root / folder).st_dev
        except OSError:
            return None

    def _reaches(self, place: Folder, names: list[str]) -> bool:
        """Whether a file can be renamed from a home to the folder of final names."""
        probe = f".neurofetch-{secrets.token_hex(8)}"
        fd = place.create(probe)
        try:
            with Folder.root(self._root) as root, root.below(names) as final:
                place.rename(probe, final, probe, file=fd)
                final.remove(probe)
        except OSError as error:
            place.remove(probe)
            if error.errno != errno.EXDEV:
                raise
            return False
        finally:
            os.close(fd)
        return True

    # -- opening them ------------------------------------------------------------------------

    def _at(self, home: str) -> Folder:
        folder = self._open.get(home)
        if folder is None or not _is_there(folder):
            folder = self._opened(home, make=True)
            if folder is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), home)
            if home:
                self._note(home)
            self._open[home] = folder
        return folder

    def _opened(self, home: str, *, make: bool) -> Folder | None:
        names = home.split("/") if home else []
        for tries_left in range(_TRIES if make else 0, -1, -1):
            opened = Folder.made if make else Folder.root
            try:
                with opened(self._root) as root:
                    return root.below((*names, self._state.name, _PARTIAL), make=make)
            except (FileNotFoundError, NotADirectoryError):
                if make and not tries_left:  # else another run removes it just now, empty
                    raise
        return None

    def _noted(self) -> list[str]:
        """Return the homes that this run or others wrote down."""
        raw: list[bytes] = []
        with (
            contextlib.suppress(OSError, UnsafeNameError),
            Folder.root(self._root) as root,
            root.below((self._state.name, _NOTES)) as notes,
        ):
            for name in sorted(notes.names()):
                with contextlib.suppress(OSError):  # a pipe, one of another user: it costs itself
                    raw.append(notes.read(name, _LIMIT))
        homes = (os.fsdecode(line) for line in raw)
        return [home for home in homes if home and "\0" not in home and _is_below(home)]

    def _note(self, home: str) -> None:
        raw = os.fsencode(home)
        name = hashlib.sha256(raw).hexdigest()[:24]
        with (
            Folder.root(self._root) as root,
            root.below((self._state.name, _NOTES), make=True) as notes,
        ):
            with contextlib.suppress(OSError):
                if notes.read(name, _LIMIT) == raw:
                    return
            draft = f"{name}-{secrets.token_hex(4)}"
            try:
                with open(notes.create(draft, os.O_RDWR), "r+b", buffering=0) as file:
                    write_all(file.fileno(), raw)
                    notes.rename(draft, notes, name, file=file.fileno())  # also one cut short
            except OSError:
                notes.remove(draft)
                raise


def _ways(names: list[str]) -> list[str]:
    return ["/".join(names[: n + 1]) for n in range(len(names))]


def _is_below(home: str) -> bool:
    return not {"", ".", ".."} & set(home.split("/"))


def _is_there(folder: Folder) -> bool:
    """Whether an open folder still has a name: another run may have removed it, empty."""
    try:
        return os.fstat(folder.fd).st_nlink > 0
    except OSError:  # ESTALE: so NFS says it
        return False
