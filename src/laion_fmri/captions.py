"""What people, and a model, wrote about the stimuli. The captions are public."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from laion_fmri.config import data_directory
from laion_fmri.reading.absent import not_here, what_is_absent
from laion_fmri.reading.tables import as_name, read_table

if TYPE_CHECKING:
    import builtins
    import os

    import pandas as pd

__all__ = ["Captions"]

PATH = "stimuli/task-images_desc-captions.csv"
_COLUMNS = ("image_name", "caption_idx", "source", "caption")
_TEXTS = ("image_name", "source", "caption")
_SOURCES = ("human", "ai")


class Captions:
    """The captions on disk, by the name of a picture.

    Parameters
    ----------
    data_dir : str or path, optional
        By default the one that was configured.

    Raises
    ------
    DataNotDownloadedError
        If the table is not on disk (a ``FileNotFoundError``).
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None) -> None:
        root = data_directory(data_dir)
        self._path = root / PATH
        if (why := what_is_absent([self._path])) is not None:
            raise not_here(root, "the captions", "download_captions(", why)

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """The table: a row for each caption."""
        return read_table(self._path, _COLUMNS, _TEXTS)

    @cached_property
    def _rows(self) -> dict[str, Any]:
        table = self.metadata
        ranked = table.assign(_row=range(len(table))).sort_values("caption_idx", kind="stable")
        return {str(name): rows.to_numpy() for name, rows in ranked.groupby("image_name")["_row"]}

    def __repr__(self) -> str:
        return f"<{len(self):,} captions of {len(self._rows):,} pictures>"

    def __len__(self) -> int:
        return len(self.metadata)

    def __contains__(self, image: object) -> bool:
        return isinstance(image, str) and image in self._rows

    def images(self) -> builtins.list[str]:
        """Return the names of the pictures that have captions, sorted.

        Returns
        -------
        list of str
            Names of pictures.
        """
        return sorted(self._rows)

    def get(self, image: str) -> pd.DataFrame:
        """Return the rows of a picture, by ``caption_idx``; none for a picture without captions.

        Returns
        -------
        pandas.DataFrame
            One row per caption; no rows for a picture without captions.

        Raises
        ------
        TypeError
            If `image` is no name: the number of a trial, say.
        """
        chosen = self._rows.get(as_name(image), [])
        rows: pd.DataFrame = self.metadata.iloc[chosen].reset_index(drop=True)
        return rows

    def list(self, image: str, source: str | None = None) -> builtins.list[str]:
        """Return the captions of a picture, by ``caption_idx``.

        Parameters
        ----------
        image : str
        source : {"human", "ai"}, optional
            By default both.

        Returns
        -------
        list of str
            The texts.

        Raises
        ------
        ValueError
            If `source` is neither.
        """
        if source is not None and source not in _SOURCES:
            raise ValueError(f"source={source!r}: expected 'human', 'ai', or None for both.")
        rows = self.get(image)
        if source is not None:
            rows = rows[rows["source"] == source]
        captions: builtins.list[str] = rows["caption"].tolist()
        return captions

    def human(self, image: str, limit: int | None = None) -> builtins.list[str]:
        """Return what people wrote: all of it, or the first `limit`.

        Returns
        -------
        list of str
            The captions, by ``caption_idx``.

        Raises
        ------
        ValueError
            If `limit` is negative, or no whole number.
        """
        if limit is not None and not (hasattr(limit, "__index__") and limit >= 0):
            raise ValueError(f"limit={limit!r}: expected a whole number from 0, or None for all.")
        return self.list(image, "human")[:limit]

    def ai(self, image: str) -> str | None:
        """Return what the model wrote; None where it wrote nothing.

        Returns
        -------
        str or None
            The caption; None if the model wrote none.
        """
        found = self.list(image, "ai")
        return found[0] if found else None
