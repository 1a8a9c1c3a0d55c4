"""Make the result of a call, and say what could not be fetched."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from neurofetch.model import IncompleteError
from neurofetch.neurovault.fetch.neurosynth import read_words, vectorize
from neurofetch.neurovault.problems import UnansweredError, message, unanswered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurofetch.model import Report
    from neurofetch.neurovault.fetch.call import Call
    from neurofetch.neurovault.fetch.result import NeurovaultBunch
    from neurofetch.neurovault.records import LocalCollectionRecord

__all__ = ["DESCRIPTION", "bunch_of", "raise_or_warn"]

DESCRIPTION = """\
NeuroVault

Statistical maps, atlases and parcellations of the human brain that their authors share on
https://neurovault.org, each with metadata; word weights by https://neurosynth.org.

References: Gorgolewski et al. (2015), NeuroVault.org: a web-based repository for collecting and
sharing unthresholded statistical maps of the human brain, Front. Neuroinform. 9:8,
doi:10.3389/fninf.2015.00008. Yarkoni et al. (2011), Large-scale automated synthesis of human
functional neuroimaging data, Nature Methods 8:665-670. Please cite the papers of the collections
whose maps you use: collections_meta holds their DOIs.
"""


def bunch_of(call: Call, order: Sequence[int], report: Report) -> NeurovaultBunch:
    """Return the images with these ids, which are all here, with their metadata."""
    from neurofetch.neurovault.fetch.result import NeurovaultBunch  # noqa: PLC0415 - heavy

    settings, cache = call.settings, call.cache
    images = [call.here[number] for number in order]
    metas = [cache.with_paths(image.record, image.collection_id) for image in images]
    result = NeurovaultBunch()
    result.images = [
        meta["resampled_absolute_path"] if settings.resample else meta["absolute_path"]
        for meta in metas
    ]
    result.images_meta = metas
    result.collections_meta = [_collection(call, image.collection_id) for image in images]
    result.description = DESCRIPTION
    result.report = report
    if settings.fetch_neurosynth_words and settings.vectorize_words:
        paths = [cache.words(image.collection_id, image.record["id"]) for image in images]
        words = [read_words(path) for path in paths]
        result.word_frequencies, result.vocabulary = vectorize(words)
    return result


def _collection(call: Call, number: int) -> LocalCollectionRecord:
    record = call.collection(number)
    return cast("LocalCollectionRecord", {"id": number}) if record is None else record.copy()


def raise_or_warn(call: Call, report: Report, stacklevel: int) -> None:
    """Name what could not be fetched, in one error or one warning.

    Raises
    ------
    IncompleteError
        With ``on_error="raise"``; an `UnansweredError` where no request was answered.
    """
    texts = [*call.notes]
    away = call.away
    if away is not None and call.problems:
        texts.insert(0, unanswered(away))
    if call.problems:
        texts.append(message(call.problems, call.settings.offline))
    if call.words_problem:
        texts.append(call.words_problem)
    if call.problems and call.settings.on_error == "raise":
        kind = IncompleteError if away is None else UnansweredError
        raise kind("\n".join(texts), report)
    if texts:
        warnings.warn("\n".join(texts), UserWarning, stacklevel=stacklevel + 1)
