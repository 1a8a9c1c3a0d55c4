"""The stimulus images, by their label in trials.tsv."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from laion_fmri.errors import BadDataError, StimuliNotDownloadedError
from laion_fmri.loader.layout import how_to_get
from laion_fmri.reading.pictures import StimulusImages

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

__all__ = ["Stimuli"]


class Stimuli:
    """The images of a data directory, which may lack them: see `StimulusImages`.

    Parameters
    ----------
    data_dir : pathlib.Path
    """

    def __init__(self, data_dir: Path) -> None:
        folder = data_dir / "stimuli"
        self.path: Path = folder / "task-images_stimuli.h5"
        self.table: Path = folder / "task-images_metadata.csv"

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
    def images(self) -> StimulusImages:
        """The images, by name."""
        self.need()
        return StimulusImages(self.path, self.table)

    def image(self, label: str, *, as_displayed: bool = False) -> Image:
        """Return an image, decoded.

        Parameters
        ----------
        label : str
        as_displayed : bool
            In RGB, and on the grey of the screen where it is transparent.

        Raises
        ------
        BadDataError
            If no row has this label.
        CorruptFileError
            If the archive or the image cannot be read.
        """
        if label not in self.images:
            raise BadDataError(str(self.table), f"has no row for the stimulus {label!r}")
        return self.images.get(label, as_displayed=as_displayed)
