"""NeuroVault: 200 images against nilearn, 100 ms away; one image of 20,000 collections, offline.

What the latency allows, whatever the client: first the list of the images, one round trip, since it
says where they are, and one more where new connections cost one; then the volumes, one round trip
each, evenly over the connections. Those connections that are new then cost one more each. By that,
the bounds of a collection are 5.1 s with four connections, and 5.3 s where new ones cost a round
trip. A bare client, which has no cache and verifies nothing, shows how near to its own latency the
server of this benchmark is.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from testbed.neurovault import NeuroVault
from testbed.neurovault_data import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbed._faults import Fault, Reply, Request

IMAGES = 200
LATENCY = 0.1
FIRST, COLLECTION = 1001, 1952
OFFLINE_COLLECTIONS, OFFLINE_IMAGES = 20_000, 3
TOOLS = ("nilearn", "ours, 4 connections", "ours, 16 connections")
BARE = "bare, 4 connections"
_DEST = "NEUROFETCH_BENCH_DEST"
REPEATS = int(os.environ.get("NEUROFETCH_BENCH_REPEATS", "3"))
GOAL_SHARE = 0.95
"""Of what the latency allows, for a collection over four connections."""
GOALS = {
    ("collection", 4): 4.0,
    ("collection", 16): 14.0,
    ("image ids", 4): 6.0,
    ("image ids", 16): 20.0,
}
"""What we set out for: nilearn's seconds over ours, by what is fetched and connections."""
GOAL_OFFLINE = 50.0


# -- the child process: one tool, one errand, timed from the call to its result ----------------


def _nilearn(kind: str, folder: str) -> int:
    from nilearn.datasets import neurovault as theirs  # noqa: PLC0415

    theirs._NEUROVAULT_COLLECTIONS_URL = os.environ["NEUROVAULT_API_URL"] + "collections/"
    theirs._NEUROVAULT_IMAGES_URL = os.environ["NEUROVAULT_API_URL"] + "images/"
    return len(theirs.fetch_neurovault_ids(**_asked(kind), data_dir=folder, verbose=0).images)


def _ours(kind: str, folder: str, connections: int) -> int:
    from neurofetch.neurovault import fetch_neurovault_ids  # noqa: PLC0415

    bunch = fetch_neurovault_ids(
        **_asked(kind), data_dir=folder, verbose=0, connections=connections
    )
    return len(bunch.images)


def _bare(connections: int) -> int:
    """Fetch a collection's volumes and keep nothing."""
    base = urlsplit(os.environ["NEUROVAULT_API_URL"])

    def get(link: http.client.HTTPConnection, path: str) -> bytes:
        link.request("GET", path)
        return link.getresponse().read()

    first = http.client.HTTPConnection(base.netloc)
    page = json.loads(get(first, f"{base.path}collections/{COLLECTION}/images/?limit={IMAGES}"))
    addresses = deque(urlsplit(row["file"]).path for row in page["results"])

    def work(link: http.client.HTTPConnection) -> int:
        done = 0
        while True:
            try:
                path = addresses.popleft()
            except IndexError:
                return done
            done += bool(get(link, path))

    links = [first, *(http.client.HTTPConnection(base.netloc) for _ in range(connections - 1))]
    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(work, links))


