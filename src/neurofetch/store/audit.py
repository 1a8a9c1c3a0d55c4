"""Check the files on the disk: against the receipts, byte by byte, against the server."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from dataclasses import replace
from functools import cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING

from neurofetch._threads import few_collections, together
from neurofetch.errors import DestinationError, NeurofetchError, VerificationError
from neurofetch.integrity.checksums import hasher
from neurofetch.integrity.verification import (
    EtagError,
    OnePiece,
    ServerChecksum,
    Verified,
    read_blocks,
)
from neurofetch.model import LocalFile, Receipt, RemoteFile, VerificationLevel, Want
from neurofetch.store.data_source import has_further, read_sources
from neurofetch.store.findings import Audit, Finding, State
from neurofetch.store.meter import ReadingMeter
from neurofetch.store.names import encodable
from neurofetch.store.origins import kept_address
from neurofetch.store.receipts import Journal, read_receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from neurofetch.events import Listener
    from neurofetch.store.data_source import DataSource
    from neurofetch.store.directory import DataDirectory
    from neurofetch.store.known import Receipts

__all__ = ["Audit", "Finding", "State", "audit", "recognised"]


_STRETCH = 2000
"""Files that are looked at together."""
_COPIED = "times changed (copied?); contents not read: use --hash"
_NO_DIGEST = "; its receipt has no checksum of the content: use --hash --remote"
_DAMAGED = "an earlier verify found other bytes in it than were fetched"
_LOST = (
    "{} lines of the receipts in {} are damaged. Files that only these told of are not checked: "
    "--hash --remote checks them, and makes them known again."
)
_UNNAMED = "its name cannot be written in this locale: set LC_ALL=C.UTF-8 (or PYTHONUTF8=1)"


@few_collections()
def audit(
    directory: DataDirectory,
    *,
    read_all: bool = False,
    remote: Iterable[Want] | None = None,
    checksum: Callable[[RemoteFile], ServerChecksum] | None = None,
    listed: Callable[[Receipt], str] | None = None,
    only: Collection[str] | None = None,
    listen: Listener | None = None,
    write: bool = True,
) -> Audit:
    """Compare a data directory with its receipts, and with the server.

    Parameters
    ----------
    directory : DataDirectory
    read_all : bool
        Read every byte and compare it with the digest in the receipt. The receipt of a file whose
        time changed, and whose bytes did not, is written anew, so that it is not read again. That
        of a file whose bytes changed says so from then on, and the next run replaces the file.
    remote : iterable of Want, optional
        What the server has. Each file that is here is compared with its size and ETag; with
        `read_all`, a file without a receipt is hashed and, when it is the server's, adopted: it
        gets a receipt.
    checksum : callable, optional
        Asks the server for its checksum of an object, where the ETag tells nothing.
    listed : callable, optional
        Returns, for the receipt of a file that is not among `remote`, what to say of it if that
        means that the server does not have it; "" where nobody asked the server for it.
    only : collection of str, optional
        Look at these paths and no others.
    listen : callable, optional
        With `read_all`, gets a `Checking` event now and then, and one at the end.
    write : bool
        Whether what `read_all` finds is written down, as receipts.

    Returns
    -------
    Audit
    """
    began = time.monotonic()
    every = _read_all(directory)
    if every.damaged:
        warnings.warn(_LOST.format(f"{every.damaged:,}", directory.state), stacklevel=4)
    placed = {path for path in every if _is_below(path)}  # another is nothing that we wrote
    receipts = {path for path in placed if encodable(path)}
    unnamed = [
        Finding(path, State.MISSING, _UNNAMED)
        for path in placed - receipts
        if only is None or path in only
    ]
    wants = {want.path: want for want in remote or () if _comparable(want)}
    everything = sorted(receipts | wants.keys())
    asked = everything if only is None else [path for path in everything if path in only]
    # Without reading, a look takes no time, and what is known of a file is soon forgotten again.
    size = max(1, len(asked)) if read_all else _STRETCH
    findings: list[Finding] = []
    journal = Journal(directory.state) if write else None
    written: list[Receipt] = []
    try:
        for first in range(0, len(asked), size):
            some = asked[first : first + size]
            local = directory.survey(some, every, strict=False)
            paths = [path for path in some if path in receipts or path in local]
            meter = ReadingMeter({path: local[path].size if path in local else 0 for path in paths})
            inspector = _Inspector(
                directory,
                journal,
                wants,
                checksum,
                meter,
                written=written,
                listed=listed,
                read_all=read_all,
            )
            looks = [partial(inspector.look, path, local.get(path)) for path in paths]
            if not read_all:
                findings += [look() for look in looks]
                continue
            tell = partial(_tell, listen, meter) if listen and paths else None
            findings += together(looks, max(2, os.cpu_count() or 2), tell)
            if tell:
                tell()
    finally:
        if journal is not None:
            journal.close()
    findings = sorted([*findings, *unnamed], key=attrgetter("path"))
    for receipt in written:
        every.add(replace(receipt, seq=(every.seq(receipt.path) or 0) + 1))
    seconds = time.monotonic() - began
    return Audit(directory.root, tuple(findings), seconds, every, _sources(directory))


def _sources(directory: DataDirectory) -> dict[str, DataSource]:
    """Return the data sets that receipts are of, by what receipts call them."""
    found: tuple[DataSource, ...] = ()
    with contextlib.suppress(DestinationError):  # what cannot be told is left out
        found = read_sources(directory.state)
    return {one.key: one for one in found} | dict(zip([""], found, strict=False))


def _tell(listen: Listener, meter: ReadingMeter) -> None:
    listen(meter.event())


def _read_all(directory: DataDirectory) -> Receipts:
    """Return all receipts; what only some of them say is no answer.

    Raises
    ------
    DestinationError
    """
    receipts = read_receipts(directory.state)
    if receipts.unread:
        msg = (
            f"cannot tell what was fetched: {receipts.unread[0]}. Nothing was checked. Ask the "
            "owner of that file to let you read it."
        )
        raise DestinationError(msg)
    return receipts


def _is_below(path: str) -> bool:
    return "\0" not in path and not {"", ".", ".."} & set(path.split("/"))


def _comparable(want: Want) -> bool:
    """Whether what the server shows of a file tells what the file should be."""
    return not want.refused and (not want.remote.withheld or want.remote.digest is not None)


def recognised(
    directory: DataDirectory,
    wants: Iterable[Want],
    local: Mapping[str, LocalFile],
    *,
    adopt: bool,
) -> dict[str, LocalFile]:
    """Read the files whose content the listing tells and no receipt knows.

    Parameters
    ----------
    directory : DataDirectory
    wants : iterable of Want
        Those with a digest count.
    local : mapping of str to LocalFile
        What the survey found, by path.
    adopt : bool
        Whether a file without a receipt that is the server's gets one, so that it is not read
        again. It is none where the state folder cannot be written.

    Returns
    -------
    dict of str to LocalFile
        `local`, with the digests that were found.
    """
    found = dict(local)
    if not found:
        return found
    unsure = [(want, found[want.path]) for want in wants if _unsure(want, found.get(want.path))]
    if not unsure:
        return found
    journal = Journal(directory.state)
    try:
        looks = [partial(_read_through, directory, journal, *one, adopt=adopt) for one in unsure]
        found.update(together(looks, max(2, os.cpu_count() or 2)))
    finally:
        journal.close()
    return found


def _unsure(want: Want, here: LocalFile | None) -> bool:
    remote = want.remote
    if here is None or remote.digest is None or here.size != remote.size:
        return False
    return here.matches(remote.digest) is None


def _read_through(
    directory: DataDirectory, journal: Journal, want: Want, here: LocalFile, *, adopt: bool
) -> tuple[str, LocalFile]:
    expected = want.remote.digest
    if expected is None:
        return here.path, here
    digest = hasher(expected.algorithm, here.size)
    for block in read_blocks(str(directory.root / here.path)):
        digest.update(block)
    read = replace(here, digest=f"{expected.algorithm}:{digest.hexdigest()}")
    if adopt and read.matches(expected) and (here.receipt is None or here.touched):
        with contextlib.suppress(OSError):  # the file is good all the same; it is read again
            level = VerificationLevel.CHECKSUM
            journal.append(_receipt(directory, here, want, level, read.digest))
    return here.path, read


def _receipt(
    directory: DataDirectory, here: LocalFile, want: Want, level: VerificationLevel, digest: str
) -> Receipt:
    key, etag, now = want.remote.key, want.remote.etag or "", time.time()
    stamp = here.size, here.mtime_ns
    version, url = kept_address(want.remote, directory.objects)
    return Receipt(
        here.path,
        key,
        etag,
        *stamp,
        level,
        digest,
        now,
        source=directory.source,
        version=version,
        url=url,
    )


def _renewed(receipt: Receipt, here: LocalFile, *, damaged: bool = False) -> Receipt:
    """Return the receipt of a file that was read, and whose bytes are the same, or are not."""
    return replace(receipt, mtime_ns=here.mtime_ns, when=time.time(), damaged=damaged)


@cache
def _unread(level: VerificationLevel) -> str:
    return f"unchanged by size and time since it was fetched ({level.value}); contents not read"


class _Inspector:
    def __init__(
        self,
        directory: DataDirectory,
        journal: Journal | None,
        wants: Mapping[str, Want],
        checksum: Callable[[RemoteFile], ServerChecksum] | None,
        meter: ReadingMeter,
        *,
        written: list[Receipt],
        listed: Callable[[Receipt], str] | None,
        read_all: bool,
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._wants = wants
        self._checksum = checksum
        self._meter = meter
        self._written = written
        self._listed = listed
        self._read_all = read_all
        self._of_one = not has_further(directory.state)

    def look(self, path: str, here: LocalFile | None) -> Finding:
        """Look at one file."""
        try:
            if here is None and (why := self._directory.obstacle(path)):
                return Finding(path, State.DIFFERS, why)
            if here is None:
                return Finding(path, State.MISSING, "fetched before, now missing")
            return self._look(path, here)
        except OSError as error:
            if isinstance(error, NeurofetchError):
                raise
            return Finding(path, State.DIFFERS, f"cannot be read: {error.strerror or error}")
        finally:
            self._meter.over(path)

    def _look(self, path: str, here: LocalFile) -> Finding:
        want = self._wants.get(path)
        problem = self._against_server(here, want) if want else ""
        if problem and self._read_all and want and here.size == want.remote.size:
            return self._without_receipt(here, want, problem)  # an ETag may change, and no byte
        if problem:
            return Finding(path, State.DIFFERS, problem)
        if here.receipt is None:
            return self._without_receipt(here, want)
        if self._read_all and not here.receipt.digest and want is not None:
            return self._without_receipt(here, want)
        found = self._with_receipt(here, here.receipt)
        absent = self._listed(here.receipt) if want is None and self._listed else ""
        if absent and found.ok:
            return Finding(path, State.NOT_IN_BUCKET, f"{absent}; here it is {found.detail}")
        return found

    @staticmethod
    def _against_server(here: LocalFile, want: Want) -> str:
        remote, receipt = want.remote, here.receipt
        same = here.matches(remote.digest)
        if same is not None:
            return "" if same else "changed on the server since it was fetched"
        if receipt is not None and receipt.is_of(remote):
            return ""
        if remote.size is not None and here.size != remote.size:
            return f"{here.size} bytes here, {remote.size} on the server"
        if receipt is not None and remote.etag and receipt.etag:
            return "changed on the server since it was fetched"
        return ""

    def _with_receipt(self, here: LocalFile, receipt: Receipt) -> Finding:
        if here.size != receipt.size:
            detail = f"{here.size} bytes, {receipt.size} when it was fetched"
            return Finding(here.path, State.DIFFERS, detail)
        if self._read_all and receipt.digest:
            return self._against_digest(here, receipt)
        if here.damaged:
            return Finding(here.path, State.DIFFERS, _DAMAGED)
        more = _NO_DIGEST if self._read_all else ""
        if here.touched:
            detail = _COPIED.replace(": use --hash", more) if more else _COPIED
            return Finding(here.path, State.TIMES_CHANGED, detail)
        return Finding(here.path, State.UNCHANGED, _unread(receipt.verification) + more)

    def _against_digest(self, here: LocalFile, receipt: Receipt) -> Finding:
        algorithm, _, expected = receipt.digest.partition(":")
        digest = hasher(algorithm, here.size)
        for block in self._meter.blocks(here.path, self._directory.root):
            digest.update(block)
        found = digest.hexdigest()
        if found != expected:
            detail = f"its bytes changed since it was fetched ({algorithm} {found}, was {expected})"
            detail += self._noted(_renewed(receipt, here, damaged=True))
            return Finding(here.path, State.DIFFERS, detail)
        detail = f"every byte as fetched ({algorithm})"
        if here.touched or receipt.damaged:
            detail += self._noted(_renewed(receipt, here))
        return Finding(here.path, State.GOOD, detail)

    def _noted(self, receipt: Receipt) -> str:
        """Write down what was found; say so where that cannot be."""
        self._written.append(receipt)
        try:
            if self._journal is not None:
                self._journal.append(receipt)
        except OSError as error:
            return f"; that cannot be written down: {error.strerror or error}"
        return ""

    def _without_receipt(self, here: LocalFile, want: Want | None, otherwise: str = "") -> Finding:
        """Look at a file of which the server tells more than a receipt, if there is one.

        Parameters
        ----------
        here : LocalFile
        want : Want or None
            What the server has.
        otherwise : str
            What to say if it is not the server's file: then it is another version, not damaged.
        """
        if want is None or not self._read_all:
            return Finding(here.path, State.UNKNOWN, "put there by another tool, not checked")
        checksum = ServerChecksum.of(want.remote)
        if checksum.digest is None and checksum.kind == "opaque" and self._checksum is not None:
            checksum = self._checksum(want.remote)
        try:
            verified = self._verified(here, want.remote, checksum)
        except VerificationError as error:
            if otherwise:
                return Finding(here.path, State.DIFFERS, otherwise)
            more = ""
            if here.receipt is not None or self._of_one:  # else it may be good, of another data set
                wrong = _receipt(self._directory, here, want, VerificationLevel.NONE, "")
                more = self._noted(replace(wrong, damaged=True))
            return Finding(here.path, State.DIFFERS, f"not the server's file: {error}{more}")
        detail = f"the same bytes as on the server ({verified.verification.value})"
        if verified.verification in (VerificationLevel.SIZE, VerificationLevel.NONE):
            detail = "has the server's size; the server gives nothing else to check it by"
        more = self._noted(
            _receipt(self._directory, here, want, verified.verification, verified.digest)
        )
        known = here.receipt is not None or more
        return Finding(here.path, State.GOOD if known else State.ADOPTED, detail + more)

    def _verified(self, here: LocalFile, remote: RemoteFile, checksum: ServerChecksum) -> Verified:
        """Compare a file with the server's checksum, or with its ETag where that is all."""
        again = partial(read_blocks, str(self._directory.root / here.path))
        piece = OnePiece(checksum)
        for block in self._meter.blocks(here.path, self._directory.root):
            piece.update(block)
        try:
            return piece.settle(again)
        except EtagError:
            stated = self._checksum(remote) if self._checksum is not None else checksum
            if stated.digest is None:
                raise
            piece = OnePiece(stated)
            for block in again():
                piece.update(block)
            return piece.settle(again)
