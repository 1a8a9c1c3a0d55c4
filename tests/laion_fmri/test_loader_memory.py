"""Peak memory of a whole process, on the true grid: the result and less than 100 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from isal import igzip
from nibabel import Nifti1Header, Nifti1Image
from nibabel import save as save_image

from laion_fmri.config import stores_of
from laion_fmri.subject import load_subject
from testbed.s3 import S3Server
from tests.loader_tree import GLM, anatomical_path

if TYPE_CHECKING:
    from pathlib import Path

GRID = (143, 143, 143)
VOLUMES = 40
AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])

_WAY = """
import json, sys
from pathlib import Path
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=sys.argv[1], store=sys.argv[2])
values = sub.get_betas("ses-01", **json.loads(sys.argv[3]))
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps([values.nbytes, peak, list(values.shape)]))
"""


@pytest.fixture(scope="module", params=["nii.gz", "nii"])
def root(request, tmp_path_factory) -> Path:
    """265,000 brain voxels; 470 MB decompressed."""
    tree = tmp_path_factory.mktemp("grid")
    glm = tree / GLM / "sub-01"
    func = glm / "ses-01" / "func"
    func.mkdir(parents=True)
    axes = np.meshgrid(*[np.arange(143) - 71.0] * 3, indexing="ij", sparse=True)
    radius = sum((axis / half) ** 2 for axis, half in zip(axes, (36, 44, 40), strict=True))
    brain = radius < 1
    mask = anatomical_path(tree, "sub-01")
    mask.parent.mkdir(parents=True)
    save_image(Nifti1Image(brain.astype(np.uint8), AFFINE), mask)
    rois = tree / "derivatives/rois/sub-01/face"
    rois.mkdir(parents=True)
    roi = Nifti1Image((radius < 0.01).astype(np.uint8), AFFINE)
    save_image(roi, rois / "sub-01_space-T1w_res-1pt8_label-FFA1_mask.nii.gz")
    stem = "sub-01_ses-01_task-images_space-T1w_stat-effect_desc-SingletrialBetas_statmap"
    _write(func / f"{stem}.{request.param}", brain)
    rows = [f"ses-01\t1\t{n}\t{'shared' if n % 2 else 'unique'}_{n}.jpg" for n in range(VOLUMES)]
    table = func / "sub-01_ses-01_task-images_desc-SingletrialBetas_trials.tsv"
    table.write_text("\n".join(["session\trun\tbeta_index\tlabel", *rows]) + "\n")
    return tree


def _write(path: Path, brain: np.ndarray) -> None:
    header = Nifti1Header()
    header.set_data_shape((*GRID, VOLUMES))
    header.set_data_dtype(np.float32)
    header.set_sform(AFFINE, 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    places = np.flatnonzero(brain.ravel(order="F"))
    noise = np.random.default_rng(0).standard_normal(places.size, dtype=np.float32)
    volume = np.zeros(brain.size, dtype="<f4")
    opener = igzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(header.binaryblock + b"\0" * 4)
        for number in range(VOLUMES):
            volume[places] = np.roll(noise, number)
            file.write(volume.tobytes())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store", "arguments"),
    [
        ("off", {}),
        ("off", {"roi": "FFA1"}),
        ("off", {"stimuli": "shared"}),
        ("auto", {"roi": "FFA1"}),  # builds the store
        ("read", {}),  # reads it
        ("read", {"roi": "FFA1", "stimuli": "unique"}),
    ],
)
def test_peak_memory_is_the_result_and_less_than_100_mb(root, store, arguments):
    sub = load_subject("01", data_dir=root)
    sub.remove_store()
    if store == "read":
        sub.build_store()
    run = [sys.executable, "-c", _WAY, str(root), store, json.dumps(arguments)]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    result, peak, (trials, voxels) = json.loads(done.stdout)
    assert trials == (VOLUMES // 2 if "stimuli" in arguments else VOLUMES)
    assert voxels > 250_000 or "roi" in arguments
    assert result == trials * voxels * 4
    assert peak - result < 100e6, f"{(peak - result) / 1e6:.0f} MB beside the result"
    assert (stores_of(root, None) / "sub-01.zarr").exists() == (store != "off")


_STREAM = _WAY.replace("store=sys.argv[2])", 'store="off")').replace(
    "**json.loads(sys.argv[3])", "stream=True"
)


@pytest.mark.slow
def test_peak_memory_while_streaming_from_the_bucket(root, monkeypatch):
    name = next(path for path in root.rglob("*SingletrialBetas_statmap.*"))
    key = name.relative_to(root).as_posix()
    away = root / "away"
    name.rename(away)
    try:
        with S3Server({"laion-fmri": {key.removesuffix(".gz") + ".gz": away}}) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
            run = [sys.executable, "-c", _STREAM, str(root)]
            done = subprocess.run(run, check=True, capture_output=True, text=True)
    finally:
        away.rename(name)
    result, peak, (trials, _) = json.loads(done.stdout)
    assert trials == VOLUMES
    # Of the whole process, the network engine and four connections included.
    assert peak - result < 100e6, f"{(peak - result) / 1e6:.0f} MB beside the result"
