"""A disk that cannot hold all names: one that folds case or accents, or refuses letters.

It is served to the kernel by a process of its own (FUSE; the protocol is that of
``include/uapi/linux/fuse.h``), and keeps its files below a folder of another disk. Only root may
mount it.

    python -m tests.odd_disk MOUNT BACKING '{"case": true, "accents": true, "letters": ":", …}'
"""

import contextlib
import ctypes
import errno
import json
import os
import struct
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK = 1, 2, 3, 4, 5, 6
MKDIR, UNLINK, RMDIR, RENAME, LINK, OPEN, READ, WRITE = 9, 10, 11, 12, 13, 14, 15, 16
STATFS, RELEASE, FSYNC, FLUSH, INIT, OPENDIR, READDIR = 17, 18, 20, 25, 26, 27, 28
RELEASEDIR, FSYNCDIR, ACCESS, CREATE, DESTROY, BATCH_FORGET, RENAME2 = 29, 30, 34, 35, 38, 42, 45
SILENT = {FORGET, BATCH_FORGET}
LARGEST = 1 << 17


class Disk:
    """Files below a folder, by names that are compared as the disk is told to."""

    def __init__(self, backing, *, case=False, accents=False, letters="", ends="", longest=255):
        self.backing = backing
        self.case, self.accents, self.letters, self.ends = case, accents, letters, ends
        self.longest = longest
        self.paths = {1: ""}
        self.numbers = {"": 1}

    def fold(self, name):
        if self.accents:
            name = unicodedata.normalize("NFC", name)
        return name.casefold() if self.case else name

    def real(self, folder, name, *, new=False):
        """Return the path of a name in a folder: that of the one there which counts as the same."""
        text = os.fsdecode(name)
        if len(name) > self.longest:
            raise OSError(errno.ENAMETOOLONG, "")
        if set(text) & set(self.letters) or (self.ends and text[-1] in self.ends):
            raise OSError(errno.EINVAL if new else errno.ENOENT, "")
        path = self.paths[folder]
        for there in os.listdir(self.backing + path):
            if self.fold(there) == self.fold(text):
                return f"{path}/{there}"
        return f"{path}/{text}"

    def number(self, path):
        number = self.numbers.setdefault(path, len(self.paths) + 1)
        self.paths[number] = path
        return number

    def forget(self, path):
        number = self.numbers.pop(path, None)
        if number is not None:
            self.paths[number] = path

    def attributes(self, path):
        s = os.lstat(self.backing + path)
        times = [int(t // 10**9) for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)]
        parts = [int(t % 10**9) for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)]
        return struct.pack(
            "<QQQQQQIIIIIIIIII", self.number(path), s.st_size, s.st_blocks, *times, *parts,
            s.st_mode, s.st_nlink, s.st_uid, s.st_gid, 0, 4096, 0,
        )  # fmt: skip

    def entry(self, path):
        attributes = self.attributes(path)
        return struct.pack("<QQQQII", self.number(path), 0, 0, 0, 0, 0) + attributes

    # -- requests ----------------------------------------------------------------------------

    def answer(self, opcode, node, body):  # noqa: C901
        path = self.paths.get(node, "")
        here = self.backing + path
        if opcode == INIT:
            _, _, ahead, _ = struct.unpack_from("<IIII", body)
            return struct.pack(
                "<IIIIHHIIHHI7I", 7, 31, ahead, 0, 12, 9, LARGEST, 1, 32, 0, 0, *[0] * 7
            )
        if opcode == LOOKUP:
            return self.entry(self.real(node, body[:-1]))
        if opcode == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self.attributes(path)
        if opcode == SETATTR:
            return self.set_attributes(path, body)
        if opcode == READLINK:
            return os.fsencode(os.readlink(here))
        if opcode == SYMLINK:
            name, target, _ = body.split(b"\0")
            made = self.real(node, name, new=True)
            os.symlink(target, os.fsencode(self.backing + made))
            return self.entry(made)
        if opcode == MKDIR:
            made = self.real(node, body[8:-1], new=True)
            os.mkdir(self.backing + made, struct.unpack_from("<I", body)[0])
            return self.entry(made)
        if opcode in (UNLINK, RMDIR):
            gone = self.real(node, body[:-1])
            (os.unlink if opcode == UNLINK else os.rmdir)(self.backing + gone)
            self.numbers.pop(gone, None)
            return b""
        if opcode in (RENAME, RENAME2):
            (to,) = struct.unpack_from("<Q", body)
            old, new, _ = body[8 if opcode == RENAME else 16 :].split(b"\0")
            return self.rename(self.real(node, old), self.real(to, new, new=True))
        if opcode == LINK:
            raise OSError(errno.EPERM, "")
        if opcode in (OPEN, OPENDIR):
            flags = struct.unpack_from("<I", body)[0] & ~(os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
            fd = os.open(here, flags) if opcode == OPEN else 0
            return struct.pack("<QII", fd, 1, 0)  # direct: nothing is cached
        if opcode == CREATE:
            flags, mode = struct.unpack_from("<II", body)
            made = self.real(node, body[16:-1], new=True)
            fd = os.open(self.backing + made, flags, mode)
            return self.entry(made) + struct.pack("<QII", fd, 1, 0)
        if opcode == READ:
            fd, offset, size = struct.unpack_from("<QQI", body)
            return os.pread(fd, size, offset)
        if opcode == WRITE:
            fd, offset, size = struct.unpack_from("<QQI", body)
            return struct.pack("<II", os.pwrite(fd, body[40 : 40 + size], offset), 0)
        if opcode == READDIR:
            _, offset, size = struct.unpack_from("<QQI", body)
            return self.names(here, offset, size)
        if opcode == STATFS:
            s = os.statvfs(self.backing)
            return struct.pack(
                "<QQQQQIIII24x", s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree,
                s.f_bsize, self.longest, s.f_frsize, 0,
            )  # fmt: skip
        if opcode == RELEASE:
            os.close(struct.unpack_from("<Q", body)[0])
            return b""
        if opcode in (FSYNC, FLUSH, RELEASEDIR, FSYNCDIR, ACCESS, DESTROY):
            return b""
        raise OSError(errno.ENOSYS, "")

    def set_attributes(self, path, body):
        valid, _, _, size, _, atime, mtime = struct.unpack_from("<IIQQQQQ", body)
        _, atime_part, mtime_part = struct.unpack_from("<QII", body, 48)
        (mode,) = struct.unpack_from("<I", body, 68)
        here = self.backing + path
        if valid & 1:
            os.chmod(here, mode & 0o7777)
        if valid & 8:
            os.truncate(here, size)
        if valid & 0x30:
            now = time.time_ns()
            stamps = [atime * 10**9 + atime_part, mtime * 10**9 + mtime_part]
            stamps = [
                now if valid & bit else t for t, bit in zip(stamps, (0x80, 0x100), strict=True)
            ]
            os.utime(here, ns=(stamps[0], stamps[1]))
        return struct.pack("<QII", 0, 0, 0) + self.attributes(path)

    def rename(self, old, new):
        os.rename(self.backing + old, self.backing + new)
        moved = [p for p in self.numbers if p == old or p.startswith(old + "/")]
        for path in moved:
            number = self.numbers.pop(path)
            self.paths[number] = new + path[len(old) :]
            self.numbers[self.paths[number]] = number
        return b""

    def names(self, folder, offset, size):
        return self.rows([".", "..", *sorted(os.listdir(folder))], offset, size)

    @staticmethod
    def rows(rows, offset, size):
        out = b""
        for number, name in enumerate(rows[offset:], offset + 1):
            raw = os.fsencode(name)
            row = struct.pack("<QQII", 1 << 40, number, len(raw), 0) + raw
            row += b"\0" * (-len(row) % 8)
            if len(out) + len(row) > size:
                break
            out += row
        return out


def serve(where, backing, how, kind=Disk):
    """Mount the disk, and answer until it is unmounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"odd", os.fsencode(where), b"fuse.odd", 0, options):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    disk = kind(backing, **how)
    print("mounted", flush=True)
    while True:
        try:
            request = os.read(fd, LARGEST + (1 << 16))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                continue
            return  # it is unmounted
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in SILENT:
            continue
        try:
            failed, answer = 0, disk.answer(opcode, node, request[40:])
        except OSError as error:
            failed, answer = -(error.errno or errno.EIO), b""
        with contextlib.suppress(OSError):  # who asked has gone
            os.write(fd, struct.pack("<IiQ", 16 + len(answer), failed, unique) + answer)


@contextlib.contextmanager
def odd_disk(where, backing, **how):
    """Mount one at a new folder; give None where that cannot be."""
    Path(where).mkdir()
    Path(backing).mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.odd_disk", str(where), str(backing), json.dumps(how)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield where if process.stdout.readline() == "mounted\n" else None
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
