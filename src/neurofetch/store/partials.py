"""Files that are not complete yet, and which process works on which file.

A partial belongs to one process, whose token its name carries. A later run takes over the partial
of a process that has ended by renaming it, which only one can win. Bytes are only ever written at
their position, so even a wrong take-over harms nothing: what counts is checked before a file
takes its final name. Beside each partial lies the log of the parts it holds, with their checksums;
a part counts as held only when its bytes, read back, have the checksum that the log says.

A claim says that a process is at work on a file, so that eight processes that want the same file
fetch it once. It is a symbolic link whose target is the owner's token: made in one step, or not at
all, on every file system. Claims save work; nothing breaks without them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from neurofetch.integrity.checksums import CRC_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from neurofetch.model import Digest
    from neurofetch.store.owner import Owner

__all__ = ["Held", "PartLog", "Partials", "name_of"]

_KINDS = ("tmp", "part", "log")


def name_of(path: str) -> str:
    """Return the short name under which a file's partials and claims go."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class PartLog:
    """What a partial says of itself.

    Parameters
    ----------
    etag : str
    size, part_size : int
        Bytes.
    algorithm : str
        Of the parts' checksums.
    parts : dict of int to tuple of (int, str)
        Part number (from 0) to its CRC and, where it was computed, its MD5 in hexadecimal.
    digest : str
        ``algorithm:hex`` of the whole content, where the listing says it; else "".
    listed : str
        The ETag in the listing, where the object itself has another; else "".
    """

    etag: str
    size: int
    part_size: int
    algorithm: str
    parts: dict[int, tuple[int, str]] = field(default_factory=dict)
    digest: str = ""
    listed: str = ""

    def may_be_of(self, etag: str | None, size: int | None, digest: Digest | None) -> bool:
        """Whether these parts may be of what a listing says, so that they are worth keeping."""
        listed = bool(self.listed) and self.listed == etag and size == self.size
        return listed or self.is_of(etag, size, digest)

    def is_of(self, etag: str | None, size: int | None, digest: Digest | None) -> bool:
        """Whether these parts are of this version of the object: of one content, or of one ETag."""
        if size != self.size:
            return False
        return (digest is not None and self.digest == str(digest)) or (
            bool(self.etag) and self.etag == etag
        )

    def bytes_held(self) -> int:
        """Return the bytes of the parts in the log."""
        return sum(min(self.part_size, self.size - n * self.part_size) for n in self.parts)

    def header(self) -> bytes:
        """Return the first line of the log's file."""
        head: dict[str, object] = {
            "etag": self.etag,
            "size": self.size,
            "part_size": self.part_size,
            "algorithm": self.algorithm,
        }
        if self.digest:
            head["digest"] = self.digest
        if self.listed:
            head["listed"] = self.listed
        return json.dumps(head).encode("ascii") + b"\n"

    @staticmethod
    def line(number: int, crc: int, md5: str) -> bytes:
        """Return the line that says that a part is held."""
        return json.dumps([number, crc, md5]).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, raw: bytes) -> PartLog | None:
        """Read a log; None when even its first line is not whole."""
        first, *lines = raw.split(b"\n")
        try:
            head: dict[str, Any] = json.loads(first)
            log = cls(
                head["etag"],
                head["size"],
                head["part_size"],
                head["algorithm"],
                digest=head.get("digest", ""),
                listed=head.get("listed", ""),
            )
        except (ValueError, KeyError, TypeError):
            return None
        if not log._sound():
            return None
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):  # the line that a crash cut short
                number, crc, md5 = json.loads(line)
                if 0 <= number * log.part_size < log.size and isinstance(md5, str):
                    log.parts[int(number)] = (int(crc), md5)
        return log

    def _sound(self) -> bool:
        """Whether it can be worked with; it is a file, and anything may be in it."""
        whole = all(
            isinstance(number, int) and number > 0 for number in (self.size, self.part_size)
        )
        texts = all(isinstance(text, str) for text in (self.etag, self.digest, self.listed))
        return whole and texts and self.algorithm in CRC_BYTES


@dataclass(frozen=True, slots=True)
class Held:
    """A partial that some run left behind or is writing.

    Parameters
    ----------
    data, log_path : str
        Its two files.
    token : str
        Its owner.
    log : PartLog
    """

    data: str
    log_path: str
    token: str
    log: PartLog


