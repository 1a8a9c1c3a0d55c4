"""What may be on a disk after a power cut: operations replayed up to a point, some of them lost.

POSIX promises that bytes are there after an fsync of the file, and names after one of the folder;
Linux, that all of it is there after a syncfs. (sync_file_range promises nothing, and is no event.)
All else may be there or not, in any order: bytes that were written may be missing, zero, or there
in part, and a name may be the old or the new one. Real file systems promise more; this is the worst
that they may do.
"""

import os
from dataclasses import dataclass, field

BLOCK = 4096
LOST, ALL, ZERO, TORN = "lost", "all", "zero", "torn"
"""What becomes of bytes that were written and not flushed."""


@dataclass
class File:
    """A file, whatever it is called."""

    durable: bytearray = field(default_factory=bytearray)
    written: bytearray = field(default_factory=bytearray)
    dirty: bool = False
    mtime: int = 0
    target: str | None = None

    def truncate(self, size):
        self.dirty = True
        self.written = self.written[:size].ljust(size, b"\0")

    def write(self, at, data):
        self.dirty = True
        if len(self.written) < at:
            self.written.extend(bytes(at - len(self.written)))
        self.written[at : at + len(data)] = data

    def flush(self):
        self.durable, self.dirty = bytearray(self.written), False

    def after(self, fate, rng):
        """Return what is there after the cut."""
        if not self.dirty or fate == ALL:
            return bytes(self.written)
        if fate == LOST:
            return bytes(self.durable)
        old = bytes(self.durable[: len(self.written)]).ljust(len(self.written), b"\0")
        if fate == ZERO:
            return old
        pieces = [
            (self.written if rng.random() < 0.5 else old)[at : at + BLOCK]
            for at in range(0, len(old), BLOCK)
        ]
        return b"".join(bytes(piece) for piece in pieces)


class Disk:
    """A disk on which operations were done up to some point.

    Parameters
    ----------
    before
        Path and content of what was there, flushed, before the first operation.
    operations
        Those of `recorder.Recorder.log` up to the cut.
    """

    def __init__(self, before, operations):
        self.files = {}
        self._before = {}
        for number, (path, (content, mtime)) in enumerate(sorted(before.items()), 1):
            self.files[-number] = File(bytearray(content), bytearray(content), mtime=mtime)
            self._before[path] = -number
        self._names = []  # operations on names, and whether each is flushed
        self._renumbered = {}
        for operation in operations:
            self._do(*operation)

    def _file(self, number):
        return self.files.setdefault(self._renumbered.get(number, number), File())

    def _do(self, kind, *given):
        if kind == "write":
            number, at, data, mtime = given
            self._file(number).write(at, data)
            self._file(number).mtime = mtime
        elif kind == "truncate":
            number, size, mtime = given
            self._file(number).truncate(size)
            self._file(number).mtime = mtime
        elif kind == "utime":
            self._file(given[0]).mtime = given[1]
        elif kind == "fsync":
            self._flush(given[0])
        elif kind == "syncfs":
            self._flush_all()
        else:
            if kind == "symlink":
                self._file(given[1]).target = given[2]
            self._names.append([kind, given, False])

    def _flush(self, what):
        if isinstance(what, int):
            self._file(what).flush()
        elif isinstance(what, str):
            for entry in self._names:
                if what in _folders(entry):
                    entry[2] = True

    def _flush_all(self):
        for file in self.files.values():
            file.flush()
        for entry in self._names:
            entry[2] = True

    def names(self, rng, *, ordered):
        """Return the names after the cut: path to the number of a file, None for a folder.

        `ordered`: names are lost from the end only, as with a journal; else any of them.
        """
        unsafe = [n for n, entry in enumerate(self._names) if not entry[2]]
        if ordered:
            safe = [n for n, entry in enumerate(self._names) if entry[2]]
            last = rng.randint(max(safe, default=-1), len(self._names) - 1) if self._names else -1
            kept = set(range(last + 1))
        else:
            chance = rng.choice((0.0, 0.3, 0.7))
            kept = set(range(len(self._names))) - {n for n in unsafe if rng.random() > chance}
        names = dict(self._before)
        for path in self._before:
            for folder in _above(path):
                names[folder] = None
        for n, (kind, given, _) in enumerate(self._names):
            if n in kept:
                _apply(names, kind, given)
        return {p: n for p, n in names.items() if all(f in names for f in _above(p))}

    def write_out(self, root, rng, *, fate, ordered):
        """Make a folder hold what the disk holds after the cut."""
        names = self.names(rng, ordered=ordered)
        for path in sorted(names):
            number, full = names[path], os.path.join(root, path)
            if number is None:
                os.makedirs(full, exist_ok=True)
                continue
            file = self._file(number)
            if file.target is not None:
                os.symlink(file.target, full)
                continue
            with open(full, "wb") as out:
                out.write(file.after(rng.choice(fate), rng))
            if file.mtime:
                os.utime(full, ns=(file.mtime, file.mtime))


def _apply(names, kind, given):
    path = given[0]
    if kind in ("create", "symlink", "link"):
        names[path] = given[1]
    elif kind == "mkdir":
        names[path] = None
    elif kind == "rename":
        old, new, number = given
        if names.get(old) == number:
            del names[old]
        names[new] = number
    elif kind == "unlink":
        if names.get(path) == given[1]:
            del names[path]
    elif kind == "rmdir":
        names.pop(path, None)


def _folders(entry):
    kind, given, _ = entry
    paths = given[:2] if kind == "rename" else given[:1]
    return {os.path.dirname(path) or "." for path in paths}


def _above(path):
    folder = os.path.dirname(path)
    while folder:
        yield folder
        folder = os.path.dirname(folder)
