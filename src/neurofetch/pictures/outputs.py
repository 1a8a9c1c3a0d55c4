"""From a figure to a file: PNG, SVG, PDF, or one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
import io
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

from neurofetch._shown import shown
from neurofetch._version import __version__
from neurofetch.errors import DestinationError
from neurofetch.store.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Words", "save"]

_DPI: Final = 140


@dataclass(frozen=True, slots=True)
class Words:
    """What is told with a picture: on the HTML page, and in the data of the file.

    Parameters
    ----------
    title : str
    described : str
        What is to be seen, for those who do not see it.
    rows : sequence of mapping
        About each file, by what stands above the column.
    notes : sequence of str
    """

    title: str
    described: str
    rows: Sequence[Mapping[str, str]] = field(default=())
    notes: Sequence[str] = field(default=())


def save(fig: Any, path: Path, words: Words) -> None:
    """Write a figure as a whole file, the same bytes for the same figure.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    path : Path
        Its end sets the format.
    words : Words

    Raises
    ------
    DestinationError
        If it cannot be written.
    """
    kind = path.suffix.lower().lstrip(".")
    content = (
        _page(_drawn(fig, "png", words), words) if kind == "html" else _drawn(fig, kind, words)
    )
    try:
        write_atomically(path, content)
    except OSError as exc:
        raise DestinationError(
            f"{shown(str(path))} cannot be written: {exc.strerror or exc}. Name another place."
        ) from exc


def _drawn(fig: Any, kind: str, words: Words) -> bytes:
    title = shown(words.title)
    made = f"neurofetch {__version__}"
    about: dict[str, dict[str, Any]] = {
        "png": {"Software": made, "Title": title},
        "svg": {"Creator": made, "Title": title, "Date": None},
        "pdf": {"Creator": made, "Title": title, "CreationDate": None},
    }
    stream = io.BytesIO()
    with (
        mpl.rc_context({"svg.hashsalt": "neurofetch", "svg.fonttype": "none"}),
        warnings.catch_warnings(),
    ):
        # A name may have letters that the font lacks: a box stands for each.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        fig.savefig(stream, format=kind, dpi=_DPI, facecolor="white", metadata=about[kind])
    return stream.getvalue()


# The heading is for those who do not see the picture, which has the same title in it.
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #57606a; --line: #d0d7de; --back: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --quiet: #9aa4af; --line: #3d444d; --back: #0d1117 }
}
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink);
  background: var(--back); font: 16px/1.5 system-ui, sans-serif }
h1 { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden;
  white-space: nowrap }
img { max-width: 100%; height: auto;
  background: #fff; border: 1px solid var(--line); border-radius: 6px }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .875rem }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top } footer, .note { color: var(--quiet); font-size: .875rem }
"""


def _page(picture: bytes, words: Words) -> bytes:
    """Return an HTML page with the picture in it: nothing is loaded, no script runs."""
    told = html.escape
    image = base64.b64encode(picture).decode()
    columns = list(dict.fromkeys(name for row in words.rows for name in row))
    head = "".join(f'<th scope="col">{told(name)}</th>' for name in columns)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{told(shown(row.get(name, '')))}</td>" for name in columns)
        + "</tr>\n"
        for row in words.rows
    )
    table = (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )
    notes = "".join(f'<p class="note">{told(shown(note))}</p>\n' for note in words.notes)
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="neurofetch {told(__version__)}">
<title>{told(shown(words.title))}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{told(shown(words.title))}</h1>
<p><img alt="{told(shown(words.described), quote=True)}" src="data:image/png;base64,{image}"></p>
{notes}{table if words.rows else ""}
</main>
<footer><p>Drawn by neurofetch {told(__version__)}. L is the left of the head, R the right;
slices are cut at the millimetres below them.</p></footer>
</body>
</html>
"""
    return text.encode()
