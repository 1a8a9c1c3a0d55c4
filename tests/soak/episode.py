"""One episode of the soak: processes, and what befalls them; then one run in peace; then a look."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak import places
from tests.soak.launcher import SILENT_SECONDS
from tests.soak.servers import KIB, Bucket, Vault

LAUNCHER = str(Path(__file__).with_name("launcher.py"))
LONGEST = 60.0
"""Seconds that a process may take once nothing befalls it any more."""
PIPE = 4096
_SET_SIZE = 1031  # F_SETPIPE_SZ, which `fcntl` has no name for in Python 3.11 on all machines


class Worker:
    """A process that fetches.

    Parameters
    ----------
    episode
    number
    source
        ``s3`` or ``neurovault``.
    rng
        None for a process to which nothing happens.
    apart
        It cannot see the processes of the others.
    """

    def __init__(self, episode, number, source, rng=None, *, apart=False):
        self.source = source
        self.number = number
        self.stopped = False
        self.host = rng is not None and rng.random() < (0.5 if apart else 0.35)
        self.blocked = rng is not None and rng.random() < 0.25
        self.said = episode.folder / f"said-{number}"
        self.dump = episode.folder / f"dump-{number}"
        self._reader = None
        flags = ["--dump", str(self.dump)]
        if rng is not None and rng.random() < 0.4:
            flags += ["--clock", str(rng.choice((-7200, -3600, -30, 30, 3600, 7200)))]
        if rng is not None and rng.random() < 0.08:
            flags += ["--file-size", str(rng.choice((20, 100, 300)) * KIB)]
        hidden = rng is not None and rng.random() < (1.0 if apart else 0.35)
        where = {"host": self.host, "hidden": hidden}
        user = 0 if rng is None else rng.randrange(3)
        command = places.command(
            ["-B", LAUNCHER, *flags, "--", *episode.arguments(source)], user=user, **where
        )
        self._process = subprocess.Popen(
            command,
            env=episode.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr(),
            start_new_session=True,
        )
        os.close(self._error)

    def _stderr(self):
        if not self.blocked:
            self._error = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            return self._error
        self._pipe, self._error = os.pipe()
        fcntl.fcntl(self._error, _SET_SIZE, PIPE)
        os.write(self._error, b"#" * PIPE)  # full, and nobody reads
        return self._error

    def read_on(self):
        """Read what it has to say from now on."""
        if self.blocked and self._reader is None:
            self._reader = threading.Thread(target=self._drain)
            self._reader.start()

    def _drain(self):
        with self.said.open("wb") as file, os.fdopen(self._pipe, "rb", 0) as pipe:
            shutil.copyfileobj(pipe, file)

    @property
    def running(self):
        return self._process.poll() is None

    @property
    def code(self):
        return self._process.returncode

    @property
    def inner(self):
        """The number of the process that does the work."""
        return places.process_of(self._process.pid, host=self.host)

    def signal(self, number):
        """Send a signal to the process that does the work; whether there was one."""
        inner = self.inner
        if not inner or not self.running:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(inner, number)
            return True
        return False

    def end(self, seconds):
        """Wait for its end; whether it came."""
        self.read_on()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def abort(self):
        """Let it tell where all its threads are, and end it."""
        self.signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def words(self):
        """Return what it said."""
        if self._reader is not None:
            self._reader.join(5)
        with contextlib.suppress(FileNotFoundError):
            return self.said.read_text(errors="replace").lstrip("#")
        return ""


@dataclass
class Episode:
    """An episode, by its seed.

    Attributes
    ----------
    problems
        What was found that must not be: a kind, and the details.
    counts
        What happened.
    """

    seed: int
    folder: Path
    problems: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self):
        self._rng = random.Random(self.seed)
        self.root = self.folder / "shared" / "data"
        self._numbers = 0
        self._small = False

    # -- what a process is told --------------------------------------------------------------

    def arguments(self, source):
        if source == "s3":
            where = ["s3://b", "--dest", str(self.root)]
            return ["get", *where, "--n-jobs", "2", "--progress", "lines"]
        where = ["--collection", "1952", "7", "--data-dir", str(self.root)]
        return ["neurovault", "fetch", *where, "--timeout", "1", "--progress", "lines"]

    def environment(self):
        usual = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return usual | {
            "HOME": str(self.folder),
            "PYTHONPATH": "",
            "AWS_ENDPOINT_URL_S3": self.bucket.server.url,
            "NEUROVAULT_API_URL": self.vault.server.api_url,
            "NEUROSYNTH_API_URL": self.vault.server.neurosynth_url,
            "NEUROFETCH_READ_TIMEOUT": "1",
            "NEUROFETCH_CONNECT_TIMEOUT": "2",
        }

    # -- the episode -------------------------------------------------------------------------

    def run(self):
        """Run it. What was found is in `problems`."""
        chance = self._rng.choice((0.0, 0.05, 0.1, 0.2))
        self.bucket, self.vault = Bucket(self.seed, chance), Vault(self.seed, chance)
        self._make_folders()
        with self.bucket.server, self.vault.server:
            try:
                self._trouble()
                self._peace()
            finally:
                self._unmount()
        self.counts["faults"] += self.bucket.dice.drawn + self.vault.dice.drawn
        self.counts["requests"] += len(self.bucket.server.log) + len(self.vault.server.log)

    def _make_folders(self):
        self.outside = self.folder / "outside"
        for path in (self.folder, self.outside, self.root.parent, self.root):
            path.mkdir(exist_ok=True)
            if places.users():
                os.chown(path, places.GROUP, places.GROUP)
            path.chmod(0o777)
        (self.outside / "precious").write_text("not yours")
        self._small = self._rng.random() < 0.15 and self._mount("size=1500k")
        self.counts["full disks"] += self._small

    def _mount(self, *options):
        """Put a small file system at the data directory."""
        if not os.environ.get("SOAK_ALONE"):
            return False
        how = ",".join([*options, "mode=777", f"uid={places.GROUP}", f"gid={places.GROUP}"])
        command = ["mount", "-t", "tmpfs", "-o", how, "soak", str(self.root)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _unmount(self):
        if self._small:
            subprocess.run(["umount", "-l", str(self.root)], capture_output=True, check=False)

    def _start(self, source=None, rng=None, *, apart=False):
        self._numbers += 1
        self.counts["processes"] += 1
        source = source or ("neurovault" if self._rng.random() < 0.25 else "s3")
        worker = Worker(self, self._numbers, source, rng, apart=apart)
        self.counts["other hosts"] += worker.host and places.hosts()
        self.counts["blocked stderr"] += worker.blocked
        return worker

    # -- trouble -----------------------------------------------------------------------------

    def _trouble(self):
        rng = self._rng
        workers = [self._start(rng=rng) for _ in range(rng.randint(2, 6))]
        end = time.monotonic() + rng.uniform(2.0, 3.0 + 2 * SILENT_SECONDS)
        often = (self._kill, self._stop, self._change) * 2
        deeds = (*often, self._rob, self._go_on, self._join, self._forbid, self._listen)
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.05, 0.5))
            rng.choice(deeds)(workers)
            if sum(worker.running for worker in workers) < 2:
                workers.append(self._start(rng=rng))
        for worker in workers:  # all first: who waits for a suspended one waits until it goes on
            worker.signal(signal.SIGCONT)
        for worker in workers:
            self._over(worker)

    def _kill(self, workers):
        for worker in self._some(workers):
            if worker.signal(signal.SIGKILL):
                self.counts["kills"] += 1

    def _stop(self, workers):
        for worker in self._some(workers):
            if not worker.stopped and worker.signal(signal.SIGSTOP):
                worker.stopped = True
                self.counts["suspends"] += 1

    def _rob(self, workers):
        """Suspend a process until others take it for dead; wake it while one is at its work."""
        for worker in self._some([one for one in workers if not one.stopped]):
            if worker.signal(signal.SIGSTOP):
                time.sleep(SILENT_SECONDS + 0.2)
                workers.append(self._start("s3", self._rng, apart=True))
                time.sleep(self._rng.uniform(0.5, 2.0))
                worker.signal(signal.SIGCONT)
                self.counts["woken beside another"] += 1

    def _some(self, workers):
        """Return one of the processes that run, if there is one."""
        running = [worker for worker in workers if worker.running]
        return self._rng.sample(running, min(1, len(running)))

    def _go_on(self, workers):
        for worker in workers:
            if worker.stopped and self._rng.random() < 0.5:
                worker.signal(signal.SIGCONT)
                worker.stopped = False

    def _change(self, workers):
        del workers
        self.bucket.change()
        self.counts["changes"] += 1

    def _join(self, workers):
        if sum(worker.running for worker in workers) < 8:
            workers.append(self._start(rng=self._rng))

    def _forbid(self, workers):
        """Let nothing be written for a moment, to any folder of the data directory."""
        del workers
        folders = [self.root, *self.root.glob("*/"), *self.root.glob(".*/*/")]
        chosen = [f for f in folders if f.is_dir() and self._rng.random() < 0.4]
        modes = {}
        for path in chosen:
            with contextlib.suppress(OSError):
                modes[path] = path.stat().st_mode & 0o7777
                path.chmod(0o555)
        time.sleep(self._rng.uniform(0.02, 0.3))
        for path, mode in modes.items():
            with contextlib.suppress(OSError):
                path.chmod(mode)
        self.counts["read-only moments"] += 1

    def _listen(self, workers):
        for worker in workers:
            if self._rng.random() < 0.5:
                worker.read_on()

    def _over(self, worker):
        """Let a process end in peace, and see whether it told the truth."""
        if not worker.end(LONGEST):
            worker.abort()
            dump = worker.dump.read_text(errors="replace") if worker.dump.exists() else ""
            self._found("hang", f"process {worker.number} ({worker.source})\n{dump[:6000]}")
            return
        words = worker.words()
        if "Traceback (most recent call last)" in words:
            self._found("traceback", words[-3000:])
        if worker.code == 0:
            self._check_honest(worker)

    def _check_honest(self, worker):
        """Exit 0 means: what was asked for is here, right to the last byte."""
        if worker.source == "s3":
            expected = {self.root / key: all_ for key, all_ in self.bucket.versions.items()}
        else:
            folder = self.root / "neurovault"
            expected = {folder / path: [data] for path, data in self.vault.contents.items()}
        for path, versions in expected.items():
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                self._found("false exit 0", f"process {worker.number}: {path.name} is missing")
                continue
            if content not in versions:
                self._found("wrong bytes", f"after exit 0 of {worker.number}: {path}")

    # -- peace -------------------------------------------------------------------------------

    def _peace(self):
        self._check_bytes("after the trouble", lambda key: self.bucket.versions[key])
        time.sleep(
            SILENT_SECONDS + 0.3
        )  # until those that were killed on other hosts count as dead
        self.bucket.dice.calm()
        self.vault.dice.calm()
        if self._small:
            larger = ["mount", "-o", "remount,size=64m", str(self.root)]
            subprocess.run(larger, capture_output=True, check=True)
        for source in ("s3", "neurovault"):
            worker = self._start(source)
            if not worker.end(LONGEST):
                worker.abort()
                dump = worker.dump.read_text(errors="replace")
                self._found("hang", f"the run in peace ({source})\n{dump[:6000]}")
            elif worker.code != 0:
                self._found("no success in peace", f"{source}: {worker.code}\n{worker.words()}")
        current = self.bucket.current()
        self._check_bytes("after the run in peace", lambda key: [current[key]], everything=True)
        self._check_verify()
        self._check_rest()
        self._check_outside()

    def _check_bytes(self, when, versions, *, everything=False):
        for key in self.bucket.versions:
            self._check_file(when, self.root / key, versions(key), everything)
        for path, data in self.vault.contents.items():
            self._check_file(when, self.root / "neurovault" / path, [data], everything)

    def _check_file(self, when, path, versions, everything):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if everything:
                self._found("lost", f"{when}: {path} is missing")
            return
        self.counts["files looked at"] += 1
        if content not in versions:
            self._found("wrong bytes", f"{when}: {path}, {len(content)} bytes")

    def _check_verify(self):
        for command in (
            ["verify", str(self.root), "--hash", "--json"],
            ["neurovault", "verify", "--data-dir", str(self.root), "--json"],
        ):
            done = subprocess.run(
                places.command(["-B", LAUNCHER, "--", *command], host=False, user=0, hidden=False),
                env=self.environment(),
                capture_output=True,
                text=True,
                timeout=LONGEST,
                check=False,
            )
            if done.returncode != 0:
                self._found("verify", f"{command[0]}: {done.returncode}\n{_bad(done.stdout)}")
        self._check_receipts()

    def _check_receipts(self):
        """Assert that each file has a receipt, and that it is the one of these bytes."""
        from neurofetch.store.receipts import read_receipts  # noqa: PLC0415

        known = read_receipts(self.root / ".neurofetch")
        for key in self.bucket.versions:
            receipt = known.get(key)
            if receipt is None:
                self._found("receipt lost", key)
            elif receipt.etag != self.bucket.server.stored(key).etag.strip('"'):
                self._found("receipt of another version", key)

    def _check_rest(self):
        """Look for what must not be left: partials, claims, temporary files."""
        expected = set(self.bucket.versions)
        for folder, folders, names in os.walk(self.root):
            here = Path(folder)
            if here.name in ("partial", "claims"):
                for name in names + folders:
                    self._found(f"left in {here.name}", name)
            elif ".neurofetch" not in here.parts and "neurovault" not in here.parts:
                for name in names:
                    if (here / name).relative_to(self.root).as_posix() not in expected:
                        self._found("left beside the files", str(here / name))
            elif "neurovault" in here.parts:
                for name in names:
                    if name.endswith((".tmp", ".part")) or name.startswith((".", "probe-")):
                        self._found("left beside the files", str(here / name))

    def _check_outside(self):
        if sorted(os.listdir(self.root.parent)) != ["data"]:
            self._found("outside", f"{os.listdir(self.root.parent)}")
        if [(p.name, p.read_text()) for p in self.outside.iterdir()] != [("precious", "not yours")]:
            self._found("outside", f"{os.listdir(self.outside)}")

    def _found(self, kind, details):
        self.problems.append((kind, details))


def _bad(text):
    """Return the lines of an audit that are not good."""
    try:
        rows = json.loads(text)["files"]
    except (ValueError, KeyError):
        return text[:1500]
    return "\n".join(str(row) for row in rows if row["state"] != "good")[:1500]


def line_of(episode, seconds):
    """Return what is printed of an episode."""
    happened = ", ".join(f"{n} {what}" for what, n in sorted(episode.counts.items()) if n)
    kinds = Counter(kind for kind, _ in episode.problems)
    found = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "ok"
    return f"seed {episode.seed}: {found} ({seconds:.1f} s; {happened})"


def soak(seed, folder, seconds, episodes=None, say=print):
    """Run episodes until the time is over; return the summary as a value of JSON."""
    began, total, found = time.monotonic(), Counter(), []
    number = 0
    while time.monotonic() - began < seconds and (episodes is None or number < episodes):
        where = Path(folder) / f"{seed + number}"
        where.mkdir()
        episode, start = Episode(seed + number, where), time.monotonic()
        episode.run()
        say(line_of(episode, time.monotonic() - start))
        for kind, details in episode.problems:
            say(f"  {kind}: {details}")
            found.append({"seed": episode.seed, "kind": kind, "details": details})
        total += episode.counts
        number += 1
        if not episode.problems:
            shutil.rmtree(where)
    return {
        "episodes": number,
        "first seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        **{what: total[what] for what in sorted(total)},
        "users of their own": places.users(),
        "hosts of their own": places.hosts(),
        "processes hidden": places.hides(),
        "problems": dict(Counter(one["kind"] for one in found)),
        "seeds with problems": sorted({one["seed"] for one in found}),
    }


def shown(summary):
    """Return a summary as it is printed."""
    return json.dumps(summary, indent=2)


def limits():
    """Allow as many descriptors as the system lets this process have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
