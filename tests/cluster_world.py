"""Data sets for the tests of clusters, and who fetches them while something happens."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from testbed.s3 import Generated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

DESCRIPTION = b'{"Name": "Many", "BIDSVersion": "1.8.0"}'


def many(files: int, size: int = 900, large: int = 0, large_size: int = 64 << 20) -> dict[str, Any]:
    """Return a data set with many small files and some large ones, by key."""
    made: dict[str, Any] = {"ds/dataset_description.json": DESCRIPTION}
    for number in range(files):
        stem = f"sub-{number // 20 + 1:04}"
        content = f"{number:08}".encode() * (size // 8)
        made[f"ds/{stem}/func/{stem}_task-rest_run-{number % 20 + 1:02}_bold.nii.gz"] = content
    for number in range(large):
        made[f"ds/sub-{number + 1:04}/func/sub-{number + 1:04}_task-film_bold.nii.gz"] = Generated(
            large_size, number
        )
    return made


def lacking(root: Path, objects: Mapping[str, Any]) -> list[str]:
    """Return the paths below `root` that are not what the server has."""
    found = []
    for key, content in objects.items():
        path = root / key.removeprefix("ds/")
        if not path.is_file():
            found.append(f"{path}: missing")
        elif isinstance(content, bytes) and path.read_bytes() != content:
            found.append(f"{path}: other bytes")
    return found


class Aside:
    """Calls something in a thread, so that the test can act meanwhile."""

    def __init__(self, call: Callable[..., Any], *args: Any, **keywords: Any) -> None:
        self._pool = ThreadPoolExecutor(1)
        self.future: Future[Any] = self._pool.submit(call, *args, **keywords)

    def result(self, seconds: float = 120.0) -> Any:
        try:
            return self.future.result(seconds)
        finally:
            self._pool.shutdown(wait=False)


def greedy(temporary: str, want: object) -> None:
    """Look into a file as somebody would who needs far too much memory for it."""
    held = [bytes([number]) * (64 << 20) for number in range(1, 40)]
    time.sleep(10)
    del held
