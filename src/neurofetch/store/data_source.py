"""What a data directory remembers of where its files come from.

It lies beside the receipts, in the state folder: ``source.json`` for the data set that the
directory is of, and a file ``source-ID.json`` for each further one, where several were asked for.
Each is written as a whole. The first is only ever made where there is none, so of two runs that
begin at once with different data sets one is refused; the others have names of their own, so no run
undoes what another wrote.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from neurofetch._compact import quoted
from neurofetch._shown import shown
from neurofetch.errors import DestinationError, OtherDatasetError, UnsafeNameError
from neurofetch.model import STATE_FOLDERS
from neurofetch.store.atomic import read_regular
from neurofetch.store.folder import Folder
from neurofetch.store.owner import process_token
from neurofetch.store.partials import name_of
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DataSource",
    "check_source",
    "described",
    "has_further",
    "is_mine_alone",
    "other_version",
    "plain_url",
    "read_sources",
    "remember",
    "state_folders",
]

VERSION = 1
"""Of the file: a newer one may say what this program does not understand."""
_FIRST = "source.json"
_FURTHER = re.compile(r"source-([0-9a-f]{12})\.json")
_TEXTS = ["kind", "url", "endpoint", "server", "name", "doi", "version", "commit"]
_TEXTS += ["objects", "tool", "first", "last", "profile"]
_SWITCHES = ["tidy_labels", "named", "signed", "requester_pays"]
_OF_OPENNEURO = re.compile(r"s3://openneuro\.org/(ds[0-9]+)")
_TRIES = 5
_LARGEST = 1 << 20
"""Bytes. What is larger is no such file, and no description of a data set."""
_RECENT = 60.0
"""Seconds: so long the time of the last run is not written anew."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK)
"""What disks say that give no file two names."""
_VERSION_IN_DOI = re.compile(r"\.v([0-9][\w.]*)$")
_VERSION_IN_CHANGES = re.compile(rb"\s*v?([0-9]+(?:\.[0-9]+)+)[\s,:-]+\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set, and where it was fetched from.

    Parameters
    ----------
    kind : str
        "bids" for a bucket in BIDS layout, "laion-fmri", "neurovault", or what a package for a
        data set calls it.
    url : str
        Bucket and prefix of the data set's root, ``s3://BUCKET/PREFIX``; of NeuroVault the address
        of its API. Without user, password or signature.
    endpoint : str
        Host of the S3 server, where it is not AWS.
    name, doi, version : str
        As the data set describes itself, where that is here; else "".
    commit : str
        The commit of the version, where the source tells it; else "".
    objects : str
        What keys are appended to, for the address of an object, where `url` does not tell it; else
        "".
    tidy_labels : bool
        Whether local names lack the hyphens inside of ``label-``.
    tool : str
        The program and its version that fetched last.
    first, last : str
        When the first and the last run began, UTC, in ISO 8601.
    server : str
        Address of the S3 server, where it is not AWS; "" also where an older version wrote it down.
    named : bool
        Whether that server was named for this data set, and is no mirror for all of them: then it
        is a part of what the data set is.
    profile : str
        The name of the profile whose credentials fetched last; "" for none.
    signed, requester_pays : bool
        Whether keys of the environment fetched, and whether whoever fetched paid.
    """

    kind: str
    url: str
    endpoint: str = ""
    name: str = ""
    doi: str = ""
    version: str = ""
    commit: str = ""
    tidy_labels: bool = False
    tool: str = ""
    first: str = ""
    last: str = ""
    server: str = ""
    named: bool = False
    profile: str = ""
    signed: bool = False
    requester_pays: bool = False
    objects: str = ""

    @property
    def identity(self) -> str:
        """What tells it from other data sets: the server only where it was named for this one.

        A server of the environment may be a mirror of all that there is.
        """
        if self.kind == "neurovault":
            return self.kind
        plain = self.url.rstrip("/")
        return f"{plain} at {self.endpoint}" if self.named and self.endpoint else plain

    def takes(self, other: DataSource) -> bool:
        """Whether a directory of this data set may take files of another source of it.

        That is the case where they come from the same place, as far as can be told: where only one
        of them was fetched from a server that was named for it, the other may be of a mirror. It is
        also where a version at OpenNeuro is asked for, and what is here came from its bucket. Not
        the other way round: what the bucket has is no version.

        Parameters
        ----------
        other : DataSource
        """
        if self.named and other.named and self.endpoint != other.endpoint:
            return False
        if self._place == other._place:
            return True
        exported = _OF_OPENNEURO.fullmatch(self._place)
        return exported is not None and other._place == f"openneuro:{exported[1]}"

    @property
    def _place(self) -> str:
        """The identity without the server."""
        return replace(self, named=False).identity

    @property
    def key(self) -> str:
        """A short name that depends on the identity alone."""
        return hashlib.sha256(self.identity.encode()).hexdigest()[:12]

    def object_url(self, key: str) -> str:
        """Return the address of an object; "" where that is not known.

        Parameters
        ----------
        key : str
            That of a damaged receipt may have half a letter in it, which no server has.

        Examples
        --------
        >>> DataSource("bids", "s3://openneuro.org/ds000001").object_url("ds000001/README")
        'https://s3.amazonaws.com/openneuro.org/ds000001/README'
        """
        try:
            name = quoted(key)
        except UnicodeEncodeError:
            return ""
        if self.objects:
            return f"{self.objects}{name}"
        scheme, _, place = self.url.partition("://")
        bucket = place.partition("/")[0]
        if scheme != "s3" or (self.endpoint and not self.server):
            return ""
        if self.server:
            base = f"{self.server.rstrip('/')}/{bucket}"
        elif "." in bucket:  # the certificate covers one level of names only
            base = f"https://s3.amazonaws.com/{bucket}"
        else:
            base = f"https://{bucket}.s3.amazonaws.com"
        return f"{base}/{name}"

    def __str__(self) -> str:
        place = f"{self.url}, at {self.endpoint}" if self.endpoint else self.url
        return f"{shown(self.name)} ({shown(place)})" if self.name else shown(place)


def plain_url(url: str) -> str:
    """Return a URL without user, password, query and fragment.

    Parameters
    ----------
    url : str

    Examples
    --------
    >>> plain_url("https://me:secret@example.org:8080/api?key=1")
    'https://example.org:8080/api'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def state_folders(root: Path) -> list[Path]:
    """Return the folders of a directory in which programs of ours keep what they know of it.

    Parameters
    ----------
    root : Path
    """
    try:
        with os.scandir(root) as entries:
            hidden = [Path(entry.path) for entry in entries if entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(folder for folder in hidden if _is_state(folder))


def _is_state(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        if folder.is_symlink() or not folder.is_dir():
            return False
        receipts = folder / "receipts"
        if folder.name in STATE_FOLDERS:
            return (folder / _FIRST).is_file() or receipts.is_dir()
        return any(receipts.glob("*.jsonl"))
    return False


def read_sources(state: Path) -> tuple[DataSource, ...]:
    """Return what a state folder remembers: first the data set that the directory is of.

    Parameters
    ----------
    state : Path

    Returns
    -------
    tuple of DataSource
        Empty where nothing is remembered, as of a directory of an older version.

    Raises
    ------
    DestinationError
        If a newer version wrote it, or it cannot be read.
    """
    names = sorted(filter(_FURTHER.fullmatch, _names(state)))
    found = [_read(state / name) for name in (_FIRST, *names)]
    return tuple(source for source in found if source is not None)


def has_further(state: Path) -> bool:
    """Whether a directory is of several data sets, as far as one state folder tells.

    Parameters
    ----------
    state : Path
    """
    return any(map(_FURTHER.fullmatch, _names(state)))


def is_mine_alone(state: Path) -> bool:
    """Whether what a state folder remembers can only have been written by this user.

    Parameters
    ----------
    state : Path
    """
    try:
        with _opened(state) as folder:
            names = [_FIRST, *filter(_FURTHER.fullmatch, folder.names())]
            found = [os.fstat(folder.fd), *filter(None, map(folder.look, names))]
    except OSError:
        return False
    return all(map(_only_i_write, found))


def _only_i_write(one: os.stat_result) -> bool:
    if one.st_uid != os.geteuid() or one.st_mode & stat.S_IWOTH:
        return False
    return not one.st_mode & stat.S_IWGRP or _is_group_of_one(one.st_gid)


def _is_group_of_one(gid: int) -> bool:
    """Whether a group is the user's private one, as many systems make it, with nobody else in."""
    import grp  # noqa: PLC0415 - for those who verify with credentials
    import pwd  # noqa: PLC0415

    try:
        group, me = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return me.pw_gid == gid and group.gr_name == me.pw_name and {*group.gr_mem} <= {me.pw_name}


def _opened(state: Path) -> Folder:
    """Open a state folder; the data directory itself may be reached through links."""
    with Folder.root(state.parent) as root:
        return root.below([state.name])


def _names(state: Path) -> list[str]:
    try:
        with _opened(state) as folder:
            return folder.names()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        msg = (
            f"the folder {state}, where it is written down what was fetched, cannot be read: "
            f"{error.strerror or error}. Nothing was fetched. Ask its owner to let you in (as by "
            "chmod -R g+rwX), or choose another data directory."
        )
        raise DestinationError(msg) from error


def _read(path: Path) -> DataSource | None:
    for _ in range(_TRIES):
        try:
            content = _content(path)
        except OSError as error:
            if error.errno == errno.ESTALE:  # another run has made or replaced it: so says NFS, too
                continue
            msg = f"{path}, which tells of which data set this directory is, cannot be read: "
            raise DestinationError(
                f"{msg}{error.strerror or error}. Nothing was fetched."
            ) from error
        return None if content is None else _parsed(path, content)
    return None


def _content(path: Path) -> bytes | None:
    try:
        with _opened(path.parent) as folder:
            try:
                return folder.read(path.name, _LARGEST)
            except FileNotFoundError as error:
                there = folder.look(path.name)
                if there is None:
                    return None
                if stat.S_ISREG(there.st_mode):  # another run has just made it
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path)) from error
    except (FileNotFoundError, NotADirectoryError):
        return None
    raise _damaged(path)  # a folder, or a link, which is not followed


def _parsed(path: Path, content: bytes) -> DataSource:
    """Return what a file says.

    Raises
    ------
    DestinationError
    """
    try:
        data: dict[str, Any] = json.loads(content)
        version = data["format_version"]
        if isinstance(version, int) and version > VERSION:
            msg = (
                f"this data directory was used by a newer version of neurofetch ({path} has format "
                f"{version}, this version reads {VERSION}). Nothing was changed. Update with: "
                "pip install -U neurofetch"
            )
            raise DestinationError(msg)
        said: dict[str, Any] = {name: _checked_text(data.get(name, "")) for name in _TEXTS}
        switches: dict[str, Any] = {name: data.get(name) is True for name in _SWITCHES}
        source = replace(DataSource(said.pop("kind"), said.pop("url")), **said, **switches)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        source = DataSource("", "")
        cause: Exception | None = error
    else:
        cause = None
    if not source.kind or not source.identity:
        raise _damaged(path) from cause
    return source


def _checked_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # JSON allows half a letter, and that is a ValueError
    return value


def _damaged(path: Path) -> DestinationError:
    return DestinationError(
        f"{path} does not tell of which data set this directory is: it is damaged. Nothing was "
        "changed. Remove that file; the next run writes it anew. Files and receipts are not "
        "touched by that."
    )


def check_source(root: Path, state: Path, source: DataSource, base: str = "", *, mix: bool) -> str:
    """See that a data directory is of this data set, of none yet, or that several are wanted.

    Parameters
    ----------
    root, state : Path
        The data directory, and the folder in it of the package that fetches.
    source : DataSource
        What was asked for.
    base : str
        The prefix of its keys, to tell it by the receipts of an older version.
    mix : bool
        Whether several are wanted.

    Returns
    -------
    str
        How its receipts name it: "" for the data set that the directory is of, else its key.

    Raises
    ------
    OtherDatasetError
        If it is of another one.
    DestinationError
        As `read_sources` does.
    """
    known = {folder: read_sources(folder) for folder in {state, *state_folders(root)}}
    every = [one for sources in known.values() for one in sources]
    if every and not mix and not any(one.takes(source) for one in every):
        raise _refusal(root, ", and ".join(map(str, every)), source)
    mine = known[state]
    if mine:
        return "" if mine[0].takes(source) else source.key
    if not every and not mix and source.url.startswith("s3://"):
        other = _other_base(state, base)
        if other is not None:
            raise _refusal(root, f"files from {shown(other) or 'the top of a bucket'}", source)
    return ""


def _refusal(root: Path, what: str, source: DataSource) -> OtherDatasetError:
    more = "; or, if you want both in this one, say so with --mix (mix=True)"
    if source.kind != "bids":  # a package for one data set does not offer that
        more = ""
    return OtherDatasetError(
        f"{root} holds another data set: {what}. You asked for {source}. Nothing was fetched. "
        f"Choose another data directory{more}."
    )


def _other_base(state: Path, base: str) -> str | None:
    """Return the prefix of what an older version fetched, if it is neither above nor below ours."""
    receipts = read_receipts(state)
    bases = set()
    for path in receipts:
        key = receipts[path].key
        if key.endswith(path):
            bases.add(key[: len(key) - len(path)])
    if not bases or any(base.startswith(one) or one.startswith(base) for one in bases):
        return None
    return min(bases)


def other_version(root: Path, here: str, source: DataSource) -> OtherDatasetError:
    """Return the error for a directory of another version.

    Parameters
    ----------
    root : Path
    here : str
        The version that it has.
    source : DataSource
        What was asked for.
    """
    return OtherDatasetError(
        f"{root} holds version {shown(here)} of {source.url}, and this would be {source.version}. "
        f"Nothing was fetched. To go on with what is there, ask for {source.url}@{shown(here)}; to "
        f"bring what you ask for to version {source.version}, say --update (update=True); to have "
        "both, choose another data directory."
    )


def remember(
    state: Path,
    source: DataSource,
    *,
    mix: bool,
    update: bool = True,
    now: datetime | None = None,
) -> str:
    """Write down that a data set is fetched into a data directory; say how its receipts name it.

    Parameters
    ----------
    state : Path
        It is made if need be.
    source : DataSource
    mix : bool
        Whether it may be one beside others.
    update : bool
        Whether the directory may have been of another version.
    now : datetime, optional

    Returns
    -------
    str
        "" for the data set that the directory is of, else the key of the source.

    Raises
    ------
    OtherDatasetError
        If another run has made it the directory of another data set, or version, meanwhile.
    DestinationError
        As `read_sources` does.
    OSError
        If it cannot be written.
    """
    when = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    source = replace(source, first=when, last=when)
    first = _read(state / _FIRST)
    if first is None and _make(state, described(state.parent, source)):
        return ""
    first = first or _read(state / _FIRST)
    if first is not None and first.takes(source):
        versions = {first.version, source.version} if first.url == source.url else {""}
        if not update and len(versions) > 1 and "" not in versions:
            raise other_version(state.parent, first.version, source)
        _renew(state, _FIRST, first, described(state.parent, source))
        return ""
    name = f"source-{source.key}.json"
    known = _read(state / name)
    if known is None and not mix:
        raise _refusal(state.parent, str(first), source)
    _renew(state, name, known, source)
    return source.key


def _make(state: Path, source: DataSource) -> bool:
    """Write the first file; False where another run has just done that."""
    with _drafts(state) as (folder, drafts):
        draft = _draft(drafts, source)
        try:
            os.link(draft, _FIRST, src_dir_fd=drafts.fd, dst_dir_fd=folder.fd)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if folder.look(_FIRST) is not None:
                return False
            _rename(drafts, draft, folder, _FIRST)
        finally:
            drafts.remove(draft)
        folder.sync()
    return True


def _renew(state: Path, name: str, known: DataSource | None, source: DataSource) -> None:
    """Write what is new of a data set; what is known of it and not told anew, stays."""
    if known is not None:
        source = replace(
            source,
            kind=known.kind,
            first=known.first or source.first,
            name=source.name or known.name,
            doi=source.doi or known.doi,
            version=source.version or known.version,
            commit=source.commit or known.commit,
            objects=source.objects or known.objects,
        )
        if known.named and not source.named:  # a mirror, as long as a variable names one
            source = replace(source, endpoint=known.endpoint, server=known.server, named=True)
        if replace(source, last=known.last) == known and _is_recent(known.last, source.last):
            return
    with _drafts(state) as (folder, drafts):
        _rename(drafts, _draft(drafts, source), folder, name)
        folder.sync()


def _is_recent(before: str, now: str) -> bool:
    try:
        seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(before)).total_seconds()
    except (ValueError, TypeError):
        return False
    return 0 <= seconds < _RECENT


