"""Lock files: make one of a data directory, read one, hold a directory against it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown
from neurofetch._threads import few_collections
from neurofetch.display.progress import listener
from neurofetch.errors import DestinationError, NothingMatchedError, UsageError
from neurofetch.lockfile.compare import check_files, diff_files
from neurofetch.lockfile.here import Here
from neurofetch.lockfile.reading import read_lock
from neurofetch.lockfile.values import Head, LockedFile, file_line, head_line
from neurofetch.notes import warn_of_notes
from neurofetch.store.atomic import read_regular, write_atomically
from neurofetch.store.data_source import described
from neurofetch.transfer.options import check_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from neurofetch.events import Event
    from neurofetch.lockfile.compare import Difference
    from neurofetch.lockfile.exports import Format
    from neurofetch.model import LocalFile, Report
    from neurofetch.store.data_source import DataSource

    Where = str | os.PathLike[str]
    How = str | bool | Callable[[Event], None] | None

__all__ = ["Lock", "lock"]

_DESCRIPTION = 1 << 20
"""Bytes. What is larger is no description of a data set."""
