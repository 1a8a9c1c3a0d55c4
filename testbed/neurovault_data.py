"""The content of the local NeuroVault: collections, images and their files, made cheaply."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from testbed.neurovault_maps import brain_map, brain_map_gz, task_of

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).parent / "data" / "neurovault"
HOME = "https://neurovault.org"  # the server puts its own address in its place

Record = dict[str, Any]
_VOLUMES = 6  # distinct volumes; every other image shares one of them


@functools.cache
def _recorded_text(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def recorded(name: str) -> Any:
    """Return one recorded answer of the real server (a fresh copy)."""
    return json.loads(_recorded_text(f"{name}.json"))


@dataclass(frozen=True)
class Volume:
    """How to make the bytes of one media file."""

    seed: int
    packed: bool = True
    voxel_mm: float = 4.0

    def body(self) -> bytes:
        """Return the file's bytes."""
        make = brain_map_gz if self.packed else brain_map
        return make(self.seed, self.voxel_mm)


@dataclass
class Vault:
    """Everything the local NeuroVault holds.

    `media` is keyed by unquoted URL path; `tokens` has the letters of private collections; `words`
    has what Neurosynth says of an image, where it is not made up.
    """

    collections: dict[int, Record] = field(default_factory=dict)
    images: dict[int, Record] = field(default_factory=dict)
    media: dict[str, Volume | bytes] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    words: dict[int, dict[str, float]] = field(default_factory=dict)
    _members: dict[int, dict[int, Record]] = field(default_factory=dict, repr=False)

    def add_collection(self, collection_id: int, images: Iterable[int] = (), **fields: Any) -> None:
        """Add a collection, with one ordinary image for each id in `images`.

        Fields of the record are overridden by keyword; ``private=True`` hides it. With
        ``token="GFKZKPAQ"``, it is private, and has these letters in its address.
        """
        token = fields.pop("token", None)
        if token is not None:
            self.tokens[token] = collection_id
            fields = {"private": True, "url": f"{HOME}/collections/{token}/", **fields}
        made = recorded("collection_8477")
        text = json.dumps(made).replace("8477", str(collection_id))
        record = json.loads(text) | {
            "name": f"Collection {collection_id}",
            "number_of_images": 0,
            "authors": "A. Author and B. Author",
            "modify_date": f"2020-07-{1 + collection_id % 28:02d}T21:59:41.945915Z",
        }
        self.collections[collection_id] = record | fields
        for image_id in images:
            self.add_image(image_id, collection_id)

    def add_image(
        self,
        image_id: int,
        collection_id: int,
        *,
        filename: str | None = None,
        volume: Volume | bytes | None = None,
        missing: bool = False,
        **fields: Any,
    ) -> None:
        """Add an image and its file.

        Parameters
        ----------
        image_id, collection_id
            Where it goes; the collection must exist.
        filename
            Unquoted name below the collection's media folder, ``"map_<id>.nii.gz"`` by default;
            a NIDM map has a folder in it; the ending decides whether the file is gzipped.
        volume
            Content, if not one of the usual maps.
        missing
            The file is not on the server: ``file_size`` 0 and a 404.
        **fields
            Override fields of the record.
        """
        filename = filename or f"map_{image_id}.nii.gz"
        path = f"/media/images/{collection_id}/{filename}"
        if volume is None:
            volume = Volume(image_id % _VOLUMES, packed=filename.endswith(".gz"))
        record = recorded("image_396069") | {
            "id": image_id,
            "url": f"{HOME}/images/{image_id}/",
            "file": HOME + quote(path),
            "collection": f"{HOME}/collections/{collection_id}/",
            "collection_id": collection_id,
            "file_size": 0 if missing else len(_body(volume)),
            "name": f"map {image_id}",
            "map_type": "T map" if image_id % 2 else "Z map",
            "cognitive_paradigm_cogatlas": task_of(image_id % _VOLUMES),
            "modify_date": f"2020-07-{1 + image_id % 28:02d}T22:14:30.314520Z",
        }
        self._insert(record | fields, None if missing else volume)

    def add_recorded(self) -> None:
        """Add the collections and images that were recorded from the real server."""
        self.add_collection(1615, name="Recorded collection 1615")
        for number in (8477, 8478):
            self.collections[number] = recorded(f"collection_{number}")
        for record in recorded("collection_1615_images")["results"] + [recorded("image_396069")]:
            volume = Volume(record["id"] % _VOLUMES)
            self._insert(record | {"file_size": len(volume.body())}, volume)

    def body(self, path: str) -> bytes | None:
        """Return the media file at an unquoted URL path, None when there is none."""
        found = self.media.get(path)
        return None if found is None else _body(found)

    def images_of(self, collection_id: int) -> list[Record]:
        """Return the image records of one collection, by id."""
        return [record for _, record in sorted(self._members.get(collection_id, {}).items())]

    def _insert(self, record: Record, volume: Volume | bytes | None) -> None:
        self.images[record["id"]] = record
        self._members.setdefault(record["collection_id"], {})[record["id"]] = record
        self.collections[record["collection_id"]]["number_of_images"] += 1
        if volume is not None:
            self.media[unquote(record["file"].removeprefix(HOME))] = volume


def _body(volume: Volume | bytes) -> bytes:
    return volume.body() if isinstance(volume, Volume) else volume