@contextlib.contextmanager
def _drafts(state: Path) -> Iterator[tuple[Folder, Folder]]:
    """Open the state folder, and the one of temporary files in it."""
    with (
        Folder.made(state.parent) as root,
        root.below([state.name], make=True) as folder,
        folder.below(["partial"], make=True) as drafts,
    ):
        yield folder, drafts


def _rename(drafts: Folder, draft: str, folder: Folder, name: str) -> None:
    fd = drafts.open(draft)
    try:
        drafts.rename(draft, folder, name, file=fd)
    finally:
        os.close(fd)


def _draft(drafts: Folder, source: DataSource) -> str:
    """Write a temporary file, of a name that the next run removes should this one be killed."""
    name = f"{name_of(_FIRST)}.{process_token()}.{secrets.token_hex(8)}.tmp"
    content = {"format_version": VERSION, **asdict(source)}
    drafts.write(name, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
    return name


def described(root: Path, source: DataSource) -> DataSource:
    """Return a source with what the data set says of itself, where it says nothing itself.

    Name and DOI are those of ``dataset_description.json``. The version is the one in the DOI, as
    OpenNeuro makes them, or the first in ``CHANGES``, where the newest comes first
    (https://bids-specification.readthedocs.io/en/stable/modality-agnostic-files/data-summary-files.html).

    Parameters
    ----------
    root : Path
    source : DataSource
    """
    description: object = None
    with contextlib.suppress(OSError, ValueError, RecursionError, UnsafeNameError):
        description = json.loads(_beginning(root / "dataset_description.json"))
    said = description if isinstance(description, dict) else {}
    name, doi = (_text(said.get(word)) for word in ("Name", "DatasetDOI"))
    found = _VERSION_IN_DOI.search(doi)
    version = found[1] if found else ""
    with contextlib.suppress(OSError):
        changes = _VERSION_IN_CHANGES.match(_beginning(root / "CHANGES"))
        version = version or (changes[1].decode() if changes else "")
    return replace(
        source,
        name=source.name or name,
        doi=source.doi or doi,
        version=source.version or version,
    )


def _text(value: object) -> str:
    """Return a text as it can be written: JSON allows half a letter."""
    return value.strip().encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _beginning(path: Path) -> bytes:
    if path.stat().st_size > _LARGEST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return read_regular(path)
