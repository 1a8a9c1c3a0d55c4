"""What every call does, from the arguments to the result."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch.errors import DestinationError
from neurofetch.neurovault.cache.collection_lists import STATE
from neurofetch.neurovault.cache.layout import Cache, find_root
from neurofetch.neurovault.fetch.bunch import bunch_of, say
from neurofetch.neurovault.fetch.by_filter import ByFilter, Filters
from neurofetch.neurovault.fetch.by_ids import ByIds
from neurofetch.neurovault.fetch.call import Errand
from neurofetch.neurovault.fetch.resample import check_resampling
from neurofetch.neurovault.records import normal_ids

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from neurofetch.neurovault.fetch.result import NeurovaultBunch
    from neurofetch.neurovault.server.api import Session
    from neurofetch.neurovault.settings import Settings

__all__ = ["begun", "by_ids", "finished", "run_filters", "run_ids", "session"]

_TO_USER = 3
"""Calls between a warning and the user's line."""


def begun(settings: Settings, data_dir: str | os.PathLike[str] | None) -> Errand:
    """Find the cache; where it cannot be written, work offline and say so."""
    if settings.resample:
        check_resampling()
    root = find_root(data_dir)
    if not settings.offline and not _writable(root):
        warnings.warn(
            f"{root} cannot be written to: working offline, with what is there.",
            UserWarning,
            stacklevel=_TO_USER,
        )
        settings = replace(settings, mode="offline")
    return Errand(Cache(root), settings)


def _writable(root: Path) -> bool:
    if root.exists() and not root.is_dir():
        raise DestinationError(f"{root} is a file, where the cache's folder should be.")
    there = [folder for folder in (root, root / STATE) if folder.exists()]
    return all(os.access(folder, os.W_OK | os.X_OK) for folder in there)


def by_ids(errand: Errand, collection_ids: object, image_ids: object) -> ByIds:
    """Return what is asked for by ids.

    Raises
    ------
    UsageError
        When something is no id.
    """
    return ByIds(
        errand, normal_ids(collection_ids, "collection_ids"), normal_ids(image_ids, "image_ids")
    )


def run_ids(errand: Errand, collection_ids: object, image_ids: object) -> list[int]:
    """Look, ask, fetch; return the ids of the images that are there, in the caller's order."""
    wanted, settings = by_ids(errand, collection_ids, image_ids), errand.settings
    if not settings.overwrite:
        wanted.look()
    if settings.offline:
        wanted.name_missing()
    elif wanted.anything_open or _words_missing(errand):
        with session(settings) as errand.session:
            if wanted.anything_open:
                wanted.fetch(wanted.ask())
            _fetch_words(errand, wanted.order())
    return wanted.order()


def run_filters(errand: Errand, filters: Filters) -> list[int]:
    """Look, ask, fetch; return the ids of the images that are there and pass."""
    wanted, settings = ByFilter(errand, filters), errand.settings
    if not settings.overwrite:
        wanted.look()
    if settings.offline:
        wanted.name_missing()
    elif wanted.lacking != 0 or _words_missing(errand):
        with session(settings) as errand.session:
            if wanted.lacking != 0:
                wanted.fetch()
            _fetch_words(errand, list(wanted.found))
    return list(wanted.found)


def session(settings: Settings) -> Session:
    """Open the connections of a call."""
    from neurofetch.neurovault.server.api import Session  # noqa: PLC0415 - offline needs no network

    return Session(settings)


def _words_missing(errand: Errand) -> bool:
    from neurofetch.neurovault.fetch.neurosynth import read_words  # noqa: PLC0415

    paths = (errand.cache.words(h.collection_id, n) for n, h in errand.held.items())
    return errand.settings.fetch_neurosynth_words and any(
        read_words(path) is None for path in paths
    )


def _fetch_words(errand: Errand, order: Sequence[int]) -> None:
    """Fetch the words of these images; what Neurosynth did not give is named at the end."""
    from neurofetch.neurovault.fetch.neurosynth import fetch_words, words_message  # noqa: PLC0415

    if not errand.settings.fetch_neurosynth_words or errand.session is None:
        return
    places = {number: errand.held[number].collection_id for number in order}
    server, again = errand.session.neurosynth, errand.settings.overwrite
    problems = fetch_words(server, errand.cache, places, overwrite=again)
    if problems:
        errand.words_lost = words_message(problems, order)


def finished(errand: Errand, order: Sequence[int]) -> NeurovaultBunch:
    """Say what is missing, and return the rest as a Bunch."""
    report = errand.report(order)
    say(errand, report, stacklevel=_TO_USER)
    return bunch_of(errand, order, report)
