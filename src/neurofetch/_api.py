"""Any public BIDS bucket: plan, get, verify."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.display.progress import listener
from neurofetch.errors import NothingMatchedError
from neurofetch.fetcher import Fetcher, Listing, RunSettings
from neurofetch.planning.dataset import Dataset, make_selection
from neurofetch.planning.query import query
from neurofetch.sources.s3 import parse_s3_url
from neurofetch.store.directory import DataDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.events import Event
    from neurofetch.model import Plan, RemoteFile, Report
    from neurofetch.planning.dataset import Selection
    from neurofetch.planning.query import Query, Values
    from neurofetch.store.audit import Audit

__all__ = ["get", "plan", "verify"]

Where = str | os.PathLike[str]


def plan(
    url: str,
    dest: Where,
    *,
    suffix: Values = None,
    extension: Values = None,
    datatype: Values = None,
    include: Values = None,
    exclude: Values = None,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    region: str | None = None,
    **entities: Values,
) -> Plan:
    """Say what `get` would do: every file, its bytes, what is here already, and why.

    Parameters
    ----------
    url : str
        ``s3://BUCKET/PREFIX`` of a public bucket.
    dest : path
        The data directory; it is created if it does not exist.
    suffix, extension : str or list of str, optional
        Only files with one of these (``"bold"``, ``"nii.gz"``).
    datatype : str or list of str, optional
        Only files in a folder of this name (``"func"``, ``"perf"``), or below it.
    include, exclude : str or list of str, optional
        Globs on the path below the prefix; one without a slash is the name of a file or folder.
        ``Query`` in `neurofetch.engine` has the rules.
    overwrite : bool
        Fetch also what is here.
    shard : tuple of (int, int), optional
        ``(index, count)``: only the part of the plan that is job `index` of `count`, from 0; for
        array jobs on a cluster.
    region : str, optional
        Of the bucket; by default it is found automatically.
    **entities : str, int or list, optional
        BIDS entities by long or short name (``subject="03"``, ``ses=["01", "02"]``, ``run=1``,
        ``template="MNI152Lin"``): those of the BIDS schema, and any other that names carry.
        A filter does not exclude files that lack its entity, except for subject and session.

    Raises
    ------
    UsageError
        If a filter cannot be used, names what does not exist, or nothing is left.
    ServerError
        If the bucket cannot be listed.
    DestinationError
        If `dest` cannot be used.
    """
    wanted = query(
        suffix=suffix,
        extension=extension,
        datatype=datatype,
        include=include,
        exclude=exclude,
        permissive=True,
        **entities,
    )
    settings = RunSettings.checked(shard=shard, overwrite=overwrite, progress="none", dry_run=True)
    with Fetcher(_dataset(url, region), dest, network=settings.network, new=True) as fetcher:
        return fetcher.prepare(lambda: _choose(fetcher, url, wanted), settings)


def get(
    url: str,
    dest: Where,
    *,
    suffix: Values = None,
    extension: Values = None,
    datatype: Values = None,
    include: Values = None,
    exclude: Values = None,
    n_jobs: int = 1,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    limit_rate: float | None = None,
    patience: float | None = None,
    progress: str | bool | Callable[[Event], None] | None = None,
    region: str | None = None,
    **entities: Values,
) -> Report:
    """Fetch files of a public BIDS bucket, verified; what is here already is not fetched again.

    Parameters
    ----------
    url, dest, suffix, extension, datatype, include, exclude, overwrite, shard, region, **entities
        As for `plan`.
    n_jobs : int
        Large files that are fetched at once; small ones always come many at a time.
    limit_rate : float, optional
        Bytes a second, over all connections.
    patience : float, optional
        Seconds to wait for a network that is away, before the run ends: by default what
        ``NEUROFETCH_PATIENCE`` says, or 15 minutes. 0 for no wait, ``math.inf`` for ever.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress; a callable gets every event.

    Returns
    -------
    Report
        What happened to each file, in a stable order; ``report.paths`` are the paths.

    Raises
    ------
    IncompleteError
        At the end, if files are missing; it names every file and cause, and what to do. Files that
        the server refuses (403), that are archived, or that cannot be kept under their names are
        among them.
    UsageError, ServerError, DestinationError
        As `plan`, before any byte moves; `DiskFullError` when the bytes to come do not fit.
    """
    wanted = query(
        suffix=suffix,
        extension=extension,
        datatype=datatype,
        include=include,
        exclude=exclude,
        permissive=True,
        **entities,
    )
    settings = RunSettings.checked(
        n_jobs=n_jobs,
        shard=shard,
        limit_rate=limit_rate,
        patience=patience,
        progress=progress,
        overwrite=overwrite,
    )
    with Fetcher(_dataset(url, region), dest, network=settings.network, new=True) as fetcher:
        plan = fetcher.prepare(lambda: _choose(fetcher, url, wanted), settings)
        return fetcher.run(plan, settings)


def verify(
    dest: Where,
    *,
    read_all: bool = False,
    url: str | None = None,
    region: str | None = None,
    state: str = ".neurofetch",
    progress: str | bool | Callable[[Event], None] | None = None,
) -> Audit:
    """Check the files on the disk.

    Parameters
    ----------
    dest : path
        The data directory.
    read_all : bool
        Read every byte and compare it with the digest in the receipt; otherwise only sizes and
        times are compared.
    url : str, optional
        Also compare with this bucket (``s3://BUCKET/PREFIX``): files that changed there are named.
        With `read_all`, files of other tools are read too, and get a receipt if they equal the
        server's.
    region : str, optional
        Of the bucket.
    state : str
        The folder of the package's own files in `dest`.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress of reading every byte; a callable gets every event.

    Returns
    -------
    Audit
    """
    from neurofetch.store.audit import audit  # noqa: PLC0415 - a fetch does not need it

    listen = listener(progress)
    if url is None:
        return audit(DataDirectory(dest, state), read_all=read_all, listen=listen)
    with Fetcher(replace(_dataset(url, region), state=state), dest) as fetcher:
        fetcher.listen = listen
        wants = _choose(fetcher, url, query()).wants
        return fetcher.audit(wants, read_all=read_all, listen=listen)


def _dataset(url: str, region: str | None) -> Dataset:
    bucket, prefix = parse_s3_url(url)
    base = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
    return Dataset(url, bucket, region, base)


def _choose(fetcher: Fetcher, url: str, wanted: Query) -> Selection:
    """Choose from the files at a URL: those below a folder, or the one file that it names."""
    dataset = fetcher.dataset
    files = fetcher.files(Listing((dataset.base,)))
    if not files:
        files, dataset = _one_file(fetcher, url)
    return make_selection(files, wanted, dataset)


def _one_file(fetcher: Fetcher, url: str) -> tuple[list[RemoteFile], Dataset]:
    """Return the one file that a URL names, and the dataset with its folder as the base."""
    dataset = fetcher.dataset
    key = dataset.base.rstrip("/")
    folder = key.rpartition("/")[0]
    found = [file for file in fetcher.files(Listing((key,))) if file.key == key] if key else []
    if not found:
        msg = f"there is nothing at {url}. Nothing was fetched. Check the prefix."
        raise NothingMatchedError(msg)
    return found, replace(dataset, base=f"{folder}/" if folder else "")
