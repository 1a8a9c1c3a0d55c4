"""A script as people have them for the public package: nothing in it knows of this one."""

import numpy as np

from laion_fmri.config import dataset_initialize, get_data_dir
from laion_fmri.discovery import describe, get_rois, get_subjects
from laion_fmri.download import download
from laion_fmri.subject import load_subject

dataset_initialize("quick_start_data")
describe()
subject = get_subjects()[0]
print("regions for faces:", ", ".join(get_rois(subject, category="face")))

download(
    subject=subject,
    ses="ses-01",
    suffix=["statmap", "trials", "mask"],
    include_embeddings=["CLIP"],
    n_jobs=4,
)

sub = load_subject(subject)
betas = sub.get_betas(session="ses-01", roi="face")
ceiling = sub.get_noise_ceiling(session="ses-01", roi="face")
print("betas of faces:", betas.shape, betas.dtype)
print("noise ceiling:", f"{np.nanmin(ceiling):.1f} to {np.nanmax(ceiling):.1f} percent")

scores = (betas - np.nanmean(betas, 0)) / np.nanstd(betas, 0)
sub.to_nifti(np.nanmean(scores, 0), get_data_dir() + "/faces.nii.gz", roi="face")
print("x, y, z of the first voxel:", sub.get_voxel_coordinates(roi="face")[0])
