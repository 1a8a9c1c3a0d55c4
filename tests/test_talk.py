"""Talk never ends a download, and never stops it: logs that are full, closed, or that nobody reads.

Each test is a user's command in a process of its own; the first question is always whether the
files came, and the second what the exit code says.
"""

import fcntl
import json
import os
import pty
import subprocess
import termios
import time

import pytest

from neurofetch.console import ExitCode
from testbed.s3 import S3Object, S3Server
from tests.faces import Shell, make_s3, on_disk

FILES = {"README": b"r", **{f"sub-01/{n}.txt": b"%d" % n for n in range(6)}}
ODD = {
    "README": b"r",
    "sub-01/\x1b[2J\x1b]0;owned\x07.txt": b"1",
    "sub-01/Icon\r": b"2",
    "sub-01/\x9b2J": b"3",
    "sub-01/a\nneurofetch: error: no": b"4",
    "sub-01/gz.\u202einii": b"5",
}
GET = "neurofetch get s3://b --dest data"
PIPE_SIZE = 1031
MARKS = {"\x1b", "\x07", "\x9b", "\u202e"}
"""What a terminal would obey."""


@pytest.fixture
def s3():
    with S3Server({"b": dict(FILES)}) as server:
        yield server


@pytest.fixture
def shell(s3, tmp_path):
    return Shell(tmp_path, s3.url)


PROGRESS = ["--progress lines", "--progress json", "--progress bar", "--progress none", "--quiet"]


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2>&- <&-", "2>&- >&- <&-"])
@pytest.mark.parametrize("progress", PROGRESS)
def test_a_log_that_cannot_be_written_is_no_reason_to_fail(shell, stderr, progress):
    done = shell(f"{GET} {progress} {stderr}", NEUROFETCH_LINE_SECONDS="0.000001")
    assert done.code == 0
    assert {path: (shell.data / path).read_bytes() for path in on_disk(shell.data)} == FILES


def test_files_that_fail_are_told_by_the_exit_code_where_nothing_else_can_tell(s3, shell):
    s3.fault(key="sub-01/3.txt", status=404)
    for stderr in ("2>/dev/full", "2>&-"):
        assert shell(f"{GET} {stderr}").code == ExitCode.INCOMPLETE
    assert on_disk(shell.data) == FILES.keys() - {"sub-01/3.txt"}


WRONG = {
    "neurofetch get": ExitCode.USAGE,
    "neurofetch get s3://b": ExitCode.USAGE,
    "neurofetch get s3://nosuch --dest data": ExitCode.SERVER,
    "neurofetch get s3://b --dest data --subject 99": ExitCode.NOTHING_MATCHED,
    "neurofetch verify nowhere": ExitCode.DISK,
    "neurofetch neurovault fetch": ExitCode.USAGE,
    "neurofetch neurovault search x": ExitCode.NOTHING_MATCHED,
    "laion-fmri config --data-dir nowhere": ExitCode.DISK,
    "laion-fmri download --subject 03 --accept-license no": ExitCode.USAGE,
}


@pytest.mark.parametrize("line", WRONG)
@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
def test_every_error_keeps_its_exit_code_where_it_cannot_be_told(shell, line, stderr):
    env = {"LAION_FMRI_DATA_DIR": None} if "config" in line else {}
    assert shell(f"{line} {stderr}", **env).code == WRONG[line]


# -- results that cannot be printed ----------------------------------------------------------


@pytest.mark.parametrize("flag", ["--json", "--paths", "--json --quiet"])
def test_a_result_that_cannot_be_printed_is_told_after_the_files_came(shell, flag):
    done = shell(f"{GET} {flag} >/dev/full")
    assert done.code == ExitCode.DISK
    assert "the output cannot be written: No space left on device" in done.err
    assert on_disk(shell.data) == FILES.keys()


def test_missing_files_are_told_although_the_report_cannot_be_printed(s3, shell):
    s3.fault(key="sub-01/3.txt", status=404)
    done = shell(f"{GET} --json >/dev/full")
    assert done.code == ExitCode.INCOMPLETE
    assert "warning: the report was not printed: the output cannot be written: No space" in done.err
    assert "sub-01/3.txt: " in done.err


@pytest.mark.parametrize(
    "line",
    [
        "neurofetch --help",
        "neurofetch get --help",
        "neurofetch --version",
        f"{GET} --dry-run",
        "neurofetch clean data",
        "laion-fmri config",
        "neurofetch neurovault verify --data-dir data",
    ],
)
def test_what_only_prints_fails_when_it_cannot_and_with_both_full_too(shell, line):
    assert shell(f"{line} >/dev/full").code == ExitCode.DISK
    assert shell(f"{line} >/dev/full 2>/dev/full").code == ExitCode.DISK
    code = ExitCode.NOTHING_MATCHED if " verify" in line else ExitCode.OK
    assert shell(f"{line} >&-").code == code, "closed from the start: nobody wants it"


# -- a log that nobody reads -----------------------------------------------------------------


def full_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, PIPE_SIZE, 4096)
    os.write(writer, b"x" * 4096)
    return reader, writer


