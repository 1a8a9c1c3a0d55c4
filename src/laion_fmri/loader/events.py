"""The events of the raw data: what happened when in a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from laion_fmri.errors import CorruptFileError
from neurofetch.engine import parse_entities as parse

if TYPE_CHECKING:
    import pandas as pd

    from laion_fmri.loader.layout import Layout

__all__ = ["read_events"]


def read_events(layout: Layout, session: str) -> pd.DataFrame:
    """Return the events of a session, run after run, with a column ``run``.

    Raises
    ------
    DataNotDownloadedError
        If none are on disk.
    CorruptFileError
        If a file is no table.
    """
    import pandas as pd

    how: dict[str, str | bool] = {"ses": session, "suffix": "events", "include_raw": True}
    folder = layout.data_dir / layout.subject / session / "func"
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    tables = []
    for name in names:
        parsed = parse(name)
        if (parsed.suffix, parsed.extension) != ("events", ".tsv"):
            continue
        path = layout.present(folder / name, **how)
        try:
            table = pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)
        except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as exc:
            raise CorruptFileError(str(path), f"cannot be read as a table ({exc})") from exc
        run = parsed.get("run")
        tables.append(table if run is None else table.assign(run=f"run-{run}"))
    if not tables:
        layout.missing(f"the events of {session} (in the raw data)", **how)
    return pd.concat(tables, ignore_index=True)
