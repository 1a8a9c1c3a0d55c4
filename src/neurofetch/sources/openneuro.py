"""OpenNeuro: a version of a data set, listed by one query, every file known by its content.

Facts: https://docs.openneuro.org/api.html, and the server's source. The query is answered by one
document, which is read as it comes. Where the bytes lie, the listing says: versions of objects in
the bucket, signed for a while where the data set is not public; and what the bucket lacks the site
streams itself, which is asked for few at a time.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch.errors import (
    InterruptedTransferError,
    MissingRemoteError,
    NothingMatchedError,
    ProtocolError,
    RefusedError,
    ServerError,
    UnreachableError,
)
from neurofetch.net.settings import checked_endpoint
from neurofetch.sources.graphql import (
    DeletedDatasetError,
    GraphQL,
    SchemaError,
    nothing_fetched,
    one_line,
)
from neurofetch.sources.openneuro_address import SITE, Address
from neurofetch.sources.openneuro_rows import STREAMS, Rows, shared_base
from neurofetch.sources.openneuro_token import token_advice, token_for
from neurofetch.sources.openneuro_versions import is_draft, newest, unknown_version, versions_of
from neurofetch.sources.source import Level, level_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from neurofetch.errors import NeurofetchError
    from neurofetch.model import RemoteFile
    from neurofetch.net.client import Client
    from neurofetch.net.retry import Attempts
    from neurofetch.sources.graphql import Answer
    from neurofetch.sources.openneuro_rows import _Row
    from neurofetch.sources.openneuro_versions import Version

__all__ = ["OpenNeuroSource", "Snapshot", "openneuro_site"]

VARIABLE = "OPENNEURO_URL"
"""The official client's: another server."""
_ABOUT = (
    "id tag created hexsha description { Name License DatasetDOI } deprecated { reason timestamp }"
)
_ROW = "files(recursive: true) { id filename size directory annexed urls }"
_LEAST_ROW = "files(recursive: true) { id filename size urls }"
_BY_TAG = (
    "query Version($id: ID!, $tag: String!) {{ dataset(id: $id) {{ id latestSnapshot {{ tag }} "
    "snapshots {{ tag created }} }} snapshot(datasetId: $id, tag: $tag) {{ {about} {row} }} }}"
)
_NEWEST = (
    "query Newest($id: ID!) {{ dataset(id: $id) {{ id snapshots {{ tag created }} "
    "latestSnapshot {{ {about} {row} }} }} }}"
)
_LISTS = (("snapshot", "files"), ("dataset", "latestSnapshot", "files"))
_TRIED = 16


class Snapshot(NamedTuple):
    """A version of a data set, as the server describes it; texts are "" where it does not say.

    Parameters
    ----------
    accession, tag : str
    created : str
        ISO 8601.
    commit : str
        Of git.
    name, license, doi : str
        As ``dataset_description.json`` has them.
    server : str
        The version of the server that told it.
    """

    accession: str
    tag: str
    created: str = ""
    commit: str = ""
    name: str = ""
    license: str = ""
    doi: str = ""
    server: str = ""


def openneuro_site(env: Mapping[str, str] | None = None) -> str:
    """Return the address of OpenNeuro, without a slash at its end: ``OPENNEURO_URL`` may name it.

    Raises
    ------
    ConfigError
        If the variable holds no such address.
    """
    text = (os.environ if env is None else env).get(VARIABLE, "").strip()
    return checked_endpoint(text, VARIABLE).removesuffix("/crn/graphql") if text else SITE


