"""A small page for a notebook, and the parts that it is made of. Pure.

What results show in a notebook is put together here, and escaped here, in one place. A page is
static: no script, no link, nothing from elsewhere. Notebooks that are not trusted take scripts and
style sheets away, so all style stands at the elements, and what unfolds is ``<details>``. Text has
the colour that the notebook gives it; the few colours are those of dots and bars, which can be seen
on light and on dark, and each stands beside a word that says the same.

A page is saved with its notebook, and what is on it may come from a server. So a text is cut, and
so is a page that would be longer than a notebook should hold.
"""

from __future__ import annotations

import html as markup
import logging
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Bar",
    "Chip",
    "Fold",
    "Lines",
    "Page",
    "Part",
    "Picture",
    "Pictures",
    "Table",
    "Words",
    "rendered",
    "safely",
]

_log = logging.getLogger(__name__)

COLOURS = {
    "good": "#16a34a",
    "new": "#3b82f6",
    "part": "#d97706",
    "bad": "#dc2626",
    "quiet": "#8a8a8a",
}
"""Each has a contrast of 3 or more to white and to the black of dark notebooks."""
_DOT = "display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.4em;"
_TRACK = "height:6px;border-radius:3px;overflow:hidden;max-width:40em;margin:.3em 0 .5em;"
_TABLE = (
    "border-collapse:collapse;margin:.3em 0;color:inherit;font-size:inherit;table-layout:auto;"
    "width:100%;max-width:60em"
)
_PLAIN = (
    "margin:.2em 0;padding:0;background:transparent;color:inherit;font-size:.92em;"
    "white-space:pre-wrap;overflow-wrap:anywhere;"
    "font-family:var(--jp-code-font-family,var(--vscode-editor-font-family,monospace))"
)
_DAMP = "rgba(128,128,128,.14)"
_LINE = "1px solid rgba(128,128,128,.35)"
_TEXT = "var(--jp-content-font-color1,var(--vscode-foreground,inherit))"
_FONT = "var(--jp-ui-font-family,var(--vscode-font-family,system-ui,sans-serif))"
_WORD = "overflow-wrap:anywhere;"
_CELL = f"padding:.2em .45em;border:0;border-bottom:{_LINE};background:transparent;color:inherit;"
# Words wrap anywhere, but for the width of one: on a narrow page the table scrolls.
_LEFT = f"{_CELL}text-align:left;min-width:7em;{_WORD}"
_RIGHT = f"{_CELL}text-align:right;white-space:nowrap;width:5em;font-variant-numeric:tabular-nums;"
_MOST = 256 * 1024
"""Letters of HTML in rows and lines of one page."""
_LONGEST = 1000
"""Letters of one text: no name in a bucket is longer than 1,024 bytes."""
_CUT = "… more is left out: it would make this notebook too large"


class Chip(NamedTuple):
    """A fact in a few words, with a dot before it where it has a tone.

    Parameters
    ----------
    text : str
    tone : {"", "good", "new", "part", "bad", "quiet"}
    """

    text: str
    tone: str = ""


class Bar(NamedTuple):
    """Shares of a whole, as one bar.

    Parameters
    ----------
    said : str
        What it shows, in words.
    shares : sequence of (float, str)
        How much, and in which tone.
    whole : float
        What the whole bar is; 0 for the sum of the shares.
    """

    said: str
    shares: Sequence[tuple[float, str]]
    whole: float = 0.0


class Table(NamedTuple):
    """Rows; the first column stands at the left, the others are numbers, or are short.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequence of str
    words : sequence of int
        Other columns that are words.
    """

    head: Sequence[str]
    rows: Iterable[Sequence[str]]
    words: Sequence[int] = ()


class Words(NamedTuple):
    """Paragraphs, each with a dot before it where they have a tone.

    Parameters
    ----------
    lines : sequence of str
    tone : str
    """

    lines: Sequence[str]
    tone: str = ""


