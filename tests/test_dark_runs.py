"""The commands in the dark: what a user sees, and the way out."""

import json

import pytest

from testbed._line import Line
from testbed.s3 import S3Server
from tests.engine_world import noise, until
from tests.faces import Shell, ended, interrupt

FILES = {f"f{n}": noise(300_000, n) for n in range(8)}


@pytest.fixture
def line():
    with S3Server({"b": FILES}) as s3, Line(s3.port, rate=1_000_000) as found:
        yield found


@pytest.fixture
def shell(tmp_path, line):
    return Shell(tmp_path, line.url)


def dark(shell, line, flags=""):
    """Start a fetch, and darken its line when some bytes came."""
    process = shell.start(f"neurofetch get s3://b --dest data {flags}")
    until(lambda: line.served > 400_000)
    line.darken()
    return process


def line_of(process, words):
    """Return the first line of what a process says with these words."""
    for text in process.stderr:
        if words in text:
            return text
    return pytest.fail(f"it never said {words!r}")


def test_a_run_in_the_dark_says_so_and_goes_on(shell, line):
    process = dark(shell, line, "--progress lines --json")
    assert "waiting for up to 1" in line_of(process, "network away since")
    line.rate = None
    line.lighten()
    assert "network back after" in line_of(process, "network back")
    done = ended(process)
    assert done.code == 0
    report = json.loads(done.out)
    assert len(report["files"]) == len(FILES)
    for name, content in FILES.items():
        assert (shell.data / name).read_bytes() == content


def test_ctrl_c_in_the_dark_ends_it_within_a_second(shell, line):
    process = dark(shell, line)
    line_of(process, "network away")
    done, seconds = interrupt(process)
    assert done.code == 130
    assert seconds < 2  # with the start of the interpreter's own end
    assert "Run the same command again" in done.err


def test_a_run_whose_patience_ends_says_what_to_do(shell, line):
    done = ended(dark(shell, line, "--patience 0"))
    assert done.code == 4
    assert "the network was away: nothing came from 127.0.0.1" in done.err
    assert "What was finished is in its place" in done.err
    assert "--patience" in done.err


def test_a_wrong_endpoint_is_said_at_once(shell):
    endpoint = "http://no-such-host.invalid"
    process = shell.start("neurofetch get s3://b --dest data", AWS_ENDPOINT_URL=endpoint)
    assert "trying a few more times" in line_of(process, "no-such-host.invalid")
    assert interrupt(process)[0].code == 130
