"""The values that pass between the steps. All are frozen and picklable."""

from __future__ import annotations

import enum
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from heapq import heapify, heappop, heappush
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from neurofetch._compact import (
    Shared,
    Told,
    Value,
    etag_of,
    pack,
    pack_all,
    quoted,
    shape_of,
    unpack,
)
from neurofetch._faces import Faced
from neurofetch._shown import shown
from neurofetch.errors import NeurofetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from dataclasses import Field
    from pathlib import Path

__all__ = [
    "STATE_FOLDERS",
    "Action",
    "Digest",
    "Folder",
    "IncompleteError",
    "Listed",
    "LocalFile",
    "Outcome",
    "Plan",
    "Receipt",
    "RemoteFile",
    "Report",
    "Status",
    "Step",
    "VerificationLevel",
    "Want",
    "by_content",
    "calm_when_stopped",
    "names_in",
    "same_time",
    "tell_what_is_here",
]

STATE_FOLDERS = (".neurofetch", ".laion_fmri")
"""Names of the folders in a data directory in which programs of ours keep what they know of it. A
package for another data set may choose its own."""


class VerificationLevel(enum.StrEnum):
    """How a file was verified, strongest first.

    In this order: the server's checksum of the whole object; an ETag that is the MD5 of the
    object; a multipart ETag that was computed again from the parts; a check of the content (gzip
    to its end, a header that parses); the size alone.
    """

    CHECKSUM = "checksum"
    MD5 = "md5-etag"
    MULTIPART = "multipart-etag"
    CONTENT = "content"
    SIZE = "size"
    NONE = "none"


class Status(enum.StrEnum):
    """The result for one file. The values are those of JSON; people read `word`."""

    FETCHED = "fetched"
    KEPT = "kept"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def word(self) -> str:
        """The word for people: what is here is skipped, what its owners keep back is withheld."""
        return {"kept": "skipped", "refused": "withheld"}.get(self.value, self.value)


@dataclass(frozen=True)
class _OutcomeShape:
    path: str
    key: str
    status: Status
    reason: str = ""
    size: int = 0
    moved: int = 0
    seconds: float = 0.0
    verification: VerificationLevel = VerificationLevel.NONE
    attempts: int = 0
    advice: str = ""
    remote: RemoteFile | None = field(default=None, compare=False, repr=False)
    digest: str = ""


class _How(NamedTuple):
    """What the outcomes of many files have in common."""

    status: Status
    reason: str
    moved: int
    seconds: float
    verification: VerificationLevel
    attempts: int
    advice: str
    digest: str = ""


_new = object.__new__
_same_how = Shared[_How]()


