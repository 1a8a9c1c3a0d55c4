"""NeuroVault: 200 images against nilearn, 100 ms away; one image of 20,000 collections, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.neurovault import NeuroVault
from testbed.neurovault_data import recorded

if TYPE_CHECKING:
    from testbed._faults import Fault, Reply, Request

IMAGES = 200
LATENCY = 0.1
FIRST, COLLECTION = 1001, 1952
OFFLINE_COLLECTIONS, OFFLINE_IMAGES = 20_000, 3
TOOLS = ("nilearn", "ours, 4 connections", "ours, 16 connections")
GOALS = {
    ("collection", 4): 4.5,
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
        import nilearn.datasets  # noqa: F401, PLC0415
    else:
        pass
    began = time.perf_counter()
    if tool == "nilearn":
        images = _nilearn(kind, folder)
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
        theirs = 0.0
        for tool in TOOLS:
            server.clear_log()
            with tempfile.TemporaryDirectory() as folder:
                seconds, images = _timed(tool, kind, folder)
            theirs = theirs or seconds
            _print(tool, kind, seconds, theirs, f"{images} images, {len(server.log)} requests")


def _print(tool: str, kind: str, seconds: float, theirs: float, more: str) -> None:
    """Print one line: seconds, ratio, the goal, and what no client could exceed."""
    mark = ""
    if tool != "nilearn":
        goal = GOAL_OFFLINE if kind == "offline" else GOALS[kind, _connections(tool)]
        mark = f"goal {goal:g}x{'' if theirs / seconds >= goal else ' missed'}"
    if tool != "nilearn" and kind != "offline":
        least = -(-IMAGES // _connections(tool)) * LATENCY
        mark += f", at most {theirs / least:.1f}x"
    print(f"  {tool:<24}{seconds:>8.3f} s{theirs / seconds:>8.1f}x  {mark:<32}{more}", flush=True)


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
        _print("nilearn", "offline", theirs, theirs, f"{images} images")
        for what in ("without an index", "with an index"):
            if what == "with an index":
                from neurofetch.neurovault.cache.index import locate  # noqa: PLC0415
                from neurofetch.neurovault.cache.layout import Cache  # noqa: PLC0415

                locate(Cache(Path(folder) / "neurovault"), [-1])
            seconds, images = _timed(TOOLS[1], "offline", folder)
            _print(TOOLS[1], "offline", seconds, theirs, f"{images} images, {what}")


def main() -> None:
    """Time everything, side by side."""
    print(f"No client with 4 connections can need less than {IMAGES / 4 * LATENCY:g} s, ", end="")
    print(f"none with 16 less than {-(-IMAGES // 16) * LATENCY:g} s.")
    _online("collection", 1)
    _online("collection", 1, far=True)
    _online("image ids", 1)
    _online("image ids", 10)
    _offline()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _child(*sys.argv[1:])
    else:
        main()
