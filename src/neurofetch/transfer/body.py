"""Read a small remote file into memory: one request, and the same look at the bytes as always.

For metadata that a plan needs to read. What is larger is streamed, or fetched to the disk.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from neurofetch.errors import ProtocolError, RemoteChangedError, TransientError, VerificationError
from neurofetch.integrity.verification import EtagError, OnePiece, ServerChecksum
from neurofetch.sources.ask import ASK_FOR_CHECKSUM, NoRangesError, ask, check_answer, look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neurofetch.model import RemoteFile
    from neurofetch.net.client import Client
    from neurofetch.net.retry import Attempts
    from neurofetch.sources.source import Source

__all__ = ["body"]


def body(
    client: Client, source: Source, remote: RemoteFile, attempts: Attempts, *, limit: int
) -> bytes:
    """Return the bytes of a remote file, verified.

    Parameters
    ----------
    client : Client
    source : Source
    remote : RemoteFile
    attempts : Attempts
    limit : int
        Bytes; a longer one is an error.

    Raises
    ------
    VerificationError
        If the bytes do not match what the server says of them, twice. Where only an ETag does not
        match, and the same bytes come again, the ETag is no checksum (see ADR 12).
    ServerError
        If the server refuses, has no such object, or cannot be reached.
    """
    once = partial(_once, client, source, remote, limit)
    try:
        content, headers = attempts.run(once)
    except (ProtocolError, RemoteChangedError):
        # Where the listing tells another ETag than the object, that of the object counts.
        remote, _ = look(client, source, remote, attempts)
        once = partial(_once, client, source, remote, limit)
        content, headers = attempts.run(once)
    try:
        _check(remote, content, headers)
    except VerificationError as error:  # perhaps damaged on the way
        again, headers = attempts.run(once)
        if again != content:
            _check(remote, again, headers)
        elif not isinstance(error, EtagError):
            raise
        return again
    return content


def _check(remote: RemoteFile, content: bytes, headers: Mapping[str, str]) -> None:
    piece = OnePiece(ServerChecksum.of(remote, headers), once=True)
    piece.update(content)
    piece.settle()


def _once(
    client: Client, source: Source, remote: RemoteFile, limit: int
) -> tuple[bytes, dict[str, str]]:
    with ask(client, source, remote, ASK_FOR_CHECKSUM) as response:
        try:
            check_answer(response, remote)
        except NoRangesError as error:
            raise TransientError(f"{remote.key}: an answer that is not all of it") from error
        return response.read(limit), dict(response.headers)
