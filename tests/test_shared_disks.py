"""Several hosts at one data directory: with kills, and on a file system that keeps little."""

import contextlib
import os
import random
import signal
import threading
import time

import pytest

from testbed.laion import local_name
from testbed.s3 import S3Object, S3Server
from tests.faces import LICENSE, REFUSED, SMALL, bucket, on_disk
from tests.hosts import PACE, Host, require_hosts, until
from tests.shared_disk import shared_disk
from tests.soak.launcher import SILENT_SECONDS

pytestmark = pytest.mark.slow

KIB = 1 << 10
LATE = 2.0
COPIES = 1.1


class Bucket(S3Server):
    """A bucket that other hosts reach, too."""

    listens = "0.0.0.0"


def noise(size, seed):
    return random.Random(seed).randbytes(size)


def content(small=60, large=16):
    """Return objects: small ones in a few folders, and some that come in parts."""
    found = {f"sub-{n % 4:02}/func/s{n:03}.nii": noise(3_000 + 97 * n, n) for n in range(small)}
    sizes = range(400 * KIB, 400 * KIB + 50_000 * large, 50_000)
    return found | {f"sub-{n % 4:02}/anat/l{n:02}.nii.gz": noise(s, s) for n, s in enumerate(sizes)}


WORK_LOST = (4, 6)
"""Exit codes of runs whose network was away: not all came, or nothing could be asked."""


class Watcher:
    """Looks all the time at what final names hold, where the server keeps it."""

    def __init__(self, root, objects):
        self._root, self._may = root, {path: {body} for path, body in objects.items()}
        self._seen = {}
        self.wrong = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._over.wait(0.01):
            self.look()

    def also(self, objects):
        """Say what names may hold, too, from now on."""
        self._may = {path: {*self._may[path], body} for path, body in objects.items()}

    def look(self):
        for path, bodies in self._may.items():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                info = os.stat(self._root / path)
                what = info.st_ino, info.st_size, info.st_mtime_ns
                if self._seen.get(path) != what:
                    self._seen[path] = what
                    if (self._root / path).read_bytes() not in bodies:
                        self.wrong.append(path)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


class Cluster:
    """Hosts `a` and `b`, which share a directory, and a bucket. A context manager."""

    def __init__(self, folder, objects, *, disks=None, latency=0.01):
        self.folder, self.objects, self.disks = folder, objects, disks
        self.backing = folder / "server"
        self.root = folder / "shared" if disks is not None else self.backing
        self.bucket = Bucket({"b": {k: S3Object(v) for k, v in objects.items()}}, latency=latency)
        self.silent_since = float("-inf")
        """When a process was killed or suspended last (monotonic seconds)."""
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        require_hosts()
        self.backing.mkdir()
        self.root.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.bucket)
            clocks = {"a": 0.0, "b": -5400.0}
            self.hosts = [
                stack.enter_context(
                    Host(name, self.folder, clock=clock, booted=4000 if clock else 0)
                )
                for name, clock in clocks.items()
            ]
            for host in self.hosts if self.disks is not None else ():
                disk = shared_disk(self.root, self.backing, host.enter, **self.disks)
                if stack.enter_context(disk) is None:
                    pytest.skip("a file system cannot be mounted here")
            self.watcher = stack.enter_context(Watcher(self.backing / "data", self.objects))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *what):
        return self._stack.__exit__(*what)

    def get(self, host, *more, **how):
        """Start a run that fetches all."""
        return host.start(
            "get", "s3://b", "--dest", str(self.root / "data"), "--progress", "lines", *more,
            AWS_ENDPOINT_URL_S3=f"http://{host.gateway}:{self.bucket.port}",
            NEUROFETCH_READ_TIMEOUT="2", NEUROFETCH_CONNECT_TIMEOUT="2", **how,
        )  # fmt: skip

    @property
    def copies(self):
        """All bytes that were sent, over those of the objects."""
        sent = sum(request.sent for request in self.bucket.requests("GET", "sub*"))
        return sent / sum(map(len, self.objects.values()))

    def assert_complete(self, processes):
        """Whoever ended well left all of it here, and it is known to be right."""
        for process in processes:
            assert process.code == 0, (process.code, process.words()[-3000:])
        self.watcher.look()
        assert self.watcher.wrong == []
        data = self.backing / "data"
        found = {path: (data / path).read_bytes() for path in self.objects}
        assert found == self.objects

    def assert_known_and_free(self, host):
        """`verify --hash` finds each file right; then a run asks for nothing, and nothing is over.

        The run comes from the second host, once nothing that hosts remember is left, and who was
        killed counts as silent.
        """
        checked = host.start("verify", "--hash", str(self.root / "data"))
        dead = self.silent_since + SILENT_SECONDS * PACE + 0.5
        time.sleep(max(LATE + 0.1 if self.disks else 0.1, dead - time.monotonic()))
        assert checked.end(60) == 0, checked.words()
        self.bucket.clear_log()
        last = self.get(self.hosts[1])
        assert last.end(60) == 0, last.words()
        assert self.bucket.requests("GET", "sub*") == []
        assert sorted(os.listdir(self.backing / "data" / ".neurofetch" / "partial")) == []
        assert sorted(os.listdir(self.backing / "data" / ".neurofetch" / "claims")) == []


