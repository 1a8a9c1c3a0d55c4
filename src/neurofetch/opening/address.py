"""What a URL of one file, or of a folder, names: parsed, and written back in one way.

Four forms: ``s3://BUCKET/KEY`` (or the object's web address at AWS), ``https://HOST/PATH``,
``openneuro:ACCESSION@TAG/PATH`` (or the address of the file's page there), and each of them behind
``neurofetch://``, as fsspec has it. There a bucket needs no ``s3://``.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from neurofetch.errors import ConfigError, UsageError, WrongTypeError
from neurofetch.net.http1 import quoted_url, shown
from neurofetch.sources.openneuro import openneuro_site
from neurofetch.sources.openneuro_address import Address as DatasetAddress
from neurofetch.sources.openneuro_address import parse_openneuro
from neurofetch.sources.s3 import parse_s3_url

__all__ = ["PROTOCOL", "Address", "parse_address", "stripped"]

PROTOCOL = "neurofetch"
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_FORMS = "s3://BUCKET/KEY, https://HOST/PATH or openneuro:ACCESSION@TAG/PATH"
_SECRET = re.compile(r"(?<=://)[^/@]*@")


class Address(NamedTuple):
    """Where a file or a folder is.

    Parameters
    ----------
    kind : {"s3", "web", "openneuro"}
    place : str
        The bucket, the server as ``https://HOST``, or ACCESSION@TAG.
    key : str
        The name there: of an object, a path of a server (quoted, without its query), or a path in
        the data set.
    query : str
        What follows the question mark of a web address, with it; "" where there is none. It may be
        a signature, so it is never shown.
    """

    kind: str
    place: str
    key: str
    query: str = ""

    @property
    def path(self) -> str:
        """The name in the file system: what `parse_address` takes, and without "/" at its end."""
        return self._written.rstrip("/") + self.query

    @property
    def _written(self) -> str:
        if self.kind == "openneuro":
            return f"openneuro:{self.place}/{self.key}"
        return f"{self.place}/{self.key}"

    @property
    def name(self) -> str:
        """What it is called in messages: no signature, no password."""
        return shown(f"s3://{self._written}" if self.kind == "s3" else self._written)

    @property
    def file_name(self) -> str:
        """The last part of the key, as a file would be called."""
        last = self.key.rstrip("/").rpartition("/")[2]
        return unquote(last) if self.kind == "web" else last

    @property
    def folder(self) -> str:
        """The prefix that the names of what lies below begin with: "" or ending in "/"."""
        return f"{self.key.rstrip('/')}/" if self.key.rstrip("/") else ""

    def at(self, key: str) -> Address:
        """Return the address of another name at the same place."""
        return Address(self.kind, self.place, key)


def stripped(url: str) -> str:
    """Return a URL without what only tells fsspec whom to ask.

    Examples
    --------
    >>> stripped("neurofetch://s3://openneuro.org/ds000001")
    's3://openneuro.org/ds000001'
    """
    for mark in ("://", "::"):
        while url.startswith(f"{PROTOCOL}{mark}"):
            url = url[len(PROTOCOL) + len(mark) :]
    return url


def parse_address(url: object) -> Address:
    """Return what a URL names.

    Raises
    ------
    WrongTypeError
        If it is no text.
    UsageError
        If it is a path of this machine, or of a kind that is not known.

    Examples
    --------
    >>> parse_address("s3://openneuro.org/ds000001/README").place
    'openneuro.org'
    >>> parse_address("neurofetch://openneuro.org/ds000001/README").name
    's3://openneuro.org/ds000001/README'
    >>> parse_address("https://example.org/a/b.nii.gz?X-Amz-Signature=0").name
    'https://example.org/a/b.nii.gz'
    """
    if isinstance(url, os.PathLike):
        raise WrongTypeError(_local(os.fspath(url)))
    if not isinstance(url, str):
        msg = f"expected a URL, as text, such as {_FORMS}, got {url!r} ({type(url).__name__})"
        raise WrongTypeError(f"{msg}. Nothing was opened.")
    text = stripped(url.lstrip())
    scheme = _SCHEME.match(text)
    kind = scheme[1].lower() if scheme else ""
    if kind in ("http", "https"):
        return _web(text)
    if kind == "openneuro":
        return _openneuro(text)
    if kind == "s3" or (not kind and text != url.lstrip()):
        return _object(text if kind else f"s3://{text}")
    if kind == "file" or text.startswith(("/", "./", "../", "~")):
        raise UsageError(_local(text))
    meant = f" Did you mean s3://{text}?" if "/" in text and not kind else ""
    what = f"{kind}: is no kind of URL that is known here" if kind else f"{text!r} is no URL"
    msg = f"{what}. Nothing was opened.{meant} Give {_FORMS}."
    raise UsageError(msg)


def _local(path: object) -> str:
    return (
        f"{path} is a path of this machine, not a URL. Nothing was opened. Use Python's own open() "
        f"for it; here, give {_FORMS}."
    )


def _object(text: str) -> Address:
    """Return the address of an object; its key is taken as it is, spaces at its end included."""
    bucket, _, key = text.partition("://")[2].partition("/")
    if not bucket.strip():
        msg = "s3:// names no bucket. Nothing was opened. Give s3://BUCKET/KEY."
        raise UsageError(msg)
    try:
        return Address("s3", parse_s3_url(f"s3://{bucket}")[0], key)
    except UsageError as error:
        msg = (
            f"{bucket!r} cannot be the name of a bucket. Nothing was opened. Give s3://BUCKET/KEY."
        )
        raise UsageError(msg) from error


def _web(text: str) -> Address:
    found = _at_s3(text) or _on_pages(text)
    if found is not None:
        return found
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket without its other half, a port that is none
        usable = False
    if not usable:
        msg = f"{_SECRET.sub('…@', shown(text))!r} is no URL of a server. Nothing was opened."
        raise UsageError(f"{msg} Give {_FORMS}.")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if "@" in parts.netloc:
        msg = f"the URL of {place} holds a user or a password, which is not sent. Nothing was "
        raise UsageError(f"{msg}opened. Leave it out.")
    key = quoted_url(parts.path.removeprefix("/"))
    query = f"?{parts.query}" if parts.query else ""
    return Address("web", place, key, quoted_url(query))


def _at_s3(text: str) -> Address | None:
    """Return the address of an object by its web address; None where it is of another server."""
    if "?" in text or "#" in text:
        return None
    try:
        return Address("s3", *parse_s3_url(text))
    except ConfigError:
        raise
    except UsageError:
        return None


def _on_pages(text: str) -> Address | None:
    """Return what an address of OpenNeuro's pages is about; None where it is of another server."""
    if "/datasets/" not in text:
        return None
    found = parse_openneuro(text, openneuro_site())
    return _at_openneuro(found, found.path if found else "")


def _openneuro(text: str) -> Address:
    rest = text.partition(":")[2].lstrip("/")
    place, _, key = rest.partition("/")
    if not place:
        msg = f"{text!r} names no data set. Nothing was opened."
        raise UsageError(f"{msg} Give openneuro:ACCESSION@TAG/PATH.")
    try:
        found = parse_openneuro(f"openneuro:{place}")
    except UsageError as error:
        raise UsageError(str(error).replace("Nothing was done", "Nothing was opened")) from error
    return _at_openneuro(found, key) or Address("openneuro", place, key)


def _at_openneuro(found: DatasetAddress | None, key: str) -> Address | None:
    if found is None:
        return None
    version = f"@{found.tag}" if found.tag else ""
    return Address("openneuro", f"{found.accession}{version}", key)
