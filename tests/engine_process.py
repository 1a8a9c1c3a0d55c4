"""A process of its own that fetches a whole bucket: to be killed, or to run beside others.

`engine_process.py ROOT [--die FUNCTION:before|after:TEXT[:NTH]]`: with `--die` it kills itself, as
by kill -9, around the system call with this name whose arguments contain the text.

With `--descriptors N` it may have no more open than that; then it tells, in a line of JSON on
stderr, how many it had open at most, and which attempts failed. With `--address-space N` it may
use no more memory than that, whether or not it is in use.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from neurofetch.engine import (
    Dataset,
    Fetcher,
    Listing,
    Network,
    Options,
    RetryRules,
    RunSettings,
    query,
)
from neurofetch.events import Retrying

KIB = 1 << 10


def arm(spec):
    """Replace a function of `os` by one that kills this process around its NTH matching call."""
    name, when, text, *nth = spec.split(":")
    real, turn, lock = getattr(os, name), int(nth[0]) if nth else 1, threading.Lock()
    seen = 0

    def deadly(*arguments, **keywords):
        nonlocal seen
        strikes = any(text in argument for argument in _shown(arguments, keywords))
        with lock:
            seen += strikes
            mine = strikes and seen == turn
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            result = real(*arguments, **keywords)
        except OSError:
            with lock:
                seen -= strikes
            raise
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, name, deadly)


def _shown(arguments, keywords):
    """Return the arguments as text; a name that is relative to an open folder as a whole path."""
    yield from map(str, arguments)
    folders = [keywords[key] for key in ("dir_fd", "src_dir_fd", "dst_dir_fd") if key in keywords]
    names = [argument for argument in arguments if isinstance(argument, str)]
    for folder, name in zip(folders, names[-len(folders) :], strict=False):
        yield f"{os.readlink(f'/proc/self/fd/{folder}')}/{name}"


class Descriptors:
    """Bounds the descriptors of this process, and looks again and again how many are open."""

    def __init__(self, most):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.failed = []
        self._most = most
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def _look(self):
        while not self._over.is_set():
            open_now = sum(_is_open(number) for number in range(self._most))
            self._peak = max(self._peak, open_now)
            time.sleep(0.0002)

    def __call__(self, event):
        if isinstance(event, Retrying):
            self.failed.append(event.reason)

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        print(json.dumps({"peak": self._peak, "failed": self.failed}), file=sys.stderr)


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def looked_at(temporary, _):
    """Look at a file as a deeper check does: read it, and write it anew."""
    with open(temporary, "r+b") as file:
        content = file.read()
        file.seek(0)
        file.write(content)


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--die", default="")
    parser.add_argument("--part", type=int, default=64)
    parser.add_argument("--single", type=int, default=64)
    parser.add_argument("--attempts", type=int, default=4)
    parser.add_argument("--usual", action="store_true")
    parser.add_argument("--many", action="store_true", help="as many connections as usual")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--inspect", action="store_true")
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--address-space", type=int, help="MB, at most")
    return parser.parse_args()


def main():
    given = parsed()
    if given.address_space:
        most = given.address_space << 20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    rules = RetryRules(attempts=given.attempts, base=0.005, cap=0.02)
    options = Options(
        n_jobs=given.jobs,
        connections=8,
        bulk_connections=4,
        single_limit=given.single * KIB,
        part_size=given.part * KIB,
        rules=rules,
        beat=0.02,
    )
    usual = Options()
    if given.usual:
        options = dataclasses.replace(usual, rules=rules)
    if given.many:
        options = dataclasses.replace(
            options,
            connections=usual.connections,
            whole_connections=usual.whole_connections,
            bulk_connections=usual.bulk_connections,
        )
    watch = Descriptors(given.descriptors) if given.descriptors else contextlib.nullcontext()
    settings = RunSettings(options=options, **({"listen": watch} if given.descriptors else {}))
    inspect = looked_at if given.inspect else None
    network = Network.from_environment()
    dataset = Dataset("test", "b")
    with watch, Fetcher(dataset, given.root, network=network, rules=rules) as fetcher:
        plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=("",))))
        if given.die:
            arm(given.die)
        report = fetcher.run(plan, settings, inspect=inspect, strict=False)
    for outcome in report:
        print(json.dumps(dataclasses.asdict(outcome)))
    return 0 if report.ok else 3


if __name__ == "__main__":
    sys.exit(main())
