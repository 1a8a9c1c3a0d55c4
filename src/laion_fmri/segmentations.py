"""Where in a picture the things are that people named. The segmentations are public."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from laion_fmri.config import data_directory
from laion_fmri.errors import BadDataError
from laion_fmri.reading.absent import not_here, what_is_absent
from laion_fmri.reading.closing import Closing
from laion_fmri.reading.h5 import LazyFile
from laion_fmri.reading.pictures import NoSuchNameError
from laion_fmri.reading.tables import as_index, as_name, read_table

if TYPE_CHECKING:
    import os

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Segmentations"]

MASKS = "stimuli/task-images_desc-segmentations.h5"
TABLE = "stimuli/task-images_desc-segmentations_metadata.csv"
_COLUMNS = ("mask_row", "image_name", "noun", "instance_id", "localized")
_TEXTS = ("image_name", "noun")


class Segmentations(Closing):
    """The segmentations on disk, by the name of a picture. A context manager.

    Only the masks that are asked for are read. Objects can be pickled, and worker processes open
    the file again.

    Parameters
    ----------
    data_dir : str or path, optional
        By default the one that was configured.

    Raises
    ------
    DataNotDownloadedError
        If the masks or their table are not on disk (a ``FileNotFoundError``).
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None) -> None:
        root = data_directory(data_dir)
        self._table = root / TABLE
        if (why := what_is_absent([self._table, root / MASKS])) is not None:
            raise not_here(root, "the segmentations", "download_segmentations(", why)
        self._file = LazyFile(root / MASKS)

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """The table: a row for each thing that was looked for in a picture."""
        return read_table(self._table, _COLUMNS, _TEXTS)

    @cached_property
    def _rows(self) -> dict[str, Any]:
        return {
            str(name): rows for name, rows in self.metadata.groupby("image_name").indices.items()
        }

    def __repr__(self) -> str:
        return f"<{len(self):,} segmentations in {len(self._rows):,} pictures>"

    def __len__(self) -> int:
        return len(self.metadata)

    def __getitem__(self, mask_row: int) -> NDArray[np.uint8]:
        """Return a mask by its row in the archive: uint8, 0 or 1, of the height and width.

        Raises
        ------
        IndexError
            If there is no such row; negative numbers are none.
        """
        row = as_index(mask_row, len(self._file["masks"]), "mask_row")
        mask: NDArray[np.uint8] = self._file.read("masks", row)
        return mask

    def get(self, image: str, noun: str, instance: int = 0) -> NDArray[np.uint8]:
        """Return the mask of one thing in a picture.

        Parameters
        ----------
        image : str
        noun : str
            As `nouns` gives it.
        instance : int
            Its ``instance_id``: these may skip numbers (see `for_image`).

        Returns
        -------
        numpy.ndarray
            uint8, 0 or 1, of the height and width of the picture.

        Raises
        ------
        KeyError
            If the picture has no segmentations, or not this one; the message lists the nouns.
        """
        rows = self.for_image(image)
        if not len(rows):
            raise NoSuchNameError("segmented picture", image, self._rows)
        # Lists are compared row by row in pandas, and would find another mask.
        of_noun = rows[rows["noun"] == noun] if isinstance(noun, str) else rows.iloc[:0]
        if not len(of_noun):
            nouns = list(dict.fromkeys(rows["noun"]))
            raise KeyError(f"{image} has no {noun!r}. It has: {', '.join(map(repr, nouns))}")
        one = isinstance(instance, float) or hasattr(instance, "__index__")
        found = of_noun[of_noun["instance_id"] == instance] if one else of_noun.iloc[:0]
        if not len(found):
            instances = ", ".join(str(one) for one in of_noun["instance_id"])
            nouns = list(dict.fromkeys(rows["noun"]))
            raise KeyError(
                f"{image} has no instance {instance!r} of {noun!r}, but {instances}. "
                f"Its nouns: {', '.join(map(repr, nouns))}"
            )
        return self[self._mask_row(found["mask_row"].iloc[0])]

    def _mask_row(self, value: Any) -> int:
        """Return a row of the archive that the table names, as a number or as a float."""
        if value in range(len(self._file["masks"])):
            return int(value)
        problem = f"names the mask_row {value}, but there are {len(self._file['masks'])}, from 0"
        raise BadDataError(str(self._table), problem)

    def for_image(self, image: str) -> pd.DataFrame:
        """Return the rows of a picture, a copy; none for a picture without segmentations.

        Returns
        -------
        pandas.DataFrame
            One row per segmentation; no rows for a picture without any.

        Raises
        ------
        TypeError
            If `image` is no name: the number of a trial, say.
        """
        rows: pd.DataFrame = self.metadata.iloc[self._rows.get(as_name(image), [])].copy()
        return rows

    def nouns(self, image: str, localized_only: bool = True) -> list[str]:
        """Return what was looked for in a picture, each once, as it first appears.

        Parameters
        ----------
        image : str
        localized_only : bool
            Only what was found.

        Returns
        -------
        list of str
            The nouns.
        """
        rows = self.for_image(image)
        if localized_only:
            rows = rows[self._truth(rows["localized"])]
        return list(dict.fromkeys(rows["noun"]))

    def _truth(self, column: pd.Series[Any]) -> pd.Series[bool]:
        """Return a column of yes and no; pandas reads it as text where one of them is missing."""
        said = column.map(lambda value: str(value).strip().lower())
        if not said.isin(["true", "false", "1", "0", "1.0", "0.0", "", "nan"]).all():
            raise BadDataError(str(self._table), "localized is neither true nor false everywhere")
        truth: pd.Series[bool] = said.isin(["true", "1", "1.0"])
        return truth

    def has_image(self, image: str) -> bool:
        """Whether a picture has segmentations.

        Returns
        -------
        bool
            True if there is at least one.
        """
        return isinstance(image, str) and image in self._rows

    def images(self) -> list[str]:
        """Return the names of the pictures that have segmentations, sorted.

        Returns
        -------
        list of str
            Names of pictures.
        """
        return sorted(self._rows)

    def close(self) -> None:
        """Close the file of masks."""
        self._file.close()