class Partials:
    """The partials and claims of one state folder, as one run sees them.

    Parameters
    ----------
    state : Path
    owner : Owner
    """

    def __init__(self, state: Path, owner: Owner) -> None:
        self._folder = state / "partial"
        self._claims = state / "claims"
        self._owner = owner
        self._claims_work = True

    def make_folders(self) -> None:
        """Make the folders, before the first partial or claim."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._claims.mkdir(parents=True, exist_ok=True)

    # -- partials ----------------------------------------------------------------------------

    def survey(self) -> dict[str, list[Held]]:
        """Return all partials with a log, by the short name of their file."""
        found: dict[str, list[Held]] = {}
        for name in self._names(self._folder):
            held = self._held(name)
            if held is not None:
                found.setdefault(name.partition(".")[0], []).append(held)
        return found

    def of(self, short: str) -> list[Held]:
        """Return the partials with a log of one file, as they are now."""
        mine = (name for name in self._names(self._folder) if name.startswith(short + "."))
        return [held for held in map(self._held, mine) if held is not None]

    def _held(self, name: str) -> Held | None:
        base = name.removesuffix(".log")
        if base == name:
            return None
        data, log_path = self._folder / f"{base}.part", self._folder / name
        try:
            log = PartLog.parse(log_path.read_bytes())
        except FileNotFoundError:  # taken over or finished meanwhile
            return None
        if log is None or not data.exists():
            return None
        return Held(str(data), str(log_path), base.partition(".")[2], log)

    def free_to_take(self, held: Held) -> bool:
        """Whether the process that wrote it has ended."""
        return self._owner.is_dead(held.token)

    def take_over(self, short: str, held: Held) -> PartLog | None:
        """Rename a partial to this run's; return its log as it is now.

        Returns
        -------
        PartLog or None
            None when another process was quicker, or the log cannot be read any more.
        """
        data, log_path = self.paths(short)
        try:
            os.rename(held.data, data)
            os.rename(held.log_path, log_path)
            with open(log_path, "rb") as file:
                return PartLog.parse(file.read())
        except FileNotFoundError:
            return None

    def paths(self, short: str) -> tuple[str, str]:
        """Return the names of this run's partial of a file: data and log."""
        base = f"{self._folder}{os.sep}{short}.{self._owner.token}"
        return base + ".part", base + ".log"

    def temporary(self, short: str) -> str:
        """Return this run's temporary name for a file that comes in one piece."""
        return f"{self._folder}{os.sep}{short}.{self._owner.token}.tmp"

    def sweep(self, keep: set[str]) -> int:
        """Remove what ended runs left and no run can use; return the bytes that it freed.

        Parameters
        ----------
        keep : set of str
            Data files of partials that are still good for resuming.
        """
        is_dead = cache(self._owner.is_dead)
        freed = 0
        for name in self._names(self._folder):
            short, _, rest = name.partition(".")
            token, dot, kind = rest.rpartition(".")
            data = f"{self._folder}{os.sep}{short}.{token}.part"
            if not dot or kind not in _KINDS or (data in keep and kind != "tmp"):
                continue
            if is_dead(token):
                freed += _remove(self._folder / name)
        for name in self._names(self._claims):
            token = self._holder(name)
            if token and is_dead(token):
                _remove(self._claims / name)
        return freed

    def discard(self, short: str) -> None:
        """Remove this run's partial of a file."""
        for path in self.paths(short):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    # -- claims ------------------------------------------------------------------------------

    def claim(self, short: str) -> str:
        """Say that this run is at work on a file.

        Returns
        -------
        str
            "" when the claim is this run's; otherwise the token of the living process that has it.
        """
        if not self._claims_work:
            return ""
        link = f"{self._claims}{os.sep}{short}"
        for _ in range(8):
            try:
                os.symlink(self._owner.token, link)
            except FileExistsError:
                holder = self._holder(short)
                if not holder:
                    continue  # just released
                if not self._owner.is_dead(holder):
                    return "" if holder == self._owner.token else holder
                self._break(link, holder)
            except OSError:
                self._claims_work = False  # no symbolic links here: everyone works alone
                return ""
            else:
                return ""
        return ""

    def _break(self, link: str, holder: str) -> None:
        """Remove a dead process's claim. The rename is what only one can win."""
        aside = f"{link}.{self._owner.token}"
        with contextlib.suppress(OSError):
            os.rename(link, aside)
            if os.readlink(aside) != holder:  # another was quicker and has claimed it anew
                with contextlib.suppress(FileExistsError):
                    os.symlink(os.readlink(aside), link)
            os.unlink(aside)

    def _holder(self, short: str) -> str:
        try:
            return os.readlink(self._claims / short)
        except OSError:
            return ""

    def release(self, short: str) -> None:
        """Remove this run's claim."""
        if self._claims_work:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._claims}{os.sep}{short}")

    @staticmethod
    def _names(folder: Path) -> list[str]:
        try:
            return os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []


def _remove(path: Path) -> int:
    try:
        size = path.lstat().st_size
        path.unlink()
    except OSError:
        return 0
    return size
