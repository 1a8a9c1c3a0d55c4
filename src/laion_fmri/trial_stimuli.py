"""A subject's trials, and what was shown in each: pictures, vectors, masks, captions.

`Subject` has these as ``metadata``, ``images``, ``embeddings``, ``segmentations`` and ``captions``.
A trial is its number over all sessions on disk, from 0: the row of ``metadata``, and of the
sessions' betas where they are stacked in that order.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from laion_fmri.captions import Captions
from laion_fmri.embeddings import Embeddings, models_on_disk
from laion_fmri.errors import BadDataError
from laion_fmri.loader.layout import session_id
from laion_fmri.reading.tables import as_index
from laion_fmri.segmentations import Segmentations
from laion_fmri.stimuli import Stimuli, load_stimulus_metadata

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = [
    "TrialCaptions",
    "TrialEmbeddings",
    "TrialImages",
    "TrialSegmentations",
    "WithStimuli",
]

_ADDED = ("session_trial", "image_name", "stim_idx", "unique_or_shared", "dataset")


class WithStimuli:
    """What a subject has of its stimuli; `Subject` is built on it."""

    if TYPE_CHECKING:

        @property
        def data_dir(self) -> Path:
            """The data directory."""

        def get_sessions(self) -> builtins.list[str]:
            """Return the sessions on disk."""

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """The trials of all sessions on disk, with what was shown; row i is global trial i.

        The columns are those of the trial tables, and ``session_trial`` (the number in the session,
        from 0), ``image_name``, ``stim_idx`` (the row in the table of stimuli, NaN where it is not
        known), ``unique_or_shared`` and ``dataset``. It is read once.

        Raises
        ------
        StimuliNotDownloadedError
            If the table of the stimuli is not on disk.
        """
        stimuli = load_stimulus_metadata(self.data_dir)
        trials = self._trials
        rows = {name: row for row, name in reversed([*enumerate(stimuli["image_name"])])}
        found = trials.assign(stim_idx=trials["image_name"].map(rows))
        unique = stimuli.drop_duplicates("image_name").set_index("image_name")
        for column in ("unique_or_shared", "dataset"):
            if column in unique.columns:
                found[column] = found["image_name"].map(unique[column])
        kept = [name for name in found.columns if name not in _ADDED]
        return found[[*kept, *(name for name in _ADDED if name in found.columns)]]

    @cached_property
    def _trials(self) -> pd.DataFrame:
        """The trials of all sessions: what is known without the table of the stimuli."""
        import pandas as pd

        sessions = self.get_sessions()
        if not sessions:
            return pd.DataFrame({name: [] for name in ("session", "session_trial", "image_name")})
        tables = []
        for session in sessions:
            table: pd.DataFrame = self.get_trial_info(session)  # type: ignore[attr-defined]
            name = "label" if "label" in table.columns else "stimulus_id"
            tables.append(
                table.assign(
                    session=session, session_trial=range(len(table)), image_name=table[name]
                )
            )
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def images(self) -> TrialImages:
        """The picture of each trial.

        Raises
        ------
        StimuliNotDownloadedError
            If the pictures or their table are not on disk.
        """
        return TrialImages(self._trials, Stimuli(self.data_dir))

    @cached_property
    def embeddings(self) -> TrialEmbeddings:
        """The vectors of each trial's picture; they need no pictures on disk."""
        return TrialEmbeddings(self._trials, self.data_dir)

    @cached_property
    def segmentations(self) -> TrialSegmentations:
        """The segmentations of each trial's picture; they need no pictures on disk."""
        return TrialSegmentations(self._trials, Segmentations(self.data_dir))

    @cached_property
    def captions(self) -> TrialCaptions:
        """The captions of each trial's picture; they need no pictures on disk."""
        return TrialCaptions(self._trials, Captions(self.data_dir))

    def has_stimuli(self) -> bool:
        """Whether the pictures and their table are on disk."""
        folder = self.data_dir / "stimuli"
        names = ("task-images_metadata.csv", "task-images_stimuli.h5")
        return all((folder / name).is_file() for name in names)

    def get_n_stimuli(self, stimuli: Literal["shared", "unique"] | None = None) -> int:
        """Return the number of stimuli of the data set, by their table.

        Parameters
        ----------
        stimuli : {"shared", "unique"}, optional
            Only those that all subjects saw, or one did.

        Raises
        ------
        ValueError
            If `stimuli` is neither.
        StimuliNotDownloadedError
            If the table is not on disk.
        """
        return len(self._chosen(stimuli))

    def _chosen(self, stimuli: str | None) -> pd.DataFrame:
        known = stimuli is None or (isinstance(stimuli, str) and stimuli in {"shared", "unique"})
        if not known:  # an array is not compared with text
            raise ValueError(f"stimuli={stimuli!r}: expected 'shared', 'unique', or None for all.")
        table = load_stimulus_metadata(self.data_dir)
        if stimuli is None:
            return table
        if "unique_or_shared" not in table.columns:
            path = self.data_dir / "stimuli/task-images_metadata.csv"
            raise BadDataError(str(path), "lacks the column unique_or_shared")
        return table[table["unique_or_shared"] == stimuli]

    # -- methods of earlier versions ---------------------------------------------------------

    def get_stimulus_metadata(self) -> pd.DataFrame:
        """Return the table of the stimuli: a method of earlier versions."""
        return load_stimulus_metadata(self.data_dir)

    def get_trial_stimulus_indices(
        self, session: str | Iterable[str]
    ) -> NDArray[np.int64] | dict[str, NDArray[np.int64]]:
        """Return each trial's row in the table of the stimuli: a method of earlier versions.

        Parameters
        ----------
        session : str or list of str
            Of a list, the result is a dict by session.

        Raises
        ------
        KeyError
            If the table lacks the picture of a trial.
        """
        import numpy as np

        images = Stimuli(self.data_dir).images

        def rows(trials: Any) -> NDArray[np.int64]:
            return np.array([images.index_of(name) for name in trials["label"]], dtype=np.int64)

        found: Any = self.get_trial_info(session)  # type: ignore[attr-defined]
        if isinstance(found, dict):
            return {name: rows(trials) for name, trials in found.items()}
        return rows(found)

    def get_image(self, idx: int) -> Image:
        """Return a picture by its row, as displayed: a method of earlier versions."""
        with Stimuli(self.data_dir) as found:
            return found.images.get(idx)

    def get_images(
        self,
        stimuli: Literal["shared", "unique"] | None = None,
        format: Literal["pil", "numpy", "torch"] = "pil",  # noqa: A002 - the public name
    ) -> Any:
        """Return many pictures as displayed: a method of earlier versions.

        Parameters
        ----------
        stimuli : {"shared", "unique"}, optional
            By default all.
        format : {"pil", "numpy", "torch"}
            A list of PIL images, a uint8 array (n, height, width, 3), or a float32 tensor
            (n, 3, height, width) from 0 to 1.

        Raises
        ------
        ValueError
            If an argument is none of these.
        """
        if format not in ("pil", "numpy", "torch"):
            raise ValueError(f"format={format!r}: expected 'pil', 'numpy' or 'torch'.")
        names = self._chosen(stimuli)["image_name"].tolist()
        with Stimuli(self.data_dir) as found:
            if format == "pil":
                return [found.images.get(name) for name in names]
            pixels = found.images.array(names)
        if format == "numpy":
            return pixels
        import torch

        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


