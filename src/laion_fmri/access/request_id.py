"""Where the request id is kept: readable by its owner only, and shown nowhere.

``LAION_FMRI_REQUEST_ID`` comes first; else ``$XDG_CACHE_HOME/laion-fmri/auth.json`` (by default
``~/.cache/laion-fmri/auth.json``), which the public package reads too.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch.errors import ConfigError, DestinationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VARIABLE", "Keeper", "KnownId", "auth_path", "keeper", "known_id"]

VARIABLE = "LAION_FMRI_REQUEST_ID"


@dataclass(frozen=True, slots=True)
class KnownId:
    """A request id.

    Parameters
    ----------
    value : str
        Left out of the representation.
    where : str
        Where it was found, for messages.
    """

    value: str = field(repr=False)
    where: str


def auth_path() -> Path:
    """Return the path of the file that keeps the id, whether it exists or not."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "laion-fmri" / "auth.json"


def known_id() -> KnownId | None:
    """Return the request id of this user, if there is one.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if text:
        return KnownId(text, f"the variable {VARIABLE}")
    path = auth_path()
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is no JSON"
        msg = f"the request id in {path} cannot be read: {what}. Correct it, or remove the file."
        raise ConfigError(msg) from None  # the cause quotes what is in the file
    value = said.get("request_id") if isinstance(said, dict) else None
    return KnownId(value.strip(), str(path)) if isinstance(value, str) and value.strip() else None


class Keeper:
    """A file that is ready for an id; see `keeper`."""

    def __init__(self, file: int, temporary: str, path: Path) -> None:
        self._file = file
        self._temporary = temporary
        self._path = path

    def keep(self, request_id: str, server_url: str) -> Path:
        """Write the id down, in one step.

        Raises
        ------
        DestinationError
            If it cannot be written.
        """
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {"server_url": server_url, "request_id": request_id, "saved_at": when}
        data = (json.dumps(said, indent=2) + "\n").encode()
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        return self._path


@contextlib.contextmanager
def keeper() -> Iterator[Keeper]:
    """Make the file first, and then ask for the id: none is lost to a full or read-only disk.

    The file is made with mode 0600, so that the id is never readable by others, not for a moment.

    Raises
    ------
    DestinationError
        If it cannot be made.
    """
    path = auth_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file, temporary = tempfile.mkstemp(dir=path.parent, prefix="auth-")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield Keeper(file, temporary, path)
    finally:
        os.close(file)
        with contextlib.suppress(FileNotFoundError):  # it has taken its name
            os.unlink(temporary)


def _unwritable(path: Path, error: OSError) -> DestinationError:
    return DestinationError(
        f"cannot write {path}: {error.strerror or error}. Make its folder writable, or name "
        "another with XDG_CACHE_HOME."
    )
