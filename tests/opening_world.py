"""A bucket `b` whose files are opened, an empty cache, and openers that do not wait long."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from neurofetch.opening.opener import Opener, Settings
from neurofetch.opening.remote import Reach
from testbed.s3 import S3Object, S3Server
from tests.engine_world import NETWORK, QUICK, noise

BLOCK = 64 << 10
REPO = Path(__file__).resolve().parent.parent


class OpenWorld:
    """The bucket and the cache. A context manager."""

    def __init__(self, tmp_path, monkeypatch, **server):
        self.cache = tmp_path / "cache"
        self.tmp = tmp_path
        self.s3 = S3Server({"b": {}}, **server)
        self._monkeypatch = monkeypatch

    def __enter__(self):
        self.s3.__enter__()
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            self._monkeypatch.delenv(name, raising=False)
            self._monkeypatch.delenv(name.upper(), raising=False)
        self._monkeypatch.setenv("AWS_ENDPOINT_URL_S3", self.s3.url)
        self._monkeypatch.setenv("NEUROFETCH_CACHE_DIR", str(self.cache))
        self._monkeypatch.setenv("NEUROFETCH_PATIENCE", "0")
        self._monkeypatch.setenv("NEUROFETCH_READ_TIMEOUT", "2")
        return self

    def __exit__(self, *what):
        self.s3.__exit__(*what)

    def put(self, key, content, **how):
        """Put an object; return its content."""
        self.s3.put(key, S3Object(content, **how))
        return content

    def put_noise(self, key, blocks=5.5, seed=0, **how):
        return self.put(key, noise(int(blocks * BLOCK), seed), **how)

    def opener(self, *, block_size=BLOCK, patience=0.0, **settings):
        """Return an opener of its own, that gives up soon."""
        given = Settings.checked(block_size=block_size, **settings)
        network = dataclasses.replace(NETWORK, patience=patience)
        return Opener(given, Reach(network, QUICK))

    def open(self, key="a", **settings):
        return self.opener(**settings).open(f"s3://b/{key}")

    def gets(self, key="*"):
        return self.s3.requests("GET", key)

    def served(self, key="*"):
        return sum(request.sent for request in self.gets(key))

    def blocks_asked(self, key="*"):
        """Return the numbers of the blocks that were asked for, in the order of the requests."""
        asked = []
        for request in self.gets(key):
            first, _, last = request.range.removeprefix("bytes=").partition("-")
            asked += range(int(first) // BLOCK, int(last) // BLOCK + 1)
        return asked

    def entries(self):
        """Return the folders of all entries of the cache."""
        return sorted(self.cache.glob("entries/*/*"))

    def process(self, script, *arguments, **environ):
        """Start another process that runs a script."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
            env={**os.environ, **environ},
            cwd=REPO,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
