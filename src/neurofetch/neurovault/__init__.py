"""NeuroVault: fetch, filter and search its collections and images.

The names are imported when they are first used; importing this package does nothing.

To read the code, follow one call of `fetch_neurovault_ids`:

1. `fetch.functions` holds the public functions. `settings` checks the arguments.
2. `fetch.run` is the call from its beginning to its result. It finds the cache (`cache.layout`) and
   makes a `fetch.call`, which holds what the call has found and done so far.
3. `fetch.by_ids` finds out what is wanted and what of it is here already: `cache.index` knows in
   which collection an image is, `cache.collection_lists` which images a collection has, and
   `cache.check` whether the files are whole (with `cache.volume_check`). `fetch.by_filter` does so
   for filters, once `fetch.terms` has seen that something can pass them.
4. For what is missing, `server.finder` asks the server for records. It uses `server.api` for single
   requests and `server.pages` for long lists. `records` says what a record looks like.
5. `fetch.volumes` hands the volumes to the engine (`neurofetch.transfer`). Each image's record is
   written after its volume, so a record in the cache says that the image is complete.
6. `fetch.bunch` builds the result, whose type is in `fetch.result`. What could not be fetched was
   collected as `problems`, and is named at the end, in one warning or one error.

Beside that path: `filters` are the conditions for `fetch_neurovault`; `fetch.neurosynth` fetches
words and `fetch.resample` makes voxels of 3 mm; `cache.verify` reads the whole cache again;
`tables` and `catalogues` are for metadata without volumes; `_cli` is the command.
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
        fetch_neurovault_auditory_computation_task,
        fetch_neurovault_ids,
        fetch_neurovault_motor_task,
        plan_neurovault_ids,
    )
    from neurofetch.neurovault.fetch.neurosynth import neurosynth_words_vectorized
    from neurofetch.neurovault.fetch.result import NeurovaultBunch
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
    "NeurovaultBunch",
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
    "fetch_neurovault_auditory_computation_task",
    "fetch_neurovault_ids",
    "fetch_neurovault_motor_task",
    "images",
    "neurosynth_words_vectorized",
    "plan_neurovault_ids",
    "search",
    "update_catalogue",
    "verify",
]

_ELSEWHERE = {
    "Catalogue": "catalogues.catalogue",
    "DamagedVolumeError": "cache.volume_check",
    "NeurovaultBunch": "fetch.result",
    "TornRecordError": "cache.layout",
    "Update": "catalogues.ingest",
    "catalogue": "tables",
    "collections": "tables",
    "images": "tables",
    "search": "tables",
    "update_catalogue": "tables",
    "verify": "cache.verify",
    "fetch_neurovault": "fetch.functions",
    "fetch_neurovault_auditory_computation_task": "fetch.functions",
    "fetch_neurovault_ids": "fetch.functions",
    "fetch_neurovault_motor_task": "fetch.functions",
    "neurosynth_words_vectorized": "fetch.neurosynth",
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
