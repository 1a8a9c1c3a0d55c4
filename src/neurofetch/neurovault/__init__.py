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
    from neurofetch.neurovault.cache.layout import TornRecordError
    from neurofetch.neurovault.cache.verify import verify
    from neurofetch.neurovault.cache.volume_check import DamagedVolumeError
    from neurofetch.neurovault.catalogues.catalogue import Catalogue
    from neurofetch.neurovault.catalogues.ingest import Update
    from neurofetch.neurovault.fetch.functions import (
        fetch_neurovault,
        fetch_neurovault_ids,
        plan_neurovault_ids,
    )
    from neurofetch.neurovault.filters import (
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
    from neurofetch.neurovault.tables import (
        catalogue,
        collections,
        images,
        search,
        update_catalogue,
    )

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
    "Catalogue": "catalogues.catalogue",
    "DamagedVolumeError": "cache.volume_check",
    "TornRecordError": "cache.layout",
    "Update": "catalogues.ingest",
    "catalogue": "tables",
    "collections": "tables",
    "images": "tables",
    "search": "tables",
    "update_catalogue": "tables",
    "verify": "cache.verify",
    "fetch_neurovault": "fetch.functions",
    "fetch_neurovault_ids": "fetch.functions",
    "plan_neurovault_ids": "fetch.functions",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_ELSEWHERE.get(name, 'filters')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
