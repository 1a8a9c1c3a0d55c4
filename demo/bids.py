"""Any BIDS bucket: one subject, with all that makes it a data set that works."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

from demo._stage import Stage, heading, say
from testbed.bids import everything
from testbed.moto_s3 import MotoS3

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["main"]

BUCKET = "bids-demo"
SUBJECT = "sub-01"


def main(stage: Stage) -> None:
    """Play the act."""
    heading("A BIDS data set: metadata at the root, MEG recordings that are folders, a derivative")
    files = everything()
    subjects = sorted({path.split("/")[0] for path in files if path.startswith("sub-")})
    say(f"{len(files)} files, {len(subjects)} subjects: {', '.join(subjects)}")
    with MotoS3({f"ds/{path}": data for path, data in files.items()}, BUCKET) as s3:
        stage.set(AWS_ENDPOINT_URL_S3=s3.url)
        heading("One subject: the plan says why each file comes along")
        stage.run(f"neurofetch get s3://{BUCKET}/ds --dest bids --subject 01 --dry-run")
        stage.run(f"neurofetch get s3://{BUCKET}/ds --dest bids --subject 01")
    folder = stage.folder / "bids"
    _look(folder, files)
    heading("The official validator: is one subject a valid data set?")
    stage.run("bids-validator-deno --ignoreNiftiHeaders --ignoreWarnings --recursive bids")
    _metadata(folder)


def _look(folder: Path, files: dict[str, bytes]) -> None:
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    here = sorted(path for path in paths if not path.startswith(".neurofetch/"))
    inner = [path for path in here if "_meg.ds/" in path]
    above = [path for path in here if SUBJECT not in path]
    say(f"{len(here)} of {len(files)} files are here; none of another subject")
    say(f"{len(inner)} of them are one MEG recording: {inner[0].rpartition('/')[0]}/")
    say(f"{len(above)} lie above the subject's folder: {', '.join(above)}")
    if any((folder / path).read_bytes() != files[path] for path in here):
        raise SystemExit("a file differs from the one in the bucket")


def _metadata(folder: Path) -> None:
    """Read with pybids what each image inherits, and find the derivative."""
    heading("pybids reads the metadata of each image, and finds the derivative")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of pybids are about its own future
        from bids import BIDSLayout  # noqa: PLC0415 - it warns when it is imported

        layout = BIDSLayout(folder, derivatives=True)
        for image in layout.get(suffix=["bold", "dwi"], extension=".nii.gz"):
            told = json.dumps(image.get_metadata(), sort_keys=True)
            say(f"{image.relpath}: {told}")
            if not told.strip("{}"):
                raise SystemExit("it has lost its metadata")
    say(f"derivatives: {', '.join(layout.derivatives)}")
