"""Vectors of the stimuli in four models, by name. They are public, and need no access.

``download_embeddings`` brings them; `load_embeddings` opens them.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from laion_fmri._models import AVAILABLE_MODELS, embedding_key, embedding_models
from laion_fmri.config import data_directory
from laion_fmri.errors import BadDataError
from laion_fmri.reading.absent import not_here, what_is_absent
from laion_fmri.reading.closing import Closing
from laion_fmri.reading.h5 import LazyFile
from laion_fmri.reading.pictures import NoSuchNameError
from laion_fmri.reading.tables import as_names

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AVAILABLE_MODELS", "Embeddings", "load_embeddings", "models_on_disk"]


def load_embeddings(
    models: str | Sequence[str] = "all", data_dir: str | os.PathLike[str] | None = None
) -> Embeddings:
    """Open the embeddings of one or more models.

    Parameters
    ----------
    models : str or sequence of str
        A label of `AVAILABLE_MODELS`, several of them, or ``"all"``.
    data_dir : str or path, optional
        By default the one that was configured.

    Returns
    -------
    Embeddings

    Raises
    ------
    UnknownValueError
        If there is no such model (a ``ValueError``).
    DataNotDownloadedError
        If a file is not on disk (a ``FileNotFoundError``).
    """
    return Embeddings(models, data_dir)


def models_on_disk(root: Path) -> list[str]:
    """Return the models whose embeddings are in a data directory."""
    return [one for one in AVAILABLE_MODELS if what_is_absent([root / embedding_key(one)]) is None]


class Embeddings(Closing):
    """Embeddings on disk: ``get("CLIP", name)``. A context manager.

    Only the vectors that are asked for are read. Objects can be pickled, and worker processes
    open the files again.

    Parameters
    ----------
    models : str or sequence of str
        As in `load_embeddings`.
    data_dir : str or path, optional
        By default the one that was configured.
    """

    def __init__(
        self, models: str | Sequence[str] = "all", data_dir: str | os.PathLike[str] | None = None
    ) -> None:
        labels = embedding_models(models)
        if not labels:
            raise ValueError(f"models={models!r} names no model: {', '.join(AVAILABLE_MODELS)}.")
        root = data_directory(data_dir)
        paths = {model: root / embedding_key(model) for model in labels}
        for model, path in paths.items():
            if (why := what_is_absent([path])) is not None:
                call = f'download_embeddings("{model}"'
                raise not_here(root, f"the embeddings of {model}", call, why)
        self._files = {model: LazyFile(path) for model, path in paths.items()}
        self._ids: dict[str, NDArray[np.str_]] = {}
        self._rows: dict[str, dict[str, int]] = {}
        self._valid: dict[str, NDArray[np.bool_]] = {}

    @property
    def models(self) -> list[str]:
        """The labels of the models, in the order in which they were asked for."""
        return list(self._files)

    @property
    def image_ids(self) -> NDArray[np.str_]:
        """The names of the pictures, in the order of the first model's rows."""
        return self._names(self.models[0])

    def __repr__(self) -> str:
        return f"<Embeddings of {len(self):,} pictures: {', '.join(self.models)}>"

    def __len__(self) -> int:
        return len(self.image_ids)

    def __contains__(self, key: object) -> bool:
        """Whether a model is loaded, or ``(model, name)`` can be had."""
        if isinstance(key, tuple) and len(key) == 2:
            model, name = key
            return model in self and isinstance(name, str) and name in self._rows_of(model)
        return isinstance(key, str) and key in self._files

    def __getitem__(self, model: str) -> Any:
        """Return the dataset of a model, as h5py has it: rows by number, in the file's order.

        Raises
        ------
        KeyError
            If the model is not loaded.
        """
        return self._file(model)["embedding"]

    def get(self, model: str, names: str | Iterable[str]) -> NDArray[np.float16]:
        """Return vectors.

        Parameters
        ----------
        model : str
        names : str or iterable of str
            One picture, or several in any order; each may come more than once.

        Returns
        -------
        numpy.ndarray
            float16, shape (D,) for one name, else (n, D).

        Raises
        ------
        KeyError
            If the model is not loaded, or there is no such picture.

        Warns
        -----
        UserWarning
            If the owners mark a vector as not valid.
        """
        import numpy as np

        file, known = self._file(model), self._rows_of(model)
        wanted = [names] if isinstance(names, str) else as_names(names)
        rows = np.empty(len(wanted), dtype=np.intp)
        for place, name in enumerate(wanted):
            row = known.get(name) if isinstance(name, str) else None
            if row is None:
                raise NoSuchNameError("picture", name, known)
            rows[place] = row
        self._warn_of_invalid(model, wanted, rows)
        found = file.gather("embedding", rows)
        return found[0] if isinstance(names, str) else found

    def valid(self, model: str) -> NDArray[np.bool_]:
        """Return which of a model's vectors its makers call valid, in the file's order.

        All of them, where the file does not say.

        Returns
        -------
        numpy.ndarray
            bool, shape (n_pictures,).
        """
        import numpy as np

        if model not in self._valid:
            file, count = self._file(model), len(self._names(model))
            said = file.read("valid", slice(None)) if "valid" in file else np.ones(count)
            if len(said) != count:
                problem = f"says of {len(said)} vectors whether they are valid, but has {count}"
                raise BadDataError(str(file.path), problem)
            self._valid[model] = np.asarray(said, dtype=bool)
        return self._valid[model]

    def _warn_of_invalid(self, model: str, names: list[str], rows: NDArray[np.intp]) -> None:
        good = self.valid(model)[rows]
        if not good.all():
            bad = dict.fromkeys(name for name, ok in zip(names, good, strict=True) if not ok)
            listed = ", ".join([*bad][:3]) + (", …" if len(bad) > 3 else "")
            msg = f"{len(bad)} embeddings of {model} are marked as not valid: {listed}"
            warnings.warn(msg, UserWarning, stacklevel=3)

    def _file(self, model: str) -> LazyFile:
        if model not in self:
            raise KeyError(f"the model {model!r} is not loaded; loaded: {', '.join(self.models)}")
        return self._files[model]

    def _names(self, model: str) -> NDArray[np.str_]:
        if model not in self._ids:
            file = self._file(model)
            ids, vectors = file.texts("image_ids"), file["embedding"]
            if len(ids) != len(vectors):
                problem = f"has {len(ids)} names, but {len(vectors)} vectors"
                raise BadDataError(str(file.path), problem)
            self._ids[model] = ids
        return self._ids[model]

    def _rows_of(self, model: str) -> dict[str, int]:
        """Return the row of each picture. Each model has its own: no order is taken for granted."""
        if model not in self._rows:
            self._rows[model] = {name: row for row, name in enumerate(self._names(model).tolist())}
        return self._rows[model]

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
