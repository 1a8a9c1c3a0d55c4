"""A small study for the tests of notebooks: 13 files."""

STUDY = {f"study/sub-{n:02}/anat/sub-{n:02}_T1w.nii.gz": bytes([n]) * 200_000 for n in range(1, 13)}
STUDY["study/dataset_description.json"] = b'{"Name": "A study", "BIDSVersion": "1.9.0"}'