class Outcome(Value):
    """What happened to one file.

    Parameters
    ----------
    path : str
        Relative to the root.
    key : str
    status : Status
    reason : str
        Why it was skipped or withheld, what failed, or how it was verified where that is unusual.
    size : int
        Bytes of the file.
    moved : int
        Bytes that came over the network for it in this run.
    seconds : float
    verification : VerificationLevel
        How it was verified.
    attempts : int
        Requests that were needed beyond the first of each part.
    advice : str
        What the reader can do about a failure, where that is more than to run the call again.
    remote : RemoteFile, optional
        The file on the server; None where it was not found there. It is not compared.
    digest : str
        ``algorithm:hex`` of what came, where it is more than the ETag says; else "".
    """

    __slots__ = ("_how", "_of", "_size")
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = shape_of(_OutcomeShape)
    _of: tuple[str, str | RemoteFile] | Want
    _size: int
    _how: _How

    def __init__(  # noqa: PLR0917 - as a dataclass takes them
        self,
        path: str,
        key: str,
        status: Status,
        reason: str = "",
        size: int = 0,
        moved: int = 0,
        seconds: float = 0.0,
        verification: VerificationLevel = VerificationLevel.NONE,
        attempts: int = 0,
        advice: str = "",
        remote: RemoteFile | None = None,
        digest: str = "",
    ) -> None:
        self._of = (path, remote if remote is not None and remote.key == key else key)
        self._size = size
        how = (status, reason, moved, seconds, verification, attempts, advice, digest)
        self._how = _How(*how)

    @classmethod
    def unmoved(
        cls,
        want: Want,
        status: Status,
        reason: str,
        size: int = 0,
        *,
        verification: VerificationLevel = VerificationLevel.NONE,
        advice: str = "",
    ) -> Outcome:
        """Return the outcome of a file for which nothing came: it takes little room.

        Parameters
        ----------
        want : Want
            The file.
        status, reason, size, verification, advice
            As for any outcome.
        """
        made = cls.__new__(cls)
        made._of = want
        made._size = size
        made._how = _same_how(_How(status, reason, 0, 0.0, verification, 0, advice))
        return made

    def same_for(self, want: Want, size: int) -> Outcome:
        """Return the same outcome for another file, for which nothing came either.

        Returns
        -------
        Outcome
            An outcome with the same status and reason.
        """
        made = _new(Outcome)
        made._of = want
        made._size = size
        made._how = self._how
        return made

    @property
    def path(self) -> str:
        """Relative to the root."""
        of = self._of
        return of[0] if type(of) is tuple else of.path  # type: ignore[union-attr]

    @property
    def key(self) -> str:
        """The object's name on the server."""
        remote = self.remote
        return self._of[1] if remote is None else remote.key  # type: ignore[index,return-value]

    @property
    def remote(self) -> RemoteFile | None:
        """The file on the server; None where it was not found there."""
        of = self._of
        if type(of) is not tuple:
            return of.remote  # type: ignore[union-attr]
        return of[1] if isinstance(of[1], RemoteFile) else None

    @property
    def status(self) -> Status:
        """The result."""
        return self._how.status

    @property
    def reason(self) -> str:
        """Why it was skipped or withheld, or what failed."""
        return self._how.reason

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._size

    @property
    def moved(self) -> int:
        """Bytes that came over the network for it in this run."""
        return self._how.moved

    @property
    def seconds(self) -> float:
        """From the first request for it to its end."""
        return self._how.seconds

    @property
    def verification(self) -> VerificationLevel:
        """How it was verified."""
        return self._how.verification

    @property
    def attempts(self) -> int:
        """Requests that were needed beyond the first of each part."""
        return self._how.attempts

    @property
    def advice(self) -> str:
        """What the reader can do about a failure."""
        return self._how.advice

    @property
    def digest(self) -> str:
        """``algorithm:hex`` of what came, where it is more than the ETag says; else ""."""
        return self._how.digest

    @property
    def ok(self) -> bool:
        """Whether the file is there."""
        return self._how.status in (Status.FETCHED, Status.KEPT)


