"""What the fetch functions return, as a type of its own.

Where scikit-learn is installed, the type is a kind of its `Bunch`, which scripts for nilearn may
ask for. It is loaded here, which takes a while: import this module where a result is made.
"""

from __future__ import annotations

from copy import deepcopy
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

        def __dir__(self) -> list[str]:
            return list(self)


__all__ = ["NeurovaultBunch"]


class NeurovaultBunch(Bunch):
    """Images with their metadata: a dict whose items are attributes too.

    Where scikit-learn is installed, it is a `sklearn.utils.Bunch`, as nilearn's result is.

    Everything but the report is there as an attribute and under a key: ``result.images`` is
    ``result["images"]``. Equal calls give equal results, whose pickle and `joblib.hash` are the
    same; without words, they can be written as JSON.

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
        What happened to each image, and what could not be fetched. It is no item: it tells of this
        call, takes no part in comparisons, and is not in a pickle (then it is an AttributeError).
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

    __hash__ = None  # it can be changed, as every dict

    if not TYPE_CHECKING:  # a checker knows the names above, and that there are no others

        def __setattr__(self, name, value):
            if name == "report":  # beside the items, which compare, hash and pickle
                object.__setattr__(self, name, value)
            else:
                self[name] = value

        def __getattr__(self, name):
            try:
                return self[name]
            except KeyError as error:
                why = ": it tells of one call, and is not in a pickle" if name == "report" else ""
                raise AttributeError(f"{name}{why}") from error

    def _repr_html_(self) -> str | None:
        from neurofetch.display.page import safely  # noqa: PLC0415 - for notebooks alone
        from neurofetch.neurovault.fetch.view import page_of  # noqa: PLC0415

        return safely(lambda: page_of(self, vars(self).get("report")))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and _same(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (), None, None, iter(self.items())

    def __copy__(self) -> NeurovaultBunch:
        return _filled(self, self)

    def __deepcopy__(self, memo: dict[int, Any]) -> NeurovaultBunch:
        return _filled(self, deepcopy(dict(self), memo))


def _filled(source: NeurovaultBunch, items: dict[str, Any]) -> NeurovaultBunch:
    """Return a result with these items and the report of its source, which is never changed."""
    made = type(source)()
    made.update(items)
    if "report" in vars(source):
        made.report = source.report
    return made


def _same(one: object, two: object) -> bool:
    """Whether two values are the same: arrays element by element, and NaN as what it is."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    if hasattr(one, "__array__") or hasattr(two, "__array__"):
        import numpy as np  # noqa: PLC0415 - only words are arrays

        return np.array_equal(one, two)  # type: ignore[arg-type]
    return bool(one == two) or (one != one and two != two)  # noqa: PLR0124 - NaN
