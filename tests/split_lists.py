"""The owners' lists on a loopback server: the true ones where they are, and small made ones."""

from __future__ import annotations

import csv
import gzip
import json
import threading
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laion_fmri.splits import digests
from laion_fmri.splits.source import COMMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

RECORDS = Path(__file__).parents[2] / "shared" / "records" / "laion-fmri-splits"
FOLDER = "laion_fmri/splits/data"

Files = dict[str, bytes]


def document(name: str, train: list[str], test: list[str], **params: Any) -> bytes:
    """Return a file as the owners write it."""
    content = {
        "name": name,
        "pool": "a label of theirs",
        "splitter": "made",
        "params": params,
        "n_train": len(train),
        "n_test": len(test),
        "variants": [{"variant_id": 0, "train_ids": train, "test_ids": test}],
    }
    return json.dumps(content, indent=2).encode()


# --- made lists -----------------------------------------------------------------------------------

SHARED = [f"shared_12rep_LAION_cluster_{n}_i0.jpg" for n in range(10)]
OWN = [f"unique_LAION_new_cluster_{n}_i0_p01.jpg" for n in range(10)]
OOD = ["shared_4rep_OOD_gabor_a.jpg", "shared_4rep_OOD_illusion-classic_b.png"]
POOLS = {"shared": SHARED, "sub-01": SHARED + OWN}


def made(pool: str, name: str, generation: str) -> tuple[list[str], list[str]]:
    """Return train and test of a made list; each generation of ``random_*`` has its own."""
    names = POOLS[pool]
    if name == "ood":
        return names, OOD
    k = int(name[-1]) if name[-1].isdigit() else 0
    shift = list(COMMITS).index(generation) if name.startswith("random") else 5
    test = [one for n, one in enumerate(names) if (n + shift) % 5 == k]
    return [one for one in names if one not in test], test[::-1] if "random" in name else test


def made_files() -> Files:
    return {
        f"{commit}/{FOLDER}/{pool}/{name}.json": document(
            name, *made(pool, name, generation), **({"revision": 2} if generation == "v2" else {})
        )
        for generation, commit in COMMITS.items()
        for pool in POOLS
        for name in every_name()
    }


def every_name() -> list[str]:
    numbered = [f"{family}_{k}" for family in ("random", "cluster_k5") for k in range(5)]
    return [*numbered, "tau", "ood"]


def know_made_lists(patch: pytest.MonkeyPatch) -> None:
    """Let the table of checksums be that of the made lists."""
    lines = []
    for pool in POOLS:
        for name in every_name():
            for generation in COMMITS if name.startswith("random") else ("-",):
                train, test = made(pool, name, "v2" if generation == "-" else generation)
                sha256 = digests.digest_of(train, test)
                lines.append(f"{pool} {name} {generation} {len(train)} {len(test)} {sha256}")
    patch.setattr(digests, "_LISTS", "\n".join(lines))
    digests.known.cache_clear()


# --- the owners' lists ----------------------------------------------------------------------------


@cache
def true_files() -> Files:
    """Return the owners' files, put together from the records: all but those of all subjects."""
    with gzip.open(RECORDS / "folds.tsv.gz", "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    ood = (RECORDS / "ood.txt").read_text().splitlines()
    pools: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        pools.setdefault(row["pool"], []).append(row)
    return {
        f"{commit}/{FOLDER}/{pool}/{name}.json": document(
            name, *_true(members, name, generation, ood)
        )
        for generation, commit in COMMITS.items()
        for pool, members in pools.items()
        for name in every_name()
    }


def _true(
    members: list[dict[str, str]], name: str, generation: str, ood: list[str]
) -> tuple[list[str], list[str]]:
    if name == "ood":
        return [row["image_name"] for row in members], ood
    k = name[-1]
    chosen = [row for row in members if _tests(row, name, generation, k)]
    if name.startswith("random") and generation != "may2026":
        rank = "random_rank" if generation == "v2" else "random_v1_rank"
        chosen.sort(key=lambda row: int(row[rank]))
    test = [row["image_name"] for row in chosen]
    inside = set(test)
    return [row["image_name"] for row in members if row["image_name"] not in inside], test


def _tests(row: Mapping[str, str], name: str, generation: str, k: str) -> bool:
    if name == "tau":
        return row["tau_test"] == "1"
    if name.startswith("cluster"):
        return row["cluster_k5"] == k
    if generation == "may2026":
        return row["random_may2026_test"][int(k)] == "1"
    return row["random_fold" if generation == "v2" else "random_v1_fold"] == k


# --- the server -----------------------------------------------------------------------------------


class Mirror:
    """A server of files; `asked` has the path of each request."""

    def __init__(self, files: Files, url: str, asked: list[str]) -> None:
        self.files = files
        self.url = url
        self.asked = asked


@contextmanager
def mirror(files: Files) -> Iterator[Mirror]:
    """Serve files at their paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            asked.append(path)
            content = files.get(path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Mirror(files, f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
