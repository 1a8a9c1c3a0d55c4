"""One subject: files on disk in, arrays out.

Begin with `load_subject`; `Subject` has the accessors. Everything works offline, on what is on
disk. Where something is missing, the error has the ``download(...)`` call that brings it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from laion_fmri import templates
from laion_fmri._names import also_named
from laion_fmri.brain import volume_image, write_image
from laion_fmri.config import data_directory
from laion_fmri.discovery import get_subjects
from laion_fmri.errors import DataNotDownloadedError
from laion_fmri.loader.betas import BetaStore
from laion_fmri.loader.layout import Layout, how_to_get, session_id, session_ids, subject_id
from laion_fmri.loader.lazy import lazy_betas, trial_frame
from laion_fmri.loader.rois import Rois
from laion_fmri.loader.torch_dataset import dataset_class
from laion_fmri.loader.trials import read_trials
from laion_fmri.loader.voxels import read_map, voxel_columns
from laion_fmri.trial_stimuli import WithStimuli
from laion_fmri.volumes.brain_mask import Brain, read_brain, voxel_coordinates
from neurofetch.extras import need

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import numpy as np
    import pandas as pd
    import xarray as xr
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray
    from torch.utils.data import Dataset

    from laion_fmri.loader.betas import StoreMode
    from laion_fmri.loader.rois import RoiQuery
    from laion_fmri.loader.trials import StimulusKind

    Floats = NDArray[np.float32]

__all__ = ["Subject", "load_subject"]

T = TypeVar("T")


@also_named(sub="subject")
def load_subject(
    subject: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    store: StoreMode | None = None,
) -> Subject:
    """Open a subject that is on disk.

    Parameters
    ----------
    subject : str
        ``"sub-03"`` or ``"03"``.
    data_dir : str or path, optional
        Where the dataset is; default: the configured directory.
    store : {"auto", "read", "off"}, optional
        How the beta store is used (see `Subject.build_store`): ``"auto"`` builds a session's store
        on the first call that asks for a part of the brain, ``"read"`` uses a store that exists,
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
    MissingExtraError
        If what reads the files is not installed: ``pip install 'neurofetch[loader]'``.
    """
    _need_libraries()
    root = data_directory(data_dir)
    layout = Layout(root, subject_id(subject))
    if not layout.exists():
        here = ", ".join(get_subjects(data_dir=root)) or "none"
        raise DataNotDownloadedError(
            f"Nothing of {layout.subject} is in {root}. Subjects here: {here}. This brings it:\n"
            f"{how_to_get(root, layout.subject)}"
        )
    return Subject(layout.subject, root, store=store)


def _need_libraries() -> None:
    """See that what the accessors read files with is installed, before the first of them."""
    need("reading a subject", "loader", "numpy", "nibabel", "pandas", "isal")


class Subject(WithStimuli):
    """The data of one subject on disk.

    The voxels of all results are those of the brain mask (mean R² above 0; NaN is not brain), in
    the order of a C-order ravel of the volume grid. The mask is the same for every session. A list
    of sessions gives a dict by session.

    Parameters
    ----------
    subject_id : str
        Full form, ``"sub-03"``.
    data_dir : str or path
    store : {"auto", "read", "off"}, optional
        See `load_subject`, which also checks that the subject is there.

    Attributes
    ----------
    layout : Layout
        Paths of the subject's files.
    store : BetaStore
        The beta store: ``path``, ``build``, ``remove``.
    """

    def __init__(
        self,
        subject_id: str,
        data_dir: str | os.PathLike[str],
        *,
        store: StoreMode | None = None,
    ) -> None:
        _need_libraries()
        self.layout: Layout = Layout(Path(data_dir), subject_id)
        self.store: BetaStore = BetaStore(self.layout, store)

    def __repr__(self) -> str:
        return (
            f"<Subject {self.subject_id}: {len(self.get_sessions())} sessions in {self.data_dir}>"
        )

    @property
    def subject_id(self) -> str:
        """The subject's full BIDS name, ``"sub-03"``."""
        return self.layout.subject

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self.layout.data_dir

    @property
    def brain(self) -> Brain:
        """The brain mask: its voxels, and the grid and affine of the mean-R² map."""
        return read_brain(self.layout.mean_rsquare())

    @property
    def rois(self) -> Rois:
        """The ROIs that are on disk now: ``names``, ``categories``, ``mask``, ``data``."""
        return Rois(self.layout)

    # --- what there is ---------------------------------------------------------------------------

    def get_sessions(self) -> list[str]:
        """Return the sessions on disk, sorted: ``["ses-01", …]``."""
        return self.layout.sessions()

    def get_available_rois(self, category: str | None = None) -> list[str]:
        """Return the ROIs on disk, sorted: of one category, such as ``"face"``, or of all.

        Raises
        ------
        UnknownRoiError
            If there is no such category (a ValueError; it lists the nearest).
        """
        return self.rois.names(category)

    def get_available_categories(self) -> list[str]:
        """Return the ROI categories on disk, sorted; the older layout has none."""
        return self.rois.categories()

    # --- voxels ----------------------------------------------------------------------------------

    def get_brain_mask(self) -> NDArray[np.bool_]:
        """Return the brain mask over the whole grid, flat in C order.

        Returns
        -------
        numpy.ndarray
            bool, shape (n_total_voxels,).

        Raises
        ------
        DataNotDownloadedError
            If the mean-R² map is not on disk.
        """
        return self.brain.flat()

    def get_n_voxels(self) -> int:
        """Return the number of voxels in the brain mask."""
        return len(self.brain)

    def get_voxel_coordinates(
        self, roi: RoiQuery | None = None, mask: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """Return the scanner coordinates of voxels.

        Parameters
        ----------
        roi, mask
            As in `get_betas`; default: the whole brain mask.

        Returns
        -------
        numpy.ndarray
            float64, shape (n_voxels, 3): x, y, z in millimetres, by the affine of the mean-R² map.
        """
        brain = self.brain
        columns = voxel_columns(self.layout, roi=roi, mask=mask)
        return voxel_coordinates(brain.part(columns), brain.header)

    def get_roi_mask(self, roi: RoiQuery) -> NDArray[np.bool_]:
        """Return an ROI over the brain mask's voxels.

        Parameters
        ----------
        roi : str or list of str
            A name (``"FFA1"``; hyphens are ignored), a category (``"face"``), ``"all"``, or a list
            of these: their union.

        Returns
        -------
        numpy.ndarray
            bool, shape (n_voxels,).

        Raises
        ------
        UnknownRoiError
            If there is no such ROI (a ValueError; lists the nearest).
        GridMismatchError
            If no file of the ROI lies on the grid of the mean-R² map.
        NotFiniteError
            If a file holds NaN.
        """
        return self.rois.mask(roi)

    def get_roi_masks(self, rois: RoiQuery = "all") -> dict[str, NDArray[np.bool_]]:
        """Return each ROI on its own, by name; `rois` as in `get_roi_mask`."""
        here = self.rois
        return {name: here.mask(name) for name in here.resolve(rois)}

    def get_roi_data(
        self,
        roi: RoiQuery,
        format: Literal["volume", "surface", "label"] = "volume",  # noqa: A002 - the public name
        hemi: Literal["L", "R"] | None = None,
    ) -> dict[str, Any]:
        """Return ROIs as they are on disk, not restricted to the brain mask.

        Parameters
        ----------
        roi : str or list of str
            As in `get_roi_mask`.
        format : {"volume", "surface", "label"}
            ``nii.gz``, ``func.gii`` and ``gii`` are understood too.
        hemi : {"L", "R"}, optional
            One hemisphere of a surface or a label; default: both.

        Returns
        -------
        dict
            By ROI name. ``"volume"``: bool, shape of the grid. ``"surface"``: bool, shape
            (n_vertices,), fsnative. ``"label"``: int64, shape (n_label_vertices,), vertex numbers.
            Surfaces and labels come as ``{"L": …, "R": …}``, or bare where `hemi` is given.
        """
        return self.rois.data(roi, format, hemi)

    # --- values ----------------------------------------------------------------------------------

    # Each accessor gives one result for one session and a dict for a list of them: two overloads
    # tell type checkers so. They overlap because a str is an iterable of str, so str comes first.

    @overload
    def get_betas(  # type: ignore[overload-overlap]
        self,
        session: str,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        streaming: bool | None = None,
        *,
        stream: bool = False,
        nan: Literal["raise", "keep"] = "raise",
    ) -> Floats: ...

    @overload
    def get_betas(
        self,
        session: Iterable[str],
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        streaming: bool | None = None,
        *,
        stream: bool = False,
        nan: Literal["raise", "keep"] = "raise",
    ) -> dict[str, Floats]: ...

    @also_named(ses="session")
    def get_betas(  # noqa: PLR0917 - the public package's order
        self,
        session: str | Iterable[str],
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        streaming: bool | None = None,  # noqa: ARG002 - every read streams
        *,
        stream: bool = False,
        nan: Literal["raise", "keep"] = "raise",
    ) -> Floats | dict[str, Floats]:
        """Return single-trial betas.

        The file is read once; memory holds the result and a few tens of megabytes. With a beta
        store (see `build_store`) only the voxels asked for are read.

        Parameters
        ----------
        session : str or list of str
            ``"ses-01"`` or ``"01"``.
        roi : str or list of str, optional
            As in `get_roi_mask`.
        mask : numpy.ndarray, optional
            bool, shape (n_voxels,), over the brain mask. Not together with `roi`.
        nc_threshold : float, optional
            Keep voxels whose noise ceiling in that session is at least this, in the unit of the
            map (percent, 0 to 100); NaN counts as below.
        stimuli : {"shared", "unique"}, optional
            Keep trials by the beginning of their label.
        streaming : bool, optional
            An argument of the public package. It has no effect here: every read streams.
        stream : bool
            If the betas are not on disk, fetch them from the bucket: they are decompressed, masked
            and verified while they arrive, and only the result is kept. The mean-R² map, and what
            `roi`, `nc_threshold` and `stimuli` ask for, must be on disk.
        nan : {"raise", "keep"}
            Whether NaN and infinite values among the voxels asked for are an error.

        Returns
        -------
        numpy.ndarray or dict of str to numpy.ndarray
            float32, shape (n_trials, n_voxels), trials in the order of `get_trial_info`; a dict by
            session if a list was given. If no trial or no voxel is left, that length is 0.

        Raises
        ------
        DataNotDownloadedError
            If a file that is needed is not on disk; the message has the call that brings it.
        CorruptFileError, GridMismatchError, TrialMismatchError, NotFiniteError
            If a file is damaged, on another grid, does not match its trial table, or holds NaN.
        ValueError
            If an argument is wrong.
        """
        if nan not in ("raise", "keep"):
            raise ValueError(f"nan={nan!r}: expected 'raise' or 'keep'.")

        def one(name: str) -> Floats:
            columns = voxel_columns(
                self.layout, roi=roi, mask=mask, nc_threshold=nc_threshold, session=name
            )
            if stream and not self.layout.has_betas(name):
                from laion_fmri.loader.remote_betas import betas_from_bucket

                return betas_from_bucket(
                    self.layout, name, self.brain, columns, stimuli, finite=nan == "raise"
                )
            betas = self.store.session(name)
            return betas.read(columns, betas.rows(stimuli), finite=nan == "raise")

        return _by_session(session, one)

    @overload
    def get_noise_ceiling(  # type: ignore[overload-overlap]
        self,
        session: str,
        desc: None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
    ) -> Floats: ...

    @overload
    def get_noise_ceiling(
        self,
        session: Iterable[str],
        desc: None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
    ) -> dict[str, Floats]: ...

    @overload
    def get_noise_ceiling(  # type: ignore[overload-overlap]
        self,
        session: None = None,
        *,
        desc: str,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
    ) -> Floats: ...

    @overload
    def get_noise_ceiling(
        self,
        session: None = None,
        *,
        desc: Iterable[str],
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
    ) -> dict[str, Floats]: ...

    @also_named(ses="session")
    def get_noise_ceiling(
        self,
        session: str | Iterable[str] | None = None,
        desc: str | Iterable[str] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
    ) -> Floats | dict[str, Floats]:
        """Return a noise ceiling in percent, of a session or of the whole subject.

        Parameters
        ----------
        session : str or list of str, optional
        desc : str or list of str, optional
            ``"Noiseceiling4rep"``, ``"Noiseceiling12rep"`` or ``"NoiseceilingAllrep"``. Exactly
            one of `session` and `desc` must be given.
        roi, mask
            As in `get_betas`.

        Returns
        -------
        numpy.ndarray or dict of str to numpy.ndarray
            float32, shape (n_voxels,), NaN where the file has NaN; a dict if a list was given.
        """
        if (session is None) == (desc is None):
            raise ValueError(
                "Give exactly one of session and desc: the map of a session, or of the subject."
            )
        columns = voxel_columns(self.layout, roi=roi, mask=mask)

        def values(path: Path) -> Floats:
            whole = read_map(path, self.brain)
            chosen: Floats = whole if columns is None else whole[columns]
            return chosen

        if session is not None:
            return _by_session(session, lambda name: values(self.layout.noise_ceiling(name)))
        if isinstance(desc, str):
            return values(self.layout.noise_ceiling(desc=desc))
        named = cast("Iterable[str]", desc)
        return {name: values(self.layout.noise_ceiling(desc=name)) for name in named}

    @overload
    def get_trial_info(  # type: ignore[overload-overlap]
        self, session: str
    ) -> pd.DataFrame: ...

    @overload
    def get_trial_info(self, session: Iterable[str]) -> dict[str, pd.DataFrame]: ...

    @also_named(ses="session")
    def get_trial_info(
        self, session: str | Iterable[str]
    ) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Return the trials of a session, one row per beta volume, in the volumes' order.

        Returns
        -------
        pandas.DataFrame or dict of str to pandas.DataFrame
            Columns ``session run beta_index label`` and any others of the file.

        Raises
        ------
        DataNotDownloadedError, TrialMismatchError
            If the table is not on disk, or its rows are not the volumes of the betas beside it.
        """

        def one(name: str) -> pd.DataFrame:
            trials = read_trials(self.layout.trials(name))
            if self.layout.has_betas(name):
                betas = self.store.session(name)
                trials.check(betas.header().volumes, betas.path)
            return trial_frame(trials)

        return _by_session(session, one)

    @property
    def betas(self) -> xr.DataArray:
        """All sessions' betas as one lazy array, by the beta store.

        Nothing is read until it is computed; a session without a store gets one then. A slice
        reads only the chunks that it needs.

        Returns
        -------
        xarray.DataArray
            float32 over Dask, dimensions ``trial`` and ``voxel``, sessions one after another. Along
            trials: ``session``, ``run``, ``beta_index``, ``label``. Along voxels: ``index``
            (position in the C-order ravel of the grid) and ``x``, ``y``, ``z`` (millimetres in the
            scanner).

        Raises
        ------
        DataNotDownloadedError
            If no session's betas are on disk.
        """
        need("Subject.betas", "loader", "dask", "xarray")
        sessions = self.store.sessions()
        if not sessions:
            self.layout.missing("the betas of any session", desc="SingletrialBetas", stat="effect")
        return lazy_betas(sessions, self.layout)

    # --- the beta store --------------------------------------------------------------------------

    @also_named(ses="session")
    def build_store(
        self, session: str | Iterable[str] | None = None, *, n_jobs: int | None = None
    ) -> Path:
        """Build the beta store of sessions; those that are up to date are left as they are.

        Parameters
        ----------
        session : str or list of str, optional
            Default: every session whose betas are on disk.
        n_jobs : int, optional
            How many sessions at a time, each with about 60 MB of memory; default: one per
            processor, at most 4.

        Returns
        -------
        pathlib.Path
            The store: a Zarr v3 group with one group per session, which holds ``betas`` (trial,
            voxel) and ``voxel`` (position in the C-order ravel of the grid). It can be removed
            without any loss.
        """
        return self.store.build(session, n_jobs=n_jobs)

    def remove_store(self) -> bool:
        """Remove the beta store; False where there is none."""
        return self.store.remove()

    # --- to other tools --------------------------------------------------------------------------

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
            Where to write it, ``.nii`` or ``.nii.gz``; the file appears complete, or not at all.
        roi, mask
            As in `get_betas`: which voxels the values are of. Default: the whole brain mask.

        Returns
        -------
        nibabel.Nifti1Image
            float32, with the affine of the mean-R² map.

        Raises
        ------
        ValueError
            If the number of values is not the number of voxels.
        """
        brain = self.brain
        part = brain.part(voxel_columns(self.layout, roi=roi, mask=mask))
        image = volume_image(values, part, brain.header)
        if output_path is not None:
            write_image(image, Path(output_path))
        return image

    def to_template(self, values: Any, target: str, **keywords: Any) -> Any:
        """Take voxel values to a template; see `laion_fmri.templates.to_template`."""
        return templates.to_template(self, values, target, **keywords)

    def volume_to_surface(self, values: Any, target: str = "fsaverage", **keywords: Any) -> Any:
        """Take voxel values to a surface; see `laion_fmri.templates.volume_to_surface`."""
        return templates.volume_to_surface(self, values, target, **keywords)

    def volume_to_template(self, values: Any, target: str, **keywords: Any) -> Nifti1Image:
        """Take voxel values to a volume; see `laion_fmri.templates.volume_to_template`."""
        return templates.volume_to_template(self, values, target, **keywords)

    def surface_to_template(self, values: Any, target: str = "fsaverage", **keywords: Any) -> Any:
        """Take values of surfaces to a template; see `laion_fmri.templates.surface_to_template`."""
        return templates.surface_to_template(self, values, target, **keywords)

    @also_named(ses="session")
    def to_torch_dataset(
        self,
        session: str | Iterable[str] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        *,
        images: bool | None = None,
        image_transform: Callable[[Any], Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> Dataset[dict[str, Any]]:
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
            Whether items have the stimulus image; default: if the stimuli are on disk.
        image_transform : callable, optional
            Takes the PIL image; default: float32 tensor, shape (3, height, width), 0 to 1.
        transform : callable, optional
            Takes the tensor of betas.

        Returns
        -------
        torch.utils.data.Dataset
            Items are dicts: ``betas`` (float32 tensor, (n_voxels,)), ``session``, ``run``,
            ``trial`` (position in the session), ``label``, and ``image`` where asked for.

        Raises
        ------
        MissingExtraError
            If PyTorch is not installed, or, with `images`, what reads them (an ``ImportError``):
            ``pip install 'neurofetch[torch]'``.
        StimuliNotDownloadedError
            If images are asked for and the stimuli are not on disk.
        """
        if images:
            need("images=True", "torch", "h5py", "PIL")
        make = dataset_class()
        sessions = self.store.sessions(session)
        if nc_threshold is not None and len(sessions) != 1:
            raise ValueError(
                "nc_threshold needs one session: voxels would differ between sessions."
            )
        columns = voxel_columns(
            self.layout,
            roi=roi,
            mask=mask,
            nc_threshold=nc_threshold,
            session=sessions[0].session if sessions else "",
        )
        dataset: Dataset[dict[str, Any]] = make(
            self.layout,
            sessions,
            columns,
            stimuli,
            images=images,
            image_transform=image_transform,
            transform=transform,
        )
        return dataset


def _by_session(session: str | Iterable[str], one: Callable[[str], T]) -> T | dict[str, T]:
    """Return the result for one session, or a dict of results for a list of them."""
    if isinstance(session, str):
        return one(session_id(session))
    return {name: one(name) for name in session_ids(session)}