class _Trials:
    """Trials by their global number.

    Parameters
    ----------
    trials : pandas.DataFrame
        A row for each, with ``session`` and ``image_name``.
    """

    def __init__(self, trials: pd.DataFrame) -> None:
        self._names: list[str] = trials["image_name"].tolist()
        self._sessions: list[str] = trials["session"].tolist()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} trials>"

    def __len__(self) -> int:
        return len(self._names)

    def name(self, trial: int) -> str:
        """Return the name of a trial's picture.

        Raises
        ------
        IndexError
            If there is no such trial; negative numbers are none.
        """
        return self._names[as_index(trial, len(self._names), "trial")]

    def names(self, session: str | int | Iterable[str | int] | None = None) -> list[str]:
        """Return the names of the trials' pictures, one for each trial.

        Parameters
        ----------
        session : str or int, or list of these, optional
            ``"ses-01"``, ``"01"`` or 1; several, in the order in which they are wanted. By default
            all that are on disk.

        Raises
        ------
        KeyError
            If a session is not on disk.
        ValueError
            If it cannot be one.
        """
        if session is None:
            return list(self._names)
        several = isinstance(session, Iterable) and not isinstance(session, str)
        asked: list[Any] = [*session] if several else [session]  # type: ignore[misc]
        found: list[str] = []
        for one in asked:
            full = session_id(one)
            pairs = zip(self._sessions, self._names, strict=True)
            names = [name for place, name in pairs if place == full]
            if not names:
                here = ", ".join(dict.fromkeys(self._sessions)) or "none"
                raise KeyError(f"there are no trials of {one!r}; sessions here: {here}")
            found += names
        return found


