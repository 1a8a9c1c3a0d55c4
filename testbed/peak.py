"""How much memory a process had at most, told by itself: for programs that tests run."""

from __future__ import annotations

import re
import resource
from pathlib import Path

__all__ = ["peak_megabytes"]

_STATUS = Path("/proc/self/status")


def peak_megabytes() -> float:
    """Return the most memory that this process had, in MiB.

    What ``getrusage`` counts includes the parent's on Linux, until a program is begun in its place.
    """
    if _STATUS.exists():
        found = re.search(r"VmHWM:\s*(\d+)", _STATUS.read_text("utf-8"))
        assert found is not None
        return int(found[1]) / (1 << 10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
