"""What a receipt keeps of the address that a file was fetched from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from neurofetch._compact import quoted

if TYPE_CHECKING:
    from neurofetch.model import Receipt, RemoteFile
    from neurofetch.store.data_source import DataSource

__all__ = ["kept_address", "origin_of"]

_VERSION = "versionId"
_VERSIONS = "openneuro:"


def kept_address(remote: RemoteFile, base: str | None) -> tuple[str, str]:
    """Return the version that an address names, and the address where nothing else tells it.

    Of files of equal content, a listing may have all at the address of one of them; and what is in
    no bucket has addresses of its own.

    Parameters
    ----------
    remote : RemoteFile
        Its URL is not signed.
    base : str or None
        What keys are appended to for the address of an object, as the data directory remembers it;
        None for a source whose keys tell all addresses.

    Returns
    -------
    tuple of (str, str)
        Each is "" where there is none to be kept.

    Examples
    --------
    >>> from neurofetch.model import RemoteFile
    >>> kept_address(RemoteFile("a b", "https://h/ds1/a%20b?versionId=7", 3), "https://h/ds1/")
    ('7', '')
    >>> kept_address(RemoteFile("a", "https://h/ds1/c?versionId=7", 3), "https://h/ds1/")
    ('7', 'https://h/ds1/c?versionId=7')
    >>> kept_address(RemoteFile("a", "https://h/ds1/a", 3), None)
    ('', '')
    """
    url = remote.url
    version = ""
    if f"{_VERSION}=" in url:
        version = next(iter(parse_qs(urlsplit(url).query).get(_VERSION, ())), "")
    if base is None and not version:
        return "", ""
    told = bool(base) and url == f"{base}{quoted(remote.key)}?{_VERSION}={version}"
    return version, "" if told else url


def origin_of(receipt: Receipt, source: DataSource) -> tuple[str, str]:
    """Return the address of the object that a receipt tells of, and its key in the data set.

    Parameters
    ----------
    receipt : Receipt
    source : DataSource
        The data set that it is of.

    Returns
    -------
    tuple of (str, str)
        The address is "" where nothing tells it, as of a file that an access service gave.
    """
    key = receipt.key
    if key == f"{source.url.removeprefix(_VERSIONS)}/{receipt.path}":
        key = receipt.path  # it came from the bucket, before this was a directory of a version
    if receipt.url:
        return receipt.url, key
    try:
        url = source.object_url(key)
    except UnicodeEncodeError:  # no server has half a letter in a name: that line is damaged
        return "", key
    if not receipt.version:
        return ("" if source.objects else url), key
    return (f"{url}?{_VERSION}={receipt.version}" if url else ""), key
