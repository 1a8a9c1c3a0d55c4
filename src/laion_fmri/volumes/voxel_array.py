"""Arrays that say which brain mask their voxels are of."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from laion_fmri.errors import MixedMasksError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["VoxelArray", "on_mask"]

#: What makes one array of several, which numpy gives back as a plain one.
_TOGETHER = (np.concatenate, np.stack, np.vstack, np.hstack, np.where)

#: The module of Dask that was told.
_told: list[Any] = [None]

Scalar = TypeVar("Scalar", bound=np.generic)


class VoxelArray(np.ndarray[Any, Any]):
    """A numpy array that knows its brain mask.

    It is an array like any other. Parts, copies, results of arithmetic, and arrays that are put
    together (``numpy.concatenate``, ``numpy.stack``) keep the name of the mask. Where two masks
    meet, that is a `MixedMasksError`. ``numpy.asarray(values)`` gives the plain array.

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
        return on_mask(array, _one_source((self,) if context is None else context[1]))

    def __array_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Return what a function of numpy does; arrays that are put together keep their mask."""
        pieces = [one for given in args for one in (given if _is_several(given) else [given])]
        source = _one_source(pieces)
        found = super().__array_function__(func, types, args, kwargs)
        together = func in _TOGETHER and isinstance(found, np.ndarray)
        return on_mask(found, source) if together else found

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # The plain array, so that what sends it can send its memory without a copy.
        return on_mask, (np.asarray(self), self.mask_source)

    def __setstate__(self, state: Any, /) -> None:
        inner, self.mask_source = state  # of what older versions pickled
        super().__setstate__(inner)


def _is_several(given: object) -> bool:
    return isinstance(given, list | tuple)


def _one_source(values: Iterable[object]) -> str | None:
    """Return the brain mask of what comes together; two of them are an error."""
    sources = {one.mask_source for one in values if isinstance(one, VoxelArray)} - {None}
    if len(sources) > 1:
        raise MixedMasksError(
            "values of the brain mask 'anatomical' meet values of 'rsquare', and a column of one "
            "is another voxel than that of the other. Ask for both with the same mask_source; "
            "numpy.asarray(values) is an array without the name of its mask."
        )
    return next(iter(sources), None)


def on_mask(values: NDArray[Scalar], source: str | None) -> NDArray[Scalar]:
    """Return the same values, without a copy, as an array that names its brain mask."""
    _tell_dask()
    named = values.view(VoxelArray)
    named.mask_source = source
    return named


def _tell_dask() -> None:
    """Let `dask.distributed` send these arrays as they are, where it is in use.

    It sends an array of any class as a plain one, and the name of the mask would be lost.
    """
    there: Any = sys.modules.get("distributed.protocol.serialize")
    register = getattr(getattr(there, "dask_serialize", None), "register", None)
    if register is not None and there is not _told[0]:
        register(VoxelArray, _frames_of)
        _told[0] = there


def _frames_of(values: VoxelArray, context: object = None) -> tuple[dict[str, bool], list[Any]]:  # noqa: ARG001
    """Return an array as Dask's reader of arrays takes it: pickled, and its memory beside it."""
    frames: list[Any] = [b""]
    frames[0] = pickle.dumps(
        values, protocol=5, buffer_callback=lambda buffer: frames.append(buffer.raw())
    )
    return {"pickle": True}, frames
