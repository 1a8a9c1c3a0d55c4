"""Other places that have the same bytes: asked, file by file, for what the source does not give.

What a file is, the source's listing says: a digest, or an ETag that is an MD5. Whose server gives
the bytes does not matter then, since they are held against that before the file gets its name. A
file of which nothing tells the content comes from nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from neurofetch._compact import quoted
from neurofetch.errors import (
    InterruptedTransferError,
    MissingRemoteError,
    ProtocolError,
    ServerError,
    UsageError,
    VerificationError,
)
from neurofetch.integrity.checksums import etag_identity, etag_kind
from neurofetch.model import Digest, RemoteFile
from neurofetch.net.connect import Route
from neurofetch.sources.ask import ask
from neurofetch.sources.s3 import S3Source, parse_s3_url
from neurofetch.sources.source import ListedSource, Mirrors, at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from neurofetch.net.client import Client
    from neurofetch.net.retry import Attempts
    from neurofetch.sources.s3 import Bucket
    from neurofetch.sources.source import Level, Source

__all__ = [
    "InBucket",
    "ManyPlaces",
    "Mirror",
    "Nemar",
    "Web",
    "base_of",
    "checked_mirrors",
    "checked_server",
    "content_of",
    "identity_of",
    "mirrors_at",
]

_STRONG = ("md5", "sha256", "gitblob")
"""Digests that tell one content from every other; a CRC tells damage, and no more."""
NEMAR = "https://data.nemar.org"
_LARGEST = 256 << 20
"""Bytes of a manifest, at most."""
_ALGORITHMS = {"md5": "md5", "sha256": "sha256", "git": "gitblob"}
"""What a manifest calls them."""


def checked_mirrors(given: object) -> Mirrors:
    """Return the places that were named, before anything is asked.

    Parameters
    ----------
    given : str, path, or iterable of them, or None

    Raises
    ------
    UsageError
        If one is none, or a directory is not there.
    """
    if given is None:
        return Mirrors()
    one = isinstance(given, str | os.PathLike)
    try:
        every = [given] if one else list(given)  # type: ignore[call-overload]
    except TypeError:
        msg = f"mirrors are places, such as https://… or a folder, not {given!r}. Nothing was done."
        raise UsageError(msg) from None
    folders, servers = [], []
    for place in every:
        text = os.fspath(place) if isinstance(place, str | os.PathLike) else place
        if not isinstance(text, str) or not text.strip():
            msg = f"a mirror is a URL, a folder or nemar, not {place!r}. Nothing was done."
            raise UsageError(msg)
        if server := _checked_nemar(text) or checked_server(text):
            servers.append(server)
        else:
            folders.append(_checked_folder(text))
    return Mirrors(tuple(folders), tuple(servers))


def checked_server(text: str, what: str = "a mirror") -> str:
    """Return a server as it is asked for; "" for what is to be a folder.

    Parameters
    ----------
    text : str
    what : str, optional
        What it is to be, for messages.

    Raises
    ------
    UsageError
        If it looks like a URL that cannot be used.
    """
    text = text.strip()
    name, _, site = text.partition(":")
    if name.lower() in ("http", "https"):  # also where slashes are missing
        return _checked_web(text, text, what)
    if not site.startswith("//"):
        return ""
    if name.lower() == "s3":
        bucket, prefix = parse_s3_url(text)
        return f"s3://{bucket}/{prefix}".rstrip("/")
    msg = (
        f"{_masked(text)!r} cannot be {what}: it is to be https://…, s3://BUCKET/PREFIX or a "
        "folder. Nothing was done."
    )
    raise UsageError(msg)


def _checked_nemar(text: str) -> str:
    """Return NEMAR, maybe at another site; "" for what is something else."""
    name, _, site = text.strip().partition(":")
    if name.lower() != "nemar":
        return ""
    return f"nemar:{_checked_web(site, text, 'a mirror')}" if site else "nemar"


def _checked_web(url: str, given: str, what: str) -> str:
    """Return a plain address, its host as connections know it.

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError:  # a UnicodeError is one
        parts, host, port = urlsplit(""), "", None
    plain = url.isprintable() and not {"?", "#"} & {*url} and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not host or port == 0 or not plain:
        msg = (
            f"{_masked(given)!r} cannot be {what}: it is to be a plain address such as "
            "https://host/folder, without a password and without what stands behind a question "
            "mark. Nothing was done."
        )
        raise UsageError(msg)
    route = Route(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))
    path = "".join(one if one.isascii() and one != " " else quoted(one) for one in parts.path)
    return f"{parts.scheme}://{route.authority}{path}"