def _asked(kind: str) -> dict[str, Any]:
    if kind == "collection":
        return {"collection_ids": [COLLECTION]}
    if kind == "offline":
        return {"image_ids": [OFFLINE_COLLECTIONS // 2 * OFFLINE_IMAGES], "mode": "offline"}
    return {"image_ids": list(range(FIRST, FIRST + IMAGES))}


def _connections(tool: str) -> int:
    return int(tool.split()[1])


def _child(tool: str, kind: str, folder: str) -> None:
    import sklearn.utils  # noqa: F401, PLC0415 - both need it, neither is to be charged for it

    if tool == "nilearn":
        import nilearn.datasets  # noqa: F401, PLC0415 - nor for what one imports by name
    elif tool != BARE:
        from neurofetch.neurovault import fetch_neurovault_ids  # noqa: F401, PLC0415
    began = time.perf_counter()
    if tool == "nilearn":
        images = _nilearn(kind, folder)
    elif tool == BARE:
        images = _bare(_connections(tool))
    else:
        images = _ours(kind, folder, _connections(tool))
    print(json.dumps([time.perf_counter() - began, images]))


def _timed(tool: str, kind: str, folder: str) -> tuple[float, int]:
    """Run one tool in a process of its own; return its seconds and its images."""
    command = [sys.executable, "-m", "benchmarks.neurovault", tool, kind, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, images = json.loads(done.stdout.splitlines()[-1])
    return seconds, images


# -- the server and the cache ------------------------------------------------------------------


def _filled(server: NeuroVault, collections: int) -> None:
    """Put the images into one collection or spread them over several."""
    for number in range(collections):
        ids = range(FIRST + number, FIRST + IMAGES, collections)
        server.vault.add_collection(COLLECTION + number, images=ids)


class _Far(NeuroVault):
    """A server far away: a new connection costs one round trip, as TCP's handshake does."""

    def __init__(self) -> None:
        super().__init__(latency=LATENCY)
        self._known: set[int] = set()

    def strike(self, request: Request) -> tuple[Fault, Reply | None]:
        """Make the first response on each connection later."""
        if request.connection not in self._known:
            self._known.add(request.connection)
            self.pause(LATENCY)
        return super().strike(request)


def _online(kind: str, collections: int, *, far: bool = False) -> None:
    with _Far() if far else NeuroVault(latency=LATENCY) as server:
        _filled(server, collections)
        os.environ["NEUROVAULT_API_URL"] = server.api_url
        late = "each response and each new connection" if far else "each response"
        print(
            f"{IMAGES} images, {kind}, in {collections} collection(s), "
            f"{LATENCY * 1e3:.0f} ms for {late}"
        )
        tools = (*TOOLS, BARE) if kind == "collection" else TOOLS
        found: dict[str, list[float]] = {tool: [] for tool in tools}
        more = {}
        for turn in range(REPEATS):
            for tool in tools:
                if turn and tool == "nilearn":
                    continue  # 21 s, of which all but some hundredths are the latency
                server.clear_log()
                with tempfile.TemporaryDirectory(dir=os.environ.get(_DEST)) as folder:
                    seconds, images = _timed(tool, kind, folder)
                found[tool].append(seconds)
                more[tool] = f"{images} images, {len(server.log)} requests"
        for tool in tools:
            held = _Late(found["nilearn"][0], far=far)
            _print_online(tool, kind, sorted(found[tool]), held, more[tool])


class _Late(NamedTuple):
    """What the figures are held against."""

    theirs: float
    far: bool

    def bound(self, connections: int) -> float:
        """Return the least seconds in which a collection can come; see above."""
        # The first round brings the list and the record, over two connections.
        new = max(0, connections - 2) if self.far else 0
        rounds = 1 + self.far + -(-(IMAGES + new) // connections)
        return rounds * LATENCY


def _print_online(tool: str, kind: str, seconds: list[float], late: _Late, more: str) -> None:
    """Print one line: seconds, ratio, the goal, and the share of what the latency allows."""
    middle = statistics.median(seconds)
    mark = ""
    if tool in TOOLS[1:]:
        goal = GOALS[kind, _connections(tool)]
        mark = f"goal {goal:g}x{'' if late.theirs / middle >= goal else ' missed'}"
    if tool != "nilearn" and kind == "collection":
        bound = late.bound(_connections(tool))
        share = bound / middle
        mark += f", {share:.1%} of what the latency allows ({bound:.1f} s)"
        if tool == TOOLS[1]:
            mark += f", goal {GOAL_SHARE:.0%}{'' if share >= GOAL_SHARE else ' missed'}"
    spread = f"({seconds[0]:.2f}-{seconds[-1]:.2f})"
    ratio = f"{late.theirs / middle:.1f}x"
    print(f"  {tool:<22}{middle:>7.2f} s {spread:<14}{ratio:>7}  {more}; {mark.removeprefix(', ')}")


def _print(tool: str, seconds: float, theirs: float, more: str) -> None:
    """Print one line of the offline case: seconds, ratio, the goal."""
    ratio = theirs / seconds
    mark = "" if tool == "nilearn" else f"goal {GOAL_OFFLINE:g}x"
    mark += " missed" if tool != "nilearn" and ratio < GOAL_OFFLINE else ""
    print(f"  {tool:<22}{seconds:>7.3f} s{ratio:>8.1f}x  {mark:<20}{more}", flush=True)


def _write_cache(root: Path) -> None:
    """Write a cache as nilearn would have, without downloading anything."""
    image, collection = recorded("image_396069"), recorded("collection_8477")
    with NeuroVault() as server:
        server.vault.add_collection(1, images=[1])
        body = server.vault.body("/media/images/1/map_1.nii.gz") or b""
    for number in range(1, OFFLINE_COLLECTIONS + 1):
        folder = root / "neurovault" / f"collection_{number}"
        folder.mkdir(parents=True)
        text = json.dumps(collection | {"id": number, "relative_path": folder.name})
        (folder / "collection_metadata.json").write_text(text)
        for place in range(OFFLINE_IMAGES):
            image_id = number * OFFLINE_IMAGES + place
            record = image | {"id": image_id, "collection_id": number}
            record["relative_path"] = f"{folder.name}/image_{image_id}.nii.gz"
            (folder / f"image_{image_id}_metadata.json").write_text(json.dumps(record))
    wanted = OFFLINE_COLLECTIONS // 2
    name = f"image_{wanted * OFFLINE_IMAGES}.nii.gz"
    (root / "neurovault" / f"collection_{wanted}" / name).write_bytes(body)


def _offline() -> None:
    print(f"one image of {OFFLINE_COLLECTIONS * OFFLINE_IMAGES:,} by id, offline, ", end="")
    print(f"in {OFFLINE_COLLECTIONS:,} collections")
    with tempfile.TemporaryDirectory() as folder:
        _write_cache(Path(folder))
        theirs, images = _timed("nilearn", "offline", folder)
        _print("nilearn", theirs, theirs, f"{images} images")
        for what in ("without an index", "with an index"):
            if what == "with an index":
                from neurofetch.neurovault.cache.index import locate  # noqa: PLC0415
                from neurofetch.neurovault.cache.layout import Cache  # noqa: PLC0415

                locate(Cache(Path(folder) / "neurovault"), [-1])
            seconds, images = _timed(TOOLS[1], "offline", folder)
            _print(TOOLS[1], seconds, theirs, f"{images} images, {what}")


def main() -> None:
    """Time everything, side by side: what `NEUROFETCH_BENCH_NEUROVAULT` names, or all."""
    kinds: dict[str, Callable[[], None]] = {
        "collection": lambda: _online("collection", 1),
        "far": lambda: _online("collection", 1, far=True),
        "ids": lambda: _online("image ids", 1),
        "spread": lambda: _online("image ids", 10),
        "offline": _offline,
    }
    for name in os.environ.get("NEUROFETCH_BENCH_NEUROVAULT", "").split() or kinds:
        kinds[name]()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _child(*sys.argv[1:])
    else:
        main()
