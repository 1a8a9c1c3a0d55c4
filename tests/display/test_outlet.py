"""Talk is written where it can be: it never fails, and it holds nobody up."""

import fcntl
import io
import os
import pty
import subprocess
import sys
import termios
import threading
import time

import pytest

from neurofetch.display import outlet as _outlet
from neurofetch.display.outlet import Outlet, outlet
from neurofetch.display.progress import Heartbeat, listener
from neurofetch.errors import UsageError
from neurofetch.events import FileDone, Progress
from neurofetch.model import Outcome, Status
from tests.engine_world import until

PIPE_SIZE = 1031  # F_SETPIPE_SZ, which Python's fcntl lacks before 3.10


@pytest.fixture
def standard(monkeypatch):
    """Make a descriptor the standard error of this process, as far as the outlet can see.

    It is closed when nobody writes to it any more: else its number could be another file's.
    """
    made = []

    def make(fd: int) -> Outlet:
        stream = os.fdopen(fd, "w", encoding="utf-8", closefd=False)
        monkeypatch.setattr(sys, "__stderr__", stream)
        made.append((fd, outlet(stream)))
        return made[-1][1]

    yield make
    for fd, out in made:
        until(out.drain)
        os.close(fd)


@pytest.fixture
def pipe():
    """A pipe of one page."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, PIPE_SIZE, 4096)
    yield reader, writer
    os.close(reader)  # the writer belongs to the outlet


def drained(reader: int, seconds: float = 10) -> bytes:
    """Read until nothing more comes; the writer goes on meanwhile."""
    os.set_blocking(reader, False)
    found, last = b"", time.monotonic()
    while time.monotonic() - last < min(seconds, 0.3):
        try:
            block = os.read(reader, 65536)
        except BlockingIOError:
            time.sleep(0.002)
            continue
        if not block:
            break
        found, last = found + block, time.monotonic()
    return found


def test_lines_come_in_their_order_and_whole(standard, pipe):
    reader, writer = pipe
    out = standard(writer)
    read = []
    thread = threading.Thread(target=lambda: read.append(drained(reader)))
    thread.start()
    for number in range(2000):
        (out.say if number % 3 else out.pass_on)(f"line {number} é")
    assert out.drain()
    thread.join()
    assert read[0].decode().splitlines() == [f"line {number} é" for number in range(2000)]


def test_a_line_that_matters_is_out_when_it_was_said(standard, pipe):
    reader, writer = pipe
    standard(writer).say("now")
    assert os.read(reader, 100) == b"now\n"


def test_nobody_waits_long_for_a_reader_that_stands_still_and_only_once(
    standard, pipe, monkeypatch
):
    monkeypatch.setattr(_outlet, "PATIENCE", 0.2)
    reader, writer = pipe
    out = standard(writer)
    began = time.monotonic()
    for _ in range(50):
        out.say("x" * 1000)
    assert not out.drain()
    assert time.monotonic() - began < 1.0
    got = drained(reader)
    assert got.count(b"\n") == 50, "nothing that matters is lost once somebody reads again"
    assert out.drain()


def test_what_is_soon_out_of_date_is_dropped_while_nobody_reads(standard, pipe):
    reader, writer = pipe
    out = standard(writer)
    for number in range(10_000):
        out.pass_on(f"progress {number:060}", passing=True)
    out.pass_on("the end")
    assert out._bytes < 2 * _outlet._BACKLOG
    lines = drained(reader).decode().splitlines()
    assert lines[-1] == "the end"
    assert 500 < len(lines) < 3000


def test_memory_is_bounded_whatever_is_said(standard, pipe, monkeypatch):
    monkeypatch.setattr(_outlet, "_MOST", 100_000)
    _, writer = pipe
    out = standard(writer)
    for _ in range(1000):
        out.pass_on("y" * 999)
    assert out._bytes <= 100_000


def test_a_pipe_that_somebody_made_non_blocking_loses_nothing(standard, pipe):
    reader, writer = pipe
    os.set_blocking(writer, False)
    out = standard(writer)
    for _ in range(100):
        out.pass_on("z" * 200)
    time.sleep(0.05)  # the pipe is full by now
    assert drained(reader).count(b"\n") == 100


def dead_terminal() -> int:
    master, slave = pty.openpty()
    os.close(master)
    return slave


def without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def closed() -> int:
    return os.open(os.devnull, os.O_RDONLY)  # writing is EBADF


DEAD = {
    "a full disk": lambda: os.open("/dev/full", os.O_WRONLY),
    "a dead terminal": dead_terminal,
    "no reader": without_reader,
    "not for writing": closed,
}


@pytest.mark.parametrize("kind", DEAD)
@pytest.mark.parametrize("progress", ["bar", "lines", "json"])
def test_what_cannot_be_written_is_lost_and_nothing_else_happens(standard, kind, progress):
    out = standard(DEAD[kind]())
    listen = listener(progress, out.stream)
    for number in range(50):
        listen(Progress(0, 50, number, 50, float(number * 40), 1.0, 0))
        listen(FileDone(Outcome("p", "k", Status.FAILED, "no")))
    out.say("the end")
    assert out.drain()


class Torn(io.StringIO):
    """A stream of a program: its own kind of trouble."""

    def write(self, _: str) -> int:
        raise self.trouble


@pytest.mark.parametrize("trouble", [OSError(28, "full"), ValueError("I/O on closed file")])
def test_a_stream_of_a_program_may_fail_too(trouble):
    stream = Torn()
    stream.trouble = trouble
    Heartbeat(stream, 1.0)(Progress(0, 1, 0, 1, 5.0, 1.0, 0))
    outlet(stream).say("x")


def test_no_stream_at_all_takes_everything():
    out = Outlet(None)
    out.say("x")
    out.write("y")
    assert not out.isatty()
    assert out.drain()
    with pytest.raises(OSError, match="descriptor"):
        out.fileno()


def test_a_stopped_terminal_is_a_reader_that_stands_still(standard):
    master, slave = pty.openpty()
    try:
        termios.tcflow(slave, termios.TCOOFF)
        out = standard(slave)
        out.pass_on("hello")
        assert not out.drain(0.1)
        termios.tcflow(slave, termios.TCOON)
        until(out.drain)
        assert b"hello" in os.read(master, 100)
    finally:
        os.close(master)


ENDS = """
import sys
from neurofetch.display.outlet import outlet
for n in range(300):
    outlet().pass_on(f"line {n} " + "x" * 100)
"""


def test_a_program_that_ends_at_once_has_said_everything():
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=30, check=True
    )
    assert [line.split()[1] for line in done.stderr.splitlines()] == [*map(str, range(300))]


LATE = """
from neurofetch.display.outlet import outlet

class Bar:
    def __init__(self):
        self.out = outlet()
        self.out.pass_on("in time")

    def __del__(self):
        self.out.write("too late")

bar = Bar()
"""


def test_what_is_written_while_the_interpreter_ends_does_not_hold_it():
    # As a bar does that was open when Ctrl-C came.
    done = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stderr == "in time\n"


@pytest.mark.parametrize("wrong", ["", "x", 0, 1, 3, 1.0, [], {}, set(), b"bar", object(), ["bar"]])
def test_what_is_no_way_to_show_progress_is_told_whatever_its_type(wrong):
    with pytest.raises(UsageError, match="progress is one of auto, bar, lines, json, none"):
        listener(wrong)
