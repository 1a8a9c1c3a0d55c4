"""Trials of one session as a PyTorch dataset, by the name of the public package.

`laion_fmri.subject.Subject.to_torch_dataset` makes the same, also of several sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laion_fmri.loader.masks import MASK_SOURCE
from laion_fmri.loader.torch_dataset import LazyTrials, dataset_base
from laion_fmri.loader.voxels import voxel_columns
from neurofetch.extras import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from laion_fmri.loader.layout import SessionName
    from laion_fmri.loader.masks import MaskSource
    from laion_fmri.loader.rois import RoiQuery
    from laion_fmri.subject import Subject

__all__ = ["LaionFMRIDataset"]


if TYPE_CHECKING:

    class _Base:
        """PyTorch's class of datasets."""

else:
    _Base = dataset_base()


class LaionFMRIDataset(LazyTrials, _Base):
    """A ``torch.utils.data.Dataset`` of the trials of one session.

    Items are those of `laion_fmri.subject.Subject.to_torch_dataset`, with images.

    Parameters
    ----------
    subject : Subject
    session : str or int
        ``"ses-01"``, ``"01"`` or 1.
    roi, mask, nc_threshold, mask_source
        As in `laion_fmri.subject.Subject.get_betas`.
    image_transform : callable, optional
        Takes the tensor of the image: float32, shape (3, height, width), 0 to 1.

    Raises
    ------
    MissingExtraError
        If PyTorch is not installed (an ``ImportError``): ``pip install 'neurofetch[torch]'``.
    StimuliNotDownloadedError
        If the stimuli are not on disk.
    """

    def __init__(  # noqa: PLR0917 - the public package's order
        self,
        subject: Subject,
        session: SessionName,
        roi: RoiQuery | None = None,
        mask: NDArray[Any] | None = None,
        nc_threshold: float | None = None,
        image_transform: Callable[[Any], Any] | None = None,
        mask_source: MaskSource = MASK_SOURCE,
    ) -> None:
        need("LaionFMRIDataset", "torch", "torch", "h5py", "PIL")
        one = subject.store.session(session, mask_source)
        columns = voxel_columns(
            subject.layout,
            one.brain,
            roi=roi,
            mask=mask,
            nc_threshold=nc_threshold,
            session=one.session,
        )
        super().__init__(
            subject.layout, [one], columns, None, images=True, image_transform=image_transform
        )
