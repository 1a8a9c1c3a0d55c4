"""What a subject has on disk: sessions, ROIs, voxels, and the beta store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from laion_fmri._betas import SessionBetas, store_mode
from laion_fmri._layout import Layout, session_id
from laion_fmri._roidata import roi_data
from laion_fmri._select import Selection
from laion_fmri._store import remove_store
from laion_fmri._store_build import build_stores
from laion_fmri.brain import voxel_coordinates

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    RoiQuery = str | Iterable[str]

__all__ = ["SubjectFiles", "listed"]


class SubjectFiles:
    """The part of `laion_fmri.subject.Subject` that knows files, voxels and the store."""

    def __init__(
        self,
        subject_id: str,
        data_dir: str | os.PathLike[str],
        *,
        store: Literal["auto", "read", "off"] | None = None,
    ) -> None:
        self._layout = Layout(Path(data_dir), subject_id)
        self._store_mode = store_mode(store)
        self._select = Selection(self._layout)

    def __repr__(self) -> str:
        return (
            f"<Subject {self.subject_id}: {len(self.get_sessions())} sessions in {self.data_dir}>"
        )

    @property
    def subject_id(self) -> str:
        """The subject's full BIDS name, ``"sub-03"``."""
        return self._layout.subject

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self._layout.data_dir

    # --- what there is ---------------------------------------------------------------------------

    def get_sessions(self) -> list[str]:
        """Return the sessions on disk, sorted: ``["ses-01", …]``."""
        return self._layout.sessions()

    def get_available_rois(self, category: str | None = None) -> list[str]:
        """Return the ROIs on disk, sorted; of one category, such as ``"face"``, or of all.

        Raises
        ------
        UnknownRoiError
            If there is no such category (a ValueError; lists the nearest).
        """
        return self._select.rois.names(category)

    def get_available_categories(self) -> list[str]:
        """Return the ROI categories on disk, sorted; the older layout has none."""
        return self._select.rois.categories()

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
        return self._select.brain.flat()

    def get_n_voxels(self) -> int:
        """Return the number of voxels in the brain mask."""
        return len(self._select.brain)

    def get_voxel_coordinates(
        self, roi: RoiQuery | None = None, mask: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """Return where voxels lie in the scanner.

        Parameters
        ----------
        roi, mask
            As in `get_betas`; default: the whole brain mask.

        Returns
        -------
        numpy.ndarray
            float64, shape (n_voxels, 3): x, y, z in millimetres, by the affine of the mean-R² map.
        """
        brain = self._select.brain
        return voxel_coordinates(brain.part(self._select.columns(roi=roi, mask=mask)), brain.header)

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
        return self._select.roi_mask(roi)

    def get_roi_masks(self, rois: RoiQuery = "all") -> dict[str, NDArray[np.bool_]]:
        """Return each ROI on its own, by name; `rois` as in `get_roi_mask`."""
        return {name: self.get_roi_mask(name) for name in self._select.rois.resolve(rois)}

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
        names = self._select.rois.resolve(roi)
        return {name: roi_data(self._select, name, format, hemi) for name in names}

    # --- the store -------------------------------------------------------------------------------

    def build_store(
        self, session: str | Iterable[str] | None = None, *, n_jobs: int | None = None
    ) -> Path:
        """Build the beta store, for sessions that have none that is up to date.

        Parameters
        ----------
        session : str or list of str, optional
            Default: every session whose betas are on disk.
        n_jobs : int, optional
            Sessions at a time, each with about 60 MB; default: one per processor, at most 4.

        Returns
        -------
        pathlib.Path
            The store: a Zarr v3 group with one group per session, which holds ``betas`` (trial,
            voxel) and ``voxel`` (place in the C-order ravel of the grid). Removing it loses
            nothing.
        """
        names = self._named_or_all(session)
        return build_stores([self._betas(name) for name in names], n_jobs)

    def remove_store(self) -> bool:
        """Remove the beta store; False where there is none."""
        return remove_store(self.data_dir, self.subject_id)

    def _named_or_all(self, session: str | Iterable[str] | None) -> list[str]:
        """Return the sessions named, or, with None, those whose betas are here."""
        if session is None:
            return [name for name in self.get_sessions() if self._has_betas(name)]
        names = [session_id(name) for name in listed(session)]
        if not names:
            raise ValueError("session is an empty list: name at least one, or None for all.")
        return names

    def _has_betas(self, session: str) -> bool:
        try:
            self._layout.betas(session)
        except FileNotFoundError:
            return False
        return True

    def _betas(self, session: str) -> SessionBetas:
        return SessionBetas(self._layout, session, self._select.brain, self._store_mode)


def listed(session: object) -> list[str]:
    """Return the sessions of an argument that takes one or several."""
    if session is None or not hasattr(session, "__iter__"):
        raise ValueError(f"session={session!r}: expected one such as 'ses-01', or a list of them.")
    return [session] if isinstance(session, str) else list(session)
