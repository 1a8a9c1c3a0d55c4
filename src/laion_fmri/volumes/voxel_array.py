"""Arrays that say which brain mask their voxels are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VoxelArray", "on_mask"]

Scalar = TypeVar("Scalar", bound=np.generic)


class VoxelArray(np.ndarray[Any, Any]):
    """A numpy array that knows its brain mask.

    It is an array like any other. Parts, copies and results of arithmetic keep the name of the
    mask; where two masks come together it is None. ``numpy.asarray(values)`` gives the plain array.

    Attributes
    ----------
    mask_source : {"anatomical", "rsquare"} or None
        The brain mask whose voxels the values are of, as in
        `laion_fmri.subject.Subject.get_brain_mask`.
    """

    mask_source: str | None = None

    def __array_finalize__(self, obj: object) -> None:
        self.mask_source = getattr(obj, "mask_source", None)

    def __array_wrap__(
        self,
        array: NDArray[Any],
        context: tuple[Any, tuple[Any, ...], int] | None = None,
        return_scalar: bool = False,
        /,
    ) -> Any:
        """Return the result of arithmetic: an array of this kind, or a scalar."""
        if array.ndim == 0:
            return array[()]  # as of a plain array: numpy keeps a subclass's sum as an array
        inputs = (self,) if context is None else context[1]
        sources = {one.mask_source for one in inputs if isinstance(one, VoxelArray)}
        return on_mask(array, sources.pop() if len(sources) == 1 else None)

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def __reduce__(self) -> tuple[Any, ...]:
        plain: Any = super().__reduce__()
        return (*plain[:2], (plain[2], self.mask_source))

    def __setstate__(self, state: Any, /) -> None:
        inner, self.mask_source = state
        super().__setstate__(inner)


def on_mask(values: NDArray[Scalar], source: str | None) -> NDArray[Scalar]:
    """Return the same values, without a copy, as an array that names its brain mask."""
    named = values.view(VoxelArray)
    named.mask_source = source
    return named
