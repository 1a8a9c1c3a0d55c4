"""The public functions that fetch, and the dry run by ids."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neurofetch.errors import NothingMatchedError, SelectionWarning, UsageError
from neurofetch.neurovault.fetch.bunch import raise_or_warn
from neurofetch.neurovault.fetch.by_filter import Filters
from neurofetch.neurovault.fetch.run import begin, finish, plan_ids, run_filters, run_ids
from neurofetch.neurovault.fetch.terms import check_terms, terms_of, with_numbers
from neurofetch.neurovault.filters import (
    Filter,
    basic_collection_terms,
    basic_image_terms,
    empty_filter,
)
from neurofetch.neurovault.settings import MAX_FAILURES, TIMEOUT, Mode, OnError, Settings

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from neurofetch.events import Event
    from neurofetch.model import Plan, Report
    from neurofetch.net.retry import RetryRules
    from neurofetch.neurovault.fetch.result import NeurovaultBunch

__all__ = [
    "fetch_neurovault",
    "fetch_neurovault_auditory_computation_task",
    "fetch_neurovault_ids",
    "fetch_neurovault_motor_task",
    "plan_neurovault_ids",
    "report_neurovault_ids",
]

_AUDITORY, _MOTOR = 32980, 10426
"""The images that two functions of nilearn's fetch (its documentation, 0.10.3)."""


def fetch_neurovault_ids(  # noqa: PLR0917 - the order of the user's page
    collection_ids: object = (),
    image_ids: object = (),
    mode: Mode = "download_new",
    data_dir: str | os.PathLike[str] | None = None,
    fetch_neurosynth_words: bool = False,
    vectorize_words: bool = True,
    verbose: int = 3,
    *,
    resample: bool = False,
    interpolation: str = "continuous",
    timeout: float = TIMEOUT,
    on_error: OnError = "warn",
    connections: int | None = None,
    max_failures: int | None = MAX_FAILURES,
    progress: str | bool | Callable[[Event], None] | None = None,
    rules: RetryRules | None = None,
    patience: float | None = None,
    executor: object = None,
    workers: int | None = None,
    client: object = None,
) -> NeurovaultBunch:
    """Fetch specific collections and images of NeuroVault.

    What is on the disk already is not fetched again. The cache has nilearn's layout, and both
    programs may use it side by side.

    Parameters
    ----------
    collection_ids : ids
        Whole collections.
    image_ids : ids
        Single images; the records of their collections come too. Ids of both kinds are ints of
        any sort, text of digits, arrays, ranges, sets, generators, or one id alone.
    mode : {"download_new", "overwrite", "offline"}
        "download_new": fetch what is not here, whatever its date; a collection of which only a
        part is here is completed. "overwrite": fetch everything again. "offline": use only what is
        here; no request is made and nothing is written.
    data_dir : path-like, optional
        Holds the folder ``neurovault``. By default ``NILEARN_SHARED_DATA``, ``NILEARN_DATA`` or
        ``~/nilearn_data``.
    fetch_neurosynth_words, vectorize_words : bool
        Fetch the words that Neurosynth gives for each image, and make a matrix of them.
    verbose : int
        0: show nothing. Otherwise progress is shown on stderr.
    resample : bool
        Keep the volumes resampled to voxels of 3 mm instead of the originals; needs
        ``neurofetch[resample]``.
    interpolation : {"continuous", "linear", "nearest"}
        How to resample.
    timeout : float
        Seconds without a response, or without a byte of it, after which a request is made again.
    on_error : {"warn", "raise"}
        Whether what could not be fetched is named in a warning or in an `IncompleteError`.
        Everything else is fetched first.
    connections : int, optional
        Requests at once: by default what ``NEUROFETCH_NEUROVAULT_CONNECTIONS`` says, or 4.
    max_failures : int or None
        Stop early when so many images in a row could not be fetched.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress; by default as `verbose` says. A callable gets every event.
    rules : RetryRules, optional
        How often a request is made again, and after how long.
    patience : float, optional
        Seconds to wait for a network that is away, before the call ends: by default what
        ``NEUROFETCH_PATIENCE`` says, or 15 minutes. 0 for no wait, ``math.inf`` for ever.
    executor : object with ``submit``, optional
        Fetch the volumes in many tasks that it runs, in other threads, processes or machines (see
        `neurofetch.get`). `connections` is then the number of all tasks together, so no more of
        them run at once.
    workers : int, optional
        Tasks at once, at most; by default as many as `executor` says that it runs, else 8.
    client : distributed.Client, optional
        Of a Dask cluster, in place of `executor`, as of `neurofetch.get`.

    Returns
    -------
    NeurovaultBunch
        A `sklearn.utils.Bunch` with ``images`` (paths), ``images_meta`` and ``collections_meta``
        (one record an image), ``description``, and ``report``: what happened to each image, and
        what could not be fetched. First come the images of the collections, in the order asked,
        then the single images; each image once. With words, also ``vocabulary`` and
        ``word_frequencies`` of shape (n_images, n_words), both None when Neurosynth gave none.

    Raises
    ------
    UsageError
        When an argument makes no sense; nothing was fetched.
    IncompleteError
        With ``on_error="raise"``, at the end. Where NeuroVault answered no request, it is an
        `UnreachableError` too.
    DestinationError
        When the cache cannot be written; `DiskFullError` when the volumes do not fit.

    Warns
    -----
    UserWarning
        At most once for what could not be fetched: it names everything by id and cause. Once when
        the cache cannot be written.
    """
    settings = Settings.of(locals())
    call = begin(settings, data_dir)
    return finish(call, run_ids(call, collection_ids, image_ids))


