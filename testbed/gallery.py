"""Made-up servers on this computer, for the examples of the gallery (``docs/gallery``).

Each function starts one of them, and lets this process and those that it starts ask it in place of
the one on the internet::

    from testbed import gallery

    gallery.openneuro()
    ...  # neurofetch.get("openneuro:ds000105", folder)

Everything is written below one temporary folder: data directories, caches, settings and what
`tempfile` gives. When the next one is started, or the process ends, the servers stop, the folder is
removed and the environment is as it was.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import gallery_data as made
from testbed.laion import GATED, Recipe, make_bucket
from testbed.neurovault import NeuroVault
from testbed.openneuro import OpenNeuro
from testbed.s3 import HELD_OUT, Generated, S3Object, S3Server
from testbed.slurm import Slurm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "LAION",
    "bad_line",
    "laion",
    "leave",
    "mirrors",
    "neurovault",
    "openneuro",
    "reset",
    "slurm",
]

MIB = 1 << 20

LAION = Recipe(
    subjects=("sub-03",),
    grid=(32, 38, 30),
    trials_per_session=120,
    runs=4,
    figures_per_session=4,
)
"""A subject of LAION-fMRI, with two sessions."""

_world = contextlib.ExitStack()


def leave() -> None:
    """Stop the servers, remove the folder, and bring back the environment."""
    _world.close()


def reset(_settings: object, _script: object) -> None:
    """Leave, as sphinx-gallery asks between two examples (``reset_modules``)."""
    leave()


def _leave_at_the_end() -> None:
    """Wait for the end of the program: servers are threads, which would keep it from ending."""
    threading.main_thread().join()
    leave()


@functools.cache
def _watch() -> None:
    threading.Thread(target=_leave_at_the_end, name="gallery").start()


def laion() -> None:
    """Start a bucket of LAION-fMRI, and a server with lists of train and test."""
    _arrive()
    s3 = _world.enter_context(S3Server({"laion-fmri": _bucket()}, forbidden=(*HELD_OUT, *GATED)))
    lists = _world.enter_context(S3Server({"lists": made.split_lists(_bucket())}))
    _world.enter_context(made.lists_known(_bucket()))
    _tell(AWS_ENDPOINT_URL=s3.url, LAION_FMRI_SPLITS_URL=f"{lists.url}/lists")


def neurovault() -> None:
    """Start a NeuroVault with maps of studies that found the same, and a Neurosynth."""
    _arrive()
    server = _world.enter_context(NeuroVault())
    made.fill_vault(server.vault)
    _tell(NEUROVAULT_API_URL=server.api_url, NEUROSYNTH_API_URL=server.neurosynth_url)


def openneuro(*accessions: str) -> None:
    """Start an OpenNeuro.

    Parameters
    ----------
    *accessions
        What it has: ``ds000105`` (fMRI of two subjects, with activations), ``ds000117`` (MEG of one
        subject, with responses). By default, all of ds000105, of small files that mean nothing.
    """
    _openneuro(*accessions)


def _openneuro(*accessions: str) -> OpenNeuro:
    _arrive()
    site = _world.enter_context(OpenNeuro())
    for accession in accessions:
        site.add(accession, made.versions(accession))
    if not accessions:
        site.add("ds000105", {made.TAGS["ds000105"]: made.whole_study()})
    _tell(OPENNEURO_URL=site.url, AWS_ENDPOINT_URL=site.bucket.url, OPENNEURO_API_KEY="")
    return site


def bad_line() -> None:
    """Start a bucket with a large file, behind a slow line that breaks again and again.

    It breaks in the first six requests for the file, and, after the seventh, in six more.
    """
    _arrive()
    folder = "ds000117/sub-01/ses-meg/meg/sub-01_ses-meg_task-facerecognition_run-01"
    files: dict[str, bytes | S3Object] = {
        "ds000117/dataset_description.json": b'{"Name": "Made up", "BIDSVersion": "1.8.0"}',
        f"{folder}_meg.fif": S3Object(Generated(16 * MIB, seed=117), part_size=8 * MIB),
    }
    s3 = _world.enter_context(S3Server({"openneuro.org": files}))
    for first in (0, 7):
        for number, megabytes in enumerate((2.1, 3.6, 1.2, 4.4, 2.8, 1.6), start=first):
            cut, name = int(megabytes * MIB), "*_meg.fif"
            s3.fault(key=name, method="GET", skip=number, times=1, cut_after=cut, rate=8.0 * MIB)
    s3.fault(key="*_meg.fif", method="GET", rate=8.0 * MIB)
    _tell(AWS_ENDPOINT_URL=s3.url)


def mirrors() -> None:
    """Start three buckets of one data set: one lacks files, one has wrong bytes, one is good."""
    _arrive()
    study = made.whole_study()
    buckets = {
        "openneuro.org": {f"ds000105/{path}": data for path, data in study.items()},
        "lab-copy": {f"mirror/ds000105/{path}": data for path, data in study.items()},
        "other-copy": {f"backup/ds000105/{path}": data for path, data in study.items()},
    }
    s3 = _world.enter_context(S3Server(buckets))
    s3.fault(key="ds000105/sub-[3-6]/*_bold.nii.gz", method="GET", status=404)
    s3.fault(key="mirror/ds000105/sub-6/*_bold.nii.gz", method="GET", flip=1000)
    _tell(AWS_ENDPOINT_URL=s3.url)


def slurm() -> None:
    """Start an OpenNeuro on a slow line, and put a stand-in for Slurm on the path.

    `sbatch`, `squeue` and the like start and show real processes, three at once.
    """
    _openneuro().bucket.fault(key="*_bold.nii.gz", method="GET", rate=1e5)
    made_slurm = _world.enter_context(Slurm(os.environ["GALLERY_FOLDER"], at_once=3))
    commands = str(Path(sys.executable).parent)  # also where the environment is not activated
    _tell(PATH=os.pathsep.join([commands, made_slurm.environ["PATH"]]))


@functools.cache
def _bucket() -> dict[str, bytes]:
    return make_bucket(LAION)


def _arrive() -> None:
    """Leave the last world, and go to an empty one."""
    leave()
    _watch()
    folder = Path(tempfile.mkdtemp(prefix="neurofetch-gallery-"))
    _world.callback(shutil.rmtree, folder, ignore_errors=True)
    _world.enter_context(_environment())
    _world.enter_context(_temporary(folder / "tmp"))
    _world.enter_context(_warnings_of_no_place())
    _world.enter_context(_one_thread())
    if (before := sys.modules.get("laion_fmri.download")) is not None:
        before._Previous.root = None  # each example is as if it were a process of its own
    laion_data = folder / "laion_fmri_data"
    laion_data.mkdir()
    _tell(
        GALLERY_FOLDER=str(folder),
        XDG_CONFIG_HOME=str(folder / "config"),
        XDG_CACHE_HOME=str(folder / "cache"),
        LAION_FMRI_DATA_DIR=str(laion_data),
        NILEARN_DATA=str(folder / "nilearn_data"),
        AWS_EC2_METADATA_DISABLED="true",
        OMP_NUM_THREADS="1",  # for what is imported from here on, such as torch
    )


def _tell(**variables: str) -> None:
    os.environ.update(variables)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Bring back the environment at the end."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _warnings_of_no_place() -> Iterator[None]:
    """Let warnings tell what, and not in which file of the computer that builds the pages."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _one_thread() -> contextlib.AbstractContextManager[object]:
    """Let libraries of linear algebra use one thread: more of them mostly wait for each other."""
    try:
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn
    except ImportError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[object] = threadpool_limits(1)
    return limits


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Let `tempfile` make all it makes in a folder."""
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
