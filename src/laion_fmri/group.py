"""Several subjects at once: the results of `laion_fmri.subject.Subject`, by subject."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from operator import index
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from laion_fmri._names import also_named
from laion_fmri.config import data_directory
from laion_fmri.loader.layout import Layout, how_to_get, subjects_on_disk
from laion_fmri.loader.masks import MASK_SOURCE
from laion_fmri.loader.store_tasks import build_stores
from laion_fmri.stimuli import Stimuli
from laion_fmri.subject import Subject, load_subject
from neurofetch.engine import items_of
from neurofetch.errors import UsageError, WrongTypeError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from laion_fmri.loader.store_tasks import Executor, Progress

    Floats = NDArray[np.float32]
    Rois = str | Iterable[str] | None
    Mask = NDArray[Any] | None
    Source = Literal["anatomical", "rsquare"]
    Nan = Literal["keep", "raise", "zero"]

__all__ = ["Group", "load_subjects"]


T = TypeVar("T")


def _full(name: str) -> str:
    return f"sub-{name.removeprefix('sub-')}"


def _repeatable(names: Iterable[T]) -> Iterable[T]:
    """Return names that each subject can go through: a generator would be empty after the first."""
    return list(names) if isinstance(names, Iterator) else names


class _Where(TypedDict, total=False):
    """Which voxels, for the type checker."""

    roi: str | Iterable[str] | None
    mask: NDArray[Any] | None
    mask_source: Literal["anatomical", "rsquare"]


class _Betas(_Where, total=False):
    """The keywords of `Subject.get_betas`."""

    nc_threshold: float | None
    stimuli: Literal["shared", "unique"] | None
    streaming: bool
    stream: bool
    nan: Literal["keep", "raise", "zero"]


def load_subjects(
    subjects: str | Iterable[str] = "all",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    store: Literal["auto", "read", "off"] | None = None,
    store_dir: str | os.PathLike[str] | None = None,
) -> Group:
    """Open several subjects that are on disk.

    Parameters
    ----------
    subjects : list of str or "all"
        ``"sub-03"`` or ``"03"``; ``"all"``: every subject with results on disk, with a warning if
        these are not all participants of the data set.
    data_dir, store, store_dir
        As in `laion_fmri.subject.load_subject`.

    Returns
    -------
    Group

    Raises
    ------
    DataNotDownloadedError
        If one is not on disk, or, with ``"all"``, none is.
    SubjectNotFoundError
        If one cannot be a subject's name.
    """
    from laion_fmri.errors import DataNotDownloadedError

    root = data_directory(data_dir)
    names: list[Any] = items_of(subjects)
    if subjects is None or not names:
        msg = f"subjects={subjects!r} names no subject: name at least one, or 'all'."
        raise WrongTypeError(msg) if subjects is None else UsageError(msg)
    if any(isinstance(name, str) and name.strip().lower() == "all" for name in names):
        # Subjects of whom only ROIs are here have nothing that a Subject can read.
        names = [name for name in subjects_on_disk(root) if Layout(root, name).exists()]
        if not names:
            raise DataNotDownloadedError(
                f"No subject is in {root}. This brings them all:\n{how_to_get(root, 'all')}"
            )
        _warn_of_absent(root, names)
    return Group(
        [load_subject(name, data_dir=root, store=store, store_dir=store_dir) for name in names]
    )


def _warn_of_absent(root: Path, here: Sequence[str]) -> None:
    """Say whom "all" leaves out: participants of the data set who have no results here."""
    table = root / "participants.tsv"
    if not table.is_file():
        return
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    every = [line.partition("\t")[0].strip() for line in lines[1:]]
    absent = [name for name in every if name.startswith("sub-") and name not in here]
    if absent:
        warnings.warn(
            f"'all' is {', '.join(here)} here: there are no results of {', '.join(absent)} in "
            f"{root}. Name the subjects that you mean, or bring the others:\n"
            f"{how_to_get(root, absent[0] if len(absent) == 1 else 'all')}",
            UserWarning,
            stacklevel=3,
        )


class Group:
    """Subjects in the order of their names, each once.

    Iterating gives pairs of name and subject; indexing takes a name (``"sub-03"`` or ``"03"``) or
    a number in that order.

    Parameters
    ----------
    subjects : list of Subject
    """

    def __init__(self, subjects: list[Subject]) -> None:
        found = {subject.subject_id: subject for subject in subjects}
        self._subjects = dict(sorted(found.items()))

    def __len__(self) -> int:
        return len(self._subjects)

    def __iter__(self) -> Iterator[tuple[str, Subject]]:
        return iter(self._subjects.items())

    def __contains__(self, subject: object) -> bool:
        return isinstance(subject, str) and _full(subject) in self._subjects

    def __getitem__(self, subject: str | int) -> Subject:
        if isinstance(subject, str):
            if _full(subject) not in self._subjects:
                raise KeyError(f"{subject!r} is not in this group of {', '.join(self._subjects)}")
            return self._subjects[_full(subject)]
        try:
            number = index(subject)
        except TypeError:
            msg = f"a group is indexed by a name such as 'sub-03', or by a number, not {subject!r}."
            raise WrongTypeError(msg) from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no subject {number} in a group of {len(self)}, from 0.")
        return list(self._subjects.values())[number]

    def __repr__(self) -> str:
        return f"<Group of {', '.join(self._subjects)}>"

    def _repr_html_(self) -> str | None:
        from laion_fmri._views import group_page
        from neurofetch.engine import safely

        return safely(lambda: group_page([subject.layout for _, subject in self]))

    @property
    def subject_ids(self) -> list[str]:
        """The subjects' full names."""
        return list(self._subjects)

    # As for one subject: one result for one session, a dict by session for a list of them.

    @overload
    def get_betas(  # type: ignore[overload-overlap]
        self, session: str, **how: Unpack[_Betas]
    ) -> dict[str, Floats]: ...

    @overload
    def get_betas(
        self, session: Iterable[str], **how: Unpack[_Betas]
    ) -> dict[str, dict[str, Floats]]: ...

    @also_named(ses="session")
    def get_betas(
        self, session: str | Iterable[str], **how: Unpack[_Betas]
    ) -> dict[str, Floats] | dict[str, dict[str, Floats]]:
        """Return `Subject.get_betas` of each subject; masks differ, so voxel counts do.

        Returns
        -------
        dict of str to numpy.ndarray
            By subject; with several sessions, a dict by session for each subject.
        """
        if isinstance(session, str):
            return {name: subject.get_betas(session, **how) for name, subject in self}
        sessions = _repeatable(session)
        return {name: subject.get_betas(sessions, **how) for name, subject in self}

    @overload
    def get_shared_betas(  # type: ignore[overload-overlap]
        self,
        session: str,
        roi: Rois = None,
        mask: Mask = None,
        nc_threshold: float | None = None,
        mask_source: Source = MASK_SOURCE,
        *,
        streaming: bool = False,
        stream: bool = False,
        nan: Nan = "keep",
    ) -> dict[str, Floats]: ...

    @overload
    def get_shared_betas(
        self,
        session: Iterable[str],
        roi: Rois = None,
        mask: Mask = None,
        nc_threshold: float | None = None,
        mask_source: Source = MASK_SOURCE,
        *,
        streaming: bool = False,
        stream: bool = False,
        nan: Nan = "keep",
    ) -> dict[str, dict[str, Floats]]: ...

    @also_named(ses="session")
    def get_shared_betas(
        self,
        session: str | Iterable[str],
        roi: Rois = None,
        mask: Mask = None,
        nc_threshold: float | None = None,
        mask_source: Source = MASK_SOURCE,
        *,
        streaming: bool = False,
        stream: bool = False,
        nan: Nan = "keep",
    ) -> dict[str, Floats] | dict[str, dict[str, Floats]]:
        """Return the betas of trials with shared stimuli, by subject.

        Rows are in the order of the subject's trials; `get_trial_info` has the stimulus of each.

        Parameters
        ----------
        session : str or list of str
        roi, mask, nc_threshold, mask_source
            As in `Subject.get_betas`.
        streaming, stream, nan
            As there.

        Returns
        -------
        dict
            What `Subject.get_betas` returns, by the name of the subject.
        """
        return self.get_betas(
            session,
            roi=roi,
            mask=mask,
            nc_threshold=nc_threshold,
            mask_source=mask_source,
            stimuli="shared",
            streaming=streaming,
            stream=stream,
            nan=nan,
        )

    @overload
    def get_noise_ceiling(  # type: ignore[overload-overlap]
        self, *, session: str, **where: Unpack[_Where]
    ) -> dict[str, Floats]: ...

    @overload
    def get_noise_ceiling(
        self, *, session: Iterable[str], **where: Unpack[_Where]
    ) -> dict[str, dict[str, Floats]]: ...

    @overload
    def get_noise_ceiling(  # type: ignore[overload-overlap]
        self, *, desc: str, **where: Unpack[_Where]
    ) -> dict[str, Floats]: ...

    @overload
    def get_noise_ceiling(
        self, *, desc: Iterable[str], **where: Unpack[_Where]
    ) -> dict[str, dict[str, Floats]]: ...

    @also_named(ses="session")
    def get_noise_ceiling(self, **what: Any) -> dict[str, Any]:
        """Return `Subject.get_noise_ceiling` of each subject.

        Returns
        -------
        dict of str to object
            By subject: what `Subject.get_noise_ceiling` returns.
        """
        return {name: subject.get_noise_ceiling(**what) for name, subject in self}

    @overload
    def get_trial_info(  # type: ignore[overload-overlap]
        self, session: str
    ) -> dict[str, pd.DataFrame]: ...

    @overload
    def get_trial_info(self, session: Iterable[str]) -> dict[str, dict[str, pd.DataFrame]]: ...

    @also_named(ses="session")
    def get_trial_info(
        self, session: str | Iterable[str]
    ) -> dict[str, pd.DataFrame] | dict[str, dict[str, pd.DataFrame]]:
        """Return `Subject.get_trial_info` of each subject.

        Returns
        -------
        dict of str to pandas.DataFrame
            By subject; with several sessions, a dict by session for each subject.
        """
        if isinstance(session, str):
            return {name: subject.get_trial_info(session) for name, subject in self}
        sessions = _repeatable(session)
        return {name: subject.get_trial_info(sessions) for name, subject in self}

    @property
    def betas(self) -> dict[str, xr.DataArray]:
        """`Subject.betas` of each subject: a lazy array each, since their voxels are others.

        ``dask.compute(...)`` of something of each of them reads all subjects at once.
        """
        return self.get_lazy_betas()

    @also_named(ses="session")
    def get_lazy_betas(
        self,
        session: str | int | Iterable[str | int] | None = None,
        roi: Rois = None,
        mask_source: Source = MASK_SOURCE,
    ) -> dict[str, xr.DataArray]:
        """Return `Subject.get_lazy_betas` of each subject.

        Parameters
        ----------
        session, roi, mask_source
            As there.

        Returns
        -------
        dict of str to xarray.DataArray
            One lazy array for each subject, by its name.
        """
        sessions = _repeatable(session) if isinstance(session, Iterator) else session
        regions = _repeatable(roi) if isinstance(roi, Iterator) else roi
        return {
            name: subject.get_lazy_betas(sessions, regions, mask_source=mask_source)
            for name, subject in self
        }

    @also_named(ses="session")
    def build_store(
        self,
        session: str | int | Iterable[str | int] | None = None,
        *,
        n_jobs: int | None = None,
        executor: Executor | None = None,
        mask_source: Source = MASK_SOURCE,
        progress: Progress | None = None,
    ) -> dict[str, Path]:
        """Build the beta stores of all subjects: a task for each session, the largest first.

        Parameters
        ----------
        session : str or list of str, optional
            Default: every session of each whose betas are on disk.
        n_jobs, executor, mask_source, progress
            As in `Subject.build_store`.

        Returns
        -------
        dict of str to pathlib.Path
            The store of each subject.

        Raises
        ------
        StoreBuildError, BadDataError, OSError
            As `Subject.build_store`, over all subjects.
        """
        named = _repeatable(session) if isinstance(session, Iterator) else session
        sessions = [
            one for _, subject in self for one in subject.store.sessions(named, mask_source)
        ]
        if not sessions:
            raise ValueError("No session to build a store for: no betas are on disk.")
        build_stores(sessions, n_jobs, executor, progress)
        return {name: subject.store.path for name, subject in self}

    def get_shared_stimulus_metadata(self) -> pd.DataFrame:
        """Return the rows of the table of stimuli that all subjects saw, counted anew from 0.

        Returns
        -------
        DataFrame
            One row for each picture.

        Raises
        ------
        StimuliNotDownloadedError
            If the table is not on disk.
        """
        table = self[0].get_stimulus_metadata()
        return table[table["unique_or_shared"] == "shared"].reset_index(drop=True)

    def get_shared_images(self, format: Literal["pil", "numpy"] = "pil") -> Any:  # noqa: A002
        """Return the pictures that all subjects saw, in the order of their table.

        Parameters
        ----------
        format : {"pil", "numpy"}
            A list of PIL images, with their alpha channel; or uint8, shape (n, height, width, 3),
            as displayed.

        Returns
        -------
        list of PIL.Image.Image, or numpy.ndarray
            As `format` says.

        Raises
        ------
        ValueError
            If `format` is neither.
        StimuliNotDownloadedError
            If the pictures or their table are not on disk.
        """
        if format not in ("pil", "numpy"):
            raise ValueError(f"format={format!r}: expected 'pil' or 'numpy'.")
        names = self.get_shared_stimulus_metadata()["image_name"].tolist()
        with Stimuli(self[0].data_dir) as found:
            if format == "numpy":
                return found.images.array(names)
            return [found.images.get(name, as_displayed=False) for name in names]