def _masked(text: str) -> str:
    """Return a URL without what may be a password or a signature in it."""
    shown, mark, _ = text.partition("?")
    start, at, rest = shown.rpartition("@")
    return (f"{start.partition(':')[0]}://…@{rest}" if at else rest) + (mark and "?…")


def _checked_folder(text: str) -> str:
    folder = os.path.abspath(os.path.expanduser(text))
    if not os.path.isdir(folder):
        what = "that is no folder" if os.path.exists(folder) else "there is no such folder"
        msg = (
            f"{text!r} cannot be a mirror: {what}. Nothing was done. Correct it, "
            "or leave it out; a server is written https://… or s3://…"
        )
        raise UsageError(msg)
    if not os.access(folder, os.R_OK | os.X_OK):
        msg = f"{text!r} cannot be a mirror: you may not read that folder. Nothing was done."
        raise UsageError(msg)
    return folder


def content_of(remote: RemoteFile) -> Digest | None:
    """Return what tells the content of a file from every other; None where nothing does.

    Parameters
    ----------
    remote : RemoteFile

    Examples
    --------
    >>> str(content_of(RemoteFile("a", "", 0, "d41d8cd98f00b204e9800998ecf8427e")))
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    >>> content_of(RemoteFile("a", "", 9, "d41d8cd98f00b204e9800998ecf8427e-2")) is None
    True
    """
    if remote.digest is not None and remote.digest.algorithm in _STRONG:
        return remote.digest
    if remote.size is not None and remote.etag and etag_kind(remote.etag) == "md5":
        return Digest("md5", remote.etag.strip('"').lower())
    return None


def identity_of(remote: RemoteFile) -> str:
    """Return what tells the content, once the whole is at hand; "" where nothing does.

    Besides what `content_of` returns, that is the ETag of an upload in parts: it is computed again
    from a file, with the likely sizes of its parts.

    Parameters
    ----------
    remote : RemoteFile
    """
    content = content_of(remote)
    if content is not None:
        return str(content)
    return etag_identity(remote.etag) if remote.size is not None else ""


