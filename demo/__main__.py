"""``make demo``: every act, one after the other. Nothing outside ``demo/`` is written.

``python -m demo cluster`` plays that act alone; any of `ACTS` may be named.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time

from demo._stage import HERE, Stage, heading, say

ACTS = (
    "laion",
    "neurovault",
    "loader",
    "public",
    "bids",
    "openneuro",
    "elsewhere",
    "cluster",
    "page",
)


def main() -> None:
    """Play all acts, or those that are named."""
    acts = sys.argv[1:] or ACTS
    if not set(acts) <= set(ACTS):
        raise SystemExit(f"the acts are {', '.join(ACTS)}")
    began = time.perf_counter()
    stage = Stage(HERE / "work")
    for name in acts:
        if importlib.util.find_spec(f"demo.{name}") is not None:
            importlib.import_module(f"demo.{name}").main(stage)
    heading("Done")
    pictures = sorted(path.relative_to(HERE.parent) for path in HERE.glob("*.png"))
    say(f"{time.perf_counter() - began:.0f} s; pictures: {', '.join(map(str, pictures))}")
    if acts[-1] == "page":
        importlib.import_module("demo.page").ending()


if __name__ == "__main__":
    main()
