"""Values of a subject in spaces that subjects share: MNI305 as a volume, fsaverage as a surface.

Begin with `laion_fmri.subject.Subject.to_template`, or with these functions, which take the subject
first. What comes from where:

============== =======================================================================
``MNI305``     the affine that FreeSurfer found for the subject
               (``mri/transforms/talairach.lta``), nearest neighbour, on the grid of
               TemplateFlow's ``tpl-MNI305_T1w``
``fsaverage``  `nilearn.surface.vol_to_surf` onto the subject's own surface, then from its
               ``sphere.reg`` to TemplateFlow's sphere of fsaverage (barycentric)
============== =======================================================================

NaN becomes 0 before anything is resampled, as in the public package. The templates themselves are
TemplateFlow's: it fetches them once, into ``TEMPLATEFLOW_HOME``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from laion_fmri._template_spaces import (
    SIDES,
    Hemisphere,
    MaskSource,
    check_surface,
    in_mni305,
    maps_of,
    on_fsaverage,
    on_own_surface,
    one_of,
    without_nan,
)
from laion_fmri.brain import write_image
from laion_fmri.loader.layout import session_id
from neurofetch.errors import DestinationError, UnknownValueError, UsageError
from neurofetch.extras import need
from neurofetch.store.atomic import replacing

if TYPE_CHECKING:
    import numpy as np
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

    from laion_fmri._template_spaces import OfSubject

    Floats = NDArray[np.float32]

__all__ = ["surface_to_template", "to_template", "volume_to_surface", "volume_to_template"]

#: Of what kind each target is.
TARGETS = {"MNI305": "volume", "fsaverage": "surface"}

#: TemplateFlow's name of each density of fsaverage.
DENSITIES = {
    "fsaverage5": "10k",
    "fsaverage6": "41k",
    "fsaverage": "164k",
    "fsaverage7": "164k",
}

STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}


def to_template(
    subject: OfSubject,
    values: NDArray[Any] | str | os.PathLike[str] | Nifti1Image,
    target: str,
    *,
    hemi: Hemisphere | None = None,
    route: Literal["auto", "volume", "surface"] = "auto",
    surface: str = "white",
    fsaverage_density: str = "fsaverage5",
    fslr_density: str = "32k",
    interpolation: str = "linear",
    output_dir: str | os.PathLike[str] | None = None,
    desc: str | None = None,
    session: str | None = None,
    mask_source: MaskSource = "anatomical",
) -> Nifti1Image | Floats | dict[str, Floats]:
    """Take values of a subject's voxels to a template.

    Parameters
    ----------
    subject : Subject
        Of `laion_fmri.subject.load_subject`.
    values : numpy.ndarray or path or image
        One value for each voxel of the mask, shape (n_voxels,), or (n_trials, n_voxels); or a NIfTI
        volume in the subject's T1w space.
    target : {"MNI305", "fsaverage"}
    hemi : {"L", "R"}, optional
        One hemisphere of fsaverage; default: both, by their names.
    route : {"auto", "volume", "surface"}
        How values get there. Each target has one route, so it can be left out.
    surface : str
        Which of the subject's surfaces samples the volume: ``"white"`` or ``"pial"``.
    fsaverage_density : {"fsaverage5", "fsaverage6", "fsaverage", "fsaverage7"}
        10,242, 40,962 or 163,842 vertices a hemisphere; the last two are the same.
    fslr_density : str
        Not used: there is no such target yet.
    interpolation : str
        Of `nilearn.surface.vol_to_surf`.
    output_dir : path, optional
        Where to write the result too; it is made if it does not exist.
    desc, session : str, optional
        For the names of these files: ``sub-01_ses-01_space-MNI305_desc-nc_statmap.nii.gz``.
    mask_source : {"anatomical", "rsquare"}
        Which mask the values are of.

    Returns
    -------
    nibabel.Nifti1Image or numpy.ndarray or dict
        ``"MNI305"``: a float32 image, 3-D, or 4-D for several trials. ``"fsaverage"``: float32,
        shape (n_vertices,) or (n_trials, n_vertices); a dict of ``"L"`` and ``"R"`` without `hemi`.

    Raises
    ------
    ValueError
        If there are not as many values as voxels, or an argument names what does not exist.
    DataNotDownloadedError
        If the mask, or a FreeSurfer file, is not on disk (a ``FileNotFoundError``).
    BadDataError
        If such a file, or one of TemplateFlow's, is damaged; the message names it.
    DestinationError
        If `output_dir` cannot be one (an ``OSError``); before anything is resampled.
    UnreachableError
        If TemplateFlow does not get its sphere.
    MissingExtraError
        If a library is not installed (an ``ImportError``): ``pip install 'neurofetch[template]'``.

    Warns
    -----
    UserWarning
        If TemplateFlow does not get MNI305: then the result is on the grid of the input. If parts
        of a surface lie outside of the volume: there it is NaN.
    """
    del fslr_density
    need("to_template()", "template", "nibabel", "nilearn", "nitransforms", "templateflow")
    one_of("target", target, TARGETS)
    if route not in ("auto", TARGETS[target]):
        raise UnknownValueError(
            f"route={route!r} does not lead to {target}: expected 'auto' or {TARGETS[target]!r}."
        )
    sides = _sides(hemi)
    check_surface(surface)
    density = DENSITIES[one_of("fsaverage_density", fsaverage_density, DENSITIES)]
    names = _Names(subject.subject_id, target, desc=desc, session=session, folder=output_dir)
    maps = maps_of(subject, values, mask_source)
    if target == "MNI305":
        image = in_mni305(subject, maps)
        names.write_volume(image)
        return image
    found: dict[str, Floats] = {}
    for side in sides:
        on_own = on_own_surface(subject, maps, side, surface, interpolation)
        found[side] = on_fsaverage(subject, on_own, side, density)
        names.write_surface(found[side], side, density)
    return found if hemi is None else found[hemi]


def volume_to_surface(
    subject: OfSubject,
    values: NDArray[Any] | str | os.PathLike[str] | Nifti1Image,
    target: str = "fsaverage",
    **keywords: Any,
) -> Floats | dict[str, Floats]:
    """Take values of a subject's voxels to a template that is a surface; see `to_template`.

    Parameters
    ----------
    subject, values
        As there.
    target : {"fsaverage"}
    **keywords
        The others of `to_template`.

    Returns
    -------
    numpy.ndarray or dict

    Raises
    ------
    ValueError
        If `target` is a volume, and as there.
    """
    _kind("volume_to_surface", target, "surface")
    return to_template(subject, values, target, **keywords)  # type: ignore[return-value]


def volume_to_template(
    subject: OfSubject,
    values: NDArray[Any] | str | os.PathLike[str] | Nifti1Image,
    target: str,
    **keywords: Any,
) -> Nifti1Image:
    """Take values of a subject's voxels to a template that is a volume; see `to_template`.

    Parameters
    ----------
    subject, values
        As there.
    target : {"MNI305"}
    **keywords
        The others of `to_template`.

    Returns
    -------
    nibabel.Nifti1Image

    Raises
    ------
    ValueError
        If `target` is a surface, and as there.
    """
    _kind("volume_to_template", target, "volume")
    return to_template(subject, values, target, **keywords)  # type: ignore[return-value]


def surface_to_template(
    subject: OfSubject,
    values: NDArray[Any] | Mapping[str, NDArray[Any]],
    target: str = "fsaverage",
    *,
    hemi: Hemisphere | None = None,
    fsaverage_density: str = "fsaverage5",
    output_dir: str | os.PathLike[str] | None = None,
    desc: str | None = None,
    session: str | None = None,
) -> Floats | dict[str, Floats]:
    """Take values of a subject's own surfaces (``fsnative``) to fsaverage.

    Parameters
    ----------
    subject : Subject
    values : numpy.ndarray or dict
        Shape (n_vertices,) or (n_maps, n_vertices), of one hemisphere; or a dict of such by ``"L"``
        and ``"R"``.
    target : {"fsaverage"}
    hemi : {"L", "R"}, optional
        Which hemisphere an array is of.
    fsaverage_density, output_dir, desc, session
        As in `to_template`.

    Returns
    -------
    numpy.ndarray or dict
        float32, an array for an array and a dict for a dict.

    Raises
    ------
    ValueError
        If the number of vertices is another one than the surface's, an array comes without `hemi`,
        or `hemi` with a dict that lacks it.
    DataNotDownloadedError, UnreachableError, MissingExtraError
        As in `to_template`.
    """
    need("surface_to_template()", "template", "nibabel", "nitransforms", "templateflow")
    _kind("surface_to_template", target, "surface")
    density = DENSITIES[one_of("fsaverage_density", fsaverage_density, DENSITIES)]
    names = _Names(subject.subject_id, target, desc=desc, session=session, folder=output_dir)
    given: Mapping[Any, Any] = values if isinstance(values, Mapping) else {hemi: values}
    single = given is not values
    if not given:
        raise UsageError("values is an empty dict: expected arrays by 'L' and 'R'.")
    if single and hemi is None:
        raise UsageError("values is an array: say with hemi='L' or 'R' which hemisphere.")
    if hemi is not None and hemi not in given:
        raise UsageError(f"hemi={hemi!r}, but values has {', '.join(given) or 'nothing'}.")
    found: dict[str, Floats] = {}
    for name, array in given.items():
        side = _sides(name)[0]
        found[side] = on_fsaverage(subject, without_nan(array), side, density)
        names.write_surface(found[side], side, density)
    return found[str(hemi)] if single else found


# --- what is asked for ----------------------------------------------------------------------------


def _kind(function: str, target: str, kind: str) -> None:
    if TARGETS[one_of("target", target, TARGETS)] != kind:
        fitting = ", ".join(name for name, its in TARGETS.items() if its == kind)
        raise UsageError(
            f"{function}() ends at a {kind}, and {target} is a {TARGETS[target]}. Use target="
            f"{fitting!r}, or to_template()."
        )


def _sides(hemi: object) -> list[Hemisphere]:
    if hemi is None:
        return list(SIDES)
    for side in SIDES:
        if hemi == side:
            return [side]
    raise UnknownValueError(f"hemi={hemi!r}: expected 'L' or 'R'.")


# --- files ----------------------------------------------------------------------------------------


def _checked_folder(given: object) -> Path:
    """Return a folder to write to, before anything is resampled."""
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise UsageError(f"output_dir={given!r}: expected a folder; '.' is the current one.")
    folder = Path(given).expanduser()
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise DestinationError(f"output_dir={str(given)!r}: {there} is a file, and no folder.")
    if not os.access(there, os.W_OK):
        raise DestinationError(f"output_dir={str(given)!r}: {there} is not writable.")
    return folder


class _Names:
    """Where results are written, and under which names; nowhere without a folder."""

    def __init__(
        self,
        subject: str,
        target: str,
        *,
        desc: str | None,
        session: str | None,
        folder: str | os.PathLike[str] | None,
    ) -> None:
        if desc is not None and not (isinstance(desc, str) and re.fullmatch("[A-Za-z0-9]+", desc)):
            raise UsageError(f"desc={desc!r}: expected letters and digits, for a file name.")
        self.folder = None if folder is None else _checked_folder(folder)
        between = [subject, *([session_id(session)] if session is not None else [])]
        self.begin = "_".join([*between, f"space-{target}"])
        self.end = f"_desc-{desc}_statmap" if desc is not None else "_statmap"

    def write_volume(self, image: Nifti1Image) -> None:
        """Write a volume."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_image(image, self.folder / f"{self.begin}{self.end}.nii.gz")

    def write_surface(self, values: Floats, side: str, density: str) -> None:
        """Write maps of one hemisphere, each a data array of one GIFTI file."""
        if self.folder is None:
            return
        import numpy as np
        from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

        self.folder.mkdir(parents=True, exist_ok=True)
        make: Any = GiftiDataArray
        arrays = [
            make(row, intent="NIFTI_INTENT_NONE", datatype="NIFTI_TYPE_FLOAT32")
            for row in np.atleast_2d(values)
        ]
        meta = GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURES[side]})
        content: bytes = GiftiImage(darrays=arrays, meta=meta).to_bytes()
        name = f"{self.begin}_den-{density}_hemi-{side}{self.end}.func.gii"
        with replacing(self.folder / name) as temporary:
            Path(temporary).write_bytes(content)
