"""Zarr v3 documents of the beta store, and the layout of its one shard per session.

Written without zarr-python, because the layout is fixed and the shard is filled while the betas are
read. zarr-python, xarray and any other Zarr v3 reader can open the result (a test does).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ShardLayout", "array_document", "group_document", "index_table", "sharded_document"]

#: Voxels in a chunk. All trials of 128 voxels are one read of half a megabyte in a real session.
CHUNK_VOXELS = 128
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """Where each value of a session's betas lies in the shard.

    The shard is a row of chunks of `CHUNK_VOXELS` voxels by all trials, each chunk trial by trial
    (C order), float32 little-endian; the last one is padded with zeros. Zarr's index follows.
    """

    trials: int
    voxels: int

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.voxels // CHUNK_VOXELS)

    @property
    def row_bytes(self) -> int:
        """Bytes of one trial in one chunk."""
        return CHUNK_VOXELS * 4

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk."""
        return self.trials * self.row_bytes

    @property
    def data_bytes(self) -> int:
        """Bytes of all chunks."""
        return self.chunks * self.chunk_bytes

    @property
    def file_bytes(self) -> int:
        """Bytes of the shard: chunks, 16 bytes of index for each, a checksum of the index."""
        return self.data_bytes + 16 * self.chunks + 4


def index_table(layout: ShardLayout) -> bytes:
    """Return what ends the shard: offset and length of each chunk, and their CRC-32C."""
    from awscrt.checksums import crc32c

    size = layout.chunk_bytes
    table = b"".join(struct.pack("<QQ", chunk * size, size) for chunk in range(layout.chunks))
    return table + struct.pack("<I", crc32c(table))


def group_document(attributes: Mapping[str, Any]) -> bytes:
    """Return the ``zarr.json`` of a group."""
    return _json({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})


def sharded_document(layout: ShardLayout) -> bytes:
    """Return the ``zarr.json`` of the betas."""
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [layout.trials, CHUNK_VOXELS],
            "codecs": [_LITTLE],
            "index_codecs": [_LITTLE, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    shard = [layout.trials, layout.chunks * CHUNK_VOXELS]
    shape = [layout.trials, layout.voxels]
    return _json(_array("float32", shape, shard, ["trial", "voxel"]) | {"codecs": [sharding]})


def array_document(data_type: str, length: int, dimension: str) -> bytes:
    """Return the ``zarr.json`` of a one-dimensional array kept in one chunk."""
    return _json(_array(data_type, [length], [length], [dimension]) | {"codecs": [_LITTLE]})


def _array(
    data_type: str, shape: list[int], chunk: list[int], names: list[str]
) -> dict[str, object]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "dimension_names": names,
        "attributes": {},
    }


def _json(document: Mapping[str, object]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()
