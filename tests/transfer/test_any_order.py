"""The real engine in one thread: Hypothesis says who does what next, and what each request meets.

Files in one request and in parts, their lives, claims, partials and receipts are the real ones, on
a real disk; only the network is not there. A server of values stands for it, with versions that
change, and without HEAD, ranges or ETags where Hypothesis wants that.
"""

import base64
import hashlib
import os
import re
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurofetch.engine import DataDirectory, ListedSource, Options, RetryRules
from neurofetch.errors import InterruptedTransferError, TransientError
from neurofetch.model import Action, Digest, RemoteFile, Status, Step, Want
from neurofetch.net.retry import Attempts
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal, read_receipts
from neurofetch.transfer import whole_file
from neurofetch.transfer.context import TransferContext
from neurofetch.transfer.multipart import LargeFile, OpenLarge
from neurofetch.transfer.schedule import Board, TaskKind
from neurofetch.transfer.settler import Settler
from neurofetch.transfer.states import ENDED, FileLife, FileState
from neurofetch.transfer.tally import Tally
from neurofetch.transfer.whole_file import FetchTiny, FetchWhole, WholeFile
from tests.transfer_model import open_below

PART = 1 << 10
OPTIONS = Options(
    n_jobs=1,
    single_limit=PART,
    part_size=PART,
    rules=RetryRules(attempts=3, base=0.0, cap=0.0, max_wait=0.0),
)


class Response:
    """What a server said: a status, headers in lower case, and a body."""

    reason = shown_url = ""
    signature, may_sign = None, False

    def __init__(self, status, headers=None, body=b"", *, told=True, breaks=False):
        self.status = status
        self.headers = headers or {}
        self.length = len(body) if told else None
        self._left = memoryview(body)
        self._breaks = breaks

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._left = self._left[:0]

    def readinto(self, view):
        if self._breaks and len(self._left) <= 100:
            raise TransientError("connection lost")
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def fill(self, view):
        filled = 0
        while count := self.readinto(view[filled:]):
            filled += count
        return filled

    def read(self, limit):
        assert len(self._left) <= limit
        body = bytearray(len(self._left))
        self.fill(memoryview(body))
        return bytes(body)


