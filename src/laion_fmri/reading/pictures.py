"""The stimulus pictures: encoded in one archive, decoded as they were displayed."""

from __future__ import annotations

import io
from functools import cached_property
from typing import TYPE_CHECKING, Any

from laion_fmri.errors import BadDataError, CorruptFileError
from laion_fmri.reading.h5 import LazyFile
from laion_fmri.reading.tables import as_index, as_name, as_names, read_table
from neurofetch.engine import nearest
from neurofetch.extras import need

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["PRESENTATION_BACKGROUND_RGB8", "NoSuchNameError", "StimulusImages", "as_displayed_rgb"]

PRESENTATION_BACKGROUND_RGB8 = (128, 128, 128)
"""The grey of the screen behind the pictures, 8 bits a channel."""

_COLUMNS = ("image_name",)


def as_displayed_rgb(image: Image) -> Image:
    """Return a picture as the participants saw it.

    Parameters
    ----------
    image : PIL.Image.Image
        It is not changed.

    Returns
    -------
    PIL.Image.Image
        In mode RGB. What is transparent lies on the grey of the screen.

    Examples
    --------
    >>> from PIL import Image
    >>> clear = Image.new("RGBA", (1, 1), (255, 0, 0, 0))
    >>> as_displayed_rgb(clear).getpixel((0, 0))
    (128, 128, 128)
    """
    if not hasattr(image, "getbands"):
        raise TypeError(
            f"expected a PIL image, not {type(image).__name__}: see PIL.Image.fromarray."
        )
    if not ("A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info):
        return image.convert("RGB")
    need("showing a transparent picture", "stimuli", "PIL")
    from PIL import Image as Images

    grey = Images.new("RGBA", image.size, (*PRESENTATION_BACKGROUND_RGB8, 255))
    return Images.alpha_composite(grey, image.convert("RGBA")).convert("RGB")


class StimulusImages:
    """The pictures, by name or by row. Row i of the archive is row i of the table.

    Parameters
    ----------
    path : pathlib.Path
        ``task-images_stimuli.h5``.
    table : pathlib.Path
        ``task-images_metadata.csv``.
    """

    def __init__(self, path: Path, table: Path) -> None:
        self._file = LazyFile(path)
        self._table = table

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """The table: a row for each picture, in the order of the archive."""
        return read_table(self._table, _COLUMNS, _COLUMNS)

    @cached_property
    def _rows(self) -> dict[str, int]:
        names = self.metadata["image_name"].tolist()
        archived = len(self._file["images"])
        if archived != len(names):
            problem = f"has {archived} pictures, but {self._table} has {len(names)} rows"
            raise BadDataError(str(self._file.path), problem)
        return {name: row for row, name in reversed(list(enumerate(names)))}

    def __repr__(self) -> str:
        return f"<{len(self)} stimulus pictures in {self._file.path}>"

    def __len__(self) -> int:
        return len(self.metadata)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._rows

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Return an iterator of names and encoded pictures, in the order of the table."""
        for row, name in enumerate(self.names()):
            yield name, self[row]

    def __getitem__(self, key: str | int) -> bytes:
        """Return a picture, encoded as JPEG or PNG.

        Raises
        ------
        KeyError
            If no picture has this name.
        IndexError
            If there is no such row; negative numbers are none.
        """
        import numpy as np

        row = self.index_of(key) if isinstance(key, str) else as_index(key, len(self._rows), "row")
        content = self._file.read("images", row)
        if isinstance(content, bytes):
            return content
        array = np.asarray(content)  # of bytes as numbers, or opaque
        return (array.astype(np.uint8) if array.dtype.kind in "iu" else array).tobytes()

    def get(self, key: str | int, *, as_displayed: bool = True) -> Image:
        """Return a picture, decoded.

        Parameters
        ----------
        key : str or int
            Its name, or its row.
        as_displayed : bool
            As the participants saw it: in RGB, on grey where it is transparent. False keeps its
            mode, and an alpha channel.

        Returns
        -------
        PIL.Image.Image

        Raises
        ------
        KeyError, IndexError
            If there is no such picture.
        CorruptFileError
            If it cannot be decoded.
        """
        need("decoding stimulus pictures", "stimuli", "PIL")
        from PIL import Image as Images

        content = self[key]
        try:
            image = Images.open(io.BytesIO(content))
            image.load()
        except (OSError, ValueError, SyntaxError) as exc:  # Pillow's, for damaged PNG files
            problem = f"the picture {key!r} cannot be decoded ({exc})"
            raise CorruptFileError(str(self._file.path), problem) from exc
        return as_displayed_rgb(image) if as_displayed else image

    def array(self, names: Iterable[str | int]) -> NDArray[np.uint8]:
        """Return pictures as displayed, as one array.

        Parameters
        ----------
        names : iterable of str or int
            Names or rows; one that comes again is decoded once.

        Returns
        -------
        numpy.ndarray
            uint8, shape (n, height, width, 3).

        Raises
        ------
        ValueError
            If they are of several sizes.
        """
        import numpy as np

        places: dict[str | int, list[int]] = {}
        for place, name in enumerate(as_names(names)):
            places.setdefault(name, []).append(place)
        total = sum(map(len, places.values()))
        pixels = np.empty((total, 0, 0, 3), dtype=np.uint8)
        for number, (name, where) in enumerate(places.items()):
            picture = np.asarray(self.get(name))
            if not number:
                pixels = np.empty((total, *picture.shape), dtype=np.uint8)
            if picture.shape != pixels.shape[1:]:
                sizes = [" by ".join(map(str, s[:2])) for s in (picture.shape, pixels.shape[1:])]
                raise ValueError(f"{name} is {sizes[0]}, others are {sizes[1]}. Take one by one.")
            pixels[where] = picture
        return pixels

    def index_of(self, name: str) -> int:
        """Return the row of a picture.

        Returns
        -------
        int
            From 0.

        Raises
        ------
        KeyError
            If no picture has this name; the message has the nearest.
        TypeError
            If it is no text.
        """
        row = self._rows.get(as_name(name))
        if row is None:
            raise NoSuchNameError("picture", name, self._rows)
        return row

    def names(self) -> list[str]:
        """Return all names, in the order of the table.

        Returns
        -------
        list of str
            One for each picture.
        """
        names: list[str] = self.metadata["image_name"].tolist()
        return names

    def close(self) -> None:
        """Close the archive."""
        self._file.close()


class NoSuchNameError(KeyError):
    """There is no picture of a name; the message has the nearest that there is.

    That is looked for when the message is read. Among 25,000 names it takes a second, and scripts
    that ask for many names, and leave out those that are not there, do not read it.

    Parameters
    ----------
    what : str
        Of what kind; or the message itself, where there is nothing else: PyTorch makes errors of
        its workers so.
    name : object
    known : collection of str
    """

    def __init__(
        self, what: str, name: object = None, known: Collection[str] | None = None
    ) -> None:
        super().__init__(what if known is None else name)
        self._what, self._name, self._known = what, name, known

    def __str__(self) -> str:
        if self._known is None:
            return self._what
        near = nearest(self._name, list(self._known)) if isinstance(self._name, str) else []
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"there is no {self._what} {self._name!r} among {len(self._known):,}.{hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        return KeyError, (str(self),)
