"""Where the request id is kept: readable by its owner only, and never shown.

The variable ``LAION_FMRI_REQUEST_ID`` comes first. Otherwise the id is in
``$XDG_CACHE_HOME/laion-fmri/auth.json`` (by default ``~/.cache/laion-fmri/auth.json``), which the
public package reads too.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch.errors import ConfigError, DestinationError, NeurofetchError
from neurofetch.store.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VARIABLE", "KnownId", "auth_path", "keep_new_id", "known_id"]

VARIABLE = "LAION_FMRI_REQUEST_ID"


@dataclass(frozen=True, slots=True)
class KnownId:
    """A request id.

    Parameters
    ----------
    value : str
        Not part of the representation.
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
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not JSON"
        msg = f"the request id in {path} cannot be read: {what}. Correct it, or remove the file."
        raise ConfigError(msg) from None  # the cause would quote the content
    value = content.get("request_id") if isinstance(content, dict) else None
    return KnownId(value.strip(), str(path)) if isinstance(value, str) and value.strip() else None


def keep_new_id(ask: Callable[[], str], server_url: str) -> KnownId:
    """Ask for a request id and keep it in the file of `auth_path`.

    The file is made first, so that no id is lost to a full or read-only disk. It is made with mode
    0600, so that nobody else can read the id, not for a moment. If `ask` fails, an older id stays.

    Parameters
    ----------
    ask : callable
        Returns the new id; not called where the file cannot be made.
    server_url : str
        The service that gives it; written beside it.

    Returns
    -------
    KnownId

    Raises
    ------
    DestinationError
        If the file cannot be made or written.
    """
    path = auth_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path, private=True) as temporary:
            request_id = ask()
            when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            content = {"server_url": server_url, "request_id": request_id, "saved_at": when}
            Path(temporary).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except NeurofetchError:  # of `ask`: those of servers are OSErrors too
        raise
    except OSError as error:
        msg = (
            f"cannot write {path}: {error.strerror or error}. Make its folder writable, or name "
            "another with XDG_CACHE_HOME."
        )
        raise DestinationError(msg) from error
    return KnownId(request_id, str(path))
