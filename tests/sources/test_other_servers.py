"""Servers of other people's making, over TLS with an authority of our own, fetched from by command.

The oracle is what was put there: no server's word on it, and none of ours.
"""

import json
import os
import ssl
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed._tls import certify
from testbed.moto_s3 import MotoS3
from testbed.others import Hadro, JuiceGateway
from tests.engine_world import KIB, MIB, noise

NEUROFETCH = Path(sys.executable).with_name("neurofetch")
SIZES = (0, 1, 3_001, 256 * KIB, 256 * KIB + 1, 16 * MIB + 1, 25 * MIB + 777)
ODD = ("sub-01/a b.tsv", "sub-01/a+b%20c&d=e.tsv", "sub-02/é ü/ß漢.json", "d/e/e/p/e/r/f.txt")
PARTS = {
    "parts/equal.bin": (5 * MIB, 5 * MIB, 5 * MIB, 777),
    "parts/growing.bin": (5 * MIB, 6 * MIB, 9 * MIB, 1),
    "parts/one.bin": (12_345,),
    "parts/of the console.bin": (17_179_870, 17_179_870, 1),
}


def objects():
    """Return content and parts of each object, by key."""
    whole = {f"sizes/{size}.bin": (noise(size, size), ()) for size in SIZES}
    odd = {key: (noise(500 + n, n), ()) for n, key in enumerate(ODD)}
    parts = {key: (noise(sum(sizes), len(key)), sizes) for key, sizes in PARTS.items()}
    return whole | odd | parts


@contextmanager
def other(make, folder, tls, content):
    if make.missing():
        pytest.skip(make.missing())
    (folder / "server").mkdir()
    with make(folder / "server", tls) as server:
        for key, (data, parts) in content.items():
            server.put(key, data, parts)
        yield server.url


@contextmanager
def moto(folder, tls, content):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    with MotoS3({key: data for key, (data, _) in content.items()}, "data", tls=context) as server:
        yield server.url


SERVERS = {
    "moto": moto,
    "juicefs": lambda *given: other(JuiceGateway, *given),
    "hadro": lambda *given: other(Hadro, *given),
}


class Fetches:
    """A user who trusts the authority, and fetches."""

    def __init__(self, folder, url, tls):
        self.data = folder / "data"
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_CA_BUNDLE": str(tls.authority),
        }

    def __call__(self, *arguments, **env):
        done = subprocess.run(
            [NEUROFETCH, *map(str, arguments)],
            env=self._env | env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    def get(self, **env):
        return self("get", "s3://data", "--dest", self.data, "--json", "--progress", "none", **env)

    def files(self):
        found = (p for p in self.data.rglob("*") if p.is_file() and ".neurofetch" not in p.parts)
        return {p.relative_to(self.data).as_posix(): p.read_bytes() for p in found}


@pytest.mark.parametrize("name", SERVERS)
def test_everything_that_was_put_there_comes_over_tls_and_is_known_afterwards(name, tmp_path):
    (tmp_path / "tls").mkdir()
    tls, content = certify(tmp_path / "tls"), objects()
    with SERVERS[name](tmp_path, tls, content) as url:
        fetches = Fetches(tmp_path, url, tls)
        distrusting = fetches.get(AWS_CA_BUNDLE=str(tls.certificate))
        assert distrusting.returncode != 0
        assert "not trusted" in distrusting.stderr
        assert not fetches.data.exists()
        first = fetches.get()
        assert first.returncode == 0, first.stderr
        assert fetches.files() == {key: data for key, (data, _) in content.items()}
        again = fetches.get()
        assert again.returncode == 0, again.stderr
        report = json.loads(again.stdout)
        assert {one["status"] for one in report["files"]} == {"kept"}
        assert report["bytes_moved"] == 0
    checked = fetches("verify", fetches.data, "--hash")
    assert checked.returncode == 0, checked.stdout
    assert not list((fetches.data / ".neurofetch").glob("partial/*"))
