"""Files that are not complete yet, and which process works on which file.

A partial belongs to one process, whose token its name carries, and no other process ever writes to
it. So what is verified is what takes the final name, whatever a process does that was taken for
dead. A later run goes on with the partial of a process that was seen to have ended: it takes it
over by renaming it, which only one can win. Of a process that is only silent, it copies the parts
that are held; that one may wake up, and still write to its own.

Beside each partial lies the log of the parts it holds, with their checksums; a part counts as held
only when its bytes, read back, have the checksum that the log says. The same is noted of the front
of a part as it comes: so a kill costs what no note tells of, and not all that was under way.

A claim says that a process is at work on a file, so that eight processes that want the same file
fetch it once. It is a symbolic link whose target is the owner's token: made in one step, or not at
all. Where there are no symbolic links it is a further name of a file that says the token, and where
there are none of these either, a file of its own, which only one can make (see ADR 32). Claims save
work; nothing breaks without them. Who loses one while it was silent sees that before it notes a
further part, and leaves the file to the other.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from neurofetch.integrity.checksums import CRC_BYTES
from neurofetch.store.atomic import read_at
from neurofetch.store.flush import begin_write_out, wait_for_write_out
from neurofetch.store.folder import Folder
from neurofetch.store.homes import Homes
from neurofetch.store.owner import SILENT_SECONDS, Life, is_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from neurofetch.model import Digest
    from neurofetch.store.owner import Owner

__all__ = ["Held", "Leftover", "PartLog", "Partials", "Temporary", "name_of"]

_NAME = re.compile(r"(?P<short>[0-9a-f]{24})\.(?P<token>[^.]+)(\.[0-9a-f]{16})?\.(tmp|part|log)")
"""Names of the files here. All else in these folders is somebody else's, and stays."""
_CLAIM = re.compile(r"[0-9a-f]{24}(\.[^.]+)?")
_SHORT = re.compile(r"[0-9a-f]{24}")
_SEAL = "0" * 24
"""How the name of a seal begins: no file has that for its short name."""
_TOKEN_LIMIT = 256
"""Bytes; a token is shorter. What is longer in the place of a claim is none."""
_UNKNOWN = "a process that cannot be told yet"
"""Who has a claim that cannot be read."""
_REFUSALS = 8
"""After as many claims that could not be made in any way, none is tried any more."""
_LOG_LIMIT = 8 << 20
"""Bytes; a log of the most parts there can be is shorter."""
_MOST_PARTS = 20_000
_BLOCK = 1 << 20
_WINDOW = 8 << 20
"""Bytes; when as many were written to a file, they are sent on their way to the disk."""
_BEHIND = 512 << 20
"""Bytes; what lies as far behind the writer is to be on the disk before more is written."""
_GONE = (errno.ENOENT, errno.EINVAL, errno.ESTALE)
"""What systems say when there is no such link, something else, or no folder any more."""


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
    fronts : dict of int to list of tuple of (int, int)
        Number of a part that is not whole to what was noted of its front, as it grew: how many
        bytes, and their CRC.
    """

    etag: str
    size: int
    part_size: int
    algorithm: str
    parts: dict[int, tuple[int, str]] = field(default_factory=dict)
    digest: str = ""
    listed: str = ""
    fronts: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

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
        """Return the bytes of the parts in the log, and of the fronts of further parts."""
        return sum(map(self.length, self.parts)) + sum(
            marks[-1][0] for marks in self.fronts.values()
        )

    def length(self, number: int) -> int:
        """Return the bytes of a part."""
        return min(self.part_size, self.size - number * self.part_size)

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

    @staticmethod
    def front(number: int, count: int, crc: int) -> bytes:
        """Return the line that says that the first bytes of a part are held; 0: none any more.

        To versions that know no such line it is one that makes no sense, which they pass over.
        """
        return b'[%d, %d, "", %d]\n' % (number, crc, count)

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
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if not log._sound():
            return None
        for line in lines:
            note = _note_of(line)
            if note is not None and note[0] * log.part_size < log.size:
                log._add(*note)
        return log

    def _add(self, number: int, crc: int, md5: str, count: int | None) -> None:
        """Take up a note; a later one on the same part overrules what an earlier one says."""
        if count is None:
            self.parts[number] = crc, md5
            self.fronts.pop(number, None)
            return
        marks = [mark for mark in self.fronts.pop(number, ()) if mark[0] < count]
        if 0 < count <= self.length(number):
            marks.append((count, crc))
        if marks and number not in self.parts:
            self.fronts[number] = marks

    def _sound(self) -> bool:
        """Whether it can be worked with; it is a file, and anything may be in it."""
        whole = all(type(number) is int and number > 0 for number in (self.size, self.part_size))
        texts = all(isinstance(text, str) for text in (self.etag, self.digest, self.listed))
        known = isinstance(self.algorithm, str) and self.algorithm in CRC_BYTES
        return whole and texts and known and self.size <= self.part_size * _MOST_PARTS


def _note_of(line: bytes) -> tuple[int, int, str, int | None] | None:
    """Parse the line of a part, or of a front, which says how many bytes.

    Returns
    -------
    tuple or None
        None for a line that a crash cut short, or that makes no sense.
    """
    try:
        number, crc, md5, *more = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    sound = type(number) is int and type(crc) is int and isinstance(md5, str) and number >= 0
    if not sound or len(more) > 1 or any(type(count) is not int for count in more):
        return None
    return number, crc, md5, more[0] if more else None


@dataclass(frozen=True, slots=True)
class Held:
    """A partial that some run left behind or is writing.

    Parameters
    ----------
    folder : Folder
        Where its two files are.
    base : str
        Their common name, without ``.part`` and ``.log``.
    token : str
        Its owner.
    log : PartLog
    """

    folder: Folder
    base: str
    token: str
    log: PartLog

    @property
    def data(self) -> str:
        """Where its bytes are."""
        return f"{self.folder.path}{os.sep}{self.base}.part"

    def open(self) -> int:
        """Open its bytes for reading; return the descriptor.

        Raises
        ------
        OSError
            If they are not there any more.
        """
        return self.folder.open(f"{self.base}.part")

    def read_log(self) -> PartLog | None:
        """Return the log as it is now; None where there is none, or it is rubbish.

        One that is there and cannot be read, such as another user's, has no parts: nothing of it
        can be used here, and its owner may go on with it.
        """
        try:
            return PartLog.parse(self.folder.read(f"{self.base}.log", _LOG_LIMIT))
        except FileNotFoundError:
            return None
        except OSError:
            return PartLog("", 0, 0, "")

    def remove(self) -> None:
        """Remove both files."""
        for kind in ("part", "log"):
            self.folder.remove(f"{self.base}.{kind}")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or a claim of a run, which may live.

    Parameters
    ----------
    folder : Folder
    name : str
    size : int
        Bytes.
    token : str
        Whose it is.
    life : Life
        Of its owner.
    """

    folder: Folder
    name: str
    size: int
    token: str
    life: Life

    @property
    def data(self) -> str:
        """Where the bytes of the partial are that it belongs to; "" for all else."""
        base, _, kind = self.name.rpartition(".")
        return f"{self.folder.path}{os.sep}{base}.part" if kind in ("part", "log") else ""

    @property
    def is_seal(self) -> bool:
        """Whether it is no claim, but the link that a run's claims are further names of."""
        return self.name == _seal_of(self.token)


