"""A process whose run ends while it lives on: a worker of a pool, the kernel of a notebook.

`outliving_process.py ROOT [--away] [--pool]`: fetches a bucket until some parts have come; then the
listener fails, as a cell of a notebook does. With `--away` the disk does not answer from then on
until the run is over, and then it does again. With `--pool` a forked worker runs it, which lives
on. It says "over" and waits until its input ends.
"""

import contextlib
import errno
import multiprocessing
import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from neurofetch.engine import Dataset, Fetcher
from neurofetch.events import Progress
from tests.engine_world import OPTIONS, PART, QUICK, planned, ran

DISK = ("readlink", "unlink", "rename", "replace", "fsync")


class CellError(Exception):
    """What goes wrong in the code of the user."""


def gone(*_, **__):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def run(root: str, away: bool) -> None:
    real = {name: getattr(os, name) for name in DISK}

    def listen(event: object) -> None:
        if isinstance(event, Progress) and event.bytes_done >= 4 * PART:
            for name in DISK if away else ():
                setattr(os, name, gone)
            raise CellError

    warnings.simplefilter("ignore")
    with Fetcher(Dataset("test", "b"), root, rules=QUICK) as fetcher:
        plan = planned(fetcher)
        with contextlib.suppress(CellError):
            ran(fetcher, plan, OPTIONS, listen=listen)
    for name, function in real.items():
        setattr(os, name, function)


def main() -> None:
    root, flags = sys.argv[1], sys.argv[2:]
    away = "--away" in flags
    if "--pool" in flags:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.apply(run, (root, away))
            print("over", flush=True)
            sys.stdin.read()
    else:
        run(root, away)
        print("over", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
