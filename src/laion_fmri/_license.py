"""The licence of the data: CC0 1.0, acknowledged once for each data directory.

At a terminal, or in a notebook, you type ``I AGREE`` after you have seen what would be fetched.
Elsewhere you name the licence in a flag, an argument or an environment variable, or write
``I AGREE`` to the standard input. What was accepted, how and when is recorded in the data
directory.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import select
import stat
import sys
from datetime import UTC, datetime
from types import BuiltinFunctionType
from typing import TYPE_CHECKING

from laion_fmri.errors import LicenseNotAcceptedError
from neurofetch import console
from neurofetch.errors import DestinationError, UsageError
from neurofetch.store.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from neurofetch.engine import DataDirectory

__all__ = [
    "LICENSE",
    "PHRASE",
    "TEXT",
    "URL",
    "agree",
    "can_ask",
    "check_license",
    "is_accepted",
    "require_license",
]

LICENSE = "CC0-1.0"
URL = "https://creativecommons.org/publicdomain/zero/1.0/"
TEXT = (
    f"The LAION-fMRI data are in the public domain under {LICENSE} (CC0 1.0 Universal):\n  {URL}\n"
    "You may use, change and share them without asking. The stimulus pictures are not part of\n"
    "this: they have terms of their own, and come from an access service.\n"
)
"""What the licence of the data is."""
VARIABLE = "LAION_FMRI_ACCEPT_LICENSE"
PHRASE = "I AGREE"
_LONGEST = 100
"""Bytes of a line that may be the phrase."""
_QUESTIONS = 3
"""So many times it is asked, if the answer is neither yes nor no."""
_YES = frozenset({
    "i agree", "agree", "agreed", "i do agree", "i accept", "accept", "accepted", "yes", "y",
    "yes i agree", "yes i do", "yes i accept", "cc0", "cc0 1.0", "cc0-1.0",
})  # fmt: skip
_NO = frozenset({
    "", "no", "n", "nope", "never", "i disagree", "disagree", "i decline", "decline", "cancel",
    "i do not agree", "i dont agree", "do not agree", "i do not", "no thanks", "no thank you",
    "i do not accept", "i dont accept", "refuse", "i refuse", "quit", "q", "exit", "stop",
})  # fmt: skip


def _marker(root: Path) -> Path:
    return root / ".laion_fmri" / "license_accepted"


def is_accepted(root: Path) -> bool:
    """Whether the licence was accepted for this data directory."""
    return _marker(root).exists()


def check_license(root: Path, named: str | None = None) -> None:
    """See that the licence is accepted or that somebody can be asked, before a server is.

    Parameters
    ----------
    root : Path
        The data directory.
    named : str, optional
        The licence that the caller accepts by its name, ``"CC0-1.0"``.

    Raises
    ------
    LicenseNotAcceptedError
        If it was not accepted, and there is nobody to ask.
    UsageError
        If `named`, or the environment variable, names another licence.
    """
    if is_accepted(root) or _named(named) or can_ask():
        return
    if not _agreed_in_advance():
        raise LicenseNotAcceptedError(_nobody("there is no terminal to ask at"))
    _write_down(root, "standard input")


def check_permission(directory: DataDirectory, named: str | None = None) -> None:
    """See that the licence is accepted or can be asked for, and can then be written down.

    Where it was, a directory that others keep and this user only reads is good enough, as long as
    nothing is missing in it: the transfer looks whether it can write when it has to.
    """
    if not is_accepted(directory.root):
        directory.check_writable()
    check_license(directory.root, named)


def require_license(root: Path, named: str | None = None, plan: str = "") -> None:
    """Make sure that the licence is accepted; ask for it where there is somebody to ask.

    Parameters
    ----------
    root : Path
        The data directory.
    named : str, optional
        The licence that the caller accepts by its name, ``"CC0-1.0"``.
    plan : str
        What would be fetched, in words; "" where that was shown already.

    Raises
    ------
    LicenseNotAcceptedError
        If it was not accepted.
    UsageError
        If `named`, or the environment variable, names another licence.
    """
    if is_accepted(root):
        return
    how = _named(named)
    if not how:
        how = _asked(plan)
    if not is_accepted(root):  # another process may have written it down meanwhile
        _write_down(root, how)


def agree(root: Path) -> None:
    """Show the licence of the data and ask for it, once for each data directory.

    Parameters
    ----------
    root : Path
        The data directory.

    Raises
    ------
    LicenseNotAcceptedError
        If the answer is another one than ``I AGREE``, or yes in other words.
    """
    if is_accepted(root):
        return
    how = _named(None)
    if not how:
        if sys.stdin is None and not _in_notebook():
            raise LicenseNotAcceptedError(_nobody("there is no input to read an answer from"))
        print(TEXT, flush=True)
        how = _asked("")
    if not is_accepted(root):
        _write_down(root, how)


def _named(named: str | None) -> str:
    """Return what names the licence, the argument or the variable; "" if neither does."""
    for text, how in ((named, "argument"), (os.environ.get(VARIABLE), f"variable {VARIABLE}")):
        if text is not None and text != "":
            _check_name(text, how)
            return how
    return ""


def _check_name(text: str, how: str) -> None:
    if str(text).strip().upper() != LICENSE:  # True is no name
        msg = (
            f"the licence of LAION-fMRI is {LICENSE}, but the {how} names {text!r}. Use {LICENSE}."
        )
        raise UsageError(msg)


def _nobody(why: str) -> str:
    return (
        f"the LAION-fMRI data are in the public domain under {LICENSE} ({URL}). You accept "
        f"this licence once for each data directory, and {why}. "
        f"Nothing was fetched. Pass --accept-license {LICENSE} (in Python "
        f"accept_license={LICENSE!r}), set {VARIABLE}={LICENSE}, or write {PHRASE} to the "
        "standard input."
    )


# -- asking --------------------------------------------------------------------------------------


def can_ask() -> bool:
    """Whether there is somebody who can answer: at a terminal, in a notebook, or a script."""
    return _terminal() or _in_notebook() or _script_answers()


def _script_answers() -> bool:
    """Whether a script has put a function of its own in the place of `input`, to answer itself."""
    return not isinstance(input, BuiltinFunctionType)


def _agreed_in_advance() -> bool:
    """Whether a line ``I AGREE`` waits in a pipe or a file: ``echo I AGREE | laion-fmri …``.

    Nothing is waited for, and no more than the line is taken: what follows in a pipe may be for
    others, such as the rest of a script that a shell reads from it.
    """
    try:
        if isinstance(sys.stdin, io.StringIO):  # a script's own
            return _normal(sys.stdin.readline()) == PHRASE.casefold()
        number = sys.stdin.fileno()
        kind = os.fstat(number).st_mode
        if not (stat.S_ISFIFO(kind) or stat.S_ISREG(kind)):
            return False
        line = b""
        while len(line) < _LONGEST and select.select([number], [], [], 0)[0]:
            byte = os.read(number, 1)
            if byte in {b"", b"\n"}:
                break
            line += byte
    except (AttributeError, OSError, ValueError):  # there is none, it is closed, or a test's own
        return False
    return _normal(line.decode(errors="replace")) == PHRASE.casefold()


def _terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # it was closed
        return False


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel: there `input` asks the notebook, and stdin is no terminal.

    See https://ipython.readthedocs.io/en/stable/api/generated/IPython.core.getipython.html and
    https://jupyter-client.readthedocs.io/en/stable/messaging.html#messages-on-the-stdin-channel.
    """
    ipython = sys.modules.get("IPython")  # a kernel has loaded it
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _asked(plan: str) -> str:
    """Ask until the answer is yes or no; return where.

    Raises
    ------
    LicenseNotAcceptedError
        If the answer is no, in whatever way, or nobody can be asked after all.
    """
    where, read = ("terminal", _read_terminal)
    if _in_notebook():
        where, read = ("notebook", _read_notebook)
    elif _script_answers():
        where, read = ("script", _read_notebook)
    shown = f"{plan}\n\n" if plan else ""
    console.say(
        f"{shown}The LAION-fMRI data are in the public domain under {LICENSE}:\n  {URL}\n"
        f"Type {PHRASE} to continue."
    )
    for left in reversed(range(_QUESTIONS)):
        answer = _answer(read)
        if _normal(answer) in _YES:
            return where
        if _normal(answer) in _NO or not left:
            break
        console.say(f"{answer.strip()!r} is neither yes nor no. Type {PHRASE}, or no.")
    msg = (
        f"the licence was not accepted: you answered {answer.strip()!r}. Nothing was fetched. Run "
        f"this again and type {PHRASE}, or name the licence: --accept-license {LICENSE}, "
        f"accept_license={LICENSE!r} in Python, or {VARIABLE}={LICENSE}."
    )
    raise LicenseNotAcceptedError(msg)


