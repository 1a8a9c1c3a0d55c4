"""A directory of a file server, as one host sees it: late, with few calls, and with lost answers.

Several hosts mount one each, over one folder of a disk that stands for the server. What a host may
be told then is of NFS, SMB, sshfs and their kin at their worst. It is served to the kernel by a
process of its own, as the odd disks are; only root may mount it.

    python -m tests.shared_disk MOUNT BACKING '{"late": 2.0, "without": ["symlink"], …}'
"""

import contextlib
import errno
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.odd_disk import (
    CREATE,
    FSYNCDIR,
    GETATTR,
    INIT,
    LINK,
    LOOKUP,
    MKDIR,
    OPEN,
    OPENDIR,
    READDIR,
    RELEASE,
    RENAME,
    RENAME2,
    RMDIR,
    SETATTR,
    STATFS,
    SYMLINK,
    UNLINK,
    WRITE,
    Disk,
    serve,
)

GETLK, SETLK, SETLKW, READ = 31, 32, 33, 15
POSIX_LOCKS, FLOCK_LOCKS = 1 << 1, 1 << 10
CHANGES = {SYMLINK, LINK, MKDIR, RENAME, RENAME2, UNLINK}
NAMES = {SYMLINK: "symlink", LINK: "link"}
REFUSED = {SYMLINK: errno.EPERM, LINK: errno.EOPNOTSUPP}
TWICE = {
    SYMLINK: errno.EEXIST,
    LINK: errno.EEXIST,
    MKDIR: errno.EEXIST,
    RENAME: errno.ENOENT,
    RENAME2: errno.ENOENT,
    UNLINK: errno.ENOENT,
}
"""What a server says that is asked again for what it has done: its first answer was lost."""


