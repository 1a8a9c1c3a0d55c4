r"""What a lock file says, as values and as lines of JSON. Pure.

The first line tells of which data set the lock is; each further line is a file. Lines are sorted by
path, and nothing in them depends on when, where or by which program the lock was made. What is read
here may come from anybody: each line is checked, and an error names it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl, urlsplit

from neurofetch._shown import shown
from neurofetch.errors import LockFileError
from neurofetch.model import STATE_FOLDERS, Digest
from neurofetch.planning.local_path import placed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMAT",
    "Head",
    "LockedFile",
    "bad",
    "digest_of",
    "file_line",
    "file_of",
    "head_line",
    "head_of",
    "origin_problem",
    "path_problem",
    "spelled",
]

FORMAT = 1
"""Of lock files: a newer one may say what this program does not understand."""
_HEX = {"sha256": 64, "md5": 32, "git": 40}
"""The hashes of a lock, strong ones alone, and how many letters each has."""
_STRENGTH = ("sha256", "git", "md5")
_MOST = (1 << 63) - 1
_UNSEEN = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
"""What JSON need not escape, and an editor or a terminal may obey."""
_SIGNED = ("x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature", "sig")
_RESERVED = frozenset({*STATE_FOLDERS})
_TEXTS = ("source", "kind", "name", "version", "commit", "doi", "license")
_OF_GIT = (".git", "git~1")
"""The second is a name that some file systems give to the first."""
_IGNORED = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff]")  # HFS+ does not see these


class LockedFile(NamedTuple):
    """A file of a lock.

    Parameters
    ----------
    path : str
        Relative to the data directory, with forward slashes.
    size : int
        Bytes.
    hashes : tuple of str
        ``algorithm:hex``, at least one: what the source files it under, where that is a hash of its
        content (``git``, ``md5``, ``sha256``), and its SHA-256.
    url : str
        Where to look for it first; "" where that is not known.
    key : str
        Its name on the server, where that is not the prefix of the source and the path; else "".
    """

    path: str
    size: int
    hashes: tuple[str, ...]
    url: str = ""
    key: str = ""

    def hash(self, algorithm: str) -> str:
        """Return one of its hashes, as hexadecimal text; "" where the lock has none of this kind.

        Parameters
        ----------
        algorithm : {"sha256", "git", "md5"}
        """
        start = f"{algorithm}:"
        return next((one[len(start) :] for one in self.hashes if one.startswith(start)), "")

    @property
    def strongest(self) -> str:
        """The hash that is hardest to forge: SHA-256, else git's SHA-1, else MD5."""
        return min(self.hashes, key=lambda one: _STRENGTH.index(one.partition(":")[0]))


@dataclass(frozen=True, slots=True)
class Head:
    """What the first line of a lock says: of which data set it is, and how much it names.

    Parameters
    ----------
    source : str
        Of the data set, as ``s3://BUCKET/PREFIX`` or ``openneuro:ds000246``; "" where it is not
        known.
    kind : str
        Which rules its data directory follows: "bids", "laion-fmri", …
    name, version, commit, doi, license : str
        As the data set describes itself; "" where it does not.
    query : mapping of str to list of str
        The filters that the lock was made with; empty for all files.
    every : bool
        Whether the lock is of all files of the directory, and not only of those that were fetched.
    files, bytes : int
        How many files follow, and how many bytes they have.
    """

    source: str = ""
    kind: str = ""
    name: str = ""
    version: str = ""
    commit: str = ""
    doi: str = ""
    license: str = ""
    query: Mapping[str, list[str]] = field(default_factory=dict)
    every: bool = False
    files: int = 0
    bytes: int = 0

    @property
    def is_versioned(self) -> bool:
        """Whether its source tells versions apart: else nobody but its own files tells which."""
        return bool(self.source) and "://" not in self.source

    @property
    def base(self) -> str:
        """What the keys of its files begin with, in a bucket; "" or ending in a slash."""
        scheme, _, place = self.source.partition("://")
        prefix = place.partition("/")[2] if scheme == "s3" else ""
        return f"{prefix}/" if prefix else ""

    @property
    def folder(self) -> str:
        """The name of a folder for it: the last part of its source; "" where that is none.

        Examples
        --------
        >>> Head("s3://openneuro.org/ds000001").folder, Head("openneuro:ds000246@1.0.1").folder
        ('ds000001', 'ds000246')
        """
        last = re.split(r"[/:]", self.source.rstrip("/"))[-1].partition("@")[0]
        return last if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", last) else ""


# -- hashes ----------------------------------------------------------------------------------


