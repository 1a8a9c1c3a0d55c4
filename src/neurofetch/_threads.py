"""Threads: as many as the system gives, and small; several calls at once.

Batch systems limit the address space of a job (``ulimit -v``, ``h_vmem``), and many machines the
threads of a user (``ulimit -u``). A thread takes 8 MB of address space for its stack, and 64 MB for
a heap of its own, whatever it uses of them. So there are fewer threads where there is less room; at
worst none, and the work is done in the calling thread.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["few_collections", "room_for_threads", "small_stacks", "start", "started", "together"]

T = TypeVar("T")

_STACK = 1 << 20
"""Bytes. Nothing here recurses; musl gives 128 kB, glibc 8 MB."""
_EACH = _STACK + (64 << 20)
"""Bytes of address space that a thread may take: its stack, and the heap that glibc gives it."""
_REST = 256 << 20
"""Bytes of address space that threads leave for everything else."""
_stack_size = threading.Lock()
if hasattr(os, "register_at_fork"):  # else a process forked meanwhile would wait for it for ever
    os.register_at_fork(
        before=_stack_size.acquire,
        after_in_parent=_stack_size.release,
        after_in_child=_stack_size.release,
    )

_BEAT = 0.25
_NEW = 50_000
"""New objects after which garbage is looked for, while very many are made."""


def start(target: Callable[[], object], count: int, name: str) -> list[threading.Thread]:
    """Start threads that nobody waits for at the end of the program; return them.

    There are fewer than asked for, or none, where the system gives no more.

    Parameters
    ----------
    target : callable
        What each of them calls.
    count : int
    name : str
        Their names are this, and a number.
    """
    threads: list[threading.Thread] = []
    for number in range(count):
        thread = started(target, f"{name}-{number}", others=number)
        if thread is None:
            break
        threads.append(thread)
    return threads


def started(target: Callable[[], object], name: str, *, others: int = 0) -> threading.Thread | None:
    """Start one thread that nobody waits for at the end of the program.

    Parameters
    ----------
    target : callable
    name : str
    others : int
        Threads that do the same already. Without any, it is started also where there is little
        room.

    Returns
    -------
    Thread or None
        None where the system gives no more.
    """
    if others and not room_for_threads():
        return None
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        with small_stacks():
            thread.start()
    except (RuntimeError, MemoryError):  # "can't start new thread"
        return None
    return thread


@contextlib.contextmanager
def small_stacks() -> Iterator[None]:
    """Start threads with a stack of 1 MB; those of the rest of the program keep theirs."""
    with _stack_size:
        before = threading.stack_size(_STACK)
        try:
            yield
        finally:
            threading.stack_size(before)


def room_for_threads() -> int:
    """Return how many more threads the address space has room for."""
    limit = _address_space()
    if limit is None:
        return 1 << 16
    try:
        with open("/proc/self/statm", "rb") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        used = limit // 4  # not told
    return max(0, (limit - used - _REST) // _EACH)


class _Collections:
    """Who wants few collections now, and the thresholds before the first of them did."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.many = 0
        self.before = gc.get_threshold()


_collections = _Collections()


@contextlib.contextmanager
def few_collections() -> Iterator[None]:
    """Look for garbage in rings more seldom: while a million values are made, there is none.

    The collector looks through what is new each 700 new objects, and often through all there is.
    Here it does so each 50,000. What the program had set is set again at the end.
    """
    state = _collections
    with state.lock:
        if not state.many:
            state.before = first, second, third = gc.get_threshold()
            if 0 < first < _NEW:
                gc.set_threshold(_NEW, second, third)
        state.many += 1
    try:
        yield
    finally:
        with state.lock:
            state.many -= 1
            if not state.many:
                gc.set_threshold(*state.before)


def _address_space() -> int | None:
    """Return the limit of this process's address space; None where there is none."""
    try:
        import resource  # noqa: PLC0415 - not on every system

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    except (ImportError, AttributeError, OSError, ValueError):
        return None
    return None if limit < 0 else limit


def together(
    calls: Iterable[Callable[[], T]],
    threads: int,
    meanwhile: Callable[[], None] | None = None,
) -> list[T]:
    """Return what these calls return, in their order.

    The first error is raised at once, as is an interrupt; calls that have not begun by then are
    forgotten, and those that have are left to end by themselves.

    Parameters
    ----------
    calls : iterable of callable
    threads : int
        At most so many calls run at once.
    meanwhile : callable, optional
        Called in the calling thread a few times a second until all have returned.

    Examples
    --------
    >>> together([lambda: 1, lambda: 2], threads=2)
    [1, 2]
    """
    queue = deque(enumerate(calls))
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    total, over = len(queue), threading.Event()

    def work() -> None:
        while True:
            try:
                number, call = queue.popleft()
            except IndexError:
                return
            try:
                results[number] = call()
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                errors.append(error)
                queue.clear()
            if errors or len(results) == total:
                over.set()

    if not start(work, min(threads, total), "neurofetch-call"):
        work()
    try:
        while total and not over.wait(_BEAT if meanwhile else None):
            if meanwhile:
                meanwhile()
    finally:
        queue.clear()
    if errors:
        raise errors[0]
    return [results[number] for number in range(total)]
