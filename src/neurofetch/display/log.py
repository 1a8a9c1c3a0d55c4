"""Events as log records of the logger "neurofetch", for programs that keep logs.

Nothing is printed unless the program sets up logging. A message carries names and causes, never a
credential or a signed address: events hold neither.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from neurofetch._shown import shown
from neurofetch.display.text import network_text, workers_text
from neurofetch.events import (
    Checking,
    FileDone,
    Finished,
    Listing,
    NetworkAway,
    NetworkBack,
    NoWorkers,
    Planned,
    Retrying,
    Waiting,
)
from neurofetch.model import Status

if TYPE_CHECKING:
    from neurofetch.events import Event

__all__ = ["logged"]

_log = logging.getLogger("neurofetch")
_log.addHandler(logging.NullHandler())  # a library is silent where nobody set up logging


def logged(event: Event) -> None:
    """Log one event.

    Retries and waits are warnings, outcomes of files are information (those that failed are
    errors), plan and end are information, progress is for debugging.

    Parameters
    ----------
    event : Event
    """
    if isinstance(event, FileDone):
        done = event.outcome
        level = logging.ERROR if done.status is Status.FAILED else logging.INFO
        if _log.isEnabledFor(level):
            detail = done.reason or f"verified by {done.verification.value}"
            _log.log(level, "%s: %s (%s)", done.status.word, shown(done.path), shown(detail))
    elif isinstance(event, Retrying):
        path, reason = shown(event.path), shown(event.reason)
        _log.warning("trying again in %.1f s: %s: %s", event.wait, path, reason)
    elif isinstance(event, Waiting):
        path, owner = shown(event.path), shown(event.owner)
        _log.warning("waiting for %s: another process fetches it: %s", path, owner)
    elif isinstance(event, NetworkAway | NetworkBack | NoWorkers):
        level = logging.WARNING if getattr(event, "first", True) else logging.DEBUG
        text = workers_text(event) if isinstance(event, NoWorkers) else network_text(event)
        _log.log(level, "%s", text)
    elif isinstance(event, Planned):
        _log.info("planned: %r", event.plan)
    elif isinstance(event, Finished):
        _log.info("finished: %r", event.report)
    elif isinstance(event, Listing):
        _log.debug("listed %d files in %.1f s", event.files, event.seconds)
    elif _log.isEnabledFor(logging.DEBUG):
        word = "read" if isinstance(event, Checking) else "fetched"
        _log.debug(
            "%s %d of %d bytes, %d of %d files",
            word,
            event.bytes_done,
            event.bytes_total,
            event.files_done,
            event.files,
        )
