"""Where opened files come from: one client for all of them in a process, and a source for each URL.

`source_of` is the one place where it is decided whom to ask. What it returns looks up one file,
lists one level, and knows the address of each file; all else is the same for every kind of URL.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import math
import os
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from neurofetch._version import __version__
from neurofetch.credentials.access import Access
from neurofetch.errors import (
    MissingRemoteError,
    NothingMatchedError,
    ProtocolError,
    RefusedError,
    ServerError,
    UnknownValueError,
    UsageError,
)
from neurofetch.model import RemoteFile
from neurofetch.net.client import Client
from neurofetch.net.refusals import PORTAL
from neurofetch.net.retry import Attempts, RetryRules
from neurofetch.net.settings import Network
from neurofetch.opening.forks import ForkingLock
from neurofetch.sources.ask import ask_first, look, renewed
from neurofetch.sources.etag import read_etag
from neurofetch.sources.openneuro import OpenNeuroSource, openneuro_site
from neurofetch.sources.openneuro_address import Address as DatasetAddress
from neurofetch.sources.s3 import Bucket, S3Source
from neurofetch.sources.source import Level, ListedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.opening.address import Address
    from neurofetch.sources.source import Source

__all__ = ["Found", "Origin", "Reach", "source_of"]

S = TypeVar("S")

_PATIENCE = 60.0
"""Seconds to wait for a network that is away, where nobody said how long: somebody sits there."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How files are reached.

    Parameters
    ----------
    network : Network
    rules : RetryRules
    region : str or None
        Of a bucket; None for the one of the environment.
    access : Access
        Whose credentials sign what buckets are asked, and where they are.
    """

    network: Network
    rules: RetryRules = field(default_factory=RetryRules)
    region: str | None = None
    access: Access = field(default_factory=Access)

    @classmethod
    def from_environment(
        cls,
        patience: float | None = None,
        region: str | None = None,
        *,
        access: Access | None = None,
        offline: bool = False,
    ) -> Reach:
        """Return what the environment asks for.

        Parameters
        ----------
        patience : float, optional
            Seconds to wait for a network that is away; by default ``NEUROFETCH_PATIENCE``, or a
            minute.
        region : str, optional
        access : Access, optional
            Whose credentials sign, and where buckets are; by default nobody's.
        offline : bool
            Nothing may be asked.
        """
        network = Network.from_environment()
        if patience is None:
            patience = network.patience if os.environ.get("NEUROFETCH_PATIENCE") else _PATIENCE
        network = replace(network, patience=patience, offline=offline or network.offline)
        return cls(network, region=region, access=access or Access())

    def client(self) -> Client:
        """Return the client of this process for these settings."""
        return _clients.of(self.network, self.access)

    def attempts(self) -> Attempts:
        """Return attempts for one more thing to ask; what was given up before is forgotten."""
        outages = self.client().outages
        outages.begin_anew()
        return Attempts(self.rules, outages=outages)


class _Clients:
    """The clients of this process: one for each way to reach servers that was asked for."""

    def __init__(self) -> None:
        self._made: list[tuple[Access, Client]] = []
        self._lock = ForkingLock()

    def of(self, network: Network, access: Access) -> Client:
        with self._lock:
            for whose, client in self._made:
                if whose == access and client.network == network and not client.closed:
                    return client
            client = Client(network, f"neurofetch/{__version__}")
            client.may_sign = True
            self._made.append((access, client))
            return client

    def forget(self) -> None:
        """Leave the connections to the process that made them; this one makes its own."""
        self._made = []

    def close(self) -> None:
        for _, client in self._made:
            client.close()
        self._made = []


_clients = _Clients()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_clients.forget)
atexit.register(_clients.close)


@dataclass(frozen=True, slots=True)
class Found:
    """A file as its server tells of it now.

    Parameters
    ----------
    remote : RemoteFile
        Pinned: its ETag, or its size and time, are those of one version.
    headers : dict of str to str
        What the server said of it: the checksum of the whole, where it keeps one.
    """

    remote: RemoteFile
    headers: dict[str, str]


class Origin(Protocol):
    """One place of files: a bucket, a data set, a server. Any number of threads may call it."""

    @property
    def source(self) -> Source:
        """Gives the address of each file."""
        ...

    def find(self, address: Address) -> Found | None:
        """Return a file as it is now; None where there is none of that name.

        Raises
        ------
        ServerError
        """
        ...

    def level(self, address: Address) -> Level:
        """Return the files and folders directly in a folder; empty where it is none.

        Raises
        ------
        ServerError
        UsageError
            If such a place cannot be listed.
        """
        ...

    def walk(self, address: Address) -> list[RemoteFile]:
        """Return all files below a folder.

        Raises
        ------
        ServerError
        UsageError
        """
        ...


def source_of(address: Address, reach: Reach) -> Origin:
    """Return the place that an address is in; nothing is asked yet.

    Raises
    ------
    UsageError
        If there is no such kind of place.
    ConfigError
        If an environment variable is wrong.
    """
    if address.kind == "s3":
        return _BucketOrigin(address.place, reach)
    if address.kind == "web":
        return _WebOrigin(address, reach)
    return _DatasetOrigin(address.place, reach)


class _Kept(Generic[S]):
    """Sources that this process made, for each client: what one learned is good for the next."""

    def __init__(self, limit: int) -> None:
        self._made: OrderedDict[tuple[object, ...], tuple[float, S]] = OrderedDict()
        self._lock = ForkingLock()
        self._limit = limit
        if hasattr(os, "register_at_fork"):  # their client is not that of the child
            os.register_at_fork(after_in_child=self._made.clear)

    def of(self, key: tuple[object, ...], make: Callable[[], S], holds: float = math.inf) -> S:
        """Return the source of a key; a new one where there is none, or it is too old."""
        with self._lock:
            since, found = self._made.get(key, (0.0, None))
            if found is None or time.monotonic() - since > holds:
                found = make()
                self._made[key] = time.monotonic(), found
            self._made.move_to_end(key)
            while len(self._made) > self._limit:
                self._made.popitem(last=False)
            return found

    def forget(self, source: S) -> None:
        """Keep a source no longer: it could not be listed, and another attempt may do better."""
        with self._lock:
            for key in [key for key, (_, kept) in self._made.items() if kept is source]:
                del self._made[key]


_buckets: _Kept[S3Source] = _Kept(64)


def _keys_now(access: Access) -> str:
    """Return what tells whether the keys in the environment are still those that were taken."""
    if not access.signed:
        return ""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    texts = "\0".join(os.environ.get(name, "") for name in names)
    return hashlib.sha256(texts.encode("utf-8", "surrogateescape")).hexdigest()


class _BucketOrigin:
    """A bucket. One that does not let itself be listed still gives out its objects."""

    def __init__(self, bucket: str, reach: Reach) -> None:
        self._reach = reach
        self._name = bucket

    @property
    def source(self) -> S3Source:
        reach = self._reach
        client, attempts = reach.client(), reach.attempts()
        place = reach.access.location(reach.region)
        bucket = Bucket(self._name, place.region, place.endpoint)

        def make() -> S3Source:
            signer = reach.access.signer(client.network, bucket.region)
            return S3Source(client, bucket, attempts, signer=signer)

        return _buckets.of((id(client), bucket, _keys_now(reach.access)), make)

    def find(self, address: Address) -> Found | None:
        source = self.source
        bucket = source.bucket
        if self._reach.access.signs and bucket.endpoint is None and bucket.region is None:
            # A redirect to the bucket's region is not signed again: a listing tells the region.
            with contextlib.suppress(RefusedError):
                source.first_page(address.key)
        remote = RemoteFile(address.key, source.bucket.url(address.key), None)
        return _looked_up(self._reach, source, remote, bucket=True)

    def level(self, address: Address) -> Level:
        return self.source.level(address.folder)

    def walk(self, address: Address) -> list[RemoteFile]:
        return self.source.walk(address.folder)


_NEWEST_HOLDS = 300.0
"""Seconds for which the version that was the newest is taken for it."""
_LISTINGS = 8
"""Data sets whose listings are kept in memory; the largest take some hundred megabytes."""


_datasets: _Kept[OpenNeuroSource] = _Kept(_LISTINGS)


class _DatasetOrigin:
    """A version of a data set at OpenNeuro: every file is known by its content."""

    def __init__(self, place: str, reach: Reach) -> None:
        self._place = place
        self._reach = reach

    @property
    def source(self) -> OpenNeuroSource:
        client, site = self._reach.client(), openneuro_site()
        attempts = self._reach.attempts()
        accession, _, tag = self._place.partition("@")

        def make() -> OpenNeuroSource:
            return OpenNeuroSource(client, attempts, DatasetAddress(accession, tag), site)

        holds = math.inf if tag else _NEWEST_HOLDS
        return _datasets.of((id(client), site, self._place), make, holds)

    def find(self, address: Address) -> Found | None:
        near = self._listed(address.key)
        found = next((one for one in near if one.key == address.key), None)
        return None if found is None else Found(found, {})

    def level(self, address: Address) -> Level:
        self._listed(address.folder)
        return self.source.level(address.folder)

    def walk(self, address: Address) -> list[RemoteFile]:
        return self._listed(address.folder)

    def _listed(self, prefix: str) -> list[RemoteFile]:
        """Return what begins so; a data set that is not there is a file that is not there."""
        source = self.source
        try:
            return source.walk(prefix)
        except (NothingMatchedError, UnknownValueError) as error:
            _datasets.forget(source)
            raise MissingRemoteError(str(error)) from error
        except ServerError:  # perhaps for want of a token, which is looked for anew
            _datasets.forget(source)
            raise


class _WebSource(ListedSource):
    """One file of a server; its address may be signed, and is known to nobody else."""

    def __init__(self, remote: RemoteFile, address: Address) -> None:
        super().__init__([remote], address.place)
        self._query = address.query

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:  # noqa: ARG002
        return remote.url + self._query

    def signed(self, remote: RemoteFile) -> bool:  # noqa: ARG002
        return bool(self._query)


class _WebOrigin:
    """A file of any web server: such servers tell of one file, and of no folder."""

    def __init__(self, address: Address, reach: Reach) -> None:
        self._reach = reach
        self._remote = RemoteFile(address.key, f"{address.place}/{address.key}", None)
        self._source = _WebSource(self._remote, address)

    @property
    def source(self) -> _WebSource:
        return self._source

    def find(self, address: Address) -> Found | None:  # noqa: ARG002
        return _looked_up(self._reach, self._source, self._remote)

    def level(self, address: Address) -> Level:
        raise self._unlistable(address)

    def walk(self, address: Address) -> list[RemoteFile]:
        raise self._unlistable(address)

    def _unlistable(self, address: Address) -> UsageError:
        return UsageError(
            f"{address.name}: a web server does not say which files it has. Nothing was listed. "
            "Name one file, or a folder of a bucket (s3://BUCKET/PREFIX)."
        )


def _looked_up(
    reach: Reach, source: Source, remote: RemoteFile, *, bucket: bool = False
) -> Found | None:
    """Ask a server for one file that no listing told of."""
    client, attempts = reach.client(), reach.attempts()
    first = replace(remote, size=1)  # so that its first byte is asked for, and not the whole
    try:
        if source.signed(remote):  # its address is for GET alone
            now, headers = remote, attempts.run(lambda: ask_first(client, source, first))
        else:
            now, headers = look(client, source, remote, attempts)
        if not headers or headers.get("content-length") == "0":
            # It knows no HEAD, or says of any file that it is empty: some servers do.
            headers = attempts.run(lambda: ask_first(client, source, first))
    except MissingRemoteError:
        return None
    except RefusedError as error:
        msg = f"{error}. Nothing was opened. {error.advice}"
        raise RefusedError(msg, error.advice) from error
    _check_kind(remote, headers, bucket=bucket)
    return Found(_pinned(remote, now, headers), headers)


def _pinned(remote: RemoteFile, now: RemoteFile, headers: dict[str, str]) -> RemoteFile:
    """Return a file with what tells its version: also a weak ETag tells one from another."""
    said = renewed(remote, headers)
    etag = now.etag or read_etag(headers.get("etag", ""))
    ranges = headers.get("accept-ranges", "").strip().lower() != "none"
    size = said.size if said.size is not None else now.size
    return replace(said, etag=etag, size=size, ranges=ranges)


_PAGES = ("html", "htm", "xhtml", "php", "asp", "aspx")
"""How the names of web pages end."""


def _check_kind(remote: RemoteFile, headers: dict[str, str], *, bucket: bool) -> None:
    """See that no page of a login portal answered: of a file that nobody listed, all is believed.

    A file of a web server whose name has no ending may well be a page. S3 signs what it says with
    the number of the request.

    Raises
    ------
    ProtocolError
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    last = remote.key.rpartition("/")[2]
    ending = last.rpartition(".")[2].lower() if "." in last else ""
    page = kind in ("text/html", "application/xhtml+xml")
    if not page or ending in _PAGES or (not ending and not bucket):
        return
    if "x-amz-request-id" in headers:
        return
    error = ProtocolError(
        f"{remote.url}: a web page came in place of the file ({kind}). Nothing was opened. {PORTAL}"
    )
    error.advice = PORTAL
    raise error
