"""Choose, fetch, verify and keep public brain-imaging data.

Most people need only the names below. Each is imported when it is first used, so importing the
package is fast. All errors are in `neurofetch.errors`, the events of a run in
`neurofetch.events`, plans and reports in `neurofetch.model`, and the parts for a package of your
own in `neurofetch.engine`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurofetch._faces import open_with
from neurofetch._version import __version__

if TYPE_CHECKING:
    from neurofetch._api import get, plan, verify
    from neurofetch.errors import NeurofetchError
    from neurofetch.lockfile.lock import lock
    from neurofetch.model import IncompleteError, Outcome, Plan, Report
    from neurofetch.opening.front import open  # noqa: A004
    from neurofetch.store.audit import Audit

__all__ = [
    "Audit",
    "IncompleteError",
    "NeurofetchError",
    "Outcome",
    "Plan",
    "Report",
    "__version__",
    "get",
    "lock",
    "open",
    "plan",
    "verify",
]

_HOMES = {
    "Audit": "store.audit",
    "IncompleteError": "model",
    "NeurofetchError": "errors",
    "Outcome": "model",
    "Plan": "model",
    "Report": "model",
    "get": "_api",
    "lock": "lockfile.lock",
    "open": "opening.front",
    "plan": "_api",
    "verify": "_api",
}


open_with(lambda: import_module(f"{__name__}.display.faces"))

if not TYPE_CHECKING:  # a type checker would take any name for one that exists

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
