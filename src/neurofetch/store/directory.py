"""The data directory: look at what is there, and put files in their places.

Nothing is ever written outside the root, not through a symlink either. A final name only ever
holds a whole, verified file: bytes go to a temporary name on the same file system, are flushed to
the disk, and then take the final name in one step. What was looked at may be another thing a moment
later; so what is written is written relative to folders that are held open (see `Folder`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from typing import TYPE_CHECKING

from neurofetch.errors import DestinationError, DiskFullError, UnsafeNameError
from neurofetch.model import LocalFile, VerificationLevel, same_time
from neurofetch.store.afresh import is_there
from neurofetch.store.atomic import write_all
from neurofetch.store.folder import Folder, given_path
from neurofetch.store.kinds import is_late

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from neurofetch.model import Want
    from neurofetch.store.known import Receipts
    from neurofetch.store.others import Others
    from neurofetch.store.partials import Temporary

__all__ = ["FULL", "DataDirectory"]

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when a disk, or the share of it that a user has, is full."""
_TRIAL = 1 << 20
"""Bytes of a file that is tried where nothing seems to be free."""
_LEVELS = tuple(VerificationLevel)


class DataDirectory:
    """A data directory.

    Parameters
    ----------
    root : path
        Must exist, unless `new` is set.
    state : str
        The folder below the root for the package's own files.
    new : bool
        The root may be missing; it is made when the first file is about to come.

    Raises
    ------
    UsageError
        If `root` is no path.
    DestinationError
        If `root` does not exist, cannot be looked at, or is not a directory.
    """

    def __init__(
        self, root: str | os.PathLike[str], state: str = ".neurofetch", *, new: bool = False
    ) -> None:
        self.root: Path = given_path(root)
        self.state: Path = self.root / state
        try:
            there = self.root.exists()
        except OSError as error:  # nobody lets us look into a folder above it, a name is too long
            msg = (
                f"the data directory {self.root} cannot be looked at: {error.strerror or error}. "
                "Nothing was done. Check the path, and who may read it."
            )
            raise DestinationError(msg) from error
        if not there and not new:
            msg = f"the data directory {self.root} does not exist. Check the path, or create it."
            raise DestinationError(msg)
        if there and not self.root.is_dir():
            msg = f"the data directory {self.root} is a file. Choose a directory."
            raise DestinationError(msg)
        self._real = os.path.realpath(self.root)
        self._base = str(self.root) + os.sep
        self._known: set[str] = set()
        self._reals: dict[str, str] = {}
        self._folder: Folder | None = None
        self._late = False
        """Whether this host may be told old things here; see `look_afresh`."""
        self.source: str = ""
        """How receipts name the data set that is fetched."""
        self.objects: str | None = None
        """What its keys are appended to, for most addresses; None where keys tell all of them."""
        """What the receipts of this run say of the data set; see `remember` in `data_source`."""
        self.others: Others | None = None
        """What is known of the files of other data sets here; None where nobody asked."""
        self.surveyed: Receipts | None = None
        """The receipts that the last survey was made with; a run needs to know how they count."""

    def free(self) -> int | None:
        """Return the free bytes of the disk, for this user; None where the system does not say."""
        for folder in (self.root, *self.root.parents):
            try:
                return _free(folder)
            except FileNotFoundError:
                continue  # it is still to be made
            except OSError:
                return None
        return None

    def what_is_full(self, error: OSError) -> str:
        """Say what is full: the disk, or the share of it that its user, or a group, may have."""
        if error.errno == errno.EDQUOT:
            return f"the disk of {self.root} is full for you: a quota (bytes, or files) is used up"
        return f"the disk of {self.root} is full"

    def check_writable(self) -> None:
        """Make the state folder, and see that files can be made in it.

        Raises
        ------
        UnsafeNameError
            If the state folder is a link.
        DestinationError
            If not.
        """
        probe = f"probe-{secrets.token_hex(8)}"
        try:
            self._folder = Folder.made(self.root)
            self._late = is_late(self._folder.fd)
            with self._folder.below([self.state.name], make=True) as state:
                os.close(state.create(probe))
                state.remove(probe)
        except OSError as error:
            if error.errno in FULL:
                msg = f"{self.what_is_full(error)}. Nothing was fetched. Free some space."
                raise DiskFullError(msg) from error
            msg = (
                f"cannot write to the data directory {self.root}: {error.strerror or error}. "
                "Nothing was fetched. Make it writable, or choose another directory."
            )
            raise DestinationError(msg) from error

    def survey(
        self, paths: Iterable[str], receipts: Receipts, *, strict: bool = True
    ) -> dict[str, LocalFile]:
        """Look at which of these files are here.

        Parameters
        ----------
        paths : iterable of str
            Relative to the root.
        receipts : Receipts
        strict : bool
            Whether something that stands in the place of a file, or of its folder, is an error. If
            not, the file is not here; see `obstacle`.

        Raises
        ------
        UnsafeNameError
            If a path leaves the root through a symlink.
        DestinationError
            If something that is no file stands at a path, or the system does not let us look.
        """
        found: dict[str, LocalFile] = {}
        base = self._base
        self.surveyed = receipts
        receipt_of = receipts.of
        absent: dict[str, bool] = {}
        for path in paths:
            try:
                if self._has_none(path, absent):
                    continue
                info = os.stat(base + path)
            except FileNotFoundError:
                continue
            except OSError as error:
                if not strict or error.errno == errno.ELOOP:  # a link that leads to itself
                    continue
                raise self._unseen(path, error) from error
            except UnsafeNameError:
                if strict:
                    raise
                continue
            if not stat.S_ISREG(info.st_mode):
                if not strict:
                    continue
                msg = f"{base}{path} is not a file. Nothing was fetched. Move it away."
                raise DestinationError(msg)
            size, mtime_ns = info.st_size, info.st_mtime_ns
            found[path] = LocalFile(path, size, mtime_ns, receipt_of(path, size, mtime_ns))
        return found

    def unchanged(
        self, wants: Iterable[Want], receipts: Receipts
    ) -> list[VerificationLevel | None]:
        """Return, for each of these files, how it was verified if it is here as it is listed.

        It is the quick look at the files of a run that was done before.

        Parameters
        ----------
        wants : iterable of Want
        receipts : Receipts

        Returns
        -------
        list of VerificationLevel or None
            None where that takes a closer look, or something else decides.

        Raises
        ------
        UnsafeNameError
            As `survey` does.
        """
        found: list[VerificationLevel | None] = []
        seen, known, base, ask = receipts.seen, self._known, self._base, os.stat
        for want in wants:
            path = want.path
            was, told = seen(path), want.remote.told
            found.append(None)
            if was is None or type(told) is not bytes or not want.is_told_by_etag:
                continue
            level, parts, size, mtime_ns, length, etag = was
            listed = int.from_bytes(told[23:], "big") if len(told) == 25 else 0
            if etag != told[:length] or parts != listed:
                continue
            if path.rpartition("/")[0] not in known:
                self._check_folder(path)
            try:
                info = ask(base + path)
            except OSError:
                continue  # `survey` says what it is
            kept = info.st_mtime_ns == mtime_ns or same_time(mtime_ns, info.st_mtime_ns)
            if kept and info.st_size == size and stat.S_ISREG(info.st_mode):
                found[-1] = _LEVELS[level]
        return found

    def obstacle(self, path: str) -> str:
        """Say why a file that the survey did not find may be here all the same; "" if it may not.

        Parameters
        ----------
        path : str
            Relative to the root.
        """
        folder = path.rpartition("/")[0]
        real = self._real_of(folder)
        if not self._is_inside(real):
            return f"a link leads its folder out of the data directory, to {real}; not looked at"
        try:
            info = os.stat(self._base + path)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            return f"cannot be looked at: {error.strerror or error}"
        return "" if stat.S_ISREG(info.st_mode) else "in its place is something that is no file"

    def _unseen(self, path: str, error: OSError) -> DestinationError:
        """Return the error for a file of which the system does not say whether it is here."""
        if error.errno == errno.ENOTDIR:
            return self._in_the_way(path)
        return DestinationError(
            f"cannot look at {self._base}{path}: {error.strerror or error}. Nothing was fetched. "
            "Make it and its folder readable, or choose another data directory."
        )

    def _in_the_way(self, path: str) -> DestinationError:
        folders = [folder for folder in (self.root / path).parents if folder.is_file()]
        msg = (
            f"{folders[0] if folders else path} is a file, and {path} needs a folder there. "
            "Nothing was fetched. Move it away."
        )
        return DestinationError(msg)

    def look(self, path: str) -> os.stat_result | None:
        """Return what the system says of one file, or None when it is not here."""
        try:
            return os.stat(f"{self._base}{path}")  # no pathlib: this is asked for every file
        except (FileNotFoundError, NotADirectoryError):
            return None

    def look_afresh(self, path: str, before: int | None) -> os.stat_result | None:
        """Look as `look` does, and where this host may be told old things, ask the server.

        To be asked when another run may have put the file there since the survey, and only after
        `check_writable`.

        Parameters
        ----------
        path : str
            Relative to the root.
        before : int or None
            The modification time in nanoseconds that was seen; None where no file was.
        """
        info = self.look(path)
        if not self._late or (info is not None and info.st_mtime_ns != before):
            return info
        if info is not None:  # to open a file makes its host ask about it
            with contextlib.suppress(OSError):
                os.close(os.open(self._base + path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            return self.look(path)
        return self.look(path) if self._is_taken(path) else None

    def _is_taken(self, path: str) -> bool:
        """Whether there is something at a path, as the server says."""
        here = str(self.root)
        for name in path.split("/"):
            here = f"{here}{os.sep}{name}"
            if not is_there(here):
                return False
        return True

    def _has_none(self, path: str, absent: dict[str, bool]) -> bool:
        """Whether the folder of a file is missing; if not, it lies inside the root.

        Where the first folder of a path is missing, so are those in it: a new subject takes one
        look.
        """
        folder = path.rpartition("/")[0]
        known = absent.get(folder)
        if known is None:
            top = folder.partition("/")[0] + "/"
            if top not in absent:
                absent[top] = _is_nothing(self._base + top[:-1])
            known = absent[top]
            if not known:
                self._check_folder(path)
                known = self._is_absent(folder)
            absent[folder] = known
        return known

    def _is_absent(self, folder: str) -> bool:
        """Whether a folder is missing, so that nobody need look for what was in it."""
        try:
            os.stat(self._base + folder)
        except OSError as error:  # any other is said of the files in it
            return isinstance(error, FileNotFoundError)
        return False

    def existing(self, folders: Iterable[str]) -> list[str]:
        """Return the folders of which at least the topmost one is here, or a link.

        Parameters
        ----------
        folders : iterable of str
            Relative to the root; the root itself is none.
        """
        tops: dict[str, bool] = {"": False}
        found = []
        for folder in folders:
            top = folder.partition("/")[0]
            if top not in tops:
                tops[top] = not _is_nothing(self._base + top)
            if tops[top]:
                found.append(folder)
        return found

    def led_to(self, folder: str) -> str:
        """Return where a folder lies when links are followed, relative to the root.

        Parameters
        ----------
        folder : str
            Relative to the root. It need not be there; one that leads out of the root is returned
            as it is.
        """
        real = self._real_of(folder)
        below = self._real.rstrip(os.sep) + os.sep
        if real == self._real:
            return ""
        return real[len(below) :] if real.startswith(below) else folder

    def _real_of(self, folder: str) -> str:
        """Return where a folder lies; each is asked for once."""
        real = self._reals.get(folder)
        if real is None:
            real = self._reals[folder] = os.path.realpath(self._base + folder)
        return real

    def _check_folder(self, path: str) -> None:
        """Check, once a folder, that it lies inside the root."""
        folder = path.rpartition("/")[0]
        if folder not in self._known:
            self._check_inside(self._real_of(folder), path)
            self._known.add(folder)

    def _is_inside(self, real: str) -> bool:
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

    def _check_inside(self, real: str, path: str) -> None:
        if not self._is_inside(real):
            msg = (
                f"{path} would be written to {real}, outside of the data directory {self.root}, "
                "through a symbolic link. Nothing was written there. Remove the link, or use the "
                "directory that it points to as the data directory."
            )
            raise UnsafeNameError(msg)

    def put(self, temporary: Temporary, path: str, final: Folder | None = None) -> None:
        """Give a finished temporary file its final name.

        The caller has flushed it. A file that stood there is replaced in the same step. The folder
        is opened step by step at this moment: one that was put in the place of another since the
        survey leads nowhere.

        Parameters
        ----------
        temporary : Temporary
        path : str
            Relative to the root.
        final : Folder, optional
            Its folder, where it was opened for several files (see `folder_of`).

        Raises
        ------
        UnsafeNameError
            If the folder leads out of the data directory through a link.
        DestinationError
            If a folder cannot be made.
        OSError
            As the system raised it: EXDEV where the folder is on another file system.
        """
        if final is None:
            with self.folder_of(path) as opened:
                self.put(temporary, path, opened)
            return
        new = path.rpartition("/")[2]
        temporary.folder.rename(temporary.name, final, new, file=temporary.fd)

    def close(self) -> None:
        """Close what `check_writable` opened."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()

    def folder_of(self, path: str) -> Folder:
        """Open the folder of a final name; it is made if need be.

        Raises
        ------
        UnsafeNameError, DestinationError
            As `put` does.
        OSError
            If the disk is full.
        """
        folder = path.rpartition("/")[0]
        return Folder(self._opened(folder, path), str(self.root / folder))

    def _opened(self, folder: str, path: str) -> int:
        """Open the folder of a final name; return its descriptor."""
        root = self._folder or Folder.root(self.root)
        try:
            return root.descend(folder.split("/") if folder else (), make=True)
        except UnsafeNameError:
            return self._opened_inside(root, folder, path)
        except OSError as error:
            if error.errno in FULL:
                raise
            msg = f"cannot create the folder {self.root / folder}: {error.strerror or error}"
            raise DestinationError(msg) from error

    def _opened_inside(self, root: Folder, folder: str, path: str) -> int:
        """Open a folder that is reached through a link to another place in the data directory."""
        real = os.path.realpath(self.root / folder)
        self._check_inside(real, path)
        names = os.path.relpath(real, self._real).split(os.sep)
        return root.descend([name for name in names if name != os.curdir], make=True)


def _free(folder: Path) -> int | None:
    """Return the free bytes of a disk; None where it says nothing that can be so.

    Some file servers do not know. They say that there are no blocks at all, or that none is free,
    and take files all the same. So where none is free, a file is tried.
    """
    usage = shutil.disk_usage(folder)
    if not usage.total:
        return None
    return usage.free or (None if _takes_bytes(folder) else 0)


def _takes_bytes(folder: Path) -> bool:
    """Whether a file server that says it is full takes a file; of a disk here it is believed."""
    name = f".neurofetch-{secrets.token_hex(8)}"
    try:
        with Folder.root(folder) as here:
            if not is_late(here.fd):
                return False
            with open(here.create(name), "wb", buffering=0) as file:
                here.remove(name)  # first: whoever is killed leaves nothing
                write_all(file.fileno(), bytes(_TRIAL))
                os.fsync(file.fileno())
    except OSError:
        return False
    return True


def _is_nothing(path: str) -> bool:
    """Whether nothing has this name, not even a link that leads nowhere."""
    try:
        os.lstat(path)
    except OSError as error:  # any other is said of the files below it
        return isinstance(error, FileNotFoundError)
    return False
