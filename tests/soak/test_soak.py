"""A short run of the soak: the driver works, and some seeds hold. `make soak` runs ten minutes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.episode import Episode

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform != "linux", reason="the soak uses namespaces and /proc")
@pytest.mark.parametrize("seed", [2, 13])
def test_a_short_soak_finds_nothing(seed):
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.soak", "--seed", str(seed), "--episodes", "1"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    summary = json.loads(done.stdout)
    assert summary["episodes"] == 1
    assert summary["problems"] == {}, done.stderr


def test_the_soak_sees_what_it_is_to_see(tmp_path):
    """A wrong byte, a lost file and what is left over are found: the oracle is not blind."""
    episode = Episode(1, tmp_path)
    episode.bucket = Namesake({"a": [b"one", b"two"]})
    episode.vault = Namesake({}, {})
    episode.root.mkdir(parents=True)
    (episode.root / "a").write_bytes(b"ons")
    (episode.root / "b").write_bytes(b"nobody asked")
    (episode.root / ".neurofetch" / "partial").mkdir(parents=True)
    (episode.root / ".neurofetch" / "partial" / "x.part").touch()
    episode._check_bytes("now", lambda key: episode.bucket.versions[key])
    (episode.root / "a").unlink()
    episode._check_bytes("now", lambda _: [b"two"], everything=True)
    episode._check_rest()
    episode._check_receipts()
    kinds = sorted(kind for kind, _ in episode.problems)
    assert kinds == [
        "left beside the files", "left in partial", "lost", "receipt lost", "wrong bytes",
    ]  # fmt: skip


class Namesake:
    """The versions of some objects."""

    def __init__(self, versions, contents=None):
        self.versions = versions
        self.contents = contents
