"""Bytes of the file formats that a BIDS bucket holds, the same on every run.

Every function is a pure map from values to content: no clock, no file name and no random number
gets into the bytes, so one seed gives one bucket.
"""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import h5py
import nibabel as nib
import numpy as np
from nibabel.gifti.gifti import GiftiDataArray, GiftiImage
from numpy.typing import NDArray


def nifti(data: NDArray[Any], affine: NDArray[np.float64], tr: float | None = None) -> bytes:
    """Encode ``data`` as a gzipped NIfTI-1 file with a scanner affine in sform and qform."""
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    if tr is not None:
        image.header["pixdim"][4] = tr
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def mgz(data: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    """Encode ``data`` as a FreeSurfer ``.mgz`` volume."""
    return gzip.compress(nib.MGHImage(data, affine).to_bytes(), compresslevel=1, mtime=0)


def gifti(values: NDArray[np.float32]) -> bytes:
    """Encode one value per vertex as a GIFTI functional file."""
    array = GiftiDataArray(values, intent="NIFTI_INTENT_NONE")
    content: bytes = GiftiImage(darrays=[array]).to_bytes()
    return content


def freesurfer_label(vertices: Iterable[int], subject: str) -> bytes:
    """Encode a set of surface vertices as a FreeSurfer ASCII label."""
    rows = [f"{vertex}  0.000  0.000  0.000 0.0000000000" for vertex in vertices]
    head = [f"#!ascii label  , from subject {subject} vox2ras=TkReg", str(len(rows))]
    return ("\n".join([*head, *rows]) + "\n").encode()


def json_text(values: Mapping[str, object]) -> bytes:
    """Encode a sidecar."""
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], sep: str = "\t") -> bytes:
    """Encode rows as a TSV (or, with ``sep=","``, a CSV without quoting)."""
    lines = [columns, *rows]
    return ("\n".join(sep.join(map(str, line)) for line in lines) + "\n").encode()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a grey-scale image, shape (height, width), as a PNG."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    scanlines = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, body) for kind, body in chunks)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def hdf5(datasets: Mapping[str, NDArray[Any] | Sequence[bytes]]) -> bytes:
    """Encode named arrays as an HDF5 file; a list of bytes becomes variable-length uint8."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values in datasets.items():
            if isinstance(values, np.ndarray):
                file.create_dataset(name, data=values, track_times=False)
            else:
                _blobs(file, name, values)
    return buffer.getvalue()


def _blobs(file: Any, name: str, values: Sequence[bytes]) -> None:
    kind = h5py.vlen_dtype(np.dtype("uint8"))
    dataset = file.create_dataset(name, (len(values),), dtype=kind, track_times=False)
    for index, value in enumerate(values):
        dataset[index] = np.frombuffer(value, dtype=np.uint8)
