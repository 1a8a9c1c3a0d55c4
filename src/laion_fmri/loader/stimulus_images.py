"""The stimulus images, by their label in trials.tsv."""

from __future__ import annotations

import csv
import io
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from laion_fmri.errors import BadDataError, CorruptFileError, StimuliNotDownloadedError
from laion_fmri.loader.layout import how_to_get
from neurofetch.extras import need

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

__all__ = ["Stimuli", "as_displayed"]

#: What was behind the pictures, as 8-bit RGB.
_GREY = (128, 128, 128)

_NAME_COLUMNS = ("image_name", "label", "name")


class Stimuli:
    """Encoded images in ``stimuli/task-images_stimuli.h5``, one per row of the metadata table.

    The file is opened once in each process, for the first image. A copy in another process,
    forked or unpickled, opens it again.

    Parameters
    ----------
    data_dir : pathlib.Path
    """

    def __init__(self, data_dir: Path) -> None:
        folder = data_dir / "stimuli"
        self.path: Path = folder / "task-images_stimuli.h5"
        self.table: Path = folder / "task-images_metadata.csv"
        self._open: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def here(self) -> bool:
        """Whether both files are on disk."""
        return self.path.is_file() and self.table.is_file()

    def need(self) -> None:
        """Raise `StimuliNotDownloadedError` unless they are."""
        if not self.here():
            root = self.path.parent.parent
            raise StimuliNotDownloadedError(
                f"The stimulus images are not in {self.path.parent}. They have terms of their "
                f"own; this call asks for them:\n"
                f"{how_to_get(root, 'all', ses='averages', include_stimuli=True)}"
            )

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each image in the archive, by its label."""
        self.need()
        with open(self.table, newline="", encoding="utf-8") as file:
            head, *rows = [row for row in csv.reader(file) if row] or [[]]
        for name in _NAME_COLUMNS:
            if name in head:
                column = head.index(name)
                return {row[column]: number for number, row in enumerate(rows)}
        raise BadDataError(str(self.table), f"has none of the columns {', '.join(_NAME_COLUMNS)}")

    def image(self, label: str) -> Image:
        """Return an image, decoded.

        Raises
        ------
        BadDataError
            If no row has this label.
        CorruptFileError
            If the archive or the image cannot be read.
        """
        need("reading stimulus images", "torch", "h5py", "PIL")
        from PIL import Image

        row = self.rows.get(label)
        if row is None:
            raise BadDataError(str(self.table), f"has no row for the stimulus {label!r}")
        try:
            content = np.asarray(self._images()[row], dtype=np.uint8).tobytes()
            image = Image.open(io.BytesIO(content))
            image.load()
        except Exception as exc:
            raise CorruptFileError(str(self.path), f"no image {label!r} in it ({exc})") from exc
        return image

    def _images(self) -> Any:
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), _h5py().File(self.path, "r"))
        return self._open[1]["images"]


def as_displayed(image: Image) -> Image:
    """Return an image as the subjects saw it: RGB, and on grey where it lets that through."""
    from PIL import Image as Images

    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    front = image.convert("RGBA")
    grey = Images.new("RGBA", front.size, (*_GREY, 255))
    return Images.alpha_composite(grey, front).convert("RGB")


def _h5py() -> Any:
    import h5py

    return h5py