def stopped_terminal() -> tuple[int, int]:
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)  # Ctrl-S
    return master, slave


@pytest.mark.parametrize("blocked", [full_pipe, stopped_terminal])
@pytest.mark.parametrize("progress", ["lines", "json", "bar"])
def test_a_log_that_nobody_reads_stops_neither_the_download_nor_its_end(shell, blocked, progress):
    theirs, ours = blocked()
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*GET.split(), "--progress", progress],
            cwd=shell.home,
            env=shell.with_env(NEUROFETCH_LINE_SECONDS="0.000001"),
            stderr=ours,
            stdout=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert on_disk(shell.data) == FILES.keys()
    assert time.monotonic() - began < 10


def test_a_slow_reader_of_events_gets_every_one(s3, shell):
    for n in range(1500):
        s3.put(f"sub-02/{n}.txt", b"x")
    command = shell.start(f"{GET} --progress json")
    assert command.stderr
    time.sleep(0.8)  # far more than a pipe holds is waiting by now
    events = [json.loads(line) for line in command.stderr]
    assert command.wait(20) == 0
    command.stderr.close()
    assert command.stdout
    command.stdout.close()
    assert sum(event["event"] == "file" for event in events) == 1500 + len(FILES)
    assert events[-1]["event"] == "finished"


# -- names that a terminal would obey --------------------------------------------------------


@pytest.fixture
def odd(tmp_path):
    with S3Server({"b": dict(ODD)}) as server:
        server.put("sub-01//\x1b[31m", b"cannot be kept")
        server.put("sub-01/old\x1b[31m", S3Object(b"archived", storage_class="GLACIER"))
        server.fault(key="sub-01/Icon*", status=403, times=1)
        yield Shell(tmp_path, server.url)


@pytest.mark.parametrize(
    "line",
    [
        f"{GET} --dry-run",
        f"{GET} --dry-run --json",
        f"{GET} --progress lines",
        f"{GET} --progress json",
        f"{GET} --json",
        f"{GET} --paths",
        f"{GET} --quiet",
        f"{GET}; touch data/sub-01/*; neurofetch verify data",
        f"{GET}; rm data/sub-01/*; neurofetch verify data --json",
        f"{GET} --include '*\x1b[2J*' --exclude '\x1b[3*'",
    ],
)
def test_no_name_reaches_a_terminal_as_it_is(odd, line):
    odd(f"({line}) >out 2>err")
    for name in ("out", "err"):
        text = (odd.home / name).read_bytes().decode()  # with its carriage returns
        assert not MARKS & set(text)
        assert "\nneurofetch: error: no" not in text, "a name makes no line of its own"
        assert "\r" not in text


def test_an_odd_name_is_exact_for_programs(odd):
    found = json.loads(odd(f"{GET} --json").out)
    by_path = {file["path"]: file["status"] for file in found["files"]}
    assert by_path.keys() == ODD.keys() | {"sub-01//\x1b[31m", "sub-01/old\x1b[31m"}
    assert sum(status == "fetched" for status in by_path.values()) == len(ODD) - 1


# -- a locale that cannot hold a name --------------------------------------------------------

ASCII = {"LANG": None, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def accents(tmp_path):
    names = {"README": b"r", "sub-01/\u00e9.txt": b"1", "\u65e5\u672c/x": b"2", "sub-01/b": b"3"}
    with S3Server({"b": names}) as server:
        yield Shell(tmp_path, server.url)


def test_a_locale_that_cannot_hold_a_name_costs_that_file_alone(accents):
    done = accents(GET, **ASCII)
    assert done.code == ExitCode.INCOMPLETE
    assert on_disk(accents.data) == {"README", "sub-01/b"}
    assert "sub-01/\\xe9.txt: cannot be kept under its name: the locale says" in done.err
    assert "set LC_ALL=C.UTF-8" in done.err
    assert accents(f"{GET} --exclude '*.txt' 'x'", **ASCII).code == 0
    assert accents(GET).code == 0
    assert accents("neurofetch verify data --hash").code == 0


def test_verify_names_the_files_that_the_locale_cannot(accents):
    assert accents(GET).code == 0
    for line in ("neurofetch verify data", "neurofetch verify data --hash --remote s3://b"):
        done = accents(line, **ASCII)
        assert done.code == ExitCode.INCOMPLETE
        assert "missing: sub-01/\\xe9.txt: its name cannot be written in this locale" in done.out
        word = "good" if "--hash" in line else "unchanged by size and time (contents not read)"
        assert f"2 {word}, 2 missing" in done.out


# -- laion-fmri --------------------------------------------------------------------------------


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
def test_laion_fmri_comes_without_a_log_too(tmp_path, stderr):
    with make_s3() as server:
        shell = Shell(tmp_path, server.url)
        line = "laion-fmri download --subject 03 --ses averages"
        assert shell(f"{line} {stderr}").code == 0
        assert shell(f"laion-fmri info {stderr}").code == 0
        assert shell(f"laion-fmri verify --hash {stderr}").code == 0
        assert len(on_disk(shell.data)) > 10
