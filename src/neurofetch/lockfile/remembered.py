"""What was found out about the files of a data directory, so that none is read twice.

It is a file in the state folder: for each data file its size and time, its hashes, and, where the
file came by a lock, what that lock says of it. A file of another size or time is not the one that
is remembered. Nothing but time depends on it: it may be removed, and who writes it last wins.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import UnsafeNameError
from neurofetch.lockfile.values import origin_problem, spelled
from neurofetch.store.folder import Folder
from neurofetch.store.owner import process_token
from neurofetch.store.partials import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Fact", "read_facts", "write_facts"]

_NAME = "hashes.jsonl"
_FIRST = b'{"neurofetch-hashes": 1}\n'
_LONGEST = 1 << 20
"""Bytes. What is longer is no line of it."""
_log = logging.getLogger("neurofetch")


class Fact(NamedTuple):
    """What is known of a file of this size and time.

    Parameters
    ----------
    size, mtime_ns : int
    hashes : tuple of str
        ``algorithm:hex``, as a lock spells it where it may have it; each was computed from its
        bytes.
    listed : int
        How many of them, the first ones, the lock has that it came by; 0 for none.
    url, key : str
        What that lock says.
    """

    size: int
    mtime_ns: int
    hashes: tuple[str, ...]
    listed: int = 0
    url: str = ""
    key: str = ""

    def knows(self, algorithm: str) -> str:
        """Return the hash of this kind, as a lock spells it; "" where it was not computed."""
        start = f"{algorithm}:"
        return next((one for one in self.hashes if one.startswith(start)), "")

    def joined(self, more: Mapping[str, str]) -> Fact:
        """Return what is known when more hashes are; those of the lock stay the first."""
        new = (one for algorithm, one in more.items() if not self.knows(algorithm))
        return self._replace(hashes=(*self.hashes, *new))


def read_facts(state: Path) -> dict[str, Fact]:
    """Return what is remembered, by path; nothing where that is damaged or cannot be read.

    Parameters
    ----------
    state : Path
        The state folder.
    """
    try:
        with (
            Folder.root(state.parent) as root,
            root.below([state.name]) as folder,
            open(folder.open(_NAME), "rb") as file,
        ):
            if file.readline(len(_FIRST)) != _FIRST:
                return {}
            return dict(_facts(file))
    except (OSError, UnsafeNameError) as error:
        _log.debug("no hashes are remembered: %s", error)
        return {}


def _facts(file: BinaryIO) -> Iterator[tuple[str, Fact]]:
    while line := file.readline(_LONGEST):
        try:
            path, size, mtime_ns, hashes, listed, url, key = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        texts = isinstance(hashes, list) and all(isinstance(one, str) for one in hashes)
        if not texts or not all(isinstance(one, str) for one in (path, url, key)):
            continue
        if not all(type(one) is int for one in (size, mtime_ns, listed)):
            continue
        if listed and origin_problem(url, key):  # whoever may write here, it goes into no lock
            continue
        if hashes and 0 <= listed <= len(hashes) and all(map(spelled, hashes[:listed])):
            yield path, Fact(size, mtime_ns, tuple(hashes), listed, url, key)


def write_facts(state: Path, facts: Mapping[str, Fact]) -> None:
    """Remember what was found out; where that cannot be written, it is found out anew next time.

    Parameters
    ----------
    state : Path
        The state folder; without one, nothing is remembered.
    facts : mapping of str to Fact
        All that is to be remembered from now on, by path.
    """
    if not state.is_dir():
        return
    name = f"{name_of(_NAME)}.{process_token()}.{secrets.token_hex(8)}.tmp"
    try:
        with (
            Folder.root(state.parent) as root,
            root.below([state.name]) as folder,
            folder.below(["partial"], make=True) as drafts,
        ):
            try:
                with open(drafts.create(name), "r+b") as file:
                    file.write(_FIRST)
                    file.writelines(_line(path, facts[path]) for path in sorted(facts))
                    file.flush()
                    drafts.rename(name, folder, _NAME, file=file.fileno())
            except BaseException:
                drafts.remove(name)
                raise
    except (OSError, UnsafeNameError) as error:
        _log.debug("the hashes cannot be remembered: %s", error)


def _line(path: str, fact: Fact) -> bytes:
    return json.dumps([path, *fact]).encode() + b"\n"
