"""Where a Dask scheduler is, as users write it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from neurofetch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["VARIABLE", "checked_address", "scheduler_from_environment"]

VARIABLE = "DASK_SCHEDULER_ADDRESS"
"""The variable that Dask itself reads, too."""
_ADDRESS = re.compile(
    r"(?:(?P<scheme>tcp|tls|ucx|ws|wss)://)?"
    r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*)|\[[0-9A-Za-z:.%]+\]):(?P<port>[0-9]{1,5})/?"
)


def checked_address(text: str, what: str = "--scheduler") -> str:
    """Return the address of a scheduler, with its scheme.

    Parameters
    ----------
    text : str
    what : str
        What gave it, for the message.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> checked_address("login1:8786")
    'tcp://login1:8786'
    >>> checked_address("http://login1:8787/status")
    Traceback (most recent call last):
        ...
    neurofetch.errors.UsageError: --scheduler: 'http://login1:8787/status' is no address of a Dask \
scheduler. Nothing was done. It is such as tcp://login1:8786 (not that of its dashboard).
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536:
        given = "this" if "@" in text else repr(text)  # perhaps a password
        msg = (
            f"{what}: {given} is no address of a Dask scheduler. Nothing was done. It is such as "
            "tcp://login1:8786 (not that of its dashboard)."
        )
        raise UsageError(msg)
    return f"{found['scheme'] or 'tcp'}://{found['host']}:{found['port']}"


def scheduler_from_environment(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the address that ``DASK_SCHEDULER_ADDRESS`` has; None where it is not set.

    Raises
    ------
    UsageError
        If it has none.

    Examples
    --------
    >>> scheduler_from_environment({"DASK_SCHEDULER_ADDRESS": "tls://login1:8786"})
    'tls://login1:8786'
    """
    text = (os.environ if environ is None else environ).get(VARIABLE, "").strip()
    return checked_address(text, VARIABLE) if text else None
