"""What cannot be shown, and what the reader can do about it."""

from __future__ import annotations

from neurofetch.errors import NeurofetchError
from neurofetch.ui.web import NotThereError

__all__ = ["UnreadableFileError", "changed", "damaged", "gone"]


class UnreadableFileError(NeurofetchError, ValueError):
    """A file that is there cannot be shown: it is damaged, too large, or of a kind we do not read.

    Parameters
    ----------
    name : str
        The file.
    problem : str
        As "ends in frame 3 of 8".
    advice : str
        What the reader can do.
    """

    def __init__(self, name: str, problem: str, advice: str) -> None:
        super().__init__(name, problem, advice)
        self.name = name
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.name} {self.problem}. It is not shown. {self.advice}"


def damaged(name: str, problem: str) -> UnreadableFileError:
    """Return the error of a file whose bytes are not those that were sent.

    Parameters
    ----------
    name : str
    problem : str
    """
    advice = "Run `neurofetch verify` on its data directory: it says which files to fetch again."
    return UnreadableFileError(name, problem, advice)


def gone(name: str) -> NotThereError:
    """Return the error of a file that was there when the page looked.

    Parameters
    ----------
    name : str
    """
    msg = f"{name} is not there any more, or something else is in its place. Load the list again."
    return NotThereError(msg)


def changed(name: str) -> NotThereError:
    """Return the error of a file that is another one than the page looked at.

    Parameters
    ----------
    name : str
    """
    msg = f"{name} was changed since the page looked at it. Nothing is shown of it. Open it again."
    return NotThereError(msg)
