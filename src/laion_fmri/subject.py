"""One subject: files on disk in, arrays out.

Begin with `load_subject`; `Subject` has the accessors. Everything works offline, on what is on
disk. Where something is missing, the error has the ``download(...)`` call that brings it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import laion_fmri.volumes  # noqa: F401 - names the extra where numpy is missing

# isort: split
import numpy as np

from laion_fmri import templates
from laion_fmri._names import also_named
from laion_fmri.brain import volume_image, write_image
from laion_fmri.config import chosen_directory, data_directory
from laion_fmri.errors import DataNotDownloadedError
from laion_fmri.loader.betas import BetaStore, checked_nan
from laion_fmri.loader.events import read_events
from laion_fmri.loader.layout import (
    Layout,
    how_to_get,
    session_id,
    sessions_asked,
    subject_id,
    subjects_on_disk,
)
from laion_fmri.loader.lazy import lazy_betas, trial_frame
from laion_fmri.loader.masks import MASK_SOURCE, brain_of, checked_source
from laion_fmri.loader.rois import Rois
from laion_fmri.loader.torch_dataset import dataset_class
from laion_fmri.loader.trials import read_trials
from laion_fmri.loader.voxels import check_source, read_map, voxel_columns
from laion_fmri.trial_stimuli import WithStimuli
from laion_fmri.volumes.brain_mask import Brain, voxel_coordinates
from laion_fmri.volumes.byte_stream import open_file
from laion_fmri.volumes.voxel_array import on_mask
from neurofetch.engine import twins_of
from neurofetch.extras import need

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd
    import xarray as xr
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray
    from torch.utils.data import Dataset

    from laion_fmri.loader.betas import NanMode, StoreMode
    from laion_fmri.loader.layout import SessionName
    from laion_fmri.loader.masks import MaskSource
    from laion_fmri.loader.rois import RoiQuery
    from laion_fmri.loader.store_tasks import Executor, Progress
    from laion_fmri.loader.trials import StimulusKind

    Floats = NDArray[np.float32]

__all__ = ["Subject", "load_subject"]

T = TypeVar("T")
#: A session as it was asked for: a key of the result.
Name = TypeVar("Name", bound="SessionName")


@also_named(sub="subject")
def load_subject(
    subject: str | int,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    store: StoreMode | None = None,
    store_dir: str | os.PathLike[str] | None = None,
) -> Subject:
    """Open a subject that is on disk.

    Parameters
    ----------
    subject : str or int
        ``"sub-03"``, ``"03"`` or 3.
    data_dir : str or path, optional
        Where the dataset is; default: the configured directory.
    store : {"auto", "read", "off"}, optional
        How the beta store is used (see `Subject.build_store`): ``"auto"`` builds a session's store
        on the first call that asks for a part of the brain, ``"read"`` uses a store that exists,
        ``"off"`` always reads the files. Default: the environment variable ``LAION_FMRI_STORE``,
        else ``"auto"``.
    store_dir : str or path, optional
        A folder for beta stores outside of the data directory, which then is only read; each data
        directory has a folder of its own in it. Default: the environment variable
        ``LAION_FMRI_STORE_DIR``, else what `laion_fmri.config.set_store_dir` chose, else stores
        lie in the data directory.

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
    DestinationError
        If something else than a directory is in the place of `store_dir`.
    MissingExtraError
        If what reads the files is not installed: ``pip install 'neurofetch[loader]'``.
    """
    _need_libraries()
    root = data_directory(data_dir)
    layout = Layout(root, subject_id(subject))
    if not layout.exists():
        subjects = subjects_on_disk(root)
        if len(meant := twins_of(layout.subject, subjects)) == 1:  # 3 is sub-03
            return Subject(meant[0], root, store=store, store_dir=store_dir)
        here = ", ".join(subjects) or "none"
        raise DataNotDownloadedError(
            f"Nothing of {layout.subject} is in {root}. Subjects here: {here}. This brings it:\n"
            f"{how_to_get(root, layout.subject)}"
        )
    return Subject(layout.subject, root, store=store, store_dir=store_dir)


def _need_libraries() -> None:
    """See that what the accessors read files with is installed, before the first of them."""
    need("reading a subject", "loader", "numpy", "nibabel", "pandas", "isal")


class Subject(WithStimuli):
    """The data of one subject on disk.

    The voxels of all results are those of a brain mask, in the order of a C-order ravel of the
    volume grid. There are two masks (see `get_brain_mask`), the same for every session; arrays have
    the name of theirs as ``mask_source``, and one that is used with the other mask is an error. A
    session is ``"ses-01"``, ``"01"`` or 1; a list of sessions gives a dict by what was asked.

    Parameters
    ----------
    subject_id : str
        Full form, ``"sub-03"``.
    data_dir : str or path
    store, store_dir
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
        store_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        _need_libraries()
        # The whole path: another process may have another current directory.
        self.layout: Layout = Layout(chosen_directory(data_dir), subject_id)
        self.store: BetaStore = BetaStore(self.layout, store, store_dir)

    def __repr__(self) -> str:
        return (
            f"<Subject {self.subject_id}: {len(self.get_sessions())} sessions in {self.data_dir}>"
        )

    def _repr_html_(self) -> str | None:
        from laion_fmri._views import subject_page
        from neurofetch.engine import safely

        return safely(lambda: subject_page(self.layout, self.store.path))

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
        """The brain mask that is the default: its voxels, and the grid and affine of its file."""
        return brain_of(self.layout)

    @property
    def rois(self) -> Rois:
        """The ROIs that are on disk now: ``names``, ``categories``, ``mask``, ``data``."""
        return Rois(self.layout)

    # --- what there is ---------------------------------------------------------------------------

    def get_sessions(self) -> list[str]:
        """Return the sessions on disk, sorted: ``["ses-01", …]``.

        Returns
        -------
        list of str
            An empty list if no session was downloaded.
        """
        return self.layout.sessions()

    def get_available_rois(self, category: str | None = None) -> list[str]:
        """Return the ROIs on disk, sorted: of one category, such as ``"face"``, or of all.

        A category that is not there has none.

        Returns
        -------
        list of str
            Names for the argument `roi` of the other methods.
        """
        here = self.rois
        return here.names(category) if category in (None, *here.categories()) else []

    def get_available_categories(self) -> list[str]:
        """Return the ROI categories on disk, sorted; the older layout has none.

        Returns
        -------
        list of str
            Categories, such as ``"face"``.
        """
        return self.rois.categories()

    # --- voxels ----------------------------------------------------------------------------------

    def get_brain_mask(
        self, source: MaskSource = MASK_SOURCE, res: str | None = "1pt8"
    ) -> NDArray[np.bool_]:
        """Return a brain mask over the whole grid, flat in C order.

        Parameters
        ----------
        source : {"anatomical", "rsquare"}
            ``"anatomical"``: the brain by the anatomical images. ``"rsquare"``: where the mean R²
            over sessions is neither 0 nor NaN. The methods with `mask_source` have the columns of
            that mask. Where none is asked for and the anatomical mask is not on disk, the mean-R²
            map is taken, and a warning says so.
        res : str or None
            Of the anatomical mask: ``"1pt8"``, the grid of the functional data; None, full
            resolution, which fits no other result.

        Returns
        -------
        numpy.ndarray
            bool, shape (n_total_voxels,).

        Raises
        ------
        DataNotDownloadedError
            If the file is not on disk; the message has the call that brings it.
        ValueError
            If there is no such mask.
        """
        return brain_of(self.layout, source, res).flat()

    def get_n_voxels(self, source: MaskSource = MASK_SOURCE, res: str | None = "1pt8") -> int:
        """Return the number of voxels in a brain mask; arguments as in `get_brain_mask`.

        Returns
        -------
        int
            The number of voxels in the mask.
        """
        return len(brain_of(self.layout, source, res))

    def get_voxel_coordinates(
        self,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> NDArray[np.float64]:
        """Return the scanner coordinates of voxels.

        Parameters
        ----------
        roi, mask, mask_source
            As in `get_betas`; default: the whole brain mask.

        Returns
        -------
        numpy.ndarray
            float64, shape (n_voxels, 3): x, y, z in millimetres in the space T1w, by the affine of
            the mask's file.
        """
        brain = brain_of(self.layout, mask_source)
        columns = voxel_columns(self.layout, brain, roi=roi, mask=mask)
        return on_mask(voxel_coordinates(brain.part(columns), brain.header), brain.source)

    @also_named(roi="query")
    def get_roi_mask(
        self, query: RoiQuery, mask_source: MaskSource = MASK_SOURCE
    ) -> NDArray[np.bool_]:
        """Return an ROI over the voxels of a brain mask.

        Parameters
        ----------
        query : str or list of str
            A category (``"face"``), a name (``"FFA1"``; hyphens and case are ignored), ``"all"``,
            or a list of these: their union.
        mask_source : {"anatomical", "rsquare"}
            Which brain mask: see `get_brain_mask`.

        Returns
        -------
        numpy.ndarray
            bool, shape (n_voxels,); NaN in a file counts as outside.

        Raises
        ------
        UnknownRoiError
            If there is no such ROI (a ValueError; lists the nearest).
        GridMismatchError
            If no file of the ROI lies on the grid of the brain mask.
        DataNotDownloadedError
            If a file is not on disk.
        """
        return self.rois.mask(query, mask_source)

    @also_named(rois="queries")
    def get_roi_masks(
        self, queries: RoiQuery | None = None, mask_source: MaskSource = MASK_SOURCE
    ) -> dict[str, NDArray[np.bool_]]:
        """Return ROIs by what was asked.

        Parameters
        ----------
        queries : str or list of str, optional
            Each as in `get_roi_mask`; default: the name of every ROI on disk.
        mask_source : {"anatomical", "rsquare"}

        Returns
        -------
        dict of str to numpy.ndarray
            For each word, the union of what it means: bool, shape (n_voxels,).
        """
        here, brain = self.rois, brain_of(self.layout, mask_source)
        if queries is None:
            queries = here.resolve("all")
        words = [queries] if isinstance(queries, str) else list(queries)
        return {word: here.on(brain, word) for word in words}

    @also_named(roi="query")
    def get_roi_data(
        self,
        query: RoiQuery,
        format: Literal[  # noqa: A002 - the public name
            "all", "volume", "nii.gz", "gii", "func.gii", "surface", "label"
        ]
        | None = None,
        hemi: Literal["all", "L", "R"] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> dict[str, dict[str, Any]]:
        """Return ROIs in the volume, on the surfaces, and as labels.

        Parameters
        ----------
        query : str or list of str
            As in `get_roi_mask`.
        format : str, optional
            ``"volume"`` or ``"nii.gz"``: in the volume. ``"gii"``: both kinds on surfaces;
            ``"func.gii"`` (or ``"surface"``) and ``"label"``: one of them. Default, and ``"all"``:
            everything.
        hemi : {"all", "L", "R"}, optional
            On surfaces, one hemisphere only.
        mask_source : {"anatomical", "rsquare"}
            The voxels of ``"volume"``.

        Returns
        -------
        dict
            By name of the ROI, each once::

                {"FFA1": {"volume": bool, shape (n_voxels,)
                          "gii": {"hemi-L": {"func.gii": bool, shape (n_vertices,), fsnative
                                             "label": int64, shape (n_label_vertices,)}
                                  "hemi-R": …}}}

            ``"label"`` has vertex numbers. What `format` leaves out has no key.

        Raises
        ------
        ValueError
            If `format` or `hemi` is none of these, or there is no such ROI.
        DataNotDownloadedError
            If a file is not on disk.
        """
        return self.rois.data(query, format, hemi, mask_source)

    # --- files -----------------------------------------------------------------------------------

    def has_freesurfer(self) -> bool:
        """Whether FreeSurfer's results are on disk.

        Returns
        -------
        bool
            True if the folder is there.
        """
        return self.layout.freesurfer.is_dir()

    def get_freesurfer_dir(self) -> Path:
        """Return the folder of FreeSurfer's results.

        Returns
        -------
        Path
            A folder in the data directory.

        Raises
        ------
        DataNotDownloadedError
            If it is not on disk.
        """
        folder = self.layout.freesurfer
        if not folder.is_dir():
            how: dict[str, Any] = {"ses": "averages", "include_freesurfer": True}
            self.layout.missing("the results of FreeSurfer", **how)
        return folder

    def has_anatomical(self) -> bool:
        """Whether the anatomical images are on disk.

        Returns
        -------
        bool
            True if the folder is there.
        """
        return self.layout.anatomy.is_dir()

    def get_anatomical_dir(self) -> Path:
        """Return the folder of the anatomical images.

        Returns
        -------
        Path
            A folder in the data directory.

        Raises
        ------
        DataNotDownloadedError
            If it is not on disk.
        """
        folder = self.layout.anatomy
        if not folder.is_dir():
            how: dict[str, Any] = {"ses": "averages", "include_anatomical": True}
            self.layout.missing("the anatomical images", **how)
        return folder

    def get_t1w(self, *, res: str | None = None) -> Path:
        """Return the file of the T1-weighted image.

        Parameters
        ----------
        res : str, optional
            ``"1pt8"``: on the grid of the functional data; default: full resolution.

        Returns
        -------
        Path
            A NIfTI file in the data directory.

        Raises
        ------
        DataNotDownloadedError
            If it is not on disk.
        """
        return self.layout.anatomical("T1w", res)

    def get_t2w(self, *, res: str | None = None) -> Path:
        """Return the file of the T2-weighted image; see `get_t1w`.

        Returns
        -------
        pathlib.Path
            The file, which is on disk.
        """
        return self.layout.anatomical("T2w", res)

    def get_anatomical_brain_mask(self, *, res: str | None = None) -> Path:
        """Return the file of the anatomical brain mask; see `get_t1w`.

        Returns
        -------
        pathlib.Path
            The file, which is on disk.
        """
        return self.layout.anatomical("mask", res, "brain")

    # --- values ----------------------------------------------------------------------------------

    # Each accessor gives one result for one session and a dict for a list of them: two overloads
    # tell type checkers so. They overlap because a str is an iterable of str, so str comes first.

    @overload
    def get_betas(  # type: ignore[overload-overlap]
        self,
        session: SessionName,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        streaming: bool = False,
        mask_source: MaskSource = MASK_SOURCE,
        *,
        stream: bool = False,
        nan: NanMode = "keep",
    ) -> Floats: ...

    @overload
    def get_betas(
        self,
        session: Iterable[Name],
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        streaming: bool = False,
        mask_source: MaskSource = MASK_SOURCE,
        *,
        stream: bool = False,
        nan: NanMode = "keep",
    ) -> dict[Name, Floats]: ...

    @also_named(ses="session")
    def get_betas(  # noqa: PLR0917 - the public package's order
        self,
        session: SessionName | Iterable[Name],
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        streaming: bool = False,  # noqa: ARG002 - every read streams
        mask_source: MaskSource = MASK_SOURCE,
        *,
        stream: bool = False,
        nan: NanMode = "keep",
    ) -> Floats | dict[Name, Floats]:
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
            Keep voxels whose noise ceiling in that session is at least this, in percent (0 to
            100); NaN counts as below.
        stimuli : {"shared", "unique"}, optional
            Keep trials by the beginning of their label.
        streaming : bool, optional
            An argument of the public package. It has no effect here: every read streams.
        mask_source : {"anatomical", "rsquare"}
            The brain mask whose voxels are the columns: see `get_brain_mask`.
        stream : bool
            If the betas are not on disk, fetch them from the bucket: they are decompressed, masked
            and verified while they arrive, and only the result is kept. The brain mask, and what
            `roi`, `nc_threshold` and `stimuli` ask for, must be on disk.
        nan : {"keep", "raise", "zero"}
            What becomes of NaN (voxels that the model could not be fitted for) and of infinite
            values among the voxels asked for: they stay, they are an error, or they become 0.

        Returns
        -------
        numpy.ndarray or dict of str to numpy.ndarray
            float32, shape (n_trials, n_voxels), C-contiguous, trials in the order of
            `get_trial_info`; a dict by what was asked if a list was given. If no trial or no voxel
            is left, that length is 0. The array's ``mask_source`` names its brain mask.

        Raises
        ------
        DataNotDownloadedError
            If a file that is needed is not on disk; the message has the call that brings it.
        CorruptFileError, GridMismatchError, TrialMismatchError, NotFiniteError
            If a file is damaged, on another grid, does not match its trial table, or, with
            ``nan="raise"``, holds NaN; also if `mask` is of another brain mask.
        ValueError
            If an argument is wrong.
        """
        checked_nan(nan)
        checked_source(mask_source)
        asked = _asked(session)
        brain = brain_of(self.layout, mask_source)

        def one(name: str) -> Floats:
            columns = voxel_columns(
                self.layout, brain, roi=roi, mask=mask, nc_threshold=nc_threshold, session=name
            )
            if stream and not self.layout.has_betas(name):
                from laion_fmri.loader.remote_betas import betas_from_bucket

                values = betas_from_bucket(
                    self.layout, name, brain, columns, stimuli, finite=nan == "raise"
                )
            else:
                betas = self.store.on(brain, name)
                values = betas.read(columns, betas.rows(stimuli), finite=nan == "raise")
            return on_mask(_zeroed(values) if nan == "zero" else values, brain.source)

        return _by_session(asked, one)

    @overload
    def get_noise_ceiling(  # type: ignore[overload-overlap]
        self,
        session: SessionName,
        desc: None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> Floats: ...

    @overload
    def get_noise_ceiling(
        self,
        session: Iterable[Name],
        desc: None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> dict[Name, Floats]: ...

    @overload
    def get_noise_ceiling(  # type: ignore[overload-overlap]
        self,
        session: None = None,
        *,
        desc: str,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> Floats: ...

    @overload
    def get_noise_ceiling(
        self,
        session: None = None,
        *,
        desc: Iterable[str],
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> dict[str, Floats]: ...

    @also_named(ses="session")
    def get_noise_ceiling(
        self,
        session: SessionName | Iterable[Name] | None = None,
        desc: str | Iterable[str] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> Floats | dict[Name, Floats] | dict[str, Floats]:
        """Return a noise ceiling in percent, of a session or of the whole subject.

        Parameters
        ----------
        session : str or list of str, optional
        desc : str or list of str, optional
            ``"Noiseceiling4rep"``, ``"Noiseceiling12rep"`` or ``"NoiseceilingAllrep"``. Exactly
            one of `session` and `desc` must be given.
        roi, mask, mask_source
            As in `get_betas`.

        Returns
        -------
        numpy.ndarray or dict of str to numpy.ndarray
            float32, shape (n_voxels,), NaN where the file has NaN; a dict by what was asked if a
            list was given.

        Raises
        ------
        ValueError
            If not exactly one of `session` and `desc` is given.
        DataNotDownloadedError
            If a map is not on disk.
        """
        if (session is None) == (desc is None):
            raise ValueError(
                "Give exactly one of session and desc: the map of a session, or of the subject."
            )
        asked: SessionName | dict[Name, str] | None = None if session is None else _asked(session)
        brain = brain_of(self.layout, mask_source)
        columns = voxel_columns(self.layout, brain, roi=roi, mask=mask)

        def values(path: Path) -> Floats:
            whole = read_map(path, brain)
            return on_mask(whole if columns is None else whole[columns], brain.source)

        if asked is not None:
            found: Floats | dict[Name, Floats] = _by_session(
                asked, lambda name: values(self.layout.noise_ceiling(name))
            )
            return found
        if isinstance(desc, str):
            return values(self.layout.noise_ceiling(desc=desc))
        named = cast("Iterable[str]", desc)
        return {name: values(self.layout.noise_ceiling(desc=name)) for name in named}

    @overload
    def get_trial_info(  # type: ignore[overload-overlap]
        self, session: SessionName
    ) -> pd.DataFrame: ...

    @overload
    def get_trial_info(self, session: Iterable[Name]) -> dict[Name, pd.DataFrame]: ...

    @also_named(ses="session")
    def get_trial_info(
        self, session: SessionName | Iterable[Name]
    ) -> pd.DataFrame | dict[Name, pd.DataFrame]:
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
                path = self.layout.betas(name)
                with open_file(path) as reader:
                    reader.header.need(4)
                    trials.check(reader.header.volumes, path)
            return trial_frame(trials)

        return _by_session(_asked(session), one)

    @overload
    def get_events(  # type: ignore[overload-overlap]
        self, session: SessionName
    ) -> pd.DataFrame: ...

    @overload
    def get_events(self, session: Iterable[Name]) -> dict[Name, pd.DataFrame]: ...

    @also_named(ses="session")
    def get_events(
        self, session: SessionName | Iterable[Name]
    ) -> pd.DataFrame | dict[Name, pd.DataFrame]:
        """Return what happened in the scanner in a session: the events of its runs, together.

        Returns
        -------
        pandas.DataFrame or dict of str to pandas.DataFrame
            The columns of the runs' ``_events.tsv``, onsets and durations in seconds from the
            start of each run, and ``run``: ``"run-01"``, ….

        Raises
        ------
        DataNotDownloadedError
            If no events are on disk: they belong to the raw data.
        CorruptFileError
            If a file is no table.
        """
        return _by_session(_asked(session), lambda name: read_events(self.layout, name))

    @property
    def betas(self) -> xr.DataArray:
        """All sessions' betas as one lazy array: `get_lazy_betas` of everything."""
        return self.get_lazy_betas()

    @also_named(ses="session")
    def get_lazy_betas(
        self,
        session: SessionName | Iterable[SessionName] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> xr.DataArray:
        """Return sessions' betas as one lazy array, by the beta store.

        Nothing is read until it is computed; a session without a store gets one then. What is
        computed reads whole chunks, so say here which voxels you need.

        Parameters
        ----------
        session : str or list of str, optional
            Default: every session whose betas are on disk.
        roi, mask, mask_source
            As in `get_betas`: then only these voxels are in the array, and are read.

        Returns
        -------
        xarray.DataArray
            float32 over Dask, dimensions ``trial`` and ``voxel``, sessions one after another. A
            chunk is all trials of a session by at most 8,192 voxels, or by all of them where the
            session can have no store. Along trials: ``session``, ``run``, ``beta_index``,
            ``label``. Along voxels: ``index`` (position in the C-order ravel of the grid) and
            ``x``, ``y``, ``z`` (millimetres in the scanner).

        Raises
        ------
        DataNotDownloadedError
            If no session's betas, or those of one that is named, are not on disk.
        ValueError
            As in `get_betas`.
        """
        need("lazy betas", "loader", "dask", "xarray")
        sessions = self.store.sessions(session, mask_source)
        if not sessions:
            self.layout.missing("the betas of any session", desc="SingletrialBetas", stat="effect")
        columns = voxel_columns(self.layout, sessions[0].brain, roi=roi, mask=mask)
        return lazy_betas(sessions, self.layout, columns)

    # --- the beta store --------------------------------------------------------------------------

    @also_named(ses="session")
    def build_store(
        self,
        session: SessionName | Iterable[SessionName] | None = None,
        *,
        n_jobs: int | None = None,
        executor: Executor | None = None,
        mask_source: MaskSource = MASK_SOURCE,
        progress: Progress | None = None,
    ) -> Path:
        """Build the beta store of sessions; those that are up to date are left as they are.

        Parameters
        ----------
        session : str or list of str, optional
            Default: every session whose betas are on disk.
        n_jobs : int, optional
            How many sessions at a time, each with about 60 MB of memory; default: one per
            processor, at most 4.
        executor : object with ``submit``, optional
            Runs a task for each session, the largest first, in place of threads here: a
            `concurrent.futures.ProcessPoolExecutor`, Dask's ``client.get_executor(pure=False)``,
            one of submitit, and others of the kind. Its workers need the same paths.
        mask_source : {"anatomical", "rsquare"}
            Each brain mask has a store of its own.
        progress : callable, optional
            Takes the name of a session that has ended, how many have, and of how many.

        Returns
        -------
        pathlib.Path
            The store: a Zarr v3 group with one group per session, which holds ``betas`` (trial,
            voxel) and ``voxel`` (position in the C-order ravel of the grid). It can be removed
            without any loss. `load_subject` takes a folder for stores outside of the data
            directory.

        Raises
        ------
        StoreBuildError
            If several sessions have no store in the end (an `OSError`; ``problems`` has the
            reasons), or tasks were lost with their workers. If one has none: `BadDataError` where
            its file is damaged, `OSError` where the disk is full or may not be written. The others
            are built, and stay: another call takes what is missing.
        """
        return self.store.build(
            session,
            n_jobs=n_jobs,
            executor=executor,
            mask_source=mask_source,
            progress=progress,
        )

    def remove_store(self) -> bool:
        """Remove the beta store; False where there is none.

        Returns
        -------
        bool
            True if a store was removed.
        """
        return self.store.remove()

    # --- to other tools --------------------------------------------------------------------------

    def to_nifti(
        self,
        values: NDArray[Any],
        output_path: str | os.PathLike[str] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> Nifti1Image:
        """Put voxel values back on the grid; 0 elsewhere.

        Parameters
        ----------
        values : numpy.ndarray
            Shape (n_voxels,), or (n_volumes, n_voxels) for a 4-D image.
        output_path : str or path, optional
            Where to write it, ``.nii`` or ``.nii.gz``; the file appears complete, or not at all.
        roi, mask, mask_source
            As in `get_betas`: which voxels the values are of. Default: the whole brain mask.

        Returns
        -------
        nibabel.Nifti1Image
            float32, with the affine of the brain mask's file.

        Raises
        ------
        ValueError
            If the number of values is not the number of voxels, or they are of another brain mask
            (`GridMismatchError`).
        """
        brain = brain_of(self.layout, mask_source)
        check_source(values, brain, "the array of values")
        part = brain.part(voxel_columns(self.layout, brain, roi=roi, mask=mask))
        image = volume_image(values, part, brain.header)
        if output_path is not None:
            write_image(image, Path(output_path))
        return image

    def to_template(self, values: Any, target: str, **keywords: Any) -> Any:
        """Take voxel values to a template; see `laion_fmri.templates.to_template`.

        Returns
        -------
        numpy.ndarray, dict or nibabel.Nifti1Image
            What that function returns.
        """
        return templates.to_template(self, values, target, **keywords)

    def volume_to_surface(self, values: Any, target: str = "fsaverage", **keywords: Any) -> Any:
        """Take voxel values to a surface; see `laion_fmri.templates.volume_to_surface`.

        Returns
        -------
        numpy.ndarray or dict
            What that function returns.
        """
        return templates.volume_to_surface(self, values, target, **keywords)

    def volume_to_template(self, values: Any, target: str, **keywords: Any) -> Nifti1Image:
        """Take voxel values to a volume; see `laion_fmri.templates.volume_to_template`.

        Returns
        -------
        nibabel.Nifti1Image
            What that function returns.
        """
        return templates.volume_to_template(self, values, target, **keywords)

    def surface_to_template(self, values: Any, target: str = "fsaverage", **keywords: Any) -> Any:
        """Take values of surfaces to a template; see `laion_fmri.templates.surface_to_template`.

        Returns
        -------
        numpy.ndarray or dict
            What that function returns.
        """
        return templates.surface_to_template(self, values, target, **keywords)

    @also_named(ses="session")
    def to_torch_dataset(
        self,
        session: SessionName | Iterable[SessionName] | None = None,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: StimulusKind | None = None,
        *,
        images: bool | None = None,
        image_transform: Callable[[Any], Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
        nan: NanMode = "keep",
    ) -> Dataset[dict[str, Any]]:
        """Return a ``torch.utils.data.Dataset`` of trials, read lazily from the beta store.

        Works with any number of DataLoader workers, forked or spawned. Sessions without a store
        get one now; where none can be written, or with ``store="off"``, their betas are read into
        memory.

        Parameters
        ----------
        session : str or list of str, optional
            Default: every session whose betas are on disk.
        roi, mask, nc_threshold, stimuli
            As in `get_betas`; with `nc_threshold`, only one session.
        images : bool, optional
            Whether items have the stimulus image; default: if the stimuli are on disk.
        image_transform : callable, optional
            Takes the tensor of the image: float32, shape (3, height, width), 0 to 1.
        transform : callable, optional
            Takes the tensor of betas.
        mask_source, nan
            As in `get_betas`.

        Returns
        -------
        torch.utils.data.Dataset
            Items are dicts: ``betas`` (float32 tensor, (n_voxels,)), ``image_name``, ``session``,
            ``rep_index`` (how often the picture was shown before in the session), ``run``,
            ``trial`` (position in the session), ``label`` and ``stimulus_id`` (both the name of the
            picture), and ``image`` where asked for: as the subjects saw it, on grey where it is
            transparent.

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
        checked_nan(nan)
        make = dataset_class()
        sessions = self.store.sessions(session, mask_source)
        if nc_threshold is not None and len(sessions) != 1:
            raise ValueError(
                "nc_threshold needs one session: voxels would differ between sessions."
            )
        columns = None
        if sessions:
            columns = voxel_columns(
                self.layout,
                sessions[0].brain,
                roi=roi,
                mask=mask,
                nc_threshold=nc_threshold,
                session=sessions[0].session,
            )
        dataset: Dataset[dict[str, Any]] = make(
            self.layout,
            sessions,
            columns,
            stimuli,
            images=images,
            image_transform=image_transform,
            transform=transform,
            nan=nan,
        )
        return dataset


def _asked(session: SessionName | Iterable[Name]) -> SessionName | dict[Name, str]:
    """Return one session as it is, and a list of them by what was asked, checked."""
    if session is None or isinstance(session, (str, int)) or not isinstance(session, Iterable):
        session_id(session)
        return session
    return sessions_asked(session)


def _by_session(asked: SessionName | dict[Name, str], one: Callable[[str], T]) -> T | dict[Name, T]:
    """Return the result for one session, or a dict of results for a list of them."""
    if isinstance(asked, dict):
        return {given: one(name) for given, name in asked.items()}
    return one(session_id(asked))


def _zeroed(values: Floats) -> Floats:
    """Set NaN and infinite values to 0, in place."""
    for row in values:  # not all at once: that would need memory of the size of the result
        row[~np.isfinite(row)] = 0
    return values
