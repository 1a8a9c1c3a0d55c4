"""Where the lists come from, and where they are kept.

They are the owners' (BSD 3-Clause), in their repository on GitHub. Each is fetched once, at a fixed
commit, and kept below ``splits/`` in the data directory. Whatever the address, a list counts only
if its members are those that `laion_fmri.splits.digests` knows.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laion_fmri._dataset import DATASET
from laion_fmri.config import get_data_dir
from laion_fmri.errors import BadDataError, DataDirNotSetError, DataNotDownloadedError
from laion_fmri.splits.digests import POOLED, POOLED_SHA256, digest_of, known
from neurofetch import console
from neurofetch.engine import (
    Fetcher,
    ListedSource,
    RunSettings,
    Selection,
    checked_endpoint,
)
from neurofetch.errors import ConfigError, NeurofetchError
from neurofetch.model import IncompleteError, RemoteFile, VerificationLevel, Want

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["COMMITS", "NEWEST", "VARIABLE", "Wanted", "fetch", "load"]

VARIABLE = "LAION_FMRI_SPLITS_URL"
NEWEST = "v2"
COMMITS = {
    "v2": "cf82765ced029de81c3bec7254b8cbd6a65e3686",
    "v1": "04ee2883bba2684e65f16f11c7566e2463c9ddc5",
    "may2026": "2d7a36c7dd0b9d78b2a3c2f4575cdbb4ff41e8cd",
}
"""The commit of each generation of the ``random_*`` lists. The other lists are the same in all."""

_BASE = "https://raw.githubusercontent.com/ViCCo-Group/LAION-fMRI"
_PATH = "{commit}/laion_fmri/splits/data/{pool}/{name}.json"
_PATIENCE = 20.0
"""Seconds to wait for a network that is away: somebody waits for the names of some pictures."""
_SILENCE = 10.0
"""Seconds without a byte before another attempt, for the same reason."""


class Wanted:
    """One list: its pool, its name, its generation.

    Parameters
    ----------
    pool : str
    name : str
    generation : str
        A key of `COMMITS`.
    """

    def __init__(self, pool: str, name: str, generation: str) -> None:
        self.pool: str = pool
        self.name: str = name
        self.generation: str = generation if name.startswith("random_") else NEWEST
        self.commit: str = COMMITS[self.generation]

    def __str__(self) -> str:
        older = f" ({self.generation})" if self.generation != NEWEST else ""
        return f"{self.name} of {self.pool}{older}"

    @property
    def path(self) -> str:
        """Where it is kept, relative to the data directory."""
        return f"splits/{self.commit[:7]}/{self.pool}/{self.name}.json"

    @property
    def url(self) -> str:
        """Where it is fetched.

        Raises
        ------
        ConfigError
            If ``LAION_FMRI_SPLITS_URL`` is no URL, or has a place for something else.
        """
        given = os.environ.get(VARIABLE, "").strip() or _BASE
        pattern = given if "{" in given else f"{given.rstrip('/')}/{_PATH}"
        try:
            url = pattern.format(commit=self.commit, pool=self.pool, name=self.name)
        except (KeyError, IndexError, ValueError) as error:
            msg = f"{VARIABLE}: only {{commit}}, {{pool}} and {{name}} are filled in, not {error}."
            raise ConfigError(msg) from error
        return checked_endpoint(url, VARIABLE)

    def read(self, path: Path) -> dict[str, Any]:
        """Return the content of a file, if it is this list.

        Raises
        ------
        BadDataError
            If it is not.
        OSError
            If it cannot be read.
        """
        try:
            content = json.loads(path.read_bytes())
            variants = content["variants"]
            train, test = variants[0]["train_ids"], variants[0]["test_ids"]
            good = len(variants) == 1 and content["name"] == self.name and self._is(train, test)
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise BadDataError(str(path), f"is no list of train and test ({error!r})") from error
        if not good:
            what = f"{self.name} of the pool {self.pool!r}, generation {self.generation}"
            raise BadDataError(str(path), f"its members are not those of {what} (SHA-256)")
        found: dict[str, Any] = content
        return found

    def _is(self, train: list[str], test: list[str]) -> bool:
        if self.pool == "pooled":  # of which no list is known by its SHA-256, but the whole pool
            pool = sorted(train + test)
            names = hashlib.sha256("\n".join(pool).encode()).hexdigest()
            whole = len(test) == POOLED[self.name] and names == POOLED_SHA256
            return whole and train == sorted(train) and test == sorted(test)
        generation = self.generation if self.name.startswith("random_") else ""
        return digest_of(train, test) == known()[self.pool, self.name, generation].sha256


def load(wanted: Wanted) -> dict[str, Any]:
    """Return a list from the disk, or fetch it.

    Raises
    ------
    DataNotDownloadedError
        If it is not here and cannot be fetched (a ``FileNotFoundError``).
    BadDataError
        If what the server gives is another list.
    """
    found = _here(wanted)
    if found is None:
        fetch([wanted])
        found = _here(wanted)
    if found is None:
        raise _not_here([wanted], "it was removed while it was read")
    return found[1]


def fetch(wanted: Iterable[Wanted]) -> list[Path]:
    """Fetch the lists that are not here; return where all of them are.

    Raises
    ------
    DataNotDownloadedError
        If one cannot be fetched (a ``FileNotFoundError``).
    BadDataError
        If what the server gives is another list.
    """
    every = list(wanted)
    missing = [one for one in every if _here(one) is None]
    if missing:
        _run(missing, _home(missing))
    found = [(one, _here(one)) for one in every]
    if gone := [one for one, here in found if here is None]:
        raise _not_here(gone, "it was removed while it was read")
    return [here[0] for _, here in found if here is not None]


def _here(wanted: Wanted) -> tuple[Path, dict[str, Any]] | None:
    """Return a list that is on the disk, and where; a damaged one is as good as none."""
    for root in _roots():
        path = root / wanted.path
        try:
            return path, wanted.read(path)
        except (OSError, BadDataError):
            continue
    return None


def _roots() -> list[Path]:
    """Return where lists may be: in the data directory, and where one was not set or writable."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    cache = Path(base) / "laion-fmri"
    try:
        chosen = Path(get_data_dir())
    except DataDirNotSetError:
        return [cache]
    return [chosen, cache] if chosen.is_dir() else [cache]