def spelled(digest: str) -> str:
    """Return a digest as a lock spells it; "" for one that is too weak to tell files apart by.

    Examples
    --------
    >>> spelled("gitblob:" + "0" * 40)[:8], spelled("crc64nvme:0123456789abcdef"), spelled("")
    ('git:0000', '', '')
    """
    algorithm, _, value = digest.partition(":")
    algorithm = "git" if algorithm == "gitblob" else algorithm
    good = len(value) == _HEX.get(algorithm, -1) and _is_hex(value)
    return f"{algorithm}:{value}" if good else ""


def digest_of(spelling: str) -> Digest:
    """Return the digest that a hash of a lock stands for.

    Examples
    --------
    >>> digest_of("git:" + "0" * 40).algorithm
    'gitblob'
    """
    algorithm, _, value = spelling.partition(":")
    return Digest("gitblob" if algorithm == "git" else algorithm, value)


def _is_hex(value: str) -> bool:
    return not value.strip("0123456789abcdef")


# -- writing ---------------------------------------------------------------------------------


def head_line(head: Head) -> bytes:
    """Return the first line."""
    said: dict[str, Any] = {"neurofetch-lock": FORMAT}
    said |= {name: text for name in _TEXTS if (text := getattr(head, name))}
    if head.query:
        said["query"] = {name: list(values) for name, values in sorted(head.query.items())}
    if head.every:
        said["every"] = True
    return _line(said | {"files": head.files, "bytes": head.bytes})


def file_line(file: LockedFile) -> bytes:
    r"""Return the line of a file.

    Examples
    --------
    >>> print(file_line(LockedFile("a b", 1, ("md5:" + "0" * 32,))).decode(), end="")
    {"path": "a b", "size": 1, "hash": "md5:00000000000000000000000000000000"}
    """
    path, size, hashes, url, key = file
    said: dict[str, Any] = {"path": path, "size": size}
    said["hash"] = hashes[0] if len(hashes) == 1 else list(hashes)
    if url:
        said["url"] = url
    if key:
        said["key"] = key
    return _line(said)


def _line(said: Mapping[str, Any]) -> bytes:
    text = json.dumps(said, ensure_ascii=False)
    if not text.isprintable():
        text = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode() + b"\n"


# -- reading ---------------------------------------------------------------------------------


def bad(where: str, number: int, what: str, advice: str = "") -> LockFileError:
    """Return the error for a line of a lock.

    Parameters
    ----------
    where : str
        The file.
    number : int
        Of the line, from 1; 0 for the whole file.
    what : str
    advice : str
    """
    place = f"{where}, line {number}" if number else where
    advice = advice or "Get the file anew from where it is published."
    return LockFileError(f"{shown(place)}: {what}. Nothing was done. {advice}")


def head_of(line: bytes, where: str) -> Head:
    """Return what the first line says.

    Raises
    ------
    LockFileError
    """
    if not line.lstrip().startswith(b"{"):
        raise bad(where, 1, _no_lock(line), "A lock is what `neurofetch lock DIR` writes.")
    said = _object(line, where, 1)
    number = said.pop("neurofetch-lock", None)
    if not _is_count(number):
        what = f"this is no lock file: its first line has no number of a format, {_short(line)}"
        raise bad(where, 1, what, "A lock is what `neurofetch lock DIR` writes.")
    if number != FORMAT:
        what = f"it has format {number}, and this version of neurofetch reads {FORMAT}"
        raise bad(where, 1, what, "Update with: pip install -U neurofetch")
    problem = _head_problem(said)
    if problem:
        raise bad(where, 1, problem)
    query = said.get("query", {})
    texts = {name: said.get(name, "") for name in _TEXTS}
    every, files, size = said.get("every", False), said["files"], said["bytes"]
    return Head(**texts, query=query, every=every, files=files, bytes=size)


def _no_lock(line: bytes) -> str:
    if b"\0" in line or _not_text(line):
        return "this is no lock file, and no text: it begins with other bytes"
    return f"this is no lock file: its first line is {_short(line)}"


def _not_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


