r"""From a key on a server to a safe relative path, and which keys cannot be kept side by side.

Every key passes through `placed`, whatever the source. It has a problem when it could leave the
root, names a folder, or cannot be the name of a file (NUL, more than 255 bytes, bytes that are no
UTF-8). What is only unusual passes: control characters, backslashes, colons, Windows' device names
(``aux``, ``con.txt``), trailing dots. They are ordinary names on every platform that the package
runs on, and datasets do use them ("Icon\r" is made by macOS); where they are shown, they are
escaped. A key with a problem is left out and named; it is no obstacle to the others.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from neurofetch.errors import UnsafeNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["all_plain", "left_out", "local_name", "meet", "placed", "tidy_label", "twins"]

MAX_COMPONENT = 255  # bytes: NAME_MAX of every common file system

_STRETCH = 4096
"""Paths that are looked at as one text."""
_NO_NAMES = frozenset({"", ".", ".."})
_SURROGATE = re.compile("[\ud800-\udfff]")
_IGNORED = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff]")  # HFS+ does not see these
_TWIN = (
    "it differs from {} only in case, or in the form of an accent, and this disk cannot tell such "
    "names apart"
)
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
        If the key could leave the root, names a folder, cannot be the name of a file, or is not
        below `strip`.

    Examples
    --------
    >>> local_name("datasets/ds1/sub-01/anat/T1w.nii.gz", strip="datasets/ds1")
    'sub-01/anat/T1w.nii.gz'
    """
    path, problem = placed(key, strip=strip, reserved=reserved)
    if problem:
        msg = (
            f"the key {key!r} cannot become a local file: {problem}. Nothing was written. "
            "Leave it out with --exclude (or exclude=), and tell the owners of the bucket."
        )
        raise UnsafeNameError(msg)
    return path


def placed(key: str, *, strip: str = "", reserved: frozenset[str] = frozenset()) -> tuple[str, str]:
    """Return the path of a key, and why it cannot be kept there; "" when it can.

    Parameters
    ----------
    key, strip, reserved
        As for `local_name`.
    """
    path = key
    if strip:
        folder = strip if strip[-1] == "/" != strip[-2:-1] else strip.rstrip("/") + "/"
        if not key.startswith(folder):
            return key, f"it is not below {folder!r}, where it was listed"
        path = key[len(folder) :]
    folder, slash, name = path.rpartition("/")
    if name in _NO_NAMES or len(name) > MAX_COMPONENT or not name.isascii() or "\0" in name:
        if problem := _problem(path):
            return path or key, problem
    elif slash and (problem := _folder_problem(folder)):
        return path, _problem(path) or problem
    if reserved:
        top = folder.partition("/")[0] if slash else name
        if _is_reserved(top, reserved):
            return path, f"{top!r} is a folder of this package's own"
    return path, ""


def all_plain(paths: Sequence[str], *, reserved: frozenset[str] = frozenset()) -> bool:
    """Whether `placed` would take each of these paths as it is; no is said once in a while for yes.

    Parameters
    ----------
    paths : sequence of str
    reserved
        As for `local_name`.

    Examples
    --------
    >>> all_plain(["a/b.c", ".d/e"]), all_plain(["a/../b"]), all_plain(["a", "b//c"])
    (True, False, False)
    """
    return all(
        _are_plain(paths[first : first + _STRETCH], reserved)
        for first in range(0, len(paths), _STRETCH)
    )


def _are_plain(paths: Sequence[str], reserved: frozenset[str]) -> bool:
    if max(map(len, paths)) > MAX_COMPONENT:
        return False
    text = "\n".join(("", *paths, ""))
    if not text.isascii() or "\0" in text or text.count("\n") != len(paths) + 1:
        return False
    names = text.replace("\n", "/")  # each name of a folder or file between two slashes
    if "//" in names or ("/." in names and ("/./" in names or "/../" in names)):
        return False
    if not reserved:
        return True
    lower = text.lower()
    return not any(f"\n{name.lower()}" in lower for name in reserved)


@lru_cache(maxsize=1024)
def _folder_problem(folder: str) -> str:
    """Say why a folder is dangerous or impossible; many files lie in each."""
    return _problem(folder)


@lru_cache(maxsize=1024)
def _is_reserved(top: str, reserved: frozenset[str]) -> bool:
    return top in reserved or _fold(_IGNORED.sub("", top)) in map(_fold, reserved)


def _problem(path: str) -> str:
    """Say why a path is dangerous or impossible; the cheap test has not passed it."""
    if not path:
        return "it is empty"
    if "\0" in path:
        return "it has the character U+0000, which ends a name"
    if _SURROGATE.search(path):
        return "it is not valid UTF-8"
    if path.startswith("/"):
        return "it is an absolute path"
    if path.endswith("/"):
        return "it ends in a slash, so it names a folder"
    return next(filter(None, map(_component_problem, path.split("/"))), "")


def _component_problem(component: str) -> str:
    if not component:
        return "it has an empty folder name ('//')"
    if component in (".", ".."):
        return f"it has the folder name {component!r}, which points elsewhere"
    length = len(component.encode())
    if length > MAX_COMPONENT:
        return f"a name in it has {length} bytes, but file systems allow {MAX_COMPONENT}"
    return ""


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


