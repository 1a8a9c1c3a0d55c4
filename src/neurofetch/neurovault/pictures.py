"""A sheet of the maps of a collection that is in the cache; no request is made."""

from __future__ import annotations

from operator import index
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch._shown import shown
from neurofetch.errors import NothingMatchedError, UnknownValueError, WrongTypeError
from neurofetch.extras import need
from neurofetch.neurovault.cache.index import locate
from neurofetch.neurovault.cache.layout import Cache, TornRecordError, find_root
from neurofetch.pictures.front import LIBRARIES, Drawn, check_look, show_entries
from neurofetch.pictures.places import Entry, Origin
from neurofetch.pictures.targets import checked_target, free_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["show"]


def show(
    number: int,
    out: str | os.PathLike[str] | None = None,
    *,
    image: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    page: int = 1,
    limit: int = 12,
    title: str = "",
) -> Drawn:
    """Draw the maps of a collection, or one image, that are in the cache.

    Parameters
    ----------
    number : int
        The id of a collection.
    out : str or path, optional
        The picture: ``.png``, ``.svg``, ``.pdf`` or ``.html``. By default a new PNG in the current
        directory.
    image : bool
        The id is that of an image.
    data_dir : str or path, optional
        As for `fetch_neurovault_ids`.
    threshold, page, limit, title
        As for `neurofetch.pictures.show`.

    Raises
    ------
    NothingMatchedError
        If it is not in the cache; the message has the command that brings it.
    UsageError
        If a number cannot be meant.
    VerificationError
        If none of the maps can be read.
    """
    need("A picture", "plot", *LIBRARIES)
    number = _checked_id(number)
    check_look(page, limit, threshold)
    what = f"{'image' if image else 'collection'}_{number}"
    target = checked_target(Path(out)) if out is not None else free_name(what, Path())
    cache = Cache(find_root(data_dir))
    found = _found(cache, number, image=image)
    if not found:
        if not image and cache.collection_json(number).is_file():
            raise NothingMatchedError(
                f"Collection {number} is in {shown(str(cache.root))}, and has no image there. "
                f"Nothing was drawn: 'neurofetch neurovault fetch --collection {number}' brings "
                f"those that it has now."
            )
        raise NothingMatchedError(_absent(what, cache, 0, image=image))
    paths = {one: cache.image(*one) for one in found}
    missing = [path for path in paths.values() if not path.is_file()]
    entries = [_entry(cache, *one) for one, path in paths.items() if path.is_file()]
    if not entries:
        raise NothingMatchedError(_absent(what, cache, len(missing), image=image))
    record = _record_of(cache, found[0][0])
    name = _text(record, "name") or what
    doi = _text(record, "DOI")
    source = f"neurovault.org/collections/{found[0][0]}" + (f" · doi:{doi}" if doi else "")
    return show_entries(
        entries,
        target,
        Origin(cache.root, shown(name)[:120] if image else "", source),
        title or shown(entries[0].title if image and entries else name),
        threshold=threshold,
        page=page,
        limit=limit,
        notes=[_without_file(len(missing))] if missing else (),
        missing=missing,
    )


def _without_file(number: int) -> str:
    return "1 map of it has no file here" if number == 1 else f"{number:,} maps have no file here"


def _absent(what: str, cache: Cache, records: int, *, image: bool) -> str:
    """Return what is said where no map is here."""
    kind, _, number = what.partition("_")
    flag = "--image" if image else "--collection"
    is_absent = f"is not in {shown(str(cache.root))}"
    if records:
        is_absent = f"has its record in {shown(str(cache.root))}, and no map"
    return (
        f"{kind.capitalize()} {number} {is_absent}. Nothing was drawn: "
        f"'neurofetch neurovault fetch {flag} {number}' brings it."
    )


def _checked_id(given: object) -> int:
    """Return an id; tables of pandas have those of NumPy."""
    try:
        number = index(given)  # type: ignore[arg-type]  # or it is said what it is
    except TypeError:
        number = None
    if number is None or isinstance(given, bool):
        raise WrongTypeError(f"{given!r} is no id: a number is expected. Nothing was drawn.")
    if number < 1:
        msg = f"{number} is no id of NeuroVault: they begin at 1. Nothing was drawn."
        raise UnknownValueError(msg)
    return number


def _record_of(cache: Cache, collection: int) -> Mapping[str, object]:
    """Return the record of a collection; empty where it is damaged: the maps may be whole."""
    try:
        return cache.read_collection(collection) or {}
    except TornRecordError:
        return {}


def _found(cache: Cache, number: int, *, image: bool) -> list[tuple[int, int]]:
    """Return collection and image of what is here."""
    if image:
        return [(collection, one) for one, collection in locate(cache, [number]).items()]
    return [(number, one) for one in cache.image_ids(number)]


def _entry(cache: Cache, collection: int, number: int) -> Entry:
    try:
        record: Mapping[str, object] = cache.read_image(collection, number) or {}
    except TornRecordError:  # the map may be whole: what it is called is all that is lost
        record = {}
    task = _text(record, "cognitive_paradigm_cogatlas")
    name = " · ".join(part for part in (_text(record, "name") or f"image {number}", task) if part)
    mni = record.get("not_mni") is not True
    return Entry(
        *(cache.image(collection, number), name, _text(record, "map_type"), mni),
        thresholded=record.get("is_thresholded") is True,
    )


def _text(record: Mapping[str, object], name: str) -> str:
    value = record.get(name)
    return shown(value.strip()) if isinstance(value, str) else ""