def _short(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _head_problem(said: Mapping[str, Any]) -> str:
    allowed = {*_TEXTS, "query", "every", "files", "bytes"}
    unknown = [name for name in said if name not in allowed]
    if unknown:
        return f"it has a word that this format does not know: {unknown[0]!r}"
    for name in ("files", "bytes"):
        if not _is_count(said.get(name)):
            return f"it does not say how many {name} there are: {said.get(name)!r}"
    for name in _TEXTS:
        text = said.get(name, "")
        if not isinstance(text, str) or _has_surrogates(text):
            return f"its {name!r} is no text"
    if said.get("every", True) is not True:
        return "its 'every' is not true"
    return _source_problem(said.get("source", "")) or _query_problem(said.get("query", {}))


def _source_problem(source: str) -> str:
    parts = _split(source)
    if parts is None or "@" in parts.netloc or parts.query:
        return "its source has a user, a password or a signature, which no lock has"
    return ""


def _query_problem(query: object) -> str:
    sound = isinstance(query, dict) and all(
        isinstance(values, list) and values and all(isinstance(one, str) for one in values)
        for values in query.values()
    )
    return "" if sound else "its 'query' is no list of texts for each filter"


def file_of(line: bytes, where: str, number: int) -> LockedFile:
    """Return the file that a line names.

    Raises
    ------
    LockFileError
        If it is no such line, or names what no lock may.
    """
    said = _object(line, where, number)
    problem = _file_problem(said)
    if problem:
        raise bad(where, number, problem)
    hashes = said["hash"]
    hashes = [hashes] if isinstance(hashes, str) else hashes
    spellings = tuple(map(spelled, hashes))
    return LockedFile(
        said["path"], said["size"], spellings, said.get("url", ""), said.get("key", "")
    )


def _object(line: bytes, where: str, number: int) -> dict[str, Any]:
    """Return a line as an object of JSON, each of whose words stands in it once."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise bad(where, number, "it is not UTF-8: no text, or damaged") from None
    try:
        said = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        what = f"it is no JSON, so it was cut or edited: {_short(line)}"
        if isinstance(error, _TwiceError):
            what = f"it has the word {error.args[0]!r} twice"
        raise bad(where, number, what) from None
    if not isinstance(said, dict):
        raise bad(where, number, f"it is no object of JSON: {_short(line)}")
    return said


class _TwiceError(ValueError):
    """A word stands twice in an object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return said


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _file_problem(said: Mapping[str, Any]) -> str:
    """Say what is wrong with the line of a file; "" if nothing is."""
    if "neurofetch-lock" in said:
        return "a second lock begins here: two were put into one file"
    unknown = [name for name in said if name not in ("path", "size", "hash", "url", "key")]
    if unknown:
        return f"it has a word that this format does not know: {unknown[0]!r}"
    path, size = said.get("path"), said.get("size")
    if not isinstance(path, str):
        return "it has no path"
    if problem := path_problem(path):
        return f"the path {path!r} cannot be kept: {problem}"
    problem = _hash_problem(said.get("hash"))
    if not _is_count(size):
        problem = f"its size is {size!r}, and no number of bytes"
    problem = problem or origin_problem(said.get("url", ""), said.get("key", ""))
    return f"of {path!r}: {problem}" if problem else ""


def origin_problem(url: object, key: object) -> str:
    r"""Say why no lock may have this address and this key of a file; "" if it may.

    Examples
    --------
    >>> origin_problem("https://host/ds/README?versionId=1", ""), origin_problem("", "\0")
    ('', 'its key is no text')
    """
    if not isinstance(key, str) or "\0" in key or _has_surrogates(key):
        return "its key is no text"
    return _url_problem(url)


def path_problem(path: str) -> str:
    """Say why no lock may name a path; "" if it may.

    Besides what leads out of the directory and what no disk takes, these are the folders of
    programs that keep orders in them: our own, and git's, which runs what its configuration says.

    Examples
    --------
    >>> path_problem("sub-01/anat/T1w.nii.gz"), path_problem(".gitattributes")
    ('', '')
    >>> path_problem("../a"), path_problem("a/.GIT/config")
    ("it has the folder name '..', which points elsewhere", "'.GIT' is a folder of git's own")
    """
    problem = placed(path, reserved=_RESERVED)[1]
    plain = path if path.isascii() else _IGNORED.sub("", path)
    if problem or "git" not in plain.lower():
        return problem
    found = [
        part
        for part, seen in zip(path.split("/"), plain.split("/"), strict=True)
        if seen.casefold().rstrip(". ") in _OF_GIT
    ]
    return f"{found[0]!r} is a folder of git's own" if found else ""


def _hash_problem(given: object) -> str:
    hashes = [given] if isinstance(given, str) else given
    if not isinstance(hashes, list) or not hashes or not all(isinstance(h, str) for h in hashes):
        return "it has no hash"
    kinds: list[str] = []
    for one in hashes:
        found = spelled(one)
        if not found:
            known = ", ".join(f"{name}:{length} digits" for name, length in _HEX.items())
            return f"{one[:80]!r} is no hash that a lock has ({known}, in small letters)"
        kinds.append(found.partition(":")[0])
    return "it has two hashes of one kind" if len(set(kinds)) < len(kinds) else ""


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _url_problem(url: object) -> str:
    if url == "":
        return ""
    sound = isinstance(url, str) and url.isascii() and url.isprintable() and " " not in url
    parts = _split(url) if isinstance(url, str) and sound else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return f"its address is no URL of the web: {str(url)[:80]!r}"
    names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if "@" in parts.netloc or names.intersection(_SIGNED):
        return "its address has a password or a signature, which no lock has"
    return ""
