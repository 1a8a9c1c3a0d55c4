"""An S3 stand-in and a data directory, for the tests of the engine."""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from neurofetch.engine import (
    Dataset,
    Fetcher,
    Listing,
    Network,
    Options,
    RetryRules,
    RunSettings,
    query,
)
from neurofetch.store.receipts import read_receipts
from testbed.s3 import S3Object, S3Server

KIB, MIB = 1 << 10, 1 << 20
PART = 64 * KIB
QUICK = RetryRules(attempts=4, base=0.005, cap=0.02, max_wait=0.3)
OPTIONS = Options(
    n_jobs=2,
    connections=8,
    bulk_connections=4,
    single_limit=PART,
    part_size=PART,
    rules=QUICK,
    beat=0.02,
)
NETWORK = Network(connect_timeout=3.0, read_timeout=0.4, slow_window=0.5)
PROCESS = Path(__file__).with_name("engine_process.py")


def noise(size, seed=0):
    """Return bytes without a pattern, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def planned(fetcher, *, overwrite=False):
    """List everything, and plan it."""
    settings = RunSettings(overwrite=overwrite)
    return fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=("",))), settings)


def ran(fetcher, plan, options=OPTIONS, *, listen=None, **how):
    """Carry out a plan; return the report, whatever became of the files."""
    settings = RunSettings(options=options, **({"listen": listen} if listen else {}))
    return fetcher.run(plan, settings, strict=False, **how)


class World:
    """A bucket `b` on a server, and an empty data directory. A context manager."""

    def __init__(self, tmp_path, monkeypatch, **server):
        self.root = tmp_path / "data"
        self.root.mkdir()
        self.outside = tmp_path / "outside"
        self.s3 = S3Server({"b": {}}, **server)
        self._monkeypatch = monkeypatch

    def __enter__(self):
        self.s3.__enter__()
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            self._monkeypatch.delenv(name, raising=False)
            self._monkeypatch.delenv(name.upper(), raising=False)
        self._monkeypatch.setenv("AWS_ENDPOINT_URL_S3", self.s3.url)
        return self

    def __exit__(self, *what):
        self.s3.__exit__(*what)

    # -- the server --------------------------------------------------------------------------

    def put(self, key, content, **how):
        """Put an object; return its content."""
        self.s3.put(key, S3Object(content, **how))
        return content

    def gets(self, key="*"):
        return self.s3.requests("GET", key)

    def ranges(self, key):
        """Return the numbers of the parts of a key that were asked for, of `PART` bytes."""
        asked = [request.range for request in self.gets(key)]
        starts = [text.removeprefix("bytes=").partition("-")[0] for text in asked]
        return sorted(int(start) // PART for start in starts if start)

    def served(self, key="*"):
        return sum(request.sent for request in self.gets(key))

    # -- the engine --------------------------------------------------------------------------

    def fetcher(self, network=NETWORK, **how):
        return Fetcher(Dataset("test", "b"), self.root, network=network, rules=QUICK, **how)

    def plan(self, *, overwrite=False):
        with self.fetcher() as fetcher:
            return planned(fetcher, overwrite=overwrite)

    def fetch(self, options=OPTIONS, *, network=NETWORK, overwrite=False, **how):
        """List, plan, fetch; return the report."""
        with self.fetcher(network) as fetcher:
            return ran(fetcher, planned(fetcher, overwrite=overwrite), options, **how)

    def start(self, *arguments, **environ):
        """Start a process that fetches everything into the data directory."""
        return subprocess.Popen(
            [sys.executable, str(PROCESS), str(self.root), *arguments],
            env={**os.environ, **environ},
            cwd=PROCESS.parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process, seconds=60):
        """Wait for a process; return what it reported, by path, and its exit code."""
        out, err = process.communicate(timeout=seconds)
        lines = [json.loads(line) for line in out.splitlines()]
        return {line["path"]: line for line in lines}, process.returncode, err

    def hang_up(self):
        """Wait until the server has dealt with all that a process asked before it was killed."""
        time.sleep(0.02)  # until it has taken up each connection
        until(lambda: not self.s3._tcp._open)

    # -- the disk ----------------------------------------------------------------------------

    @property
    def state(self):
        return self.root / ".neurofetch"

    def files(self):
        """Return path and content of every file below the root but the package's own."""
        found = (p for p in self.root.rglob("*") if p.is_file() and self.state not in p.parents)
        return {p.relative_to(self.root).as_posix(): p.read_bytes() for p in sorted(found)}

    def left(self, folder="partial"):
        """Return the names in a folder of the state."""
        where = self.state / folder
        return sorted(os.listdir(where)) if where.exists() else []

    def claims(self) -> list[str]:
        """Return the files that runs say they are at work on, by their short names."""
        return [name for name in self.left("claims") if not name.startswith("0" * 24)]

    def log_lines(self):
        """Return how many whole parts the logs of all partials name."""
        return len(self.notes(3))

    def fronts(self):
        """Return what is held of the fronts of further parts: bytes, by the number of the part.

        Where a part was slow to come, its front was noted before it was whole.
        """
        whole = {line[0] for line in self.notes(3)}
        return {line[0]: line[3] for line in self.notes(4) if line[0] not in whole}

    def notes(self, words):
        """Return the lines of so many words in the logs of all partials."""
        lines = []
        for name in self.left():
            with contextlib.suppress(FileNotFoundError):  # it ended, or another run took it over
                if name.endswith(".log"):
                    lines += (self.state / "partial" / name).read_bytes().splitlines()[1:]
        return [json.loads(line) for line in lines if line.count(b",") == words - 1]

    def receipts(self):
        return read_receipts(self.state)

    def assert_clean(self):
        """Assert that neither a partial nor a claim is left."""
        assert self.left() == []
        assert self.left("claims") == []


def until(condition, seconds=30.0):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.005)
