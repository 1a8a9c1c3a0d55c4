"""``python -m tests.soak``: faults, kills, suspends, several processes and hosts, for some minutes.

Each episode has a seed, and prints a line. The summary comes last, as JSON on stdout. The exit code
is 1 where anything was found; what the episode left is kept then, and its folder is named.
"""

import argparse
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.soak import places
from tests.soak.episode import limits, shown, soak


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no episode after these")
    parser.add_argument("--seed", type=int, help="of the first episode (default: a new one)")
    parser.add_argument("--episodes", type=int, help="no more than these")
    given = parser.parse_args()
    places.alone()
    limits()
    seed = random.randrange(1_000_000) * 1000 if given.seed is None else given.seed
    folder = tempfile.mkdtemp(prefix="neurofetch-soak-")
    Path(folder).chmod(0o755)
    say = partial(print, file=sys.stderr, flush=True)
    say(f"seed {seed}, in {folder}")
    summary = soak(seed, folder, given.seconds, given.episodes, say)
    print(shown(summary))
    return 1 if summary["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
