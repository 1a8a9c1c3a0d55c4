"""TemplateFlow's files, as far as they are needed: made here, so that nothing is fetched."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from testbed._anatomy import sphere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEVELS = {"10k": 5, "41k": 6, "164k": 7}
MNI305 = (172, 220, 156)


def write_home(home: Path, *densities: str, grid: tuple[int, int, int] = MNI305) -> Path:
    """Write the spheres of fsaverage and the grid of MNI305, under TemplateFlow's names."""
    folder = home / "tpl-fsaverage"
    folder.mkdir(parents=True)
    for density in densities:
        points, faces = sphere(LEVELS[density])
        arrays = [
            nib.gifti.GiftiDataArray(
                (100 * points).astype(np.float32), intent="NIFTI_INTENT_POINTSET"
            ),
            nib.gifti.GiftiDataArray(faces, intent="NIFTI_INTENT_TRIANGLE"),
        ]
        content = nib.gifti.GiftiImage(darrays=arrays).to_bytes()
        for hemi in ("L", "R"):
            for desc in ("", "desc-std_") if density == "164k" else ("",):
                name = f"tpl-fsaverage_hemi-{hemi}_den-{density}_{desc}sphere.surf.gii"
                (folder / name).write_bytes(content)
    folder = home / "tpl-MNI305"
    folder.mkdir()
    affine = np.diag([-1.0, 1, 1, 1])
    affine[:3, 3] = [grid[0] / 2, -grid[1] / 2, -grid[2] / 2]
    nib.save(nib.Nifti1Image(np.ones(grid, np.uint8), affine), folder / "tpl-MNI305_T1w.nii.gz")
    return home


@contextmanager
def templateflow(home: Path) -> Iterator[None]:
    """Let TemplateFlow have its files here, or skip where it is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPLATEFLOW_HOME", str(home))
        patch.setenv("TEMPLATEFLOW_AUTOUPDATE", "off")
        pytest.importorskip("templateflow")
        pytest.importorskip("nitransforms")
        yield