DISKS = {
    "plain": None,
    "late": {"late": LATE},
    "late, no links": {"late": LATE, "without": ["symlink", "link"]},
    "late, no symlinks": {"late": LATE, "without": ["symlink"]},
    "late, locks lie": {"late": LATE, "locks": "lie", "numbers": True},
    "lost answers": {"lost": 0.1},
    "all of it": {
        "late": LATE, "without": ["symlink", "link"], "locks": "ENOLCK", "lost": 0.05,
        "grain": 2, "forgets": True, "numbers": True, "full": "unknown",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", DISKS)
def test_two_hosts_with_one_wish_bring_one_copy(tmp_path, kind):
    with Cluster(tmp_path, content(), disks=DISKS[kind]) as cluster:
        runs = [cluster.get(host) for host in cluster.hosts]
        for run in runs:
            assert run.end(90) is not None, run.words()
        cluster.assert_complete(runs)
        print(kind, cluster.copies)
        assert cluster.copies <= COPIES
        cluster.assert_known_and_free(cluster.hosts[0])


class Trouble:
    """What befalls the processes of a cluster, as a seed has it."""

    def __init__(self, cluster, seed, each=2):
        self._cluster = cluster
        self._rng = random.Random(seed)
        self.killed = []
        self.runs = [(host, cluster.get(host)) for host in cluster.hosts for _ in range(each)]

    def at(self, share):
        """Wait until this share of the bytes was sent, or all runs are over."""
        until(lambda: self._cluster.copies >= share or not self._alive(), 120)

    def _alive(self):
        return [(host, run) for host, run in self.runs if run.running]

    def kill(self):
        """Kill one, and start another one, maybe on the other host."""
        for host, run in self._rng.sample(self._alive(), 1) if self._alive() else ():
            run.kill()
            self._cluster.silent_since = time.monotonic()
            self.runs.remove((host, run))
            self.killed.append(run)
            self.start(self._rng.choice(self._cluster.hosts))

    def start(self, host):
        self.runs.append((host, self._cluster.get(host)))

    @contextlib.contextmanager
    def suspended(self):
        """Suspend one for the block."""
        sleeping = self._rng.sample(self._alive(), 1) if self._alive() else []
        for _, run in sleeping:
            run.signal(signal.SIGSTOP)
        yield
        for _, run in sleeping:
            run.signal(signal.SIGCONT)
            self._cluster.silent_since = time.monotonic()

    def end(self):
        """Wait for the ends; who says that not all came, since its network was away, goes on."""
        for _ in range(5):
            for _, run in self.runs:
                assert run.end(120) is not None, run.words()
            away = [(host, run) for host, run in self.runs if run.code in WORK_LOST]
            for host, run in away:
                self.runs.remove((host, run))
                self.start(host)
            if not away:
                return [run for _, run in self.runs]
        raise AssertionError("a run never succeeds")


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        ("plain", 1),
        ("plain", 2),
        ("late", 2),
        ("lost answers", 1),
        ("all of it", 1),
        ("all of it", 2),
    ],
)
def test_kills_suspends_and_a_cable_that_is_pulled_cost_little(tmp_path, kind, seed):
    with Cluster(tmp_path, content(60, 32), disks=DISKS[kind], latency=0.05) as cluster:
        trouble = Trouble(cluster, seed)
        trouble.at(0.15)
        trouble.kill()
        trouble.at(0.3)
        with trouble.suspended():
            trouble.at(0.45)
            trouble.kill()
            trouble.at(0.55)
            cluster.hosts[1].pull_the_cable()
            time.sleep(3)
            cluster.hosts[1].plug_it_in()
            trouble.at(0.8)
            trouble.kill()
            time.sleep(SILENT_SECONDS * PACE - 1)
        runs = trouble.end()
        assert trouble.killed
        cluster.assert_complete(runs)
        print(kind, seed, cluster.copies)
        assert cluster.copies <= COPIES
        cluster.assert_known_and_free(cluster.hosts[0])


