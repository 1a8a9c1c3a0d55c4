"""Fetch Neurosynth's words for images: in parallel, kept under nilearn's file names."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from neurofetch._threads import together
from neurofetch.errors import NeurofetchError, ProtocolError
from neurofetch.neurovault.cache.layout import write_atomically
from neurofetch.neurovault.problems import plain
from neurofetch.neurovault.server.finder import result_or_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import WordWeights
    from neurofetch.neurovault.server.api import Server

    Matrix = npt.NDArray[np.float64]
    Vocabulary = npt.NDArray[np.str_]

__all__ = [
    "fetch_words",
    "read_words",
    "vectorize",
    "word_weights",
    "words_message",
]

_SHOWN = 20


def fetch_words(
    server: Server, cache: Cache, collection_of: Mapping[int, int], *, overwrite: bool
) -> dict[int, str]:
    """Fetch the words that are not here; return why some could not be fetched, by image id.

    Parameters
    ----------
    server : Server
        Neurosynth's.
    cache : Cache
    collection_of : mapping of int to int
        Image id to collection id.
    overwrite : bool
        Fetch also the words that are here.
    """
    todo = {
        number: cache.words(collection_id, number)
        for number, collection_id in collection_of.items()
        if overwrite or read_words(cache.words(collection_id, number)) is None
    }
    calls = [partial(result_or_error, partial(_fetch, server, n, path)) for n, path in todo.items()]
    results = zip(todo, together(calls, server.width, server.poll), strict=True)
    return {n: plain(str(e)) for n, e in results if isinstance(e, NeurofetchError)}


def _fetch(server: Server, image_id: int, path: Path) -> None:
    body, _ = server.response("decode/", {"neurovault": str(image_id)})
    word_weights(body)  # raises when the response is something else
    write_atomically(path, body)


def read_words(path: Path) -> WordWeights | None:
    """Return the words of one image; None when there is no file of them, or no whole one."""
    try:
        return word_weights(path.read_bytes())
    except (OSError, ProtocolError):
        return None


def words_message(problems: Mapping[int, str], asked: Sequence[int]) -> str:
    """Return the text of the warning about missing words."""
    lines = []
    for cause, times in Counter(problems.values()).most_common():
        numbers = [str(number) for number, other in problems.items() if other == cause]
        more = f" and {times - _SHOWN} more" if times > _SHOWN else ""
        lines.append(f"  {cause}: image {', '.join(numbers[:_SHOWN])}{more}")
    return "\n".join(
        [
            f"Neurosynth gave no words for {len(problems)} of {len(asked)} images:",
            *lines,
            "The images themselves are here. The same call again asks for the missing words.",
        ]
    )


def word_weights(response: bytes | str) -> WordWeights:
    """Return the word weights in one response of Neurosynth.

    Parameters
    ----------
    response : bytes or str
        The body, or the content of a ``neurosynth_words_for_image_<id>.json``.

    Returns
    -------
    dict of str to float
        Empty when Neurosynth knows no word for the image.

    Raises
    ------
    ProtocolError
        When it is no such response.

    Examples
    --------
    >>> word_weights('{"data": {"values": {"motor": 0.25, "hand": 1}}}')
    {'motor': 0.25, 'hand': 1.0}
    """
    try:
        values = json.loads(response)["data"]["values"]
        return {str(word): float(value) for word, value in values.items() if value is not None}
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as exc:
        raise ProtocolError(
            f"Neurosynth's response holds no word weights; it begins {_beginning(response)!r}."
        ) from exc


def _beginning(response: bytes | str) -> str:
    text = response if isinstance(response, str) else response[:80].decode("utf-8", "replace")
    return " ".join(text[:60].split())


def vectorize(
    weights: Sequence[WordWeights | None],
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
