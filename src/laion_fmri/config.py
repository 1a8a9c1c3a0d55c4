"""The data directory and the folder for beta stores: settings, and variables that override them.

The setting is stored in ``$XDG_CONFIG_HOME/laion_fmri/config.json`` (by default
``~/.config/laion_fmri/config.json``) as ``{"data_dir": …}``, which the public package of this name
reads and writes too; ``"store_dir"`` in it is ours. ``LAION_FMRI_DATA_DIR`` and
``LAION_FMRI_STORE_DIR`` override them.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from laion_fmri.errors import DataDirNotSetError
from neurofetch.errors import ConfigError, DestinationError
from neurofetch.store.atomic import write_atomically
from neurofetch.store.folder import given_path

__all__ = [
    "DataDir",
    "DataDirNotSetError",
    "chosen_directory",
    "chosen_store_dir",
    "config_path",
    "data_directory",
    "dataset_initialize",
    "get_data_dir",
    "set_data_dir",
    "set_store_dir",
    "stores_of",
]

_VARIABLE = "LAION_FMRI_DATA_DIR"
_STORES = "LAION_FMRI_STORE_DIR"
_LONGEST = 60
"""Letters of the name of a data directory in that of its stores: each has up to four bytes."""


class DataDir(str):
    """The data directory as text, which is a path too.

    Some scripts write ``get_data_dir() + "/stimuli"``, others ``get_data_dir() / "stimuli"``. What
    text has is the text's (such as ``replace``); what only a `pathlib.Path` has is the path's
    (``/``, ``joinpath``, ``parent``, ``is_dir``, ``glob`` …). It equals the path, too.
    """

    __slots__ = ()

    def __fspath__(self) -> str:
        return str(self)

    def __truediv__(self, other: str | os.PathLike[str]) -> Path:
        return Path(str(self)) / other

    def __eq__(self, other: object) -> bool:
        return Path(str(self)) == other if isinstance(other, Path) else str(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:  # as a key it is the text; a path that it equals has another
        return super().__hash__()

    def __str__(self) -> str:
        return "".join(self)  # plain text: `str` would return this object itself

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # those that copying and pickling look for
            raise AttributeError(name)
        return getattr(Path(str(self)), name)


def config_path() -> Path:
    """Return the path of the configuration file, whether it exists or not.

    Returns
    -------
    Path
        By default below ``~/.config``.
    """
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "laion_fmri" / "config.json"


def dataset_initialize(path: str | os.PathLike[str]) -> None:
    """Choose the data directory, for now and for later.

    Parameters
    ----------
    path : str or os.PathLike
        An existing directory; it is stored as an absolute path.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    NotADirectoryError
        If it is a file.
    TypeError
        If it is neither a string nor a path.
    UsageError
        If it is empty.

    Warns
    -----
    UserWarning
        If ``LAION_FMRI_DATA_DIR`` names another directory, which is then used.

    Examples
    --------
    >>> import tempfile
    >>> from laion_fmri.config import dataset_initialize, get_data_dir
    >>> chosen = tempfile.mkdtemp()
    >>> dataset_initialize(chosen)
    >>> get_data_dir() == chosen
    True
    """
    chosen = given_path(path)
    if not os.path.exists(chosen):
        msg = f"the data directory {chosen} does not exist. Create it first: mkdir -p {chosen}"
        raise FileNotFoundError(msg)
    if not os.path.isdir(chosen):
        msg = f"the data directory {chosen} is a file. Choose a directory."
        raise NotADirectoryError(msg)
    _write({**_read(), "data_dir": str(chosen)})  # keys of other programs stay
    override = os.environ.get(_VARIABLE)
    if override and given_path(override) != chosen:
        msg = f"{_VARIABLE}={override} has priority over {chosen}. To use {chosen}, unset it."
        warnings.warn(msg, UserWarning, stacklevel=2)
    with suppress(OSError):  # a directory that others keep may be read-only, and is good enough
        (chosen / ".laion_fmri").mkdir(exist_ok=True)


set_data_dir = dataset_initialize


def get_data_dir() -> DataDir:
    """Return the data directory.

    Returns
    -------
    DataDir
        Text that can be used as a path, too: ``LAION_FMRI_DATA_DIR`` if that is set, else what
        `dataset_initialize` chose.

    Raises
    ------
    DataDirNotSetError
        If none was chosen.
    """
    text = os.environ.get(_VARIABLE) or _read().get("data_dir")
    if not text or not isinstance(text, str):
        msg = (
            "no data directory is set. Choose one: "
            "laion-fmri config --data-dir DIR, or in Python "
            "laion_fmri.config.dataset_initialize(DIR), "
            f"or set {_VARIABLE}."
        )
        raise DataDirNotSetError(msg)
    return DataDir(given_path(text))


def chosen_directory(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return a given data directory, or the configured one, whether it exists or not.

    Returns
    -------
    pathlib.Path
        The directory, which need not exist.

    Raises
    ------
    UsageError
        If what is given is no path.
    DataDirNotSetError
        If none is given or configured.
    """
    return Path(get_data_dir()) if data_dir is None else given_path(data_dir)


