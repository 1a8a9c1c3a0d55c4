"""An index of a data directory for other programs: a Parquet file with a row for each file.

The names are imported when they are first used; importing this package does nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofetch.index.make import Index, index

__all__ = ["Index", "index"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.make"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
