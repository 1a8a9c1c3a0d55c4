"""A process that fetches, and writes down what it does to the disk, in order, with every byte.

`recorder.py ROOT LOG s3|neurovault [syncfs]`: the functions of `os` that change a file below ROOT,
and `open` for writing, are replaced by ones that do the same and note it. LOG gets a pickled list
of operations, which `crash.py` replays up to any point. With `syncfs`, two files or more are
flushed by flushing the whole file system; without it, each file is flushed by itself.
"""

import builtins
import errno
import fcntl
import io
import os
import pickle
import stat
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

_REFLINK = 0x40049409  # FICLONE
_real = {name: getattr(os, name) for name in dir(os)}
_real_open = io.open
_real_ioctl = fcntl.ioctl


class Recorder:
    """Stands between this process and the disk.

    Parameters
    ----------
    root
        What happens outside of it is not noted.

    Attributes
    ----------
    log : list of tuple
        ``(name of the operation, arguments…)``. Files are numbers, since names change.
    """

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self.log = []
        self._lock = threading.RLock()
        self._numbers = {}
        self._next = 0
        self._files = {}  # descriptor to number of the file
        for folder, _, names in os.walk(self.root):
            for name in names:
                self._number(os.lstat(os.path.join(folder, name)))

    # -- names and files ---------------------------------------------------------------------

    def _path(self, path, dir_fd=None):
        """Return a path relative to the root; None where it lies outside."""
        text = os.fsdecode(path)
        if not os.path.isabs(text):
            base = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else os.getcwd()
            text = os.path.join(base, text)
        folder, name = os.path.split(text.rstrip("/"))
        full = os.path.join(os.path.realpath(folder), name)
        if full == self.root:
            return "."
        inside = full.startswith(self.root + os.sep)
        return full[len(self.root) + 1 :] if inside else None

    def _number(self, info, *, new=False):
        key = (info.st_dev, info.st_ino)
        if new or key not in self._numbers:
            self._next += 1
            self._numbers[key] = self._next
        return self._numbers[key]

    def _note(self, *operation):
        self.log.append(operation)

    # -- descriptors -------------------------------------------------------------------------

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        with self._lock:
            where = self._path(path, dir_fd)
            if where is None:
                return _real["open"](path, flags, mode, dir_fd=dir_fd)
            unnamed = flags & os.O_TMPFILE == os.O_TMPFILE
            there = not unnamed and os.path.lexists(os.path.join(self.root, where))
            fd = _real["open"](path, flags, mode, dir_fd=dir_fd)
            info = os.fstat(fd)
            number = self._number(info, new=not there and bool(flags & os.O_CREAT))
            self._files[fd] = where if stat.S_ISDIR(info.st_mode) and not unnamed else number
            if not there and flags & os.O_CREAT:
                self._note("create", where, number)
            elif flags & os.O_TRUNC and there:
                self._note("truncate", number, 0, info.st_mtime_ns)
            return fd

    def close(self, fd):
        with self._lock:
            self._files.pop(fd, None)
            _real["close"](fd)

    def dup(self, fd):
        with self._lock:
            new = _real["dup"](fd)
            if fd in self._files:
                self._files[new] = self._files[fd]
            return new

    def write(self, fd, data):
        with self._lock:
            if fd not in self._files:
                return _real["write"](fd, data)
            append = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
            at = os.fstat(fd).st_size if append else os.lseek(fd, 0, os.SEEK_CUR)
            return self._wrote(fd, _real["write"](fd, data), at, data)

    def writev(self, fd, buffers):
        return self.write(fd, b"".join(buffers))

    def pwrite(self, fd, data, offset):
        with self._lock:
            return self._wrote(fd, _real["pwrite"](fd, data, offset), offset, data)

    def pwritev(self, fd, buffers, offset, flags=0):
        del flags
        return self.pwrite(fd, b"".join(buffers), offset)

    def copy_file_range(self, src, dst, count, offset_src=None, offset_dst=None):
        del src, dst, count, offset_src, offset_dst
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))  # the way without it is recorded

    def sendfile(self, out, inside, offset, count):
        if out not in self._files:
            return _real["sendfile"](out, inside, offset, count)
        raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))

    def ioctl(self, fd, request, *rest):
        if request == _REFLINK:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return _real_ioctl(fd, request, *rest)

    def _wrote(self, fd, count, at, data):
        if fd in self._files:
            now = os.fstat(fd).st_mtime_ns
            self._note("write", self._files[fd], at, bytes(memoryview(data)[:count]), now)
        return count

    def ftruncate(self, fd, length):
        with self._lock:
            _real["ftruncate"](fd, length)
            if fd in self._files:
                self._note("truncate", self._files[fd], length, os.fstat(fd).st_mtime_ns)

    def fsync(self, fd):
        with self._lock:
            _real["fsync"](fd)
            self._note("fsync", self._files.get(fd))

    def fdatasync(self, fd):
        self.fsync(fd)

    def flush_whole_file_systems(self, flush, *, wanted):
        """Note what `neurofetch.store.flush` does without the functions of `os`."""
        real = flush._syncfs

        def syncfs(folder):
            with self._lock:  # what is written meanwhile need not be flushed
                done = real(folder)
                self._note("syncfs" if done else "nothing")
            return done

        flush._syncfs = syncfs
        flush._flushes_all = lambda _: wanted
        flush._FEW, flush._MOST_DIRTY = 2, 1 << 62

    # -- names -------------------------------------------------------------------------------

    def replace(self, src, dst, *, src_dir_fd=None, dst_dir_fd=None):
        with self._lock:
            old, new = self._path(src, src_dir_fd), self._path(dst, dst_dir_fd)
            number = self._number(os.lstat(src, dir_fd=src_dir_fd))
            _real["replace"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            if old is not None and new is not None:
                self._note("rename", old, new, number)

    def link(self, src, dst, *, src_dir_fd=None, dst_dir_fd=None, follow_symlinks=True):
        with self._lock:
            new = self._path(dst, dst_dir_fd)
            info = os.stat(src, dir_fd=src_dir_fd, follow_symlinks=follow_symlinks)
            how = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd}
            _real["link"](src, dst, **how, follow_symlinks=follow_symlinks)
            if new is not None:
                self._note("link", new, self._number(info))

    def unlink(self, path, *, dir_fd=None):
        with self._lock:
            where = self._path(path, dir_fd)
            number = self._number(os.lstat(path, dir_fd=dir_fd))
            _real["unlink"](path, dir_fd=dir_fd)
            if where is not None:
                self._note("unlink", where, number)

    def symlink(self, src, dst, target_is_directory=False, *, dir_fd=None):
        del target_is_directory
        with self._lock:
            _real["symlink"](src, dst, dir_fd=dir_fd)
            where = self._path(dst, dir_fd)
            if where is not None:
                number = self._number(os.lstat(dst, dir_fd=dir_fd), new=True)
                self._note("symlink", where, number, os.fsdecode(src))

    def mkdir(self, path, mode=0o777, *, dir_fd=None):
        with self._lock:
            _real["mkdir"](path, mode, dir_fd=dir_fd)
            where = self._path(path, dir_fd)
            if where is not None:
                self._note("mkdir", where)

    def rmdir(self, path, *, dir_fd=None):
        with self._lock:
            where = self._path(path, dir_fd)
            _real["rmdir"](path, dir_fd=dir_fd)
            if where is not None:
                self._note("rmdir", where)

    def utime(self, path, times=None, *, ns=None, dir_fd=None, follow_symlinks=True):
        with self._lock:
            how = {"dir_fd": dir_fd, "follow_symlinks": follow_symlinks}
            given = {"ns": ns} if ns is not None else {"times": times}
            _real["utime"](path, **given, **({} if isinstance(path, int) else how))
            info = os.stat(path) if isinstance(path, int) else os.stat(path, **how)
            if stat.S_ISREG(info.st_mode):
                self._note("utime", self._number(info), info.st_mtime_ns)

    # -- open(…) -----------------------------------------------------------------------------

    def opened(self, file, mode="r", buffering=-1, encoding=None, *rest, **more):
        """Do what `open` does; writing goes through the functions above."""
        if not set(mode) & set("wax+") or more.get("opener"):
            return _real_open(file, mode, buffering, encoding, *rest, **more)
        if not isinstance(file, int) and self._path(file) is None:
            return _real_open(file, mode, buffering, encoding, *rest, **more)
        raw = _Raw(self, file, mode)
        if buffering == 0:
            return raw
        both = "+" in mode
        buffered = io.BufferedRandom(raw) if both else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8")

    def install(self):
        """Take the places of the functions of `os`."""
        for name in (
            "open", "close", "dup", "write", "writev", "pwrite", "pwritev", "copy_file_range",
            "sendfile", "ftruncate", "fsync", "fdatasync", "replace", "link", "unlink", "symlink",
            "mkdir", "rmdir", "utime",
        ):  # fmt: skip
            setattr(os, name, getattr(self, name))
        os.rename, os.remove = self.replace, self.unlink
        builtins.open = io.open = self.opened
        fcntl.ioctl = self.ioctl


