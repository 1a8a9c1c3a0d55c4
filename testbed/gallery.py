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
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import gallery_data as made
from testbed.laion import GATED, Recipe, make_bucket
from testbed.neurovault import NeuroVault
from testbed.openneuro import OpenNeuro
from testbed.s3 import HELD_OUT, S3Server
from testbed.slurm import Slurm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LAION", "laion", "leave", "neurovault", "openneuro", "slurm"]

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


def _leave_at_the_end() -> None:
    """Wait for the end of the program: servers are threads, which would keep it from ending."""
    threading.main_thread().join()
    leave()


@functools.cache
def _watch() -> None:
    threading.Thread(target=_leave_at_the_end, name="gallery").start()


def laion() -> S3Server:
    """Start a bucket of LAION-fMRI, and a server with lists of train and test."""
    _arrive()
    s3 = _world.enter_context(S3Server({"laion-fmri": _bucket()}, forbidden=(*HELD_OUT, *GATED)))
    lists = _world.enter_context(S3Server({"lists": made.split_lists(_bucket())}))
    _world.enter_context(made.lists_known(_bucket()))
    _tell(AWS_ENDPOINT_URL=s3.url, LAION_FMRI_SPLITS_URL=f"{lists.url}/lists")
    return s3


def neurovault() -> NeuroVault:
    """Start a NeuroVault with maps of studies that found the same, and a Neurosynth."""
    _arrive()
    server = _world.enter_context(NeuroVault())
    made.fill_vault(server.vault)
    _tell(NEUROVAULT_API_URL=server.api_url, NEUROSYNTH_API_URL=server.neurosynth_url)
    return server


def openneuro(*accessions: str) -> OpenNeuro:
    """Start an OpenNeuro.

    Parameters
    ----------
    *accessions
        What it has: ``ds000105`` (fMRI of two subjects, with activations), ``ds000117`` (MEG of one
        subject, with responses), ``ds000246`` (many subjects, small files).
    """
    _arrive()
    site = _world.enter_context(OpenNeuro())
    for accession in accessions:
        site.add(accession, made.versions(accession))
    _tell(OPENNEURO_URL=site.url, AWS_ENDPOINT_URL=site.bucket.url, OPENNEURO_API_KEY="")
    return site


def slurm() -> Slurm:
    """Put a stand-in for Slurm on the path: `sbatch`, `squeue` and the like, of real processes."""
    made_slurm = _world.enter_context(Slurm(os.environ["GALLERY_FOLDER"], at_once=3))
    _tell(PATH=made_slurm.environ["PATH"])
    return made_slurm


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
    laion_data = folder / "laion_fmri_data"
    laion_data.mkdir()
    _tell(
        GALLERY_FOLDER=str(folder),
        XDG_CONFIG_HOME=str(folder / "config"),
        XDG_CACHE_HOME=str(folder / "cache"),
        LAION_FMRI_DATA_DIR=str(laion_data),
        NILEARN_DATA=str(folder / "nilearn_data"),
        AWS_EC2_METADATA_DISABLED="true",
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
def _temporary(folder: Path) -> Iterator[None]:
    """Let `tempfile` make all it makes in a folder."""
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
