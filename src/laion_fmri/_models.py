"""The models whose embeddings of the stimuli are public, and where these lie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neurofetch.errors import UnknownValueError

__all__ = ["AVAILABLE_MODELS", "embedding_key", "embedding_models"]

AVAILABLE_MODELS = ("CLIP", "DINOv2", "PEcore", "SigLIP2")
"""OpenCLIP ViT-H/14, DINOv2 ViT-L/14, Perception Encoder (core), SigLIP 2."""


def embedding_models(models: object) -> tuple[str, ...]:
    """Return the labels that an argument names, each once, in its order.

    Parameters
    ----------
    models : bool, str or iterable of str
        True and ``"all"`` stand for all of them, False and None for none.

    Raises
    ------
    UnknownValueError
        If there is no such model (a ``ValueError``); the message lists those that there are.

    Examples
    --------
    >>> embedding_models(["SigLIP2", "CLIP"]), embedding_models(False)
    (('SigLIP2', 'CLIP'), ())
    >>> embedding_models("all") == AVAILABLE_MODELS
    True
    """
    several = isinstance(models, Iterable) and not isinstance(models, str | bytes)
    if not several:
        if models is None or models == 0:  # as any switch: False, NumPy's too, and 0
            return ()
        if models in {1, "all"}:
            return AVAILABLE_MODELS
    given: list[Any] = [*models] if several else [models]  # type: ignore[misc]
    if len(given) == 1 and isinstance(given[0], str) and given[0] == "all":  # ["all"]
        return AVAILABLE_MODELS
    for one in given:
        if not isinstance(one, str) or one not in AVAILABLE_MODELS:
            near = [name for name in AVAILABLE_MODELS if name.lower() == str(one).lower()]
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(AVAILABLE_MODELS)
            msg = (
                f"there are no embeddings of the model {one!r}.{hint} There are {known}, or 'all'."
            )
            raise UnknownValueError(msg)
    return tuple(dict.fromkeys(map(str, given)))  # NumPy's text, too


def embedding_key(model: str) -> str:
    """Return the key in the bucket, which is the path in a data directory too.

    Examples
    --------
    >>> embedding_key("CLIP")
    'stimuli/task-images_desc-CLIP_embeddings.h5'
    """
    return f"stimuli/task-images_desc-{model}_embeddings.h5"
