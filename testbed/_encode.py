"""Bytes of the file formats that a BIDS bucket holds, the same on every run.

Every function is a pure map from values to content: no clock, no file name and no random number
gets into the bytes, so one seed gives one bucket.
"""

import csv
import gzip
import io
import json
import struct
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
from nibabel.freesurfer.io import write_geometry
from nibabel.gifti.gifti import GiftiDataArray, GiftiImage
from numpy.typing import NDArray
from PIL import Image


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


def mesh(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], c_ras: Sequence[float] = (0, 0, 0)
) -> bytes:
    """Encode a surface as FreeSurfer does: about the middle of the volume, told in the footer."""
    volume = {
        "head": np.array([2, 0, 20], dtype=np.int32),
        "valid": "1  # volume info valid",
        "filename": "../mri/filled-pretess255.mgz",
        "volume": np.array([256, 256, 256]),
        "voxelsize": np.ones(3),
        "xras": np.array([-1.0, 0.0, 0.0]),
        "yras": np.array([0.0, 0.0, -1.0]),
        "zras": np.array([0.0, 1.0, 0.0]),
        "cras": np.asarray(c_ras, dtype=float),
    }
    middle = vertices - np.asarray(c_ras)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "surface"
        write_geometry(path, middle, faces, create_stamp="created by testbed", volume_info=volume)
        return path.read_bytes()


def lta(matrix: NDArray[np.float64], grid: Sequence[int], affine: NDArray[np.float64]) -> bytes:
    """Encode a linear transform from scanner to scanner coordinates as FreeSurfer's ``.lta``."""
    rows = [" ".join(f"{value: .15e}" for value in row) for row in matrix]
    centre = affine @ [*(size / 2 for size in grid), 1]
    zooms = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    lines = ["type      = 1 # LINEAR_RAS_TO_RAS", "nxforms   = 1", "mean      = 0.0 0.0 0.0"]
    lines += ["sigma     = 1.0", "1 4 4", *rows]
    for side in ("src", "dst"):
        lines += [f"{side} volume info", "valid = 1  # volume info valid", "filename = orig.mgz"]
        lines.append(f"volume = {' '.join(str(size) for size in grid)}")
        lines.append(f"voxelsize = {' '.join(f'{zoom:.15e}' for zoom in zooms)}")
        for name, column in zip(("xras", "yras", "zras"), (affine[:3, :3] / zooms).T, strict=True):
            lines.append(f"{name}   = {' '.join(f'{value: .15e}' for value in column)}")
        lines.append(f"cras   = {' '.join(f'{value: .15e}' for value in centre[:3])}")
    return ("\n".join(lines) + "\n").encode()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], sep: str = "\t") -> bytes:
    """Encode rows as a TSV (or, with ``sep=","``, a CSV), with quotes where they are needed."""
    text = io.StringIO()
    csv.writer(text, delimiter=sep, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()


def picture(pixels: NDArray[np.uint8], kind: str) -> bytes:
    """Encode colours, shape (height, width, 3 or 4), as ``JPEG`` or ``PNG``."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a grey-scale image, shape (height, width), as a PNG."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    scanlines = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, body) for kind, body in chunks)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def hdf5(datasets: Mapping[str, NDArray[Any] | Sequence[bytes] | Sequence[str]]) -> bytes:
    """Encode named arrays as an HDF5 file.

    A list of texts becomes strings, a list of bytes variable-length uint8; ``masks`` are packed.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values in datasets.items():
            if isinstance(values, np.ndarray):
                packed = {"compression": "gzip", "shuffle": True} if name == "masks" else {}
                file.create_dataset(name, data=values, track_times=False, **packed)
            else:
                _entries(file, name, values)
    return buffer.getvalue()


def _entries(file: Any, name: str, values: Sequence[bytes] | Sequence[str]) -> None:
    texts = bool(values) and isinstance(values[0], str)
    kind = h5py.string_dtype() if texts else h5py.vlen_dtype(np.dtype("uint8"))
    dataset = file.create_dataset(name, (len(values),), dtype=kind, track_times=False)
    for index, value in enumerate(values):
        dataset[index] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