def fetch_neurovault(  # noqa: PLR0917 - the order of the user's page
    max_images: int | None = 100,
    collection_terms: Mapping[str, object] | None = None,
    collection_filter: Filter = empty_filter,
    image_terms: Mapping[str, object] | None = None,
    image_filter: Filter = empty_filter,
    mode: Mode = "download_new",
    data_dir: str | os.PathLike[str] | None = None,
    fetch_neurosynth_words: bool = False,
    vectorize_words: bool = True,
    verbose: int = 3,
    *,
    resample: bool = False,
    interpolation: str = "continuous",
    timeout: float = TIMEOUT,
    on_error: OnError = "warn",
    connections: int | None = None,
    max_failures: int | None = MAX_FAILURES,
    progress: str | bool | Callable[[Event], None] | None = None,
    rules: RetryRules | None = None,
    patience: float | None = None,
    executor: object = None,
    workers: int | None = None,
    client: object = None,
    **kwarg_image_filters: object,
) -> NeurovaultBunch:
    """Fetch images of NeuroVault whose metadata, and whose collection's, pass filters.

    Images that are here and pass come first. Then the server is asked, collection by collection,
    until there are enough. Every filter is checked on your machine: the server ignores most.

    Parameters
    ----------
    max_images : int or None
        At most so many. None, or a negative number: all that pass.
    collection_terms, image_terms : mapping, optional
        Fields and the values that they must have: plain values, or special ones such as
        ``NotNull()`` and ``IsIn("Z map", "T map")``. By default `basic_collection_terms` and
        `basic_image_terms`. An empty mapping lets everything pass.
    collection_filter, image_filter : callable
        Called with each record; what it returns says whether the record passes.
    **kwarg_image_filters : object
        More image terms, such as ``map_type="Z map"``. With ``collection_id=35``, the server is
        asked for that collection only.
    mode, data_dir, fetch_neurosynth_words, vectorize_words, verbose
        As for `fetch_neurovault_ids`.
    resample, interpolation, timeout, on_error, connections, max_failures, progress, rules, patience
    executor, workers, client
        As for `fetch_neurovault_ids`.

    Returns
    -------
    NeurovaultBunch
        As from `fetch_neurovault_ids`. First come the images that were here, by collection and id.

    Raises
    ------
    UsageError, IncompleteError, DestinationError
        As `fetch_neurovault_ids`. A term that no record can fulfil is a UsageError before any
        request: a misspelt field (`UnknownValueError`), a value of another type, a list where there
        is one value. So is, with the id of the record, an error that a filter of yours raises.
    NothingMatchedError
        With ``on_error="raise"``, when no image passes.

    Warns
    -----
    UserWarning
        As `fetch_neurovault_ids`.
        When a function is given as a filter and the default terms still apply.
    SelectionWarning
        When no image passes; it names the fields that no record has, and the terms that none
        fulfils, with the nearest names and values. Before any request, when a term leaves nothing
        out.
    """
    settings = Settings.of(locals())
    filters = _filters(locals())
    call = begin(settings, data_dir)
    found = run_filters(call, filters)
    if not found and not call.problems and filters.max_images != 0:
        if settings.on_error == "raise":
            raise NothingMatchedError(filters.why_nothing())
        warnings.warn(filters.why_nothing(), SelectionWarning, stacklevel=2)
    return finish(call, found)


