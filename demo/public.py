"""A script that was written for the public package of LAION-fMRI runs as it is."""

from __future__ import annotations

import numpy as np
from nibabel.nifti1 import Nifti1Image

from demo._stage import HERE, Stage, heading, say
from testbed.laion import GATED, Recipe, make_bucket
from testbed.moto_s3 import MotoS3
from testbed.s3 import HELD_OUT

__all__ = ["main"]

SCRIPT = HERE / "quick_start.py"
RECIPE = Recipe(unfitted=3)


def main(stage: Stage) -> None:
    """Play the act."""
    heading("A script for the public package, unchanged, from an empty directory to a map")
    (stage.folder / "quick_start_data").mkdir()
    objects = make_bucket(RECIPE)
    with MotoS3(objects, forbidden=(*HELD_OUT, *GATED)) as s3:
        stage.set(AWS_ENDPOINT_URL_S3=s3.url, LAION_FMRI_ACCEPT_LICENSE="CC0-1.0")
        stage.run(f"python {SCRIPT}")
    image = Nifti1Image.from_filename(stage.folder / "quick_start_data" / "faces.nii.gz")
    values = np.asarray(image.dataobj)
    say(f"faces.nii.gz: {values.shape}, {np.count_nonzero(values):,} voxels are not 0")
    if not values.any():
        raise SystemExit("the map is empty")