def left_out(
    pairs: Iterable[tuple[str, str]],
    *,
    case: bool = False,
    accents: bool = False,
    here: Iterable[str] = (),
) -> dict[str, str]:
    """Return the keys that cannot be kept beside the others, each with the reason.

    Of several keys on one path, one is kept: the key that is called so itself, else the first. Of a
    path that is a file of one key and a folder of others, the folder is kept. Two *folders* that
    differ only in case hold different files, and both are kept in any case.

    Parameters
    ----------
    pairs : iterable of (key, path)
        A key that appears twice counts once.
    case, accents : bool
        Whether the disk takes names for one that differ only in case (macOS, exFAT, SMB), or only
        in the way an accent is composed (macOS).
    here : iterable of str
        Paths of files that earlier runs fetched, and that are here: they stay, and what cannot be
        kept beside them is left out.

    Examples
    --------
    >>> left_out([("a/FFA-1", "a/FFA1"), ("a/FFA1", "a/FFA1")])
    {'a/FFA-1': "the key 'a/FFA1' has the same local name, 'a/FFA1'"}
    >>> left_out([("a", "a"), ("A", "A")]), list(left_out([("a", "a"), ("A", "A")], case=True))
    ({}, ['A'])
    """
    groups: dict[str, dict[str, str]] = {}
    for key, path in pairs:
        groups.setdefault(_fold(path, case=case, accents=accents), {})[key] = path
    found = _beside_earlier(groups, here, case=case, accents=accents)
    for group in groups.values():
        for key in found.keys() & group.keys():
            del group[key]
        if len(group) > 1:
            found.update(_beside(group))
    groups = {name: group for name, group in groups.items() if group}
    folders = _folders(groups)
    for name in folders.keys() & groups.keys():
        below = next(iter(groups[folders[name]].values()))
        found.update((key, f"it is also a folder: {below!r} lies in it") for key in groups[name])
    return found


def meet(paths: Iterable[str], *, case: bool = False, accents: bool = False) -> bool:
    """Whether any two of these paths may be one, or one a folder of others.

    If not, they can all be kept side by side, as `left_out` would say in ten times the memory: only
    the hashes of the paths are compared, so once in a very long while this says yes for nothing.

    Parameters
    ----------
    paths : iterable of str
    case, accents : bool
        As for `left_out`.

    Examples
    --------
    >>> meet(["a/b", "a/c"]), meet(["a/b", "a"]), meet(["a", "A"]), meet(["a", "A"], case=True)
    (False, True, False, True)
    """
    paths = paths if isinstance(paths, list) else list(paths)
    plain = all(map(str.isascii, paths))
    if plain and not case and all(map(str.__lt__, paths, islice(paths, 1, None))):
        return any(_is_among(folder, paths) for folder in _all_folders(paths))
    if plain:
        hashes = set(map(hash, map(str.lower, paths) if case else paths))
    else:
        hashes = {hash(_fold(path, case=case, accents=accents)) for path in paths}
    if len(hashes) < len(paths):
        return True
    folded = (_fold(folder, case=case, accents=accents) for folder in _all_folders(paths))
    return any(hash(folder) in hashes for folder in folded)


def _all_folders(paths: Iterable[str]) -> set[str]:
    """Return every folder of these paths, and those above it."""
    folders: set[str] = set()
    before = ""
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder == before:
            continue
        before = folder
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _is_among(path: str, paths: list[str]) -> bool:
    """Whether a path is one of these, which are sorted."""
    at = bisect_left(paths, path)
    return at < len(paths) and paths[at] == path


def twins(paths: Iterable[str]) -> bool:
    """Whether any two of these paths are one where case, or the form of an accent, is nothing.

    Only then does it matter whether the disk can tell them apart. None of the paths is a folder of
    another: `left_out` has seen to that.
    """
    paths = list(paths)
    if not meet(paths, case=True, accents=True):
        return False
    exact = set(paths)
    folded = set(map(_fold, exact))
    return len(folded) < len(exact) or not folded.isdisjoint(_folders(folded))


def _beside_earlier(
    groups: Mapping[str, Mapping[str, str]], here: Iterable[str], *, case: bool, accents: bool
) -> dict[str, str]:
    """Return the keys that cannot be kept beside files that are here."""
    earlier = {_fold(path, case=case, accents=accents): path for path in here}
    if not earlier:
        return {}
    found: dict[str, str] = {}
    folders = _folders(earlier)
    for name, group in groups.items():
        for key, path in group.items():
            if earlier.get(name, path) != path:
                found[key] = _TWIN.format(f"{earlier[name]!r}, which an earlier run fetched,")
            elif name in folders:
                found[key] = f"a folder is here in its place: {earlier[folders[name]]!r} lies in it"
            elif (above := next((f for f in _above(name) if f in earlier), "")) and above:
                found[key] = f"a file is here in the place of its folder: {earlier[above]!r}"
    return found


def _above(path: str) -> Iterator[str]:
    """Give the folders of a path, from the nearest up."""
    while path := path.rpartition("/")[0]:
        yield path


def _beside(group: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Give the keys of one local name but for the one that is kept."""
    kept = next((key for key, path in group.items() if key.endswith(path)), next(iter(group)))
    for key, path in group.items():
        problem = f"the key {kept!r} has the same local name, {path!r}"
        if path != group[kept]:
            problem = _TWIN.format(repr(group[kept]))
        if key != kept:
            yield key, problem


def _folders(paths: Iterable[str]) -> dict[str, str]:
    """Return every folder of these paths with one path below it; each folder is climbed once."""
    folders: dict[str, str] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders[folder] = path
            folder = folder.rpartition("/")[0]
    return folders


def _fold(path: str, *, case: bool = True, accents: bool = True) -> str:
    """Return the form in which a file system compares names; by default the least exact of all."""
    if path.isascii():
        return path.lower() if case else path
    if accents:
        path = unicodedata.normalize("NFC", path)
    if case:
        path = path.casefold()
    return unicodedata.normalize("NFC", path) if accents else path
