"""What a key costs as a dataset grows: seconds and memory of a run with nothing to do.

A bucket of 1,000 to 1,000,000 made-up keys, each as long as those of large datasets, is listed on a
server of its own; as many files lie in the data directory, with a receipt for each. Every size runs
in a process of its own. Seconds are its own on the processor, without the server's. Memory is the
highest that the stage needed, above what there was before the first stage (resident; Linux tells
it). A stage that is linear has the same figures in each row.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from functools import partial
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["main"]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BASE = "ds004999/"
SESSIONS, RUNS = 10, 10
KINDS = ("echo-1_bold.nii.gz", "echo-1_bold.json", "events.tsv", "desc-confounds_timeseries.tsv")
AWAY = 0.05
GOAL = (0.7, 10.0)
"""What we set out for: kB and microseconds a key, from the listing to the report."""
MAIN_PATH = ("list", "select", "survey and plan", "run", "report")
LINKS = 30_000
"""Names that share one file on the disk: file systems bound them."""


def keys(count: int) -> list[str]:
    """Return made-up keys, sorted; each has 100 letters or so."""
    return sorted(_keys(count))


def _keys(count: int) -> Iterator[str]:
    per_subject = SESSIONS * RUNS * len(KINDS)
    for number in range(count):
        subject, rest = divmod(number, per_subject)
        session, rest = divmod(rest, RUNS * len(KINDS))
        run, kind = divmod(rest, len(KINDS))
        name = f"sub-{subject:04}_ses-{session + 1:02}_task-naturalimages_run-{run + 1:02}"
        folder = f"{BASE}sub-{subject:04}/ses-{session + 1:02}/func/"
        yield f"{folder}{name}_{KINDS[kind]}"


def etag(key: str) -> str:
    """Return the ETag of a made-up file: an MD5, or that of an upload in parts."""
    digest = md5(key.encode(), usedforsecurity=False).hexdigest()
    return f"{digest}-{ord(digest[0]) % 30 + 2}" if digest[1] in "01" else digest


# -- the server ------------------------------------------------------------------------------------


class _Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keys: list[str]
    size = 0
    away = 0.0
    """Seconds before each answer."""

    def do_GET(self) -> None:
        time.sleep(self.away)
        query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        body = _page(self.keys, query, self.size).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _page(keys: list[str], query: dict[str, str], size: int) -> str:
    """Return a page of the listing as S3 writes it."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    at = max(bisect_left(keys, prefix), bisect_right(keys, after))
    rows, count, last = [], 0, ""
    while at < len(keys) and count < 1000 and keys[at].startswith(prefix):
        end = keys[at].find(delimiter, len(prefix)) if delimiter else -1
        if end >= 0:
            group = keys[at][: end + 1]
            rows.append(f"<CommonPrefixes><Prefix>{group}</Prefix></CommonPrefixes>")
            last = group + "\U0010ffff"
        else:
            last = keys[at]
            rows.append(_contents(last, size))
        at, count = bisect_right(keys, last, lo=at), count + 1
    more = at < len(keys) and keys[at].startswith(prefix)
    token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
        f"<Prefix>{prefix}</Prefix>{token}<KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{''.join(rows)}</ListBucketResult>"
    )


def _contents(key: str, size: int) -> str:
    second = int(md5(key.encode(), usedforsecurity=False).hexdigest()[:5], 16) % 60
    return (
        f"<Contents><Key>{quote_plus(key, safe='/')}</Key>"
        f"<LastModified>2024-05-{1 + len(key) % 28:02}T{len(key) % 24:02}:10:{second:02}.000Z"
        f"</LastModified><ETag>&quot;{etag(key)}&quot;</ETag>"
        "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _serve(count: int, size: int, away: float) -> None:
    """Serve until the standard input ends."""
    _Bucket.keys, _Bucket.size, _Bucket.away = keys(count), size, away
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bucket)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


# -- the data directory ----------------------------------------------------------------------------


def _fill(root: Path, count: int) -> int:
    """Put a file and a receipt for each key; return the size of each file."""
    size, mtime_ns = 7, 1_700_000_000_123_456_789
    state = root / ".neurofetch" / "receipts"
    state.mkdir(parents=True)
    folder, one = "", root
    with open(state / "merged-growth.jsonl", "w", encoding="ascii") as journal:
        for number, key in enumerate(keys(count)):
            path = key.removeprefix(BASE)
            if number % LINKS == 0:
                one = root / ".neurofetch" / f"file-{number}"
                one.write_bytes(b"x" * size)
                os.utime(one, ns=(mtime_ns, mtime_ns))
            parent = path.rpartition("/")[0]
            if parent != folder:
                (root / parent).mkdir(parents=True, exist_ok=True)
                folder = parent
            os.link(one, root / path)
            receipt = {
                "path": path,
                "key": key,
                "etag": etag(key),
                "size": size,
                "mtime_ns": mtime_ns,
                "rung": "checksum",
                "digest": "crc64nvme:" + etag(path)[:16],
                "when": 1_700_000_000.123456 + number,
                "seq": 1,
            }
            journal.write(json.dumps(receipt, separators=(",", ":")) + "\n")
    return size


