"""Where the files of a lock may be had: at the addresses in it, at others, in a directory."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from neurofetch._compact import quoted
from neurofetch._shown import shown
from neurofetch.errors import UsageError
from neurofetch.sources.mirrors import base_of, checked_server
from neurofetch.sources.s3 import Bucket, S3Source, parse_s3_url
from neurofetch.store.folder import given_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from neurofetch.credentials.access import Access
    from neurofetch.credentials.signer import Signer
    from neurofetch.lockfile.values import Head, LockedFile
    from neurofetch.net.client import Client
    from neurofetch.net.retry import Attempts

__all__ = ["AsLocked", "Directory", "Place", "Web", "checked_places", "opened", "sign_addresses"]

_VERSION = "versionId"


class Place(Protocol):
    """A place that may have the files of a lock."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def url(self, file: LockedFile) -> str:
        """Return where a file would be; "" where it cannot be there.

        Parameters
        ----------
        file : LockedFile
        """
        ...


@dataclass(frozen=True, slots=True)
class AsLocked:
    """The addresses in the lock.

    Parameters
    ----------
    latest : bool
        Without the version of the object: a bucket may have dropped that one, and still have the
        same bytes.
    """

    latest: bool = False

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "the newest version there" if self.latest else "the address in the lock"

    def url(self, file: LockedFile) -> str:
        """Return the address in the lock; without its version, where it has one."""
        if not self.latest:
            return file.url
        parts = urlsplit(file.url)
        return urlunsplit(parts._replace(query="")) if _VERSION in parts.query else ""


@dataclass(frozen=True, slots=True)
class Web:
    """A base address of a server, or of a bucket, below which files lie as in the data set.

    Parameters
    ----------
    name : str
        As the user named it.
    base : str
        What names are appended to; it ends in a slash.
    prefix : str
        What the keys of the data set begin with.
    """

    name: str
    base: str
    prefix: str

    def url(self, file: LockedFile) -> str:
        """Return the address of the file's name in the data set."""
        return self.base + quoted(_name(file, self.prefix))


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory on a disk, with the files under the paths that the lock has.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def name(self) -> str:
        """Where it is."""
        return str(self.path)

    def url(self, file: LockedFile) -> str:
        """Return an address for the plan; nobody is asked for it."""
        return f"file://{quoted(str(self.path / file.path))}"


def _name(file: LockedFile, prefix: str) -> str:
    """Return the name of a file in its data set, as its server has it."""
    return file.key.removeprefix(prefix) if file.key else file.path


def checked_places(given: object, root: Path) -> list[str | Path]:
    """Return what a user named as places, before any server is asked.

    Parameters
    ----------
    given : object
        One place or several: a URL, ``s3://BUCKET/PREFIX``, or a directory.
    root : Path
        The data directory, which is none of them.

    Raises
    ------
    UsageError
        If one is none of these, or not there.
    """
    several = [given] if isinstance(given, str | os.PathLike) else given
    found: list[str | Path] = []
    for one in several if isinstance(several, list | tuple | set) else [several]:
        if not isinstance(one, str | os.PathLike):
            msg = f"a place is a URL or a directory, not {one!r} ({type(one).__name__})."
            raise UsageError(f"{msg} Nothing was done.")
        text = os.fspath(one)
        server = checked_server(text, "a place") if isinstance(text, str) else ""
        found.append(server or _checked_directory(text, root))
    return found


def _checked_directory(text: str, root: Path) -> Path:
    path = given_path(text)
    if not path.is_dir():
        msg = f"there is no directory {shown(str(path))}, which was named as a place for the files"
        raise UsageError(f"{msg}. Nothing was done. Check the path.")
    if root.exists() and os.path.samefile(path, root):
        msg = f"{shown(str(path))} is the data directory itself, and cannot be where files are from"
        raise UsageError(f"{msg}. Nothing was done. Leave it out.")
    return path


def opened(
    named: Iterable[str | Path],
    head: Head,
    client: Client,
    attempts: Attempts,
    *,
    access: Access,
    signer: Signer | None = None,
) -> list[Place]:
    """Return the places in which files are looked for, in this order; the lock's own are the last.

    Parameters
    ----------
    named : iterable of str or Path
        What `checked_places` returned.
    head : Head
    client, attempts
        To ask a bucket in which region it is.
    access : Access
        How buckets are asked.
    signer : Signer, optional
        What `access` signs with.
    """
    found: list[Place] = []
    location = access.location()
    for one in named:
        if not isinstance(one, str):
            found.append(Directory(one))
        elif one.lower().startswith("s3://"):
            bucket, prefix = parse_s3_url(one)
            place = Bucket(bucket, location.region, location.endpoint)
            source = S3Source(client, place, attempts, signer=signer)
            found.append(Web(one, base_of(source, prefix), head.base))
        else:
            found.append(Web(one, one.rstrip("/") + "/", head.base))
    return [*found, AsLocked(), AsLocked(latest=True)]


def sign_addresses(
    urls: Iterable[str], head: Head, client: Client, access: Access, signer: Signer
) -> None:
    """Sign what is asked at the addresses in a lock, where they are of the bucket it tells of.

    A lock comes from somebody else. So credentials go to the server that the user named, or to
    AWS for the bucket of the data set, and to no other address that stands in it.

    Parameters
    ----------
    urls : iterable of str
    head : Head
    client : Client
    access : Access
    signer : Signer
    """
    from neurofetch.credentials.signer import server_of  # noqa: PLC0415 - signed runs alone

    endpoint = access.location().endpoint
    if endpoint:
        client.sign_for(server_of(endpoint), signer)
        return
    bucket = head.source.removeprefix("s3://").partition("/")[0]
    starts = {tuple(url.partition("?")[0].split("/", 4)[:4]) for url in urls if bucket and url}
    for below in {_bucket_of("/".join(start), bucket) for start in starts} - {""}:
        client.sign_for(below, signer)


def _bucket_of(url: str, bucket: str) -> str:
    """Return below which address a bucket is at AWS, if a URL is of it; else "".

    Many buckets share a server of AWS, where their names are in the path.

    Examples
    --------
    >>> _bucket_of("https://lab.s3.amazonaws.com/sub-01", "lab")
    'https://lab.s3.amazonaws.com/'
    >>> _bucket_of("https://s3.amazonaws.com/lab", "lab")
    'https://s3.amazonaws.com/lab/'
    >>> _bucket_of("https://s3.amazonaws.com/other", "lab")
    ''
    """
    scheme, _, rest = url.partition("://")
    server, _, first = rest.partition("/")
    root = f"https://{server}/"
    for below in (root, f"{root}{bucket}/" if first == bucket else ""):
        with contextlib.suppress(UsageError):  # an address of another kind
            if scheme == "https" and below and parse_s3_url(f"{below}x") == (bucket, "x"):
                return below
    return ""
