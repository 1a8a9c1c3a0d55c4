"""The columns of an index: those of bids2table, then what is known of each file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurofetch.index.entities import COLUMNS as ENTITY_COLUMNS
from neurofetch.planning.bids_schema import BIDS_VERSION, ENTITIES, INDEX_ENTITIES, SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ABOUT", "MARK", "arrow_schema"]

MARK: Final = b"neurofetch_index"
"""In the metadata of the file: by this it is known to be an index, and may be replaced."""
_FORMAT = b"1"

ABOUT: Final = {
    "dataset": "Name of the data set's folder; of a nested one with those above it.",
    "extra_entities": "Entities that BIDS does not have, and values that an entity cannot have.",
    "root": "Folder of the data set.",
    "path": "Of the file, below root.",
    "unit": "Folder of the recording that the file is a piece of, below root, such as a CTF .ds.",
    "size": "Bytes of the file that is here.",
    "mtime": "When the file that is here was modified.",
    "status": "here, missing (it was fetched, and is gone), changed (other bytes than fetched).",
    "hash": "algorithm:hex of the content; of a missing file, of what was fetched.",
    "hash_from": "receipt: computed when it came; annex: its name there; read: computed now.",
    "verified": "How the content that is here was verified when it came, or now.",
    "source": "The data set that it was fetched from.",
    "key": "Name of the object there.",
    "url": "Address of the object, without a signature.",
    "version_id": "Version of the object.",
    "etag": "ETag of the object.",
}
"""What each column is that is no entity."""


def arrow_schema() -> pa.Schema:
    """Return the schema: names, types and order are bids2table's as far as that has the columns."""
    import pyarrow as pa  # noqa: PLC0415 - of an extra

    text = pa.string()
    types = {
        "extra_entities": pa.map_(text, text),
        "root": pa.dictionary(pa.int32(), text),
        "size": pa.int64(),
        "mtime": pa.timestamp("us", tz="UTC"),
    }
    long = {short: name for name, short in ENTITIES.items()} | {"ext": "extension"}
    entities = [
        pa.field(
            name,
            pa.int32() if name in INDEX_ENTITIES else text,
            metadata={"entity": long.get(name, name)},
        )
        for name in ENTITY_COLUMNS
    ]
    first, *rest = (
        pa.field(name, types.get(name, text), metadata={"description": about})
        for name, about in ABOUT.items()
    )
    metadata = {
        MARK: _FORMAT,
        b"bids_version": BIDS_VERSION.encode(),
        b"schema_version": SCHEMA_VERSION.encode(),
    }
    return pa.schema([first, *entities, *rest], metadata=metadata)
