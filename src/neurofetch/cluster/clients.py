"""Clients that a task leaves to the next one in the same process: their connections stay open.

A task of a few hundred small files is over in a moment. To open dozens of connections anew for each
(and with TLS, to agree on keys for each) would cost as much as the files.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.net.client import Client
from neurofetch.net.settings import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "close_clients", "lent"]

_SECONDS = 15.0
"""So long an idle client is kept: servers close connections after about as much."""


class Line(NamedTuple):
    """How servers are reached, as far as the call decides it and not the machine.

    Parameters
    ----------
    connect_timeout, read_timeout, patience : float
        Seconds.
    limit_rate : float or None
        Bytes a second of this task.
    at_once : int or None
        Requests of this task under way at once, at most; None for no bound.
    """

    connect_timeout: float
    read_timeout: float
    patience: float
    limit_rate: float | None = None
    at_once: int | None = None

    def network(self) -> Network:
        """Return the settings on this machine.

        Raises
        ------
        ConfigError
            If its environment is wrong.
        """
        return replace(
            Network.from_environment(),
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            patience=self.patience,
            limit_rate=self.limit_rate,
            offline=False,
        )


class _Idle(NamedTuple):
    """A client that nobody uses now."""

    client: Client
    since: float


class _Shelf:
    """The clients that are idle, by run and line."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: dict[tuple[str, Line], list[_Idle]] = {}
        self.sweeping = False


_shelf = _Shelf()
_of_the_parent: list[_Shelf] = []


def _forget() -> None:
    """Leave the connections of the parent to it: two processes cannot use one."""
    global _shelf  # noqa: PLW0603 - a lock may be held by a thread that is not here
    _of_the_parent.append(_shelf)  # kept: to be collected would be to be closed
    _shelf = _Shelf()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def lent(run: str, line: Line) -> Iterator[Client]:
    """Give a client to one task, which leaves it to the next unless it closes it.

    Parameters
    ----------
    run : str
        Clients are not shared between runs.
    line : Line
        How servers are reached; a client of another one will not do.

    Raises
    ------
    ConfigError
        If the environment of this machine is wrong.
    """
    key = (run, line)
    with _shelf.lock:
        waiting = _shelf.idle.get(key)
        found = waiting.pop().client if waiting else None
    client = found or Client(line.network(), at_once=line.at_once)
    try:
        yield client
    except BaseException:
        client.close()
        raise
    if client.closed:
        return
    with _shelf.lock:
        _shelf.idle.setdefault(key, []).append(_Idle(client, time.monotonic()))
        start = not _shelf.sweeping
        _shelf.sweeping = True
    if start:
        threading.Thread(target=_sweep, name="neurofetch-clients", daemon=True).start()


def close_clients(run: str | None = None) -> None:
    """Close the idle clients of a run; of all runs, where none is named.

    Parameters
    ----------
    run : str, optional
    """
    with _shelf.lock:
        keys = [key for key in _shelf.idle if run in (None, key[0])]
        found = [idle for key in keys for idle in _shelf.idle.pop(key)]
    for idle in found:
        idle.client.close()


def _sweep() -> None:
    """Close what nobody took for a while; end once there is nothing."""
    while True:
        time.sleep(_SECONDS / 3)
        until = time.monotonic() - _SECONDS
        with _shelf.lock:
            old = [one for some in _shelf.idle.values() for one in some if one.since < until]
            for key, some in list(_shelf.idle.items()):
                _shelf.idle[key] = [one for one in some if one.since >= until]
                if not _shelf.idle[key]:
                    del _shelf.idle[key]
            ends = not _shelf.idle
            _shelf.sweeping = not ends
        for idle in old:
            idle.client.close()
        if ends:
            return


atexit.register(close_clients)
