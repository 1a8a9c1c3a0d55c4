"""Where talk is written: a stream that may be full, closed, or that nobody reads.

Talk (progress, remarks, warnings, errors) tells of the work and is none of it. So a line that
cannot be written is lost, and nothing else happens; and a reader that stands still (Ctrl-S, a dead
connection, a pipe that nobody empties) holds nobody up: the lines are written by a thread of their
own.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import sys
import threading
import time
from collections import deque
from typing import TextIO

from neurofetch._shown import in_letters_of

__all__ = ["Outlet", "outlet"]

PATIENCE = 2.0
"""Seconds to wait for a reader that takes nothing at all."""
_PIECE = 4096
"""Bytes that are written at once: a pipe that has room takes them whole (PIPE_BUF of Linux)."""
_BACKLOG, _MOST = 64 * 1024, 16 * 1024 * 1024
"""Bytes that may wait: beyond the first, lines that are soon out of date are dropped; beyond the
second, any."""


class Outlet:
    """A stream for talk. It can be written to like a text stream, and it never fails.

    Parameters
    ----------
    stream : text stream or None
        None where it was closed from the start: then nothing is written.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._fd = _descriptor(stream)
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._taken = 0
        """Bytes that were written or given up: it grows as long as somebody reads."""
        self._stuck_at = -1
        """What `_taken` was when somebody waited in vain."""
        self._news = threading.Condition()
        self._writer: threading.Thread | None = None

    # -- what a text stream has --------------------------------------------------------------

    def write(self, text: str) -> int:
        """Write some text, in its turn; drop it if too much is waiting."""
        self._put(text, _BACKLOG)
        return len(text)

    def flush(self) -> None:
        """Do nothing: what is written goes out as soon as it can."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        with contextlib.suppress(OSError, ValueError):
            return self.stream is not None and self.stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the descriptor: a bar asks it how wide the terminal is.

        Raises
        ------
        OSError
            If there is none.
        """
        if self._fd is None:
            raise OSError("no file descriptor")
        return self._fd

    # -- lines -------------------------------------------------------------------------------

    def say(self, line: str, end: str = "\n") -> None:
        """Write a line that matters, and wait until it is out, so that what follows comes after.

        Parameters
        ----------
        line : str
        end : str
            What follows it; "" for a question.
        """
        self._put(line + end, _MOST)
        self.drain()

    def pass_on(self, line: str, *, passing: bool = False) -> None:
        """Write a line, and do not wait.

        Parameters
        ----------
        line : str
            Without its line break.
        passing : bool
            Whether it is soon out of date: then it is dropped where many are waiting.
        """
        self._put(line + "\n", _BACKLOG if passing else _MOST)

    def drain(self, patience: float | None = None) -> bool:
        """Wait until all is out; not for long where the reader takes nothing.

        Parameters
        ----------
        patience : float, optional
            Seconds; by default 2.

        Returns
        -------
        bool
            Whether all is out.
        """
        with self._news:
            while self._bytes:
                before = self._taken
                if before == self._stuck_at:
                    return False  # somebody waited for this before
                if not self._moved(before, PATIENCE if patience is None else patience):
                    self._stuck_at = before
                    return False
        return True

    def _moved(self, before: int, patience: float) -> bool:
        until = time.monotonic() + patience
        while self._bytes and self._taken == before:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._news.wait(left)
        return True

    def _put(self, text: str, most: int) -> None:
        if not text or self.stream is None or sys.is_finalizing():
            return  # at the very end a thread that is started never begins, and is waited for
        if self._fd is None:
            with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed meanwhile
                self.stream.write(text)
                self.stream.flush()
            return
        data = in_letters_of(self.encoding, text).encode(self.encoding, "backslashreplace")
        with self._news:
            if self._bytes + len(data) > most and self._bytes:
                return
            self._waiting.append(data)
            self._bytes += len(data)
            lives = self._writer is not None and self._writer.is_alive()  # not after a fork
            if not lives and not self._start():
                self._write_here()
            self._news.notify_all()

    # -- the thread --------------------------------------------------------------------------

    def _start(self) -> bool:
        first, writer = self._writer is None, threading.Thread(target=self._write_all, daemon=True)
        try:
            writer.start()
        except RuntimeError:  # the system gives this user no more threads
            return False
        self._writer = writer
        if first:
            atexit.register(self.drain)
        return True

    def _write_here(self) -> None:
        while self._waiting:
            data = self._waiting.popleft()
            _write(self._fd, data)
            self._over(len(data))

    def _write_all(self) -> None:
        while True:
            with self._news:
                while not self._waiting:
                    self._news.wait()
                data = self._waiting.popleft()
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                _write(self._fd, piece)
                with self._news:
                    self._over(len(piece))
                    self._news.notify_all()

    def _over(self, count: int) -> None:
        self._bytes -= count
        self._taken += count


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the descriptor that a stream writes to; None where it is no file of the system's.

    Some streams (a notebook's, a test's) have one and write elsewhere: only the process's own
    standard streams are sure to be what they say.
    """
    if stream is None or all(stream is not own for own in (sys.__stderr__, sys.__stdout__)):
        return None
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        return stream.fileno()
    return None


def _write(fd: int | None, data: bytes) -> None:
    """Write it, as far as it can be written: what cannot is lost."""
    view = memoryview(data)
    with contextlib.suppress(OSError, ValueError):
        while view and fd is not None:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:  # somebody made the pipe non-blocking, and it is full
                select.select([], [fd], [])


_outlets: dict[int, Outlet] = {}
"""One for each stream that was written to: so lines keep their order."""
_FEW = 8


def outlet(stream: TextIO | None = None) -> Outlet:
    """Return the outlet of a stream, by default that of ``sys.stderr`` as it is now."""
    stream = sys.stderr if stream is None else stream
    found = _outlets.get(id(stream))
    if found is None or found.stream is not stream:
        if len(_outlets) >= _FEW:  # notebooks change sys.stderr: the old ones are not kept
            _outlets.clear()
        found = _outlets[id(stream)] = Outlet(stream)
    return found
