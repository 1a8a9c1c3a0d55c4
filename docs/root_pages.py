"""Shows files of the root as pages of the site: their links lead to pages, or to nothing.

On a forge the pages here only name the file; the site has its whole text in their place.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

__all__ = ["PAGES", "as_page", "setup"]

PAGES: Final = {
    "contribute": "CONTRIBUTING.md",
    "architecture": "ARCHITECTURE.md",
    "changelog": "CHANGELOG.md",
    "reporting": "SECURITY.md",
}
"""The pages of the site, and the files whose text they have."""
_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def as_page(text: str) -> str:
    """Return the text of a file of the root, with links that are right in ``docs/``.

    Parameters
    ----------
    text : str
        Markdown.
    """
    return _LINK.sub(_link, text)


def _link(found: re.Match[str]) -> str:
    label, target = found.groups()
    path, hash_, anchor = target.partition("#")
    if "://" in target or target.startswith(("#", "mailto:")):
        return found[0]
    if path.rstrip("/") == "docs/gallery":
        return f"[{label}](auto_gallery/index.rst)"
    if path.startswith("docs/"):
        return f"[{label}]({path.removeprefix('docs/')}{hash_}{anchor})"
    for page, name in PAGES.items():
        if path == name:
            return f"[{label}]({page}.md{hash_}{anchor})"
    return label  # a file of the program: the site has none of them


def _read(app: Any, docname: str, source: list[str]) -> None:
    if docname in PAGES:
        text = (Path(app.srcdir).parent / PAGES[docname]).read_text("utf-8")
        below = source[0].partition("<!-- on the site -->")[2]
        source[0] = as_page(text) + below


def setup(app: Any) -> dict[str, bool]:
    """Let Sphinx read the files of the root."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
