"""The gallery of templates: a noise ceiling in MNI305 and on fsaverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.acceptance_world import QUIET, lay_out, world
from tests.loader_tree import glm, naive_map
from tests.template_world import MNI305, templateflow, write_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

VERTICES = {"fsaverage5": 10242, "fsaverage6": 40962, "fsaverage": 163842}


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[World]:
    from laion_fmri.config import dataset_initialize

    home = write_home(tmp_path_factory.mktemp("templateflow"), "10k", "41k", "164k")
    with templateflow(home), world(tmp_path_factory.mktemp("templates")) as made:
        lay_out(made.data, "sub-01")
        dataset_initialize(str(made.data))
        yield made


def test_a_noise_ceiling_goes_to_both_templates(here):
    from laion_fmri.subject import load_subject

    sub = load_subject("sub-01")
    assert sub.has_freesurfer()
    assert sub.has_anatomical()
    nc = sub.get_noise_ceiling(session="ses-01")
    path = glm(here.data, "Noiseceiling_statmap.nii.gz", "ses-01", "sub-01")
    assert np.array_equal(nc, naive_map(here.data, path, "sub-01", "anatomical"), equal_nan=True)
    assert (nc > 0.2).any()

    image = sub.to_template(nc, "MNI305")
    assert image.shape == MNI305
    assert image.get_data_dtype() == np.float32
    values = np.asarray(image.dataobj)
    assert set(np.unique(values)) <= set(np.nan_to_num(nc))
    assert values.max() == np.nanmax(nc)

    for hemi in ("L", "R"):
        found = sub.to_template(nc, "fsaverage", hemi=hemi)
        assert found.shape == (10242,)
        assert 0 < found.max() <= np.nanmax(nc)
    for density, vertices in VERTICES.items():
        found = sub.to_template(nc, "fsaverage", hemi="L", fsaverage_density=density)
        assert found.shape == (vertices,)
