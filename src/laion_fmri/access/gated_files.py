"""The stimuli as a source of their own: the bucket, with the gated files at signed addresses.

The bucket lists the gated files and refuses them; the access service hands them out. So the files
of its manifest take the place of the keys that the bucket shows. What a file is, its sha256 in the
manifest says: what is here with that sha256 is kept and needs no address. For the rest, the request
id is exchanged for signed addresses, once, and again when they expire.
Nothing that goes wrong here ends a run: it becomes the fate of the gated files.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from laion_fmri._dataset import GATED
from laion_fmri.access.request_id import known_id
from laion_fmri.access.service import ASK, Entry, Service
from laion_fmri.errors import AccessError
from neurofetch.engine import Level, ListedSource, read_receipts
from neurofetch.errors import UnsafeNameError
from neurofetch.model import Digest, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from neurofetch.engine import Attempts, Client, DataDirectory, RetryRules, Source
    from neurofetch.model import LocalFile

    Make = Callable[[Client, Attempts, DataDirectory], "StimuliSource"]

__all__ = ["NEEDS_ACCESS", "StimuliSource"]

NEEDS_ACCESS = f"gated by a data use agreement; ask for access once: {ASK}"
"""Why a gated file is withheld where no request id is known."""

_FOLDER = "stimuli/"


class StimuliSource:
    """The bucket of LAION-fMRI, with the manifest's files in the place of the gated keys.

    Parameters
    ----------
    bucket : Source
        The rest comes from there.
    client : Client
    directory : DataDirectory
        The service is asked only where that matters: when a gated file is here, or could be fetched
        because a request id is known.
    path_of : callable
        Returns the local path of a key.
    fetch : bool
        Whether files that are not here matter.
    rules : RetryRules, optional
        How patient to be with the service.
    stop : threading.Event, optional
        Set from outside to end a wait for the service.
    url : str, optional
        Of the service, where it is not that of the environment.
    ask : bool
        Ask the service what it has even where no id is known and nothing is here.
    """

    def __init__(
        self,
        bucket: Source,
        client: Client,
        directory: DataDirectory,
        path_of: Callable[[str], str],
        *,
        fetch: bool = True,
        rules: RetryRules | None = None,
        stop: threading.Event | None = None,
        url: str | None = None,
        ask: bool = False,
    ) -> None:
        self._ask = ask
        self._bucket = bucket
        self._directory = directory
        self._path_of = path_of
        self._fetch = fetch
        self._service = Service(client, rules, stop, url)
        self._known = known_id()
        self._keys = frozenset(GATED)
        self._entries: dict[str, Entry] | None = None
        self._version = ""
        self._notes: list[str] = []
        self._error: Exception | None = None
        self._urls: dict[str, str] = {}
        self._generation = 0
        self._handed_out = threading.local()
        self._lock = threading.RLock()  # of what the service said

    @property
    def name(self) -> str:
        """The URL of the bucket."""
        return self._bucket.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of the bucket, and what the access service said."""
        return (*self._bucket.notes, *self._notes)

    @property
    def error(self) -> Exception | None:
        """What the access service refused, or why it could not be asked; None if all went well."""
        return self._error

    @property
    def files_listed(self) -> int:
        """How many files the bucket's listings brought so far."""
        return int(getattr(self._bucket, "files_listed", 0))

    # -- listing -----------------------------------------------------------------------------

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`, sorted by key."""
        files = {file.key: file for file in self._bucket.walk(prefix)}
        if prefix.startswith(_FOLDER) or _FOLDER.startswith(prefix):
            files.update((file.key, file) for file in self._gated(prefix, files, deep=True))
        return [files[key] for key in sorted(files)]

    def level(self, prefix: str) -> Level:
        """Return the files and folders directly below `prefix`."""
        found = self._bucket.level(prefix)
        if not (prefix.startswith(_FOLDER) or _FOLDER.startswith(prefix)):
            return found
        files = {file.key: file for file in found.files}
        gated = ListedSource(self._gated(prefix, files, deep=False)).level(prefix)
        files.update((file.key, file) for file in gated.files)
        folders = sorted({*found.folders, *gated.folders})
        return Level([files[key] for key in sorted(files)], folders)

    def _gated(
        self, prefix: str, listed: Mapping[str, RemoteFile], *, deep: bool
    ) -> list[RemoteFile]:
        """Return the gated files below a prefix: the manifest's, or those that the bucket shows."""
        here = self._here(GATED)
        shown = [file for key in GATED if (file := listed.get(key))]
        if not here and not self._ask and (self._known is None or not self._fetch):
            return [self._unexplained(file, None) for file in shown]
        try:
            entries = self._manifest()
            here |= self._here(entries)
        except (AccessError, UnsafeNameError) as error:
            self._fail(error)
            return [self._unexplained(file, here.get(file.key)) for file in shown]
        keys = [key for key in entries if key.startswith(prefix)]
        files = [self._remote(key, entries[key]) for key in keys]
        self._get_ready([f for f in files if deep or "/" not in f.key[len(prefix) :]], here)
        return files

    def _manifest(self) -> dict[str, Entry]:
        """Return what the service has, by key. It is asked once: a run sees one state of things.

        Raises
        ------
        AccessError
            Also when it could not be had before.
        UnsafeNameError
            If a file in it has a name that is no path.
        """
        with self._lock:
            if self._entries is None:
                if self._error is not None:
                    raise AccessError(str(self._error)) from self._error
                manifest = self._service.manifest()
                entries = {_FOLDER + entry.name: entry for entry in manifest.files}
                for key in entries:
                    self._path_of(key)
                self._entries, self._keys = entries, frozenset(entries)
                self._version = manifest.dataset_version
            return self._entries

    def _here(self, keys: Iterable[str]) -> dict[str, LocalFile]:
        """Return which of these files are here, with their receipts, by key."""
        paths = {self._path_of(key): key for key in keys}
        local = self._directory.survey(paths, read_receipts(self._directory.state))
        return {paths[path]: file for path, file in local.items()}

    def _remote(self, key: str, entry: Entry) -> RemoteFile:
        # the address is never asked: `address` gives one that is signed
        url = f"{self._service.url}/{key}"
        digest = Digest("sha256", entry.sha256)
        withheld = "" if self._known else NEEDS_ACCESS
        return RemoteFile(key, url, entry.size, digest=digest, withheld=withheld)

    def _unexplained(self, file: RemoteFile, here: LocalFile | None) -> RemoteFile:
        """Return a gated file of which only the bucket's listing tells.

        It is what was fetched once, as far as anybody can say: the bucket's ETag tells of a copy
        that nobody gets.
        """
        file = replace(file, etag=None, withheld="" if self._known else NEEDS_ACCESS)
        if not self._fetch:
            file = replace(file, withheld=file.withheld or NEEDS_ACCESS)
        if here is not None and here.receipt is not None:
            file = replace(file, size=here.receipt.size)  # as it came: what is here may be spoilt
        return file

    def _get_ready(self, files: Iterable[RemoteFile], here: Mapping[str, LocalFile]) -> None:
        """Ask for the addresses, so that the plan tells when there are none."""
        missing = any(file.key not in here or here[file.key].size != file.size for file in files)
        if self._fetch and self._known is not None and missing:
            with self._lock:
                if not self._generation:
                    self._refresh()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._error = error
            text = f"the gated stimuli: {error}"
            if text not in self._notes:
                self._notes.append(text)

    # -- in another process ------------------------------------------------------------------

    def remake(self, make: Make) -> Make:
        """Return what makes it again in another process, which asks for the addresses itself.

        Parameters
        ----------
        make : callable
            What made this one.
        """
        return partial(_again, make, self._version, self._keys)

    # -- addresses ---------------------------------------------------------------------------

    def signed(self, remote: RemoteFile) -> bool:
        """Whether a file is one that the access service hands out."""
        return remote.key in self._keys or self._bucket.signed(remote)

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:
        """Return where a file is to be had now.

        Many threads ask at once; when an address has expired, one of them asks the service.

        Raises
        ------
        AccessError
            If a gated file cannot be had; what the service said once holds for the whole run.
        """
        if remote.key not in self._keys:
            return self._bucket.address(remote, fresh=fresh)
        with self._lock:
            if self._error is None and self._is_stale(fresh):
                self._refresh()
            if self._error is not None:
                raise AccessError(str(self._error)) from self._error
            self._handed_out.generation = self._generation
            return self._url(remote.key)

    def _is_stale(self, fresh: bool) -> bool:
        """Whether there are no addresses, or this thread found that the present ones expired."""
        last = getattr(self._handed_out, "generation", 0)
        return not self._generation or (fresh and last == self._generation)

    def _refresh(self) -> None:
        if self._known is None:
            self._error = AccessError(NEEDS_ACCESS)
            return
        try:
            found = self._service.refresh(self._known.value, self._version)
        except AccessError as error:
            self._fail(error)
            return
        self._urls = {_FOLDER + name: url for name, url in found.items()}
        self._generation += 1

    def _url(self, key: str) -> str:
        url = self._urls.get(key)
        if url is None:
            msg = f"the access service has {key} in its manifest, but hands out no address for it"
            raise AccessError(msg)
        return url


def _again(  # noqa: PLR0917 - the first are bound
    make: Make,
    version: str,
    keys: frozenset[str],
    client: Client,
    attempts: Attempts,
    directory: DataDirectory,
) -> StimuliSource:
    made = make(client, attempts, directory)
    made._version, made._keys = version, keys
    return made