class Temporary:
    """A file of this run that has no final name yet.

    Its name cannot be foretold, and it is made by us or not at all, so what we write is in a file
    that no other process has open for writing.

    Parameters
    ----------
    folder : Folder
    base : str
        Its name, without the ending.
    kind : {"tmp", "part"}

    Attributes
    ----------
    fd : int
        Its descriptor; -1 while it is not open.
    """

    __slots__ = ("_kind", "_new", "base", "fd", "folder")

    def __init__(self, folder: Folder, base: str, kind: str = "tmp") -> None:
        self.folder = folder
        self.base = base
        self.fd = -1
        self._kind = kind
        self._new = 0
        """Bytes that were written since the last were sent on their way to the disk."""

    @property
    def name(self) -> str:
        """Its name in the folder."""
        return f"{self.base}.{self._kind}"

    @property
    def path(self) -> str:
        """Its path in this process, for libraries that need one."""
        return f"{self.folder.way}{os.sep}{self.name}"

    def open(self, flags: int = os.O_RDWR) -> int:
        """Make the file and open it; return its descriptor.

        Raises
        ------
        OSError
        """
        try:
            self.fd = self.folder.create(self.name, flags)
        except FileExistsError:  # a server that was asked twice made it the first time
            self.folder.remove(self.name)
            self.fd = self.folder.create(self.name, flags)
        return self.fd

    def reopen(self) -> int:
        """Open the file of this name, which may have been written anew; return its descriptor."""
        self.close()
        self.fd = self.folder.open(self.name, os.O_RDWR)
        return self.fd

    def wrote(self, count: int, position: int) -> None:
        """Say that bytes were written: now and then they are sent on their way to the disk.

        So the disk works while the network does, and what is not on the disk stays bounded.

        Parameters
        ----------
        count : int
            How many.
        position : int
            Where they begin. Not much is still to be written far before it.

        Raises
        ------
        OSError
            If something that was written before did not get to the disk.
        """
        self._new += count  # what two threads count at once does no harm if it is lost
        if self._new >= _WINDOW:
            self._new = 0
            begin_write_out(self.fd)
            wait_for_write_out(self.fd, position - _BEHIND)

    def blocks(self) -> Iterator[memoryview]:
        """Give its bytes, block by block; a block is valid until the next is asked for."""
        buffer, position = memoryview(bytearray(_BLOCK)), 0
        while count := read_at(self.fd, buffer, position):
            yield buffer[:count]
            position += count

    def is_there(self) -> bool:
        """Whether the name is still that of the file that is open."""
        info = self.folder.look(self.name)
        return info is not None and os.path.samestat(info, os.fstat(self.fd))

    def become_partial(self) -> None:
        """Take the name of a partial: a log is to tell what is in it.

        Raises
        ------
        OSError
            Such as FileNotFoundError, where another process removed it.
        """
        before, self._kind = self.name, "part"
        try:
            self.folder.rename(before, self.folder, self.name, file=self.fd)
        except OSError:
            self._kind = "tmp"
            raise

    def close(self) -> None:
        """Close it; twice is no error."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def discard(self) -> None:
        """Close and remove it."""
        self.close()
        self.folder.remove(self.name)

    def __enter__(self) -> Temporary:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove it if something went wrong; else it stays open, for who gives it its name."""
        if kind is not None:
            self.discard()


