"""Neurosynth's answers: from bytes to word weights, from many images to one matrix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from neurofetch._errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float64]
    Vocabulary = npt.NDArray[np.str_]


def word_weights(answer: bytes | str) -> dict[str, float]:
    """Return the word weights in one answer of Neurosynth.

    Parameters
    ----------
    answer : bytes or str
        The body, or the content of a ``neurosynth_words_for_image_<id>.json``.

    Returns
    -------
    dict of str to float
        Empty when Neurosynth knows no word for the image.

    Raises
    ------
    ProtocolError
        When this is not such an answer.

    Examples
    --------
    >>> word_weights('{"data": {"values": {"motor": 0.25, "hand": 1}}}')
    {'motor': 0.25, 'hand': 1.0}
    """
    try:
        values = json.loads(answer)["data"]["values"]
        return {str(word): float(value) for word, value in values.items() if value is not None}
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ProtocolError(
            f"Neurosynth's answer holds no word weights; it begins {_beginning(answer)!r}."
        ) from exc


def _beginning(answer: bytes | str) -> str:
    text = answer if isinstance(answer, str) else answer[:80].decode("utf-8", "replace")
    return " ".join(text[:60].split())


def vectorize(
    weights: Sequence[Mapping[str, float] | None],
) -> tuple[Matrix, Vocabulary] | tuple[None, None]:
    """Return word weights of many images as a matrix and its vocabulary.

    Parameters
    ----------
    weights : sequence of mapping or None
        One per image; None where there are none.

    Returns
    -------
    word_frequencies : ndarray of float64, shape (n_images, n_words), or None
        Weight of each word for each image, 0 where the image has none; None when no image has
        any word.
    vocabulary : ndarray of str, shape (n_words,), or None
        The words, sorted.

    Examples
    --------
    >>> frequencies, vocabulary = vectorize([{"motor": 0.5}, None, {"hand": 0.25, "motor": 1.0}])
    >>> vocabulary.tolist()
    ['hand', 'motor']
    >>> frequencies.tolist()
    [[0.0, 0.5], [0.0, 0.0], [0.25, 1.0]]
    """
    vocabulary = sorted({word for known in weights for word in known or ()})
    if not vocabulary:
        return None, None
    import numpy as np  # noqa: PLC0415 - heavy

    place = {word: column for column, word in enumerate(vocabulary)}
    frequencies = np.zeros((len(weights), len(vocabulary)))
    for row, known in enumerate(weights):
        for word, weight in (known or {}).items():
            frequencies[row, place[word]] = weight
    return frequencies, np.asarray(vocabulary)