@pytest.mark.parametrize("kind", ["late", "late, no links"])
def test_eight_processes_on_two_hosts_bring_one_copy(tmp_path, kind):
    with Cluster(tmp_path, content(120, 16), disks=DISKS[kind]) as cluster:
        trouble = Trouble(cluster, 0, each=4)
        runs = trouble.end()
        cluster.assert_complete(runs)
        print(kind, cluster.copies)
        assert cluster.copies <= COPIES
        cluster.assert_known_and_free(cluster.hosts[1])


@pytest.mark.parametrize("kind", ["late", "all of it"])
def test_an_object_that_changed_is_brought_once(tmp_path, kind):
    objects = content(20, 8)
    with Cluster(tmp_path, objects, disks=DISKS[kind]) as cluster:
        first = cluster.get(cluster.hosts[0])
        assert first.end(60) == 0, first.words()
        changed = {path: body[::-1] for path, body in objects.items()}
        time.sleep(2 * LATE)
        runs = [cluster.get(host, "--dry-run") for host in cluster.hosts]  # what is here is known
        for run in runs:
            assert run.end(60) == 0, run.words()
        cluster.watcher.also(changed)
        for path, body in changed.items():
            cluster.bucket.put(path, S3Object(body))
        cluster.objects = changed
        cluster.bucket.clear_log()
        runs = [cluster.get(host) for host in cluster.hosts]
        for run in runs:
            assert run.end(90) is not None, run.words()
        cluster.assert_complete(runs)
        print(kind, cluster.copies)
        assert cluster.copies <= COPIES
        cluster.assert_known_and_free(cluster.hosts[1])


def test_laion_fmri_on_two_hosts_brings_one_copy(tmp_path):
    objects = {local_name(key): body for key, body in bucket(SMALL).items()}
    with Cluster(tmp_path, objects, disks=DISKS["all of it"]) as cluster:
        laion = Bucket({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED, latency=0.01)
        (cluster.backing / "data").mkdir()
        wish = ["download", "--subject", "03", "--ses", "01", "--progress", "lines"]
        where = LICENSE | {"LAION_FMRI_DATA_DIR": str(cluster.root / "data")}
        with laion:
            for host in cluster.hosts:
                where["AWS_ENDPOINT_URL_S3"] = f"http://{host.gateway}:{laion.port}"
                host.start(*wish, laion=True, **where)
            for host in cluster.hosts:
                (run,) = host.processes
                assert run.end(90) == 0, run.words()
            assert cluster.watcher.wrong == []
            keys = {local_name(request.key): request for request in laion.requests("GET", "?*")}
            here = on_disk(cluster.backing / "data")
            assert here
            assert here <= set(keys)
            sent = sum(request.sent for request in laion.requests("GET", "?*"))
            assert sent <= COPIES * sum(len(objects[path]) for path in here)
            time.sleep(LATE)
            (host, *_) = cluster.hosts
            checked = host.start("verify", "--hash", laion=True, **where)
            assert checked.end(60) == 0, checked.words()