class _Raw(io.FileIO):
    """A file whose writing is noted."""

    def __init__(self, recorder, file, mode):
        self._recorder = recorder
        if isinstance(file, int):
            super().__init__(file, mode.replace("b", "").replace("t", ""))
            return
        flags = {"w": os.O_CREAT | os.O_TRUNC, "a": os.O_CREAT | os.O_APPEND,
                 "x": os.O_CREAT | os.O_EXCL, "r": 0}[mode.strip("bt+")]  # fmt: skip
        flags |= os.O_RDWR if "+" in mode else os.O_WRONLY
        fd = recorder.open(file, flags | os.O_CLOEXEC, 0o666)
        super().__init__(fd, "r+" if "+" in mode else "r+" if "r" in mode else "w", closefd=True)

    def write(self, data):
        return self._recorder.write(self.fileno(), bytes(data))

    def truncate(self, size=None):
        size = self.tell() if size is None else size
        self._recorder.ftruncate(self.fileno(), size)
        return size

    def close(self):
        if not self.closed and self.closefd:
            self._recorder._files.pop(self.fileno(), None)
        super().close()


def main():
    root, log, source, *how = sys.argv[1:]
    recorder = Recorder(root)
    recorder.install()
    if source == "s3":
        from tests.powercut.runs import fetch_bucket as fetch  # noqa: PLC0415 - after `install`
    else:
        from tests.powercut.runs import fetch_vault as fetch  # noqa: PLC0415
    from neurofetch.store import flush  # noqa: PLC0415

    recorder.flush_whole_file_systems(flush, wanted="syncfs" in how)
    fetch(root)
    with _real_open(log, "wb") as file:
        pickle.dump(recorder.log, file)


if __name__ == "__main__":
    main()
