"""A local page in the browser: choose, plan, fetch, look. ``neurofetch ui`` starts it.

In a notebook, `show` looks at a file or a data directory in the cell. The names are imported when
they are first used; importing this package does nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofetch.ui.notebook import PageView, show

__all__ = ["PageView", "show"]


if not TYPE_CHECKING:  # a type checker would take any name for one that exists

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(importlib.import_module(f"{__name__}.notebook"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
