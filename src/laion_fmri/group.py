"""Several subjects at once: the results of `laion_fmri.subject.Subject`, by subject."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from laion_fmri._names import also_named
from laion_fmri.config import data_directory
from laion_fmri.loader.layout import Layout, how_to_get, subjects_on_disk
from laion_fmri.stimuli import Stimuli
from laion_fmri.subject import Subject, load_subject

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["Group", "load_subjects"]


def _repeatable(names: Iterable[str]) -> Iterable[str]:
    """Return names that each subject can go through: a generator would be empty after the first."""
    return list(names) if isinstance(names, Iterator) else names


class _Where(TypedDict, total=False):
    """Which voxels, for the type checker."""

    roi: str | Iterable[str] | None
    mask: NDArray[Any] | None
    mask_source: Literal["anatomical", "rsquare"]


class _SharedBetas(_Where, total=False):
    """The keywords of `Subject.get_betas` but one."""

    nc_threshold: float | None
    streaming: bool
    stream: bool
    nan: Literal["keep", "raise", "zero"]


class _Betas(_SharedBetas, total=False):
    """The keywords of `Subject.get_betas`."""

    stimuli: Literal["shared", "unique"] | None


def load_subjects(
    subjects: str | Iterable[str] = "all",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    store: Literal["auto", "read", "off"] | None = None,
) -> Group:
    """Open several subjects that are on disk.

    Parameters
    ----------
    subjects : list of str or "all"
        ``"sub-03"`` or ``"03"``; ``"all"``: every subject with results on disk.
    data_dir, store
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
    names = [subjects] if isinstance(subjects, str) else list(subjects)
    if names == ["all"]:
        # Subjects of whom only ROIs are here have nothing that a Subject can read.
        names = [name for name in subjects_on_disk(root) if Layout(root, name).exists()]
        if not names:
            raise DataNotDownloadedError(
                f"No subject is in {root}. This brings them all:\n{how_to_get(root, 'all')}"
            )
    if not names:
        raise ValueError("subjects is an empty list: name at least one, or 'all'.")
    return Group([load_subject(name, data_dir=root, store=store) for name in names])


class Group:
    """Subjects in the order asked for, each once.

    Iterating gives pairs of name and subject; indexing takes a name (``"sub-03"`` or ``"03"``) or
    a number.

    Parameters
    ----------
    subjects : list of Subject
    """

    def __init__(self, subjects: list[Subject]) -> None:
        self._subjects = {subject.subject_id: subject for subject in subjects}

    def __len__(self) -> int:
        return len(self._subjects)

    def __iter__(self) -> Iterator[tuple[str, Subject]]:
        return iter(self._subjects.items())

    def __contains__(self, subject: object) -> bool:
        return subject in self._subjects

    def __getitem__(self, subject: str | int) -> Subject:
        if isinstance(subject, int):
            return list(self._subjects.values())[subject]
        name = f"sub-{subject.removeprefix('sub-')}"
        if name not in self._subjects:
            raise KeyError(f"{subject!r} is not in this group of {', '.join(self._subjects)}")
        return self._subjects[name]

    def __repr__(self) -> str:
        return f"<Group of {', '.join(self._subjects)}>"

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
        """Return `Subject.get_betas` of each subject; masks differ, so voxel counts do."""
        if isinstance(session, str):
            return {name: subject.get_betas(session, **how) for name, subject in self}
        sessions = _repeatable(session)
        return {name: subject.get_betas(sessions, **how) for name, subject in self}

    @overload
    def get_shared_betas(  # type: ignore[overload-overlap]
        self, session: str, **how: Unpack[_SharedBetas]
    ) -> dict[str, Floats]: ...

    @overload
    def get_shared_betas(
        self, session: Iterable[str], **how: Unpack[_SharedBetas]
    ) -> dict[str, dict[str, Floats]]: ...

    @also_named(ses="session")
    def get_shared_betas(
        self, session: str | Iterable[str], **how: Unpack[_SharedBetas]
    ) -> dict[str, Floats] | dict[str, dict[str, Floats]]:
        """Return the betas of trials with shared stimuli, by subject.

        Rows are in the order of the subject's trials; `get_trial_info` has the stimulus of each.
        """
        return self.get_betas(session, stimuli="shared", **how)

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
        """Return `Subject.get_noise_ceiling` of each subject."""
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
        """Return `Subject.get_trial_info` of each subject."""
        if isinstance(session, str):
            return {name: subject.get_trial_info(session) for name, subject in self}
        sessions = _repeatable(session)
        return {name: subject.get_trial_info(sessions) for name, subject in self}

    def get_shared_stimulus_metadata(self) -> pd.DataFrame:
        """Return the rows of the table of stimuli that all subjects saw, counted anew from 0.

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
