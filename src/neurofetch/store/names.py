"""Which names the disk, and this process, can hold."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import unicodedata
from typing import TYPE_CHECKING

from neurofetch.errors import UnsafeNameError
from neurofetch.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Names", "encodable"]

_LONGEST_NAME, _LONGEST_PATH = 255, 4096
"""Bytes, where the system does not say: those of Linux."""
_FOLDING = ("darwin", "win32")
"""Systems whose disks mostly take names for one that differ in case or accents."""
_NAME = "nam\u00e9"


def encodable(path: str) -> bool:
    """Whether this process can say the name to the system: with some locales it cannot.

    Python takes the encoding of names from the locale, unless it is in its UTF-8 mode
    (https://docs.python.org/3/library/os.html#filenames).
    """
    if path.isascii():
        return True
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


class Names:
    """What names a data directory can hold.

    Parameters
    ----------
    root : Path
        The data directory; it may still have to be made.
    state : Path
        The package's folder in it.
    """

    def __init__(self, root: Path, state: Path) -> None:
        self._root = root
        self._state = state
        there = next(folder for folder in (root, *root.parents) if folder.exists())
        self._longest = _limit(there, "PC_NAME_MAX", _LONGEST_NAME)
        self._room = _limit(there, "PC_PATH_MAX", _LONGEST_PATH) - len(os.fsencode(root)) - 2
        self._folds: tuple[bool, bool] | None = None

    def are_short(self, paths: Sequence[str]) -> bool:
        """Whether all of them are so short and plain that none of them has a problem."""
        most = min(self._longest, self._room)
        return max(map(len, paths), default=0) <= most and all(map(str.isascii, paths))

    def problem(self, path: str) -> str:
        """Say why a path, relative to the root, cannot be the name of a file here; "" if it can."""
        if len(path) <= min(self._longest, self._room) and path.isascii():
            return ""  # as nearly all are
        if not encodable(path):
            coding = sys.getfilesystemencoding()
            return (
                f"the locale says that names are written in {coding}, which lacks a letter of it: "
                "set LC_ALL=C.UTF-8 (or PYTHONUTF8=1)"
            )
        name = os.fsencode(path)
        longest = max(map(len, name.split(b"/")))
        if longest > self._longest:
            return f"a name in it has {longest} bytes, but this disk allows {self._longest}"
        if len(name) > self._room:
            return (
                f"it has {len(name)} bytes, but below {self._root} the system allows only "
                f"{max(0, self._room)}: use a data directory with a shorter path"
            )
        return ""

    def folds(self, *, write: bool) -> tuple[bool, bool]:
        """Whether the disk takes names for one that differ only in case; or only in accents.

        It is found out once.

        Parameters
        ----------
        write : bool
            Whether a file may be made to find out, for a moment, in the state folder. If not, it
            is told from what is there; where that tells nothing, from the system.
        """
        if self._folds is None:
            self._folds = (self._tried() if write else None) or self._seen()
        return self._folds

    def _tried(self) -> tuple[bool, bool] | None:
        """Make a file, and look for it under other spellings; None where none can be made."""
        stem = f"names-{secrets.token_hex(8)}-"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with Folder.root(self._root) as root:
                state = root.below([self._state.name], make=True)
        except (OSError, UnsafeNameError):
            return None  # it cannot be written, or is a link: the run will say so
        with state:
            try:
                os.close(state.create(stem + _NAME, os.O_WRONLY, 0o600))
            except (OSError, UnicodeEncodeError):
                return None
            try:
                other_form = stem + unicodedata.normalize("NFD", _NAME)
                found = state.look(stem + _NAME.upper()), state.look(other_form)
                return found[0] is not None, found[1] is not None
            finally:
                state.remove(stem + _NAME)

    def _seen(self) -> tuple[bool, bool]:
        """Tell from the state folder, by another spelling of its name, or from the system."""
        likely = sys.platform in _FOLDING
        upper = self._state.with_name(self._state.name.upper())
        try:
            mine = os.lstat(self._state)
        except OSError:
            return likely, likely
        with contextlib.suppress(OSError):
            return os.path.samestat(mine, os.lstat(upper)), likely
        return False, likely


def _limit(folder: Path, name: str, default: int) -> int:
    try:
        found = os.pathconf(folder, name)
    except (OSError, ValueError):
        return default
    return found if found > 0 else default