class SharedDisk(Disk):
    """Files of a server, as one host sees them.

    Parameters
    ----------
    late
        Seconds that an answer is believed: also that there is no such name, and what is in a
        folder. What the host itself changes it sees at once.
    without
        What cannot be done: ``symlink``, ``link``.
    locks
        ``lie``: each lock is given to all who ask; or the name of an error, such as ``ENOLCK``.
    lost
        The chance that the answer to a change is lost, and the change is asked for again.
    grain
        Seconds; times are rounded down to such steps. With `forgets`, only once the host has not
        used the file for a moment: till then it remembers what it wrote.
    numbers
        Whether files have numbers that each host makes up, and that change.
    hides
        Whether there is nothing to be seen of symbolic links, whose names are taken all the same:
        so SMB servers show those that lead nowhere.
    full
        ``statvfs`` says that nothing is free; ``unknown`` that it does not know.
    quota
        Bytes that one file may have.
    """

    def __init__(
        self, backing, *, late=0.0, without=(), locks="", lost=0.0, grain=0, forgets=False,
        numbers=False, hides=False, full="", quota=0, seed=0,
    ):  # fmt: skip
        super().__init__(backing)
        self.late, self.without, self.locks, self.lost = late, set(without), locks, lost
        self.grain, self.forgets, self.numbers_change = grain, forgets, numbers
        self.hides, self.full, self.quota = hides, full, quota
        self.inodes = {1: os.lstat(backing).st_ino}
        self.lists = {}
        self.opened = {}
        self.next = 1
        self.rng = random.Random(seed or None)

    # -- names and numbers -------------------------------------------------------------------

    def real(self, folder, name, *, new=False):  # noqa: ARG002 - as that of the odd disk
        return f"{self.here(folder)}/{os.fsdecode(name)}"

    def here(self, node):
        """Return the path of a node, which must still be what it was."""
        path = self.paths.get(node)
        try:
            same = path is not None and os.lstat(self.backing + path).st_ino == self.inodes[node]
        except OSError:
            same = False
        if not same:
            raise OSError(errno.ESTALE, "")
        return path

    def number(self, path):
        inode = os.lstat(self.backing + path).st_ino
        known = self.numbers.get(path)
        if known is None or self.inodes[known] != inode:
            self.next += 1
            known = self.numbers[path] = self.next
        self.paths[known], self.inodes[known] = path, inode
        return known

    def attributes(self, path):
        raw = bytearray(super().attributes(path))
        number, _, _, _, mtime = struct.unpack_from("<QQQQQ", raw)
        if not self.numbers_change:
            struct.pack_into("<Q", raw, 0, self.inodes.get(number, number))
        recent = self.forgets and time.time() - mtime < self.grain + 1.5
        if self.grain and not recent:
            struct.pack_into("<Q", raw, 32, mtime // self.grain * self.grain)
            struct.pack_into("<I", raw, 52, 0)
        return bytes(raw)

    def entry(self, path):
        attributes = self.attributes(path)
        whole, part = int(self.late), int(self.late % 1 * 10**9)
        return struct.pack("<QQQQII", self.number(path), 0, whole, whole, part, part) + attributes

    def nothing(self):
        whole, part = int(self.late), int(self.late % 1 * 10**9)
        return struct.pack("<QQQQII", 0, 0, whole, 0, part, 0) + bytes(88)

    # -- requests ----------------------------------------------------------------------------

    def answer(self, opcode, node, body):
        if opcode in self.refusals():
            raise OSError(self.refusals()[opcode], "")
        done = self.done(opcode, node, body)
        if opcode in CHANGES:
            self.lists.pop(self.paths.get(node), None)
            if self.rng.random() < self.lost:
                raise OSError(TWICE[opcode], "")
        return done

    def refusals(self):
        found = {code: error for code, error in REFUSED.items() if NAMES[code] in self.without}
        if self.locks and self.locks != "lie":
            found |= dict.fromkeys((GETLK, SETLK, SETLKW), getattr(errno, self.locks))
        return found

    def done(self, opcode, node, body):  # noqa: C901
        if opcode == INIT:
            raw = bytearray(super().answer(opcode, node, body))
            (flags,) = struct.unpack_from("<I", raw, 12)
            struct.pack_into(
                "<I", raw, 12, flags | (POSIX_LOCKS | FLOCK_LOCKS if self.locks else 0)
            )
            return bytes(raw)
        if opcode in (SETLK, SETLKW):
            return b""
        if opcode == LOOKUP:
            path = self.real(node, body[:-1])
            if self.hides and os.path.islink(self.backing + path):
                return self.nothing()
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return self.entry(path)
            return self.nothing()
        if opcode == GETATTR:
            whole, part = int(self.late), int(self.late % 1 * 10**9)
            return struct.pack("<QII", whole, part, 0) + self.attributes(self.here(node))
        if opcode == SETATTR:
            self.here(node)
            return self.set_attributes(self.paths[node], body)
        if opcode == LINK:
            (old,) = struct.unpack_from("<Q", body)
            made = self.real(node, body[8:-1])
            os.link(self.backing + self.here(old), self.backing + made, follow_symlinks=False)
            return self.entry(made)
        if opcode in (UNLINK, RMDIR):
            return self.removed(opcode, self.real(node, body[:-1]))
        if opcode in (OPEN, OPENDIR, CREATE):
            return self.open(opcode, node, body)
        if opcode == RELEASE:
            return self.closed(body)
        if opcode in (READ, WRITE):
            fd, offset, size = struct.unpack_from("<QQI", body)
            if self.quota and opcode == WRITE and offset + size > self.quota:
                raise OSError(errno.EDQUOT, "")
            if not os.fstat(fd).st_nlink:  # removed by another host
                raise OSError(errno.ESTALE, "")
        if opcode == READDIR:
            return self.listed(self.here(node), body)
        if opcode == FSYNCDIR:
            raise OSError(errno.EINVAL, "")
        if opcode == STATFS:
            return self.room()
        if opcode in (RENAME, RENAME2):
            (to,) = struct.unpack_from("<Q", body)
            self.lists.pop(self.paths.get(to), None)
        return super().answer(opcode, node, body)

    def rename(self, old, new):
        self.forget(new)
        inode = os.lstat(self.backing + old).st_ino
        super().rename(old, new)
        number = self.numbers.get(new)
        if number is not None:
            self.inodes[number] = inode
        return b""

    def forget(self, path):
        self.numbers.pop(path, None)

    def removed(self, opcode, path):
        """Remove a name; a file that is open here has another one until it is closed."""
        if opcode == RMDIR:
            os.rmdir(self.backing + path)
        elif path in self.opened.values():
            hidden = f"{path.rpartition('/')[0]}/.nfs{self.rng.getrandbits(48):012x}"
            self.opened = {fd: hidden if p == path else p for fd, p in self.opened.items()}
            self.rename(path, hidden)
            return b""
        else:
            os.unlink(self.backing + path)
        self.forget(path)
        return b""

    def open(self, opcode, node, body):
        if opcode == OPENDIR:
            self.here(node)
            return struct.pack("<QII", 0, 0, 0)
        flags, mode = struct.unpack_from("<II", body)
        keep = flags & ~(os.O_NOFOLLOW | os.O_APPEND)
        if opcode == OPEN:
            path, keep = self.here(node), keep & ~(os.O_CREAT | os.O_EXCL)
        else:
            path, keep = self.real(node, body[16:-1]), keep | os.O_CREAT
            self.lists.pop(self.paths.get(node), None)
        fd = os.open(self.backing + path, keep, mode)
        self.opened[fd] = path
        opened = struct.pack("<QII", fd, 0, 0)
        return opened if opcode == OPEN else self.entry(path) + opened

    def closed(self, body):
        (fd,) = struct.unpack_from("<Q", body)
        path = self.opened.pop(fd, "")
        os.close(fd)
        name = path.rpartition("/")[2]
        if name.startswith(".nfs") and path not in self.opened.values():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.backing + path)
            self.forget(path)
        return b""

    def listed(self, path, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        if offset == 0 and time.monotonic() - self.lists.get(path, (-1e9,))[0] >= self.late:
            self.lists[path] = time.monotonic(), sorted(os.listdir(self.backing + path))
        names = self.lists.get(path, (0, []))[1]
        return self.rows([".", "..", *names], offset, size)

    def room(self):
        s = os.statvfs(self.backing)
        blocks, free = s.f_blocks, s.f_bavail
        if self.full:
            blocks, free = (0 if self.full == "unknown" else blocks), 0
        return struct.pack("<QQQQQIIII24x", blocks, free, free, 0, 0, 4096, 255, 4096, 0)


@contextlib.contextmanager
def shared_disk(where, backing, enter=(), **how):
    """Mount one, maybe in the namespaces of a host; give None where that cannot be.

    Parameters
    ----------
    where, backing
        Folders that are there.
    enter
        The beginning of a command that runs on that host.
    """
    process = subprocess.Popen(
        [*enter, sys.executable, "-m", "tests.shared_disk", str(where), str(backing),
         json.dumps(how)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield where if process.stdout.readline() == "mounted\n" else None
    finally:
        subprocess.run([*enter, "umount", "-l", str(where)], check=False, capture_output=True)
        process.terminate()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), SharedDisk)