def data_directory(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return a given data directory, or the configured one.

    Returns
    -------
    pathlib.Path
        The directory, which exists.

    Raises
    ------
    DataDirNotSetError
        If none is given or configured.
    FileNotFoundError
        If it does not exist.
    """
    root = chosen_directory(data_dir)
    if not root.is_dir():
        raise FileNotFoundError(
            f"The data directory {root} does not exist, or is not a directory. Is its disk "
            "mounted? Choose another with laion_fmri.config.dataset_initialize(DIR)."
        )
    return root


def set_store_dir(path: str | os.PathLike[str] | None) -> None:
    """Choose the folder for beta stores, for now and for later.

    Parameters
    ----------
    path : str, os.PathLike or None
        It is stored as an absolute path, and made when a store is built. None: stores lie in the
        data directory again.

    Raises
    ------
    DestinationError
        If something else than a directory is in its place.
    UsageError
        If it is empty, or no path.

    Warns
    -----
    UserWarning
        If ``LAION_FMRI_STORE_DIR`` names another folder, which is then used.
    """
    kept = {name: value for name, value in _read().items() if name != "store_dir"}
    chosen = None if path is None else _checked_store_dir(path, "store_dir")
    _write(kept if chosen is None else {**kept, "store_dir": str(chosen)})
    override = os.environ.get(_STORES)
    if override and (chosen is None or given_path(override) != chosen):
        msg = f"{_STORES}={override} has priority over this choice. To use it, unset the variable."
        warnings.warn(msg, UserWarning, stacklevel=2)


def chosen_store_dir(store_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder for beta stores, or None where they lie in their data directories.

    Parameters
    ----------
    store_dir : str or path, optional
        By default what ``LAION_FMRI_STORE_DIR`` names, else what `set_store_dir` chose. A variable
        that is empty counts as not set.

    Returns
    -------
    Path or None
        The folder of the argument, of the environment or of the settings.

    Raises
    ------
    DestinationError
        If something else than a directory is in its place, or in that of a folder above it.
    UsageError
        If it is empty, or no path.
    """
    if store_dir is not None:
        return _checked_store_dir(store_dir, "store_dir")
    if named := os.environ.get(_STORES):
        return _checked_store_dir(named, _STORES)
    kept = _kept_store_dir()
    if not kept:
        return None
    return _checked_store_dir(kept, f"store_dir of {config_path()}")


def stores_of(data_dir: str | os.PathLike[str], store_dir: Path | None) -> Path:
    """Return the folder with the beta stores of a data directory, whether it exists or not.

    Parameters
    ----------
    data_dir : path
    store_dir : pathlib.Path or None
        From `chosen_store_dir`. Each data directory has a folder of its own in it, whose name ends
        with a hash of the whole path, so that no two share stores. A long name is cut.

    Returns
    -------
    pathlib.Path
        The folder, which need not exist.
    """
    if store_dir is None:
        return Path(data_dir) / ".laion_fmri" / "store"
    real = os.path.realpath(data_dir)
    which = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    return store_dir / f"{Path(real).name[:_LONGEST]}-{which}"


def _kept_store_dir() -> object:
    try:
        return _read().get("store_dir")
    except ConfigError as error:
        if isinstance(error.__cause__, PermissionError):  # another user's: it chose nothing for us
            return None
        raise


def _checked_store_dir(given: object, said: str) -> Path:
    path = given_path(given, f"the store directory ({said})")
    there = next((one for one in (path, *path.parents) if os.path.lexists(one)), path)
    if not os.path.isdir(there):
        what = "the store directory" if there == path else f"{there}, above the store directory,"
        msg = f"{what} is no directory: {path} ({said}). Nothing was done. Choose a directory."
        raise DestinationError(msg)
    return path


def _read() -> dict[str, Any]:
    path = config_path()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path} cannot be read: {error}. Correct it, or remove it and choose again."
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f"{path} is not a JSON object. Remove it and choose again."
        raise ConfigError(msg)
    return data


def _write(data: dict[str, Any]) -> None:
    """Replace the configuration file in one step."""
    path = config_path()
    content = json.dumps(data, indent=2) + "\n"
    try:
        write_atomically(path, content.encode(), private=True)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}. Set {_VARIABLE} instead."
        raise DestinationError(msg) from error
