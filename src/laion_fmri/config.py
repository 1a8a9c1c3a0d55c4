"""The data directory: one setting for each user, and one variable that overrides it.

The setting is stored in ``$XDG_CONFIG_HOME/laion_fmri/config.json`` (by default
``~/.config/laion_fmri/config.json``) as ``{"data_dir": …}``, which the public package of this name
reads and writes too. ``LAION_FMRI_DATA_DIR`` overrides it.
"""

from __future__ import annotations

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
    "config_path",
    "data_directory",
    "dataset_initialize",
    "get_data_dir",
    "set_data_dir",
]

_VARIABLE = "LAION_FMRI_DATA_DIR"


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
    """Return the path of the configuration file, whether it exists or not."""
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