@dataclass(frozen=True, slots=True, repr=False)
class Report(Faced):
    """What happened, file by file, in the order of the plan.

    Parameters
    ----------
    root : Path
    outcomes : tuple of Outcome
    notes : tuple of str
    seconds : float
        From the first request to the last file.
    """

    root: Path
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    _by_status: dict[Status, tuple[Outcome, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __repr__(self) -> str:
        """Return one line: a report may have thousands of outcomes, and notebooks print it."""
        counts = ", ".join(f"{len(self.of(status)):,} {status.word}" for status in Status)
        return (
            f"<Report of {len(self):,} files in {self.root}: {counts}; "
            f"{self.bytes_moved:,} bytes moved in {self.seconds:.1f} s>"
        )

    def of(self, status: Status) -> tuple[Outcome, ...]:
        """Return the outcomes with this status.

        Parameters
        ----------
        status : Status
            Which outcomes, such as `Status.FAILED`.

        Returns
        -------
        tuple of Outcome
            The outcomes, in the order of the report.
        """
        if status not in self._by_status:
            self._by_status[status] = tuple(o for o in self.outcomes if o.status is status)
        return self._by_status[status]

    @property
    def paths(self) -> list[Path]:
        """Absolute paths of all files that are there, in the order of the plan."""
        return [self.root / outcome.path for outcome in self.outcomes if outcome.ok]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The files that were asked for and are not there."""
        return self.of(Status.FAILED)

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """The files that were here already."""
        return self.of(Status.KEPT)

    @property
    def withheld(self) -> tuple[Outcome, ...]:
        """The files that the dataset's owners keep back, as the plan said: no failures."""
        return self.of(Status.REFUSED)

    @property
    def ok(self) -> bool:
        """Whether nothing failed (a file that the owners withhold is no failure)."""
        return not self.failures

    @property
    def bytes_moved(self) -> int:
        """Bytes that came over the network."""
        return sum(outcome.moved for outcome in self.outcomes)

    def raise_for_failures(self) -> None:
        """Raise when something that was asked for is missing.

        Raises
        ------
        IncompleteError
            It names every missing file with its cause.
        """
        if self.ok:
            return
        failures = self.failures
        rest = len(self) - len(failures)
        what = f"{len(failures)} of {len(self)} files" if len(self) > 1 else "the file"
        lines = [f"{what} failed{_rest(rest)}."]
        lines += [f"  {shown(o.path)}: {o.reason}" for o in failures]
        lines += dict.fromkeys(o.advice for o in failures if o.advice)
        if any(not o.advice for o in failures):
            lines += ["Run the same call again: it fetches only the missing files."]
        raise IncompleteError("\n".join(lines), self)

    def merge(self, other: Report) -> Report:
        """Return one report of two runs: for a file in both, the later outcome stands.

        Parameters
        ----------
        other : Report
            The later run, on the same root.

        Returns
        -------
        Report
            A report of the files of both.

        Raises
        ------
        ValueError
            If the roots differ.
        """
        if other.root != self.root:
            msg = f"cannot merge reports of {self.root} and {other.root}: two data directories"
            raise ValueError(msg)
        merged = {outcome.path: outcome for outcome in self.outcomes}
        merged.update((outcome.path, outcome) for outcome in other.outcomes)
        notes = tuple(dict.fromkeys(self.notes + other.notes))
        return Report(self.root, tuple(merged.values()), notes, self.seconds + other.seconds)


def _rest(count: int) -> str:
    if count < 2:
        return "; the other one was fetched, skipped or withheld" if count else ""
    return f"; the other {count} were fetched, skipped or withheld"


class Action(enum.StrEnum):
    """What the plan does with one file. The values are those of JSON; people read `word`."""

    FETCH = "fetch"
    RESUME = "resume"
    REPLACE = "replace"
    KEEP = "keep"
    REFUSE = "refuse"
    LEAVE = "leave"

    @property
    def word(self) -> str:
        """The word for people."""
        words = {"keep": "skip", "refuse": "withheld", "leave": "cannot be kept"}
        return words.get(self.value, self.value)


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum of a whole object, as lower-case hexadecimal text.

    Parameters
    ----------
    algorithm : {"crc64nvme", "crc32c", "crc32", "sha256", "md5", "gitblob"}
        ``gitblob`` is the name that git gives to the content of a file: a SHA-1.
    value : str
    """

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True)
class _RemoteShape:
    key: str
    url: str
    size: int | None
    etag: str | None = None
    modified: str | None = None
    digest: Digest | None = None
    ranges: bool = True
    withheld: str = ""
    listed: str = ""
    storage_class: str = ""


class Listed(NamedTuple):
    """The files of a page of a listing, column by column: each has its place in all of them.

    Parameters
    ----------
    keys : tuple of str
        One without a key has an empty one.
    sizes : tuple of int or None
        Bytes.
    etags, times : tuple of str or None
        As the server wrote them, ETags without quotation marks.
    classes : tuple of str
        Storage classes; "" for nothing special.
    """

    keys: tuple[str, ...] = ()
    sizes: tuple[int | None, ...] = ()
    etags: tuple[str | None, ...] = ()
    times: tuple[str | None, ...] = ()
    classes: tuple[str, ...] = ()


class Folder(NamedTuple):
    """What the files of one listing have in common.

    Parameters
    ----------
    prefix : str
        What all their keys begin with.
    base : str or None
        The URL that keys are appended to; None where `url` is that of the one file.
    url : str
    digest, ranges, withheld, listed, storage_class
        As for `RemoteFile`.
    """

    prefix: str = ""
    base: str | None = None
    url: str = ""
    digest: Digest | None = None
    ranges: bool = True
    withheld: str = ""
    listed: str = ""
    storage_class: str = ""


class RemoteFile(Value):
    """One object on a server.

    Parameters
    ----------
    key : str
        The object's name on the server, never rewritten.
    url : str
        Where to get it. Never signed: a source with signed addresses returns them at the time of
        the request.
    size : int or None
        Bytes; None where the server does not say beforehand.
    etag : str or None
        The ETag without quotation marks (a weak one begins with ``W/``); None where the server has
        none.
    modified : str or None
        Last modification as the server wrote it.
    digest : Digest or None
        A checksum of the whole object that is known before the transfer.
    ranges : bool
        Whether the server honours ``Range`` (if not: no parts, no resuming).
    withheld : str
        Why the server lists the file but does not give it out now; empty if it does. A file that
        is already here is skipped in either case.
    listed : str
        The ETag in the listing, where the object itself turned out to have another; else empty.
    storage_class : str
        Where the server keeps it, as S3 says it ("GLACIER"); "" where it does not say, or where
        an archived file is restored for now.
    """

    __slots__ = ("_in", "_name", "_size", "_told")
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = shape_of(_RemoteShape)
    _name: str
    _size: int | None
    _told: Told
    _in: Folder

    def __init__(  # noqa: PLR0917 - as a dataclass takes them
        self,
        key: str,
        url: str,
        size: int | None,
        etag: str | None = None,
        modified: str | None = None,
        digest: Digest | None = None,
        ranges: bool = True,
        withheld: str = "",
        listed: str = "",
        storage_class: str = "",
    ) -> None:
        self._name = key
        self._size = size
        self._told = pack(etag, modified)
        self._in = Folder("", None, url, digest, ranges, withheld, listed, storage_class)

    @classmethod
    def below(
        cls,
        folder: Folder,
        name: str,
        size: int | None,
        etag: str | None = None,
        modified: str | None = None,
    ) -> RemoteFile:
        """Return a file of a listing: it takes little room.

        Parameters
        ----------
        folder : Folder
            What it has in common with the others; one object for all of them.
        name : str
            Its key without the folder's prefix.
        size, etag, modified
            As for any file.
        """
        made = cls.__new__(cls)
        made._name = name
        made._size = size
        made._told = pack(etag, modified)
        made._in = folder
        return made

    @classmethod
    def page_of(
        cls, page: Listed, length: int, folder_of: Callable[[str], Folder]
    ) -> list[RemoteFile]:
        """Return the files of a page of a listing: see `below`.

        Parameters
        ----------
        page : Listed
        length : int
            Of the prefix that its keys begin with.
        folder_of : callable
            Returns what the files of a storage class have in common.
        """
        keys, sizes, etags, times, classes = page
        files = []
        before, folder = None, Folder()
        for key, size, told, kept in zip(keys, sizes, pack_all(etags, times), classes, strict=True):
            if kept != before:
                before, folder = kept, folder_of(kept)
            made = _new(cls)
            made._name = key[length:]
            made._size = size
            made._told = told
            made._in = folder
            files.append(made)
        return files

    def name_in(self, prefix: str) -> str | None:
        """Return the key without this prefix; None where it does not begin with it."""
        if self._in.prefix == prefix:
            return self._name
        key = self._in.prefix + self._name
        return key[len(prefix) :] if key.startswith(prefix) else None

    @property
    def told(self) -> Told:
        """The ETag and the time in little room: see `neurofetch._compact.pack`."""
        return self._told

    @property
    def key(self) -> str:
        """The object's name on the server, never rewritten."""
        return self._in.prefix + self._name

    @property
    def url(self) -> str:
        """Where to get it; never signed."""
        folder = self._in
        return folder.url if folder.base is None else folder.base + quoted(self.key)

    @property
    def size(self) -> int | None:
        """Bytes; None where the server does not say beforehand."""
        return self._size

    @property
    def etag(self) -> str | None:
        """The ETag without quotation marks; None where the server has none."""
        return etag_of(self._told)

    @property
    def modified(self) -> str | None:
        """Last modification as the server wrote it."""
        return unpack(self._told)[1]

    @property
    def digest(self) -> Digest | None:
        """A checksum of the whole object that is known before the transfer."""
        return self._in.digest

    @property
    def ranges(self) -> bool:
        """Whether the server honours ``Range``."""
        return self._in.ranges

    @property
    def withheld(self) -> str:
        """Why the server lists the file but does not give it out now; empty if it does."""
        return self._in.withheld

    @property
    def listed(self) -> str:
        """The ETag in the listing, where the object itself turned out to have another."""
        return self._in.listed

    @property
    def storage_class(self) -> str:
        """Where the server keeps it, as S3 says it; "" where it does not say."""
        return self._in.storage_class

    @property
    def archived(self) -> bool:
        """Whether it must be restored by its owners before anybody can fetch it."""
        return self._in.storage_class in _ARCHIVES


def names_in(files: Sequence[RemoteFile], prefix: str) -> list[str] | None:
    """Return the names of files below a prefix; None where they were not all listed so.

    Parameters
    ----------
    files : sequence of RemoteFile
    prefix : str
    """
    names = [file._name for file in files if file._in.prefix == prefix]
    return names if len(names) == len(files) else None


_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes that S3 does not read from; GLACIER_IR (instant retrieval) is not among them."""


@dataclass(frozen=True)
class _WantShape:
    remote: RemoteFile
    path: str
    why: str = "asked for"
    refused: str = ""
    optional: bool = False
    problem: str = ""


_same_want = Shared[tuple[str, str, bool, str]]()


class Want(Value):
    """A remote file that was chosen.

    Parameters
    ----------
    remote : RemoteFile
    path : str
        Relative to the root, forward slashes, safe by construction.
    why : str
        The rule that chose it: "asked for", "root file", "sidecar of …".
    refused : str
        Why its owners do not give it out; empty when they do.
    problem : str
        Why it cannot be kept under its name; empty when it can.
    optional : bool
        Whether its absence on the server is only noted.
    """

    __slots__ = ("_path", "_remote", "_rest")
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = shape_of(_WantShape)
    _remote: RemoteFile
    _path: str
    _rest: tuple[str, str, bool, str]

    def __init__(  # noqa: PLR0917 - as a dataclass takes them
        self,
        remote: RemoteFile,
        path: str,
        why: str = "asked for",
        refused: str = "",
        optional: bool = False,
        problem: str = "",
    ) -> None:
        self._remote = remote
        self._path = path
        self._rest = _same_want((why, refused, optional, problem))

    @property
    def remote(self) -> RemoteFile:
        """The file on the server."""
        return self._remote

    @property
    def path(self) -> str:
        """Relative to the root, forward slashes, safe by construction."""
        return self._path

    @property
    def why(self) -> str:
        """The rule that chose it."""
        return self._rest[0]

    @property
    def refused(self) -> str:
        """Why its owners do not give it out; empty when they do."""
        return self._rest[1]

    @property
    def optional(self) -> bool:
        """Whether its absence on the server is only noted."""
        return self._rest[2]

    @property
    def problem(self) -> str:
        """Why it cannot be kept under its name; empty when it can."""
        return self._rest[3]

    @property
    def is_told_by_etag(self) -> bool:
        """Whether, if it is here with this ETag, nothing else counts: no refusal, no digest."""
        _, refused, _, problem = self._rest
        return not refused and not problem and self._remote._in.digest is None

    @property
    def is_free(self) -> bool:
        """Whether nobody keeps it back, and nothing keeps it from its name."""
        _, refused, _, problem = self._rest
        return not refused and not problem and not self._remote._in.withheld

    @classmethod
    def all_free(
        cls, files: Iterable[RemoteFile], paths: Iterable[str], reasons: Iterable[str]
    ) -> list[Want]:
        """Return files that nobody keeps back, and nothing keeps from their names.

        Parameters
        ----------
        files : iterable of RemoteFile
        paths, reasons : iterable of str
            The path of each, and why it was chosen.
        """
        made = []
        rests: dict[str, tuple[str, str, bool, str]] = {}
        for file, path, why in zip(files, paths, reasons, strict=True):
            if why not in rests:
                rests[why] = _same_want((why, "", False, ""))
            one = _new(cls)
            one._remote = file
            one._path = path
            one._rest = rests[why]
            made.append(one)
        return made

    def same_for(self, remote: RemoteFile, path: str) -> Want:
        """Return another file that was chosen for the same reason, and is kept like this one."""
        made = _new(Want)
        made._remote = remote
        made._path = path
        made._rest = self._rest
        return made

    def said(self, error: BaseException) -> str:
        """Return what an error says of this file, without the name, which stands beside it."""
        text = str(error)
        for name in (self.remote.key, self.path):
            text = text.removeprefix(f"{name}: ") if name else text
        return text


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was written down when a file got its final name.

    Parameters
    ----------
    path : str
        Relative to the root.
    key, etag : str
        The object that it was; `etag` is "" where the server has none.
    size, mtime_ns : int
        Of the local file when it was placed: bytes, nanoseconds since the epoch.
    verification : VerificationLevel
        How it was verified.
    digest : str
        ``algorithm:hex`` of the content, to check it again later; "" where there is none.
    when : float
        Seconds since the epoch, by the clock of the writer: to be shown, not to be compared.
    listed : str
        The ETag that the listing said, where the object had another; else "".
    seq : int
        Its place among the receipts of its path; the journal counts, and says it when it is read.
    source : str
        The key of the data set that it is of, where that is not the one that the data directory is
        of; else "".
    damaged : bool
        Whether the file of this size and time was read since, and has other bytes.
    version : str
        The version of the object, as S3 counts them (``versionId``), where the server told; else
        "".
    url : str
        The address of the object, without a signature, where its key does not tell it: as of a file
        that is listed at the address of another one of equal content; else "".
    """

    path: str
    key: str
    etag: str
    size: int
    mtime_ns: int
    verification: VerificationLevel
    digest: str
    when: float
    listed: str = ""
    seq: int = field(default=0, compare=False)
    source: str = ""
    damaged: bool = False
    version: str = ""
    url: str = ""

    def is_of(self, remote: RemoteFile) -> bool:
        """Whether this is the object that a listing tells of, by its content or its ETag.

        Where listing and object disagreed already when it was fetched, the size must agree too.
        """
        digest, etag = remote.digest, remote.etag
        if digest is not None and self.digest == str(digest):
            return True
        if not etag:
            return False
        listed = self.listed == etag and remote.size in (None, self.size)
        return self.etag == etag or listed


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that is already here.

    Parameters
    ----------
    path : str
        Relative to the root.
    size, mtime_ns : int
        Bytes; nanoseconds since the epoch.
    receipt : Receipt or None
        Its receipt; None when another tool put it there.
    digest : str
        ``algorithm:hex`` of the content as it is now, where it was read to find out; else "".
    """

    path: str
    size: int
    mtime_ns: int
    receipt: Receipt | None = None
    digest: str = ""

    @property
    def content(self) -> str:
        """The digest of what is here, as far as it is known without reading it again."""
        if self.digest or self.receipt is None or self.touched or self.receipt.damaged:
            return self.digest
        return self.receipt.digest

    def matches(self, digest: Digest | None) -> bool | None:
        """Whether the content is the one with this digest; None where that is not known."""
        content = self.content
        if digest is None or content.partition(":")[0] != digest.algorithm:
            return None
        return content == str(digest)

    @property
    def damaged(self) -> bool:
        """Whether it was read before, and had other bytes than it should; it is as it was then."""
        return self.receipt is not None and self.receipt.damaged and not self.touched

    @property
    def touched(self) -> bool:
        """Whether the file changed since its receipt was written."""
        return self.receipt is not None and (
            self.receipt.size != self.size or not same_time(self.receipt.mtime_ns, self.mtime_ns)
        )


_STEPS = (2 * 10**9, 10**9, 10**7, 10**6, 10**3, 100)
"""Nanoseconds: the steps of times on disks and file servers that keep no single ones."""


def same_time(was: int, now: int) -> bool:
    """Whether a file has the time that it had, as far as its disk keeps times.

    A file has the exact time while its host remembers it, and later the one that the disk keeps, or
    the archive that it was copied with: rounded down. What is written later has a later time.

    Parameters
    ----------
    was, now : int
        Nanoseconds since the epoch.

    Examples
    --------
    >>> same_time(1_700_000_001_234_567_890, 1_700_000_001_000_000_000)
    True
    >>> same_time(1_700_000_001_234_567_890, 1_700_000_001_234_567_891)
    False
    """
    return was == now or any(now % step == 0 and was // step * step == now for step in _STEPS)


@dataclass(frozen=True)
class _StepShape:
    want: Want
    action: Action
    reason: str
    have: int = 0
    verification: VerificationLevel = VerificationLevel.NONE
    copy_of: str = ""


_same_step = Shared[tuple[Action, str, int, VerificationLevel, str]]()


class Step(Value):
    """What will be done with one wanted file, and why.

    Parameters
    ----------
    want : Want
    action : Action
    reason : str
    have : int
        Bytes of it that are already in a partial file.
    verification : VerificationLevel
        How the file that is kept was verified when it came.
    copy_of : str
        Path of another file of the same content, which is here or is fetched first: this one is
        made of that, and no byte comes over the network for it. "" for none.
    """

    __slots__ = ("_rest", "_want")
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = shape_of(_StepShape)
    _want: Want
    _rest: tuple[Action, str, int, VerificationLevel, str]

    def __init__(  # noqa: PLR0917 - as a dataclass takes them
        self,
        want: Want,
        action: Action,
        reason: str,
        have: int = 0,
        verification: VerificationLevel = VerificationLevel.NONE,
        copy_of: str = "",
    ) -> None:
        self._want = want
        self._rest = _same_step((action, reason, have, verification, copy_of))

    def is_like(self, other: Step) -> bool:
        """Whether it is the same for two files, as far as can be told at a glance."""
        return self._rest is other._rest

    def is_twin(self, other: Step) -> bool:
        """Whether two files also were chosen for one reason, and lie in one storage class."""
        want, its = self._want, other._want
        return (
            self._rest is other._rest
            and want._rest is its._rest
            and want._remote._in is its._remote._in
        )

    @property
    def kind(self) -> tuple[int, int, str]:
        """What steps have in common that are done alike for one reason, while they are held."""
        want = self._want
        return id(self._rest), id(want._rest), want._remote._in.storage_class

    def same_for(self, want: Want) -> Step:
        """Return the same step for another file."""
        made = _new(Step)
        made._want = want
        made._rest = self._rest
        return made

    @property
    def want(self) -> Want:
        """The file."""
        return self._want

    @property
    def action(self) -> Action:
        """What will be done with it."""
        return self._rest[0]

    @property
    def reason(self) -> str:
        """Why."""
        return self._rest[1]

    @property
    def have(self) -> int:
        """Bytes of it that are already in a partial file."""
        return self._rest[2]

    @property
    def verification(self) -> VerificationLevel:
        """How the file that is kept was verified when it came."""
        return self._rest[3]

    @property
    def copy_of(self) -> str:
        """Path of another file of the same content, of which this one is made; "" for none."""
        return self._rest[4]

    @property
    def moves(self) -> bool:
        """Whether bytes will move for this file."""
        return self._rest[0] in _MOVING

    @property
    def archived(self) -> bool:
        """Whether it is asked for although it will most likely be refused: it is archived."""
        return self._want._remote._in.storage_class in _ARCHIVES and self.moves

    @property
    def remaining(self) -> int:
        """Bytes still to come; those of an archived file are not expected."""
        if not self.moves or self.archived or self._rest[4]:
            return 0
        return max(0, (self._want._remote._size or 0) - self._rest[2])


_MOVING = (Action.FETCH, Action.RESUME, Action.REPLACE)


class _Sorted(NamedTuple):
    """The steps of a plan by their action: they are asked for again and again."""

    by_action: dict[Action, tuple[Step, ...]]
    moving: tuple[Step, ...]
    archived: tuple[Step, ...]
    bytes_to_fetch: int


def _sorted_by_action(steps: tuple[Step, ...]) -> _Sorted:
    by_action: dict[Action, list[Step]] = {action: [] for action in Action}
    for step in steps:
        by_action[step._rest[0]].append(step)
    some = {action: tuple(found) for action, found in by_action.items()}
    kinds = [some[action] for action in _MOVING if some[action]]
    moving = kinds[0] if len(kinds) == 1 else tuple(step for step in steps if step.moves)
    archived = tuple(step for step in moving if step.archived)
    return _Sorted(some, moving, archived, sum(step.remaining for step in moving))


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Faced):
    """All steps, in a stable order. Printing it is a dry run; planning again is resuming.

    Parameters
    ----------
    root : Path
        The data directory.
    steps : tuple of Step
    notes : tuple of str
        What a reader should know: values that were resolved, files that the server lacks.
    free : int or None
        Free bytes on the disk of the root when the plan was made.
    """

    root: Path
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    free: int | None = None
    _found: _Sorted | None = field(default=None, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        """Return one line: a plan may have thousands of steps, and notebooks print it."""
        kept, refused = len(self.of(Action.KEEP)), len(self.of(Action.REFUSE))
        return (
            f"<Plan of {len(self):,} files for {self.root}: {len(self.moving):,} to fetch "
            f"({self.bytes_to_fetch:,} bytes), {kept:,} already here, {refused:,} withheld>"
        )

    def of(self, *actions: Action) -> tuple[Step, ...]:
        """Return the steps with one of these actions.

        Parameters
        ----------
        *actions : Action
            Which steps, such as `Action.FETCH`.

        Returns
        -------
        tuple of Step
            The steps, in the order of the plan.
        """
        if len(actions) == 1:
            return self._sorted.by_action[actions[0]]
        return tuple(step for step in self.steps if step.action in actions)

    @property
    def _sorted(self) -> _Sorted:
        found = self._found
        if found is None:
            found = _sorted_by_action(self.steps)
            object.__setattr__(self, "_found", found)
        return found

    @property
    def moving(self) -> tuple[Step, ...]:
        """The steps for which bytes will move, or are asked for at least."""
        return self._sorted.moving

    @property
    def archived(self) -> tuple[Step, ...]:
        """Those of `moving` whose files are archived: they come only if they were restored."""
        return self._sorted.archived

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes still to come, partial files subtracted."""
        return self._sorted.bytes_to_fetch

    @property
    def bytes_to_write(self) -> int:
        """Bytes that the disk has to take: those to come, and copies of what is here or comes."""
        copies = sum(step.want.remote.size or 0 for step in self.moving if step.copy_of)
        return self.bytes_to_fetch + copies

    @property
    def bytes_here(self) -> int:
        """Bytes that are already here, partial files included."""
        kept = sum(step.want.remote.size or 0 for step in self.of(Action.KEEP))
        return kept + sum(step.have for step in self.moving)

    def shard(
        self,
        index: int,
        count: int,
        few: Callable[[RemoteFile], int | None] | None = None,
    ) -> Plan:
        """Return the part of this plan that job `index` of `count` jobs fetches.

        The large files are dealt out first, each to the job that has the least so far, so all
        jobs get about the same number of bytes. The union of all shards is the plan, also when
        the jobs start at different times: what is here already does not count, so each job
        deals out alike.

        Parameters
        ----------
        index : int
            From 0 to ``count - 1``.
        count : int
        few : callable, optional
            Says of a file how many of its kind its server may be asked for at once; None for no
            bound. Such files are dealt to no more jobs than that: to the first ones.

        Returns
        -------
        Plan
            A plan with some of the steps of this one.

        Raises
        ------
        ValueError
            If `index` is not in range.
        """
        if not 0 <= index < count:
            msg = f"shard {index} of {count}: the index runs from 0 to {count - 1}"
            raise ValueError(msg)
        sized = ((numbers, self._size_of(numbers)) for numbers in by_content(self.steps))
        groups = sorted(sized, key=lambda group: -group[1])
        bounds: dict[int | None, list[tuple[list[int], int]]] = {None: groups}
        if few is not None:
            bounds = {}
            for group in groups:
                bounds.setdefault(few(self.steps[group[0][0]]._want._remote), []).append(group)
        loads = [(0, job) for job in range(count)]
        mine: set[int] = set()
        for bound in sorted(bounds, key=lambda one: count if one is None else one):
            most = count if bound is None else min(bound, count)
            some, rest = loads[:most], loads[most:]
            heapify(some)  # the least loaded job first
            for numbers, size in bounds[bound]:
                load, job = heappop(some)
                heappush(some, (load + size + len(numbers), job))
                if job == index:
                    mine.update(numbers)
            loads = sorted([*some, *rest], key=itemgetter(1))
        steps = tuple(step for number, step in enumerate(self.steps) if number in mine)
        return Plan(self.root, steps, self.notes, self.free)

    def _size_of(self, numbers: Sequence[int]) -> int:
        """Return the bytes of steps of one content, which is fetched once."""
        return self.steps[numbers[0]]._want._remote._size or 0


def by_content(steps: Sequence[Step]) -> list[list[int]]:
    """Return the numbers of steps, those of one content together; such files are copies.

    Parameters
    ----------
    steps : sequence of Step
        The groups come in the order of their first steps.
    """
    groups: dict[object, list[int]] = {}
    for number, step in enumerate(steps):
        remote = step._want._remote
        digest = remote._in.digest
        groups.setdefault(number if digest is None else (digest, remote._size), []).append(number)
    return list(groups.values())


class IncompleteError(NeurofetchError, RuntimeError):
    """Files that were asked for are missing at the end; all others were fetched.

    Parameters
    ----------
    message : str
        Every file that is missing, with its cause.
    report : Report
        What happened to each file, the good ones included.
    """

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[type[IncompleteError], tuple[str, Report]]:
        return (type(self), (str(self), self.report))


@contextmanager
def calm_when_stopped(doing: str) -> Iterator[None]:
    """Let a notebook show one line where it is interrupted, and not the code that it struck.

    Parameters
    ----------
    doing : str
        What is done meanwhile, and changes nothing.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        said = f"\x1b[31mStopped\x1b[39m while {doing}. Run the cell again to begin anew."
        vars(error).setdefault("_render_traceback_", partial(list, [said]))
        raise


def tell_what_is_here(error: KeyboardInterrupt, report: Report) -> None:
    """Give an interrupt its report, and let a notebook show that instead of where it struck.

    Parameters
    ----------
    error : KeyboardInterrupt
        It stays what it is; its attribute `report` is new.
    report : Report
        What is here, and what is not.
    """
    vars(error).update(report=report, _render_traceback_=partial(_said_of_interrupt, report))


def _said_of_interrupt(report: Report) -> list[str]:
    here, missing = sum(outcome.ok for outcome in report), len(report.failures)
    return [
        f"\x1b[31mStopped\x1b[39m. Of {here + missing:,} files, {here:,} are here, whole, in "
        f"{shown(str(report.root))}.",
        "What came of the others is kept: run the cell again, and it goes on where it stopped.",
    ]
