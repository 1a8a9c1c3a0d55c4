"""Download LAION-fMRI: the files of some subjects, chosen by BIDS entities."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, cast, overload

from laion_fmri._dataset import (
    EXTRA_TREES,
    Extras,
    dataset,
    listing,
    subject_label,
    subject_trees,
    whole_trees,
)
from laion_fmri._license import agree, check_permission, require_license
from laion_fmri._models import embedding_models
from laion_fmri._names import also_named
from laion_fmri._stimulus_access import (
    AccessNotFoundError,
    AccessServiceError,
    TermsOutdatedError,
)
from laion_fmri.access.gated_files import StimuliSource
from laion_fmri.access.service import service_url
from laion_fmri.config import chosen_directory, data_directory
from laion_fmri.errors import NoMatchingDataError, SubjectNotFoundError, UnknownFilterError
from laion_fmri.stimulus_downloads import (
    download_captions,
    download_embeddings,
    download_segmentations,
    download_stimuli,
    request_stimulus_access,
)
from neurofetch import console
from neurofetch.engine import (
    Fetcher,
    Rules,
    RunSettings,
    S3Source,
    bucket_of,
    check_switches,
    crew_of,
    items_of,
    make_selection,
    nearest,
    parse_entities,
    plan_summary,
    query,
    twins_of,
    unknown_argument,
    warn_of_notes,
)
from neurofetch.errors import (
    NothingMatchedError,
    UnknownArgumentError,
    UnknownValueError,
    UsageError,
    WrongTypeError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from neurofetch.engine import (
        Attempts,
        Bucket,
        Client,
        DataDirectory,
        Dataset,
        Network,
        Query,
        Selection,
        Source,
    )
    from neurofetch.events import Event
    from neurofetch.model import Plan, RemoteFile, Report

__all__ = [
    "AccessNotFoundError",
    "AccessServiceError",
    "TermsOutdatedError",
    "accept_license",
    "accept_licenses",
    "choose",
    "download",
    "download_captions",
    "download_embeddings",
    "download_raw",
    "download_segmentations",
    "download_stimuli",
    "fetcher_for",
    "labels_of",
    "listed",
    "request_stimulus_access",
    "subjects_of",
]

_OF_RAW = frozenset({"run", "echo", "part"})
"""Entities that raw data have, and results have not."""

Values = str | Iterable[str] | None
Numbers = str | int | Iterable[str | int] | None
Subjects = str | int | Iterable[str | int]
Places = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None


class _Common(TypedDict, total=False):
    """How files are fetched, whichever they are, for the type checker."""

    verify: bool
    overwrite: bool
    mix: bool
    shard: tuple[int, int] | None
    limit_rate: float | None
    patience: float | None
    offline: bool | None
    mirrors: Places
    progress: str | bool | Callable[[Event], None] | None


class _Who(TypedDict, total=False):
    """Who fetches, for the type checker."""

    executor: object
    workers: int | None
    client: object


class _Keywords(_Common, _Who, total=False):
    """The keywords of `download` that do not change what it returns, for the type checker."""

    session: Values
    run: Numbers
    echo: Numbers
    part: Values
    include_embeddings: bool | str | Sequence[str]
    include_freesurfer: bool
    include_anatomical: bool
    include_raw: bool
    include_localizers: bool
    include: Values
    exclude: Values
    accept_license: str | None
    data_dir: str | os.PathLike[str] | None


class _RawHow(_Common, _Who, total=False):
    """The keywords of `download_raw` that are handed on."""

    dry_run: bool


class _How(_RawHow, total=False):
    """The same, with `n_jobs`, which has a place of its own there."""

    n_jobs: int


class _Run(_Common, total=False):
    """What is left of it once it is known who fetches."""

    dry_run: bool
    n_jobs: int


@overload
def download(
    subject: Subjects,
    ses: Values = None,
    task: Values = None,
    space: Values = None,
    desc: Values = None,
    stat: Values = None,
    suffix: Values = None,
    extension: Values = None,
    include_stimuli: bool = False,
    n_jobs: int = 1,
    *,
    dry_run: Literal[False] = False,
    **keywords: Unpack[_Keywords],
) -> Report: ...


@overload
def download(
    subject: Subjects,
    ses: Values = None,
    task: Values = None,
    space: Values = None,
    desc: Values = None,
    stat: Values = None,
    suffix: Values = None,
    extension: Values = None,
    include_stimuli: bool = False,
    n_jobs: int = 1,
    *,
    dry_run: Literal[True],
    **keywords: Unpack[_Keywords],
) -> Plan: ...


@overload
def download(
    subject: Subjects,
    ses: Values = None,
    task: Values = None,
    space: Values = None,
    desc: Values = None,
    stat: Values = None,
    suffix: Values = None,
    extension: Values = None,
    include_stimuli: bool = False,
    n_jobs: int = 1,
    *,
    dry_run: bool,
    **keywords: Unpack[_Keywords],
) -> Report | Plan: ...


@also_named(sub="subject")
def download(  # noqa: PLR0917 - the order of arguments is documented
    subject: Subjects,
    ses: Values = None,
    task: Values = None,
    space: Values = None,
    desc: Values = None,
    stat: Values = None,
    suffix: Values = None,
    extension: Values = None,
    include_stimuli: bool = False,
    n_jobs: int = 1,
    *,
    session: Values = None,
    run: Numbers = None,
    echo: Numbers = None,
    part: Values = None,
    include_embeddings: bool | str | Sequence[str] = False,
    include_freesurfer: bool = False,
    include_anatomical: bool = False,
    include_raw: bool = False,
    include_localizers: bool = False,
    include: Values = None,
    exclude: Values = None,
    dry_run: bool = False,
    verify: bool = False,
    overwrite: bool = False,
    mix: bool = False,
    shard: tuple[int, int] | None = None,
    limit_rate: float | None = None,
    patience: float | None = None,
    offline: bool | None = None,
    mirrors: Places = None,
    executor: object = None,
    workers: int | None = None,
    client: object = None,
    progress: str | bool | Callable[[Event], None] | None = None,
    accept_license: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Report | Plan:
    """Fetch the files of one or more subjects; what is here already is not fetched again.

    Every file is verified before it takes its final name. All filters but `ses` are permissive: a
    file that does not carry an entity passes the filter on it. `suffix` and `extension` are strict.
    A value that matches nothing to the letter is taken for the one value that it begins
    (``desc="singletrial"`` finds ``desc-SingletrialBetas``), and a note says so.

    Parameters
    ----------
    subject : str, int or several
        ``"sub-03"``, ``"03"`` or 3; ``"all"`` for every subject that the bucket has.
    ses : str or several, optional
        Only these sessions (``"ses-01"`` or ``"01"``). ``"averages"`` stands for the subject-level
        summaries, which a session alone leaves out. The mean-R² map comes along with any session,
        since the loader derives the brain mask from it, and regions of interest come under any
        `ses`, since they belong to none. Sessions 31 to 34 are held out by the dataset's owners.
    session : str or several, optional
        Another name of `ses`.
    task, space, desc, stat : str or several, optional
        Entities, bare (``"T1w"``) or full (``"space-T1w"``).
    suffix : str or several, optional
        Such as ``"statmap"``. The JSON sidecars of the chosen files come along.
    extension : str or several, optional
        Such as ``"nii.gz"``, with or without the leading dot.
    include_stimuli : bool
        Also mirror ``stimuli/``. What is gated by the data use agreement comes through the access
        service, once access was granted (see ``laion-fmri stimuli --help``).
    n_jobs : int
        Large files in flight. Even one comes over many connections, and small files always come
        many at a time. A number that cannot work is replaced, with a warning.
    run, echo, part : str, int or several, optional
        Entities of the raw data.
    include_embeddings : bool, str or sequence of str
        Also fetch embeddings of the stimuli: of all models (True), or of those that you name
        (``["CLIP"]``; see `laion_fmri.embeddings`). No filter applies to them.
    include_freesurfer, include_anatomical, include_raw, include_localizers : bool
        Also fetch the FreeSurfer directory, the anatomical derivatives, the raw BIDS data, or the
        localizers. The filters apply to raw data; the others come whole.
    include, exclude : str or several, optional
        Globs on the key; one without a slash is the name of a file or folder.
    dry_run : bool
        Return the plan and fetch nothing.
    verify : bool
        Also read every byte of the files that are here already, and fetch again what is damaged.
    overwrite : bool
        Fetch also what is here.
    mix : bool
        The data directory may be of another data set. By default that is an error, since two data
        sets would lie in each other's folders. A file of one is never replaced by one of the other.
    shard : tuple of (int, int), optional
        ``(index, count)``: fetch only the part of the plan that is job `index` of `count`, from 0.
    limit_rate : float, optional
        Bytes a second over all connections.
    patience : float, optional
        Seconds to wait for a network that is away, before the run ends: by default what
        ``NEUROFETCH_PATIENCE`` says, or 15 minutes. 0 for no wait, ``math.inf`` for ever.
    offline : bool, optional
        Do not use the network: choose from what the bucket listed before, and was written down in
        the data directory. By default what ``NEUROFETCH_OFFLINE`` says (1 or 0), or False.
    mirrors : str, path, or iterable of them, optional
        Other places that have the same bytes, as of `neurofetch.plan`: data directories of others
        on this machine, and servers.
    executor : object with ``submit``, optional
        Fetch in many tasks that it runs, in other threads, processes or machines, as of
        `neurofetch.get`.
    workers : int, optional
        Tasks at once, at most; by default as many as `executor` says that it runs, else 8.
    client : distributed.Client, optional
        Of a Dask cluster, in place of `executor`, as of `neurofetch.get`.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress; a callable gets every event.
    accept_license : str, optional
        ``"CC0-1.0"``: accept the licence of the data by its name, where nobody can be asked.
    data_dir : path, optional
        By default the one that was configured.

    Returns
    -------
    Report
        Per file what happened, its bytes and how it was verified; ``report.paths`` are the paths
        of all files, in a stable order. With `dry_run`, the `Plan` instead.

    Raises
    ------
    DataDirNotSetError
        If no data directory was chosen.
    OtherDatasetError
        If the data directory is of another data set, and `mix` is not set.
    SubjectNotFoundError
        If the bucket has no such subject; the message lists those that it has.
    UnknownValueError
        If a filter names a value that does not exist (a ``ValueError``).
    NoMatchingDataError
        If the filters leave nothing.
    LicenseNotAcceptedError
        If the licence was not accepted. It is asked for once the plan is shown, at a terminal or
        in a notebook; where nobody can be asked, this is raised before any request.
    IncompleteError
        At the end, when something that was asked for is missing: the message lists every file and
        cause. All the rest was fetched. Files that the bucket withholds are no failure: they are
        warned of, and stand in the report.

    Warns
    -----
    UserWarning
        If the configured data directory is another one than that of the last download of this
        process; both are named.
    SelectionWarning
        Of each note of the plan (``Plan.notes``), such as a value that was taken for another, or a
        glob that matches nothing; and of the files that are withheld.

    Notes
    -----
    A re-run of what is complete costs one listing for each prefix and nothing else. An interrupted
    run is resumed by the same call.
    """
    extras = Extras(
        include_stimuli,
        embedding_models(include_embeddings),
        include_freesurfer,
        include_anatomical,
        include_raw,
        include_localizers,
    )
    wanted = query(
        ses=ses,
        session=session,
        task=task,
        space=space,
        desc=desc,
        stat=stat,
        run=run,
        echo=echo,
        part=part,
        suffix=suffix,
        extension=extension,
        include=include,
        exclude=exclude,
    )
    how: _How = {
        "n_jobs": n_jobs,
        "shard": shard,
        "limit_rate": limit_rate,
        "patience": patience,
        "offline": offline,
        "mirrors": mirrors,
        "executor": executor,
        "workers": workers,
        "client": client,
        "progress": progress,
        "overwrite": overwrite,
        "verify": verify,
        "dry_run": dry_run,
        "mix": mix,
    }
    return _fetch(subject, wanted, extras, how, accept_license=accept_license, data_dir=data_dir)


def _fetch(
    subject: object,
    wanted: Query,
    extras: Extras,
    how: _How,
    *,
    accept_license: str | None,
    data_dir: str | os.PathLike[str] | None,
) -> Report | Plan:
    labels = labels_of(subject)
    given = {name: value for name, value in extras._asdict().items() if name != "embeddings"}
    check_switches(**{f"include_{name}": value for name, value in given.items()})
    who = (how.pop("executor", None), how.pop("workers", None), how.pop("client", None))
    crew = crew_of(*who)
    run = cast("_Run", how)
    settings = RunSettings.checked(**run, crew=crew, stacklevel=5)  # past `also_named`
    root = chosen_directory(data_dir)
    with fetcher_for(extras, root, network=settings.network) as fetcher:
        if not settings.dry_run:
            _Previous.compare(root, named=data_dir is not None)
            check_permission(fetcher.directory, accept_license)
        plan = fetcher.prepare(lambda: choose(fetcher, labels, wanted, extras), settings)
        warn_of_notes(plan, stacklevel=4)
        if settings.dry_run:
            return plan

        def permit() -> None:
            told = bool(getattr(how.get("progress"), "plan_shown", False))
            require_license(root, accept_license, "" if told else plan_summary(plan))

        return fetcher.run(plan, settings, permit=permit, stacklevel=5)


class _Previous:
    """The data directory of the last download of this process."""

    root: Path | None = None

    @classmethod
    def compare(cls, root: Path, *, named: bool) -> None:
        """Warn if the directory is another one now, and the call does not name it.

        Another program, or another notebook, may have chosen it: the configuration is the user's.
        """
        before, cls.root = cls.root, root
        if before is not None and not named and os.path.realpath(before) != os.path.realpath(root):
            warnings.warn(
                f"the data directory is {root} now; the last download of this process went to "
                f"{before}. Files are fetched to {root}. If you mean the other one, choose it with "
                f"dataset_initialize({str(before)!r}), or name it: data_dir={str(before)!r}.",
                UserWarning,
                stacklevel=5,  # past `also_named`
            )


@also_named(sub="subject")
def download_raw(  # noqa: PLR0917 - the public package's order
    subject: str | Sequence[str],
    ses: Values = None,
    task: Values = None,
    run: Numbers = None,
    echo: Numbers = None,
    part: Values = None,
    suffix: Values = None,
    extension: Values = None,
    n_jobs: int = 1,
    *,
    accept_license: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    **how: Unpack[_RawHow],
) -> Report | Plan:
    """Fetch raw BIDS data of one or more subjects, and nothing else but the files at the root.

    Parameters
    ----------
    subject, ses, task, run, echo, part, suffix, extension, n_jobs
        As in `download`.
    accept_license, data_dir
        As there.
    **how
        ``dry_run``, ``verify``, ``overwrite``, ``mix``, ``shard``, ``limit_rate``,
        ``patience``, ``offline``, ``mirrors``, ``executor``, ``workers``, ``client`` and
        ``progress``, as there.

    Returns
    -------
    Report
        With ``dry_run=True`` the `Plan` instead.

    Raises
    ------
    SubjectNotFoundError, UnknownValueError, NoMatchingDataError, IncompleteError
        As `download` does.
    """
    _check_how(how)
    wanted = query(
        ses=ses,
        task=task,
        run=run,
        echo=echo,
        part=part,
        suffix=suffix,
        extension=extension,
    )
    extras = Extras(raw=True, results=False)
    return _fetch(
        subject,
        wanted,
        extras,
        {**how, "n_jobs": n_jobs},
        accept_license=accept_license,
        data_dir=data_dir,
    )


def _check_how(how: Mapping[str, object]) -> None:
    """See that keywords which are handed on are known where they end."""
    takes = download_raw.__annotations__.keys() | _RawHow.__annotations__.keys()
    for name in how.keys() - _RawHow.__annotations__.keys():
        msg = unknown_argument("download_raw", name, sorted(takes - {"how", "return"}))
        raise UnknownArgumentError(f"{msg} Nothing was done.")


def accept_license() -> None:
    """Show the licence of the data and ask for it, once for each data directory.

    The text goes to the standard output, and the answer is read from the standard input, be it a
    terminal or not; where ``LAION_FMRI_ACCEPT_LICENSE`` names the licence, nothing is asked.

    Raises
    ------
    LicenseNotAcceptedError
        If the answer is another one than ``I AGREE``, or yes in other words.
    """
    agree(data_directory())


def accept_licenses(include_stimuli: bool = False) -> None:
    """Ask for the licence of the data, as `accept_license`, by the name of older versions.

    Parameters
    ----------
    include_stimuli : bool
        Say, too, that the terms of the stimuli are accepted elsewhere: nothing is asked here.
    """
    accept_license()
    if include_stimuli:
        console.say(
            "[laion-fmri] The terms of the stimulus pictures are accepted with the request for "
            "access: laion-fmri request-access"
        )


def _extras_meant(wanted: Query, extras: Extras) -> str:
    """Say which flag lists what a glob names that is not listed by itself."""
    words = {word.strip("*/").partition("/")[0].casefold() for word in wanted.include}
    names = [name for name, given in extras._asdict().items() if name in words and not given]
    flags = [f"--include-{name} (include_{name}=True)" for name in names]
    return f"\nFor {' and '.join(names)} there is {' and '.join(flags)}." if flags else ""


def fetcher_for(
    extras: Extras,
    root: str | os.PathLike[str],
    *,
    network: Network | None = None,
    fetch: bool = True,
) -> Fetcher:
    """Return the fetcher for the dataset and a data directory.

    Parameters
    ----------
    extras : Extras
        With the stimuli, what is gated comes through the access service.
    root : path
        The data directory.
    network : Network, optional
        By default what the environment says.
    fetch : bool
        Whether gated files that are not here matter.

    Returns
    -------
    Fetcher
        To be used in a ``with`` statement, which closes its connections.
    """
    described = dataset(extras)
    make_source: Callable[..., Source] | None = None
    if extras.stimuli:
        make_source = partial(_stimuli, described, bucket_of(described), service_url(), fetch)
    return Fetcher(described, root, network=network, make_source=make_source)


def _stimuli(  # noqa: PLR0917 - the first are bound
    described: Dataset,
    bucket: Bucket,
    service: str,
    fetch: bool,
    client: Client,
    attempts: Attempts,
    directory: DataDirectory,
) -> StimuliSource:
    """Return the bucket with what the access service hands out; also in another process."""
    return StimuliSource(
        S3Source(client, bucket, attempts),
        client,
        directory,
        described.path,
        fetch=fetch,
        stop=attempts.stop,
        url=service,
    )


def labels_of(subject: object) -> tuple[str, ...] | None:
    """Return the full labels of the subjects, or None for all.

    Returns
    -------
    tuple of str or None
        Labels such as ``"sub-03"``; None for all subjects.

    Raises
    ------
    WrongTypeError
        If it is of a kind that cannot be a subject (a ``TypeError``).
    SubjectNotFoundError
        If it is empty text.
    UsageError
        If it is other text that cannot be one, or an empty list.
    """
    given = items_of(subject)
    if subject is None or not given:
        msg = f"subject must be a name such as 'sub-03', several of them, or 'all', not {subject!r}"
        raise WrongTypeError(msg) if subject is None else UsageError(msg)
    if any(isinstance(one, str) and one.strip().lower() == "all" for one in given):
        return None
    return tuple(dict.fromkeys(_label_of(one) for one in given))


def _label_of(subject: object) -> str:
    try:
        return subject_label(subject)
    except UsageError as error:
        if not isinstance(subject, str):
            raise WrongTypeError(str(error)) from None
        if not subject.strip().removeprefix("sub-"):  # scripts catch this one
            raise SubjectNotFoundError(str(error)) from None
        raise


def choose(
    fetcher: Fetcher, labels: tuple[str, ...] | None, wanted: Query, extras: Extras
) -> Selection:
    """List, and select the files of some subjects.

    Parameters
    ----------
    fetcher : Fetcher
    labels : tuple of str or None
        Subjects; None for all that the bucket has.
    wanted : Query
    extras : Extras

    Returns
    -------
    Selection
        The chosen files, with their local paths.

    Raises
    ------
    SubjectNotFoundError, UnknownValueError, NoMatchingDataError
    """
    subjects = subjects_of(fetcher, extras) if labels is None else labels
    if not subjects:
        where = fetcher.source.name
        msg = f"there are no subjects in {where}. Nothing was fetched. Check the endpoint."
        raise NoMatchingDataError(msg)
    _, files, notes = listed(fetcher, subjects, extras)
    try:
        there = _values_of_extras(files)
        selection = make_selection(files, wanted, fetcher.dataset, elsewhere=there)
    except UnknownValueError as error:
        raise UnknownFilterError(str(error)) from error
    except NothingMatchedError as error:
        partly = _without_raw(fetcher, files, wanted, extras) or _whole_alone(
            fetcher, files, extras
        )
        if partly is None:
            raise NoMatchingDataError(f"{error}{_extras_meant(wanted, extras)}") from error
        selection = partly
    _check_not_all_withheld(selection)
    return selection._replace(notes=(*notes, *selection.notes))


def _without_raw(
    fetcher: Fetcher, files: Sequence[RemoteFile], wanted: Query, extras: Extras
) -> Selection | None:
    """Choose results alone where raw data were asked for, too, and none are what the filters say.

    A run, an echo and a part are of raw data: they do not rule results out.
    """
    asked = [(name, values) for name, values in wanted.entities if name in _OF_RAW]
    if not (extras.raw and extras.results and asked):
        return None
    results = [file for file in files if not file.key.startswith("sub-")]
    others = tuple(one for one in wanted.entities if one not in asked)
    try:
        found = make_selection(results, replace(wanted, entities=others), fetcher.dataset)
    except (NothingMatchedError, UnknownValueError):
        return None  # what is wrong was told of all files
    given = ", ".join(f"{name}-{value}" for name, values in asked for value in values)
    note = f"no raw file has {given} together with the other filters: only others were chosen"
    return found._replace(notes=(*found.notes, note))


def _whole_alone(fetcher: Fetcher, files: Sequence[RemoteFile], extras: Extras) -> Selection | None:
    """Choose the trees that come whole, where they are all that there is."""
    whole = [file for file in files if file.key.startswith(whole_trees(extras))]
    if not whole:
        return None
    found = make_selection(whole, query(), replace(fetcher.dataset, rules=Rules()))
    note = "no other file has what the filters say: only what comes whole was chosen"
    return found._replace(notes=(*found.notes, note))


def _values_of_extras(files: Iterable[RemoteFile]) -> dict[str, set[str]]:
    """Return what the names of anatomy and localizers say: they come whole, yet may be named."""
    found: dict[str, set[str]] = {}
    for file in files:
        if file.key.startswith(EXTRA_TREES):
            says = parse_entities(file.key)
            found.setdefault("suffix", set()).add(says.suffix)
            found.setdefault("extension", set()).add(says.extension)
            for entity, value in says.values:
                found.setdefault(entity, set()).add(value)
    return found


def subjects_of(fetcher: Fetcher, extras: Extras) -> tuple[str, ...]:
    """Return every subject that the bucket has, by its folders.

    Returns
    -------
    tuple of str
        Labels such as ``"sub-03"``.
    """
    levels = fetcher.levels(subject_trees(extras))
    names = {folder.rstrip("/").rpartition("/")[2] for level in levels for folder in level.folders}
    return tuple(sorted(name for name in names if name.startswith("sub-")))


def listed(
    fetcher: Fetcher, subjects: Sequence[str], extras: Extras
) -> tuple[tuple[str, ...], list[RemoteFile], list[str]]:
    """Return subjects by the names that the bucket has, their files, and notes.

    The bucket is only asked again when one of them has no files. ``sub-3`` means ``sub-03``.

    Returns
    -------
    tuple
        The labels of the subjects, their files, and notes for the reader.

    Raises
    ------
    SubjectNotFoundError
        If one does not exist.
    """
    files = fetcher.files(listing(tuple(subjects), extras))
    pieces = (piece for file in files for piece in file.key.split("/"))
    there = {piece for piece in pieces if piece.startswith("sub-")}
    missing = [subject for subject in subjects if subject not in there]
    if not missing:
        return tuple(subjects), files, []
    exist = subjects_of(fetcher, extras)
    meant = {one: twins_of(one, exist) for one in missing}
    unknown = [subject for subject, names in meant.items() if len(names) != 1]
    if unknown:
        raise SubjectNotFoundError(_not_found(unknown, exist))
    real = tuple(dict.fromkeys(meant[one][0] if one in meant else one for one in subjects))
    notes = [f"{one} → {names[0]}" for one, names in meant.items()]
    return real, fetcher.files(listing(real, extras)), notes


def _not_found(missing: Sequence[str], exist: Sequence[str]) -> str:
    near = {subject: nearest(subject, exist) for subject in missing}
    lines = []
    for subject in missing:
        hint = f" Did you mean {near[subject][0]}?" if near[subject] else ""
        lines.append(f"there is no subject {subject}.{hint}")
    first = dict.fromkeys(name for names in near.values() for name in names)
    there = ", ".join([*first, *(name for name in exist if name not in first)]) or "none"
    return "\n".join(lines) + f"\nThe bucket has {there}. Nothing was fetched."


def _check_not_all_withheld(selection: Selection) -> None:
    asked = [w for w in selection.wants if w.why == "asked for" or w.why.endswith(": passes")]
    if asked and all(want.refused for want in asked):
        reasons = "; ".join(dict.fromkeys(want.refused for want in asked))
        msg = (
            f"all files that you asked for are withheld: {reasons}. Nothing was fetched. "
            "Choose other sessions, or leave the filter out."
        )
        raise NoMatchingDataError(msg)