class OpenNeuroSource:
    """A version of a data set at OpenNeuro.

    Parameters
    ----------
    client : Client
    attempts : Attempts
    address : Address
        Without a tag, the newest version is taken.
    site : str, optional
        By default what `openneuro_site` says.
    """

    def __init__(
        self, client: Client, attempts: Attempts, address: Address, site: str | None = None
    ) -> None:
        self.base: str = ""
        self.site: str = openneuro_site() if site is None else site
        self._token = token_for(self.site)
        self._api = GraphQL(client, self.site, attempts, self._token)
        self._address = address
        self._files: list[RemoteFile] = []
        self._keys: list[str] = []
        self._objects: str | None = None
        self._signed: dict[str, str] = {}
        self._wrong: dict[str, str] = {}
        self._notes: tuple[str, ...] = ()
        self._snapshot: Snapshot | None = None
        self._generation = 0
        self._handed_out = threading.local()
        self._lock = threading.RLock()

    # -- what it is ----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What names the data set, and its version once that is known."""
        tag = self._snapshot.tag if self._snapshot else self._address.tag
        return str(Address(self._address.accession, tag))

    @property
    def notes(self) -> tuple[str, ...]:
        """Which version it is, whether its owners withdrew it, what the listing lacks."""
        return self._notes

    @property
    def snapshot(self) -> Snapshot:
        """The version; it is listed if need be.

        Raises
        ------
        ServerError, UsageError
            As `walk`.
        """
        self._load()
        if self._snapshot is None:
            msg = f"{self.name}: not listed"
            raise ProtocolError(msg)
        return self._snapshot

    @property
    def version(self) -> str:
        """The tag; "" before it was listed."""
        return self._snapshot.tag if self._snapshot else ""

    @property
    def wanted(self) -> str:
        """The version that was asked for; "" for the newest."""
        return self._address.tag

    def pin(self, tag: str) -> None:
        """Take this version where the newest was asked for, and none is listed yet.

        Parameters
        ----------
        tag : str
            "" for the newest, as before.
        """
        if tag and not self._address.tag and self._snapshot is None:
            self._address = self._address._replace(tag=tag)

    @property
    def commit(self) -> str:
        """The commit of that version; "" before it was listed."""
        return self._snapshot.commit if self._snapshot else ""

    @property
    def objects(self) -> str:
        """What names are appended to, for the addresses in the bucket; "" where none is known."""
        if self._objects is None:
            # A file may be listed at the address of another one, whose name ends in the same way.
            found = {shared_base(file.url, file.key) for file in self._files} - {""}
            self._objects = min(found, key=len, default="")
        return self._objects

    @property
    def server(self) -> str:
        """The server, where it is another than openneuro.org; else ""."""
        return "" if self.site == SITE else self.site

    @property
    def files_listed(self) -> int:
        """How many files the listing brought."""
        return len(self._files)

    # -- listing -------------------------------------------------------------------------------

    def walk(self, prefix: str) -> list[RemoteFile]:
        """Return every file whose key begins with `prefix`, sorted by key; one query for all.

        Raises
        ------
        ServerError
            If it cannot be listed.
        NothingMatchedError, UnknownValueError
            If there is no such data set, or no such version.
        """
        self._load()
        if not prefix:
            return list(self._files)
        first = bisect_left(self._keys, prefix)
        last = first
        while last < len(self._keys) and self._keys[last].startswith(prefix):
            last += 1
        return self._files[first:last]

    def first_page(self, prefix: str) -> tuple[list[RemoteFile], bool]:
        """Return every file below `prefix`, and that these are all."""
        return self.walk(prefix), True

    def level(self, prefix: str) -> Level:
        """Return the files and folders directly below `prefix`."""
        return level_of(self.walk(prefix), prefix)

    def _load(self) -> None:
        with self._lock:
            if self._snapshot is None:
                self._list()

    def _list(self) -> None:
        """Ask for the version and its files."""
        try:
            answer, rows, notes = self._asked(self._address.tag)
            versions = versions_of(_at(answer.data, "dataset", "snapshots"))
            found = self._chosen(answer, versions, self._address.tag)
            if found is None:  # the tag was written as it stands in a DOI
                answer, rows, notes = self._asked(self._address.tag[1:])
                found = self._chosen(answer, versions, self._address.tag[1:])
            self._take(answer, rows, found or {}, versions, notes)
        except SchemaError as error:
            raise self._drifted(error) from error
        except ServerError as error:
            if isinstance(error, UnreachableError | ProtocolError):
                raise nothing_fetched(error) from error
            raise self.explained(error) from error

    def _asked(self, tag: str) -> tuple[Answer[_Row], Rows, tuple[str, ...]]:
        """Ask for a version; for less where the server does not know all that we would like."""
        rows = Rows(self.site, self._address.accession)
        variables = {"id": self._address.accession} | ({"tag": tag} if tag else {})
        query = _BY_TAG if tag else _NEWEST
        ask = partial(self._api.ask, variables=variables, lists=_LISTS, read=rows.read)
        try:
            return ask(query.format(about=_ABOUT, row=_ROW)), rows, ()
        except SchemaError as error:
            note = (
                f"{str(error).rstrip('.')}. So less was asked: whether a version was deprecated, "
                "nobody says. Perhaps there is a newer neurofetch."
            )
        rows = Rows(self.site, self._address.accession)
        ask = partial(self._api.ask, variables=variables, lists=_LISTS, read=rows.read)
        return ask(query.format(about="tag", row=_LEAST_ROW)), rows, (note,)

    def _check_which(self, found: Mapping[str, Any], answer: Answer[_Row], asked: str) -> None:
        """See that the answer is about the version that was asked for.

        Raises
        ------
        ProtocolError
        """
        accession = self._address.accession
        told = _at(answer.data, "dataset", "id")
        name, colon, _ = one_line(found.get("id")).partition(":")
        others = [one for one in (told, name if colon else None) if one not in (None, accession)]
        tag = found.get("tag")
        if others or (asked and tag not in (None, asked)):
            what = f"{others[0] if others else accession}@{tag}"
            msg = (
                f"{self._api.told_by} answers with the files of {one_line(what)}, and was asked "
                f"for openneuro:{accession}{'@' if asked else ''}{asked}. Nothing was fetched. Try "
                "again later."
            )
            raise ProtocolError(msg)

    def _chosen(
        self, answer: Answer[_Row], versions: Sequence[Version], asked: str
    ) -> dict[str, Any] | None:
        """Return the version that came; None where its tag is to be written in another way."""
        accession, tag = self._address.accession, self._address.tag
        found = _at(answer.data, *(("snapshot",) if tag else ("dataset", "latestSnapshot")))
        tags = [version.tag for version in versions]
        if isinstance(found, dict) and answer.rows:
            told = found.get("tag")
            self._check_which(found, answer, asked)
            if not tag and (not isinstance(told, str) or is_draft(told)):
                newest(accession, "", versions)  # raises where there is only a draft
                msg = f"{self._api.told_by}: the newest version of {accession} has no name"
                raise ProtocolError(msg)
            return found
        if tag and tag not in tags and (tags or not answer.errors):
            if tag[:1] in "vV" and tag[1:] in tags:
                return None
            raise unknown_version(accession, tag, versions)
        if answer.errors:
            raise answer.errors[0]
        if _at(answer.data, "dataset") is None and found is None:
            raise MissingRemoteError(f"{self._api.told_by}: no answer about {accession}")
        if not tag and not tags:
            newest(accession, "", versions)
        msg = (
            f"{self._api.told_by} lists no files of {self.name}. Nothing was fetched. Try again "
            f"later; or take what was exported last: {_bucket(accession)}"
        )
        raise ProtocolError(msg)

    def _take(
        self,
        answer: Answer[_Row],
        rows: Rows,
        found: Mapping[str, Any],
        versions: Sequence[Version],
        notes: tuple[str, ...],
    ) -> None:
        """Keep what was listed."""
        joined, wrong = rows.joined(answer.rows)
        answer.rows.clear()  # there are many, and `joined` has them
        tag = one_line(found.get("tag")) or self._address.tag
        self._snapshot = self._described(found, tag)
        self._files = [row.file for row in joined]
        self._keys = [file.key for file in self._files]
        self._signed = {row.file.key: row.address for row in joined if row.address}
        self._wrong = wrong
        self._objects = None
        self._generation += 1
        latest = _at(answer.data, "dataset", "latestSnapshot", "tag")
        about = self._about(found, latest if isinstance(latest, str) else "", versions)
        twice = [f"{name!r}: {why}" for name, why in list(wrong.items())[:3]]
        doubt = (self._api.doubt,) if self._api.doubt else ()
        self._notes = (*doubt, *about, *notes, *rows.notes, *twice)

    def _described(self, found: Mapping[str, Any], tag: str) -> Snapshot:
        said = found.get("description")
        said = said if isinstance(said, dict) else {}
        texts = [found.get("created"), found.get("hexsha")]
        texts += [said.get(field) for field in ("Name", "License", "DatasetDOI")]
        created, commit, *plain = map(one_line, texts)
        name, licence, doi = plain
        accession, server = self._address.accession, self._api.version
        return Snapshot(accession, tag, created, commit, name, licence, doi, server)

    def _about(
        self, found: Mapping[str, Any], latest: str, versions: Sequence[Version]
    ) -> tuple[str, ...]:
        """Say which version it is, and whether its owners withdrew it."""
        accession, tag = self._address.accession, self.version
        notes = []
        if not self._address.tag:
            count = f" of {len(versions):,}" if len(versions) > 1 else ""
            notes.append(f"{accession}: version {tag}, the newest{count}; {self.name} names it")
        elif latest and latest != tag and not is_draft(latest):
            notes.append(f"{accession}: version {tag}; the newest is {latest}")
        withdrawn = found.get("deprecated")
        if isinstance(withdrawn, dict):
            reason = one_line(withdrawn.get("reason")) or "no reason is given"
            since = one_line(withdrawn.get("timestamp"))[:10]
            when = f" since {since}" if since else ""
            notes.append(f"{self.name} is deprecated by its owners{when}: {reason}")
        return tuple(notes)

    # -- in another process --------------------------------------------------------------------

    def remake(self, _: object = None) -> Callable[..., OpenNeuroSource]:
        """Return what makes a source of the version that was listed, in another process.

        Nothing of what is signed is in it: where the data set is not public, that process lists
        the version again.
        """
        address = self._address._replace(tag=self.version or self._address.tag)
        known = None
        if self._snapshot is not None and not self._signed:
            known = _Listed(self._snapshot, self.objects, dict(self._wrong))
        return partial(_again, address, self.site, known)

    def _know(self, listed: _Listed) -> None:
        """Take what another process found out; the files are its to name."""
        self._snapshot, self._objects, self._wrong = listed

    # -- what goes wrong -----------------------------------------------------------------------

    def _drifted(self, error: SchemaError) -> SchemaError:
        return SchemaError(
            f"{str(error).rstrip('.')}. OpenNeuro does not answer the query that this version of "
            "neurofetch asks. Nothing was fetched. Update with: pip install -U neurofetch; or take "
            f"what was exported last, which is no version: {_bucket(self._address.accession)}"
        )

    def explained(self, error: ServerError) -> NeurofetchError:
        """Return the error that says what can be done."""
        accession = self._address.accession
        if isinstance(error, DeletedDatasetError):
            on = re.search(r"\bds[0-9]+\b", error.redirect)
            hint = f" It goes on as openneuro:{on[0]}." if on else ""
            return NothingMatchedError(f"{str(error).rstrip('.')}. Nothing was fetched.{hint}")
        if isinstance(error, MissingRemoteError):
            msg = f"there is no data set {accession} at {self.site}. Nothing was fetched."
            return NothingMatchedError(f"{msg}{self._near()}")
        if isinstance(error, RefusedError):
            advice = token_advice(self.site, self._token, accession)
            return RefusedError(f"{str(error).rstrip('.')}. Nothing was fetched. {advice}")
        return error

    def _near(self) -> str:
        """Name the data sets whose accession numbers are nearest, as far as they exist."""
        near = _like(self._address.accession)[:_TRIED]
        query = " ".join(f'n{n}: dataset(id: "{one}") {{ id name }}' for n, one in enumerate(near))
        try:
            answer: Answer[None] = self._api.ask(f"query Near {{ {query} }}", {})
        except InterruptedTransferError:
            raise
        except ServerError:  # the question was only for the message
            return ""
        there = [one for one in answer.data.values() if isinstance(one, dict)]
        named = [f"{one_line(one.get('id'))} ({one_line(one.get('name'))[:80]})" for one in there]
        return f" Did you mean {' or '.join(named[:3])}?" if named else ""

    # -- addresses -----------------------------------------------------------------------------

    def at_once(self, remote: RemoteFile) -> int | None:
        """Return how many files of its kind may be asked for at once; None for no bound."""
        return None if remote.ranges else STREAMS

    def signed(self, remote: RemoteFile) -> bool:
        """Whether a file's address is signed, as it is where the data set is not public."""
        return remote.key in self._signed

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:
        """Return where a file is to be had now.

        Raises
        ------
        ProtocolError
            If the listing contradicts itself about the file.
        ServerError
            If a signed address has expired, and there is no other.
        """
        problem = self._wrong.get(remote.key)
        if problem:
            raise ProtocolError(f"{remote.key}: {problem}")
        if remote.key not in self._signed:
            return remote.url
        with self._lock:
            if fresh and getattr(self._handed_out, "generation", 0) == self._generation:
                self._renew()
            self._handed_out.generation = self._generation
            return self._signed.get(remote.key, remote.url)

    def _renew(self) -> None:
        """List the same version again, for the addresses: a newer one may be there by now."""
        files, notes = (self._files, self._keys), self._notes
        self._address = self._address._replace(tag=self.version)
        self._list()
        (self._files, self._keys), self._notes = files, notes


