"""A command of ours in a process of its own: its events as they come, its document at its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurofetch._threads import start
from neurofetch.errors import NeurofetchError
from neurofetch.ui.documents import Document
from neurofetch.ui.guard import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Child", "Ended"]

_PROGRAMS: Final = {"neurofetch": "neurofetch", "laion-fmri": "laion_fmri"}
_PATIENCE: Final = 15.0
"""Seconds for a command to end by itself; what came is kept then."""
_LAST_WORDS: Final = 8_000
"""Letters that are kept of what is no event."""
_LONGEST_LINE: Final = 1 << 24


class Ended(NamedTuple):
    """How a command ended.

    Parameters
    ----------
    code : int
        Its exit code.
    document : Document or None
        What it printed; None if that is no document.
    words : str
        What it said beside its events.
    """

    code: int
    document: Document | None
    words: str


class Child:
    """A command in a process of its own.

    Parameters
    ----------
    argv : sequence of str
        "neurofetch" or "laion-fmri" and its words.
    listen : callable
        Takes each event; called in a thread of the child.
    over : callable
        Called once, in the same thread, with how it ended.
    no_link_at : str
        Its data directory, if that was no link when it was looked at: the command goes through
        none that lies there since.
    """

    def __init__(
        self,
        argv: Sequence[str],
        listen: Callable[[dict[str, Any]], None],
        over: Callable[[Ended], None],
        *,
        no_link_at: str = "",
    ) -> None:
        self._listen, self._over = listen, over
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - the document takes it
        # -P: what lies in the current directory is data, and no module of ours.
        words = [sys.executable, "-P", "-m", _PROGRAMS[argv[0]], *argv[1:]]
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C at the terminal is for the page alone
                env=_environment(no_link_at),
            )
        except BaseException:
            self._output.close()
            raise
        self._ended = threading.Event()
        if not start(self._follow, 1, "neurofetch-ui-child"):
            self._process.kill()
            msg = "the system gives no more threads. Nothing was done. Stop a run, and try again."
            raise NeurofetchError(msg)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does: what came is kept. Also one that is suspended hears it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
            self._process.send_signal(signal.SIGCONT)

    def end(self, seconds: float = _PATIENCE) -> None:
        """Ask it to end, and see that it does.

        Parameters
        ----------
        seconds : float
            It gets so long until it is ended hard.
        """
        self.interrupt()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._ended.wait(seconds):
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
        self._ended.wait(seconds)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end; return whether it came."""
        return self._ended.wait(seconds)

    def _follow(self) -> None:
        words: list[str] = []
        try:
            assert self._process.stderr is not None  # it is a pipe
            with self._process.stderr as lines:
                while line := lines.readline(_LONGEST_LINE):
                    event = _event(line)
                    if event is None:
                        words.append(line.decode("utf-8", "replace"))
                        del words[:-100]
                    else:
                        self._listen(event)
            code = self._process.wait()
            said = "".join(words)[-_LAST_WORDS:].strip()
            self._over(Ended(code, self._document(), said))
        finally:
            self._ended.set()

    def _document(self) -> Document | None:
        try:
            return Document(self._output)
        except ValueError:
            self._output.close()
            return None


def _environment(no_link_at: str) -> dict[str, str]:
    """Return the variables of a command: those of the page, but its token."""
    env = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    if no_link_at:
        env["NEUROFETCH_NO_LINK_AT"] = no_link_at
    return {**env, "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}


def _event(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
