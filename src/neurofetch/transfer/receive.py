"""Take the body of a response in gulps: large on a fast line, soon written on a slow one.

What lies in a buffer when a process is killed is asked for again. So a buffer is written when it is
full, or when what is in it has been coming for a while; and what came before a connection broke is
written, too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurofetch.errors import TransientError
    from neurofetch.net.response import Response

__all__ = ["gulps", "tell_progress"]

_FULL = 256 * 1024
"""Bytes; a gulp of so many, or more, is given at once: with 32 connections a kill costs some 4 MB
of what was received. One receive brings that much where the processor is what is slow."""
_QUICK = 0.015
"""Seconds; a gulp that came sooner is followed by one twice as large, up to the buffer. What is in
it is lost when the process is killed, so on slower connections it stays small."""
_SOON, _ENOUGH = 0.03, 64 * 1024
"""Seconds after which a gulp of that many bytes is given."""
_LATE = 1.0
"""Seconds after which it is given, however little it is."""
_PROGRESS = 4 * 1024
"""Bytes; an attempt that brings less is a failure all the same: else a server that lets go a byte
at a time would be asked for ever."""


def gulps(response: Response, buffer: memoryview, left: int | None = None) -> Iterator[memoryview]:
    """Give the bytes of a body, in order, as they come.

    Parameters
    ----------
    response : Response
    buffer : memoryview
        Is filled again and again: a gulp is valid until the next is asked for.
    left : int, optional
        Bytes, at most; by default all of the body.

    Yields
    ------
    memoryview

    Raises
    ------
    NeurofetchError
        As `Response.readinto`, after what came before was given.
    """
    size = min(_FULL, len(buffer))
    while left is None or left > 0:
        view = buffer[: size if left is None else min(left, size)]
        began = time.monotonic()
        filled, problem = _filled(response, view, began)
        quick = filled == size and time.monotonic() - began < _QUICK
        size = min(2 * size, len(buffer)) if quick else min(_FULL, len(buffer))
        if filled:
            yield view[:filled]
        if problem is not None:
            raise problem
        if not filled:
            return
        if left is not None:
            left -= filled


def _filled(response: Response, view: memoryview, began: float) -> tuple[int, BaseException | None]:
    """Fill the front of a buffer; return how much came, and what ended it too early."""
    filled = 0
    while filled < len(view):
        try:
            count = response.readinto(view[filled:])
        except BaseException as error:  # noqa: BLE001 - raised by the caller, a gulp later
            return filled, error
        if not count:
            break
        filled += count
        if filled >= _FULL:
            break
        took = time.monotonic() - began
        if took >= _LATE or (took >= _SOON and filled >= _ENOUGH):
            break
    return filled, None


def tell_progress(error: TransientError, came: int) -> None:
    """Say in an error how much its attempt brought that is kept, where that is progress."""
    if came >= _PROGRESS:
        error.progress = came
