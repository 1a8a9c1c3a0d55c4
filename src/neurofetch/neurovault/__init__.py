"""NeuroVault: fetch, filter and search its collections and images.

The names are imported when they are first used; importing this package does nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofetch.neurovault._catalogue import Catalogue
    from neurofetch.neurovault._fetch import (
        fetch_neurovault,
        fetch_neurovault_ids,
        plan_neurovault_ids,
    )
    from neurofetch.neurovault._filters import (
        Contains,
        GreaterOrEqual,
        GreaterThan,
        IsIn,
        IsNull,
        LessOrEqual,
        LessThan,
        NotContains,
        NotEqual,
        NotIn,
        NotNull,
        Pattern,
        ResultFilter,
        basic_collection_terms,
        basic_image_terms,
    )
    from neurofetch.neurovault._integrity import DamagedVolumeError
    from neurofetch.neurovault._layout import TornRecordError

__all__ = [
    "Catalogue",
    "Contains",
    "DamagedVolumeError",
    "GreaterOrEqual",
    "GreaterThan",
    "IsIn",
    "IsNull",
    "LessOrEqual",
    "LessThan",
    "NotContains",
    "NotEqual",
    "NotIn",
    "NotNull",
    "Pattern",
    "ResultFilter",
    "TornRecordError",
    "basic_collection_terms",
    "basic_image_terms",
    "fetch_neurovault",
    "fetch_neurovault_ids",
    "plan_neurovault_ids",
]

_ELSEWHERE = {
    "Catalogue": "_catalogue",
    "DamagedVolumeError": "_integrity",
    "TornRecordError": "_layout",
    "fetch_neurovault": "_fetch",
    "fetch_neurovault_ids": "_fetch",
    "plan_neurovault_ids": "_fetch",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_ELSEWHERE.get(name, '_filters')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
