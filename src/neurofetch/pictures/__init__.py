"""Pictures of what is here: a file, a directory, a collection of maps.

matplotlib, nilearn and nibabel are imported when something is drawn. The names here are imported
when they are first used: the commands ask for this package also where they only show their help.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofetch.pictures.front import Drawn, show

__all__ = ["Drawn", "show"]


if not TYPE_CHECKING:  # a type checker would take any name for one that exists

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(importlib.import_module(f"{__name__}.front"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
