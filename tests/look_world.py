"""A page that looks into a folder: requests as the page makes them, answers as it gets them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np

from neurofetch.ui.directories import Directories
from neurofetch.ui.look import routes
from neurofetch.ui.web import Request, Response, Router

if TYPE_CHECKING:
    from pathlib import Path

AFFINE = np.array([[-2, 0, 0, 30], [0, 2.5, 0, -40], [0, 0, 3, -20], [0, 0, 0, 1.0]])


class Page:
    """What the page does with one data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._router = Router(routes(Directories([root])))

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Response:
        """Ask for something."""
        texts = {name: str(value) for name, value in query.items()}
        return self._router.respond(Request("GET", path, texts, headers or {}))

    def json(self, path: str, status: int = 200, **query: Any) -> dict[str, Any]:
        """Ask for a document, and see that it comes with this status."""
        response = self.get(path, **query)
        assert response.status == status, response.body[:400]
        found: dict[str, Any] = json.loads(response.body)
        return found

    def shelf(self, **query: Any) -> dict[str, dict[str, Any]]:
        """Return what is there, by path."""
        items = self.json("api/shelf", directory="d1", **query)["items"]
        return {one["path"]: one for one in items}

    def id(self, path: str) -> str:
        """Return the id of a file."""
        return str(self.shelf()[path]["item"])

    def of(self, path: str, what: str = "", status: int = 200, **query: Any) -> dict[str, Any]:
        """Return a document about a file."""
        return self.json(f"api/items/{self.id(path)}{what}", status, **query)

    def volume(self, path: str, **query: Any) -> Response:
        """Return what the viewer gets of a file."""
        response = self.get(f"api/items/{self.id(path)}/volume", **query)
        assert response.status == 200, response.body[:400]
        return response

    def error(self, path: str, what: str, status: int, **query: Any) -> str:
        """Return the message of a request for a file that fails with this status."""
        return str(self.of(path, what, status, **query)["error"]["message"])


def image_of(response: Response) -> Any:
    """Return an answer as nibabel reads it."""
    body = response.body
    if response.headers["X-Neurofetch-Name"].endswith(".gz"):
        body = gzip.decompress(body)
    is_second = body[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    kind = nibabel.Nifti2Image if is_second else nibabel.Nifti1Image
    return kind.from_bytes(body)


def series(shape: tuple[int, ...], dtype: str = "<f4", seed: int = 0) -> Any:
    """Return values of a type that are all different, or nearly."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, dtype=kind.newbyteorder("=")).astype(kind)
    values = rng.standard_normal(shape) * 10
    if kind.kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(kind)


def save(path: Path, data: Any, affine: Any = AFFINE, kind: Any = nibabel.Nifti1Image) -> Any:
    """Write a volume as nibabel does; return the image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = kind.header_class(endianness=">" if data.dtype.byteorder == ">" else "<")
    header.set_data_dtype(data.dtype)
    image = kind(data, affine, header=header)
    if data.ndim > 3:
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 1.5
    nibabel.save(image, path)
    return image