class _Listed(NamedTuple):
    """What a listing told, but for the files."""

    snapshot: Snapshot
    objects: str
    wrong: dict[str, str]


def _again(
    address: Address,
    site: str,
    listed: _Listed | None,
    client: Client,
    attempts: Attempts,
    *_: object,
) -> OpenNeuroSource:
    source = OpenNeuroSource(client, attempts, address, site)
    if listed is None:
        source.walk("")
    else:
        source._know(listed)
    return source


def _at(data: Any, *names: str) -> Any:
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _bucket(accession: str) -> str:
    return f"neurofetch get s3://openneuro.org/{accession} --data-dir {accession}"


def _like(accession: str) -> list[str]:
    """Return accession numbers that may be meant, the likeliest first.

    Examples
    --------
    >>> _like("ds246")[0], "ds000246" in _like("ds000264"), "ds000246" in _like("ds00246")
    ('ds000246', True, True)
    """
    digits = re.sub(r"[^0-9]", "", accession)
    found = {f"ds{int(digits[-9:]):06}": None}
    swapped = (
        digits[:n] + digits[n + 1] + digits[n] + digits[n + 2 :] for n in range(len(digits) - 1)
    )
    shorter = (digits[:n] + digits[n + 1 :] for n in range(len(digits)))
    for one in (*swapped, *shorter, f"0{digits}"):
        if len(one) == 6:
            found[f"ds{one}"] = None
    number = int(digits[-9:])
    for near in (number + 1, number - 1):
        found[f"ds{max(near, 1):06}"] = None
    return [one for one in found if one != accession]
