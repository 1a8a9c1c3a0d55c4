"""The faces of a result: as a mapping, as a table of pandas, in a notebook, as text. Pure.

`Plan`, `Report` and `Audit` are values at the bottom of the program; what they look like is decided
at its top, in ``neurofetch.display``. So a value has only the methods, and who opens the front
door of the package (which is done before any module of it is there) says where they are carried
out. Nothing of ``display`` is imported before a face is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Faced", "Faces", "Viewed", "open_with"]


class Faces(Protocol):
    """What a result can look like."""

    def to_dict(self, result: Any) -> dict[str, Any]:
        """Return its values for JSON."""

    def to_dataframe(self, result: Any) -> Any:
        """Return its files as a table of pandas."""

    def html(self, result: Any) -> str | None:
        """Return it for a notebook; None where only its text can be shown."""

    def text(self, result: Any) -> str:
        """Return it for a terminal."""


class Pretty(Protocol):
    """What IPython prints with."""

    def text(self, text: str) -> None:
        """Print some text."""


class Viewed:
    """A result that a notebook shows as more than its text."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return _faces().html(self)


class Faced(Viewed):
    """A result that people and programs look at."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the same values, in the same words, as ``--json`` prints.

        Returns
        -------
        dict
            Of values that JSON can hold; ``docs/json.md`` describes them. All files are in it: for
            a million of them it takes a gigabyte.
        """
        return _faces().to_dict(self)

    def to_dataframe(self) -> Any:
        """Return a table with a row for each file, in the words of ``--json``.

        Returns
        -------
        pandas.DataFrame
            The checksum is in two columns, ``checksum_algorithm`` and ``checksum_value``.

        Raises
        ------
        ImportError
            If pandas is not installed; the message says how to install it.
        """
        return _faces().to_dataframe(self)

    def __str__(self) -> str:
        """Return what the commands print."""
        return _faces().text(self)

    def _repr_pretty_(self, printer: Pretty, cycle: bool) -> None:
        printer.text("…" if cycle else repr(self))


_open: list[Callable[[], Faces]] = []


def open_with(opener: Callable[[], Faces]) -> None:
    """Say who returns the faces, when the first is asked for."""
    _open[:] = [opener]


def _faces() -> Faces:
    return _open[0]()
