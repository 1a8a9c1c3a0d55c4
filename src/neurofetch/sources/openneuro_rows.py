"""The rows of a listing of OpenNeuro: each a file with its content's hash, none of them believed.

A row's ``id`` is the key of git-annex (``MD5E-s<size>--<hash>.<ending>``) or, of a small file, the
name that git gives to its content. So what is to come is known before it comes. Facts: `_read_tree`
in the server's ``datalad_service/common/annex.py``; https://git-annex.branchable.com/internals/key_format/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus

from neurofetch.errors import ProtocolError
from neurofetch.model import Digest, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Rows", "is_signed", "without_signature"]

_KEY = re.compile(r"([A-Z0-9_]+?)(E?)-s([0-9]{1,18})(?:-[a-zA-Z][0-9]+)*--(.+)", re.DOTALL)
_BLOB = re.compile(r"[0-9a-f]{40}")
_HASHES = {"MD5": ("md5", 32), "SHA256": ("sha256", 64)}
_EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
"""What git calls no content at all."""
_WEB = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_NOT_SENDABLE = re.compile(r"[^!-~]")
_SIGNED = re.compile(r"[?&](?:AWSAccessKeyId|Expires|Signature|X-Amz-[A-Za-z-]+)=[^&]*")
_LINK = (
    "a symbolic link in the data set, which OpenNeuro lists without content; what it leads to has "
    "a name of its own"
)
_MOST = 1 << 62


class _Row(NamedTuple):
    file: RemoteFile
    address: str
    """Where to get it right now; "" where that is the file's URL."""


class Rows:
    """Makes files of the rows of a listing.

    Parameters
    ----------
    site : str
        Without a slash at its end: what lies there is streamed by the site itself.
    accession : str
    """

    def __init__(self, site: str, accession: str) -> None:
        self._sites = (f"{site}/", "https://openneuro.org/")
        self._objects = f"{site}/crn/datasets/{accession}/objects/"
        self._folders: list[str] = []
        self._unhashed: dict[str, int] = {}
        self._resized = 0
        self._links = 0

    def read(self, row: Any) -> _Row | None:
        """Return the file of a row; None for a folder.

        Raises
        ------
        ProtocolError
            If it is no row of a listing: then the listing cannot be used at all.
        """
        name, called = self._named(row)
        if row.get("directory") is True:
            self._folders.append(name)
            return None
        size, digest = self._content(row, name, called)
        url, signed = self._place(row, name, called)
        withheld = ""
        if size == 0 and digest is not None and digest.algorithm == "gitblob":
            withheld = "" if digest.value == _EMPTY else _LINK
            self._links += bool(withheld)
        ranges = not url.startswith(self._sites)
        file = RemoteFile(name, url, size, digest=digest, ranges=ranges, withheld=withheld)
        return _Row(file, signed)

    @staticmethod
    def _named(row: Any) -> tuple[str, str]:
        name = row.get("filename") if isinstance(row, dict) else None
        called = row.get("id") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name or not isinstance(called, str | None):
            msg = f"the listing has a row that is no file: {str(row)[:120]!r}"
            raise ProtocolError(msg)
        return name, called or ""

    def _content(self, row: Any, name: str, called: str) -> tuple[int | None, Digest | None]:
        """Return size and hash of a file; the size in a key is part of what is hashed."""
        size = _whole_number(row.get("size"), name)
        if _BLOB.fullmatch(called):
            if size is None:
                self._missing("files of git without a size")
                return None, None
            return size, Digest("gitblob", called)
        key = _KEY.fullmatch(called)
        if key is None:
            self._missing("no id" if not called else "an id of another kind")
            return size, None
        keyed = int(key[3])
        if size is not None and size != keyed:
            self._resized += 1
        algorithm, length = _HASHES.get(key[1], ("", 0))
        value = key[4][:length]
        ends = key[4][length : length + 1] in ("", ".")
        if (
            not algorithm
            or len(value) != length
            or not ends
            or set(value) - set("0123456789abcdef")
        ):
            self._missing(f"the backend {key[1]}{key[2]}"[:40])
            return keyed, None
        return keyed, Digest(algorithm, value)

    def _missing(self, why: str) -> None:
        self._unhashed[why] = self._unhashed.get(why, 0) + 1

    def _place(self, row: Any, name: str, called: str) -> tuple[str, str]:
        """Return the address without a signature, and the signed one where there is one.

        It goes out as it came, byte for byte: it is quoted already, and a "+" in it is a space to
        S3. Only what no request can carry is quoted here.
        """
        urls = row.get("urls")
        url = urls[0] if isinstance(urls, list) and urls else None
        if not isinstance(url, str) or not url:  # what the server writes where nothing is exported
            return f"{self._objects}{called}?filename={quote_plus(name.rpartition('/')[2])}", ""
        if _NOT_SENDABLE.search(url):
            url = _NOT_SENDABLE.sub(lambda odd: quote_plus(odd[0]), url)
        if not _WEB.match(url):
            msg = f"the listing has an address that is none for {name!r}: {url[:80]!r}"
            raise ProtocolError(msg)
        return (without_signature(url), url) if is_signed(url) else (url, "")

    # -- all of them ---------------------------------------------------------------------------

    def joined(self, rows: Sequence[_Row]) -> tuple[list[_Row], dict[str, str]]:
        """Return the files in the order of their names, each once, and what is wrong with some.

        Raises
        ------
        ProtocolError
            If the listing has folders whose files it lacks.
        """
        found: dict[str, _Row] = {}
        wrong: dict[str, str] = {}
        for row in rows:
            name = row.file.key
            other = found.setdefault(name, row)
            same = (other.file.digest, other.file.size) == (row.file.digest, row.file.size)
            if other is not row and not same:
                wrong[name] = (
                    "OpenNeuro lists this name twice, with two contents "
                    f"({other.file.digest} and {row.file.digest}): nobody can tell which is meant"
                )
        names = sorted(found)
        self._check_folders(names)
        return [found[name] for name in names], wrong

    def _check_folders(self, names: Sequence[str]) -> None:
        for folder in self._folders:
            start = folder.rstrip("/") + "/"
            if not any(name.startswith(start) for name in names):
                msg = f"the listing has the folder {folder!r} without the files in it"
                raise ProtocolError(msg)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the rows that came."""
        notes = [
            f"{count:,} {_files(count)} without a hash that is known here ({why}): checked by size"
            for why, count in self._unhashed.items()
        ]
        if self._resized:
            notes.append(
                f"the listing gives {self._resized:,} {_files(self._resized)} another size than "
                "their content's key does: the key counts"
            )
        if self._links:
            count = f"{self._links:,} {_files(self._links)} cannot be had"
            notes.append(f"{count}: {_LINK}")
        return tuple(notes)


def _files(count: int) -> str:
    return "file" if count == 1 else "files"


def _whole_number(value: object, name: str) -> int | None:
    """Return a size, which may come as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST:
        msg = f"the listing has a size that is none for {name!r}: {str(value)[:40]}"
        raise ProtocolError(msg)
    return value


def is_signed(url: str) -> bool:
    """Whether an address is signed: good for a while, and to be shown to nobody."""
    return "Signature=" in url.partition("?")[2]


def without_signature(url: str) -> str:
    """Return an address without what signs it.

    Examples
    --------
    >>> without_signature("https://h/k?versionId=v&AWSAccessKeyId=a&Expires=1&Signature=s")
    'https://h/k?versionId=v'
    """
    path, mark, query = url.partition("?")
    kept = _SIGNED.sub("", f"{mark}{query}").lstrip("?&")
    return f"{path}?{kept}" if kept else path
