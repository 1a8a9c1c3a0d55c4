"""From a key on a server to a safe relative path, and the clashes between such paths.

Every key passes through `local_name`, whatever the source. It is refused when, on a platform that
the package may meet (POSIX, or a POSIX mount of an SMB, NTFS, exFAT or HFS+ disk), it could leave
the root, name a folder, or hide what it is. What is only unusual passes: Windows' device names
(``aux``, ``con.txt``), colons inside a name, trailing dots. They are ordinary names on every
platform that the package runs on, and datasets do use them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import NameClashError, UnsafeNameError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Clash", "check_clashes", "clashes", "local_name", "tidy_label"]

MAX_COMPONENT = 255  # bytes: NAME_MAX of every common file system

# What nearly every key looks like; anything else is looked at piece by piece.
_PLAIN = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.,+=@ -]{0,254}(?:/[A-Za-z0-9_][A-Za-z0-9_.,+=@ -]{0,254})*"
)
# C0, DEL, C1; line and paragraph separators; marks that turn the direction of writing; and lone
# surrogates, which no file system can store.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
_IGNORED = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff]")  # HFS+ does not see these
_LABEL = re.compile(r"(?:^|(?<=_))label-[^_.]*")


def local_name(key: str, *, strip: str = "", reserved: frozenset[str] = frozenset()) -> str:
    """Return the relative path, with forward slashes, on which a key is kept.

    Parameters
    ----------
    key : str
        As the server names the object.
    strip : str
        The folder of the bucket that becomes the root; with or without its last slash.
    reserved : frozenset of str
        Names in the root that no key may take: the package's own folders.

    Raises
    ------
    UnsafeNameError
        If the key could leave the root, names a folder, or is not below `strip`.

    Examples
    --------
    >>> local_name("datasets/ds1/sub-01/anat/T1w.nii.gz", strip="datasets/ds1")
    'sub-01/anat/T1w.nii.gz'
    """
    path = key
    if strip:
        folder = strip.rstrip("/") + "/"
        if not key.startswith(folder):
            _refuse(key, f"it is not below {folder!r}, where it was listed")
        path = key[len(folder) :]
    if _PLAIN.fullmatch(path) is None or path[1:2] == ":":
        _look_closely(key, path)
    if reserved:
        top = path.partition("/")[0]
        if top in reserved or _fold(_IGNORED.sub("", top)) in map(_fold, reserved):
            _refuse(key, f"{top!r} is a folder of this package's own")
    return path


def _look_closely(key: str, path: str) -> None:
    """Refuse a path that is dangerous; the cheap test has not passed it."""
    if not path:
        _refuse(key, "it is empty")
    if found := _CONTROL.search(path):
        _refuse(key, f"it has the control character U+{ord(found[0]):04X}")
    if "\\" in path:
        _refuse(key, "it has a backslash, which separates folders on some systems")
    if path.startswith("/"):
        _refuse(key, "it is an absolute path")
    if path.endswith("/"):
        _refuse(key, "it ends in a slash, so it names a folder")
    for component in path.split("/"):
        if problem := _component_problem(component):
            _refuse(key, problem)


def _component_problem(component: str) -> str:
    if not component:
        return "it has an empty folder name ('//')"
    if component in (".", ".."):
        return f"it has the folder name {component!r}, which points elsewhere"
    if _DRIVE.match(component):
        return f"{component!r} begins like the name of a drive"
    length = len(component.encode())
    if length > MAX_COMPONENT:
        return f"a name in it has {length} bytes, but file systems allow {MAX_COMPONENT}"
    return ""


def _refuse(key: str, problem: str) -> None:
    msg = (
        f"the key {key!r} cannot become a local file: {problem}. Nothing was written. "
        "Leave it out with --exclude (or exclude=), and tell the owners of the bucket."
    )
    raise UnsafeNameError(msg)


def tidy_label(name: str) -> str:
    """Drop the hyphens inside the value of ``label-`` in a file name, as BIDS asks.

    Parameters
    ----------
    name : str
        A file name or a path; only its last component is looked at.

    Examples
    --------
    >>> tidy_label("face/sub-01_label-pSTS-faces_mask.nii.gz")
    'face/sub-01_label-pSTSfaces_mask.nii.gz'
    """
    if "label-" not in name:
        return name
    folder, slash, base = name.rpartition("/")
    return folder + slash + _LABEL.sub(_without_hyphens, base)


def _without_hyphens(entity: re.Match[str]) -> str:
    return "label-" + entity[0][len("label-") :].replace("-", "")


class Clash(NamedTuple):
    """Keys that cannot be kept side by side.

    Parameters
    ----------
    keys : tuple of str
        In the order of their appearance.
    problem : str
        What they share.
    """

    keys: tuple[str, ...]
    problem: str


def clashes(pairs: Iterable[tuple[str, str]]) -> list[Clash]:
    """Find the keys that would land on one local name, in one pass.

    A clash is: two keys on one path; paths that are one name where case, or the way an accent is
    composed, does not count (macOS, exFAT, SMB); a path that is a file of one key and a folder of
    another. Two *folders* that differ only in case hold different files, and are no clash.

    Parameters
    ----------
    pairs : iterable of (key, path)
        A key that appears twice counts once.

    Examples
    --------
    >>> clashes([("a/FFA-1", "a/FFA1"), ("a/ffa1", "a/ffa1")])[0].problem
    "differ only in case or in the form of an accent: 'a/FFA1', 'a/ffa1'"
    """
    files: dict[str, dict[str, str]] = {}
    for key, path in pairs:
        files.setdefault(_fold(path), {})[key] = path
    found = [_on_one_name(group) for group in files.values() if len(group) > 1]
    folders = _folders(files)
    for folded in folders.keys() & files.keys():
        below = next(iter(files[folders[folded]]))
        keys = (*files[folded], below)
        found.append(Clash(keys, f"{next(iter(files[folded].values()))!r} is a file and a folder"))
    return sorted(found)


def check_clashes(pairs: Iterable[tuple[str, str]]) -> None:
    """Raise when any two keys would land on one local name.

    Parameters
    ----------
    pairs : iterable of (key, path)

    Raises
    ------
    NameClashError
        It lists every clash; see `clashes`.
    """
    found = clashes(pairs)
    if not found:
        return
    lines = [f"  {', '.join(map(repr, clash.keys))}: {clash.problem}" for clash in found]
    msg = (
        f"{len(found)} group(s) of keys cannot be kept side by side. Nothing was fetched.\n"
        + "\n".join(lines)
        + "\nLeave out all but one of each with --exclude (or exclude=)."
    )
    raise NameClashError(msg)


def _on_one_name(group: dict[str, str]) -> Clash:
    paths = sorted(set(group.values()))
    if len(paths) == 1:
        return Clash(tuple(group), f"one local name, {paths[0]!r}")
    names = ", ".join(map(repr, paths))
    return Clash(tuple(group), f"differ only in case or in the form of an accent: {names}")


def _folders(paths: Iterable[str]) -> dict[str, str]:
    """Return every folder of these paths with one path below it; each folder is climbed once."""
    folders: dict[str, str] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders[folder] = path
            folder = folder.rpartition("/")[0]
    return folders


def _fold(path: str) -> str:
    """Return the form in which the least exact of file systems compares names."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
