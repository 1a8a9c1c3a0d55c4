"""Writes ``llms.txt`` beside the site: its pages as a list, each with its Markdown source."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

__all__ = ["setup"]

_HEAD: Final = """# neurofetch

> Choose, fetch, verify and keep public brain-imaging data: LAION-fMRI, NeuroVault, OpenNeuro, BIDS.

Each page is here as Markdown.

## Pages

"""


def _write(app: Any, error: Exception | None) -> None:
    if error is not None or app.builder.name != "html":
        return
    lines = []
    for name in sorted(app.env.found_docs):
        source = f"{name}{'.md' if Path(app.env.doc2path(name)).suffix == '.md' else '.rst'}"
        if name.startswith(("api/", "auto_gallery/")) and not name.endswith("index"):
            continue
        lines.append(f"- [{app.env.titles[name].astext()}](_sources/{source}.txt)\n")
    Path(app.outdir, "llms.txt").write_text(_HEAD + "".join(lines), "utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Let Sphinx write it at the end."""
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True}