def _home(missing: list[Wanted]) -> Path:
    """Return where to keep lists.

    Raises
    ------
    DataNotDownloadedError
        If there is no place for them.
    """
    roots = _roots()
    for root in roots:
        there = next(one for one in (root, *root.parents) if one.exists())
        if there.is_dir() and os.access(there, os.W_OK):
            return root
    places = " nor ".join(map(str, roots))
    raise DataNotDownloadedError(
        f"the list {missing[0]} is not on disk, and there is no place to keep it: you may not "
        f"write to {places}. Nothing was fetched. Set XDG_CACHE_HOME to a folder where you may."
    )


def _run(missing: list[Wanted], root: Path) -> None:
    files = {one.path: one for one in missing}
    remote = [RemoteFile(one.path, one.url, None) for one in missing]
    wants = tuple(Want(file, file.key) for file in remote)
    shown = ", ".join(map(str, missing[:3]))
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    lists = "the lists" if len(missing) > 1 else "the list"
    console.say(f"[laion-fmri] fetching once, into {root / 'splits'}: {lists} {shown}{more}")
    bad: list[BadDataError] = []

    def inspect(temporary: str, want: Want) -> VerificationLevel:
        try:
            files[want.path].read(Path(temporary))
        except BadDataError as error:
            told = BadDataError(want.remote.url, error.problem)
            bad.append(told)
            raise told from error
        return VerificationLevel.CHECKSUM

    patience = None if os.environ.get("NEUROFETCH_PATIENCE") else _PATIENCE
    settings = RunSettings.checked(
        n_jobs=8, progress="none", overwrite=True, patience=patience, mix=True
    )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with Fetcher(
            DATASET,
            root,
            network=replace(settings.network, read_timeout=_SILENCE),
            make_source=lambda *_: ListedSource(remote, "the owners' lists"),
        ) as fetcher:
            plan = fetcher.prepare(lambda: Selection(wants, ()), settings)
            fetcher.run(plan, settings, inspect=inspect)
    except IncompleteError as error:
        if bad:
            raise bad[0] from error
        raise _not_here(missing, str(error)) from error
    except (NeurofetchError, OSError) as error:
        if isinstance(error, ConfigError):
            raise
        raise _not_here(missing, str(error)) from error


def _not_here(missing: list[Wanted], why: str) -> DataNotDownloadedError:
    first = missing[0]
    return DataNotDownloadedError(
        f"the list {first.name!r} of the pool {first.pool!r} is not on disk, and could not be "
        f"fetched: {why}\n"
        f"Without a network: call laion_fmri.splits.download_splits() where there is one, and copy "
        f"its folder splits/ into {_roots()[0]}. Or name a mirror of the owners' repository with "
        f"{VARIABLE} (by default {_BASE})."
    )
