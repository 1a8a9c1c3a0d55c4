"""The owners' divisions of the pictures into train and test.

A *pool* is a set of pictures: those that all subjects saw (``"shared"``), those of one subject
(``"sub-01"``, …), or all (``"pooled"``). A *split* divides a pool: ``random_0`` to ``random_4``,
``cluster_k5_0`` to ``cluster_k5_4``, ``tau``, and ``ood``, whose test pictures are out of
distribution. Names of pictures are the ``label`` of trial tables.

The lists are fetched from the owners' repository when they are first asked for, checked, and kept
in the data directory. Under the names ``random_*`` there were three generations of lists with
different members: see `load_split`.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from laion_fmri.splits.source import COMMITS, NEWEST, Wanted, fetch, load
from neurofetch.extras import need

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Split",
    "SplitVariant",
    "TrainTest",
    "download_splits",
    "get_split_masks",
    "get_train_test_ids",
    "list_ood_types",
    "list_pools",
    "list_splits",
    "load_all_splits",
    "load_split",
]

T = TypeVar("T")

_SUBJECTS = ("sub-01", "sub-03", "sub-05", "sub-06", "sub-07")
_POOLED = "pooled"
_RANDOM = tuple(f"random_{k}" for k in range(5))
_CLUSTERS = tuple(f"cluster_k5_{k}" for k in range(5))
_OOD_TYPES = (
    "cropped",
    "gabor",
    "gaudy",
    "illusion-classic",
    "illusion-natural",
    "relations",
    "selfmade",
    "shape",
    "unusual",
)
_OOD_NAME = re.compile(r"shared_[0-9]+rep_OOD_([A-Za-z0-9-]+)_.+")


@dataclass
class SplitVariant:
    """Train and test of one variant of a split.

    Parameters
    ----------
    variant_id : int
    train_ids : list of str
        Names of pictures.
    test_ids : list of str
    """

    variant_id: int
    train_ids: list[str] = field(repr=False)
    test_ids: list[str] = field(repr=False)

    def all_ids(self) -> list[str]:
        """Return train, and then test.

        Returns
        -------
        list of str
            Names of pictures.
        """
        return [*self.train_ids, *self.test_ids]


@dataclass
class Split:
    """A split of a pool.

    Parameters
    ----------
    name : str
        Such as ``"tau"``.
    pool : str
        The pool that was asked for.
    splitter : str
        What made it, as the owners' file says.
    params : dict
        How, as the owners' file says; of ``random_*`` also the ``generation``.
    n_train : int
    n_test : int
    variants : list of SplitVariant
    version : str
        The generation, and the commit of the owners' repository: ``"v2@cf82765"``. Report it with
        your results.
    """

    name: str
    pool: str
    splitter: str
    params: dict[str, Any] = field(repr=False)
    n_train: int
    n_test: int
    variants: list[SplitVariant] = field(default_factory=list, repr=False)
    version: str = ""

    @property
    def split_family(self) -> str:
        """What kind of split it is: ``random``, ``cluster_k5``, ``tau`` or ``ood``."""
        return re.sub(r"_[0-9]+$", "", self.name)


class TrainTest(tuple[T, T]):
    """What goes with train, and what goes with test: unpack it.

    Parameters
    ----------
    train, test
    name : str
        Of the split.
    pool : str
    version : str
        Of the lists, as `Split.version`.
    """

    name: str
    pool: str
    version: str

    def __new__(  # noqa: D102 - described above
        cls, train: T, test: T, name: str = "", pool: str = "", version: str = ""
    ) -> TrainTest[T]:
        made = super().__new__(cls, (train, test))
        made.name, made.pool, made.version = name, pool, version
        return made

    def __getnewargs__(self) -> tuple[T, T, str, str, str]:
        return (self[0], self[1], self.name, self.pool, self.version)

    def __repr__(self) -> str:
        return (
            f"<{self.name} of {self.pool}, {self.version}: "
            f"train of {len(self[0])}, test of {len(self[1])}>"  # type: ignore[arg-type]
        )


def list_pools() -> list[str]:
    """Return the names of the pools.

    Returns
    -------
    list of str
        ``"shared"``, each subject, and ``"pooled"``.

    Examples
    --------
    >>> list_pools()
    ['shared', 'sub-01', 'sub-03', 'sub-05', 'sub-06', 'sub-07', 'pooled']
    """
    return ["shared", *_SUBJECTS, _POOLED]


def list_splits(pool: str | None = None) -> list[str]:
    """Return the names of the splits.

    Parameters
    ----------
    pool : str, optional
        Only those of this pool: ``"pooled"`` has fewer.

    Returns
    -------
    list of str
        Names to pass to `load_split` and the like.

    Raises
    ------
    ValueError
        If there is no such pool.

    Examples
    --------
    >>> list_splits("pooled")
    ['tau', 'cluster_k5_0', 'cluster_k5_1', 'cluster_k5_2', 'cluster_k5_3', 'cluster_k5_4']
    """
    if pool is not None:
        _check("pool", pool, list_pools())
    return ["tau", *_CLUSTERS] if pool == _POOLED else [*_RANDOM, *_CLUSTERS, "tau", "ood"]


def list_ood_types() -> list[str]:
    """Return the kinds of pictures that are out of distribution.

    Returns
    -------
    list of str
        Names to pass to `get_train_test_ids` and the like.
    """
    return list(_OOD_TYPES)


def load_split(name: str, pool: str, *, generation: str | None = None) -> Split:
    """Return a split; at first use, its list is fetched.

    Parameters
    ----------
    name : str
        See `list_splits`.
    pool : str
        See `list_pools`.
    generation : {"v2", "v1", "may2026"}, optional
        Which lists of the name ``random_*``: the newest (``"v2"``, the default), those of summer
        2026, or those of May 2026. In v1, and in v2, the five tests divide the pool; v2 moved some
        pictures, so that known duplicates share a fold. Those of May are five independent draws. A
        score for one generation cannot be compared with a score for another. All other splits are
        the same in each.

    Returns
    -------
    Split
        The names of the pictures in train and in test, and the version of the list.

    Raises
    ------
    ValueError
        If there is no such split, pool or generation, or not in this pool; the message lists those
        that there are.
    DataNotDownloadedError
        If the list is not on disk and cannot be fetched (a ``FileNotFoundError``).
    BadDataError
        If what was fetched is another list.
    """
    wanted = _wanted(name, pool, generation)
    content = load(wanted)
    variants = [
        SplitVariant(int(one["variant_id"]), list(one["train_ids"]), list(one["test_ids"]))
        for one in content["variants"]
    ]
    params = dict(content.get("params") or {})
    if wanted.name in _RANDOM:
        params["generation"] = wanted.generation
    return Split(
        name=wanted.name,
        pool=wanted.pool,
        splitter=str(content.get("splitter", "")),
        params=params,
        n_train=len(variants[0].train_ids),
        n_test=len(variants[0].test_ids),
        variants=variants,
        version=f"{wanted.generation}@{wanted.commit[:7]}",
    )


def load_all_splits(pool: str, *, generation: str | None = None) -> dict[str, Split]:
    """Return all splits of a pool by name; those that are not here are fetched together.

    Parameters
    ----------
    pool : str
    generation : {"v2", "v1", "may2026"}, optional
        As in `load_split`.

    Returns
    -------
    dict of str to Split
        The splits, by their names.
    """
    names = list_splits(pool)
    fetch(_wanted(name, pool, generation) for name in names)
    return {name: load_split(name, pool, generation=generation) for name in names}


def download_splits(
    pool: str | Iterable[str] = "all", *, generation: str | None = None
) -> list[Path]:
    """Fetch the lists of one or more pools, for a machine without a network.

    Parameters
    ----------
    pool : str or iterable of str
        ``"all"`` for every pool: about 30 MB.
    generation : {"v2", "v1", "may2026"}, optional
        As in `load_split`.

    Returns
    -------
    list of pathlib.Path
        Where the lists are.
    """
    several = _several("pool", pool)
    pools = list_pools() if several == ["all"] else several
    return fetch(
        _wanted(name, one, None if one == _POOLED else generation)
        for one in pools
        for name in list_splits(one)
    )


def get_train_test_ids(
    name: str,
    pool: str,
    variant_id: int = 0,
    ood_types: str | Iterable[str] | None = None,
    *,
    generation: str | None = None,
) -> TrainTest[list[str]]:
    """Return the names of the pictures in train and in test.

    Parameters
    ----------
    name, pool : str
        As in `load_split`.
    variant_id : int
        All splits have the variant 0 alone.
    ood_types : str or iterable of str, optional
        Of the split ``ood``, keep these kinds of test pictures: see `list_ood_types`.
    generation : {"v2", "v1", "may2026"}, optional
        As in `load_split`.

    Returns
    -------
    TrainTest
        Two lists, in the order of the owners' file; its ``version`` says which lists they are.

    Raises
    ------
    ValueError
        If an argument names what there is not, or `ood_types` is given for another split.
    """
    types = _types(name, ood_types)
    split = load_split(name, pool, generation=generation)
    found = {one.variant_id: one for one in split.variants}
    _check("variant_id", variant_id, list(found))
    train, test = found[variant_id].train_ids, found[variant_id].test_ids
    if types is not None:
        test = [one for one in test if _type_of(one) in types]
    return TrainTest(train, test, split.name, split.pool, split.version)


def get_split_masks(
    trials: Any,
    name: str,
    pool: str,
    variant_id: int = 0,
    ood_types: str | Iterable[str] | None = None,
    *,
    generation: str | None = None,
) -> TrainTest[NDArray[np.bool_]]:
    """Return which trials are in train, and which in test.

    Parameters
    ----------
    trials : pandas.DataFrame, pandas.Series, numpy.ndarray or list
        A table with a column ``label``, or the labels.
    name, pool, variant_id, ood_types, generation
        As in `get_train_test_ids`.

    Returns
    -------
    TrainTest
        Two bool arrays, shape (n_trials,). A trial whose picture is in neither list is False in
        both. The ``version`` says which lists they were.

    Raises
    ------
    ValueError
        As `get_train_test_ids`, and if `trials` is a table without labels.
    """
    need("get_split_masks()", "loader", "numpy")
    import numpy as np

    labels = _labels(trials)
    ids = get_train_test_ids(name, pool, variant_id, ood_types, generation=generation)
    train, test = (
        np.fromiter((one in names for one in labels), dtype=bool, count=len(labels))
        for names in map(frozenset, ids)
    )
    return TrainTest(train, test, ids.name, ids.pool, ids.version)


_LABELS = ("label", "image_name", "stimulus_id")


def _labels(trials: Any) -> list[str | None]:
    columns = getattr(trials, "columns", None)
    if columns is not None:
        name = next((one for one in _LABELS if one in columns), None)
        if name is None:
            raise ValueError(f"the table of trials has no column 'label', but {list(columns)}.")
        trials = trials[name]
    if isinstance(trials, str | bytes | Mapping | Set) or not isinstance(trials, Iterable):
        raise ValueError(  # noqa: TRY004 - as for other trials without labels
            f"trials={reprlib.repr(trials)}: expected a table of trials, or their labels in order."
        )
    return [_label(one) for one in trials]


def _label(value: Any) -> str | None:
    """Return a label as text, as HDF5 files have it in bytes; None for what is not there."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    missing = value is None or str(value) in ("nan", "<NA>", "NaT")
    if not missing:
        raise ValueError(
            f"trials has {reprlib.repr(value)} among the labels: expected names of pictures."
        )
    return None


