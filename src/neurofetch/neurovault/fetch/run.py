"""One call from its arguments to its result: the steps that all fetch functions share."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofetch._threads import start
from neurofetch.errors import DestinationError
from neurofetch.extras import need
from neurofetch.neurovault.cache.layout import STATE, Cache, find_root
from neurofetch.neurovault.cache.volume_check import load_readers
from neurofetch.neurovault.fetch.bunch import bunch_of, raise_or_warn
from neurofetch.neurovault.fetch.by_filter import ByFilter, Filters
from neurofetch.neurovault.fetch.by_ids import ByIds
from neurofetch.neurovault.fetch.call import Call
from neurofetch.neurovault.fetch.private import Private
from neurofetch.neurovault.fetch.resample import check_resampling
from neurofetch.transfer.tidy import tidy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from neurofetch.model import Plan
    from neurofetch.neurovault.fetch.result import NeurovaultBunch
    from neurofetch.neurovault.fetch.volumes import WantedImage
    from neurofetch.neurovault.server.api import Connections
    from neurofetch.neurovault.settings import Settings

__all__ = ["begin", "connect", "finish", "plan_ids", "run_filters", "run_ids"]

_TO_USER = 3
"""Functions between a warning and the user's line: for its `stacklevel`."""


def begin(settings: Settings, data_dir: str | os.PathLike[str] | None) -> Call:
    """Find the cache and begin a call; where the cache cannot be written, work offline.

    Raises
    ------
    MissingExtraError
        When a library is not installed that this call needs.

    Warns
    -----
    UserWarning
        When the cache cannot be written.
    """
    if settings.resample:
        check_resampling()
    if settings.fetch_neurosynth_words and settings.vectorize_words:
        need("vectorize_words=True", "neurovault", "numpy")
    root = find_root(data_dir)
    if not settings.offline and not _writable(root):
        warnings.warn(
            f"{root} cannot be written to: working offline, with what is there.",
            UserWarning,
            stacklevel=_TO_USER,
        )
        settings = replace(settings, mode="offline")
    return Call(Cache(root), settings)


def _writable(root: Path) -> bool:
    if root.exists() and not root.is_dir():
        raise DestinationError(f"{root} is a file, where the cache's folder should be.")
    folders = [folder for folder in (root, root / STATE) if folder.exists()]
    return all(os.access(folder, os.W_OK | os.X_OK) for folder in folders)


def _by_ids(call: Call, collection_ids: object, image_ids: object) -> tuple[ByIds, Private]:
    """Return what is asked for, by number: letters are looked up in the cache or on the server."""
    private = Private(collection_ids, image_ids)
    private.look_in_cache(call)
    if private.tokens and call.settings.offline:
        call.problems += private.not_here()
    elif private.tokens:
        with connect(call.settings) as connections:
            call.problems += private.ask(connections.neurovault)
            call.was_away = connections.neurovault.away
    return ByIds(call, private.collection_ids, private.image_ids), private


def plan_ids(call: Call, collection_ids: object, image_ids: object) -> Plan:
    """Check what is here and ask the server; return what `run_ids` would fetch.

    Raises
    ------
    UnreachableError
        When the server answers no request.
    """
    (wanted, private), settings = _by_ids(call, collection_ids, image_ids), call.settings
    images: list[WantedImage] = []
    if not settings.overwrite:
        wanted.check_cache()
    if settings.offline:
        wanted.note_missing()
    elif wanted.incomplete:
        with _connected(call, private):
            images = wanted.ask_server()
    if call.away is not None:
        raise call.away
    return call.plan(images, wanted.order(every=True))


def run_ids(call: Call, collection_ids: object, image_ids: object) -> list[int]:
    """Check what is here, ask the server, fetch.

    Returns
    -------
    list of int
        The ids of the images that are here now, in the caller's order.
    """
    (wanted, private), settings = _by_ids(call, collection_ids, image_ids), call.settings
    if not settings.overwrite:
        wanted.check_cache()
    if settings.offline:
        wanted.note_missing()
    elif wanted.incomplete or _words_missing(call):
        with _connected(call, private):
            if wanted.incomplete:
                wanted.fetch(wanted.ask_server())
            _fetch_words(call, wanted.order())
    tidy(call.cache.root / STATE)
    return wanted.order()


def run_filters(call: Call, filters: Filters) -> list[int]:
    """Check what is here, ask the server, fetch.

    Returns
    -------
    list of int
        The ids of the images that are here now and pass the filters.
    """
    wanted, settings = ByFilter(call, filters), call.settings
    if not settings.overwrite:
        wanted.check_cache()
    if settings.offline:
        wanted.note_missing()
    elif wanted.lacking != 0 or _words_missing(call):
        with connect(settings) as call.connections:
            if wanted.lacking != 0:
                wanted.fetch()
            _fetch_words(call, list(wanted.found))
    tidy(call.cache.root / STATE)
    return list(wanted.found)


@contextmanager
def _connected(call: Call, private: Private) -> Iterator[None]:
    """Connect a call to the servers; what is private is asked for by its letters."""
    with connect(call.settings) as call.connections:
        private.tell(call.connections.neurovault)
        yield


def connect(settings: Settings) -> Connections:
    """Return the connections of a call, to be used in a ``with`` statement.

    What reads volumes is loaded meanwhile: the first answer takes longer.
    """
    from neurofetch.neurovault.server.api import Connections  # noqa: PLC0415 - not needed offline

    start(load_readers, 1, "neurofetch-warm-up")
    return Connections(settings)


def _words_missing(call: Call) -> bool:
    from neurofetch.neurovault.fetch.neurosynth import read_words  # noqa: PLC0415

    paths = (call.cache.words(image.collection_id, n) for n, image in call.here.items())
    return call.settings.fetch_neurosynth_words and any(read_words(path) is None for path in paths)


def _fetch_words(call: Call, order: Sequence[int]) -> None:
    """Fetch the words of these images; what Neurosynth did not give is named at the end."""
    from neurofetch.neurovault.fetch.neurosynth import fetch_words, words_message  # noqa: PLC0415

    if not call.settings.fetch_neurosynth_words or call.connections is None:
        return
    collection_of = {number: call.here[number].collection_id for number in order}
    server, again = call.connections.neurosynth, call.settings.overwrite
    problems = fetch_words(server, call.cache, collection_of, overwrite=again)
    if problems:
        call.words_problem = words_message(problems, order)


def finish(call: Call, order: Sequence[int]) -> NeurovaultBunch:
    """Say what could not be fetched, and return the images that are here."""
    report = call.report(order)
    _note_bad_weights(call, order)
    raise_or_warn(call, report, stacklevel=_TO_USER)
    return bunch_of(call, order, report)


def _note_bad_weights(call: Call, order: Sequence[int]) -> None:
    """Note the words that the matrix will not have, since their weights are no numbers."""
    from neurofetch.neurovault.fetch.neurosynth import left_out, left_out_message  # noqa: PLC0415

    if call.settings.fetch_neurosynth_words and call.settings.vectorize_words:
        words = left_out({n: call.cache.words(call.here[n].collection_id, n) for n in order})
        call.words_problem += "\n" * bool(call.words_problem and words)
        call.words_problem += left_out_message(words) if words else ""
