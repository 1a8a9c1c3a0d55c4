"""Files of buckets and of OpenNeuro for a workflow: told from one listing a folder, and brought."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurofetch.credentials.access import Access
from neurofetch.errors import (
    FolderGivenError,
    MissingRemoteError,
    RefusedError,
    UnsafeNameError,
    UsageError,
)
from neurofetch.fetcher import Fetcher, RunSettings
from neurofetch.model import STATE_FOLDERS, Want
from neurofetch.net.settings import REGION
from neurofetch.opening.remote import Reach, source_of
from neurofetch.planning.dataset import Dataset, Selection
from neurofetch.planning.match import Rules
from neurofetch.sources.ask import moment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from neurofetch.model import RemoteFile
    from neurofetch.opening.address import Address
    from neurofetch.opening.remote import Origin

__all__ = ["Known", "RemoteFiles"]

_FRESH = 300.0
"""Seconds for which the listing of a folder of a bucket holds."""
_HASHES = ("md5", "sha256")
"""Those that others can compute, too: git's are of more than the content."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file, or of a folder with all that is in it.

    Parameters
    ----------
    files : tuple of RemoteFile
        The file; of a folder, all files below it.
    folder : bool
    """

    files: tuple[RemoteFile, ...]
    folder: bool = False

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(file.size or 0 for file in self.files)

    @property
    def mtime(self) -> float:
        """When the newest was modified, in seconds since the epoch; 0 where no server says it.

        A version of a data set at OpenNeuro never changes.
        """
        return max((moment(file.modified or "") or 0.0 for file in self.files), default=0.0)

    @property
    def checksum(self) -> str | None:
        """``algorithm:hex`` of the file, where the listing tells one that others know, too."""
        digest = None if self.folder else self.files[0].digest
        if digest is None or digest.algorithm not in _HASHES:
            return None
        return str(digest)


class RemoteFiles:
    """What a workflow takes from servers. Any number of threads may use it.

    Parameters
    ----------
    profile, signed, requester_pays, endpoint, region : optional
        How buckets are asked; see `neurofetch.get`.
    n_jobs, limit_rate, patience : optional
        How files are brought; see `neurofetch.get`.

    Raises
    ------
    UsageError
        If one of them cannot be used.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        signed: bool = False,
        requester_pays: bool = False,
        endpoint: str | None = None,
        region: str | None = None,
        n_jobs: int = 1,
        limit_rate: float | None = None,
        patience: float | None = None,
    ) -> None:
        self._access = Access.checked(
            profile=profile, signed=signed, requester_pays=requester_pays, endpoint=endpoint
        )
        if region is not None and not REGION.fullmatch(region):
            msg = f"{region!r} is not a region such as us-west-2. Nothing was done."
            raise UsageError(msg)
        self._settings = RunSettings.checked(
            n_jobs=n_jobs, limit_rate=limit_rate, patience=patience, progress="none"
        )
        self._reach = Reach(self._settings.network, region=region, access=self._access)
        self._levels: dict[tuple[str, str, str], tuple[float, dict[str, RemoteFile]]] = {}
        self._lock = threading.Lock()

    # -- what there is -----------------------------------------------------------------------

    def look(self, address: Address) -> Known | None:
        """Return what is known of a file or folder; None where there is none of that name.

        Parameters
        ----------
        address : Address

        Raises
        ------
        ServerError
            If the server does not say.
        """
        if address.kind == "openneuro" and self._access.flags:
            msg = (
                f"{self._access.flags} is for buckets, and {address.name} is of OpenNeuro, which "
                "has tokens of its own. Nothing was done. Leave it out."
            )
            raise UsageError(msg)
        origin = source_of(address, self._reach)
        key = address.key.rstrip("/")
        try:
            found = self._beside(origin, address).get(key)
            if found is not None:
                return Known((found,))
            files = tuple(_files(origin.walk(address.at(key))))
        except RefusedError:  # a bucket that is not to be listed may still give out its objects
            alone = origin.find(address)
            return None if alone is None else Known((alone.remote,))
        return Known(files, folder=True) if files else None

    def beside(self, address: Address) -> dict[str, RemoteFile]:
        """Return the files in the folder of a file, by key: one listing tells of all of them."""
        return self._beside(source_of(address, self._reach), address)

    def below(self, address: Address) -> list[RemoteFile]:
        """Return all files below a folder; what stands for a folder in a bucket is none.

        Raises
        ------
        ServerError
        """
        return _files(source_of(address, self._reach).walk(address))

    def _beside(self, origin: Origin, address: Address) -> dict[str, RemoteFile]:
        folder = address.at(address.key.rstrip("/").rpartition("/")[0])
        place = folder.kind, folder.place, folder.key
        with self._lock:
            since, found = self._levels.get(place, (0.0, None))
        fixed = address.kind == "openneuro" and "@" in address.place
        if found is None or not (fixed or time.monotonic() - since < _FRESH):
            found = {file.key: file for file in _files(origin.level(folder).files)}
            with self._lock:
                self._levels[place] = time.monotonic(), found
        return found

    # -- bringing it -------------------------------------------------------------------------

    def bring(self, address: Address, place: Path) -> None:
        """Bring a file or folder, verified; what is here already does not come again.

        Parameters
        ----------
        address : Address
        place : path
            The folder that stands for all of the bucket, or of the data set.

        Raises
        ------
        MissingRemoteError
            If there is nothing of that name.
        IncompleteError
            If it cannot be had; it says what to do.
        UnsafeNameError
            If it cannot be kept under its name.
        NeurofetchError
            As `neurofetch.get`.
        """
        known = self.look(address)
        if known is None:
            msg = f"there is no {address.name}. Nothing was fetched. Check its name."
            raise MissingRemoteError(msg)
        if known.folder and place.joinpath(address.key).is_file():
            msg = f"{address.name} is a folder, and {place / address.key} is a file."
            raise FolderGivenError(f"{msg} Nothing was fetched. Remove that file.")
        dataset, root = self._dataset(address, place)
        origin = source_of(address, self._reach)
        wants = tuple(_wanted(dataset, known.files))
        with Fetcher(
            dataset,
            root,
            new=True,
            make_source=lambda *_: origin.source,
            client=self._reach.client(),
            access=self._access if dataset.bucket else None,
        ) as fetcher:
            plan = fetcher.prepare(lambda: Selection(wants, ()), self._settings)
            fetcher.run(plan, self._settings)

    def _dataset(self, address: Address, place: Path) -> tuple[Dataset, Path]:
        """Return the data set that a file is of, and its data directory.

        Of a bucket it is the topmost folder: as one, a bucket would have the receipts of all.
        """
        if address.kind == "openneuro":
            accession = address.place.partition("@")[0]
            return Dataset(address.place, rules=Rules(), home=f"openneuro:{accession}"), place
        top, slash, _ = address.key.partition("/")
        base = f"{top}/" if slash and top.casefold() not in STATE_FOLDERS else ""
        name = f"s3://{address.place}/{base}"
        found = Dataset(name, address.place, self._reach.region, base, Rules())
        return found, place / top if base else place


def _files(found: Iterable[RemoteFile]) -> list[RemoteFile]:
    """Leave out the empty objects by which tools show folders in a bucket."""
    return [file for file in found if not file.key.endswith("/")]


def _wanted(dataset: Dataset, files: Iterable[RemoteFile]) -> Iterable[Want]:
    """Give what is to be brought, under the names that the workflow knows.

    Raises
    ------
    UnsafeNameError
    """
    for file in files:
        path, problem = dataset.place(file.key)
        if not problem and path != file.key[len(dataset.base) :]:
            problem = f"here it would be {path}"
        if problem:
            msg = f"{dataset.origin}{file.key} cannot be kept under its name: {problem}."
            raise UnsafeNameError(f"{msg} Nothing was fetched.")
        yield Want(file, path)