def _wanted(name: str, pool: str, generation: str | None) -> Wanted:
    _check("pool", pool, list_pools())
    _check("split", name, list_splits())
    if name not in list_splits(pool):
        valid = ", ".join(list_splits(pool))
        raise ValueError(f"the pool {pool!r} has no split {name!r}; it has {valid}.")
    chosen = NEWEST if generation is None else generation
    _check("generation", chosen, list(COMMITS))
    return Wanted(str(pool), str(name), str(chosen))


def _several(what: str, value: object) -> list[Any]:
    """Return what an argument names, which takes one name or several."""
    if isinstance(value, str):
        return [str(value)]
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise ValueError(f"{what}={value!r}: expected a name, or several in a list.")  # noqa: TRY004
    return list(value)


def _check(what: str, value: object, valid: list[Any]) -> None:
    try:
        known = value in frozenset(valid)
    except TypeError:  # a list is none of them
        known = False
    if not known:
        raise ValueError(f"there is no {what} {value!r}. Valid: {', '.join(map(str, valid))}.")


def _types(name: str, ood_types: str | Iterable[str] | None) -> frozenset[str] | None:
    if ood_types is None:
        return None
    types = _several("ood_types", ood_types)
    for one in types:
        _check("type of out-of-distribution picture", one, list_ood_types())
    if name != "ood":
        raise ValueError(f"ood_types is for the split 'ood' alone, not for {name!r}.")
    return frozenset(types)


def _type_of(name: str) -> str | None:
    found = _OOD_NAME.fullmatch(name)
    return found[1] if found else None
