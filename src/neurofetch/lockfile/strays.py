"""Which files of a data directory are not those of the version that it is of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from neurofetch.errors import DestinationError, OfflineError
from neurofetch.lockfile.values import spelled
from neurofetch.recall import readable
from neurofetch.sources.remembered import Remembered
from neurofetch.store.listings import kept

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from neurofetch.lockfile.values import Head, LockedFile
    from neurofetch.model import RemoteFile
    from neurofetch.sources.remembered import Heard

__all__ = ["strays"]

_log = logging.getLogger("neurofetch")


def strays(state: Path, head: Head, files: Iterable[LockedFile], but: Collection[str]) -> list[str]:
    """Return the files that the version has not, or has with another content, or may have.

    An update brings what is chosen, and leaves the rest as it was in the version before. What a
    version has is told by what was listed of it for the files that came: it is remembered. Where
    nothing is, as after `get --locked`, nothing is said.

    Parameters
    ----------
    state : Path
        The state folder.
    head : Head
        It tells of the version.
    files : iterable of LockedFile
    but : collection of str
        Paths of files of which something else is said.
    """
    if not (head.is_versioned and head.version):
        return []
    try:
        _, heard = readable(kept(state, f"{head.source}@{head.version}"))
    except (OSError, DestinationError) as error:
        _log.debug("what was listed cannot be read: %s", error)
        return []
    if not heard:
        return []
    listed = _Listed(heard)
    return [one.path for one in files if one.path not in but and not listed.has(one)]


class _Listed:
    """What is remembered of a version, folder by folder."""

    def __init__(self, heard: list[Heard]) -> None:
        self._lists = Remembered(heard, "")
        self._folders: dict[str, Mapping[str, RemoteFile]] = {}

    def has(self, one: LockedFile) -> bool:
        """Whether a file is as it is listed."""
        folder = one.path[: one.path.rfind("/") + 1]
        if folder not in self._folders:
            self._folders[folder] = self._files(folder)
        files = self._folders[folder]
        remote = files.get(one.path)
        if remote is None or remote.size not in (None, one.size):
            return False
        told = spelled(str(remote.digest)) if remote.digest is not None else ""
        kind = f"{told.partition(':')[0]}:"
        return told in one.hashes or not any(each.startswith(kind) for each in one.hashes)

    def _files(self, folder: str) -> Mapping[str, RemoteFile]:
        try:
            return {file.key: file for file in self._lists.level(folder).files}
        except OfflineError:  # nobody looked into it since the update
            return {}
