"""What a subject's files hold: betas, noise ceilings, trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from laion_fmri._layout import session_id
from laion_fmri._lazy import trial_frame
from laion_fmri._select import read_map
from laion_fmri._subject import SubjectFiles, listed
from laion_fmri._trials import read_trials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    RoiQuery = str | Iterable[str]
    Floats = NDArray[np.float32]
    Kind = Literal["shared", "unique"]

__all__ = ["SubjectValues"]

T = TypeVar("T")

# Each accessor gives one result for one session and a dict for a list of them; two overloads tell
# type checkers so. A str is an iterable of str too, hence their overlap: the first one goes before.


class SubjectValues(SubjectFiles):
    """The part of `laion_fmri.subject.Subject` that reads values into memory."""

    @overload
    def get_betas(  # type: ignore[overload-overlap]
        self,
        session: str,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: Kind | None = None,
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
        stimuli: Kind | None = None,
        streaming: bool | None = None,
        *,
        stream: bool = False,
        nan: Literal["raise", "keep"] = "raise",
    ) -> dict[str, Floats]: ...

    def get_betas(  # noqa: PLR0917 - the public package's order
        self,
        session: str | Iterable[str],
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        stimuli: Kind | None = None,
        streaming: bool | None = None,  # noqa: ARG002 - every read streams
        *,
        stream: bool = False,
        nan: Literal["raise", "keep"] = "raise",
    ) -> Floats | dict[str, Floats]:
        """Return single-trial betas.

        The file passes by once; memory holds the result and a few tens of megabytes. With a beta
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
            Of the public package; without effect here, where every read streams.
        stream : bool
            Where the betas are not on disk: decompress and mask them while they arrive from the
            bucket, verify them on the way, and keep only the result. The mean-R² map, and what
            `roi`, `nc_threshold` and `stimuli` ask for, must be on disk.
        nan : {"raise", "keep"}
            Whether NaN and infinite values among the voxels asked for are an error.

        Returns
        -------
        numpy.ndarray or dict of str to numpy.ndarray
            float32, shape (n_trials, n_voxels), trials in the order of `get_trial_info`; a dict by
            session where a list was given. Where no trial or no voxel is left, that length is 0.

        Raises
        ------
        DataNotDownloadedError
            If a file that is needed is not on disk; the message has the call that brings it.
        CorruptFileError, GridMismatchError, TrialMismatchError, NotFiniteError
            If a file is damaged, on another grid, does not match its trial table, or holds NaN.
        ValueError
            If an argument makes no sense.
        """
        if nan not in ("raise", "keep"):
            raise ValueError(f"nan={nan!r}: expected 'raise' or 'keep'.")

        def one(name: str) -> Floats:
            columns = self._select.columns(
                roi=roi, mask=mask, nc_threshold=nc_threshold, session=name
            )
            if stream and not self._has_betas(name):
                from laion_fmri._bucket import betas_from_bucket

                return betas_from_bucket(
                    self._layout, name, self._select.brain, columns, stimuli, finite=nan == "raise"
                )
            betas = self._betas(name)
            return betas.read(columns, betas.rows(stimuli), finite=nan == "raise")

        return self._each(session, one)

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
            float32, shape (n_voxels,), NaN where the file has NaN; a dict where a list was given.
        """
        if (session is None) == (desc is None):
            raise ValueError(
                "Give exactly one of session and desc: a session's map or a subject's."
            )
        columns = self._select.columns(roi=roi, mask=mask)

        def values(path: Path) -> Floats:
            whole = read_map(path, self._select.brain)
            chosen: Floats = whole if columns is None else whole[columns]
            return chosen

        if session is not None:
            return self._each(session, lambda name: values(self._layout.noise_ceiling(name)))
        if isinstance(desc, str):
            return values(self._layout.noise_ceiling(desc=desc))
        named = cast("Iterable[str]", desc)
        return {name: values(self._layout.noise_ceiling(desc=name)) for name in named}

    @overload
    def get_trial_info(  # type: ignore[overload-overlap]
        self, session: str
    ) -> pd.DataFrame: ...

    @overload
    def get_trial_info(self, session: Iterable[str]) -> dict[str, pd.DataFrame]: ...

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
            trials = read_trials(self._layout.trials(name))
            if self._has_betas(name):
                trials.check(self._betas(name).header().volumes, self._layout.betas(name))
            return trial_frame(trials)

        return self._each(session, one)

    def _each(self, session: str | Iterable[str], one: Callable[[str], T]) -> T | dict[str, T]:
        if isinstance(session, str):
            return one(session_id(session))
        return {name: one(name) for name in [session_id(token) for token in listed(session)]}
