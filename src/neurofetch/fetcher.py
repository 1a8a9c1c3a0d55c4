"""A dataset and a data directory, tied together for one errand: list, plan, fetch.

This is the main path of the package; read it from top to bottom.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._threads import together
from neurofetch.integrity.checksums import warm_up
from neurofetch.integrity.verification import ServerChecksum
from neurofetch.model import Action
from neurofetch.net.client import Client, Request
from neurofetch.net.failures import failure
from neurofetch.net.retry import Attempts
from neurofetch.net.settings import Network, s3_endpoint, s3_region
from neurofetch.planning.dataset import Dataset, Selection, make_selection
from neurofetch.planning.plan import make_plan
from neurofetch.sources.s3 import Bucket, S3Source
from neurofetch.store.audit import audit
from neurofetch.store.directory import DataDirectory
from neurofetch.store.partials import Partials, name_of
from neurofetch.store.receipts import Journal, read_receipts
from neurofetch.transfer.run import transfer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from neurofetch.events import Event
    from neurofetch.model import Plan, RemoteFile, Report, Want
    from neurofetch.net.retry import RetryRules
    from neurofetch.planning.query import Query
    from neurofetch.sources.source import Level
    from neurofetch.transfer.options import Inspect, Locate, Options

__all__ = ["Fetcher", "Listing", "plan_wants", "repair", "warn_of_refused"]

_LISTERS = 8


class Listing(NamedTuple):
    """Which parts of a bucket to look at.

    Parameters
    ----------
    walks : tuple of str
        Prefixes whose every file is listed.
    levels : tuple of str
        Prefixes of which only the files directly below are listed.
    """

    walks: tuple[str, ...]
    levels: tuple[str, ...] = ()


class Fetcher:
    """A dataset and a data directory. A context manager; it holds the network connections.

    Parameters
    ----------
    dataset : Dataset
    root : path
        The data directory; it must exist.
    network : Network, optional
        By default what the environment says.
    rules : RetryRules, optional
        How patient to be with the listing.
    new : bool
        The data directory may be missing; it is made when the first file is about to come.

    Raises
    ------
    DestinationError
        If `root` is no directory.
    ConfigError
        If an environment variable is wrong.

    Examples
    --------
    A dry run, and then the errand itself::

        with Fetcher(dataset, "data") as link:
            plan = link.plan(query(subject="03"), Listing(walks=("derivatives/",)))
            report = link.fetch(plan)
    """

    def __init__(
        self,
        dataset: Dataset,
        root: str | os.PathLike[str],
        *,
        network: Network | None = None,
        rules: RetryRules | None = None,
        new: bool = False,
    ) -> None:
        self.dataset = dataset
        self.directory = DataDirectory(root, dataset.state, new=new)
        self.client = Client(network or Network.from_environment())
        bucket = Bucket(dataset.bucket, dataset.region or s3_region(), s3_endpoint())
        self._attempts = Attempts(rules)
        self.source = S3Source(self.client, bucket, self._attempts)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._attempts.stop.set()
        self.client.close()

    def files(self, listing: Listing) -> list[RemoteFile]:
        """Return what the bucket has in these places: one request per 1,000 keys and prefix.

        Raises
        ------
        ServerError
        """
        # Loading takes as long as a round trip: it is done while the first page is on its way.
        threading.Thread(target=warm_up, daemon=True).start()
        levels = [partial(self._files_of_level, prefix) for prefix in listing.levels]
        walks = [partial(self.source.walk, prefix) for prefix in listing.walks]
        found = together([*levels, *walks], _LISTERS)
        return [file for files in found for file in files]

    def _files_of_level(self, prefix: str) -> list[RemoteFile]:
        return self.source.level(prefix).files

    def levels(self, prefixes: Sequence[str]) -> list[Level]:
        """Return the files and folders directly below some prefixes.

        Raises
        ------
        ServerError
        """
        return together([partial(self.source.level, prefix) for prefix in prefixes], _LISTERS)

    def plan(self, query: Query, listing: Listing, *, overwrite: bool = False) -> Plan:
        """List, select, survey and plan; nothing is fetched.

        Parameters
        ----------
        query : Query
        listing : Listing
        overwrite : bool
            Fetch also what is here.

        Raises
        ------
        UsageError
            If the query names what does not exist, or nothing is left.
        ServerError
            If the bucket cannot be listed.
        """
        return self.plan_for(
            make_selection(self.files(listing), query, self.dataset), overwrite=overwrite
        )

    def plan_for(self, selection: Selection, *, overwrite: bool = False) -> Plan:
        """Survey and plan for files that were chosen."""
        return plan_wants(self.directory, selection.wants, selection.notes, overwrite=overwrite)

    def checksum(self, remote: RemoteFile) -> ServerChecksum:
        """Ask the server for its checksum of an object.

        Raises
        ------
        ServerError
        """
        request = Request(remote.url, {"x-amz-checksum-mode": "ENABLED"}, "HEAD")
        with self._attempts.run(lambda: self.client.send(request)) as response:
            if response.status != 200:
                raise failure(response)
            return ServerChecksum.of(remote, response.headers)

    def fetch(
        self,
        plan: Plan,
        options: Options | None = None,
        *,
        listen: Callable[[Event], None] | None = None,
        inspect: Inspect | None = None,
        locate: Locate | None = None,
    ) -> Report:
        """Carry out a plan.

        Parameters
        ----------
        plan : Plan
        options : Options, optional
            How many files at a time, and when one comes in parts.
        listen : callable, optional
            Gets every event, in this thread.
        inspect : callable, optional
            A deeper look at a file before it takes its name.
        locate : callable, optional
            Gives the address of a file at the time of the request.

        Returns
        -------
        Report

        Raises
        ------
        DiskFullError, DestinationError
            Before any byte moves. What fails later stands in the report.
        """
        return transfer(
            plan,
            self.directory,
            self.client,
            options,
            listen=listen,
            inspect=inspect,
            locate=locate,
        )


def plan_wants(
    directory: DataDirectory,
    wants: Sequence[Want],
    notes: tuple[str, ...] = (),
    *,
    overwrite: bool = False,
) -> Plan:
    """Look at what is here, and subtract it from what is wanted.

    Parameters
    ----------
    directory : DataDirectory
    wants : sequence of Want
    notes : tuple of str
    overwrite : bool
        Fetch also what is here.

    Raises
    ------
    UnsafeNameError, DestinationError
        As `DataDirectory.survey` does.
    """
    local = directory.survey((want.path for want in wants), read_receipts(directory.state))
    held = _held_bytes(directory, wants)
    return make_plan(
        directory.root, wants, local, held, notes=notes, free=directory.free(), overwrite=overwrite
    )


def _held_bytes(directory: DataDirectory, wants: Sequence[Want]) -> dict[str, int]:
    """Return the bytes in partials that a transfer could take over, by path."""
    partials = Partials(directory.state, Journal(directory.state).owner)
    found = partials.survey()
    if not found:
        return {}
    held: dict[str, int] = {}
    for want in wants:
        usable = (
            partial.log.bytes_held()
            for partial in found.get(name_of(want.path), ())
            if (partial.log.etag, partial.log.size) == (want.remote.etag, want.remote.size)
            and partials.free_to_take(partial)
        )
        best = max(usable, default=0)
        if best:
            held[want.path] = best
    return held


def repair(fetcher: Fetcher, plan: Plan, listen: Callable[[Event], None] | None = None) -> Plan:
    """Read every byte of the files that a plan keeps; return a plan that replaces the bad ones.

    Parameters
    ----------
    fetcher : Fetcher
    plan : Plan
    listen : callable, optional
        Gets a `Checking` event now and then.
    """
    kept = {step.want.path: step.want for step in plan.of(Action.KEEP)}
    found = audit(
        fetcher.directory,
        read_all=True,
        remote=kept.values(),
        checksum=fetcher.checksum,
        only=kept.keys(),
        listen=listen,
    )
    bad = {finding.path: finding.detail for finding in found.problems}
    steps = tuple(
        replace(step, action=Action.REPLACE, reason=f"here, but damaged: {bad[step.want.path]}")
        if step.want.path in bad
        else step
        for step in plan.steps
    )
    return replace(plan, steps=steps)


def warn_of_refused(plan: Plan, report: Report, stacklevel: int = 3) -> None:
    """Warn of files that the server refused although nothing in the plan said so.

    Parameters
    ----------
    plan : Plan
        What it refuses is known already.
    report : Report
    stacklevel : int
        For the warning, so that it points at the user's line.

    Warns
    -----
    UserWarning
        Once for all of them.
    """
    told = {step.want.path for step in plan.of(Action.REFUSE)}
    surprises = [outcome for outcome in report.refused if outcome.path not in told]
    if surprises:
        names = ", ".join(outcome.path for outcome in surprises[:5])
        more = f" and {len(surprises) - 5:,} more" if len(surprises) > 5 else ""
        msg = f"the bucket refuses {len(surprises):,} of the files: {names}{more}"
        warnings.warn(msg, UserWarning, stacklevel=stacklevel)
