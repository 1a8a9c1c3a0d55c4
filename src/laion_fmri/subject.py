"""One subject: files on disk in, arrays out.

`load_subject` is where to begin; `Subject` has the accessors. Everything works offline on what is
on disk, and says which ``download(...)`` call brings what is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from laion_fmri import _lazy, _torch
from laion_fmri._layout import Layout, how_to_get, subject_id
from laion_fmri._values import SubjectValues
from laion_fmri.brain import volume_image, write_image

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import xarray as xr
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

    RoiQuery = str | Iterable[str]

__all__ = ["Subject", "load_subject"]


def load_subject(
    subject: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    store: Literal["auto", "read", "off"] | None = None,
) -> Subject:
    """Open a subject that is on disk.

    Parameters
    ----------
    subject : str
        ``"sub-03"`` or ``"03"``.
    data_dir : str or path, optional
        Where the dataset lies; default: the configured directory.
    store : {"auto", "read", "off"}, optional
        How the beta store is used (see `Subject.build_store`): ``"auto"`` builds a session's store
        on the first call that asks for a part of the brain, ``"read"`` uses one that is there,
        ``"off"`` always reads the files. Default: the environment variable ``LAION_FMRI_STORE``,
        else ``"auto"``.

    Returns
    -------
    Subject

    Raises
    ------
    SubjectNotFoundError
        If `subject` cannot be a subject's name.
    DataNotDownloadedError
        If nothing of the subject is on disk.
    DataDirNotSetError
        If no data directory is given or configured.
    """
    from laion_fmri._errors import DataNotDownloadedError
    from laion_fmri.discovery import data_directory, get_subjects

    root = data_directory(data_dir)
    layout = Layout(root, subject_id(subject))
    if not layout.exists():
        here = ", ".join(get_subjects(data_dir=root)) or "none"
        raise DataNotDownloadedError(
            f"Nothing of {layout.subject} is in {root}. Subjects here: {here}. This brings it:\n"
            f"{how_to_get(root, layout.subject)}"
        )
    return Subject(layout.subject, root, store=store)


class Subject(SubjectValues):
    """The data of one subject on disk.

    Voxels of all results are those of the brain mask (mean R² above 0, NaN is not brain), in the
    order of a C-order ravel of the volume grid; the mask is the same for every session. A list of
    sessions gives a dict by session.

    Parameters
    ----------
    subject_id : str
        Full form, ``"sub-03"``.
    data_dir : str or path
    store : {"auto", "read", "off"}, optional
        See `load_subject`, which checks that the subject is there.
    """

    @property
    def betas(self) -> xr.DataArray:
        """All sessions' betas as one lazy array, by the beta store.

        Nothing is read until it is computed; a session without a store gets one then. Slicing
        reads only the chunks that hold the slice.

        Returns
        -------
        xarray.DataArray
            float32 over Dask, dimensions ``trial`` and ``voxel``, sessions one after another. Along
            trials: ``session``, ``run``, ``beta_index``, ``label``. Along voxels: ``index`` (place
            in the C-order ravel of the grid) and ``x``, ``y``, ``z`` (millimetres in the scanner).

        Raises
        ------
        DataNotDownloadedError
            If no session's betas are on disk.
        """
        here = self._named_or_all(None)
        if not here:
            self._layout.missing("the betas of any session", desc="SingletrialBetas", stat="effect")
        return _lazy.lazy_betas([self._betas(name) for name in here], self._layout)

    # --- out again -------------------------------------------------------------------------------

    def to_nifti(
        self,
        values: NDArray[Any],
        output_path: str | os.PathLike[str] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
    ) -> Nifti1Image:
        """Put voxel values back on the grid; 0 elsewhere.

        Parameters
        ----------
        values : numpy.ndarray
            Shape (n_voxels,), or (n_volumes, n_voxels) for a 4-D image.
        output_path : str or path, optional
            Where to write it too, ``.nii`` or ``.nii.gz``; the file appears whole or not at all.
        roi, mask
            As in `get_betas`: which voxels the values are of. Default: the whole brain mask.

        Returns
        -------
        nibabel.Nifti1Image
            float32, with the affine of the mean-R² map.

        Raises
        ------
        ValueError
            If there are not as many values as voxels.
        """
        brain = self._select.brain
        part = brain.part(self._select.columns(roi=roi, mask=mask))
        image = volume_image(values, part, brain.header)
        if output_path is not None:
            write_image(image, Path(output_path))
        return image

    def to_torch_dataset(
        self,
        session: str | Iterable[str] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: Literal["shared", "unique"] | None = None,
        *,
        images: bool | None = None,
        image_transform: Callable[[Any], Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> _torch.TrialDataset:
        """Return a ``torch.utils.data.Dataset`` of trials, read lazily from the beta store.

        Works with any number of DataLoader workers, forked or spawned. Sessions without a store
        get one now.

        Parameters
        ----------
        session : str or list of str, optional
            Default: every session whose betas are on disk.
        roi, mask, nc_threshold, stimuli
            As in `get_betas`; with `nc_threshold`, only one session.
        images : bool, optional
            Whether items have the stimulus image; default: when the stimuli are on disk.
        image_transform : callable, optional
            Takes the PIL image; default: float32 tensor, shape (3, height, width), 0 to 1.
        transform : callable, optional
            Takes the tensor of betas.

        Returns
        -------
        torch.utils.data.Dataset
            Items are dicts: ``betas`` (float32 tensor, (n_voxels,)), ``session``, ``run``,
            ``trial`` (place in the session), ``label``, and ``image`` where asked for.

        Raises
        ------
        ImportError
            If PyTorch is not installed: ``pip install "neurofetch[torch]"``.
        StimuliNotDownloadedError
            If images are asked for and the stimuli are not on disk.
        """
        make = _torch.dataset_class()
        names = self._named_or_all(session)
        if nc_threshold is not None and len(names) != 1:
            raise ValueError(
                "nc_threshold needs one session: voxels would differ between sessions."
            )
        columns = self._select.columns(
            roi=roi, mask=mask, nc_threshold=nc_threshold, session=names[0] if names else ""
        )
        return make(
            self._layout,
            [self._betas(name) for name in names],
            columns,
            stimuli,
            images=images,
            image_transform=image_transform,
            transform=transform,
        )
