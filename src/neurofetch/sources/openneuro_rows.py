"""The rows of a listing of OpenNeuro: each a file with its content's hash, none of them believed.

A row's ``id`` is the key of git-annex (``MD5E-s<size>--<hash>.<ending>``) or, of a small file, the
name that git gives to its content. So what is to come is known before it comes. Facts: `_read_tree`
in the server's ``datalad_service/common/annex.py``; https://git-annex.branchable.com/internals/key_format/.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus, urlsplit

from neurofetch._compact import quoted
from neurofetch.errors import ProtocolError
from neurofetch.model import Digest, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["STREAMS", "Rows", "is_signed", "is_streamed", "shared_base", "without_signature"]

_KEY = re.compile(r"([A-Z0-9_]+?)(E?)-s([0-9]{1,18})(?:-[a-zA-Z][0-9]+)*--(.+)", re.DOTALL)
_BLOB = re.compile(r"[0-9a-f]{40}")
_HASHES = {"MD5": ("md5", 32), "SHA256": ("sha256", 64)}
_EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
"""What git calls no content at all."""
_WEB = re.compile(r"https?://(?:[\w.-]+|(\[[0-9a-f:.]+\]))(?::([0-9]{1,5}))?", re.I | re.A)
_ODD = "surrogatepass"
"""What to do with halves of letters, which JSON can have and no name."""
_NOT_SENDABLE = re.compile(r"[^!-~]")
_SIGNED = re.compile(r"[?&](?:AWSAccessKeyId|Expires|Signature|X-Amz-[A-Za-z-]+)=[^&]*")
_LINK = (
    "a symbolic link in the data set, which OpenNeuro lists without content; what it leads to has "
    "a name of its own"
)
_PASSWORD = re.compile(r"//[^/]*@")
_OF_GIT = re.compile(r"(?:^|/)(?:\.git|git~1)[. ]*(?:/|$)", re.IGNORECASE)
_GITS_OWN = "git keeps its own files and orders under such a name, so no data set has it"
_MOST = 1 << 62
STREAMS = 4
"""Files that the site is asked to stream at once."""
_STREAMED = re.compile(r"https?://[^/?#]+/crn/datasets/ds[0-9]+/objects/", re.IGNORECASE)


class _Content(NamedTuple):
    """What a row says of the content of a file."""

    size: int | None
    digest: Digest | None
    unhashed: str = ""
    """Why there is no digest."""
    resized: bool = False
    """Whether the row has another size than the key."""


class _Row(NamedTuple):
    """A file of the listing."""

    file: RemoteFile
    address: str
    """Where to get it right now; "" where that is the file's URL."""
    unhashed: str
    resized: bool
    """As of `_Content`."""


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
        self._folders: set[str] = set()
        self.notes: tuple[str, ...] = ()
        """What a reader should know of the rows, once they were joined."""

    def read(self, row: Any) -> _Row | None:
        """Return the file of a row; None for a folder.

        Raises
        ------
        ProtocolError
            If it is no row of a listing: then the listing cannot be used at all.
        """
        name, called = self._named(row)
        if row.get("directory") is True:
            self._folders.add(name)
            return None
        content = _content(row, name, called)
        size, digest = content.size, content.digest
        url, signed = self._place(row, name, called)
        withheld = ""
        if size == 0 and digest is not None and digest.algorithm == "gitblob":
            withheld = "" if digest.value == _EMPTY else _LINK
        if "git" in name.lower() and _OF_GIT.search(name):
            withheld = _GITS_OWN
        ranges = not url.startswith(self._sites)
        file = RemoteFile(name, url, size, digest=digest, ranges=ranges, withheld=withheld)
        return _Row(file, signed, content.unhashed, content.resized)

    @staticmethod
    def _named(row: Any) -> tuple[str, str]:
        name = row.get("filename") if isinstance(row, dict) else None
        called = row.get("id") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name or not isinstance(called, str | None):
            msg = f"the listing has a row that is no file: {str(row)[:120]!r}"
            raise ProtocolError(msg)
        return name, called or ""

    def _place(self, row: Any, name: str, called: str) -> tuple[str, str]:
        """Return the address without a signature, and the signed one where there is one.

        It goes out as it came, byte for byte: it is quoted already, and a "+" in it is a space to
        S3. Only what no request can carry is quoted here.
        """
        urls = row.get("urls")
        url = urls[0] if isinstance(urls, list) and urls else None
        if not isinstance(url, str) or not url:  # what the server writes where nothing is exported
            end = f"{called}?filename={quote_plus(name.rpartition('/')[2], errors=_ODD)}"
            return self._objects + _sendable(end), ""
        url = _sendable(url)
        if not _is_web(url):
            plain = _PASSWORD.sub("//…@", url.partition("?")[0])
            msg = f"the listing has an address that is none for {name!r}: {plain[:80]!r}"
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
        joined = [found[name] for name in names]
        self.notes = tuple(_notes(joined))
        return joined, wrong

    def _check_folders(self, names: Sequence[str]) -> None:
        for folder in self._folders:
            start = folder.rstrip("/") + "/"
            if not any(name.startswith(start) for name in names):
                msg = f"the listing has the folder {folder!r} without the files in it"
                raise ProtocolError(msg)