class Server:
    """A server of objects, and the client that talks to it.

    Parameters
    ----------
    draw : callable
        Draws a value of a strategy.
    """

    bounded = False

    def __init__(self, draw):
        self.draw = draw
        self.trouble = True
        self.hung_up = False
        self.heads = draw(MOSTLY, "server answers HEAD")
        self.ranges = draw(MOSTLY, "server knows ranges")
        self.etags = draw(st.sampled_from(["strong"] * 4 + ["weak", "none"]), "ETags")
        self.checksums = draw(SELDOM, "server tells checksums")
        self.versions = {}
        self.flipped = set()
        self.sent = set()

    def put(self, key, content):
        self.versions.setdefault(key, []).append(content)

    def etag(self, key):
        if self.etags == "none":
            return ""
        tag = hashlib.sha1(self.versions[key][-1]).hexdigest()[:20]
        return f'W/"{tag}"' if self.etags == "weak" else f'"{tag}"'

    def _may_be_lost(self):
        if self.hung_up:
            raise InterruptedTransferError("stopped on request")
        if self.trouble and self.draw(st.sampled_from(OFTEN_WELL), "request") == "lost":
            raise TransientError("connection lost")

    # what the engine calls

    def send(self, request):
        self._may_be_lost()
        return self.respond(request)

    def begin(self, request):
        self._may_be_lost()
        pending = SimpleNamespace(request=request)
        self.sent.add(id(pending))
        return pending

    def finish(self, pending):
        self.sent.remove(id(pending))
        if self.hung_up:
            raise InterruptedTransferError("stopped on request")
        return self.respond(pending.request)

    def drop(self, pending):
        self.sent.remove(id(pending))

    def ready(self, *_):
        return True

    def parts_away(self, *_):
        return False

    def respond(self, request):
        key = request.url.removeprefix("http://server/")
        what = "well"
        if self.trouble:
            what = self.draw(st.sampled_from(ANSWERS), f"{request.method} {key}")
        if what in ("500", "404", "403"):
            return Response(int(what))
        if what == "changes" and len(self.versions[key]) < 4:
            old = self.versions[key][-1]
            self.put(key, hashlib.shake_128(old).digest(len(old)))
        return self._object(request, key, what)

    def _object(self, request, key, what):
        body = self.versions[key][-1]
        headers = {"etag": self.etag(key)} if self.etags != "none" else {}
        wanted = request.headers.get("If-Match")
        if wanted and wanted != self.etag(key):
            return Response(412)
        if request.headers.get("x-amz-checksum-mode") and self.checksums:
            digest = hashlib.sha256(body).digest()
            headers["x-amz-checksum-sha256"] = base64.b64encode(digest).decode()
        if request.method == "HEAD":
            head = Response(200, headers) if self.heads else Response(405)
            return Response(head.status, headers | {"content-length": str(len(body))})
        status, asked = 200, request.headers.get("Range")
        if asked and self.ranges and what != "ignores":
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())
            if what == "elsewhere":  # the right number of bytes, of another place
                first, last = len(body) - 1 - last, len(body) - 1 - first
            headers["content-range"] = f"bytes {first}-{last}/{len(body)}"
            body, status = body[first : last + 1], 206
        if what == "flips" and body:
            body = bytes([body[0] ^ 255]) + body[1:]
            self.flipped.add(key)
        if what == "short":
            body = body[:-1]
        if what == "portal":
            return Response(200, {}, b"<html>please log in</html>")
        return Response(status, headers, body, told=what != "untold", breaks=what == "breaks")


MOSTLY = st.sampled_from([True] * 5 + [False])
SELDOM = st.sampled_from([False] * 3 + [True])
OFTEN_WELL = ["well"] * 14 + ["lost"]
ANSWERS = ["well"] * 24 + ["changes"] * 4 + [
    "500", "404", "403", "ignores", "flips", "short", "portal", "untold", "breaks",
    "elsewhere",
]  # fmt: skip


class Queue:
    """The queue of one run: a `Board`, and a clock that is set by hand."""

    flowing = tiny_in_flight = 0

    def __init__(self, jobs, bulk):
        self.board = Board(jobs, bulk)
        self.now = 0.0
        self.stopped = False

    def add(self, tasks):
        self.board.add(list(tasks))

    def again(self, task, seconds):
        self.board.again(task, self.now + seconds)

    def drop_parts(self, unwanted):
        return self.board.drop(unwanted)

    def closed(self, file):
        self.board.closed(file)

    def disk_took(self, _):
        pass

    def stop(self):
        self.stopped = True


