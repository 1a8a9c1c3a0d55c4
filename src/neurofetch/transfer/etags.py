"""What one run found out about the ETags of its servers: whether they are checksums.

See ADR 12. Any thread may ask and tell; adding to a set is one step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofetch.model import VerificationLevel

if TYPE_CHECKING:
    from neurofetch.integrity.verification import EtagError, Verified
    from neurofetch.model import RemoteFile

__all__ = ["CAME_TWICE", "SPARED", "Etags"]

CAME_TWICE = "verified: size, came twice the same"
"""Said of a file whose ETag does not match, and which came twice with the same bytes."""
SPARED = "verified: size, the ETags of this server are no checksums"
"""Said of a file whose ETag does not match, after others of its server came twice the same."""

_BY_ETAG = (VerificationLevel.MD5, VerificationLevel.MULTIPART)


class Etags:
    """Which kinds of ETags matched the bytes, and which are known to be no checksums.

    A kind is what the ETag looks like, at one server. It is known to be none when a file came twice
    with the same bytes and its ETag matched neither time; and only as long as no ETag of that kind
    has matched. So a file that is damaged on the way is never taken at its first coming where the
    ETags of other files are checksums.
    """

    def __init__(self) -> None:
        self._matched: set[tuple[str, str]] = set()
        self._opaque: set[tuple[str, str]] = set()

    def note(self, remote: RemoteFile, verified: Verified) -> None:
        """Note that a file was verified: its ETag may have been a checksum."""
        if verified.verification in _BY_ETAG:
            kind = "md5" if verified.verification is VerificationLevel.MD5 else "multipart"
            self._matched.add((_server(remote), kind))

    def weigh(self, remote: RemoteFile, error: EtagError, before: str, *, told: bool) -> Verified:
        """Say whether a file is taken although its ETag does not match.

        Parameters
        ----------
        remote : RemoteFile
        error : EtagError
            What is known of the bytes that came.
        before : str
            The digest of the bytes that came the first time; "" where this is the first.
        told : bool
            Whether the response told the ETag that was listed, so that it was of this object.

        Raises
        ------
        EtagError
            `error`, if it is not.
        """
        verified, place = error.verified, (_server(remote), error.kind)
        if before and before == verified.digest:
            self._opaque.add(place)
            return verified._replace(note=CAME_TWICE)
        if not before and told and place in self._opaque and place not in self._matched:
            return verified._replace(note=SPARED)
        raise error


def _server(remote: RemoteFile) -> str:
    return remote.url.partition("://")[2].partition("/")[0]
