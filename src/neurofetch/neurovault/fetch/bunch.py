"""The result, in the form that nilearn's scripts expect."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from neurofetch.model import IncompleteError
from neurofetch.neurovault.fetch.neurosynth import read_words, vectorize
from neurofetch.neurovault.problems import message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurofetch.model import Report
    from neurofetch.neurovault.fetch.call import Errand
    from neurofetch.neurovault.fetch.result import NeurovaultBunch
    from neurofetch.neurovault.records import LocalCollectionRecord

__all__ = ["DESCRIPTION", "bunch_of", "say"]

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


def bunch_of(errand: Errand, order: Sequence[int], report: Report) -> NeurovaultBunch:
    """Return the images that are there, in this order, with their metadata."""
    from neurofetch.neurovault.fetch.result import NeurovaultBunch  # noqa: PLC0415 - heavy

    settings, cache = errand.settings, errand.cache
    held = [errand.held[number] for number in order]
    metas = [cache.with_paths(h.record, h.collection_id) for h in held]
    result = NeurovaultBunch()
    result.images = [
        meta["resampled_absolute_path"] if settings.resample else meta["absolute_path"]
        for meta in metas
    ]
    result.images_meta = metas
    result.collections_meta = [_collection(errand, h.collection_id) for h in held]
    result.description = DESCRIPTION
    result.report = report
    if settings.fetch_neurosynth_words and settings.vectorize_words:
        paths = [cache.words(h.collection_id, h.record["id"]) for h in held]
        words = [read_words(path) for path in paths]
        result.word_frequencies, result.vocabulary = vectorize(words)
    return result


def _collection(errand: Errand, number: int) -> LocalCollectionRecord:
    record = errand.collection(number)
    return cast("LocalCollectionRecord", {"id": number}) if record is None else record.copy()


def say(errand: Errand, report: Report, stacklevel: int) -> None:
    """Name what could not be had: raise it, or warn of it once.

    Raises
    ------
    IncompleteError
        With ``on_error="raise"``.
    """
    texts = [*errand.notes]
    if errand.problems:
        texts.append(message(errand.problems, errand.settings.offline))
    if errand.words_lost:
        texts.append(errand.words_lost)
    if errand.problems and errand.settings.on_error == "raise":
        raise IncompleteError("\n".join(texts), report)
    if texts:
        warnings.warn("\n".join(texts), UserWarning, stacklevel=stacklevel + 1)