class Run:
    """A transfer of some files into a data directory, as one process makes it.

    Its threads do one task after the other: which of them goes on is drawn.
    """

    def __init__(self, root, server, remotes, draw):
        self.draw = draw
        self.root = root
        self.server = server
        self.directory = DataDirectory(root)
        self.directory.state.mkdir(exist_ok=True)
        self.journal = Journal(self.directory.state)
        self.journal.open()
        self.queue = Queue(draw(st.integers(1, 2), "large files"), draw(st.integers(1, 3), "parts"))
        partials = Partials(self.directory.state, self.journal.owner)
        tally = Tally(None, self.queue.stop)
        self.context = TransferContext(
            directory=self.directory,
            journal=self.journal,
            partials=partials,
            client=server,
            source=ListedSource(remotes),
            attempts=Attempts(OPTIONS.rules, threading.Event(), draw=lambda: 0.0),
            few_attempts=Attempts(OPTIONS.rules, threading.Event(), draw=lambda: 0.0),
            options=OPTIONS,
            inspect=None,
            schedule=self.queue,
            settler=Settler(  # who brings a file settles it: the order is drawn, not found
                self.directory, self.journal, partials, schedule=self.queue, tally=tally, most=0
            ),
            tally=tally,
        )
        self.context.partials.make_folders()
        self.lives = []
        self.hands = []
        self.have = {}
        held = self.context.partials.survey()
        for remote in remotes:
            self._add(remote, held)

    def _add(self, remote, held):
        """Add a file, as a transfer does: in parts where it is large."""
        path = f"d/{remote.key}"
        file = self.root / path
        if file.exists() and file.read_bytes() == self.server.versions[remote.key][-1]:
            return
        before = file.stat().st_mtime_ns if file.exists() else None
        step = Step(Want(remote, path), Action.REPLACE if before else Action.FETCH, "")
        short = name_of(path)
        life = FileLife(
            len(self.lives),
            step,
            short,
            claims=self.context.partials,
            book=self.context.tally,
            later=self.queue,
        )
        self.lives.append(life)
        if remote.size > PART and (remote.etag or remote.digest):
            task = OpenLarge(LargeFile(self.context, life, before, held.get(short, [])))
        else:
            kind = FetchTiny if self.draw(st.booleans(), f"{remote.key} is tiny") else FetchWhole
            task = kind(WholeFile(self.context, life, before))
        self.queue.add([task])

    @property
    def over(self):
        return not self.hands and (self.queue.board.over or self.queue.stopped)

    def step(self):
        """Let one of the threads take a task, or do the one that it has."""
        board, hands = self.queue.board, self.hands
        room = len(hands) < 4 and not self.queue.stopped
        task = None
        if room and (not hands or self.draw(st.booleans(), "another thread takes a task")):
            task = board.pick(self.queue.now, tiny=True)
            if task is None and not hands:
                assert board.next_moment is not None, f"nothing goes on: {board.left}"
                self.queue.now = board.next_moment
        if task is not None:
            if task.kind is not TaskKind.TINY or task.begin(others=bool(hands)):
                hands.append(task)
            else:
                board.done(task)
        elif hands:
            task = hands.pop(self.draw(st.integers(0, len(hands) - 1), "who goes on"))
            tiny = task.kind is TaskKind.TINY
            task.finish(others=bool(hands)) if tiny else task.run()
            board.done(task)

    def end(self):
        """End as a run does; return what became of the files."""
        for life in self.lives:
            life.stop()
        self.context.partials.close()
        self.directory.close()
        self.journal.close()
        assert self.context.tally.fatal is None
        results = self.context.tally.results
        for life in self.lives:
            assert life.state in ENDED
            assert (life.number in results) == (life.state is not FileState.STOPPED)
            assert life.number in results or self.queue.stopped
        return results

    def interrupt(self):
        """Stop as after Ctrl-C: nothing more is handed out, and no request is made."""
        self.context.attempts.stop.set()
        self.queue.stop()

    def kill(self):
        """End as after kill -9: nothing is said to anybody, and all is closed."""
        self.hands.clear()
        self.queue.stop()
        for life in self.lives:
            if life.held is not None:
                life.held.close()
        os.close(self.journal._fd)
        self.journal._folder.close()
        self.context.partials.close()
        self.directory.close()
        self.journal.owner.end()


def go(runs, draw):
    """Let some runs go on, side by side, until each is over."""
    for _ in range(3_000):
        left = [run for run in runs if not run.over]
        if not left:
            return
        run = left[draw(st.integers(0, len(left) - 1), "process") if len(left) > 1 else 0]
        # a process whose threads all wait for the other one to let go of a file lets time pass
        run.step()
    pytest.fail("the run does not end")


def remotes_of(server, draw):
    """Return what is listed: some objects, with as much of each as the listing tells."""
    remotes = []
    for key, versions in server.versions.items():
        digest = None
        if draw(SELDOM, "the listing tells the content"):
            digest = Digest("sha256", hashlib.sha256(versions[-1]).hexdigest())
        told = server.etag(key).strip('"') if server.etags == "strong" else None
        etag = told if draw(MOSTLY, "the listing tells the ETag") else None
        size = len(versions[-1])
        remotes.append(RemoteFile(key, f"http://server/{key}", size, etag, digest=digest))
    return remotes


