"""Hosts of a cluster: namespaces with a network, a boot, a clock and process numbers of their own.

Only root may make them. Each has an address at which it reaches this one, and a cable that can be
pulled. On all of them the first process that is started has the same number.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.soak import places

TREE = Path(__file__).parent.parent
LAUNCHER = TREE / "tests" / "soak" / "launcher.py"
FIRST = 7000
"""The number of the first process on each host."""
PACE = 3.0
"""How many times as long as in the soak a host's process may be silent."""
_SPACES = ["--mount", "--pid", "--fork", "--uts", "--net", "--ipc", "--kill-child", "--mount-proc"]
_NUMBERED = 'echo "$1" > /proc/sys/kernel/ns_last_pid; shift; "$@"; exit $?'
_networks = itertools.count(os.getpid() * 8)


def require_hosts():
    """Skip the test where namespaces, or networks between them, are not permitted."""
    tools = [name for name in ("unshare", "nsenter", "ip", "mount") if not shutil.which(name)]
    if tools or os.geteuid() != 0:
        pytest.skip(f"hosts cannot be made: {', '.join(tools) or 'not root'}")
    made = subprocess.run(
        ["unshare", *_SPACES, "sh", "-c", "ip link add v0 type veth peer name v1"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"hosts cannot be made: {made.stderr.strip()}")


class Host:
    """A host. A context manager.

    Parameters
    ----------
    name
    folder
        Where it keeps what it says.
    clock
        Seconds that its clock is ahead.
    booted
        Seconds that it has been up for longer than this one.
    """

    def __init__(self, name, folder, *, clock=0.0, booted=0):
        self.name, self.clock, self.booted = name, clock, booted
        self.folder = folder / name
        self.folder.mkdir()
        self.processes = []
        number = next(_networks) % 16384
        self._cable = f"nf{number}"
        self._net = f"10.{77 + number // 64 % 128}.{number % 64}"
        self._count = 0

    @property
    def gateway(self):
        """The address of this machine, as the host reaches it."""
        return f"{self._net}.1"

    def __enter__(self):
        boot = self.folder / "boot_id"
        boot.write_text(f"{uuid.uuid4()}\n")
        spaces = [*_SPACES]
        if self.booted and places._works("unshare", "--time", "--boottime", "1"):
            spaces += ["--time", "--boottime", str(self.booted)]
        self._init = subprocess.Popen(
            ["unshare", *spaces, "sh", "-c", "echo up; exec sleep infinity"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout.readline() == "up\n"
        self._inner = str(places.process_of(self._init.pid, host=True))
        cable = ["ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0"]
        _run(*cable, "netns", self._inner)
        _run("ip", "addr", "add", f"{self._net}.1/24", "dev", self._cable)
        _run("ip", "link", "set", self._cable, "up")
        self.run("ip", "addr", "add", f"{self._net}.2/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("hostname", self.name)
        self.run("mount", "--bind", str(boot), "/proc/sys/kernel/random/boot_id")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self._inner), signal.SIGKILL)
        self._init.kill()
        self._init.wait()
        self._init.stdout.close()
        subprocess.run(["ip", "link", "del", self._cable], check=False, capture_output=True)
        for process in self.processes:
            process.end(5)

    @property
    def enter(self):
        """The beginning of a command that runs there."""
        spaces = ["-m", "-p", "-u", "-n", "-i", *(["-T"] if self.booted else [])]
        return ["nsenter", "-t", self._inner, *spaces, "--"]

    def run(self, *command):
        _run(*self.enter, *command)

    def start(self, *arguments, pace=PACE, laion=False, **environ):
        """Start `neurofetch` with these arguments; return the process."""
        self._count += 1
        flags = ["--pace", str(pace), *(["--clock", str(self.clock)] if self.clock else [])]
        flags += ["--laion"] if laion else []
        return self.python("-B", str(LAUNCHER), *flags, "--", *arguments, **environ)

    def python(self, *arguments, **environ):
        """Start Python with these arguments; return the process."""
        numbered = ["sh", "-c", _NUMBERED, "sh", str(FIRST + 100 * len(self.processes) - 1)]
        usual = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        process = Process(
            [*self.enter, *numbered, sys.executable, *arguments],
            self.folder / f"said-{len(self.processes)}",
            usual | {"HOME": str(self.folder), "PYTHONPATH": f"{TREE / 'src'}:{TREE}"} | environ,
        )
        self.processes.append(process)
        return process

    def pull_the_cable(self):
        _run("ip", "link", "set", self._cable, "down")

    def plug_it_in(self):
        _run("ip", "link", "set", self._cable, "up")


class Process:
    """A process on a host."""

    def __init__(self, command, said, environ):
        self.said = said
        with said.open("wb") as file:
            self._outer = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environ,
                cwd=TREE,
                start_new_session=True,
            )

    @property
    def running(self):
        return self._outer.poll() is None

    @property
    def code(self):
        return self._outer.returncode

    @property
    def inner(self):
        """The number of the process that does the work: nsenter, a shell, and then it."""
        found = self._outer.pid
        for _ in range(2):
            found = places.process_of(found, host=True)
            if not found:
                return 0
        return found

    def signal(self, number):
        """Send a signal to the process that does the work; whether there was one."""
        inner = self.inner if self.running else 0
        if not inner:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(inner, number)
            return True
        return False

    def kill(self):
        return self.signal(signal.SIGKILL)

    def end(self, seconds):
        """Wait for its end; return its exit code, None where it did not come."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._outer.wait(seconds)
        return None

    def words(self):
        return self.said.read_text(errors="replace")


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=20)


def until(condition, seconds=20.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
