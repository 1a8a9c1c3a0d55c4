"""What every source offers: it lists files, and gives the address of each when it is asked for.

A source is a server of files, or a part of one: a bucket, an access service that hands out signed
addresses, a list of files whose addresses are known already. `tests/sources/contract.py` holds each
of them to what is written here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from neurofetch.model import RemoteFile

__all__ = [
    "Level",
    "ListedSource",
    "Mirrors",
    "PagedSource",
    "Source",
    "at_once",
    "is_pinned",
    "level_of",
]


class Level(NamedTuple):
    """One level of a tree: its files, and the prefixes of its folders (each ends in "/")."""

    files: list[RemoteFile]
    folders: list[str]


def level_of(files: Iterable[RemoteFile], prefix: str) -> Level:
    """Return the files and folders directly below a prefix.

    Parameters
    ----------
    files : iterable of RemoteFile
        All whose keys begin with it.
    prefix : str
    """
    direct: list[RemoteFile] = []
    folders: dict[str, None] = {}
    for file in files:
        name, slash, _ = file.key[len(prefix) :].partition("/")
        if slash:
            folders[f"{prefix}{name}/"] = None
        else:
            direct.append(file)
    return Level(direct, list(folders))


class Source(Protocol):
    """Where files come from. Any number of threads may call it.

    Listing raises `ServerError` (or a subclass) when the server cannot be asked, and never returns
    a part of the list; `InterruptedTransferError` when the client was closed meanwhile.
    """

    @property
    def name(self) -> str:
        """What the source is called in messages: a URL without a signature, or a word."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a plan should know of the listing so far."""
        ...

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`, sorted by key, each key once."""
        ...

    def level(self, prefix: str) -> Level:
        """Return the files and folders directly below `prefix` ("" or ending in "/")."""
        ...

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:
        """Return the URL at which a file is to be had right now.

        Parameters
        ----------
        remote : RemoteFile
            As it was listed.
        fresh : bool
            The address that this thread was given last does not hold any more: give another.

        Raises
        ------
        ServerError
            If there is no address.
        """
        ...

    def signed(self, remote: RemoteFile) -> bool:
        """Whether the address of a file is signed: for GET alone, and for a while.

        Then access was granted, so a refusal is a failure, and is tried once more with a fresh
        address.
        """
        ...


class PagedSource(Protocol):
    """A source that can say what its first page holds; see `Source`."""

    base: str
    """The prefix at which the data set begins: names are kept relative to it."""

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`."""
        ...

    def level(self, prefix: str) -> Level:
        """Return the files and folders whose names begin so, none of those in the folders."""
        ...

    def first_page(self, prefix: str) -> tuple[list[RemoteFile], bool]:
        """Return the first files whose keys begin with `prefix`, and whether they are all."""
        ...


def is_pinned(source: Source, remote: RemoteFile) -> bool:
    """Whether a file must be what it is known to be: it is asked for at another place.

    Parameters
    ----------
    source : Source
        One that has such files says so by a method ``is_elsewhere``.
    remote : RemoteFile
    """
    elsewhere = getattr(source, "is_elsewhere", None)
    return elsewhere is not None and bool(elsewhere(remote))


def at_once(source: Source, remote: RemoteFile) -> int | None:
    """Return how many files of the kind of this one may be asked for at once; None for no bound.

    Parameters
    ----------
    source : Source
        One that has such files says so by a method of this name.
    remote : RemoteFile
    """
    bound = getattr(source, "at_once", None)
    return None if bound is None else bound(remote)


class Mirrors(NamedTuple):
    """Other places, as a user named them.

    Parameters
    ----------
    folders : tuple of str
        Directories on this machine.
    servers : tuple of str
        ``https://…``, ``s3://BUCKET/PREFIX`` or ``nemar``.
    """

    folders: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()


class ListedSource:
    """Files whose list, with addresses, came from elsewhere: an API's records, a lock file.

    Parameters
    ----------
    files : iterable of RemoteFile
        One that appears twice counts once.
    name : str
        For messages.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, files: Iterable[RemoteFile], name: str = "a list of files") -> None:
        self._files = {file.key: file for file in files}
        self._name = name

    @property
    def name(self) -> str:
        """What the source is called in messages."""
        return self._name

    def remake(self, _: object = None) -> Callable[..., ListedSource]:
        """Return what makes it again in another process: each file brings its own address."""
        return partial(_empty, self._name)

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`, sorted by key."""
        return [self._files[key] for key in sorted(self._files) if key.startswith(prefix)]

    def level(self, prefix: str) -> Level:
        """Return the files and folders directly below `prefix`."""
        return level_of(self.walk(prefix), prefix)

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:  # noqa: ARG002
        """Return the URL of a file, which always holds."""
        return remote.url

    def signed(self, remote: RemoteFile) -> bool:  # noqa: ARG002
        """Return False: the addresses are plain."""
        return False


def _empty(name: str, *_: object) -> ListedSource:
    return ListedSource((), name)
