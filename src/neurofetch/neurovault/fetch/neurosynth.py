"""Fetch Neurosynth's words for images: in parallel, kept under nilearn's file names."""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch._threads import together
from neurofetch.errors import NeurofetchError, ProtocolError
from neurofetch.extras import need
from neurofetch.neurovault.cache.layout import write_atomically
from neurofetch.neurovault.problems import plain
from neurofetch.neurovault.server.finder import result_or_error

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from neurofetch.neurovault.cache.layout import Cache
    from neurofetch.neurovault.records import WordWeights
    from neurofetch.neurovault.server.api import Server

    Matrix = npt.NDArray[np.float64]
    Vocabulary = npt.NDArray[np.str_]

__all__ = [
    "bad_weights",
    "fetch_words",
    "left_out",
    "left_out_message",
    "neurosynth_words_vectorized",
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


def left_out(paths: Mapping[int, Path]) -> dict[int, list[str]]:
    """Return the words that are left out since their weights are no numbers, by image id."""
    found: dict[int, list[str]] = {}
    for number, path in paths.items():
        try:
            words = bad_weights(path.read_bytes())
        except (OSError, ProtocolError):
            continue  # an image without words: that is told elsewhere
        if words:
            found[number] = words
    return found


def left_out_message(words: Mapping[int, Sequence[str]]) -> str:
    """Return the text of the warning about weights that are no numbers."""
    lines = [f"  image {number}: {', '.join(some[:_SHOWN])}" for number, some in words.items()]
    return "\n".join(
        ["Neurosynth gave weights that are no numbers; these words are left out:", *lines[:_SHOWN]]
        + ([f"  and of {len(lines) - _SHOWN} more images"] if len(lines) > _SHOWN else [])
    )


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
        Empty when Neurosynth knows no word for the image. A weight that is no number is left out:
        see `bad_weights`.

    Raises
    ------
    ProtocolError
        When it is no such response.

    Examples
    --------
    >>> word_weights('{"data": {"values": {"motor": 0.25, "hand": 1}}}')
    {'motor': 0.25, 'hand': 1.0}
    """
    values = _values(response)
    numbers = {word: number for word in values if (number := _weight(values[word])) is not None}
    if not numbers and any(value is not None for value in values.values()):
        raise ProtocolError(
            "Neurosynth's response holds no word weights: none of them is a number, such as "
            f"{next(iter(values.items()))!r}."
        )
    return numbers


def bad_weights(response: bytes | str) -> list[str]:
    """Return the words whose weights are no numbers, for which `word_weights` has nothing.

    Examples
    --------
    >>> bad_weights('{"data": {"values": {"motor": 0.25, "hand": "?", "foot": null}}}')
    ['hand']
    """
    values = _values(response)
    return [word for word, value in values.items() if value is not None and _weight(value) is None]


def _weight(value: object) -> float | None:
    """Return a weight as a number; None for what is no finite number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _values(response: bytes | str) -> dict[str, object]:
    try:
        values = json.loads(response)["data"]["values"]
        return {str(word): value for word, value in values.items()}
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


def neurosynth_words_vectorized(
    word_files: Iterable[str | os.PathLike[str] | None],
    verbose: int = 3,  # noqa: ARG001 - nilearn has it
    **kwargs: object,
) -> tuple[Matrix, Vocabulary] | tuple[None, None]:
    """Return the words in files of a cache as a matrix and its vocabulary.

    Parameters
    ----------
    word_files : iterable of path-like or None
        One for each image, such as the ``ns_words_absolute_path`` of its record.
    verbose : int
        Taken for nilearn's sake; nothing is shown.
    **kwargs : object
        For scikit-learn's ``DictVectorizer``, which makes the matrix where any are given.

    Returns
    -------
    word_frequencies : ndarray of float64, shape (n_files, n_words), or None
        Weight of each word, 0 where a file has none or cannot be read.
    vocabulary : ndarray of str, shape (n_words,), or None
        The words, sorted. Both are None when there is no word at all.

    Warns
    -----
    UserWarning
        Once, of the files that hold no words and of weights that are no numbers.
    """
    paths = [None if name is None else Path(name) for name in word_files]
    words = [None if path is None else read_words(path) for path in paths]
    missing = [str(path) for path, known in zip(paths, words, strict=True) if known is None]
    bad = left_out({n: path for n, path in enumerate(paths) if path is not None})
    lines = [f"  no words can be read from {name}" for name in missing[:_SHOWN]]
    lines += [f"  {paths[n]}: no numbers for {', '.join(some[:_SHOWN])}" for n, some in bad.items()]
    if not any(words):
        lines.insert(0, "  no file has any word")
    if lines:
        text = "\n".join(["Of Neurosynth's words, some are missing:", *lines])
        warnings.warn(text, UserWarning, stacklevel=2)
    if not kwargs or not any(words):
        return vectorize(words)
    need("neurosynth_words_vectorized with options", "neurovault", "sklearn")
    import numpy as np  # noqa: PLC0415 - heavy
    from sklearn.feature_extraction import DictVectorizer  # noqa: PLC0415 - heavy

    made = DictVectorizer(**kwargs)
    matrix = made.fit_transform([known or {} for known in words])
    dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return dense, np.asarray(made.feature_names_)
