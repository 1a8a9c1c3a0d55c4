"""The picture of `grid`: an SVG, written by hand so that it needs no package."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["picture"]

_WIDE, _HIGH = 150, 96
_LEFT, _TOP = 100, 58
_NUMBERS = (1, 2, 4, 8, 16, 32, 64)
_STYLE = (
    "text{font:11px sans-serif;fill:#333}.s{font-size:9px;fill:#777}.f{stroke:#4477aa;fill:none;"
    "stroke-width:1.5}.d{fill:#4477aa}.o{fill:#cc3311}.a{stroke:#bbb;stroke-width:.7}"
)


def _x(number: float) -> float:
    return float(10.0 + 20.0 * math.log2(number))


def _text(x: float, y: float, text: str, how: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{how}>{text}</text>'


def _cell(cell: dict[str, Any], left: float, top: float) -> list[str]:
    """Draw one cell: what fixed numbers bring, and the one that is found."""
    fixed = {int(n): rate for n, rate in cell["fixed"].items()}
    best: float = max(*fixed.values(), cell["brought"])
    high = _HIGH - 36

    def y(rate: float) -> float:
        return top + 14 + high * (1 - rate / best)

    points = [(left + _x(n), y(rate)) for n, rate in sorted(fixed.items())]
    line = " ".join(f"{x:.1f},{at:.1f}" for x, at in points)
    bottom = y(0)
    return [
        f'<line class="a" x1="{left}" y1="{bottom}" x2="{left + 140}" y2="{bottom}"/>',
        f'<polyline class="f" points="{line}"/>',
        *[f'<circle class="d" cx="{x:.1f}" cy="{at:.1f}" r="2"/>' for x, at in points],
        f'<circle class="o" cx="{left + _x(cell["found"]):.1f}" cy="{y(cell["brought"]):.1f}"'
        ' r="4"/>',
        *[
            _text(left + _x(n), bottom + 10, str(n), ' class="s" text-anchor="middle"')
            for n in _NUMBERS[::2]
        ],
    ]


def picture(cells: list[dict[str, Any]]) -> str:
    """Return the picture: a row for each rate and latency, a column for each loss and cut.

    Parameters
    ----------
    cells : list of dict
        What `grid` measured.
    """
    lines = [cell["line"] for cell in cells]
    rows = sorted({(line["rate"], line["rtt"]) for line in lines})
    columns = sorted({(line["loss"], line["cut"] or 0) for line in lines})
    width, height = _LEFT + len(columns) * _WIDE, _TOP + len(rows) * _HIGH
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><style>{_STYLE}</style>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(
            8,
            18,
            "What comes a second (up) by the number of connections (right). Blue: fixed numbers. "
            "Red: the number that is found.",
        ),
    ]
    for at, (loss, cut) in enumerate(columns):
        text = f"loss {loss:.1%}" + (", cut after 3 MB" if cut else "")
        out.append(_text(_LEFT + at * _WIDE, 44, text))
    for at, (rate, rtt) in enumerate(rows):
        out.append(_text(8, _TOP + at * _HIGH + 40, f"{rate / 1e6:g} MB/s"))
        out.append(_text(8, _TOP + at * _HIGH + 54, f"{rtt * 1e3:g} ms"))
    for cell in cells:
        line = cell["line"]
        row, column = (
            rows.index((line["rate"], line["rtt"])),
            columns.index((line["loss"], line["cut"] or 0)),
        )
        out += _cell(cell, _LEFT + column * _WIDE, _TOP + row * _HIGH)
    return "\n".join([*out, "</svg>", ""])
