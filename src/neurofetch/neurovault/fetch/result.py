"""What the fetch functions return, as a type of its own.

Where scikit-learn is installed, the type is a kind of its `Bunch`, which scripts for nilearn may
ask for. It is loaded here, which takes a while: import this module where a result is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurofetch.extras import is_installed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from neurofetch.model import Report
    from neurofetch.neurovault.records import LocalCollectionRecord, LocalImageRecord

    # scikit-learn has no types. To a type checker the base is what it is: a dict with text keys.
    Bunch = dict[str, Any]
elif is_installed("sklearn"):
    from sklearn.utils import Bunch
else:

    class Bunch(dict):
        """A dict whose items are attributes too, as scikit-learn's is."""

        def __getattr__(self, name: str) -> Any:
            try:
                return self[name]
            except KeyError as error:
                raise AttributeError(name) from error

        def __setattr__(self, name: str, value: object) -> None:
            self[name] = value

        def __dir__(self) -> list[str]:
            return list(self)

        def __setstate__(self, state: object) -> None:
            """Take nothing but the items from a pickle, as scikit-learn's does."""


__all__ = ["NeurovaultBunch"]


class NeurovaultBunch(Bunch):
    """Images with their metadata: a dict whose items are attributes too.

    Where scikit-learn is installed, it is a `sklearn.utils.Bunch`, as nilearn's result is.

    Everything is there as an attribute and under a key: ``result.images`` is ``result["images"]``.

    Attributes
    ----------
    images : list of str
        Paths of the volumes; with ``resample=True``, of the resampled ones.
    images_meta : list of LocalImageRecord
        One record for each image, in the same order.
    collections_meta : list of LocalCollectionRecord
        The record of each image's collection, in the same order: as many as there are images.
        It holds the ``id`` alone where the collection's record could not be fetched or read.
    description : str
        What NeuroVault is, and what to cite.
    report : Report
        What happened to each image, and what could not be fetched.
    vocabulary : ndarray of str, shape (n_words,), or None
        Neurosynth's words, sorted; None when Neurosynth gave none. Only there when words were
        asked for and ``vectorize_words`` is true, as is the next.
    word_frequencies : ndarray of float64, shape (n_images, n_words), or None
        The weight of each word for each image.
    """

    images: list[str]
    images_meta: list[LocalImageRecord]
    collections_meta: list[LocalCollectionRecord]
    description: str
    report: Report
    vocabulary: npt.NDArray[np.str_] | None
    word_frequencies: npt.NDArray[np.float64] | None