class Lines(NamedTuple):
    """Lines of which there may be a thousand, so each takes little room.

    Parameters
    ----------
    lines : iterable of str
    """

    lines: Iterable[str]


class Picture(NamedTuple):
    """A picture that is in the page.

    Parameters
    ----------
    data : str
        Of a PNG, in base64.
    width, height : int
        In pixels of the page.
    caption : str
    """

    data: str
    width: int
    height: int
    caption: str


class Pictures(NamedTuple):
    """Pictures side by side, as many as there is room for."""

    every: Sequence[Picture]


class Fold(NamedTuple):
    """What can be unfolded.

    Parameters
    ----------
    summary : str
    parts : sequence of Part
    tone : str
    is_open : bool
        Whether it is unfolded at first.
    scrolls : bool
        Whether it is long, and scrolls by itself.
    """

    summary: str
    parts: Sequence[Part]
    tone: str = ""
    is_open: bool = False
    scrolls: bool = False


Part = Bar | Table | Words | Lines | Pictures | Fold


class Page(NamedTuple):
    """A result, as a notebook shows it.

    Parameters
    ----------
    title : str
    where : str
        Of what, or where; it may be long.
    chips : sequence of Chip
    parts : sequence of Part
    """

    title: str
    where: str
    chips: Sequence[Chip] = ()
    parts: Sequence[Part] = ()


def rendered(page: Page) -> str:
    """Return a page as HTML.

    Parameters
    ----------
    page : Page

    Examples
    --------
    >>> "&lt;b&gt;" in rendered(Page("Plan", "<b>"))
    True
    """
    style = f"color:{_TEXT};font-family:{_FONT};font-size:13px;line-height:1.5;max-width:64em;"
    where = f' <span style="opacity:.8;{_WORD}">{_safe(page.where)}</span>' if page.where else ""
    sheet = _Sheet()
    sheet.pieces += [
        # A notebook would set what stands between two dollar signs as a formula.
        f'<div class="neurofetch tex2jax_ignore mathjax_ignore" style="{style}">',
        f'<div style="{_WORD}"><strong>{_safe(page.title)}</strong>{where}</div>',
    ]
    if page.chips:
        chips = "".join(map(_chip, page.chips))
        sheet.pieces.append(f'<div style="margin:.1em 0 .3em">{chips}</div>')
    for part in page.parts:
        _put(part, sheet)
    return "\n".join([*sheet.pieces, "</div>"])


def safely(make: Callable[[], Page]) -> str | None:
    """Return a page as HTML; None, and the notebook shows the text, where it cannot be made.

    To look at a result must not fail: files may go while they are counted.

    Parameters
    ----------
    make : callable
    """
    try:
        return rendered(make())
    except Exception as error:  # noqa: BLE001 - whatever it is, the text can still be shown
        _log.debug("a result is shown as text: %r", error)
        return None


