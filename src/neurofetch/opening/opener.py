"""Open files by their URL: one object for one way to do so.

Where the bytes come from, in this order: a data directory in which the file is already, the cache,
the server.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from neurofetch.credentials.access import Access
from neurofetch.errors import (
    DestinationError,
    DiskFullError,
    FolderGivenError,
    MissingBucketError,
    MissingRemoteError,
    NeurofetchError,
    OfflineError,
    RemoteChangedError,
    UnreachableError,
    UnsafeNameError,
    UsageError,
    WrongTypeError,
)
from neurofetch.integrity.verification import ServerChecksum
from neurofetch.model import RemoteFile
from neurofetch.net.settings import REGION, Network
from neurofetch.opening.address import Address, parse_address
from neurofetch.opening.cache import BLOCK, LIMIT, Cache, cache_at, default_folder
from neurofetch.opening.entry import FULL, LARGEST, SMALLEST, Entry, Version
from neurofetch.opening.file import OpenedFile
from neurofetch.opening.here import DataDirectoryFiles
from neurofetch.opening.reader import BlockReader, LocalReader, spooled, whole_pieces
from neurofetch.opening.remote import Found, Origin, Reach, source_of
from neurofetch.planning.local_path import placed
from neurofetch.store.folder import given_path
from neurofetch.transfer.options import check_switches

if TYPE_CHECKING:
    from pathlib import Path

    from neurofetch.opening.reader import Reader

__all__ = ["Opener", "Settings", "opener_for"]

Where = str | os.PathLike[str]
T = TypeVar("T")

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE | re.ASCII)
_SIGNING = re.compile(
    r"x-amz-.*|signature|expires|awsaccesskeyid|key-pair-id|policy|sig|se|sp|sv|sr|st|token",
    re.IGNORECASE,
)
"""What in a query says who may ask, and not for what."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How files are opened. Made by `checked` from what a user gave.

    Parameters
    ----------
    cache_dir : Path or None
        None for no cache.
    cache_limit, block_size : int
        Bytes.
    data_dir : Path or None
        Files that are here already are read there.
    region : str or None
        Of the bucket.
    patience : float or None
        Seconds to wait for a network that is away.
    offline : bool
        No server is asked.
    access : Access
        Whose credentials sign what buckets are asked, and where they are: names, and no keys.
    """

    cache_dir: Path | None = None
    cache_limit: int = LIMIT
    block_size: int = BLOCK
    data_dir: Path | None = None
    region: str | None = None
    patience: float | None = None
    offline: bool = False
    access: Access = Access()  # noqa: RUF009 - it is frozen

    @classmethod
    def checked(
        cls,
        *,
        cache_dir: Where | bool | None = None,
        cache_limit: int | str | None = None,
        block_size: int | str | None = None,
        data_dir: Where | None = None,
        region: str | None = None,
        patience: float | None = None,
        offline: bool | None = None,
        profile: str | None = None,
        signed: bool = False,
        requester_pays: bool = False,
        endpoint: str | None = None,
    ) -> Settings:
        """Check what a user gave, before any server is asked.

        Raises
        ------
        UsageError
            If one of them cannot be used.
        """
        check_switches(offline=offline)
        access = Access.checked(
            profile=profile, signed=signed, requester_pays=requester_pays, endpoint=endpoint
        )
        offline = Network.from_environment().offline if offline is None else offline
        if patience is not None:
            Network(patience=patience)  # raises where it is none
        given: object = region
        if given is not None and not (isinstance(given, str) and REGION.fullmatch(given)):
            msg = f"{given!r} is not a region such as us-west-2. Nothing was opened."
            raise UsageError(msg)
        block = BLOCK if block_size is None else _bytes("block_size", block_size)
        if not SMALLEST <= block <= LARGEST:
            msg = f"block_size is between {SMALLEST:,} and {LARGEST:,} bytes, not {block_size!r}."
            raise UsageError(f"{msg} Nothing was opened.")
        folder = None
        if cache_dir is None or cache_dir is True:
            folder = default_folder()
        elif cache_dir is not False:
            folder = _cache_path(cache_dir)
        limit = LIMIT if cache_limit is None else _bytes("cache_limit", cache_limit)
        data = None if data_dir is None else given_path(data_dir)
        if data is not None and not data.is_dir():
            msg = (
                f"the data directory {data} does not exist. Nothing was opened. Name one that does,"
            )
            raise DestinationError(f"{msg} or leave data_dir out.")
        return cls(folder, limit, block, data, region, patience, offline, access)


def _cache_path(given: object) -> Path:
    try:
        return given_path(given)
    except UsageError as error:  # it speaks of the directory that others are about
        text = str(error).replace("the data directory", "cache_dir")
        raise type(error)(text) from error


def _bytes(name: str, given: object) -> int:
    """Return the bytes that a number or a text such as "10 GB" means."""
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    found = _SIZE.fullmatch(given.strip()) if isinstance(given, str) else None
    if found is None:
        msg = f"{name} is a number of bytes above 0, or text such as '10 GB', not {given!r}"
        kind = WrongTypeError if not isinstance(given, int | str) else UsageError
        raise kind(f"{msg}. Nothing was opened.")
    base = 1024 if found[3] else 1000
    power = " kmgt".index(found[2].lower()) if found[2] else 0
    amount = int(Decimal(found[1]) * base**power)
    if amount < 1:
        msg = f"{name} is a number of bytes above 0, not {given!r}. Nothing was opened."
        raise UsageError(msg)
    return amount


class Opener:
    """Opens files. Any number of threads may use it.

    Parameters
    ----------
    settings : Settings
    reach : Reach, optional
        By default what the environment says, when the first server is asked.
    """

    def __init__(self, settings: Settings, reach: Reach | None = None) -> None:
        self.settings = settings
        self._reach = reach
        self._here = DataDirectoryFiles(settings.data_dir) if settings.data_dir else None
        self.cache: Cache | None = None
        if settings.cache_dir is not None:
            self.cache = cache_at(settings.cache_dir, settings.cache_limit, settings.block_size)

    @property
    def reach(self) -> Reach:
        """How servers are reached: as the environment says it now."""
        if self._reach is not None:
            return self._reach
        settings = self.settings
        return Reach.from_environment(
            settings.patience, settings.region, access=settings.access, offline=settings.offline
        )

    # -- what there is -----------------------------------------------------------------------

    def find(self, address: Address) -> Found:
        """Return a file as it is now.

        Raises
        ------
        MissingRemoteError
            If there is nothing of that name.
        FolderGivenError
            If it is a folder.
        ServerError
        """
        self._check_file(address)
        origin = source_of(address, self.reach)
        found = origin.find(address)
        if found is not None:
            return found
        if self._is_folder(origin, address):
            raise self._folder(address)
        msg = f"there is no {address.name}. Nothing was opened. Check its name"
        where = "; ls() of the folder above lists what there is." if address.kind != "web" else "."
        raise MissingRemoteError(msg + where)

    def _check_file(self, address: Address) -> None:
        if address.kind != "web" and (not address.key or address.key.endswith("/")):
            raise self._folder(address)

    @staticmethod
    def _folder(address: Address) -> FolderGivenError:
        what = "a whole bucket" if address.kind == "s3" and not address.key else "a folder"
        return FolderGivenError(
            f"{address.name} is {what}, not a file. Nothing was opened. Name one file, or fetch "
            f"the folder with neurofetch.get({address.name!r}, ...)."
        )

    @staticmethod
    def _is_folder(origin: Origin, address: Address) -> bool:
        if address.kind == "web":
            return False
        try:
            level = origin.level(address)
        except MissingBucketError:
            raise
        except NeurofetchError:  # it may not be listed: then there is nothing of that name
            return False
        return bool(level.files or level.folders)

    # -- opening -----------------------------------------------------------------------------

    def open(self, url: object, pinned: RemoteFile | None = None) -> OpenedFile:
        """Open a file to read its bytes.

        Parameters
        ----------
        url : str
        pinned : RemoteFile, optional
            The version that is meant, where a listing told of it.

        Raises
        ------
        NeurofetchError
        """
        address = parse_address(url)
        reader, remote = self._reader(address, pinned)
        again = (_opened_again, (self.settings, address.path, address.kind, _plain(remote)))
        return OpenedFile(reader, address.name, again)

    def _reader(
        self, address: Address, pinned: RemoteFile | None
    ) -> tuple[Reader, RemoteFile | None]:
        if self.settings.offline:
            return self._offline(address)
        try:
            found = self.find(address) if pinned is None else Found(pinned, {})
        except UnreachableError as error:
            return self._without_network(address, error)
        if self._here is not None:
            path = self._here.find(address, found.remote)
            if path is not None:
                return _local(path), found.remote
        return self._from_server(address, found), found.remote

    def _from_server(self, address: Address, found: Found, *, offline: bool = False) -> Reader:
        origin = source_of(address, self.reach)
        version = self._version(address, found.remote)
        if found.remote.size is None:
            return self._unsized(address, origin, found, version)
        entry = None
        if self.cache is not None and version is not None:
            if not offline:
                self.cache.remember(version)
            crc = ServerChecksum.of(found.remote, found.headers).crc
            entry = self.cache.entry(version, crc, make=not offline)
            if entry is None and offline:
                entry = self.cache.entry(version._replace(size=None), crc, make=False)
        return BlockReader(
            self.reach,
            origin,
            found,
            address.name,
            entry=entry,
            cache=self.cache,
            block=self.settings.block_size,
            offline=offline,
        )

    def _unsized(
        self, address: Address, origin: Origin, found: Found, version: Version | None
    ) -> Reader:
        """Fetch a file of which no length is told, and read it here."""
        if self.cache is not None and version is not None:
            entry = self.cache.entry(version, "crc64nvme", make=False)
            if entry is not None:
                if entry.whole() is not None:
                    self.cache.remember(version._replace(size=entry.size))
                    return self._kept(address, origin, found, entry)
                self.cache.leave(entry)
        local = spooled(whole_pieces(self.reach, origin, found.remote), address.name)
        if self.cache is None or version is None:
            return local
        entry = self.cache.entry(version, "crc64nvme", local.size)
        if entry is None:
            return local
        for number in range(entry.blocks):
            data = bytearray(entry.length(number))
            local.into(memoryview(data), number * entry.block)
            self.cache.keep(entry, number, bytes(data))
        if not entry.complete:
            self.cache.leave(entry)
            return local
        local.close()
        return self._kept(address, origin, found, entry)

    def _kept(self, address: Address, origin: Origin, found: Found, entry: Entry) -> BlockReader:
        sized = Found(replace(found.remote, size=entry.size), found.headers)
        reader = BlockReader(
            self.reach,
            origin,
            sized,
            address.name,
            entry=entry,
            cache=self.cache,
            block=entry.block,
        )
        reader.settled()
        return reader

    # -- without a network ---------------------------------------------------------------------

    def _offline(self, address: Address) -> tuple[Reader, RemoteFile | None]:
        """Open what is here, and ask nobody.

        Raises
        ------
        OfflineError
            If it is not here.
        """
        self._check_file(address)
        if self._here is not None:
            path = self._here.find(address, None)
            if path is not None:
                return _local(path), None
        found = self._remembered(address)
        if found is None:
            msg = (
                f"{address.name} is not here, and no server is asked (offline). Nothing was "
                "opened. Open it once with a network, or name the data directory that has it: "
                "data_dir=..."
            )
            raise OfflineError(msg)
        return self._from_server(address, found, offline=True), found.remote

    def _remembered(self, address: Address) -> Found | None:
        place = self._place(address)
        version = self.cache.remembered(place) if self.cache is not None else None
        if version is None or version.size is None or self.cache is None:
            return None
        timed = version.tag.startswith(_TIME)
        etag = None if timed else version.tag
        modified = version.tag.removeprefix(_TIME) if timed else None
        return Found(RemoteFile(address.key, "", version.size, etag, modified), {})

    def _without_network(
        self, address: Address, error: UnreachableError
    ) -> tuple[Reader, RemoteFile | None]:
        """Read the copy in the cache where its server is away, and say so."""
        try:
            reader, remote = self._offline(address)
        except OfflineError:
            raise error from None
        if self.cache is not None:
            self.cache.tell(
                f"{address.name}: its server cannot be reached. What is read is the copy that was "
                "kept when it was opened last; it may have changed since."
            )
        return reader, remote

    def _place(self, address: Address) -> str:
        """Return what names a file, for the cache: its URL, with nothing secret in it."""
        if address.kind == "s3":
            endpoint = self.settings.access.location().endpoint
            return f"{endpoint or 's3:/'}/{address.place}/{address.key}"
        if not address.query:
            return address.name
        asked = [pair for pair in parse_qsl(address.query[1:]) if not _SIGNING.fullmatch(pair[0])]
        mark = hashlib.sha256(repr(asked).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"{address.name}?{mark}" if asked else address.name

    def _group(self, address: Address) -> str:
        """Return what names the folder of a file: other queries name other files of one name."""
        folder, _, last = self._place(address).rpartition("/")
        mark = last.partition("?")[2] if address.query else ""
        return f"{folder}?{mark}" if mark else folder

    def _version(self, address: Address, remote: RemoteFile) -> Version | None:
        """Return what tells this version from others; None where nothing does."""
        tag = str(remote.digest) if remote.digest is not None else remote.etag
        if not tag and remote.modified:
            tag = f"{_TIME}{remote.modified}"
        return Version(self._place(address), tag, remote.size) if tag else None

    # -- a file of its own ---------------------------------------------------------------------

    def cached_path(self, url: object) -> Path:
        """Return the path of a whole, verified copy on this machine.

        Raises
        ------
        NeurofetchError
        """
        address = parse_address(url)
        self._check_file(address)
        name, problem = placed(address.file_name)
        if problem or "/" in name:
            msg = (
                f"{address.name} cannot have its own name on this disk: {problem}. Nothing was kept"
            )
            raise UnsafeNameError(msg)
        if self.cache is not None:
            self.cache.try_again()
        for last in (False, True):
            reader, remote = self._reader(address, None)
            try:
                return self._path_of(address, name, reader, remote)
            except RemoteChangedError:
                if last:
                    raise
            finally:
                reader.close()
        raise AssertionError  # the second turn has returned or raised

    def _path_of(
        self, address: Address, name: str, reader: Reader, remote: RemoteFile | None
    ) -> Path:
        if isinstance(reader, LocalReader) and self._here is not None:
            path = self._here.find(address, remote)
            if path is not None:
                return path
        cache = self.cache
        if cache is None:
            msg = "a path needs a cache, and cache_dir=False says that there is none. Nothing was "
            raise UsageError(f"{msg}fetched. Name a directory: cache_dir=...")
        if remote is not None and self._version(address, remote) is None:
            msg = (
                f"{address.name} has no path: its server does not say which version it is (no "
                "ETag, no Last-Modified), and the cache keeps nothing of which that is not known. "
                "Nothing was kept. Read it with neurofetch.open, and write it where you want it."
            )
            raise DestinationError(msg)
        if not isinstance(reader, BlockReader) or reader.entry is None:
            raise self._not_kept(address, cache)
        if reader.verified() is None:
            raise self._not_kept(address, cache)
        try:
            return cache.publish(reader.entry, self._group(address), name)
        except OSError as error:
            if error.errno in FULL:
                msg = f"no room for {address.name} in the cache {cache.folder}. Make room, or name "
                raise DiskFullError(f"{msg}another place: cache_dir=...") from error
            msg = f"{address.name} cannot be kept in {cache.folder}: {error.strerror or error}."
            raise DestinationError(f"{msg} Name another place: cache_dir=...") from error

    @staticmethod
    def _not_kept(address: Address, cache: Cache) -> DestinationError:
        kind = DiskFullError if cache.is_full else DestinationError
        return kind(
            f"{address.name} could not be kept in the cache {cache.folder}, so there is no path to "
            "it. Make room or check who may write there, or name another place: cache_dir=..."
        )


def _local(path: Path) -> LocalReader:
    """Open a file of a data directory.

    Raises
    ------
    DestinationError
        If it may not be read.
    """
    try:
        return LocalReader(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}. Nothing was opened. Check who may"
        raise DestinationError(f"{msg} read it, or leave data_dir out.") from error


_TIME = "time:"


def _plain(remote: RemoteFile | None) -> tuple[object, ...] | None:
    """Return what another process needs to ask for the same version."""
    if remote is None:
        return None
    told = remote.etag, remote.modified, remote.digest, remote.ranges
    return remote.key, remote.url, remote.size, *told


def _opened_again(
    settings: Settings, path: str, kind: str, pinned: tuple[Any, ...] | None
) -> OpenedFile:
    """Open the version that another process has open."""
    url = f"s3://{path}" if kind == "s3" else path
    return opener_for(settings).open(url, None if pinned is None else RemoteFile(*pinned))


@lru_cache(64)
def opener_for(settings: Settings) -> Opener:
    """Return the opener for some settings; the same one again for the same.

    Parameters
    ----------
    settings : Settings
    """
    return Opener(settings)
