"""A data set of OpenNeuro against openneuro-py: 1,001 small files, and a byte that came flipped.

Every response of the site and of its bucket comes 30 ms late. openneuro-py asks twice for each file
(a HEAD, then a GET) and keeps 5 downloads under way; here it also gets 16 and 50, and the best of
the three counts as its best. It lives in an environment of its own, since one of its dependencies
takes the place of urllib3: `NEUROFETCH_OPENNEURO_PY` names the Python of one, and else one is made
in `benchmarks/work/`. It has no setting for the server, so the two variables of its module that
hold the address are changed.

Last, one byte of one file is flipped on the way, of an object that was uploaded in parts, as those
above 1 GiB are: its ETag is no MD5 then. The listing has the content's hash.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

from benchmarks._server import WORK
from testbed.many_rows import listing, planned, serving
from testbed.openneuro import OpenNeuro

FILES, SIZE, LATENCY = 1001, 5000, 0.03
REPEATS = int(os.environ.get("NEUROFETCH_BENCH_REPEATS", "3"))
PEER = "openneuro-py==2026.9.1"
DEFAULT, OTHERS = 5, (16, 50)
GOAL_DEFAULT, GOAL_BEST = 5.0, 2.5
"""What we set out for: its seconds over ours, with its default and with its best setting."""
OURS = "neurofetch"

_THEIRS = """
import sys, time
import openneuro._download as theirs
site, folder, connections = sys.argv[1:]
theirs.gql_url = site + "/crn/graphql"
theirs._openneuro_url_prefix = site + "/crn/"
began = time.perf_counter()
theirs.download(dataset="ds000001", target_dir=folder, max_concurrent_downloads=int(connections))
print("took", time.perf_counter() - began)
"""
_MINE = """
import sys, time
import neurofetch, neurofetch._api
folder = sys.argv[2]
began = time.perf_counter()
neurofetch.get("openneuro:ds000001", folder, progress="none")
print("took", time.perf_counter() - began)
"""


class Run(NamedTuple):
    """One run: whether it ended well, its seconds, how many requests of which kind it made."""

    good: bool
    seconds: float
    requests: int
    heads: int
    said: str


def peer() -> str:
    """Return the Python that has openneuro-py; an environment is made where there is none."""
    named = os.environ.get("NEUROFETCH_OPENNEURO_PY")
    if named:
        return named
    home = WORK / "openneuro-py"
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
        (home / "installed").touch()
    return str(python)


def tree() -> dict[str, bytes]:
    """Return the files: all of them in git-annex, but for the description."""
    doi = "10.18112/openneuro.ds000001.v1.0.0"  # by this openneuro-py knows its own folder again
    about = {"Name": "Small", "BIDSVersion": "1.8.0", "DatasetDOI": doi}
    files = {"dataset_description.json": json.dumps(about).encode()}
    for number in range(FILES - 1):
        subject, run = divmod(number, 20)
        stem = f"sub-{subject + 1:02d}"
        content = hashlib.shake_128(str(number).encode()).digest(SIZE)
        files[f"{stem}/func/{stem}_task-rest_run-{run + 1:02d}_bold.nii.gz"] = content
    return files


def run(site: OpenNeuro, tool: str, folder: Path, python: str) -> Run:
    """Let a tool fetch the data set, in a process of its own."""
    site.clear_log()
    site.bucket.clear_log()
    script = [sys.executable, "-c", _MINE] if tool == OURS else [python, "-c", _THEIRS]
    more = [] if tool == OURS else [tool.rpartition(" ")[2]]
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    given = {**os.environ, "OPENNEURO_URL": site.url, "HOME": str(home)}
    given.pop("XDG_CONFIG_HOME", None)
    if tool != OURS:
        given.pop("PYTHONPATH", None)
    done = subprocess.run(
        [*script, site.url, str(folder), *more],
        env=given,
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("took ")]
    seconds = float(lines[0].split()[1]) if lines else float("nan")
    asked = len(site.log) + len(site.bucket.log)
    return Run(done.returncode == 0, seconds, asked, site.heads(), done.stderr[-2000:])


def compare(python: str) -> None:
    """Time all, in turns, and what each does when nothing is to be done."""
    tools = (f"openneuro-py, {DEFAULT}", *(f"openneuro-py, {n}" for n in OTHERS), OURS)
    first: dict[str, list[Run]] = {tool: [] for tool in tools}
    again: dict[str, list[Run]] = {tool: [] for tool in tools}
    files = tree()
    print(f"{FILES:,} files of {SIZE:,} bytes, {LATENCY * 1e3:.0f} ms for each response")
    with OpenNeuro(latency=LATENCY) as site:
        site.add("ds000001", {"1.0.0": files})
        for _ in range(REPEATS):
            for tool in tools:
                with tempfile.TemporaryDirectory() as place:
                    folder = Path(place) / "data"
                    first[tool].append(run(site, tool, folder, python))
                    again[tool].append(run(site, tool, folder, python))
                    check(folder, files, first[tool][-1])
    table(first, again)


def check(folder: Path, files: dict[str, bytes], done: Run) -> None:
    """See that everything came."""
    missing = [name for name, content in files.items() if _read(folder / name) != content]
    if missing or not done.good:
        raise SystemExit(f"{len(missing)} files did not come: {done.said}")


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def table(first: dict[str, list[Run]], again: dict[str, list[Run]]) -> None:
    """Print a line for each tool, and whether the goals were reached."""
    middle = {t: statistics.median(one.seconds for one in runs) for t, runs in first.items()}
    ours = middle[OURS]
    for tool, runs in first.items():
        spread = sorted(one.seconds for one in runs)
        repeat = statistics.median(one.seconds for one in again[tool])
        print(
            f"  {tool:<18}{middle[tool]:>7.2f} s ({spread[0]:.2f}-{spread[-1]:.2f})"
            f"{middle[tool] / ours:>7.1f}x  {runs[0].requests:,} requests, {runs[0].heads:,} HEAD; "
            f"again {repeat:.2f} s, {again[tool][0].requests:,} requests",
            flush=True,
        )
    theirs = {tool: seconds for tool, seconds in middle.items() if tool != OURS}
    usual, best = theirs[f"openneuro-py, {DEFAULT}"] / ours, min(theirs.values()) / ours
    for what, ratio, goal in (("default", usual, GOAL_DEFAULT), ("best", best, GOAL_BEST)):
        print(f"  {ratio:.1f}x its {what}, goal {goal:g}x{'' if ratio >= goal else ' missed'}")


def flipped(python: str) -> None:
    """Flip a byte on the way, and see who notices."""
    files = dict(list(tree().items())[:20])
    name = next(path for path in files if path.endswith(".nii.gz"))
    print(f"one byte of {name} flipped on the way")
    with OpenNeuro() as site:
        site.add("ds000001", {"1.0.0": files})
        site.upload_in_parts("ds000001", "1.0.0", name, SIZE // 2)
        site.bucket.fault(key=f"ds000001/{name}", method="GET", flip=SIZE // 3)
        for tool in (f"openneuro-py, {DEFAULT}", OURS):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "data"
                done = run(site, tool, folder, python)
                here = _read(folder / name)
                kept = "nothing" if here is None else "wrong bytes"
                kept = "the right bytes" if here == files[name] else kept
                end = "success" if done.good else "an error"
                print(f"  {tool:<18}says {end}; {kept} under that name", flush=True)


def main() -> None:
    """Compare, and flip."""
    python = peer()
    asked = "import importlib.metadata as m; print(m.version('openneuro-py'))"
    told = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    print(json.dumps({"openneuro-py": told.stdout.strip(), OURS: _own_version()}))
    compare(python)
    flipped(python)
    large()


def large() -> None:
    """Plan the largest version that is known, in a process of its own."""
    with serving(listing()) as url, tempfile.TemporaryDirectory() as folder:
        found = [planned(url, Path(folder) / "none") for _ in range(REPEATS)]
    seconds = statistics.median(one.seconds for one in found)
    megabytes = max(one.megabytes for one in found)
    print(f"a plan of {found[0].files:,} files: {seconds:.1f} s of processor (goal 20), ", end="")
    print(f"{megabytes:.0f} MB at the peak (goal 300)", flush=True)


def _own_version() -> str:
    try:
        return importlib.metadata.version(OURS)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
