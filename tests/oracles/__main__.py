"""``python -m tests.oracles``: every part of every tree before the official validator.

It prints a table in Markdown, as docs/bids.md has it, and ends with exit code 1 where a part has an
error that the whole has not, and that no allowance covers.
"""

import argparse
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.oracles.judge import verdicts
from tests.oracles.trees import TREES, parts_of, read_tree, unpack


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.oracles", description=__doc__)
    parser.add_argument("trees", nargs="*", metavar="TREE", help="only these (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="validators at once (default: 2)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder))
        trees = [read_tree(Path(folder, name)) for name in given.trees or TREES]
        with ThreadPoolExecutor(given.jobs) as pool:
            found = list(pool.map(lambda tree: list(verdicts(tree, parts_of(tree))), trees))
    print(
        "| tree | parts | valid as the whole | errors that are allowed |\n| --- | --- | --- | --- |"
    )
    bad = []
    for tree, row in zip(trees, found, strict=True):
        good = [verdict for verdict in row if verdict.good]
        bad += [str(verdict) for verdict in row if not verdict.good]
        allowed = Counter(code for v in good for code in {issue.code for issue in v.new})
        told = ", ".join(f"{code} ({count})" for code, count in sorted(allowed.items()))
        print(f"| {tree.name} | {len(row)} | {len(good)} | {told} |")
    total = sum(map(len, found))
    print(f"\n{total - len(bad)} of {total} parts of {len(trees)} trees.")
    print(*bad, sep="\n", file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
