"""Where the figures of the benchmarks go in docs: between two comments, which stay."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DOCS", "put"]

DOCS = Path(__file__).parents[1] / "docs"


def put(name: str, text: str) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` on the page.

    Raises
    ------
    ValueError
        Where the page has no such place.
    """
    page = DOCS / "benchmarks.md"
    first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(first)
    _, closed, after = rest.partition(last)
    if not found or not closed:
        msg = f"{page} has no place for {name!r}: {first.strip()} and {last}, each once"
        raise ValueError(msg)
    page.write_text(f"{before}{first}\n{text.strip()}\n\n{last}{after}", encoding="utf-8")
    print(f"written: {page}, {name}")
