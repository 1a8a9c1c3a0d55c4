"""`neurofetch.open` and `cached_path`: one file by its URL, without a download of the rest."""

from __future__ import annotations

import codecs
import io
import os
from typing import TYPE_CHECKING, Literal, overload

from neurofetch.errors import UsageError, WrongTypeError
from neurofetch.opening.address import parse_address
from neurofetch.opening.file import OpenedFile, TextFile, read_only
from neurofetch.opening.opener import Settings, opener_for

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["as_text", "cached_path", "checked_mode", "open"]

Where = str | os.PathLike[str]
_READS = frozenset({"r", "b", "t"})
_WRITES = frozenset({"w", "a", "x", "+"})


@overload
def open(  # noqa: A001 - it is what the front door calls it
    url: str,
    mode: Literal["rb", "br"] = "rb",
    *,
    encoding: None = None,
    errors: None = None,
    newline: None = None,
    cache_dir: Where | bool | None = None,
    cache_limit: int | str | None = None,
    block_size: int | str | None = None,
    data_dir: Where | None = None,
    region: str | None = None,
    patience: float | None = None,
    offline: bool | None = None,
    profile: str | None = None,
    signed: bool = False,
    requester_pays: bool = False,
    endpoint: str | None = None,
) -> OpenedFile: ...
@overload
def open(  # noqa: A001 - it is what the front door calls it
    url: str,
    mode: Literal["r", "rt", "tr"],
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    cache_dir: Where | bool | None = None,
    cache_limit: int | str | None = None,
    block_size: int | str | None = None,
    data_dir: Where | None = None,
    region: str | None = None,
    patience: float | None = None,
    offline: bool | None = None,
    profile: str | None = None,
    signed: bool = False,
    requester_pays: bool = False,
    endpoint: str | None = None,
) -> TextFile: ...
def open(  # noqa: A001 - it is what the front door calls it
    url: str,
    mode: str = "rb",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    cache_dir: Where | bool | None = None,
    cache_limit: int | str | None = None,
    block_size: int | str | None = None,
    data_dir: Where | None = None,
    region: str | None = None,
    patience: float | None = None,
    offline: bool | None = None,
    profile: str | None = None,
    signed: bool = False,
    requester_pays: bool = False,
    endpoint: str | None = None,
) -> OpenedFile | TextFile:
    """Open one file on a server; only the parts that you read come over the network.

    Parameters
    ----------
    url : str
        ``s3://BUCKET/KEY``, the web address of an object, or of a file of any web server.
    mode : {"rb", "r", "rt"}
        Bytes by default, or text.
    encoding, errors, newline : str, optional
        Of text, as for Python's own ``open``; UTF-8 by default.
    cache_dir : path or bool, optional
        Where the parts that came are kept; False for nowhere. By default
        ``NEUROFETCH_CACHE_DIR``, or ``~/.cache/neurofetch``.
    cache_limit : int or str, optional
        Bytes that the cache may take, as a number or as ``"50 GB"``; 20 GiB by default.
    block_size : int or str, optional
        Bytes that are asked for at least, between 4 KiB and 64 MiB; 1 MiB by default.
    data_dir : path, optional
        A data directory of `neurofetch.get`: a file that is in it already is read there.
    region : str, optional
        Of the bucket.
    patience : float, optional
        Seconds to wait for a network that is away; by default a minute, or what
        ``NEUROFETCH_PATIENCE`` says.
    offline : bool, optional
        Ask no server: read what is here. By default what ``NEUROFETCH_OFFLINE`` says.
    profile, signed, requester_pays, endpoint : optional
        How to ask a bucket that is not public, or not at AWS: as for `neurofetch.get`.

    Returns
    -------
    OpenedFile or TextFile
        As Python's own ``open`` returns it; for reading only.

    Raises
    ------
    MissingRemoteError
        If there is no such file; it is a `FileNotFoundError`.
    FolderGivenError
        If it is a folder; it is an `IsADirectoryError`.
    ReadOnlyError
        If it was to be written; it is a `PermissionError`.
    UsageError
        If the URL or a setting cannot be used; it is a `ValueError`.
    RemoteChangedError
        While reading: if the file changed on the server since it was opened.
    VerificationError
        While reading: if all of it came, and differs from what the server says.
    ServerError
        If the server refuses, or cannot be reached.

    Warns
    -----
    CacheWarning
        If the cache cannot be used, or what is read comes from it alone.
    """
    settings = Settings.checked(
        cache_dir=cache_dir,
        cache_limit=cache_limit,
        block_size=block_size,
        data_dir=data_dir,
        region=region,
        patience=patience,
        offline=offline,
        profile=profile,
        signed=signed,
        requester_pays=requester_pays,
        endpoint=endpoint,
    )
    text = checked_mode(mode, url, encoding=encoding, errors=errors, newline=newline)
    file = opener_for(settings).open(url.strip() if isinstance(url, str) else url)
    if not text:
        return file
    return as_text(file, encoding, errors, newline)


