"""NeuroVault: fetch, filter and search its collections and images.

The names are imported when they are first used; importing this package does nothing.

One call, in the order in which to read it: the arguments are checked (``_settings``), the cache
is found (``_layout``) and an ``Errand`` begins (``_fetch``, ``_run``, ``_errand``). It looks at
what is here (``_by_ids`` or ``_by_filter``, with ``_index``, ``_marks`` and ``_shelf``), asks the
server for the records that are missing (``_finder``, over ``_api`` and ``_pages``), and has the
engine move the volumes (``_volumes``, with ``_integrity``); each record is written after its
volume. What could not be had (``_problems``) is named at the end, and the rest returned
(``_bunch``).
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
    from neurofetch.neurovault._ingest import Update
    from neurofetch.neurovault._integrity import DamagedVolumeError
    from neurofetch.neurovault._layout import TornRecordError
    from neurofetch.neurovault._tables import (
        catalogue,
        collections,
        images,
        search,
        update_catalogue,
    )
    from neurofetch.neurovault._verify import verify

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
    "Update",
    "basic_collection_terms",
    "basic_image_terms",
    "catalogue",
    "collections",
    "fetch_neurovault",
    "fetch_neurovault_ids",
    "images",
    "plan_neurovault_ids",
    "search",
    "update_catalogue",
    "verify",
]

_ELSEWHERE = {
    "Catalogue": "_catalogue",
    "DamagedVolumeError": "_integrity",
    "TornRecordError": "_layout",
    "Update": "_ingest",
    "catalogue": "_tables",
    "collections": "_tables",
    "images": "_tables",
    "search": "_tables",
    "update_catalogue": "_tables",
    "verify": "_verify",
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
