"""Read a whole cache again: every record, every volume to its end."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch._threads import together
from neurofetch.errors import VerificationError
from neurofetch.neurovault.cache.collection_lists import CollectionLists
from neurofetch.neurovault.cache.layout import Cache, find_root
from neurofetch.neurovault.cache.volume_check import check_volume
from neurofetch.neurovault.records import normal_ids
from neurofetch.store.audit import Audit, Finding, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["verify", "verify_cache"]


def verify(data_dir: str | os.PathLike[str] | None = None, collection_ids: object = None) -> Audit:
    """Read every record and every volume of the cache again.

    Parameters
    ----------
    data_dir : path-like, optional
        As for `fetch_neurovault_ids`.
    collection_ids : ids, optional
        Only these collections.

    Returns
    -------
    Audit
        One finding an image, and one for each record that is damaged or missing. Nothing is
        changed; `fetch_neurovault_ids` fetches again what is damaged.
    """
    return verify_cache(Cache(find_root(data_dir)), collection_ids)


def verify_cache(cache: Cache, collection_ids: object = None) -> Audit:
    """Read every record and every volume of a cache again; see `verify`.

    Parameters
    ----------
    cache : Cache
    collection_ids : ids, optional
        Only these collections.
    """
    began = time.monotonic()
    wanted = cache.collection_ids()
    if collection_ids is not None:
        wanted = list(normal_ids(collection_ids, "collection_ids"))
    checks = [check for number in wanted for check in _checks(cache, number)]
    findings = together(checks, max(2, os.cpu_count() or 2))
    seconds = time.monotonic() - began
    return Audit(Path(os.path.abspath(cache.root)), tuple(findings), seconds)


def _checks(cache: Cache, number: int) -> Iterator[Callable[[], Finding]]:
    """Yield the checks of one collection: of its record, then of each image."""
    yield partial(_collection, cache, number)
    here = cache.image_ids(number)
    for image_id in sorted({*here, *(CollectionLists(cache.root).read(number) or ())}):
        yield partial(_image, cache, number, image_id)


def _collection(cache: Cache, number: int) -> Finding:
    path = _relative(cache.collection_json(number))
    try:
        record = cache.read_collection(number)
    except (VerificationError, OSError) as error:
        return Finding(path, State.DIFFERS, str(error))
    if record is None:
        return Finding(path, State.MISSING, "the collection's record is not here")
    return Finding(path, State.GOOD, "whole")


def _image(cache: Cache, number: int, image_id: int) -> Finding:
    volumes = [cache.image(number, image_id), cache.resampled(number, image_id)]
    there = [path for path in volumes if path.is_file()]
    shown = _relative(there[0] if there else volumes[0])
    try:
        if cache.read_image(number, image_id) is None:
            return Finding(shown, State.MISSING, "on the collection's list, and not here")
        if not there:
            return Finding(shown, State.MISSING, "its record is here, its volume is not")
        found = [check_volume(path) for path in there]
    except (VerificationError, OSError) as error:
        return Finding(shown, State.DIFFERS, str(error))
    if not all(volume.gzipped for volume in found):
        return Finding(shown, State.DIFFERS, "it is not gzipped, and its name says that it is")
    shape = " x ".join(map(str, found[0].shape))
    return Finding(shown, State.GOOD, f"read to its end: {shape}, NIfTI-{found[0].version}")


def _relative(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