def as_text(
    file: OpenedFile, encoding: str | None, errors: str | None, newline: str | None
) -> TextFile:
    """Return a file as text.

    Parameters
    ----------
    file : OpenedFile
        Closed where that fails.
    encoding, errors, newline : str or None
    """
    try:
        return TextFile(file, encoding or "utf-8", errors, newline)
    except BaseException:
        file.close()
        raise


def checked_mode(
    mode: object,
    url: object,
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> bool:
    """See that a mode is one to read with; return whether it is that of text.

    Raises
    ------
    ReadOnlyError
        If it is one to write with.
    UsageError
        If it is none, or says of bytes what only text has.
    """
    if not isinstance(mode, str):
        msg = f"mode is text such as 'rb', not {mode!r}. Nothing was opened."
        raise WrongTypeError(msg)
    letters = set(mode)
    if letters & _WRITES and not letters - _WRITES - _READS:
        raise read_only("write to", parse_address(url).name)
    if "r" not in letters or letters - _READS or {"b", "t"} <= letters or len(letters) < len(mode):
        msg = f"mode is 'rb' (bytes) or 'r' (text), not {mode!r}. Nothing was opened."
        raise UsageError(msg)
    text = "b" not in letters
    given = [
        name
        for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline))
        if value is not None
    ]
    if given and not text:
        msg = (
            f"{given[0]}= is for text, and mode {mode!r} is of bytes. Nothing was opened. Use 'r'."
        )
        raise UsageError(msg)
    if text:
        _check_text(encoding, errors, newline)
    return text


def _check_text(encoding: str | None, errors: str | None, newline: str | None) -> None:
    """See that text can be read so, before any server is asked."""
    if newline not in (None, "", "\n", "\r", "\r\n"):
        msg = f"newline is None, '', '\\n', '\\r' or '\\r\\n', not {newline!r}. Nothing was opened."
        raise UsageError(msg)
    try:
        io.TextIOWrapper(io.BytesIO(), encoding or "utf-8")
    except (LookupError, ValueError, TypeError) as error:
        msg = f"encoding={encoding!r} is not known: {error}. Nothing was opened."
        raise UsageError(msg) from error
    try:
        codecs.lookup_error("strict" if errors is None else errors)
    except (LookupError, ValueError, TypeError) as error:
        msg = f"errors={errors!r} is not known: {error}. Nothing was opened. Use 'strict', "
        raise UsageError(f"{msg}'replace' or 'ignore'.") from error


def cached_path(
    url: str,
    *,
    cache_dir: Where | None = None,
    cache_limit: int | str | None = None,
    block_size: int | str | None = None,
    data_dir: Where | None = None,
    region: str | None = None,
    patience: float | None = None,
    offline: bool | None = None,
    profile: str | None = None,
    signed: bool = False,
    requester_pays: bool = False,
    endpoint: str | None = None,
) -> Path:
    """Return the path of a whole, verified copy of one file, for libraries that need a path.

    It has the file's own name, and lies beside other files of its folder that you asked for. It
    stays as long as this process lives; do not change it. What was read of the file before is not
    fetched again.

    Parameters
    ----------
    url, cache_dir, cache_limit, block_size, data_dir, region, patience, offline
        As for `neurofetch.open`.
    profile, signed, requester_pays, endpoint : optional
        As for `neurofetch.open`.

    Returns
    -------
    Path
        In the cache, or in `data_dir` where the file is there.

    Raises
    ------
    DestinationError
        If it cannot be kept.
    VerificationError
        If it differs from what the server says.
    NeurofetchError
        As `neurofetch.open`.
    """
    settings = Settings.checked(
        cache_dir=cache_dir,
        cache_limit=cache_limit,
        block_size=block_size,
        data_dir=data_dir,
        region=region,
        patience=patience,
        offline=offline,
        profile=profile,
        signed=signed,
        requester_pays=requester_pays,
        endpoint=endpoint,
    )
    return opener_for(settings).cached_path(url.strip() if isinstance(url, str) else url)