def _content(row: Any, name: str, called: str) -> _Content:
    """Return size and hash of a file; the size in a key is part of what is hashed."""
    size = _whole_number(row.get("size"), name)
    if _BLOB.fullmatch(called):
        if size is None:
            return _Content(None, None, "files of git without a size")
        return _Content(size, Digest("gitblob", called))
    key = _KEY.fullmatch(called)
    if key is None:
        return _Content(size, None, "an id of another kind" if called else "no id")
    keyed = int(key[3])
    resized = size is not None and size != keyed
    algorithm, length = _HASHES.get(key[1], ("", 0))
    value, end = key[4][:length], key[4][length : length + 1]
    if not algorithm or end not in ("", ".") or not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
        return _Content(keyed, None, f"the backend {key[1]}{key[2]}"[:40], resized)
    return _Content(keyed, Digest(algorithm, value), "", resized)


def _notes(rows: Sequence[_Row]) -> Iterator[str]:
    """Say what a reader should know of the rows that came."""
    for why, count in Counter(row.unhashed for row in rows).items():
        if why:
            what = f"{count:,} {_files(count)} without a hash that is known here"
            yield f"{what} ({why}): checked by size"
    if resized := sum(row.resized for row in rows):
        yield (
            f"the listing gives {resized:,} {_files(resized)} another size than their content's "
            "key does: the key counts"
        )
    for why, count in Counter(row.file.withheld for row in rows).items():
        if why:
            yield f"{count:,} {_files(count)} cannot be had: {why}"


def _sendable(url: str) -> str:
    """Return an address with what no request can carry quoted, and all else byte for byte."""
    if not _NOT_SENDABLE.search(url):
        return url
    return _NOT_SENDABLE.sub(lambda odd: quote_plus(odd[0], errors=_ODD), url)


def _is_web(url: str) -> bool:
    """Whether a file can be asked for at an address: of the web, and without a password."""
    end = url.find("/", len("https://"))
    return end > 0 and _is_server(url[:end])


@lru_cache(maxsize=64)
def _is_server(address: str) -> bool:
    """Whether an address of the web is one of a server; most of a listing are of one."""
    found = _WEB.fullmatch(address)
    if found is None or int(found[2] or 1) not in range(1, 1 << 16):
        return False
    try:
        return found[1] is None or bool(urlsplit(address).hostname)
    except ValueError:  # brackets around what is no address
        return False


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


def is_streamed(url: str) -> bool:
    """Whether an address is one at which a site of OpenNeuro streams a file itself.

    Examples
    --------
    >>> is_streamed("https://openneuro.org/crn/datasets/ds000001/objects/9a0f?filename=README")
    True
    """
    return _STREAMED.match(url) is not None


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


def shared_base(url: str, key: str) -> str:
    """Return what a key is appended to for the address of its object; "" where that is not so.

    Examples
    --------
    >>> shared_base("https://h/ds1/a%20b?versionId=7", "a b"), shared_base("https://h/x", "a b")
    ('https://h/ds1/', '')
    """
    if "versionId=" not in url:
        return ""
    told = key if key.isascii() else key.encode("utf-8", "replace").decode()
    address, name = url.partition("?")[0], f"/{quoted(told)}"
    return address[: len(address) - len(name) + 1] if address.endswith(name) else ""
