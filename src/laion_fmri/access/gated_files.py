"""The gated stimuli inside an ordinary plan and transfer.

The manifest's files take the place of the keys that the bucket shows and refuses. What a file is,
its sha256 in the manifest says; what is here with that sha256 is kept, and needs no address. For
the rest the request id is changed for presigned addresses, once, and again when they expire.
Nothing that goes wrong here ends a run: it becomes the fate of the gated files.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from laion_fmri._dataset import GATED
from laion_fmri.access.request_id import known_id
from laion_fmri.access.service import ASK, Entry, Service
from laion_fmri.errors import AccessError
from neurofetch.engine import Options, Request, State, audit, read_receipts
from neurofetch.errors import ServerError, UnsafeNameError
from neurofetch.model import Action, Digest, RemoteFile, Report, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from neurofetch.engine import Audit, Fetcher, Locate, RetryRules, Selection
    from neurofetch.model import LocalFile, Plan, Step, Want

__all__ = ["NEEDS_ACCESS", "Gate"]

NEEDS_ACCESS = f"gated by a data use agreement; ask for access once: {ASK}"
"""Why a gated file is refused where no request id is known."""

_FOLDER = "stimuli/"
_OTHER = "here, but its sha256 is not the one in the manifest"


class Gate:
    """The gated files of one run.

    Parameters
    ----------
    fetcher : Fetcher
    adopt : bool
        Whether a file of another tool that is the manifest's gets a receipt, so that it is not
        hashed again.
    rules : RetryRules, optional
        How patient to be with the service.

    Attributes
    ----------
    notes : list of str
        For the plan.
    """

    def __init__(
        self, fetcher: Fetcher, *, adopt: bool = True, rules: RetryRules | None = None
    ) -> None:
        self.notes: list[str] = []
        self._fetcher = fetcher
        self._adopt = adopt
        self._service = Service(fetcher.client, rules)
        self._known = known_id()
        self._keys = frozenset(GATED)
        self._entries: dict[str, Entry] = {}
        self._version = ""
        self._local: dict[str, LocalFile] = {}
        self._other: set[str] = set()
        self._error: Exception | None = None
        self._urls: dict[str, str] = {}
        self._generation = 0
        self._handed_out = threading.local()
        self._lock = threading.Lock()

    # -- planning ----------------------------------------------------------------------------

    def files(self, listed: Sequence[RemoteFile], *, fetch: bool = True) -> list[RemoteFile]:
        """Let the manifest's files take the place of the gated keys that were listed.

        The service is asked only where that matters: when a gated file is here, or could be
        fetched because a request id is known.

        Parameters
        ----------
        listed : sequence of RemoteFile
        fetch : bool
            Whether files that are not here matter.
        """
        self._look(GATED)
        if not self._local and (self._known is None or not fetch):
            return list(listed)
        try:
            manifest = self._service.manifest()
            entries = {_FOLDER + entry.name: entry for entry in manifest.files}
            self._look(entries)
        except (AccessError, UnsafeNameError) as error:
            self._error = error
            self._note(error)
            return list(listed)
        self._version, self._entries = manifest.dataset_version, entries
        self._keys = frozenset(entries)
        files = [file for file in listed if file.key not in entries]
        return files + [self._remote(key, entry) for key, entry in entries.items()]

    def _look(self, keys: Iterable[str]) -> None:
        """See which of these files are here, with their receipts."""
        directory, paths = (
            self._fetcher.directory,
            [self._fetcher.dataset.path(key) for key in keys],
        )
        receipts = read_receipts(directory.state)
        self._local = directory.survey(paths, receipts)

    def _remote(self, key: str, entry: Entry) -> RemoteFile:
        # the address is never asked: `locate` gives one that is signed
        url = f"{self._service.url}/{key}"
        return RemoteFile(key, url, entry.size, digest=Digest("sha256", entry.sha256))

    def _note(self, error: Exception) -> None:
        text = f"the gated stimuli: {error}"
        if text not in self.notes:
            self.notes.append(text)

    def make_selection(self, selection: Selection, *, overwrite: bool = False) -> Selection:
        """Say of each gated file what is to become of it.

        Parameters
        ----------
        selection : Selection
        overwrite : bool
            Whether also what is here is fetched.
        """
        wants = tuple(
            self._settled(want, overwrite=overwrite) if want.remote.key in self._keys else want
            for want in selection.wants
        )
        return selection._replace(wants=wants, notes=(*selection.notes, *self.notes))

    def _settled(self, want: Want, *, overwrite: bool) -> Want:
        here = self._local.get(want.path)
        if here is not None and not overwrite:
            if self._is_good(want, here):
                return replace(want, remote=_as_received(want.remote, here))
            self._other.add(want.path)
        if self._known is None:
            return replace(want, refused=NEEDS_ACCESS)
        return replace(want, remote=self._with_etag(want.remote))

    def _is_good(self, want: Want, here: LocalFile) -> bool:
        """Whether what is here is what the manifest says, or may be where it says nothing."""
        receipt = None if here.touched else here.receipt
        entry = self._entries.get(want.remote.key)
        if entry is None:
            return receipt is not None or here.size == want.remote.size
        if here.size != entry.size:
            return False
        if receipt is not None and receipt.digest.startswith("sha256:"):
            return receipt.digest == f"sha256:{entry.sha256}"
        if here.receipt is None and self._adopt:
            found = audit(self._fetcher.directory, read_all=True, remote=(want,), only=(want.path,))
            return found.ok
        with open(self._fetcher.directory.root / want.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256

    def _with_etag(self, remote: RemoteFile) -> RemoteFile:
        """Learn a large file's ETag: parts are guarded by it, and resumed by it.

        A presigned address is good for GET alone, so the first byte is asked for.
        """
        remote = replace(remote, etag=None)  # that of the bucket's listing says nothing here
        try:
            url = self.locate(remote, fresh=False)
            if (remote.size or 0) <= Options().single_limit:
                return remote
            with self._fetcher.client.send(Request(url, {"Range": "bytes=0-0"})) as response:
                etag = response.headers.get("etag", "") if response.status in (200, 206) else ""
        except AccessError as error:
            self._note(error)
            return remote
        except ServerError:
            return remote  # the transfer meets the same trouble, and tells of it
        weak = etag.startswith("W/")
        return remote if weak else replace(remote, etag=etag.strip('"') or None)

    def plan(self, plan: Plan) -> Plan:
        """Replace what is here and is not the manifest's; sizes alone do not tell."""
        steps = tuple(
            replace(step, action=Action.REPLACE, reason=_OTHER) if self._is_other(step) else step
            for step in plan.steps
        )
        return replace(plan, steps=steps)

    def _is_other(self, step: Step) -> bool:
        return step.action is Action.KEEP and step.want.path in self._other

    def judged(self, plan: Plan, report: Report) -> Report:
        """Call it a failure when a file was refused for which access was granted.

        That the bucket refuses a key is no failure; that a signed address is refused, though it is
        a fresh one, is.
        """
        moving = {step.want.path for step in plan.moving if step.want.remote.key in self._keys}
        outcomes = tuple(
            replace(one, status=Status.FAILED)
            if one.status is Status.REFUSED and one.path in moving
            else one
            for one in report
        )
        return Report(report.root, outcomes, report.notes, report.seconds)

    # -- auditing ----------------------------------------------------------------------------

    def known(self, wants: Sequence[Want]) -> list[Want]:
        """Return what an audit can hold the disk against: the manifest, not the bucket's list."""
        found = []
        for want in wants:
            if want.remote.key not in self._keys:
                found.append(want)
                continue
            here = self._local.get(want.path)
            if here is None or want.remote.key not in self._entries:
                continue
            receipt = here.receipt
            if receipt is not None and _differ(receipt.digest, str(want.remote.digest)):
                self._other.add(want.path)
            found.append(replace(want, remote=_as_received(want.remote, here)))
        return found

    def audited(self, found: Audit) -> Audit:
        """Return what was found, with the files that the manifest has with another sha256."""
        detail = "changed at the access service since it was fetched"
        findings = tuple(
            replace(finding, state=State.DIFFERS, detail=detail)
            if finding.ok and finding.path in self._other
            else finding
            for finding in found.findings
        )
        return replace(found, findings=findings)

    # -- addresses ---------------------------------------------------------------------------

    def locator(self, plan: Plan) -> Locate | None:
        """Return what tells a transfer the addresses; None for one that moves no gated file."""
        gated = any(step.moves and step.want.remote.key in self._keys for step in plan.steps)
        return self.locate if gated else None

    def locate(self, remote: RemoteFile, *, fresh: bool) -> str:
        """Return where a file is to be had now; see `neurofetch.Fetcher.fetch`.

        Many threads ask at once; when an address has expired, one of them asks the service.

        Raises
        ------
        AccessError
            If a gated file cannot be had; what the service said once holds for the whole run.
        """
        if remote.key not in self._keys:
            return remote.url
        with self._lock:
            if self._error is None and self._is_stale(fresh):
                self._refresh()
            if self._error is not None:
                raise AccessError(str(self._error)) from self._error
            self._handed_out.generation = self._generation
            return self._url(remote.key)

    def _is_stale(self, fresh: bool) -> bool:
        """Whether there are no addresses, or this thread found that the present ones expired."""
        last = getattr(self._handed_out, "generation", 0)
        return not self._generation or (fresh and last == self._generation)

    def _refresh(self) -> None:
        if self._known is None:
            self._error = AccessError(NEEDS_ACCESS)
            return
        try:
            found = self._service.refresh(self._known.value, self._version)
        except AccessError as error:
            self._error = error
            return
        self._urls = {_FOLDER + name: url for name, url in found.items()}
        self._generation += 1

    def _url(self, key: str) -> str:
        url = self._urls.get(key)
        if url is None:
            msg = f"the access service has {key} in its manifest, but hands out no address for it"
            raise AccessError(msg)
        return url


def _as_received(remote: RemoteFile, here: LocalFile) -> RemoteFile:
    """Return the remote file as the receipt knows it: one content may have another ETag now."""
    receipt = here.receipt
    if receipt is None:
        return remote
    if here.touched:
        return replace(remote, size=here.size, etag=None)
    digest = remote.digest
    if digest is None and receipt.digest.startswith("sha256:"):
        digest = Digest("sha256", receipt.digest.removeprefix("sha256:"))
    return replace(remote, size=receipt.size, etag=receipt.etag or None, digest=digest)


def _differ(one: str, other: str) -> bool:
    """Whether two digests of one algorithm are of different contents."""
    return one != other and one.partition(":")[0] == other.partition(":")[0]