class Mirror(Protocol):
    """A place that may have a file."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def is_at(self, server: str) -> bool:
        """Whether it has files at a server.

        Parameters
        ----------
        server : str
            The host, and the port where it is not the usual one.
        """
        ...

    def offer(self, content: Digest, path: str) -> str:
        """Return the URL at which it may have a content; "" where it has not.

        Parameters
        ----------
        content : Digest
        path : str
            Of the file, below the root of the data set.

        Raises
        ------
        ServerError
            If it must be asked, and cannot be.
        """
        ...


class Web:
    """A copy of a data set on a web server: every file under its path.

    Parameters
    ----------
    base : str
        The URL of the data set's root.
    """

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/") + "/"
        self.name = base
        self._server = urlsplit(base).netloc

    def is_at(self, server: str) -> bool:
        """Whether it has files at a server."""
        return server == self._server

    def offer(self, content: Digest, path: str) -> str:  # noqa: ARG002
        """Return the URL at which the file of this path would be."""
        return self._base + quoted(path)


class InBucket:
    """A copy of a data set in a bucket: every file under its path.

    Parameters
    ----------
    source : S3Source
    prefix : str
        The key at which the root of the data set is; it ends in no slash.
    """

    def __init__(self, source: S3Source, prefix: str) -> None:
        self._source = source
        self._prefix = prefix
        self.name = f"s3://{source.bucket.name}/{prefix}".rstrip("/")
        self._base = ""
        self._lock = threading.Lock()

    def is_at(self, server: str) -> bool:
        """Whether it has files at a server."""
        return server == urlsplit(self._source.bucket.base).netloc

    def offer(self, content: Digest, path: str) -> str:  # noqa: ARG002
        """Return the URL at which the file of this path would be."""
        with self._lock:  # the first asks in which region it is
            self._base = self._base or base_of(self._source, self._prefix)
        return self._base + quoted(path)


def base_of(source: S3Source, prefix: str) -> str:
    """Return the address of a place in a bucket, which ends in a slash.

    AWS tells the region of a bucket when it is listed, and redirects nobody who asks for a file.

    Parameters
    ----------
    source : S3Source
    prefix : str
    """
    prefix = f"{prefix.rstrip('/')}/".lstrip("/")
    if source.bucket.endpoint is None:
        with contextlib.suppress(ServerError):  # it need not be listed to give out its files
            source.first_page(prefix)
    return source.bucket.url(prefix)


class Nemar:
    """NEMAR's copy of a data set of OpenNeuro (EEG, MEG and iEEG): by content, whatever the name.

    Facts: ``https://data.nemar.org/on<digits>/`` says the newest version, its ``manifest.json`` the
    files, each with its checksum.

    Parameters
    ----------
    client : Client
    attempts : Attempts
    accession : str
        Of OpenNeuro.
    site : str
    """

    def __init__(
        self, client: Client, attempts: Attempts, accession: str, site: str = NEMAR
    ) -> None:
        self._client = client
        self._attempts = attempts
        self._place = f"{site.rstrip('/')}/on{accession.removeprefix('ds')}"
        self._servers = {urlsplit(site).netloc}
        self._urls: dict[str, str] | None = None
        self._problem: ServerError | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"NEMAR ({self._place})"

    def is_at(self, server: str) -> bool:
        """Whether it has files at a server: the manifest may name others."""
        return server in self._servers

    def offer(self, content: Digest, path: str) -> str:  # noqa: ARG002
        """Return the URL of a content, where the manifest has it.

        Raises
        ------
        ServerError
            If there is no manifest.
        """
        with self._lock:  # the first asks, and the others wait for what it learns
            if self._problem is not None:
                raise self._problem
            if self._urls is None:
                try:
                    self._urls = self._manifest()
                    self._servers |= {urlsplit(url).netloc for url in self._urls.values()}
                except InterruptedTransferError:
                    raise
                except ServerError as error:
                    self._problem = error
                    raise
        return self._urls.get(str(content), "")

    def _manifest(self) -> dict[str, str]:
        about = self._json(f"{self._place}/")
        version = about.get("latest") if isinstance(about, dict) else None
        if not isinstance(version, str) or not re.fullmatch(r"[\w.-]+", version, re.ASCII):
            raise self._senseless("which version is the newest")
        rows = self._json(f"{self._place}/{version}/manifest.json")
        rows = rows.get("files") if isinstance(rows, dict) else rows
        if not isinstance(rows, list):
            raise self._senseless("which files it has")
        return dict(filter(None, map(_row, rows)))

    def _senseless(self, what: str) -> ProtocolError:
        return ProtocolError(f"{self.name} does not say {what}")

    def _json(self, url: str) -> object:
        page = RemoteFile(url, url, None)
        source = ListedSource([page], url)

        def fetch() -> bytes:
            with ask(self._client, source, page, {}) as response:
                return response.read(_LARGEST)

        try:
            return json.loads(self._attempts.run(fetch))
        except (ValueError, RecursionError) as error:
            msg = f"{self.name}: {url} is no JSON"
            raise ProtocolError(msg) from error


def _row(row: object) -> tuple[str, str] | None:
    """Return the content that a row of a manifest tells of, and its address."""
    if not isinstance(row, dict):
        return None
    algorithm = _ALGORITHMS.get(str(row.get("checksum_algorithm")))
    value = row.get("checksum")
    urls = [row.get("bytes_url"), row.get("url")]
    url = next((one for one in urls if isinstance(one, str) and _is_address(one)), "")
    if algorithm is None or not isinstance(value, str) or not url:
        return None
    return f"{algorithm}:{value.lower()}", url


def _is_address(text: str) -> bool:
    """Whether a text is an address that can be asked."""
    try:
        parts = urlsplit(text)
        known = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = text.isprintable() and " " not in text and "@" not in parts.netloc
    return known and plain and bool(parts.hostname) and text.startswith(("http://", "https://"))


def mirrors_at(
    servers: Iterable[str],
    client: Client,
    attempts: Attempts,
    home: str,
    in_bucket: Callable[[str], Bucket],
) -> list[Mirror]:
    """Return the servers that were named.

    Parameters
    ----------
    servers : iterable of str
        As `checked_mirrors` returns them.
    client : Client
    attempts : Attempts
    home : str
        What names the data set, where that is no bucket: ``openneuro:ds000246``.
    in_bucket : callable
        Returns where the bucket of a name is.

    Raises
    ------
    UsageError
        If NEMAR is named, and the data set is not of OpenNeuro.
    """
    found: list[Mirror] = []
    for server in servers:
        if server == "nemar" or server.startswith("nemar:"):
            accession = home.partition(":")[2]
            if not home.startswith("openneuro:"):
                msg = (
                    "nemar can be a mirror of data sets of OpenNeuro, such as openneuro:ds000246. "
                    "Nothing was done."
                )
                raise UsageError(msg)
            found.append(Nemar(client, attempts, accession, server.partition(":")[2] or NEMAR))
        elif server.startswith("s3://"):
            bucket, prefix = parse_s3_url(server)
            source = S3Source(client, in_bucket(bucket), attempts)
            found.append(InBucket(source, prefix.rstrip("/")))
        else:
            found.append(Web(server))
    return found


class ManyPlaces:
    """A source, and other places that have the same bytes. Any number of threads may call it.

    Parameters
    ----------
    source : Source
    mirrors : sequence of Mirror
        In the order in which they are asked.
    path_of : callable
        Returns the path of a key, below the root of the data set.
    """

    def __init__(
        self, source: Source, mirrors: Sequence[Mirror], path_of: Callable[[str], str]
    ) -> None:
        self._source = source
        self._mirrors = mirrors
        self._path_of = path_of
        self._first: dict[str, RemoteFile] = {}
        self._at: dict[str, tuple[int, str]] = {}
        """By key: at which mirror a file is asked for now, and its address there."""
        self._errors: dict[str, list[tuple[str, BaseException]]] = {}

    @property
    def name(self) -> str:
        """What the source is called in messages."""
        return self._source.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a plan should know of the listing so far."""
        return self._source.notes

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return what the source lists below a prefix."""
        return self._source.walk(prefix)

    def level(self, prefix: str) -> Level:
        """Return what the source lists in a folder."""
        return self._source.level(prefix)

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:
        """Return the URL at which a file is to be had right now."""
        there = self._at.get(remote.key)
        return there[1] if there else self._source.address(remote, fresh=fresh)

    def signed(self, remote: RemoteFile) -> bool:
        """Whether the address of a file is signed."""
        return remote.key not in self._at and self._source.signed(remote)

    def at_once(self, remote: RemoteFile) -> int | None:
        """Return how many files of its kind may be asked for at once; None for no bound."""
        return None if remote.key in self._at else at_once(self._source, remote)

    # -- the other places --------------------------------------------------------------------

    def hurry(self, files: Iterable[RemoteFile]) -> Callable[[str], bool] | None:
        """Return which servers are to be waited for briefly; None for none.

        That is every one but the last. Where nothing tells the content of one of the files, only
        the source has it, and a network that is away for a minute is to cost no file.

        Parameters
        ----------
        files : iterable of RemoteFile
            All that are to come.
        """
        if any(content_of(file) is None for file in files):
            return None
        return lambda server: not self._mirrors[-1].is_at(server)

    def goes_on(self, remote: RemoteFile) -> bool:
        """Whether there are places that were not asked, for this file or for others."""
        return remote.key not in self._at or self._at[remote.key][0] + 1 < len(self._mirrors)

    def may_go_on(self, remote: RemoteFile) -> bool:
        """Whether this file may be asked for at a further place."""
        return self.goes_on(remote) and content_of(remote) is not None

    def is_elsewhere(self, remote: RemoteFile) -> bool:
        """Whether a file is asked for at another place than the source."""
        return remote.key in self._at

    def place_of(self, remote: RemoteFile) -> str:
        """Return where a file is asked for."""
        there = self._at.get(remote.key)
        return self._mirrors[there[0]].name if there else self._source.name

    def failed(self, remote: RemoteFile) -> Sequence[tuple[str, BaseException]]:
        """Return the places that did not give a file, and why; the source is the first."""
        return self._errors.get(remote.key, ())

    def elsewhere(self, remote: RemoteFile, error: BaseException) -> RemoteFile | None:
        """Return a file as it is to be asked for at the next place; None where there is none.

        Only one thread at a time has a file.

        Parameters
        ----------
        remote : RemoteFile
            As it was asked for last.
        error : Exception
            Why it did not come.
        """
        if not isinstance(error, ServerError | VerificationError):
            return None
        first = self._first.setdefault(remote.key, remote)
        content = content_of(first)
        if content is None:
            return None
        number = self._at[remote.key][0] + 1 if remote.key in self._at else 0
        self._errors.setdefault(remote.key, []).append((self.place_of(remote), error))
        for place in range(number, len(self._mirrors)):
            mirror = self._mirrors[place]
            try:
                url = mirror.offer(content, self._path_of(remote.key))
            except InterruptedTransferError:
                raise
            except ServerError as problem:
                self._errors[remote.key].append((mirror.name, problem))
                continue
            if url:
                self._at[remote.key] = place, url
                return _pinned(first, content, url)
            missing = MissingRemoteError("it has no file of this content")
            self._errors[remote.key].append((mirror.name, missing))
        return None


def _pinned(remote: RemoteFile, content: Digest, url: str) -> RemoteFile:
    """Return a file that is known by its content alone; what the source said stays remembered."""
    return replace(
        remote,
        url=url.partition("?")[0],
        etag=None,
        digest=content,
        ranges=True,
        storage_class="",
        listed=remote.listed or remote.etag or "",
    )
