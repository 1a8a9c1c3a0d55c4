"""What `neurofetch get s3://bench/PREFIX --dest DIR` does, through Python."""

from __future__ import annotations

import sys

from neurofetch.engine import Dataset, Fetcher, Listing, query


def main(prefix: str, dest: str) -> None:
    """Fetch everything below a prefix of the bucket."""
    with Fetcher(Dataset("bench", "bench"), dest) as fetcher:
        plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=(prefix,))))
        fetcher.run(plan)


if __name__ == "__main__":
    main(*sys.argv[1:])