class _Sheet:
    """What stands on a page, and how much more may come there."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._left = _MOST

    def fitting(self, every: Iterable[str], cut: str) -> list[str]:
        """Return rows or lines, as many as there is room for, and then that more is left out.

        Parameters
        ----------
        every : iterable of str
            As HTML.
        cut : str
            What is said in the place of all others.
        """
        found: list[str] = []
        for one in every:
            self._left -= len(one)
            if self._left < 0:
                self._left = 0
                return [*found, cut]
            found.append(one)
        return found


def _safe(text: str) -> str:
    said = shown(text)
    return markup.escape(said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…")


def _dot(tone: str) -> str:
    if not tone:
        return ""
    return f'<span style="{_DOT}background:{COLOURS[tone]}"></span>'


def _chip(chip: Chip) -> str:
    style = f"display:inline-block;margin-right:1.2em;{_WORD}"
    return f'<span style="{style}">{_dot(chip.tone)}{_safe(chip.text)}</span>'


def _put(part: Part, sheet: _Sheet) -> None:
    pieces = sheet.pieces
    if isinstance(part, Bar):
        pieces.append(_bar(part))
    elif isinstance(part, Table):
        pieces.append(_table(part, sheet))
    elif isinstance(part, Lines):
        lines = "\n".join(sheet.fitting(map(_safe, part.lines), _CUT))
        pieces.append(f'<pre style="{_PLAIN}">{lines}</pre>')
    elif isinstance(part, Words):
        every = (_line(line, part.tone) for line in part.lines)
        pieces += sheet.fitting(every, _line(_CUT))
    elif isinstance(part, Pictures):
        pieces.append(f'<div style="margin:.3em 0">{"".join(map(_picture, part.every))}</div>')
    else:
        _fold(part, sheet)


def _line(text: str, tone: str = "") -> str:
    return f'<div style="margin:.2em 0;{_WORD}">{_dot(tone)}{_safe(text)}</div>'


def _bar(bar: Bar) -> str:
    whole = bar.whole or sum(number for number, _ in bar.shares) or 1.0
    shares = "".join(
        f'<div style="float:left;height:100%;width:{_percent(number / whole)}%;'
        f'background:{COLOURS[tone]}"></div>'
        for number, tone in bar.shares
        if number > 0
    )
    style = f"{_TRACK}background:{_DAMP}"
    return f'<div role="img" aria-label="{_safe(bar.said)}" style="{style}">{shares}</div>'


def _percent(share: float) -> str:
    """Return a share, never rounded up: shares that add up to more than all would not fit."""
    return f"{int(max(0.0, min(share, 1.0)) * 10_000) / 100:.2f}"


def _table(table: Table, sheet: _Sheet) -> str:
    left = {0, *table.words}
    styles = [_LEFT if number in left else _RIGHT for number in range(len(table.head))]
    head = "".join(
        f'<th scope="col" style="{style}font-weight:normal;opacity:.75">{_safe(name)}</th>'
        for name, style in zip(table.head, styles, strict=True)
    )
    cut = f'<tr><td colspan="{len(styles)}" style="{_LEFT}">{_CUT}</td></tr>\n'
    rows = "".join(sheet.fitting((_row(row, styles) for row in table.rows), cut))
    if not rows:
        return ""
    return (
        f'<div {_scrolling(", ".join(table.head))} style="overflow-x:auto">'
        f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(row: Sequence[str], styles: Sequence[str]) -> str:
    cells = (
        f'<td style="{style}">{_safe(cell)}</td>' for cell, style in zip(row, styles, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>\n"


def _scrolling(name: str) -> str:
    """Return what makes an element that scrolls one that a keyboard reaches."""
    return f'role="group" tabindex="0" aria-label="{_safe(name)}"'


def _picture(picture: Picture) -> str:
    # No margins of the notebook around it, and its own black below it.
    style = "display:block;max-width:100%;margin:0;background:#000;border-radius:4px"
    return (
        '<div style="display:inline-block;vertical-align:top;margin:0 .8em .4em 0;max-width:100%">'
        f'<img src="data:image/png;base64,{picture.data}" width="{picture.width}" '
        f'height="{picture.height}" alt="{_safe(picture.caption)}" style="{style}">'
        f'<div style="font-size:.9em;opacity:.85;max-width:{picture.width}px;{_WORD}">'
        f"{_safe(picture.caption)}</div></div>"
    )


def _fold(fold: Fold, sheet: _Sheet) -> None:
    opened = " open" if fold.is_open else ""
    sheet.pieces.append(
        f'<details{opened} style="margin:.25em 0"><summary style="cursor:pointer;{_WORD}">'
        f"{_dot(fold.tone)}{_safe(fold.summary)}</summary>"
    )
    scrolls = "max-height:22em;overflow:auto;" if fold.scrolls else ""
    reached = _scrolling(fold.summary) if fold.scrolls else ""
    sheet.pieces.append(f'<div {reached} style="margin-left:1.2em;{scrolls}">')
    for part in fold.parts:
        _put(part, sheet)
    sheet.pieces.append("</div></details>")
