"""``make demo``: every act, one after the other. Nothing outside ``demo/`` is written."""

from __future__ import annotations

import importlib
import importlib.util
import time

from demo._stage import HERE, Stage, heading, say

ACTS = ("laion", "neurovault", "loader", "public", "bids", "openneuro", "elsewhere", "cluster")


def main() -> None:
    """Play all acts."""
    began = time.perf_counter()
    stage = Stage(HERE / "work")
    for name in ACTS:
        if importlib.util.find_spec(f"demo.{name}") is not None:
            importlib.import_module(f"demo.{name}").main(stage)
    heading("Done")
    pictures = sorted(path.relative_to(HERE.parent) for path in HERE.glob("*.png"))
    say(f"{time.perf_counter() - began:.0f} s; pictures: {', '.join(map(str, pictures))}")


main()
