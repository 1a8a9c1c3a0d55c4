"""Trials as a PyTorch dataset. PyTorch is imported only when the class is asked for."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import NotFiniteError, TrialMismatchError
from laion_fmri.loader.stimulus_images import Stimuli
from laion_fmri.loader.trials import read_trials, whole
from neurofetch.extras import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from laion_fmri.beta_store.read import SessionStore
    from laion_fmri.loader.betas import NanMode, SessionBetas
    from laion_fmri.loader.layout import Layout
    from laion_fmri.loader.trials import Trials

__all__ = ["LazyTrials", "dataset_base", "dataset_class"]

_made: dict[str, type] = {}


def dataset_class() -> type[Any]:
    """Return ``TrialDataset``, a `torch.utils.data.Dataset`.

    Raises
    ------
    MissingExtraError
        If PyTorch is not installed (an ``ImportError``).
    """
    if "TrialDataset" not in _made:
        need("to_torch_dataset()", "torch", "torch")
        data = importlib.import_module("torch.utils.data")
        names = {
            "__module__": __name__,
            "__qualname__": "TrialDataset",
            "__doc__": LazyTrials.__doc__,
        }
        _made["TrialDataset"] = type("TrialDataset", (LazyTrials, data.Dataset), names)
    return _made["TrialDataset"]


def dataset_base() -> type[Any]:
    """Return PyTorch's class of datasets; without PyTorch, `object`."""
    try:
        base: type[Any] = importlib.import_module("torch.utils.data").Dataset
    except ImportError:
        return object
    return base


def __getattr__(name: str) -> Any:
    # A spawned worker looks the class up by this name when it unpickles a dataset.
    if name == "TrialDataset":
        return dataset_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class LazyTrials:
    """Single trials, one item each; see `laion_fmri.subject.Subject.to_torch_dataset`.

    Parameters
    ----------
    layout : Layout
    sessions : list of SessionBetas
        Missing stores are built now; where that cannot be, the betas are read into memory.
    columns : numpy.ndarray or None
        Positions in the brain mask; None for all.
    stimuli : {"shared", "unique"} or None
    images : bool or None
        None: if the stimuli are on disk.
    image_transform, transform : callable or None
        For the tensor of the image, and for the tensor of betas.
    nan : {"keep", "raise", "zero"}
        What becomes of NaN and infinite values.
    """

    def __init__(
        self,
        layout: Layout,
        sessions: list[SessionBetas],
        columns: NDArray[np.intp] | None,
        stimuli: str | None,
        *,
        images: bool | None = None,
        image_transform: Callable[[Any], Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
        nan: NanMode = "keep",
    ) -> None:
        if not sessions:
            layout.missing("the betas of any session", desc="SingletrialBetas", stat="effect")
        self._stimuli = Stimuli(layout.data_dir)
        self.images: bool = self._stimuli.here() if images is None else images
        if self.images:
            self._stimuli.need()
        self._image_transform = image_transform
        self._transform = transform
        self._nan = nan
        self._paths = [str(session.path) for session in sessions]
        every = len(sessions[0].brain)
        self._columns = np.arange(every) if columns is None else columns
        self._betas = [_Betas.of(session, self._columns) for session in sessions]
        self._items: list[tuple[int, int, dict[str, Any]]] = []
        for number, session in enumerate(sessions):
            self._add(number, session, layout, stimuli)

    def _add(self, number: int, session: SessionBetas, layout: Layout, stimuli: str | None) -> None:
        trials = read_trials(layout.trials(session.session))
        trials.check(self._betas[number].trials, session.path)
        runs, labels = _runs(trials), trials.columns["label"]
        repeats = _repeats(trials)
        chosen = range(len(trials)) if stimuli is None else trials.of(stimuli).tolist()
        for trial in chosen:
            about = {
                "session": session.session,
                "run": runs[trial],
                "trial": trial,
                "label": labels[trial],
                "image_name": labels[trial],
                "stimulus_id": labels[trial],  # of versions before the summer of 2026
                "rep_index": repeats[trial],
            }
            self._items.append((number, trial, about))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """Return a batch; the store of each session in it is read once."""
        items = [self._items[index] for index in indices]
        rows: dict[int, list[int]] = {}
        for number, trial, _ in items:
            rows.setdefault(number, []).append(trial)
        values = {number: iter(self._read(number, trials)) for number, trials in rows.items()}
        return [self._item(next(values[number]), about) for number, _, about in items]

    def _read(self, number: int, trials: list[int]) -> NDArray[np.float32]:
        values = self._betas[number].read(self._columns, np.asarray(trials, dtype=np.intp))
        if self._nan == "keep" or (good := np.isfinite(values)).all():
            return values
        if self._nan == "zero":
            values[~good] = 0
            return values
        row = int(np.flatnonzero(~good.all(axis=1))[0])
        problem = (
            f"volume {trials[row]} (counted from 0) has NaN or infinite values in "
            f"{int((~good[row]).sum())} of the {values.shape[1]} voxels asked for; nan='keep' "
            "takes them as they are"
        )
        raise NotFiniteError(self._paths[number], problem)

    def _item(self, values: NDArray[np.float32], about: dict[str, Any]) -> dict[str, Any]:
        torch = importlib.import_module("torch")
        betas = torch.from_numpy(values.copy())
        item = {"betas": betas if self._transform is None else self._transform(betas), **about}
        if self.images:
            image = _image_tensor(self._stimuli.image(about["label"], as_displayed=True))
            item["image"] = image if self._image_transform is None else self._image_transform(image)
        return item


@dataclass(frozen=True, slots=True)
class _Betas:
    """Where a session's betas come from: its store, or memory where it can have none."""

    trials: int
    store: SessionStore | None
    values: NDArray[np.float32] | None

    @classmethod
    def of(cls, session: SessionBetas, columns: NDArray[np.intp]) -> _Betas:
        store = session.any_store()
        if store is not None:
            return cls(store.layout.trials, store, None)
        values = session.from_file(columns, None)
        return cls(len(values), None, values)

    def read(self, columns: NDArray[np.intp], trials: NDArray[np.intp]) -> NDArray[np.float32]:
        if self.values is not None:
            return self.values[trials]
        if self.store is None:
            raise TypeError("neither a store nor values")
        try:
            return self.store.read(columns, trials)
        except OSError as exc:
            what = f"{exc.strerror}: the beta store has changed; call to_torch_dataset() again"
            raise OSError(exc.errno, what, str(self.store.folder)) from exc


def _repeats(trials: Trials) -> list[int]:
    """Return how often each picture was shown before in its session; a column of that name wins."""
    if (given := trials.columns.get("rep_index")) is not None:
        return [int(one) for one in given]
    shown: Counter[str] = Counter()
    repeats = []
    for label in trials.columns["label"]:
        repeats.append(shown[label])
        shown[label] += 1
    return repeats


def _runs(trials: Trials) -> list[int]:
    try:
        return [whole(run) for run in trials.columns["run"]]
    except (ValueError, OverflowError) as exc:
        raise TrialMismatchError(str(trials.path), f"run holds no whole number ({exc})") from exc


def _image_tensor(image: Any) -> Any:
    """Return an RGB image as float32, shape (3, height, width), 0 to 1."""
    torch = importlib.import_module("torch")
    pixels = np.array(image, dtype=np.float32) / 255
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
