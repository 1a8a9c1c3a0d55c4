"""Which names the disk, and this process, can hold."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import sys
import unicodedata
from typing import TYPE_CHECKING

from neurofetch.errors import UnsafeNameError
from neurofetch.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["Names", "encodable"]

_LONGEST_NAME, _LONGEST_PATH = 255, 4096
"""Bytes, where the system does not say: those of Linux."""
_FOLDING = ("darwin", "win32")
"""Systems whose disks mostly take names for one that differ in case or accents."""
_NAME = "nam\u00e9"
_PLAIN = frozenset(
    [
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "bcachefs",
        "f2fs",
        "jfs",
        "reiserfs",
        "tmpfs",
        "ramfs",
        "overlay",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
    ]
)
"""Linux's file systems that take each name for itself alone, and all of them. (Some can be told to
fold case; the state folder shows that.)"""
_STRICT = frozenset({"vfat", "msdos", "exfat"})
"""Those that are known to refuse names."""
_ODD = re.compile(r'["*:<>?\\|\x00-\x1f\x7f]|[. ](?=/|$)')
"""What some disks refuse in names, or at the end of one (exFAT, SMB)."""
_REFUSED = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""What systems say of a name that the disk cannot hold."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What they say for other reasons."""
_LONG = 120
"""Bytes. Disks that encrypt names hold fewer than others, and not all say so."""
_MOUNTS = "/proc/self/mountinfo"


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
        self._there = there
        kind = _kind(there)
        self._strict = kind in _STRICT
        self.doubtful: bool = kind not in _PLAIN
        """Whether the disk may refuse names, or take two for one: then it is worth to find out."""
        self._refusals: dict[str, str] = {}

    def are_short(self, paths: Sequence[str]) -> bool:
        """Whether all of them are so short and plain that none of them has a problem."""
        most = min(self._longest, self._room, _LONG)
        short = max(map(len, paths), default=0) <= most and all(map(str.isascii, paths))
        return short and not (self.doubtful and any(map(_ODD.search, paths)))

    def problem(self, path: str, *, write: bool = False) -> str:
        """Say why a path, relative to the root, cannot be the name of a file here; "" if it can.

        Parameters
        ----------
        path : str
        write : bool
            As for `folds`.
        """
        short = len(path) <= min(self._longest, self._room, _LONG) and path.isascii()
        odd = _ODD.search(path) if self.doubtful else None
        if short and not odd:
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
        for found in _ODD.finditer(path) if odd else ():
            if refusal := self._refusal(found[0], write=write):
                return refusal
        return self._said(self._root / path)

    @staticmethod
    def _said(path: Path) -> str:
        """Return what the system says against a name, as far as it does when it is looked for."""
        try:
            os.lstat(path)
        except OSError as error:
            if error.errno in _REFUSED:
                return f"this disk cannot hold the name: {error.strerror}"
        return ""

    def _refusal(self, odd: str, *, write: bool) -> str:
        """Say why the disk cannot hold names with this in it; "" where it can, or that is unknown.

        A dot or a space is meant at the end of a name.
        """
        if odd not in self._refusals:
            name = f"names-{secrets.token_hex(8)}-a{odd}" + ("" if odd in ". " else "b")
            held = self._holds(name) if write else None
            if held is None:
                held = not self._said(self._there / name) and not self._strict
            where = f"that ends in {odd!r}" if odd in ". " else f"with {odd!r} in it"
            self._refusals[odd] = "" if held else f"this disk cannot hold a name {where}"
        return self._refusals[odd]

    def _holds(self, name: str) -> bool | None:
        """Whether the disk takes a name as it is: it is tried; None where that cannot be."""
        state = self._opened()
        if state is None:
            return None
        with state:
            try:
                os.close(state.create(name, os.O_WRONLY, 0o600))
            except OSError as error:
                return None if error.errno in _NO_ROOM else False
            try:
                return name in state.names()
            finally:
                state.remove(name)

    def _opened(self) -> Folder | None:
        """Open the state folder; None where it cannot be written, or is a link: a run says so."""
        try:
            with Folder.made(self._root) as root:
                return root.below([self._state.name], make=True)
        except (OSError, UnsafeNameError):
            return None

    def may_fold(self) -> bool:
        """Whether the disk may take names for one that differ in case or accents, at a glance."""
        return self.doubtful or self._seen() != (False, False)

    def folds(self, *, write: bool, known: Iterable[str] = ()) -> tuple[bool, bool]:
        """Whether the disk takes names for one that differ only in case; or only in accents.

        It is found out once.

        Parameters
        ----------
        write : bool
            Whether a file may be made to find out, for a moment, in the state folder. If not, it
            is told from what is there; where that tells nothing, from the system.
        known : iterable of str
            Paths of files that may be there, to tell it from.
        """
        if self._folds is None:
            self._folds = (self._tried() if write else None) or self._seen(known)
        return self._folds

    def _tried(self) -> tuple[bool, bool] | None:
        """Make a file, and look for it under other spellings; None where none can be made."""
        stem = f"names-{secrets.token_hex(8)}-"
        state = self._opened()
        if state is None:
            return None
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

    def _seen(self, known: Iterable[str] = ()) -> tuple[bool, bool]:
        """Tell from the state folder, by another spelling of its name, or from the system."""
        likely = sys.platform in _FOLDING or any(map(self._has_two_forms, known))
        case = likely or self._strict
        upper = self._state.with_name(self._state.name.upper())
        try:
            mine = os.lstat(self._state)
        except OSError:
            return case, likely
        with contextlib.suppress(OSError):
            return os.path.samestat(mine, os.lstat(upper)), likely
        return False, likely

    def _has_two_forms(self, path: str) -> bool:
        """Whether a file is there, and also under a name whose accents are written otherwise."""
        forms = {unicodedata.normalize(form, path) for form in ("NFC", "NFD")} - {path}
        if path.isascii() or not forms:
            return False
        try:
            mine = os.lstat(self._root / path)
            return os.path.samestat(mine, os.lstat(self._root / forms.pop()))
        except (OSError, UnicodeEncodeError):
            return False


def _kind(folder: Path) -> str:
    """Return the kind of a folder's file system, as Linux calls it; "" where that is not known."""
    try:
        device = os.stat(folder).st_dev
        with open(_MOUNTS, encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file]
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {row[row.index("-") + 1] for row in rows if row[2] == number and "-" in row}
    return kinds.pop() if len(kinds) == 1 else ""


def _limit(folder: Path, name: str, default: int) -> int:
    try:
        found = os.pathconf(folder, name)
    except (OSError, ValueError):
        return default
    return found if found > 0 else default
