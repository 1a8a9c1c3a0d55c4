"""Choose, fetch, verify and keep public brain-imaging data.

The names below are the public ones; each is imported when it is first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofetch._answers import failure as answer_error
    from neurofetch._api import get, plan, verify, warn_of_refused
    from neurofetch._attempts import Attempts
    from neurofetch._audit import Audit, Finding, State, audit, repair
    from neurofetch._bars import listener
    from neurofetch._config import Network
    from neurofetch._crew import Locate, Options
    from neurofetch._dataset import Dataset, Wishes, Withheld, wishes
    from neurofetch._entities import ENTITY_NAMES, Entities
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
        Checking,
        Event,
        FileDone,
        Finished,
        Listener,
        Planned,
        Progress,
        Retrying,
        Waiting,
    )
    from neurofetch._http import Answer, Client, Request
    from neurofetch._jobs import checked_jobs, checked_shard
    from neurofetch._link import Link, Listing, plan_wants
    from neurofetch._place import Place
    from neurofetch._receipts import read_receipts
    from neurofetch._retry import RetryRules
    from neurofetch._select import Family, Query, Rules, query
    from neurofetch._stream import stream
    from neurofetch._text import audit_text, plan_text, report_text
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
    "_answers": ("answer_error",),
    "_api": ("get", "plan", "verify", "warn_of_refused"),
    "_attempts": ("Attempts",),
    "_audit": ("Audit", "Finding", "State", "audit", "repair"),
    "_bars": ("listener",),
    "_config": ("Network",),
    "_crew": ("Locate", "Options"),
    "_dataset": ("Dataset", "Wishes", "Withheld", "wishes"),
    "_entities": ("ENTITY_NAMES", "Entities", "parse_entities"),
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
        "Checking",
        "Event",
        "FileDone",
        "Finished",
        "Listener",
        "Planned",
        "Progress",
        "Retrying",
        "Waiting",
    ),
    "_http": ("Answer", "Client", "Request"),
    "_jobs": ("checked_jobs", "checked_shard"),
    "_link": ("Link", "Listing", "plan_wants"),
    "_place": ("Place",),
    "_receipts": ("read_receipts",),
    "_retry": ("RetryRules",),
    "_select": ("Family", "Query", "Rules", "query"),
    "_stream": ("stream",),
    "_text": ("audit_text", "plan_text", "report_text"),
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
_ALIASES = {"answer_error": "failure", "parse_entities": "parse"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ENTITY_NAMES",
    "Action",
    "Answer",
    "Attempts",
    "Audit",
    "Checking",
    "Client",
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
    "Locate",
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
    "Request",
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
    "answer_error",
    "audit",
    "audit_text",
    "checked_jobs",
    "checked_shard",
    "get",
    "listener",
    "parse_entities",
    "plan",
    "plan_text",
    "plan_wants",
    "query",
    "read_receipts",
    "repair",
    "report_text",
    "stream",
    "verify",
    "warn_of_refused",
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