class Partials:
    """The partials and claims of one data directory, as one run sees them.

    Parameters
    ----------
    state : Path
        The state folder.
    owner : Owner
    """

    def __init__(self, state: Path, owner: Owner) -> None:
        self.owner = owner
        self._state = state
        self._homes = Homes(state)
        self._claim_folder: Folder | None = None
        self._seal = ""
        """A link, or a file, that says who this run is; "" without one."""
        self._seal_serves = False
        """Whether claims are further names of it."""
        self._links_work = True
        """Whether there are symbolic links."""
        self._refusals = 0
        """How many claims could not be made in any way."""
        self._unread: dict[str, float] = {}
        """Files whose claim could not be read, and since when (monotonic seconds)."""
        self._broken: set[str] = set()
        """Files whose claim could not be read for so long that it was removed."""
        self._kept: set[str] = set()
        """Claims of this run that could not be given back."""
        self._unclaimed: set[str] = set()
        """Files where something that is no claim stands in the place of one."""

    def make_folders(self) -> None:
        """Make the folders, before the first partial or claim.

        Raises
        ------
        UnsafeNameError
            If a link stands in the place of one.
        OSError
        """
        self._homes.make()
        with Folder.root(self._state.parent) as root:
            self._claim_folder = folder = root.below((self._state.name, "claims"), make=True)
        seal = _seal_of(self.owner.token)
        with contextlib.suppress(OSError):  # it cannot be written here: all work alone
            self._sign(folder, seal)
            self._seal, self._seal_serves = seal, True

    def close(self) -> None:
        """Close the folders: the run is over."""
        self._homes.close()
        folder, self._claim_folder = self._claim_folder, None
        if folder is not None:
            self._give_back_later(folder)  # its disk may be back
            if self._seal:
                folder.remove(self._seal)
            folder.close()

    # -- partials ----------------------------------------------------------------------------

    def survey(self) -> dict[str, list[Held]]:
        """Return all partials with a log, by the short name of their file."""
        found: dict[str, list[Held]] = {}
        for held in self._all(""):
            found.setdefault(held.base.partition(".")[0], []).append(held)
        return found

    def of(self, short: str) -> list[Held]:
        """Return the partials with a log of one file, as they are now."""
        return list(self._all(short + "."))

    def _all(self, start: str) -> Iterator[Held]:
        for folder in self._homes.existing():
            for name in folder.names():
                if name.startswith(start) and name.endswith(".log"):
                    held = _held(folder, name)
                    if held is not None:
                        yield held

    def free_to_take(self, held: Held) -> bool:
        """Whether the run that wrote it has ended, or is silent."""
        return self.owner.is_dead(held.token) or self._is_over(held.token)

    def _is_over(self, token: str) -> bool:
        """Whether a run is over whose process may live on: its journal and its seal are gone.

        It takes away both when it ends, the journal if there was nothing to write into it.
        """
        claims = self._claims()
        if claims is None or self.owner.has_journal(token):
            return False
        return claims.look(_seal_of(token)) is None

    def take_over(self, held: Held, path: str, short: str) -> Temporary | None:
        """Make the partial of a run that has ended this run's own.

        Parameters
        ----------
        held : Held
        path : str
            The final name.
        short : str
            Its short name.

        Returns
        -------
        Temporary or None
            The partial, open. None where another process could still write to it (then its parts
            can be copied), or was quicker.
        """
        if self.owner.life(held.token) is not Life.ENDED:
            return None
        name, part = f"{held.base}.part", self.part(short, path)
        try:
            part.fd = held.folder.open(name, os.O_RDWR)  # first: a part without a log is lost
            info = os.fstat(part.fd)
            mine = info.st_nlink == 1 and info.st_uid == os.geteuid()
            if mine:
                held.folder.rename(name, part.folder, part.name, file=part.fd)
        except OSError as error:
            part.close()
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return None
        if not mine or not part.is_there():
            part.close()
            return None
        try:
            held.folder.rename(f"{held.base}.log", part.folder, f"{part.base}.log")
        except OSError:  # the caller has read it, and writes it anew
            held.folder.remove(f"{held.base}.log")
        return part

    def _at(self, path: str) -> Folder:
        return self._homes.of(path)

    def part(self, short: str, path: str) -> Temporary:
        """Return a partial for a file, which is not made yet; its log has the same name."""
        return Temporary(self._at(path), self._base(short), "part")

    def temporary(self, short: str, path: str) -> Temporary:
        """Return a temporary file, which is not made yet, for what comes in one piece."""
        return Temporary(self._at(path), self._base(short))

    def elsewhere(self, short: str, path: str) -> Temporary | None:
        """Return one on the file system of the final name; None where there is none.

        To be asked for when the usual one could not be renamed to it.
        """
        folder = self._homes.elsewhere(path)
        return None if folder is None else Temporary(folder, self._base(short))

    def _base(self, short: str) -> str:
        return f"{short}.{self.owner.token}.{secrets.token_hex(8)}"

    def sweep(self, keep: set[str]) -> int:
        """Remove what dead runs left and no run can use; return the bytes that it freed.

        Parameters
        ----------
        keep : set of str
            Data files of partials that are still good for resuming.
        """
        if not self._links_work:
            self._sweep_unsigned()
        return sum(
            self.remove(one)
            for one in self.leftovers()
            if one.life is not Life.LIVES and one.data not in keep
        )

    def remove(self, one: Leftover) -> int:
        """Remove what a run has left; return its bytes. A claim may be another run's by now."""
        if not _SHORT.fullmatch(one.name):
            return one.folder.remove(one.name)
        if _said(one.folder, one.name) == one.token:
            self._break(one.folder, one.name, one.token)
        return 0

    def _sweep_unsigned(self) -> None:
        """Remove the claims of processes that were killed before they had signed them."""
        claims = self._claims()
        for name in claims.names() if claims is not None else ():
            info = claims.look(name) if claims is not None and _CLAIM.fullmatch(name) else None
            if claims is None or info is None or not self.owner.is_old(info):
                continue
            with contextlib.suppress(OSError):
                if self._is_unsigned(claims.read(name, _TOKEN_LIMIT)):
                    claims.remove(name)

    def _is_unsigned(self, said: bytes) -> bool:
        """Whether it may be a claim that its process has not signed yet, by what is in the file.

        A power cut leaves nothing but zeros of one that was signed just before.
        """
        return not self._links_work and len(said) < _TOKEN_LIMIT and not said.strip(b"\0")

    def leftovers(self) -> list[Leftover]:
        """Return all files and claims of runs, the living ones included."""
        life = cache(self.owner.life)
        found: list[Leftover] = []
        for folder in self._homes.existing():
            for name in folder.names():
                token = _token(name)
                info = folder.look(name) if token else None
                if info is not None and stat.S_ISREG(info.st_mode):
                    found.append(Leftover(folder, name, info.st_size, token, life(token)))
        claims = self._claims()
        for name in claims.names() if claims is not None else ():
            if claims is not None and _CLAIM.fullmatch(name):
                token = _said(claims, name)
                if is_token(token):
                    found.append(Leftover(claims, name, 0, token, life(token)))
        return found

    # -- claims ------------------------------------------------------------------------------

    def _claims(self) -> Folder | None:
        """Return the folder of claims; None where there is none, and none was made."""
        if self._claim_folder is None:
            try:
                with Folder.root(self._state.parent) as root:
                    self._claim_folder = root.below((self._state.name, "claims"))
            except (FileNotFoundError, NotADirectoryError):
                return None
        return self._claim_folder

    def claim(self, short: str) -> str:
        """Say that this run is at work on a file.

        Returns
        -------
        str
            "" when the claim is this run's; otherwise the token of the living process that has it,
            or words that say that it is not known yet.
        """
        folder = self._claims()
        if self._refusals >= _REFUSALS or folder is None:
            return ""
        self._give_back_later(folder)
        for _ in range(8):
            try:
                self._mark(folder, short)
            except FileExistsError:
                holder = _said(folder, short)
                if not holder:
                    continue  # just released, or not seen yet
                self._unread.pop(short, None)
                if not self.owner.is_dead(holder):
                    return "" if holder == self.owner.token else holder
                self._break(folder, short, holder)
            except OSError:
                self._refusals += 1  # nothing can be made here: everyone works alone
                break
            else:
                self._unread.pop(short, None)
                self._unclaimed.discard(short)
                return ""
        else:
            if self._may_be_claim(folder, short):
                return _UNKNOWN
        self._unclaimed.add(short)
        return ""

    def _may_be_claim(self, folder: Folder, short: str) -> bool:
        """Whether what cannot be read may be a claim that was made, or released, a moment ago.

        Another host may be told of it late. Where there are no links, a claim is a file, which is
        empty at first. One that stays empty was left by a process that was killed just then: it is
        removed. Where that does not help, the name is taken by something that cannot be seen here,
        such as a link of a host that has links: then this run works alone.
        """
        info = folder.look(short)
        if info is not None and not self._looks_like_claim(folder, short, info):
            return False
        now = time.monotonic()
        since = self._unread.setdefault(short, now)
        if now - since > SILENT_SECONDS:
            del self._unread[short]
            if short in self._broken:
                return False
            self._broken.add(short)
            self._break(folder, short, "")
        return True

    def _looks_like_claim(self, folder: Folder, short: str, info: os.stat_result) -> bool:
        """Whether it is a claim, or none that is signed yet; maybe by now, or none any more."""
        if stat.S_ISLNK(info.st_mode):
            return True
        if not stat.S_ISREG(info.st_mode):
            return False
        try:
            said = folder.read(short, _TOKEN_LIMIT)
        except OSError as error:
            return error.errno in _GONE
        return is_token(said.decode("ascii", "replace")) or self._is_unsigned(said)

    def _mark(self, folder: Folder, short: str) -> None:
        """Make the link that is a claim: a further name of one that there is, where that goes.

        That makes no inode, which the release would free again: a file system looks for one long
        where many were freed just now (ext4 without a journal keeps them unused for a minute).
        """
        if self._seal_serves:
            try:
                folder.name_again(self._seal, short)
            except FileExistsError:
                raise
            except (OSError, NotImplementedError):
                self._seal_serves = False  # no hard links here, or too many, or it is gone
            else:
                return
        self._sign(folder, short)

    def _sign(self, folder: Folder, name: str, token: str = "") -> None:
        """Make a link that says whose it is; where there are no links, a file."""
        token = token or self.owner.token
        if self._links_work:
            try:
                folder.link(token, name)
            except FileExistsError:
                raise
            except OSError:
                self._links_work = False
            else:
                return
        folder.sign(name, token.encode("ascii"))

    def _break(self, folder: Folder, short: str, holder: str) -> None:
        """Remove a dead process's claim. The rename is what only one can win."""
        aside = f"{short}.{self.owner.token}"
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):  # or it was done, and its answer was lost
                folder.rename(short, folder, aside)
            now = _said(folder, aside)
            if now and now != holder:  # another was quicker and has claimed it anew
                with contextlib.suppress(FileExistsError):
                    self._sign(folder, short, now)
            folder.remove(aside)
            if is_token(holder):
                folder.remove(_seal_of(holder))  # it makes no more claims

    def is_mine(self, short: str) -> bool:
        """Whether this run still has its claim; it may lose it while it is silent."""
        folder = self._claims()
        if self._refusals >= _REFUSALS or folder is None or short in self._unclaimed:
            return True
        try:
            return _read(folder, short) == self.owner.token
        except OSError as error:  # a disk that does not answer for a moment says nothing
            return error.errno not in _GONE

    def release(self, short: str) -> None:
        """Remove this run's claim, if it is still this run's."""
        folder = self._claims()
        if folder is not None and not self._given_back(folder, short):
            self._kept.add(short)  # others wait for it for as long as this run lives

    def _give_back_later(self, folder: Folder) -> None:
        """Give back the claims for which that could not be done."""
        for short in tuple(self._kept):  # other threads are at it, too
            if self._given_back(folder, short):
                self._kept.discard(short)

    def _given_back(self, folder: Folder, short: str) -> bool:
        """Remove a claim of this run; False if its disk did not answer, as for a moment."""
        try:
            if _read(folder, short) == self.owner.token:
                os.unlink(short, dir_fd=folder.fd)
        except OSError as error:
            return error.errno in _GONE
        return True


