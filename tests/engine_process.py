"""A process of its own that fetches a whole bucket: to be killed, or to run beside others.

`engine_process.py ROOT [--die FUNCTION:before|after:TEXT[:NTH]]`: with `--die` it kills itself, as
by kill -9, around the system call with this name whose arguments contain the text.
"""

import argparse
import dataclasses
import json
import os
import signal
import sys
import threading
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

KIB = 1 << 10


def arm(spec):
    """Replace a function of `os` by one that kills this process around its NTH matching call."""
    name, when, text, *nth = spec.split(":")
    real, turn, lock = getattr(os, name), int(nth[0]) if nth else 1, threading.Lock()
    seen = 0

    def deadly(*arguments, **keywords):
        nonlocal seen
        strikes = any(text in str(argument) for argument in arguments)
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


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--die", default="")
    parser.add_argument("--part", type=int, default=64)
    parser.add_argument("--single", type=int, default=64)
    parser.add_argument("--attempts", type=int, default=4)
    parser.add_argument("--usual", action="store_true")
    return parser.parse_args()


def main():
    given = parsed()
    rules = RetryRules(attempts=given.attempts, base=0.005, cap=0.02)
    options = Options(
        n_jobs=2,
        connections=8,
        bulk_connections=4,
        single_limit=given.single * KIB,
        part_size=given.part * KIB,
        rules=rules,
        beat=0.02,
    )
    if given.usual:
        options = dataclasses.replace(Options(), rules=rules)
    with Fetcher(Dataset("test", "b"), given.root, network=Network(), rules=rules) as fetcher:
        plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=("",))))
        if given.die:
            arm(given.die)
        report = fetcher.run(plan, RunSettings(options=options), strict=False)
    for outcome in report:
        print(json.dumps(dataclasses.asdict(outcome)))
    return 0 if report.ok else 3


if __name__ == "__main__":
    sys.exit(main())
