"""Fetch Neurosynth's words for images: in parallel, kept under nilearn's file names."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from neurofetch._errors import NeurofetchError, ProtocolError
from neurofetch._together import together
from neurofetch.neurovault._finder import tried
from neurofetch.neurovault._layout import write_atomically
from neurofetch.neurovault._problems import plain
from neurofetch.neurovault._words import word_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from neurofetch.neurovault._api import Server
    from neurofetch.neurovault._layout import Cache

__all__ = ["fetch_words", "read_words", "words_message"]

_SHOWN = 20


def fetch_words(
    server: Server, cache: Cache, places: Mapping[int, int], *, overwrite: bool
) -> dict[int, str]:
    """Fetch the words that are not here; return why some cannot be had, by image id.

    Parameters
    ----------
    server : Server
        Neurosynth's.
    cache : Cache
    places : mapping of int to int
        Image id to collection id.
    overwrite : bool
        Fetch also what is here.
    """
    todo = {
        number: cache.words(collection_id, number)
        for number, collection_id in places.items()
        if overwrite or read_words(cache.words(collection_id, number)) is None
    }
    calls = [partial(tried, partial(_fetch, server, n, path)) for n, path in todo.items()]
    answers = zip(todo, together(calls, server.width), strict=True)
    return {n: plain(str(e)) for n, e in answers if isinstance(e, NeurofetchError)}


def _fetch(server: Server, image_id: int, path: Path) -> None:
    body, _ = server.answer("decode/", {"neurovault": str(image_id)})
    word_weights(body)  # an answer without words is not kept
    write_atomically(path, body)


def read_words(path: Path) -> dict[str, float] | None:
    """Return the words of one image; None when there is no whole file of them."""
    try:
        return word_weights(path.read_bytes())
    except (OSError, ProtocolError):
        return None


def words_message(problems: Mapping[int, str], asked: Sequence[int]) -> str:
    """Return the words of the one warning about missing words."""
    lines = []
    for cause, times in Counter(problems.values()).most_common():
        numbers = [str(number) for number, other in problems.items() if other == cause]
        more = f" and {times - _SHOWN} more" if times > _SHOWN else ""
        lines.append(f"  {cause}: image {', '.join(numbers[:_SHOWN])}{more}")
    return "\n".join(
        [
            f"Neurosynth gave no words for {len(problems)} of {len(asked)} images:",
            *lines,
            "The images themselves are there. The same call again asks for the missing words.",
        ]
    )