# -- one size, in a process of its own -------------------------------------------------------------


def _resident(name: str) -> int:
    """Return a figure of this process's memory in bytes; 0 where the system does not tell it."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return 0
    return int(line.split()[1]) * 1024


class _Stages:
    """Seconds and memory of one stage after another."""

    def __init__(self) -> None:
        self._base = 0
        self.rows: dict[str, tuple[float, float, int]] = {}

    def begin(self) -> None:
        """Note what there is before the first stage."""
        self._base = _resident("VmRSS")

    def run(self, name: str, call: Callable[[], Any]) -> Any:
        """Run a stage and note what it took."""
        try:
            with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
                file.write("5")  # the highest so far is forgotten
        except OSError:
            pass  # then the highest of all stages is told
        wall, began = time.perf_counter(), time.process_time()
        result = call()
        spent = time.process_time() - began
        self.rows[name] = (spent, time.perf_counter() - wall, _resident("VmHWM") - self._base)
        return result


def _measure(count: int, port: int, root: str) -> None:
    """Run every stage, and print what each took."""
    from neurofetch._threads import few_collections  # noqa: PLC0415
    from neurofetch.display.text import report_text  # noqa: PLC0415 - not needed by the server
    from neurofetch.engine import (  # noqa: PLC0415
        Dataset,
        Fetcher,
        Listing,
        RunSettings,
        make_selection,
        query,
    )
    from neurofetch.store.audit import audit  # noqa: PLC0415
    from neurofetch.store.directory import DataDirectory  # noqa: PLC0415

    os.environ["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{port}"
    settings = RunSettings.checked(progress="none")
    wanted = query(session=[f"{n:02}" for n in range(1, SESSIONS + 1)], task="naturalimages")
    dataset = Dataset(BASE, "b", "us-west-2", BASE)
    stages = _Stages()
    with Fetcher(dataset, root, network=settings.network) as fetcher:
        fetcher.files(Listing((f"{BASE}sub-9999/",)))  # what is loaded once is not counted
        stages.begin()
        held = [stages.run("list", lambda: fetcher.files(Listing((BASE,))))]
        with few_collections():  # as `Fetcher.prepare` does
            held = [stages.run("select", partial(make_selection, held.pop(), wanted, dataset))]
        wants = held[0].wants
        held = [stages.run("survey and plan", partial(fetcher.plan_for, held.pop(), adopt=True))]
        held.append(stages.run("run", partial(fetcher.run, held[0], settings)))
        text = stages.run("report", partial(report_text, held[1], held[0]))
        assert f"{count:,}" in text, text
        held.clear()
        assert stages.run("verify, remote", partial(fetcher.audit, wants)).ok
        del wants
    found = stages.run("verify", lambda: audit(DataDirectory(root)))
    assert found.ok
    assert len(found.findings) == count
    print(json.dumps(stages.rows))


def _plan(port: int, root: str) -> None:
    """Plan for everything in an empty data directory, and print what each stage took."""
    from neurofetch._threads import few_collections  # noqa: PLC0415
    from neurofetch.display.text import plan_text  # noqa: PLC0415
    from neurofetch.engine import Dataset, Fetcher, Listing, make_selection, query  # noqa: PLC0415

    os.environ["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{port}"
    dataset = Dataset(BASE, "b", "us-west-2", BASE)
    stages = _Stages()
    with Fetcher(dataset, root) as fetcher:
        fetcher.files(Listing((f"{BASE}sub-9999/",)))  # what is loaded once is not counted
        stages.begin()
        held = [stages.run("list", lambda: fetcher.files(Listing((BASE,))))]
        with few_collections():
            held = [stages.run("select", partial(make_selection, held.pop(), query(), dataset))]
        plan = stages.run("plan", partial(fetcher.plan_for, held.pop()))
    stages.run("show", partial(plan_text, plan))
    print(json.dumps(stages.rows))


def _list(port: int, at_once: int) -> None:
    """List everything, and print the seconds on the clock and the files."""
    from neurofetch.engine import Attempts, Bucket, Client, Network, S3Source  # noqa: PLC0415
    from neurofetch.sources import s3  # noqa: PLC0415

    s3._AT_ONCE = at_once
    with Client(Network()) as client:
        bucket = Bucket("b", "us-west-2", f"http://127.0.0.1:{port}")
        source = S3Source(client, bucket, Attempts(), base=BASE)
        source.walk(f"{BASE}sub-9999/")
        began = time.perf_counter()
        found = len(source.walk(BASE))
        print(json.dumps([time.perf_counter() - began, found]))


# -- all sizes -------------------------------------------------------------------------------------


def _child(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.growth", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def _one(count: int, folder: str) -> dict[str, tuple[float, float, int]]:
    root = Path(tempfile.mkdtemp(prefix="growth-", dir=folder))
    try:
        size = _fill(root, count)
        with _child("serve", count, size, 0, stdin=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            port = server.stdout.readline().strip()
            with _child("measure", count, port, root) as worker:
                out, _ = worker.communicate()
            server.stdin.close()
        rows: dict[str, tuple[float, float, int]] = json.loads(out)
        return rows
    finally:
        shutil.rmtree(root)


def _from_nothing(count: int) -> None:
    """Print what a key costs in a plan for an empty data directory: medians of 3."""
    print(f"\n  a plan for {count:,} keys, of which none is here: microseconds of the processor")
    found: dict[str, list[float]] = {}
    together: list[float] = []
    for _ in range(3):
        with (
            tempfile.TemporaryDirectory(prefix="growth-") as root,
            _child("serve", count, 7, 0, stdin=subprocess.PIPE) as server,
        ):
            assert server.stdout is not None
            assert server.stdin is not None
            with _child("plan", server.stdout.readline().strip(), root) as worker:
                rows = json.loads(worker.communicate()[0])
            server.stdin.close()
        for name, (spent, _, _) in rows.items():
            found.setdefault(name, []).append(1e6 * spent / count)
        together.append(sum(each[-1] for each in found.values()))
    found["together"] = together
    cells = (f"{name} {statistics.median(each):.1f}" for name, each in found.items())
    print(f"  {', '.join(cells)}", flush=True)


def _from_afar() -> None:
    """Print how long a listing takes from far away, from one place and from several."""
    print(f"\n  a listing from {1000 * AWAY:.0f} ms away: seconds on the clock, medians of 3")
    for count in (5_000, 20_000, 100_000):
        with _child("serve", count, 7, AWAY, stdin=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            port = server.stdout.readline().strip()
            rows: dict[int, list[float]] = {0: [], 8: []}
            for _ in range(3):
                for at_once, seconds in rows.items():
                    with _child("list", port, at_once) as worker:
                        spent, found = json.loads(worker.communicate()[0])
                    assert found == count
                    seconds.append(spent)
            server.stdin.close()
        one, many = (statistics.median(seconds) for seconds in rows.values())
        print(
            f"  {count:>9,} keys: {one:6.2f} from one place, {many:6.2f} from up to 9", flush=True
        )


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Print what a key costs, for each size and stage."""
    print("  what a key costs: microseconds of the processor (and on the clock), highest kB so far")
    print(f"  goal, from the listing to the report: {GOAL[1]:g} microseconds, {GOAL[0]:g} kB\n")
    stages: dict[str, None] = {}
    for count in sizes:
        rows = _one(count, tempfile.gettempdir())
        if not stages:
            stages = dict.fromkeys(rows)
            print("  " + f"{'keys':>9}" + "".join(f"{name:>24}" for name in (*stages, "together")))
        cells = [
            f"{1e6 * cpu / count:8.1f} ({1e6 * wall / count:6.1f}) {peak / count / 1000:6.2f}"
            for cpu, wall, peak in (rows[name] for name in stages)
        ]
        spent = sum(rows[name][0] for name in MAIN_PATH)
        clock = sum(rows[name][1] for name in MAIN_PATH)
        most = max(rows[name][2] for name in MAIN_PATH)
        cells.append(
            f"{1e6 * spent / count:8.1f} ({1e6 * clock / count:6.1f}) {most / count / 1000:6.2f}"
        )
        print("  " + f"{count:>9,}" + "".join(cells), flush=True)
    _from_nothing(sizes[-1])
    _from_afar()


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        _serve(int(rest[0]), int(rest[1]), float(rest[2]))
    elif what == "list":
        _list(int(rest[0]), int(rest[1]))
    elif what == "plan":
        _plan(int(rest[0]), rest[1])
    elif what == "nothing":
        _from_nothing(int(rest[0]))
    elif what == "measure":
        _measure(int(rest[0]), int(rest[1]), rest[2])
    else:
        main(tuple(int(one) for one in (what, *rest)))
