"""OpenNeuro's catalogue: which data sets there are, and what is known of one.

The files of a data set are fetched with `neurofetch.get`: ``neurofetch.get("openneuro:ds000246")``.
The names are imported when they are first used; importing this package does nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofetch.openneuro.catalogue import datasets, info, search
    from neurofetch.openneuro.described import DatasetInfo, Derivative, VersionInfo

__all__ = ["DatasetInfo", "Derivative", "VersionInfo", "datasets", "info", "search"]

_ELSEWHERE = {"datasets": "catalogue", "info": "catalogue", "search": "catalogue"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_ELSEWHERE.get(name, 'described')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
