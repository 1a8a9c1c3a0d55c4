"""The results of the S3 benchmarks as a picture: a panel a case, a line a tool and column."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks._results import Ratio, Results

__all__ = ["draw"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart by readers of all kinds of sight (Okabe and Ito, 2008)."""
_WIDTH, _LABELS, _RIGHT = 440, 140, 16
_STEP, _GAP, _TOP, _BOTTOM = 13, 9, 46, 28
_HEAD = 48
_TICKS = (0.25, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)


class _Axis(NamedTuple):
    """A logarithmic axis, in the panel's own pixels."""

    least: float
    most: float

    def at(self, ratio: float) -> float:
        share = math.log(ratio / self.least) / math.log(self.most / self.least)
        return round(_LABELS + share * (_WIDTH - _LABELS - _RIGHT), 1)

    def ticks(self) -> list[float]:
        return [tick for tick in _TICKS if self.least <= tick <= self.most]


class _Found(NamedTuple):
    """What is drawn in one line: their seconds over ours, with and without their flush."""

    flushed: Ratio | None
    bare: Ratio | None
    goal: float | None


def draw(results: Results, path: Path) -> None:
    """Write the picture, an SVG."""
    cases = [case for case in results.cases if any(run.case == case for run in results.runs)]
    across = min(2, max(1, len(cases)))
    tall = _TOP + _BOTTOM + len(results.columns) * (len(results.others) * _STEP + _GAP)
    size = (across * _WIDTH, _HEAD + -(-len(cases) // across) * tall)
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif" font-size="11">',
        f'<rect width="{size[0]}" height="{size[1]}" fill="#ffffff"/>',
        *_legend(results),
    ]
    for number, case in enumerate(cases):
        x, y = number % across * _WIDTH, _HEAD + number // across * tall
        pieces.append(f'<g transform="translate({x} {y})">')
        pieces += _panel(results, case, tall)
        pieces.append("</g>")
    path.write_text("\n".join([*pieces, "</svg>", ""]), encoding="utf-8")


def _legend(results: Results) -> Iterator[str]:
    x = 12
    for tool, colour in zip(results.others, _COLOURS, strict=False):
        name = results.tools[tool]
        yield f'<circle cx="{x}" cy="16" r="4" fill="{colour}"/>{_text(x + 9, 20, name)}'
        x += 30 + 7 * len(name)
    words = (
        "Their seconds over those of neurofetch (1: as fast; right of it neurofetch is faster), "
        "median and range. Ring: without sync -f. Tick: the goal."
    )
    yield _text(8, 38, words)


def _panel(results: Results, case: str, tall: int) -> Iterator[str]:
    axis = _axis(results, case)
    yield _text(8, 20, f"{case}: {results.cases[case]}", weight="bold")
    for tick in axis.ticks():
        x, shade = axis.at(tick), "#555555" if tick == 1 else "#dddddd"
        yield f'<line x1="{x}" x2="{x}" y1="{_TOP - 14}" y2="{tall - _BOTTOM}" stroke="{shade}"/>'
        yield _text(x, tall - _BOTTOM + 14, f"{tick:g}", anchor="middle")
    y = _TOP
    for column in results.columns:
        middle = y + (len(results.others) - 1) * _STEP / 2 + 4
        yield _text(8, middle, column.title)
        for tool, colour in zip(results.others, _COLOURS, strict=False):
            found = _Found(
                results.ratio(column, case, tool),
                results.ratio(column, case, tool, flushed=False),
                column.goal(case, tool),
            )
            yield from _mark(found, axis, y, colour, ring=column.disk)
            y += _STEP
        y += _GAP


def _mark(found: _Found, axis: _Axis, y: int, colour: str, *, ring: bool) -> Iterator[str]:
    if found.flushed is None or found.bare is None:
        return
    paint = f'stroke="{colour}" stroke-width="2"'
    least, most = axis.at(found.flushed.least), axis.at(found.flushed.most)
    yield f'<line x1="{least}" x2="{most}" y1="{y}" y2="{y}" {paint}/>'
    if ring:
        at = axis.at(found.bare.median)
        yield f'<circle cx="{at}" cy="{y}" r="3" fill="#ffffff" stroke="{colour}"/>'
    yield f'<circle cx="{axis.at(found.flushed.median)}" cy="{y}" r="4" fill="{colour}"/>'
    if found.goal is not None:
        at = axis.at(found.goal)
        yield f'<line x1="{at}" x2="{at}" y1="{y - 5}" y2="{y + 5}" stroke="{colour}"/>'


def _axis(results: Results, case: str) -> _Axis:
    seen = [0.5, 2.5]
    for column in results.columns:
        for tool in results.others:
            for flushed in (True, False):
                ratio = results.ratio(column, case, tool, flushed=flushed)
                if ratio is not None:
                    seen += [ratio.least, ratio.most]
    return _Axis(min(seen) * 0.92, max(seen) * 1.08)


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    given = f'x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="#222222"'
    return f"<text {given}>{escape(words)}</text>"
