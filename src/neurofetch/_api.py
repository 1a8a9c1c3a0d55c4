"""Any BIDS bucket: plan, get, verify."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from neurofetch._shown import shown
from neurofetch.cluster import crew_of
from neurofetch.credentials.access import Access
from neurofetch.display.progress import listener
from neurofetch.errors import (
    DestinationError,
    NothingMatchedError,
    UnknownArgumentError,
    UnknownValueError,
    UsageError,
)
from neurofetch.fetcher import Fetcher, Listing, RunSettings
from neurofetch.lister import Found
from neurofetch.notes import warn_of_notes
from neurofetch.planning.dataset import BIDS_RULES, Dataset, coming_along, make_selection
from neurofetch.planning.entities import ENTITY_NAMES, derivative_of
from neurofetch.planning.match import Rules
from neurofetch.planning.query import query
from neurofetch.planning.suggest import FILTERS, habit_of, nearest, shorten, unknown_argument
from neurofetch.sources.openneuro import OpenNeuroSource, openneuro_site
from neurofetch.sources.openneuro_address import parse_openneuro
from neurofetch.sources.s3 import parse_s3_url
from neurofetch.store.directory import DataDirectory
from neurofetch.store.folder import given_path
from neurofetch.transfer.options import check_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from neurofetch.events import Event
    from neurofetch.fetcher import MakeSource
    from neurofetch.model import Plan, Receipt, RemoteFile, Report, Want
    from neurofetch.net.client import Client
    from neurofetch.net.retry import Attempts
    from neurofetch.net.settings import Network
    from neurofetch.planning.dataset import Selection
    from neurofetch.planning.query import Query, Values
    from neurofetch.planning.select import Chosen
    from neurofetch.sources.openneuro_address import Address
    from neurofetch.store.data_source import DataSource
    from neurofetch.store.findings import Audit, Finding
    from neurofetch.store.places import Place

__all__ = ["get", "plan", "verify"]

Where = str | os.PathLike[str]
Places = Where | Iterable[Where] | None


def plan(
    url: str,
    dest: Where | None = None,
    *,
    data_dir: Where | None = None,
    target_dir: Where | None = None,
    suffix: Values = None,
    extension: Values = None,
    datatype: Values = None,
    include: Values = None,
    exclude: Values = None,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    region: str | None = None,
    profile: str | None = None,
    signed: bool = False,
    requester_pays: bool = False,
    endpoint: str | None = None,
    follow: bool = False,
    bare: bool = False,
    permissive: bool = False,
    derivatives: Values = None,
    mix: bool = False,
    update: bool = False,
    verify: bool = False,
    offline: bool | None = None,
    mirrors: Places = None,
    progress: str | bool | Callable[[Event], None] | None = "none",
    **entities: Values,
) -> Plan:
    """Say what `get` would do: every file, its bytes, what is here already, and why.

    Parameters
    ----------
    url : str
        ``s3://BUCKET/PREFIX`` of a bucket: a data set, or a folder or a file of one. The web
        address of an object (``https://BUCKET.s3.amazonaws.com/KEY``) will do too.
        Of OpenNeuro: an accession number (``ds000246``), with a version and a path if need be
        (``openneuro:ds000246@1.0.1/sub-0001``), the address that a browser shows, or a DOI.
    dest : path, optional
        The data directory; it is created if it does not exist. Paths in it are relative to the
        root of the data set, also where `url` names a part of it. Only for OpenNeuro it may be left
        out: then it is the folder of that accession number in the current directory.
    data_dir : path
        Another name of `dest`, as in the other functions and the commands.
    target_dir : path
        Another name of `dest`, for those who come from openneuro-py.
    suffix, extension : str or list of str, optional
        Only files with one of these (``"bold"``, ``"nii.gz"``).
    datatype : str or list of str, optional
        Only files in a folder of this name (``"func"``, ``"perf"``), or below it.
    include, exclude : str or list of str, optional
        Globs on the path below the root; one without a slash is the name of a file or folder.
        ``Query`` in `neurofetch.engine` has the rules.
    overwrite : bool
        Fetch also what is here.
    shard : tuple of (int, int), optional
        ``(index, count)``: only the part of the plan that is job `index` of `count`, from 0; for
        array jobs on a cluster.
    region : str, optional
        Of the bucket; by default it is found automatically.
    profile : str, optional
        Sign the requests with the credentials of this profile of AWS. By default nobody's are
        used, whatever the environment holds.
    signed : bool
        Sign them with the keys in the environment (``AWS_ACCESS_KEY_ID`` and so on).
    requester_pays : bool
        Whoever signs pays for what comes, as some buckets demand.
    endpoint : str, optional
        An S3 server other than AWS, such as ``https://s3.example.edu``: the data set is there. By
        default what ``AWS_ENDPOINT_URL_S3`` or the profile says.
    follow : bool
        Choose also what the content of chosen files names: the stimuli of events, the empty-room
        recording of an MEG recording, the images of a field map, and what these name in turn. By
        default the plan only says what there is.
    bare : bool
        Choose only what was asked for. By default all comes along that is needed to use it: the
        metadata that applies to it (also from folders above), the events, channels, electrodes
        and the like that belong to a recording, and the files that describe its data set.
    permissive : bool
        Let files pass that lack an entity that was asked for (but not subject or session).
    derivatives : {"all", "none"}, str or list of str, optional
        Names of folders in ``derivatives/``, besides the raw data. By default all, and the plan
        says so.
    mix : bool
        The data directory may be of another data set. By default that is an error, since two data
        sets would lie in each other's folders. A file of one is never replaced by one of the other.
    update : bool
        The data directory may hold another version of this data set: what is chosen is brought to
        this one. By default that is an error.
    verify : bool
        Read every byte of the files that are here: damaged ones are to be fetched again.
    offline : bool, optional
        Do not use the network: choose from what was listed before, and was written down in the
        data directory. By default what ``NEUROFETCH_OFFLINE`` says (1 or 0), or False.
    mirrors : str, path, or iterable of them, optional
        Other places that have the same bytes, in the order in which to ask them: folders on this
        machine, from which is copied what is there; then ``https://…`` and ``s3://BUCKET/PREFIX``
        (a copy of the data set with its own paths) and ``"nemar"``, for files that the source does
        not give. A file is taken from there only if its content is the one that was listed.
    progress : {"none", "auto", "bar", "lines", "json"}, bool or callable, optional
        How to show how far the listing is, and the reading of what files name; a callable gets
        every event.
    **entities : str, int or several, optional
        BIDS entities by long or short name (``subject="03"``, ``ses=["01", "02"]``, ``run=1``,
        ``template="MNI152Lin"``), each with one value or several (a list, set, array, column of a
        table): those of the BIDS schema, and any other that names carry.
        A file that lacks an entity that was asked for is not chosen; see `permissive`.

    Returns
    -------
    Plan
        The same plan that `get` would carry out. ``print(plan)`` shows it as ``--dry-run`` does;
        ``len(plan)`` is the number of files, and ``plan.bytes_to_fetch`` what is still to come, in
        bytes.

    Raises
    ------
    UsageError
        If a filter cannot be used, names what does not exist, or nothing is left.
    UnknownArgumentError
        If a keyword is neither an argument nor can be an entity.
    CredentialsError
        If the credentials that are named cannot be had.
    ServerError
        If the bucket, or OpenNeuro, cannot be listed.
    DestinationError
        If `dest` cannot be used.
    OtherDatasetError
        If `dest` is of another data set, and `mix` is not set; or of another version, and `update`
        is not set.
    OfflineError
        If the network is not to be used, and nothing of what the server has is remembered.

    Warns
    -----
    SelectionWarning
        Of each note of the plan (``Plan.notes``): a value that was taken for another, a glob that
        matches nothing; and of the files that are withheld.
    """
    _check_keywords(plan, entities)
    check_switches(follow=follow, bare=bare, permissive=permissive)
    access = Access.checked(
        profile=profile, signed=signed, requester_pays=requester_pays, endpoint=endpoint
    )
    wanted = query(
        suffix=suffix,
        extension=extension,
        datatype=datatype,
        include=include,
        exclude=exclude,
        **entities,
    )
    choice = _choice(url, wanted, derivatives, permissive=permissive, follow=follow)
    settings = RunSettings.checked(
        shard=shard,
        overwrite=overwrite,
        progress=progress,
        verify=verify,
        dry_run=True,
        mix=mix,
        offline=offline,
        mirrors=mirrors,
        update=update,
    )
    asked = _asked(url, region, access, bare=bare)
    root = _root(dest, data_dir, asked.folder, target_dir)
    with asked.fetcher(root, network=settings.network, new=True) as fetcher:
        made = fetcher.prepare(lambda: _choose_named(fetcher, choice), settings)
    warn_of_notes(made)
    return made


def get(
    url: str,
    dest: Where | None = None,
    *,
    data_dir: Where | None = None,
    target_dir: Where | None = None,
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
    profile: str | None = None,
    signed: bool = False,
    requester_pays: bool = False,
    endpoint: str | None = None,
    follow: bool = False,
    bare: bool = False,
    permissive: bool = False,
    derivatives: Values = None,
    mix: bool = False,
    update: bool = False,
    verify: bool = False,
    offline: bool | None = None,
    mirrors: Places = None,
    executor: object = None,
    workers: int | None = None,
    client: object = None,
    **entities: Values,
) -> Report:
    """Fetch files of a BIDS bucket, verified; what is here already is not fetched again.

    Parameters
    ----------
    url, dest, data_dir, target_dir, suffix, extension, datatype, include, exclude : optional
    overwrite, shard, region, profile, signed, requester_pays, endpoint, follow, bare, permissive
    derivatives, mix, update, verify, offline, mirrors, **entities
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
    executor : object with ``submit``, optional
        Fetch in many tasks that it runs, in other threads, processes or machines: an executor of
        `concurrent.futures`, Dask's ``client.get_executor(pure=False)``, submitit, Parsl and the
        like. Its workers see `dest` under the same path. `n_jobs`, `limit_rate` and the
        connections are those of all tasks together.
    workers : int, optional
        Tasks at once, at most; by default as many as `executor` says that it runs, else 8.
    client : distributed.Client, optional
        Of a Dask cluster, in place of `executor`: its workers fetch. Needs ``neurofetch[dask]``.

    Returns
    -------
    Report
        What happened to each file, in a stable order; ``report.paths`` are the paths.

    Raises
    ------
    UnknownArgumentError
        If a keyword is neither an argument nor can be an entity.
    IncompleteError
        At the end, if files are missing; it names every file and cause, and what to do. Files that
        the server refuses (403), that are archived, or that cannot be kept under their names are
        among them.
    UsageError, CredentialsError, ServerError, DestinationError, OtherDatasetError
        As `plan`, before any byte moves; `DiskFullError` when the bytes to come do not fit.

    Warns
    -----
    SelectionWarning
        As `plan`, before any byte moves.
    """
    _check_keywords(get, entities)
    check_switches(follow=follow, bare=bare, permissive=permissive)
    access = Access.checked(
        profile=profile, signed=signed, requester_pays=requester_pays, endpoint=endpoint
    )
    wanted = query(
        suffix=suffix,
        extension=extension,
        datatype=datatype,
        include=include,
        exclude=exclude,
        **entities,
    )
    choice = _choice(url, wanted, derivatives, permissive=permissive, follow=follow)
    settings = RunSettings.checked(
        n_jobs=n_jobs,
        shard=shard,
        limit_rate=limit_rate,
        patience=patience,
        progress=progress,
        overwrite=overwrite,
        verify=verify,
        mix=mix,
        offline=offline,
        mirrors=mirrors,
        update=update,
        crew=crew_of(executor, workers, client),
    )
    asked = _asked(url, region, access, bare=bare)
    root = _root(dest, data_dir, asked.folder, target_dir)
    with asked.fetcher(root, network=settings.network, new=True) as fetcher:
        plan = fetcher.prepare(lambda: _choose_named(fetcher, choice), settings)
        warn_of_notes(plan)
        return fetcher.run(plan, settings)


def verify(
    dest: Where | None = None,
    *,
    data_dir: Where | None = None,
    read_all: bool = False,
    url: str | None = None,
    remote: bool = False,
    region: str | None = None,
    profile: str | None = None,
    signed: bool = False,
    requester_pays: bool = False,
    endpoint: str | None = None,
    state: str | None = None,
    progress: str | bool | Callable[[Event], None] | None = None,
) -> Audit:
    """Check the files on the disk.

    Parameters
    ----------
    dest : path, optional
        A data directory of any kind (BIDS, LAION-fMRI, NeuroVault), a folder in one, or one with
        data directories in it; by default the current directory.
    data_dir : path, optional
        Another name of `dest`.
    read_all : bool
        Read every byte and compare it with the digest in the receipt; otherwise only sizes and
        times are compared. Volumes of NeuroVault are always read.
    url : str, optional
        Also compare with this bucket (``s3://BUCKET/PREFIX``): files that changed there, or are
        not there, are named. With `read_all`, files of other tools are read too, and get a receipt
        if they equal the server's.
    remote : bool
        Also compare with the bucket that the data directory remembers, asked as it was when the
        files were fetched: with the credentials of the same name, which are used only where you
        alone can have written down that name.
    region : str, optional
        Of the bucket.
    profile, signed, requester_pays, endpoint : optional
        How to ask the bucket: as for `plan`.
    state : str, optional
        The folder of a package's own files in `dest`; by default all that are found are used.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress of reading every byte; a callable gets every event.

    Returns
    -------
    Audit
        ``audit.ok`` says whether nothing is missing or differs, ``audit.verified`` whether all
        was read, and ``audit.summary`` what was done in one line.

    Raises
    ------
    NothingMatchedError
        If nothing of ours is in `dest`, nor in a folder above or below it.
    UsageError
        If there is no bucket to compare with.
    CredentialsError
        If the credentials that are named, or remembered, cannot be had.
    ServerError
        If the bucket cannot be listed.
    """
    from neurofetch.store.places import Place, find_places  # noqa: PLC0415 - see `_audited`

    check_switches(read_all=read_all, remote=remote)
    access = Access.checked(
        profile=profile, signed=signed, requester_pays=requester_pays, endpoint=endpoint
    )
    root = _root(dest, data_dir, default=".")
    how = _How(read_all, url, remote, region, access, listener(progress))
    if state is not None:
        return _audited(Place(root, state), how)
    if os.path.isdir(root) and (places := find_places(root)):
        return _merged([_audited(place, how) for place in _compared(places, how)])
    if url is not None:
        return _audited(Place(root, ".neurofetch"), how)
    DataDirectory(root)  # raises where there is no folder
    if not os.access(root, os.R_OK | os.X_OK):
        msg = f"{root} cannot be read. Nothing was checked. Check who may read it."
        raise DestinationError(msg)
    msg = (
        f"nothing that neurofetch fetched is in {root}, nor in a folder above or below it. Nothing "
        "was checked. Name the data directory. To compare files of other tools with a bucket, use "
        "--hash --remote s3://BUCKET/PREFIX (read_all=True, url=...)."
    )
    raise NothingMatchedError(msg)


_LIKE = 0.85
"""How like an argument a keyword is (from 0 to 1) that is held for it, and not for an entity."""


def _check_keywords(function: Callable[..., object], given: Mapping[str, object]) -> None:
    """See that no keyword is a misspelt argument; what may be an entity, the file names will tell.

    Raises
    ------
    UnknownArgumentError
        It names every one, and the nearest that there is.
    """
    name = function.__name__
    takes = ("url", "dest", *(function.__kwdefaults__ or ()))
    of_get = {*(get.__kwdefaults__ or ())}.difference(takes)
    problems = []
    for keyword, value in given.items():
        if keyword in ENTITY_NAMES or keyword in ENTITY_NAMES.values():
            continue
        own = nearest(keyword, {*takes, *of_get}.difference(FILTERS), 1, cutoff=_LIKE)
        entity = keyword.isalnum() and not isinstance(value, bool | float)
        habit = habit_of(keyword)
        if habit:
            problems.append(f"{name}() has no argument {keyword!r}: {habit}.")
        elif keyword.replace("_", "") == "dryrun":
            problems.append(f"{name}() has no argument {keyword!r}: a dry run of get() is plan().")
        elif own and own[0] in of_get:
            problems.append(f"{name}() has no argument {keyword!r}: {own[0]}= is one of get().")
        elif own or not entity:
            problems.append(unknown_argument(name, keyword, [*takes, *ENTITY_NAMES]))
    if problems:
        raise UnknownArgumentError(f"{' '.join(problems)} Nothing was fetched.")


class _How(NamedTuple):
    """How to verify: see `verify`."""

    read_all: bool
    url: str | None
    remote: bool
    region: str | None
    access: Access
    listen: Callable[[Event], None]


def _compared(places: list[Place], how: _How) -> list[Place]:
    """Return the places that are asked for: with a bucket, those that can be compared with one."""
    if how.url is None and not how.remote:
        return places
    found = [place for place in places if place.state]
    if not found:
        msg = (
            f"{places[0].root} has volumes of NeuroVault, and no bucket to compare them with. "
            "Nothing was checked. Without --remote each is read to its end."
        )
        raise UsageError(msg)
    if how.url is not None and len(found) > 1:
        several = ", ".join(str(place.root / place.state) for place in found)
        msg = f"there are several data directories: {several}. Nothing was checked. Name one."
        raise UsageError(msg)
    return found


def _audited(place: Place, how: _How) -> Audit:
    """Check one data directory."""
    from neurofetch.store.audit import audit  # noqa: PLC0415 - a fetch does not need it

    if not place.state:
        from neurofetch.neurovault.cache.layout import Cache  # noqa: PLC0415
        from neurofetch.neurovault.cache.verify import verify_cache  # noqa: PLC0415

        return verify_cache(Cache(place.root))
    if how.url is not None:
        asked = _asked(how.url, how.region, how.access)
        return _against(asked.changed(state=place.state), place.root, how)
    if not how.remote:
        directory = DataDirectory(place.root, place.state)
        return audit(directory, read_all=how.read_all, listen=how.listen)
    datasets = [_remembered(place, source, how) for source in _sources(place)]
    audits = [_against(dataset, place.root, how, several=datasets) for dataset in datasets]
    return _merged(audits)


def _same_access(place: Place, source: DataSource, access: Access) -> Access:
    """Return how to ask for what a data directory remembers, unless that was said.

    What is written there decides whose credentials are sent where. So it counts only if nobody
    else can have written it; otherwise it has to be said.

    Raises
    ------
    UsageError
    """
    from neurofetch.store.data_source import is_mine_alone  # noqa: PLC0415 - see `_sources`

    if not access.endpoint and source.named:
        access = replace(access, endpoint=source.server)
    if access.signs or not (source.profile or source.signed):
        return access
    known = replace(
        access,
        profile=source.profile,
        signed=source.signed and not source.profile,
        requester_pays=access.requester_pays or source.requester_pays,
    )
    if is_mine_alone(place.root / place.state):
        return known
    msg = (
        f"{shown(source.url)} was fetched with credentials, and others may write to {place.root}, "
        "so what is remembered there does not decide whose are used. Nothing was checked. If they "
        f"are these, say so: {shown(known.flags)}"
    )
    raise UsageError(msg)


def _sources(place: Place) -> Iterable[DataSource]:
    """Return what a data directory remembers."""
    from neurofetch.store.data_source import read_sources  # noqa: PLC0415

    found = read_sources(place.root / place.state)
    if not found:
        msg = (
            f"{place.root} does not remember where its files are from: an older version fetched "
            "them. Nothing was checked. Say it: --remote s3://BUCKET/PREFIX (url=...)."
        )
        raise UsageError(msg)
    return found


def _remembered(place: Place, source: DataSource, how: _How) -> _Asked:
    """Return the data set that is remembered, to be listed again."""
    if source.kind != "bids":
        msg = (
            f"{place.root} is of {source.kind}, which has rules of its own for what its bucket "
            f"gives out. Nothing was checked. Use: {source.kind} verify --remote --data-dir "
            f"{place.root}"
        )
        raise UsageError(msg)
    versioned = source.version and source.url.startswith("openneuro:")
    url = f"{source.url}@{source.version}" if versioned else source.url
    access = _same_access(place, source, how.access)
    asked = _asked(url, how.region, access)
    return asked.changed(state=place.state, tidy_labels=source.tidy_labels)


def _against(asked: _Asked, root: Path, how: _How, *, several: Sequence[_Asked] = ()) -> Audit:
    """Check a data directory, and compare it with a bucket.

    Where it is of several data sets, only the files of this one are looked at.
    """
    with asked.changed(rules=Rules()).fetcher(root) as fetcher:  # nothing chosen, all compared
        fetcher.listen = how.listen
        listing = Listing((fetcher.dataset.base,))
        wants: Sequence[Want] = _choose(fetcher, asked.dataset.name, query())[0].wants
        only = None
        if len(several) > 1:
            number = several.index(asked)
            key = fetcher.data_source.key if number else ""
            from neurofetch.store.receipts import read_receipts  # noqa: PLC0415

            of = {path: one.source for path, one in read_receipts(fetcher.directory.state).items()}
            wants = [want for want in wants if of.get(want.path, key) == key]
            only = {path for path, one in of.items() if one == key} | {want.path for want in wants}
            fetcher.directory.source = key  # of the receipts that are written
        return fetcher.audit(
            wants, read_all=how.read_all, listing=listing, only=only, listen=how.listen
        )


def _merged(audits: Sequence[Audit]) -> Audit:
    """Return one audit of several directories, the paths relative to what they have in common."""
    if len(audits) == 1:
        return audits[0]
    from neurofetch.store.findings import Audit, State  # noqa: PLC0415

    root = Path(os.path.commonpath([audit.root for audit in audits]))
    found: dict[str, Finding] = {}
    known: dict[str, Receipt] = {}
    sources: dict[str, DataSource] = {}
    for number, audit in enumerate(audits):
        folder = audit.root.relative_to(root)
        for finding in audit.findings:
            path = (folder / finding.path).as_posix() if folder.parts else finding.path
            if path not in found or finding.state is not State.UNKNOWN:
                found[path] = replace(finding, path=path)
                receipt = audit.known.get(finding.path)
                if receipt is not None:
                    known[path] = replace(receipt, source=f"{number}{receipt.source}")
        sources |= {f"{number}{key}": source for key, source in audit.sources.items()}
    findings = tuple(found[path] for path in sorted(found))
    return Audit(root, findings, sum(audit.seconds for audit in audits), known, sources)


def _root(
    dest: Where | None,
    data_dir: Where | None,
    default: Where | None = None,
    target_dir: Where | None = None,
) -> Path:
    """Return the data directory, which has several names."""
    named = {"dest": dest, "data_dir": data_dir, "target_dir": target_dir}
    given = [name for name, where in named.items() if where is not None]
    if len(given) > 1:
        msg = f"{given[0]} and {given[1]} are the same, but both were given. Nothing was done. "
        msg += "Leave one out"
        raise UsageError(msg)
    root = named[given[0]] if given else default
    if root is None:
        msg = "no data directory was given. Nothing was done. Say where the files are: "
        msg += "data_dir=... (--data-dir DIR)"
        raise UsageError(msg)
    return given_path(root)


def _located(url: str, access: Access) -> str:
    """Return the URL of a bucket where it is the address of one at the endpoint that was named."""
    start = f"{access.endpoint}/"
    if access.endpoint and isinstance(url, str) and url.strip().startswith(start):
        plain = url.strip()
        if not {"?", "#"} & set(plain):
            return f"s3://{unquote(plain.removeprefix(start), errors='surrogateescape')}"
    return url


class _Asked(NamedTuple):
    """What a URL names.

    Parameters
    ----------
    dataset : Dataset
    make_source : callable or None
        As for `Fetcher`.
    folder : str or None
        Where it is kept unless somebody says otherwise.
    access : Access or None
        How its bucket is asked; None where it is no bucket.
    """

    dataset: Dataset
    make_source: MakeSource | None = None
    folder: str | None = None
    access: Access | None = None

    def changed(self, **what: Any) -> _Asked:
        return self._replace(dataset=replace(self.dataset, **what))

    def fetcher(self, root: Path, *, network: Network | None = None, new: bool = False) -> Fetcher:
        return Fetcher(
            self.dataset,
            root,
            network=network,
            new=new,
            make_source=self.make_source,
            access=self.access,
        )


def _asked(url: str, region: str | None, access: Access, *, bare: bool = False) -> _Asked:
    """Return what a URL names: at OpenNeuro, or in a bucket.

    Raises
    ------
    UsageError
        If it names neither, or credentials are named for what needs none.
    """
    url = _located(url, access)
    rules = Rules() if bare else BIDS_RULES
    address = None
    if isinstance(url, str) and not url.strip().lower().startswith("s3:"):
        address = parse_openneuro(url, openneuro_site())
    if address is not None:
        _check_unsigned(address, access)
        home = f"openneuro:{address.accession}"
        dataset = Dataset(str(address), region=region, base=_base(address.path), rules=rules)
        return _Asked(replace(dataset, home=home), _source_of(address), address.accession)
    bucket, prefix = parse_s3_url(url)
    return _Asked(Dataset(url, bucket, region, _base(prefix), rules), access=access)


def _check_unsigned(address: Address, access: Access) -> None:
    """See that nobody names credentials of S3 for the server of OpenNeuro, which knows none."""
    if access.flags:
        msg = (
            f"{shown(access.flags)} is for buckets, and {address} is asked of OpenNeuro, which has "
            "tokens of its own. Nothing was done. Leave it out, or name the bucket: "
            "s3://BUCKET/PREFIX."
        )
        raise UsageError(msg)


def _base(prefix: str) -> str:
    return prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""


def _source_of(address: Address) -> MakeSource:
    def make(client: Client, attempts: Attempts, _: DataDirectory) -> OpenNeuroSource:
        return OpenNeuroSource(client, attempts, address)

    return make


class _Choice(NamedTuple):
    """What is to be chosen."""

    url: str
    wanted: Query
    follow: bool
    tell_derivatives: bool
    """Whether to say that derivatives are among it: nobody asked for them."""


def _choice(
    url: str, wanted: Query, derivatives: Values, *, permissive: bool, follow: bool
) -> _Choice:
    wanted = wanted.with_derivatives(derivatives)
    return _Choice(url, wanted if permissive else wanted.strictly(), follow, derivatives is None)


def _choose_named(fetcher: Fetcher, choice: _Choice) -> Selection:
    """Choose files, and look at what they name."""
    wanted = choice.wanted
    selection, found = _choose(fetcher, choice.url, wanted)
    if choice.tell_derivatives:
        selection = selection._replace(notes=(*selection.notes, *_derivatives_in(selection)))
    if len(selection.wants) == len(found.files) and found.has_all(""):
        return selection  # nothing is left that could be named

    def along(more: Sequence[RemoteFile], files: Sequence[RemoteFile]) -> list[Chosen]:
        return coming_along(files, selection, wanted, fetcher.dataset, more)

    from neurofetch.named import with_named  # noqa: PLC0415 - not while the first page is awaited

    return with_named(
        fetcher,
        selection,
        found.files,
        wanted,
        follow=choice.follow,
        along=along if fetcher.dataset.rules.companions else None,
        listed=found.has_all,
    )


def _derivatives_in(selection: Selection) -> Iterable[str]:
    """Say which derivatives are chosen, since nobody named them."""
    names = {derivative_of(want.path) for want in selection.wants} - {""}
    if names:
        yield (
            f"derivatives: all that match ({shorten(names, 6)}); --derivatives none leaves them "
            "out, --derivatives NAME chooses"
        )


def _choose(fetcher: Fetcher, url: str, wanted: Query) -> tuple[Selection, Found]:
    """Choose from what lies at a URL: a folder of a data set, or one file of it."""
    asked = fetcher.dataset.base.rstrip("/")
    found = fetcher.find(wanted, wanted.derivatives)
    try:
        selection = _selected(fetcher, found, wanted)
    except (NothingMatchedError, UnknownValueError):
        if not found.hides:
            raise
        # What there is elsewhere tells which filters contradict each other, and what is meant.
        files = fetcher.files(Listing((found.base,)))
        found = Found(found.base, found.scope, files, (found.base,))
        selection = _selected(fetcher, found, wanted)
    if not found.scope:
        return selection, found
    root = f"{fetcher.dataset.origin}{found.base}".rstrip("/")
    notes = [f"{url} lies in the data set {root}: paths are relative to that"]
    if asked != f"{found.base}{found.scope}":
        notes.append(f"{found.scope}: a recording that is a folder comes whole")
    return selection._replace(notes=(*notes, *selection.notes)), found


def _selected(fetcher: Fetcher, found: Found, wanted: Query) -> Selection:
    wanted = replace(wanted, scope=found.scope)
    return make_selection(
        found.files, wanted, fetcher.dataset, elsewhere=found.named, whole=found.has_all
    )
