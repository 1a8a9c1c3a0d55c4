"""Libraries that only some calls need: they are looked for before anything is asked or fetched.

``pip install neurofetch`` brings what fetching needs. Each extra brings the libraries of one kind
of further work. A call that needs one looks for it first, without importing it, so that nobody
waits for a download that cannot be used at its end.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

from neurofetch.errors import MissingExtraError

__all__ = ["EXTRAS", "Extra", "is_installed", "need"]

Extra = Literal[
    "neurovault",
    "loader",
    "plot",
    "resample",
    "stimuli",
    "template",
    "torch",
    "fsspec",
    "dask",
    "index",
    "ui",
    "notebook",
]

EXTRAS: dict[Extra, tuple[str, ...]] = {
    "neurovault": ("numpy", "pandas", "duckdb"),
    "loader": ("numpy", "nibabel", "pandas", "isal", "dask", "xarray"),
    "plot": ("nilearn", "matplotlib"),
    "resample": ("nilearn",),
    "stimuli": ("numpy", "pandas", "h5py", "PIL"),
    "template": ("nibabel", "nilearn", "nitransforms", "templateflow"),
    "torch": ("torch", "h5py", "PIL"),
    "fsspec": ("fsspec",),
    "dask": ("distributed",),
    "index": ("pyarrow",),
    "ui": ("numpy", "nibabel"),
    "notebook": ("numpy", "nibabel", "ipyniivue"),
}
"""What the calls of each extra import, by the names that `import` takes."""


def need(what: str, extra: Extra, *libraries: str) -> None:
    """See that the libraries of a call are installed.

    Parameters
    ----------
    what : str
        What needs them, as the message begins: ``"resample=True"``.
    extra : {"neurovault", "loader", "plot", "resample", "stimuli", "template", "torch", "fsspec", \
"dask", "index", "ui", "notebook"}
        The extra that brings them.
    *libraries : str
        Those that this call needs; by default all that calls of the extra do.

    Raises
    ------
    MissingExtraError
        If one is not; it names the extra.

    Examples
    --------
    >>> need("this example", "loader", "json")
    >>> need("This example", "loader", "no_such_library")
    Traceback (most recent call last):
        ...
    neurofetch.errors.MissingExtraError: This example needs no_such_library, which is not \
installed. Nothing was done. Install it with: pip install 'neurofetch[loader]'
    """
    missing = [name for name in libraries or EXTRAS[extra] if not is_installed(name)]
    if missing:
        several = len(missing) > 1
        names = f"{', '.join(missing[:-1])} and {missing[-1]}" if several else missing[0]
        raise MissingExtraError(
            f"{what} needs {names}, which {'are' if several else 'is'} not installed. Nothing was "
            f"done. Install {'them' if several else 'it'} with: pip install 'neurofetch[{extra}]'",
            name=missing[0],
            extra=extra,
        )


def is_installed(library: str) -> bool:
    """Whether a library can be imported, by what is installed; it is not loaded.

    Parameters
    ----------
    library : str
        The name of a top-level module.
    """
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):  # a finder that refuses, a module without a specification
        return False
