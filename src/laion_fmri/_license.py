"""The licence of the data: CC0 1.0, acknowledged once for each data directory.

At a terminal you type ``I AGREE``. Elsewhere you name the licence in a flag, an argument or an
environment variable. What was accepted, how and when is recorded in the data directory.
"""

from __future__ import annotations

import os
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from laion_fmri.errors import LicenseNotAcceptedError
from neurofetch.errors import DestinationError, UsageError
from neurofetch.store.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LICENSE", "is_accepted", "require_license"]

LICENSE = "CC0-1.0"
URL = "https://creativecommons.org/publicdomain/zero/1.0/"
VARIABLE = "LAION_FMRI_ACCEPT_LICENSE"
_PHRASE = "I AGREE"


def _marker(root: Path) -> Path:
    return root / ".laion_fmri" / "license_accepted"


def is_accepted(root: Path) -> bool:
    """Whether the licence was accepted for this data directory."""
    return _marker(root).exists()


def require_license(root: Path, named: str | None = None) -> None:
    """Make sure that the licence is accepted; ask for it where there is a terminal.

    Parameters
    ----------
    root : Path
        The data directory.
    named : str, optional
        The licence that the caller accepts by its name, ``"CC0-1.0"``.

    Raises
    ------
    LicenseNotAcceptedError
        If it was not accepted.
    UsageError
        If `named`, or the environment variable, names another licence.
    """
    if is_accepted(root):
        return
    for text, how in ((named, "argument"), (os.environ.get(VARIABLE), f"variable {VARIABLE}")):
        if text is not None and text != "":
            _check_name(text, how)
            _write_down(root, how)
            return
    if not (sys.stdin is not None and sys.stdin.isatty()):
        msg = (
            f"the LAION-fMRI data are in the public domain under {LICENSE} ({URL}). You accept "
            "this licence once for each data directory, and there is no terminal to ask at. "
            f"Nothing was fetched. Pass --accept-license {LICENSE} (in Python "
            f"accept_license={LICENSE!r}), or set {VARIABLE}={LICENSE}."
        )
        raise LicenseNotAcceptedError(msg)
    _ask()
    _write_down(root, "terminal")


def _check_name(text: str, how: str) -> None:
    if text.strip().upper() != LICENSE:
        msg = (
            f"the licence of LAION-fMRI is {LICENSE}, but the {how} names {text!r}. Use {LICENSE}."
        )
        raise UsageError(msg)


def _ask() -> None:
    print(
        f"The LAION-fMRI data are in the public domain under {LICENSE}:\n  {URL}\n"
        f"Type {_PHRASE} to continue.\n> ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    # Not input(): it writes its prompt to stdout, which is for data only.
    if sys.stdin.readline().strip() != _PHRASE:
        msg = f"the licence was not accepted (expected {_PHRASE!r}). Nothing was fetched."
        raise LicenseNotAcceptedError(msg)


def _write_down(root: Path, how: str) -> None:
    marker = _marker(root)
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = f"{LICENSE} {URL}\naccepted {when} by {how}\n"
    try:
        with Folder.root(root) as above, above.below([marker.parent.name], make=True) as folder:
            draft = f".{secrets.token_hex(8)}.{marker.name}"
            folder.write(draft, content.encode())
            folder.rename(draft, folder, marker.name)
            folder.sync()
    except OSError as error:
        msg = f"cannot write {marker}: {error.strerror or error}. Make {root} writable."
        raise DestinationError(msg) from error
