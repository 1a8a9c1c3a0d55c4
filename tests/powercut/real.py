"""Real power cuts, by hand and as root: ``python -m tests.powercut.real --cuts 40``.

A run fetches into a file system on a loop device. At a moment drawn by lot the device is copied,
as it is: what the kernel has not written to it yet is lost, as when the power goes. (It is copied
until two copies in a row are the same, so that each is of one moment.) The copy is mounted, which
replays its journal, and looked at as in `test_power_cut.py`. The last line is a summary as JSON.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testbed.s3 import S3Object, S3Server
from tests.engine_world import PART, noise
from tests.powercut.runs import fetch_bucket

SIZE = 48 << 20
PROCESS = "import sys; from tests.powercut.runs import fetch_bucket; fetch_bucket(sys.argv[1])"


def run(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


@contextlib.contextmanager
def mounted(image, folder):
    """Mount an image at a folder."""
    folder.mkdir(exist_ok=True)
    run("mount", "-o", "loop,commit=1", image, folder)
    try:
        yield folder / "data"
    finally:
        run("umount", folder)


def same_moment(image, copy):
    """Copy a device that is written to, as it is at one moment; return after how many tries."""
    for tries in range(1, 200):
        shutil.copyfile(image, copy)
        if copy.read_bytes() == image.read_bytes():
            return tries
    msg = "the device is never still"
    raise RuntimeError(msg)


def final(root):
    found = (p for p in root.rglob("*") if p.is_file() and ".neurofetch" not in p.parts)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in found}


def cut(kind, most, content, where, rng):
    """Cut the power once; return what was there after it, and what was found."""
    image, copy, problems = where / "image", where / "copy", []
    with image.open("wb") as file:
        file.truncate(SIZE)
    run(f"mkfs.{kind}", "-q", image)
    with mounted(image, where / "live") as data:
        data.mkdir()
        process = subprocess.Popen([sys.executable, "-B", "-c", PROCESS, str(data)])
        time.sleep(rng.uniform(0.35, most))
        same_moment(image, copy)
        ended = process.poll() is not None
        process.kill()
        process.wait()
    with mounted(copy, where / "after") as data:
        data.mkdir(exist_ok=True)
        there = final(data)
        problems += [f"wrong: {p}" for p, got in there.items() if got != content.get(p)]
        held = len(list((data / ".neurofetch").glob("partial/*.part")))
        try:
            assert fetch_bucket(data).ok
        except Exception as error:  # noqa: BLE001 - told with the others
            problems.append(f"the next run: {error}")
        if final(data) != content:
            problems.append("the next run did not bring all")
        if any((data / ".neurofetch").glob("partial/*")):
            problems.append("partials are left")
    return {"here": len(there), "partials": held, "ended": ended}, problems


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.powercut.real", description=__doc__)
    parser.add_argument("--cuts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", default="ext4")
    parser.add_argument("--seconds", type=float, default=2.5, help="until the cut, at most")
    given = parser.parse_args()
    rng, found, seen = random.Random(given.seed), [], []
    sizes = [rng.choice((0, 900, 5_000, 60_000)) for _ in range(40)] + [6 * PART + 5, 4 * PART]
    content = {f"d{n % 3}/f{n}.bin": noise(size, n) for n, size in enumerate(sizes)}
    objects = {
        k: S3Object(c, part_size=PART if len(c) > PART else None) for k, c in content.items()
    }
    with S3Server({"b": objects}, latency=0.05) as server:
        os.environ["AWS_ENDPOINT_URL_S3"] = server.url
        server.fault(key="d*", method="GET", rate=200_000.0)
        for number in range(given.cuts):
            where = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="power-cut-"))
            state, problems = cut(given.kind, given.seconds, content, where, rng)
            shutil.rmtree(where)
            print(f"cut {number}: {state} {problems or 'ok'}", file=sys.stderr, flush=True)
            seen.append(state)
            found += problems
    between = sum(0 < state["here"] < len(content) for state in seen)
    summary = {"cuts": len(seen), "file system": given.kind, "in the middle": between}
    print(json.dumps({**summary, "problems": found}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
