"""Choose, fetch, verify and keep public brain-imaging data.

The names below are the public ones; each is imported when it is first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofetch._api import get, plan, verify
    from neurofetch._audit import Audit, Finding, State, audit, repair
    from neurofetch._bars import listener
    from neurofetch._config import Network
    from neurofetch._crew import Options
    from neurofetch._dataset import Dataset, Wishes, Withheld, wishes
    from neurofetch._entities import Entities
    from neurofetch._entities import parse as parse_entities
    from neurofetch._errors import (
        ConfigError,
        DestinationError,
        DiskFullError,
        IncompleteError,
        InterruptedTransferError,
        MissingBucketError,
        MissingRemoteError,
        NameClashError,
        NeurofetchError,
        NothingMatchedError,
        ProtocolError,
        RefusedError,
        RemoteChangedError,
        ServerError,
        TransientError,
        UnknownValueError,
        UnreachableError,
        UnsafeNameError,
        UsageError,
        VerificationError,
    )
    from neurofetch._events import (
        Event,
        FileDone,
        Finished,
        Listener,
        Planned,
        Progress,
        Retrying,
        Waiting,
    )
    from neurofetch._jobs import checked_jobs
    from neurofetch._link import Link, Listing, plan_wants
    from neurofetch._place import Place
    from neurofetch._retry import RetryRules
    from neurofetch._select import Family, Query, Rules, query
    from neurofetch._values import (
        Action,
        Digest,
        LocalFile,
        Outcome,
        Plan,
        Receipt,
        RemoteFile,
        Report,
        Rung,
        Status,
        Step,
        Want,
    )

__version__ = "0.1.0"

_HOMES = {
    "_api": ("get", "plan", "verify"),
    "_audit": ("Audit", "Finding", "State", "audit", "repair"),
    "_bars": ("listener",),
    "_config": ("Network",),
    "_crew": ("Options",),
    "_dataset": ("Dataset", "Wishes", "Withheld", "wishes"),
    "_entities": ("Entities", "parse_entities"),
    "_errors": (
        "ConfigError",
        "DestinationError",
        "DiskFullError",
        "IncompleteError",
        "InterruptedTransferError",
        "MissingBucketError",
        "MissingRemoteError",
        "NameClashError",
        "NeurofetchError",
        "NothingMatchedError",
        "ProtocolError",
        "RefusedError",
        "RemoteChangedError",
        "ServerError",
        "TransientError",
        "UnknownValueError",
        "UnreachableError",
        "UnsafeNameError",
        "UsageError",
        "VerificationError",
    ),
    "_events": (
        "Event",
        "FileDone",
        "Finished",
        "Listener",
        "Planned",
        "Progress",
        "Retrying",
        "Waiting",
    ),
    "_jobs": ("checked_jobs",),
    "_link": ("Link", "Listing", "plan_wants"),
    "_place": ("Place",),
    "_retry": ("RetryRules",),
    "_select": ("Family", "Query", "Rules", "query"),
    "_values": (
        "Action",
        "Digest",
        "LocalFile",
        "Outcome",
        "Plan",
        "Receipt",
        "RemoteFile",
        "Report",
        "Rung",
        "Status",
        "Step",
        "Want",
    ),
}
_ALIASES = {"parse_entities": "parse"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "Audit",
    "ConfigError",
    "Dataset",
    "DestinationError",
    "Digest",
    "DiskFullError",
    "Entities",
    "Event",
    "Family",
    "FileDone",
    "Finding",
    "Finished",
    "IncompleteError",
    "InterruptedTransferError",
    "Link",
    "Listener",
    "Listing",
    "LocalFile",
    "MissingBucketError",
    "MissingRemoteError",
    "NameClashError",
    "Network",
    "NeurofetchError",
    "NothingMatchedError",
    "Options",
    "Outcome",
    "Place",
    "Plan",
    "Planned",
    "Progress",
    "ProtocolError",
    "Query",
    "Receipt",
    "RefusedError",
    "RemoteChangedError",
    "RemoteFile",
    "Report",
    "RetryRules",
    "Retrying",
    "Rules",
    "Rung",
    "ServerError",
    "State",
    "Status",
    "Step",
    "TransientError",
    "UnknownValueError",
    "UnreachableError",
    "UnsafeNameError",
    "UsageError",
    "VerificationError",
    "Waiting",
    "Want",
    "Wishes",
    "Withheld",
    "__version__",
    "audit",
    "checked_jobs",
    "get",
    "listener",
    "parse_entities",
    "plan",
    "plan_wants",
    "query",
    "repair",
    "verify",
    "wishes",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{home}"), _ALIASES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