def _normal(answer: str) -> str:
    """Return an answer without what does not matter: case, quotes, stops at its end, more room."""
    words = re.sub(r"['\"`\u2019,;!]", "", answer.casefold()).split()
    return " ".join(words).rstrip(". ")


def _answer(read: Callable[[], str]) -> str:
    try:
        return read()
    except KeyboardInterrupt:
        why = "you pressed Ctrl-C, or interrupted the kernel"
    except EOFError:
        why = "there was no answer (Ctrl-D, or the end of the input)"
    except NotImplementedError as error:  # StdinNotImplementedError of IPython
        why = "this notebook runs where nobody can be asked (as nbconvert and papermill do)"
        raise LicenseNotAcceptedError(_nobody(why)) from error
    except OSError as error:  # pytest and some batch systems close it
        raise LicenseNotAcceptedError(_nobody("the standard input cannot be read")) from error
    console.say("")
    msg = f"the licence was not accepted: {why}. Nothing was fetched."
    raise LicenseNotAcceptedError(msg)


def _read_notebook() -> str:
    return input(f"{PHRASE}? ")


def _read_terminal() -> str:
    # Not input(): it writes its prompt to stdout, which is for data only.
    console.say("> ", end="")
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        return "\ufffd"
    if not line:
        raise EOFError
    return line


def _write_down(root: Path, how: str) -> None:
    marker = _marker(root)
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = f"{LICENSE} {URL}\naccepted {when} by {how}\n"
    try:
        with Folder.root(root) as above, above.below([marker.parent.name], make=True) as folder:
            draft = f".{secrets.token_hex(8)}.{marker.name}"
            folder.write_as(draft, content.encode(), folder, marker.name)
            folder.sync()
    except OSError as error:
        msg = f"cannot write {marker}: {error.strerror or error}. Make {root} writable."
        raise DestinationError(msg) from error