def _filters(arguments: Mapping[str, Any]) -> Filters:
    """Return the filters among the arguments of `fetch_neurovault`, checked and told about.

    Raises
    ------
    UsageError
        When one is not of its type, or can let nothing pass.
    """
    terms: dict[str, dict[str, object]] = {}
    basic = {"image": basic_image_terms(), "collection": basic_collection_terms()}
    for kind, usual in basic.items():
        given, function = arguments[f"{kind}_terms"], arguments[f"{kind}_filter"]
        if given is not None and not isinstance(given, Mapping):
            raise UsageError(
                f"{kind}_terms must be a dict of fields and values, not {given!r}. A function, or "
                f"a ResultFilter, is {kind}_filter. Nothing was fetched."
            )
        if not callable(function):
            raise UsageError(
                f"{kind}_filter must be a function of a record, not {function!r}. Fields and "
                f"values are {kind}_terms. Nothing was fetched."
            )
        terms[kind] = dict(usual if given is None else given)
        if function is not empty_filter and terms[kind] == usual:
            warnings.warn(
                f"{kind}_filter is given, and the default {kind}_terms still apply: {usual!r}. To "
                f"filter by your function alone, pass {kind}_terms={{}}.",
                UserWarning,
                stacklevel=3,
            )
    terms["image"] |= arguments["kwarg_image_filters"]
    terms = {kind: with_numbers(some) for kind, some in terms.items()}
    both = {kind: terms_of(terms[kind], arguments[f"{kind}_filter"]) for kind in terms}
    own = set(arguments) - {"kwarg_image_filters", "settings"}
    if notes := check_terms(both["image"], both["collection"], own):
        warnings.warn("\n".join(notes), SelectionWarning, stacklevel=3)
    return Filters.of(
        arguments["max_images"],
        terms["collection"],
        arguments["collection_filter"],
        terms["image"],
        arguments["image_filter"],
    )


def fetch_neurovault_auditory_computation_task(
    data_dir: str | os.PathLike[str] | None = None, verbose: int = 1, timeout: float = TIMEOUT
) -> NeurovaultBunch:
    """Fetch image 32980: mental subtraction upon auditory instructions, against baseline.

    Parameters
    ----------
    data_dir, verbose, timeout
        As for `fetch_neurovault_ids`.

    Returns
    -------
    NeurovaultBunch
        With one image, https://neurovault.org/images/32980/.
    """
    call = begin(Settings.of(locals()), data_dir)
    return finish(call, run_ids(call, (), (_AUDITORY,)))


def fetch_neurovault_motor_task(
    data_dir: str | os.PathLike[str] | None = None, verbose: int = 1, timeout: float = TIMEOUT
) -> NeurovaultBunch:
    """Fetch image 10426: a group's map of left against right button presses.

    nilearn had this function up to 0.13.

    Parameters
    ----------
    data_dir, verbose, timeout
        As for `fetch_neurovault_ids`.

    Returns
    -------
    NeurovaultBunch
        With one image, https://neurovault.org/images/10426/.
    """
    call = begin(Settings.of(locals()), data_dir)
    return finish(call, run_ids(call, (), (_MOTOR,)))


def plan_neurovault_ids(
    collection_ids: object = (),
    image_ids: object = (),
    mode: Mode = "download_new",
    data_dir: str | os.PathLike[str] | None = None,
    *,
    resample: bool = False,
    timeout: float = TIMEOUT,
    connections: int | None = None,
    rules: RetryRules | None = None,
    patience: float | None = None,
) -> Plan:
    """Say what `fetch_neurovault_ids` would do with each image, and why; fetch nothing.

    Parameters
    ----------
    collection_ids, image_ids, mode, data_dir, resample, timeout, connections, rules, patience
        As for `fetch_neurovault_ids`.

    Returns
    -------
    Plan
        Its notes name what the server does not have. The sizes are those in the records.

    Raises
    ------
    UsageError
        When an argument makes no sense.
    UnreachableError
        When the server is needed and answers no request.
    """
    call = begin(Settings.of(locals()), data_dir)
    return plan_ids(call, collection_ids, image_ids)


def report_neurovault_ids(
    collection_ids: object,
    image_ids: object,
    settings: Settings,
    data_dir: str | os.PathLike[str] | None = None,
) -> Report:
    """Fetch as `fetch_neurovault_ids` does; return the report alone, without scikit-learn.

    Parameters
    ----------
    collection_ids, image_ids, data_dir
        As for `fetch_neurovault_ids`.
    settings : Settings
    """
    call = begin(settings, data_dir)
    report = call.report(run_ids(call, collection_ids, image_ids))
    raise_or_warn(call, report, stacklevel=2)
    return report
