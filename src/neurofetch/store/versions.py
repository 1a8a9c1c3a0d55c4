"""Which version of a data set is in a data directory, and what it takes to have another."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING

from neurofetch._shown import shown
from neurofetch.errors import OtherDatasetError, UnsafeNameError
from neurofetch.integrity.checksums import hasher
from neurofetch.store.atomic import read_regular
from neurofetch.store.data_source import other_version, read_sources
from neurofetch.store.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from neurofetch.model import Want
    from neurofetch.store.data_source import DataSource
    from neurofetch.store.directory import DataDirectory

__all__ = ["check_version"]

_DESCRIPTION = "dataset_description.json"
_DOI = re.compile(r"10\.18112/openneuro\.(ds[0-9]+)\.v([A-Za-z0-9._-]*[A-Za-z0-9])", re.IGNORECASE)
_LARGEST = 1 << 20
_NAMED = 3


def check_version(
    directory: DataDirectory,
    source: DataSource,
    wants: Sequence[Want],
    *,
    update: bool,
    mix: bool,
) -> tuple[str, ...]:
    """See that a data directory holds no other version of a data set, unless it is to be updated.

    What it holds is remembered, or told by the DOI in the description that another program left.

    Parameters
    ----------
    directory : DataDirectory
    source : DataSource
        What was asked for, with its version.
    wants : sequence of Want
        What was chosen of it.
    update : bool
        Whether another version is to be replaced by this one.
    mix : bool
        Whether the directory may be of several data sets.

    Returns
    -------
    tuple of str
        What there is to say about an update.

    Raises
    ------
    OtherDatasetError
        If it holds another version, or by its description another data set.
    """
    known = [one for one in read_sources(directory.state) if one.identity == source.identity]
    if known:
        here = known[0].version
    else:
        accession, here = _described(directory.root, wants)
        asked = source.url.rpartition(":")[2]
        if accession and accession != asked and not mix:
            msg = (
                f"{directory.root} holds another data set: by its {_DESCRIPTION} it is "
                f"{accession} of OpenNeuro. You asked for {asked}. Nothing was fetched. Choose "
                "another data directory; or, if you want both in this one, say so with --mix "
                "(mix=True)."
            )
            raise OtherDatasetError(msg)
        here = here if accession == asked else ""
    if not here or here == source.version:
        return ()
    if not update:
        raise other_version(directory.root, here, source)
    return (
        f"update of {directory.root.name} from version {shown(here)} to {source.version}: files "
        "whose content differs are replaced",
        *_others(directory, wants),
    )


def _others(directory: DataDirectory, wants: Sequence[Want]) -> Iterator[str]:
    """Say which files of earlier runs are not chosen now, and so stay as they are."""
    chosen = {want.path for want in wants}
    rest = sorted(
        path
        for path in read_receipts(directory.state)
        if path not in chosen and directory.look(path) is not None
    )
    if rest:
        more = f" and {len(rest) - _NAMED:,} more" if len(rest) > _NAMED else ""
        names = ", ".join(map(shown, rest[:_NAMED]))
        yield (
            f"{len(rest):,} files of earlier runs are not among these, and stay as they are: "
            f"{names}{more}"
        )


def _described(root: Path, wants: Sequence[Want]) -> tuple[str, str]:
    """Return the data set and the version that a description here tells of; "" for unknown.

    A description that is the one of the version that was asked for tells of no other, whatever DOI
    is in it.
    """
    content = b""
    with contextlib.suppress(OSError, UnsafeNameError):
        path = root / _DESCRIPTION
        if os.path.getsize(path) <= _LARGEST:
            content = read_regular(path)  # no pipe, whatever leads to it
    for want in wants:
        if want.path == _DESCRIPTION and _is_content(content, want):
            return "", ""
    said: object = None
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(content)
    doi = said.get("DatasetDOI") if isinstance(said, dict) else None
    found = _DOI.search(doi) if isinstance(doi, str) else None
    return (found[1].lower(), found[2]) if found else ("", "")


def _is_content(content: bytes, want: Want) -> bool:
    digest = want.remote.digest
    if digest is None or len(content) != want.remote.size:
        return False
    read = hasher(digest.algorithm, len(content))
    read.update(content)
    return read.hexdigest() == digest.value