class TrialImages(_Trials):
    """The picture of each trial, as the subject saw it.

    Parameters
    ----------
    trials : pandas.DataFrame
    stimuli : Stimuli
    """

    def __init__(self, trials: pd.DataFrame, stimuli: Stimuli) -> None:
        super().__init__(trials)
        self._stimuli = stimuli

    def __getitem__(self, trial: int) -> bytes:
        """Return the encoded picture of a trial."""
        return self._stimuli.images[self.name(trial)]

    def get(self, trial: int, *, as_displayed: bool = True) -> Image:
        """Return the picture of a trial, decoded: see `StimulusImages.get`.

        Parameters
        ----------
        trial : int
        as_displayed : bool
        """
        return self._stimuli.images.get(self.name(trial), as_displayed=as_displayed)

    def all(self, session: str | int | Iterable[str | int] | None = None) -> Iterator[Image]:
        """Return an iterator of the pictures, one for each trial.

        Parameters
        ----------
        session : str or int, or list of these, optional
            By default all on disk.
        """
        names = self.names(session)
        return (self._stimuli.images.get(name) for name in names)

    def array(self, session: str | int | Iterable[str | int] | None = None) -> NDArray[np.uint8]:
        """Return the pictures as uint8, shape (n_trials, height, width, 3).

        Parameters
        ----------
        session : str or int, or list of these, optional
            By default all on disk.

        Raises
        ------
        ValueError
            If the pictures are of several sizes.
        """
        return self._stimuli.images.array(self.names(session))


class TrialEmbeddings(_Trials):
    """The vectors of each trial's picture.

    Parameters
    ----------
    trials : pandas.DataFrame
    data_dir : pathlib.Path
    """

    def __init__(self, trials: pd.DataFrame, data_dir: Path) -> None:
        super().__init__(trials)
        self._root = data_dir
        self._opened: dict[str, Embeddings] = {}

    @property
    def models(self) -> list[str]:
        """The models whose embeddings are on disk."""
        return models_on_disk(self._root)

    def get(self, model: str, trial: int) -> NDArray[np.float16]:
        """Return the vector of a trial's picture, shape (D,).

        Parameters
        ----------
        model : str
        trial : int
        """
        return self._of(model).get(model, self.name(trial))

    def all(
        self, model: str, session: str | int | Iterable[str | int] | None = None
    ) -> NDArray[np.float16]:
        """Return the vectors, one for each trial: also where a picture is shown again.

        Parameters
        ----------
        model : str
        session : str or int, or list of these, optional
            By default all on disk.

        Returns
        -------
        numpy.ndarray
            float16, shape (n_trials, D).
        """
        return self._of(model).get(model, self.names(session))

    def _of(self, model: str) -> Embeddings:
        if model not in self._opened:
            self._opened[model] = Embeddings(model, self._root)
        return self._opened[model]


class TrialSegmentations(_Trials):
    """The segmentations of each trial's picture: as `Segmentations`, by trial.

    Parameters
    ----------
    trials : pandas.DataFrame
    segmentations : Segmentations
    """

    def __init__(self, trials: pd.DataFrame, segmentations: Segmentations) -> None:
        super().__init__(trials)
        self._segmentations = segmentations

    def has_image(self, trial: int) -> bool:
        """Whether the picture of a trial has segmentations."""
        return self._segmentations.has_image(self.name(trial))

    def nouns(self, trial: int, localized_only: bool = True) -> list[str]:
        """Return what was looked for in the picture of a trial: see `Segmentations.nouns`.

        Parameters
        ----------
        trial : int
        localized_only : bool
        """
        return self._segmentations.nouns(self.name(trial), localized_only)

    def for_image(self, trial: int) -> pd.DataFrame:
        """Return the rows of a trial's picture."""
        return self._segmentations.for_image(self.name(trial))

    def get(self, trial: int, noun: str, instance: int = 0) -> NDArray[np.uint8]:
        """Return a mask: see `Segmentations.get`.

        Parameters
        ----------
        trial : int
        noun : str
        instance : int
        """
        return self._segmentations.get(self.name(trial), noun, instance)


class TrialCaptions(_Trials):
    """The captions of each trial's picture: as `Captions`, by trial.

    Parameters
    ----------
    trials : pandas.DataFrame
    captions : Captions
    """

    def __init__(self, trials: pd.DataFrame, captions: Captions) -> None:
        super().__init__(trials)
        self._captions = captions

    def list(self, trial: int, source: str | None = None) -> builtins.list[str]:
        """Return the captions of a trial's picture: see `Captions.list`.

        Parameters
        ----------
        trial : int
        source : {"human", "ai"}, optional
        """
        return self._captions.list(self.name(trial), source)

    def human(self, trial: int, limit: int | None = None) -> builtins.list[str]:
        """Return what people wrote about a trial's picture.

        Parameters
        ----------
        trial : int
        limit : int, optional
        """
        return self._captions.human(self.name(trial), limit)

    def ai(self, trial: int) -> str | None:
        """Return what the model wrote about a trial's picture."""
        return self._captions.ai(self.name(trial))

    def for_image(self, trial: int) -> pd.DataFrame:
        """Return the rows of a trial's picture."""
        return self._captions.get(self.name(trial))
