"""Temporary files without a name: they take room on the disk, and are gone with the process."""

from __future__ import annotations

import os
import tempfile
import weakref

__all__ = ["Spool"]


class Spool:
    """A temporary file without a name, in the folder that ``TMPDIR`` tells.

    Attributes
    ----------
    fd : int
        Its descriptor; it is closed with this object.

    Raises
    ------
    OSError
        If none can be made.
    """

    def __init__(self) -> None:
        self.fd, path = tempfile.mkstemp(prefix="neurofetch-look-")
        self._closed = weakref.finalize(self, os.close, self.fd)
        os.unlink(path)

    def room(self) -> int:
        """Return the bytes that are free beside it."""
        info = os.fstatvfs(self.fd)
        return info.f_bavail * info.f_frsize

    def close(self) -> None:
        """Give its room back; twice is no error."""
        self._closed()
