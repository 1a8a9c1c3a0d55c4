"""A dataset and a data directory, tied together for one errand: list, plan, fetch.

This is the main path of the package; read it from top to bottom.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._answers import failure
from neurofetch._attempts import Attempts
from neurofetch._config import Network, s3_endpoint, s3_region
from neurofetch._dataset import Dataset, Wishes, wishes
from neurofetch._digests import warm_up
from neurofetch._http import Client, Request
from neurofetch._partials import Partials, name_of
from neurofetch._place import Place
from neurofetch._plan import make_plan
from neurofetch._receipts import Journal, read_receipts
from neurofetch._together import together
from neurofetch._transfer import transfer
from neurofetch._verify import Promise
from neurofetch.sources.s3 import Bucket, S3Source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from neurofetch._crew import Inspect, Locate, Options
    from neurofetch._events import Event
    from neurofetch._query import Query
    from neurofetch._retry import RetryRules
    from neurofetch._values import Plan, RemoteFile, Report, Want
    from neurofetch.sources import Level

__all__ = ["Link", "Listing", "plan_wants"]

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


class Link:
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

        with Link(dataset, "data") as link:
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
        self.place = Place(root, dataset.state, new=new)
        self.client = Client(network or Network.from_environment())
        bucket = Bucket(dataset.bucket, dataset.region or s3_region(), s3_endpoint())
        self._attempts = Attempts(rules)
        self.source = S3Source(self.client, bucket, self._attempts)

    def __enter__(self) -> Link:
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
        return self.plan_for(wishes(self.files(listing), query, self.dataset), overwrite=overwrite)

    def plan_for(self, wished: Wishes, *, overwrite: bool = False) -> Plan:
        """Survey and plan for files that were chosen."""
        return plan_wants(self.place, wished.wants, wished.notes, overwrite=overwrite)

    def promise(self, remote: RemoteFile) -> Promise:
        """Ask the server for its checksum of an object.

        Raises
        ------
        ServerError
        """
        request = Request(remote.url, {"x-amz-checksum-mode": "ENABLED"}, "HEAD")
        with self._attempts.run(lambda: self.client.send(request)) as answer:
            if answer.status != 200:
                raise failure(answer)
            return Promise.of(remote, answer.headers)

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
            self.place,
            self.client,
            options,
            listen=listen,
            inspect=inspect,
            locate=locate,
        )


def plan_wants(
    place: Place, wants: Sequence[Want], notes: tuple[str, ...] = (), *, overwrite: bool = False
) -> Plan:
    """Look at what is here, and subtract it from what is wanted.

    Parameters
    ----------
    place : Place
    wants : sequence of Want
    notes : tuple of str
    overwrite : bool
        Fetch also what is here.

    Raises
    ------
    UnsafeNameError, DestinationError
        As `Place.survey` does.
    """
    local = place.survey((want.path for want in wants), read_receipts(place.state))
    held = _held_bytes(place, wants)
    return make_plan(
        place.root, wants, local, held, notes=notes, free=place.free(), overwrite=overwrite
    )


def _held_bytes(place: Place, wants: Sequence[Want]) -> dict[str, int]:
    """Return the bytes in partials that a transfer could take over, by path."""
    partials = Partials(place.state, Journal(place.state).owner)
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
