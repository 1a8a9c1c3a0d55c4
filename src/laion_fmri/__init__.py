"""LAION-fMRI: download it, verify it, and load it as arrays.

Begin with `laion_fmri.download.download` and `laion_fmri.subject.load_subject`. The names below can
be imported from here too; each module is loaded when one of its names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neurofetch import __version__

if TYPE_CHECKING:
    from laion_fmri._constants import resolve_subject_id
    from laion_fmri.captions import Captions
    from laion_fmri.config import dataset_initialize, get_data_dir, set_data_dir
    from laion_fmri.discovery import describe, get_rois, get_subjects
    from laion_fmri.embeddings import Embeddings, load_embeddings
    from laion_fmri.errors import (
        DataDirNotSetError,
        DataNotDownloadedError,
        DataNotFoundError,
        LicenseNotAcceptedError,
        NoMatchingDataError,
        StimuliNotDownloadedError,
        SubjectNotFoundError,
    )
    from laion_fmri.group import Group, load_subjects
    from laion_fmri.segmentations import Segmentations
    from laion_fmri.stimuli import Stimuli, as_displayed_rgb, load_stimuli
    from laion_fmri.stimulus_downloads import (
        download_captions,
        download_embeddings,
        download_segmentations,
        download_stimuli,
        request_stimulus_access,
    )
    from laion_fmri.subject import Subject, load_subject

__all__ = [
    "Captions",
    "DataDirNotSetError",
    "DataNotDownloadedError",
    "DataNotFoundError",
    "Embeddings",
    "Group",
    "LicenseNotAcceptedError",
    "NoMatchingDataError",
    "Segmentations",
    "Stimuli",
    "StimuliNotDownloadedError",
    "Subject",
    "SubjectNotFoundError",
    "__version__",
    "as_displayed_rgb",
    "dataset_initialize",
    "describe",
    "download_captions",
    "download_embeddings",
    "download_segmentations",
    "download_stimuli",
    "get_data_dir",
    "get_rois",
    "get_subjects",
    "load_embeddings",
    "load_stimuli",
    "load_subject",
    "load_subjects",
    "request_stimulus_access",
    "resolve_subject_id",
    "set_data_dir",
]

_HOMES = {
    "_constants": ("resolve_subject_id",),
    "captions": ("Captions",),
    "config": ("dataset_initialize", "get_data_dir", "set_data_dir"),
    "discovery": ("describe", "get_rois", "get_subjects"),
    "embeddings": ("Embeddings", "load_embeddings"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "group": ("Group", "load_subjects"),
    "segmentations": ("Segmentations",),
    "stimuli": (
        *("Stimuli", "as_displayed_rgb", "load_stimuli"),
        *("load_stimulus", "load_stimulus_metadata"),  # of older versions
    ),
    "stimulus_downloads": (
        *("download_captions", "download_embeddings", "download_segmentations"),
        *("download_stimuli", "request_stimulus_access"),
    ),
    "subject": ("Subject", "load_subject"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = frozenset({
    *_HOMES, "_errors", "_paths", "_stimulus_access", "brain", "derivatives", "download", "info",
    "io", "plotting", "splits", "templates", "torch_data", "verify",
})  # fmt: skip


def __getattr__(name: str) -> object:
    """Load what is asked for: a module, or the module that has a name."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        found: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = found
        return found
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