def _seal_of(token: str) -> str:
    """Return the name of a run's seal: the link that its claims are further names of."""
    return f"{_SEAL}.{token}"


def _read(folder: Folder, name: str) -> str:
    """Return what a link says, or a file that is in the place of one.

    Raises
    ------
    OSError
        FileNotFoundError also where it is a file that says nothing of the kind.
    """
    try:
        return os.readlink(name, dir_fd=folder.fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    said = folder.read(name, _TOKEN_LIMIT).decode("ascii", "replace")
    if not is_token(said):  # not signed yet, or somebody else's
        raise FileNotFoundError(errno.ENOENT, "no claim", name)
    return said


def _said(folder: Folder, name: str) -> str:
    """Return whose claim this is; "" where there is none, or it does not say that yet."""
    try:
        return _read(folder, name)
    except OSError:
        return ""


def _held(folder: Folder, name: str) -> Held | None:
    token, base = _token(name), name.removesuffix(".log")
    if not token or not _is_plain(folder, f"{base}.part"):
        return None
    held = Held(folder, base, token, PartLog("", 0, 0, ""))
    log = held.read_log()
    return None if log is None else Held(folder, base, token, log)


def _token(name: str) -> str:
    """Return whose file this is; "" where its name is none of ours."""
    match = _NAME.fullmatch(name)
    return match["token"] if match and is_token(match["token"]) else ""


def _is_plain(folder: Folder, name: str) -> bool:
    info = folder.look(name)
    return info is not None and stat.S_ISREG(info.st_mode)
