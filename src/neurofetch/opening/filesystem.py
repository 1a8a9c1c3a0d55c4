"""The file system for fsspec: ``fsspec.filesystem("neurofetch")``, and URLs ``neurofetch://…``.

The contract: https://filesystem-spec.readthedocs.io/en/latest/api.html#fsspec.spec.AbstractFileSystem.
Names are ``BUCKET/KEY`` for buckets, as s3fs has them, and whole URLs for all else.
"""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import fsspec
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from neurofetch.errors import FolderGivenError, MissingRemoteError, UsageError
from neurofetch.net.http1 import shown
from neurofetch.opening.address import PROTOCOL, Address, parse_address, stripped
from neurofetch.opening.file import OpenedFile, read_only
from neurofetch.opening.front import as_text, checked_mode
from neurofetch.opening.opener import Opener, Settings, opener_for
from neurofetch.opening.remote import Origin, source_of
from neurofetch.sources.ask import moment

if TYPE_CHECKING:
    from pathlib import Path

    from neurofetch.model import RemoteFile

__all__ = ["NeurofetchFileSystem"]

_FRESH = 60.0
"""Seconds for which a listing holds."""

_Info = dict[str, Any]


class NeurofetchFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files of public buckets and web servers, to be read.

    Parameters
    ----------
    cache_dir, cache_limit, block_size, data_dir, region, patience, offline
        As for `neurofetch.open`.
    profile, signed, requester_pays, endpoint : optional
        As for `neurofetch.open`: names, so that no key is in what Dask sends around.
    listings_expiry_time : float, optional
        Seconds for which a listing holds; a minute by default.
    **storage_options
        As for any file system of fsspec.

    Examples
    --------
    >>> NeurofetchFileSystem(cache_dir=False).unstrip_protocol("openneuro.org/ds000001")
    'neurofetch://openneuro.org/ds000001'
    """

    protocol = PROTOCOL
    root_marker = ""
    cachable = True
    blocksize = 8 << 20

    def __init__(
        self,
        *,
        cache_dir: str | os.PathLike[str] | bool | None = None,
        cache_limit: int | str | None = None,
        block_size: int | str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        region: str | None = None,
        patience: float | None = None,
        offline: bool | None = None,
        profile: str | None = None,
        signed: bool = False,
        requester_pays: bool = False,
        endpoint: str | None = None,
        listings_expiry_time: float | None = _FRESH,
        **storage_options: Any,
    ) -> None:
        super().__init__(listings_expiry_time=listings_expiry_time, **storage_options)
        self._settings = Settings.checked(
            cache_dir=cache_dir,
            cache_limit=cache_limit,
            block_size=block_size,
            data_dir=data_dir,
            region=region,
            patience=patience,
            offline=offline,
            profile=profile,
            signed=signed,
            requester_pays=requester_pays,
            endpoint=endpoint,
        )

    @property
    def _opener(self) -> Opener:
        return opener_for(self._settings)

    @property
    def fsid(self) -> str:
        """A name of the file system that is the same in each session."""
        return PROTOCOL

    # -- names -------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = stringify_path(path)
        if not isinstance(text, str):
            parse_address(text)  # says what is due
        text = stripped(text)
        if text.lower().startswith("s3://"):
            text = text[5:]
        if text.lower().startswith(("http://", "https://")):
            return parse_address(text).path
        return text.strip("/")

    @classmethod
    def _parent(cls, path: str) -> str:
        name = cls._strip_protocol(path)
        above = name.partition("?")[0] if "://" in name else name
        above = above.rstrip("/").rpartition("/")[0]
        return "" if above.endswith(":/") or "/" not in name else above

    @staticmethod
    def _address(path: str) -> Address:
        return parse_address(f"{PROTOCOL}://{path}")

    # -- what there is -----------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, refresh: bool = False, **_: Any) -> list[Any]:
        """List the files and folders directly in a folder.

        Parameters
        ----------
        path : str
        detail : bool
            Return what is known of each, and not its name alone.
        refresh : bool
            Ask the server, also where a listing is remembered.

        Raises
        ------
        FileNotFoundError
            If there is nothing of that name.
        UsageError
            If such a place cannot be listed.
        """
        name = self._strip_protocol(path)
        if not name:
            msg = (
                "which buckets there are, nobody can list. Nothing was listed. Name one: "
                "ls('s3://BUCKET/PREFIX')."
            )
            raise UsageError(msg)
        found = None if refresh else self._listed(name)
        if found is None:
            found = self._level(name)
        return found if detail else sorted(one["name"] for one in found)

    def _listed(self, name: str) -> list[_Info] | None:
        try:
            return list(self.dircache[name])
        except KeyError:
            return None

    def _level(self, name: str) -> list[_Info]:
        address = self._address(name)
        if address.kind == "web":
            return [self.info(name)]
        origin = source_of(address, self._opener.reach)
        level = origin.level(address)
        files = [self._told(address, one) for one in level.files if not one.key.endswith("/")]
        folders = [
            _folder_info(below)
            for below in (address.at(one).path for one in level.folders)
            if below != name
        ]
        found = sorted(folders + files, key=lambda one: str(one["name"]))
        if not found and not level.files:
            return [self._file(origin, address)]
        self.dircache[name] = found
        return list(found)

    def _file(self, origin: Origin, address: Address) -> _Info:
        """Return what is known of one file, where its name was listed.

        Raises
        ------
        FileNotFoundError
        """
        found = origin.find(address) if address.key else None
        if found is None:
            msg = f"there is nothing at {address.name}. Nothing was listed. Check its name."
            raise MissingRemoteError(msg)
        return self._told(address, found.remote)

    @staticmethod
    def _told(address: Address, remote: RemoteFile) -> _Info:
        query = address.query if address.kind == "web" else ""
        return {
            "name": address.at(remote.key).path + query,
            "size": remote.size,
            "type": "file",
            "ETag": remote.etag,
            "LastModified": remote.modified,
        }

    def info(self, path: str, **_: Any) -> _Info:
        """Return what is known of a file or folder, as it is now.

        Returns
        -------
        dict
            ``name``, ``size`` in bytes, ``type`` ("file" or "directory"), and of a file ``ETag``
            and ``LastModified`` as the server says them.

        Raises
        ------
        FileNotFoundError
        ServerError
        """
        name = self._strip_protocol(path)
        folder = _folder_info(name)
        if not name:
            return folder
        known = self._known(name)
        if known is not None:
            return known
        address = self._address(name)
        if not address.key:
            self.ls(name)
            return folder
        try:
            found = self._opener.find(address)
        except FolderGivenError:
            return folder
        return self._told(address, found.remote)

    def _known(self, name: str) -> _Info | None:
        """Return what a listing that is remembered says; None where none is."""
        if self._listed(name):
            return _folder_info(name)
        for one in self._listed(self._parent(name)) or ():
            if one["name"] == name:
                return dict(one)
        return None

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **kwargs: Any,
    ) -> Any:
        """List all files below a folder: of a bucket with one request for each 1,000.

        Parameters
        ----------
        path : str
        maxdepth : int, optional
            Levels to go down; then each folder is listed by itself.
        withdirs : bool
            List the folders, too.
        detail : bool
            Return a dictionary with what is known of each.
        """
        name = self._strip_protocol(path)
        address = self._address(name) if name else None
        if maxdepth is not None or address is None or address.kind == "web":
            return super().find(path, maxdepth, withdirs, detail, **kwargs)
        origin = source_of(address, self._opener.reach)
        files = [one for one in origin.walk(address) if not one.key.endswith("/")]
        found = {one["name"]: one for one in (self._told(address, file) for file in files)}
        levels = _levels(found, name)
        for folder, level in levels.items():
            self.dircache[folder] = level
        if withdirs:
            for folder in levels:
                found.setdefault(folder, _folder_info(folder))
        if not found and self.isfile(name):
            found = {name: self.info(name)}
        names = sorted(found)
        return {one: found[one] for one in names} if detail else names

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Give each folder with its folders and files.

        Parameters
        ----------
        path : str
        maxdepth : int, optional
            Levels to go down.
        topdown : bool
            A folder comes before what is in it.
        on_error : {"omit", "raise"} or callable, optional
            What is done where a folder cannot be listed. By default, one that is not there is left
            out, and everything else is raised: else files were missing, and nobody knew.
        """
        on_error = _raised_unless_missing if on_error is None else on_error
        return super().walk(path, maxdepth, topdown, on_error, **kwargs)

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is a file or folder of this name.

        Raises
        ------
        ServerError
            If the server does not say.
        """
        try:
            self.info(path, **kwargs)
        except (FileNotFoundError, UsageError):
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Whether there is a folder of this name.

        Raises
        ------
        ServerError
            If the server does not say.
        """
        try:
            return bool(self.info(path)["type"] == "directory")
        except (FileNotFoundError, UsageError):
            return False

    def isfile(self, path: str) -> bool:
        """Whether there is a file of this name.

        Raises
        ------
        ServerError
            If the server does not say.
        """
        try:
            return bool(self.info(path)["type"] == "file")
        except (FileNotFoundError, UsageError):
            return False

    def checksum(self, path: str) -> int:
        """Return a number that is the same as long as the file is."""
        info = self.info(path)
        told = (info["name"], info["size"], info.get("ETag"), info.get("LastModified"))
        return int(fsspec.utils.tokenize(told), 16)

    def ukey(self, path: str) -> str:
        """Return a text that is the same as long as the file is."""
        return f"{self.checksum(path):032x}"

    def modified(self, path: str) -> Any:
        """Return when a file was changed last, as a datetime.

        Raises
        ------
        UsageError
            If the server does not say.
        """
        told = self.info(path).get("LastModified")
        found = moment(told or "")
        if found is None:
            msg = f"{shown(str(path))}: the server does not say when it was changed."
            raise UsageError(msg)
        return datetime.fromtimestamp(found, UTC)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget listings: all of them, or those of a folder and what is in it."""
        if path is None:
            self.dircache.clear()
        else:
            name = self._strip_protocol(path)
            for one in [*self.dircache]:
                if one == name or one.startswith(f"{name}/") or one == self._parent(name):
                    self.dircache.pop(one, None)
        super().invalidate_cache(path)

    # -- reading -----------------------------------------------------------------------------

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Open a file.

        Parameters
        ----------
        path : str
        mode : {"rb", "r", "rt"}
        block_size, cache_options
            Not used: the cache has blocks of its own.
        compression : str, optional
            As fsspec knows them ("gzip"), or "infer" to go by the name.
        **kwargs
            ``encoding``, ``errors`` and ``newline``, of text.

        Raises
        ------
        NeurofetchError
            As `neurofetch.open`.
        """
        texts = {name: kwargs.get(name) for name in ("encoding", "errors", "newline")}
        name = self._strip_protocol(path)
        text = checked_mode(mode, f"{PROTOCOL}://{name}", **texts)
        if compression is None:
            file = self._open(name)
            return as_text(file, **texts) if text else file
        del block_size, cache_options
        packed = super().open(name, "rb", compression=compression)
        if not text:
            return packed
        return io.TextIOWrapper(
            packed, texts["encoding"] or "utf-8", texts["errors"], texts["newline"]
        )

    def _open(self, path: str, mode: str = "rb", **_: Any) -> OpenedFile:
        if not path:
            raise FolderGivenError("no file is named. Nothing was opened. Give BUCKET/KEY.")
        checked_mode(mode, f"{PROTOCOL}://{path}")
        return self._opener.open(f"{PROTOCOL}://{path}")

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return the bytes of a file, or some of them.

        Parameters
        ----------
        path : str
        start, end : int, optional
            As in slices: what is negative counts from the end.
        """
        with self._open(self._strip_protocol(path)) as file:
            begin, stop, _step = slice(start, end).indices(file.size)
            return file.pread(max(stop - begin, 0), begin)

    def cat(
        self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any
    ) -> Any:
        """Return the bytes of a file; of several, or of all below a folder, by their names.

        Parameters
        ----------
        path : str or list of str
            With wildcards, too.
        recursive : bool
            Folders stand for all files below them.
        on_error : {"raise", "omit", "return"}
            What is done about a file that cannot be read.
        """
        if recursive:
            path = sorted({file for top in self.expand_path(path) for file in self.find(top)})
        return super().cat(path, on_error=on_error, **kwargs)

    def get_file(
        self,
        rpath: str,
        lpath: Any,
        callback: Any = DEFAULT_CALLBACK,
        outfile: Any = None,
        **_: Any,
    ) -> None:
        """Copy a file to this machine: it has its name when it is whole and verified.

        Parameters
        ----------
        rpath : str
        lpath : path or file object
        callback : fsspec.callbacks.Callback
        outfile : file object, optional
        """
        if outfile is None and isfilelike(lpath):
            outfile = lpath
        if outfile is None and self.isdir(rpath):
            os.makedirs(lpath, exist_ok=True)
            return
        with self._open(self._strip_protocol(rpath)) as file:
            callback.set_size(file.size)
            if outfile is not None:
                _copied(file, outfile, callback)
                return
            from neurofetch.store.atomic import replacing  # noqa: PLC0415 - only where it is kept

            os.makedirs(os.path.dirname(os.path.abspath(lpath)), exist_ok=True)
            with replacing(lpath) as temporary, open(temporary, "wb") as target:
                _copied(file, target, callback)

    def cached_path(self, path: str) -> Path:
        """Return the path of a whole, verified copy; see `neurofetch.opening.cached_path`.

        Parameters
        ----------
        path : str
        """
        return self._opener.cached_path(f"{PROTOCOL}://{self._strip_protocol(path)}")

    # -- what it does not do ---------------------------------------------------------------------

    def _refused(self, what: str, path: object) -> NoReturn:
        raise read_only(what, shown(str(path)))

    def mkdir(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("make", path)

    def makedirs(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("make", path)

    def rmdir(self, path: str) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("remove", path)

    def rm(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("remove", path)

    def rm_file(self, path: str) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("remove", path)

    def _rm(self, path: str) -> NoReturn:
        self._refused("remove", path)

    def cp_file(self, path1: str, path2: str, **_: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        del path1
        self._refused("copy to", path2)

    def copy(self, path1: Any, path2: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        del path1
        self._refused("copy to", path2)

    def mv(self, path1: Any, path2: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        del path2
        self._refused("move", path1)

    def put(self, lpath: Any, rpath: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        del lpath
        self._refused("write to", rpath)

    def put_file(self, lpath: Any, rpath: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        del lpath
        self._refused("write to", rpath)

    def pipe(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("write to", ", ".join(path) if isinstance(path, dict) else path)

    def pipe_file(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("write to", path)

    def touch(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("write to", path)

    def write_text(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("write to", path)

    def start_transaction(self) -> NoReturn:
        """Raise a `ReadOnlyError`."""
        self._refused("write to", "any server")


def _raised_unless_missing(error: Exception) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _copied(file: OpenedFile, target: Any, callback: Any) -> None:
    while data := file.read(NeurofetchFileSystem.blocksize):
        target.write(data)
        callback.relative_update(len(data))


def _folder_info(name: str) -> _Info:
    return {"name": name, "size": 0, "type": "directory"}


def _levels(files: dict[str, _Info], top: str) -> dict[str, list[_Info]]:
    """Return what is directly in each folder, from a folder on downwards, of all files below it."""
    levels: dict[str, list[_Info]] = {top: []} if files else {}
    for name, info in files.items():
        if "//" in name[len(top) :]:  # a folder without a name: it is found, and in no list
            continue
        below, above = info, name.rpartition("/")[0]
        while above not in levels and len(above) > len(top):
            levels[above] = [below]
            below, above = _folder_info(above), above.rpartition("/")[0]
        levels.setdefault(above, []).append(below)
    return {name: sorted(level, key=lambda one: str(one["name"])) for name, level in levels.items()}


fsspec.register_implementation(PROTOCOL, NeurofetchFileSystem, clobber=True)