def check(root, server, runs):
    """Assert what must hold when some runs are over."""
    state = root / ".neurofetch"
    assert os.listdir(state / "claims") == []
    assert open_below(root) == []
    assert server.sent == set()
    assert not list((state / "partial").glob("*.tmp"))
    receipts = read_receipts(state)
    for key, versions in server.versions.items():
        file = root / "d" / key
        if file.exists():
            content = file.read_bytes()
            assert receipts[f"d/{key}"].size == len(content) == len(versions[0])
            assert content in versions or key in server.flipped
    for run in runs:
        done = 0
        for life in run.lives:
            outcome = run.context.tally.results.get(life.number)
            if outcome is not None and outcome.ok:
                assert (root / outcome.path).exists()
                done += outcome.size * (outcome.status is Status.FETCHED)
            elif outcome is None or not run.queue.stopped:
                mine = run.journal.owner.token
                held = [one for one in run.context.partials.of(life.short) if one.token == mine]
                done += sum(one.log.bytes_held() for one in held)
        assert run.context.tally.bytes_done == done


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    """Flush nothing, and stream files that are not that small."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(whole_file, "IN_MEMORY", 2 * PART)


@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_server_says_in_whatever_order_the_run_ends_and_nothing_is_left(data):
    def draw(strategy, label):
        return data.draw(strategy, label)

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = Server(draw)
        sizes = st.sampled_from([0, 1, 700, PART + 1, 3 * PART, 5 * PART + 9])
        for number, size in enumerate(draw(st.lists(sizes, min_size=1, max_size=5), "sizes")):
            server.put(f"k{number}", hashlib.shake_128(b"%d" % number).digest(size))
        remotes = remotes_of(server, draw)
        runs = [Run(root, server, remotes, draw) for _ in range(draw(st.integers(1, 2), "runs"))]
        go(runs, draw)
        for run in runs:
            run.end()
        check(root, server, runs)
        # and again, with a server that does as it should: everything is here then
        server.trouble = False
        last = Run(root, server, remotes_of(server, draw), draw)
        go([last], draw)
        assert all(outcome.ok for outcome in last.end().values())
        check(root, server, [last])
        for key, versions in server.versions.items():
            content = (root / "d" / key).read_bytes()
            assert content == versions[-1] or key in server.flipped  # a byte that nobody can tell


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_interrupted_or_killed_at_any_step_the_next_run_completes(data):
    def draw(strategy, label):
        return data.draw(strategy, label)

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = Server(draw)
        sizes = st.sampled_from([1, 700, 3 * PART, 5 * PART + 9])
        for number, size in enumerate(draw(st.lists(sizes, min_size=1, max_size=4), "sizes")):
            server.put(f"k{number}", hashlib.shake_128(b"%d" % number).digest(size))
        for _ in range(draw(st.integers(1, 3), "times")):
            server.hung_up = False
            run = Run(root, server, remotes_of(server, draw), draw)
            for _ in range(draw(st.integers(0, 25), "steps")):
                if not run.over:
                    run.step()
            if draw(st.booleans(), "killed"):
                run.kill()
                continue
            server.hung_up = True
            run.interrupt()
            go([run], draw)
            run.end()
            assert open_below(root) == []
            assert server.sent == set()
        server.trouble = server.hung_up = False
        last = Run(root, server, remotes_of(server, draw), draw)
        last.context.partials.sweep(
            {one.data for held in last.context.partials.survey().values() for one in held}
        )
        go([last], draw)
        assert all(outcome.ok for outcome in last.end().values())
        check(root, server, [last])
        for key, versions in server.versions.items():
            content = (root / "d" / key).read_bytes()
            assert content == versions[-1] or key in server.flipped  # a byte that nobody can tell
